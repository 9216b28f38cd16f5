//! The command line as its users meet it: outputs, exit codes, files.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

const DATA: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/data");

fn cygnet(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_cygnet"))
        .args(arguments)
        .output()
        .expect("the command starts")
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// Runs, expects success, gives stdout.
fn good(arguments: &[&str]) -> String {
    let out = cygnet(arguments);
    assert!(out.status.success(), "{arguments:?}: {}", text(&out.stderr));
    text(&out.stdout)
}

/// Runs, expects this exit code and one message, gives it.
fn bad(code: i32, arguments: &[&str]) -> String {
    let out = cygnet(arguments);
    let message = text(&out.stderr);
    assert_eq!(out.status.code(), Some(code), "{arguments:?}: {message}");
    assert!(!message.contains("panicked"), "{message}");
    message
}

fn data(name: &str) -> String {
    format!("{DATA}/{name}")
}

fn path(folder: &Path, name: &str) -> String {
    folder.join(name).to_string_lossy().into_owned()
}

/// A folder with the digits bundle in it.
fn compiled() -> (tempfile::TempDir, String) {
    let folder = tempfile::tempdir().unwrap();
    let bundle = path(folder.path(), "digits.cygnet");
    good(&["compile", &data("digits.onnx"), "-o", &bundle]);
    (folder, bundle)
}

fn json(file: &str) -> serde_json::Value {
    serde_json::from_slice(&std::fs::read(file).unwrap()).unwrap()
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let mut list: Vec<_> = std::fs::read_dir(folder)
        .unwrap()
        .map(|e| e.unwrap().path())
        .collect();
    list.sort();
    list
}

#[test]
fn the_tour_needs_no_files() {
    let folder = tempfile::tempdir().unwrap();
    let tour = path(folder.path(), "tour");
    let out = good(&["demo", "--output", &tour]);
    assert!(out.contains("teacher") && out.contains("int8"), "{out}");
    let figures = json(&format!("{tour}/build/digits.json"));
    let [teacher, .., bundle] = &figures.as_array().unwrap()[..] else {
        panic!("{figures}");
    };
    let of = |m: &serde_json::Value, key: &str| m[key].as_f64().unwrap();
    assert!(of(bundle, "accuracy") > 0.95, "{bundle}");
    let smaller = of(teacher, "program_bytes") / of(bundle, "program_bytes");
    assert!(smaller >= 20.0, "{smaller} times smaller than the teacher");
    let (bundle, picture) = (
        format!("{tour}/build/digits.cygnet"),
        format!("{tour}/digit.png"),
    );
    let best = good(&["run", &bundle, "--input", &picture, "--top", "1"]);
    assert!(best.contains('7'), "{best}");
    good(&[
        "verify",
        &format!("{tour}/runs/quantized/model.onnx"),
        &bundle,
    ]);
    assert!(good(&["inspect", &bundle]).contains("arena"));
    let page = std::fs::read_to_string(format!("{tour}/build/digits.html")).unwrap();
    for word in ["How the teacher learnt", "What it gets wrong", "<svg"] {
        assert!(page.contains(word), "no {word} in the page");
    }
    let curve = std::fs::read_to_string(format!("{tour}/runs/model/loss.svg")).unwrap();
    assert!(curve.starts_with("<svg xmlns="), "{curve}");
    // Its own tests pass.
    let tested = good(&["test", "--project", &tour, "--only", "functional"]);
    assert!(
        tested.contains("pass  functional: digit.png (7; 7 has 0.9"),
        "{tested}"
    );
    // What is there is not made again, and what its owner changed stays.
    let again = good(&["demo", "--output", &tour]);
    assert!(again.contains("int8"), "{again}");
    let operators = compiled();
    assert_eq!(
        good(&["inspect", &operators.1, "--operators"]),
        "reshape transpose mat_mul conv depthwise_conv softmax\n"
    );
}

#[test]
fn every_digit_is_read() {
    let (_folder, bundle) = compiled();
    for digit in 0..10 {
        let report = good(&[
            "run",
            &bundle,
            "--input",
            &data(&format!("digit_{digit}.png")),
            "--json",
            "-",
        ]);
        let report: serde_json::Value = serde_json::from_str(&report).unwrap();
        assert_eq!(report["outputs"][0]["top"][0]["index"], digit);
        assert_eq!(report["outputs"][0]["name"], "probabilities");
    }
}

#[test]
fn same_input_same_bytes() {
    let (folder, bundle) = compiled();
    let again = path(folder.path(), "again.cygnet");
    good(&["compile", &data("digits.onnx"), "-o", &again]);
    assert!(std::fs::read(&bundle).unwrap() == std::fs::read(&again).unwrap());
    assert_eq!(files(folder.path()).len(), 2);
}

#[test]
fn outputs_become_arrays_and_arrays_inputs() {
    let (folder, bundle) = compiled();
    let results = path(folder.path(), "results");
    good(&[
        "run",
        &bundle,
        "--input",
        &format!("image={}", data("digit_3.png")),
        "--output",
        &results,
    ]);
    let bytes = std::fs::read(format!("{results}/probabilities.npy")).unwrap();
    assert!(bytes.starts_with(b"\x93NUMPY"));
    let last = bytes.len() - 40;
    let values: Vec<f32> = bytes[last..]
        .as_chunks::<4>()
        .0
        .iter()
        .map(|c| f32::from_le_bytes(*c))
        .collect();
    assert!(values[3] > 0.5 && (values.iter().sum::<f32>() - 1.0).abs() < 1e-5);
    // The output has ten elements, the input 784.
    let message = bad(
        1,
        &[
            "run",
            &bundle,
            "--input",
            &format!("{results}/probabilities.npy"),
        ],
    );
    assert!(message.contains("[1,1,28,28]"), "{message}");
}

#[test]
fn machine_readable_results_have_their_keys() {
    let (folder, bundle) = compiled();
    let file = path(folder.path(), "out.json");
    good(&[
        "bench",
        &bundle,
        "--runs",
        "3",
        "--profile",
        "--json",
        &file,
    ]);
    let bench = json(&file);
    for key in [
        "median_ms",
        "min_ms",
        "p99_ms",
        "load_ms",
        "arena_bytes",
        "peak_rss_bytes",
        "isa",
        "threads",
    ] {
        assert!(!bench[key].is_null(), "bench lacks {key}");
    }
    assert!(bench["profile"].as_array().unwrap().len() > 3);
    good(&["inspect", &bundle, "--json", &file]);
    let inspect = json(&file);
    assert_eq!(inspect["inputs"][0]["name"], "image");
    assert_eq!(inspect["memory"]["arena_bytes"], bench["arena_bytes"]);
    assert_eq!(inspect["provenance"]["source"], "digits.onnx");
    good(&["verify", &data("digits.onnx"), &bundle, "--json", &file]);
    let verify = json(&file);
    assert_eq!(verify["ok"], true);
    assert!(verify["layers"].as_array().unwrap().len() > 1);
}

#[test]
fn verify_tells_models_apart() {
    let (folder, bundle) = compiled();
    // The same model with one weight changed: the largest run of bytes is the weights.
    let mut model = std::fs::read(data("digits.onnx")).unwrap();
    let middle = model.len() / 2;
    for at in (middle..middle + 400).step_by(4) {
        model[at + 2] ^= 0x55;
    }
    let other = path(folder.path(), "other.onnx");
    std::fs::write(&other, model).unwrap();
    let message = bad(1, &["verify", &other, &bundle]);
    assert!(message.contains("diverges"), "{message}");
}

#[test]
fn scalar_code_gives_the_same_class() {
    let (_folder, bundle) = compiled();
    let out = good(&[
        "run",
        &bundle,
        "-i",
        &data("digit_9.png"),
        "--isa",
        "scalar",
        "--json",
        "-",
    ]);
    let report: serde_json::Value = serde_json::from_str(&out).unwrap();
    assert_eq!(report["isa"], "scalar");
    assert_eq!(report["outputs"][0]["top"][0]["index"], 9);
    assert!(bad(2, &["run", &bundle, "-i", "x", "--isa", "abacus"]).contains("abacus"));
}

/// Less RAM for arithmetic done twice, and the same answer bit by bit.
#[test]
fn layers_run_in_bands_where_asked() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| path(folder.path(), name);
    let pictures = at("pictures");
    std::fs::create_dir(&pictures).unwrap();
    for digit in 0..10 {
        let name = format!("digit_{digit}.png");
        std::fs::copy(data(&name), format!("{pictures}/{name}")).unwrap();
    }
    let model = data("mnist.onnx");
    let compile = |bundle: &str, more: &[&str]| {
        let first = ["compile", &model, "-o", bundle, "--target", "cortex-m4"];
        let int8 = ["--quantize", "int8", "--calibrate", &pictures];
        [&first[..], &int8[..], more]
            .concat()
            .into_iter()
            .map(str::to_owned)
            .collect::<Vec<_>>()
    };
    let run =
        |arguments: &[String]| good(&arguments.iter().map(String::as_str).collect::<Vec<_>>());
    let (whole, banded, report) = (at("whole.cygnet"), at("banded.cygnet"), at("report.json"));
    run(&compile(&whole, &["--json", &report]));
    let arena = json(&report)["memory"]["arena_bytes"].as_u64().unwrap();
    let budget = (arena * 7 / 10).to_string();
    let told = run(&compile(
        &banded,
        &["--max-ram", &budget, "--fit", "--json", &report],
    ));
    assert!(
        told.contains("--fit: arena") && told.contains("extra multiply-adds"),
        "{told}"
    );
    let fitted = json(&report);
    let least = fitted["memory"]["arena_bytes"].as_u64().unwrap();
    assert!(least <= arena * 7 / 10, "{least} of {arena}");
    assert_eq!(
        fitted["fit"]["arena_bytes"].as_u64(),
        Some(least),
        "{}",
        fitted["fit"]
    );
    let answer = |bundle: &str| {
        let picture = data("digit_7.png");
        let told = good(&["run", bundle, "--input", &picture, "--json", "-"]);
        let told: serde_json::Value = serde_json::from_str(&told).unwrap();
        told["outputs"].clone()
    };
    assert_eq!(answer(&whole), answer(&banded));

    // What no bands reach, and what makes no sense.
    let arguments = compile(&banded, &["--max-ram", "1K", "--fit"]);
    let message = bad(3, &arguments.iter().map(String::as_str).collect::<Vec<_>>());
    assert!(message.contains("peak"), "{message}");
    bad(2, &["compile", &model, "-o", &banded, "--fit"]);
}

#[test]
fn budgets_are_gates() {
    let folder = tempfile::tempdir().unwrap();
    let bundle = path(folder.path(), "digits.cygnet");
    let message = bad(
        3,
        &[
            "compile",
            &data("digits.onnx"),
            "-o",
            &bundle,
            "--max-ram",
            "1K",
        ],
    );
    assert!(
        message.contains("peak") && message.contains("digits.onnx"),
        "{message}"
    );
    let message = bad(
        3,
        &[
            "compile",
            &data("digits.onnx"),
            "-o",
            &bundle,
            "--max-flash",
            "1K",
        ],
    );
    assert!(
        message.contains("flash") && message.contains("weights of 8 bits"),
        "{message}"
    );
    let message = bad(
        2,
        &[
            "compile",
            &data("digits.onnx"),
            "-o",
            &bundle,
            "--resources",
        ],
    );
    assert!(message.contains("--target"), "{message}");
    assert!(files(folder.path()).is_empty());
    good(&[
        "compile",
        &data("digits.onnx"),
        "-o",
        &bundle,
        "--max-ram",
        "1M",
        "--max-flash",
        "1M",
    ]);
}

#[test]
fn wrong_files_are_named_and_nothing_is_written() {
    let folder = tempfile::tempdir().unwrap();
    let bundle = path(folder.path(), "out.cygnet");
    for model in [
        data("absent.onnx"),
        data("digit_0.png"),
        data("digits_expected.npy"),
    ] {
        let message = bad(1, &["compile", &model, "-o", &bundle]);
        assert!(message.contains(&model), "{message}");
    }
    let mut cut = std::fs::read(data("digits.onnx")).unwrap();
    cut.truncate(cut.len() / 2);
    let half = path(folder.path(), "half.onnx");
    std::fs::write(&half, cut).unwrap();
    assert!(bad(1, &["compile", &half, "-o", &bundle]).contains("half.onnx"));
    assert_eq!(files(folder.path()), [PathBuf::from(&half)]);
    assert!(bad(1, &["run", &half, "-i", "1"]).contains("half.onnx"));
    assert!(bad(1, &["inspect", &data("digit_0.png")]).contains("digit_0.png"));
}

#[test]
fn damaged_bundles_are_refused() {
    let (folder, bundle) = compiled();
    let whole = std::fs::read(&bundle).unwrap();
    let broken = path(folder.path(), "broken.cygnet");
    for end in [0, 10, 100, whole.len() / 2, whole.len() - 1] {
        std::fs::write(&broken, &whole[..end]).unwrap();
        for command in ["inspect", "bench"] {
            assert!(bad(1, &[command, &broken]).contains("broken.cygnet"));
        }
    }
}

/// Protobuf: a length-delimited field.
fn field(number: u8, content: &[u8]) -> Vec<u8> {
    let mut out = vec![number << 3 | 2];
    let mut len = content.len();
    while len >= 128 {
        out.push(len as u8 | 128);
        len >>= 7;
    }
    out.push(len as u8);
    out.extend_from_slice(content);
    out
}

fn number(number: u8, value: u8) -> Vec<u8> {
    vec![number << 3, value]
}

/// An ONNX value: f32 with these dimensions, names for text, lengths for numbers.
fn value(name: &str, dims: &[&str]) -> Vec<u8> {
    let dims: Vec<u8> = dims
        .iter()
        .flat_map(|d| {
            let dim = match d.parse::<u8>() {
                Ok(v) => number(1, v),
                Err(_) => field(2, d.as_bytes()),
            };
            field(1, &dim)
        })
        .collect();
    let tensor = [number(1, 1), field(2, &dims)].concat();
    [field(1, name.as_bytes()), field(2, &field(1, &tensor))].concat()
}

/// A model of operators from `x` to `y`, one after the other.
fn model(operators: &[(&str, &str)], dims: &[&str]) -> Vec<u8> {
    let mut graph = Vec::new();
    let mut from = "x".to_owned();
    for (i, (name, operator)) in operators.iter().enumerate() {
        let to = if i + 1 == operators.len() {
            "y".to_owned()
        } else {
            format!("t{i}")
        };
        let node = [
            field(1, from.as_bytes()),
            field(2, to.as_bytes()),
            field(3, name.as_bytes()),
            field(4, operator.as_bytes()),
        ]
        .concat();
        graph.extend(field(1, &node));
        from = to;
    }
    graph.extend(field(2, b"g"));
    graph.extend(field(11, &value("x", dims)));
    graph.extend(field(12, &value("y", dims)));
    [number(1, 8), field(7, &graph), field(8, &number(2, 17))].concat()
}

#[test]
fn all_unknown_operators_are_named_together() {
    let folder = tempfile::tempdir().unwrap();
    let file = path(folder.path(), "odd.onnx");
    let bytes = model(
        &[
            ("first", "Frobnicate"),
            ("fine", "Relu"),
            ("second", "Quuxify"),
        ],
        &["1", "4"],
    );
    std::fs::write(&file, bytes).unwrap();
    let message = bad(
        1,
        &["compile", &file, "-o", &path(folder.path(), "o.cygnet")],
    );
    for part in ["odd.onnx", "first", "Frobnicate", "second", "Quuxify"] {
        assert!(message.contains(part), "{message}");
    }
    assert_eq!(files(folder.path()).len(), 1);
}

#[test]
fn free_dimensions_need_bounds_and_keep_them() {
    let folder = tempfile::tempdir().unwrap();
    let file = path(folder.path(), "free.onnx");
    let bundle = path(folder.path(), "free.cygnet");
    std::fs::write(&file, model(&[("act", "Relu")], &["1", "width"])).unwrap();
    let message = bad(1, &["compile", &file, "-o", &bundle]);
    assert!(
        message.contains("--dim") && message.contains("width"),
        "{message}"
    );
    good(&["compile", &file, "-o", &bundle, "--dim", "width=2..6"]);
    assert!(good(&["inspect", &bundle]).contains("2..6"));
    let out = good(&["run", &bundle, "--input", "x=-1,2,-3", "--json", "-"]);
    let report: serde_json::Value = serde_json::from_str(&out).unwrap();
    assert_eq!(report["outputs"][0]["shape"], serde_json::json!([1, 3]));
    assert_eq!(
        report["outputs"][0]["values"],
        serde_json::json!([0.0, 2.0, 0.0])
    );
    let message = bad(1, &["run", &bundle, "--input", "x=1,2,3,4,5,6,7"]);
    assert!(message.contains("2..6"), "{message}");
    good(&["verify", &file, &bundle, "--dim", "width=5"]);
    assert!(bad(2, &["verify", &file, &bundle, "--dim", "width=50"]).contains("2..6"));
}

#[test]
fn not_a_number_goes_through() {
    let folder = tempfile::tempdir().unwrap();
    let file = path(folder.path(), "neg.onnx");
    let bundle = path(folder.path(), "neg.cygnet");
    std::fs::write(&file, model(&[("flip", "Neg")], &["1", "3"])).unwrap();
    good(&["compile", &file, "-o", &bundle]);
    let out = good(&["run", &bundle, "--input", "nan,inf,1"]);
    assert!(out.contains('y'), "{out}");
}

#[test]
fn usage_errors_have_their_code() {
    let (_folder, bundle) = compiled();
    bad(2, &[]);
    bad(2, &["compile"]);
    bad(
        2,
        &[
            "compile",
            &data("digits.onnx"),
            "-o",
            "x.cygnet",
            "--dim",
            "w",
        ],
    );
    assert!(bad(2, &["run", &bundle]).contains("image"));
    assert!(bad(2, &["run", &bundle, "--input", "picture=absent.png"]).contains("image"));
    assert!(bad(1, &["run", &bundle, "--input", "absent.png"]).contains("absent.png"));
    let message = bad(
        2,
        &[
            "compile",
            &data("digits.onnx"),
            "-o",
            "x.cygnet",
            "--quantize",
            "auto",
        ],
    );
    assert!(message.contains("--calibrate DIR"), "{message}");
}

#[test]
fn help_has_examples_and_shells_complete() {
    for command in [
        "demo",
        "compile",
        "run",
        "verify",
        "bench",
        "inspect",
        "completions",
        "man",
    ] {
        assert!(
            good(&[command, "--help"]).contains("Examples:"),
            "{command}"
        );
    }
    for shell in ["bash", "zsh", "fish"] {
        assert!(good(&["completions", shell]).contains("cygnet"));
    }
    assert!(good(&["man"]).contains(".TH"));
    let folder = tempfile::tempdir().unwrap();
    good(&["man", "--output", &path(folder.path(), "man1")]);
    assert!(folder.path().join("man1/cygnet-compile.1").exists());
}

#[test]
fn labels_and_a_report_travel_along() {
    let folder = tempfile::tempdir().unwrap();
    let bundle = path(folder.path(), "d.cygnet");
    let labels = path(folder.path(), "labels.txt");
    let report = path(folder.path(), "report.html");
    std::fs::write(&labels, "nil\nein\nzwo\n").unwrap();
    good(&[
        "compile",
        &data("digits.onnx"),
        "-o",
        &bundle,
        "--labels",
        &labels,
        "--report",
        &report,
    ]);
    assert!(good(&["run", &bundle, "-i", &data("digit_2.png")]).contains("zwo"));
    assert!(std::fs::read_to_string(report).unwrap().contains("<svg"));
}

#[test]
fn a_profile_tells_how_near_the_limits_steps_come() {
    let (folder, bundle) = compiled();
    let (file, page) = (
        path(folder.path(), "out.json"),
        path(folder.path(), "p.html"),
    );
    let mut arguments = vec!["bench", &bundle, "--runs", "3", "--report", &page];
    assert!(bad(2, &arguments).contains("--profile"));
    arguments.extend(["--profile", "--json", &file]);
    let out = good(&arguments);
    assert!(out.contains("limits ") && out.contains("of limit"), "{out}");
    let bench = json(&file);
    let positive = |value: &serde_json::Value| value.as_f64().is_some_and(|v| v > 0.0);
    for key in ["peak_gflops", "peak_gops", "measured_ms"] {
        assert!(positive(&bench["machine"][key]), "{key}");
    }
    for level in bench["machine"]["bandwidth"].as_array().unwrap() {
        assert!(positive(&level["gigabytes_per_second"]), "{level}");
    }
    let steps = bench["profile"].as_array().unwrap();
    let convolutions: Vec<_> = steps.iter().filter(|s| s["operator"] == "conv").collect();
    assert!(!convolutions.is_empty());
    for step in convolutions {
        for key in [
            "operations",
            "bytes",
            "constant_bytes",
            "intensity",
            "gflops",
            "limit_microseconds",
            "limit_share",
        ] {
            assert!(positive(&step[key]), "{key} of {step}");
        }
        assert!(step["bound"].is_string());
    }
    let sum = |list: &serde_json::Value, key: &str| {
        let list = list.as_array().unwrap();
        list.iter().map(|s| s[key].as_f64().unwrap()).sum::<f64>()
    };
    for key in ["microseconds", "operations", "bytes"] {
        let (all, by) = (sum(&bench["profile"], key), sum(&bench["operators"], key));
        assert!(
            (all - by).abs() <= 1e-9 * all,
            "{key}: {all} in steps, {by} by operator"
        );
    }
    assert!((sum(&bench["profile"], "share") - 1.0).abs() < 1e-9);
    let page = std::fs::read_to_string(page).unwrap();
    assert!(page.contains("<svg") && page.ends_with("</html>"));
}
