//! `cygnet sweep`: the settings of a project that give the best model within a device's budget.
//!
//! Trials are chosen and compared in generations (`cygnet_training::search`). What a trial came to lies in a folder that its
//! content names, so that a sweep that was interrupted goes on, and one with more trials begins with those that are done.

mod latency;
mod page;
mod record;
mod slurm;
mod trial;
mod winner;
mod workers;

use crate::args::Sweep;
use crate::failure::BudgetMissed;
use crate::{output, sizes};
use anyhow::{Context, Result, bail};
use cygnet_compiler::bundle::write_atomically;
use cygnet_training::random::Random;
use cygnet_training::search::{Method, Objective, Parameter, front, propose};
use record::{Bundle, Record, Standing, Values, compare};
use serde::Serialize;
use std::fmt::Write;
use std::fs::File;
use std::path::Path;
use trial::{Job, Site};
use workers::{Progress, Workers};

/// How often values are drawn again that were tried already.
const DRAWS: usize = 200;

/// A trial in the order in which it was chosen.
#[derive(Serialize)]
pub struct Trial {
    /// From 1 on.
    pub number: usize,
    #[serde(flatten)]
    pub record: Record,
    #[serde(flatten)]
    pub standing: Standing,
    /// Whether no other that keeps all limits is better in everything.
    pub on_front: bool,
    #[serde(skip)]
    coordinates: Vec<f64>,
}

/// What a sweep came to.
pub struct Found {
    /// In the order in which they were chosen.
    pub trials: Vec<Trial>,
    /// The place of the best that keeps all limits.
    pub best: Option<usize>,
}

/// Searches a project.
pub fn sweep(args: &Sweep, quiet: bool) -> Result<()> {
    let silent = quiet || output::machine_only(args.json.as_deref());
    let site = Site::open(&args.project, silent)?;
    if let (Some(step), Some(index)) = (&args.step, args.index) {
        return slurm::work(&site, step, index);
    }
    let runs = site.runs();
    let cannot = || format!("cannot make {}", runs.display());
    std::fs::create_dir_all(&runs).with_context(cannot)?;
    let lock = File::create(runs.join("lock")).with_context(cannot)?;
    if lock.try_lock().is_err() {
        bail!(
            "another sweep of {} is running: wait for it, or end it",
            args.project.display()
        );
    }
    let workers = match args.slurm {
        true => Workers::Slurm(slurm::Slurm::new(&site, args)?),
        false => Workers::Threads(args.jobs.max(1)),
    };
    let found = search(&site, &workers, silent)?;
    let trained = found
        .trials
        .iter()
        .find_map(|t| t.record.failure.as_deref());
    if let (true, Some(failure)) = (
        found.trials.iter().all(|t| t.record.failure.is_some()),
        trained,
    ) {
        bail!("every trial failed, the first with: {failure}");
    }
    let build = args.project.join("build");
    std::fs::create_dir_all(&build).with_context(|| format!("cannot make {}", build.display()))?;
    let (report, picture) = (build.join("sweep.html"), build.join("sweep.svg"));
    for (path, text) in [
        (&report, page::page(&site, &found)?),
        (&picture, page::picture(&site, &found)?),
    ] {
        write_atomically(path, text.as_bytes())
            .with_context(|| format!("cannot write {}", path.display()))?;
    }
    let folder = args.output.clone().unwrap_or_else(|| build.join("best"));
    if let Some(best) = found.best {
        winner::write(&site, &found.trials[best].record.values, &folder)?;
    }
    if let Some(json) = &args.json {
        #[derive(Serialize)]
        struct Figures<'a> {
            latency_by: Option<String>,
            trials: &'a [Trial],
            best: Option<&'a Trial>,
            project: Option<&'a Path>,
            report: &'a Path,
            picture: &'a Path,
        }
        let best = found.best.map(|b| &found.trials[b]);
        let figures = Figures {
            latency_by: site.clock.map(|c| c.describe()),
            trials: &found.trials,
            best,
            project: best.map(|_| folder.as_path()),
            report: &report,
            picture: &picture,
        };
        output::json(json, &figures)?;
    }
    if !silent {
        let mut text = table(&site, &found)?;
        writeln!(text, "\n{}", report.display())?;
        if found.best.is_some() {
            writeln!(
                text,
                "the best is the project {0}\nNext: cygnet build --project {0}",
                folder.display()
            )?;
        }
        output::print(&text)?;
    }
    if found.best.is_none() {
        return Err(anyhow::Error::new(BudgetMissed(nothing(&site, &found))));
    }
    Ok(())
}

/// Why no trial is within the limits.
fn nothing(site: &Site, found: &Found) -> String {
    let nearest = (found.trials.iter())
        .min_by(|a, b| compare(&a.record, &b.record, &site.limits, site.sweep.objective));
    let nearest = nearest.map_or(String::new(), |t| {
        format!(
            "; the nearest, trial {}, {}",
            t.number,
            t.standing.describe()
        )
    });
    format!(
        "none of {} trials keeps all of [sweep.limits]{nearest}: widen [sweep.space] towards smaller models, raise trials, or loosen a limit",
        found.trials.len()
    )
}

/// Values that no earlier trial has; `None` where there seem to be no others.
fn fresh(
    site: &Site,
    parameters: &[Parameter],
    ranked: &[Vec<f64>],
    trials: &[Trial],
) -> Option<(Values, Vec<f64>)> {
    let mut random = Random::new(site.sweep.seed, 1000 + trials.len() as u64);
    for draw in 0..DRAWS {
        // What the method likes may be used up.
        let ranked = if draw < DRAWS / 2 { ranked } else { &[] };
        let drawn = propose(parameters, ranked, &mut random);
        let pairs = parameters.iter().zip(&drawn);
        let values: Values = pairs
            .map(|(p, at)| (p.path.clone(), p.range.value(*at)))
            .collect();
        if trials.iter().all(|t| t.record.values != values) {
            let exact = parameters.iter().zip(drawn);
            let exact = exact.map(|(p, at)| p.range.coordinate(&values[&p.path]).unwrap_or(at));
            return Some((values.clone(), exact.collect()));
        }
    }
    None
}

/// Chooses and runs all trials.
fn search(site: &Site, workers: &Workers, silent: bool) -> Result<Found> {
    let sweep = &site.sweep;
    let parameters = sweep
        .parameters()
        .map_err(|e| anyhow::anyhow!("[sweep] {e}"))?;
    let mut trials: Vec<Trial> = Vec::new();
    let mut progress = Progress::new(site, silent);
    while trials.len() < sweep.trials {
        let learns = sweep.method == Method::Tpe && trials.len() >= sweep.startup;
        let mut order: Vec<usize> = (0..trials.len()).filter(|_| learns).collect();
        order.sort_by(|&a, &b| {
            compare(
                &trials[a].record,
                &trials[b].record,
                &site.limits,
                sweep.objective,
            )
        });
        let mut ranked: Vec<Vec<f64>> = order
            .iter()
            .map(|&i| trials[i].coordinates.clone())
            .collect();
        let first = trials.len();
        for _ in first..sweep.trials.min(first + sweep.generation) {
            let Some((values, coordinates)) = fresh(site, &parameters, &ranked, &trials) else {
                break;
            };
            // What is not known yet counts as bad, so that a generation does not try one place four times (the constant liar
            // of Ginsbourger, Le Riche and Carraro, 2010).
            if learns {
                ranked.push(coordinates.clone());
            }
            trials.push(Trial {
                number: trials.len() + 1,
                record: Record {
                    values,
                    ..Record::default()
                },
                standing: Standing::Stopped { epochs: 0 },
                on_front: false,
                coordinates,
            });
        }
        if trials.len() == first {
            progress.say(&format!(
                "all {first} combinations of [sweep.space] are tried"
            ));
            break;
        }
        generation(site, workers, &mut trials, first, &mut progress)?;
    }
    progress.finish();
    let mut best = None;
    for (i, trial) in trials.iter().enumerate() {
        let better = |b: usize| {
            compare(
                &trial.record,
                &trials[b].record,
                &site.limits,
                sweep.objective,
            )
            .is_lt()
        };
        if trial.standing == Standing::Kept && best.is_none_or(better) {
            best = Some(i);
        }
    }
    for place in on_front(site, &trials) {
        trials[place].on_front = true;
    }
    Ok(Found { trials, best })
}

/// Runs the trials from `first` on, rung by rung.
fn generation(
    site: &Site,
    workers: &Workers,
    trials: &mut [Trial],
    first: usize,
    progress: &mut Progress,
) -> Result<()> {
    let sweep = &site.sweep;
    let mut alive: Vec<usize> = (first..trials.len()).collect();
    let mut epochs = Vec::new();
    for trial in trials.iter() {
        // What cannot be a project has no epochs; its worker says why.
        let table = site.with(&trial.record.values)?;
        let project = cygnet_training::project::Project::of_table(table);
        epochs.push(project.map_or(0, |p| p.train.epochs));
    }
    let most = epochs[first..].iter().copied().max().unwrap_or(0);
    let steps = sweep.rungs(most).into_iter().map(Some).chain([None]);
    for until in steps {
        let asked: Vec<usize> = alive
            .iter()
            .copied()
            .filter(|&i| until.is_none_or(|e| e < epochs[i]))
            .collect();
        let jobs: Vec<Job> = asked
            .iter()
            .map(|&i| Job {
                values: trials[i].record.values.clone(),
                until,
            })
            .collect();
        let records = workers.run(site, &jobs, progress)?;
        for (&i, record) in asked.iter().zip(records) {
            trials[i].record = record;
        }
        let mut stays = alive.clone();
        if let Some(rung) = until {
            let mut reached: Vec<(f32, usize)> = trials
                .iter()
                .enumerate()
                .filter_map(|(i, t)| Some((*t.record.rungs.get(&rung)?, i)))
                .collect();
            reached.sort_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(&b.1)));
            let survivors = sweep.survivors(reached.len());
            // Where something else than accuracy is wanted, what is right often enough is not to be beaten by it.
            let enough = match sweep.objective {
                Objective::Accuracy => None,
                _ => site.limits.accuracy,
            };
            let keeps = |&(share, _): &(f32, usize)| enough.is_some_and(|e| f64::from(share) >= e);
            let through: Vec<usize> = reached
                .iter()
                .enumerate()
                .filter(|(rank, r)| *rank < survivors || keeps(r))
                .map(|(_, r)| r.1)
                .collect();
            stays.retain(|i| through.contains(i) || rung >= epochs[*i]);
        }
        stays.retain(|&i| {
            let record = &trials[i].record;
            record.failure.is_none() && !too_large(site, record)
        });
        for &i in &alive {
            trials[i].standing = Standing::of(&trials[i].record, &site.limits);
            if until.is_none() || !stays.contains(&i) {
                progress.done(&trials[i]);
            }
        }
        alive = stays;
    }
    Ok(())
}

/// Whether a candidate that is not trained is beyond the limits.
fn too_large(site: &Site, record: &Record) -> bool {
    record.bundle.is_none()
        && matches!(
            Standing::of(record, &site.limits),
            Standing::TooLarge { .. }
        )
}

/// The places of the trials that keep all limits and that no other such trial is better than.
fn on_front(site: &Site, trials: &[Trial]) -> Vec<usize> {
    let kept = trials.iter().enumerate();
    let kept: Vec<(usize, Bundle)> = kept
        .filter(|(_, t)| t.standing == Standing::Kept)
        .filter_map(|(i, t)| Some((i, t.record.bundle?)))
        .collect();
    // Times of this machine differ from run to run: they count where they are asked for.
    let timed = site.limits.latency_ms.is_some() || site.sweep.objective == Objective::Latency;
    let timed = timed || site.clock.is_some_and(|c| c != latency::Clock::Host);
    let points: Vec<Vec<f64>> = kept
        .iter()
        .map(|(_, b)| {
            let mut point = vec![
                -b.validation_accuracy,
                b.takes.program_bytes as f64,
                b.takes.arena_bytes as f64,
            ];
            point.extend(b.takes.latency_ms.filter(|_| timed));
            point
        })
        .collect();
    front(&points).into_iter().map(|k| kept[k].0).collect()
}

/// Settings in one line.
pub fn settings(values: &Values) -> String {
    let parts: Vec<String> = values.iter().map(|(k, v)| format!("{k} = {v}")).collect();
    parts.join(", ")
}

/// The trials that no other is better than, in a table; the best is marked.
fn table(site: &Site, found: &Found) -> Result<String> {
    let mut text = String::new();
    let count =
        |f: &dyn Fn(&Standing) -> bool| found.trials.iter().filter(|t| f(&t.standing)).count();
    writeln!(
        text,
        "{} trials: {} keep all limits, {} miss some, {} were stopped early, {} were too large to be trained, {} failed\n",
        found.trials.len(),
        count(&|s| *s == Standing::Kept),
        count(&|s| matches!(s, Standing::Missed { .. })),
        count(&|s| matches!(s, Standing::Stopped { .. })),
        count(&|s| matches!(s, Standing::TooLarge { .. })),
        count(&|s| *s == Standing::Failed),
    )?;
    let mut shown: Vec<usize> = (0..found.trials.len())
        .filter(|&i| found.trials[i].on_front)
        .collect();
    shown.sort_by(|&a, &b| {
        let (a, b) = (&found.trials[a].record, &found.trials[b].record);
        compare(a, b, &site.limits, site.sweep.objective)
    });
    if shown.is_empty() {
        return Ok(text);
    }
    writeln!(
        text,
        "  trial  validation    kept back      program     memory         ms  settings"
    )?;
    for i in shown {
        let trial = &found.trials[i];
        let Some(b) = trial.record.bundle else {
            continue;
        };
        writeln!(
            text,
            "{} {:>5} {:>9.2} % {:>10.2} % {:>12} {:>10} {:>10}  {}",
            if found.best == Some(i) { '*' } else { ' ' },
            trial.number,
            b.validation_accuracy * 100.0,
            b.test_accuracy * 100.0,
            sizes::show(b.takes.program_bytes),
            sizes::show(b.takes.arena_bytes),
            b.takes
                .latency_ms
                .map_or("-".into(), |ms| format!("{ms:.3}")),
            settings(&trial.record.values)
        )?;
    }
    if let Some(clock) = site.clock {
        writeln!(text, "\nms: {}", clock.describe())?;
    }
    Ok(text)
}
