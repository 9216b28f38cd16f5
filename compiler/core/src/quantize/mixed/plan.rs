//! Which arithmetic each layer has, and the program of that.

use crate::ir::{MAIN, ValueId};
use crate::quantize::attempt::Attempt;
use crate::quantize::compile::{Study, is_kept};
use crate::quantize::compress::{Format, compress_graph, float_layer, layer_record};
use crate::quantize::{FloatLayer, LayerRecord, QuantizeError};
use crate::{CompileError, Compiled, emit};
use std::collections::{BTreeMap, BTreeSet};

/// Which arithmetic each layer has.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Plan {
    /// The layers, by their index, that stay float in a program of integers; `None` for a program without.
    pub float: Option<BTreeSet<usize>>,
    /// Whether activations of integers have 16 bits.
    pub wide: bool,
    /// How the weights of nodes that compute with floats are stored, by name.
    pub stored: BTreeMap<String, Option<Format>>,
    /// How those of all others are.
    pub rest: Option<Format>,
}

/// The program of a plan.
pub(super) struct Made {
    pub compiled: Compiled,
    /// The static quantisation in it.
    pub attempt: Option<Attempt>,
    /// Layers whose weights were compressed.
    pub compressed: Vec<LayerRecord>,
    /// Layers whose weights do not compress, and why.
    pub whole: Vec<FloatLayer>,
}

impl Plan {
    /// The float program.
    pub fn float() -> Plan {
        Plan::default()
    }

    /// Weights of all layers in a format.
    pub fn weights(format: Format) -> Plan {
        Plan {
            rest: Some(format),
            ..Plan::default()
        }
    }

    /// Integers but for these layers.
    pub fn integers(float: BTreeSet<usize>) -> Plan {
        Plan {
            float: Some(float),
            ..Plan::default()
        }
    }

    /// Compiles the plan; `all` is the static quantisation of every layer, of the
    /// plan's width.
    pub fn make(&self, study: &Study<'_>, all: Option<&Attempt>) -> Result<Made, QuantizeError> {
        let attempt = match (&self.float, all) {
            (Some(float), Some(all)) if float.len() < all.scheme.layers.len() => {
                Some(all.without(float))
            }
            _ => None,
        };
        let mut compiled = match &attempt {
            Some(attempt) => attempt.compile(study.choices)?,
            None => study.float.clone(),
        };
        let (mut compressed, mut whole) = (Vec::new(), Vec::new());
        if self.rest.is_some() || !self.stored.is_empty() {
            let kept = &study.choices.keep_float;
            let format = |node: &str| match is_kept(node, kept) {
                true => None,
                false => self.stored.get(node).copied().unwrap_or(self.rest),
            };
            let layers = compress_graph(&mut compiled.graph, &format);
            compressed = layers.iter().filter_map(layer_record).collect();
            whole = layers.iter().filter_map(float_layer).collect();
            crate::ir::verify(&compiled.graph).map_err(CompileError::Malformed)?;
            compiled.program = emit::program(&compiled.graph, &study.choices.emit)?;
        }
        Ok(Made {
            compiled,
            attempt,
            compressed,
            whole,
        })
    }
}

/// Products of two elements that each layer of a static quantisation needs, at the upper bounds of free dimensions.
pub(super) fn products(attempt: &Attempt) -> Vec<f64> {
    let graph = &attempt.base;
    let elements = |v: ValueId| {
        let most = |&d| graph.dim_bounds(d).1.max(0) as f64;
        graph.ty(v).shape.iter().map(most).product::<f64>()
    };
    let of = |l: &crate::quantize::scheme::Layer| {
        let weights: usize = l.shape.iter().product();
        elements(l.y) * weights as f64 / l.outputs as f64
    };
    attempt.scheme.layers.iter().map(of).collect()
}

/// The name and the operator of each layer of a static quantisation.
pub(super) fn layer_names(attempt: &Attempt) -> Vec<(String, String)> {
    let nodes = &attempt.base.blocks[MAIN.0 as usize].nodes;
    let layers = attempt.scheme.layers.iter();
    let of = |l: &crate::quantize::scheme::Layer| {
        let node = &nodes[l.node];
        (node.source.clone(), node.op.code().name().to_owned())
    };
    layers.map(of).collect()
}
