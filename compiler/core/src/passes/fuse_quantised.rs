//! Joins integer products with the requantisation of their sums, and with the addition of a residual, in one step.
//!
//! The 32-bit sums disappear as tensors: they never leave the registers of the kernel.

use super::lower_quantised::integers;
use super::rewrite::{Rewriter, rewrite};
use crate::ir::{Graph, Node, Type, ValueId};
use cygnet_format::op::{QuantizedAdd, QuantizedConv, QuantizedDepthwise, Requantize};
use cygnet_format::{DType, Op};
use cygnet_kernels::quantized::{GROUP, pack_weights, start};
use cygnet_kernels::{Conv, gemm};

/// Fuses quantised products; gives their number.
pub fn fuse_quantised(graph: &mut Graph) -> usize {
    rewrite(graph, &mut |cx, node| match node.op {
        Op::Requantize(op) => Some(product(cx, &node, &op).unwrap_or(node)),
        Op::QuantizedAdd(op) => Some(sum(cx, &node, &op).unwrap_or(node)),
        _ => Some(node),
    })
}

fn operand(node: &Node, i: usize) -> Option<ValueId> {
    node.inputs.get(i).copied().flatten()
}

/// The one integer of a constant; zero when it is absent.
fn one(cx: &Rewriter<'_>, v: Option<ValueId>) -> Option<i32> {
    match v {
        None => Some(0),
        Some(v) => match integers(cx.graph, v)?[..] {
            [z] => Some(z),
            _ => None,
        },
    }
}

/// Weights less their zero points, when they fit 8 signed bits. `column` gives the output channel of an element.
fn centred(
    cx: &Rewriter<'_>,
    w: ValueId,
    zero: Option<ValueId>,
    column: impl Fn(usize) -> usize,
) -> Option<Vec<i8>> {
    let zeros = match zero {
        None => vec![0],
        Some(z) => integers(cx.graph, z)?,
    };
    let less = |(i, w): (usize, i32)| {
        let zero = if zeros.len() == 1 {
            zeros[0]
        } else {
            *zeros.get(column(i))?
        };
        i8::try_from(w - zero).ok()
    };
    integers(cx.graph, w)?
        .into_iter()
        .enumerate()
        .map(less)
        .collect()
}

/// A convolution, or a matrix product with an empty kernel, in the terms of the fused operators.
struct Product {
    op: QuantizedConv,
    /// `[O, taps, C/G]`.
    weights: Vec<i8>,
    shape: [usize; 3],
}

impl Product {
    /// Of the node that gives the sums.
    fn of(cx: &Rewriter<'_>, node: &Node) -> Option<Product> {
        let (w, zero) = (operand(node, 1)?, operand(node, 3));
        match node.op {
            Op::ConvInteger(op) => {
                let [o, taps, c] = cx.graph.ty(w).fixed_shape()?[..] else {
                    return None;
                };
                let weights = centred(cx, w, zero, |i| i / (taps * c))?;
                Some(Product {
                    op: QuantizedConv {
                        kernel: op.kernel,
                        strides: op.strides,
                        dilations: op.dilations,
                        pads: op.pads,
                        group: op.group,
                        ..Default::default()
                    },
                    weights,
                    shape: [o, taps, c],
                })
            }
            Op::MatMulInteger(_) => {
                let [k, n] = cx.graph.ty(w).fixed_shape()?[..] else {
                    return None;
                };
                let stored = centred(cx, w, zero, |i| i % n)?;
                let weights = (0..n * k).map(|i| stored[i % k * n + i / k]).collect();
                Some(Product {
                    op: QuantizedConv {
                        group: 1,
                        ..Default::default()
                    },
                    weights,
                    shape: [n, 1, k],
                })
            }
            _ => None,
        }
    }
}

/// A depthwise convolution has as many groups as channels and outputs.
fn is_depthwise([o, _, c]: [usize; 3], groups: usize) -> bool {
    c == 1 && o > 1 && o == groups
}

/// Weights `[O, taps, C/G]` as the operators want them, with their shape: of two axes for a depthwise convolution.
pub(super) fn packed(
    kernel: &[i32],
    groups: usize,
    weights: &[i8],
    [o, taps, c]: [usize; 3],
) -> Option<(Vec<i8>, Vec<usize>)> {
    if is_depthwise([o, taps, c], groups) {
        let weights = (0..taps * o).map(|i| weights[i % o * taps + i / o]);
        return Some((weights.collect(), vec![taps, o]));
    }
    let mut sizes = [1; 3];
    let lead = 3usize.checked_sub(kernel.len())?;
    for (to, &from) in sizes[lead..].iter_mut().zip(kernel) {
        *to = usize::try_from(from).ok()?;
    }
    let mut p = Conv::new_2d(1, [1, 1], c * groups, o, [1, 1]);
    (p.kernel, p.groups) = (sizes, groups);
    let mut out = vec![0; p.quantized_len()];
    let weight = |o: usize, tap: usize, i: usize| weights[(o * taps + tap) * c + i];
    pack_weights(&p, weight, &mut out).ok()?;
    let run = (sizes[2] * c).div_ceil(GROUP);
    let panels = (o / groups).div_ceil(gemm::PANEL);
    let shape = vec![groups, panels, sizes[0] * sizes[1], run, gemm::PANEL, GROUP];
    Some((out, shape))
}

/// A requantisation of the sums of a product with constant weights.
fn product(cx: &mut Rewriter<'_>, node: &Node, op: &Requantize) -> Option<Node> {
    let (acc, y) = (operand(node, 0)?, node.outputs[0]?);
    let byte = |t: DType| matches!(t, DType::I8 | DType::U8);
    let below = cx.def(acc).filter(|_| cx.only_here(acc))?.clone();
    let x = operand(&below, 0)?;
    let x_type = cx.ty(x);
    let mut found = Product::of(cx, &below)?;
    let [n, taps, c] = found.shape;
    let same_rank = x_type.rank() == cx.ty(y).rank();
    if !byte(x_type.dtype) || !byte(cx.ty(y).dtype) || !same_rank || n * taps * c == 0 {
        return None;
    }
    let mut multiplier = cx.graph.constant_f32(operand(node, 2)?)?;
    if multiplier.len() == 1 {
        multiplier = vec![multiplier[0]; n];
    }
    let bias = match operand(node, 1) {
        None => vec![0; n],
        Some(b) => integers(cx.graph, b)?,
    };
    if multiplier.len() != n || bias.len() != n || !multiplier.iter().all(|m| m.is_finite()) {
        return None;
    }
    found.op.x_zero = one(cx, operand(&below, 2))?;
    found.op.zero = one(cx, operand(node, 3))?;
    (found.op.low, found.op.high) = (op.low, op.high);
    let groups = found.op.group as usize;
    let (weights, shape) = packed(&found.op.kernel, groups, &found.weights, found.shape)?;
    // Everything that may refuse is above.
    let mut starts = [Vec::new(), Vec::new()];
    for (weights, &bias) in found.weights.chunks(taps * c).zip(&bias) {
        let sum = weights.iter().map(|&w| i32::from(w)).sum();
        let signed = x_type.dtype == DType::I8;
        let both = start(bias, sum, signed, found.op.x_zero as u8);
        starts[0].push(both[0]);
        starts[1].push(both[1]);
    }
    let bytes = weights.iter().map(|&w| w as u8).collect();
    let weights = cx.constant_bytes(Type::fixed(DType::I8, &shape), bytes);
    let bytes = starts
        .concat()
        .iter()
        .flat_map(|s| s.to_le_bytes())
        .collect();
    let starts = cx.constant_bytes(Type::fixed(DType::I32, &[2, n]), bytes);
    let multiplier = cx.constant(&[n], &multiplier);
    let source = cx.take(acc).source;
    cx.changes += 1;
    Some(Node {
        op: if is_depthwise(found.shape, groups) {
            depthwise(&found.op).into()
        } else {
            found.op.into()
        },
        inputs: vec![Some(x), Some(weights), Some(starts), Some(multiplier)],
        outputs: node.outputs.clone(),
        source: if source.is_empty() {
            node.source.clone()
        } else {
            source
        },
    })
}

fn depthwise(op: &QuantizedConv) -> QuantizedDepthwise {
    QuantizedDepthwise {
        kernel: op.kernel,
        strides: op.strides,
        dilations: op.dilations,
        pads: op.pads,
        x_zero: op.x_zero,
        zero: op.zero,
        low: op.low,
        high: op.high,
        ..Default::default()
    }
}

/// The zero point of the result of a fused product that nobody else reads and that has no residual yet.
fn open(cx: &Rewriter<'_>, v: ValueId, ty: &Type) -> Option<i32> {
    let node = cx.def(v)?;
    let zero = match node.op {
        Op::QuantizedConv(op) => op.zero,
        Op::QuantizedDepthwise(op) => op.zero,
        _ => return None,
    };
    let free = cx.only_here(v) && operand(node, 4).is_none() && cx.ty(v) == *ty;
    free.then_some(zero)
}

/// A sum, one of whose operands is a fused product: of two candidates the later one, as the earlier result must be there
/// anyway.
fn sum(cx: &mut Rewriter<'_>, node: &Node, op: &QuantizedAdd) -> Option<Node> {
    let (a, b, y) = (operand(node, 0)?, operand(node, 1)?, node.outputs[0]?);
    let ty = cx.ty(y);
    if a == b || cx.ty(a) != ty || cx.ty(b) != ty {
        return None;
    }
    let takes = |v: ValueId, zero: i32| open(cx, v, &ty) == Some(zero);
    let first = match (takes(a, op.a_zero), takes(b, op.b_zero)) {
        (false, false) => return None,
        (true, true) => cx.position(a) > cx.position(b),
        (first, _) => first,
    };
    let (own, other, residual_zero) = if first {
        (op.a_multiplier, op.b_multiplier, op.b_zero)
    } else {
        (op.b_multiplier, op.a_multiplier, op.a_zero)
    };
    let (taken, residual) = if first { (a, b) } else { (b, a) };
    let mut fused = cx.take(taken);
    macro_rules! add {
        ($product:expr) => {{
            ($product.own, $product.other) = (own, other);
            ($product.residual_zero, $product.sum_zero) = (residual_zero, op.zero);
            ($product.sum_low, $product.sum_high) = (op.low, op.high);
        }};
    }
    match &mut fused.op {
        Op::QuantizedConv(product) => add!(product),
        Op::QuantizedDepthwise(product) => add!(product),
        _ => unreachable!("`open` gives products alone"),
    }
    fused.inputs.push(Some(residual));
    fused.outputs = node.outputs.clone();
    cx.changes += 1;
    Some(fused)
}
