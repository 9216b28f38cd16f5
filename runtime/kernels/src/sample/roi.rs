//! Regions of interest: `roi_align` (He et al. 2017) and `max_roi_pool` (Girshick 2015).

use crate::error::{KernelError, product};
use cygnet_format::op::RoiMode;

/// Sizes of a pooling over regions; the image is channels-last.
#[derive(Clone, Copy, Debug)]
#[allow(missing_docs)]
pub struct RoiGeometry {
    pub batch: usize,
    pub height: usize,
    pub width: usize,
    pub channels: usize,
    pub rois: usize,
    pub out_height: usize,
    pub out_width: usize,
    /// Feature-map pixels for each pixel of the region's coordinates.
    pub spatial_scale: f32,
}

impl RoiGeometry {
    fn check(&self, x: usize, y: usize) -> Result<(), KernelError> {
        let image = product(&[self.batch, self.height, self.width, self.channels])?;
        let out = product(&[self.rois, self.out_height, self.out_width, self.channels])?;
        if x != image || y != out {
            return Err(KernelError::Length);
        }
        if out > 0 && image == 0 {
            Err(KernelError::Parameter)
        } else {
            Ok(())
        }
    }
}

/// Largest number of samples along one side of a bin: hostile regions must not take for ever.
const MOST_SAMPLES: f32 = 1024.0;

/// Clamped bilinear taps: positions and weights; nothing when the point is more than one pixel outside.
fn taps(y: f32, x: f32, height: usize, width: usize) -> [(usize, f32); 4] {
    let (h, w) = (height as f32, width as f32);
    if !(-1.0..=h).contains(&y) || !(-1.0..=w).contains(&x) {
        return [(0, 0.0); 4];
    }
    let axis = |v: f32, n: usize| {
        let v = v.max(0.0);
        let low = v as usize;
        if low + 1 >= n {
            (n - 1, n - 1, 0.0)
        } else {
            (low, low + 1, v - low as f32)
        }
    };
    let ((y0, y1, fy), (x0, x1, fx)) = (axis(y, height), axis(x, width));
    [
        (y0 * width + x0, (1.0 - fy) * (1.0 - fx)),
        (y0 * width + x1, (1.0 - fy) * fx),
        (y1 * width + x0, fy * (1.0 - fx)),
        (y1 * width + x1, fy * fx),
    ]
}

/// `x[N,H,W,C], rois[R,4] (x1, y1, x2, y2), batch_of[R] -> y[R,oh,ow,C]`. `sampling_ratio` 0 adapts to the bin's size.
///
/// # Errors
/// [`KernelError`] when lengths do not agree, an image index is out of range, or a bin asks for too many samples.
pub fn roi_align(
    g: &RoiGeometry,
    mode: RoiMode,
    sampling_ratio: usize,
    half_pixel: bool,
    x: &[f32],
    rois: &[f32],
    batch_of: &[i64],
    y: &mut [f32],
) -> Result<(), KernelError> {
    g.check(x.len(), y.len())?;
    if rois.len() != product(&[g.rois, 4])? || batch_of.len() != g.rois {
        return Err(KernelError::Length);
    }
    if y.is_empty() {
        return Ok(());
    }
    let plane = g.height * g.width * g.channels;
    let shift = if half_pixel { 0.5 } else { 0.0 };
    let bins = g.out_height * g.out_width * g.channels;
    for ((roi, &n), out) in rois
        .chunks_exact(4)
        .zip(batch_of)
        .zip(y.chunks_exact_mut(bins))
    {
        let n = usize::try_from(n)
            .ok()
            .filter(|&n| n < g.batch)
            .ok_or(KernelError::Index)?;
        let image = &x[n * plane..(n + 1) * plane];
        let [x1, y1, x2, y2] =
            [roi[0], roi[1], roi[2], roi[3]].map(|v| v * g.spatial_scale - shift);
        let least = if half_pixel { f32::NEG_INFINITY } else { 1.0 };
        let (width, height) = ((x2 - x1).max(least), (y2 - y1).max(least));
        let (bin_h, bin_w) = (height / g.out_height as f32, width / g.out_width as f32);
        let samples = |bin: f32| match sampling_ratio {
            0 => libm::ceilf(bin).max(0.0),
            n => n as f32,
        };
        let (count_h, count_w) = (samples(bin_h), samples(bin_w));
        if !(count_h <= MOST_SAMPLES && count_w <= MOST_SAMPLES) {
            return Err(KernelError::Parameter);
        }
        for (cell, out) in out.chunks_exact_mut(g.channels).enumerate() {
            let (ph, pw) = ((cell / g.out_width) as f32, (cell % g.out_width) as f32);
            out.fill(0.0);
            let mut first = true;
            for iy in 0..count_h as usize {
                let py = y1 + ph * bin_h + (iy as f32 + 0.5) * bin_h / count_h;
                for ix in 0..count_w as usize {
                    let px = x1 + pw * bin_w + (ix as f32 + 0.5) * bin_w / count_w;
                    let taps = taps(py, px, g.height, g.width);
                    for (c, o) in out.iter_mut().enumerate() {
                        let values = taps.map(|(at, w)| w * image[at * g.channels + c]);
                        match mode {
                            RoiMode::Average => *o += values.iter().sum::<f32>(),
                            RoiMode::Max => {
                                let v = values.into_iter().fold(f32::NEG_INFINITY, f32::max);
                                *o = if first { v } else { o.max(v) };
                            }
                        }
                    }
                    first = false;
                }
            }
            if mode == RoiMode::Average {
                let count = (count_h * count_w).max(1.0);
                out.iter_mut().for_each(|o| *o /= count);
            }
        }
    }
    Ok(())
}

/// `x[N,H,W,C], rois[R,5] (image, x1, y1, x2, y2) -> y[R,oh,ow,C]`: the maximum of each bin; empty bins give 0.
///
/// # Errors
/// [`KernelError`] when lengths do not agree or an image index is out of range.
pub fn max_roi_pool(
    g: &RoiGeometry,
    x: &[f32],
    rois: &[f32],
    y: &mut [f32],
) -> Result<(), KernelError> {
    g.check(x.len(), y.len())?;
    if rois.len() != product(&[g.rois, 5])? {
        return Err(KernelError::Length);
    }
    if y.is_empty() {
        return Ok(());
    }
    let plane = g.height * g.width * g.channels;
    let bins = g.out_height * g.out_width * g.channels;
    for (roi, out) in rois.chunks_exact(5).zip(y.chunks_exact_mut(bins)) {
        let n = roi[0];
        if !(n >= 0.0 && n < g.batch as f32) {
            return Err(KernelError::Index);
        }
        let image = &x[n as usize * plane..][..plane];
        let [x1, y1, x2, y2] =
            [roi[1], roi[2], roi[3], roi[4]].map(|v| libm::roundf(v * g.spatial_scale));
        let (bin_h, bin_w) = (
            (y2 - y1 + 1.0).max(1.0) / g.out_height as f32,
            (x2 - x1 + 1.0).max(1.0) / g.out_width as f32,
        );
        let range = |start: f32, i: usize, bin: f32, n: usize| {
            let low = (libm::floorf(i as f32 * bin) + start).clamp(0.0, n as f32) as usize;
            let high = (libm::ceilf((i + 1) as f32 * bin) + start).clamp(0.0, n as f32) as usize;
            low..high
        };
        for (cell, out) in out.chunks_exact_mut(g.channels).enumerate() {
            let rows = range(y1, cell / g.out_width, bin_h, g.height);
            let columns = range(x1, cell % g.out_width, bin_w, g.width);
            out.fill(if rows.is_empty() || columns.is_empty() {
                0.0
            } else {
                f32::NEG_INFINITY
            });
            for row in rows {
                for column in columns.clone() {
                    let pixel = &image[(row * g.width + column) * g.channels..][..g.channels];
                    out.iter_mut().zip(pixel).for_each(|(o, v)| *o = o.max(*v));
                }
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const G: RoiGeometry = RoiGeometry {
        batch: 1,
        height: 2,
        width: 2,
        channels: 1,
        rois: 1,
        out_height: 1,
        out_width: 1,
        spatial_scale: 1.0,
    };

    #[test]
    fn one_bin_over_the_whole_image() {
        let x = [1.0, 2.0, 3.0, 4.0];
        let mut y = [0f32];
        roi_align(
            &G,
            RoiMode::Average,
            1,
            false,
            &x,
            &[0.0, 0.0, 1.0, 1.0],
            &[0],
            &mut y,
        )
        .unwrap();
        assert_eq!(y, [2.5]);
        max_roi_pool(&G, &x, &[0.0, 0.0, 0.0, 1.0, 1.0], &mut y).unwrap();
        assert_eq!(y, [4.0]);
        assert!(roi_align(&G, RoiMode::Max, 1, false, &x, &[0.0; 4], &[1], &mut y).is_err());
        assert!(
            roi_align(
                &G,
                RoiMode::Max,
                0,
                false,
                &x,
                &[0.0, 0.0, 1e30, 1.0],
                &[0],
                &mut y
            )
            .is_err()
        );
    }
}
