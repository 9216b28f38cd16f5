//! Dimensions: constants or references to bounded symbolic expressions.

use crate::attr::List;

/// Largest rank of a tensor.
pub const MAX_RANK: usize = 8;

/// A dimension: a constant `>= 0`, or the expression with index `-(value) - 1` in the program's expression table.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Dim(pub i32);

impl Dim {
    /// A dimension of one.
    pub const ONE: Dim = Dim(1);

    /// The dimension given by expression `index`.
    pub const fn expr(index: u32) -> Dim {
        Dim(-(index as i32) - 1)
    }

    /// The constant, if this is one.
    pub const fn as_const(self) -> Option<usize> {
        if self.0 >= 0 {
            Some(self.0 as usize)
        } else {
            None
        }
    }

    /// The expression index, if this is symbolic.
    pub const fn as_expr(self) -> Option<u32> {
        if self.0 < 0 {
            Some((-(self.0 + 1)) as u32)
        } else {
            None
        }
    }
}

/// Up to [`MAX_RANK`] dimensions.
pub type Dims = List<Dim, MAX_RANK>;

/// Up to [`MAX_RANK`] plain integers: axes, permutations, strides, steps.
pub type Axes = List<i32, MAX_RANK>;

/// Index of a block (a sequence of steps: the main program or a body of `If`, `Loop`, `Scan`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct BlockId(pub u32);
