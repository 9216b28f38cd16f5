//! Outputs become answers: classes, text, boxes.

mod ctc;
mod db;

pub use ctc::{Text, ctc};
pub use db::{TextBox, db};

/// A class and its score.
#[derive(Clone, Debug, PartialEq, serde::Serialize)]
pub struct Class {
    /// Position in the output.
    pub index: usize,
    /// Its name, when the bundle has labels.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub label: Option<String>,
    /// The output's value.
    pub score: f32,
}

/// The `k` largest values, largest first, ties by position. NaN never wins.
pub fn top(values: &[f32], k: usize, labels: Option<&[String]>) -> Vec<Class> {
    let mut order: Vec<usize> = (0..values.len()).filter(|&i| !values[i].is_nan()).collect();
    order.sort_by(|&a, &b| values[b].total_cmp(&values[a]).then(a.cmp(&b)));
    order
        .into_iter()
        .take(k)
        .map(|index| Class {
            index,
            label: labels.and_then(|l| l.get(index)).cloned(),
            score: values[index],
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn largest_first_without_nan() {
        let labels = ["a".to_owned(), "b".to_owned()];
        let best = top(&[0.5, f32::NAN, 2.0, 0.5], 3, Some(&labels));
        assert_eq!(best.iter().map(|c| c.index).collect::<Vec<_>>(), [2, 0, 3]);
        assert_eq!(best[1].label.as_deref(), Some("a"));
    }
}
