//! Discrete Fourier transforms and determinants.
mod fourier;

pub use fourier::{Dft, dft, stft};

use crate::element::Element;
use crate::error::{KernelError, exactly, product};

/// Largest matrix of [`determinant`] that is decomposed on the stack.
pub const MAX_DETERMINANT: usize = 64;

/// Determinants of `x[.., n, n]`, by elimination with partial pivoting in double precision.
///
/// # Errors
/// [`KernelError`] when lengths do not fit or `n` exceeds [`MAX_DETERMINANT`].
#[inline(never)]
pub fn determinant<T: Element>(x: &[T], n: usize, y: &mut [T]) -> Result<(), KernelError> {
    exactly(x.len(), product(&[y.len(), n, n])?)?;
    if n > MAX_DETERMINANT {
        return Err(KernelError::Parameter);
    }
    let mut buffer = [0f64; MAX_DETERMINANT * MAX_DETERMINANT];
    for (i, y) in y.iter_mut().enumerate() {
        let m = &mut buffer[..n * n];
        m.iter_mut()
            .zip(&x[i * n * n..])
            .for_each(|(m, x)| *m = x.to_f64());
        let mut det = 1.0;
        for k in 0..n {
            let pivot = (k..n).fold(k, |best, r| {
                if m[r * n + k].abs() > m[best * n + k].abs() {
                    r
                } else {
                    best
                }
            });
            if pivot != k {
                for c in 0..n {
                    m.swap(k * n + c, pivot * n + c);
                }
                det = -det;
            }
            let p = m[k * n + k];
            det *= p;
            if p == 0.0 {
                break;
            }
            for r in k + 1..n {
                let f = m[r * n + k] / p;
                for c in k..n {
                    m[r * n + c] -= f * m[k * n + c];
                }
            }
        }
        *y = T::from_f64(det);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn determinants() {
        let mut y = [0f32; 2];
        determinant(&[0., 1., 2., 3., 1., 2., 3., 4.], 2, &mut y).unwrap();
        assert_eq!(y, [-2., -2.]);
        let mut y = [9f64];
        determinant(&[2., 4., 1., 2.], 2, &mut y).unwrap();
        assert_eq!(y, [0.]);
        determinant::<f64>(&[], 0, &mut y).unwrap();
        assert_eq!(y, [1.]);
        assert!(determinant(&[1f64; 3], 2, &mut y).is_err());
    }
}
