//! Products of rows that are quantised while they run, and weights of few bits that become floats.
use crate::{Random, digest};
use cygnet_kernels::compressed::{Codes, Factors, Weights, words};
use cygnet_kernels::quantize::{Factors as Factors8, Target};
use cygnet_kernels::quantized::dynamic::{Columns, DynamicGemm, HEAD, pack, packed_len, row_words};
use cygnet_kernels::{Activation, KernelError, Kernels};

/// A case of some kernels: the digest of what they give.
type Case = fn(&Kernels, &mut Random) -> Result<u64, KernelError>;

/// Name and case.
pub const PRODUCTS: &[(&str, Case)] = &[
    ("dynamic", dynamic),
    ("expand", expand),
    ("quantized_mul", quantized_mul),
];

const ROWS: usize = 5;
const DEPTH: usize = 72;
const COLUMNS: usize = 40;

fn bits(values: &[f32]) -> u64 {
    digest(values.iter().flat_map(|v| v.to_bits().to_le_bytes()))
}

/// A float with few digits, so that halves between integers come often.
fn coarse(rng: &mut Random) -> f32 {
    match rng.below(8) {
        0 => 0.0,
        1 => rng.within(-900, 900) as f32,
        _ => rng.within(-255, 255) as f32 * 0.5,
    }
}

fn quantized_mul(kernels: &Kernels, rng: &mut Random) -> Result<u64, KernelError> {
    let signed = rng.below(2) == 0;
    let (low, high) = if signed { (-128, 127) } else { (0, 255) };
    let factors = Factors8 {
        a_zero: rng.within(low, high),
        b_zero: rng.within(low, high),
        multiplier: rng.factor() / 64.0,
    };
    let target = Target {
        zero: rng.within(low, high),
        low: rng.within(low, low + 20),
        high: rng.within(high - 20, high),
    };
    // A row for all, or as many as there are.
    let len = 1 + rng.below(DEPTH);
    let rows = 1 + rng.below(ROWS);
    let b: [u8; DEPTH * ROWS] = core::array::from_fn(|_| rng.byte());
    let b = &b[..if rng.below(2) == 0 { len } else { len * rows }];
    let a: [u8; DEPTH * ROWS] = core::array::from_fn(|_| rng.byte());
    let a = &a[..len * rows];
    let (mut apart, mut inside) = ([0u8; DEPTH * ROWS], [0u8; DEPTH * ROWS]);
    let (apart, inside) = (&mut apart[..len * rows], &mut inside[..len * rows]);
    inside.copy_from_slice(a);
    kernels.quantized_mul(&factors, &target, signed, Some(a), b, apart)?;
    kernels.quantized_mul(&factors, &target, signed, None, b, inside)?;
    Ok(digest(apart.iter().chain(inside.iter()).copied()))
}

fn dynamic(kernels: &Kernels, rng: &mut Random) -> Result<u64, KernelError> {
    let p = DynamicGemm {
        m: 1 + rng.below(ROWS),
        n: 1 + rng.below(COLUMNS),
        k: 1 + rng.below(DEPTH),
        activation: if rng.below(2) == 0 {
            Activation::None
        } else {
            Activation::Relu
        },
    };
    let mut x = [0f32; ROWS * DEPTH];
    let fine = rng.below(2) == 0;
    for x in &mut x {
        *x = if fine {
            rng.factor() - 0.9
        } else {
            coarse(rng)
        };
    }
    let key = rng.bits() as usize;
    let weight = |i: usize, j: usize| Random::new((key + i * COLUMNS + j) as u64).byte() as i8;
    let mut packed = [0i8; COLUMNS.div_ceil(16) * 16 * DEPTH];
    let packed = &mut packed[..packed_len(p.k, p.n)];
    pack(p.k, p.n, weight, packed)?;
    let (mut sums, mut scale, mut bias) = ([0i32; COLUMNS], [0f32; COLUMNS], [0f32; COLUMNS]);
    for j in 0..p.n {
        sums[j] = (0..p.k).map(|i| i32::from(weight(i, j))).sum();
        scale[j] = rng.factor() * 0.01;
        bias[j] = rng.factor() - 1.0;
    }
    let mut residual = [0f32; ROWS * COLUMNS];
    for r in &mut residual {
        *r = rng.factor() - 1.0;
    }
    let b = Columns {
        weights: packed,
        sums: &sums[..p.n],
        scale: &scale[..p.n],
        bias: (rng.below(3) > 0).then_some(&bias[..p.n]),
    };
    let residual = (rng.below(2) == 0).then_some(&residual[..p.m * p.n]);
    let mut heads = [0i32; ROWS * HEAD];
    let mut values = [0i32; ROWS * row_words(DEPTH)];
    let heads = &mut heads[..p.m * HEAD];
    let values = &mut values[..p.m * row_words(p.k)];
    kernels.quantise_rows(p.k, &x[..p.m * p.k], heads, values)?;
    let mut c = [0f32; ROWS * COLUMNS];
    let (half, panels) = (p.m / 2, p.n.div_ceil(16));
    for rows in [0..half, half..p.m] {
        let a = (&*heads, &*values);
        // SAFETY: `c` holds the whole result.
        unsafe {
            kernels.dynamic_gemm_part(&p, a, &b, residual, c.as_mut_ptr(), rows, 0..panels)?;
        }
    }
    Ok(bits(&c[..p.m * p.n]))
}

fn expand(kernels: &Kernels, rng: &mut Random) -> Result<u64, KernelError> {
    let (k, n) = (1 + rng.below(DEPTH), 1 + rng.below(COLUMNS));
    let panels = n.div_ceil(16);
    let width = [2, 4, 8][rng.below(3)];
    let group = [16, 32, 64][rng.below(3)];
    let mut codes = [0u32; COLUMNS.div_ceil(16) * 16 * DEPTH.div_ceil(4)];
    for word in &mut codes {
        *word = rng.bits();
    }
    let mut factors = [0f32; 2 * COLUMNS.div_ceil(16) * 16 * DEPTH.div_ceil(16)];
    for factor in &mut factors {
        *factor = rng.factor() - 0.8;
    }
    let mut table = [0f32; 256];
    for v in &mut table {
        *v = rng.factor() - 1.0;
    }
    let count = panels * k.div_ceil(group) * 16;
    let (scales, offsets) = factors.split_at(factors.len() / 2);
    let words = &codes[..panels * words(k, width) * 16];
    let codes = if rng.below(3) == 0 {
        Codes::Table {
            words,
            bits: width,
            table: &table[..1 << width],
        }
    } else {
        Codes::Integers {
            words,
            bits: width,
            group,
            scales: Factors::F32(&scales[..count]),
            offsets: (rng.below(2) == 0).then_some(Factors::F32(&offsets[..count])),
        }
    };
    let mut out = [0f32; COLUMNS.div_ceil(16) * 16 * DEPTH];
    let out = &mut out[..panels * k * 16];
    kernels.expand_weights(&Weights { k, n, codes }, 0..panels, out)?;
    Ok(bits(out))
}
