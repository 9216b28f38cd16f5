//! Resizing by a triangle filter that covers all pixels it leaves out.

use super::Picture;
use crate::KernelError;

/// A part of a picture as it is seen, in pixels from its upper left corner.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Region {
    /// First column.
    pub x: usize,
    /// First row.
    pub y: usize,
    /// Columns.
    pub width: usize,
    /// Rows.
    pub height: usize,
}

/// The pixels that one output pixel is made of, along an axis.
#[derive(Clone, Copy)]
struct Window {
    first: usize,
    count: usize,
    centre: f32,
    scale: f32,
}

impl Window {
    /// Of output `i` where `from` pixels become `to`.
    fn new(i: usize, from: usize, to: usize) -> Window {
        let ratio = from as f32 / to as f32;
        let scale = ratio.max(1.0);
        let centre = (i as f32 + 0.5) * ratio;
        let first = libm::floorf(centre - scale).clamp(0.0, (from - 1) as f32) as usize;
        let last = libm::ceilf(centre + scale).clamp(0.0, from as f32) as usize;
        Window {
            first,
            count: last.max(first + 1) - first,
            centre: centre - 0.5,
            scale,
        }
    }

    /// The weight of the window's pixel `k`, before they are made to sum up to one.
    fn weight(&self, k: usize) -> f32 {
        let x = ((self.first + k) as f32 - self.centre) / self.scale;
        (1.0 - x.abs()).max(0.0)
    }

    /// The weights, summing up to one.
    fn weights(&self, out: &mut [f32]) {
        let mut sum = 0.0;
        for (k, w) in out.iter_mut().enumerate() {
            *w = self.weight(k);
            sum += *w;
        }
        for w in out {
            *w /= sum;
        }
    }
}

/// Most pixels of a window.
fn most(from: usize, to: usize) -> usize {
    2 * (from.div_ceil(to) + 1)
}

/// Floats of a column of the result: where its window begins, how many pixels it has, and their weights.
fn column_floats(from: usize, to: usize) -> usize {
    2 + most(from, to)
}

/// Floats and bytes of scratch that [`resample`] takes for a region and a size (height, width), with 1 or 3 channels.
pub fn scratch(region: Region, size: (usize, usize), channels: usize) -> (usize, usize) {
    let (height, width) = (size.0.max(1), size.1.max(1));
    // A row of sums, the weights of a row, the window of every column; a row of pixels.
    let floats = region.width * channels
        + most(region.height, height)
        + column_floats(region.width, width) * width;
    (floats, region.width.max(width) * channels)
}

/// Resizes `region` of a picture to `size` (height, width) with 3 channels (RGB) or 1 (grey), and hands each row to `put`
/// with its index, as bytes. Rounds once, at the end; regions that have the size already are copied. Grey is made
/// before resizing. The filter is a triangle that is as wide as two pixels of the smaller picture.
///
/// # Errors
/// [`KernelError::Parameter`] when the region is empty or not inside the picture, the size is 0, or channels are neither
/// 1 nor 3; [`KernelError::Length`] when `floats` or `line` is shorter than [`scratch`] says. Nothing was handed out.
pub fn resample(
    picture: &Picture<'_>,
    region: Region,
    size: (usize, usize),
    channels: usize,
    floats: &mut [f32],
    line: &mut [u8],
    put: &mut dyn FnMut(usize, &[u8]),
) -> Result<(), KernelError> {
    let (seen_width, seen_height) = picture.size();
    let inside = |at: usize, n: usize, all: usize| n > 0 && n <= all && at <= all - n;
    if !inside(region.x, region.width, seen_width)
        || !inside(region.y, region.height, seen_height)
        || size.0 == 0
        || size.1 == 0
        || size.0.max(size.1) > super::LARGEST_SIDE
    {
        return Err(KernelError::Parameter);
    }
    let needed = scratch(region, size, channels);
    if floats.len() < needed.0 || line.len() < needed.1 {
        return Err(KernelError::Length);
    }
    match channels {
        1 => rows::<1>(picture, region, size, floats, line, put),
        3 => rows::<3>(picture, region, size, floats, line, put),
        _ => return Err(KernelError::Parameter),
    }
    Ok(())
}

fn rows<const C: usize>(
    picture: &Picture<'_>,
    region: Region,
    (height, width): (usize, usize),
    floats: &mut [f32],
    line: &mut [u8],
    put: &mut dyn FnMut(usize, &[u8]),
) {
    if (region.height, region.width) == (height, width) {
        for y in 0..height {
            picture.row::<C>(region.y + y, region.x, &mut line[..width * C]);
            put(y, &line[..width * C]);
        }
        return;
    }
    let (sums, floats) = floats.split_at_mut(region.width * C);
    let (down, columns) = floats.split_at_mut(most(region.height, height));
    // Sides are at most LARGEST_SIDE, which floats hold exactly.
    let column_floats = column_floats(region.width, width);
    for (x, column) in columns
        .chunks_exact_mut(column_floats)
        .take(width)
        .enumerate()
    {
        let window = Window::new(x, region.width, width);
        column[0] = window.first as f32;
        column[1] = window.count as f32;
        window.weights(&mut column[2..2 + window.count]);
    }
    for y in 0..height {
        let window = Window::new(y, region.height, height);
        let weights = &mut down[..window.count];
        window.weights(weights);
        sums.fill(0.0);
        for (k, &weight) in weights.iter().enumerate() {
            if weight == 0.0 {
                continue;
            }
            let row = &mut line[..region.width * C];
            picture.row::<C>(region.y + window.first + k, region.x, row);
            for (sum, &byte) in sums.iter_mut().zip(row.iter()) {
                *sum += weight * f32::from(byte);
            }
        }
        let out = &mut line[..width * C];
        let columns = columns.chunks_exact(column_floats);
        for (column, pixel) in columns.zip(out.as_chunks_mut::<C>().0) {
            let (first, count) = (column[0] as usize, column[1] as usize);
            let weights = &column[2..2 + count];
            let from = &sums[first * C..(first + count) * C];
            let mut total = [0f32; C];
            for (&weight, from) in weights.iter().zip(from.as_chunks::<C>().0) {
                for (total, &from) in total.iter_mut().zip(from) {
                    *total += weight * from;
                }
            }
            for (byte, total) in pixel.iter_mut().zip(total) {
                // Saturates; nothing is negative, so halves go up.
                *byte = (total + 0.5) as u8;
            }
        }
        put(y, out);
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Matrix, Order, Pixels, Plane, Turn};
    use super::*;
    use std::vec;
    use std::vec::Vec;

    fn all(picture: &Picture<'_>) -> Region {
        let (width, height) = picture.size();
        Region {
            x: 0,
            y: 0,
            width,
            height,
        }
    }

    fn made(
        picture: &Picture<'_>,
        region: Region,
        size: (usize, usize),
        channels: usize,
    ) -> Vec<u8> {
        let (floats, line) = scratch(region, size, channels);
        let (mut floats, mut line) = (vec![f32::NAN; floats], vec![0; line]);
        let mut out = Vec::new();
        let mut put = |y: usize, row: &[u8]| {
            assert_eq!(out.len(), y * size.1 * channels);
            out.extend_from_slice(row);
        };
        resample(
            picture,
            region,
            size,
            channels,
            &mut floats,
            &mut line,
            &mut put,
        )
        .unwrap();
        out
    }

    /// A picture of 2 rows of 3: 1 2 3 / 4 5 6.
    #[test]
    fn orientations_stand_upright() {
        let bytes = [1, 2, 3, 4, 5, 6];
        let picture = Picture::packed(3, 2, &bytes, Order::Gray).unwrap();
        let seen: [(&[u8], _); 8] = [
            (&[1, 2, 3, 4, 5, 6], (3, 2)),
            (&[3, 2, 1, 6, 5, 4], (3, 2)),
            (&[6, 5, 4, 3, 2, 1], (3, 2)),
            (&[4, 5, 6, 1, 2, 3], (3, 2)),
            (&[1, 4, 2, 5, 3, 6], (2, 3)),
            (&[4, 1, 5, 2, 6, 3], (2, 3)),
            (&[6, 3, 5, 2, 4, 1], (2, 3)),
            (&[3, 6, 2, 5, 1, 4], (2, 3)),
        ];
        for (orientation, (want, size)) in (1..).zip(seen) {
            let turned = picture.turned(Turn::exif(orientation).unwrap());
            assert_eq!(turned.size(), size, "{orientation}");
            let got = made(&turned, all(&turned), (size.1, size.0), 1);
            assert_eq!(got, want, "orientation {orientation}");
        }
        assert_eq!(Turn::degrees(-90), Turn::exif(8));
        assert_eq!((Turn::degrees(45), Turn::exif(0)), (None, None));
    }

    #[test]
    fn orders_become_red_green_blue() {
        let cases: [(&[u8], Order); 5] = [
            (&[10, 20, 30], Order::Rgb),
            (&[30, 20, 10], Order::Bgr),
            (&[10, 20, 30, 9], Order::Rgba),
            (&[30, 20, 10, 9], Order::Bgra),
            (&[9, 10, 20, 30], Order::Argb),
        ];
        for (bytes, order) in cases {
            let picture = Picture::packed(1, 1, bytes, order).unwrap();
            assert_eq!(
                made(&picture, all(&picture), (1, 1), 3),
                [10, 20, 30],
                "{order:?}"
            );
            // (2126 * 10 + 7152 * 20 + 722 * 30) / 10000
            assert_eq!(made(&picture, all(&picture), (1, 1), 1), [18]);
        }
    }

    #[test]
    fn brightness_and_differences_become_colours() {
        // ITU-R BT.601: red is (76, 85, 255) in full range, (81, 90, 240) in video range.
        for (matrix, yuv) in [
            (Matrix::Bt601Full, [76, 85, 255]),
            (Matrix::Bt601Video, [81, 90, 240]),
            (Matrix::Bt709Full, [54, 99, 255]),
            (Matrix::Bt709Video, [63, 102, 240]),
        ] {
            let [y, u, v] = yuv;
            let bytes = [y, y, y, y, y, y, u, v, u, v];
            let picture = Picture::nv12(3, 2, &bytes, matrix).unwrap();
            for pixel in made(&picture, all(&picture), (2, 3), 3).chunks(3) {
                let near = |a: u8, b: u8| a.abs_diff(b) <= 3;
                assert!(
                    near(pixel[0], 255) && near(pixel[1], 0) && near(pixel[2], 0),
                    "{matrix:?}: {pixel:?}"
                );
            }
        }
        // Planes with gaps: only the samples are read.
        let (y, uv) = ([128u8; 8], [128u8, 7, 128, 7]);
        let plane = |bytes, row_stride, pixel_stride| Plane {
            bytes,
            row_stride,
            pixel_stride,
        };
        let picture = Picture::new(
            3,
            2,
            Pixels::Yuv420 {
                y: plane(&y, 5, 1),
                u: plane(&uv, 4, 2),
                v: plane(&uv, 4, 2),
                matrix: Matrix::Bt601Full,
            },
        )
        .unwrap();
        assert_eq!(made(&picture, all(&picture), (2, 3), 3), [128; 18]);
    }

    #[test]
    fn smaller_pictures_are_means_larger_ones_ramps() {
        let bytes: Vec<u8> = (0..64).collect();
        let picture = Picture::packed(8, 8, &bytes, Order::Gray).unwrap();
        // A linear picture stays linear away from its borders.
        let half = made(&picture, all(&picture), (4, 4), 1);
        assert_eq!(half[5], 23);
        assert_eq!(half[6], 25);
        let twice = made(&picture, all(&picture), (8, 16), 1);
        assert_eq!(twice[..6], [0, 0, 1, 1, 2, 2]);
        let part = Region {
            x: 2,
            y: 1,
            width: 3,
            height: 2,
        };
        assert_eq!(made(&picture, part, (2, 3), 1), [10, 11, 12, 18, 19, 20]);
        // Extremes of scale: one pixel, and one pixel to many.
        assert_eq!(made(&picture, all(&picture), (1, 1), 1).len(), 1);
        let one = Picture::packed(1, 1, &[7], Order::Gray).unwrap();
        assert_eq!(made(&one, all(&one), (3, 5), 3), [7; 45]);
    }

    #[test]
    fn pictures_that_lie_about_their_size_are_refused() {
        let bytes = [0u8; 12];
        let is = |r: Result<Picture<'_>, KernelError>| r.err();
        let length = Some(KernelError::Length);
        let parameter = Some(KernelError::Parameter);
        assert_eq!(is(Picture::packed(2, 2, &bytes, Order::Rgb)), None);
        assert_eq!(is(Picture::packed(2, 2, &bytes, Order::Rgba)), length);
        assert_eq!(is(Picture::packed(0, 2, &bytes, Order::Rgb)), parameter);
        assert_eq!(
            is(Picture::packed(usize::MAX, 2, &bytes, Order::Rgb)),
            parameter
        );
        let narrow = Pixels::Packed {
            bytes: &bytes,
            row_stride: 5,
            order: Order::Rgb,
        };
        assert_eq!(is(Picture::new(2, 2, narrow)), parameter);
        let far = Pixels::Packed {
            bytes: &bytes,
            row_stride: usize::MAX,
            order: Order::Rgb,
        };
        assert_eq!(is(Picture::new(2, 3, far)), Some(KernelError::Overflow));
        assert_eq!(
            is(Picture::nv12(3, 2, &bytes[..9], Matrix::default())),
            length
        );
        assert_eq!(
            is(Picture::nv12(2, 2, &bytes[..4], Matrix::default())),
            length
        );
        let picture = Picture::packed(2, 2, &bytes, Order::Rgb).unwrap();
        let region = Region {
            x: 1,
            y: 0,
            width: 2,
            height: 1,
        };
        let mut none = |_: usize, _: &[u8]| panic!("nothing is handed out");
        let mut call = |region, size, channels, floats: &mut [f32]| {
            let line = &mut [0; 64];
            resample(&picture, region, size, channels, floats, line, &mut none)
        };
        let floats = &mut [0.0; 64];
        assert_eq!(call(region, (1, 1), 3, floats), Err(KernelError::Parameter));
        let whole = all(&picture);
        assert_eq!(call(whole, (0, 1), 3, floats), Err(KernelError::Parameter));
        assert_eq!(call(whole, (1, 1), 2, floats), Err(KernelError::Parameter));
        assert_eq!(call(whole, (4, 4), 3, &mut []), Err(KernelError::Length));
    }
}
