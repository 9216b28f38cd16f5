//! A project from `cygnet new` to a bundle, as a user goes.

use std::path::Path;
use std::process::{Command, Output};

fn cygnet(folder: &Path, line: &str) -> Output {
    Command::new(env!("CARGO_BIN_EXE_cygnet"))
        .args(line.split_whitespace())
        .current_dir(folder)
        .output()
        .unwrap()
}

fn said(output: &Output) -> (String, String) {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (text(&output.stdout), text(&output.stderr))
}

fn json(folder: &Path, line: &str) -> serde_json::Value {
    let output = cygnet(folder, line);
    let (out, err) = said(&output);
    assert!(output.status.success(), "{line}: {out}{err}");
    serde_json::from_str(&out).unwrap_or_else(|e| panic!("{line}: {e}: {out}"))
}

/// Grey pictures of bars, across or down, 20 x 20, that are all different.
fn pictures(folder: &Path) {
    let mut seed = 7u64;
    let mut random = || {
        seed = seed
            .wrapping_mul(6364136223846793005)
            .wrapping_add(1442695040888963407);
        (seed >> 40) as u32
    };
    for (class, name) in ["across", "down"].into_iter().enumerate() {
        let class_folder = folder.join("data").join(name);
        std::fs::create_dir_all(&class_folder).unwrap();
        for i in 0..150 {
            let at = 4 + random() % 12;
            let picture = image::GrayImage::from_fn(20, 20, |x, y| {
                let along = if class == 0 { y } else { x };
                let ink = if along.abs_diff(at) < 2 { 180 } else { 40 };
                image::Luma([(ink + random() % 40) as u8])
            });
            picture
                .save(class_folder.join(format!("{i:03}.png")))
                .unwrap();
        }
    }
}

const TOML: &str = "name = 'bars'
[data]
pictures = 'data'
size = [16, 16]
channels = 1
[model]
architecture = 'tiny'
channels = 4
[teacher.model]
architecture = 'tiny'
channels = 8
[teacher.train]
epochs = 8
batch = 32
rate = 0.005
[train]
epochs = 12
batch = 32
rate = 0.005
";

#[test]
fn from_pictures_to_a_bundle() {
    let folder = tempfile::tempdir().unwrap();
    let made = cygnet(folder.path(), "new bars --template image-classification");
    let (out, err) = said(&made);
    assert!(
        made.status.success() && out.contains("cygnet build --project bars"),
        "{out}{err}"
    );
    let bars = folder.path().join("bars");

    // Without pictures the message says where they go.
    let empty = cygnet(&bars, "build");
    assert_eq!(empty.status.code(), Some(1));
    assert!(
        said(&empty).1.contains("two classes at least"),
        "{}",
        said(&empty).1
    );

    pictures(&bars);
    std::fs::write(bars.join("data/down/broken.png"), "no picture").unwrap();
    std::fs::write(bars.join("cygnet.toml"), TOML).unwrap();
    let built = cygnet(&bars, "build --json built.json");
    let (out, err) = said(&built);
    assert!(built.status.success(), "{out}{err}");
    assert!(
        err.contains("300 samples of 2 classes") && err.contains("broken.png is left out"),
        "{err}"
    );
    let first: serde_json::Value =
        serde_json::from_slice(&std::fs::read(bars.join("built.json")).unwrap()).unwrap();
    assert!(
        first["bundle_accuracy"].as_f64().unwrap() >= 0.95,
        "{first}"
    );
    assert!(first["teacher"]["parameters"].as_u64() > first["model"]["parameters"].as_u64());
    assert_eq!(first["up_to_date"], false);
    assert!(first["bundle_bytes"].as_u64().unwrap() < 40_000, "{first}");

    // Nothing changed: nothing is done.
    let bundle = std::fs::read(bars.join("build/bars.cygnet")).unwrap();
    let second = json(&bars, "build --json -");
    assert_eq!(second["up_to_date"], true);
    assert_eq!(second["model"]["up_to_date"], true);
    assert_eq!(second["bundle_sha256"], first["bundle_sha256"]);

    // The bundle runs on a picture and names its class.
    let run = cygnet(&bars, "run build/bars.cygnet --input data/across/000.png");
    assert!(
        said(&run).0.contains("across"),
        "{}{}",
        said(&run).0,
        said(&run).1
    );

    // The model's settings changed: the teacher stays.
    std::fs::write(
        bars.join("cygnet.toml"),
        TOML.replace("epochs = 12", "epochs = 13"),
    )
    .unwrap();
    let third = json(&bars, "build --json -");
    assert_eq!(third["teacher"]["up_to_date"], true);
    assert_eq!(third["model"]["up_to_date"], false);
    assert_eq!(third["model"]["epochs"], 13);

    // The same again from nothing: the same bytes.
    std::fs::write(bars.join("cygnet.toml"), TOML).unwrap();
    std::fs::remove_dir_all(bars.join("runs")).unwrap();
    std::fs::remove_dir_all(bars.join("build")).unwrap();
    let fourth = json(&bars, "build --json -");
    assert_eq!(fourth["bundle_sha256"], first["bundle_sha256"]);
    assert_eq!(
        std::fs::read(bars.join("build/bars.cygnet")).unwrap(),
        bundle
    );
}

/// What one project trained teaches another, as ONNX and as a bundle; its answers are asked for once.
#[test]
fn a_file_teaches() {
    let folder = tempfile::tempdir().unwrap();
    let project = folder.path();
    pictures(project);
    std::fs::write(project.join("cygnet.toml"), TOML).unwrap();
    json(project, "train --json -");
    std::fs::copy(
        project.join("runs/teacher/model.onnx"),
        project.join("teacher.onnx"),
    )
    .unwrap();
    let begin = TOML.find("[teacher.model]").unwrap();
    let end = TOML.find("[train]").unwrap();
    let student = format!(
        "{}[teacher]\nfile = 'teacher.onnx'\n{}",
        &TOML[..begin],
        &TOML[end..]
    );
    std::fs::write(project.join("cygnet.toml"), &student).unwrap();
    let first = json(project, "train --json -");
    assert_eq!(first["teacher"]["up_to_date"], false);
    assert!(
        first["teacher"]["test_accuracy"].as_f64().unwrap() > 0.9,
        "{first}"
    );
    assert!(
        first["model"]["test_accuracy"].as_f64().unwrap() > 0.9,
        "{first}"
    );
    let second = json(project, "train --json -");
    assert_eq!(second["teacher"]["up_to_date"], true);
    assert_eq!(second["model"]["up_to_date"], true);

    // Of another size, it says what it takes.
    let other = student.replace("size = [16, 16]", "size = [20, 20]");
    std::fs::write(project.join("cygnet.toml"), other).unwrap();
    let wrong = said(&cygnet(project, "train")).1;
    assert!(
        wrong.contains("teacher.onnx does not take samples of shape [1, 1, 20, 20]"),
        "{wrong}"
    );
}

/// The answers of training in integers are those of the bundle, so their shares of right ones are equal.
#[test]
fn trained_in_integers() {
    let folder = tempfile::tempdir().unwrap();
    let project = folder.path();
    pictures(project);
    let text = format!("{TOML}[quantize_aware]\nepochs = 2\nrate = 0.001\n");
    std::fs::write(project.join("cygnet.toml"), text).unwrap();
    let built = json(project, "build --json -");
    assert_eq!(built["quantized"]["epochs"], 2);
    assert_eq!(
        built["bundle_accuracy"],
        built["quantized"]["test_accuracy"]
    );
    let inspected = said(&cygnet(project, "inspect build/bars.cygnet --operators")).0;
    assert!(inspected.contains("quantized_conv"), "{inspected}");
    let again = json(project, "build --json -");
    assert_eq!(again["quantized"]["up_to_date"], true);
    assert_eq!(again["bundle_sha256"], built["bundle_sha256"]);
}

/// A pruned model goes on without some of its channels: the bundle is smaller, and goes on in integers.
#[test]
fn pruned_then_trained_in_integers() {
    let folder = tempfile::tempdir().unwrap();
    let project = folder.path();
    pictures(project);
    let larger = TOML.replace("channels = 4", "channels = 12");
    std::fs::write(project.join("cygnet.toml"), &larger).unwrap();
    let whole = json(project, "build --json -");
    let text = format!(
        "{larger}[prune]\nkeep = 0.3\nepochs = 4\nrate = 0.002\n[quantize_aware]\nepochs = 1\nrate = 0.001\n"
    );
    std::fs::write(project.join("cygnet.toml"), text).unwrap();
    let built = json(project, "build --json -");
    assert_eq!(built["model"]["up_to_date"], true);
    assert_eq!(built["pruned"]["epochs"], 4);
    let number = |of: &serde_json::Value, part: &str| of[part]["parameters"].as_u64().unwrap();
    assert!(
        2 * number(&built, "pruned") < number(&built, "model"),
        "{built}"
    );
    let bytes = |of: &serde_json::Value, name: &str| {
        let networks = of["networks"].as_array().unwrap();
        let network = networks.iter().find(|n| n["name"] == name).unwrap();
        network["program_bytes"].as_u64().unwrap()
    };
    assert!(
        10 * bytes(&built, "pruned") < 7 * bytes(&built, "model"),
        "{built}"
    );
    assert!(
        10 * bytes(&built, "bundle") < 8 * bytes(&whole, "bundle"),
        "{built}"
    );
    assert!(
        built["bundle_accuracy"].as_f64().unwrap() >= 0.95,
        "{built}"
    );
    assert_eq!(
        built["bundle_accuracy"],
        built["quantized"]["test_accuracy"]
    );
    let again = json(project, "build --json -");
    assert_eq!(again["pruned"]["up_to_date"], true);
    assert_eq!(again["bundle_sha256"], built["bundle_sha256"]);

    // Interrupted while it is trained after pruning, it ends the same.
    std::fs::remove_file(project.join("runs/pruned/record.json")).unwrap();
    std::fs::remove_file(project.join("build/bars.cygnet")).unwrap();
    let redone = json(project, "build --json -");
    assert_eq!(redone["bundle_sha256"], built["bundle_sha256"]);
}

/// A model begins with what another has learnt of other classes; layers that are frozen stay as they are.
#[test]
fn learning_goes_on_from_another_project() {
    let first = tempfile::tempdir().unwrap();
    pictures(first.path());
    std::fs::write(first.path().join("cygnet.toml"), TOML).unwrap();
    json(first.path(), "train --json -");
    let folder = tempfile::tempdir().unwrap();
    let project = folder.path();
    pictures(project);
    std::fs::copy(
        first.path().join("runs/model/state.safetensors"),
        project.join("other.safetensors"),
    )
    .unwrap();
    let begin = TOML.find("[teacher.model]").unwrap();
    let end = TOML.find("[train]").unwrap();
    let text = format!(
        "{}[transfer]\nfile = 'other.safetensors'\nfreeze = ['stem', '*wise*']\n{}",
        &TOML[..begin],
        TOML[end..].replace("epochs = 12", "epochs = 2")
    );
    std::fs::write(project.join("cygnet.toml"), &text).unwrap();
    let output = cygnet(project, "train --json trained.json");
    let (out, err) = said(&output);
    assert!(output.status.success(), "{out}{err}");
    assert!(
        err.contains("10 layers begin as in other.safetensors; 9 do not learn"),
        "{err}"
    );
    let text = std::fs::read(project.join("trained.json")).unwrap();
    let trained: serde_json::Value = serde_json::from_slice(&text).unwrap();
    // Two epochs of the last layer are enough, for the others know the task.
    assert!(
        trained["model"]["test_accuracy"].as_f64().unwrap() > 0.9,
        "{trained}"
    );
    let state =
        |path: &Path| candle_core::safetensors::load(path, &candle_core::Device::Cpu).unwrap();
    let (a, b) = (
        state(&project.join("other.safetensors")),
        state(&project.join("runs/model/state.safetensors")),
    );
    let values = |of: &std::collections::HashMap<String, candle_core::Tensor>, name: &str| {
        of[name].flatten_all().unwrap().to_vec1::<f32>().unwrap()
    };
    for name in ["stem.weight", "depthwise0.affine", "pointwise3.running"] {
        let name = format!("best/{name}");
        assert_eq!(values(&a, &name), values(&b, &name), "{name}");
    }
    assert_ne!(
        values(&a, "best/classifier.weight"),
        values(&b, "best/classifier.weight")
    );

    std::fs::write(project.join("other.safetensors"), "nothing").unwrap();
    let wrong = cygnet(project, "train");
    assert!(
        said(&wrong).1.contains("[transfer] file"),
        "{}",
        said(&wrong).1
    );
}

/// A recurrent network hears frame by frame, and knows at the end what it would of the whole.
#[test]
fn a_recurrent_network_becomes_a_stream() {
    let folder = tempfile::tempdir().unwrap();
    let project = folder.path();
    sounds(project);
    let text = "name = 'words'
[data]
sounds = 'data'
rate = 8000
seconds = 0.5
group = '{group}_*'
[features]
kind = 'mfcc'
window = 0.04
hop = 0.02
bands = 20
coefficients = 10
low = 100
high = 3800
[model]
architecture = 'gru'
units = 12
[train]
epochs = 25
batch = 16
rate = 0.02
[build]
quantize = 'none'
";
    std::fs::write(project.join("cygnet.toml"), text).unwrap();
    let whole = json(project, "build --json -");
    assert!(whole["bundle_accuracy"].as_f64().unwrap() > 0.75, "{whole}");
    std::fs::write(
        project.join("cygnet.toml"),
        format!("{text}stream = true\n"),
    )
    .unwrap();
    let stream = json(project, "build --json -");
    assert_eq!(stream["model"]["up_to_date"], true);
    assert_eq!(stream["bundle_accuracy"], whole["bundle_accuracy"]);
    assert!(
        stream["arena_bytes"].as_u64() < whole["arena_bytes"].as_u64(),
        "{stream}"
    );
    let inspected = said(&cygnet(project, "inspect build/words.cygnet")).0;
    assert!(inspected.contains("state"), "{inspected}");
    let file = std::fs::read_dir(project.join("data/rise"))
        .unwrap()
        .next()
        .unwrap()
        .unwrap();
    let line = format!(
        "run build/words.cygnet --input {} --stream --hop 160",
        file.path().display()
    );
    let run = said(&cygnet(project, &line));
    assert!(
        run.0.lines().count() > 20 && run.0.contains("rise"),
        "{}{}",
        run.0,
        run.1
    );

    let refused = format!("{}stream = true\n", text.replace("'none'", "'int8'"));
    std::fs::write(project.join("cygnet.toml"), refused).unwrap();
    let wrong = said(&cygnet(project, "build")).1;
    assert!(wrong.contains("with stream = true"), "{wrong}");
}

/// What one teaches whom, by name.
#[test]
fn distillation_needs_a_teacher() {
    let folder = tempfile::tempdir().unwrap();
    let project = folder.path();
    pictures(project);
    let begin = TOML.find("[teacher.model]").unwrap();
    let end = TOML.find("[train]").unwrap();
    let alone = format!("{}{}", &TOML[..begin], &TOML[end..]);
    std::fs::write(project.join("cygnet.toml"), &alone).unwrap();
    let refused = cygnet(project, "distill");
    assert_eq!(refused.status.code(), Some(2));
    assert!(
        said(&refused).1.contains("--teacher FILE"),
        "{}",
        said(&refused).1
    );
    json(project, "train --json -");
    let model = project.join("runs/model/model.onnx");
    std::fs::copy(model, project.join("teacher.onnx")).unwrap();
    let taught = json(project, "distill --teacher teacher.onnx --json -");
    assert!(
        taught["teacher"]["test_accuracy"].as_f64().unwrap() > 0.9,
        "{taught}"
    );
    assert_eq!(taught["model"]["up_to_date"], false);
}

/// Tones that rise or fall, by ten voices, each with a pitch of its own; half a second at 8 kHz.
fn sounds(folder: &Path) {
    let spec = hound::WavSpec {
        channels: 1,
        sample_rate: 8000,
        bits_per_sample: 16,
        sample_format: hound::SampleFormat::Int,
    };
    for (class, name) in ["fall", "rise"].into_iter().enumerate() {
        let class_folder = folder.join("data").join(name);
        std::fs::create_dir_all(&class_folder).unwrap();
        for voice in 0..10 {
            for take in 0..6 {
                let path = class_folder.join(format!("v{voice}_{take}.wav"));
                let mut writer = hound::WavWriter::create(path, spec).unwrap();
                let pitch = 250.0 + 40.0 * voice as f32 + 3.0 * take as f32;
                let mut phase = 0f32;
                for t in 0..3600 {
                    let along = t as f32 / 3600.0;
                    let along = if class == 1 { along } else { 1.0 - along };
                    phase += std::f32::consts::TAU * pitch * (1.0 + 2.0 * along) / 8000.0;
                    let v = phase.sin() * 8000.0 + ((t * 7919) % 200) as f32;
                    writer.write_sample(v as i16).unwrap();
                }
                writer.finalize().unwrap();
            }
        }
    }
}

#[test]
fn a_sound_project_becomes_a_bundle_of_raw_sound() {
    let folder = tempfile::tempdir().unwrap();
    let made = cygnet(folder.path(), "new tones --template keyword-spotting");
    assert!(
        said(&made).0.contains("tones/data/WORD/"),
        "{}",
        said(&made).0
    );
    let tones = folder.path().join("tones");
    sounds(&tones);
    std::fs::write(tones.join("data/rise/v0_broken.wav"), "no sound").unwrap();
    // The template as it is, but small.
    let mut text = std::fs::read_to_string(tones.join("cygnet.toml")).unwrap();
    for (from, to) in [
        (
            "rate = 16000 ",
            "test_groups = ['v3', 'v8']\nvalidation_groups = ['v5']\nrate = 8000",
        ),
        ("seconds = 1.0", "seconds = 0.5"),
        ("bands = 40", "bands = 20"),
        ("channels = 64", "channels = 8"),
        ("epochs = 40", "epochs = 12"),
        ("batch = 32", "batch = 16"),
        ("high = 7600", "high = 3800"),
    ] {
        assert!(text.contains(from), "{from}");
        text = text.replace(from, to);
    }
    std::fs::write(tones.join("cygnet.toml"), &text).unwrap();
    let built = cygnet(&tones, "build --json built.json");
    let (out, err) = said(&built);
    assert!(built.status.success(), "{out}{err}");
    assert!(
        err.contains("120 samples of 2 classes: 84 to learn from, 12 to choose by, 24 to report")
            && err.contains("10 groups: 7, 1 and 2")
            && err.contains("v0_broken.wav is left out"),
        "{err}"
    );
    let text = std::fs::read_to_string(tones.join("built.json")).unwrap();
    let first: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert!(first["bundle_accuracy"].as_f64().unwrap() >= 0.9, "{first}");
    assert!(first["bundle_bytes"].as_u64().unwrap() < 80_000, "{first}");
    assert_eq!(json(&tones, "build --json -")["up_to_date"], true);
    for class in ["fall", "rise"] {
        let line = format!("run build/tones.cygnet --input data/{class}/v3_1.wav");
        let (out, err) = said(&cygnet(&tones, &line));
        let best = out
            .lines()
            .find(|l| l.contains("fall") || l.contains("rise"));
        assert!(best.is_some_and(|l| l.contains(class)), "{out}{err}");
    }
    // Another split of the same sounds is another project.
    let text = std::fs::read_to_string(tones.join("cygnet.toml")).unwrap();
    let text = text
        .replace("'v8'", "'v9'")
        .replace("epochs = 12", "epochs = 1");
    std::fs::write(
        tones.join("cygnet.toml"),
        text.replace("{group}_*", "{group}-*"),
    )
    .unwrap();
    let wrong = cygnet(&tones, "train");
    assert!(
        said(&wrong).1.contains("has no group by"),
        "{}",
        said(&wrong).1
    );
    std::fs::write(tones.join("cygnet.toml"), text).unwrap();
    assert_eq!(json(&tones, "train --json -")["model"]["up_to_date"], false);
}

/// What holds passes, what does not is named, and machines can read both.
#[test]
fn projects_are_tested() {
    let folder = tempfile::tempdir().unwrap();
    let project = folder.path();
    pictures(project);
    let tests = "[test]
accuracy = 0.9
class_accuracy = 0.8
max_drop = 0.05
max_flash = '40K'
[[test.examples]]
file = 'data/across/000.png'
class = 'across'
score = 0.5
";
    std::fs::write(project.join("cygnet.toml"), format!("{TOML}{tests}")).unwrap();
    let good = cygnet(project, "test --junit junit.xml");
    let (out, err) = said(&good);
    assert!(good.status.success(), "{out}{err}");
    for name in [
        "pass  training: one batch is learnt by heart",
        "pass  training: gradients equal finite differences",
        "pass  training: the loss falls",
        "pass  training: an interrupted run ends as another",
        "pass  validation: accuracy of class down",
        "pass  validation: drop from floats",
        "pass  validation: flash",
        "pass  functional: golden examples",
        "pass  functional: data/across/000.png",
        "11 passed, 0 failed",
    ] {
        assert!(out.contains(name), "no {name:?} in {out}{err}");
    }
    let junit = std::fs::read_to_string(project.join("junit.xml")).unwrap();
    assert!(
        junit.matches("<testcase ").count() == 11 && junit.matches("<testsuite ").count() == 3,
        "{junit}"
    );

    // A bar that no bundle keeps, an example of the other class.
    let tests = tests
        .replace("max_flash = '40K'", "max_flash = '1K'")
        .replace("class = 'across'", "class = 'down'");
    std::fs::write(project.join("cygnet.toml"), format!("{TOML}{tests}")).unwrap();
    let bad = cygnet(project, "test --only validation --junit junit.xml");
    let (out, err) = said(&bad);
    assert_eq!(bad.status.code(), Some(1), "{out}{err}");
    assert!(
        out.contains("FAIL  validation: flash (") && out.contains("at most 1.0 KiB"),
        "{out}"
    );
    assert!(err.contains("1 of 5 tests failed"), "{err}");
    let junit = std::fs::read_to_string(project.join("junit.xml")).unwrap();
    assert_eq!(junit.matches("<failure ").count(), 1, "{junit}");
    let bad = cygnet(project, "test --only functional --json -");
    let report: serde_json::Value = serde_json::from_str(&said(&bad).0).unwrap();
    assert_eq!(report["failed"], 1, "{report}");

    // Labels that mean nothing cannot be learnt, and no batch of a network without a way to learn is.
    let hopeless = TOML.replace("rate = 0.005\n", "rate = 0.0000001\n");
    std::fs::write(project.join("cygnet.toml"), hopeless).unwrap();
    let bad = cygnet(project, "test --only training");
    let (out, _) = said(&bad);
    assert_eq!(bad.status.code(), Some(1), "{out}");
    assert!(
        out.contains("FAIL  training: one batch is learnt by heart"),
        "{out}"
    );
}

/// Rows of two measures, a category and a class that both decide: `inner` or `outer`; with rows that are no use.
fn table(rows: usize) -> String {
    let mut seed = 5u64;
    let mut random = || {
        seed = seed
            .wrapping_mul(6364136223846793005)
            .wrapping_add(1442695040888963407);
        (seed >> 40) as f64 / (1u64 << 24) as f64
    };
    let mut text = String::from("id,length,mass,colour,class\n");
    for i in 0..rows {
        let [a, b] = [random(), random()];
        let colour = ["red", "green", "blue"][(random() * 3.0) as usize];
        let limit = if colour == "red" { 0.7 } else { 0.4 };
        let far = (2.0 * a - 1.0).hypot(2.0 * b - 1.0);
        let class = if far < 1.3 * limit { "inner" } else { "outer" };
        // Units far from 0 and 1, which standardising has to mend.
        text += &format!("{i},{},{},{colour},{class}\n", 2000.0 + a, 1e-3 * b);
    }
    text
}

#[test]
fn a_table_becomes_a_bundle_of_raw_rows() {
    let folder = tempfile::tempdir().unwrap();
    let made = cygnet(folder.path(), "new rows --template tabular");
    assert!(
        said(&made).0.contains("rows/data/data.csv"),
        "{}",
        said(&made).0
    );
    let rows = folder.path().join("rows");
    let text = table(900) + "900,,0.001,red,inner\n901,2000.5,0.001,pink,inner\n";
    std::fs::write(rows.join("data/data.csv"), text).unwrap();
    let text = std::fs::read_to_string(rows.join("cygnet.toml")).unwrap();
    let text = text.replace("ignore = []", "ignore = ['id']");
    std::fs::write(rows.join("cygnet.toml"), &text).unwrap();
    let numbers = said(&cygnet(&rows, "train")).1;
    assert!(
        numbers.contains("data.csv:2: column `colour`") && numbers.contains("[data] categories"),
        "{numbers}"
    );
    let text = text.replace("# colour = []", "colour = ['red', 'green', 'blue']");
    std::fs::write(rows.join("cygnet.toml"), &text).unwrap();
    let built = cygnet(&rows, "build --json built.json");
    let (out, err) = said(&built);
    assert!(built.status.success(), "{out}{err}");
    assert!(
        err.contains("900 samples of 2 classes")
            && err.contains("data.csv:902 is left out: column `length` is empty")
            && err.contains("data.csv:903 is left out: column `colour`: `pink` is none of"),
        "{err}"
    );
    let built = std::fs::read_to_string(rows.join("built.json")).unwrap();
    let built: serde_json::Value = serde_json::from_str(&built).unwrap();
    assert!(built["bundle_accuracy"].as_f64().unwrap() >= 0.9, "{built}");
    assert_eq!(json(&rows, "build --json -")["up_to_date"], true);
    // A row as it stands in the file, the category by its number in columns.json.
    let columns = std::fs::read_to_string(rows.join("build/columns.json")).unwrap();
    let columns: serde_json::Value = serde_json::from_str(&columns).unwrap();
    assert_eq!(columns[2]["categories"][0], "red");
    for (row, class) in [("2000.5,0.0005,0", "inner"), ("2000.98,0.0001,1", "outer")] {
        let (out, err) = said(&cygnet(
            &rows,
            &format!("run build/rows.cygnet --input {row}"),
        ));
        let best = out
            .lines()
            .find(|l| l.contains("inner") || l.contains("outer"));
        assert!(best.is_some_and(|l| l.contains(class)), "{row}: {out}{err}");
    }
}

#[test]
fn anomalies_are_told_from_normal_rows() {
    let folder = tempfile::tempdir().unwrap();
    let made = cygnet(folder.path(), "new odd --template anomaly-detection");
    assert!(made.status.success(), "{}", said(&made).1);
    let odd = folder.path().join("odd");
    // Normal: four measures that hang together. Anomalies have the same values in another order.
    let mut text = String::from("a,b,c,d,class\n");
    for i in 0..700 {
        let t = (i * 37 % 700) as f64 / 700.0 * 6.2;
        let noise = |k: usize| ((i * 7919 + k * 104_729) % 1000) as f64 / 20_000.0;
        let mut row = [
            t.sin(),
            10.0 * t.cos(),
            t.sin() * t.cos(),
            100.0 + (2.0 * t).cos(),
        ];
        if i >= 600 {
            row = [-row[0], row[1], -row[2] + 0.6, 200.0 - row[3]];
        }
        let row: Vec<String> = row
            .iter()
            .enumerate()
            .map(|(k, v)| (v + noise(k)).to_string())
            .collect();
        text += &format!(
            "{},{}\n",
            row.join(","),
            if i < 600 { "normal" } else { "broken" }
        );
    }
    std::fs::write(odd.join("data/data.csv"), text).unwrap();
    let text = std::fs::read_to_string(odd.join("cygnet.toml")).unwrap();
    let labelled = text.replace("# target", "target");
    std::fs::write(odd.join("cygnet.toml"), &labelled).unwrap();
    let built = cygnet(&odd, "build --json built.json");
    let (out, err) = said(&built);
    assert!(built.status.success(), "{out}{err}");
    assert!(out.contains("area under the ROC curve"), "{out}");
    let built = std::fs::read_to_string(odd.join("built.json")).unwrap();
    let built: serde_json::Value = serde_json::from_str(&built).unwrap();
    assert!(built["anomaly"]["auc"].as_f64().unwrap() > 0.9, "{built}");
    assert!(
        built["anomaly"]["false_alarms"].as_f64().unwrap() < 0.1,
        "{built}"
    );
    assert_eq!(json(&odd, "build --json -")["up_to_date"], true);
    let tested = cygnet(&odd, "test");
    let (out, err) = said(&tested);
    assert!(
        tested.status.success() && out.contains("drop from floats"),
        "{out}{err}"
    );
    // Values far outside of what was learnt score high, whatever the integers of the network can hold.
    let far = cygnet(&odd, "run build/odd.cygnet --input 0,1000,0,100 --json -");
    let far: serde_json::Value = serde_json::from_str(&said(&far).0).unwrap();
    let score = far["outputs"][0]["values"][0].as_f64().unwrap();
    assert!(score > 100.0, "{far}");
    // Without labels all is normal, the class column being left out.
    let without = text
        .replace("ignore = []", "ignore = ['class']")
        .replace("epochs = 100", "epochs = 3");
    std::fs::write(odd.join("cygnet.toml"), &without).unwrap();
    let (out, err) = said(&cygnet(&odd, "build"));
    assert!(out.contains("no anomalies are labelled"), "{out}{err}");
    let wrong = labelled.replace(
        "\"autoencoder\"\nlayers = 1\nhidden = 32\nbottleneck = 4",
        "\"tiny\"\nchannels = 4",
    );
    std::fs::write(odd.join("cygnet.toml"), &wrong).unwrap();
    let wrong = cygnet(&odd, "train");
    assert!(said(&wrong).1.contains("go together"), "{}", said(&wrong).1);
}

/// The boxes of a COCO export become samples, of which no picture is in two parts.
#[test]
fn boxes_of_an_export_are_samples() {
    let folder = tempfile::tempdir().unwrap();
    let project = folder.path();
    pictures(project);
    let (mut images, mut boxes) = (Vec::new(), Vec::new());
    for i in 0..150 {
        for (class, name) in ["across", "down"].iter().enumerate() {
            let id = images.len();
            let file = format!("{name}/{i:03}.png");
            images.push(serde_json::json!({"id": id, "file_name": file}));
            let category = class + 1;
            boxes.push(serde_json::json!({"image_id": id, "category_id": category, "bbox": [0, 0, 20, 20]}));
            boxes.push(serde_json::json!({"image_id": id, "category_id": category, "bbox": [1, 1, 18, 18]}));
        }
    }
    let names = ["across", "down", "slanted"];
    let categories: Vec<_> = (1..)
        .zip(names)
        .map(|(id, name)| serde_json::json!({"id": id, "name": name}))
        .collect();
    let export =
        serde_json::json!({"images": images, "annotations": boxes, "categories": categories});
    std::fs::write(project.join("export.json"), export.to_string()).unwrap();
    let text = TOML
        .replace(
            "[model]",
            "annotations = 'export.json'\ncrops = true\n[model]",
        )
        .replace("[train]", "[train.augment]\ncutmix = 0.5\n[train]");
    std::fs::write(project.join("cygnet.toml"), text).unwrap();
    let trained = cygnet(project, "train --json trained.json");
    let (out, err) = said(&trained);
    assert!(trained.status.success(), "{out}{err}");
    assert!(
        err.contains("600 samples of 3 classes")
            && err.contains("300 groups")
            && err.contains("there are no samples of slanted"),
        "{err}"
    );
    let text = std::fs::read_to_string(project.join("trained.json")).unwrap();
    let trained: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert!(
        trained["model"]["test_accuracy"].as_f64().unwrap() > 0.9,
        "{trained}"
    );
    let text = std::fs::read_to_string(project.join("cygnet.toml")).unwrap();
    std::fs::write(
        project.join("cygnet.toml"),
        text.replace("annotations = 'export.json'", ""),
    )
    .unwrap();
    let wrong = cygnet(project, "train");
    assert!(
        said(&wrong).1.contains("crops = true needs"),
        "{}",
        said(&wrong).1
    );
}

#[test]
fn mistakes_are_named() {
    let folder = tempfile::tempdir().unwrap();
    let none = cygnet(folder.path(), "train");
    assert_eq!(none.status.code(), Some(1));
    assert!(
        said(&none).1.contains("cygnet new NAME"),
        "{}",
        said(&none).1
    );
    let name = cygnet(folder.path(), "new a.b");
    assert_eq!(name.status.code(), Some(2));
    cygnet(folder.path(), "new a");
    let again = cygnet(folder.path(), "new a");
    assert_eq!(again.status.code(), Some(2));
    assert!(said(&again).1.contains("a exists"), "{}", said(&again).1);
    let project = folder.path().join("a");
    // Two pictures are too few to keep some back.
    for (class, value) in [("across", 10u8), ("down", 200)] {
        let class = project.join("data").join(class);
        std::fs::create_dir_all(&class).unwrap();
        let picture = image::GrayImage::from_pixel(4, 4, image::Luma([value]));
        picture.save(class.join("000.png")).unwrap();
    }
    std::fs::write(project.join("cygnet.toml"), TOML).unwrap();
    let few = cygnet(&project, "train");
    assert_eq!(few.status.code(), Some(1));
    assert!(said(&few).1.contains("add samples"), "{}", said(&few).1);
    pictures(&project);
    let text = TOML.replace("[train]", "[build]\nquantize = 'int9'\n[train]");
    let text = text
        .replace("epochs = 12", "epochs = 1")
        .replace("epochs = 8", "epochs = 1");
    std::fs::write(project.join("cygnet.toml"), text).unwrap();
    let wrong = cygnet(&project, "build");
    assert!(!wrong.status.success());
    assert!(
        said(&wrong).1.contains("[build] of cygnet.toml"),
        "{}",
        said(&wrong).1
    );
}
