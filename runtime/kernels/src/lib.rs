//! Arithmetic kernels of the Cygnet runtime.
#![no_std]
