//! Pictures in Java's memory.

use crate::failure::{Failure, input};
use crate::memory::{copied, direct};
use cygnet_sdk::{Matrix, Order, Picture, Pixels, Plane, Turn};
use jni::Env;
use jni::objects::{JByteArray, JByteBuffer, JObject};
use std::borrow::Cow;

/// Numbers before those of the planes: format, width, height, quarter turns, mirrored, matrix.
const HEAD: usize = 6;
/// Numbers of a plane: where it lies (1 direct buffer, 2 array), first byte, bytes, row stride, pixel stride.
const PLANE: usize = 5;
/// How many numbers describe a picture.
pub const NUMBERS: usize = HEAD + 3 * PLANE;
/// The format of brightness and colour differences in planes of their own.
const YUV_420_888: i32 = 16;

fn order(code: i32) -> Option<Order> {
    Some(match code {
        0 => Order::Gray,
        1 => Order::Rgb,
        2 => Order::Bgr,
        3 => Order::Rgba,
        4 => Order::Bgra,
        5 => Order::Argb,
        _ => return None,
    })
}

fn size(v: i32, what: &str) -> Result<usize, Failure> {
    usize::try_from(v).map_err(|_| input(format!("the picture's {what} is {v}, below 0")))
}

/// Borrows the planes (arrays are copied), describes the picture to `f`.
pub fn with<R>(
    env: &mut Env<'_>,
    numbers: &[i32; NUMBERS],
    planes: [&JObject<'_>; 3],
    f: impl FnOnce(&Picture<'_>) -> Result<R, Failure>,
) -> Result<R, Failure> {
    let (head, rest) = numbers.split_at(HEAD);
    let (width, height) = (size(head[1], "width")?, size(head[2], "height")?);
    let bytes = |env: &mut Env<'_>, i: usize| -> Result<Cow<'_, [u8]>, Failure> {
        let n = &rest[i * PLANE..];
        match n[0] {
            1 => {
                // SAFETY: the caller says that this is a buffer (`Picture.kt` writes the number beside the object).
                let buffer = unsafe { JByteBuffer::from_raw(env, planes[i].as_raw()) };
                // SAFETY: the buffer is an argument of the native method, which keeps its memory until it returns.
                Ok(Cow::Borrowed(unsafe { direct(env, &buffer, n[1], n[2])? }))
            }
            2 => {
                // SAFETY: the caller says that this is an array of bytes, as above.
                let array = unsafe { JByteArray::from_raw(env, planes[i].as_raw()) };
                Ok(Cow::Owned(copied(env, &array, n[1], n[2])?))
            }
            _ => Err(input("the picture has too few planes")),
        }
    };
    let stride = |i: usize, of: usize, what: &str| size(rest[i * PLANE + of], what);
    let first = bytes(env, 0)?;
    let (second, third);
    let pixels = match head[0] {
        YUV_420_888 => {
            second = bytes(env, 1)?;
            third = bytes(env, 2)?;
            let plane = |bytes, i| {
                Ok::<_, Failure>(Plane {
                    bytes,
                    row_stride: stride(i, 3, "row stride")?,
                    pixel_stride: stride(i, 4, "pixel stride")?,
                })
            };
            Pixels::Yuv420 {
                y: plane(&first, 0)?,
                u: plane(&second, 1)?,
                v: plane(&third, 2)?,
                matrix: match head[5] {
                    1 => Matrix::Bt601Video,
                    2 => Matrix::Bt709Full,
                    3 => Matrix::Bt709Video,
                    _ => Matrix::Bt601Full,
                },
            }
        }
        code => Pixels::Packed {
            bytes: &first,
            row_stride: stride(0, 3, "row stride")?,
            order: order(code).ok_or_else(|| input(format!("there is no pixel format {code}")))?,
        },
    };
    let picture = Picture::new(width, height, pixels).map_err(|e| {
        let e = cygnet_sdk::Error::from(e);
        input(format!("a picture of {width} x {height} pixels: {e}"))
    })?;
    let turn = Turn {
        quarters: head[3].rem_euclid(4) as u8,
        mirror: head[4] != 0,
    };
    f(&picture.turned(turn))
}
