use super::*;
use crate::ir::{MAIN, Type};
use crate::testing::Random;
use cygnet_format::DType;
use cygnet_format::op::{Binary, BinaryKind, Concat, Loop, Reshape, Unary, UnaryKind};

fn vector(n: usize) -> Type {
    Type::fixed(DType::F32, &[n])
}

fn unary(kind: UnaryKind) -> Unary {
    Unary {
        kind,
        a: 0.0,
        b: 0.0,
    }
}

/// Checks a plan against lifetimes worked out from scratch: no two live tensors overlap unless one step wrote one in
/// place of the other.
fn check(graph: &Graph, plan: &Plan) {
    let block = &graph.blocks[0];
    let n = graph.values.len();
    let last = block.nodes.len() + 1;
    let (mut begin, mut end) = (vec![usize::MAX; n], vec![0; n]);
    for p in &graph.inputs {
        begin[p.value.0 as usize] = 0;
    }
    let mut pairs = Vec::new();
    for (t, node) in block.nodes.iter().enumerate() {
        for v in node.inputs.iter().flatten() {
            end[v.0 as usize] = end[v.0 as usize].max(t + 1);
        }
        for v in node.outputs.iter().flatten() {
            begin[v.0 as usize] = t + 1;
            end[v.0 as usize] = end[v.0 as usize].max(t + 1);
            for (j, x) in node.inputs.iter().enumerate() {
                if node.op.in_place_inputs(0) >> j & 1 == 1 {
                    pairs.push((x.unwrap(), *v));
                }
            }
        }
    }
    for p in &graph.outputs {
        end[p.value.0 as usize] = last;
    }
    let range = |v: usize| {
        let at = plan.offsets[v].unwrap();
        at..at + bytes_bound(graph, ValueId(v as u32)).unwrap()
    };
    for a in 0..n {
        if begin[a] == usize::MAX {
            continue;
        }
        assert_eq!(range(a).start % ALIGNMENT, 0);
        assert!(range(a).end <= plan.arena_bytes);
        for b in 0..a {
            if begin[b] == usize::MAX || begin[a] > end[b] || begin[b] > end[a] {
                continue;
            }
            let (x, y) = (range(a), range(b));
            if x.start < y.end && y.start < x.end {
                let (va, vb) = (ValueId(a as u32), ValueId(b as u32));
                let in_place = pairs.contains(&(va, vb)) || pairs.contains(&(vb, va));
                assert!(in_place && x.start == y.start, "values {a} and {b} overlap");
                // Only the step itself sees both.
                assert_eq!(begin[a].max(begin[b]), end[a].min(end[b]));
            }
        }
    }
}

fn random_graph(seed: u64, nodes: usize) -> Graph {
    let mut r = Random::new(seed);
    let mut g = Graph::default();
    let mut values = Vec::new();
    for i in 0..1 + r.below(3) {
        let v = g.add_value(format!("in{i}"), vector(1 + r.below(2000)));
        g.inputs.push(crate::ir::Port {
            name: format!("in{i}"),
            value: v,
        });
        values.push(v);
    }
    for _ in 0..nodes {
        let near = values.len() - 1 - r.below(values.len().min(6));
        let x = values[near];
        let ty = g.ty(x).clone();
        let v = match r.below(5) {
            0 => g.push(MAIN, "u", unary(UnaryKind::Relu), &[x], ty),
            1 => {
                let n = ty.fixed_len().unwrap();
                g.push(
                    MAIN,
                    "r",
                    Reshape {},
                    &[x],
                    Type::fixed(DType::F32, &[1, n]),
                )
            }
            2 => g.push(
                MAIN,
                "b",
                Binary {
                    kind: BinaryKind::Add,
                },
                &[x, x],
                ty,
            ),
            _ => {
                let y = values[r.below(values.len())];
                let n = ty.fixed_len().unwrap() + g.ty(y).fixed_len().unwrap();
                let n = if n > 5000 { 1 + r.below(900) } else { n };
                g.push(MAIN, "c", Concat { axis: 0 }, &[x, y], vector(n))
            }
        };
        values.push(v);
    }
    for i in 0..1 + r.below(2) {
        let v = values[values.len() - 1 - i];
        g.outputs.push(crate::ir::Port {
            name: format!("out{i}"),
            value: v,
        });
    }
    g
}

/// Random graphs that are planned.
const GRAPHS: u64 = 1000;

#[test]
fn no_two_live_tensors_overlap() {
    let (mut sum, mut worst) = (0.0f64, 1.0f64);
    for seed in 0..GRAPHS {
        let g = random_graph(seed, 3 + seed as usize % 60);
        let plan = plan(&g).unwrap();
        check(&g, &plan);
        assert!(plan.arena_bytes >= plan.lower_bound_bytes);
        let ratio = plan.arena_bytes as f64 / plan.lower_bound_bytes.max(1) as f64;
        sum += ratio;
        worst = worst.max(ratio);
    }
    // The bound cannot be reached by every graph; random ones are harder than models.
    let mean = sum / GRAPHS as f64;
    assert!(mean <= 1.005 && worst <= 1.05, "mean {mean}, worst {worst}");
}

#[test]
fn a_chain_of_elementwise_steps_uses_one_buffer() {
    let mut g = Graph::default();
    let x = g.add_value("x", vector(1000));
    g.inputs.push(crate::ir::Port {
        name: "x".into(),
        value: x,
    });
    let a = g.push(MAIN, "a", unary(UnaryKind::Exp), &[x], vector(1000));
    let b = g.push(
        MAIN,
        "b",
        Reshape {},
        &[a],
        Type::fixed(DType::F32, &[10, 100]),
    );
    let c = g.push(
        MAIN,
        "c",
        unary(UnaryKind::Neg),
        &[b],
        Type::fixed(DType::F32, &[10, 100]),
    );
    g.outputs.push(crate::ir::Port {
        name: "y".into(),
        value: c,
    });
    let plan = plan(&g).unwrap();
    assert_eq!((plan.arena_bytes, plan.in_place_steps), (4032, 3));
    // A second reader of the input forbids writing onto it.
    let d = g.push(
        MAIN,
        "d",
        Binary {
            kind: BinaryKind::Add,
        },
        &[x, x],
        vector(1000),
    );
    g.outputs.push(crate::ir::Port {
        name: "z".into(),
        value: d,
    });
    let plan = super::plan(&g).unwrap();
    assert_ne!(plan.offsets[x.0 as usize], plan.offsets[a.0 as usize]);
    assert_ne!(plan.offsets[x.0 as usize], plan.offsets[d.0 as usize]);
}

#[test]
fn values_that_a_loop_reads_outlive_it() {
    let mut g = Graph::default();
    let body = g.add_block();
    let outer = g.add_value("outer", vector(64));
    let start = g.add_value("start", vector(64));
    for (name, value) in [("outer", outer), ("start", start)] {
        g.inputs.push(crate::ir::Port {
            name: name.into(),
            value,
        });
    }
    let (i, cond) = (
        g.add_value("i", Type::fixed(DType::I64, &[])),
        g.add_value("c", Type::fixed(DType::Bool, &[])),
    );
    let carried = g.add_value("carried", vector(64));
    let trips = g.add_i64("trips", &[], &[3]);
    let s = g.push(
        body,
        "s",
        Binary {
            kind: BinaryKind::Add,
        },
        &[carried, outer],
        vector(64),
    );
    let next = g.push(body, "next", unary(UnaryKind::Tanh), &[s], vector(64));
    g.blocks[body.0 as usize].inputs = vec![i, cond, carried];
    g.blocks[body.0 as usize].outputs = vec![cond, next];
    let y = g.push_node(
        MAIN,
        "loop",
        Loop { body, carried: 1 },
        vec![Some(trips), None, Some(start)],
        vec![Some(vector(64))],
    )[0]
    .unwrap();
    g.outputs.push(crate::ir::Port {
        name: "y".into(),
        value: y,
    });
    let plan = plan(&g).unwrap();
    let at = |v: ValueId| plan.offsets[v.0 as usize].unwrap();
    let mut live = vec![at(outer), at(carried), at(next), at(y), at(i), at(cond)];
    live.sort_unstable();
    live.dedup();
    assert_eq!(live.len(), 6, "{live:?}");
    assert_eq!(at(s), at(next), "the body's own chain is in place");
}

#[test]
fn two_thousand_nodes_plan_quickly() {
    let g = random_graph(7, 2000);
    let start = std::time::Instant::now();
    let plan = plan(&g).unwrap();
    assert!(start.elapsed().as_secs() < 20);
    check(&g, &plan);
}
