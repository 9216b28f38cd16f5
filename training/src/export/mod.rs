//! A trained network as an ONNX model: normalisations are folded into their convolutions; images are channels-first, as
//! ONNX has them. A network in 8-bit integers has QuantizeLinear and DequantizeLinear around every layer. What samples become
//! before the network reads them is computed by nodes in front of it.
mod front;

use crate::data::Samples;
use crate::front::Front;
use crate::network::{Layer, Network, Node, Point, RoundedWeights};
use crate::op::{Geometry, Kind};
use candle_core::{Result, Tensor, bail};
use cygnet_kernels::Activation;
use prost::Message;
use tract_onnx::pb::{
    AttributeProto, GraphProto, ModelProto, NodeProto, OperatorSetIdProto, TensorProto,
    TensorShapeProto, TypeProto, ValueInfoProto, attribute_proto::AttributeType, tensor_proto,
    tensor_shape_proto, type_proto,
};

/// The operator set that is written.
const OPSET: i64 = 17;

/// How the names of nodes in front of a network begin. They compute with the range of measured values, which 8 bits
/// cannot hold, and stay float.
pub const FRONT: &str = "front/";

/// What an exported model says.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Answer {
    /// The network's output.
    Logits,
    /// The same through softmax.
    Probabilities,
    /// The mean squared difference of the network's output to what it reads, over a threshold: above 1 is an anomaly.
    Score {
        /// The threshold.
        threshold: f32,
    },
}

/// The network as an ONNX file for one sample; its output goes through softmax if `probabilities`.
///
/// # Errors
/// None in a network that was built.
pub fn onnx(network: &Network, name: &str, probabilities: bool) -> Result<Vec<u8>> {
    let answer = match probabilities {
        true => Answer::Probabilities,
        false => Answer::Logits,
    };
    with_front(network, &Front::Plain, name, answer)
}

/// Sample `i` as the exported model takes it, with its shape: pictures channels-first, sounds as `[1, length]`.
pub fn input(samples: &Samples, i: usize) -> (Vec<usize>, Vec<f32>) {
    let sample = samples.floats(i);
    let [h, w, c] = samples.shape;
    match samples.front {
        Front::Plain => {
            let planes = (0..c).flat_map(|k| sample.iter().skip(k).step_by(c).copied());
            (vec![1, c, h, w], planes.collect())
        }
        Front::Spectrum(_) | Front::Table(_) => (vec![1, sample.len()], sample),
    }
}

/// Names of the state of a stream and of what it becomes.
pub const STATE: (&str, &str) = ("state", "next");

/// The same with a front end and any answer.
///
/// # Errors
/// None in a network that was built.
pub fn with_front(network: &Network, front: &Front, name: &str, answer: Answer) -> Result<Vec<u8>> {
    written(network, front, name, answer, false)
}

/// A network whose first layer is recurrent, on one frame of sound at a time: [`STATE`] goes from run to run, and after the
/// last frame the answer is that of [`with_front`] to the whole.
///
/// # Errors
/// Networks that begin otherwise, samples that are no sounds.
pub fn stream(network: &Network, front: &Front, name: &str) -> Result<Vec<u8>> {
    let recurrent = |n: &Node| matches!(n.layer, Layer::Gru);
    let count = network.nodes.iter().filter(|n| recurrent(n)).count();
    let (Front::Spectrum(spectrum), Some(true), 1) =
        (front, network.nodes.get(1).map(recurrent), count)
    else {
        bail!("a stream is of sound, and its network begins with its one recurrent layer");
    };
    let front = Front::Spectrum(spectrum.of_a_frame());
    written(network, &front, name, Answer::Probabilities, true)
}

fn written(
    network: &Network,
    front: &Front,
    name: &str,
    answer: Answer,
    stream: bool,
) -> Result<Vec<u8>> {
    let folded;
    let network = match network.points {
        Some(_) => network,
        None => {
            folded = network.folded()?;
            &folded
        }
    };
    let mut graph = Writer {
        graph: GraphProto {
            name: name.to_owned(),
            ..GraphProto::default()
        },
        units: None,
        stream,
    };
    let mut values: Vec<String> = Vec::new();
    for node in network.nodes.iter() {
        let point = network.points.as_ref().map(|p| p[values.len()]);
        let inputs: Vec<String> = node
            .inputs
            .iter()
            .map(|v| values[v.index()].clone())
            .collect();
        values.push(match (&node.layer, front) {
            (Layer::Input, Front::Spectrum(spectrum)) => {
                let features = graph.spectrum(spectrum);
                graph.rounded(&node.name, features, point)
            }
            (Layer::Input, Front::Table(table)) => {
                let units = graph.table(table);
                graph.rounded(&node.name, units, point)
            }
            _ => graph.layer(network, node, &inputs, point)?,
        });
    }
    let mut output = values.last().cloned().unwrap_or_default();
    if let Answer::Score { threshold } = answer {
        output = graph.score(network, front, &output, threshold);
        graph.graph.output.push(value_info(&output, &[1]));
        return Ok(graph.model());
    }
    if answer == Answer::Probabilities {
        output = graph.node("Softmax", "probabilities", &[&output], &[int("axis", -1)]);
    } else {
        output = graph.node("Identity", "logits", &[&output], &[]);
    }
    let mut shape = vec![1];
    shape.extend_from_slice(network.output_shape());
    graph.graph.output.insert(0, value_info(&output, &shape));
    Ok(graph.model())
}

struct Writer {
    graph: GraphProto,
    /// What a front end makes, before it is shaped as an image.
    units: Option<String>,
    /// Whether recurrent layers take one step from a state that they are given.
    stream: bool,
}

fn value_info(name: &str, shape: &[usize]) -> ValueInfoProto {
    let dim = shape
        .iter()
        .map(|n| tensor_shape_proto::Dimension {
            value: Some(tensor_shape_proto::dimension::Value::DimValue(*n as i64)),
            ..tensor_shape_proto::Dimension::default()
        })
        .collect();
    let tensor = type_proto::Tensor {
        elem_type: tensor_proto::DataType::Float as i32,
        shape: Some(TensorShapeProto { dim }),
    };
    ValueInfoProto {
        name: name.to_owned(),
        r#type: Some(TypeProto {
            value: Some(type_proto::Value::TensorType(tensor)),
            ..TypeProto::default()
        }),
        ..ValueInfoProto::default()
    }
}

fn int(name: &str, i: i64) -> AttributeProto {
    AttributeProto {
        name: name.to_owned(),
        r#type: AttributeType::Int as i32,
        i,
        ..AttributeProto::default()
    }
}

fn float(name: &str, f: f32) -> AttributeProto {
    AttributeProto {
        name: name.to_owned(),
        r#type: AttributeType::Float as i32,
        f,
        ..AttributeProto::default()
    }
}

fn ints(name: &str, values: &[usize]) -> AttributeProto {
    AttributeProto {
        name: name.to_owned(),
        r#type: AttributeType::Ints as i32,
        ints: values.iter().map(|v| *v as i64).collect(),
        ..AttributeProto::default()
    }
}

impl Writer {
    fn model(self) -> Vec<u8> {
        let model = ModelProto {
            ir_version: 8,
            producer_name: "cygnet".to_owned(),
            producer_version: env!("CARGO_PKG_VERSION").to_owned(),
            opset_import: vec![OperatorSetIdProto {
                domain: String::new(),
                version: OPSET,
            }],
            graph: Some(self.graph),
            ..ModelProto::default()
        };
        model.encode_to_vec()
    }

    /// Adds a node of one output, which is called as the node; the name of the output.
    fn node(
        &mut self,
        operator: &str,
        name: &str,
        inputs: &[&str],
        attributes: &[AttributeProto],
    ) -> String {
        self.graph.node.push(NodeProto {
            op_type: operator.to_owned(),
            name: name.to_owned(),
            input: inputs.iter().map(|i| (*i).to_owned()).collect(),
            output: vec![name.to_owned()],
            attribute: attributes.to_vec(),
            ..NodeProto::default()
        });
        name.to_owned()
    }

    fn constant(&mut self, name: &str, shape: &[usize], values: &[f32]) -> String {
        let bytes = values.iter().flat_map(|v| v.to_le_bytes()).collect();
        self.bytes(name, tensor_proto::DataType::Float, shape, bytes)
    }

    fn bytes(
        &mut self,
        name: &str,
        data_type: tensor_proto::DataType,
        shape: &[usize],
        raw_data: Vec<u8>,
    ) -> String {
        self.graph.initializer.push(TensorProto {
            name: name.to_owned(),
            dims: shape.iter().map(|n| *n as i64).collect(),
            data_type: data_type as i32,
            raw_data,
            ..TensorProto::default()
        });
        name.to_owned()
    }

    /// What rounding to a network's integers makes of a value; the value itself in a network of floats.
    fn rounded(&mut self, name: &str, x: String, point: Option<Point>) -> String {
        let Some(Point { scale, zero }) = point else {
            return x;
        };
        let s = self.constant(&format!("{name}.scale"), &[], &[scale]);
        let kind = tensor_proto::DataType::Int8;
        let z = self.bytes(&format!("{name}.zero"), kind, &[], vec![zero as u8]);
        let q = self.node(
            "QuantizeLinear",
            &format!("{name}.quantized"),
            &[&x, &s, &z],
            &[],
        );
        self.node(
            "DequantizeLinear",
            &format!("{name}.rounded"),
            &[&q, &s, &z],
            &[],
        )
    }

    /// Integer weights, whose output channels lie along `axis`, and their bias, dequantised.
    fn rounded_weights(
        &mut self,
        name: &str,
        (shape, axis): (&[usize], usize),
        integers: &[f32],
        weights: &RoundedWeights,
        x_scale: f32,
    ) -> [String; 2] {
        let c = weights.scales.len();
        let int8 = tensor_proto::DataType::Int8;
        let bytes = integers.iter().map(|w| *w as i8 as u8).collect();
        let w = self.bytes(&format!("{name}.weight"), int8, shape, bytes);
        let s = self.constant(&format!("{name}.weight.scale"), &[c], &weights.scales);
        let real = format!("{name}.weight.rounded");
        let along = [int("axis", axis as i64)];
        let w = self.node("DequantizeLinear", &real, &[&w, &s], &along);
        let int32 = tensor_proto::DataType::Int32;
        let bytes = weights.bias.iter().flat_map(|b| b.to_le_bytes()).collect();
        let b = self.bytes(&format!("{name}.bias"), int32, &[c], bytes);
        let unit: Vec<f32> = weights.scales.iter().map(|s| x_scale * s).collect();
        let s = self.constant(&format!("{name}.bias.scale"), &[c], &unit);
        let real = format!("{name}.bias.rounded");
        let b = self.node("DequantizeLinear", &real, &[&b, &s], &[int("axis", 0)]);
        [w, b]
    }

    fn convolution(
        &mut self,
        name: &str,
        geometry: Geometry,
        shape: &[usize],
        inputs: [&str; 3],
    ) -> String {
        let groups = match geometry.kind {
            Kind::Dense => 1,
            Kind::Depthwise => shape[0],
        };
        let ([py, px], [my, mx]) = (geometry.padding, geometry.more);
        let attributes = [
            ints("kernel_shape", &shape[2..]),
            ints("strides", &geometry.stride),
            ints("pads", &[py, px, py + my, px + mx]),
            int("group", groups as i64),
        ];
        self.node("Conv", name, &inputs, &attributes)
    }

    fn activation(&mut self, activation: Activation, name: &str, x: String) -> String {
        match activation {
            Activation::None => x,
            Activation::Clip(lo, hi) => {
                let lo = self.constant(&format!("{name}.lo"), &[], &[lo]);
                let hi = self.constant(&format!("{name}.hi"), &[], &[hi]);
                self.node("Clip", &format!("{name}.clip"), &[&x, &lo, &hi], &[])
            }
            Activation::HardSigmoid(alpha, beta) => self.node(
                "HardSigmoid",
                &format!("{name}.sigmoid"),
                &[&x],
                &[float("alpha", alpha), float("beta", beta)],
            ),
            Activation::HardSwish => self.node("HardSwish", &format!("{name}.swish"), &[&x], &[]),
            _ => self.node("Relu", &format!("{name}.relu"), &[&x], &[]),
        }
    }

    fn layer(
        &mut self,
        network: &Network,
        node: &Node,
        inputs: &[String],
        point: Option<Point>,
    ) -> Result<String> {
        let name = &node.name;
        let rounded = network.rounded(node)?;
        let x_scale = |points: &[Point]| points[node.inputs[0].index()].scale;
        let x_scale = network.points.as_ref().map_or(1.0, |p| match node.layer {
            Layer::Input => 1.0,
            _ => x_scale(p),
        });
        let parameter = |kind: &str| network.parameter(&format!("{name}.{kind}"));
        match &node.layer {
            Layer::Input => {
                let mut full = vec![1];
                match *node.shape {
                    [h, w, c] => full.extend_from_slice(&[c, h, w]),
                    _ => full.extend_from_slice(&node.shape),
                }
                self.graph.input.push(value_info(name, &full));
                Ok(self.rounded(name, name.clone(), point))
            }
            Layer::Block { .. } => bail!("{name} is not folded"),
            Layer::Convolution {
                geometry,
                activation,
            } => {
                let weight = parameter("weight")?;
                let (shape, weights) = match &rounded {
                    None => filters(weight, *geometry)?,
                    Some(r) => {
                        let integers =
                            Tensor::from_slice(&r.integers, weight.shape(), weight.device())?;
                        filters(&integers, *geometry)?
                    }
                };
                let [w, b] = match &rounded {
                    None => {
                        let bias = parameter("bias")?.to_vec1::<f32>()?;
                        let w = self.constant(&format!("{name}.weight"), &shape, &weights);
                        [
                            w,
                            self.constant(&format!("{name}.bias"), &[bias.len()], &bias),
                        ]
                    }
                    Some(r) => self.rounded_weights(name, (&shape, 0), &weights, r, x_scale),
                };
                let y = self.convolution(name, *geometry, &shape, [&inputs[0], &w, &b]);
                let y = self.activation(*activation, name, y);
                Ok(self.rounded(name, y, point))
            }
            Layer::Linear { activation } => {
                let weight = parameter("weight")?;
                let bias = parameter("bias")?.to_vec1::<f32>()?;
                let values = weight.flatten_all()?.to_vec1::<f32>()?;
                let shape = weight.dims();
                let [w, b] = match &rounded {
                    None => [
                        self.constant(&format!("{name}.weight"), shape, &values),
                        self.constant(&format!("{name}.bias"), &[bias.len()], &bias),
                    ],
                    Some(r) => self.rounded_weights(name, (shape, 1), &r.integers, r, x_scale),
                };
                let y = if node.shape.len() == 1 {
                    self.node("Gemm", name, &[&inputs[0], &w, &b], &[])
                } else {
                    let y = self.node("MatMul", &format!("{name}.product"), &[&inputs[0], &w], &[]);
                    self.node("Add", name, &[&y, &b], &[])
                };
                let y = self.activation(*activation, name, y);
                Ok(self.rounded(name, y, point))
            }
            Layer::Add => {
                let y = self.node("Add", name, &[&inputs[0], &inputs[1]], &[]);
                Ok(self.rounded(name, y, point))
            }
            Layer::Gru => {
                let read = inputs[0].clone();
                let from = &network.nodes[node.inputs[0].index()].shape;
                let (inputs, units) = (from[1] * from[2], node.shape[0]);
                let steps = if self.stream { 1 } else { from[0] };
                let whole = |values: &[usize]| -> Vec<u8> {
                    values
                        .iter()
                        .flat_map(|n| (*n as i64).to_le_bytes())
                        .collect()
                };
                let kind = tensor_proto::DataType::Int64;
                // Channels last, as the network was trained: a step, a batch of one, its features.
                let order = ints("perm", &[0, 2, 3, 1]);
                let x = format!("{name}.last");
                let x = self.node("Transpose", &x, &[&read], &[order]);
                let bytes = whole(&[steps, 1, inputs]);
                let shape = self.bytes(&format!("{name}.rows"), kind, &[3], bytes);
                let x = self.node("Reshape", &format!("{name}.steps"), &[&x, &shape], &[]);
                let turned = |kind: &str| -> Result<Vec<f32>> {
                    parameter(kind)?.t()?.contiguous()?.flatten_all()?.to_vec1()
                };
                let w = self.constant(
                    &format!("{name}.weight"),
                    &[1, 3 * units, inputs],
                    &turned("weight")?,
                );
                let r = self.constant(
                    &format!("{name}.recurrent"),
                    &[1, 3 * units, units],
                    &turned("recurrent")?,
                );
                let mut bias = parameter("bias")?.to_vec1::<f32>()?;
                bias.extend(parameter("recurrent_bias")?.to_vec1::<f32>()?);
                let b = self.constant(&format!("{name}.bias"), &[1, 6 * units], &bias);
                let attributes = [
                    int("hidden_size", units as i64),
                    int("linear_before_reset", 1),
                ];
                let mut operands = vec![x, w, r, b];
                let mut last = format!("{name}.state");
                if self.stream {
                    let shape = [1, 1, units];
                    self.graph.input.push(value_info(STATE.0, &shape));
                    self.graph.output.push(value_info(STATE.1, &shape));
                    operands.extend([String::new(), STATE.0.to_owned()]);
                    last = STATE.1.to_owned();
                }
                self.graph.node.push(NodeProto {
                    op_type: "GRU".to_owned(),
                    name: name.clone(),
                    input: operands,
                    output: vec![String::new(), last.clone()],
                    attribute: attributes.to_vec(),
                    ..NodeProto::default()
                });
                let shape = self.bytes(&format!("{name}.shape"), kind, &[2], whole(&[1, units]));
                Ok(self.node("Reshape", name, &[&last, &shape], &[]))
            }
            Layer::Gate => {
                let shape = [1, node.shape[2] as i64, 1, 1];
                let bytes = shape.iter().flat_map(|n| n.to_le_bytes()).collect();
                let kind = tensor_proto::DataType::Int64;
                let shape = self.bytes(&format!("{name}.shape"), kind, &[4], bytes);
                let by = format!("{name}.factors");
                let by = self.node("Reshape", &by, &[&inputs[1], &shape], &[]);
                Ok(self.node("Mul", name, &[&inputs[0], &by], &[]))
            }
            Layer::MeanPixels => {
                let pooled = format!("{name}.pool");
                let y = self.node("GlobalAveragePool", &pooled, &[&inputs[0]], &[]);
                let y = self.rounded(&pooled, y, point);
                Ok(self.node("Flatten", name, &[&y], &[int("axis", 1)]))
            }
            Layer::Flatten => {
                // Channels last, as the network was trained.
                let from = &network.nodes[node.inputs[0].index()].shape;
                let mut x = inputs[0].clone();
                if from.len() == 3 {
                    let order = ints("perm", &[0, 2, 3, 1]);
                    x = self.node("Transpose", &format!("{name}.last"), &[&x], &[order]);
                }
                Ok(self.node("Flatten", name, &[&x], &[int("axis", 1)]))
            }
            Layer::Dropout { .. } => Ok(inputs[0].clone()),
        }
    }
}

/// Weights `[out, in, kh, kw]`.
fn filters(weight: &Tensor, geometry: Geometry) -> Result<(Vec<usize>, Vec<f32>)> {
    let w = match geometry.kind {
        Kind::Dense => weight.permute((3, 2, 0, 1))?,
        Kind::Depthwise => weight.permute((2, 0, 1))?.unsqueeze(1)?,
    };
    let shape = w.dims().to_vec();
    Ok((shape, w.contiguous()?.flatten_all()?.to_vec1()?))
}
