//! Reductions, index of the extreme, running sums, and norms along axes.
mod fold;
mod scan;

use crate::element::{Element, maximum, minimum};
use crate::error::{KernelError, exactly, product};
use crate::wide::{BLOCK, Wide, is_number, range};
use cygnet_format::op::ReduceKind;
use cygnet_format::{DType, MAX_RANK};
use fold::{Fold, Source, Widened, fold};
pub use scan::{arg_reduce, cumulative};

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
fn walk(loops: &[(usize, usize)], f: &mut dyn FnMut(usize)) {
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

/// Reduces `axes` of `x`; `y` holds the remaining axes in order. Empty sets give the identity (0, 1, minus infinity or
/// infinity); NaN propagates. Sums run in double precision.
///
/// # Errors
/// [`KernelError`] when the lengths do not fit or an axis does not exist.
pub fn reduce(
    kind: ReduceKind,
    x: &[f32],
    shape: &[usize],
    axes: &[i32],
    y: &mut [f32],
) -> Result<(), KernelError> {
    let l = Loops::new(shape, axes)?;
    exactly(x.len(), product(shape)?)?;
    exactly(y.len(), l.outputs())?;
    match kind {
        ReduceKind::Max => l.fold(
            &x,
            &fold!(f32::LEAST, |a, v| maximum(v, a)),
            &mut |at, a| {
                y[at..at + a.len()].copy_from_slice(a);
            },
        ),
        ReduceKind::Min => l.fold(
            &x,
            &fold!(f32::GREATEST, |a, v| minimum(v, a)),
            &mut |at, a| {
                y[at..at + a.len()].copy_from_slice(a);
            },
        ),
        _ => l.floats(kind, &x, &mut |at, a| {
            for (y, a) in y[at..].iter_mut().zip(a) {
                *y = *a as f32;
            }
        }),
    }
    Ok(())
}

/// As [`reduce`] for any number: floats in double precision, integers in 64 bits that wrap; means of integers truncate,
/// roots and logarithms go through double precision and saturate. Empty sets of integers have the least or greatest value
/// of their type.
///
/// # Errors
/// As [`reduce`]; [`KernelError::Parameter`] for a type that is no number.
pub fn reduce_any(
    kind: ReduceKind,
    dtype: DType,
    x: &[u8],
    shape: &[usize],
    axes: &[i32],
    y: &mut [u8],
) -> Result<(), KernelError> {
    use ReduceKind::*;
    let l = Loops::new(shape, axes)?;
    let size = dtype.size();
    exactly(x.len(), product(&[product(shape)?, size])?)?;
    exactly(y.len(), product(&[l.outputs(), size])?)?;
    let source = Widened { dtype, bytes: x };
    let through_floats = dtype.is_float() || matches!(kind, L2 | LogSum | LogSumExp);
    if !is_number(dtype) {
        return Err(KernelError::Parameter);
    }
    if through_floats {
        l.floats::<f64>(kind, &source, &mut |at, a| {
            f64::store(dtype, a, &mut y[at * size..(at + a.len()) * size]);
        });
    } else if dtype == DType::U64 {
        l.integers(kind, &source, (u64::MIN, u64::MAX), &mut |at, a| {
            u64::store(dtype, a, &mut y[at * size..(at + a.len()) * size]);
        });
    } else {
        l.integers(kind, &source, range(dtype), &mut |at, a| {
            i64::store(dtype, a, &mut y[at * size..(at + a.len()) * size]);
        });
    }
    Ok(())
}

impl Loops {
    /// Elements of the result.
    fn outputs(&self) -> usize {
        self.kept[..self.kept_rank].iter().map(|l| l.0).product()
    }

    /// Elements of a reduced set.
    fn set(&self) -> usize {
        self.reduced[..self.reduced_rank]
            .iter()
            .map(|l| l.0)
            .product()
    }

    /// Reductions in double precision; `put(first, values)` receives results.
    fn floats<T: Element>(
        &self,
        kind: ReduceKind,
        x: &impl Source<T>,
        put: &mut dyn FnMut(usize, &mut [f64]),
    ) {
        use ReduceKind::*;
        let count = self.set() as f64;
        let sum: Fold<T, f64> = fold!(0.0, |a, v| a + v.to_f64());
        let squares: Fold<T, f64> = fold!(0.0, |a, v| a + v.to_f64() * v.to_f64());
        match kind {
            Max => self.fold(x, &fold!(f64::LEAST, |a, v| maximum(v.to_f64(), a)), put),
            Min => self.fold(x, &fold!(f64::GREATEST, |a, v| minimum(v.to_f64(), a)), put),
            Sum => self.fold(x, &sum, put),
            Mean => self.fold(x, &sum, &mut |at, a| {
                a.iter_mut().for_each(|a| *a /= count);
                put(at, a);
            }),
            Prod => self.fold(x, &fold!(1.0, |a, v| a * v.to_f64()), put),
            L1 => self.fold(x, &fold!(0.0, |a, v| a + absolute(v.to_f64())), put),
            SumSquare => self.fold(x, &squares, put),
            L2 => self.fold(x, &squares, &mut |at, a| {
                a.iter_mut().for_each(|a| *a = libm::sqrt(*a));
                put(at, a);
            }),
            LogSum => self.fold(x, &sum, &mut |at, a| {
                a.iter_mut().for_each(|a| *a = libm::log(*a));
                put(at, a);
            }),
            LogSumExp => {
                // Shifted by the maximum, so that large values do not overflow.
                let (len, rest) = self.runs();
                let mut buffer = [T::ZERO; BLOCK];
                let mut i = 0;
                walk(&self.kept[..self.kept_rank], &mut |base| {
                    let mut m = f64::NEG_INFINITY;
                    x.each(base, len, rest, &mut buffer, &mut |run| {
                        m = run.iter().fold(m, |m, v| maximum(v.to_f64(), m));
                    });
                    let shift = if m.is_finite() { m } else { 0.0 };
                    let mut sum = 0.0;
                    x.each(base, len, rest, &mut buffer, &mut |run| {
                        sum += run
                            .iter()
                            .fold(0.0, |a, v| a + libm::exp(v.to_f64() - shift));
                    });
                    put(i, &mut [libm::log(sum) + shift]);
                    i += 1;
                });
            }
        }
    }

    /// Reductions in 64 bits that wrap.
    fn integers<W: Wide + Quotient>(
        &self,
        kind: ReduceKind,
        x: &impl Source<W>,
        (least, greatest): (W, W),
        put: &mut dyn FnMut(usize, &mut [W]),
    ) {
        use ReduceKind::*;
        let count = self.set();
        match kind {
            Max => self.fold(x, &fold!(least, |a, v| maximum(v, a)), put),
            Min => self.fold(x, &fold!(greatest, |a, v| minimum(v, a)), put),
            Prod => self.fold(x, &fold!(W::ONE, |a, v| a.mul(v)), put),
            L1 => self.fold(x, &fold!(W::ZERO, |a, v| a.add(absolute(v))), put),
            SumSquare => self.fold(x, &fold!(W::ZERO, |a, v| a.add(v.mul(v))), put),
            Mean => self.fold(x, &fold!(W::ZERO, |a, v| a.add(v)), &mut |at, a| {
                a.iter_mut().for_each(|a| *a = a.over(count));
                put(at, a);
            }),
            _ => self.fold(x, &fold!(W::ZERO, |a, v| a.add(v)), put),
        }
    }
}

/// Division by a count.
trait Quotient: Element {
    /// Truncated; zero over zero is zero.
    fn over(self, count: usize) -> Self;
}

impl Quotient for i64 {
    fn over(self, count: usize) -> i64 {
        self.checked_div(count as i64).unwrap_or(0)
    }
}

impl Quotient for u64 {
    fn over(self, count: usize) -> u64 {
        self.checked_div(count as u64).unwrap_or(0)
    }
}

fn absolute<T: Element>(v: T) -> T {
    if v < T::ZERO { T::ZERO.sub(v) } else { v }
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
        assert!(reduce(ReduceKind::Sum, &[1f32], &[1], &[1], &mut [0f32]).is_err());
    }

    #[test]
    fn arg_and_cumulative() {
        let (mut y, ties) = ([0i64; 2], [1u8, 5, 5, 9, 9, 2]);
        arg_reduce(DType::U8, &ties, &[2, 3], 1, true, false, &mut y).unwrap();
        assert_eq!(y, [1, 0]);
        arg_reduce(DType::U8, &ties, &[2, 3], 1, true, true, &mut y).unwrap();
        assert_eq!(y, [2, 1]);
        let nan = [1f32, f32::NAN, 9., f32::NAN].map(f32::to_le_bytes);
        arg_reduce(
            DType::F32,
            nan.as_flattened(),
            &[4],
            0,
            true,
            false,
            &mut y[..1],
        )
        .unwrap();
        assert_eq!(y[0], 1);
        arg_reduce(
            DType::F32,
            nan.as_flattened(),
            &[4],
            0,
            false,
            true,
            &mut y[..1],
        )
        .unwrap();
        assert_eq!(y[0], 3);
        let big = [u64::MAX, 1].map(u64::to_le_bytes);
        arg_reduce(
            DType::U64,
            big.as_flattened(),
            &[2],
            0,
            true,
            false,
            &mut y[..1],
        )
        .unwrap();
        assert_eq!(y[0], 0);
        let mut c = [0f32; 4];
        let run = |shape: &[usize], exclusive, reverse, multiply| {
            let x = [1f32, 2., 3., 4.].map(f32::to_le_bytes);
            let mut y = [[0u8; 4]; 4];
            let (x, out) = (x.as_flattened(), y.as_flattened_mut());
            cumulative(DType::F32, x, shape, 0, exclusive, reverse, multiply, out).unwrap();
            y.map(f32::from_le_bytes)
        };
        assert_eq!(run(&[2, 2], false, true, false), [4., 6., 3., 4.]);
        assert_eq!(run(&[4], true, false, true), [1., 1., 2., 6.]);
        let mut y = [0u8; 3];
        cumulative(
            DType::U8,
            &[200, 100, 7],
            &[3],
            0,
            false,
            false,
            false,
            &mut y,
        )
        .unwrap();
        assert_eq!(y, [200, 44, 51]);
        lp_norm(&[3f32, 4., 0., 0.], &[2, 2], 1, 2, &mut c).unwrap();
        assert_eq!(c, [0.6, 0.8, 0., 0.]);
        lrn(&[1f32, 2., 3.], 3, 3, 3.0, 1.0, 1.0, &mut c[..3]).unwrap();
        assert_eq!(c[..3], [1. / 6., 2. / 15., 3. / 14.]);
    }

    /// Every kind of every type by its definition: accumulators in the type's own wide type.
    macro_rules! integers_by_definition {
        ($($t:ty as $w:ty => $d:ident),*) => {$({
            let x: std::vec::Vec<$t> = [<$t>::MIN, <$t>::MAX, 3, 100, <$t>::MAX, 0, 7, 1].to_vec();
            let bytes: std::vec::Vec<u8> = x.iter().flat_map(|v| v.to_le_bytes()).collect();
            let run = |kind, axes: &[i32], n: usize| {
                let mut y = std::vec![0u8; n * size_of::<$t>()];
                reduce_any(kind, DType::$d, &bytes, &[2, 4], axes, &mut y).unwrap();
                y.as_chunks().0.iter().map(|b| <$t>::from_le_bytes(*b)).collect::<std::vec::Vec<$t>>()
            };
            // Sets of two (the first axis), of four (the last) and of all.
            for (axes, sets) in [
                (&[0][..], (0..4).map(|i| std::vec![x[i], x[4 + i]]).collect::<std::vec::Vec<_>>()),
                (&[1][..], x.chunks(4).map(<[$t]>::to_vec).collect()),
                (&[0, 1][..], std::vec![x.clone()]),
            ] {
                let check = |kind, f: &dyn Fn(&[$t]) -> $t| {
                    let want: std::vec::Vec<$t> = sets.iter().map(|s| f(s)).collect();
                    assert_eq!(run(kind, axes, sets.len()), want, "{kind:?} {} {axes:?}", stringify!($t));
                };
                let sum = |s: &[$t]| s.iter().fold(0 as $w, |a, &v| a.wrapping_add(v as $w));
                let square = |s: &[$t]| s.iter().fold(0f64, |a, &v| a + v as f64 * v as f64);
                check(ReduceKind::Sum, &|s| sum(s) as $t);
                check(ReduceKind::Mean, &|s| (sum(s) / s.len() as $w) as $t);
                check(ReduceKind::Max, &|s| *s.iter().max().unwrap());
                check(ReduceKind::Min, &|s| *s.iter().min().unwrap());
                check(ReduceKind::Prod, &|s| s.iter().fold(1 as $w, |a, &v| a.wrapping_mul(v as $w)) as $t);
                check(ReduceKind::SumSquare, &|s| s.iter().fold(0 as $w, |a, &v| a.wrapping_add((v as $w).wrapping_mul(v as $w))) as $t);
                check(ReduceKind::L2, &|s| square(s).sqrt() as $t);
                check(ReduceKind::LogSum, &|s| libm::log(s.iter().fold(0f64, |a, &v| a + v as f64)) as $t);
            }
            let mut y = std::vec![0u8; size_of::<$t>()];
            for (kind, want) in [(ReduceKind::Max, <$t>::MIN), (ReduceKind::Min, <$t>::MAX), (ReduceKind::Mean, 0)] {
                reduce_any(kind, DType::$d, &[], &[0], &[0], &mut y).unwrap();
                assert_eq!(y, want.to_le_bytes(), "{kind:?} of nothing");
            }
        })*};
    }

    #[test]
    fn integers_of_every_width() {
        integers_by_definition!(i8 as i64 => I8, u8 as u64 => U8, i16 as i64 => I16, u16 as u64 => U16, i32 as i64 => I32,
            u32 as u64 => U32, i64 as i64 => I64, u64 as u64 => U64);
        let mut y = [0u8; 1];
        reduce_any(
            ReduceKind::L1,
            DType::I8,
            &[255, 3, 254],
            &[3],
            &[0],
            &mut y,
        )
        .unwrap();
        assert_eq!(y, [6]);
        assert!(reduce_any(ReduceKind::Sum, DType::Bool, &[1], &[1], &[0], &mut y).is_err());
    }

    #[test]
    fn floats_agree_whatever_their_path() {
        use ReduceKind::*;
        let x: std::vec::Vec<f32> = (0..3 * 70 * 2)
            .map(|i| (i as f32 * 0.7).sin() + 1.5)
            .collect();
        let bytes: std::vec::Vec<u8> = x.iter().flat_map(|v| v.to_le_bytes()).collect();
        let shape = [3, 70, 2];
        for kind in [
            Sum, Mean, Max, Min, Prod, L1, L2, LogSum, LogSumExp, SumSquare,
        ] {
            for (axes, n) in [
                (&[0][..], 140),
                (&[1][..], 6),
                (&[2][..], 210),
                (&[0, 2][..], 70),
                (&[0, 1, 2][..], 1),
            ] {
                let (mut y, mut z) = (std::vec![0f32; n], std::vec![0u8; n * 4]);
                reduce(kind, &x, &shape, axes, &mut y).unwrap();
                reduce_any(kind, DType::F32, &bytes, &shape, axes, &mut z).unwrap();
                let y: std::vec::Vec<u8> = y.iter().flat_map(|v| v.to_le_bytes()).collect();
                assert_eq!(y, z, "{kind:?} {axes:?}");
            }
        }
    }
}
