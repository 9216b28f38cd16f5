//! Real models: compiled, run on real inputs, and compared with what ONNX Runtime answered.
//!
//! The norm is `max |got - expected| / max |expected|` over an output, at most 1e-4. Of an integer model at most one in a
//! thousand elements of an output is more than one quantisation step away. Missing test data fail the test and name the
//! command that makes them.

use cygnet_tests::expectations::{self, Expectation};
use cygnet_tests::{Tensor, compare, path, recognised, through};

const TOLERANCE: f64 = 1e-4;
/// The part of the elements of a quantised output that may be more than one step away.
const BEYOND_A_STEP: f64 = 1e-3;

/// Compiles a model for each set of options that its expectations have, and runs all of them.
fn check(model: &str) {
    let all = expectations::all().unwrap_or_else(|reason| panic!("{reason}"));
    let cases: Vec<Expectation> = all.into_iter().filter(|case| case.model == model).collect();
    assert!(
        !cases.is_empty(),
        "no expectations for {model}: run tests/expect.py"
    );
    let bytes = path::read(&cases[0].model_path()).unwrap_or_else(|reason| panic!("{reason}"));
    let mut complaints = Vec::new();
    let mut compiled: Option<(Expectation, through::Compiled)> = None;
    for case in cases {
        let same = compiled
            .as_ref()
            .is_some_and(|(c, _)| c.shapes == case.shapes && c.constants == case.constants);
        if !same {
            let program = case.request().and_then(|request| {
                through::compile(&bytes, &request)
                    .map_err(|failure| format!("does not compile: {failure}"))
            });
            match program {
                Ok(program) => compiled = Some((case.clone(), program)),
                Err(reason) => {
                    complaints.push(format!("{model} {}: {reason}", case.case));
                    continue;
                }
            }
        }
        let Some((_, program)) = &compiled else {
            continue;
        };
        match run(program, &case, &bytes) {
            Ok(worst) if case.quantum.is_some() => {
                let name = format!("{model} {}", case.case);
                eprintln!("{name}: {worst:.4} of the elements beyond a quantisation step");
                if worst > BEYOND_A_STEP {
                    complaints.push(format!("{name}: {worst:.4} are beyond a step"));
                }
            }
            Ok(worst) => {
                eprintln!("{model} {}: relative difference {worst:.1e}", case.case);
                if worst > TOLERANCE {
                    complaints.push(format!(
                        "{model} {}: relative difference {worst:.1e}",
                        case.case
                    ));
                }
            }
            Err(reason) => complaints.push(format!("{model} {}: {reason}", case.case)),
        }
    }
    assert!(complaints.is_empty(), "{}", complaints.join("\n"));
}

/// The worst relative difference over all outputs and steps; of an integer model, the largest part of an output that is
/// more than one quantisation step away.
fn run(program: &through::Compiled, case: &Expectation, model: &[u8]) -> Result<f64, String> {
    let inputs = Expectation::tensors(&case.inputs)?;
    let outputs = Expectation::tensors(&case.outputs)?;
    let mut runner = program.start()?;
    let mut worst: f64 = 0.0;
    // The norm of a stream is that of all its steps: a single quiet step has no scale of its own.
    for step in 0..case.steps.unwrap_or(1) {
        let at = |tensor: &Tensor| {
            if case.steps.is_some() {
                tensor.row(step)
            } else {
                tensor.clone()
            }
        };
        let feeds: Vec<(String, Tensor)> = inputs
            .iter()
            .map(|(name, tensor)| (name.clone(), at(tensor)))
            .collect();
        let feeds: Vec<(&str, &Tensor)> = feeds
            .iter()
            .map(|(name, tensor)| (name.as_str(), tensor))
            .collect();
        let got = runner.step(&feeds)?;
        for (name, whole) in &outputs {
            if case.states.values().any(|state| state == name)
                && !got.iter().any(|(n, _)| n == name)
            {
                continue; // carried on inside
            }
            let (_, got) = got
                .iter()
                .find(|(n, _)| n == name)
                .ok_or_else(|| format!("no output {name}"))?;
            let difference = match case.quantum {
                Some(quantum) => compare::beyond_a_step(got, &at(whole), quantum),
                None => compare::scaled(got, &at(whole), whole),
            };
            let difference = difference.map_err(|reason| format!("{name}: {reason}"))?;
            worst = worst.max(difference);
            if let Some(text) = &case.text {
                let read = recognised::read(got, model)?;
                if &read != text {
                    return Err(format!("reads {read:?} in place of {text:?}"));
                }
            }
        }
    }
    Ok(worst)
}

macro_rules! models {
    ($($name:ident: $path:literal;)*) => { $(#[test] fn $name() { check($path); })* };
}

models! {
    digits: "digits.onnx";
    ppocr_detection: "ppocr/det.onnx";
    ppocr_recognition: "ppocr/rec.onnx";
    ppocr_direction: "ppocr/cls.onnx";
    silero_vad: "silero/silero_vad.onnx";
    silero_vad_16k_op15: "silero/silero_vad_16k_op15.onnx";
    silero_vad_op18_ifless: "silero/silero_vad_op18_ifless.onnx";
    silero_vad_openvino_16k: "silero/silero_vad_openvino_16k.onnx";
    silero_vad_half: "silero/silero_vad_half.onnx";
    mobilenetv2: "made/mobilenetv2.onnx";
    resnet18: "made/resnet18.onnx";
    mobilenetv2_int8: "made/mobilenetv2_int8.onnx";
    resnet18_int8: "made/resnet18_int8.onnx";
    minilm: "made/minilm.onnx";
    light_bvlc_alexnet: "onnx/light/light_bvlc_alexnet.onnx";
    light_densenet121: "onnx/light/light_densenet121.onnx";
    light_inception_v1: "onnx/light/light_inception_v1.onnx";
    light_inception_v2: "onnx/light/light_inception_v2.onnx";
    light_resnet50: "onnx/light/light_resnet50.onnx";
    light_shufflenet: "onnx/light/light_shufflenet.onnx";
    light_squeezenet: "onnx/light/light_squeezenet.onnx";
    light_vgg19: "onnx/light/light_vgg19.onnx";
    light_zfnet512: "onnx/light/light_zfnet512.onnx";
    seeded_densenet121: "made/seeded_densenet121.onnx";
    seeded_inception_v1: "made/seeded_inception_v1.onnx";
    seeded_inception_v2: "made/seeded_inception_v2.onnx";
    seeded_shufflenet: "made/seeded_shufflenet.onnx";
    seeded_squeezenet: "made/seeded_squeezenet.onnx";
}
