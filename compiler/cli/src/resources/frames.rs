//! The stack that a function takes, read from its instructions: what moves the stack pointer down.
//!
//! Compilers move it in the prologue only, so the sum of all movements is the frame; a function with several prologues
//! would count for more than it takes. Encodings: Armv7-M Architecture Reference Manual, A5 to A7; The
//! RISC-V Instruction Set Manual, volume I, chapters 2 and 16.

use super::elf::{ARM, RISCV};

/// Bytes of the frame of a function whose section holds `code`; `None` for other processors. `is_data` tells by its offset
/// what is none of instructions.
pub fn frame(machine: u16, code: &[u8], is_data: &dyn Fn(usize) -> bool) -> Option<u64> {
    match machine {
        ARM => Some(thumb(code, is_data)),
        RISCV => Some(riscv(code)),
        _ => None,
    }
}

/// A constant of Thumb-2's data-processing instructions (A5.3.2).
fn thumb_constant(first: u16, second: u16) -> u32 {
    let bits = u32::from(first >> 10 & 1) << 11
        | u32::from(second >> 12 & 7) << 8
        | u32::from(second & 0xff);
    let byte = bits & 0xff;
    match bits >> 8 {
        0 => byte,
        1 => byte << 16 | byte,
        2 => byte << 24 | byte << 8,
        3 => byte * 0x0101_0101,
        _ => (bits & 0x7f | 0x80).rotate_right(bits >> 7),
    }
}

fn thumb(code: &[u8], is_data: &dyn Fn(usize) -> bool) -> u64 {
    const SP: u16 = 13;
    let halves: Vec<u16> = code
        .as_chunks::<2>()
        .0
        .iter()
        .map(|c| u16::from_le_bytes(*c))
        .collect();
    // What `ldr` from the literals put into the low registers: Thumb-1 has no other way to large frames.
    let mut literals = [0u32; 8];
    let mut bytes = 0u64;
    let mut at = 0;
    while at < halves.len() {
        let first = halves[at];
        if is_data(at * 2) {
            at += 1;
            continue;
        }
        let wide = first >> 11 >= 0b11101;
        let second = if wide {
            halves.get(at + 1).copied().unwrap_or(0)
        } else {
            0
        };
        let mask = |list: u16| 4 * u64::from(list.count_ones());
        bytes += match (first, second) {
            // push {...}, and push.w {...}
            _ if !wide && first & 0xfe00 == 0xb400 => mask(first & 0x1ff),
            (0xe92d, list) => mask(list),
            // str r, [sp, #-n]!
            (0xf84d, s) if s & 0x0f00 == 0x0d00 => u64::from(s & 0xff),
            // strd r, r, [sp, #-n]!
            (0xe96d, s) => 4 * u64::from(s & 0xff),
            // vpush {...}
            _ if first & 0xffbf == 0xed2d && second & 0x0e00 == 0x0a00 => {
                4 * u64::from(second & 0xff)
            }
            // sub sp, #n
            _ if !wide && first & 0xff80 == 0xb080 => 4 * u64::from(first & 0x7f),
            // sub.w sp, sp, #n and subw sp, sp, #n
            _ if first & 0xfbef == 0xf1ad && second >> 8 & 15 == SP => {
                u64::from(thumb_constant(first, second))
            }
            _ if first & 0xfbff == 0xf2ad && second >> 8 & 15 == SP => {
                u64::from(first >> 10 & 1) << 11
                    | u64::from(second >> 12 & 7) << 8
                    | u64::from(second & 0xff)
            }
            // add sp, r: a negative literal
            _ if !wide && first & 0xff87 == 0x4485 => {
                let value = literals
                    .get(usize::from(first >> 3 & 15))
                    .copied()
                    .unwrap_or(0) as i32;
                u64::from(value.min(0).unsigned_abs())
            }
            // bfc r, #0, #n; mov sp, r: an alignment beyond the 8 that every call keeps
            (0xf36f, s)
                if s & 0x70c0 == 0 && halves.get(at + 2) == Some(&(0x4685 | s >> 8 << 3)) =>
            {
                (2u64 << (s & 31).min(11)).saturating_sub(8)
            }
            _ => 0,
        };
        // ldr r, [pc, #n]
        if !wide && first & 0xf800 == 0x4800 {
            let place = ((at * 2 + 4) & !3) + 4 * usize::from(first & 0xff);
            let bytes = code.get(place..).and_then(|b| b.first_chunk());
            literals[usize::from(first >> 8 & 7)] = bytes.map_or(0, |b| u32::from_le_bytes(*b));
        }
        at += 1 + usize::from(wide);
    }
    bytes
}

fn riscv(code: &[u8]) -> u64 {
    const SP: u32 = 2;
    // What `lui`, `li` and `addi` put into registers.
    let mut known = [0i64; 32];
    let mut bytes = 0i64;
    let mut at = 0;
    let sign = |value: u32, bits: u32| i64::from(((value << (32 - bits)) as i32) >> (32 - bits));
    while let Some(half) = code.get(at..).and_then(|c| c.first_chunk::<2>()) {
        let half = u32::from(u16::from_le_bytes(*half));
        if half & 3 != 3 {
            let (rd, imm6) = (half >> 7 & 31, sign(half >> 7 & 32 | half >> 2 & 31, 6));
            match half & 0xe003 {
                // c.addi
                0x0001 if rd == SP => bytes -= imm6.min(0),
                0x0001 => known[rd as usize] += imm6,
                // c.li
                0x4001 => known[rd as usize] = imm6,
                // c.addi16sp
                0x6001 if rd == SP => {
                    let n = half >> 3 & 0x200
                        | half >> 2 & 0x10
                        | half << 1 & 0x40
                        | half << 4 & 0x180
                        | half << 3 & 0x20;
                    bytes -= sign(n, 10).min(0);
                }
                // c.lui
                0x6001 => known[rd as usize] = imm6 << 12,
                _ => {}
            }
            at += 2;
            continue;
        }
        let Some(word) = code.get(at..).and_then(|c| c.first_chunk()) else {
            break;
        };
        let word = u32::from_le_bytes(*word);
        let (rd, rs1, rs2) = (word >> 7 & 31, word >> 15 & 31, word >> 20 & 31);
        match word & 0x707f {
            // addi
            0x0013 if rd == SP && rs1 == SP => bytes -= sign(word >> 20, 12).min(0),
            0x0013 => {
                let from = if rs1 == 0 { 0 } else { known[rs1 as usize] };
                known[rd as usize] = from + sign(word >> 20, 12);
            }
            // sub sp, sp, r; add sp, sp, r
            0x0033 if rd == SP && rs1 == SP => {
                let down = if word >> 30 & 1 == 1 { 1 } else { -1 };
                bytes += (down * known[rs2 as usize]).max(0);
            }
            // andi sp, r, -n: an alignment beyond the 16 that every call keeps
            0x7013 if rd == SP => bytes += (-sign(word >> 20, 12) - 16).max(0),
            _ if word & 0x7f == 0x37 => known[rd as usize] = i64::from((word & 0xffff_f000) as i32),
            _ => {}
        }
        at += 4;
    }
    bytes.max(0) as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of_thumb(halves: &[u16]) -> u64 {
        let code: Vec<u8> = halves.iter().flat_map(|h| h.to_le_bytes()).collect();
        // Whatever follows `0xffff` is none of instructions.
        let data = halves.iter().position(|&h| h == 0xffff);
        thumb(&code, &|at| data.is_some_and(|d| at > 2 * d))
    }

    /// Encodings as arm-none-eabi-as gives them.
    #[test]
    fn thumb_prologues() {
        // push {r4, r5, r6, r7, lr}; sub sp, #12
        assert_eq!(of_thumb(&[0xb5f0, 0xb083]), 32);
        // push.w {r8, r9, r10, r11}; vpush {d8, d9}; sub.w sp, sp, #1024; pop has no part in it
        let large = [0xe92d, 0x0f00, 0xed2d, 0x8b04, 0xf5ad, 0x6d80, 0xbdf0];
        assert_eq!(of_thumb(&large), 16 + 16 + 1024);
        // subw sp, sp, #1028; str.w r11, [sp, #-4]!
        assert_eq!(of_thumb(&[0xf2ad, 0x4d04, 0xf84d, 0xbd04]), 1032);
        // ldr r6, [pc, #0]; add sp, r6; .word -2048; what looks like a push behind it is data
        assert_eq!(of_thumb(&[0x4e00, 0x44b5, 0xf800, 0xffff, 0xb5f0]), 2048);
        // mov r4, sp; bfc r4, #0, #6; mov sp, r4: 64 where 8 are certain
        assert_eq!(of_thumb(&[0x466c, 0xf36f, 0x0405, 0x46a5]), 56);
        // The second half of a wide instruction is none of its own: ldr.w r11, [r5, #1068]
        assert_eq!(of_thumb(&[0xf8d5, 0xb42c]), 0);
    }

    /// Encodings as llvm-mc gives them.
    #[test]
    fn riscv_prologues() {
        let of = |bytes: &[u8]| riscv(bytes);
        // c.addi16sp -64; c.addi sp, -16
        assert_eq!(of(&[0x39, 0x71, 0x41, 0x11]), 64 + 16);
        // addi sp, sp, -2032
        assert_eq!(of(&[0x13, 0x01, 0x01, 0x81]), 2032);
        // lui a0, 1; addi a0, a0, -1000; sub sp, sp, a0; addi sp, sp, 16
        let large = [
            0x05, 0x65, 0x13, 0x05, 0x85, 0xc1, 0x33, 0x01, 0xa1, 0x40, 0x41, 0x01,
        ];
        assert_eq!(of(&large), 4096 - 1000);
    }
}
