//! The loop nest of a reduction, once for each pair of element and accumulator.
use super::{Loops, walk};
use crate::wide::{BLOCK, Wide};
use cygnet_format::DType;

/// What a reduction does with an element. The loops over elements are behind pointers, so that the nest around them does
/// not multiply with the kinds; a call serves up to [`BLOCK`] elements.
pub(super) struct Fold<T, A> {
    /// The result of an empty set.
    pub start: A,
    /// Takes one element more into each of the accumulators.
    pub lanes: fn(&mut [A], &[T]),
    /// Takes elements into an accumulator, in order.
    pub run: fn(A, &[T]) -> A,
}

/// A [`Fold`] from its start and its step.
macro_rules! fold {
    ($start:expr, |$a:ident, $v:ident| $step:expr) => {
        Fold {
            start: $start,
            lanes: |acc, x| {
                for (acc, &$v) in acc.iter_mut().zip(x) {
                    let $a = *acc;
                    *acc = $step;
                }
            },
            run: |acc, x| {
                let mut $a = acc;
                for &$v in x {
                    $a = $step;
                }
                $a
            },
        }
    };
}
pub(super) use fold;

/// Where elements come from.
pub(super) trait Source<T: Copy> {
    /// Most elements of one read.
    const MOST: usize;
    /// `n` elements from `at` on, which may be written to `buffer` first.
    fn read<'a>(&'a self, at: usize, n: usize, buffer: &'a mut [T; BLOCK]) -> &'a [T];

    /// Calls `f` with all elements of the set at `base`, whose loops are `rest` around runs of `len`, in order.
    fn each(
        &self,
        base: usize,
        len: usize,
        rest: &[(usize, usize)],
        buffer: &mut [T; BLOCK],
        f: &mut dyn FnMut(&[T]),
    ) {
        walk(rest, &mut |o| {
            let mut at = 0;
            while at < len {
                let n = Self::MOST.min(len - at);
                f(self.read(base + o + at, n, buffer));
                at += n;
            }
        });
    }
}

impl<T: Copy> Source<T> for &[T] {
    const MOST: usize = usize::MAX;
    fn read<'a>(&'a self, at: usize, n: usize, _: &'a mut [T; BLOCK]) -> &'a [T] {
        &self[at..at + n]
    }
}

/// Bytes of another element type.
pub(super) struct Widened<'b> {
    pub dtype: DType,
    pub bytes: &'b [u8],
}

impl<W: Wide> Source<W> for Widened<'_> {
    const MOST: usize = BLOCK;
    fn read<'a>(&'a self, at: usize, n: usize, buffer: &'a mut [W; BLOCK]) -> &'a [W] {
        let size = self.dtype.size();
        let bytes = &self.bytes[at * size..(at + n) * size];
        if let Some(elements) = W::view(self.dtype, bytes) {
            return elements;
        }
        W::load(self.dtype, bytes, &mut buffer[..n]);
        &buffer[..n]
    }
}

impl Loops {
    /// The loops of a reduced set: the length of its contiguous runs, and the loops around them.
    pub(super) fn runs(&self) -> (usize, &[(usize, usize)]) {
        let inner = &self.reduced[..self.reduced_rank];
        match inner.split_last() {
            Some((&(len, 1), rest)) => (len, rest),
            _ => (1, inner),
        }
    }

    /// Reduces every set; `put(first, results)` receives results that follow each other.
    pub(super) fn fold<T: Copy + Default, A: Copy, S: Source<T>>(
        &self,
        x: &S,
        f: &Fold<T, A>,
        put: &mut dyn FnMut(usize, &mut [A]),
    ) {
        let outer = &self.kept[..self.kept_rank];
        let mut buffer = [T::default(); BLOCK];
        let mut results = [f.start; BLOCK];
        let mut next = 0;
        // The last kept axis is contiguous: accumulators side by side.
        if let Some((&(len, 1), rest)) = outer.split_last() {
            let inner = &self.reduced[..self.reduced_rank];
            walk(rest, &mut |base| {
                for at in (0..len).step_by(BLOCK) {
                    let n = BLOCK.min(len - at);
                    let results = &mut results[..n];
                    results.fill(f.start);
                    walk(inner, &mut |o| {
                        (f.lanes)(results, x.read(base + at + o, n, &mut buffer));
                    });
                    put(next + at, results);
                }
                next += len;
            });
            return;
        }
        let (len, rest) = self.runs();
        let mut held = 0;
        walk(outer, &mut |base| {
            let mut acc = f.start;
            if rest.is_empty() && len <= S::MOST {
                acc = (f.run)(acc, x.read(base, len, &mut buffer));
            } else {
                x.each(base, len, rest, &mut buffer, &mut |run| {
                    acc = (f.run)(acc, run)
                });
            }
            results[held] = acc;
            held += 1;
            if held == BLOCK {
                put(next, &mut results);
                (next, held) = (next + BLOCK, 0);
            }
        });
        if held > 0 {
            put(next, &mut results[..held]);
        }
    }
}
