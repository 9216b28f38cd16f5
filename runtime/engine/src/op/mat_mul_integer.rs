//! `mat_mul_integer`.

use super::axes::broadcast_strides;
use crate::{Cx, RunError, Tensor, TensorMut};
use cygnet_format::{DType, MAX_RANK, op::MatMulInteger};
use cygnet_kernels::integer::{self, Narrow};

pub(crate) fn run(_op: &MatMulInteger, cx: &mut Cx<'_>) -> Result<(), RunError> {
    let (a, b, y) = (cx.input(0)?, cx.input(1)?, cx.output(0)?);
    let zeros = [cx.opt_input(2)?, cx.opt_input(3)?];
    match (a.dtype, b.dtype) {
        (DType::U8, DType::U8) => typed::<u8, u8>(a, b, zeros, y),
        (DType::U8, DType::I8) => typed::<u8, i8>(a, b, zeros, y),
        (DType::I8, DType::U8) => typed::<i8, u8>(a, b, zeros, y),
        (DType::I8, DType::I8) => typed::<i8, i8>(a, b, zeros, y),
        _ => Err(RunError::dtype("operands are 8-bit integers")),
    }
}

fn typed<A: Narrow + crate::Element, B: Narrow + crate::Element>(
    a: Tensor<'_>,
    b: Tensor<'_>,
    [a_zero, b_zero]: [Option<Tensor<'_>>; 2],
    y: TensorMut<'_>,
) -> Result<(), RunError> {
    let rank = y.shape.len();
    let wrong = RunError::shape("matrix operands do not agree");
    if rank < 2 || a.shape.len() < 2 || b.shape.len() < 2 {
        return Err(wrong);
    }
    let (a_lead, b_lead, lead) = (a.shape.len() - 2, b.shape.len() - 2, rank - 2);
    let (m, k, n) = (a.shape[a_lead], a.shape[a_lead + 1], b.shape[b_lead + 1]);
    if b.shape[b_lead] != k || y.shape[lead] != m || y.shape[lead + 1] != n {
        return Err(wrong);
    }
    let shape = y.shape;
    let outer = &shape[..lead];
    let a_strides = broadcast_strides(&a.shape[..a_lead], outer)?;
    let b_strides = broadcast_strides(&b.shape[..b_lead], outer)?;
    let a_zero = a_zero.map_or(Ok(&[][..]), |z| z.as_slice::<A>())?;
    let b_zero = b_zero.map_or(Ok(&[][..]), |z| z.as_slice::<B>())?;
    let (a, b) = (a.as_slice::<A>()?, b.as_slice::<B>()?);
    let y_slice = y.into_mut_slice::<i32>()?;
    if m * n == 0 {
        return Ok(());
    }
    // One right operand for all rows: the batch is more rows.
    let batches: usize = outer.iter().product();
    let shared =
        b.len() == k * n && batches.checked_mul(m * k) == Some(a.len()) && a_zero.len() <= 1;
    if shared && k > 0 {
        return Ok(integer::matmul(
            [batches * m, k, n],
            a,
            a_zero,
            b,
            b_zero,
            y_slice,
        )?);
    }
    // `outer` is borrowed from a copy of the shape: unravel each batch index.
    let mut index = [0usize; MAX_RANK];
    for y in y_slice.chunks_exact_mut(m * n) {
        let at = |strides: &[isize; MAX_RANK]| -> usize {
            (0..lead).map(|d| index[d] * strides[d] as usize).sum()
        };
        let (a_at, b_at) = (at(&a_strides) * m * k, at(&b_strides) * k * n);
        integer::matmul(
            [m, k, n],
            &a[a_at..a_at + m * k],
            a_zero,
            &b[b_at..b_at + k * n],
            b_zero,
            y,
        )?;
        for d in (0..lead).rev() {
            index[d] += 1;
            if index[d] < outer[d] {
                break;
            }
            index[d] = 0;
        }
    }
    Ok(())
}
