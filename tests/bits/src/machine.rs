//! What differs between a machine with an operating system and a board.

/// Writes a line.
#[macro_export]
macro_rules! say {
    ($($arg:tt)*) => {{
        #[cfg(target_os = "none")]
        cortex_m_semihosting::hprintln!($($arg)*);
        #[cfg(not(target_os = "none"))]
        std::println!($($arg)*);
    }};
}

/// Makes `fn(&mut Buffers, bool) -> bool` the program: it receives whether it was called with an argument, and says
/// whether all went well.
#[macro_export]
macro_rules! program {
    ($run:path) => {
        #[cfg(target_os = "none")]
        #[cortex_m_rt::entry]
        fn main() -> ! {
            use cygnet_bits_test::{case::Buffers, machine};
            let buffers = cortex_m::singleton!(: Buffers = Buffers::NEW);
            machine::start();
            machine::end(buffers.is_some_and(|b| $run(b, false)))
        }

        #[cfg(target_os = "none")]
        #[panic_handler]
        fn panic(info: &core::panic::PanicInfo) -> ! {
            cygnet_bits_test::say!("{}", info);
            cygnet_bits_test::machine::end(false)
        }

        #[cfg(not(target_os = "none"))]
        fn main() -> std::process::ExitCode {
            let mut buffers = Box::new(cygnet_bits_test::case::Buffers::NEW);
            match $run(&mut buffers, std::env::args().len() > 1) {
                true => std::process::ExitCode::SUCCESS,
                false => std::process::ExitCode::FAILURE,
            }
        }
    };
}

#[cfg(target_os = "none")]
mod board {
    use cortex_m::peripheral::{SYST, syst::SystClkSource};
    use cortex_m_semihosting::debug;

    /// Starts the clock.
    pub fn start() {
        if let Some(core) = cortex_m::Peripherals::take() {
            let mut clock = core.SYST;
            clock.set_clock_source(SystClkSource::Core);
            clock.set_reload(0x00ff_ffff);
            clock.clear_current();
            clock.enable_counter();
        }
    }

    /// Leaves the emulator.
    pub fn end(good: bool) -> ! {
        loop {
            debug::exit(if good {
                debug::EXIT_SUCCESS
            } else {
                debug::EXIT_FAILURE
            });
        }
    }

    /// What [`super::measure`] returns.
    pub const UNIT: &str = "instructions";

    /// Executed instructions of `f`, in steps of 2.5, up to 40 million. QEMU has to run with `-icount shift=4`: an
    /// instruction takes 16 ns of its time, a tick of the board's clock 40 ns.
    pub fn measure(mut f: impl FnMut()) -> u64 {
        let begin = SYST::get_current();
        f();
        let ticks = begin.wrapping_sub(SYST::get_current()) & 0x00ff_ffff;
        u64::from(ticks) * 5 / 2
    }
}
#[cfg(target_os = "none")]
pub use board::*;

#[cfg(not(target_os = "none"))]
mod hosted {
    use std::time::Instant;

    /// What [`super::measure`] returns.
    pub const UNIT: &str = "ns";

    /// Least time of many calls of `f`.
    pub fn measure(mut f: impl FnMut()) -> u64 {
        f();
        let (mut best, start) = (u64::MAX, Instant::now());
        while start.elapsed().as_millis() < 200 {
            let t = Instant::now();
            for _ in 0..16 {
                f();
            }
            best = best.min(t.elapsed().as_nanos() as u64 / 16);
        }
        best
    }
}
#[cfg(not(target_os = "none"))]
pub use hosted::*;
