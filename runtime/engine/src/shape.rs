//! Actual shapes.

use crate::error::{RunError, RunErrorKind};
use core::fmt;
use core::ops::Deref;
use cygnet_format::MAX_RANK;

/// Up to eight dimensions. The product of the dimensions that are not zero fits `isize`, so positions and strides of a
/// dense tensor never overflow.
#[derive(Clone, Copy, Default)]
pub struct Shape {
    rank: u8,
    dims: [usize; MAX_RANK],
}

impl Shape {
    /// The shape with these dimensions.
    ///
    /// # Errors
    /// More than eight dimensions, or a product beyond the address space.
    pub fn new(dims: &[usize]) -> Result<Self, RunError> {
        let mut shape = Shape::default();
        for &d in dims {
            shape.push(d)?;
        }
        shape.checked()
    }

    pub(crate) fn push(&mut self, dim: usize) -> Result<(), RunError> {
        match self.dims.get_mut(self.rank as usize) {
            Some(slot) => *slot = dim,
            None => return Err(RunErrorKind::Rank.into()),
        }
        self.rank += 1;
        Ok(())
    }

    pub(crate) fn checked(self) -> Result<Self, RunError> {
        let mut product = 1usize;
        for &d in self.iter() {
            product = product.checked_mul(d.max(1)).ok_or(RunError::overflow())?;
        }
        if product > isize::MAX as usize / 8 {
            Err(RunError::overflow())
        } else {
            Ok(self)
        }
    }

    /// Number of elements.
    pub fn count(&self) -> usize {
        self.iter().product()
    }

    /// Number of dimensions.
    pub fn rank(&self) -> usize {
        self.rank as usize
    }

    /// Row-major strides in elements; entries beyond the rank are 0.
    pub fn strides(&self) -> [usize; MAX_RANK] {
        let mut strides = [0; MAX_RANK];
        let mut step = 1usize;
        for axis in (0..self.rank()).rev() {
            strides[axis] = step;
            step *= self.dims[axis].max(1);
        }
        strides
    }

    /// Product of the dimensions before `axis`, dimension `axis`, product of those behind it; `None` when the axis is
    /// out of range.
    pub fn split(&self, axis: i32) -> Option<(usize, usize, usize)> {
        let axis = usize::try_from(axis).ok()?;
        let n = *self.get(axis)?;
        Some((
            self[..axis].iter().product(),
            n,
            self[axis + 1..].iter().product(),
        ))
    }
}

impl Deref for Shape {
    type Target = [usize];
    fn deref(&self) -> &[usize] {
        // The rank never exceeds the array.
        &self.dims[..self.rank as usize]
    }
}

impl PartialEq for Shape {
    fn eq(&self, other: &Self) -> bool {
        **self == **other
    }
}

impl Eq for Shape {}

impl fmt::Debug for Shape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (**self).fmt(f)
    }
}
