//! The Cygnet program format: element types, the operator table, the binary layout and its validation.
//!
//! Everything here is plain data over borrowed bytes: no heap, no unsafe code. `FORMAT.md` in this crate is the
//! specification of the bytes.
#![no_std]
#![forbid(unsafe_code)]

#[cfg(any(feature = "alloc", test))]
extern crate alloc;

pub mod attr;
pub mod dim;
pub mod dtype;
pub mod expr;
pub mod golden;
pub mod op;
pub mod pipeline;
pub mod program;
#[cfg(any(feature = "alloc", test))]
pub mod write;

pub use attr::{Attr, List, Words};
pub use dim::{Axes, BlockId, Dim, Dims, MAX_RANK};
pub use dtype::DType;
pub use expr::ExprOp;
pub use op::{Op, OpCode};
pub use program::{ParseError, ParseErrorKind, Program};
