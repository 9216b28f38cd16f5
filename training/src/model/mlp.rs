//! Dense networks.
use crate::network::{Builder, Value};
use candle_core::Result;
use cygnet_kernels::Activation;

const RELU: Activation = Activation::Relu;

/// A multilayer perceptron: `layers` dense layers of `hidden` units, each with dropout, then the classes.
///
/// # Errors
/// Names that exist, shares of dropout outside of 0..1.
pub fn mlp(
    b: &mut Builder,
    x: Value,
    (layers, hidden, dropout): (usize, usize, f32),
    classes: usize,
) -> Result<Value> {
    let mut x = b.flatten("flat", x)?;
    for i in 0..layers {
        x = b.linear(&format!("hidden{i}"), x, hidden, RELU)?;
        x = b.dropout(&format!("dropout{i}"), x, dropout)?;
    }
    b.linear("classifier", x, classes, Activation::None)
}

/// An autoencoder of dense layers (Hinton and Salakhutdinov, 2006): `layers` of `hidden` units, the narrow one, which
/// is linear, as many again, and all numbers of the input.
///
/// # Errors
/// Names that exist.
pub fn autoencoder(
    b: &mut Builder,
    x: Value,
    (layers, hidden, bottleneck): (usize, usize, usize),
) -> Result<Value> {
    let mut x = b.flatten("flat", x)?;
    let outputs = b.channels(x);
    for i in 0..layers {
        x = b.linear(&format!("encoder{i}"), x, hidden, RELU)?;
    }
    x = b.linear("bottleneck", x, bottleneck, Activation::None)?;
    for i in 0..layers {
        x = b.linear(&format!("decoder{i}"), x, hidden, RELU)?;
    }
    b.linear("reconstruction", x, outputs, Activation::None)
}
