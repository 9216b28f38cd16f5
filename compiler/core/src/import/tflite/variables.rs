//! What lives from run to run: tensors marked as variables, and resource variables that operators read and assign.

use super::cx::OpCx;
use super::flat::Table;
use super::schema::{Model, SubGraph};
use crate::import::error::Refusal;
use crate::import::tensor::{self, short};
use crate::import::{Entry, Importer};
use crate::ir::{State, Type, ValueId};
use cygnet_format::DType;
use std::collections::HashMap;
use std::sync::Arc;

/// Operator numbers of a sub-graph that initialises.
const VAR_HANDLE: i32 = 142;
const ASSIGN_VARIABLE: i32 = 144;

/// Resource variables seen so far.
#[derive(Default)]
pub(super) struct Variables {
    /// The variable that a resource tensor stands for.
    handles: HashMap<i32, String>,
    /// The value of a variable at this point of the run.
    values: HashMap<String, ValueId>,
    /// Bytes after a reset.
    first: HashMap<String, (DType, Arc<Vec<u8>>)>,
}

impl Importer {
    /// A tensor that keeps its content, as it is at the start of a run.
    fn open_state(&mut self, name: &str, ty: Type, init: Option<Arc<Vec<u8>>>) -> ValueId {
        let declared = ty.clone();
        let v = self
            .graph
            .add_value(format!("state_{}", self.graph.values.len()), ty);
        self.graph.states.push(State {
            name: name.to_owned(),
            current: v,
            next: v,
            init,
            declared,
        });
        v
    }

    /// Gives a state its content for the next run.
    fn close_state(&mut self, name: &str, next: ValueId) -> Result<(), Refusal> {
        let Some(i) = self.graph.states.iter().position(|s| s.name == name) else {
            return Ok(());
        };
        let (from, to) = (
            self.graph.ty(self.graph.states[i].current),
            self.graph.ty(next),
        );
        if from != to {
            return Err(Refusal::invalid(format!(
                "the variable '{}' is {from:?} and becomes {to:?}",
                short(name)
            )));
        }
        if next != self.graph.states[i].current {
            self.graph.states[i].next = self.own_value(next);
        }
        Ok(())
    }
}

/// The constant type of a tensor.
fn fixed_type(cx: &OpCx<'_, '_>, list: &[i32], i: usize) -> Result<Type, Refusal> {
    let tensor = cx.tensor(list, i)?;
    let dims: Vec<i64> = tensor.shape()?.iter().map(|&d| i64::from(d)).collect();
    let (shape, _) = tensor::shape(&dims)?;
    let ty = Type::fixed(tensor.dtype()?, &shape);
    cx.cx.imp.check_type(&ty)?;
    Ok(ty)
}

impl OpCx<'_, '_> {
    /// Input `i`, a variable tensor, as it is at this point of the run.
    pub fn variable(&mut self, i: usize) -> Result<ValueId, Refusal> {
        if let Some(entry) = self.cx.imp.peek(self.input_name(i)).cloned() {
            return match entry {
                Entry::Value(v) => Ok(v),
                _ => Err(Refusal::consequence()),
            };
        }
        if !self.tensor(&self.inputs, i)?.is_variable()? {
            return Err(Refusal::invalid(format!(
                "its input {i} is no variable and made by no earlier operator"
            )));
        }
        let ty = fixed_type(self, &self.inputs, i)?;
        let name = self.input_name(i).to_owned();
        let v = self.cx.imp.open_state(&name, ty, None);
        self.cx.imp.bind(&name, Entry::Value(v));
        Ok(v)
    }

    /// Gives the variable tensor at input `i` new content.
    pub fn set_variable(&mut self, i: usize, next: ValueId) -> Result<(), Refusal> {
        let name = self.input_name(i).to_owned();
        self.cx.imp.close_state(&name, next)?;
        self.cx.imp.bind(&name, Entry::Value(next));
        Ok(())
    }
}

/// The name of a resource variable.
fn shared_name(options: Option<&Table<'_>>) -> Result<String, Refusal> {
    let Some(options) = options else {
        return Err(Refusal::invalid("its variable has no name"));
    };
    let part = |id| Ok::<_, Refusal>(options.text(id, 1024)?.unwrap_or_default());
    let (container, name) = (part(0)?, part(1)?);
    Ok(if container.is_empty() {
        name
    } else {
        format!("{container}/{name}")
    })
}

/// `VAR_HANDLE`: the output stands for a variable.
pub(super) fn handle(cx: &mut OpCx<'_, '_>) -> Result<(), Refusal> {
    let name = shared_name(cx.options.as_ref())?;
    let &[output] = &cx.outputs[..] else {
        return Err(Refusal::invalid("it has not one output"));
    };
    cx.variables.handles.insert(output, name);
    cx.set_entry(0, Entry::Optional(None));
    Ok(())
}

fn named(cx: &OpCx<'_, '_>) -> Result<String, Refusal> {
    let input = cx.inputs.first().copied().unwrap_or(-1);
    cx.variables.handles.get(&input).cloned().ok_or_else(|| {
        Refusal::unsupported("its variable is given by something else than VAR_HANDLE")
    })
}

/// `READ_VARIABLE`.
pub(super) fn read(cx: &mut OpCx<'_, '_>) -> Result<(), Refusal> {
    let name = named(cx)?;
    let v = match cx.variables.values.get(&name) {
        Some(&v) => v,
        None => {
            let ty = fixed_type(cx, &cx.outputs, 0)?;
            let first = cx.variables.first.get(&name).cloned();
            let init = match first {
                None => None,
                Some((dtype, bytes))
                    if dtype == ty.dtype
                        && ty.fixed_len().map(|n| n * dtype.size()) == Some(bytes.len()) =>
                {
                    Some(bytes)
                }
                Some(_) => {
                    return Err(Refusal::invalid(format!(
                        "the variable '{}' begins as another type",
                        short(&name)
                    )));
                }
            };
            let v = cx.cx.imp.open_state(&name, ty, init);
            cx.variables.values.insert(name, v);
            v
        }
    };
    cx.set_output(0, v);
    Ok(())
}

/// `ASSIGN_VARIABLE`: variable, value.
pub(super) fn assign(cx: &mut OpCx<'_, '_>) -> Result<(), Refusal> {
    let name = named(cx)?;
    let v = cx.input(1)?;
    cx.cx.imp.close_state(&name, v)?;
    cx.variables.values.insert(name, v);
    Ok(())
}

/// `CALL_ONCE`: a sub-graph that gives variables their first values.
pub(super) fn call_once(cx: &mut OpCx<'_, '_>) -> Result<(), Refusal> {
    let index = cx.option::<i32>(0, 0)?;
    let graph = usize::try_from(index)
        .ok()
        .map(|i| cx.model.subgraph(i))
        .transpose()?
        .flatten()
        .ok_or_else(|| Refusal::invalid(format!("there is no sub-graph {index}")))?;
    if graph.operators.len() > 10_000 {
        return Err(Refusal::unsupported("it begins with too many operators"));
    }
    let mut handles = HashMap::new();
    for i in 0..graph.operators.len() {
        let Some(operator) = graph.operators.get(i)? else {
            break;
        };
        let (code, _) = cx
            .model
            .operator_code(operator.get::<u32>(0, 0)? as usize)?;
        let (inputs, outputs) = (operator.list::<i32>(1)?, operator.list::<i32>(2)?);
        match (code, &inputs[..], &outputs[..]) {
            (VAR_HANDLE, _, &[output]) => {
                handles.insert(output, shared_name(operator.table(4)?.as_ref())?);
            }
            (ASSIGN_VARIABLE, &[handle, value], _) if handles.contains_key(&handle) => {
                let first = constant(cx.model, &graph, value)?;
                cx.variables.first.insert(handles[&handle].clone(), first);
            }
            _ => {
                return Err(
                    Refusal::unsupported("it computes the first values of variables")
                        .remedy("give variables constant first values"),
                );
            }
        }
    }
    Ok(())
}

fn constant(
    model: &Model<'_>,
    graph: &SubGraph<'_>,
    i: i32,
) -> Result<(DType, Arc<Vec<u8>>), Refusal> {
    let i = usize::try_from(i).map_err(|_| Refusal::invalid("a variable is assigned nothing"))?;
    let tensor = graph.tensor(i)?;
    let data = model.buffer(tensor.buffer()?)?;
    let dtype = tensor.dtype()?;
    if data.is_empty() || matches!(dtype, DType::I4 | DType::U4 | DType::I2) {
        return Err(Refusal::unsupported(
            "a variable's first value is no constant of whole bytes",
        ));
    }
    Ok((dtype, Arc::new(data.to_vec())))
}
