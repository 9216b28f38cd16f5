//! Convolution, batch normalisation (Ioffe and Szegedy, 2015) and activation as one operator: the gradient of the
//! normalisation takes the place of its input, and candle adds up one gradient in place of three.
use super::conv::{forward, input_gradient, output_shape, weights_gradient};
use super::shape::Geometry;
use super::work::{floats, kernels, parts, refused, sum_parts};
use candle_core::{CpuStorage, CustomOp2, CustomOp3, Layout, Result, Shape, Storage, Tensor, bail};
use cygnet_kernels::Activation;
use cygnet_kernels::gradient::Normalize;
use rayon::prelude::*;
use std::sync::{Arc, Mutex, PoisonError};

/// Mean and variance of a batch by channel.
#[derive(Clone, Debug, Default)]
pub struct Statistics {
    /// Means.
    pub mean: Vec<f32>,
    /// Variances, of all pixels (not corrected for their number).
    pub variance: Vec<f32>,
    /// Pixels they were taken from.
    pub pixels: usize,
}

/// What the gradient needs of the forward pass.
struct Saved {
    /// The convolution's output.
    z: Vec<f32>,
    mean: Vec<f32>,
    inverse_deviation: Vec<f32>,
    scale: Vec<f32>,
    shift: Vec<f32>,
}

#[derive(Default)]
struct Memory {
    saved: Option<Saved>,
    statistics: Statistics,
}

/// The convolution of `x` with `w`, normalised by the batch's own mean and variance, times gamma plus beta (`affine`
/// `[2, channels]`: gamma, then beta), then the activation; with the statistics for the running mean and variance.
///
/// # Errors
/// Shapes that do not fit; an activation other than `None`, `Relu`, `Clip` and `HardSwish`.
pub fn block(
    x: &Tensor,
    w: &Tensor,
    affine: &Tensor,
    geometry: Geometry,
    epsilon: f32,
    activation: Activation,
) -> Result<(Tensor, Statistics)> {
    if !x.device().is_cpu() {
        return by_candle(x, w, affine, geometry, epsilon, activation);
    }
    let memory = Arc::new(Mutex::new(Memory::default()));
    let y = x.contiguous()?.apply_op3(
        &w.contiguous()?,
        &affine.contiguous()?,
        Block {
            geometry,
            epsilon,
            activation,
            memory: Arc::clone(&memory),
        },
    )?;
    let mut memory = memory.lock().unwrap_or_else(PoisonError::into_inner);
    if !y.track_op() {
        memory.saved = None;
    }
    let statistics = std::mem::take(&mut memory.statistics);
    Ok((y, statistics))
}

struct Block {
    geometry: Geometry,
    epsilon: f32,
    activation: Activation,
    memory: Arc<Mutex<Memory>>,
}

/// Pixels from which a part of a sum over pixels is worth a thread.
const PART: usize = 512;

fn statistics(z: &[f32], c: usize) -> Result<Statistics> {
    let pixels = z.len() / c;
    if pixels == 0 {
        bail!("batch normalisation of an empty batch");
    }
    // Squares about a value of each channel lose nothing to a large mean.
    let about = &z[..c];
    let sums = sum_parts(&parts(pixels, PART), 2 * c, |part, out| {
        let (sums, squares) = out.split_at_mut(c);
        kernels().channel_moments(&z[part.start * c..part.end * c], about, sums, squares)
    })?;
    let n = pixels as f64;
    let mut s = Statistics {
        pixels,
        ..Statistics::default()
    };
    for j in 0..c {
        let (sum, square) = (f64::from(sums[j]), f64::from(sums[c + j]));
        s.mean.push((f64::from(about[j]) + sum / n) as f32);
        s.variance
            .push((square / n - (sum / n) * (sum / n)).max(0.0) as f32);
    }
    Ok(s)
}

/// Runs `f` on pieces of whole pixels of three slices, on all threads.
fn by_pixels(
    c: usize,
    out: &mut [f32],
    by: &[f32],
    f: impl Fn(&mut [f32], &[f32]) -> std::result::Result<(), cygnet_kernels::KernelError> + Sync,
) -> Result<()> {
    let pixels = out.len() / c;
    let piece = pixels.div_ceil(2 * rayon::current_num_threads()).max(PART) * c;
    out.par_chunks_mut(piece)
        .zip(by.par_chunks(piece))
        .try_for_each(|(out, by)| f(out, by))
        .map_err(refused)
}

impl CustomOp3 for Block {
    fn name(&self) -> &'static str {
        "convolution-block"
    }

    fn cpu_fwd(
        &self,
        x: &CpuStorage,
        lx: &Layout,
        w: &CpuStorage,
        lw: &Layout,
        affine: &CpuStorage,
        la: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let p = self.geometry.shape(lx.dims(), lw.dims())?;
        let c = p.out_channels;
        if la.dims() != [2, c] {
            bail!("gamma and beta are [2, {c}] here, not {:?}", la.dims());
        }
        let affine = floats(affine, la)?;
        let z = forward(&p, floats(x, lx)?, floats(w, lw)?)?;
        let statistics = statistics(&z, c)?;
        let inverse_deviation: Vec<f32> = statistics
            .variance
            .iter()
            .map(|v| 1.0 / (v + self.epsilon).sqrt())
            .collect();
        let scale: Vec<f32> = (0..c).map(|j| affine[j] * inverse_deviation[j]).collect();
        let shift: Vec<f32> = (0..c)
            .map(|j| affine[c + j] - statistics.mean[j] * scale[j])
            .collect();
        let mut y = vec![0.0; z.len()];
        by_pixels(c, &mut y, &z, |y, z| {
            kernels().channel_affine(z, &scale, &shift, self.activation, y)
        })?;
        let mut memory = self.memory.lock().unwrap_or_else(PoisonError::into_inner);
        memory.saved = Some(Saved {
            z,
            mean: statistics.mean.clone(),
            inverse_deviation,
            scale,
            shift,
        });
        memory.statistics = statistics;
        Ok((CpuStorage::F32(y), output_shape(&p)))
    }

    fn bwd(
        &self,
        x: &Tensor,
        w: &Tensor,
        affine: &Tensor,
        _y: &Tensor,
        dy: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>, Option<Tensor>)> {
        let p = self.geometry.shape(x.dims(), w.dims())?;
        let c = p.out_channels;
        let saved = {
            let mut memory = self.memory.lock().unwrap_or_else(PoisonError::into_inner);
            memory.saved.take()
        };
        let Some(mut saved) = saved else {
            bail!("the gradient of a block was asked for twice: run the model again");
        };
        let dy = dy.contiguous()?;
        let (dy, ly) = dy.storage_and_layout();
        let dy = floats(on_cpu(&dy)?, ly)?;
        let normalize = Normalize {
            mean: &saved.mean,
            inverse_deviation: &saved.inverse_deviation,
            scale: &saved.scale,
            shift: &saved.shift,
            activation: self.activation,
        };
        let pixels = saved.z.len() / c;
        let sums = sum_parts(&parts(pixels, PART), 2 * c, |part, out| {
            let part = part.start * c..part.end * c;
            let (beta, gamma) = out.split_at_mut(c);
            kernels().normalize_sums(&normalize, &saved.z[part.clone()], &dy[part], beta, gamma)
        })?;
        let (beta, gamma) = sums.split_at(c);
        let n = pixels as f32;
        let by_x: Vec<f32> = (0..c)
            .map(|j| -saved.scale[j] * saved.inverse_deviation[j] * gamma[j] / n)
            .collect();
        let constant: Vec<f32> = (0..c)
            .map(|j| -saved.scale[j] * beta[j] / n - by_x[j] * saved.mean[j])
            .collect();
        by_pixels(c, &mut saved.z, dy, |z, dy| {
            kernels().normalize_gradient(&normalize, z, dy, &by_x, &constant)
        })?;
        let dz = &saved.z;
        let (sx, lx) = x.storage_and_layout();
        let (sw, lw) = w.storage_and_layout();
        let dx = if x.track_op() {
            let dx = input_gradient(&p, dz, floats(on_cpu(&sw)?, lw)?)?;
            Some(Tensor::from_vec(dx, x.shape(), x.device())?)
        } else {
            None
        };
        let dw = if w.track_op() {
            let dw = weights_gradient(&p, floats(on_cpu(&sx)?, lx)?, dz)?;
            Some(Tensor::from_vec(dw, w.shape(), w.device())?)
        } else {
            None
        };
        let mut both = gamma.to_vec();
        both.extend_from_slice(beta);
        let daffine = Tensor::from_vec(both, affine.shape(), affine.device())?;
        Ok((dx, dw, Some(daffine)))
    }
}

fn on_cpu(storage: &Storage) -> Result<&CpuStorage> {
    match storage {
        Storage::Cpu(storage) => Ok(storage),
        _ => bail!("the gradient of a block lies on another device"),
    }
}

/// `act(scale x + shift)` by channel with given `scale` and `shift` (`affine` `[2, channels]`, a constant): a
/// normalisation that no longer learns. The gradient reaches `x`.
///
/// # Errors
/// As [`block`].
pub fn affine(x: &Tensor, affine: &Tensor, activation: Activation) -> Result<Tensor> {
    if !x.device().is_cpu() {
        let y = x
            .broadcast_mul(&affine.get(0)?)?
            .broadcast_add(&affine.get(1)?)?;
        return activate(&y, activation);
    }
    x.contiguous()?
        .apply_op2(&affine.detach().contiguous()?, Affine { activation })
}

struct Affine {
    activation: Activation,
}

impl CustomOp2 for Affine {
    fn name(&self) -> &'static str {
        "channel-affine"
    }

    fn cpu_fwd(
        &self,
        x: &CpuStorage,
        lx: &Layout,
        affine: &CpuStorage,
        la: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let x = floats(x, lx)?;
        let (scale, shift) = halves(floats(affine, la)?, lx)?;
        let mut y = vec![0.0; x.len()];
        by_pixels(scale.len(), &mut y, x, |y, x| {
            kernels().channel_affine(x, scale, shift, self.activation, y)
        })?;
        Ok((CpuStorage::F32(y), lx.shape().clone()))
    }

    fn bwd(
        &self,
        x: &Tensor,
        affine: &Tensor,
        _y: &Tensor,
        dy: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>)> {
        let dy = dy.contiguous()?;
        let (dy, ly) = dy.storage_and_layout();
        let (sx, lx) = x.storage_and_layout();
        let (sa, la) = affine.storage_and_layout();
        let (scale, shift) = halves(floats(on_cpu(&sa)?, la)?, lx)?;
        let zeros = vec![0.0; scale.len()];
        let normalize = Normalize {
            mean: &zeros,
            inverse_deviation: &zeros,
            scale,
            shift,
            activation: self.activation,
        };
        let mut dx = floats(on_cpu(&sx)?, lx)?.to_vec();
        by_pixels(scale.len(), &mut dx, floats(on_cpu(&dy)?, ly)?, |x, dy| {
            kernels().normalize_gradient(&normalize, x, dy, &zeros, &zeros)
        })?;
        let dx = Tensor::from_vec(dx, x.shape(), x.device())?;
        Ok((Some(dx), None))
    }
}

fn halves<'a>(affine: &'a [f32], x: &Layout) -> Result<(&'a [f32], &'a [f32])> {
    let c = x.dims().last().copied().unwrap_or(0);
    if affine.len() != 2 * c || c == 0 {
        bail!(
            "scale and shift have {} elements for {c} channels",
            affine.len()
        );
    }
    Ok(affine.split_at(c))
}

/// The activation by candle's operators.
fn activate(x: &Tensor, activation: Activation) -> Result<Tensor> {
    match activation {
        Activation::None => Ok(x.clone()),
        Activation::Relu => x.relu(),
        Activation::Clip(lo, hi) => x.clamp(lo, hi),
        Activation::HardSwish => x * ((x / 6.0)? + 0.5)?.clamp(0f32, 1f32)?,
        other => bail!("{other:?} cannot follow a normalisation here"),
    }
}

fn by_candle(
    x: &Tensor,
    w: &Tensor,
    affine: &Tensor,
    geometry: Geometry,
    epsilon: f32,
    activation: Activation,
) -> Result<(Tensor, Statistics)> {
    let z = geometry.by_candle(x, w)?;
    let c = z.dim(3)?;
    let flat = z.reshape(((), c))?;
    let mean = flat.mean_keepdim(0)?;
    let centred = flat.broadcast_sub(&mean)?;
    let variance = centred.sqr()?.mean_keepdim(0)?;
    let normal = centred.broadcast_div(&(&variance + f64::from(epsilon))?.sqrt()?)?;
    let y = normal
        .broadcast_mul(&affine.get(0)?)?
        .broadcast_add(&affine.get(1)?)?
        .reshape(z.shape())?;
    let statistics = Statistics {
        mean: mean.flatten_all()?.to_vec1()?,
        variance: variance.flatten_all()?.to_vec1()?,
        pixels: flat.dim(0)?,
    };
    Ok((activate(&y, activation)?, statistics))
}
