//! `run` allocates nothing, on one thread and on several.

mod net;

use cygnet_format::op::*;
use cygnet_format::{Axes, DType};
use cygnet_runtime::{Model, Options, OwnedSession};
use net::*;
use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

struct Counting;

static COUNT: AtomicUsize = AtomicUsize::new(0);
/// Whether anything was allocated.
static BEGUN: AtomicBool = AtomicBool::new(false);

thread_local! {
    /// Set for the thread of the test harness, which allocates to report a test that takes long.
    static HARNESS: Cell<bool> = const { Cell::new(false) };
}

// SAFETY: forwards to the system's allocator.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // The first allocation of all comes from the main thread.
        if !BEGUN.swap(true, Ordering::SeqCst) {
            HARNESS.set(true);
        }
        if !HARNESS.get() {
            COUNT.fetch_add(1, Ordering::SeqCst);
        }
        // SAFETY: as the caller promises.
        unsafe { System.alloc(layout) }
    }
    unsafe fn dealloc(&self, p: *mut u8, layout: Layout) {
        // SAFETY: as the caller promises.
        unsafe { System.dealloc(p, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

fn program() -> Vec<u8> {
    let axes = |v: &[i32]| Axes::new(v).unwrap();
    let mut net = Net::new();
    let x = net.fixed(DType::F32, &[1, 32, 32, 16]);
    let x = net.input(x);
    let w = net.floats(&[1, 2, 144, 16], &noise(2 * 144 * 16, 1));
    let y = net.fixed(DType::F32, &[1, 32, 32, 32]);
    let pads = axes(&[1, 1, 1, 1]);
    net.step(
        Conv {
            kernel: axes(&[3, 3]),
            pads,
            group: 1,
            ..Conv::default()
        },
        &[x, w],
        y,
    );
    let d = net.floats(&[9, 32], &noise(288, 2));
    let z = net.fixed(DType::F32, &[1, 32, 32, 32]);
    net.step(
        DepthwiseConv {
            kernel: axes(&[3, 3]),
            pads,
            ..DepthwiseConv::default()
        },
        &[y, d],
        z,
    );
    let p = net.floats(&[1, 4, 32, 16], &noise(4 * 32 * 16, 3));
    let q = net.fixed(DType::F32, &[1, 32, 32, 64]);
    net.step(
        Conv {
            kernel: axes(&[1, 1]),
            group: 1,
            ..Conv::default()
        },
        &[z, p],
        q,
    );
    net.step(
        Unary {
            kind: UnaryKind::Sigmoid,
            a: 0.0,
            b: 0.0,
        },
        &[q],
        q,
    );
    let t = net.fixed(DType::F32, &[1, 64, 32, 32]);
    net.step(
        Transpose {
            perm: axes(&[0, 3, 1, 2]),
        },
        &[q],
        t,
    );
    net.step(
        Softmax {
            axis: 1,
            kind: SoftmaxKind::Softmax,
        },
        &[t],
        t,
    );
    net.write(&[t]).bytes().to_vec()
}

// One test: the counter is global.
#[test]
fn run_allocates_nothing() {
    // The harness runs a test on its own thread where there are no others.
    HARNESS.set(false);
    let allocated = COUNT.load(Ordering::SeqCst);
    let model = Arc::new(Model::from_bytes(&program()).unwrap());
    assert!(COUNT.load(Ordering::SeqCst) > allocated);
    let mut results = Vec::new();
    for threads in [1, 4] {
        let mut session =
            OwnedSession::new(model.clone(), Options::default().threads(threads)).unwrap();
        let got = if cfg!(target_family = "wasm") {
            1
        } else {
            threads
        };
        assert_eq!(session.threads(), got);
        let fill = |s: &mut OwnedSession| {
            let mut input = s.input_mut(0).unwrap();
            input
                .as_mut_slice::<f32>()
                .unwrap()
                .iter_mut()
                .enumerate()
                .for_each(|(i, x)| *x = (i % 17) as f32 * 0.1);
        };
        // Threads register themselves with the standard library on their first wait.
        let begin = Instant::now();
        let mut runs = 0;
        while runs < 10 || begin.elapsed() < Duration::from_millis(300) {
            runs += 1;
            fill(&mut session);
            session.run().unwrap();
        }
        let before = COUNT.load(Ordering::SeqCst);
        for _ in 0..10 {
            fill(&mut session);
            session.run().unwrap();
        }
        assert_eq!(COUNT.load(Ordering::SeqCst), before, "{threads} threads");
        results.push(
            session
                .output(0)
                .unwrap()
                .as_slice::<f32>()
                .unwrap()
                .to_vec(),
        );
    }
    assert_eq!(results[0], results[1]);
}
