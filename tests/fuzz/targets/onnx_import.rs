//! No ONNX bytes make the importer panic, hang or take memory without bound.
#![no_main]

use cygnet_compiler::import;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let _ = import::onnx(data, &import::ImportOptions::default());
});
