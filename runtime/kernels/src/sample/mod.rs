//! Sampling at positions that the data give: grids, regions of interest, deformed convolution; and `col2im`.

mod col2im;
mod deform;
mod grid;
mod roi;

pub use col2im::{Col2ImGeometry, col2im};
pub use deform::{DeformGeometry, deform_conv};
pub use grid::{GridGeometry, grid_sample};
pub use roi::{RoiGeometry, max_roi_pool, roi_align};

/// Bilinear taps of `(y, x)` in a plane of `[height, width]`: flat positions and weights. Positions beyond the plane
/// weigh nothing.
fn bilinear_zero(y: f32, x: f32, [height, width]: [usize; 2]) -> [(usize, f32); 4] {
    let (y0, x0) = (libm::floorf(y), libm::floorf(x));
    let (fy, fx) = (y - y0, x - x0);
    let tap = |dy: f32, dx: f32, weight: f32| {
        let (ty, tx) = (y0 + dy, x0 + dx);
        let inside = ty >= 0.0 && tx >= 0.0 && ty < height as f32 && tx < width as f32;
        if inside {
            (ty as usize * width + tx as usize, weight)
        } else {
            (0, 0.0)
        }
    };
    [
        tap(0.0, 0.0, (1.0 - fy) * (1.0 - fx)),
        tap(0.0, 1.0, (1.0 - fy) * fx),
        tap(1.0, 0.0, fy * (1.0 - fx)),
        tap(1.0, 1.0, fy * fx),
    ]
}
