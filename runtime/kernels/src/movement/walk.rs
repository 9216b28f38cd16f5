//! The loop nest of a strided copy.

use super::{MAX_RANK, Side};

/// A loop nest over two strided places. Ranks here are at least one.
pub(super) struct Walk {
    pub rank: usize,
    pub shape: [usize; MAX_RANK],
    pub from: [isize; MAX_RANK],
    pub to: [isize; MAX_RANK],
    offsets: (usize, usize),
}

/// True when the innermost axis is dense on both sides.
pub(super) fn contiguous(walk: &Walk) -> bool {
    walk.from[walk.rank - 1] == 1 && walk.to[walk.rank - 1] == 1
}

impl Walk {
    /// Axes of length one are left out.
    pub fn new(shape: &[usize], from: Side<'_>, to: Side<'_>) -> Walk {
        let mut walk = Walk {
            rank: 0,
            shape: [1; MAX_RANK],
            from: [0; MAX_RANK],
            to: [0; MAX_RANK],
            offsets: (from.offset, to.offset),
        };
        for axis in 0..shape.len() {
            if shape[axis] != 1 {
                walk.shape[walk.rank] = shape[axis];
                walk.from[walk.rank] = from.strides[axis];
                walk.to[walk.rank] = to.strides[axis];
                walk.rank += 1;
            }
        }
        if walk.rank == 0 {
            (walk.rank, walk.from[0], walk.to[0]) = (1, 1, 1);
        }
        walk
    }

    /// Joins neighbouring axes that are one axis on both sides.
    pub fn merge(&mut self) {
        let mut last = 0;
        for axis in 1..self.rank {
            let n = self.shape[axis] as isize;
            if self.from[last] == self.from[axis] * n && self.to[last] == self.to[axis] * n {
                self.shape[last] *= self.shape[axis];
            } else {
                last += 1;
                self.shape[last] = self.shape[axis];
            }
            (self.from[last], self.to[last]) = (self.from[axis], self.to[axis]);
        }
        self.rank = last + 1;
    }

    /// True for a matrix transpose in the two innermost axes, after moving the axis that is dense in the source next to
    /// the last one, which is dense in the destination.
    pub fn transposes_last(&mut self) -> bool {
        let last = self.rank - 1;
        if self.to[last] != 1 || self.from[last] <= 1 {
            return false;
        }
        let Some(dense) = (0..last).find(|&a| self.from[a] == 1 && self.to[a] > 0) else {
            return false;
        };
        for axis in dense..last - 1 {
            self.shape.swap(axis, axis + 1);
            self.from.swap(axis, axis + 1);
            self.to.swap(axis, axis + 1);
        }
        true
    }

    /// Calls `f(source, destination)` for the start of every innermost row.
    pub fn each_row(&mut self, f: &mut dyn FnMut(usize, usize)) {
        self.rank -= 1;
        self.each(f);
        self.rank += 1;
    }

    /// Calls `f(source, destination)` for every position of the nest.
    pub fn each(&self, f: &mut dyn FnMut(usize, usize)) {
        let mut index = [0usize; MAX_RANK];
        let (mut s, mut d) = (self.offsets.0 as isize, self.offsets.1 as isize);
        loop {
            f(s as usize, d as usize);
            let mut axis = self.rank;
            loop {
                if axis == 0 {
                    return;
                }
                axis -= 1;
                index[axis] += 1;
                s += self.from[axis];
                d += self.to[axis];
                if index[axis] < self.shape[axis] {
                    break;
                }
                s -= self.from[axis] * self.shape[axis] as isize;
                d -= self.to[axis] * self.shape[axis] as isize;
                index[axis] = 0;
            }
        }
    }
}
