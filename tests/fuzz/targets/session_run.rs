//! See `cygnet_tests::hostile::session`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| cygnet_tests::hostile::session(data));
