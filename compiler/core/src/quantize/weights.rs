//! 8-bit weights: symmetric, a scale for each output channel.

/// Largest magnitude of a weight: -128 is left out, so that the negative of a weight is one.
pub(super) const LARGEST: f32 = 127.0;

/// A bias is at most this many units of the sums.
pub(super) const MAX_BIAS: f32 = (1u32 << 28) as f32;

/// Scales of channels without weights stay above this, so that products of scales are normal numbers.
const LEAST_SCALE: f32 = 1e-20;

/// Weights of a layer as integers.
#[derive(Clone, Debug)]
pub(super) struct Rounded {
    /// In the order of the weights.
    pub ints: Vec<i8>,
    /// For each output channel.
    pub scales: Vec<f32>,
    /// Signal to noise in decibels.
    pub snr_db: f64,
}

/// Rounds weights. `channel` tells the output channel of an element, of which there are `bias.len()`; a bias that the unit
/// of the sums (the channel's scale times `x_scale`) would make too large widens the scale.
pub(super) fn quantise(
    weights: &[f32],
    channel: impl Fn(usize) -> usize,
    bias: &[f32],
    x_scale: f32,
) -> Rounded {
    let mut largest = vec![0f32; bias.len()];
    for (i, w) in weights.iter().enumerate() {
        let c = channel(i);
        largest[c] = largest[c].max(w.abs());
    }
    let scale = |(l, b): (f32, &f32)| {
        let room = b.abs() / (x_scale * MAX_BIAS);
        (l / LARGEST).max(room).max(LEAST_SCALE)
    };
    let scales: Vec<f32> = largest.into_iter().zip(bias).map(scale).collect();
    let (mut signal, mut noise) = (0f64, 0f64);
    let mut round = |(i, &w): (usize, &f32)| {
        let s = scales[channel(i)];
        let q = (w / s).round_ties_even().clamp(-LARGEST, LARGEST);
        let error = f64::from(w) - f64::from(q) * f64::from(s);
        signal += f64::from(w) * f64::from(w);
        noise += error * error;
        q as i8
    };
    let ints = weights.iter().enumerate().map(&mut round).collect();
    Rounded {
        ints,
        scales,
        snr_db: 10.0 * (signal / noise).log10(),
    }
}

/// What a 32-bit accumulator holds.
pub(super) const ACCUMULATOR: f64 = i32::MAX as f64;

/// The greatest magnitude that a sum of products may take, in units of the sums: each integer weight meets the input
/// that is furthest from zero, `reach` steps away. `bias` is in the same units, a value for each output channel.
pub(super) fn largest_sum(
    ints: &[i8],
    channel: impl Fn(usize) -> usize,
    bias: &[f64],
    reach: f64,
) -> f64 {
    let mut sums: Vec<f64> = bias.iter().map(|b| b.abs()).collect();
    for (i, q) in ints.iter().enumerate() {
        sums[channel(i)] += f64::from(q.unsigned_abs()) * reach;
    }
    sums.into_iter().fold(0.0, f64::max)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sums_are_bounded_by_the_weights_they_have() {
        // Channels 0 and 1 in turns; inputs of 8 bits around a zero at one end, and of 16 bits.
        let ints = [127, 1, -127, 1, 127, 1];
        let of = |bias: [f64; 2], reach| largest_sum(&ints, |i| i % 2, &bias, reach);
        assert_eq!(of([0.0, 0.0], 255.0), 3.0 * 127.0 * 255.0);
        assert_eq!(of([-5.0, 1e6], 255.0), 1e6 + 3.0 * 255.0);
        assert_eq!(of([0.0, 0.0], 32768.0), 3.0 * 127.0 * 32768.0);
        // Of 16 bits, 517 full weights overflow 32, 515 do not.
        let full = vec![127i8; 517];
        assert!(largest_sum(&full, |_| 0, &[0.0], 32768.0) > ACCUMULATOR);
        assert!(largest_sum(&full[..515], |_| 0, &[0.0], 32768.0) < ACCUMULATOR);
    }

    #[test]
    fn each_channel_uses_its_range() {
        let q = quantise(&[1.27, -0.5, 12.7, -12.7], |i| i / 2, &[0.0, 0.0], 0.1);
        assert_eq!(q.ints, [127, -50, 127, -127]);
        assert!((q.scales[0] - 0.01).abs() < 1e-7 && (q.scales[1] - 0.1).abs() < 1e-6);
        assert!(q.snr_db > 100.0);
    }

    #[test]
    fn large_biases_and_empty_channels_have_scales() {
        let q = quantise(&[0.0, 1e-30], |i| i, &[0.0, 5.0], 0.01);
        assert_eq!(q.ints, [0, 0]);
        assert!(q.scales.iter().all(|s| (s * 0.01).is_normal()));
        assert!(5.0 / (q.scales[1] * 0.01) <= 1.01 * MAX_BIAS);
    }
}
