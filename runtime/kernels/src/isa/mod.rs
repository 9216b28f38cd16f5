//! Vectors of f32, one implementation per instruction set.
//!
//! Kernel bodies are `#[inline(always)]` generics over [`Isa`]; the wrappers that [`kernel_rows!`] writes carry the
//! `#[target_feature]`, so everything inlines into a function that may use the instructions.
#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod avx512;
#[cfg(target_arch = "aarch64")]
mod neon;
mod scalar;
#[cfg(target_arch = "wasm32")]
mod simd128;

#[cfg(target_arch = "x86_64")]
pub use avx2::Avx2;
#[cfg(target_arch = "x86_64")]
pub use avx512::Avx512;
#[cfg(target_arch = "aarch64")]
pub use neon::Neon;
pub use scalar::Scalar;
#[cfg(target_arch = "wasm32")]
pub use simd128::Simd128;

use crate::Features;
use crate::gemm::tile::{Segment, Store};

/// Operations on a vector of `LANES` f32.
///
/// # Safety
/// Every function is unsafe to call: the CPU must have the instruction set, and pointers must be valid for the lanes
/// read or written (no alignment is asked for). Implementors promise that `V` is plain data without padding.
#[allow(missing_docs, clippy::missing_safety_doc)]
pub unsafe trait Isa: Copy + 'static {
    /// Name, as [`Features::name`] gives it.
    const NAME: &'static str;
    /// f32 lanes of `V`; divides 16.
    const LANES: usize;
    /// Rows of the register tile of a matrix product.
    const MR: usize;
    /// 16-column panels of the register tile of a matrix product.
    const PANELS: usize;
    /// The vector.
    type V: Copy;

    /// Asks for the cache line at `p`, which need not be valid. Nothing where the hardware runs ahead by itself.
    #[inline(always)]
    unsafe fn prefetch(_p: *const f32) {}
    unsafe fn splat(x: f32) -> Self::V;
    unsafe fn load(p: *const f32) -> Self::V;
    unsafe fn store(p: *mut f32, v: Self::V);
    /// Loads the first `n < LANES` lanes, zero elsewhere.
    unsafe fn load_partial(p: *const f32, n: usize) -> Self::V;
    /// Stores the first `n < LANES` lanes.
    unsafe fn store_partial(p: *mut f32, v: Self::V, n: usize);
    unsafe fn add(a: Self::V, b: Self::V) -> Self::V;
    unsafe fn sub(a: Self::V, b: Self::V) -> Self::V;
    unsafe fn mul(a: Self::V, b: Self::V) -> Self::V;
    unsafe fn div(a: Self::V, b: Self::V) -> Self::V;
    /// `a * b + c`; rounded once where the hardware fuses.
    unsafe fn fma(a: Self::V, b: Self::V, c: Self::V) -> Self::V;
    /// The smaller; where unordered `b` (or NaN).
    unsafe fn min(a: Self::V, b: Self::V) -> Self::V;
    /// The larger; where unordered `b` (or NaN).
    unsafe fn max(a: Self::V, b: Self::V) -> Self::V;
    unsafe fn sqrt(a: Self::V) -> Self::V;
    /// To the nearest integer, halves to even.
    unsafe fn round(a: Self::V) -> Self::V;
    unsafe fn floor(a: Self::V) -> Self::V;
    unsafe fn ceil(a: Self::V) -> Self::V;
    unsafe fn abs(a: Self::V) -> Self::V;
    unsafe fn neg(a: Self::V) -> Self::V;
    /// Magnitude of `a`, sign of `s`.
    unsafe fn copysign(a: Self::V, s: Self::V) -> Self::V;
    /// `a < b ? x : y` per lane (false when unordered).
    unsafe fn select_lt(a: Self::V, b: Self::V, x: Self::V, y: Self::V) -> Self::V;
    /// `a == b ? x : y` per lane (false when unordered).
    unsafe fn select_eq(a: Self::V, b: Self::V, x: Self::V, y: Self::V) -> Self::V;
    /// 2^n of an integral `n` in -126..=127.
    unsafe fn pow2(n: Self::V) -> Self::V;
    /// For a normal positive `a`: `(m, e)` with `a = m * 2^e`, `m` in [1, 2).
    unsafe fn split_exponent(a: Self::V) -> (Self::V, Self::V);
    /// Sum of the lanes.
    unsafe fn sum(a: Self::V) -> f32;
    /// Largest lane.
    unsafe fn reduce_max(a: Self::V) -> f32;
    /// Whether [`Isa::tile`] is written for this instruction set.
    const TILES: bool = false;
    /// Computes and stores a tile of a matrix product, `MR` by `NV` vectors, where that is written for this instruction
    /// set; false, and nothing done, elsewhere. B begins at `b`, its panels `panel_stride` apart; the lines of the cache
    /// from `ahead` on are asked for.
    #[allow(private_interfaces)]
    #[inline(always)]
    unsafe fn tile<const MR: usize, const NV: usize>(
        _segments: &[Segment<MR>],
        _b: *const f32,
        _panel_stride: usize,
        _ahead: *const f32,
        _s: &Store,
    ) -> bool {
        false
    }
}

/// One row of a kernel table.
#[derive(Clone, Copy)]
pub struct Row<F> {
    /// Instruction set, as [`Features::name`] gives it.
    pub name: &'static str,
    /// What the CPU must offer.
    pub needs: Features,
    /// The kernel.
    pub run: F,
}

/// The first row whose needs `have` covers. Tables are ordered best first and end with a row that needs nothing, or no
/// more than every machine of the target has.
#[inline(always)]
pub(crate) fn choose<F: Copy>(rows: &[Row<F>], have: Features) -> Row<F> {
    for row in rows {
        if have.contains(row.needs) {
            return *row;
        }
    }
    rows[rows.len() - 1]
}

/// The first path, or where there is none the second.
#[allow(unused_macros)]
macro_rules! either {
    ([] [$($path:tt)*]) => { $($path)* };
    ([$path:path] $other:tt) => { $path };
}
#[allow(unused_imports)]
pub(crate) use either;

/// Writes the table `ROWS` of a family: one `#[target_feature]` wrapper per instruction set around a generic body, or
/// around the body written for that instruction set.
macro_rules! kernel_rows {
    ($vis:vis $rows:ident = $body:ident($($arg:ident: $ty:ty),* $(,)?) $(-> $ret:ty)? $(, neon = $neon:path)?) => {
        $vis const $rows: &[$crate::isa::Row<unsafe fn($($ty),*) $(-> $ret)?>] = {
            #[cfg(not(all(feature = "baseline", any(
                all(target_arch = "aarch64", target_feature = "neon"),
                all(target_arch = "wasm32", target_feature = "simd128"),
            ))))]
            #[allow(unused_unsafe)]
            unsafe fn scalar($($arg: $ty),*) $(-> $ret)? {
                // SAFETY: the contract of the body is the contract of the row.
                unsafe { $body::<$crate::isa::Scalar>($($arg),*) }
            }
            #[cfg(target_arch = "x86_64")]
            #[target_feature(enable = "avx2,fma")]
            unsafe fn avx2($($arg: $ty),*) $(-> $ret)? {
                // SAFETY: as above, and the row is chosen only where the instructions exist.
                unsafe { $body::<$crate::isa::Avx2>($($arg),*) }
            }
            #[cfg(target_arch = "x86_64")]
            #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq,avx2,fma")]
            unsafe fn avx512($($arg: $ty),*) $(-> $ret)? {
                // SAFETY: as above, and the row is chosen only where the instructions exist.
                unsafe { $body::<$crate::isa::Avx512>($($arg),*) }
            }
            #[cfg(target_arch = "aarch64")]
            #[target_feature(enable = "neon")]
            unsafe fn neon($($arg: $ty),*) $(-> $ret)? {
                // SAFETY: as above, and the row is chosen only where the instructions exist.
                unsafe { $crate::isa::either!([$($neon)?] [$body::<$crate::isa::Neon>])($($arg),*) }
            }
            #[cfg(target_arch = "wasm32")]
            #[target_feature(enable = "simd128")]
            unsafe fn simd128($($arg: $ty),*) $(-> $ret)? {
                // SAFETY: as above, and the row is chosen only where the instructions exist.
                unsafe { $body::<$crate::isa::Simd128>($($arg),*) }
            }
            &[
                #[cfg(target_arch = "x86_64")]
                $crate::isa::Row { name: "avx512", needs: $crate::Features::AVX512, run: avx512 },
                #[cfg(target_arch = "x86_64")]
                $crate::isa::Row { name: "avx2", needs: $crate::Features::AVX2_FMA, run: avx2 },
                #[cfg(target_arch = "aarch64")]
                $crate::isa::Row { name: "neon", needs: $crate::Features::NEON, run: neon },
                #[cfg(target_arch = "wasm32")]
                $crate::isa::Row { name: "simd128", needs: $crate::Features::SIMD128, run: simd128 },
                #[cfg(not(all(feature = "baseline", any(
                    all(target_arch = "aarch64", target_feature = "neon"),
                    all(target_arch = "wasm32", target_feature = "simd128"),
                ))))]
                $crate::isa::Row { name: "scalar", needs: $crate::Features::NONE, run: scalar },
            ]
        };
    };
}
pub(crate) use kernel_rows;

/// Writes trait functions whose body is one unsafe expression.
macro_rules! lanes {
    ($($name:ident($($a:ident: $t:ty),*) -> $r:ty = $e:expr;)*) => {
        $(#[inline(always)]
        #[allow(unused_unsafe)]
        unsafe fn $name($($a: $t),*) -> $r {
            // SAFETY: the caller upholds the contract of `Isa`: instructions exist, pointers are valid.
            unsafe { $e }
        })*
    };
}
pub(crate) use lanes;
