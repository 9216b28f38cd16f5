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

/// Writes what the programs read to a folder: the bundle, its pictures, the expected probabilities.
#[cfg(unix)]
fn arguments(folder: &Path) -> [PathBuf; 3] {
    let at = |name: &str| folder.join(name);
    let model = std::fs::read(package().join("../../tests/data/digits.onnx")).unwrap();
    let files = ["digits.cygnet", "pictures", "expected"].map(at);
    std::fs::write(&files[0], bundle(&model)).unwrap();
    std::fs::write(&files[1], raw("digits_input.npy", Some(255.0))).unwrap();
    std::fs::write(&files[2], raw("digits_expected.npy", None)).unwrap();
    files
}

/// Runs a command, which succeeds; gives what it printed.
#[cfg(unix)]
fn run(command: &mut Command) -> String {
    let output = command
        .output()
        .unwrap_or_else(|e| panic!("{command:?}: {e}"));
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(
        output.status.success(),
        "{command:?}: {text}{}",
        String::from_utf8_lossy(&output.stderr)
    );
    text
}

/// An installed Cygnet is found by pkg-config and by CMake, statically and as a shared library, and its C++ layer leaks nothing
/// and touches no memory that is not its own.
#[cfg(unix)]
#[test]
fn applications_find_an_installed_cygnet() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    let arguments = arguments(folder.path());
    let prefix = at("prefix");
    run(Command::new(package().join("install.sh"))
        .arg(&prefix)
        .arg(library().parent().unwrap()));
    let said = run(Command::new("pkg-config")
        .env("PKG_CONFIG_PATH", prefix.join("lib/pkgconfig"))
        .args(["--static", "--cflags", "--libs", "cygnet"]));
    // The shared library lies beside the static one.
    let flags = said.trim().replace("-lcygnet", "-l:libcygnet.a");
    let found = at("found");
    run(Command::new("g++")
        .args([
            "-std=c++17",
            "-Wall",
            "-Wextra",
            "-Werror",
            "-pedantic",
            "-g",
        ])
        .arg(package().join("tests/run.cpp"))
        .args(flags.split_whitespace())
        .arg("-o")
        .arg(&found));
    assert_eq!(run(Command::new(&found).args(&arguments)), "ok\n");
    run(Command::new("valgrind")
        .args(["-q", "--error-exitcode=9", "--leak-check=full"])
        .arg("--errors-for-leak-kinds=definite,indirect,possible")
        .arg(&found)
        .args(&arguments));
    let build = at("build");
    run(Command::new("cmake")
        .arg("-S")
        .arg(package().join("tests"))
        .arg("-B")
        .arg(&build)
        .arg(format!("-DCMAKE_PREFIX_PATH={}", prefix.display())));
    run(Command::new("cmake").arg("--build").arg(&build));
    for program in ["static", "shared"] {
        let answer = run(Command::new(build.join(program)).args(&arguments));
        assert_eq!(answer, "ok\n", "{program}");
    }
}

#[cfg(unix)]
#[test]
fn c_and_cpp_run_a_bundle() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    let arguments = arguments(folder.path());
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
        let output = Command::new(&program).args(&arguments).output().unwrap();
        let text = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{language}: {text}");
    }
}
