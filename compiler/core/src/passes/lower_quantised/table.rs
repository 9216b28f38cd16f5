//! Functions of one 8-bit operand as tables.

use super::super::rewrite::Rewriter;
use super::operand::{Parameters, parameters};
use crate::ir::{Graph, Node, Type, ValueId};
use cygnet_format::op::BinaryKind;
use cygnet_format::{DType, Dim, Op};
use std::collections::HashMap;

/// Most steps of a function.
const MAX_STEPS: usize = 16;

/// True for operators whose elements depend on the same element of each operand alone.
pub(crate) fn is_pointwise(op: &Op) -> bool {
    match op {
        Op::Unary(_) => true,
        Op::Binary(op) => matches!(
            op.kind,
            BinaryKind::Add
                | BinaryKind::Sub
                | BinaryKind::Mul
                | BinaryKind::Div
                | BinaryKind::Pow
                | BinaryKind::Min
                | BinaryKind::Max
        ),
        _ => false,
    }
}

/// Finds the one 8-bit operand of which `v` is a function, and the steps of the function in their order.
pub(super) fn pointwise(
    cx: &Rewriter<'_>,
    v: ValueId,
    source: &mut Option<ValueId>,
    steps: &mut Vec<Node>,
) -> Option<()> {
    if *source == Some(v) || steps.iter().any(|s| s.outputs[0] == Some(v)) {
        return Some(());
    }
    if parameters(cx, v, 0).is_some() {
        return source.replace(v).is_none().then_some(());
    }
    let node = cx.def(v).filter(|n| is_pointwise(&n.op))?.clone();
    let float = |v: ValueId| cx.graph.ty(v).dtype == DType::F32;
    for &x in &node.inputs {
        let x = x?;
        if !float(x) || (cx.scalar(x).is_none() && cx.shape(x) != cx.shape(v)) {
            return None;
        }
        if cx.scalar(x).is_none() {
            pointwise(cx, x, source, steps)?;
        }
    }
    steps.push(node);
    (float(v) && steps.len() <= MAX_STEPS).then_some(())
}

/// The bytes that `quantise` gives for every byte of the operand, by the steps between.
pub(super) fn table(
    graph: &Graph,
    quantise: &Node,
    source: ValueId,
    p: &Parameters,
    steps: &[Node],
) -> Option<Vec<u8>> {
    let reals: Vec<f32> = (0..=u8::MAX)
        .map(|byte| {
            let q = match p.dtype {
                DType::I8 => i32::from(byte as i8),
                _ => i32::from(byte),
            };
            (q - p.zero) as f32 * p.scale
        })
        .collect();
    let mut alone = Graph::default();
    let mut moved: HashMap<ValueId, ValueId> = HashMap::new();
    moved.insert(source, alone.add_f32("x", &[256], &reals));
    for step in steps.iter().chain([quantise]) {
        let mut inputs = Vec::new();
        for v in &step.inputs {
            let Some(v) = *v else {
                inputs.push(None);
                continue;
            };
            let there = match moved.get(&v) {
                Some(&there) => there,
                None => {
                    let value = graph.value(v);
                    let shape = value.ty.fixed_shape()?;
                    // A scalar of many axes would give the result as many.
                    let shape = if shape.iter().product::<usize>() == 1 {
                        Vec::new()
                    } else {
                        shape
                    };
                    let ty = Type::fixed(value.ty.dtype, &shape);
                    let data = value.data.as_ref()?.to_vec();
                    alone.add_constant("c", ty, data)
                }
            };
            inputs.push(Some(there));
        }
        let y = step.outputs[0]?;
        let there = alone.add_value("y", Type::fixed(graph.ty(y).dtype, &[256]));
        let node = Node {
            op: step.op,
            inputs,
            outputs: vec![Some(there)],
            source: String::new(),
        };
        let data = crate::fold::evaluate(&alone, &node)?.pop()??;
        alone.value_mut(there).data = Some(data.clone().into());
        moved.insert(y, there);
        if std::ptr::eq(step, quantise) {
            return Some(data);
        }
    }
    None
}

/// True when `b` repeats inside of a tensor of `shape`: the same shape, or lengths of 1 on all axes but the last and
/// perhaps the first.
pub(crate) fn broadcasts_inside(b: &[Dim], shape: &[Dim]) -> bool {
    if b == shape {
        return true;
    }
    let (Some((last, inner)), Some(end)) = (b.split_last(), shape.last()) else {
        return false;
    };
    let lead = inner
        .first()
        .is_none_or(|&d| d == Dim::ONE || d == shape[0]);
    let ones = inner.iter().skip(1).all(|&d| d == Dim::ONE);
    b.len() == shape.len() && last == end && lead && ones
}
