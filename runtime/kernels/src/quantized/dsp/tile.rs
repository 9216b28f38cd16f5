//! The inner loops of dense products: two columns of packed weights for three pixels, whose inputs are halves.
#[cfg(arm_vfp)]
use super::finish::Bytes;
use crate::gemm::PANEL;
use crate::quantized::GROUP;
use core::arch::asm;

/// Pixels at a time. Six sums, three pointers and counters, and five operands are all registers there are.
pub(crate) const PIXELS: usize = 3;

/// Words of inputs that a group of weights meets: for each pixel the values 0 and 2 as halves, then 1 and 3.
pub(crate) const WORDS: usize = 2 * PIXELS;

/// Sums of two columns for each pixel.
pub(crate) type Sums = [i32; 2 * PIXELS];

/// A group of weights in panels of sixteen columns: 22 instructions for 24 products.
macro_rules! wide_group {
    () => {
        concat!(
            "ldr r6, [r2, #4]\n",
            "ldr r0, [r2], {step}\n",
            wide_group!(loaded)
        )
    };
    (loaded) => {
        concat!(
            "ldr r7, [r1], #4\n",
            "sxtb16 r12, r0\n",
            "sxtb16 lr, r6\n",
            "smlad r4, r7, r12, r4\n",
            "smlad r5, r7, lr, r5\n",
            "ldr r7, [r1], #4\n",
            "smlad r8, r7, r12, r8\n",
            "smlad r9, r7, lr, r9\n",
            "ldr r7, [r1], #4\n",
            "smlad r10, r7, r12, r10\n",
            "smlad r11, r7, lr, r11\n",
            "sxtb16 r12, r0, ror #8\n",
            "sxtb16 lr, r6, ror #8\n",
            "ldm r1!, {{r0, r6, r7}}\n",
            "smlad r4, r0, r12, r4\n",
            "smlad r5, r0, lr, r5\n",
            "smlad r8, r6, r12, r8\n",
            "smlad r9, r6, lr, r9\n",
            "smlad r10, r7, r12, r10\n",
            "smlad r11, r7, lr, r11",
        )
    };
}

/// The same of weights at a multiple of four: 21 instructions.
#[cfg(all(arm_vfp, not(feature = "narrow")))]
macro_rules! group {
    () => {
        concat!("ldrd r0, r6, [r2], {step}\n", wide_group!(loaded))
    };
}

/// A group of weights in panels of two columns, interleaved ([`crate::quantized::NARROW`]): 20 instructions for 24
/// products.
#[cfg(feature = "narrow")]
macro_rules! narrow_group {
    () => {
        concat!(
            "/* {step} */\n",
            ".rept 2\n",
            "ldr r12, [r2], #4\n",
            "ldm r1!, {{r0, r6, r7}}\n",
            "sxtb16 lr, r12\n",
            "sxtb16 r12, r12, ror #8\n",
            "smlad r4, r0, lr, r4\n",
            "smlad r5, r0, r12, r5\n",
            "smlad r8, r6, lr, r8\n",
            "smlad r9, r6, r12, r9\n",
            "smlad r10, r7, lr, r10\n",
            "smlad r11, r7, r12, r11\n",
            ".endr",
        )
    };
}

/// A group of 8-bit convolutions.
#[cfg(all(arm_vfp, feature = "narrow"))]
macro_rules! group {
    () => {
        narrow_group!()
    };
}

/// A loop over r3 groups, two at a time, from r1 and r2 into the sums r4, r5 and r8 to r11.
macro_rules! groups {
    ($group:expr) => {
        concat!(
            "lsrs r3, r3, #1\n",
            "bcc 2f\n",
            $group,
            "\n2:\n",
            "cmp r3, #0\n",
            "beq 4f\n",
            "3:\n",
            $group,
            "\n",
            $group,
            "\nsubs r3, #1\n",
            "bne 3b\n",
            "4:",
        )
    };
}

/// The same, four groups at a time.
#[cfg(arm_vfp)]
macro_rules! fours {
    ($group:expr) => {
        concat!(
            "lsrs r3, r3, #1\n",
            "bcc 2f\n",
            $group,
            "\n2:\n",
            "lsrs r3, r3, #1\n",
            "bcc 2f\n",
            $group,
            "\n",
            $group,
            // No group changes flags.
            "\n2:\n",
            "beq 4f\n",
            "3:\n",
            $group,
            "\n",
            $group,
            "\n",
            $group,
            "\n",
            $group,
            "\nsubs r3, #1\n",
            "bne 3b\n",
            "4:",
        )
    };
}

/// Writes a loop that adds to sums in memory. What LLVM keeps for itself (r6, the frame pointer) is saved around it.
macro_rules! sums {
    ($groups:expr, $sums:ident, $x:ident, $w:ident, $n:ident) => {
        asm!(
            "push {{r0, r6, r7}}",
            "ldm r0, {{r4, r5, r8, r9, r10, r11}}",
            $groups,
            "pop {{r0, r6, r7}}",
            "stm r0, {{r4, r5, r8, r9, r10, r11}}",
            in("r0") $sums, inout("r1") $x => _, inout("r2") $w => _, inout("r3") $n => _,
            out("r4") _, out("r5") _, out("r8") _, out("r9") _, out("r10") _, out("r11") _, out("r12") _, out("lr") _,
            step = const PANEL * GROUP,
        )
    };
}

/// Adds the products of `n` groups to the sums. Weights are in panels of sixteen columns.
///
/// # Safety
/// `x` is valid for [`WORDS`] a group; `w` for two columns of each group.
#[inline(never)]
pub(crate) unsafe fn wide(sums: &mut Sums, x: *const u32, w: *const i8, n: usize) {
    // SAFETY: the caller's contract. The loop writes the sums, and changes registers and flags.
    unsafe { sums!(groups!(wide_group!()), sums, x, w, n) }
}

/// As [`wide`], with weights as 8-bit convolutions have them.
///
/// # Safety
/// As for [`wide`].
#[cfg(feature = "narrow")]
#[inline(never)]
pub(super) unsafe fn products(sums: &mut Sums, x: *const u32, w: *const i8, n: usize) {
    // SAFETY: the caller's contract. The loop writes the sums, and changes registers and flags.
    unsafe { sums!(groups!(narrow_group!()), sums, x, w, n) }
}
#[cfg(not(feature = "narrow"))]
pub(super) use wide as products;

/// Pairs of columns of three pixels, from weights to bytes.
#[cfg(arm_vfp)]
#[repr(C)]
pub(super) struct Columns {
    pub x: *const u32,
    /// Of the first pair; in panels of sixteen columns at a multiple of four.
    pub w: *const i8,
    /// Groups.
    pub n: usize,
    pub starts: *const i32,
    pub factors: *const f32,
    pub pairs: usize,
    zero: u32,
    /// The first output of each pixel.
    pub y: [*mut u8; PIXELS],
    /// Of [`Bytes::Bounded`].
    bounds: [u32; 3],
    /// 1 with bounds, behind [`Bytes::Rectified`] what gives its exclusive or when it is shifted left by seven bits, or 0.
    way: u32,
}

#[cfg(arm_vfp)]
impl Columns {
    pub(super) fn new(bytes: Bytes) -> Self {
        let (zero, bounds, way) = match bytes {
            // Neither 0 nor 1, even where the shift leaves 0.
            Bytes::Rectified { zero, flip } => (zero, None, flip >> 7 | 1 << 25),
            Bytes::Bounded { zero, bounds } => (zero as u32, bounds, bounds.is_some().into()),
        };
        Self {
            x: core::ptr::null(),
            w: core::ptr::null(),
            n: 0,
            starts: core::ptr::null(),
            factors: core::ptr::null(),
            pairs: 0,
            zero,
            y: [core::ptr::null_mut(); PIXELS],
            bounds: bounds.unwrap_or_default(),
            way,
        }
    }

    /// Computes and stores the outputs; moves the pointers behind them. Pairs have to be in one panel.
    ///
    /// # Safety
    /// There is a pair, and pointers are valid for groups and pairs.
    #[inline(never)]
    pub(super) unsafe fn run(&mut self) {
        // SAFETY: the caller's contract. It reads and writes the fields and the outputs, and changes registers and flags.
        unsafe {
            asm!(
                "push {{r0, r6, r7}}",
                "1:",
                "ldr r0, [sp]",
                "ldm r0, {{r1, r2, r3, r12}}",
                "ldrd r4, r5, [r12], #8",
                "str r12, [r0, #12]",
                "mov r8, r4",
                "mov r9, r5",
                "mov r10, r4",
                "mov r11, r5",
                fours!(group!()),
                "ldr r0, [sp]",
                // The weights of the next pair: right behind in panels of two.
                ".if {wide}",
                "ldr r2, [r0, #4]",
                "adds r2, #8",
                ".endif",
                "ldr r1, [r0, #16]",
                "vmov s0, s1, r4, r5",
                "vmov s2, s3, r8, r9",
                "vmov s4, s5, r10, r11",
                "vldm r1!, {{s6-s7}}",
                "str r2, [r0, #4]",
                "str r1, [r0, #16]",
                "vcvt.f32.s32 s0, s0",
                "vcvt.f32.s32 s1, s1",
                "vcvt.f32.s32 s2, s2",
                "vcvt.f32.s32 s3, s3",
                "vcvt.f32.s32 s4, s4",
                "vcvt.f32.s32 s5, s5",
                "vmul.f32 s0, s0, s6",
                "vmul.f32 s1, s1, s7",
                "vmul.f32 s2, s2, s6",
                "vmul.f32 s3, s3, s7",
                "vmul.f32 s4, s4, s6",
                "vmul.f32 s5, s5, s7",
                "vcvtr.s32.f32 s0, s0",
                "vcvtr.s32.f32 s1, s1",
                "vcvtr.s32.f32 s2, s2",
                "vcvtr.s32.f32 s3, s3",
                "vcvtr.s32.f32 s4, s4",
                "vcvtr.s32.f32 s5, s5",
                "add r1, r0, #20",
                // Pairs, the zero point, outputs.
                "ldm r1, {{r2, r3, r6, r7, r12}}",
                "vmov r4, r5, s0, s1",
                "vmov r8, r9, s2, s3",
                "vmov r10, r11, s4, s5",
                "ldr r0, [r1, #32]",
                "cmp r0, #1",
                "bls 5f",
                "usat r4, #8, r4",
                "usat r5, #8, r5",
                "usat r8, #8, r8",
                "usat r9, #8, r9",
                "usat r10, #8, r10",
                "usat r11, #8, r11",
                "bfi r4, r5, #8, #8",
                "bfi r8, r9, #8, #8",
                "bfi r10, r11, #8, #8",
                "uqadd8 r4, r4, r3",
                "uqadd8 r8, r8, r3",
                "uqadd8 r10, r10, r3",
                "eor r4, r4, r0, lsl #7",
                "eor r8, r8, r0, lsl #7",
                "eor r10, r10, r0, lsl #7",
                "6:",
                "strh r4, [r6], #2",
                "strh r8, [r7], #2",
                "strh r10, [r12], #2",
                "subs r2, #1",
                "stm r1, {{r2, r3, r6, r7, r12}}",
                "bne 1b",
                "b 7f",
                "5:",
                "qadd r4, r4, r3",
                "qadd r5, r5, r3",
                "qadd r8, r8, r3",
                "qadd r9, r9, r3",
                "qadd r10, r10, r3",
                "qadd r11, r11, r3",
                "ssat r4, #8, r4",
                "ssat r5, #8, r5",
                "ssat r8, #8, r8",
                "ssat r9, #8, r9",
                "ssat r10, #8, r10",
                "ssat r11, #8, r11",
                "bfi r4, r5, #8, #8",
                "bfi r8, r9, #8, #8",
                "bfi r10, r11, #8, #8",
                "bne 6b",
                "add r5, r1, #20",
                "ldm r5, {{r0, r5, r9}}",
                "ssub8 lr, r4, r0",
                "sel r4, r4, r0",
                "ssub8 lr, r8, r0",
                "sel r8, r8, r0",
                "ssub8 lr, r10, r0",
                "sel r10, r10, r0",
                "ssub8 lr, r5, r4",
                "sel r4, r4, r5",
                "ssub8 lr, r5, r8",
                "sel r8, r8, r5",
                "ssub8 lr, r5, r10",
                "sel r10, r10, r5",
                "eor r4, r4, r9",
                "eor r8, r8, r9",
                "eor r10, r10, r9",
                "b 6b",
                "7:",
                "pop {{r0, r6, r7}}",
                in("r0") self,
                out("r1") _, out("r2") _, out("r3") _, out("r4") _, out("r5") _, out("r8") _, out("r9") _,
                out("r10") _, out("r11") _, out("r12") _, out("lr") _,
                out("s0") _, out("s1") _, out("s2") _, out("s3") _, out("s4") _, out("s5") _, out("s6") _, out("s7") _,
                step = const PANEL * GROUP,
                wide = const if cfg!(feature = "narrow") { 0 } else { 1 },
            );
        }
    }
}
