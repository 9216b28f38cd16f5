//! `lookup`: any function of one 8-bit integer.

use crate::linear::PARALLEL_WORK;
use crate::{Cx, RunError};
use cygnet_format::{DType, op::Lookup};
use cygnet_kernels::quantize;

pub(crate) fn run(_op: &Lookup, cx: &mut Cx<'_>) -> Result<(), RunError> {
    let lies_on = cx.in_place_input(0);
    let (dtype, shape) = cx.input_type(0)?;
    let table = cx.input(1)?;
    let y = cx.output(0)?;
    if !matches!(y.dtype, DType::I8 | DType::U8) || dtype != y.dtype || table.dtype != y.dtype {
        return Err(RunError::dtype(
            "operand, table and result are of one 8-bit type",
        ));
    }
    if shape != y.shape || table.bytes.len() != 256 {
        return Err(RunError::shape(
            "the result has the operand's shape, the table 256 entries",
        ));
    }
    let x = match lies_on {
        Some(_) => None,
        None => Some(cx.input(0)?.bytes),
    };
    let len = y.bytes.len();
    let part = if len < PARALLEL_WORK {
        len
    } else {
        len.div_ceil(cx.threads() * 2).next_multiple_of(64)
    };
    cx.parallel_chunks(y.bytes, part, &|i, y| {
        let x = x.map(|x| &x[i * part..][..y.len()]);
        Ok(quantize::lookup(table.bytes, x, y)?)
    })
}
