//! Constants, ranges and element types.

use super::super::NodeCx;
use super::super::error::Refusal;
use super::super::tensor;
use crate::ir::Type;
use cygnet_format::op::Range;
use cygnet_format::{DType, Dim};

pub(super) fn constant(cx: &mut NodeCx<'_>) -> Result<(), Refusal> {
    if let Some(v) = cx.tensor("value")? {
        cx.set_output(0, v);
        return Ok(());
    }
    let f32_bytes = |list: &[f32]| {
        list.iter()
            .flat_map(|v| v.to_le_bytes())
            .collect::<Vec<u8>>()
    };
    let i64_bytes = |list: &[i64]| {
        list.iter()
            .flat_map(|v| v.to_le_bytes())
            .collect::<Vec<u8>>()
    };
    let (ty, bytes) = if cx.has_attribute("value_float") {
        (
            Type::fixed(DType::F32, &[]),
            f32_bytes(&[cx.float_or("value_float", 0.0)?]),
        )
    } else if cx.has_attribute("value_floats") {
        let list = cx.floats("value_floats")?.unwrap_or_default();
        (Type::fixed(DType::F32, &[list.len()]), f32_bytes(&list))
    } else if cx.has_attribute("value_int") {
        (
            Type::fixed(DType::I64, &[]),
            i64_bytes(&[cx.int_or("value_int", 0)?]),
        )
    } else if cx.has_attribute("value_ints") {
        let list = cx.ints("value_ints")?.unwrap_or_default();
        (Type::fixed(DType::I64, &[list.len()]), i64_bytes(&list))
    } else if let Some(sparse) = cx
        .node
        .attribute
        .iter()
        .find_map(|a| a.sparse_tensor.as_ref())
    {
        super::sparse_bytes(sparse)?
    } else if cx.has_attribute("value_string") || cx.has_attribute("value_strings") {
        return Err(Refusal::unsupported(
            "text (string) tensors are not supported",
        ));
    } else {
        return Err(Refusal::invalid("it holds no value"));
    };
    let v = cx.constant(ty, bytes);
    cx.set_output(0, v);
    Ok(())
}

pub(super) fn constant_of_shape(cx: &mut NodeCx<'_>) -> Result<(), Refusal> {
    let shape = cx.input(0)?;
    let shape = cx.dim_list(shape)?;
    let value = match cx.tensor("value")? {
        Some(v) => v,
        None => cx.scalar(0.0, DType::F32),
    };
    if cx.ty(value).fixed_len() != Some(1) {
        return Err(Refusal::invalid("its value is not one element"));
    }
    let ty = cx.typed(cx.dtype(value), &shape)?;
    let y = super::movement::fill(cx, value, &ty)?;
    cx.set_output(0, y);
    Ok(())
}

pub(super) fn eye_like(cx: &mut NodeCx<'_>) -> Result<(), Refusal> {
    let x = cx.input(0)?;
    let dtype = match cx.int("dtype")? {
        Some(code) => tensor::dtype(code as i32)?,
        None => cx.dtype(x),
    };
    let k = cx.int_or("k", 0)?;
    let Some([rows, columns]) = cx
        .ty(x)
        .fixed_shape()
        .and_then(|s| <[usize; 2]>::try_from(s).ok())
    else {
        return Err(Refusal::needs_constant("shape"));
    };
    let ty = cx.typed(dtype, &[Dim(rows as i32), Dim(columns as i32)])?;
    if rows.saturating_mul(columns) > 1 << 26 {
        return Err(Refusal::unsupported("an identity matrix is too large"));
    }
    let one = cx.scalar(1.0, dtype);
    let one = cx.const_bytes(one).expect("a constant");
    let mut bytes = vec![0u8; rows * columns * dtype.size()];
    for row in 0..rows {
        let column = row as i64 + k.clamp(-(1 << 40), 1 << 40);
        if (0..columns as i64).contains(&column) {
            let at = (row * columns + column as usize) * dtype.size();
            bytes[at..at + dtype.size()].copy_from_slice(&one);
        }
    }
    let y = cx.constant(ty, bytes);
    cx.set_output(0, y);
    Ok(())
}

pub(super) fn range(cx: &mut NodeCx<'_>) -> Result<(), Refusal> {
    let inputs = [cx.input(0)?, cx.input(1)?, cx.input(2)?];
    let dtype = cx.dtype(inputs[0]);
    let mut list = None;
    let count = if dtype.is_float() {
        let mut v = [0f64; 3];
        for (out, &input) in v.iter_mut().zip(&inputs) {
            *out = *cx
                .const_f32(input)?
                .first()
                .ok_or_else(|| Refusal::invalid("an empty bound"))? as f64;
        }
        let n = ((v[1] - v[0]) / v[2]).ceil().max(0.0);
        if n.is_nan() || n > i32::MAX as f64 {
            return Err(Refusal::invalid("its range is endless"));
        }
        Dim(n as i32)
    } else {
        let mut v = [Dim(0); 3];
        for (out, &input) in v.iter_mut().zip(&inputs) {
            *out = match cx.const_i64(input) {
                Ok(list) => {
                    let first = *list
                        .first()
                        .ok_or_else(|| Refusal::invalid("an empty bound"))?;
                    cx.graph().dim_const(first)
                }
                Err(_) => *cx
                    .dim_list(input)?
                    .first()
                    .ok_or_else(|| Refusal::invalid("an empty bound"))?,
            };
        }
        let [start, limit, delta] = v;
        let Some(by) = cx.graph().dim_value(delta) else {
            return Err(Refusal::needs_constant("delta"));
        };
        if by == 0 || by == i64::MIN {
            return Err(Refusal::invalid("its step is zero"));
        }
        let (a, b) = if by > 0 {
            (limit, start)
        } else {
            (start, limit)
        };
        let span = cx.graph().dim_sub(a, b);
        let by_len = cx.graph().dim_const(by.abs());
        let n = cx.graph().dim_ceil_div(span, by_len);
        let n = cx.graph().dim_max(n, Dim(0));
        if let Some(n) = n
            .as_const()
            .filter(|&n| n > 0 && n <= 64 && dtype == DType::I64)
        {
            let mut values = vec![start];
            for _ in 1..n {
                let next = cx.graph().dim_add(values[values.len() - 1], delta);
                values.push(next);
            }
            list = Some(values);
        }
        n
    };
    let ty = cx.typed(dtype, &[count])?;
    let y = match list.and_then(|values| cx.dims_value(values, &[])) {
        Some(y) => y,
        None => cx.emit(Range {}, &inputs, ty),
    };
    cx.set_output(0, y);
    Ok(())
}

pub(super) fn cast(cx: &mut NodeCx<'_>) -> Result<(), Refusal> {
    let x = cx.input(0)?;
    // Operator set 1 names the type by text.
    let to = match cx.str_or("to", "") {
        Ok(name) if !name.is_empty() => named_type(&name)?,
        _ => tensor::dtype(i32::try_from(cx.int_or("to", 0)?).unwrap_or(-1))?,
    };
    let saturate = cx.int_or("saturate", 1)? != 0;
    let y = cx.cast_with(x, to, saturate);
    cx.set_output(0, y);
    Ok(())
}

fn named_type(name: &str) -> Result<DType, Refusal> {
    const NAMES: [&str; 13] = [
        "FLOAT", "UINT8", "INT8", "UINT16", "INT16", "INT32", "INT64", "STRING", "BOOL", "FLOAT16",
        "DOUBLE", "UINT32", "UINT64",
    ];
    let code = NAMES
        .iter()
        .position(|n| n.eq_ignore_ascii_case(name))
        .map_or(-1, |i| i as i32 + 1);
    tensor::dtype(code)
}

pub(super) fn cast_like(cx: &mut NodeCx<'_>) -> Result<(), Refusal> {
    let (x, like) = (cx.input(0)?, cx.input(1)?);
    let saturate = cx.int_or("saturate", 1)? != 0;
    let y = cx.cast_with(x, cx.dtype(like), saturate);
    cx.set_output(0, y);
    Ok(())
}

pub(super) fn bit_cast(cx: &mut NodeCx<'_>) -> Result<(), Refusal> {
    let x = cx.input(0)?;
    let to = tensor::dtype(i32::try_from(cx.int_or("to", 0)?).unwrap_or(-1))?;
    let from = cx.dtype(x);
    if to.size() != from.size() {
        return Err(Refusal::invalid(format!("{from} and {to} differ in size")));
    }
    let y = match cx.const_bytes(x) {
        _ if to == from => x,
        Some(bytes) => {
            let ty = Type {
                dtype: to,
                shape: cx.ty(x).shape,
            };
            cx.constant(ty, bytes.to_vec())
        }
        None => {
            return Err(Refusal::unsupported(
                "the bits of a value computed at run time are read as another type",
            )
            .remedy("replace it by a Cast or by arithmetic"));
        }
    };
    cx.set_output(0, y);
    Ok(())
}
