//! The register tile shared by matrix products and convolutions: MR rows by NV vectors of columns.
use crate::isa::Isa;

/// Columns of a packed panel, on every instruction set.
pub const PANEL: usize = 16;

/// `acc[r][j] += sum over k of a[r][k] * b[k][j]`; `b` advances 16 per k, panels are `panel_stride` apart.
///
/// # Safety
/// The instruction set exists; `a[r]` is valid for `k` reads; `b` for `k * 16` in each panel that NV spans.
#[inline(always)]
pub(crate) unsafe fn accumulate<I: Isa, const MR: usize, const NV: usize>(
    acc: &mut [[I::V; NV]; MR],
    a: &[*const f32; MR],
    b: *const f32,
    panel_stride: usize,
    k: usize,
) {
    // SAFETY: see the contract.
    unsafe {
        let per = PANEL / I::LANES;
        let mut c = *acc;
        let a = *a;
        let b2 = b.wrapping_add(panel_stride);
        macro_rules! step {
            ($kk:expr) => {{
                let kk = $kk;
                let mut bv = [I::splat(0.0); NV];
                for j in 0..NV {
                    bv[j] = if j < per {
                        I::load(b.add(kk * PANEL + j * I::LANES))
                    } else {
                        I::load(b2.add(kk * PANEL + (j - per) * I::LANES))
                    };
                }
                for r in 0..MR {
                    let av = I::splat(*a[r].add(kk));
                    for j in 0..NV {
                        c[r][j] = I::fma(av, bv[j], c[r][j]);
                    }
                }
            }};
        }
        let mut kk = 0;
        while kk + 2 <= k {
            step!(kk);
            step!(kk + 1);
            kk += 2;
        }
        if kk < k {
            step!(kk);
        }
        *acc = c;
    }
}

/// Where and how a tile is stored.
#[derive(Clone, Copy)]
pub(crate) struct Store {
    /// First element of the tile.
    pub c: *mut f32,
    /// Distance of rows of `c`.
    pub ldc: usize,
    /// Bias of the tile's first column, or null.
    pub bias: *const f32,
    /// Residual of the first element, or null.
    pub residual: *const f32,
    /// Distance of rows of the residual.
    pub ldr: usize,
    /// Valid rows.
    pub rows: usize,
    /// Valid columns.
    pub cols: usize,
    /// Factor of the accumulators.
    pub alpha: f32,
    /// Lower clamp.
    pub lo: f32,
    /// Upper clamp.
    pub hi: f32,
}

/// `c = clamp(alpha * acc + bias + residual)` on the valid part of the tile.
///
/// # Safety
/// The instruction set exists; the pointers of `s` are valid for its rows and columns.
#[inline(always)]
pub(crate) unsafe fn store<I: Isa, const MR: usize, const NV: usize>(
    acc: &[[I::V; NV]; MR],
    s: &Store,
) {
    // SAFETY: see the contract.
    unsafe {
        let (lo, hi, alpha) = (I::splat(s.lo), I::splat(s.hi), I::splat(s.alpha));
        let mut bias = [I::splat(0.0); NV];
        if s.cols == NV * I::LANES {
            if !s.bias.is_null() {
                for j in 0..NV {
                    bias[j] = I::load(s.bias.add(j * I::LANES));
                }
            }
            for r in 0..MR {
                if r >= s.rows {
                    break;
                }
                let c = s.c.add(r * s.ldc);
                for j in 0..NV {
                    let mut v = I::fma(acc[r][j], alpha, bias[j]);
                    if !s.residual.is_null() {
                        v = I::add(v, I::load(s.residual.add(r * s.ldr + j * I::LANES)));
                    }
                    I::store(c.add(j * I::LANES), I::min(hi, I::max(lo, v)));
                }
            }
            return;
        }
        for j in 0..NV {
            let at = j * I::LANES;
            if at >= s.cols {
                break;
            }
            let n = (s.cols - at).min(I::LANES);
            let part = n < I::LANES;
            let bias = if s.bias.is_null() {
                I::splat(0.0)
            } else if part {
                I::load_partial(s.bias.add(at), n)
            } else {
                I::load(s.bias.add(at))
            };
            for r in 0..MR {
                if r >= s.rows {
                    break;
                }
                let mut v = I::fma(acc[r][j], alpha, bias);
                if !s.residual.is_null() {
                    let p = s.residual.add(r * s.ldr + at);
                    v = I::add(
                        v,
                        if part {
                            I::load_partial(p, n)
                        } else {
                            I::load(p)
                        },
                    );
                }
                let v = I::min(hi, I::max(lo, v));
                let p = s.c.add(r * s.ldc + at);
                if part {
                    I::store_partial(p, v, n)
                } else {
                    I::store(p, v)
                }
            }
        }
    }
}

/// Calls `$f::<I, MR, NV>($args)` with the tile of `I` that fits `rows` rows and one panel (or two where `$two`).
macro_rules! with_tile {
    ($I:ident, $rows:expr, $two:expr, $f:ident($($arg:expr),* $(,)?)) => {{
        let rows = $rows;
        match ($I::LANES, $I::MR) {
            (16, _) => {
                if $two {
                    if rows > 8 { $f::<$I, 12, 2>($($arg),*) } else if rows > 4 { $f::<$I, 8, 2>($($arg),*) } else { $f::<$I, 4, 2>($($arg),*) }
                } else if rows > 8 { $f::<$I, 12, 1>($($arg),*) } else if rows > 4 { $f::<$I, 8, 1>($($arg),*) } else { $f::<$I, 4, 1>($($arg),*) }
            }
            (8, _) => {
                if rows > 4 { $f::<$I, 6, 2>($($arg),*) } else if rows > 2 { $f::<$I, 4, 2>($($arg),*) } else { $f::<$I, 2, 2>($($arg),*) }
            }
            (_, 6) => {
                if rows > 4 { $f::<$I, 6, 4>($($arg),*) } else if rows > 2 { $f::<$I, 4, 4>($($arg),*) } else { $f::<$I, 2, 4>($($arg),*) }
            }
            (_, 3) => {
                if rows > 2 { $f::<$I, 3, 4>($($arg),*) } else if rows > 1 { $f::<$I, 2, 4>($($arg),*) } else { $f::<$I, 1, 4>($($arg),*) }
            }
            (_, 2) => {
                if rows > 1 { $f::<$I, 2, 4>($($arg),*) } else { $f::<$I, 1, 4>($($arg),*) }
            }
            _ => $f::<$I, 1, 4>($($arg),*),
        }
    }};
}
pub(crate) use with_tile;
