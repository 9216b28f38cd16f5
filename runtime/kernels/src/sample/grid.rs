//! `grid_sample`: reads a channels-last image at the points of a grid (Jaderberg et al. 2015, as ONNX GridSample).

use crate::error::{KernelError, product};
use cygnet_format::op::{GridPadding, ResizeMode};

/// Sizes and modes of [`grid_sample`].
#[derive(Clone, Copy, Debug)]
pub struct GridGeometry<'a> {
    /// Images.
    pub batch: usize,
    /// One to three spatial sizes.
    pub space: &'a [usize],
    /// Channels.
    pub channels: usize,
    /// Points of the grid for each image.
    pub points: usize,
    /// Interpolation.
    pub mode: ResizeMode,
    /// What lies outside.
    pub padding: GridPadding,
    /// -1 and 1 are the centres of the corner elements rather than their outer edges.
    pub align_corners: bool,
}

/// Reflects `x` about `low` and `high` until it lies between them.
fn reflect(x: f32, low: f32, high: f32) -> f32 {
    let range = high - low;
    if range <= 0.0 {
        return low;
    }
    let distance = if x < low {
        low - x
    } else if x > high {
        x - high
    } else {
        return x;
    };
    let turns = libm::floorf(distance / range);
    let rest = distance - turns * range;
    let even = libm::fmodf(turns, 2.0) == 0.0;
    if (x < low) == even {
        low + rest
    } else {
        high - rest
    }
}

/// Keys' cubic convolution weights with a = -0.75 for the four taps around fraction `t`.
fn cubic(t: f32) -> [f32; 4] {
    const A: f32 = -0.75;
    let far = |d: f32| ((A * d - 5.0 * A) * d + 8.0 * A) * d - 4.0 * A;
    let near = |d: f32| ((A + 2.0) * d - (A + 3.0)) * d * d + 1.0;
    [far(t + 1.0), near(t), near(1.0 - t), far(2.0 - t)]
}

/// Positions and weights along one axis; a position outside under zero padding is `None`.
#[derive(Clone, Copy, Default)]
struct Taps {
    count: usize,
    at: [Option<usize>; 4],
    weight: [f32; 4],
}

impl GridGeometry<'_> {
    fn position(&self, i: f32, n: usize) -> Option<usize> {
        let last = n as f32 - 1.0;
        let i = match self.padding {
            GridPadding::Zeros => return (i >= 0.0 && i <= last).then_some(i as usize),
            GridPadding::Border => i,
            GridPadding::Reflection => {
                let (low, high) = self.border(n);
                // Truncation toward zero, so that half positions between the edge and the border stay inside.
                libm::truncf(reflect(i, low, high))
            }
        };
        Some(if i.is_nan() {
            0
        } else {
            i.clamp(0.0, last) as usize
        })
    }

    fn border(&self, n: usize) -> (f32, f32) {
        if self.align_corners {
            (0.0, n as f32 - 1.0)
        } else {
            (-0.5, n as f32 - 0.5)
        }
    }

    fn taps(&self, point: f32, n: usize) -> Taps {
        let len = n as f32;
        let mut x = if self.align_corners {
            (point + 1.0) / 2.0 * (len - 1.0)
        } else {
            ((point + 1.0) * len - 1.0) / 2.0
        };
        if self.mode == ResizeMode::Nearest {
            x = libm::rintf(x);
        }
        let (low, high) = self.border(n);
        if x < low || x > high {
            match self.padding {
                GridPadding::Zeros => {}
                GridPadding::Border => x = x.clamp(0.0, len - 1.0),
                GridPadding::Reflection => x = reflect(x, low, high),
            }
        }
        let floor = libm::floorf(x);
        let t = x - floor;
        let mut taps = Taps::default();
        let (first, weights): (f32, &[f32]) = match self.mode {
            ResizeMode::Nearest => (libm::rintf(x), &[1.0]),
            ResizeMode::Linear => (floor, &[1.0 - t, t]),
            ResizeMode::Cubic => (floor - 1.0, &cubic(t)),
        };
        taps.count = weights.len();
        for (k, &w) in weights.iter().enumerate() {
            taps.at[k] = self.position(first + k as f32, n);
            taps.weight[k] = w;
        }
        taps
    }
}

/// `x[N, S.., C], grid[N, points, rank] -> y[N, points, C]`. The innermost spatial axis comes first in a grid point.
///
/// # Errors
/// [`KernelError`] when lengths do not agree or the rank is not one to three.
pub fn grid_sample(
    g: &GridGeometry<'_>,
    x: &[f32],
    grid: &[f32],
    y: &mut [f32],
) -> Result<(), KernelError> {
    let rank = g.space.len();
    let plane = product(g.space)?;
    if !(1..=3).contains(&rank) || plane == 0 && !y.is_empty() {
        return Err(KernelError::Parameter);
    }
    if x.len() != product(&[g.batch, plane, g.channels])?
        || grid.len() != product(&[g.batch, g.points, rank])?
        || y.len() != product(&[g.batch, g.points, g.channels])?
    {
        return Err(KernelError::Length);
    }
    if y.is_empty() {
        return Ok(());
    }
    let one = Taps {
        count: 1,
        at: [Some(0); 4],
        weight: [1.0; 4],
    };
    for (i, (point, out)) in grid
        .chunks_exact(rank)
        .zip(y.chunks_exact_mut(g.channels))
        .enumerate()
    {
        let image = &x[i / g.points * plane * g.channels..][..plane * g.channels];
        let (mut taps, mut sizes) = ([one; 3], [1usize; 3]);
        for axis in 0..rank {
            let slot = 3 - rank + axis;
            sizes[slot] = g.space[axis];
            taps[slot] = g.taps(point[rank - 1 - axis], g.space[axis]);
        }
        out.fill(0.0);
        for a in 0..taps[0].count {
            for b in 0..taps[1].count {
                for c in 0..taps[2].count {
                    let (Some(p), Some(q), Some(r)) = (taps[0].at[a], taps[1].at[b], taps[2].at[c])
                    else {
                        continue;
                    };
                    let weight = taps[0].weight[a] * taps[1].weight[b] * taps[2].weight[c];
                    let at = ((p * sizes[1] + q) * sizes[2] + r) * g.channels;
                    for (o, v) in out.iter_mut().zip(&image[at..at + g.channels]) {
                        *o += weight * v;
                    }
                }
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample(mode: ResizeMode, padding: GridPadding, point: [f32; 2]) -> f32 {
        let g = GridGeometry {
            batch: 1,
            space: &[2, 2],
            channels: 1,
            points: 1,
            mode,
            padding,
            align_corners: true,
        };
        let mut y = [0f32];
        grid_sample(&g, &[1.0, 2.0, 3.0, 4.0], &point, &mut y).unwrap();
        y[0]
    }

    #[test]
    fn corners_centre_and_outside() {
        use {GridPadding::*, ResizeMode::*};
        assert_eq!(sample(Linear, Zeros, [0.0, 0.0]), 2.5);
        assert_eq!(sample(Linear, Zeros, [1.0, -1.0]), 2.0);
        assert_eq!(sample(Nearest, Border, [-9.0, 9.0]), 3.0);
        assert_eq!(sample(Nearest, Zeros, [-9.0, 9.0]), 0.0);
        assert_eq!(sample(Linear, Reflection, [-3.0, -1.0]), 2.0);
        assert_eq!(sample(Cubic, Border, [-1.0, -1.0]), 1.0);
    }

    #[test]
    fn reflection_turns_back_and_forth() {
        assert_eq!(
            [-1.0, 0.5, 3.0, 5.0].map(|x| reflect(x, 0.0, 2.0)),
            [1.0, 0.5, 1.0, 1.0]
        );
    }
}
