//! Damaged programs that still parse never make a session panic or leave its memory.

mod net;

use cygnet_format::op::*;
use cygnet_format::write::{StateDesc, SymbolKind};
use cygnet_format::{Axes, DType, Dim, Dims};
use cygnet_runtime::{Bundle, Config, Program, Session};
use net::*;

/// A program with most of what a session does: symbols, states, convolution, matrix product, movement, control flow.
fn program() -> Vec<u8> {
    let axes = |v: &[i32]| Axes::new(v).unwrap();
    let mut net = Net::new();
    let state = net.state(DType::F32, &[1, 4]);
    let w = net.symbol("w", 2, 6, SymbolKind::Input);
    let n = net.symbol("n", 0, 9, SymbolKind::Runtime);
    let x = net.tensor(DType::F32, &[Dim(1), Dim(4), w, Dim(2)]);
    let x = net.input(x);
    let weights = net.floats(&[1, 1, 18, 16], &noise(288, 1));
    let y = net.tensor(DType::F32, &[Dim(1), Dim(4), w, Dim(4)]);
    let conv = Conv {
        kernel: axes(&[3, 3]),
        pads: axes(&[1, 1, 1, 1]),
        group: 1,
        ..Conv::default()
    };
    net.step(conv, &[x, weights], y);
    let pooled = net.fixed(DType::F32, &[1, 2, 1, 4]);
    let pool = Pool {
        kernel: axes(&[2, 2]),
        strides: axes(&[2, 6]),
        ..Pool::default()
    };
    net.step(pool, &[y], pooled);
    let t = net.fixed(DType::F32, &[4, 1, 2, 1]);
    net.step(
        Transpose {
            perm: axes(&[3, 0, 1, 2]),
        },
        &[pooled],
        t,
    );
    let s = net.fixed(DType::F32, &[1, 1, 1, 4]);
    let starts = Dims::new(&[Dim(0), Dim(1), Dim(0), Dim(0)]).unwrap();
    net.step(
        Slice {
            starts,
            steps: axes(&[1, 1, 1, 1]),
        },
        &[pooled],
        s,
    );
    let flat = net.fixed(DType::F32, &[1, 4]);
    net.step(Reshape {}, &[s], flat);
    let next = net.fixed(DType::F32, &[1, 4]);
    net.step(
        Binary {
            kind: BinaryKind::Add,
        },
        &[state, flat],
        next,
    );
    net.desc.states.push(StateDesc {
        tensor: state,
        next,
        init: None,
    });
    let packed = net.floats(&[1, 4, 16], &noise(64, 2));
    let product = net.fixed(DType::F32, &[1, 5]);
    net.step(
        MatMul {
            alpha: 1.0,
            ..MatMul::default()
        },
        &[flat, packed],
        product,
    );
    net.step(
        Softmax {
            axis: 1,
            kind: SoftmaxKind::Softmax,
        },
        &[product],
        product,
    );
    let (zero, limit, one) = (
        net.integers(&[], &[0]),
        net.integers(&[], &[3]),
        net.integers(&[], &[1]),
    );
    let r = net.tensor(DType::I64, &[n]);
    net.step(Range {}, &[zero, limit, one], r);
    let body = net.block();
    let (i, go, c) = (
        net.fixed(DType::I64, &[]),
        net.fixed(DType::Bool, &[]),
        net.fixed(DType::F32, &[1, 4]),
    );
    let c2 = net.fixed(DType::F32, &[1, 4]);
    net.step_in(
        body,
        Unary {
            kind: UnaryKind::Tanh,
            a: 0.0,
            b: 0.0,
        },
        &[Some(c)],
        &[Some(c2)],
    );
    net.desc.blocks[1].inputs = vec![i, go, c];
    net.desc.blocks[1].outputs = vec![go, c2, c2];
    let (last, stack) = (
        net.fixed(DType::F32, &[1, 4]),
        net.fixed(DType::F32, &[3, 1, 4]),
    );
    let looped = Loop { body, carried: 1 };
    net.step_in(
        cygnet_format::BlockId(0),
        looped,
        &[Some(limit), None, Some(flat)],
        &[Some(last), Some(stack)],
    );
    net.write(&[product, r, stack, t]).bytes().to_vec()
}

/// Parses and runs; true when the program ran to its end.
fn attempt(bytes: &mut Buffer, arena: &mut Buffer) -> bool {
    let Ok(program) = Program::parse(bytes.bytes()) else {
        return false;
    };
    if program.arena_bytes() > 1 << 20 {
        return false;
    }
    if (arena.bytes().len() as u64) < program.arena_bytes() {
        *arena = Buffer::zeroed(program.arena_bytes() as usize);
    }
    let config = Config {
        step_limit: 200,
        ..Config::default()
    };
    let Ok(mut session) = Session::new(&program, arena.bytes(), config) else {
        return false;
    };
    let _ = session.set_input_shape(0, &[1, 4, 3, 2]);
    if let Ok(mut input) = session.input_mut(0) {
        let _ = input.as_mut_slice::<f32>().map(|x| x.fill(0.5));
    }
    let ran = session.run().is_ok();
    for i in 0..4 {
        let _ = session
            .output(i)
            .map(|t| t.bytes.iter().map(|&b| b as u64).sum::<u64>());
    }
    ran
}

#[test]
fn flipped_bits_never_panic() {
    let good = program();
    let mut bytes = Buffer::of(&good);
    let mut arena = Buffer::zeroed(1 << 16);
    assert!(attempt(&mut bytes, &mut arena));
    let constants = good.len() - 2048;
    let mut survivors = 0;
    for i in 0..constants * 8 {
        bytes.bytes()[i / 8] ^= 1 << (i % 8);
        survivors += attempt(&mut bytes, &mut arena) as usize;
        bytes.bytes()[i / 8] = good[i / 8];
    }
    assert!(survivors > 0, "names may change freely");
    let mut seed = 1u64;
    for _ in 0..20_000 {
        let mut changed = [0usize; 4];
        for at in &mut changed {
            seed = seed
                .wrapping_mul(6364136223846793005)
                .wrapping_add(1442695040888963407);
            *at = (seed >> 33) as usize % constants;
            bytes.bytes()[*at] = (seed >> 20) as u8;
        }
        attempt(&mut bytes, &mut arena);
        changed.iter().for_each(|&at| bytes.bytes()[at] = good[at]);
    }
}

#[test]
fn damaged_bundles_never_panic() {
    let good = zip(&[("manifest.json", b"{}"), ("program.cyg", &program())]);
    let bundle = Bundle::parse(&good).unwrap();
    assert_eq!(bundle.entries().count(), 2);
    assert_eq!(bundle.entry("manifest.json"), Some(&b"{}"[..]));
    for n in 0..good.len() {
        assert!(Bundle::parse(&good[..n]).is_err());
    }
    let directory = good.len() - 200;
    let mut bytes = good.clone();
    for i in (0..60 * 8).chain(directory * 8..good.len() * 8) {
        bytes[i / 8] ^= 1 << (i % 8);
        if let Ok(b) = Bundle::parse(&bytes) {
            b.entries()
                .for_each(|e| assert!(e.data.len() <= bytes.len()));
        }
        bytes[i / 8] = good[i / 8];
    }
}
