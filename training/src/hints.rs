//! What a network learns from the inside of another: where it looks, and which samples look alike to it. Neither needs
//! parameters of its own, nor as many channels on both sides.
use crate::network::{Network, Value};
use candle_core::{D, Result, Tensor};

/// Added to norms.
const EPSILON: f64 = 1e-12;

/// Values of a student and of its teacher that are compared: the last of each picture size that both have.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Hints {
    /// The student's.
    pub student: Vec<Value>,
    /// The teacher's, in the same order.
    pub teacher: Vec<Value>,
}

impl Hints {
    /// Those of two networks.
    pub fn of(student: &Network, teacher: &Network) -> Self {
        let theirs = teacher.last_of_sizes();
        let mut hints = Self::default();
        for (size, value) in student.last_of_sizes() {
            if let Some((_, other)) = theirs.iter().find(|(s, _)| *s == size) {
                hints.student.push(value);
                hints.teacher.push(*other);
            }
        }
        hints
    }

    /// The loss of the student's values against the teacher's, `attention` and `features` being the weights of
    /// [`attention`] and [`similarity`]; a sum over the pairs.
    ///
    /// # Errors
    /// Values of other shapes than the networks'.
    pub fn loss(
        student: &[Tensor],
        teacher: &[Tensor],
        (attention, features): (f32, f32),
    ) -> Result<Option<Tensor>> {
        let mut sum: Option<Tensor> = None;
        for (s, t) in student.iter().zip(teacher) {
            for (weight, of) in [
                (attention, self::attention as fn(&Tensor) -> Result<Tensor>),
                (features, similarity),
            ] {
                if weight == 0.0 {
                    continue;
                }
                let off = (of(s)? - of(&t.detach())?)?.sqr()?;
                let rows = off.dim(0)? as f64;
                let loss = (off.sum_all()? * (f64::from(weight) / rows))?;
                sum = Some(match sum {
                    Some(sum) => (sum + loss)?,
                    None => loss,
                });
            }
        }
        Ok(sum)
    }
}

/// Each row over its length.
fn normalised(rows: &Tensor) -> Result<Tensor> {
    let length = (rows.sqr()?.sum_keepdim(D::Minus1)? + EPSILON)?.sqrt()?;
    rows.broadcast_div(&length)
}

/// Where a network looks: the sum of squares over the channels of `[batch, height, width, channels]`, `[batch, pixels]`, each
/// row of length 1 (Zagoruyko and Komodakis, "Paying More Attention to Attention", 2017, equation 2).
///
/// # Errors
/// Values that are no images.
pub fn attention(values: &Tensor) -> Result<Tensor> {
    normalised(&values.sqr()?.sum(3)?.flatten_from(1)?)
}

/// Which samples of a batch look alike: the products of their features, `[batch, batch]`, each row of length 1, over the
/// square root of the batch (Tung and Mori, "Similarity-Preserving Knowledge Distillation", 2019, equations 1 to 4).
///
/// # Errors
/// None but those of the device.
pub fn similarity(values: &Tensor) -> Result<Tensor> {
    let flat = values.flatten_from(1)?;
    let rows = normalised(&flat.matmul(&flat.t()?)?)?;
    let batch = flat.dim(0)? as f64;
    rows / batch.sqrt()
}
