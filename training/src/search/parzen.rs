//! Tree-structured Parzen estimators (Bergstra, Bardenet, Bengio and Kégl, "Algorithms for Hyper-Parameter Optimization",
//! 2011): values are likely where the better trials had theirs and the others had not.
use super::space::{Parameter, Range};
use crate::random::Random;

/// One of so many trials is among the better ones.
const BETTER: usize = 10;
/// No fewer trials are among them,
const FEWEST_BETTER: usize = 2;
/// and no more.
const MOST_BETTER: usize = 25;
/// The least width of a distribution is the range's over this and the number of trials.
const NARROW: f64 = 2.0;
/// Values that are drawn, of which the best is taken.
const DRAWN: usize = 24;

/// Coordinates of the next trial, where those of earlier ones are given, best first. What nothing is known of is drawn at
/// random.
pub fn propose(parameters: &[Parameter], ranked: &[Vec<f64>], random: &mut Random) -> Vec<f64> {
    let better = ranked
        .len()
        .div_ceil(BETTER)
        .clamp(FEWEST_BETTER, MOST_BETTER);
    let better = better.min(ranked.len());
    let one = |(k, p): (usize, &Parameter)| {
        if ranked.len() <= FEWEST_BETTER {
            return p.range.draw(random);
        }
        let of = |trials: &[Vec<f64>]| -> Vec<f64> { trials.iter().map(|t| t[k]).collect() };
        let (good, bad) = ranked.split_at(better);
        let good = Density::new(&p.range, of(good));
        let bad = Density::new(&p.range, of(bad));
        let gain = |at: f64| good.at(at).ln() - bad.at(at).ln();
        let mut best = (f64::NEG_INFINITY, 0.0);
        for _ in 0..DRAWN {
            let at = good.draw(random);
            if gain(at) > best.0 {
                best = (gain(at), at);
            }
        }
        best.1
    };
    parameters.iter().enumerate().map(one).collect()
}

/// How likely coordinates are.
enum Density {
    /// Shares of choices.
    Choices(Vec<f64>),
    /// A mixture of equal normal distributions, cut at the bounds: mean, deviation and share inside of each.
    Normals {
        parts: Vec<(f64, f64, f64)>,
        bounds: (f64, f64),
    },
}

impl Density {
    /// Of the coordinates of some trials, and of one more, that knows nothing.
    fn new(range: &Range, mut seen: Vec<f64>) -> Self {
        let bounds = range.bounds();
        if let Range::Choices(list) = range {
            let all = (seen.len() + list.len()) as f64;
            let count = |k: usize| seen.iter().filter(|v| **v == k as f64).count();
            let shares = (0..list.len()).map(|k| (count(k) + 1) as f64 / all);
            return Self::Choices(shares.collect());
        }
        let (low, high) = bounds;
        let width = high - low;
        seen.sort_by(f64::total_cmp);
        // As wide as the way to the farther neighbour, within reason: the bounds are no neighbours of what has others, for
        // what is good at an end would be spread over half of the range.
        let least = width / (NARROW * (seen.len() as f64 + 1.0)).min(100.0);
        let alone = seen.len() == 1;
        let mut parts = vec![(low + width / 2.0, width)];
        for (i, &at) in seen.iter().enumerate() {
            let before = match i {
                0 if alone => low,
                0 => at,
                _ => seen[i - 1],
            };
            let behind = seen.get(i + 1).copied();
            let behind = behind.unwrap_or(if alone { high } else { at });
            let deviation = (at - before).max(behind - at).clamp(least, width);
            parts.push((at, deviation));
        }
        let inside = |(mean, deviation): (f64, f64)| {
            let below = |v: f64| 0.5 * (1.0 + libm::erf((v - mean) / (deviation * 2f64.sqrt())));
            (mean, deviation, below(high) - below(low))
        };
        Self::Normals {
            parts: parts.into_iter().map(inside).collect(),
            bounds,
        }
    }

    fn draw(&self, random: &mut Random) -> f64 {
        match self {
            Self::Choices(shares) => {
                let mut left = f64::from(random.uniform());
                for (k, share) in shares.iter().enumerate() {
                    left -= share;
                    if left < 0.0 {
                        return k as f64;
                    }
                }
                (shares.len() - 1) as f64
            }
            Self::Normals { parts, bounds } => {
                let (mean, deviation, _) = parts[random.below(parts.len())];
                for _ in 0..100 {
                    let at = mean + deviation * f64::from(random.normal());
                    if (bounds.0..=bounds.1).contains(&at) {
                        return at;
                    }
                }
                mean.clamp(bounds.0, bounds.1)
            }
        }
    }

    fn at(&self, at: f64) -> f64 {
        match self {
            Self::Choices(shares) => shares.get(at as usize).copied().unwrap_or(0.0),
            Self::Normals { parts, .. } => {
                let one = |(mean, deviation, inside): &(f64, f64, f64)| {
                    let z = (at - mean) / deviation;
                    (-0.5 * z * z).exp() / (deviation * inside * std::f64::consts::TAU.sqrt())
                };
                parts.iter().map(one).sum::<f64>() / parts.len() as f64
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::search::Sweep;

    fn space() -> Vec<Parameter> {
        let text = "[space]\n'a' = { low = 1e-4, high = 1.0, log = true }\n'b' = { low = 0, high = 20 }\n'c' = ['x', 'y', 'z']\n";
        let sweep: Sweep = toml::from_str(text).unwrap();
        sweep.parameters().unwrap()
    }

    /// Least at a = 0.01, b = 7, c = 'y'.
    fn loss(at: &[f64]) -> f64 {
        (at[0] - 0.01f64.ln()).powi(2) / 4.0
            + (at[1] - 7.0).powi(2) / 30.0
            + if at[2] == 1.0 { 0.0 } else { 1.0 }
    }

    /// The least loss of a search of so many trials.
    fn search(trials: usize, learns: bool, seed: u64) -> f64 {
        let space = space();
        let mut seen: Vec<(f64, Vec<f64>)> = Vec::new();
        for i in 0..trials {
            let ranked: Vec<Vec<f64>> = match learns && i >= 8 {
                true => seen.iter().map(|s| s.1.clone()).collect(),
                false => Vec::new(),
            };
            let at = propose(&space, &ranked, &mut Random::new(seed, i as u64));
            seen.push((loss(&at), at));
            seen.sort_by(|a, b| a.0.total_cmp(&b.0));
        }
        seen[0].0
    }

    #[test]
    fn it_finds_better_values_than_chance() {
        let mean = |learns: bool| (0..20).map(|s| search(40, learns, s)).sum::<f64>() / 20.0;
        let (random, learnt) = (mean(false), mean(true));
        assert!(
            learnt < 0.5 * random,
            "{learnt} by learning, {random} at random"
        );
    }

    #[test]
    fn densities_add_up_to_one() {
        let space = space();
        let (low, high) = space[0].range.bounds();
        let density = Density::new(&space[0].range, vec![low, -3.0, -2.9, high]);
        let n = 20_000;
        let width = (high - low) / f64::from(n);
        let sum: f64 = (0..n)
            .map(|i| density.at(low + (f64::from(i) + 0.5) * width) * width)
            .sum();
        assert!((sum - 1.0).abs() < 1e-3, "{sum}");
        let choices = Density::new(&space[2].range, vec![1.0, 1.0]);
        let shares: Vec<f64> = (0..3).map(|k| choices.at(f64::from(k))).collect();
        assert_eq!(shares, [0.2, 0.6, 0.2]);
    }

    #[test]
    fn the_seed_decides() {
        let ranked = vec![
            vec![-4.0, 5.0, 1.0],
            vec![-2.0, 6.0, 0.0],
            vec![-1.0, 15.0, 2.0],
        ];
        let draw = |seed| propose(&space(), &ranked, &mut Random::new(seed, 0));
        assert_eq!(draw(1), draw(1));
        assert_ne!(draw(1), draw(2));
    }
}
