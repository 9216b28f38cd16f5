//! Sorting without a heap: the k best, distinct values, non-maximum suppression. Outputs are the work space.
mod suppress;
mod unique;

pub use suppress::{Boxes, non_max_suppression};
pub use unique::{distinct_in_order, fill_first, find, find_row, next_row, sort_distinct};

use crate::error::{KernelError, exactly, product};
use crate::reduce::split;
use core::cmp::Ordering;
use cygnet_format::DType;
use half::{bf16, f16};

/// How the elements of a type compare, given their bytes. Sorting moves elements by size and compares by pointer, so that
/// there is one body a size, not one a type.
#[derive(Clone, Copy, Debug)]
pub struct Comparison(fn(&[u8], &[u8]) -> Option<Ordering>);

impl Comparison {
    /// Of numbers and booleans; `None` for other types.
    pub fn of(dtype: DType) -> Option<Comparison> {
        macro_rules! by_value {
            ($t:ty) => {
                |a, b| {
                    let value = |b: &[u8]| b.first_chunk().map(|b| <$t>::from_le_bytes(*b));
                    value(a).partial_cmp(&value(b))
                }
            };
        }
        Some(Comparison(match dtype {
            DType::F32 => by_value!(f32),
            DType::F64 => by_value!(f64),
            DType::F16 => by_value!(f16),
            DType::BF16 => by_value!(bf16),
            DType::I8 => by_value!(i8),
            DType::U8 | DType::Bool => by_value!(u8),
            DType::I16 => by_value!(i16),
            DType::U16 => by_value!(u16),
            DType::I32 => by_value!(i32),
            DType::U32 => by_value!(u32),
            DType::I64 => by_value!(i64),
            DType::U64 => by_value!(u64),
            _ => return None,
        }))
    }

    /// Equal values; NaN equals nothing.
    pub fn equal(self, a: &[u8], b: &[u8]) -> bool {
        (self.0)(a, b) == Some(Ordering::Equal)
    }

    /// Total order; NaN is greatest.
    pub fn order(self, a: &[u8], b: &[u8]) -> Ordering {
        let is_nan = |x| (self.0)(x, x).is_none();
        (self.0)(a, b).unwrap_or_else(|| is_nan(a).cmp(&is_nan(b)))
    }
}

/// Total order of f32; NaN is greatest.
pub fn order(a: f32, b: f32) -> Ordering {
    a.partial_cmp(&b)
        .unwrap_or_else(|| a.is_nan().cmp(&b.is_nan()))
}

/// The `k` greatest or least elements along `axis` with their indices, best first; the smaller index wins ties.
/// `values` and `indices` have the shape of `x` with `k` on the axis; `order` is that of the values.
///
/// # Errors
/// [`KernelError`] when lengths do not fit or `k` exceeds the axis.
pub fn top_k<T: Copy>(
    x: &[T],
    shape: &[usize],
    axis: i32,
    k: usize,
    largest: bool,
    values: &mut [T],
    mut indices: Option<&mut [i64]>,
    order: impl Fn(T, T) -> Ordering,
) -> Result<(), KernelError> {
    let (outer, n, inner) = split(shape, axis)?;
    exactly(x.len(), product(shape)?)?;
    exactly(values.len(), product(&[outer, k, inner])?)?;
    if let Some(i) = &indices {
        exactly(i.len(), values.len())?;
    }
    if k > n {
        return Err(KernelError::Parameter);
    }
    if k == 0 {
        return Ok(());
    }
    let cmp = |a: T, b: T| if largest { order(b, a) } else { order(a, b) };
    for o in 0..outer {
        for i in 0..inner {
            let mut heap = Heap {
                base: o * k * inner + i,
                step: inner,
                values: &mut *values,
                indices: indices.as_deref_mut(),
                cmp: &cmp,
            };
            for j in 0..n {
                let v = x[(o * n + j) * inner + i];
                if j < k {
                    heap.put(j, v, j as i64);
                    heap.up(j);
                } else if cmp(v, heap.values[heap.base]) == Ordering::Less {
                    heap.put(0, v, j as i64);
                    heap.down(0, k);
                }
            }
            for end in (1..k).rev() {
                heap.swap(0, end);
                heap.down(0, end);
            }
        }
    }
    Ok(())
}

/// A binary heap with the worst element on top, in place in the outputs.
struct Heap<'a, T, F> {
    base: usize,
    step: usize,
    values: &'a mut [T],
    indices: Option<&'a mut [i64]>,
    cmp: F,
}

impl<T: Copy, F: Fn(T, T) -> Ordering> Heap<'_, T, F> {
    fn at(&self, i: usize) -> usize {
        self.base + i * self.step
    }
    fn put(&mut self, i: usize, v: T, index: i64) {
        let at = self.at(i);
        self.values[at] = v;
        if let Some(x) = &mut self.indices {
            x[at] = index;
        }
    }
    fn swap(&mut self, i: usize, j: usize) {
        let (a, b) = (self.at(i), self.at(j));
        self.values.swap(a, b);
        if let Some(x) = &mut self.indices {
            x.swap(a, b);
        }
    }
    /// Element `i` is worse than `j`.
    fn worse(&self, i: usize, j: usize) -> bool {
        let (a, b) = (self.at(i), self.at(j));
        let tie = || {
            self.indices
                .as_ref()
                .map_or(Ordering::Equal, |x| x[a].cmp(&x[b]))
        };
        (self.cmp)(self.values[a], self.values[b]).then_with(tie) == Ordering::Greater
    }
    fn up(&mut self, mut i: usize) {
        while i > 0 && self.worse(i, (i - 1) / 2) {
            self.swap(i, (i - 1) / 2);
            i = (i - 1) / 2;
        }
    }
    fn down(&mut self, mut i: usize, end: usize) {
        loop {
            let mut worst = i;
            for child in [2 * i + 1, 2 * i + 2] {
                if child < end && self.worse(child, worst) {
                    worst = child;
                }
            }
            if worst == i {
                return;
            }
            self.swap(i, worst);
            i = worst;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn top_k_orders_ties_by_index() {
        let x = [3f32, 9., 9., 1., 9., 0.];
        let (mut v, mut i) = ([0f32; 4], [0i64; 4]);
        top_k(&x, &[6], 0, 4, true, &mut v, Some(&mut i), order).unwrap();
        assert_eq!((v, i), ([9., 9., 9., 3.], [1, 2, 4, 0]));
        top_k(&x, &[6], 0, 4, false, &mut v, Some(&mut i), order).unwrap();
        assert_eq!((v, i), ([0., 1., 3., 9.], [5, 3, 0, 1]));
        let (mut v, mut i) = ([0i32; 2], [0i64; 2]);
        top_k(
            &[1, 2, 3, 4, 9, 0],
            &[3, 2],
            0,
            1,
            true,
            &mut v,
            Some(&mut i),
            |a, b| a.cmp(&b),
        )
        .unwrap();
        assert_eq!((v, i), ([9, 4], [2, 1]));
        assert!(top_k(&[1], &[1], 0, 2, true, &mut v, None, |a, b| a.cmp(&b)).is_err());
    }

    #[test]
    fn comparisons_follow_the_type() {
        let c = |d| Comparison::of(d).unwrap();
        assert_eq!(c(DType::I8).order(&[255], &[1]), Ordering::Less);
        assert_eq!(c(DType::U8).order(&[255], &[1]), Ordering::Greater);
        assert_eq!(c(DType::Bool).order(&[0], &[1]), Ordering::Less);
        let (a, b) = ((-2i64).to_le_bytes(), 1i64.to_le_bytes());
        assert_eq!(c(DType::I64).order(&a, &b), Ordering::Less);
        assert_eq!(c(DType::U64).order(&a, &b), Ordering::Greater);
        for (dtype, nan, two, zero, minus_zero) in [
            (
                DType::F32,
                &f32::NAN.to_le_bytes()[..],
                &2f32.to_le_bytes()[..],
                &0f32.to_le_bytes()[..],
                &(-0f32).to_le_bytes()[..],
            ),
            (
                DType::F16,
                &f16::NAN.to_le_bytes(),
                &f16::from_f32(2.).to_le_bytes(),
                &f16::ZERO.to_le_bytes(),
                &f16::NEG_ZERO.to_le_bytes(),
            ),
        ] {
            let c = c(dtype);
            assert_eq!(
                (c.order(nan, two), c.order(two, nan)),
                (Ordering::Greater, Ordering::Less)
            );
            assert_eq!(
                (c.order(nan, nan), c.equal(nan, nan)),
                (Ordering::Equal, false)
            );
            assert!(c.equal(zero, minus_zero) && !c.equal(zero, two));
        }
        assert!(Comparison::of(DType::I4).is_none());
    }
}
