//! Elementwise functions for every element type, in plain Rust. Tensors are bytes: numbers are widened a block at a time
//! (see [`crate::wide`]), so that a function has one body, not one for each element type.
mod direct;

use crate::broadcast::Broadcast;
use crate::element::Arithmetic;
use crate::error::{KernelError, exactly, product};
use crate::wide::{BLOCK, Wide, computing, load_row, range};
use cygnet_format::DType;
use cygnet_format::op::{BinaryKind, UnaryKind};

fn length(dtype: DType, bytes: &[u8], elements: usize) -> Result<(), KernelError> {
    let need = elements.checked_mul(dtype.size());
    exactly(bytes.len(), need.ok_or(KernelError::Overflow)?)
}

/// `y = f(y)` in place, for numbers.
///
/// # Errors
/// [`KernelError::Parameter`] when the function does not exist for the element type.
pub fn unary(
    kind: UnaryKind,
    a: f32,
    b: f32,
    dtype: DType,
    y: &mut [u8],
) -> Result<(), KernelError> {
    // Functions by way of floats saturate, all others wrap.
    let saturates = matches!(
        kind,
        UnaryKind::Affine | UnaryKind::Shrink | UnaryKind::LeakyRelu
    );
    let (least, greatest) = range(dtype);
    let narrow = dtype.is_integer() && (least, greatest) != (i64::MIN, i64::MAX);
    if narrow && kind == UnaryKind::Clip {
        return clip(dtype, a, b, y);
    }
    computing!(dtype, W => {
        if !W::has_unary(kind) {
            return Err(KernelError::Parameter);
        }
        let mut block = [W::default(); BLOCK];
        for part in y.chunks_mut(BLOCK * dtype.size()) {
            let block = &mut block[..part.len() / dtype.size()];
            W::load(dtype, part, block);
            for v in &mut *block {
                *v = W::unary(kind, *v, a, b);
            }
            if narrow && saturates {
                saturate(block, least, greatest);
            }
            W::store(dtype, block, part);
        }
        Ok(())
    })
}

/// Brings wide integers into the range of a narrow type; floats stay.
fn saturate<W: Wide>(block: &mut [W], least: i64, greatest: i64) {
    let (least, greatest) = (W::from_f64(least as f64), W::from_f64(greatest as f64));
    for v in block {
        if *v < least {
            *v = least;
        } else if *v > greatest {
            *v = greatest;
        }
    }
}

/// `Clip` of narrow integers: the bounds saturate first, and an upper one below the lower one wins.
fn clip(dtype: DType, a: f32, b: f32, y: &mut [u8]) -> Result<(), KernelError> {
    let (least, greatest) = range(dtype);
    let (low, high) = (
        (a as i64).clamp(least, greatest),
        (b as i64).clamp(least, greatest),
    );
    let mut block = [0i64; BLOCK];
    for part in y.chunks_mut(BLOCK * dtype.size()) {
        let block = &mut block[..part.len() / dtype.size()];
        i64::load(dtype, part, block);
        for v in &mut *block {
            *v = (*v).max(low).min(high);
        }
        i64::store(dtype, block, part);
    }
    Ok(())
}

/// `IsNan` and `IsInf` (`a != 0`: plus infinity, `b != 0`: minus infinity) of numbers into booleans.
///
/// # Errors
/// [`KernelError`] for another function or different lengths.
pub fn classify(
    kind: UnaryKind,
    a: f32,
    b: f32,
    dtype: DType,
    x: &[u8],
    y: &mut [u8],
) -> Result<(), KernelError> {
    length(dtype, x, y.len())?;
    let mut block = [0f64; BLOCK];
    for (x, y) in x.chunks(BLOCK * dtype.size()).zip(y.chunks_mut(BLOCK)) {
        let block = &mut block[..y.len()];
        f64::load(dtype, x, block);
        for (y, &v) in y.iter_mut().zip(&*block) {
            *y = match kind {
                UnaryKind::IsNan => v.is_nan(),
                UnaryKind::IsInf => {
                    (a != 0.0 && v == f64::INFINITY) || (b != 0.0 && v == f64::NEG_INFINITY)
                }
                _ => return Err(KernelError::Parameter),
            } as u8;
        }
    }
    Ok(())
}

fn check_divisor(kind: BinaryKind, dtype: DType, divisor: &[u8]) -> Result<(), KernelError> {
    let divides = matches!(kind, BinaryKind::Div | BinaryKind::Mod | BinaryKind::Fmod);
    let zero = |v: &[u8]| v.iter().all(|&b| b == 0);
    if divides && dtype.is_integer() && divisor.chunks_exact(dtype.size()).any(zero) {
        return Err(KernelError::DivisionByZero);
    }
    Ok(())
}

/// `x[i] = f(x[i], y[i])`; `width` is that of the type before it was widened, in bits.
fn apply<W: Arithmetic>(kind: BinaryKind, width: usize, x: &mut [W], y: &[W]) {
    macro_rules! each {
        (|$x:ident, $y:ident| $f:expr) => {
            for (x, &$y) in x.iter_mut().zip(y) {
                let $x = *x;
                *x = $f;
            }
        };
    }
    match kind {
        BinaryKind::Add => each!(|x, y| x.add(y)),
        BinaryKind::Sub => each!(|x, y| x.sub(y)),
        BinaryKind::Mul => each!(|x, y| x.mul(y)),
        // Every bit of a narrow type is out before those of the wide one are.
        BinaryKind::ShiftRight => {
            let all = W::from_f64(width as f64);
            each!(|x, y| if y >= all {
                W::ZERO
            } else {
                W::binary(kind, x, y)
            })
        }
        _ => each!(|x, y| W::binary(kind, x, y)),
    }
}

/// `y = f(a, b)` on numbers with NumPy broadcasting to the shape of `y`. Integer shifts by the width or more give zero.
///
/// # Errors
/// [`KernelError`] when shapes do not broadcast, the function does not exist for the type, or an integer divides by zero.
pub fn binary(
    kind: BinaryKind,
    dtype: DType,
    a: &[u8],
    a_shape: &[usize],
    b: &[u8],
    b_shape: &[usize],
    y: &mut [u8],
    y_shape: &[usize],
) -> Result<(), KernelError> {
    let size = dtype.size();
    length(dtype, a, product(a_shape)?)?;
    length(dtype, b, product(b_shape)?)?;
    length(dtype, y, product(y_shape)?)?;
    let plan = Broadcast::new(a_shape, b_shape, y_shape)?;
    if let Some(f) = direct::arithmetic(kind, dtype) {
        direct::rows(&plan, f, (a, b), size, y, size);
        return Ok(());
    }
    check_divisor(kind, dtype, b)?;
    let (sa, sb) = plan.steps();
    computing!(dtype, W => {
        if !W::has_binary(kind) {
            return Err(KernelError::Parameter);
        }
        let (mut av, mut bv) = ([W::default(); BLOCK], [W::default(); BLOCK]);
        plan.for_each(BLOCK, &mut |r| {
            let (av, bv) = (&mut av[..r.len], &mut bv[..r.len]);
            load_row(dtype, a, r.a, sa, av);
            load_row(dtype, b, r.b, sb, bv);
            apply(kind, size * 8, av, bv);
            W::store(dtype, av, &mut y[r.out * size..(r.out + r.len) * size]);
        });
        Ok(())
    })
}

/// `y = f(y, other)`, or `y = f(other, y)` when `swapped`; `other` broadcasts to the shape of `y`.
///
/// # Errors
/// As [`binary`].
pub fn binary_in_place(
    kind: BinaryKind,
    dtype: DType,
    y: &mut [u8],
    y_shape: &[usize],
    other: &[u8],
    other_shape: &[usize],
    swapped: bool,
) -> Result<(), KernelError> {
    let size = dtype.size();
    length(dtype, other, product(other_shape)?)?;
    length(dtype, y, product(y_shape)?)?;
    let plan = Broadcast::new(other_shape, other_shape, y_shape)?;
    if let Some(f) = direct::arithmetic(kind, dtype) {
        direct::rows_in_place(&plan, f, y, other, swapped, size);
        return Ok(());
    }
    check_divisor(kind, dtype, if swapped { y } else { other })?;
    let (step, _) = plan.steps();
    computing!(dtype, W => {
        if !W::has_binary(kind) {
            return Err(KernelError::Parameter);
        }
        let (mut yv, mut ov) = ([W::default(); BLOCK], [W::default(); BLOCK]);
        plan.for_each(BLOCK, &mut |r| {
            let (yv, ov) = (&mut yv[..r.len], &mut ov[..r.len]);
            let y = &mut y[r.out * size..(r.out + r.len) * size];
            W::load(dtype, y, yv);
            load_row(dtype, other, r.a, step, ov);
            let (x, other) = if swapped { (ov, yv) } else { (yv, ov) };
            apply(kind, size * 8, x, other);
            W::store(dtype, x, y);
        });
        Ok(())
    })
}

/// `y = f(y, x)` on numbers, element by element; `x` has the length of `y`.
pub(crate) fn combine(
    kind: BinaryKind,
    dtype: DType,
    y: &mut [u8],
    x: &[u8],
) -> Result<(), KernelError> {
    exactly(x.len(), y.len())?;
    let size = dtype.size();
    computing!(dtype, W => {
        // One element is common, and much less to prepare than a block.
        if y.len() == size {
            let (mut yv, mut xv) = ([W::default()], [W::default()]);
            W::load(dtype, y, &mut yv);
            W::load(dtype, x, &mut xv);
            apply(kind, size * 8, &mut yv, &xv);
            W::store(dtype, &yv, y);
            return Ok(());
        }
        let (mut yv, mut xv) = ([W::default(); BLOCK], [W::default(); BLOCK]);
        for (y, x) in y.chunks_mut(BLOCK * size).zip(x.chunks(BLOCK * size)) {
            let n = y.len() / size;
            W::load(dtype, y, &mut yv[..n]);
            W::load(dtype, x, &mut xv[..n]);
            apply(kind, size * 8, &mut yv[..n], &xv[..n]);
            W::store(dtype, &yv[..n], y);
        }
        Ok(())
    })
}

/// A comparison of numbers into booleans, with NumPy broadcasting.
///
/// # Errors
/// [`KernelError`] when shapes do not broadcast or the function is no comparison.
pub fn compare(
    kind: BinaryKind,
    dtype: DType,
    a: &[u8],
    a_shape: &[usize],
    b: &[u8],
    b_shape: &[usize],
    y: &mut [u8],
    y_shape: &[usize],
) -> Result<(), KernelError> {
    use BinaryKind::*;
    if !matches!(kind, Equal | Less | LessOrEqual | Greater | GreaterOrEqual) {
        return Err(KernelError::Parameter);
    }
    // One body for both directions.
    let (a, a_shape, b, b_shape) = match kind {
        Greater | GreaterOrEqual => (b, b_shape, a, a_shape),
        _ => (a, a_shape, b, b_shape),
    };
    length(dtype, a, product(a_shape)?)?;
    length(dtype, b, product(b_shape)?)?;
    exactly(y.len(), product(y_shape)?)?;
    let plan = Broadcast::new(a_shape, b_shape, y_shape)?;
    let ordered = match kind {
        Greater => Less,
        GreaterOrEqual => LessOrEqual,
        _ => kind,
    };
    if let Some(f) = direct::comparison(ordered, dtype) {
        direct::rows(&plan, f, (a, b), dtype.size(), y, 1);
        return Ok(());
    }
    let (sa, sb) = plan.steps();
    computing!(dtype, W => {
        let (mut av, mut bv) = ([W::default(); BLOCK], [W::default(); BLOCK]);
        plan.for_each(BLOCK, &mut |r| {
            let (av, bv) = (&mut av[..r.len], &mut bv[..r.len]);
            load_row(dtype, a, r.a, sa, av);
            load_row(dtype, b, r.b, sb, bv);
            let pairs = y[r.out..r.out + r.len].iter_mut().zip(av.iter().zip(&*bv));
            match ordered {
                Equal => pairs.for_each(|(y, (a, b))| *y = (a == b) as u8),
                Less => pairs.for_each(|(y, (a, b))| *y = (a < b) as u8),
                _ => pairs.for_each(|(y, (a, b))| *y = (a <= b) as u8),
            }
        });
        Ok(())
    })
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
    let f = logic_function(kind).ok_or(KernelError::Parameter)?;
    exactly(a.len(), product(a_shape)?)?;
    exactly(b.len(), product(b_shape)?)?;
    exactly(y.len(), product(y_shape)?)?;
    let plan = Broadcast::new(a_shape, b_shape, y_shape)?;
    let (sa, sb) = plan.steps();
    plan.for_each(usize::MAX, &mut |r| {
        for (i, y) in y[r.out..r.out + r.len].iter_mut().enumerate() {
            *y = f(a[r.a + i * sa], b[r.b + i * sb]);
        }
    });
    Ok(())
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
    exactly(other.len(), product(other_shape)?)?;
    exactly(y.len(), product(y_shape)?)?;
    let plan = Broadcast::new(other_shape, other_shape, y_shape)?;
    let (step, _) = plan.steps();
    plan.for_each(usize::MAX, &mut |r| {
        for (i, y) in y[r.out..r.out + r.len].iter_mut().enumerate() {
            let o = other[r.a + i * step];
            *y = if swapped { f(o, *y) } else { f(*y, o) };
        }
    });
    Ok(())
}

#[cfg(test)]
mod tests;
