//! Compressed weights: expansion bit for bit, products against the reference on the expanded weights.
use super::{Random, close, every_isa, reference};
use crate::compressed::{Codes, Factors, Weights, words};
use crate::{Activation, Gemm, KernelError};
use half::f16;
use std::{format, vec, vec::Vec};

/// A random compressed matrix, and its floats as `[k, n]`.
struct Matrix {
    k: usize,
    n: usize,
    bits: u32,
    group: usize,
    halves: Vec<f16>,
    words: Vec<u32>,
    scales: Vec<f32>,
    offsets: Option<Vec<f32>>,
    half: bool,
    scales16: Vec<f16>,
    offsets16: Vec<f16>,
    table: Option<Vec<f32>>,
    floats: Vec<f32>,
}

impl Matrix {
    fn random(rng: &mut Random, k: usize, n: usize, case: usize) -> Matrix {
        let panels = n.div_ceil(16);
        let bits = [16, 4, 8, 2, 4, 8][case % 6];
        let group = [16, 32, 48, 128][rng.below(4)];
        let mut m = Matrix {
            k,
            n,
            bits,
            group,
            halves: Vec::new(),
            words: Vec::new(),
            scales: Vec::new(),
            offsets: None,
            half: case.is_multiple_of(2),
            scales16: Vec::new(),
            offsets16: Vec::new(),
            table: None,
            floats: vec![0.0; k * n],
        };
        if bits == 16 {
            m.halves = (0..panels * k * 16)
                .map(|i| match i % 50 {
                    // Subnormal, and of either sign.
                    0 => f16::from_bits(rng.below(1024) as u16),
                    1 => f16::from_bits(0x8000 | rng.below(1024) as u16),
                    _ => f16::from_f32(rng.next()),
                })
                .collect();
            m.fill(|m, p, i, j| m.halves[(p * k + i) * 16 + j].to_f32());
            return m;
        }
        let per = 32 / bits as usize;
        m.words = (0..panels * words(k, bits) * 16)
            .map(|_| {
                let half = |rng: &mut Random| ((rng.next() + 1.0) * 32767.0) as u32;
                half(rng) << 16 | half(rng)
            })
            .collect();
        let field = move |m: &Matrix, p: usize, i: usize, j: usize| {
            let word = m.words[(p * words(k, bits) + i / per) * 16 + j];
            word >> (i % per * bits as usize) & ((1 << bits) - 1)
        };
        if case % 5 == 4 {
            let tables = if case.is_multiple_of(2) { 1 } else { panels };
            m.table = Some(rng.vec(tables << bits));
            m.fill(|m, p, i, j| {
                let own = if tables == 1 { 0 } else { p };
                m.table.as_ref().unwrap()[(own << bits) + field(m, p, i, j) as usize]
            });
            return m;
        }
        let groups = k.div_ceil(group);
        let factors = |rng: &mut Random| -> Vec<f32> {
            let v = rng.vec(panels * groups * 16);
            let narrow = |v: f32| f16::from_f32(v).to_f32();
            v.into_iter().map(|v| narrow(v) * 0.125).collect()
        };
        m.scales = factors(rng);
        m.offsets = case.is_multiple_of(3).then(|| factors(rng));
        let narrow = |v: &[f32]| -> Vec<f16> { v.iter().map(|&v| f16::from_f32(v)).collect() };
        m.scales16 = narrow(&m.scales);
        m.offsets16 = narrow(m.offsets.as_deref().unwrap_or_default());
        m.fill(|m, p, i, j| {
            let code = (field(m, p, i, j) << (32 - bits)) as i32 >> (32 - bits);
            let at = (p * groups + i / group) * 16 + j;
            let v = code as f32 * m.scales[at];
            m.offsets.as_ref().map_or(v, |o| v + o[at])
        });
        m
    }

    fn fill(&mut self, value: impl Fn(&Matrix, usize, usize, usize) -> f32) {
        for i in 0..self.k {
            for j in 0..self.n {
                self.floats[i * self.n + j] = value(self, j / 16, i, j % 16);
            }
        }
    }

    fn weights(&self) -> Weights<'_> {
        let codes = if self.bits == 16 {
            Codes::Half(&self.halves)
        } else if let Some(table) = &self.table {
            Codes::Table {
                words: &self.words,
                bits: self.bits,
                table,
            }
        } else {
            let (scales, offsets) = if self.half {
                let offsets = self.offsets.as_ref().map(|_| Factors::F16(&self.offsets16));
                (Factors::F16(&self.scales16), offsets)
            } else {
                let offsets = self.offsets.as_deref().map(Factors::F32);
                (Factors::F32(&self.scales), offsets)
            };
            Codes::Integers {
                words: &self.words,
                bits: self.bits,
                group: self.group,
                scales,
                offsets,
            }
        };
        Weights {
            k: self.k,
            n: self.n,
            codes,
        }
    }
}

const SIZES: [usize; 14] = [1, 2, 3, 7, 8, 15, 16, 17, 31, 33, 64, 100, 129, 260];

#[test]
fn expansion_is_exact_on_every_instruction_set() {
    let mut rng = Random::new(21);
    for case in 0..120 {
        let k = SIZES[rng.below(SIZES.len())];
        let n = SIZES[rng.below(11)];
        let m = Matrix::random(&mut rng, k, n, case);
        for kernels in every_isa() {
            let mut out = vec![f32::NAN; n.div_ceil(16) * k * 16];
            let w = m.weights();
            let all = 0..w.panels();
            kernels.expand_weights(&w, all, &mut out).unwrap();
            for i in 0..k {
                for j in 0..n {
                    let got = out[((j / 16) * k + i) * 16 + j % 16];
                    let want = m.floats[i * n + j];
                    let what = format!("{} {} bits, case {case}", kernels.name(), m.bits);
                    assert!(got == want, "{what}: ({i}, {j}) is {got}, expected {want}");
                }
            }
        }
    }
}

#[test]
fn products_match_those_of_the_expanded_weights() {
    let mut rng = Random::new(22);
    for case in 0..180 {
        let rows = [1, 1, 2, 5, 13][case % 5];
        let k = SIZES[rng.below(SIZES.len())];
        let n = SIZES[rng.below(11)];
        let m = Matrix::random(&mut rng, k, n, case / 5);
        let a = rng.vec(rows * k);
        let bias = case.is_multiple_of(2).then(|| rng.vec(n));
        let residual = case.is_multiple_of(3).then(|| rng.vec(rows * n));
        let act = [
            Activation::None,
            Activation::Silu,
            Activation::Clip(-0.5, 0.5),
        ][case % 3];
        let (bias, residual) = (bias.as_deref(), residual.as_deref());
        let want = reference::gemm((rows, n, k), 1.0, act, &a, &m.floats, bias, residual);
        let p = Gemm {
            activation: act,
            ..Gemm::new(rows, n, k)
        };
        for kernels in every_isa() {
            // A panel at a time, and all of them; both halves of the panels.
            for room in [k * 16, n.div_ceil(16) * k * 16] {
                let mut c = vec![f32::NAN; rows * n];
                let mut scratch = vec![f32::NAN; room];
                let split = p.panels() / 2;
                for panels in [0..split, split..p.panels()] {
                    // SAFETY: `c` holds the whole result.
                    unsafe {
                        let (w, c) = (m.weights(), c.as_mut_ptr());
                        kernels
                            .compressed_gemm_part(
                                &p,
                                &a,
                                &w,
                                bias,
                                residual,
                                c,
                                panels,
                                &mut scratch,
                            )
                            .unwrap();
                    }
                }
                let what = format!("{} {rows}x{n}x{k}, {} bits", kernels.name(), m.bits);
                close(&c, &want, 1e-5 * (k as f64).sqrt(), &what);
            }
        }
    }
}

#[test]
fn wrong_extents_are_refused() {
    let mut rng = Random::new(23);
    let kernels = crate::Kernels::best();
    let mut out = vec![0.0; 2 * 40 * 16];
    for case in 0..24 {
        let m = Matrix::random(&mut rng, 40, 20, case);
        let w = m.weights();
        assert_eq!(kernels.expand_weights(&w, 0..2, &mut out), Ok(()));
        let refused = |w: &Weights<'_>| {
            let mut out = vec![0.0; 2 * 40 * 16];
            kernels.expand_weights(w, 0..2, &mut out).is_err()
        };
        assert!(refused(&Weights { k: 90, ..w }) && refused(&Weights { n: 40, ..w }));
        assert!(kernels.expand_weights(&w, 0..3, &mut out).is_err());
        assert!(kernels.expand_weights(&w, 0..1, &mut out).is_err());
        let codes = match w.codes {
            Codes::Half(v) => Codes::Half(&v[1..]),
            Codes::Integers {
                words,
                bits,
                scales,
                offsets,
                ..
            } => Codes::Integers {
                words,
                bits,
                group: 24,
                scales,
                offsets,
            },
            Codes::Table { words, table, .. } => Codes::Table {
                words,
                bits: 3,
                table,
            },
        };
        assert!(refused(&Weights { codes, ..w }));
        // Two rows need scratch.
        let p = Gemm::new(2, 20, 40);
        let (a, mut c) = (vec![0.0; 80], vec![0.0; 40]);
        // SAFETY: `c` holds the whole result.
        let done = unsafe {
            kernels.compressed_gemm_part(&p, &a, &w, None, None, c.as_mut_ptr(), 0..2, &mut [])
        };
        assert_eq!(done, Err(KernelError::Length));
    }
}
