//! Conversion between every pair of element types.
mod small_float;

use crate::error::{KernelError, exactly};
use cygnet_format::DType;
use half::{bf16, f16};
pub(crate) use small_float::{decode as decode_small, encode as encode_small};

const CHUNK: usize = 64;

/// True for types whose values pass through `i64` (for `u64`: its bits); the others pass through `f64`.
fn through_integer(d: DType) -> bool {
    !d.is_float()
}

macro_rules! read {
    ($t:ty, $x:expr, $y:expr, |$v:ident| $f:expr) => {
        for (y, x) in $y.iter_mut().zip($x.as_chunks().0) {
            let $v = <$t>::from_le_bytes(*x);
            *y = $f;
        }
    };
}

pub(crate) fn load_integers(d: DType, x: &[u8], y: &mut [i64]) {
    match d {
        DType::I8 | DType::I4 | DType::I2 => read!(i8, x, y, |v| v as i64),
        DType::U8 | DType::U4 | DType::U2 => read!(u8, x, y, |v| v as i64),
        DType::I16 => read!(i16, x, y, |v| v as i64),
        DType::U16 => read!(u16, x, y, |v| v as i64),
        DType::I32 => read!(i32, x, y, |v| v as i64),
        DType::U32 => read!(u32, x, y, |v| v as i64),
        DType::U64 => read!(u64, x, y, |v| v as i64),
        DType::Bool => read!(u8, x, y, |v| (v != 0) as i64),
        _ => read!(i64, x, y, |v| v),
    }
}

pub(crate) fn load_floats(d: DType, x: &[u8], y: &mut [f64]) {
    match d {
        DType::F32 => read!(f32, x, y, |v| v as f64),
        DType::F64 => read!(f64, x, y, |v| v),
        DType::F16 => read!(f16, x, y, |v| v.to_f64()),
        DType::BF16 => read!(bf16, x, y, |v| v.to_f64()),
        _ => read!(u8, x, y, |v| decode_small(d, v) as f64),
    }
}

macro_rules! write {
    ($x:expr, $y:expr, |$v:ident| $f:expr) => {
        for (y, x) in $y.as_chunks_mut().0.iter_mut().zip($x) {
            let $v = *x;
            *y = $f.to_le_bytes();
        }
    };
}

/// Low bits, two's complement.
fn narrow(d: DType, v: i64) -> u8 {
    match d {
        DType::I4 => (((v << 4) as i8) >> 4) as u8,
        DType::U4 => (v & 15) as u8,
        DType::I2 => (((v << 6) as i8) >> 6) as u8,
        _ => (v & 3) as u8,
    }
}

fn store_integers(d: DType, x: &[i64], unsigned: bool, y: &mut [u8], saturate: bool) {
    let wide = |v: i64| if unsigned { v as u64 as f64 } else { v as f64 };
    match d {
        DType::I8 | DType::U8 => write!(x, y, |v| (v as u8)),
        DType::I16 | DType::U16 => write!(x, y, |v| (v as u16)),
        DType::I32 | DType::U32 => write!(x, y, |v| (v as u32)),
        DType::I64 | DType::U64 => write!(x, y, |v| v),
        DType::Bool => write!(x, y, |v| ((v != 0) as u8)),
        DType::I4 | DType::U4 | DType::I2 | DType::U2 => write!(x, y, |v| narrow(d, v)),
        DType::F32 if unsigned => write!(x, y, |v| (v as u64 as f32)),
        DType::F32 => write!(x, y, |v| (v as f32)),
        DType::F64 => write!(x, y, |v| wide(v)),
        DType::F16 => write!(x, y, |v| f16::from_f64(wide(v))),
        DType::BF16 => write!(x, y, |v| bf16::from_f64(wide(v))),
        _ => write!(x, y, |v| encode_small(d, wide(v), saturate)),
    }
}

fn store_floats(d: DType, x: &[f64], y: &mut [u8], saturate: bool) {
    match d {
        DType::F32 => write!(x, y, |v| (v as f32)),
        DType::F64 => write!(x, y, |v| v),
        DType::F16 => write!(x, y, |v| f16::from_f64(v)),
        DType::BF16 => write!(x, y, |v| bf16::from_f64(v)),
        DType::I8 => write!(x, y, |v| (v as i8)),
        DType::U8 => write!(x, y, |v| (v as u8)),
        DType::I16 => write!(x, y, |v| (v as i16)),
        DType::U16 => write!(x, y, |v| (v as u16)),
        DType::I32 => write!(x, y, |v| (v as i32)),
        DType::U32 => write!(x, y, |v| (v as u32)),
        DType::I64 => write!(x, y, |v| (v as i64)),
        DType::U64 => write!(x, y, |v| (v as u64)),
        DType::Bool => write!(x, y, |v| ((v != 0.0) as u8)),
        DType::I4 | DType::U4 | DType::I2 | DType::U2 => write!(x, y, |v| narrow(d, v as i64)),
        _ => write!(x, y, |v| encode_small(d, v, saturate)),
    }
}

/// Converts the little-endian elements of `x` to the type `to`. Floats become integers by truncation (saturating, NaN
/// gives 0; 4-bit and 2-bit integers keep the low bits), integers wrap, booleans are `x != 0`, floats round half to even.
/// `saturate` concerns the 8-bit floats.
///
/// # Errors
/// [`KernelError::Length`] when the element counts differ.
pub fn cast(
    from: DType,
    x: &[u8],
    to: DType,
    y: &mut [u8],
    saturate: bool,
) -> Result<(), KernelError> {
    exactly(x.len() / from.size(), y.len() / to.size())?;
    exactly(x.len() % from.size() + y.len() % to.size(), 0)?;
    match (from, to) {
        _ if from == to => y.copy_from_slice(x),
        (DType::U8 | DType::Bool, DType::F32) => {
            read_write(x, y, |v: [u8; 1]| f32::from(v[0]).to_le_bytes())
        }
        (DType::I8, DType::F32) => {
            read_write(x, y, |v| f32::from(i8::from_le_bytes(v)).to_le_bytes())
        }
        (DType::I32, DType::F32) => {
            read_write(x, y, |v| (i32::from_le_bytes(v) as f32).to_le_bytes())
        }
        (DType::F32, DType::U8) => {
            read_write(x, y, |v| (f32::from_le_bytes(v) as u8).to_le_bytes())
        }
        (DType::F32, DType::I32) => {
            read_write(x, y, |v| (f32::from_le_bytes(v) as i32).to_le_bytes())
        }
        (DType::F16, DType::F32) => {
            read_write(x, y, |v| f16::from_le_bytes(v).to_f32().to_le_bytes())
        }
        (DType::F32, DType::F16) => {
            read_write(x, y, |v| f16::from_f32(f32::from_le_bytes(v)).to_le_bytes())
        }
        (DType::I32, DType::I64) => {
            read_write(x, y, |v| i64::from(i32::from_le_bytes(v)).to_le_bytes())
        }
        (DType::I64, DType::I32) => {
            read_write(x, y, |v| (i64::from_le_bytes(v) as i32).to_le_bytes())
        }
        _ => {
            let pairs = x
                .chunks(CHUNK * from.size())
                .zip(y.chunks_mut(CHUNK * to.size()));
            if through_integer(from) {
                let mut buffer = [0i64; CHUNK];
                for (x, y) in pairs {
                    load_integers(from, x, &mut buffer);
                    store_integers(to, &buffer, from == DType::U64, y, saturate);
                }
            } else {
                let mut buffer = [0f64; CHUNK];
                for (x, y) in pairs {
                    load_floats(from, x, &mut buffer);
                    store_floats(to, &buffer, y, saturate);
                }
            }
        }
    }
    Ok(())
}

fn read_write<const A: usize, const B: usize>(
    x: &[u8],
    y: &mut [u8],
    f: impl Fn([u8; A]) -> [u8; B],
) {
    for (y, x) in y.as_chunks_mut().0.iter_mut().zip(x.as_chunks().0) {
        *y = f(*x);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn one(from: DType, x: &[u8], to: DType) -> std::vec::Vec<u8> {
        let mut y = std::vec![0; x.len() / from.size() * to.size()];
        cast(from, x, to, &mut y, true).unwrap();
        y
    }

    #[test]
    fn pairs() {
        let f = |v: f32| v.to_le_bytes();
        assert_eq!(one(DType::F32, &f(300.7), DType::U8), [255]);
        assert_eq!(one(DType::F32, &f(-1.9), DType::I64), (-1i64).to_le_bytes());
        assert_eq!(one(DType::F32, &f(-9.0), DType::I4), [7]);
        assert_eq!(one(DType::F32, &f(15.0), DType::I4), [255]);
        assert_eq!(one(DType::F32, &f(-9.0), DType::U4), [7]);
        assert_eq!(one(DType::I32, &300i32.to_le_bytes(), DType::U8), [44]);
        assert_eq!(
            one(DType::U64, &u64::MAX.to_le_bytes(), DType::F32),
            f(18446744073709551615.0)
        );
        assert_eq!(one(DType::F32, &f(f32::NAN), DType::Bool), [1]);
        assert_eq!(
            one(DType::F32, &f(1.0 + 1.0 / 2048.0), DType::F16),
            f16::ONE.to_le_bytes()
        );
        assert_eq!(
            one(DType::F32, &f(2.5), DType::BF16),
            bf16::from_f32(2.5).to_le_bytes()
        );
        assert_eq!(
            one(DType::Bool, &[1, 0], DType::F64),
            [1f64.to_le_bytes(), 0f64.to_le_bytes()].concat()
        );
        assert_eq!(one(DType::I8, &[255; 130], DType::I16), [255; 260]);
    }

    #[test]
    fn lengths_are_checked() {
        assert!(cast(DType::F32, &[0; 8], DType::U8, &mut [0; 3], true).is_err());
        assert!(cast(DType::F32, &[0; 7], DType::U8, &mut [0; 1], true).is_err());
    }
}
