//! Symbolic expressions over bounded symbols: postfix programs, evaluated without a heap.

/// Deepest evaluation stack of an expression.
pub const MAX_EXPR_STACK: usize = 16;

/// Marks a symbol or expression without a value.
pub const UNBOUND: i64 = i64::MIN;

/// One postfix operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ExprOp {
    /// Pushes a constant.
    Const(i64),
    /// Pushes the value of a symbol.
    Symbol(u32),
    /// `a b -> a + b`.
    Add,
    /// `a b -> a - b`.
    Sub,
    /// `a b -> a * b`.
    Mul,
    /// `a b -> floor(a / b)`.
    FloorDiv,
    /// `a b -> ceil(a / b)`.
    CeilDiv,
    /// `a b -> a - b*floor(a / b)`.
    Mod,
    /// `a b -> min(a, b)`.
    Min,
    /// `a b -> max(a, b)`.
    Max,
}

impl ExprOp {
    /// The stored code.
    pub const fn code(self) -> u32 {
        match self {
            ExprOp::Const(_) => 0,
            ExprOp::Symbol(_) => 1,
            ExprOp::Add => 2,
            ExprOp::Sub => 3,
            ExprOp::Mul => 4,
            ExprOp::FloorDiv => 5,
            ExprOp::CeilDiv => 6,
            ExprOp::Mod => 7,
            ExprOp::Min => 8,
            ExprOp::Max => 9,
        }
    }

    /// The operation of a stored code with its operands; `None` when unknown or when an unused operand is not zero.
    pub const fn from_parts(code: u32, symbol: u32, value: i64) -> Option<ExprOp> {
        match (code, symbol, value) {
            (0, 0, v) => Some(ExprOp::Const(v)),
            (1, s, 0) => Some(ExprOp::Symbol(s)),
            (2, 0, 0) => Some(ExprOp::Add),
            (3, 0, 0) => Some(ExprOp::Sub),
            (4, 0, 0) => Some(ExprOp::Mul),
            (5, 0, 0) => Some(ExprOp::FloorDiv),
            (6, 0, 0) => Some(ExprOp::CeilDiv),
            (7, 0, 0) => Some(ExprOp::Mod),
            (8, 0, 0) => Some(ExprOp::Min),
            (9, 0, 0) => Some(ExprOp::Max),
            _ => None,
        }
    }
}

/// Evaluates a postfix program. `None` when a symbol is unbound, on overflow, or on division by a number that is not
/// positive; a malformed program gives `None` too.
pub fn evaluate(ops: impl Iterator<Item = ExprOp>, symbol: impl Fn(u32) -> i64) -> Option<i64> {
    let mut stack = [0i64; MAX_EXPR_STACK];
    let mut depth = 0usize;
    for op in ops {
        let value = match op {
            ExprOp::Const(v) => v,
            ExprOp::Symbol(s) => {
                let v = symbol(s);
                if v == UNBOUND {
                    return None;
                }
                v
            }
            _ => {
                depth = depth.checked_sub(2)?;
                let (a, b) = (*stack.get(depth)?, *stack.get(depth + 1)?);
                match op {
                    ExprOp::Add => a.checked_add(b)?,
                    ExprOp::Sub => a.checked_sub(b)?,
                    ExprOp::Mul => a.checked_mul(b)?,
                    ExprOp::FloorDiv if b > 0 => a.div_euclid(b),
                    ExprOp::CeilDiv if b > 0 => {
                        let floor = a.div_euclid(b);
                        if a.rem_euclid(b) != 0 {
                            floor.checked_add(1)?
                        } else {
                            floor
                        }
                    }
                    ExprOp::Mod if b > 0 => a.rem_euclid(b),
                    ExprOp::Min => a.min(b),
                    ExprOp::Max => a.max(b),
                    _ => return None,
                }
            }
        };
        *stack.get_mut(depth)? = value;
        depth += 1;
    }
    (depth == 1 && stack[0] != UNBOUND).then_some(stack[0])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(ops: &[ExprOp], x: i64) -> Option<i64> {
        evaluate(ops.iter().copied(), |_| x)
    }

    #[test]
    fn division_rounds_as_named() {
        use ExprOp::*;
        for (x, floor, ceil, rem) in [(7, 3, 4, 1), (-7, -4, -3, 1), (8, 4, 4, 0)] {
            assert_eq!(run(&[Symbol(0), Const(2), FloorDiv], x), Some(floor));
            assert_eq!(run(&[Symbol(0), Const(2), CeilDiv], x), Some(ceil));
            assert_eq!(run(&[Symbol(0), Const(2), Mod], x), Some(rem));
        }
        assert_eq!(run(&[Symbol(0), Const(0), FloorDiv], 1), None);
        assert_eq!(run(&[Symbol(0), Const(2), Mul], i64::MAX), None);
        assert_eq!(run(&[Symbol(0)], UNBOUND), None);
        assert_eq!(run(&[Symbol(0), Symbol(0)], 1), None);
        assert_eq!(run(&[Add], 1), None);
    }
}
