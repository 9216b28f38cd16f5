//! `dynamic_quantize_linear`.

use crate::{Cx, RunError};
use cygnet_format::op::DynamicQuantizeLinear;
use cygnet_kernels::quantize::dynamic_quantize;

pub(crate) fn run(_op: &DynamicQuantizeLinear, cx: &mut Cx<'_>) -> Result<(), RunError> {
    let (x, y) = (cx.input(0)?, cx.output(0)?);
    let (scale, zero) = dynamic_quantize(x.as_slice()?, y.into_mut_slice()?)?;
    if let Some(mut out) = cx.opt_output(1)? {
        out.as_mut_slice::<f32>()?.fill(scale);
    }
    if let Some(mut out) = cx.opt_output(2)? {
        out.as_mut_slice::<u8>()?.fill(zero);
    }
    Ok(())
}
