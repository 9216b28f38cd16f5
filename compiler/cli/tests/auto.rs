//! `cygnet compile --quantize auto` as its users meet it.

mod command;

use command::{DATA, cygnet, path, text};
use scraper::{ElementRef, Html, Selector};
use serde_json::Value;
use std::path::Path;
use std::process::Output;

/// A folder with the ten pictures of digits in `pictures`, each in a folder of its class in `classes`, and in a table.
fn folder() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    std::fs::create_dir(at("pictures")).unwrap();
    let mut table = "file,label\n".to_owned();
    for digit in 0..10 {
        let name = format!("digit_{digit}.png");
        let from = Path::new(DATA).join(&name);
        std::fs::copy(&from, at("pictures").join(&name)).unwrap();
        let class = at("classes").join(digit.to_string());
        std::fs::create_dir_all(&class).unwrap();
        std::fs::copy(&from, class.join(&name)).unwrap();
        table += &format!("pictures/{name},{digit}\n");
    }
    std::fs::write(at("truth.csv"), table).unwrap();
    folder
}

fn auto(folder: &Path, more: &[&str]) -> Output {
    let model = format!("{DATA}/digits.onnx");
    let (bundle, pictures) = (path(folder, "digits.cygnet"), path(folder, "pictures"));
    let mut arguments = vec!["compile", &model, "-o", &bundle, "--quantize", "auto"];
    arguments.extend(["--calibrate", &pictures]);
    arguments.extend(more);
    cygnet(&arguments)
}

fn json(path: &str) -> Value {
    serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()
}

#[test]
fn the_smallest_that_agrees_is_taken() {
    let folder = folder();
    let report = path(folder.path(), "report.json");
    let out = auto(folder.path(), &["--max-drop", "0", "--json", &report]);
    assert!(out.status.success(), "{}", text(&out.stderr));
    let said = text(&out.stdout);
    for word in [
        "score: the same best class as the float model",
        "over budget",
        "> ",
    ] {
        assert!(said.contains(word), "no `{word}` in {said}");
    }
    let json = json(&report);
    let search = &json["search"];
    assert_eq!(search["met"], true);
    assert_eq!(search["float_score"], 100.0);
    let points = search["points"].as_array().unwrap();
    assert_eq!(points[0]["name"], "float");
    let chosen: Vec<&Value> = points.iter().filter(|p| p["chosen"] == true).collect();
    assert_eq!(chosen.len(), 1);
    assert_eq!(chosen[0]["drop"], 0.0);
    // The bundle is that point.
    assert_eq!(chosen[0]["flash_bytes"], json["memory"]["program_bytes"]);
    assert_eq!(chosen[0]["ram_bytes"], json["memory"]["arena_bytes"]);
    assert!(chosen[0]["flash_bytes"].as_u64() < points[0]["flash_bytes"].as_u64());
    assert_eq!(json["quantization"]["precision"], "mixed");
    let words = json["provenance"]["options"].to_string();
    assert!(
        words.contains("--quantize auto") && words.contains("--max-drop 0"),
        "{words}"
    );
    let bundle = path(folder.path(), "digits.cygnet");
    let picture = path(folder.path(), "pictures/digit_7.png");
    let out = cygnet(&["run", &bundle, "--input", &picture]);
    assert!(
        text(&out.stdout).trim_start().contains('7'),
        "{}",
        text(&out.stdout)
    );
    // Nothing of this machine is in it.
    let first = std::fs::read(&bundle).unwrap();
    assert!(auto(folder.path(), &["--max-drop", "0"]).status.success());
    assert_eq!(std::fs::read(&bundle).unwrap(), first);
}

#[test]
fn labelled_data_are_read_from_folders_and_tables() {
    let folder = folder();
    let report = path(folder.path(), "report.json");
    for place in ["classes", "truth.csv"] {
        let place = path(folder.path(), place);
        let more = ["--max-drop", "0", "--validate", &place, "--json", &report];
        let out = auto(folder.path(), &more);
        assert!(out.status.success(), "{}", text(&out.stderr));
        let search = &json(&report)["search"];
        assert_eq!(
            (&search["metric"], &search["cases"]),
            (&"top-1 accuracy".into(), &10.into())
        );
        assert_eq!(search["float_score"], 100.0);
    }
    // Labels that are all wrong: nothing is right, so nothing can be lost.
    let table = path(folder.path(), "wrong.csv");
    let rows: String = (0..10)
        .map(|d| format!("pictures/digit_{d}.png,{}\n", (d + 1) % 10))
        .collect();
    std::fs::write(&table, format!("file,label\n{rows}")).unwrap();
    let more = ["--max-drop", "0", "--validate", &table, "--json", &report];
    assert!(auto(folder.path(), &more).status.success());
    assert_eq!(json(&report)["search"]["float_score"], 0.0);
}

/// The cells of each row of the body of a table.
fn rows(page: &Html, table: &str) -> Vec<Vec<String>> {
    let selector = |s: &str| Selector::parse(s).unwrap();
    let cells = |row: ElementRef| {
        let cell = selector("td");
        let cells = row.select(&cell);
        cells.map(|c| c.text().collect::<String>()).collect()
    };
    page.select(&selector(&format!("{table} tbody tr:not(.details)")))
        .map(cells)
        .collect()
}

#[test]
fn a_page_explains_what_was_done() {
    let folder = folder();
    let (page, report) = (
        path(folder.path(), "page.html"),
        path(folder.path(), "report.json"),
    );
    let out = auto(
        folder.path(),
        &["--max-drop", "0", "--report", &page, "--json", &report],
    );
    assert!(out.status.success(), "{}", text(&out.stderr));
    let html = std::fs::read_to_string(&page).unwrap();
    let search = &json(&report)["search"];
    let parsed = Html::parse_document(&html);
    let points = rows(&parsed, "table.points");
    assert_eq!(points.len(), search["points"].as_array().unwrap().len());
    assert_eq!(points[0][0], "float");
    let count = |page: &Html, what: &str| page.select(&Selector::parse(what).unwrap()).count();
    assert!(count(&parsed, "section.quantisation figure svg") >= 2);
    // Nothing is fetched.
    for word in ["src=", "href=", "@import", "url("] {
        assert!(!html.contains(word), "{word}");
    }
    let pictures = path(folder.path(), "pictures");
    let (model, bundle) = (
        format!("{DATA}/digits.onnx"),
        path(folder.path(), "int8.cygnet"),
    );
    let mut arguments = vec!["compile", &model, "-o", &bundle, "--calibrate", &pictures];
    arguments.extend(["--quantize", "int8", "--report", &page, "--json", &report]);
    let out = cygnet(&arguments);
    assert!(out.status.success(), "{}", text(&out.stderr));
    let parsed = Html::parse_document(&std::fs::read_to_string(&page).unwrap());
    let layers = rows(&parsed, "table.layers");
    assert_eq!(layers.len(), 6);
    assert!(
        layers
            .iter()
            .all(|l| l[5].ends_with("dB") && l[9].ends_with("dB")),
        "{layers:?}"
    );
    assert!(count(&parsed, "svg.histogram") >= 6);
    // Details: histograms of input and result, channels of input and weights.
    assert_eq!(count(&parsed, "tr.details"), 6);
    let drawn = "tr.details svg.histogram";
    assert_eq!(count(&parsed, drawn), 24);
    // Float and quantised, by size and by latency.
    assert_eq!(count(&parsed, "div.pair > svg"), 2);
    // Ten samples are few, which is a finding.
    let findings = &json(&report)["findings"];
    assert!(findings.to_string().contains("few-samples"), "{findings}");
    let list = Selector::parse("ol.findings").unwrap();
    let told: String = parsed.select(&list).flat_map(|f| f.text()).collect();
    assert!(told.contains("samples gave the ranges"), "{told}");
}

#[test]
fn budgets_that_cannot_be_kept_end_with_3_and_the_trade_off() {
    let folder = folder();
    let report = path(folder.path(), "report.json");
    let more = ["--max-drop", "0.5", "--max-flash", "4K", "--json", &report];
    let out = auto(folder.path(), &more);
    let (said, error) = (text(&out.stdout), text(&out.stderr));
    assert_eq!(out.status.code(), Some(3), "{error}");
    for word in [
        "none of",
        "--max-flash 4096",
        "comes nearest",
        "the smallest program within --max-drop",
    ] {
        assert!(error.contains(word), "no `{word}` in {error}");
    }
    assert!(said.contains("flash") && said.contains("float"), "{said}");
    assert!(!folder.path().join("digits.cygnet").exists());
    let json = json(&report);
    assert_eq!(json["search"]["met"], false);
    let points = json["search"]["points"].as_array().unwrap();
    assert!(points.len() >= 4);
    let flash = |p: &Value| p["missed"].as_array().unwrap().contains(&"flash".into());
    assert!(points.iter().all(flash));
}

#[cfg(unix)]
#[test]
fn a_command_may_judge() {
    let folder = folder();
    let report = path(folder.path(), "report.json");
    // Bytes of the bundle in units of -10: the smallest is the best, and nothing is lost.
    let judge = path(folder.path(), "judge.sh");
    std::fs::write(
        &judge,
        "echo judging\nsize=$(wc -c < \"$1\")\necho $((-size / 10))\n",
    )
    .unwrap();
    let command = format!("sh {judge} {{}}");
    let more = [
        "--max-drop",
        "0",
        "--metric-command",
        &command,
        "--json",
        &report,
    ];
    let out = auto(folder.path(), &more);
    assert!(out.status.success(), "{}", text(&out.stderr));
    let search = &json(&report)["search"];
    assert!(
        search["float_score"].as_f64().unwrap() < -1000.0,
        "{search}"
    );
    assert!(search["cases"].is_null());
    for (command, word) in [
        ("sh -c 'exit 9'", "failed"),
        ("echo hello", "print a number"),
        ("no-such-command-anywhere", "cannot start"),
        ("echo 'open", "quotation"),
    ] {
        let out = auto(
            folder.path(),
            &["--max-drop", "0", "--metric-command", command],
        );
        assert_eq!(out.status.code(), Some(1), "{}", text(&out.stderr));
        assert!(text(&out.stderr).contains(word), "{}", text(&out.stderr));
    }
}

#[test]
fn what_makes_no_sense_is_named() {
    let folder = folder();
    let table = path(folder.path(), "bad.csv");
    let says = |code: i32, more: &[&str], words: &[&str]| {
        let out = auto(folder.path(), more);
        let said = text(&out.stderr);
        assert_eq!(out.status.code(), Some(code), "{said}");
        for word in words {
            assert!(said.contains(word), "no `{word}` in: {said}");
        }
    };
    says(2, &[], &["--max-drop P"]);
    says(2, &["--max-drop", "-1"], &["0 to 100"]);
    says(
        2,
        &["--max-drop", "1", "--metric", "top1"],
        &["add --validate"],
    );
    says(
        2,
        &[
            "--max-drop",
            "1",
            "--max-latency",
            "5",
            "--target",
            "cortex-m4",
        ],
        &["cortex-m4", "this machine"],
    );
    says(1, &["--max-drop", "1", "--max-flash", "0"], &["0 bytes"]);
    let of = |table: &str| {
        vec![
            "--max-drop".to_owned(),
            "1".into(),
            "--validate".into(),
            table.to_owned(),
        ]
    };
    let check = |code: i32, content: &str, words: &[&str]| {
        std::fs::write(&table, content).unwrap();
        let more = of(&table);
        let more: Vec<&str> = more.iter().map(String::as_str).collect();
        says(code, &more, words);
    };
    check(1, "name,size\na,1\n", &["`file` and `label`", "name, size"]);
    check(1, "file,label\npictures/none.png,1\n", &["none.png"]);
    check(
        1,
        "file,label\npictures/digit_1.png,cat\n",
        &["`cat` is no class", "--labels"],
    );
    check(
        1,
        "file,label\npictures/digit_1.png,77\n",
        &["class 77", "10 elements"],
    );
    check(1, "file,label\n", &["no cases"]);
    let missing = of(&path(folder.path(), "nowhere"));
    let missing: Vec<&str> = missing.iter().map(String::as_str).collect();
    says(2, &missing, &["no such folder or file"]);
}
