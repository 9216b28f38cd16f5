//! The whole way from a float graph to a program with compressed weights.

use super::alone::alone;
use super::{Format, Layer};
use crate::bundle::golden_inputs;
use crate::ir::Graph;
use crate::quantize::agreement::{agreement, outputs, speed};
use crate::quantize::compile::{check, is_kept};
use crate::quantize::record::finite_db;
use crate::quantize::{
    CalibrationRecord, FloatLayer, LayerRecord, Precision, Quantised, QuantizeError, Record, Sample,
};
use crate::{CompileError, CompileOptions, Compiled, compile_graph, emit, passes};

/// Seeded inputs on which agreement is measured where there are no samples.
const SEEDED: usize = 4;

impl Format {
    /// What the manifest calls it.
    pub fn precision(&self) -> Precision {
        match self {
            Format::Half => Precision::Fp16,
            Format::Integers { bits: 8, .. } => Precision::Int8Weights,
            Format::Integers { .. } => Precision::Int4,
            Format::Table { .. } => Precision::Palette,
            Format::Dynamic => Precision::Dynamic,
        }
    }
}

/// Compiles an imported float graph, with weights in this format. Agreement with the float program is measured on
/// `samples`, or on seeded inputs where there are none.
///
/// # Errors
/// See [`QuantizeError`].
pub fn compress(
    graph: Graph,
    choices: &CompileOptions,
    format: Format,
    samples: &[Sample],
) -> Result<Quantised, QuantizeError> {
    if passes::is_quantised(&graph) {
        return Err(QuantizeError::AlreadyQuantised);
    }
    let seeded;
    let samples = if samples.is_empty() {
        seeded = (0..SEEDED)
            .map(|i| {
                let inputs = golden_inputs(&graph, i).map_err(QuantizeError::TooLarge)?;
                Ok(Sample {
                    name: format!("seed {i}"),
                    inputs,
                    continues: i > 0 && !graph.states.is_empty(),
                })
            })
            .collect::<Result<Vec<_>, QuantizeError>>()?;
        &seeded[..]
    } else {
        check(&graph, samples)?;
        samples
    };
    let float = compile_graph(graph, choices)?;
    let mut small = float.graph.clone();
    let layers = super::compress_graph(&mut small, &|node| {
        (!is_kept(node, &choices.keep_float)).then_some(format)
    });
    if layers.iter().all(|l| l.outcome.is_err()) {
        return Err(QuantizeError::NothingToCompress);
    }
    crate::ir::verify(&small).map_err(CompileError::Malformed)?;
    let program = emit::program(&small, &choices.emit)?;
    let compiled = Compiled {
        graph: small,
        program,
        report: float.report.clone(),
    };
    let expected = outputs(&float.program.bytes, samples)?;
    let actual = outputs(&compiled.program.bytes, samples)?;
    let names: Vec<String> = compiled
        .graph
        .outputs
        .iter()
        .map(|p| p.name.clone())
        .collect();
    let results = alone(&float.graph, &compiled.graph, samples)?;
    let of_layer = |layer: &Layer| {
        let record = layer_record(layer)?;
        Some(LayerRecord {
            output_snr_db: results.get(&record.node).copied(),
            ..record
        })
    };
    let record = Record {
        precision: format.precision(),
        calibration: CalibrationRecord {
            samples: samples.len(),
            ..CalibrationRecord::default()
        },
        agreement: agreement(&names, &expected, &actual),
        float_layers: layers.iter().filter_map(float_layer).collect(),
        layers: layers.iter().filter_map(of_layer).collect(),
        ..Record::default()
    };
    let speed = speed(&float.program.bytes, &compiled.program.bytes, &samples[0])?;
    Ok(Quantised {
        compiled,
        float,
        record,
        speed: Some(speed),
        warnings: Vec::new(),
    })
}

/// The record of a layer whose weights stay as they are.
pub(in crate::quantize) fn float_layer(layer: &Layer) -> Option<FloatLayer> {
    let reason = layer.outcome.as_ref().err()?;
    Some(FloatLayer {
        node: layer.node.clone(),
        operator: layer.operator.to_owned(),
        reason: (*reason).to_owned(),
    })
}

/// The record of a layer that was compressed.
pub(in crate::quantize) fn layer_record(layer: &Layer) -> Option<LayerRecord> {
    let (format, snr_db) = layer.outcome.as_ref().ok()?;
    Some(LayerRecord {
        node: layer.node.clone(),
        operator: layer.operator.to_owned(),
        weights: layer.weights,
        weight_snr_db: finite_db(*snr_db),
        stored: Some(format.to_string()),
        bytes: Some(layer.bytes[1]),
        ..LayerRecord::default()
    })
}
