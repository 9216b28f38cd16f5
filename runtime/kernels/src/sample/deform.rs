//! Deformable convolution (Zhu et al. 2019, as ONNX DeformConv), channels-last.

use super::bilinear_zero;
use crate::error::{KernelError, product};

/// Geometry of a deformable 2-D convolution.
#[derive(Clone, Copy, Debug)]
#[allow(missing_docs)]
pub struct DeformGeometry {
    pub batch: usize,
    pub input: [usize; 2],
    pub output: [usize; 2],
    pub kernel: [usize; 2],
    pub strides: [usize; 2],
    pub dilations: [usize; 2],
    pub pads_before: [usize; 2],
    pub channels: usize,
    pub outputs: usize,
    pub group: usize,
    pub offset_group: usize,
}

/// `x[N,H,W,C], w[O, taps, C/G], offset[N,Ho,Wo,D*taps*2] (y, x), bias[O], mask[N,Ho,Wo,D*taps] -> y[N,Ho,Wo,O]`.
///
/// # Errors
/// [`KernelError`] when lengths do not agree with the geometry.
pub fn deform_conv(
    g: &DeformGeometry,
    x: &[f32],
    w: &[f32],
    offset: &[f32],
    bias: Option<&[f32]>,
    mask: Option<&[f32]>,
    y: &mut [f32],
) -> Result<(), KernelError> {
    let divides = |n: usize, by: usize| by > 0 && n.is_multiple_of(by);
    if !divides(g.channels, g.group)
        || !divides(g.outputs, g.group)
        || !divides(g.channels, g.offset_group)
    {
        return Err(KernelError::Parameter);
    }
    let (taps, plane) = (product(&g.kernel)?, product(&g.input)?);
    let points = product(&[g.batch, product(&g.output)?])?;
    let fields = product(&[g.offset_group, taps])?;
    let (group_in, group_out) = (g.channels / g.group, g.outputs / g.group);
    if x.len() != product(&[g.batch, plane, g.channels])?
        || w.len() != product(&[g.outputs, taps, group_in])?
        || offset.len() != product(&[points, fields, 2])?
        || bias.is_some_and(|b| b.len() != g.outputs)
        || mask.is_some_and(|m| Ok(m.len()) != product(&[points, fields]))
        || y.len() != product(&[points, g.outputs])?
    {
        return Err(KernelError::Length);
    }
    if y.is_empty() {
        return Ok(());
    }
    let per_field = g.channels / g.offset_group;
    for (point, y) in y.chunks_exact_mut(g.outputs).enumerate() {
        let at = [point / g.output[1] % g.output[0], point % g.output[1]];
        let image =
            &x[point / (g.output[0] * g.output[1]) * plane * g.channels..][..plane * g.channels];
        match bias {
            Some(bias) => y.copy_from_slice(bias),
            None => y.fill(0.0),
        }
        for tap in 0..taps {
            let k = [tap / g.kernel[1], tap % g.kernel[1]];
            let base = |a: usize| {
                (at[a] * g.strides[a] + k[a] * g.dilations[a]) as f32 - g.pads_before[a] as f32
            };
            for c in 0..g.channels {
                let field = point * fields + c / per_field * taps + tap;
                let (dy, dx) = (offset[2 * field], offset[2 * field + 1]);
                let corners = bilinear_zero(base(0) + dy, base(1) + dx, g.input);
                let value: f32 = corners
                    .iter()
                    .map(|&(at, weight)| {
                        if weight == 0.0 {
                            0.0
                        } else {
                            weight * image[at * g.channels + c]
                        }
                    })
                    .sum();
                let value = value * mask.map_or(1.0, |m| m[field]);
                let group = c / group_in;
                for (o, out) in y[group * group_out..][..group_out].iter_mut().enumerate() {
                    *out +=
                        value * w[((group * group_out + o) * taps + tap) * group_in + c % group_in];
                }
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn offsets_move_the_taps() {
        let g = DeformGeometry {
            batch: 1,
            input: [2, 2],
            output: [1, 1],
            kernel: [1, 1],
            strides: [1, 1],
            dilations: [1, 1],
            pads_before: [0, 0],
            channels: 1,
            outputs: 1,
            group: 1,
            offset_group: 1,
        };
        let x = [1.0, 2.0, 3.0, 4.0];
        let mut y = [0f32];
        deform_conv(&g, &x, &[2.0], &[0.5, 0.5], Some(&[1.0]), None, &mut y).unwrap();
        assert_eq!(y, [6.0]);
        deform_conv(&g, &x, &[2.0], &[f32::NAN, 9.0], None, Some(&[0.5]), &mut y).unwrap();
        assert_eq!(y, [0.0]);
    }
}
