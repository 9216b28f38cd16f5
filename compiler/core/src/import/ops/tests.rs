//! Shapes: every case is imported once with symbolic dimensions and once for each of a few fixed sizes; the symbolic
//! output shape, evaluated, must be the fixed one.

use super::super::{DimSpec, ImportError, ImportOptions, InputSpec, onnx};
use crate::ir::{Expr, Graph};
use cygnet_format::Dim;
use prost::Message;
use tract_onnx::pb::{
    AttributeProto, GraphProto, ModelProto, NodeProto, OperatorSetIdProto, TensorProto, TypeProto,
    ValueInfoProto, type_proto,
};

/// An attribute of a case.
enum A {
    I(&'static str, i64),
    Is(&'static str, &'static [i64]),
    S(&'static str, &'static str),
}

impl A {
    fn proto(&self) -> AttributeProto {
        let mut a = AttributeProto::default();
        match self {
            A::I(name, v) => (a.name, a.r#type, a.i) = ((*name).into(), 2, *v),
            A::Is(name, v) => (a.name, a.r#type, a.ints) = ((*name).into(), 7, v.to_vec()),
            A::S(name, v) => (a.name, a.r#type, a.s) = ((*name).into(), 3, v.as_bytes().to_vec()),
        }
        a
    }
}

/// An operand of a case.
#[derive(Clone)]
enum In {
    /// A model input; negative dimensions are the symbols `a` (-1) and `b` (-2).
    Fed(&'static [i64]),
    /// An f32 initialiser.
    Floats(&'static [i64], Vec<f32>),
    /// An i64 initialiser of rank one.
    Ints(Vec<i64>),
    None,
}

fn zeros(shape: &'static [i64]) -> In {
    In::Floats(shape, vec![0.5; shape.iter().product::<i64>() as usize])
}

fn model(op: &str, opset: i64, inputs: &[In], outputs: usize, attributes: &[A]) -> Vec<u8> {
    let mut graph = GraphProto {
        name: "case".into(),
        ..Default::default()
    };
    let mut node = NodeProto {
        op_type: op.into(),
        name: "node".into(),
        ..Default::default()
    };
    node.attribute = attributes.iter().map(A::proto).collect();
    for (i, input) in inputs.iter().enumerate() {
        let name = format!("x{i}");
        let mut tensor = TensorProto {
            name: name.clone(),
            data_type: 1,
            ..Default::default()
        };
        match input {
            In::None => {
                node.input.push(String::new());
                continue;
            }
            In::Fed(_) => {
                let value = type_proto::Value::TensorType(type_proto::Tensor {
                    elem_type: 1,
                    shape: None,
                });
                let ty = TypeProto {
                    value: Some(value),
                    ..Default::default()
                };
                graph.input.push(ValueInfoProto {
                    name: name.clone(),
                    r#type: Some(ty),
                    ..Default::default()
                });
            }
            In::Floats(shape, data) => {
                tensor.dims = shape.to_vec();
                tensor.float_data = data.clone();
                graph.initializer.push(tensor);
            }
            In::Ints(data) => {
                tensor.data_type = 7;
                tensor.dims = vec![data.len() as i64];
                tensor.int64_data = data.clone();
                graph.initializer.push(tensor);
            }
        }
        node.input.push(name);
    }
    for i in 0..outputs {
        node.output.push(format!("y{i}"));
        graph.output.push(ValueInfoProto {
            name: format!("y{i}"),
            ..Default::default()
        });
    }
    graph.node.push(node);
    let set = OperatorSetIdProto {
        domain: String::new(),
        version: opset,
    };
    let model = ModelProto {
        ir_version: 8,
        opset_import: vec![set],
        graph: Some(graph),
        ..Default::default()
    };
    model.encode_to_vec()
}

/// Imports with the symbols bound to `sizes`, or kept with their bounds.
fn import(bytes: &[u8], inputs: &[In], sizes: Option<[i64; 2]>) -> Result<Graph, ImportError> {
    let mut options = ImportOptions::default();
    for (i, input) in inputs.iter().enumerate() {
        let In::Fed(shape) = input else { continue };
        let spec = |&d: &i64| match (d, sizes) {
            (d, _) if d >= 0 => DimSpec::Fixed(d),
            (d, Some(sizes)) => DimSpec::Fixed(sizes[(-d - 1) as usize]),
            (d, None) => DimSpec::Symbol(["a", "b"][(-d - 1) as usize].into()),
        };
        options.inputs.push(InputSpec {
            name: format!("x{i}"),
            shape: Some(shape.iter().map(spec).collect()),
            dtype: None,
        });
    }
    options.dims = vec![("a".into(), 7, 40), ("b".into(), 7, 40)];
    onnx(bytes, &options)
}

fn value(graph: &Graph, dim: Dim, sizes: [i64; 2]) -> i64 {
    let Some(e) = dim.as_expr() else {
        return dim.0 as i64;
    };
    let v = |d: Dim| value(graph, d, sizes);
    match graph.exprs[e as usize] {
        Expr::Symbol(s) => match graph.symbols[s as usize].name.as_str() {
            "a" => sizes[0],
            _ => sizes[1],
        },
        Expr::Const(c) => c,
        Expr::Add(x, y) => v(x) + v(y),
        Expr::Sub(x, y) => v(x) - v(y),
        Expr::Mul(x, y) => v(x) * v(y),
        Expr::FloorDiv(x, y) => v(x).div_euclid(v(y)),
        Expr::CeilDiv(x, y) => -(-v(x)).div_euclid(v(y)),
        Expr::Mod(x, y) => v(x).rem_euclid(v(y)),
        Expr::Min(x, y) => v(x).min(v(y)),
        Expr::Max(x, y) => v(x).max(v(y)),
    }
}

#[track_caller]
fn check(op: &str, opset: i64, inputs: &[In], outputs: usize, attributes: &[A]) {
    let bytes = model(op, opset, inputs, outputs, attributes);
    let symbolic = import(&bytes, inputs, None).unwrap_or_else(|e| panic!("{op}: {e}"));
    for sizes in [[7, 7], [8, 11], [13, 9], [40, 16], [31, 40]] {
        let fixed =
            import(&bytes, inputs, Some(sizes)).unwrap_or_else(|e| panic!("{op} {sizes:?}: {e}"));
        assert_eq!(symbolic.outputs.len(), fixed.outputs.len());
        for (s, f) in symbolic.outputs.iter().zip(&fixed.outputs) {
            let shape = &symbolic.ty(s.value).shape;
            let got: Vec<i64> = shape.iter().map(|&d| value(&symbolic, d, sizes)).collect();
            let want: Vec<i64> = fixed.ty(f.value).shape.iter().map(|d| d.0 as i64).collect();
            assert_eq!(got, want, "{op} {sizes:?} output {}", s.name);
        }
    }
}

const IMAGE: &[i64] = &[1, 4, -1, -2];

#[test]
fn convolutions() {
    let x = In::Fed(IMAGE);
    let w = zeros(&[6, 4, 3, 3]);
    check("Conv", 13, &[x.clone(), w.clone()], 1, &[]);
    check(
        "Conv",
        13,
        &[x.clone(), w.clone()],
        1,
        &[A::Is("strides", &[2, 3]), A::Is("pads", &[1, 0, 2, 1])],
    );
    check(
        "Conv",
        13,
        &[x.clone(), w.clone()],
        1,
        &[A::Is("dilations", &[2, 3])],
    );
    for auto in ["SAME_UPPER", "SAME_LOWER", "VALID"] {
        check(
            "Conv",
            13,
            &[x.clone(), w.clone()],
            1,
            &[A::S("auto_pad", auto), A::Is("strides", &[2, 3])],
        );
    }
    check(
        "Conv",
        13,
        &[x.clone(), zeros(&[4, 1, 3, 3])],
        1,
        &[A::I("group", 4), A::Is("strides", &[2, 2])],
    );
    let w = zeros(&[4, 3, 3, 3]);
    check(
        "ConvTranspose",
        13,
        &[x.clone(), w.clone()],
        1,
        &[A::Is("strides", &[2, 3]), A::Is("pads", &[1, 0, 2, 1])],
    );
    check(
        "ConvTranspose",
        13,
        &[x.clone(), w],
        1,
        &[A::S("auto_pad", "SAME_UPPER"), A::Is("strides", &[2, 2])],
    );
}

#[test]
fn pools() {
    let x = In::Fed(IMAGE);
    let kernel = || A::Is("kernel_shape", &[3, 2]);
    for op in ["MaxPool", "AveragePool"] {
        for ceil in [0, 1] {
            let pads = A::Is("pads", &[1, 1, 1, 0]);
            let attributes = [
                kernel(),
                A::Is("strides", &[3, 2]),
                pads,
                A::I("ceil_mode", ceil),
            ];
            check(op, 19, std::slice::from_ref(&x), 1, &attributes);
        }
    }
    check(
        "MaxPool",
        19,
        std::slice::from_ref(&x),
        1,
        &[
            kernel(),
            A::Is("strides", &[2, 2]),
            A::S("auto_pad", "SAME_UPPER"),
        ],
    );
    check("MaxPool", 19, std::slice::from_ref(&x), 2, &[kernel()]);
    check("GlobalAveragePool", 1, std::slice::from_ref(&x), 1, &[]);
    check("LpPool", 18, &[x], 1, &[kernel()]);
}

#[test]
fn resizing() {
    let x = In::Fed(IMAGE);
    for scales in [
        [1.0, 1.0, 2.0, 3.0],
        [1.0, 1.0, 0.5, 1.5],
        [1.0, 1.0, 0.25, 1.25],
    ] {
        let scales = In::Floats(&[4], scales.to_vec());
        check(
            "Resize",
            13,
            &[x.clone(), In::None, scales],
            1,
            &[A::S("mode", "linear")],
        );
    }
    check(
        "Resize",
        13,
        &[x.clone(), In::None, In::None, In::Ints(vec![1, 4, 5, 6])],
        1,
        &[],
    );
    check(
        "Upsample",
        9,
        &[x, In::Floats(&[4], vec![1.0, 1.0, 2.0, 2.0])],
        1,
        &[],
    );
}

#[test]
fn matrices_and_sequences() {
    let rows = In::Fed(&[1, -1, 8]);
    check("MatMul", 13, &[rows.clone(), zeros(&[8, 5])], 1, &[]);
    check("MatMul", 13, &[rows.clone(), In::Fed(&[1, 8, -2])], 1, &[]);
    check(
        "Softmax",
        11,
        std::slice::from_ref(&rows),
        1,
        &[A::I("axis", 1)],
    );
    check(
        "Softmax",
        13,
        std::slice::from_ref(&rows),
        1,
        &[A::I("axis", 1)],
    );
    check(
        "LayerNormalization",
        17,
        &[rows.clone(), zeros(&[8])],
        3,
        &[],
    );
    check(
        "ReduceMean",
        13,
        std::slice::from_ref(&rows),
        1,
        &[A::Is("axes", &[2])],
    );
    check(
        "ArgMax",
        13,
        std::slice::from_ref(&rows),
        1,
        &[A::I("axis", 1), A::I("keepdims", 0)],
    );
    check(
        "InstanceNormalization",
        6,
        &[In::Fed(IMAGE), zeros(&[4]), zeros(&[4])],
        1,
        &[],
    );
    let equation = A::S("equation", "bid,bjd->bij");
    check(
        "Einsum",
        13,
        &[rows.clone(), In::Fed(&[1, -2, 8])],
        1,
        &[equation],
    );
    let heads = [
        A::I("q_num_heads", 2),
        A::I("kv_num_heads", 2),
        A::I("is_causal", 1),
    ];
    check(
        "Attention",
        23,
        &[rows.clone(), rows.clone(), rows.clone()],
        1,
        &heads,
    );
    let past = In::Fed(&[1, 2, -2, 4]);
    let cached = [
        rows.clone(),
        rows.clone(),
        rows.clone(),
        In::None,
        past.clone(),
        past,
    ];
    check("Attention", 23, &cached, 3, &heads);
    let (w, r) = (zeros(&[2, 12, 8]), zeros(&[2, 12, 3]));
    let both = [A::S("direction", "bidirectional"), A::I("hidden_size", 3)];
    check("LSTM", 14, &[In::Fed(&[-1, 1, 8]), w, r], 3, &both);
    let signal = [
        In::Fed(&[1, -1, 1]),
        In::Ints(vec![2]),
        In::None,
        In::Ints(vec![6]),
    ];
    check("STFT", 17, &signal, 1, &[]);
}

#[test]
fn refusals_name_a_way_out() {
    let text = |op: &str, opset, inputs: &[In], attributes: &[A]| {
        let bytes = model(op, opset, inputs, 1, attributes);
        match import(&bytes, inputs, None) {
            Err(ImportError::Problems(p)) => {
                assert_eq!(p.len(), 1, "{p:?}");
                assert!(!p[0].remedy.is_empty(), "{op}");
                p[0].to_string()
            }
            other => panic!("{op}: {other:?}"),
        }
    };
    let x = In::Fed(IMAGE);
    assert!(text("RandomNormalLike", 1, std::slice::from_ref(&x), &[]).contains("deterministic"));
    assert!(text("Conv", 13, &[x.clone(), zeros(&[6, 3, 3, 3])], &[]).contains("4 channels"));
    assert!(text("Conv", 13, &[x.clone(), zeros(&[6, 4, 9, 3])], &[]).contains("--dim"));
    assert!(text("Resize", 13, &[x.clone(), In::None, In::Fed(&[4])], &[]).contains("x2"));
    assert!(text("Einsum", 13, &[x], &[A::S("equation", "ij->ji")]).contains("4 axes"));
}
