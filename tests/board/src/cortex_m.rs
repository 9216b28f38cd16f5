//! Cortex-M: semihosting, the system timer, a painted stack.

use core::arch::asm;
use core::sync::atomic::{AtomicU32, Ordering};

use ::cortex_m::peripheral::{Peripherals, SYST, syst::SystClkSource};
use cortex_m_semihosting::debug;
#[cfg(not(feature = "empty"))]
use model::Arena;

/// Writes a line.
#[macro_export]
macro_rules! say {
    ($($arg:tt)*) => { cortex_m_semihosting::hprintln!($($arg)*) };
}

#[cortex_m_rt::entry]
fn main() -> ! {
    #[cfg(feature = "empty")]
    end(crate::run());
    #[cfg(not(feature = "empty"))]
    {
        let arena = ::cortex_m::singleton!(: Arena = Arena::new());
        end(arena.is_some_and(crate::run))
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

/// Starts the clock.
#[allow(dead_code)]
pub fn start() {
    if let Some(core) = Peripherals::take() {
        let mut clock = core.SYST;
        clock.set_clock_source(SystClkSource::Core);
        clock.set_reload(0x00ff_ffff);
        clock.clear_current();
        clock.enable_interrupt();
        clock.enable_counter();
    }
}

/// How often the clock began anew.
static ROUNDS: AtomicU32 = AtomicU32::new(0);

#[cortex_m_rt::exception]
fn SysTick() {
    // Nothing else writes it; Cortex-M0 has no other way.
    ROUNDS.store(ROUNDS.load(Ordering::Relaxed) + 1, Ordering::Relaxed);
}

/// What [`count`] counts: ticks of the board's clock. With QEMU's `-icount shift=0` an instruction takes 1 ns of it.
#[allow(dead_code)]
pub const COUNTED: &str = "ticks";

/// Ticks since the start; the clock has 24 bits and runs downwards.
#[allow(dead_code)]
pub fn now() -> u64 {
    loop {
        let rounds = ROUNDS.load(Ordering::Relaxed);
        // It begins anew at 0, where it also is before its first tick.
        let ticks = SYST::get_current().wrapping_neg() & 0x00ff_ffff;
        if ROUNDS.load(Ordering::Relaxed) == rounds {
            return (u64::from(rounds) << 24) + u64::from(ticks);
        }
    }
}

/// Ticks since `begin`.
#[allow(dead_code)]
pub fn count(begin: u64) -> u64 {
    now() - begin
}

unsafe extern "C" {
    static mut _stack_end: u32;
    static _stack_start: u32;
}

const PAINT: u32 = 0xcccc_cccc;

/// Fills what lies below the present end of the stack, which is the result. Without a frame of its own.
#[allow(dead_code)]
#[inline(always)]
pub fn paint() -> usize {
    let end: *mut u32;
    let mut at = &raw mut _stack_end;
    // SAFETY: reads the stack pointer; what lies below it is free.
    unsafe {
        asm!("mov {}, sp", out(reg) end, options(nomem, nostack));
        while at < end {
            at.write_volatile(PAINT);
            at = at.add(1);
        }
    }
    end as usize
}

/// The lowest place of the stack that was used since it was painted, and its top.
#[allow(dead_code)]
pub fn stack() -> (usize, usize) {
    let (mut at, top) = (&raw const _stack_end, &raw const _stack_start);
    // SAFETY: the linker script's bounds of the stack, whose painted part nothing else touches.
    unsafe {
        while at < top && at.read_volatile() == PAINT {
            at = at.add(1);
        }
    }
    (at as usize, top as usize)
}
