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
    #[cfg(any(feature = "checked", feature = "stream"))]
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
#[cfg(not(any(feature = "bare", feature = "empty", feature = "stream")))]
#[inline(never)]
fn inference(model: &mut Model<'_>) -> bool {
    model.run().is_ok()
}

/// Runs the model; whether all went well.
#[cfg(not(any(feature = "bare", feature = "empty", feature = "stream")))]
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

/// Log odds above which the wake word was heard.
#[cfg(feature = "stream")]
const THRESHOLD: f32 = 0.0;

/// A clip: its frames, the score that this machine's host gives for each, and whether the word is in it.
#[cfg(feature = "stream")]
struct Clip {
    name: &'static str,
    frames: &'static [u8],
    scores: &'static [u8],
    has_word: bool,
}

#[cfg(feature = "stream")]
static CLIPS: [Clip; 2] = [
    Clip {
        name: "word",
        frames: include_bytes!(concat!(env!("BOARD_FRAMES"), "/yes.frames")),
        scores: include_bytes!(concat!(env!("BOARD_FRAMES"), "/yes.scores")),
        has_word: true,
    },
    Clip {
        name: "others",
        frames: include_bytes!(concat!(env!("BOARD_FRAMES"), "/no.frames")),
        scores: include_bytes!(concat!(env!("BOARD_FRAMES"), "/no.scores")),
        has_word: false,
    },
];

/// Listens to each clip frame by frame; whether every score has the bits of the host's, and the word is heard where it is.
#[cfg(feature = "stream")]
fn run(arena: &'static mut Arena) -> bool {
    board::start();
    let mut good = true;
    for clip in &CLIPS {
        // A new model has its states reset.
        let mut model = Model::new(arena);
        let (mut highest, mut count, mut equal, mut spent) = (f32::MIN, 0, 0, 0u64);
        let frames = clip.frames.chunks_exact(4 * model.input_mut().len());
        for (frame, score) in frames.zip(clip.scores.chunks_exact(4)) {
            for (to, from) in model.input_mut().iter_mut().zip(frame.chunks_exact(4)) {
                *to = f32::from_le_bytes([from[0], from[1], from[2], from[3]]);
            }
            let begin = board::now();
            let done = model.run().is_ok();
            spent += board::count(begin);
            let got = model.output()[0];
            equal += u32::from(done && got.to_le_bytes() == *score);
            count += 1;
            highest = if got > highest { got } else { highest };
        }
        let heard = highest > THRESHOLD;
        good &= count > 0 && equal == count && heard == clip.has_word;
        say!(
            "{}: {} of {} frames equal, highest score {}/100, {} {} a frame;",
            clip.name,
            equal,
            count,
            (highest * 100.0) as i32,
            spent / u64::from(count.max(1)),
            board::COUNTED
        );
    }
    let word = if good {
        "ok. 1 passed; 0"
    } else {
        "FAILED. 0 passed; 1"
    };
    say!("arena {}", size_of::<Arena>());
    say!("test result: {} failed", word);
    good
}
