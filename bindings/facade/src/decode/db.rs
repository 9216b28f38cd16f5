//! Boxes from a text probability map, after differentiable binarisation (Liao et al. 2020): threshold, connected
//! regions, mean score, and growth by `area * ratio / perimeter` because the map is trained shrunk. Boxes are
//! axis-aligned.

/// A region of text in pixels of the original picture.
#[derive(Clone, Debug, PartialEq)]
pub struct TextBox {
    /// Left edge.
    pub x0: f32,
    /// Upper edge.
    pub y0: f32,
    /// Right edge.
    pub x1: f32,
    /// Lower edge.
    pub y1: f32,
    /// Mean probability of the region.
    pub score: f32,
}

const PIXEL_THRESHOLD: f32 = 0.3;
const BOX_THRESHOLD: f32 = 0.5;
const GROWTH: f32 = 1.6;
const SMALLEST_SIDE: usize = 3;

/// Finds boxes in a `height x width` map; coordinates are multiplied by `scale` (x, y) and cut to `size` (width, height).
pub fn db(
    map: &[f32],
    height: usize,
    width: usize,
    scale: (f32, f32),
    size: (f32, f32),
) -> Vec<TextBox> {
    let mut seen = vec![false; height * width];
    let mut boxes = Vec::new();
    let mut stack = Vec::new();
    for start in 0..height * width {
        if seen[start] || map[start].is_nan() || map[start] <= PIXEL_THRESHOLD {
            continue;
        }
        let (mut x0, mut y0, mut x1, mut y1) = (width, height, 0, 0);
        let (mut sum, mut count) = (0f32, 0usize);
        seen[start] = true;
        stack.push(start);
        while let Some(p) = stack.pop() {
            let (y, x) = (p / width, p % width);
            (x0, y0, x1, y1) = (x0.min(x), y0.min(y), x1.max(x), y1.max(y));
            sum += map[p];
            count += 1;
            for ny in y.saturating_sub(1)..(y + 2).min(height) {
                for nx in x.saturating_sub(1)..(x + 2).min(width) {
                    let n = ny * width + nx;
                    if !seen[n] && map[n] > PIXEL_THRESHOLD {
                        seen[n] = true;
                        stack.push(n);
                    }
                }
            }
        }
        let (w, h) = (x1 + 1 - x0, y1 + 1 - y0);
        let score = sum / count as f32;
        if w.min(h) < SMALLEST_SIDE || score < BOX_THRESHOLD {
            continue;
        }
        let grow = (w * h) as f32 * GROWTH / (2 * (w + h)) as f32;
        boxes.push(TextBox {
            x0: ((x0 as f32 - grow) * scale.0).clamp(0.0, size.0),
            y0: ((y0 as f32 - grow) * scale.1).clamp(0.0, size.1),
            x1: (((x1 + 1) as f32 + grow) * scale.0).clamp(0.0, size.0),
            y1: (((y1 + 1) as f32 + grow) * scale.1).clamp(0.0, size.1),
            score,
        });
    }
    boxes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_regions_two_boxes() {
        let (h, w) = (20, 30);
        let mut map = vec![0f32; h * w];
        for y in 4..8 {
            for x in 5..15 {
                map[y * w + x] = 0.9;
            }
            for x in 20..29 {
                map[(y + 8) * w + x] = 0.8;
            }
        }
        map[0] = 1.0;
        let boxes = db(&map, h, w, (2.0, 2.0), (60.0, 40.0));
        assert_eq!(boxes.len(), 2);
        let b = &boxes[0];
        assert!((b.score - 0.9).abs() < 1e-5);
        assert!(
            b.x0 < 10.0 && b.x1 > 30.0 && b.y0 < 8.0 && b.y1 > 16.0,
            "{b:?}"
        );
    }
}
