//! Every body against the plain integer convolution, the plain requantisation and the plain sum, bit for bit.
use super::{Operands, QuantizedConv, Requantize, Sum, pack_weights, start};
use crate::integer::{self, ConvGeometry};
use crate::quantize::{self, Target, Term};
use crate::tests::{Random, every_isa};
use crate::{Activation, Conv, Features, Kernels};
use std::{string::String, vec, vec::Vec};

/// One `Kernels` for each integer instruction set of this machine.
fn every_integer_isa() -> Vec<(String, Kernels)> {
    let mut all: Vec<(String, Kernels)> = every_isa()
        .into_iter()
        .map(|k| (String::from(k.name()), k))
        .collect();
    for name in ["avx512vnni", "dotprod", "i8mm", "dsp"] {
        let wanted = Features::from_name(name).unwrap();
        if Features::available().contains(wanted) {
            all.push((String::from(name), Kernels::for_features(wanted)));
        }
    }
    all
}

fn byte(rng: &mut Random) -> u8 {
    // Extremes often: they are where narrow arithmetic saturates.
    match rng.below(6) {
        0 => 0x80,
        1 => 0x7f,
        2 => 0xff,
        _ => rng.below(256) as u8,
    }
}

fn bytes(rng: &mut Random, n: usize) -> Vec<u8> {
    (0..n).map(|_| byte(rng)).collect()
}

struct Case {
    p: QuantizedConv,
    x: Vec<u8>,
    /// `[O, taps, C/G]`.
    w: Vec<i8>,
    bias: Vec<i32>,
    multiplier: Vec<f32>,
    residual: Option<Vec<u8>>,
    y_signed: bool,
}

fn range(signed: bool) -> (i32, i32) {
    if signed { (-128, 127) } else { (0, 255) }
}

impl Case {
    fn new(rng: &mut Random, depthwise: bool) -> Case {
        let pick = |rng: &mut Random, from: &[usize]| from[rng.below(from.len())];
        let pointwise = !depthwise && rng.below(3) == 0;
        let groups = if depthwise || pointwise {
            1
        } else {
            pick(rng, &[1, 1, 1, 2, 3])
        };
        let (ig, og) = if depthwise {
            let c = pick(rng, &[1, 3, 4, 8, 15, 16, 17, 31, 32, 33, 48, 64, 70, 144]);
            (c, c)
        } else {
            let sizes = [
                1, 2, 3, 4, 5, 7, 8, 12, 15, 16, 17, 24, 31, 32, 33, 48, 65, 130,
            ];
            (pick(rng, &sizes), pick(rng, &sizes))
        };
        let mut conv = Conv::new_2d(1, [1, 1], ig * groups, og * groups, [1, 1]);
        conv.batch = 1 + rng.below(2);
        conv.groups = if depthwise { ig } else { groups };
        conv.activation = Activation::None;
        if pointwise {
            conv.input = [1, 1 + rng.below(4), 1 + rng.below(9)];
            conv.output = conv.input;
        } else {
            for d in 0..3 {
                let (k, dilation) = match d {
                    0 => (1 + rng.below(6) / 5, 1),
                    _ => (pick(rng, &[1, 2, 3, 3, 3, 5]), 1 + rng.below(4) / 3),
                };
                conv.kernel[d] = k;
                conv.dilation[d] = dilation;
                conv.stride[d] = 1 + rng.below(3) / 2;
                conv.input[d] = if d == 0 {
                    1 + rng.below(2)
                } else {
                    1 + rng.below(12)
                };
                conv.pad_begin[d] = rng.below(k.min(3));
                let padded = conv.input[d] + conv.pad_begin[d] + rng.below(k.min(3));
                let reach = (k - 1) * dilation + 1;
                conv.input[d] += reach.saturating_sub(padded);
                let padded = padded.max(reach);
                conv.output[d] = (padded - reach) / conv.stride[d] + 1;
            }
        }
        Case::of(rng, conv, if depthwise { 1 } else { ig })
    }

    /// Two square images, padded to keep their size at a stride of one.
    fn square(rng: &mut Random, [size, ci, co, kernel, stride]: [usize; 5], groups: usize) -> Case {
        let mut conv = Conv::new_2d(2, [size, size], ci, co, [kernel, kernel]);
        conv.stride = [1, stride, stride];
        conv.pad_begin = [0, kernel / 2, kernel / 2];
        conv.output = [1, size.div_ceil(stride), size.div_ceil(stride)];
        conv.groups = groups;
        Case::of(rng, conv, ci / groups)
    }

    /// Operands of a geometry, whose weights have `ig` input channels each.
    fn of(rng: &mut Random, conv: Conv, ig: usize) -> Case {
        let (signed, y_signed) = (rng.below(2) == 0, rng.below(2) == 0);
        let of = |rng: &mut Random, (low, high): (i32, i32)| {
            low + rng.below((high - low + 1) as usize) as i32
        };
        let residual_signed = rng.below(2) == 0;
        let (low, high) = range(y_signed);
        let zero = of(rng, (low, high));
        let depth = conv.kernel.iter().product::<usize>() * ig;
        let scale = 1.0 / (40.0 * 40.0 * (depth as f32).sqrt());
        let outputs = conv.out_channels;
        let mut requantize = Requantize {
            zero,
            low,
            high,
            sum: Sum {
                own: 0.3 + rng.next().abs(),
                other: 0.3 + rng.next().abs(),
                residual_zero: of(rng, range(residual_signed)),
                residual_signed,
                zero: of(rng, (low, high)),
                low,
                high,
            },
        };
        if rng.below(2) == 0 {
            // As a Relu does.
            requantize.low = zero.min(high - 1);
            requantize.sum.low = requantize.sum.zero.min(high - 1);
        }
        let pixels = conv.input.iter().product::<usize>() * conv.batch;
        let results = conv.output.iter().product::<usize>() * conv.batch * outputs;
        let weights = outputs * depth;
        Case {
            p: QuantizedConv {
                conv,
                signed,
                x_zero: byte(rng),
                requantize,
            },
            x: bytes(rng, pixels * conv.in_channels),
            w: bytes(rng, weights).into_iter().map(|b| b as i8).collect(),
            bias: (0..outputs)
                .map(|_| (rng.next() * 60000.0) as i32)
                .collect(),
            multiplier: (0..outputs)
                .map(|_| scale * (0.5 + rng.next().abs()) * 30.0)
                .collect(),
            residual: (rng.below(3) == 0).then(|| bytes(rng, results)),
            y_signed,
        }
    }

    /// The plain kernels, one after the other.
    fn expected(&self) -> Vec<u8> {
        let p = &self.p.conv;
        let g = ConvGeometry {
            batch: p.batch,
            input: p.input,
            output: p.output,
            kernel: p.kernel,
            strides: p.stride,
            dilations: p.dilation,
            pads_before: p.pad_begin,
            channels: p.in_channels,
            outputs: p.out_channels,
            group: p.groups,
        };
        let n = p.rows() * p.output[2] * p.out_channels;
        let mut acc = vec![0i32; n];
        if self.p.signed {
            let x: Vec<i8> = self.x.iter().map(|&b| b as i8).collect();
            integer::conv(&g, &x, &[self.p.x_zero as i8], &self.w, &[], &mut acc).unwrap();
        } else {
            integer::conv(&g, &self.x, &[self.p.x_zero], &self.w, &[], &mut acc).unwrap();
        }
        let r = &self.p.requantize;
        let mut q = vec![0i32; n];
        let bounds = (r.low, r.high);
        let bias = Some(&self.bias[..]);
        let (c, m) = (p.out_channels, &self.multiplier[..]);
        quantize::requantize(c, &acc, bias, m, r.zero, bounds, |v| v, &mut q).unwrap();
        let Some(residual) = &self.residual else {
            return q.into_iter().map(|v| v as u8).collect();
        };
        // Both operands of a plain sum have one type: as 8-bit values, with zero points to match.
        let unsigned = |signed: bool| if signed { 128 } else { 0 };
        let (mine, theirs) = (unsigned(self.y_signed), unsigned(r.sum.residual_signed));
        let a: Vec<u8> = q.iter().map(|v| (v + mine) as u8).collect();
        let b: Vec<u8> = residual
            .iter()
            .map(|&v| if r.sum.residual_signed { v ^ 0x80 } else { v })
            .collect();
        let terms = [
            Term {
                zero: r.zero + mine,
                multiplier: r.sum.own,
            },
            Term {
                zero: r.sum.residual_zero + theirs,
                multiplier: r.sum.other,
            },
        ];
        let target = Target {
            zero: r.sum.zero,
            low: r.sum.low,
            high: r.sum.high,
        };
        let mut y = vec![0u8; n];
        quantize::add(terms, &target, &a, &b, |v| v as u8, &mut y).unwrap();
        y
    }

    fn check(&self, name: &str, kernels: &Kernels, depthwise: bool) {
        let p = &self.p.conv;
        let per = self.w.len() / p.out_channels;
        let taps = p.kernel.iter().product::<usize>();
        let weights = if depthwise {
            let mut w = vec![0i8; self.w.len()];
            for o in 0..p.out_channels {
                for tap in 0..taps {
                    w[tap * p.out_channels + o] = self.w[o * taps + tap];
                }
            }
            w
        } else {
            let mut w = vec![0i8; p.quantized_len()];
            let ig = per / taps;
            pack_weights(p, |o, tap, i| self.w[(o * taps + tap) * ig + i], &mut w).unwrap();
            w
        };
        let mut starts = vec![0i32; 2 * p.out_channels];
        for o in 0..p.out_channels {
            let sum = self.w[o * per..][..per].iter().map(|&w| w as i32).sum();
            let both = start(self.bias[o], sum, self.p.signed, self.p.x_zero);
            starts[o] = both[0];
            starts[p.out_channels + o] = both[1];
        }
        let want = self.expected();
        let row = p.output[2] * p.out_channels;
        let mut y = vec![0u8; want.len()];
        // In two parts, as threads do.
        let half = p.rows() / 2;
        for (rows, y) in [0..half, half..p.rows()].into_iter().zip({
            let (a, b) = y.split_at_mut(half * row);
            [a, b]
        }) {
            let o = Operands {
                x: &self.x,
                weights: &weights,
                start: &starts,
                multiplier: &self.multiplier,
                residual: self
                    .residual
                    .as_ref()
                    .map(|r| &r[rows.start * row..][..y.len()]),
            };
            let run = if depthwise {
                Kernels::quantized_depthwise
            } else {
                Kernels::quantized_conv
            };
            run(kernels, &self.p, &o, y, rows).unwrap();
        }
        if let Some(i) = (0..want.len()).find(|&i| y[i] != want[i]) {
            panic!(
                "{name}: byte {i} is {}, expected {} of {:?}",
                y[i], want[i], self.p
            );
        }
    }
}

#[test]
fn dense_gives_the_same_bits_everywhere() {
    let mut rng = Random::new(71);
    let kernels = every_integer_isa();
    for _ in 0..600 {
        let case = Case::new(&mut rng, false);
        for (name, kernels) in &kernels {
            case.check(name, kernels, false);
        }
    }
}

/// Whole tiles, long sums and strips of channels, which the random cases are too small for.
#[test]
fn larger_shapes_give_the_same_bits_everywhere() {
    let mut rng = Random::new(74);
    let kernels = every_integer_isa();
    // Input size, input and output channels, kernel, stride.
    for (size, ci, co, kernel, stride) in [
        (9, 24, 144, 1, 1),
        (7, 600, 33, 1, 1),
        (5, 96, 100, 1, 1),
        (13, 3, 32, 3, 2),
        (23, 3, 64, 7, 2),
        (8, 64, 80, 3, 1),
        (7, 66, 18, 3, 1),
        (6, 600, 16, 3, 2),
        (9, 8, 200, 5, 1),
        (1, 1280, 50, 1, 1),
    ] {
        let case = Case::square(&mut rng, [size, ci, co, kernel, stride], 1);
        for (name, kernels) in &kernels {
            case.check(name, kernels, false);
        }
    }
    for (size, c, kernel, stride) in [
        (12, 63, 3, 1),
        (13, 65, 3, 2),
        (9, 128, 5, 1),
        (11, 200, 5, 2),
        (3, 127, 5, 1),
        (9, 64, 7, 1),
        (1, 64, 3, 1),
        (2, 192, 3, 2),
    ] {
        let case = Case::square(&mut rng, [size, c, c, kernel, stride], c);
        for (name, kernels) in &kernels {
            case.check(name, kernels, true);
        }
    }
}

#[test]
fn depthwise_gives_the_same_bits_everywhere() {
    let mut rng = Random::new(72);
    let kernels = every_integer_isa();
    for _ in 0..600 {
        let case = Case::new(&mut rng, true);
        for (name, kernels) in &kernels {
            case.check(name, kernels, true);
        }
    }
}

#[test]
fn bounds_outside_of_eight_bits_are_refused() {
    let mut rng = Random::new(73);
    let mut case = Case::new(&mut rng, false);
    case.p.requantize.high = 256;
    let mut y = vec![0; case.expected_len()];
    let (w, starts) = (
        vec![0i8; case.p.conv.quantized_len()],
        vec![0i32; 2 * case.p.conv.out_channels],
    );
    let o = Operands {
        x: &case.x,
        weights: &w,
        start: &starts,
        multiplier: &case.multiplier,
        residual: None,
    };
    let rows = 0..case.p.conv.rows();
    let kernels = Kernels::best();
    assert_eq!(
        kernels.quantized_conv(&case.p, &o, &mut y, rows.clone()),
        Err(crate::KernelError::Parameter)
    );
    case.p.requantize.high = case.p.requantize.low;
    assert_eq!(
        kernels.quantized_conv(&case.p, &o, &mut y, rows.clone()),
        Ok(())
    );
    let short = Operands {
        start: &starts[1..],
        ..o
    };
    assert_eq!(
        kernels.quantized_conv(&case.p, &short, &mut y, rows),
        Err(crate::KernelError::Length),
        "{:?}",
        case.p
    );
}

impl Case {
    fn expected_len(&self) -> usize {
        self.p.conv.rows() * self.p.conv.output[2] * self.p.conv.out_channels
    }
}
