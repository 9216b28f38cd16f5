//! silero-vad tells speech from pauses and noise, frame by frame.

use crate::{array, compressed, floats, model, programs, quantise, sample};
use cygnet_compiler::quantize::{Format, Precision, Quantised, Sample};
use cygnet_tests::Tensor;
use cygnet_tests::through::{Compiled, Request};

/// Samples of a frame at 16 kHz, and of the frame before it that come first.
const WINDOW: usize = 512;
const CONTEXT: usize = 64;

/// Percent of frames with the decision of the float program.
const SAME: f64 = 99.5;
/// The same with 8-bit activations of one scale a tensor: a magnitude spectrum has few values that are not small.
const SAME_STATIC: f64 = 95.0;

const INT8: Format = Format::Integers {
    bits: 8,
    group: 0,
    asymmetric: false,
};

/// The frames of a recording.
fn frames(of: &Tensor) -> Vec<Tensor> {
    let samples = of
        .bytes
        .chunks_exact(2)
        .map(|b| i16::from_le_bytes([b[0], b[1]]));
    let mut padded = vec![0f32; CONTEXT];
    padded.extend(samples.map(|v| f32::from(v) / 32768.0));
    let whole = padded.windows(CONTEXT + WINDOW).step_by(WINDOW);
    whole.map(|w| floats(&[1, w.len()], w)).collect()
}

/// Whether each frame of a stream is speech.
fn decisions(program: &Compiled, frames: &[Tensor]) -> Vec<bool> {
    let mut session = program.start().unwrap_or_else(|e| panic!("{e}"));
    let mut step = |x: &Tensor| {
        let outputs = session
            .step(&[("input", x)])
            .unwrap_or_else(|e| panic!("{e}"));
        let (_, probability) = outputs.iter().find(|(n, _)| n == "output").expect("output");
        probability.f32s()[0] > 0.5
    };
    frames.iter().map(&mut step).collect()
}

#[test]
fn speech() {
    let model = model("silero/silero_vad_16k_op15.onnx");
    let request = Request {
        shapes: vec![
            (
                "input".to_owned(),
                vec![1.into(), (CONTEXT + WINDOW).into()],
            ),
            ("state".to_owned(), vec![2.into(), 1.into(), 128.into()]),
        ],
        constants: vec![(
            "sr".to_owned(),
            Tensor {
                dtype: cygnet_format::DType::I64,
                shape: Vec::new(),
                bytes: 16000i64.to_le_bytes().to_vec(),
            },
        )],
        states: vec![("state".to_owned(), "stateN".to_owned())],
        ..Request::default()
    };
    // Four streams, so that one can be kept back.
    let calibration = frames(&array("speech/calibration.npy"));
    let stream = calibration.len().div_ceil(4);
    let samples: Vec<Sample> = (calibration.iter().enumerate())
        .map(|(i, x)| Sample {
            continues: i % stream != 0,
            ..sample("frame", &[x])
        })
        .collect();
    let judged = frames(&array("speech/judged.npy"));
    let made = [
        (
            "int8 weights",
            SAME,
            compressed(&model, &request, INT8, &samples),
        ),
        (
            "dynamic int8",
            SAME,
            compressed(&model, &request, Format::Dynamic, &samples),
        ),
        (
            "static int8",
            SAME_STATIC,
            quantise(&model, &request, Precision::Int8, &samples),
        ),
        (
            "static int8x16",
            SAME,
            quantise(&model, &request, Precision::Int8x16, &samples),
        ),
    ];
    // 8 bits lose what 16 keep.
    let db = |q: &Quantised| q.record.agreement[0].snr_db;
    let [eight, sixteen] = [db(&made[2].2), db(&made[3].2)];
    assert!(
        eight < 20.0 && sixteen > 40.0,
        "{eight:.1} and {sixteen:.1} dB"
    );
    let float = decisions(&programs(&made[0].2)[0], &judged);
    let speech = float.iter().filter(|s| **s).count();
    let mut missed = Vec::new();
    for (name, bar, made) in &made {
        let got = decisions(&programs(made)[1], &judged);
        let same = float.iter().zip(&got).filter(|(a, b)| a == b).count();
        let percent = 100.0 * same as f64 / float.len() as f64;
        eprintln!(
            "silero-vad, {name}: the same decision on {percent:.2} % of {} frames, {speech} of them speech; {} of {} bytes",
            float.len(),
            made.compiled.program.bytes.len(),
            made.float.program.bytes.len(),
        );
        if percent < *bar {
            missed.push(format!("{name}: {percent:.2} %"));
        }
    }
    let part = speech as f64 / float.len() as f64;
    assert!(
        (0.3..0.9).contains(&part),
        "the data are not what they were"
    );
    assert!(missed.is_empty(), "{missed:?}");
}
