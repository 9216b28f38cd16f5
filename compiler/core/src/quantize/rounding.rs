//! Rounding that compensates: each weight is rounded to the integer that, with the errors of those already rounded, changes
//! the layer's results least on the inputs that calibration saw (Frantar et al. 2022, "GPTQ: Accurate Post-Training
//! Quantization for Generative Pre-trained Transformers"; the order-independent form is Babai's nearest plane, as shown by
//! Chen et al. 2025, "The Geometry of LLM Quantization: GPTQ as Babai's Nearest Plane Algorithm").
//!
//! For inputs x the expected squared change of a result is `e H e` with `H = E[x x'] = R' R` and the errors `e` of its
//! weights. With R upper triangular, weight i meets only errors of later ones: from the last to the first, each takes on
//! `sum(R[i, j] e[j]) / R[i, i]` of those behind it before it is rounded. The inputs are rounded too, which adds a twelfth
//! of their squared step to the diagonal.

use super::Sample;
use super::calibrate::observe_shapes;
use super::compile::QuantizeError;
use super::scheme::{Kind, Layer, Scheme};
use super::weights::{LARGEST, Rounded};
use crate::ir::{Graph, MAIN, ValueId};
use cygnet_format::{Axes, Op};
use std::collections::BTreeMap;

/// Rows of inputs that give the moments of a layer, for each input of a result. Fewer would let noise in.
const ROWS: usize = 4;
/// At least this many rows.
const LEAST_ROWS: usize = 2048;
/// Inputs of a result that are looked at together: the cost grows with the square of it.
const BLOCK: usize = 1024;
/// Rows that enter the moments at once.
const AT_ONCE: usize = 8;
/// Least part of the mean of the diagonal that is added to it, so that directions no sample shows stay as they are.
const DAMPING: f64 = 0.01;

/// Second moments of consecutive inputs of a result.
#[derive(Clone, Debug)]
struct Block {
    start: usize,
    len: usize,
    /// Sums of products, the upper triangle of `[len, len]`.
    sums: Vec<f32>,
}

/// Second moments of the inputs of a layer, for each set of outputs that read the same inputs.
#[derive(Clone, Debug)]
pub(super) struct Moments {
    units: Vec<Vec<Block>>,
    rows: usize,
    /// Rows that are wanted in all.
    wanted: usize,
}

/// Where the windows of a layer lie in its input.
struct Windows {
    kernel: Vec<usize>,
    strides: Vec<usize>,
    dilations: Vec<usize>,
    begin: Vec<usize>,
    end: Vec<usize>,
}

impl Windows {
    fn of(op: &Op) -> Windows {
        let (kernel, strides, dilations, pads) = match op {
            Op::Conv(o) => (&o.kernel, &o.strides, &o.dilations, &o.pads),
            Op::DepthwiseConv(o) => (&o.kernel, &o.strides, &o.dilations, &o.pads),
            _ => {
                return Windows {
                    kernel: Vec::new(),
                    strides: Vec::new(),
                    dilations: Vec::new(),
                    begin: Vec::new(),
                    end: Vec::new(),
                };
            }
        };
        let list = |a: &Axes| a.iter().map(|&v| v as usize).collect::<Vec<_>>();
        let pads = list(pads);
        let (begin, end) = pads.split_at(kernel.len());
        Windows {
            kernel: list(kernel),
            strides: list(strides),
            dilations: list(dilations),
            begin: begin.to_vec(),
            end: end.to_vec(),
        }
    }

    /// Extents of the output over an input of `[N, spatial.., C]`.
    fn outputs(&self, shape: &[usize]) -> Vec<usize> {
        (0..self.kernel.len())
            .map(|d| {
                let reach = (self.kernel[d] - 1) * self.dilations[d] + 1;
                let padded = shape[d + 1] + self.begin[d] + self.end[d];
                padded
                    .checked_sub(reach)
                    .map_or(0, |r| r / self.strides[d] + 1)
            })
            .collect()
    }

    /// The offsets of the pixels under window `at`, `None` for padding.
    fn pixels(
        &self,
        shape: &[usize],
        outputs: &[usize],
        mut at: usize,
        out: &mut Vec<Option<usize>>,
    ) {
        let rank = self.kernel.len();
        let mut place = vec![0; rank];
        for d in (0..rank).rev() {
            place[d] = at % outputs[d];
            at /= outputs[d];
        }
        out.clear();
        let taps: usize = self.kernel.iter().product();
        for tap in 0..taps {
            let (mut rest, mut pixel, mut step) = (tap, Some(0), 1);
            for d in (0..rank).rev() {
                let k = rest % self.kernel[d];
                rest /= self.kernel[d];
                let x = place[d] * self.strides[d] + k * self.dilations[d];
                let x = x.checked_sub(self.begin[d]).filter(|&x| x < shape[d + 1]);
                pixel = pixel.zip(x).map(|(p, x)| p + x * step);
                step *= shape[d + 1];
            }
            out.push(pixel.map(|p| p + at * step));
        }
    }
}

impl Layer {
    /// Sets of outputs that read the same inputs, inputs of each, outputs of each.
    fn units(&self) -> (usize, usize, usize) {
        match (self.kind, &self.shape[..]) {
            (Kind::Matrix { trans: true }, &[n, k]) | (Kind::Matrix { .. }, &[k, n]) => (1, k, n),
            (Kind::Convolution, &[groups, depth, n]) => (groups, depth, n),
            _ => (self.outputs, self.taps, 1),
        }
    }

    /// The place of a weight: that of input `k` of output `j` of a unit.
    fn place(&self, unit: usize, k: usize, j: usize) -> usize {
        match (self.kind, &self.shape[..]) {
            (Kind::Matrix { trans: true }, &[_, depth]) => j * depth + k,
            (Kind::Matrix { .. }, &[_, n]) => k * n + j,
            (Kind::Convolution, &[_, depth, n]) => (unit * depth + k) * n + j,
            _ => k * self.outputs + unit,
        }
    }
}

impl Moments {
    fn new(layer: &Layer) -> Moments {
        let (units, depth, _) = layer.units();
        let count = depth.div_ceil(BLOCK);
        let len = depth.div_ceil(count);
        let block = |i: usize| {
            let start = i * len;
            let len = len.min(depth - start);
            Block {
                start,
                len,
                sums: vec![0.0; len * len],
            }
        };
        Moments {
            units: (0..units)
                .map(|_| (0..count).map(block).collect())
                .collect(),
            rows: 0,
            wanted: LEAST_ROWS.max(ROWS * len),
        }
    }

    /// Takes rows of a layer's input, evenly spread, about `rows` of them.
    fn add(
        &mut self,
        layer: &Layer,
        windows: &Windows,
        shape: &[usize],
        x: &[f32],
        rows: usize,
        seed: usize,
    ) {
        let (units, depth, _) = layer.units();
        let Some(&channels) = shape.last() else {
            return;
        };
        let matrix = matches!(layer.kind, Kind::Matrix { .. });
        let outputs = if matrix {
            Vec::new()
        } else {
            windows.outputs(shape)
        };
        let positions = if matrix {
            x.len() / channels.max(1)
        } else {
            shape[0] * outputs.iter().product::<usize>()
        };
        if positions == 0 {
            return;
        }
        let step = (positions / rows.max(1)).max(1);
        let chosen: Vec<usize> = (seed % step..positions).step_by(step).collect();
        let mut pixels = Vec::new();
        // [unit][row][k]
        let mut table = vec![0f32; units * AT_ONCE * depth];
        for some in chosen.chunks(AT_ONCE) {
            table.fill(0.0);
            for (r, &at) in some.iter().enumerate() {
                if matrix {
                    let row = &x[at * channels..][..channels];
                    table[r * depth..][..depth].copy_from_slice(row);
                    continue;
                }
                windows.pixels(shape, &outputs, at, &mut pixels);
                let each = depth / layer.taps;
                for (tap, pixel) in pixels.iter().enumerate() {
                    let Some(pixel) = pixel else { continue };
                    let row = &x[pixel * channels..][..channels];
                    for (unit, part) in row.chunks_exact(each).enumerate() {
                        let to = (unit * AT_ONCE + r) * depth + tap * each;
                        table[to..][..each].copy_from_slice(part);
                    }
                }
            }
            self.rows += some.len();
            for (unit, rows) in self
                .units
                .iter_mut()
                .zip(table.chunks_exact(AT_ONCE * depth))
            {
                unit.iter_mut().for_each(|b| b.add(rows, depth));
            }
        }
    }
}

impl Block {
    /// Adds the products of [`AT_ONCE`] rows of `depth` inputs.
    fn add(&mut self, rows: &[f32], depth: usize) {
        let n = self.len;
        let row: [&[f32]; AT_ONCE] = std::array::from_fn(|r| &rows[r * depth + self.start..][..n]);
        for i in 0..n {
            let factors = row.map(|r| r[i]);
            if factors == [0.0; AT_ONCE] {
                continue;
            }
            let sums = &mut self.sums[i * n + i..(i + 1) * n];
            let right = row.map(|r| &r[i..]);
            for (j, sum) in sums.iter_mut().enumerate() {
                let mut s = 0.0;
                for (f, r) in factors.iter().zip(&right) {
                    s += f * r[j];
                }
                *sum += s;
            }
        }
    }

    /// The order in which inputs are rounded, last to first, and the upper triangular factor R of the moments in it;
    /// `None` where no sample shows anything.
    fn factor(&self, rows: usize, noise: f64) -> Option<(Vec<usize>, Vec<f32>)> {
        let n = self.len;
        let diagonal = |i: usize| f64::from(self.sums[i * n + i]) / rows as f64;
        let mean = (0..n).map(diagonal).sum::<f64>() / n as f64;
        if !(mean.is_normal() && mean > 0.0) {
            return None;
        }
        // Moments of few rows say as much about chance as about the model.
        let damping = (n as f64 / (n + rows) as f64).max(DAMPING);
        // The inputs that matter most are rounded first, while others can still compensate.
        let mut order: Vec<usize> = (0..n).collect();
        order.sort_by(|&a, &b| diagonal(a).total_cmp(&diagonal(b)));
        let mut r = vec![0f64; n * n];
        for i in 0..n {
            for j in i..n {
                let (a, b) = (order[i].min(order[j]), order[i].max(order[j]));
                r[i * n + j] = f64::from(self.sums[a * n + b]) / rows as f64;
            }
            r[i * n + i] += noise + damping * mean;
        }
        // Cholesky by rows: row k leaves its products in all rows below.
        for k in 0..n {
            let (above, below) = r.split_at_mut((k + 1) * n);
            let row = &mut above[k * n + k..];
            let pivot = row[0];
            if pivot.is_nan() || pivot <= 0.0 {
                return None;
            }
            let root = pivot.sqrt();
            row.iter_mut().for_each(|v| *v /= root);
            for (i, lower) in below.chunks_exact_mut(n).enumerate() {
                let factor = row[i + 1];
                if factor != 0.0 {
                    let target = &mut lower[k + 1 + i..];
                    for (t, v) in target.iter_mut().zip(&row[i + 1..]) {
                        *t -= factor * v;
                    }
                }
            }
        }
        Some((order, r.iter().map(|&v| v as f32).collect()))
    }
}

/// The second moments of each layer's inputs in the float model.
pub(super) fn moments(
    graph: &Graph,
    scheme: &Scheme,
    samples: &[Sample],
) -> Result<Vec<Moments>, QuantizeError> {
    let nodes = &graph.blocks[MAIN.0 as usize].nodes;
    let windows: Vec<Windows> = scheme
        .layers
        .iter()
        .map(|l| Windows::of(&nodes[l.node].op))
        .collect();
    let mut all: Vec<Moments> = scheme.layers.iter().map(Moments::new).collect();
    let mut readers: BTreeMap<ValueId, Vec<usize>> = BTreeMap::new();
    for (k, layer) in scheme.layers.iter().enumerate() {
        readers.entry(layer.x).or_default().push(k);
    }
    let wanted: Vec<ValueId> = readers.keys().copied().collect();
    observe_shapes(graph, &wanted, samples, &mut |i, v, shape, values| {
        for &k in readers.get(&v).into_iter().flatten() {
            let rows = all[k].wanted.div_ceil(samples.len());
            all[k].add(
                &scheme.layers[k],
                &windows[k],
                shape,
                values,
                rows,
                i * 7919,
            );
        }
        Ok(())
    })?;
    Ok(all)
}

/// Rounds the weights of a layer again, with the scales that they have; `step` is the distance of its input's integers.
pub(super) fn compensated(
    layer: &Layer,
    weights: &[f32],
    rounded: &Rounded,
    moments: &Moments,
    step: f32,
) -> Rounded {
    let noise = f64::from(step) * f64::from(step) / 12.0;
    let (_, _, outputs) = layer.units();
    let mut ints = rounded.ints.clone();
    for (unit, blocks) in moments.units.iter().enumerate() {
        for block in blocks {
            let Some((order, r)) = block.factor(moments.rows.max(1), noise) else {
                continue;
            };
            let n = block.len;
            // Errors of the weights, [input][output].
            let mut errors = vec![0f32; n * outputs];
            let mut owed = vec![0f32; outputs];
            for i in (0..n).rev() {
                owed.fill(0.0);
                for (j, factor) in r[i * n + i + 1..(i + 1) * n].iter().enumerate() {
                    let of = &errors[(i + 1 + j) * outputs..][..outputs];
                    for (o, e) in owed.iter_mut().zip(of) {
                        *o += factor * e;
                    }
                }
                let pivot = r[i * n + i];
                for (j, owed) in owed.iter().enumerate() {
                    let place = layer.place(unit, block.start + order[i], j);
                    let scale = rounded.scales[layer.channel(place)];
                    let q = (weights[place] + owed / pivot) / scale;
                    let q = q.round_ties_even().clamp(-LARGEST, LARGEST);
                    errors[i * outputs + j] = weights[place] - q * scale;
                    ints[place] = q as i8;
                }
            }
        }
    }
    let (mut signal, mut lost) = (0f64, 0f64);
    for (i, (&w, &q)) in weights.iter().zip(&ints).enumerate() {
        let error = w - f32::from(q) * rounded.scales[layer.channel(i)];
        signal += f64::from(w) * f64::from(w);
        lost += f64::from(error) * f64::from(error);
    }
    Rounded {
        ints,
        scales: rounded.scales.clone(),
        snr_db: 10.0 * (signal / lost).log10(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::quantize::weights::quantise;
    use crate::testing::Random;

    fn draw(r: &mut Random) -> f32 {
        r.below(20_001) as f32 / 10_000.0 - 1.0
    }

    fn layer(kind: Kind, shape: &[usize], outputs: usize, taps: usize) -> Layer {
        Layer {
            node: 0,
            kind,
            x: ValueId(0),
            y: ValueId(1),
            weights: ValueId(2),
            shape: shape.to_vec(),
            packing: None,
            bias: None,
            outputs,
            taps,
        }
    }

    fn windows(k: usize, pad: usize) -> Windows {
        Windows {
            kernel: vec![k, k],
            strides: vec![1, 1],
            dilations: vec![1, 1],
            begin: vec![pad, pad],
            end: vec![pad, pad],
        }
    }

    /// The squared errors of the results over inputs `[1, side, side, C]`, by nearest and by compensating rounding.
    fn lost(layer: &Layer, k: usize, side: usize, channels: usize) -> [f64; 2] {
        let mut r = Random::new(9);
        let n: usize = layer.shape.iter().product();
        let weights: Vec<f32> = (0..n).map(|_| draw(&mut r)).collect();
        let bias = vec![0.0; layer.outputs];
        let nearest = quantise(&weights, |i| layer.channel(i), &bias, 0.01);
        let windows = windows(k, k / 2);
        let shape = [1, side, side, channels];
        // A bright ground with a little on it, and channels that follow each other.
        let mut input = |_| {
            let common: Vec<f32> = (0..side * side).map(|_| 2.0 + 0.3 * draw(&mut r)).collect();
            let pixel = |p: usize, r: &mut Random| common[p] + 0.1 * draw(r);
            (0..side * side * channels)
                .map(|i| pixel(i / channels, &mut r))
                .collect::<Vec<f32>>()
        };
        let inputs: Vec<Vec<f32>> = (0..8).map(&mut input).collect();
        let mut moments = Moments::new(layer);
        for (i, x) in inputs[..6].iter().enumerate() {
            moments.add(layer, &windows, &shape, x, 10_000, i);
        }
        let better = compensated(layer, &weights, &nearest, &moments, 0.01);
        assert_eq!(better.scales, nearest.scales);
        let (units, depth, outputs) = layer.units();
        let error = |q: &Rounded| {
            let mut sum = 0f64;
            for x in &inputs[6..] {
                let mut pixels = Vec::new();
                for at in 0..side * side {
                    windows.pixels(&shape, &[side, side], at, &mut pixels);
                    for (unit, j) in (0..units).flat_map(|u| (0..outputs).map(move |j| (u, j))) {
                        let mut e = 0.0;
                        for kk in 0..depth {
                            let each = depth / layer.taps;
                            let Some(p) = pixels[kk / each] else { continue };
                            let place = layer.place(unit, kk, j);
                            let w = f32::from(q.ints[place]) * q.scales[layer.channel(place)];
                            e += (weights[place] - w) * x[p * channels + unit * each + kk % each];
                        }
                        sum += f64::from(e * e);
                    }
                }
            }
            sum
        };
        [error(&nearest), error(&better)]
    }

    #[test]
    fn errors_compensate_on_inputs_like_those_seen() {
        let cases = [
            ("dense", layer(Kind::Convolution, &[1, 36, 5], 5, 9), 3, 4),
            (
                "pointwise",
                layer(Kind::Convolution, &[1, 24, 7], 7, 1),
                1,
                24,
            ),
            ("grouped", layer(Kind::Convolution, &[2, 27, 2], 4, 9), 3, 6),
            ("depthwise", layer(Kind::Depthwise, &[25, 6], 6, 25), 5, 6),
        ];
        for (name, layer, k, channels) in cases {
            let [nearest, better] = lost(&layer, k, 9, channels);
            assert!(better < 0.35 * nearest, "{name}: {nearest} -> {better}");
        }
    }

    #[test]
    fn products_of_both_orders_are_rounded_alike() {
        let mut r = Random::new(4);
        let (k, n) = (20, 3);
        let weights: Vec<f32> = (0..k * n).map(|_| draw(&mut r)).collect();
        let turned: Vec<f32> = (0..n * k).map(|i| weights[i % k * n + i / k]).collect();
        let x: Vec<f32> = (0..64 * k)
            .map(|i| 1.0 + 0.5 * draw(&mut r) + i as f32 * 1e-4)
            .collect();
        let round = |layer: &Layer, w: &[f32]| {
            let nearest = quantise(w, |i| layer.channel(i), &[0.0; 3], 0.01);
            let mut moments = Moments::new(layer);
            let none = Windows::of(&cygnet_format::op::PackB { trans: false }.into());
            moments.add(layer, &none, &[64, k], &x, 64, 0);
            assert_eq!(moments.rows, 64);
            compensated(layer, w, &nearest, &moments, 0.01)
        };
        let a = round(
            &layer(Kind::Matrix { trans: false }, &[k, n], n, 1),
            &weights,
        );
        let b = round(&layer(Kind::Matrix { trans: true }, &[n, k], n, 1), &turned);
        for i in 0..k * n {
            assert_eq!(a.ints[i], b.ints[i % n * k + i / n]);
        }
    }

    #[test]
    fn windows_of_strides_and_padding() {
        let windows = Windows {
            kernel: vec![2, 3],
            strides: vec![2, 1],
            dilations: vec![1, 2],
            begin: vec![1, 0],
            end: vec![0, 1],
        };
        let shape = [2, 3, 6, 4];
        let outputs = windows.outputs(&shape);
        assert_eq!(outputs, [2, 3]);
        let mut pixels = Vec::new();
        // The first output of the second image: its first row of taps is padding.
        windows.pixels(&shape, &outputs, 6, &mut pixels);
        assert_eq!(pixels, [None, None, None, Some(18), Some(20), Some(22)]);
        windows.pixels(&shape, &outputs, 5, &mut pixels);
        assert_eq!(pixels, [Some(8), Some(10), None, Some(14), Some(16), None]);
    }

    #[test]
    fn inputs_that_were_never_seen_leave_weights_as_they_are() {
        let layer = layer(Kind::Matrix { trans: false }, &[4, 2], 2, 1);
        let weights = [0.3, -0.2, 0.9, 0.11, -0.7, 0.4, 0.1, 1.0];
        let nearest = quantise(&weights, |i| layer.channel(i), &[0.0; 2], 0.01);
        let moments = Moments::new(&layer);
        let same = compensated(&layer, &weights, &nearest, &moments, 0.01);
        assert_eq!(same.ints, nearest.ints);
    }
}
