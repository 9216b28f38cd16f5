//! Time, or on a board executed instructions, of layers with every instruction set of this machine.
//! `cargo run --release --bin layers`
#![cfg_attr(target_os = "none", no_std, no_main)]
use cygnet_bits_test::case::{Buffers, Case};
use cygnet_bits_test::layer::LAYERS;
use cygnet_bits_test::{Random, each_isa, machine, program, say};

program!(run);

fn run(b: &mut Buffers, _: bool) -> bool {
    for layer in LAYERS {
        let mut case = Case::new(&mut Random::new(1), layer.conv(), layer.depthwise, b);
        case.residual = false;
        // Behind all of these is a Relu.
        case.p.requantize.low = case.p.requantize.zero;
        let mut plain = 0;
        each_isa(|isa, kernels| {
            let mut good = true;
            let rows = 0..case.p.conv.rows();
            let cost = machine::measure(|| good &= case.part(kernels, b, rows.clone()).is_ok());
            assert!(good, "the layer is valid");
            if plain == 0 {
                plain = cost.max(1);
            }
            let per = cost * 100 / layer.products();
            let gain = plain * 100 / cost.max(1);
            say!(
                "{:28} {:10} {:9} {}, {}.{:02} a product, plain over this {}.{:02}",
                layer.name,
                isa,
                cost,
                machine::UNIT,
                per / 100,
                per % 100,
                gain / 100,
                gain % 100
            );
        });
    }
    true
}
