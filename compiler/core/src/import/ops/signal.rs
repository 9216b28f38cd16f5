//! Fourier transforms and the constants of spectral front ends.

use super::super::{NodeCx, Refusal};
use super::lower::{constant, fixed, narrow, wide_input, widen};
use crate::ir::{Type, ValueId};
use cygnet_format::op::{Dft, Pad, PadMode, Stft};
use cygnet_format::{DType, Dim};
use std::f64::consts::PI;

/// Longest table computed at import.
const LONGEST: i64 = 1 << 24;

/// The single constant integer of an optional input.
fn scalar(cx: &mut NodeCx<'_>, i: usize) -> Result<Option<i64>, Refusal> {
    let Some(v) = cx.opt_input(i)? else {
        return Ok(None);
    };
    let values = cx.const_i64(v)?;
    match values[..] {
        [value] => Ok(Some(value)),
        _ => Err(Refusal::invalid(format!(
            "its input {i} has {} elements, not one",
            values.len()
        ))),
    }
}

/// `DFT`: the axis is an attribute up to opset 19, an input later.
pub(super) fn dft(cx: &mut NodeCx<'_>) -> Result<(), Refusal> {
    let (mut x, dtype) = wide_input(cx, 0)?;
    let rank = cx.rank(x);
    let length = scalar(cx, 1)?;
    let axis = if cx.opset() >= 20 {
        scalar(cx, 2)?.unwrap_or(-2)
    } else {
        cx.int_or("axis", 1)?
    };
    let axis = cx.axis(axis, rank)?;
    if rank < 2 || axis + 1 == rank {
        return Err(Refusal::invalid(
            "the transform is over the axis of real and imaginary parts",
        ));
    }
    let inverse = cx.int_or("inverse", 0)? != 0;
    let onesided = cx.int_or("onesided", 0)? != 0;
    let mut shape = cx.shape(x);
    if let Some(n) = length {
        if !(1..=LONGEST).contains(&n) {
            return Err(Refusal::invalid(format!("dft_length {n} is out of range")));
        }
        let n = Dim(n as i32);
        let (lo, hi) = cx.graph().dim_bounds(shape[axis]);
        if lo > n.0 as i64 {
            x = cx.slice(x, axis, Dim(0), n, 1)?;
        } else if hi < n.0 as i64 {
            let zero = cx.scalar(0.0, DType::F32);
            shape[axis] = n;
            let before = vec![Dim(0); rank].into_iter().collect();
            x = cx.emit(
                Pad {
                    before,
                    mode: PadMode::Constant,
                },
                &[x, zero],
                Type::new(DType::F32, &shape),
            );
        } else if lo != hi {
            return Err(Refusal::unsupported(
                "dft_length lies within the bounds of the input length",
            )
            .remedy("fix the input length with --input NAME=SHAPE"));
        }
        shape[axis] = n;
    }
    if onesided {
        let half = cx.graph().dim_floor_div(shape[axis], Dim(2));
        shape[axis] = cx.graph().dim_add(half, Dim::ONE);
    }
    shape[rank - 1] = Dim(2);
    // A one-sided inverse is the full complex inverse, cut: the reference implementation's reading of the standard.
    let y = if onesided && inverse {
        let mut full = shape.clone();
        full[axis] = cx.shape(x)[axis];
        let op = Dft {
            axis: axis as i32,
            inverse,
            onesided: false,
        };
        let y = cx.emit(op, &[x], Type::new(DType::F32, &full));
        cx.slice(y, axis, Dim(0), shape[axis], 1)?
    } else {
        let op = Dft {
            axis: axis as i32,
            inverse,
            onesided,
        };
        cx.emit(op, &[x], Type::new(DType::F32, &shape))
    };
    let y = narrow(cx, y, dtype);
    cx.set_output(0, y);
    Ok(())
}

/// `STFT`.
pub(super) fn stft(cx: &mut NodeCx<'_>) -> Result<(), Refusal> {
    let (mut x, dtype) = wide_input(cx, 0)?;
    if cx.rank(x) == 2 {
        let mut shape = cx.shape(x);
        shape.push(Dim::ONE);
        x = cx.reshape(x, &shape);
    }
    let shape = cx.shape(x);
    if shape.len() != 3 {
        return Err(Refusal::invalid("the signal is not [batch, length, parts]"));
    }
    let step = scalar(cx, 1)?.ok_or_else(|| Refusal::invalid("frame_step is missing"))?;
    let window = cx.opt_input(2)?.map(|w| widen(cx, w));
    let length = match (scalar(cx, 3)?, window) {
        (Some(n), _) => n,
        (None, Some(w)) => fixed(cx.shape(w)[0], "the window length")? as i64,
        (None, None) => fixed(shape[1], "the signal length")? as i64,
    };
    if !(1..=LONGEST).contains(&length) || !(1..=LONGEST).contains(&step) {
        return Err(Refusal::invalid(format!(
            "frame_length {length}, frame_step {step}"
        )));
    }
    let onesided = cx.int_or("onesided", 1)? != 0;
    let g = cx.graph();
    let room = g.dim_sub(shape[1], Dim(length as i32));
    let frames = g.dim_floor_div(room, Dim(step as i32));
    let frames = g.dim_add(frames, Dim::ONE);
    let bins = if onesided { length / 2 + 1 } else { length };
    let op = Stft {
        step: step as u32,
        length: length as u32,
        onesided,
    };
    let ty = Type::new(DType::F32, &[shape[0], frames, Dim(bins as i32), Dim(2)]);
    let mut operands = vec![x];
    operands.extend(window);
    let y = cx.emit(op, &operands, ty);
    let y = narrow(cx, y, dtype);
    cx.set_output(0, y);
    Ok(())
}

/// The element type that `output_datatype` asks for.
fn output_type(cx: &NodeCx<'_>) -> Result<DType, Refusal> {
    // Numbers of onnx.TensorProto.DataType.
    Ok(match cx.int_or("output_datatype", 1)? {
        1 => DType::F32,
        2 => DType::U8,
        3 => DType::I8,
        4 => DType::U16,
        5 => DType::I16,
        6 => DType::I32,
        7 => DType::I64,
        10 => DType::F16,
        11 => DType::F64,
        12 => DType::U32,
        13 => DType::U64,
        16 => DType::BF16,
        other => {
            return Err(Refusal::invalid(format!(
                "output_datatype {other} is not numeric"
            )));
        }
    })
}

fn table(cx: &mut NodeCx<'_>, shape: &[usize], data: &[f64], dtype: DType) -> ValueId {
    let wide: Vec<f32> = data.iter().map(|&v| v as f32).collect();
    let v = constant(cx, shape, &wide);
    narrow(cx, v, dtype)
}

/// `HannWindow`, `HammingWindow`, `BlackmanWindow`: computed at import.
pub(super) fn window(cx: &mut NodeCx<'_>) -> Result<(), Refusal> {
    let size = scalar(cx, 0)?.ok_or_else(|| Refusal::invalid("the size is missing"))?;
    if !(0..=LONGEST).contains(&size) {
        return Err(Refusal::invalid(format!("a window of {size} elements")));
    }
    let dtype = output_type(cx)?;
    let periodic = cx.int_or("periodic", 1)? != 0;
    let period = if periodic {
        size as f64
    } else {
        size as f64 - 1.0
    };
    let hamming = 25.0 / 46.0;
    let kind = cx.op_type();
    let data: Vec<f64> = (0..size)
        .map(|i| {
            let t = 2.0 * PI * i as f64 / period;
            match kind {
                "HannWindow" => 0.5 - 0.5 * t.cos(),
                "HammingWindow" => hamming - (1.0 - hamming) * t.cos(),
                _ => 0.42 - 0.5 * t.cos() + 0.08 * (2.0 * t).cos(),
            }
        })
        .collect();
    let y = table(cx, &[size as usize], &data, dtype);
    cx.set_output(0, y);
    Ok(())
}

/// `MelWeightMatrix`: computed at import.
pub(super) fn mel_weight_matrix(cx: &mut NodeCx<'_>) -> Result<(), Refusal> {
    let missing = || Refusal::invalid("an input is missing");
    let bands = scalar(cx, 0)?.ok_or_else(missing)?;
    let length = scalar(cx, 1)?.ok_or_else(missing)?;
    let rate = scalar(cx, 2)?.ok_or_else(missing)?;
    let mut edges = [0.0f64; 2];
    for (i, edge) in edges.iter_mut().enumerate() {
        let v = cx.input(3 + i)?;
        *edge = *cx.const_f32(v)?.first().ok_or_else(missing)? as f64;
    }
    let dtype = output_type(cx)?;
    if !(1..=1 << 16).contains(&bands) || !(1..=LONGEST).contains(&length) || rate < 1 {
        return Err(Refusal::invalid(format!(
            "{bands} bands, length {length}, rate {rate}"
        )));
    }
    let bins = length / 2 + 1;
    if bands * bins > LONGEST {
        return Err(Refusal::unsupported(format!(
            "a matrix of {bins} x {bands} elements"
        )));
    }
    let mel = |hz: f64| 2595.0 * (1.0 + hz / 700.0).log10();
    let (low, high) = (mel(edges[0]), mel(edges[1]));
    let step = (high - low) / (bands + 2) as f64;
    let at: Vec<i64> = (0..bands + 2)
        .map(|i| {
            let hz = 700.0 * (10f64.powf((i as f64 * step + low) / 2595.0) - 1.0);
            (((length + 1) as f64 * hz) / rate as f64).floor() as i64
        })
        .collect();
    if at.iter().any(|&b| b < 0 || b >= bins) {
        return Err(Refusal::invalid(
            "an edge frequency is outside of the spectrum",
        ));
    }
    let mut data = vec![0.0; (bins * bands) as usize];
    for i in 0..bands as usize {
        let (left, centre, right) = (at[i], at[i + 1], at[i + 2]);
        let cell = |bin: i64| (bin * bands) as usize + i;
        if left == centre {
            data[cell(centre)] = 1.0;
        }
        for bin in left..=centre {
            if centre > left {
                data[cell(bin)] = (bin - left) as f64 / (centre - left) as f64;
            }
        }
        for bin in centre..right {
            data[cell(bin)] = (right - bin) as f64 / (right - centre) as f64;
        }
    }
    let y = table(cx, &[bins as usize, bands as usize], &data, dtype);
    cx.set_output(0, y);
    Ok(())
}
