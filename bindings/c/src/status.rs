//! Status codes, and what they say.

use core::ffi::{c_char, c_int};
use core::fmt::{self, Write};
use cygnet_runtime::{
    BundleError, OpenError, ParseError, ParseErrorKind, RunError, RunErrorKind, SelfTestError,
};

/// Result of a call: `CYGNET_OK`, or what went wrong. Codes are stable. From 100 on they are those of the bundle reader
/// (100 + its code), from 200 on of the program's validation, from 300 on of sessions and runs.
pub type Status = c_int;

/// The call succeeded.
pub const CYGNET_OK: Status = 0;
/// A pointer that must not be NULL is NULL.
pub const CYGNET_NULL: Status = 1;
/// The path is not UTF-8.
pub const CYGNET_PATH: Status = 2;
/// The file cannot be read.
pub const CYGNET_IO: Status = 3;
/// There is not enough memory.
pub const CYGNET_MEMORY: Status = 4;
/// The model has no golden examples: a self-test would prove nothing.
pub const CYGNET_NO_EXAMPLES: Status = 5;
/// A golden example does not fit the program.
pub const CYGNET_DAMAGED_EXAMPLE: Status = 6;
/// An output differs from the golden example's.
pub const CYGNET_DIFFERS: Status = 7;

const BUNDLE: Status = 100;
const PROGRAM: Status = 200;
const RUN: Status = 300;

/// What went wrong, with all that is known. Texts have no floats and no system messages: their formatting is larger than
/// this whole interface.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Failure {
    Plain(Status),
    /// A file, with the system's error number.
    #[cfg(feature = "std")]
    Io(i32),
    Bundle(BundleError),
    Program(ParseError),
    Run(RunError),
    SelfTest(SelfTestError),
}

impl From<RunError> for Failure {
    fn from(e: RunError) -> Self {
        Failure::Run(e)
    }
}

impl From<OpenError> for Failure {
    fn from(e: OpenError) -> Self {
        match e {
            #[cfg(feature = "std")]
            OpenError::Io(e) => Failure::Io(e.raw_os_error().unwrap_or(0)),
            OpenError::Bundle(e) => Failure::Bundle(e),
            OpenError::Program(e) => Failure::Program(e),
            OpenError::Operator(e) => Failure::Run(e),
            _ => Failure::Plain(CYGNET_MEMORY),
        }
    }
}

impl From<SelfTestError> for Failure {
    fn from(e: SelfTestError) -> Self {
        Failure::SelfTest(e)
    }
}

impl Failure {
    fn status(&self) -> Status {
        match self {
            Failure::Plain(status) => *status,
            #[cfg(feature = "std")]
            Failure::Io(_) => CYGNET_IO,
            Failure::Bundle(e) => BUNDLE + Status::from(e.code()),
            Failure::Program(e) => PROGRAM + Status::from(e.kind.code()),
            Failure::Run(e) | Failure::SelfTest(SelfTestError::Run { error: e, .. }) => {
                RUN + Status::from(e.kind.code())
            }
            Failure::SelfTest(SelfTestError::NoExamples) => CYGNET_NO_EXAMPLES,
            Failure::SelfTest(SelfTestError::Differs { .. }) => CYGNET_DIFFERS,
            Failure::SelfTest(_) => CYGNET_DAMAGED_EXAMPLE,
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let status = |f: &mut fmt::Formatter<'_>| write_status(self.status(), f);
        match self {
            #[cfg(feature = "std")]
            Failure::Io(number) => {
                status(f)?;
                write!(f, " (system error {number})")
            }
            Failure::Program(e) => e.fmt(f),
            Failure::Run(e) => e.fmt(f),
            Failure::SelfTest(SelfTestError::Malformed { example }) => {
                status(f)?;
                write!(f, " (example {example})")
            }
            Failure::SelfTest(SelfTestError::Run { example, error }) => {
                write!(f, "golden example {example}: ")?;
                error.fmt(f)
            }
            Failure::SelfTest(SelfTestError::Differs {
                example,
                output,
                element,
                ..
            }) => {
                status(f)?;
                write!(
                    f,
                    " (example {example}, output {output}, element {element})"
                )
            }
            _ => status(f),
        }
    }
}

fn write_status(status: Status, f: &mut dyn Write) -> fmt::Result {
    let code = |base: Status| u16::try_from(status - base).unwrap_or(0);
    f.write_str(match status {
        CYGNET_OK => "success",
        CYGNET_NULL => "a pointer that must not be NULL is NULL",
        CYGNET_PATH => "the path is not UTF-8",
        CYGNET_IO => "the file cannot be read",
        CYGNET_MEMORY => "there is not enough memory",
        CYGNET_NO_EXAMPLES => "the model has no golden examples",
        CYGNET_DAMAGED_EXAMPLE => "a golden example does not fit the program",
        CYGNET_DIFFERS => "an output differs from the golden example's",
        BUNDLE..PROGRAM => match BundleError::from_code(code(BUNDLE)) {
            Some(e) => e.text(),
            None => "unknown status",
        },
        PROGRAM..RUN => {
            ParseErrorKind::from_code(code(PROGRAM)).map_or("unknown status", |e| e.text())
        }
        _ => RunErrorKind::from_code(code(RUN)).map_or("unknown status", |e| e.text()),
    })
}

/// The status of a result; where threads have one, a failure becomes their last.
pub(crate) fn report(result: Result<(), Failure>) -> Status {
    match result {
        Ok(()) => CYGNET_OK,
        Err(failure) => {
            let status = failure.status();
            #[cfg(feature = "std")]
            crate::heap::remember(failure);
            status
        }
    }
}

/// Text that is cut at the end of a buffer, and its whole length.
struct Cut<'a> {
    buffer: &'a mut [u8],
    length: usize,
}

impl Write for Cut<'_> {
    fn write_str(&mut self, s: &str) -> fmt::Result {
        for &byte in s.as_bytes() {
            if let Some(to) = self.buffer.get_mut(self.length) {
                *to = byte;
            }
            self.length += 1;
        }
        Ok(())
    }
}

/// Writes what `put` says to `text`, with a final NUL, cut where the buffer ends; returns the whole length.
///
/// # Safety
/// `text` is NULL or valid for writes of `capacity` bytes.
pub(crate) unsafe fn write_text(
    text: *mut c_char,
    capacity: usize,
    put: &mut dyn FnMut(&mut dyn Write) -> fmt::Result,
) -> usize {
    let room = if text.is_null() { 0 } else { capacity };
    let buffer = if room == 0 {
        &mut [][..]
    } else {
        // SAFETY: valid for `capacity` bytes, by the contract; bytes are written before they are read.
        unsafe { core::slice::from_raw_parts_mut(text.cast::<u8>(), room) }
    };
    let (end, body) = match buffer.split_last_mut() {
        Some((end, body)) => (Some(end), body),
        None => (None, &mut [][..]),
    };
    let mut cut = Cut {
        buffer: body,
        length: 0,
    };
    let _ = put(&mut cut);
    let length = cut.length;
    match cut.buffer.get_mut(length) {
        Some(nul) => *nul = 0,
        None => {
            if let Some(end) = end {
                *end = 0;
            }
        }
    }
    length
}

/// The version of this library, such as `0.1.0`.
#[unsafe(no_mangle)]
pub extern "C" fn cygnet_version() -> *const c_char {
    const TEXT: &core::ffi::CStr = match core::ffi::CStr::from_bytes_with_nul(
        concat!(env!("CARGO_PKG_VERSION"), "\0").as_bytes(),
    ) {
        Ok(text) => text,
        Err(_) => c"",
    };
    TEXT.as_ptr()
}

/// Puts a status into words: writes them to `text` with a final NUL, cut to `capacity` bytes, and returns their whole
/// length without the NUL. With NULL for `text` it only returns the length.
///
/// # Safety
/// `text` is NULL or valid for writes of `capacity` bytes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cygnet_status_text(
    status: Status,
    text: *mut c_char,
    capacity: usize,
) -> usize {
    // SAFETY: the same contract.
    unsafe { write_text(text, capacity, &mut |f| write_status(status, f)) }
}
