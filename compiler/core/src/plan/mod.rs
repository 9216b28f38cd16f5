//! Memory planning: lifetimes over all blocks, in-place steps, offsets.
//!
//! Time is one line: steps of the main block in order, with the steps of a body between the start and the end of the
//! step that runs it. Two tensors may share bytes when their lifetimes do not meet. A value read inside of a body
//! lives until the step that runs the body ends, because the body may run again.

mod lifetimes;
mod offsets;

pub use lifetimes::bodies;

use crate::ir::{Graph, ValueId};
use cygnet_format::{BlockId, Dims, Op};
use lifetimes::Timeline;
use offsets::Buffer;

/// Alignment of every tensor in the arena, in bytes.
pub const ALIGNMENT: u64 = 64;

/// Where everything lies in the arena.
#[derive(Clone, Debug)]
pub struct Plan {
    /// Offset of every value from the start of the arena; `None` for constants and values that no step touches.
    pub offsets: Vec<Option<u64>>,
    /// Bytes at the start of the arena that hold the states.
    pub state_bytes: u64,
    /// Bytes of the whole arena.
    pub arena_bytes: u64,
    /// States plus the largest sum of tensors live at one step: no plan of this step order needs less.
    pub lower_bound_bytes: u64,
    /// The step at which the lower bound is reached (block and node); `None` when it is before the first step.
    pub peak: Option<(BlockId, usize)>,
    /// Steps that write onto one of their inputs.
    pub in_place_steps: usize,
}

/// Why a graph cannot be planned.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum PlanError {
    /// A value is used that nothing defines before: a defect of a pass or an importer.
    #[error("the value '{0}' is used before anything defines it")]
    Undefined(String),
    /// A tensor has no upper bound that fits the format.
    #[error(
        "the tensor '{0}' may become larger than any device can hold; give its dimensions smaller bounds"
    )]
    TooLarge(String),
}

/// Most bytes that a value ever has; `None` when that overflows.
pub fn bytes_bound(graph: &Graph, v: ValueId) -> Option<u64> {
    let ty = graph.ty(v);
    let mut bytes = ty.dtype.size() as u64;
    for &d in ty.shape.iter() {
        bytes = bytes.checked_mul(graph.dim_bounds(d).1.max(0) as u64)?;
    }
    (bytes <= 1 << 45).then_some(bytes)
}

fn aligned(bytes: u64) -> u64 {
    bytes.div_ceil(ALIGNMENT) * ALIGNMENT
}

/// Groups of values that share one buffer.
struct Groups {
    parent: Vec<u32>,
    begin: Vec<u32>,
    end: Vec<u32>,
    size: Vec<u64>,
}

impl Groups {
    fn find(&mut self, v: ValueId) -> usize {
        let mut i = v.0;
        while self.parent[i as usize] != i {
            self.parent[i as usize] = self.parent[self.parent[i as usize] as usize];
            i = self.parent[i as usize];
        }
        i as usize
    }

    fn merge(&mut self, a: usize, b: usize) {
        self.parent[b] = a as u32;
        self.begin[a] = self.begin[a].min(self.begin[b]);
        self.end[a] = self.end[a].max(self.end[b]);
        self.size[a] = self.size[a].max(self.size[b]);
    }
}

fn same_bytes(op: &Op, x: &Dims, y: &Dims) -> bool {
    matches!(op, Op::Reshape(_)) || x == y
}

/// Plans the memory of a graph.
///
/// # Errors
/// See [`PlanError`].
pub fn plan(graph: &Graph) -> Result<Plan, PlanError> {
    let timeline = Timeline::of(graph)?;
    let n = graph.values.len();
    let mut groups = Groups {
        parent: (0..n as u32).collect(),
        begin: timeline.begin.clone(),
        end: timeline.end.clone(),
        size: vec![0; n],
    };
    for v in timeline.touched() {
        let bytes = bytes_bound(graph, v)
            .ok_or_else(|| PlanError::TooLarge(graph.value(v).name.clone()))?;
        groups.size[v.0 as usize] = aligned(bytes);
    }
    let in_place_steps = share_in_place(graph, &timeline, &mut groups);

    let mut offsets = vec![None; n];
    let mut state_bytes = 0;
    for state in &graph.states {
        let bytes = bytes_bound(graph, state.current)
            .ok_or_else(|| PlanError::TooLarge(graph.value(state.current).name.clone()))?;
        offsets[state.current.0 as usize] = Some(state_bytes);
        state_bytes += aligned(bytes);
    }
    let mut roots = Vec::new();
    let mut buffers = Vec::new();
    for v in timeline.touched() {
        if groups.find(v) == v.0 as usize {
            let i = v.0 as usize;
            roots.push(i);
            buffers.push(Buffer {
                size: groups.size[i],
                begin: groups.begin[i],
                end: groups.end[i],
            });
        }
    }
    let loads = offsets::loads(&buffers, timeline.steps.len());
    let (peak_time, peak_load) = loads
        .iter()
        .enumerate()
        .max_by_key(|&(t, &load)| (load, std::cmp::Reverse(t)))
        .map_or((0, 0), |(t, &load)| (t, load));
    let placed = offsets::assign(&buffers, &loads);
    let mut total = 0;
    let mut of_root = vec![0; n];
    for ((&root, &at), buffer) in roots.iter().zip(&placed).zip(&buffers) {
        of_root[root] = at;
        total = total.max(at + buffer.size);
    }
    for v in timeline.touched() {
        offsets[v.0 as usize] = Some(state_bytes + of_root[groups.find(v)]);
    }
    Ok(Plan {
        offsets,
        state_bytes,
        arena_bytes: state_bytes + total,
        lower_bound_bytes: state_bytes + peak_load,
        peak: timeline.steps[peak_time],
        in_place_steps,
    })
}

/// Merges outputs with inputs that die in the step, where the operator allows it. Gives the number of such steps.
fn share_in_place(graph: &Graph, timeline: &Timeline, groups: &mut Groups) -> usize {
    let mut shared = 0;
    for (t, step) in timeline.steps.iter().enumerate() {
        let Some((block, node)) = *step else { continue };
        let node = &graph.blocks[block.0 as usize].nodes[node];
        for (o, output) in node.outputs.iter().enumerate() {
            let mask = node.op.in_place_inputs(o);
            let Some(output) = *output else { continue };
            let mut best: Option<(u64, usize)> = None;
            for (j, input) in node.inputs.iter().enumerate().take(32) {
                let Some(x) = *input else { continue };
                if mask >> j & 1 == 0 || !timeline.may_overwrite(x, block) {
                    continue;
                }
                let (tx, ty) = (graph.ty(x), graph.ty(output));
                if tx.dtype != ty.dtype || !same_bytes(&node.op, &tx.shape, &ty.shape) {
                    continue;
                }
                let group = groups.find(x);
                let readers = node
                    .inputs
                    .iter()
                    .flatten()
                    .filter(|&&v| groups.find(v) == group)
                    .count();
                if groups.end[group] as usize == t && readers == 1 {
                    let size = groups.size[group];
                    if best.is_none_or(|(s, _)| size > s) {
                        best = Some((size, group));
                    }
                }
            }
            if let Some((_, group)) = best {
                let own = groups.find(output);
                groups.merge(group, own);
                shared += 1;
            }
        }
    }
    shared
}

#[cfg(test)]
mod tests;
