//! Sorting without a heap: the k best, distinct values, non-maximum suppression. Outputs are the work space.
mod suppress;
mod unique;

pub use suppress::{Boxes, non_max_suppression};
pub use unique::{distinct_in_order, fill_first, find, find_row, next_row, sort_distinct};

use crate::element::Element;
use crate::error::{KernelError, exactly, product};
use crate::reduce::split;
use core::cmp::Ordering;

/// Total order of numbers; NaN is greatest.
pub(crate) fn order<T: Element>(a: T, b: T) -> Ordering {
    a.partial_cmp(&b)
        .unwrap_or_else(|| a.is_nan().cmp(&b.is_nan()))
}

/// The `k` greatest or least elements along `axis` with their indices, best first; the smaller index wins ties.
/// `values` and `indices` have the shape of `x` with `k` on the axis.
///
/// # Errors
/// [`KernelError`] when lengths do not fit or `k` exceeds the axis.
pub fn top_k<T: Element>(
    x: &[T],
    shape: &[usize],
    axis: i32,
    k: usize,
    largest: bool,
    values: &mut [T],
    mut indices: Option<&mut [i64]>,
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
                cmp,
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
        top_k(&x, &[6], 0, 4, true, &mut v, Some(&mut i)).unwrap();
        assert_eq!((v, i), ([9., 9., 9., 3.], [1, 2, 4, 0]));
        top_k(&x, &[6], 0, 4, false, &mut v, Some(&mut i)).unwrap();
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
        )
        .unwrap();
        assert_eq!((v, i), ([9, 4], [2, 1]));
        assert!(top_k(&[1], &[1], 0, 2, true, &mut v, None).is_err());
    }
}
