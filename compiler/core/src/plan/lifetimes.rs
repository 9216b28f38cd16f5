//! When every value lives.

use super::PlanError;
use crate::ir::{Graph, MAIN, ValueId};
use cygnet_format::{BlockId, Op};

const NEVER: u32 = u32::MAX;

/// The blocks that an operator runs.
pub fn bodies(op: &Op) -> Vec<BlockId> {
    match op {
        Op::If(o) => vec![o.then_block, o.else_block],
        Op::Loop(o) => vec![o.body],
        Op::Scan(o) => vec![o.body],
        _ => Vec::new(),
    }
}

/// Lifetimes of all values in one line of time.
pub(super) struct Timeline {
    /// First time, by value; `u32::MAX` for values without a place in the plan.
    pub begin: Vec<u32>,
    /// Last time, by value.
    pub end: Vec<u32>,
    /// The node that starts at each time.
    pub steps: Vec<Option<(BlockId, usize)>>,
    /// The block that defines a value.
    home: Vec<BlockId>,
    /// Values that the engine writes by itself, at times of its own: body inputs.
    pinned: Vec<bool>,
    /// Every read in order, to extend the reads of bodies.
    reads: Vec<ValueId>,
    /// Values that are constants or states.
    fixed: Vec<bool>,
}

impl Timeline {
    pub(super) fn of(graph: &Graph) -> Result<Timeline, PlanError> {
        let n = graph.values.len();
        let mut fixed: Vec<bool> = graph.values.iter().map(|v| v.data.is_some()).collect();
        for state in &graph.states {
            fixed[state.current.0 as usize] = true;
        }
        let mut timeline = Timeline {
            begin: vec![NEVER; n],
            end: vec![0; n],
            steps: vec![None],
            home: vec![MAIN; n],
            pinned: vec![false; n],
            reads: Vec::new(),
            fixed,
        };
        for port in &graph.inputs {
            timeline.define(port.value, MAIN, 0);
        }
        timeline.walk(graph, MAIN)?;
        let last = timeline.tick(None);
        for v in graph
            .outputs
            .iter()
            .map(|p| p.value)
            .chain(graph.states.iter().map(|s| s.next))
        {
            timeline.read(graph, v, last)?;
        }
        Ok(timeline)
    }

    fn tick(&mut self, step: Option<(BlockId, usize)>) -> u32 {
        self.steps.push(step);
        self.steps.len() as u32 - 1
    }

    fn define(&mut self, v: ValueId, block: BlockId, time: u32) {
        let i = v.0 as usize;
        if !self.fixed[i] {
            self.begin[i] = self.begin[i].min(time);
            self.end[i] = self.end[i].max(time);
            self.home[i] = block;
        }
    }

    fn read(&mut self, graph: &Graph, v: ValueId, time: u32) -> Result<(), PlanError> {
        let i = v.0 as usize;
        if !self.fixed[i] {
            if self.begin[i] == NEVER {
                return Err(PlanError::Undefined(graph.value(v).name.clone()));
            }
            self.end[i] = self.end[i].max(time);
            self.reads.push(v);
        }
        Ok(())
    }

    fn walk(&mut self, graph: &Graph, block: BlockId) -> Result<(), PlanError> {
        for (i, node) in graph.blocks[block.0 as usize].nodes.iter().enumerate() {
            let start = self.tick(Some((block, i)));
            for &v in node.inputs.iter().flatten() {
                self.read(graph, v, start)?;
            }
            for &v in node.outputs.iter().flatten() {
                self.define(v, block, start);
            }
            let inner = bodies(&node.op);
            if inner.is_empty() {
                continue;
            }
            let first_read = self.reads.len();
            for &body in &inner {
                for &v in &graph.blocks[body.0 as usize].inputs {
                    self.define(v, body, start);
                    self.pinned[v.0 as usize] = true;
                }
                self.walk(graph, body)?;
                let stop = self.tick(None);
                let b = &graph.blocks[body.0 as usize];
                for &v in b.inputs.iter().chain(&b.outputs) {
                    self.read(graph, v, stop)?;
                }
            }
            let stop = self.tick(None);
            for k in first_read..self.reads.len() {
                let v = self.reads[k].0 as usize;
                if self.begin[v] <= start {
                    self.end[v] = self.end[v].max(stop);
                }
            }
            // The operands are read and the results written while bodies run.
            for &v in node.inputs.iter().flatten() {
                self.read(graph, v, stop)?;
            }
            for &v in node.outputs.iter().flatten() {
                self.define(v, block, stop);
            }
        }
        Ok(())
    }

    /// Values that need a place, in id order.
    pub(super) fn touched(&self) -> impl Iterator<Item = ValueId> + '_ {
        self.begin
            .iter()
            .enumerate()
            .filter(|&(_, &b)| b != NEVER)
            .map(|(i, _)| ValueId(i as u32))
    }

    /// True when a step of `block` may write onto `v` after its last read.
    pub(super) fn may_overwrite(&self, v: ValueId, block: BlockId) -> bool {
        let i = v.0 as usize;
        !self.fixed[i] && !self.pinned[i] && self.home[i] == block
    }
}
