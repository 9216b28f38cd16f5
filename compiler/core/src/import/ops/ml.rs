//! Operators of the classical machine-learning domain, and text operators.

use super::super::{NodeCx, Refusal};
use super::lower::{constant, indices};
use crate::ir::{Type, ValueId};
use cygnet_format::op::{ArgReduce, BinaryKind, Gather, ReduceKind, UnaryKind, Where};
use cygnet_format::{DType, Dim};

/// `Binarizer`.
pub(super) fn binarizer(cx: &mut NodeCx<'_>) -> Result<(), Refusal> {
    let threshold = cx.float_or("threshold", 0.0)?;
    let x = cx.input(0)?;
    let y = cx.unary_ab(UnaryKind::Binarize, x, threshold, 0.0);
    cx.set_output(0, y);
    Ok(())
}

/// `ArrayFeatureExtractor`: elements of the last axis.
pub(super) fn array_feature_extractor(cx: &mut NodeCx<'_>) -> Result<(), Refusal> {
    let (x, at) = (cx.input(0)?, cx.input(1)?);
    let count = cx.shape(at);
    let count = cx.graph().dim_product(&count);
    let at = cx.reshape(at, &[count]);
    let mut shape = cx.shape(x);
    if shape.is_empty() {
        return Err(Refusal::invalid("the input is a scalar"));
    }
    let axis = shape.len() - 1;
    shape[axis] = count;
    let dtype = cx.dtype(x);
    let y = cx.emit(
        Gather { axis: axis as i32 },
        &[x, at],
        Type::new(dtype, &shape),
    );
    // A vector gives a matrix of one row.
    let y = if axis == 0 {
        cx.reshape(y, &[Dim::ONE, count])
    } else {
        y
    };
    cx.set_output(0, y);
    Ok(())
}

/// Numbers of one attribute family: `keys` or `values`.
fn numbers(cx: &mut NodeCx<'_>, what: &str) -> Result<ValueId, Refusal> {
    if let Some(v) = cx.floats(&format!("{what}_floats"))? {
        return Ok(constant(cx, &[v.len()], &v));
    }
    if let Some(v) = cx.ints(&format!("{what}_int64s"))? {
        return Ok(indices(cx, &[v.len()], &v));
    }
    let tensor = format!("{what}_tensor");
    if cx.has_attribute(&tensor)
        && let Some(v) = cx.tensor(&tensor)?
    {
        return Ok(v);
    }
    Err(text(cx.op_type()))
}

/// `LabelEncoder` between numbers: the position of the equal key selects the value.
pub(super) fn label_encoder(cx: &mut NodeCx<'_>) -> Result<(), Refusal> {
    let keys = numbers(cx, "keys")?;
    let values = numbers(cx, "values")?;
    let default = match cx.dtype(values) {
        _ if cx.has_attribute("default_tensor") => {
            let v = cx
                .tensor("default_tensor")?
                .ok_or_else(|| Refusal::invalid("default_tensor is empty"))?;
            cx.reshape(v, &[])
        }
        DType::I64 => {
            let v = cx.int_or("default_int64", -1)?;
            indices(cx, &[], &[v])
        }
        _ => {
            let v = cx.float_or("default_float", -0.0)?;
            constant(cx, &[], &[v])
        }
    };
    let x = cx.input(0)?;
    let mut shape = cx.shape(x);
    let out = Type::new(cx.dtype(values), &shape);
    shape.push(Dim::ONE);
    let axis = shape.len() - 1;
    let x = cx.reshape(x, &shape);
    let equal = cx.binary(BinaryKind::Equal, x, keys)?;
    let equal = cx.cast(equal, DType::F32);
    let at = cx.emit(
        ArgReduce {
            axis: axis as i32,
            max: true,
            last: false,
        },
        &[equal],
        Type {
            dtype: DType::I64,
            shape: out.shape,
        },
    );
    let found = cx.reduce(ReduceKind::Max, equal, &[axis], false)?;
    let found = cx.cast(found, DType::Bool);
    let value = cx.emit(Gather { axis: 0 }, &[values, at], out.clone());
    let y = cx.emit(Where {}, &[found, value, default], out);
    cx.set_output(0, y);
    Ok(())
}

/// Constant f32 elements of a tensor attribute.
fn tensor_f32(cx: &mut NodeCx<'_>, name: &str) -> Result<Vec<f32>, Refusal> {
    match cx.tensor(name)? {
        Some(v) => cx.const_f32(v),
        None => Ok(Vec::new()),
    }
}

/// The most decisions times leaves that are translated.
const LARGEST: usize = 1 << 24;

/// One branch of a tree: a decision or a leaf.
#[derive(Clone, Copy)]
enum Branch {
    Decision(usize),
    Leaf(usize),
}

/// `TreeEnsemble`: all decisions at once, then the leaf whose decisions all agree, by two matrix products.
/// (Nakandala et al., "A Tensor Compiler for Unified Machine Learning Prediction Serving", OSDI 2020: GEMM strategy.)
pub(super) fn tree_ensemble(cx: &mut NodeCx<'_>) -> Result<(), Refusal> {
    let x = cx.input(0)?;
    let dtype = cx.dtype(x);
    if cx.int_or("aggregate_function", 1)? != 1 || cx.int_or("post_transform", 0)? != 0 {
        return Err(Refusal::unsupported(
            "only the sum of trees without a final transform is supported",
        ));
    }
    let list = |cx: &NodeCx<'_>, name: &str| cx.ints(name).map(Option::unwrap_or_default);
    let features = list(cx, "nodes_featureids")?;
    let n = features.len();
    let modes = match cx.tensor("nodes_modes")? {
        Some(v) => cx.const_i64(v)?,
        None => vec![0; n],
    };
    let splits = tensor_f32(cx, "nodes_splits")?;
    let weights = tensor_f32(cx, "leaf_weights")?;
    let members = tensor_f32(cx, "membership_values")?;
    let targets = list(cx, "leaf_targetids")?;
    let roots = list(cx, "tree_roots")?;
    let (true_ids, false_ids) = (
        list(cx, "nodes_truenodeids")?,
        list(cx, "nodes_falsenodeids")?,
    );
    let (true_leafs, false_leafs) = (list(cx, "nodes_trueleafs")?, list(cx, "nodes_falseleafs")?);
    let outputs = cx.int_or("n_targets", 1)?;
    let sizes = [
        modes.len(),
        splits.len(),
        true_ids.len(),
        false_ids.len(),
        true_leafs.len(),
        false_leafs.len(),
    ];
    if n == 0 || sizes.iter().any(|&s| s != n) || targets.len() != weights.len() || outputs < 1 {
        return Err(Refusal::invalid(
            "the lists of nodes and leaves have different lengths",
        ));
    }
    let leaves = weights.len();
    if n.saturating_mul(leaves) > LARGEST || leaves.saturating_mul(outputs as usize) > LARGEST {
        return Err(Refusal::unsupported(format!(
            "{n} decisions with {leaves} leaves are too many"
        )));
    }
    if list(cx, "nodes_missing_value_tracks_true")?
        .iter()
        .any(|&m| m != 0)
    {
        return Err(Refusal::unsupported(
            "missing values that take the true branch are not supported",
        ));
    }

    // Every leaf's path: +1 where the decision must hold, -1 where it must not.
    let mut agree = vec![0.0f32; n * leaves];
    let mut needed = vec![f32::INFINITY; leaves];
    let branch = |ids: &[i64], leafs: &[i64], i: usize| -> Result<Branch, Refusal> {
        let (id, limit) = (ids[i] as usize, if leafs[i] != 0 { leaves } else { n });
        if ids[i] < 0 || id >= limit {
            return Err(Refusal::invalid("a tree points outside of its nodes"));
        }
        Ok(if leafs[i] != 0 {
            Branch::Leaf(id)
        } else {
            Branch::Decision(id)
        })
    };
    let mut visited = 0;
    for &root in &roots {
        let root = usize::try_from(root).ok().filter(|&r| r < n);
        let root = root.ok_or_else(|| Refusal::invalid("a tree root is outside of the nodes"))?;
        let mut stack: Vec<(Branch, Vec<(usize, bool)>)> =
            vec![(Branch::Decision(root), Vec::new())];
        while let Some((at, path)) = stack.pop() {
            visited += 1;
            if visited > 4 * (n + leaves) {
                return Err(Refusal::invalid("a tree is not a tree"));
            }
            match at {
                Branch::Leaf(leaf) => {
                    // A single-leaf tree has both branches on one leaf: any outcome reaches it.
                    if needed[leaf].is_finite() {
                        agree
                            .iter_mut()
                            .skip(leaf)
                            .step_by(leaves)
                            .for_each(|v| *v = 0.0);
                        needed[leaf] = 0.0;
                        continue;
                    }
                    needed[leaf] = path.iter().filter(|p| p.1).count() as f32;
                    for &(node, yes) in &path {
                        agree[node * leaves + leaf] = if yes { 1.0 } else { -1.0 };
                    }
                }
                Branch::Decision(i) => {
                    for (ids, leafs, yes) in [
                        (&true_ids, &true_leafs, true),
                        (&false_ids, &false_leafs, false),
                    ] {
                        let mut path = path.clone();
                        path.push((i, yes));
                        stack.push((branch(ids, leafs, i)?, path));
                    }
                }
            }
        }
    }

    let decisions = decisions(cx, x, &features, &modes, &splits, &members)?;
    let agree = constant(cx, &[n, leaves], &agree);
    let count = super::matmul::product(cx, decisions, agree, false, 1.0, None)?;
    let needed = constant(cx, &[leaves], &needed);
    let active = cx.binary(BinaryKind::Equal, count, needed)?;
    let active = cx.cast(active, DType::F32);
    let mut table = vec![0.0f32; leaves * outputs as usize];
    for (leaf, (&target, &weight)) in targets.iter().zip(&weights).enumerate() {
        if target < 0 || target >= outputs {
            return Err(Refusal::invalid(format!(
                "a leaf adds to target {target} of {outputs}"
            )));
        }
        table[leaf * outputs as usize + target as usize] = weight;
    }
    let table = constant(cx, &[leaves, outputs as usize], &table);
    let y = super::matmul::product(cx, active, table, false, 1.0, None)?;
    let y = cx.cast(y, dtype);
    cx.set_output(0, y);
    Ok(())
}

/// The outcome of every decision, `[N, nodes]` of 0 and 1 in f32.
fn decisions(
    cx: &mut NodeCx<'_>,
    x: ValueId,
    features: &[i64],
    modes: &[i64],
    splits: &[f32],
    members: &[f32],
) -> Result<ValueId, Refusal> {
    let rows = cx.shape(x)[0];
    let dtype = cx.dtype(x);
    let mut sets = members.split(|v| v.is_nan());
    let mut columns = Vec::new();
    for ((&feature, &mode), &split) in features.iter().zip(modes).zip(splits) {
        let at = indices(cx, &[1], &[feature]);
        let column = cx.emit(
            Gather { axis: 1 },
            &[x, at],
            Type::new(dtype, &[rows, Dim::ONE]),
        );
        let kind = match mode {
            0 => BinaryKind::LessOrEqual,
            1 => BinaryKind::Less,
            2 => BinaryKind::GreaterOrEqual,
            3 => BinaryKind::Greater,
            4..=6 => BinaryKind::Equal,
            other => return Err(Refusal::invalid(format!("node mode {other} is unknown"))),
        };
        let bounds = if mode == 6 {
            let set = sets.next().filter(|s| !s.is_empty());
            set.ok_or_else(|| Refusal::invalid("a set of members is missing"))?
                .to_vec()
        } else {
            vec![split]
        };
        let width = bounds.len();
        let bounds = constant(cx, &[width], &bounds);
        let bounds = cx.cast(bounds, dtype);
        let outcome = cx.binary(kind, column, bounds)?;
        let outcome = if mode == 5 {
            cx.unary(UnaryKind::Not, outcome)
        } else {
            outcome
        };
        let outcome = cx.cast(outcome, DType::F32);
        columns.push(if width == 1 {
            outcome
        } else {
            cx.reduce(ReduceKind::Max, outcome, &[1], true)?
        });
    }
    cx.concat(&columns, 1)
}

fn text(op: &str) -> Refusal {
    Refusal::unsupported(format!(
        "{op} works on text, which a bundle has no tensors for"
    ))
    .remedy("do the text part in the application, and start the model at its first numeric tensor")
}

/// Operators on strings.
pub(super) fn strings(cx: &mut NodeCx<'_>) -> Result<(), Refusal> {
    Err(text(cx.op_type()))
}

/// `ImageDecoder`.
pub(super) fn image_decoder(_cx: &mut NodeCx<'_>) -> Result<(), Refusal> {
    Err(
        Refusal::unsupported("image files are not decoded inside a model").remedy(
            "start the model at the decoded pixels; the bundle's own pre-processing takes images",
        ),
    )
}
