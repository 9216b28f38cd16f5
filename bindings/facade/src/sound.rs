//! Changing the rate of sounds.

use std::f64::consts::PI;

/// Zero crossings of the interpolating sinc on each side.
const CROSSINGS: f64 = 16.0;
/// Share of the band that passes: the window's slope takes the rest.
const PASS: f64 = 0.94;
/// Most weights that are kept for reuse.
const TABLE: usize = 1 << 20;

/// Changes the rate of mono samples from `rate` to `wanted` a second by a sinc under a Hann window, which lets the band pass
/// that both rates have. Rates of 0 change nothing.
pub fn resample(samples: &[f32], rate: u32, wanted: u32) -> Vec<f32> {
    if rate == wanted || rate == 0 || wanted == 0 || samples.is_empty() {
        return samples.to_vec();
    }
    let common = gcd(rate, wanted);
    let (from, to) = (u64::from(rate / common), u64::from(wanted / common));
    let count = (samples.len() as u64 * to / from) as usize;
    // Of the source's band.
    let cut = (to as f64 / from as f64).min(1.0) * PASS;
    let radius = CROSSINGS / cut;
    let half = radius.ceil() as i64;
    let weights = |phase: u64| -> Vec<f32> {
        let part = phase as f64 / to as f64;
        let w: Vec<f64> = (-half + 1..=half)
            .map(|k| {
                let x = k as f64 - part;
                if x.abs() >= radius {
                    return 0.0;
                }
                let window = 0.5 + 0.5 * (PI * x / radius).cos();
                let y = PI * x * cut;
                window * if y == 0.0 { 1.0 } else { y.sin() / y }
            })
            .collect();
        let sum: f64 = w.iter().sum();
        w.iter().map(|w| (w / sum) as f32).collect()
    };
    // Positions between samples repeat.
    let table: Vec<Vec<f32>> = match to as usize * 2 * half as usize <= TABLE {
        true => (0..to).map(weights).collect(),
        false => Vec::new(),
    };
    let last = samples.len() as i64 - 1;
    (0..count as u64)
        .map(|i| {
            let (at, phase) = ((i * from / to) as i64, i * from % to);
            let made;
            let w = if table.is_empty() {
                made = weights(phase);
                &made
            } else {
                &table[phase as usize]
            };
            let mut sum = 0.0;
            for (w, k) in w.iter().zip(at - half + 1..) {
                // The first and the last sample go on.
                sum += w * samples[k.clamp(0, last) as usize];
            }
            sum
        })
        .collect()
}

const fn gcd(mut a: u32, mut b: u32) -> u32 {
    while b != 0 {
        (a, b) = (b, a % b);
    }
    a
}
