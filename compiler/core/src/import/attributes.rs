//! Typed access to a node's attributes.

use super::error::Refusal;
use super::node::NodeCx;
use super::tensor;
use crate::ir::{Type, ValueId};
use tract_onnx::pb::{AttributeProto, GraphProto};

/// `AttributeProto.AttributeType` numbers.
const FLOAT: i32 = 1;
const INT: i32 = 2;
const STRING: i32 = 3;
const TENSOR: i32 = 4;
const GRAPH: i32 = 5;
const FLOATS: i32 = 6;
const INTS: i32 = 7;
const STRINGS: i32 = 8;

impl<'a> NodeCx<'a> {
    fn attribute(&self, name: &str, kind: i32) -> Result<Option<&'a AttributeProto>, Refusal> {
        let Some(a) = self.node.attribute.iter().find(|a| a.name == name) else {
            return Ok(None);
        };
        // Files of the first ONNX versions leave the type out.
        if a.r#type != kind && a.r#type != 0 {
            return Err(Refusal::invalid(format!(
                "its attribute '{name}' has the wrong type"
            )));
        }
        Ok(Some(a))
    }

    /// True when the node carries this attribute, whatever its type.
    pub fn has_attribute(&self, name: &str) -> bool {
        self.node.attribute.iter().any(|a| a.name == name)
    }

    /// An integer attribute.
    pub fn int(&self, name: &str) -> Result<Option<i64>, Refusal> {
        Ok(self.attribute(name, INT)?.map(|a| a.i))
    }

    /// An integer attribute or its default.
    pub fn int_or(&self, name: &str, default: i64) -> Result<i64, Refusal> {
        Ok(self.int(name)?.unwrap_or(default))
    }

    /// An integer list attribute; a single integer counts as a list of one.
    pub fn ints(&self, name: &str) -> Result<Option<Vec<i64>>, Refusal> {
        if let Ok(Some(a)) = self.attribute(name, INT)
            && a.r#type == INT
        {
            return Ok(Some(vec![a.i]));
        }
        Ok(self.attribute(name, INTS)?.map(|a| a.ints.clone()))
    }

    /// A float attribute.
    pub fn float(&self, name: &str) -> Result<Option<f32>, Refusal> {
        Ok(self.attribute(name, FLOAT)?.map(|a| a.f))
    }

    /// A float attribute or its default.
    pub fn float_or(&self, name: &str, default: f32) -> Result<f32, Refusal> {
        Ok(self.float(name)?.unwrap_or(default))
    }

    /// A float list attribute.
    pub fn floats(&self, name: &str) -> Result<Option<Vec<f32>>, Refusal> {
        Ok(self.attribute(name, FLOATS)?.map(|a| a.floats.clone()))
    }

    /// A text attribute or its default.
    pub fn str_or(&self, name: &str, default: &str) -> Result<String, Refusal> {
        match self.attribute(name, STRING)? {
            None => Ok(default.to_owned()),
            Some(a) => text(name, &a.s),
        }
    }

    /// A list of texts.
    pub fn strings(&self, name: &str) -> Result<Option<Vec<String>>, Refusal> {
        match self.attribute(name, STRINGS)? {
            None => Ok(None),
            Some(a) => a
                .strings
                .iter()
                .map(|s| text(name, s))
                .collect::<Result<_, _>>()
                .map(Some),
        }
    }

    /// A tensor attribute as a constant of the graph.
    pub fn tensor(&mut self, name: &str) -> Result<Option<ValueId>, Refusal> {
        let Some(a) = self.attribute(name, TENSOR)? else {
            return Ok(None);
        };
        let Some(t) = &a.t else {
            return Err(Refusal::invalid(format!(
                "its attribute '{name}' holds no tensor"
            )));
        };
        let raw = tensor::read(t)?;
        Ok(Some(
            self.constant(Type::fixed(raw.dtype, &raw.shape), raw.bytes),
        ))
    }

    /// A sub-graph attribute.
    pub fn subgraph(&self, name: &str) -> Result<&'a GraphProto, Refusal> {
        self.attribute(name, GRAPH)?
            .and_then(|a| a.g.as_ref())
            .ok_or_else(|| Refusal::invalid(format!("its body '{name}' is missing")))
    }
}

fn text(name: &str, bytes: &[u8]) -> Result<String, Refusal> {
    String::from_utf8(bytes.to_vec())
        .map_err(|_| Refusal::invalid(format!("its attribute '{name}' is not text")))
}
