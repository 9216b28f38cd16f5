//! Distinct values and distinct rows of elements of `N` bytes.
use super::Comparison;
use core::cmp::Ordering;

/// Sorts `x` in place and moves the distinct values to the front; returns how many.
pub fn sort_distinct<const N: usize>(x: &mut [[u8; N]], c: Comparison) -> usize {
    x.sort_unstable_by(|a, b| c.order(a, b));
    let mut n = 0;
    for i in 0..x.len() {
        if n == 0 || !c.equal(&x[i], &x[n - 1]) {
            x[n] = x[i];
            n += 1;
        }
    }
    n
}

/// Moves the distinct values of `x` to the front in order of first appearance; returns how many.
pub fn distinct_in_order<const N: usize>(x: &mut [[u8; N]], c: Comparison) -> usize {
    let mut n = 0;
    for i in 0..x.len() {
        if !x[..n].iter().any(|v| c.equal(v, &x[i])) {
            x[n] = x[i];
            n += 1;
        }
    }
    n
}

/// Place of `v` among the distinct values.
pub fn find<const N: usize>(
    distinct: &[[u8; N]],
    v: [u8; N],
    sorted: bool,
    c: Comparison,
) -> Option<usize> {
    if sorted {
        distinct.binary_search_by(|d| c.order(d, &v)).ok()
    } else {
        distinct.iter().position(|d| c.equal(d, &v))
    }
}

/// Compares two slices of `[outer, n, inner]` at entries `i` of `x` and `j` of `y` (with `m` entries).
fn compare_rows<const N: usize>(
    c: Comparison,
    x: &[[u8; N]],
    n: usize,
    i: usize,
    y: &[[u8; N]],
    m: usize,
    j: usize,
    outer: usize,
    inner: usize,
) -> Ordering {
    for o in 0..outer {
        for k in 0..inner {
            let order = c.order(&x[(o * n + i) * inner + k], &y[(o * m + j) * inner + k]);
            if order != Ordering::Equal {
                return order;
            }
        }
    }
    Ordering::Equal
}

/// The next distinct entry along the middle axis of `x[outer, n, inner]` after entry `last`: the least greater one, or,
/// when not `sorted`, the next that differs from all before it. The first one when `last` is none.
pub fn next_row<const N: usize>(
    c: Comparison,
    x: &[[u8; N]],
    outer: usize,
    n: usize,
    inner: usize,
    sorted: bool,
    last: Option<usize>,
) -> Option<usize> {
    let cmp = |i, j| compare_rows(c, x, n, i, x, n, j, outer, inner);
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
pub fn find_row<const N: usize>(
    c: Comparison,
    x: &[[u8; N]],
    n: usize,
    i: usize,
    distinct: &[[u8; N]],
    m: usize,
    outer: usize,
    inner: usize,
    sorted: bool,
) -> Option<usize> {
    if !sorted {
        return (0..m)
            .find(|&j| compare_rows(c, distinct, m, j, x, n, i, outer, inner) == Ordering::Equal);
    }
    let (mut lo, mut hi) = (0, m);
    while lo < hi {
        let mid = lo + (hi - lo) / 2;
        match compare_rows(c, distinct, m, mid, x, n, i, outer, inner) {
            Ordering::Less => lo = mid + 1,
            Ordering::Greater => hi = mid,
            Ordering::Equal => return Some(mid),
        }
    }
    None
}

/// From the place of each element, writes the first index and the number of appearances of each distinct value.
pub fn fill_first(
    places: &mut dyn Iterator<Item = usize>,
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
    use cygnet_format::DType;

    #[test]
    fn distinct_values_and_rows() {
        let c = Comparison::of(DType::F32).unwrap();
        let x = [2f32, 1., 1., 3., 4., 3.].map(f32::to_le_bytes);
        let mut y = x;
        assert_eq!(sort_distinct(&mut y, c), 4);
        assert_eq!(y.map(f32::from_le_bytes)[..4], [1., 2., 3., 4.]);
        let (mut first, mut counts) = ([0; 4], [0; 4]);
        fill_first(
            &mut x.iter().map(|v| find(&y[..4], *v, true, c).unwrap()),
            Some(&mut first),
            Some(&mut counts),
        );
        assert_eq!((first, counts), ([1, 0, 3, 4], [2, 1, 2, 1]));
        let mut y = x;
        assert_eq!(distinct_in_order(&mut y, c), 4);
        assert_eq!(y.map(f32::from_le_bytes)[..4], [2., 1., 3., 4.]);
        assert_eq!(find(&y[..4], 3f32.to_le_bytes(), false, c), Some(2));
        // Every NaN is one of its own.
        let mut nan = [f32::NAN, 1., f32::NAN].map(f32::to_le_bytes);
        assert_eq!(sort_distinct(&mut nan, c), 3);
        assert_eq!(f32::from_le_bytes(nan[0]), 1.);
        let c = Comparison::of(DType::U8).unwrap();
        let rows = [1, 0, 0, 1, 0, 0, 2, 3, 4].map(|v| [v]);
        assert_eq!(next_row(c, &rows, 1, 3, 3, true, None), Some(0));
        assert_eq!(next_row(c, &rows, 1, 3, 3, true, Some(0)), Some(2));
        assert_eq!(next_row(c, &rows, 1, 3, 3, true, Some(2)), None);
        let distinct = [1, 0, 0, 2, 3, 4].map(|v| [v]);
        assert_eq!(find_row(c, &rows, 3, 1, &distinct, 2, 1, 3, true), Some(0));
        // Columns.
        let columns = [2, 1, 2, 5, 5, 5].map(|v| [v]);
        assert_eq!(next_row(c, &columns, 2, 3, 1, true, None), Some(1));
        assert_eq!(next_row(c, &columns, 2, 3, 1, false, Some(1)), None);
    }
}
