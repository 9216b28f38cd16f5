//! Damaged files: every reader returns, without panic, in bounded time and memory.
//!
//! The starting points are the seeds of the fuzz targets: small ONNX models and what they compile to; damage is truncation, flipped bits, words replaced
//! by absurd sizes, and parts swapped. Deeper search is the fuzz targets' work (`./test.sh --fuzz MINUTES`).

use cygnet_tests::hostile;
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

/// Refuses memory above a limit: a reader that believes an absurd size ends the test.
struct Bounded;

static LIVE: AtomicUsize = AtomicUsize::new(0);
const LIMIT: usize = 1 << 30;
/// Seeds take microseconds; a reader that loops over an absurd count takes longer than this.
const SLOW: Duration = Duration::from_secs(5);

// SAFETY: every request goes to `System` unchanged, or gets the null pointer that `GlobalAlloc` allows for failure.
unsafe impl GlobalAlloc for Bounded {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        if LIVE.fetch_add(layout.size(), Ordering::Relaxed) + layout.size() > LIMIT {
            LIVE.fetch_sub(layout.size(), Ordering::Relaxed);
            return std::ptr::null_mut();
        }
        // SAFETY: the caller's contract is passed on.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        LIVE.fetch_sub(layout.size(), Ordering::Relaxed);
        // SAFETY: the caller's contract is passed on.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Bounded = Bounded;

/// One damage.
#[derive(Clone, Debug)]
enum Damage {
    Truncate(prop::sample::Index),
    Flip(prop::sample::Index, u8),
    Word(prop::sample::Index, u64, usize),
    Copy(prop::sample::Index, prop::sample::Index, usize),
}

fn damage() -> impl Strategy<Value = Damage> {
    let absurd = prop_oneof![
        Just(0u64),
        Just(u64::MAX),
        Just(0x7FFF_FFFF_FFFF_FFFF),
        Just(0xFFFF_FFFF),
        Just(0x7FFF_FFFF),
        Just(0x8000_0000),
        Just(0xFFFF),
        1u64..256
    ];
    let at = any::<prop::sample::Index>;
    prop_oneof![
        2 => at().prop_map(Damage::Truncate),
        4 => (at(), 0u8..8).prop_map(|(i, bit)| Damage::Flip(i, bit)),
        4 => (at(), absurd, prop_oneof![Just(1usize), Just(2), Just(4), Just(8)]).prop_map(|(i, v, n)| Damage::Word(i, v, n)),
        1 => (at(), at(), 1usize..64).prop_map(|(from, to, n)| Damage::Copy(from, to, n)),
    ]
}

fn apply(data: &mut Vec<u8>, damage: &Damage) {
    if data.is_empty() {
        return;
    }
    match damage {
        Damage::Truncate(i) => data.truncate(i.index(data.len())),
        Damage::Flip(i, bit) => {
            let i = i.index(data.len());
            data[i] ^= 1 << bit;
        }
        Damage::Word(i, value, size) => {
            // Sizes and counts lie at multiples of their own size.
            let first = i.index(data.len()) / size * size;
            for (byte, new) in data[first..].iter_mut().zip(&value.to_le_bytes()[..*size]) {
                *byte = *new;
            }
        }
        Damage::Copy(from, to, size) => {
            let (from, to) = (from.index(data.len()), to.index(data.len()));
            let size = (*size).min(data.len() - from).min(data.len() - to);
            data.copy_within(from..from + size, to);
        }
    }
}

/// Gives the reader of a fuzz target undamaged seeds, then damaged ones.
fn survives(target: &str, cases: u32) {
    let (_, read) = hostile::TARGETS
        .into_iter()
        .find(|(name, _)| *name == target)
        .expect("a target");
    let seeds = hostile::seeds(target).unwrap_or_else(|reason| panic!("{reason}"));
    assert!(!seeds.is_empty());
    let timed = |data: &[u8]| {
        let begin = Instant::now();
        read(data);
        begin.elapsed()
    };
    for (_, seed) in &seeds {
        assert!(timed(seed) < SLOW);
    }
    let strategy = (
        any::<prop::sample::Index>(),
        prop::collection::vec(damage(), 1..5),
    );
    let config = Config {
        cases,
        failure_persistence: None,
        ..Config::default()
    };
    let mut runner = TestRunner::new_with_rng(
        config,
        proptest::test_runner::TestRng::deterministic_rng(Default::default()),
    );
    let outcome = runner.run(&strategy, |(seed, damages)| {
        let mut data = seeds[seed.index(seeds.len())].1.clone();
        damages.iter().for_each(|damage| apply(&mut data, damage));
        let time = timed(&data);
        prop_assert!(time < SLOW, "takes {time:?}");
        Ok(())
    });
    outcome.unwrap_or_else(|failure| panic!("{failure}"));
}

#[test]
fn programs() {
    survives("program_parse", 20_000);
}

#[test]
fn bundles() {
    survives("bundle_open", 4_000);
}

#[test]
fn onnx_files() {
    survives("onnx_import", 4_000);
}

#[test]
fn tflite_files() {
    survives("tflite_import", 6_000);
}

#[test]
fn sessions() {
    survives("session_run", 4_000);
}
