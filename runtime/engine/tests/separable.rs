//! Separable convolutions by bands against their layers one after another.

mod net;

use cygnet_format::op::*;
use cygnet_format::{DType, program::TensorId};
use cygnet_runtime::{Config, Parallel, Pool};
use net::*;

struct Case {
    x: [usize; 4],
    middle: usize,
    out: usize,
    kernel: [usize; 2],
    stride: [usize; 2],
    pad: [usize; 4],
    expand: bool,
    project: bool,
    residual: bool,
    band: usize,
}

const CLIP: Activation = Activation {
    kind: ActivationKind::Clip,
    a: -0.5,
    b: 0.75,
};

/// Weights of a pointwise convolution, packed: zeros beyond the last column.
fn packed(from: usize, to: usize, seed: u32) -> (Vec<usize>, Vec<f32>) {
    let panels = to.div_ceil(16);
    let mut w = noise(panels * from * 16, seed);
    for (i, v) in w.iter_mut().enumerate() {
        if i / 16 / from * 16 + i % 16 >= to {
            *v = 0.0;
        }
    }
    (vec![1, panels, from, 16], w)
}

impl Case {
    fn output(&self) -> [usize; 4] {
        let size = |d: usize| {
            (self.x[1 + d] + self.pad[d] + self.pad[2 + d] - self.kernel[d]) / self.stride[d] + 1
        };
        [self.x[0], size(0), size(1), self.out]
    }

    /// The result of the layers, and of the bands with `workers` shares of scratch.
    fn run(&self, workers: usize, parallel: Option<&dyn Parallel>) -> (Vec<f32>, Vec<f32>) {
        let list = |v: &[usize]| axes(&v.iter().map(|&v| v as i32).collect::<Vec<_>>());
        let (kernel, strides, pads) = (list(&self.kernel), list(&self.stride), list(&self.pad));
        let mut net = Net::new();
        let x = net.floats(&self.x, &noise(self.x.iter().product(), 1));
        let pointwise = |net: &mut Net, from, to, seed| {
            let (dims, data) = packed(from, to, seed);
            [
                net.floats(&dims, &data),
                net.floats(&[to], &noise(to, seed + 1)),
            ]
        };
        let first = self
            .expand
            .then(|| pointwise(&mut net, self.x[3], self.middle, 2));
        let taps = self.kernel[0] * self.kernel[1];
        let filter = net.floats(&[taps, self.middle], &noise(taps * self.middle, 4));
        let filter_bias = net.floats(&[self.middle], &noise(self.middle, 5));
        let last = self
            .project
            .then(|| pointwise(&mut net, self.middle, self.out, 6));
        let shape = self.output();
        let residual = self
            .residual
            .then(|| net.floats(&shape, &noise(shape.iter().product(), 8)));

        let one = Conv {
            kernel: list(&[1, 1]),
            group: 1,
            act: CLIP,
            ..Conv::default()
        };
        let mut at = x;
        if let Some([w, b]) = first {
            let wide = net.fixed(DType::F32, &[self.x[0], self.x[1], self.x[2], self.middle]);
            net.step(one, &[at, w, b], wide);
            at = wide;
        }
        let filtered = net.fixed(DType::F32, &[shape[0], shape[1], shape[2], self.middle]);
        let depthwise = DepthwiseConv {
            kernel,
            strides,
            pads,
            act: CLIP,
            ..DepthwiseConv::default()
        };
        net.step(depthwise, &[at, filter, filter_bias], filtered);
        at = filtered;
        if let Some([w, b]) = last {
            let y = net.fixed(DType::F32, &shape);
            let op = Conv {
                act: Activation::default(),
                ..one
            };
            let mut inputs = vec![at, w, b];
            inputs.extend(residual);
            net.step(op, &inputs, y);
            at = y;
        }

        let rows = ((self.band - 1) * self.stride[0] + self.kernel[0]).min(self.x[1]);
        let mut scratch = 0;
        if self.expand {
            scratch += rows * self.x[2] * self.middle;
        }
        if self.project {
            scratch += self.band.min(shape[1]) * shape[2] * self.middle;
        }
        let scratch = net.fixed(DType::F32, &[workers, scratch]);
        let y = net.fixed(DType::F32, &shape);
        let op = SeparableConv {
            kernel,
            strides,
            pads,
            expand: CLIP,
            depthwise: CLIP,
            project: Activation::default(),
            band: self.band as u32,
        };
        let pair = |p: Option<[TensorId; 2]>| p.map_or([None; 2], |[w, b]| [Some(w), Some(b)]);
        let ([w1, b1], [w2, b2]) = (pair(first), pair(last));
        let inputs = [
            Some(x),
            w1,
            b1,
            Some(filter),
            Some(filter_bias),
            w2,
            b2,
            residual,
        ];
        net.step_in(
            cygnet_format::BlockId(0),
            op,
            &inputs,
            &[Some(y), Some(scratch)],
        );
        let config = Config {
            parallel,
            ..Config::default()
        };
        with_session(&mut net.write(&[at, y]), config, |s| {
            s.run().unwrap();
            let get = |i| s.output(i).unwrap().as_slice::<f32>().unwrap().to_vec();
            (get(0), get(1))
        })
    }
}

#[test]
fn bands_give_what_the_layers_give() {
    let base = Case {
        x: [1, 14, 13, 8],
        middle: 24,
        out: 12,
        kernel: [3, 3],
        stride: [1, 1],
        pad: [1, 1, 1, 1],
        expand: true,
        project: true,
        residual: true,
        band: 3,
    };
    let cases = [
        Case { band: 1, ..base },
        Case { band: 14, ..base },
        Case {
            band: 5,
            x: [2, 14, 13, 8],
            ..base
        },
        Case {
            stride: [2, 2],
            ..base
        },
        Case {
            stride: [2, 1],
            pad: [0, 0, 1, 1],
            band: 2,
            ..base
        },
        Case {
            kernel: [5, 3],
            pad: [2, 1, 2, 1],
            band: 1,
            ..base
        },
        Case {
            kernel: [1, 3],
            stride: [3, 1],
            pad: [0, 1, 0, 1],
            band: 2,
            ..base
        },
        Case {
            project: false,
            residual: false,
            out: 24,
            ..base
        },
        Case {
            expand: false,
            middle: 8,
            ..base
        },
        Case {
            expand: false,
            project: false,
            residual: false,
            middle: 8,
            out: 8,
            ..base
        },
        Case {
            x: [3, 2, 9, 5],
            middle: 17,
            band: 2,
            ..base
        },
    ];
    let pool = Pool::new(3);
    for (i, case) in cases.iter().enumerate() {
        for (workers, parallel) in [
            (1, None),
            (4, Some(&pool as &dyn Parallel)),
            (2, Some(&pool)),
        ] {
            let (layers, bands) = case.run(workers, parallel);
            assert!(layers.iter().any(|&v| v != 0.0));
            let worst = layers
                .iter()
                .zip(&bands)
                .map(|(a, b)| (a - b).abs())
                .fold(0.0, f32::max);
            assert!(
                layers.len() == bands.len() && worst < 1e-5,
                "case {i}, {workers} workers: {worst}"
            );
        }
    }
}

#[test]
fn a_band_that_does_not_fit_its_scratch_is_refused() {
    let mut net = Net::new();
    let x = net.floats(&[1, 4, 4, 2], &noise(32, 1));
    let w = net.floats(&[9, 2], &noise(18, 2));
    let p = net.floats(&[1, 1, 2, 16], &noise(32, 3));
    let (y, scratch) = (
        net.fixed(DType::F32, &[1, 4, 4, 3]),
        net.fixed(DType::F32, &[1, 15]),
    );
    let op = SeparableConv {
        kernel: axes(&[3, 3]),
        pads: axes(&[1, 1, 1, 1]),
        band: 2,
        ..SeparableConv::default()
    };
    let inputs = [Some(x), None, None, Some(w), None, Some(p), None, None];
    net.step_in(
        cygnet_format::BlockId(0),
        op,
        &inputs,
        &[Some(y), Some(scratch)],
    );
    with_session(&mut net.write(&[y]), Config::default(), |s| {
        assert!(s.run().unwrap_err().to_string().contains("scratch"));
    });
}
