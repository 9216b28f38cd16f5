//! Parts of tensors.

use super::super::cx::{OpCx, int};
use super::reduce::with;
use crate::import::error::Refusal;
use crate::ir::ValueId;
use cygnet_format::Dim;
use cygnet_format::op::Slice;

/// Most positions that the masks of a strided slice can name.
const MAX_SPEC: usize = 32;

/// `SLICE`: input, begin, size; a size of -1 reaches to the end.
pub(super) fn slice(cx: &mut OpCx<'_, '_>) -> Result<(), Refusal> {
    let (x, q) = (cx.input(0)?, cx.quantised(0)?);
    let (begin, size) = (cx.dims(1)?, cx.dims(2)?);
    let shape = cx.shape(x);
    if begin.len() != shape.len() || size.len() != shape.len() {
        return Err(Refusal::invalid(format!(
            "{} begins and {} sizes for {} axes",
            begin.len(),
            size.len(),
            shape.len()
        )));
    }
    let mut y = x;
    for (axis, (&from, &count)) in begin.iter().zip(&size).enumerate() {
        let to = match cx.graph().dim_value(count) {
            Some(-1) => shape[axis],
            _ => cx.graph().dim_add(from, count),
        };
        within(cx, from, to, shape[axis])?;
        y = cx.slice(y, axis, from, to, 1)?;
    }
    cx.put_moved(0, y, &q)
}

/// Refuses a part that is known to reach outside of its axis.
fn within(cx: &mut OpCx<'_, '_>, from: Dim, to: Dim, length: Dim) -> Result<(), Refusal> {
    let outside = [(Dim(0), from), (from, to), (to, length)]
        .into_iter()
        .any(|(a, b)| {
            let rest = cx.graph().dim_sub(b, a);
            cx.graph().dim_bounds(rest).1 < 0
        });
    if outside {
        return Err(Refusal::invalid(format!(
            "a part {from:?}..{to:?} of an axis of {length:?}"
        )));
    }
    Ok(())
}

/// What a position of a strided slice's lists does.
enum Spec {
    /// All axes that no other position takes.
    Ellipsis,
    NewAxis,
    /// One element, whose axis disappears.
    Single(Dim),
    Range {
        begin: Option<Dim>,
        end: Option<Dim>,
        stride: i64,
    },
}

/// `STRIDED_SLICE`: input, begin, end, strides, and five masks.
pub(super) fn strided(cx: &mut OpCx<'_, '_>) -> Result<(), Refusal> {
    let (x, q) = (cx.input(0)?, cx.quantised(0)?);
    let (begin, end, strides) = (cx.dims(1)?, cx.dims(2)?, cx.integers(3)?);
    let n = begin.len();
    if end.len() != n || strides.len() != n || n > MAX_SPEC {
        return Err(Refusal::invalid(
            "its begins, ends and strides differ in length",
        ));
    }
    let mut masks = [0u32; 5];
    for (id, mask) in masks.iter_mut().enumerate() {
        *mask = cx.option::<u32>(id, 0)?;
    }
    let offset = cx.flag(5)?;
    let has = |mask: usize, i: usize| masks[mask] >> i & 1 != 0;
    let mut specs = Vec::new();
    for i in 0..n {
        specs.push(if has(2, i) {
            Spec::Ellipsis
        } else if has(3, i) {
            Spec::NewAxis
        } else if has(4, i) {
            Spec::Single(begin[i])
        } else {
            let mut last = end[i];
            if offset {
                last = cx.graph().dim_add(begin[i], last);
            }
            Spec::Range {
                begin: (!has(0, i)).then_some(begin[i]),
                end: (!has(1, i)).then_some(last),
                stride: strides[i],
            }
        });
    }
    let y = apply(cx, x, specs)?;
    cx.put_moved(0, y, &q)
}

fn apply(cx: &mut OpCx<'_, '_>, x: ValueId, mut specs: Vec<Spec>) -> Result<ValueId, Refusal> {
    let shape = cx.shape(x);
    let taken = specs
        .iter()
        .filter(|s| matches!(s, Spec::Single(_) | Spec::Range { .. }))
        .count();
    let Some(rest) = shape.len().checked_sub(taken) else {
        return Err(Refusal::invalid(format!(
            "{taken} axes are sliced of {}",
            shape.len()
        )));
    };
    let ellipses = specs.iter().filter(|s| matches!(s, Spec::Ellipsis)).count();
    match ellipses {
        0 => specs.push(Spec::Ellipsis),
        1 => {}
        n => return Err(Refusal::invalid(format!("it has {n} ellipses"))),
    }
    let (mut starts, mut ends, mut axes, mut steps) = (vec![], vec![], vec![], vec![]);
    // Axes of the result: of the sliced input, or new.
    let mut kept = Vec::new();
    let mut axis = 0;
    for spec in specs {
        match spec {
            Spec::Ellipsis => {
                kept.extend((axis..axis + rest).map(Some));
                axis += rest;
                continue;
            }
            Spec::NewAxis => {
                kept.push(None);
                continue;
            }
            Spec::Single(at) => {
                let (lo, hi) = cx.graph().dim_bounds(at);
                if lo < 0 && hi >= 0 {
                    return Err(Refusal::unsupported(
                        "the sign of its begin is not known at compile time",
                    ));
                }
                let from = if hi < 0 {
                    cx.graph().dim_add(at, shape[axis])
                } else {
                    at
                };
                let to = cx.graph().dim_add(from, Dim::ONE);
                within(cx, from, to, shape[axis])?;
                starts.push(from);
                ends.push(to);
                steps.push(1);
            }
            Spec::Range { begin, end, stride } => {
                if stride == 0 {
                    return Err(Refusal::invalid("a slice has a step of zero"));
                }
                let far = i64::from(i32::MAX);
                let (first, last) = if stride > 0 { (0, far) } else { (far, -far) };
                starts.push(begin.unwrap_or_else(|| cx.graph().dim_const(first)));
                ends.push(end.unwrap_or_else(|| cx.graph().dim_const(last)));
                steps.push(stride);
                kept.push(Some(axis));
            }
        }
        axes.push(axis as i64);
        axis += 1;
    }
    let mut y = x;
    if !axes.is_empty() {
        let (starts, ends) = (cx.dims_constant(starts)?, cx.dims_constant(ends)?);
        let (axes, steps) = (cx.const_list(&axes), cx.const_list(&steps));
        y = cx.onnx("Slice", vec![], &[x, starts, ends, axes, steps], 1)?[0];
    }
    let sliced = cx.shape(y);
    let result: Vec<Dim> = kept
        .into_iter()
        .map(|axis| axis.map_or(Dim::ONE, |a| sliced[a]))
        .collect();
    cx.typed(cx.dtype(y), &result)?;
    Ok(cx.reshape(y, &result))
}

/// Parts of `x` along an axis.
fn parts(
    cx: &mut OpCx<'_, '_>,
    x: usize,
    axis: usize,
    sizes: Option<ValueId>,
) -> Result<(), Refusal> {
    let (value, q) = (cx.input(x)?, cx.quantised(x)?);
    let attributes = vec![int("axis", axis as i64)];
    let n = cx.n_outputs();
    if n == 0 {
        return Err(Refusal::invalid("it has no outputs"));
    }
    let length = cx.shape(value)[axis];
    if sizes.is_none() && length.as_const().is_some_and(|l| l % n != 0) {
        return Err(Refusal::invalid(format!(
            "an axis of {length:?} does not split into {n} equal parts"
        )));
    }
    let parts = cx.onnx_optional("Split", attributes, &[Some(value), sizes], n)?;
    for (i, part) in parts.into_iter().enumerate() {
        cx.put_moved(i, part, &q)?;
    }
    Ok(())
}

/// `SPLIT`: axis, input.
pub(super) fn split(cx: &mut OpCx<'_, '_>) -> Result<(), Refusal> {
    let axis = cx.integer(0)?;
    let x = cx.input(1)?;
    let axis = cx.axis(axis, cx.rank(x))?;
    parts(cx, 1, axis, None)
}

/// `SPLIT_V`: input, sizes (one may be -1), axis.
pub(super) fn split_sizes(cx: &mut OpCx<'_, '_>) -> Result<(), Refusal> {
    let (x, axis) = (cx.input(0)?, cx.integer(2)?);
    let axis = cx.axis(axis, cx.rank(x))?;
    let mut sizes = cx.integers(1)?;
    if sizes.len() != cx.n_outputs() || sizes.iter().any(|&s| s < -1) {
        return Err(Refusal::invalid(format!(
            "sizes of {sizes:?} for {} outputs",
            cx.n_outputs()
        )));
    }
    if let Some(open) = sizes.iter().position(|&s| s == -1) {
        let given = sizes.iter().filter(|&&s| s > 0);
        let given = given.fold(0, |sum: i64, &s| sum.saturating_add(s));
        let Some(length) = cx.shape(x)[axis].as_const() else {
            return Err(
                Refusal::unsupported("a size of -1 on an axis whose length is not fixed")
                    .remedy("fix the input shape with --input NAME=SHAPE"),
            );
        };
        sizes[open] = (length as i64).saturating_sub(given);
    }
    let sizes = cx.const_list(&sizes);
    parts(cx, 0, axis, Some(sizes))
}

/// `UNPACK`: every element of an axis, which disappears.
pub(super) fn unpack(cx: &mut OpCx<'_, '_>) -> Result<(), Refusal> {
    let (x, q) = (cx.input(0)?, cx.quantised(0)?);
    let shape = cx.shape(x);
    let axis = cx.axis(i64::from(cx.option::<i32>(1, 0)?), shape.len())?;
    let n = cx.n_outputs();
    if shape[axis].as_const() != Some(n) {
        return Err(Refusal::invalid(format!(
            "{n} outputs for an axis of {:?}",
            shape[axis]
        )));
    }
    let mut dropped = shape.clone();
    dropped.remove(axis);
    for i in 0..n {
        let part = cx.slice(x, axis, Dim(i as i32), Dim(i as i32 + 1), 1)?;
        let part = cx.reshape(part, &dropped);
        cx.put_moved(i, part, &q)?;
    }
    Ok(())
}

/// An axis in reverse order.
pub(super) fn reversed(cx: &mut OpCx<'_, '_>, x: ValueId, axis: usize) -> Result<ValueId, Refusal> {
    let shape = cx.shape(x);
    let rank = shape.len();
    let last = cx.graph().dim_sub(shape[axis], Dim::ONE);
    let last = cx.graph().dim_max(last, Dim(0));
    let op = Slice {
        starts: with(&vec![Dim(0); rank], axis, last).into_iter().collect(),
        steps: (0..rank).map(|i| if i == axis { -1 } else { 1 }).collect(),
    };
    let ty = cx.typed(cx.dtype(x), &shape)?;
    Ok(cx.emit(op, &[x], ty))
}

/// `REVERSE_V2`: input, axes.
pub(super) fn reverse(cx: &mut OpCx<'_, '_>) -> Result<(), Refusal> {
    let (mut y, q) = (cx.input(0)?, cx.quantised(0)?);
    for axis in cx.integers(1)? {
        let axis = cx.axis(axis, cx.rank(y))?;
        y = reversed(cx, y, axis)?;
    }
    cx.put_moved(0, y, &q)
}
