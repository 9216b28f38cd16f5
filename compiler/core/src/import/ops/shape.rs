//! Shapes: what changes or reads them without touching an element.

use super::super::NodeCx;
use super::super::error::Refusal;
use crate::ir::{Type, ValueId};
use cygnet_format::op::{Reshape, Tile};
use cygnet_format::{DType, Dim};

/// Axes from the attribute (old operator sets) or from input `i`; `None` when neither is given.
pub(super) fn axes_of(
    cx: &mut NodeCx<'_>,
    i: usize,
    rank: usize,
) -> Result<Option<Vec<usize>>, Refusal> {
    let axes = match cx.ints("axes")? {
        Some(axes) => axes,
        None => match cx.opt_input(i)? {
            Some(v) => cx.const_i64(v)?,
            None => return Ok(None),
        },
    };
    let mut list = Vec::new();
    for a in axes {
        let a = cx.axis(a, rank)?;
        if list.contains(&a) {
            return Err(Refusal::invalid(format!("axis {a} is listed twice")));
        }
        list.push(a);
    }
    Ok(Some(list))
}

pub(super) fn identity(cx: &mut NodeCx<'_>) -> Result<(), Refusal> {
    let entry = cx
        .entry(0)?
        .ok_or_else(|| Refusal::invalid("its input is missing"))?;
    cx.set_entry(0, entry);
    Ok(())
}

pub(super) fn reshape(cx: &mut NodeCx<'_>) -> Result<(), Refusal> {
    let x = cx.input(0)?;
    let target: Vec<Dim> = match cx.ints("shape")? {
        Some(list) => list.into_iter().map(|v| cx.graph().dim_const(v)).collect(),
        None => {
            let v = cx.input(1)?;
            cx.dim_list(v)?
        }
    };
    let allow_zero = cx.int_or("allowzero", 0)? != 0;
    let y = reshape_to(cx, x, &target, allow_zero)?;
    cx.set_output(0, y);
    Ok(())
}

/// Reshape with ONNX's 0 (copy) and -1 (infer).
fn reshape_to(
    cx: &mut NodeCx<'_>,
    x: ValueId,
    target: &[Dim],
    allow_zero: bool,
) -> Result<ValueId, Refusal> {
    let from = cx.shape(x);
    let mut shape = Vec::new();
    let mut open = None;
    for (i, &d) in target.iter().enumerate() {
        match cx.graph().dim_value(d) {
            Some(0) if !allow_zero => shape.push(*from.get(i).ok_or_else(|| {
                Refusal::invalid(format!(
                    "dimension {i} of its new shape copies an axis that is not there"
                ))
            })?),
            Some(-1) if open.is_none() => {
                open = Some(i);
                shape.push(Dim::ONE);
            }
            Some(v) if v < 0 => return Err(Refusal::invalid(format!("its new shape holds {v}"))),
            _ => shape.push(d),
        }
    }
    let clash = || {
        Refusal::invalid(format!(
            "{from:?} elements cannot take the shape {target:?}"
        ))
    };
    if let Some(open) = open {
        let d = remaining(cx, &from, &shape, open).ok_or_else(clash)?;
        shape[open] = d;
    }
    let (a, b) = (
        cx.graph().dim_product(&from),
        cx.graph().dim_product(&shape),
    );
    if let (Some(a), Some(b)) = (cx.graph().dim_value(a), cx.graph().dim_value(b))
        && a != b
    {
        return Err(clash());
    }
    let ty = cx.typed(cx.dtype(x), &shape)?;
    Ok(if cx.shape(x) == shape {
        x
    } else {
        cx.emit(Reshape {}, &[x], ty)
    })
}

/// The dimension that -1 stands for: what is left after equal dimensions cancel.
fn remaining(cx: &mut NodeCx<'_>, from: &[Dim], shape: &[Dim], open: usize) -> Option<Dim> {
    let mut left = from.to_vec();
    let mut divide = Vec::new();
    for (i, &d) in shape.iter().enumerate().filter(|(i, _)| *i != open) {
        let _ = i;
        match left.iter().position(|&l| l == d) {
            Some(k) => {
                left.remove(k);
            }
            None => divide.push(d),
        }
    }
    let (a, b) = (
        cx.graph().dim_product(&left),
        cx.graph().dim_product(&divide),
    );
    match (cx.graph().dim_value(a), cx.graph().dim_value(b)) {
        (Some(0), Some(0)) => Some(Dim(0)),
        (_, Some(0)) => None,
        (Some(x), Some(y)) if x % y != 0 => None,
        _ => Some(cx.graph().dim_floor_div(a, b)),
    }
}

pub(super) fn flatten(cx: &mut NodeCx<'_>) -> Result<(), Refusal> {
    let x = cx.input(0)?;
    let shape = cx.shape(x);
    let axis = cx.int_or("axis", 1)?;
    let r = shape.len() as i64;
    let at = if axis < 0 { axis + r } else { axis };
    if !(0..=r).contains(&at) {
        return Err(Refusal::invalid(format!(
            "axis {axis} is outside of a tensor of {r} axes"
        )));
    }
    let (a, b) = shape.split_at(at as usize);
    let dims = [cx.graph().dim_product(a), cx.graph().dim_product(b)];
    let y = cx.reshape(x, &dims);
    cx.set_output(0, y);
    Ok(())
}

pub(super) fn squeeze(cx: &mut NodeCx<'_>) -> Result<(), Refusal> {
    let x = cx.input(0)?;
    let shape = cx.shape(x);
    let axes = match axes_of(cx, 1, shape.len())? {
        Some(axes) => axes,
        None => {
            if shape.iter().any(|d| d.as_const().is_none()) {
                return Err(Refusal::needs_constant("axes"));
            }
            (0..shape.len()).filter(|&i| shape[i] == Dim::ONE).collect()
        }
    };
    if let Some(&bad) = axes
        .iter()
        .find(|&&a| shape[a].as_const().is_some_and(|d| d != 1))
    {
        return Err(Refusal::invalid(format!(
            "axis {bad} of {shape:?} is not of length one"
        )));
    }
    let kept: Vec<Dim> = (0..shape.len())
        .filter(|i| !axes.contains(i))
        .map(|i| shape[i])
        .collect();
    let y = cx.reshape(x, &kept);
    cx.set_output(0, y);
    Ok(())
}

pub(super) fn unsqueeze(cx: &mut NodeCx<'_>) -> Result<(), Refusal> {
    let x = cx.input(0)?;
    let shape = cx.shape(x);
    let count = match cx.ints("axes")? {
        Some(axes) => axes.len(),
        None => {
            let v = cx.input(1)?;
            cx.const_i64(v)?.len()
        }
    };
    let rank = shape.len() + count;
    let axes = axes_of(cx, 1, rank)?.unwrap_or_default();
    let mut rest = shape.into_iter();
    let dims: Vec<Dim> = (0..rank)
        .map(|i| {
            if axes.contains(&i) {
                Dim::ONE
            } else {
                rest.next().unwrap_or(Dim::ONE)
            }
        })
        .collect();
    cx.typed(DType::F32, &dims)?;
    let y = cx.reshape(x, &dims);
    cx.set_output(0, y);
    Ok(())
}

pub(super) fn transpose(cx: &mut NodeCx<'_>) -> Result<(), Refusal> {
    let x = cx.input(0)?;
    let rank = cx.rank(x);
    let perm = match cx.ints("perm")? {
        None => (0..rank).rev().collect(),
        Some(perm) => {
            let perm: Vec<usize> = perm
                .into_iter()
                .map(|p| cx.axis(p, rank))
                .collect::<Result<_, _>>()?;
            if perm.len() != rank || (0..rank).any(|i| !perm.contains(&i)) {
                return Err(Refusal::invalid(format!(
                    "{perm:?} is no permutation of {rank} axes"
                )));
            }
            perm
        }
    };
    let y = cx.transpose(x, &perm);
    cx.set_output(0, y);
    Ok(())
}

pub(super) fn shape(cx: &mut NodeCx<'_>) -> Result<(), Refusal> {
    let x = cx.input(0)?;
    let dims = cx.shape(x);
    let r = dims.len() as i64;
    let clamp = |v: i64| (if v < 0 { v.saturating_add(r) } else { v }).clamp(0, r) as usize;
    let (start, end) = (clamp(cx.int_or("start", 0)?), clamp(cx.int_or("end", r)?));
    let part = dims.get(start..end).unwrap_or_default().to_vec();
    let y = cx
        .dims_value(part, &[])
        .ok_or_else(|| Refusal::unsupported("a shape too long to follow"))?;
    cx.set_output(0, y);
    Ok(())
}

pub(super) fn size(cx: &mut NodeCx<'_>) -> Result<(), Refusal> {
    let x = cx.input(0)?;
    let dims = cx.shape(x);
    let count = cx.graph().dim_product(&dims);
    let y = cx
        .dims_value(vec![count], &[1])
        .ok_or_else(|| Refusal::unsupported("a size too large"))?;
    let y = cx.reshape(y, &[]);
    cx.set_output(0, y);
    Ok(())
}

impl NodeCx<'_> {
    /// An i64 value of these dimensions; `shape` empty means a list.
    pub(in super::super) fn dims_value(
        &mut self,
        values: Vec<Dim>,
        shape: &[usize],
    ) -> Option<ValueId> {
        let shape = if shape.is_empty() {
            vec![values.len()]
        } else {
            shape.to_vec()
        };
        let source = self.source();
        self.imp
            .from_dims(values, &Type::fixed(DType::I64, &shape), &source)
    }
}

pub(super) fn expand(cx: &mut NodeCx<'_>) -> Result<(), Refusal> {
    let (x, target) = (cx.input(0)?, cx.input(1)?);
    let target = cx.dim_list(target)?;
    let from = cx.shape(x);
    let shape = cx.broadcast(&from, &target)?;
    let y = cx.expand(x, &shape)?;
    cx.set_output(0, y);
    Ok(())
}

pub(super) fn tile(cx: &mut NodeCx<'_>) -> Result<(), Refusal> {
    let x = cx.input(0)?;
    let mut shape = cx.shape(x);
    let repeats = cx.input(1)?;
    let mut repeats = cx.dim_list(repeats)?;
    if cx.opset() < 6 {
        // Operator set 1: a number of tiles and the axis.
        let axis = cx.input(2)?;
        let axis = cx.const_i64(axis)?.first().copied().unwrap_or(0);
        let (axis, count) = (
            cx.axis(axis, shape.len())?,
            repeats.first().copied().unwrap_or(Dim::ONE),
        );
        repeats = (0..shape.len())
            .map(|i| if i == axis { count } else { Dim::ONE })
            .collect();
    }
    if repeats.len() != shape.len() {
        return Err(Refusal::invalid(format!(
            "{} repeats for {} axes",
            repeats.len(),
            shape.len()
        )));
    }
    for (d, r) in shape.iter_mut().zip(repeats) {
        *d = cx.graph().dim_mul(*d, r);
    }
    let ty = cx.typed(cx.dtype(x), &shape)?;
    let y = if cx.shape(x) == shape {
        x
    } else {
        cx.emit(Tile {}, &[x], ty)
    };
    cx.set_output(0, y);
    Ok(())
}

pub(super) fn concat(cx: &mut NodeCx<'_>) -> Result<(), Refusal> {
    let mut values = Vec::new();
    for i in 0..cx.n_inputs() {
        values.push(cx.input(i)?);
    }
    let first = *values
        .first()
        .ok_or_else(|| Refusal::invalid("it has no inputs"))?;
    let axis = cx.int_or("axis", 1)?;
    let axis = cx.axis(axis, cx.rank(first))?;
    let y = cx.concat(&values, axis)?;
    cx.set_output(0, y);
    Ok(())
}
