//! Views of tensors: an element type, an actual shape and bytes.

use crate::element::Element;
use crate::error::{RunError, RunErrorKind};
use crate::shape::Shape;
use core::mem::{align_of, size_of};
use cygnet_format::DType;

/// The element type and the actual shape of a tensor.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct TensorType {
    /// Element type.
    pub dtype: DType,
    /// Actual shape.
    pub shape: Shape,
}

/// A tensor that can be read.
#[derive(Clone, Copy, Debug)]
pub struct Tensor<'a> {
    /// Element type.
    pub dtype: DType,
    /// Actual shape.
    pub shape: Shape,
    /// The elements, row-major, in the machine's byte order (little-endian on every supported target).
    pub bytes: &'a [u8],
}

/// A tensor that can be written.
#[derive(Debug)]
pub struct TensorMut<'a> {
    /// Element type.
    pub dtype: DType,
    /// Actual shape.
    pub shape: Shape,
    /// The elements, row-major.
    pub bytes: &'a mut [u8],
}

fn check<T: Element>(dtype: DType, bytes: &[u8]) -> Result<usize, RunError> {
    if !T::reads(dtype) {
        return Err(RunErrorKind::Type.into());
    }
    if bytes.as_ptr().align_offset(align_of::<T>()) != 0 {
        return Err(RunErrorKind::Misaligned.into());
    }
    Ok(bytes.len() / size_of::<T>())
}

impl<'a> Tensor<'a> {
    /// What the elements are, without them.
    pub fn kind(&self) -> TensorType {
        TensorType {
            dtype: self.dtype,
            shape: self.shape,
        }
    }

    /// The elements.
    ///
    /// # Errors
    /// [`RunErrorKind::Type`] when the elements are not of this type.
    pub fn as_slice<T: Element>(&self) -> Result<&'a [T], RunError> {
        let len = check::<T>(self.dtype, self.bytes)?;
        // SAFETY: aligned and long enough by `check`; every bit pattern is a value of an `Element`.
        Ok(unsafe { core::slice::from_raw_parts(self.bytes.as_ptr().cast(), len) })
    }

    /// The one element of a tensor with one element.
    ///
    /// # Errors
    /// As [`Tensor::as_slice`], and when there is not exactly one element.
    pub fn scalar<T: Element>(&self) -> Result<T, RunError> {
        match self.as_slice::<T>()? {
            [x] => Ok(*x),
            _ => Err(RunError::shape("one element is expected")),
        }
    }
}

impl<'a> TensorMut<'a> {
    /// What the elements are, without them.
    pub fn kind(&self) -> TensorType {
        TensorType {
            dtype: self.dtype,
            shape: self.shape,
        }
    }

    /// The elements.
    ///
    /// # Errors
    /// [`RunErrorKind::Type`] when the elements are not of this type.
    pub fn as_slice<T: Element>(&self) -> Result<&[T], RunError> {
        let len = check::<T>(self.dtype, self.bytes)?;
        // SAFETY: aligned and long enough by `check`; every bit pattern is a value of an `Element`.
        Ok(unsafe { core::slice::from_raw_parts(self.bytes.as_ptr().cast(), len) })
    }

    /// The elements.
    ///
    /// # Errors
    /// [`RunErrorKind::Type`] when the elements are not of this type.
    pub fn as_mut_slice<T: Element>(&mut self) -> Result<&mut [T], RunError> {
        let len = check::<T>(self.dtype, self.bytes)?;
        // SAFETY: as above; the view is exclusive.
        Ok(unsafe { core::slice::from_raw_parts_mut(self.bytes.as_mut_ptr().cast(), len) })
    }

    /// The elements, for as long as the view's bytes live.
    ///
    /// # Errors
    /// As [`TensorMut::as_mut_slice`].
    pub fn into_mut_slice<T: Element>(self) -> Result<&'a mut [T], RunError> {
        let len = check::<T>(self.dtype, self.bytes)?;
        // SAFETY: as above; the view is consumed.
        Ok(unsafe { core::slice::from_raw_parts_mut(self.bytes.as_mut_ptr().cast(), len) })
    }

    /// A shorter view to pass on.
    pub fn reborrow(&mut self) -> TensorMut<'_> {
        TensorMut {
            dtype: self.dtype,
            shape: self.shape,
            bytes: self.bytes,
        }
    }
}
