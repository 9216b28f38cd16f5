//! What would make a program fit a budget that it misses.

use super::memory::{MemoryMap, live_tensors};
use cygnet_format::program::{Place, Program, TensorId, TensorInfo};
use cygnet_format::{BlockId, DType, Op};
use serde::Serialize;

/// A change, and what it would come to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Remedy {
    /// What to do.
    pub what: String,
    /// Bytes after it, an estimate from the tensors as they are.
    pub bytes: u64,
    /// Whether the budget would hold.
    pub fits: bool,
}

impl Remedy {
    /// `int8 activations (--quantize int8): about 12000 bytes, which fits`.
    pub fn text(&self) -> String {
        let fits = if self.fits {
            "which fits"
        } else {
            "still too much"
        };
        format!("{}: about {} bytes, {fits}", self.what, self.bytes)
    }
}

/// What lowers the arena: fewer bits, and bands of rows around the peak. `besides` are bytes of RAM that stay as they are.
pub fn remedies_for_ram(
    program: &Program<'_>,
    map: &MemoryMap,
    budget: u64,
    besides: u64,
) -> Vec<Remedy> {
    let live = live_tensors(program);
    let mut remedies = Vec::new();
    let mut add = |what: String, arena: u64| {
        let bytes = arena + besides;
        if arena < map.peak_bytes() {
            remedies.push(Remedy {
                what,
                bytes,
                fits: bytes <= budget,
            });
        }
    };
    for (bits, flag) in [(16, "int8x16"), (8, "int8")] {
        add(
            format!("activations of {bits} bits (--quantize {flag} --calibrate DIR)"),
            with_bits(program, map, &live, bits),
        );
    }
    for first in [map.peak_step.checked_sub(1), Some(map.peak_step)]
        .into_iter()
        .flatten()
    {
        if let Some((rows, arena)) = banded(program, map, &live, first) {
            let name = |i: usize| match map.steps[i].node.as_str() {
                "" => map.steps[i].operator.clone(),
                node => format!("{} {node}", map.steps[i].operator),
            };
            add(
                format!(
                    "steps {first} ({}) and {} ({}) by bands of rows, {rows} of what lies between them at a time (compile --fit)",
                    name(first),
                    first + 1,
                    name(first + 1)
                ),
                arena,
            );
        }
    }
    remedies
}

/// The peak when floats at each step took `bits`. Inputs and outputs stay as they are: quantising converts them.
fn with_bits(program: &Program<'_>, map: &MemoryMap, live: &[Vec<TensorId>], bits: u64) -> u64 {
    let outside = |id: TensorId| {
        let mut ports = program.inputs().iter().chain(program.outputs().iter());
        ports.any(|port| port == Some(id))
    };
    let at = |(step, live): (usize, &Vec<TensorId>)| {
        let (mut now, mut then) = (0u64, 0u64);
        for &id in live {
            let t = program.tensor(id);
            now += t.bytes_bound;
            then += match t.dtype {
                DType::F32 if !outside(id) => t.bytes_bound * bits / 32,
                _ => t.bytes_bound,
            };
        }
        // Tensors that share memory count once.
        (map.steps[step].live_bytes * then)
            .checked_div(now)
            .unwrap_or(0)
    };
    live.iter().enumerate().map(at).max().unwrap_or(0)
}

/// Rows of an operator's window; 0 for what has no rows.
fn window_rows(op: &Op) -> u64 {
    let kernel = match op {
        Op::Conv(o) => &o.kernel,
        Op::DepthwiseConv(o) => &o.kernel,
        Op::QuantizedConv(o) => &o.kernel,
        Op::QuantizedDepthwise(o) => &o.kernel,
        Op::Int16Conv(o) => &o.kernel,
        Op::Int16Depthwise(o) => &o.kernel,
        Op::Pool(o) => &o.kernel,
        Op::QuantizedAveragePool(o) => &o.kernel,
        _ => return 0,
    };
    match kernel.len() {
        2 => kernel
            .iter()
            .next()
            .map_or(0, |&k| u64::from(k.unsigned_abs())),
        _ => 0,
    }
}

/// Rows that are kept between steps `first` and the next, and the peak then; `None` when they are not two spatial steps in
/// a row with one tensor between them.
fn banded(
    program: &Program<'_>,
    map: &MemoryMap,
    live: &[Vec<TensorId>],
    first: usize,
) -> Option<(u64, u64)> {
    let block = program.block(BlockId(0));
    let step = |i: usize| program.step(block.first_step + i as u32);
    if first + 1 >= map.steps.len() {
        return None;
    }
    let (a, b) = (step(first)?, step(first + 1)?);
    let between = a.outputs.get(0)?;
    if window_rows(&a.op()?) == 0 || b.inputs.get(0)? != between {
        return None;
    }
    // What later steps read has to stay whole.
    if live
        .get(first + 2)
        .is_some_and(|later| later.contains(&between))
    {
        return None;
    }
    let t: TensorInfo<'_> = program.tensor(between);
    if t.dims.len() != 4 || t.dims.iter().any(|d| d.as_expr().is_some()) {
        return None;
    }
    let height = t.dims.get(1)?.0 as u64;
    let rows = window_rows(&b.op()?);
    if rows == 0 || rows >= height {
        return None;
    }
    let band = t.bytes_bound / height * rows;
    // Both steps run at the same time.
    let mut together: Vec<TensorId> = [&live[first][..], &live[first + 1][..]].concat();
    together.sort_unstable_by_key(|id| id.0);
    together.dedup();
    let fused: u64 = together
        .iter()
        .filter(|&&id| id != between)
        .map(|&id| program.tensor(id).bytes_bound)
        .sum();
    let others = (0..map.steps.len())
        .filter(|&i| i != first && i != first + 1)
        .map(|i| map.steps[i].live_bytes);
    Some((rows, others.max().unwrap_or(0).max(fused + band)))
}

/// What lowers the bytes of weights. `besides` are bytes of flash that stay as they are.
pub fn remedies_for_flash(program: &Program<'_>, budget: u64, besides: u64) -> Vec<Remedy> {
    let (mut floats, mut bytes, mut others) = (0u64, 0u64, 0u64);
    let mut seen = std::collections::BTreeSet::new();
    for id in (0..program.tensors() as u32).map(TensorId) {
        let t = program.tensor(id);
        let Place::Const(place) = t.place else {
            continue;
        };
        if !seen.insert(place) {
            continue;
        }
        match t.dtype {
            DType::F32 => floats += t.bytes_bound,
            DType::I8 | DType::U8 => bytes += t.bytes_bound,
            _ => others += t.bytes_bound,
        }
    }
    let mut remedies = Vec::new();
    let mut add = |what: &str, weights: u64| {
        let total = weights + others + besides;
        remedies.push(Remedy {
            what: what.into(),
            bytes: total,
            fits: total <= budget,
        });
    };
    // A scale of four bytes for 64 weights.
    let four_bits = |weights: u64| weights / 2 + weights / 16;
    if floats > bytes {
        add(
            "weights of 8 bits (--quantize int8 --calibrate DIR)",
            floats / 4 + bytes,
        );
        add(
            "weights of 4 bits (--quantize int4, by the interpreter)",
            four_bits(floats / 4) + bytes,
        );
    } else if bytes > 0 {
        add(
            "weights of 4 bits (--quantize int4 of the float model, by the interpreter)",
            four_bits(bytes) + floats,
        );
    }
    remedies
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bundle::memory_map;

    fn digits() -> Vec<u8> {
        let onnx = include_bytes!("../../../../tests/data/digits.onnx");
        let options = crate::CompileOptions {
            level: crate::passes::Level::Compact,
            ..Default::default()
        };
        crate::compile(onnx, &options).unwrap().program.bytes
    }

    #[test]
    fn fewer_bits_take_less_and_what_fits_is_told() {
        let bytes = digits();
        let program = Program::parse(&bytes).unwrap();
        let map = memory_map(&program);
        let remedies = remedies_for_ram(&program, &map, map.peak_bytes() / 3, 0);
        let int8 = remedies.iter().find(|r| r.what.contains("8 bits")).unwrap();
        assert!(int8.fits && int8.bytes < map.peak_bytes() / 3, "{int8:?}");
        let int16 = remedies
            .iter()
            .find(|r| r.what.contains("16 bits"))
            .unwrap();
        assert!(!int16.fits && int16.text().ends_with("still too much"));
        // What nothing can change is part of the sum.
        let all = remedies_for_ram(&program, &map, map.peak_bytes() / 3, map.peak_bytes());
        assert!(all.iter().all(|r| !r.fits));

        let remedies = remedies_for_flash(&program, bytes.len() as u64 / 3, 0);
        assert_eq!(remedies.len(), 2);
        assert!(remedies[1].bytes < remedies[0].bytes);
    }

    #[test]
    fn bands_leave_out_what_lies_between_two_steps() {
        let bytes = digits();
        let program = Program::parse(&bytes).unwrap();
        let map = memory_map(&program);
        let live = live_tensors(&program);
        let found: Vec<(usize, u64, u64)> = (0..map.steps.len())
            .filter_map(|i| banded(&program, &map, &live, i).map(|(rows, arena)| (i, rows, arena)))
            .collect();
        assert!(!found.is_empty());
        for (first, rows, arena) in found {
            assert!((1..28).contains(&rows));
            let others = (0..map.steps.len())
                .filter(|&i| i != first && i != first + 1)
                .map(|i| map.steps[i].live_bytes)
                .max();
            assert!(arena >= others.unwrap_or(0));
        }
    }
}
