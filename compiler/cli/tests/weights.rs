//! `cygnet compile --quantize` with weights of few bits as its users meet it.

mod command;

use command::{DATA, cygnet, path, text};
use std::path::Path;

fn json(file: &str) -> serde_json::Value {
    serde_json::from_slice(&std::fs::read(file).unwrap()).unwrap()
}

/// Bytes of constants of the digits model at a precision, which has to read all digits and to be as near as `db`.
fn constants(folder: &Path, arguments: &[&str], name: &str, db: f64) -> u64 {
    let pictures = path(folder, "pictures");
    let arguments = [arguments, &["--calibrate", &pictures]].concat();
    let model = format!("{DATA}/digits.onnx");
    let (bundle, report) = (path(folder, "a.cygnet"), path(folder, "a.json"));
    let mut all = vec!["compile", &model, "-o", &bundle, "--json", &report];
    all.extend(&arguments);
    let out = cygnet(&all);
    assert!(out.status.success(), "{name}: {}", text(&out.stderr));
    let made = json(&report);
    let quantization = &made["quantization"];
    assert_eq!(quantization["precision"], name, "{made}");
    let agreement = &quantization["agreement"][0];
    assert!(
        agreement["snr_db"].as_f64().unwrap() > db,
        "{name}: {agreement}"
    );
    // What stays is named, with a reason.
    let stays = &quantization["float_layers"][0];
    assert!(stays["reason"].as_str().unwrap().len() > 5, "{stays}");
    for digit in 0..10 {
        let (picture, answer) = (format!("{DATA}/digit_{digit}.png"), path(folder, "b.json"));
        let out = cygnet(&["run", &bundle, "--input", &picture, "--json", &answer]);
        assert!(out.status.success(), "{}", text(&out.stderr));
        let answer = json(&answer);
        assert_eq!(
            answer["outputs"][0]["top"][0]["index"], digit,
            "{name}: {answer}"
        );
    }
    let again = path(folder, "again.cygnet");
    let mut all = vec!["compile", &model, "-o", &again];
    all.extend(&arguments);
    let out = cygnet(&all);
    assert!(out.status.success());
    let said = text(&out.stdout);
    assert!(
        said.contains("bits each") && said.contains("stays float"),
        "{said}"
    );
    assert_eq!(
        std::fs::read(&bundle).unwrap(),
        std::fs::read(&again).unwrap()
    );
    // How fast it is was measured, and told.
    let speed = &made["speed"];
    assert!(
        speed["float_ms"].as_f64() > Some(0.0) && speed["quantised_ms"].as_f64() > Some(0.0),
        "{speed}"
    );
    assert!(said.contains("in floats"), "{said}");
    made["memory"]["constant_bytes"].as_u64().unwrap()
}

#[test]
fn digits_are_read_with_weights_of_few_bits() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    std::fs::create_dir(folder.join("pictures")).unwrap();
    for digit in 0..10 {
        let name = format!("digit_{digit}.png");
        std::fs::copy(
            Path::new(DATA).join(&name),
            folder.join("pictures").join(&name),
        )
        .unwrap();
    }
    let half = constants(folder, &["--quantize", "fp16"], "fp16", 60.0);
    let eight = constants(
        folder,
        &["--quantize", "int8-weights"],
        "int8-weights",
        30.0,
    );
    let dynamic = constants(folder, &["--quantize", "dynamic"], "dynamic", 40.0);
    let four = constants(folder, &["--quantize", "int4"], "int4", 25.0);
    let more = ["--quantize", "int4", "--weight-group", "16", "--asymmetric"];
    let larger = constants(folder, &more, "int4", 35.0);
    let table = constants(folder, &["--quantize", "palette"], "palette", 25.0);
    // A single row: the product is that of `int8-weights`.
    assert_eq!(eight, dynamic);
    assert!(
        half > eight && eight > larger && larger > four,
        "{half} {eight} {larger} {four}"
    );
    assert!(table < eight, "{table} {eight}");
}

#[test]
fn faults_are_named() {
    let model = format!("{DATA}/digits.onnx");
    let fails = |arguments: &[&str], word: &str| {
        let mut all = vec!["compile", &model, "-o", "absent/x.cygnet"];
        all.extend(arguments);
        let out = cygnet(&all);
        let said = text(&out.stderr);
        assert_eq!(out.status.code(), Some(2), "{said}");
        assert!(said.contains(word), "{said} does not name {word}");
    };
    let group = ["--quantize", "int4", "--weight-group", "24"];
    fails(&group, "multiple of 16");
    fails(
        &["--quantize", "fp16", "--asymmetric"],
        "belongs to --quantize int4",
    );
    fails(&["--quantize", "auto"], "--calibrate DIR");
    fails(&["--quantize", "int5"], "int8-weights");
}
