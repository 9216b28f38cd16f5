//! Integer products with zero points: 8-bit operands, 32-bit sums that wrap around.

use crate::error::{KernelError, product};

/// An operand of 8 or 16 bits.
pub trait Narrow: Copy + Send + Sync {
    /// The value.
    fn wide(self) -> i32;
}

impl Narrow for u8 {
    fn wide(self) -> i32 {
        self as i32
    }
}

impl Narrow for i8 {
    fn wide(self) -> i32 {
        self as i32
    }
}

impl Narrow for i16 {
    fn wide(self) -> i32 {
        self as i32
    }
}

/// A zero point: none, one for all, or one for each row or column.
fn zero<T: Narrow>(zeros: &[T], i: usize) -> i32 {
    match zeros {
        [] => 0,
        [z] => z.wide(),
        z => z[i].wide(),
    }
}

fn zeros_fit(have: usize, n: usize) -> Result<(), KernelError> {
    if have <= 1 || have == n {
        Ok(())
    } else {
        Err(KernelError::Length)
    }
}

/// `y[M,N] = (a[M,K] - a_zero) (b[K,N] - b_zero)`; `a_zero` holds none, one or M values, `b_zero` none, one or N.
///
/// # Errors
/// [`KernelError::Length`] when lengths do not agree.
pub fn matmul<A: Narrow, B: Narrow>(
    [m, k, n]: [usize; 3],
    a: &[A],
    a_zero: &[A],
    b: &[B],
    b_zero: &[B],
    y: &mut [i32],
) -> Result<(), KernelError> {
    if a.len() != product(&[m, k])? || b.len() != product(&[k, n])? || y.len() != product(&[m, n])?
    {
        return Err(KernelError::Length);
    }
    zeros_fit(a_zero.len(), m)?;
    zeros_fit(b_zero.len(), n)?;
    y.fill(0);
    if n == 0 {
        return Ok(());
    }
    for (row, y) in y.chunks_exact_mut(n).enumerate() {
        let shift = zero(a_zero, row);
        for (i, a) in a[row * k..(row + 1) * k].iter().enumerate() {
            let a = a.wide() - shift;
            for (j, (y, b)) in y.iter_mut().zip(&b[i * n..(i + 1) * n]).enumerate() {
                *y = y.wrapping_add(a * (b.wide() - zero(b_zero, j)));
            }
        }
    }
    Ok(())
}

/// Geometry of an integer convolution, channels-last, one to three spatial axes (unused ones are 1).
#[derive(Clone, Copy, Debug)]
#[allow(missing_docs)]
pub struct ConvGeometry {
    pub batch: usize,
    pub input: [usize; 3],
    pub output: [usize; 3],
    pub kernel: [usize; 3],
    pub strides: [usize; 3],
    pub dilations: [usize; 3],
    pub pads_before: [usize; 3],
    pub channels: usize,
    pub outputs: usize,
    pub group: usize,
}

/// `y[N,S'..,O] = (x[N,S..,C] - x_zero) * (w[O, prod(kernel), C/G] - w_zero)`; padding counts as `x_zero`.
///
/// # Errors
/// [`KernelError`] when lengths do not agree with the geometry.
pub fn conv<X: Narrow, W: Narrow>(
    g: &ConvGeometry,
    x: &[X],
    x_zero: &[X],
    w: &[W],
    w_zero: &[W],
    y: &mut [i32],
) -> Result<(), KernelError> {
    if g.group == 0
        || !g.channels.is_multiple_of(g.group)
        || !g.outputs.is_multiple_of(g.group)
        || x_zero.len() > 1
    {
        return Err(KernelError::Parameter);
    }
    let (group_in, group_out) = (g.channels / g.group, g.outputs / g.group);
    let volume = |s: &[usize; 3]| product(s);
    if x.len() != product(&[g.batch, volume(&g.input)?, g.channels])?
        || w.len() != product(&[g.outputs, volume(&g.kernel)?, group_in])?
        || y.len() != product(&[g.batch, volume(&g.output)?, g.outputs])?
    {
        return Err(KernelError::Length);
    }
    zeros_fit(w_zero.len(), g.outputs)?;
    if y.is_empty() {
        return Ok(());
    }
    let shift = zero(x_zero, 0);
    let taps = volume(&g.kernel)?;
    for (pixel, y) in y.chunks_exact_mut(g.outputs).enumerate() {
        let at = unravel(pixel, &g.output);
        let n = pixel / volume(&g.output)?;
        y.fill(0);
        for tap in 0..taps {
            let k = unravel(tap, &g.kernel);
            let mut source = Some(n);
            for axis in 0..3 {
                let i = at[axis]
                    .checked_mul(g.strides[axis])
                    .zip(k[axis].checked_mul(g.dilations[axis]))
                    .and_then(|(a, b)| a.checked_add(b))
                    .and_then(|i| i.checked_sub(g.pads_before[axis]))
                    .filter(|&i| i < g.input[axis]);
                source = source.zip(i).map(|(s, i)| s * g.input[axis] + i);
            }
            let Some(source) = source else { continue };
            let x = &x[source * g.channels..][..g.channels];
            for (o, y) in y.iter_mut().enumerate() {
                let x = &x[o / group_out * group_in..][..group_in];
                let w_shift = zero(w_zero, o);
                let w = &w[(o * taps + tap) * group_in..][..group_in];
                let sum = x.iter().zip(w).fold(0i32, |s, (x, w)| {
                    s.wrapping_add((x.wide() - shift) * (w.wide() - w_shift))
                });
                *y = y.wrapping_add(sum);
            }
        }
    }
    Ok(())
}

fn unravel(flat: usize, shape: &[usize; 3]) -> [usize; 3] {
    let plane = flat / shape[2];
    [
        plane / shape[1] % shape[0],
        plane % shape[1],
        flat % shape[2],
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn matmul_subtracts_zero_points() {
        let mut y = [0; 4];
        matmul(
            [2, 2, 2],
            &[11u8, 7, 3, 10],
            &[12],
            &[1i8, 4, 2, 5],
            &[0, 1],
            &mut y,
        )
        .unwrap();
        assert_eq!(y, [-11, -23, -13, -35]);
        assert!(matmul([2, 2, 2], &[1u8; 3], &[], &[1i8; 4], &[], &mut y).is_err());
    }

    #[test]
    fn conv_pads_with_the_zero_point() {
        let g = ConvGeometry {
            batch: 1,
            input: [1, 3, 3],
            output: [1, 2, 2],
            kernel: [1, 2, 2],
            strides: [1; 3],
            dilations: [1; 3],
            pads_before: [0; 3],
            channels: 1,
            outputs: 1,
            group: 1,
        };
        let x: [u8; 9] = [2, 3, 4, 5, 6, 7, 8, 9, 10];
        let mut y = [0; 4];
        conv(&g, &x, &[1], &[1u8; 4], &[], &mut y).unwrap();
        assert_eq!(y, [12, 16, 24, 28]);
        let padded = ConvGeometry {
            output: [1, 4, 4],
            pads_before: [0, 1, 1],
            ..g
        };
        let mut y = [0; 16];
        conv(&padded, &x, &[1], &[1u8; 4], &[], &mut y).unwrap();
        assert_eq!(y, [1, 3, 5, 3, 5, 12, 16, 9, 11, 24, 28, 15, 7, 15, 17, 9]);
    }
}
