//! Searches over small graphs with known faults.

use super::*;
use crate::bundle::Array;
use crate::quantize::tests::Net;
use crate::quantize::{Precision, QuantizeError, Sample};
use crate::{CompileOptions, Compiled};
use cygnet_format::op::{Reduce, ReduceKind};

/// How much larger the first channel of the inputs is than the others.
const OUTLIER: f32 = 1000.0;

/// A network whose first layer reads a channel a thousand times as large as the others, with weights as much smaller: 8
/// bits of one range hold nothing of the other channels.
fn hostile(samples: usize) -> (Net, Vec<Sample>) {
    let mut net = Net::new(11);
    let x = net.input(&[1, 8, 8, 4]);
    let first = net.conv("hostile", x, 3, 16, 1);
    // [1, 36, 16]: the inner axis is the output's, the middle one holds taps and channels.
    let weights = net.g.blocks[0].nodes[0].inputs[0].unwrap();
    let mut values = net.g.constant_f32(weights).unwrap();
    for (i, w) in values.iter_mut().enumerate() {
        if (i / 16).is_multiple_of(4) {
            *w /= OUTLIER;
        }
    }
    let smaller = net.g.add_f32("smaller", &[1, 36, 16], &values);
    net.g.blocks[0].nodes[0].inputs[0] = Some(smaller);
    let first = net.relu(first);
    let second = net.conv("second", first, 3, 16, 1);
    let second = net.relu(second);
    let third = net.conv("third", second, 3, 16, 1);
    let third = net.relu(third);
    let op = Reduce {
        kind: ReduceKind::Mean,
        axes: [1, 2].into_iter().collect(),
    };
    let mean = net.push("mean", op, &[third], &[1, 16]);
    let y = net.matmul("classes", mean, 10, true);
    net.output(y);
    let mut samples = net.samples(samples);
    for sample in &mut samples {
        let mut values = sample.inputs[0].to_f32();
        values.iter_mut().step_by(4).for_each(|v| *v *= OUTLIER);
        sample.inputs[0] = Array::from_f32(&[1, 8, 8, 4], &values);
    }
    (net, samples)
}

/// Nearness in percent, which tells small losses apart where classes do not.
struct Nearness<'a> {
    samples: &'a [Sample],
    expected: Vec<Vec<Array>>,
}

impl Metric for Nearness<'_> {
    fn name(&self) -> String {
        "nearness".into()
    }

    fn cases(&self) -> usize {
        self.samples.len()
    }

    fn score(&mut self, compiled: &Compiled) -> Result<f64, MetricError> {
        let (mut signal, mut noise) = (0.0, 0.0);
        for (e, a) in self.expected.iter().zip(run_on(compiled, self.samples)?) {
            for (e, a) in e[0].to_f64().iter().zip(a[0].to_f64()) {
                signal += e * e;
                noise += (e - a) * (e - a);
            }
        }
        Ok(100.0 * (1.0 - (noise / signal).sqrt()))
    }
}

fn search(options: &AutoOptions) -> Result<(Auto, Vec<String>), QuantizeError> {
    let (net, samples) = hostile(24);
    let choices = CompileOptions::default();
    let float = crate::compile_graph(net.g.clone(), &choices).unwrap();
    let mut metric = Nearness {
        expected: run_on(&float, &samples).unwrap(),
        samples: &samples,
    };
    let mut told = Vec::new();
    let found = auto(
        net.g,
        &choices,
        options,
        &samples,
        Some(&mut metric),
        &mut |p| {
            told.push(p.text.clone());
        },
    )?;
    Ok((found, told))
}

fn options(max_drop: f64) -> AutoOptions {
    AutoOptions {
        budgets: Budgets {
            max_drop,
            ..Budgets::default()
        },
        ..AutoOptions::default()
    }
}

#[test]
fn the_layer_that_cannot_bear_it_stays_float() {
    let (auto, told) = search(&options(4.0)).unwrap();
    let names: Vec<_> = auto.points.iter().map(|p| (&p.name, p.drop)).collect();
    assert!(auto.met, "{names:?}");
    let chosen = auto.chosen();
    assert!(chosen.drop <= 4.0 && chosen.missed.is_empty());
    let (float, whole) = (&auto.points[0], &auto.points[1]);
    assert_eq!(
        (float.name.as_str(), whole.name.as_str()),
        ("float", "int8")
    );
    assert!(whole.drop > 10.0, "{names:?}");
    assert_eq!(chosen.layers["int8"], 3, "{names:?}");
    assert!(chosen.flash_bytes < float.flash_bytes && chosen.ram_bytes < float.ram_bytes);

    let of_bytes = |s: &&Sensitivity| s.kept && s.precision == "int8";
    let kept: Vec<&Sensitivity> = auto.sensitivities.iter().filter(of_bytes).collect();
    assert_eq!(kept.len(), 1);
    assert_eq!(kept[0].node, "hostile");
    let others = auto
        .sensitivities
        .iter()
        .filter(|s| !s.kept && s.precision == "int8");
    assert!(
        others.clone().count() == 3 && others.clone().all(|s| s.snr_db > kept[0].snr_db + 10.0)
    );
    assert!(told.iter().any(|t| t.contains("each layer")), "{told:?}");

    let record = &auto.quantised.record;
    assert_eq!(record.precision, Precision::Mixed);
    let of = |node: &str| record.float_layers.iter().find(|l| l.node == node);
    let stored = record.layers.iter().find(|l| l.node == "hostile");
    assert!(of("hostile").is_some_and(|l| l.reason.contains("accuracy")) || stored.is_some());
    assert!(of("second").is_none());
    // What the record says is what the program does.
    let bytes = auto.quantised.compiled.program.bytes.len() as u64;
    assert_eq!(bytes, chosen.flash_bytes);
    let frontier = auto.frontier();
    assert!(frontier.iter().any(|p| p.chosen));
    assert!(frontier.windows(2).all(|p| p[0].score <= p[1].score));
}

#[test]
fn a_loose_budget_is_kept_by_integers_everywhere() {
    let (auto, _) = search(&options(99.0)).unwrap();
    assert_eq!(auto.chosen().name, "int8");
    assert!(auto.sensitivities.is_empty());
}

#[test]
fn what_is_preferred_decides() {
    let mut of = options(99.0);
    of.prefer = Prefer::Size;
    let (auto, _) = search(&of).unwrap();
    let smallest = auto.points.iter().map(|p| p.flash_bytes).min().unwrap();
    assert_eq!(auto.chosen().flash_bytes, smallest);
    of.prefer = Prefer::Speed;
    let (auto, _) = search(&of).unwrap();
    let fastest = auto.points.iter().map(|p| p.latency_ms);
    assert_eq!(
        auto.chosen().latency_ms,
        fastest.fold(f64::INFINITY, f64::min)
    );
}

#[test]
fn budgets_that_cannot_be_kept_give_the_nearest_point() {
    let mut of = options(0.0001);
    let float = search(&options(99.0)).unwrap().0.points[0].clone();
    of.budgets.max_ram = Some(float.ram_bytes - 1);
    let (auto, _) = search(&of).unwrap();
    assert!(!auto.met);
    assert!(auto.points.iter().all(|p| !p.missed.is_empty()));
    let chosen = auto.chosen();
    assert!(auto.points.iter().filter(|p| p.chosen).count() == 1);
    // A byte of the arena is nearer than percents of accuracy.
    assert_eq!(chosen.missed, [Budget::Ram], "{chosen:?}");
}

#[test]
fn budgets_that_make_no_sense_are_refused() {
    let no = |change: &dyn Fn(&mut Budgets), word: &str| {
        let mut of = options(1.0);
        change(&mut of.budgets);
        let said = search(&of).map(|_| ()).unwrap_err().to_string();
        assert!(said.contains(word), "{said}");
    };
    no(&|b| b.max_drop = -1.0, "-1");
    no(&|b| b.max_drop = f64::NAN, "NaN");
    no(&|b| b.max_latency_ms = Some(0.0), "0 ms");
    no(&|b| b.max_flash = Some(0), "0 bytes");
}

#[test]
fn agreement_needs_no_labels() {
    let (net, samples) = hostile(24);
    let choices = CompileOptions::default();
    let mut of = options(0.0);
    of.prefer = Prefer::Size;
    let auto = auto(net.g, &choices, &of, &samples, None, &mut |_| {}).unwrap();
    assert!(
        auto.met && auto.metric.contains("best class"),
        "{}",
        auto.metric
    );
    assert_eq!((auto.cases, auto.float_score), (6, 100.0));
    assert_eq!(auto.chosen().score, 100.0);
    // Six cases tell no drop of nothing.
    let warnings = &auto.quantised.warnings;
    assert!(
        warnings.iter().any(|w| w.contains("6 cases")),
        "{warnings:?}"
    );
}
