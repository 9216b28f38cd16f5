//! Why a session refused or a run stopped.

use core::fmt;
use cygnet_kernels::KernelError;

macro_rules! kinds {
    ($($code:literal $name:ident $text:literal,)*) => {
        /// What went wrong. Codes are stable.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        #[repr(u16)]
        #[non_exhaustive]
        #[allow(missing_docs)]
        pub enum RunErrorKind { $($name = $code,)* }

        impl RunErrorKind {
            /// The stable numeric code.
            pub const fn code(self) -> u16 { self as u16 }
            /// What went wrong, in words.
            pub const fn text(self) -> &'static str { match self { $(RunErrorKind::$name => $text,)* } }
            /// The kind of a stable numeric code.
            pub const fn from_code(code: u16) -> Option<Self> { match code { $($code => Some(RunErrorKind::$name),)* _ => None } }
        }
    };
}

kinds! {
    1 ArenaSize "the arena is smaller than the program states",
    2 ArenaAlignment "the arena is not aligned to 64 bytes",
    3 ConstantAlignment "the program's bytes are not aligned to 16 bytes in memory",
    4 Index "there is no input, output, state or operand with this index",
    5 Unbound "a dimension has no value: set the shapes of the inputs before running",
    6 Rank "a shape has another number of dimensions than the program's",
    7 Range "a dimension lies outside its bounds",
    8 Mismatch "a dimension differs from the program's or from another input's",
    9 Bound "a tensor exceeds the memory planned for it",
    10 Type "an element type does not fit the operator",
    11 Shape "shapes do not fit the operator",
    12 Attribute "an attribute is out of its range",
    13 Unsupported "the operator does not support this case",
    14 Alias "an operand was taken twice",
    15 Value "a value in the data is out of its range",
    16 Overflow "a size does not fit the address space",
    17 StepLimit "the run exceeded its step limit",
    18 Malformed "the program is malformed",
    19 Kernel "a kernel refused its arguments",
    20 Misaligned "bytes are not aligned for their element type",
    21 LeftOut "this build of the runtime leaves out an operator that the program needs",
    22 Cancelled "the run was cancelled",
}

/// An error of a session or of a run: what, in which step, and detail in words.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RunError {
    /// What went wrong.
    pub kind: RunErrorKind,
    /// Index in the program's step table; `u32::MAX` when not in a step.
    pub step: u32,
    /// Detail; may be empty.
    pub detail: &'static str,
}

impl RunError {
    /// An error of this kind.
    pub const fn new(kind: RunErrorKind, detail: &'static str) -> Self {
        RunError {
            kind,
            step: u32::MAX,
            detail,
        }
    }
    /// The operator does not support this case.
    pub const fn unsupported(detail: &'static str) -> Self {
        Self::new(RunErrorKind::Unsupported, detail)
    }
    /// Shapes do not fit the operator.
    pub const fn shape(detail: &'static str) -> Self {
        Self::new(RunErrorKind::Shape, detail)
    }
    /// An element type does not fit the operator.
    pub const fn dtype(detail: &'static str) -> Self {
        Self::new(RunErrorKind::Type, detail)
    }
    /// An attribute is out of its range.
    pub const fn attribute(detail: &'static str) -> Self {
        Self::new(RunErrorKind::Attribute, detail)
    }
    /// A value in the data is out of its range.
    pub const fn value(detail: &'static str) -> Self {
        Self::new(RunErrorKind::Value, detail)
    }
    /// A size does not fit the address space.
    pub const fn overflow() -> Self {
        Self::new(RunErrorKind::Overflow, "")
    }
    /// The same error in step `step`, unless it names a step already.
    pub(crate) const fn at(self, step: u32) -> Self {
        if self.step == u32::MAX {
            RunError { step, ..self }
        } else {
            self
        }
    }
}

impl From<RunErrorKind> for RunError {
    fn from(kind: RunErrorKind) -> Self {
        RunError::new(kind, "")
    }
}

impl From<KernelError> for RunError {
    fn from(e: KernelError) -> Self {
        let detail = match e {
            KernelError::Length => "a buffer does not have the length its shape asks for",
            KernelError::Parameter => "a kernel parameter is out of range",
            KernelError::Overflow => "a buffer size does not fit the address space",
            KernelError::Index => return RunError::value("an index lies outside its axis"),
            KernelError::DivisionByZero => {
                return RunError::value("an integer was divided by zero");
            }
            _ => "",
        };
        RunError::new(RunErrorKind::Kernel, detail)
    }
}

impl fmt::Display for RunError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.kind.text())?;
        if !self.detail.is_empty() {
            write!(f, ": {}", self.detail)?;
        }
        if self.step != u32::MAX {
            write!(f, " (step {})", self.step)?;
        }
        write!(f, " (code {})", self.kind.code())
    }
}

impl core::error::Error for RunError {}
