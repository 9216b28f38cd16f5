//! How far two tensors are apart.

use crate::bundle::Array;

/// Distances between an expected tensor and an actual one.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Difference {
    /// Largest absolute difference; infinite when one side is not finite where the other is.
    pub max_abs: f64,
    /// `max_abs` over the largest expected magnitude (over 1 when that is zero).
    pub relative: f64,
    /// Signal to noise in decibels; infinite when equal.
    pub snr_db: f64,
    /// Flat index of the largest difference.
    pub worst: usize,
    /// Elements whose difference is not zero.
    pub different: usize,
}

/// Compares element by element; `None` when the shapes differ. Equal infinities and two NaN count as equal.
pub fn compare(expected: &Array, actual: &Array) -> Option<Difference> {
    if expected.shape != actual.shape {
        return None;
    }
    let mut out = Difference {
        max_abs: 0.0,
        relative: 0.0,
        snr_db: f64::INFINITY,
        worst: 0,
        different: 0,
    };
    if expected.dtype == actual.dtype && expected.data == actual.data {
        return Some(out);
    }
    let (mut peak, mut signal, mut noise) = (0f64, 0f64, 0f64);
    for (i, (e, a)) in expected
        .to_f64()
        .into_iter()
        .zip(actual.to_f64())
        .enumerate()
    {
        if e.is_finite() {
            peak = peak.max(e.abs());
            signal += e * e;
        }
        if e == a || (e.is_nan() && a.is_nan()) {
            continue;
        }
        let d = match (e - a).abs() {
            d if d.is_nan() => f64::INFINITY,
            d => d,
        };
        out.different += 1;
        noise += d * d;
        if d > out.max_abs {
            (out.max_abs, out.worst) = (d, i);
        }
    }
    out.relative = out.max_abs / if peak > 0.0 { peak } else { 1.0 };
    if noise > 0.0 {
        out.snr_db = 10.0 * (signal / noise).log10();
    }
    Some(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn metrics() {
        let a = Array::from_f32(&[3], &[1.0, -10.0, 0.0]);
        assert_eq!(compare(&a, &a).unwrap().max_abs, 0.0);
        let b = Array::from_f32(&[3], &[1.0, -10.5, 0.0]);
        let d = compare(&a, &b).unwrap();
        assert_eq!((d.max_abs, d.worst, d.different), (0.5, 1, 1));
        assert!((d.relative - 0.05).abs() < 1e-12);
        assert!((d.snr_db - 10.0 * (101.0f64 / 0.25).log10()).abs() < 1e-9);
        assert!(compare(&a, &Array::from_f32(&[1, 3], &[0.0; 3])).is_none());
    }

    #[test]
    fn not_a_number_is_a_difference() {
        let a = Array::from_f32(&[2], &[1.0, f32::NAN]);
        assert_eq!(compare(&a, &a.clone()).unwrap().different, 0);
        let b = Array::from_f32(&[2], &[f32::NAN, f32::NAN]);
        assert_eq!(compare(&a, &b).unwrap().max_abs, f64::INFINITY);
    }
}
