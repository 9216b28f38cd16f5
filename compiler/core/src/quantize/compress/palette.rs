//! Tables of few values: k-means in one dimension, exactly, by dynamic programming (Wang and Song 2011,
//! "Ckmeans.1d.dp: optimal k-means clustering in one dimension by dynamic programming").

/// Points that the means are found for; more weights than that are joined, but not those at the ends, where few are.
const POINTS: usize = 1024;

/// Points at each end that stay apart.
const ENDS: usize = 128;

/// Counts, sums and sums of squares of the points before each.
struct Sums(Vec<[f64; 3]>);

impl Sums {
    /// Of ascending values.
    fn of(sorted: &[f32]) -> Sums {
        let mut points: Vec<(f64, f64, f64)> = Vec::new();
        for run in sorted.chunk_by(|a, b| a == b) {
            let (n, v) = (run.len() as f64, f64::from(run[0]));
            points.push((n, n * v, n * v * v));
        }
        let middle = points.len().saturating_sub(2 * ENDS);
        let joined = middle.div_ceil(POINTS).max(1);
        let mut sums = vec![[0f64; 3]];
        let mut at = 0;
        while at < points.len() {
            let inner = at >= ENDS && at < ENDS + middle;
            let end = if inner {
                (at + joined).min(ENDS + middle)
            } else {
                at + 1
            };
            let mut sum = sums[sums.len() - 1];
            for p in &points[at..end] {
                sum = [sum[0] + p.0, sum[1] + p.1, sum[2] + p.2];
            }
            sums.push(sum);
            at = end;
        }
        Sums(sums)
    }

    /// Squared distances of the points `from..to` from their mean.
    fn cost(&self, from: usize, to: usize) -> f64 {
        let [n, s, q] = self.between(from, to);
        if n > 0.0 {
            (q - s * s / n).max(0.0)
        } else {
            0.0
        }
    }

    fn between(&self, from: usize, to: usize) -> [f64; 3] {
        let (a, b) = (self.0[from], self.0[to]);
        [b[0] - a[0], b[1] - a[1], b[2] - a[2]]
    }
}

/// Least costs of the first `j` points with one mean more than `before` tells, and where the last mean's points begin.
/// That place never moves back when `j` grows, so halves of the range bound each other.
struct Row<'a> {
    sums: &'a Sums,
    before: &'a [f64],
    cost: Vec<f64>,
    start: Vec<u32>,
}

impl Row<'_> {
    fn fill(&mut self, (first, last): (usize, usize), (low, high): (usize, usize)) {
        if first > last {
            return;
        }
        let j = usize::midpoint(first, last);
        let mut best = (f64::INFINITY, low);
        for i in low..=high.min(j) {
            let cost = self.before[i] + self.sums.cost(i, j);
            if cost < best.0 {
                best = (cost, i);
            }
        }
        self.cost[j] = best.0;
        self.start[j] = best.1 as u32;
        if j > first {
            self.fill((first, j - 1), (low, best.1));
        }
        self.fill((j + 1, last), (best.1, high));
    }
}

/// `count` ascending values, near which the weights lie: those of least squared distance.
pub(super) fn table(weights: impl Iterator<Item = f32>, count: usize) -> Vec<f32> {
    let mut sorted: Vec<f32> = weights.filter(|w| w.is_finite()).collect();
    sorted.sort_by(f32::total_cmp);
    if sorted.is_empty() {
        return vec![0.0; count];
    }
    let sums = Sums::of(&sorted);
    let n = sums.0.len() - 1;
    let mut cost: Vec<f64> = (0..=n).map(|j| sums.cost(0, j)).collect();
    let mut starts = Vec::new();
    for _ in 1..count {
        let mut row = Row {
            sums: &sums,
            before: &cost,
            cost: vec![0.0; n + 1],
            start: vec![0; n + 1],
        };
        row.fill((0, n), (0, n));
        starts.push(row.start);
        cost = row.cost;
    }
    let mut means = vec![0f32; count];
    let mut end = n;
    for i in (0..count).rev() {
        let from = if i == 0 {
            0
        } else {
            starts[i - 1][end] as usize
        };
        let [n, s, _] = sums.between(from, end);
        // A mean without points takes the place of its neighbour.
        means[i] = match (n > 0.0, means.get(i + 1)) {
            (true, _) => (s / n) as f32,
            (false, Some(&next)) => next,
            (false, None) => sorted[sorted.len() - 1],
        };
        end = from;
    }
    means
}

/// The position of the value of an ascending table that is nearest to `w`.
pub(super) fn nearest(table: &[f32], w: f32) -> usize {
    let above = table.partition_point(|&v| v < w);
    match above {
        0 => 0,
        _ if above == table.len() => above - 1,
        _ if w - table[above - 1] <= table[above] - w => above - 1,
        _ => above,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tables_of_as_many_values_are_exact() {
        let values = [-3.0f32, -0.5, 0.25, 2.0];
        let weights: Vec<f32> = (0..400).map(|i| values[i * 7 % 4]).collect();
        let table = table(weights.iter().copied(), 4);
        assert_eq!(table, values);
        for &w in &weights {
            assert_eq!(table[nearest(&table, w)], w);
        }
    }

    #[test]
    fn means_beat_even_steps_on_a_bell_curve() {
        let weights: Vec<f32> = (0..20_000)
            .map(|i| {
                // The sum of uniforms is nearly normal.
                let uniform = |k: u64| {
                    let z = (i as u64 * 4 + k).wrapping_mul(0x9e37_79b9_7f4a_7c15);
                    let z = (z ^ (z >> 29)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
                    ((z >> 40) as f32) / (1u64 << 24) as f32 - 0.5
                };
                (0..4).map(uniform).sum::<f32>()
            })
            .collect();
        let error = |table: &[f32]| -> f64 {
            let one = |&w: &f32| f64::from(w - table[nearest(table, w)]).powi(2);
            weights.iter().map(one).sum()
        };
        let top = weights.iter().fold(0f32, |m, w| m.max(w.abs()));
        let even: Vec<f32> = (0..16).map(|i| top * (i as f32 / 7.5 - 1.0)).collect();
        let means = table(weights.iter().copied(), 16);
        assert!(error(&means) < 0.6 * error(&even));
    }

    #[test]
    fn means_are_the_best_there_are() {
        // Every cut of nine values into three parts.
        let values = [-4.0f32, -3.5, -1.0, 0.0, 0.25, 0.3, 2.0, 7.0, 7.5];
        let spread = |part: &[f32]| {
            let mean = part.iter().sum::<f32>() / part.len() as f32;
            part.iter().map(|v| (v - mean).powi(2)).sum::<f32>()
        };
        let mut least = f32::INFINITY;
        for i in 1..8 {
            for j in i + 1..9 {
                let parts = [&values[..i], &values[i..j], &values[j..]];
                least = least.min(parts.iter().map(|p| spread(p)).sum());
            }
        }
        let found = table(values.into_iter(), 3);
        let error: f32 = values
            .iter()
            .map(|&v| (v - found[nearest(&found, v)]).powi(2))
            .sum();
        assert!((error - least).abs() < 1e-4, "{error} against {least}");
    }

    #[test]
    fn nothing_and_sameness() {
        assert_eq!(table(std::iter::empty(), 4), [0.0; 4]);
        let same = table([0.5; 10].into_iter(), 4);
        assert_eq!(same[nearest(&same, 0.5)], 0.5);
    }
}
