//! Whole files: what they become, and what is said about those that cannot be imported.

use super::*;
use crate::passes::Level;
use crate::{CompileOptions, compile};
use cygnet_format::OpCode;

macro_rules! seed {
    ($name:literal) => {
        include_bytes!(concat!(
            "../../../../../tests/fuzz/seeds/tflite_import/",
            $name
        ))
    };
}

fn import(bytes: &[u8]) -> Graph {
    tflite(bytes, &ImportOptions::default()).unwrap_or_else(|e| panic!("{e}"))
}

fn codes(bytes: &[u8], level: Level) -> Vec<OpCode> {
    let options = CompileOptions {
        level,
        ..CompileOptions::default()
    };
    let compiled = compile(bytes, &options).unwrap_or_else(|e| panic!("{e}"));
    let nodes = compiled.graph.blocks.iter().flat_map(|b| &b.nodes);
    nodes.map(|n| n.op.code()).collect()
}

#[test]
fn tensors_are_channels_last_and_keep_their_names() {
    let graph = import(seed!("net_f32.tflite"));
    assert_eq!(graph.inputs[0].name, "input_0");
    let shape = |v| graph.ty(v).fixed_shape().unwrap();
    assert_eq!(shape(graph.inputs[0].value), [1, 16, 16, 3]);
    assert_eq!(shape(graph.outputs[0].value), [1, 5]);
    let nodes = &graph.blocks[0].nodes;
    assert!(
        nodes
            .iter()
            .any(|n| n.source.starts_with("CONV_2D result_"))
    );
    let transposes = |n: &&crate::ir::Node| {
        let activation = |v: &Option<_>| v.is_some_and(|v| graph.value(v).data.is_none());
        n.op.code() == OpCode::Transpose && n.inputs.iter().all(activation)
    };
    assert_eq!(nodes.iter().filter(transposes).count(), 0);
}

#[test]
fn bytes_become_integer_steps() {
    let codes = codes(seed!("net_i8.tflite"), Level::Full);
    let floats = [OpCode::Conv, OpCode::DepthwiseConv, OpCode::MatMul];
    assert!(!codes.iter().any(|c| floats.contains(c)), "{codes:?}");
    assert!(codes.contains(&OpCode::QuantizedConv) && codes.contains(&OpCode::QuantizedDepthwise));
    // Softmax alone is computed in floats.
    let count = |code| codes.iter().filter(|c| **c == code).count();
    assert_eq!(count(OpCode::DequantizeLinear), 1);
    assert_eq!(count(OpCode::QuantizeLinear), 1);
}

#[test]
fn every_seed_compiles() {
    for bytes in [
        &seed!("movements_f32.tflite")[..],
        seed!("net_i16.tflite"),
        seed!("parts_i8.tflite"),
        seed!("shapes_f32.tflite"),
    ] {
        assert!(!codes(bytes, Level::None).is_empty());
        assert!(!codes(bytes, Level::Full).is_empty());
    }
}

#[test]
fn problems_are_reported_together() {
    let error = tflite(seed!("refused.tflite"), &ImportOptions::default()).unwrap_err();
    let ImportError::Problems(problems) = &error else {
        panic!("{error}");
    };
    let operators: Vec<&str> = problems.iter().map(|p| p.operator.as_str()).collect();
    assert_eq!(
        operators,
        ["RFFT2D", "CUSTOM Mystery", "CONV_2D"],
        "{error}"
    );
    assert!(problems[2].remedy.contains("LiteRT"), "{error}");
    assert!(!error.to_string().contains("ONNX"), "{error}");
}

#[test]
fn other_files_are_no_models() {
    for bytes in [&b""[..], b"....TFL3", b"\x08\0\0\0TFL3\x04\0\0\0\0\0\0\0"] {
        let error = tflite(bytes, &ImportOptions::default()).unwrap_err();
        assert!(
            matches!(
                error,
                ImportError::Malformed {
                    format: "TFLite",
                    ..
                }
            ),
            "{error}"
        );
    }
}

#[test]
fn inputs_are_declared() {
    let bytes = seed!("net_i8.tflite");
    assert_eq!(
        declared_input(bytes, "input_0"),
        Some((DType::I8, Some(vec![1, 16, 16, 3])))
    );
    assert_eq!(declared_input(bytes, "absent"), None);
}
