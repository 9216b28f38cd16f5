//! If, Loop, Scan and states.

mod net;

use cygnet_format::op::*;
use cygnet_format::write::{StateDesc, SymbolKind};
use cygnet_format::{BlockId, DType, Dim, List};
use cygnet_runtime::{Config, RunErrorKind, TensorId};
use net::*;

fn some(ids: &[TensorId]) -> Vec<Option<TensorId>> {
    ids.iter().copied().map(Some).collect()
}

const ADD: Binary = Binary {
    kind: BinaryKind::Add,
};

#[test]
fn if_runs_one_branch() {
    let mut net = Net::new();
    let flag = net.fixed(DType::Bool, &[]);
    let flag = net.input(flag);
    let x = net.fixed(DType::F32, &[3]);
    let x = net.input(x);
    let y = net.fixed(DType::F32, &[3]);
    let (a, b) = (net.block(), net.block());
    for (block, kind) in [(a, UnaryKind::Neg), (b, UnaryKind::Square)] {
        let t = net.fixed(DType::F32, &[3]);
        net.step_in(
            block,
            Unary {
                kind,
                a: 0.0,
                b: 0.0,
            },
            &some(&[x]),
            &some(&[t]),
        );
        net.desc.blocks[block.0 as usize].outputs.push(t);
    }
    net.step(
        If {
            then_block: a,
            else_block: b,
        },
        &[flag],
        y,
    );
    let mut program = net.write(&[y]);
    with_session(&mut program, Config::default(), |s| {
        for (flag, want) in [(1, [-1., 2., -3.]), (0, [1., 4., 9.])] {
            s.input_mut(0).unwrap().as_mut_slice::<u8>().unwrap()[0] = flag;
            s.input_mut(1)
                .unwrap()
                .as_mut_slice::<f32>()
                .unwrap()
                .copy_from_slice(&[1., -2., 3.]);
            s.run().unwrap();
            assert_eq!(s.output(0).unwrap().as_slice::<f32>().unwrap(), want);
        }
    });
}

/// `total += x` until `total >= limit`, stacking the totals; the number of trips is a run-time symbol.
fn counting_loop(trips: Option<i64>) -> Buffer {
    let mut net = Net::new();
    let n = net.symbol("n", 0, 10, SymbolKind::Runtime);
    let x = net.fixed(DType::F32, &[]);
    let x = net.input(x);
    let zero = net.floats(&[], &[0.0]);
    let limit = net.floats(&[], &[5.0]);
    let trips = trips.map(|t| net.integers(&[], &[t]));
    let body = net.block();
    let (i, go, total) = (
        net.fixed(DType::I64, &[]),
        net.fixed(DType::Bool, &[]),
        net.fixed(DType::F32, &[]),
    );
    let (next, more) = (net.fixed(DType::F32, &[]), net.fixed(DType::Bool, &[]));
    net.step_in(body, ADD, &some(&[total, x]), &some(&[next]));
    net.step_in(
        body,
        Binary {
            kind: BinaryKind::Less,
        },
        &some(&[next, limit]),
        &some(&[more]),
    );
    net.desc.blocks[body.0 as usize].inputs = vec![i, go, total];
    net.desc.blocks[body.0 as usize].outputs = vec![more, next, next];
    let (last, stack) = (net.fixed(DType::F32, &[]), net.tensor(DType::F32, &[n]));
    net.step_in(
        BlockId(0),
        Loop { body, carried: 1 },
        &[trips, None, Some(zero)],
        &some(&[last, stack]),
    );
    net.write(&[last, stack])
}

#[test]
fn loop_stops_by_condition_or_count() {
    for (trips, x, want) in [
        (None, 2.0, &[2.0f32, 4., 6.][..]),
        (Some(2), 2.0, &[2., 4.]),
        (Some(0), 2.0, &[]),
        (Some(-5), 2.0, &[]),
        (
            Some(100),
            0.5,
            &[0.5, 1., 1.5, 2., 2.5, 3., 3.5, 4., 4.5, 5.],
        ),
    ] {
        with_session(&mut counting_loop(trips), Config::default(), |s| {
            for _ in 0..2 {
                s.input_mut(0).unwrap().as_mut_slice::<f32>().unwrap()[0] = x;
                s.run().unwrap();
                assert_eq!(s.output(1).unwrap().as_slice::<f32>().unwrap(), want);
                assert_eq!(
                    s.output(0).unwrap().scalar::<f32>().unwrap(),
                    want.last().copied().unwrap_or(0.0)
                );
            }
        });
    }
}

#[test]
fn endless_loops_meet_their_limits() {
    with_session(&mut counting_loop(None), Config::default(), |s| {
        // Zero never reaches the limit: the stack does not fit its memory.
        assert_eq!(s.run().unwrap_err().kind, RunErrorKind::Bound);
    });
    with_session(
        &mut counting_loop(None),
        Config {
            step_limit: 12,
            ..Config::default()
        },
        |s| {
            assert_eq!(s.run().unwrap_err().kind, RunErrorKind::StepLimit);
        },
    );
}

#[test]
fn cancelled_runs_end_before_their_next_step() {
    let cancel = std::sync::atomic::AtomicBool::new(true);
    let config = Config {
        cancel: Some(&cancel),
        ..Config::default()
    };
    with_session(&mut counting_loop(Some(2)), config, |s| {
        s.input_mut(0).unwrap().as_mut_slice::<f32>().unwrap()[0] = 2.0;
        assert_eq!(s.run().unwrap_err().kind, RunErrorKind::Cancelled);
        cancel.store(false, std::sync::atomic::Ordering::Relaxed);
        s.run().unwrap();
        // From within a run: after the first step that is observed.
        let mut seen = 0;
        let ended = s.run_observed(&mut |_, _| {
            seen += 1;
            cancel.store(true, std::sync::atomic::Ordering::Relaxed);
        });
        assert_eq!(
            (ended.unwrap_err().kind, seen),
            (RunErrorKind::Cancelled, 1)
        );
    });
}

#[test]
fn scan_slices_and_stacks() {
    let mut net = Net::new();
    let x = net.fixed(DType::F32, &[2, 3]);
    let x = net.input(x);
    let zero = net.floats(&[2], &[0.0, 0.0]);
    let body = net.block();
    let (sum, part, next) = (
        net.fixed(DType::F32, &[2]),
        net.fixed(DType::F32, &[2]),
        net.fixed(DType::F32, &[2]),
    );
    net.step_in(body, ADD, &some(&[sum, part]), &some(&[next]));
    net.desc.blocks[body.0 as usize].inputs = vec![sum, part];
    net.desc.blocks[body.0 as usize].outputs = vec![next, next];
    let (last, stack) = (net.fixed(DType::F32, &[2]), net.fixed(DType::F32, &[3, 2]));
    let op = Scan {
        body,
        states: 1,
        input_axes: List::new(&[1]).unwrap(),
        input_reverse: List::new(&[1]).unwrap(),
        output_axes: List::new(&[0]).unwrap(),
        output_reverse: List::new(&[0]).unwrap(),
    };
    net.step_in(BlockId(0), op, &some(&[zero, x]), &some(&[last, stack]));
    let mut program = net.write(&[last, stack]);
    with_session(&mut program, Config::default(), |s| {
        s.input_mut(0)
            .unwrap()
            .as_mut_slice::<f32>()
            .unwrap()
            .copy_from_slice(&[1., 2., 3., 10., 20., 30.]);
        s.run().unwrap();
        assert_eq!(s.output(0).unwrap().as_slice::<f32>().unwrap(), [6., 60.]);
        assert_eq!(
            s.output(1).unwrap().as_slice::<f32>().unwrap(),
            [3., 30., 5., 50., 6., 60.]
        );
    });
}

#[test]
fn states_live_across_runs_and_reset() {
    let mut net = Net::new();
    let state = net.state(DType::F32, &[2]);
    let x = net.fixed(DType::F32, &[2]);
    let x = net.input(x);
    let next = net.fixed(DType::F32, &[2]);
    net.step(ADD, &[state, x], next);
    let init = Some(1.0f32.to_le_bytes().to_vec());
    net.desc.states.push(StateDesc {
        tensor: state,
        next,
        init,
    });
    let mut program = net.write(&[next]);
    with_session(&mut program, Config::default(), |s| {
        for round in 0..2 {
            for i in 1..4 {
                s.input_mut(0)
                    .unwrap()
                    .as_mut_slice::<f32>()
                    .unwrap()
                    .copy_from_slice(&[1., 10.]);
                s.run().unwrap();
                let want = [1.0 + i as f32, 10.0 * i as f32];
                assert_eq!(
                    s.output(0).unwrap().as_slice::<f32>().unwrap(),
                    want,
                    "{round}"
                );
                assert_eq!(s.state(0).unwrap().as_slice::<f32>().unwrap(), want);
            }
            s.reset_state();
            assert_eq!(s.state(0).unwrap().as_slice::<f32>().unwrap(), [1., 0.]);
        }
        s.state_mut(0).unwrap().as_mut_slice::<f32>().unwrap()[1] = 5.0;
        s.run().unwrap();
        assert_eq!(s.output(0).unwrap().as_slice::<f32>().unwrap()[1], 15.0);
    });
}

#[test]
fn observers_see_every_step() {
    let mut seen = Vec::new();
    with_session(&mut counting_loop(Some(2)), Config::default(), |s| {
        s.input_mut(0).unwrap().as_mut_slice::<f32>().unwrap()[0] = 1.0;
        s.run_observed(&mut |report, outputs| seen.push((report.code.name(), outputs.len())))
            .unwrap();
    });
    assert_eq!(
        seen,
        [
            ("binary", 1),
            ("binary", 1),
            ("binary", 1),
            ("binary", 1),
            ("loop_while", 2)
        ]
    );
    let _ = Dim::ONE;
}
