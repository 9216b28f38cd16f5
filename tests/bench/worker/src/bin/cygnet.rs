//! The worker of Cygnet.

use cygnet_bench_worker::{Data, Engine, Input, Outcome, Spec};
use cygnet_runtime::{Model, Options, OwnedSession};
use std::sync::Arc;

struct Cygnet(OwnedSession);

impl Engine for Cygnet {
    fn open(spec: &Spec, threads: usize) -> Outcome<Self> {
        let bundle = spec.cygnet.as_ref().ok_or("there is no bundle")?;
        let model = Model::open(bundle).map_err(|e| e.to_string())?;
        let session = OwnedSession::new(Arc::new(model), Options::default().threads(threads))
            .map_err(|e| e.to_string())?;
        Ok(Cygnet(session))
    }

    fn run(&mut self, inputs: &[Input], outputs: &mut Vec<Vec<f32>>) -> Outcome<()> {
        let Cygnet(session) = self;
        session.reset_state();
        for (i, input) in inputs.iter().enumerate() {
            let mut tensor = session.input_mut(i).map_err(|e| e.to_string())?;
            match &input.data {
                Data::F32(v) => tensor.as_mut_slice().map(|to| to.copy_from_slice(v)),
                Data::I64(v) => tensor.as_mut_slice().map(|to| to.copy_from_slice(v)),
            }
            .map_err(|e| e.to_string())?;
        }
        session.run().map_err(|e| e.to_string())?;
        let count = session.program().outputs().len();
        outputs.resize_with(count, Vec::new);
        for (i, to) in outputs.iter_mut().enumerate() {
            let tensor = session.output(i).map_err(|e| e.to_string())?;
            let from = tensor.as_slice::<f32>().map_err(|e| e.to_string())?;
            to.clear();
            to.extend_from_slice(from);
        }
        Ok(())
    }

    fn describe(&self) -> String {
        format!("{} arena {}", self.0.isa(), self.0.program().arena_bytes())
    }
}

fn main() -> std::process::ExitCode {
    cygnet_bench_worker::main::<Cygnet>()
}
