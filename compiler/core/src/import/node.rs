//! What an operator's translation sees: its inputs, attributes and the graph it writes to.

use super::error::Refusal;
use super::tensor::{MAX_TENSOR_BYTES, short};
use super::{Entry, Importer, shape_values};
use crate::ir::{Graph, Node, Type, ValueId};
use cygnet_format::{DType, Dim, MAX_RANK, Op};
use tract_onnx::pb::NodeProto;

/// Largest output, in bytes, of a step that is computed at import.
const MAX_FOLDED_BYTES: usize = 512 << 20;
/// Largest operands and outputs, in bytes, of a step with nested loops that is computed at import.
const MAX_HEAVY_BYTES: usize = 1 << 20;
/// Sum of all outputs computed at import, in bytes.
pub(super) const MAX_FOLDED_TOTAL: usize = 1 << 30;

/// One ONNX node under translation.
pub(crate) struct NodeCx<'a> {
    pub(super) imp: &'a mut Importer,
    pub(super) node: &'a NodeProto,
    pub(super) results: Vec<Option<Entry>>,
    /// A refusal found where none can be returned (sizes of emitted values).
    pub(super) deferred: Option<Refusal>,
}

impl<'a> NodeCx<'a> {
    pub(super) fn new(imp: &'a mut Importer, node: &'a NodeProto) -> Self {
        let results = vec![None; node.output.len()];
        NodeCx {
            imp,
            node,
            results,
            deferred: None,
        }
    }

    /// The operator's name.
    pub fn op_type(&self) -> &'a str {
        &self.node.op_type
    }

    /// Version of the node's operator set.
    pub fn opset(&self) -> i64 {
        self.imp.opset(&self.node.domain)
    }

    /// Operator and node name, such as `Conv conv_1`: what profiles and messages show.
    pub fn source(&self) -> String {
        let operator = self.imp.shown.as_ref().unwrap_or(&self.node.op_type);
        format!("{} {}", short(operator), super::label(self.node))
    }

    /// The number of inputs listed, absent ones included.
    pub fn n_inputs(&self) -> usize {
        self.node.input.len()
    }

    /// The number of outputs listed.
    pub fn n_outputs(&self) -> usize {
        self.node.output.len()
    }

    /// True when somebody may want output `i`.
    pub fn has_output(&self, i: usize) -> bool {
        self.node.output.get(i).is_some_and(|o| !o.is_empty())
    }

    /// The name of input `i`, for messages.
    pub fn input_name(&self, i: usize) -> &'a str {
        self.node.input.get(i).map_or("", String::as_str)
    }

    /// What input `i` is; `None` when absent.
    pub fn entry(&mut self, i: usize) -> Result<Option<Entry>, Refusal> {
        match self.input_name(i) {
            "" => Ok(None),
            name => self.imp.lookup(name).map(Some),
        }
    }

    /// Input `i`, a tensor.
    pub fn input(&mut self, i: usize) -> Result<ValueId, Refusal> {
        self.opt_input(i)?
            .ok_or_else(|| Refusal::invalid(format!("its input {i} is missing")))
    }

    /// Input `i`, a tensor, if present.
    pub fn opt_input(&mut self, i: usize) -> Result<Option<ValueId>, Refusal> {
        match self.entry(i)? {
            None => Ok(None),
            Some(Entry::Value(v)) => Ok(Some(v)),
            Some(_) => Err(Refusal::unsupported(format!(
                "its input '{}' is a sequence or an optional where a tensor is expected",
                short(self.input_name(i))
            ))),
        }
    }

    /// The type of a value.
    pub fn ty(&self, v: ValueId) -> Type {
        self.imp.graph.ty(v).clone()
    }

    /// The dimensions of a value.
    pub fn shape(&self, v: ValueId) -> Vec<Dim> {
        self.imp.graph.ty(v).shape.to_vec()
    }

    /// The element type of a value.
    pub fn dtype(&self, v: ValueId) -> DType {
        self.imp.graph.ty(v).dtype
    }

    /// The number of axes of a value.
    pub fn rank(&self, v: ValueId) -> usize {
        self.imp.graph.ty(v).rank()
    }

    /// A checked type: rank and dimensions that the program format can hold.
    pub fn typed(&self, dtype: DType, shape: &[Dim]) -> Result<Type, Refusal> {
        if shape.len() > MAX_RANK {
            return Err(Refusal::unsupported(format!(
                "a tensor would have {} axes, above {MAX_RANK}",
                shape.len()
            )));
        }
        let ty = Type::new(dtype, shape);
        self.imp.check_type(&ty)?;
        Ok(ty)
    }

    /// Normalises an axis that may count from the end.
    pub fn axis(&self, axis: i64, rank: usize) -> Result<usize, Refusal> {
        let r = rank as i64;
        if axis < -r || axis >= r {
            return Err(Refusal::invalid(format!(
                "axis {axis} is outside of a tensor of {rank} axes"
            )));
        }
        Ok((if axis < 0 { axis + r } else { axis }) as usize)
    }

    /// The bytes of a constant.
    pub fn const_bytes(&self, v: ValueId) -> Option<std::sync::Arc<Vec<u8>>> {
        self.imp.graph.value(v).data.clone()
    }

    /// The refusal of a value that must be constant: names the model input that it comes from.
    pub(super) fn needs(&self, v: ValueId) -> Refusal {
        Refusal::needs_constant(self.name_of(v))
    }

    /// The model input that a value depends on, small integers first: the one that is likely a parameter.
    fn root(&self, v: ValueId) -> Option<&str> {
        let graph = &self.imp.graph;
        let mut made = std::collections::HashMap::<ValueId, &Node>::new();
        for node in graph.blocks.iter().flat_map(|b| &b.nodes) {
            made.extend(node.outputs.iter().flatten().map(|o| (*o, node)));
        }
        let (mut stack, mut seen, mut found) =
            (vec![v], std::collections::HashSet::new(), Vec::new());
        while let Some(v) = stack.pop() {
            if !seen.insert(v) {
                continue;
            }
            if let Some(port) = graph.inputs.iter().find(|p| p.value == v) {
                let ty = graph.ty(v);
                found.push((ty.dtype.is_float(), ty.rank(), port.name.as_str()));
            }
            if let Some(node) = made.get(&v) {
                stack.extend(node.inputs.iter().flatten());
            }
        }
        found.into_iter().min().map(|f| f.2)
    }

    fn name_of(&self, v: ValueId) -> String {
        if let Some(name) = self.root(v) {
            return short(name);
        }
        let inputs = self
            .node
            .input
            .iter()
            .find(|n| matches!(self.imp.peek(n), Some(Entry::Value(x)) if *x == v));
        short(inputs.unwrap_or(&self.imp.graph.value(v).name))
    }

    /// The elements of a constant of any integer or boolean type.
    pub fn const_i64(&self, v: ValueId) -> Result<Vec<i64>, Refusal> {
        shape_values::const_ints(&self.imp.graph, v).ok_or_else(|| self.needs(v))
    }

    /// The elements of a constant of any floating-point type (f32, f16, bf16, f64), rounded to f32.
    pub fn const_f32(&self, v: ValueId) -> Result<Vec<f32>, Refusal> {
        self.as_const_f32(v).ok_or_else(|| self.needs(v))
    }

    /// As [`NodeCx::const_f32`], without a refusal.
    pub fn as_const_f32(&self, v: ValueId) -> Option<Vec<f32>> {
        let value = self.imp.graph.value(v);
        let data = value.data.as_ref()?;
        Some(match value.ty.dtype {
            DType::F32 => data
                .as_chunks::<4>()
                .0
                .iter()
                .map(|c| f32::from_le_bytes(*c))
                .collect(),
            DType::F64 => data
                .as_chunks::<8>()
                .0
                .iter()
                .map(|c| f64::from_le_bytes(*c) as f32)
                .collect(),
            DType::F16 => data
                .as_chunks::<2>()
                .0
                .iter()
                .map(|c| half::f16::from_le_bytes(*c).to_f32())
                .collect(),
            DType::BF16 => data
                .as_chunks::<2>()
                .0
                .iter()
                .map(|c| half::bf16::from_le_bytes(*c).to_f32())
                .collect(),
            _ => return None,
        })
    }

    /// The elements of a small integer tensor as dimensions: constants, or known expressions of input shapes.
    pub fn dim_list(&mut self, v: ValueId) -> Result<Vec<Dim>, Refusal> {
        self.imp.known_values(v).ok_or_else(|| self.needs(v))
    }

    /// The graph; dimension arithmetic is there.
    pub fn graph(&mut self) -> &mut Graph {
        &mut self.imp.graph
    }

    /// A constant of these bytes.
    pub fn constant(&mut self, ty: Type, mut bytes: Vec<u8>) -> ValueId {
        let size = ty.fixed_len().map(|n| n * ty.dtype.size());
        if size != Some(bytes.len()) {
            self.deferred.get_or_insert(Refusal::invalid(format!(
                "{} bytes do not make a constant {ty:?}",
                bytes.len()
            )));
            bytes.clear();
            return self.imp.constant(Type::fixed(ty.dtype, &[0]), bytes);
        }
        self.imp.constant(ty, bytes)
    }

    /// An i64 constant of rank one.
    pub fn const_list(&mut self, values: &[i64]) -> ValueId {
        let bytes = values.iter().flat_map(|v| v.to_le_bytes()).collect();
        self.constant(Type::fixed(DType::I64, &[values.len()]), bytes)
    }

    /// Emits a node of one output; computes it at once where all operands are known.
    pub fn emit(&mut self, op: impl Into<Op>, inputs: &[ValueId], ty: Type) -> ValueId {
        let inputs: Vec<_> = inputs.iter().map(|&v| Some(v)).collect();
        self.emit_n(op, &inputs, &[Some(ty)])[0].expect("one output is asked for")
    }

    /// Emits a node; an output is made for every type given.
    pub fn emit_n(
        &mut self,
        op: impl Into<Op>,
        inputs: &[Option<ValueId>],
        types: &[Option<Type>],
    ) -> Vec<Option<ValueId>> {
        let op = op.into();
        let mut types = types.to_vec();
        for ty in types.iter_mut().flatten() {
            if let Err(refusal) = self.imp.check_type(ty) {
                // The node is refused after its translation returns; until then a type of the same rank is harmless.
                self.deferred.get_or_insert(refusal);
                *ty = Type::new(ty.dtype, &vec![Dim::ONE; ty.rank()]);
            }
        }
        if self.deferred.is_none()
            && let [Some(ty)] = &types[..]
            && let Some(v) = shape_values::track(self.imp, &op, inputs, ty)
        {
            return vec![Some(v)];
        }
        let source = self.source();
        let block = self.imp.block;
        let foldable = self.deferred.is_none() && self.foldable(&op, inputs, &types);
        let outputs = self
            .imp
            .graph
            .push_node(block, &source, op, inputs.to_vec(), types);
        if foldable {
            let node = self.imp.graph.blocks[block.0 as usize]
                .nodes
                .pop()
                .expect("just pushed");
            if !self.fold(&node) {
                self.imp.graph.blocks[block.0 as usize].nodes.push(node);
            }
        }
        outputs
    }

    fn foldable(&self, op: &Op, inputs: &[Option<ValueId>], types: &[Option<Type>]) -> bool {
        if matches!(op, Op::PackB(_) | Op::If(_) | Op::Loop(_) | Op::Scan(_)) {
            return false;
        }
        // Dequantised weights stay integers until the passes have seen who reads them.
        if matches!(op, Op::DequantizeLinear(_)) && types.iter().flatten().any(|ty| ty.rank() > 0) {
            return false;
        }
        // The evaluator knows no expressions.
        let plain = |dims: &cygnet_format::Dims| dims.iter().all(|d| d.as_const().is_some());
        if matches!(op, Op::Slice(o) if !plain(&o.starts))
            || matches!(op, Op::Pad(o) if !plain(&o.before))
        {
            return false;
        }
        let graph = &self.imp.graph;
        let size = |ty: &Type| ty.fixed_len().map(|n| n * ty.dtype.size());
        let read: usize = inputs
            .iter()
            .flatten()
            .filter_map(|&v| size(graph.ty(v)))
            .sum();
        let Some(written) = types.iter().flatten().map(size).sum::<Option<usize>>() else {
            return false;
        };
        inputs
            .iter()
            .flatten()
            .all(|&v| graph.value(v).data.is_some())
            && written <= MAX_FOLDED_BYTES.max(2 * read)
            && (cheap(op) || read + written <= MAX_HEAVY_BYTES)
            && self.imp.folded_bytes + written <= MAX_FOLDED_TOTAL
    }

    fn fold(&mut self, node: &Node) -> bool {
        let graph = &self.imp.graph;
        let Some(data) = super::evaluate(graph, node) else {
            return false;
        };
        let fits = |(out, bytes): (&Option<ValueId>, &Option<Vec<u8>>)| match (out, bytes) {
            (Some(v), Some(bytes)) => {
                let ty = graph.ty(*v);
                ty.fixed_len().map(|n| n * ty.dtype.size()) == Some(bytes.len())
            }
            (None, _) => true,
            _ => false,
        };
        if data.len() != node.outputs.len() || !node.outputs.iter().zip(&data).all(fits) {
            return false;
        }
        for (out, bytes) in node.outputs.iter().zip(data) {
            if let (Some(out), Some(bytes)) = (out, bytes) {
                self.imp.folded_bytes += bytes.len();
                self.imp.graph.value_mut(*out).data = Some(std::sync::Arc::new(bytes));
            }
        }
        true
    }

    /// Gives output `i` its value.
    pub fn set_output(&mut self, i: usize, v: ValueId) {
        self.set_entry(i, Entry::Value(v));
    }

    /// Gives output `i` its meaning (a tensor, a sequence, an optional).
    pub fn set_entry(&mut self, i: usize, entry: Entry) {
        if let Some(slot) = self.results.get_mut(i) {
            *slot = Some(entry);
        }
    }
}

/// True for operators that visit each element a few times at most.
fn cheap(op: &Op) -> bool {
    matches!(
        op,
        Op::Reshape(_)
            | Op::Transpose(_)
            | Op::Slice(_)
            | Op::Concat(_)
            | Op::Pad(_)
            | Op::Expand(_)
            | Op::Tile(_)
            | Op::Gather(_)
            | Op::Where(_)
            | Op::Range(_)
            | Op::Unary(_)
            | Op::Binary(_)
            | Op::Cast(_)
            | Op::Reduce(_)
            | Op::QuantizeLinear(_)
            | Op::DequantizeLinear(_)
    )
}

impl Importer {
    /// Refuses types that the program format or a 32-bit device cannot hold.
    pub(super) fn check_type(&self, ty: &Type) -> Result<(), Refusal> {
        let mut bytes = ty.dtype.size() as i128;
        for &d in ty.shape.iter() {
            let (lo, hi) = self.graph.dim_bounds(d);
            if hi > i32::MAX as i64 || (lo == hi && lo < 0) || hi < 0 {
                return Err(Refusal::invalid(format!(
                    "a tensor would have a dimension of {lo}..={hi}"
                )));
            }
            bytes = bytes.saturating_mul(hi as i128);
        }
        if bytes > MAX_TENSOR_BYTES as i128 {
            return Err(
                Refusal::unsupported(format!("a tensor would have {bytes} bytes"))
                    .remedy("give the inputs smaller shapes or bounds"),
            );
        }
        Ok(())
    }
}
