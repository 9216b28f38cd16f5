//! Projects of sounds and of tables, from the data to a bundle.

mod folder;

use folder::{cygnet, json, said};
use std::path::Path;

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
