//! The pages in a real browser, headless Chromium: nothing complains, charts have room, everything can be clicked.

mod command;

use command::{DATA, cygnet, path, text};
use std::path::Path;
use std::process::Command;

/// What looks at pages: see its first lines.
const CHECK: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/browser/check.mjs");

/// Runs the command line, which has to succeed.
fn good(arguments: &[&str]) {
    let out = cygnet(arguments);
    assert!(out.status.success(), "{arguments:?}: {}", text(&out.stderr));
}

/// Looks at pages: whether they are sound, what was looked at, what is wrong. Pictures go to a folder.
fn look(pictures: &Path, pages: &[String]) -> (bool, String, String) {
    let out = Command::new("node")
        .arg(CHECK)
        .arg(pictures)
        .args(pages)
        .output()
        .expect("node runs: ./test.sh --quick installs it on Debian");
    (out.status.success(), text(&out.stdout), text(&out.stderr))
}

#[test]
fn pages_are_sound_in_a_browser() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| path(folder.path(), name);
    std::fs::create_dir(at("pictures")).unwrap();
    for digit in 0..10 {
        let name = format!("digit_{digit}.png");
        let from = Path::new(DATA).join(&name);
        std::fs::copy(from, at(&format!("pictures/{name}"))).unwrap();
    }
    let model = format!("{DATA}/digits.onnx");
    let (bundle, pictures) = (at("digits.cygnet"), at("pictures"));
    let mut pages = Vec::new();
    for (name, more) in [
        ("plain", vec![]),
        ("int8", vec!["--quantize", "int8", "--calibrate", &pictures]),
        (
            "auto",
            vec![
                "--quantize",
                "auto",
                "--calibrate",
                &pictures,
                "--max-drop",
                "0",
            ],
        ),
        ("int8-weights", vec!["--quantize", "int8-weights"]),
    ] {
        let page = at(&format!("{name}.html"));
        let mut arguments = vec!["compile", &model, "-o", &bundle, "--report", &page];
        arguments.extend(more);
        good(&arguments);
        pages.push(page);
    }
    let page = at("bench.html");
    let profile = ["--profile", "--runs", "3", "--report", &page];
    good(&[&["bench", bundle.as_str()], &profile[..]].concat());
    pages.push(page);

    // A project's page; what it is to look like does not depend on how well it was trained.
    let tour = at("tour");
    good(&["demo", "--output", &tour]);
    let page = at("build.html");
    std::fs::copy(format!("{tour}/build/digits.html"), &page).unwrap();
    pages.push(page);

    // target/pages, beside the profile's folder.
    let target = Path::new(env!("CARGO_TARGET_TMPDIR")).parent().unwrap();
    let pictures = target.join("pages");
    let (sound, said, faults) = look(&pictures, &pages);
    assert!(sound, "{said}{faults}");
    assert_eq!(said.lines().count(), 4 * pages.len(), "{said}");
    for page in &pages {
        let name = Path::new(page).file_stem().unwrap().to_string_lossy();
        let picture = pictures.join(format!("{name}-1280-dark.png"));
        assert!(std::fs::metadata(&picture).unwrap().len() > 10_000);
    }
}

#[test]
fn faults_of_pages_are_seen() {
    let folder = tempfile::tempdir().unwrap();
    let page = path(folder.path(), "faulty.html");
    let faulty = "<!doctype html><html lang='en'><meta charset='utf-8'><title>faulty</title>
        <svg role='img' viewBox='0 0 400 100' width='300'><title>cut</title><rect width='9' height='9'/>
        <text x='390' y='50'>label</text></svg>
        <svg role='img' viewBox='0 0 9 9' width='9' height='9'><title>small</title><rect width='9' height='9'/></svg>
        <table class='sortable'><thead><tr><th><button>dead</button></th></tr></thead><tbody><tr><td>1</td></tr></tbody></table>
        <p style='color:#bbb;background:#fff'>pale</p><div style='width:500px'>wide</div>
        <script>console.error('said so'); missing()</script>";
    std::fs::write(&page, faulty).unwrap();
    let (sound, said, faults) = look(folder.path(), &[page]);
    assert!(!sound, "{said}{faults}");
    for fault in [
        "400 px, light: the page is",
        "\"wide\" ends at",
        "\"pale\" has a contrast of",
        "the label \"label\" is cut off",
        "chart \"small\" is 9 x 9 px",
        "column \"dead\"",
        "console: said so",
        "ReferenceError: missing",
    ] {
        assert!(faults.contains(fault), "no `{fault}` in {faults}");
    }
}
