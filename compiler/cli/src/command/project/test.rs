//! `cygnet test`: whether a project trains as it should, whether its bundle is as good as it has to be, whether it answers as
//! its examples say.

use super::build::{Built, make_of};
use super::{Say, Source, source};
use crate::args::{Suite, Test};
use crate::command::run;
use crate::decode;
use crate::failure::usage;
use crate::feed::{self, Feed};
use crate::{output, sizes};
use anyhow::{Context, Result, bail};
use cygnet_compiler::bundle::{BundleReader, Preprocess, write_atomically};
use cygnet_compiler::verify::{Runner, RunnerOptions};
use cygnet_training::TrainingError;
use cygnet_training::project::Tests;
use cygnet_training::trial;
use junit_report::{Duration, ReportBuilder, TestCase, TestCaseBuilder, TestSuiteBuilder};
use serde::Serialize;
use std::path::Path;
use std::time::Instant;

/// A test and what it came to.
#[derive(Serialize)]
struct Case {
    suite: &'static str,
    name: String,
    passed: bool,
    said: String,
    seconds: f64,
}

/// The tests of a run.
struct Run {
    cases: Vec<Case>,
    quiet: bool,
}

impl Run {
    /// Does a test, and says what it came to.
    fn case(
        &mut self,
        suite: &'static str,
        name: impl Into<String>,
        test: impl FnOnce() -> Result<trial::Outcome>,
    ) {
        let begin = Instant::now();
        // A test that cannot be done has failed; the others are still worth doing.
        let outcome = test().unwrap_or_else(|error| trial::Outcome {
            passed: false,
            said: crate::failure::message(&error),
        });
        let case = Case {
            suite,
            name: name.into(),
            passed: outcome.passed,
            said: outcome.said,
            seconds: begin.elapsed().as_secs_f64(),
        };
        if !self.quiet {
            let verdict = if case.passed { "pass" } else { "FAIL" };
            let line = format!("{verdict}  {}: {} ({})\n", case.suite, case.name, case.said);
            // Nobody reads: the exit code still tells.
            let _ = output::print(&line);
        }
        self.cases.push(case);
    }

    fn failed(&self) -> usize {
        self.cases.iter().filter(|c| !c.passed).count()
    }
}

/// Tests a project.
pub fn test(args: &Test, quiet: bool) -> Result<()> {
    let folder = &args.project;
    let silent = quiet || output::machine_only(args.json.as_deref());
    let mut run = Run {
        cases: Vec::new(),
        quiet: silent,
    };
    let wanted = |suite: Suite| args.only.is_none_or(|only| only == suite);
    let source = source(folder, silent)?;
    if wanted(Suite::Training) {
        training(&source, &mut run);
    }
    if wanted(Suite::Validation) || wanted(Suite::Functional) {
        let built = make_of(folder, source, Say::Stages.unless(silent), true)?;
        let tests = built.ready().project.test.clone().unwrap_or_default();
        if wanted(Suite::Validation) {
            validation(&built, &tests, &mut run)?;
        }
        if wanted(Suite::Functional) {
            functional(folder, &built, &tests, &mut run);
        }
    }
    if let Some(path) = &args.junit {
        write_atomically(path, &junit(&run.cases)?)
            .with_context(|| format!("cannot write {}", path.display()))?;
    }
    let failed = run.failed();
    if let Some(path) = &args.json {
        #[derive(Serialize)]
        struct Report<'a> {
            passed: usize,
            failed: usize,
            cases: &'a [Case],
        }
        let report = Report {
            passed: run.cases.len() - failed,
            failed,
            cases: &run.cases,
        };
        output::json(path, &report)?;
    }
    if !silent {
        let passed = run.cases.len() - failed;
        output::print(&format!("\n{passed} passed, {failed} failed\n"))?;
    }
    if failed > 0 {
        bail!("{failed} of {} tests failed", run.cases.len());
    }
    Ok(())
}

/// Whether learning works, on the data and the model of the project.
fn training(source: &Source, run: &mut Run) {
    const SUITE: &str = "training";
    let Source {
        project,
        samples,
        split,
    } = source;
    let settings = &project.train;
    let build = || -> std::result::Result<_, TrainingError> {
        let (input, classes) = (samples.input_shape(), samples.classes.len());
        let device = candle_core::Device::Cpu;
        project.model.build(input, classes, settings.seed, &device)
    };
    let parts = (&split.train[..], &split.validation[..]);
    run.case(SUITE, "one batch is learnt by heart", || {
        Ok(trial::overfits_a_batch(
            build()?,
            samples,
            parts.0,
            settings,
        )?)
    });
    run.case(SUITE, "gradients equal finite differences", || {
        Ok(trial::gradients_are_right(build()?, samples, parts.0)?)
    });
    run.case(SUITE, "the loss falls", || {
        Ok(trial::loss_falls(build()?, samples, parts, settings)?)
    });
    run.case(SUITE, "an interrupted run ends as another", || {
        let passing = tempfile::tempdir()?;
        let file = passing.path().join("state.safetensors");
        Ok(trial::resume_equals_uninterrupted(
            build, samples, parts, settings, &file,
        )?)
    });
}

/// Whether something is at least as large as it has to be.
fn at_least(is: f64, least: f32) -> trial::Outcome {
    trial::Outcome {
        passed: is >= f64::from(least),
        said: format!(
            "{:.2} %, at least {:.2} %",
            is * 100.0,
            f64::from(least) * 100.0
        ),
    }
}

/// Whether something is at most as large as it may be.
fn at_most(is: u64, most: &str) -> Result<trial::Outcome> {
    let most = sizes::parse(most).map_err(usage)?;
    Ok(trial::Outcome {
        passed: is <= most,
        said: format!("{}, at most {}", sizes::show(is), sizes::show(most)),
    })
}

/// Whether the bundle is as good as `[test]` says.
fn validation(built: &Built, tests: &Tests, run: &mut Run) -> Result<()> {
    const SUITE: &str = "validation";
    let ready = built.ready();
    let [.., float, bundle] = &built.measured[..] else {
        bail!("internal: a build without a float program and a bundle");
    };
    if let Some(least) = tests.accuracy {
        run.case(SUITE, "accuracy", || Ok(at_least(bundle.accuracy, least)));
    }
    if let Some(least) = tests.class_accuracy {
        for (k, row) in bundle.confusion.iter().enumerate() {
            let all: usize = row.iter().sum();
            let name = format!("accuracy of class {}", ready.samples.classes[k]);
            run.case(SUITE, name, || {
                if all == 0 {
                    bail!("no sample of the class was kept back");
                }
                Ok(at_least(row[k] as f64 / all as f64, least))
            });
        }
    }
    if let Some(most) = tests.max_drop {
        run.case(SUITE, "drop from floats", || {
            let drop = float.accuracy - bundle.accuracy;
            Ok(trial::Outcome {
                passed: drop <= f64::from(most),
                said: format!(
                    "{:.2} %, at most {:.2} %",
                    drop * 100.0,
                    f64::from(most) * 100.0
                ),
            })
        });
    }
    if let Some(most) = &tests.max_ram {
        run.case(SUITE, "RAM", || at_most(bundle.arena_bytes, most));
    }
    if let Some(most) = &tests.max_flash {
        run.case(SUITE, "flash", || at_most(bundle.program_bytes, most));
    }
    for slice in &tests.slices {
        run.case(SUITE, format!("accuracy of {}", slice.name), || {
            let groups = &ready.samples.groups;
            if groups.is_empty() {
                bail!("samples have no groups: [data] group = \"PATTERN\" names them");
            }
            let inside = |i: &usize| slice.groups.contains(&groups[*i]);
            let all = ready.split.test.iter().filter(|i| inside(i)).count();
            let wrong = bundle.wrong.iter().filter(|w| inside(&w.0)).count();
            if all == 0 {
                bail!("no sample of the groups {:?} was kept back", slice.groups);
            }
            Ok(at_least((all - wrong) as f64 / all as f64, slice.accuracy))
        });
    }
    Ok(())
}

/// Whether the bundle answers as it says itself, and as `[[test.examples]]` says.
fn functional(folder: &Path, built: &Built, tests: &Tests, run: &mut Run) {
    const SUITE: &str = "functional";
    run.case(SUITE, "golden examples", || {
        let runner = Runner::open(&built.bundle, &RunnerOptions::default())?;
        let count = runner.self_test()?;
        Ok(trial::Outcome {
            passed: count > 0,
            said: format!("{count} of the bundle's own come out"),
        })
    });
    for example in &tests.examples {
        run.case(SUITE, example.file.display().to_string(), || {
            let classes = &built.ready().samples.classes;
            let Some(wanted) = classes.iter().position(|c| *c == example.class) else {
                bail!(
                    "{} is no class: there are {}",
                    example.class,
                    classes.join(", ")
                );
            };
            let scores = answer(&built.bundle, &folder.join(&example.file))?;
            let best = decode::top(&scores, 1, Some(classes));
            let score = scores.get(wanted).copied().unwrap_or_default();
            let (index, label) = best.first().map_or((0, String::new()), |b| {
                (b.index, b.label.clone().unwrap_or_default())
            });
            Ok(trial::Outcome {
                passed: index == wanted && score >= example.score,
                said: format!(
                    "{label}; {} has {score:.3}, at least {:.3}",
                    example.class, example.score
                ),
            })
        });
    }
}

/// What a bundle answers to a file.
fn answer(bundle: &Path, file: &Path) -> Result<Vec<f32>> {
    let reader = BundleReader::open(bundle)?;
    let manifest = &reader.manifest;
    let mut runner = Runner::open(bundle, &RunnerOptions::default())?;
    let wish = manifest
        .preprocess
        .clone()
        .unwrap_or_else(Preprocess::default);
    let tensor = manifest.inputs.first().context("the bundle has no input")?;
    let text = file.display().to_string();
    let mut feed = feed::read_one(&text, file, tensor, manifest, &wish, 1)?;
    match &mut feed {
        // As long as the sounds that the project learns from.
        Feed::Sound(samples, _) => {
            samples.truncate(tensor.max_shape.iter().product::<u64>() as usize)
        }
        Feed::Frames(_) => bail!("{text} holds several arrays: a case is one"),
        Feed::Array(_) | Feed::Picture(..) => {}
    }
    let array = run::whole(feed, manifest, 0)?;
    runner.set_input(0, &array)?;
    runner.run()?;
    Ok(runner.output(0)?.to_f32())
}

/// The tests as a JUnit report.
fn junit(cases: &[Case]) -> Result<Vec<u8>> {
    let mut report = ReportBuilder::new();
    let mut suites: Vec<&str> = cases.iter().map(|c| c.suite).collect();
    suites.dedup();
    for suite in suites {
        let of = |c: &&Case| c.suite == suite;
        let made = cases.iter().filter(of).map(|case| -> TestCase {
            let time = Duration::seconds_f64(case.seconds);
            let mut made = if case.passed {
                TestCaseBuilder::success(&case.name, time)
            } else {
                TestCaseBuilder::failure(&case.name, time, "failure", &case.said)
            };
            made.set_classname(suite).set_system_out(&case.said);
            made.build()
        });
        let mut built = TestSuiteBuilder::new(suite);
        built.add_testcases(made);
        report.add_testsuite(built.build());
    }
    let mut out = Vec::new();
    report
        .build()
        .write_xml(&mut out)
        .context("cannot write the JUnit report")?;
    Ok(out)
}
