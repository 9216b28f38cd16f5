//! What a step computes and moves: the arithmetic of its plain definition, and the bytes that it has to touch.
//!
//! Operations are two a multiply-add for products and convolutions, padding included; one an element for each
//! elementary function elsewhere (a square root counts as much as an addition). Movements, comparisons and conversions of
//! type count nothing. What a cleverer algorithm saves still counts, so that figures compare between algorithms.

use cygnet_runtime::format::Op;
use cygnet_runtime::format::op::{PoolKind, ResizeMode};
use cygnet_runtime::format::program::{Place, Program, StepInfo, TensorId};
use std::collections::BTreeSet;

/// The unit of a core that a step's arithmetic is bound by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Arithmetic {
    /// Floating-point multiply-adds.
    Float,
    /// Products of 8-bit integers with 32-bit sums.
    Integer,
}

/// What one execution of a step does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cost {
    /// Which unit the operations need.
    pub arithmetic: Arithmetic,
    /// Arithmetic operations.
    pub operations: u64,
    /// Bytes of the arena read and written.
    pub arena_bytes: u64,
    /// Bytes of constants read.
    pub constant_bytes: u64,
}

/// The shape that a tensor has while the step runs; empty where nothing is known of it.
pub type Shapes<'a> = &'a dyn Fn(TensorId) -> Vec<usize>;

/// The operands of a step with their shapes.
struct Operands<'a> {
    step: &'a StepInfo<'a>,
    shapes: Shapes<'a>,
}

impl Operands<'_> {
    fn input(&self, i: usize) -> Vec<u64> {
        self.shape(self.step.inputs.get(i))
    }

    fn output(&self) -> Vec<u64> {
        self.shape(self.step.outputs.iter().flatten().next())
    }

    fn shape(&self, id: Option<TensorId>) -> Vec<u64> {
        id.map(self.shapes)
            .unwrap_or_default()
            .iter()
            .map(|&d| d as u64)
            .collect()
    }

    fn has(&self, i: usize) -> bool {
        self.step.inputs.get(i).is_some()
    }
}

fn volume(shape: &[u64]) -> u64 {
    shape.iter().fold(1, |v, &d| v.saturating_mul(d))
}

/// Dimension `from_end` (1 is the last) of a shape; 1 where there is none.
fn last(shape: &[u64], from_end: usize) -> u64 {
    let at = shape.len().checked_sub(from_end);
    at.and_then(|i| shape.get(i)).copied().unwrap_or(1)
}

fn taps(kernel: &[i32]) -> u64 {
    kernel.iter().map(|&k| k.max(1) as u64).product()
}

/// Operations of a fast Fourier transform of `n` points (Cooley and Tukey 1965).
fn transform(n: u64) -> u64 {
    5 * n * u64::from(n.max(2).ilog2())
}

/// Operations of an operator on these operands, and the unit that they need. Every operator is named: a new one does not
/// compile until somebody has said what it counts.
fn operations(op: &Op, x: &Operands<'_>) -> (Arithmetic, u64) {
    let outputs = volume(&x.output());
    let inputs = volume(&x.input(0));
    // Products over the input channels of one group.
    let conv = |kernel: &[i32], group: u32| {
        let depth = last(&x.input(0), 1) / u64::from(group.max(1));
        2 * outputs * taps(kernel) * depth
    };
    let integer = |operations| (Arithmetic::Integer, operations);
    let float = match op {
        Op::Reshape(_)
        | Op::Transpose(_)
        | Op::Slice(_)
        | Op::Concat(_)
        | Op::Pad(_)
        | Op::Expand(_)
        | Op::Tile(_)
        | Op::Gather(_)
        | Op::GatherElements(_)
        | Op::GatherNd(_)
        | Op::ScatterElements(_)
        | Op::ScatterNd(_)
        | Op::Where(_)
        | Op::Compress(_)
        | Op::NonZero(_)
        | Op::Unique(_)
        | Op::TopK(_)
        | Op::NonMaxSuppression(_)
        | Op::OneHot(_)
        | Op::Range(_)
        | Op::Trilu(_)
        | Op::ReverseSequence(_)
        | Op::TensorScatter(_)
        | Op::DimValues(_)
        | Op::Cast(_)
        | Op::PackB(_)
        | Op::ArgReduce(_)
        | Op::MaxUnpool(_)
        | Op::MaxRoiPool(_)
        // What their bodies do is in the steps of the bodies.
        | Op::If(_)
        | Op::Loop(_)
        | Op::Scan(_) => 0,

        Op::Cumulative(_) | Op::Unary(_) | Op::Binary(_) => outputs,
        Op::Chain(o) => outputs * o.steps.len() as u64,

        Op::MatMulInteger(_) => return integer(2 * outputs * last(&x.input(0), 1)),
        Op::ConvInteger(o) => return integer(conv(&o.kernel, o.group)),
        // An empty kernel is a product over the last axis.
        Op::QuantizedConv(o) => return integer(conv(&o.kernel, o.group)),
        Op::Int16Conv(o) => return integer(conv(&o.kernel, o.group)),
        Op::Int16Depthwise(o) => return integer(2 * outputs * taps(&o.kernel)),
        Op::QuantizedDepthwise(o) => return integer(2 * outputs * taps(&o.kernel)),
        Op::DynamicMatMul(_) => return integer(2 * outputs * last(&x.input(0), 1)),
        Op::MatMul(_) | Op::CompressedMatMul(_) => 2 * outputs * last(&x.input(0), 1),
        Op::Conv(o) => conv(&o.kernel, o.group),
        Op::WinogradConv(_) => conv(&[3, 3], 1),
        Op::DeformConv(o) => conv(&o.kernel, o.group),
        Op::DepthwiseConv(o) => 2 * outputs * taps(&o.kernel),
        Op::ConvTranspose(o) => {
            2 * inputs * taps(&o.kernel) * last(&x.output(), 1) / u64::from(o.group.max(1))
        }
        Op::SeparableConv(o) => {
            let channels = last(&x.input(3), 1);
            let pixels = outputs / last(&x.output(), 1).max(1);
            let expand = if x.has(1) { inputs * channels } else { 0 };
            let project = if x.has(5) { outputs * channels } else { 0 };
            2 * (expand + pixels * channels * taps(&o.kernel) + project)
        }
        Op::Attention(_) => {
            // Two products of [S, D] x [D, T] and [S, T] x [T, E].
            let scores = volume(&x.input(0)) / last(&x.input(0), 1).max(1) * last(&x.input(1), 2);
            2 * scores * (last(&x.input(0), 1) + last(&x.input(2), 1))
        }
        Op::Lstm(_) | Op::Gru(_) | Op::Rnn(_) => {
            let positions = inputs / last(&x.input(0), 1).max(1);
            2 * positions * (volume(&x.input(1)) + volume(&x.input(2)))
        }
        // Elimination: n^3 / 3 multiply-adds.
        Op::Det(_) => inputs * last(&x.input(0), 1) * 2 / 3,
        Op::Dft(o) => {
            let n = x.input(0).get(o.axis.max(0) as usize).copied().unwrap_or(1);
            inputs / (n * last(&x.input(0), 1)).max(1) * transform(n)
        }
        Op::Stft(o) => {
            let frames = last(&x.output(), 3) * x.output().first().copied().unwrap_or(1);
            frames * transform(u64::from(o.length))
        }

        Op::Reduce(_) => inputs,
        // Largest, difference, exponential, sum, quotient.
        Op::Softmax(_) => 5 * outputs,
        // Sum, difference, square, sum, product; scale and bias.
        Op::LayerNorm(_) | Op::GroupNorm(_) => 7 * inputs,
        Op::Lrn(o) => outputs * (2 * u64::from(o.size) + 3),
        Op::LpNorm(_) => 3 * outputs,

        Op::Pool(o) => match o.kind {
            PoolKind::Max => 0,
            _ => outputs * taps(&o.kernel),
        },
        Op::QuantizedAveragePool(o) if o.kernel.is_empty() => inputs,
        Op::Int16Pool(o) if o.kernel.is_empty() => inputs,
        Op::Int16Pool(o) => outputs * taps(&o.kernel),
        Op::QuantizedAveragePool(o) => outputs * taps(&o.kernel),
        Op::RoiAlign(o) => 8 * outputs * u64::from(o.sampling_ratio.max(1)).pow(2),
        // Weights times elements, along two axes.
        Op::Resize(o) => match o.mode {
            ResizeMode::Nearest => 0,
            ResizeMode::Linear => 2 * 4 * outputs,
            ResizeMode::Cubic => 2 * 16 * outputs,
        },
        Op::GridSample(o) => match o.mode {
            ResizeMode::Nearest => 0,
            ResizeMode::Linear => 2 * 4 * outputs,
            ResizeMode::Cubic => 2 * 16 * outputs,
        },
        Op::Col2Im(_) => inputs,

        // A multiply-add an element.
        Op::QuantizeLinear(_)
        | Op::DequantizeLinear(_)
        | Op::DynamicQuantizeLinear(_)
        | Op::Requantize(_) => 2 * inputs,
        Op::ExpandWeights(_) => 2 * outputs,
        Op::QuantizedAdd(_) | Op::Int16Add(_) => 4 * outputs,
        Op::QuantizedMul(_) | Op::Int16Mul(_) => 2 * outputs,
        Op::Lookup(_) => 0,
    };
    (Arithmetic::Float, float)
}

/// Bytes that an operand has to give or take, where that is not all of it: the elements that are picked.
fn partly(op: &Op, input: usize, outputs: u64) -> Option<u64> {
    match op {
        Op::Gather(_) | Op::GatherElements(_) | Op::GatherNd(_) | Op::Slice(_) if input == 0 => {
            Some(outputs)
        }
        _ => None,
    }
}

/// What one execution of `step` does on tensors of these shapes.
///
/// An operand that is read twice counts once; a table counts with the rows that are picked. A reshape in place, an update
/// in place and the scratch of a convolution move what they have to, not their whole operands. Control flow moves
/// nothing of its own.
pub fn cost(program: &Program<'_>, step: &StepInfo<'_>, shapes: Shapes<'_>) -> Option<Cost> {
    let op = step.op()?;
    let operands = Operands { step, shapes };
    let bytes = |id: TensorId| {
        let size = program.tensor(id).dtype.size() as u64;
        volume(&operands.shape(Some(id))).saturating_mul(size)
    };
    let place = |id: Option<TensorId>| id.map(|id| program.tensor(id).place);
    let result = step.outputs.iter().flatten().next();
    let in_place = place(step.inputs.get(0)) == place(result);
    let (mut arena, mut constant) = (0u64, 0u64);
    let mut seen = BTreeSet::new();
    let updates = matches!(
        op,
        Op::ScatterElements(_) | Op::ScatterNd(_) | Op::TensorScatter(_)
    );
    let control = matches!(op, Op::If(_) | Op::Loop(_) | Op::Scan(_));
    let still = matches!(op, Op::Reshape(_)) && in_place;
    if !control && !still {
        for (i, id) in step.inputs.iter().enumerate() {
            let Some(id) = id.filter(|id| seen.insert(*id)) else {
                continue;
            };
            if updates && in_place && i == 0 {
                continue;
            }
            let picked = result.and_then(|r| partly(&op, i, bytes(r)));
            let moved = picked.map_or(bytes(id), |p| p.min(bytes(id)));
            match program.tensor(id).place {
                Place::Const(_) => constant = constant.saturating_add(moved),
                _ => arena = arena.saturating_add(moved),
            }
        }
        if updates && in_place {
            let written = step.inputs.get(if matches!(op, Op::TensorScatter(_)) {
                1
            } else {
                2
            });
            arena = arena.saturating_add(written.map_or(0, bytes));
        } else {
            let scratch = matches!(
                op,
                Op::SeparableConv(_)
                    | Op::WinogradConv(_)
                    | Op::CompressedMatMul(_)
                    | Op::DynamicMatMul(_)
            );
            for id in step
                .outputs
                .iter()
                .flatten()
                .take(if scratch { 1 } else { usize::MAX })
            {
                arena = arena.saturating_add(bytes(id));
            }
        }
    }
    let (arithmetic, operations) = operations(&op, &operands);
    Some(Cost {
        arithmetic,
        operations,
        arena_bytes: arena,
        constant_bytes: constant,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use cygnet_format::op::{
        Attention, Chain, CompressedMatMul, ConvInteger, DepthwiseConv, DynamicMatMul, Gather,
        MatMul, MatMulInteger, Micro, QuantizedConv, QuantizedDepthwise, Reshape, ScatterNd,
        SeparableConv, WinogradConv,
    };
    use cygnet_format::write::{
        BlockDesc, PlaceDesc, ProgramDesc, StepDesc, TensorDesc, write_program,
    };
    use cygnet_format::{DType, Dim, dim::Axes};

    /// A program of one step; constants are the operands marked so, everything else lies apart in the arena.
    struct One {
        desc: ProgramDesc,
    }

    impl One {
        fn new() -> One {
            One {
                desc: ProgramDesc::default(),
            }
        }

        fn tensor(&mut self, dtype: DType, shape: &[usize], place: PlaceDesc) -> Option<TensorId> {
            let bytes = shape.iter().product::<usize>() * dtype.size();
            let id = TensorId(self.desc.tensors.len() as u32);
            self.desc.tensors.push(TensorDesc {
                name: format!("t{}", id.0),
                dtype,
                dims: shape.iter().map(|&d| Dim(d as i32)).collect(),
                place,
                bytes_bound: bytes as u64,
            });
            Some(id)
        }

        fn arena(&mut self, dtype: DType, shape: &[usize]) -> Option<TensorId> {
            let offset = self.desc.arena_bytes;
            let id = self.tensor(dtype, shape, PlaceDesc::Arena { offset });
            let bytes = self.desc.tensors.last().map_or(0, |t| t.bytes_bound);
            self.desc.arena_bytes += bytes.next_multiple_of(64);
            id
        }

        /// At the place of `other`.
        fn upon(&mut self, other: Option<TensorId>, shape: &[usize]) -> Option<TensorId> {
            let t = self.desc.tensors[other?.0 as usize].clone();
            self.tensor(t.dtype, shape, t.place)
        }

        fn constant(&mut self, dtype: DType, shape: &[usize]) -> Option<TensorId> {
            let data = vec![0; shape.iter().product::<usize>() * dtype.size()].into();
            self.tensor(dtype, shape, PlaceDesc::Const { data })
        }

        fn cost(
            mut self,
            op: impl Into<Op>,
            inputs: &[Option<TensorId>],
            outputs: &[Option<TensorId>],
        ) -> Cost {
            let is_arena = |id: &TensorId| {
                matches!(
                    self.desc.tensors[id.0 as usize].place,
                    PlaceDesc::Arena { .. }
                )
            };
            self.desc.inputs = inputs.iter().flatten().copied().filter(is_arena).collect();
            self.desc.outputs = outputs.iter().flatten().copied().collect();
            self.desc.blocks.push(BlockDesc {
                steps: vec![StepDesc {
                    op: op.into(),
                    inputs: inputs.to_vec(),
                    outputs: outputs.to_vec(),
                    name: String::new(),
                }],
                ..Default::default()
            });
            let bytes = write_program(&self.desc).unwrap();
            let program = Program::parse(&bytes).unwrap();
            let shapes = |id: TensorId| {
                let dims = program.tensor(id).dims;
                dims.iter().map(|d| d.as_const().unwrap()).collect()
            };
            cost(&program, &program.step(0).unwrap(), &shapes).unwrap()
        }
    }

    fn axes(values: &[i32]) -> Axes {
        Axes::new(values).unwrap()
    }

    #[test]
    fn products_count_two_a_multiply_add() {
        use DType::{F32, I8, I32, U8};
        let mut p = One::new();
        let (x, y) = (p.arena(F32, &[5, 7]), p.arena(F32, &[5, 20]));
        let w = p.constant(F32, &[2, 7, 16]);
        let got = p.cost(MatMul::default(), &[x, w, None, None], &[y]);
        let want = Cost {
            arithmetic: Arithmetic::Float,
            operations: 2 * 5 * 7 * 20,
            arena_bytes: 4 * (5 * 7 + 5 * 20),
            constant_bytes: 4 * 2 * 7 * 16,
        };
        assert_eq!(got, want);

        let mut p = One::new();
        let (x, y) = (p.arena(U8, &[3, 8]), p.arena(I32, &[3, 4]));
        let w = p.constant(I8, &[8, 4]);
        let got = p.cost(MatMulInteger {}, &[x, w, None, None], &[y]);
        assert_eq!(got.arithmetic, Arithmetic::Integer);
        assert_eq!(got.operations, 2 * 3 * 8 * 4);
        assert_eq!((got.arena_bytes, got.constant_bytes), (24 + 48, 32));

        let mut p = One::new();
        let (x, y) = (p.arena(U8, &[1, 6, 6, 8]), p.arena(I32, &[1, 4, 4, 10]));
        let w = p.constant(I8, &[10, 9, 4]);
        let op = ConvInteger {
            kernel: axes(&[3, 3]),
            strides: axes(&[1, 1]),
            dilations: axes(&[1, 1]),
            pads: axes(&[0; 4]),
            group: 2,
        };
        let got = p.cost(op, &[x, w, None, None], &[y]);
        assert_eq!(got.operations, 2 * 160 * 9 * 4);

        let mut p = One::new();
        let (x, y) = (p.arena(U8, &[3, 8]), p.arena(U8, &[3, 20]));
        let w = p.constant(I8, &[1, 2, 1, 2, 16, 4]);
        let (start, multiplier) = (p.constant(I32, &[2, 20]), p.constant(F32, &[20]));
        let op = QuantizedConv {
            group: 1,
            ..Default::default()
        };
        let got = p.cost(op, &[x, w, start, multiplier, None], &[y]);
        assert_eq!(got.arithmetic, Arithmetic::Integer);
        assert_eq!(got.operations, 2 * 3 * 8 * 20);
        assert_eq!(got.arena_bytes, 3 * (8 + 20));
        assert_eq!(got.constant_bytes, 2 * 2 * 64 + 2 * 20 * 4 + 20 * 4);

        let mut p = One::new();
        let (x, y) = (p.arena(U8, &[1, 5, 5, 8]), p.arena(U8, &[1, 5, 5, 8]));
        let (w, start) = (p.constant(I8, &[9, 8]), p.constant(I32, &[2, 8]));
        let multiplier = p.constant(F32, &[8]);
        let op = QuantizedDepthwise {
            kernel: axes(&[3, 3]),
            strides: axes(&[1, 1]),
            dilations: axes(&[1, 1]),
            pads: axes(&[1; 4]),
            ..Default::default()
        };
        let got = p.cost(op, &[x, w, start, multiplier, None], &[y]);
        assert_eq!(got.arithmetic, Arithmetic::Integer);
        assert_eq!(got.operations, 2 * 200 * 9);

        let mut p = One::new();
        let q = p.arena(F32, &[2, 6, 8]);
        let (k, v) = (p.arena(F32, &[2, 5, 8]), p.arena(F32, &[2, 5, 3]));
        let y = p.arena(F32, &[2, 6, 3]);
        let got = p.cost(Attention::default(), &[q, k, v, None], &[y]);
        assert_eq!(got.operations, 2 * 2 * 6 * 5 * (8 + 3));
    }

    #[test]
    fn products_of_few_bits_count_as_others_do() {
        use DType::{F16, F32, I8, I32, U32};
        let mut p = One::new();
        let (x, y) = (p.arena(F32, &[5, 64]), p.arena(F32, &[5, 20]));
        let scratch = p.arena(F32, &[4, 64 * 16]);
        let (w, scales) = (p.constant(U32, &[2, 8, 16]), p.constant(F16, &[2, 2, 16]));
        let op = CompressedMatMul {
            bits: 4,
            group: 32,
            ..Default::default()
        };
        let got = p.cost(op, &[x, w, scales], &[y, scratch]);
        let want = Cost {
            arithmetic: Arithmetic::Float,
            operations: 2 * 5 * 64 * 20,
            arena_bytes: 4 * (5 * 64 + 5 * 20),
            constant_bytes: 4 * 2 * 8 * 16 + 2 * 2 * 2 * 16,
        };
        assert_eq!(got, want);

        let mut p = One::new();
        let (x, y) = (p.arena(F32, &[5, 64]), p.arena(F32, &[5, 20]));
        let scratch = p.arena(I32, &[5 * 34]);
        let w = p.constant(I8, &[2, 16, 16, 4]);
        let (sums, scale) = (p.constant(I32, &[20]), p.constant(F32, &[20]));
        let op = DynamicMatMul::default();
        let got = p.cost(op, &[x, w, sums, scale], &[y, scratch]);
        assert_eq!(got.arithmetic, Arithmetic::Integer);
        assert_eq!(got.operations, 2 * 5 * 64 * 20);
        assert_eq!(got.arena_bytes, 4 * (5 * 64 + 5 * 20));
    }

    #[test]
    fn bands_count_their_three_convolutions_and_no_scratch() {
        use DType::F32;
        let mut p = One::new();
        let (x, y) = (p.arena(F32, &[1, 8, 8, 4]), p.arena(F32, &[1, 8, 8, 6]));
        let scratch = p.arena(F32, &[1, 1000]);
        let expand = p.constant(F32, &[1, 2, 4, 16]);
        let depthwise = p.constant(F32, &[9, 24]);
        let project = p.constant(F32, &[1, 1, 24, 16]);
        let op = SeparableConv {
            kernel: axes(&[3, 3]),
            strides: axes(&[1, 1]),
            pads: axes(&[1; 4]),
            band: 2,
            ..Default::default()
        };
        let inputs = [x, expand, None, depthwise, None, project, None, None];
        let got = p.cost(op, &inputs, &[y, scratch]);
        assert_eq!(got.operations, 2 * 64 * (4 * 24 + 9 * 24 + 24 * 6));
        assert_eq!(got.arena_bytes, 4 * 64 * (4 + 6));
        assert_eq!(got.constant_bytes, 4 * (2 * 4 * 16 + 9 * 24 + 24 * 16));
    }

    #[test]
    fn winograd_counts_the_plain_convolution() {
        use DType::F32;
        let mut p = One::new();
        let (x, y) = (p.arena(F32, &[1, 8, 8, 16]), p.arena(F32, &[1, 8, 8, 20]));
        let scratch = p.arena(F32, &[9000]);
        let w = p.constant(F32, &[1, 2, 144, 16]);
        let op = WinogradConv {
            pads: axes(&[1; 4]),
            depth: 16,
            ..Default::default()
        };
        let got = p.cost(op, &[x, w, None, None], &[y, scratch]);
        assert_eq!(got.operations, 2 * 64 * 20 * 9 * 16);
        assert_eq!(got.arena_bytes, 4 * 64 * (16 + 20));
    }

    #[test]
    fn depthwise_and_elementwise_count_by_output() {
        use DType::F32;
        let mut p = One::new();
        let (x, y) = (p.arena(F32, &[1, 5, 5, 8]), p.arena(F32, &[1, 5, 5, 8]));
        let w = p.constant(F32, &[9, 8]);
        let op = DepthwiseConv {
            kernel: axes(&[3, 3]),
            strides: axes(&[1, 1]),
            dilations: axes(&[1, 1]),
            pads: axes(&[1; 4]),
            ..Default::default()
        };
        assert_eq!(
            p.cost(op, &[x, w, None, None], &[y]).operations,
            2 * 200 * 9
        );

        let mut p = One::new();
        let x = p.arena(F32, &[10]);
        let y = p.upon(x, &[10]);
        let mut op = Chain::default();
        for _ in 0..3 {
            op.steps.push(Micro::default()).unwrap();
        }
        let got = p.cost(op, &[x], &[y]);
        assert_eq!((got.operations, got.arena_bytes), (30, 80));
    }

    #[test]
    fn movements_count_what_they_touch() {
        use DType::{F32, I64};
        let mut p = One::new();
        let (ids, y) = (p.arena(I64, &[3]), p.arena(F32, &[3, 16]));
        let table = p.constant(F32, &[1000, 16]);
        let got = p.cost(Gather { axis: 0 }, &[table, ids], &[y]);
        assert_eq!((got.operations, got.constant_bytes), (0, 3 * 64));
        assert_eq!(got.arena_bytes, 3 * 8 + 3 * 64);

        let mut p = One::new();
        let x = p.arena(F32, &[2, 8]);
        let y = p.upon(x, &[16]);
        let got = p.cost(Reshape {}, &[x], &[y]);
        assert_eq!(got.arena_bytes, 0);

        let mut p = One::new();
        let (x, y) = (p.arena(F32, &[2, 8]), p.arena(F32, &[16]));
        assert_eq!(p.cost(Reshape {}, &[x], &[y]).arena_bytes, 128);

        let mut p = One::new();
        let x = p.arena(F32, &[1000]);
        let (ids, updates) = (p.arena(I64, &[4, 1]), p.arena(F32, &[4]));
        let y = p.upon(x, &[1000]);
        let got = p.cost(ScatterNd::default(), &[x, ids, updates], &[y]);
        assert_eq!(got.arena_bytes, 4 * 8 + 2 * 4 * 4);
    }
}
