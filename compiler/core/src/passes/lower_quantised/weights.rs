//! Dequantised constants, with the movements that an importer put behind them applied to the integers.

use super::super::rewrite::{Rewriter, indices, permuted};
use super::operand::integers;
use crate::ir::{Node, ValueId};
use cygnet_format::{DType, Op};

/// A constant of integers with the scale and zero point of every element.
pub(super) struct Frozen {
    pub dtype: DType,
    pub shape: Vec<usize>,
    pub ints: Vec<i32>,
    /// Which scale and zero point an element has; empty when there is one pair for all.
    parameter: Vec<u32>,
    scales: Vec<f32>,
    zeros: Vec<i32>,
}

/// Integers by output column: `[N, K]`, a scale and a zero point a column (or one for all).
pub(super) struct Columns {
    pub dtype: DType,
    pub ints: Vec<i32>,
    pub scales: Vec<f32>,
    pub zeros: Vec<i32>,
}

/// `y = transpose(x, perm)` on plain data.
pub(super) fn transpose<T: Copy>(data: &[T], shape: &[usize], perm: &[usize]) -> Vec<T> {
    let to = permuted(shape, perm);
    let mut strides = vec![1; shape.len()];
    for i in (0..shape.len().saturating_sub(1)).rev() {
        strides[i] = strides[i + 1] * shape[i + 1];
    }
    let strides = permuted(&strides, perm);
    let mut out = Vec::with_capacity(data.len());
    let mut at = vec![0; to.len()];
    let mut from = 0;
    while out.len() < data.len() {
        out.push(data[from]);
        for axis in (0..to.len()).rev() {
            at[axis] += 1;
            from += strides[axis];
            if at[axis] < to[axis] {
                break;
            }
            from -= strides[axis] * to[axis];
            at[axis] = 0;
        }
    }
    out
}

impl Frozen {
    /// The constant behind `v`: movements of the dequantisation of a constant.
    pub fn of(cx: &Rewriter<'_>, v: ValueId) -> Option<Frozen> {
        let node = cx.def(v)?;
        let x = node.inputs.first().copied().flatten()?;
        match &node.op {
            Op::DequantizeLinear(o) if o.block == 0 => {
                Frozen::dequantised(cx, node, x, o.axis as usize)
            }
            Op::Reshape(_) => {
                let mut frozen = Frozen::of(cx, x)?;
                frozen.shape = cx.graph.ty(v).fixed_shape()?;
                Some(frozen)
            }
            Op::Transpose(o) => Frozen::of(cx, x)?.transposed(&indices(&o.perm)),
            _ => None,
        }
    }

    fn dequantised(cx: &Rewriter<'_>, node: &Node, x: ValueId, axis: usize) -> Option<Frozen> {
        let ty = cx.graph.ty(x);
        let shape = ty.fixed_shape()?;
        let scales = cx.graph.constant_f32(node.inputs[1]?)?;
        let zeros = match node.inputs.get(2).copied().flatten() {
            None => Vec::new(),
            Some(z) => integers(cx.graph, z)?,
        };
        let n = scales.len();
        let inner: usize = shape.get(axis + 1..).unwrap_or(&[]).iter().product();
        let ints = integers(cx.graph, x)?;
        let parameter = match n {
            1 => Vec::new(),
            _ if shape.get(axis) == Some(&n) && inner > 0 => {
                let of = |i: usize| (i / inner % n) as u32;
                (0..ints.len()).map(of).collect()
            }
            _ => return None,
        };
        (zeros.is_empty() || zeros.len() == n).then_some(Frozen {
            dtype: ty.dtype,
            shape,
            ints,
            parameter,
            scales,
            zeros,
        })
    }

    /// The constant transposed.
    pub fn transposed(mut self, perm: &[usize]) -> Option<Frozen> {
        if perm.len() != self.shape.len() {
            return None;
        }
        self.ints = transpose(&self.ints, &self.shape, perm);
        if !self.parameter.is_empty() {
            self.parameter = transpose(&self.parameter, &self.shape, perm);
        }
        self.shape = permuted(&self.shape, perm);
        Some(self)
    }

    /// The elements as floats.
    pub fn values(&self) -> impl Iterator<Item = f64> + '_ {
        self.ints.iter().enumerate().map(|(i, &q)| {
            let p = self.parameter.get(i).map_or(0, |&p| p as usize);
            let zero = self.zeros.get(p).copied().unwrap_or(0);
            (q as f64 - zero as f64) * self.scales[p] as f64
        })
    }

    /// The scale of element `i`.
    pub fn scale(&self, i: usize) -> f32 {
        self.scales[self.parameter.get(i).map_or(0, |&p| p as usize)]
    }

    /// True when no zero point shifts the elements.
    pub fn is_centred(&self) -> bool {
        self.zeros.iter().all(|&z| z == 0)
    }

    /// `[N, ..]` of 8 bits at most as columns; `None` when the parameters differ within one.
    pub fn columns(self) -> Option<Columns> {
        // Narrower integers take a byte each, sign-extended.
        let dtype = match self.dtype {
            DType::I8 | DType::I4 | DType::I2 => DType::I8,
            DType::U8 | DType::U4 | DType::U2 => DType::U8,
            _ => return None,
        };
        let n = *self.shape.first()?;
        let depth = self.ints.len().checked_div(n).filter(|&d| d > 0)?;
        let (mut scales, mut zeros) = (self.scales, self.zeros);
        if !self.parameter.is_empty() {
            let rows = self.parameter.chunks_exact(depth);
            if rows.clone().any(|r| r.iter().any(|&p| p != r[0])) {
                return None;
            }
            let own: Vec<usize> = rows.map(|r| r[0] as usize).collect();
            scales = own.iter().map(|&p| scales[p]).collect();
            if !zeros.is_empty() {
                zeros = own.iter().map(|&p| zeros[p]).collect();
            }
        }
        if zeros.iter().all(|&z| z == 0) {
            zeros.clear();
        }
        Some(Columns {
            dtype,
            ints: self.ints,
            scales,
            zeros,
        })
    }
}
