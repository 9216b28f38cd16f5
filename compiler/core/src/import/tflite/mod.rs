//! TFLite import: FlatBuffers to [`Graph`].
//!
//! The graph is translated operator by operator with the builders of the ONNX import, and where an ONNX operator means
//! the same, by its translation. Tensors are channels-last as in the file. Quantised tensors keep their integers: an
//! operator that computes reads them through DequantizeLinear and writes through QuantizeLinear, which
//! `passes::lower_quantised` turns into integer steps; one that moves elements moves the integers. Shapes follow from the
//! inputs; those that the file states for computed tensors are not believed. Model files are untrusted: every offset is
//! checked when it is followed (`flat`).

mod cx;
mod flat;
mod ops;
mod schema;
#[cfg(test)]
mod tests;
mod variables;

use super::error::{INVALID, Refusal};
use super::node::MAX_FOLDED_TOTAL;
use super::tensor::{self, short};
use super::{
    Entry, Format, ImportError, ImportOptions, Importer, MAX_NODES, NEWEST_OPSET, NodeCx, Problem,
    prune,
};
use crate::ir::{Graph, Type};
use cx::OpCx;
use cygnet_format::DType;
use schema::{Model, SubGraph};
use std::collections::HashSet;
use std::rc::Rc;
use tract_onnx::pb::tensor_shape_proto::{Dimension, dimension::Value as DimValue};
use tract_onnx::pb::type_proto::{Tensor as TensorType, Value as TypeValue};
use tract_onnx::pb::{
    GraphProto, ModelProto, NodeProto, OperatorSetIdProto, TensorShapeProto, TypeProto,
    ValueInfoProto,
};
use variables::Variables;

/// Most tensors of a graph.
const MAX_TENSORS: usize = 200_000;
/// Most operands of an operator.
const MAX_OPERANDS: usize = 4096;

/// True for the bytes of a TFLite file.
pub fn is_tflite(bytes: &[u8]) -> bool {
    bytes.get(4..8) == Some(schema::IDENTIFIER)
}

/// Imports a TFLite model.
///
/// # Errors
/// [`ImportError::Malformed`] when the bytes are no TFLite model; [`ImportError::Problems`] with everything that stands
/// in the way otherwise.
pub fn tflite(bytes: &[u8], options: &ImportOptions) -> Result<Graph, ImportError> {
    let malformed = |reason: String| ImportError::Malformed {
        format: "TFLite",
        reason,
    };
    if !is_tflite(bytes) {
        return Err(malformed("it does not begin as one".into()));
    }
    let model = Model::read(bytes).map_err(|e| malformed(e.to_string()))?;
    let graph = model
        .subgraph(0)
        .map_err(|e| malformed(e.to_string()))?
        .ok_or_else(|| malformed("it holds no graph".into()))?;
    let count = graph.tensors();
    if count > MAX_TENSORS || graph.operators.len() > MAX_NODES {
        return Err(malformed(format!(
            "it has {count} tensors and {} operators",
            graph.operators.len()
        )));
    }
    let names = names(&graph).map_err(|e| malformed(e.to_string()))?;
    let mut translation = Translation {
        importer: importer(bytes).map_err(malformed)?,
        model: &model,
        graph: &graph,
        names,
        variables: Variables::default(),
    };
    translation.run(options);
    let importer = translation.importer;
    if !importer.problems.is_empty() {
        return Err(ImportError::Problems(importer.problems));
    }
    let mut result = importer.graph;
    prune::prune(&mut result);
    Ok(result)
}

/// Element type of an input, and its shape when that is constant; `None` when there is no such input.
pub(crate) fn declared_input(bytes: &[u8], name: &str) -> Option<(DType, Option<Vec<usize>>)> {
    let model = Model::read(bytes).ok()?;
    let graph = model.subgraph(0).ok()??;
    let names = names(&graph).ok()?;
    let mut inputs = graph.inputs.iter().map(|&i| i as usize);
    let i = inputs.find(|&i| names.get(i).is_some_and(|n| n == name))?;
    let tensor = graph.tensor(i).ok()?;
    let shape = tensor.shape().ok()?;
    let shape = shape.into_iter().map(|d| usize::try_from(d).ok()).collect();
    Some((tensor.dtype().ok()?, shape))
}

/// An importer whose borrowed ONNX translations are those of the newest operator set.
fn importer(bytes: &[u8]) -> Result<Importer, String> {
    let newest = ModelProto {
        opset_import: vec![OperatorSetIdProto {
            domain: String::new(),
            version: NEWEST_OPSET,
        }],
        ..Default::default()
    };
    let mut importer = Importer::new(&newest, bytes)?;
    importer.format = Format::Tflite;
    // Nothing unrolls here: constants are those of the file, some of them unpacked.
    let budget = bytes.len().saturating_mul(4).saturating_add(1 << 24);
    importer.constant_budget = budget;
    // What a few bytes blow up to (FILL, TILE) is computed while the model runs.
    importer.folded_bytes = MAX_FOLDED_TOTAL.saturating_sub(budget);
    Ok(importer)
}

/// A name of its own for every tensor: its name in the file where that is one.
fn names(graph: &SubGraph<'_>) -> Result<Vec<String>, flat::Broken> {
    let mut taken = HashSet::new();
    let mut names = Vec::with_capacity(graph.tensors());
    for i in 0..graph.tensors() {
        let mut name = match graph.tensor(i)?.name()? {
            Some(name) => name,
            None => format!("tensor_{i}"),
        };
        while taken.contains(&name) {
            name = format!("{name}#{i}");
        }
        taken.insert(name.clone());
        names.push(name);
    }
    Ok(names)
}

/// One graph under translation.
struct Translation<'a> {
    importer: Importer,
    model: &'a Model<'a>,
    graph: &'a SubGraph<'a>,
    names: Vec<String>,
    variables: Variables,
}

impl Translation<'_> {
    fn run(&mut self, options: &ImportOptions) {
        let interface = self.interface();
        self.importer.model_inputs(&interface, options);
        for i in 0..self.graph.operators.len() {
            self.operator(i);
        }
        for &i in &self.graph.outputs {
            self.constant(i);
        }
        self.importer.model_outputs(&interface, options);
    }

    /// The name of tensor `i`; empty for an operand that is absent or does not exist.
    fn name(&self, i: i32) -> &str {
        usize::try_from(i)
            .ok()
            .and_then(|i| self.names.get(i))
            .map_or("", String::as_str)
    }

    fn refuse(&mut self, node: &str, operator: &str, refusal: Refusal) {
        if !refusal.consequence {
            self.importer.problem(Problem {
                node: short(node),
                operator: operator.to_owned(),
                reason: refusal.reason,
                remedy: refusal.remedy,
            });
        }
    }

    /// Inputs and outputs in the terms of the ONNX import, which gives them shapes, constants and states.
    fn interface(&mut self) -> GraphProto {
        let mut interface = GraphProto::default();
        for &i in &self.graph.inputs {
            let name = self.name(i).to_owned();
            match self.input(i, &name) {
                Ok(input) => interface.input.push(input),
                Err(refusal) => {
                    self.refuse(&name, "", refusal);
                    self.importer.bind(&name, Entry::Poisoned);
                }
            }
        }
        for &i in &self.graph.outputs {
            let name = self.name(i).to_owned();
            if name.is_empty() {
                let reason = format!("the output {i} is no tensor");
                self.refuse("", "", Refusal::invalid(reason));
            }
            interface.output.push(ValueInfoProto {
                name,
                ..Default::default()
            });
        }
        interface
    }

    fn input(&self, i: i32, name: &str) -> Result<ValueInfoProto, Refusal> {
        if name.is_empty() {
            return Err(Refusal::invalid(format!("the input {i} is no tensor")));
        }
        let tensor = self.graph.tensor(i as usize)?;
        let dim = |&d: &i32| Dimension {
            value: (d >= 0).then(|| DimValue::DimValue(i64::from(d))),
            ..Default::default()
        };
        let ty = TensorType {
            elem_type: onnx_type(tensor.dtype()?),
            shape: Some(TensorShapeProto {
                dim: tensor.shape()?.iter().map(dim).collect(),
            }),
        };
        Ok(ValueInfoProto {
            name: name.to_owned(),
            r#type: Some(TypeProto {
                value: Some(TypeValue::TensorType(ty)),
                ..Default::default()
            }),
            ..Default::default()
        })
    }

    /// Makes tensor `i` a value if it has data and is none yet.
    fn constant(&mut self, i: i32) {
        let name = self.name(i).to_owned();
        if name.is_empty() || self.importer.peek(&name).is_some() {
            return;
        }
        match self.constant_data(i as usize) {
            Ok(None) => {}
            Ok(Some((ty, bytes))) => {
                let v = self.importer.constant(ty, bytes);
                self.importer.bind(&name, Entry::Value(v));
            }
            Err(refusal) => self.importer.bind(&name, Entry::Refused(Rc::new(refusal))),
        }
    }

    fn constant_data(&self, i: usize) -> Result<Option<(Type, Vec<u8>)>, Refusal> {
        let tensor = self.graph.tensor(i)?;
        let data = self.model.buffer(tensor.buffer()?)?;
        let shape = tensor.shape()?;
        if data.is_empty() && (tensor.buffer()? == 0 || !shape.contains(&0)) {
            return Ok(None);
        }
        if tensor.is_sparse()? {
            return Err(
                Refusal::unsupported("a constant is stored without its zeros (sparse)")
                    .remedy("convert the model without sparsity"),
            );
        }
        let dtype = tensor.dtype()?;
        let dims: Vec<i64> = shape.iter().map(|&d| i64::from(d)).collect();
        let (shape, count) = tensor::shape(&dims)?;
        if tensor::packed_len(dtype, count) != data.len() as u64 {
            return Err(Refusal::invalid(format!(
                "the tensor '{}' has {} bytes where {shape:?} of {dtype} needs another number",
                short(&self.names[i]),
                data.len()
            )));
        }
        let bytes = match dtype {
            DType::I2 | DType::I4 | DType::U4 => tensor::unpack(dtype, data, count as usize),
            DType::Bool => data.iter().map(|&b| u8::from(b != 0)).collect(),
            _ => data.to_vec(),
        };
        Ok(Some((Type::fixed(dtype, &shape), bytes)))
    }

    /// Translates operator `i`.
    fn operator(&mut self, i: usize) {
        let read = || -> Result<_, flat::Broken> {
            let table = self
                .graph
                .operators
                .get(i)?
                .expect("the caller counts operators");
            let (code, custom) = self.model.operator_code(table.get::<u32>(0, 0)? as usize)?;
            for id in [1, 2] {
                let n = table.len::<i32>(id)?;
                if n > MAX_OPERANDS {
                    return Err(flat::Broken(format!("it has {n} operands")));
                }
            }
            let (inputs, outputs) = (table.list::<i32>(1)?, table.list::<i32>(2)?);
            Ok((code, custom, inputs, outputs, table.table(4)?))
        };
        let (code, custom, inputs, outputs, options) = match read() {
            Ok(parts) => parts,
            Err(broken) => {
                let name = format!("operator {i}");
                return self.refuse(&name, "", broken.into());
            }
        };
        let operator = match (usize::try_from(code).ok(), custom) {
            (Some(32), Some(name)) => format!("CUSTOM {}", short(&name)),
            (Some(code), _) if code < schema::OPERATORS.len() => schema::OPERATORS[code].to_owned(),
            _ => format!("operator number {code}"),
        };
        for &input in &inputs {
            self.constant(input);
        }
        let name = |&i: &i32| self.name(i).to_owned();
        let node = NodeProto {
            op_type: operator,
            input: inputs.iter().map(name).collect(),
            output: outputs.iter().map(name).collect(),
            ..Default::default()
        };
        let missing = inputs
            .iter()
            .zip(&node.input)
            .find(|(i, name)| **i != -1 && name.is_empty());
        let outcome = match missing {
            Some((i, _)) => Err(Refusal::invalid(format!("its input {i} is no tensor"))),
            None => self.translate(&node, options, inputs, outputs),
        };
        if let Err(refusal) = outcome {
            if !refusal.consequence {
                self.importer.refuse(&node, refusal);
            }
            for name in &node.output {
                self.importer.bind(name, Entry::Poisoned);
            }
        }
    }

    fn translate(
        &mut self,
        node: &NodeProto,
        options: Option<flat::Table<'_>>,
        inputs: Vec<i32>,
        outputs: Vec<i32>,
    ) -> Result<(), Refusal> {
        self.importer.nodes += 1;
        if self.importer.exhausted() {
            if std::mem::replace(&mut self.importer.stopped, true) {
                return Err(Refusal::consequence());
            }
            return Err(Refusal::unsupported(
                "the model has more operators or constants than its size allows",
            ));
        }
        let (model, graph) = (self.model, self.graph);
        let mut cx = OpCx {
            cx: NodeCx::new(&mut self.importer, node),
            model,
            graph,
            options,
            inputs,
            outputs,
            variables: &mut self.variables,
        };
        let outcome = ops::translate(&mut cx);
        let results = std::mem::take(&mut cx.cx.results);
        let deferred = cx.cx.deferred.take();
        self.importer.bound_expressions()?;
        deferred.map_or(outcome, Err)?;
        for (name, result) in node.output.iter().zip(results) {
            match result {
                Some(entry) => self.importer.bind(name, entry),
                None if name.is_empty() => {}
                None => {
                    let reason = format!("its output '{}' is not supported", short(name));
                    let refusal = Rc::new(Refusal::unsupported(reason));
                    self.importer.bind(name, Entry::Refused(refusal));
                }
            }
        }
        Ok(())
    }
}

/// What replaces the advice of [`INVALID`] for TFLite models.
pub(super) fn remedy(remedy: String) -> String {
    if remedy == INVALID {
        "the model is not valid TFLite here: convert it again and run it with LiteRT".into()
    } else {
        remedy
    }
}

/// The ONNX number of an element type.
fn onnx_type(dtype: DType) -> i32 {
    (1..=26)
        .find(|&code| tensor::dtype(code).is_ok_and(|d| d == dtype))
        .unwrap_or(0)
}
