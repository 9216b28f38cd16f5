//! The integers behind a dequantised operand.

use super::super::rewrite::Rewriter;
use crate::ir::{Graph, Node, Type, ValueId};
use cygnet_format::op::{CoordinateMode, Int16Pool, PadMode, PoolKind, ResizeMode};
use cygnet_format::{DType, Op};

/// Most movements between a dequantisation and its reader.
const MAX_MOVES: usize = 8;

/// Scale and zero point of a whole tensor.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(in super::super) struct Parameters {
    pub scale: f32,
    pub zero: i32,
    pub dtype: DType,
}

/// Least and greatest value of an activation's type.
pub(super) fn range(dtype: DType) -> Option<(i32, i32)> {
    match dtype {
        DType::U8 => Some((0, 255)),
        DType::I8 => Some((-128, 127)),
        DType::I16 => Some((-32768, 32767)),
        _ => None,
    }
}

impl Parameters {
    /// Of the operands of a QuantizeLinear or DequantizeLinear whose integers are of type `dtype`, when they are constant,
    /// one for all elements, and the integers have 8 or 16 bits.
    pub fn of(graph: &Graph, node: &Node, dtype: DType) -> Option<Parameters> {
        let blocks = match node.op {
            Op::QuantizeLinear(o) => o.block,
            Op::DequantizeLinear(o) => o.block,
            _ => return None,
        };
        range(dtype)?;
        let [scale] = graph.constant_f32(node.inputs[1]?)?[..] else {
            return None;
        };
        let zero = match node.inputs.get(2).copied().flatten() {
            None => 0,
            Some(z) => match integers(graph, z)?[..] {
                [z] => z,
                _ => return None,
            },
        };
        (blocks == 0 && scale.is_normal() && scale > 0.0).then_some(Parameters {
            scale,
            zero,
            dtype,
        })
    }

    /// The integer of a value, as QuantizeLinear rounds it.
    pub fn quantise(&self, v: f32) -> Option<i32> {
        let (low, high) = range(self.dtype)?;
        let q = (v / self.scale).round_ties_even() as i32;
        Some(q.saturating_add(self.zero).clamp(low, high))
    }
}

/// The elements of a constant that fit 32 bits.
pub(in super::super) fn integers(graph: &Graph, v: ValueId) -> Option<Vec<i32>> {
    let value = graph.value(v);
    let data = value.data.as_ref()?;
    Some(match value.ty.dtype {
        DType::U8 | DType::U4 | DType::U2 => data.iter().map(|&b| b.into()).collect(),
        DType::I8 | DType::I4 | DType::I2 => data.iter().map(|&b| (b as i8).into()).collect(),
        DType::I32 => {
            let words = data.as_chunks::<4>().0;
            words.iter().map(|w| i32::from_le_bytes(*w)).collect()
        }
        DType::I16 => {
            let words = data.as_chunks::<2>().0;
            words
                .iter()
                .map(|w| i16::from_le_bytes(*w).into())
                .collect()
        }
        // Biases of 16-bit layers.
        DType::I64 => {
            let words = data.as_chunks::<8>().0;
            let all = words.iter().map(|w| i64::from_le_bytes(*w).try_into().ok());
            all.collect::<Option<Vec<i32>>>()?
        }
        _ => return None,
    })
}

/// The integers whose dequantisation `v` is, with movements in between repeated on them.
pub(super) fn integer(cx: &mut Rewriter<'_>, v: ValueId) -> Option<(ValueId, Parameters)> {
    // Nothing is emitted for an operand that turns out to be float.
    parameters(cx, v, 0)?;
    Some(moved(cx, v))
}

/// The parameters of an operand that [`moved`] accepts.
pub(super) fn parameters(cx: &Rewriter<'_>, v: ValueId, depth: usize) -> Option<Parameters> {
    let node = cx.def(v).filter(|_| depth < MAX_MOVES)?;
    let first = node.inputs.first().copied().flatten()?;
    match &node.op {
        Op::DequantizeLinear(_) => Parameters::of(cx.graph, node, cx.graph.ty(first).dtype),
        Op::Reshape(_)
        | Op::Transpose(_)
        | Op::Slice(_)
        | Op::Expand(_)
        | Op::Tile(_)
        | Op::Gather(_) => parameters(cx, first, depth + 1),
        Op::Pool(o) if o.kind == PoolKind::Max && node.outputs.len() == 1 => {
            parameters(cx, first, depth + 1)
        }
        // What nearest neighbours give are elements; the value outside is a float.
        Op::Resize(o)
            if o.mode == ResizeMode::Nearest
                && o.coordinates != CoordinateMode::TfCropAndResize =>
        {
            parameters(cx, first, depth + 1)
        }
        Op::Pad(o) => {
            let zero = match node.inputs.get(1).copied().flatten() {
                None => true,
                Some(v) => cx.scalar(v) == Some(0.0),
            };
            let p = parameters(cx, first, depth + 1)?;
            (zero || o.mode != PadMode::Constant).then_some(p)
        }
        Op::Concat(_) => {
            let p = parameters(cx, first, depth + 1)?;
            let same =
                |v: &Option<ValueId>| v.and_then(|v| parameters(cx, v, depth + 1)) == Some(p);
            node.inputs.iter().all(same).then_some(p)
        }
        _ => None,
    }
}

/// As [`integer`], for operands that have parameters.
fn moved(cx: &mut Rewriter<'_>, v: ValueId) -> (ValueId, Parameters) {
    let mut node = cx.def(v).expect("checked").clone();
    let first = node.inputs[0].expect("checked");
    if let Op::DequantizeLinear(_) = node.op {
        let dtype = cx.graph.ty(first).dtype;
        let p = Parameters::of(cx.graph, &node, dtype).expect("checked");
        return (first, p);
    }
    let (x, p) = moved(cx, first);
    node.inputs[0] = Some(x);
    match &node.op {
        Op::Concat(_) => {
            for input in &mut node.inputs[1..] {
                *input = input.map(|v| moved(cx, v).0);
            }
        }
        Op::Pad(o) if o.mode == PadMode::Constant => {
            let zero = p.zero.to_le_bytes()[..p.dtype.size()].to_vec();
            let zero = cx.constant_bytes(Type::new(p.dtype, &[]), zero);
            node.inputs = vec![Some(x), Some(zero)];
        }
        Op::Pool(o) if p.dtype == DType::I16 => {
            node.op = Int16Pool {
                kind: o.kind,
                kernel: o.kernel,
                strides: o.strides,
                dilations: o.dilations,
                pads: o.pads,
                ..Default::default()
            }
            .into();
        }
        _ => {}
    }
    let ty = Type {
        dtype: p.dtype,
        shape: cx.ty(v).shape,
    };
    (cx.emit(&node.source, node.op, node.inputs, ty), p)
}
