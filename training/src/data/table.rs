//! Tables in CSV files.
use super::{Damaged, Samples, Values};
use crate::error::TrainingError;
use crate::front::{Column, Front, Table};
use csv_core::{ReadRecordResult, Reader, ReaderBuilder};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// What the columns of a table are.
#[derive(Clone, Copy, Debug)]
pub struct Columns<'a> {
    /// The column of the classes; without one, all rows are of one class, `normal`.
    pub target: Option<&'a str>,
    /// Columns that hold categories, with those that there are; none are named where the file tells. All others hold
    /// numbers.
    pub categories: &'a BTreeMap<String, Vec<String>>,
    /// Columns that are left out.
    pub ignore: &'a [String],
}

/// A line of a table.
struct Row {
    line: u64,
    cells: Vec<String>,
}

/// Reads a CSV file whose first line names the columns; commas, semicolons or tabs part them. Rows in which something is
/// missing, no number, or no known category come back with the reason.
///
/// # Errors
/// Files that cannot be read, columns that are not there, tables without usable rows or with one class.
pub fn read_table(path: &Path, columns: &Columns<'_>) -> Result<(Samples, Damaged), TrainingError> {
    let bytes = std::fs::read(path).map_err(TrainingError::io(path))?;
    let wrong = |what: String| TrainingError::Data(format!("{}: {what}", path.display()));
    let mut rows = rows(&bytes).map_err(wrong)?;
    if rows.is_empty() {
        return Err(wrong("the file is empty".into()));
    }
    let header = rows.remove(0).cells;
    for (i, name) in header.iter().enumerate() {
        if header[..i].contains(name) {
            return Err(wrong(format!("two columns are called `{name}`")));
        }
    }
    let find = |name: &str| {
        header.iter().position(|h| h == name).ok_or_else(|| {
            wrong(format!(
                "no column is called `{name}`: the first line names {}",
                header.join(", ")
            ))
        })
    };
    let target = columns.target.map(find).transpose()?;
    for name in columns.categories.keys().chain(columns.ignore) {
        find(name)?;
    }
    let used: Vec<usize> = (0..header.len())
        .filter(|i| Some(*i) != target && !columns.ignore.contains(&header[*i]))
        .collect();
    if used.is_empty() {
        return Err(wrong("no column is left to learn from".into()));
    }
    // Rows of another length say nothing about categories either.
    let mut damaged = Vec::new();
    rows.retain(|row| {
        let fits = row.cells.len() == header.len();
        if !fits {
            let why = format!("{} cells, not {}", row.cells.len(), header.len());
            damaged.push((row.line, why));
        }
        fits
    });
    let names = |i: usize| {
        let mut names: Vec<String> = rows.iter().map(|r| r.cells[i].clone()).collect();
        names.sort_unstable();
        names.dedup();
        names.retain(|n| !n.is_empty());
        names
    };
    let kinds: Vec<Column> = used
        .iter()
        .map(|&i| match columns.categories.get(&header[i]) {
            None => Column::number(&header[i]),
            Some(given) if given.is_empty() => Column::category(&header[i], names(i)),
            Some(given) => Column::category(&header[i], given.clone()),
        })
        .collect();
    let classes = target.map_or_else(|| vec!["normal".to_owned()], names);
    let mut samples = Samples {
        shape: [1, 1, used.len()],
        ..Samples::default()
    };
    let mut values = Vec::new();
    for row in &rows {
        let cells: Result<Vec<f32>, String> = used
            .iter()
            .zip(&kinds)
            .map(|(&i, kind)| kind.read(&row.cells[i]))
            .collect();
        let label = match target {
            None => Some(0),
            Some(t) => classes.iter().position(|c| *c == row.cells[t]),
        };
        match (cells, label) {
            (Ok(cells), Some(label)) => {
                values.extend(cells);
                samples.labels.push(label as u32);
            }
            (Err(why), _) => damaged.push((row.line, why)),
            (_, None) => {
                let column = columns.target.unwrap_or_default();
                damaged.push((row.line, format!("column `{column}` is empty")));
            }
        }
    }
    damaged.sort();
    let damaged: Damaged = damaged
        .into_iter()
        .map(|(line, why)| (PathBuf::from(format!("{}:{line}", path.display())), why))
        .collect();
    if samples.is_empty() {
        return Err(wrong(match damaged.first() {
            None => "there are no rows below the names of the columns".into(),
            Some((row, why)) => format!("no row can be used; {}: {why}", row.display()),
        }));
    }
    samples.values = Values::Floats(values);
    samples.classes = classes;
    samples.front = Front::Table(Table::new(kinds));
    Ok((samples, damaged))
}

/// The lines of a file, with their numbers.
fn rows(bytes: &[u8]) -> Result<Vec<Row>, String> {
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    let first = bytes.split(|b| *b == b'\n').next().unwrap_or(bytes);
    let count = |d: u8| first.iter().filter(|b| **b == d).count();
    let delimiter = [b',', b';', b'\t']
        .into_iter()
        .rev()
        .max_by_key(|d| count(*d));
    let mut reader: Reader = ReaderBuilder::new()
        .delimiter(delimiter.unwrap_or(b','))
        .build();
    let (mut rows, mut rest) = (Vec::new(), bytes);
    let (mut text, mut ends) = (vec![0; 1024], vec![0; 64]);
    let (mut written, mut cells) = (0, 0);
    // The reader's own count is that of the line before where lines are blank.
    let (mut line, mut next) = (1, 1);
    let breaks = |bytes: &[u8]| bytes.iter().filter(|b| **b == b'\n').count() as u64;
    loop {
        if written == 0 && cells == 0 {
            let blank = rest
                .iter()
                .take_while(|b| matches!(b, b'\n' | b'\r'))
                .count();
            next += breaks(&rest[..blank]);
            rest = &rest[blank..];
            line = next;
        }
        let (result, read, wrote, ended) =
            reader.read_record(rest, &mut text[written..], &mut ends[cells..]);
        next += breaks(&rest[..read]);
        rest = &rest[read..];
        written += wrote;
        cells += ended;
        match result {
            ReadRecordResult::InputEmpty => {}
            ReadRecordResult::OutputFull => text.resize(text.len() * 2, 0),
            ReadRecordResult::OutputEndsFull => ends.resize(ends.len() * 2, 0),
            ReadRecordResult::End => return Ok(rows),
            ReadRecordResult::Record => {
                let mut from = 0;
                let mut row = Vec::with_capacity(cells);
                for &end in &ends[..cells] {
                    let cell = std::str::from_utf8(&text[from..end])
                        .map_err(|_| format!("line {line} is no UTF-8 text"))?;
                    row.push(cell.trim().to_owned());
                    from = end;
                }
                rows.push(Row { line, cells: row });
                (written, cells) = (0, 0);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(
        text: &str,
        target: Option<&str>,
        known: &[&str],
    ) -> Result<(Samples, Damaged), String> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("t.csv");
        std::fs::write(&path, text).unwrap();
        let known = known.iter().map(|k| (*k).to_owned()).collect();
        let categories = BTreeMap::from([("colour".to_owned(), known)]);
        let columns = Columns {
            target,
            categories: &categories,
            ignore: &["id".to_owned()],
        };
        read_table(&path, &columns).map_err(|e| e.to_string())
    }

    const TABLE: &str = "\u{feff}id,size,colour,kind\n1,2.5,red,b\n2,,red,a\n3,7,blue,a\n\n4,x,red,a\n5,1e3,green,\n6,1\n7,\"-3\",\"red\",a\n";

    #[test]
    fn columns_by_name_and_rows_that_are_no_use() {
        let (samples, damaged) = read(TABLE, Some("kind"), &[]).unwrap();
        assert_eq!(samples.classes, ["a", "b"]);
        assert_eq!(samples.labels, [1, 0, 0]);
        // Categories in the order of their names: blue, green, red.
        assert_eq!(
            samples.values,
            Values::Floats(vec![2.5, 2.0, 7.0, 0.0, -3.0, 2.0])
        );
        let told: Vec<String> = damaged
            .iter()
            .map(|(p, why)| format!("{}: {why}", p.file_name().unwrap().to_string_lossy()))
            .collect();
        assert_eq!(
            told,
            [
                "t.csv:3: column `size` is empty",
                "t.csv:6: column `size`: `x` is no number; name the column in [data] categories if it holds categories",
                "t.csv:7: column `kind` is empty",
                "t.csv:8: 2 cells, not 4",
            ]
        );
        let (_, damaged) = read(TABLE, Some("kind"), &["red"]).unwrap();
        assert!(
            damaged[1]
                .1
                .contains("`blue` is none of its categories: red"),
            "{damaged:?}"
        );
    }

    #[test]
    fn semicolons_tabs_and_no_target() {
        let text = TABLE.replace(',', ";");
        assert_eq!(read(&text, Some("kind"), &[]).unwrap().0.len(), 3);
        let (samples, _) = read("size\tcolour\tid\n1\tred\t9\n", None, &[]).unwrap();
        assert_eq!(samples.classes, ["normal"]);
    }

    #[test]
    fn what_is_not_there_is_named() {
        for (text, target, said) in [
            (
                TABLE,
                "sort",
                "no column is called `sort`: the first line names id, size",
            ),
            ("", "a", "the file is empty"),
            ("id,colour\n1,red\n", "colour", "no column is left"),
            ("id,colour,a,a\n", "a", "two columns are called `a`"),
            ("id,colour,a\n", "a", "no rows below"),
            (
                "id,colour,a\n1,,x\n",
                "a",
                "t.csv:2: column `colour` is empty",
            ),
        ] {
            let message = read(text, Some(target), &[]).unwrap_err();
            assert!(message.contains(said), "{message}");
        }
    }
}
