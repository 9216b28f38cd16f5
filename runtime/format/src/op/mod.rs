//! The operator table: one row an operator. Codes are append-only.
//!
//! Conventions. Spatial operators are channels-last: `x` is `[N, S.., C]` with one to three spatial axes `S`.
//! `pads` holds all begins, then all ends. Axes are non-negative. An optional operand that is absent is "none".
//! Output shapes are stored with the tensors; an operator never computes them, except data-dependent ones, whose
//! dimensions are run-time symbols set by the step (marked "sets").

mod arity;
mod kinds;
mod separable;

pub use arity::Arity;
pub use kinds::*;

use crate::attr::{Attr, List, Words};
use crate::dim::{Axes, BlockId, Dims};
use core::fmt;

macro_rules! operators {
    ($($(#[$m:meta])* $code:literal $name:ident $module:ident { $($(#[$fm:meta])* $f:ident : $t:ty),* $(,)? })*) => {
        $(
            $(#[$m])*
            #[derive(Clone, Copy, Debug, Default, PartialEq)]
            pub struct $name { $(#[allow(missing_docs)] $(#[$fm])* pub $f: $t,)* }

            impl From<$name> for Op { fn from(op: $name) -> Op { Op::$name(op) } }
        )*

        /// An operator with its attributes.
        #[derive(Clone, Copy, Debug, PartialEq)]
        #[allow(missing_docs, clippy::large_enum_variant)]
        pub enum Op { $($name($name),)* }

        /// The stored code of an operator.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        #[repr(u16)]
        #[allow(missing_docs)]
        pub enum OpCode { $($name = $code,)* }

        impl OpCode {
            /// Every operator, in table order.
            pub const ALL: &'static [OpCode] = &[$(OpCode::$name,)*];

            /// The operator's name in dumps and reports.
            pub const fn name(self) -> &'static str { match self { $(OpCode::$name => stringify!($module),)* } }

            /// Operator of a stored code.
            pub const fn from_code(code: u16) -> Option<OpCode> { match code { $($code => Some(OpCode::$name),)* _ => None } }

            /// Operator of a name.
            pub fn from_name(name: &str) -> Option<OpCode> {
                $(if name == stringify!($module) { return Some(OpCode::$name); })*
                None
            }
        }

        impl Op {
            /// The operator's code.
            pub const fn code(&self) -> OpCode { match self { $(Op::$name(_) => OpCode::$name,)* } }

            /// Emits the attribute words.
            pub fn encode(&self, emit: &mut dyn FnMut(u32)) {
                let _ = &emit;
                match self { $(Op::$name(_op) => { $(_op.$f.encode(emit);)* })* }
            }

            /// Reads the attributes of operator `code`; `None` when the words are not exactly a valid value.
            pub fn decode(code: OpCode, words: &mut Words<'_>) -> Option<Op> {
                let op = match code { $(OpCode::$name => Op::$name($name { $($f: <$t as Attr>::decode(words)?,)* }),)* };
                words.is_empty().then_some(op)
            }

            /// Writes the attributes as `name=value` pairs separated by spaces.
            pub fn write_attributes(&self, f: &mut dyn fmt::Write) -> fmt::Result {
                let mut separator = "";
                let _ = (&f, &mut separator);
                match self { $(Op::$name(_op) => {
                    $(f.write_str(separator)?; f.write_str(concat!(stringify!($f), "="))?; _op.$f.write_text(f)?; separator = " ";)*
                })* }
                let _ = separator;
                Ok(())
            }

            /// Reads what [`Op::write_attributes`] wrote; attributes left out take their defaults.
            pub fn parse_attributes(code: OpCode, text: &str) -> Option<Op> {
                match code { $(OpCode::$name => {
                    #[allow(unused_mut)]
                    let mut op = $name::default();
                    for pair in text.split_whitespace() {
                        let (_key, _value) = pair.split_once('=')?;
                        $(if _key == stringify!($f) { op.$f = <$t as Attr>::parse_text(_value)?; continue; })*
                        return None;
                    }
                    Some(Op::$name(op))
                })* }
            }
        }

        /// Calls the macro `$callback` with every row as `Name module,`.
        #[macro_export]
        macro_rules! for_each_operator {
            ($callback:ident) => { $callback! { $($name $module,)* } };
        }
    };
}

operators! {
    // ---- Movement: any element type unless said otherwise ----

    /// `x -> y`, same element count, new shape. In place where the plan allows.
    1 Reshape reshape {}
    /// `x -> y`; `y.shape[i] = x.shape[perm[i]]`.
    2 Transpose transpose { perm: Axes }
    /// `x -> y`; element `i` of an axis is `x[starts + i*steps]`. All axes are listed; steps may be negative.
    3 Slice slice { starts: Dims, steps: Axes }
    /// `x0, x1, .. -> y`.
    4 Concat concat { axis: i32 }
    /// `x, value? -> y`; `before` elements precede each axis, the output shape says how many follow.
    5 Pad pad { before: Dims, mode: PadMode }
    /// `x -> y`, NumPy broadcast to the output shape.
    6 Expand expand {}
    /// `x -> y`, each axis repeated as the shapes say.
    7 Tile tile {}
    /// `x, indices(i32|i64) -> y`; negative indices count from the end.
    8 Gather gather { axis: i32 }
    /// `x, indices -> y` with the shape of `indices`.
    9 GatherElements gather_elements { axis: i32 }
    /// `x, indices -> y`, ONNX GatherND.
    10 GatherNd gather_nd { batch_dims: u32 }
    /// `x, indices, updates -> y`.
    11 ScatterElements scatter_elements { axis: i32, reduction: ScatterReduction }
    /// `x, indices, updates -> y`.
    12 ScatterNd scatter_nd { reduction: ScatterReduction }
    /// `condition(bool), x, y -> z`, broadcasting.
    13 Where where_select {}
    /// `x, condition(bool) -> y`; axis -1 flattens. Sets output dimension `axis` (0 when flat).
    14 Compress compress { axis: i32 }
    /// `x -> indices(i64)[rank, count]`. Sets output dimension 1.
    15 NonZero non_zero {}
    /// `x -> y, first_index(i64)?, inverse(i64)?, counts(i64)?`; axis -1 flattens. Sets dimension `axis` (0 when flat)
    /// of `y` and dimension 0 of `first_index` and `counts`.
    16 Unique unique { axis: i32, sorted: bool }
    /// `x -> values, indices(i64)`; k is the output's length on `axis`. Ties: the smaller index first.
    17 TopK top_k { axis: i32, largest: bool, sorted: bool }
    /// `boxes[B,N,4](f32), scores[B,C,N](f32), max_per_class(i64)?, iou_threshold(f32)?, score_threshold(f32)? ->
    /// selected(i64)[count,3]`. Sets output dimension 0.
    18 NonMaxSuppression non_max_suppression { center_point_box: bool }
    /// `indices, values[2] -> y`; depth is the output's length on `axis`.
    19 OneHot one_hot { axis: i32 }
    /// `start, limit, delta (scalars) -> y[count]`. Sets output dimension 0 when it is a run-time symbol.
    20 Range range {}
    /// `x, k(i64)? -> y`; keeps the upper or lower triangle of the last two axes.
    21 Trilu trilu { upper: bool }
    /// `x, lengths(i64) -> y`.
    22 ReverseSequence reverse_sequence { batch_axis: i32, time_axis: i32 }
    /// `x -> y`, cumulative sum or product along `axis`.
    23 Cumulative cumulative { axis: i32, exclusive: bool, reverse: bool, product: bool }
    /// `cache, update, write_indices(i64)? -> y`; batch axis 0.
    24 TensorScatter tensor_scatter { axis: i32, circular: bool }
    /// `-> y(i64)[n]`, the actual values of dimensions.
    25 DimValues dim_values { values: Dims }

    // ---- Elementwise ----

    /// `x -> y`.
    30 Unary unary { kind: UnaryKind, a: f32, b: f32 }
    /// `x, y -> z`, NumPy broadcasting. Comparisons and logic give bool.
    31 Binary binary { kind: BinaryKind }
    /// `x -> y` of another element type. `saturate` matters for the 8-bit floats only.
    32 Cast cast { saturate: bool }
    /// `x0(f32), x1.. -> y(f32)`: starts with `x0`, applies the steps in order. Each operand broadcasts to the output.
    33 Chain chain { steps: List<Micro, 16> }

    // ---- Linear algebra (f32 unless said otherwise) ----

    /// `b[.., K, N]` (or `[.., N, K]` when `trans`) `-> [.., ceil(N/16), K, 16]`, zero-padded panels.
    40 PackB pack_b { trans: bool }
    /// `a[.., M, K], b packed[.., P, K, 16], bias[N]?, residual? -> y[.., M, N] = act(alpha*a*b + bias + residual)`.
    /// Leading axes broadcast.
    41 MatMul mat_mul { alpha: f32, act: Activation }
    /// `x[N,S..,C], w packed[G, P, K, 16] with K = prod(kernel)*C/G, bias[O]?, residual? -> y[N,S'..,O]`.
    42 Conv conv { kernel: Axes, strides: Axes, dilations: Axes, pads: Axes, group: u32, act: Activation }
    /// `x[N,S..,C], w[prod(kernel), C], bias[C]?, residual? -> y[N,S'..,C]`.
    43 DepthwiseConv depthwise_conv { kernel: Axes, strides: Axes, dilations: Axes, pads: Axes, act: Activation }
    /// `x[N,S..,C], w[G, C/G, prod(kernel), O/G], bias[O]? -> y[N,S'..,O]`. The output shape is given.
    44 ConvTranspose conv_transpose { kernel: Axes, strides: Axes, dilations: Axes, pads: Axes, group: u32, act: Activation }
    /// `a[..,M,K](i8|u8), b[..,K,N](i8|u8), a_zero(scalar or [M])?, b_zero(scalar or [N])? -> y(i32)[..,M,N]`.
    45 MatMulInteger mat_mul_integer {}
    /// `x[N,S..,C](i8|u8), w[O, prod(kernel), C/G](i8|u8), x_zero?, w_zero(scalar or [O])? -> y(i32)[N,S'..,O]`.
    46 ConvInteger conv_integer { kernel: Axes, strides: Axes, dilations: Axes, pads: Axes, group: u32 }
    /// `acc(i32)[..,C], bias(i32)[C]?, multiplier(f32)[C] or [1], zero(scalar of y's type)? -> y(i8|u8|i16|u16)
    /// = clamp(round_half_even(f32(acc+bias)*multiplier) + zero, low..=high)`, within the range of y's type; when `low`
    /// and `high` are equal, that range alone. A fused Relu is `low = zero`.
    47 Requantize requantize { low: i32, high: i32 }
    /// `x[N,H,W,C], w[O, kh*kw, C/G], offset[N,Ho,Wo,D*kh*kw*2], bias[O]?, mask[N,Ho,Wo,D*kh*kw]? -> y[N,Ho,Wo,O]`.
    48 DeformConv deform_conv { kernel: Axes, strides: Axes, dilations: Axes, pads: Axes, group: u32, offset_group: u32 }
    /// `q[..,S,D], k[..,T,D], v[..,T,E], mask(f32, additive, broadcasts to [..,S,T])? -> y[..,S,E]
    /// = softmax(scale*q*k^T (+ mask, causal)) v`. Leading axes of q, k, v are equal.
    49 Attention attention { scale: f32, causal: bool, softcap: f32 }
    /// ONNX LSTM: `x[T,B,I], w[D,4H,I], r[D,4H,H], bias[D,8H]?, lengths(i32)[B]?, h0[D,B,H]?, c0[D,B,H]?, p[D,3H]? ->
    /// y[T,D,B,H]?, h[D,B,H]?, c[D,B,H]?`. Gate order i, o, f, c. `gates` holds f, g, h for each direction.
    50 Lstm lstm { direction: Direction, clip: f32, input_forget: bool, gates: List<Gate, 6> }
    /// ONNX GRU: `x, w[D,3H,I], r[D,3H,H], bias[D,6H]?, lengths?, h0? -> y?, h?`. Gate order z, r, h.
    51 Gru gru { direction: Direction, clip: f32, linear_before_reset: bool, gates: List<Gate, 4> }
    /// ONNX RNN: `x, w[D,H,I], r[D,H,H], bias[D,2H]?, lengths?, h0? -> y?, h?`.
    52 Rnn rnn { direction: Direction, clip: f32, gates: List<Gate, 2> }
    /// `x[..,M,M] -> y[..]`, determinant.
    53 Det det {}
    /// `x[.., n, 1 or 2] -> y[.., m, 2 or 1]` along `axis` (complex parts last); length from the output or, for
    /// `onesided` inverse, as the output shape says.
    54 Dft dft { axis: i32, inverse: bool, onesided: bool }
    /// `signal[B,L,1 or 2], window[n]? -> y[B,frames,bins,2]`.
    55 Stft stft { step: u32, length: u32, onesided: bool }
    /// `x[N,H,W,C], expand packed[1,P,C,16]?, bias[E]?, depthwise[kh*kw,E], bias[E]?, project packed[1,P,E,16]?,
    /// bias[O]?, residual? -> y[N,H',W',O], scratch(f32)[workers, n]`: a pointwise, a depthwise and a pointwise
    /// convolution, the first and the last of which may be absent (then `E` is `C` or `O`), by bands of `band` output
    /// rows: what lies between them exists for a band at a time, in the scratch of a worker.
    56 SeparableConv separable_conv { kernel: Axes, strides: Axes, pads: Axes, expand: Activation, depthwise: Activation, project: Activation, band: u32 }
    /// `x[N,H,W,C], w packed[1,P,9*C,16], bias[O]?, residual? -> y[N,H',W',O], scratch(f32)[n]`: as `conv` with a kernel
    /// of 3 x 3 and no strides, by F(4x4, 3x3) of Winograd's minimal filtering: sums are rounded otherwise. Weights of
    /// `depth` input channels, a multiple of 16, are transformed at a time. The scratch holds `36*(tiles*D +
    /// 16*ceil(C/depth) + 32*(tiles + depth) + 32)` elements, `D` being C rounded up to a multiple of `depth`, for at
    /// least one of the tiles of 4 x 4 outputs; more of it makes fewer passes over the weights and feeds more threads.
    57 WinogradConv winograd_conv { pads: Axes, depth: u32, act: Activation }
    /// `x[N,S..,C](i8|u8), w(i8) packed[G, ceil(O/G/16), kd*kh, ceil(kw*C/G/4), 16, 4], start(i32)[2,O],
    /// multiplier(f32)[O], residual(i8|u8)? -> y[N,S'..,O](i8|u8)`: sums, requantisation and the addition of a residual in
    /// one step. An empty kernel is a matrix product over the last axis of an `x` of any rank.
    58 QuantizedConv quantized_conv {
        kernel: Axes, strides: Axes, dilations: Axes, pads: Axes, group: u32, x_zero: i32, zero: i32, low: i32, high: i32,
        own: f32, other: f32, residual_zero: i32, sum_zero: i32, sum_low: i32, sum_high: i32
    }
    /// `x[N,S..,C](i8|u8), w(i8)[prod(kernel), C], start(i32)[2,C], multiplier(f32)[C], residual(i8|u8)? ->
    /// y[N,S'..,C](i8|u8)`, as `quantized_conv`.
    59 QuantizedDepthwise quantized_depthwise {
        kernel: Axes, strides: Axes, dilations: Axes, pads: Axes, x_zero: i32, zero: i32, low: i32, high: i32,
        own: f32, other: f32, residual_zero: i32, sum_zero: i32, sum_low: i32, sum_high: i32
    }

    // ---- Reductions and normalisation ----

    /// `x -> y`; reduced axes are kept with length 1 or dropped, as the output shape says.
    60 Reduce reduce { kind: ReduceKind, axes: Axes }
    /// `x -> indices(i64)`.
    61 ArgReduce arg_reduce { axis: i32, max: bool, last: bool }
    /// `x -> y` along one axis.
    62 Softmax softmax { axis: i32, kind: SoftmaxKind }
    /// `x, scale?, bias? -> y, mean?, inv_std?`; normalises over the axes from `axis` to the last. `scale` and `bias`
    /// broadcast to x. `rms`: no mean is subtracted.
    63 LayerNorm layer_norm { axis: i32, epsilon: f32, rms: bool }
    /// `x[N,S..,C], scale[C]?, bias[C]? -> y`; instance norm is `groups == C`.
    64 GroupNorm group_norm { groups: u32, epsilon: f32 }
    /// `x[N,S..,C] -> y`, across channels.
    65 Lrn lrn { size: u32, alpha: f32, beta: f32, bias: f32 }
    /// `x -> y`, divided by the L1 or L2 norm along `axis`.
    66 LpNorm lp_norm { axis: i32, p: u32 }

    // ---- Pooling and sampling ----

    /// `x[N,S..,C] -> y, indices(i64)?`. Indices are flat positions in the channels-first input, per ONNX MaxPool.
    70 Pool pool { kind: PoolKind, kernel: Axes, strides: Axes, dilations: Axes, pads: Axes, count_include_pad: bool, p: u32, column_major: bool }
    /// `x[N,S..,C], indices(i64) -> y[N,S'..,C]`: zeros, but `x[i]` at flat position `indices[i]` of the channels-first y.
    71 MaxUnpool max_unpool {}
    /// `x[N,H,W,C], rois[R,4], batch(i64)[R] -> y[R,oh,ow,C]`.
    72 RoiAlign roi_align { mode: RoiMode, sampling_ratio: u32, spatial_scale: f32, half_pixel: bool }
    /// `x[N,H,W,C], rois[R,5] -> y[R,oh,ow,C]`.
    73 MaxRoiPool max_roi_pool { spatial_scale: f32 }
    /// `x -> y`, any rank, separable. `scales[i]` is output/input per axis (0: take it from the shapes); `roi` is used by
    /// `tf_crop_and_resize` (starts, then ends).
    74 Resize resize {
        mode: ResizeMode, coordinates: CoordinateMode, nearest: NearestMode, cubic_a: f32, exclude_outside: bool,
        antialias: bool, extrapolation: f32, scales: List<f32, 8>, roi: List<f32, 16>
    }
    /// `x[N,S..,C], grid[N,S'..,rank] -> y[N,S'..,C]`.
    75 GridSample grid_sample { mode: ResizeMode, padding: GridPadding, align_corners: bool }
    /// `x[N, C*prod(kernel), L] -> y[N, C, image..]`, ONNX Col2Im (channels-first).
    76 Col2Im col2im { kernel: Axes, strides: Axes, dilations: Axes, pads: Axes }

    // ---- Quantisation ----

    /// `x(f32|i32), scale, zero? -> y`; scale is a scalar, a vector on `axis`, or blocked (`block > 0`) on `axis`.
    80 QuantizeLinear quantize_linear { axis: i32, block: u32, saturate: bool }
    /// `x, scale, zero? -> y(f32)`.
    81 DequantizeLinear dequantize_linear { axis: i32, block: u32 }
    /// `x(f32) -> y(u8), scale(f32), zero(u8)`.
    82 DynamicQuantizeLinear dynamic_quantize_linear {}
    /// `a, b -> y`, all i8 or all u8, all of one shape:
    /// `clamp(round_half_even(f32(a-a_zero)*a_multiplier + f32(b-b_zero)*b_multiplier) + zero, low..=high)`.
    83 QuantizedAdd quantized_add {
        a_zero: i32, a_multiplier: f32, b_zero: i32, b_multiplier: f32, zero: i32, low: i32, high: i32
    }
    /// `x[N,S..,C] -> y[N,S'..,C]`, both i8 or both u8: the mean of `x - x_zero` over a window, requantised. An empty
    /// kernel is the whole image, for which y is `[N,1..,C]` or `[N,C]`.
    84 QuantizedAveragePool quantized_average_pool {
        kernel: Axes, strides: Axes, dilations: Axes, pads: Axes, count_include_pad: bool,
        x_zero: i32, multiplier: f32, zero: i32, low: i32, high: i32
    }

    /// `a(f32)[..,K], w, scales(f32|f16)?, offsets?, table(f32)?, bias(f32)[N]?, residual(f32)? -> y(f32)[..,N]
    /// = act(a*b + bias + residual), scratch(f32)[workers, n]`: a product with compressed weights `b[K,N]`. With 16
    /// `bits`, w is `f16[P,K,16]`; with 2, 4 or 8, `u32[P,ceil(K*bits/32),16]`, signed integers for which `scales` and
    /// `offsets` (of the type of `scales`) are `[P,ceil(K/group),16]`, or positions in a `table[1 or P, 2^bits]`. The
    /// `group` is a multiple of 16, or 0 for all of K. A worker's scratch holds a panel of `K*16` floats.
    85 CompressedMatMul compressed_mat_mul { bits: u32, group: u32, act: Activation }
    /// `w, scales(f32|f16)?, offsets?, table(f32)? -> y(f32)`: weights compressed as in `compressed_mat_mul` to float
    /// panels `[..,P,K,16]`; those of 16 bits to floats of the same shape, whatever it is.
    86 ExpandWeights expand_weights { bits: u32, group: u32 }
    /// `x(f32)[..,K], w(i8) packed[P, ceil(K/4), 16, 4], sums(i32)[N], scale(f32)[N], bias(f32)[N]?, residual(f32)? ->
    /// y(f32)[..,N] = act(x*w*scale + bias + residual), scratch(i32)[n]`: a product of integers, for which each row of x
    /// is quantised to 8 bits by its own range; `sums` are those of the weights of a column. The scratch holds
    /// `2 + 2*ceil(K/4)` elements a row.
    87 DynamicMatMul dynamic_mat_mul { act: Activation }
    /// `x(i8|u8), table[256] -> y`, all of one type: `y[i]` is the entry of the table at the byte of `x[i]`, as unsigned.
    88 Lookup lookup {}
    /// `a, b -> y`, all i8 or all u8, y of the shape of `a`. `b` has that shape too, or lengths of 1 on all axes but the
    /// last and perhaps the first: `clamp(round_half_even(f32((a-a_zero)*(b-b_zero))*multiplier) + zero, low..=high)`.
    89 QuantizedMul quantized_mul { a_zero: i32, b_zero: i32, multiplier: f32, zero: i32, low: i32, high: i32 }

    // ---- Control flow: bodies are blocks; they read outer tensors by id ----

    /// `condition(bool) -> ys`: runs a block, then its outputs are copied to the outputs.
    90 If if_else { then_block: BlockId, else_block: BlockId }
    /// `trip_count(i64)?, condition(bool)?, carried.. -> carried.., scans..`. Body inputs: iteration(i64), condition,
    /// carried; outputs: condition, carried, scans. Scan outputs stack on axis 0: sets it when it is a run-time symbol.
    91 Loop loop_while { body: BlockId, carried: u32 }
    /// `states.., scanned.. -> states.., stacked..`; axes and directions per ONNX Scan (1 = reverse).
    92 Scan scan { body: BlockId, states: u32, input_axes: List<i32, 16>, input_reverse: List<u32, 16>, output_axes: List<i32, 16>, output_reverse: List<u32, 16> }

    // ---- 16-bit activations: symmetric, the integer 0 is the value 0. Bounds are as those of `requantize` ----

    /// `x[N,S..,C](i16), w(i8) packed[G, ceil(O/G/16), kd*kh, ceil(kw*C/G/4), 16, 4], bias(i32)[O], multiplier(f32)[O] ->
    /// y[N,S'..,O](i16) = clamp(round_half_even(f32(sum + bias)*multiplier), low..=high)`. An empty kernel is a matrix
    /// product over the last axis of an `x` of any rank. Sums wrap around at 32 bits: who writes a program sees to it
    /// that they fit.
    93 Int16Conv int16_conv { kernel: Axes, strides: Axes, dilations: Axes, pads: Axes, group: u32, low: i32, high: i32 }
    /// `x[N,S..,C](i16), w(i8)[prod(kernel), C], bias(i32)[C], multiplier(f32)[C] -> y[N,S'..,C](i16)`, as `int16_conv`.
    94 Int16Depthwise int16_depthwise { kernel: Axes, strides: Axes, dilations: Axes, pads: Axes, low: i32, high: i32 }
    /// `a, b -> y`, all i16, all of one shape:
    /// `clamp(round_half_even(f32(a)*a_multiplier + f32(b)*b_multiplier), low..=high)`.
    95 Int16Add int16_add { a_multiplier: f32, b_multiplier: f32, low: i32, high: i32 }
    /// `a, b -> y`, all i16, shapes as those of `quantized_mul`: `clamp(round_half_even(f32(a*b)*multiplier), low..=high)`.
    96 Int16Mul int16_mul { multiplier: f32, low: i32, high: i32 }
    /// `x[N,S..,C] -> y[N,S'..,C]`, both i16: the maximum over a window, without bounds, or the mean, requantised. An
    /// empty kernel is the whole image, for which y is `[N,1..,C]` or `[N,C]`.
    97 Int16Pool int16_pool {
        kind: PoolKind, kernel: Axes, strides: Axes, dilations: Axes, pads: Axes, count_include_pad: bool,
        multiplier: f32, low: i32, high: i32
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dim::Dim;
    use alloc::{string::String, vec::Vec};

    fn round_trip(op: Op) {
        let mut words = Vec::new();
        op.encode(&mut |w| words.extend_from_slice(&w.to_le_bytes()));
        assert_eq!(Op::decode(op.code(), &mut Words::new(&words)), Some(op));
        let mut text = String::new();
        op.write_attributes(&mut text).unwrap();
        assert_eq!(Op::parse_attributes(op.code(), &text), Some(op), "{text}");
    }

    #[test]
    fn attributes_survive_words_and_text() {
        round_trip(Reshape {}.into());
        round_trip(
            Conv {
                kernel: Axes::new(&[3, 3]).unwrap(),
                pads: Axes::new(&[1, 0, 1, 2]).unwrap(),
                group: 2,
                act: Activation {
                    kind: ActivationKind::Clip,
                    a: 0.1,
                    b: 6.0,
                },
                ..Default::default()
            }
            .into(),
        );
        round_trip(
            Slice {
                starts: Dims::new(&[Dim(3), Dim::expr(0)]).unwrap(),
                steps: Axes::new(&[-1, 2]).unwrap(),
            }
            .into(),
        );
        let micro = Micro {
            kind: MicroKind::Binary,
            code: 2,
            operand: 1,
            a: f32::INFINITY,
            b: -0.0,
        };
        round_trip(
            Chain {
                steps: List::new(&[micro, Micro::default()]).unwrap(),
            }
            .into(),
        );
        round_trip(
            If {
                then_block: BlockId(1),
                else_block: BlockId(2),
            }
            .into(),
        );
    }

    #[test]
    fn trailing_words_are_refused() {
        assert_eq!(
            Op::decode(OpCode::Concat, &mut Words::new(&[0, 0, 0, 0, 1, 0, 0, 0])),
            None
        );
        assert_eq!(Op::decode(OpCode::Concat, &mut Words::new(&[0, 0])), None);
    }

    #[test]
    fn names_and_codes_are_unique() {
        for &code in OpCode::ALL {
            assert_eq!(OpCode::from_name(code.name()), Some(code));
            assert_eq!(OpCode::from_code(code as u16), Some(code));
        }
    }
}
