//! Model inputs, outputs, states and symbolic dimensions.

use super::error::{Problem, Refusal};
use super::tensor::{self, short};
use super::{Entry, Importer};
use crate::ir::{Port, State, SymbolKind, Type, ValueId};
use cygnet_format::op::Reshape;
use cygnet_format::{DType, Dim, MAX_RANK};
use std::collections::{BTreeSet, HashMap, HashSet};
use tract_onnx::pb::tensor_shape_proto::dimension::Value as DimValue;
use tract_onnx::pb::type_proto::Value as TypeValue;
use tract_onnx::pb::{GraphProto, ValueInfoProto};

/// One dimension given by the user.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DimSpec {
    /// A constant.
    Fixed(i64),
    /// A named dimension with bounds in [`ImportOptions::dims`].
    Symbol(String),
}

/// What the user says about a model input; `None` leaves it to the model.
#[derive(Clone, Debug, Default)]
pub struct InputSpec {
    /// The input's name.
    pub name: String,
    /// Its shape.
    pub shape: Option<Vec<DimSpec>>,
    /// Its element type.
    pub dtype: Option<DType>,
}

/// A model input frozen to a constant.
#[derive(Clone, Debug)]
pub struct ConstantInput {
    /// The input's name.
    pub name: String,
    /// Element type.
    pub dtype: DType,
    /// Shape.
    pub shape: Vec<usize>,
    /// Row-major little-endian bytes.
    pub bytes: Vec<u8>,
}

/// How to import a model.
#[derive(Clone, Debug, Default)]
pub struct ImportOptions {
    /// Shapes and element types of inputs.
    pub inputs: Vec<InputSpec>,
    /// Named dimensions with inclusive bounds; equal bounds make a constant.
    pub dims: Vec<(String, i64, i64)>,
    /// Inputs frozen to constants.
    pub constants: Vec<ConstantInput>,
    /// Pairs of input and output that become a state living across runs.
    pub states: Vec<(String, String)>,
}

/// Symbols made so far and what is missing.
struct DimNames<'a> {
    options: &'a ImportOptions,
    batch: HashSet<&'a str>,
    made: HashMap<String, Dim>,
    missing: BTreeSet<String>,
}

impl Importer {
    fn input_problem(&mut self, name: &str, reason: impl Into<String>, remedy: impl Into<String>) {
        self.problem(Problem {
            node: short(name),
            operator: String::new(),
            reason: reason.into(),
            remedy: remedy.into(),
        });
    }

    /// Reads initialisers and makes the inputs of the model.
    pub(super) fn model_inputs(&mut self, graph: &GraphProto, options: &ImportOptions) {
        self.initialisers(graph);
        let is_input = |name: &str| graph.input.iter().any(|i| i.name == name);
        let known = graph
            .input
            .iter()
            .map(|i| short(&i.name))
            .collect::<Vec<_>>()
            .join(", ");
        let named = options
            .inputs
            .iter()
            .map(|i| &i.name)
            .chain(options.constants.iter().map(|c| &c.name));
        for name in named.chain(options.states.iter().map(|s| &s.0)) {
            if !is_input(name) {
                self.input_problem(
                    name,
                    "the model has no such input",
                    format!("its inputs are: {known}"),
                );
            }
        }
        let batch = graph
            .input
            .iter()
            .filter_map(|i| match dimensions(i)?.first()? {
                Some(DimValue::DimParam(name)) if !name.is_empty() => Some(name.as_str()),
                _ => None,
            })
            .collect();
        let mut names = DimNames {
            options,
            batch,
            made: HashMap::new(),
            missing: BTreeSet::new(),
        };
        for (name, lo, hi) in &options.dims {
            if *lo < 0 || lo > hi || *hi > i32::MAX as i64 {
                self.input_problem(
                    name,
                    format!("the bounds {lo}..={hi} are not usable"),
                    "give 0 <= LO <= HI as --dim NAME=LO..HI",
                );
                return;
            }
        }
        for input in &graph.input {
            if let Some(constant) = options.constants.iter().find(|c| c.name == input.name) {
                let dims: Vec<i64> = constant.shape.iter().map(|&d| d as i64).collect();
                match tensor::shape(&dims) {
                    Ok((shape, n))
                        if n * constant.dtype.size() as u64 == constant.bytes.len() as u64 =>
                    {
                        let v = self
                            .constant(Type::fixed(constant.dtype, &shape), constant.bytes.clone());
                        self.bind(&input.name, Entry::Value(v));
                    }
                    _ => self.input_problem(
                        &input.name,
                        "the constant given for it has the wrong size",
                        "",
                    ),
                }
                continue;
            }
            if self.peek(&input.name).is_some() {
                continue; // an initialiser that old files list as an input, too
            }
            match self.input_type(input, &mut names) {
                Ok(Some(ty)) => {
                    let declared = ty.clone();
                    let v = self
                        .graph
                        .add_value(format!("input_{}", self.graph.values.len()), ty);
                    self.bind(&input.name, Entry::Value(v));
                    if options.states.iter().any(|s| s.0 == input.name) {
                        self.graph.states.push(State {
                            name: input.name.clone(),
                            current: v,
                            next: v,
                            init: None,
                            declared,
                        });
                    } else {
                        self.graph.inputs.push(Port {
                            name: input.name.clone(),
                            value: v,
                        });
                    }
                }
                Ok(None) => self.bind(&input.name, Entry::Poisoned),
                Err(refusal) => {
                    self.input_problem(&input.name, refusal.reason, refusal.remedy);
                    self.bind(&input.name, Entry::Poisoned);
                }
            }
        }
        if !names.missing.is_empty() {
            let list: Vec<_> = names
                .missing
                .iter()
                .map(|n| format!("'{}'", short(n)))
                .collect();
            let flags: Vec<_> = names
                .missing
                .iter()
                .map(|n| format!("--dim {}=LO..HI", short(n)))
                .collect();
            self.problem(Problem {
                node: String::new(),
                operator: String::new(),
                reason: format!("the model leaves dimensions open: {}", list.join(", ")),
                remedy: format!(
                    "give each a range or a value ({}), or fix the input's shape with --input",
                    flags.join(" ")
                ),
            });
        }
    }

    /// The type of a model input; `None` when a dimension is missing, which is reported for all inputs together.
    fn input_type(
        &mut self,
        input: &ValueInfoProto,
        names: &mut DimNames<'_>,
    ) -> Result<Option<Type>, Refusal> {
        let spec = names.options.inputs.iter().find(|s| s.name == input.name);
        let Some(TypeValue::TensorType(declared)) =
            input.r#type.as_ref().and_then(|t| t.value.as_ref())
        else {
            return Err(Refusal::unsupported(
                "this input is not a tensor (a sequence, an optional or a map)",
            )
            .remedy("split it into tensors before export"));
        };
        let dtype = match spec.and_then(|s| s.dtype) {
            Some(dtype) => dtype,
            None => tensor::dtype(declared.elem_type)?,
        };
        let wanted: Vec<DimSpec> = match (spec.and_then(|s| s.shape.clone()), dimensions(input)) {
            (Some(shape), declared) => {
                if declared.is_some_and(|d| d.len() != shape.len()) {
                    return Err(Refusal::unsupported(
                        "the shape given for it has another number of axes than the model's",
                    )
                    .remedy("give one number or name for each axis"));
                }
                shape
            }
            (None, None) => {
                return Err(
                    Refusal::unsupported("the model does not say this input's shape").remedy(
                        format!("give it: --input {}=1x3x224x224", short(&input.name)),
                    ),
                );
            }
            (None, Some(dims)) => dims
                .into_iter()
                .enumerate()
                .map(|(axis, dim)| match dim {
                    Some(DimValue::DimValue(v)) if *v >= 0 => DimSpec::Fixed(*v),
                    // Paddle writes "?" for every open dimension: no name at all.
                    Some(DimValue::DimParam(name)) if !matches!(name.as_str(), "" | "?") => {
                        DimSpec::Symbol(name.clone())
                    }
                    _ => DimSpec::Symbol(format!("{}.{axis}", input.name)),
                })
                .collect(),
        };
        if wanted.len() > MAX_RANK {
            return Err(Refusal::unsupported(format!(
                "it has more than {MAX_RANK} axes"
            )));
        }
        let mut shape = Vec::new();
        let mut complete = true;
        for (axis, dim) in wanted.into_iter().enumerate() {
            match dim {
                DimSpec::Fixed(v) => match i32::try_from(v) {
                    Ok(v) if v >= 0 => shape.push(Dim(v)),
                    _ => {
                        return Err(Refusal::invalid(format!(
                            "a dimension of {v} is not usable"
                        )));
                    }
                },
                DimSpec::Symbol(name) => match self.named_dim(name, axis, names) {
                    Some(d) => shape.push(d),
                    None => complete = false,
                },
            }
        }
        if !complete {
            return Ok(None);
        }
        let ty = Type::new(dtype, &shape);
        self.check_type(&ty)?;
        Ok(Some(ty))
    }

    fn named_dim(&mut self, name: String, axis: usize, names: &mut DimNames<'_>) -> Option<Dim> {
        if let Some(&d) = names.made.get(&name) {
            return Some(d);
        }
        let dim = match names.options.dims.iter().find(|d| d.0 == name) {
            Some((_, lo, hi)) if lo == hi => Dim(*lo as i32),
            Some((_, lo, hi)) => self.graph.add_symbol(&name, *lo, *hi, SymbolKind::Input),
            // A first axis is the batch: one unless said otherwise.
            None if axis == 0 || names.batch.contains(name.as_str()) => Dim::ONE,
            None => {
                names.missing.insert(name);
                return None;
            }
        };
        names.made.insert(name, dim);
        Some(dim)
    }

    /// Makes the outputs and closes the states.
    pub(super) fn model_outputs(&mut self, graph: &GraphProto, options: &ImportOptions) {
        for (state, output) in &options.states {
            match self.lookup(output) {
                Ok(Entry::Value(next)) => {
                    let Some(i) = self.graph.states.iter().position(|s| s.name == *state) else {
                        continue;
                    };
                    let current = self.graph.states[i].current;
                    if self.graph.ty(current) != self.graph.ty(next) {
                        let types =
                            format!("{:?} and {:?}", self.graph.ty(current), self.graph.ty(next));
                        self.input_problem(
                            state,
                            format!("state and '{}' differ in type: {types}", short(output)),
                            "",
                        );
                    }
                    self.graph.states[i].next = self.own_value(next);
                }
                Err(refusal) if refusal.consequence => {}
                _ => self.input_problem(
                    output,
                    "no tensor of this name can be the next value of a state",
                    "name an output of the model: --state IN:OUT",
                ),
            }
        }
        for output in &graph.output {
            if options.states.iter().any(|s| s.1 == output.name) {
                continue;
            }
            match self.lookup(&output.name) {
                Ok(Entry::Value(v)) => {
                    let v = self.own_value(v);
                    self.graph.outputs.push(Port {
                        name: output.name.clone(),
                        value: v,
                    });
                }
                Ok(Entry::Optional(Some(inner))) if matches!(*inner, Entry::Value(_)) => {
                    let Entry::Value(v) = *inner else {
                        unreachable!("matched above")
                    };
                    let v = self.own_value(v);
                    self.graph.outputs.push(Port {
                        name: output.name.clone(),
                        value: v,
                    });
                }
                Ok(_) => self.input_problem(
                    &output.name,
                    "this output is a sequence or an empty optional; outputs are tensors",
                    "return tensors: ConcatFromSequence, or one output an element",
                ),
                Err(refusal) if refusal.consequence => {}
                Err(refusal) => self.input_problem(&output.name, refusal.reason, refusal.remedy),
            }
        }
        if self.graph.outputs.is_empty() && self.graph.states.is_empty() && self.problems.is_empty()
        {
            self.input_problem("", "the model has no outputs", "");
        }
    }

    /// A value that a step computes and that is no output yet: inputs, constants, repeated outputs are copied.
    pub(super) fn own_value(&mut self, v: ValueId) -> ValueId {
        let graph = &self.graph;
        let taken = graph.value(v).data.is_some()
            || graph
                .inputs
                .iter()
                .chain(&graph.outputs)
                .any(|p| p.value == v)
            || graph.states.iter().any(|s| s.current == v || s.next == v);
        if !taken {
            return v;
        }
        let ty = graph.ty(v).clone();
        self.graph
            .push(crate::ir::MAIN, "Identity", Reshape {}, &[v], ty)
    }
}

/// The declared dimensions of an input, if its rank is declared.
fn dimensions(input: &ValueInfoProto) -> Option<Vec<Option<&DimValue>>> {
    let Some(TypeValue::TensorType(t)) = input.r#type.as_ref()?.value.as_ref() else {
        return None;
    };
    Some(
        t.shape
            .as_ref()?
            .dim
            .iter()
            .map(|d| d.value.as_ref())
            .collect(),
    )
}
