//! Import: model files to [`Graph`]: ONNX here, TFLite in [`tflite`].
//!
//! An ONNX graph is translated node by node, straight from the protobuf: names survive, recurrent and integer operators
//! stay whole, symbolic dimensions are expressions, and all problems are collected before anything is reported.
//! Constants fold on the way ([`NodeCx::emit`]), and values computed from shapes are followed symbolically
//! (`shape_values`), so constant conditions and shape arithmetic disappear. Model files are untrusted: sizes, nesting
//! and work are bounded.

mod attributes;
mod build;
mod error;
mod inputs;
mod node;
mod ops;
mod prune;
mod shape_values;
mod tensor;
#[cfg(test)]
mod tests;
mod tflite;

pub use error::{ImportError, Problem, Refusal};
pub use inputs::{ConstantInput, DimSpec, ImportOptions, InputSpec};
pub(crate) use node::NodeCx;
pub(crate) use tflite::declared_input as declared_tflite_input;
pub use tflite::{is_tflite, tflite};

use crate::ir::{Graph, MAIN, Node, Origin, Type, ValueId};
use cygnet_format::BlockId;
use prost::Message;
use std::collections::{HashMap, HashSet};
use std::rc::Rc;
use tract_onnx::pb::{AttributeProto, FunctionProto, GraphProto, ModelProto, NodeProto};

/// Deepest nesting of bodies and functions.
const MAX_DEPTH: usize = 32;
/// Most nodes translated, unrolled and inlined ones counted each time.
const MAX_NODES: usize = 150_000;
/// Bytes of constants beyond twice the file's size: bodies that unroll repeat theirs.
const MAX_CONSTANT_BYTES: usize = 1 << 30;
/// Most problems reported.
const MAX_PROBLEMS: usize = 200;
/// Most distinct dimension expressions.
const MAX_EXPRS: usize = 20_000;
/// Most terms of one dimension expression, shared parts counted each time: bounds are worked out term by term.
const MAX_TERMS: u64 = 2_000;
/// Newest ONNX operator set whose operators are known here.
const NEWEST_OPSET: i64 = 26;

/// What a name of the model stands for.
#[derive(Clone, Debug)]
pub(crate) enum Entry {
    /// A tensor.
    Value(ValueId),
    /// A sequence whose structure is known.
    Sequence(Vec<Entry>),
    /// An optional that is known to hold something, or not.
    Optional(Option<Box<Entry>>),
    /// An initialiser that cannot be read: reported where it is used.
    Refused(Rc<Refusal>),
    /// The result of a refused node.
    Poisoned,
}

/// Names of one graph; an opaque scope (a function body) does not see the names around it.
#[derive(Default)]
struct Scope {
    names: HashMap<String, Entry>,
    opaque: bool,
}

/// A function of the model with its attribute defaults.
struct Function {
    body: FunctionProto,
    defaults: Vec<AttributeProto>,
}

/// What kind of file is imported.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Format {
    Onnx,
    Tflite,
}

/// State of one import.
pub(crate) struct Importer {
    format: Format,
    /// The operator that steps are shown as, where another one's translation is borrowed.
    shown: Option<String>,
    pub(crate) graph: Graph,
    pub(crate) block: BlockId,
    pub(crate) folded_bytes: usize,
    known: HashMap<ValueId, Vec<cygnet_format::Dim>>,
    scopes: Vec<Scope>,
    opsets: Rc<HashMap<String, i64>>,
    functions: Rc<HashMap<(String, String), Rc<Function>>>,
    problems: Vec<Problem>,
    taken: HashSet<String>,
    depth: usize,
    nodes: usize,
    /// The budget is used up, and that is reported.
    stopped: bool,
    /// Bytes of constants still allowed.
    constant_budget: usize,
    /// Terms of every expression seen so far.
    terms: Vec<u64>,
}

/// The default domain has two spellings.
fn domain(name: &str) -> &str {
    if name == "ai.onnx" { "" } else { name }
}

/// What a node is called in messages: its name, else its first output.
fn label(node: &NodeProto) -> String {
    let name = Some(&node.name)
        .filter(|n| !n.is_empty())
        .or(node.output.iter().find(|o| !o.is_empty()));
    tensor::short(name.map_or("", String::as_str))
}

/// Imports a model of either format.
///
/// # Errors
/// As [`onnx`] and [`tflite()`].
pub fn model(bytes: &[u8], options: &ImportOptions) -> Result<Graph, ImportError> {
    if is_tflite(bytes) {
        tflite(bytes, options)
    } else {
        onnx(bytes, options)
    }
}

/// Imports an ONNX model.
///
/// # Errors
/// [`ImportError::Malformed`] when the bytes are no ONNX model; [`ImportError::Problems`] with everything that stands
/// in the way otherwise.
pub fn onnx(bytes: &[u8], options: &ImportOptions) -> Result<Graph, ImportError> {
    let malformed = |reason: String| ImportError::Malformed {
        format: "ONNX",
        reason,
    };
    let model = ModelProto::decode(bytes).map_err(|e| malformed(e.to_string()))?;
    let Some(graph) = &model.graph else {
        return Err(malformed("it holds no graph".into()));
    };
    if graph.node.is_empty() && graph.output.is_empty() {
        return Err(malformed("its graph is empty".into()));
    }
    let mut importer = Importer::new(&model, bytes).map_err(malformed)?;
    importer.model_inputs(graph, options);
    importer.run_nodes(&graph.node);
    importer.model_outputs(graph, options);
    if !importer.problems.is_empty() {
        return Err(ImportError::Problems(importer.problems));
    }
    let mut result = importer.graph;
    result.metadata.extend(
        model
            .metadata_props
            .iter()
            .map(|p| (p.key.clone(), p.value.clone())),
    );
    prune::prune(&mut result);
    Ok(result)
}

/// Computes a node whose inputs are all constants: the bytes of every wanted output, `None` when it cannot.
pub(crate) fn evaluate(graph: &Graph, node: &Node) -> Option<Vec<Option<Vec<u8>>>> {
    rearranged(graph, node).or_else(|| crate::fold::evaluate(graph, node))
}

/// Computes a node that only moves elements, without a run.
fn rearranged(graph: &Graph, node: &Node) -> Option<Vec<Option<Vec<u8>>>> {
    let [Some(input)] = node.inputs[..] else {
        return None;
    };
    let [Some(output)] = node.outputs[..] else {
        return None;
    };
    let (value, ty) = (graph.value(input), graph.ty(output));
    let size = ty.dtype.size();
    if value.ty.dtype != ty.dtype {
        return None;
    }
    let data = value.data.as_ref()?;
    let map = shape_values::movement(
        graph,
        &node.op,
        &value.ty.fixed_shape()?,
        &ty.fixed_shape()?,
    )?;
    let mut bytes = Vec::with_capacity(map.len() * size);
    for i in map {
        bytes.extend_from_slice(data.get(i * size..(i + 1) * size)?);
    }
    Some(vec![Some(bytes)])
}

/// What `tract_onnx::pb` leaves out of a function: the defaults of its attributes.
#[derive(Clone, PartialEq, prost::Message)]
struct FunctionDefaults {
    #[prost(string, tag = "1")]
    name: String,
    #[prost(string, tag = "10")]
    domain: String,
    #[prost(message, repeated, tag = "11")]
    attribute: Vec<AttributeProto>,
}

/// The part of a model that holds [`FunctionDefaults`].
#[derive(Clone, PartialEq, prost::Message)]
struct ModelFunctions {
    #[prost(message, repeated, tag = "25")]
    functions: Vec<FunctionDefaults>,
}

impl Importer {
    fn new(model: &ModelProto, bytes: &[u8]) -> Result<Importer, String> {
        let mut opsets = HashMap::new();
        for set in &model.opset_import {
            opsets.insert(domain(&set.domain).to_owned(), set.version);
        }
        let mut functions = HashMap::new();
        if !model.functions.is_empty() {
            let mut defaults = ModelFunctions::decode(bytes)
                .map_err(|e| e.to_string())?
                .functions;
            for (body, defaults) in model.functions.iter().zip(&mut defaults) {
                let key = (domain(body.domain()).to_owned(), body.name().to_owned());
                let defaults = std::mem::take(&mut defaults.attribute);
                functions.insert(
                    key,
                    Rc::new(Function {
                        body: body.clone(),
                        defaults,
                    }),
                );
            }
        }
        let mut importer = Importer {
            format: Format::Onnx,
            shown: None,
            graph: Graph::default(),
            block: MAIN,
            folded_bytes: 0,
            known: HashMap::new(),
            scopes: vec![Scope::default()],
            opsets: Rc::new(opsets),
            functions: Rc::new(functions),
            problems: Vec::new(),
            taken: HashSet::new(),
            depth: 0,
            nodes: 0,
            stopped: false,
            constant_budget: bytes
                .len()
                .saturating_mul(2)
                .saturating_add(MAX_CONSTANT_BYTES),
            terms: Vec::new(),
        };
        let version = importer.opset("");
        if version > NEWEST_OPSET {
            importer.problem(Problem {
                node: String::new(),
                operator: String::new(),
                reason: format!(
                    "the model uses ONNX operator set {version}, newer than {NEWEST_OPSET}"
                ),
                remedy: "export it with an older operator set".into(),
            });
        }
        Ok(importer)
    }

    /// Version of a domain's operator set; 1 when the model does not say.
    fn opset(&self, name: &str) -> i64 {
        self.opsets.get(domain(name)).copied().unwrap_or(1)
    }

    fn problem(&mut self, mut problem: Problem) {
        if self.format == Format::Tflite {
            problem.remedy = tflite::remedy(problem.remedy);
        }
        if self.problems.len() < MAX_PROBLEMS && !self.problems.contains(&problem) {
            self.problems.push(problem);
        }
    }

    /// A constant; its name is made unique.
    pub(crate) fn constant(&mut self, ty: Type, bytes: Vec<u8>) -> ValueId {
        self.constant_budget = self.constant_budget.saturating_sub(bytes.len());
        let name = format!("const_{}", self.graph.values.len());
        self.graph.add_constant(name, ty, bytes)
    }

    fn peek(&self, name: &str) -> Option<&Entry> {
        for scope in self.scopes.iter().rev() {
            if let Some(entry) = scope.names.get(name) {
                return Some(entry);
            }
            if scope.opaque {
                break;
            }
        }
        None
    }

    fn lookup(&self, name: &str) -> Result<Entry, Refusal> {
        match self.peek(name) {
            None => {
                let name = tensor::short(name);
                Err(Refusal::invalid(format!(
                    "its input '{name}' is made by no earlier node"
                )))
            }
            Some(Entry::Poisoned) => Err(Refusal::consequence()),
            Some(Entry::Refused(refusal)) => Err((**refusal).clone()),
            Some(entry) => Ok(entry.clone()),
        }
    }

    fn bind(&mut self, name: &str, entry: Entry) {
        if name.is_empty() {
            return;
        }
        if let Entry::Value(v) = entry
            && self.graph.value(v).origin.is_none()
        {
            let fits = name.len() <= 120
                && name
                    .chars()
                    .all(|c| c.is_ascii_alphanumeric() || "_./-:".contains(c));
            if fits && self.taken.insert(name.to_owned()) {
                self.graph.value_mut(v).name = name.to_owned();
            }
            self.graph.value_mut(v).origin = Some(Origin {
                name: name.to_owned(),
                perm: Vec::new(),
            });
        }
        self.scopes
            .last_mut()
            .expect("a scope is open")
            .names
            .insert(name.to_owned(), entry);
    }

    /// Reads the initialisers of a graph into the current scope.
    fn initialisers(&mut self, graph: &GraphProto) {
        for proto in &graph.initializer {
            let entry = match tensor::read(proto) {
                Ok(raw) => {
                    Entry::Value(self.constant(Type::fixed(raw.dtype, &raw.shape), raw.bytes))
                }
                Err(refusal) => Entry::Refused(Rc::new(refusal)),
            };
            self.bind(&proto.name, entry);
        }
        for sparse in &graph.sparse_initializer {
            let name = sparse.values.as_ref().map_or("", |v| &v.name).to_owned();
            let entry = match ops::sparse_bytes(sparse) {
                Ok((ty, bytes)) => Entry::Value(self.constant(ty, bytes)),
                Err(refusal) => Entry::Refused(Rc::new(refusal)),
            };
            self.bind(&name, entry);
        }
    }

    fn exhausted(&self) -> bool {
        self.nodes > MAX_NODES || self.constant_budget == 0
    }

    /// Translates nodes in order into the current block; problems are collected.
    fn run_nodes(&mut self, nodes: &[NodeProto]) {
        for node in nodes {
            self.nodes += 1;
            if self.exhausted() {
                if !std::mem::replace(&mut self.stopped, true) {
                    let reason = format!(
                        "the model unrolls to more than {MAX_NODES} nodes or too many constants"
                    );
                    self.refuse(node, Refusal::unsupported(reason));
                }
                for name in &node.output {
                    self.bind(name, Entry::Poisoned);
                }
                continue;
            }
            let mut cx = NodeCx::new(self, node);
            let outcome = ops::translate(&mut cx);
            let (results, mut deferred) = (std::mem::take(&mut cx.results), cx.deferred.take());
            if let Err(refusal) = self.bound_expressions() {
                deferred = Some(refusal);
            }
            match deferred.map_or(outcome, Err) {
                Ok(()) => {
                    for (name, result) in node.output.iter().zip(results) {
                        match result {
                            Some(entry) => self.bind(name, entry),
                            None if name.is_empty() => {}
                            None => {
                                let reason = format!(
                                    "its output '{}' is not supported",
                                    tensor::short(name)
                                );
                                self.bind(
                                    name,
                                    Entry::Refused(Rc::new(Refusal::unsupported(reason))),
                                );
                            }
                        }
                    }
                }
                Err(refusal) => {
                    if !refusal.consequence {
                        self.refuse(node, refusal);
                    }
                    for name in &node.output {
                        self.bind(name, Entry::Poisoned);
                    }
                }
            }
        }
    }

    /// Refuses dimension expressions that grow without bound (they double with each step of a hostile model).
    fn bound_expressions(&mut self) -> Result<(), Refusal> {
        self.terms.truncate(self.graph.exprs.len());
        let mut most = 0;
        for i in self.terms.len()..self.graph.exprs.len() {
            use crate::ir::Expr;
            let of = |d: cygnet_format::Dim| {
                d.as_expr()
                    .map_or(1, |e| self.terms.get(e as usize).copied().unwrap_or(1))
            };
            let terms = match self.graph.exprs[i] {
                Expr::Symbol(_) | Expr::Const(_) => 1,
                Expr::Add(a, b)
                | Expr::Sub(a, b)
                | Expr::Mul(a, b)
                | Expr::FloorDiv(a, b)
                | Expr::CeilDiv(a, b)
                | Expr::Mod(a, b)
                | Expr::Min(a, b)
                | Expr::Max(a, b) => 1 + of(a).saturating_add(of(b)),
            };
            most = most.max(terms);
            self.terms.push(terms);
        }
        if most > MAX_TERMS || self.graph.exprs.len() > MAX_EXPRS {
            return Err(Refusal::unsupported(
                "the arithmetic on its dimensions grows beyond all bounds",
            )
            .remedy("fix the input shapes with --input NAME=SHAPE"));
        }
        Ok(())
    }

    fn refuse(&mut self, node: &NodeProto, refusal: Refusal) {
        let operator = match domain(&node.domain) {
            "" => tensor::short(&node.op_type),
            other => format!("{}.{}", tensor::short(other), tensor::short(&node.op_type)),
        };
        self.problem(Problem {
            node: label(node),
            operator,
            reason: refusal.reason,
            remedy: refusal.remedy,
        });
    }

    /// Runs `body` in a new scope that holds `names`.
    fn in_scope<T>(
        &mut self,
        names: Vec<(String, Entry)>,
        opaque: bool,
        body: impl FnOnce(&mut Importer) -> Result<T, Refusal>,
    ) -> Result<T, Refusal> {
        if self.depth >= MAX_DEPTH {
            return Err(Refusal::unsupported(format!(
                "bodies and functions nest deeper than {MAX_DEPTH}"
            )));
        }
        if self.stopped {
            return Err(Refusal::consequence());
        }
        self.depth += 1;
        self.scopes.push(Scope {
            names: HashMap::new(),
            opaque,
        });
        for (name, entry) in names {
            self.bind(&name, entry);
        }
        let result = body(self);
        self.scopes.pop();
        self.depth -= 1;
        result
    }

    /// Translates a sub-graph into the current block and gives its outputs.
    pub(crate) fn inline_graph(
        &mut self,
        graph: &GraphProto,
        inputs: Vec<(String, Entry)>,
    ) -> Result<Vec<Entry>, Refusal> {
        self.in_scope(inputs, false, |imp| {
            imp.initialisers(graph);
            imp.run_nodes(&graph.node);
            graph.output.iter().map(|o| imp.lookup(&o.name)).collect()
        })
    }

    /// Translates a sub-graph into block `block` and gives its outputs.
    pub(crate) fn graph_into(
        &mut self,
        block: BlockId,
        graph: &GraphProto,
        inputs: Vec<(String, Entry)>,
    ) -> Result<Vec<Entry>, Refusal> {
        let outer = std::mem::replace(&mut self.block, block);
        let result = self.inline_graph(graph, inputs);
        self.block = outer;
        result
    }
}

/// Replaces attribute references in a function's node by the values of its call.
fn substitute(node: &mut NodeProto, values: &[AttributeProto]) {
    node.attribute.retain_mut(|a| {
        if a.ref_attr_name.is_empty() {
            return true;
        }
        let name = a.name.clone();
        match values.iter().find(|v| v.name == a.ref_attr_name) {
            None => false,
            Some(value) => {
                *a = AttributeProto {
                    name,
                    ..value.clone()
                };
                true
            }
        }
    });
    for attribute in &mut node.attribute {
        for graph in attribute.g.iter_mut().chain(&mut attribute.graphs) {
            graph.node.iter_mut().for_each(|n| substitute(n, values));
        }
    }
}

impl NodeCx<'_> {
    /// Translates the body of a function of the model in place of the node; `false` when there is no such function.
    fn call_function(&mut self) -> Result<bool, Refusal> {
        let key = (
            domain(&self.node.domain).to_owned(),
            self.node.op_type.clone(),
        );
        let Some(function) = self.imp.functions.get(&key).cloned() else {
            return Ok(false);
        };
        let mut attributes = self.node.attribute.clone();
        for default in &function.defaults {
            if !attributes.iter().any(|a| a.name == default.name) {
                attributes.push(default.clone());
            }
        }
        let mut inputs = Vec::new();
        for (i, name) in function.body.input.iter().enumerate() {
            if let Some(entry) = self.entry(i)? {
                inputs.push((name.clone(), entry));
            }
        }
        let mut nodes = function.body.node.clone();
        let absent: HashSet<&str> = function
            .body
            .input
            .iter()
            .map(String::as_str)
            .filter(|n| !inputs.iter().any(|(m, _)| m == n))
            .collect();
        for node in &mut nodes {
            substitute(node, &attributes);
            // An optional input that the call leaves out is absent inside, too.
            node.input
                .iter_mut()
                .filter(|n| absent.contains(n.as_str()))
                .for_each(String::clear);
        }
        let mut opsets = (*self.imp.opsets).clone();
        for set in &function.body.opset_import {
            opsets.insert(domain(&set.domain).to_owned(), set.version);
        }
        let outer = std::mem::replace(&mut self.imp.opsets, Rc::new(opsets));
        let result = self.imp.in_scope(inputs, true, |imp| {
            imp.run_nodes(&nodes);
            Ok(function
                .body
                .output
                .iter()
                .map(|name| imp.lookup(name))
                .collect::<Vec<_>>())
        });
        self.imp.opsets = outer;
        for (i, output) in result?.into_iter().enumerate() {
            match output {
                Ok(entry) => self.set_entry(i, entry),
                Err(refusal) if self.has_output(i) => return Err(refusal),
                Err(_) => {}
            }
        }
        Ok(true)
    }
}
