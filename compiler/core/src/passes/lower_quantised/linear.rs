//! Products of dequantised operands.

use super::super::linear::activation;
use super::super::rewrite::{Rewriter, inverse};
use super::operand::{Parameters, integer, parameters};
use super::weights::{Frozen, transpose};
use crate::ir::{Node, Type, ValueId};
use cygnet_format::op::{
    ActivationKind, Binary, BinaryKind, ConvInteger, DequantizeLinear, MatMulInteger, PackB,
    Transpose,
};
use cygnet_format::{DType, Dim, Op};

/// Biases beyond this leave no room for the sum of products.
const MAX_BIAS: f64 = (1u32 << 30) as f64;

/// The second operand of an integer product.
struct Second {
    value: ValueId,
    zero: Option<ValueId>,
    /// One for all columns, or one a column.
    scales: Vec<f32>,
}

/// An integer product and the dequantisation of its sums, in place of a product of dequantised operands.
pub(super) fn lower(cx: &mut Rewriter<'_>, node: &Node) -> Option<Node> {
    let plain = activation(&node.op).is_some_and(|a| a.kind == ActivationKind::None);
    if !plain || node.inputs.get(3).copied().flatten().is_some() {
        return None;
    }
    let (x, y) = (node.inputs[0]?, node.outputs[0]?);
    let n = cx.ty(y).shape.last()?.as_const().filter(|&n| n > 0)?;
    let Parameters {
        scale: x_scale,
        zero: x_zero,
        dtype: x_type,
    } = parameters(cx, x, 0)?;
    // Those of 16 bits meet their QuantizeLinear as they are.
    if x_type == DType::I16 {
        return None;
    }
    // Everything that may refuse comes before anything is emitted.
    let scaled = |scales: &[f32], alpha: f32| -> Option<Vec<f32>> {
        let scales: Vec<f32> = scales.iter().map(|s| x_scale * s * alpha).collect();
        scales.iter().all(|s| s.is_normal()).then_some(scales)
    };
    let convolution = |cx: &mut Rewriter<'_>, op: ConvInteger, weights: Frozen| {
        let second = filter(cx, weights)?;
        let scales = scaled(&second.scales, 1.0)?;
        let bias = bias(cx, node.inputs.get(2).copied().flatten(), &scales, n)?;
        Some((scales, bias, (Op::from(op), second)))
    };
    let (scales, bias, product) = match node.op {
        Op::MatMul(op) => {
            let packed = cx.def(node.inputs[1]?)?;
            let (Op::PackB(pack), Some(b)) = (packed.op, packed.inputs[0]) else {
                return None;
            };
            let bias_of = node.inputs.get(2).copied().flatten();
            let second = match Frozen::of(cx, b) {
                Some(frozen) => {
                    let second = matrix(cx, frozen, pack, n)?;
                    let scales = scaled(&second.scales, op.alpha)?;
                    let bias = bias(cx, bias_of, &scales, n)?;
                    (second, scales, bias)
                }
                None => {
                    let p = parameters(cx, b, 0).filter(|p| p.dtype != DType::I16)?;
                    let scales = scaled(&[p.scale], op.alpha)?;
                    let bias = bias(cx, bias_of, &scales, n)?;
                    (computed(cx, b, p, pack), scales, bias)
                }
            };
            (second.1, second.2, (Op::from(MatMulInteger {}), second.0))
        }
        Op::Conv(op) => {
            let packed = cx.def(node.inputs[1]?)?;
            let (Op::PackB(PackB { trans: false }), Some(w)) = (packed.op, packed.inputs[0]) else {
                return None;
            };
            let frozen = Frozen::of(cx, w)?;
            let &[g, depth, o] = &frozen.shape[..] else {
                return None;
            };
            let taps: usize = op.kernel.iter().map(|&k| k as usize).product();
            if g != op.group as usize || g * o != n || !depth.is_multiple_of(taps) {
                return None;
            }
            let mut frozen = frozen.transposed(&[0, 2, 1])?;
            frozen.shape = vec![n, taps, depth / taps];
            let integer = ConvInteger {
                kernel: op.kernel,
                strides: op.strides,
                dilations: op.dilations,
                pads: op.pads,
                group: op.group,
            };
            convolution(cx, integer, frozen)?
        }
        Op::DepthwiseConv(op) => {
            let frozen = Frozen::of(cx, node.inputs[1]?)?;
            if frozen.shape.len() != 2 || frozen.shape[1] != n {
                return None;
            }
            let taps = frozen.shape[0];
            let mut frozen = frozen.transposed(&[1, 0])?;
            frozen.shape = vec![n, taps, 1];
            let integer = ConvInteger {
                kernel: op.kernel,
                strides: op.strides,
                dilations: op.dilations,
                pads: op.pads,
                group: n as u32,
            };
            convolution(cx, integer, frozen)?
        }
        _ => return None,
    };
    let (op, second) = product;
    let (x, _) = integer(cx, x)?;
    let x_zero =
        (x_zero != 0).then(|| cx.constant_bytes(Type::new(x_type, &[]), vec![x_zero as u8]));
    let ty = Type {
        dtype: DType::I32,
        shape: cx.ty(y).shape,
    };
    let inputs = vec![Some(x), Some(second.value), x_zero, second.zero];
    let mut acc = cx.emit(&node.source, op, inputs, ty.clone());
    if let Some(bias) = bias {
        let bytes = bias.iter().flat_map(|b| b.to_le_bytes()).collect();
        let bias = cx.constant_bytes(Type::fixed(DType::I32, &[n]), bytes);
        let add = Binary {
            kind: BinaryKind::Add,
        };
        acc = cx.emit(&node.source, add, vec![Some(acc), Some(bias)], ty.clone());
    }
    let shape: &[usize] = if scales.len() == 1 { &[] } else { &[n] };
    let scale = cx.constant(shape, &scales);
    cx.changes += 1;
    Some(Node {
        op: DequantizeLinear {
            axis: if shape.is_empty() {
                0
            } else {
                ty.rank() as i32 - 1
            },
            block: 0,
        }
        .into(),
        inputs: vec![Some(acc), Some(scale)],
        outputs: node.outputs.clone(),
        source: node.source.clone(),
    })
}

/// Little-endian bytes of 8-bit integers.
fn narrow(ints: &[i32]) -> Vec<u8> {
    ints.iter().map(|&q| q as u8).collect()
}

fn zeros(cx: &mut Rewriter<'_>, dtype: DType, zeros: &[i32]) -> Option<ValueId> {
    let shape: &[usize] = if zeros.len() == 1 {
        &[]
    } else {
        &[zeros.len()]
    };
    (!zeros.is_empty()).then(|| cx.constant_bytes(Type::fixed(dtype, shape), narrow(zeros)))
}

/// Weights `[O, taps, C/G]` of a convolution.
fn filter(cx: &mut Rewriter<'_>, frozen: Frozen) -> Option<Second> {
    let shape = frozen.shape.clone();
    let columns = frozen.columns()?;
    Some(Second {
        value: cx.constant_bytes(Type::fixed(columns.dtype, &shape), narrow(&columns.ints)),
        zero: zeros(cx, columns.dtype, &columns.zeros),
        scales: columns.scales,
    })
}

/// Weights `[.., K, N]` of a product, stored as such or (`trans`) as `[.., N, K]`.
fn matrix(cx: &mut Rewriter<'_>, frozen: Frozen, pack: PackB, n: usize) -> Option<Second> {
    let rank = frozen.shape.len();
    if rank < 2 {
        return None;
    }
    let column = if pack.trans { rank - 2 } else { rank - 1 };
    let depth = 2 * rank - 3 - column;
    if frozen.shape[column] != n {
        return None;
    }
    // Columns first, then leading axes and the depth.
    let first: Vec<usize> = std::iter::once(column)
        .chain(0..rank - 2)
        .chain([depth])
        .collect();
    let stored: Vec<usize> = (0..rank - 2).chain([depth, column]).collect();
    let shape: Vec<usize> = stored.iter().map(|&a| frozen.shape[a]).collect();
    let frozen = frozen.transposed(&first)?;
    let by_column = frozen.shape.clone();
    let columns = frozen.columns()?;
    let back = inverse(&first);
    let perm: Vec<usize> = stored.iter().map(|&a| back[a]).collect();
    let ints = transpose(&columns.ints, &by_column, &perm);
    Some(Second {
        value: cx.constant_bytes(Type::fixed(columns.dtype, &shape), narrow(&ints)),
        zero: zeros(cx, columns.dtype, &columns.zeros),
        scales: columns.scales,
    })
}

/// A computed second operand.
fn computed(cx: &mut Rewriter<'_>, b: ValueId, p: Parameters, pack: PackB) -> Second {
    let (mut value, _) = integer(cx, b).expect("has parameters");
    if pack.trans {
        let mut perm: Vec<i32> = (0..cx.ty(value).rank() as i32).collect();
        let last = perm.len() - 1;
        perm.swap(last - 1, last);
        let shape: Vec<Dim> = perm
            .iter()
            .map(|&a| cx.ty(value).shape[a as usize])
            .collect();
        let op = Transpose {
            perm: perm.into_iter().collect(),
        };
        value = cx.emit("", op, vec![Some(value)], Type::new(p.dtype, &shape));
    }
    Second {
        value,
        zero: zeros(
            cx,
            p.dtype,
            if p.zero == 0 {
                &[]
            } else {
                std::slice::from_ref(&p.zero)
            },
        ),
        scales: vec![p.scale],
    }
}

/// The bias in units of the sums: `Some(None)` when there is none, `None` when it is not constant or too large.
pub(super) fn bias(
    cx: &Rewriter<'_>,
    bias: Option<ValueId>,
    scales: &[f32],
    n: usize,
) -> Option<Option<Vec<i32>>> {
    let Some(v) = bias else { return Some(None) };
    let unit = |i: usize| {
        if scales.len() == 1 {
            scales[0]
        } else {
            scales[i]
        }
    };
    let values: Vec<f64> = match Frozen::of(cx, v) {
        Some(frozen) => {
            let own = |i: usize| (frozen.scale(i) / unit(i) - 1.0).abs() < 1e-5;
            if frozen.ints.len() == n && frozen.is_centred() && (0..n).all(own) {
                // The integers already have the unit of the sums, as exporters write them.
                return Some(Some(frozen.ints));
            }
            frozen.values().collect()
        }
        None => {
            let floats = cx.graph.constant_f32(v)?;
            floats.into_iter().map(f64::from).collect()
        }
    };
    if values.len() != n {
        return None;
    }
    let ints: Vec<f64> = values
        .iter()
        .enumerate()
        .map(|(i, b)| (b / f64::from(unit(i))).round_ties_even())
        .collect();
    if !ints.iter().all(|b| b.abs() <= MAX_BIAS) {
        return None;
    }
    Some(Some(ints.into_iter().map(|b| b as i32).collect()))
}
