//! Linear quantisation: `q = saturate(round_half_even(x / scale) + zero)` and back.

pub(crate) mod add;
pub(crate) mod linear;
pub(crate) mod mul;
#[cfg(test)]
mod tests;

use crate::error::{KernelError, product};
use crate::integer::Narrow;
use core::ops::Range;

/// Scales and zero points over `[outer, n, inner]`: one for all, one for each of the `n`, or one for each block of
/// `block` along the axis for every outer and inner position.
#[derive(Clone, Copy, Debug)]
pub struct Layout {
    /// Elements before the axis, on it, and after it.
    pub shape: [usize; 3],
    /// Block length along the axis; zero when not blocked.
    pub block: usize,
}

impl Layout {
    fn scales(&self, have: usize) -> Result<(), KernelError> {
        let [outer, n, inner] = self.shape;
        let fits = match self.block {
            0 => have == 1 || have == n,
            b => have == product(&[outer, n.div_ceil(b), inner])?,
        };
        if fits {
            Ok(())
        } else {
            Err(KernelError::Length)
        }
    }

    /// Index of the scale of element `i` when there are `scales` of them.
    fn scale_index(&self, i: usize, scales: usize) -> usize {
        let [_, n, inner] = self.shape;
        let (o, k, r) = (i / (n * inner), i / inner % n, i % inner);
        match self.block {
            0 if scales == 1 => 0,
            0 => k,
            b => (o * n.div_ceil(b) + k / b) * inner + r,
        }
    }

    fn check(&self, len: usize, scales: usize, zeros: usize) -> Result<(), KernelError> {
        self.scales(scales)?;
        if len == product(&self.shape)? && (zeros == 0 || zeros == scales) {
            Ok(())
        } else {
            Err(KernelError::Length)
        }
    }

    /// Calls `f(elements, scales)` for each part of `len` elements, all of them together, that has one scale, or rows of
    /// as many elements as it has scales.
    fn parts(&self, len: usize, scales: usize, mut f: impl FnMut(Range<usize>, Range<usize>)) {
        let [outer, n, inner] = self.shape;
        if len == 0 {
            return;
        }
        match (self.block, inner) {
            (0, _) if scales == 1 => f(0..len, 0..1),
            (0, 1) => f(0..len, 0..n),
            (0, _) => {
                for i in 0..outer * n {
                    f(i * inner..(i + 1) * inner, i % n..i % n + 1);
                }
            }
            (block, 1) => {
                for o in 0..outer {
                    for (b, k) in (0..n).step_by(block).enumerate() {
                        let s = o * n.div_ceil(block) + b;
                        f(o * n + k..o * n + (k + block).min(n), s..s + 1);
                    }
                }
            }
            (block, _) => {
                for i in 0..outer * n {
                    let s = (i / n * n.div_ceil(block) + i % n / block) * inner;
                    f(i * inner..(i + 1) * inner, s..s + inner);
                }
            }
        }
    }
}

/// Calls `f(element, scale, zero)` for every element. `zero` may be empty.
fn each<Z: Copy>(
    layout: &Layout,
    scale: &[f32],
    zero: &[Z],
    none: Z,
    len: usize,
    mut f: impl FnMut(usize, f32, Z),
) -> Result<(), KernelError> {
    layout.check(len, scale.len(), zero.len())?;
    for i in 0..len {
        let s = layout.scale_index(i, scale.len());
        f(i, scale[s], if zero.is_empty() { none } else { zero[s] });
    }
    Ok(())
}

/// Quantises to the integers `low..=high`; `store` makes the element.
///
/// # Errors
/// [`KernelError::Length`] when lengths do not agree with the layout.
pub fn quantize<T: Copy + Into<i64>>(
    layout: &Layout,
    x: &[f32],
    scale: &[f32],
    zero: &[T],
    (low, high): (i64, i64),
    none: T,
    store: impl Fn(i64) -> T,
    y: &mut [T],
) -> Result<(), KernelError> {
    if y.len() != x.len() {
        return Err(KernelError::Length);
    }
    each(layout, scale, zero, none, x.len(), |i, s, z| {
        y[i] = store(
            (libm::rintf(x[i] / s) as i64)
                .saturating_add(z.into())
                .clamp(low, high),
        );
    })
}

/// `y = (x - zero) * scale`; differences are exact.
///
/// # Errors
/// [`KernelError::Length`] when lengths do not agree with the layout.
pub fn dequantize<T: Copy + Into<i64>>(
    layout: &Layout,
    x: &[T],
    scale: &[f32],
    zero: &[T],
    none: T,
    y: &mut [f32],
) -> Result<(), KernelError> {
    if y.len() != x.len() {
        return Err(KernelError::Length);
    }
    each(layout, scale, zero, none, x.len(), |i, s, z| {
        y[i] = (x[i].into() - z.into()) as f32 * s
    })
}

/// Quantises between floats: `y = store(x / scale)`, for the 8-bit and 4-bit floats, which have no zero points.
///
/// # Errors
/// [`KernelError::Length`] when lengths do not agree with the layout.
pub fn scale_elements(
    layout: &Layout,
    len: usize,
    scale: &[f32],
    f: impl FnMut(usize, f32, ()),
) -> Result<(), KernelError> {
    each(layout, scale, &[], (), len, f)
}

/// ONNX DynamicQuantizeLinear: quantises to 8 bits over the data's own range, zero included. Gives scale and zero point.
///
/// # Errors
/// [`KernelError::Length`] when lengths differ.
pub fn dynamic_quantize(x: &[f32], y: &mut [u8]) -> Result<(f32, u8), KernelError> {
    if x.len() != y.len() {
        return Err(KernelError::Length);
    }
    let (low, high) = x
        .iter()
        .fold((0f32, 0f32), |(l, h), &v| (l.min(v), h.max(v)));
    let scale = (high - low) / 255.0;
    if scale <= 0.0 {
        y.fill(0);
        return Ok((scale, 0));
    }
    let zero = libm::rintf(-low / scale).clamp(0.0, 255.0);
    for (y, x) in y.iter_mut().zip(x) {
        *y = (libm::rintf(x / scale) + zero).clamp(0.0, 255.0) as u8;
    }
    Ok((scale, zero as u8))
}

/// `y = saturate(round_half_even(f32(acc + bias) * multiplier) + zero)` with `bias` and `multiplier` of the last axis
/// (`multiplier` may be one value). `FORMAT.md` defines the arithmetic; every instruction set gives these bits.
///
/// # Errors
/// [`KernelError::Length`] when lengths do not agree.
pub fn requantize<T>(
    channels: usize,
    acc: &[i32],
    bias: Option<&[i32]>,
    multiplier: &[f32],
    zero: i32,
    (low, high): (i32, i32),
    store: impl Fn(i32) -> T,
    y: &mut [T],
) -> Result<(), KernelError> {
    let fits = multiplier.len() == 1 || multiplier.len() == channels;
    if !fits
        || acc.len() != y.len()
        || bias.is_some_and(|b| b.len() != channels)
        || channels == 0 && !acc.is_empty()
    {
        return Err(KernelError::Length);
    }
    if acc.is_empty() {
        return Ok(());
    }
    if low > high {
        return Err(KernelError::Parameter);
    }
    let target = Target { zero, low, high };
    for (acc, y) in acc.chunks(channels).zip(y.chunks_mut(channels)) {
        for (c, (acc, y)) in acc.iter().zip(y).enumerate() {
            let sum = acc.wrapping_add(bias.map_or(0, |b| b[c]));
            let m = if multiplier.len() == 1 {
                multiplier[0]
            } else {
                multiplier[c]
            };
            *y = store(target.round(sum as f32 * m));
        }
    }
    Ok(())
}

/// Zero point and bounds of a quantised result.
#[derive(Clone, Copy, Debug)]
pub struct Target {
    /// The integer of the value 0.
    pub zero: i32,
    /// Least result.
    pub low: i32,
    /// Greatest result, not below `low`.
    pub high: i32,
}

impl Target {
    /// `clamp(round_half_even(v) + zero)`.
    pub fn round(&self, v: f32) -> i32 {
        // Float to integer conversion saturates, so the sum may only saturate too.
        let rounded = libm::rintf(v) as i32;
        rounded
            .saturating_add(self.zero)
            .max(self.low)
            .min(self.high)
    }
}

/// An 8-bit operand: its zero point, and its scale over that of the result.
#[derive(Clone, Copy, Debug)]
#[allow(missing_docs)]
pub struct Term {
    pub zero: i32,
    pub multiplier: f32,
}

impl Term {
    #[inline(always)]
    fn value(&self, v: i32) -> f32 {
        (v - self.zero) as f32 * self.multiplier
    }
}

/// `y[i] = clamp(round_half_even(a[i]' + b[i]') + zero)` with `v' = f32(v - zero) * multiplier`.
///
/// # Errors
/// [`KernelError::Length`] when lengths differ.
pub fn add<T: Narrow>(
    terms: [Term; 2],
    target: &Target,
    a: &[T],
    b: &[T],
    store: impl Fn(i32) -> T,
    y: &mut [T],
) -> Result<(), KernelError> {
    if a.len() != y.len() || b.len() != y.len() {
        return Err(KernelError::Length);
    }
    for ((a, b), y) in a.iter().zip(b).zip(y) {
        *y = store(target.round(terms[0].value(a.wide()) + terms[1].value(b.wide())));
    }
    Ok(())
}

/// Zero points of two 8-bit operands, and the product of their scales over that of the result.
#[derive(Clone, Copy, Debug)]
#[allow(missing_docs)]
pub struct Factors {
    pub a_zero: i32,
    pub b_zero: i32,
    pub multiplier: f32,
}

impl Factors {
    #[inline(always)]
    fn value(&self, a: i32, b: i32) -> f32 {
        ((a - self.a_zero) * (b - self.b_zero)) as f32 * self.multiplier
    }
}

/// `y[i] = clamp(round_half_even(f32((a[i] - a_zero) * (b[i] - b_zero)) * multiplier) + zero)`, where `b` is repeated as
/// often as it fits into `a`.
///
/// # Errors
/// [`KernelError::Length`] when `y` is not as long as `a`, or no multiple of `b`.
pub fn mul<T: Narrow>(
    factors: &Factors,
    target: &Target,
    a: &[T],
    b: &[T],
    store: impl Fn(i32) -> T,
    y: &mut [T],
) -> Result<(), KernelError> {
    if a.len() != y.len() || !a.len().is_multiple_of(b.len()) {
        return Err(KernelError::Length);
    }
    for (i, (a, y)) in a.iter().zip(y).enumerate() {
        *y = store(target.round(factors.value(a.wide(), b[i % b.len()].wide())));
    }
    Ok(())
}

/// `y[i] = table[x[i]]`; without `x`, `y` holds it.
///
/// # Errors
/// [`KernelError::Length`] when `y` is not as long as `x`, or the table has not 256 entries.
pub fn lookup(table: &[u8], x: Option<&[u8]>, y: &mut [u8]) -> Result<(), KernelError> {
    let table: &[u8; 256] = table.try_into().map_err(|_| KernelError::Length)?;
    match x {
        Some(x) if x.len() != y.len() => return Err(KernelError::Length),
        Some(x) => {
            for (y, &x) in y.iter_mut().zip(x) {
                *y = table[x as usize];
            }
        }
        None => y.iter_mut().for_each(|y| *y = table[*y as usize]),
    }
    Ok(())
}

/// As [`add`], onto the first operand. The order of the operands does not matter: a sum of two floats commutes.
///
/// # Errors
/// [`KernelError::Length`] when lengths differ.
pub fn add_in_place<T: Narrow>(
    terms: [Term; 2],
    target: &Target,
    y: &mut [T],
    b: &[T],
    store: impl Fn(i32) -> T,
) -> Result<(), KernelError> {
    if b.len() != y.len() {
        return Err(KernelError::Length);
    }
    for (y, b) in y.iter_mut().zip(b) {
        *y = store(target.round(terms[0].value(y.wide()) + terms[1].value(b.wide())));
    }
    Ok(())
}

/// The mean of one window, requantised: `sum` of `x - x_zero` over `count` taps.
pub fn mean(sum: i32, count: usize, multiplier: f32, target: &Target) -> i32 {
    target.round(sum as f32 * (multiplier / count.max(1) as f32))
}
