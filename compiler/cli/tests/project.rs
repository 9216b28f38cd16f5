//! A project from `cygnet new` to a bundle, as a user goes.

mod folder;

use folder::{cygnet, json, said};
use std::path::Path;

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
