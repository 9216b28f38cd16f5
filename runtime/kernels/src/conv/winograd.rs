//! Convolution by 3 x 3 windows with a quarter of the multiplications: F(4x4, 3x3) of Winograd's minimal filtering
//! (Lavin and Gray, "Fast Algorithms for Convolutional Neural Networks", 2015).
//!
//! Tiles of 4 x 4 outputs see 6 x 6 inputs. Inputs and weights become 36 values each, the products of which, summed over
//! the channels, become the 16 outputs. The sums are 36 matrix products of tiles by output channels.
//!
//! Interpolation is at 0, ±1/√2, ±√2 and infinity: as many operations as the usual 0, ±1, ±2, and rounding errors of
//! less than half (Barabasz et al., "Error Analysis and Improving the Accuracy of Winograd Convolution for Deep Neural
//! Networks", 2020, study the choice).
//!
//! Weights are transformed while the convolution runs, two panels of output channels by some input channels at a time,
//! into scratch that stays in the second-level cache, and serve a block of tiles. Vectors hold channels, so that the
//! transforms need no shuffles.

use super::Conv;
use crate::activation::{self, Activation, Apply};
use crate::error::{KernelError, at_least, exactly, product};
use crate::gemm::tile::offset;
use crate::gemm::{self, Gemm, PANEL};
use crate::isa::{Isa, kernel_rows};
use crate::kernels::Kernels;
use core::ops::Range;
use core::sync::atomic::{AtomicU32, Ordering};

/// Outputs of a tile along an axis.
const OUT: usize = 4;
/// Inputs of a tile along an axis.
const IN: usize = 6;
/// Values of a transformed tile.
const POINTS: usize = IN * IN;
/// Panels of 16 output channels whose weights are transformed at a time.
const WIDTH: usize = 2;
/// Elements between the matrices of neighbouring points: an odd number of cache lines, or all 36 would meet in one set.
const GAP: usize = PANEL;

const A: f32 = core::f32::consts::FRAC_1_SQRT_2;
const B: f32 = core::f32::consts::SQRT_2;

/// A convolution and how it is worked through.
#[derive(Clone, Copy, Debug)]
pub struct Winograd {
    /// The convolution: two-dimensional, 3 x 3, of one group, unit stride and dilation.
    pub conv: Conv,
    /// Input channels whose weights are transformed at a time, a multiple of 16.
    pub depth: usize,
}

/// Calls a function for 0, 1, .. up to a number, on several threads if it likes, and returns when all calls have.
pub type Spread<'a> = dyn Fn(usize, &(dyn Fn(usize) + Sync)) + 'a;

/// Most parts that work is split into.
const PARTS: usize = 32;

/// Tiles in a block below which fewer parts share the scratch.
const FEW: usize = 8;

impl Winograd {
    /// Whether a convolution has the form that this algorithm is for.
    pub fn fits(p: &Conv) -> bool {
        p.kernel == [1, 3, 3]
            && p.stride == [1; 3]
            && p.dilation == [1; 3]
            && p.groups == 1
            && p.input[0] == 1
            && p.output[0] == 1
            && p.pad_begin[0] == 0
    }

    /// Tiles of a row, and rows of tiles.
    const fn grid(&self) -> [usize; 2] {
        [
            self.conv.output[2].div_ceil(OUT),
            self.conv.output[1].div_ceil(OUT),
        ]
    }

    /// Tiles of all images.
    pub const fn tiles(&self) -> usize {
        let [w, h] = self.grid();
        self.conv.batch * h * w
    }

    /// Panels of 16 output channels.
    const fn panels(&self) -> usize {
        self.conv.out_channels.div_ceil(PANEL)
    }

    /// Elements of scratch for `parts` threads that work on blocks of `tiles` tiles: transformed inputs
    /// `[ceil(C / depth)][36][tiles * depth + 16]`, then for each part transformed weights `[36][2 * depth * 16 + 16]`
    /// and products `[36][tiles * 32 + 16]`. With more scratch blocks are larger, and weights are transformed less often.
    ///
    /// # Errors
    /// [`KernelError::Overflow`].
    pub fn scratch(&self, tiles: usize, parts: usize) -> Result<usize, KernelError> {
        let [fixed, each] = self.room(parts)?;
        product(&[tiles, each])?
            .checked_add(fixed)
            .ok_or(KernelError::Overflow)
    }

    /// Elements of scratch without tiles, and for each tile.
    fn room(&self, parts: usize) -> Result<[usize; 2], KernelError> {
        let slices = self.conv.in_channels.div_ceil(self.depth.max(1));
        let sum = |a: usize, b: usize| a.checked_add(b).ok_or(KernelError::Overflow);
        let weights = sum(product(&[WIDTH * PANEL, self.depth])?, 2 * GAP)?;
        let fixed = sum(product(&[slices, GAP])?, product(&[parts, weights])?)?;
        let tile = sum(
            product(&[slices, self.depth])?,
            product(&[parts, WIDTH * PANEL])?,
        )?;
        Ok([product(&[POINTS, fixed])?, product(&[POINTS, tile])?])
    }

    /// Tiles of a block and parts, at most `parts`, for which a scratch of this length is enough.
    ///
    /// # Errors
    /// [`KernelError::Length`] when it is too short for a tile.
    fn split(&self, parts: usize, scratch: usize) -> Result<[usize; 2], KernelError> {
        let mut parts = parts.clamp(1, PARTS);
        loop {
            let [fixed, each] = self.room(parts)?;
            let room = scratch.saturating_sub(fixed) / each.max(1);
            if room >= self.tiles().min(FEW) || (parts == 1 && room > 0) {
                return Ok([room, parts]);
            }
            if parts == 1 {
                return Err(KernelError::Length);
            }
            parts -= 1;
        }
    }

    fn check(
        &self,
        lens: [usize; 3],
        bias: Option<usize>,
        residual: Option<usize>,
    ) -> Result<(), KernelError> {
        let p = &self.conv;
        p.check_shape()?;
        if !Self::fits(p)
            || p.in_channels == 0
            || self.depth == 0
            || !self.depth.is_multiple_of(PANEL)
        {
            return Err(KernelError::Parameter);
        }
        let image = |size: &[usize; 3], channels| product(&[p.batch, size[1], size[2], channels]);
        let out = image(&p.output, p.out_channels)?;
        at_least(lens[0], image(&p.input, p.in_channels)?)?;
        at_least(lens[1], p.packed_len())?;
        exactly(lens[2], out)?;
        if let Some(len) = bias {
            at_least(len, p.out_channels)?;
        }
        if let Some(len) = residual {
            exactly(len, out)?;
        }
        Ok(())
    }
}

impl Kernels {
    /// As [`Kernels::conv`], by Winograd's algorithm, for all of `y` `[batch, h, w, out_channels]`. At most `parts` parts
    /// are worked on at a time through `spread`; `scratch` is of any content, [`Winograd::scratch`] says how long.
    ///
    /// # Errors
    /// [`KernelError`] when a slice does not fit the shape, or the convolution is not of the form that
    /// [`Winograd::fits`] names.
    pub fn winograd(
        &self,
        p: &Winograd,
        x: &[f32],
        weights: &[f32],
        bias: Option<&[f32]>,
        residual: Option<&[f32]>,
        y: &mut [f32],
        scratch: &mut [f32],
        (parts, spread): (usize, &Spread<'_>),
    ) -> Result<(), KernelError> {
        p.check(
            [x.len(), weights.len(), y.len()],
            bias.map(<[f32]>::len),
            residual.map(<[f32]>::len),
        )?;
        if y.is_empty() {
            return Ok(());
        }
        let [room, parts] = p.split(parts, scratch.len())?;
        // Blocks of equal size.
        let count = p.tiles();
        let block = count.div_ceil(count.div_ceil(room));
        let slices = p.conv.in_channels.div_ceil(p.depth);
        let inputs = POINTS * slices * (block * p.depth + GAP);
        let own = POINTS * (WIDTH * PANEL * (p.depth + block) + 2 * GAP);
        let ptr = |s: Option<&[f32]>| s.map_or(core::ptr::null(), <[f32]>::as_ptr);
        let all = Task {
            gemm: self.row(gemm::ROWS),
            finish: self.row(activation::ROWS),
            p: *p,
            x: x.as_ptr(),
            w: weights.as_ptr(),
            bias: ptr(bias),
            residual: ptr(residual),
            y: y.as_mut_ptr(),
            v: scratch.as_mut_ptr(),
            own: core::ptr::null_mut(),
            block,
            first: 0,
            tiles: (0, 0),
            panels: (0, 0),
        };
        let pairs = p.panels().div_ceil(WIDTH);
        // Parts of the panels, and parts of the tiles where there are few panels.
        let by_pairs = pairs.min(parts);
        let by_tiles = parts / by_pairs.max(1);
        let mut first = 0;
        while first < count {
            let tiles = (count - first).min(block);
            let share = |i: usize, of: usize, n: usize| (n * i / of, n * (i + 1) / of);
            let task = Shared(Task { first, ..all });
            let claimed = AtomicU32::new(0);
            // A part is worked on once, whatever `spread` does.
            let claim = |i: usize| i < PARTS && set(&claimed, 1 << i) & (1 << i) == 0;
            spread(parts, &|i| {
                if i < parts && claim(i) {
                    let t = Task {
                        tiles: share(i, parts, tiles),
                        ..*task.get()
                    };
                    // SAFETY: checked above; parts write the inputs of different tiles.
                    unsafe { self.row(INPUT_ROWS)(&t) };
                }
            });
            claimed.store(0, Ordering::Relaxed);
            spread(by_pairs * by_tiles, &|i| {
                if i < by_pairs * by_tiles && claim(i) {
                    let (from, to) = share(i % by_pairs, by_pairs, pairs);
                    let t = Task {
                        // SAFETY: the scratch is long enough for the parts, as `split` found.
                        own: unsafe { task.get().v.add(inputs + i * own) },
                        tiles: share(i / by_pairs, by_tiles, tiles),
                        panels: (from * WIDTH, (to * WIDTH).min(p.panels())),
                        ..*task.get()
                    };
                    // SAFETY: checked above; parts have a scratch each and write different tiles or panels.
                    unsafe { self.row(OUTPUT_ROWS)(&t) };
                }
            });
            first += tiles;
        }
        Ok(())
    }
}

/// A piece of work; `x`, `w`, `bias`, `residual` and `y` are whole tensors.
#[derive(Clone, Copy)]
pub(crate) struct Task {
    gemm: unsafe fn(&gemm::Task),
    finish: Apply,
    p: Winograd,
    x: *const f32,
    w: *const f32,
    bias: *const f32,
    residual: *const f32,
    y: *mut f32,
    /// The transformed inputs of the block.
    v: *mut f32,
    /// Weights and products of this part.
    own: *mut f32,
    /// Tiles that the block has room for.
    block: usize,
    /// First tile of the block.
    first: usize,
    /// Tiles, counted from the first of the block.
    tiles: (usize, usize),
    panels: (usize, usize),
}

/// Lets threads have copies of a task.
struct Shared(Task);

// SAFETY: what the pointers of a task point at is written by one part alone, as `Kernels::winograd` splits the work.
unsafe impl Sync for Shared {}

impl Shared {
    fn get(&self) -> &Task {
        &self.0
    }
}

impl Task {
    /// Elements from point to point and from slice to slice of the transformed inputs.
    #[inline(always)]
    fn strides(&self) -> (usize, usize) {
        let point = self.block * self.p.depth + GAP;
        (point, point * POINTS)
    }
}

kernel_rows!(pub(crate) INPUT_ROWS = inputs(t: &Task));
kernel_rows!(pub(crate) OUTPUT_ROWS = outputs(t: &Task));

/// Transforms the inputs of the tiles.
///
/// # Safety
/// The instruction set exists; the shape was checked, and the tiles of `v` are exclusive.
#[inline(always)]
unsafe fn inputs<I: Isa>(t: &Task) {
    // SAFETY: the tiles lie in the block.
    unsafe {
        let (point, slice) = t.strides();
        for i in t.tiles.0..t.tiles.1 {
            input::<I>(t, t.first + i, t.v.add(i * t.p.depth), point, slice);
        }
    }
}

/// Computes the tiles and panels from transformed inputs.
///
/// # Safety
/// The instruction set exists; the shape was checked; `own` and the tiles and panels of `y` are exclusive.
#[inline(always)]
unsafe fn outputs<I: Isa>(t: &Task) {
    // SAFETY: the parts of the scratch are disjoint and as long as `Winograd::scratch` says.
    unsafe {
        let p = &t.p;
        let c = p.conv.in_channels;
        let (v_point, v_slice) = t.strides();
        let tiles = t.tiles.1 - t.tiles.0;
        if tiles == 0 {
            return;
        }
        let v = t.v.add(t.tiles.0 * p.depth);
        let u = t.own;
        let m = u.add(POINTS * (WIDTH * PANEL * p.depth + GAP));
        let mut panel = t.panels.0;
        while panel < t.panels.1 {
            let width = (t.panels.1 - panel).min(WIDTH);
            let cols = width * PANEL;
            let m_point = tiles * cols + GAP;
            let mut ch = 0;
            while ch < c {
                let k = (c - ch).min(p.depth);
                let u_point = cols * k + GAP;
                for i in 0..width {
                    let w = t.w.add((panel + i) * 9 * c * PANEL + ch * PANEL);
                    weights::<I>(w, c, k, u.add(i * k * PANEL), u_point);
                }
                let g = Gemm {
                    lda: p.depth,
                    ..Gemm::new(tiles, cols, k)
                };
                let a = v.add(ch / p.depth * v_slice);
                let next = Ahead::new(t, panel, width, ch + k);
                for point in 0..POINTS {
                    next.ask::<I>(point);
                    let product = m.add(point * m_point);
                    let sum = if ch == 0 {
                        core::ptr::null()
                    } else {
                        product.cast_const()
                    };
                    (t.gemm)(&gemm::Task {
                        finish: t.finish,
                        p: g,
                        a: a.add(point * v_point),
                        b: u.add(point * u_point),
                        bias: core::ptr::null(),
                        residual: sum,
                        c: product,
                        rows: (0, tiles),
                        panels: (0, width),
                    });
                }
                ch += k;
            }
            for i in 0..tiles {
                for j in 0..width {
                    let m = m.add(i * cols + j * PANEL);
                    output::<I>(t, t.first + t.tiles.0 + i, panel + j, m, m_point);
                }
            }
            panel += width;
        }
    }
}

/// Sets bits; what was set before.
fn set(bits: &AtomicU32, new: u32) -> u32 {
    #[cfg(target_has_atomic = "32")]
    return bits.fetch_or(new, Ordering::Relaxed);
    // Processors without the instruction have one core, and parts run in turn.
    #[cfg(not(target_has_atomic = "32"))]
    {
        let old = bits.load(Ordering::Relaxed);
        bits.store(old | new, Ordering::Relaxed);
        old
    }
}

/// The weights that are wanted next. They come from memory, which has nothing to do while products are computed.
struct Ahead {
    w: *const f32,
    /// Elements from tap to tap and from panel to panel.
    tap: usize,
    /// Lines of a tap.
    lines: usize,
    taps: usize,
}

impl Ahead {
    #[inline(always)]
    fn new(t: &Task, panel: usize, width: usize, ch: usize) -> Self {
        let c = t.p.conv.in_channels;
        let (panel, ch) = if ch < c {
            (panel, ch)
        } else {
            (panel + width, 0)
        };
        let panels = t.panels.1.saturating_sub(panel).min(WIDTH);
        Self {
            w: t.w.wrapping_add((panel * 9 * c + ch) * PANEL),
            tap: c * PANEL,
            lines: (c - ch).min(t.p.depth),
            taps: panels * 9,
        }
    }

    /// Asks for a share of them, one for each point.
    #[inline(always)]
    unsafe fn ask<I: Isa>(&self, point: usize) {
        if I::LANES == 1 {
            return;
        }
        let share = self.taps * self.lines;
        let mut i = share * point / POINTS;
        let end = share * (point + 1) / POINTS;
        while i < end {
            let at = self
                .w
                .wrapping_add(i / self.lines * self.tap + i % self.lines * PANEL);
            // SAFETY: a prefetch may go anywhere.
            unsafe { I::prefetch(at) };
            i += 1;
        }
    }
}

/// Transforms six inputs of one axis.
#[inline(always)]
unsafe fn input_axis<I: Isa>(d: [I::V; 6]) -> [I::V; 6] {
    // SAFETY: the caller guarantees the instruction set.
    unsafe {
        let half5 = I::splat(-2.5);
        let even_a = I::fma(d[2], I::splat(-2.0), d[4]);
        let odd_a = I::mul(I::fma(d[1], I::splat(-2.0), d[3]), I::splat(A));
        let even_b = I::fma(d[2], I::splat(-0.5), d[4]);
        let odd_b = I::mul(I::fma(d[1], I::splat(-0.5), d[3]), I::splat(B));
        [
            I::fma(d[2], half5, I::add(d[0], d[4])),
            I::add(even_a, odd_a),
            I::sub(even_a, odd_a),
            I::add(even_b, odd_b),
            I::sub(even_b, odd_b),
            I::fma(d[3], half5, I::add(d[1], d[5])),
        ]
    }
}

/// Transforms three weights of one axis.
#[inline(always)]
unsafe fn weight_axis<I: Isa>(g: [I::V; 3]) -> [I::V; 6] {
    // SAFETY: the caller guarantees the instruction set.
    unsafe {
        let even_a = I::fma(
            g[2],
            I::splat(-1.0 / 3.0),
            I::mul(g[0], I::splat(-2.0 / 3.0)),
        );
        let odd_a = I::mul(g[1], I::splat(-2.0 / 3.0 * A));
        let even_b = I::fma(g[2], I::splat(1.0 / 3.0), I::mul(g[0], I::splat(1.0 / 6.0)));
        let odd_b = I::mul(g[1], I::splat(B / 6.0));
        [
            g[0],
            I::add(even_a, odd_a),
            I::sub(even_a, odd_a),
            I::add(even_b, odd_b),
            I::sub(even_b, odd_b),
            g[2],
        ]
    }
}

/// Transforms six sums of products of one axis to four outputs.
#[inline(always)]
unsafe fn output_axis<I: Isa>(m: [I::V; 6]) -> [I::V; 4] {
    // SAFETY: the caller guarantees the instruction set.
    unsafe {
        let (even_a, odd_a) = (I::add(m[1], m[2]), I::sub(m[1], m[2]));
        let (even_b, odd_b) = (I::add(m[3], m[4]), I::sub(m[3], m[4]));
        [
            I::add(m[0], I::add(even_a, even_b)),
            I::fma(odd_b, I::splat(B), I::mul(odd_a, I::splat(A))),
            I::fma(even_b, I::splat(2.0), I::mul(even_a, I::splat(0.5))),
            I::fma(
                odd_b,
                I::splat(2.0 * B),
                I::fma(odd_a, I::splat(0.5 * A), m[5]),
            ),
        ]
    }
}

/// Where a tile lies: its image and the first of its outputs.
#[derive(Clone, Copy)]
struct Place {
    image: usize,
    y: usize,
    x: usize,
}

#[inline(always)]
fn place(p: &Winograd, tile: usize) -> Place {
    let [w, h] = p.grid();
    Place {
        image: tile / w / h,
        y: tile / w % h * OUT,
        x: tile % w * OUT,
    }
}

/// Indices of a tile's inputs along an axis that lie inside `len`.
#[inline(always)]
fn inside(first: usize, pad: usize, len: usize) -> Range<usize> {
    pad.saturating_sub(first).min(IN)..(len + pad).saturating_sub(first).min(IN)
}

/// Transforms the inputs of a tile: slice `s` of the channels goes to `v + s * slice`, value `q` to `q * point` there.
#[inline(always)]
unsafe fn input<I: Isa>(t: &Task, tile: usize, v: *mut f32, point: usize, slice: usize) {
    // SAFETY: only inputs inside the image are read.
    unsafe {
        let p = &t.p.conv;
        let at = place(&t.p, tile);
        let (ys, xs) = (
            inside(at.y, p.pad_begin[1], p.input[1]),
            inside(at.x, p.pad_begin[2], p.input[2]),
        );
        let row = p.input[2] * p.in_channels;
        // May lie before the image; only inputs inside of it are read.
        let corner = (at.image * p.input[1] + at.y)
            .wrapping_sub(p.pad_begin[1])
            .wrapping_mul(row)
            .wrapping_add(
                at.x.wrapping_sub(p.pad_begin[2])
                    .wrapping_mul(p.in_channels),
            );
        let whole = ys == (0..IN) && xs == (0..IN);
        let mut ch = 0;
        while ch < p.in_channels {
            let left = p.in_channels - ch;
            let x = t.x.wrapping_add(corner.wrapping_add(ch));
            let v = v.add(ch / t.p.depth * slice + ch % t.p.depth);
            let tap = |i: usize, j: usize| x.wrapping_add(i * row + j * p.in_channels);
            if whole && left >= I::LANES {
                forward::<I>(v, point, |i, j| I::load(tap(i, j)));
            } else {
                forward::<I>(v, point, |i, j| {
                    if !ys.contains(&i) || !xs.contains(&j) {
                        I::splat(0.0)
                    } else if left >= I::LANES {
                        I::load(tap(i, j))
                    } else {
                        I::load_partial(tap(i, j), left)
                    }
                });
            }
            ch += I::LANES;
        }
    }
}

/// Transforms 6 x 6 inputs, stored `point` apart.
#[inline(always)]
unsafe fn forward<I: Isa>(to: *mut f32, point: usize, load: impl Fn(usize, usize) -> I::V) {
    // SAFETY: the caller guarantees the instruction set and the room.
    unsafe {
        let mut half = [[I::splat(0.0); IN]; IN];
        for j in 0..IN {
            half[j] = input_axis::<I>([
                load(0, j),
                load(1, j),
                load(2, j),
                load(3, j),
                load(4, j),
                load(5, j),
            ]);
        }
        for i in 0..IN {
            let row = input_axis::<I>([
                half[0][i], half[1][i], half[2][i], half[3][i], half[4][i], half[5][i],
            ]);
            for j in 0..IN {
                I::store(to.add((i * IN + j) * point), row[j]);
            }
        }
    }
}

/// Transforms the weights of a panel and `k` input channels of `c`: `w[tap][c][16]` to `u[point][k][16]`.
#[inline(always)]
unsafe fn weights<I: Isa>(w: *const f32, c: usize, k: usize, u: *mut f32, point: usize) {
    // SAFETY: reads nine taps, writes 36 points of `k * 16` elements.
    unsafe {
        let tap = c * PANEL;
        let mut i = 0;
        while i < k * PANEL {
            let mut half = [[I::splat(0.0); IN]; 3];
            for j in 0..3 {
                let w = w.add(i + j * tap);
                half[j] = weight_axis::<I>([
                    I::load(w),
                    I::load(w.add(3 * tap)),
                    I::load(w.add(6 * tap)),
                ]);
            }
            for r in 0..IN {
                let row = weight_axis::<I>([half[0][r], half[1][r], half[2][r]]);
                for j in 0..IN {
                    I::store(u.add(i + (r * IN + j) * point), row[j]);
                }
            }
            i += I::LANES;
        }
    }
}

/// Transforms the sums of a tile and panel to outputs.
#[inline(always)]
unsafe fn output<I: Isa>(t: &Task, tile: usize, panel: usize, m: *const f32, point: usize) {
    // SAFETY: only outputs inside the image and valid channels are touched.
    unsafe {
        let p = &t.p.conv;
        let at = place(&t.p, tile);
        let (rows, columns) = ((p.output[1] - at.y).min(OUT), (p.output[2] - at.x).min(OUT));
        let (lo, hi, rest) = p.activation.split();
        let o = panel * PANEL;
        let cols = (p.out_channels - o).min(PANEL);
        let row = p.output[2] * p.out_channels;
        let first = (at.image * p.output[1] + at.y) * row + at.x * p.out_channels + o;
        let mut ch = 0;
        while ch < cols {
            let n = cols - ch;
            let e = Epilogue {
                y: t.y.add(first + ch),
                bias: offset(t.bias, o + ch),
                residual: offset(t.residual, first + ch),
                row,
                column: p.out_channels,
                rows,
                columns,
                lo,
                hi,
            };
            if n < I::LANES {
                e.store::<I, true>(backward::<I>(m.add(ch), point), n);
            } else {
                e.store::<I, false>(backward::<I>(m.add(ch), point), n);
            }
            ch += I::LANES;
        }
        if let Some(act) = rest {
            for r in 0..rows {
                finish_row(t, act, t.y.add(first + r * row), columns, cols);
            }
        }
    }
}

#[inline(always)]
unsafe fn finish_row(t: &Task, act: Activation, y: *mut f32, columns: usize, cols: usize) {
    // SAFETY: the caller's outputs.
    unsafe { (t.finish)(act, y, t.p.conv.out_channels, columns, cols) }
}

/// Transforms 36 sums, `point` apart, to 4 x 4 outputs.
#[inline(always)]
unsafe fn backward<I: Isa>(m: *const f32, point: usize) -> [[I::V; OUT]; OUT] {
    // SAFETY: the caller guarantees the instruction set and the extents.
    unsafe {
        let mut half = [[I::splat(0.0); OUT]; IN];
        for j in 0..IN {
            let sum = |i: usize| I::load(m.add((i * IN + j) * point));
            half[j] = output_axis::<I>([sum(0), sum(1), sum(2), sum(3), sum(4), sum(5)]);
        }
        let mut y = [[I::splat(0.0); OUT]; OUT];
        for i in 0..OUT {
            y[i] = output_axis::<I>([
                half[0][i], half[1][i], half[2][i], half[3][i], half[4][i], half[5][i],
            ]);
        }
        y
    }
}

/// Where and how a vector of channels of a tile is stored.
struct Epilogue {
    y: *mut f32,
    bias: *const f32,
    residual: *const f32,
    row: usize,
    column: usize,
    rows: usize,
    columns: usize,
    lo: f32,
    hi: f32,
}

impl Epilogue {
    /// Stores the valid outputs; with `PART`, of `n` channels of a vector.
    #[inline(always)]
    unsafe fn store<I: Isa, const PART: bool>(&self, y: [[I::V; OUT]; OUT], n: usize) {
        // SAFETY: rows, columns and channels are valid.
        unsafe {
            let load = |p: *const f32| {
                if PART {
                    I::load_partial(p, n)
                } else {
                    I::load(p)
                }
            };
            let bias = if self.bias.is_null() {
                I::splat(0.0)
            } else {
                load(self.bias)
            };
            let (lo, hi) = (I::splat(self.lo), I::splat(self.hi));
            for r in 0..OUT {
                for s in 0..OUT {
                    if r >= self.rows || s >= self.columns {
                        continue;
                    }
                    let at = r * self.row + s * self.column;
                    let mut v = I::add(y[r][s], bias);
                    if !self.residual.is_null() {
                        v = I::add(v, load(self.residual.add(at)));
                    }
                    let v = I::min(hi, I::max(lo, v));
                    if PART {
                        I::store_partial(self.y.add(at), v, n);
                    } else {
                        I::store(self.y.add(at), v);
                    }
                }
            }
        }
    }
}
