//! Random variations of pictures, and how much samples are varied at all.
use crate::random::Random;
use serde::{Deserialize, Serialize};

/// How much samples are varied. All zero: not at all.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Augment {
    /// Whether pictures are mirrored, half of them.
    pub flip: bool,
    /// Largest shift, as a share of the sides, or of a sound's length.
    pub shift: f32,
    /// Largest turn, in degrees.
    pub rotate: f32,
    /// Largest change of size, as a share.
    pub scale: f32,
    /// Largest slant, as a share of the height.
    pub shear: f32,
    /// Largest change of contrast and brightness, as a share.
    pub colour: f32,
    /// Largest standard deviation of noise, of a range of 1.
    pub noise: f32,
    /// Side of a square that is greyed out (cutout), as a share of the sides.
    pub erase: f32,
    /// Parameter of mixup's beta distribution (Zhang et al., 2018); 0 mixes nothing.
    pub mixup: f32,
    /// Parameter of the beta distribution of the share that a rectangle of another picture takes (CutMix; Yun et al., 2019);
    /// 0 cuts nothing. With mixup as well, a batch has one of them.
    pub cutmix: f32,
    /// Largest change of a sound's volume, as a share.
    pub volume: f32,
    /// Largest level of background in a sound, as a share of the sound's own: the project's background sounds, or noise.
    pub background: f32,
    /// Longest time that is blanked out of a sound's features, as a share (SpecAugment; Park et al., 2019).
    pub time_mask: f32,
    /// Widest band that is blanked out of a sound's features, as a share.
    pub band_mask: f32,
}

/// What samples are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Pictures.
    Pictures,
    /// Sounds.
    Sounds,
    /// Rows of a table.
    Rows,
}

impl Augment {
    /// What is wrong with the numbers, if anything.
    pub fn mistake(&self) -> Option<String> {
        for (name, value, most) in [
            ("shift", self.shift, 0.5),
            ("rotate", self.rotate, 180.0),
            ("scale", self.scale, 0.9),
            ("shear", self.shear, 1.0),
            ("colour", self.colour, 1.0),
            ("noise", self.noise, 1.0),
            ("erase", self.erase, 1.0),
            ("mixup", self.mixup, 10.0),
            ("cutmix", self.cutmix, 10.0),
            ("volume", self.volume, 1.0),
            ("background", self.background, 10.0),
            ("time_mask", self.time_mask, 1.0),
            ("band_mask", self.band_mask, 1.0),
        ] {
            if !(0.0..=most).contains(&value) {
                return Some(format!("{name} = {value}: it lies between 0 and {most}"));
            }
        }
        None
    }

    /// A variation that is asked for and that samples of this kind do not have.
    pub fn foreign(&self, kind: Kind) -> Option<&'static str> {
        let pictures = [
            ("flip", f32::from(u8::from(self.flip))),
            ("rotate", self.rotate),
            ("scale", self.scale),
            ("shear", self.shear),
            ("colour", self.colour),
            ("erase", self.erase),
            ("cutmix", self.cutmix),
        ];
        let sounds = [
            ("volume", self.volume),
            ("background", self.background),
            ("time_mask", self.time_mask),
            ("band_mask", self.band_mask),
        ];
        let shift = [("shift", self.shift)];
        let others: &[&[(&'static str, f32)]] = match kind {
            Kind::Pictures => &[&sounds],
            Kind::Sounds => &[&pictures],
            Kind::Rows => &[&pictures, &sounds, &shift],
        };
        let mut others = others.iter().flat_map(|o| o.iter());
        others.find(|o| o.1 > 0.0).map(|o| o.0)
    }

    fn moves(&self) -> bool {
        self.shift > 0.0 || self.rotate > 0.0 || self.scale > 0.0 || self.shear > 0.0
    }

    /// Writes a variation of `picture` (`[height, width, channels]`, from 0 to 1).
    pub fn apply(&self, picture: &[f32], shape: [usize; 3], random: &mut Random, out: &mut [f32]) {
        let [h, w, c] = shape;
        let flip = self.flip && random.chance(0.5);
        if self.moves() {
            let turn = random.between(-self.rotate, self.rotate).to_radians();
            let [wide, high] = [(); 2].map(|()| 1.0 + random.between(-self.scale, self.scale));
            let slant = random.between(-self.shear, self.shear);
            let dx = random.between(-self.shift, self.shift) * w as f32;
            let dy = random.between(-self.shift, self.shift) * h as f32;
            let (sin, cos) = turn.sin_cos();
            let (cx, cy) = ((w as f32 - 1.0) / 2.0, (h as f32 - 1.0) / 2.0);
            for y in 0..h {
                for x in 0..w {
                    let (u, v) = (x as f32 - cx - dx, y as f32 - cy - dy);
                    let (u, v) = (u * cos + v * sin + v * slant, v * cos - u * sin);
                    let at = (u / wide + cx, v / high + cy);
                    let pixel = &mut out[(y * w + x) * c..][..c];
                    interpolate(picture, shape, at, pixel);
                }
            }
        } else {
            out.copy_from_slice(picture);
        }
        if flip {
            for row in out.chunks_exact_mut(w * c) {
                for x in 0..w / 2 {
                    for i in 0..c {
                        row.swap(x * c + i, (w - 1 - x) * c + i);
                    }
                }
            }
        }
        if self.colour > 0.0 {
            let contrast = 1.0 + random.between(-self.colour, self.colour);
            let brightness = random.between(-self.colour, self.colour) / 2.0;
            for v in out.iter_mut() {
                *v = ((*v - 0.5) * contrast + 0.5 + brightness).clamp(0.0, 1.0);
            }
        }
        if self.noise > 0.0 {
            let deviation = random.between(0.0, self.noise);
            for v in out.iter_mut() {
                *v = (*v + deviation * random.normal()).clamp(0.0, 1.0);
            }
        }
        if self.erase > 0.0 {
            let side = |n: usize| (self.erase * n as f32) as usize;
            let (high, wide) = (side(h).min(h), side(w).min(w));
            let (top, left) = (random.below(h - high + 1), random.below(w - wide + 1));
            for row in out.chunks_exact_mut(w * c).skip(top).take(high) {
                row[left * c..(left + wide) * c].fill(0.5);
            }
        }
    }
}

/// The picture at a point between pixels; black outside.
fn interpolate(picture: &[f32], [h, w, c]: [usize; 3], (x, y): (f32, f32), out: &mut [f32]) {
    out.fill(0.0);
    let (left, top) = (x.floor(), y.floor());
    let (fx, fy) = (x - left, y - top);
    for (dy, wy) in [(0, 1.0 - fy), (1, fy)] {
        for (dx, wx) in [(0, 1.0 - fx), (1, fx)] {
            let (px, py) = (left as i64 + dx, top as i64 + dy);
            if px < 0 || py < 0 || px >= w as i64 || py >= h as i64 {
                continue;
            }
            let pixel = &picture[(py as usize * w + px as usize) * c..][..c];
            for (o, v) in out.iter_mut().zip(pixel) {
                *o += wx * wy * v;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn picture() -> Vec<f32> {
        let byte = |i: usize| (i * 37 % 256) as f32 / 255.0;
        (0..5 * 6 * 3).map(byte).collect()
    }

    #[test]
    fn nothing_asked_nothing_changed() {
        let mut out = vec![9.0; 90];
        let mut random = Random::new(1, 0);
        Augment::default().apply(&picture(), [5, 6, 3], &mut random, &mut out);
        assert_eq!(out, picture());
    }

    #[test]
    fn mirrors_half_of_the_pictures() {
        let augment = Augment {
            flip: true,
            ..Augment::default()
        };
        let source = picture();
        let mut mirrored = 0;
        for seed in 0..200 {
            let mut out = vec![0.0; 90];
            augment.apply(&source, [5, 6, 3], &mut Random::new(seed, 0), &mut out);
            let first = source[0];
            if out[0] != first {
                assert_eq!(out[15], first);
                mirrored += 1;
            }
        }
        assert!((70..130).contains(&mirrored), "{mirrored}");
    }

    #[test]
    fn every_variation_stays_in_range_and_repeats() {
        let augment = Augment {
            flip: true,
            shift: 0.2,
            rotate: 30.0,
            scale: 0.3,
            shear: 0.2,
            colour: 0.5,
            noise: 0.1,
            erase: 0.4,
            ..Augment::default()
        };
        let vary = |seed| {
            let mut out = vec![0.0; 90];
            augment.apply(&picture(), [5, 6, 3], &mut Random::new(seed, 3), &mut out);
            out
        };
        assert_eq!(vary(4), vary(4));
        assert_ne!(vary(4), vary(5));
        assert!(vary(4).iter().all(|v| (0.0..=1.0).contains(v)));
    }

    #[test]
    fn mistakes_are_named() {
        let augment = Augment {
            shift: 2.0,
            ..Augment::default()
        };
        assert_eq!(
            augment.mistake().unwrap(),
            "shift = 2: it lies between 0 and 0.5"
        );
    }
}
