//! `TfIdfVectorizer` over integers: n-grams are counted by comparing shifted slices with the pool.

use super::super::{NodeCx, Refusal};
use super::lower::{constant, fixed, narrow};
use super::matmul::product;
use crate::ir::{Type, ValueId};
use cygnet_format::op::{BinaryKind, ReduceKind, UnaryKind};
use cygnet_format::{DType, Dim};

/// Most comparisons of one n-gram length.
const LARGEST: usize = 1 << 24;

/// The n-grams of one length and their first position in the pool's order.
struct Grams {
    length: usize,
    first: usize,
    elements: Vec<i64>,
}

/// Splits the pool by n-gram length.
fn pool(cx: &NodeCx<'_>) -> Result<Vec<Grams>, Refusal> {
    if cx.has_attribute("pool_strings") {
        return Err(Refusal::unsupported(
            "TfIdfVectorizer works on text here, which a bundle has no tensors for",
        )
        .remedy("map the words to integers in the application"));
    }
    let elements = cx.ints("pool_int64s")?.unwrap_or_default();
    let starts = cx.ints("ngram_counts")?.unwrap_or_default();
    let mut grams = Vec::new();
    let mut first = 0;
    for (i, &start) in starts.iter().enumerate() {
        let end = starts.get(i + 1).map_or(elements.len() as i64, |&e| e);
        let range = usize::try_from(start).ok().zip(usize::try_from(end).ok());
        let part = range
            .and_then(|(a, b)| elements.get(a..b))
            .filter(|p| p.len() % (i + 1) == 0);
        let part = part.ok_or_else(|| Refusal::invalid("ngram_counts does not fit the pool"))?;
        grams.push(Grams {
            length: i + 1,
            first,
            elements: part.to_vec(),
        });
        first += part.len() / (i + 1);
    }
    Ok(grams)
}

/// Occurrences of every n-gram of one length, `[B, G]` in f32, elements `gap` positions apart.
fn count(
    cx: &mut NodeCx<'_>,
    x: ValueId,
    grams: &Grams,
    gap: usize,
    windows: usize,
) -> Result<ValueId, Refusal> {
    let (batch, dtype) = (cx.shape(x)[0], cx.dtype(x));
    let n = grams.elements.len() / grams.length;
    let mut all = None;
    for k in 0..grams.length {
        let start = k * gap;
        let part = cx.slice(x, 1, Dim(start as i32), Dim((start + windows) as i32), 1)?;
        let part = cx.reshape(part, &[batch, Dim(windows as i32), Dim::ONE]);
        let bytes = grams
            .elements
            .iter()
            .skip(k)
            .step_by(grams.length)
            .flat_map(|v| v.to_le_bytes())
            .collect();
        let keys = cx.constant(Type::fixed(DType::I64, &[n]), bytes);
        let keys = narrow(cx, keys, dtype);
        let equal = cx.binary(BinaryKind::Equal, part, keys)?;
        all = Some(match all {
            Some(all) => cx.binary(BinaryKind::And, all, equal)?,
            None => equal,
        });
    }
    let all = all.ok_or_else(|| Refusal::invalid("an n-gram of no elements"))?;
    let all = cx.cast(all, DType::F32);
    cx.reduce(ReduceKind::Sum, all, &[1], false)
}

/// `TfIdfVectorizer`.
pub(super) fn tf_idf(cx: &mut NodeCx<'_>) -> Result<(), Refusal> {
    let pool = pool(cx)?;
    let total = pool
        .iter()
        .map(|g| g.elements.len() / g.length)
        .sum::<usize>();
    let columns = cx.ints("ngram_indexes")?.unwrap_or_default();
    let weights = cx.floats("weights")?.unwrap_or_else(|| vec![1.0; total]);
    let mode = cx.str_or("mode", "")?;
    if columns.len() != total
        || weights.len() != total
        || !["TF", "IDF", "TFIDF"].contains(&mode.as_str())
    {
        return Err(Refusal::invalid(
            "ngram_indexes, weights or mode do not fit the pool",
        ));
    }
    let width = columns.iter().max().map_or(0, |&m| m + 1);
    if width < 1
        || columns.iter().any(|&c| c < 0)
        || (width as usize).saturating_mul(total) > LARGEST
    {
        return Err(Refusal::unsupported(format!(
            "an output of {width} columns"
        )));
    }
    let width = width as usize;
    let shortest = cx.int_or("min_gram_length", 1)?.max(1) as usize;
    let longest = cx.int_or("max_gram_length", 1)?.max(0) as usize;
    let skips = usize::try_from(cx.int_or("max_skip_count", 0)?).unwrap_or(0);
    let x = cx.input(0)?;
    let shape = cx.shape(x);
    if !matches!(cx.dtype(x), DType::I32 | DType::I64) || !(1..=2).contains(&shape.len()) {
        return Err(Refusal::invalid(
            "the input is not a vector or matrix of integers",
        ));
    }
    let batch = if shape.len() == 2 { shape[0] } else { Dim::ONE };
    let length = fixed(shape[shape.len() - 1], "the length of the sequence")?;
    let x = cx.reshape(x, &[batch, Dim(length as i32)]);

    let mut counts = Vec::new();
    let mut select = Vec::new();
    for grams in pool
        .iter()
        .filter(|g| (shortest..=longest).contains(&g.length) && !g.elements.is_empty())
    {
        if grams.elements.len().saturating_mul(length) > LARGEST {
            return Err(Refusal::unsupported(format!(
                "{} n-grams over {length} elements",
                total
            )));
        }
        let mut sum = None;
        // Single elements have no gaps to skip.
        for skip in 0..=(if grams.length == 1 { 0 } else { skips }) {
            let reach = (grams.length - 1) * (skip + 1);
            if reach >= length {
                break;
            }
            let one = count(cx, x, grams, skip + 1, length - reach)?;
            sum = Some(match sum {
                Some(sum) => cx.binary(BinaryKind::Add, sum, one)?,
                None => one,
            });
        }
        let Some(sum) = sum else { continue };
        counts.push(sum);
        for id in grams.first..grams.first + grams.elements.len() / grams.length {
            let mut row = vec![0.0f32; width];
            row[columns[id] as usize] = if mode == "TF" { 1.0 } else { weights[id] };
            select.extend(row);
        }
    }
    let wide = [batch, Dim(width as i32)];
    let y = if counts.is_empty() {
        let zero = cx.scalar(0.0, DType::F32);
        cx.expand(zero, &wide)?
    } else {
        let mut found = cx.concat(&counts, 1)?;
        if mode == "IDF" {
            found = cx.unary_ab(UnaryKind::Clip, found, 0.0, 1.0);
        }
        let select = constant(cx, &[select.len() / width, width], &select);
        product(cx, found, select, false, 1.0, None)?
    };
    let y = if shape.len() == 2 {
        y
    } else {
        cx.reshape(y, &wide[1..])
    };
    cx.set_output(0, y);
    Ok(())
}
