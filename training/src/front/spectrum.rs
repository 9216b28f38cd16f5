//! Log-mel and MFCC features (Davis and Mermelstein, 1980): frames under a Hann window, their power spectra, sums of it
//! under triangles that are evenly spaced in mel, logarithms, and for MFCC a discrete cosine transform.
use crate::data::Samples;
use cygnet_kernels::signal;
use rayon::prelude::*;
use serde::{Deserialize, Serialize};
use std::f64::consts::PI;

/// Added to powers before the logarithm; a sine as loud as can be has about 1.
pub(crate) const FLOOR: f32 = 1e-6;
/// Longest frame, and the largest prime factor of its length, of which spectra are fast.
const LONGEST: usize = 2048;
const LARGEST_FACTOR: usize = 31;
/// Samples that means and deviations are taken of, at most.
const LEARN: usize = 2000;
/// Deviations below are none.
const LEAST_DEVIATION: f64 = 1e-3;

/// What features are made of.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// Logarithms of the powers in mel bands.
    #[default]
    LogMel,
    /// The first coefficients of their cosine transform.
    Mfcc,
}

/// How features are made of a sound.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Features {
    /// `log-mel` or `mfcc`.
    pub kind: Kind,
    /// Seconds of a frame.
    pub window: f32,
    /// Seconds from frame to frame.
    pub hop: f32,
    /// Mel bands.
    pub bands: usize,
    /// Coefficients of `mfcc`.
    pub coefficients: usize,
    /// Lowest frequency in Hz.
    pub low: f32,
    /// Highest frequency in Hz.
    pub high: f32,
}

impl Default for Features {
    fn default() -> Self {
        Self {
            kind: Kind::LogMel,
            window: 0.04,
            hop: 0.02,
            bands: 40,
            coefficients: 10,
            low: 20.0,
            high: 4000.0,
        }
    }
}

/// A front end for sounds of one rate and length.
#[derive(Clone, Debug, PartialEq)]
pub struct Spectrum {
    pub(crate) length: usize,
    pub(crate) frame: usize,
    pub(crate) step: usize,
    frames: usize,
    pub(crate) bands: usize,
    /// By sample of a frame.
    pub(crate) window: Vec<f32>,
    /// Of the triangles: bin, band, weight.
    weights: Vec<(u32, u32, f32)>,
    /// `[bands][coefficients]`; empty for log-mel.
    pub(crate) cosines: Vec<f32>,
    /// Mean by feature, of the samples to learn from.
    pub(crate) mean: Vec<f32>,
    /// One over the standard deviation.
    pub(crate) scale: Vec<f32>,
}

fn mel(hz: f64) -> f64 {
    2595.0 * (1.0 + hz / 700.0).log10()
}

fn hz(mel: f64) -> f64 {
    700.0 * (10f64.powf(mel / 2595.0) - 1.0)
}

fn largest_factor(mut n: usize) -> usize {
    let (mut factor, mut largest) = (2, 1);
    while n > 1 {
        while n.is_multiple_of(factor) {
            n /= factor;
            largest = factor;
        }
        factor += 1;
    }
    largest
}

impl Spectrum {
    /// The front end for sounds of `length` samples at `rate` a second.
    ///
    /// # Errors
    /// What is wrong with the settings, and which ones would do.
    pub fn new(f: &Features, rate: u32, length: usize) -> Result<Self, String> {
        let samples = |seconds: f32| (f64::from(seconds) * f64::from(rate)).round() as usize;
        let (frame, step) = (samples(f.window), samples(f.hop));
        let positive = |v: f32| v > 0.0 && v.is_finite();
        if !positive(f.window) || !positive(f.hop) || frame < 2 || step == 0 {
            return Err(format!(
                "window = {} and hop = {}: they are seconds above 0",
                f.window, f.hop
            ));
        }
        if frame > length {
            return Err(format!(
                "window = {}: a frame is longer than the sounds",
                f.window
            ));
        }
        if frame > LONGEST || largest_factor(frame) > LARGEST_FACTOR {
            let good = (2..=LONGEST).filter(|n| largest_factor(*n) <= 5);
            let near = good.min_by_key(|n| n.abs_diff(frame)).unwrap_or(512);
            return Err(format!(
                "window = {}: frames of {frame} samples have no fast spectrum; {} gives {near}",
                f.window,
                near as f64 / f64::from(rate)
            ));
        }
        let nyquist = rate as f32 / 2.0;
        if !(f.low >= 0.0 && f.low < f.high && f.high <= nyquist) {
            return Err(format!(
                "low = {} and high = {}: they are frequencies from 0 to {nyquist}, half the rate",
                f.low, f.high
            ));
        }
        let bins = frame / 2 + 1;
        if !(2..=bins).contains(&f.bands) {
            return Err(format!("bands = {}: there are 2 to {bins}", f.bands));
        }
        let cosines = match f.kind {
            Kind::LogMel => Vec::new(),
            Kind::Mfcc if !(2..=f.bands).contains(&f.coefficients) => {
                return Err(format!(
                    "coefficients = {}: there are 2 to as many as bands, {}",
                    f.coefficients, f.bands
                ));
            }
            Kind::Mfcc => cosines(f.bands, f.coefficients),
        };
        // A Hann window, scaled so that a full sine has a power of about 1.
        let window = (0..frame)
            .map(|i| (0.5 - 0.5 * (2.0 * PI * i as f64 / frame as f64).cos()) * 4.0 / frame as f64)
            .map(|w| w as f32)
            .collect();
        let width = match f.kind {
            Kind::LogMel => f.bands,
            Kind::Mfcc => f.coefficients,
        };
        Ok(Self {
            length,
            frame,
            step,
            frames: (length - frame) / step + 1,
            bands: f.bands,
            window,
            weights: triangles(f, rate, frame)?,
            cosines,
            mean: vec![0.0; width],
            scale: vec![1.0; width],
        })
    }

    /// The same of a single frame: what a stream is made of.
    pub fn of_a_frame(&self) -> Self {
        Self {
            length: self.frame,
            frames: 1,
            ..self.clone()
        }
    }

    /// The places of the frames in a sound.
    pub fn places(&self) -> impl Iterator<Item = std::ops::Range<usize>> + '_ {
        (0..self.frames).map(|t| t * self.step..t * self.step + self.frame)
    }

    /// Frames of a sound.
    pub const fn frames(&self) -> usize {
        self.frames
    }

    /// Features of a frame.
    pub const fn width(&self) -> usize {
        self.mean.len()
    }

    /// The triangles as a matrix, `[used bins][bands]`.
    pub(crate) fn triangles(&self) -> Vec<f32> {
        let mut matrix = vec![0.0; self.used() * self.bands];
        for &(bin, band, weight) in &self.weights {
            matrix[bin as usize * self.bands + band as usize] = weight;
        }
        matrix
    }

    /// Bins below the highest frequency.
    pub(crate) fn used(&self) -> usize {
        self.weights
            .iter()
            .map(|w| w.0 as usize + 1)
            .max()
            .unwrap_or(1)
    }

    /// Bins of a spectrum.
    pub(crate) const fn bins(&self) -> usize {
        self.frame / 2 + 1
    }

    /// Writes the features of a sound, `[frames, width]`.
    pub fn apply(&self, sound: &[f32], out: &mut [f32]) {
        self.raw(sound, out);
        for row in out.chunks_exact_mut(self.width()) {
            for ((v, mean), scale) in row.iter_mut().zip(&self.mean).zip(&self.scale) {
                *v = (*v - mean) * scale;
            }
        }
    }

    /// The same before means and deviations.
    ///
    /// Two frames go through one complex transform, as its real and its imaginary part.
    fn raw(&self, sound: &[f32], out: &mut [f32]) {
        let (n, width) = (self.frame, self.width());
        let pairs = self.frames.div_ceil(2);
        let next = |t: usize| sound.get(t + self.step).copied().unwrap_or(0.0);
        let both: Vec<f32> = (0..self.length).flat_map(|t| [sound[t], next(t)]).collect();
        let mut spectra = vec![0f32; pairs * n * 2];
        let made = signal::stft(
            &both,
            1,
            self.length,
            2,
            Some(&self.window),
            n,
            2 * self.step,
            pairs,
            n,
            &mut spectra,
        );
        debug_assert!(made.is_ok(), "frames lie inside the sound");
        let mut powers = [vec![0f32; self.bins()], vec![0f32; self.bins()]];
        for (spectrum, rows) in spectra.chunks_exact(2 * n).zip(out.chunks_mut(2 * width)) {
            for k in 0..self.bins() {
                // A real signal's spectrum is mirrored, an imaginary one's with the other sign.
                let m = if k == 0 { 0 } else { n - k };
                let (a, b) = (&spectrum[2 * k..2 * k + 2], &spectrum[2 * m..2 * m + 2]);
                powers[0][k] = ((a[0] + b[0]).powi(2) + (a[1] - b[1]).powi(2)) / 4.0;
                powers[1][k] = ((a[1] + b[1]).powi(2) + (a[0] - b[0]).powi(2)) / 4.0;
            }
            for (row, power) in rows.chunks_exact_mut(width).zip(&powers) {
                self.features(power, row);
            }
        }
    }

    /// The features of a frame's powers, before means and deviations.
    fn features(&self, power: &[f32], row: &mut [f32]) {
        let mut logs = vec![FLOOR; self.bands];
        for &(bin, band, weight) in &self.weights {
            logs[band as usize] += power[bin as usize] * weight;
        }
        logs.iter_mut().for_each(|v| *v = v.ln());
        if self.cosines.is_empty() {
            row.copy_from_slice(&logs);
            return;
        }
        row.fill(0.0);
        for (v, cosines) in logs.iter().zip(self.cosines.chunks_exact(row.len())) {
            for (sum, c) in row.iter_mut().zip(cosines) {
                *sum += v * c;
            }
        }
    }

    /// Takes means and deviations of the features from the samples to learn from, of which there are some.
    pub(super) fn settle(&mut self, samples: &Samples, train: &[usize]) {
        let width = self.width();
        let every = train.len().div_ceil(LEARN);
        let chosen: Vec<usize> = train.iter().copied().step_by(every).collect();
        // In pieces of a fixed size and in order: the sums do not depend on threads.
        let sums: Vec<Vec<[f64; 2]>> = chosen
            .par_chunks(16)
            .map(|numbers| {
                let mut sums = vec![[0f64; 2]; width];
                let mut features = vec![0f32; self.frames * width];
                for &i in numbers {
                    self.raw(&samples.floats(i), &mut features);
                    for (k, v) in features.iter().enumerate() {
                        let v = f64::from(*v);
                        sums[k % width][0] += v;
                        sums[k % width][1] += v * v;
                    }
                }
                sums
            })
            .collect();
        let n = (chosen.len() * self.frames) as f64;
        for k in 0..width {
            let sum = |j: usize| sums.iter().map(|s| s[k][j]).sum::<f64>();
            let mean = sum(0) / n;
            let deviation = (sum(1) / n - mean * mean).max(0.0).sqrt();
            self.mean[k] = mean as f32;
            self.scale[k] = (1.0 / deviation.max(LEAST_DEVIATION)) as f32;
        }
    }
}

/// The weights above 0 of triangles that are evenly spaced in mel and reach from the centre before to the one behind: bin,
/// band, weight.
fn triangles(f: &Features, rate: u32, frame: usize) -> Result<Vec<(u32, u32, f32)>, String> {
    let (bins, bands) = (frame / 2 + 1, f.bands);
    let (low, high) = (mel(f64::from(f.low)), mel(f64::from(f.high)));
    let edge = |i: usize| hz(low + (high - low) * i as f64 / (bands + 1) as f64);
    let mut weights = Vec::new();
    for band in 0..bands {
        let (left, centre, right) = (edge(band), edge(band + 1), edge(band + 2));
        let mut any = false;
        for bin in 0..bins {
            let at = bin as f64 * f64::from(rate) / frame as f64;
            let weight = ((at - left) / (centre - left)).min((right - at) / (right - centre));
            if weight > 0.0 {
                weights.push((bin as u32, band as u32, weight as f32));
                any = true;
            }
        }
        if !any {
            return Err(format!(
                "bands = {bands}: no frequency of the spectrum lies between {left:.0} and {right:.0} Hz; ask for fewer bands, or for a longer window"
            ));
        }
    }
    Ok(weights)
}

/// The orthonormal cosine transform (DCT-II), `[bands][coefficients]`.
fn cosines(bands: usize, coefficients: usize) -> Vec<f32> {
    let n = bands as f64;
    let value = |i: usize| {
        let (band, k) = ((i / coefficients) as f64, (i % coefficients) as f64);
        let norm = if k == 0.0 { 1.0 / n } else { 2.0 / n };
        (norm.sqrt() * (PI * k * (band + 0.5) / n).cos()) as f32
    };
    (0..bands * coefficients).map(value).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Features by the definition, in double precision.
    fn defined(f: &Features, rate: u32, sound: &[f32]) -> Vec<f64> {
        let n = (f.window * rate as f32).round() as usize;
        let step = (f.hop * rate as f32).round() as usize;
        let mut out = Vec::new();
        for from in (0..=sound.len() - n).step_by(step) {
            let mut logs = Vec::new();
            let power: Vec<f64> = (0..=n / 2)
                .map(|k| {
                    let (mut re, mut im) = (0.0, 0.0);
                    for (i, x) in sound[from..from + n].iter().enumerate() {
                        let hann = (PI * i as f64 / n as f64).sin().powi(2);
                        let angle = 2.0 * PI * (i * k % n) as f64 / n as f64;
                        re += f64::from(*x) * hann * angle.cos();
                        im += f64::from(*x) * hann * angle.sin();
                    }
                    (re * re + im * im) * (4.0 / n as f64).powi(2)
                })
                .collect();
            let at = |i: usize| {
                let (low, high) = (mel(f64::from(f.low)), mel(f64::from(f.high)));
                hz(low + (high - low) * i as f64 / (f.bands as f64 + 1.0))
            };
            for band in 0..f.bands {
                let sum: f64 = power
                    .iter()
                    .enumerate()
                    .map(|(k, p)| {
                        let hz = k as f64 * f64::from(rate) / n as f64;
                        let up = (hz - at(band)) / (at(band + 1) - at(band));
                        let down = (at(band + 2) - hz) / (at(band + 2) - at(band + 1));
                        p * up.min(down).max(0.0)
                    })
                    .sum();
                logs.push((sum + 1e-6).ln());
            }
            match f.kind {
                Kind::LogMel => out.extend(logs),
                Kind::Mfcc => out.extend((0..f.coefficients).map(|k| {
                    let n = f.bands as f64;
                    let norm = if k == 0 { 1.0 / n } else { 2.0 / n };
                    let terms = logs.iter().enumerate();
                    let sum: f64 = terms
                        .map(|(i, v)| v * (PI * k as f64 * (i as f64 + 0.5) / n).cos())
                        .sum();
                    sum * norm.sqrt()
                })),
            }
        }
        out
    }

    #[test]
    fn features_are_what_they_are_defined_as() {
        for (kind, window) in [(Kind::LogMel, 0.04), (Kind::Mfcc, 0.03)] {
            let f = Features {
                kind,
                window,
                bands: 20,
                ..Features::default()
            };
            let mut random = crate::random::Random::new(3, 0);
            let sound: Vec<f32> = (0..2000)
                .map(|i| 0.3 * (i as f32 * 0.2).sin() + 0.01 * random.normal())
                .collect();
            let spectrum = Spectrum::new(&f, 8000, 2000).unwrap();
            let mut got = vec![0.0; spectrum.frames() * spectrum.width()];
            spectrum.apply(&sound, &mut got);
            let want = defined(&f, 8000, &sound);
            assert_eq!(got.len(), want.len());
            for (g, w) in got.iter().zip(&want) {
                assert!((f64::from(*g) - w).abs() < 1e-3, "{g} {w}");
            }
        }
    }

    #[test]
    fn mistakes_are_named_with_what_would_do() {
        let wrong = |change: &dyn Fn(&mut Features)| {
            let mut f = Features::default();
            change(&mut f);
            Spectrum::new(&f, 16_000, 16_000).unwrap_err()
        };
        type Change<'a> = (&'a dyn Fn(&mut Features), &'a str);
        let cases: [Change<'_>; 6] = [
            (&|f| f.hop = 0.0, "above 0"),
            (&|f| f.window = 2.0, "longer than the sounds"),
            (&|f| f.window = 0.0254375, "0.0253125 gives 405"),
            (&|f| f.high = 9000.0, "half the rate"),
            (&|f| f.bands = 200, "fewer bands"),
            (
                &|f| (f.kind, f.coefficients) = (Kind::Mfcc, 41),
                "as many as bands",
            ),
        ];
        for (change, said) in cases {
            let message = wrong(change);
            assert!(message.contains(said), "{message}");
        }
    }
}
