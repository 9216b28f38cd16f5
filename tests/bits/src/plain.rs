//! Integer kernels that have one body for all instruction sets: the compiler, too, has to keep their bits.
use crate::{Random, digest};
use cygnet_kernels::KernelError;
use cygnet_kernels::integer::matmul;
use cygnet_kernels::quantize::{
    Layout, Target, Term, add, dequantize, dynamic_quantize, lookup, mean, quantize, requantize,
};

const N: usize = 240;

/// Names, and the function that gives the digest of a seeded case.
pub const PLAIN: &[(&str, fn(&mut Random) -> Result<u64, KernelError>)] = &[
    ("matmul", |rng| {
        let a: [u8; 12 * 10] = core::array::from_fn(|_| rng.byte());
        let b: [i8; 10 * 20] = core::array::from_fn(|_| rng.byte() as i8);
        let mut y = [0i32; N];
        matmul([12, 10, 20], &a, &[rng.byte()], &b, &[], &mut y)?;
        Ok(digest(y.iter().flat_map(|v| v.to_le_bytes())))
    }),
    ("requantize", |rng| {
        let acc: [i32; N] = core::array::from_fn(|_| rng.bits().cast_signed() >> rng.within(0, 20));
        let bias: [i32; 12] = core::array::from_fn(|_| rng.within(-9999, 9999));
        let multiplier: [f32; 12] = core::array::from_fn(|_| rng.factor() / 128.0);
        let (zero, mut y) = (rng.within(-128, 127), [0u8; N]);
        let bounds = (-128, 127);
        requantize(
            12,
            &acc,
            Some(&bias),
            &multiplier,
            zero,
            bounds,
            |v| v as u8,
            &mut y,
        )?;
        Ok(digest(y))
    }),
    ("add", |rng| {
        let a: [u8; N] = core::array::from_fn(|_| rng.byte());
        let b: [u8; N] = core::array::from_fn(|_| rng.byte());
        let mut y = [0u8; N];
        let terms = core::array::from_fn(|_| Term {
            zero: rng.within(0, 255),
            multiplier: rng.factor(),
        });
        let target = Target {
            zero: rng.within(0, 255),
            low: 0,
            high: 255,
        };
        add(terms, &target, &a, &b, |v| v as u8, &mut y)?;
        Ok(digest(y))
    }),
    ("lookup", |rng| {
        let table: [u8; 256] = core::array::from_fn(|_| rng.byte());
        let x: [u8; N] = core::array::from_fn(|_| rng.byte());
        let (mut apart, mut inside) = ([0u8; N], x);
        lookup(&table, Some(&x), &mut apart)?;
        lookup(&table, None, &mut inside)?;
        Ok(digest(apart.into_iter().chain(inside)))
    }),
    ("mean", |rng| {
        let target = Target {
            zero: rng.within(-128, 127),
            low: -128,
            high: 127,
        };
        let mut one = || {
            let sum = rng.within(-9000, 9000);
            mean(sum, 1 + rng.below(99), rng.factor(), &target) as u8
        };
        Ok(digest([(); N].map(|()| one())))
    }),
    ("quantize", |rng| {
        let x: [f32; N] = core::array::from_fn(|_| rng.within(-999, 999) as f32 / 8.0);
        let scale: [f32; 12] = core::array::from_fn(|_| rng.factor());
        let zero: [i8; 12] = core::array::from_fn(|_| rng.byte() as i8);
        let (layout, mut y) = (layout(), [0i8; N]);
        quantize(
            &layout,
            &x,
            &scale,
            &zero,
            (-128, 127),
            0,
            |v| v as i8,
            &mut y,
        )?;
        Ok(digest(y.map(|v| v as u8)))
    }),
    ("dequantize", |rng| {
        let x: [i8; N] = core::array::from_fn(|_| rng.byte() as i8);
        let scale: [f32; 12] = core::array::from_fn(|_| rng.factor());
        let zero: [i8; 12] = core::array::from_fn(|_| rng.byte() as i8);
        let mut y = [0f32; N];
        dequantize(&layout(), &x, &scale, &zero, 0, &mut y)?;
        Ok(digest(y.iter().flat_map(|v| v.to_bits().to_le_bytes())))
    }),
    ("dynamic_quantize", |rng| {
        let x: [f32; N] = core::array::from_fn(|_| rng.factor() * rng.within(-9, 9) as f32);
        let mut y = [0u8; N];
        let (scale, zero) = dynamic_quantize(&x, &mut y)?;
        let rest = scale.to_bits().to_le_bytes().into_iter().chain([zero]);
        Ok(digest(y.into_iter().chain(rest)))
    }),
];

fn layout() -> Layout {
    Layout {
        shape: [4, 12, 5],
        block: 0,
    }
}
