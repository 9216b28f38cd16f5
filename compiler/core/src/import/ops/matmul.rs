//! Matrix products: `MatMul`, `Gemm`, `Einsum`.

use super::super::{NodeCx, Refusal};
use super::lower::{fixed, narrow, widen, with_scalar};
use crate::ir::{Type, ValueId};
use cygnet_format::op::{Activation, BinaryKind, MatMul, ReduceKind};
use cygnet_format::{DType, Dim};

/// Largest number of products that an integer product may expand to.
const EXPANSION: i64 = 1 << 22;

/// `a[.., M, K] * b[.., K, N]` (`b[.., N, K]` when `trans`) in f32, with leading axes broadcast.
pub(in crate::import) fn product(
    cx: &mut NodeCx<'_>,
    a: ValueId,
    b: ValueId,
    trans: bool,
    alpha: f32,
    bias: Option<ValueId>,
) -> Result<ValueId, Refusal> {
    let (sa, sb) = (cx.shape(a), cx.shape(b));
    let (ra, rb) = (sa.len(), sb.len());
    let (k, n) = if trans {
        (sb[rb - 1], sb[rb - 2])
    } else {
        (sb[rb - 2], sb[rb - 1])
    };
    if sa[ra - 1] != k && sa[ra - 1].as_const().is_some() && k.as_const().is_some() {
        return Err(Refusal::invalid(format!(
            "the product's inner sizes {} and {} differ",
            sa[ra - 1].0,
            k.0
        )));
    }
    let mut shape = cx.broadcast(&sa[..ra - 2], &sb[..rb - 2])?;
    shape.extend([sa[ra - 2], n]);
    let b = cx.pack_b(b, trans)?;
    let op = MatMul {
        alpha,
        act: Activation::default(),
    };
    let mut operands = vec![a, b];
    operands.extend(bias);
    let ty = cx.typed(DType::F32, &shape)?;
    Ok(cx.emit(op, &operands, ty))
}

/// Exact product of integers, as a broadcast multiplication and a sum.
fn integer_product(cx: &mut NodeCx<'_>, a: ValueId, b: ValueId) -> Result<ValueId, Refusal> {
    let (sa, sb) = (cx.shape(a), cx.shape(b));
    let mut expanded = sa.clone();
    expanded.push(sb[sb.len() - 1]);
    let lead = cx.broadcast(&sa[..sa.len() - 2], &sb[..sb.len() - 2])?;
    let all: Vec<Dim> = lead
        .iter()
        .copied()
        .chain(expanded[sa.len() - 2..].iter().copied())
        .collect();
    let count = cx.graph().dim_product(&all);
    if cx.graph().dim_bounds(count).1 > EXPANSION || all.len() > cygnet_format::MAX_RANK {
        return Err(Refusal::unsupported(
            "matrix products of wide integers are supported for small matrices only",
        )
        .remedy("use MatMulInteger on 8-bit operands, or cast to float"));
    }
    let mut left = sa.clone();
    left.push(Dim::ONE);
    let a = cx.reshape(a, &left);
    let mut right = sb.clone();
    right.insert(sb.len() - 2, Dim::ONE);
    let b = cx.reshape(b, &right);
    let y = cx.binary(BinaryKind::Mul, a, b)?;
    let axis = cx.rank(y) - 2;
    cx.reduce(ReduceKind::Sum, y, &[axis], false)
}

/// Product of two values of one element type; the result has that type.
pub(super) fn any_product(cx: &mut NodeCx<'_>, a: ValueId, b: ValueId) -> Result<ValueId, Refusal> {
    let dtype = cx.dtype(a);
    if !dtype.is_float() {
        return integer_product(cx, a, b);
    }
    let (a, b) = (widen(cx, a), widen(cx, b));
    let y = product(cx, a, b, false, 1.0, None)?;
    Ok(narrow(cx, y, dtype))
}

/// `MatMul`: NumPy semantics, vectors included.
pub(super) fn matmul(cx: &mut NodeCx<'_>) -> Result<(), Refusal> {
    let (mut a, mut b) = (cx.input(0)?, cx.input(1)?);
    let (ra, rb) = (cx.rank(a), cx.rank(b));
    if ra == 0 || rb == 0 {
        return Err(Refusal::invalid("a scalar operand"));
    }
    if ra == 1 {
        let k = cx.shape(a)[0];
        a = cx.reshape(a, &[Dim::ONE, k]);
    }
    if rb == 1 {
        let k = cx.shape(b)[0];
        b = cx.reshape(b, &[k, Dim::ONE]);
    }
    let mut y = any_product(cx, a, b)?;
    let mut shape = cx.shape(y);
    if ra == 1 || rb == 1 {
        if rb == 1 {
            shape.pop();
        }
        if ra == 1 {
            shape.remove(shape.len() - if rb == 1 { 1 } else { 2 });
        }
        y = cx.reshape(y, &shape);
    }
    cx.set_output(0, y);
    Ok(())
}

/// `com.microsoft` `FusedMatMul`: `alpha * op(a) * op(b)`.
pub(super) fn fused_matmul(cx: &mut NodeCx<'_>) -> Result<(), Refusal> {
    if cx.int_or("transBatchA", 0)? != 0 || cx.int_or("transBatchB", 0)? != 0 {
        return Err(Refusal::unsupported("transposed batches are not supported"));
    }
    let (mut a, b) = (cx.input(0)?, cx.input(1)?);
    let dtype = cx.dtype(a);
    a = widen(cx, a);
    let b = widen(cx, b);
    if cx.rank(a) < 2 || cx.rank(b) < 2 {
        return Err(Refusal::unsupported("an operand has fewer than two axes"));
    }
    if cx.int_or("transA", 0)? != 0 {
        a = swap_last(cx, a);
    }
    let trans = cx.int_or("transB", 0)? != 0;
    let alpha = cx.float_or("alpha", 1.0)?;
    let y = product(cx, a, b, trans, alpha, None)?;
    let y = narrow(cx, y, dtype);
    cx.set_output(0, y);
    Ok(())
}

/// Transposes the last two axes.
pub(in crate::import) fn swap_last(cx: &mut NodeCx<'_>, v: ValueId) -> ValueId {
    let rank = cx.rank(v);
    let mut perm: Vec<usize> = (0..rank).collect();
    perm.swap(rank - 2, rank - 1);
    cx.transpose(v, &perm)
}

/// `Gemm`: `alpha*A'*B' + beta*C`; a bias of row shape is fused.
pub(super) fn gemm(cx: &mut NodeCx<'_>) -> Result<(), Refusal> {
    let (a, b, c) = (cx.input(0)?, cx.input(1)?, cx.opt_input(2)?);
    let (alpha, beta) = (cx.float_or("alpha", 1.0)?, cx.float_or("beta", 1.0)?);
    let (trans_a, trans_b) = (cx.int_or("transA", 0)? != 0, cx.int_or("transB", 0)? != 0);
    if cx.rank(a) != 2 || cx.rank(b) != 2 {
        return Err(Refusal::invalid("the operands are not matrices"));
    }
    let dtype = cx.dtype(a);
    let a = if trans_a { cx.transpose(a, &[1, 0]) } else { a };
    if !dtype.is_float() {
        let b = if trans_b { cx.transpose(b, &[1, 0]) } else { b };
        if alpha != alpha.trunc() || beta != beta.trunc() {
            return Err(Refusal::unsupported(
                "a fractional alpha or beta over integers is not supported",
            ));
        }
        let mut y = integer_product(cx, a, b)?;
        if alpha != 1.0 {
            y = with_scalar(cx, BinaryKind::Mul, y, alpha)?;
        }
        if let Some(c) = c {
            let c = if beta == 1.0 {
                c
            } else {
                with_scalar(cx, BinaryKind::Mul, c, beta)?
            };
            y = cx.binary(BinaryKind::Add, y, c)?;
        }
        cx.set_output(0, y);
        return Ok(());
    }
    let (a, b) = (widen(cx, a), widen(cx, b));
    let n = cx.shape(b)[if trans_b { 0 } else { 1 }];
    let mut row = None;
    let mut rest = None;
    if let Some(c) = c.filter(|_| beta != 0.0) {
        let c = widen(cx, c);
        let c = if beta == 1.0 {
            c
        } else {
            with_scalar(cx, BinaryKind::Mul, c, beta)?
        };
        let shape = cx.shape(c);
        let is_row =
            shape.last() == Some(&n) && shape[..shape.len() - 1].iter().all(|&d| d == Dim::ONE);
        match is_row {
            true if shape.len() == 1 => row = Some(c),
            true => row = Some(cx.reshape(c, &[n])),
            false => rest = Some(c),
        }
    }
    let mut y = product(cx, a, b, trans_b, alpha, row)?;
    if let Some(c) = rest {
        y = cx.binary(BinaryKind::Add, y, c)?;
    }
    let y = narrow(cx, y, dtype);
    cx.set_output(0, y);
    Ok(())
}

/// A value whose axes carry labels.
struct Labelled {
    value: ValueId,
    labels: Vec<char>,
}

/// `Einsum`: contracts the operands from left to right.
pub(super) fn einsum(cx: &mut NodeCx<'_>) -> Result<(), Refusal> {
    let equation: String = cx
        .str_or("equation", "")?
        .chars()
        .filter(|c| !c.is_whitespace())
        .collect();
    let (left, right) = match equation.split_once("->") {
        Some((l, r)) => (l.to_owned(), Some(r.to_owned())),
        None => (equation.clone(), None),
    };
    let terms: Vec<&str> = left.split(',').collect();
    let n = cx.n_inputs();
    if terms.len() != n {
        return Err(Refusal::invalid(format!(
            "{equation:?} has {} terms for {n} inputs",
            terms.len()
        )));
    }
    let mut operands = Vec::new();
    let mut widest = 0;
    for (i, term) in terms.iter().enumerate() {
        let value = cx.input(i)?;
        let rank = cx.rank(value);
        let named = term.chars().filter(char::is_ascii_alphabetic).count();
        let dots = term.contains("...");
        if named > rank
            || (!dots && named != rank)
            || term.replacen("...", "", 1).chars().count() != named
        {
            return Err(Refusal::invalid(format!(
                "term {term:?} does not fit an input of {rank} axes"
            )));
        }
        widest = widest.max(rank - named);
        operands.push((value, rank - named));
    }
    // Axes under an ellipsis get the labels '0', '1', .., aligned at the right.
    let dots = |count: usize| (widest - count..widest).map(|i| char::from(b'0' + i as u8));
    let spell = |term: &str, count: usize| -> Vec<char> {
        match term.split_once("...") {
            Some((a, b)) => a.chars().chain(dots(count)).chain(b.chars()).collect(),
            None => term.chars().collect(),
        }
    };
    let mut terms: Vec<Labelled> = terms
        .iter()
        .zip(&operands)
        .map(|(t, &(value, count))| Labelled {
            value,
            labels: spell(t, count),
        })
        .collect();
    let output: Vec<char> = match &right {
        Some(r) => spell(r, widest),
        None => {
            let all: Vec<char> = terms
                .iter()
                .flat_map(|t| t.labels.iter().copied())
                .collect();
            let mut once: Vec<char> = all
                .iter()
                .copied()
                .filter(|c| c.is_ascii_alphabetic() && all.iter().filter(|d| *d == c).count() == 1)
                .collect();
            once.sort_unstable();
            dots(widest).chain(once).collect()
        }
    };
    for term in &mut terms {
        diagonal(cx, term)?;
    }
    drop_ones(cx, &mut terms);
    let mut terms = terms.into_iter();
    let mut acc = terms.next().ok_or_else(|| Refusal::invalid("no inputs"))?;
    let rest: Vec<Labelled> = terms.collect();
    for (i, term) in rest.iter().enumerate() {
        let later =
            |c: &char| output.contains(c) || rest[i + 1..].iter().any(|t| t.labels.contains(c));
        sum_out(cx, &mut acc, &|c| later(c) || term.labels.contains(c))?;
        let mut term = Labelled {
            value: term.value,
            labels: term.labels.clone(),
        };
        let own = acc.labels.clone();
        sum_out(cx, &mut term, &|c| later(c) || own.contains(c))?;
        acc = contract(cx, acc, term, &later)?;
    }
    sum_out(cx, &mut acc, &|c| output.contains(c))?;
    // Labels that only operands of length one had.
    for &c in &output {
        if !acc.labels.contains(&c) {
            let mut shape = cx.shape(acc.value);
            shape.push(Dim::ONE);
            acc.value = cx.reshape(acc.value, &shape);
            acc.labels.push(c);
        }
    }
    let perm: Vec<usize> = output
        .iter()
        .map(|c| acc.labels.iter().position(|l| l == c).expect("added above"))
        .collect();
    let y = permute(cx, acc.value, &perm);
    cx.set_output(0, y);
    Ok(())
}

fn permute(cx: &mut NodeCx<'_>, v: ValueId, perm: &[usize]) -> ValueId {
    if perm.iter().enumerate().all(|(i, &p)| i == p) {
        v
    } else {
        cx.transpose(v, perm)
    }
}

/// Replaces repeated labels of one term by the diagonal.
fn diagonal(cx: &mut NodeCx<'_>, term: &mut Labelled) -> Result<(), Refusal> {
    loop {
        let labels = &term.labels;
        let pair = (0..labels.len())
            .flat_map(|i| (i + 1..labels.len()).map(move |j| (i, j)))
            .find(|&(i, j)| labels[i] == labels[j]);
        let Some((i, j)) = pair else { return Ok(()) };
        let shape = cx.shape(term.value);
        let n = fixed(shape[i], "the length of a diagonal")?;
        let mut perm: Vec<usize> = (0..shape.len()).filter(|&a| a != i && a != j).collect();
        let mut flat: Vec<Dim> = perm.iter().map(|&a| shape[a]).collect();
        let mut labels: Vec<char> = perm.iter().map(|&a| term.labels[a]).collect();
        labels.push(term.labels[i]);
        perm.extend([i, j]);
        let v = permute(cx, term.value, &perm);
        // Element k of the diagonal is element k*(n+1) of the flattened matrix.
        flat.push(Dim((n * n) as i32));
        let v = cx.reshape(v, &flat);
        let axis = flat.len() - 1;
        let mut out = flat.clone();
        out[axis] = Dim(n as i32);
        let op = cygnet_format::op::Slice {
            starts: vec![Dim(0); flat.len()].into_iter().collect(),
            steps: (0..flat.len())
                .map(|a| if a == axis { n as i32 + 1 } else { 1 })
                .collect(),
        };
        let dtype = cx.dtype(v);
        term.value = cx.emit(op, &[v], Type::new(dtype, &out));
        term.labels = labels;
    }
}

/// Drops axes of length one whose label is longer in another term: they broadcast.
fn drop_ones(cx: &mut NodeCx<'_>, terms: &mut [Labelled]) {
    let longer: Vec<char> = terms
        .iter()
        .flat_map(|t| {
            let shape = cx.shape(t.value);
            t.labels
                .iter()
                .zip(shape)
                .filter(|(_, d)| *d != Dim::ONE)
                .map(|(c, _)| *c)
                .collect::<Vec<_>>()
        })
        .collect();
    for term in terms {
        let shape = cx.shape(term.value);
        let keep: Vec<usize> = (0..shape.len())
            .filter(|&i| shape[i] != Dim::ONE || !longer.contains(&term.labels[i]))
            .collect();
        if keep.len() < shape.len() {
            let kept: Vec<Dim> = keep.iter().map(|&i| shape[i]).collect();
            term.value = cx.reshape(term.value, &kept);
            term.labels = keep.iter().map(|&i| term.labels[i]).collect();
        }
    }
}

/// Sums over the labels that nobody needs.
fn sum_out(
    cx: &mut NodeCx<'_>,
    term: &mut Labelled,
    needed: &dyn Fn(&char) -> bool,
) -> Result<(), Refusal> {
    let axes: Vec<usize> = (0..term.labels.len())
        .filter(|&i| !needed(&term.labels[i]))
        .collect();
    if !axes.is_empty() {
        term.value = cx.reduce(ReduceKind::Sum, term.value, &axes, false)?;
        term.labels.retain(|c| needed(c));
    }
    Ok(())
}

/// Contracts two terms over the shared labels that are not needed later.
fn contract(
    cx: &mut NodeCx<'_>,
    a: Labelled,
    b: Labelled,
    later: &dyn Fn(&char) -> bool,
) -> Result<Labelled, Refusal> {
    let pick = |t: &Labelled, f: &dyn Fn(&char) -> bool| -> Vec<char> {
        t.labels.iter().copied().filter(|c| f(c)).collect()
    };
    let batch = pick(&a, &|c| b.labels.contains(c) && later(c));
    let inner = pick(&a, &|c| b.labels.contains(c) && !later(c));
    let rows = pick(&a, &|c| !b.labels.contains(c));
    let columns = pick(&b, &|c| !a.labels.contains(c));
    let arrange =
        |cx: &mut NodeCx<'_>, t: &Labelled, groups: [&[char]; 3]| -> (ValueId, Vec<Dim>) {
            let order: Vec<char> = groups.concat();
            let perm: Vec<usize> = order
                .iter()
                .map(|c| t.labels.iter().position(|l| l == c).expect("own label"))
                .collect();
            let v = permute(cx, t.value, &perm);
            let shape = cx.shape(v);
            let mut at = 0;
            let flat: Vec<Dim> = groups
                .iter()
                .map(|g| {
                    at += g.len();
                    cx.graph().dim_product(&shape[at - g.len()..at])
                })
                .collect();
            (cx.reshape(v, &flat), shape)
        };
    let (left, la) = arrange(cx, &a, [&batch, &rows, &inner]);
    let (right, lb) = arrange(cx, &b, [&batch, &inner, &columns]);
    let y = any_product(cx, left, right)?;
    let mut shape = la[..batch.len() + rows.len()].to_vec();
    shape.extend(&lb[batch.len() + inner.len()..]);
    let labels = [batch, rows, columns].concat();
    if shape.len() > cygnet_format::MAX_RANK {
        return Err(Refusal::unsupported(
            "an intermediate result has more than 8 axes",
        ));
    }
    Ok(Labelled {
        value: cx.reshape(y, &shape),
        labels,
    })
}
