//! Sizes and codes of the stored records. `FORMAT.md` describes every field.

/// First bytes of a program.
pub const MAGIC: [u8; 8] = *b"CYGNETP\0";
/// Version of the layout.
pub const VERSION: u32 = 1;
/// Weight layout: float panels `[N/16][K][16]`, int8 panels `[N/16][K/4][16][4]`.
pub const WEIGHT_LAYOUT: u32 = 1;
/// Alignment of sections, constants and arena places, in bytes.
pub const ALIGN: u64 = 64;
/// Deepest nesting of bodies.
pub const MAX_BLOCK_DEPTH: u32 = 16;
/// Most outputs of one step.
pub const MAX_STEP_OUTPUTS: usize = 64;
/// Stored id of an absent operand.
pub const NONE: u32 = u32::MAX;

pub(crate) const HEADER_BYTES: usize = 64;
pub(crate) const SECTION_ENTRY_BYTES: usize = 24;
pub(crate) const SECTIONS: usize = 15;
/// Where the first section may begin.
pub(crate) const TABLE_END: usize = HEADER_BYTES + SECTIONS * SECTION_ENTRY_BYTES;

/// Sections in file order; the stored kind is the position plus one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(usize)]
pub(crate) enum Section {
    Strings = 0,
    Symbols = 1,
    ExprOps = 2,
    Exprs = 3,
    Dims = 4,
    Tensors = 5,
    Ids = 6,
    Inputs = 7,
    Outputs = 8,
    States = 9,
    Blocks = 10,
    Steps = 11,
    Attributes = 12,
    Metadata = 13,
    Constants = 14,
}

impl Section {
    pub(crate) const fn record_bytes(index: usize) -> usize {
        match index {
            1 => SYMBOL_BYTES,
            2 => EXPR_OP_BYTES,
            3 => EXPR_BYTES,
            5 => TENSOR_BYTES,
            9 => STATE_BYTES,
            10 => BLOCK_BYTES,
            11 => STEP_BYTES,
            13 => METADATA_BYTES,
            4 | 6 | 7 | 8 | 12 => 4,
            _ => 1,
        }
    }
}

pub(crate) const SYMBOL_BYTES: usize = 32;
pub(crate) const EXPR_OP_BYTES: usize = 16;
pub(crate) const EXPR_BYTES: usize = 8;
pub(crate) const TENSOR_BYTES: usize = 32;
pub(crate) const STATE_BYTES: usize = 24;
pub(crate) const BLOCK_BYTES: usize = 32;
pub(crate) const STEP_BYTES: usize = 32;
pub(crate) const METADATA_BYTES: usize = 16;

pub(crate) const PLACE_CONST: u8 = 0;
pub(crate) const PLACE_ARENA: u8 = 1;
pub(crate) const PLACE_STATE: u8 = 2;

/// `x` rounded up to a multiple of [`ALIGN`].
pub const fn align_up(x: u64) -> Option<u64> {
    match x.checked_add(ALIGN - 1) {
        Some(y) => Some(y / ALIGN * ALIGN),
        None => None,
    }
}

/// The little-endian word at `at`; 0 outside the record.
pub(crate) fn u32_at(record: &[u8], at: usize) -> u32 {
    match record.get(at..).and_then(|r| r.first_chunk::<4>()) {
        Some(b) => u32::from_le_bytes(*b),
        None => 0,
    }
}

/// The little-endian double word at `at`; 0 outside the record.
pub(crate) fn u64_at(record: &[u8], at: usize) -> u64 {
    match record.get(at..).and_then(|r| r.first_chunk::<8>()) {
        Some(b) => u64::from_le_bytes(*b),
        None => 0,
    }
}

/// The little-endian half word at `at`; 0 outside the record.
pub(crate) fn u16_at(record: &[u8], at: usize) -> u16 {
    match record.get(at..).and_then(|r| r.first_chunk::<2>()) {
        Some(b) => u16::from_le_bytes(*b),
        None => 0,
    }
}
