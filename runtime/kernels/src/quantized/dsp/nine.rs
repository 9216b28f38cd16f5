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

/// Widens the weights of four channels, of which each tap's are `c` bytes apart.
///
/// # Safety
/// `w` is valid for nine taps, and `to` for the columns.
#[inline(never)]
unsafe fn widen_weights(w: *const i8, c: usize, to: *mut [Column; 3]) {
    // SAFETY: the caller's contract. The loop writes the columns, and changes registers and flags.
    unsafe {
        asm!(
            "push {{r6, r7}}",
            "movs r11, #3",
            "2:",
            "ldr r4, [r0]",
            "ldr r5, [r0, r1]",
            "ldr r8, [r0, r2]",
            "add r0, r0, r3",
            widened!("sxtb16"),
            "stm r10!, {{r4, r5, r6, r7, r8, r9}}",
            "subs r11, #1",
            "bne 2b",
            "pop {{r6, r7}}",
            inout("r0") w => _, in("r1") 3 * c, in("r2") 6 * c, in("r3") c, inout("r10") to => _,
            out("r4") _, out("r5") _, out("r8") _, out("r9") _, out("r11") _,
        );
    }
}

/// A row of outputs, four channels at a time.
#[repr(C)]
struct Row {
    /// The first four channels of the first column that is widened, in three rows.
    rows: [*const u8; 3],
    /// Bytes from column to column in the first row.
    step: usize,
    /// Where the first column goes; where all rows are rows of the input, what is behind the last.
    to: *mut Column,
    /// How many are widened; where all rows are rows of the input, the complement of the bytes before the last.
    count: usize,
    /// Bytes from column to column in the other rows.
    steps: [usize; 2],
    /// Outputs, at least one.
    n: usize,
    columns: *const Column,
    w: *const [Column; 3],
    y: *mut u8,
    factors: *const f32,
    starts: *const i32,
    zero: i32,
    /// Bytes from output to output.
    apart: usize,
    /// Bytes from behind a window to the next.
    back: usize,
    bounds: *const [u32; 3],
    /// Fours of channels, at least one.
    quads: usize,
}

/// Writes the loop over channels: 14 or 17 instructions for a column, 76 for an output of four channels, 28 for both loops. What
/// LLVM keeps for itself (r6, the frame pointer) is saved around it.
macro_rules! row {
    ($extend:literal, $row:ident) => {
        asm!(
            "push {{r0, r6, r7}}",
            "1:",
            "ldr r9, [sp]",
            "ldm r9, {{r0, r1, r2, r3, r10, r11, r12, lr}}",
            "add r4, r0, #4",
            "add r5, r1, #4",
            "add r6, r2, #4",
            "stm r9, {{r4, r5, r6}}",
            "cmp r11, #0",
            "beq 3f",
            "bgt 2f",
            // Three rows of the input, backwards.
            "mvn r12, r11",
            "6:",
            "ldr r4, [r0, r12]",
            "ldr r5, [r1, r12]",
            "ldr r8, [r2, r12]",
            "subs r12, r12, r3",
            widened!($extend),
            "stmdb r10!, {{r4, r5, r6, r7, r8, r9}}",
            "bpl 6b",
            "b 3f",
            // Rows of which some are in the padding.
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
            "3:",
            "ldr r8, [sp]",
            "add r0, r8, #32",
            "ldm r0, {{r0, r1, r2, r3, r4, r5}}",
            "vldm r4!, {{s4-s7}}",
            "vldm r5!, {{s8-s11}}",
            "add r6, r2, #72",
            "add r7, r3, #4",
            "strd r6, r7, [r8, #40]",
            "strd r4, r5, [r8, #48]",
            "add r8, r8, #56",
            "vldm r8, {{s12-s15}}",
            "4:",
            "vmov r4, r5, s8, s9",
            "vmov r8, r9, s10, s11",
            ".irp k, 0, 24, 48",
            "ldm r1!, {{r6, r7, r10, r11}}",
            "ldrd r12, lr, [r2, #\\k]",
            "smlad r4, r6, r12, r4",
            "smlad r5, r7, lr, r5",
            "ldrd r12, lr, [r2, #\\k + 8]",
            "smlad r8, r10, r12, r8",
            "smlad r9, r11, lr, r9",
            "ldrd r6, r7, [r1], #8",
            "ldrd r12, lr, [r2, #\\k + 16]",
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
            "vmov r6, r10, s12, s13",
            "vmov r12, r7, s14, s15",
            "vmov r4, r5, s0, s1",
            "vmov r8, r9, s2, s3",
            "sub r1, r1, r12",
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
            "cbz r7, 5f",
            "ldm r7, {{r5, r9, r11}}",
            "ssub8 lr, r4, r5",
            "sel r4, r4, r5",
            "ssub8 lr, r9, r4",
            "sel r4, r4, r9",
            "eor r4, r4, r11",
            "5:",
            "str r4, [r3]",
            "add r3, r3, r10",
            "subs r0, #1",
            "bne 4b",
            "ldr r0, [sp]",
            "ldr r1, [r0, #72]",
            "subs r1, #1",
            "str r1, [r0, #72]",
            "bne 1b",
            "pop {{r0, r6, r7}}",
            in("r0") $row,
            out("r1") _, out("r2") _, out("r3") _, out("r4") _, out("r5") _, out("r8") _, out("r9") _,
            out("r10") _, out("r11") _, out("r12") _, out("lr") _,
            out("s0") _, out("s1") _, out("s2") _, out("s3") _, out("s4") _, out("s5") _, out("s6") _, out("s7") _,
            out("s8") _, out("s9") _, out("s10") _, out("s11") _, out("s12") _, out("s13") _, out("s14") _,
            out("s15") _,
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
    let bounds = bytes.bounds.unwrap_or_default();
    // Outputs whose columns fit.
    let most = (COLUMNS - 3) / stride + 1;
    let starts = t.starts(SIGNED);
    let mut columns = [MaybeUninit::<Column>::uninit(); COLUMNS];
    let mut weights = [MaybeUninit::<[Column; 3]>::uninit(); CHANNELS / 4];
    for channel in (0..whole).step_by(CHANNELS) {
        let quads = (whole - channel).min(CHANNELS) / 4;
        // SAFETY: offsets stay inside the extents that `check` proved.
        unsafe {
            let mut w = t.w.add(channel);
            for to in &mut weights[..quads] {
                widen_weights(w, c, to.as_mut_ptr());
                w = w.add(4);
            }
            for row in t.rows.0..t.rows.1 {
                let line = t.line(row);
                let inputs: [_; 3] = core::array::from_fn(|ky| t.input_row(&line, 0, ky));
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
                    let step = |ky: usize| if inputs[ky].is_some() { c } else { 0 };
                    let widened = end - before;
                    let all = widened > 0 && inputs.iter().all(Option::is_some);
                    let to = columns.as_mut_ptr().add(if all { end } else { before });
                    let mut row = Row {
                        rows: inputs.map(|row: Option<*const u8>| {
                            row.map_or(zeros.as_ptr(), |row| row.wrapping_add(at))
                        }),
                        step: step(0),
                        to: to.cast(),
                        count: if all { !((widened - 1) * c) } else { widened },
                        steps: [step(1), step(2)],
                        n,
                        columns: columns.as_ptr().cast(),
                        w: weights.as_ptr().cast(),
                        y: t.y.add(line.at + x * c + channel),
                        factors: t.multiplier.add(channel),
                        starts: starts.add(channel),
                        zero: bytes.zero,
                        apart: c,
                        back: (3 * size_of::<Column>()).wrapping_sub(stride * size_of::<Column>()),
                        bounds: if bytes.bounds.is_some() {
                            &bounds
                        } else {
                            core::ptr::null()
                        },
                        quads,
                    };
                    row.run::<SIGNED>();
                }
            }
        }
    }
    whole
}
