//! Rows of tables: numbers are standardised, categories become one unit each.
use crate::data::Samples;

/// A column of a table.
#[derive(Clone, Debug, PartialEq)]
pub struct Column {
    /// Its name.
    pub name: String,
    /// The categories it holds; empty for numbers.
    pub categories: Vec<String>,
    /// Of numbers: the mean of the rows to learn from,
    mean: f32,
    /// and one over their standard deviation; 1 where they do not differ.
    scale: f32,
}

impl Column {
    /// A column of numbers.
    pub fn number(name: &str) -> Self {
        Self::category(name, Vec::new())
    }

    /// A column of categories.
    pub fn category(name: &str, categories: Vec<String>) -> Self {
        Self {
            name: name.to_owned(),
            categories,
            mean: 0.0,
            scale: 1.0,
        }
    }

    /// What stands in a cell: a number, or the number of a category.
    pub(crate) fn read(&self, cell: &str) -> Result<f32, String> {
        let name = &self.name;
        if cell.is_empty() {
            return Err(format!("column `{name}` is empty"));
        }
        if !self.categories.is_empty() {
            let found = self.categories.iter().position(|c| c == cell);
            return found.map(|i| i as f32).ok_or_else(|| {
                format!(
                    "column `{name}`: `{cell}` is none of its categories: {}",
                    self.categories.join(", ")
                )
            });
        }
        cell.parse::<f32>()
            .ok()
            .filter(|v| v.is_finite())
            .ok_or_else(|| {
                format!(
                    "column `{name}`: `{cell}` is no number; name the column in [data] categories if it holds categories"
                )
            })
    }
}

/// A front end for rows: columns of numbers first, then the categories.
#[derive(Clone, Debug, PartialEq)]
pub struct Table {
    /// The columns in the order in which rows hold them.
    pub columns: Vec<Column>,
}

impl Table {
    /// A front end for rows of these columns.
    pub const fn new(columns: Vec<Column>) -> Self {
        Self { columns }
    }

    /// Columns of numbers.
    pub fn numbers(&self) -> usize {
        self.columns
            .iter()
            .filter(|c| c.categories.is_empty())
            .count()
    }

    /// Numbers that the network reads.
    pub fn width(&self) -> usize {
        let units = |c: &Column| c.categories.len().max(1);
        self.columns.iter().map(units).sum()
    }

    /// For each number that the network reads: the column, a factor and a shift. Those of categories are the column less
    /// the category's number, of which [`hat`] makes 1 for 0 and 0 for other whole numbers.
    pub(crate) fn affine(&self) -> Vec<(usize, f32, f32)> {
        let columns = || self.columns.iter().enumerate();
        let numbers = columns().filter(|(_, c)| c.categories.is_empty());
        let numbers = numbers.map(|(i, c)| (i, c.scale, -c.mean * c.scale));
        let categories = columns().flat_map(|(i, c)| {
            let names = 0..c.categories.len();
            names.map(move |k| (i, 1.0, -(k as f32)))
        });
        numbers.chain(categories).collect()
    }

    /// Writes what the network reads of a row.
    pub fn apply(&self, row: &[f32], out: &mut [f32]) {
        let numbers = self.numbers();
        for (k, (o, (i, factor, shift))) in out.iter_mut().zip(self.affine()).enumerate() {
            let v = row[i] * factor + shift;
            *o = if k < numbers { v } else { hat(v) };
        }
    }

    /// Takes means and deviations from the samples to learn from, of which there are some.
    pub(super) fn settle(&mut self, samples: &Samples, train: &[usize]) {
        let width = self.columns.len();
        let mut sums = vec![[0f64; 2]; width];
        let rows: Vec<Vec<f32>> = train.iter().map(|&i| samples.floats(i)).collect();
        let n = rows.len() as f64;
        for row in &rows {
            for (sum, v) in sums.iter_mut().zip(row) {
                sum[0] += f64::from(*v);
            }
        }
        // A second pass: squares of large numbers would hide small deviations.
        for row in &rows {
            for (sum, v) in sums.iter_mut().zip(row) {
                sum[1] += (f64::from(*v) - sum[0] / n).powi(2);
            }
        }
        for (column, sum) in self.columns.iter_mut().zip(&sums) {
            let (mean, deviation) = (sum[0] / n, (sum[1] / n).sqrt());
            column.mean = mean as f32;
            // What never differs has no scale of its own.
            let differs = deviation > 1e-6 * mean.abs().max(1e-30);
            column.scale = if differs {
                (1.0 / deviation) as f32
            } else {
                1.0
            };
        }
    }
}

/// 1 at 0, falling to 0 at -1 and 1.
fn hat(v: f32) -> f32 {
    (1.0 - v.abs()).max(0.0)
}
