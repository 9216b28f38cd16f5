//! `conv_integer`.

use crate::{Cx, Element, RunError, Tensor, TensorMut};
use cygnet_format::{DType, op::ConvInteger};
use cygnet_kernels::integer::{self, ConvGeometry, Narrow};

pub(crate) fn run(op: &ConvInteger, cx: &mut Cx<'_>) -> Result<(), RunError> {
    let (x, w, y) = (cx.input(0)?, cx.input(1)?, cx.output(0)?);
    let zeros = [cx.opt_input(2)?, cx.opt_input(3)?];
    match (x.dtype, w.dtype) {
        (DType::U8, DType::U8) => typed::<u8, u8>(op, x, w, zeros, y),
        (DType::U8, DType::I8) => typed::<u8, i8>(op, x, w, zeros, y),
        (DType::I8, DType::U8) => typed::<i8, u8>(op, x, w, zeros, y),
        (DType::I8, DType::I8) => typed::<i8, i8>(op, x, w, zeros, y),
        _ => Err(RunError::dtype("operands are 8-bit integers")),
    }
}

/// The spatial axes as three, with ones in front.
fn spatial<T: Copy + TryInto<usize>>(values: &[T], fill: usize) -> Result<[usize; 3], RunError> {
    let mut all = [fill; 3];
    let lead = 3usize
        .checked_sub(values.len())
        .ok_or(RunError::attribute("more than three spatial axes"))?;
    for (out, v) in all[lead..].iter_mut().zip(values) {
        *out = (*v)
            .try_into()
            .map_err(|_| RunError::attribute("negative geometry"))?;
    }
    Ok(all)
}

fn typed<X: Narrow + Element, W: Narrow + Element>(
    op: &ConvInteger,
    x: Tensor<'_>,
    w: Tensor<'_>,
    [x_zero, w_zero]: [Option<Tensor<'_>>; 2],
    y: TensorMut<'_>,
) -> Result<(), RunError> {
    let rank = x.shape.len();
    let axes = op.kernel.len();
    if rank != axes + 2
        || y.shape.len() != rank
        || x.shape[0] != y.shape[0]
        || op.pads.len() != 2 * axes
    {
        return Err(RunError::shape("convolution operands do not agree"));
    }
    let geometry = ConvGeometry {
        batch: x.shape[0],
        input: spatial(&x.shape[1..rank - 1], 1)?,
        output: spatial(&y.shape[1..rank - 1], 1)?,
        kernel: spatial(&op.kernel, 1)?,
        strides: spatial(&op.strides, 1)?,
        dilations: spatial(&op.dilations, 1)?,
        pads_before: spatial(&op.pads[..axes], 0)?,
        channels: x.shape[rank - 1],
        outputs: y.shape[rank - 1],
        group: op.group as usize,
    };
    let x_zero = x_zero.map_or(Ok(&[][..]), |z| z.as_slice::<X>())?;
    let w_zero = w_zero.map_or(Ok(&[][..]), |z| z.as_slice::<W>())?;
    Ok(integer::conv(
        &geometry,
        x.as_slice()?,
        x_zero,
        w.as_slice()?,
        w_zero,
        y.into_mut_slice()?,
    )?)
}
