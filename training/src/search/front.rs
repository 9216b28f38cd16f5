//! Which of several candidates no other is better than.

/// The places of the points that no other dominates (Pareto's front), in order; every number of a point is to be small. Of
/// points that are equal, the first counts.
pub fn front(points: &[Vec<f64>]) -> Vec<usize> {
    let dominates = |a: usize, b: usize| {
        let pairs = || points[a].iter().zip(&points[b]);
        let better = pairs().any(|(x, y)| x < y);
        pairs().all(|(x, y)| x <= y) && (better || a < b)
    };
    (0..points.len())
        .filter(|&p| !(0..points.len()).any(|q| q != p && dominates(q, p)))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::front;

    #[test]
    fn what_is_worse_in_all_goes() {
        let points = [
            vec![1.0, 5.0],
            vec![2.0, 2.0],
            vec![2.0, 3.0],
            vec![5.0, 1.0],
            vec![2.0, 2.0],
            vec![6.0, 6.0],
        ];
        assert_eq!(front(&points), [0, 1, 3]);
        assert_eq!(front(&[]), [0usize; 0]);
    }
}
