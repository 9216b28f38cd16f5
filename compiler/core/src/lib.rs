//! The Cygnet compiler.
#![forbid(unsafe_code)]
