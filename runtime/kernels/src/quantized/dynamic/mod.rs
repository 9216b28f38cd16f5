//! Matrix products of floats by 8-bit integers: each row of A is quantised by its own range while the product runs.
//!
//! `q = clamp(round_half_even(x * inverse) + zero, -128..=127)` with the range `lo..=hi` of the row and of 0, `scale =
//! (hi - lo) / 255`, `inverse = 255 / (hi - lo)` and `zero = clamp(round_half_even(-128 - lo * inverse), -128..=127)`. The
//! product of a row and a column is `f32(sum of q * w - zero * sum of w) * (scale * column's scale)`, to which the bias
//! and the residual are added. Every operation is rounded to binary32 by itself, so that every body gives the same bits.
#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "aarch64")]
mod neon;
#[cfg(test)]
mod tests;

#[cfg(arm_dsp)]
use super::dsp::Dsp;
use super::scalar::Plain;
#[cfg(target_arch = "wasm32")]
use super::simd128::Simd128;
use super::{GROUP, blocks};
use crate::activation::{Activation, Apply};
use crate::error::{KernelError, at_least, exactly, product};
use crate::gemm::PANEL;
use crate::isa::Row;
use core::ops::Range;

/// Words of a quantised row besides its values: scale and zero point.
pub const HEAD: usize = 2;

/// Words of the values of a quantised row of `k` elements.
pub const fn row_words(k: usize) -> usize {
    2 * k.div_ceil(GROUP)
}

/// Elements of the packed form `[ceil(n / 16)][ceil(k / 4)][16][4]` of `k x n` integers.
pub const fn packed_len(k: usize, n: usize) -> usize {
    n.div_ceil(PANEL) * k.div_ceil(GROUP) * PANEL * GROUP
}

/// Packs integers (`weight(k, n)`) into `[ceil(n / 16)][ceil(k / 4)][16][4]`, zero padded.
///
/// # Errors
/// [`KernelError::Length`] when `out` does not hold exactly [`packed_len`] elements.
pub fn pack(
    k: usize,
    n: usize,
    weight: impl Fn(usize, usize) -> i8,
    out: &mut [i8],
) -> Result<(), KernelError> {
    let groups = k.div_ceil(GROUP);
    exactly(
        out.len(),
        product(&[n.div_ceil(PANEL), PANEL, groups, GROUP])?,
    )?;
    for (at, out) in out.iter_mut().enumerate() {
        let (row, column) = (at / (PANEL * GROUP), at / GROUP % PANEL);
        let (row, column) = (
            row % groups * GROUP + at % GROUP,
            row / groups * PANEL + column,
        );
        *out = if row < k && column < n {
            weight(row, column)
        } else {
            0
        };
    }
    Ok(())
}

/// Shape and epilogue of a product.
#[derive(Clone, Copy, Debug)]
pub struct DynamicGemm {
    /// Rows of A and C.
    pub m: usize,
    /// Columns of B and C.
    pub n: usize,
    /// Columns of A, rows of B.
    pub k: usize,
    /// Applied last.
    pub activation: Activation,
}

/// The integers of B and what belongs to each column.
#[derive(Clone, Copy, Debug)]
pub struct Columns<'a> {
    /// Packed by [`pack`].
    pub weights: &'a [i8],
    /// Sums of the weights of a column.
    pub sums: &'a [i32],
    /// The value of 1 in a column.
    pub scale: &'a [f32],
    /// Added to the products.
    pub bias: Option<&'a [f32]>,
}

/// A validated piece of a product.
#[derive(Clone, Copy)]
struct Task {
    p: DynamicGemm,
    finish: Apply,
    /// Scale and zero point of each row.
    heads: *const i32,
    /// Values, `row_words(k)` words a row.
    values: *const i32,
    w: *const i8,
    sums: *const i32,
    scale: *const f32,
    bias: *const f32,
    residual: *const f32,
    c: *mut f32,
    rows: (usize, usize),
    panels: (usize, usize),
}

/// Most rows of a tile.
const ROWS: usize = 6;

/// Bytes of quantised rows that stay in the cache while panels pass over them.
const BLOCK: usize = 128 << 10;

/// The inner loop of an instruction set.
///
/// # Safety
/// The CPU has the instructions, and pointers are valid for what is said to be read.
trait Tile {
    /// Rows of a tile.
    const HEIGHT: usize;
    /// Whether values are held in 16 bits, not in 8.
    const WIDE: bool;
    /// Sums of the products of the first `rows` rows of `x`, of `k` values each, and a panel `w`; further rows repeat the
    /// last one.
    unsafe fn sums(
        x: &[*const u8; ROWS],
        rows: usize,
        w: *const i8,
        k: usize,
        sums: &mut [[i32; PANEL]; ROWS],
    );
}

/// Adding this to a float of at most 22 bits leaves its nearest integer, of two the even one, in the low bits.
const SHIFT: f32 = 12_582_912.0;

#[inline(always)]
fn rounded(v: f32) -> i32 {
    (v + SHIFT).to_bits() as i32 - SHIFT.to_bits() as i32
}

/// Quantises a row; gives its scale and zero point.
///
/// # Safety
/// `to` is valid for `row_words(x.len())` words.
#[inline(always)]
unsafe fn quantise<T: Tile>(x: &[f32], to: *mut i32) -> (f32, i32) {
    let (mut low, mut high) = ([0f32; 32], [0f32; 32]);
    let mut blocks = x.chunks_exact(32);
    for block in &mut blocks {
        for i in 0..32 {
            let v = block[i];
            low[i] = if v < low[i] { v } else { low[i] };
            high[i] = if v > high[i] { v } else { high[i] };
        }
    }
    for &v in blocks.remainder() {
        low[0] = if v < low[0] { v } else { low[0] };
        high[0] = if v > high[0] { v } else { high[0] };
    }
    let least = low.into_iter().fold(0.0, |a, b| if b < a { b } else { a });
    let most = high.into_iter().fold(0.0, |a, b| if b > a { b } else { a });
    let width: f32 = most - least;
    // Rows that are next to nothing are nothing.
    let (scale, inverse) = if width / 255.0 >= f32::MIN_POSITIVE {
        (width / 255.0, 255.0 / width)
    } else {
        (0.0, 0.0)
    };
    let zero = rounded(-128.0 - least * inverse).clamp(-128, 127);
    let quantised = |v: f32| rounded(v * inverse).saturating_add(zero).clamp(-128, 127);
    let padded = x.len().next_multiple_of(GROUP);
    // SAFETY: the caller's contract.
    unsafe {
        if T::WIDE {
            let to = core::slice::from_raw_parts_mut(to.cast::<i16>(), padded);
            for (to, &v) in to.iter_mut().zip(x) {
                *to = quantised(v) as i16;
            }
            to[x.len()..].fill(0);
        } else {
            let to = core::slice::from_raw_parts_mut(to.cast::<i8>(), padded);
            for (to, &v) in to.iter_mut().zip(x) {
                *to = quantised(v) as i8;
            }
            to[x.len()..].fill(0);
        }
    }
    (scale, zero)
}

/// Quantises the rows of `x`, of `k` elements each.
///
/// # Safety
/// The CPU has the instructions; `heads` and `values` hold as many rows.
#[inline(always)]
unsafe fn quantise_all<T: Tile>(k: usize, x: &[f32], heads: &mut [i32], values: &mut [i32]) {
    let words = row_words(k);
    for (r, head) in heads.chunks_exact_mut(HEAD).enumerate() {
        let row = &x[r * k..][..k];
        let to = &mut values[r * words..][..words];
        // SAFETY: so many words.
        let (scale, zero) = unsafe { quantise::<T>(row, to.as_mut_ptr()) };
        (head[0], head[1]) = (scale.to_bits() as i32, zero);
    }
}

/// # Safety
/// `t` passed its check, and the CPU has the instructions.
#[inline(always)]
unsafe fn multiply<T: Tile>(t: &Task) {
    let p = &t.p;
    let stride = row_words(p.k) * 4;
    let panel_len = p.k.div_ceil(GROUP) * PANEL * GROUP;
    let (lo, hi, rest) = p.activation.split();
    let bounded = lo > f32::NEG_INFINITY || hi < f32::INFINITY;
    let block = (BLOCK / stride.max(1) / T::HEIGHT * T::HEIGHT).max(T::HEIGHT);
    let mut first = t.rows.0;
    // SAFETY: offsets stay inside the extents that the check proved.
    unsafe {
        while first < t.rows.1 {
            let end = (first + block).min(t.rows.1);
            for panel in t.panels.0..t.panels.1 {
                let column = panel * PANEL;
                let n = (p.n - column).min(PANEL);
                // What belongs to the columns; zeros where there are none.
                let (mut sums_of, mut scale, mut bias) =
                    ([0i32; PANEL], [0f32; PANEL], [0f32; PANEL]);
                core::ptr::copy_nonoverlapping(t.sums.add(column), sums_of.as_mut_ptr(), n);
                core::ptr::copy_nonoverlapping(t.scale.add(column), scale.as_mut_ptr(), n);
                if !t.bias.is_null() {
                    core::ptr::copy_nonoverlapping(t.bias.add(column), bias.as_mut_ptr(), n);
                }
                let w = t.w.add(panel * panel_len);
                let mut row = first;
                while row < end {
                    let rows = (end - row).min(T::HEIGHT);
                    let mut x = [t.values.cast::<u8>(); ROWS];
                    for (i, x) in x.iter_mut().enumerate() {
                        *x = x.wrapping_add((row + i.min(rows - 1)) * stride);
                    }
                    let mut sums = [[0i32; PANEL]; ROWS];
                    T::sums(&x, rows, w, p.k, &mut sums);
                    for (i, sums) in sums.iter().enumerate().take(rows) {
                        let head = t.heads.add((row + i) * HEAD);
                        let (own, zero) = (f32::from_bits(*head as u32), *head.add(1));
                        let at = (row + i) * p.n + column;
                        // Loops of a constant length alone: what belongs to them stays in registers.
                        let mut v = [0f32; PANEL];
                        for j in 0..PANEL {
                            let sum = sums[j].wrapping_sub(zero.wrapping_mul(sums_of[j]));
                            v[j] = sum as f32 * (own * scale[j]);
                        }
                        if !t.bias.is_null() {
                            for j in 0..PANEL {
                                v[j] += bias[j];
                            }
                        }
                        if !t.residual.is_null() {
                            let from = t.residual.add(at);
                            let mut residual = [0f32; PANEL];
                            if n == PANEL {
                                residual = from.cast::<[f32; PANEL]>().read_unaligned();
                            } else {
                                core::ptr::copy_nonoverlapping(from, residual.as_mut_ptr(), n);
                            }
                            for j in 0..PANEL {
                                v[j] += residual[j];
                            }
                        }
                        if bounded {
                            for j in 0..PANEL {
                                v[j] = if v[j] > lo { v[j] } else { lo };
                                v[j] = if v[j] < hi { v[j] } else { hi };
                            }
                        }
                        if n == PANEL {
                            t.c.add(at).cast::<[f32; PANEL]>().write_unaligned(v);
                        } else {
                            core::ptr::copy_nonoverlapping(v.as_ptr(), t.c.add(at), n);
                        }
                    }
                    if let Some(act) = rest {
                        (t.finish)(act, t.c.add(row * p.n + column), p.n, rows, n);
                    }
                    row += rows;
                }
            }
            first = end;
        }
    }
}

/// The tile of bodies that multiply two rows of bytes by a panel.
struct Pairs<P>(core::marker::PhantomData<P>);

impl<P: blocks::Products> Tile for Pairs<P> {
    const HEIGHT: usize = 2;
    const WIDE: bool = false;

    #[inline(always)]
    unsafe fn sums(
        x: &[*const u8; ROWS],
        _rows: usize,
        w: *const i8,
        k: usize,
        sums: &mut [[i32; PANEL]; ROWS],
    ) {
        let [a, b, ..] = sums;
        let mut two = [*a, *b];
        // SAFETY: the contract of the trait.
        unsafe { P::dense::<true>(&mut two, PANEL, [x[0], x[1]], w, 2 * GROUP, k) };
        [*a, *b] = two;
    }
}

/// What an instruction set offers.
#[derive(Clone, Copy)]
pub(crate) struct Body {
    quantise: unsafe fn(usize, &[f32], &mut [i32], &mut [i32]),
    multiply: unsafe fn(&Task),
}

/// Writes a [`Body`] around the generic loops.
macro_rules! body {
    ($name:ident, $tile:ty $(, $features:literal)?) => {
        const $name: Body = {
            $(#[target_feature(enable = $features)])?
            unsafe fn quantise(k: usize, x: &[f32], heads: &mut [i32], values: &mut [i32]) {
                // SAFETY: the contract is the same; the instructions exist where the row is chosen.
                unsafe { quantise_all::<$tile>(k, x, heads, values) }
            }
            $(#[target_feature(enable = $features)])?
            unsafe fn multiply(t: &Task) {
                // SAFETY: as above.
                unsafe { super::dynamic::multiply::<$tile>(t) }
            }
            Body { quantise, multiply }
        };
    };
}

#[cfg(target_arch = "x86_64")]
body!(AVX2, avx2::Pairs16, "avx2,fma");
#[cfg(target_arch = "aarch64")]
body!(DOTPROD, neon::Dot, "neon,dotprod");
#[cfg(target_arch = "aarch64")]
body!(NEON, neon::Long, "neon");
#[cfg(target_arch = "wasm32")]
body!(SIMD128, Pairs<Simd128>, "simd128");
#[cfg(arm_dsp)]
body!(DSP, Pairs<Dsp>);
body!(SCALAR, Pairs<Plain>);

/// Best first. VNNI's machines take AVX2's.
pub(crate) const BODIES: &[Row<Body>] = &[
    #[cfg(target_arch = "x86_64")]
    Row {
        name: "avx2",
        needs: crate::Features::AVX2_FMA,
        run: AVX2,
    },
    #[cfg(target_arch = "aarch64")]
    Row {
        name: "dotprod",
        needs: crate::Features::NEON.union(crate::Features::DOTPROD),
        run: DOTPROD,
    },
    #[cfg(target_arch = "aarch64")]
    Row {
        name: "neon",
        needs: crate::Features::NEON,
        run: NEON,
    },
    #[cfg(target_arch = "wasm32")]
    Row {
        name: "simd128",
        needs: crate::Features::SIMD128,
        run: SIMD128,
    },
    #[cfg(arm_dsp)]
    Row {
        name: "dsp",
        needs: crate::Features::DSP,
        run: DSP,
    },
    Row {
        name: "scalar",
        needs: crate::Features::NONE,
        run: SCALAR,
    },
];

impl crate::Kernels {
    /// Quantises rows of `k` floats. `heads` takes [`HEAD`] words a row, `values` [`row_words`]; what they hold is for
    /// [`crate::Kernels::dynamic_gemm_part`] of the same kernels. Rows with values that are not finite give no particular
    /// numbers.
    ///
    /// # Errors
    /// [`KernelError::Length`] when the slices are not of the same number of rows.
    pub fn quantise_rows(
        &self,
        k: usize,
        x: &[f32],
        heads: &mut [i32],
        values: &mut [i32],
    ) -> Result<(), KernelError> {
        let rows = heads.len() / HEAD;
        exactly(heads.len(), rows * HEAD)?;
        exactly(x.len(), product(&[rows, k])?)?;
        exactly(values.len(), product(&[rows, row_words(k)])?)?;
        // SAFETY: checked above; the row was chosen for this machine.
        unsafe { (self.row(BODIES).quantise)(k, x, heads, values) };
        Ok(())
    }

    /// C = act(A B + bias + residual) for the rows `rows` and the 16-column panels `panels`, with A as
    /// [`crate::Kernels::quantise_rows`] left it. The residual and C are `[m, n]`.
    ///
    /// # Safety
    /// `c` is valid for writes of the part asked for, which nothing else touches meanwhile.
    ///
    /// # Errors
    /// [`KernelError`] when a slice does not fit the shape or a range leaves it.
    pub unsafe fn dynamic_gemm_part(
        &self,
        p: &DynamicGemm,
        (heads, values): (&[i32], &[i32]),
        b: &Columns<'_>,
        residual: Option<&[f32]>,
        c: *mut f32,
        rows: Range<usize>,
        panels: Range<usize>,
    ) -> Result<(), KernelError> {
        exactly(heads.len(), product(&[p.m, HEAD])?)?;
        exactly(values.len(), product(&[p.m, row_words(p.k)])?)?;
        let count = p.n.div_ceil(PANEL);
        exactly(
            b.weights.len(),
            product(&[count, PANEL, p.k.div_ceil(GROUP), GROUP])?,
        )?;
        at_least(b.sums.len(), p.n)?;
        at_least(b.scale.len(), p.n)?;
        if let Some(bias) = b.bias {
            at_least(bias.len(), p.n)?;
        }
        if let Some(residual) = residual {
            at_least(residual.len(), product(&[p.m, p.n])?)?;
        }
        let inside = |r: &Range<usize>, end: usize| r.start <= r.end && r.end <= end;
        if !inside(&rows, p.m) || !inside(&panels, count) {
            return Err(KernelError::Parameter);
        }
        let at = |s: Option<&[f32]>| s.map_or(core::ptr::null(), <[f32]>::as_ptr);
        let t = Task {
            p: *p,
            finish: self.row(crate::activation::ROWS),
            heads: heads.as_ptr(),
            values: values.as_ptr(),
            w: b.weights.as_ptr(),
            sums: b.sums.as_ptr(),
            scale: b.scale.as_ptr(),
            bias: at(b.bias),
            residual: at(residual),
            c,
            rows: (rows.start, rows.end),
            panels: (panels.start, panels.end),
        };
        // SAFETY: checked above; the caller vouches for `c`.
        unsafe { (self.row(BODIES).multiply)(&t) };
        Ok(())
    }
}
