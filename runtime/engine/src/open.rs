//! What bytes hold: a program, alone or in a bundle.

use crate::bundle::{Bundle, BundleError};
use crate::error::RunError;
use crate::op::check_operators;
use core::fmt;
use cygnet_format::program::layout::MAGIC;
use cygnet_format::{ParseError, Program};

/// Why a model cannot be opened.
#[derive(Debug)]
#[non_exhaustive]
pub enum OpenError {
    /// The file cannot be read.
    #[cfg(feature = "std")]
    Io(std::io::Error),
    /// The file is no bundle.
    Bundle(BundleError),
    /// The program is not valid.
    Program(ParseError),
    /// The program needs an operator that this build leaves out.
    Operator(RunError),
    /// There is not enough memory.
    #[cfg(feature = "std")]
    Memory,
}

impl fmt::Display for OpenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            #[cfg(feature = "std")]
            OpenError::Io(e) => write!(f, "cannot read the model: {e}"),
            OpenError::Bundle(e) => e.fmt(f),
            OpenError::Program(e) => write!(f, "the program is invalid: {e}"),
            OpenError::Operator(e) => e.fmt(f),
            #[cfg(feature = "std")]
            OpenError::Memory => f.write_str("there is not enough memory for the model"),
        }
    }
}

impl core::error::Error for OpenError {}

/// Validates a bundle or a bare program in memory, without a copy; the bundle is `None` for a bare program.
///
/// # Errors
/// When the bytes are neither, or the program needs an operator that this build leaves out.
pub fn open(bytes: &[u8]) -> Result<(Program<'_>, Option<Bundle<'_>>), OpenError> {
    let bundle = match bytes.starts_with(&MAGIC) {
        true => None,
        false => Some(Bundle::parse(bytes).map_err(OpenError::Bundle)?),
    };
    let program = match &bundle {
        Some(bundle) => bundle.program().map_err(OpenError::Bundle)?,
        None => bytes,
    };
    let program = Program::parse(program).map_err(OpenError::Program)?;
    check_operators(&program).map_err(OpenError::Operator)?;
    Ok((program, bundle))
}
