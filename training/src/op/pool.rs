//! The mean of all pixels.
use super::work::{by_rows, floats};
use candle_core::{CpuStorage, CustomOp1, Layout, Result, Shape, Tensor, bail};

/// The mean over height and width: `[batch, height, width, channels]` to `[batch, channels]`.
///
/// # Errors
/// A rank other than four.
pub fn mean_pixels(x: &Tensor) -> Result<Tensor> {
    if !x.device().is_cpu() {
        return x.mean((1, 2));
    }
    x.contiguous()?.apply_op1(MeanPixels)
}

struct MeanPixels;

fn sizes(dims: &[usize]) -> Result<(usize, usize, usize)> {
    match *dims {
        [batch, h, w, c] if h * w > 0 => Ok((batch, h * w, c)),
        _ => bail!("mean_pixels takes [batch, height, width, channels], not {dims:?}"),
    }
}

impl CustomOp1 for MeanPixels {
    fn name(&self) -> &'static str {
        "mean-pixels"
    }

    fn cpu_fwd(&self, x: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        let (batch, pixels, c) = sizes(layout.dims())?;
        let x = floats(x, layout)?;
        let mut y = vec![0.0; batch * c];
        by_rows(&mut y, c, |images, y| {
            for (image, y) in images.zip(y.chunks_exact_mut(c)) {
                for pixel in x[image * pixels * c..(image + 1) * pixels * c].chunks_exact(c) {
                    for (y, x) in y.iter_mut().zip(pixel) {
                        *y += x;
                    }
                }
                for y in y {
                    *y /= pixels as f32;
                }
            }
            Ok(())
        })?;
        Ok((CpuStorage::F32(y), Shape::from((batch, c))))
    }

    fn bwd(&self, x: &Tensor, _y: &Tensor, dy: &Tensor) -> Result<Option<Tensor>> {
        let (batch, pixels, c) = sizes(x.dims())?;
        let dy = dy.contiguous()?.flatten_all()?.to_vec1::<f32>()?;
        let mut dx = vec![0.0; batch * pixels * c];
        by_rows(&mut dx, pixels * c, |images, dx| {
            for (image, dx) in images.zip(dx.chunks_exact_mut(pixels * c)) {
                let dy = &dy[image * c..(image + 1) * c];
                let (first, rest) = dx.split_at_mut(c);
                for (x, y) in first.iter_mut().zip(dy) {
                    *x = y / pixels as f32;
                }
                for pixel in rest.chunks_exact_mut(c) {
                    pixel.copy_from_slice(first);
                }
            }
            Ok(())
        })?;
        Ok(Some(Tensor::from_vec(dx, x.shape(), x.device())?))
    }
}
