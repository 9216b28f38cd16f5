//! A dense host tensor: what goes into a model and comes out of it outside the arena.

use cygnet_format::DType;
use half::{bf16, f16};

/// Row-major little-endian elements with a shape.
#[derive(Clone, Debug, PartialEq)]
pub struct Array {
    /// Element type.
    pub dtype: DType,
    /// Lengths of the axes, outermost first.
    pub shape: Vec<usize>,
    /// The elements.
    pub data: Vec<u8>,
}

impl Array {
    /// An array of these bytes; `None` when their count does not fit the shape.
    pub fn new(dtype: DType, shape: Vec<usize>, data: Vec<u8>) -> Option<Array> {
        let len = shape
            .iter()
            .try_fold(dtype.size(), |n, &d| n.checked_mul(d))?;
        (len == data.len()).then_some(Array { dtype, shape, data })
    }

    /// An array of zeros; `None` when the size overflows.
    pub fn zeros(dtype: DType, shape: &[usize]) -> Option<Array> {
        let len = shape
            .iter()
            .try_fold(dtype.size(), |n, &d| n.checked_mul(d))?;
        Some(Array {
            dtype,
            shape: shape.to_vec(),
            data: vec![0; len],
        })
    }

    /// An f32 array.
    ///
    /// # Panics
    /// When the element count does not fit the shape.
    pub fn from_f32(shape: &[usize], values: &[f32]) -> Array {
        let data = values.iter().flat_map(|v| v.to_le_bytes()).collect();
        Array::new(DType::F32, shape.to_vec(), data).expect("elements of the shape")
    }

    /// The number of elements.
    pub fn len(&self) -> usize {
        self.shape.iter().product()
    }

    /// True when there are no elements.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Every element as a double. 64-bit integers above 2^53 lose low bits.
    pub fn to_f64(&self) -> Vec<f64> {
        fn each<const N: usize>(data: &[u8], f: impl Fn([u8; N]) -> f64) -> Vec<f64> {
            data.as_chunks::<N>().0.iter().map(|c| f(*c)).collect()
        }
        match self.dtype {
            DType::F32 => each(&self.data, |b| f32::from_le_bytes(b) as f64),
            DType::F64 => each(&self.data, f64::from_le_bytes),
            DType::F16 => each(&self.data, |b| f16::from_le_bytes(b).to_f64()),
            DType::BF16 => each(&self.data, |b| bf16::from_le_bytes(b).to_f64()),
            DType::I8 | DType::I4 | DType::I2 => each(&self.data, |b| i8::from_le_bytes(b) as f64),
            DType::I16 => each(&self.data, |b| i16::from_le_bytes(b) as f64),
            DType::U16 => each(&self.data, |b| u16::from_le_bytes(b) as f64),
            DType::I32 => each(&self.data, |b| i32::from_le_bytes(b) as f64),
            DType::U32 => each(&self.data, |b| u32::from_le_bytes(b) as f64),
            DType::I64 => each(&self.data, |b| i64::from_le_bytes(b) as f64),
            DType::U64 => each(&self.data, |b| u64::from_le_bytes(b) as f64),
            // Small floats compare by code: equal codes are equal values.
            _ => self.data.iter().map(|&b| b as f64).collect(),
        }
    }

    /// Every element as f32.
    pub fn to_f32(&self) -> Vec<f32> {
        self.to_f64().into_iter().map(|v| v as f32).collect()
    }

    /// The same values as another element type: rounded to nearest even and saturated for integers.
    pub fn cast(&self, dtype: DType) -> Array {
        if dtype == self.dtype {
            return self.clone();
        }
        let values = self.to_f64();
        let mut data = Vec::with_capacity(values.len() * dtype.size());
        for v in values {
            let r = v.round_ties_even();
            match dtype {
                DType::F32 => data.extend((v as f32).to_le_bytes()),
                DType::F64 => data.extend(v.to_le_bytes()),
                DType::F16 => data.extend(f16::from_f64(v).to_le_bytes()),
                DType::BF16 => data.extend(bf16::from_f64(v).to_le_bytes()),
                DType::I8 => data.extend((r as i8).to_le_bytes()),
                DType::I16 => data.extend((r as i16).to_le_bytes()),
                DType::U16 => data.extend((r as u16).to_le_bytes()),
                DType::I32 => data.extend((r as i32).to_le_bytes()),
                DType::U32 => data.extend((r as u32).to_le_bytes()),
                DType::I64 => data.extend((r as i64).to_le_bytes()),
                DType::U64 => data.extend((r as u64).to_le_bytes()),
                DType::Bool => data.push((v != 0.0) as u8),
                _ => data.push(r as u8),
            }
        }
        Array {
            dtype,
            shape: self.shape.clone(),
            data,
        }
    }

    /// Undoes a permutation: `self.shape[i]` is the result's `shape[perm[i]]`. An empty `perm` changes nothing.
    pub fn unpermute(&self, perm: &[usize]) -> Array {
        if perm.is_empty() || perm.len() != self.shape.len() {
            return self.clone();
        }
        let rank = perm.len();
        let mut shape = vec![0; rank];
        for (i, &p) in perm.iter().enumerate() {
            shape[p] = self.shape[i];
        }
        let mut strides = vec![1usize; rank];
        for i in (0..rank.saturating_sub(1)).rev() {
            strides[i] = strides[i + 1] * self.shape[i + 1];
        }
        // Stride in `self` of each result axis.
        let mut source = vec![0; rank];
        for (i, &p) in perm.iter().enumerate() {
            source[p] = strides[i];
        }
        let size = self.dtype.size();
        let mut data = Vec::with_capacity(self.data.len());
        let mut index = vec![0usize; rank];
        for _ in 0..self.len() {
            let at: usize = index.iter().zip(&source).map(|(i, s)| i * s).sum();
            data.extend_from_slice(&self.data[at * size..(at + 1) * size]);
            for axis in (0..rank).rev() {
                index[axis] += 1;
                if index[axis] < shape[axis] {
                    break;
                }
                index[axis] = 0;
            }
        }
        Array {
            dtype: self.dtype,
            shape,
            data,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unpermute_restores_channels_first() {
        // NHWC [1,2,3,2] of an NCHW tensor [1,2,2,3]: perm says where each axis came from.
        let nchw: Vec<f32> = (0..12).map(|v| v as f32).collect();
        let mut nhwc = Vec::new();
        for h in 0..2 {
            for w in 0..3 {
                for c in 0..2 {
                    nhwc.push(nchw[c * 6 + h * 3 + w]);
                }
            }
        }
        let back = Array::from_f32(&[1, 2, 3, 2], &nhwc).unpermute(&[0, 2, 3, 1]);
        assert_eq!(back, Array::from_f32(&[1, 2, 2, 3], &nchw));
    }

    #[test]
    fn casts_saturate_and_round_to_even() {
        let a = Array::from_f32(&[4], &[0.5, 1.5, 300.0, -1e9]);
        assert_eq!(a.cast(DType::U8).data, [0, 2, 255, 0]);
        assert_eq!(a.cast(DType::I8).data, [0, 2, 127, 128]);
    }
}
