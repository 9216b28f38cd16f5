//! Quantised products in one step against their integer steps one after another, bit for bit.

mod net;

use cygnet_format::op::*;
use cygnet_format::{Axes, DType, Op, program::TensorId};
use cygnet_kernels::Conv as Shape;
use cygnet_kernels::quantized::{pack_weights, start};
use cygnet_runtime::{Config, Parallel, Pool};
use net::*;

#[derive(Clone, Copy)]
struct Case {
    /// Batch, height, width, channels of the input.
    x: [usize; 4],
    out: usize,
    /// 0: a matrix product over the last axis.
    kernel: usize,
    stride: usize,
    group: usize,
    signed: bool,
    residual: bool,
}

fn bytes(n: usize, seed: u32) -> Vec<u8> {
    let as_byte = |v: f32| (v * 127.0) as i8 as u8;
    noise(n, seed).into_iter().map(as_byte).collect()
}

fn words(values: &[i32]) -> Vec<u8> {
    values.iter().flat_map(|v| v.to_le_bytes()).collect()
}

struct Built {
    net: Net,
    fused: Op,
    inputs: Vec<TensorId>,
    layers: TensorId,
    shape: Vec<usize>,
    y_type: DType,
}

impl Case {
    const MULTIPLIER: f32 = 0.0013;

    fn pads(&self) -> Axes {
        axes(&[self.kernel as i32 / 2; 4])
    }

    fn both(v: usize) -> Axes {
        axes(&[v as i32; 2])
    }

    fn depthwise(&self) -> bool {
        self.group > 1 && self.group == self.x[3] && self.out == self.x[3]
    }

    /// The integer steps, and the operands of the fused one.
    fn build(&self) -> Built {
        let mut net = Net::new();
        let [n, h, w, c] = self.x;
        let dtype = if self.signed { DType::I8 } else { DType::U8 };
        let (x_zero, zero, other_zero) = if self.signed {
            (-7, 5, 9)
        } else {
            (121, 130, 140)
        };
        let x = net.constant(dtype, &self.x, &bytes(n * h * w * c, 3));
        let taps = self.kernel.max(1).pow(2);
        let per = c / self.group;
        let weights: Vec<i8> = bytes(self.out * taps * per, 4)
            .iter()
            .map(|&b| b as i8)
            .collect();
        let weight = |o: usize, tap: usize, i: usize| weights[(o * taps + tap) * per + i];
        let bias: Vec<i32> = (0..self.out).map(|o| 400 * o as i32 - 3000).collect();
        let size = |n: usize| {
            if self.kernel == 0 {
                n
            } else {
                n.div_ceil(self.stride)
            }
        };
        let shape = vec![n, size(h), size(w), self.out];
        let results: usize = shape.iter().product();

        let one = |net: &mut Net, v: i32| net.constant(dtype, &[], &[v as u8]);
        let (xz, yz) = (one(&mut net, x_zero), one(&mut net, zero));
        let acc = net.fixed(DType::I32, &shape);
        if self.kernel == 0 {
            // [K, N].
            let b: Vec<u8> = (0..c * self.out)
                .map(|i| weight(i % self.out, 0, i / self.out) as u8)
                .collect();
            let b = net.constant(DType::I8, &[c, self.out], &b);
            net.step(MatMulInteger {}, &[x, b, xz], acc);
        } else {
            let data: Vec<u8> = weights.iter().map(|&w| w as u8).collect();
            let filter = net.constant(DType::I8, &[self.out, taps, per], &data);
            let op = ConvInteger {
                kernel: Self::both(self.kernel),
                strides: Self::both(self.stride),
                dilations: Self::both(1),
                pads: self.pads(),
                group: self.group as u32,
            };
            net.step(op, &[x, filter, xz], acc);
        }
        let b = net.constant(DType::I32, &[self.out], &words(&bias));
        let multiplier = net.floats(&[self.out], &vec![Self::MULTIPLIER; self.out]);
        let q = net.fixed(dtype, &shape);
        net.step(
            Requantize {
                low: zero,
                high: 127 + zero,
            },
            &[acc, b, multiplier, yz],
            q,
        );
        let other = net.constant(dtype, &shape, &bytes(results, 5));
        let sum = net.fixed(dtype, &shape);
        let add = QuantizedAdd {
            a_zero: zero,
            a_multiplier: 0.7,
            b_zero: other_zero,
            b_multiplier: 0.4,
            zero: zero + 1,
            low: 0,
            high: 0,
        };
        net.step(add, &[q, other], sum);

        let mut p = Shape::new_2d(1, [1, 1], c, self.out, [self.kernel.max(1); 2]);
        p.groups = self.group;
        let starts: Vec<[i32; 2]> = (0..self.out)
            .map(|o| {
                let sum = (0..taps * per)
                    .map(|i| weight(o, i / per, i % per) as i32)
                    .sum();
                start(bias[o], sum, self.signed, x_zero as u8)
            })
            .collect();
        let starts: Vec<i32> = [0, 1]
            .iter()
            .flat_map(|&i| starts.iter().map(move |s| s[i]))
            .collect();
        let starts = net.constant(DType::I32, &[2, self.out], &words(&starts));
        let conv = QuantizedConv {
            kernel: if self.kernel == 0 {
                Axes::default()
            } else {
                Self::both(self.kernel)
            },
            strides: if self.kernel == 0 {
                Axes::default()
            } else {
                Self::both(self.stride)
            },
            pads: if self.kernel == 0 {
                Axes::default()
            } else {
                self.pads()
            },
            group: self.group as u32,
            x_zero,
            zero,
            low: zero,
            high: 127 + zero,
            own: 0.7,
            other: 0.4,
            residual_zero: other_zero,
            sum_zero: zero + 1,
            ..Default::default()
        };
        let (fused, w): (Op, _) = if self.depthwise() {
            let data: Vec<u8> = (0..taps * c)
                .map(|i| weight(i % c, i / c, 0) as u8)
                .collect();
            let op = QuantizedDepthwise {
                kernel: conv.kernel,
                strides: conv.strides,
                dilations: conv.dilations,
                pads: conv.pads,
                x_zero,
                zero,
                low: conv.low,
                high: conv.high,
                own: conv.own,
                other: conv.other,
                residual_zero: conv.residual_zero,
                sum_zero: conv.sum_zero,
                ..Default::default()
            };
            (op.into(), net.constant(DType::I8, &[taps, c], &data))
        } else {
            let mut data = vec![0i8; p.quantized_len()];
            pack_weights(&p, weight, &mut data).unwrap();
            let panels = (self.out / self.group).div_ceil(16);
            let run = (p.kernel[2] * per).div_ceil(4);
            let dims = [self.group, panels, p.kernel[1], run, 16, 4];
            let data: Vec<u8> = data.iter().map(|&w| w as u8).collect();
            (conv.into(), net.constant(DType::I8, &dims, &data))
        };
        let mut inputs = vec![x, w, starts, multiplier];
        if self.residual {
            inputs.push(other);
        }
        Built {
            net,
            fused,
            inputs,
            layers: if self.residual { sum } else { q },
            shape,
            y_type: dtype,
        }
    }
}

#[test]
fn one_step_gives_what_its_steps_give() {
    let base = Case {
        x: [1, 9, 8, 12],
        out: 20,
        kernel: 3,
        stride: 1,
        group: 1,
        signed: false,
        residual: false,
    };
    let cases = [
        base,
        Case {
            signed: true,
            residual: true,
            ..base
        },
        Case {
            x: [2, 9, 8, 3],
            stride: 2,
            out: 33,
            ..base
        },
        Case {
            kernel: 1,
            x: [1, 20, 20, 64],
            out: 80,
            residual: true,
            ..base
        },
        Case {
            group: 2,
            signed: true,
            ..base
        },
        Case {
            group: 12,
            out: 12,
            residual: true,
            ..base
        },
        Case {
            x: [1, 12, 12, 70],
            group: 70,
            out: 70,
            kernel: 5,
            stride: 2,
            signed: true,
            ..base
        },
        Case {
            kernel: 0,
            x: [2, 3, 7, 30],
            out: 21,
            residual: true,
            ..base
        },
        Case {
            kernel: 0,
            x: [1, 1, 1, 200],
            out: 65,
            signed: true,
            ..base
        },
    ];
    let pool = Pool::new(3);
    for (i, case) in cases.iter().enumerate() {
        for parallel in [None, Some(&pool as &dyn Parallel)] {
            let mut built = case.build();
            let y = built.net.fixed(built.y_type, &built.shape);
            built.net.step(built.fused, &built.inputs, y);
            let config = Config {
                parallel,
                ..Config::default()
            };
            with_session(&mut built.net.write(&[built.layers, y]), config, |s| {
                s.run().unwrap();
                let get = |i| s.output(i).unwrap().bytes.to_vec();
                let (layers, fused) = (get(0), get(1));
                let varied = layers.iter().any(|&v| v != layers[0]);
                assert!(varied, "case {i} says nothing");
                assert_eq!(layers, fused, "case {i}");
            });
        }
    }
}

/// Changes the operator, its operands or the shape of its result.
type Damage<'a> = dyn Fn(&mut Net, &mut Op, &mut Vec<TensorId>, &mut Vec<usize>) + 'a;

/// Every operand in turn of another shape or type, and attributes out of range: an error, never another result.
#[test]
fn operands_that_do_not_fit_are_refused() {
    let dense = Case {
        x: [1, 6, 6, 8],
        out: 8,
        kernel: 3,
        stride: 1,
        group: 1,
        signed: false,
        residual: true,
    };
    for case in [
        dense,
        Case { group: 8, ..dense },
        Case { kernel: 0, ..dense },
    ] {
        let refused = |change: &Damage<'_>| {
            let mut built = case.build();
            let mut shape = built.shape.clone();
            change(
                &mut built.net,
                &mut built.fused,
                &mut built.inputs,
                &mut shape,
            );
            let y = built.net.fixed(built.y_type, &shape);
            built.net.step(built.fused, &built.inputs, y);
            with_session(&mut built.net.write(&[y]), Config::default(), |s| {
                assert!(s.run().is_err(), "{:?}", built.fused);
            });
        };
        for operand in 0..5 {
            refused(&|net, _, inputs, _| inputs[operand] = net.floats(&[3], &[0.0; 3]));
            refused(&|net, _, inputs, _| {
                inputs[operand] = net.constant(DType::I8, &[2, 2], &[0; 4]);
            });
        }
        refused(&|_, _, _, shape| shape[3] += 1);
        refused(&|_, _, _, shape| shape[0] += 1);
        type Change = fn(&mut QuantizedConv);
        let changes: [Change; 6] = [
            |op| op.x_zero = 256,
            |op| op.zero = 1000,
            |op| (op.low, op.high) = (300, 400),
            |op| op.residual_zero = -300,
            |op| op.sum_zero = 256,
            |op| (op.sum_low, op.sum_high) = (-20, -10),
        ];
        for change in changes {
            refused(&|_, op, _, _| match op {
                Op::QuantizedConv(op) => change(op),
                Op::QuantizedDepthwise(op) => {
                    let mut dense = QuantizedConv::default();
                    change(&mut dense);
                    if dense.x_zero != 0 {
                        op.x_zero = dense.x_zero;
                    } else {
                        (op.zero, op.low, op.high) = (1000, 0, 0);
                    }
                }
                _ => unreachable!("one of both"),
            });
        }
        if case.group == 1 && case.kernel > 0 {
            refused(&|_, op, _, _| {
                if let Op::QuantizedConv(op) = op {
                    op.group = 3;
                }
            });
            refused(&|_, op, _, _| {
                if let Op::QuantizedConv(op) = op {
                    op.group = 0;
                }
            });
        }
    }
}
