//! The conformance table is true: no test fails, none that passed before is lost, enough pass, the files are current.

use cygnet_tests::conformance::{self, Outcome};
use cygnet_tests::path;

/// Tests that must pass, with or without constants.
const FLOOR: usize = 850;
/// Base cases of onnx 1.19.1.
const CASES: usize = 1227;

#[test]
fn node_tests() {
    let records = conformance::run("").unwrap_or_else(|reason| panic!("{reason}"));
    assert_eq!(records.len(), CASES, "base node tests of onnx 1.19.1");
    let [pass, frozen, refused, failed] = conformance::totals(&records);
    eprintln!(
        "conformance: {pass} pass, {frozen} pass with constants, {refused} refused, {failed} failed"
    );

    let mut complaints = Vec::new();
    for record in &records {
        if let Outcome::Failed(reason) = &record.outcome {
            complaints.push(format!("{} fails: {reason}", record.name));
        }
    }
    let folder = path::repository().join("tests").join("conformance");
    let read = |name: &str| std::fs::read_to_string(folder.join(name)).unwrap_or_default();
    let (states, expected) = (conformance::states(&records), read("expected.txt"));
    for (now, before) in states.lines().zip(expected.lines()) {
        if now != before {
            complaints.push(format!("was `{before}`, is `{now}`"));
        }
    }
    if states != expected || conformance::table(&records) != read("TABLE.md") {
        complaints.push(
            "the table is out of date: cargo run -p cygnet-tests --bin conformance-table".into(),
        );
    }
    if pass + frozen < FLOOR {
        complaints.push(format!("{} pass, fewer than {FLOOR}", pass + frozen));
    }
    assert!(complaints.is_empty(), "{}", complaints.join("\n"));
}
