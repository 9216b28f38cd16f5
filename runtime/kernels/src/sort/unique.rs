//! Distinct values and distinct rows.
use super::order;
use crate::element::Element;
use core::cmp::Ordering;

/// Sorts `x` in place and moves the distinct values to the front; returns how many.
pub fn sort_distinct<T: Element>(x: &mut [T]) -> usize {
    x.sort_unstable_by(|a, b| order(*a, *b));
    let mut n = 0;
    for i in 0..x.len() {
        if n == 0 || x[i] != x[n - 1] {
            x[n] = x[i];
            n += 1;
        }
    }
    n
}

/// Moves the distinct values of `x` to the front in order of first appearance; returns how many.
pub fn distinct_in_order<T: Element>(x: &mut [T]) -> usize {
    let mut n = 0;
    for i in 0..x.len() {
        if !x[..n].contains(&x[i]) {
            x[n] = x[i];
            n += 1;
        }
    }
    n
}

/// Place of `v` among the distinct values.
pub fn find<T: Element>(distinct: &[T], v: T, sorted: bool) -> Option<usize> {
    if sorted {
        distinct.binary_search_by(|d| order(*d, v)).ok()
    } else {
        distinct.iter().position(|d| *d == v)
    }
}

/// Compares two slices of `[outer, n, inner]` at entries `i` of `x` and `j` of `y` (with `m` entries).
fn compare_rows<T: Element>(
    x: &[T],
    n: usize,
    i: usize,
    y: &[T],
    m: usize,
    j: usize,
    outer: usize,
    inner: usize,
) -> Ordering {
    for o in 0..outer {
        for k in 0..inner {
            let c = order(x[(o * n + i) * inner + k], y[(o * m + j) * inner + k]);
            if c != Ordering::Equal {
                return c;
            }
        }
    }
    Ordering::Equal
}

/// The next distinct entry along the middle axis of `x[outer, n, inner]` after entry `last`: the least greater one, or,
/// when not `sorted`, the next that differs from all before it. The first one when `last` is none.
pub fn next_row<T: Element>(
    x: &[T],
    outer: usize,
    n: usize,
    inner: usize,
    sorted: bool,
    last: Option<usize>,
) -> Option<usize> {
    let cmp = |i, j| compare_rows(x, n, i, x, n, j, outer, inner);
    if !sorted {
        return (last.map_or(0, |l| l + 1)..n)
            .find(|&i| (0..i).all(|j| cmp(j, i) != Ordering::Equal));
    }
    let mut best: Option<usize> = None;
    for i in 0..n {
        if last.is_none_or(|l| cmp(i, l) == Ordering::Greater)
            && best.is_none_or(|b| cmp(i, b) == Ordering::Less)
        {
            best = Some(i);
        }
    }
    best
}

/// Place of entry `i` of `x[outer, n, inner]` among the entries of `distinct[outer, m, inner]`.
pub fn find_row<T: Element>(
    x: &[T],
    n: usize,
    i: usize,
    distinct: &[T],
    m: usize,
    outer: usize,
    inner: usize,
    sorted: bool,
) -> Option<usize> {
    if !sorted {
        return (0..m)
            .find(|&j| compare_rows(distinct, m, j, x, n, i, outer, inner) == Ordering::Equal);
    }
    let (mut lo, mut hi) = (0, m);
    while lo < hi {
        let mid = lo + (hi - lo) / 2;
        match compare_rows(distinct, m, mid, x, n, i, outer, inner) {
            Ordering::Less => lo = mid + 1,
            Ordering::Greater => hi = mid,
            Ordering::Equal => return Some(mid),
        }
    }
    None
}

/// From the place of each element, writes the first index and the number of appearances of each distinct value.
pub fn fill_first(
    places: impl Iterator<Item = usize>,
    mut first: Option<&mut [i64]>,
    mut counts: Option<&mut [i64]>,
) {
    if let Some(f) = &mut first {
        f.fill(-1);
    }
    if let Some(c) = &mut counts {
        c.fill(0);
    }
    for (i, p) in places.enumerate() {
        if let Some(f) = first.as_mut().and_then(|f| f.get_mut(p))
            && *f < 0
        {
            *f = i as i64;
        }
        if let Some(c) = counts.as_mut().and_then(|c| c.get_mut(p)) {
            *c += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn distinct_values_and_rows() {
        let x = [2f32, 1., 1., 3., 4., 3.];
        let mut y = x;
        assert_eq!(sort_distinct(&mut y), 4);
        assert_eq!(y[..4], [1., 2., 3., 4.]);
        let (mut first, mut counts) = ([0; 4], [0; 4]);
        fill_first(
            x.iter().map(|v| find(&y[..4], *v, true).unwrap()),
            Some(&mut first),
            Some(&mut counts),
        );
        assert_eq!((first, counts), ([1, 0, 3, 4], [2, 1, 2, 1]));
        let mut y = x;
        assert_eq!(distinct_in_order(&mut y), 4);
        assert_eq!(y[..4], [2., 1., 3., 4.]);
        let rows = [1, 0, 0, 1, 0, 0, 2, 3, 4];
        assert_eq!(next_row(&rows, 1, 3, 3, true, None), Some(0));
        assert_eq!(next_row(&rows, 1, 3, 3, true, Some(0)), Some(2));
        assert_eq!(next_row(&rows, 1, 3, 3, true, Some(2)), None);
        assert_eq!(
            find_row(&rows, 3, 1, &[1, 0, 0, 2, 3, 4], 2, 1, 3, true),
            Some(0)
        );
        // Columns.
        assert_eq!(next_row(&[2, 1, 2, 5, 5, 5], 2, 3, 1, true, None), Some(1));
        assert_eq!(next_row(&[2, 1, 2, 5, 5, 5], 2, 3, 1, false, Some(1)), None);
    }
}
