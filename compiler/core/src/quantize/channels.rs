//! How far the channels of a tensor reach: one scale for all serves those best that reach as far as the others.

use serde::{Deserialize, Serialize};

/// Most magnitudes of a record.
const RECORDED: usize = 64;

/// The largest magnitudes of the channels of a tensor.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Channels {
    /// Channels.
    pub count: usize,
    /// The median of the largest magnitudes, channels of nothing but zeros left out.
    pub median: f32,
    /// The largest magnitude of all.
    pub largest: f32,
    /// The channel that has it.
    pub at: usize,
    /// The magnitudes in order. Of more than 64 channels each is the largest of as many neighbours as leave at most 64.
    pub magnitudes: Vec<f32>,
}

impl Channels {
    /// The record of the largest magnitudes of channels; `None` when there is nothing but zeros.
    pub fn of(largest: &[f32]) -> Option<Channels> {
        let mut sorted: Vec<f32> = largest.iter().copied().filter(|m| *m > 0.0).collect();
        sorted.sort_by(f32::total_cmp);
        let top = *sorted.last()?;
        let at = largest.iter().position(|m| *m == top)?;
        let neighbours = largest.len().div_ceil(RECORDED);
        let of = |some: &[f32]| some.iter().copied().fold(0.0, f32::max);
        Some(Channels {
            count: largest.len(),
            median: sorted[sorted.len() / 2],
            largest: top,
            at,
            magnitudes: largest.chunks(neighbours).map(of).collect(),
        })
    }

    /// How much further the largest channel reaches than the median one.
    pub fn spread(&self) -> f64 {
        f64::from(self.largest) / f64::from(self.median).max(f64::MIN_POSITIVE)
    }
}

/// How far the greatest weight of an output channel is above the median of those that are not zero, the median over
/// channels. `channel` tells the output channel of a weight, of which there are `outputs`.
pub(super) fn tail(weights: &[f32], channel: impl Fn(usize) -> usize, outputs: usize) -> f64 {
    let mut of: Vec<Vec<f32>> = vec![Vec::new(); outputs];
    for (i, w) in weights.iter().enumerate().filter(|(_, w)| **w != 0.0) {
        of[channel(i)].push(w.abs());
    }
    let mut ratios: Vec<f64> = of
        .iter_mut()
        .filter(|c| !c.is_empty())
        .map(|c| {
            c.sort_by(f32::total_cmp);
            f64::from(c[c.len() - 1]) / f64::from(c[c.len() / 2])
        })
        .collect();
    ratios.sort_by(f64::total_cmp);
    ratios.get(ratios.len() / 2).copied().unwrap_or(1.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_largest_channel_is_found() {
        let c = Channels::of(&[1.0, 0.0, 2.0, 40.0, 4.0]).unwrap();
        assert_eq!((c.count, c.median, c.largest, c.at), (5, 4.0, 40.0, 3));
        assert_eq!(c.spread(), 10.0);
        assert_eq!(Channels::of(&[0.0, 0.0]), None);
    }

    #[test]
    fn many_channels_are_told_by_neighbours() {
        let all: Vec<f32> = (1..=1000).map(|i| i as f32).collect();
        let c = Channels::of(&all).unwrap();
        assert_eq!((c.count, c.at, c.magnitudes.len()), (1000, 999, 63));
        assert_eq!((c.magnitudes[0], c.magnitudes[62]), (16.0, 1000.0));
    }

    #[test]
    fn tails_are_those_within_channels() {
        // Two channels, one a hundred times the other: neither has a tail.
        let weights = [1.0, 100.0, -1.0, 100.0, 1.0, -100.0, 0.0, 0.0];
        assert_eq!(tail(&weights, |i| i % 2, 2), 1.0);
        let weights = [1.0, -1.0, 1.0, 50.0];
        assert_eq!(tail(&weights, |_| 0, 1), 50.0);
        assert_eq!(tail(&[0.0], |_| 0, 1), 1.0);
    }
}
