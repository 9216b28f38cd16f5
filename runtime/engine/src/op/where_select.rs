//! `where_select`: `condition ? x : y`, broadcasting.

use crate::broadcast::{Rows, strides};
use crate::{Cx, RunError};
use cygnet_format::DType;
use cygnet_format::op::Where;

pub(crate) fn run(_op: &Where, cx: &mut Cx<'_>) -> Result<(), RunError> {
    let (c, x, y) = (cx.input(0)?, cx.input(1)?, cx.input(2)?);
    let z = cx.output(0)?;
    if c.dtype != DType::Bool || x.dtype != z.dtype || y.dtype != z.dtype {
        return Err(RunError::dtype(
            "where takes a boolean and two tensors of the output's type",
        ));
    }
    let operands = [
        strides(&c.shape, &z.shape)?,
        strides(&x.shape, &z.shape)?,
        strides(&y.shape, &z.shape)?,
    ];
    let rows = Rows::new(&z.shape, &operands);
    match z.dtype.size() {
        1 => select::<1>(&rows, c.bytes, x.bytes, y.bytes, z.bytes),
        2 => select::<2>(&rows, c.bytes, x.bytes, y.bytes, z.bytes),
        4 => select::<4>(&rows, c.bytes, x.bytes, y.bytes, z.bytes),
        _ => select::<8>(&rows, c.bytes, x.bytes, y.bytes, z.bytes),
    }
    Ok(())
}

fn select<const N: usize>(rows: &Rows<3>, c: &[u8], x: &[u8], y: &[u8], z: &mut [u8]) {
    let (x, y) = (x.as_chunks::<N>().0, y.as_chunks::<N>().0);
    let z = z.as_chunks_mut::<N>().0;
    let n = rows.len();
    let steps = [rows.step(0), rows.step(1), rows.step(2)];
    rows.each(|out, [mut ca, mut xa, mut ya]| {
        for z in &mut z[out..out + n] {
            *z = if c[ca] != 0 { x[xa] } else { y[ya] };
            ca += steps[0];
            xa += steps[1];
            ya += steps[2];
        }
    });
}
