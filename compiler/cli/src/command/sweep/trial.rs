//! One trial: a project with some of its settings changed, in a folder that its content names.

use super::latency::Clock;
use super::record::{Bundle, Footprint, Limits, Record, Values};
use crate::args::Target;
use crate::command::project::{self, Places, Source};
use crate::failure;
use crate::sizes;
use anyhow::{Context, Result, anyhow, bail};
use clap::ValueEnum;
use cygnet_compiler::bundle::{BundleReader, sha256_hex, write_atomically};
use cygnet_compiler::verify::{Runner, RunnerOptions};
use cygnet_training::data::{Samples, Split};
use cygnet_training::project::{FILE, Project};
use cygnet_training::search::{Sweep, set};
use serde::{Deserialize, Serialize};
use std::collections::HashMap;
use std::collections::btree_map::Entry;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use toml::Table;

/// Samples that a candidate is timed on.
const TIMED: usize = 5;

/// What a worker is asked for: these settings, trained up to an epoch, or to their end and compiled.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Job {
    pub values: Values,
    pub until: Option<usize>,
}

type Data = (Arc<Samples>, Arc<Split>);

/// A project that is searched.
pub struct Site {
    pub folder: PathBuf,
    pub project: Project,
    pub sweep: Sweep,
    pub limits: Limits,
    /// How latency is told, if it is.
    pub clock: Option<Clock>,
    /// The project's file without what says how it is searched.
    pub table: Table,
    /// Whether nothing is said of the data.
    silent: bool,
    /// Data by their description: several trials share them.
    data: Mutex<HashMap<String, Data>>,
}

impl Site {
    /// Reads a project that says how it is searched.
    pub fn open(folder: &Path, silent: bool) -> Result<Self> {
        let project = Project::read(folder)?;
        let path = folder.join(FILE);
        let text = std::fs::read_to_string(&path)
            .with_context(|| format!("cannot read {}", path.display()))?;
        let mut table: Table = toml::from_str(&text)?;
        table.remove("sweep");
        let Some(sweep) = project.sweep.clone() else {
            bail!(
                "{} has no [sweep]: add what is varied, such as\n  [sweep.space]\n  \"model.width\" = {{ low = 0.25, high = 1.0 }}\n  \"train.rate\" = {{ low = 0.0005, high = 0.01, log = true }}\nand [sweep.limits] max_flash = \"64K\"; see `cygnet sweep --help`",
                path.display()
            );
        };
        let size = |name: &str, text: &Option<String>| {
            let read =
                |t: &String| sizes::parse(t).map_err(|e| anyhow!("[sweep.limits] {name}: {e}"));
            text.as_ref().map(read).transpose()
        };
        let asked = &sweep.limits;
        let limits = Limits {
            accuracy: asked.accuracy.map(f64::from),
            ram: size("max_ram", &asked.max_ram)?,
            flash: size("max_flash", &asked.max_flash)?,
            latency_ms: asked.max_latency_ms,
        };
        let target = Target::from_str(&project.build.target, false)
            .map_err(|_| anyhow!("[build] target = {:?} is none", project.build.target))?;
        let clock = match (target, asked.clock_mhz) {
            (Target::Host, _) => Some(Clock::Host),
            (Target::Android | Target::Ios | Target::Wasm, _) => None,
            (target, Some(mhz)) => Some(Clock::Model { target, mhz }),
            (_, None) => None,
        };
        if clock.is_none() && limits.latency_ms.is_some() {
            bail!(
                "[sweep.limits] max_latency_ms: how long a run takes on {} {}",
                project.build.target,
                match target {
                    Target::Android | Target::Ios | Target::Wasm =>
                        "is not known here; limit max_flash and max_ram, and measure there with `cygnet bench`",
                    _ => "follows from its clock: add clock_mhz",
                }
            );
        }
        Ok(Self {
            folder: folder.to_owned(),
            project,
            sweep,
            limits,
            clock,
            table,
            silent,
            data: Mutex::default(),
        })
    }

    /// The folder of everything that trials leave.
    pub fn runs(&self) -> PathBuf {
        self.folder.join("runs/sweep")
    }

    /// The project's file with other settings.
    pub fn with(&self, values: &Values) -> Result<Table> {
        let mut table = self.table.clone();
        for (path, value) in values {
            set(&mut table, path, value.clone()).map_err(|e| anyhow!(e))?;
        }
        Ok(table)
    }

    /// The project with other settings, its data, and the folder of its trial.
    pub fn trial(&self, values: &Values) -> Result<(Source, Places)> {
        let mut table = self.with(values)?;
        let project = Project::of_table(table.clone())?;
        let key = format!("{:?} {:?}", project.data, project.features);
        // Whoever needs the same data waits for who reads them.
        let mut all = self.data.lock().unwrap_or_else(PoisonError::into_inner);
        let (samples, split) = match all.get(&key) {
            Some(data) => data.clone(),
            None => {
                let read = project::read(
                    &self.folder,
                    project.clone(),
                    self.silent || !all.is_empty(),
                )?;
                all.insert(key, (read.samples.clone(), read.split.clone()));
                (read.samples, read.split)
            }
        };
        drop(all);
        // Neither changes what a trial comes to.
        for section in ["test", "track"] {
            table.remove(section);
        }
        let data = project::digest_of(&samples, &split);
        let content = format!(
            "{} {} {data}",
            env!("CARGO_PKG_VERSION"),
            toml::to_string(&table)?
        );
        let digest = sha256_hex(content.as_bytes());
        let source = Source {
            project,
            samples,
            split,
        };
        let places = Places {
            project: self.folder.clone(),
            runs: self.runs().join("trials").join(&digest[..24]),
            teachers: Some(self.runs().join("teachers")),
        };
        Ok((source, places))
    }

    /// What is known of a trial.
    pub fn known(&self, values: &Values) -> Result<Option<Record>> {
        let (_, places) = self.trial(values)?;
        let text = std::fs::read(places.runs.join("trial.json"));
        Ok(text.ok().and_then(|t| serde_json::from_slice(&t).ok()))
    }

    /// Does what a job asks for, as far as it is not done; what stands in the way is in the record.
    pub fn work(&self, job: &Job) -> Result<Record> {
        let failed = |error: &anyhow::Error| Record {
            values: job.values.clone(),
            failure: Some(failure::message(error)),
            ..Record::default()
        };
        let (source, places) = match self.trial(&job.values) {
            Ok(found) => found,
            Err(error) => return Ok(failed(&error)),
        };
        let path = places.runs.join("trial.json");
        let cannot = || format!("cannot write {}", path.display());
        std::fs::create_dir_all(&places.runs).with_context(cannot)?;
        let known = std::fs::read(&path).ok();
        let known = known.and_then(|t| serde_json::from_slice::<Record>(&t).ok());
        let mut record = known.unwrap_or_else(|| Record {
            values: job.values.clone(),
            ..Record::default()
        });
        record.failure = None;
        if let Err(error) = self.go_on(job.until, source, &places, &mut record) {
            record.failure = failed(&error).failure;
        }
        write_atomically(&path, &serde_json::to_vec_pretty(&record)?).with_context(cannot)?;
        Ok(record)
    }

    fn go_on(
        &self,
        until: Option<usize>,
        source: Source,
        places: &Places,
        record: &mut Record,
    ) -> Result<()> {
        // What training decides is not known before.
        let settled = source.project.build.quantize != "auto" && source.project.prune.is_none();
        if settled && record.footprint.is_none() {
            record.footprint = Some(self.footprint(&source, places)?);
        }
        if record.bundle.is_some() || !self.limits.missed(record).is_empty() {
            return Ok(());
        }
        if let Some(epochs) = until {
            if let Entry::Vacant(rung) = record.rungs.entry(epochs) {
                rung.insert(project::advance(places, &source, epochs)?);
            }
            return Ok(());
        }
        let ready = project::ready(places, source, project::Say::Nothing)?;
        let bundle = places.runs.join("bundle.cygnet");
        let aware = ready.trained.quantized.is_some();
        project::bundle(
            ready.source(),
            (&ready.onnx, aware),
            &places.runs,
            &bundle,
            true,
        )?;
        let mut runner = Runner::open(&bundle, &RunnerOptions::default())?;
        let takes = self.takes(
            &bundle,
            &mut runner,
            ready.source(),
            ready.trained.floats().parameters,
        )?;
        let (samples, split) = (&ready.samples, &ready.split);
        let stream = ready.project.build.stream;
        record.bundle = Some(Bundle {
            takes,
            validation_accuracy: project::right(samples, &split.validation, stream, &mut runner)?,
            test_accuracy: project::right(samples, &split.test, stream, &mut runner)?,
            epochs: ready.trained.model.epochs,
        });
        Ok(())
    }

    /// What a candidate takes before it is trained: the same as after that.
    fn footprint(&self, source: &Source, places: &Places) -> Result<Footprint> {
        let (onnx, bundle) = (
            places.runs.join("untrained.onnx"),
            places.runs.join("untrained.cygnet"),
        );
        let parameters = project::untrained(source, &onnx)?;
        let parts = (&source.project, &*source.samples, &*source.split);
        project::bundle(parts, (&onnx, false), &places.runs, &bundle, true)?;
        let mut runner = Runner::open(&bundle, &RunnerOptions::default())?;
        let takes = self.takes(&bundle, &mut runner, parts, parameters)?;
        for path in [onnx, bundle] {
            std::fs::remove_file(&path)
                .with_context(|| format!("cannot remove {}", path.display()))?;
        }
        Ok(takes)
    }

    fn takes(
        &self,
        bundle: &Path,
        runner: &mut Runner,
        (project, samples, split): (&Project, &Samples, &Split),
        parameters: usize,
    ) -> Result<Footprint> {
        let mut reader = BundleReader::open(bundle)?;
        let stream = project.build.stream;
        let timed = split.validation.iter().take(TIMED);
        let timed: Vec<_> = timed
            .flat_map(|&i| project::arrays(samples, i, stream))
            .collect();
        let latency = self.clock.map(|c| c.milliseconds(runner, &timed));
        Ok(Footprint {
            parameters,
            program_bytes: reader.entry("program.cyg")?.len() as u64,
            arena_bytes: reader.manifest.memory.arena_bytes,
            latency_ms: latency.transpose()?,
        })
    }
}
