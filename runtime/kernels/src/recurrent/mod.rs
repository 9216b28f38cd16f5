//! Recurrent layers with ONNX semantics: LSTM, GRU and RNN, one batch row and direction at a time.

pub(crate) mod dot;

use crate::error::{KernelError, product};
use crate::kernels::Kernels;
use cygnet_format::op::{Gate, GateKind};

/// Largest hidden size: two state rows and the gates live on the stack.
pub const MAX_HIDDEN: usize = 1024;

/// Sizes of a recurrent layer.
#[derive(Clone, Copy, Debug)]
pub struct Sizes {
    /// Time steps.
    pub steps: usize,
    /// Batch rows.
    pub batch: usize,
    /// Input features.
    pub input: usize,
    /// Hidden features.
    pub hidden: usize,
    /// One, or two when bidirectional.
    pub directions: usize,
    /// The first (or only) direction runs backwards.
    pub reverse: bool,
    /// Pre-activations are clipped to `-clip..=clip` when this is positive.
    pub clip: f32,
}

/// Operands, ONNX layouts: `x[T,B,I]`, `w[D,G*H,I]`, `r[D,G*H,H]`, `bias[D,2*G*H]`, `lengths[B]`, `h0`, `c0` `[D,B,H]`,
/// `peepholes[D,3H]`.
#[derive(Clone, Copy, Debug, Default)]
#[allow(missing_docs)]
pub struct Operands<'a> {
    pub x: &'a [f32],
    pub w: &'a [f32],
    pub r: &'a [f32],
    pub bias: Option<&'a [f32]>,
    pub lengths: Option<&'a [i32]>,
    pub h0: Option<&'a [f32]>,
    pub c0: Option<&'a [f32]>,
    pub peepholes: Option<&'a [f32]>,
}

/// Results: `y[T,D,B,H]`, `h[D,B,H]`, `c[D,B,H]`.
#[derive(Debug, Default)]
#[allow(missing_docs)]
pub struct Results<'a> {
    pub y: Option<&'a mut [f32]>,
    pub h: Option<&'a mut [f32]>,
    pub c: Option<&'a mut [f32]>,
}

/// The cell.
#[derive(Clone, Copy, Debug)]
pub enum Cell {
    /// Gates i, o, f, c; functions f, g, h.
    Lstm {
        /// Couples the forget gate to the input gate: `f = 1 - i`.
        input_forget: bool,
    },
    /// Gates z, r, h; functions f, g.
    Gru {
        /// The reset gate applies after the recurrent product.
        linear_before_reset: bool,
    },
    /// One gate; function f.
    Rnn,
}

impl Cell {
    const fn gates(self) -> usize {
        match self {
            Cell::Lstm { .. } => 4,
            Cell::Gru { .. } => 3,
            Cell::Rnn => 1,
        }
    }

    const fn functions(self) -> usize {
        match self {
            Cell::Lstm { .. } => 3,
            Cell::Gru { .. } => 2,
            Cell::Rnn => 1,
        }
    }
}

fn sigmoid(x: f32) -> f32 {
    1.0 / (1.0 + libm::expf(-x))
}

fn activate(gate: Gate, x: f32) -> f32 {
    match gate.kind {
        GateKind::Sigmoid => sigmoid(x),
        GateKind::Tanh => libm::tanhf(x),
        GateKind::Relu => x.max(0.0),
        GateKind::HardSigmoid => (gate.a * x + gate.b).clamp(0.0, 1.0),
        GateKind::Affine => gate.a * x + gate.b,
        GateKind::LeakyRelu => {
            if x >= 0.0 {
                x
            } else {
                gate.a * x
            }
        }
        GateKind::ThresholdedRelu => {
            if x > gate.a {
                x
            } else {
                0.0
            }
        }
        GateKind::ScaledTanh => gate.a * libm::tanhf(gate.b * x),
        GateKind::Elu => {
            if x >= 0.0 {
                x
            } else {
                gate.a * libm::expm1f(x)
            }
        }
        GateKind::Softsign => x / (1.0 + libm::fabsf(x)),
        GateKind::Softplus => {
            if x > 20.0 {
                x
            } else {
                libm::log1pf(libm::expf(x))
            }
        }
    }
}

/// Runs the layer. `functions` holds the gate functions of each direction.
///
/// # Errors
/// [`KernelError`] when lengths do not agree with the sizes, or the hidden size is above [`MAX_HIDDEN`].
pub fn run(
    kernels: &Kernels,
    cell: Cell,
    s: &Sizes,
    functions: &[Gate],
    o: &Operands<'_>,
    mut out: Results<'_>,
) -> Result<(), KernelError> {
    let (gates, hidden) = (cell.gates(), s.hidden);
    if hidden > MAX_HIDDEN
        || s.directions == 0
        || s.directions > 2
        || functions.len() != s.directions * cell.functions()
    {
        return Err(KernelError::Parameter);
    }
    let exactly = |have: usize, sizes: &[usize]| {
        if have == product(sizes)? {
            Ok(())
        } else {
            Err(KernelError::Length)
        }
    };
    let state = [s.directions, s.batch, hidden];
    exactly(o.x.len(), &[s.steps, s.batch, s.input])?;
    exactly(o.w.len(), &[s.directions, gates, hidden, s.input])?;
    exactly(o.r.len(), &[s.directions, gates, hidden, hidden])?;
    o.bias.map_or(Ok(()), |b| {
        exactly(b.len(), &[s.directions, 2, gates, hidden])
    })?;
    o.lengths.map_or(Ok(()), |l| exactly(l.len(), &[s.batch]))?;
    o.h0.map_or(Ok(()), |h| exactly(h.len(), &state))?;
    o.c0.map_or(Ok(()), |c| exactly(c.len(), &state))?;
    o.peepholes
        .map_or(Ok(()), |p| exactly(p.len(), &[s.directions, 3, hidden]))?;
    out.y.as_ref().map_or(Ok(()), |y| {
        exactly(y.len(), &[s.steps, s.directions, s.batch, hidden])
    })?;
    out.h
        .as_ref()
        .map_or(Ok(()), |h| exactly(h.len(), &state))?;
    out.c
        .as_ref()
        .map_or(Ok(()), |c| exactly(c.len(), &state))?;
    for d in 0..s.directions {
        let backwards = s.reverse || d == 1;
        let layer = Layer::new(kernels, cell, s, functions, o, d);
        for b in 0..s.batch {
            let row = (d * s.batch + b) * hidden;
            let mut h = [0f32; MAX_HIDDEN];
            let mut c = [0f32; MAX_HIDDEN];
            let (h, c) = (&mut h[..hidden], &mut c[..hidden]);
            if let Some(h0) = o.h0 {
                h.copy_from_slice(&h0[row..row + hidden]);
            }
            if let Some(c0) = o.c0 {
                c.copy_from_slice(&c0[row..row + hidden]);
            }
            let length = o
                .lengths
                .map_or(s.steps, |l| (l[b].max(0) as usize).min(s.steps));
            for k in 0..s.steps {
                let t = if backwards && k < length {
                    length - 1 - k
                } else {
                    k
                };
                let inside = k < length;
                if inside {
                    let x = &o.x[(t * s.batch + b) * s.input..][..s.input];
                    layer.step(x, h, c);
                }
                if let Some(y) = out.y.as_deref_mut() {
                    let y = &mut y[((t * s.directions + d) * s.batch + b) * hidden..][..hidden];
                    if inside {
                        y.copy_from_slice(h)
                    } else {
                        y.fill(0.0)
                    }
                }
            }
            if let Some(last) = out.h.as_deref_mut() {
                last[row..row + hidden].copy_from_slice(h);
            }
            if let Some(last) = out.c.as_deref_mut() {
                last[row..row + hidden].copy_from_slice(c);
            }
        }
    }
    Ok(())
}

/// One direction's weights.
struct Layer<'a> {
    kernels: &'a Kernels,
    cell: Cell,
    input: usize,
    hidden: usize,
    clip: f32,
    functions: &'a [Gate],
    w: &'a [f32],
    r: &'a [f32],
    bias: Option<(&'a [f32], &'a [f32])>,
    peepholes: Option<&'a [f32]>,
}

impl<'a> Layer<'a> {
    fn new(
        kernels: &'a Kernels,
        cell: Cell,
        s: &Sizes,
        functions: &'a [Gate],
        o: &Operands<'a>,
        d: usize,
    ) -> Self {
        let rows = cell.gates() * s.hidden;
        Layer {
            kernels,
            cell,
            input: s.input,
            hidden: s.hidden,
            clip: if s.clip > 0.0 { s.clip } else { f32::INFINITY },
            functions: &functions[d * cell.functions()..][..cell.functions()],
            w: &o.w[d * rows * s.input..][..rows * s.input],
            r: &o.r[d * rows * s.hidden..][..rows * s.hidden],
            bias: o.bias.map(|b| b[d * 2 * rows..][..2 * rows].split_at(rows)),
            peepholes: o.peepholes.map(|p| &p[d * 3 * s.hidden..][..3 * s.hidden]),
        }
    }

    /// `W x + bias` of gate row `row`.
    fn fed(&self, row: usize, x: &[f32]) -> f32 {
        self.kernels
            .dot(&self.w[row * self.input..][..self.input], x)
            + self.bias.map_or(0.0, |(w, _)| w[row])
    }

    /// `R h + bias` of gate row `row`.
    fn back(&self, row: usize, h: &[f32]) -> f32 {
        self.kernels
            .dot(&self.r[row * self.hidden..][..self.hidden], h)
            + self.bias.map_or(0.0, |(_, r)| r[row])
    }

    fn apply(&self, function: usize, x: f32) -> f32 {
        activate(self.functions[function], x.clamp(-self.clip, self.clip))
    }

    fn peephole(&self, gate: usize, j: usize, c: f32) -> f32 {
        self.peepholes
            .map_or(0.0, |p| p[gate * self.hidden + j] * c)
    }

    /// One time step: `h` and `c` become the new state.
    fn step(&self, x: &[f32], h: &mut [f32], c: &mut [f32]) {
        let n = self.hidden;
        let mut next = [0f32; MAX_HIDDEN];
        let next = &mut next[..n];
        match self.cell {
            Cell::Rnn => {
                for (j, out) in next.iter_mut().enumerate() {
                    *out = self.apply(0, self.fed(j, x) + self.back(j, h));
                }
            }
            Cell::Lstm { input_forget } => {
                for j in 0..n {
                    let gate = |g: usize| self.fed(g * n + j, x) + self.back(g * n + j, h);
                    let input = self.apply(0, gate(0) + self.peephole(0, j, c[j]));
                    let forget = if input_forget {
                        1.0 - input
                    } else {
                        self.apply(0, gate(2) + self.peephole(2, j, c[j]))
                    };
                    let cell = forget * c[j] + input * self.apply(1, gate(3));
                    let output = self.apply(0, gate(1) + self.peephole(1, j, cell));
                    c[j] = cell;
                    next[j] = output * activate(self.functions[2], cell);
                }
            }
            Cell::Gru {
                linear_before_reset,
            } => {
                let mut reset = [0f32; MAX_HIDDEN];
                let reset = &mut reset[..n];
                for (j, r) in reset.iter_mut().enumerate() {
                    *r = self.apply(0, self.fed(n + j, x) + self.back(n + j, h));
                    if !linear_before_reset {
                        // The candidate's recurrent product sees the state through the reset gate.
                        *r *= h[j];
                    }
                }
                for j in 0..n {
                    let z = self.apply(0, self.fed(j, x) + self.back(j, h));
                    let row = 2 * n + j;
                    let back = if linear_before_reset {
                        reset[j] * self.back(row, h)
                    } else {
                        self.back(row, reset)
                    };
                    let candidate = self.apply(1, self.fed(row, x) + back);
                    next[j] = (1.0 - z) * candidate + z * h[j];
                }
            }
        }
        h.copy_from_slice(next);
    }
}

#[cfg(test)]
mod expected;

#[cfg(test)]
mod tests {
    use super::*;

    fn run(
        cell: Cell,
        s: &Sizes,
        functions: &[Gate],
        o: &Operands<'_>,
        out: Results<'_>,
    ) -> Result<(), KernelError> {
        super::run(&Kernels::best(), cell, s, functions, o, out)
    }

    const SIZES: Sizes = Sizes {
        steps: 2,
        batch: 1,
        input: 1,
        hidden: 1,
        directions: 1,
        reverse: false,
        clip: 0.0,
    };

    fn gate(kind: GateKind) -> Gate {
        Gate {
            kind,
            a: 1.0,
            b: 0.0,
        }
    }

    #[test]
    fn rnn_steps_forwards_and_backwards() {
        let o = Operands {
            x: &[1.0, 2.0],
            w: &[0.5],
            r: &[2.0],
            ..Default::default()
        };
        let (mut y, mut h) = ([0f32; 2], [0f32]);
        let out = Results {
            y: Some(&mut y),
            h: Some(&mut h),
            c: None,
        };
        run(Cell::Rnn, &SIZES, &[gate(GateKind::Affine)], &o, out).unwrap();
        assert_eq!((y, h), ([0.5, 2.0], [2.0]));
        let sizes = Sizes {
            reverse: true,
            ..SIZES
        };
        let out = Results {
            y: Some(&mut y),
            h: Some(&mut h),
            c: None,
        };
        run(Cell::Rnn, &sizes, &[gate(GateKind::Affine)], &o, out).unwrap();
        assert_eq!((y, h), ([2.5, 1.0], [2.5]));
        let short = Operands {
            lengths: Some(&[1]),
            ..o
        };
        let out = Results {
            y: Some(&mut y),
            h: Some(&mut h),
            c: None,
        };
        run(Cell::Rnn, &sizes, &[gate(GateKind::Affine)], &short, out).unwrap();
        assert_eq!((y, h), ([0.5, 0.0], [0.5]));
    }

    #[test]
    fn lstm_matches_its_equations() {
        let o = Operands {
            x: &[1.0, -1.0],
            w: &[0.1, 0.2, 0.3, 0.4],
            r: &[0.5, 0.6, 0.7, 0.8],
            ..Default::default()
        };
        let (mut y, mut c) = ([0f32; 2], [0f32]);
        let functions = [
            gate(GateKind::Sigmoid),
            gate(GateKind::Tanh),
            gate(GateKind::Tanh),
        ];
        run(
            Cell::Lstm {
                input_forget: false,
            },
            &SIZES,
            &functions,
            &o,
            Results {
                y: Some(&mut y),
                h: None,
                c: Some(&mut c),
            },
        )
        .unwrap();
        let (mut h, mut cell) = (0f32, 0f32);
        for x in [1f32, -1.0] {
            let [i, f_o, f, g] = [
                0.1 * x + 0.5 * h,
                0.2 * x + 0.6 * h,
                0.3 * x + 0.7 * h,
                0.4 * x + 0.8 * h,
            ];
            cell = sigmoid(f) * cell + sigmoid(i) * g.tanh();
            h = sigmoid(f_o) * cell.tanh();
        }
        assert!((y[1] - h).abs() < 1e-6 && (c[0] - cell).abs() < 1e-6);
    }

    #[test]
    fn wrong_lengths_are_refused() {
        let o = Operands {
            x: &[1.0],
            w: &[0.5],
            r: &[2.0],
            ..Default::default()
        };
        assert!(
            run(
                Cell::Rnn,
                &SIZES,
                &[gate(GateKind::Tanh)],
                &o,
                Results::default()
            )
            .is_err()
        );
    }
}
