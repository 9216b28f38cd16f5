//! The header is current, and a program in C and in C++ runs a bundle through it.

use std::path::{Path, PathBuf};
use std::process::Command;

fn package() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

#[test]
fn header_is_current() {
    let path = package().join("include/cygnet.h");
    let config = cbindgen::Config::from_file(package().join("cbindgen.toml")).unwrap();
    let mut fresh = Vec::new();
    cbindgen::generate_with_config(package(), config)
        .unwrap()
        .write(&mut fresh);
    let fresh = String::from_utf8(fresh).unwrap();
    if std::env::var_os("CYGNET_WRITE_HEADER").is_some() {
        std::fs::write(&path, &fresh).unwrap();
    }
    let stored = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(
        stored.replace("\r\n", "\n") == fresh,
        "include/cygnet.h is stale: CYGNET_WRITE_HEADER=1 cargo test -p cygnet-c --test run"
    );
}

/// The static library that cargo built beside this test, under whatever hash.
fn library() -> PathBuf {
    let deps = std::env::current_exe().unwrap();
    let deps = deps.parent().unwrap();
    let target = deps.parent().unwrap();
    [target.join("libcygnet.a"), deps.join("libcygnet.a")]
        .into_iter()
        .filter(|p| p.exists())
        .max_by_key(|p| p.metadata().and_then(|m| m.modified()).ok())
        .expect("cargo builds libcygnet.a with the test")
}

/// The numbers of a one-dimensional or other dense NumPy file as raw f32.
fn raw(name: &str, scale: Option<f32>) -> Vec<u8> {
    let bytes = std::fs::read(package().join("../../tests/data").join(name)).unwrap();
    let header = 10 + usize::from(u16::from_le_bytes([bytes[8], bytes[9]]));
    match scale {
        Some(scale) => bytes[header..]
            .iter()
            .flat_map(|&v| (f32::from(v) / scale).to_le_bytes())
            .collect(),
        None => bytes[header..].to_vec(),
    }
}

fn bundle(onnx: &[u8]) -> Vec<u8> {
    let compiled = cygnet_compiler::compile(onnx, &Default::default()).unwrap();
    let built = cygnet_compiler::bundle::build(cygnet_compiler::bundle::BundleInput {
        onnx,
        source: "digits.onnx",
        name: "digits",
        graph: &compiled.graph,
        program: &compiled.program.bytes,
        trace: Vec::new(),
        constants: &[],
        states: &[],
        options: Vec::new(),
        preprocess: None,
        postprocess: None,
        labels: None,
        vocab: None,
        extra: Vec::new(),
        golden: true,
        quantized: None,
    });
    built.unwrap().bytes
}

#[cfg(unix)]
#[test]
fn c_and_cpp_run_a_bundle() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    let model = std::fs::read(package().join("../../tests/data/digits.onnx")).unwrap();
    std::fs::write(at("digits.cygnet"), bundle(&model)).unwrap();
    std::fs::write(at("pictures"), raw("digits_input.npy", Some(255.0))).unwrap();
    std::fs::write(at("expected"), raw("digits_expected.npy", None)).unwrap();
    for (compiler, standard, language) in [("gcc", "-std=c11", "c"), ("g++", "-std=c++17", "c++")] {
        let program = at(language);
        let output = Command::new(compiler)
            .args([
                standard,
                "-Wall",
                "-Wextra",
                "-Werror",
                "-O1",
                "-D_POSIX_C_SOURCE=200809L",
            ])
            .arg(format!(
                "-DCYGNET_EXPECTED_VERSION=\"{}\"",
                env!("CARGO_PKG_VERSION")
            ))
            .arg("-I")
            .arg(package().join("include"))
            .args(["-x", language])
            .arg(package().join("tests/run.c"))
            .args(["-x", "none"])
            .arg(library())
            .args(["-lpthread", "-ldl", "-lm", "-o"])
            .arg(&program)
            .output()
            .unwrap_or_else(|e| panic!("{compiler}: {e}"));
        let text = String::from_utf8_lossy(&output.stderr);
        assert!(
            output.status.success(),
            "{compiler} refuses the header: {text}"
        );
        let output = Command::new(&program)
            .args([at("digits.cygnet"), at("pictures"), at("expected")])
            .output()
            .unwrap();
        let text = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{language}: {text}");
    }
}
