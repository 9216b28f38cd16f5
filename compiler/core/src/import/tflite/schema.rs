//! The tables of the TFLite schema, version 3, as far as they are needed: fields by their numbers.

use super::flat::{Broken, Table, Tables};
use crate::import::error::Refusal;
use cygnet_format::DType;

/// What a TFLite file has at bytes 4 to 8.
pub(super) const IDENTIFIER: &[u8; 4] = b"TFL3";
/// The only version of the schema in use.
const VERSION: u32 = 3;
/// Names longer than this are not read: the tensor's number takes their place.
const MAX_NAME: usize = 1024;

impl From<Broken> for Refusal {
    fn from(broken: Broken) -> Refusal {
        Refusal::invalid(format!("the file is damaged here: {broken}"))
    }
}

/// A file.
pub(super) struct Model<'a> {
    file: &'a [u8],
    operator_codes: Tables<'a>,
    subgraphs: Tables<'a>,
    buffers: Tables<'a>,
}

impl<'a> Model<'a> {
    /// Reads the root.
    pub fn read(file: &'a [u8]) -> Result<Model<'a>, Broken> {
        let root = Table::root(file)?;
        let version = root.get::<u32>(0, 0)?;
        if version != VERSION {
            return Err(Broken(format!(
                "version {version} of the TFLite schema is not known, only {VERSION}"
            )));
        }
        Ok(Model {
            file,
            operator_codes: root.tables(1)?,
            subgraphs: root.tables(2)?,
            buffers: root.tables(4)?,
        })
    }

    /// Sub-graph `i`.
    pub fn subgraph(&self, i: usize) -> Result<Option<SubGraph<'a>>, Broken> {
        self.subgraphs
            .get(i)?
            .map(|table| {
                Ok(SubGraph {
                    tensors: table.tables(0)?,
                    inputs: table.list(1)?,
                    outputs: table.list(2)?,
                    operators: table.tables(3)?,
                })
            })
            .transpose()
    }

    /// The number of an operator and, for custom ones, its name.
    pub fn operator_code(&self, i: usize) -> Result<(i32, Option<String>), Broken> {
        let Some(table) = self.operator_codes.get(i)? else {
            return Err(Broken(format!("there is no operator code {i}")));
        };
        // Files of the first years know numbers below 128 only, in a byte.
        let code = table
            .get::<i32>(3, 0)?
            .max(i32::from(table.get::<i8>(0, 0)?));
        Ok((code, table.text(1, MAX_NAME)?))
    }

    /// The data of buffer `i`; empty for tensors that are computed.
    pub fn buffer(&self, i: u32) -> Result<&'a [u8], Broken> {
        let Some(table) = self.buffers.get(i as usize)? else {
            return Ok(&[]);
        };
        let (offset, size) = (table.get::<u64>(1, 0)?, table.get::<u64>(2, 0)?);
        // Data of large models lie behind the tables; offsets of 0 and 1 mean that they do not.
        if offset > 1 {
            let range = usize::try_from(offset).ok().zip(usize::try_from(size).ok());
            return range
                .and_then(|(offset, size)| self.file.get(offset..offset.checked_add(size)?))
                .ok_or_else(|| Broken(format!("buffer {i} lies beyond the end of the file")));
        }
        table.bytes(0)
    }
}

/// A graph of operators over a table of tensors.
pub(super) struct SubGraph<'a> {
    tensors: Tables<'a>,
    /// Numbers of tensors.
    pub inputs: Vec<i32>,
    /// Numbers of tensors.
    pub outputs: Vec<i32>,
    /// In execution order.
    pub operators: Tables<'a>,
}

impl<'a> SubGraph<'a> {
    /// The number of tensors.
    pub fn tensors(&self) -> usize {
        self.tensors.len()
    }

    /// Tensor `i`.
    pub fn tensor(&self, i: usize) -> Result<Tensor<'a>, Broken> {
        match self.tensors.get(i)? {
            Some(table) => Ok(Tensor { table }),
            None => Err(Broken(format!("there is no tensor {i}"))),
        }
    }
}

/// A tensor.
#[derive(Clone, Copy)]
pub(super) struct Tensor<'a> {
    table: Table<'a>,
}

impl<'a> Tensor<'a> {
    /// The name; `None` when it is empty or absurdly long.
    pub fn name(&self) -> Result<Option<String>, Broken> {
        self.table.text(3, MAX_NAME)
    }

    /// Dimensions; -1 where the size is open.
    pub fn shape(&self) -> Result<Vec<i32>, Broken> {
        let (n, m) = (self.table.len::<i32>(0)?, self.table.len::<i32>(7)?);
        if n.max(m) > 64 {
            return Err(Broken(format!("a tensor has {} axes", n.max(m))));
        }
        let shape = self.table.list::<i32>(0)?;
        let signature = self.table.list::<i32>(7)?;
        Ok(if signature.len() == shape.len() {
            signature
        } else {
            shape
        })
    }

    /// The buffer of its data.
    pub fn buffer(&self) -> Result<u32, Broken> {
        self.table.get(2, 0)
    }

    /// True for tensors that keep their content from run to run.
    pub fn is_variable(&self) -> Result<bool, Broken> {
        self.table.flag(5)
    }

    /// True when the data leave out zeros.
    pub fn is_sparse(&self) -> Result<bool, Broken> {
        Ok(self.table.table(6)?.is_some())
    }

    /// The number of the element type.
    pub fn type_code(&self) -> Result<i8, Broken> {
        self.table.get(1, 0)
    }

    /// The element type.
    pub fn dtype(&self) -> Result<DType, Refusal> {
        Ok(match self.type_code()? {
            0 => DType::F32,
            1 => DType::F16,
            2 => DType::I32,
            3 => DType::U8,
            4 => DType::I64,
            6 => DType::Bool,
            7 => DType::I16,
            9 => DType::I8,
            10 => DType::F64,
            12 => DType::U64,
            15 => DType::U32,
            16 => DType::U16,
            17 => DType::I4,
            18 => DType::BF16,
            19 => DType::I2,
            20 => DType::U4,
            5 => {
                return Err(Refusal::unsupported(
                    "text (string) tensors are not supported",
                ));
            }
            8 | 11 => return Err(Refusal::unsupported("complex tensors are not supported")),
            13 => return Err(Refusal::unsupported("a resource is used as a tensor")),
            other => {
                return Err(Refusal::unsupported(format!(
                    "element type number {other} is unknown"
                )));
            }
        })
    }

    /// Scale and zero point; `None` for plain numbers.
    pub fn quantisation(&self) -> Result<Option<Quantisation>, Refusal> {
        let Some(table) = self.table.table(4)? else {
            return Ok(None);
        };
        if table.len::<f32>(2)? == 0 {
            return Ok(None);
        }
        if table.get::<u8>(4, 0)? != 0 {
            return Err(Refusal::unsupported(
                "a tensor is quantised by blocks or in a way of its own",
            )
            .remedy("quantise the model by tensor or by channel"));
        }
        let scales = table.list::<f32>(2)?;
        let mut zeros = table.list::<i64>(3)?;
        if zeros.iter().all(|&z| z == 0) {
            zeros.clear();
        }
        if !zeros.is_empty() && zeros.len() != scales.len() {
            return Err(Refusal::invalid(format!(
                "a tensor has {} scales and {} zero points",
                scales.len(),
                zeros.len()
            )));
        }
        if let Some(bad) = scales.iter().find(|s| !s.is_finite() || **s < 0.0) {
            return Err(Refusal::invalid(format!("a tensor has a scale of {bad}")));
        }
        Ok(Some(Quantisation {
            scales,
            zeros,
            axis: table.get::<i32>(6, 0)?,
        }))
    }
}

/// `value = scale * (integer - zero)`, by tensor or along an axis.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Quantisation {
    /// One, or one an element of the axis.
    pub scales: Vec<f32>,
    /// As many as scales; empty when all are zero.
    pub zeros: Vec<i64>,
    /// The axis of several scales.
    pub axis: i32,
}

/// The names of the operators by number.
pub(super) const OPERATORS: &[&str] = &[
    "ADD",
    "AVERAGE_POOL_2D",
    "CONCATENATION",
    "CONV_2D",
    "DEPTHWISE_CONV_2D",
    "DEPTH_TO_SPACE",
    "DEQUANTIZE",
    "EMBEDDING_LOOKUP",
    "FLOOR",
    "FULLY_CONNECTED",
    "HASHTABLE_LOOKUP",
    "L2_NORMALIZATION",
    "L2_POOL_2D",
    "LOCAL_RESPONSE_NORMALIZATION",
    "LOGISTIC",
    "LSH_PROJECTION",
    "LSTM",
    "MAX_POOL_2D",
    "MUL",
    "RELU",
    "RELU_N1_TO_1",
    "RELU6",
    "RESHAPE",
    "RESIZE_BILINEAR",
    "RNN",
    "SOFTMAX",
    "SPACE_TO_DEPTH",
    "SVDF",
    "TANH",
    "CONCAT_EMBEDDINGS",
    "SKIP_GRAM",
    "CALL",
    "CUSTOM",
    "EMBEDDING_LOOKUP_SPARSE",
    "PAD",
    "UNIDIRECTIONAL_SEQUENCE_RNN",
    "GATHER",
    "BATCH_TO_SPACE_ND",
    "SPACE_TO_BATCH_ND",
    "TRANSPOSE",
    "MEAN",
    "SUB",
    "DIV",
    "SQUEEZE",
    "UNIDIRECTIONAL_SEQUENCE_LSTM",
    "STRIDED_SLICE",
    "BIDIRECTIONAL_SEQUENCE_RNN",
    "EXP",
    "TOPK_V2",
    "SPLIT",
    "LOG_SOFTMAX",
    "DELEGATE",
    "BIDIRECTIONAL_SEQUENCE_LSTM",
    "CAST",
    "PRELU",
    "MAXIMUM",
    "ARG_MAX",
    "MINIMUM",
    "LESS",
    "NEG",
    "PADV2",
    "GREATER",
    "GREATER_EQUAL",
    "LESS_EQUAL",
    "SELECT",
    "SLICE",
    "SIN",
    "TRANSPOSE_CONV",
    "SPARSE_TO_DENSE",
    "TILE",
    "EXPAND_DIMS",
    "EQUAL",
    "NOT_EQUAL",
    "LOG",
    "SUM",
    "SQRT",
    "RSQRT",
    "SHAPE",
    "POW",
    "ARG_MIN",
    "FAKE_QUANT",
    "REDUCE_PROD",
    "REDUCE_MAX",
    "PACK",
    "LOGICAL_OR",
    "ONE_HOT",
    "LOGICAL_AND",
    "LOGICAL_NOT",
    "UNPACK",
    "REDUCE_MIN",
    "FLOOR_DIV",
    "REDUCE_ANY",
    "SQUARE",
    "ZEROS_LIKE",
    "FILL",
    "FLOOR_MOD",
    "RANGE",
    "RESIZE_NEAREST_NEIGHBOR",
    "LEAKY_RELU",
    "SQUARED_DIFFERENCE",
    "MIRROR_PAD",
    "ABS",
    "SPLIT_V",
    "UNIQUE",
    "CEIL",
    "REVERSE_V2",
    "ADD_N",
    "GATHER_ND",
    "COS",
    "WHERE",
    "RANK",
    "ELU",
    "REVERSE_SEQUENCE",
    "MATRIX_DIAG",
    "QUANTIZE",
    "MATRIX_SET_DIAG",
    "ROUND",
    "HARD_SWISH",
    "IF",
    "WHILE",
    "NON_MAX_SUPPRESSION_V4",
    "NON_MAX_SUPPRESSION_V5",
    "SCATTER_ND",
    "SELECT_V2",
    "DENSIFY",
    "SEGMENT_SUM",
    "BATCH_MATMUL",
    "PLACEHOLDER_FOR_GREATER_OP_CODES",
    "CUMSUM",
    "CALL_ONCE",
    "BROADCAST_TO",
    "RFFT2D",
    "CONV_3D",
    "IMAG",
    "REAL",
    "COMPLEX_ABS",
    "HASHTABLE",
    "HASHTABLE_FIND",
    "HASHTABLE_IMPORT",
    "HASHTABLE_SIZE",
    "REDUCE_ALL",
    "CONV_3D_TRANSPOSE",
    "VAR_HANDLE",
    "READ_VARIABLE",
    "ASSIGN_VARIABLE",
    "BROADCAST_ARGS",
    "RANDOM_STANDARD_NORMAL",
    "BUCKETIZE",
    "RANDOM_UNIFORM",
    "MULTINOMIAL",
    "GELU",
    "DYNAMIC_UPDATE_SLICE",
    "RELU_0_TO_1",
    "UNSORTED_SEGMENT_PROD",
    "UNSORTED_SEGMENT_MAX",
    "UNSORTED_SEGMENT_SUM",
    "ATAN2",
    "UNSORTED_SEGMENT_MIN",
    "SIGN",
    "BITCAST",
    "BITWISE_XOR",
    "RIGHT_SHIFT",
    "STABLEHLO_LOGISTIC",
    "STABLEHLO_ADD",
    "STABLEHLO_DIVIDE",
    "STABLEHLO_MULTIPLY",
    "STABLEHLO_MAXIMUM",
    "STABLEHLO_RESHAPE",
    "STABLEHLO_CLAMP",
    "STABLEHLO_CONCATENATE",
    "STABLEHLO_BROADCAST_IN_DIM",
    "STABLEHLO_CONVOLUTION",
    "STABLEHLO_SLICE",
    "STABLEHLO_CUSTOM_CALL",
    "STABLEHLO_REDUCE",
    "STABLEHLO_ABS",
    "STABLEHLO_AND",
    "STABLEHLO_COSINE",
    "STABLEHLO_EXPONENTIAL",
    "STABLEHLO_FLOOR",
    "STABLEHLO_LOG",
    "STABLEHLO_MINIMUM",
    "STABLEHLO_NEGATE",
    "STABLEHLO_OR",
    "STABLEHLO_POWER",
    "STABLEHLO_REMAINDER",
    "STABLEHLO_RSQRT",
    "STABLEHLO_SELECT",
    "STABLEHLO_SUBTRACT",
    "STABLEHLO_TANH",
    "STABLEHLO_SCATTER",
    "STABLEHLO_COMPARE",
    "STABLEHLO_CONVERT",
    "STABLEHLO_DYNAMIC_SLICE",
    "STABLEHLO_DYNAMIC_UPDATE_SLICE",
    "STABLEHLO_PAD",
    "STABLEHLO_IOTA",
    "STABLEHLO_DOT_GENERAL",
    "STABLEHLO_REDUCE_WINDOW",
    "STABLEHLO_SORT",
    "STABLEHLO_WHILE",
    "STABLEHLO_GATHER",
    "STABLEHLO_TRANSPOSE",
    "DILATE",
    "STABLEHLO_RNG_BIT_GENERATOR",
    "REDUCE_WINDOW",
    "STABLEHLO_COMPOSITE",
    "STABLEHLO_SHIFT_LEFT",
    "STABLEHLO_CBRT",
    "STABLEHLO_CASE",
];
