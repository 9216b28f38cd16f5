//! Elementwise functions for every element type, in plain Rust.
use crate::broadcast::Broadcast;
use crate::element::Element;
use crate::error::{KernelError, exactly, product};
use cygnet_format::op::{BinaryKind, UnaryKind};

/// `y = f(y)` in place.
///
/// # Errors
/// [`KernelError::Parameter`] when the function does not exist for the element type.
pub fn unary<T: Element>(kind: UnaryKind, a: f32, b: f32, y: &mut [T]) -> Result<(), KernelError> {
    if !T::has_unary(kind) {
        return Err(KernelError::Parameter);
    }
    for v in y {
        *v = T::unary(kind, *v, a, b);
    }
    Ok(())
}

/// `IsNan` and `IsInf` (`a != 0`: plus infinity, `b != 0`: minus infinity) into booleans.
///
/// # Errors
/// [`KernelError`] for another function or different lengths.
pub fn classify<T: Element>(
    kind: UnaryKind,
    a: f32,
    b: f32,
    x: &[T],
    y: &mut [u8],
) -> Result<(), KernelError> {
    exactly(x.len(), y.len())?;
    for (y, x) in y.iter_mut().zip(x) {
        let v = x.to_f64();
        *y = match kind {
            UnaryKind::IsNan => v.is_nan(),
            UnaryKind::IsInf => {
                (a != 0.0 && v == f64::INFINITY) || (b != 0.0 && v == f64::NEG_INFINITY)
            }
            _ => return Err(KernelError::Parameter),
        } as u8;
    }
    Ok(())
}

fn divides(kind: BinaryKind) -> bool {
    matches!(kind, BinaryKind::Div | BinaryKind::Mod | BinaryKind::Fmod)
}

fn check_divisor<T: Element>(kind: BinaryKind, divisor: &[T]) -> Result<(), KernelError> {
    if T::INTEGER && divides(kind) && divisor.contains(&T::ZERO) {
        return Err(KernelError::DivisionByZero);
    }
    Ok(())
}

fn walk<T: Copy, R>(
    a: &[T],
    a_shape: &[usize],
    b: &[T],
    b_shape: &[usize],
    y: &mut [R],
    y_shape: &[usize],
    f: impl Fn(T, T) -> R,
) -> Result<(), KernelError> {
    exactly(a.len(), product(a_shape)?)?;
    exactly(b.len(), product(b_shape)?)?;
    exactly(y.len(), product(y_shape)?)?;
    let plan = Broadcast::new(a_shape, b_shape, y_shape)?;
    let (sa, sb) = plan.steps();
    plan.for_each(|r| {
        let y = &mut y[r.out..r.out + r.len];
        match (sa, sb) {
            (0, 0) => y.iter_mut().for_each(|y| *y = f(a[r.a], b[r.b])),
            (0, _) => y
                .iter_mut()
                .zip(&b[r.b..])
                .for_each(|(y, b)| *y = f(a[r.a], *b)),
            (_, 0) => y
                .iter_mut()
                .zip(&a[r.a..])
                .for_each(|(y, a)| *y = f(*a, b[r.b])),
            _ => y
                .iter_mut()
                .zip(&a[r.a..])
                .zip(&b[r.b..])
                .for_each(|((y, a), b)| *y = f(*a, *b)),
        }
    });
    Ok(())
}

/// `y = f(a, b)` with NumPy broadcasting to the shape of `y`. Integer shifts by the width or more give zero.
///
/// # Errors
/// [`KernelError`] when shapes do not broadcast, the function does not exist for the type, or an integer divides by zero.
pub fn binary<T: Element>(
    kind: BinaryKind,
    a: &[T],
    a_shape: &[usize],
    b: &[T],
    b_shape: &[usize],
    y: &mut [T],
    y_shape: &[usize],
) -> Result<(), KernelError> {
    if !T::has_binary(kind) {
        return Err(KernelError::Parameter);
    }
    check_divisor(kind, b)?;
    match kind {
        BinaryKind::Add => walk(a, a_shape, b, b_shape, y, y_shape, T::add),
        BinaryKind::Sub => walk(a, a_shape, b, b_shape, y, y_shape, T::sub),
        BinaryKind::Mul => walk(a, a_shape, b, b_shape, y, y_shape, T::mul),
        _ => walk(a, a_shape, b, b_shape, y, y_shape, |a, b| {
            T::binary(kind, a, b)
        }),
    }
}

/// `y = f(y, other)`, or `y = f(other, y)` when `swapped`; `other` broadcasts to the shape of `y`.
///
/// # Errors
/// As [`binary`].
pub fn binary_in_place<T: Element>(
    kind: BinaryKind,
    y: &mut [T],
    y_shape: &[usize],
    other: &[T],
    other_shape: &[usize],
    swapped: bool,
) -> Result<(), KernelError> {
    if !T::has_binary(kind) {
        return Err(KernelError::Parameter);
    }
    check_divisor(kind, if swapped { y } else { other })?;
    walk_in_place(y, y_shape, other, other_shape, |y, o| {
        if swapped {
            T::binary(kind, o, y)
        } else {
            T::binary(kind, y, o)
        }
    })
}

fn walk_in_place<T: Copy>(
    y: &mut [T],
    y_shape: &[usize],
    other: &[T],
    other_shape: &[usize],
    f: impl Fn(T, T) -> T,
) -> Result<(), KernelError> {
    exactly(other.len(), product(other_shape)?)?;
    exactly(y.len(), product(y_shape)?)?;
    let plan = Broadcast::new(other_shape, other_shape, y_shape)?;
    let (step, _) = plan.steps();
    plan.for_each(|r| {
        for (i, y) in y[r.out..r.out + r.len].iter_mut().enumerate() {
            *y = f(*y, other[r.a + i * step]);
        }
    });
    Ok(())
}

/// A comparison into booleans, with NumPy broadcasting. Works for booleans too.
///
/// # Errors
/// [`KernelError`] when shapes do not broadcast or the function is no comparison.
pub fn compare<T: Copy + PartialOrd>(
    kind: BinaryKind,
    a: &[T],
    a_shape: &[usize],
    b: &[T],
    b_shape: &[usize],
    y: &mut [u8],
    y_shape: &[usize],
) -> Result<(), KernelError> {
    match kind {
        BinaryKind::Equal => walk(a, a_shape, b, b_shape, y, y_shape, |a, b| (a == b) as u8),
        BinaryKind::Less => walk(a, a_shape, b, b_shape, y, y_shape, |a, b| (a < b) as u8),
        BinaryKind::LessOrEqual => walk(a, a_shape, b, b_shape, y, y_shape, |a, b| (a <= b) as u8),
        BinaryKind::Greater => walk(a, a_shape, b, b_shape, y, y_shape, |a, b| (a > b) as u8),
        BinaryKind::GreaterOrEqual => {
            walk(a, a_shape, b, b_shape, y, y_shape, |a, b| (a >= b) as u8)
        }
        _ => Err(KernelError::Parameter),
    }
}

fn logic_function(kind: BinaryKind) -> Option<fn(u8, u8) -> u8> {
    Some(match kind {
        BinaryKind::And | BinaryKind::BitAnd | BinaryKind::Mul | BinaryKind::Min => {
            |a, b| (a & b != 0) as u8
        }
        BinaryKind::Or | BinaryKind::BitOr | BinaryKind::Add | BinaryKind::Max => {
            |a, b| (a | b != 0) as u8
        }
        BinaryKind::Xor | BinaryKind::BitXor => |a, b| (a != b) as u8,
        BinaryKind::Equal => |a, b| (a == b) as u8,
        BinaryKind::Less => |a, b| (a < b) as u8,
        BinaryKind::LessOrEqual => |a, b| (a <= b) as u8,
        BinaryKind::Greater => |a, b| (a > b) as u8,
        BinaryKind::GreaterOrEqual => |a, b| (a >= b) as u8,
        _ => return None,
    })
}

/// A function of two booleans (bytes 0 and 1): logic or comparison, with NumPy broadcasting.
///
/// # Errors
/// [`KernelError`] when shapes do not broadcast or booleans do not have the function.
pub fn logic(
    kind: BinaryKind,
    a: &[u8],
    a_shape: &[usize],
    b: &[u8],
    b_shape: &[usize],
    y: &mut [u8],
    y_shape: &[usize],
) -> Result<(), KernelError> {
    walk(
        a,
        a_shape,
        b,
        b_shape,
        y,
        y_shape,
        logic_function(kind).ok_or(KernelError::Parameter)?,
    )
}

/// As [`logic`], in place as [`binary_in_place`].
///
/// # Errors
/// As [`logic`].
pub fn logic_in_place(
    kind: BinaryKind,
    y: &mut [u8],
    y_shape: &[usize],
    other: &[u8],
    other_shape: &[usize],
    swapped: bool,
) -> Result<(), KernelError> {
    let f = logic_function(kind).ok_or(KernelError::Parameter)?;
    walk_in_place(y, y_shape, other, other_shape, |y, o| {
        if swapped { f(o, y) } else { f(y, o) }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn integers_follow_numpy() {
        let mut y = [0i32; 4];
        binary(
            BinaryKind::Mod,
            &[-7, 7, -7, 7],
            &[4],
            &[3, -3, -3, 3],
            &[4],
            &mut y,
            &[4],
        )
        .unwrap();
        assert_eq!(y, [2, -2, -1, 1]);
        binary(
            BinaryKind::Fmod,
            &[-7, 7, -7, 7],
            &[4],
            &[3, -3, -3, 3],
            &[4],
            &mut y,
            &[4],
        )
        .unwrap();
        assert_eq!(y, [-1, 1, -1, 1]);
        binary(
            BinaryKind::Pow,
            &[2, -1, 3, 0],
            &[4],
            &[10, -3, -1, 0],
            &[4],
            &mut y,
            &[4],
        )
        .unwrap();
        assert_eq!(y, [1024, -1, 0, 1]);
        assert_eq!(
            binary(
                BinaryKind::Div,
                &[1, 2, 3, 4],
                &[4],
                &[0],
                &[1],
                &mut y,
                &[4]
            ),
            Err(KernelError::DivisionByZero)
        );
        let mut m = [0i8];
        binary(BinaryKind::Div, &[i8::MIN], &[1], &[-1], &[1], &mut m, &[1]).unwrap();
        assert_eq!(m, [i8::MIN]);
        assert_eq!(<i8 as Element>::unary(UnaryKind::Sign, -5, 0.0, 0.0), -1);
        assert_eq!(<u16 as Element>::binary(BinaryKind::ShiftLeft, 1, 16), 0);
    }

    #[test]
    fn rows_broadcast_both_ways() {
        let mut y = [0f64; 6];
        binary(
            BinaryKind::Sub,
            &[1., 2., 3.],
            &[3],
            &[10., 20.],
            &[2, 1],
            &mut y,
            &[2, 3],
        )
        .unwrap();
        assert_eq!(y, [-9., -8., -7., -19., -18., -17.]);
        binary_in_place(BinaryKind::Sub, &mut y, &[2, 3], &[1.], &[], true).unwrap();
        assert_eq!(y, [10., 9., 8., 20., 19., 18.]);
        let mut c = [0u8; 6];
        compare(
            BinaryKind::Less,
            &[1u8, 5],
            &[2, 1],
            &[0, 3, 9],
            &[3],
            &mut c,
            &[2, 3],
        )
        .unwrap();
        assert_eq!(c, [0, 1, 1, 0, 0, 1]);
        assert!(
            binary(
                BinaryKind::Add,
                &[1., 2.],
                &[2],
                &[1.; 3],
                &[3],
                &mut y,
                &[2, 3]
            )
            .is_err()
        );
    }
}
