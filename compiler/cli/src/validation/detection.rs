//! Boxes in the outputs of detectors, and how good they are.

use super::TrueBox;
use anyhow::{Result, bail};
use cygnet_compiler::bundle::Array;
use cygnet_format::pipeline::Fit;
use cygnet_sdk::Placement;
use cygnet_sdk::decode::{Found, db, iou, without_doubles};

/// Scores below this are no boxes.
const LEAST_SCORE: f32 = 0.001;
/// Boxes of a class that overlap more are one thing.
const SAME: f32 = 0.7;
/// Most boxes of a picture that count, as with COCO.
const MOST: usize = 100;
/// Edges all below this are parts of the picture, not pixels.
const NORMALISED: f32 = 2.0;

/// How boxes are read.
#[derive(Clone, Copy, Debug)]
pub struct Detector {
    /// A map of probabilities of text, not rows of boxes.
    pub map: bool,
    pub fit: Fit,
    /// The input's axes end with height, width, channels.
    pub channels_last: bool,
}

impl Detector {
    /// The boxes of an output, in pixels of a picture of this width and height, whose tensor has this shape.
    ///
    /// Read are maps of probabilities; rows `[.., N, 6]` of x0, y0, x1, y1, score, class; and `[1, 4 + classes, N]` or
    /// `[1, N, 4 + classes]` of x and y of the centre, width, height and a score for each class, of which overlapping ones
    /// are dropped.
    pub fn find(&self, answer: &Array, shape: &[usize], size: (f32, f32)) -> Result<Vec<Found>> {
        let (height, width) = match *shape {
            [.., h, w, _] if self.channels_last => (h, w),
            [.., h, w] => (h, w),
            _ => bail!(
                "boxes are found in pictures, the input has {} axes",
                shape.len()
            ),
        };
        let input = (width as f32, height as f32);
        let values = answer.to_f32();
        if self.map {
            let [.., height, width] = answer.shape[..] else {
                bail!("a map of probabilities has height and width");
            };
            let scale = (size.0 / width as f32, size.1 / height as f32);
            let boxes = db(&values, height, width, scale, size);
            return Ok(boxes
                .iter()
                .map(|b| Found {
                    class: 0,
                    score: b.score,
                    edges: [b.x0, b.y0, b.x1, b.y1],
                })
                .collect());
        }
        let [.., a, b] = answer.shape[..] else {
            bail!(
                "the first output holds no rows of boxes: its shape is {:?}",
                answer.shape
            );
        };
        let mut found = Vec::new();
        if b == 6 {
            for row in values.chunks_exact(6).filter(|r| r[4] >= LEAST_SCORE) {
                found.push(Found {
                    class: row[5].max(0.0) as usize,
                    score: row[4],
                    edges: [row[0], row[1], row[2], row[3]],
                });
            }
        } else if a.min(b) >= 5 && a * b == values.len() {
            let (parts, count) = (a.min(b), a.max(b));
            let at = |i: usize, part: usize| {
                if a < b {
                    values[part * count + i]
                } else {
                    values[i * parts + part]
                }
            };
            for i in 0..count {
                let scores = (4..parts).map(|p| at(i, p));
                let best = scores.enumerate().max_by(|x, y| x.1.total_cmp(&y.1));
                let Some((class, score)) = best.filter(|b| b.1 >= LEAST_SCORE) else {
                    continue;
                };
                let (x, y, w, h) = (at(i, 0), at(i, 1), at(i, 2) / 2.0, at(i, 3) / 2.0);
                found.push(Found {
                    class,
                    score,
                    edges: [x - w, y - h, x + w, y + h],
                });
            }
            found = without_doubles(found, SAME, MOST);
        } else {
            bail!(
                "the first output {:?} is neither [N, 6] (x0, y0, x1, y1, score, class) nor [4 + classes, N]",
                answer.shape
            );
        }
        found.sort_by(|a, b| b.score.total_cmp(&a.score));
        found.truncate(MOST);
        let edges = found.iter().flat_map(|f| f.edges);
        let whole = (size.0 as usize, size.1 as usize);
        let placement = Placement::new(self.fit, whole, (height, width));
        let normalised = !found.is_empty() && edges.fold(0.0, f32::max) <= NORMALISED;
        for f in &mut found {
            if normalised {
                let (w, h) = input;
                f.edges = [
                    f.edges[0] * w,
                    f.edges[1] * h,
                    f.edges[2] * w,
                    f.edges[3] * h,
                ];
            }
            f.edges = placement.edges_in_picture(f.edges, placement.size);
        }
        Ok(found)
    }
}

fn area(e: [f32; 4]) -> f32 {
    (e[2] - e[0]).max(0.0) * (e[3] - e[1]).max(0.0)
}

fn overlap(a: [f32; 4], b: [f32; 4]) -> f32 {
    area([
        a[0].max(b[0]),
        a[1].max(b[1]),
        a[2].min(b[2]),
        a[3].min(b[3]),
    ])
}

/// Mean over classes and over overlaps of 0.50, 0.55 to 0.95 of the average precision at 101 recalls, as COCO's evaluation
/// counts it (Lin et al. 2014). Each picture has its boxes, best first, and its truth.
pub fn mean_average_precision(pictures: &[(Vec<Found>, &[TrueBox])]) -> f64 {
    let truths = pictures.iter().flat_map(|p| p.1).filter(|t| !t.ignored);
    let mut classes: Vec<usize> = truths.map(|t| t.class).collect();
    classes.sort_unstable();
    classes.dedup();
    let mut sum = 0.0;
    for &class in &classes {
        for step in 0..10 {
            sum += average_precision(pictures, class, 0.5 + 0.05 * step as f32);
        }
    }
    sum / (10 * classes.len().max(1)) as f64
}

fn average_precision(pictures: &[(Vec<Found>, &[TrueBox])], class: usize, least: f32) -> f64 {
    let mut wanted = 0;
    // Scores with whether each is right.
    let mut judged: Vec<(f32, bool)> = Vec::new();
    for (found, truth) in pictures {
        let truth: Vec<&TrueBox> = truth.iter().filter(|t| t.class == class).collect();
        wanted += truth.iter().filter(|t| !t.ignored).count();
        let mut taken = vec![false; truth.len()];
        for f in found.iter().filter(|f| f.class == class) {
            let mut best: Option<(usize, f32)> = None;
            for (i, t) in truth.iter().enumerate().filter(|(_, t)| !t.ignored) {
                let v = iou(&f.edges, &t.edges);
                if !taken[i] && v >= least && best.is_none_or(|b| v > b.1) {
                    best = Some((i, v));
                }
            }
            if let Some((i, _)) = best {
                taken[i] = true;
                judged.push((f.score, true));
                continue;
            }
            // Of a crowd any part is right.
            let inside = |t: &&&TrueBox| {
                t.ignored
                    && overlap(f.edges, t.edges) / area(f.edges).max(f32::MIN_POSITIVE) >= least
            };
            if !truth.iter().any(|t| inside(&t)) {
                judged.push((f.score, false));
            }
        }
    }
    if wanted == 0 {
        return 0.0;
    }
    judged.sort_by(|a, b| b.0.total_cmp(&a.0));
    let (mut right, mut curve) = (0, Vec::new());
    for (i, (_, hit)) in judged.iter().enumerate() {
        right += usize::from(*hit);
        curve.push((right as f64 / wanted as f64, right as f64 / (i + 1) as f64));
    }
    // Precision never falls towards smaller recalls.
    for i in (1..curve.len()).rev() {
        curve[i - 1].1 = curve[i - 1].1.max(curve[i].1);
    }
    let precision_at = |recall: f64| {
        let first = curve.iter().find(|c| c.0 >= recall - 1e-12);
        first.map_or(0.0, |c| c.1)
    };
    (0..=100)
        .map(|i| precision_at(i as f64 / 100.0))
        .sum::<f64>()
        / 101.0
}

#[cfg(test)]
mod tests {
    use super::*;

    fn truth(class: usize, edges: [f32; 4]) -> TrueBox {
        TrueBox {
            class,
            edges,
            ignored: false,
        }
    }

    fn found(class: usize, score: f32, edges: [f32; 4]) -> Found {
        Found {
            class,
            score,
            edges,
        }
    }

    const A: [f32; 4] = [0.0, 0.0, 10.0, 10.0];
    const B: [f32; 4] = [20.0, 20.0, 40.0, 40.0];

    #[test]
    fn precision_of_known_boxes() {
        let truths = [truth(0, A), truth(0, B)];
        let of = |found: Vec<Found>| mean_average_precision(&[(found, &truths)]);
        assert!((of(vec![found(0, 0.9, A), found(0, 0.8, B)]) - 1.0).abs() < 1e-9);
        // One of two found: recalls up to one half, which are 51 of 101.
        assert!((of(vec![found(0, 0.9, A)]) - 51.0 / 101.0).abs() < 1e-9);
        // A wrong box before the right ones halves, and then two thirds, of what is precise.
        let wrong = found(0, 0.95, [80.0, 80.0, 90.0, 90.0]);
        let got = of(vec![wrong, found(0, 0.9, A), found(0, 0.8, B)]);
        assert!((got - 2.0 / 3.0).abs() < 1e-9, "{got}");
        assert_eq!(of(vec![found(1, 0.9, A)]), 0.0);
        // An overlap of 0.8 counts at seven of ten thresholds, 0.50 to 0.80.
        let near = [0.0, 0.0, 10.0, 8.0];
        let got = mean_average_precision(&[(vec![found(0, 0.9, near)], &truths[..1])]);
        assert!(
            (got - 0.7).abs() < 1e-9 || (got - 0.6).abs() < 1e-9,
            "{got}"
        );
    }

    #[test]
    fn crowds_count_neither_way() {
        let crowd = TrueBox {
            ignored: true,
            ..truth(0, [0.0, 0.0, 100.0, 100.0])
        };
        let truths = [truth(0, A), crowd];
        let boxes = vec![found(0, 0.95, [50.0, 50.0, 60.0, 60.0]), found(0, 0.9, A)];
        assert!((mean_average_precision(&[(boxes, &truths)]) - 1.0).abs() < 1e-9);
    }

    #[test]
    fn outputs_become_boxes_of_the_picture() {
        let detector = Detector {
            map: false,
            fit: Fit::Letterbox,
            channels_last: false,
        };
        let shape = [1, 3, 100, 100];
        let size = (200.0, 100.0);
        let rows = Array::from_f32(&[1, 1, 6], &[10.0, 10.0, 20.0, 20.0, 0.5, 3.0]);
        let got = detector.find(&rows, &shape, size).unwrap();
        assert_eq!(got, [found(3, 0.5, [20.0, 20.0, 40.0, 40.0])]);
        // Two boxes of one thing, one of another class; five parts by seven boxes, four of which are nothing.
        let columns: [[f32; 7]; 6] = [
            [15.0, 15.5, 15.0, 0.0, 0.0, 0.0, 0.0],
            [15.0, 15.0, 15.0, 0.0, 0.0, 0.0, 0.0],
            [10.0, 10.0, 10.0, 0.0, 0.0, 0.0, 0.0],
            [10.0, 10.0, 10.0, 0.0, 0.0, 0.0, 0.0],
            [0.9, 0.8, 0.0, 0.0, 0.0, 0.0, 0.0],
            [0.0, 0.1, 0.7, 0.0, 0.0, 0.0, 0.0],
        ];
        let raw = Array::from_f32(&[1, 6, 7], columns.as_flattened());
        let got = detector.find(&raw, &shape, size).unwrap();
        let edges = [20.0, 20.0, 40.0, 40.0];
        assert_eq!(got, [found(0, 0.9, edges), found(1, 0.7, edges)]);
        assert!(
            detector
                .find(&Array::from_f32(&[1, 4], &[0.0; 4]), &shape, size)
                .is_err()
        );
    }
}
