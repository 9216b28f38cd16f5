//! Compares the digests of every integer kernel, on every instruction set of this machine, with the recorded ones.
//! With any argument it writes the table instead, from the plain bodies:
//! `cargo run --release --bin digests record >new.tsv && mv new.tsv digests.tsv`
#![cfg_attr(target_os = "none", no_std, no_main)]
#[cfg(feature = "wide")]
use core::fmt::Write;
use cygnet_bits_test::case::{Buffers, Case};
#[cfg(feature = "wide")]
use cygnet_bits_test::each_features;
use cygnet_bits_test::int16;
#[cfg(feature = "wide")]
use cygnet_bits_test::model::{self, ARENA, Aligned, MODELS, OPERATORS};
use cygnet_bits_test::plain::PLAIN;
#[cfg(feature = "wide")]
use cygnet_bits_test::product::PRODUCTS;
use cygnet_bits_test::{Random, each_isa, program, say};
use cygnet_kernels::{Features, Kernels};

static TABLE: &str = include_str!("../../digests.tsv");

const CONVOLUTIONS: u64 = 250;
const INT16: u64 = 60;
const OTHERS: u64 = 8;
#[cfg(feature = "wide")]
const MATRICES: u64 = 40;

/// Runs of each model.
#[cfg(feature = "wide")]
const RUNS: u64 = 4;

/// Names of convolutions of 16-bit activations, and whether they are depthwise.
const INT16_KINDS: [(&str, bool); 2] = [("int16_dense", false), ("int16_depthwise", true)];

program!(run);

/// The name of a step of a model in the table.
#[cfg(feature = "wide")]
struct Step {
    text: [u8; 32],
    len: usize,
}

#[cfg(feature = "wide")]
impl Step {
    fn new(model: &str, index: usize) -> Step {
        let mut step = Step {
            text: [0; 32],
            len: 0,
        };
        write!(step, "{model}_{index}").expect("names are short");
        step
    }

    fn name(&self) -> &str {
        core::str::from_utf8(&self.text[..self.len]).expect("written as text")
    }
}

#[cfg(feature = "wide")]
impl Write for Step {
    fn write_str(&mut self, s: &str) -> core::fmt::Result {
        let room = self.text.get_mut(self.len..self.len + s.len());
        room.ok_or(core::fmt::Error)?.copy_from_slice(s.as_bytes());
        self.len += s.len();
        Ok(())
    }
}

/// Every step of every model, by the instruction sets that `each` names.
#[cfg(feature = "wide")]
fn models(
    each: impl Fn(&mut dyn FnMut(&str, Features)),
    mut visit: impl FnMut(&str, &str, u64, &'static str, u64),
) {
    let mut arena = Aligned([0u8; ARENA]);
    for (name, bytes) in MODELS {
        for seed in 0..RUNS {
            each(&mut |isa, features| {
                let trace = model::run(bytes, features, &mut arena.0, seed).expect("models run");
                for (index, (code, digest)) in trace.steps().enumerate() {
                    visit(
                        isa,
                        Step::new(name, index).name(),
                        seed,
                        code.name(),
                        digest,
                    );
                }
            });
        }
    }
}

/// Whether `got` is the digest of the table's line for the case.
fn same(name: &str, seed: u64, got: u64) -> bool {
    TABLE.lines().any(|line| {
        let mut fields = line.split('\t');
        fields.next() == Some(name)
            && fields.next().and_then(|s| s.parse().ok()) == Some(seed)
            && fields.next().and_then(|s| u64::from_str_radix(s, 16).ok()) == Some(got)
    })
}

fn record(b: &mut Buffers) {
    let plain = Kernels::for_features(Features::NONE);
    for (name, depthwise) in [("dense", false), ("depthwise", true)] {
        for seed in 0..CONVOLUTIONS {
            let case = Case::random(seed, depthwise, b);
            let digest = case.digest(&plain, b).expect("cases are valid");
            say!("{}\t{}\t{:016x}", name, seed, digest);
        }
    }
    for (name, depthwise) in INT16_KINDS {
        for seed in 0..INT16 {
            let digest = int16::run(&plain, seed, depthwise, b).expect("cases are valid");
            say!("{}\t{}\t{:016x}", name, seed, digest);
        }
    }
    #[cfg(feature = "wide")]
    for (name, run) in PRODUCTS {
        for seed in 0..MATRICES {
            let digest = run(&plain, &mut Random::new(seed)).expect("cases are valid");
            say!("{}\t{}\t{:016x}", name, seed, digest);
        }
    }
    for (name, run) in PLAIN {
        for seed in 0..OTHERS {
            let digest = run(&mut Random::new(seed)).expect("cases are valid");
            say!("{}\t{}\t{:016x}", name, seed, digest);
        }
    }
    #[cfg(feature = "wide")]
    models(
        |run| run("scalar", Features::NONE),
        |_, name, seed, _, digest| say!("{}\t{}\t{:016x}", name, seed, digest),
    );
}

fn run(b: &mut Buffers, write: bool) -> bool {
    if write {
        record(b);
        return true;
    }
    let (mut passed, mut failed) = (0, 0);
    let mut count = |good: bool| if good { passed += 1 } else { failed += 1 };
    for (name, depthwise) in [("dense", false), ("depthwise", true)] {
        for seed in 0..CONVOLUTIONS {
            let case = Case::random(seed, depthwise, b);
            each_isa(|isa, kernels| {
                let got = case.digest(kernels, b);
                let good = got.is_ok_and(|got| same(name, seed, got));
                if !good {
                    say!(
                        "{} {} on {}: {:x?} is not recorded for {:?}",
                        name,
                        seed,
                        isa,
                        got,
                        case
                    );
                }
                count(good);
            });
        }
    }
    for (name, depthwise) in INT16_KINDS {
        for seed in 0..INT16 {
            each_isa(|isa, kernels| {
                let got = int16::run(kernels, seed, depthwise, b);
                let good = got.is_ok_and(|got| same(name, seed, got));
                if !good {
                    say!("{} {} on {}: {:x?} is not recorded", name, seed, isa, got);
                }
                count(good);
            });
        }
    }
    #[cfg(feature = "wide")]
    for (name, run) in PRODUCTS {
        for seed in 0..MATRICES {
            each_isa(|isa, kernels| {
                let got = run(kernels, &mut Random::new(seed));
                let good = got.is_ok_and(|got| same(name, seed, got));
                if !good {
                    say!("{} {} on {}: {:x?} is not recorded", name, seed, isa, got);
                }
                count(good);
            });
        }
    }
    for (name, run) in PLAIN {
        for seed in 0..OTHERS {
            let got = run(&mut Random::new(seed));
            let good = got.is_ok_and(|got| same(name, seed, got));
            if !good {
                say!("{} {}: {:x?} is not recorded", name, seed, got);
            }
            count(good);
        }
    }
    #[cfg(feature = "wide")]
    {
        let mut met = [false; OPERATORS.len()];
        models(
            |run| each_features(|isa, features| run(isa, features)),
            |isa, name, seed, code, digest| {
                let good = same(name, seed, digest);
                if !good {
                    say!(
                        "{} ({}) {} on {}: {:x} is not recorded",
                        name,
                        code,
                        seed,
                        isa,
                        digest
                    );
                }
                count(good);
                for (met, operator) in met.iter_mut().zip(OPERATORS) {
                    *met |= operator.name() == code;
                }
            },
        );
        for (met, operator) in met.into_iter().zip(OPERATORS) {
            if !met {
                say!("no model has {}", operator.name());
            }
            count(met);
        }
    }
    // The best bodies of this machine have to be among those that ran.
    let best = Kernels::best().quantized_names();
    let mut reached = [false; 2];
    each_isa(|isa, kernels| {
        let names = kernels.quantized_names();
        say!(
            "with {}: dense by {}, depthwise by {}",
            isa,
            names[0],
            names[1]
        );
        for (reached, (name, best)) in reached.iter_mut().zip(names.iter().zip(best)) {
            *reached |= *name == best;
        }
    });
    for (reached, best) in reached.into_iter().zip(best) {
        if !reached {
            say!("{} is there, but no case reached it", best);
        }
        count(reached);
    }
    let word = if failed == 0 { "ok" } else { "FAILED" };
    say!(
        "test result: {}. {} passed; {} failed",
        word,
        passed,
        failed
    );
    failed == 0
}
