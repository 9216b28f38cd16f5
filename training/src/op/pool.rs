//! The mean of all pixels.
use super::memory::Memory;
use super::work::by_rows;
use candle_core::Result;

/// The mean over pixels of `x` `[batch, pixels, channels]`.
pub(crate) fn forward(
    x: &[f32],
    [batch, pixels, c]: [usize; 3],
    memory: &mut Memory,
) -> Result<Vec<f32>> {
    let mut y = memory.take(batch * c);
    by_rows(&mut y, c, |images, y| {
        for (image, y) in images.zip(y.chunks_exact_mut(c)) {
            y.fill(0.0);
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
    Ok(y)
}

/// The gradient with respect to the input.
pub(crate) fn gradient(
    dy: &[f32],
    [batch, pixels, c]: [usize; 3],
    memory: &mut Memory,
) -> Result<Vec<f32>> {
    let mut dx = memory.take(batch * pixels * c);
    by_rows(&mut dx, pixels * c, |images, dx| {
        for (image, dx) in images.zip(dx.chunks_exact_mut(pixels * c)) {
            let (first, rest) = dx.split_at_mut(c);
            for (x, y) in first.iter_mut().zip(&dy[image * c..(image + 1) * c]) {
                *x = y / pixels as f32;
            }
            for pixel in rest.chunks_exact_mut(c) {
                pixel.copy_from_slice(first);
            }
        }
        Ok(())
    })?;
    Ok(dx)
}
