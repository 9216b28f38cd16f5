//! How a reshape looks from below a transposition: which axes it splits, merges, adds and drops.

use super::rewrite::permuted;
use cygnet_format::Dim;

/// `reshape(transpose(x, perm))` written as `transpose(reshape(transpose(x, before), shape), after)`.
pub(super) struct Sunk {
    pub before: Vec<usize>,
    pub shape: Vec<Dim>,
    pub after: Vec<usize>,
}

/// Axes of the operand and of the result that hold the same elements.
struct Group {
    from: Vec<usize>,
    to: Vec<usize>,
}

/// Splits a reshape into the smallest groups; `None` when symbolic dimensions do not match up.
fn groups(from: &[Dim], to: &[Dim]) -> Option<Vec<Group>> {
    let mut list = Vec::new();
    let (mut i, mut j) = (0, 0);
    while i < from.len() || j < to.len() {
        let (a, b) = (from.get(i).copied(), to.get(j).copied());
        if a.is_some() && a == b {
            list.push(Group {
                from: vec![i],
                to: vec![j],
            });
            (i, j) = (i + 1, j + 1);
        } else if a == Some(Dim::ONE) {
            list.push(Group {
                from: vec![i],
                to: Vec::new(),
            });
            i += 1;
        } else if b == Some(Dim::ONE) {
            list.push(Group {
                from: Vec::new(),
                to: vec![j],
            });
            j += 1;
        } else {
            let (mut p, mut q) = (a?.as_const()?, b?.as_const()?);
            let mut group = Group {
                from: vec![i],
                to: vec![j],
            };
            (i, j) = (i + 1, j + 1);
            while p != q {
                if p < q {
                    p = p.checked_mul(from.get(i)?.as_const()?)?;
                    group.from.push(i);
                    i += 1;
                } else {
                    q = q.checked_mul(to.get(j)?.as_const()?)?;
                    group.to.push(j);
                    j += 1;
                }
            }
            if p == 0 {
                return None;
            }
            list.push(group);
        }
    }
    Some(list)
}

/// Moves a reshape `from -> to` of `transpose(x, perm)` above the transposition.
pub(super) fn sink_reshape(from: &[Dim], to: &[Dim], perm: &[usize]) -> Option<Sunk> {
    let mut groups = groups(from, to)?;
    // New axes of one stay behind the group before them.
    let mut place = 0;
    let mut keys = Vec::new();
    for group in &groups {
        if let Some(first) = group.from.iter().map(|&i| perm[i]).min() {
            place = first;
        }
        keys.push(place);
    }
    let mut order: Vec<usize> = (0..groups.len()).collect();
    order.sort_by_key(|&g| (keys[g], g));
    let before: Vec<usize> = order
        .iter()
        .flat_map(|&g| groups[g].from.iter().map(|&i| perm[i]))
        .collect();
    let inner: Vec<usize> = order
        .iter()
        .flat_map(|&g| std::mem::take(&mut groups[g].to))
        .collect();
    let shape = permuted(to, &inner);
    let mut after = vec![0; to.len()];
    for (k, &j) in inner.iter().enumerate() {
        after[j] = k;
    }
    Some(Sunk {
        before,
        shape,
        after,
    })
}
