//! Golden examples: inputs and expected outputs of one run, in `golden/N.cygt`.

use crate::dim::MAX_RANK;
use crate::dtype::DType;
use crate::program::layout::{ALIGN, u32_at, u64_at};

/// First bytes of a golden example.
pub const GOLDEN_MAGIC: [u8; 4] = *b"CYGT";
const VERSION: u32 = 1;
const HEADER: usize = 32;
const RECORD: usize = 64;
const RESET: u32 = 1;

/// Which side of the program a golden tensor belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// Bytes to write to an input.
    Input,
    /// Bytes that an output must have, within the tolerance for floats.
    Output,
}

/// One tensor of a golden example.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct GoldenTensor<'a> {
    /// Input or output.
    pub role: Role,
    /// Position among the program's inputs or outputs.
    pub index: u32,
    /// Element type.
    pub dtype: DType,
    dims: [u32; MAX_RANK],
    rank: u8,
    /// The elements, little-endian.
    pub bytes: &'a [u8],
}

impl GoldenTensor<'_> {
    /// The dimensions.
    pub fn dims(&self) -> &[u32] {
        self.dims.get(..self.rank as usize).unwrap_or(&[])
    }
}

/// A golden example. Floats match when `|got - want| <= atol + rtol*|want|`; everything else matches exactly.
#[derive(Clone, Copy, Debug)]
pub struct Golden<'a> {
    bytes: &'a [u8],
    count: usize,
    /// Relative tolerance.
    pub rtol: f32,
    /// Absolute tolerance.
    pub atol: f32,
    /// True when the states are reset before this run; otherwise it continues the example before it.
    pub reset: bool,
}

impl<'a> Golden<'a> {
    /// Validates a golden example; `None` when malformed.
    pub fn parse(bytes: &'a [u8]) -> Option<Golden<'a>> {
        let flags = u32_at(bytes, 12);
        let (rtol, atol) = (
            f32::from_bits(u32_at(bytes, 16)),
            f32::from_bits(u32_at(bytes, 20)),
        );
        let ok = bytes.len() >= HEADER
            && bytes.starts_with(&GOLDEN_MAGIC)
            && u32_at(bytes, 4) == VERSION
            && flags & !RESET == 0
            && u64_at(bytes, 24) == 0
            && rtol >= 0.0
            && atol >= 0.0;
        let count = u32_at(bytes, 8) as usize;
        let golden = Golden {
            bytes,
            count,
            rtol,
            atol,
            reset: flags & RESET != 0,
        };
        let fits = count
            .checked_mul(RECORD)
            .is_some_and(|n| n <= bytes.len().saturating_sub(HEADER));
        (ok && fits && (0..count).all(|i| golden.tensor(i).is_some())).then_some(golden)
    }

    /// Number of tensors.
    pub const fn len(&self) -> usize {
        self.count
    }

    /// True when there are no tensors.
    pub const fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// Tensor `i`.
    pub fn tensor(&self, i: usize) -> Option<GoldenTensor<'a>> {
        if i >= self.count {
            return None;
        }
        let r = self.bytes.get(HEADER + i * RECORD..)?.get(..RECORD)?;
        let role = match r[0] {
            0 => Role::Input,
            1 => Role::Output,
            _ => return None,
        };
        let (dtype, rank) = (DType::from_code(r[1])?, r[2]);
        let mut dims = [0; MAX_RANK];
        let mut size = dtype.size() as u64;
        for (axis, d) in dims.iter_mut().enumerate() {
            let value = u32_at(r, 8 + axis * 4);
            if axis < rank as usize {
                *d = value;
                size = size.checked_mul(value as u64)?;
            } else if value != 0 {
                return None;
            }
        }
        let (first, len) = (u64_at(r, 40), u64_at(r, 48));
        if rank as usize > MAX_RANK
            || r[3] != 0
            || len != size
            || first % ALIGN != 0
            || u64_at(r, 56) != 0
        {
            return None;
        }
        let first = usize::try_from(first).ok()?;
        let bytes = self
            .bytes
            .get(first..first.checked_add(usize::try_from(len).ok()?)?)?;
        Some(GoldenTensor {
            role,
            index: u32_at(r, 4),
            dtype,
            dims,
            rank,
            bytes,
        })
    }
}

#[cfg(any(feature = "alloc", test))]
pub use writer::GoldenWriter;

#[cfg(any(feature = "alloc", test))]
mod writer {
    use super::*;
    use alloc::vec::Vec;

    /// Role, position, element type, shape, elements.
    type Owned = (Role, u32, DType, Vec<u32>, Vec<u8>);

    /// Builds the bytes of one golden example.
    #[derive(Clone, Debug, Default)]
    pub struct GoldenWriter {
        tensors: Vec<Owned>,
        rtol: f32,
        atol: f32,
        reset: bool,
    }

    impl GoldenWriter {
        /// An example with these tolerances; `reset` resets the states before it.
        pub fn new(rtol: f32, atol: f32, reset: bool) -> Self {
            GoldenWriter {
                tensors: Vec::new(),
                rtol,
                atol,
                reset,
            }
        }

        /// Adds a tensor: position among the program's inputs or outputs, element type, shape, little-endian elements.
        pub fn tensor(
            &mut self,
            role: Role,
            index: u32,
            dtype: DType,
            dims: &[u32],
            bytes: &[u8],
        ) -> &mut Self {
            self.tensors
                .push((role, index, dtype, dims.to_vec(), bytes.to_vec()));
            self
        }

        /// The bytes; `None` when a shape does not fit its bytes or has too many dimensions.
        pub fn write(&self) -> Option<Vec<u8>> {
            let mut bytes = Vec::new();
            bytes.extend_from_slice(&GOLDEN_MAGIC);
            let flags = if self.reset { RESET } else { 0 };
            for w in [
                VERSION,
                self.tensors.len() as u32,
                flags,
                self.rtol.to_bits(),
                self.atol.to_bits(),
                0,
                0,
            ] {
                bytes.extend_from_slice(&w.to_le_bytes());
            }
            let align = |n: usize| n.div_ceil(ALIGN as usize) * ALIGN as usize;
            let mut at = align(HEADER + self.tensors.len() * RECORD);
            for (role, index, dtype, dims, data) in &self.tensors {
                if dims.len() > MAX_RANK {
                    return None;
                }
                bytes.extend_from_slice(&[
                    (*role == Role::Output) as u8,
                    dtype.code(),
                    dims.len() as u8,
                    0,
                ]);
                bytes.extend_from_slice(&index.to_le_bytes());
                for axis in 0..MAX_RANK {
                    bytes.extend_from_slice(&dims.get(axis).copied().unwrap_or(0).to_le_bytes());
                }
                for v in [at as u64, data.len() as u64, 0] {
                    bytes.extend_from_slice(&v.to_le_bytes());
                }
                at = align(at + data.len());
            }
            for (.., data) in &self.tensors {
                bytes.resize(align(bytes.len()), 0);
                bytes.extend_from_slice(data);
            }
            Golden::parse(&bytes).is_some().then_some(bytes)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn round_trip_and_truncation() {
        let mut w = GoldenWriter::new(1e-4, 1e-5, true);
        w.tensor(Role::Input, 0, DType::F32, &[2, 3], &[7; 24])
            .tensor(Role::Output, 1, DType::I64, &[], &[1; 8]);
        let bytes = w.write().unwrap();
        let golden = Golden::parse(&bytes).unwrap();
        assert_eq!((golden.len(), golden.rtol, golden.reset), (2, 1e-4, true));
        let t = golden.tensor(0).unwrap();
        assert_eq!(
            (t.role, t.dtype, t.dims(), t.bytes),
            (Role::Input, DType::F32, &[2u32, 3][..], &[7u8; 24][..])
        );
        assert_eq!(golden.tensor(1).unwrap().bytes, &[1; 8]);
        for n in 0..bytes.len() {
            assert!(Golden::parse(&bytes[..n]).is_none(), "{n}");
        }
        for i in 0..bytes.len() * 8 {
            let mut flipped = bytes.clone();
            flipped[i / 8] ^= 1 << (i % 8);
            if let Some(g) = Golden::parse(&flipped) {
                for t in 0..g.len() {
                    assert!(g.tensor(t).is_some());
                }
            }
        }
        assert!(
            GoldenWriter::new(0.0, 0.0, false)
                .tensor(Role::Input, 0, DType::F32, &[2], &[0; 4])
                .write()
                .is_none()
        );
    }
}
