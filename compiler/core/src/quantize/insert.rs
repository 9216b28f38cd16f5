//! Puts a scheme into a graph: QuantizeLinear and DequantizeLinear pairs, 8-bit weights.

use super::range::{Parameters, WHOLE};
use super::scheme::{Kind, Layer, Scheme};
use super::weights::{self, Rounded};
use crate::ir::{Graph, MAIN, Node, Type, ValueId};
use cygnet_format::op::{DequantizeLinear, QuantizeLinear, Reshape, Transpose, Unary, UnaryKind};
use cygnet_format::{DType, Op};
use std::collections::BTreeMap;

/// The weights of each layer of a scheme as integers. `parameters` holds those of the scheme's points.
pub(super) fn quantise_weights(
    graph: &Graph,
    scheme: &Scheme,
    parameters: &BTreeMap<ValueId, Parameters>,
) -> Vec<Rounded> {
    let of = |layer: &Layer| {
        let weights = graph.constant_f32(layer.weights).expect("constant");
        let bias = match layer.bias {
            Some(b) => graph.constant_f32(b).expect("constant"),
            None => vec![0.0; layer.outputs],
        };
        let x_scale = parameters[&layer.x].scale;
        weights::quantise(&weights, |i| layer.channel(i), &bias, x_scale)
    };
    scheme.layers.iter().map(of).collect()
}

/// The graph with the scheme in it.
pub(super) fn insert(
    graph: &Graph,
    scheme: &Scheme,
    parameters: &BTreeMap<ValueId, Parameters>,
    weights: &[Rounded],
) -> Graph {
    let mut out = graph.clone();
    let nodes = std::mem::take(&mut out.blocks[MAIN.0 as usize].nodes);
    // The value that integers were read from: where it differs from the original.
    let mut rounded: BTreeMap<ValueId, ValueId> = BTreeMap::new();
    let layers: BTreeMap<usize, usize> = scheme
        .layers
        .iter()
        .enumerate()
        .map(|(k, l)| (l.node, k))
        .collect();
    let fed = graph.inputs.iter().map(|p| (p.value, p.name.clone()));
    let kept = graph.states.iter().map(|s| (s.current, s.name.clone()));
    for (v, name) in fed.chain(kept) {
        if scheme.points.contains_key(&v) {
            let d = pair(&mut out, v, parameters[&v], &name);
            rounded.insert(v, d);
        }
    }
    for (i, mut node) in nodes.into_iter().enumerate() {
        for input in node.inputs.iter_mut() {
            if let Some(v) = *input
                && (scheme.integer.contains(&i) || scheme.computed.contains(&v))
                && let Some(&d) = rounded.get(&v)
            {
                *input = Some(d);
            }
        }
        if let Some(&k) = layers.get(&i) {
            let w = dequantised(&mut out, &scheme.layers[k], &weights[k], &node.source);
            node.inputs[1] = Some(w);
        }
        let (made, source) = (node.outputs.clone(), node.source.clone());
        out.blocks[MAIN.0 as usize].nodes.push(node);
        for v in made.into_iter().flatten() {
            if scheme.points.contains_key(&v) {
                let d = pair(&mut out, v, parameters[&v], &source);
                rounded.insert(v, d);
            }
        }
    }
    // Everyone else who reads what integers compute.
    let replace = |v: &mut ValueId| {
        if scheme.computed.contains(v)
            && let Some(&d) = rounded.get(v)
        {
            *v = d;
        }
    };
    out.outputs.iter_mut().for_each(|p| replace(&mut p.value));
    out.states.iter_mut().for_each(|s| replace(&mut s.next));
    for block in out.blocks.iter_mut().skip(1) {
        let read = block.nodes.iter_mut().flat_map(|n| n.inputs.iter_mut());
        read.flatten().for_each(replace);
        block.outputs.iter_mut().for_each(replace);
    }
    out
}

/// The graph with every layer computed a second time, from its rounded input and its integer weights, beside the first:
/// what the layer alone loses. Gives the pairs of results, exact and rounded.
pub(super) fn beside(
    graph: &Graph,
    scheme: &Scheme,
    parameters: &BTreeMap<ValueId, Parameters>,
    weights: &[Rounded],
) -> (Graph, Vec<(ValueId, ValueId)>) {
    let mut out = graph.clone();
    let nodes = std::mem::take(&mut out.blocks[MAIN.0 as usize].nodes);
    let mut layers = scheme.layers.iter().zip(weights).peekable();
    let mut pairs = Vec::new();
    for (i, node) in nodes.into_iter().enumerate() {
        let mut twin = node.clone();
        out.blocks[MAIN.0 as usize].nodes.push(node);
        let Some((layer, weights)) = layers.next_if(|(l, _)| l.node == i) else {
            continue;
        };
        let x = pair(&mut out, layer.x, parameters[&layer.x], &twin.source);
        let w = dequantised(&mut out, layer, weights, &twin.source);
        let y = out.add_value("rounded", out.ty(layer.y).clone());
        (twin.inputs[0], twin.inputs[1], twin.outputs[0]) = (Some(x), Some(w), Some(y));
        out.blocks[MAIN.0 as usize].nodes.push(twin);
        pairs.push((layer.y, y));
    }
    (out, pairs)
}

/// Appends the quantisation and the dequantisation of a value; gives the latter's result.
fn pair(graph: &mut Graph, v: ValueId, p: Parameters, source: &str) -> ValueId {
    let shape = graph.ty(v).shape;
    let scale = graph.add_f32("scale", &[], &[p.scale]);
    let ty = |dtype| Type { dtype, shape };
    let q = QuantizeLinear {
        saturate: true,
        ..Default::default()
    };
    let d = DequantizeLinear::default();
    let d = if p.limit > 0 {
        let mut x = v;
        if p.limit < WHOLE {
            // What makes sums fit.
            let end = p.limit as f32 * p.scale;
            let clip = Unary {
                kind: UnaryKind::Clip,
                a: -end,
                b: end,
            };
            x = graph.push(MAIN, source, clip, &[v], ty(DType::F32));
        }
        let q = graph.push(MAIN, source, q, &[x, scale], ty(DType::I16));
        graph.push(MAIN, source, d, &[q, scale], ty(DType::F32))
    } else {
        let zero = graph.add_constant("zero", Type::new(DType::I8, &[]), vec![p.zero as i8 as u8]);
        let q = graph.push(MAIN, source, q, &[v, scale, zero], ty(DType::I8));
        graph.push(MAIN, source, d, &[q, scale, zero], ty(DType::F32))
    };
    let origin = graph.value(v).origin.clone();
    graph.value_mut(d).origin = origin;
    d
}

/// Appends the dequantisation of a layer's weights, packed as the weights were.
fn dequantised(graph: &mut Graph, layer: &Layer, weights: &Rounded, source: &str) -> ValueId {
    let bytes = |ints: &mut dyn Iterator<Item = i8>| ints.map(|q| q as u8).collect::<Vec<u8>>();
    let scale = graph.add_f32("scales", &[layer.outputs], &weights.scales);
    let constant = |graph: &mut Graph, shape: &[usize], data: Vec<u8>, axis: i32| {
        let ints = graph.add_constant("weights", Type::fixed(DType::I8, shape), data);
        let op = DequantizeLinear { axis, block: 0 };
        graph.push(
            MAIN,
            source,
            op,
            &[ints, scale],
            Type::fixed(DType::F32, shape),
        )
    };
    let shape = &layer.shape[..];
    let as_stored = |graph: &mut Graph, axis: i32| {
        let data = bytes(&mut weights.ints.iter().copied());
        constant(graph, shape, data, axis)
    };
    let w = match (layer.kind, shape) {
        (Kind::Convolution, &[groups, depth, o]) if groups > 1 => {
            // No axis is that of the output channels: channels first, then back.
            let at = |i: usize| {
                let (channel, k) = (i / depth, i % depth);
                weights.ints[(channel / o * depth + k) * o + channel % o]
            };
            let data = bytes(&mut (0..weights.ints.len()).map(at));
            let w = constant(graph, &[groups * o, depth], data, 0);
            let ty = Type::fixed(DType::F32, &[groups, o, depth]);
            let w = graph.push(MAIN, source, Reshape {}, &[w], ty);
            let perm = [0, 2, 1].into_iter().collect();
            let ty = Type::fixed(DType::F32, shape);
            graph.push(MAIN, source, Transpose { perm }, &[w], ty)
        }
        (Kind::Convolution, _) => as_stored(graph, 2),
        (Kind::Matrix { trans: true }, _) => as_stored(graph, 0),
        _ => as_stored(graph, 1),
    };
    match layer.packing {
        None => w,
        Some(pack) => {
            let packed = packed_type(shape, pack.trans);
            graph.push(MAIN, source, pack, &[w], packed)
        }
    }
}

/// The type of packed weights (see `PackB`).
fn packed_type(shape: &[usize], trans: bool) -> Type {
    let (lead, last) = shape.split_at(shape.len() - 2);
    let (k, n) = if trans {
        (last[1], last[0])
    } else {
        (last[0], last[1])
    };
    let panel = cygnet_kernels::gemm::PANEL;
    let mut packed = lead.to_vec();
    packed.extend([n.div_ceil(panel), k, panel]);
    Type::fixed(DType::F32, &packed)
}

/// The number of nodes that compute with integers.
pub(super) fn count_integer(nodes: &[Node]) -> usize {
    let integer = |n: &&Node| {
        matches!(
            n.op,
            Op::QuantizedConv(_)
                | Op::QuantizedDepthwise(_)
                | Op::QuantizedAdd(_)
                | Op::QuantizedMul(_)
                | Op::Int16Conv(_)
                | Op::Int16Depthwise(_)
                | Op::Int16Add(_)
                | Op::Int16Mul(_)
                | Op::Int16Pool(_)
                | Op::QuantizedAveragePool(_)
                | Op::Lookup(_)
        )
    };
    nodes.iter().filter(integer).count()
}
