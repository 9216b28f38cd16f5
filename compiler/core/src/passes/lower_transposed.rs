//! A transposed convolution whose windows do not overlap (kernel equal to stride, as decoders use it to double sizes) is
//! a pointwise convolution to `taps * O` channels and a rearrangement of its columns: the product has fast kernels on
//! every instruction set.

use super::linear;
use super::rewrite::{Rewriter, rewrite};
use crate::ir::{Graph, Node, Type};
use cygnet_format::op::{Conv, ConvTranspose, PackB, Reshape, Transpose};
use cygnet_format::{Axes, DType, Dim, Op};
use cygnet_kernels::gemm;

/// Lowers transposed convolutions without overlap; gives their number.
pub fn lower_transposed(graph: &mut Graph) -> usize {
    rewrite(graph, &mut rule)
}

fn apart(op: &ConvTranspose) -> bool {
    op.group == 1
        && op.kernel.len() == 2
        && op.strides[..] == op.kernel[..]
        && op.dilations.iter().all(|&d| d == 1)
        && op.pads.iter().all(|&p| p == 0)
}

fn rule(cx: &mut Rewriter<'_>, node: Node) -> Option<Node> {
    let Op::ConvTranspose(op) = node.op else {
        return Some(node);
    };
    let (Some(x), Some(w), Some(y)) = (node.inputs[0], node.inputs[1], node.outputs[0]) else {
        return Some(node);
    };
    let (from, to) = (cx.shape(x), cx.ty(y));
    let columns = linear::width(&to);
    let (Some(out), Some(shape)) = (columns, cx.graph.ty(w).fixed_shape()) else {
        return Some(node);
    };
    let (Some(weights), Some(bias)) = (cx.graph.constant_f32(w), linear::bias(cx, &node, out))
    else {
        return Some(node);
    };
    if !apart(&op) || to.rank() != 4 || shape.len() != 4 {
        return Some(node);
    }
    let (kh, kw) = (Dim(op.kernel[0]), Dim(op.kernel[1]));
    let size = [cx.graph.dim_mul(from[1], kh), cx.graph.dim_mul(from[2], kw)];
    if to.shape[1..3] != size {
        return Some(node);
    }
    // `[G = 1, C, taps, O]` is the matrix `C x (taps * O)`.
    let (k, taps) = (shape[1], shape[2]);
    let n = taps * out;
    let w = cx.constant(&[1, k, n], &weights);
    let packed = Type::fixed(DType::F32, &[1, n.div_ceil(gemm::PANEL), k, gemm::PANEL]);
    let pack = PackB { trans: false };
    let w = cx.emit(&node.source, pack, vec![Some(w)], packed);
    let bias = bias.iter().any(|&b| b != 0.0).then(|| {
        let repeated: Vec<f32> = bias.iter().copied().cycle().take(n).collect();
        cx.constant(&[n], &repeated)
    });
    let list = |values: &[i32]| Axes::new(values).expect("within the limit");
    let conv = Conv {
        kernel: list(&[1, 1]),
        strides: list(&[1, 1]),
        dilations: list(&[1, 1]),
        pads: list(&[0; 4]),
        group: 1,
        act: op.act,
    };
    let ty = |shape: &[Dim]| Type::new(to.dtype, shape);
    let (b, h, wd, o) = (from[0], from[1], from[2], Dim(out as i32));
    let wide = ty(&[b, h, wd, Dim(n as i32)]);
    let v = cx.emit(&node.source, conv, vec![Some(x), Some(w), bias], wide);
    let v = cx.emit(
        &node.source,
        Reshape {},
        vec![Some(v)],
        ty(&[b, h, wd, kh, kw, o]),
    );
    let perm = list(&[0, 1, 3, 2, 4, 5]);
    let v = cx.emit(
        &node.source,
        Transpose { perm },
        vec![Some(v)],
        ty(&[b, h, kh, wd, kw, o]),
    );
    cx.changes += 1;
    Some(Node {
        op: Reshape {}.into(),
        inputs: vec![Some(v)],
        outputs: node.outputs,
        source: node.source,
    })
}

#[cfg(test)]
mod tests {
    use crate::bundle::Array;
    use crate::emit::{self, EmitOptions};
    use crate::ir::{Graph, MAIN, Port, Type};
    use crate::passes::{Level, run};
    use crate::testing::Random;
    use crate::verify::{Runner, RunnerOptions};
    use cygnet_format::op::{Activation, ActivationKind, ConvTranspose};
    use cygnet_format::{Axes, DType, Op};

    /// A transposed convolution of a 3 x 4 picture of 5 channels to `out` channels.
    fn graph(kernel: [i32; 2], strides: [i32; 2], size: [usize; 2], out: usize) -> Graph {
        let (mut g, mut random) = (Graph::default(), Random::new(7));
        let mut noise = |n: usize| -> Vec<f32> {
            (0..n)
                .map(|_| random.below(2000) as f32 / 1000.0 - 1.0)
                .collect()
        };
        let x = g.add_value("x", Type::fixed(DType::F32, &[2, 3, 4, 5]));
        g.inputs.push(Port {
            name: "x".into(),
            value: x,
        });
        let taps = (kernel[0] * kernel[1]) as usize;
        let w = g.add_f32("w", &[1, 5, taps, out], &noise(5 * taps * out));
        let b = g.add_f32("b", &[out], &noise(out));
        let op = ConvTranspose {
            kernel: Axes::new(&kernel).unwrap(),
            strides: Axes::new(&strides).unwrap(),
            dilations: Axes::new(&[1, 1]).unwrap(),
            pads: Axes::new(&[0; 4]).unwrap(),
            group: 1,
            act: Activation {
                kind: ActivationKind::Relu,
                a: 0.0,
                b: 0.0,
            },
        };
        let y = g.push(
            MAIN,
            "up",
            op,
            &[x, w, b],
            Type::fixed(DType::F32, &[2, size[0], size[1], out]),
        );
        g.outputs.push(Port {
            name: "y".into(),
            value: y,
        });
        g
    }

    fn output(mut g: Graph, level: Level) -> (Vec<f32>, bool) {
        run(&mut g, level);
        let lowered = !g.blocks[0]
            .nodes
            .iter()
            .any(|n| matches!(n.op, Op::ConvTranspose(_)));
        let program = emit::program(&g, &EmitOptions::default()).unwrap().bytes;
        let mut runner = Runner::from_bytes(&program, &RunnerOptions::default()).unwrap();
        let x: Vec<f32> = (0..120)
            .map(|i| (i * 37 % 23) as f32 / 11.0 - 1.0)
            .collect();
        runner
            .set_inputs(&[&Array::from_f32(&[2, 3, 4, 5], &x)])
            .unwrap();
        runner.run().unwrap();
        (runner.output(0).unwrap().to_f32(), lowered)
    }

    #[test]
    fn windows_apart_become_a_product() {
        for (kernel, strides, size, out, apart) in [
            ([2, 2], [2, 2], [6, 8], 3, true),
            ([2, 3], [2, 3], [6, 12], 17, true),
            ([2, 2], [2, 2], [6, 8], 1, true),
            // Rows that no window reaches, and windows that overlap.
            ([2, 2], [2, 2], [7, 8], 3, false),
            ([3, 3], [2, 2], [7, 9], 3, false),
        ] {
            let (want, _) = output(graph(kernel, strides, size, out), Level::None);
            let (got, lowered) = output(graph(kernel, strides, size, out), Level::Full);
            assert_eq!(lowered, apart, "{kernel:?} {strides:?} {size:?}");
            let worst = want
                .iter()
                .zip(&got)
                .map(|(a, b)| (a - b).abs())
                .fold(0.0, f32::max);
            assert!(
                want.len() == got.len() && worst < 1e-5 && want.iter().any(|&v| v > 0.1),
                "{worst}"
            );
        }
    }
}
