//! `cygnet compile --quantize int8` as its users meet it.

mod command;

use command::{DATA, cygnet, path, text};
use std::io::Write;
use std::path::Path;
use std::process::Output;

/// A folder with the ten pictures of digits in `pictures`.
fn pictures() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    std::fs::create_dir(folder.path().join("pictures")).unwrap();
    for digit in 0..10 {
        let name = format!("digit_{digit}.png");
        let from = Path::new(DATA).join(&name);
        std::fs::copy(from, folder.path().join("pictures").join(&name)).unwrap();
    }
    folder
}

/// Quantises the digits model; `more` are further arguments.
fn quantise(bundle: &str, calibrate: &str, more: &[&str]) -> Output {
    let model = format!("{DATA}/digits.onnx");
    let mut arguments = vec!["compile", &model, "-o", bundle, "--quantize", "int8"];
    arguments.extend(["--calibrate", calibrate]);
    arguments.extend(more);
    cygnet(&arguments)
}

/// A `.npy` file, version 1.
fn npy(shape: &[usize], values: &[f32]) -> Vec<u8> {
    let dims: String = shape.iter().map(|d| format!("{d}, ")).collect();
    let mut header = format!("{{'descr': '<f4', 'fortran_order': False, 'shape': ({dims}), }}");
    while !(10 + header.len() + 1).is_multiple_of(64) {
        header.push(' ');
    }
    header.push('\n');
    let mut out = b"\x93NUMPY\x01\x00".to_vec();
    out.extend((header.len() as u16).to_le_bytes());
    out.extend(header.as_bytes());
    out.extend(values.iter().flat_map(|v| v.to_le_bytes()));
    out
}

#[test]
fn digits_are_read_by_integers() {
    let folder = pictures();
    let (samples, bundle) = (
        path(folder.path(), "pictures"),
        path(folder.path(), "digits.cygnet"),
    );
    let report = path(folder.path(), "report.json");
    let out = quantise(&bundle, &samples, &["--json", &report]);
    assert!(out.status.success(), "{}", text(&out.stderr));
    let said = text(&out.stdout);
    assert!(
        said.contains("dB above its error") && said.contains("stays float: softmax"),
        "{said}"
    );
    // Ten pictures are few.
    assert!(
        text(&out.stderr).contains("10 calibration samples"),
        "{}",
        text(&out.stderr)
    );

    let json: serde_json::Value = serde_json::from_slice(&std::fs::read(&report).unwrap()).unwrap();
    let quantization = &json["quantization"];
    assert_eq!(quantization["precision"], "int8");
    assert_eq!(quantization["calibration"]["held_back"], 2);
    assert_eq!(quantization["agreement"][0]["top1"], 1.0);
    assert!(
        quantization["agreement"][0]["snr_db"].as_f64().unwrap() > 25.0,
        "{quantization}"
    );
    let words = json["provenance"]["options"].to_string();
    assert!(
        words.contains("--quantize int8") && words.contains("--calibrate pictures"),
        "{words}"
    );

    for digit in 0..10 {
        let picture = path(folder.path(), &format!("pictures/digit_{digit}.png"));
        let answer = path(folder.path(), "answer.json");
        let out = cygnet(&["run", &bundle, "--input", &picture, "--json", &answer]);
        assert!(out.status.success(), "{}", text(&out.stderr));
        let json: serde_json::Value =
            serde_json::from_slice(&std::fs::read(&answer).unwrap()).unwrap();
        assert_eq!(json["outputs"][0]["top"][0]["index"], digit, "{json}");
    }
    // The same samples give the same bytes.
    let again = path(folder.path(), "again.cygnet");
    assert!(
        quantise(&again, &samples, &["--name", "digits"])
            .status
            .success()
    );
    assert_eq!(
        std::fs::read(&bundle).unwrap(),
        std::fs::read(&again).unwrap()
    );
}

#[test]
fn arrays_calibrate_as_well() {
    let folder = tempfile::tempdir().unwrap();
    let input = std::fs::read(format!("{DATA}/digits_input.npy")).unwrap();
    let bundle = path(folder.path(), "digits.cygnet");
    let archive = path(folder.path(), "samples.npz");
    // The recorded inputs, bytes from 0 to 255, in an archive, under a name of their own.
    let pixels = &input[input.len() - 10 * 784..];
    let ink: Vec<f32> = pixels.iter().map(|&p| f32::from(p) / 255.0).collect();
    let mut zip = zip::ZipWriter::new(std::fs::File::create(&archive).unwrap());
    zip.start_file("pictures.npy", zip::write::SimpleFileOptions::default())
        .unwrap();
    zip.write_all(&npy(&[10, 28, 28], &ink)).unwrap();
    zip.finish().unwrap();
    for method in ["min-max", "percentile-99.9", "mse", "entropy"] {
        let out = quantise(&bundle, &archive, &["--calibration-method", method]);
        assert!(out.status.success(), "{}", text(&out.stderr));
        assert!(text(&out.stdout).contains(method), "{}", text(&out.stdout));
    }
}

#[test]
fn faults_of_calibration_are_named() {
    let folder = tempfile::tempdir().unwrap();
    let bundle = path(folder.path(), "x.cygnet");
    let fails = |code: i32, calibrate: &str, more: &[&str], words: &[&str]| {
        let out = quantise(&bundle, calibrate, more);
        let said = text(&out.stderr);
        assert_eq!(out.status.code(), Some(code), "{said}");
        for word in words {
            assert!(said.contains(word), "no `{word}` in: {said}");
        }
        assert!(!said.contains("panicked"), "{said}");
        assert!(!Path::new(&bundle).exists());
    };
    fails(2, "random", &[], &["no random calibration"]);
    fails(
        2,
        &path(folder.path(), "missing"),
        &[],
        &["no such folder or file"],
    );

    let empty = path(folder.path(), "empty");
    std::fs::create_dir(&empty).unwrap();
    std::fs::write(format!("{empty}/notes.txt"), "nothing").unwrap();
    fails(1, &empty, &[], &["holds no samples", ".png"]);

    let wrong = path(folder.path(), "wrong.npy");
    std::fs::write(&wrong, npy(&[3, 1, 28, 27], &[0.5; 3 * 28 * 27])).unwrap();
    fails(
        1,
        &wrong,
        &[],
        &["wrong.npy", "[1, 1, 28, 27]", "[1,1,28,28]"],
    );

    let mut values = vec![0.5; 2 * 784];
    values[784 + 30] = f32::NAN;
    let broken = path(folder.path(), "broken.npy");
    std::fs::write(&broken, npy(&[2, 1, 28, 28], &values)).unwrap();
    fails(1, &broken, &[], &["broken.npy[1]", "NaN", "element 30"]);

    let bytes = path(folder.path(), "samples.xml");
    std::fs::write(&bytes, "x").unwrap();
    fails(2, &bytes, &[], &["give a folder"]);
    fails(
        2,
        &wrong,
        &["--calibration-method", "guess"],
        &["percentile-99.99"],
    );
    fails(2, &wrong, &["--max-drop", "1%"], &["--quantize auto"]);
}

#[test]
fn calibration_and_quantisation_need_each_other() {
    let model = format!("{DATA}/digits.onnx");
    let out = cygnet(&["compile", &model, "-o", "x.cygnet", "--quantize", "int8"]);
    let said = text(&out.stderr);
    assert_eq!(out.status.code(), Some(2), "{said}");
    assert!(said.contains("--calibrate DIR"), "{said}");
    let out = cygnet(&[
        "compile",
        &model,
        "-o",
        "x.cygnet",
        "--calibrate",
        "pictures",
    ]);
    let said = text(&out.stderr);
    assert_eq!(out.status.code(), Some(2), "{said}");
    assert!(said.contains("belongs to --quantize int8"), "{said}");
}

#[test]
fn sixteen_bits_lose_little() {
    let folder = pictures();
    let (samples, bundle) = (
        path(folder.path(), "pictures"),
        path(folder.path(), "digits.cygnet"),
    );
    let report = path(folder.path(), "report.json");
    let model = format!("{DATA}/digits.onnx");
    let out = cygnet(&[
        "compile",
        &model,
        "-o",
        &bundle,
        "--quantize",
        "int8x16",
        "--calibrate",
        &samples,
        "--json",
        &report,
    ]);
    assert!(out.status.success(), "{}", text(&out.stderr));
    assert!(
        text(&out.stdout).contains("  int8x16: 6 layers"),
        "{}",
        text(&out.stdout)
    );
    let json: serde_json::Value = serde_json::from_slice(&std::fs::read(&report).unwrap()).unwrap();
    let quantization = &json["quantization"];
    assert_eq!(quantization["precision"], "int8x16");
    assert!(
        quantization["agreement"][0]["snr_db"].as_f64().unwrap() > 35.0,
        "{quantization}"
    );
    let out = cygnet(&["inspect", &bundle, "--operators"]);
    let said = text(&out.stdout);
    assert!(
        said.contains("int16_conv") && said.contains("int16_depthwise"),
        "{said}"
    );

    let out = cygnet(&["compile", &model, "-o", &bundle, "--quantize", "int8x16"]);
    assert_eq!(out.status.code(), Some(2));
    assert!(
        text(&out.stderr).contains("--calibrate DIR"),
        "{}",
        text(&out.stderr)
    );
}
