//! Trials as tasks of Slurm job arrays: one array for each comparison of a generation. Workers and the sweep share the
//! project's folder; records come back through it.

use super::record::Record;
use super::trial::{Job, Site};
use super::workers::Progress;
use crate::args::Sweep;
use crate::failure::usage;
use anyhow::{Context, Result, bail};
use cygnet_compiler::bundle::{sha256_hex, write_atomically};
use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::process::Command;

/// A cluster.
pub struct Slurm {
    /// The project's folder, for those who do not stand here.
    project: PathBuf,
    /// Lines `#SBATCH` of every script.
    options: Vec<String>,
    /// Tasks that run at once.
    jobs: usize,
    /// This program.
    program: PathBuf,
}

impl Slurm {
    pub fn new(site: &Site, args: &Sweep) -> Result<Self> {
        if let Some(odd) = args
            .slurm_option
            .iter()
            .find(|o| !o.starts_with('-') || o.contains('\n'))
        {
            return Err(usage(format!(
                "--slurm-option {odd}: write an option of sbatch, such as --slurm-option=--partition=gpu"
            )));
        }
        let found = Command::new("sbatch").arg("--version").output();
        found.context("--slurm submits by `sbatch`, which is not here: install Slurm's client, or leave --slurm out")?;
        Ok(Self {
            project: site.folder.canonicalize()?,
            options: args.slurm_option.clone(),
            jobs: args.jobs.max(1),
            program: std::env::current_exe().context("cannot find this program")?,
        })
    }

    /// The script of an array of so many tasks.
    fn script(&self, name: &str, step: &Path, tasks: usize) -> Result<String> {
        let quoted = |path: &Path| -> Result<String> {
            let text = path
                .to_str()
                .with_context(|| format!("{} is no text", path.display()))?;
            Ok(shlex::try_quote(text)?.into_owned())
        };
        let logs = step.with_extension("%a.log");
        let mut text = format!(
            "#!/bin/sh\n#SBATCH --job-name=cygnet-{name}\n#SBATCH --array=0-{}%{}\n#SBATCH --output={}\n",
            tasks - 1,
            self.jobs,
            logs.display()
        );
        for option in &self.options {
            writeln!(text, "#SBATCH {option}")?;
        }
        writeln!(
            text,
            "exec {} sweep --project {} --step {} --index \"$SLURM_ARRAY_TASK_ID\"",
            quoted(&self.program)?,
            quoted(&self.project)?,
            quoted(step)?
        )?;
        Ok(text)
    }

    /// Submits the jobs that are not done, waits for them, and collects all records.
    pub fn run(&self, site: &Site, jobs: &[Job], progress: &mut Progress) -> Result<Vec<Record>> {
        let mut left = Vec::new();
        for job in jobs {
            let known = site.known(&job.values)?;
            if !known.is_some_and(|record| is_done(site, &record, job)) {
                left.push(job);
            }
        }
        if !left.is_empty() {
            let folder = self.project.join("runs/sweep/slurm");
            std::fs::create_dir_all(&folder)
                .with_context(|| format!("cannot make {}", folder.display()))?;
            let text = serde_json::to_vec_pretty(&left)?;
            let step = folder.join(format!("{}.json", &sha256_hex(&text)[..16]));
            write_atomically(&step, &text)?;
            let script = step.with_extension("sh");
            write_atomically(
                &script,
                self.script(&site.project.name, &step, left.len())?
                    .as_bytes(),
            )?;
            progress.say(&format!(
                "{} trials go to Slurm: {}",
                left.len(),
                script.display()
            ));
            let sent = Command::new("sbatch").arg("--wait").arg(&script).output();
            let sent = sent.context("cannot start sbatch")?;
            // Where a task fails, its record, or that there is none, says more.
            if !sent.status.success() && sent.stdout.is_empty() {
                bail!(
                    "sbatch does not take {}: {}",
                    script.display(),
                    String::from_utf8_lossy(&sent.stderr).trim()
                );
            }
        }
        let mut records = Vec::new();
        for job in jobs {
            let record = site.known(&job.values)?;
            let logs = self.project.join("runs/sweep/slurm");
            let record = record.filter(|r| is_done(site, r, job) || r.failure.is_some());
            records.push(record.with_context(|| {
                format!(
                    "a task of Slurm ended without a result: its log is in {}; run the sweep again to go on",
                    logs.display()
                )
            })?);
        }
        Ok(records)
    }
}

/// Whether nothing is left of a job.
fn is_done(site: &Site, record: &Record, job: &Job) -> bool {
    let over = record.bundle.is_none()
        && record.footprint.is_some()
        && !site.limits.missed(record).is_empty();
    record.failure.is_none()
        && (over
            || record.bundle.is_some()
            || job
                .until
                .is_some_and(|epochs| record.rungs.contains_key(&epochs)))
}

/// Does one job of a step: what a task of an array is.
pub fn work(site: &Site, step: &Path, index: usize) -> Result<()> {
    let text = std::fs::read(step).with_context(|| format!("cannot read {}", step.display()))?;
    let jobs: Vec<Job> = serde_json::from_slice(&text)
        .with_context(|| format!("{} is no step of a sweep", step.display()))?;
    let job = jobs.get(index).with_context(|| {
        format!(
            "{} has {} jobs and none of number {index}",
            step.display(),
            jobs.len()
        )
    })?;
    let record = site.work(job)?;
    match record.failure {
        None => Ok(()),
        Some(failure) => bail!("{failure}"),
    }
}
