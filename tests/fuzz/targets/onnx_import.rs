//! See `cygnet_tests::hostile::onnx`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| cygnet_tests::hostile::onnx(data));
