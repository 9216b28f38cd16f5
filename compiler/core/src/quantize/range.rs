//! From what calibration saw of a tensor to its scale and zero point.

use super::function::Tabulated;
use super::{Histogram, Method};
use serde::{Deserialize, Serialize};

/// Least and greatest integer of an activation.
pub(super) const LOW: i32 = -128;
pub(super) const HIGH: i32 = 127;

/// Squared errors of values outside the range count this often: they all point inwards, so that what follows sums them
/// up, where rounding errors cancel.
const SATURATION_WEIGHT: f64 = 2.0;

/// Ranges that the searches try on each side.
const STEPS: usize = 100;

/// Percentiles that [`Method::Auto`] tries.
const PERCENTILES: [f64; 3] = [99.9, 99.99, 99.999];

/// Levels of 8 bits.
const LEVELS: usize = 256;

/// Largest magnitude of 16 bits that has a negative.
pub(super) const WHOLE: i32 = 32767;

/// What 16 bits leave of the range above what calibration saw: a bit lost, and nothing cut that is new.
const HEADROOM: f32 = 2.0;

/// How reals become integers: `q = clamp(round(x / scale) + zero)`.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Parameters {
    /// The distance of two integers.
    pub scale: f32,
    /// The integer of zero.
    pub zero: i32,
    /// Largest magnitude of symmetric 16-bit integers; 0 of 8-bit ones.
    #[serde(default)]
    pub limit: i32,
}

/// What quantising loses, as measured on a histogram.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Loss {
    /// Mean squared error.
    pub noise: f64,
    /// The part of it that lies outside the range.
    pub saturation: f64,
    /// Part of the values that lies outside.
    pub saturated: f64,
}

impl Loss {
    fn weighed(&self) -> f64 {
        self.noise + (SATURATION_WEIGHT - 1.0) * self.saturation
    }
}

/// A range and where it comes from.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Chosen {
    /// Scale and zero point.
    pub parameters: Parameters,
    /// The method that gave it; never [`Method::Auto`].
    pub method: Method,
    /// Part of the values that lies outside.
    pub saturated: f64,
    /// Signal to noise in decibels; infinite when nothing is lost.
    pub snr_db: f64,
    /// Signal to noise of what functions make of the values, where they alone read them.
    pub read_snr_db: Option<f64>,
    /// Part of the noise, of that of the functions where there are any, which lies outside the range.
    pub cut: f64,
}

impl Parameters {
    /// The parameters of a range, widened to hold zero, which is an integer exactly.
    pub fn of(low: f32, high: f32) -> Parameters {
        let (low, high) = (f64::from(low).min(0.0), f64::from(high).max(0.0));
        let scale = ((high - low) / f64::from(HIGH - LOW)) as f32;
        // Nothing but zeros, or nothing that f32 can divide by.
        if !scale.is_normal() {
            return Parameters {
                scale: if scale > 1.0 { f32::MAX / 256.0 } else { 1.0 },
                zero: 0,
                limit: 0,
            };
        }
        let zero = f64::from(LOW) - low / f64::from(scale);
        Parameters {
            scale,
            zero: (zero.round() as i32).clamp(LOW, HIGH),
            limit: 0,
        }
    }

    /// The real of an integer.
    fn value(&self, q: i32) -> f64 {
        f64::from(q - self.zero) * f64::from(self.scale)
    }

    /// Least and greatest real.
    pub fn ends(&self) -> (f64, f64) {
        (self.value(LOW), self.value(HIGH))
    }

    /// What is lost of values, or of a function of them.
    pub(super) fn loss(&self, seen: &Histogram, read: Option<&Tabulated>) -> Loss {
        let scale = f64::from(self.scale);
        let (low, high) = self.ends();
        let within = seen.width() * seen.width() / 12.0;
        let levels: Option<Vec<f64>> =
            read.map(|f| (LOW..=HIGH).map(|q| f.at(self.value(q))).collect());
        let (mut noise, mut saturation, mut saturated) = (0.0, 0.0, 0);
        for (middle, n) in seen.bins() {
            let q = (middle / scale).round_ties_even() as i32;
            let q = q.saturating_add(self.zero).clamp(LOW, HIGH);
            let squares = match (&levels, read) {
                (Some(levels), Some(f)) => {
                    let error = f.at(middle) - levels[(q - LOW) as usize];
                    n as f64 * error * error
                }
                _ => {
                    let error = middle - self.value(q);
                    n as f64 * (error * error + within)
                }
            };
            noise += squares;
            if middle < low - scale / 2.0 || middle > high + scale / 2.0 {
                saturation += squares;
                saturated += n;
            }
        }
        let all = seen.count().max(1) as f64;
        Loss {
            noise: noise / all,
            saturation: saturation / all,
            saturated: saturated as f64 / all,
        }
    }
}

/// The range of a tensor by a method; where functions alone read the tensor, the one that [`Method::Auto`] and
/// [`Method::Mse`] choose is the best for `read`, their result.
pub(super) fn choose(seen: &Histogram, method: Method, read: Option<&Tabulated>) -> Chosen {
    let of = |method: Method| {
        let (low, high) = match method {
            Method::Auto | Method::MinMax => seen.range(),
            Method::Percentile(p) => percentile(seen, p),
            Method::Mse => least_error(seen, read),
            Method::Entropy => least_divergence(seen),
        };
        (method, Parameters::of(low, high))
    };
    let (method, parameters) = match method {
        Method::Auto => {
            let some = PERCENTILES.map(Method::Percentile);
            let all = [Method::MinMax, Method::Mse, Method::Entropy];
            let candidates = all.into_iter().chain(some).map(of);
            let loss = |p: &Parameters| p.loss(seen, read).weighed();
            candidates
                .min_by(|a, b| loss(&a.1).total_cmp(&loss(&b.1)))
                .expect("several")
        }
        _ => of(method),
    };
    let loss = parameters.loss(seen, None);
    let through = read.map(|f| {
        let squares = |(middle, n): (f64, u64)| n as f64 * f.at(middle) * f.at(middle);
        let power = seen.bins().map(squares).sum::<f64>() / seen.count().max(1) as f64;
        let loss = parameters.loss(seen, read);
        (10.0 * (power / loss.noise).log10(), loss)
    });
    let felt = through.map_or(loss, |(_, loss)| loss);
    Chosen {
        parameters,
        method,
        saturated: loss.saturated,
        snr_db: 10.0 * (seen.power() / loss.noise).log10(),
        read_snr_db: through.map(|(db, _)| db),
        cut: match felt.noise > 0.0 {
            true => felt.saturation / felt.noise,
            false => 0.0,
        },
    }
}

/// The range of a tensor of 16 bits, for integers up to `most`: those with which the sums of its readers fit.
pub(super) fn choose_wide(seen: &Histogram, most: f64) -> Chosen {
    let (low, high) = seen.range();
    let range = HEADROOM * low.abs().max(high.abs());
    let limit = most.clamp(1.0, f64::from(WHOLE)) as i32;
    let scale = range / limit as f32;
    let scale = match scale.is_normal() {
        true => scale,
        false if scale > 1.0 => f32::MAX / 65536.0,
        false => 1.0,
    };
    let noise = f64::from(scale).powi(2) / 12.0;
    Chosen {
        parameters: Parameters {
            scale,
            zero: 0,
            limit,
        },
        method: Method::MinMax,
        saturated: 0.0,
        snr_db: 10.0 * (seen.power() / noise).log10(),
        read_snr_db: None,
        cut: 0.0,
    }
}

fn percentile(seen: &Histogram, p: f64) -> (f32, f32) {
    let part = p / 100.0;
    let (low, high) = seen.range();
    if part >= 1.0 {
        return (low, high);
    }
    (
        seen.quantile(1.0 - part).min(0.0),
        seen.quantile(part).max(0.0),
    )
}

/// Shrinks one side after the other, twice.
fn least_error(seen: &Histogram, read: Option<&Tabulated>) -> (f32, f32) {
    let (least, greatest) = seen.range();
    let loss = |low: f32, high: f32| Parameters::of(low, high).loss(seen, read).weighed();
    let part = |k: usize| k as f32 / STEPS as f32;
    let steps = || (1..=STEPS).rev();
    let (mut low, mut high) = (least, greatest);
    for _ in 0..2 {
        let best = |of: &dyn Fn(usize) -> f64| {
            steps()
                .min_by(|&a, &b| of(a).total_cmp(&of(b)))
                .expect("several")
        };
        if greatest > 0.0 {
            high = greatest * part(best(&|k| loss(low, greatest * part(k))));
        }
        if least < 0.0 {
            low = least * part(best(&|k| loss(least * part(k), high)));
        }
    }
    (low, high)
}

/// Shrinks both sides alike.
fn least_divergence(seen: &Histogram) -> (f32, f32) {
    let (least, greatest) = seen.range();
    let at = |k: usize| {
        let part = k as f32 / STEPS as f32;
        (least * part, greatest * part)
    };
    let of = |k: usize| {
        let (low, high) = at(k);
        divergence(seen, f64::from(low), f64::from(high))
    };
    // Below a third of the range so much saturates that a small divergence says little.
    let k = (STEPS / 3..=STEPS)
        .rev()
        .min_by(|&a, &b| of(a).total_cmp(&of(b)))
        .expect("several");
    at(k)
}

/// The Kullback-Leibler divergence of the distribution between the ends, with all that lies outside put on the outermost
/// bins, from what 256 levels keep of it.
fn divergence(seen: &Histogram, low: f64, high: f64) -> f64 {
    let step = (high - low) / LEVELS as f64;
    if step <= 0.0 {
        return f64::INFINITY;
    }
    let bins: Vec<(f64, u64)> = seen.bins().collect();
    let level = |v: f64| (((v - low) / step) as usize).min(LEVELS - 1);
    let inside: Vec<&(f64, u64)> = bins
        .iter()
        .filter(|(v, _)| (low..=high).contains(v))
        .collect();
    let (Some(first), Some(last)) = (inside.first(), inside.last()) else {
        return f64::INFINITY;
    };
    let outside = |keep: &dyn Fn(f64) -> bool| -> f64 {
        let n = bins.iter().filter(|(v, _)| keep(*v)).map(|(_, n)| n);
        n.sum::<u64>() as f64
    };
    let (below, above) = (outside(&|v| v < low), outside(&|v| v > high));
    // The levels keep the mean of the bins that they hold.
    let (mut sums, mut holds) = ([0f64; LEVELS], [0u32; LEVELS]);
    for (v, n) in &inside {
        sums[level(*v)] += *n as f64;
        holds[level(*v)] += 1;
    }
    let all: f64 = inside.iter().map(|(_, n)| *n as f64).sum();
    let total = all + below + above;
    let mut divergence = 0.0;
    for (v, n) in &inside {
        let mut p = *n as f64;
        if *v == first.0 {
            p += below;
        }
        if *v == last.0 {
            p += above;
        }
        let q = sums[level(*v)] / f64::from(holds[level(*v)]);
        let (p, q) = (p / total, q / all);
        divergence += p * (p / q).ln();
    }
    divergence
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(values: &[f32]) -> Histogram {
        let mut h = Histogram::default();
        h.add(values).unwrap();
        h
    }

    /// A bell of this many values, the same every time (Box and Muller 1958 over a Weyl sequence).
    fn bell(n: usize) -> Vec<f32> {
        let unit = |k: f64| k.fract().max(1e-12);
        (1..=n)
            .map(|i| {
                let (a, b) = (
                    unit(i as f64 * 0.754_877_666_2),
                    unit(i as f64 * 0.569_840_290_9),
                );
                ((-2.0 * a.ln()).sqrt() * (std::f64::consts::TAU * b).cos()) as f32
            })
            .collect()
    }

    #[test]
    fn parameters_of_known_ranges() {
        let p = Parameters::of(0.0, 2.55);
        assert_eq!((p.zero, (p.scale * 100.0).round()), (-128, 1.0));
        let p = Parameters::of(-1.0, 1.0);
        assert!(p.zero == 0 || p.zero == -1, "{p:?}");
        // A range without zero is widened.
        assert_eq!(Parameters::of(3.0, 5.1).zero, -128);
        assert_eq!(Parameters::of(-5.1, -3.0).zero, 127);
        // Zero is an integer exactly.
        for (low, high) in [(-0.3, 1.7), (-11.0, 0.01), (0.0, 0.0), (-1e-39, 1e-39)] {
            let p = Parameters::of(low, high);
            assert!((LOW..=HIGH).contains(&p.zero) && p.scale.is_normal());
            assert_eq!(p.value(p.zero), 0.0);
        }
    }

    #[test]
    fn the_noise_of_uniform_values_is_a_twelfth_of_a_squared_step() {
        let values: Vec<f32> = (0..100_000).map(|i| i as f32 / 1e5).collect();
        let h = seen(&values);
        let chosen = choose(&h, Method::MinMax, None);
        let step = f64::from(chosen.parameters.scale);
        let loss = chosen.parameters.loss(&h, None);
        assert!(
            (loss.noise / (step * step / 12.0) - 1.0).abs() < 0.05,
            "{loss:?}"
        );
        assert_eq!(chosen.saturated, 0.0);
    }

    #[test]
    fn outliers_are_cut_where_that_is_better() {
        let mut values = bell(50_000);
        values.extend([400.0, -380.0]);
        let h = seen(&values);
        let whole = choose(&h, Method::MinMax, None);
        assert_eq!(whole.parameters, Parameters::of(-380.0, 400.0));
        for method in [
            Method::Percentile(99.99),
            Method::Entropy,
            Method::Mse,
            Method::Auto,
        ] {
            let cut = choose(&h, method, None);
            assert!(cut.parameters.scale <= whole.parameters.scale, "{method}");
        }
        let p = choose(&h, Method::Percentile(99.9), None);
        let (low, high) = p.parameters.ends();
        // The 0.1 and 99.9 percentiles of a standard normal distribution are 3.09 from its middle.
        assert!(
            (high - 3.09).abs() < 0.3 && (low + 3.09).abs() < 0.3,
            "{low} {high}"
        );
        let loss = |m| choose(&h, m, None).parameters.loss(&h, None).weighed();
        for method in [
            Method::MinMax,
            Method::Mse,
            Method::Entropy,
            Method::Percentile(99.9),
        ] {
            assert!(loss(Method::Auto) <= loss(method), "{method}");
        }
    }

    #[test]
    fn a_bell_keeps_four_deviations() {
        // For 256 levels the mean squared error of a Gaussian is least near four standard deviations.
        let h = seen(&bell(200_000));
        let (low, high) = choose(&h, Method::Mse, None).parameters.ends();
        assert!(
            (3.2..4.9).contains(&high) && (-4.9..-3.2).contains(&low),
            "{low} {high}"
        );
    }

    #[test]
    fn what_a_function_does_not_tell_apart_needs_no_integers() {
        let values: Vec<f32> = bell(50_000).iter().map(|v| v * 4.0).collect();
        let h = seen(&values);
        let (low, high) = h.range();
        let hard_swish = |x: f64| x * ((x + 3.0).clamp(0.0, 6.0) / 6.0);
        let f = Tabulated::new(low.into(), high.into(), hard_swish);
        let plain = choose(&h, Method::Mse, None).parameters;
        let read = choose(&h, Method::Mse, Some(&f)).parameters;
        assert!(plain.ends().0 < -10.0, "{plain:?}");
        assert!((-4.0..-2.5).contains(&read.ends().0), "{read:?}");
        let loss = |p: Parameters| p.loss(&h, Some(&f)).noise;
        assert!(loss(read) < 0.7 * loss(plain));
    }

    #[test]
    fn tensors_of_zeros_have_parameters() {
        let chosen = choose(&seen(&[0.0; 8]), Method::Auto, None);
        assert_eq!((chosen.parameters.scale, chosen.saturated), (1.0, 0.0));
    }
}
