//! The search for the best point that keeps the budgets.

use super::plan::{Made, Plan, layer_names};
use super::sensitivity::{Candidate, Family, Probe, alone, candidates, plan};
use super::timing;
use super::{
    Agreement, Auto, AutoOptions, Budget, Budgets, Metric, Point, Prefer, Progress, Sensitivity,
};
use crate::CompileOptions;
use crate::ir::{Graph, MAIN};
use crate::quantize::agreement::latency;
use crate::quantize::attempt::Attempt;
use crate::quantize::compile::{Found, Study, few, kept_float, recognised};
use crate::quantize::compress::{Format, INT8};
use crate::quantize::insert::count_integer;
use crate::quantize::scheme::{Scheme, Width};
use crate::quantize::{
    FloatLayer, LayerRecord, Options, Precision, Quantised, QuantizeError, Record, Sample, Speed,
};
use std::collections::{BTreeMap, BTreeSet};

/// 4-bit weights of this many share a scale.
const GROUP: u32 = 32;
/// Layers that are given back one by one after the bisection.
const GIVEN_BACK: usize = 6;
/// Scores closer than this are the same.
const SAME_SCORE: f64 = 1e-9;

/// Finds the precision of every layer of an imported float graph.
///
/// Ranges come from `samples`. `metric` judges programs; without one, agreement with the float program on the samples that
/// gave no ranges does. `tell` hears what is being done.
///
/// # Errors
/// See [`QuantizeError`]. That no point keeps the budgets is no error: [`Auto::met`] tells.
pub fn auto(
    graph: Graph,
    choices: &CompileOptions,
    options: &AutoOptions,
    samples: &[Sample],
    metric: Option<&mut dyn Metric>,
    tell: &mut dyn FnMut(&Progress),
) -> Result<Auto, QuantizeError> {
    check(&options.budgets)?;
    let base = recognised(&graph);
    tell(&Progress {
        text: "compiling and running the float model".to_owned(),
        done: [0, 1],
    });
    let study = Study::of(graph, choices, samples)?;
    let scheme = Scheme::without(&base, &kept_float(&base, choices)?, Width::Eight);
    let found = if scheme.layers.is_empty() {
        None
    } else {
        tell(&Progress {
            text: "calibrating".to_owned(),
            done: [0, 1],
        });
        Some(study.calibrated(base.clone(), scheme, options.method)?)
    };
    let kept: Vec<Sample> = {
        let kept = samples.iter().zip(&study.kept).filter(|(_, k)| **k);
        kept.map(|(s, _)| s.clone()).collect()
    };
    let mut agreement;
    let metric = match metric {
        Some(metric) => metric,
        None => {
            agreement = Agreement::with(&study.float, kept)?;
            &mut agreement as &mut dyn Metric
        }
    };
    let name = metric.name();
    let cases = metric.cases();
    let mut search = Search {
        study: &study,
        base,
        found: found.as_ref(),
        wide: None,
        options,
        metric,
        tell,
        tried: Vec::new(),
        best: None,
        sensitivities: Vec::new(),
        seconds: 0.0,
    };
    search.run()?;
    search.end(name, cases)
}

/// Refuses budgets that nothing can keep.
fn check(budgets: &Budgets) -> Result<(), QuantizeError> {
    let no = |text: String| Err(QuantizeError::Budget(text));
    if !budgets.max_drop.is_finite() || budgets.max_drop < 0.0 {
        return no(format!(
            "a largest drop of {} makes no sense: it is a number of points, 0 or more",
            budgets.max_drop
        ));
    }
    if budgets
        .max_latency_ms
        .is_some_and(|ms| ms.is_nan() || ms <= 0.0)
    {
        return no("a run takes longer than 0 ms".to_owned());
    }
    if budgets.max_ram == Some(0) || budgets.max_flash == Some(0) {
        return no("no program fits into 0 bytes".to_owned());
    }
    Ok(())
}

/// A point with the way to it.
struct Tried {
    plan: Plan,
    point: Point,
    /// What the plan is a case of, and which of its layers are kept out.
    family: Option<Family>,
    kept: BTreeSet<usize>,
    /// Those of them that are slower in 8 bits.
    slow: BTreeSet<usize>,
}

struct Search<'a, 'm> {
    study: &'a Study<'a>,
    /// The float graph with its layers recognised.
    base: Graph,
    found: Option<&'a Found>,
    /// As `found`, with activations of 16 bits: only where those of 8 cost too much.
    wide: Option<Found>,
    options: &'a AutoOptions,
    metric: &'m mut dyn Metric,
    tell: &'m mut dyn FnMut(&Progress),
    tried: Vec<Tried>,
    /// The best of those that keep the budgets.
    best: Option<usize>,
    sensitivities: Vec<Sensitivity>,
    /// Of a run of the float program.
    seconds: f64,
}

impl Search<'_, '_> {
    fn tell(&mut self, text: impl Into<String>, done: [usize; 2]) {
        (self.tell)(&Progress {
            text: text.into(),
            done,
        });
    }

    /// The static quantisation of every layer.
    fn attempt(&self, wide: bool) -> Option<&Attempt> {
        self.found_of(wide).map(|f| &f.attempt)
    }

    fn found_of(&self, wide: bool) -> Option<&Found> {
        match wide {
            true => self.wide.as_ref(),
            false => self.found,
        }
    }

    fn run(&mut self) -> Result<(), QuantizeError> {
        self.tell("judging the float program", [0, 1]);
        let float = self.try_plan("float", Plan::float(), None, BTreeSet::new())?;
        self.seconds = self.tried[float].point.latency_ms / 1e3;
        // From the one that usually serves best, so that what cannot beat it is not searched.
        let int4 = Format::Integers {
            bits: 4,
            group: GROUP,
            asymmetric: false,
        };
        let mut families = Vec::new();
        if self.found.is_some() {
            families.extend([Family::Static, Family::Wide]);
        }
        families.extend([Format::Dynamic, INT8, int4, Format::Half].map(Family::Weights));
        let mut whole = Vec::new();
        for (i, &family) in families.iter().enumerate() {
            if family == Family::Wide {
                let inaccurate = |t: &Tried| t.point.missed.contains(&Budget::Accuracy);
                if !self.tried.last().is_some_and(inaccurate) {
                    continue;
                }
                let (base, method) = (self.base.clone(), self.options.method);
                let excluded = kept_float(&base, self.study.choices)?;
                let scheme = Scheme::without(&base, &excluded, Width::Sixteen);
                self.wide = Some(self.study.calibrated(base, scheme, method)?);
            }
            self.tell(format!("judging {family}"), [i, families.len()]);
            let none = BTreeSet::new();
            let plan = plan(family, &[], &none);
            let made = plan.make(self.study, self.attempt(plan.wide))?;
            let dynamic = |r: &LayerRecord| r.stored.as_deref() == Some("int8, dynamic");
            let nothing = match family {
                Family::Static | Family::Wide => false,
                // Without products it is what 8-bit weights are.
                Family::Weights(Format::Dynamic) => !made.compressed.iter().any(dynamic),
                Family::Weights(_) => made.compressed.is_empty(),
            };
            if nothing {
                continue;
            }
            let records = made.compressed.clone();
            let at = self.judge(&family.to_string(), plan, made, Some(family), none)?;
            whole.push((family, at, records));
        }
        if whole.is_empty() {
            return Err(QuantizeError::Nothing);
        }
        for (family, at, records) in whole {
            if self.is_worth_searching(at) {
                self.refine(family, &records)?;
            }
        }
        self.keep_fast_floats()
    }

    /// Where time matters, layers that are slower as integers on this machine are tried as floats.
    fn keep_fast_floats(&mut self) -> Result<(), QuantizeError> {
        let matters =
            self.options.prefer == Prefer::Speed || self.options.budgets.max_latency_ms.is_some();
        let Some(found) = self.found.filter(|_| matters) else {
            return Ok(());
        };
        self.tell("timing the layers", [0, 1]);
        let sample = &self.study.samples[0];
        let float = timing::by_node(&self.study.float.program.bytes, sample)?;
        let integer = timing::by_node(&found.compiled.program.bytes, sample)?;
        let names = layer_names(&found.attempt);
        let slower = timing::slower(&names, &float, &integer);
        if slower.is_empty() || slower.len() == names.len() {
            return Ok(());
        }
        // Beside those that accuracy wants float.
        let statics = self
            .tried
            .iter()
            .filter(|t| t.family == Some(Family::Static));
        let accurate = statics.filter(|t| !t.point.missed.contains(&Budget::Accuracy));
        let best = accurate.min_by_key(|t| t.kept.len());
        let mut kept: BTreeSet<usize> = best.map_or_else(BTreeSet::new, |t| t.kept.clone());
        let slow: BTreeSet<usize> = slower.into_iter().filter(|k| !kept.contains(k)).collect();
        kept.extend(&slow);
        if slow.is_empty() || kept.len() == names.len() {
            return Ok(());
        }
        let name = format!(
            "int8, {} of {} layers float ({} for speed)",
            kept.len(),
            names.len(),
            slow.len()
        );
        let plan = Plan::integers(kept.clone());
        let at = self.try_plan(&name, plan, Some(Family::Static), kept)?;
        self.tried[at].slow = slow;
        Ok(())
    }

    /// Makes and judges a plan; gives its place in `tried`.
    fn try_plan(
        &mut self,
        name: &str,
        plan: Plan,
        family: Option<Family>,
        kept: BTreeSet<usize>,
    ) -> Result<usize, QuantizeError> {
        let made = plan.make(self.study, self.attempt(plan.wide))?;
        self.judge(name, plan, made, family, kept)
    }

    fn judge(
        &mut self,
        name: &str,
        plan: Plan,
        made: Made,
        family: Option<Family>,
        kept: BTreeSet<usize>,
    ) -> Result<usize, QuantizeError> {
        let score = self
            .metric
            .score(&made.compiled)
            .map_err(|cause| QuantizeError::Metric {
                point: name.to_owned(),
                cause: cause.to_string(),
            })?;
        if !score.is_finite() {
            return Err(QuantizeError::Metric {
                point: name.to_owned(),
                cause: format!("the score is {score}"),
            });
        }
        let float_score = self.tried.first().map_or(score, |t| t.point.score);
        let agreement = self.study.agreement(&made.compiled)?;
        let worst = agreement.kept.iter().map(|a| a.snr_db);
        let program = &made.compiled.program;
        let mut point = Point {
            name: name.to_owned(),
            score,
            drop: float_score - score,
            snr_db: worst.fold(200.0, f64::min),
            flash_bytes: program.bytes.len() as u64,
            ram_bytes: program.arena_bytes,
            latency_ms: latency(&program.bytes, &self.study.samples[0])?,
            layers: layer_counts(&made),
            ..Point::default()
        };
        point.missed = missed(&self.options.budgets, &point);
        if point.missed.is_empty() {
            let better = |b: usize| self.cost(&point) < self.cost(&self.tried[b].point);
            if self.best.is_none_or(better) {
                self.best = Some(self.tried.len());
            }
        }
        self.tried.push(Tried {
            plan,
            point,
            family,
            kept,
            slow: BTreeSet::new(),
        });
        Ok(self.tried.len() - 1)
    }

    /// What is to be least, with the score among equals.
    fn cost(&self, point: &Point) -> (f64, f64) {
        let cost = match self.options.prefer {
            Prefer::Memory => point.flash_bytes as f64 * point.ram_bytes.max(1) as f64,
            Prefer::Size => point.flash_bytes as f64,
            Prefer::Speed => point.latency_ms,
        };
        (cost, -point.score)
    }

    /// True when a family that costs too much accuracy on all layers may, on some of them, beat what is best so far.
    fn is_worth_searching(&self, at: usize) -> bool {
        let point = &self.tried[at].point;
        let inaccurate = point.missed == [Budget::Accuracy];
        let better = |b: usize| self.cost(point) < self.cost(&self.tried[b].point);
        inaccurate && self.best.is_none_or(better)
    }

    /// Finds the fewest layers of a family that have to be kept out of it.
    fn refine(&mut self, family: Family, records: &[LayerRecord]) -> Result<(), QuantizeError> {
        let attempt = self.attempt(family == Family::Wide);
        let mut all = candidates(family, attempt, records);
        self.feel(family, &mut all)?;
        let mut order: Vec<usize> = (0..all.len()).collect();
        let weight = |i: &usize| all[*i].noise / all[*i].gain.max(1e-6);
        order.sort_by(|a, b| weight(b).total_cmp(&weight(a)).then(a.cmp(b)));
        // All of them kept out is the refuge itself, which is a point of its own.
        let (mut low, mut high) = (0, all.len());
        let mut fewest = None;
        while low + 1 < high {
            let middle = low.midpoint(high);
            let kept: BTreeSet<usize> = order[..middle].iter().copied().collect();
            let at = self.try_kept(family, &all, kept)?;
            if self.tried[at].point.missed.contains(&Budget::Accuracy) {
                low = middle;
            } else {
                (high, fewest) = (middle, Some(at));
            }
        }
        let Some(mut fewest) = fewest else {
            return Ok(());
        };
        // The order is that of noises alone: some of the last may not be needed beside the others.
        let last: Vec<usize> = order[..high]
            .iter()
            .rev()
            .take(GIVEN_BACK)
            .copied()
            .collect();
        for i in last {
            let mut kept = self.tried[fewest].kept.clone();
            kept.remove(&i);
            if kept.is_empty() {
                break;
            }
            let at = self.try_kept(family, &all, kept)?;
            if !self.tried[at].point.missed.contains(&Budget::Accuracy) {
                fewest = at;
            }
        }
        self.store_floats(fewest)?;
        self.note(family, &all, fewest);
        Ok(())
    }

    /// Floats of a program of integers may be stored in fewer bits.
    fn store_floats(&mut self, at: usize) -> Result<(), QuantizeError> {
        let tried = &self.tried[at];
        let family = tried.family;
        let integers = matches!(family, Some(Family::Static | Family::Wide));
        if !integers || self.options.prefer == Prefer::Speed {
            return Ok(());
        }
        let (plan, kept, name) = (
            tried.plan.clone(),
            tried.kept.clone(),
            tried.point.name.clone(),
        );
        for (format, word) in [(INT8, "int8 weights"), (Format::Half, "fp16")] {
            let plan = Plan {
                rest: Some(format),
                ..plan.clone()
            };
            let made = plan.make(self.study, self.attempt(plan.wide))?;
            if made.compressed.is_empty() {
                continue;
            }
            let name = format!("{name}, stored as {word}");
            self.judge(&name, plan, made, family, kept.clone())?;
        }
        Ok(())
    }

    fn try_kept(
        &mut self,
        family: Family,
        all: &[Candidate],
        kept: BTreeSet<usize>,
    ) -> Result<usize, QuantizeError> {
        let name = format!(
            "{family}, {} of {} layers {}",
            kept.len(),
            all.len(),
            family.refuge_name()
        );
        if let Some(known) = self.tried.iter().position(|t| {
            t.family == Some(family)
                && t.kept == kept
                && t.plan.rest == plan(family, all, &kept).rest
        }) {
            return Ok(known);
        }
        self.tell(format!("judging {name}"), [0, 1]);
        let plan = plan(family, all, &kept);
        self.try_plan(&name, plan, Some(family), kept)
    }

    /// Quantises every layer alone.
    fn feel(&mut self, family: Family, all: &mut [Candidate]) -> Result<(), QuantizeError> {
        let probe = Probe::of(self.study, all.len(), self.seconds);
        let text = format!(
            "what {family} does to each layer ({} samples)",
            probe.count()
        );
        for i in 0..all.len() {
            self.tell(&text, [i, all.len()]);
            let plan = alone(family, all, i);
            let made = plan.make(self.study, self.attempt(plan.wide))?;
            all[i].noise = probe.noise(&made.compiled)?;
        }
        self.note_all(family, all);
        Ok(())
    }

    fn note_all(&mut self, family: Family, all: &[Candidate]) {
        let of = |c: &Candidate| Sensitivity {
            node: c.node.clone(),
            operator: c.operator.clone(),
            precision: family.to_string(),
            snr_db: (-10.0 * c.noise.log10()).clamp(-200.0, 200.0),
            saves_bytes: c.saves,
            kept: false,
        };
        self.sensitivities.extend(all.iter().map(of));
    }

    /// Marks the layers that were kept out.
    fn note(&mut self, family: Family, all: &[Candidate], at: usize) {
        let precision = family.to_string();
        for &i in &self.tried[at].kept {
            let of_layer = |s: &&mut Sensitivity| s.precision == precision && s.node == all[i].node;
            if let Some(s) = self.sensitivities.iter_mut().find(of_layer) {
                s.kept = true;
            }
        }
    }

    /// The point that comes nearest when none keeps the budgets: the one whose greatest excess is least.
    fn nearest(&self) -> usize {
        let b = &self.options.budgets;
        let over = |value: f64, limit: Option<f64>| limit.map_or(0.0, |l| value / l - 1.0);
        let excess = |p: &Point| {
            let bytes = |n: Option<u64>| n.map(|n| n as f64);
            // A drop of nothing is allowed nothing: a point of a percent counts as one percent of excess.
            let drop = (p.drop - b.max_drop).max(0.0) / b.max_drop.max(1.0);
            [
                drop,
                over(p.flash_bytes as f64, bytes(b.max_flash)),
                over(p.ram_bytes as f64, bytes(b.max_ram)),
                over(p.latency_ms, b.max_latency_ms),
            ]
            .into_iter()
            .fold(0.0, f64::max)
        };
        let mut nearest = 0;
        for (i, tried) in self.tried.iter().enumerate() {
            if excess(&tried.point) < excess(&self.tried[nearest].point) {
                nearest = i;
            }
        }
        nearest
    }

    fn end(mut self, metric: String, cases: usize) -> Result<Auto, QuantizeError> {
        let met = self.best.is_some();
        let at = self.best.unwrap_or_else(|| self.nearest());
        self.tried[at].point.chosen = true;
        let plan = &self.tried[at].plan;
        let made = plan.make(self.study, self.attempt(plan.wide))?;
        let record = self.record(at, &made)?;
        let points: Vec<Point> = self.tried.iter().map(|t| t.point.clone()).collect();
        let speed = Speed {
            isa: crate::quantize::agreement::isa(&made.compiled.program.bytes)?,
            float_ms: points[0].latency_ms,
            quantised_ms: points[at].latency_ms,
        };
        let mut warnings: Vec<String> = few(self.study.samples).into_iter().collect();
        let step = 100.0 / cases.max(1) as f64;
        if step > self.options.budgets.max_drop && cases < 1000 {
            warnings.push(format!(
                "the score is that of {cases} cases, each of which is {step:.2} points: a drop of {} cannot be told from none; give more data",
                self.options.budgets.max_drop
            ));
        }
        Ok(Auto {
            quantised: Quantised {
                compiled: made.compiled,
                float: self.study.float.clone(),
                record,
                speed: Some(speed),
                warnings,
            },
            met,
            metric,
            cases,
            float_score: points[0].score,
            points,
            sensitivities: self.sensitivities,
        })
    }

    /// The record of the chosen point.
    fn record(&self, at: usize, made: &Made) -> Result<Record, QuantizeError> {
        let tried = &self.tried[at];
        let mut options = Options::default();
        options.precision = Precision::Mixed;
        options.method = self.options.method;
        let study = self.study;
        let agreement = study.agreement(&made.compiled)?;
        let mut record = match (&made.attempt, self.found_of(tried.plan.wide)) {
            (Some(attempt), Some(found)) => {
                let part = Found {
                    attempt: attempt.clone(),
                    compiled: made.compiled.clone(),
                    agreement,
                    techniques: found.techniques.clone(),
                    errors: attempt.measure(&study.learn)?,
                };
                study.record(&options, &part)?
            }
            _ => Record {
                precision: options.precision,
                method: options.method,
                calibration: study.calibration(),
                agreement: agreement.kept,
                integer_steps: count_integer(&made.compiled.graph.blocks[MAIN.0 as usize].nodes),
                float_layers: made.whole.clone(),
                ..Record::default()
            },
        };
        for layer in &mut record.layers {
            layer
                .stored
                .get_or_insert_with(|| integers(tried.plan.wide).to_owned());
        }
        record.layers.extend(made.compressed.iter().cloned());
        let compressed: BTreeSet<&str> = made.compressed.iter().map(|l| l.node.as_str()).collect();
        let mut reasons: BTreeMap<&str, String> = BTreeMap::new();
        if let Some(family) = tried.family {
            let precision = family.to_string();
            let kept = |s: &&Sensitivity| s.precision == precision && s.kept;
            for s in self.sensitivities.iter().filter(kept) {
                let text = format!("{precision} costs too much accuracy here");
                reasons.insert(&s.node, text);
            }
        }
        let names = self
            .found
            .map(|f| layer_names(&f.attempt))
            .unwrap_or_default();
        for &k in &tried.slow {
            let text = "on this machine it is slower in 8 bits".to_owned();
            reasons.insert(&names[k].0, text);
        }
        let mut stays: Vec<FloatLayer> = Vec::new();
        for mut layer in std::mem::take(&mut record.float_layers) {
            if let Some(reason) = reasons.get(layer.node.as_str()) {
                layer.reason.clone_from(reason);
            } else if compressed.contains(layer.node.as_str()) {
                continue;
            }
            stays.push(layer);
        }
        record.float_layers = stays;
        Ok(record)
    }
}

/// The budgets that a point does not keep.
fn missed(b: &Budgets, p: &Point) -> Vec<Budget> {
    let over = [
        (Budget::Accuracy, p.drop > b.max_drop + SAME_SCORE),
        (Budget::Ram, b.max_ram.is_some_and(|m| p.ram_bytes > m)),
        (
            Budget::Flash,
            b.max_flash.is_some_and(|m| p.flash_bytes > m),
        ),
        (
            Budget::Latency,
            b.max_latency_ms.is_some_and(|m| p.latency_ms > m),
        ),
    ];
    let over = over.into_iter().filter(|(_, over)| *over);
    over.map(|(budget, _)| budget).collect()
}

/// What static quantisation is called.
fn integers(wide: bool) -> &'static str {
    if wide { "int8x16" } else { "int8" }
}

/// Layers by how they compute or are stored.
fn layer_counts(made: &Made) -> BTreeMap<String, usize> {
    let mut counts = BTreeMap::new();
    if let Some(attempt) = &made.attempt {
        let wide = attempt.scheme.width == Width::Sixteen;
        counts.insert(integers(wide).to_owned(), attempt.scheme.layers.len());
    }
    for layer in &made.compressed {
        let stored = layer.stored.clone().unwrap_or_default();
        *counts.entry(stored).or_default() += 1;
    }
    counts
}
