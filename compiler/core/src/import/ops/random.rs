//! Operators that draw random numbers: refused, because a bundle gives the same result on every device and run.

use super::super::{NodeCx, Refusal};

/// `RandomNormal`, `RandomUniform`, their `Like` forms, `Multinomial` and `Bernoulli`.
pub(super) fn refuse(cx: &mut NodeCx<'_>) -> Result<(), Refusal> {
    Err(Refusal::unsupported(format!(
        "{} draws random numbers; a bundle is deterministic",
        cx.op_type()
    ))
    .remedy("make the random tensor a model input and let the application fill it"))
}
