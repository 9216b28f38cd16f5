//! Comparison of tensors: the tolerance of ONNX's backend tests, and the norm of the real-model tests.

use crate::Tensor;
use cygnet_format::DType;
use half::{bf16, f16};

/// Relative tolerance of ONNX's backend test runner.
pub const RTOL: f64 = 1e-3;
/// Absolute tolerance of ONNX's backend test runner.
pub const ATOL: f64 = 1e-7;

/// Compares as ONNX's backend test runner does: same type and shape, floats within `atol + RTOL * |expected|`,
/// infinities and NaN in the same places; integers and the 4- and 8-bit floats are equal.
///
/// # Errors
/// Describes the first difference.
pub fn onnx_runner(got: &Tensor, expected: &Tensor, atol: f64) -> Result<(), String> {
    same_kind(got, expected)?;
    let (Some(a), Some(b)) = (floats(got), floats(expected)) else {
        let size = expected.dtype.size();
        return match got
            .bytes
            .chunks(size)
            .zip(expected.bytes.chunks(size))
            .position(|(a, b)| a != b && !same_small_float(expected.dtype, a[0], b[0]))
        {
            None => Ok(()),
            Some(i) => {
                let at = |t: &Tensor| integer(&t.bytes[i * size..(i + 1) * size]);
                Err(format!(
                    "element {i}: {} in place of {}",
                    at(got),
                    at(expected)
                ))
            }
        };
    };
    for (i, (&a, &b)) in a.iter().zip(&b).enumerate() {
        let near = b.is_finite() && (a - b).abs() <= atol + RTOL * b.abs();
        let close = a == b || (a.is_nan() && b.is_nan()) || near;
        if !close {
            return Err(format!("element {i}: {a} in place of {b}"));
        }
    }
    Ok(())
}

/// The largest difference relative to the largest magnitude of `whole`: `max |got - expected| / max |whole|`, where
/// `whole` is the expected tensor itself, or the stream that it is a step of. For tensors that are not floats it is 0
/// when they are equal and infinite when not.
///
/// # Errors
/// When type or shape differ, or either holds NaN.
pub fn scaled(got: &Tensor, expected: &Tensor, whole: &Tensor) -> Result<f64, String> {
    same_kind(got, expected)?;
    let (Some(a), Some(b), Some(whole)) = (floats(got), floats(expected), floats(whole)) else {
        return Ok(if got.bytes == expected.bytes {
            0.0
        } else {
            f64::INFINITY
        });
    };
    if a.iter().chain(&b).any(|v| v.is_nan()) {
        return Err("NaN".into());
    }
    let scale = whole.iter().fold(0.0f64, |m, v| m.max(v.abs()));
    let worst = a
        .iter()
        .zip(&b)
        .fold(0.0f64, |m, (a, b)| m.max((a - b).abs()));
    Ok(if worst == 0.0 { 0.0 } else { worst / scale })
}

/// The part of elements that differ by more than one quantisation step `quantum`.
///
/// # Errors
/// When type or shape differ, or the tensors hold no floats.
pub fn beyond_a_step(got: &Tensor, expected: &Tensor, quantum: f64) -> Result<f64, String> {
    same_kind(got, expected)?;
    let (Some(a), Some(b)) = (floats(got), floats(expected)) else {
        return Err("quantisation steps of integers".into());
    };
    // Both are multiples of the step, up to the rounding of single precision.
    let near = |(a, b): &(&f64, &f64)| (*a - *b).abs() <= 1.001 * quantum;
    let count = a.iter().zip(&b).filter(near).count();
    Ok((b.len() - count) as f64 / b.len().max(1) as f64)
}

fn same_kind(got: &Tensor, expected: &Tensor) -> Result<(), String> {
    if got.dtype != expected.dtype {
        return Err(format!(
            "element type {} in place of {}",
            got.dtype, expected.dtype
        ));
    }
    if got.shape != expected.shape {
        return Err(format!(
            "shape {:?} in place of {:?}",
            got.shape, expected.shape
        ));
    }
    Ok(())
}

/// The elements of a float tensor of 16 bits and more.
fn floats(t: &Tensor) -> Option<Vec<f64>> {
    let half = |b: &[u8]| u16::from_le_bytes([b[0], b[1]]);
    Some(match t.dtype {
        DType::F32 => t
            .bytes
            .chunks_exact(4)
            .map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]]).into())
            .collect(),
        DType::F64 => t
            .bytes
            .chunks_exact(8)
            .map(|b| f64::from_bits(integer(b)))
            .collect(),
        DType::F16 => t
            .bytes
            .chunks_exact(2)
            .map(|b| f16::from_bits(half(b)).to_f64())
            .collect(),
        DType::BF16 => t
            .bytes
            .chunks_exact(2)
            .map(|b| bf16::from_bits(half(b)).to_f64())
            .collect(),
        _ => return None,
    })
}

/// True when two codes of a 4- or 8-bit float are the two zeros, or are both not a number.
fn same_small_float(dtype: DType, a: u8, b: u8) -> bool {
    let (sign, nan): (u8, fn(u8) -> bool) = match dtype {
        DType::F4E2M1 => (0x08, |_| false),
        DType::F8E4M3FN => (0x80, |code| code & 0x7F == 0x7F),
        DType::F8E5M2 => (0x80, |code| code & 0x7F > 0x7C),
        _ => return false,
    };
    (a | sign == sign && b | sign == sign) || (nan(a) && nan(b))
}

/// Up to eight little-endian bytes as an unsigned integer.
fn integer(bytes: &[u8]) -> u64 {
    bytes.iter().rev().fold(0, |v, &b| v << 8 | u64::from(b))
}

#[cfg(test)]
mod tests {
    use super::{onnx_runner as compared, *};

    fn onnx_runner(got: &Tensor, expected: &Tensor) -> Result<(), String> {
        compared(got, expected, ATOL)
    }

    fn f32s(values: &[f32]) -> Tensor {
        let bytes = values.iter().flat_map(|v| v.to_le_bytes()).collect();
        Tensor {
            dtype: DType::F32,
            shape: vec![values.len()],
            bytes,
        }
    }

    #[test]
    fn tolerance() {
        let (nan, inf) = (f32::NAN, f32::INFINITY);
        assert!(
            onnx_runner(
                &f32s(&[1.0005, nan, inf, -inf]),
                &f32s(&[1.0, nan, inf, -inf])
            )
            .is_ok()
        );
        assert!(onnx_runner(&f32s(&[1.002]), &f32s(&[1.0])).is_err());
        assert!(onnx_runner(&f32s(&[nan]), &f32s(&[1.0])).is_err());
        assert!(onnx_runner(&f32s(&[inf]), &f32s(&[-inf])).is_err());
        assert!(onnx_runner(&f32s(&[1.0]), &f32s(&[1.0, 1.0])).is_err());
        let (a, b) = (
            Tensor {
                dtype: DType::I8,
                shape: vec![1],
                bytes: vec![100],
            },
            vec![101],
        );
        assert!(
            onnx_runner(
                &Tensor {
                    bytes: b,
                    ..a.clone()
                },
                &a
            )
            .is_err()
        );
    }

    #[test]
    fn small_floats() {
        let code = |dtype, code| Tensor {
            dtype,
            shape: vec![1],
            bytes: vec![code],
        };
        assert!(onnx_runner(&code(DType::F4E2M1, 8), &code(DType::F4E2M1, 0)).is_ok());
        assert!(onnx_runner(&code(DType::F8E5M2, 0x7D), &code(DType::F8E5M2, 0xFF)).is_ok());
        assert!(onnx_runner(&code(DType::F8E4M3FN, 0x80), &code(DType::F8E4M3FN, 1)).is_err());
        assert!(onnx_runner(&code(DType::U8, 0x80), &code(DType::U8, 0)).is_err());
    }

    #[test]
    fn steps() {
        let (got, expected) = (
            f32s(&[0.5, 1.0, f32::NAN, 2.0]),
            f32s(&[0.0, 0.0, 0.0, 2.0]),
        );
        assert_eq!(beyond_a_step(&got, &expected, 0.5), Ok(0.5));
        assert!(beyond_a_step(&got, &f32s(&[0.0]), 0.5).is_err());
    }

    #[test]
    fn relative_norm() {
        let (expected, whole) = (f32s(&[10.0, 0.0]), f32s(&[10.0, 0.0, -100.0]));
        let error = scaled(&f32s(&[10.0, 0.001]), &expected, &expected).expect("comparable");
        assert!((error - 1e-4).abs() < 1e-9);
        let error = scaled(&f32s(&[10.0, 0.001]), &expected, &whole).expect("comparable");
        assert!((error - 1e-5).abs() < 1e-9);
        assert!(scaled(&f32s(&[f32::NAN]), &f32s(&[1.0]), &f32s(&[1.0])).is_err());
    }
}
