//! The worker of rten.

use cygnet_bench_worker::{Data, Engine, Input, Outcome, Spec};
use rten::{Model, ModelOptions, NodeId, RunOptions, ThreadPool, Value, ValueOrView, ValueView};
use std::sync::Arc;

struct Rten {
    model: Model,
    inputs: Vec<NodeId>,
    outputs: Vec<NodeId>,
    pool: Arc<ThreadPool>,
}

impl Engine for Rten {
    fn open(spec: &Spec, threads: usize) -> Outcome<Self> {
        // Packed weights: more memory, faster runs.
        let model = ModelOptions::with_all_ops()
            .prepack_weights(true)
            .load_file(&spec.onnx)?;
        let inputs = spec
            .inputs
            .iter()
            .map(|input| model.node_id(&input.name))
            .collect::<Result<_, _>>()?;
        Ok(Rten {
            inputs,
            outputs: model.output_ids().to_vec(),
            model,
            pool: Arc::new(ThreadPool::with_num_threads(threads)),
        })
    }

    fn run(&mut self, inputs: &[Input], outputs: &mut Vec<Vec<f32>>) -> Outcome<()> {
        let mut values: Vec<(NodeId, ValueOrView)> = Vec::new();
        for (&id, input) in self.inputs.iter().zip(inputs) {
            let shape = input.shape.as_slice();
            values.push(match &input.data {
                Data::F32(v) => (id, ValueView::from_shape(shape, v)?.into()),
                // rten's integers have 32 bits.
                Data::I64(v) => {
                    let narrow: Vec<i32> = v.iter().map(|&v| v as i32).collect();
                    (id, Value::from_shape(shape, narrow)?.into())
                }
            });
        }
        let options = RunOptions::default().with_thread_pool(Some(self.pool.clone()));
        let results = self.model.run(values, &self.outputs, Some(options))?;
        outputs.resize_with(results.len(), Vec::new);
        for (to, result) in outputs.iter_mut().zip(results) {
            let Value::FloatTensor(tensor) = result else {
                return Err("an output has no floats".into());
            };
            *to = tensor.into_data();
        }
        Ok(())
    }
}

fn main() -> std::process::ExitCode {
    cygnet_bench_worker::main::<Rten>()
}
