//! ONNX protobuf messages of the backend tests: models and tensors.

use crate::Tensor;
use cygnet_format::DType;
use prost::Message;
use std::collections::BTreeSet;
use tract_onnx::pb::{ModelProto, TensorProto, type_proto};

/// What the harness needs to know about a model.
pub struct Model {
    /// Graph inputs without initialiser: name, and whether it is a tensor (not a sequence, optional or map).
    pub inputs: Vec<(String, bool)>,
    /// Graph outputs, likewise.
    pub outputs: Vec<(String, bool)>,
    /// The operator that the test is about: that of the only node, or of the first one.
    pub operator: String,
    /// Metadata entries.
    pub metadata: Vec<(String, String)>,
}

/// Reads the interface of a model.
///
/// # Errors
/// When the bytes are no ONNX model.
pub fn model(bytes: &[u8]) -> Result<Model, String> {
    let model = ModelProto::decode(bytes).map_err(|error| error.to_string())?;
    let graph = model.graph.ok_or("no graph")?;
    let initializers: BTreeSet<&str> = graph
        .initializer
        .iter()
        .map(|tensor| tensor.name.as_str())
        .collect();
    let interface = |values: &[tract_onnx::pb::ValueInfoProto]| {
        let fresh = values
            .iter()
            .filter(|value| !initializers.contains(value.name.as_str()));
        fresh
            .map(|value| {
                let kind = value.r#type.as_ref().and_then(|kind| kind.value.as_ref());
                (
                    value.name.clone(),
                    matches!(kind, Some(type_proto::Value::TensorType(_))),
                )
            })
            .collect()
    };
    Ok(Model {
        inputs: interface(&graph.input),
        outputs: interface(&graph.output),
        operator: graph
            .node
            .first()
            .map(|node| node.op_type.clone())
            .unwrap_or_default(),
        metadata: model
            .metadata_props
            .iter()
            .map(|entry| (entry.key.clone(), entry.value.clone()))
            .collect(),
    })
}

/// Reads a serialised tensor.
///
/// # Errors
/// When the bytes are no tensor, or its element type has no counterpart in programs (strings, complex numbers).
pub fn tensor(bytes: &[u8]) -> Result<Tensor, String> {
    let proto = TensorProto::decode(bytes).map_err(|error| error.to_string())?;
    let dtype = dtype(proto.data_type)?;
    let shape: Vec<usize> = proto
        .dims
        .iter()
        .map(|&extent| usize::try_from(extent).unwrap_or(0))
        .collect();
    let len: usize = shape.iter().product();
    let mut bytes = if proto.raw_data.is_empty() {
        typed(&proto, dtype)
    } else {
        proto.raw_data.clone()
    };
    match dtype {
        DType::I4 => bytes = nibbles(&bytes, 4, |v| ((v << 4) as i8 >> 4) as u8),
        DType::U4 | DType::F4E2M1 => bytes = nibbles(&bytes, 4, |v| v),
        DType::I2 => bytes = nibbles(&bytes, 2, |v| ((v << 6) as i8 >> 6) as u8),
        DType::U2 => bytes = nibbles(&bytes, 2, |v| v),
        _ => {}
    }
    if matches!(
        dtype,
        DType::I4 | DType::U4 | DType::F4E2M1 | DType::I2 | DType::U2
    ) {
        bytes.truncate(len);
    }
    if bytes.len() != len * dtype.size() {
        return Err(format!(
            "{} bytes for {len} elements of {dtype}",
            bytes.len()
        ));
    }
    Ok(Tensor {
        dtype,
        shape,
        bytes,
    })
}

/// Element type of an ONNX `TensorProto.DataType` code.
fn dtype(code: i32) -> Result<DType, String> {
    Ok(match code {
        1 => DType::F32,
        2 => DType::U8,
        3 => DType::I8,
        4 => DType::U16,
        5 => DType::I16,
        6 => DType::I32,
        7 => DType::I64,
        8 => return Err("strings".into()),
        9 => DType::Bool,
        10 => DType::F16,
        11 => DType::F64,
        12 => DType::U32,
        13 => DType::U64,
        14 | 15 => return Err("complex numbers".into()),
        16 => DType::BF16,
        17 => DType::F8E4M3FN,
        18 => DType::F8E4M3FNUZ,
        19 => DType::F8E5M2,
        20 => DType::F8E5M2FNUZ,
        21 => DType::U4,
        22 => DType::I4,
        23 => DType::F4E2M1,
        24 => DType::F8E8M0,
        25 => DType::U2,
        26 => DType::I2,
        _ => return Err(format!("element type {code}")),
    })
}

/// The bytes of the typed data fields; types of up to 32 bits share `int32_data`, packed ones a byte an entry.
fn typed(proto: &TensorProto, dtype: DType) -> Vec<u8> {
    match dtype {
        DType::F32 => proto
            .float_data
            .iter()
            .flat_map(|v| v.to_le_bytes())
            .collect(),
        DType::F64 => proto
            .double_data
            .iter()
            .flat_map(|v| v.to_le_bytes())
            .collect(),
        DType::I64 => proto
            .int64_data
            .iter()
            .flat_map(|v| v.to_le_bytes())
            .collect(),
        DType::U64 => proto
            .uint64_data
            .iter()
            .flat_map(|v| v.to_le_bytes())
            .collect(),
        DType::U32 => proto
            .uint64_data
            .iter()
            .flat_map(|v| (*v as u32).to_le_bytes())
            .collect(),
        _ => proto
            .int32_data
            .iter()
            .flat_map(|v| v.to_le_bytes()[..dtype.size()].to_vec())
            .collect(),
    }
}

/// Splits packed elements of `bits` bits, lowest first.
fn nibbles(bytes: &[u8], bits: u32, widen: impl Fn(u8) -> u8) -> Vec<u8> {
    let mask = (1u8 << bits) - 1;
    let parts = 8 / bits;
    bytes
        .iter()
        .flat_map(|&byte| (0..parts).map(move |i| (byte >> (i * bits)) & mask))
        .map(widen)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packed_and_typed_elements() {
        let proto = TensorProto {
            dims: vec![3],
            data_type: 22,
            raw_data: vec![0xF1, 0x07],
            ..Default::default()
        };
        let read = tensor(&proto.encode_to_vec()).expect("int4");
        assert_eq!((read.dtype, read.bytes), (DType::I4, vec![1, 0xFF, 7]));
        let proto = TensorProto {
            dims: vec![2],
            data_type: 16,
            int32_data: vec![0x3F80, 0xBF80],
            ..Default::default()
        };
        assert_eq!(
            tensor(&proto.encode_to_vec()).expect("bf16").bytes,
            [0x80, 0x3F, 0x80, 0xBF]
        );
        let proto = TensorProto {
            dims: vec![2],
            data_type: 1,
            float_data: vec![1.0],
            ..Default::default()
        };
        assert!(tensor(&proto.encode_to_vec()).is_err());
        let proto = TensorProto {
            dims: vec![1],
            data_type: 8,
            ..Default::default()
        };
        assert_eq!(
            tensor(&proto.encode_to_vec()).expect_err("string"),
            "strings"
        );
    }
}
