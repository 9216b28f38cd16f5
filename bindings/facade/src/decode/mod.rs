//! Outputs become answers: classes, text, boxes, masks.

mod boxes;
mod ctc;
mod db;

pub use boxes::{Found, boxes, iou, ssd, without_doubles};
pub use ctc::ctc;
pub use db::{TextBox, db};

use cygnet_runtime::format::pipeline::Activation;

/// The positions of the `k` largest values, largest first, ties by position. NaN never wins.
pub fn top(values: &[f32], k: usize) -> Vec<usize> {
    let mut order: Vec<usize> = (0..values.len()).filter(|&i| !values[i].is_nan()).collect();
    let better = |&a: &usize, &b: &usize| values[b].total_cmp(&values[a]).then(a.cmp(&b));
    if k < order.len() && k > 0 {
        order.select_nth_unstable_by(k - 1, better);
        order.truncate(k);
    }
    order.sort_unstable_by(better);
    order.truncate(k);
    order
}

/// Makes probabilities of scores.
pub fn activate(values: &mut [f32], activation: Activation) {
    match activation {
        Activation::None => {}
        Activation::Softmax => {
            let most = values.iter().copied().fold(f32::NEG_INFINITY, f32::max);
            let mut sum = 0.0;
            for v in &mut *values {
                *v = (*v - most).exp();
                sum += *v;
            }
            for v in values {
                *v /= sum;
            }
        }
        Activation::Sigmoid => {
            for v in values {
                *v = 1.0 / (1.0 + (-*v).exp());
            }
        }
    }
}

/// The largest of `classes` channels for every pixel of a map `[classes, pixels]`, or `[pixels, classes]` with the channels
/// last. Ties go to the first class.
pub fn mask(values: &[f32], classes: usize, channels_last: bool) -> Vec<u16> {
    let pixels = values.len().checked_div(classes).unwrap_or(0);
    let at = |pixel: usize, class: usize| match channels_last {
        true => values[pixel * classes + class],
        false => values[class * pixels + pixel],
    };
    (0..pixels)
        .map(|p| {
            let mut best = 0;
            for class in 1..classes.min(usize::from(u16::MAX)) {
                if at(p, class) > at(p, best) {
                    best = class;
                }
            }
            best as u16
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn largest_first_without_nan() {
        let values = [0.5, f32::NAN, 2.0, 0.5];
        assert_eq!(top(&values, 3), [2, 0, 3]);
        assert_eq!(top(&values, 2), [2, 0]);
        assert_eq!(top(&values, 0), [] as [usize; 0]);
        assert_eq!(top(&values, 9), [2, 0, 3]);
    }

    #[test]
    fn scores_become_probabilities() {
        let mut values = [1000.0, 1000.0, 0.0];
        activate(&mut values, Activation::Softmax);
        assert_eq!(values, [0.5, 0.5, 0.0]);
        let mut values = [0.0, 1000.0, -1000.0];
        activate(&mut values, Activation::Sigmoid);
        assert_eq!(values, [0.5, 1.0, 0.0]);
    }

    #[test]
    fn every_pixel_has_a_class() {
        // Two classes, three pixels.
        let first = [0.1, 0.9, 0.5, 0.2, 0.3, 0.5];
        assert_eq!(mask(&first, 2, false), [1, 0, 0]);
        let last = [0.1, 0.2, 0.9, 0.3, 0.5, 0.5];
        assert_eq!(mask(&last, 2, true), [1, 0, 0]);
        assert_eq!(mask(&[], 0, true), [] as [u16; 0]);
    }
}
