//! A trained network as an ONNX model: normalisations are folded into their convolutions; images are channels-first, as
//! ONNX has them.
use crate::network::{Layer, Network, Node};
use crate::op::{Geometry, Kind};
use candle_core::{Result, Tensor};
use cygnet_kernels::Activation;
use prost::Message;
use tract_onnx::pb::{
    AttributeProto, GraphProto, ModelProto, NodeProto, OperatorSetIdProto, TensorProto,
    TensorShapeProto, TypeProto, ValueInfoProto, attribute_proto::AttributeType, tensor_proto,
    tensor_shape_proto, type_proto,
};

/// The operator set that is written.
const OPSET: i64 = 17;

/// The network as an ONNX file for one sample; its output goes through softmax if `probabilities`.
///
/// # Errors
/// None in a network that was built.
pub fn onnx(network: &Network, name: &str, probabilities: bool) -> Result<Vec<u8>> {
    let mut graph = Writer {
        graph: GraphProto {
            name: name.to_owned(),
            ..GraphProto::default()
        },
    };
    let mut values: Vec<String> = Vec::new();
    for node in network.nodes.iter() {
        let inputs: Vec<String> = node
            .inputs
            .iter()
            .map(|v| values[v.index()].clone())
            .collect();
        values.push(graph.layer(network, node, &inputs)?);
    }
    let mut output = values.last().cloned().unwrap_or_default();
    if probabilities {
        output = graph.node("Softmax", "probabilities", &[&output], &[int("axis", -1)]);
    } else {
        output = graph.node("Identity", "logits", &[&output], &[]);
    }
    let mut shape = vec![1];
    shape.extend_from_slice(network.output_shape());
    graph.graph.output.push(value_info(&output, &shape));
    let model = ModelProto {
        ir_version: 8,
        producer_name: "cygnet".to_owned(),
        producer_version: env!("CARGO_PKG_VERSION").to_owned(),
        opset_import: vec![OperatorSetIdProto {
            domain: String::new(),
            version: OPSET,
        }],
        graph: Some(graph.graph),
        ..ModelProto::default()
    };
    Ok(model.encode_to_vec())
}

struct Writer {
    graph: GraphProto,
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

fn ints(name: &str, values: &[usize]) -> AttributeProto {
    AttributeProto {
        name: name.to_owned(),
        r#type: AttributeType::Ints as i32,
        ints: values.iter().map(|v| *v as i64).collect(),
        ..AttributeProto::default()
    }
}

impl Writer {
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
        self.graph.initializer.push(TensorProto {
            name: name.to_owned(),
            dims: shape.iter().map(|n| *n as i64).collect(),
            data_type: tensor_proto::DataType::Float as i32,
            raw_data: values.iter().flat_map(|v| v.to_le_bytes()).collect(),
            ..TensorProto::default()
        });
        name.to_owned()
    }

    fn activation(&mut self, activation: Activation, name: &str, x: String) -> String {
        match activation {
            Activation::None => x,
            Activation::Clip(lo, hi) => {
                let lo = self.constant(&format!("{name}.lo"), &[], &[lo]);
                let hi = self.constant(&format!("{name}.hi"), &[], &[hi]);
                self.node("Clip", &format!("{name}.clip"), &[&x, &lo, &hi], &[])
            }
            Activation::HardSwish => self.node("HardSwish", &format!("{name}.swish"), &[&x], &[]),
            _ => self.node("Relu", &format!("{name}.relu"), &[&x], &[]),
        }
    }

    fn layer(&mut self, network: &Network, node: &Node, inputs: &[String]) -> Result<String> {
        let name = &node.name;
        let parameter = |kind: &str| network.parameter(&format!("{name}.{kind}"));
        match &node.layer {
            Layer::Input => {
                let mut full = vec![1];
                match *node.shape {
                    [h, w, c] => full.extend_from_slice(&[c, h, w]),
                    _ => full.extend_from_slice(&node.shape),
                }
                self.graph.input.push(value_info(name, &full));
                Ok(name.clone())
            }
            Layer::Block {
                geometry,
                activation,
            } => {
                let affine = network.running_affine(name)?;
                let (shape, weights) = folded(parameter("weight")?, *geometry, &affine)?;
                let groups = match geometry.kind {
                    Kind::Dense => 1,
                    Kind::Depthwise => shape[0],
                };
                let c = affine.len() / 2;
                let w = self.constant(&format!("{name}.weight"), &shape, &weights);
                let b = self.constant(&format!("{name}.bias"), &[c], &affine[c..]);
                let [py, px] = geometry.padding;
                let attributes = [
                    ints("kernel_shape", &shape[2..]),
                    ints("strides", &geometry.stride),
                    ints("pads", &[py, px, py, px]),
                    int("group", groups as i64),
                ];
                let y = self.node("Conv", name, &[&inputs[0], &w, &b], &attributes);
                Ok(self.activation(*activation, name, y))
            }
            Layer::Linear { activation } => {
                let weight = parameter("weight")?;
                let bias = parameter("bias")?.to_vec1::<f32>()?;
                let values = weight.flatten_all()?.to_vec1::<f32>()?;
                let w = self.constant(&format!("{name}.weight"), weight.dims(), &values);
                let b = self.constant(&format!("{name}.bias"), &[bias.len()], &bias);
                let y = if node.shape.len() == 1 {
                    self.node("Gemm", name, &[&inputs[0], &w, &b], &[])
                } else {
                    let y = self.node("MatMul", &format!("{name}.product"), &[&inputs[0], &w], &[]);
                    self.node("Add", name, &[&y, &b], &[])
                };
                Ok(self.activation(*activation, name, y))
            }
            Layer::Add => Ok(self.node("Add", name, &[&inputs[0], &inputs[1]], &[])),
            Layer::MeanPixels => {
                let pooled = format!("{name}.pool");
                let y = self.node("GlobalAveragePool", &pooled, &[&inputs[0]], &[]);
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

/// Weights `[out, in, kh, kw]` times the normalisation's scale.
fn folded(weight: &Tensor, geometry: Geometry, affine: &[f32]) -> Result<(Vec<usize>, Vec<f32>)> {
    let w = match geometry.kind {
        Kind::Dense => weight.permute((3, 2, 0, 1))?,
        Kind::Depthwise => weight.permute((2, 0, 1))?.unsqueeze(1)?,
    };
    let shape = w.dims().to_vec();
    let each: usize = shape[1..].iter().product();
    let values = w.contiguous()?.flatten_all()?.to_vec1::<f32>()?;
    let scaled = values
        .iter()
        .enumerate()
        .map(|(i, v)| v * affine[i / each])
        .collect();
    Ok((shape, scaled))
}
