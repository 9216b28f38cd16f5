//! MicroFlow runs a model once and tells the ticks. It finds the models beside this crate, in `models`.
#![no_std]
#![no_main]

use cortex_m::peripheral::{SYST, syst::SystClkSource};
use cortex_m_semihosting::{debug, hprintln};
#[cfg(not(feature = "person_detect"))]
use microflow::buffer::Buffer2D;
#[cfg(feature = "person_detect")]
use microflow::buffer::Buffer4D;
use microflow::model;
use nalgebra::SMatrix;

#[cfg(feature = "sine")]
#[model("models/sine.tflite")]
struct Model;
#[cfg(feature = "speech")]
#[model("models/speech.tflite")]
struct Model;
#[cfg(feature = "person_detect")]
#[model("models/person_detect.tflite")]
struct Model;

#[panic_handler]
fn panic(_: &core::panic::PanicInfo) -> ! {
    loop {
        debug::exit(debug::EXIT_FAILURE)
    }
}

#[cfg(feature = "sine")]
fn input() -> Buffer2D<f32, 1, 1> {
    SMatrix::from_element(0.5)
}
#[cfg(feature = "speech")]
fn input() -> Buffer2D<f32, 1, 1960> {
    SMatrix::from_element(0.5)
}
#[cfg(feature = "person_detect")]
fn input() -> Buffer4D<f32, 1, 96, 96, 1> {
    [SMatrix::from_element([0.5; 1])]
}

#[cortex_m_rt::entry]
fn main() -> ! {
    if let Some(core) = cortex_m::Peripherals::take() {
        let mut clock = core.SYST;
        clock.set_clock_source(SystClkSource::Core);
        clock.set_reload(0x00ff_ffff);
        clock.clear_current();
        clock.enable_counter();
    }
    let x = core::hint::black_box(input());
    let begin = SYST::get_current();
    let y = core::hint::black_box(Model::predict(x));
    let ticks = begin.wrapping_sub(SYST::get_current()) & 0x00ff_ffff;
    hprintln!("ticks {} first {}", ticks, y[0]);
    loop {
        debug::exit(debug::EXIT_SUCCESS)
    }
}
