//! Sequences and optionals: structure known at compile time, nothing of them at run time.

use super::super::error::Refusal;
use super::super::{Entry, NodeCx};
use crate::ir::{Type, ValueId};
use cygnet_format::{DType, Dim};

/// Longest sequence.
const MAX_LENGTH: usize = 65_536;

fn sequence(cx: &mut NodeCx<'_>, i: usize) -> Result<Vec<Entry>, Refusal> {
    match cx.entry(i)? {
        Some(Entry::Sequence(list)) => Ok(list),
        Some(Entry::Optional(Some(inner))) => match *inner {
            Entry::Sequence(list) => Ok(list),
            _ => Err(Refusal::invalid("its input is no sequence")),
        },
        _ => Err(Refusal::invalid("its input is no sequence")),
    }
}

/// A position counted from either end; `most` is the largest one allowed.
fn position(
    cx: &mut NodeCx<'_>,
    i: usize,
    length: usize,
    most: usize,
) -> Result<Option<usize>, Refusal> {
    let Some(v) = cx.opt_input(i)? else {
        return Ok(None);
    };
    let at = *cx
        .const_i64(v)?
        .first()
        .ok_or_else(|| Refusal::invalid("its position is empty"))?;
    let at = if at < 0 {
        at.saturating_add(length as i64)
    } else {
        at
    };
    match usize::try_from(at) {
        Ok(at) if at <= most => Ok(Some(at)),
        _ => Err(Refusal::invalid(format!(
            "position {at} is outside of a sequence of {length}"
        ))),
    }
}

pub(super) fn empty(cx: &mut NodeCx<'_>) -> Result<(), Refusal> {
    cx.set_entry(0, Entry::Sequence(Vec::new()));
    Ok(())
}

pub(super) fn construct(cx: &mut NodeCx<'_>) -> Result<(), Refusal> {
    let mut list = Vec::new();
    for i in 0..cx.n_inputs() {
        list.push(Entry::Value(cx.input(i)?));
    }
    cx.set_entry(0, Entry::Sequence(list));
    Ok(())
}

pub(super) fn insert(cx: &mut NodeCx<'_>) -> Result<(), Refusal> {
    let mut list = sequence(cx, 0)?;
    let value = cx.input(1)?;
    if list.len() >= MAX_LENGTH {
        return Err(Refusal::unsupported("a sequence is too long"));
    }
    let at = position(cx, 2, list.len(), list.len())?.unwrap_or(list.len());
    list.insert(at, Entry::Value(value));
    cx.set_entry(0, Entry::Sequence(list));
    Ok(())
}

pub(super) fn erase(cx: &mut NodeCx<'_>) -> Result<(), Refusal> {
    let mut list = sequence(cx, 0)?;
    let last = list
        .len()
        .checked_sub(1)
        .ok_or_else(|| Refusal::invalid("it erases from an empty sequence"))?;
    let at = position(cx, 1, list.len(), last)?.unwrap_or(last);
    list.remove(at);
    cx.set_entry(0, Entry::Sequence(list));
    Ok(())
}

pub(super) fn at(cx: &mut NodeCx<'_>) -> Result<(), Refusal> {
    let list = sequence(cx, 0)?;
    let last = list
        .len()
        .checked_sub(1)
        .ok_or_else(|| Refusal::invalid("it reads from an empty sequence"))?;
    let at = position(cx, 1, list.len(), last)?
        .ok_or_else(|| Refusal::invalid("its position is missing"))?;
    cx.set_entry(0, list[at].clone());
    Ok(())
}

pub(super) fn length(cx: &mut NodeCx<'_>) -> Result<(), Refusal> {
    let n = sequence(cx, 0)?.len() as i64;
    let v = cx.constant(Type::fixed(DType::I64, &[]), n.to_le_bytes().to_vec());
    cx.set_output(0, v);
    Ok(())
}

pub(super) fn split(cx: &mut NodeCx<'_>) -> Result<(), Refusal> {
    let x = cx.input(0)?;
    let axis = cx.int_or("axis", 0)?;
    let axis = cx.axis(axis, cx.rank(x))?;
    let total = cx.shape(x)[axis]
        .as_const()
        .ok_or_else(|| Refusal::needs_constant("length of the split axis"))?;
    let mut keep = true;
    let parts: Vec<usize> = match cx.opt_input(1)? {
        None => {
            keep = cx.int_or("keepdims", 1)? != 0;
            vec![1; total.min(MAX_LENGTH + 1)]
        }
        Some(v) => {
            let list = cx.const_i64(v)?;
            if cx.rank(v) == 0 {
                let part = list.first().copied().unwrap_or(0);
                if part < 1 || total as i64 / part > MAX_LENGTH as i64 {
                    return Err(Refusal::invalid(format!("it splits into parts of {part}")));
                }
                (0..total)
                    .step_by(part as usize)
                    .map(|s| (total - s).min(part as usize))
                    .collect()
            } else {
                list.into_iter()
                    .map(|p| usize::try_from(p).unwrap_or(usize::MAX))
                    .collect()
            }
        }
    };
    if parts.len() > MAX_LENGTH || parts.iter().fold(0usize, |a, &p| a.saturating_add(p)) != total {
        return Err(Refusal::invalid(format!("its parts do not make {total}")));
    }
    let mut list = Vec::new();
    let mut start = 0;
    for part in parts {
        let mut y = cx.slice(x, axis, Dim(start as i32), Dim((start + part) as i32), 1)?;
        if !keep {
            let mut shape = cx.shape(y);
            shape.remove(axis);
            y = cx.reshape(y, &shape);
        }
        list.push(Entry::Value(y));
        start += part;
    }
    cx.set_entry(0, Entry::Sequence(list));
    Ok(())
}

pub(super) fn concat(cx: &mut NodeCx<'_>) -> Result<(), Refusal> {
    let list = sequence(cx, 0)?;
    let mut values: Vec<ValueId> = Vec::new();
    for entry in list {
        match entry {
            Entry::Value(v) => values.push(v),
            _ => return Err(Refusal::invalid("it joins a sequence of no tensors")),
        }
    }
    let &first = values
        .first()
        .ok_or_else(|| Refusal::unsupported("it joins an empty sequence"))?;
    let axis = cx.int_or("axis", 0)?;
    let new = cx.int_or("new_axis", 0)? != 0;
    let axis = cx.axis(axis, cx.rank(first) + new as usize)?;
    if new {
        for v in &mut values {
            let mut shape = cx.shape(*v);
            if axis > shape.len() {
                return Err(Refusal::invalid("its tensors differ in rank"));
            }
            shape.insert(axis, Dim::ONE);
            cx.typed(DType::F32, &shape)?;
            *v = cx.reshape(*v, &shape);
        }
    }
    let y = cx.concat(&values, axis)?;
    cx.set_output(0, y);
    Ok(())
}

pub(super) fn map(cx: &mut NodeCx<'_>) -> Result<(), Refusal> {
    let body = cx.subgraph("body")?;
    let n = sequence(cx, 0)?.len();
    if body.input.len() != cx.n_inputs() {
        return Err(Refusal::invalid("its body has another number of inputs"));
    }
    let mut results = vec![Vec::new(); body.output.len()];
    for k in 0..n {
        let mut inputs = Vec::new();
        for (i, port) in body.input.iter().enumerate() {
            let entry = match cx.entry(i)? {
                Some(Entry::Sequence(list)) => list.get(k).cloned(),
                other => other,
            };
            let entry = entry.ok_or_else(|| Refusal::invalid("its sequences differ in length"))?;
            inputs.push((port.name.clone(), entry));
        }
        for (list, entry) in results.iter_mut().zip(cx.imp.inline_graph(body, inputs)?) {
            list.push(entry);
        }
    }
    for (i, list) in results.into_iter().enumerate() {
        cx.set_entry(i, Entry::Sequence(list));
    }
    Ok(())
}

pub(super) fn optional(cx: &mut NodeCx<'_>) -> Result<(), Refusal> {
    let entry = cx.entry(0)?.map(Box::new);
    cx.set_entry(0, Entry::Optional(entry));
    Ok(())
}

pub(super) fn has_element(cx: &mut NodeCx<'_>) -> Result<(), Refusal> {
    let has = !matches!(cx.entry(0)?, None | Some(Entry::Optional(None)));
    let v = cx.scalar(has as u8 as f32, DType::Bool);
    cx.set_output(0, v);
    Ok(())
}

pub(super) fn get_element(cx: &mut NodeCx<'_>) -> Result<(), Refusal> {
    let entry = match cx.entry(0)? {
        Some(Entry::Optional(Some(inner))) => *inner,
        None | Some(Entry::Optional(None)) => {
            return Err(Refusal::invalid("it opens an empty optional"));
        }
        Some(other) => other,
    };
    cx.set_entry(0, entry);
    Ok(())
}
