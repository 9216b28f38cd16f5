//! Building blocks: the operators that translations compose, with their types worked out.

use super::error::Refusal;
use super::node::NodeCx;
use crate::ir::{Type, ValueId};
use cygnet_format::op::{
    Binary, BinaryKind, Cast, Concat, Expand, PackB, Reduce, ReduceKind, Reshape, Slice, Transpose,
    Unary, UnaryKind,
};
use cygnet_format::{Axes, DType, Dim, Dims};

/// A list of axes or steps; callers have checked the rank.
pub(crate) fn axes(values: impl IntoIterator<Item = i64>) -> Result<Axes, Refusal> {
    let mut list = Axes::default();
    for v in values {
        let v =
            i32::try_from(v).map_err(|_| Refusal::invalid(format!("an attribute holds {v}")))?;
        list.push(v)
            .ok_or_else(|| Refusal::unsupported("an attribute lists more than 8 numbers"))?;
    }
    Ok(list)
}

impl NodeCx<'_> {
    /// The same elements in another shape.
    pub fn reshape(&mut self, v: ValueId, shape: &[Dim]) -> ValueId {
        if self.shape(v) == shape {
            return v;
        }
        let ty = Type::new(self.dtype(v), shape);
        self.emit(Reshape {}, &[v], ty)
    }

    /// `y.shape[i] = x.shape[perm[i]]`.
    pub fn transpose(&mut self, v: ValueId, perm: &[usize]) -> ValueId {
        if perm.iter().enumerate().all(|(i, &p)| i == p) {
            return v;
        }
        let shape = self.shape(v);
        let shape: Vec<Dim> = perm.iter().map(|&p| shape[p]).collect();
        let ty = Type::new(self.dtype(v), &shape);
        let perm = perm.iter().map(|&p| p as i32).collect();
        self.emit(Transpose { perm }, &[v], ty)
    }

    /// `[N, C, S..]` to `[N, S.., C]`.
    pub fn to_channels_last(&mut self, v: ValueId) -> ValueId {
        let rank = self.rank(v);
        if rank < 3 {
            return v;
        }
        let perm: Vec<usize> = std::iter::once(0)
            .chain(2..rank)
            .chain([1])
            .take(rank)
            .collect();
        self.transpose(v, &perm)
    }

    /// `[N, S.., C]` to `[N, C, S..]`.
    pub fn to_channels_first(&mut self, v: ValueId) -> ValueId {
        let rank = self.rank(v);
        if rank < 3 {
            return v;
        }
        let perm: Vec<usize> = [0, rank - 1]
            .into_iter()
            .chain(1..rank - 1)
            .take(rank)
            .collect();
        self.transpose(v, &perm)
    }

    /// The elements in another type.
    pub fn cast(&mut self, v: ValueId, dtype: DType) -> ValueId {
        self.cast_with(v, dtype, true)
    }

    /// As [`NodeCx::cast`]; `saturate` matters for 8-bit floats.
    pub fn cast_with(&mut self, v: ValueId, dtype: DType, saturate: bool) -> ValueId {
        if self.dtype(v) == dtype {
            return v;
        }
        let ty = Type {
            dtype,
            shape: self.ty(v).shape,
        };
        self.emit(Cast { saturate }, &[v], ty)
    }

    /// An elementwise function.
    pub fn unary(&mut self, kind: UnaryKind, v: ValueId) -> ValueId {
        self.unary_ab(kind, v, 0.0, 0.0)
    }

    /// An elementwise function with parameters.
    pub fn unary_ab(&mut self, kind: UnaryKind, v: ValueId, a: f32, b: f32) -> ValueId {
        let mut ty = self.ty(v);
        if matches!(kind, UnaryKind::IsNan | UnaryKind::IsInf) {
            ty.dtype = DType::Bool;
        }
        self.emit(Unary { kind, a, b }, &[v], ty)
    }

    /// The shape of a NumPy broadcast.
    pub fn broadcast(&mut self, a: &[Dim], b: &[Dim]) -> Result<Vec<Dim>, Refusal> {
        let rank = a.len().max(b.len());
        let at = |s: &[Dim], i: usize| {
            if i + s.len() >= rank {
                s[i + s.len() - rank]
            } else {
                Dim::ONE
            }
        };
        (0..rank)
            .map(|i| {
                let (x, y) = (at(a, i), at(b, i));
                self.graph().dim_broadcast(x, y).ok_or_else(|| {
                    Refusal::invalid(format!(
                        "its operands do not broadcast: {a:?} and {b:?} differ on axis {i}"
                    ))
                })
            })
            .collect()
    }

    /// An elementwise function of two operands of one type, with broadcasting. Comparisons and logic give bool.
    pub fn binary(&mut self, kind: BinaryKind, a: ValueId, b: ValueId) -> Result<ValueId, Refusal> {
        let (x, y) = (self.dtype(a), self.dtype(b));
        let shift = matches!(kind, BinaryKind::Pow);
        if x != y && !shift {
            return Err(Refusal::invalid(format!(
                "its operands have the types {x} and {y}"
            )));
        }
        let shape = self.broadcast(&self.shape(a), &self.shape(b))?;
        let dtype = match kind {
            BinaryKind::Equal
            | BinaryKind::Less
            | BinaryKind::LessOrEqual
            | BinaryKind::Greater
            | BinaryKind::GreaterOrEqual
            | BinaryKind::And
            | BinaryKind::Or
            | BinaryKind::Xor => DType::Bool,
            _ => x,
        };
        let ty = self.typed(dtype, &shape)?;
        Ok(self.emit(Binary { kind }, &[a, b], ty))
    }

    /// A scalar constant (rank zero) of a floating-point or integer type.
    pub fn scalar(&mut self, value: f32, dtype: DType) -> ValueId {
        let bytes = match dtype {
            DType::F32 => value.to_le_bytes().to_vec(),
            DType::F64 => (value as f64).to_le_bytes().to_vec(),
            DType::F16 => half::f16::from_f32(value).to_le_bytes().to_vec(),
            DType::BF16 => half::bf16::from_f32(value).to_le_bytes().to_vec(),
            DType::Bool => vec![(value != 0.0) as u8],
            other => (value as i64).to_le_bytes()[..other.size()].to_vec(),
        };
        self.constant(Type::fixed(dtype, &[]), bytes)
    }

    /// Elements `start..end` by `step` of one axis; constant bounds within the axis.
    pub fn slice(
        &mut self,
        v: ValueId,
        axis: usize,
        start: Dim,
        end: Dim,
        step: i32,
    ) -> Result<ValueId, Refusal> {
        let mut shape = self.shape(v);
        if step == 1 && start == Dim(0) && end == shape[axis] {
            return Ok(v);
        }
        if step == 0 {
            return Err(Refusal::invalid("a slice has a step of zero"));
        }
        let (a, b, by) = if step > 0 {
            (end, start, step)
        } else {
            (start, end, -step)
        };
        let span = self.graph().dim_sub(a, b);
        shape[axis] = self.graph().dim_ceil_div(span, Dim(by));
        let rank = shape.len();
        let starts: Dims = (0..rank)
            .map(|i| if i == axis { start } else { Dim(0) })
            .collect();
        let steps: Axes = (0..rank)
            .map(|i| if i == axis { step } else { 1 })
            .collect();
        let ty = self.typed(self.dtype(v), &shape)?;
        Ok(self.emit(Slice { starts, steps }, &[v], ty))
    }

    /// Values joined along an axis.
    pub fn concat(&mut self, values: &[ValueId], axis: usize) -> Result<ValueId, Refusal> {
        let (&first, rest) = values
            .split_first()
            .ok_or_else(|| Refusal::invalid("it has no inputs"))?;
        if rest.is_empty() {
            return Ok(first);
        }
        let mut ty = self.ty(first);
        let mut shape = ty.shape.to_vec();
        for &v in rest {
            let other = self.ty(v);
            if other.dtype != ty.dtype || other.rank() != ty.rank() {
                return Err(Refusal::invalid(format!(
                    "its inputs differ: {ty:?} and {other:?}"
                )));
            }
            for i in 0..shape.len() {
                if i == axis {
                    shape[i] = self.graph().dim_add(shape[i], other.shape[i]);
                } else if shape[i] != other.shape[i] {
                    match (shape[i].as_const(), other.shape[i].as_const()) {
                        (Some(x), Some(y)) => {
                            return Err(Refusal::invalid(format!(
                                "its inputs differ on axis {i}: {x} and {y}"
                            )));
                        }
                        // A constant says more than an expression.
                        (None, Some(_)) => shape[i] = other.shape[i],
                        _ => {}
                    }
                }
            }
        }
        ty = self.typed(ty.dtype, &shape)?;
        Ok(self.emit(Concat { axis: axis as i32 }, values, ty))
    }

    /// Broadcasts to a shape.
    pub fn expand(&mut self, v: ValueId, shape: &[Dim]) -> Result<ValueId, Refusal> {
        if self.shape(v) == shape {
            return Ok(v);
        }
        let ty = self.typed(self.dtype(v), shape)?;
        Ok(self.emit(Expand {}, &[v], ty))
    }

    /// A reduction over axes (none: over nothing).
    pub fn reduce(
        &mut self,
        kind: ReduceKind,
        v: ValueId,
        over: &[usize],
        keep: bool,
    ) -> Result<ValueId, Refusal> {
        let mut shape = Vec::new();
        for (i, d) in self.shape(v).into_iter().enumerate() {
            match (over.contains(&i), keep) {
                (false, _) => shape.push(d),
                (true, true) => shape.push(Dim::ONE),
                (true, false) => {}
            }
        }
        let ty = self.typed(self.dtype(v), &shape)?;
        let axes = axes(over.iter().map(|&a| a as i64))?;
        Ok(self.emit(Reduce { kind, axes }, &[v], ty))
    }

    /// `b[.., K, N]` (or `[.., N, K]`) as the panels that `MatMul` reads.
    pub fn pack_b(&mut self, b: ValueId, trans: bool) -> Result<ValueId, Refusal> {
        let mut shape = self.shape(b);
        let rank = shape.len();
        let (k, n) = if trans {
            (shape[rank - 1], shape[rank - 2])
        } else {
            (shape[rank - 2], shape[rank - 1])
        };
        shape.truncate(rank - 2);
        shape.push(self.graph().dim_ceil_div(n, Dim(16)));
        shape.extend([k, Dim(16)]);
        let ty = self.typed(DType::F32, &shape)?;
        Ok(self.emit(PackB { trans }, &[b], ty))
    }
}
