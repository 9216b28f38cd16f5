//! What a band of a separable convolution takes, for the compiler that plans it and the engine that checks it.

use super::SeparableConv;

impl SeparableConv {
    /// Input rows that a full band reads, of an input of `height` rows.
    pub fn band_rows(&self, height: usize) -> usize {
        let first = |axes: &[i32]| axes.first().map_or(1, |&v| v.max(1) as usize);
        (self.band.max(1) as usize - 1)
            .saturating_mul(first(&self.strides))
            .saturating_add(first(&self.kernel))
            .min(height)
    }

    /// Floats that a worker holds between the convolutions: a band of `channels` channels behind the expansion and one
    /// behind the depthwise convolution, where the convolution after it exists. `input` and `output` are height and
    /// width. `None` on overflow.
    pub fn scratch(
        &self,
        input: [usize; 2],
        output: [usize; 2],
        channels: usize,
        expands: bool,
        projects: bool,
    ) -> Option<usize> {
        let area = |rows: usize, width: usize| rows.checked_mul(width)?.checked_mul(channels);
        let mut floats = 0usize;
        if expands {
            floats = area(self.band_rows(input[0]), input[1])?;
        }
        if projects {
            let rows = (self.band.max(1) as usize).min(output[0]);
            floats = floats.checked_add(area(rows, output[1])?)?;
        }
        Some(floats)
    }
}
