//! `quantized_average_pool`: 8-bit means on channels-last tensors.

use super::quantization::clamped;
use crate::spatial::{Image, Window};
use crate::{Cx, Element, RunError, Tensor, TensorMut};
use cygnet_format::{DType, op::QuantizedAveragePool};
use cygnet_kernels::integer::Narrow;
use cygnet_kernels::quantize::{Target, mean};

pub(crate) fn run(op: &QuantizedAveragePool, cx: &mut Cx<'_>) -> Result<(), RunError> {
    let (x, y) = (cx.input(0)?, cx.output(0)?);
    if x.dtype != y.dtype {
        return Err(RunError::dtype("pooling keeps the element type"));
    }
    if !(-255..=255).contains(&op.x_zero) {
        return Err(RunError::attribute("a zero point is a value of its type"));
    }
    let (low, high) = clamped(y.dtype, op.low, op.high)?;
    let target = Target {
        zero: op.zero,
        low,
        high,
    };
    match x.dtype {
        DType::U8 => typed::<u8>(op, &target, x, y, |v| v as u8),
        DType::I8 => typed::<i8>(op, &target, x, y, |v| v as i8),
        _ => Err(RunError::dtype("operands are 8-bit integers")),
    }
}

fn typed<T: Narrow + Element>(
    op: &QuantizedAveragePool,
    target: &Target,
    x: Tensor<'_>,
    y: TensorMut<'_>,
    store: impl Fn(i32) -> T,
) -> Result<(), RunError> {
    let xi = Image::new(&x.shape)?;
    let c = xi.channels;
    let values = x.as_slice::<T>()?;
    let agrees = RunError::shape("pooling keeps the batch and the channels");
    if op.kernel.is_empty() {
        let y = y.into_mut_slice::<T>()?;
        if xi.batch.checked_mul(c) != Some(y.len()) {
            return Err(agrees);
        }
        if y.is_empty() {
            return Ok(());
        }
        let pixels = xi.pixels();
        for (n, y) in y.chunks_exact_mut(c).enumerate() {
            let image = &values[n * pixels * c..][..pixels * c];
            for (ch, y) in y.iter_mut().enumerate() {
                let sum = image[ch.min(image.len())..]
                    .iter()
                    .step_by(c)
                    .fold(0i32, |s, v| s.wrapping_add(v.wide() - op.x_zero));
                *y = store(mean(sum, pixels, op.multiplier, target));
            }
        }
        return Ok(());
    }
    let yi = Image::new(&y.shape)?;
    let window = Window::new(&x.shape, &op.kernel, &op.strides, &op.dilations, &op.pads)?;
    if x.shape.rank() != y.shape.rank() || xi.batch != yi.batch || c != yi.channels {
        return Err(agrees);
    }
    let y = y.into_mut_slice::<T>()?;
    if y.is_empty() {
        return Ok(());
    }
    let [_, ih, iw] = xi.size;
    let [od, oh, ow] = yi.size;
    for (pixel, y) in y.chunks_exact_mut(c).enumerate() {
        let o = [pixel / (oh * ow) % od, pixel / ow % oh, pixel % ow];
        let batch = pixel / (od * oh * ow);
        let inside = |d: usize| window.inside(d, o[d], xi.size[d]);
        let ((rz, cz), (ry, cy), (rx, cx)) = (inside(0), inside(1), inside(2));
        let taps = rz.flat_map(|z| {
            let rx = &rx;
            ry.clone()
                .flat_map(move |y| rx.clone().map(move |x| [z, y, x]))
        });
        let source = |k: [usize; 3]| {
            let at = |d: usize| window.source(d, o[d], k[d], xi.size[d]);
            Some((((batch * xi.size[0] + at(0)?) * ih + at(1)?) * iw + at(2)?) * c)
        };
        let count = if op.count_include_pad {
            cz.saturating_mul(cy).saturating_mul(cx)
        } else {
            taps.clone().filter_map(source).count()
        };
        for (ch, y) in y.iter_mut().enumerate() {
            let sum = taps.clone().filter_map(source).fold(0i32, |s, at| {
                s.wrapping_add(values[at + ch].wide() - op.x_zero)
            });
            *y = store(mean(sum, count, op.multiplier, target));
        }
    }
    Ok(())
}
