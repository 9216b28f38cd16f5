//! `TensorProto` to bytes.

use super::error::Refusal;
use cygnet_format::{DType, MAX_RANK};
use tract_onnx::pb::TensorProto;

/// A tensor read from the model: row-major little-endian, sub-byte types one element a byte.
pub(super) struct RawTensor {
    pub dtype: DType,
    pub shape: Vec<usize>,
    pub bytes: Vec<u8>,
}

/// Largest number of bytes of one tensor, constants and activations alike.
pub(super) const MAX_TENSOR_BYTES: u64 = 1 << 32;

/// The element type of an ONNX type number (`TensorProto.DataType`).
pub(super) fn dtype(code: i32) -> Result<DType, Refusal> {
    Ok(match code {
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
        8 => {
            return Err(Refusal::unsupported(
                "text (string) tensors are not supported",
            ));
        }
        14 | 15 => return Err(Refusal::unsupported("complex tensors are not supported")),
        0 => return Err(Refusal::invalid("a tensor has no element type")),
        other => {
            return Err(Refusal::unsupported(format!(
                "element type number {other} is unknown"
            )));
        }
    })
}

/// Bits of one element in ONNX's packed form.
fn packed_bits(dtype: DType) -> u64 {
    match dtype {
        DType::I2 | DType::U2 => 2,
        DType::I4 | DType::U4 | DType::F4E2M1 => 4,
        d => 8 * d.size() as u64,
    }
}

/// Bytes of `count` elements in packed form.
pub(super) fn packed_len(dtype: DType, count: u64) -> u64 {
    count.saturating_mul(packed_bits(dtype)).div_ceil(8)
}

/// Splits packed bytes into elements, low bits first.
pub(super) fn unpack(dtype: DType, packed: &[u8], count: usize) -> Vec<u8> {
    let bits = packed_bits(dtype) as usize;
    let per_byte = 8 / bits;
    let mask = (1u8 << bits) - 1;
    let signed = matches!(dtype, DType::I2 | DType::I4);
    (0..count)
        .map(|i| {
            let v = (packed[i / per_byte] >> (i % per_byte * bits)) & mask;
            let shift = 8 - bits;
            if signed {
                (((v << shift) as i8) >> shift) as u8
            } else {
                v
            }
        })
        .collect()
}

/// Shape of checked dimensions; every one fits the program format.
pub(super) fn shape(dims: &[i64]) -> Result<(Vec<usize>, u64), Refusal> {
    if dims.len() > MAX_RANK {
        return Err(Refusal::unsupported(format!(
            "a tensor has {} axes, above {MAX_RANK}",
            dims.len()
        )));
    }
    let mut count = 1u64;
    let mut shape = Vec::with_capacity(dims.len());
    for &d in dims {
        let d = i32::try_from(d)
            .ok()
            .filter(|&d| d >= 0)
            .ok_or_else(|| Refusal::invalid(format!("a tensor has a dimension of {d}")))?;
        count = count.saturating_mul(d as u64);
        shape.push(d as usize);
    }
    if count > MAX_TENSOR_BYTES {
        return Err(Refusal::unsupported(format!(
            "a tensor of {count} elements is too large"
        )));
    }
    Ok((shape, count))
}

/// Reads a tensor. The element count is checked against the data present before anything is allocated.
pub(super) fn read(proto: &TensorProto) -> Result<RawTensor, Refusal> {
    let dtype = dtype(proto.data_type)?;
    let (shape, count) = shape(&proto.dims)?;
    if proto.data_location == Some(1) || !proto.external_data.is_empty() {
        let file = proto
            .external_data
            .iter()
            .find(|e| e.key == "location")
            .map_or("", |e| &e.value);
        return Err(Refusal::unsupported(format!(
            "the tensor '{}' lies in another file ('{file}')",
            short(&proto.name)
        ))
        .remedy("save the model in one file: onnx.save(onnx.load(path), out, save_as_external_data=False)"));
    }
    if proto.segment.is_some() {
        return Err(Refusal::unsupported("a tensor is stored in segments"));
    }
    let packed_len = packed_len(dtype, count);
    let wrong = |have: usize, unit: &str| {
        Err(Refusal::invalid(format!(
            "the tensor '{}' has {have} {unit} of data where its shape {:?} of {dtype} needs another number",
            short(&proto.name),
            proto.dims
        )))
    };
    let raw = &proto.raw_data;
    let mut bytes = if !raw.is_empty() || count == 0 {
        if raw.len() as u64 != packed_len {
            return wrong(raw.len(), "bytes");
        }
        if packed_bits(dtype) < 8 {
            unpack(dtype, raw, count as usize)
        } else {
            raw.clone()
        }
    } else {
        let fits = |len: usize, per_entry: u64| len as u64 == count.div_ceil(per_entry);
        match dtype {
            DType::F32 => {
                if !fits(proto.float_data.len(), 1) {
                    return wrong(proto.float_data.len(), "values");
                }
                proto
                    .float_data
                    .iter()
                    .flat_map(|v| v.to_le_bytes())
                    .collect()
            }
            DType::F64 => {
                if !fits(proto.double_data.len(), 1) {
                    return wrong(proto.double_data.len(), "values");
                }
                proto
                    .double_data
                    .iter()
                    .flat_map(|v| v.to_le_bytes())
                    .collect()
            }
            DType::I64 => {
                if !fits(proto.int64_data.len(), 1) {
                    return wrong(proto.int64_data.len(), "values");
                }
                proto
                    .int64_data
                    .iter()
                    .flat_map(|v| v.to_le_bytes())
                    .collect()
            }
            DType::U64 | DType::U32 => {
                if !fits(proto.uint64_data.len(), 1) {
                    return wrong(proto.uint64_data.len(), "values");
                }
                let size = dtype.size();
                proto
                    .uint64_data
                    .iter()
                    .flat_map(|v| v.to_le_bytes().into_iter().take(size))
                    .collect()
            }
            _ => {
                let per_entry = if packed_bits(dtype) < 8 {
                    8 / packed_bits(dtype)
                } else {
                    1
                };
                if !fits(proto.int32_data.len(), per_entry) {
                    return wrong(proto.int32_data.len(), "values");
                }
                let size = dtype.size();
                let entries: Vec<u8> = proto
                    .int32_data
                    .iter()
                    .flat_map(|v| v.to_le_bytes().into_iter().take(size))
                    .collect();
                if per_entry > 1 {
                    unpack(dtype, &entries, count as usize)
                } else {
                    entries
                }
            }
        }
    };
    if dtype == DType::Bool {
        bytes.iter_mut().for_each(|b| *b = (*b != 0) as u8);
    }
    Ok(RawTensor {
        dtype,
        shape,
        bytes,
    })
}

/// A name cut to a length that fits a message.
pub(super) fn short(name: &str) -> String {
    if name.chars().count() <= 80 {
        return name.to_owned();
    }
    name.chars().take(77).chain("...".chars()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packed_types_unpack_low_bits_first() {
        let t = TensorProto {
            data_type: 22,
            dims: vec![3],
            raw_data: vec![0x7f, 0x08],
            ..Default::default()
        };
        assert_eq!(
            read(&t).unwrap_or_else(|r| panic!("{}", r.reason)).bytes,
            [0xff, 7, 0xf8]
        );
        let t = TensorProto {
            data_type: 25,
            dims: vec![5],
            int32_data: vec![0b11_10_01_00, 2],
            ..Default::default()
        };
        assert_eq!(
            read(&t).unwrap_or_else(|r| panic!("{}", r.reason)).bytes,
            [0, 1, 2, 3, 2]
        );
    }

    #[test]
    fn absurd_shapes_are_refused_without_memory() {
        for dims in [
            vec![i64::MAX, i64::MAX],
            vec![1 << 31],
            vec![-1],
            vec![1; 9],
            vec![1 << 30],
        ] {
            let t = TensorProto {
                data_type: 1,
                dims,
                raw_data: vec![0; 4],
                ..Default::default()
            };
            assert!(read(&t).is_err());
        }
        let t = TensorProto {
            data_type: 1,
            dims: vec![1],
            data_location: Some(1),
            ..Default::default()
        };
        assert!(read(&t).is_err_and(|r| r.remedy.contains("one file")));
    }
}
