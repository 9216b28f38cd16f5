//! What an operator's translation sees: options, operands as integers or as the numbers they stand for, results.

use super::flat::{Scalar, Table};
use super::schema::{Model, Quantisation, SubGraph, Tensor};
use super::variables::Variables;
use crate::import::error::Refusal;
use crate::import::{Entry, NodeCx, Scope, ops};
use crate::ir::{Type, ValueId};
use cygnet_format::op::{BinaryKind, DequantizeLinear, QuantizeLinear, UnaryKind};
use cygnet_format::{DType, Dim};
use std::collections::HashMap;
use std::ops::{Deref, DerefMut};
use tract_onnx::pb::{AttributeProto, NodeProto};

/// One operator under translation.
pub(super) struct OpCx<'a, 'm> {
    pub(super) cx: NodeCx<'a>,
    pub(super) model: &'m Model<'m>,
    pub(super) graph: &'m SubGraph<'m>,
    pub(super) options: Option<Table<'m>>,
    /// Numbers of tensors; -1 for an operand that is left out.
    pub(super) inputs: Vec<i32>,
    pub(super) outputs: Vec<i32>,
    pub(super) variables: &'m mut Variables,
}

impl<'a> Deref for OpCx<'a, '_> {
    type Target = NodeCx<'a>;
    fn deref(&self) -> &NodeCx<'a> {
        &self.cx
    }
}

impl DerefMut for OpCx<'_, '_> {
    fn deref_mut(&mut self) -> &mut Self::Target {
        &mut self.cx
    }
}

/// An attribute of a borrowed ONNX translation.
pub(super) fn int(name: &str, value: i64) -> AttributeProto {
    AttributeProto {
        name: name.into(),
        r#type: 2,
        i: value,
        ..Default::default()
    }
}

/// An attribute of a borrowed ONNX translation.
pub(super) fn text(name: &str, value: &str) -> AttributeProto {
    AttributeProto {
        name: name.into(),
        r#type: 3,
        s: value.as_bytes().to_vec(),
        ..Default::default()
    }
}

/// The bounds of an integer element type of quantised tensors.
fn bounds(dtype: DType) -> Option<(i64, i64)> {
    match dtype {
        DType::I2 => Some((-2, 1)),
        DType::I4 => Some((-8, 7)),
        DType::U4 => Some((0, 15)),
        DType::I8 => Some((-128, 127)),
        DType::U8 => Some((0, 255)),
        DType::I16 => Some((-(1 << 15), (1 << 15) - 1)),
        DType::U16 => Some((0, (1 << 16) - 1)),
        _ => None,
    }
}

impl<'m> OpCx<'_, 'm> {
    /// A number of the options.
    pub fn option<T: Scalar>(&self, id: usize, default: T) -> Result<T, Refusal> {
        match &self.options {
            None => Ok(default),
            Some(table) => Ok(table.get(id, default)?),
        }
    }

    /// A truth value of the options.
    pub fn flag(&self, id: usize) -> Result<bool, Refusal> {
        Ok(self.option::<u8>(id, 0)? != 0)
    }

    /// A list of the options.
    pub fn list(&self, id: usize) -> Result<Vec<i64>, Refusal> {
        match &self.options {
            None => Ok(Vec::new()),
            Some(table) => Ok(table.list::<i32>(id)?.into_iter().map(i64::from).collect()),
        }
    }

    /// The tensor at position `i` of a list of operands.
    pub(super) fn tensor(&self, list: &[i32], i: usize) -> Result<Tensor<'m>, Refusal> {
        let tensor = list
            .get(i)
            .and_then(|&t| usize::try_from(t).ok())
            .ok_or_else(|| Refusal::invalid(format!("its operand {i} is missing")))?;
        Ok(self.graph.tensor(tensor)?)
    }

    /// How an operand is quantised; `None` for plain numbers. Sums of 32 bits and more count as plain.
    fn parameters(&self, list: &[i32], i: usize) -> Result<Option<Quantisation>, Refusal> {
        let tensor = self.tensor(list, i)?;
        let Some(q) = tensor.quantisation()? else {
            return Ok(None);
        };
        Ok(bounds(tensor.dtype()?).map(|_| q))
    }

    /// How input `i` is quantised.
    pub fn quantised(&self, i: usize) -> Result<Option<Quantisation>, Refusal> {
        self.parameters(&self.inputs, i)
    }

    /// How output `i` is quantised.
    pub fn quantised_output(&self, i: usize) -> Result<Option<Quantisation>, Refusal> {
        self.parameters(&self.outputs, i)
    }

    /// The element type that the file gives output `i`.
    pub fn output_type(&self, i: usize) -> Result<DType, Refusal> {
        self.tensor(&self.outputs, i)?.dtype()
    }

    /// True when input `i` is there.
    pub fn has_input(&self, i: usize) -> bool {
        self.inputs.get(i).is_some_and(|&t| t >= 0)
    }

    /// A constant of scale or zero point: a scalar for one, a list for several.
    fn zero_points(&mut self, zeros: &[i64], dtype: DType) -> Result<Option<ValueId>, Refusal> {
        if zeros.is_empty() {
            return Ok(None);
        }
        let (low, high) = bounds(dtype)
            .ok_or_else(|| Refusal::unsupported(format!("quantised elements of {dtype}")))?;
        let mut bytes = Vec::new();
        for &z in zeros {
            if !(low..=high).contains(&z) {
                return Err(Refusal::invalid(format!(
                    "a zero point of {z} is outside of {dtype}"
                )));
            }
            bytes.extend_from_slice(&z.to_le_bytes()[..dtype.size()]);
        }
        let shape: &[usize] = if zeros.len() == 1 {
            &[]
        } else {
            &[zeros.len()]
        };
        Ok(Some(self.constant(Type::fixed(dtype, shape), bytes)))
    }

    fn scale(&mut self, q: &Quantisation, v: ValueId) -> Result<(ValueId, i32), Refusal> {
        let bytes = q.scales.iter().flat_map(|s| s.to_le_bytes()).collect();
        if q.scales.len() == 1 {
            return Ok((self.constant(Type::fixed(DType::F32, &[]), bytes), 0));
        }
        let axis = self.axis(i64::from(q.axis), self.rank(v))?;
        let length = self.shape(v)[axis];
        if length.as_const() != Some(q.scales.len()) {
            return Err(Refusal::invalid(format!(
                "{} scales do not fit axis {axis} of {:?}",
                q.scales.len(),
                self.shape(v)
            )));
        }
        let scale = self.constant(Type::fixed(DType::F32, &[q.scales.len()]), bytes);
        Ok((scale, axis as i32))
    }

    /// The numbers that integers stand for.
    pub fn dequantise(&mut self, v: ValueId, q: &Quantisation) -> Result<ValueId, Refusal> {
        let (scale, axis) = self.scale(q, v)?;
        let dtype = self.dtype(v);
        let zero = self.zero_points(&q.zeros, dtype)?;
        let ty = Type {
            dtype: DType::F32,
            shape: self.ty(v).shape,
        };
        let operands: Vec<_> = [v, scale].into_iter().chain(zero).collect();
        Ok(self.emit(DequantizeLinear { axis, block: 0 }, &operands, ty))
    }

    /// The integers that stand for numbers.
    pub fn quantise(
        &mut self,
        v: ValueId,
        q: &Quantisation,
        dtype: DType,
    ) -> Result<ValueId, Refusal> {
        let (scale, axis) = self.scale(q, v)?;
        let zeros = if q.zeros.is_empty() {
            vec![0; q.scales.len()]
        } else {
            q.zeros.clone()
        };
        let zero = self.zero_points(&zeros, dtype)?;
        let ty = Type {
            dtype,
            shape: self.ty(v).shape,
        };
        let op = QuantizeLinear {
            axis,
            block: 0,
            saturate: true,
        };
        let operands: Vec<_> = [v, scale].into_iter().chain(zero).collect();
        Ok(self.emit(op, &operands, ty))
    }

    /// Input `i` as numbers: quantised integers dequantised, half floats widened, everything else as it is.
    pub fn wide(&mut self, i: usize) -> Result<ValueId, Refusal> {
        let v = self.input(i)?;
        if let Some(q) = self.quantised(i)? {
            return self.dequantise(v, &q);
        }
        Ok(match self.dtype(v) {
            DType::F16 | DType::BF16 => self.cast(v, DType::F32),
            _ => v,
        })
    }

    /// Input `i` as f32.
    pub fn float(&mut self, i: usize) -> Result<ValueId, Refusal> {
        let v = self.wide(i)?;
        match self.dtype(v) {
            DType::F32 => Ok(v),
            other => Err(Refusal::unsupported(format!(
                "{other} elements without a scale are not supported by this operator"
            ))
            .remedy("cast the input to float, or quantise the model with its scales")),
        }
    }

    /// Gives output `i` numbers; they are quantised or converted as the file says.
    pub fn put(&mut self, i: usize, v: ValueId) -> Result<(), Refusal> {
        if !self.has_output(i) {
            return Ok(());
        }
        let dtype = self.output_type(i)?;
        let v = match self.quantised_output(i)? {
            Some(q) if self.dtype(v) == DType::F32 => self.quantise(v, &q, dtype)?,
            _ => self.cast(v, dtype),
        };
        self.set_output(i, v);
        Ok(())
    }

    /// Gives output `i` elements that were moved: integers stay what they are unless the output has other parameters.
    pub fn put_moved(
        &mut self,
        i: usize,
        v: ValueId,
        from: &Option<Quantisation>,
    ) -> Result<(), Refusal> {
        let to = self.quantised_output(i)?;
        match from {
            Some(q) if to.is_some() && to != *from => {
                let v = self.dequantise(v, q)?;
                self.put(i, v)
            }
            _ => {
                self.set_output(i, v);
                Ok(())
            }
        }
    }

    /// What output `i` was given.
    pub fn result(&self, i: usize) -> Option<ValueId> {
        match self.cx.results.get(i) {
            Some(Some(Entry::Value(v))) => Some(*v),
            _ => None,
        }
    }

    /// Applies a fused activation by its number.
    pub fn activate(&mut self, v: ValueId, code: i8) -> Result<ValueId, Refusal> {
        let (low, high) = match code {
            0 => return Ok(v),
            1 => (0.0, f32::INFINITY),
            2 => (-1.0, 1.0),
            3 => (0.0, 6.0),
            4 => return Ok(self.unary(UnaryKind::Tanh, v)),
            other => {
                return Err(Refusal::unsupported(format!(
                    "the fused activation number {other} is not supported"
                )));
            }
        };
        if self.dtype(v).is_float() {
            return Ok(self.clip(v, low, high));
        }
        let mut v = v;
        for (kind, bound) in [(BinaryKind::Max, low), (BinaryKind::Min, high)] {
            if bound.is_finite() {
                let dtype = self.dtype(v);
                let bound = self.scalar(bound, dtype);
                v = self.binary(kind, v, bound)?;
            }
        }
        Ok(v)
    }

    /// Floats between two bounds.
    pub fn clip(&mut self, v: ValueId, low: f32, high: f32) -> ValueId {
        if (low, high) == (0.0, f32::INFINITY) {
            return self.unary(UnaryKind::Relu, v);
        }
        self.unary_ab(UnaryKind::Clip, v, low, high)
    }

    /// Small integers that must be known: axes, sizes, strides.
    pub fn integers(&mut self, i: usize) -> Result<Vec<i64>, Refusal> {
        let v = self.input(i)?;
        self.const_i64(v)
    }

    /// One integer that must be known.
    pub fn integer(&mut self, i: usize) -> Result<i64, Refusal> {
        match self.integers(i)?[..] {
            [value] => Ok(value),
            ref list => Err(Refusal::invalid(format!(
                "its input {i} has {} elements where one is needed",
                list.len()
            ))),
        }
    }

    /// Small integers that are known or follow from input shapes.
    pub fn dims(&mut self, i: usize) -> Result<Vec<Dim>, Refusal> {
        let v = self.input(i)?;
        self.dim_list(v)
    }

    /// A value of known dimensions.
    pub fn dims_constant(&mut self, values: Vec<Dim>) -> Result<ValueId, Refusal> {
        if values.is_empty() {
            return Ok(self.const_list(&[]));
        }
        self.dims_value(values, &[])
            .ok_or_else(|| Refusal::unsupported("a shape too long to follow"))
    }

    /// The results of an ONNX operator.
    pub fn onnx(
        &mut self,
        op_type: &str,
        attributes: Vec<AttributeProto>,
        operands: &[ValueId],
        results: usize,
    ) -> Result<Vec<ValueId>, Refusal> {
        let operands: Vec<_> = operands.iter().map(|&v| Some(v)).collect();
        self.onnx_optional(op_type, attributes, &operands, results)
    }

    /// As [`OpCx::onnx`], with operands that may be absent.
    pub fn onnx_optional(
        &mut self,
        op_type: &str,
        attributes: Vec<AttributeProto>,
        operands: &[Option<ValueId>],
        results: usize,
    ) -> Result<Vec<ValueId>, Refusal> {
        let mut names = HashMap::new();
        let mut input = Vec::new();
        for (i, v) in operands.iter().enumerate() {
            let name = v.map_or_else(String::new, |_| format!("input {i}"));
            if let Some(v) = v {
                names.insert(name.clone(), Entry::Value(*v));
            }
            input.push(name);
        }
        let node = NodeProto {
            name: super::super::label(self.cx.node),
            op_type: op_type.into(),
            input,
            output: (0..results).map(|i| format!("output {i}")).collect(),
            attribute: attributes,
            ..Default::default()
        };
        let operator = self.op_type().to_owned();
        let imp = &mut *self.cx.imp;
        imp.scopes.push(Scope {
            names,
            opaque: true,
        });
        let outer = imp.shown.replace(operator);
        let mut inner = NodeCx::new(imp, &node);
        let outcome = ops::translate(&mut inner);
        let (results, deferred) = (std::mem::take(&mut inner.results), inner.deferred.take());
        imp.shown = outer;
        imp.scopes.pop();
        deferred.map_or(outcome, Err)?;
        results
            .into_iter()
            .map(|entry| match entry {
                Some(Entry::Value(v)) => Ok(v),
                _ => Err(Refusal::unsupported("a result is not supported")),
            })
            .collect()
    }
}
