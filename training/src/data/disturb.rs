//! Random variations of sounds and of their features.
use super::Augment;
use crate::random::Random;

/// The level that background has in silence, where the sound's own says nothing.
const QUIET: f32 = 0.01;

fn level(sound: &[f32]) -> f32 {
    let sum: f32 = sound.iter().map(|v| v * v).sum();
    (sum / sound.len().max(1) as f32).sqrt()
}

impl Augment {
    /// Varies a sound: in time, in volume, by background and by noise.
    pub(super) fn disturb(&self, sound: &mut [f32], background: &[Vec<i16>], random: &mut Random) {
        if self.shift > 0.0 {
            let by = random.between(-self.shift, self.shift) * sound.len() as f32;
            shift(sound, by as isize);
        }
        if self.volume > 0.0 {
            let volume = 1.0 + random.between(-self.volume, self.volume);
            sound.iter_mut().for_each(|v| *v *= volume);
        }
        if self.background > 0.0 {
            let wanted = random.between(0.0, self.background) * level(sound).max(QUIET);
            let other = match background {
                [] => coloured(sound.len(), random),
                some => piece(&some[random.below(some.len())], sound.len(), random),
            };
            let factor = wanted / level(&other).max(1e-6);
            sound
                .iter_mut()
                .zip(&other)
                .for_each(|(v, o)| *v += factor * o);
        }
        if self.noise > 0.0 {
            let deviation = random.between(0.0, self.noise);
            sound
                .iter_mut()
                .for_each(|v| *v += deviation * random.normal());
        }
        sound.iter_mut().for_each(|v| *v = v.clamp(-1.0, 1.0));
    }

    /// Adds noise to the numbers of a row, in units of their deviations.
    pub(super) fn blur(&self, row: &mut [f32], random: &mut Random) {
        if self.noise > 0.0 {
            let deviation = random.between(0.0, self.noise);
            row.iter_mut()
                .for_each(|v| *v += deviation * random.normal());
        }
    }

    /// Blanks a piece of time and a band out of features `[frames, width]`, whose means are 0.
    pub(super) fn mask(&self, features: &mut [f32], width: usize, random: &mut Random) {
        let frames = features.len() / width.max(1);
        let mut piece = |share: f32, all: usize| {
            let n = random.below((share * all as f32) as usize + 1);
            let from = random.below(all - n + 1);
            from..from + n
        };
        if self.time_mask > 0.0 {
            let blank = piece(self.time_mask, frames);
            features[blank.start * width..blank.end * width].fill(0.0);
        }
        if self.band_mask > 0.0 {
            let blank = piece(self.band_mask, width);
            for row in features.chunks_exact_mut(width) {
                row[blank.clone()].fill(0.0);
            }
        }
    }
}

/// Moves a sound later by `by` samples (earlier, if below 0); silence fills up.
fn shift(sound: &mut [f32], by: isize) {
    let n = by.unsigned_abs().min(sound.len());
    if by >= 0 {
        sound.rotate_right(n);
        sound[..n].fill(0.0);
    } else {
        sound.rotate_left(n);
        let end = sound.len() - n;
        sound[end..].fill(0.0);
    }
}

/// Noise that has the more low frequencies the nearer its parameter is to 1.
fn coloured(n: usize, random: &mut Random) -> Vec<f32> {
    let memory = random.between(0.0, 0.98);
    let mut last = 0.0;
    (0..n)
        .map(|_| {
            last = memory * last + random.normal();
            last
        })
        .collect()
}

/// `n` samples of a sound from anywhere on; a short sound is repeated.
fn piece(sound: &[i16], n: usize, random: &mut Random) -> Vec<f32> {
    let from = random.below(sound.len());
    let endless = sound.iter().cycle().skip(from);
    endless.take(n).map(|v| f32::from(*v) / 32768.0).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shifts_fill_up_with_silence() {
        for (by, want) in [
            (0, [1.0, 2.0, 3.0]),
            (1, [0.0, 1.0, 2.0]),
            (-2, [3.0, 0.0, 0.0]),
            (9, [0.0; 3]),
        ] {
            let mut sound = [1.0, 2.0, 3.0];
            shift(&mut sound, by);
            assert_eq!(sound, want);
        }
    }

    #[test]
    fn background_keeps_its_level() {
        let augment = Augment {
            background: 0.5,
            ..Augment::default()
        };
        let loud: Vec<f32> = (0..4000).map(|i| (i as f32 * 0.3).sin() * 0.4).collect();
        for background in [vec![], vec![vec![1000i16, -1000, 500]]] {
            let mut most = 0f32;
            for seed in 0..50 {
                let mut sound = loud.clone();
                augment.disturb(&mut sound, &background, &mut Random::new(seed, 0));
                let added: Vec<f32> = sound.iter().zip(&loud).map(|(a, b)| a - b).collect();
                most = most.max(level(&added) / level(&loud));
            }
            assert!((0.4..=0.51).contains(&most), "{most}");
        }
    }

    #[test]
    fn masks_are_no_larger_than_asked() {
        let augment = Augment {
            time_mask: 0.3,
            band_mask: 0.25,
            ..Augment::default()
        };
        let mut seen = [0; 2];
        for seed in 0..200 {
            let mut features = vec![1.0; 20 * 8];
            augment.mask(&mut features, 8, &mut Random::new(seed, 1));
            let rows = features.chunks(8).filter(|r| r.iter().all(|v| *v == 0.0));
            let rows = rows.count();
            let columns = (0..8).filter(|c| features.iter().skip(*c).step_by(8).all(|v| *v == 0.0));
            let columns = columns.count();
            assert!(rows <= 6 && columns <= 2, "{rows} {columns}");
            seen = [seen[0].max(rows), seen[1].max(columns)];
        }
        assert_eq!(seen, [6, 2]);
    }
}
