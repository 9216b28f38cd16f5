//! Graphs before and after.
use super::*;
use crate::ir::{MAIN, Port};
use crate::verify::{Runner, RunnerOptions, compare};
use crate::{CompileOptions, compile_graph};
use cygnet_format::Axes;
use cygnet_format::op::{ActivationKind, MatMul, PackB};

fn noise(n: usize, seed: u64) -> Vec<f32> {
    let value = |i: u64| {
        let z = (i + 1 + (seed << 32)).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        let z = (z ^ (z >> 29)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        ((z ^ (z >> 32)) >> 40) as f32 / (1u64 << 23) as f32 - 1.0
    };
    (0..n as u64).map(value).collect()
}

fn axes(values: &[i32]) -> Axes {
    Axes::new(values).unwrap()
}

fn output(graph: &mut Graph, value: ValueId) {
    graph.outputs.push(Port {
        name: "y".into(),
        value,
    });
}

fn input(graph: &mut Graph, dtype: DType, shape: &[usize]) -> ValueId {
    let value = graph.add_value("x", Type::fixed(dtype, shape));
    graph.inputs.push(Port {
        name: "x".into(),
        value,
    });
    value
}

/// `silu(2 x w + bias)` over `rows` rows.
fn product(rows: usize, k: usize, n: usize) -> Graph {
    let mut g = Graph::default();
    let x = input(&mut g, DType::F32, &[rows, k]);
    let w = g.add_f32("w", &[k, n], &noise(k * n, 1));
    let packed = Type::fixed(DType::F32, &[n.div_ceil(16), k, 16]);
    let packed = g.push(MAIN, "w", PackB { trans: false }, &[w], packed);
    let bias = g.add_f32("b", &[n], &noise(n, 2));
    let op = MatMul {
        alpha: 2.0,
        act: Activation {
            kind: ActivationKind::Silu,
            ..Activation::default()
        },
    };
    let y = g.push(
        MAIN,
        "product",
        op,
        &[x, packed, bias],
        Type::fixed(DType::F32, &[rows, n]),
    );
    output(&mut g, y);
    g
}

/// `x[1, 12, 12, c]` through a 3 x 3 convolution.
fn convolution(c: usize, o: usize) -> Graph {
    let mut g = Graph::default();
    let x = input(&mut g, DType::F32, &[1, 12, 12, c]);
    let panels = o.div_ceil(16);
    let w = g.add_f32("w", &[1, panels, 9 * c, 16], &noise(panels * 9 * c * 16, 3));
    let op = Conv {
        kernel: axes(&[3, 3]),
        strides: axes(&[2, 2]),
        dilations: axes(&[1, 1]),
        pads: axes(&[1; 4]),
        group: 1,
        act: Activation::default(),
    };
    let y = g.push(
        MAIN,
        "conv",
        op,
        &[x, w],
        Type::fixed(DType::F32, &[1, 6, 6, o]),
    );
    output(&mut g, y);
    g
}

/// Rows of a table.
fn table() -> Graph {
    let mut g = Graph::default();
    let ids = input(&mut g, DType::I64, &[1, 7]);
    let table = g.add_f32("table", &[300, 32], &noise(300 * 32, 4));
    let op = Gather { axis: 0 };
    let y = g.push(
        MAIN,
        "table",
        op,
        &[table, ids],
        Type::fixed(DType::F32, &[1, 7, 32]),
    );
    output(&mut g, y);
    g
}

/// Operators of the compressed graph, what became of its layers, and the decibels of its output above the error.
fn compressed(graph: Graph, format: Format) -> (Vec<&'static str>, Vec<Layer>, f64) {
    let float = compile_graph(graph, &CompileOptions::default()).unwrap();
    let mut small = float.graph.clone();
    let layers = compress_graph(&mut small, &|_| Some(format));
    crate::ir::verify(&small).unwrap();
    let program = crate::emit::program(&small, &Default::default()).unwrap();
    let inputs = crate::bundle::golden_inputs(&small, 1).unwrap();
    let run = |program: &[u8]| {
        let mut runner = Runner::from_bytes(program, &RunnerOptions::default()).unwrap();
        runner
            .set_inputs(&inputs.iter().collect::<Vec<_>>())
            .unwrap();
        runner.run().unwrap();
        runner.output(0).unwrap()
    };
    let (want, got) = (run(&float.program.bytes), run(&program.bytes));
    let nodes = small.blocks[0].nodes.iter();
    let names = nodes.map(|n| n.op.code().name()).collect();
    (names, layers, compare(&want, &got).unwrap().snr_db)
}

const INT4: Format = Format::Integers {
    bits: 4,
    group: 32,
    asymmetric: false,
};
const OFFSET4: Format = Format::Integers {
    bits: 4,
    group: 32,
    asymmetric: true,
};
const TABLE: Format = Format::Table { bits: 4 };

#[test]
fn products_are_as_near_as_their_bits_allow() {
    for rows in [1, 5] {
        for (format, name, db, bits) in [
            (Format::Half, "compressed_mat_mul", 60.0, 16.0),
            (INT8, "compressed_mat_mul", 38.0, 8.3),
            (INT4, "compressed_mat_mul", 15.0, 4.6),
            (OFFSET4, "compressed_mat_mul", 15.0, 5.1),
            (TABLE, "compressed_mat_mul", 15.0, 4.4),
            (Format::Dynamic, "dynamic_mat_mul", 35.0, 8.7),
        ] {
            let (names, layers, got) = compressed(product(rows, 128, 48), format);
            // A single row waits for its weights, not for its products.
            let name = if rows == 1 {
                "compressed_mat_mul"
            } else {
                name
            };
            assert_eq!(names, [name], "{format}");
            assert!(got > db, "{format}, {rows} rows: {got} dB");
            let stored = layers[0].bytes[1] as f64 * 8.0 / layers[0].weights as f64;
            assert!(stored <= bits, "{format}: {stored} bits a weight");
            assert!(layers[0].outcome.is_ok());
        }
    }
}

#[test]
fn other_weights_are_expanded_before_their_operator() {
    for (format, db) in [
        (Format::Half, 60.0),
        (INT8, 38.0),
        (INT4, 38.0),
        (TABLE, 15.0),
    ] {
        let (names, layers, got) = compressed(convolution(16, 24), format);
        assert_eq!(names, ["expand_weights", "conv"], "{format}");
        assert!(got > db, "{format}: {got} dB");
        assert_eq!(layers[0].operator, "conv");
    }
}

#[test]
fn layers_that_do_not_pay_stay_and_say_why() {
    let reason = |graph: Graph, format: Format| {
        let (_, layers, db) = compressed(graph, format);
        assert_eq!(db, f64::INFINITY);
        layers[0].outcome.unwrap_err()
    };
    assert_eq!(reason(product(3, 16, 16), INT4), "few weights");
    assert!(reason(convolution(3, 64), INT4).contains("first layer"));
    let mut huge = convolution(16, 16);
    let w = huge.blocks[0].nodes[0].inputs[1].unwrap();
    let bytes = noise(9 * 16 * 16, 1)
        .iter()
        .flat_map(|v| (v * 1e6).to_le_bytes())
        .collect();
    huge.value_mut(w).data = Some(std::sync::Arc::new(bytes));
    assert!(reason(huge, Format::Half).contains("half precision"));
}

#[test]
fn tables_are_looked_up_in_few_bits() {
    let (names, layers, db) = compressed(table(), Format::Half);
    assert_eq!(names, ["gather", "expand_weights"]);
    assert!(db > 60.0, "{db}");
    assert_eq!(layers[0].bytes, [300 * 32 * 4, 300 * 32 * 2]);
    let (names, layers, db) = compressed(table(), INT4);
    assert_eq!(names, ["gather", "cast", "gather", "binary"]);
    assert!(db > 38.0, "{db}");
    assert_eq!(layers[0].bytes[1], 300 * 32 + 4 * 300);
}

#[test]
fn weights_of_two_layers_are_stored_once() {
    let mut g = convolution(16, 16);
    let mut node = g.blocks[0].nodes[0].clone();
    let y = g.add_value("z", Type::fixed(DType::F32, &[1, 6, 6, 16]));
    let x = g.add_value("x2", Type::fixed(DType::F32, &[1, 12, 12, 16]));
    g.inputs.push(Port {
        name: "x2".into(),
        value: x,
    });
    node.inputs[0] = Some(x);
    node.outputs = vec![Some(y)];
    g.blocks[0].nodes.push(node);
    g.outputs.push(Port {
        name: "z".into(),
        value: y,
    });
    let (names, _, _) = compressed(g, INT8);
    assert_eq!(names, ["expand_weights", "conv", "conv"]);
}

#[test]
fn each_layer_is_measured_alone() {
    // Two products: the second gets the exact result of the first, whatever its own weights lose.
    let mut g = product(4, 64, 48);
    let x = g.outputs.remove(0).value;
    let mut weights = noise(48 * 64, 5);
    // Half precision holds these without loss.
    weights.iter_mut().for_each(|w| *w = (*w * 8.0).round());
    let w = g.add_f32("w", &[48, 64], &weights);
    let packed = Type::fixed(DType::F32, &[4, 48, 16]);
    let packed = g.push(MAIN, "w", PackB { trans: false }, &[w], packed);
    let op = MatMul {
        alpha: 1.0,
        ..MatMul::default()
    };
    let ty = Type::fixed(DType::F32, &[4, 64]);
    let y = g.push(MAIN, "second", op, &[x, packed], ty);
    output(&mut g, y);
    let samples: Vec<crate::quantize::Sample> = (0..3)
        .map(|i| crate::quantize::Sample {
            name: format!("sample {i}"),
            inputs: vec![crate::bundle::Array::from_f32(&[4, 64], &noise(256, 7 + i))],
            continues: false,
        })
        .collect();
    let choices = CompileOptions::default();
    let of = |format: Format| {
        let made = compress(g.clone(), &choices, format, &samples).unwrap();
        let layers = made.record.layers;
        assert_eq!(layers.len(), 2, "{layers:?}");
        [0, 1].map(|i| layers[i].output_snr_db.expect("measured"))
    };
    let [first, second] = of(Format::Half);
    assert!(
        (60.0..90.0).contains(&first) && second > 120.0,
        "{first} {second}"
    );
    let four = Format::Integers {
        bits: 4,
        group: 16,
        asymmetric: false,
    };
    for db in of(four).into_iter().chain(of(Format::Table { bits: 4 })) {
        assert!((12.0..40.0).contains(&db), "{db}");
    }
    // Rows of integers lose more than the weights alone.
    let dynamic = of(Format::Dynamic);
    assert!(
        dynamic.iter().all(|db| (30.0..60.0).contains(db)),
        "{dynamic:?}"
    );
}
