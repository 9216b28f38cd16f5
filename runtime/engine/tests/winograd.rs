//! Winograd's convolution against the direct one, and hostile shapes of it.

mod net;

use cygnet_format::op::*;
use cygnet_format::{BlockId, DType, program::TensorId};
use cygnet_runtime::{Config, Parallel, Pool};
use net::*;

const CLIP: Activation = Activation {
    kind: ActivationKind::Clip,
    a: -0.5,
    b: 0.75,
};
const SILU: Activation = Activation {
    kind: ActivationKind::Silu,
    a: 0.0,
    b: 0.0,
};

/// Elements of scratch, as the operator table says.
fn scratch(channels: usize, depth: usize, tiles: usize) -> usize {
    let slices = channels.div_ceil(depth);
    36 * (tiles * slices * depth + 16 * slices + 32 * (tiles + depth) + 32)
}

#[test]
fn winograd_gives_what_the_direct_convolution_gives() {
    let pool = Pool::new(3);
    for (i, (x, out, pad, act)) in [
        ([1, 14, 13, 8], 40, [1, 1, 1, 1], CLIP),
        ([2, 9, 6, 35], 17, [0, 2, 1, 0], SILU),
        ([1, 30, 33, 16], 64, [1, 1, 1, 1], Activation::default()),
        ([1, 3, 3, 5], 3, [0, 0, 0, 0], CLIP),
    ]
    .into_iter()
    .enumerate()
    {
        let size = |d: usize| x[1 + d] + pad[d] as usize + pad[2 + d] as usize - 2;
        let shape = [x[0], size(0), size(1), out];
        let panels = out.div_ceil(16);
        let depth = 16 + 16 * (i % 2);
        for (tiles, parallel) in [
            (1, None),
            (100, None),
            (30, Some(&pool as &dyn Parallel)),
            (200, Some(&pool)),
        ] {
            let mut net = Net::new();
            let a = net.floats(&x, &noise(x.iter().product(), 1));
            let w = noise(panels * 9 * x[3] * 16, 2);
            let w = net.floats(&[1, panels, 9 * x[3], 16], &w);
            let bias = net.floats(&[out], &noise(out, 3));
            let residual = net.floats(&shape, &noise(shape.iter().product(), 4));
            let inputs = [a, w, bias, residual];
            let direct = net.fixed(DType::F32, &shape);
            let op = Conv {
                kernel: axes(&[3, 3]),
                pads: axes(&pad),
                group: 1,
                act,
                ..Conv::default()
            };
            net.step(op, &inputs, direct);
            let y = net.fixed(DType::F32, &shape);
            let room = net.fixed(DType::F32, &[scratch(x[3], depth, tiles)]);
            let op = WinogradConv {
                pads: axes(&pad),
                depth: depth as u32,
                act,
            };
            net.step_in(BlockId(0), op, &inputs.map(Some), &[Some(y), Some(room)]);
            let config = Config {
                parallel,
                ..Config::default()
            };
            with_session(&mut net.write(&[direct, y]), config, |s| {
                s.run().unwrap();
                let get = |i| s.output(i).unwrap().as_slice::<f32>().unwrap().to_vec();
                let (want, got) = (get(0), get(1));
                assert!(want.iter().any(|&v| v != 0.0));
                close(&got, &want, 1e-4);
            });
        }
    }
}

/// What differs from a step that runs.
#[derive(Clone, Copy)]
struct Wrong {
    x: [usize; 4],
    w: [usize; 4],
    bias: usize,
    y: [usize; 4],
    scratch: usize,
    depth: u32,
    pads: &'static [i32],
}

fn error(case: Wrong) -> Option<String> {
    let mut net = Net::new();
    let floats = |net: &mut Net, dims: &[usize]| -> TensorId {
        net.floats(dims, &noise(dims.iter().product(), 1))
    };
    let x = floats(&mut net, &case.x);
    let w = floats(&mut net, &case.w);
    let b = floats(&mut net, &[case.bias]);
    let y = net.fixed(DType::F32, &case.y);
    let scratch = net.fixed(DType::F32, &[case.scratch]);
    let op = WinogradConv {
        pads: axes(case.pads),
        depth: case.depth,
        act: CLIP,
    };
    let inputs = [Some(x), Some(w), Some(b)];
    net.step_in(BlockId(0), op, &inputs, &[Some(y), Some(scratch)]);
    with_session(&mut net.write(&[y]), Config::default(), |s| {
        s.run().err().map(|e| e.to_string())
    })
}

#[test]
fn what_does_not_fit_is_refused() {
    let right = Wrong {
        x: [1, 5, 6, 3],
        w: [1, 2, 27, 16],
        bias: 20,
        y: [1, 5, 6, 20],
        scratch: scratch(3, 16, 1),
        depth: 16,
        pads: &[1, 1, 1, 1],
    };
    assert_eq!(error(right), None);
    // Any output size reads zeros beyond the input.
    assert_eq!(
        error(Wrong {
            y: [1, 9, 1, 20],
            ..right
        }),
        None
    );
    let cases = [
        (
            "scratch",
            Wrong {
                scratch: right.scratch - 1,
                ..right
            },
        ),
        (
            "scratch",
            Wrong {
                scratch: 0,
                ..right
            },
        ),
        (
            "scratch",
            Wrong {
                depth: 1 << 20,
                ..right
            },
        ),
        ("depth", Wrong { depth: 0, ..right }),
        ("depth", Wrong { depth: 24, ..right }),
        (
            "weights",
            Wrong {
                w: [1, 1, 27, 16],
                ..right
            },
        ),
        (
            "weights",
            Wrong {
                w: [1, 2, 26, 16],
                ..right
            },
        ),
        (
            "batch",
            Wrong {
                y: [2, 5, 6, 20],
                ..right
            },
        ),
        ("bias", Wrong { bias: 19, ..right }),
        (
            "pads",
            Wrong {
                pads: &[1, 1],
                ..right
            },
        ),
        (
            "pads",
            Wrong {
                pads: &[1, 1, 1, -1],
                ..right
            },
        ),
        (
            "parameter",
            Wrong {
                x: [1, 5, 6, 0],
                w: [1, 2, 0, 16],
                scratch: 100_000,
                ..right
            },
        ),
        (
            "",
            Wrong {
                depth: u32::MAX - 15,
                ..right
            },
        ),
    ];
    for (i, (word, case)) in cases.into_iter().enumerate() {
        let message = error(case).unwrap_or_else(|| panic!("case {i} runs"));
        assert!(message.contains(word), "case {i}: {message}");
    }
}
