//! Shape arithmetic: small integer tensors whose elements are known dimensions.
//!
//! Exporters write `Shape -> Gather -> Mul -> Concat -> Reshape`. Such values are followed here as lists of dimensions,
//! so that a model of dynamic width resolves at compile time. Where a step needs one at run time, `DimValues` makes it.

use super::Importer;
use crate::ir::{Graph, Type, ValueId};
use cygnet_format::op::{BinaryKind, DimValues, ReduceKind, UnaryKind};
use cygnet_format::{DType, Dim, Dims, MAX_RANK, Op};

/// Most elements that are followed.
const MAX_TRACKED: usize = 256;

/// The elements of a constant of an integer or boolean type.
pub(super) fn const_ints(graph: &Graph, v: ValueId) -> Option<Vec<i64>> {
    let value = graph.value(v);
    let data = value.data.as_ref()?;
    Some(match value.ty.dtype {
        DType::I64 => data
            .as_chunks::<8>()
            .0
            .iter()
            .map(|c| i64::from_le_bytes(*c))
            .collect(),
        DType::I32 => data
            .as_chunks::<4>()
            .0
            .iter()
            .map(|c| i32::from_le_bytes(*c) as i64)
            .collect(),
        DType::U32 => data
            .as_chunks::<4>()
            .0
            .iter()
            .map(|c| u32::from_le_bytes(*c) as i64)
            .collect(),
        DType::U64 => data
            .as_chunks::<8>()
            .0
            .iter()
            .map(|c| i64::try_from(u64::from_le_bytes(*c)).ok())
            .collect::<Option<_>>()?,
        DType::I16 => data
            .as_chunks::<2>()
            .0
            .iter()
            .map(|c| i16::from_le_bytes(*c) as i64)
            .collect(),
        DType::U16 => data
            .as_chunks::<2>()
            .0
            .iter()
            .map(|c| u16::from_le_bytes(*c) as i64)
            .collect(),
        DType::I8 | DType::I4 | DType::I2 => data.iter().map(|&b| b as i8 as i64).collect(),
        DType::U8 | DType::Bool | DType::U4 | DType::U2 => data.iter().map(|&b| b as i64).collect(),
        _ => return None,
    })
}

/// The bytes of integers of an element type; `None` when one does not fit.
pub(super) fn int_bytes(dtype: DType, values: &[i64]) -> Option<Vec<u8>> {
    let mut bytes = Vec::with_capacity(values.len() * dtype.size());
    for &v in values {
        match dtype {
            DType::I64 => bytes.extend_from_slice(&v.to_le_bytes()),
            DType::I32 => bytes.extend_from_slice(&i32::try_from(v).ok()?.to_le_bytes()),
            DType::Bool => bytes.push((v != 0) as u8),
            _ => return None,
        }
    }
    Some(bytes)
}

fn tracked(ty: &Type) -> Option<usize> {
    matches!(ty.dtype, DType::I64 | DType::I32 | DType::Bool)
        .then(|| ty.fixed_len())
        .flatten()
        .filter(|&n| n <= MAX_TRACKED)
}

impl Importer {
    /// The elements of a small integer tensor as dimensions.
    pub(super) fn known_values(&mut self, v: ValueId) -> Option<Vec<Dim>> {
        if let Some(known) = self.known.get(&v) {
            return Some(known.clone());
        }
        tracked(self.graph.ty(v))?;
        let ints = const_ints(&self.graph, v)?;
        Some(ints.into_iter().map(|i| self.graph.dim_const(i)).collect())
    }

    /// A value of known elements: a constant, or `DimValues` for what depends on input shapes.
    pub(super) fn from_dims(
        &mut self,
        values: Vec<Dim>,
        ty: &Type,
        source: &str,
    ) -> Option<ValueId> {
        let constants: Option<Vec<i64>> = values.iter().map(|&d| self.graph.dim_value(d)).collect();
        if let Some(ints) = constants {
            let bytes = int_bytes(ty.dtype, &ints)?;
            return Some(self.constant(ty.clone(), bytes));
        }
        let block = self.block;
        let mut parts = Vec::new();
        for chunk in values.chunks(MAX_RANK) {
            let op = DimValues {
                values: Dims::new(chunk)?,
            };
            parts.push(self.graph.push(
                block,
                source,
                op,
                &[],
                Type::fixed(DType::I64, &[chunk.len()]),
            ));
        }
        let mut v = parts[0];
        if parts.len() > 1 {
            let op = cygnet_format::op::Concat { axis: 0 };
            v = self.graph.push(
                block,
                source,
                op,
                &parts,
                Type::fixed(DType::I64, &[values.len()]),
            );
        }
        if ty.rank() != 1 {
            let flat = Type {
                dtype: DType::I64,
                shape: ty.shape,
            };
            v = self
                .graph
                .push(block, source, cygnet_format::op::Reshape {}, &[v], flat);
        }
        if ty.dtype != DType::I64 {
            v = self.graph.push(
                block,
                source,
                cygnet_format::op::Cast { saturate: true },
                &[v],
                ty.clone(),
            );
        }
        self.known.insert(v, values);
        Some(v)
    }
}

/// Follows a node over known values; `None` when it is to be emitted.
pub(super) fn track(
    imp: &mut Importer,
    op: &Op,
    inputs: &[Option<ValueId>],
    ty: &Type,
) -> Option<ValueId> {
    tracked(ty)?;
    let mut values = Vec::new();
    let mut shapes = Vec::new();
    // Constant folding proper is cheaper where nothing is symbolic and the evaluator exists; both give equal results.
    for &input in inputs {
        let v = input?;
        tracked(imp.graph.ty(v))?;
        values.push(imp.known_values(v)?);
        shapes.push(imp.graph.ty(v).fixed_shape()?);
    }
    let out_shape = ty.fixed_shape()?;
    let result = apply(&mut imp.graph, op, &values, &shapes, &out_shape, ty.dtype)?;
    let source = op.code().name();
    imp.from_dims(result, ty, source)
}

fn strides(shape: &[usize]) -> Vec<usize> {
    let mut s = vec![1; shape.len()];
    for i in (0..shape.len().saturating_sub(1)).rev() {
        s[i] = s[i + 1] * shape[i + 1];
    }
    s
}

/// Calls `f` with every position of a shape, in row-major order.
fn positions(shape: &[usize], mut f: impl FnMut(&[usize])) {
    let count: usize = shape.iter().product();
    let mut at = vec![0; shape.len()];
    for _ in 0..count {
        f(&at);
        for axis in (0..shape.len()).rev() {
            at[axis] += 1;
            if at[axis] < shape[axis] {
                break;
            }
            at[axis] = 0;
        }
    }
}

/// For every output element the flat index of the input element it equals, where the operator only moves elements.
pub(super) fn movement(
    graph: &Graph,
    op: &Op,
    shape: &[usize],
    out: &[usize],
) -> Option<Vec<usize>> {
    let from = strides(shape);
    let mut map = Vec::new();
    match op {
        Op::Reshape(_) => map.extend(0..shape.iter().product()),
        Op::Transpose(t) => {
            positions(out, |at| {
                map.push(
                    at.iter()
                        .zip(t.perm.iter())
                        .map(|(i, &p)| i * from[p as usize])
                        .sum(),
                )
            });
        }
        Op::Slice(s) => {
            let starts: Vec<i64> = s
                .starts
                .iter()
                .map(|&d| graph.dim_value(d))
                .collect::<Option<_>>()?;
            positions(out, |at| {
                let flat: i64 = (0..out.len())
                    .map(|a| (starts[a] + at[a] as i64 * s.steps[a] as i64) * from[a] as i64)
                    .sum();
                map.push(flat as usize);
            });
        }
        Op::Expand(_) => {
            let lead = out.len().checked_sub(shape.len())?;
            positions(out, |at| {
                map.push(
                    (0..shape.len())
                        .filter(|&a| shape[a] != 1)
                        .map(|a| at[lead + a] * from[a])
                        .sum(),
                );
            });
        }
        Op::Tile(_) => {
            positions(out, |at| {
                map.push((0..out.len()).map(|a| at[a] % shape[a] * from[a]).sum())
            });
        }
        _ => return None,
    }
    Some(map)
}

fn apply(
    g: &mut Graph,
    op: &Op,
    values: &[Vec<Dim>],
    shapes: &[Vec<usize>],
    out: &[usize],
    dtype: DType,
) -> Option<Vec<Dim>> {
    if let Some(x) = values.first()
        && let Some(map) = movement(g, op, &shapes[0], out)
    {
        return map.into_iter().map(|i| x.get(i).copied()).collect();
    }
    match op {
        Op::Concat(c) => {
            let axis = c.axis as usize;
            let mut result = Vec::new();
            positions(out, |at| {
                let (mut k, mut i) = (0, at[axis]);
                while i >= shapes[k][axis] {
                    i -= shapes[k][axis];
                    k += 1;
                }
                let s = strides(&shapes[k]);
                let flat: usize = (0..out.len())
                    .map(|a| if a == axis { i } else { at[a] } * s[a])
                    .sum();
                result.push(values[k][flat]);
            });
            Some(result)
        }
        Op::Gather(op) => {
            let axis = op.axis as usize;
            let (s, n) = (strides(&shapes[0]), shapes[0][axis] as i64);
            let index: Vec<i64> = values[1]
                .iter()
                .map(|&d| g.dim_value(d))
                .collect::<Option<_>>()?;
            let (si, ri) = (strides(&shapes[1]), shapes[1].len());
            let mut result = Some(Vec::new());
            positions(out, |at| {
                let k: usize = (0..ri).map(|a| at[axis + a] * si[a]).sum();
                let i = if index[k] < 0 { index[k] + n } else { index[k] };
                let before: usize = (0..axis).map(|a| at[a] * s[a]).sum();
                let after: usize = (axis + 1..shapes[0].len())
                    .map(|a| at[a + ri - 1] * s[a])
                    .sum();
                match (&mut result, (0..n).contains(&i)) {
                    (Some(r), true) => r.push(values[0][before + after + i as usize * s[axis]]),
                    (r, _) => *r = None,
                }
            });
            result
        }
        Op::Cast(_) if dtype == DType::Bool => values[0].iter().map(|&d| truth(g, d)).collect(),
        Op::Cast(_) => Some(values[0].clone()),
        Op::Unary(u) => values[0]
            .iter()
            .map(|&d| match u.kind {
                UnaryKind::Neg => Some(g.dim_sub(Dim(0), d)),
                UnaryKind::Abs => {
                    let (lo, hi) = g.dim_bounds(d);
                    (lo >= 0)
                        .then_some(d)
                        .or_else(|| (hi <= 0).then(|| g.dim_sub(Dim(0), d)))
                }
                UnaryKind::Not => g.dim_value(d).map(|v| Dim((v == 0) as i32)),
                _ => None,
            })
            .collect(),
        Op::Binary(b) => {
            let (mut x, mut y) = (Vec::new(), Vec::new());
            for (k, v) in [&mut x, &mut y].into_iter().enumerate() {
                let map = movement(g, &Op::Expand(Default::default()), &shapes[k], out)?;
                v.extend(map.into_iter().map(|i| values[k][i]));
            }
            x.into_iter()
                .zip(y)
                .map(|(a, b2)| binary(g, b.kind, a, b2))
                .collect()
        }
        Op::Where(_) => {
            let mut parts = Vec::new();
            for k in 0..3 {
                let map = movement(g, &Op::Expand(Default::default()), &shapes[k], out)?;
                parts.push(map.into_iter().map(|i| values[k][i]).collect::<Vec<_>>());
            }
            (0..parts[0].len())
                .map(|i| {
                    if parts[1][i] == parts[2][i] {
                        return Some(parts[1][i]);
                    }
                    g.dim_value(parts[0][i])
                        .map(|c| parts[if c != 0 { 1 } else { 2 }][i])
                })
                .collect()
        }
        Op::Reduce(r) => {
            let fold = |g: &mut Graph, kind, a, b| match kind {
                ReduceKind::Sum => Some(g.dim_add(a, b)),
                ReduceKind::Prod => Some(g.dim_mul(a, b)),
                ReduceKind::Max => Some(g.dim_max(a, b)),
                ReduceKind::Min => Some(g.dim_min(a, b)),
                _ => None,
            };
            // Whole reductions only: the form of "number of elements".
            if out.iter().product::<usize>() != 1 {
                return None;
            }
            let first = match r.kind {
                ReduceKind::Sum => Dim(0),
                ReduceKind::Prod => Dim::ONE,
                _ => *values[0].first()?,
            };
            values[0]
                .iter()
                .try_fold(first, |acc, &d| fold(g, r.kind, acc, d))
                .map(|d| vec![d])
        }
        _ => None,
    }
}

fn truth(g: &Graph, d: Dim) -> Option<Dim> {
    match g.dim_bounds(d) {
        (0, 0) => Some(Dim(0)),
        (lo, hi) if lo > 0 || hi < 0 => Some(Dim::ONE),
        _ => None,
    }
}

fn binary(g: &mut Graph, kind: BinaryKind, a: Dim, b: Dim) -> Option<Dim> {
    let ((al, ah), (bl, bh)) = (g.dim_bounds(a), g.dim_bounds(b));
    let decide = |yes: bool, no: bool| match (yes, no) {
        (true, _) => Some(Dim::ONE),
        (_, true) => Some(Dim(0)),
        _ => None,
    };
    match kind {
        BinaryKind::Add => Some(g.dim_add(a, b)),
        BinaryKind::Sub => Some(g.dim_sub(a, b)),
        BinaryKind::Mul => Some(g.dim_mul(a, b)),
        // Truncation and rounding down agree where nothing is negative.
        BinaryKind::Div if al >= 0 && bl > 0 => Some(g.dim_floor_div(a, b)),
        BinaryKind::Div => match (g.dim_value(a), g.dim_value(b)) {
            (Some(x), Some(y)) => x.checked_div(y).map(|q| g.dim_const(q)),
            _ => None,
        },
        BinaryKind::Mod if bl > 0 => Some(g.dim_mod(a, b)),
        BinaryKind::Min => Some(g.dim_min(a, b)),
        BinaryKind::Max => Some(g.dim_max(a, b)),
        BinaryKind::Equal => decide(
            a == b || (al == ah && bl == bh && al == bl),
            ah < bl || bh < al,
        ),
        BinaryKind::Less => decide(ah < bl, al >= bh),
        BinaryKind::LessOrEqual => decide(ah <= bl, al > bh),
        BinaryKind::Greater => decide(al > bh, ah <= bl),
        BinaryKind::GreaterOrEqual => decide(al >= bh, ah < bl),
        BinaryKind::And => decide(al > 0 && bl > 0, ah == 0 || bh == 0),
        BinaryKind::Or => decide(al > 0 || bl > 0, ah == 0 && bh == 0),
        _ => None,
    }
}
