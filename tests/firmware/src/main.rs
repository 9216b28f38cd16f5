//! The digits model on a microcontroller: no heap, one arena, the recorded pictures and ONNX Runtime's answers to them.
//!
//! `CYGNET_PROGRAM` names the `program.cyg` to link in; tests/cross.sh sets it.
#![no_std]
#![no_main]

use cortex_m::peripheral::syst::SystClkSource;
use cortex_m_rt::entry;
use cortex_m_semihosting::{debug, hprintln};
use cygnet_runtime::{Config, Program, RunError, Session};

#[repr(align(64))]
struct Aligned<T: ?Sized>(T);

static PROGRAM: &Aligned<[u8]> = &Aligned(*include_bytes!(env!("CYGNET_PROGRAM")));
static PICTURES: &[u8] = include_bytes!("../../data/digits_input.npy");
static EXPECTED: &[u8] = include_bytes!("../../data/digits_expected.npy");

const ARENA: usize = 64 * 1024;
const PICTURE: usize = 28 * 28;
const CLASSES: usize = 10;
const TOLERANCE: f32 = 1e-4;

#[panic_handler]
fn panic(info: &core::panic::PanicInfo) -> ! {
    hprintln!("{}", info);
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
    let Some(arena) = cortex_m::singleton!(: Aligned<[u8; ARENA]> = Aligned([0; ARENA])) else {
        end(false)
    };
    let Some(core) = cortex_m::Peripherals::take() else {
        end(false)
    };
    let mut clock = core.SYST;
    clock.set_clock_source(SystClkSource::Core);
    clock.set_reload(0x00FF_FFFF);
    clock.clear_current();
    clock.enable_counter();

    let program = match Program::parse(&PROGRAM.0) {
        Ok(program) => program,
        Err(error) => {
            hprintln!("the program is invalid: {}", error);
            end(false)
        }
    };
    hprintln!(
        "program {} bytes, arena {} bytes",
        PROGRAM.0.len(),
        program.arena_bytes()
    );
    let used = program.arena_bytes() as usize;
    let Some(arena) = arena.0.get_mut(..used) else {
        hprintln!("the arena has {} bytes", ARENA);
        end(false)
    };
    let mut failed = 0;
    match Session::new(&program, arena, Config::default()) {
        Ok(mut session) => {
            for digit in 0..CLASSES {
                let begin = cortex_m::peripheral::SYST::get_current();
                let good = check(&mut session, digit);
                let ticks =
                    begin.wrapping_sub(cortex_m::peripheral::SYST::get_current()) & 0x00FF_FFFF;
                match good {
                    Ok(true) => hprintln!("digit {}: ok, {} ticks", digit, ticks),
                    Ok(false) => failed += 1,
                    Err(error) => {
                        hprintln!("digit {}: {}", digit, error);
                        failed += 1;
                    }
                }
            }
        }
        Err(error) => {
            hprintln!("no session: {}", error);
            end(false)
        }
    }
    let word = if failed == 0 { "ok" } else { "FAILED" };
    hprintln!(
        "test result: {}. {} passed; {} failed",
        word,
        CLASSES - failed,
        failed
    );
    end(failed == 0)
}

/// Runs one picture and compares the ten probabilities.
fn check(session: &mut Session<'_>, digit: usize) -> Result<bool, RunError> {
    let pixels = &PICTURES[PICTURES.len() - CLASSES * PICTURE..][digit * PICTURE..][..PICTURE];
    let mut input = session.input_mut(0)?;
    for (value, &pixel) in input.as_mut_slice::<f32>()?.iter_mut().zip(pixels) {
        *value = f32::from(pixel) / 255.0;
    }
    session.run()?;
    let output = session.output(0)?;
    let got = output.as_slice::<f32>()?;
    let expected =
        &EXPECTED[EXPECTED.len() - CLASSES * CLASSES * 4..][digit * CLASSES * 4..][..CLASSES * 4];
    let mut good = got.len() == CLASSES;
    for (class, (&got, bytes)) in got.iter().zip(expected.chunks_exact(4)).enumerate() {
        let expected = f32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]);
        // Not a number fails too.
        if !((got - expected).abs() <= TOLERANCE) {
            hprintln!(
                "digit {}: class {} is {} in place of {}",
                digit,
                class,
                got,
                expected
            );
            good = false;
        }
    }
    Ok(good)
}
