//! Boxes of detectors: reading rows of centres and sizes, and dropping boxes that overlap better ones.

use cygnet_runtime::format::pipeline::BoxForm;

/// A box that a detector found.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Found {
    /// Position of its class.
    pub class: usize,
    /// Score.
    pub score: f32,
    /// Left, upper, right and lower edge, in pixels of the model's input.
    pub edges: [f32; 4],
}

/// Most boxes that are compared with each other: better ones first.
const MOST: usize = 1000;

/// Reads the boxes of an output of form [`BoxForm::Yolo8`] or [`BoxForm::Yolo5`], whose last two axes are `rows` and
/// `columns`; of two boxes of a class that overlap by more than `overlap` of their union, the better one stays. Best first.
/// `None` when the axes do not fit the form.
pub fn boxes(
    form: BoxForm,
    values: &[f32],
    (rows, columns): (usize, usize),
    threshold: f32,
    overlap: f32,
) -> Option<Vec<Found>> {
    if rows.checked_mul(columns)? != values.len() {
        return None;
    }
    let (parts, count, head) = match form {
        BoxForm::Yolo8 => (rows, columns, 4),
        BoxForm::Yolo5 => (columns, rows, 5),
        BoxForm::Ssd => return None,
    };
    if parts <= head {
        return None;
    }
    let at = |i: usize, part: usize| match form {
        BoxForm::Yolo8 => values[part * count + i],
        _ => values[i * parts + part],
    };
    let mut found = Vec::new();
    for i in 0..count {
        let objectness = match form {
            BoxForm::Yolo5 => at(i, 4),
            _ => 1.0,
        };
        // Most boxes are none: their classes need no look.
        if form == BoxForm::Yolo5 && (objectness.is_nan() || objectness < threshold) {
            continue;
        }
        let (mut class, mut score) = (0, f32::NEG_INFINITY);
        for part in head..parts {
            let v = at(i, part);
            if v > score {
                (class, score) = (part - head, v);
            }
        }
        let score = score * objectness;
        if score.is_nan() || score < threshold {
            continue;
        }
        let (x, y, w, h) = (at(i, 0), at(i, 1), at(i, 2) / 2.0, at(i, 3) / 2.0);
        found.push(Found {
            class,
            score,
            edges: [x - w, y - h, x + w, y + h],
        });
    }
    found.sort_by(|a, b| b.score.total_cmp(&a.score));
    found.truncate(MOST);
    Some(without_doubles(found, overlap, MOST))
}

/// Reads the outputs of `TFLite_Detection_PostProcess`: edges as shares of the input (top, left, bottom, right), classes,
/// scores and how many there are. `size` is the input's width and height.
pub fn ssd(
    edges: &[f32],
    classes: &[f32],
    scores: &[f32],
    count: f32,
    size: (f32, f32),
    threshold: f32,
) -> Vec<Found> {
    let count = count.max(0.0) as usize;
    let rows = edges.as_chunks::<4>().0.iter().zip(classes).zip(scores);
    rows.take(count)
        .filter(|(_, score)| **score >= threshold)
        .map(|((&[top, left, bottom, right], &class), &score)| Found {
            class: class.max(0.0) as usize,
            score,
            edges: [left * size.0, top * size.1, right * size.0, bottom * size.1],
        })
        .collect()
}

/// Intersection over union of two boxes' edges.
pub fn iou(a: &[f32; 4], b: &[f32; 4]) -> f32 {
    let side = |lo: f32, hi: f32| (hi - lo).max(0.0);
    let area = |e: &[f32; 4]| side(e[0], e[2]) * side(e[1], e[3]);
    let both = side(a[0].max(b[0]), a[2].min(b[2])) * side(a[1].max(b[1]), a[3].min(b[3]));
    both / (area(a) + area(b) - both).max(f32::MIN_POSITIVE)
}

/// At most `most` boxes, best first, without those that overlap a better one of their class by more than `overlap` of their
/// union.
pub fn without_doubles(mut found: Vec<Found>, overlap: f32, most: usize) -> Vec<Found> {
    found.sort_by(|a, b| b.score.total_cmp(&a.score));
    let mut kept: Vec<Found> = Vec::new();
    for f in found {
        let double = |k: &Found| k.class == f.class && iou(&k.edges, &f.edges) > overlap;
        if kept.len() < most && !kept.iter().any(double) {
            kept.push(f);
        }
    }
    kept
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn overlapping_boxes_of_a_class_are_one() {
        // Centre, size, two classes: the second box is nearly the first, the third is of the other class.
        let rows = [
            [10.0, 10.0, 8.0, 8.0, 0.9, 0.1],
            [11.0, 10.0, 8.0, 8.0, 0.8, 0.1],
            [10.0, 10.0, 8.0, 8.0, 0.1, 0.7],
            [50.0, 50.0, 4.0, 6.0, 0.6, 0.2],
            [80.0, 80.0, 4.0, 4.0, 0.2, 0.1],
            [80.0, 80.0, 4.0, 4.0, f32::NAN, f32::NAN],
        ];
        let columns: Vec<f32> = (0..6).flat_map(|p| rows.map(|r| r[p])).collect();
        let found = boxes(BoxForm::Yolo8, &columns, (6, 6), 0.25, 0.45).unwrap();
        let short: Vec<_> = found.iter().map(|f| (f.class, f.score)).collect();
        assert_eq!(short, [(0, 0.9), (1, 0.7), (0, 0.6)]);
        assert_eq!(found[2].edges, [48.0, 47.0, 52.0, 53.0]);
        // The same with objectness.
        let five: Vec<f32> = rows
            .iter()
            .flat_map(|&[x, y, w, h, a, b]| [x, y, w, h, 0.5, a * 2.0, b * 2.0])
            .collect();
        let again = boxes(BoxForm::Yolo5, &five, (6, 7), 0.25, 0.45).unwrap();
        assert_eq!(again, found);
        assert!(boxes(BoxForm::Yolo8, &columns, (4, 9), 0.1, 0.5).is_none());
        assert!(boxes(BoxForm::Yolo8, &columns, (6, 7), 0.1, 0.5).is_none());
    }

    #[test]
    fn boxes_of_tflite_are_shares_of_the_input() {
        let edges = [0.125, 0.25, 0.5, 0.75, 0.5, 0.5, 0.6, 0.6];
        let found = ssd(&edges, &[3.0, 1.0], &[0.9, 0.4], 2.0, (100.0, 200.0), 0.5);
        assert_eq!(
            found,
            [Found {
                class: 3,
                score: 0.9,
                edges: [25.0, 25.0, 75.0, 100.0]
            }]
        );
    }
}
