//! Blends of the samples of a batch: mixup and CutMix.
use super::Augment;
use crate::random::Random;

impl Augment {
    /// Whether samples of a batch are blended.
    pub(crate) fn mixes(&self) -> bool {
        self.mixup > 0.0 || self.cutmix > 0.0
    }

    /// Blends samples `[height, width, channels]` with their mirror image in the batch, and their targets alike.
    pub(super) fn mix(
        &self,
        values: &mut [f32],
        [h, w, c]: [usize; 3],
        targets: &mut [f32],
        classes: usize,
        random: &mut Random,
    ) {
        if !self.mixes() {
            return;
        }
        let cuts = self.cutmix > 0.0 && (self.mixup <= 0.0 || random.chance(0.5));
        if !cuts {
            let share = beta(self.mixup, random);
            blend(values, h * w * c, share);
            blend(targets, classes, share);
            return;
        }
        let side = (1.0 - beta(self.cutmix, random)).sqrt();
        let [high, wide] = [h, w].map(|n| ((side * n as f32).round() as usize).min(n));
        let (top, left) = (random.below(h - high + 1), random.below(w - wide + 1));
        pairs(values, h * w * c, |a, b| {
            for y in top..top + high {
                let row = (y * w + left) * c..(y * w + left + wide) * c;
                a[row.clone()].swap_with_slice(&mut b[row]);
            }
        });
        let share = 1.0 - (high * wide) as f32 / (h * w) as f32;
        blend(targets, classes, share);
    }
}

/// Leaves of each of the [`pairs`] a share in its place and puts the rest into the other's.
fn blend(all: &mut [f32], width: usize, share: f32) {
    pairs(all, width, |a, b| {
        for (a, b) in a.iter_mut().zip(b) {
            (*a, *b) = (
                *a * share + *b * (1.0 - share),
                *b * share + *a * (1.0 - share),
            );
        }
    });
}

/// Calls `with` for the first row and the last, the second and the last but one, and so on.
fn pairs(all: &mut [f32], width: usize, mut with: impl FnMut(&mut [f32], &mut [f32])) {
    let n = all.len() / width.max(1);
    for i in 0..n / 2 {
        let (front, back) = all.split_at_mut((n - 1 - i) * width);
        with(&mut front[i * width..(i + 1) * width], &mut back[..width]);
    }
}

/// A number of the symmetric beta distribution, by Jöhnk's method (1964).
fn beta(parameter: f32, random: &mut Random) -> f32 {
    for _ in 0..1000 {
        let [a, b] = [(); 2].map(|()| random.uniform().powf(1.0 / parameter));
        if a + b > 0.0 && a + b <= 1.0 {
            return a / (a + b);
        }
    }
    0.5
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mixup_keeps_sums_of_targets() {
        let augment = Augment {
            mixup: 0.4,
            ..Augment::default()
        };
        let mut values = vec![0.0, 0.0, 1.0, 1.0, 0.5, 0.5];
        let mut targets = vec![1.0, 0.0, 0.0, 1.0, 1.0, 0.0];
        let mut random = Random::new(3, 0);
        augment.mix(&mut values, [1, 2, 1], &mut targets, 2, &mut random);
        for row in targets.chunks_exact(2) {
            assert!((row[0] + row[1] - 1.0).abs() < 1e-6);
        }
        assert!(values[0] > 0.0 && values[0] < 1.0 && values[2] == 1.0);
    }

    #[test]
    fn cutmix_counts_pixels_by_their_source() {
        let augment = Augment {
            cutmix: 1.0,
            ..Augment::default()
        };
        let mut partly = 0;
        for seed in 0..50 {
            // A black picture of class 0 and a white one of class 1.
            let mut values = vec![0.0; 2 * 8 * 6 * 3];
            values[8 * 6 * 3..].fill(1.0);
            let mut targets = vec![1.0, 0.0, 0.0, 1.0];
            let mut random = Random::new(seed, 0);
            augment.mix(&mut values, [8, 6, 3], &mut targets, 2, &mut random);
            let white: f32 = values[..8 * 6 * 3].iter().sum::<f32>() / (8.0 * 6.0 * 3.0);
            assert!((targets[1] - white).abs() < 1e-5, "{targets:?} {white}");
            assert!((targets[0] + white - 1.0).abs() < 1e-5 && (targets[2] - white).abs() < 1e-5);
            assert!(values.iter().all(|v| *v == 0.0 || *v == 1.0));
            partly += usize::from(white > 0.0 && white < 1.0);
        }
        assert!(partly > 25, "{partly}");
    }
}
