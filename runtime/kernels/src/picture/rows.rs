//! Reading a row of a picture as it is seen: turned, in RGB or grey.

use super::{Matrix, Order, Picture, Pixels, Plane};

/// Brightness of a pixel, ITU-R BT.709 weights on the values as they are.
fn gray([r, g, b]: [u8; 3]) -> u8 {
    ((u32::from(r) * 2126 + u32::from(g) * 7152 + u32::from(b) * 722) / 10_000) as u8
}

/// Factors of 65,536: brightness, red of V, green of U and of V, blue of U; and what black's brightness is.
struct Factors {
    y: i32,
    rv: i32,
    gu: i32,
    gv: i32,
    bu: i32,
    black: i32,
}

const fn factors(matrix: Matrix) -> Factors {
    match matrix {
        Matrix::Bt601Full => Factors {
            y: 65_536,
            rv: 91_881,
            gu: 22_554,
            gv: 46_802,
            bu: 116_130,
            black: 0,
        },
        Matrix::Bt601Video => Factors {
            y: 76_309,
            rv: 104_597,
            gu: 25_675,
            gv: 53_279,
            bu: 132_201,
            black: 16,
        },
        Matrix::Bt709Full => Factors {
            y: 65_536,
            rv: 103_206,
            gu: 12_276,
            gv: 30_679,
            bu: 121_609,
            black: 0,
        },
        Matrix::Bt709Video => Factors {
            y: 76_309,
            rv: 117_489,
            gu: 13_975,
            gv: 34_925,
            bu: 138_438,
            black: 16,
        },
    }
}

impl Factors {
    fn rgb(&self, y: u8, u: u8, v: u8) -> [u8; 3] {
        let y = (i32::from(y) - self.black) * self.y + (1 << 15);
        let (u, v) = (i32::from(u) - 128, i32::from(v) - 128);
        let byte = |sum: i32| (sum >> 16).clamp(0, 255) as u8;
        [
            byte(y + v * self.rv),
            byte(y - u * self.gu - v * self.gv),
            byte(y + u * self.bu),
        ]
    }
}

/// Where a line of pixels begins, and how it goes on: a row of the picture as it is seen.
struct Line {
    x: isize,
    y: isize,
    dx: isize,
    dy: isize,
}

impl Picture<'_> {
    /// The pixels of seen row `row` from seen column `first` on.
    fn line(&self, row: usize, first: usize) -> Line {
        let (w, h) = (self.width as isize, self.height as isize);
        let seen = self.size().0 as isize;
        let (row, first) = (row as isize, first as isize);
        let (at, step) = match self.turn.mirror {
            false => (first, 1),
            true => (seen - 1 - first, -1),
        };
        match self.turn.quarters % 4 {
            0 => Line {
                x: at,
                y: row,
                dx: step,
                dy: 0,
            },
            // The seen row is a column of the memory's picture, from below.
            1 => Line {
                x: row,
                y: h - 1 - at,
                dx: 0,
                dy: -step,
            },
            2 => Line {
                x: w - 1 - at,
                y: h - 1 - row,
                dx: -step,
                dy: 0,
            },
            _ => Line {
                x: w - 1 - row,
                y: at,
                dx: 0,
                dy: step,
            },
        }
    }

    /// Reads seen row `row` from column `first` on: RGB triples, or bytes of grey with `C == 1`.
    pub(super) fn row<const C: usize>(&self, row: usize, first: usize, out: &mut [u8]) {
        let line = self.line(row, first);
        let (pixels, _) = out.as_chunks_mut::<C>();
        match &self.pixels {
            Pixels::Packed {
                bytes,
                row_stride,
                order,
            } => packed::<C>(bytes, *row_stride, *order, line, pixels),
            Pixels::Yuv420 { y, u, v, matrix } => {
                let factors = factors(*matrix);
                let mut at = (line.x, line.y);
                for pixel in pixels {
                    let (x, row) = (at.0 as usize, at.1 as usize);
                    let sample = |p: &Plane<'_>, x: usize, row: usize| {
                        p.bytes[row * p.row_stride + x * p.pixel_stride]
                    };
                    let (half_x, half_row) = (x / 2, row / 2);
                    write(
                        pixel,
                        factors.rgb(
                            sample(y, x, row),
                            sample(u, half_x, half_row),
                            sample(v, half_x, half_row),
                        ),
                    );
                    at = (at.0 + line.dx, at.1 + line.dy);
                }
            }
        }
    }
}

fn write<const C: usize>(pixel: &mut [u8; C], rgb: [u8; 3]) {
    match C {
        1 => pixel[0] = gray(rgb),
        _ => pixel.copy_from_slice(&rgb),
    }
}

fn packed<const C: usize>(
    bytes: &[u8],
    row_stride: usize,
    order: Order,
    line: Line,
    pixels: &mut [[u8; C]],
) {
    let size = order.bytes();
    let start = line.y as usize * row_stride + line.x as usize * size;
    let places = order.places();
    let read = |p: &[u8]| places.map(|i| p[i]);
    // One row of memory, in its own order: what most pictures are.
    if line.dx == 1 {
        let from = &bytes[start..start + pixels.len() * size];
        match order {
            Order::Gray if C == 1 => pixels.as_flattened_mut().copy_from_slice(from),
            Order::Rgb if C == 3 => pixels.as_flattened_mut().copy_from_slice(from),
            _ => {
                for (pixel, from) in pixels.iter_mut().zip(from.chunks_exact(size)) {
                    if order == Order::Gray {
                        pixel.fill(from[0]);
                    } else {
                        write(pixel, read(from));
                    }
                }
            }
        }
        return;
    }
    let step = line.dy * row_stride as isize + line.dx * size as isize;
    let mut at = start as isize;
    for pixel in pixels {
        let from = &bytes[at as usize..at as usize + size];
        if order == Order::Gray {
            pixel.fill(from[0]);
        } else {
            write(pixel, read(from));
        }
        at += step;
    }
}
