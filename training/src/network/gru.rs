//! A gated recurrent unit (Cho et al., 2014) over the rows of an image, from a state of zeros: its last state is the value. The
//! reset gate is applied behind the recurrent product, as in PyTorch, Keras and ONNX with `linear_before_reset`.
//!
//! Gates stand in the order update, reset, candidate, in columns of `NAME.weight` `[inputs, 3 units]`, `NAME.recurrent`
//! `[units, 3 units]`, `NAME.bias` and `NAME.recurrent_bias`.
use crate::op::{Geometry, Memory, conv};
use candle_core::Result;
use cygnet_kernels::Conv;

/// Sizes of a recurrent layer.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sizes {
    pub batch: usize,
    pub steps: usize,
    pub inputs: usize,
    pub units: usize,
}

/// Its parameters, each as its tensor's elements.
pub(super) struct Parameters {
    pub weight: Vec<f32>,
    pub recurrent: Vec<f32>,
    pub bias: Vec<f32>,
    pub recurrent_bias: Vec<f32>,
}

/// What its gradient needs, `[steps][batch][...]`.
pub(super) struct Saved {
    /// States before each step, `units`.
    before: Vec<f32>,
    /// Gates and candidate after their functions, `3 units`.
    gates: Vec<f32>,
    /// The recurrent part of the candidate before the reset gate, `units`.
    candidate: Vec<f32>,
    parameters: Parameters,
}

/// Gradients; that of the input if it was asked for.
pub(super) struct Gradients {
    pub x: Option<Vec<f32>>,
    pub parameters: Parameters,
}

fn sigmoid(x: f32) -> f32 {
    1.0 / (1.0 + (-x).exp())
}

/// A product of rows with weights `[from, to]`.
fn product(rows: usize, from: usize, to: usize) -> Result<Conv> {
    Geometry::POINTWISE.shape(&[rows, 1, 1, from], &[1, 1, from, to])
}

/// The rows `[batch][steps]` of a tensor as `[steps][batch]`, or the other way round.
fn turned(values: &[f32], outer: usize, inner: usize, width: usize) -> Vec<f32> {
    let mut out = vec![0.0; values.len()];
    for a in 0..outer {
        for b in 0..inner {
            let from = (a * inner + b) * width;
            let to = (b * outer + a) * width;
            out[to..to + width].copy_from_slice(&values[from..from + width]);
        }
    }
    out
}

/// The last states `[batch][units]` for `x` `[batch][steps][inputs]`.
pub(super) fn forward(
    s: Sizes,
    x: &[f32],
    parameters: Parameters,
    memory: &mut Memory,
) -> Result<(Vec<f32>, Saved)> {
    let (b, u) = (s.batch, s.units);
    let x = turned(x, b, s.steps, s.inputs);
    let all = product(s.steps * b, s.inputs, 3 * u)?;
    let (from_input, _) = conv::forward(&all, &x, &parameters.weight, memory, |_| Ok(()))?;
    let one = product(b, u, 3 * u)?;
    let mut state = vec![0.0; b * u];
    let mut saved = Saved {
        before: Vec::with_capacity(s.steps * b * u),
        gates: vec![0.0; s.steps * b * 3 * u],
        candidate: vec![0.0; s.steps * b * u],
        parameters,
    };
    let p = &saved.parameters;
    for t in 0..s.steps {
        saved.before.extend_from_slice(&state);
        let (from_state, _) = conv::forward(&one, &state, &p.recurrent, memory, |_| Ok(()))?;
        for i in 0..b {
            let row = (t * b + i) * 3 * u;
            let (wx, uh) = (
                &from_input[row..row + 3 * u],
                &from_state[i * 3 * u..(i + 1) * 3 * u],
            );
            let gates = &mut saved.gates[row..row + 3 * u];
            for k in 0..u {
                let sum = |gate: usize| {
                    let at = gate * u + k;
                    (wx[at] + p.bias[at], uh[at] + p.recurrent_bias[at])
                };
                let ((zx, zh), (rx, rh), (nx, nh)) = (sum(0), sum(1), sum(2));
                let (z, r) = (sigmoid(zx + zh), sigmoid(rx + rh));
                let n = (nx + r * nh).tanh();
                (gates[k], gates[u + k], gates[2 * u + k]) = (z, r, n);
                saved.candidate[(t * b + i) * u + k] = nh;
                let h = &mut state[i * u + k];
                *h = n + z * (*h - n);
            }
        }
        memory.give(from_state);
    }
    memory.give(from_input);
    Ok((state, saved))
}

/// The gradients for that of the last states.
pub(super) fn gradient(
    s: Sizes,
    x: &[f32],
    saved: Saved,
    dy: &[f32],
    want_x: bool,
    memory: &mut Memory,
) -> Result<Gradients> {
    let (b, u) = (s.batch, s.units);
    let rows = s.steps * b;
    let one = product(b, u, 3 * u)?;
    // Of the sums of the input's part and of the recurrent part: they differ in the candidate alone.
    let (mut d_input, mut d_state) = (vec![0.0; rows * 3 * u], vec![0.0; rows * 3 * u]);
    let mut dh = dy.to_vec();
    for t in (0..s.steps).rev() {
        let step = t * b * 3 * u..(t + 1) * b * 3 * u;
        let (d_in, d_rec) = (&mut d_input[step.clone()], &mut d_state[step.clone()]);
        let gates = &saved.gates[step];
        for i in 0..b {
            for k in 0..u {
                let at = i * 3 * u + k;
                let (z, r, n) = (gates[at], gates[at + u], gates[at + 2 * u]);
                let row = (t * b + i) * u + k;
                let (h, nh) = (saved.before[row], saved.candidate[row]);
                let d = dh[i * u + k];
                let dn = d * (1.0 - z) * (1.0 - n * n);
                let dz = d * (h - n) * z * (1.0 - z);
                let dr = dn * nh * r * (1.0 - r);
                for (gate, (din, drec)) in
                    [(dz, dz), (dr, dr), (dn, dn * r)].into_iter().enumerate()
                {
                    d_in[at + gate * u] = din;
                    d_rec[at + gate * u] = drec;
                }
                dh[i * u + k] = d * z;
            }
        }
        let back = conv::input_gradient(&one, d_rec, &saved.parameters.recurrent, memory)?;
        for (d, back) in dh.iter_mut().zip(&back) {
            *d += back;
        }
        memory.give(back);
    }
    let sums = |of: &[f32]| {
        let mut sums = vec![0.0; 3 * u];
        for row in of.chunks_exact(3 * u) {
            for (s, d) in sums.iter_mut().zip(row) {
                *s += d;
            }
        }
        sums
    };
    let by_time = turned(x, b, s.steps, s.inputs);
    let all = product(rows, s.inputs, 3 * u)?;
    let parameters = Parameters {
        weight: conv::weights_gradient(&all, &by_time, &d_input)?,
        recurrent: conv::weights_gradient(&product(rows, u, 3 * u)?, &saved.before, &d_state)?,
        bias: sums(&d_input),
        recurrent_bias: sums(&d_state),
    };
    let x = match want_x {
        true => {
            let dx = conv::input_gradient(&all, &d_input, &saved.parameters.weight, memory)?;
            Some(turned(&dx, s.steps, b, s.inputs))
        }
        false => None,
    };
    Ok(Gradients { x, parameters })
}
