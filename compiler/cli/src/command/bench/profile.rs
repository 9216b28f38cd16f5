//! Time of every step beside what the step does and what the machine could.

use super::percentile;
use crate::machine::Machine;
use anyhow::Result;
use cygnet_compiler::bundle::Array;
use cygnet_compiler::cost::{self, Arithmetic};
use cygnet_compiler::verify::Runner;
use cygnet_format::program::{Program, TensorId};
use cygnet_format::{BlockId, Op};
use serde::Serialize;
use std::collections::{BTreeMap, HashMap};

/// A step.
#[derive(Serialize, Clone, Default)]
pub struct StepTime {
    pub step: u32,
    pub operator: String,
    pub node: String,
    pub shape: Vec<usize>,
    pub dtype: String,
    /// Median over the observed runs; without what the steps of its bodies took.
    pub microseconds: f64,
    pub min_microseconds: f64,
    pub share: f64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub gflops: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub gops: Option<f64>,
    /// Operations of a run.
    pub operations: u64,
    /// Bytes that a run has to read and write.
    pub bytes: u64,
    /// Those of them that are constants of the program.
    pub constant_bytes: u64,
    /// Operations a byte.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub intensity: Option<f64>,
    /// The least time by the machine's limits.
    pub limit_microseconds: f64,
    /// That time over the time that the step takes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub limit_share: Option<f64>,
    /// What the limit is: `compute`, or the place that most of the data come from.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bound: Option<String>,
}

impl StepTime {
    /// 10^9 operations a second, of floats or of integers.
    pub fn rate(&self) -> Option<f64> {
        self.gflops.or(self.gops)
    }
}

/// All steps of an operator.
#[derive(Serialize, Clone, Default)]
pub struct OperatorTime {
    pub operator: String,
    pub steps: usize,
    pub microseconds: f64,
    pub share: f64,
    pub operations: u64,
    pub bytes: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub gflops: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub gops: Option<f64>,
    /// Operations a second over the machine's peak.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub peak_share: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub limit_share: Option<f64>,
}

/// A profile.
pub struct Profile {
    pub steps: Vec<StepTime>,
    pub operators: Vec<OperatorTime>,
}

/// What is gathered of a step.
struct Row {
    time: StepTime,
    arithmetic: Arithmetic,
    executions: u64,
    samples: Vec<f64>,
}

/// Blocks whose steps run inside of a step.
fn bodies(program: &Program<'_>, step: u32) -> Vec<BlockId> {
    match program.step(step).and_then(|s| s.op()) {
        Some(Op::If(o)) => vec![o.then_block, o.else_block],
        Some(Op::Loop(o)) => vec![o.body],
        Some(Op::Scan(o)) => vec![o.body],
        _ => Vec::new(),
    }
}

/// The block of every step.
fn owners(program: &Program<'_>) -> Vec<u32> {
    let mut owners = vec![0; program.steps()];
    for b in 0..program.blocks() as u32 {
        let block = program.block(BlockId(b));
        for s in block.first_step..block.first_step + block.steps {
            if let Some(owner) = owners.get_mut(s as usize) {
                *owner = b;
            }
        }
    }
    owners
}

/// Observes `runs` runs.
pub fn observe(
    runner: &mut Runner,
    feeds: &[&Array],
    runs: usize,
    machine: &Machine,
) -> Result<Profile> {
    let mut order: Vec<u32> = Vec::new();
    let mut rows: HashMap<u32, Row> = HashMap::new();
    let mut shapes: HashMap<u32, Vec<usize>> = HashMap::new();
    let owners = owners(&runner.program());
    let inside: Vec<Vec<BlockId>> = (0..owners.len() as u32)
        .map(|s| bodies(&runner.program(), s))
        .collect();
    for (id, feed) in runner.program().inputs().iter().flatten().zip(feeds) {
        shapes.insert(id.0, feed.shape.clone());
    }
    for run in 0..runs {
        runner.set_inputs(feeds)?;
        let mut sums: HashMap<u32, f64> = HashMap::new();
        // Time inside of each block that the step which runs it has not taken off yet.
        let mut nested: HashMap<u32, f64> = HashMap::new();
        runner.run_observed(&mut |s| {
            let all = s.nanos as f64 / 1e3;
            let at = s.step as usize;
            let within: f64 = inside[at].iter().filter_map(|b| nested.remove(&b.0)).sum();
            *nested.entry(owners[at]).or_default() += all;
            // Steps of loop bodies run many times in one run.
            *sums.entry(s.step).or_default() += (all - within).max(0.0);
            if run > 0 {
                return;
            }
            for (id, tensor) in s.outputs {
                shapes.insert(*id, tensor.shape.to_vec());
            }
            let row = rows.entry(s.step).or_insert_with(|| {
                order.push(s.step);
                Row {
                    time: StepTime {
                        step: s.step,
                        operator: s.operator.to_owned(),
                        node: s.node.to_owned(),
                        ..Default::default()
                    },
                    arithmetic: Arithmetic::Float,
                    executions: 0,
                    samples: Vec::new(),
                }
            });
            if let Some((_, t)) = s.outputs.first() {
                row.time.shape = t.shape.to_vec();
                row.time.dtype = t.dtype.name().to_owned();
            }
            row.executions += 1;
            let shape = |id: TensorId| match shapes.get(&id.0) {
                Some(shape) => shape.clone(),
                None => {
                    let dims = s.program.tensor(id).dims;
                    dims.iter().map(|d| d.as_const().unwrap_or(1)).collect()
                }
            };
            let step = s.program.step(s.step);
            let cost = step.and_then(|step| cost::cost(s.program, &step, &shape));
            if let Some(cost) = cost {
                row.arithmetic = cost.arithmetic;
                row.time.operations += cost.operations;
                row.time.bytes += cost.arena_bytes + cost.constant_bytes;
                row.time.constant_bytes += cost.constant_bytes;
            }
        })?;
        for (step, time) in sums {
            if let Some(row) = rows.get_mut(&step) {
                row.samples.push(time);
            }
        }
    }
    let rows: Vec<Row> = order.iter().filter_map(|s| rows.remove(s)).collect();
    Ok(finish(rows, runner.program().arena_bytes(), machine))
}

/// Times, rates and limits from what was gathered.
fn finish(mut rows: Vec<Row>, arena_bytes: u64, machine: &Machine) -> Profile {
    // What a run touches before it comes back to the same weights.
    let constants: u64 = rows.iter().map(|r| r.time.constant_bytes).sum();
    let round = arena_bytes.saturating_add(constants);
    for row in &mut rows {
        row.samples.sort_by(f64::total_cmp);
        row.time.microseconds = percentile(&row.samples, 0.5);
        row.time.min_microseconds = row.samples.first().copied().unwrap_or(0.0);
        limit(row, round, machine);
    }
    let total: f64 = rows.iter().map(|r| r.time.microseconds).sum();
    for row in &mut rows {
        row.time.share = row.time.microseconds / total.max(f64::MIN_POSITIVE);
    }
    let operators = by_operator(&rows, machine);
    Profile {
        steps: rows.into_iter().map(|r| r.time).collect(),
        operators,
    }
}

/// The roofline of a step (Williams, Waterman and Patterson 2009): the slower of its arithmetic at the peak and its bytes
/// at the bandwidth of the levels that they come from. Activations were written just before: what lies between is the step.
/// Weights were read a run before: what lies between is all that a run touches.
fn limit(row: &mut Row, round: u64, machine: &Machine) {
    let t = &mut row.time;
    let runs = row.executions.max(1);
    let again = if runs > 1 { t.bytes / runs } else { round };
    let activations = machine.read_time(t.bytes - t.constant_bytes, t.bytes / runs);
    let weights = machine.read_time(t.constant_bytes, again);
    let data = activations.0 + weights.0;
    let slowest = if weights.0 > activations.0 {
        weights.1
    } else {
        activations.1
    };
    let peak = match row.arithmetic {
        Arithmetic::Float => machine.peak_gflops,
        Arithmetic::Integer => machine.peak_gops,
    };
    let compute = t.operations as f64 / peak / 1e3;
    t.limit_microseconds = compute.max(data);
    if t.bytes > 0 && t.operations > 0 {
        t.intensity = Some(t.operations as f64 / t.bytes as f64);
    }
    if t.microseconds <= 0.0 || t.limit_microseconds <= 0.0 {
        return;
    }
    t.limit_share = Some(t.limit_microseconds / t.microseconds);
    let bound = if compute >= data { "compute" } else { slowest };
    t.bound = Some(bound.to_owned());
    if t.operations > 0 {
        let rate = Some(t.operations as f64 / t.microseconds / 1e3);
        match row.arithmetic {
            Arithmetic::Float => t.gflops = rate,
            Arithmetic::Integer => t.gops = rate,
        }
    }
}

/// Sums by operator, the longest first.
fn by_operator(rows: &[Row], machine: &Machine) -> Vec<OperatorTime> {
    let mut sums: BTreeMap<&str, (OperatorTime, f64, Arithmetic)> = BTreeMap::new();
    for row in rows {
        let t = &row.time;
        let (sum, limits, arithmetic) = sums
            .entry(&t.operator)
            .or_insert_with(|| (OperatorTime::default(), 0.0, row.arithmetic));
        sum.operator.clone_from(&t.operator);
        sum.steps += 1;
        sum.microseconds += t.microseconds;
        sum.share += t.share;
        sum.operations += t.operations;
        sum.bytes += t.bytes;
        *limits += t.limit_microseconds;
        *arithmetic = row.arithmetic;
    }
    let mut list: Vec<OperatorTime> = sums
        .into_values()
        .map(|(mut sum, limits, arithmetic)| {
            if sum.microseconds > 0.0 {
                if sum.operations > 0 {
                    let rate = sum.operations as f64 / sum.microseconds / 1e3;
                    let peak = match arithmetic {
                        Arithmetic::Float => {
                            sum.gflops = Some(rate);
                            machine.peak_gflops
                        }
                        Arithmetic::Integer => {
                            sum.gops = Some(rate);
                            machine.peak_gops
                        }
                    };
                    sum.peak_share = Some(rate / peak);
                }
                if limits > 0.0 {
                    sum.limit_share = Some(limits / sum.microseconds);
                }
            }
            sum
        })
        .collect();
    list.sort_by(|a, b| b.microseconds.total_cmp(&a.microseconds));
    list
}
