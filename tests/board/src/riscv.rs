//! RISC-V, QEMU's `virt`: a serial port, the counter of retired instructions, a painted stack.

use core::arch::asm;
use core::fmt;
#[cfg(not(feature = "empty"))]
use model::Arena;

/// The serial port.
#[allow(dead_code)]
pub struct Serial;

impl fmt::Write for Serial {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for byte in text.bytes() {
            // SAFETY: the data register of the machine's UART.
            unsafe { (0x1000_0000 as *mut u8).write_volatile(byte) };
        }
        Ok(())
    }
}

/// Writes a line.
#[macro_export]
macro_rules! say {
    ($($arg:tt)*) => {{
        use core::fmt::Write;
        // The port takes everything.
        let _ = writeln!($crate::riscv::Serial, $($arg)*);
    }};
}

/// The model's memory.
#[cfg(not(feature = "empty"))]
static mut ARENA: Arena = Arena::new();

#[riscv_rt::entry]
fn main() -> ! {
    #[cfg(feature = "empty")]
    end(crate::run());
    #[cfg(not(feature = "empty"))]
    {
        // SAFETY: the program's only use of it.
        let arena = unsafe { &mut *(&raw mut ARENA) };
        end(crate::run(arena))
    }
}

/// Leaves the emulator through its test device.
pub fn end(good: bool) -> ! {
    let code = if good { 0x5555 } else { 0x1_3333 };
    loop {
        // SAFETY: the device's only register.
        unsafe { (0x10_0000 as *mut u32).write_volatile(code) };
    }
}

/// Nothing: the counter runs.
#[allow(dead_code)]
pub fn start() {}

/// What [`count`] counts.
#[allow(dead_code)]
pub const COUNTED: &str = "instructions";

/// Retired instructions.
#[allow(dead_code)]
pub fn now() -> u64 {
    let half = || {
        let (low, high): (u32, u32);
        // SAFETY: reads a counter.
        unsafe {
            asm!("csrr {}, minstreth", "csrr {}, minstret", out(reg) high, out(reg) low, options(nomem, nostack));
        }
        (high, low)
    };
    loop {
        let (high, low) = half();
        // The lower half may have begun anew in between.
        if half().0 == high {
            return (u64::from(high) << 32) + u64::from(low);
        }
    }
}

/// Instructions since `begin`.
#[allow(dead_code)]
pub fn count(begin: u64) -> u64 {
    now() - begin
}

#[allow(dead_code)]
const PAINT: u32 = 0xcccc_cccc;

/// Bytes of the stack that are watched.
const WATCHED: usize = 32 * 1024;

/// The stack's top, and the lowest word of it that is watched.
#[inline(always)]
fn bounds() -> (*mut u32, *mut u32) {
    unsafe extern "C" {
        static mut _stack_start: u32;
    }
    let top = &raw mut _stack_start;
    (top, top.wrapping_byte_sub(WATCHED))
}

/// Fills what lies below the present end of the stack, which is the result. Without a frame of its own.
#[allow(dead_code)]
#[inline(always)]
pub fn paint() -> usize {
    let (_, mut at) = bounds();
    let end: *mut u32;
    // SAFETY: reads the stack pointer; what lies below it is free.
    unsafe {
        asm!("mv {}, sp", out(reg) end, options(nomem, nostack));
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
    let (top, mut at) = bounds();
    // SAFETY: inside the stack.
    unsafe {
        while at < top && at.read_volatile() == PAINT {
            at = at.add(1);
        }
    }
    (at as usize, top as usize)
}
