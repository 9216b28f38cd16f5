//! Small graphs through the whole quantisation.

use super::agreement::{agreement, outputs};
use super::attempt::Attempt;
use super::compile::recognised;
use super::scheme::{Scheme, Width};
use super::*;
use crate::CompileOptions;
use crate::ir::{Graph, MAIN, Port, Type, ValueId};
use crate::testing::Random;
use cygnet_format::op::*;
use cygnet_format::{Axes, DType, Op, OpCode};
use std::collections::BTreeSet;

fn axes(v: &[i32]) -> Axes {
    v.iter().copied().collect()
}

/// A float graph under construction.
pub(super) struct Net {
    pub(super) g: Graph,
    r: Random,
}

impl Net {
    pub(super) fn new(seed: u64) -> Net {
        Net {
            g: Graph::default(),
            r: Random::new(seed),
        }
    }

    /// Between -1 and 1.
    pub(super) fn draw(&mut self) -> f32 {
        self.r.below(20_001) as f32 / 10_000.0 - 1.0
    }

    pub(super) fn input(&mut self, shape: &[usize]) -> ValueId {
        let name = format!("x{}", self.g.inputs.len());
        let value = self
            .g
            .add_value(name.clone(), Type::fixed(DType::F32, shape));
        self.g.inputs.push(Port { name, value });
        value
    }

    pub(super) fn output(&mut self, value: ValueId) {
        let name = format!("y{}", self.g.outputs.len());
        self.g.outputs.push(Port { name, value });
    }

    pub(super) fn constant(&mut self, shape: &[usize], scale: f32) -> ValueId {
        let n = shape.iter().product();
        let data: Vec<f32> = (0..n).map(|_| self.draw() * scale).collect();
        self.g.add_f32("c", shape, &data)
    }

    pub(super) fn push(
        &mut self,
        source: &str,
        op: impl Into<Op>,
        x: &[ValueId],
        shape: &[usize],
    ) -> ValueId {
        let ty = Type::fixed(DType::F32, shape);
        self.g.push(MAIN, source, op, x, ty)
    }

    pub(super) fn shape(&self, v: ValueId) -> Vec<usize> {
        self.g.ty(v).fixed_shape().unwrap()
    }

    /// A convolution of `[1,H,W,C]`, of the same size, with a bias.
    pub(super) fn conv(
        &mut self,
        source: &str,
        x: ValueId,
        k: usize,
        o: usize,
        group: usize,
    ) -> ValueId {
        let [n, h, w, c] = self.shape(x)[..] else {
            panic!("rank 4")
        };
        let (taps, pad) = (k * k, (k / 2) as i32);
        let kernel = axes(&[k as i32, k as i32]);
        let (ones, pads) = (axes(&[1, 1]), axes(&[pad, pad, pad, pad]));
        let bias = self.constant(&[o], 0.3);
        let scale = 1.7 / ((taps * c / group) as f32).sqrt();
        if group == c && group == o {
            let w_ = self.constant(&[taps, c], scale);
            let op = DepthwiseConv {
                kernel,
                strides: ones,
                dilations: ones,
                pads,
                ..Default::default()
            };
            return self.push(source, op, &[x, w_, bias], &[n, h, w, o]);
        }
        let depth = taps * c / group;
        let w_ = self.constant(&[group, depth, o / group], scale);
        let packed = [group, (o / group).div_ceil(16), depth, 16];
        let w_ = self.push(source, PackB { trans: false }, &[w_], &packed);
        let op = Conv {
            kernel,
            strides: ones,
            dilations: ones,
            pads,
            group: group as u32,
            ..Default::default()
        };
        self.push(source, op, &[x, w_, bias], &[n, h, w, o])
    }

    pub(super) fn relu(&mut self, x: ValueId) -> ValueId {
        self.unary(x, UnaryKind::Relu, 0.0, 0.0)
    }

    pub(super) fn unary(&mut self, x: ValueId, kind: UnaryKind, a: f32, b: f32) -> ValueId {
        let shape = self.shape(x);
        self.push("unary", Unary { kind, a, b }, &[x], &shape)
    }

    pub(super) fn matmul(&mut self, source: &str, x: ValueId, n: usize, trans: bool) -> ValueId {
        let mut shape = self.shape(x);
        let k = shape.pop().unwrap();
        shape.push(n);
        let stored = if trans { [n, k] } else { [k, n] };
        let w = self.constant(&stored, 1.7 / (k as f32).sqrt());
        let w = self.push(source, PackB { trans }, &[w], &[n.div_ceil(16), k, 16]);
        let bias = self.constant(&[n], 0.3);
        let op = MatMul {
            alpha: 1.0,
            ..Default::default()
        };
        self.push(source, op, &[x, w, bias], &shape)
    }

    pub(super) fn add(&mut self, a: ValueId, b: ValueId) -> ValueId {
        let shape = self.shape(a);
        let kind = BinaryKind::Add;
        self.push("add", Binary { kind }, &[a, b], &shape)
    }

    pub(super) fn samples(&mut self, n: usize) -> Vec<Sample> {
        let shapes: Vec<Vec<usize>> = (0..self.g.inputs.len())
            .map(|i| self.shape(self.g.inputs[i].value))
            .collect();
        let mut samples = Vec::new();
        for i in 0..n {
            let mut inputs = Vec::new();
            for shape in &shapes {
                let len = shape.iter().product();
                let values: Vec<f32> = (0..len).map(|_| self.draw()).collect();
                inputs.push(Array::from_f32(shape, &values));
            }
            samples.push(Sample {
                name: format!("sample {i}"),
                inputs,
                continues: false,
            });
        }
        samples
    }

    fn quantise(&mut self, method: Method) -> Quantised {
        let samples = self.samples(16);
        let options = Options {
            precision: Precision::Int8,
            method,
        };
        compile(
            self.g.clone(),
            &CompileOptions::default(),
            &options,
            &samples,
        )
        .unwrap()
    }
}

fn count(q: &Quantised, code: OpCode) -> usize {
    let nodes = &q.compiled.graph.blocks[MAIN.0 as usize].nodes;
    nodes.iter().filter(|n| n.op.code() == code).count()
}

/// An inverted residual, a mean and a classifier.
fn classifier(seed: u64) -> Net {
    let mut net = Net::new(seed);
    let x = net.input(&[1, 10, 10, 4]);
    let first = net.conv("first", x, 3, 8, 1);
    let first = net.relu(first);
    let deep = net.conv("depthwise", first, 3, 8, 8);
    let deep = net.unary(deep, UnaryKind::Clip, 0.0, 6.0);
    let point = net.conv("point", deep, 1, 8, 1);
    let sum = net.add(first, point);
    let sum = net.relu(sum);
    let op = Reduce {
        kind: ReduceKind::Mean,
        axes: axes(&[1, 2]),
    };
    let mean = net.push("mean", op, &[sum], &[1, 8]);
    let logits = net.matmul("classes", mean, 5, true);
    let op = Softmax {
        axis: 1,
        ..Default::default()
    };
    let y = net.push("softmax", op, &[logits], &[1, 5]);
    net.output(y);
    net
}

#[test]
fn a_classifier_becomes_integer() {
    for method in [
        Method::Auto,
        Method::MinMax,
        Method::Percentile(99.99),
        Method::Mse,
        Method::Entropy,
    ] {
        let q = classifier(3).quantise(method);
        // The residual joins its convolution; the classifier is one as well.
        assert_eq!(count(&q, OpCode::QuantizedConv), 3);
        assert_eq!(count(&q, OpCode::QuantizedDepthwise), 1);
        assert_eq!(count(&q, OpCode::QuantizedAveragePool), 1);
        assert_eq!(count(&q, OpCode::QuantizedAdd), 0);
        assert_eq!(count(&q, OpCode::QuantizeLinear), 1);
        assert_eq!(count(&q, OpCode::DequantizeLinear), 1);
        let float: Vec<&str> = q
            .record
            .float_layers
            .iter()
            .map(|l| l.operator.as_str())
            .collect();
        assert_eq!(float, ["softmax"]);
        let a = &q.record.agreement[0];
        assert!(a.snr_db > 30.0, "{method}: {a:?}");
        assert_eq!((a.rows, a.samples), (4, 4));
        assert_eq!(q.record.layers.len(), 4);
        assert!(q.record.layers.iter().all(|l| l.weight_snr_db > 35.0));
        assert!(
            q.record
                .layers
                .iter()
                .all(|l| l.output_snr_db.unwrap() > 25.0)
        );
        // Whether this machine is faster with integers is another matter.
        let few = |w: &String| w.contains("calibration samples");
        assert!(!q.warnings.iter().any(few), "{:?}", q.warnings);
    }
}

#[test]
fn what_is_joined_shares_a_scale() {
    let mut net = Net::new(5);
    let x = net.input(&[1, 8, 8, 4]);
    let a = net.conv("a", x, 3, 8, 1);
    let a = net.relu(a);
    let b = net.conv("b", x, 1, 8, 1);
    let joined = net.push("concat", Concat { axis: 3 }, &[a, b], &[1, 8, 8, 16]);
    let op = Pool {
        kind: PoolKind::Max,
        kernel: axes(&[2, 2]),
        strides: axes(&[2, 2]),
        dilations: axes(&[1, 1]),
        pads: axes(&[0, 0, 0, 0]),
        ..Default::default()
    };
    let pooled = net.push("pool", op, &[joined], &[1, 4, 4, 16]);
    let y = net.conv("y", pooled, 3, 8, 2);
    net.output(y);
    let q = net.quantise(Method::Auto);
    assert_eq!(count(&q, OpCode::QuantizedConv), 3);
    assert_eq!(count(&q, OpCode::QuantizeLinear), 1);
    assert_eq!(count(&q, OpCode::DequantizeLinear), 1);
    assert!(
        q.record.float_layers.is_empty(),
        "{:?}",
        q.record.float_layers
    );
    assert!(
        q.record.agreement[0].snr_db > 30.0,
        "{:?}",
        q.record.agreement
    );
    // The input, the concatenation with its parts, the result.
    assert_eq!(q.record.tensors.len(), 3);
}

#[test]
fn floats_keep_what_floats_computed() {
    // A post-norm block: the norm's result is rounded for the product alone.
    let mut net = Net::new(6);
    let x = net.input(&[1, 6, 32]);
    let norm = |net: &mut Net, x| {
        let op = LayerNorm {
            axis: 2,
            epsilon: 1e-5,
            rms: false,
        };
        net.push("norm", op, &[x], &[1, 6, 32])
    };
    let n = norm(&mut net, x);
    let h = net.matmul("up", n, 64, false);
    let h = net.unary(h, UnaryKind::GeluErf, 0.0, 0.0);
    let h = net.matmul("down", h, 32, false);
    let s = net.add(n, h);
    let y = norm(&mut net, s);
    net.output(y);
    let q = net.quantise(Method::Auto);
    assert_eq!(count(&q, OpCode::QuantizedConv), 2);
    assert_eq!(count(&q, OpCode::QuantizedAdd), 0);
    assert!(
        q.record.agreement[0].snr_db > 25.0,
        "{:?}",
        q.record.agreement
    );
    let float: Vec<&str> = q
        .record
        .float_layers
        .iter()
        .map(|l| l.operator.as_str())
        .collect();
    assert!(
        float.contains(&"layer_norm") && !float.contains(&"mat_mul"),
        "{float:?}"
    );
}

#[test]
fn a_shifted_mean_is_taken_back() {
    // Inputs are positive and all weights but one lie just below the middle between two integers: rounding takes from
    // every product.
    let mut net = Net::new(7);
    let x = net.input(&[1, 64]);
    let mut weights = vec![0.49 / 127.0; 64];
    weights[0] = 1.0;
    let w = net.g.add_f32("w", &[64, 1], &weights);
    let w = net.push("n", PackB { trans: false }, &[w], &[1, 64, 16]);
    let op = MatMul {
        alpha: 1.0,
        ..Default::default()
    };
    let y = net.push("n", op, &[x, w], &[1, 1]);
    net.output(y);
    let mut samples = net.samples(32);
    for sample in &mut samples {
        let positive: Vec<f32> = sample.inputs[0].to_f32().iter().map(|v| v.abs()).collect();
        sample.inputs[0] = Array::from_f32(&[1, 64], &positive);
    }
    let choices = CompileOptions::default();
    let base = recognised(&net.g);
    let scheme = Scheme::without(&base, &BTreeSet::new(), Width::Eight);
    let seen = Attempt::look(&base, &scheme, &samples).unwrap();
    let attempt = Attempt::new(base, scheme, &seen, Method::MinMax);
    let errors = attempt.measure(&samples).unwrap();
    let expected = outputs(
        &crate::compile_graph(net.g.clone(), &choices)
            .unwrap()
            .program
            .bytes,
        &samples,
    )
    .unwrap();
    let snr_db = |attempt: &Attempt| {
        let actual = outputs(&attempt.compile(&choices).unwrap().program.bytes, &samples).unwrap();
        agreement(&["y0".to_owned()], &expected, &actual)[0].snr_db
    };
    let nearest = snr_db(&attempt);
    let corrected = snr_db(&attempt.corrected(&errors));
    assert!(corrected > nearest + 3.0, "{nearest} -> {corrected}");
    // Rounding that compensates leaves no shift.
    let options = Options {
        precision: Precision::Int8,
        method: Method::MinMax,
    };
    let q = compile(net.g, &choices, &options, &samples).unwrap();
    let techniques = &q.record.techniques;
    let t = techniques
        .iter()
        .find(|t| t.name == "compensating rounding");
    let t = t.unwrap();
    assert!(t.applied && t.snr_db[1] > t.snr_db[0] + 10.0, "{t:?}");
}

#[test]
fn channels_of_different_ranges_are_equalised() {
    // Channels of the tensor between the layers differ by a factor of a thousand, which the second layer's weights undo.
    let mut net = Net::new(12);
    let x = net.input(&[1, 6, 6, 8]);
    let a = net.conv("a", x, 1, 16, 1);
    let a = net.relu(a);
    let b = net.conv("b", a, 3, 16, 16);
    let b = net.unary(b, UnaryKind::Clip, 0.0, 1e6);
    let y = net.conv("y", b, 1, 8, 1);
    net.output(y);
    let nodes = net.g.blocks[0].nodes.clone();
    let mut scale = |v: ValueId, of: &dyn Fn(usize) -> f32| {
        let mut data = net.g.constant_f32(v).unwrap();
        data.iter_mut().enumerate().for_each(|(i, w)| *w *= of(i));
        let bytes = data
            .iter()
            .flat_map(|w| w.to_le_bytes())
            .collect::<Vec<u8>>();
        net.g.value_mut(v).data = Some(std::sync::Arc::new(bytes));
    };
    let factor = |c: usize| 1000f32.powf(c as f32 / 15.0);
    // Weights of `a` are packed, those of `b` are not.
    scale(nodes[0].inputs[0].unwrap(), &|i| factor(i % 16));
    scale(nodes[1].inputs[2].unwrap(), &|i| factor(i));
    scale(nodes[3].inputs[1].unwrap(), &|i| 1.0 / factor(i % 16));
    let q = net.quantise(Method::MinMax);
    let t = q
        .record
        .techniques
        .iter()
        .find(|t| t.name == "equalisation")
        .unwrap();
    assert!(t.applied && t.snr_db[1] > t.snr_db[0] + 6.0, "{t:?}");
    assert!(
        q.record.agreement[0].snr_db > 30.0,
        "{:?}",
        q.record.agreement
    );
}

#[test]
fn faults_are_named() {
    let options = Options {
        precision: Precision::Int8,
        method: Method::Auto,
    };
    let choices = CompileOptions::default();
    let mut net = classifier(8);
    let samples = net.samples(4);
    let run = |g: &Graph, samples: &[Sample]| {
        compile(g.clone(), &choices, &options, samples).map_err(|e| e.to_string())
    };
    let few = run(&net.g, &samples).unwrap();
    assert!(
        few.warnings
            .iter()
            .any(|w| w.contains("4 calibration samples")),
        "{:?}",
        few.warnings
    );
    assert!(
        run(&net.g, &[])
            .unwrap_err()
            .contains("no calibration samples")
    );

    let mut broken = samples.clone();
    let mut values = broken[2].inputs[0].to_f32();
    values[17] = f32::NAN;
    broken[2].inputs[0] = Array::from_f32(&[1, 10, 10, 4], &values);
    let text = run(&net.g, &broken).unwrap_err();
    assert!(
        text.contains("sample 2") && text.contains("`x0`") && text.contains("element 17"),
        "{text}"
    );

    let mut huge = samples.clone();
    huge[1].inputs[0] = Array::from_f32(&[1, 10, 10, 4], &[3e38; 400]);
    let text = run(&net.g, &huge).unwrap_err();
    assert!(
        text.contains("sample 1") && text.contains("becomes inf"),
        "{text}"
    );

    let again = run(&few.compiled.graph, &samples).unwrap_err();
    assert!(again.contains("quantised already"), "{again}");

    let mut plain = Net::new(9);
    let x = plain.input(&[1, 4]);
    let y = plain.relu(x);
    plain.output(y);
    let samples = plain.samples(2);
    let text = run(&plain.g, &samples).unwrap_err();
    assert!(text.contains("nothing to quantise"), "{text}");
}

#[test]
fn methods_in_words() {
    for text in ["auto", "min-max", "mse", "entropy", "percentile-99.99"] {
        assert_eq!(text.parse::<Method>().unwrap().to_string(), text);
    }
    for text in ["", "kl", "percentile-", "percentile-40", "percentile-101"] {
        assert!(text.parse::<Method>().is_err(), "{text}");
    }
}

#[test]
fn samples_of_another_kind_are_found_out() {
    let causes = |factor: f32| {
        let mut net = classifier(9);
        let mut samples = net.samples(24);
        // Every fourth sample is kept back.
        for sample in samples.iter_mut().skip(3).step_by(4) {
            let array = &sample.inputs[0];
            let values: Vec<f32> = array.to_f32().iter().map(|v| v * factor).collect();
            sample.inputs[0] = Array::from_f32(&array.shape, &values);
        }
        let options = Options {
            precision: Precision::Int8,
            method: Method::MinMax,
        };
        let choices = CompileOptions::default();
        let q = compile(net.g.clone(), &choices, &options, &samples).unwrap();
        let causes: Vec<Cause> = diagnose(&q.record).into_iter().map(|f| f.cause).collect();
        causes
    };
    assert_eq!(causes(1.0), []);
    assert!(causes(4.0).contains(&Cause::OffDistribution));
}

/// As [`Net::quantise`], with 16-bit activations.
fn widely(g: &Graph, samples: &[Sample]) -> Quantised {
    let options = Options {
        precision: Precision::Int8x16,
        method: Method::Auto,
    };
    compile(g.clone(), &CompileOptions::default(), &options, samples).unwrap()
}

#[test]
fn a_classifier_becomes_integer_of_sixteen_bits() {
    let mut net = classifier(3);
    let samples = net.samples(16);
    let q = widely(&net.g, &samples);
    assert_eq!(count(&q, OpCode::Int16Conv), 3);
    assert_eq!(count(&q, OpCode::Int16Depthwise), 1);
    assert_eq!(count(&q, OpCode::Int16Pool), 1);
    assert_eq!(count(&q, OpCode::Int16Add), 1);
    assert_eq!(count(&q, OpCode::QuantizeLinear), 1);
    assert_eq!(count(&q, OpCode::DequantizeLinear), 1);
    assert_eq!(q.record.integer_steps, 6);
    let eight = classifier(3).quantise(Method::Auto).record.agreement[0].snr_db;
    let sixteen = q.record.agreement[0].snr_db;
    assert!(
        sixteen > 45.0 && sixteen > eight + 6.0,
        "{sixteen} and {eight}"
    );
}

#[test]
fn long_sums_of_sixteen_bits_fit() {
    // Weights of one sign and inputs far from zero: full 16 bits would leave 32 after 516 products.
    let mut net = Net::new(11);
    let x = net.input(&[1, 1, 4096]);
    let relu = net.relu(x);
    let weights = vec![0.5; 4096 * 8];
    let w = net.g.add_f32("w", &[4096, 8], &weights);
    let packed = net.push("pack", PackB { trans: false }, &[w], &[1, 4096, 16]);
    let y = net.push(
        "sum",
        MatMul {
            alpha: 1.0,
            ..Default::default()
        },
        &[relu, packed],
        &[1, 1, 8],
    );
    net.output(y);
    let sample = |i: u8| Sample {
        name: format!("{i} of 16"),
        inputs: vec![Array::from_f32(
            &[1, 1, 4096],
            &vec![f32::from(i) / 16.0; 4096],
        )],
        continues: false,
    };
    let samples: Vec<Sample> = (1..=16).map(sample).collect();
    let q = widely(&net.g, &samples);
    assert_eq!(count(&q, OpCode::Int16Conv), 1);
    let got = outputs(&q.compiled.program.bytes, &samples[15..]).unwrap();
    let got = got.arrays[0][0].to_f32()[0];
    assert!((got - 2048.0).abs() < 4.0, "{got}");
}

/// A convolution over the last three columns of a stream, of which two are a state.
fn stream() -> (Net, Vec<Sample>) {
    let mut net = Net::new(7);
    let ty = Type::fixed(DType::F32, &[1, 1, 2, 3]);
    let state = net.g.add_value("state", ty.clone());
    let x = net.input(&[1, 1, 1, 3]);
    let joined = net.push("join", Concat { axis: 2 }, &[state, x], &[1, 1, 3, 3]);
    let op = Slice {
        starts: [0, 0, 1, 0].map(cygnet_format::Dim).into_iter().collect(),
        steps: axes(&[1; 4]),
    };
    let next = net.push("keep", op, &[joined], &[1, 1, 2, 3]);
    net.g.states.push(crate::ir::State {
        name: "state".into(),
        current: state,
        next,
        init: None,
        declared: ty,
    });
    let y = net.conv("conv", joined, 3, 8, 1);
    let y = net.relu(y);
    let y = net.conv("last", y, 1, 4, 1);
    net.output(y);
    let mut samples = net.samples(64);
    for (i, sample) in samples.iter_mut().enumerate() {
        sample.continues = i % 16 > 0;
        // Off centre, so that zero has a zero point.
        let shifted: Vec<f32> = sample.inputs[0].to_f32().iter().map(|v| v + 0.5).collect();
        sample.inputs[0] = Array::from_f32(&[1, 1, 1, 3], &shifted);
    }
    (net, samples)
}

#[test]
fn a_state_is_kept_as_integers() {
    let (net, samples) = stream();
    let options = |precision| Options {
        precision,
        ..Default::default()
    };
    let quantise = |precision| {
        let choices = CompileOptions::default();
        compile(net.g.clone(), &choices, &options(precision), &samples).unwrap()
    };
    let q = quantise(Precision::Int8);
    let graph = &q.compiled.graph;
    let state = &graph.states[0];
    assert_eq!(graph.ty(state.current).dtype, DType::I8, "{graph}");
    assert_eq!(graph.ty(state.next).dtype, DType::I8, "{graph}");
    assert_eq!(state.declared, Type::fixed(DType::F32, &[1, 1, 2, 3]));
    let zero = state.init.as_ref().expect("zero is no zero byte");
    assert!(zero.len() == 6 && zero.iter().all(|b| *b == zero[0] && *b != 0));
    // The frame becomes integers, the output floats, and nothing in between is either.
    assert_eq!(count(&q, OpCode::QuantizeLinear), 1, "{graph}");
    assert_eq!(count(&q, OpCode::DequantizeLinear), 1, "{graph}");
    assert!(
        q.record.agreement[0].snr_db > 25.0,
        "{:?}",
        q.record.agreement
    );
    // Sums of 16-bit integers are bounded by who makes them: such a state stays float, and its layer integer.
    let q = quantise(Precision::Int8x16);
    let graph = &q.compiled.graph;
    assert_eq!(graph.ty(graph.states[0].current).dtype, DType::F32);
    assert!(count(&q, OpCode::Int16Conv) > 0, "{graph}");
    assert!(
        q.record.agreement[0].snr_db > 40.0,
        "{:?}",
        q.record.agreement
    );
}
