//! Writes the bundles of the Kotlin tests (`android/test.sh`): `cargo run -p cygnet-jni --example bundles FOLDER`.

#[path = "../../../runtime/engine/tests/net/mod.rs"]
mod net;

use cygnet_format::DType;
use cygnet_format::golden::{GoldenWriter, Role};
use cygnet_format::op::{Binary, BinaryKind, Reduce, ReduceKind};
use cygnet_format::pipeline::*;
use cygnet_format::write::StateDesc;
use cygnet_format::write::SymbolKind;
use net::{Net, axes, zip};
use std::path::Path;

const ADD: Binary = Binary {
    kind: BinaryKind::Add,
};

/// RGB as fractions of 1, the channels last, padded in black.
fn picture(fit: Fit) -> Record {
    let input = PictureInput {
        fit,
        colours: Colours::Rgb,
        channels_last: true,
        fill: 0,
        scale: 1.0 / 255.0,
        mean: [0.0; 3],
        std: [1.0; 3],
    };
    Record::Picture(0, input)
}

fn classes(threshold: f32) -> Decode {
    Decode::Classes {
        activation: Activation::None,
        threshold,
        top: 0,
    }
}

/// `y = x + x` of four floats.
fn doubled() -> Vec<u8> {
    let mut net = Net::new();
    let x = net.fixed(DType::F32, &[4]);
    let x = net.input(x);
    let y = net.fixed(DType::F32, &[4]);
    net.step(ADD, &[x, x], y);
    net.write(&[y]).bytes().to_vec()
}

/// The mean of each colour of a picture of 8 x 8.
fn colours() -> Vec<u8> {
    let mut net = Net::new();
    let x = net.fixed(DType::F32, &[1, 8, 8, 3]);
    let x = net.input(x);
    let y = net.fixed(DType::F32, &[1, 3]);
    let mean = Reduce {
        kind: ReduceKind::Mean,
        axes: axes(&[1, 2]),
    };
    net.step(mean, &[x], y);
    net.write(&[y]).bytes().to_vec()
}

/// A picture of 8 x 8 doubled: the brightest colour of every pixel is its class.
fn pixels() -> Vec<u8> {
    let mut net = Net::new();
    let x = net.fixed(DType::F32, &[1, 8, 8, 3]);
    let x = net.input(x);
    let y = net.fixed(DType::F32, &[1, 8, 8, 3]);
    net.step(ADD, &[x, x], y);
    net.write(&[y]).bytes().to_vec()
}

/// Whatever `input` is, the output has these values.
fn says(input: &[usize], shape: &[usize], values: &[f32]) -> Vec<u8> {
    let mut net = Net::new();
    let x = net.fixed(DType::F32, input);
    net.input(x);
    let value = net.floats(shape, values);
    let zero = net.floats(&[1], &[0.0]);
    let y = net.fixed(DType::F32, shape);
    net.step(ADD, &[value, zero], y);
    net.write(&[y]).bytes().to_vec()
}

/// Four samples added to those before.
fn sum() -> Vec<u8> {
    let mut net = Net::new();
    let state = net.state(DType::F32, &[4]);
    let x = net.fixed(DType::F32, &[4]);
    let x = net.input(x);
    let y = net.fixed(DType::F32, &[4]);
    net.step(ADD, &[x, state], y);
    net.desc.states.push(StateDesc {
        tensor: state,
        next: y,
        init: None,
    });
    net.write(&[y]).bytes().to_vec()
}

/// `y = x + x` of `[1..=8, 2]` integers.
fn free() -> Vec<u8> {
    let mut net = Net::new();
    let rows = net.symbol("rows", 1, 8, SymbolKind::Input);
    let two = cygnet_format::Dim(2);
    let x = net.tensor(DType::I64, &[rows, two]);
    let x = net.input(x);
    let y = net.tensor(DType::I64, &[rows, two]);
    net.step(ADD, &[x, x], y);
    net.write(&[y]).bytes().to_vec()
}

/// Some seconds of sums.
fn slow() -> Vec<u8> {
    let mut net = Net::new();
    let length = 1 << 18;
    let x = net.fixed(DType::F32, &[length]);
    let x = net.input(x);
    let y = net.fixed(DType::F32, &[length]);
    for _ in 0..50_000 {
        net.step(ADD, &[x, x], y);
    }
    net.write(&[y]).bytes().to_vec()
}

fn golden(x: [f32; 4], y: [f32; 4]) -> Vec<u8> {
    let bytes = |v: [f32; 4]| v.map(f32::to_le_bytes).concat();
    let mut example = GoldenWriter::new(1e-4, 1e-6, true);
    example
        .tensor(Role::Input, 0, DType::F32, &[4], &bytes(x))
        .tensor(Role::Output, 0, DType::F32, &[4], &bytes(y));
    example.write().expect("an example")
}

/// YOLOv8's layout of boxes (centre, size, score a class), from rows of a box each.
fn boxes(rows: &[[f32; 6]]) -> Vec<f32> {
    (0..6)
        .flat_map(|c| rows.iter().map(move |r| r[c]))
        .collect()
}

fn main() {
    let folder = std::env::args().nth(1).expect("a folder to write to");
    let folder = Path::new(&folder);
    std::fs::create_dir_all(folder).expect("a folder");
    let write = |name: &str, program: &[u8], records: &[Record], more: &[(&str, &[u8])]| {
        let pipeline = write_pipeline(records).expect("a pipeline");
        let mut entries: Vec<(&str, &[u8])> =
            vec![("manifest.json", b"{}"), ("program.cyg", program)];
        if !records.is_empty() {
            entries.push(("pipeline.cygp", &pipeline));
        }
        entries.extend_from_slice(more);
        let path = folder.join(name).with_extension("cygnet");
        std::fs::write(path, zip(&entries)).expect("a bundle");
    };
    let names: &[(&str, &[u8])] = &[("labels.txt", "red\ngreen\nblåue\n".as_bytes())];
    let answer = |decode| Record::Answer(0, decode);

    write("doubled", &doubled(), &[], &[]);
    let good = golden([1.0, 2.0, 3.0, 4.0], [2.0, 4.0, 6.0, 8.0]);
    let bad = golden([1.0, 2.0, 3.0, 4.0], [2.0, 4.0, 6.5, 8.0]);
    write("good", &doubled(), &[], &[("golden/0.cygt", &good)]);
    write("bad", &doubled(), &[], &[("golden/0.cygt", &bad)]);
    write("free", &free(), &[], &[]);
    write("slow", &slow(), &[answer(classes(-1.0))], &[]);
    write(
        "colours",
        &colours(),
        &[picture(Fit::Stretch), answer(classes(0.0))],
        names,
    );
    let mask = Decode::Mask {
        channels_last: true,
    };
    write(
        "mask",
        &pixels(),
        &[picture(Fit::Stretch), answer(mask)],
        names,
    );
    let embedding = Decode::Embedding { normalise: false };
    write(
        "stream",
        &sum(),
        &[
            Record::Sound(0, SoundInput { rate: 16_000 }),
            answer(embedding),
        ],
        &[],
    );
    // In a map of 64 x 64, the left upper quarter as class 1, and a box of class 0 that nobody believes in.
    let rows = [
        [16.0, 16.0, 32.0, 32.0, 0.1, 0.9],
        [40.0, 40.0, 8.0, 8.0, 0.2, 0.0],
    ];
    let detect = Decode::Boxes {
        form: BoxForm::Yolo8,
        threshold: 0.5,
        overlap: 0.5,
    };
    write(
        "boxes",
        &says(&[1, 64, 64, 3], &[1, 6, 2], &boxes(&rows)),
        &[picture(Fit::Stretch), answer(detect)],
        names,
    );
    // Blank, "h", "h", blank, "é" as one-hot rows.
    let ids = [0usize, 1, 1, 0, 2];
    let logits: Vec<f32> = ids
        .iter()
        .flat_map(|&id| (0..3).map(move |c| if c == id { 1.0 } else { 0.0 }))
        .collect();
    write(
        "text",
        &says(&[1, 8, 8, 3], &[1, 5, 3], &logits),
        &[picture(Fit::Stretch), answer(Decode::Ctc)],
        &[("vocab.txt", "h\né\n".as_bytes())],
    );
}
