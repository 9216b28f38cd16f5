//! `top_k`: the greatest or least elements along an axis.

use crate::{Cx, RunError};
use cygnet_format::DType;
use cygnet_format::op::TopK;
use cygnet_kernels::sort::{self, Comparison};

pub(crate) fn run(op: &TopK, cx: &mut Cx<'_>) -> Result<(), RunError> {
    let (x, mut y, mut indices) = (cx.input(0)?, cx.output(0)?, cx.opt_output(1)?);
    super::types::same_type(&x, &y)?;
    let k = *y
        .shape
        .get(op.axis as usize)
        .ok_or(RunError::attribute("the axis does not exist"))?;
    let i = match &mut indices {
        Some(i) => Some(i.as_mut_slice::<i64>()?),
        None => None,
    };
    if x.dtype == DType::F32 {
        let (x_values, y) = (x.as_slice::<f32>()?, y.as_mut_slice::<f32>()?);
        let axis = op.axis;
        return Ok(sort::top_k(
            x_values,
            &x.shape,
            axis,
            k,
            op.largest,
            y,
            i,
            sort::order,
        )?);
    }
    super::types::number(x.dtype)?;
    let c = Comparison::of(x.dtype).ok_or(RunError::dtype("elements that compare"))?;
    by_size!(x.dtype, |N| {
        let (from, to) = (x.bytes.as_chunks::<N>().0, y.bytes.as_chunks_mut::<N>().0);
        let order = |a: [u8; N], b: [u8; N]| c.order(&a, &b);
        Ok(sort::top_k(
            from, &x.shape, op.axis, k, op.largest, to, i, order,
        )?)
    })
}
