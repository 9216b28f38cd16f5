//! Less memory for more arithmetic: the layers where the arena peaks run band by band (`cygnet compile --fit`).
//!
//! Layer by layer, whole tensors lie between the layers. A band of rows of the last layer needs a band of rows of each layer
//! before, with the rows around it that windows reach; so a chain of layers can run once for each band on parts of its
//! tensors, and only its input and its result are whole (Lin et al. 2021, "MCUNetV2: Memory-Efficient Patch-based Inference
//! for Tiny Deep Learning"). Rows that two bands need are computed twice. Every element is computed from the same elements
//! in the same way, so integers do not change.
//!
//! Nothing but known operators comes of it: a band is sliced from the input, its layers are layers with less padding, and
//! its result is written into the whole one in place.

use crate::ir::{Flow, Graph, MAIN, Node, Type, ValueId};
use crate::plan::{PlanError, bytes_bound, plan};
use crate::{CompileError, CompileOptions, Compiled, emit};
use cygnet_format::op::{Pad, PadMode, PoolKind, Slice, TensorScatter};
use cygnet_format::{Axes, DType, Dim, Op};
use serde::Serialize;
use std::ops::Range;

/// Most chains that become bands.
const MAX_CHAINS: usize = 3;
/// Most plans that are made to find one.
const MAX_PLANS: usize = 3000;

/// A chain of layers that runs band by band.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Bands {
    /// The model's node of the first layer.
    pub first: String,
    /// The model's node of the last layer.
    pub last: String,
    /// Layers.
    pub layers: usize,
    /// How often they run.
    pub bands: usize,
    /// Rows of the last layer's result in a band; the last band may have fewer.
    pub rows: usize,
    /// Multiply-adds that are done more than once.
    pub extra_macs: u64,
}

/// What fitting a budget came to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Fit {
    /// Bytes that the arena may have.
    pub budget: u64,
    /// Bytes of the arena before.
    pub before: u64,
    /// Bytes of the arena.
    pub arena_bytes: u64,
    /// The chains, in the order in which they were chosen.
    pub chains: Vec<Bands>,
    /// Multiply-adds of all convolutions and products before.
    pub macs: u64,
}

impl Fit {
    /// Multiply-adds that are done more than once.
    pub fn extra_macs(&self) -> u64 {
        self.chains.iter().map(|c| c.extra_macs).sum()
    }
}

/// Rows of a layer along the height.
#[derive(Clone, Copy)]
struct Window {
    kernel: i64,
    stride: i64,
    dilation: i64,
    pad: i64,
}

/// A layer of a chain.
struct Layer<'a> {
    node: &'a Node,
    window: Window,
    /// Rows of its input.
    height: i64,
    /// Multiply-adds of a row of its result.
    row_macs: u64,
    y: ValueId,
}

/// Runs chains of layers by bands until the arena has at most `budget` bytes, or as few as that can give; the least extra
/// arithmetic among what fits. `None` when there is nothing to do or to gain.
///
/// # Errors
/// See [`CompileError`].
pub fn fit(
    compiled: &Compiled,
    options: &CompileOptions,
    budget: u64,
) -> Result<Option<(Compiled, Fit)>, CompileError> {
    let mut graph = compiled.graph.clone();
    let mut fit = Fit {
        budget,
        before: compiled.program.arena_bytes,
        arena_bytes: compiled.program.arena_bytes,
        chains: Vec::new(),
        macs: macs(&graph),
    };
    while fit.arena_bytes > budget && fit.chains.len() < MAX_CHAINS {
        let Some((better, bands, arena)) = lower(&graph, budget).map_err(emit::EmitError::from)?
        else {
            break;
        };
        graph = better;
        fit.arena_bytes = arena;
        fit.chains.push(bands);
    }
    if fit.chains.is_empty() {
        return Ok(None);
    }
    crate::ir::verify(&graph).map_err(CompileError::Malformed)?;
    let program = emit::program(&graph, &options.emit)?;
    fit.arena_bytes = program.arena_bytes;
    let report = compiled.report.clone();
    let compiled = Compiled {
        graph,
        program,
        report,
    };
    Ok(Some((compiled, fit)))
}

/// The graph with one chain in bands, and its arena: of those that fit the one with the least extra arithmetic, else the
/// smallest.
fn lower(graph: &Graph, budget: u64) -> Result<Option<(Graph, Bands, u64)>, PlanError> {
    let now = plan(graph)?;
    let Some((MAIN, peak)) = now.peak else {
        return Ok(None);
    };
    let nodes = &graph.blocks[MAIN.0 as usize].nodes;
    let mut candidates: Vec<(u64, Vec<usize>, usize)> = Vec::new();
    for chain in chains(graph) {
        for (i, j) in (0..chain.len()).flat_map(|i| (i + 1..chain.len()).map(move |j| (i, j))) {
            let part = &chain[i..=j];
            let ends = [
                nodes[part[0]].inputs[0],
                nodes[part[part.len() - 1]].outputs[0],
            ];
            let whole: u64 = ends
                .iter()
                .flatten()
                .filter_map(|&v| bytes_bound(graph, v))
                .sum();
            if !part.contains(&peak) || whole >= now.arena_bytes {
                continue;
            }
            let layers = layers(graph, part);
            let height = layers.last().map_or(0, |l| rows_of(graph, l.y));
            let mut last = 0;
            for bands in 2..=height {
                let rows = (height + bands - 1) / bands;
                if rows != last {
                    candidates.push((extra(&layers, height, rows), part.to_vec(), rows as usize));
                }
                last = rows;
            }
        }
    }
    // Of equal arithmetic the fewer bands.
    candidates.sort_by_key(|(extra, part, rows)| (*extra, std::cmp::Reverse(*rows), part.len()));
    let mut best: Option<(Graph, Bands, u64)> = None;
    for (extra, part, rows) in candidates.into_iter().take(MAX_PLANS) {
        let banded = in_bands(graph, &part, rows as i64);
        let arena = plan(&banded)?.arena_bytes;
        let before = best.as_ref().map_or(now.arena_bytes, |b| b.2);
        if arena >= before {
            continue;
        }
        let layers = layers(graph, &part);
        let height = rows_of(graph, layers[layers.len() - 1].y) as usize;
        let bands = Bands {
            first: layers[0].node.source.clone(),
            last: layers[layers.len() - 1].node.source.clone(),
            layers: part.len(),
            bands: height.div_ceil(rows),
            rows,
            extra_macs: extra,
        };
        best = Some((banded, bands, arena));
        if arena <= budget {
            break;
        }
    }
    Ok(best)
}

/// The longest chains of layers that can run by bands, each the only reader of the one before.
fn chains(graph: &Graph) -> Vec<Vec<usize>> {
    let nodes = &graph.blocks[MAIN.0 as usize].nodes;
    let flow = Flow::of(graph);
    let mut taken = vec![false; nodes.len()];
    let mut chains = Vec::new();
    for start in 0..nodes.len() {
        let (mut chain, mut at) = (Vec::new(), start);
        while at < nodes.len() && !taken[at] && window(graph, &nodes[at]).is_some() {
            taken[at] = true;
            chain.push(at);
            let y = nodes[at].outputs[0].expect("a layer has a result");
            at = match flow.only_reader(y) {
                Some(one) if nodes[one].inputs[0] == Some(y) => one,
                _ => break,
            };
        }
        if chain.len() > 1 {
            chains.push(chain);
        }
    }
    chains
}

/// Height of an `[1, H, W, C]` tensor of constant shape.
fn image(graph: &Graph, v: ValueId) -> Option<[usize; 4]> {
    match graph.ty(v).fixed_shape()?[..] {
        [1, h, w, c] if h > 0 && w > 0 && c > 0 => Some([1, h, w, c]),
        _ => None,
    }
}

fn rows_of(graph: &Graph, v: ValueId) -> i64 {
    image(graph, v).map_or(0, |[_, h, ..]| h as i64)
}

/// The rows that a node reads for each of its result, when it can run on a band of them.
fn window(graph: &Graph, node: &Node) -> Option<Window> {
    let (x, [Some(y)]) = (node.inputs.first().copied().flatten()?, &node.outputs[..]) else {
        return None;
    };
    let ([_, height, ..], [_, rows, ..]) = (image(graph, x)?, image(graph, *y)?);
    // The operands besides the first: constants, which serve all bands, and no residual.
    let constants = |count: usize| {
        let mut others = node.inputs.iter().skip(1).enumerate();
        others.all(|(i, v)| match v {
            Some(v) => i < count && graph.value(*v).data.is_some(),
            None => true,
        })
    };
    let (axes, count) = match &node.op {
        Op::QuantizedConv(o) => ([&o.kernel, &o.strides, &o.dilations, &o.pads], 3),
        Op::QuantizedDepthwise(o) => ([&o.kernel, &o.strides, &o.dilations, &o.pads], 3),
        Op::Conv(o) => ([&o.kernel, &o.strides, &o.dilations, &o.pads], 2),
        Op::DepthwiseConv(o) => ([&o.kernel, &o.strides, &o.dilations, &o.pads], 2),
        Op::Pool(o) if o.kind == PoolKind::Max => {
            ([&o.kernel, &o.strides, &o.dilations, &o.pads], 0)
        }
        Op::Unary(_) | Op::Lookup(_) => {
            let whole = Window {
                kernel: 1,
                stride: 1,
                dilation: 1,
                pad: 0,
            };
            return (height == rows && constants(1)).then_some(whole);
        }
        _ => return None,
    };
    let [kernel, strides, dilations, pads] = axes;
    let first = |axes: &Axes, default: i32| axes.first().copied().unwrap_or(default).into();
    let window = Window {
        kernel: first(kernel, 1),
        stride: first(strides, 1),
        dilation: first(dilations, 1),
        pad: first(pads, 0),
    };
    let (last, end) = (
        (rows as i64 - 1) * window.stride - window.pad,
        (window.kernel - 1) * window.dilation,
    );
    // No row is made of padding alone.
    let inside = window.pad <= end && last < height as i64;
    (kernel.len() == 2 && inside && constants(count)).then_some(window)
}

fn layers<'a>(graph: &'a Graph, chain: &[usize]) -> Vec<Layer<'a>> {
    let nodes = &graph.blocks[MAIN.0 as usize].nodes;
    let layer = |&i: &usize| {
        let node = &nodes[i];
        let y = node.outputs[0].expect("a layer has a result");
        Layer {
            window: window(graph, node).expect("a layer of a chain"),
            height: rows_of(graph, node.inputs[0].expect("a layer has an operand")),
            row_macs: node_macs(graph, node) / (rows_of(graph, y) as u64).max(1),
            node,
            y,
        }
    };
    chain.iter().map(layer).collect()
}

/// Multiply-adds of a convolution or a product; 0 for everything else.
fn node_macs(graph: &Graph, node: &Node) -> u64 {
    let elements = |v: Option<ValueId>| {
        let dims = v.map(|v| graph.ty(v).shape.to_vec()).unwrap_or_default();
        let bound = |&d: &Dim| graph.dim_bounds(d).1.max(0) as u64;
        let product = dims.iter().map(bound).product::<u64>();
        (product, dims.last().map_or(1, bound))
    };
    let taps = |kernel: &Axes| kernel.iter().map(|&k| k.max(1) as u64).product::<u64>();
    let (y, _) = elements(node.outputs.first().copied().flatten());
    let (_, depth) = elements(node.inputs.first().copied().flatten());
    match &node.op {
        Op::QuantizedConv(o) => y * taps(&o.kernel) * (depth / u64::from(o.group.max(1))),
        Op::Conv(o) => y * taps(&o.kernel) * (depth / u64::from(o.group.max(1))),
        Op::QuantizedDepthwise(o) => y * taps(&o.kernel),
        Op::DepthwiseConv(o) => y * taps(&o.kernel),
        Op::MatMul(_) => y * depth,
        _ => 0,
    }
}

fn macs(graph: &Graph) -> u64 {
    let nodes = graph.blocks.iter().flat_map(|b| &b.nodes);
    nodes.map(|n| node_macs(graph, n)).sum()
}

/// Rows of a layer's input that rows of its result need, and the padding above and below them.
fn needed(layer: &Layer<'_>, rows: &Range<i64>) -> (Range<i64>, [i64; 2]) {
    let w = layer.window;
    let from = rows.start * w.stride - w.pad;
    let to = (rows.end - 1) * w.stride - w.pad + (w.kernel - 1) * w.dilation + 1;
    let inside = from.max(0)..to.min(layer.height);
    let pads = [inside.start - from, to - inside.end];
    (inside, pads)
}

/// What each layer of a chain does for rows of the last: rows of its result, those of its input, and the padding.
fn walk(layers: &[Layer<'_>], rows: Range<i64>) -> Vec<(Range<i64>, Range<i64>, [i64; 2])> {
    let mut wanted = rows;
    let mut parts: Vec<_> = layers
        .iter()
        .rev()
        .map(|layer| {
            let (from, pads) = needed(layer, &wanted);
            let made = std::mem::replace(&mut wanted, from.clone());
            (made, from, pads)
        })
        .collect();
    parts.reverse();
    parts
}

/// The bands of a height.
fn bands(height: i64, rows: i64) -> impl Iterator<Item = Range<i64>> {
    (0..height)
        .step_by(rows.max(1) as usize)
        .map(move |at| at..(at + rows).min(height))
}

/// Multiply-adds of all bands beyond those of the whole.
fn extra(layers: &[Layer<'_>], height: i64, rows: i64) -> u64 {
    let mut computed = vec![0; layers.len()];
    for band in bands(height, rows) {
        for (sum, (made, ..)) in computed.iter_mut().zip(walk(layers, band)) {
            *sum += made.end - made.start;
        }
    }
    let whole = layers.iter().skip(1).map(|l| l.height).chain([height]);
    let rows = computed.iter().zip(whole);
    let more = rows.zip(layers).map(|((&rows, whole), layer)| {
        // Rows that no band needs are not computed at all.
        (rows - whole).max(0) as u64 * layer.row_macs
    });
    more.sum()
}

/// The operator with other padding above and below.
fn padded(op: &Op, [above, below]: [i64; 2]) -> Op {
    let mut op = *op;
    let pads = match &mut op {
        Op::QuantizedConv(o) => &mut o.pads,
        Op::QuantizedDepthwise(o) => &mut o.pads,
        Op::Conv(o) => &mut o.pads,
        Op::DepthwiseConv(o) => &mut o.pads,
        Op::Pool(o) => &mut o.pads,
        _ => return op,
    };
    let side = |i: usize| pads.get(i).copied().unwrap_or(0);
    let sides = [above as i32, side(1), below as i32, side(3)];
    *pads = sides.into_iter().collect();
    op
}

/// The graph with a chain of layers in bands of so many rows of its result.
fn in_bands(graph: &Graph, chain: &[usize], rows: i64) -> Graph {
    let layers = layers(graph, chain);
    let last = &layers[layers.len() - 1];
    let x = layers[0].node.inputs[0].expect("a layer has an operand");
    let whole = graph.ty(last.y).clone();
    let height = rows_of(graph, last.y);
    let mut out = graph.clone();
    let mut steps: Vec<Node> = Vec::new();
    let of_rows = |v: ValueId, rows: &Range<i64>| {
        let mut ty = graph.ty(v).clone();
        let dims = ty.shape.iter().enumerate();
        let count = Dim((rows.end - rows.start) as i32);
        ty.shape = dims.map(|(i, &d)| if i == 1 { count } else { d }).collect();
        ty
    };
    let mut step =
        |out: &mut Graph, op: Op, inputs: Vec<Option<ValueId>>, ty: Type, source: &str| {
            let name = format!("band_{}", out.values.len());
            let y = out.add_value(name, ty);
            steps.push(Node {
                op,
                inputs,
                outputs: vec![Some(y)],
                source: source.to_owned(),
            });
            y
        };
    let mut held: Option<ValueId> = None;
    for band in bands(height, rows) {
        let at = band.start;
        let parts = walk(&layers, band);
        let (_, from, _) = &parts[0];
        let mut v = x;
        if *from != (0..layers[0].height) {
            let starts = [0, from.start as i32, 0, 0];
            let op = Slice {
                starts: starts.into_iter().map(Dim).collect(),
                steps: [1; 4].into_iter().collect(),
            };
            let source = &layers[0].node.source;
            v = step(&mut out, op.into(), vec![Some(x)], of_rows(x, from), source);
        }
        for (layer, (made, _, pads)) in layers.iter().zip(&parts) {
            let mut inputs = layer.node.inputs.clone();
            inputs[0] = Some(v);
            let op = padded(&layer.node.op, *pads);
            v = step(
                &mut out,
                op,
                inputs,
                of_rows(layer.y, made),
                &layer.node.source,
            );
        }
        let source = &last.node.source;
        held = Some(match held {
            // The rows below are whatever they are until their bands are written.
            None => {
                let op = Pad {
                    before: [0; 4].into_iter().map(Dim).collect(),
                    mode: PadMode::Constant,
                };
                step(&mut out, op.into(), vec![Some(v)], whole.clone(), source)
            }
            Some(before) => {
                let row = Type::fixed(DType::I64, &[1]);
                let name = format!("row_{}", out.values.len());
                let row = out.add_constant(name, row, at.to_le_bytes().to_vec());
                let op = TensorScatter {
                    axis: 1,
                    circular: false,
                };
                let inputs = vec![Some(before), Some(v), Some(row)];
                step(&mut out, op.into(), inputs, whole.clone(), source)
            }
        });
    }
    if let Some(end) = steps.last_mut() {
        end.outputs = vec![Some(last.y)];
    }
    let nodes = std::mem::take(&mut out.blocks[MAIN.0 as usize].nodes);
    let end = chain[chain.len() - 1];
    let mut steps = Some(steps);
    let kept = &mut out.blocks[MAIN.0 as usize].nodes;
    for (i, node) in nodes.into_iter().enumerate() {
        match i {
            _ if i == end => kept.extend(steps.take().into_iter().flatten()),
            _ if chain.contains(&i) => {}
            _ => kept.push(node),
        }
    }
    out
}

#[cfg(test)]
mod tests;
