//! The gradient of a dense convolution with respect to its weights: a product of the input's windows, transposed, and the
//! output's gradient, over all pixels. Blocks of pixels are packed so that both operands of a register tile are contiguous
//! (the scheme of Goto and van de Geijn, "Anatomy of high-performance matrix multiplication", 2008); operands that are
//! narrow and whole already are read where they lie.
use crate::conv::Conv;
use crate::gemm::PANEL;
use crate::isa::{Isa, kernel_rows};

/// Pixels of a block.
const BLOCK: usize = 128;
/// Rows of the gradient of a block: with the pixels, 128 KiB of packed windows.
const ROWS_BLOCK: usize = 256;
/// Longest pixel (in elements) that is read in place: farther apart, lines of the cache would evict each other.
const IN_PLACE: usize = 64;

/// Elements of the scratch memory of [`crate::Kernels::conv_weights_gradient`].
pub const fn scratch_len(p: &Conv) -> usize {
    BLOCK * (ROWS_BLOCK + p.out_channels.next_multiple_of(PANEL))
}

pub(crate) struct Task {
    pub p: Conv,
    pub x: *const f32,
    pub dy: *const f32,
    pub dw: *mut f32,
    pub rows: (usize, usize),
    pub scratch: *mut f32,
}

kernel_rows!(pub(crate) ROWS = body(t: &Task));

/// Copies `n` elements to their place in panels of 16 (`panel` elements apart), beginning at column `at`; zeros without a
/// source.
#[inline(always)]
unsafe fn scatter<I: Isa>(src: *const f32, n: usize, out: *mut f32, panel: usize, at: usize) {
    // SAFETY: the caller's columns lie inside the panels, the source has `n` elements.
    unsafe {
        let (mut done, mut at) = (0, at);
        while done < n {
            let within = at % PANEL;
            let run = (PANEL - within).min(n - done);
            let to = out.add(at / PANEL * panel + within);
            if src.is_null() {
                for i in 0..run {
                    *to.add(i) = 0.0;
                }
            } else if run == PANEL {
                let mut i = 0;
                while i < PANEL {
                    I::store(to.add(i), I::load(src.add(done + i)));
                    i += I::LANES;
                }
            } else {
                for i in 0..run {
                    *to.add(i) = *src.add(done + i);
                }
            }
            done += run;
            at += run;
        }
    }
}

/// Packs the windows of the output pixels `first..first + n`, rows `rows` of the gradient, into panels
/// `[ceil(rows / 16)][n][16]`.
#[inline(always)]
unsafe fn pack_windows<I: Isa>(
    t: &Task,
    first: usize,
    n: usize,
    rows: (usize, usize),
    out: *mut f32,
) {
    // SAFETY: only pixels inside the input are read; `out` holds the panels.
    unsafe {
        let p = &t.p;
        let c = p.in_channels;
        let (ow, oh) = (p.output[2], p.output[1]);
        let line = p.kernel[2] * c;
        let panel = n * PANEL;
        let valid = rows.1 - rows.0;
        let padding = valid.next_multiple_of(PANEL) - valid;
        for k in 0..n {
            let pixel = first + k;
            let (ox, oy, image) = (pixel % ow, pixel / ow % oh, pixel / ow / oh);
            let out = out.add(k * PANEL);
            if padding > 0 {
                scatter::<I>(core::ptr::null(), padding, out, panel, valid);
            }
            let x0 = (ox * p.stride[2]) as isize - p.pad_begin[2] as isize;
            // A window's line is one stretch of memory where it lies inside the input.
            let inside = p.dilation[2] == 1 && x0 >= 0 && x0 as usize + p.kernel[2] <= p.input[2];
            let mut m = rows.0;
            while m < rows.1 {
                let (ky, rest) = (m / line, m % line);
                let iy = (oy * p.stride[1] + ky * p.dilation[1]).wrapping_sub(p.pad_begin[1]);
                let image_line = if iy < p.input[1] {
                    t.x.add((image * p.input[1] + iy) * p.input[2] * c)
                } else {
                    core::ptr::null()
                };
                let (run, src) = if image_line.is_null() {
                    (line - rest, image_line)
                } else if inside {
                    (line - rest, image_line.add(x0 as usize * c + rest))
                } else {
                    let (kx, i) = (rest / c, rest % c);
                    let ix = x0 + (kx * p.dilation[2]) as isize;
                    let src = if ix >= 0 && (ix as usize) < p.input[2] {
                        image_line.add(ix as usize * c + i)
                    } else {
                        core::ptr::null()
                    };
                    (c - i, src)
                };
                let run = run.min(rows.1 - m);
                scatter::<I>(src, run, out, panel, m - rows.0);
                m += run;
            }
        }
    }
}

/// Where the operands of a block lie: element (k, j) of panel q at `at + q * panel + k * pixel + j`.
#[derive(Clone, Copy)]
struct Operand {
    at: *const f32,
    pixel: usize,
    panel: usize,
}

#[inline(always)]
unsafe fn body<I: Isa>(t: &Task) {
    // SAFETY: blocks stay inside the tensors and the scratch memory that the caller checked.
    unsafe {
        let p = &t.p;
        let n = p.out_channels;
        let pixels = p.rows() * p.output[2];
        let (a_scratch, b_scratch) = (t.scratch, t.scratch.add(BLOCK * ROWS_BLOCK));
        let whole = |channels: usize| channels.is_multiple_of(PANEL) && channels <= IN_PLACE;
        let windows_in_place = p.is_pointwise() && whole(p.in_channels);
        let mut first = 0;
        while first < pixels {
            let k = (pixels - first).min(BLOCK);
            let b = if whole(n) {
                Operand {
                    at: t.dy.add(first * n),
                    pixel: n,
                    panel: PANEL,
                }
            } else {
                for i in 0..k {
                    let out = b_scratch.add(i * PANEL);
                    scatter::<I>(t.dy.add((first + i) * n), n, out, k * PANEL, 0);
                    let padding = n.next_multiple_of(PANEL) - n;
                    scatter::<I>(core::ptr::null(), padding, out, k * PANEL, n);
                }
                Operand {
                    at: b_scratch,
                    pixel: PANEL,
                    panel: k * PANEL,
                }
            };
            let mut m0 = t.rows.0;
            while m0 < t.rows.1 {
                let m = (t.rows.1 - m0).min(ROWS_BLOCK);
                let a = if windows_in_place && m.is_multiple_of(PANEL) {
                    Operand {
                        at: t.x.add(first * p.in_channels + m0),
                        pixel: p.in_channels,
                        panel: PANEL,
                    }
                } else {
                    pack_windows::<I>(t, first, k, (m0, m0 + m), a_scratch);
                    Operand {
                        at: a_scratch,
                        pixel: PANEL,
                        panel: k * PANEL,
                    }
                };
                let c = t.dw.add((m0 - t.rows.0) * n);
                for q in 0..n.div_ceil(PANEL) {
                    let cols = (n - q * PANEL).min(PANEL);
                    let b = (b.at.add(q * b.panel), b.pixel);
                    let mut r = 0;
                    while r < m {
                        let at = a.at.add(r / PANEL * a.panel + r % PANEL);
                        let rows = (m - r).min(PANEL - r % PANEL);
                        let c = c.add(r * n + q * PANEL);
                        r += step::<I>((at, a.pixel), b, k, c, n, rows, r % PANEL, cols);
                    }
                }
                m0 += m;
            }
            first += k;
        }
    }
}

/// One tile; returns its rows. Tiles never reach beyond the panel of 16 that they begin in.
#[inline(always)]
unsafe fn step<I: Isa>(
    a: (*const f32, usize),
    b: (*const f32, usize),
    k: usize,
    c: *mut f32,
    ldc: usize,
    rows: usize,
    within: usize,
    cols: usize,
) -> usize {
    // SAFETY: passed on.
    unsafe {
        macro_rules! tile {
            ($mr:literal, $nv:literal) => {{
                tile::<I, $mr, $nv>(a, b, k, c, ldc, rows.min($mr), cols);
                $mr
            }};
        }
        let left = PANEL - within;
        match (I::LANES, I::MR) {
            (16, _) => tile!(8, 1),
            (8, _) if left >= 6 => tile!(6, 2),
            (8, _) => tile!(4, 2),
            (_, 6) if left >= 6 => tile!(6, 4),
            (_, 6) => tile!(4, 4),
            (_, 2 | 3) => tile!(2, 4),
            _ => tile!(1, 4),
        }
    }
}

/// `c[r][j] += sum over k of a[k][r] * b[k][j]` for `MR` by 16 elements, of which `rows` by `cols` are stored.
#[inline(always)]
unsafe fn tile<I: Isa, const MR: usize, const NV: usize>(
    (a, a_pixel): (*const f32, usize),
    (b, b_pixel): (*const f32, usize),
    k: usize,
    c: *mut f32,
    ldc: usize,
    rows: usize,
    cols: usize,
) {
    // SAFETY: the caller's operands hold k pixels of MR and of 16 elements; only valid elements of c are touched.
    unsafe {
        let mut acc = [[I::splat(0.0); NV]; MR];
        let (mut a, mut b) = (a, b);
        for _ in 0..k {
            let mut bv = [I::splat(0.0); NV];
            for j in 0..NV {
                bv[j] = I::load(b.add(j * I::LANES));
            }
            for r in 0..MR {
                let av = I::splat(*a.add(r));
                for j in 0..NV {
                    acc[r][j] = I::fma(av, bv[j], acc[r][j]);
                }
            }
            a = a.wrapping_add(a_pixel);
            b = b.wrapping_add(b_pixel);
        }
        for r in 0..MR {
            if r >= rows {
                break;
            }
            for j in 0..NV {
                let at = j * I::LANES;
                if at >= cols {
                    break;
                }
                let c = c.add(r * ldc + at);
                let n = cols - at;
                if n >= I::LANES {
                    I::store(c, I::add(I::load(c), acc[r][j]));
                } else {
                    I::store_partial(c, I::add(I::load_partial(c, n), acc[r][j]), n);
                }
            }
        }
    }
}
