//! The one error of the SDK.

use cygnet_kernels::KernelError;
use cygnet_runtime::{OpenError, RunError, RunErrorKind, SelfTestError};
use std::fmt;

/// What kind of thing went wrong: what an application can act on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ErrorKind {
    /// The model cannot be opened: no such file, not a bundle, damaged, or made for another runtime.
    Model,
    /// What was given does not fit the model: shape, element type, pixel format, rate, name.
    Input,
    /// The bundle does not say how to do this: compile it with `--pipeline`.
    Pipeline,
    /// The run failed.
    Run,
    /// The run was cancelled.
    Cancelled,
    /// A golden example came out differently on this machine.
    SelfTest,
    /// Another thread uses the session.
    Busy,
    /// The model or the session is closed.
    Closed,
    /// There is not enough memory.
    Memory,
}

impl ErrorKind {
    /// A stable number.
    pub const fn code(self) -> u32 {
        match self {
            ErrorKind::Model => 1,
            ErrorKind::Input => 2,
            ErrorKind::Pipeline => 3,
            ErrorKind::Run => 4,
            ErrorKind::Cancelled => 5,
            ErrorKind::SelfTest => 6,
            ErrorKind::Busy => 7,
            ErrorKind::Closed => 8,
            ErrorKind::Memory => 9,
        }
    }
}

/// What went wrong, and in words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Error {
    kind: ErrorKind,
    text: String,
}

impl Error {
    /// An error in these words.
    pub fn new(kind: ErrorKind, text: impl Into<String>) -> Self {
        Error {
            kind,
            text: text.into(),
        }
    }

    pub(crate) fn input(text: impl Into<String>) -> Self {
        Self::new(ErrorKind::Input, text)
    }

    /// What kind of thing went wrong.
    pub fn kind(&self) -> ErrorKind {
        self.kind
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl std::error::Error for Error {}

impl From<OpenError> for Error {
    fn from(e: OpenError) -> Self {
        let kind = match &e {
            OpenError::Memory => ErrorKind::Memory,
            _ => ErrorKind::Model,
        };
        Error::new(kind, e.to_string())
    }
}

impl From<RunError> for Error {
    fn from(e: RunError) -> Self {
        let kind = match e.kind {
            RunErrorKind::Cancelled => ErrorKind::Cancelled,
            RunErrorKind::ArenaSize => ErrorKind::Memory,
            RunErrorKind::Index
            | RunErrorKind::Unbound
            | RunErrorKind::Rank
            | RunErrorKind::Range
            | RunErrorKind::Mismatch
            | RunErrorKind::Type => ErrorKind::Input,
            _ => ErrorKind::Run,
        };
        Error::new(kind, e.to_string())
    }
}

impl From<KernelError> for Error {
    fn from(e: KernelError) -> Self {
        Error::input(match e {
            KernelError::Length => {
                "the bytes are fewer than the picture's size and strides ask for"
            }
            KernelError::Parameter => {
                "a side of the picture is 0 or above 65,536, or a stride is smaller than a row"
            }
            e => e.text(),
        })
    }
}

impl From<SelfTestError> for Error {
    fn from(e: SelfTestError) -> Self {
        let kind = match &e {
            SelfTestError::NoExamples => ErrorKind::Pipeline,
            SelfTestError::Run { error, .. } => Error::from(*error).kind,
            _ => ErrorKind::SelfTest,
        };
        Error::new(kind, e.to_string())
    }
}
