//! Scores of programs on labelled data.

use super::detection::{Detector, mean_average_precision};
use super::{Case, Truth};
use crate::decode::{ctc, top};
use anyhow::{Context, Result, anyhow, bail};
use cygnet_compiler::Compiled;
use cygnet_compiler::bundle::Array;
use cygnet_compiler::quantize::Sample;
use cygnet_compiler::quantize::mixed::{Metric, MetricError, run_on};

/// How answers are judged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Part of the cases whose best class is right.
    Class,
    /// Characters less edits, by characters (100 less the character error rate).
    Text,
    /// Area under the receiver operating characteristic of two classes.
    Auc,
    /// Mean average precision of boxes, as COCO counts it.
    Boxes,
}

impl Kind {
    fn words(self) -> &'static str {
        match self {
            Kind::Class => "top-1 accuracy",
            Kind::Text => "character accuracy",
            Kind::Auc => "area under the ROC curve",
            Kind::Boxes => "mean average precision (IoU 0.50:0.95)",
        }
    }
}

/// Labelled data.
pub struct Labelled {
    kind: Kind,
    truths: Vec<Truth>,
    /// The run of `samples` that answers each case.
    last: Vec<usize>,
    samples: Vec<Sample>,
    vocabulary: Vec<String>,
    detector: Option<Detector>,
}

impl Labelled {
    /// Cases with what their answers are read by: a vocabulary for text, a detector for boxes.
    pub fn new(
        kind: Kind,
        cases: Vec<Case>,
        vocabulary: Vec<String>,
        detector: Option<Detector>,
    ) -> Labelled {
        let mut labelled = Labelled {
            kind,
            truths: Vec::new(),
            last: Vec::new(),
            samples: Vec::new(),
            vocabulary,
            detector,
        };
        for case in cases {
            labelled.samples.extend(case.samples);
            labelled.last.push(labelled.samples.len() - 1);
            labelled.truths.push(case.truth);
        }
        labelled
    }

    fn judge(&self, compiled: &Compiled) -> Result<f64> {
        let runs = run_on(compiled, &self.samples)?;
        let answers = || self.last.iter().map(|&i| &runs[i][0]).zip(&self.truths);
        match self.kind {
            Kind::Class => {
                let mut right = 0;
                for (answer, truth) in answers() {
                    let Truth::Class(class) = truth else { continue };
                    let values = answer.to_f32();
                    if *class >= values.len() {
                        bail!(
                            "a case is of class {class}, the first output has {} elements",
                            values.len()
                        );
                    }
                    right +=
                        usize::from(top(&values, 1, None).first().map(|t| t.index) == Some(*class));
                }
                Ok(100.0 * right as f64 / self.truths.len() as f64)
            }
            Kind::Text => {
                let (mut wrong, mut all) = (0, 0);
                for (answer, truth) in answers() {
                    let Truth::Text(text) = truth else { continue };
                    let classes = answer.shape.last().copied().unwrap_or(0);
                    let read = ctc(&answer.to_f32(), classes, &self.vocabulary)?;
                    wrong += strsim::levenshtein(read.text.trim(), text);
                    all += text.chars().count();
                }
                Ok(100.0 - 100.0 * wrong as f64 / all.max(1) as f64)
            }
            Kind::Auc => {
                let mut scores = Vec::new();
                for ((answer, truth), &i) in answers().zip(&self.last) {
                    let Truth::Class(class) = truth else { continue };
                    scores.push((suspicion(answer, &self.samples[i])?, *class == 1));
                }
                area_under_curve(&scores)
            }
            Kind::Boxes => {
                let detector = self.detector.as_ref().context("boxes need a detector")?;
                let mut found = Vec::new();
                for ((answer, truth), &i) in answers().zip(&self.last) {
                    let Truth::Boxes(boxes, size) = truth else {
                        continue;
                    };
                    let shape = &self.samples[i].inputs[0].shape;
                    found.push((detector.find(answer, shape, *size)?, boxes.as_slice()));
                }
                Ok(100.0 * mean_average_precision(&found))
            }
        }
    }
}

impl Metric for Labelled {
    fn name(&self) -> String {
        self.kind.words().to_owned()
    }

    fn cases(&self) -> usize {
        match self.kind {
            Kind::Text => {
                let texts = self.truths.iter().map(|t| match t {
                    Truth::Text(text) => text.chars().count(),
                    _ => 0,
                });
                texts.sum()
            }
            _ => self.truths.len(),
        }
    }

    fn score(&mut self, compiled: &Compiled) -> Result<f64, MetricError> {
        self.judge(compiled).map_err(|e| format!("{e:#}").into())
    }
}

/// How much an answer speaks for the second class: the last of one or two scores; of an output of the input's size the
/// mean squared error of the reconstruction (which is how autoencoders find anomalies).
fn suspicion(answer: &Array, sample: &Sample) -> Result<f64> {
    let values = answer.to_f64();
    if let ([_] | [_, _], Some(last)) = (&values[..], values.last()) {
        return Ok(*last);
    }
    let input = sample.inputs.first().map(Array::to_f64);
    match input.filter(|i| i.len() == values.len()) {
        Some(input) => {
            let squares = input.iter().zip(&values).map(|(a, b)| (a - b) * (a - b));
            Ok(squares.sum::<f64>() / values.len() as f64)
        }
        None => Err(anyhow!(
            "the first output has {} elements: the area under the ROC curve is of one score, of two, or of a reconstruction of the input",
            values.len()
        )),
    }
}

/// The area under the ROC curve of scores and whether each is of a positive case, in percent.
fn area_under_curve(scores: &[(f64, bool)]) -> Result<f64> {
    if scores.iter().any(|(s, _)| s.is_nan()) {
        bail!("the output is not a number");
    }
    let of = |positive: bool| -> Vec<f64> {
        let cases = scores.iter().filter(|(_, p)| *p == positive);
        cases.map(|(s, _)| *s).collect()
    };
    let area = cygnet_training::anomaly::auc(&of(false), &of(true));
    Ok(100.0 * area.context("the area under the ROC curve needs cases of both classes")?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn areas_under_curves() {
        let of = |s: &[(f64, bool)]| area_under_curve(s).unwrap();
        assert_eq!(
            of(&[(0.1, false), (0.2, false), (0.8, true), (0.9, true)]),
            100.0
        );
        assert_eq!(of(&[(0.9, false), (0.1, true)]), 0.0);
        assert_eq!(of(&[(0.5, false), (0.5, true)]), 50.0);
        // One of four pairs is in the wrong order.
        assert_eq!(
            of(&[(0.1, false), (0.3, true), (0.4, false), (0.9, true)]),
            75.0
        );
        assert!(area_under_curve(&[(0.5, true)]).is_err());
        assert!(area_under_curve(&[(f64::NAN, true), (0.1, false)]).is_err());
    }

    #[test]
    fn reconstructions_are_judged_by_their_error() {
        let sample = |v: &[f32]| Sample {
            name: String::new(),
            inputs: vec![Array::from_f32(&[1, v.len()], v)],
            continues: false,
        };
        let answer = Array::from_f32(&[1, 3], &[1.0, 2.0, 5.0]);
        assert_eq!(suspicion(&answer, &sample(&[1.0, 2.0, 2.0])).unwrap(), 3.0);
        assert!(suspicion(&answer, &sample(&[1.0])).is_err());
        let two = Array::from_f32(&[1, 2], &[0.25, 0.75]);
        assert_eq!(suspicion(&two, &sample(&[1.0])).unwrap(), 0.75);
    }
}
