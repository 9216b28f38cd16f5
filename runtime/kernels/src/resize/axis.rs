//! One axis of a resize: where an output coordinate reads the input, and with which weights.
use super::Resize;
use cygnet_format::op::{CoordinateMode, NearestMode, ResizeMode};

/// Taps kept for the present coordinate; wider filters compute theirs anew.
pub(super) const CACHED: usize = 4;

#[derive(Clone, Copy)]
pub(super) struct Axis {
    from: usize,
    pub to: usize,
    pub stride: usize,
    pub identity: bool,
    scale: f64,
    /// Length of the output before it was rounded to an integer.
    length: f64,
    start: f64,
    end: f64,
    mode: ResizeMode,
    coordinates: CoordinateMode,
    nearest: NearestMode,
    a: f64,
    exclude: bool,
    antialias: bool,
    /// Present output coordinate.
    pub at: usize,
    /// `tf_crop_and_resize` reads outside the input here.
    pub outside: bool,
    pub taps: [(usize, f64); CACHED],
    pub count: usize,
    base: f64,
    ratio: f64,
    sum: f64,
}

impl Default for Axis {
    fn default() -> Self {
        Axis {
            from: 1,
            to: 1,
            stride: 0,
            identity: true,
            scale: 1.0,
            length: 1.0,
            start: 0.0,
            end: 1.0,
            mode: ResizeMode::Nearest,
            coordinates: CoordinateMode::HalfPixel,
            nearest: NearestMode::Floor,
            a: -0.75,
            exclude: false,
            antialias: false,
            at: 0,
            outside: false,
            taps: [(0, 1.0); CACHED],
            count: 1,
            base: 0.0,
            ratio: 1.0,
            sum: 1.0,
        }
    }
}

impl Axis {
    pub fn new(p: &Resize<'_>, from: usize, to: usize, scale: f32, start: f32, end: f32) -> Self {
        let given = scale != 0.0;
        let ratio = if given {
            f64::from(scale)
        } else {
            to as f64 / from.max(1) as f64
        };
        Axis {
            from,
            to,
            scale: ratio,
            length: if given {
                f64::from(scale * from as f32)
            } else {
                to as f64
            },
            start: f64::from(start),
            end: f64::from(end),
            mode: p.mode,
            coordinates: p.coordinates,
            nearest: p.nearest,
            a: f64::from(p.cubic_a),
            exclude: p.exclude_outside,
            antialias: p.antialias,
            ..Axis::default()
        }
    }

    /// Input coordinate of output coordinate `x`; none outside the region.
    fn original(&self, x: f64) -> Option<f64> {
        let n = self.from as f64;
        // Quotients are single precision: 2 / 0.8 must tie at 2.5, which the widened 0.8 misses.
        let quotient = |v: f64| f64::from((v / self.scale) as f32);
        Some(match self.coordinates {
            CoordinateMode::AlignCorners => {
                if self.length == 1.0 {
                    0.0
                } else {
                    x * (n - 1.0) / (self.length - 1.0)
                }
            }
            CoordinateMode::Asymmetric => quotient(x),
            CoordinateMode::TfCropAndResize => {
                let span = (self.end - self.start) * (n - 1.0);
                let at = if self.length == 1.0 {
                    span / 2.0
                } else {
                    x * span / (self.length - 1.0)
                };
                let at = at + self.start * (n - 1.0);
                if at < 0.0 || at > n - 1.0 {
                    return None;
                }
                at
            }
            CoordinateMode::PytorchHalfPixel if self.length == 1.0 => -0.5,
            CoordinateMode::PytorchHalfPixel | CoordinateMode::HalfPixel => quotient(x + 0.5) - 0.5,
            CoordinateMode::HalfPixelSymmetric => {
                let offset = n / 2.0 * (1.0 - self.to as f64 / self.length);
                offset + quotient(x + 0.5) - 0.5
            }
            CoordinateMode::TfHalfPixelForNn => quotient(x + 0.5),
        })
    }

    fn shrink(&self) -> f64 {
        if self.antialias {
            self.scale.min(1.0)
        } else {
            1.0
        }
    }

    /// Weight of the tap `k` away from the element left of the coordinate.
    fn weight(&self, k: f64) -> f64 {
        let d = ((k - self.ratio) * self.shrink()).abs();
        let a = self.a;
        match self.mode {
            ResizeMode::Cubic if d <= 1.0 => ((a + 2.0) * d - (a + 3.0)) * d * d + 1.0,
            ResizeMode::Cubic if d < 2.0 => ((a * d - 5.0 * a) * d + 8.0 * a) * d - 4.0 * a,
            ResizeMode::Cubic => 0.0,
            _ => (1.0 - d).max(0.0),
        }
    }

    /// First tap, counted from the element left of the coordinate.
    fn first(&self) -> f64 {
        let support = if self.mode == ResizeMode::Cubic {
            2.0
        } else {
            1.0
        };
        libm::floor(-support / self.shrink()) + 1.0
    }

    fn clamp(&self, i: f64) -> usize {
        i.clamp(0.0, (self.from.max(1) - 1) as f64) as usize
    }

    fn raw_taps(&self, f: &mut dyn FnMut(usize, f64)) {
        let first = self.first();
        for k in 0..self.count {
            let k = first + k as f64;
            let i = self.base + k;
            let inside = i >= 0.0 && i < self.from as f64;
            f(
                self.clamp(i),
                if self.exclude && !inside {
                    0.0
                } else {
                    self.weight(k)
                },
            );
        }
    }

    /// Calls `f(index, weight)` for the taps of the present coordinate.
    pub fn each_tap(&self, f: &mut dyn FnMut(usize, f64)) {
        self.raw_taps(&mut |i, w| f(i, w / self.sum));
    }

    pub fn move_to(&mut self, at: usize) {
        self.at = at;
        if self.identity {
            self.taps[0] = (at, 1.0);
            self.count = 1;
            return;
        }
        let Some(x) = self.original(at as f64) else {
            self.outside = true;
            return;
        };
        self.outside = false;
        // The ratio lies in (0, 1]: an integer coordinate is the right neighbour.
        self.base = libm::ceil(x) - 1.0;
        self.ratio = x - self.base;
        if self.mode == ResizeMode::Nearest {
            let right = self.ratio == 1.0
                || match self.nearest {
                    NearestMode::RoundPreferFloor => self.ratio > 0.5,
                    NearestMode::RoundPreferCeil => self.ratio >= 0.5,
                    NearestMode::Floor => false,
                    NearestMode::Ceil => true,
                };
            self.taps[0] = (self.clamp(self.base + f64::from(u8::from(right))), 1.0);
            self.count = 1;
            return;
        }
        self.count = (2.0 - 2.0 * self.first()) as usize;
        self.sum = 1.0;
        if self.exclude || self.antialias {
            let mut sum = 0.0;
            self.raw_taps(&mut |_, w| sum += w);
            if sum != 0.0 {
                self.sum = sum;
            }
        }
        if self.count <= CACHED {
            let (mut taps, mut n) = ([(0, 0.0); CACHED], 0);
            self.each_tap(&mut |i, w| {
                taps[n] = (i, w);
                n += 1;
            });
            self.taps = taps;
        }
    }
}
