//! Scaled dot-product attention, streaming over the keys (Milakov and Gimelshein 2018; Dao et al. 2022): no score
//! matrix, a few hundred bytes of stack.
use crate::error::{KernelError, at_least, product};
use crate::isa::{Isa, kernel_rows};
use crate::kernels::Kernels;
use crate::math;

/// Shape of one head: out = softmax(scale Q K^T + mask) V.
#[derive(Clone, Copy, Debug)]
pub struct Attention {
    /// Queries.
    pub queries: usize,
    /// Keys and values.
    pub keys: usize,
    /// Elements of a query and of a key.
    pub depth: usize,
    /// Elements of a value and of a result.
    pub value_depth: usize,
    /// Distance of queries.
    pub q_stride: usize,
    /// Distance of keys.
    pub k_stride: usize,
    /// Distance of values.
    pub v_stride: usize,
    /// Distance of results.
    pub out_stride: usize,
    /// Distance of rows of the mask; 0 repeats one row.
    pub mask_stride: usize,
    /// Factor of the scores.
    pub scale: f32,
    /// When set, query i sees keys `0 ..= i + offset` alone.
    pub causal: Option<usize>,
}

impl Attention {
    pub(crate) fn check(
        &self,
        q: usize,
        k: usize,
        v: usize,
        mask: Option<usize>,
        out: usize,
    ) -> Result<(), KernelError> {
        let span = |rows: usize, ld: usize, cols: usize| -> Result<usize, KernelError> {
            if rows == 0 || cols == 0 {
                return Ok(0);
            }
            product(&[rows - 1, ld])?
                .checked_add(cols)
                .ok_or(KernelError::Overflow)
        };
        if self.queries > 1 && self.out_stride < self.value_depth {
            return Err(KernelError::Parameter);
        }
        at_least(q, span(self.queries, self.q_stride, self.depth)?)?;
        at_least(k, span(self.keys, self.k_stride, self.depth)?)?;
        at_least(v, span(self.keys, self.v_stride, self.value_depth)?)?;
        at_least(out, span(self.queries, self.out_stride, self.value_depth)?)?;
        if let Some(len) = mask {
            at_least(len, span(self.queries, self.mask_stride, self.keys)?)?;
        }
        Ok(())
    }
}

/// A validated head.
#[derive(Clone, Copy)]
pub(crate) struct Task {
    pub p: Attention,
    pub q: *const f32,
    pub k: *const f32,
    pub v: *const f32,
    pub mask: *const f32,
    pub out: *mut f32,
}

kernel_rows!(pub(crate) ROWS = body(t: &Task));

/// Keys whose scores are held at a time; a multiple of every lane count.
const BLOCK: usize = 64;

/// # Safety
/// `t` passed [`Attention::check`]; the instruction set exists.
#[inline(always)]
unsafe fn body<I: Isa>(t: &Task) {
    // SAFETY: rows stay inside the extents that `check` proved.
    unsafe {
        let p = &t.p;
        for i in 0..p.queries {
            let q = t.q.add(i * p.q_stride);
            let out = t.out.add(i * p.out_stride);
            for d in 0..p.value_depth {
                *out.add(d) = 0.0;
            }
            let seen = p.causal.map_or(p.keys, |offset| {
                p.keys.min(i.saturating_add(offset).saturating_add(1))
            });
            let mut top = f32::NEG_INFINITY;
            let mut sum = 0.0f32;
            let mut start = 0;
            while start < seen {
                let n = (seen - start).min(BLOCK);
                let mut scores = [f32::NEG_INFINITY; BLOCK];
                let mut j = 0;
                while j < n {
                    let keys = (n - j).min(4);
                    let k = t.k.add((start + j) * p.k_stride);
                    let dots = if keys == 4 {
                        dots::<I, 4>(q, k, p.k_stride, p.depth)
                    } else {
                        [dots::<I, 1>(q, k, p.k_stride, p.depth)[0]; 4]
                    };
                    let step = if keys == 4 { 4 } else { 1 };
                    for (u, dot) in dots.iter().take(step).enumerate() {
                        let mut s = dot * p.scale;
                        if !t.mask.is_null() {
                            s += *t.mask.add(i * p.mask_stride + start + j + u);
                        }
                        scores[j + u] = s;
                    }
                    j += step;
                }
                let mut m = top;
                for &s in &scores[..n] {
                    if s > m {
                        m = s;
                    }
                }
                if m == f32::NEG_INFINITY {
                    start += n;
                    continue;
                }
                if m > top {
                    let shrink = libm::expf(top - m);
                    sum *= shrink;
                    scale_row::<I>(out, p.value_depth, shrink);
                    top = m;
                }
                let mut acc = I::splat(0.0);
                let mut j = 0;
                while j < BLOCK {
                    let e = math::exp::<I>(I::sub(I::load(scores.as_ptr().add(j)), I::splat(m)));
                    acc = I::add(acc, e);
                    I::store(scores.as_mut_ptr().add(j), e);
                    j += I::LANES;
                }
                sum += I::sum(acc);
                weigh::<I>(
                    &scores,
                    n,
                    t.v.add(start * p.v_stride),
                    p.v_stride,
                    out,
                    p.value_depth,
                );
                start += n;
            }
            // A row that sees nothing is zero.
            if sum > 0.0 || sum.is_nan() {
                scale_row::<I>(out, p.value_depth, 1.0 / sum);
            }
        }
    }
}

/// Dot products of `q` with N keys.
#[inline(always)]
unsafe fn dots<I: Isa, const N: usize>(
    q: *const f32,
    k: *const f32,
    stride: usize,
    n: usize,
) -> [f32; N] {
    // SAFETY: n elements of each key are valid.
    unsafe {
        let mut acc = [I::splat(0.0); N];
        let mut i = 0;
        while i + I::LANES <= n {
            let qv = I::load(q.add(i));
            for u in 0..N {
                acc[u] = I::fma(qv, I::load(k.add(u * stride + i)), acc[u]);
            }
            i += I::LANES;
        }
        if i < n {
            let qv = I::load_partial(q.add(i), n - i);
            for u in 0..N {
                acc[u] = I::fma(qv, I::load_partial(k.add(u * stride + i), n - i), acc[u]);
            }
        }
        let mut r = [0.0; N];
        for u in 0..N {
            r[u] = I::sum(acc[u]);
        }
        r
    }
}

#[inline(always)]
unsafe fn scale_row<I: Isa>(p: *mut f32, n: usize, s: f32) {
    // SAFETY: n elements are valid.
    unsafe {
        let s = I::splat(s);
        let mut i = 0;
        while i + I::LANES <= n {
            I::store(p.add(i), I::mul(I::load(p.add(i)), s));
            i += I::LANES;
        }
        if i < n {
            I::store_partial(p.add(i), I::mul(I::load_partial(p.add(i), n - i), s), n - i);
        }
    }
}

/// `out += sum over j of w[j] * v[j]`.
#[inline(always)]
unsafe fn weigh<I: Isa>(
    w: &[f32; BLOCK],
    n: usize,
    v: *const f32,
    stride: usize,
    out: *mut f32,
    depth: usize,
) {
    // SAFETY: `depth` elements of n values are valid.
    unsafe {
        let mut d = 0;
        while d + 4 * I::LANES <= depth {
            let mut acc = [I::splat(0.0); 4];
            for u in 0..4 {
                acc[u] = I::load(out.add(d + u * I::LANES));
            }
            for j in 0..n {
                let wv = I::splat(w[j]);
                for u in 0..4 {
                    acc[u] = I::fma(wv, I::load(v.add(j * stride + d + u * I::LANES)), acc[u]);
                }
            }
            for u in 0..4 {
                I::store(out.add(d + u * I::LANES), acc[u]);
            }
            d += 4 * I::LANES;
        }
        while d < depth {
            let k = (depth - d).min(I::LANES);
            let part = k < I::LANES;
            let mut acc = if part {
                I::load_partial(out.add(d), k)
            } else {
                I::load(out.add(d))
            };
            for j in 0..n {
                let p = v.add(j * stride + d);
                acc = I::fma(
                    I::splat(w[j]),
                    if part {
                        I::load_partial(p, k)
                    } else {
                        I::load(p)
                    },
                    acc,
                );
            }
            if part {
                I::store_partial(out.add(d), acc, k)
            } else {
                I::store(out.add(d), acc)
            }
            d += k;
        }
    }
}

impl Kernels {
    /// One attention head: `q` `[queries, depth]`, `k` `[keys, depth]`, `v` `[keys, value_depth]`, `mask` (added to the
    /// scores) `[queries, keys]`, `out` `[queries, value_depth]`, rows apart as `p` says; heads that are interleaved in
    /// memory are reached by slices that start at the head. A query that sees no key yields zeros.
    ///
    /// # Errors
    /// [`KernelError`] when a slice does not fit the shape.
    pub fn attention(
        &self,
        p: &Attention,
        q: &[f32],
        k: &[f32],
        v: &[f32],
        mask: Option<&[f32]>,
        out: &mut [f32],
    ) -> Result<(), KernelError> {
        p.check(q.len(), k.len(), v.len(), mask.map(<[f32]>::len), out.len())?;
        let mask = mask.map_or(core::ptr::null(), <[f32]>::as_ptr);
        // SAFETY: checked above.
        unsafe {
            self.row(ROWS)(&Task {
                p: *p,
                q: q.as_ptr(),
                k: k.as_ptr(),
                v: v.as_ptr(),
                mask,
                out: out.as_mut_ptr(),
            })
        };
        Ok(())
    }
}
