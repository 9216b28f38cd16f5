//! Every body against the definition, bit for bit.
use super::*;
use crate::tests::Random;
use crate::{Features, Kernels};
use std::{format, vec, vec::Vec};

fn machines() -> Vec<Kernels> {
    let names = Features::NAMES.iter().copied();
    names
        .map(|name| Features::from_name(name).unwrap())
        .filter(|&wanted| Features::available().contains(wanted))
        .map(Kernels::for_features)
        .collect()
}

/// A row as the documentation says, in double precision where that changes nothing.
fn expected_row(x: &[f32]) -> (f32, i32, Vec<i32>) {
    let least = x.iter().fold(0f32, |a, &b| a.min(b));
    let most = x.iter().fold(0f32, |a, &b| a.max(b));
    let width = most - least;
    if width / 255.0 < f32::MIN_POSITIVE {
        return (0.0, -128, vec![-128; x.len()]);
    }
    let inverse = 255.0 / width;
    let even = |v: f32| f64::from(v).round_ties_even() as i32;
    let zero = even(-128.0 - least * inverse).clamp(-128, 127);
    let q = x
        .iter()
        .map(|&v| (even(v * inverse) + zero).clamp(-128, 127));
    (width / 255.0, zero, q.collect())
}

fn run(
    kernels: &Kernels,
    p: &DynamicGemm,
    x: &[f32],
    b: &Columns<'_>,
    residual: Option<&[f32]>,
    split: bool,
) -> Vec<f32> {
    let mut heads = vec![0; p.m * HEAD];
    let mut values = vec![-1; p.m * row_words(p.k)];
    kernels
        .quantise_rows(p.k, x, &mut heads, &mut values)
        .unwrap();
    let mut c = vec![f32::NAN; p.m * p.n];
    let panels = p.n.div_ceil(PANEL);
    let (r, s) = if split { (p.m / 2, panels / 2) } else { (0, 0) };
    for rows in [0..r, r..p.m] {
        for panels in [0..s, s..panels] {
            let a = (&heads[..], &values[..]);
            // SAFETY: `c` holds the whole result.
            unsafe {
                kernels
                    .dynamic_gemm_part(p, a, b, residual, c.as_mut_ptr(), rows.clone(), panels)
                    .unwrap();
            }
        }
    }
    c
}

#[test]
fn every_body_gives_the_definition() {
    let mut rng = Random::new(11);
    let sizes = [1, 2, 3, 4, 5, 7, 8, 15, 16, 17, 31, 33, 50, 64, 130];
    let all = machines();
    for case in 0..150 {
        let m = sizes[rng.below(11)];
        let (n, k) = (sizes[rng.below(sizes.len())], sizes[rng.below(sizes.len())]);
        let mut x: Vec<f32> = (0..m * k).map(|_| rng.next() * 3.0 + 0.5).collect();
        match case % 7 {
            // Rows of zeros, next to nothing, of one sign, of halves between integers.
            0 => x[..k].fill(0.0),
            1 => x[..k].fill(1e-44),
            2 => x.iter_mut().for_each(|v| *v = v.abs() + 0.1),
            3 => x.iter_mut().for_each(|v| *v = -v.abs()),
            4 => {
                x.iter_mut().for_each(|v| *v = (*v * 20.0).trunc() + 0.5);
                x[0] = 127.5;
                if k > 1 {
                    x[1] = -127.5;
                }
            }
            _ => {}
        }
        let w: Vec<i8> = (0..k * n).map(|_| (rng.next() * 128.0) as i8).collect();
        let mut packed = vec![9; packed_len(k, n)];
        pack(k, n, |i, j| w[i * n + j], &mut packed).unwrap();
        let sums: Vec<i32> = (0..n)
            .map(|j| (0..k).map(|i| i32::from(w[i * n + j])).sum())
            .collect();
        let scale: Vec<f32> = (0..n).map(|_| rng.next().abs() * 0.01 + 1e-3).collect();
        let bias = (case % 2 == 0).then(|| rng.vec(n));
        let residual = (case % 3 == 0).then(|| rng.vec(m * n));
        let activation = [
            Activation::None,
            Activation::Relu,
            Activation::Clip(-0.1, 0.7),
        ][case % 3];
        let p = DynamicGemm {
            m,
            n,
            k,
            activation,
        };
        let mut want = Vec::new();
        for i in 0..m {
            let (own, zero, q) = expected_row(&x[i * k..][..k]);
            for j in 0..n {
                let sum: i32 = (0..k)
                    .map(|c| (q[c] - zero) * i32::from(w[c * n + j]))
                    .sum();
                let mut v = sum as f32 * (own * scale[j]);
                if let Some(bias) = &bias {
                    v += bias[j];
                }
                if let Some(residual) = &residual {
                    v += residual[i * n + j];
                }
                let (lo, hi) = activation.clamp().unwrap();
                want.push(v.max(lo).min(hi));
            }
        }
        let b = Columns {
            weights: &packed,
            sums: &sums,
            scale: &scale,
            bias: bias.as_deref(),
        };
        for kernels in &all {
            for split in [false, true] {
                let got = run(kernels, &p, &x, &b, residual.as_deref(), split);
                let what = format!("{:?} {p:?} case {case}", kernels.features().name());
                for (i, (g, w)) in got.iter().zip(&want).enumerate() {
                    assert!(g == w, "{what}: element {i} is {g}, expected {w}");
                }
            }
        }
    }
}

#[test]
fn wrong_extents_are_refused() {
    let kernels = Kernels::best();
    let p = DynamicGemm {
        m: 2,
        n: 3,
        k: 5,
        activation: Activation::None,
    };
    let (mut heads, mut values) = (vec![0; 2 * HEAD], vec![0; 2 * row_words(5)]);
    assert!(
        kernels
            .quantise_rows(5, &[0.0; 10], &mut heads, &mut values[1..])
            .is_err()
    );
    assert!(
        kernels
            .quantise_rows(5, &[0.0; 9], &mut heads, &mut values)
            .is_err()
    );
    kernels
        .quantise_rows(5, &[1.0; 10], &mut heads, &mut values)
        .unwrap();
    let (w, ones, floats) = (vec![1i8; packed_len(5, 3)], [1; 3], [1f32; 3]);
    let mut c = [0f32; 6];
    let mut attempt = |w: &[i8], sums: &[i32], scale: &[f32], rows, panels| {
        let b = Columns {
            weights: w,
            sums,
            scale,
            bias: None,
        };
        // SAFETY: `c` holds the whole result.
        unsafe {
            kernels.dynamic_gemm_part(
                &p,
                (&heads, &values),
                &b,
                None,
                c.as_mut_ptr(),
                rows,
                panels,
            )
        }
    };
    assert!(attempt(&w, &ones, &floats, 0..2, 0..1).is_ok());
    assert!(attempt(&w[1..], &ones, &floats, 0..2, 0..1).is_err());
    assert!(attempt(&w, &ones[1..], &floats, 0..2, 0..1).is_err());
    assert!(attempt(&w, &ones, &floats[1..], 0..2, 0..1).is_err());
    assert!(attempt(&w, &ones, &floats, 0..3, 0..1).is_err());
    assert!(attempt(&w, &ones, &floats, 0..2, 0..2).is_err());
}
