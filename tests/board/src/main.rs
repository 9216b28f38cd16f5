//! A packaged model on a board: runs the cases that the host recorded, compares the outputs bit by bit, counts
//! instructions and measures the stack.
//!
//! `BOARD_CASES` names a folder with `inputs.bin` and `outputs.bin`, which hold the cases one after the other.
#![no_std]
#![no_main]

use cortex_m::peripheral::{SYST, syst::SystClkSource};
use cortex_m_rt::entry;
use cortex_m_semihosting::debug;
#[cfg(not(feature = "bare"))]
use cortex_m_semihosting::hprintln;
use model::{Arena, Model};

#[cfg(not(feature = "bare"))]
static INPUTS: &[u8] = include_bytes!(concat!(env!("BOARD_CASES"), "/inputs.bin"));
#[cfg(not(feature = "bare"))]
static OUTPUTS: &[u8] = include_bytes!(concat!(env!("BOARD_CASES"), "/outputs.bin"));

#[panic_handler]
fn panic(_info: &core::panic::PanicInfo) -> ! {
    #[cfg(not(feature = "bare"))]
    hprintln!("{}", _info);
    end(false)
}

fn end(good: bool) -> ! {
    loop {
        debug::exit(if good {
            debug::EXIT_SUCCESS
        } else {
            debug::EXIT_FAILURE
        });
    }
}

#[entry]
fn main() -> ! {
    let (Some(arena), Some(core)) = (
        cortex_m::singleton!(: Arena = Arena::new()),
        cortex_m::Peripherals::take(),
    ) else {
        end(false)
    };
    let mut clock = core.SYST;
    clock.set_clock_source(SystClkSource::Core);
    clock.set_reload(0x00ff_ffff);
    clock.clear_current();
    clock.enable_counter();
    end(run(&mut Model::new(arena)))
}

#[cfg(feature = "bare")]
fn run(model: &mut Model<'_>) -> bool {
    // The input comes from somewhere, the output goes somewhere: nothing may be left out.
    core::hint::black_box(model.input_mut());
    let good = model.run().is_ok();
    core::hint::black_box(model.output());
    good
}

#[cfg(not(feature = "bare"))]
fn run(model: &mut Model<'_>) -> bool {
    let (input, output) = (size_of_val(model.input_mut()), size_of_val(model.output()));
    let cases = INPUTS.len() / input;
    let mut wrong = 0;
    let mut instructions = 0;
    for case in 0..cases {
        load(model.input_mut(), &INPUTS[case * input..][..input]);
        // An instruction takes 16 ns of QEMU's time (-icount shift=4), a tick of the clock 40 ns.
        let begin = SYST::get_current();
        let done = model.run();
        let ticks = begin.wrapping_sub(SYST::get_current()) & 0x00ff_ffff;
        instructions = u64::from(ticks) * 5 / 2;
        let expected = &OUTPUTS[case * output..][..output];
        if done.is_err() || !equal(model.output(), expected) {
            hprintln!(
                "case {}: {:?}, {:?} in place of {:?}",
                case,
                done,
                model.output(),
                expected
            );
            wrong += 1;
        }
    }
    hprintln!("instructions {}", instructions);
    hprintln!("stack {}", stack());
    hprintln!("arena {}", size_of::<Arena>());
    hprintln!(
        "test result: {}. {} passed; {} failed",
        if wrong == 0 { "ok" } else { "FAILED" },
        cases - wrong,
        wrong
    );
    wrong == 0 && cases > 0
}

/// A number from its little-endian bytes, and back.
#[cfg(not(feature = "bare"))]
trait Number: Copy {
    const BYTES: usize = size_of::<Self>();
    fn read(bytes: &[u8]) -> Self;
    fn is(self, bytes: &[u8]) -> bool;
}

#[cfg(not(feature = "bare"))]
macro_rules! numbers {
    ($($t:ty)*) => {$(
        impl Number for $t {
            fn read(bytes: &[u8]) -> Self {
                let mut own = [0; size_of::<$t>()];
                own.copy_from_slice(bytes);
                <$t>::from_le_bytes(own)
            }
            fn is(self, bytes: &[u8]) -> bool {
                self.to_le_bytes() == bytes
            }
        }
    )*};
}
#[cfg(not(feature = "bare"))]
numbers!(i8 u8 f32);

#[cfg(not(feature = "bare"))]
fn load<T: Number>(x: &mut [T], bytes: &[u8]) {
    for (x, bytes) in x.iter_mut().zip(bytes.chunks_exact(T::BYTES)) {
        *x = T::read(bytes);
    }
}

#[cfg(not(feature = "bare"))]
fn equal<T: Number>(y: &[T], bytes: &[u8]) -> bool {
    y.iter()
        .zip(bytes.chunks_exact(T::BYTES))
        .all(|(y, bytes)| y.is(bytes))
}

/// Bytes of the stack that were ever used: cortex-m-rt has painted it.
#[cfg(not(feature = "bare"))]
fn stack() -> usize {
    unsafe extern "C" {
        static _stack_end: u32;
        static _stack_start: u32;
    }
    const PAINT: u32 = 0xcccc_cccc;
    let (mut at, top) = (&raw const _stack_end, &raw const _stack_start);
    // SAFETY: the linker script's bounds of the stack, whose painted part nothing else touches.
    unsafe {
        while at < top && at.read_volatile() == PAINT {
            at = at.add(1);
        }
        top.byte_offset_from(at) as usize
    }
}
