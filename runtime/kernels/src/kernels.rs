//! The kernels chosen for one set of features, behind a safe interface.
use crate::conv::{self, Conv};
use crate::error::KernelError;
use crate::features::Features;
use crate::gemm::{self, Gemm};
use crate::recurrent::dot;
use crate::{activation, depthwise, isa};
use core::ops::Range;

/// The kernels of a set of features. Copy it, share it between threads.
///
/// A call takes the first row of its family's table that the features cover. Only families that are called are linked:
/// a list of every family's choice would keep all of them in every library.
#[derive(Clone, Copy)]
pub struct Kernels {
    features: Features,
}

impl Kernels {
    /// The kernels for what the compiler was allowed to assume: without detection, a constant.
    pub const COMPILED: Self = Self {
        features: Features::compiled(),
    };

    /// The best kernels within `wanted` that this machine can run ([`Features::available`]).
    pub fn for_features(wanted: Features) -> Self {
        // SAFETY: narrowed to what the machine offers.
        unsafe { Self::for_features_unchecked(wanted & Features::available()) }
    }

    /// The best kernels within `features`, for callers that detect by other means (no `std`).
    ///
    /// # Safety
    /// The CPU has every extension in `features`.
    pub unsafe fn for_features_unchecked(features: Features) -> Self {
        Self { features }
    }

    /// The function to run of a family's table.
    #[inline(always)]
    pub(crate) fn row<F: Copy>(&self, rows: &[isa::Row<F>]) -> F {
        isa::choose(rows, self.features).run
    }

    /// The best kernels of this machine.
    pub fn best() -> Self {
        Self::for_features(Features::ALL)
    }

    /// What the choice was made from.
    pub const fn features(&self) -> Features {
        self.features
    }

    /// The float instruction set in use (`scalar`, `avx2`, `avx512`, `neon`, `simd128`).
    pub fn name(&self) -> &'static str {
        isa::choose(gemm::ROWS, self.features).name
    }

    /// The instruction sets in use for dense and for depthwise quantised convolutions, named as in [`Features::NAMES`].
    pub fn quantized_names(&self) -> [&'static str; 2] {
        [crate::quantized::ROWS, crate::quantized::DEPTHWISE_ROWS]
            .map(|rows| isa::choose(rows, self.features).name)
    }

    /// The sum of `a[i] * b[i]`, over the shorter of both.
    pub(crate) fn dot(&self, a: &[f32], b: &[f32]) -> f32 {
        // SAFETY: both have that many elements; the row was chosen for this machine.
        unsafe { self.row(dot::ROWS)(a.as_ptr(), b.as_ptr(), a.len().min(b.len())) }
    }

    /// C = act(alpha A B + bias + residual): A `[m, k]` (rows `lda` apart), `b` packed by [`gemm::pack_b`],
    /// `bias[n]`, residual and C `[m, n]` (rows `ldr` and `ldc` apart).
    ///
    /// To split over threads, split A, the residual and C by rows; for few rows see [`Kernels::gemm_part`].
    ///
    /// # Errors
    /// [`KernelError`] when a slice is too short for the shape.
    pub fn gemm(
        &self,
        p: &Gemm,
        a: &[f32],
        b: &[f32],
        bias: Option<&[f32]>,
        residual: Option<&[f32]>,
        c: &mut [f32],
    ) -> Result<(), KernelError> {
        p.check(
            a.len(),
            b.len(),
            bias.map(<[f32]>::len),
            residual.map(<[f32]>::len),
            c.len(),
        )?;
        let t = gemm::Task::new(
            self.row(activation::ROWS),
            p,
            a,
            b,
            bias,
            residual,
            c.as_mut_ptr(),
            0..p.m,
            0..p.panels(),
        );
        // SAFETY: checked above; `c` is exclusive.
        unsafe { self.row(gemm::ROWS)(&t) };
        Ok(())
    }

    /// As [`Kernels::gemm`], for the rows `rows` and the 16-column panels `panels` of C alone. `c` points at the whole C,
    /// so that threads may fill disjoint parts of it.
    ///
    /// # Safety
    /// `c` is valid for writes of the part asked for, which nothing else touches meanwhile.
    ///
    /// # Errors
    /// [`KernelError`] when a slice is too short for the shape or a range leaves it.
    pub unsafe fn gemm_part(
        &self,
        p: &Gemm,
        a: &[f32],
        b: &[f32],
        bias: Option<&[f32]>,
        residual: Option<&[f32]>,
        c: *mut f32,
        rows: Range<usize>,
        panels: Range<usize>,
    ) -> Result<(), KernelError> {
        p.check(
            a.len(),
            b.len(),
            bias.map(<[f32]>::len),
            residual.map(<[f32]>::len),
            usize::MAX,
        )?;
        if rows.start > rows.end
            || rows.end > p.m
            || panels.start > panels.end
            || panels.end > p.panels()
        {
            return Err(KernelError::Parameter);
        }
        let t = gemm::Task::new(
            self.row(activation::ROWS),
            p,
            a,
            b,
            bias,
            residual,
            c,
            rows,
            panels,
        );
        // SAFETY: checked above; the caller vouches for `c`.
        unsafe { self.row(gemm::ROWS)(&t) };
        Ok(())
    }

    /// Convolution of `x` `[batch, d, h, w, in_channels]` with weights packed by [`conv::pack_weights`], plus `bias`
    /// `[out_channels]`, plus `residual`, then the activation, for the output rows `rows` (of [`Conv::rows`]).
    /// `y` and `residual` hold exactly those rows: `rows.len() * output[2] * out_channels` elements.
    ///
    /// # Errors
    /// [`KernelError`] when a slice does not fit the shape.
    pub fn conv(
        &self,
        p: &Conv,
        x: &[f32],
        weights: &[f32],
        bias: Option<&[f32]>,
        residual: Option<&[f32]>,
        y: &mut [f32],
        rows: Range<usize>,
    ) -> Result<(), KernelError> {
        p.check(
            x.len(),
            (weights.len(), conv::Weights::Dense),
            bias.map(<[f32]>::len),
            residual.map(<[f32]>::len),
            y.len(),
            &rows,
        )?;
        if let Some(g) = p.product(rows.len()) {
            let first = rows.start * p.output[2] * p.in_channels;
            return self.gemm(&g, &x[first..], weights, bias, residual, y);
        }
        self.checked_windows(p, x, weights, bias, residual, y, rows);
        Ok(())
    }

    /// [`Kernels::conv`] window by window: for what is no matrix product ([`Conv::product`]), so that a program of such
    /// layers has no code for products.
    ///
    /// # Errors
    /// [`KernelError`] when a slice does not fit the shape.
    pub fn conv_windows(
        &self,
        p: &Conv,
        x: &[f32],
        weights: &[f32],
        bias: Option<&[f32]>,
        residual: Option<&[f32]>,
        y: &mut [f32],
        rows: Range<usize>,
    ) -> Result<(), KernelError> {
        p.check(
            x.len(),
            (weights.len(), conv::Weights::Dense),
            bias.map(<[f32]>::len),
            residual.map(<[f32]>::len),
            y.len(),
            &rows,
        )?;
        self.checked_windows(p, x, weights, bias, residual, y, rows);
        Ok(())
    }

    /// The windows of [`Kernels::conv`], whose slices passed [`Conv::check`].
    fn checked_windows(
        &self,
        p: &Conv,
        x: &[f32],
        weights: &[f32],
        bias: Option<&[f32]>,
        residual: Option<&[f32]>,
        y: &mut [f32],
        rows: Range<usize>,
    ) {
        let t = conv::Task::new(
            self.row(activation::ROWS),
            p,
            x,
            weights,
            bias,
            residual,
            y,
            rows,
        );
        // SAFETY: the caller checked the slices; `y` is exclusive.
        unsafe { self.row(conv::ROWS)(&t) };
    }

    /// Depthwise convolution (`groups == in_channels == out_channels`) with weights `[taps][C]`; otherwise as
    /// [`Kernels::conv`].
    ///
    /// # Errors
    /// [`KernelError`] when a slice does not fit the shape.
    pub fn depthwise(
        &self,
        p: &Conv,
        x: &[f32],
        weights: &[f32],
        bias: Option<&[f32]>,
        residual: Option<&[f32]>,
        y: &mut [f32],
        rows: Range<usize>,
    ) -> Result<(), KernelError> {
        p.check(
            x.len(),
            (weights.len(), conv::Weights::Depthwise),
            bias.map(<[f32]>::len),
            residual.map(<[f32]>::len),
            y.len(),
            &rows,
        )?;
        let t = conv::Task::new(
            self.row(activation::ROWS),
            p,
            x,
            weights,
            bias,
            residual,
            y,
            rows,
        );
        // SAFETY: checked above; `y` is exclusive.
        unsafe { self.row(depthwise::ROWS)(&t) };
        Ok(())
    }

    /// Transposed convolution of `x` `[batch, d, h, w, in_channels]`: tap `t` adds to output
    /// `i * stride - pad_begin + t * dilation`. Weights as [`conv::pack_weights`] packs them (`p.kernel` taps, not
    /// flipped). `y` holds exactly the output rows `rows`.
    ///
    /// # Errors
    /// [`KernelError`] when a slice does not fit the shape.
    pub fn conv_transpose(
        &self,
        p: &Conv,
        x: &[f32],
        weights: &[f32],
        bias: Option<&[f32]>,
        y: &mut [f32],
        rows: Range<usize>,
    ) -> Result<(), KernelError> {
        p.check(
            x.len(),
            (weights.len(), conv::Weights::Dense),
            bias.map(<[f32]>::len),
            None,
            y.len(),
            &rows,
        )?;
        let t = conv::Task::new(
            self.row(activation::ROWS),
            p,
            x,
            weights,
            bias,
            None,
            y,
            rows,
        );
        // SAFETY: checked above; `y` is exclusive.
        unsafe { self.row(conv::transpose::ROWS)(&t) };
        Ok(())
    }
}
