//! x86-64 AVX2 without VNNI: VPMADDUBSW would saturate, so bytes are widened to 16 bits and multiplied in pairs.
//!
//! Inputs are read as signed. A tile is two pixels by one panel: eight accumulators of pairs, four vectors of weights.
use super::{GROUP, Requantize, Task};
use crate::conv::Conv;
use crate::gemm::PANEL;
use core::arch::x86_64::*;

/// Pixels of a tile.
const ROWS: usize = 2;
/// Bytes of the depth that are widened at a time; a multiple of 16.
const CHUNK: usize = 512;

/// Writes functions that may use the instructions.
macro_rules! with_avx2 {
    ($(#[$m:meta])* $vis:vis unsafe fn $($rest:tt)*) => {
        #[inline]
        #[target_feature(enable = "avx2,fma")]
        $(#[$m])* $vis unsafe fn $($rest)*
    };
}

/// The requantisation with its constants.
struct Finish {
    zero: __m256i,
    low: __m256,
    high: __m256,
    own: __m256,
    other: __m256,
    residual_zero: __m256i,
    residual_signed: bool,
    sum_zero: __m256i,
    sum_low: __m256,
    sum_high: __m256,
}

impl Finish {
    with_avx2! {
    unsafe fn new(r: &Requantize) -> Self {
        let bound = |b: i32, zero: i32| _mm256_set1_ps((b - zero) as f32);
        Self {
            zero: _mm256_set1_epi32(r.zero),
            low: bound(r.low, r.zero),
            high: bound(r.high, r.zero),
            own: _mm256_set1_ps(r.sum.own),
            other: _mm256_set1_ps(r.sum.other),
            residual_zero: _mm256_set1_epi32(r.sum.residual_zero),
            residual_signed: r.sum.residual_signed,
            sum_zero: _mm256_set1_epi32(r.sum.zero),
            sum_low: bound(r.sum.low, r.sum.zero),
            sum_high: bound(r.sum.high, r.sum.zero),
        }
    }
    }

    with_avx2! {
    /// Eight sums as results in 32 bits, with a residual where there is one. MAXPS gives its second operand when the
    /// first is no number; nothing is fused, as three roundings are the format's.
    unsafe fn apply(&self, sum: __m256i, multiplier: __m256, residual: Option<__m128i>) -> __m256i {
        let v = _mm256_mul_ps(_mm256_cvtepi32_ps(sum), multiplier);
        let q = _mm256_cvtps_epi32(_mm256_min_ps(_mm256_max_ps(v, self.low), self.high));
        let Some(residual) = residual else {
            return _mm256_add_epi32(q, self.zero);
        };
        let r = if self.residual_signed {
            _mm256_cvtepi8_epi32(residual)
        } else {
            _mm256_cvtepu8_epi32(residual)
        };
        let r = _mm256_cvtepi32_ps(_mm256_sub_epi32(r, self.residual_zero));
        let v = _mm256_add_ps(
            _mm256_mul_ps(_mm256_cvtepi32_ps(q), self.own),
            _mm256_mul_ps(r, self.other),
        );
        let v = _mm256_min_ps(_mm256_max_ps(v, self.sum_low), self.sum_high);
        _mm256_add_epi32(_mm256_cvtps_epi32(v), self.sum_zero)
    }
    }

    with_avx2! {
    /// Stores the first `n` of sixteen results: sums, their channel, and their place in the task.
    unsafe fn store(&self, t: &Task, sums: [__m256i; 2], channel: usize, at: usize, n: usize) {
        // SAFETY: `n` channels from `channel` on exist; whole vectors are read where all sixteen do.
        unsafe {
            let mut multiplier = [0f32; PANEL];
            let mut residual = [0u8; PANEL];
            let from = t.multiplier.add(channel);
            let from = if n == PANEL {
                from
            } else {
                multiplier.as_mut_ptr().copy_from_nonoverlapping(from, n);
                multiplier.as_ptr()
            };
            let mut q = sums;
            for (i, q) in q.iter_mut().enumerate() {
                let r = if t.residual.is_null() {
                    None
                } else if n == PANEL {
                    Some(_mm_loadl_epi64(t.residual.add(at + 8 * i).cast()))
                } else {
                    if i == 0 {
                        residual.as_mut_ptr().copy_from_nonoverlapping(t.residual.add(at), n);
                    }
                    Some(_mm_loadl_epi64(residual.as_ptr().add(8 * i).cast()))
                };
                *q = self.apply(*q, _mm256_loadu_ps(from.add(8 * i)), r);
                // Results are truncated to bytes, signed or not.
                *q = _mm256_and_si256(*q, _mm256_set1_epi32(0xff));
            }
            let words = _mm256_permute4x64_epi64::<0b11_01_10_00>(_mm256_packus_epi32(q[0], q[1]));
            let (low, high) = (_mm256_castsi256_si128(words), _mm256_extracti128_si256::<1>(words));
            let bytes = _mm_packus_epi16(low, high);
            if n == PANEL {
                _mm_storeu_si128(t.y.add(at).cast(), bytes);
            } else {
                let mut all = [0u8; PANEL];
                _mm_storeu_si128(all.as_mut_ptr().cast(), bytes);
                t.y.add(at).copy_from_nonoverlapping(all.as_ptr(), n);
            }
        }
    }
    }
}

/// First input coordinates of a pixel's window (may lie in the padding) and its image.
#[derive(Clone, Copy)]
struct Pixel {
    image: *const u8,
    z: i32,
    y: i32,
    x: i32,
}

/// Walks the output pixels of a task in order.
struct Walk<'a> {
    t: &'a Task,
    row: usize,
    col: usize,
}

impl Walk<'_> {
    fn next(&mut self) -> Pixel {
        let p = &self.t.p.conv;
        let (oh, od) = (p.output[1], p.output[0]);
        let image = p.input[0] * p.input[1] * p.input[2] * p.in_channels;
        let first = |at: usize, d: usize| (at * p.stride[d]) as i32 - p.pad_begin[d] as i32;
        let pixel = Pixel {
            image: self.t.x.wrapping_add(self.row / oh / od * image),
            z: first(self.row / oh % od, 0),
            y: first(self.row % oh, 1),
            x: first(self.col, 2),
        };
        self.col += 1;
        if self.col == p.output[2] {
            (self.col, self.row) = (0, self.row + 1);
        }
        pixel
    }
}

/// The input pixel of a tap; null in the padding.
#[inline(always)]
fn source(p: &Conv, px: &Pixel, [kz, ky, kx]: [usize; 3]) -> *const u8 {
    let z = px.z + (kz * p.dilation[0]) as i32;
    let y = px.y + (ky * p.dilation[1]) as i32;
    let x = px.x + (kx * p.dilation[2]) as i32;
    let inside = (z as u32) < p.input[0] as u32
        && (y as u32) < p.input[1] as u32
        && (x as u32) < p.input[2] as u32;
    if inside {
        let at = (z as usize * p.input[1] + y as usize) * p.input[2] + x as usize;
        px.image.wrapping_add(at * p.in_channels)
    } else {
        core::ptr::null()
    }
}

with_avx2! {
/// `n` bytes as signed values of 16 bits.
unsafe fn widen(from: *const u8, n: usize, flip: u8, to: *mut i16) {
    // SAFETY: the caller's extents.
    unsafe {
        let flips = _mm_set1_epi8(flip as i8);
        let mut i = 0;
        while i + 16 <= n {
            let v = _mm_xor_si128(_mm_loadu_si128(from.add(i).cast()), flips);
            _mm256_storeu_si256(to.add(i).cast(), _mm256_cvtepi8_epi16(v));
            i += 16;
        }
        while i < n {
            *to.add(i) = (*from.add(i) ^ flip) as i8 as i16;
            i += 1;
        }
    }
}
}

/// A tile's inputs, widened.
type Depth = [[i16; CHUNK + GROUP]; ROWS];

/// Work of one panel on one tile.
struct Tile<'a> {
    t: &'a Task,
    flip: u8,
    /// The padding's value.
    zero: i16,
    ig: usize,
    group: usize,
    px: &'a [Pixel],
}

impl Tile<'_> {
    with_avx2! {
    /// Values `from..from + n` of a kernel row's run, for each pixel; whole groups, the rest zeros.
    unsafe fn gather(&self, kz: usize, ky: usize, from: usize, n: usize, depth: &mut Depth) {
        // SAFETY: only taps inside the input are read.
        unsafe {
            let p = &self.t.p.conv;
            let joined = p.groups == 1 && p.dilation[2] == 1;
            for (px, depth) in self.px.iter().zip(depth.iter_mut()) {
                let mut at = from;
                let (left, right) = (px.x, px.x + p.kernel[2] as i32);
                if joined && left >= 0 && right <= p.input[2] as i32 {
                    // A kernel row inside the input is one run.
                    let line = source(p, px, [kz, ky, 0]);
                    if line.is_null() {
                        depth[..n].fill(self.zero);
                    } else {
                        widen(line.add(from), n, self.flip, depth.as_mut_ptr());
                    }
                    at += n;
                }
                while at < from + n {
                    let (tap, channel) = (at / self.ig, at % self.ig);
                    let len = (self.ig - channel).min(from + n - at);
                    let to = &mut depth[at - from..][..len];
                    let source = source(p, px, [kz, ky, tap]);
                    if source.is_null() {
                        to.fill(self.zero);
                    } else {
                        let source = source.add(self.group * self.ig + channel);
                        widen(source, len, self.flip, to.as_mut_ptr());
                    }
                    at += len;
                }
                depth[n..n.next_multiple_of(GROUP)].fill(0);
            }
        }
    }
    }

    with_avx2! {
    /// Sums of a panel for both pixels; a missing second one repeats what its depth holds.
    unsafe fn sums(&self, w: *const i8, depth: &mut Depth, held: &mut bool) -> [[__m256i; 2]; ROWS] {
        // SAFETY: weights lie inside the panel.
        unsafe {
            let p = &self.t.p.conv;
            let run = p.kernel[2] * self.ig;
            let whole = p.kernel[0] * p.kernel[1] == 1 && run <= CHUNK;
            let mut w = w;
            let mut acc = [[_mm256_setzero_si256(); 4]; ROWS];
            for kz in 0..p.kernel[0] {
                for ky in 0..p.kernel[1] {
                    let mut from = 0;
                    while from < run {
                        let n = (run - from).min(CHUNK);
                        // All panels read the same depth where it is one chunk.
                        if !(whole && *held) {
                            self.gather(kz, ky, from, n, depth);
                            *held = true;
                        }
                        let mut k = 0;
                        while k < n {
                            let mut a = [_mm256_setzero_si256(); ROWS];
                            for r in 0..ROWS {
                                let four = depth[r].as_ptr().add(k).cast::<i64>();
                                a[r] = _mm256_set1_epi64x(four.read_unaligned());
                            }
                            for j in 0..4 {
                                let b = _mm_loadu_si128(w.add(j * 16).cast());
                                let b = _mm256_cvtepi8_epi16(b);
                                for r in 0..ROWS {
                                    let pairs = _mm256_madd_epi16(a[r], b);
                                    acc[r][j] = _mm256_add_epi32(acc[r][j], pairs);
                                }
                            }
                            w = w.add(PANEL * GROUP);
                            k += GROUP;
                        }
                        from += n;
                    }
                }
            }
            let mut sums = [[_mm256_setzero_si256(); 2]; ROWS];
            for r in 0..ROWS {
                for i in 0..2 {
                    let pairs = _mm256_hadd_epi32(acc[r][2 * i], acc[r][2 * i + 1]);
                    sums[r][i] = _mm256_permute4x64_epi64::<0b11_01_10_00>(pairs);
                }
            }
            sums
        }
    }
    }
}

with_avx2! {
/// The first `n` of sixteen values that the sums of channels from `channel` on start from.
unsafe fn starts(t: &Task, channel: usize, n: usize) -> [__m256i; 2] {
    // SAFETY: `n` channels exist.
    unsafe {
        let mut start = [0i32; PANEL];
        start.as_mut_ptr().copy_from_nonoverlapping(t.start.add(channel), n);
        let half = |i: usize| _mm256_loadu_si256(start.as_ptr().add(8 * i).cast());
        [half(0), half(1)]
    }
}
}

/// # Safety
/// `t` passed its check; the instruction set exists.
#[target_feature(enable = "avx2,fma")]
pub(super) unsafe fn dense(t: &Task) {
    // SAFETY: offsets stay inside the extents that the check proved.
    unsafe {
        let p = &t.p.conv;
        let (ig, og) = (p.in_channels / p.groups, p.out_channels / p.groups);
        let total = (t.rows.1 - t.rows.0) * p.output[2];
        if total == 0 || og == 0 {
            return;
        }
        let flip = if t.p.signed { 0 } else { 0x80 };
        let finish = Finish::new(&t.p.requantize);
        let panels = og.div_ceil(PANEL);
        let panel_len = p.kernel[0] * p.kernel[1] * p.packed_row() * PANEL;
        let mut depth: Depth = [[0; CHUNK + GROUP]; ROWS];
        let mut walk = Walk {
            t,
            row: t.rows.0,
            col: 0,
        };
        let mut first = 0;
        while first < total {
            let rows = (total - first).min(ROWS);
            let mut px = [walk.next(); ROWS];
            if rows == 2 {
                px[1] = walk.next();
            }
            for group in 0..p.groups {
                let tile = Tile {
                    t,
                    flip,
                    zero: (t.p.x_zero ^ flip) as i8 as i16,
                    ig,
                    group,
                    px: &px[..rows],
                };
                let mut held = false;
                for panel in 0..panels {
                    let w = t.w.add((group * panels + panel) * panel_len);
                    let sums = tile.sums(w, &mut depth, &mut held);
                    let channel = group * og + panel * PANEL;
                    let n = (og - panel * PANEL).min(PANEL);
                    let start = starts(t, channel, n);
                    for (r, sums) in sums.iter().enumerate().take(rows) {
                        let sums = [
                            _mm256_add_epi32(sums[0], start[0]),
                            _mm256_add_epi32(sums[1], start[1]),
                        ];
                        let at = (first + r) * p.out_channels + channel;
                        finish.store(t, sums, channel, at, n);
                    }
                }
            }
            first += rows;
        }
    }
}

/// Taps whose addresses are held; larger kernels take the plain body.
const TAPS: usize = 64;
/// Pixels of a depthwise tile, which share the weights.
const WIDE: usize = 4;

with_avx2! {
/// The first `n` of sixteen bytes, zeros behind.
unsafe fn load(from: *const u8, n: usize) -> __m128i {
    // SAFETY: `n` bytes exist.
    unsafe {
        if n == PANEL {
            return _mm_loadu_si128(from.cast());
        }
        let mut all = [0u8; PANEL];
        all.as_mut_ptr().copy_from_nonoverlapping(from, n);
        _mm_loadu_si128(all.as_ptr().cast())
    }
}
}

with_avx2! {
/// Sums of sixteen channels of a tile of pixels, by pairs of taps: channels 0 to 3 and 8 to 11, then the others. `SIMPLE`:
/// all sixteen exist and no tap lies in the padding.
unsafe fn strip<const SIMPLE: bool>(
    t: &Task,
    from: &[[*const u8; TAPS]; WIDE],
    taps: usize,
    first: usize,
    n: usize,
) -> [[__m256i; 2]; WIDE] {
    // SAFETY: taps are null or inside the input, and `n` channels from `first` on exist.
    unsafe {
        let c = t.p.conv.out_channels;
        let flips = _mm_set1_epi8(if t.p.signed { 0 } else { 0x80u8 as i8 });
        let padding = _mm_set1_epi8(t.p.x_zero as i8);
        let mut acc = [[_mm256_setzero_si256(); 2]; WIDE];
        let mut tap = 0;
        while tap < taps {
            let w = t.w.add(tap * c + first).cast::<u8>();
            let mut both = [_mm256_setzero_si256(); 2];
            for (k, both) in both.iter_mut().enumerate().take(taps - tap) {
                let w = w.add(k * c);
                let bytes = if SIMPLE { _mm_loadu_si128(w.cast()) } else { load(w, n) };
                *both = _mm256_cvtepi8_epi16(bytes);
            }
            let low = _mm256_unpacklo_epi16(both[0], both[1]);
            let high = _mm256_unpackhi_epi16(both[0], both[1]);
            // A missing second tap meets weights of zero.
            let next = (tap + 1).min(taps - 1);
            for i in 0..WIDE {
                let mut x = [_mm256_setzero_si256(); 2];
                for (x, k) in x.iter_mut().zip([tap, next]) {
                    let from = from[i][k];
                    let v = if SIMPLE {
                        _mm_loadu_si128(from.add(first).cast())
                    } else if from.is_null() {
                        padding
                    } else {
                        load(from.add(first), n)
                    };
                    *x = _mm256_cvtepi8_epi16(_mm_xor_si128(v, flips));
                }
                let a = _mm256_madd_epi16(_mm256_unpacklo_epi16(x[0], x[1]), low);
                let b = _mm256_madd_epi16(_mm256_unpackhi_epi16(x[0], x[1]), high);
                acc[i][0] = _mm256_add_epi32(acc[i][0], a);
                acc[i][1] = _mm256_add_epi32(acc[i][1], b);
            }
            tap += 2;
        }
        acc
    }
}
}

/// # Safety
/// `t` passed its check for a depthwise convolution; the instruction set exists.
#[target_feature(enable = "avx2,fma")]
pub(super) unsafe fn depthwise(t: &Task) {
    // SAFETY: offsets stay inside the extents that the check proved; strips of fewer than sixteen channels are copied.
    unsafe {
        let p = &t.p.conv;
        let c = p.out_channels;
        let taps = p.kernel[0] * p.kernel[1] * p.kernel[2];
        if taps > TAPS {
            return super::scalar::depthwise(t);
        }
        let total = (t.rows.1 - t.rows.0) * p.output[2];
        let finish = Finish::new(&t.p.requantize);
        let mut at = [[0; 3]; TAPS];
        for (k, at) in at.iter_mut().enumerate().take(taps) {
            let (line, kernel) = (k / p.kernel[2], p.kernel[1]);
            *at = [line / kernel, line % kernel, k % p.kernel[2]];
        }
        let mut walk = Walk {
            t,
            row: t.rows.0,
            col: 0,
        };
        // Null in the padding; missing pixels repeat the last one.
        let mut from = [[core::ptr::null(); TAPS]; WIDE];
        let mut pixel = 0;
        while pixel < total {
            let wide = (total - pixel).min(WIDE);
            for i in 0..wide {
                let px = walk.next();
                for k in 0..taps {
                    from[i][k] = source(p, &px, at[k]);
                }
            }
            for i in wide..WIDE {
                from[i] = from[wide - 1];
            }
            let inside = from[..wide]
                .iter()
                .all(|f| f[..taps].iter().all(|p| !p.is_null()));
            let mut first = 0;
            while first < c {
                let n = (c - first).min(PANEL);
                let acc = if inside && n == PANEL {
                    strip::<true>(t, &from, taps, first, n)
                } else {
                    strip::<false>(t, &from, taps, first, n)
                };
                let start = starts(t, first, n);
                for i in 0..wide {
                    let [a, b] = acc[i];
                    let sums = [
                        _mm256_add_epi32(_mm256_permute2x128_si256::<0x20>(a, b), start[0]),
                        _mm256_add_epi32(_mm256_permute2x128_si256::<0x31>(a, b), start[1]),
                    ];
                    finish.store(t, sums, first, (pixel + i) * c + first, n);
                }
                first += PANEL;
            }
            pixel += wide;
        }
    }
}
