//! Runs the node tests and writes the conformance table.

use crate::cases::{self, Case};
use crate::through::{self, Failure, Request};
use crate::{Tensor, compare};
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::channel;
use std::time::Duration;

/// How long one test may take; the slowest takes well below a second.
const LIMIT: Duration = Duration::from_secs(60);
/// The stack of a test's thread: that of a main thread.
const STACK: usize = 8 << 20;

/// What came of a test.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Compiled, ran, and the outputs agree.
    Pass,
    /// The same, after these graph inputs were made constants at compile time.
    PassFrozen(Vec<String>),
    /// The compiler says why it does not take the model.
    Refused(String),
    /// A wrong answer, a run-time error, a panic or a hang.
    Failed(String),
}

impl Outcome {
    /// The state as written to `expected.txt`.
    pub fn state(&self) -> &'static str {
        match self {
            Outcome::Pass => "pass",
            Outcome::PassFrozen(_) => "pass*",
            Outcome::Refused(_) => "refused",
            Outcome::Failed(_) => "failed",
        }
    }
}

/// A finished test.
#[derive(Clone, Debug)]
pub struct Record {
    /// The test's folder name.
    pub name: String,
    /// The operator that it is about.
    pub operator: String,
    /// What came of it.
    pub outcome: Outcome,
}

/// Runs the tests whose name contains `filter`, two at a time, in order of name.
///
/// # Errors
/// When the test data are not there.
pub fn run(filter: &str) -> Result<Vec<Record>, String> {
    let mut folders = cases::folders()?;
    folders.retain(|folder| folder.to_string_lossy().contains(filter));
    let next = AtomicUsize::new(0);
    let (sender, receiver) = channel();
    std::thread::scope(|scope| {
        for _ in 0..2 {
            let sender = sender.clone();
            scope.spawn(|| {
                let sender = sender;
                while let Some(folder) = folders.get(next.fetch_add(1, Ordering::Relaxed)) {
                    if sender.send(watched(folder.clone())).is_err() {
                        break;
                    }
                }
            });
        }
        drop(sender);
    });
    let mut records: Vec<Record> = receiver.iter().collect();
    records.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(records)
}

/// One test in a thread of its own, so that a hang is a result. A thread that hangs is left behind.
fn watched(folder: PathBuf) -> Record {
    let name = folder
        .file_name()
        .map(|name| name.to_string_lossy().into_owned())
        .unwrap_or_default();
    let failed = |reason: String| Record {
        name: name.clone(),
        operator: "?".into(),
        outcome: Outcome::Failed(reason),
    };
    let (sender, receiver) = channel();
    let spawned = std::thread::Builder::new()
        .stack_size(STACK)
        .name(name.clone())
        .spawn(move || {
            let record = match cases::load(&folder) {
                Ok(case) => {
                    let outcome = catch_unwind(AssertUnwindSafe(|| test(&case)));
                    let outcome = outcome.unwrap_or_else(|payload| {
                        Outcome::Failed(format!("panic: {}", text(&payload)))
                    });
                    Ok(Record {
                        name: case.name,
                        operator: case.model.operator,
                        outcome,
                    })
                }
                Err(reason) => Err(reason),
            };
            // The receiver is gone only after the time limit.
            let _ = sender.send(record);
        });
    match spawned {
        Err(error) => failed(format!("no thread: {error}")),
        Ok(_) => match receiver.recv_timeout(LIMIT) {
            Ok(Ok(record)) => record,
            Ok(Err(reason)) => failed(reason),
            Err(_) => failed(format!("hangs: no answer in {} s", LIMIT.as_secs())),
        },
    }
}

fn text(payload: &Box<dyn std::any::Any + Send>) -> String {
    let text = payload.downcast_ref::<String>().map(String::as_str);
    text.or_else(|| payload.downcast_ref::<&str>().copied())
        .unwrap_or("without a message")
        .to_string()
}

/// Compiles and runs every data set of a test.
fn test(case: &Case) -> Outcome {
    let mut frozen = Vec::new();
    for (index, data) in case.data.iter().enumerate() {
        let data = match data {
            Ok(data) => data,
            Err(reason) => return without_data(case, reason),
        };
        match data_set(case, &data.inputs, &data.outputs, &mut frozen) {
            Ok(()) => {}
            Err(Failure::Refused(reason)) => return Outcome::Refused(reason),
            Err(Failure::NeedsConstants(names)) => {
                return Outcome::Refused(format!("needs {}", names.join(", ")));
            }
            Err(Failure::Wrong(reason)) => {
                return Outcome::Failed(format!("data set {index}: {reason}"));
            }
        }
    }
    if frozen.is_empty() {
        Outcome::Pass
    } else {
        Outcome::PassFrozen(frozen)
    }
}

/// Values that programs do not have: the compiler must refuse the model; one that it takes cannot be fed.
fn without_data(case: &Case, reason: &str) -> Outcome {
    match through::compile(&case.bytes, &Request::default()) {
        Err(Failure::Refused(reason)) => Outcome::Refused(reason),
        Err(Failure::NeedsConstants(_)) | Ok(_) => Outcome::Refused(reason.to_string()),
        Err(Failure::Wrong(reason)) => Outcome::Failed(reason),
    }
}

fn data_set(
    case: &Case,
    inputs: &[Tensor],
    outputs: &[Tensor],
    frozen: &mut Vec<String>,
) -> Result<(), Failure> {
    let named = || case.model.inputs.iter().map(|(name, _)| name).zip(inputs);
    let compiled = loop {
        let mut request = Request::default();
        for (name, tensor) in named() {
            if frozen.contains(name) {
                request.constants.push((name.clone(), tensor.clone()));
            } else {
                request.shapes.push((
                    name.clone(),
                    tensor.shape.iter().map(|&extent| extent.into()).collect(),
                ));
            }
        }
        match through::compile(&case.bytes, &request) {
            Err(Failure::NeedsConstants(names)) => {
                let is_input =
                    |name: &String| case.model.inputs.iter().any(|(input, _)| input == name);
                let mut fresh: Vec<String> = names.clone();
                fresh.retain(|name| !frozen.contains(name) && is_input(name));
                fresh.sort();
                fresh.dedup();
                if fresh.is_empty() {
                    return Err(Failure::Refused(format!(
                        "{} must be known at compile time",
                        names.join(", ")
                    )));
                }
                frozen.extend(fresh);
            }
            other => break other?,
        }
    };
    let feeds: Vec<(&str, &Tensor)> = named()
        .filter(|(name, _)| !frozen.contains(name))
        .map(|(name, tensor)| (name.as_str(), tensor))
        .collect();
    let got = compiled.run(&feeds).map_err(Failure::Wrong)?;
    if got.len() != outputs.len() {
        return Err(Failure::Wrong(format!(
            "{} outputs in place of {}",
            got.len(),
            outputs.len()
        )));
    }
    let atol = if cases::NOISY.contains(&case.name.as_str()) {
        1e-6
    } else {
        compare::ATOL
    };
    for (((name, _), expected), (_, got)) in case.model.outputs.iter().zip(outputs).zip(&got) {
        compare::onnx_runner(got, expected, atol)
            .map_err(|reason| Failure::Wrong(format!("{name}: {reason}")))?;
    }
    Ok(())
}

/// Counts of pass, pass with frozen inputs, refused, failed.
pub fn totals(records: &[Record]) -> [usize; 4] {
    let mut totals = [0; 4];
    for record in records {
        totals[match record.outcome {
            Outcome::Pass => 0,
            Outcome::PassFrozen(_) => 1,
            Outcome::Refused(_) => 2,
            Outcome::Failed(_) => 3,
        }] += 1;
    }
    totals
}

/// `expected.txt`: a line a test.
pub fn states(records: &[Record]) -> String {
    let mut text = String::new();
    for record in records {
        let names = if let Outcome::PassFrozen(names) = &record.outcome {
            names.join(" ")
        } else {
            String::new()
        };
        let _ = writeln!(
            text,
            "{}",
            format!("{} {} {names}", record.name, record.outcome.state()).trim_end()
        );
    }
    text
}

/// `TABLE.md`: a line an operator.
pub fn table(records: &[Record]) -> String {
    let [pass, frozen, refused, failed] = totals(records);
    let mut text = format!(
        "# Conformance\n\n\
         The {} base node tests of onnx 1.19.1, each compiled and run. Written by\n\
         `cargo run -p cygnet-tests --bin conformance-table`; CI fails when it is out of date.\n\n\
         **{}** pass ({pass} as they are, {frozen} with inputs such as a shape made constant by `--const`: *pass\\**), \
         {refused} are refused at compile time with the reason below, {failed} fail.\n\n\
         Five tests are held against what the specification says in place of what onnx recorded, two against its\n\
         recording with an absolute tolerance of 1e-6: see `CORRECTED` and `NOISY` in `tests/src/cases.rs`.\n\n\
         | Operator | pass | pass\\* | refused | failed | reasons |\n|---|--:|--:|--:|--:|---|\n",
        records.len(),
        pass + frozen,
    );
    let mut operators: BTreeMap<&str, Vec<Record>> = BTreeMap::new();
    for record in records {
        operators
            .entry(&record.operator)
            .or_default()
            .push(record.clone());
    }
    for (operator, records) in operators {
        let mut reasons: BTreeMap<String, usize> = BTreeMap::new();
        for record in &records {
            match &record.outcome {
                Outcome::Refused(reason) => *reasons.entry(cell(reason)).or_default() += 1,
                Outcome::Failed(reason) => {
                    *reasons
                        .entry(format!("FAILED {}: {}", record.name, cell(reason)))
                        .or_default() += 1
                }
                Outcome::Pass | Outcome::PassFrozen(_) => {}
            }
        }
        let count = |n: usize| if n == 0 { String::new() } else { n.to_string() };
        let reasons: Vec<String> = reasons
            .into_iter()
            .map(|(reason, n)| {
                if n == 1 {
                    reason
                } else {
                    format!("{reason} ({n})")
                }
            })
            .collect();
        let [a, b, c, d] = totals(&records).map(count);
        let _ = writeln!(
            text,
            "| {operator} | {a} | {b} | {c} | {d} | {} |",
            reasons.join("; ")
        );
    }
    text
}

/// A reason on one line, without table separators, of bounded length.
fn cell(reason: &str) -> String {
    let line: String = reason
        .split_whitespace()
        .collect::<Vec<_>>()
        .join(" ")
        .replace('|', "\\|");
    match line.char_indices().nth(160) {
        Some((at, _)) => format!("{}…", &line[..at]),
        None => line,
    }
}
