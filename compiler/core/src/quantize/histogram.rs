//! What calibration saw of a tensor, in bins that grow with the range.

use serde::{Deserialize, Serialize};

/// Bins of a histogram.
pub const BINS: usize = 2048;

/// Smallest exponent of a bin's width: the factor to bins stays finite in f32.
const LEAST_EXPONENT: i32 = -120;

/// A histogram whose bins are a power of two wide and begin at multiples of their width. So zero is always a boundary,
/// and two histograms of different widths merge without interpolation.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Histogram {
    /// The width of a bin is two to this power.
    exponent: i32,
    /// The first bin begins at this multiple of the width.
    first: i64,
    /// Values in each bin; empty until something other than zero was seen.
    counts: Vec<u64>,
    /// Values that are exactly zero, which are in no bin: every scheme represents them exactly.
    zeros: u64,
    /// The least and the greatest value other than zero.
    ends: Option<(f32, f32)>,
    sum: f64,
    sum_squares: f64,
}

/// A value that is infinite or not a number: its position among those given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NotFinite(pub usize);

/// The bin that holds a bin when bins are 2^`steps` times as wide.
fn coarser(bin: i64, steps: i32) -> i64 {
    bin >> steps.min(63)
}

impl Histogram {
    /// Counts values.
    ///
    /// # Errors
    /// When one of them is not finite; then none is counted.
    pub fn add(&mut self, values: &[f32]) -> Result<(), NotFinite> {
        let (mut low, mut high) = (f32::INFINITY, f32::NEG_INFINITY);
        let (mut zeros, mut finite) = (0, true);
        for &v in values {
            finite &= v.is_finite();
            zeros += u64::from(v == 0.0);
            let nonzero = if v == 0.0 { f32::NAN } else { v };
            low = low.min(nonzero);
            high = high.max(nonzero);
        }
        if !finite {
            let position = values.iter().position(|v| !v.is_finite());
            return Err(NotFinite(position.unwrap_or(0)));
        }
        self.zeros += zeros;
        if low > high {
            return Ok(());
        }
        self.fit(low, high, None);
        let per_width = (-self.exponent as f32).exp2();
        let first = self.first as f32;
        let last = self.counts.len() - 1;
        let (mut sum, mut squares) = (0f64, 0f64);
        for &v in values {
            if v != 0.0 {
                // Both are whole numbers well below 2^24.
                let bin = ((v * per_width).floor() - first) as usize;
                self.counts[bin.min(last)] += 1;
                sum += f64::from(v);
                squares += f64::from(v) * f64::from(v);
            }
        }
        self.sum += sum;
        self.sum_squares += squares;
        Ok(())
    }

    /// Counts what another histogram counted.
    pub fn merge(&mut self, other: &Histogram) {
        self.zeros += other.zeros;
        self.sum += other.sum;
        self.sum_squares += other.sum_squares;
        let Some((low, high)) = other.ends else {
            return;
        };
        self.fit(low, high, Some(other.exponent));
        for (i, &n) in other.counts.iter().enumerate() {
            if n > 0 {
                let at = coarser(other.first + i as i64, self.exponent - other.exponent);
                self.counts[(at - self.first) as usize] += n;
            }
        }
    }

    /// Makes bins for these values beside the present ones, at least `exponent` wide.
    fn fit(&mut self, low: f32, high: f32, exponent: Option<i32>) {
        let (low, high) = match self.ends {
            None => (low, high),
            Some((l, h)) => (l.min(low), h.max(high)),
        };
        let bin = |v: f32, e: i32| (f64::from(v) * f64::from(-e).exp2()).floor() as i64;
        // A few steps too fine; all bins are below 2^13.
        let largest = f64::from(low.abs().max(high.abs()));
        let finest = (largest.log2().floor() as i32 - 12).max(LEAST_EXPONENT);
        let present = self.ends.map_or(finest, |_| self.exponent);
        let mut wide = present.max(exponent.unwrap_or(finest)).max(finest);
        while bin(high, wide) - bin(low, wide) >= BINS as i64 {
            wide += 1;
        }
        let first = bin(low, wide);
        if self.ends.is_some() {
            let inside = first >= self.first && bin(high, wide) < self.first + BINS as i64;
            if wide == self.exponent && inside {
                self.ends = Some((low, high));
                return;
            }
        }
        let mut counts = vec![0; BINS];
        for (i, &n) in self.counts.iter().enumerate() {
            if n > 0 {
                let at = coarser(self.first + i as i64, wide - self.exponent);
                counts[(at - first) as usize] += n;
            }
        }
        (self.counts, self.first, self.exponent) = (counts, first, wide);
        self.ends = Some((low, high));
    }

    /// The number of values.
    pub fn count(&self) -> u64 {
        self.zeros + self.counts.iter().sum::<u64>()
    }

    /// The least and the greatest value, zero among them.
    pub fn range(&self) -> (f32, f32) {
        let (low, high) = self.ends.unwrap_or((0.0, 0.0));
        (low.min(0.0), high.max(0.0))
    }

    /// The mean of the squares; 0 without values.
    pub fn power(&self) -> f64 {
        self.sum_squares / self.count().max(1) as f64
    }

    /// The mean; 0 without values.
    pub fn mean(&self) -> f64 {
        self.sum / self.count().max(1) as f64
    }

    /// Width of a bin.
    pub fn width(&self) -> f64 {
        f64::from(self.exponent).exp2()
    }

    /// Bins that are not empty: middle and count. Zeros are in none.
    pub fn bins(&self) -> impl Iterator<Item = (f64, u64)> + '_ {
        let width = self.width();
        let middle = move |i: usize| ((self.first + i as i64) as f64 + 0.5) * width;
        let all = self.counts.iter().enumerate();
        all.filter(|(_, n)| **n > 0)
            .map(move |(i, &n)| (middle(i), n))
    }

    /// The value below which this part of all values lies, to a bin.
    pub fn quantile(&self, part: f64) -> f32 {
        let (low, high) = self.range();
        let mut left = (part.clamp(0.0, 1.0) * self.count() as f64).round();
        let width = self.width();
        let mut zeros = self.zeros as f64;
        for (i, &n) in self.counts.iter().enumerate() {
            let begin = (self.first + i as i64) as f64 * width;
            if begin >= 0.0 && zeros > 0.0 {
                if left <= zeros {
                    return 0.0;
                }
                left -= zeros;
                zeros = 0.0;
            }
            if n > 0 && left <= n as f64 {
                let at = begin + width * (left / n as f64);
                return (at as f32).clamp(low, high);
            }
            left -= n as f64;
        }
        high
    }

    /// The histogram in this many equal bins between the ends, for reports.
    pub fn coarse(&self, bins: usize) -> Vec<u64> {
        let (low, high) = self.range();
        let mut out = vec![0; bins.max(1)];
        let span = f64::from(high) - f64::from(low);
        let last = out.len() - 1;
        let place = |v: f64| {
            let part = (v - f64::from(low)) / if span > 0.0 { span } else { 1.0 };
            ((part * bins as f64) as usize).min(last)
        };
        for (middle, n) in self.bins() {
            out[place(middle)] += n;
        }
        out[place(0.0)] += self.zeros;
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_survive_growth() {
        let mut h = Histogram::default();
        h.add(&[0.0, 0.25, 0.5, 1.0]).unwrap();
        h.add(&[-3.0, 100.0]).unwrap();
        h.add(&[1e6]).unwrap();
        assert_eq!(h.count(), 7);
        assert_eq!(h.range(), (-3.0, 1e6));
        assert!((h.mean() - (1e6 + 98.75) / 7.0).abs() < 1e-6);
        assert!(h.bins().count() <= 4);
    }

    #[test]
    fn bins_grow_by_any_number_of_steps() {
        let mut small = Histogram::default();
        small.add(&[1e-30, -1e-38]).unwrap();
        let mut h = small.clone();
        h.add(&[3e38]).unwrap();
        assert_eq!((h.count(), h.range()), (3, (-1e-38, 3e38)));
        let mut large = Histogram::default();
        large.add(&[3e38, -3e38]).unwrap();
        large.merge(&small);
        assert_eq!((large.count(), large.range()), (4, (-3e38, 3e38)));
    }

    #[test]
    fn zero_is_a_boundary_and_in_no_bin() {
        let mut h = Histogram::default();
        h.add(&[0.0, -0.0, 1e-3, -1e-3]).unwrap();
        let bins: Vec<_> = h.bins().collect();
        assert_eq!(bins.iter().map(|b| b.1).sum::<u64>(), 2);
        assert!(bins[0].0 < 0.0 && bins[1].0 > 0.0);
    }

    #[test]
    fn merging_is_adding() {
        let a: Vec<f32> = (0..1000).map(|i| (i as f32 * 0.37).sin()).collect();
        let b: Vec<f32> = (0..1000)
            .map(|i| 50.0 * (i as f32 * 0.11).cos() - 7.0)
            .collect();
        let mut both = Histogram::default();
        both.add(&a).unwrap();
        both.add(&b).unwrap();
        let (mut x, mut y) = (Histogram::default(), Histogram::default());
        x.add(&a).unwrap();
        y.add(&b).unwrap();
        for mut m in [(x.clone(), &y), (y.clone(), &x)].map(|(mut m, o)| {
            m.merge(o);
            m
        }) {
            assert_eq!(
                m.bins().collect::<Vec<_>>(),
                both.bins().collect::<Vec<_>>()
            );
            assert!((m.sum - both.sum).abs() < 1e-9);
            m.sum = both.sum;
        }
    }

    #[test]
    fn quantiles_of_known_values() {
        let mut h = Histogram::default();
        let values: Vec<f32> = (1..=10_000).map(|i| i as f32 / 10_000.0).collect();
        h.add(&values).unwrap();
        for part in [0.01, 0.5, 0.999] {
            let q = f64::from(h.quantile(part));
            assert!((q - part).abs() < 2e-3, "{part}: {q}");
        }
        assert_eq!(h.quantile(1.0), 1.0);
        // Half of the values are zero: so is their median.
        h.add(&vec![0.0; 20_000]).unwrap();
        assert_eq!(h.quantile(0.5), 0.0);
    }

    #[test]
    fn values_that_are_not_finite_are_refused() {
        let mut h = Histogram::default();
        assert_eq!(h.add(&[1.0, f32::NAN]), Err(NotFinite(1)));
        assert_eq!(h.add(&[f32::NEG_INFINITY]), Err(NotFinite(0)));
        assert_eq!(h.count(), 0);
        h.add(&[f32::MIN_POSITIVE, 1e-38, f32::MAX]).unwrap();
        assert_eq!(h.count(), 3);
    }
}
