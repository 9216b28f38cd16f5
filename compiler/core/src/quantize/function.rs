//! What becomes of a tensor that functions alone read: the range that serves their results is not the one that serves the
//! tensor. A HardSwish makes zero of all below -3, so that no integers are spent there.

use super::scheme::Scheme;
use crate::ir::{Flow, Graph, MAIN, Node, Type, ValueId};
use crate::passes;
use cygnet_format::DType;
use std::collections::BTreeMap;

/// Most steps of a function.
const MAX_STEPS: usize = 8;
/// Points at which a function is computed; between them it is a line.
const POINTS: usize = 1 << 13;

/// A function of one tensor, element by element.
#[derive(Clone, Debug)]
pub(super) struct Function {
    /// Operands are those of `graph`; the first step reads the tensor.
    steps: Vec<Node>,
    of: ValueId,
    gives: ValueId,
}

/// A function over a range.
#[derive(Clone, Debug)]
pub(super) struct Tabulated {
    low: f64,
    step: f64,
    values: Vec<f32>,
}

impl Tabulated {
    /// The function's value; outside of the range that at its end.
    pub fn at(&self, x: f64) -> f64 {
        let last = self.values.len() - 1;
        let place = ((x - self.low) / self.step).clamp(0.0, last as f64);
        let i = (place as usize).min(last - 1);
        let part = place - i as f64;
        f64::from(self.values[i]) * (1.0 - part) + f64::from(self.values[i + 1]) * part
    }

    /// A table of values at even distances, for tests.
    #[cfg(test)]
    pub fn new(low: f64, high: f64, f: impl Fn(f64) -> f64) -> Tabulated {
        let step = (high - low) / (POINTS - 1) as f64;
        let values = (0..POINTS).map(|i| f(low + i as f64 * step) as f32);
        Tabulated {
            low,
            step,
            values: values.collect(),
        }
    }
}

impl Function {
    /// The functions that alone read points which share a scale with no other, by the point.
    pub fn all(graph: &Graph, scheme: &Scheme) -> BTreeMap<ValueId, Function> {
        let flow = Flow::of(graph);
        let mut sharing: BTreeMap<ValueId, usize> = BTreeMap::new();
        for root in scheme.points.values() {
            *sharing.entry(*root).or_default() += 1;
        }
        let alone = scheme.points.keys().filter(|&v| sharing.get(v) == Some(&1));
        let found = alone.filter_map(|&v| Some((v, Function::of(graph, scheme, &flow, v)?)));
        found.collect()
    }

    fn of(graph: &Graph, scheme: &Scheme, flow: &Flow, v: ValueId) -> Option<Function> {
        let nodes = &graph.blocks[MAIN.0 as usize].nodes;
        let mut inside = vec![v];
        let mut steps: Vec<usize> = Vec::new();
        let mut gives = None;
        let mut next = 0;
        while next < inside.len() {
            let x = inside[next];
            next += 1;
            if flow.is_read_elsewhere(x) {
                return None;
            }
            for &i in &flow.readers[x.0 as usize] {
                let y = nodes[i].outputs.first().copied().flatten()?;
                if !passes::is_pointwise(&nodes[i].op) || graph.ty(y).shape != graph.ty(v).shape {
                    return None;
                }
                if !steps.contains(&i) {
                    steps.push(i);
                }
                if scheme.points.contains_key(&y) {
                    if gives.replace(y).is_some_and(|g| g != y) {
                        return None;
                    }
                } else if !inside.contains(&y) {
                    inside.push(y);
                }
            }
            if steps.len() > MAX_STEPS {
                return None;
            }
        }
        steps.sort_unstable();
        let scalar =
            |x: ValueId| graph.value(x).data.is_some() && graph.ty(x).fixed_len() == Some(1);
        let known = |x: &ValueId| inside.contains(x) || scalar(*x);
        let operands = |&i: &usize| nodes[i].inputs.iter().flatten().all(known);
        let gives = gives.filter(|_| steps.iter().all(operands))?;
        Some(Function {
            steps: steps.iter().map(|&i| nodes[i].clone()).collect(),
            of: v,
            gives,
        })
    }

    /// The function over a range of its operand.
    pub fn over(&self, graph: &Graph, low: f32, high: f32) -> Option<Tabulated> {
        let step = (f64::from(high) - f64::from(low)) / (POINTS - 1) as f64;
        if !(step as f32).is_normal() {
            return None;
        }
        let reals = (0..POINTS).map(|i| (f64::from(low) + i as f64 * step) as f32);
        let mut alone = Graph::default();
        let x = alone.add_f32("x", &[POINTS], &reals.collect::<Vec<f32>>());
        let mut moved = BTreeMap::from([(self.of, x)]);
        for node in &self.steps {
            let mut inputs = Vec::new();
            for v in &node.inputs {
                let Some(v) = *v else {
                    inputs.push(None);
                    continue;
                };
                let there = match moved.get(&v) {
                    Some(&there) => there,
                    None => {
                        let value = graph.value(v);
                        let ty = Type::fixed(value.ty.dtype, &[]);
                        alone.add_constant("c", ty, value.data.as_ref()?.to_vec())
                    }
                };
                inputs.push(Some(there));
            }
            let y = node.outputs[0]?;
            let there = alone.add_value("y", Type::fixed(DType::F32, &[POINTS]));
            let alike = Node {
                op: node.op,
                inputs,
                outputs: vec![Some(there)],
                source: String::new(),
            };
            let data = crate::fold::evaluate(&alone, &alike)?.pop()??;
            alone.value_mut(there).data = Some(data.into());
            moved.insert(y, there);
        }
        let values = alone.constant_f32(*moved.get(&self.gives)?)?;
        values.iter().all(|v| v.is_finite()).then_some(Tabulated {
            low: f64::from(low),
            step,
            values,
        })
    }
}
