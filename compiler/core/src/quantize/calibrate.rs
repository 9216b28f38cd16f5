//! Runs the float graph over samples and shows what its tensors hold.

use super::compile::QuantizeError;
use super::{Histogram, NotFinite, Sample};
use crate::emit::{self, EmitOptions};
use crate::ir::{Graph, ValueId};
use crate::passes::{Fold, fold_constants};
use crate::verify::{Runner, RunnerOptions};
use cygnet_format::DType;
use std::collections::{BTreeMap, HashMap};

/// Threads of a calibration: results do not depend on their number.
pub(super) fn threads() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

/// What the model or the compiler calls a value.
pub(super) fn name(graph: &Graph, v: ValueId) -> String {
    let value = graph.value(v);
    match &value.origin {
        Some(origin) => origin.name.clone(),
        None => {
            let mut nodes = graph.blocks.iter().flat_map(|b| &b.nodes);
            let maker = nodes.find(|n| n.outputs.contains(&Some(v)));
            match maker.filter(|n| !n.source.is_empty()) {
                Some(node) => format!("result of {}", node.source),
                None => value.name.clone(),
            }
        }
    }
}

/// Gets a sample's index, a value and its elements.
pub(super) type Show<'a> = dyn FnMut(usize, ValueId, &[f32]) -> Result<(), QuantizeError> + 'a;

/// Gets a sample's index, a value, its shape and its elements.
pub(super) type ShowShape<'a> =
    dyn FnMut(usize, ValueId, &[usize], &[f32]) -> Result<(), QuantizeError> + 'a;

/// Runs the graph as it is, without passes, on every sample and shows the wanted f32 values: sample, value, elements.
pub(super) fn observe(
    graph: &Graph,
    wanted: &[ValueId],
    samples: &[Sample],
    show: &mut Show<'_>,
) -> Result<(), QuantizeError> {
    observe_shapes(graph, wanted, samples, &mut |i, v, _, values| {
        show(i, v, values)
    })
}

/// The same with shapes.
pub(super) fn observe_shapes(
    graph: &Graph,
    wanted: &[ValueId],
    samples: &[Sample],
    show: &mut ShowShape<'_>,
) -> Result<(), QuantizeError> {
    let mut packed = graph.clone();
    fold_constants(&mut packed, Fold::All);
    let emitted = emit::program(&packed, &EmitOptions::default())?;
    let of_tensor: HashMap<u32, ValueId> = emitted
        .values
        .iter()
        .enumerate()
        .filter(|(_, v)| wanted.contains(v))
        .map(|(i, &v)| (i as u32, v))
        .collect();
    let mut runner = Runner::from_bytes(
        &emitted.bytes,
        &RunnerOptions {
            threads: threads(),
            ..Default::default()
        },
    )?;
    for (i, sample) in samples.iter().enumerate() {
        let failed = |cause| QuantizeError::Run {
            sample: sample.name.clone(),
            cause,
        };
        let arrays: Vec<_> = sample.inputs.iter().collect();
        runner.set_inputs(&arrays).map_err(failed)?;
        if !sample.continues {
            runner.reset();
        }
        for (port, array) in graph.inputs.iter().zip(&sample.inputs) {
            if array.dtype == DType::F32 && wanted.contains(&port.value) {
                show(i, port.value, &array.shape, &array.to_f32())?;
            }
        }
        let mut outcome = Ok(());
        let run = runner.run_observed(&mut |seen| {
            for (tensor, view) in seen.outputs {
                let Some(&v) = of_tensor.get(tensor) else {
                    continue;
                };
                if let Ok(values) = view.as_slice::<f32>()
                    && outcome.is_ok()
                {
                    outcome = show(i, v, &view.shape, values);
                }
            }
        });
        outcome?;
        run.map_err(failed)?;
    }
    Ok(())
}

/// A histogram for each wanted value.
pub(super) fn histograms(
    graph: &Graph,
    wanted: &[ValueId],
    samples: &[Sample],
) -> Result<BTreeMap<ValueId, Histogram>, QuantizeError> {
    let mut seen: BTreeMap<ValueId, Histogram> =
        wanted.iter().map(|&v| (v, Histogram::default())).collect();
    observe(graph, wanted, samples, &mut |sample, v, values| {
        let histogram = seen.get_mut(&v).expect("wanted");
        histogram
            .add(values)
            .map_err(|NotFinite(at)| QuantizeError::NotFinite {
                tensor: name(graph, v),
                sample: samples[sample].name.clone(),
                value: values[at],
                at,
            })
    })?;
    Ok(seen)
}
