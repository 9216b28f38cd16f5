//! Rows of common functions whose elements stay in their own type: widening would cost more than the function.
use crate::broadcast::{Broadcast, Row};
use cygnet_format::DType;
use cygnet_format::op::BinaryKind;

/// `y[i] = f(a[i], b[i])` on bytes: all three hold the same number of elements.
pub(super) type Run = fn(&[u8], &[u8], &mut [u8]);

macro_rules! run {
    ($t:ty, |$a:ident, $b:ident| $f:expr) => {
        |a, b, y| {
            let (a, b) = (a.as_chunks().0, b.as_chunks().0);
            for ((y, a), b) in y.as_chunks_mut().0.iter_mut().zip(a).zip(b) {
                let ($a, $b) = (<$t>::from_le_bytes(*a), <$t>::from_le_bytes(*b));
                *y = ($f).to_le_bytes();
            }
        }
    };
}

/// Arithmetic of integers whose low bits do not depend on the sign.
pub(super) fn arithmetic(kind: BinaryKind, dtype: DType) -> Option<Run> {
    macro_rules! sizes {
        ($f:ident) => {
            match dtype.size() {
                1 => run!(u8, |a, b| a.$f(b)),
                2 => run!(u16, |a, b| a.$f(b)),
                4 => run!(u32, |a, b| a.$f(b)),
                _ => run!(u64, |a, b| a.$f(b)),
            }
        };
    }
    let whole = crate::is_number(dtype) && dtype.is_integer();
    Some(match kind {
        BinaryKind::Add if whole => sizes!(wrapping_add),
        BinaryKind::Sub if whole => sizes!(wrapping_sub),
        BinaryKind::Mul if whole => sizes!(wrapping_mul),
        _ => return None,
    })
}

/// Comparisons of the types that models compare; `Greater` and `GreaterOrEqual` are those of swapped operands.
pub(super) fn comparison(kind: BinaryKind, dtype: DType) -> Option<Run> {
    macro_rules! types {
        (|$a:ident, $b:ident| $f:expr) => {
            match dtype {
                DType::F32 => run!(f32, |$a, $b| $f as u8),
                DType::I8 => run!(i8, |$a, $b| $f as u8),
                DType::U8 => run!(u8, |$a, $b| $f as u8),
                DType::I32 => run!(i32, |$a, $b| $f as u8),
                DType::I64 => run!(i64, |$a, $b| $f as u8),
                _ => return None,
            }
        };
    }
    Some(match kind {
        BinaryKind::Equal => types!(|a, b| (a == b)),
        BinaryKind::Less => types!(|a, b| (a < b)),
        BinaryKind::LessOrEqual => types!(|a, b| (a <= b)),
        _ => return None,
    })
}

/// Bytes of an operand that are copied at a time.
const COPY: usize = 1024;

/// An element over and over, as long as rows need it.
struct Repeated {
    bytes: [u8; COPY],
    /// The element, and how many of it are there.
    held: (usize, usize),
}

impl Repeated {
    const NONE: Repeated = Repeated {
        bytes: [0; COPY],
        held: (usize::MAX, 0),
    };

    /// `len` elements of `size` bytes from `at` on, all the same when `step` is zero.
    fn row<'a>(
        &'a mut self,
        x: &'a [u8],
        (at, step): (usize, usize),
        len: usize,
        size: usize,
    ) -> &'a [u8] {
        if step != 0 {
            return &x[at * size..(at + len) * size];
        }
        let total = len * size;
        if self.held.0 != at || self.held.1 < len {
            self.bytes[..size].copy_from_slice(&x[at * size..(at + 1) * size]);
            let mut done = size;
            while done < total {
                let more = done.min(total - done);
                self.bytes.copy_within(..more, done);
                done += more;
            }
            self.held = (at, len);
        }
        &self.bytes[..total]
    }
}

/// Runs `f` over all rows; elements of operands have `size` bytes, those of the output `out`.
pub(super) fn rows(
    plan: &Broadcast,
    f: Run,
    (a, b): (&[u8], &[u8]),
    size: usize,
    y: &mut [u8],
    out: usize,
) {
    let (sa, sb) = plan.steps();
    let most = if sa * sb == 1 {
        usize::MAX
    } else {
        COPY / size
    };
    let (mut av, mut bv) = (Repeated::NONE, Repeated::NONE);
    plan.for_each(most, &mut |r: Row| {
        let a = av.row(a, (r.a, sa), r.len, size);
        let b = bv.row(b, (r.b, sb), r.len, size);
        f(a, b, &mut y[r.out * out..(r.out + r.len) * out]);
    });
}

/// As [`rows`] with `y` as the second operand (`swapped`) or the first, `other` with the places of both.
pub(super) fn rows_in_place(
    plan: &Broadcast,
    f: Run,
    y: &mut [u8],
    other: &[u8],
    swapped: bool,
    size: usize,
) {
    let (step, _) = plan.steps();
    let (mut copy, mut ov) = ([0; COPY], Repeated::NONE);
    plan.for_each(COPY / size, &mut |r: Row| {
        let o = ov.row(other, (r.a, step), r.len, size);
        let y = &mut y[r.out * size..(r.out + r.len) * size];
        let copy = &mut copy[..y.len()];
        copy.copy_from_slice(y);
        if swapped {
            f(o, copy, y);
        } else {
            f(copy, o, y);
        }
    });
}
