//! Views of inputs and outputs.

use crate::CYGNET_MAX_RANK;
use core::ffi::{c_char, c_void};
use cygnet_runtime::format::program::TensorInfo;
use cygnet_runtime::{DType, Shape};

/// Element type: IEEE 754 binary32.
pub const CYGNET_F32: u32 = 1;
/// Element type: IEEE 754 binary16.
pub const CYGNET_F16: u32 = 2;
/// Element type: bfloat16.
pub const CYGNET_BF16: u32 = 3;
/// Element type: IEEE 754 binary64.
pub const CYGNET_F64: u32 = 4;
/// Element type: signed 8-bit integer.
pub const CYGNET_I8: u32 = 5;
/// Element type: unsigned 8-bit integer.
pub const CYGNET_U8: u32 = 6;
/// Element type: signed 16-bit integer.
pub const CYGNET_I16: u32 = 7;
/// Element type: unsigned 16-bit integer.
pub const CYGNET_U16: u32 = 8;
/// Element type: signed 32-bit integer.
pub const CYGNET_I32: u32 = 9;
/// Element type: unsigned 32-bit integer.
pub const CYGNET_U32: u32 = 10;
/// Element type: signed 64-bit integer.
pub const CYGNET_I64: u32 = 11;
/// Element type: unsigned 64-bit integer.
pub const CYGNET_U64: u32 = 12;
/// Element type: boolean, one byte, 0 or 1.
pub const CYGNET_BOOL: u32 = 13;

/// An input or an output in its actual shape: dense, row-major, in the machine's byte order.
#[repr(C)]
#[derive(Debug)]
pub struct Tensor {
    /// The first element, in the arena. Outputs must not be written.
    pub data: *mut c_void,
    /// Bytes of all elements.
    pub bytes: usize,
    /// Element type: a `CYGNET_` constant, or for types of one byte that C has no name for the code in FORMAT.md.
    pub dtype: u32,
    /// Number of dimensions.
    pub rank: u32,
    /// The dimensions; 0 beyond the rank.
    pub dims: [usize; CYGNET_MAX_RANK],
    /// The name in UTF-8, not terminated; lives as long as the model.
    pub name: *const c_char,
    /// Bytes of the name.
    pub name_length: usize,
}

impl Tensor {
    pub(crate) fn new(
        data: *mut u8,
        bytes: usize,
        dtype: DType,
        shape: &Shape,
        info: &TensorInfo<'_>,
    ) -> Tensor {
        let mut dims = [0; CYGNET_MAX_RANK];
        for (to, &from) in dims.iter_mut().zip(shape.iter()) {
            *to = from;
        }
        Tensor {
            data: data.cast(),
            bytes,
            dtype: u32::from(dtype.code()),
            rank: shape.rank() as u32,
            dims,
            name: info.name.as_ptr().cast(),
            name_length: info.name.len(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn constants_are_the_stored_codes() {
        let named = [
            (CYGNET_F32, "f32"),
            (CYGNET_F16, "f16"),
            (CYGNET_BF16, "bf16"),
            (CYGNET_F64, "f64"),
            (CYGNET_I8, "i8"),
            (CYGNET_U8, "u8"),
            (CYGNET_I16, "i16"),
            (CYGNET_U16, "u16"),
            (CYGNET_I32, "i32"),
            (CYGNET_U32, "u32"),
            (CYGNET_I64, "i64"),
            (CYGNET_U64, "u64"),
            (CYGNET_BOOL, "bool"),
        ];
        for (code, name) in named {
            assert_eq!(
                DType::from_name(name).map(|d| u32::from(d.code())),
                Some(code),
                "{name}"
            );
        }
    }
}
