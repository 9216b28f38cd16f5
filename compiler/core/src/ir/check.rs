//! Structural checks: what every pass must leave true.

use super::{Graph, MAIN, Node, ValueId};
use crate::plan::bodies;
use cygnet_format::{BlockId, Op};

#[derive(Clone, Copy, PartialEq)]
enum Seen {
    No,
    Visible,
    Hidden,
}

struct Check<'a> {
    graph: &'a Graph,
    seen: Vec<Seen>,
}

/// Checks that every value is defined once, before its uses, in a block that can see it; that operand counts and
/// shapes fit the operators; and that constants have the bytes of their type.
///
/// # Errors
/// A description of the first violation.
pub fn verify(graph: &Graph) -> Result<(), String> {
    let mut check = Check {
        graph,
        seen: vec![Seen::No; graph.values.len()],
    };
    for (i, value) in graph.values.iter().enumerate() {
        if let Some(data) = &value.data {
            let want = value.ty.fixed_len().map(|n| n * value.ty.dtype.size());
            if want != Some(data.len()) {
                return Err(format!(
                    "constant '{}' has {} bytes for {:?}",
                    value.name,
                    data.len(),
                    value.ty
                ));
            }
            check.seen[i] = Seen::Visible;
        }
    }
    for v in graph
        .inputs
        .iter()
        .map(|p| p.value)
        .chain(graph.states.iter().map(|s| s.current))
    {
        check.define(v, "input")?;
    }
    check.block(MAIN)?;
    for v in graph
        .outputs
        .iter()
        .map(|p| p.value)
        .chain(graph.states.iter().map(|s| s.next))
    {
        check.visible(v, "output")?;
    }
    for state in &graph.states {
        if graph.ty(state.current).dtype != graph.ty(state.next).dtype {
            return Err(format!("state '{}' changes its element type", state.name));
        }
    }
    Ok(())
}

impl Check<'_> {
    fn define(&mut self, v: ValueId, at: &str) -> Result<(), String> {
        match self.seen.get_mut(v.0 as usize) {
            Some(slot @ Seen::No) => *slot = Seen::Visible,
            _ => {
                return Err(format!(
                    "{at}: value {} does not exist or is defined twice",
                    v.0
                ));
            }
        }
        Ok(())
    }

    fn visible(&self, v: ValueId, at: &str) -> Result<(), String> {
        match self.seen.get(v.0 as usize) {
            Some(Seen::Visible) => Ok(()),
            Some(_) => Err(format!(
                "{at}: value '{}' is not defined before",
                self.graph.value(v).name
            )),
            None => Err(format!("{at}: no value {}", v.0)),
        }
    }

    fn block(&mut self, id: BlockId) -> Result<(), String> {
        let graph = self.graph;
        let Some(b) = graph.blocks.get(id.0 as usize) else {
            return Err(format!("no block {}", id.0));
        };
        for &v in &b.inputs {
            self.define(v, "body input")?;
        }
        for node in &b.nodes {
            let at = format!("{} ({})", node.op.code().name(), node.source);
            for &v in node.inputs.iter().flatten() {
                self.visible(v, &at)?;
            }
            let arity = node.op.code().arity();
            let present = |list: &[Option<ValueId>], n: usize| {
                (0..n).all(|i| list.get(i).is_some_and(Option::is_some))
            };
            if node.inputs.len() > arity.max_inputs
                || node.outputs.len() > arity.max_outputs
                || !present(&node.inputs, arity.required_inputs)
                || !present(&node.outputs, arity.required_outputs)
            {
                return Err(format!("{at}: wrong number of operands"));
            }
            for body in bodies(&node.op) {
                if body.0 <= id.0 {
                    return Err(format!(
                        "{at}: body {} does not come after its block",
                        body.0
                    ));
                }
                self.block(body)?;
            }
            for &v in node.outputs.iter().flatten() {
                self.define(v, &at)?;
            }
            self.shapes(node).map_err(|e| format!("{at}: {e}"))?;
        }
        for &v in &b.outputs {
            self.visible(v, "body output")?;
        }
        for v in b.inputs.iter().copied().chain(
            b.nodes
                .iter()
                .flat_map(|n| n.outputs.iter().flatten().copied()),
        ) {
            if id != MAIN {
                self.seen[v.0 as usize] = Seen::Hidden;
            }
        }
        Ok(())
    }

    /// Shape rules of the operators that passes move around.
    fn shapes(&self, node: &Node) -> Result<(), String> {
        let graph = self.graph;
        let (Some(Some(x)), Some(Some(y))) = (node.inputs.first(), node.outputs.first()) else {
            return Ok(());
        };
        let (x, y) = (graph.ty(*x), graph.ty(*y));
        let same_type = |ok: bool, what: &str| {
            if ok {
                Ok(())
            } else {
                Err(format!("{what}: {x:?} against {y:?}"))
            }
        };
        match &node.op {
            Op::Reshape(_) => {
                let len = |t: &super::Type| t.fixed_len();
                same_type(x.dtype == y.dtype, "element types differ")?;
                same_type(
                    len(x).is_none() || len(y).is_none() || len(x) == len(y),
                    "element counts differ",
                )
            }
            Op::Transpose(op) => {
                let mut axes: Vec<i32> = op.perm.to_vec();
                axes.sort_unstable();
                let valid =
                    axes.iter().enumerate().all(|(i, &p)| i as i32 == p) && axes.len() == x.rank();
                same_type(
                    valid && y.rank() == x.rank() && x.dtype == y.dtype,
                    "malformed permutation",
                )?;
                let moved = op
                    .perm
                    .iter()
                    .zip(y.shape.iter())
                    .all(|(&p, &d)| x.shape[p as usize] == d);
                same_type(moved, "the shape is not permuted")
            }
            Op::Unary(_) | Op::Softmax(_) | Op::Cast(_) => {
                same_type(x.shape == y.shape, "shapes differ")
            }
            Op::Slice(op) => same_type(
                op.starts.len() == x.rank() && op.steps.len() == x.rank() && y.rank() == x.rank(),
                "ranks differ",
            ),
            Op::Concat(op) => same_type(
                (op.axis as usize) < y.rank() && x.rank() == y.rank(),
                "ranks differ",
            ),
            Op::Pad(op) => same_type(
                op.before.len() == x.rank() && y.rank() == x.rank(),
                "ranks differ",
            ),
            Op::Conv(_) | Op::DepthwiseConv(_) | Op::MatMul(_) | Op::WinogradConv(_) => {
                if let Some(Some(bias)) = node.inputs.get(2) {
                    let n = *y.shape.last().unwrap_or(&cygnet_format::Dim::ONE);
                    same_type(
                        graph.ty(*bias).shape[..] == [n],
                        "the bias is not one number a column",
                    )?;
                }
                match node.inputs.get(3) {
                    Some(Some(r)) => same_type(
                        graph.ty(*r).shape == y.shape,
                        "the residual has another shape",
                    ),
                    _ => Ok(()),
                }
            }
            _ => Ok(()),
        }
    }
}
