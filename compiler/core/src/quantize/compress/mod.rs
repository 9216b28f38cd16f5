//! Weights of few bits in an otherwise float program, and products whose left operand is quantised while they run.
//!
//! This works on the finished graph: constants are packed, layers are fused. Products with constant weights become
//! `compressed_mat_mul` or `dynamic_mat_mul`; weights of other operators are expanded by a step before them; tables of
//! rows are looked up in few bits.

mod alone;
mod codes;
mod compile;
mod palette;
#[cfg(test)]
mod tests;

pub use compile::compress;
pub(super) use compile::{float_layer, layer_record};

use crate::ir::{Graph, Node, Type, ValueId};
use codes::{Compressed, Panels, Part};
use cygnet_format::op::{
    Activation, Binary, BinaryKind, Cast, CompressedMatMul, Conv, DynamicMatMul, ExpandWeights,
    Gather,
};
use cygnet_format::{DType, Dim, Op};
use cygnet_kernels::gemm::PANEL;
use cygnet_kernels::quantized::dynamic::{HEAD, pack, packed_len, row_words};
use std::collections::HashMap;

/// Weights of a layer below which compression saves nothing worth a step.
const FEW: usize = 1024;

/// Input channels of a convolution that reads the input itself: its weights are few, and all that follows depends on them.
const FIRST: usize = 4;

/// Floats of a worker's scratch: with the rows it is multiplied with, it stays in a second-level cache.
const SCRATCH: usize = 32 << 10;

/// Workers that find scratch.
const WORKERS: usize = 4;

/// Shortest sums that are worth quantising a row for.
const SHORT: usize = 32;

/// How weights are stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Format {
    /// Half-precision floats.
    Half,
    /// Signed integers with scales.
    Integers {
        /// Bits of an integer: 4 or 8.
        bits: u32,
        /// Weights of a column that share a scale, a multiple of 16; 0 for the whole column.
        group: u32,
        /// Whether groups have an offset besides their scale.
        asymmetric: bool,
    },
    /// Positions in a table of each panel of 16 columns, or of each layer where panels are small.
    Table {
        /// Bits of a position: 2, 4 or 8.
        bits: u32,
    },
    /// 8-bit integers of a scale a column, multiplied with rows that are quantised while the product runs.
    Dynamic,
}

impl std::fmt::Display for Format {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match *self {
            Format::Half => f.write_str("fp16"),
            Format::Integers {
                bits,
                group,
                asymmetric,
            } => {
                write!(f, "int{bits}")?;
                if group > 0 {
                    write!(f, " in groups of {group}")?;
                }
                f.write_str(if asymmetric { ", asymmetric" } else { "" })
            }
            Format::Table { bits } => write!(f, "table of {}", 1u32 << bits),
            Format::Dynamic => f.write_str("int8, dynamic"),
        }
    }
}

/// What became of the weights of a layer.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Layer {
    /// The model's node.
    pub node: String,
    /// The operator that it was.
    pub operator: &'static str,
    /// Elements of the weights.
    pub weights: usize,
    /// Bytes of the weights before and now.
    pub bytes: [usize; 2],
    /// How they are stored, and their signal to noise in decibels; or why they are as they were.
    pub outcome: Result<(Format, f64), &'static str>,
}

/// 8 bits, of a scale a column.
pub(super) const INT8: Format = Format::Integers {
    bits: 8,
    group: 0,
    asymmetric: false,
};

/// Compresses the weights of a finished graph, each node's in the format that `formats` gives it by its name.
pub(super) fn compress_graph(
    graph: &mut Graph,
    formats: &dyn Fn(&str) -> Option<Format>,
) -> Vec<Layer> {
    let mut c = Compressor {
        graph,
        formats,
        format: Format::Half,
        layers: Vec::new(),
        expanded: HashMap::new(),
        tables: HashMap::new(),
        nodes: Vec::new(),
    };
    for b in 0..c.graph.blocks.len() {
        // What a block computes is not there in the others.
        c.expanded.clear();
        for node in std::mem::take(&mut c.graph.blocks[b].nodes) {
            let node = c.node(node);
            c.nodes.push(node);
        }
        c.graph.blocks[b].nodes = std::mem::take(&mut c.nodes);
    }
    c.layers
}

struct Compressor<'g> {
    graph: &'g mut Graph,
    formats: &'g dyn Fn(&str) -> Option<Format>,
    /// That of the node at hand.
    format: Format,
    layers: Vec<Layer>,
    /// Constants that a step of this block expands.
    expanded: HashMap<ValueId, ValueId>,
    /// Tables by rows: integers and scales.
    tables: HashMap<ValueId, (ValueId, ValueId)>,
    /// The nodes of the block so far.
    nodes: Vec<Node>,
}

fn operand(node: &Node, i: usize) -> Option<ValueId> {
    node.inputs.get(i).copied().flatten()
}

/// A product of the last axis with a matrix.
struct Product {
    a: ValueId,
    w: ValueId,
    /// The factor of the weights.
    alpha: f32,
    bias: Option<ValueId>,
    residual: Option<ValueId>,
    act: Activation,
}

impl Compressor<'_> {
    /// A constant of floats with its elements.
    fn floats(&self, v: ValueId) -> Option<Vec<f32>> {
        self.graph.constant_f32(v)
    }

    /// Elements of a float constant.
    fn count(&self, v: ValueId) -> Option<usize> {
        let value = self.graph.value(v);
        value.data.as_ref()?;
        (value.ty.dtype == DType::F32)
            .then(|| value.ty.fixed_len())
            .flatten()
    }

    fn part(&mut self, part: Part) -> ValueId {
        let name = format!("const_{}", self.graph.values.len());
        let ty = Type::fixed(part.dtype, &part.shape);
        self.graph.add_constant(name, ty, part.bytes)
    }

    fn emit(
        &mut self,
        source: &str,
        op: impl Into<Op>,
        inputs: Vec<Option<ValueId>>,
        ty: Type,
    ) -> ValueId {
        let op = op.into();
        let name = format!("{}_{}", op.code().name(), self.graph.values.len());
        let y = self.graph.add_value(name, ty);
        self.nodes.push(Node {
            op,
            inputs,
            outputs: vec![Some(y)],
            source: source.to_owned(),
        });
        y
    }

    fn note(
        &mut self,
        node: &Node,
        weights: usize,
        now: usize,
        outcome: Result<(Format, f64), &'static str>,
    ) {
        self.layers.push(Layer {
            node: node.source.clone(),
            operator: node.op.code().name(),
            weights,
            bytes: [weights * 4, now],
            outcome,
        });
    }

    fn keep(&mut self, node: &Node, weights: usize, reason: &'static str) {
        self.note(node, weights, weights * 4, Err(reason));
    }

    /// What stands in place of a node.
    fn node(&mut self, mut node: Node) -> Node {
        match (self.formats)(&node.source) {
            Some(format) => self.format = format,
            None => return node,
        }
        if let Some(product) = self.product(&node) {
            return self.compressed(&node, &product).unwrap_or(node);
        }
        let operands: &[usize] = match node.op {
            Op::MatMul(_) | Op::Conv(_) | Op::WinogradConv(_) => &[1],
            Op::SeparableConv(_) => &[1, 5],
            Op::ConvTranspose(_) | Op::DeformConv(_) => &[1],
            Op::Lstm(_) | Op::Gru(_) | Op::Rnn(_) => &[1, 2],
            Op::DepthwiseConv(_) => {
                if let Some(n) = operand(&node, 1).and_then(|w| self.count(w)) {
                    self.keep(&node, n, "depthwise: few weights, each of which matters");
                }
                return node;
            }
            Op::Gather(op) => return self.look_up(&node, &op).unwrap_or(node),
            _ => return node,
        };
        for &i in operands {
            if let Some(w) = operand(&node, i)
                && let Some(n) = self.count(w)
            {
                node.inputs[i] = Some(self.expand(&node, w, n));
            }
        }
        node
    }

    /// The node as a product of the last axis, when it is one.
    fn product(&self, node: &Node) -> Option<Product> {
        let (a, w, y) = (operand(node, 0)?, operand(node, 1)?, node.outputs[0]?);
        self.count(w)?;
        let (alpha, act) = match &node.op {
            Op::MatMul(op) => (op.alpha, op.act),
            Op::Conv(op) if pointwise(op) => (1.0, op.act),
            _ => return None,
        };
        let shape = self.graph.ty(w).fixed_shape()?;
        let (lead, _) = shape.split_last_chunk::<3>()?;
        let (a_shape, y_shape) = (&self.graph.ty(a).shape, &self.graph.ty(y).shape);
        let (_, rows) = a_shape.split_last()?;
        let (_, of_y) = y_shape.split_last()?;
        // One matrix for all rows, and rows in the places of the result's.
        (lead.iter().all(|&d| d == 1) && rows == of_y).then(|| Product {
            a,
            w,
            alpha,
            bias: operand(node, 2),
            residual: operand(node, 3),
            act,
        })
    }

    /// Most rows of a product.
    fn rows(&self, y: ValueId) -> usize {
        let shape = &self.graph.ty(y).shape;
        let most = |&d: &Dim| self.graph.dim_bounds(d).1.max(0) as usize;
        let rows = shape[..shape.len() - 1].iter().map(most);
        rows.fold(1, usize::saturating_mul)
    }

    fn compressed(&mut self, node: &Node, p: &Product) -> Option<Node> {
        let y = node.outputs[0]?;
        let shape = self.graph.ty(p.w).fixed_shape()?;
        let [.., panels, k, PANEL] = shape[..] else {
            return None;
        };
        let n = self.graph.ty(y).shape.last()?.as_const()?;
        let weights = k * n;
        if weights < FEW || n.div_ceil(PANEL) != panels {
            self.keep(node, weights, "few weights");
            return None;
        }
        let mut floats = self.floats(p.w)?;
        if !floats.iter().all(|w| w.is_finite()) {
            self.keep(node, weights, "a weight is not finite");
            return None;
        }
        if p.alpha != 1.0 {
            floats.iter_mut().for_each(|w| *w *= p.alpha);
        }
        let lead = [panels];
        let matrix = Panels {
            floats: &floats,
            k,
            lead: &lead,
        };
        let rows = self.rows(y);
        // One row waits for memory: there the integers of the weights are what counts.
        if self.format == Format::Dynamic && rows > 1 && k >= SHORT {
            return Some(self.dynamic(node, p, &matrix, n, rows));
        }
        let format = match self.format {
            Format::Dynamic => INT8,
            other => other,
        };
        let Some(made) = stored(&matrix, &shape[shape.len() - 3..], format) else {
            self.keep(node, weights, "a weight is beyond half precision");
            return None;
        };
        self.note(node, weights, made.bytes(), Ok((format, made.snr_db)));
        let direct = rows == 1 && !matches!(format, Format::Table { .. });
        let mut outputs = vec![Some(y)];
        if !direct {
            let count = (SCRATCH / (k * PANEL)).clamp(1, panels);
            let workers = WORKERS.min(panels.div_ceil(count));
            let name = format!("scratch_{}", self.graph.values.len());
            let ty = Type::fixed(DType::F32, &[workers, count * k * PANEL]);
            outputs.push(Some(self.graph.add_value(name, ty)));
        }
        let op = CompressedMatMul {
            bits: made.bits,
            group: made.group,
            act: p.act,
        };
        let mut inputs = vec![Some(p.a)];
        for part in made.parts {
            let part = part.map(|part| self.part(part));
            inputs.push(part);
        }
        inputs.extend([p.bias, p.residual]);
        Some(Node {
            op: op.into(),
            inputs,
            outputs,
            source: node.source.clone(),
        })
    }

    /// A product of integers.
    fn dynamic(
        &mut self,
        node: &Node,
        p: &Product,
        matrix: &Panels<'_>,
        n: usize,
        rows: usize,
    ) -> Node {
        let k = matrix.k;
        let made = codes::columns(matrix, n);
        let mut packed = vec![0; packed_len(k, n)];
        pack(k, n, |i, j| made.ints[i * n + j], &mut packed).expect("so long");
        let now = packed.len() + 8 * n;
        self.note(node, k * n, now, Ok((Format::Dynamic, made.snr_db)));
        let weights = self.part(Part {
            dtype: DType::I8,
            shape: vec![n.div_ceil(PANEL), k.div_ceil(4), PANEL, 4],
            bytes: packed.iter().map(|&w| w as u8).collect(),
        });
        let sums = self.part(Part {
            dtype: DType::I32,
            shape: vec![n],
            bytes: made.sums.iter().flat_map(|s| s.to_le_bytes()).collect(),
        });
        let scales = self.part(Part {
            dtype: DType::F32,
            shape: vec![n],
            bytes: made.scales.iter().flat_map(|s| s.to_le_bytes()).collect(),
        });
        let name = format!("scratch_{}", self.graph.values.len());
        let words = rows.saturating_mul(row_words(k) + HEAD);
        let scratch = self
            .graph
            .add_value(name, Type::fixed(DType::I32, &[words.next_multiple_of(16)]));
        let inputs = [p.a, weights, sums, scales].map(Some);
        Node {
            op: DynamicMatMul { act: p.act }.into(),
            inputs: [&inputs[..], &[p.bias, p.residual]].concat(),
            outputs: vec![node.outputs[0], Some(scratch)],
            source: node.source.clone(),
        }
    }

    /// A constant expanded by a step before the node, or as it was.
    fn expand(&mut self, node: &Node, w: ValueId, n: usize) -> ValueId {
        if let Some(&v) = self.expanded.get(&w) {
            return v;
        }
        let ty = self.graph.ty(w).clone();
        let Some(shape) = ty.fixed_shape() else {
            return w;
        };
        let packed = matches!(
            node.op,
            Op::MatMul(_) | Op::Conv(_) | Op::WinogradConv(_) | Op::SeparableConv(_)
        );
        let channels = |op: &Conv| {
            let taps: i32 = op.kernel.iter().product();
            shape[shape.len() - 2] / (taps.max(1) as usize)
        };
        // Integers and tables are of panels; of other weights they would need layouts of their own.
        let format = match self.format {
            Format::Half => Ok(Format::Half),
            _ if !packed => Err("the operator reads its weights as floats"),
            Format::Table { bits } => Ok(Format::Table { bits }),
            // Convolutions bear less than products: their weights are few, and used often.
            Format::Integers { .. } | Format::Dynamic => Ok(INT8),
        };
        let format = match (&node.op, format) {
            _ if n < FEW => Err("few weights"),
            (Op::Conv(op), Ok(f)) if f != Format::Half && channels(op) <= FIRST => {
                Err("a first layer: all that follows depends on it")
            }
            (_, format) => format,
        };
        let format = match format {
            Ok(format) => format,
            Err(reason) => {
                self.keep(node, n, reason);
                return w;
            }
        };
        let Some(floats) = self.floats(w) else {
            return w;
        };
        if !floats.iter().all(|w| w.is_finite()) {
            self.keep(node, n, "a weight is not finite");
            return w;
        }
        let (lead, k) = match shape[..] {
            [ref lead @ .., k, PANEL] if packed => (lead.to_vec(), k),
            _ => (Vec::new(), 0),
        };
        let matrix = Panels {
            floats: &floats,
            k,
            lead: &lead,
        };
        let Some(made) = stored(&matrix, &shape, format) else {
            self.keep(node, n, "a weight is beyond half precision");
            return w;
        };
        self.note(node, n, made.bytes(), Ok((format, made.snr_db)));
        let op = ExpandWeights {
            bits: made.bits,
            group: made.group,
        };
        let mut inputs = Vec::new();
        for part in made.parts {
            let part = part.map(|part| self.part(part));
            inputs.push(part);
        }
        let v = self.emit(&node.source, op, inputs, ty);
        self.expanded.insert(w, v);
        v
    }

    /// Rows of a table in few bits: halves, or 8-bit integers of a scale a row.
    fn look_up(&mut self, node: &Node, op: &Gather) -> Option<Node> {
        let (table, indices, y) = (operand(node, 0)?, operand(node, 1)?, node.outputs[0]?);
        let n = self.count(table)?;
        let [rows, width] = self.graph.ty(table).fixed_shape()?[..] else {
            return None;
        };
        if op.axis != 0 || n < FEW || width < 16 {
            self.keep(node, n, "few weights");
            return None;
        }
        let y_type = self.graph.ty(y).clone();
        if self.format == Format::Half {
            let floats = self.floats(table)?;
            let Some(made) = codes::halves(&floats, &[rows, width]) else {
                self.keep(node, n, "a weight is beyond half precision");
                return None;
            };
            self.note(node, n, made.bytes(), Ok((Format::Half, made.snr_db)));
            let [halves, ..] = made.parts;
            let halves = self.part(halves?);
            let narrow = Type {
                dtype: DType::F16,
                ..y_type
            };
            let inputs = vec![Some(halves), Some(indices)];
            let picked = self.emit(&node.source, *op, inputs, narrow);
            return Some(Node {
                op: ExpandWeights { bits: 16, group: 0 }.into(),
                inputs: vec![Some(picked)],
                outputs: node.outputs.clone(),
                source: node.source.clone(),
            });
        }
        let (ints, scales) = match self.tables.get(&table) {
            Some(&both) => both,
            None => {
                let (ints, scales, snr_db) = codes::rows(&self.floats(table)?, width);
                self.note(node, n, n + 4 * rows, Ok((INT8, snr_db)));
                let ints = self.part(Part {
                    dtype: DType::I8,
                    shape: vec![rows, width],
                    bytes: ints.iter().map(|&w| w as u8).collect(),
                });
                let scales = self.part(Part {
                    dtype: DType::F32,
                    shape: vec![rows, 1],
                    bytes: scales.iter().flat_map(|s| s.to_le_bytes()).collect(),
                });
                self.tables.insert(table, (ints, scales));
                (ints, scales)
            }
        };
        let narrow = Type {
            dtype: DType::I8,
            ..y_type.clone()
        };
        let mut column: Vec<Dim> = y_type.shape.to_vec();
        *column.last_mut()? = Dim::ONE;
        let source = &node.source;
        let picked = self.emit(source, *op, vec![Some(ints), Some(indices)], narrow);
        let wide = self.emit(source, Cast::default(), vec![Some(picked)], y_type);
        let column = Type::new(DType::F32, &column);
        let factors = self.emit(source, *op, vec![Some(scales), Some(indices)], column);
        let op = Binary {
            kind: BinaryKind::Mul,
        };
        Some(Node {
            op: op.into(),
            inputs: vec![Some(wide), Some(factors)],
            outputs: node.outputs.clone(),
            source: node.source.clone(),
        })
    }
}

/// Weights in a format; `None` when it cannot hold them.
fn stored(matrix: &Panels<'_>, shape: &[usize], format: Format) -> Option<Compressed> {
    Some(match format {
        Format::Half => return codes::halves(matrix.floats, shape),
        Format::Integers {
            bits,
            group,
            asymmetric,
        } => codes::integers(matrix, bits, group, asymmetric),
        Format::Table { bits } => codes::table(matrix, bits),
        Format::Dynamic => codes::integers(matrix, 8, 0, false),
    })
}

fn pointwise(op: &Conv) -> bool {
    op.group == 1
        && op.kernel.iter().all(|&k| k == 1)
        && op.strides.iter().all(|&s| s == 1)
        && op.pads.iter().all(|&p| p == 0)
}
