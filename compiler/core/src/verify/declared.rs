//! What a model file itself says about an input.

use cygnet_format::DType;
use prost::Message;
use tract_onnx::pb::ModelProto;
use tract_onnx::pb::tensor_shape_proto::dimension::Value as Length;
use tract_onnx::pb::type_proto::Value;

/// Element type of a model's input, and its shape when that is constant. `None` when there is no such input or its type
/// has no counterpart.
pub fn declared_input(model: &[u8], name: &str) -> Option<(DType, Option<Vec<usize>>)> {
    if crate::import::is_tflite(model) {
        return crate::import::declared_tflite_input(model, name);
    }
    let graph = ModelProto::decode(model).ok()?.graph?;
    let input = graph.input.into_iter().find(|i| i.name == name)?;
    let Value::TensorType(tensor) = input.r#type?.value?;
    // Codes of TensorProto.DataType.
    let dtype = match tensor.elem_type {
        1 => DType::F32,
        2 => DType::U8,
        3 => DType::I8,
        4 => DType::U16,
        5 => DType::I16,
        6 => DType::I32,
        7 => DType::I64,
        9 => DType::Bool,
        10 => DType::F16,
        11 => DType::F64,
        12 => DType::U32,
        13 => DType::U64,
        16 => DType::BF16,
        _ => return None,
    };
    let shape = tensor.shape.map(|s| {
        s.dim
            .into_iter()
            .map(|d| match d.value {
                Some(Length::DimValue(v)) => usize::try_from(v).ok(),
                _ => None,
            })
            .collect::<Option<Vec<_>>>()
    });
    Some((dtype, shape.flatten()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_the_type_of_an_input() {
        let digits = include_bytes!("../../../../tests/data/digits.onnx");
        assert_eq!(
            declared_input(digits, "image"),
            Some((DType::F32, Some(vec![1, 1, 28, 28])))
        );
        assert_eq!(declared_input(digits, "absent"), None);
        assert_eq!(declared_input(b"junk", "image"), None);
    }
}
