//! Rust types of tensor elements.

use crate::error::RunError;
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

/// An error unless the element type is a number of 8 bits or more, the small floats left out.
pub(crate) fn arithmetic(dtype: DType) -> Result<(), RunError> {
    if cygnet_kernels::is_number(dtype) {
        Ok(())
    } else {
        Err(RunError::unsupported("this element type has no arithmetic"))
    }
}
