//! Operand counts and in-place permissions of every operator.

use super::{Micro, MicroKind, Op, OpCode};

/// How many operands an operator takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Arity {
    /// Leading inputs that must be present.
    pub required_inputs: usize,
    /// Most inputs; `usize::MAX` for operators with a list.
    pub max_inputs: usize,
    /// Leading outputs that must be present.
    pub required_outputs: usize,
    /// Most outputs.
    pub max_outputs: usize,
}

const fn a(
    required_inputs: usize,
    max_inputs: usize,
    required_outputs: usize,
    max_outputs: usize,
) -> Arity {
    Arity {
        required_inputs,
        max_inputs,
        required_outputs,
        max_outputs,
    }
}

const MANY: usize = usize::MAX;

impl OpCode {
    /// The operand counts that [`crate::Program::parse`] demands. Inputs and outputs after the required ones may be
    /// absent; at least one output is present in every step.
    pub const fn arity(self) -> Arity {
        use OpCode::*;
        match self {
            Reshape | Transpose | Slice | Expand | Tile => a(1, 1, 1, 1),
            Concat => a(1, MANY, 1, 1),
            Pad | Trilu => a(1, 2, 1, 1),
            Gather | GatherElements | GatherNd | Compress | ReverseSequence | OneHot => {
                a(2, 2, 1, 1)
            }
            ScatterElements | ScatterNd | Where | Range => a(3, 3, 1, 1),
            NonZero | Cumulative => a(1, 1, 1, 1),
            Unique => a(1, 1, 1, 4),
            TopK => a(1, 1, 1, 2),
            NonMaxSuppression => a(2, 5, 1, 1),
            TensorScatter => a(2, 3, 1, 1),
            DimValues => a(0, 0, 1, 1),
            Unary | Cast => a(1, 1, 1, 1),
            Binary => a(2, 2, 1, 1),
            Chain => a(1, MANY, 1, 1),
            PackB => a(1, 1, 1, 1),
            MatMul | Conv | DepthwiseConv => a(2, 4, 1, 1),
            ConvTranspose => a(2, 3, 1, 1),
            SeparableConv => a(1, 8, 2, 2),
            WinogradConv => a(2, 4, 2, 2),
            MatMulInteger | ConvInteger => a(2, 4, 1, 1),
            Requantize => a(1, 4, 1, 1),
            QuantizedConv | QuantizedDepthwise => a(4, 5, 1, 1),
            DeformConv => a(3, 5, 1, 1),
            Attention => a(3, 4, 1, 1),
            Lstm => a(3, 8, 0, 3),
            Gru => a(3, 6, 0, 2),
            Rnn => a(3, 6, 0, 2),
            Det => a(1, 1, 1, 1),
            Dft => a(1, 1, 1, 1),
            Stft => a(1, 2, 1, 1),
            Reduce | ArgReduce | Softmax => a(1, 1, 1, 1),
            LayerNorm => a(1, 3, 1, 3),
            GroupNorm => a(1, 3, 1, 1),
            Lrn | LpNorm => a(1, 1, 1, 1),
            Pool => a(1, 1, 1, 2),
            MaxUnpool => a(2, 2, 1, 1),
            RoiAlign => a(3, 3, 1, 1),
            MaxRoiPool => a(2, 2, 1, 1),
            Resize => a(1, 1, 1, 1),
            GridSample => a(2, 2, 1, 1),
            Col2Im => a(1, 1, 1, 1),
            QuantizeLinear | DequantizeLinear => a(2, 3, 1, 1),
            DynamicQuantizeLinear => a(1, 1, 3, 3),
            QuantizedAdd | Lookup | QuantizedMul => a(2, 2, 1, 1),
            QuantizedAveragePool => a(1, 1, 1, 1),
            CompressedMatMul => a(2, 7, 1, 2),
            ExpandWeights => a(1, 4, 1, 1),
            DynamicMatMul => a(4, 6, 2, 2),
            Int16Conv | Int16Depthwise => a(4, 4, 1, 1),
            Int16Add | Int16Mul => a(2, 2, 1, 1),
            Int16Pool => a(1, 1, 1, 1),
            If => a(1, 1, 0, MANY),
            Loop => a(0, MANY, 0, MANY),
            Scan => a(0, MANY, 0, MANY),
        }
    }
}

impl Op {
    /// The inputs on which output `output` may lie exactly (same offset, same element type, and at run time the same
    /// number of bytes), as a bit mask. An output never overlaps an input in any other way, and lies on at most one
    /// input operand.
    pub fn in_place_inputs(&self, output: usize) -> u32 {
        if output != 0 {
            return 0;
        }
        match self {
            Op::Reshape(_)
            | Op::Unary(_)
            | Op::Softmax(_)
            | Op::Lookup(_)
            | Op::QuantizedMul(_)
            | Op::Int16Mul(_) => 0b1,
            Op::Binary(_) | Op::QuantizedAdd(_) | Op::Int16Add(_) => 0b11,
            // A later step may need the main input again.
            Op::Chain(op) => {
                let reads = |m: &Micro| m.kind != MicroKind::Unary && m.operand == 0;
                !op.steps.iter().any(reads) as u32
            }
            Op::ScatterElements(_) | Op::ScatterNd(_) | Op::TensorScatter(_) => 0b1,
            _ => 0,
        }
    }
}
