//! Reductions, index of the extreme, running sums, and norms along axes.
use crate::element::{Element, maximum, minimum};
use crate::error::{KernelError, exactly, product};
use cygnet_format::MAX_RANK;
use cygnet_format::op::ReduceKind;
use half::{bf16, f16};

/// Number types of running results: floats sum in double precision, integers wrap in 64 bits.
pub trait Accumulate: Element {
    /// The accumulator.
    type Wide: Element;
    /// Into the accumulator.
    fn widen(self) -> Self::Wide;
    /// Out of the accumulator.
    fn narrow(v: Self::Wide) -> Self;
    /// Division by a count: exact quotient rounded for floats, truncated for integers.
    fn divide(v: Self::Wide, count: usize) -> Self::Wide;
}

macro_rules! accumulate {
    ($($t:ty => $w:ty;)*) => {$(
        impl Accumulate for $t {
            type Wide = $w;
            #[inline(always)]
            fn widen(self) -> $w { self as $w }
            #[inline(always)]
            fn narrow(v: $w) -> $t { v as $t }
            fn divide(v: $w, count: usize) -> $w { if count == 0 && <$t>::INTEGER { <$w>::ZERO } else { v / (count as $w) } }
        }
    )*};
}
accumulate! { i8 => i64; i16 => i64; i32 => i64; i64 => i64; u8 => u64; u16 => u64; u32 => u64; u64 => u64; f64 => f64; f32 => f64; }

macro_rules! accumulate_half {
    ($($t:ty)*) => {$(
        impl Accumulate for $t {
            type Wide = f64;
            fn widen(self) -> f64 { self.to_f64() }
            fn narrow(v: f64) -> $t { <$t>::from_f64(v) }
            fn divide(v: f64, count: usize) -> f64 { v / count as f64 }
        }
    )*};
}
accumulate_half!(f16 bf16);

/// The axes of a reduction as loops: kept ones, then reduced ones, each `(length, stride)` with neighbours merged.
struct Loops {
    kept: [(usize, usize); MAX_RANK],
    reduced: [(usize, usize); MAX_RANK],
    kept_rank: usize,
    reduced_rank: usize,
}

fn push(list: &mut [(usize, usize); MAX_RANK], rank: &mut usize, len: usize, stride: usize) {
    if *rank > 0 && list[*rank - 1].1 == len * stride {
        list[*rank - 1] = (list[*rank - 1].0 * len, stride);
    } else {
        list[*rank] = (len, stride);
        *rank += 1;
    }
}

impl Loops {
    fn new(shape: &[usize], axes: &[i32]) -> Result<Self, KernelError> {
        if shape.len() > MAX_RANK || axes.iter().any(|&a| a < 0 || a as usize >= shape.len()) {
            return Err(KernelError::Parameter);
        }
        let mut l = Loops {
            kept: [(1, 0); MAX_RANK],
            reduced: [(1, 0); MAX_RANK],
            kept_rank: 0,
            reduced_rank: 0,
        };
        let mut strides = [1usize; MAX_RANK];
        for i in (0..shape.len().saturating_sub(1)).rev() {
            strides[i] = strides[i + 1] * shape[i + 1];
        }
        for i in 0..shape.len() {
            if shape[i] == 1 {
                continue;
            }
            if axes.contains(&(i as i32)) {
                push(&mut l.reduced, &mut l.reduced_rank, shape[i], strides[i]);
            } else {
                push(&mut l.kept, &mut l.kept_rank, shape[i], strides[i]);
            }
        }
        Ok(l)
    }
}

/// Calls `f` with every offset of the nested loops, in order.
fn walk(loops: &[(usize, usize)], mut f: impl FnMut(usize)) {
    if loops.iter().any(|l| l.0 == 0) {
        return;
    }
    let mut index = [0usize; MAX_RANK];
    let mut offset = 0;
    loop {
        f(offset);
        let mut axis = loops.len();
        loop {
            if axis == 0 {
                return;
            }
            axis -= 1;
            index[axis] += 1;
            offset += loops[axis].1;
            if index[axis] < loops[axis].0 {
                break;
            }
            offset -= loops[axis].1 * loops[axis].0;
            index[axis] = 0;
        }
    }
}

const LANES: usize = 16;

/// Reduces `axes` of `x`; `y` holds the remaining axes in order. Empty sets give the identity (0, 1, the least or
/// greatest value); NaN propagates. Logarithms and means of integers compute in double precision or truncate.
///
/// # Errors
/// [`KernelError`] when the lengths do not fit or an axis does not exist.
pub fn reduce<T: Accumulate>(
    kind: ReduceKind,
    x: &[T],
    shape: &[usize],
    axes: &[i32],
    y: &mut [T],
) -> Result<(), KernelError> {
    use ReduceKind::*;
    exactly(x.len(), product(shape)?)?;
    let l = Loops::new(shape, axes)?;
    let outer = &l.kept[..l.kept_rank];
    let inner = &l.reduced[..l.reduced_rank];
    let count: usize = inner.iter().map(|l| l.0).product();
    exactly(y.len(), outer.iter().map(|l| l.0).product())?;
    let root = |v: f64| libm::sqrt(v);
    match kind {
        Max => fold(x, y, outer, inner, T::LEAST, |a, v| maximum(v, a), |a| a),
        Min => fold(x, y, outer, inner, T::GREATEST, |a, v| minimum(v, a), |a| a),
        Sum => fold(
            x,
            y,
            outer,
            inner,
            T::Wide::ZERO,
            |a, v| a.add(v.widen()),
            T::narrow,
        ),
        Mean => fold(
            x,
            y,
            outer,
            inner,
            T::Wide::ZERO,
            |a, v| a.add(v.widen()),
            |a| T::narrow(T::divide(a, count)),
        ),
        Prod => fold(
            x,
            y,
            outer,
            inner,
            T::Wide::ONE,
            |a, v| a.mul(v.widen()),
            T::narrow,
        ),
        L1 => fold(
            x,
            y,
            outer,
            inner,
            T::Wide::ZERO,
            |a, v| a.add(absolute(v.widen())),
            T::narrow,
        ),
        SumSquare => fold(
            x,
            y,
            outer,
            inner,
            T::Wide::ZERO,
            |a, v| a.add(v.widen().mul(v.widen())),
            T::narrow,
        ),
        L2 => fold(
            x,
            y,
            outer,
            inner,
            0f64,
            |a, v| a + v.to_f64() * v.to_f64(),
            |a| T::from_f64(root(a)),
        ),
        LogSum => fold(
            x,
            y,
            outer,
            inner,
            0f64,
            |a, v| a + v.to_f64(),
            |a| T::from_f64(libm::log(a)),
        ),
        LogSumExp => {
            // Shifted by the maximum, so that large values do not overflow.
            let mut i = 0;
            walk(outer, |base| {
                let mut m = f64::NEG_INFINITY;
                walk(inner, |o| m = maximum(x[base + o].to_f64(), m));
                let shift = if m.is_finite() { m } else { 0.0 };
                let mut sum = 0.0;
                walk(inner, |o| sum += libm::exp(x[base + o].to_f64() - shift));
                y[i] = T::from_f64(libm::log(sum) + shift);
                i += 1;
            });
        }
    }
    Ok(())
}

fn absolute<T: Element>(v: T) -> T {
    if v < T::ZERO { T::ZERO.sub(v) } else { v }
}

fn fold<T: Copy, A: Copy>(
    x: &[T],
    y: &mut [T],
    outer: &[(usize, usize)],
    inner: &[(usize, usize)],
    start: A,
    step: impl Fn(A, T) -> A,
    finish: impl Fn(A) -> T,
) {
    if inner.iter().any(|l| l.0 == 0) {
        y.fill(finish(start));
        return;
    }
    if let Some((&(len, 1), rest)) = outer.split_last() {
        // The last kept axis is contiguous: a strip of accumulators side by side.
        let mut i = 0;
        walk(rest, |base| {
            for at in (0..len).step_by(LANES) {
                let n = LANES.min(len - at);
                let mut acc = [start; LANES];
                walk(inner, |o| {
                    for (a, v) in acc[..n]
                        .iter_mut()
                        .zip(&x[base + at + o..base + at + o + n])
                    {
                        *a = step(*a, *v);
                    }
                });
                for (y, a) in y[i + at..i + at + n].iter_mut().zip(acc) {
                    *y = finish(a);
                }
            }
            i += len;
        });
        return;
    }
    let mut i = 0;
    walk(outer, |base| {
        let mut acc = start;
        match inner.split_last() {
            Some((&(len, 1), rest)) => walk(rest, |o| {
                for v in &x[base + o..base + o + len] {
                    acc = step(acc, *v);
                }
            }),
            _ => walk(inner, |o| acc = step(acc, x[base + o])),
        }
        y[i] = finish(acc);
        i += 1;
    });
}

/// `[outer, n, inner]` of an axis.
pub(crate) fn split(shape: &[usize], axis: i32) -> Result<(usize, usize, usize), KernelError> {
    let axis = usize::try_from(axis).map_err(|_| KernelError::Parameter)?;
    if axis >= shape.len() {
        return Err(KernelError::Parameter);
    }
    product(shape)?;
    Ok((
        shape[..axis].iter().product(),
        shape[axis],
        shape[axis + 1..].iter().product(),
    ))
}

/// Index of the greatest (`max`) or least element along `axis`; the first one, or the `last` one. NaN is the extreme.
///
/// # Errors
/// [`KernelError`] when the lengths do not fit, the axis does not exist or is empty.
pub fn arg_reduce<T: Element>(
    x: &[T],
    shape: &[usize],
    axis: i32,
    max: bool,
    last: bool,
    y: &mut [i64],
) -> Result<(), KernelError> {
    let (outer, n, inner) = split(shape, axis)?;
    exactly(x.len(), outer * n * inner)?;
    exactly(y.len(), outer * inner)?;
    if n == 0 && !y.is_empty() {
        return Err(KernelError::Parameter);
    }
    for (o, y) in y.chunks_exact_mut(inner.max(1)).enumerate() {
        for (i, y) in y.iter_mut().enumerate() {
            let base = o * n * inner + i;
            let (mut best, mut at) = (x[base], 0);
            for k in 1..n {
                let v = x[base + k * inner];
                let better = if max { v > best } else { v < best };
                if !best.is_nan() && (better || v.is_nan() || (last && v == best))
                    || (last && best.is_nan() && v.is_nan())
                {
                    (best, at) = (v, k);
                }
            }
            *y = at as i64;
        }
    }
    Ok(())
}

/// Running sum or product along `axis`.
///
/// # Errors
/// [`KernelError`] when the lengths do not fit or the axis does not exist.
pub fn cumulative<T: Accumulate>(
    x: &[T],
    shape: &[usize],
    axis: i32,
    exclusive: bool,
    reverse: bool,
    multiply: bool,
    y: &mut [T],
) -> Result<(), KernelError> {
    let (outer, n, inner) = split(shape, axis)?;
    exactly(x.len(), outer * n * inner)?;
    exactly(y.len(), x.len())?;
    for o in 0..outer {
        for i in 0..inner {
            let mut acc = if multiply {
                T::Wide::ONE
            } else {
                T::Wide::ZERO
            };
            for k in 0..n {
                let at = (o * n + if reverse { n - 1 - k } else { k }) * inner + i;
                let v = x[at].widen();
                let next = if multiply { acc.mul(v) } else { acc.add(v) };
                y[at] = T::narrow(if exclusive { acc } else { next });
                acc = next;
            }
        }
    }
    Ok(())
}

/// Divides by the L1 or L2 norm along `axis`; a zero norm gives zero.
///
/// # Errors
/// [`KernelError`] when the lengths do not fit or `p` is neither 1 nor 2.
pub fn lp_norm<T: Element>(
    x: &[T],
    shape: &[usize],
    axis: i32,
    p: u32,
    y: &mut [T],
) -> Result<(), KernelError> {
    let (outer, n, inner) = split(shape, axis)?;
    exactly(x.len(), outer * n * inner)?;
    exactly(y.len(), x.len())?;
    if !matches!(p, 1 | 2) {
        return Err(KernelError::Parameter);
    }
    for o in 0..outer {
        for i in 0..inner {
            let base = o * n * inner + i;
            let mut sum = 0f64;
            for k in 0..n {
                let v = x[base + k * inner].to_f64();
                sum += if p == 1 { v.abs() } else { v * v };
            }
            let norm = if p == 1 { sum } else { libm::sqrt(sum) };
            for k in 0..n {
                let at = base + k * inner;
                y[at] = if norm == 0.0 {
                    T::ZERO
                } else {
                    T::from_f64(x[at].to_f64() / norm)
                };
            }
        }
    }
    Ok(())
}

/// Local response normalisation across the last axis (channels):
/// `y = x / (bias + alpha/size * sum of squares in the window)^beta`.
///
/// # Errors
/// [`KernelError`] when the lengths do not fit or `size` is zero.
pub fn lrn<T: Element>(
    x: &[T],
    channels: usize,
    size: usize,
    alpha: f32,
    beta: f32,
    bias: f32,
    y: &mut [T],
) -> Result<(), KernelError> {
    exactly(x.len(), y.len())?;
    if size == 0 || (channels == 0 && !x.is_empty()) {
        return Err(KernelError::Parameter);
    }
    exactly(x.len() % channels.max(1), 0)?;
    let (before, after) = ((size - 1) / 2, size - 1 - (size - 1) / 2);
    let factor = f64::from(alpha) / size as f64;
    for (x, y) in x
        .chunks_exact(channels.max(1))
        .zip(y.chunks_exact_mut(channels.max(1)))
    {
        for (c, y) in y.iter_mut().enumerate() {
            let window = &x
                [c.saturating_sub(before)..channels.min(c.saturating_add(after).saturating_add(1))];
            let sum: f64 = window.iter().map(|v| v.to_f64() * v.to_f64()).sum();
            *y = T::from_f64(
                x[c].to_f64() / libm::pow(f64::from(bias) + factor * sum, f64::from(beta)),
            );
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const X: [f32; 12] = [1., 2., 3., 4., 5., 6., 7., 8., 9., 10., 11., 12.];

    #[test]
    fn every_axis_combination() {
        let sum = |axes: &[i32], n: usize| {
            let mut y = std::vec![0f32; n];
            reduce(ReduceKind::Sum, &X, &[2, 3, 2], axes, &mut y).unwrap();
            y
        };
        assert_eq!(sum(&[0], 6), [8., 10., 12., 14., 16., 18.]);
        assert_eq!(sum(&[1], 4), [9., 12., 27., 30.]);
        assert_eq!(sum(&[2], 6), [3., 7., 11., 15., 19., 23.]);
        assert_eq!(sum(&[0, 2], 3), [18., 26., 34.]);
        assert_eq!(sum(&[0, 1, 2], 1), [78.]);
        assert_eq!(sum(&[], 12), X);
    }

    #[test]
    fn kinds_and_empty_sets() {
        let run = |kind, x: &[f32]| {
            let mut y = [0f32];
            reduce(kind, x, &[x.len()], &[0], &mut y).unwrap();
            y[0]
        };
        assert_eq!(run(ReduceKind::Max, &[]), f32::NEG_INFINITY);
        assert_eq!(run(ReduceKind::Min, &[]), f32::INFINITY);
        assert_eq!(run(ReduceKind::Prod, &[]), 1.0);
        assert_eq!(run(ReduceKind::LogSumExp, &[]), f32::NEG_INFINITY);
        assert!(run(ReduceKind::Mean, &[]).is_nan());
        assert_eq!(run(ReduceKind::L2, &[3., 4.]), 5.0);
        assert_eq!(run(ReduceKind::LogSumExp, &[1000., 1000.]), 1000.6932);
        assert!(run(ReduceKind::Max, &[1., f32::NAN, 3.]).is_nan());
        assert_eq!(run(ReduceKind::L1, &[-1., 2.]), 3.0);
        let mut y = [0i32];
        reduce(ReduceKind::Mean, &[-3, -4], &[2], &[0], &mut y).unwrap();
        assert_eq!(y, [-3]);
        assert!(reduce(ReduceKind::Sum, &[1f32], &[1], &[1], &mut [0f32]).is_err());
    }

    #[test]
    fn arg_and_cumulative() {
        let mut y = [0i64; 2];
        arg_reduce(&[1, 5, 5, 9, 9, 2], &[2, 3], 1, true, false, &mut y).unwrap();
        assert_eq!(y, [1, 0]);
        arg_reduce(&[1, 5, 5, 9, 9, 2], &[2, 3], 1, true, true, &mut y).unwrap();
        assert_eq!(y, [2, 1]);
        let mut c = [0f32; 4];
        cumulative(&X[..4], &[2, 2], 0, false, true, false, &mut c).unwrap();
        assert_eq!(c, [4., 6., 3., 4.]);
        cumulative(&X[..4], &[4], 0, true, false, true, &mut c).unwrap();
        assert_eq!(c, [1., 1., 2., 6.]);
        lp_norm(&[3f32, 4., 0., 0.], &[2, 2], 1, 2, &mut c).unwrap();
        assert_eq!(c, [0.6, 0.8, 0., 0.]);
        lrn(&[1f32, 2., 3.], 3, 3, 3.0, 1.0, 1.0, &mut c[..3]).unwrap();
        assert_eq!(c[..3], [1. / 6., 2. / 15., 3. / 14.]);
    }
}
