//! Non-maximum suppression.
use crate::error::{KernelError, exactly, product};

/// Boxes and scores of ONNX NonMaxSuppression.
#[derive(Clone, Copy, Debug)]
pub struct Boxes<'a> {
    /// `[batches, count, 4]`: two corners (y, x), or centre x, y, width, height.
    pub boxes: &'a [f32],
    /// `[batches, classes, count]`.
    pub scores: &'a [f32],
    /// Batches.
    pub batches: usize,
    /// Classes.
    pub classes: usize,
    /// Boxes in a batch.
    pub count: usize,
    /// Boxes are centre, width, height.
    pub center: bool,
}

fn corners(b: &[f32], center: bool) -> [f32; 4] {
    if center {
        let (w, h) = (b[2] / 2.0, b[3] / 2.0);
        [b[1] - h, b[0] - w, b[1] + h, b[0] + w]
    } else {
        [
            b[0].min(b[2]),
            b[1].min(b[3]),
            b[0].max(b[2]),
            b[1].max(b[3]),
        ]
    }
}

/// Intersection over union is above the threshold.
fn overlap(a: [f32; 4], b: [f32; 4], threshold: f32) -> bool {
    let h = a[2].min(b[2]) - a[0].max(b[0]);
    let w = a[3].min(b[3]) - a[1].max(b[1]);
    if h <= 0.0 || w <= 0.0 {
        return false;
    }
    let area = |b: [f32; 4]| (b[2] - b[0]) * (b[3] - b[1]);
    let union = area(a) + area(b) - h * w;
    union > 0.0 && h * w / union > threshold
}

/// Selects boxes by descending score per batch and class, at most `limit` each, dropping those that overlap a selected
/// one by more than `iou`. Writes `[batch, class, box]` rows to `selected` and returns their number.
///
/// # Errors
/// [`KernelError`] when the lengths do not fit or `selected` is too short.
pub fn non_max_suppression(
    b: &Boxes<'_>,
    limit: usize,
    iou: f32,
    score_threshold: Option<f32>,
    selected: &mut [i64],
) -> Result<usize, KernelError> {
    exactly(b.boxes.len(), product(&[b.batches, b.count, 4])?)?;
    exactly(b.scores.len(), product(&[b.batches, b.classes, b.count])?)?;
    let mut total = 0;
    for batch in 0..b.batches {
        let boxes = &b.boxes[batch * b.count * 4..(batch + 1) * b.count * 4];
        let at = |i: usize| corners(&boxes[i * 4..i * 4 + 4], b.center);
        for class in 0..b.classes {
            let scores = &b.scores[(batch * b.classes + class) * b.count..][..b.count];
            let first = total;
            // The candidate before, so that the next is the best that comes after it (score down, index up).
            let mut last: Option<(f32, usize)> = None;
            while total - first < limit {
                let mut best: Option<(f32, usize)> = None;
                for (i, &s) in scores.iter().enumerate() {
                    if s.is_nan() || score_threshold.is_some_and(|t| s <= t) {
                        continue;
                    }
                    let after = last.is_none_or(|(ls, li)| s < ls || (s == ls && i > li));
                    if after && best.is_none_or(|(bs, _)| s > bs) {
                        best = Some((s, i));
                    }
                }
                let Some((_, i)) = best else { break };
                last = best;
                let candidate = at(i);
                let kept = &selected[first * 3..total * 3];
                if kept
                    .chunks_exact(3)
                    .any(|k| overlap(at(k[2] as usize), candidate, iou))
                {
                    continue;
                }
                let row = selected
                    .get_mut(total * 3..total * 3 + 3)
                    .ok_or(KernelError::Length)?;
                row.copy_from_slice(&[batch as i64, class as i64, i as i64]);
                total += 1;
            }
        }
    }
    Ok(total)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn onnx_example() {
        let boxes = [
            0., 0., 1., 1., 0., 0.1, 1., 1.1, 0., -0.1, 1., 0.9, 0., 10., 1., 11., 0., 10.1, 1.,
            11.1, 0., 100., 1., 101.,
        ];
        let scores = [0.9, 0.75, 0.6, 0.95, 0.5, 0.3];
        let b = Boxes {
            boxes: &boxes,
            scores: &scores,
            batches: 1,
            classes: 1,
            count: 6,
            center: false,
        };
        let mut s = [0; 18];
        assert_eq!(non_max_suppression(&b, 3, 0.5, Some(0.0), &mut s), Ok(3));
        assert_eq!(s[..9], [0, 0, 3, 0, 0, 0, 0, 0, 5]);
        assert_eq!(non_max_suppression(&b, 3, 0.5, Some(0.4), &mut s), Ok(2));
        assert_eq!(
            non_max_suppression(&b, 3, 0.5, None, &mut s[..3]),
            Err(KernelError::Length)
        );
    }
}
