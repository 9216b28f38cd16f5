//! Fourier transforms of any length: mixed radix on the stack where the length factors well, directly otherwise.
use crate::element::Element;
use crate::error::{KernelError, exactly, product};
use crate::reduce::split;

/// Longest transform that runs on the stack (32 KiB of it).
const STACK: usize = 2048;
/// Largest prime factor of such a length.
const RADIX: usize = 32;

type Complex = (f32, f32);

/// A transform of one length.
struct Plan {
    n: usize,
    inverse: bool,
    fast: bool,
}

fn largest_factor(mut n: usize) -> usize {
    let (mut p, mut largest) = (2, 1);
    while n > 1 {
        if p * p > n {
            return largest.max(n);
        }
        while n.is_multiple_of(p) {
            n /= p;
            largest = p;
        }
        p += 1;
    }
    largest
}

fn smallest_factor(n: usize) -> usize {
    if n.is_multiple_of(4) {
        return 4;
    }
    (2..=RADIX).find(|p| n.is_multiple_of(*p)).unwrap_or(n)
}

/// Decimation in time (Cooley and Tukey): `out[0..n]` from `get(first + i * step)`.
fn fast(
    n: usize,
    first: usize,
    step: usize,
    out: &mut [Complex],
    table: &[Complex],
    get: &impl Fn(usize) -> Complex,
) {
    if n == 1 {
        out[0] = get(first);
        return;
    }
    let p = smallest_factor(n);
    let m = n / p;
    for q in 0..p {
        fast(
            m,
            first + q * step,
            step * p,
            &mut out[q * m..(q + 1) * m],
            table,
            get,
        );
    }
    // The table holds the roots of the whole length; those of `n` are `stride` apart.
    let stride = table.len() / n;
    let mut part = [(0f32, 0f32); RADIX];
    for k in 0..m {
        for (q, t) in part[..p].iter_mut().enumerate() {
            *t = mul(out[q * m + k], table[q * k * stride]);
        }
        for j in 0..p {
            let (mut sum, mut at) = (part[0], 0);
            for t in &part[1..p] {
                at += j * m * stride;
                if at >= table.len() {
                    at -= table.len();
                }
                let v = mul(*t, table[at]);
                sum = (sum.0 + v.0, sum.1 + v.1);
            }
            out[j * m + k] = sum;
        }
    }
}

#[inline(always)]
fn mul(a: Complex, b: Complex) -> Complex {
    (a.0 * b.0 - a.1 * b.1, a.0 * b.1 + a.1 * b.0)
}

impl Plan {
    fn root(&self, k: usize) -> (f64, f64) {
        let angle = core::f64::consts::TAU * k as f64 / self.n as f64;
        let (s, c) = libm::sincos(angle);
        (c, if self.inverse { s } else { -s })
    }

    /// Calls `put(k, value)` for the first `bins` bins of the transform of `get(0..n)`, for each `(get, put)` that
    /// `lines` passes to its argument.
    #[inline(never)]
    fn run(
        &self,
        lines: usize,
        bins: usize,
        get: impl Fn(usize, usize) -> (f64, f64),
        mut put: impl FnMut(usize, usize, f64, f64),
    ) {
        let scale = if self.inverse {
            1.0 / self.n as f64
        } else {
            1.0
        };
        if self.fast {
            let (mut table, mut out) = ([(0f32, 0f32); STACK], [(0f32, 0f32); STACK]);
            let (table, out) = (&mut table[..self.n], &mut out[..self.n]);
            for (k, t) in table.iter_mut().enumerate() {
                let (re, im) = self.root(k);
                *t = (re as f32, im as f32);
            }
            for line in 0..lines {
                let get = |i| {
                    let (re, im) = get(line, i);
                    (re as f32, im as f32)
                };
                fast(self.n, 0, 1, out, table, &get);
                for (k, (re, im)) in out[..bins].iter().enumerate() {
                    put(line, k, f64::from(*re) * scale, f64::from(*im) * scale);
                }
            }
            return;
        }
        for line in 0..lines {
            for k in 0..bins {
                let step = self.root(k);
                let (mut w, mut sum) = ((1f64, 0f64), (0f64, 0f64));
                for i in 0..self.n {
                    // The rotation is renewed now and then, so that its error stays small.
                    if i % 64 == 0 {
                        w = self.root((k as u128 * i as u128 % self.n as u128) as usize);
                    }
                    let v = get(line, i);
                    sum = (sum.0 + v.0 * w.0 - v.1 * w.1, sum.1 + v.0 * w.1 + v.1 * w.0);
                    w = (w.0 * step.0 - w.1 * step.1, w.0 * step.1 + w.1 * step.0);
                }
                put(line, k, sum.0 * scale, sum.1 * scale);
            }
        }
    }
}

/// A discrete Fourier transform along one axis.
#[derive(Clone, Copy, Debug)]
pub struct Dft {
    /// The axis; the last one holds real and imaginary parts.
    pub axis: i32,
    /// Divides by the length and turns the other way.
    pub inverse: bool,
    /// Forward: only the bins up to half the length. Inverse: the input holds only those, the output is real.
    pub onesided: bool,
}

/// ONNX DFT of `x[.., n, 1 or 2]` to `y[.., m, 1 or 2]`; the input is cut or padded with zeros to the transform's length.
/// That length is `m`; forward and one-sided it is the length of the input; `m` is then at most half of it plus one.
///
/// # Errors
/// [`KernelError`] when lengths do not fit or the axis is the last one.
pub fn dft<T: Element>(
    p: Dft,
    x: &[T],
    x_shape: &[usize],
    y: &mut [T],
    y_shape: &[usize],
) -> Result<(), KernelError> {
    let (Some((&xc, xs)), Some((&yc, ys))) = (x_shape.split_last(), y_shape.split_last()) else {
        return Err(KernelError::Parameter);
    };
    let (outer, given, inner) = split(xs, p.axis)?;
    let (y_outer, m, y_inner) = split(ys, p.axis)?;
    if !matches!(xc, 1 | 2) || !matches!(yc, 1 | 2) || (outer, inner) != (y_outer, y_inner) {
        return Err(KernelError::Parameter);
    }
    exactly(x.len(), product(x_shape)?)?;
    exactly(y.len(), product(y_shape)?)?;
    // A one-sided result of m bins belongs to length 2m-2 or 2m-1; the input says which, unless it is cut or padded.
    let n = match (p.onesided, p.inverse) {
        (true, false) if given / 2 + 1 == m => given,
        (true, false) => (2 * m).saturating_sub(2).max(1),
        _ => m,
    };
    if n == 0 || y.is_empty() {
        return Ok(());
    }
    let half = p.onesided && p.inverse;
    let at = |line: usize, i: usize, len: usize| (line / inner * len + i) * inner + line % inner;
    let read = |line: usize, i: usize| {
        if i >= given {
            return (0.0, 0.0);
        }
        let at = at(line, i, given) * xc;
        (
            x[at].to_f64(),
            if xc == 2 { x[at + 1].to_f64() } else { 0.0 },
        )
    };
    let get = |line: usize, i: usize| {
        // The upper half of a real signal's spectrum mirrors the lower one.
        if half && i > n / 2 {
            let (re, im) = read(line, n - i);
            (re, -im)
        } else {
            read(line, i)
        }
    };
    let plan = Plan {
        n,
        inverse: p.inverse,
        fast: fits(n),
    };
    plan.run(outer * inner, m, get, |line, k, re, im| {
        let at = at(line, k, m) * yc;
        y[at] = T::from_f64(re);
        if yc == 2 {
            y[at + 1] = T::from_f64(im);
        }
    });
    Ok(())
}

fn fits(n: usize) -> bool {
    n <= STACK && largest_factor(n) <= RADIX
}

/// ONNX STFT of `signal[batch, length, 1 or 2]` (`parts`) to `y[batch, frames, bins, 2]`: frames of `n` samples, `step` apart,
/// multiplied by `window` (of at most `n`, centred).
///
/// # Errors
/// [`KernelError`] when lengths do not fit or frames reach beyond the signal.
pub fn stft<T: Element>(
    signal: &[T],
    batch: usize,
    length: usize,
    parts: usize,
    window: Option<&[T]>,
    n: usize,
    step: usize,
    frames: usize,
    bins: usize,
    y: &mut [T],
) -> Result<(), KernelError> {
    exactly(signal.len(), product(&[batch, length, parts])?)?;
    exactly(y.len(), product(&[batch, frames, bins, 2])?)?;
    if y.is_empty() {
        return Ok(());
    }
    let reach = (frames - 1)
        .checked_mul(step)
        .and_then(|s| s.checked_add(n))
        .ok_or(KernelError::Overflow)?;
    if n == 0
        || !matches!(parts, 1 | 2)
        || bins > n
        || reach > length
        || window.is_some_and(|w| w.len() > n)
    {
        return Err(KernelError::Parameter);
    }
    let shift = window.map_or(0, |w| (n - w.len()) / 2);
    let get = |line: usize, i: usize| {
        let at = (line / frames * length + line % frames * step + i) * parts;
        let w = match window {
            Some(w) => i
                .checked_sub(shift)
                .and_then(|i| w.get(i))
                .map_or(0.0, |w| w.to_f64()),
            None => 1.0,
        };
        (
            signal[at].to_f64() * w,
            if parts == 2 {
                signal[at + 1].to_f64() * w
            } else {
                0.0
            },
        )
    };
    let plan = Plan {
        n,
        inverse: false,
        fast: fits(n),
    };
    plan.run(batch * frames, bins, get, |line, k, re, im| {
        let at = (line * bins + k) * 2;
        y[at] = T::from_f64(re);
        y[at + 1] = T::from_f64(im);
    });
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn direct(x: &[f64], bins: usize) -> std::vec::Vec<f64> {
        let n = x.len();
        (0..bins)
            .flat_map(|k| {
                let term = |f: fn(f64) -> f64| {
                    x.iter()
                        .enumerate()
                        .map(|(i, v)| v * f(core::f64::consts::TAU * (k * i) as f64 / n as f64))
                        .sum::<f64>()
                };
                [term(f64::cos), -term(f64::sin)]
            })
            .collect()
    }

    #[test]
    fn every_length_agrees_with_the_definition_and_inverts() {
        for n in [1, 2, 3, 4, 5, 8, 12, 30, 37, 64, 100, 201] {
            let x: std::vec::Vec<f64> = (0..n).map(|i| ((i * i * 7) % 13) as f64 - 6.0).collect();
            let mut y = std::vec![0f64; 2 * n];
            dft(
                Dft {
                    axis: 1,
                    inverse: false,
                    onesided: false,
                },
                &x,
                &[1, n, 1],
                &mut y,
                &[1, n, 2],
            )
            .unwrap();
            for (a, b) in y.iter().zip(direct(&x, n)) {
                assert!((a - b).abs() < 2e-3, "{n}: {a} {b}");
            }
            let mut back = std::vec![0f64; 2 * n];
            dft(
                Dft {
                    axis: 1,
                    inverse: true,
                    onesided: false,
                },
                &y,
                &[1, n, 2],
                &mut back,
                &[1, n, 2],
            )
            .unwrap();
            for (i, v) in x.iter().enumerate() {
                assert!(
                    (back[2 * i] - v).abs() < 1e-4 && back[2 * i + 1].abs() < 1e-4,
                    "{n}"
                );
            }
            let bins = n / 2 + 1;
            let mut half = std::vec![0f64; 2 * bins];
            dft(
                Dft {
                    axis: 1,
                    inverse: false,
                    onesided: true,
                },
                &x,
                &[1, n, 1],
                &mut half,
                &[1, bins, 2],
            )
            .unwrap();
            assert_eq!(half, y[..2 * bins]);
            let mut real = std::vec![0f64; n];
            dft(
                Dft {
                    axis: 1,
                    inverse: true,
                    onesided: true,
                },
                &half,
                &[1, bins, 2],
                &mut real,
                &[1, n, 1],
            )
            .unwrap();
            for (a, b) in real.iter().zip(&x) {
                assert!((a - b).abs() < 1e-4, "{n}");
            }
        }
    }

    #[test]
    fn frames() {
        let x = [1f32, 2., 3., 4., 5., 6.];
        let mut y = [0f32; 2 * 3 * 2];
        stft(&x, 1, 6, 1, Some(&[1., 0.5, 1., 0.5]), 4, 2, 2, 3, &mut y).unwrap();
        let want = [direct(&[1., 1., 3., 2.], 3), direct(&[3., 2., 5., 3.], 3)].concat();
        for (a, b) in y.iter().zip(want) {
            assert!((f64::from(*a) - b).abs() < 1e-5);
        }
        assert!(stft(&x, 1, 6, 1, None, 4, 3, 2, 3, &mut y).is_err());
    }
}
