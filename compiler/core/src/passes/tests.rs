//! Before and after, as text.

use super::*;
use crate::ir::text::{self, Constants};
use crate::ir::{Graph, verify};
use cygnet_format::Op;

fn graph(text: &str) -> Graph {
    let graph = text::parse(text, &Constants::new()).unwrap_or_else(|e| panic!("{e}\n{text}"));
    verify(&graph).unwrap();
    graph
}

/// The main block's operators with attributes, after a pass.
fn after(text: &str, pass: impl Fn(&mut Graph) -> usize) -> Vec<String> {
    let mut graph = graph(text);
    for _ in 0..8 {
        let changed = pass(&mut graph);
        verify(&graph).unwrap_or_else(|e| panic!("{e}\n{graph}"));
        if changed == 0 {
            break;
        }
    }
    eliminate_dead(&mut graph);
    verify(&graph).unwrap();
    // What is written reads back as the same text.
    let written = graph.to_string();
    let again = text::parse(&written, &text::constants(&graph))
        .unwrap_or_else(|e| panic!("{e}\n{written}"));
    assert_eq!(again.to_string(), written);
    let line = |n: &crate::ir::Node| {
        let mut s = format!("{} ", n.op.code().name());
        n.op.write_attributes(&mut s).unwrap();
        s.trim().to_owned()
    };
    graph.blocks[0].nodes.iter().map(line).collect()
}

fn all(graph: &mut Graph) -> usize {
    run(graph, Level::Full);
    0
}

fn f32s(values: &[f32]) -> String {
    values
        .iter()
        .flat_map(|v| v.to_le_bytes())
        .map(|b| format!("{b:02x}"))
        .collect()
}

#[test]
fn transpositions_around_elementwise_steps_cancel() {
    let ops = after(
        "input %x: f32[1,4,6,8] \"x\"
         input %z: f32[1,4,6,8] \"z\"
         block b0 () {
           %a: f32[1,8,4,6] = transpose(%x) perm=[0,3,1,2] \"\"
           %b: f32[1,8,4,6] = unary(%a) kind=relu a=0.0 b=0.0 \"\"
           %c: f32[1,8,4,6] = transpose(%z) perm=[0,3,1,2] \"\"
           %d: f32[1,8,4,6] = binary(%b, %c) kind=add \"\"
           %e: f32[1,16,4,6] = concat(%d, %b) axis=1 \"\"
           %f: f32[1,4,6,16] = transpose(%e) perm=[0,2,3,1] \"\"
         } -> ()
         output %f \"y\"",
        choose_layout,
    );
    assert_eq!(
        ops,
        [
            "unary kind=relu a=0.0 b=0.0",
            "binary kind=add",
            "concat axis=3"
        ]
    );
}

#[test]
fn constants_and_channel_vectors_follow_the_layout() {
    let c = f32s(&[1.0, 2.0]);
    let ops = after(
        &format!(
            "const %c: f32[2,1,1] = {c}
             input %x: f32[1,4,6,2] \"x\"
             input %s: f32[1,2] \"s\"
             block b0 () {{
               %a: f32[1,2,4,6] = transpose(%x) perm=[0,3,1,2] \"\"
               %b: f32[1,2,4,6] = binary(%a, %c) kind=mul \"\"
               %g: f32[1,2,1,1] = reshape(%s) \"\"
               %d: f32[1,2,4,6] = binary(%b, %g) kind=mul \"\"
               %r: f32[1,2] = reduce(%d) kind=mean axes=[2,3] \"\"
             }} -> ()
             output %r \"y\""
        ),
        choose_layout,
    );
    assert_eq!(
        ops,
        [
            "binary kind=mul",
            "reshape",
            "reshape",
            "binary kind=mul",
            "reduce kind=mean axes=[1,2]"
        ]
    );
}

#[test]
fn a_squeeze_sinks_and_meets_the_inverse() {
    let ops = after(
        "input %x: f32[2,1,5,3] \"x\"
         block b0 () {
           %a: f32[2,3,1,5] = transpose(%x) perm=[0,3,1,2] \"\"
           %b: f32[2,3,5] = reshape(%a) \"\"
           %c: f32[2,5,3] = transpose(%b) perm=[0,2,1] \"\"
         } -> ()
         output %c \"y\"",
        choose_layout,
    );
    assert_eq!(ops, ["reshape"]);
}

#[test]
fn origins_survive_a_change_of_layout() {
    let mut g = graph(
        "input %x: f32[1,4,6,8] \"x\"
         block b0 () {
           %a: f32[1,8,4,6] = transpose(%x) perm=[0,3,1,2] \"\"
           %b: f32[1,8,4,6] = unary(%a) kind=exp a=0.0 b=0.0 \"\"
           %c: f32[1,4,6,8] = transpose(%b) perm=[0,2,3,1] \"\"
           %d: f32[1,4,6,8] = unary(%c) kind=sin a=0.0 b=0.0 \"\"
         } -> ()
         output %d \"y\"
         origin %b \"exp_output\" []",
    );
    while choose_layout(&mut g) > 0 {}
    eliminate_dead(&mut g);
    let exp = g.blocks[0].nodes[0].outputs[0].unwrap();
    let origin = g.value(exp).origin.clone().unwrap();
    // exp.shape[i] = model.shape[perm[i]] with the model's [1, 8, 4, 6].
    assert_eq!(
        (origin.name.as_str(), origin.perm),
        ("exp_output", vec![0, 2, 3, 1])
    );
}

const DEPTHWISE: &str = "const %w: f32[1,2] = 0000803f00000040
     const %s: f32[2] = 0000004000000040
     const %t: f32[1,1,1,2] = 0000803f0000803f
     input %x: f32[1,4,6,2] \"x\"
     block b0 () {
       %a: f32[1,4,6,2] = depthwise_conv(%x, %w) kernel=[1,1] strides=[1,1] dilations=[1,1] pads=[0,0,0,0] \"conv\"
       %b: f32[1,4,6,2] = binary(%a, %s) kind=mul \"\"
       %c: f32[1,4,6,2] = binary(%b, %t) kind=add \"\"
       %d: f32[1,4,6,2] = binary(%x, %c) kind=add \"\"
       %e: f32[1,4,6,2] = unary(%d) kind=clip a=0.0 b=6.0 \"relu6\"
     } -> ()
     output %e \"y\"";

#[test]
fn scale_bias_residual_and_activation_fuse() {
    let mut g = graph(DEPTHWISE);
    let report = run(&mut g, Level::Full);
    for pass in [
        "fold_scale",
        "fuse_bias",
        "fuse_residual",
        "fuse_activation",
    ] {
        assert_eq!(report.count(pass), 1, "{pass}");
    }
    let [node] = &g.blocks[0].nodes[..] else {
        panic!("{g}")
    };
    let Op::DepthwiseConv(op) = node.op else {
        panic!("{g}")
    };
    assert_eq!((op.act.a, op.act.b), (0.0, 6.0));
    assert_eq!(g.constant_f32(node.inputs[1].unwrap()).unwrap(), [2.0, 4.0]);
    assert_eq!(g.constant_f32(node.inputs[2].unwrap()).unwrap(), [1.0, 1.0]);
    assert_eq!(node.inputs[3], Some(g.inputs[0].value));
    assert_eq!(node.outputs[0], Some(g.outputs[0].value));
}

/// An inverted residual block of `size` x `size` pixels, its weights computed by steps (their values do not matter).
fn inverted_residual(size: usize) -> String {
    let n = size;
    format!(
        "input %x: f32[1,{n},{n},16] \"x\"
         input %w1: f32[1,6,16,16] \"w1\"
         input %w: f32[9,96] \"w\"
         input %w2: f32[1,1,96,16] \"w2\"
         block b0 () {{
           %a: f32[1,{n},{n},96] = conv(%x, %w1) kernel=[1,1] strides=[1,1] dilations=[1,1] pads=[0,0,0,0] group=1 \"expand\"
           %b: f32[1,{n},{n},96] = depthwise_conv(%a, %w) kernel=[3,3] strides=[1,1] dilations=[1,1] pads=[1,1,1,1] \"filter\"
           %c: f32[1,{n},{n},16] = conv(%b, %w2, _, %x) kernel=[1,1] strides=[1,1] dilations=[1,1] pads=[0,0,0,0] group=1 \"project\"
         }} -> ()
         output %c \"y\""
    )
}

#[test]
fn large_inverted_residuals_run_by_bands() {
    let ops = after(&inverted_residual(64), fuse_separable);
    let [op] = &ops[..] else { panic!("{ops:?}") };
    assert!(
        op.starts_with("separable_conv ") && op.contains("band=3"),
        "{op}"
    );
    // A small one fits the caches as it is.
    assert_eq!(after(&inverted_residual(16), fuse_separable).len(), 3);
    // What somebody else reads stays.
    let read = inverted_residual(64).replace("output %c \"y\"", "output %c \"y\"\noutput %a \"a\"");
    assert_eq!(after(&read, fuse_separable).len(), 2);
}

/// A convolution of `size` x `size` pixels and 64 channels; `more` is its attributes.
fn convolution(size: usize, more: &str) -> String {
    format!(
        "input %x: f32[1,{size},{size},64] \"x\"
         input %w: f32[1,4,576,16] \"w\"
         block b0 () {{
           %y: f32[1,{size},{size},64] = conv(%x, %w, _, %x) {more} group=1 act=relu:0.0:0.0 \"conv\"
         }} -> ()
         output %y \"y\""
    )
}

#[test]
fn three_by_three_convolutions_become_winograd() {
    let plain = "kernel=[3,3] strides=[1,1] dilations=[1,1] pads=[1,1,1,1]";
    let text = convolution(56, plain);
    let ops = after(&text, choose_winograd);
    let [op] = &ops[..] else { panic!("{ops:?}") };
    assert!(
        op.starts_with("winograd_conv pads=[1,1,1,1] depth=64 act=relu:0.0:0.0"),
        "{op}"
    );
    let mut g = graph(&text);
    choose_winograd(&mut g);
    let node = &g.blocks[0].nodes[0];
    assert_eq!(node.inputs[3], Some(g.inputs[0].value));
    // Four blocks of 49 tiles, weights and products for two threads.
    let scratch = g.ty(node.outputs[1].unwrap()).fixed_len().unwrap();
    assert_eq!(scratch, 36 * (49 * 64 + 16 + 2 * (32 * (64 + 49) + 32)));
    for other in [
        convolution(5, plain),
        convolution(
            56,
            "kernel=[3,3] strides=[2,2] dilations=[1,1] pads=[1,1,1,1]",
        ),
        convolution(
            56,
            "kernel=[3,3] strides=[1,1] dilations=[2,2] pads=[2,2,2,2]",
        ),
        convolution(
            56,
            "kernel=[9,1] strides=[1,1] dilations=[1,1] pads=[4,0,4,0]",
        ),
        text.replace("f32[1,56,56,64]", "f32[1,56,56,8]"),
    ] {
        let ops = after(&other, choose_winograd);
        assert!(ops[0].starts_with("conv "), "{ops:?}");
    }
}

#[test]
fn spelled_out_activations_are_recognised() {
    let x = "input %x: f32[2,8] \"x\"\n block b0 () {\n";
    let u = |y: &str, x: &str, kind: &str, a: f32, b: f32| {
        format!("%{y}: f32[2,8] = unary(%{x}) kind={kind} a={a:?} b={b:?} \"\"\n")
    };
    let m = |y: &str, p: &str, q: &str, kind: &str| {
        format!("%{y}: f32[2,8] = binary(%{p}, %{q}) kind={kind} \"\"\n")
    };
    let end = "} -> ()\n output %y \"y\"";
    let r = std::f32::consts::FRAC_1_SQRT_2;
    let cases = [
        (
            "hard_swish",
            u("a", "x", "affine", 1.0, 3.0)
                + &u("b", "a", "clip", 0.0, 6.0)
                + &m("c", "x", "b", "mul")
                + &u("y", "c", "affine", 1.0 / 6.0, 0.0),
        ),
        (
            "hard_swish",
            u("a", "x", "hard_sigmoid", 1.0 / 6.0, 0.5) + &m("y", "a", "x", "mul"),
        ),
        (
            "hard_sigmoid",
            u("a", "x", "affine", 1.0, 3.0)
                + &u("b", "a", "clip", 0.0, 6.0)
                + &u("y", "b", "affine", 1.0 / 6.0, 0.0),
        ),
        (
            "swish",
            u("a", "x", "sigmoid", 0.0, 0.0) + &m("y", "x", "a", "mul"),
        ),
        (
            "mish",
            u("a", "x", "softplus", 0.0, 0.0)
                + &u("b", "a", "tanh", 0.0, 0.0)
                + &m("y", "x", "b", "mul"),
        ),
        (
            "gelu_erf",
            u("a", "x", "affine", r, 0.0)
                + &u("b", "a", "erf", 0.0, 0.0)
                + &u("c", "b", "affine", 1.0, 1.0)
                + &m("d", "x", "c", "mul")
                + &u("y", "d", "affine", 0.5, 0.0),
        ),
        (
            "gelu_erf",
            u("h", "x", "affine", 0.5, 0.0)
                + &u("a", "x", "affine", r, 0.0)
                + &u("b", "a", "erf", 0.0, 0.0)
                + &u("c", "b", "affine", 1.0, 1.0)
                + &m("y", "h", "c", "mul"),
        ),
        (
            "gelu_tanh",
            u("s", "x", "square", 0.0, 0.0)
                + &m("k", "s", "x", "mul")
                + &u("l", "k", "affine", 0.044715, 0.0)
                + &m("n", "x", "l", "add")
                + &u("o", "n", "affine", 0.797_884_6, 0.0)
                + &u("p", "o", "tanh", 0.0, 0.0)
                + &u("q", "p", "affine", 1.0, 1.0)
                + &u("h", "x", "affine", 0.5, 0.0)
                + &m("y", "h", "q", "mul"),
        ),
    ];
    for (want, body) in cases {
        let ops = after(&format!("{x}{body}{end}"), |g| {
            simplify(g) + recognise_activation(g)
        });
        assert_eq!(ops.len(), 1, "{want}: {ops:?}");
        assert!(
            ops[0].starts_with(&format!("unary kind={want} ")),
            "{want}: {ops:?}"
        );
    }
}

#[test]
fn a_wrong_constant_is_no_gelu() {
    let ops = after(
        "input %x: f32[2,8] \"x\"
         block b0 () {
           %a: f32[2,8] = unary(%x) kind=affine a=0.8 b=0.0 \"\"
           %b: f32[2,8] = unary(%a) kind=erf a=0.0 b=0.0 \"\"
           %c: f32[2,8] = unary(%b) kind=affine a=0.5 b=0.5 \"\"
           %y: f32[2,8] = binary(%x, %c) kind=mul \"\"
         } -> ()
         output %y \"y\"",
        recognise_activation,
    );
    assert_eq!(ops.len(), 4);
}

#[test]
fn norms_are_recognised() {
    let scale = f32s(&[1.0, 2.0, 3.0]);
    let e = f32s(&[1e-5]);
    let two = f32s(&[2.0]);
    let text = format!(
        "const %g: f32[3] = {scale}
         const %b: f32[3] = {scale}
         const %e: f32[] = {e}
         const %two: f32[] = {two}
         input %x: f32[4,3] \"x\"
         block b0 () {{
           %m: f32[4,1] = reduce(%x) kind=mean axes=[1] \"\"
           %d: f32[4,3] = binary(%x, %m) kind=sub \"\"
           %s: f32[4,3] = binary(%d, %two) kind=pow \"\"
           %v: f32[4,1] = reduce(%s) kind=mean axes=[1] \"\"
           %w: f32[4,1] = binary(%v, %e) kind=add \"\"
           %r: f32[4,1] = unary(%w) kind=sqrt a=0.0 b=0.0 \"\"
           %n: f32[4,3] = binary(%d, %r) kind=div \"\"
           %o: f32[4,3] = binary(%n, %g) kind=mul \"\"
           %y: f32[4,3] = binary(%o, %b) kind=add \"\"
         }} -> ()
         output %y \"y\""
    );
    assert_eq!(
        after(&text, all),
        ["layer_norm axis=1 epsilon=1e-5 rms=false"]
    );
    let rms = text.replace("binary(%x, %m) kind=sub", "unary(%x) kind=abs a=0.0 b=0.0");
    assert_eq!(
        after(&rms, all),
        [
            "unary kind=abs a=0.0 b=0.0",
            "layer_norm axis=1 epsilon=1e-5 rms=true",
            "binary kind=add"
        ]
        .map(String::from)[..2]
            .to_vec()
    );
}

#[test]
fn attention_is_recognised() {
    let scale = f32s(&[8.0]);
    let ops = after(
        &format!(
            "const %c: f32[] = {scale}
             input %q: f32[1,2,5,16] \"q\"
             input %k: f32[1,2,7,16] \"k\"
             input %v: f32[1,2,7,16] \"v\"
             input %m: f32[1,1,1,7] \"m\"
             block b0 () {{
               %t: f32[1,2,16,7] = transpose(%k) perm=[0,1,3,2] \"\"
               %p: f32[1,2,1,16,16] = pack_b(%t) trans=false \"\"
               %s: f32[1,2,5,7] = mat_mul(%q, %p) alpha=1.0 \"\"
               %d: f32[1,2,5,7] = binary(%s, %c) kind=div \"\"
               %a: f32[1,2,5,7] = binary(%d, %m) kind=add \"\"
               %w: f32[1,2,5,7] = softmax(%a) axis=3 kind=softmax \"\"
               %r: f32[1,2,1,7,16] = pack_b(%v) trans=false \"\"
               %y: f32[1,2,5,16] = mat_mul(%w, %r) alpha=1.0 \"\"
             }} -> ()
             output %y \"y\""
        ),
        all,
    );
    assert_eq!(ops, ["attention scale=0.125 causal=false softcap=0.0"]);
}

#[test]
fn elementwise_runs_become_one_chain() {
    let ops = after(
        "input %x: f32[4,3] \"x\"
         input %r: f32[3] \"r\"
         block b0 () {
           %a: f32[4,3] = unary(%x) kind=exp a=0.0 b=0.0 \"\"
           %b: f32[4,3] = binary(%r, %a) kind=sub \"\"
           %c: f32[4,3] = binary(%b, %x) kind=mul \"\"
         } -> ()
         output %c \"y\"",
        fuse_chain,
    );
    assert_eq!(
        ops,
        ["chain steps=[u:2:0:0.0:0.0,s:1:1:0.0:0.0,b:2:2:0.0:0.0]"]
    );
}

#[test]
fn equal_nodes_merge_and_constants_fold() {
    let two = f32s(&[2.0, 3.0]);
    let ops = after(
        &format!(
            "const %c: f32[2] = {two}
             input %x: f32[2] \"x\"
             block b0 () {{
               %k: f32[2] = unary(%c) kind=square a=0.0 b=0.0 \"\"
               %a: f32[2] = binary(%x, %k) kind=mul \"\"
               %b: f32[2] = binary(%x, %k) kind=mul \"\"
               %y: f32[2] = binary(%a, %b) kind=pow \"\"
             }} -> ()
             output %y \"y\""
        ),
        |g| fold_constants(g, Fold::All) + merge_equal(g),
    );
    assert_eq!(ops, ["binary kind=mul", "binary kind=pow"]);
}

#[test]
fn scales_before_an_unpadded_product_fold() {
    let w = f32s(&[1.0, 2.0, 3.0, 4.0]);
    let mut g = graph(&format!(
        "const %w: f32[2,2] = {w}
         input %x: f32[4,2] \"x\"
         block b0 () {{
           %a: f32[4,2] = unary(%x) kind=affine a=2.0 b=1.0 \"\"
           %p: f32[1,2,16] = pack_b(%w) trans=false \"\"
           %y: f32[4,2] = mat_mul(%a, %p) alpha=1.0 \"\"
         }} -> ()
         output %y \"y\""
    ));
    assert_eq!(fold_input_scale(&mut g), 1);
    eliminate_dead(&mut g);
    verify(&g).unwrap();
    let [pack, product] = &g.blocks[0].nodes[..] else {
        panic!("{g}")
    };
    assert_eq!(
        g.constant_f32(pack.inputs[0].unwrap()).unwrap(),
        [2.0, 4.0, 6.0, 8.0]
    );
    assert_eq!(
        g.constant_f32(product.inputs[2].unwrap()).unwrap(),
        [4.0, 6.0]
    );
}

#[test]
fn an_offset_before_a_padded_convolution_stays() {
    let ops = after(
        "const %w: f32[3,2] = 0000803f0000803f0000803f0000803f0000803f0000803f
         input %x: f32[1,6,2] \"x\"
         block b0 () {
           %a: f32[1,6,2] = unary(%x) kind=affine a=2.0 b=1.0 \"\"
           %y: f32[1,6,2] = depthwise_conv(%a, %w) kernel=[3] strides=[1] dilations=[1] pads=[1,1] \"\"
         } -> ()
         output %y \"y\"",
        fold_input_scale,
    );
    assert_eq!(ops.len(), 2);
}

#[test]
fn channel_scales_before_a_grouped_convolution_fold() {
    // Two groups of one channel each, one tap, two outputs a group.
    let (w, c, b) = (
        f32s(&[1.0, 2.0, 3.0, 4.0]),
        f32s(&[10.0, 0.5]),
        f32s(&[1.0, -1.0]),
    );
    let mut g = graph(&format!(
        "const %w: f32[2,1,2] = {w}
         const %c: f32[2] = {c}
         const %b: f32[1,1,2] = {b}
         input %x: f32[1,6,2] \"x\"
         block b0 () {{
           %m: f32[1,6,2] = binary(%x, %c) kind=div \"\"
           %a: f32[1,6,2] = binary(%m, %b) kind=add \"\"
           %p: f32[2,1,1,16] = pack_b(%w) trans=false \"\"
           %y: f32[1,6,4] = conv(%a, %p) kernel=[1] strides=[1] dilations=[1] pads=[0,0] group=2 \"\"
         }} -> ()
         output %y \"y\""
    ));
    for _ in 0..2 {
        assert_eq!(fold_input_scale(&mut g), 1);
        eliminate_dead(&mut g);
        verify(&g).unwrap();
    }
    let [pack, product] = &g.blocks[0].nodes[..] else {
        panic!("{g}")
    };
    let weights = g.constant_f32(pack.inputs[0].unwrap()).unwrap();
    let close = |(a, b): (&f32, &f32)| (a - b).abs() < 1e-6;
    assert!(
        weights.iter().zip(&[0.1, 0.2, 6.0, 8.0]).all(close),
        "{weights:?}"
    );
    // The offset is added after the scale: it meets the weights as they were.
    let bias = g.constant_f32(product.inputs[2].unwrap()).unwrap();
    assert_eq!(bias, [1.0, 2.0, -3.0, -4.0]);
}

#[test]
fn channel_scales_before_a_padded_convolution_fold_and_offsets_stay() {
    let text = |kind: &str| {
        let (w, c) = (f32s(&[1.0; 6]), f32s(&[2.0, 3.0]));
        format!(
            "const %w: f32[3,2] = {w}
             const %c: f32[2] = {c}
             input %x: f32[1,6,2] \"x\"
             block b0 () {{
               %a: f32[1,6,2] = binary(%c, %x) kind={kind} \"\"
               %y: f32[1,6,2] = depthwise_conv(%a, %w) kernel=[3] strides=[1] dilations=[1] pads=[1,1] \"\"
             }} -> ()
             output %y \"y\""
        )
    };
    assert_eq!(after(&text("mul"), fold_input_scale).len(), 1);
    assert_eq!(after(&text("add"), fold_input_scale).len(), 2);
}

#[test]
fn a_state_is_kept_as_its_readers_want_it() {
    let scale = f32s(&[0.5]);
    let text = format!(
        "state %s: f32[1,4,1,2] \"s\"
         input %x: f32[1,4,1,1] \"x\"
         const %scale: f32[] = {scale}
         const %zero: i8[] = 03
         block b0 () {{
           %j: f32[1,4,1,3] = concat(%s, %x) axis=3 \"\"
           %q: i8[1,4,1,3] = quantize_linear(%j, %scale, %zero) axis=0 block=0 saturate=true \"\"
           %d: f32[1,4,1,3] = dequantize_linear(%q, %scale, %zero) axis=0 block=0 \"\"
           %n: f32[1,4,1,2] = slice(%d) starts=[0,0,0,1] steps=[1,1,1,1] \"\"
           %t: f32[1,1,3,4] = transpose(%j) perm=[0,2,3,1] \"\"
         }} -> ()
         output %t \"y\"
         next \"s\" %n"
    );
    // Nothing but the layout: other readers want floats.
    let ops = after(&text, |g| settle_states(g) + choose_layout(g));
    assert!(!ops.iter().any(|op| op.starts_with("transpose")), "{ops:?}");

    let text = format!(
        "state %s: f32[1,4] \"s\"
         const %scale: f32[] = {scale}
         const %zero: i8[] = 03
         block b0 () {{
           %q: i8[1,4] = quantize_linear(%s, %scale, %zero) axis=0 block=0 saturate=true \"\"
           %r: i8[1,4] = reshape(%q) \"\"
           %d: f32[1,4] = dequantize_linear(%r, %scale, %zero) axis=0 block=0 \"\"
           %y: f32[1,4] = unary(%d) kind=relu a=0.0 b=0.0 \"\"
         }} -> ()
         output %y \"y\"
         next \"s\" %d 0000803f00000000000080bf0000c842"
    );
    let mut kept = graph(&text);
    assert_eq!(settle_states(&mut kept), 1);
    verify(&kept).unwrap();
    let state = &kept.states[0];
    assert_eq!(kept.ty(state.current).dtype, cygnet_format::DType::I8);
    // 1, 0, -1 and 100 in steps of 0.5 around 3: the last is beyond the range.
    assert_eq!(state.init.as_deref(), Some(&vec![5, 3, 1, 127]));
    // With another zero point at the end, nothing can be kept.
    let other = text
        .replace("block b0", "const %three: i8[] = 04\n block b0")
        .replace("(%r, %scale, %zero)", "(%r, %scale, %three)");
    assert_eq!(settle_states(&mut graph(&other)), 0);
}
