//! Records what the engine costs beside the kernels: nanoseconds a step, and the time to open a model.
//! `cargo run --release -p cygnet-runtime --example overhead [MODEL]`

#[path = "../tests/net/mod.rs"]
mod net;

use cygnet_format::DType;
use cygnet_format::op::*;
use cygnet_runtime::{Config, Model};
use net::*;
use std::time::Instant;

const STEPS: usize = 2000;

fn main() {
    for (name, parts) in [("unary on 1 element", 0), ("concat of 8", 8)] {
        let mut net = Net::new();
        let mut x = net.fixed(DType::F32, &[1]);
        net.input(x);
        for _ in 0..STEPS {
            if parts > 0 {
                let y = net.fixed(DType::F32, &[parts]);
                net.step(Concat { axis: 0 }, &vec![x; parts], y);
            } else {
                let y = net.fixed(DType::F32, &[1]);
                net.step(
                    Unary {
                        kind: UnaryKind::Abs,
                        a: 0.0,
                        b: 0.0,
                    },
                    &[x],
                    y,
                );
                x = y;
            }
        }
        let mut program = net.write(&[x]);
        with_session(&mut program, Config::default(), |s| {
            let mut best = f64::MAX;
            for _ in 0..200 {
                let start = Instant::now();
                s.run().expect("the program runs");
                best = best.min(start.elapsed().as_nanos() as f64);
            }
            println!("{name}: {:.0} ns a step", best / STEPS as f64);
        });
    }
    for path in std::env::args().skip(1) {
        let mut best = f64::MAX;
        for _ in 0..20 {
            let start = Instant::now();
            let model = Model::open(&path).expect("the model opens");
            best = best.min(start.elapsed().as_secs_f64() * 1e3);
            drop(model);
        }
        println!("{path}: opens in {best:.3} ms");
    }
}
