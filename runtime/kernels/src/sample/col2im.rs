//! `col2im`: sums columns of patches back into images (channels-first, as ONNX Col2Im).

use crate::error::{KernelError, product};
use crate::movement::MAX_RANK;

/// Geometry of [`col2im`]; every list has one entry a spatial axis.
#[derive(Clone, Copy, Debug)]
#[allow(missing_docs)]
pub struct Col2ImGeometry<'a> {
    pub batch: usize,
    pub channels: usize,
    pub image: &'a [usize],
    pub kernel: &'a [usize],
    pub strides: &'a [usize],
    pub dilations: &'a [usize],
    pub pads_before: &'a [usize],
    pub pads_after: &'a [usize],
}

impl Col2ImGeometry<'_> {
    /// Patch positions along `axis`.
    fn blocks(&self, axis: usize) -> Result<usize, KernelError> {
        let reach = self.dilations[axis]
            .checked_mul(self.kernel[axis].wrapping_sub(1))
            .and_then(|r| r.checked_add(1));
        let padded = self.image[axis]
            .checked_add(self.pads_before[axis])
            .and_then(|n| n.checked_add(self.pads_after[axis]));
        let free = padded
            .zip(reach)
            .and_then(|(n, r)| n.checked_sub(r))
            .ok_or(KernelError::Parameter)?;
        let steps = free
            .checked_div(self.strides[axis])
            .ok_or(KernelError::Parameter)?;
        Ok(steps + 1)
    }
}

/// `x[N, C*prod(kernel), L] -> y[N, C, image..]`.
///
/// # Errors
/// [`KernelError`] when lengths do not agree with the geometry.
pub fn col2im(g: &Col2ImGeometry<'_>, x: &[f32], y: &mut [f32]) -> Result<(), KernelError> {
    let rank = g.image.len();
    let lists = [
        g.kernel,
        g.strides,
        g.dilations,
        g.pads_before,
        g.pads_after,
    ];
    if rank == 0
        || rank > MAX_RANK
        || lists.iter().any(|l| l.len() != rank)
        || g.kernel.contains(&0)
    {
        return Err(KernelError::Parameter);
    }
    let mut blocks = [1usize; MAX_RANK];
    for axis in 0..rank {
        blocks[axis] = g.blocks(axis)?;
    }
    let (count, taps, plane) = (
        product(&blocks[..rank])?,
        product(g.kernel)?,
        product(g.image)?,
    );
    let planes = product(&[g.batch, g.channels])?;
    if x.len() != product(&[planes, taps, count])? || y.len() != product(&[planes, plane])? {
        return Err(KernelError::Length);
    }
    y.fill(0.0);
    if y.is_empty() {
        return Ok(());
    }
    for (columns, image) in x.chunks_exact(taps * count).zip(y.chunks_exact_mut(plane)) {
        for (i, v) in columns.iter().enumerate() {
            let (mut tap, mut block, mut at, mut scale, mut inside) =
                (i / count, i % count, 0, 1, true);
            for axis in (0..rank).rev() {
                let (k, b) = (tap % g.kernel[axis], block % blocks[axis]);
                (tap, block) = (tap / g.kernel[axis], block / blocks[axis]);
                match (b * g.strides[axis] + k * g.dilations[axis]).checked_sub(g.pads_before[axis])
                {
                    Some(p) if p < g.image[axis] => at += p * scale,
                    _ => inside = false,
                }
                scale *= g.image[axis];
            }
            if inside {
                image[at] += v;
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn overlapping_patches_add_up() {
        let g = Col2ImGeometry {
            batch: 1,
            channels: 1,
            image: &[3],
            kernel: &[2],
            strides: &[1],
            dilations: &[1],
            pads_before: &[0],
            pads_after: &[0],
        };
        let mut y = [0f32; 3];
        col2im(&g, &[1.0, 2.0, 10.0, 20.0], &mut y).unwrap();
        assert_eq!(y, [1.0, 12.0, 20.0]);
        assert!(col2im(&g, &[1.0], &mut y).is_err());
    }
}
