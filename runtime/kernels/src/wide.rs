//! Element types widened, a block at a time, to the few that plain kernels compute in: a body for each of a dozen element
//! types would be most of the library, for types that models hardly use.
//!
//! Integers of up to 64 signed bits compute in `i64`: sums, differences, products and bits of the narrow type are the low
//! bits. `f16` and `bf16` compute in `f32`, one rounding an operation, as their definition here says.
use crate::cast::{load_floats, load_integers};
use crate::element::Element;
use cygnet_format::DType;
use half::{bf16, f16};

/// Elements widened at a time.
pub(crate) const BLOCK: usize = 64;

/// A type that others widen to.
pub(crate) trait Wide: Element {
    /// Widens the elements of `x`; as many as `y` has.
    fn load(from: DType, x: &[u8], y: &mut [Self]);
    /// Narrows `x`: integers keep the low bits, floats round once.
    fn store(to: DType, x: &[Self], y: &mut [u8]);
    /// The elements where they lie, when they are of this very type.
    fn view(_from: DType, _x: &[u8]) -> Option<&[Self]> {
        None
    }
}

macro_rules! store {
    ($x:expr, $y:expr, |$v:ident| $f:expr) => {
        for (y, x) in $y.as_chunks_mut().0.iter_mut().zip($x) {
            let $v = *x;
            *y = $f.to_le_bytes();
        }
    };
}

impl Wide for i64 {
    fn load(from: DType, x: &[u8], y: &mut [i64]) {
        load_integers(from, x, y);
    }
    fn store(to: DType, x: &[i64], y: &mut [u8]) {
        match to.size() {
            1 => store!(x, y, |v| (v as u8)),
            2 => store!(x, y, |v| (v as u16)),
            4 => store!(x, y, |v| (v as u32)),
            _ => store!(x, y, |v| v),
        }
    }
    fn view(from: DType, x: &[u8]) -> Option<&[i64]> {
        if from != DType::I64 || cfg!(target_endian = "big") {
            return None;
        }
        // SAFETY: any eight bytes are an integer.
        let (before, elements, after) = unsafe { x.align_to::<i64>() };
        (before.is_empty() && after.is_empty()).then_some(elements)
    }
}

impl Wide for u64 {
    fn load(_from: DType, x: &[u8], y: &mut [u64]) {
        for (y, x) in y.iter_mut().zip(x.as_chunks().0) {
            *y = u64::from_le_bytes(*x);
        }
    }
    fn store(_to: DType, x: &[u64], y: &mut [u8]) {
        store!(x, y, |v| v)
    }
}

impl Wide for f32 {
    fn load(from: DType, x: &[u8], y: &mut [f32]) {
        macro_rules! read {
            (|$v:ident| $f:expr) => {
                for (y, x) in y.iter_mut().zip(x.as_chunks().0) {
                    let $v = *x;
                    *y = $f;
                }
            };
        }
        match from {
            DType::F16 => read!(|v| f16::from_le_bytes(v).to_f32()),
            DType::BF16 => read!(|v| bf16::from_le_bytes(v).to_f32()),
            _ => read!(|v| f32::from_le_bytes(v)),
        }
    }
    fn store(to: DType, x: &[f32], y: &mut [u8]) {
        match to {
            DType::F16 => store!(x, y, |v| f16::from_f32(v)),
            DType::BF16 => store!(x, y, |v| bf16::from_f32(v)),
            _ => store!(x, y, |v| v),
        }
    }
}

/// Any number.
impl Wide for f64 {
    fn load(from: DType, x: &[u8], y: &mut [f64]) {
        if from.is_float() {
            return load_floats(from, x, y);
        }
        for (y, x) in y.chunks_mut(BLOCK).zip(x.chunks(BLOCK * from.size())) {
            let mut integers = [0i64; BLOCK];
            load_integers(from, x, &mut integers);
            for (y, v) in y.iter_mut().zip(integers) {
                *y = match from {
                    DType::U64 => v as u64 as f64,
                    _ => v as f64,
                };
            }
        }
    }
    /// Integers truncate and saturate.
    fn store(to: DType, x: &[f64], y: &mut [u8]) {
        match to {
            DType::F32 => store!(x, y, |v| (v as f32)),
            DType::F16 => store!(x, y, |v| f16::from_f64(v)),
            DType::BF16 => store!(x, y, |v| bf16::from_f64(v)),
            DType::U64 => store!(x, y, |v| (v as u64)),
            DType::F64 => store!(x, y, |v| v),
            _ => {
                let (least, greatest) = range(to);
                for (x, y) in x.chunks(BLOCK).zip(y.chunks_mut(BLOCK * to.size())) {
                    let mut integers = [0i64; BLOCK];
                    for (i, v) in integers.iter_mut().zip(x) {
                        *i = (*v as i64).clamp(least, greatest);
                    }
                    i64::store(to, &integers[..x.len()], y);
                }
            }
        }
    }
}

/// The least and the greatest value of an integer type that widens to `i64`.
pub(crate) fn range(dtype: DType) -> (i64, i64) {
    match dtype {
        DType::I8 => (i8::MIN as i64, i8::MAX as i64),
        DType::U8 => (0, u8::MAX as i64),
        DType::I16 => (i16::MIN as i64, i16::MAX as i64),
        DType::U16 => (0, u16::MAX as i64),
        DType::I32 => (i32::MIN as i64, i32::MAX as i64),
        DType::U32 => (0, u32::MAX as i64),
        _ => (i64::MIN, i64::MAX),
    }
}

/// True for the types that have arithmetic: numbers of 8 bits or more, the small floats left out.
pub fn is_number(dtype: DType) -> bool {
    use DType::*;
    matches!(
        dtype,
        F32 | F64 | F16 | BF16 | I8 | U8 | I16 | U16 | I32 | U32 | I64 | U64
    )
}

/// Evaluates `$body` with `$w` as the type in which the numbers of type `$dtype` compute; a parameter error for others.
macro_rules! computing {
    ($dtype:expr, $w:ident => $body:expr) => {
        match $dtype {
            cygnet_format::DType::F32 | cygnet_format::DType::F16 | cygnet_format::DType::BF16 => {
                type $w = f32;
                $body
            }
            cygnet_format::DType::F64 => {
                type $w = f64;
                $body
            }
            cygnet_format::DType::U64 => {
                type $w = u64;
                $body
            }
            d if $crate::wide::is_number(d) => {
                type $w = i64;
                $body
            }
            _ => Err($crate::error::KernelError::Parameter),
        }
    };
}
pub(crate) use computing;

/// The elements `at..at + y.len()` of `x`, or the one at `at` over and over when `step` is zero.
pub(crate) fn load_row<W: Wide>(dtype: DType, x: &[u8], at: usize, step: usize, y: &mut [W]) {
    let size = dtype.size();
    if step == 0 {
        W::load(dtype, &x[at * size..(at + 1) * size], &mut y[..1]);
        let v = y[0];
        y.fill(v);
    } else {
        W::load(dtype, &x[at * size..(at + y.len()) * size], y);
    }
}

/// Element `i`.
pub(crate) fn element_in<W: Wide>(dtype: DType, x: &[u8], i: usize) -> W {
    let mut v = [W::ZERO];
    load_row(dtype, x, i, 0, &mut v);
    v[0]
}

/// Element `i` in double precision.
pub fn element(dtype: DType, x: &[u8], i: usize) -> f64 {
    element_in(dtype, x, i)
}
