//! Binary operators with broadcasting.
use crate::error::{KernelError, at_least, product};
use crate::isa::{Isa, kernel_rows};

/// A function of two f32.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
#[allow(missing_docs)]
pub enum Binary {
    Add,
    Sub,
    Mul,
    Div,
    Min,
    Max,
    Pow,
    /// Remainder with the sign of the dividend (C's `fmod`).
    Fmod,
    /// Remainder with the sign of the divisor.
    FloorMod,
    /// x < 0 ? x y : x
    Prelu,
    /// (x - y)^2
    SquaredDifference,
}

/// Largest rank of a broadcast.
pub const MAX_RANK: usize = 8;

/// Shape of the result and the strides (in elements; 0 repeats) with which the operands are read.
#[derive(Clone, Copy, Debug)]
pub struct Broadcast {
    /// Sizes of the result, outermost first.
    pub shape: [usize; MAX_RANK],
    /// Strides of the left operand.
    pub x: [usize; MAX_RANK],
    /// Strides of the right operand.
    pub y: [usize; MAX_RANK],
    /// Dimensions in use.
    pub rank: usize,
}

impl Broadcast {
    /// Broadcasts two dense shapes by the rule of NumPy, merging dimensions where both operands allow it.
    ///
    /// # Errors
    /// [`KernelError::Parameter`] when the shapes do not broadcast or a rank exceeds [`MAX_RANK`].
    pub fn new(x: &[usize], y: &[usize]) -> Result<Self, KernelError> {
        let rank = x.len().max(y.len());
        if rank > MAX_RANK {
            return Err(KernelError::Parameter);
        }
        product(x)?;
        product(y)?;
        let size = |s: &[usize], d: usize| {
            if d + s.len() >= rank {
                s[d + s.len() - rank]
            } else {
                1
            }
        };
        // Innermost first, merged as they come.
        let mut r = Self {
            shape: [1; MAX_RANK],
            x: [0; MAX_RANK],
            y: [0; MAX_RANK],
            rank: 0,
        };
        let (mut sx, mut sy) = (1usize, 1usize);
        for d in (0..rank).rev() {
            let (a, b) = (size(x, d), size(y, d));
            let n = if a == b || b == 1 {
                a
            } else if a == 1 {
                b
            } else {
                return Err(KernelError::Parameter);
            };
            let (tx, ty) = (if a == 1 { 0 } else { sx }, if b == 1 { 0 } else { sy });
            sx *= a.max(1);
            sy *= b.max(1);
            if n == 1 {
                continue;
            }
            if r.rank > 0 {
                let l = r.rank - 1;
                if n != 0 && r.x[l] * r.shape[l] == tx && r.y[l] * r.shape[l] == ty {
                    r.shape[l] *= n;
                    continue;
                }
            }
            r.shape[r.rank] = n;
            r.x[r.rank] = tx;
            r.y[r.rank] = ty;
            r.rank += 1;
        }
        if r.rank == 0 {
            r.rank = 1;
        }
        let k = r.rank;
        r.shape[..k].reverse();
        r.x[..k].reverse();
        r.y[..k].reverse();
        product(&r.shape[..k])?;
        Ok(r)
    }

    /// Elements of the result.
    pub fn len(&self) -> usize {
        self.shape[..self.rank].iter().product()
    }

    /// Whether the result has no element.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    pub(crate) fn check(&self, x: usize, y: usize, out: usize) -> Result<(), KernelError> {
        if self.rank == 0 || self.rank > MAX_RANK {
            return Err(KernelError::Parameter);
        }
        let n = product(&self.shape[..self.rank])?;
        crate::error::exactly(out, n)?;
        if n == 0 {
            return Ok(());
        }
        let reach = |strides: &[usize; MAX_RANK]| -> Result<usize, KernelError> {
            let mut last = 0usize;
            for d in 0..self.rank {
                last = last
                    .checked_add(product(&[self.shape[d] - 1, strides[d]])?)
                    .ok_or(KernelError::Overflow)?;
            }
            last.checked_add(1).ok_or(KernelError::Overflow)
        };
        at_least(x, reach(&self.x)?)?;
        at_least(y, reach(&self.y)?)
    }

    /// Whether `strides` are those of the dense result.
    pub(crate) fn is_dense(&self, strides: &[usize; MAX_RANK]) -> bool {
        let mut s = 1usize;
        for d in (0..self.rank).rev() {
            if self.shape[d] != 1 && strides[d] != s {
                return false;
            }
            s = s.saturating_mul(self.shape[d]);
        }
        true
    }
}

/// Base pointers of the operands and the dense result.
#[derive(Clone, Copy)]
pub(crate) struct Operands {
    pub x: *const f32,
    pub y: *const f32,
    pub out: *mut f32,
}

kernel_rows!(pub(crate) ROWS = body(op: Binary, b: &Broadcast, r: Operands));

/// # Safety
/// `b` passed [`Broadcast::check`] for the extents behind the pointers and is not empty; the output may equal an operand
/// that is read with the strides of the dense result; the instruction set exists.
#[inline(always)]
unsafe fn body<I: Isa>(op: Binary, b: &Broadcast, r: Operands) {
    // SAFETY: offsets stay inside the extents that `check` proved.
    unsafe {
        match op {
            Binary::Add => walk::<I, ops::Add>(b, r),
            Binary::Sub => walk::<I, ops::Sub>(b, r),
            Binary::Mul => walk::<I, ops::Mul>(b, r),
            Binary::Div => walk::<I, ops::Div>(b, r),
            Binary::Min => walk::<I, ops::Min>(b, r),
            Binary::Max => walk::<I, ops::Max>(b, r),
            Binary::Prelu => walk::<I, ops::Prelu>(b, r),
            Binary::SquaredDifference => walk::<I, ops::SquaredDifference>(b, r),
            Binary::Pow => each(b, r, pow),
            Binary::Fmod => each(b, r, libm::fmodf),
            Binary::FloorMod => each(b, r, floor_mod),
        }
    }
}

/// The exponents that models use most have short forms.
fn pow(x: f32, y: f32) -> f32 {
    if y == 2.0 {
        x * x
    } else if y == 3.0 {
        x * x * x
    } else if y == 1.0 {
        x
    } else {
        libm::powf(x, y)
    }
}

fn floor_mod(x: f32, y: f32) -> f32 {
    let r = libm::fmodf(x, y);
    if r != 0.0 && (r < 0.0) != (y < 0.0) {
        r + y
    } else {
        r
    }
}

trait Op {
    unsafe fn apply<I: Isa>(x: I::V, y: I::V) -> I::V;
}

mod ops {
    use super::{Isa, Op};
    macro_rules! op {
        ($($name:ident |$x:ident, $y:ident| $e:expr;)*) => {$(
            pub struct $name;
            impl Op for $name {
                #[inline(always)]
                unsafe fn apply<I: Isa>($x: I::V, $y: I::V) -> I::V {
                    // SAFETY: the caller guarantees the instruction set.
                    unsafe { $e }
                }
            }
        )*};
    }
    op! {
        Add |x, y| I::add(x, y);
        Sub |x, y| I::sub(x, y);
        Mul |x, y| I::mul(x, y);
        Div |x, y| I::div(x, y);
        Min |x, y| I::select_eq(y, y, I::min(y, x), y);
        Max |x, y| I::select_eq(y, y, I::max(y, x), y);
        Prelu |x, y| I::select_lt(x, I::splat(0.0), I::mul(x, y), x);
        SquaredDifference |x, y| { let d = I::sub(x, y); I::mul(d, d) };
    }
}

/// Runs `$f` with the offsets of every run of the innermost dimension.
macro_rules! outer {
    ($b:ident, |$ox:ident, $oy:ident, $oo:ident| $f:expr) => {{
        let inner = $b.rank - 1;
        let mut runs = 1;
        for d in 0..inner {
            runs *= $b.shape[d];
        }
        let mut index = [0usize; MAX_RANK];
        let (mut $ox, mut $oy, mut $oo) = (0usize, 0usize, 0usize);
        for _ in 0..runs {
            $f;
            $oo += $b.shape[inner];
            let mut d = inner;
            while d > 0 {
                d -= 1;
                index[d] += 1;
                $ox += $b.x[d];
                $oy += $b.y[d];
                if index[d] < $b.shape[d] {
                    break;
                }
                $ox -= index[d] * $b.x[d];
                $oy -= index[d] * $b.y[d];
                index[d] = 0;
            }
        }
    }};
}

#[inline(always)]
unsafe fn walk<I: Isa, O: Op>(b: &Broadcast, r: Operands) {
    let inner = b.rank - 1;
    // SAFETY: see `body`.
    unsafe {
        outer!(b, |ox, oy, oo| line::<I, O>(
            r.x.add(ox),
            b.x[inner],
            r.y.add(oy),
            b.y[inner],
            r.out.add(oo),
            b.shape[inner]
        ))
    }
}

unsafe fn each(b: &Broadcast, r: Operands, f: fn(f32, f32) -> f32) {
    let inner = b.rank - 1;
    // SAFETY: see `body`.
    unsafe {
        outer!(b, |ox, oy, oo| for i in 0..b.shape[inner] {
            *r.out.add(oo + i) = f(*r.x.add(ox + i * b.x[inner]), *r.y.add(oy + i * b.y[inner]));
        })
    }
}

/// Strides of 0 and 1 are fast; others go element by element.
#[inline(always)]
unsafe fn line<I: Isa, O: Op>(
    x: *const f32,
    sx: usize,
    y: *const f32,
    sy: usize,
    out: *mut f32,
    n: usize,
) {
    // SAFETY: `n >= 1` elements are valid with these strides.
    unsafe {
        let mut i = 0;
        if sx <= 1 && sy <= 1 {
            let (xs, ys) = (I::splat(*x), I::splat(*y));
            while i + I::LANES <= n {
                let xv = if sx == 1 { I::load(x.add(i)) } else { xs };
                let yv = if sy == 1 { I::load(y.add(i)) } else { ys };
                I::store(out.add(i), O::apply::<I>(xv, yv));
                i += I::LANES;
            }
            if i < n {
                let xv = if sx == 1 {
                    I::load_partial(x.add(i), n - i)
                } else {
                    xs
                };
                let yv = if sy == 1 {
                    I::load_partial(y.add(i), n - i)
                } else {
                    ys
                };
                I::store_partial(out.add(i), O::apply::<I>(xv, yv), n - i);
            }
            return;
        }
        while i < n {
            let v = O::apply::<I>(I::splat(*x.add(i * sx)), I::splat(*y.add(i * sy)));
            I::store_partial(out.add(i), v, 1);
            i += 1;
        }
    }
}
