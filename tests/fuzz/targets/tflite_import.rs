//! See `cygnet_tests::hostile::tflite`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| cygnet_tests::hostile::tflite(data));
