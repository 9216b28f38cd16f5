//! Recognises activations that models spell out: hard sigmoid, hard swish, swish, mish, softplus and both forms of GELU.
//!
//! It works on what `simplify` leaves: scalars are in `affine`, squares and square roots are unary.

use super::rewrite::{Rewriter, rewrite};
use crate::ir::{Graph, Node, ValueId};
use cygnet_format::op::{BinaryKind, Unary, UnaryKind};
use cygnet_format::{DType, Op};

/// Recognises activations; gives their number.
pub fn recognise_activation(graph: &mut Graph) -> usize {
    rewrite(graph, &mut rule)
}

fn close(a: f32, b: f32) -> bool {
    (a - b).abs() <= 2e-4 * b.abs().max(1e-3)
}

fn unary_of(cx: &Rewriter<'_>, v: ValueId) -> Option<(Unary, ValueId)> {
    match cx.def(v) {
        Some(Node {
            op: Op::Unary(u),
            inputs,
            ..
        }) => Some((*u, inputs[0]?)),
        _ => None,
    }
}

fn binary_of(cx: &Rewriter<'_>, v: ValueId) -> Option<(BinaryKind, ValueId, ValueId)> {
    match cx.def(v) {
        Some(Node {
            op: Op::Binary(b),
            inputs,
            ..
        }) => Some((b.kind, inputs[0]?, inputs[1]?)),
        _ => None,
    }
}

fn rule(cx: &mut Rewriter<'_>, mut node: Node) -> Option<Node> {
    let (Some(Some(x)), Some(Some(y))) =
        (node.inputs.first().copied(), node.outputs.first().copied())
    else {
        return Some(node);
    };
    if cx.ty(y).dtype != DType::F32 {
        return Some(node);
    }
    let found = match node.op {
        Op::Unary(op) => hard_sigmoid(cx, &op, x)
            .or_else(|| softplus(cx, &op, x))
            .or_else(|| {
                if op.kind == UnaryKind::Affine && op.b == 0.0 {
                    product(cx, op.a, &[x])
                } else {
                    None
                }
            }),
        Op::Binary(op) if op.kind == BinaryKind::Mul => {
            node.inputs[1].and_then(|z| product(cx, 1.0, &[x, z]))
        }
        _ => None,
    };
    if let Some((unary, v)) = found
        && cx.ty(v) == cx.ty(y)
    {
        node.op = unary.into();
        node.inputs = vec![Some(v)];
        cx.changes += 1;
    }
    Some(node)
}

/// `r * clip(p*x + q, 0, 1/r)`, also with the factor inside.
fn hard_sigmoid(cx: &Rewriter<'_>, op: &Unary, x: ValueId) -> Option<(Unary, ValueId)> {
    let (factor, clip, inner) = match op.kind {
        UnaryKind::Clip => (1.0, *op, x),
        UnaryKind::Affine if op.b == 0.0 && op.a > 0.0 => {
            let (clip, inner) = unary_of(cx, x)?;
            (op.a, clip, inner)
        }
        _ => return None,
    };
    if clip.kind != UnaryKind::Clip || clip.a != 0.0 || !close(clip.b * factor, 1.0) {
        return None;
    }
    let (affine, v) = unary_of(cx, inner)?;
    (affine.kind == UnaryKind::Affine).then_some((
        Unary {
            kind: UnaryKind::HardSigmoid,
            a: affine.a * factor,
            b: affine.b * factor,
        },
        v,
    ))
}

/// `log(1 + exp(x))`.
fn softplus(cx: &Rewriter<'_>, op: &Unary, x: ValueId) -> Option<(Unary, ValueId)> {
    let (one, e) = unary_of(cx, x)?;
    let (exp, v) = unary_of(cx, e)?;
    let fits = op.kind == UnaryKind::Log
        && one.kind == UnaryKind::Affine
        && (one.a, one.b) == (1.0, 1.0)
        && exp.kind == UnaryKind::Exp;
    fits.then_some((
        Unary {
            kind: UnaryKind::Softplus,
            a: 0.0,
            b: 0.0,
        },
        v,
    ))
}

/// The factors of a product: scalars are multiplied into the first result.
fn factors(
    cx: &Rewriter<'_>,
    v: ValueId,
    scale: &mut f32,
    leaves: &mut Vec<ValueId>,
    depth: usize,
) {
    if depth < 4 {
        if let Some((u, x)) = unary_of(cx, v)
            && u.kind == UnaryKind::Affine
            && u.b == 0.0
        {
            *scale *= u.a;
            return factors(cx, x, scale, leaves, depth + 1);
        }
        if let Some((BinaryKind::Mul, p, q)) = binary_of(cx, v) {
            factors(cx, p, scale, leaves, depth + 1);
            return factors(cx, q, scale, leaves, depth + 1);
        }
    }
    leaves.push(v);
}

/// Products of `x` with a function of `x`.
fn product(cx: &Rewriter<'_>, scale: f32, operands: &[ValueId]) -> Option<(Unary, ValueId)> {
    // The operands as they are, then taken apart further: `x` itself may be a product.
    let mut all = Vec::new();
    let mut s = scale;
    operands
        .iter()
        .for_each(|&v| factors(cx, v, &mut s, &mut all, 0));
    let mut tries = vec![(s, all)];
    if let [p, q] = *operands {
        tries.insert(0, (scale, vec![p, q]));
        for (one, other) in [(p, q), (q, p)] {
            let (mut s, mut leaves) = (scale, vec![one]);
            factors(cx, other, &mut s, &mut leaves, 0);
            tries.push((s, leaves));
        }
    }
    for (s, leaves) in tries {
        let [p, q] = leaves[..] else { continue };
        if let Some(found) = gate(cx, s, p, q).or_else(|| gate(cx, s, q, p)) {
            return Some(found);
        }
    }
    None
}

/// `s * x * g(x)` for a gate `g`.
fn gate(cx: &Rewriter<'_>, s: f32, x: ValueId, g: ValueId) -> Option<(Unary, ValueId)> {
    use UnaryKind::*;
    let (u, inner) = unary_of(cx, g)?;
    let result = |kind: UnaryKind, a: f32| Some((Unary { kind, a, b: 0.0 }, x));
    match u.kind {
        Sigmoid if close(s, 1.0) => {
            let a = linear(cx, inner, x).filter(|p| p.1 == 0.0)?.0;
            result(Swish, a)
        }
        HardSigmoid
            if inner == x && close(s * u.a, 1.0 / 6.0) && close(s * u.b, 0.5) && close(s, 1.0) =>
        {
            result(HardSwish, 0.0)
        }
        // x * clip(x + 3, 0, 6) / 6
        Clip if u.a == 0.0 && close(u.b * s, 1.0) => {
            let (a, b) = linear(cx, inner, x)?;
            if close(a * s, 1.0 / 6.0) && close(b * s, 0.5) {
                result(HardSwish, 0.0)
            } else {
                None
            }
        }
        Tanh if close(s, 1.0) => {
            let (soft, v) = unary_of(cx, inner)?;
            if soft.kind == Softplus && v == x {
                result(Mish, 0.0)
            } else {
                None
            }
        }
        // 0.5 * x * (1 + erf(x / sqrt(2))), 0.5 * x * (1 + tanh(..))
        Affine if close(u.a * s, 0.5) && close(u.b * s, 0.5) => {
            let (f, arg) = unary_of(cx, inner)?;
            match f.kind {
                Erf => {
                    let (a, b) = linear(cx, arg, x)?;
                    if close(a, std::f32::consts::FRAC_1_SQRT_2) && b == 0.0 {
                        result(GeluErf, 0.0)
                    } else {
                        None
                    }
                }
                Tanh => {
                    let c = polynomial(cx, arg, x, 0)?;
                    let k = 0.797_884_6;
                    let fits = c[0].abs() < 1e-6
                        && close(c[1], k)
                        && c[2].abs() < 1e-6
                        && close(c[3], k * 0.044715);
                    if fits { result(GeluTanh, 0.0) } else { None }
                }
                _ => None,
            }
        }
        _ => None,
    }
}

/// `v = a*x + b`.
fn linear(cx: &Rewriter<'_>, v: ValueId, x: ValueId) -> Option<(f32, f32)> {
    let c = polynomial(cx, v, x, 0)?;
    (c[2] == 0.0 && c[3] == 0.0).then_some((c[1], c[0]))
}

/// The coefficients of `v` as a polynomial in `x` of degree three.
fn polynomial(cx: &Rewriter<'_>, v: ValueId, x: ValueId, depth: usize) -> Option<[f32; 4]> {
    if v == x {
        return Some([0.0, 1.0, 0.0, 0.0]);
    }
    if depth > 6 {
        return None;
    }
    let times = |p: [f32; 4], q: [f32; 4]| {
        let mut r = [0.0; 4];
        for (i, a) in p.into_iter().enumerate() {
            for (j, b) in q.into_iter().enumerate() {
                if a * b != 0.0 {
                    *r.get_mut(i + j)? += a * b;
                }
            }
        }
        Some(r)
    };
    if let Some((u, inner)) = unary_of(cx, v) {
        let p = polynomial(cx, inner, x, depth + 1)?;
        return match u.kind {
            UnaryKind::Affine => Some([p[0] * u.a + u.b, p[1] * u.a, p[2] * u.a, p[3] * u.a]),
            UnaryKind::Square => times(p, p),
            _ => None,
        };
    }
    let (kind, a, b) = binary_of(cx, v)?;
    match kind {
        BinaryKind::Mul => times(
            polynomial(cx, a, x, depth + 1)?,
            polynomial(cx, b, x, depth + 1)?,
        ),
        BinaryKind::Add => {
            let (p, q) = (
                polynomial(cx, a, x, depth + 1)?,
                polynomial(cx, b, x, depth + 1)?,
            );
            Some(std::array::from_fn(|i| p[i] + q[i]))
        }
        BinaryKind::Pow if cx.scalar(b) == Some(3.0) => {
            let p = polynomial(cx, a, x, depth + 1)?;
            times(times(p, p)?, p)
        }
        _ => None,
    }
}
