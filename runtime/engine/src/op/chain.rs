//! `chain`: fused elementwise steps on f32.

use crate::activation::{binary, unary};
use crate::broadcast::{copy, strides};
use crate::linear::PARALLEL_WORK;
use crate::{Cx, RunError, Shape, Tensor};
use cygnet_format::op::{BinaryKind, Chain, Micro, MicroKind, UnaryKind};
use cygnet_kernels::{Binary, Broadcast, Kernels, Step, Unary};

#[derive(Clone, Copy)]
enum Function {
    Unary(Unary),
    Binary(Binary),
}

fn function(micro: &Micro) -> Result<Function, RunError> {
    let code = micro.code as usize;
    let found = match micro.kind {
        MicroKind::Unary => {
            let kind = UnaryKind::ALL.get(code).filter(|&&k| k as usize == code);
            kind.and_then(|&k| unary(k, micro.a, micro.b))
                .map(Function::Unary)
        }
        _ => {
            let kind = BinaryKind::ALL.get(code).filter(|&&k| k as usize == code);
            kind.and_then(|&k| binary(k)).map(Function::Binary)
        }
    };
    found.ok_or(RunError::attribute(
        "a chain holds functions with an f32 kernel",
    ))
}

pub(crate) fn run(op: &Chain, cx: &mut Cx<'_>) -> Result<(), RunError> {
    let in_place = cx.in_place(0, 0);
    let (dtype, x_shape) = cx.input_type(0)?;
    let x = if in_place { None } else { Some(cx.input(0)?) };
    let mut y = cx.output(0)?;
    if dtype != y.dtype || (in_place && x_shape != y.shape) {
        return Err(RunError::shape("a chain in place keeps the shape"));
    }
    let shape = y.shape;
    if shape.count() == 0 {
        return Ok(());
    }
    let mut steps = [Step::Unary(Unary::Abs); 16];
    let same = x_shape == shape;
    let fast = same && fill_steps(op, cx, &shape, &mut steps)?;
    let steps = &steps[..op.steps.len()];
    let kernels = cx.kernels();
    if fast {
        let x = x.map(|t| t.as_slice::<f32>()).transpose()?;
        let y = y.as_mut_slice::<f32>()?;
        // Parts keep the phase of channel vectors only when the kernel sees the whole tensor.
        let split = cx.threads() > 1
            && y.len().saturating_mul(4 * steps.len()) >= PARALLEL_WORK
            && !steps.iter().any(|s| matches!(s, Step::Channel(..)));
        if !split {
            return {
                let _: () = match x {
                    Some(x) => kernels.chain(steps, x, y)?,
                    None => kernels.chain_inplace(steps, y)?,
                };
                Ok(())
            };
        }
        let part = y.len().div_ceil(cx.threads() * 2).next_multiple_of(512);
        return cx.parallel_chunks(y, part, &|i, y| {
            let at = i * part;
            let mut own = [Step::Unary(Unary::Abs); 16];
            for (to, from) in own.iter_mut().zip(steps) {
                *to = match *from {
                    Step::Tensor(f, t) => Step::Tensor(f, &t[at..at + y.len()]),
                    Step::TensorLeft(f, t) => Step::TensorLeft(f, &t[at..at + y.len()]),
                    other => other,
                };
            }
            let own = &own[..steps.len()];
            let _: () = match x {
                Some(x) => kernels.chain(own, &x[at..at + y.len()], y)?,
                None => kernels.chain_inplace(own, y)?,
            };
            Ok(())
        });
    }
    if let Some(x) = &x {
        copy(x, &shape, y.bytes)?;
    }
    let y = y.as_mut_slice::<f32>()?;
    for micro in op.steps.iter() {
        one(micro, cx, kernels, &shape, y)?;
    }
    Ok(())
}

/// The steps for the blocked kernel; false when an operand broadcasts in a way it does not have.
fn fill_steps<'a>(
    op: &Chain,
    cx: &Cx<'a>,
    shape: &Shape,
    steps: &mut [Step<'a>; 16],
) -> Result<bool, RunError> {
    for (to, micro) in steps.iter_mut().zip(op.steps.iter()) {
        let f = match function(micro)? {
            Function::Unary(f) => {
                *to = Step::Unary(f);
                continue;
            }
            Function::Binary(f) => f,
        };
        let t = cx.input(micro.operand as usize)?;
        let values = t.as_slice::<f32>()?;
        let swapped = micro.kind == MicroKind::BinarySwapped;
        let commutes = matches!(f, Binary::Add | Binary::Mul);
        *to = match (values, swapped) {
            ([v], false) => Step::Scalar(f, *v),
            ([v], true) => Step::ScalarLeft(f, *v),
            _ if t.shape == *shape && !swapped => Step::Tensor(f, values),
            _ if t.shape == *shape => Step::TensorLeft(f, values),
            _ if is_suffix(&t, shape) && (!swapped || commutes) => Step::Channel(f, values),
            _ => return Ok(false),
        };
    }
    Ok(true)
}

/// True when the operand repeats whole over the leading axes.
fn is_suffix(t: &Tensor<'_>, shape: &Shape) -> bool {
    let Some(lead) = shape.rank().checked_sub(t.shape.rank()) else {
        return false;
    };
    let first = t
        .shape
        .iter()
        .position(|&d| d != 1)
        .unwrap_or(t.shape.rank());
    first < t.shape.rank() && t.shape[first..] == shape[lead + first..]
}

/// One step over the whole tensor.
fn one(
    micro: &Micro,
    cx: &Cx<'_>,
    kernels: &Kernels,
    shape: &Shape,
    y: &mut [f32],
) -> Result<(), RunError> {
    match function(micro)? {
        Function::Unary(f) => kernels.unary_inplace(f, y),
        Function::Binary(f) => {
            let t = cx.input(micro.operand as usize)?;
            strides(&t.shape, shape)?;
            let values = t.as_slice::<f32>()?;
            if micro.kind == MicroKind::BinarySwapped {
                kernels.binary_inplace_right(f, &Broadcast::new(&t.shape, shape)?, values, y)?;
            } else {
                kernels.binary_inplace(f, &Broadcast::new(shape, &t.shape)?, y, values)?;
            }
        }
    }
    Ok(())
}
