//! NumPy broadcasting of two operands, row by row.
use crate::error::KernelError;
use cygnet_format::MAX_RANK;

/// A row of the output with the places of its operands.
pub(crate) struct Row {
    pub out: usize,
    pub len: usize,
    pub a: usize,
    pub b: usize,
}

/// How two operands walk along an output.
pub(crate) struct Broadcast {
    rank: usize,
    shape: [usize; MAX_RANK],
    a: [usize; MAX_RANK],
    b: [usize; MAX_RANK],
    total: usize,
}

/// Strides of an operand of `shape` in an output of shape `out`; axes of length one get stride zero.
pub(crate) fn strides(shape: &[usize], out: &[usize]) -> Result<[usize; MAX_RANK], KernelError> {
    if out.len() > MAX_RANK || shape.len() > out.len() {
        return Err(KernelError::Parameter);
    }
    let lead = out.len() - shape.len();
    let mut s = [0; MAX_RANK];
    let mut step = 1usize;
    for i in (0..shape.len()).rev() {
        if shape[i] == out[lead + i] && shape[i] != 1 {
            s[lead + i] = step;
        } else if shape[i] != 1 {
            return Err(KernelError::Parameter);
        }
        step = step.checked_mul(shape[i]).ok_or(KernelError::Overflow)?;
    }
    Ok(s)
}

impl Broadcast {
    pub fn new(a: &[usize], b: &[usize], out: &[usize]) -> Result<Self, KernelError> {
        let (sa, sb) = (strides(a, out)?, strides(b, out)?);
        let total = crate::error::product(out)?;
        let mut p = Broadcast {
            rank: 0,
            shape: [1; MAX_RANK],
            a: [0; MAX_RANK],
            b: [0; MAX_RANK],
            total,
        };
        for i in 0..out.len() {
            if out[i] == 1 {
                continue;
            }
            let r = p.rank;
            // Axes that both operands walk contiguously merge into one.
            if r > 0 && p.a[r - 1] == sa[i] * out[i] && p.b[r - 1] == sb[i] * out[i] {
                p.shape[r - 1] *= out[i];
                (p.a[r - 1], p.b[r - 1]) = (sa[i], sb[i]);
            } else {
                p.shape[r] = out[i];
                (p.a[r], p.b[r]) = (sa[i], sb[i]);
                p.rank += 1;
            }
        }
        if p.rank == 0 {
            p.rank = 1;
        }
        Ok(p)
    }

    /// Steps of the operands within a row: 0 or 1.
    pub fn steps(&self) -> (usize, usize) {
        (self.a[self.rank - 1], self.b[self.rank - 1])
    }

    /// Calls `f` with every row, in parts of at most `most` elements.
    pub fn for_each(&self, most: usize, f: &mut dyn FnMut(Row)) {
        if self.total == 0 {
            return;
        }
        let last = self.rank - 1;
        let len = self.shape[last];
        let mut index = [0usize; MAX_RANK];
        let (mut a, mut b, mut out) = (0, 0, 0);
        loop {
            let (sa, sb) = self.steps();
            for at in (0..len).step_by(most) {
                f(Row {
                    out: out + at,
                    len: most.min(len - at),
                    a: a + at * sa,
                    b: b + at * sb,
                });
            }
            out += len;
            let mut axis = last;
            loop {
                if axis == 0 {
                    return;
                }
                axis -= 1;
                index[axis] += 1;
                a += self.a[axis];
                b += self.b[axis];
                if index[axis] < self.shape[axis] {
                    break;
                }
                a -= self.a[axis] * self.shape[axis];
                b -= self.b[axis] * self.shape[axis];
                index[axis] = 0;
            }
        }
    }
}
