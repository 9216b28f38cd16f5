//! Memory whose layout is known when it is compiled: the arena and the weights of generated firmware.
//!
//! Places are constants, and what could be wrong with them is checked by the compiler: a part that leaves the memory, is
//! not aligned, or is read while a step writes it does not build.
use core::mem::{align_of, size_of};

/// A number of which every bit pattern is a value.
pub trait Plain: sealed::Plain + Copy + 'static {}

mod sealed {
    pub trait Plain {}
}

macro_rules! plain {
    ($($t:ty)*) => { $(impl sealed::Plain for $t {} impl Plain for $t {})* };
}
plain!(i8 u8 i16 u16 i32 u32 i64 u64 f32 f64);

/// `N` bytes from a multiple of 64 on.
#[derive(Clone)]
#[repr(C, align(64))]
pub struct Aligned<const N: usize>([u8; N]);

const fn check<T>(at: usize, len: usize, bytes: usize) {
    assert!(
        at.is_multiple_of(align_of::<T>()),
        "the part is not aligned"
    );
    assert!(
        at + len * size_of::<T>() <= bytes,
        "the part leaves the memory"
    );
}

impl<const N: usize> Aligned<N> {
    /// Zeros.
    pub const ZERO: Self = Aligned([0; N]);

    /// These bytes.
    pub const fn new(bytes: [u8; N]) -> Self {
        Aligned(bytes)
    }

    /// `LEN` elements from byte `AT` on.
    #[inline(always)]
    pub fn view<T: Plain, const AT: usize, const LEN: usize>(&self) -> &[T; LEN] {
        const { check::<T>(AT, LEN, N) };
        // SAFETY: inside the memory and aligned, checked above; every bit pattern is a value.
        unsafe { &*self.0.as_ptr().add(AT).cast() }
    }

    /// `LEN` elements from byte `AT` on.
    #[inline(always)]
    pub fn view_mut<T: Plain, const AT: usize, const LEN: usize>(&mut self) -> &mut [T; LEN] {
        const { check::<T>(AT, LEN, N) };
        // SAFETY: inside the memory and aligned, checked above; every bit pattern is a value, and the view is exclusive.
        unsafe { &mut *self.0.as_mut_ptr().add(AT).cast() }
    }

    /// `LEN` elements from byte `AT` to byte `END` on to write, and everything else to read.
    #[inline(always)]
    pub fn step<T: Plain, const AT: usize, const LEN: usize, const END: usize>(
        &mut self,
    ) -> (&mut [T; LEN], Others<'_, N, AT, END>) {
        const { check::<T>(AT, LEN, N) };
        const { assert!(END == AT + LEN * size_of::<T>(), "the end of the part") };
        let memory = self.0.as_mut_ptr();
        let others = Others {
            memory,
            lifetime: core::marker::PhantomData,
        };
        // SAFETY: inside the memory and aligned, checked above; every bit pattern is a value. The memory is borrowed
        // exclusively, and `Others` shows what lies outside of the part alone.
        (unsafe { &mut *memory.add(AT).cast() }, others)
    }
}

/// The memory outside of `AT..END`.
#[derive(Clone, Copy)]
pub struct Others<'a, const N: usize, const AT: usize, const END: usize> {
    memory: *const u8,
    lifetime: core::marker::PhantomData<&'a [u8]>,
}

impl<'a, const N: usize, const AT: usize, const END: usize> Others<'a, N, AT, END> {
    /// `LEN` elements from byte `FROM` on.
    #[inline(always)]
    pub fn view<T: Plain, const FROM: usize, const LEN: usize>(&self) -> &'a [T; LEN] {
        const { check::<T>(FROM, LEN, N) };
        const {
            let end = FROM + LEN * size_of::<T>();
            assert!(end <= AT || FROM >= END, "the part is being written");
        }
        // SAFETY: inside the memory, aligned and outside of what is written, checked above; every bit pattern is a value,
        // and the memory is borrowed for `'a`.
        unsafe { &*self.memory.add(FROM).cast() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_are_where_they_are_said_to_be() {
        let mut memory = Aligned::<256>::ZERO;
        assert_eq!(&raw const memory as usize % 64, 0);
        memory
            .view_mut::<f32, 64, 3>()
            .copy_from_slice(&[1.0, 2.0, 3.0]);
        memory.view_mut::<i8, 0, 2>().copy_from_slice(&[-1, 5]);
        let (y, others) = memory.step::<i32, 128, 2, 136>();
        let (x, w) = (others.view::<f32, 64, 3>(), others.view::<i8, 0, 2>());
        y[0] = x[2] as i32 + w[1] as i32;
        y[1] = w[0] as i32;
        assert_eq!(memory.view::<i32, 128, 2>(), &[8, -1]);
        assert_eq!(memory.view::<u8, 128, 4>(), &8i32.to_le_bytes());
        let constants = Aligned::new([1, 0, 0, 0, 255, 255]);
        assert_eq!(constants.view::<i32, 0, 1>(), &[1]);
        assert_eq!(constants.view::<i8, 4, 2>(), &[-1, -1]);
    }
}
