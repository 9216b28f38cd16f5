//! Convolution with Arm Advanced SIMD: the windows of six pixels become segments of the matrix product's table.
use super::{BLOCK, BLOCK_INPUT, Conv, Epilogue, Task, ZERO_LEN, ZEROS};
use crate::gemm::PANEL;
use crate::gemm::neon::{Block, ROWS, SEGMENTS, Segment, next_rows, panel};
use crate::isa::Neon;

/// An output pixel.
#[derive(Clone, Copy)]
struct Place {
    image: usize,
    z: usize,
    y: usize,
    x: usize,
}

impl Place {
    /// The place `n` pixels on; `n` at most a row.
    #[inline(always)]
    fn advance(&mut self, n: usize, size: &[usize; 3]) {
        self.x += n;
        while self.x >= size[2] {
            self.x -= size[2];
            self.y += 1;
            if self.y == size[1] {
                self.y = 0;
                self.z += 1;
            }
            if self.z == size[0] {
                self.z = 0;
                self.image += 1;
            }
        }
    }
}

/// # Safety
/// As the portable body.
#[inline(always)]
pub(super) unsafe fn body(t: &Task) {
    // SAFETY: offsets stay inside the extents that `check` proved.
    unsafe {
        let p = &t.p;
        let (ig, og) = (p.in_channels / p.groups, p.out_channels / p.groups);
        let taps = p.kernel[0] * p.kernel[1] * p.kernel[2];
        // A window of many taps does not fit the table.
        let most = taps * ig.div_ceil(ZERO_LEN);
        if most > SEGMENTS {
            return super::windows::<Neon, false>(t);
        }
        let total = (t.rows.1 - t.rows.0) * p.output[2];
        if total == 0 || og == 0 {
            return;
        }
        let (lo, hi, rest) = p.activation.split();
        let per_pixel = (p.stride[1] * p.stride[2] * ig).max(1);
        let limit = (BLOCK_INPUT / per_pixel).clamp(BLOCK / 2, BLOCK);
        let panels = og.div_ceil(PANEL);
        let panel_stride = taps * ig * PANEL;
        let (oh, od) = (p.output[1], p.output[0]);
        let mut block = Block::new();
        for group in 0..p.groups {
            let e = Epilogue {
                t,
                panels,
                panel_stride,
                og,
                group,
                lo,
                hi,
                rest,
            };
            let mut place = Place {
                image: t.rows.0 / oh / od,
                z: t.rows.0 / oh % od,
                y: t.rows.0 % oh,
                x: 0,
            };
            let x = t.x.add(group * ig);
            let mut start = 0;
            while start < total {
                block.clear();
                let end = (start + limit).min(total);
                let mut pixel = start;
                while pixel < end && block.has_room(most) {
                    let rows = next_rows(end - pixel);
                    let first = block.segments();
                    if !inside(p, x, place, rows, &mut block) {
                        anywhere(p, x, place, rows, &mut block);
                    }
                    block.end_tile(first, rows);
                    place.advance(rows, &p.output);
                    pixel += rows;
                }
                for i in 0..panels {
                    let w = t.w.add((group * panels + i) * panel_stride);
                    let s = e.store(start, pixel - start, i, 1);
                    panel(&block, w, &s, t.finish, rest);
                }
                start = pixel;
            }
        }
    }
}

/// The segments of pixels in one row whose windows lie inside the input; false, and nothing added, for others.
#[inline(always)]
unsafe fn inside(p: &Conv, x: *const f32, at: Place, rows: usize, block: &mut Block) -> bool {
    // SAFETY: the windows lie inside the input.
    unsafe {
        let c = p.in_channels;
        let first = [at.z, at.y, at.x];
        let mut corner = [0; 3];
        for d in 0..3 {
            let last = if d == 2 {
                first[d] + rows - 1
            } else {
                first[d]
            };
            let reach = last * p.stride[d] + (p.kernel[d] - 1) * p.dilation[d];
            if first[d] * p.stride[d] < p.pad_begin[d] || reach - p.pad_begin[d] >= p.input[d] {
                return false;
            }
            corner[d] = first[d] * p.stride[d] - p.pad_begin[d];
        }
        if at.x + rows > p.output[2] {
            return false;
        }
        // Taps and channels of a kernel row are one run of memory where no other group lies between.
        let joined = p.groups == 1 && (p.dilation[2] == 1 || p.kernel[2] == 1);
        let ig = c / p.groups;
        let (count, len) = if joined {
            (1, p.kernel[2] * ig)
        } else {
            (p.kernel[2], ig)
        };
        let step = p.stride[2] * c;
        for kz in 0..p.kernel[0] {
            let z = at.image * p.input[0] + corner[0] + kz * p.dilation[0];
            for ky in 0..p.kernel[1] {
                let y = z * p.input[1] + corner[1] + ky * p.dilation[1];
                let line = x.add((y * p.input[2] + corner[2]) * c);
                for kx in 0..count {
                    let from = line.add(kx * p.dilation[2] * c);
                    let mut a = [from; ROWS];
                    for r in 1..ROWS {
                        a[r] = from.wrapping_add(r * step);
                    }
                    for r in rows..ROWS {
                        a[r] = from;
                    }
                    block.push(Segment { a, len, skip: 0 });
                }
            }
        }
        true
    }
}

/// The segments of any pixels; taps in the padding read zeros, those that all pixels have there are left out.
#[inline(never)]
unsafe fn anywhere(p: &Conv, x: *const f32, at: Place, rows: usize, block: &mut Block) {
    // SAFETY: pointers are formed only for taps inside the input.
    unsafe {
        let c = p.in_channels;
        let ig = c / p.groups;
        let mut places = [at; ROWS];
        for r in 1..ROWS {
            places[r] = places[r - 1];
            if r < rows {
                places[r].advance(1, &p.output);
            }
        }
        let mut skip = 0;
        for kz in 0..p.kernel[0] {
            for ky in 0..p.kernel[1] {
                let mut lines = [core::ptr::null::<f32>(); ROWS];
                for r in 0..ROWS {
                    let o = &places[r];
                    let z = (o.z * p.stride[0] + kz * p.dilation[0]).wrapping_sub(p.pad_begin[0]);
                    let y = (o.y * p.stride[1] + ky * p.dilation[1]).wrapping_sub(p.pad_begin[1]);
                    if z < p.input[0] && y < p.input[1] {
                        let line = (o.image * p.input[0] + z) * p.input[1] + y;
                        lines[r] = x.add(line * p.input[2] * c);
                    }
                }
                for kx in 0..p.kernel[2] {
                    let mut a = [core::ptr::null::<f32>(); ROWS];
                    let (mut padded, mut all) = (false, true);
                    for r in 0..ROWS {
                        let ix = (places[r].x * p.stride[2] + kx * p.dilation[2])
                            .wrapping_sub(p.pad_begin[2]);
                        if !lines[r].is_null() && ix < p.input[2] {
                            a[r] = lines[r].add(ix * c);
                            all = false;
                        } else {
                            padded = true;
                        }
                    }
                    if all {
                        skip += ig * PANEL * 4;
                        continue;
                    }
                    let mut ch = 0;
                    while ch < ig {
                        let len = if padded { (ig - ch).min(ZERO_LEN) } else { ig };
                        let part = a.map(|a| {
                            if a.is_null() {
                                ZEROS.as_ptr()
                            } else {
                                a.add(ch)
                            }
                        });
                        block.push(Segment { a: part, len, skip });
                        skip = 0;
                        ch += len;
                    }
                }
            }
        }
    }
}
