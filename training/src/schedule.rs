//! The learning rate over a run.
use serde::{Deserialize, Serialize};
use std::f32::consts::PI;

/// What the rate does after it has risen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Schedule {
    /// It falls to nothing as half a cosine (Loshchilov and Hutter, 2017).
    #[default]
    Cosine,
    /// It rises as half a cosine for three tenths of the steps, from a twenty-fifth, then falls so to nothing; `warmup` is left
    /// aside (Smith and Topin, 2018).
    OneCycle,
    /// It stays.
    Constant,
}

/// Share of the steps in which the rate of [`Schedule::OneCycle`] rises.
const RISE: f32 = 0.3;
/// Its first rate, as a share.
const FIRST: f32 = 1.0 / 25.0;

impl Schedule {
    /// The share of the largest rate at step `step` of `steps`, of which a share `warmup` are to rise in.
    pub fn share(self, warmup: f32, step: usize, steps: usize) -> f32 {
        let (at, all) = (step as f32, steps as f32);
        let cosine = |along: f32| 0.5 * (1.0 + (PI * along.clamp(0.0, 1.0)).cos());
        if self == Self::OneCycle {
            let top = (RISE * all).max(1.0);
            if at < top {
                return 1.0 - (1.0 - FIRST) * cosine(at / top);
            }
            return cosine((at - top) / (all - top).max(1.0));
        }
        let warm = (warmup * all).max(1.0);
        if at < warm {
            return (at + 1.0) / warm;
        }
        match self {
            Self::Constant => 1.0,
            _ => cosine((at - warm) / (all - warm).max(1.0)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_rise_and_fall() {
        let of = |s: Schedule| (0..100).map(move |i| s.share(0.1, i, 100));
        for s in [Schedule::Cosine, Schedule::OneCycle, Schedule::Constant] {
            let most = of(s).fold(0.0, f32::max);
            assert!((most - 1.0).abs() < 1e-6, "{s:?} {most}");
            assert!(of(s).all(|v| (0.0..=1.0).contains(&v)));
        }
        assert_eq!(Schedule::Cosine.share(0.1, 4, 100), 0.5);
        assert!((Schedule::Cosine.share(0.1, 55, 100) - 0.5).abs() < 1e-6);
        assert_eq!(Schedule::Constant.share(0.1, 99, 100), 1.0);
        assert!((Schedule::OneCycle.share(0.1, 0, 100) - FIRST).abs() < 1e-6);
        assert!((Schedule::OneCycle.share(0.1, 65, 100) - 0.5).abs() < 1e-6);
        assert!(Schedule::OneCycle.share(0.1, 99, 100) < 0.01);
    }
}
