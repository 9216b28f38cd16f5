//! A packaged model on a board: its golden examples, executed instructions, used stack.
#![no_std]
#![no_main]

#[cfg(target_arch = "arm")]
mod cortex_m;
#[cfg(target_arch = "riscv32")]
mod riscv;

#[cfg(target_arch = "arm")]
use cortex_m as board;
#[cfg(target_arch = "riscv32")]
use riscv as board;

#[cfg(not(feature = "empty"))]
use model::{Arena, Model};

#[panic_handler]
fn panic(_info: &core::panic::PanicInfo<'_>) -> ! {
    #[cfg(feature = "checked")]
    say!("{}", _info);
    board::end(false)
}

/// Runs nothing.
#[cfg(feature = "empty")]
fn run() -> bool {
    true
}

/// Runs the model; whether all went well.
#[cfg(feature = "bare")]
fn run(arena: &'static mut Arena) -> bool {
    let mut model = Model::new(arena);
    // The input comes from somewhere and the output goes somewhere: nothing may be left out.
    core::hint::black_box(model.input_mut());
    let good = model.run().is_ok();
    core::hint::black_box(model.output());
    good
}

/// One inference, with a frame of its own.
#[cfg(not(any(feature = "bare", feature = "empty")))]
#[inline(never)]
fn inference(model: &mut Model<'_>) -> bool {
    model.run().is_ok()
}

/// Runs the model; whether all went well.
#[cfg(not(any(feature = "bare", feature = "empty")))]
fn run(arena: &'static mut Arena) -> bool {
    let mut model = Model::new(arena);
    #[cfg(feature = "checked")]
    let good = model.self_test() == Ok(true);
    #[cfg(not(feature = "checked"))]
    let good = true;
    board::start();
    let begin = board::now();
    let done = model.run().is_ok();
    let instructions = board::count(begin);
    // Once more on a fresh stack, with a frame to measure from.
    let end = board::paint();
    let done = inference(&mut model) && done;
    // Before anything is written: that takes stack.
    let (stack, top) = board::stack();
    say!("{} {}", board::COUNTED, instructions);
    say!("stack {}", top - stack);
    say!("inference {}", end - stack);
    say!("arena {}", size_of::<Arena>());
    let good = good && done;
    let word = if good {
        "ok. 1 passed; 0"
    } else {
        "FAILED. 0 passed; 1"
    };
    say!("test result: {} failed", word);
    good
}
