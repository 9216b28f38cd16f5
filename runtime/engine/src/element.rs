//! Rust types of tensor elements.

use cygnet_format::DType;

/// A Rust type whose values are tensor elements of some [`DType`].
///
/// # Safety
/// The type has no padding and every bit pattern is a value.
pub unsafe trait Element: Copy + Send + Sync + 'static {
    /// The element type of this Rust type.
    const DTYPE: DType;
    /// True when elements of `dtype` are read as this type. `u8` reads booleans, 8-bit floats and unsigned sub-byte
    /// types too, `i8` signed sub-byte types.
    fn reads(dtype: DType) -> bool {
        dtype == Self::DTYPE
    }
}

macro_rules! elements {
    ($($t:ty => $dtype:ident,)*) => {$(
        // SAFETY: a number (or transparent over one): no padding, every bit pattern is a value.
        unsafe impl Element for $t { const DTYPE: DType = DType::$dtype; }
    )*};
}
elements! {
    f32 => F32, f64 => F64, half::f16 => F16, half::bf16 => BF16,
    i16 => I16, u16 => U16, i32 => I32, u32 => U32, i64 => I64, u64 => U64,
}

// SAFETY: an integer.
unsafe impl Element for u8 {
    const DTYPE: DType = DType::U8;
    fn reads(dtype: DType) -> bool {
        dtype.size() == 1 && !matches!(dtype, DType::I8 | DType::I4 | DType::I2)
    }
}

// SAFETY: an integer.
unsafe impl Element for i8 {
    const DTYPE: DType = DType::I8;
    fn reads(dtype: DType) -> bool {
        matches!(dtype, DType::I8 | DType::I4 | DType::I2)
    }
}

/// Evaluates an expression with `T` standing for the Rust type of a number's element type; an error for others.
macro_rules! with_number {
    ($dtype:expr, $t:ident => $body:expr) => {{
        macro_rules! with {
            ($n:ty) => {{
                type $t = $n;
                $body
            }};
        }
        match $dtype {
            cygnet_format::DType::F32 => with!(f32),
            cygnet_format::DType::F64 => with!(f64),
            cygnet_format::DType::F16 => with!(half::f16),
            cygnet_format::DType::BF16 => with!(half::bf16),
            cygnet_format::DType::I8 => with!(i8),
            cygnet_format::DType::U8 => with!(u8),
            cygnet_format::DType::I16 => with!(i16),
            cygnet_format::DType::U16 => with!(u16),
            cygnet_format::DType::I32 => with!(i32),
            cygnet_format::DType::U32 => with!(u32),
            cygnet_format::DType::I64 => with!(i64),
            cygnet_format::DType::U64 => with!(u64),
            _ => Err($crate::RunError::unsupported(
                "this element type has no arithmetic",
            )),
        }
    }};
}
pub(crate) use with_number;
