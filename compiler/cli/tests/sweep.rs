//! A search over a project's settings, on the digits that the command carries.

mod folder;

use folder::{cygnet, json, said};
use serde_json::Value;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

const TOML: &str = "name = 'digits'
[data]
images = 'data/digits-images.idx'
labels = 'data/digits-labels.idx'
[model]
architecture = 'resnet'
stages = 2
blocks = 1
width = 0.5
[teacher.model]
architecture = 'resnet'
stages = 1
blocks = 1
width = 0.5
[teacher.train]
epochs = 1
[train]
epochs = 5
batch = 64
rate = 0.006
[sweep]
trials = 8
generation = 4
startup = 4
first_epochs = 1
reduction = 2
[sweep.limits]
max_flash = '24K'
accuracy = 0.3
[sweep.space]
'model.width' = { low = 0.25, high = 1.5, step = 0.25 }
'train.rate' = { low = 0.001, high = 0.02, log = true }
'build.quantize' = ['int8', 'none']
";

fn project(text: &str) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    std::fs::create_dir(&data).unwrap();
    for name in ["digits-images.idx", "digits-labels.idx"] {
        let from = Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("data")
            .join(name);
        std::fs::copy(from, data.join(name)).unwrap();
    }
    std::fs::write(folder.path().join("cygnet.toml"), text).unwrap();
    folder
}

/// What does not depend on the machine.
fn lasting(figures: &Value) -> Vec<Value> {
    let mut trials = figures["trials"].as_array().unwrap().clone();
    for trial in &mut trials {
        for part in ["footprint", "bundle"] {
            if let Some(part) = trial[part].as_object_mut() {
                assert!(part.remove("latency_ms").unwrap().as_f64().unwrap() > 0.0);
            }
        }
    }
    trials
}

#[test]
fn the_best_keeps_the_budget_and_builds() {
    let folder = project(TOML);
    let folder = folder.path();
    let found = json(folder, "sweep --jobs 2 --json -");
    let trials = found["trials"].as_array().unwrap();
    assert_eq!(trials.len(), 8);
    let count = |status: &str| trials.iter().filter(|t| t["status"] == status).count();
    let flash = |t: &Value| t["footprint"]["program_bytes"].as_u64().unwrap();
    for t in trials {
        // What is too large is not trained.
        assert_eq!(t["status"] == "too_large", flash(t) > 24 << 10, "{t}");
        assert_eq!(
            t["rungs"].as_object().unwrap().is_empty(),
            flash(t) > 24 << 10,
            "{t}"
        );
    }
    assert!(
        count("too_large") > 0 && count("stopped") > 0 && count("kept") > 0,
        "{found}"
    );
    let best = &found["best"];
    let right = best["bundle"]["validation_accuracy"].as_f64().unwrap();
    for t in trials.iter().filter(|t| t["status"] == "kept") {
        assert!(
            t["bundle"]["validation_accuracy"].as_f64().unwrap() <= right,
            "{found}"
        );
    }
    assert_eq!(best["on_front"], true);
    assert!(right >= 0.3, "{best}");

    // The best is a project; what was trained for it is taken as it is.
    let built = json(folder, "build --project build/best --json -");
    assert_eq!(built["model"]["up_to_date"], true, "{built}");
    assert_eq!(built["teacher"]["up_to_date"], true, "{built}");
    assert_eq!(
        built["networks"].as_array().unwrap().last().unwrap()["accuracy"],
        best["bundle"]["test_accuracy"]
    );
    let page = std::fs::read_to_string(folder.join("build/sweep.html")).unwrap();
    assert!(
        page.contains("What is possible") && page.matches("<circle").count() >= 2,
        "{page}"
    );
    let picture = std::fs::read_to_string(folder.join("build/sweep.svg")).unwrap();
    assert!(picture.starts_with("<svg xmlns") && picture.contains("program, KiB"));

    // The same again does nothing; more trials begin with those that are done.
    let begin = Instant::now();
    let again = json(folder, "sweep --json -");
    assert_eq!(lasting(&again), lasting(&found));
    assert_eq!(
        again["trials"], found["trials"],
        "figures are measured once"
    );
    assert!(begin.elapsed() < Duration::from_secs(60));

    // A sweep that is killed goes on to the same end, with another number of jobs.
    let other = project(TOML);
    let other = other.path();
    let mut killed = Command::new(env!("CARGO_BIN_EXE_cygnet"))
        .args(["sweep", "--quiet"])
        .current_dir(other)
        .spawn()
        .unwrap();
    let done = || {
        let trials = std::fs::read_dir(other.join("runs/sweep/trials"));
        let trials = trials.into_iter().flatten().flatten();
        trials
            .filter(|t| t.path().join("trial.json").exists())
            .count()
    };
    let begin = Instant::now();
    while done() < 2 && begin.elapsed() < Duration::from_secs(120) {
        std::thread::sleep(Duration::from_millis(20));
    }
    killed.kill().unwrap();
    killed.wait().unwrap();
    assert!(
        !other.join("build/sweep.html").exists(),
        "it was too fast to be killed"
    );
    let resumed = json(other, "sweep --jobs 2 --json -");
    assert_eq!(lasting(&resumed), lasting(&found));
}

#[test]
fn a_microcontroller_is_timed_by_its_instructions() {
    let text = TOML
        .replace("trials = 8", "trials = 4")
        .replace("'24K'", "'1M'")
        .replace("epochs = 5", "epochs = 1")
        .replace("accuracy = 0.3", "max_latency_ms = 12\nclock_mhz = 80")
        .replace("[train]", "[build]\ntarget = 'cortex-m4'\n[train]")
        .replace("['int8', 'none']", "['int8']");
    let folder = project(&text);
    let found = json(folder.path(), "sweep --json -");
    assert!(
        found["latency_by"].as_str().unwrap().contains("80 MHz"),
        "{found}"
    );
    for trial in found["trials"].as_array().unwrap() {
        let ms = trial["footprint"]["latency_ms"].as_f64().unwrap();
        // A quarter to three halves of ResNet's width at 8 x 8 pixels.
        assert!((0.2..60.0).contains(&ms), "{trial}");
        assert_eq!(ms > 12.0, trial["status"] == "too_large", "{trial}");
    }
    let kept = found["best"]["bundle"]["latency_ms"].as_f64();
    assert!(kept.unwrap() <= 12.0, "{found}");
}

#[test]
fn mistakes_are_told_before_anything_is_trained() {
    for (text, code, words) in [
        (&TOML[..TOML.find("[sweep]").unwrap()], 1, "has no [sweep]"),
        (
            &TOML.replace("low = 0.25", "low = -1.0"),
            1,
            "[sweep.space] model.width",
        ),
        (
            &TOML.replace("'train.rate'", "'train.speed'"),
            1,
            "unknown field `speed`",
        ),
        (&TOML.replace("['int8', 'none']", "[]"), 1, "no choices"),
        (&TOML.replace("'24K'", "'24 apples'"), 1, "max_flash"),
        (
            &TOML
                .replace("accuracy = 0.3", "max_latency_ms = 3")
                .replace("[train]", "[build]\ntarget = 'cortex-m4'\n[train]"),
            1,
            "clock_mhz",
        ),
        (
            &TOML
                .replace("'24K'", "'100'")
                .replace("trials = 8", "trials = 2"),
            3,
            "none of 2 trials keeps all of [sweep.limits]",
        ),
    ] {
        let folder = project(text);
        let output = cygnet(folder.path(), "sweep --quiet");
        let (out, err) = said(&output);
        assert_eq!(output.status.code(), Some(code), "{words}: {out}{err}");
        assert!(err.contains(words), "{words}: {err}");
        let trained = folder.path().join("runs/sweep/teachers").exists();
        assert!(!trained, "{words}: something was trained");
    }
}
