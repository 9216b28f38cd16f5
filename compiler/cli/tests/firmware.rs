//! `cygnet package --target firmware` as its users meet it.

mod command;

use command::{DATA, cygnet, path, text};
use cygnet_compiler::bundle::Array;
use cygnet_compiler::verify::{Runner, RunnerOptions};
use std::path::Path;
use std::process::{Command, Output};

/// A bundle of the digits for microcontrollers.
fn digits(folder: &Path, more: &[&str]) -> String {
    let (model, bundle) = (format!("{DATA}/digits.onnx"), path(folder, "digits.cygnet"));
    let mut arguments = vec!["compile", &model, "-o", &bundle, "--target", "cortex-m4"];
    arguments.extend(more);
    let out = cygnet(&arguments);
    assert!(out.status.success(), "{}", text(&out.stderr));
    bundle
}

fn package(bundle: &str, output: &str, more: &[&str]) -> Output {
    let mut arguments = vec!["package", bundle, "--target", "firmware", "-o", output];
    arguments.extend(more);
    cygnet(&arguments)
}

/// What a package's tests print on this machine, when they succeed without a warning.
fn tests_of(folder: &str, arguments: &[&str]) -> String {
    let out = Command::new(env!("CARGO"))
        .args(["test", "--quiet", "--all-features"])
        .args(arguments)
        .current_dir(folder)
        .env(
            "CARGO_TARGET_DIR",
            concat!(env!("CARGO_TARGET_TMPDIR"), "/package"),
        )
        // What coverage and cross builds set is not for this machine.
        .env_remove("RUSTFLAGS")
        .output()
        .unwrap();
    let said = format!("{}{}", text(&out.stdout), text(&out.stderr));
    assert!(out.status.success(), "{said}");
    assert!(!said.contains("warning"), "{said}");
    said
}

/// Runs a package's own tests.
fn golden_examples_agree(folder: &str) {
    let said = tests_of(folder, &[]);
    assert_eq!(said.matches("1 passed").count(), 2, "{said}");
}

#[test]
fn the_interpreter_runs_what_has_no_source_form() {
    let folder = tempfile::tempdir().unwrap();
    let bundle = digits(folder.path(), &["--quantize", "int4"]);
    let output = path(folder.path(), "model");
    let out = package(&bundle, &output, &["--interpreter"]);
    assert!(out.status.success(), "{}", text(&out.stderr));
    golden_examples_agree(&output);
    // Only the operators of the program are linked.
    let script =
        std::fs::read_to_string(Path::new(&output).join("cygnet-runtime/build.rs")).unwrap();
    assert!(
        script.contains("compressed_mat_mul") && !script.contains("lstm"),
        "{script}"
    );
    let out = package(&bundle, &output, &["--interpreter", "--lang", "c"]);
    assert_eq!(out.status.code(), Some(2));
}

#[test]
fn a_package_is_a_crate_whose_golden_examples_agree() {
    let folder = tempfile::tempdir().unwrap();
    let output = path(folder.path(), "model");
    let bundle = digits(folder.path(), &[]);
    let json = path(folder.path(), "package.json");
    let out = package(&bundle, &output, &["--json", &json]);
    assert!(out.status.success(), "{}", text(&out.stderr));
    let said = text(&out.stdout);
    assert!(
        said.contains("arena") && said.contains("cargo add digits --path"),
        "{said}"
    );
    let json: serde_json::Value = serde_json::from_slice(&std::fs::read(json).unwrap()).unwrap();
    let library = std::fs::read_to_string(Path::new(&output).join("src/lib.rs")).unwrap();
    let arena = format!("pub const ARENA_BYTES: usize = {};", json["arena_bytes"]);
    assert!(library.contains(&arena), "no `{arena}`");
    assert!(library.contains("#![forbid(unsafe_code)]"));
    golden_examples_agree(&output);

    // The 8-bit model in the same folder: what differs is replaced, what is left over goes.
    let extra = Path::new(&output).join("src/weights.bin");
    let before = std::fs::metadata(&extra).unwrap().len();
    let pictures = folder.path().join("pictures");
    std::fs::create_dir(&pictures).unwrap();
    for digit in 0..10 {
        let name = format!("digit_{digit}.png");
        std::fs::copy(Path::new(DATA).join(&name), pictures.join(&name)).unwrap();
    }
    let pictures = path(folder.path(), "pictures");
    let bundle = digits(
        folder.path(),
        &["--quantize", "int8", "--calibrate", &pictures],
    );
    let out = package(&bundle, &output, &[]);
    assert!(out.status.success(), "{}", text(&out.stderr));
    assert!(std::fs::metadata(&extra).unwrap().len() < before / 2);
    golden_examples_agree(&output);

    // With activations of 16 bits.
    let bundle = digits(
        folder.path(),
        &["--quantize", "int8x16", "--calibrate", &pictures],
    );
    let out = package(&bundle, &output, &[]);
    assert!(out.status.success(), "{}", text(&out.stderr));
    let library = std::fs::read_to_string(Path::new(&output).join("src/lib.rs")).unwrap();
    assert!(library.contains("KERNELS.int16_depthwise"), "{library}");
    golden_examples_agree(&output);
}

#[test]
fn states_and_several_inputs_are_kept_apart() {
    let folder = tempfile::tempdir().unwrap();
    let (model, bundle) = (
        format!("{DATA}/stream.onnx"),
        path(folder.path(), "stream.cygnet"),
    );
    let target = ["--target", "cortex-m4", "--state", "state:next"];
    let out = cygnet(&[&["compile", &model, "-o", &bundle], &target[..]].concat());
    assert!(out.status.success(), "{}", text(&out.stderr));
    let output = path(folder.path(), "model");
    let out = package(&bundle, &output, &["--name", "stream"]);
    assert!(out.status.success(), "{}", text(&out.stderr));
    // Three frames in one session of the interpreter give what one model gives frame by frame, and a reset begins anew.
    let frames: Vec<f32> = (0..36).map(|i| (i as f32 * 0.7).sin()).collect();
    let test = format!(
        r#"use stream::{{Arena, Model}};

#[test]
fn states_live_from_run_to_run() {{
    let frames: [f32; 36] = {frames:?};
    let mut arena = Arena::new();
    let mut model = Model::new(&mut arena);
    let mut first = None;
    for frame in frames.chunks(12) {{
        model.input_frame_mut().copy_from_slice(frame);
        model.input_extra_mut().fill(0.25);
        model.run().unwrap();
        println!("features {{:?}}", model.output_features());
        println!("score {{:?}}", model.output_score());
        first.get_or_insert(*model.output_score());
    }}
    let mut model = Model::resume(&mut arena);
    model.reset();
    model.input_frame_mut().copy_from_slice(&frames[..12]);
    model.input_extra_mut().fill(0.25);
    model.run().unwrap();
    assert_eq!(first.as_ref(), Some(model.output_score()));
}}
"#
    );
    std::fs::write(Path::new(&output).join("tests/states.rs"), test).unwrap();
    let said = tests_of(&output, &["--test", "states", "--", "--nocapture"]);
    let printed = |name: &str| -> Vec<f32> {
        said.lines()
            .filter_map(|line| line.strip_prefix(name)?.trim().strip_prefix('['))
            .flat_map(|list| list.trim_end_matches(']').split(", "))
            .map(|number| number.parse().unwrap())
            .collect()
    };
    let bytes = std::fs::read(&bundle).unwrap();
    let options = RunnerOptions {
        scalar: true,
        ..RunnerOptions::default()
    };
    let mut runner = Runner::from_bytes(&bytes, &options).unwrap();
    let (mut features, mut scores) = (Vec::new(), Vec::new());
    for frame in frames.chunks(12) {
        let inputs = [
            Array::from_f32(&[1, 4, 1, 3], frame),
            Array::from_f32(&[1, 2, 1, 3], &[0.25; 6]),
        ];
        runner.set_inputs(&inputs.each_ref()).unwrap();
        runner.run().unwrap();
        features.extend(runner.output(0).unwrap().to_f32());
        scores.extend(runner.output(1).unwrap().to_f32());
    }
    assert_eq!(printed("features"), features);
    assert_eq!(printed("score"), scores);
}

#[test]
fn what_is_no_bundle_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let (nothing, output) = (path(folder.path(), "no.cygnet"), path(folder.path(), "out"));
    let out = package(&nothing, &output, &[]);
    assert_eq!(out.status.code(), Some(1));
    assert!(text(&out.stderr).contains("cannot open"));
    std::fs::write(&nothing, b"not a bundle").unwrap();
    assert_eq!(package(&nothing, &output, &[]).status.code(), Some(1));
    assert!(!Path::new(&output).exists());
}

#[test]
fn packages_do_not_overwrite_what_is_not_theirs() {
    let folder = tempfile::tempdir().unwrap();
    let bundle = digits(folder.path(), &[]);
    let own = folder.path().join("own");
    std::fs::create_dir(&own).unwrap();
    std::fs::write(own.join("main.rs"), "fn main() {}").unwrap();
    let out = package(&bundle, &path(folder.path(), "own"), &[]);
    assert_eq!(out.status.code(), Some(1));
    assert!(text(&out.stderr).contains("is not empty and no package of an earlier run"));
    assert_eq!(std::fs::read_dir(&own).unwrap().count(), 1);
}

#[test]
fn names_and_models_that_cannot_be_packaged_are_told() {
    let folder = tempfile::tempdir().unwrap();
    let bundle = digits(folder.path(), &[]);
    let output = path(folder.path(), "model");
    let out = package(&bundle, &output, &["--name", "1st-model"]);
    assert_eq!(out.status.code(), Some(2), "{}", text(&out.stderr));
    assert!(text(&out.stderr).contains("cannot be the name of a package"));
    // The same weights of 4 bits have no kernel that generated code calls.
    let bundle = digits(folder.path(), &["--quantize", "int4"]);
    let out = package(&bundle, &output, &[]);
    assert_eq!(out.status.code(), Some(1));
    let said = text(&out.stderr);
    assert!(
        said.contains("cannot become source") && said.contains("(compressed_"),
        "{said}"
    );
    assert!(!Path::new(&output).exists());
}

#[test]
fn budgets_of_packages_are_gates() {
    let folder = tempfile::tempdir().unwrap();
    let bundle = digits(folder.path(), &[]);
    let output = path(folder.path(), "model");
    for (interpreter, flag, words) in [
        (
            false,
            "--max-ram",
            ["the peak of", "bits (--quantize int8 "],
        ),
        (
            false,
            "--max-flash",
            ["the weights need", "bits (--quantize int4"],
        ),
        (true, "--max-ram", ["the peak of", "bits (--quantize int8 "]),
        (
            true,
            "--max-flash",
            ["the program needs", "bits (--quantize int4"],
        ),
    ] {
        let interpreter: &[&str] = if interpreter { &["--interpreter"] } else { &[] };
        let out = package(&bundle, &output, &[interpreter, &[flag, "4KiB"]].concat());
        assert_eq!(out.status.code(), Some(3), "{}", text(&out.stderr));
        let said = text(&out.stderr);
        assert!(said.contains("nothing was written"), "{said}");
        for word in words {
            assert!(said.contains(word), "no `{word}` in {said}");
        }
        assert!(!Path::new(&output).exists());
    }
    let enough = ["--max-ram", "64K", "--max-flash", "256K"];
    let out = package(&bundle, &output, &enough);
    assert!(out.status.success(), "{}", text(&out.stderr));
    // The size of an interpreter is not told.
    let other = path(folder.path(), "other");
    let out = package(&bundle, &other, &["--interpreter", "--cpu", "cortex-m4f"]);
    assert_eq!(out.status.code(), Some(2));
}

/// Runs a program; what it printed, when it succeeded.
fn run(program: &str, arguments: &[&str]) -> String {
    let out = Command::new(program).args(arguments).output();
    let out = out.unwrap_or_else(|e| panic!("{program}: {e}"));
    let said = format!("{}{}", text(&out.stdout), text(&out.stderr));
    assert!(out.status.success(), "{program}: {said}");
    said
}

#[test]
fn a_package_for_c_links_with_cmake_from_c_and_cpp() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| path(folder.path(), name);
    let bundle = digits(folder.path(), &[]);
    let (output, json) = (at("model"), at("package.json"));
    let more = [
        "--lang", "c", "--cpu", "host", "--name", "model", "--json", &json,
    ];
    let out = package(&bundle, &output, &more);
    assert!(out.status.success(), "{}", text(&out.stderr));
    let json: serde_json::Value = serde_json::from_slice(&std::fs::read(json).unwrap()).unwrap();
    assert_eq!(json["language"], "c");
    let library = json["libraries"][0].as_str().unwrap();
    assert!(
        Path::new(library).ends_with("src/host/libmodel.a"),
        "{library}"
    );
    let source = format!("{DATA}/../board/c");
    let build = at("build");
    let model = format!("-DMODEL={output}");
    run("cmake", &["-S", &source, "-B", &build, &model]);
    run("cmake", &["--build", &build]);
    for program in ["from_c", "from_cpp"] {
        let said = run(&format!("{build}/{program}"), &[]);
        assert!(said.contains("self-test: no error"), "{said}");
        let arena = format!("arena {} bytes", json["arena_bytes"]);
        assert!(said.contains(&arena), "no `{arena}` in {said}");
    }
    // Other build systems find theirs.
    for file in [
        "library.properties",
        "zephyr/module.yml",
        "idf_component.yml",
        "src/model.h",
    ] {
        assert!(Path::new(&output).join(file).exists(), "{file}");
    }
}
