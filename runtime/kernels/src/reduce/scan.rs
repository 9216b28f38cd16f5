//! Along one axis of `[outer, n, inner]`: the place of the extreme, and running sums. Numbers are widened a block at a
//! time: neighbours on the axis when it is the last one, else neighbours beside it.
use super::split;
use crate::element::Element;
use crate::error::{KernelError, exactly, product};
use crate::wide::{BLOCK, Wide, computing, is_number};
use cygnet_format::DType;

/// Elements `at..at + y.len()`.
fn load<W: Wide>(dtype: DType, x: &[u8], at: usize, y: &mut [W]) {
    let size = dtype.size();
    W::load(dtype, &x[at * size..(at + y.len()) * size], y);
}

/// Index of the greatest (`max`) or least number along `axis`; the first one, or the `last` one. NaN is the extreme.
///
/// # Errors
/// [`KernelError`] when the lengths do not fit, the axis does not exist or is empty, or the elements are no numbers.
pub fn arg_reduce(
    dtype: DType,
    x: &[u8],
    shape: &[usize],
    axis: i32,
    max: bool,
    last: bool,
    y: &mut [i64],
) -> Result<(), KernelError> {
    let (outer, n, inner) = split(shape, axis)?;
    exactly(x.len(), product(&[outer, n, inner, dtype.size()])?)?;
    exactly(y.len(), outer * inner)?;
    if n == 0 && !y.is_empty() {
        return Err(KernelError::Parameter);
    }
    if y.is_empty() {
        return Ok(());
    }
    computing!(dtype, W => {
        let (mut block, mut best) = ([W::ZERO; BLOCK], [W::ZERO; BLOCK]);
        for (o, y) in y.chunks_exact_mut(inner).enumerate() {
            if inner == 1 {
                let mut extreme = (W::ZERO, 0);
                for at in (0..n).step_by(BLOCK) {
                    let block = &mut block[..BLOCK.min(n - at)];
                    load(dtype, x, o * n + at, block);
                    if at == 0 {
                        extreme = (block[0], 0);
                    }
                    for (k, v) in block.iter().enumerate() {
                        if replaces(*v, extreme.0, max, last) {
                            extreme = (*v, at + k);
                        }
                    }
                }
                y[0] = extreme.1 as i64;
                continue;
            }
            for (at, y) in (0..inner).step_by(BLOCK).zip(y.chunks_mut(BLOCK)) {
                let (block, best) = (&mut block[..y.len()], &mut best[..y.len()]);
                load(dtype, x, o * n * inner + at, best);
                y.fill(0);
                for k in 1..n {
                    load(dtype, x, (o * n + k) * inner + at, block);
                    for ((y, best), v) in y.iter_mut().zip(&mut *best).zip(&*block) {
                        let replaces = replaces(*v, *best, max, last);
                        *y = if replaces { k as i64 } else { *y };
                        *best = if replaces { *v } else { *best };
                    }
                }
            }
        }
        Ok(())
    })
}

/// Whether `v` takes the place of the extreme before it.
#[inline(always)]
fn replaces<T: Element>(v: T, best: T, max: bool, last: bool) -> bool {
    let better = if max { v > best } else { v < best };
    if best.is_nan() {
        last && v.is_nan()
    } else {
        better || v.is_nan() || (last && v == best)
    }
}

/// Running sum or product of numbers along `axis`; floats in double precision, integers in 64 bits that wrap.
///
/// # Errors
/// [`KernelError`] when the lengths do not fit, the axis does not exist, or the elements are no numbers.
pub fn cumulative(
    dtype: DType,
    x: &[u8],
    shape: &[usize],
    axis: i32,
    exclusive: bool,
    reverse: bool,
    multiply: bool,
    y: &mut [u8],
) -> Result<(), KernelError> {
    let (outer, n, inner) = split(shape, axis)?;
    exactly(x.len(), product(&[outer, n, inner, dtype.size()])?)?;
    exactly(y.len(), x.len())?;
    if !is_number(dtype) {
        return Err(KernelError::Parameter);
    }
    let line = Line {
        dtype,
        n,
        inner,
        exclusive,
        reverse,
        multiply,
    };
    for o in 0..outer {
        let at = o * n * inner;
        match (dtype.is_float(), inner) {
            (true, 1) => line.along::<f64>(x, at, y),
            (false, 1) => line.along::<i64>(x, at, y),
            (true, _) => line.beside::<f64>(x, at, y),
            (false, _) => line.beside::<i64>(x, at, y),
        }
    }
    Ok(())
}

/// A running sum or product.
struct Line {
    dtype: DType,
    n: usize,
    inner: usize,
    exclusive: bool,
    reverse: bool,
    multiply: bool,
}

impl Line {
    fn start<W: Wide>(&self) -> W {
        if self.multiply { W::ONE } else { W::ZERO }
    }

    /// Takes `v` into `acc` and becomes the result.
    #[inline(always)]
    fn step<W: Wide>(&self, acc: &mut W, v: &mut W) {
        let before = *acc;
        *acc = if self.multiply {
            before.mul(*v)
        } else {
            before.add(*v)
        };
        *v = if self.exclusive { before } else { *acc };
    }

    /// Stores elements `at..at + block.len()`.
    fn store<W: Wide>(&self, block: &[W], at: usize, y: &mut [u8]) {
        let size = self.dtype.size();
        W::store(
            self.dtype,
            block,
            &mut y[at * size..(at + block.len()) * size],
        );
    }

    /// One line of neighbours from `from` on.
    fn along<W: Wide>(&self, x: &[u8], from: usize, y: &mut [u8]) {
        let mut block = [W::ZERO; BLOCK];
        let mut acc = self.start();
        for done in (0..self.n).step_by(BLOCK) {
            let block = &mut block[..BLOCK.min(self.n - done)];
            let at = if self.reverse {
                from + self.n - done - block.len()
            } else {
                from + done
            };
            load(self.dtype, x, at, block);
            if self.reverse {
                block.iter_mut().rev().for_each(|v| self.step(&mut acc, v));
            } else {
                block.iter_mut().for_each(|v| self.step(&mut acc, v));
            }
            self.store(block, at, y);
        }
    }

    /// `inner` lines side by side from `from` on.
    fn beside<W: Wide>(&self, x: &[u8], from: usize, y: &mut [u8]) {
        let (mut block, mut acc) = ([W::ZERO; BLOCK], [W::ZERO; BLOCK]);
        for i in (0..self.inner).step_by(BLOCK) {
            let len = BLOCK.min(self.inner - i);
            let (block, acc) = (&mut block[..len], &mut acc[..len]);
            acc.fill(self.start());
            for k in 0..self.n {
                let k = if self.reverse { self.n - 1 - k } else { k };
                let at = from + k * self.inner + i;
                load(self.dtype, x, at, block);
                for (acc, v) in acc.iter_mut().zip(&mut *block) {
                    self.step(acc, v);
                }
                self.store(block, at, y);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::vec::Vec;

    fn bytes(x: &[f32]) -> Vec<u8> {
        x.iter().flat_map(|v| v.to_le_bytes()).collect()
    }

    /// Shapes with lines shorter and longer than a block, along the last axis and beside it.
    const SHAPES: [([usize; 3], i32); 7] = [
        ([2, 150, 1], 1),
        ([3, 64, 1], 1),
        ([2, 5, 130], 1),
        ([130, 3, 2], 0),
        ([1, 1, 65], 2),
        ([2, 0, 3], 2),
        ([2, 3, 0], 1),
    ];

    #[test]
    fn the_extreme_of_every_line() {
        let value = |i: usize| match i * 7919 % 101 {
            0 => f32::NAN,
            v => (v % 13) as f32 - 6.0,
        };
        for (shape, axis) in SHAPES {
            let (outer, n, inner) = split(&shape, axis).unwrap();
            let x: Vec<f32> = (0..outer * n * inner).map(value).collect();
            let mut y = std::vec![9i64; outer * inner];
            for (max, last) in [(true, false), (true, true), (false, false), (false, true)] {
                arg_reduce(DType::F32, &bytes(&x), &shape, axis, max, last, &mut y).unwrap();
                for (i, &got) in y.iter().enumerate() {
                    let line: Vec<f32> = (0..n)
                        .map(|k| x[(i / inner * n + k) * inner + i % inner])
                        .collect();
                    let best = line.iter().fold(line[0], |a, &v| match max {
                        _ if a.is_nan() || v.is_nan() => f32::NAN,
                        true => a.max(v),
                        false => a.min(v),
                    });
                    let is_best = |v: &f32| *v == best || (v.is_nan() && best.is_nan());
                    let want = if last {
                        line.iter().rposition(is_best)
                    } else {
                        line.iter().position(is_best)
                    };
                    assert_eq!(Some(got as usize), want, "{shape:?} {max} {last}");
                }
            }
        }
    }

    #[test]
    fn running_sums_of_every_line() {
        for (shape, axis) in SHAPES {
            let (outer, n, inner) = split(&shape, axis).unwrap();
            let x: Vec<f32> = (0..outer * n * inner).map(|i| (i % 17) as f32).collect();
            for (exclusive, reverse) in [(false, false), (true, false), (false, true), (true, true)]
            {
                let mut want = x.clone();
                for line in 0..outer * inner {
                    let mut acc = 0.0;
                    for k in 0..n {
                        let k = if reverse { n - 1 - k } else { k };
                        let at = (line / inner * n + k) * inner + line % inner;
                        want[at] = if exclusive { acc } else { acc + x[at] };
                        acc += x[at];
                    }
                }
                let mut y = bytes(&x);
                let x = bytes(&x);
                cumulative(
                    DType::F32,
                    &x,
                    &shape,
                    axis,
                    exclusive,
                    reverse,
                    false,
                    &mut y,
                )
                .unwrap();
                assert_eq!(y, bytes(&want), "{shape:?} {exclusive} {reverse}");
            }
        }
    }
}
