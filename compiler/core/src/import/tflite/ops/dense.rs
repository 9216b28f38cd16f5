//! Matrix products.

use super::super::cx::OpCx;
use super::conv::bias;
use crate::import::error::Refusal;
use crate::import::ops::lower::fixed;
use crate::import::ops::matmul::{product, swap_last};
use cygnet_format::Dim;

/// `FULLY_CONNECTED`: `x[.., K]`, weights `[N, K]`, bias `[N]`.
pub(super) fn fully_connected(cx: &mut OpCx<'_, '_>) -> Result<(), Refusal> {
    if cx.option::<i8>(1, 0)? != 0 {
        return Err(Refusal::unsupported("its weights are shuffled")
            .remedy("convert the model with weights in the default format"));
    }
    let (x, w) = (cx.float(0)?, cx.float(1)?);
    let [n, k] = cx.shape(w)[..] else {
        return Err(Refusal::invalid(format!(
            "the weights have {} axes where 2 are needed",
            cx.rank(w)
        )));
    };
    let columns = fixed(n, "the shape of the weights")?;
    if k == Dim(0) || columns == 0 {
        return Err(Refusal::invalid("the weights are empty"));
    }
    let bias = bias(cx, 2, (0, 1), columns)?;
    let mut shape = cx.shape(x);
    let rows = if shape.last() == Some(&k) {
        cx.graph().dim_product(&shape[..shape.len() - 1])
    } else {
        let all = cx.graph().dim_product(&shape);
        if let (Some(all), Some(k)) = (cx.graph().dim_value(all), k.as_const())
            && all % k as i64 != 0
        {
            return Err(Refusal::invalid(format!(
                "an input of the shape {shape:?} has no rows of {k}"
            )));
        }
        cx.graph().dim_floor_div(all, k)
    };
    let keep = cx.flag(2)?;
    let flat = cx.reshape(x, &[rows, k]);
    let mut y = product(cx, flat, w, true, 1.0, bias)?;
    y = cx.activate(y, cx.option(0, 0)?)?;
    if keep && !shape.is_empty() {
        let last = shape.len() - 1;
        if shape[last] != k {
            return Err(Refusal::invalid(
                "its input has another last axis than its weights",
            ));
        }
        shape[last] = n;
        // The integers are reshaped, not the numbers: then the sums meet their quantisation.
        cx.put(0, y)?;
        if let Some(v) = cx.result(0) {
            let v = cx.reshape(v, &shape);
            cx.set_output(0, v);
        }
        return Ok(());
    }
    cx.put(0, y)
}

/// `BATCH_MATMUL`: the last two axes, either operand transposed on request.
pub(super) fn batch_matmul(cx: &mut OpCx<'_, '_>) -> Result<(), Refusal> {
    let (mut a, b) = (cx.float(0)?, cx.float(1)?);
    if cx.rank(a) < 2 || cx.rank(b) < 2 {
        return Err(Refusal::invalid("an operand has fewer than two axes"));
    }
    if cx.flag(0)? {
        a = swap_last(cx, a);
    }
    let trans = cx.flag(1)?;
    let y = product(cx, a, b, trans, 1.0, None)?;
    cx.put(0, y)
}
