//! Matrix products whose weights are compressed: half-precision floats, small integers with scales, or positions in a
//! table. They are taken apart inside the product.
//!
//! One row of A reads every weight once, so its product waits for memory: codes become floats in registers. With more
//! rows a panel of 16 columns is expanded into scratch, which stays in the cache, and the float kernels take it from
//! there.
mod body;
mod unpack;

use crate::error::{KernelError, at_least, exactly, product};
use crate::gemm::tile::Store;
use crate::gemm::{Gemm, PANEL};
use body::{EXPAND_ROWS, GEMV_ROWS, HALVES_ROWS};
use core::ops::Range;
use half::f16;

/// Scales or offsets: `[panels, groups, 16]`.
#[derive(Clone, Copy, Debug)]
pub enum Factors<'a> {
    /// Single precision.
    F32(&'a [f32]),
    /// Half precision.
    F16(&'a [f16]),
}

impl Factors<'_> {
    fn len(&self) -> usize {
        match self {
            Factors::F32(v) => v.len(),
            Factors::F16(v) => v.len(),
        }
    }

    fn raw(&self) -> (*const u8, bool) {
        match self {
            Factors::F32(v) => (v.as_ptr().cast(), false),
            Factors::F16(v) => (v.as_ptr().cast(), true),
        }
    }
}

/// How a weight is stored.
#[derive(Clone, Copy, Debug)]
pub enum Codes<'a> {
    /// The weights themselves, `[panels, k, 16]`.
    Half(&'a [f16]),
    /// Signed integers of `bits` bits (2, 4 or 8), `[panels, ceil(k * bits / 32), 16]`: a word holds consecutive k of a
    /// column, the first in its lowest bits. A weight is the integer times its scale, plus its offset where there are
    /// offsets.
    Integers {
        /// The words.
        words: &'a [u32],
        /// Bits of an integer.
        bits: u32,
        /// Consecutive k that share a scale, a multiple of 16.
        group: usize,
        /// Factors.
        scales: Factors<'a>,
        /// Summands.
        offsets: Option<Factors<'a>>,
    },
    /// Unsigned positions in a table, of 2, 4 or 8 bits, in words as integers are.
    Table {
        /// The words.
        words: &'a [u32],
        /// Bits of a position.
        bits: u32,
        /// `[1 or panels, 2^bits]`.
        table: &'a [f32],
    },
}

/// A compressed matrix of `k` rows and `n` columns, in panels of 16 columns.
#[derive(Clone, Copy, Debug)]
pub struct Weights<'a> {
    /// Rows.
    pub k: usize,
    /// Columns.
    pub n: usize,
    /// What is stored.
    pub codes: Codes<'a>,
}

/// Words of a column of `k` codes.
pub const fn words(k: usize, bits: u32) -> usize {
    k.div_ceil(32 / bits as usize)
}

/// What the codes of a panel are.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Half,
    Integers,
    Table,
}

/// A panel of 16 columns.
#[derive(Clone, Copy)]
pub(crate) struct Panel {
    pub kind: Kind,
    pub bits: u32,
    pub k: usize,
    pub group: usize,
    pub codes: *const u8,
    /// Of the first group.
    pub scales: *const u8,
    /// Null without offsets.
    pub offsets: *const u8,
    /// Whether scales and offsets are in half precision.
    pub half: bool,
    pub table: *const f32,
}

fn known_bits(bits: u32) -> Result<(), KernelError> {
    match bits {
        2 | 4 | 8 => Ok(()),
        _ => Err(KernelError::Parameter),
    }
}

impl Weights<'_> {
    /// Panels of 16 columns.
    pub const fn panels(&self) -> usize {
        self.n.div_ceil(PANEL)
    }

    fn check(&self) -> Result<(), KernelError> {
        let panels = self.panels();
        match self.codes {
            Codes::Half(v) => exactly(v.len(), product(&[panels, self.k, PANEL])?),
            Codes::Integers {
                words: w,
                bits,
                group,
                scales,
                offsets,
            } => {
                known_bits(bits)?;
                if group == 0 || !group.is_multiple_of(16) {
                    return Err(KernelError::Parameter);
                }
                exactly(w.len(), product(&[panels, words(self.k, bits), PANEL])?)?;
                let factors = product(&[panels, self.k.div_ceil(group), PANEL])?;
                exactly(scales.len(), factors)?;
                let Some(offsets) = offsets else {
                    return Ok(());
                };
                if offsets.raw().1 != scales.raw().1 {
                    return Err(KernelError::Parameter);
                }
                exactly(offsets.len(), factors)
            }
            Codes::Table {
                words: w,
                bits,
                table,
            } => {
                known_bits(bits)?;
                exactly(w.len(), product(&[panels, words(self.k, bits), PANEL])?)?;
                let size = 1usize << bits;
                if table.len() == size {
                    return Ok(());
                }
                exactly(table.len(), product(&[panels, size])?)
            }
        }
    }

    /// Panel `i`, of a matrix that passed [`Weights::check`].
    fn panel(&self, i: usize) -> Panel {
        let null = core::ptr::null();
        let mut panel = Panel {
            kind: Kind::Half,
            bits: 16,
            k: self.k,
            group: self.k.max(1),
            codes: null,
            scales: null,
            offsets: null,
            half: false,
            table: core::ptr::null(),
        };
        match self.codes {
            Codes::Half(v) => panel.codes = v[i * self.k * PANEL..].as_ptr().cast(),
            Codes::Integers {
                words: w,
                bits,
                group,
                scales,
                offsets,
            } => {
                let groups = self.k.div_ceil(group);
                let at = |f: Factors<'_>| {
                    let (first, half) = f.raw();
                    first.wrapping_add(i * groups * PANEL * if half { 2 } else { 4 })
                };
                panel.kind = Kind::Integers;
                panel.bits = bits;
                panel.group = group;
                panel.codes = w[i * words(self.k, bits) * PANEL..].as_ptr().cast();
                panel.half = scales.raw().1;
                panel.scales = at(scales);
                panel.offsets = offsets.map_or(null, at);
            }
            Codes::Table {
                words: w,
                bits,
                table,
            } => {
                let size = 1usize << bits;
                let own = if table.len() == size { 0 } else { i };
                panel.kind = Kind::Table;
                panel.bits = bits;
                panel.codes = w[i * words(self.k, bits) * PANEL..].as_ptr().cast();
                panel.table = table[own * size..].as_ptr();
            }
        }
        panel
    }

    /// Whether the product of one row needs no scratch.
    pub const fn in_registers(&self) -> bool {
        !matches!(self.codes, Codes::Table { .. })
    }
}

impl crate::Kernels {
    /// Expands the panels `panels` to floats, `[panels, k, 16]`. A weight is rounded twice to binary32, after the
    /// product and after the sum, on every instruction set.
    ///
    /// # Errors
    /// [`KernelError`] when a slice does not fit the shape or a parameter is out of its range.
    pub fn expand_weights(
        &self,
        w: &Weights<'_>,
        panels: Range<usize>,
        out: &mut [f32],
    ) -> Result<(), KernelError> {
        w.check()?;
        if panels.start > panels.end || panels.end > w.panels() {
            return Err(KernelError::Parameter);
        }
        exactly(out.len(), product(&[panels.len(), w.k, PANEL])?)?;
        if out.is_empty() {
            return Ok(());
        }
        let run = self.row(EXPAND_ROWS);
        for (out, i) in out.chunks_exact_mut(w.k * PANEL).zip(panels) {
            // SAFETY: the panel passed `check`, `out` holds k * 16 elements; the row was chosen for this machine.
            unsafe { run(&w.panel(i), out.as_mut_ptr()) };
        }
        Ok(())
    }

    /// Half-precision floats to single precision.
    ///
    /// # Errors
    /// [`KernelError::Length`] when the lengths differ.
    pub fn expand_halves(&self, from: &[f16], to: &mut [f32]) -> Result<(), KernelError> {
        exactly(to.len(), from.len())?;
        // SAFETY: both have that many elements; the row was chosen for this machine.
        unsafe { self.row(HALVES_ROWS)(from.as_ptr().cast(), to.as_mut_ptr(), from.len()) };
        Ok(())
    }

    /// C = act(A B + bias + residual) as [`crate::Kernels::gemm`], for the 16-column panels `panels` of a compressed B.
    /// `scratch` holds a panel of `k * 16` elements or several, unless A has one row and [`Weights::in_registers`].
    ///
    /// # Safety
    /// `c` is valid for writes of the columns asked for, which nothing else touches meanwhile.
    ///
    /// # Errors
    /// [`KernelError`] when a slice is too short for the shape or a parameter is out of its range.
    pub unsafe fn compressed_gemm_part(
        &self,
        p: &Gemm,
        a: &[f32],
        w: &Weights<'_>,
        bias: Option<&[f32]>,
        residual: Option<&[f32]>,
        c: *mut f32,
        panels: Range<usize>,
        scratch: &mut [f32],
    ) -> Result<(), KernelError> {
        w.check()?;
        let b = product(&[w.panels(), PANEL, w.k])?;
        let len = |s: Option<&[f32]>| s.map(<[f32]>::len);
        p.check(a.len(), b, len(bias), len(residual), usize::MAX)?;
        let range = panels.start <= panels.end && panels.end <= p.panels();
        if !range || w.k != p.k || w.n != p.n || p.alpha != 1.0 {
            return Err(KernelError::Parameter);
        }
        if p.m == 0 {
            return Ok(());
        }
        let columns = |first: usize, panels: usize| (p.n - first * PANEL).min(panels * PANEL);
        if p.m == 1 && w.in_registers() {
            let (lo, hi, rest) = p.activation.split();
            let gemv = self.row(GEMV_ROWS);
            let at = |s: Option<&[f32]>, i: usize| s.map_or(core::ptr::null(), |s| s[i..].as_ptr());
            for i in panels {
                let first = i * PANEL;
                let s = Store {
                    c: c.wrapping_add(first),
                    ldc: p.ldc,
                    bias: at(bias, first),
                    residual: at(residual, first),
                    ldr: p.ldr,
                    rows: 1,
                    cols: columns(i, 1),
                    alpha: 1.0,
                    lo,
                    hi,
                };
                // SAFETY: checked above; the caller vouches for `c`.
                unsafe {
                    gemv(&w.panel(i), a.as_ptr(), &s);
                    if let Some(act) = rest {
                        self.row(crate::activation::ROWS)(act, s.c, s.ldc, 1, s.cols);
                    }
                }
            }
            return Ok(());
        }
        let size = w.k * PANEL;
        at_least(scratch.len(), size)?;
        let step = scratch.len().checked_div(size).unwrap_or(usize::MAX);
        let mut i = panels.start;
        while i < panels.end {
            let count = (panels.end - i).min(step);
            let b = &mut scratch[..count * size];
            self.expand_weights(w, i..i + count, b)?;
            let first = i * PANEL;
            let part = Gemm {
                n: columns(i, count),
                ..*p
            };
            let rows = 0..p.m;
            let (bias, residual) = (bias.map(|b| &b[first..]), residual.map(|r| &r[first..]));
            // SAFETY: the caller vouches for `c`; these columns are a part of those asked for.
            unsafe {
                let c = c.wrapping_add(first);
                self.gemm_part(&part, a, b, bias, residual, c, rows, 0..count)?;
            }
            i += count;
        }
        Ok(())
    }
}
