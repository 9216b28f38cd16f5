//! Steps that move elements.

use super::{Operand, Writer, wrong};
use cygnet_format::op;
use cygnet_format::program::Place;
use cygnet_runtime::prepare;

impl<'a> Writer<'a, '_> {
    pub(super) fn reshape(&mut self) -> Result<(), String> {
        let (x, y) = (self.input(0)?, self.output()?);
        if x.at == y.at {
            return Ok(());
        }
        self.write_to(&y, true, Self::beside(&[Some(&x)]))?;
        let x = self.read(&x, true)?;
        self.line(format!("y.copy_from_slice({x});"));
        self.fallible = false;
        Ok(())
    }

    /// `y` and `x` as the bytes of their elements.
    fn bytes(&mut self, x: &Operand, y: &Operand) -> Result<String, String> {
        self.write_to(&y.as_bytes(), true, Self::beside(&[Some(x)]))?;
        self.read(&x.as_bytes(), true)
    }

    pub(super) fn transpose(&mut self, op: &op::Transpose) -> Result<(), String> {
        let (x, y) = (self.input(0)?, self.output()?);
        self.uses(&["movement"]);
        let from = self.bytes(&x, &y)?;
        self.line(format!("let x = {from};"));
        self.line(format!(
            "movement::transpose({}, &{:?}, &{:?}, x, y)",
            x.kind.dtype.size(),
            &x.kind.shape[..],
            &op.perm[..]
        ));
        Ok(())
    }

    pub(super) fn slice(&mut self, op: &op::Slice) -> Result<(), String> {
        let (x, y) = (self.input(0)?, self.output()?);
        let (offset, from) = prepare::slice(op, x.kind, y.kind).map_err(wrong)?;
        let from = &from[..x.kind.shape.rank()];
        self.uses(&["movement"]);
        let source = self.bytes(&x, &y)?;
        self.line(format!("let x = {source};"));
        self.line(format!(
            "let from = movement::Side {{ offset: {offset}, strides: &{from:?} }};"
        ));
        self.line(format!(
            "movement::dense_copy({}, &{:?}, x, from, y)",
            x.kind.dtype.size(),
            &y.kind.shape[..]
        ));
        Ok(())
    }

    pub(super) fn concat(&mut self, op: &op::Concat) -> Result<(), String> {
        let y = self.output()?;
        let (_, total, inner) = y
            .kind
            .shape
            .split(op.axis)
            .ok_or("the axis is out of range")?;
        let size = y.kind.dtype.size();
        let row = total * inner * size;
        self.write_to(&y.as_bytes(), true, true)?;
        let mut at = 0;
        for i in 0..self.info.inputs.len() {
            let x = self.input(i)?;
            let run = x.kind.shape[op.axis as usize] * inner * size;
            let x = self.read(&x.as_bytes(), true)?;
            if run > 0 {
                self.line(format!(
                    "for (y, x) in y.chunks_exact_mut({row}).zip({x}.chunks_exact({run})) {{"
                ));
                self.line(format!("    y[{at}..{}].copy_from_slice(x);", at + run));
                self.line("}");
            }
            at += run;
        }
        self.fallible = false;
        Ok(())
    }

    /// Writes rows into an array in place.
    pub(super) fn tensor_scatter(&mut self, op: &op::TensorScatter) -> Result<(), String> {
        let (x, part, y) = (self.input(0)?, self.input(1)?, self.output()?);
        let (outer, length, inner) = y
            .kind
            .shape
            .split(op.axis)
            .ok_or("the axis is out of range")?;
        let row = inner * y.kind.dtype.size();
        let first = match self.info.inputs.get(2) {
            None => Some(0),
            Some(id) => match self.program.tensor(id).place {
                Place::Const(at) => self.program.constants()[at as usize..]
                    .first_chunk()
                    .map(|bytes| i64::from_le_bytes(*bytes)),
                _ => None,
            },
        };
        let at = first.and_then(|first| usize::try_from(first).ok());
        let at = at.filter(|&first| outer == 1 && !op.circular && first <= length);
        let at = at.ok_or("a place that depends on the data has no source form")? * row;
        let end = at as u64 + part.bytes();
        self.write_to(&y.as_bytes(), true, true)?;
        if x.at != y.at {
            let x = self.read(&x.as_bytes(), true)?;
            self.line(format!("y.copy_from_slice({x});"));
        }
        let part = self.read(&part.as_bytes(), true)?;
        self.line(format!("y[{at}..{end}].copy_from_slice({part});"));
        self.fallible = false;
        Ok(())
    }

    pub(super) fn pad(&mut self, op: &op::Pad) -> Result<(), String> {
        let (x, value, y) = (self.input(0)?, self.opt_input(1)?, self.output()?);
        let mut before = Vec::new();
        for start in op.before.iter() {
            if start.as_expr().is_some() {
                return Err("padding that depends on the data has no source form".into());
            }
            before.push(start.0);
        }
        self.uses(&["movement"]);
        let source = self.bytes(&x, &y)?;
        let fill = match value {
            Some(value) => self.read(&value.as_bytes(), true)?,
            None => "&[0; 8]".into(),
        };
        self.line(format!("let (x, fill) = ({source}, {fill});"));
        self.line(format!(
            "movement::pad({}, &{:?}, &{:?}, &{before:?}, movement::PadSource::{:?}, fill, x, y)",
            x.kind.dtype.size(),
            &x.kind.shape[..],
            &y.kind.shape[..],
            op.mode
        ));
        Ok(())
    }
}
