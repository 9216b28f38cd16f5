//! Why a quantisation loses what it loses, in words, from its record alone.

use super::{Agreement, Channels, LayerRecord, Record, TensorRecord};
use serde::{Deserialize, Serialize};

/// A layer whose result is further above its error than this, in decibels, is fine: one part in twenty.
pub const FINE_DB: f64 = 26.0;
/// A tensor as good as this is not to blame for a layer that is not fine.
const CLEAN_DB: f64 = 32.0;
/// Part of the values that may lie outside a range.
const MOST_SATURATED: f64 = 0.001;
/// What lies inside the bulk of a tensor.
const BULK: f64 = 0.999;
/// The bulk of a tensor fills less than this part of its range when outliers set it.
const NARROW: f64 = 0.25;
/// Samples kept back may span this many times what calibration saw.
const BEYOND: f64 = 1.5;
/// A channel that reaches this many times as far as the median one is an outlier.
const WIDE: f64 = 8.0;
/// Fewer steps than this are too few for a channel: uniform values are 32 dB above the error of 40.
const FEW_STEPS: f64 = 40.0;
/// How far the greatest weight of a channel may be above the median one: bell-shaped weights reach 4 to 7 times.
const LONG_TAIL: f64 = 24.0;
/// Part of a tensor's noise below which a cause is none.
const LEAST_PART: f64 = 0.1;
/// How far below the median a layer with compressed weights stands out, in decibels.
const FAR_DB: f64 = 6.0;
/// Outputs with the same best class in so many rows are fine, whatever their error.
const MOST_SAME: f64 = 0.98;
/// Layers that are named where errors add up.
const NAMED: usize = 3;
/// Most that a step of a softmax's input may change an exponential.
const COARSE_EXP: f64 = 0.25;
/// Fewer samples than this say little about ranges.
pub(super) const FEW_SAMPLES: usize = 16;

/// A cause of error.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Cause {
    /// Few values set a range in which most have few steps.
    OutlierRange,
    /// Values lie outside the range.
    SaturatedRange,
    /// The weights of a channel differ so much that the small ones vanish.
    OutlierWeights,
    /// Input and weights are near enough; what is left is small against them because terms cancel.
    Cancellation,
    /// The range is filled and yet its steps are too coarse.
    CoarseSteps,
    /// Ranges come from few samples.
    FewSamples,
    /// Samples that were kept back go far beyond what calibration saw.
    OffDistribution,
    /// A channel of the input reaches much further than the others, for which few steps are left.
    OutlierChannel,
    /// The steps of a softmax's input or result are too coarse for exponentials.
    SoftmaxResolution,
    /// Sums may become larger than the accumulator holds.
    AccumulatorOverflow,
    /// The weights have too few bits.
    CoarseWeights,
    /// No layer loses much, all together do.
    Accumulation,
}

impl std::fmt::Display for Cause {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Cause::OutlierRange => "outliers set the range",
            Cause::SaturatedRange => "saturated range",
            Cause::OutlierWeights => "outliers among the weights",
            Cause::Cancellation => "sums cancel",
            Cause::CoarseSteps => "coarse steps",
            Cause::FewSamples => "calibration too small",
            Cause::OffDistribution => "calibration off-distribution",
            Cause::OutlierChannel => "outlier channel",
            Cause::SoftmaxResolution => "softmax resolution",
            Cause::AccumulatorOverflow => "accumulator overflow",
            Cause::CoarseWeights => "few bits for the weights",
            Cause::Accumulation => "errors add up",
        })
    }
}

/// What is wrong, why, and what helps.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Finding {
    /// The cause.
    pub cause: Cause,
    /// The model's node or tensor; empty for the whole model.
    pub subject: String,
    /// Decibels of the layer's result above its error; absent for the whole model.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub snr_db: Option<f64>,
    /// The evidence, in words and figures.
    pub evidence: String,
    /// What was done about it or may be done.
    pub advice: String,
}

/// The findings of a record, the worst layer first, and of each layer the cause with the greatest noise first. A
/// quantisation without fault has none.
pub fn diagnose(record: &Record) -> Vec<Finding> {
    let layers = worst_first(record);
    let limit = limit(&layers);
    let of = |(layer, db): &(&LayerRecord, f64)| of_layer(record, layer, *db, limit);
    let mut findings: Vec<Finding> = layers.iter().flat_map(of).collect();
    if findings.is_empty() {
        findings.extend(accumulation(record, &layers, limit));
    }
    findings.extend(record.tensors.iter().filter_map(softmax));
    let calibrated = !record.tensors.is_empty();
    let samples = record.calibration.samples + record.calibration.held_back;
    if calibrated && samples < FEW_SAMPLES {
        findings.push(Finding {
            cause: Cause::FewSamples,
            subject: String::new(),
            snr_db: None,
            evidence: format!("{samples} samples gave the ranges of activations"),
            advice: format!(
                "calibrate with at least {FEW_SAMPLES} samples, better 100, that look like what the model will see"
            ),
        });
    }
    findings.extend(off_distribution(record));
    findings
}

/// The tensor that samples kept back leave furthest, if any does.
fn off_distribution(record: &Record) -> Option<Finding> {
    let beyond = |t: &TensorRecord| {
        let ([low, high], [a, b]) = (t.seen, t.kept_back?);
        let whole = f64::from(high.max(b)) - f64::from(low.min(a));
        Some(whole / f64::from(high - low).max(f64::MIN_POSITIVE))
    };
    let tensors = record.tensors.iter();
    let all: Vec<(f64, &TensorRecord)> = tensors
        .filter_map(|t| Some((beyond(t)?, t)))
        .filter(|(by, _)| *by > BEYOND)
        .collect();
    let (by, t) = *all.iter().max_by(|a, b| a.0.total_cmp(&b.0))?;
    let [a, b] = t.kept_back?;
    Some(Finding {
        cause: Cause::OffDistribution,
        subject: t.tensor.clone(),
        snr_db: None,
        evidence: format!(
            "samples kept back reach from {a:.3} to {b:.3}, those that gave its range from {:.3} to {:.3}: they span {by:.1} times as much ({} tensors do so)",
            t.seen[0],
            t.seen[1],
            all.len()
        ),
        advice: "calibrate with samples of every kind that the model will see, in mixed order"
            .to_owned(),
    })
}

/// A cause of a layer's error with its noise, in parts of the signal.
struct Blame {
    cause: Cause,
    noise: f64,
    evidence: String,
    advice: String,
}

/// Layers with the decibels of their results, the worst first; infinite where they were not measured.
fn worst_first(record: &Record) -> Vec<(&LayerRecord, f64)> {
    let db = |l: &LayerRecord| record.result_db(l).unwrap_or(f64::INFINITY);
    let mut layers: Vec<_> = record.layers.iter().map(|l| (l, db(l))).collect();
    layers.sort_by(|a, b| a.1.total_cmp(&b.1));
    layers
}

/// Decibels below which a layer stands out. Weights of few bits cost every layer something: among them it is one that
/// loses far more than the median.
fn limit(layers: &[(&LayerRecord, f64)]) -> f64 {
    let measured: Vec<_> = layers.iter().filter(|(_, db)| db.is_finite()).collect();
    let stored = measured.iter().all(|(l, _)| l.stored.is_some());
    match measured.get(measured.len() / 2) {
        Some((_, median)) if stored => FINE_DB.min(median - FAR_DB),
        _ => FINE_DB,
    }
}

/// Outputs that are lost although no layer is: errors of many layers add up.
fn accumulation(record: &Record, layers: &[(&LayerRecord, f64)], limit: f64) -> Option<Finding> {
    let differs = |a: &&Agreement| a.snr_db < FINE_DB && a.top1.is_none_or(|t| t < MOST_SAME);
    let output = record.agreement.iter().find(differs)?;
    let measured = layers.iter().filter(|(_, db)| db.is_finite());
    let largest: Vec<String> = measured
        .clone()
        .take(NAMED)
        .map(|(l, db)| format!("{} ({db:.1} dB)", l.node))
        .collect();
    (!largest.is_empty()).then(|| Finding {
        cause: Cause::Accumulation,
        subject: String::new(),
        snr_db: None,
        evidence: format!(
            "output `{}` is {:.1} dB above its error although each of {} layers alone is more than {limit:.0} dB: their errors add up; the largest are those of {}",
            output.output,
            output.snr_db,
            measured.count(),
            largest.join(", ")
        ),
        advice: if layers.iter().all(|(l, _)| l.stored.is_some()) {
            "more bits or smaller groups (--weight-group 16) lose less everywhere; --quantize auto gives more bits to the layers that cost most"
        } else {
            "--quantize auto keeps the layers float that cost most; --quantize dynamic gives each row of a product a range of its own"
        }
        .to_owned(),
    })
}

/// What is wrong with a layer, whose result is so many decibels above its error, the greatest noise first.
fn of_layer(record: &Record, layer: &LayerRecord, db: f64, limit: f64) -> Vec<Finding> {
    let input = record.tensor(&layer.input);
    let result = record.tensor(&layer.output);
    let mut found: Vec<Blame> = overflow(layer).into_iter().collect();
    if db < limit {
        let some = found.len();
        if let Some(t) = input {
            found.extend(of_tensor(record, t, "input", layer.input_channels.as_ref()));
        }
        if let Some(t) = result {
            found.extend(of_tensor(record, t, "result", None));
        }
        found.extend(of_weights(layer));
        if found.len() == some {
            found.push(Blame {
                cause: Cause::Cancellation,
                noise: 0.0,
                evidence: format!(
                    "its input ({}) and its weights ({:.1} dB) are near enough: its sums cancel, so that small errors of large terms remain",
                    input.map_or_else(|| "float".to_owned(), |t| format!("{:.1} dB", t.snr_db)),
                    layer.weight_snr_db
                ),
                advice: "--quantize auto keeps the layer float where the outputs need it".to_owned(),
            });
        }
    }
    found.sort_by(|a, b| b.noise.total_cmp(&a.noise));
    let finding = |b: Blame| Finding {
        cause: b.cause,
        subject: layer.node.clone(),
        snr_db: db.is_finite().then_some(db),
        evidence: b.evidence,
        advice: b.advice,
    };
    found.into_iter().map(finding).collect()
}

/// Sums that may pass the accumulator: no other error is as large.
fn overflow(layer: &LayerRecord) -> Option<Blame> {
    let share = layer.sum_share.filter(|s| *s > 1.0)?;
    Some(Blame {
        cause: Cause::AccumulatorOverflow,
        noise: f64::INFINITY,
        evidence: format!(
            "its weights and bias allow sums of {share:.3} times what the 32-bit accumulator holds"
        ),
        advice: "--quantize int8-weights sums in floats; a smaller bias, or two layers of half the depth, keep the integers"
            .to_owned(),
    })
}

fn of_weights(layer: &LayerRecord) -> Option<Blame> {
    if let Some(stored) = &layer.stored {
        return (layer.weight_snr_db < CLEAN_DB).then(|| Blame {
            cause: Cause::CoarseWeights,
            noise: power(-layer.weight_snr_db),
            evidence: format!(
                "its weights, stored as {stored}, are {:.1} dB above their error",
                layer.weight_snr_db
            ),
            advice: "smaller groups (--weight-group 16), --asymmetric or --quantize int8-weights lose less; --quantize auto gives more bits to the layers that need them".to_owned(),
        });
    }
    let noise = power(-layer.weight_snr_db);
    // The rounding errors of the median weight, whose channel's greatest has 127 steps.
    let tail = layer.weight_tail.unwrap_or(0.0);
    let median = (tail / 127.0).powi(2) / 12.0;
    (layer.weight_snr_db < CLEAN_DB || tail > LONG_TAIL).then(|| Blame {
        cause: Cause::OutlierWeights,
        noise: noise.max(median),
        evidence: if tail > LONG_TAIL {
            format!(
                "the greatest weight of a channel is {tail:.0} times the median one, which {:.1} of 127 steps are left for",
                127.0 / tail
            )
        } else {
            format!(
                "its weights are {:.1} dB above their error: some are far larger than the others of their channel",
                layer.weight_snr_db
            )
        },
        advice: "--quantize auto keeps the layer at a higher precision; training with weight decay or quantisation-aware training shrinks the outliers".to_owned(),
    })
}

/// The part of a power that so many decibels are.
fn power(db: f64) -> f64 {
    10f64.powf(db / 10.0)
}

/// What is wrong with the input or the result of a layer, and how far its channels reach where that is known.
fn of_tensor(
    record: &Record,
    t: &TensorRecord,
    role: &str,
    channels: Option<&Channels>,
) -> Vec<Blame> {
    let mut found = Vec::new();
    let applied = |name: &str| {
        let of = |x: &&super::Technique| x.applied && x.name.contains(name);
        record.techniques.iter().any(|x| of(&x))
    };
    let all = power(-t.felt_db());
    let cut = all * t.cut;
    let steps = all - cut;
    if t.saturated > MOST_SATURATED && cut > power(-CLEAN_DB) && t.cut > LEAST_PART {
        found.push(Blame {
            cause: Cause::SaturatedRange,
            noise: cut,
            evidence: format!(
                "{:.2} % of the values of its {role} `{}` lie outside the range that {} chose",
                t.saturated * 100.0,
                t.tensor,
                t.method
            ),
            advice: if applied("min-max") {
                "ranges by min-max were used and are no better".to_owned()
            } else {
                "--calibration-method min-max keeps every value that calibration saw".to_owned()
            },
        });
    }
    let equalised = |otherwise: &str| {
        if applied("equalisation") {
            "equalisation has moved what it could into the weights; --quantize auto keeps the layer float".to_owned()
        } else {
            otherwise.to_owned()
        }
    };
    if let Some(c) = channels {
        let left = 2.0 * f64::from(c.median) / f64::from(t.scale);
        if c.spread() > WIDE && left < FEW_STEPS {
            found.push(Blame {
                cause: Cause::OutlierChannel,
                noise: left.powi(-2).max(steps),
                evidence: format!(
                    "channel {} of its {role} `{}` reaches {:.3}, the median one of {} channels {:.3}: {:.0} of 256 steps for it",
                    c.at,
                    t.tensor,
                    c.largest,
                    c.count,
                    c.median,
                    left.max(1.0)
                ),
                advice: equalised(
                    "scaling the channel down before the layer and its weights up lets all use the range, as batch norm or equalisation does; --quantize auto keeps the layer float",
                ),
            });
        }
    }
    let [low, high] = t.seen;
    let (from, to) = bulk(t);
    let part = f64::from(to - from) / f64::from(high - low).max(f64::MIN_POSITIVE);
    // A channel that sets the range says it better.
    let told = found.iter().any(|b| b.cause == Cause::OutlierChannel);
    if !told && steps > power(-CLEAN_DB) && part < NARROW {
        found.push(Blame {
            cause: Cause::OutlierRange,
            noise: steps,
            evidence: format!(
                "its {role} `{}` reaches from {low:.3} to {high:.3}, and {:.1} % of its values lie between {from:.3} and {to:.3}: {:.0} of 256 steps for them",
                t.tensor,
                BULK * 100.0,
                (part * 256.0).max(1.0)
            ),
            advice: equalised(
                "--calibration-method percentile-99.9 cuts the outliers if they carry nothing; --quantize auto keeps the layer float if they do, --quantize dynamic gives each row of a product a range of its own",
            ),
        });
    }
    if found.is_empty() && t.felt_db() < CLEAN_DB {
        found.push(Blame {
            cause: Cause::CoarseSteps,
            noise: all,
            evidence: format!(
                "its {role} `{}` is {:.1} dB above its error: steps of {:.4} from {low:.3} to {high:.3}",
                t.tensor,
                t.felt_db(),
                t.scale
            ),
            advice: "--quantize auto keeps the layer float where the outputs need it".to_owned(),
        });
    }
    found
}

/// A softmax that integers are too coarse for.
fn softmax(t: &TensorRecord) -> Option<Finding> {
    let s = t.softmax.as_ref()?;
    let step = f64::from(t.scale);
    let growth = step.exp_m1();
    let (evidence, advice) = if s.reads && growth > COARSE_EXP {
        (
            format!(
                "one step of its input `{}` is {step:.3}, which changes an exponential by {:.0} %",
                t.tensor,
                growth * 100.0
            ),
            "--quantize auto keeps the layer before it float; a narrower range (--calibration-method percentile-99.9) has finer steps",
        )
    } else if !s.reads && s.classes as f64 * step > 2.0 {
        (
            format!(
                "its result `{}` has steps of {step:.5}; of {} elements that add up to one, the mean is {:.5} and becomes zero",
                t.tensor,
                s.classes,
                1.0 / s.classes as f64
            ),
            "--quantize auto keeps the layer that reads it float",
        )
    } else {
        return None;
    };
    Some(Finding {
        cause: Cause::SoftmaxResolution,
        subject: s.node.clone(),
        snr_db: None,
        evidence,
        advice: advice.to_owned(),
    })
}

/// Where the bulk of a tensor's values lies, by its histogram, cut from the emptier end.
fn bulk(t: &TensorRecord) -> (f32, f32) {
    let all: u64 = t.histogram.iter().sum();
    let mut spare = (all as f64 * (1.0 - BULK)) as u64;
    let (mut first, mut last) = (0, t.histogram.len());
    while first + 1 < last {
        let (a, b) = (t.histogram[first], t.histogram[last - 1]);
        let least = a.min(b);
        if least > spare {
            break;
        }
        spare -= least;
        if a <= b {
            first += 1;
        } else {
            last -= 1;
        }
    }
    let [low, high] = t.seen;
    let width = (high - low) / t.histogram.len().max(1) as f32;
    (low + width * first as f32, low + width * last as f32)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::quantize::{CalibrationRecord, Method};

    fn tensor(snr_db: f64, saturated: f64, histogram: &[u64]) -> TensorRecord {
        TensorRecord {
            tensor: "x".into(),
            method: Method::Mse,
            scale: 0.1,
            zero: 0,
            seen: [0.0, 8.0],
            kept_back: Some([0.5, 9.0]),
            saturated,
            snr_db,
            read_snr_db: None,
            cut: if saturated > 0.0 { 1.0 } else { 0.0 },
            softmax: None,
            histogram: histogram.to_vec(),
        }
    }

    fn record(output_db: f64, weight_db: f64, tensor: TensorRecord) -> Record {
        Record {
            calibration: CalibrationRecord {
                samples: 100,
                ..CalibrationRecord::default()
            },
            layers: vec![LayerRecord {
                node: "conv".into(),
                weight_snr_db: weight_db,
                output_snr_db: Some(output_db),
                input: Some("x".into()),
                ..LayerRecord::default()
            }],
            tensors: vec![tensor],
            ..Record::default()
        }
    }

    const EVEN: [u64; 8] = [100; 8];
    /// One value in ten thousand is eight times as large as the others.
    const TAIL: [u64; 8] = [9999, 0, 0, 0, 0, 0, 0, 1];

    #[test]
    fn each_fault_has_its_cause() {
        let cause = |r: Record| {
            diagnose(&r)
                .into_iter()
                .map(|f| f.cause)
                .collect::<Vec<_>>()
        };
        assert_eq!(cause(record(40.0, 45.0, tensor(45.0, 0.0, &EVEN))), []);
        assert_eq!(
            cause(record(10.0, 45.0, tensor(12.0, 0.0, &TAIL))),
            [Cause::OutlierRange]
        );
        assert_eq!(
            cause(record(10.0, 45.0, tensor(12.0, 0.02, &EVEN))),
            [Cause::SaturatedRange]
        );
        assert_eq!(
            cause(record(20.0, 45.0, tensor(22.0, 0.0, &EVEN))),
            [Cause::CoarseSteps]
        );
        assert_eq!(
            cause(record(10.0, 12.0, tensor(45.0, 0.0, &EVEN))),
            [Cause::OutlierWeights]
        );
        assert_eq!(
            cause(record(10.0, 45.0, tensor(45.0, 0.0, &EVEN))),
            [Cause::Cancellation]
        );
        // Both are at fault; the weights more.
        assert_eq!(
            cause(record(10.0, 12.0, tensor(22.0, 0.0, &EVEN))),
            [Cause::OutlierWeights, Cause::CoarseSteps]
        );
        // A part of the noise is cut off, the greater part are steps that outliers widen.
        let mut both = record(10.0, 45.0, tensor(12.0, 0.02, &TAIL));
        both.tensors[0].cut = 0.4;
        assert_eq!(
            cause(both.clone()),
            [Cause::OutlierRange, Cause::SaturatedRange]
        );
        // What is cut off is nothing to the function that reads the tensor.
        both.tensors[0].read_snr_db = Some(45.0);
        assert_eq!(cause(both), [Cause::Cancellation]);
        // The result is rounded as well.
        let mut result = record(40.0, 45.0, tensor(20.0, 0.0, &EVEN));
        result.layers[0].input = None;
        result.layers[0].output = Some("x".into());
        assert_eq!(cause(result), [Cause::CoarseSteps]);
        // Of weights of four bits, one loses far more than the others.
        let mut four = record(18.0, 20.0, tensor(45.0, 0.0, &EVEN));
        four.layers[0].stored = Some("int4".into());
        four.layers[0].input = None;
        four.layers = vec![four.layers[0].clone(); 5];
        assert_eq!(cause(four.clone()), []);
        four.layers[3].output_snr_db = Some(9.0);
        assert_eq!(cause(four), [Cause::CoarseWeights]);
        // No layer is to blame alone.
        let mut sum = record(27.0, 45.0, tensor(45.0, 0.0, &EVEN));
        sum.agreement = vec![Agreement {
            snr_db: 12.0,
            ..Agreement::default()
        }];
        assert_eq!(cause(sum.clone()), [Cause::Accumulation]);
        sum.agreement[0].top1 = Some(1.0);
        assert_eq!(cause(sum), []);
        let mut few = record(40.0, 45.0, tensor(45.0, 0.0, &EVEN));
        few.calibration.samples = 3;
        assert_eq!(cause(few), [Cause::FewSamples]);
        let mut other = record(40.0, 45.0, tensor(45.0, 0.0, &EVEN));
        other.tensors[0].kept_back = Some([-8.0, 4.0]);
        assert_eq!(cause(other), [Cause::OffDistribution]);
    }

    #[test]
    fn evidence_has_figures() {
        let found = diagnose(&record(10.0, 45.0, tensor(12.0, 0.0, &TAIL)));
        let text = &found[0].evidence;
        assert!(text.contains("from 0.000 to 8.000"), "{text}");
        assert!(
            text.contains("between 0.000 and 1.000: 32 of 256"),
            "{text}"
        );
        assert!(found[0].advice.contains("--quantize auto"));
    }

    #[test]
    fn the_bulk_is_cut_from_the_emptier_end() {
        assert_eq!(bulk(&tensor(0.0, 0.0, &TAIL)), (0.0, 1.0));
        assert_eq!(bulk(&tensor(0.0, 0.0, &EVEN)), (0.0, 8.0));
        assert_eq!(
            bulk(&tensor(0.0, 0.0, &[1, 0, 5000, 5000, 0, 0, 0, 0])),
            (2.0, 4.0)
        );
    }
}
