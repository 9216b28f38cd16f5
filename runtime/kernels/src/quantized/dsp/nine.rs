//! Depthwise convolutions with 3 x 3 windows, a row of four channels at a time.
//!
//! The input columns of an output row are widened once, and serve all outputs that hold them: SMLAD takes the upper two of
//! a column's three values, SMLABB or SMLATT the lowest.
use super::super::Task;
use super::super::blocks::CHANNELS;
use super::finish::Bytes;
use super::{lower, upper, widen};
use crate::conv::Conv;
use core::arch::asm;
use core::mem::MaybeUninit;
use core::ptr::{null, null_mut};

/// Columns that are widened at once.
const COLUMNS: usize = 34;

/// The values of a column, as halves: channels 0 to 3 of the first two rows, then channels 0 and 2, and 1 and 3, of the
/// last row.
type Column = [u32; 6];

/// Whether this is a convolution of 3 x 3 windows.
pub(super) const fn fits(p: &Conv) -> bool {
    let [depth, height, width] = p.kernel;
    let nine = depth == 1 && height == 3 && width == 3;
    nine && p.dilation[2] == 1 && p.stride[2] <= 16 && p.out_channels >= 4
}

/// A column of four channels.
#[inline(always)]
fn column<const SIGNED: bool>(a: u32, b: u32, c: u32) -> Column {
    let (low, high) = (lower(a, b), upper(a, b));
    let ([p, q], [r, s]) = (widen::<SIGNED>(low), widen::<SIGNED>(high));
    let [even, odd] = widen::<SIGNED>(c);
    [p, q, r, s, even, odd]
}

/// A [`Column`] in r4 to r9, of the words of three rows in r4, r5 and r8.
macro_rules! widened {
    ($extend:literal) => {
        concat!(
            "pkhbt r6, r4, r5, lsl #16\n",
            "pkhtb r7, r5, r4, asr #16\n",
            $extend,
            " r4, r6\n",
            $extend,
            " r5, r6, ror #8\n",
            $extend,
            " r6, r7\n",
            $extend,
            " r7, r7, ror #8\n",
            $extend,
            " r9, r8, ror #8\n",
            $extend,
            " r8, r8"
        )
    };
}

/// What the sums of four channels start from, and their weights in three columns.
#[repr(C)]
struct Weights {
    starts: [i32; 4],
    columns: [Column; 3],
}

/// Widens the weights of four channels, of which each tap's are `c` bytes apart.
///
/// # Safety
/// `starts` is valid for four channels and `w` for nine taps of them, `to` for what is written.
#[inline(never)]
unsafe fn widen_weights(w: *const i8, c: usize, starts: *const i32, to: *mut Weights) {
    // SAFETY: the caller's contract. It writes the weights, and changes registers.
    unsafe {
        asm!(
            "push {{r6, r7}}",
            "ldm r12, {{r4, r5, r8, r9}}",
            "stm r10!, {{r4, r5, r8, r9}}",
            ".rept 3",
            "ldr r4, [r0]",
            "ldr r5, [r0, r1]",
            "ldr r8, [r0, r2]",
            "add r0, r0, r3",
            widened!("sxtb16"),
            "stm r10!, {{r4, r5, r6, r7, r8, r9}}",
            ".endr",
            "pop {{r6, r7}}",
            inout("r0") w => _, in("r1") 3 * c, in("r2") 6 * c, in("r3") c, inout("r10") to => _, in("r12") starts,
            out("r4") _, out("r5") _, out("r8") _, out("r9") _,
        );
    }
}

/// A row of outputs, four channels at a time.
#[repr(C)]
struct Row {
    /// The first four channels of the first column that is widened, in three rows; null for the first or last row in the
    /// padding, where the others are rows of the input.
    rows: [*const u8; 3],
    /// Bytes from column to column in the first row.
    step: usize,
    /// Where the first column goes; where at least two rows are rows of the input, what is behind the last.
    to: *mut Column,
    /// How many are widened; where at least two rows are rows of the input, the complement of the bytes before the last.
    count: usize,
    /// Bytes from column to column in the other rows.
    steps: [usize; 2],
    /// Less the bytes from the first output, of which there is one, to behind the last.
    outputs: usize,
    columns: *const Column,
    factors: *const f32,
    w: *const Weights,
    /// Behind the last output.
    y: *mut u8,
    zero: u32,
    /// Behind [`Bytes::Rectified`]: what gives its exclusive or when it is shifted left by seven bits. 0 otherwise.
    rectified: u32,
    /// Bytes from output to output.
    apart: usize,
    /// Bytes from behind a window to the next, which is even; one more where there are bounds.
    back: usize,
    /// Fours of channels, at least one.
    quads: usize,
    bounds: [u32; 3],
    /// Four bytes of the padding.
    padding: u32,
}

/// The loop that widens columns backwards from the index r12, with an instruction that loads the first row's word, and one
/// for the last row's.
macro_rules! backwards {
    ($extend:literal, $first:literal, $last:literal) => {
        concat!(
            "6:\n",
            $first,
            "\nldr r5, [r1, r12]\n",
            $last,
            "\nsubs r12, r12, r3\n",
            widened!($extend),
            "\nstmdb r10!, {{r4, r5, r6, r7, r8, r9}}\n",
            "bpl 6b",
        )
    };
}

/// Writes the loop over channels: 14 or 17 instructions for a column, 68 for an output of four channels, 22 for both loops.
/// What LLVM keeps for itself (r6, the frame pointer) is saved around it.
macro_rules! row {
    ($extend:literal, $row:ident) => {
        asm!(
            "push {{r0, r6, r7}}",
            "add r1, r0, #44",
            "ldm r1, {{r2, r3, r6, r7, r10, r12}}",
            "subs r2, #88",
            "subs r3, #4",
            "push {{r2, r3, r6, r7, r10, r12}}",
            "vldr s8, [r0, #84]",
            "1:",
            "ldr r9, [sp, #24]",
            "ldm r9, {{r0, r1, r2, r3, r10, r11, r12, lr}}",
            "cmp r11, #0",
            "bge 8f",
            "sub r4, r11, #4",
            "str r4, [r9, #20]",
            "mvn r12, r11",
            "cbz r0, 10f",
            "cbnz r2, 11f",
            // The last row is in the padding.
            backwards!($extend, "ldr r4, [r0, r12]", "vmov r8, s8"),
            "b 3f",
            // The first row is in the padding.
            "10:",
            backwards!($extend, "vmov r4, s8", "ldr r8, [r2, r12]"),
            "b 3f",
            "11:",
            backwards!($extend, "ldr r4, [r0, r12]", "ldr r8, [r2, r12]"),
            "3:",
            "ldr r8, [sp, #24]",
            "add r4, r8, #32",
            "ldm r4, {{r0, r1, r4}}",
            "vldm r4!, {{s4-s7}}",
            "str r4, [r8, #40]",
            "ldrd r2, r3, [sp]",
            "adds r2, #88",
            "adds r3, #4",
            "strd r2, r3, [sp]",
            "4:",
            "ldm r2!, {{r4, r5, r8, r9}}",
            ".rept 3",
            "ldm r1!, {{r6, r7, r10, r11}}",
            "ldm r2!, {{r3, r12, lr}}",
            "smlad r4, r6, r3, r4",
            "smlad r5, r7, r12, r5",
            "smlad r8, r10, lr, r8",
            "ldm r2!, {{r3, r12, lr}}",
            "smlad r9, r11, r3, r9",
            "ldrd r6, r7, [r1], #8",
            "smlabb r4, r6, r12, r4",
            "smlatt r8, r6, r12, r8",
            "smlabb r5, r7, lr, r5",
            "smlatt r9, r7, lr, r9",
            ".endr",
            "vmov s0, s1, r4, r5",
            "vmov s2, s3, r8, r9",
            "vcvt.f32.s32 s0, s0",
            "vcvt.f32.s32 s1, s1",
            "vcvt.f32.s32 s2, s2",
            "vcvt.f32.s32 s3, s3",
            "vmul.f32 s0, s0, s4",
            "vmul.f32 s1, s1, s5",
            "vmul.f32 s2, s2, s6",
            "vmul.f32 s3, s3, s7",
            "vcvtr.s32.f32 s0, s0",
            "vcvtr.s32.f32 s1, s1",
            "vcvtr.s32.f32 s2, s2",
            "vcvtr.s32.f32 s3, s3",
            "ldm sp, {{r2, r3, r6, r7, r10, r12}}",
            "vmov r4, r5, s0, s1",
            "vmov r8, r9, s2, s3",
            "sub r1, r1, r12",
            "cbz r7, 5f",
            "usat r4, #8, r4",
            "usat r5, #8, r5",
            "usat r8, #8, r8",
            "usat r9, #8, r9",
            "bfi r4, r5, #8, #8",
            "bfi r8, r9, #8, #8",
            "pkhbt r4, r4, r8, lsl #16",
            "uqadd8 r4, r4, r6",
            "eor r4, r4, r7, lsl #7",
            "7:",
            "str r4, [r3, r0]",
            "adds r0, r0, r10",
            "bne 4b",
            "ldr r0, [sp, #24]",
            "ldr r1, [r0, #68]",
            "subs r1, #1",
            "str r1, [r0, #68]",
            "bne 1b",
            "b 9f",
            "5:",
            "qadd r4, r4, r6",
            "qadd r5, r5, r6",
            "qadd r8, r8, r6",
            "qadd r9, r9, r6",
            "ssat r4, #8, r4",
            "ssat r5, #8, r5",
            "ssat r8, #8, r8",
            "ssat r9, #8, r9",
            "bfi r4, r5, #8, #8",
            "bfi r8, r9, #8, #8",
            "pkhbt r4, r4, r8, lsl #16",
            "lsls r12, r12, #31",
            "bpl 7b",
            "adds r1, #1",
            "ldr r7, [sp, #24]",
            "adds r7, #72",
            "ldm r7, {{r5, r9, r11}}",
            "ssub8 lr, r4, r5",
            "sel r4, r4, r5",
            "ssub8 lr, r9, r4",
            "sel r4, r4, r9",
            "eor r4, r4, r11",
            "b 7b",
            // Two rows are in the padding, or all columns.
            "8:",
            "add r4, r0, #4",
            "add r5, r1, #4",
            "add r6, r2, #4",
            "stm r9, {{r4, r5, r6}}",
            "beq 3b",
            "2:",
            "ldr r4, [r0]",
            "ldr r5, [r1]",
            "ldr r8, [r2]",
            "add r0, r0, r3",
            "add r1, r1, r12",
            "add r2, r2, lr",
            widened!($extend),
            "stm r10!, {{r4, r5, r6, r7, r8, r9}}",
            "subs r11, #1",
            "bne 2b",
            "b 3b",
            "9:",
            "add sp, sp, #24",
            "pop {{r0, r6, r7}}",
            in("r0") $row,
            out("r1") _, out("r2") _, out("r3") _, out("r4") _, out("r5") _, out("r8") _, out("r9") _,
            out("r10") _, out("r11") _, out("r12") _, out("lr") _,
            out("s0") _, out("s1") _, out("s2") _, out("s3") _, out("s4") _, out("s5") _, out("s6") _, out("s7") _,
            out("s8") _,
        )
    };
}

impl Row {
    /// Computes the outputs, and moves the pointers behind the channels.
    ///
    /// # Safety
    /// All pointers are valid for what is to be computed.
    #[inline(never)]
    unsafe fn run<const SIGNED: bool>(&mut self) {
        // SAFETY: the caller's contract. The loops read and write what the fields point at and the fields, and change
        // registers and flags.
        unsafe {
            if SIGNED {
                row!("sxtb16", self);
            } else {
                row!("uxtb16", self);
            }
        }
    }
}

/// Computes all channels but those that make no four; gives their number.
///
/// # Safety
/// `t` passed [`super::super::QuantizedConv::check`] for a depthwise convolution that [`fits`], its bytes are as `SIGNED`
/// says, and `bytes` are its own.
// A frame of its own: that of the path through lists does not lie on top of it.
#[inline(never)]
pub(super) unsafe fn run<const SIGNED: bool>(t: &Task, bytes: Bytes) -> usize {
    let p = &t.p.conv;
    let (c, stride, width) = (p.out_channels, p.stride[2], p.input[2] as i32);
    let whole = c / 4 * 4;
    let zeros = [t.p.x_zero; CHANNELS];
    let zero = u32::from_ne_bytes([t.p.x_zero; 4]);
    let padding = column::<SIGNED>(zero, zero, zero);
    let (zero_point, rectified, bounds) = match bytes {
        // Not 0, even where the shift leaves 0.
        Bytes::Rectified { zero, flip } => (zero, flip >> 7 | 1 << 25, None),
        Bytes::Bounded { zero, bounds } => (zero as u32, 0, bounds),
    };
    let back = (3 * size_of::<Column>()).wrapping_sub(stride * size_of::<Column>());
    let back = back | usize::from(bounds.is_some());
    // Outputs whose columns fit.
    let most = (COLUMNS - 3) / stride + 1;
    let starts = t.starts(SIGNED);
    let mut columns = [MaybeUninit::<Column>::uninit(); COLUMNS];
    let mut weights = [const { MaybeUninit::<Weights>::uninit() }; CHANNELS / 4];
    for channel in (0..whole).step_by(CHANNELS) {
        let quads = (whole - channel).min(CHANNELS) / 4;
        // SAFETY: offsets stay inside the extents that `check` proved.
        unsafe {
            let (mut w, mut start) = (t.w.add(channel), starts.add(channel));
            for to in &mut weights[..quads] {
                widen_weights(w, c, start, to.as_mut_ptr());
                (w, start) = (w.add(4), start.add(4));
            }
            for x in (0..p.output[2]).step_by(most) {
                let n = (p.output[2] - x).min(most);
                // Columns of the input: those before, inside of and behind it.
                let (first, count) = (t.column(x), (n - 1) * stride + 3);
                let before = (-first).clamp(0, count as i32);
                let end = (width - first).clamp(before, count as i32);
                let at = (first + before) as usize * c + channel;
                let (before, end) = (before as usize, end as usize);
                columns[..before].fill(MaybeUninit::new(padding));
                columns[end..count].fill(MaybeUninit::new(padding));
                let widened = end - before;
                let mut run = Row {
                    rows: [null(); 3],
                    step: 0,
                    to: null_mut(),
                    count: 0,
                    steps: [0; 2],
                    outputs: (n * c).wrapping_neg(),
                    columns: columns.as_ptr().cast(),
                    factors: null(),
                    w: weights.as_ptr().cast(),
                    y: null_mut(),
                    zero: zero_point,
                    rectified,
                    apart: c,
                    back,
                    quads: 0,
                    bounds: bounds.unwrap_or_default(),
                    padding: zero,
                };
                for row in t.rows.0..t.rows.1 {
                    let line = t.line(row);
                    let inputs: [_; 3] = core::array::from_fn(|ky| t.input_row(&line, 0, ky));
                    // At most the first or the last row is in the padding.
                    let most = widened > 0
                        && inputs[1].is_some()
                        && (inputs[0].is_some() || inputs[2].is_some());
                    let missing = if most { null() } else { zeros.as_ptr() };
                    run.rows = inputs.map(|row| row.map_or(missing, |row| row.wrapping_add(at)));
                    let columns = columns.as_mut_ptr().cast::<Column>();
                    if most {
                        run.step = c;
                        run.to = columns.add(end);
                        run.count = !((widened - 1) * c);
                    } else {
                        let [first, steps @ ..] = inputs.map(|row| row.map_or(0, |_| c));
                        (run.step, run.steps) = (first, steps);
                        run.to = columns.add(before);
                        run.count = widened;
                    }
                    run.y = t.y.wrapping_add(line.at + (x + n) * c + channel);
                    (run.factors, run.quads) = (t.multiplier.add(channel), quads);
                    run.run::<SIGNED>();
                }
            }
        }
    }
    whole
}
