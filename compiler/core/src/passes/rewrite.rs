//! One walk over a graph in execution order, replacing nodes on the way.

use crate::ir::{Graph, MAIN, Node, Origin, Type, ValueId};
use crate::plan::bodies;
use cygnet_format::{BlockId, Dim, Op};

/// What a rule sees: the nodes before, who reads what, and the means to change.
pub(super) struct Rewriter<'g> {
    pub graph: &'g mut Graph,
    block: BlockId,
    /// The finished nodes of the current block; `None` where one was taken.
    done: Vec<Option<Node>>,
    /// Block and index of the node that defines a value.
    defs: Vec<Option<(BlockId, u32)>>,
    /// Readers of a value, without the node at hand.
    uses: Vec<u32>,
    forward: Vec<Option<ValueId>>,
    pub changes: usize,
}

/// Walks all blocks; `rule` gets each node with its operands up to date and gives what stands in its place. Returns
/// how many changes the rule counted.
pub(super) fn rewrite(
    graph: &mut Graph,
    rule: &mut dyn FnMut(&mut Rewriter<'_>, Node) -> Option<Node>,
) -> usize {
    let n = graph.values.len();
    let mut uses = vec![0; n];
    for block in &graph.blocks {
        for v in block
            .nodes
            .iter()
            .flat_map(|n| n.inputs.iter().flatten())
            .chain(&block.outputs)
        {
            uses[v.0 as usize] += 1;
        }
    }
    for v in graph
        .outputs
        .iter()
        .map(|p| p.value)
        .chain(graph.states.iter().map(|s| s.next))
    {
        uses[v.0 as usize] += 1;
    }
    let mut r = Rewriter {
        graph,
        block: MAIN,
        done: Vec::new(),
        defs: vec![None; n],
        uses,
        forward: vec![None; n],
        changes: 0,
    };
    r.walk(MAIN, rule);
    for i in 0..r.graph.outputs.len() {
        r.graph.outputs[i].value = r.resolve(r.graph.outputs[i].value);
    }
    for i in 0..r.graph.states.len() {
        r.graph.states[i].next = r.resolve(r.graph.states[i].next);
    }
    r.changes
}

impl Rewriter<'_> {
    fn walk(
        &mut self,
        block: BlockId,
        rule: &mut dyn FnMut(&mut Rewriter<'_>, Node) -> Option<Node>,
    ) {
        let nodes = std::mem::take(&mut self.graph.blocks[block.0 as usize].nodes);
        let outer_done = std::mem::take(&mut self.done);
        let outer_block = std::mem::replace(&mut self.block, block);
        for mut node in nodes {
            for i in 0..node.inputs.len() {
                if let Some(v) = node.inputs[i] {
                    let v = self.resolve(v);
                    node.inputs[i] = Some(v);
                    self.uses[v.0 as usize] -= 1;
                }
            }
            for body in bodies(&node.op) {
                self.walk(body, rule);
            }
            if let Some(node) = rule(self, node) {
                self.append(node);
            }
        }
        for i in 0..self.graph.blocks[block.0 as usize].outputs.len() {
            let v = self.resolve(self.graph.blocks[block.0 as usize].outputs[i]);
            self.graph.blocks[block.0 as usize].outputs[i] = v;
        }
        let done = std::mem::replace(&mut self.done, outer_done);
        self.graph.blocks[block.0 as usize].nodes = done.into_iter().flatten().collect();
        self.block = outer_block;
    }

    fn resolve(&self, mut v: ValueId) -> ValueId {
        while let Some(Some(to)) = self.forward.get(v.0 as usize) {
            v = *to;
        }
        v
    }

    fn grow(&mut self) {
        let n = self.graph.values.len();
        self.defs.resize(n, None);
        self.uses.resize(n, 0);
        self.forward.resize(n, None);
    }

    /// Appends a node before the one at hand.
    pub fn append(&mut self, node: Node) {
        self.grow();
        for v in node.inputs.iter().flatten() {
            self.uses[v.0 as usize] += 1;
        }
        for v in node.outputs.iter().flatten() {
            self.defs[v.0 as usize] = Some((self.block, self.done.len() as u32));
        }
        self.done.push(Some(node));
    }

    /// Appends a node of one new output before the one at hand.
    pub fn emit(
        &mut self,
        source: &str,
        op: impl Into<Op>,
        inputs: Vec<Option<ValueId>>,
        ty: Type,
    ) -> ValueId {
        let op = op.into();
        let name = format!("{}_{}", op.code().name(), self.graph.values.len());
        let y = self.graph.add_value(name, ty);
        self.append(Node {
            op,
            inputs,
            outputs: vec![Some(y)],
            source: source.to_owned(),
        });
        y
    }

    /// A new f32 constant.
    pub fn constant(&mut self, shape: &[usize], data: &[f32]) -> ValueId {
        let name = format!("const_{}", self.graph.values.len());
        let v = self.graph.add_f32(name, shape, data);
        self.grow();
        v
    }

    /// A new constant of any type.
    pub fn constant_bytes(&mut self, ty: Type, data: Vec<u8>) -> ValueId {
        let name = format!("const_{}", self.graph.values.len());
        let v = self.graph.add_constant(name, ty, data);
        self.grow();
        v
    }

    /// The node of this block that defines `v`.
    pub fn def(&self, v: ValueId) -> Option<&Node> {
        let (block, i) = (*self.defs.get(v.0 as usize)?)?;
        if block != self.block {
            None
        } else {
            self.done.get(i as usize)?.as_ref()
        }
    }

    /// The operator that defines `v` with its operands, cloned.
    pub fn op(&self, v: ValueId) -> Option<(Op, Vec<Option<ValueId>>)> {
        self.def(v).map(|n| (n.op, n.inputs.clone()))
    }

    /// True when nothing but the node at hand reads `v`.
    pub fn only_here(&self, v: ValueId) -> bool {
        self.uses[v.0 as usize] == 0
    }

    /// The number of readers of `v`, without the node at hand.
    pub fn readers(&self, v: ValueId) -> u32 {
        self.uses[v.0 as usize]
    }

    /// Where in the block `v` is defined; 0 when it is not defined here.
    pub fn position(&self, v: ValueId) -> u32 {
        self.defs
            .get(v.0 as usize)
            .copied()
            .flatten()
            .filter(|d| d.0 == self.block)
            .map_or(0, |d| d.1)
    }

    /// Takes the node that defines `v` out; whoever reads `v` must be replaced.
    pub fn take(&mut self, v: ValueId) -> Node {
        let (_, i) = self.defs[v.0 as usize].expect("a node defines the value");
        let node = self.done[i as usize].take().expect("taken once");
        for v in node.inputs.iter().flatten() {
            self.uses[v.0 as usize] -= 1;
        }
        node
    }

    /// Makes all later readers of `old` read `new`, a value of the same type and elements.
    pub fn replace(&mut self, old: ValueId, new: ValueId) {
        debug_assert_eq!(self.graph.ty(old).dtype, self.graph.ty(new).dtype);
        self.grow();
        self.forward[old.0 as usize] = Some(new);
        self.uses[new.0 as usize] += self.uses[old.0 as usize];
        self.uses[old.0 as usize] = 0;
        self.changes += 1;
        if self.graph.value(new).origin.is_none() && self.graph.value(new).data.is_none() {
            self.graph.value_mut(new).origin = self.graph.value(old).origin.clone();
        }
    }

    /// The element of an f32 constant of one element.
    pub fn scalar(&self, v: ValueId) -> Option<f32> {
        let value = self.graph.value(v);
        value.data.as_ref()?;
        if value.ty.fixed_len() == Some(1) {
            self.graph.constant_f32(v).map(|d| d[0])
        } else {
            None
        }
    }

    pub fn is_const(&self, v: ValueId) -> bool {
        self.graph.value(v).data.is_some()
    }

    pub fn ty(&self, v: ValueId) -> Type {
        self.graph.ty(v).clone()
    }

    pub fn shape(&self, v: ValueId) -> Vec<Dim> {
        self.graph.ty(v).shape.to_vec()
    }
}

/// Axes of attributes as indices.
pub(super) fn indices(axes: &[i32]) -> Vec<usize> {
    axes.iter().map(|&a| a as usize).collect()
}

/// `inverse[perm[i]] = i`.
pub(super) fn inverse(perm: &[usize]) -> Vec<usize> {
    let mut inverse = vec![0; perm.len()];
    for (i, &p) in perm.iter().enumerate() {
        inverse[p] = i;
    }
    inverse
}

pub(super) fn is_identity(perm: &[usize]) -> bool {
    perm.iter().enumerate().all(|(i, &p)| i == p)
}

/// `y[i] = x[perm[i]]`.
pub(super) fn permuted<T: Clone>(x: &[T], perm: &[usize]) -> Vec<T> {
    perm.iter().map(|&p| x[p].clone()).collect()
}

/// The origin of `x` where `y = transpose(x, perm)` has this origin.
pub(super) fn origin_before(origin: &Origin, perm: &[usize]) -> Origin {
    let mut before = vec![0; perm.len()];
    for (i, &p) in perm.iter().enumerate() {
        before[p] = origin.perm.get(i).copied().unwrap_or(i);
    }
    let perm = if is_identity(&before) {
        Vec::new()
    } else {
        before
    };
    Origin {
        name: origin.name.clone(),
        perm,
    }
}

/// True when a transposition moves no element: the axes longer than one keep their order.
pub(super) fn moves_nothing(shape: &[Dim], perm: &[usize]) -> bool {
    let long: Vec<usize> = perm
        .iter()
        .copied()
        .filter(|&p| shape[p] != Dim::ONE)
        .collect();
    long.windows(2).all(|w| w[0] < w[1])
}
