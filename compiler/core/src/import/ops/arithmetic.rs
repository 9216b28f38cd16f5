//! Registry of the arithmetic operator families.

use super::{
    Translate, activation, attention, conv, elementwise, loss, matmul, ml, ngram, norm, optim,
    pool, random, recurrent, reduce, resize, sample, signal,
};

/// The translation of an operator of these families.
pub(super) fn find(domain: &str, op_type: &str) -> Option<Translate> {
    match domain {
        "" => standard(op_type),
        "ai.onnx.ml" => classical(op_type),
        "ai.onnx.preview.training" => training(op_type),
        "com.microsoft" => microsoft(op_type),
        _ => None,
    }
}

fn standard(op_type: &str) -> Option<Translate> {
    Some(match op_type {
        "Abs" | "Neg" | "Exp" | "Log" | "Sqrt" | "Reciprocal" | "Floor" | "Ceil" | "Round"
        | "Sign" | "Sin" | "Cos" | "Tan" | "Asin" | "Acos" | "Atan" | "Sinh" | "Cosh" | "Tanh"
        | "Asinh" | "Acosh" | "Atanh" | "Erf" | "Sigmoid" | "Relu" | "HardSwish" | "Softplus"
        | "Softsign" | "Mish" | "Not" | "BitwiseNot" | "IsNaN" => elementwise::unary,
        "Add" | "Sub" | "Mul" | "Div" | "Equal" | "Less" | "LessOrEqual" | "Greater"
        | "GreaterOrEqual" | "And" | "Or" | "Xor" | "BitwiseAnd" | "BitwiseOr" | "BitwiseXor" => {
            elementwise::binary
        }
        "IsInf" => elementwise::is_inf,
        "Pow" => elementwise::pow,
        "Mod" => elementwise::modulo,
        "BitShift" => elementwise::bit_shift,
        "Sum" | "Mean" | "Min" | "Max" => elementwise::variadic,
        "PRelu" => elementwise::prelu,
        "Clip" => elementwise::clip,
        "Det" => elementwise::det,
        "Shrink" => elementwise::shrink,
        "LeakyRelu" | "Elu" | "Celu" | "Selu" | "ThresholdedRelu" | "HardSigmoid" | "Swish" => {
            activation::parametric
        }
        "Gelu" => activation::gelu,
        "Softmax" | "LogSoftmax" | "Hardmax" => activation::softmax,
        "Conv" => conv::conv,
        "ConvTranspose" => conv::conv_transpose,
        "DeformConv" => conv::deform_conv,
        "MatMul" => matmul::matmul,
        "Gemm" => matmul::gemm,
        "Einsum" => matmul::einsum,
        "MaxPool" | "AveragePool" | "LpPool" => pool::pool,
        "GlobalMaxPool" | "GlobalAveragePool" | "GlobalLpPool" => pool::global_pool,
        "MaxUnpool" => pool::max_unpool,
        "RoiAlign" => pool::roi_align,
        "MaxRoiPool" => pool::max_roi_pool,
        "ReduceSum" | "ReduceMean" | "ReduceMax" | "ReduceMin" | "ReduceProd" | "ReduceL1"
        | "ReduceL2" | "ReduceLogSum" | "ReduceLogSumExp" | "ReduceSumSquare" => reduce::reduce,
        "ArgMax" | "ArgMin" => reduce::arg,
        "BatchNormalization" => norm::batch,
        "InstanceNormalization" => norm::instance,
        "GroupNormalization" => norm::group,
        "LayerNormalization" | "RMSNormalization" | "SimplifiedLayerNormalization" => norm::layer,
        "LRN" => norm::lrn,
        "LpNormalization" => norm::lp,
        "MeanVarianceNormalization" => norm::mean_variance,
        "LSTM" => recurrent::lstm,
        "GRU" => recurrent::gru,
        "RNN" => recurrent::rnn,
        "Attention" => attention::attention,
        "RotaryEmbedding" => attention::rotary,
        "Resize" => resize::resize,
        "Upsample" => resize::upsample,
        "GridSample" => sample::grid_sample,
        "AffineGrid" => sample::affine_grid,
        "Col2Im" => sample::col2im,
        "DFT" => signal::dft,
        "STFT" => signal::stft,
        "HannWindow" | "HammingWindow" | "BlackmanWindow" => signal::window,
        "MelWeightMatrix" => signal::mel_weight_matrix,
        "SoftmaxCrossEntropyLoss" => loss::softmax_cross_entropy,
        "NegativeLogLikelihoodLoss" => loss::negative_log_likelihood,
        "RandomNormal" | "RandomNormalLike" | "RandomUniform" | "RandomUniformLike"
        | "Multinomial" | "Bernoulli" => random::refuse,
        "StringConcat" | "StringSplit" | "StringNormalizer" | "RegexFullMatch" => ml::strings,
        "ImageDecoder" => ml::image_decoder,
        "TfIdfVectorizer" => ngram::tf_idf,
        _ => return None,
    })
}

fn classical(op_type: &str) -> Option<Translate> {
    Some(match op_type {
        "Binarizer" => ml::binarizer,
        "ArrayFeatureExtractor" => ml::array_feature_extractor,
        "LabelEncoder" => ml::label_encoder,
        "TreeEnsemble" => ml::tree_ensemble,
        _ => return None,
    })
}

fn training(op_type: &str) -> Option<Translate> {
    Some(match op_type {
        "Adagrad" => optim::adagrad,
        "Adam" => optim::adam,
        "Momentum" => optim::momentum,
        _ => return None,
    })
}

fn microsoft(op_type: &str) -> Option<Translate> {
    Some(match op_type {
        "Gelu" => activation::gelu,
        "FastGelu" | "BiasGelu" => activation::bias_gelu,
        "QuickGelu" => activation::parametric,
        "FusedMatMul" => matmul::fused_matmul,
        "SkipLayerNormalization" | "SkipSimplifiedLayerNormalization" => norm::skip_layer,
        _ => return None,
    })
}
