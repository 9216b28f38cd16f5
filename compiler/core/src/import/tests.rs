//! Whole small models: what resolves, what is refused, what hostile files may cost.

use super::*;
use crate::ir::Type;
use cygnet_format::{DType, Dim, Op};
use proptest::prelude::*;
use tract_onnx::pb::tensor_shape_proto::{Dimension, dimension};
use tract_onnx::pb::{
    OperatorSetIdProto, TensorProto, TensorShapeProto, TypeProto, ValueInfoProto, type_proto,
};

fn port(name: &str, code: i32, dims: &[&str]) -> ValueInfoProto {
    let dim = |d: &&str| Dimension {
        value: Some(match d.parse() {
            Ok(v) => dimension::Value::DimValue(v),
            Err(_) => dimension::Value::DimParam(d.to_string()),
        }),
        ..Default::default()
    };
    let shape = Some(TensorShapeProto {
        dim: dims.iter().map(dim).collect(),
    });
    let value = Some(type_proto::Value::TensorType(type_proto::Tensor {
        elem_type: code,
        shape,
    }));
    ValueInfoProto {
        name: name.into(),
        r#type: Some(TypeProto {
            value,
            ..Default::default()
        }),
        ..Default::default()
    }
}

fn node(op: &str, inputs: &str, outputs: &str, attribute: Vec<AttributeProto>) -> NodeProto {
    let list = |s: &str| {
        s.split_whitespace()
            .map(|n| if n == "_" { String::new() } else { n.into() })
            .collect()
    };
    NodeProto {
        op_type: op.into(),
        input: list(inputs),
        output: list(outputs),
        attribute,
        ..Default::default()
    }
}

fn int(name: &str, i: i64) -> AttributeProto {
    AttributeProto {
        name: name.into(),
        r#type: 2,
        i,
        ..Default::default()
    }
}

fn body(name: &str, g: GraphProto) -> AttributeProto {
    AttributeProto {
        name: name.into(),
        r#type: 5,
        g: Some(g),
        ..Default::default()
    }
}

fn i64s(name: &str, dims: &[i64], data: &[i64]) -> TensorProto {
    TensorProto {
        name: name.into(),
        data_type: 7,
        dims: dims.to_vec(),
        int64_data: data.to_vec(),
        ..Default::default()
    }
}

fn truth(name: &str, value: bool) -> TensorProto {
    TensorProto {
        name: name.into(),
        data_type: 9,
        int32_data: vec![value as i32],
        ..Default::default()
    }
}

fn graph(
    inputs: Vec<ValueInfoProto>,
    initializer: Vec<TensorProto>,
    node: Vec<NodeProto>,
    outputs: &[&str],
) -> GraphProto {
    let output = outputs.iter().map(|n| port(n, 1, &[])).collect();
    GraphProto {
        input: inputs,
        initializer,
        node,
        output,
        ..Default::default()
    }
}

fn model(graph: GraphProto, functions: Vec<FunctionProto>) -> Vec<u8> {
    let opset_import = vec![
        OperatorSetIdProto {
            domain: String::new(),
            version: 18,
        },
        OperatorSetIdProto {
            domain: "own".into(),
            version: 1,
        },
    ];
    ModelProto {
        ir_version: 8,
        opset_import,
        graph: Some(graph),
        functions,
        ..Default::default()
    }
    .encode_to_vec()
}

fn import(bytes: &[u8]) -> Result<Graph, ImportError> {
    onnx(
        bytes,
        &ImportOptions {
            dims: vec![("w".into(), 4, 96)],
            ..Default::default()
        },
    )
}

fn problems(bytes: &[u8]) -> Vec<Problem> {
    match import(bytes) {
        Err(ImportError::Problems(list)) => list,
        other => panic!("no problems: {other:?}"),
    }
}

fn shape_chain() -> Vec<u8> {
    let nodes = vec![
        node("Shape", "x", "s", vec![]),
        node("Gather", "s two", "w", vec![int("axis", 0)]),
        node("Mul", "w four", "n", vec![]),
        node("Concat", "one n", "target", vec![int("axis", 0)]),
        node("Reshape", "x target", "y", vec![]),
    ];
    let constants = vec![
        i64s("two", &[1], &[2]),
        i64s("four", &[1], &[4]),
        i64s("one", &[1], &[1]),
    ];
    model(
        graph(
            vec![port("x", 1, &["1", "4", "w"])],
            constants,
            nodes,
            &["y"],
        ),
        vec![],
    )
}

#[test]
fn shape_arithmetic_resolves_to_expressions() {
    let g = import(&shape_chain()).unwrap();
    assert_eq!(g.blocks[0].nodes.len(), 1, "{:?}", g.blocks[0].nodes);
    let ty = g.ty(g.outputs[0].value);
    assert_eq!(
        (ty.shape[0], g.dim_bounds(ty.shape[1])),
        (Dim::ONE, (16, 384))
    );
}

#[test]
fn all_root_causes_are_reported_and_no_consequences() {
    let nodes = vec![
        node("Strange", "x", "a", vec![]),
        node("Relu", "a", "b", vec![]),
        node("Stranger", "x", "c", vec![]),
        node("Add", "b c", "y", vec![]),
    ];
    let list = problems(&model(
        graph(vec![port("x", 1, &["2"])], vec![], nodes, &["y"]),
        vec![],
    ));
    let operators: Vec<_> = list.iter().map(|p| p.operator.as_str()).collect();
    assert_eq!(operators, ["Strange", "Stranger"]);
    assert!(
        list.iter()
            .all(|p| !p.reason.is_empty() && !p.remedy.is_empty() && !p.node.is_empty())
    );
}

#[test]
fn open_dimensions_are_one_problem_with_the_flags() {
    let g = graph(
        vec![port("x", 1, &["n", "a", "b"]), port("y", 1, &["n", "b"])],
        vec![],
        vec![node("Relu", "x", "z", vec![])],
        &["z"],
    );
    let list = problems(&model(g, vec![]));
    assert_eq!(list.len(), 1);
    assert!(
        list[0].remedy.contains("--dim a=LO..HI --dim b=LO..HI"),
        "{}",
        list[0]
    );
}

fn branches(condition: TensorProto, constant: bool) -> Vec<u8> {
    let then = graph(vec![], vec![], vec![node("Relu", "x", "t", vec![])], &["t"]);
    let other = graph(
        vec![],
        vec![],
        vec![node("Flatten", "x", "e", vec![])],
        &["e"],
    );
    let nodes = vec![node(
        "If",
        "c",
        "y",
        vec![body("then_branch", then), body("else_branch", other)],
    )];
    let mut inputs = vec![port("x", 1, &["2", "3", "4"])];
    let mut constants = vec![condition];
    if !constant {
        constants.clear();
        inputs.push(port("c", 9, &[]));
    }
    model(graph(inputs, constants, nodes, &["y"]), vec![])
}

#[test]
fn a_constant_condition_leaves_one_branch() {
    for (value, rank) in [(true, 3), (false, 2)] {
        let g = import(&branches(truth("c", value), true)).unwrap();
        assert_eq!((g.blocks.len(), g.ty(g.outputs[0].value).rank()), (1, rank));
    }
    let list = problems(&branches(truth("c", true), false));
    assert!(
        list[0].reason.contains("'c'") && list[0].remedy.contains("number of axes"),
        "{}",
        list[0]
    );
}

/// A loop whose carried value grows by one row an iteration.
fn growing_loop(trips: i64) -> Vec<u8> {
    let inner = graph(
        vec![port("i", 7, &[]), port("go", 9, &[]), port("v", 1, &[])],
        vec![],
        vec![
            node("Concat", "v x", "w", vec![int("axis", 0)]),
            node("Identity", "go", "on", vec![]),
        ],
        &["on", "w"],
    );
    let nodes = vec![node("Loop", "m _ x", "y", vec![body("body", inner)])];
    model(
        graph(
            vec![port("x", 1, &["1", "2"])],
            vec![i64s("m", &[], &[trips])],
            nodes,
            &["y"],
        ),
        vec![],
    )
}

#[test]
fn a_loop_that_changes_shapes_unrolls() {
    for trips in [0, 3, 20] {
        let g = import(&growing_loop(trips)).unwrap();
        assert_eq!(
            *g.ty(g.outputs[0].value),
            Type::fixed(DType::F32, &[1 + trips as usize, 2])
        );
        assert!(
            g.blocks[0]
                .nodes
                .iter()
                .all(|n| !matches!(n.op, Op::Loop(_)))
        );
    }
}

#[test]
fn functions_take_attributes_and_defaults() {
    let reference = AttributeProto {
        ref_attr_name: "which".into(),
        ..int("axis", 0)
    };
    let function = FunctionProto {
        name: Some("Twice".into()),
        domain: Some("own".into()),
        input: vec!["a".into()],
        output: vec!["b".into()],
        attribute: vec!["which".into()],
        node: vec![node("Concat", "a a", "b", vec![reference])],
        opset_import: vec![OperatorSetIdProto {
            domain: String::new(),
            version: 18,
        }],
        ..Default::default()
    };
    let call = NodeProto {
        domain: "own".into(),
        ..node("Twice", "x", "y", vec![int("which", 1)])
    };
    let bytes = model(
        graph(vec![port("x", 1, &["2", "3"])], vec![], vec![call], &["y"]),
        vec![function.clone()],
    );
    let g = import(&bytes).unwrap();
    assert_eq!(*g.ty(g.outputs[0].value), Type::fixed(DType::F32, &[2, 6]));
    // A function that calls itself ends at the depth limit.
    let again = NodeProto {
        domain: "own".into(),
        ..node("Twice", "a", "b", vec![])
    };
    let call = NodeProto {
        domain: "own".into(),
        ..node("Twice", "x", "y", vec![])
    };
    let function = FunctionProto {
        node: vec![again],
        ..function
    };
    let list = problems(&model(
        graph(vec![port("x", 1, &["2"])], vec![], vec![call], &["y"]),
        vec![function],
    ));
    assert!(list[0].reason.contains("nest deeper"), "{}", list[0]);
}

/// Loops in loops, each of 500 iterations.
fn nested_loops(depth: usize) -> GraphProto {
    let mut nodes = vec![
        node("Concat", "v x", "w", vec![int("axis", 0)]),
        node("Identity", "go", "on", vec![]),
    ];
    if depth > 0 {
        nodes.insert(
            0,
            node(
                "Loop",
                "m _ x",
                "unused",
                vec![body("body", nested_loops(depth - 1))],
            ),
        );
    }
    graph(
        vec![port("i", 7, &[]), port("go", 9, &[]), port("v", 1, &[])],
        vec![],
        nodes,
        &["on", "w"],
    )
}

#[test]
fn bombs_are_refused() {
    let bomb = vec![node(
        "Loop",
        "m _ x",
        "y",
        vec![body("body", nested_loops(4))],
    )];
    let g = graph(
        vec![port("x", 1, &["1"])],
        vec![i64s("m", &[], &[500])],
        bomb,
        &["y"],
    );
    assert!(!problems(&model(g, vec![])).is_empty());

    let g = graph(
        vec![],
        vec![i64s("s", &[3], &[1 << 20; 3])],
        vec![node("ConstantOfShape", "s", "y", vec![])],
        &["y"],
    );
    assert!(problems(&model(g, vec![]))[0].reason.contains("bytes"));

    // A dimension expression that doubles with every node.
    let mut nodes = vec![node("Shape", "x", "d0", vec![])];
    for i in 0..64 {
        nodes.push(node(
            "Div",
            &format!("d{i} three"),
            &format!("q{i}"),
            vec![],
        ));
        nodes.push(node(
            "Mul",
            &format!("d{i} q{i}"),
            &format!("d{}", i + 1),
            vec![],
        ));
    }
    nodes.push(node("Expand", "x d64", "y", vec![]));
    let g = graph(
        vec![port("x", 1, &["1", "w"])],
        vec![i64s("three", &[], &[3])],
        nodes,
        &["y"],
    );
    assert!(!problems(&model(g, vec![])).is_empty());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn damaged_models_do_not_panic(
        which in 0usize..4,
        cut in 0usize..4096,
        edits in proptest::collection::vec((0usize..4096, any::<u8>()), 0..4),
    ) {
        let mut bytes = match which {
            0 => shape_chain(),
            1 => branches(truth("c", true), true),
            2 => branches(truth("c", true), false),
            _ => growing_loop(3),
        };
        if edits.is_empty() {
            bytes.truncate(cut % (bytes.len() + 1));
        }
        for (at, value) in edits {
            let at = at % bytes.len();
            bytes[at] = value;
        }
        let _ = import(&bytes);
    }
}
