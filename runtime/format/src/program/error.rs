//! Why bytes are not a program.

use core::fmt;

macro_rules! kinds {
    ($($code:literal $name:ident $text:literal,)*) => {
        /// What is wrong. Codes are stable.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        #[repr(u16)]
        #[non_exhaustive]
        #[allow(missing_docs)]
        pub enum ParseErrorKind { $($name = $code,)* }

        impl ParseErrorKind {
            /// The stable numeric code.
            pub const fn code(self) -> u16 { self as u16 }
            /// What is wrong, in words.
            pub const fn text(self) -> &'static str { match self { $(ParseErrorKind::$name => $text,)* } }
            /// The kind of a stable numeric code.
            pub const fn from_code(code: u16) -> Option<Self> { match code { $($code => Some(ParseErrorKind::$name),)* _ => None } }
        }
    };
}

kinds! {
    1 Truncated "the file is shorter than it says",
    2 Magic "this is not a Cygnet program",
    3 Version "the program was written for another version of the format; compile the model again",
    4 Header "the header is malformed",
    5 Section "a section lies outside the file, overlaps another, or has a size that is no multiple of its records",
    6 Text "a string is outside the string section or not UTF-8",
    7 Symbol "a symbol is malformed",
    8 Expression "an expression is malformed or too deep",
    9 TensorType "a tensor has an unknown element type",
    10 TensorRank "a tensor has more than eight dimensions",
    11 TensorDim "a tensor's dimension refers to no expression",
    12 TensorSize "a tensor's shape does not fit its bytes",
    13 TensorPlace "a tensor lies outside its memory or is not 64-byte aligned",
    14 Id "an id refers to no tensor",
    15 Block "a block is malformed, or bodies are nested too deeply or recursively",
    16 Opcode "a step has an unknown operator; compile the model again or update the runtime",
    17 Attributes "a step's attributes are malformed",
    18 Operands "a step has too few or too many operands for its operator",
    19 Overlap "an output of a step overlaps another operand",
    20 ConstantWrite "a step writes to a constant",
    21 Body "the body of a control-flow step does not fit the step",
    22 Io "an input or output of the program is malformed",
    23 State "a state is malformed",
    24 Order "records do not follow each other without gaps",
}

/// Why [`crate::Program::parse`] refused, and at which record (symbol, expression, tensor, step … as the kind says).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ParseError {
    /// What is wrong.
    pub kind: ParseErrorKind,
    /// Index of the record at fault.
    pub index: u32,
}

impl ParseError {
    pub(crate) const fn new(kind: ParseErrorKind, index: usize) -> Self {
        ParseError {
            kind,
            index: if index > u32::MAX as usize {
                u32::MAX
            } else {
                index as u32
            },
        }
    }
}

impl fmt::Display for ParseError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} (record {}, code {})",
            self.kind.text(),
            self.index,
            self.kind.code()
        )
    }
}

impl core::error::Error for ParseError {}
