//! Arithmetic on dimensions: constants fold, symbolic results are interned as expressions with bounds.

use super::Graph;
use cygnet_format::Dim;

/// What gives a symbol its value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SymbolKind {
    /// The shape of a model input.
    Input,
    /// A step, while the program runs (data-dependent shapes).
    Runtime,
}

/// A symbolic dimension with inclusive bounds.
#[derive(Clone, Debug, PartialEq)]
pub struct Symbol {
    /// The name users see, such as `width`.
    pub name: String,
    /// Smallest value.
    pub lo: i64,
    /// Largest value; memory is planned for it.
    pub hi: i64,
    /// Where the value comes from.
    pub kind: SymbolKind,
}

/// A dimension expression over earlier expressions.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Expr {
    /// The value of a symbol.
    Symbol(u32),
    /// A constant, possibly negative (constants `>= 0` alone are plain [`Dim`]s).
    Const(i64),
    /// Sum.
    Add(Dim, Dim),
    /// Difference.
    Sub(Dim, Dim),
    /// Product.
    Mul(Dim, Dim),
    /// Quotient rounded down.
    FloorDiv(Dim, Dim),
    /// Quotient rounded up.
    CeilDiv(Dim, Dim),
    /// Remainder with the sign of the divisor.
    Mod(Dim, Dim),
    /// Smaller value.
    Min(Dim, Dim),
    /// Larger value.
    Max(Dim, Dim),
}

/// `a + b*symbolic` with one symbolic part: the form that simplification works on.
#[derive(Clone, Copy)]
struct Affine {
    base: Option<Dim>,
    factor: i64,
    offset: i64,
}

/// `floor(x / y)`, zero for a zero divisor; saturates.
fn floor_div(x: i64, y: i64) -> i64 {
    let Some(q) = x.checked_div(y) else {
        return if y == 0 { 0 } else { i64::MAX };
    };
    if x % y != 0 && (x < 0) != (y < 0) {
        q - 1
    } else {
        q
    }
}

/// `ceil(x / y)`, zero for a zero divisor; saturates.
fn ceil_div(x: i64, y: i64) -> i64 {
    let Some(q) = x.checked_div(y) else {
        return if y == 0 { 0 } else { i64::MAX };
    };
    if x % y != 0 && (x < 0) == (y < 0) {
        q + 1
    } else {
        q
    }
}

impl Graph {
    /// Adds a symbol and gives the dimension that is its value.
    pub fn add_symbol(&mut self, name: &str, lo: i64, hi: i64, kind: SymbolKind) -> Dim {
        self.symbols.push(Symbol {
            name: name.to_owned(),
            lo,
            hi,
            kind,
        });
        self.intern(Expr::Symbol(self.symbols.len() as u32 - 1))
    }

    /// The dimension of a constant of either sign.
    pub fn dim_const(&mut self, value: i64) -> Dim {
        match i32::try_from(value) {
            Ok(v) if v >= 0 => Dim(v),
            _ => self.intern(Expr::Const(value)),
        }
    }

    fn intern(&mut self, expr: Expr) -> Dim {
        let index = self
            .exprs
            .iter()
            .position(|e| *e == expr)
            .unwrap_or_else(|| {
                self.exprs.push(expr);
                self.exprs.len() - 1
            });
        Dim::expr(index as u32)
    }

    /// The constant value of either sign, if it is one.
    pub fn dim_value(&self, dim: Dim) -> Option<i64> {
        match dim.as_expr() {
            None => Some(dim.0 as i64),
            Some(e) => match self.exprs[e as usize] {
                Expr::Const(v) => Some(v),
                _ => None,
            },
        }
    }

    fn affine(&self, dim: Dim) -> Affine {
        if let Some(v) = self.dim_value(dim) {
            return Affine {
                base: None,
                factor: 0,
                offset: v,
            };
        }
        match self.exprs[dim.as_expr().expect("symbolic") as usize] {
            Expr::Add(a, b) => {
                let (x, y) = (self.affine(a), self.affine(b));
                match (x.base, y.base) {
                    (_, None) => {
                        return Affine {
                            offset: x.offset.saturating_add(y.offset),
                            ..x
                        };
                    }
                    (None, _) => {
                        return Affine {
                            offset: x.offset.saturating_add(y.offset),
                            ..y
                        };
                    }
                    _ => {}
                }
            }
            Expr::Sub(a, b) => {
                let (x, y) = (self.affine(a), self.affine(b));
                if y.base.is_none() {
                    return Affine {
                        offset: x.offset.saturating_sub(y.offset),
                        ..x
                    };
                }
            }
            Expr::Mul(a, b) => {
                let (x, y) = (self.affine(a), self.affine(b));
                if y.base.is_none() {
                    return Affine {
                        base: x.base,
                        factor: x.factor.saturating_mul(y.offset),
                        offset: x.offset.saturating_mul(y.offset),
                    };
                }
            }
            _ => {}
        }
        Affine {
            base: Some(dim),
            factor: 1,
            offset: 0,
        }
    }

    fn from_affine(&mut self, a: Affine) -> Dim {
        let Some(base) = a.base.filter(|_| a.factor != 0) else {
            return self.dim_const(a.offset);
        };
        let mut dim = base;
        if a.factor != 1 {
            let factor = self.dim_const(a.factor);
            dim = self.intern(Expr::Mul(dim, factor));
        }
        if a.offset != 0 {
            let offset = self.dim_const(a.offset);
            dim = self.intern(Expr::Add(dim, offset));
        }
        dim
    }

    /// `a + b`.
    pub fn dim_add(&mut self, a: Dim, b: Dim) -> Dim {
        let (x, y) = (self.affine(a), self.affine(b));
        match (x.base, y.base) {
            (None, _) | (_, None) => self.from_affine(Affine {
                base: x.base.or(y.base),
                factor: x.factor.saturating_add(y.factor),
                offset: x.offset.saturating_add(y.offset),
            }),
            (p, q) if p == q => self.from_affine(Affine {
                base: p,
                factor: x.factor.saturating_add(y.factor),
                offset: x.offset.saturating_add(y.offset),
            }),
            _ => self.intern(Expr::Add(a.min(b), a.max(b))),
        }
    }

    /// `a - b`.
    pub fn dim_sub(&mut self, a: Dim, b: Dim) -> Dim {
        let (x, y) = (self.affine(a), self.affine(b));
        if y.base.is_none() || x.base == y.base {
            let factor = if y.base.is_none() {
                x.factor
            } else {
                x.factor.saturating_sub(y.factor)
            };
            return self.from_affine(Affine {
                base: x.base,
                factor,
                offset: x.offset.saturating_sub(y.offset),
            });
        }
        self.intern(Expr::Sub(a, b))
    }

    /// `a * b`.
    pub fn dim_mul(&mut self, a: Dim, b: Dim) -> Dim {
        let (x, y) = (self.affine(a), self.affine(b));
        match (x.base, y.base) {
            (_, None) => self.from_affine(Affine {
                base: x.base,
                factor: x.factor.saturating_mul(y.offset),
                offset: x.offset.saturating_mul(y.offset),
            }),
            (None, _) => self.from_affine(Affine {
                base: y.base,
                factor: y.factor.saturating_mul(x.offset),
                offset: y.offset.saturating_mul(x.offset),
            }),
            _ => self.intern(Expr::Mul(a.min(b), a.max(b))),
        }
    }

    /// `floor(a / b)`. Division by a constant zero gives zero.
    pub fn dim_floor_div(&mut self, a: Dim, b: Dim) -> Dim {
        self.divide(a, b, false)
    }

    /// `ceil(a / b)`. Division by a constant zero gives zero.
    pub fn dim_ceil_div(&mut self, a: Dim, b: Dim) -> Dim {
        self.divide(a, b, true)
    }

    fn divide(&mut self, a: Dim, b: Dim, ceil: bool) -> Dim {
        if let Some(d) = self.dim_value(b) {
            if d == 0 {
                return Dim(0);
            }
            if d == 1 {
                return a;
            }
            let x = self.affine(a);
            if x.base.is_none() {
                let q = if ceil {
                    ceil_div(x.offset, d)
                } else {
                    floor_div(x.offset, d)
                };
                return self.dim_const(q);
            }
            if d > 0 && x.factor % d == 0 {
                let q = if ceil {
                    ceil_div(x.offset, d)
                } else {
                    floor_div(x.offset, d)
                };
                return self.from_affine(Affine {
                    base: x.base,
                    factor: x.factor / d,
                    offset: q,
                });
            }
        }
        if a == b {
            return Dim::ONE;
        }
        // (p * q) / p = q, the usual outcome of flattening and unflattening.
        if let Some(e) = a.as_expr()
            && let Expr::Mul(p, q) = self.exprs[e as usize]
        {
            if p == b {
                return q;
            }
            if q == b {
                return p;
            }
        }
        self.intern(if ceil {
            Expr::CeilDiv(a, b)
        } else {
            Expr::FloorDiv(a, b)
        })
    }

    /// `a mod b`, sign of the divisor.
    pub fn dim_mod(&mut self, a: Dim, b: Dim) -> Dim {
        match (self.dim_value(a), self.dim_value(b)) {
            (_, Some(0)) | (_, Some(1)) => Dim(0),
            (Some(x), Some(y)) => {
                self.dim_const(x.saturating_sub(y.saturating_mul(floor_div(x, y))))
            }
            _ => self.intern(Expr::Mod(a, b)),
        }
    }

    /// The smaller of two.
    pub fn dim_min(&mut self, a: Dim, b: Dim) -> Dim {
        let ((al, ah), (bl, bh)) = (self.dim_bounds(a), self.dim_bounds(b));
        if a == b || ah <= bl {
            return a;
        }
        if bh <= al {
            return b;
        }
        self.intern(Expr::Min(a.min(b), a.max(b)))
    }

    /// The larger of two.
    pub fn dim_max(&mut self, a: Dim, b: Dim) -> Dim {
        let ((al, ah), (bl, bh)) = (self.dim_bounds(a), self.dim_bounds(b));
        if a == b || al >= bh {
            return a;
        }
        if bl >= ah {
            return b;
        }
        self.intern(Expr::Max(a.min(b), a.max(b)))
    }

    /// Inclusive bounds by interval arithmetic.
    pub fn dim_bounds(&self, dim: Dim) -> (i64, i64) {
        let Some(e) = dim.as_expr() else {
            return (dim.0 as i64, dim.0 as i64);
        };
        let corners = |a: Dim, b: Dim, f: &dyn Fn(i64, i64) -> i64| {
            let ((al, ah), (bl, bh)) = (self.dim_bounds(a), self.dim_bounds(b));
            let all = [f(al, bl), f(al, bh), f(ah, bl), f(ah, bh)];
            (
                all.into_iter().min().expect("four"),
                all.into_iter().max().expect("four"),
            )
        };
        match self.exprs[e as usize] {
            Expr::Symbol(s) => (self.symbols[s as usize].lo, self.symbols[s as usize].hi),
            Expr::Const(v) => (v, v),
            Expr::Add(a, b) => corners(a, b, &|x, y| x.saturating_add(y)),
            Expr::Sub(a, b) => corners(a, b, &|x, y| x.saturating_sub(y)),
            Expr::Mul(a, b) => corners(a, b, &|x, y| x.saturating_mul(y)),
            Expr::FloorDiv(a, b) => corners(a, b, &|x, y| floor_div(x, y)),
            Expr::CeilDiv(a, b) => corners(a, b, &|x, y| ceil_div(x, y)),
            Expr::Mod(_, b) => (0, (self.dim_bounds(b).1 - 1).max(0)),
            Expr::Min(a, b) => corners(a, b, &|x, y| x.min(y)),
            Expr::Max(a, b) => corners(a, b, &|x, y| x.max(y)),
        }
    }

    /// The product of dimensions.
    pub fn dim_product(&mut self, dims: &[Dim]) -> Dim {
        dims.iter().fold(Dim::ONE, |acc, &d| self.dim_mul(acc, d))
    }

    /// The dimension of a NumPy broadcast; `None` when two constants clash.
    pub fn dim_broadcast(&mut self, a: Dim, b: Dim) -> Option<Dim> {
        match (a, b) {
            _ if a == b => Some(a),
            (Dim::ONE, d) | (d, Dim::ONE) => Some(d),
            (a, b) => match (a.as_const(), b.as_const()) {
                (Some(_), Some(_)) => None,
                // A symbolic axis against a constant above one can only be that constant; two symbolic axes are taken as equal.
                (Some(_), None) => Some(a),
                (None, Some(_)) => Some(b),
                (None, None) => Some(self.dim_max(a, b)),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn affine_expressions_fold() {
        let mut g = Graph::default();
        let w = g.add_symbol("w", 32, 960, SymbolKind::Input);
        let w1 = g.dim_add(w, Dim(1));
        assert_eq!(g.dim_sub(w1, Dim(1)), w);
        let twice = g.dim_mul(w, Dim(2));
        assert_eq!(g.dim_floor_div(twice, Dim(2)), w);
        let half = g.dim_floor_div(w1, Dim(2));
        assert_eq!(g.dim_bounds(half), (16, 480));
        let zero = g.dim_sub(w, w);
        assert_eq!(zero, Dim(0));
        let h = g.add_symbol("h", 1, 9, SymbolKind::Input);
        let area = g.dim_mul(w, h);
        assert_eq!(g.dim_floor_div(area, h), w);
        assert_eq!(g.dim_broadcast(w, Dim::ONE), Some(w));
        assert_eq!(g.dim_broadcast(Dim(2), Dim(3)), None);
    }
}
