//! What quantisation costs on labelled data that calibration has not seen (`tests/make_accuracy.py`): each model is
//! compiled in floats and in integers, both programs answer, and their answers are marked.

use cygnet_compiler::bundle::Array;
use cygnet_compiler::quantize::{self, Method, Precision, Quantised, Sample};
use cygnet_compiler::{CompileOptions, import};
use cygnet_format::DType;
use cygnet_tests::through::{self, Request};
use cygnet_tests::{Tensor, edits, npy, path, recognised};
use serde::Deserialize;

/// Points of accuracy that integers may cost.
const LOSS: f64 = 0.2;

/// A line of text.
#[derive(Clone, Debug, Deserialize)]
struct Line {
    file: String,
    text: String,
    kind: String,
}

fn read<T: for<'a> Deserialize<'a>>(file: &str) -> Vec<T> {
    let file = path::cache().join("accuracy").join(file);
    let bytes = path::read(&file).unwrap_or_else(|reason| {
        panic!("{reason}: run ./test.sh --data, or tests/make_accuracy.py")
    });
    serde_json::from_slice(&bytes).unwrap_or_else(|e| panic!("{}: {e}", file.display()))
}

fn floats(shape: &[usize], values: &[f32]) -> Tensor {
    Tensor {
        dtype: DType::F32,
        shape: shape.to_vec(),
        bytes: values.iter().flat_map(|v| v.to_le_bytes()).collect(),
    }
}

/// Pixels [height, width, channels] as [1, channels, height, width], `value * scale[c] + offset[c]`.
fn planes(pixels: &Tensor, scale: &[f32], offset: &[f32]) -> Tensor {
    let [h, w, c] = pixels.shape[..] else {
        panic!("a picture has three axes: {:?}", pixels.shape)
    };
    let mut values = Vec::with_capacity(h * w * c);
    for channel in 0..c {
        let of = pixels.bytes[channel..].iter().step_by(c);
        values.extend(of.map(|&v| f32::from(v) * scale[channel] + offset[channel]));
    }
    floats(&[1, c, h, w], &values)
}

fn sample(name: &str, t: &Tensor) -> Sample {
    Sample {
        name: name.to_owned(),
        inputs: vec![Array::new(t.dtype, t.shape.clone(), t.bytes.clone()).expect("whole")],
        continues: false,
    }
}

fn quantise(model: &[u8], request: &Request, samples: &[Sample]) -> Quantised {
    let mut choices = CompileOptions::default();
    choices.import = through::options(request);
    let graph = import::onnx(model, &choices.import).unwrap_or_else(|e| panic!("{e}"));
    let mut options = quantize::Options::default();
    options.precision = Precision::Int8;
    options.method = Method::Auto;
    let made =
        quantize::compile(graph, &choices, &options, samples).unwrap_or_else(|e| panic!("{e}"));
    for t in &made.record.techniques {
        eprintln!("  {}: {} {:?} {}", t.name, t.applied, t.snr_db, t.reason);
    }
    for a in &made.record.agreement {
        eprintln!(
            "  `{}`: {:.1} dB, the same best class {:?}",
            a.output, a.snr_db, a.top1
        );
    }
    made
}

/// PP-OCRv4: BGR from -1 to 1.
fn line(line: &Line) -> Tensor {
    let pixels = npy::read(&path::cache().join(&line.file)).unwrap_or_else(|e| panic!("{e}"));
    planes(&pixels, &[1.0 / 127.5; 3], &[-1.0; 3])
}

/// What a program read.
#[derive(Clone, Copy, Default)]
struct Read {
    characters: usize,
    /// Characters to change.
    wrong: usize,
}

impl Read {
    fn add(&mut self, text: &str, truth: &str) {
        self.characters += truth.chars().count();
        self.wrong += edits(text, truth);
    }

    /// Percent.
    fn right(&self) -> f64 {
        100.0 - 100.0 * self.wrong as f64 / self.characters as f64
    }
}

#[test]
fn recognition() {
    let lines: Vec<Line> = read("lines/lines.json");
    let model = path::read(&path::cache().join("ppocr/rec.onnx")).unwrap_or_else(|e| panic!("{e}"));
    let width = through::Extent::Named("width".to_owned());
    let request = Request {
        shapes: vec![("x".to_owned(), vec![1.into(), 3.into(), 48.into(), width])],
        dims: vec![("width".to_owned(), 32, 1280)],
        ..Request::default()
    };
    let calibration = lines.iter().filter(|l| l.kind == "calibration");
    let samples: Vec<Sample> = calibration.map(|l| sample(&l.text, &line(l))).collect();
    let made = quantise(&model, &request, &samples);
    let programs = [&made.float, &made.compiled]
        .map(|c| through::Compiled::new(&c.program.bytes).unwrap_or_else(|e| panic!("{e}")));
    // The margins of a line are spaces or none with nearly the same probability, and so are some gaps between words.
    let (mut whole, mut trimmed) = ([Read::default(); 2], [Read::default(); 2]);
    for kind in ["rendered", "photographed"] {
        let (mut of_kind, mut within, mut count) = ([Read::default(); 2], [Read::default(); 2], 0);
        for l in lines.iter().filter(|l| l.kind == kind) {
            let x = line(l);
            count += 1;
            for (i, program) in programs.iter().enumerate() {
                let y = program.run(&[("x", &x)]).unwrap_or_else(|e| panic!("{e}"));
                let text = recognised::read(&y[0].1, &model).unwrap_or_else(|e| panic!("{e}"));
                for read in [&mut of_kind[i], &mut whole[i]] {
                    read.add(&text, &l.text);
                }
                for read in [&mut within[i], &mut trimmed[i]] {
                    read.add(text.trim(), &l.text);
                }
            }
        }
        let [f, i] = of_kind.map(|r| r.right());
        let [ft, it] = within.map(|r| r.right());
        eprintln!(
            "PP-OCRv4 recognition, {count} {kind} lines, {} characters: {f:.2} % right in floats, {i:.2} % in integers; without margins {ft:.2} % and {it:.2} %",
            of_kind[0].characters
        );
        assert!(
            count >= 150 && f > 95.0,
            "{kind}: the data are not what they were"
        );
        assert!(
            it >= ft - LOSS,
            "{kind}: {ft:.2} % in floats, {it:.2} % in integers"
        );
    }
    let [f, i] = whole.map(|r| r.right());
    let [ft, it] = trimmed.map(|r| r.right());
    eprintln!(
        "PP-OCRv4 recognition, all: {f:.2} %, {i:.2} %; without margins {ft:.2} %, {it:.2} %"
    );
    assert!(
        i >= f - LOSS && it >= ft - LOSS,
        "{f:.2} % in floats, {i:.2} % in integers"
    );
}
