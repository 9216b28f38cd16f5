//! Pictures whose classes stand in a file: exports of COCO's format and of Label Studio.
use super::coco::Coco;
use super::pictures::{Edges, decode};
use super::{Damaged, Samples, Values};
use crate::error::TrainingError;
use rayon::prelude::*;
use serde::Deserialize;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

/// A picture and what is said of it.
#[derive(Debug, Default, PartialEq)]
struct Said {
    /// Name of its file, as the export has it.
    file: String,
    /// Classes by name, with the part of the picture where there is one.
    labels: Vec<(String, Option<Edges>)>,
}

/// Reads the pictures that an export names, from `folder`, resized to `shape`.
///
/// With `crops` each box is a sample, whose group is its picture; without, each picture is one, and all that is said of it
/// is of one class. Classes without samples stay.
///
/// # Errors
/// Exports that cannot be read, or of which no picture can.
pub fn read_annotated(
    export: &Path,
    folder: &Path,
    shape: [usize; 3],
    crops: bool,
) -> Result<(Samples, Damaged), TrainingError> {
    let text = std::fs::read_to_string(export).map_err(TrainingError::io(export))?;
    let wrong = |what: String| TrainingError::Data(format!("{}: {what}", export.display()));
    let (classes, said) = parse(&text).map_err(wrong)?;
    let read: Vec<_> = said
        .par_iter()
        .map(|s| {
            let file = find(folder, &s.file);
            let samples = samples(&file, s, crops, shape);
            (file, s, samples)
        })
        .collect();
    let mut out = Samples {
        shape,
        ..Samples::default()
    };
    let (mut values, mut damaged) = (Vec::new(), Damaged::new());
    for (file, said, samples) in read {
        for sample in samples {
            match sample {
                Ok((class, pixels)) => {
                    values.extend(pixels);
                    let label = classes.iter().position(|c| *c == class).unwrap_or(0);
                    out.labels.push(label as u32);
                    if crops {
                        out.groups.push(said.file.clone());
                    }
                }
                Err(why) => damaged.push((file.clone(), why)),
            }
        }
    }
    if out.is_empty() {
        return Err(wrong(format!(
            "no sample could be read of the {} pictures that it names, from {}{}",
            said.len(),
            folder.display(),
            damaged.first().map_or(String::new(), |(f, why)| format!(
                "; {}: {why}",
                f.display()
            ))
        )));
    }
    out.values = Values::Bytes(values);
    out.classes = classes;
    Ok((out, damaged))
}

type Sample = Result<(String, Vec<u8>), String>;

/// The samples of a picture.
fn samples(file: &Path, said: &Said, crops: bool, shape: [usize; 3]) -> Vec<Sample> {
    if crops {
        let boxes: Vec<_> = said
            .labels
            .iter()
            .filter_map(|(class, edges)| Some((class, (*edges)?)))
            .collect();
        let edges: Vec<Option<Edges>> = boxes.iter().map(|b| Some(b.1)).collect();
        return match decode(file, &edges, shape) {
            _ if boxes.is_empty() => Vec::new(),
            Err(why) => vec![Err(why)],
            Ok(pixels) => pixels
                .into_iter()
                .zip(&boxes)
                .map(|(p, (class, _))| Ok(((*class).clone(), p?)))
                .collect(),
        };
    }
    let classes: BTreeSet<&String> = said.labels.iter().map(|l| &l.0).collect();
    let mut classes = classes.into_iter();
    match (classes.next(), classes.next()) {
        (None, _) => vec![Err("nothing is said of it".into())],
        (Some(a), Some(b)) => vec![Err(format!(
            "it is of several classes ({a}, {b}); crops = true makes a sample of each box"
        ))],
        (Some(class), None) => {
            let mut made = decode(file, &[None], shape).unwrap_or_else(|why| vec![Err(why)]);
            let made = made.pop().unwrap_or_else(|| Err("no picture".into()));
            vec![made.map(|pixels| (class.clone(), pixels))]
        }
    }
}

/// Where the file of an export is: at its path below the folder, or by its name alone. Label Studio puts eight digits and
/// a dash before the names of files that it was given.
fn find(folder: &Path, named: &str) -> PathBuf {
    let local = named.split_once("?d=").map_or(named, |(_, path)| path);
    let path = local.split_once("://").map_or(local, |(_, path)| path);
    let name = path.rsplit('/').next().unwrap_or(path);
    let inside = Path::new(path);
    let plain = |c: std::path::Component<'_>| matches!(c, std::path::Component::Normal(_));
    let mut places = Vec::new();
    if inside.components().all(plain) {
        places.push(folder.join(inside));
    }
    places.push(folder.join(name));
    if let Some((digits, rest)) = name.split_once('-')
        && digits.len() == 8
        && digits.bytes().all(|b| b.is_ascii_hexdigit())
    {
        places.push(folder.join(rest));
    }
    let there = places.iter().find(|p| p.is_file());
    there.unwrap_or(&places[0]).clone()
}

/// The classes of an export and its pictures.
fn parse(text: &str) -> Result<(Vec<String>, Vec<Said>), String> {
    let wrong = |e: serde_json::Error| {
        format!(
            "it is neither COCO's JSON (images, annotations, categories) nor Label Studio's (export as JSON): {e}"
        )
    };
    if text.trim_start().starts_with('[') {
        return Ok(label_studio(serde_json::from_str(text).map_err(wrong)?));
    }
    coco(serde_json::from_str(text).map_err(wrong)?)
}

/// COCO: boxes are left edge, upper edge, width and height in pixels; boxes around crowds are left out.
fn coco(coco: Coco) -> Result<(Vec<String>, Vec<Said>), String> {
    let names: BTreeMap<u64, &str> = coco.categories.iter().map(|c| (c.id, &*c.name)).collect();
    let mut places = BTreeMap::new();
    let mut all = Vec::new();
    for image in coco.images {
        places.insert(image.id, all.len());
        all.push(Said {
            file: image.file_name,
            labels: Vec::new(),
        });
    }
    for (i, a) in coco
        .annotations
        .iter()
        .enumerate()
        .filter(|(_, a)| a.iscrowd == 0)
    {
        let Some(&place) = places.get(&a.image_id) else {
            return Err(format!(
                "annotation {i} is of image {}, which is not there",
                a.image_id
            ));
        };
        let Some(name) = names.get(&a.category_id) else {
            return Err(format!(
                "annotation {i} is of category {}, which is not there",
                a.category_id
            ));
        };
        let edges = a.bbox.map(|[x, y, w, h]| Edges {
            edges: [x, y, x + w, y + h],
            relative: false,
        });
        all[place].labels.push(((*name).to_owned(), edges));
    }
    let mut classes: Vec<String> = Vec::new();
    for name in names.values() {
        if !classes.iter().any(|c| c == name) {
            classes.push((*name).to_owned());
        }
    }
    Ok((classes, all))
}

#[derive(Deserialize)]
struct Task {
    data: BTreeMap<String, serde_json::Value>,
    #[serde(default)]
    annotations: Vec<Completion>,
}

#[derive(Deserialize)]
struct Completion {
    #[serde(default)]
    was_cancelled: bool,
    #[serde(default)]
    result: Vec<Region>,
}

#[derive(Deserialize)]
struct Region {
    to_name: Option<String>,
    #[serde(default)]
    value: Value,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Value {
    choices: Vec<String>,
    rectanglelabels: Vec<String>,
    x: f64,
    y: f64,
    width: f64,
    height: f64,
    rotation: f64,
}

/// Label Studio: choices for whole pictures, rectangles in percent of the sides; of a picture's annotations the last that
/// was not cancelled counts. Turned rectangles become the upright ones around them.
fn label_studio(tasks: Vec<Task>) -> (Vec<String>, Vec<Said>) {
    let mut classes = BTreeSet::new();
    let mut all = Vec::new();
    for task in tasks {
        let done = task.annotations.iter().rev().find(|a| !a.was_cancelled);
        let regions = done.map_or(&[][..], |d| &d.result);
        let named = regions.iter().find_map(|r| {
            let name = r.to_name.as_ref()?;
            task.data.get(name)?.as_str()
        });
        // The picture is what the regions are of, or the only text of the task.
        let file = ["image", "img", "picture"];
        let file = file.iter().find_map(|k| task.data.get(*k)?.as_str());
        let file = named
            .or(file)
            .or_else(|| task.data.values().find_map(|v| v.as_str()));
        let mut labels = Vec::new();
        for v in regions.iter().map(|r| &r.value) {
            labels.extend(v.choices.iter().map(|c| (c.clone(), None)));
            labels.extend(
                v.rectanglelabels
                    .iter()
                    .map(|c| (c.clone(), Some(upright(v)))),
            );
        }
        classes.extend(labels.iter().map(|l| l.0.clone()));
        all.push(Said {
            file: file.unwrap_or_default().to_owned(),
            labels,
        });
    }
    (classes.into_iter().collect(), all)
}

/// The upright rectangle around one that is turned clockwise around its upper left corner.
fn upright(v: &Value) -> Edges {
    let (sin, cos) = v.rotation.to_radians().sin_cos();
    let corners = [
        (0.0, 0.0),
        (v.width, 0.0),
        (0.0, v.height),
        (v.width, v.height),
    ];
    let corners = corners.map(|(x, y)| (v.x + x * cos - y * sin, v.y + x * sin + y * cos));
    let ends = |of: fn(&(f64, f64)) -> f64| {
        let all = corners.iter().map(of);
        let low = all.clone().fold(f64::INFINITY, f64::min);
        (low / 100.0, all.fold(f64::NEG_INFINITY, f64::max) / 100.0)
    };
    let ((left, right), (top, bottom)) = (ends(|c| c.0), ends(|c| c.1));
    Edges {
        edges: [left, top, right, bottom],
        relative: true,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A picture whose left half is black and whose right half is white.
    fn folder() -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join("deep")).unwrap();
        for name in ["a.png", "deep/b.png"] {
            let picture = image::GrayImage::from_fn(40, 20, |x, _| {
                image::Luma([if x < 20 { 0 } else { 255 }])
            });
            picture.save(folder.path().join(name)).unwrap();
        }
        folder
    }

    fn read(text: &str, crops: bool) -> Result<(Samples, Damaged), String> {
        let folder = folder();
        let export = folder.path().join("export.json");
        std::fs::write(&export, text).unwrap();
        read_annotated(&export, folder.path(), [4, 4, 1], crops).map_err(|e| e.to_string())
    }

    const COCO: &str = r#"{"images": [{"id": 5, "file_name": "a.png", "width": 40}, {"id": 6, "file_name": "deep/b.png"}, {"id": 7, "file_name": "c.png"}],
        "annotations": [
            {"id": 1, "image_id": 5, "category_id": 2, "bbox": [0, 0, 20, 20]},
            {"id": 2, "image_id": 5, "category_id": 9, "bbox": [25.5, 2, 10, 10]},
            {"id": 3, "image_id": 6, "category_id": 9, "bbox": [20, 0, 20, 20], "iscrowd": 0},
            {"id": 4, "image_id": 6, "category_id": 2, "bbox": [0, 0, 20, 20], "iscrowd": 1},
            {"id": 5, "image_id": 6, "category_id": 9, "bbox": [80, 0, 20, 20]},
            {"id": 6, "image_id": 7, "category_id": 9, "bbox": [0, 0, 20, 20]}],
        "categories": [{"id": 2, "name": "dark"}, {"id": 9, "name": "light"}, {"id": 10, "name": "none"}]}"#;

    #[test]
    fn boxes_of_coco_are_samples_that_their_picture_groups() {
        let (samples, damaged) = read(COCO, true).unwrap();
        assert_eq!(samples.classes, ["dark", "light", "none"]);
        assert_eq!(samples.balance(), [1, 2, 0]);
        assert_eq!(samples.groups, ["a.png", "a.png", "deep/b.png"]);
        assert_eq!(samples.bytes(0), [0; 16]);
        assert_eq!(samples.bytes(1), [255; 16]);
        assert_eq!(damaged.len(), 2, "{damaged:?}");
        assert!(damaged[0].1.contains("outside"), "{damaged:?}");
        assert!(damaged[1].0.ends_with("c.png"), "{damaged:?}");
    }

    #[test]
    fn pictures_of_coco_are_samples_of_one_class() {
        let (samples, damaged) = read(COCO, false).unwrap();
        assert_eq!((samples.len(), &samples.labels[..]), (1, &[1][..]));
        assert!(samples.groups.is_empty());
        assert!(
            damaged[0].1.contains("several classes (dark, light)"),
            "{damaged:?}"
        );
    }

    #[test]
    fn exports_of_label_studio() {
        let text = r#"[
            {"id": 1, "data": {"image": "/data/upload/3/0a1b2c3d-a.png"}, "annotations": [
                {"was_cancelled": true, "result": []},
                {"result": [
                    {"to_name": "image", "type": "rectanglelabels", "value": {"x": 50, "y": 10, "width": 40, "height": 50, "rotation": 0, "rectanglelabels": ["light"]}},
                    {"to_name": "image", "type": "rectanglelabels", "value": {"x": 40, "y": 0, "width": 100, "height": 20, "rotation": 90, "rectanglelabels": ["dark"]}}]}]},
            {"id": 2, "data": {"image": "/data/local-files/?d=deep/b.png"}, "annotations": [{"result": [{"to_name": "image", "value": {"choices": ["half"]}}]}]},
            {"id": 3, "data": {"image": "a.png"}, "annotations": []}]"#;
        let (samples, _) = read(text, true).unwrap();
        assert_eq!(samples.classes, ["dark", "half", "light"]);
        assert_eq!(samples.labels, [2, 0]);
        assert_eq!(samples.bytes(0), [255; 16]);
        assert_eq!(samples.bytes(1), [0; 16]);
        let (samples, damaged) = read(text, false).unwrap();
        assert_eq!(samples.labels, [1]);
        assert!(damaged[1].1.contains("nothing is said"), "{damaged:?}");
    }

    #[test]
    fn what_is_no_export_is_named() {
        for (text, said) in [
            ("{}", "neither COCO's JSON"),
            ("[1]", "nor Label Studio's"),
            (
                &COCO.replace("\"image_id\": 7", "\"image_id\": 8"),
                "of image 8",
            ),
            (
                &COCO.replace("\"category_id\": 9", "\"category_id\": 11"),
                "of category 11",
            ),
            ("[]", "no sample could be read of the 0 pictures"),
        ] {
            let message = read(text, true).unwrap_err();
            assert!(
                message.contains("export.json") && message.contains(said),
                "{message}"
            );
        }
    }
}
