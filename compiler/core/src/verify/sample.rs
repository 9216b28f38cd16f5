//! Seeded inputs for golden examples: the same model gets the same numbers everywhere.

use crate::bundle::Array;
use cygnet_format::DType;

/// A deterministic input: floats are roughly normal and bounded, small integers cover their range, wide integers are 0
/// or 1 (they are mostly indices, and the smallest usual table, BERT's token types, has two rows), booleans alternate at
/// random. `None` when the size overflows.
pub fn sample_input(name: &str, dtype: DType, shape: &[usize], seed: u64) -> Option<Array> {
    let len = shape.iter().try_fold(1usize, |n, &d| n.checked_mul(d))?;
    len.checked_mul(dtype.size())?;
    let mut state = name.bytes().fold(seed ^ 0xcbf2_9ce4_8422_2325, |h, b| {
        (h ^ b as u64).wrapping_mul(0x0100_0000_01b3)
    });
    // SplitMix64 (Steele, Lea, Flood 2014).
    let mut next = move || {
        state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = state;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    };
    let mut data = Vec::with_capacity(len * dtype.size());
    for _ in 0..len {
        let bits = next();
        match dtype {
            d if d.is_small_float() => data.push((bits % 8) as u8),
            d if d.is_float() => {
                // The sum of four uniforms, centred: variance 1/3, exact in f32.
                let sum: i64 = (0..4).map(|i| ((bits >> (16 * i)) & 0xffff) as i64).sum();
                let value = (sum - 2 * 0xffff) as f32 / 65536.0;
                data.extend(Array::from_f32(&[1], &[value]).cast(dtype).data);
            }
            DType::Bool => data.push((bits & 1) as u8),
            DType::I8 | DType::U8 => data.push(bits as u8),
            _ => data.extend(Array::from_f32(&[1], &[(bits % 2) as f32]).cast(dtype).data),
        }
    }
    Array::new(dtype, shape.to_vec(), data)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seeded_and_bounded() {
        let a = sample_input("x", DType::F32, &[100], 1).unwrap();
        assert_eq!(a, sample_input("x", DType::F32, &[100], 1).unwrap());
        assert_ne!(a, sample_input("y", DType::F32, &[100], 1).unwrap());
        let values = a.to_f64();
        assert!(values.iter().all(|v| v.abs() <= 2.0));
        assert!(values.iter().any(|v| *v > 0.3) && values.iter().any(|v| *v < -0.3));
        let indices = sample_input("x", DType::I64, &[100], 1).unwrap().to_f64();
        assert!(indices.contains(&0.0) && indices.contains(&1.0));
        assert!(indices.iter().all(|v| *v == 0.0 || *v == 1.0));
        assert!(sample_input("x", DType::F32, &[usize::MAX, 2], 1).is_none());
    }
}
