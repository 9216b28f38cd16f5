//! Planes of a picture to pixels: the transpose of a matrix of few rows, by vectors.
#![allow(clippy::extra_unused_type_parameters)]

use crate::isa::{Isa, kernel_rows};

/// `count` planes of elements, the first at the start of `src`, the others `plane` elements apart; `dst` is filled.
#[derive(Clone, Copy)]
pub(crate) struct Planes<'a, T> {
    pub src: &'a [T],
    pub plane: usize,
    pub count: usize,
}

kernel_rows!(pub(crate) BYTE_ROWS = bytes(p: Planes<'_, u8>, dst: &mut [u8]));
kernel_rows!(pub(crate) WORD_ROWS = words(p: Planes<'_, [u8; 4]>, dst: &mut [[u8; 4]]));

/// # Safety
/// The instruction set exists.
#[inline(always)]
unsafe fn bytes<I: Isa>(p: Planes<'_, u8>, dst: &mut [u8]) {
    few(p, dst);
}

/// # Safety
/// The instruction set exists.
#[inline(always)]
unsafe fn words<I: Isa>(p: Planes<'_, [u8; 4]>, dst: &mut [[u8; 4]]) {
    few(p, dst);
}

/// Interleaves two to four planes; nothing for other numbers.
#[inline(always)]
pub(super) fn few<T: Copy>(p: Planes<'_, T>, dst: &mut [T]) {
    match p.count {
        2 => interleave::<T, 2>(p, dst),
        3 => interleave::<T, 3>(p, dst),
        4 => interleave::<T, 4>(p, dst),
        _ => {}
    }
}

/// `dst[i][c] = src[c * plane + i]`.
#[inline(always)]
fn interleave<T: Copy, const C: usize>(p: Planes<'_, T>, dst: &mut [T]) {
    let pixels = dst.as_chunks_mut::<C>().0;
    let planes: [&[T]; C] = core::array::from_fn(|c| &p.src[c * p.plane..][..pixels.len()]);
    for (i, pixel) in pixels.iter_mut().enumerate() {
        for c in 0..C {
            pixel[c] = planes[c][i];
        }
    }
}
