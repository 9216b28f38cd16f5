//! PP-OCRv4 reads lines of text.

use crate::{LOSS, model, planes, programs, quantise, read, sample};
use cygnet_compiler::quantize::{Precision, Sample};
use cygnet_tests::through::{Extent, Request};
use cygnet_tests::{Tensor, edits, npy, path, recognised};
use serde::Deserialize;

/// A line of text.
#[derive(Clone, Debug, Deserialize)]
struct Line {
    file: String,
    text: String,
    kind: String,
}

/// PP-OCRv4: BGR from -1 to 1.
fn line(line: &Line) -> Tensor {
    let pixels = npy::read(&path::cache().join(&line.file)).unwrap_or_else(|e| panic!("{e}"));
    let [h, w, c] = pixels.shape[..] else {
        panic!("a picture has three axes: {:?}", pixels.shape)
    };
    planes(&pixels.bytes, [h, w, c], &[1.0 / 127.5; 3], &[-1.0; 3])
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
    let model = model("ppocr/rec.onnx");
    let width = Extent::Named("width".to_owned());
    let request = Request {
        shapes: vec![("x".to_owned(), vec![1.into(), 3.into(), 48.into(), width])],
        dims: vec![("width".to_owned(), 32, 1280)],
        ..Request::default()
    };
    let calibration = lines.iter().filter(|l| l.kind == "calibration");
    let samples: Vec<Sample> = calibration.map(|l| sample(&l.text, &[&line(l)])).collect();
    let made = quantise(&model, &request, Precision::Int8, &samples);
    let programs = programs(&made);
    let wide = quantise(&model, &request, Precision::Int8x16, &samples);
    // The 8-bit weights alone lose more than the activations.
    let [eight, sixteen] = [&made, &wide].map(|q| &q.record.agreement[0]);
    assert!(
        sixteen.snr_db > 28.0 && sixteen.snr_db > eight.snr_db + 10.0,
        "{eight:?}, {sixteen:?}"
    );
    assert_eq!(sixteen.top1, Some(1.0));
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
