//! Quantised convolutions that are known when they are compiled: what [`crate::Kernels`] checks at each call, the compiler
//! checks once, and nothing can fail.
use super::{DEPTHWISE_ROWS, Lengths, Operands, QuantizedConv, ROWS};
use crate::isa::choose;
use crate::{Features, KernelError};
use core::marker::PhantomData;

/// A convolution of a program that is known when it is compiled.
pub trait Layer {
    /// The convolution.
    const P: QuantizedConv;
    /// Whether each channel has its own window: weights are `[taps][C]`.
    const DEPTHWISE: bool;
}

/// A [`Layer`] with the kernel for what the compiler was allowed to assume.
///
/// ```compile_fail
/// use cygnet_kernels::quantized::{Fixed, Layer, QuantizedConv, Requantize, Sum};
/// use cygnet_kernels::Conv;
/// struct L;
/// impl Layer for L {
///     const P: QuantizedConv = QuantizedConv {
///         conv: Conv::new_2d(1, [4, 4], 1, 1, [1, 1]),
///         signed: true,
///         x_zero: 0,
///         requantize: Requantize { zero: 0, low: -128, high: 127, sum: Sum::NONE },
///     };
///     const DEPTHWISE: bool = false;
/// }
/// // Sixteen outputs do not fit.
/// Fixed::<L>::run(&[0; 16], &[0; 64], &[0; 2], &[1.0], &mut [0; 15]);
/// ```
pub struct Fixed<L>(PhantomData<L>);

impl<L: Layer> Fixed<L> {
    /// Runs the layer on operands as [`Operands`] describes; the compiler refuses lengths that do not fit.
    #[inline]
    pub fn run<const X: usize, const W: usize, const S: usize, const M: usize, const Y: usize>(
        x: &[u8; X],
        weights: &[i8; W],
        start: &[i32; S],
        multiplier: &[f32; M],
        y: &mut [u8; Y],
    ) {
        const { Self::check(Self::lengths::<X, W, S, M, Y>(None)) };
        Self::call(
            &Operands {
                x,
                weights,
                start,
                multiplier,
                residual: None,
            },
            y,
        );
    }

    /// As [`Fixed::run`], with a residual to add.
    #[inline]
    pub fn run_add<
        const X: usize,
        const W: usize,
        const S: usize,
        const M: usize,
        const Y: usize,
    >(
        x: &[u8; X],
        weights: &[i8; W],
        start: &[i32; S],
        multiplier: &[f32; M],
        residual: &[u8; Y],
        y: &mut [u8; Y],
    ) {
        const { Self::check(Self::lengths::<X, W, S, M, Y>(Some(Y))) };
        Self::call(
            &Operands {
                x,
                weights,
                start,
                multiplier,
                residual: Some(residual),
            },
            y,
        );
    }

    const fn lengths<
        const X: usize,
        const W: usize,
        const S: usize,
        const M: usize,
        const Y: usize,
    >(
        residual: Option<usize>,
    ) -> Lengths {
        Lengths {
            x: X,
            weights: W,
            start: S,
            multiplier: M,
            residual,
            y: Y,
        }
    }

    const fn check(n: Lengths) {
        match L::P.check(L::DEPTHWISE, &n, &(0..L::P.conv.rows())) {
            Ok(()) => {}
            Err(KernelError::Length) => {
                panic!("an operand has another length than its shape asks for")
            }
            Err(_) => panic!("a parameter of the convolution is out of range"),
        }
    }

    /// Operands passed the check.
    #[inline]
    fn call(o: &Operands<'_>, y: &mut [u8]) {
        let task = L::P.task(o, y, 0..L::P.conv.rows());
        #[cfg(arm_dsp)]
        if const { !L::DEPTHWISE && super::dsp::is_flat(&L::P.conv) } {
            // So a program of such layers has no code for others.
            // SAFETY: checked when compiled; the target has the instructions.
            return unsafe { super::dsp::flat(&task) };
        }
        #[cfg(arm_dsp)]
        if const { !L::DEPTHWISE && super::dsp::is_short(&L::P.conv) } {
            // SAFETY: checked when compiled; the target has the instructions.
            return unsafe { super::dsp::short(&task) };
        }
        #[cfg(arm_dsp)]
        if const { !L::DEPTHWISE && super::dsp::is_long(&L::P.conv) } {
            // SAFETY: checked when compiled; the target has the instructions.
            return unsafe { super::dsp::long(&task) };
        }
        #[cfg(arm_dsp)]
        if const { !L::DEPTHWISE } {
            // SAFETY: checked when compiled; the target has the instructions.
            return unsafe { super::dsp::longest(&task) };
        }
        #[cfg(arm_dsp)]
        if const { L::DEPTHWISE && super::dsp::is_listed(&L::P.conv) } {
            // SAFETY: checked when compiled; the target has the instructions.
            return unsafe { super::dsp::listed(&task) };
        }
        let rows = if L::DEPTHWISE { DEPTHWISE_ROWS } else { ROWS };
        let row = choose(rows, const { Features::compiled() });
        // SAFETY: checked when compiled; the target has the instructions.
        unsafe { (row.run)(&task) }
    }
}
