//! Strided copies of elements of any size.

use crate::error::RunError;
use cygnet_format::MAX_RANK;

/// One side of a copy: where it begins and the step of every axis, in elements.
#[derive(Clone, Copy, Default)]
pub(crate) struct Side {
    pub start: usize,
    pub strides: [isize; MAX_RANK],
}

impl Side {
    /// A dense side with these dimensions.
    pub fn dense(dims: &[usize]) -> Side {
        let mut side = Side::default();
        let mut step = 1isize;
        for (axis, &d) in dims.iter().enumerate().rev() {
            side.strides[axis] = step;
            step = step.wrapping_mul(d.max(1) as isize);
        }
        side
    }

    /// The smallest and largest element touched, when inside `len`.
    fn check(&self, dims: &[usize], len: usize) -> Option<()> {
        let (mut low, mut high) = (self.start as i128, self.start as i128);
        for (axis, &d) in dims.iter().enumerate() {
            let reach = self.strides[axis] as i128 * (d as i128 - 1);
            if reach < 0 {
                low += reach
            } else {
                high += reach
            }
        }
        (low >= 0 && high < len as i128).then_some(())
    }
}

struct Plan {
    rank: usize,
    dims: [usize; MAX_RANK],
    to: [isize; MAX_RANK],
    from: [isize; MAX_RANK],
}

impl Plan {
    /// Drops axes of length one and joins axes that are one run on both sides.
    fn new(dims: &[usize], to: &Side, from: &Side) -> Plan {
        let mut plan = Plan {
            rank: 0,
            dims: [1; MAX_RANK],
            to: [0; MAX_RANK],
            from: [0; MAX_RANK],
        };
        for (axis, &d) in dims.iter().enumerate() {
            if d == 1 {
                continue;
            }
            let (t, f) = (to.strides[axis], from.strides[axis]);
            if plan.rank > 0 {
                let last = plan.rank - 1;
                let n = d as isize;
                if plan.to[last] == t.wrapping_mul(n) && plan.from[last] == f.wrapping_mul(n) {
                    plan.dims[last] *= d;
                    (plan.to[last], plan.from[last]) = (t, f);
                    continue;
                }
            }
            (
                plan.dims[plan.rank],
                plan.to[plan.rank],
                plan.from[plan.rank],
            ) = (d, t, f);
            plan.rank += 1;
        }
        plan
    }
}

/// Copies the box `dims` of elements of `size` bytes from one strided place to another.
///
/// # Errors
/// When either side leaves its bytes.
pub(crate) fn copy(
    dims: &[usize],
    size: usize,
    to: &mut [u8],
    to_side: &Side,
    from: &[u8],
    from_side: &Side,
) -> Result<(), RunError> {
    let outside = || RunError::shape("elements lie outside the tensor");
    if dims.len() > MAX_RANK || size == 0 {
        return Err(outside());
    }
    if dims.contains(&0) {
        return Ok(());
    }
    to_side.check(dims, to.len() / size).ok_or_else(outside)?;
    from_side
        .check(dims, from.len() / size)
        .ok_or_else(outside)?;
    let plan = Plan::new(dims, to_side, from_side);
    match size {
        1 => run::<1>(&plan, to, to_side.start, from, from_side.start),
        2 => run::<2>(&plan, to, to_side.start, from, from_side.start),
        4 => run::<4>(&plan, to, to_side.start, from, from_side.start),
        8 => run::<8>(&plan, to, to_side.start, from, from_side.start),
        _ => return Err(RunError::unsupported("elements of this size")),
    }
    Ok(())
}

fn run<const N: usize>(
    plan: &Plan,
    to: &mut [u8],
    to_start: usize,
    from: &[u8],
    from_start: usize,
) {
    let (to, _) = to.as_chunks_mut::<N>();
    let (from, _) = from.as_chunks::<N>();
    let rank = plan.rank;
    if rank == 0 {
        to[to_start] = from[from_start];
        return;
    }
    // The two innermost axes are one call; an odometer walks the others.
    let outer = rank.saturating_sub(2);
    let mut index = [0usize; MAX_RANK];
    let (mut t, mut f) = (to_start as isize, from_start as isize);
    loop {
        if rank == 1 {
            line::<N>(plan.dims[0], to, t, plan.to[0], from, f, plan.from[0]);
        } else {
            let axes = (rank - 2, rank - 1);
            plane::<N>(plan, axes, to, t, from, f);
        }
        let mut axis = outer;
        loop {
            if axis == 0 {
                return;
            }
            axis -= 1;
            index[axis] += 1;
            t += plan.to[axis];
            f += plan.from[axis];
            if index[axis] < plan.dims[axis] {
                break;
            }
            t -= plan.to[axis] * plan.dims[axis] as isize;
            f -= plan.from[axis] * plan.dims[axis] as isize;
            index[axis] = 0;
        }
    }
}

#[inline(always)]
fn line<const N: usize>(
    n: usize,
    to: &mut [[u8; N]],
    t: isize,
    ts: isize,
    from: &[[u8; N]],
    f: isize,
    fs: isize,
) {
    match (ts, fs) {
        (1, 1) => to[t as usize..][..n].copy_from_slice(&from[f as usize..][..n]),
        (1, 0) => to[t as usize..][..n].fill(from[f as usize]),
        (1, _) => {
            let mut f = f;
            for x in &mut to[t as usize..][..n] {
                *x = from[f as usize];
                f += fs;
            }
        }
        _ => {
            let (mut t, mut f) = (t, f);
            for _ in 0..n {
                to[t as usize] = from[f as usize];
                t += ts;
                f += fs;
            }
        }
    }
}

/// Two axes; where the source runs along the outer one, in square tiles that keep both sides in cache.
fn plane<const N: usize>(
    plan: &Plan,
    (a, b): (usize, usize),
    to: &mut [[u8; N]],
    t: isize,
    from: &[[u8; N]],
    f: isize,
) {
    const TILE: usize = 16;
    let (na, nb) = (plan.dims[a], plan.dims[b]);
    let (ta, tb, fa, fb) = (plan.to[a], plan.to[b], plan.from[a], plan.from[b]);
    if tb == 1 && fa == 1 && fb != 1 && na >= TILE && nb >= 4 {
        for a0 in (0..na).step_by(TILE) {
            let width = TILE.min(na - a0);
            for b0 in (0..nb).step_by(TILE) {
                let height = TILE.min(nb - b0);
                let mut tile = [[[0u8; N]; TILE]; TILE];
                for j in 0..height {
                    let at = f + (b0 + j) as isize * fb + a0 as isize;
                    let row = &from[at as usize..][..width];
                    for (i, &x) in row.iter().enumerate() {
                        tile[i][j] = x;
                    }
                }
                for (i, row) in tile.iter().enumerate().take(width) {
                    let at = t + (a0 + i) as isize * ta + b0 as isize;
                    to[at as usize..][..height].copy_from_slice(&row[..height]);
                }
            }
        }
        return;
    }
    for i in 0..na as isize {
        line::<N>(nb, to, t + i * ta, tb, from, f + i * fa, fb);
    }
}
