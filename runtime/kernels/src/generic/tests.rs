//! The widened functions against Rust's own arithmetic of each element type.
use super::*;
use std::vec::Vec;

/// Element types with their arithmetic written out.
trait Number: Copy + PartialEq + core::fmt::Debug {
    const DTYPE: DType;
    fn bytes(v: &[Self]) -> Vec<u8>;
    fn values(b: &[u8]) -> Vec<Self>;
}

macro_rules! numbers {
    ($($t:ty => $d:ident),*) => {$(
        impl Number for $t {
            const DTYPE: DType = DType::$d;
            fn bytes(v: &[Self]) -> Vec<u8> { v.iter().flat_map(|x| x.to_le_bytes()).collect() }
            fn values(b: &[u8]) -> Vec<Self> { b.as_chunks().0.iter().map(|b| <$t>::from_le_bytes(*b)).collect() }
        }
    )*};
}
numbers!(i8 => I8, u8 => U8, i16 => I16, u16 => U16, i32 => I32, u32 => U32, i64 => I64, u64 => U64, f32 => F32, f64 => F64);

fn run<T: Number>(kind: BinaryKind, a: &[T], b: &[T]) -> Result<Vec<T>, KernelError> {
    let (x, y) = (T::bytes(a), T::bytes(b));
    let mut z = T::bytes(a);
    let (na, nb) = ([a.len()], [b.len()]);
    binary(kind, T::DTYPE, &x, &na, &y, &nb, &mut z, &na)?;
    let mut in_place = x.clone();
    binary_in_place(kind, T::DTYPE, &mut in_place, &na, &y, &nb, false)?;
    assert_eq!(z, in_place, "{kind:?} in place");
    if b.len() == a.len() {
        let mut swapped = y;
        binary_in_place(kind, T::DTYPE, &mut swapped, &nb, &x, &na, true)?;
        assert_eq!(z, swapped, "{kind:?} in place, swapped");
    }
    Ok(T::values(&z))
}

macro_rules! every_pair {
    ($($t:ty),*) => {$({
        // Edges and neighbours, more than a block of pairs.
        let edges = [<$t>::MIN, <$t>::MIN + 1, <$t>::MAX, <$t>::MAX - 1, 0, 1, 2, 3, 7, 8, 15, 16, 31, 33, 63, 64, 100];
        let (mut a, mut b) = (Vec::new(), Vec::new());
        for x in edges { for y in edges { a.push(x); b.push(y); } }
        let check = |kind, f: &dyn Fn($t, $t) -> $t| {
            let want: Vec<$t> = a.iter().zip(&b).map(|(&x, &y)| f(x, y)).collect();
            assert_eq!(run(kind, &a, &b).unwrap(), want, "{kind:?} {}", stringify!($t));
        };
        let bits = <$t>::BITS;
        check(BinaryKind::Add, &|x, y| x.wrapping_add(y));
        check(BinaryKind::Sub, &|x, y| x.wrapping_sub(y));
        check(BinaryKind::Mul, &|x, y| x.wrapping_mul(y));
        check(BinaryKind::Min, &|x, y| x.min(y));
        check(BinaryKind::Max, &|x, y| x.max(y));
        check(BinaryKind::BitAnd, &|x, y| x & y);
        check(BinaryKind::BitOr, &|x, y| x | y);
        check(BinaryKind::BitXor, &|x, y| x ^ y);
        check(BinaryKind::ShiftLeft, &|x, y| match u32::try_from(y) { Ok(s) if s < bits => x << s, _ => 0 });
        check(BinaryKind::ShiftRight, &|x, y| match u32::try_from(y) { Ok(s) if s < bits => x >> s, _ => 0 });
        let small: Vec<$t> = a.iter().map(|&x| x % 5).collect();
        let powers = run(BinaryKind::Pow, &a, &small).unwrap();
        for ((&x, &e), got) in a.iter().zip(&small).zip(powers) {
            if let Ok(e) = u32::try_from(i128::from(e)) {
                assert_eq!(got, x.wrapping_pow(e), "{x} to the {e}");
            }
        }
        assert_eq!(run(BinaryKind::Div, &a, &b), Err(KernelError::DivisionByZero));
        for y in edges.into_iter().filter(|&y| y != 0) {
            let want = |f: &dyn Fn($t) -> $t| a.iter().map(|&x| f(x)).collect::<Vec<$t>>();
            assert_eq!(run(BinaryKind::Div, &a, &[y]).unwrap(), want(&|x| x.wrapping_div(y)));
            assert_eq!(run(BinaryKind::Fmod, &a, &[y]).unwrap(), want(&|x| x.wrapping_rem(y)));
            assert_eq!(run(BinaryKind::Mod, &a, &[y]).unwrap(), want(&|x| {
                let r = x.wrapping_rem(y);
                #[allow(unused_comparisons)]
                if r != 0 && (r < 0) != (y < 0) { r.wrapping_add(y) } else { r }
            }));
        }
        for (kind, f) in comparisons::<$t>() {
            let (x, y) = (<$t>::bytes(&a), <$t>::bytes(&b));
            let mut z = std::vec![9; a.len()];
            let n = [a.len()];
            compare(kind, <$t>::DTYPE, &x, &n, &y, &n, &mut z, &n).unwrap();
            let want: Vec<u8> = a.iter().zip(&b).map(|(x, y)| f(x, y) as u8).collect();
            assert_eq!(z, want, "{kind:?} {}", stringify!($t));
        }
    })*};
}

type Comparison<T> = fn(&T, &T) -> bool;

fn comparisons<T: PartialOrd>() -> [(BinaryKind, Comparison<T>); 5] {
    [
        (BinaryKind::Equal, |a, b| a == b),
        (BinaryKind::Less, |a, b| a < b),
        (BinaryKind::LessOrEqual, |a, b| a <= b),
        (BinaryKind::Greater, |a, b| a > b),
        (BinaryKind::GreaterOrEqual, |a, b| a >= b),
    ]
}

#[test]
fn integers_of_every_width() {
    every_pair!(i8, u8, i16, u16, i32, u32, i64, u64);
}

#[test]
fn functions_of_narrow_integers_wrap_or_saturate() {
    let run = |kind, a, b, v: &[i8]| {
        let mut y = i8::bytes(v);
        unary(kind, a, b, DType::I8, &mut y).unwrap();
        i8::values(&y)
    };
    let v = [-128i8, -1, 0, 1, 127];
    assert_eq!(run(UnaryKind::Abs, 0., 0., &v), [-128, 1, 0, 1, 127]);
    assert_eq!(run(UnaryKind::Neg, 0., 0., &v), [-128, 1, 0, -1, -127]);
    assert_eq!(run(UnaryKind::Sign, 0., 0., &v), [-1, -1, 0, 1, 1]);
    assert_eq!(run(UnaryKind::Square, 0., 0., &v), [0, 1, 0, 1, 1]);
    assert_eq!(run(UnaryKind::BitNot, 0., 0., &v), [127, 0, -1, -2, -128]);
    assert_eq!(run(UnaryKind::Affine, 3., 1., &v), [-128, -2, 1, 4, 127]);
    assert_eq!(run(UnaryKind::LeakyRelu, 9., 0., &v), [-128, -9, 0, 1, 127]);
    assert_eq!(
        run(UnaryKind::Clip, 300., 400., &v),
        [127; 5],
        "bounds saturate"
    );
    assert_eq!(
        run(UnaryKind::Clip, -2., f32::INFINITY, &v),
        [-2, -1, 0, 1, 127]
    );
    assert_eq!(
        run(UnaryKind::Clip, f32::NEG_INFINITY, 0., &v),
        [-128, -1, 0, 0, 0]
    );
    let mut y = u64::bytes(&[0, 5, u64::MAX]);
    unary(UnaryKind::Clip, 1., f32::INFINITY, DType::U64, &mut y).unwrap();
    assert_eq!(u64::values(&y), [1, 5, u64::MAX]);
    assert_eq!(
        unary(UnaryKind::Exp, 0., 0., DType::I8, &mut [0]),
        Err(KernelError::Parameter)
    );
    assert_eq!(
        unary(UnaryKind::Abs, 0., 0., DType::Bool, &mut [0]),
        Err(KernelError::Parameter)
    );
}

#[test]
fn sixteen_bit_floats_round_once() {
    use half::{bf16, f16};
    let halves = |v: &[f32]| {
        v.iter()
            .flat_map(|&v| f16::from_f32(v).to_le_bytes())
            .collect::<Vec<u8>>()
    };
    let (a, b) = (
        halves(&[1.0, 60000.0, 0.1]),
        halves(&[1.0 / 2048.0, 60000.0, 0.2]),
    );
    let mut y = a.clone();
    binary(
        BinaryKind::Add,
        DType::F16,
        &a,
        &[3],
        &b,
        &[3],
        &mut y,
        &[3],
    )
    .unwrap();
    let third = f16::from_f32(f16::from_f32(0.1).to_f32() + f16::from_f32(0.2).to_f32());
    assert_eq!(
        y,
        [f16::ONE, f16::INFINITY, third]
            .map(f16::to_le_bytes)
            .concat()
    );
    let mut y = bf16::from_f32(2.0).to_le_bytes();
    unary(UnaryKind::Sqrt, 0., 0., DType::BF16, &mut y).unwrap();
    assert_eq!(y, bf16::from_f32(2f32.sqrt()).to_le_bytes());
}

#[test]
fn rows_broadcast_both_ways() {
    let mut y = f64::bytes(&[0.; 6]);
    let (a, b) = (f64::bytes(&[1., 2., 3.]), f64::bytes(&[10., 20.]));
    binary(
        BinaryKind::Sub,
        DType::F64,
        &a,
        &[3],
        &b,
        &[2, 1],
        &mut y,
        &[2, 3],
    )
    .unwrap();
    assert_eq!(f64::values(&y), [-9., -8., -7., -19., -18., -17.]);
    let one = f64::bytes(&[1.]);
    binary_in_place(
        BinaryKind::Sub,
        DType::F64,
        &mut y,
        &[2, 3],
        &one,
        &[],
        true,
    )
    .unwrap();
    assert_eq!(f64::values(&y), [10., 9., 8., 20., 19., 18.]);
    let mut c = [0u8; 6];
    compare(
        BinaryKind::Less,
        DType::U8,
        &[1, 5],
        &[2, 1],
        &[0, 3, 9],
        &[3],
        &mut c,
        &[2, 3],
    )
    .unwrap();
    assert_eq!(c, [0, 1, 1, 0, 0, 1]);
    compare(
        BinaryKind::Greater,
        DType::U8,
        &[1, 5],
        &[2, 1],
        &[0, 3, 9],
        &[3],
        &mut c,
        &[2, 3],
    )
    .unwrap();
    assert_eq!(c, [1, 0, 0, 1, 1, 0]);
    assert!(
        binary(
            BinaryKind::Add,
            DType::F64,
            &b,
            &[2],
            &a,
            &[3],
            &mut y,
            &[2, 3]
        )
        .is_err()
    );
    let short = &a[..16];
    assert!(
        binary(
            BinaryKind::Add,
            DType::F64,
            short,
            &[3],
            &a,
            &[3],
            &mut y[..24],
            &[3]
        )
        .is_err()
    );
    // Longer than a block, with one operand a scalar.
    let long: Vec<f32> = (0..200).map(|v| v as f32).collect();
    let mut z = f32::bytes(&long);
    binary(
        BinaryKind::Mul,
        DType::F32,
        &f32::bytes(&long),
        &[200],
        &f32::bytes(&[2.]),
        &[1],
        &mut z,
        &[200],
    )
    .unwrap();
    assert_eq!(
        f32::values(&z),
        long.iter().map(|v| v * 2.).collect::<Vec<_>>()
    );
}

#[test]
fn comparisons_of_nan_are_false() {
    let (a, b) = (f32::bytes(&[f32::NAN, 1.]), f32::bytes(&[1., f32::NAN]));
    for (kind, _) in comparisons::<f32>() {
        let mut z = [9u8; 2];
        compare(kind, DType::F32, &a, &[2], &b, &[2], &mut z, &[2]).unwrap();
        assert_eq!(z, [0, 0], "{kind:?}");
    }
    let mut z = [9u8; 2];
    classify(UnaryKind::IsNan, 0., 0., DType::F32, &a, &mut z).unwrap();
    assert_eq!(z, [1, 0]);
    let a = f32::bytes(&[f32::INFINITY, f32::NEG_INFINITY]);
    classify(UnaryKind::IsInf, 0., 1., DType::F32, &a, &mut z).unwrap();
    assert_eq!(z, [0, 1]);
}
