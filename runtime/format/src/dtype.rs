//! Element types.

use core::fmt;

macro_rules! dtypes {
    ($($(#[$m:meta])* $code:literal $name:ident $text:literal $size:literal;)*) => {
        /// Element type of a tensor. Codes are append-only: they are stored in programs.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        #[repr(u8)]
        pub enum DType { $($(#[$m])* $name = $code,)* }

        impl DType {
            /// Every element type, in code order.
            pub const ALL: &'static [DType] = &[$(DType::$name,)*];

            /// Bytes of one stored element. Sub-byte types are stored one element a byte.
            pub const fn size(self) -> usize { match self { $(DType::$name => $size,)* } }

            /// The stable stored code.
            pub const fn code(self) -> u8 { self as u8 }

            /// Element type of a stored code.
            pub const fn from_code(code: u8) -> Option<DType> { match code { $($code => Some(DType::$name),)* _ => None } }

            /// Short name as used on the command line and in dumps, such as `f32`.
            pub const fn name(self) -> &'static str { match self { $(DType::$name => $text,)* } }

            /// Element type of a short name.
            pub fn from_name(name: &str) -> Option<DType> { match name { $($text => Some(DType::$name),)* _ => None } }
        }
    };
}

dtypes! {
    /// IEEE 754 binary32.
    1 F32 "f32" 4;
    /// IEEE 754 binary16.
    2 F16 "f16" 2;
    /// bfloat16.
    3 BF16 "bf16" 2;
    /// IEEE 754 binary64.
    4 F64 "f64" 8;
    /// Signed 8-bit integer.
    5 I8 "i8" 1;
    /// Unsigned 8-bit integer.
    6 U8 "u8" 1;
    /// Signed 16-bit integer.
    7 I16 "i16" 2;
    /// Unsigned 16-bit integer.
    8 U16 "u16" 2;
    /// Signed 32-bit integer.
    9 I32 "i32" 4;
    /// Unsigned 32-bit integer.
    10 U32 "u32" 4;
    /// Signed 64-bit integer.
    11 I64 "i64" 8;
    /// Unsigned 64-bit integer.
    12 U64 "u64" 8;
    /// Boolean, one byte, 0 or 1.
    13 Bool "bool" 1;
    /// 8-bit float E4M3FN (no infinities).
    14 F8E4M3FN "f8e4m3fn" 1;
    /// 8-bit float E4M3FNUZ (no infinities, no negative zero).
    15 F8E4M3FNUZ "f8e4m3fnuz" 1;
    /// 8-bit float E5M2.
    16 F8E5M2 "f8e5m2" 1;
    /// 8-bit float E5M2FNUZ.
    17 F8E5M2FNUZ "f8e5m2fnuz" 1;
    /// 8-bit exponent-only float E8M0.
    18 F8E8M0 "f8e8m0" 1;
    /// Signed 4-bit integer, one a byte (sign-extended).
    19 I4 "i4" 1;
    /// Unsigned 4-bit integer, one a byte.
    20 U4 "u4" 1;
    /// 4-bit float E2M1, one a byte in the low nibble.
    21 F4E2M1 "f4e2m1" 1;
    /// Signed 2-bit integer, one a byte (sign-extended).
    22 I2 "i2" 1;
    /// Unsigned 2-bit integer, one a byte.
    23 U2 "u2" 1;
}

impl DType {
    /// True for every floating-point type.
    pub const fn is_float(self) -> bool {
        matches!(self, DType::F32 | DType::F16 | DType::BF16 | DType::F64) || self.is_small_float()
    }

    /// True for the 8-bit and 4-bit floating-point types.
    pub const fn is_small_float(self) -> bool {
        matches!(
            self,
            DType::F8E4M3FN
                | DType::F8E4M3FNUZ
                | DType::F8E5M2
                | DType::F8E5M2FNUZ
                | DType::F8E8M0
                | DType::F4E2M1
        )
    }

    /// True for integers of any width; false for booleans.
    pub const fn is_integer(self) -> bool {
        !self.is_float() && !matches!(self, DType::Bool)
    }
}

impl fmt::Display for DType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
