//! Control flow: resolved while importing where conditions are known, else blocks.

use super::super::error::Refusal;
use super::super::tensor::short;
use super::super::{Entry, Importer, NodeCx};
use crate::ir::{Type, ValueId};
use cygnet_format::op::{If, Loop, Reshape, Scan};
use cygnet_format::{BlockId, DType, Dim};
use tract_onnx::pb::GraphProto;

/// Trip counts up to this are unrolled at once.
const UNROLL_FIRST: i64 = 4;
/// Trip counts up to this are unrolled where a loop step cannot hold the body.
const UNROLL_LAST: i64 = 512;

fn one_value(cx: &mut NodeCx<'_>, v: ValueId) -> Option<i64> {
    if let Ok(list) = cx.const_i64(v) {
        return list.first().copied();
    }
    let d = *cx.dim_list(v).ok()?.first()?;
    cx.graph().dim_value(d)
}

/// Outputs of a block are made in the block: what comes from outside, is an input or stands twice is copied.
fn own_outputs(imp: &mut Importer, block: BlockId, values: &mut [ValueId], source: &str) {
    for i in 0..values.len() {
        let v = values[i];
        let inside = imp.graph.blocks[block.0 as usize]
            .nodes
            .iter()
            .any(|n| n.outputs.contains(&Some(v)));
        if !inside || values[..i].contains(&v) {
            let ty = imp.graph.ty(v).clone();
            values[i] = imp.graph.push(block, source, Reshape {}, &[v], ty);
        }
    }
}

fn tensors(entries: Vec<Entry>) -> Result<Vec<ValueId>, Refusal> {
    entries
        .into_iter()
        .map(|e| match e {
            Entry::Value(v) => Ok(v),
            _ => Err(Refusal::unsupported(
                "a body gives a sequence or an optional, which cannot exist at run time",
            )
            .remedy("use tensors in the body, or make the condition or trip count constant")),
        })
        .collect()
}

pub(super) fn if_else(cx: &mut NodeCx<'_>) -> Result<(), Refusal> {
    let condition = cx.input(0)?;
    let (then, other) = (cx.subgraph("then_branch")?, cx.subgraph("else_branch")?);
    if let Some(c) = one_value(cx, condition) {
        let branch = if c != 0 { then } else { other };
        for (i, entry) in cx
            .imp
            .inline_graph(branch, Vec::new())?
            .into_iter()
            .enumerate()
        {
            cx.set_entry(i, entry);
        }
        return Ok(());
    }
    let condition = cx.reshape(condition, &[]);
    let source = cx.source();
    let mut sides = Vec::new();
    for branch in [then, other] {
        let block = cx.graph().add_block();
        let entries = cx.imp.graph_into(block, branch, Vec::new())?;
        let mut values = tensors(entries).map_err(|why| cx.needs(condition).remedy(why.reason))?;
        own_outputs(cx.imp, block, &mut values, &source);
        sides.push((block, values));
    }
    let (a, b) = (&sides[0], &sides[1]);
    if a.1.len() != b.1.len() || a.1.len() < cx.n_outputs() {
        return Err(Refusal::invalid(
            "its branches give different numbers of outputs",
        ));
    }
    let mut types = Vec::new();
    for (i, (&x, &y)) in a.1.iter().zip(&b.1).enumerate() {
        let (x, y) = (cx.ty(x), cx.ty(y));
        if x != y {
            let name = cx.node.output.get(i).map_or("", String::as_str);
            let what = if x.rank() != y.rank() {
                "number of axes"
            } else {
                "shape or element type"
            };
            return Err(cx.needs(condition).remedy(format!(
                "its branches give '{}' a different {what} ({x:?} and {y:?}): freeze the condition, or make both give one",
                short(name)
            )));
        }
        types.push(Some(x));
    }
    let op = If {
        then_block: a.0,
        else_block: b.0,
    };
    for (block, values) in sides {
        cx.graph().blocks[block.0 as usize].outputs = values;
    }
    for (i, v) in cx
        .emit_n(op, &[Some(condition)], &types)
        .into_iter()
        .enumerate()
    {
        cx.set_output(i, v.expect("asked for"));
    }
    Ok(())
}

/// Lengths to cut back to when a trial fails. A trial only appends: to the tables, to the current block, new blocks.
struct Checkpoint {
    values: usize,
    blocks: usize,
    nodes: usize,
    symbols: usize,
    exprs: usize,
    problems: usize,
}

impl Checkpoint {
    fn take(imp: &Importer) -> Checkpoint {
        Checkpoint {
            values: imp.graph.values.len(),
            blocks: imp.graph.blocks.len(),
            nodes: imp.graph.blocks[imp.block.0 as usize].nodes.len(),
            symbols: imp.graph.symbols.len(),
            exprs: imp.graph.exprs.len(),
            problems: imp.problems.len(),
        }
    }

    fn restore(self, imp: &mut Importer) {
        imp.known.retain(|v, _| (v.0 as usize) < self.values);
        imp.graph.values.truncate(self.values);
        imp.graph.blocks.truncate(self.blocks);
        imp.graph.blocks[imp.block.0 as usize]
            .nodes
            .truncate(self.nodes);
        imp.graph.symbols.truncate(self.symbols);
        imp.graph.exprs.truncate(self.exprs);
        imp.terms.truncate(self.exprs);
        imp.problems.truncate(self.problems);
    }
}

pub(super) fn loop_while(cx: &mut NodeCx<'_>) -> Result<(), Refusal> {
    let body = cx.subgraph("body")?;
    let (trip, condition) = (cx.opt_input(0)?, cx.opt_input(1)?);
    let mut carried = Vec::new();
    for i in 2..cx.n_inputs() {
        carried.push(
            cx.entry(i)?
                .ok_or_else(|| Refusal::invalid("a carried value is missing"))?,
        );
    }
    if body.input.len() != carried.len() + 2 || body.output.len() < carried.len() + 1 {
        return Err(Refusal::invalid(
            "its body has another number of inputs or outputs than it carries",
        ));
    }
    let trips = trip.and_then(|v| one_value(cx, v));
    let start = condition.map_or(Some(1), |v| one_value(cx, v));
    let static_only = carried.iter().any(|e| !matches!(e, Entry::Value(_)));
    let can_unroll = start.is_some() && trips.is_some_and(|t| t <= UNROLL_LAST);
    let unroll_first = can_unroll && (static_only || trips.is_some_and(|t| t <= UNROLL_FIRST));
    if static_only && !can_unroll {
        let open = [
            trip.filter(|_| trips.is_none()),
            condition.filter(|_| start.is_none()),
        ]
        .into_iter()
        .flatten()
        .next();
        return Err(open.map_or_else(|| Refusal::needs_constant("M"), |v| cx.needs(v)).remedy(
            "the loop carries a sequence: freeze the trip count to a constant, or use scan outputs instead",
        ));
    }
    let attempts = [
        unroll_first.then_some(true),
        (!static_only).then_some(false),
        (can_unroll && !unroll_first).then_some(true),
    ];
    let mut first = None;
    for unrolled in attempts.into_iter().flatten() {
        let checkpoint = Checkpoint::take(cx.imp);
        let before = cx.imp.problems.len();
        let outcome = if unrolled {
            unroll(
                cx,
                body,
                trips.unwrap_or(0),
                start != Some(0),
                carried.clone(),
            )
        } else {
            as_step(cx, body, (trip, condition), (trips, start), &carried)
        };
        match outcome {
            Ok(()) if cx.imp.problems.len() == before && cx.deferred.is_none() => return Ok(()),
            outcome => {
                let refusal = cx
                    .deferred
                    .take()
                    .map_or(outcome, Err)
                    .err()
                    .unwrap_or_else(Refusal::consequence);
                let problems = cx.imp.problems[before..].to_vec();
                checkpoint.restore(cx.imp);
                first.get_or_insert((refusal, problems));
            }
        }
    }
    let (refusal, problems) = first.unwrap_or_else(|| (Refusal::needs_constant("M"), Vec::new()));
    problems.into_iter().for_each(|p| cx.imp.problem(p));
    Err(refusal)
}

fn unroll(
    cx: &mut NodeCx<'_>,
    body: &GraphProto,
    trips: i64,
    start: bool,
    carried: Vec<Entry>,
) -> Result<(), Refusal> {
    let n = carried.len();
    let mut state = carried;
    let mut scans: Vec<Vec<ValueId>> = vec![Vec::new(); body.output.len() - n - 1];
    let mut go = start;
    let mut i = 0;
    while go && i < trips {
        let index = cx.constant(Type::fixed(DType::I64, &[]), i.to_le_bytes().to_vec());
        let truth = cx.scalar(1.0, DType::Bool);
        let names = body.input.iter().map(|v| v.name.clone());
        let inputs = names
            .zip(
                [Entry::Value(index), Entry::Value(truth)]
                    .into_iter()
                    .chain(state),
            )
            .collect();
        let mut outputs = cx.imp.inline_graph(body, inputs)?;
        for (list, entry) in scans.iter_mut().zip(tensors(outputs.split_off(n + 1))?) {
            let mut shape = cx.shape(entry);
            shape.insert(0, Dim::ONE);
            cx.typed(DType::F32, &shape)?;
            list.push(cx.reshape(entry, &shape));
        }
        let Entry::Value(next) = outputs.remove(0) else {
            return Err(Refusal::invalid("its body gives no condition"));
        };
        go = one_value(cx, next)
            .ok_or_else(|| Refusal::needs_constant("condition of the loop's body"))?
            != 0;
        state = outputs;
        i += 1;
    }
    for (i, entry) in state.into_iter().enumerate() {
        cx.set_entry(i, entry);
    }
    for (i, list) in scans.into_iter().enumerate() {
        if list.is_empty() {
            return Err(Refusal::unsupported(
                "it stacks the results of no iteration",
            ));
        }
        let y = cx.concat(&list, 0)?;
        cx.set_output(n + i, y);
    }
    Ok(())
}

type Optional = Option<ValueId>;

fn as_step(
    cx: &mut NodeCx<'_>,
    body: &GraphProto,
    (trip, condition): (Optional, Optional),
    (trips, start): (Option<i64>, Option<i64>),
    carried: &[Entry],
) -> Result<(), Refusal> {
    let source = cx.source();
    let carried = tensors(carried.to_vec())?;
    let block = cx.graph().add_block();
    let mut types = vec![Type::fixed(DType::I64, &[]), Type::fixed(DType::Bool, &[])];
    types.extend(carried.iter().map(|&v| cx.ty(v)));
    let inputs: Vec<ValueId> = types
        .iter()
        .map(|ty| {
            let name = format!("body_{}", cx.graph().values.len());
            cx.graph().add_value(name, ty.clone())
        })
        .collect();
    let names = body
        .input
        .iter()
        .map(|i| i.name.clone())
        .zip(inputs.iter().map(|&v| Entry::Value(v)))
        .collect();
    let entries = cx.imp.graph_into(block, body, names)?;
    let mut outputs = tensors(entries)?;
    let endless =
        one_value(cx, outputs[0]) == Some(1) || (outputs[0] == inputs[1] && start == Some(1));
    for (i, &v) in outputs[1..].iter().take(carried.len()).enumerate() {
        if cx.ty(v) != types[i + 2] {
            return Err(Refusal::unsupported(format!(
                "its carried value '{}' changes from {:?} to {:?} in the body",
                short(&body.input[i + 2].name),
                types[i + 2],
                cx.ty(v)
            ))
            .remedy(
                "make the trip count a constant, so that the loop is unrolled, or keep the shape",
            ));
        }
    }
    if cx.rank(outputs[0]) != 0 {
        let flat = Type::fixed(DType::Bool, &[]);
        outputs[0] = cx
            .graph()
            .push(block, &source, Reshape {}, &[outputs[0]], flat);
    }
    let mut results: Vec<Option<Type>> = types[2..].iter().cloned().map(Some).collect();
    if outputs.len() > carried.len() + 1 {
        let count = match trips.map(|t| t.clamp(0, i32::MAX as i64) as i32) {
            Some(t) if endless => Dim(t),
            Some(t) => super::indexing::runtime_dim(cx, Dim(t)),
            None => {
                return Err(trip.map_or_else(|| Refusal::needs_constant("M"), |v| cx.needs(v))
                    .remedy("give the loop that stacks results a constant trip count: it bounds their number"));
            }
        };
        for &v in &outputs[carried.len() + 1..] {
            let ty = cx.ty(v);
            let shape: Vec<Dim> = std::iter::once(count)
                .chain(ty.shape.iter().copied())
                .collect();
            results.push(Some(cx.typed(ty.dtype, &shape)?));
        }
    }
    own_outputs(cx.imp, block, &mut outputs, &source);
    let slot = &mut cx.graph().blocks[block.0 as usize];
    slot.inputs = inputs;
    slot.outputs = outputs;
    let trip = trip.map(|v| {
        let v = cx.cast(v, DType::I64);
        cx.reshape(v, &[])
    });
    let condition = condition.map(|v| cx.reshape(v, &[]));
    let operands: Vec<_> = [trip, condition]
        .into_iter()
        .chain(carried.iter().map(|&v| Some(v)))
        .collect();
    let op = Loop {
        body: block,
        carried: carried.len() as u32,
    };
    for (i, v) in cx.emit_n(op, &operands, &results).into_iter().enumerate() {
        cx.set_output(i, v.expect("asked for"));
    }
    Ok(())
}

pub(super) fn scan(cx: &mut NodeCx<'_>) -> Result<(), Refusal> {
    if cx.opset() < 9 {
        return Err(
            Refusal::unsupported("Scan of operator set 8 has a batch axis")
                .remedy("convert the model to operator set 9 or later"),
        );
    }
    let body = cx.subgraph("body")?;
    let source = cx.source();
    let scanned = usize::try_from(cx.int_or("num_scan_inputs", 0)?).unwrap_or(usize::MAX);
    let total = cx.n_inputs();
    if scanned == 0
        || scanned > total
        || body.input.len() != total
        || body.output.len() + scanned < total
    {
        return Err(Refusal::invalid(
            "its body has another number of inputs or outputs than it scans",
        ));
    }
    let states = total - scanned;
    let stacked = body.output.len() - states;
    if scanned > 16 || stacked > 16 {
        return Err(Refusal::unsupported("it scans more than 16 tensors"));
    }
    let per = |list: Option<Vec<i64>>, n: usize| -> Result<Vec<i64>, Refusal> {
        match list {
            None => Ok(vec![0; n]),
            Some(list) if list.len() == n => Ok(list),
            Some(_) => Err(Refusal::invalid(
                "its axes or directions do not fit its number of tensors",
            )),
        }
    };
    let in_axes = per(cx.ints("scan_input_axes")?, scanned)?;
    let in_reverse = per(cx.ints("scan_input_directions")?, scanned)?;
    let out_axes = per(cx.ints("scan_output_axes")?, stacked)?;
    let out_reverse = per(cx.ints("scan_output_directions")?, stacked)?;
    let mut op = Scan {
        states: states as u32,
        ..Default::default()
    };
    let mut operands = Vec::new();
    let mut types = Vec::new();
    let mut length = None;
    for i in 0..total {
        let v = cx.input(i)?;
        let mut ty = cx.ty(v);
        if i >= states {
            let mut shape = ty.shape.to_vec();
            let axis = cx.axis(in_axes[i - states], shape.len())?;
            length.get_or_insert(shape.remove(axis));
            ty = Type::new(ty.dtype, &shape);
            let _ = op.input_axes.push(axis as i32);
            let _ = op.input_reverse.push((in_reverse[i - states] != 0) as u32);
        }
        operands.push(Some(v));
        types.push(ty);
    }
    let length = length.unwrap_or(Dim::ONE);
    let block = cx.graph().add_block();
    op.body = block;
    let inputs: Vec<ValueId> = types
        .iter()
        .map(|ty| {
            let name = format!("body_{}", cx.graph().values.len());
            cx.graph().add_value(name, ty.clone())
        })
        .collect();
    let names = body
        .input
        .iter()
        .map(|i| i.name.clone())
        .zip(inputs.iter().map(|&v| Entry::Value(v)))
        .collect();
    let entries = cx.imp.graph_into(block, body, names)?;
    let mut outputs = tensors(entries)?;
    let mut results = Vec::new();
    for (i, &v) in outputs.iter().enumerate() {
        let ty = cx.ty(v);
        if i < states {
            if ty != types[i] {
                return Err(Refusal::unsupported(format!(
                    "its state {i} changes from {:?} to {ty:?}",
                    types[i]
                )));
            }
            results.push(Some(ty));
            continue;
        }
        let mut shape = ty.shape.to_vec();
        let axis = cx.axis(out_axes[i - states], shape.len() + 1)?;
        shape.insert(axis, length);
        results.push(Some(cx.typed(ty.dtype, &shape)?));
        let _ = op.output_axes.push(axis as i32);
        let _ = op
            .output_reverse
            .push((out_reverse[i - states] != 0) as u32);
    }
    own_outputs(cx.imp, block, &mut outputs, &source);
    let slot = &mut cx.graph().blocks[block.0 as usize];
    slot.inputs = inputs;
    slot.outputs = outputs;
    for (i, v) in cx.emit_n(op, &operands, &results).into_iter().enumerate() {
        cx.set_output(i, v.expect("asked for"));
    }
    Ok(())
}
