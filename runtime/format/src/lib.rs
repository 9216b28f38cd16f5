//! The Cygnet program format.
#![no_std]
#![forbid(unsafe_code)]
