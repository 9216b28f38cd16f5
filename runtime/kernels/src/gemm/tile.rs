//! The register tile shared by matrix products and convolutions: MR rows by NV vectors of columns.
use crate::isa::Isa;

/// Columns of a packed panel, on every instruction set.
pub const PANEL: usize = 16;

/// `acc[r][j] += sum over k of a[r][k] * b[k][j]`; `b` advances 16 per k, panels are `panel_stride` apart.
///
/// # Safety
/// As [`accumulate_lines`], for one line.
#[inline(always)]
pub(crate) unsafe fn accumulate<I: Isa, const MR: usize, const NV: usize>(
    acc: &mut [[I::V; NV]; MR],
    a: &[*const f32; MR],
    b: *const f32,
    panel_stride: usize,
    ahead: *const f32,
    k: usize,
) {
    // SAFETY: see the contract.
    unsafe { accumulate_lines::<I, MR, NV>(acc, a, (1, 0), b, panel_stride, ahead, k) }
}

/// As [`accumulate`], over `lines.0` lines: `a` advances `lines.1` and `b` `k * 16` from line to line. The accumulators
/// stay in registers throughout, which a call for each line would not give.
///
/// Weights are read once an inference, so they come from memory: the loop asks for every second line of the cache from
/// `ahead` (any address) on, where the caller expects to read next.
///
/// # Safety
/// The instruction set exists; each line of `a[r]` is valid for `k` reads; `b` for `lines * k * 16` in each panel that
/// NV spans.
#[inline(always)]
pub(crate) unsafe fn accumulate_lines<I: Isa, const MR: usize, const NV: usize>(
    acc: &mut [[I::V; NV]; MR],
    a: &[*const f32; MR],
    lines: (usize, usize),
    b: *const f32,
    panel_stride: usize,
    ahead: *const f32,
    k: usize,
) {
    // SAFETY: see the contract.
    unsafe {
        let per = PANEL / I::LANES;
        let mut c = *acc;
        let mut a = *a;
        let (mut b, mut ahead) = (b, ahead);
        let mut line = 0;
        while line < lines.0 {
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
                I::prefetch(ahead.wrapping_add(kk * PANEL));
                step!(kk);
                step!(kk + 1);
                kk += 2;
            }
            if kk < k {
                step!(kk);
            }
            for r in 0..MR {
                a[r] = a[r].wrapping_add(lines.1);
            }
            b = b.add(k * PANEL);
            ahead = ahead.wrapping_add(k * PANEL);
            line += 1;
        }
        *acc = c;
    }
}

/// A stretch of k of a tile: where each row of A reads, and the B that belongs to it.
#[derive(Clone, Copy)]
#[repr(C)]
pub(crate) struct Segment<const MR: usize> {
    /// Starts of the rows; those beyond the tile's rows repeat one of them.
    pub a: [*const f32; MR],
    /// Steps of k.
    pub len: usize,
    /// Elements of B to leave out before this segment.
    pub skip: usize,
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

/// `p` moved by `n` elements; null stands for an absent operand and stays.
///
/// # Safety
/// When not null, `p` is valid for `n` elements.
#[inline(always)]
pub(crate) unsafe fn offset(p: *const f32, n: usize) -> *const f32 {
    // SAFETY: see the contract.
    if p.is_null() { p } else { unsafe { p.add(n) } }
}

impl Store {
    /// Vector `j` of the bias: zero without one and beyond the valid columns.
    #[inline(always)]
    unsafe fn bias<I: Isa>(&self, j: usize) -> I::V {
        let at = j * I::LANES;
        // SAFETY: only valid columns are read.
        unsafe {
            if self.bias.is_null() || at >= self.cols {
                I::splat(0.0)
            } else if self.cols - at < I::LANES {
                I::load_partial(self.bias.add(at), self.cols - at)
            } else {
                I::load(self.bias.add(at))
            }
        }
    }
}

/// What the accumulators of a tile start from: the bias, unless the products are scaled first.
///
/// # Safety
/// The instruction set exists; the bias of `s` is valid for its columns.
#[inline(always)]
pub(crate) unsafe fn start<I: Isa, const MR: usize, const NV: usize>(
    s: &Store,
) -> [[I::V; NV]; MR] {
    // SAFETY: see the contract.
    unsafe {
        let mut row = [I::splat(0.0); NV];
        if s.alpha == 1.0 {
            for j in 0..NV {
                row[j] = s.bias::<I>(j);
            }
        }
        [row; MR]
    }
}

/// `c = clamp(alpha * acc + bias + residual)` on the valid part of the tile; with alpha 1 the bias is in `acc` already.
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
        if s.alpha == 1.0 {
            return finish::<I, MR, NV>(acc, s);
        }
        let mut scaled = *acc;
        for j in 0..NV {
            let bias = s.bias::<I>(j);
            for r in 0..MR {
                scaled[r][j] = I::fma(acc[r][j], I::splat(s.alpha), bias);
            }
        }
        finish::<I, MR, NV>(&scaled, s);
    }
}

#[inline(always)]
unsafe fn finish<I: Isa, const MR: usize, const NV: usize>(acc: &[[I::V; NV]; MR], s: &Store) {
    // SAFETY: see the contract of `store`.
    unsafe {
        let (lo, hi) = (I::splat(s.lo), I::splat(s.hi));
        if s.cols == NV * I::LANES {
            for r in 0..MR {
                if r >= s.rows {
                    break;
                }
                let c = s.c.add(r * s.ldc);
                for j in 0..NV {
                    let mut v = acc[r][j];
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
            for r in 0..MR {
                if r >= s.rows {
                    break;
                }
                let mut v = acc[r][j];
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

/// Rows of the next tile where `left` rows remain and a tile has at most `max`: the last tiles share what remains, as a
/// tile of one row takes the time of four.
#[inline(always)]
pub(crate) fn tile_rows(left: usize, max: usize) -> usize {
    if left >= 3 * max {
        max
    } else {
        left.div_ceil(left.div_ceil(max))
    }
}

/// Rows of a tile of a panel of which `cols` columns are valid. A vector of columns alone leaves registers for twice as
/// many rows, which the latency of the FMA wants.
#[inline(always)]
pub(crate) const fn tile_height<I: Isa>(cols: usize) -> usize {
    if narrow::<I>(cols) { 2 * I::MR } else { I::MR }
}

/// Whether the valid columns of a panel fit one vector of several.
#[inline(always)]
pub(crate) const fn narrow<I: Isa>(cols: usize) -> bool {
    I::LANES == 8 && cols <= 8
}

/// Calls `$f::<I, MR, NV>($args)` with the tile of `I` that fits `rows` rows and one panel (or two where `$two`), of
/// which `cols` columns are valid.
macro_rules! with_tile {
    ($I:ident, $rows:expr, $cols:expr, $two:expr, $f:ident($($arg:expr),* $(,)?)) => {{
        let rows = $rows;
        match ($I::LANES, $I::MR) {
            (16, _) => {
                if $two {
                    if rows > 10 { $f::<$I, 12, 2>($($arg),*) } else if rows > 8 { $f::<$I, 10, 2>($($arg),*) } else if rows > 6 { $f::<$I, 8, 2>($($arg),*) } else if rows > 4 { $f::<$I, 6, 2>($($arg),*) } else if rows > 2 { $f::<$I, 4, 2>($($arg),*) } else { $f::<$I, 2, 2>($($arg),*) }
                } else if rows > 10 { $f::<$I, 12, 1>($($arg),*) } else if rows > 8 { $f::<$I, 10, 1>($($arg),*) } else if rows > 6 { $f::<$I, 8, 1>($($arg),*) } else if rows > 4 { $f::<$I, 6, 1>($($arg),*) } else if rows > 2 { $f::<$I, 4, 1>($($arg),*) } else { $f::<$I, 2, 1>($($arg),*) }
            }
            (8, _) if narrow::<$I>($cols) => {
                if rows > 8 { $f::<$I, 12, 1>($($arg),*) } else if rows > 4 { $f::<$I, 8, 1>($($arg),*) } else { $f::<$I, 4, 1>($($arg),*) }
            }
            (8, _) => {
                if rows > 5 { $f::<$I, 6, 2>($($arg),*) } else if rows > 4 { $f::<$I, 5, 2>($($arg),*) } else if rows > 2 { $f::<$I, 4, 2>($($arg),*) } else { $f::<$I, 2, 2>($($arg),*) }
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
