//! Which tensors become 8-bit, and which of them share a scale.

use crate::ir::{Flow, Graph, MAIN, Node, ValueId};
use crate::passes;
use cygnet_format::op::{
    ActivationKind, BinaryKind, CoordinateMode, PackB, PadMode, PoolKind, ReduceKind, ResizeMode,
    UnaryKind,
};
use cygnet_format::{DType, Dim, Op};
use std::collections::{BTreeMap, BTreeSet};

/// Longest sum of products: 127 * 255 times as many fit 32 bits.
const MAX_DEPTH: usize = 1 << 16;

/// Most steps between an operand and a function of it.
const MAX_STEPS: usize = 8;

/// How the weights of a layer lie.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// `[K, N]`, or `[N, K]` when `trans`.
    Matrix { trans: bool },
    /// `[G, taps * C/G, O/G]`.
    Convolution,
    /// `[taps, C]`.
    Depthwise,
}

/// A convolution or product with constant weights.
#[derive(Clone, Debug)]
pub(super) struct Layer {
    /// Its node.
    pub node: usize,
    pub kind: Kind,
    pub x: ValueId,
    pub y: ValueId,
    /// The weights before they are packed.
    pub weights: ValueId,
    /// Shape of the weights.
    pub shape: Vec<usize>,
    /// How they are packed.
    pub packing: Option<PackB>,
    /// A value for each output channel.
    pub bias: Option<ValueId>,
    /// Output channels.
    pub outputs: usize,
    /// Positions of the kernel of a convolution.
    pub taps: usize,
}

impl Layer {
    /// The layer that a node is.
    fn of(graph: &Graph, flow: &Flow, index: usize) -> Option<Layer> {
        let nodes = &graph.blocks[MAIN.0 as usize].nodes;
        let node = &nodes[index];
        let act = match node.op {
            Op::MatMul(o) => o.act,
            Op::Conv(o) => o.act,
            Op::DepthwiseConv(o) => o.act,
            _ => return None,
        };
        let residual = node.inputs.get(3).copied().flatten();
        if act.kind != ActivationKind::None || residual.is_some() {
            return None;
        }
        let (x, y) = (node.inputs[0]?, node.outputs[0]?);
        let float = |v: ValueId| graph.ty(v).dtype == DType::F32;
        let fixed = |v: ValueId| graph.value(v).data.is_some();
        let packed = node.inputs[1]?;
        let (weights, packing) = match flow.maker[packed.0 as usize].map(|i| &nodes[i]) {
            Some(Node {
                op: Op::PackB(pack),
                inputs,
                ..
            }) => (inputs[0]?, Some(*pack)),
            _ => (packed, None),
        };
        if !float(x) || !float(y) || !float(weights) || fixed(x) || !fixed(weights) {
            return None;
        }
        let shape = graph.ty(weights).fixed_shape()?;
        let outputs = graph.ty(y).shape.last().copied().and_then(Dim::as_const)?;
        let (kind, fits, depth) = match (node.op, packing, &shape[..]) {
            (Op::MatMul(_), Some(PackB { trans }), &[a, b]) => {
                let (k, n) = if trans { (b, a) } else { (a, b) };
                (Kind::Matrix { trans }, n == outputs, k)
            }
            (Op::Conv(o), Some(PackB { trans: false }), &[g, depth, n]) => {
                let fits = g == o.group as usize && g * n == outputs;
                (Kind::Convolution, fits, depth)
            }
            (Op::DepthwiseConv(_), None, &[taps, n]) => (Kind::Depthwise, n == outputs, taps),
            _ => return None,
        };
        let taps = match node.op {
            Op::Conv(o) => o.kernel.iter().map(|&k| k as usize).product(),
            Op::DepthwiseConv(o) => o.kernel.iter().map(|&k| k as usize).product(),
            _ => 1,
        };
        let bias = node.inputs.get(2).copied().flatten();
        let constant = bias.is_none_or(|b| {
            graph
                .constant_f32(b)
                .is_some_and(|b| b.len() == outputs && b.iter().all(|b| b.is_finite()))
        });
        let same_rank = graph.ty(x).rank() == graph.ty(y).rank();
        let usable =
            fits && constant && same_rank && outputs > 0 && (1..MAX_DEPTH).contains(&depth);
        usable.then_some(Layer {
            node: index,
            kind,
            x,
            y,
            weights,
            shape,
            packing,
            bias,
            outputs,
            taps,
        })
    }

    /// The output channel of an element of the weights.
    pub fn channel(&self, i: usize) -> usize {
        match (self.kind, &self.shape[..]) {
            (Kind::Matrix { trans: true }, &[_, k]) => i / k,
            (Kind::Convolution, &[_, depth, o]) => i / (depth * o) * o + i % o,
            _ => i % self.outputs,
        }
    }
}

/// Bits of activations.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Width {
    /// 8, with a zero point.
    #[default]
    Eight,
    /// 16, symmetric.
    Sixteen,
}

/// What a quantisation does to a graph.
#[derive(Clone, Debug, Default)]
pub(super) struct Scheme {
    /// Layers in execution order.
    pub layers: Vec<Layer>,
    /// The tensors that become 8-bit, with the tensor that stands for all that share its scale.
    pub points: BTreeMap<ValueId, ValueId>,
    /// Nodes whose operands are integers.
    pub integer: BTreeSet<usize>,
    /// Points that come from integers: all who read them read integers.
    pub computed: BTreeSet<ValueId>,
    /// Points that hold elements of other points of their scale, which is why nothing is to be learnt from them.
    pub moved: BTreeSet<ValueId>,
    /// Of the points.
    pub width: Width,
    /// Nodes that are no layers, whatever they could be.
    pub excluded: BTreeSet<usize>,
}

struct Search<'a> {
    graph: &'a Graph,
    flow: Flow,
    layer_of: BTreeMap<usize, usize>,
    parent: BTreeMap<ValueId, ValueId>,
    integer: BTreeSet<usize>,
    pending: Vec<ValueId>,
    width: Width,
}

impl Scheme {
    /// The scheme of a float graph whose layers are recognised and not yet packed, without the layers at these nodes.
    pub fn without(graph: &Graph, excluded: &BTreeSet<usize>, width: Width) -> Scheme {
        let nodes = &graph.blocks[MAIN.0 as usize].nodes;
        let flow = Flow::of(graph);
        let layers: Vec<Layer> = (0..nodes.len())
            .filter(|i| !excluded.contains(i))
            .filter_map(|i| Layer::of(graph, &flow, i))
            .collect();
        let layer_of = layers
            .iter()
            .enumerate()
            .map(|(k, l)| (l.node, k))
            .collect();
        let mut search = Search {
            graph,
            flow,
            layer_of,
            parent: BTreeMap::new(),
            integer: layers.iter().map(|l| l.node).collect(),
            pending: Vec::new(),
            width,
        };
        for layer in &layers {
            search.add(layer.x);
            // Sums that are not requantised would go through memory as 32-bit integers.
            search.add(search.clamped(layer.y));
        }
        search.spread();
        // Sums of integers that only floats read.
        loop {
            let found = (0..nodes.len()).find(|&i| search.is_loose_sum(i));
            let Some(i) = found else { break };
            search.add(search.clamped(nodes[i].outputs[0].expect("a sum has a result")));
            search.spread();
        }
        let points: Vec<ValueId> = search.parent.keys().copied().collect();
        let operands = |v: &ValueId| search.operands(*v);
        let computed = points.iter().copied().filter(|v| operands(v).is_some());
        let moved = points.iter().copied();
        let moved = moved.filter(|v| operands(v).is_some_and(|(_, _, same)| same));
        Scheme {
            computed: computed.collect(),
            moved: moved.collect(),
            points: points.iter().map(|&v| (v, search.root(v))).collect(),
            integer: search.integer,
            layers,
            width,
            excluded: excluded.clone(),
        }
    }

    /// Points that share a scale, by the value that stands for them: those from which it is learnt.
    pub fn sources(&self) -> BTreeMap<ValueId, Vec<ValueId>> {
        let mut sources: BTreeMap<ValueId, Vec<ValueId>> = BTreeMap::new();
        for (&v, &root) in &self.points {
            let of = sources.entry(root).or_default();
            if !self.moved.contains(&v) {
                of.push(v);
            }
        }
        sources
    }
}

/// True for Relu and Clip, which become bounds of the integers below them.
pub(super) fn clamps(op: &Op) -> bool {
    matches!(op, Op::Unary(u) if u.kind == UnaryKind::Relu || (u.kind == UnaryKind::Clip && u.a <= u.b))
}

impl Search<'_> {
    fn node(&self, i: usize) -> &Node {
        &self.graph.blocks[MAIN.0 as usize].nodes[i]
    }

    fn root(&self, mut v: ValueId) -> ValueId {
        while let Some(&p) = self.parent.get(&v)
            && p != v
        {
            v = p;
        }
        v
    }

    fn unite(&mut self, a: ValueId, b: ValueId) {
        let (a, b) = (self.root(a), self.root(b));
        // The earlier value stands for both.
        self.parent.insert(a.max(b), a.min(b));
    }

    /// True when a value may become 8-bit.
    fn usable(&self, v: ValueId) -> bool {
        let value = self.graph.value(v);
        value.ty.dtype == DType::F32 && value.data.is_none()
    }

    fn add(&mut self, v: ValueId) {
        if self.usable(v) && !self.parent.contains_key(&v) {
            self.parent.insert(v, v);
            self.pending.push(v);
        }
    }

    /// The last of the clamps that alone read `v` and one another; `v` itself without.
    fn clamped(&self, mut v: ValueId) -> ValueId {
        while let Some(i) = self.flow.only_reader(v)
            && clamps(&self.node(i).op)
            && let Some(y) = self.node(i).outputs[0]
        {
            v = y;
        }
        v
    }

    /// The value below the clamps that alone read it.
    fn unclamped(&self, mut v: ValueId) -> ValueId {
        while let Some(i) = self.flow.maker[v.0 as usize]
            && clamps(&self.node(i).op)
            && let Some(x) = self.node(i).inputs[0]
            && self.flow.only_reader(x).is_some()
        {
            v = x;
        }
        v
    }

    /// The node that computes `v` from integers, the operands that must be integers for that, and whether they share its
    /// scale.
    fn operands(&self, v: ValueId) -> Option<(usize, Vec<ValueId>, bool)> {
        let below = self.unclamped(v);
        let i = self.flow.maker[below.0 as usize]?;
        let node = self.node(i);
        if self.layer_of.contains_key(&i) {
            return Some((i, Vec::new(), false));
        }
        let moves = is_movement(self.graph, node);
        // Tables: of a function, of clamps of elements that are only moved, of clamps of what others read as well.
        let source = self.function_of(v).or_else(|| match () {
            () if moves && below != v => Some(below),
            () if clamps(&node.op) => node.inputs[0],
            () => None,
        });
        if let Some(source) = source {
            // A table of 65,536 entries would be larger than most layers.
            if self.width == Width::Sixteen {
                return None;
            }
            // All who read what integers compute read integers, so none of the steps is marked.
            return self.computed(source).then(|| (i, vec![source], false));
        }
        let data: Vec<ValueId> = if moves {
            match node.op {
                Op::Concat(_) => node.inputs.iter().copied().collect::<Option<_>>()?,
                _ => vec![node.inputs[0]?],
            }
        } else if is_sum(self.graph, node) || is_mean(self.graph, node) {
            node.inputs.iter().flatten().copied().collect()
        } else if is_product(self.graph, node) {
            let factors: Vec<ValueId> = node.inputs.iter().flatten().copied().collect();
            if !factors.iter().all(|&x| self.computed(x)) {
                return None;
            }
            factors
        } else {
            return None;
        };
        let all = data.iter().all(|&x| self.usable(x));
        all.then_some((i, data, moves))
    }

    /// The one value of which `v` is a function, element by element, by at least one step that is not a clamp.
    fn function_of(&self, v: ValueId) -> Option<ValueId> {
        let mut source = None;
        let mut more = false;
        self.trace(v, 0, &mut source, &mut more)?;
        source.filter(|_| more)
    }

    fn trace(
        &self,
        v: ValueId,
        depth: usize,
        source: &mut Option<ValueId>,
        more: &mut bool,
    ) -> Option<()> {
        let maker = self.flow.maker[v.0 as usize].map(|i| self.node(i));
        let step = maker.filter(|n| passes::is_pointwise(&n.op) && depth < MAX_STEPS);
        let scalar = |x: ValueId| {
            let value = self.graph.value(x);
            value.data.is_some() && value.ty.fixed_len() == Some(1)
        };
        let of = step.map(|n| {
            let inputs = n.inputs.iter().flatten().copied();
            inputs.filter(|&x| !scalar(x)).collect::<Vec<_>>()
        });
        match of {
            // Two operands are one when both are functions of one value.
            Some(operands) if operands.iter().all(|&x| self.same_shape(x, v)) => {
                let before = *source;
                let mut inner = *more || !step.is_some_and(|n| clamps(&n.op));
                let found = operands
                    .iter()
                    .all(|&x| self.trace(x, depth + 1, source, &mut inner).is_some());
                if found && !operands.is_empty() {
                    *more = inner;
                    return Some(());
                }
                *source = before;
            }
            _ => {}
        }
        match *source {
            Some(s) if s != v => None,
            _ => {
                *source = Some(v);
                self.usable(v).then_some(())
            }
        }
    }

    fn same_shape(&self, a: ValueId, b: ValueId) -> bool {
        self.graph.ty(a).shape == self.graph.ty(b).shape
    }

    /// Adds what the pending values need.
    fn spread(&mut self) {
        while let Some(v) = self.pending.pop() {
            self.keep(v);
            let Some((i, operands, same_scale)) = self.operands(v) else {
                continue;
            };
            self.integer.insert(i);
            for x in operands {
                self.add(x);
                if same_scale {
                    self.unite(v, x);
                }
            }
        }
    }

    /// Where `v` is a state at the start of a run: what it becomes, when integers compute that, gets its scale, so that
    /// the integers carry over. Sums of 16-bit integers are bounded by the steps that make them, of which a state has none.
    fn keep(&mut self, v: ValueId) {
        let state = self.graph.states.iter().find(|s| s.current == v);
        if let Some(next) = state.map(|s| s.next)
            && self.width == Width::Eight
            && self.usable(next)
            && self.computed(next)
        {
            self.add(next);
            self.unite(v, next);
        }
    }

    /// True when a point is computed from integers.
    fn computed(&self, v: ValueId) -> bool {
        self.operands(v).is_some()
    }

    /// A sum of two points that are computed from integers, which is not one yet.
    fn is_loose_sum(&self, i: usize) -> bool {
        let node = self.node(i);
        let point = |v: &Option<ValueId>| {
            v.is_some_and(|v| self.parent.contains_key(&v) && self.computed(v))
        };
        let Some(y) = node.outputs.first().copied().flatten() else {
            return false;
        };
        !self.integer.contains(&i)
            && is_sum(self.graph, node)
            && node.inputs.iter().all(point)
            && !self.parent.contains_key(&self.clamped(y))
    }
}

/// A sum of two tensors of one shape.
fn is_sum(graph: &Graph, node: &Node) -> bool {
    let Op::Binary(op) = node.op else {
        return false;
    };
    let shape = |v: Option<ValueId>| v.map(|v| graph.ty(v).shape);
    op.kind == BinaryKind::Add
        && shape(node.inputs[0]) == shape(node.outputs[0])
        && shape(node.inputs[1]) == shape(node.outputs[0])
}

/// A product of two tensors, the second of which may be one row for all.
fn is_product(graph: &Graph, node: &Node) -> bool {
    let Op::Binary(op) = node.op else {
        return false;
    };
    let shape = |v: Option<ValueId>| v.map(|v| graph.ty(v).shape.to_vec());
    let (Some(a), Some(b), Some(y)) = (
        shape(node.inputs[0]),
        shape(node.inputs[1]),
        shape(node.outputs[0]),
    ) else {
        return false;
    };
    let of = |a: &[Dim], b: &[Dim]| a == y && passes::broadcasts_inside(b, &y);
    op.kind == BinaryKind::Mul && (of(&a, &b) || of(&b, &a))
}

/// A mean over windows or over the whole of a channels-last tensor.
fn is_mean(graph: &Graph, node: &Node) -> bool {
    match &node.op {
        Op::Pool(o) => o.kind == PoolKind::Average && node.outputs.len() == 1,
        Op::Reduce(o) if o.kind == ReduceKind::Mean => {
            let Some(x) = node.inputs[0] else {
                return false;
            };
            let rank = graph.ty(x).rank();
            let mut axes = o.axes.to_vec();
            axes.sort_unstable();
            (3..=5).contains(&rank) && axes == (1..rank as i32 - 1).collect::<Vec<_>>()
        }
        _ => false,
    }
}

/// What gives elements of its first operand (of all operands: Concat) and nothing new but zeros.
fn is_movement(graph: &Graph, node: &Node) -> bool {
    match &node.op {
        Op::Reshape(_)
        | Op::Transpose(_)
        | Op::Slice(_)
        | Op::Expand(_)
        | Op::Tile(_)
        | Op::Gather(_)
        | Op::Concat(_) => true,
        Op::Pool(o) => o.kind == PoolKind::Max && node.outputs.len() == 1,
        Op::Resize(o) => {
            o.mode == ResizeMode::Nearest && o.coordinates != CoordinateMode::TfCropAndResize
        }
        Op::Pad(o) => {
            let zero = match node.inputs.get(1).copied().flatten() {
                None => true,
                Some(v) => graph.constant_f32(v).is_some_and(|c| c == [0.0]),
            };
            zero || o.mode != PadMode::Constant
        }
        _ => false,
    }
}
