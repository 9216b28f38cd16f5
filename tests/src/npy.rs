//! Reads `.npy` files (format 1 and 2, little-endian, row-major).

use crate::{Tensor, path};
use cygnet_format::DType;
use std::path::Path;

/// Reads one array.
///
/// # Errors
/// Says what is wrong with the file.
pub fn read(file: &Path) -> Result<Tensor, String> {
    let bytes = path::read(file)?;
    parse(&bytes).ok_or_else(|| {
        format!(
            "{}: not a .npy file that the tests can read",
            file.display()
        )
    })
}

/// The array in the bytes of a file; none when they are no such file.
pub fn parse(bytes: &[u8]) -> Option<Tensor> {
    let (start, size) = match (bytes.get(..6)?, bytes.get(6)?) {
        (b"\x93NUMPY", 1) => (
            10,
            usize::from(u16::from_le_bytes(bytes.get(8..10)?.try_into().ok()?)),
        ),
        (b"\x93NUMPY", 2) => (
            12,
            u32::from_le_bytes(bytes.get(8..12)?.try_into().ok()?) as usize,
        ),
        _ => return None,
    };
    let header = std::str::from_utf8(bytes.get(start..start + size)?).ok()?;
    let after = |key: &str| {
        header
            .split_once(&format!("'{key}':"))
            .map(|(_, rest)| rest.trim_start())
    };
    if !after("fortran_order")?.starts_with("False") {
        return None;
    }
    let dtype = match after("descr")?.split('\'').nth(1)? {
        "<f4" => DType::F32,
        "<f8" => DType::F64,
        "<f2" => DType::F16,
        "|i1" => DType::I8,
        "|u1" => DType::U8,
        "<i2" => DType::I16,
        "<u2" => DType::U16,
        "<i4" => DType::I32,
        "<u4" => DType::U32,
        "<i8" => DType::I64,
        "<u8" => DType::U64,
        "|b1" => DType::Bool,
        _ => return None,
    };
    let list = after("shape")?.strip_prefix('(')?.split(')').next()?;
    let extents = list
        .split(',')
        .map(str::trim)
        .filter(|part| !part.is_empty());
    let shape = extents
        .map(|part| part.parse().ok())
        .collect::<Option<Vec<usize>>>()?;
    let bytes = bytes.get(start + size..)?.to_vec();
    (bytes.len() == shape.iter().product::<usize>() * dtype.size()).then_some(Tensor {
        dtype,
        shape,
        bytes,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_a_matrix_and_refuses_a_short_file() {
        let mut file = b"\x93NUMPY\x01\x00".to_vec();
        let header = "{'descr': '<i2', 'fortran_order': False, 'shape': (2, 1), }\n";
        file.extend((header.len() as u16).to_le_bytes());
        file.extend(header.bytes());
        file.extend([1, 0, 255, 255]);
        let tensor = parse(&file).expect("valid");
        assert_eq!(
            (tensor.dtype, tensor.shape, tensor.bytes),
            (DType::I16, vec![2, 1], vec![1, 0, 255, 255])
        );
        assert!(parse(&file[..file.len() - 1]).is_none());
        assert!(parse(b"PK").is_none());
    }
}
