//! Expansion of panels, and products of one row with the codes in registers.
use super::unpack::Unpack;
use super::{Kind, Panel};
use crate::gemm::PANEL;
use crate::gemm::tile::{Store, start, store};

/// Writes a table of rows as `kernel_rows!` does, without one for AVX-512: what these loops wait for is memory, and
/// such a machine runs AVX2's.
macro_rules! unpack_rows {
    ($rows:ident = $body:ident($($arg:ident: $ty:ty),*)) => {
        pub(super) const $rows: &[crate::isa::Row<unsafe fn($($ty),*)>] = {
            #[cfg(not(all(feature = "baseline", any(
                all(target_arch = "aarch64", target_feature = "neon"),
                all(target_arch = "wasm32", target_feature = "simd128"),
            ))))]
            unsafe fn scalar($($arg: $ty),*) {
                // SAFETY: the contract of the body is the contract of the row.
                unsafe { $body::<crate::isa::Scalar>($($arg),*) }
            }
            #[cfg(target_arch = "x86_64")]
            #[target_feature(enable = "avx2,fma,f16c")]
            unsafe fn avx2($($arg: $ty),*) {
                // SAFETY: as above, and the row is chosen only where the instructions exist.
                unsafe { $body::<crate::isa::Avx2>($($arg),*) }
            }
            #[cfg(target_arch = "aarch64")]
            #[target_feature(enable = "neon")]
            unsafe fn neon($($arg: $ty),*) {
                // SAFETY: as above, and the row is chosen only where the instructions exist.
                unsafe { $body::<crate::isa::Neon>($($arg),*) }
            }
            #[cfg(target_arch = "wasm32")]
            #[target_feature(enable = "simd128")]
            unsafe fn simd128($($arg: $ty),*) {
                // SAFETY: as above, and the row is chosen only where the instructions exist.
                unsafe { $body::<crate::isa::Simd128>($($arg),*) }
            }
            &[
                #[cfg(target_arch = "x86_64")]
                crate::isa::Row { name: "avx2", needs: crate::Features::AVX2_FMA, run: avx2 },
                #[cfg(target_arch = "aarch64")]
                crate::isa::Row { name: "neon", needs: crate::Features::NEON, run: neon },
                #[cfg(target_arch = "wasm32")]
                crate::isa::Row { name: "simd128", needs: crate::Features::SIMD128, run: simd128 },
                #[cfg(not(all(feature = "baseline", any(
                    all(target_arch = "aarch64", target_feature = "neon"),
                    all(target_arch = "wasm32", target_feature = "simd128"),
                ))))]
                crate::isa::Row { name: "scalar", needs: crate::Features::NONE, run: scalar },
            ]
        };
    };
}

unpack_rows!(EXPAND_ROWS = expand(p: &Panel, out: *mut f32));
unpack_rows!(GEMV_ROWS = gemv(p: &Panel, a: *const f32, s: &Store));
unpack_rows!(HALVES_ROWS = halves(from: *const u16, to: *mut f32, n: usize));

/// Most vectors of a panel.
const VECTORS: usize = 4;

/// # Safety
/// Both hold `n` elements; the instruction set exists.
#[inline(always)]
unsafe fn halves<I: Unpack>(from: *const u16, to: *mut f32, n: usize) {
    // SAFETY: see the contract.
    unsafe {
        let mut i = 0;
        while i + I::LANES <= n {
            I::store(to.add(i), I::halves(from.add(i)));
            i += I::LANES;
        }
        if i < n {
            let mut rest = [0u16; 16];
            core::ptr::copy_nonoverlapping(from.add(i), rest.as_mut_ptr(), n - i);
            I::store_partial(to.add(i), I::halves(rest.as_ptr()), n - i);
        }
    }
}

/// Vector `j` of the factors of a group.
#[inline(always)]
unsafe fn factor<I: Unpack>(from: *const u8, half: bool, group: usize, j: usize) -> I::V {
    let at = group * PANEL + j * I::LANES;
    // SAFETY: the group has 16 factors.
    unsafe {
        if half {
            I::halves(from.cast::<u16>().add(at))
        } else {
            I::load(from.cast::<f32>().add(at))
        }
    }
}

/// # Safety
/// The panel is valid, `out` holds `k * 16` elements; the instruction set exists.
#[inline(always)]
unsafe fn expand<I: Unpack>(p: &Panel, out: *mut f32) {
    // SAFETY: see the contract.
    unsafe {
        match (p.kind, p.bits) {
            (Kind::Half, _) => halves::<I>(p.codes.cast(), out, p.k * PANEL),
            (Kind::Integers, 2) => expand_integers::<I, 2>(p, out),
            (Kind::Integers, 4) => expand_integers::<I, 4>(p, out),
            (Kind::Integers, _) => expand_integers::<I, 8>(p, out),
            (Kind::Table, 2) => expand_table::<I, 2>(p, out),
            (Kind::Table, 4) => expand_table::<I, 4>(p, out),
            (Kind::Table, _) => expand_table::<I, 8>(p, out),
        }
    }
}

#[inline(always)]
unsafe fn expand_integers<I: Unpack, const BITS: u32>(p: &Panel, out: *mut f32) {
    let vectors = PANEL / I::LANES;
    let per = 32 / BITS as usize;
    // SAFETY: the panel is valid, groups are whole words.
    unsafe {
        let mut scale = [I::splat(0.0); VECTORS];
        let mut offset = scale;
        let mut first = 0;
        while first < p.k {
            let end = (first + p.group).min(p.k);
            for j in 0..vectors {
                scale[j] = factor::<I>(p.scales, p.half, first / p.group, j);
                if !p.offsets.is_null() {
                    offset[j] = factor::<I>(p.offsets, p.half, first / p.group, j);
                }
            }
            let mut k = first;
            while k < end {
                let words = p.codes.cast::<u32>().add(k / per * PANEL);
                let count = per.min(end - k);
                for j in 0..vectors {
                    let w = I::words(words.add(j * I::LANES));
                    let out = out.add(k * PANEL + j * I::LANES);
                    // A macro, as the inside of a closure is compiled without the instructions. Loops of a constant
                    // count become shifts by constants.
                    macro_rules! put {
                        ($t:ident in $count:expr) => {
                            for $t in 0..$count {
                                let mut v = I::mul(I::signed::<BITS>(w, $t), scale[j]);
                                if !p.offsets.is_null() {
                                    v = I::add(v, offset[j]);
                                }
                                I::store(out.add($t * PANEL), v);
                            }
                        };
                    }
                    if count == per {
                        put!(t in per);
                    } else {
                        put!(t in count);
                    }
                }
                k += per;
            }
            first = end;
        }
    }
}

#[inline(always)]
unsafe fn expand_table<I: Unpack, const BITS: u32>(p: &Panel, out: *mut f32) {
    let per = 32 / BITS as usize;
    // SAFETY: the panel is valid.
    unsafe {
        let mut k = 0;
        while k < p.k {
            let words = p.codes.cast::<u32>().add(k / per * PANEL);
            for j in 0..PANEL / I::LANES {
                let w = I::words(words.add(j * I::LANES));
                let out = out.add(k * PANEL + j * I::LANES);
                if k + per <= p.k {
                    for t in 0..per {
                        I::store(out.add(t * PANEL), I::look_up::<BITS>(p.table, w, t));
                    }
                } else {
                    for t in 0..p.k - k {
                        I::store(out.add(t * PANEL), I::look_up::<BITS>(p.table, w, t));
                    }
                }
            }
            k += per;
        }
    }
}

/// One row of A times a panel.
///
/// # Safety
/// The panel is valid and has no table, `a` holds k elements, `s` is valid for one row; the instruction set exists.
#[inline(always)]
unsafe fn gemv<I: Unpack>(p: &Panel, a: *const f32, s: &Store) {
    // SAFETY: passed through.
    unsafe {
        match I::LANES {
            8 => gemv_of::<I, 2, 4>(p, a, s),
            _ => gemv_of::<I, 4, 2>(p, a, s),
        }
    }
}

#[inline(always)]
unsafe fn gemv_of<I: Unpack, const NV: usize, const U: usize>(p: &Panel, a: *const f32, s: &Store) {
    // SAFETY: passed through.
    unsafe {
        match (p.kind, p.bits) {
            (Kind::Half, _) => gemv_halves::<I, NV, U>(p, a, s),
            (_, 2) => gemv_integers::<I, NV, U, 2>(p, a, s),
            (_, 4) => gemv_integers::<I, NV, U, 4>(p, a, s),
            _ => gemv_integers::<I, NV, U, 8>(p, a, s),
        }
    }
}

/// The sums of several steps in flight, which hide the latency of the multiply-add.
#[inline(always)]
unsafe fn joined<I: Unpack, const NV: usize, const U: usize>(acc: &[[I::V; NV]; U]) -> [I::V; NV] {
    let mut sum = acc[0];
    for acc in &acc[1..] {
        for j in 0..NV {
            // SAFETY: the instruction set exists.
            sum[j] = unsafe { I::add(sum[j], acc[j]) };
        }
    }
    sum
}

#[inline(always)]
unsafe fn gemv_halves<I: Unpack, const NV: usize, const U: usize>(
    p: &Panel,
    a: *const f32,
    s: &Store,
) {
    // SAFETY: the panel holds k * 16 halves, `a` k elements.
    unsafe {
        let b = p.codes.cast::<u16>();
        let mut acc = [[I::splat(0.0); NV]; U];
        macro_rules! step {
            ($acc:expr, $k:expr) => {{
                let k = $k;
                let x = I::splat(*a.add(k));
                for j in 0..NV {
                    $acc[j] = I::fma(x, I::halves(b.add(k * PANEL + j * I::LANES)), $acc[j]);
                }
            }};
        }
        let mut k = 0;
        while k + U <= p.k {
            for u in 0..U {
                step!(acc[u], k + u);
            }
            k += U;
        }
        while k < p.k {
            step!(acc[0], k);
            k += 1;
        }
        let sum = joined::<I, NV, U>(&acc);
        let mut one = start::<I, 1, NV>(s);
        for j in 0..NV {
            one[0][j] = I::add(one[0][j], sum[j]);
        }
        store::<I, 1, NV>(&one, s);
    }
}

#[inline(always)]
unsafe fn gemv_integers<I: Unpack, const NV: usize, const U: usize, const BITS: u32>(
    p: &Panel,
    a: *const f32,
    s: &Store,
) {
    let per = 32 / BITS as usize;
    // SAFETY: the panel is valid, groups are whole words, `a` holds k elements.
    unsafe {
        let mut one = start::<I, 1, NV>(s);
        let mut first = 0;
        while first < p.k {
            let end = (first + p.group).min(p.k);
            let group = first / p.group;
            let mut acc = [[I::splat(0.0); NV]; U];
            let mut k = first;
            while k < end {
                let words = p.codes.cast::<u32>().add(k / per * PANEL);
                let mut w = [I::words(words); NV];
                for j in 1..NV {
                    w[j] = I::words(words.add(j * I::LANES));
                }
                let count = per.min(end - k);
                macro_rules! step {
                    ($t:ident in $count:expr) => {
                        for $t in 0..$count {
                            let x = I::splat(*a.add(k + $t));
                            for j in 0..NV {
                                let acc = &mut acc[$t % U][j];
                                *acc = I::fma(x, I::signed::<BITS>(w[j], $t), *acc);
                            }
                        }
                    };
                }
                if count == per {
                    step!(t in per);
                } else {
                    step!(t in count);
                }
                k += per;
            }
            let sum = joined::<I, NV, U>(&acc);
            for j in 0..NV {
                let scale = factor::<I>(p.scales, p.half, group, j);
                one[0][j] = I::fma(scale, sum[j], one[0][j]);
            }
            if !p.offsets.is_null() {
                // The offset of a group multiplies the sum of its part of the row.
                let mut total = I::splat(0.0);
                let mut k = first;
                while k + I::LANES <= end {
                    total = I::add(total, I::load(a.add(k)));
                    k += I::LANES;
                }
                if k < end {
                    total = I::add(total, I::load_partial(a.add(k), end - k));
                }
                let total = I::splat(I::sum(total));
                for j in 0..NV {
                    let offset = factor::<I>(p.offsets, p.half, group, j);
                    one[0][j] = I::fma(total, offset, one[0][j]);
                }
            }
            first = end;
        }
        store::<I, 1, NV>(&one, s);
    }
}
