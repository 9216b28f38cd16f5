//! What programs are judged by.

use crate::Compiled;
use crate::bundle::Array;
use crate::quantize::agreement::{Outputs, agreement, outputs};
use crate::quantize::{QuantizeError, Sample};

/// Why a program has no score.
pub type MetricError = Box<dyn std::error::Error + Send + Sync>;

/// Judges compiled programs.
pub trait Metric {
    /// What the score is, such as `top-1 accuracy`.
    fn name(&self) -> String;

    /// Cases that give a score.
    fn cases(&self) -> usize;

    /// The score of a program: more is better. Percent, for all of Cygnet's own.
    ///
    /// # Errors
    /// When the program does not run, or its outputs are not what the metric reads.
    fn score(&mut self, compiled: &Compiled) -> Result<f64, MetricError>;
}

/// Agreement with the float program, for data without labels.
///
/// Where outputs are vectors (of at most three axes, the last of at least two elements), the part of them whose greatest
/// element is the same; otherwise 100 less the root of the relative squared error in percent. Of several outputs the
/// worst.
pub struct Agreement {
    samples: Vec<Sample>,
    expected: Outputs,
    /// Vectors whose greatest element is compared; 0 when errors are.
    rows: usize,
}

impl Agreement {
    /// Agreement with a float program on samples.
    ///
    /// # Errors
    /// When the program does not run.
    pub fn with(float: &Compiled, samples: Vec<Sample>) -> Result<Agreement, QuantizeError> {
        let expected = outputs(&float.program.bytes, &samples)?;
        let mut metric = Agreement {
            samples,
            expected,
            rows: 0,
        };
        let itself = agreement(&names(float), &metric.expected, &metric.expected);
        metric.rows = itself.iter().map(|a| a.rows).max().unwrap_or(0);
        Ok(metric)
    }
}

/// The names of a program's outputs.
pub(super) fn names(compiled: &Compiled) -> Vec<String> {
    let ports = compiled.graph.outputs.iter();
    ports.map(|p| p.name.clone()).collect()
}

impl Metric for Agreement {
    fn name(&self) -> String {
        match self.rows {
            0 => "nearness to the float model (100 % less the relative error)".to_owned(),
            _ => "the same best class as the float model".to_owned(),
        }
    }

    fn cases(&self) -> usize {
        self.rows.max(self.samples.len())
    }

    fn score(&mut self, compiled: &Compiled) -> Result<f64, MetricError> {
        let actual = outputs(&compiled.program.bytes, &self.samples)?;
        let of = agreement(&names(compiled), &self.expected, &actual);
        let scores = of.iter().map(|a| match a.top1 {
            Some(top1) => top1 * 100.0,
            None if self.rows > 0 => 100.0,
            None => 100.0 - 100.0 * 10f64.powf(-a.snr_db / 20.0),
        });
        Ok(scores.fold(100.0, f64::min))
    }
}

/// The outputs of a program on samples, for metrics that read them: for each sample, for each output.
///
/// # Errors
/// When the program does not run.
pub fn run_on(compiled: &Compiled, samples: &[Sample]) -> Result<Vec<Vec<Array>>, QuantizeError> {
    Ok(outputs(&compiled.program.bytes, samples)?.into_arrays())
}
