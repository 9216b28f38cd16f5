//! The Cygnet runtime.
#![no_std]
