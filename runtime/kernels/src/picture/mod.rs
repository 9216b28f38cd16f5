//! Pictures as cameras and decoders hold them, resampled to a model's size without a copy of the whole.
//!
//! A [`Picture`] borrows its pixels. [`resample`] reads the rows it needs, turned as the device was held, converts them to
//! RGB or grey, and hands out rows of the wanted size.

mod resample;
mod rows;

pub use resample::{Region, resample, scratch};

use crate::KernelError;

/// How the bytes of a packed pixel are ordered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// One byte of brightness.
    Gray,
    /// Red, green, blue.
    Rgb,
    /// Blue, green, red.
    Bgr,
    /// Red, green, blue, opacity (not read): an Android `ARGB_8888` bitmap in memory.
    Rgba,
    /// Blue, green, red, opacity (not read): `kCVPixelFormatType_32BGRA`.
    Bgra,
    /// Opacity (not read), red, green, blue.
    Argb,
}

impl Order {
    /// Bytes of a pixel.
    pub const fn bytes(self) -> usize {
        match self {
            Order::Gray => 1,
            Order::Rgb | Order::Bgr => 3,
            Order::Rgba | Order::Bgra | Order::Argb => 4,
        }
    }

    /// Where red, green and blue lie in a pixel.
    const fn places(self) -> [usize; 3] {
        match self {
            Order::Gray => [0, 0, 0],
            Order::Rgb | Order::Rgba => [0, 1, 2],
            Order::Bgr | Order::Bgra => [2, 1, 0],
            Order::Argb => [1, 2, 3],
        }
    }
}

/// Which colours brightness and colour differences mean.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Matrix {
    /// ITU-R BT.601, all of 0..=255: JPEG, and Android's cameras.
    #[default]
    Bt601Full,
    /// ITU-R BT.601, brightness in 16..=235.
    Bt601Video,
    /// ITU-R BT.709, all of 0..=255.
    Bt709Full,
    /// ITU-R BT.709, brightness in 16..=235.
    Bt709Video,
}

/// One component of a picture with planes: sample `x` of row `y` is `bytes[y * row_stride + x * pixel_stride]`.
#[derive(Clone, Copy, Debug)]
pub struct Plane<'a> {
    /// The samples.
    pub bytes: &'a [u8],
    /// Bytes from one row to the next.
    pub row_stride: usize,
    /// Bytes from one sample to the next: 1, or 2 where two components alternate.
    pub pixel_stride: usize,
}

/// The pixels of a picture.
#[derive(Clone, Copy, Debug)]
pub enum Pixels<'a> {
    /// All components of a pixel side by side.
    Packed {
        /// The pixels.
        bytes: &'a [u8],
        /// Bytes from one row to the next.
        row_stride: usize,
        /// Order of a pixel's bytes.
        order: Order,
    },
    /// Brightness, and colour differences for every two by two pixels: `YUV_420_888`, NV12, NV21, I420.
    Yuv420 {
        /// Brightness.
        y: Plane<'a>,
        /// Difference of blue.
        u: Plane<'a>,
        /// Difference of red.
        v: Plane<'a>,
        /// What they mean.
        matrix: Matrix,
    },
}

/// How a picture has to be turned to stand upright.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Turn {
    /// Quarter turns clockwise, 0 to 3.
    pub quarters: u8,
    /// Mirrored, left to right, after turning.
    pub mirror: bool,
}

impl Turn {
    /// The turn that a clockwise rotation in degrees asks for, as Android's `ImageProxy` tells it; `None` for other than
    /// multiples of 90.
    pub fn degrees(degrees: i32) -> Option<Turn> {
        (degrees % 90 == 0).then(|| Turn {
            quarters: (degrees / 90).rem_euclid(4) as u8,
            mirror: false,
        })
    }

    /// The turn of an EXIF orientation, 1 to 8 (Exif 2.32, tag 274).
    pub fn exif(orientation: u8) -> Option<Turn> {
        let (quarters, mirror) = match orientation {
            1 => (0, false),
            2 => (0, true),
            3 => (2, false),
            4 => (2, true),
            5 => (1, true),
            6 => (1, false),
            7 => (3, true),
            8 => (3, false),
            _ => return None,
        };
        Some(Turn { quarters, mirror })
    }
}

/// A picture in somebody else's memory.
#[derive(Clone, Copy, Debug)]
pub struct Picture<'a> {
    width: usize,
    height: usize,
    pixels: Pixels<'a>,
    turn: Turn,
}

/// Largest width and height.
pub const LARGEST_SIDE: usize = 1 << 16;

fn long_enough(bytes: &[u8], rows: usize, stride: usize, row: usize) -> Result<(), KernelError> {
    let needed = (rows - 1)
        .checked_mul(stride)
        .and_then(|n| n.checked_add(row))
        .ok_or(KernelError::Overflow)?;
    match needed <= bytes.len() {
        true => Ok(()),
        false => Err(KernelError::Length),
    }
}

impl<'a> Picture<'a> {
    /// A picture of `width` by `height` pixels, as they lie in memory.
    ///
    /// # Errors
    /// [`KernelError::Length`] when the bytes do not hold the picture, [`KernelError::Parameter`] when a side is 0 or above
    /// [`LARGEST_SIDE`], or a stride is smaller than what it strides over.
    pub fn new(width: usize, height: usize, pixels: Pixels<'a>) -> Result<Self, KernelError> {
        let side = |n: usize| (1..=LARGEST_SIDE).contains(&n);
        if !side(width) || !side(height) {
            return Err(KernelError::Parameter);
        }
        match &pixels {
            Pixels::Packed {
                bytes,
                row_stride,
                order,
            } => {
                let row = width * order.bytes();
                if *row_stride < row {
                    return Err(KernelError::Parameter);
                }
                long_enough(bytes, height, *row_stride, row)?;
            }
            Pixels::Yuv420 { y, u, v, .. } => {
                let half = |n: usize| n.div_ceil(2);
                for (plane, w, h) in [
                    (y, width, height),
                    (u, half(width), half(height)),
                    (v, half(width), half(height)),
                ] {
                    if plane.pixel_stride == 0 || plane.pixel_stride > 8 {
                        return Err(KernelError::Parameter);
                    }
                    let row = (w - 1) * plane.pixel_stride + 1;
                    if plane.row_stride < row {
                        return Err(KernelError::Parameter);
                    }
                    long_enough(plane.bytes, h, plane.row_stride, row)?;
                }
            }
        }
        Ok(Picture {
            width,
            height,
            pixels,
            turn: Turn::default(),
        })
    }

    /// A picture whose rows follow each other without a gap.
    ///
    /// # Errors
    /// As [`Picture::new`].
    pub fn packed(
        width: usize,
        height: usize,
        bytes: &'a [u8],
        order: Order,
    ) -> Result<Self, KernelError> {
        Self::new(
            width,
            height,
            Pixels::Packed {
                bytes,
                row_stride: width.saturating_mul(order.bytes()),
                order,
            },
        )
    }

    /// A picture in one block of NV12: brightness, then pairs of colour differences, blue first; no gaps.
    ///
    /// # Errors
    /// As [`Picture::new`].
    pub fn nv12(
        width: usize,
        height: usize,
        bytes: &'a [u8],
        matrix: Matrix,
    ) -> Result<Self, KernelError> {
        let luma = width.checked_mul(height).ok_or(KernelError::Overflow)?;
        let (y, uv) = bytes.split_at_checked(luma).ok_or(KernelError::Length)?;
        let row_stride = width.next_multiple_of(2);
        let plane = |bytes| Plane {
            bytes,
            row_stride,
            pixel_stride: 2,
        };
        Self::new(
            width,
            height,
            Pixels::Yuv420 {
                y: Plane {
                    bytes: y,
                    row_stride: width,
                    pixel_stride: 1,
                },
                u: plane(uv),
                v: plane(uv.get(1..).ok_or(KernelError::Length)?),
                matrix,
            },
        )
    }

    /// The same picture, to be seen turned.
    pub fn turned(self, turn: Turn) -> Self {
        Picture { turn, ..self }
    }

    /// Width and height, as seen.
    pub fn size(&self) -> (usize, usize) {
        match self.turn.quarters % 2 {
            0 => (self.width, self.height),
            _ => (self.height, self.width),
        }
    }
}
