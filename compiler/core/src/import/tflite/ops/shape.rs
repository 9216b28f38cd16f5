//! Shapes: what changes, reads or fills them.

use super::super::cx::{OpCx, int};
use crate::import::error::Refusal;
use crate::ir::{Type, ValueId};
use cygnet_format::{DType, Dim};

/// `RESHAPE`: the new shape is an input, or in the options of old files.
pub(super) fn reshape(cx: &mut OpCx<'_, '_>) -> Result<(), Refusal> {
    let (x, q) = (cx.input(0)?, cx.quantised(0)?);
    let target = if cx.has_input(1) {
        let v = cx.input(1)?;
        // Some converters write a list of one zero for a scalar.
        match cx.const_i64(v) {
            Ok(list) if list == [0] && cx.ty(x).fixed_len() == Some(1) => cx.const_list(&[]),
            _ => v,
        }
    } else {
        let list = cx.list(0)?;
        cx.const_list(&list)
    };
    let y = if cx.ty(target).fixed_len() == Some(0) {
        if cx.ty(x).fixed_len() != Some(1) {
            return Err(Refusal::invalid("its new shape is missing"));
        }
        cx.reshape(x, &[])
    } else {
        cx.onnx("Reshape", vec![int("allowzero", 1)], &[x, target], 1)?[0]
    };
    cx.put_moved(0, y, &q)
}

/// `SQUEEZE`: the listed axes, or all of length one.
pub(super) fn squeeze(cx: &mut OpCx<'_, '_>) -> Result<(), Refusal> {
    let (x, q) = (cx.input(0)?, cx.quantised(0)?);
    let axes = cx.list(0)?;
    let axes = (!axes.is_empty()).then(|| cx.const_list(&axes));
    let y = cx.onnx_optional("Squeeze", vec![], &[Some(x), axes], 1)?[0];
    cx.put_moved(0, y, &q)
}

/// `EXPAND_DIMS`: input, axis.
pub(super) fn expand_dims(cx: &mut OpCx<'_, '_>) -> Result<(), Refusal> {
    let (x, q) = (cx.input(0)?, cx.quantised(0)?);
    let axis = cx.integer(1)?;
    let axis = cx.const_list(&[axis]);
    let y = cx.onnx("Unsqueeze", vec![], &[x, axis], 1)?[0];
    cx.put_moved(0, y, &q)
}

/// `TRANSPOSE`: input, permutation.
pub(super) fn transpose(cx: &mut OpCx<'_, '_>) -> Result<(), Refusal> {
    let (x, q) = (cx.input(0)?, cx.quantised(0)?);
    let rank = cx.rank(x);
    let perm = cx
        .integers(1)?
        .into_iter()
        .map(|p| cx.axis(p, rank))
        .collect::<Result<Vec<_>, _>>()?;
    if perm.len() != rank || (0..rank).any(|i| !perm.contains(&i)) {
        return Err(Refusal::invalid(format!(
            "{perm:?} is no permutation of {rank} axes"
        )));
    }
    let y = cx.transpose(x, &perm);
    cx.put_moved(0, y, &q)
}

/// `SHAPE`.
pub(super) fn shape(cx: &mut OpCx<'_, '_>) -> Result<(), Refusal> {
    let x = cx.input(0)?;
    let dims = cx.shape(x);
    let y = cx.dims_constant(dims)?;
    cx.put(0, y)
}

/// `RANK`.
pub(super) fn rank(cx: &mut OpCx<'_, '_>) -> Result<(), Refusal> {
    let x = cx.input(0)?;
    let rank = cx.rank(x) as i32;
    let y = cx.constant(Type::fixed(DType::I32, &[]), rank.to_le_bytes().to_vec());
    cx.put(0, y)
}

/// One element everywhere in a shape.
fn filled(cx: &mut OpCx<'_, '_>, value: ValueId, shape: &[Dim]) -> Result<ValueId, Refusal> {
    if cx.ty(value).fixed_len() != Some(1) {
        return Err(Refusal::invalid("its value is not a single number"));
    }
    let value = cx.reshape(value, &[]);
    cx.expand(value, shape)
}

/// `FILL`: shape, value.
pub(super) fn fill(cx: &mut OpCx<'_, '_>) -> Result<(), Refusal> {
    let shape = cx.dims(0)?;
    let (value, q) = (cx.input(1)?, cx.quantised(1)?);
    let y = filled(cx, value, &shape)?;
    cx.put_moved(0, y, &q)
}

/// `ZEROS_LIKE`.
pub(super) fn zeros_like(cx: &mut OpCx<'_, '_>) -> Result<(), Refusal> {
    let x = cx.wide(0)?;
    let shape = cx.shape(x);
    let dtype = cx.dtype(x);
    let zero = cx.scalar(0.0, dtype);
    let y = filled(cx, zero, &shape)?;
    cx.put(0, y)
}

/// `RANGE`: start, limit, step.
pub(super) fn range(cx: &mut OpCx<'_, '_>) -> Result<(), Refusal> {
    let operands = [cx.input(0)?, cx.input(1)?, cx.input(2)?];
    let y = cx.onnx("Range", vec![], &operands, 1)?[0];
    cx.put(0, y)
}

/// `BROADCAST_TO`: input, shape.
pub(super) fn broadcast_to(cx: &mut OpCx<'_, '_>) -> Result<(), Refusal> {
    let (x, q) = (cx.input(0)?, cx.quantised(0)?);
    let target = cx.input(1)?;
    let y = cx.onnx("Expand", vec![], &[x, target], 1)?[0];
    cx.put_moved(0, y, &q)
}

/// `TILE`: input, repeats.
pub(super) fn tile(cx: &mut OpCx<'_, '_>) -> Result<(), Refusal> {
    let (x, q) = (cx.input(0)?, cx.quantised(0)?);
    let repeats = cx.input(1)?;
    let y = cx.onnx("Tile", vec![], &[x, repeats], 1)?[0];
    cx.put_moved(0, y, &q)
}
