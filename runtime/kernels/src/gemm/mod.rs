//! Matrix product C = act(alpha A B + bias + residual) with B packed in panels of 16 columns.
#[cfg(target_arch = "x86_64")]
pub(crate) mod avx512;
#[cfg(target_arch = "aarch64")]
pub(crate) mod neon;
pub(crate) mod tile;

use crate::activation::{Activation, Apply};
use crate::error::{KernelError, at_least, product};
use crate::isa::{Isa, kernel_rows};
use core::ops::Range;
pub use tile::PANEL;
use tile::{
    Segment, Store, accumulate, narrow, offset, start, store, tile_height, tile_rows, with_tile,
};

/// Elements of the packed form `[ceil(n / 16)][k][16]` of a `k x n` matrix.
pub const fn packed_len(k: usize, n: usize) -> usize {
    n.div_ceil(PANEL) * k * PANEL
}

/// Packs B (`k x n`, element (i, j) at `i * row_stride + j * col_stride`) into `[ceil(n / 16)][k][16]`, zero padded.
///
/// # Errors
/// [`KernelError::Length`] when `b` is too short or `out` does not hold exactly [`packed_len`] elements.
pub fn pack_b(
    b: &[f32],
    k: usize,
    n: usize,
    row_stride: usize,
    col_stride: usize,
    out: &mut [f32],
) -> Result<(), KernelError> {
    let need = product(&[n.div_ceil(PANEL), PANEL, k])?;
    crate::error::exactly(out.len(), need)?;
    if k == 0 || n == 0 {
        return Ok(());
    }
    let last = product(&[k - 1, row_stride])?
        .checked_add(product(&[n - 1, col_stride])?)
        .ok_or(KernelError::Overflow)?;
    at_least(b.len(), last.checked_add(1).ok_or(KernelError::Overflow)?)?;
    for (p, panel) in out.chunks_exact_mut(k * PANEL).enumerate() {
        let j0 = p * PANEL;
        let cols = (n - j0).min(PANEL);
        if col_stride == 1 {
            for (i, row) in panel.chunks_exact_mut(PANEL).enumerate() {
                let from = i * row_stride + j0;
                row[..cols].copy_from_slice(&b[from..from + cols]);
                row[cols..].fill(0.0);
            }
        } else {
            for j in 0..PANEL {
                for i in 0..k {
                    panel[i * PANEL + j] = if j < cols {
                        b[i * row_stride + (j0 + j) * col_stride]
                    } else {
                        0.0
                    };
                }
            }
        }
    }
    Ok(())
}

/// Shape and epilogue of a matrix product.
#[derive(Clone, Copy, Debug)]
pub struct Gemm {
    /// Rows of A and C.
    pub m: usize,
    /// Columns of B and C.
    pub n: usize,
    /// Columns of A, rows of B.
    pub k: usize,
    /// Distance of rows of A, at least `k`.
    pub lda: usize,
    /// Distance of rows of C, at least `n`.
    pub ldc: usize,
    /// Distance of rows of the residual, at least `n` (unused without one).
    pub ldr: usize,
    /// Factor of A B.
    pub alpha: f32,
    /// Applied last.
    pub activation: Activation,
}

impl Gemm {
    /// A product of dense matrices without activation.
    pub const fn new(m: usize, n: usize, k: usize) -> Self {
        Self {
            m,
            n,
            k,
            lda: k,
            ldc: n,
            ldr: n,
            alpha: 1.0,
            activation: Activation::None,
        }
    }

    /// Panels of 16 columns.
    pub const fn panels(&self) -> usize {
        self.n.div_ceil(PANEL)
    }

    pub(crate) fn check(
        &self,
        a: usize,
        b: usize,
        bias: Option<usize>,
        residual: Option<usize>,
        c: usize,
    ) -> Result<(), KernelError> {
        let span = |rows: usize, ld: usize, cols: usize| -> Result<usize, KernelError> {
            if rows == 0 || cols == 0 {
                return Ok(0);
            }
            product(&[rows - 1, ld])?
                .checked_add(cols)
                .ok_or(KernelError::Overflow)
        };
        if self.m > 1
            && (self.lda < self.k || self.ldc < self.n || (residual.is_some() && self.ldr < self.n))
        {
            return Err(KernelError::Parameter);
        }
        at_least(a, span(self.m, self.lda, self.k)?)?;
        at_least(b, product(&[self.panels(), PANEL, self.k])?)?;
        at_least(c, span(self.m, self.ldc, self.n)?)?;
        if let Some(len) = bias {
            at_least(len, self.n)?;
        }
        if let Some(len) = residual {
            at_least(len, span(self.m, self.ldr, self.n)?)?;
        }
        Ok(())
    }
}

/// A validated piece of a matrix product.
#[derive(Clone, Copy)]
pub(crate) struct Task {
    pub finish: Apply,
    pub p: Gemm,
    pub a: *const f32,
    pub b: *const f32,
    pub bias: *const f32,
    pub residual: *const f32,
    pub c: *mut f32,
    pub rows: (usize, usize),
    pub panels: (usize, usize),
}

impl Task {
    pub(crate) fn new(
        finish: Apply,
        p: &Gemm,
        a: &[f32],
        b: &[f32],
        bias: Option<&[f32]>,
        residual: Option<&[f32]>,
        c: *mut f32,
        rows: Range<usize>,
        panels: Range<usize>,
    ) -> Self {
        let ptr = |s: Option<&[f32]>| s.map_or(core::ptr::null(), <[f32]>::as_ptr);
        Self {
            finish,
            p: *p,
            a: a.as_ptr(),
            b: b.as_ptr(),
            bias: ptr(bias),
            residual: ptr(residual),
            c,
            rows: (rows.start, rows.end),
            panels: (panels.start, panels.end),
        }
    }
}

kernel_rows!(pub(crate) ROWS = body(t: &Task), neon = neon::body);

/// A block of A of this many elements stays in the second-level cache while panels pass over it.
const A_BLOCK: usize = 32 * 1024;

/// # Safety
/// `t` passed [`Gemm::check`] and its ranges lie inside the shape; the instruction set exists.
#[inline(always)]
unsafe fn body<I: Isa>(t: &Task) {
    // SAFETY: offsets stay inside the extents that `check` proved.
    unsafe {
        let (r0, r1) = t.rows;
        let (p0, p1) = t.panels;
        let k = t.p.k;
        let stride = k * PANEL;
        let (lo, hi, rest) = t.p.activation.split();
        if r1 - r0 == 1 {
            for p in p0..p1 {
                let s = store_at(t, r0, 1, p, 1, lo, hi);
                gemv::<I>(t.a.add(r0 * t.p.lda), t.b.add(p * stride), k, &s);
                if let Some(act) = rest {
                    (t.finish)(act, s.c, s.ldc, 1, s.cols);
                }
            }
            return;
        }
        let block = ((A_BLOCK / k.max(1)) / I::MR * I::MR).clamp(I::MR * 2, I::MR * 64);
        let mut r = r0;
        while r < r1 {
            let block_end = (r + block).min(r1);
            let mut p = p0;
            while p < p1 {
                let two = I::PANELS == 2 && p + 2 <= p1;
                let width = if two { 2 } else { 1 };
                let b = t.b.add(p * stride);
                let cols = t.p.n - p * PANEL;
                let height = tile_height::<I>(cols);
                let ahead = b.wrapping_add(width * stride);
                let mut odd = 0;
                let mut i = r;
                while i < block_end {
                    let rows = tile_rows(block_end - i, height);
                    let s = store_at(t, i, rows, p, width, lo, hi);
                    let a = t.a.add(i * t.p.lda);
                    let ahead = ahead.wrapping_add(odd * PANEL);
                    with_tile!(
                        I,
                        rows,
                        cols,
                        two,
                        tile(a, t.p.lda, b, stride, ahead, k, &s)
                    );
                    if let Some(act) = rest {
                        (t.finish)(act, s.c, s.ldc, rows, s.cols);
                    }
                    i += rows;
                    odd ^= 1;
                }
                p += width;
            }
            r = block_end;
        }
    }
}

#[inline(always)]
unsafe fn store_at(
    t: &Task,
    row: usize,
    rows: usize,
    panel: usize,
    width: usize,
    lo: f32,
    hi: f32,
) -> Store {
    let col = panel * PANEL;
    // SAFETY: row and column lie inside the shape.
    unsafe {
        Store {
            c: t.c.add(row * t.p.ldc + col),
            ldc: t.p.ldc,
            bias: offset(t.bias, col),
            residual: offset(t.residual, row * t.p.ldr + col),
            ldr: t.p.ldr,
            rows,
            cols: (t.p.n - col).min(width * PANEL),
            alpha: t.p.alpha,
            lo,
            hi,
        }
    }
}

/// Rows beyond `s.rows` repeat the last one and are not stored.
#[inline(always)]
unsafe fn tile<I: Isa, const MR: usize, const NV: usize>(
    a: *const f32,
    lda: usize,
    b: *const f32,
    panel_stride: usize,
    ahead: *const f32,
    k: usize,
    s: &Store,
) {
    // SAFETY: the row index is clamped to the valid rows.
    unsafe {
        let mut rows = [a; MR];
        for r in 0..MR {
            rows[r] = a.add(r.min(s.rows - 1) * lda);
        }
        let segment = Segment {
            a: rows,
            len: k,
            skip: 0,
        };
        if I::tile::<MR, NV>(&[segment], b, panel_stride, ahead, s) {
            return;
        }
        let mut acc = start::<I, MR, NV>(s);
        accumulate::<I, MR, NV>(&mut acc, &rows, b, panel_stride, ahead, k);
        store::<I, MR, NV>(&acc, s);
    }
}

/// One row times one panel; four steps of k in flight hide the latency of the FMA.
#[inline(always)]
unsafe fn gemv<I: Isa>(a: *const f32, b: *const f32, k: usize, s: &Store) {
    match I::LANES {
        // SAFETY: passed through.
        16 => unsafe { gemv_wide::<I, 1, 8>(a, b, k, s) },
        // SAFETY: passed through.
        8 => unsafe { gemv_wide::<I, 2, 4>(a, b, k, s) },
        // SAFETY: passed through.
        _ => unsafe { gemv_wide::<I, 4, 2>(a, b, k, s) },
    }
}

#[inline(always)]
unsafe fn gemv_wide<I: Isa, const NV: usize, const U: usize>(
    a: *const f32,
    b: *const f32,
    k: usize,
    s: &Store,
) {
    // SAFETY: `a` holds k elements, `b` k * 16.
    unsafe {
        let mut acc = [[I::splat(0.0); NV]; U];
        let mut i = 0;
        while i + U <= k {
            for u in 0..U {
                let av = I::splat(*a.add(i + u));
                for j in 0..NV {
                    acc[u][j] = I::fma(
                        av,
                        I::load(b.add((i + u) * PANEL + j * I::LANES)),
                        acc[u][j],
                    );
                }
            }
            i += U;
        }
        while i < k {
            let av = I::splat(*a.add(i));
            for j in 0..NV {
                acc[0][j] = I::fma(av, I::load(b.add(i * PANEL + j * I::LANES)), acc[0][j]);
            }
            i += 1;
        }
        let mut one = start::<I, 1, NV>(s);
        for j in 0..NV {
            for u in 0..U {
                one[0][j] = I::add(one[0][j], acc[u][j]);
            }
        }
        store::<I, 1, NV>(&one, s);
    }
}
