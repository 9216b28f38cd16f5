//! Training losses, as gathers and reductions.

use super::super::{NodeCx, Refusal};
use super::lower::{narrow, unsqueeze, wide_input, widen, zero};
use crate::ir::{Type, ValueId};
use cygnet_format::op::{
    BinaryKind, Gather, GatherElements, ReduceKind, Softmax, SoftmaxKind, UnaryKind, Where,
};
use cygnet_format::{DType, Dim};

/// `SoftmaxCrossEntropyLoss`.
pub(super) fn softmax_cross_entropy(cx: &mut NodeCx<'_>) -> Result<(), Refusal> {
    let (x, dtype) = wide_input(cx, 0)?;
    let ty = Type::new(DType::F32, &cx.shape(x));
    let log = cx.emit(
        Softmax {
            axis: 1,
            kind: SoftmaxKind::Log,
        },
        &[x],
        ty,
    );
    let loss = likelihood(cx, log)?;
    let loss = narrow(cx, loss, dtype);
    cx.set_output(0, loss);
    if cx.has_output(1) {
        let log = narrow(cx, log, dtype);
        cx.set_output(1, log);
    }
    Ok(())
}

/// `NegativeLogLikelihoodLoss`.
pub(super) fn negative_log_likelihood(cx: &mut NodeCx<'_>) -> Result<(), Refusal> {
    let (x, dtype) = wide_input(cx, 0)?;
    let loss = likelihood(cx, x)?;
    let loss = narrow(cx, loss, dtype);
    cx.set_output(0, loss);
    Ok(())
}

/// `-w[t] * x[n, t, ..]`, reduced; labels equal to `ignore_index` weigh nothing.
fn likelihood(cx: &mut NodeCx<'_>, x: ValueId) -> Result<ValueId, Refusal> {
    let labels = cx.input(1)?;
    let weight = cx.opt_input(2)?.map(|w| widen(cx, w));
    let ignore = cx.int("ignore_index")?;
    let reduction = cx.str_or("reduction", "mean")?;
    if cx.rank(x) < 2 || cx.rank(labels) + 1 != cx.rank(x) {
        return Err(Refusal::invalid(
            "the labels have not the axes of the scores without the classes",
        ));
    }
    let shape = cx.shape(labels);
    let dtype = cx.dtype(labels);
    let floats = Type::new(DType::F32, &shape);
    // Ignored labels may lie outside of the classes: class 0 is read in their place.
    let mut ignored = None;
    let mut safe = labels;
    if let Some(ignore) = ignore {
        let bytes = match dtype {
            DType::I32 => (ignore as i32).to_le_bytes().to_vec(),
            DType::I64 => ignore.to_le_bytes().to_vec(),
            other => {
                return Err(Refusal::invalid(format!(
                    "the labels are {other}, not i32 or i64"
                )));
            }
        };
        let mark = cx.constant(Type::fixed(dtype, &[]), bytes);
        let is = cx.binary(BinaryKind::Equal, labels, mark)?;
        let class = zero(cx, dtype);
        safe = cx.emit(Where {}, &[is, class, labels], Type::new(dtype, &shape));
        ignored = Some(is);
    }
    let index = unsqueeze(cx, safe, 1);
    let mut picked = shape.clone();
    picked.insert(1, Dim::ONE);
    let taken = cx.emit(
        GatherElements { axis: 1 },
        &[x, index],
        Type::new(DType::F32, &picked),
    );
    let taken = cx.reshape(taken, &shape);
    let mut loss = cx.unary(UnaryKind::Neg, taken);
    let mut weights = weight.map(|w| cx.emit(Gather { axis: 0 }, &[w, safe], floats.clone()));
    if let Some(is) = ignored {
        let nothing = cx.scalar(0.0, DType::F32);
        let full = match weights {
            Some(w) => w,
            None => cx.scalar(1.0, DType::F32),
        };
        weights = Some(cx.emit(Where {}, &[is, nothing, full], floats));
    }
    if let Some(w) = weights {
        loss = cx.binary(BinaryKind::Mul, loss, w)?;
    }
    let axes: Vec<usize> = (0..shape.len()).collect();
    Ok(match reduction.as_str() {
        "none" => loss,
        "sum" => cx.reduce(ReduceKind::Sum, loss, &axes, false)?,
        "mean" => match weights {
            None => cx.reduce(ReduceKind::Mean, loss, &axes, false)?,
            Some(w) => {
                let total = cx.reduce(ReduceKind::Sum, loss, &axes, false)?;
                let mass = cx.reduce(ReduceKind::Sum, w, &axes, false)?;
                cx.binary(BinaryKind::Div, total, mass)?
            }
        },
        other => return Err(Refusal::invalid(format!("reduction {other:?} is unknown"))),
    })
}
