//! Dense convolutions: blocks of packed pixels, over which each panel of 16 channels passes.
use super::pack::{Packer, Place, ROWS, SLOT};
use super::{Finish, Narrow, Sum, load_floats, load_sums};
use crate::gemm::PANEL;
use crate::quantized::{GROUP, Task, scalar};
use core::arch::aarch64::*;
use core::mem::MaybeUninit;

/// Bytes of packed pixels.
const BUFFER: usize = 32 * 1024;
/// Bytes of packed pixels that a panel passes over, unless one tile is longer: with the panel's weights they stay in the
/// first-level cache.
const BLOCK: usize = 20 * 1024;
/// Panels whose sums are kept between the parts of a window that does not fit the buffer.
const KEPT: usize = 16;

/// What a kernel does with its sums.
pub(super) mod mode {
    /// Stores them as they are.
    pub const RAW: u64 = 1;
    /// The zero point is not 0.
    pub const ZERO: u64 = 2;
    /// Bounds are not those of the narrowing.
    pub const BOUNDS: u64 = 4;
    /// Narrows to bytes without a sign.
    pub const UNSIGNED: u64 = 8;
    /// No result exceeds 16 bits.
    pub const SHORT: u64 = 16;
    /// The depth has a slot beyond pairs of slots.
    pub const SLOT: u64 = 32;
    /// The depth ends with half a slot.
    pub const GROUP: u64 = 64;
}

/// A panel's pass over tiles of equal height.
#[derive(Clone, Copy)]
pub(super) struct Pass {
    /// Packed pixels.
    pub x: *const u8,
    pub w: *const i8,
    /// Pairs of slots.
    pub pairs: usize,
    /// Sixteen values that sums start from, for the first row.
    pub start: *const i32,
    /// Bytes from there to those of the next row.
    pub start_step: usize,
    /// As many as the kernel has columns.
    pub multiplier: *const f32,
    /// Results, bytes or sums.
    pub y: *mut u8,
    /// Bytes from row to row.
    pub step: usize,
    /// Bits of [`mode`].
    pub mode: u64,
    pub zero: i32,
    pub low: i32,
    pub high: i32,
    /// At least 1.
    pub tiles: usize,
}

/// Kernels of an instruction set.
pub(super) trait Kernels {
    /// Pixels of a whole tile.
    const ROWS: usize;

    /// One panel over tiles of `rows` pixels, for 8 columns alone if `narrow`.
    ///
    /// # Safety
    /// The pass is valid for reads and writes of its tiles; the instruction set exists.
    unsafe fn run(pass: &Pass, rows: usize, narrow: bool);
}

/// # Safety
/// `t` passed its check; the kernels' instruction set exists.
#[target_feature(enable = "neon")]
pub(super) unsafe fn dense<K: Kernels>(t: &Task) {
    // SAFETY: offsets stay inside the extents that the check proved.
    unsafe {
        let p = &t.p.conv;
        if !t.finite() {
            return scalar::dense(t);
        }
        let total = (t.rows.1 - t.rows.0) * p.output[2];
        let window = p.kernel[0] * p.kernel[1] * p.packed_row();
        let og = p.out_channels / p.groups;
        if total == 0 || og == 0 {
            return;
        }
        let tile = tile_len(K::ROWS, window);
        let whole = tile <= BUFFER;
        let mut work = Work {
            t,
            packer: Packer::new(t, whole),
            finish: Finish::new(t),
            mode: modes(t, window),
            window,
            og,
            panels: og.div_ceil(PANEL),
            buffer: MaybeUninit::uninit(),
        };
        if !whole {
            return work.parts::<K>(total);
        }
        let most = (BLOCK / tile).max(1) * K::ROWS;
        let mut place = Place::row(p, t.rows.0);
        let mut pixel = 0;
        while pixel < total {
            let n = (total - pixel).min(most);
            let first = place;
            for group in 0..p.groups {
                place = first;
                work.block::<K>(&mut place, group, pixel, n);
            }
            pixel += n;
        }
    }
}

/// Bytes of a packed tile.
const fn tile_len(rows: usize, window: usize) -> usize {
    rows.div_ceil(2) * 2 * SLOT * window.div_ceil(SLOT)
}

/// The bits of a task.
#[target_feature(enable = "neon")]
fn modes(t: &Task, window: usize) -> u64 {
    let r = &t.p.requantize;
    let mut mode = 0;
    if r.zero != 0 {
        mode |= mode::ZERO;
    }
    match Finish::new(t).narrow {
        Narrow::Signed => {}
        Narrow::Unsigned => mode |= mode::UNSIGNED,
        Narrow::Bounds => mode |= mode::BOUNDS,
    }
    let n = t.p.conv.out_channels;
    // SAFETY: the task has that many.
    let (start, multiplier) = unsafe {
        (
            core::slice::from_raw_parts(t.start, n),
            core::slice::from_raw_parts(t.multiplier, n),
        )
    };
    let start = start.iter().fold(0, |most, s| s.unsigned_abs().max(most));
    let multiplier = multiplier.iter().fold(0.0f32, |most, m| m.abs().max(most));
    let sum = start as f32 + window as f32 * (128.0 * 128.0);
    // Sums that wrap around are no longer than 32 bits either.
    if sum < i32::MAX as f32 && sum * multiplier < 32000.0 {
        mode |= mode::SHORT;
    }
    mode
}

struct Work<'a> {
    t: &'a Task,
    packer: Packer<'a>,
    finish: Finish,
    mode: u64,
    /// Bytes of a pixel's window.
    window: usize,
    og: usize,
    /// Of a group.
    panels: usize,
    buffer: MaybeUninit<[u8; BUFFER]>,
}

/// A panel.
struct Columns {
    w: *const i8,
    /// First output channel.
    first: usize,
    count: usize,
    /// Copies of what is too short to be read in whole vectors.
    start: [i32; PANEL],
    multiplier: [f32; PANEL],
}

impl Work<'_> {
    /// All panels of a group for `n` pixels, the first of which is `pixel` of the task.
    #[target_feature(enable = "neon")]
    unsafe fn block<K: Kernels>(
        &mut self,
        place: &mut Place,
        group: usize,
        pixel: usize,
        n: usize,
    ) {
        // SAFETY: the buffer holds the block.
        unsafe {
            let x = self.buffer.as_mut_ptr().cast::<u8>();
            let window = (0, self.window);
            let tile = tile_len(K::ROWS, self.window);
            let (tiles, rest) = (n / K::ROWS, n % K::ROWS);
            for i in 0..tiles {
                let to = x.add(i * tile);
                self.packer.tile(place, K::ROWS, group, window, to);
            }
            let last = x.add(tiles * tile);
            if rest > 0 {
                self.packer.tile(place, rest, group, window, last);
            }
            for panel in 0..self.panels {
                let columns = self.columns(group, panel);
                if tiles > 0 {
                    self.finish::<K>(&columns, x, K::ROWS, tiles, pixel);
                }
                if rest > 0 {
                    let pixel = pixel + tiles * K::ROWS;
                    self.finish::<K>(&columns, last, rest, 1, pixel);
                }
            }
        }
    }

    /// Windows that do not fit the buffer, part by part.
    #[target_feature(enable = "neon")]
    unsafe fn parts<K: Kernels>(&mut self, total: usize) {
        // SAFETY: the buffer holds a tile of a part.
        unsafe {
            let p = &self.t.p.conv;
            let part = BUFFER / tile_len(K::ROWS, SLOT) * SLOT;
            let x = self.buffer.as_mut_ptr().cast::<u8>();
            let mut place = Place::row(p, self.t.rows.0);
            let mut sums = [[[0i32; PANEL]; ROWS]; KEPT];
            let mut pixel = 0;
            while pixel < total {
                let rows = (total - pixel).min(K::ROWS);
                let first = place;
                for i in 0..p.groups * self.panels.div_ceil(KEPT) {
                    let kept = self.panels.div_ceil(KEPT);
                    let (group, panel) = (i / kept, i % kept * KEPT);
                    let panels = panel..(panel + KEPT).min(self.panels);
                    let mut k = 0;
                    while k < self.window {
                        let end = (k + part).min(self.window);
                        place = first;
                        self.packer.tile(&mut place, rows, group, (k, end), x);
                        for panel in panels.clone() {
                            let columns = self.columns(group, panel);
                            let sums = &mut sums[panel % KEPT];
                            let mut pass = self.pass(&columns, x, end - k);
                            pass.w = pass.w.add(k * PANEL);
                            if k > 0 {
                                pass.start = sums.as_ptr().cast();
                                pass.start_step = PANEL * 4;
                            }
                            pass.y = sums.as_mut_ptr().cast();
                            pass.step = PANEL * 4;
                            pass.mode |= mode::RAW;
                            K::run(&pass, rows, false);
                        }
                        k = end;
                    }
                    for panel in panels {
                        let columns = self.columns(group, panel);
                        self.requantise(&columns, &sums[panel % KEPT], rows, pixel);
                    }
                }
                pixel += rows;
            }
        }
    }

    #[inline]
    #[target_feature(enable = "neon")]
    unsafe fn columns(&self, group: usize, panel: usize) -> Columns {
        let count = (self.og - panel * PANEL).min(PANEL);
        let mut columns = Columns {
            w: self
                .t
                .w
                .wrapping_add((group * self.panels + panel) * self.window * PANEL),
            first: group * self.og + panel * PANEL,
            count,
            start: [0; PANEL],
            multiplier: [0.0; PANEL],
        };
        if count < PANEL {
            // SAFETY: the panel's channels exist.
            unsafe {
                for i in 0..count {
                    columns.start[i] = *self.t.start.add(columns.first + i);
                    columns.multiplier[i] = *self.t.multiplier.add(columns.first + i);
                }
            }
        }
        columns
    }

    /// A pass over `len` bytes of the depth; results, rows and tiles are still to be set.
    #[inline]
    #[target_feature(enable = "neon")]
    fn pass(&self, columns: &Columns, x: *const u8, len: usize) -> Pass {
        let r = &self.t.p.requantize;
        let mut mode = self.mode;
        if len / SLOT % 2 == 1 {
            mode |= mode::SLOT;
        }
        if len % SLOT != 0 {
            mode |= mode::GROUP;
        }
        let whole = columns.count == PANEL;
        Pass {
            x,
            w: columns.w,
            pairs: len / (2 * SLOT),
            start: if whole {
                self.t.start.wrapping_add(columns.first)
            } else {
                columns.start.as_ptr()
            },
            start_step: 0,
            multiplier: if whole {
                self.t.multiplier.wrapping_add(columns.first)
            } else {
                columns.multiplier.as_ptr()
            },
            y: core::ptr::null_mut(),
            step: 0,
            mode,
            zero: r.zero,
            low: r.low,
            high: r.high,
            tiles: 1,
        }
    }

    /// One panel over whole windows.
    #[target_feature(enable = "neon")]
    unsafe fn finish<K: Kernels>(
        &self,
        columns: &Columns,
        x: *const u8,
        rows: usize,
        tiles: usize,
        pixel: usize,
    ) {
        // SAFETY: the task's pixels and channels; other results go by way of the stack.
        unsafe {
            let (t, c) = (self.t, self.t.p.conv.out_channels);
            let mut pass = self.pass(columns, x, self.window);
            pass.tiles = tiles;
            let narrow = columns.count <= PANEL / 2;
            if t.residual.is_null() && (columns.count == PANEL || columns.count == PANEL / 2) {
                pass.y = t.y.add(pixel * c + columns.first);
                pass.step = c;
                return K::run(&pass, rows, narrow);
            }
            pass.tiles = 1;
            let tile = tile_len(rows, self.window);
            for i in 0..tiles {
                pass.x = x.add(i * tile);
                let pixel = pixel + i * rows;
                if t.residual.is_null() {
                    let mut bytes = [[0u8; PANEL]; ROWS];
                    pass.y = bytes.as_mut_ptr().cast();
                    pass.step = PANEL;
                    K::run(&pass, rows, narrow);
                    for (r, bytes) in bytes[..rows].iter().enumerate() {
                        let to = t.y.add((pixel + r) * c + columns.first);
                        store(bytes, to, columns.count);
                    }
                } else {
                    let mut sums = [[0i32; PANEL]; ROWS];
                    pass.y = sums.as_mut_ptr().cast();
                    pass.step = PANEL * 4;
                    pass.mode |= mode::RAW;
                    K::run(&pass, rows, narrow);
                    self.requantise(columns, &sums, rows, pixel);
                }
            }
        }
    }

    /// Requantises, adds the residual and stores.
    #[target_feature(enable = "neon")]
    unsafe fn requantise(
        &self,
        columns: &Columns,
        sums: &[[i32; PANEL]; ROWS],
        rows: usize,
        pixel: usize,
    ) {
        // SAFETY: the task's pixels and channels.
        unsafe {
            let (t, c, n) = (self.t, self.t.p.conv.out_channels, columns.count);
            // Copies: nothing that is stored can change them.
            let (finish, sum, residual) = (self.finish, Sum::new(t), t.residual);
            let multiplier = load_floats(if n == PANEL {
                t.multiplier.add(columns.first)
            } else {
                columns.multiplier.as_ptr()
            });
            for (r, sums) in sums[..rows].iter().enumerate() {
                let at = (pixel + r) * c + columns.first;
                let sums = load_sums(sums.as_ptr());
                let mut bytes = [0u8; PANEL];
                let result = if residual.is_null() {
                    finish.apply(sums, multiplier)
                } else {
                    let residual = residual.add(at);
                    if n == PANEL {
                        let residual = vld1q_u8(residual);
                        sum.add(sums, multiplier, residual)
                    } else {
                        residual.copy_to_nonoverlapping(bytes.as_mut_ptr(), n);
                        let residual = vld1q_u8(bytes.as_ptr());
                        sum.add(sums, multiplier, residual)
                    }
                };
                if n == PANEL {
                    vst1q_u8(t.y.add(at), result);
                } else {
                    vst1q_u8(bytes.as_mut_ptr(), result);
                    store(&bytes, t.y.add(at), n);
                }
            }
        }
    }
}

/// # Safety
/// `to` has room for `n` bytes.
#[inline(always)]
unsafe fn store(bytes: &[u8; PANEL], to: *mut u8, n: usize) {
    // SAFETY: the caller's contract.
    unsafe {
        let (mut from, mut to) = (bytes.as_ptr(), to);
        let mut part = PANEL / 2;
        while part > 0 {
            if n & part != 0 {
                from.copy_to_nonoverlapping(to, part);
                (from, to) = (from.add(part), to.add(part));
            }
            part /= 2;
        }
    }
}

const _: () = assert!(GROUP * 2 == SLOT);
