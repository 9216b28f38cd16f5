//! 8-bit convolutions and matrix products with the requantisation, and the addition of a residual, in one step.
//!
//! Activations are bytes, signed or not; weights are signed and symmetric. Sums are 32 bits wide and wrap around.
//! Instruction sets multiply different kinds of bytes: a body may read the input as signed or as unsigned values, which
//! differ by 128, and starts its sums from the row of `start` that belongs to its reading. So every body gives the same
//! bits, whatever the element type of the input.
#[cfg(all(target_arch = "x86_64", not(feature = "narrow")))]
mod avx2;
mod blocks;
#[cfg(arm_dsp)]
pub(crate) mod dsp;
#[cfg(not(feature = "narrow"))]
pub mod dynamic;
mod fixed;
#[cfg(all(target_arch = "aarch64", not(feature = "narrow")))]
mod neon;
mod scalar;
#[cfg(all(target_arch = "wasm32", not(feature = "narrow")))]
mod simd128;
#[cfg(test)]
mod tests;
#[cfg(all(target_arch = "x86_64", not(feature = "narrow")))]
mod vnni;

use crate::conv::{Conv, Weights};
use crate::error::{KernelError, at_least, exactly, need, product};
use crate::gemm::PANEL;
use crate::isa::Row;
use core::ops::Range;
pub use fixed::{Fixed, Layer};

/// Columns of packed weights that lie together.
pub const WIDTH: usize = if cfg!(feature = "narrow") { 2 } else { PANEL };

/// Products that one step of a dot-product instruction adds to a sum: weights are packed in groups of so many.
pub const GROUP: usize = 4;

/// The order of the bytes of two columns' groups in panels of two columns, by their places in panels of sixteen: values 0
/// and 2 of both columns, then 1 and 3, so that SXTB16 gives two values of one column.
pub const NARROW: [usize; 2 * GROUP] = [0, 4, 2, 6, 1, 5, 3, 7];

/// The place of value `k` of a column in a pair of columns' groups.
#[inline(always)]
const fn place(column: usize, k: usize) -> usize {
    if cfg!(feature = "narrow") {
        k % 2 * 4 + k / 2 * 2 + column
    } else {
        column * GROUP + k
    }
}

/// How 32-bit sums become 8-bit results.
///
/// `q = clamp(round_half_even(f32(sum) * multiplier[o]), low - zero..=high - zero) + zero`, where the product is one
/// binary32 multiplication. With a residual `r`, the result is
/// `clamp(round_half_even(f32(q - zero) * own + f32(r - residual_zero) * other), ..) + sum_zero` within
/// `sum_low..=sum_high`, where both products and their sum are rounded to binary32 each. A NaN gives the lower bound.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Requantize {
    /// The integer of the value 0, in -255..=255.
    pub zero: i32,
    /// Least result.
    pub low: i32,
    /// Greatest result, not below `low`.
    pub high: i32,
    /// What is added afterwards, when there is a residual.
    pub sum: Sum,
}

/// The addition of a residual to a requantised result.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Sum {
    /// Scale of the result of the product over that of the sum.
    pub own: f32,
    /// Scale of the residual over that of the sum.
    pub other: f32,
    /// The residual's zero point, in -255..=255.
    pub residual_zero: i32,
    /// Whether the residual's bytes are signed.
    pub residual_signed: bool,
    /// The integer of the value 0 of the sum, in -255..=255.
    pub zero: i32,
    /// Least result.
    pub low: i32,
    /// Greatest result, not below `low`.
    pub high: i32,
}

/// A quantised convolution. Taps in the padding read `x_zero`.
#[derive(Clone, Copy, Debug)]
pub struct QuantizedConv {
    /// Shapes; its activation is not applied: clamps are in `requantize`.
    pub conv: Conv,
    /// Whether the bytes of `x` are signed.
    pub signed: bool,
    /// The byte that stands for 0 in `x` (the bits of an i8, or a u8).
    pub x_zero: u8,
    /// What becomes of the sums.
    pub requantize: Requantize,
}

impl Conv {
    /// Bytes of a kernel row of one group in the packed form: `kernel[2] * in_channels / groups`, in whole groups of four.
    const fn packed_row(&self) -> usize {
        (self.kernel[2] * (self.in_channels / self.groups)).next_multiple_of(GROUP)
    }

    /// Bytes of the packed 8-bit weights `[groups][ceil(Og / 16)][kd * kh][ceil(kw * Ig / 4)][16][4]`, where 16 stands for
    /// [`WIDTH`]: a kernel row's taps and input channels are one run, filled up with zeros to whole groups.
    pub const fn quantized_len(&self) -> usize {
        let rows = self.kernel[0] * self.kernel[1];
        let og = self.out_channels / self.groups;
        self.groups * og.div_ceil(WIDTH) * WIDTH * rows * self.packed_row()
    }
}

/// Packs 8-bit weights for [`crate::Kernels::quantized_conv`]. `weight(o, tap, i)` is the weight of output channel `o`
/// (over all groups), tap `(z * kh + y) * kw + x` and input channel `i` within the group.
///
/// # Errors
/// [`KernelError::Length`] when `out` does not hold exactly [`Conv::quantized_len`] elements.
pub fn pack_weights(
    p: &Conv,
    weight: impl Fn(usize, usize, usize) -> i8,
    out: &mut [i8],
) -> Result<(), KernelError> {
    p.check_shape()?;
    exactly(out.len(), p.quantized_len())?;
    let (ig, og) = (p.in_channels / p.groups, p.out_channels / p.groups);
    let (rows, run) = (p.kernel[0] * p.kernel[1], p.kernel[2] * ig);
    let panels = og.div_ceil(WIDTH);
    for (panel, out) in out
        .chunks_exact_mut((rows * p.packed_row() * WIDTH).max(1))
        .enumerate()
    {
        let (group, first) = (panel / panels, panel % panels * WIDTH);
        for (at, out) in out.iter_mut().enumerate() {
            let (row, at) = (at / (p.packed_row() * WIDTH), at % (p.packed_row() * WIDTH));
            let (block, at) = (at / (WIDTH * GROUP), at % (WIDTH * GROUP));
            let at = if cfg!(feature = "narrow") {
                NARROW[at]
            } else {
                at
            };
            let (k, column) = (block * GROUP + at % GROUP, at / GROUP);
            *out = if k < run && first + column < og {
                let tap = row * p.kernel[2] + k / ig;
                weight(group * og + first + column, tap, k % ig)
            } else {
                0
            };
        }
    }
    Ok(())
}

/// What the sums of one output channel start from, for readers of signed and of unsigned inputs: the bias, less the part
/// of the zero point, which is multiplied with every weight of the channel (their sum is `weights`). Wraps around, as the
/// sums do.
pub const fn start(bias: i32, weights: i32, signed: bool, x_zero: u8) -> [i32; 2] {
    let zero = if signed {
        x_zero as i8 as i32
    } else {
        x_zero as i32 - 128
    };
    let first = bias.wrapping_sub(weights.wrapping_mul(zero));
    [first, first.wrapping_sub(weights.wrapping_mul(128))]
}

/// A validated piece of a quantised convolution of any kind; `residual` and `y` start at the first row of the range.
#[derive(Clone, Copy)]
pub(crate) struct Task {
    pub p: QuantizedConv,
    pub x: *const u8,
    pub w: *const i8,
    /// `[2][out_channels]`.
    pub start: *const i32,
    /// `[out_channels]`.
    pub multiplier: *const f32,
    /// Null without a residual.
    pub residual: *const u8,
    pub y: *mut u8,
    pub rows: (usize, usize),
}

/// Dense convolutions, best first.
pub(crate) const ROWS: &[Row<unsafe fn(&Task)>] = &[
    #[cfg(all(target_arch = "x86_64", not(feature = "narrow")))]
    Row {
        name: "avx512vnni",
        needs: crate::Features::AVX2_FMA
            .union(crate::Features::AVX512)
            .union(crate::Features::AVX512_VNNI),
        run: vnni::dense,
    },
    #[cfg(all(target_arch = "x86_64", not(feature = "narrow")))]
    Row {
        name: "avx2",
        needs: crate::Features::AVX2_FMA,
        run: avx2::dense,
    },
    #[cfg(all(target_arch = "aarch64", not(feature = "narrow")))]
    Row {
        name: "i8mm",
        needs: crate::Features::NEON.union(crate::Features::I8MM),
        run: neon::i8mm_dense,
    },
    #[cfg(all(target_arch = "aarch64", not(feature = "narrow")))]
    Row {
        name: "dotprod",
        needs: crate::Features::NEON.union(crate::Features::DOTPROD),
        run: neon::dotprod_dense,
    },
    #[cfg(all(target_arch = "wasm32", not(feature = "narrow")))]
    Row {
        name: "simd128",
        needs: crate::Features::SIMD128,
        run: simd128::dense,
    },
    #[cfg(arm_dsp)]
    Row {
        name: "dsp",
        needs: crate::Features::DSP,
        run: dsp::dense,
    },
    #[cfg(all(target_arch = "aarch64", not(feature = "narrow")))]
    Row {
        name: "neon",
        needs: crate::Features::NEON,
        run: neon::plain_dense,
    },
    #[cfg(not(all(feature = "baseline", arm_dsp)))]
    Row {
        name: "scalar",
        needs: crate::Features::NONE,
        run: scalar::dense,
    },
];

/// Depthwise convolutions, best first.
pub(crate) const DEPTHWISE_ROWS: &[Row<unsafe fn(&Task)>] = &[
    #[cfg(all(target_arch = "x86_64", not(feature = "narrow")))]
    Row {
        name: "avx512vnni",
        needs: crate::Features::AVX2_FMA
            .union(crate::Features::AVX512)
            .union(crate::Features::AVX512_VNNI),
        run: vnni::depthwise,
    },
    #[cfg(all(target_arch = "aarch64", not(feature = "narrow")))]
    Row {
        name: "dotprod",
        needs: crate::Features::NEON.union(crate::Features::DOTPROD),
        run: neon::dotprod_depthwise,
    },
    #[cfg(all(target_arch = "aarch64", not(feature = "narrow")))]
    Row {
        name: "neon",
        needs: crate::Features::NEON,
        run: neon::depthwise,
    },
    #[cfg(all(target_arch = "x86_64", not(feature = "narrow")))]
    Row {
        name: "avx2",
        needs: crate::Features::AVX2_FMA,
        run: avx2::depthwise,
    },
    #[cfg(all(target_arch = "wasm32", not(feature = "narrow")))]
    Row {
        name: "simd128",
        needs: crate::Features::SIMD128,
        run: simd128::depthwise,
    },
    #[cfg(arm_dsp)]
    Row {
        name: "dsp",
        needs: crate::Features::DSP,
        run: dsp::depthwise,
    },
    #[cfg(not(all(feature = "baseline", arm_dsp)))]
    Row {
        name: "scalar",
        needs: crate::Features::NONE,
        run: scalar::depthwise,
    },
];

/// The operands of a quantised convolution.
#[derive(Clone, Copy, Debug)]
pub struct Operands<'a> {
    /// `[batch, d, h, w, in_channels]`.
    pub x: &'a [u8],
    /// Packed by [`pack_weights`], or `[taps, channels]` of a depthwise convolution.
    pub weights: &'a [i8],
    /// `[2, out_channels]`: [`start`] of every channel, those of signed readers first.
    pub start: &'a [i32],
    /// `[out_channels]`: scale of the sums over that of the result.
    pub multiplier: &'a [f32],
    /// The output rows asked for, when a residual is added.
    pub residual: Option<&'a [u8]>,
}

impl Sum {
    /// Nothing is added.
    pub const NONE: Self = Sum {
        own: 0.0,
        other: 0.0,
        residual_zero: 0,
        residual_signed: false,
        zero: 0,
        low: 0,
        high: 0,
    };
}

impl Requantize {
    const fn check(&self, residual: bool) -> Result<(), KernelError> {
        const fn zero(z: i32) -> bool {
            z >= -255 && z <= 255
        }
        const fn range(low: i32, high: i32) -> bool {
            low <= high && low >= -128 && high <= 255
        }
        let sum = &self.sum;
        let added = zero(sum.zero) && zero(sum.residual_zero) && range(sum.low, sum.high);
        if zero(self.zero) && range(self.low, self.high) && (!residual || added) {
            Ok(())
        } else {
            Err(KernelError::Parameter)
        }
    }
}

/// Lengths of a quantised convolution's operands and result.
#[derive(Clone, Copy)]
pub(crate) struct Lengths {
    pub x: usize,
    pub weights: usize,
    pub start: usize,
    pub multiplier: usize,
    pub residual: Option<usize>,
    pub y: usize,
}

impl QuantizedConv {
    /// Whether the bytes of `x` are signed; a constant where the build takes no others.
    #[inline(always)]
    const fn is_signed(&self) -> bool {
        cfg!(feature = "signed") || self.signed
    }

    pub(crate) const fn check(
        &self,
        depthwise: bool,
        n: &Lengths,
        rows: &Range<usize>,
    ) -> Result<(), KernelError> {
        let p = &self.conv;
        if self.is_signed() != self.signed {
            return Err(KernelError::Parameter);
        }
        need!(self.requantize.check(n.residual.is_some()));
        let weights = if depthwise {
            Weights::Depthwise
        } else {
            Weights::Quantized
        };
        need!(p.check(n.x, (n.weights, weights), None, n.residual, n.y, rows));
        // Readers of signed bytes take the first row.
        let starts = if cfg!(feature = "signed") { 1 } else { 2 };
        need!(at_least(n.start, need!(product(&[starts, p.out_channels]))));
        at_least(n.multiplier, p.out_channels)
    }

    fn task(&self, o: &Operands<'_>, y: &mut [u8], rows: Range<usize>) -> Task {
        Task {
            p: *self,
            x: o.x.as_ptr(),
            w: o.weights.as_ptr(),
            start: o.start.as_ptr(),
            multiplier: o.multiplier.as_ptr(),
            residual: o.residual.map_or(core::ptr::null(), <[u8]>::as_ptr),
            y: y.as_mut_ptr(),
            rows: (rows.start, rows.end),
        }
    }
}

impl Operands<'_> {
    fn lengths(&self, y: usize) -> Lengths {
        Lengths {
            x: self.x.len(),
            weights: self.weights.len(),
            start: self.start.len(),
            multiplier: self.multiplier.len(),
            residual: self.residual.map(<[u8]>::len),
            y,
        }
    }
}

impl crate::Kernels {
    /// Quantised convolution with weights packed by [`pack_weights`], for the output rows `rows` (of [`Conv::rows`]), of
    /// which `y` and the residual hold `rows.len() * output[2] * out_channels` bytes.
    ///
    /// # Errors
    /// [`KernelError`] when a slice does not fit the shape, or a zero point or bound is outside of 8 bits.
    pub fn quantized_conv(
        &self,
        p: &QuantizedConv,
        o: &Operands<'_>,
        y: &mut [u8],
        rows: Range<usize>,
    ) -> Result<(), KernelError> {
        p.check(false, &o.lengths(y.len()), &rows)?;
        // SAFETY: checked above; `y` is exclusive.
        unsafe { self.row(ROWS)(&p.task(o, y, rows)) };
        Ok(())
    }

    /// Quantised depthwise convolution (`groups == in_channels == out_channels`) with weights `[taps][C]`; otherwise as
    /// [`crate::Kernels::quantized_conv`].
    ///
    /// # Errors
    /// [`KernelError`] when a slice does not fit the shape, or a zero point or bound is outside of 8 bits.
    pub fn quantized_depthwise(
        &self,
        p: &QuantizedConv,
        o: &Operands<'_>,
        y: &mut [u8],
        rows: Range<usize>,
    ) -> Result<(), KernelError> {
        p.check(true, &o.lengths(y.len()), &rows)?;
        // SAFETY: checked above; `y` is exclusive.
        unsafe { self.row(DEPTHWISE_ROWS)(&p.task(o, y, rows)) };
        Ok(())
    }
}
