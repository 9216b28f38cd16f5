//! What a program keeps in its arena, step by step.

use cygnet_format::program::{Place, Program, TensorId};
use cygnet_format::{BlockId, Op};
use serde::Serialize;
use std::collections::BTreeSet;

/// The arena while one step of the main block runs.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct StepMemory {
    /// Position in the main block.
    pub step: u32,
    /// Operator.
    pub operator: String,
    /// The model's node.
    pub node: String,
    /// Bytes that hold live tensors (shared bytes count once).
    pub live_bytes: u64,
    /// End of the highest live tensor.
    pub top_bytes: u64,
}

/// A tensor alive at the peak.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct LiveTensor {
    /// Name in the program.
    pub name: String,
    /// Bytes reserved.
    pub bytes: u64,
    /// Offset in the arena.
    pub offset: u64,
}

/// Arena use over the main block.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct MemoryMap {
    /// Every step.
    pub steps: Vec<StepMemory>,
    /// The step with the most live bytes.
    pub peak_step: usize,
    /// What lives there, largest first.
    pub peak_tensors: Vec<LiveTensor>,
    /// Live byte ranges `(from, to)` of every step, merged, for pictures.
    #[serde(skip)]
    pub ranges: Vec<Vec<(u64, u64)>>,
}

impl MemoryMap {
    /// Live bytes at the peak: what no plan can undercut for this order of steps.
    pub fn peak_bytes(&self) -> u64 {
        self.steps.get(self.peak_step).map_or(0, |s| s.live_bytes)
    }

    /// The step in words, with what lives there: the remedy of a missed budget.
    pub fn peak_text(&self) -> String {
        let Some(step) = self.steps.get(self.peak_step) else {
            return "the program has no steps".into();
        };
        let tensors: Vec<String> = self
            .peak_tensors
            .iter()
            .take(4)
            .map(|t| format!("{} ({} bytes)", t.name, t.bytes))
            .collect();
        format!(
            "the peak of {} bytes is at step {} ({} {}), where these live: {}",
            step.live_bytes,
            step.step,
            step.operator,
            step.node,
            tensors.join(", ")
        )
    }
}

/// The blocks that an operator runs.
fn bodies(op: &Op) -> Vec<BlockId> {
    match op {
        Op::If(o) => vec![o.then_block, o.else_block],
        Op::Loop(o) => vec![o.body],
        Op::Scan(o) => vec![o.body],
        _ => Vec::new(),
    }
}

/// Every tensor that a step touches, bodies included.
fn touched(program: &Program<'_>, index: u32, into: &mut BTreeSet<u32>) {
    let Some(step) = program.step(index) else {
        return;
    };
    into.extend(
        step.inputs
            .iter()
            .chain(step.outputs.iter())
            .flatten()
            .map(|t| t.0),
    );
    for body in step.op().iter().flat_map(bodies) {
        let block = program.block(body);
        into.extend(
            block
                .inputs
                .iter()
                .chain(block.outputs.iter())
                .flatten()
                .map(|t| t.0),
        );
        for i in block.first_step..block.first_step + block.steps {
            touched(program, i, into);
        }
    }
}

fn merge(mut ranges: Vec<(u64, u64)>) -> Vec<(u64, u64)> {
    ranges.sort_unstable();
    let mut merged: Vec<(u64, u64)> = Vec::new();
    for (from, to) in ranges {
        match merged.last_mut() {
            Some(last) if from <= last.1 => last.1 = last.1.max(to),
            _ => merged.push((from, to)),
        }
    }
    merged
}

/// The arena tensors that live at each step of the main block, from their first to their last use. Inputs live from the
/// start, outputs and what becomes state to the end, states always.
pub(super) fn live_tensors(program: &Program<'_>) -> Vec<Vec<TensorId>> {
    let main = program.block(BlockId(0));
    let count = main.steps as usize;
    let tensors = program.tensors();
    let mut first = vec![usize::MAX; tensors];
    let mut last = vec![0usize; tensors];
    for step in 0..count {
        let mut set = BTreeSet::new();
        touched(program, main.first_step + step as u32, &mut set);
        for t in set {
            first[t as usize] = first[t as usize].min(step);
            last[t as usize] = last[t as usize].max(step);
        }
    }
    for id in program.inputs().iter().flatten() {
        first[id.0 as usize] = 0;
    }
    let end = count.saturating_sub(1);
    let kept = (0..program.states())
        .filter_map(|i| program.state(i))
        .map(|s| s.next);
    for id in program.outputs().iter().flatten().chain(kept) {
        first[id.0 as usize] = first[id.0 as usize].min(end);
        last[id.0 as usize] = end;
    }
    let mut live_at: Vec<Vec<TensorId>> = vec![Vec::new(); count];
    for t in 0..tensors {
        let info = program.tensor(TensorId(t as u32));
        let (from, to) = match info.place {
            Place::Const(_) => continue,
            Place::State(_) => (0, end),
            Place::Arena(_) if first[t] == usize::MAX => continue,
            Place::Arena(_) => (first[t], last[t].max(first[t])),
        };
        for slot in live_at.iter_mut().take(to + 1).skip(from) {
            slot.push(TensorId(t as u32));
        }
    }
    live_at
}

/// What lives in the arena at each step of the main block.
pub fn memory_map(program: &Program<'_>) -> MemoryMap {
    let main = program.block(BlockId(0));
    let live_at = live_tensors(program);
    let count = live_at.len();
    let mut map = MemoryMap::default();
    for (i, live) in live_at.iter().enumerate() {
        let ranges = merge(
            live.iter()
                .map(|&t| {
                    let info = program.tensor(t);
                    let offset = info.arena_offset().unwrap_or(0);
                    (offset, offset.saturating_add(info.bytes_bound))
                })
                .collect(),
        );
        let step = program.step(main.first_step + i as u32);
        map.steps.push(StepMemory {
            step: i as u32,
            operator: step.as_ref().map_or("", |s| s.code.name()).to_owned(),
            node: step.as_ref().map_or("", |s| s.name).to_owned(),
            live_bytes: ranges.iter().map(|(a, b)| b - a).sum(),
            top_bytes: ranges.last().map_or(0, |r| r.1),
        });
        map.ranges.push(ranges);
    }
    map.peak_step = (0..count)
        .rev()
        .max_by_key(|&i| map.steps[i].live_bytes)
        .unwrap_or(0);
    if let Some(live) = live_at.get(map.peak_step) {
        map.peak_tensors = live
            .iter()
            .map(|&t| {
                let info = program.tensor(t);
                LiveTensor {
                    name: if info.name.is_empty() {
                        format!("tensor {}", t.0)
                    } else {
                        info.name.to_owned()
                    },
                    bytes: info.bytes_bound,
                    offset: info.arena_offset().unwrap_or(0),
                }
            })
            .collect();
        map.peak_tensors
            .sort_by(|a, b| b.bytes.cmp(&a.bytes).then(a.offset.cmp(&b.offset)));
    }
    map
}
