//! Compressed weights as the kernels see them.

use crate::error::RunError;
use crate::tensor::Tensor;
use cygnet_format::DType;
use cygnet_kernels::compressed::{Codes, Factors, Weights, words};

fn factors<'a>(t: &Tensor<'a>) -> Result<Factors<'a>, RunError> {
    Ok(match t.dtype {
        DType::F16 => Factors::F16(t.as_slice()?),
        _ => Factors::F32(t.as_slice()?),
    })
}

/// The product of these sizes.
fn count(sizes: &[usize]) -> Result<usize, RunError> {
    let mut n = 1usize;
    for &size in sizes {
        n = n.checked_mul(size).ok_or(RunError::overflow())?;
    }
    Ok(n)
}

/// Stored weights with what belongs to them.
pub(crate) struct Stored<'a> {
    pub bits: u32,
    pub group: u32,
    pub codes: Tensor<'a>,
    pub scales: Option<Tensor<'a>>,
    pub offsets: Option<Tensor<'a>>,
    pub table: Option<Tensor<'a>>,
}

impl<'a> Stored<'a> {
    /// The matrix of `k` rows and `n` columns; the leading axes of the codes, `panels` together, are all its panels.
    pub fn weights(&self, panels: usize, k: usize, n: usize) -> Result<Weights<'a>, RunError> {
        let wrong = || RunError::shape("compressed weights do not fit the matrix");
        let alone = self.scales.is_none() && self.offsets.is_none() && self.table.is_none();
        let codes = if self.bits == 16 {
            if !alone || self.codes.shape.count() != count(&[panels, k, 16])? {
                return Err(wrong());
            }
            Codes::Half(self.codes.as_slice()?)
        } else {
            if !matches!(self.bits, 2 | 4 | 8) {
                return Err(RunError::attribute(
                    "compressed weights have 2, 4, 8 or 16 bits",
                ));
            }
            if self.codes.shape.count() != count(&[panels, words(k, self.bits), 16])? {
                return Err(wrong());
            }
            let (words, bits) = (self.codes.as_slice::<u32>()?, self.bits);
            match (&self.scales, &self.table) {
                (Some(scales), None) => {
                    let group = match self.group {
                        0 => k.max(1).next_multiple_of(16),
                        group => group as usize,
                    };
                    if group % 16 != 0 {
                        return Err(RunError::attribute("a group is a multiple of 16"));
                    }
                    let size = count(&[panels, k.div_ceil(group), 16])?;
                    let fits = |t: &Tensor<'_>| t.shape.count() == size && t.dtype == scales.dtype;
                    if !fits(scales) || !self.offsets.as_ref().is_none_or(fits) {
                        return Err(wrong());
                    }
                    Codes::Integers {
                        words,
                        bits,
                        group,
                        scales: factors(scales)?,
                        offsets: self.offsets.as_ref().map(factors).transpose()?,
                    }
                }
                (None, Some(table)) if self.offsets.is_none() => {
                    let table = table.as_slice::<f32>()?;
                    let size = 1usize << bits;
                    if table.len() != size && Some(table.len()) != size.checked_mul(panels) {
                        return Err(wrong());
                    }
                    Codes::Table { words, bits, table }
                }
                _ => {
                    return Err(RunError::shape("compressed weights have scales or a table"));
                }
            }
        };
        Ok(Weights { k, n, codes })
    }
}
