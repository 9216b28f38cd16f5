//! Moves transpositions down, through everything that can run in another layout, until they meet their inverse: what
//! an importer wraps around every spatial operator disappears, and tensors are channels-last inside.

use super::reshape_groups::{Sunk, sink_reshape};
use super::rewrite::{
    Rewriter, indices, inverse, is_identity, moves_nothing, origin_before, permuted, rewrite,
};
use crate::ir::{Graph, Node, Type, ValueId};
use cygnet_format::op::{Reshape, Transpose};
use cygnet_format::{Dim, Op};

/// Cancels and sinks transpositions; gives the number of changes.
pub fn choose_layout(graph: &mut Graph) -> usize {
    rewrite(graph, &mut rule)
}

/// Replaces transpositions that move no element by reshapes, which cost nothing; gives their number. It runs last:
/// a reshape does not sink as easily.
pub fn flatten_transposes(graph: &mut Graph) -> usize {
    rewrite(graph, &mut |cx, mut node| {
        if let (Op::Transpose(t), Some(x)) = (node.op, node.inputs[0])
            && moves_nothing(&cx.shape(x), &indices(&t.perm))
        {
            node.op = Reshape {}.into();
            cx.changes += 1;
        }
        Some(node)
    })
}

/// The transposition that defines `v`: its operand and permutation.
fn transposed(cx: &Rewriter<'_>, v: ValueId) -> Option<(ValueId, Vec<usize>)> {
    match cx.def(v) {
        Some(Node {
            op: Op::Transpose(t),
            inputs,
            ..
        }) => Some((inputs[0]?, indices(&t.perm))),
        _ => None,
    }
}

fn transpose_op(perm: &[usize]) -> Op {
    Transpose {
        perm: perm.iter().map(|&p| p as i32).collect(),
    }
    .into()
}

/// `v` transposed.
fn transpose(cx: &mut Rewriter<'_>, source: &str, v: ValueId, perm: &[usize]) -> ValueId {
    if is_identity(perm) {
        return v;
    }
    let ty = cx.ty(v);
    let ty = Type::new(ty.dtype, &permuted(&ty.shape, perm));
    cx.emit(source, transpose_op(perm), vec![Some(v)], ty)
}

/// The node on untransposed operands, followed by the transposition `perm` of its result.
fn sink(
    cx: &mut Rewriter<'_>,
    mut node: Node,
    inputs: Vec<Option<ValueId>>,
    perm: &[usize],
) -> Option<Node> {
    let y = node.outputs[0].expect("one output");
    let ty = cx.ty(y);
    let ty = Type::new(ty.dtype, &permuted(&ty.shape, &inverse(perm)));
    let inner = cx.graph.add_value(
        format!("{}_{}", node.op.code().name(), cx.graph.values.len()),
        ty,
    );
    if let Some(origin) = &cx.graph.value(y).origin {
        let origin = origin_before(origin, perm);
        cx.graph.value_mut(inner).origin = Some(origin);
    }
    let source = node.source.clone();
    node.inputs = inputs;
    node.outputs = vec![Some(inner)];
    cx.append(node);
    if is_identity(perm) {
        cx.replace(y, inner);
        return None;
    }
    cx.changes += 1;
    Some(Node {
        op: transpose_op(perm),
        inputs: vec![Some(inner)],
        outputs: vec![Some(y)],
        source,
    })
}

fn rule(cx: &mut Rewriter<'_>, mut node: Node) -> Option<Node> {
    let (Some(Some(first)), [Some(y)]) = (node.inputs.first().copied(), &node.outputs[..]) else {
        return Some(node);
    };
    let y = *y;
    if let Op::Transpose(t) = node.op {
        return merge(cx, node, first, &indices(&t.perm));
    }
    if matches!(
        node.op,
        Op::Binary(_)
            | Op::QuantizedAdd(_)
            | Op::Int16Add(_)
            | Op::Where(_)
            | Op::Chain(_)
            | Op::Concat(_)
    ) {
        return elementwise(cx, node);
    }
    let Some((x, perm)) = transposed(cx, first) else {
        return Some(node);
    };
    let rank = perm.len();
    let same_rank = cx.ty(y).rank() == rank;
    let moved = |axis: i32| perm[axis as usize] as i32;
    let mut inputs = node.inputs.clone();
    inputs[0] = Some(x);
    match &mut node.op {
        Op::Unary(_) | Op::Cast(_) | Op::Lookup(_) => {}
        Op::Softmax(op) => op.axis = moved(op.axis),
        Op::LpNorm(op) => op.axis = moved(op.axis),
        Op::Cumulative(op) => op.axis = moved(op.axis),
        Op::QuantizeLinear(_) | Op::DequantizeLinear(_) => {
            let scalar = |v: &Option<ValueId>| v.is_none_or(|v| cx.ty(v).fixed_len() == Some(1));
            let per_tensor = node.inputs[1..].iter().all(scalar);
            match &mut node.op {
                Op::QuantizeLinear(op) if op.block == 0 && (per_tensor || op.axis >= 0) => {
                    op.axis = if per_tensor { 0 } else { moved(op.axis) };
                }
                Op::DequantizeLinear(op) if op.block == 0 && (per_tensor || op.axis >= 0) => {
                    op.axis = if per_tensor { 0 } else { moved(op.axis) };
                }
                _ => return Some(node),
            }
        }
        Op::LayerNorm(op) if op.axis as usize == rank - 1 && perm[rank - 1] == rank - 1 => {
            let last_only = |v: &Option<ValueId>| v.is_none_or(|v| cx.ty(v).rank() <= 1);
            if !node.inputs[1..].iter().all(last_only) {
                return Some(node);
            }
        }
        Op::Slice(op) if same_rank => {
            let back = inverse(&perm);
            op.starts = permuted(&op.starts, &back).into_iter().collect();
            op.steps = permuted(&op.steps, &back).into_iter().collect();
        }
        Op::Pad(op) if same_rank => {
            op.before = permuted(&op.before, &inverse(&perm)).into_iter().collect()
        }
        Op::Expand(_) | Op::Tile(_) if same_rank => {}
        Op::Resize(op) if same_rank => {
            let back = inverse(&perm);
            if op.scales.len() == rank {
                op.scales = permuted(&op.scales, &back).into_iter().collect();
            }
            if op.roi.len() == 2 * rank {
                let (a, b) = (
                    permuted(&op.roi[..rank], &back),
                    permuted(&op.roi[rank..], &back),
                );
                op.roi = a.into_iter().chain(b).collect();
            }
        }
        Op::Reduce(op) => {
            let over = indices(&op.axes);
            let mut inner: Vec<i32> = op.axes.iter().map(|&a| moved(a)).collect();
            inner.sort_unstable();
            op.axes = inner.iter().copied().collect();
            let perm = if same_rank {
                perm
            } else {
                kept_order(&perm, &over)
            };
            if perm.len() != cx.ty(y).rank() {
                return Some(node);
            }
            return sink(cx, node, inputs, &perm);
        }
        Op::ArgReduce(op) => {
            let over = [op.axis as usize];
            op.axis = moved(op.axis);
            let perm = if same_rank {
                perm
            } else {
                kept_order(&perm, &over)
            };
            return sink(cx, node, inputs, &perm);
        }
        Op::Reshape(_) => {
            let (from, to) = (cx.shape(first), cx.shape(y));
            let Some(Sunk {
                before,
                shape,
                after,
            }) = sink_reshape(&from, &to, &perm)
            else {
                return Some(node);
            };
            if !is_identity(&before) {
                return Some(node);
            }
            debug_assert_eq!(permuted(&shape, &after), to);
            return sink(cx, node, inputs, &after);
        }
        _ => return Some(node),
    }
    sink(cx, node, inputs, &perm)
}

/// The permutation of what is left when axes of a transposed tensor are dropped.
fn kept_order(perm: &[usize], dropped: &[usize]) -> Vec<usize> {
    let kept: Vec<usize> = (0..perm.len())
        .filter(|i| !dropped.contains(i))
        .map(|i| perm[i])
        .collect();
    let mut sorted = kept.clone();
    sorted.sort_unstable();
    kept.iter()
        .map(|p| sorted.iter().position(|q| q == p).expect("same set"))
        .collect()
}

/// A transposition meets another one, or something it can pass upwards.
fn merge(cx: &mut Rewriter<'_>, mut node: Node, x: ValueId, perm: &[usize]) -> Option<Node> {
    let y = node.outputs[0].expect("one output");
    if let Some(origin) = cx.graph.value(y).origin.clone()
        && cx.graph.value(x).origin.is_none()
    {
        cx.graph.value_mut(x).origin = Some(origin_before(&origin, perm));
    }
    if is_identity(perm) {
        cx.replace(y, x);
        return None;
    }
    if let Some((w, first)) = transposed(cx, x) {
        let both = permuted(&first, perm);
        cx.changes += 1;
        if is_identity(&both) {
            cx.replace(y, w);
            return None;
        }
        node.op = transpose_op(&both);
        node.inputs = vec![Some(w)];
        return Some(node);
    }
    match cx.op(x) {
        // Padding moves below, where a convolution can take it.
        Some((Op::Pad(mut op), inputs))
            if cx.only_here(x) && inputs[0].is_some_and(|v| transposed(cx, v).is_none()) =>
        {
            let pad = cx.take(x);
            let inner = transpose(cx, &node.source, inputs[0].expect("checked"), perm);
            op.before = permuted(&op.before, perm).into_iter().collect();
            let mut inputs = inputs;
            inputs[0] = Some(inner);
            cx.changes += 1;
            Some(Node {
                op: op.into(),
                inputs,
                outputs: node.outputs,
                source: pad.source,
            })
        }
        // Channel shuffles: a transposition on either side of a reshape that merges what it moved.
        Some((Op::Reshape(_), inputs)) => {
            let Some((w, first)) = inputs[0].and_then(|v| transposed(cx, v)) else {
                return Some(node);
            };
            let (from, to) = (cx.shape(inputs[0].expect("checked")), cx.shape(x));
            let Some(Sunk {
                before,
                shape,
                after,
            }) = sink_reshape(&from, &to, &first)
            else {
                return Some(node);
            };
            if !is_identity(&permuted(&after, perm)) || is_identity(&before) {
                return Some(node);
            }
            let moved = transpose(cx, &node.source, w, &before);
            debug_assert_eq!(shape, cx.shape(y));
            cx.changes += 1;
            Some(Node {
                op: Reshape {}.into(),
                inputs: vec![Some(moved)],
                ..node
            })
        }
        _ => Some(node),
    }
}

/// Operators over several operands of one layout.
fn elementwise(cx: &mut Rewriter<'_>, mut node: Node) -> Option<Node> {
    let y = node.outputs[0].expect("one output");
    let rank = cx.ty(y).rank();
    let operands: Vec<ValueId> = node.inputs.iter().flatten().copied().collect();
    if operands.len() != node.inputs.len() {
        return Some(node);
    }
    let found = operands
        .iter()
        .find_map(|&v| transposed(cx, v).filter(|(_, p)| p.len() == rank));
    let Some((_, perm)) = found else {
        return Some(node);
    };
    let back = inverse(&perm);
    let concat = matches!(node.op, Op::Concat(_));
    // First decide, then change.
    enum Way {
        Source(ValueId),
        Keep,
        Constant,
        Reshaped(Vec<Dim>),
    }
    let mut ways = Vec::new();
    for &v in &operands {
        let shape = cx.shape(v);
        let mut full = vec![Dim::ONE; rank - shape.len().min(rank)];
        full.extend(&shape);
        ways.push(match transposed(cx, v) {
            Some((x, p)) if p == perm => Way::Source(x),
            _ if !concat && cx.ty(v).fixed_len() == Some(1) => Way::Keep,
            _ if cx.is_const(v) => Way::Constant,
            _ if moves_nothing(&full, &back) => Way::Reshaped(permuted(&full, &back)),
            _ => return Some(node),
        });
    }
    if let Op::Concat(op) = &mut node.op {
        op.axis = perm[op.axis as usize] as i32;
    }
    let mut inputs = Vec::new();
    for (&v, way) in operands.iter().zip(ways) {
        inputs.push(Some(match way {
            Way::Source(x) => x,
            // A broadcast scalar must not have more axes than the result.
            Way::Keep => v,
            Way::Constant => permute_constant(cx, v, rank, &back),
            Way::Reshaped(shape) => {
                let dtype = cx.ty(v).dtype;
                cx.emit(
                    &node.source,
                    Reshape {},
                    vec![Some(v)],
                    Type::new(dtype, &shape),
                )
            }
        }));
    }
    sink(cx, node, inputs, &perm)
}

/// A constant with axes of one put in front up to `rank`, transposed.
fn permute_constant(cx: &mut Rewriter<'_>, v: ValueId, rank: usize, perm: &[usize]) -> ValueId {
    let ty = cx.ty(v);
    let data = cx.graph.value(v).data.clone().expect("a constant");
    let mut shape = vec![1; rank - ty.rank()];
    shape.extend(ty.fixed_shape().expect("constants have constant shapes"));
    let size = ty.dtype.size();
    let to = permuted(&shape, perm);
    let mut strides = vec![size; rank];
    for i in (0..rank.saturating_sub(1)).rev() {
        strides[i] = strides[i + 1] * shape[i + 1];
    }
    let strides = permuted(&strides, perm);
    let mut bytes = Vec::with_capacity(data.len());
    let mut at = vec![0; rank];
    while bytes.len() < data.len() {
        let from: usize = at.iter().zip(&strides).map(|(i, s)| i * s).sum();
        bytes.extend_from_slice(&data[from..from + size]);
        for axis in (0..rank).rev() {
            at[axis] += 1;
            if at[axis] < to[axis] {
                break;
            }
            at[axis] = 0;
        }
    }
    cx.constant_bytes(Type::fixed(ty.dtype, &to), bytes)
}
