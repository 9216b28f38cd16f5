//! Labelled data: folders by class, tables of files, arrays with labels, COCO annotations.

use super::{Case, Kind, TrueBox, Truth};
use crate::calibration;
use crate::failure::usage;
use crate::media::{npy, picture};
use anyhow::{Context, Result, anyhow, bail};
use cygnet_compiler::bundle::{Manifest, Preprocess};
use cygnet_compiler::quantize::Sample;
use cygnet_training::data::coco::{Category, Coco, Image};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// Names of the array of labels in an `.npz` file.
const LABELS: [&str; 4] = ["label", "labels", "target", "y"];

/// A table in a folder is looked for under these names.
const TABLES: [&str; 4] = [
    "labels.csv",
    "labels.tsv",
    "annotations.json",
    "_annotations.coco.json",
];

/// Reads at most `limit` cases, spread evenly over what there is.
pub fn read(
    path: &Path,
    kind: Kind,
    manifest: &Manifest,
    wish: &Preprocess,
    labels: Option<&[String]>,
    limit: usize,
) -> Result<Vec<Case>> {
    let reader = Reader {
        kind,
        manifest,
        wish,
        labels,
        limit,
    };
    let shown = path.display();
    if !path.exists() {
        return Err(usage(format!(
            "--validate {shown}: there is no such folder or file: give a folder with a sub-folder for each class, a .csv or .tsv with the columns file and label, an .npz with an array `labels`, or a COCO .json"
        )));
    }
    let cases = if path.is_dir() {
        match TABLES.iter().map(|t| path.join(t)).find(|t| t.exists()) {
            Some(table) => reader.file(&table)?,
            None => reader.folders(path)?,
        }
    } else {
        reader.file(path)?
    };
    if cases.is_empty() {
        bail!("--validate {shown}: there are no cases in it");
    }
    Ok(cases)
}

struct Reader<'a> {
    kind: Kind,
    manifest: &'a Manifest,
    wish: &'a Preprocess,
    labels: Option<&'a [String]>,
    limit: usize,
}

/// What the columns of a table of files are called.
const FILE: [&str; 4] = ["file", "path", "filename", "image"];
const LABEL: [&str; 4] = ["label", "class", "text", "target"];

impl Reader<'_> {
    fn file(&self, path: &Path) -> Result<Vec<Case>> {
        match calibration::extension(path).as_str() {
            "csv" => self.table(path, b','),
            "tsv" => self.table(path, b'\t'),
            "json" => self.coco(path),
            "npz" => self.arrays(path),
            _ => Err(usage(format!(
                "--validate {}: give a folder, a .csv, .tsv, .npz or a COCO .json",
                path.display()
            ))),
        }
    }

    /// The samples of a file, which are one case.
    fn samples(&self, path: &Path) -> Result<Vec<Sample>> {
        calibration::file(path, self.manifest, self.wish)
    }

    /// Evenly spread items.
    fn spread<T>(&self, items: Vec<T>) -> Vec<T> {
        let (all, count) = (items.len(), self.limit.max(1));
        if all <= count {
            return items;
        }
        let mut next = 0;
        let wanted = |(i, item)| {
            let take = i == next * all / count;
            next += usize::from(take);
            take.then_some(item)
        };
        items.into_iter().enumerate().filter_map(wanted).collect()
    }

    /// A sub-folder for each class.
    fn folders(&self, path: &Path) -> Result<Vec<Case>> {
        let shown = path.display();
        if self.kind == Kind::Boxes {
            return Err(usage(format!(
                "--validate {shown}: boxes come from COCO annotations: put an annotations.json into the folder, or name the file"
            )));
        }
        let mut names = Vec::new();
        for entry in std::fs::read_dir(path).with_context(|| format!("cannot read {shown}"))? {
            let entry = entry?.path();
            if entry.is_dir() {
                names.push(entry);
            }
        }
        names.sort();
        if names.is_empty() {
            return Err(usage(format!(
                "--validate {shown}: there is neither a sub-folder for each class nor a {}",
                TABLES.join(" or ")
            )));
        }
        let known: Vec<String> = names.iter().map(|n| name_of(n)).collect();
        let mut files = Vec::new();
        for (folder, name) in names.iter().zip(&known) {
            for file in calibration::files(folder)? {
                files.push((file, name.clone()));
            }
        }
        let case = |(file, label): (PathBuf, String)| {
            Ok(Case {
                samples: self.samples(&file)?,
                truth: self.truth(&label, Some(&known), &file.display().to_string())?,
            })
        };
        self.spread(files).into_iter().map(case).collect()
    }

    /// Files with labels in a table, by columns `file` and `label`.
    fn table(&self, path: &Path, delimiter: u8) -> Result<Vec<Case>> {
        let shown = path.display();
        let folder = path.parent().unwrap_or(Path::new(""));
        let bytes = std::fs::read(path).with_context(|| format!("cannot read {shown}"))?;
        let mut records = records(&bytes, delimiter)
            .with_context(|| format!("--validate {shown}: the table is not UTF-8"))?
            .into_iter();
        let head = records.next().unwrap_or_default();
        let column = |names: [&str; 4]| {
            let named = |h: &String| names.contains(&h.trim().to_ascii_lowercase().as_str());
            head.iter().position(named).with_context(|| {
                format!(
                    "--validate {shown}: the table needs the columns `file` and `label` in its first line, it has {}",
                    head.join(", ")
                )
            })
        };
        let (file, label) = (column(FILE)?, column(LABEL)?);
        let mut rows = Vec::new();
        for (i, record) in records.enumerate() {
            let field = |at: usize| {
                let line = i + 2;
                record.get(at).cloned().with_context(|| {
                    format!(
                        "--validate {shown}: record {line} has {} columns",
                        record.len()
                    )
                })
            };
            rows.push((field(file)?, field(label)?));
        }
        let case = |(file, label): (String, String)| {
            Ok(Case {
                samples: self.samples(&folder.join(&file))?,
                truth: self.truth(&label, None, &format!("{shown}, {file}"))?,
            })
        };
        self.spread(rows).into_iter().map(case).collect()
    }

    /// Arrays for the inputs, and one of labels.
    fn arrays(&self, path: &Path) -> Result<Vec<Case>> {
        let shown = path.display().to_string();
        let arrays = npy::read_npz(path)?;
        let labels = arrays
            .iter()
            .find(|(name, _)| {
                LABELS.contains(&name.as_str())
                    && !self.manifest.inputs.iter().any(|t| t.name == *name)
            })
            .map(|(_, array)| array.to_f64())
            .with_context(|| {
                format!(
                    "--validate {shown}: there is no array of labels (one named {})",
                    LABELS.join(", ")
                )
            })?;
        let others = arrays.iter().filter(|(n, _)| !LABELS.contains(&n.as_str()));
        let samples =
            calibration::columns(others.cloned().collect(), &shown, self.manifest, self.wish)?;
        if samples.len() != labels.len() {
            bail!(
                "--validate {shown}: {} samples, {} labels",
                samples.len(),
                labels.len()
            );
        }
        let case = |(sample, label): (Sample, f64)| {
            let name = sample.name.clone();
            Ok(Case {
                samples: vec![sample],
                truth: self.truth(&label.to_string(), None, &name)?,
            })
        };
        let both = samples.into_iter().zip(labels).collect();
        self.spread(both).into_iter().map(case).collect()
    }

    /// COCO's annotations of things; files lie beside it.
    fn coco(&self, path: &Path) -> Result<Vec<Case>> {
        let shown = path.display();
        if self.kind != Kind::Boxes {
            return Err(usage(format!(
                "--validate {shown}: annotations of boxes are judged by --metric map"
            )));
        }
        let bytes = std::fs::read(path).with_context(|| format!("cannot read {shown}"))?;
        let coco: Coco = serde_json::from_slice(&bytes)
            .with_context(|| format!("--validate {shown}: this is not COCO's format"))?;
        // Classes in the order of their numbers, unless labels name them.
        let mut categories: Vec<&Category> = coco.categories.iter().collect();
        categories.sort_by_key(|c| c.id);
        let mut class_of = BTreeMap::new();
        for (i, c) in categories.iter().enumerate() {
            let named = self.labels.map(|l| l.iter().position(|l| *l == c.name));
            let class = match named {
                Some(None) => bail!("--validate {shown}: --labels has no `{}`", c.name),
                Some(Some(class)) => class,
                None => i,
            };
            class_of.insert(c.id, class);
        }
        let folder = path.parent().unwrap_or(Path::new(""));
        let case = |image: Image| {
            let file = [
                folder.join(&image.file_name),
                folder.join("images").join(&image.file_name),
            ]
            .into_iter()
            .find(|f| f.exists())
            .ok_or_else(|| anyhow!("--validate {shown}: there is no {}", image.file_name))?;
            let size = picture::read(&file)?;
            let of_image = coco.annotations.iter().filter(|a| a.image_id == image.id);
            let boxes = of_image.map(|a| {
                let bbox = a.bbox.with_context(|| {
                    format!(
                        "--validate {shown}: this is not COCO's format: an annotation has no `bbox`"
                    )
                })?;
                let [x, y, w, h] = bbox.map(|v| v as f32);
                let class = class_of.get(&a.category_id);
                Ok(TrueBox {
                    class: *class.with_context(|| {
                        format!(
                            "--validate {shown}: category {} is not described",
                            a.category_id
                        )
                    })?,
                    edges: [x, y, x + w, y + h],
                    ignored: a.iscrowd != 0,
                })
            });
            Ok(Case {
                truth: Truth::Boxes(
                    boxes.collect::<Result<_>>()?,
                    (size.width() as f32, size.height() as f32),
                ),
                samples: self.samples(&file)?,
            })
        };
        self.spread(coco.images).into_iter().map(case).collect()
    }

    /// What a label says. `folders` are the names of all folders where they stand for classes.
    fn truth(&self, label: &str, folders: Option<&[String]>, place: &str) -> Result<Truth> {
        let label = label.trim();
        match self.kind {
            Kind::Text => return Ok(Truth::Text(label.to_owned())),
            Kind::Boxes => bail!("{place}: boxes come from COCO annotations"),
            Kind::Class | Kind::Auc => {}
        }
        let named = self.labels.and_then(|l| l.iter().position(|l| l == label));
        let number = || {
            let value: f64 = label.parse().ok()?;
            (value >= 0.0 && value.fract() == 0.0).then_some(value as usize)
        };
        // Without names for classes, folders stand for them in the order of their names.
        let by_order = || match self.labels {
            Some(_) => None,
            None => folders?.iter().position(|f| f == label),
        };
        let class = named.or_else(number).or_else(by_order).with_context(|| {
            format!("{place}: `{label}` is no class: give --labels FILE with it, or write the class's number")
        })?;
        if self.kind == Kind::Auc && class > 1 {
            bail!(
                "{place}: class {class}: the area under the ROC curve needs 0 and 1 (1 is what is to be found)"
            );
        }
        Ok(Truth::Class(class))
    }
}

/// The records of a table, as RFC 4180 writes them.
fn records(bytes: &[u8], delimiter: u8) -> Result<Vec<Vec<String>>> {
    use csv_core::{ReadFieldResult, ReaderBuilder};
    // Editors on Windows put a mark before the text.
    let mut rest = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    let mut reader = ReaderBuilder::new().delimiter(delimiter).build();
    let (mut records, mut record, mut field) = (Vec::new(), Vec::new(), Vec::new());
    let mut buffer = [0; 1024];
    loop {
        let (result, read, written) = reader.read_field(rest, &mut buffer);
        rest = &rest[read..];
        field.extend_from_slice(&buffer[..written]);
        match result {
            ReadFieldResult::InputEmpty | ReadFieldResult::OutputFull => {}
            ReadFieldResult::Field { record_end } => {
                record.push(String::from_utf8(std::mem::take(&mut field))?);
                if record_end {
                    records.push(std::mem::take(&mut record));
                }
            }
            ReadFieldResult::End => return Ok(records),
        }
    }
}

fn name_of(path: &Path) -> String {
    path.file_name()
        .map_or_else(String::new, |n| n.to_string_lossy().into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tables_with_quotations() {
        let text =
            "\u{feff}file,label\r\na.png,\"two, three\"\nb.png,\"say \"\"x\"\"\"\n\nc.png,last";
        let got = records(text.as_bytes(), b',').unwrap();
        let expected = [
            ["file", "label"],
            ["a.png", "two, three"],
            ["b.png", "say \"x\""],
            ["c.png", "last"],
        ];
        assert_eq!(got, expected);
        assert!(records(b"\xff\xfe", b',').is_err());
        let long = "x".repeat(5000);
        assert_eq!(
            records(format!("{long}\ty").as_bytes(), b'\t').unwrap(),
            [[long, "y".into()]]
        );
    }
}
