//! ONNX Resize of tensors of any rank, separable over its axes.
mod axis;

use crate::element::Element;
use crate::error::{KernelError, exactly, product};
use axis::{Axis, CACHED};
use cygnet_format::MAX_RANK;
use cygnet_format::op::{CoordinateMode, NearestMode, ResizeMode};

/// Parameters of ONNX Resize.
#[derive(Clone, Copy, Debug)]
pub struct Resize<'a> {
    /// Interpolation.
    pub mode: ResizeMode,
    /// From output to input coordinates.
    pub coordinates: CoordinateMode,
    /// Rounding of [`ResizeMode::Nearest`].
    pub nearest: NearestMode,
    /// The coefficient of cubic interpolation (Keys, 1981).
    pub cubic_a: f32,
    /// Weights outside the input are dropped, the others scaled up.
    pub exclude_outside: bool,
    /// Wider filters when an axis shrinks.
    pub antialias: bool,
    /// What `tf_crop_and_resize` writes outside the input.
    pub extrapolation: f32,
    /// Output over input length per axis; 0 or missing: from the shapes.
    pub scales: &'a [f32],
    /// Starts, then ends, of the region of `tf_crop_and_resize`; empty: everything.
    pub roi: &'a [f32],
}

/// The axes that change, and the elements behind the last of them.
struct Plan {
    axes: [Axis; MAX_RANK],
    active: usize,
    inner: usize,
}

fn plan(p: &Resize<'_>, from: &[usize], to: &[usize]) -> Result<Plan, KernelError> {
    let rank = from.len();
    if rank != to.len() || rank > MAX_RANK {
        return Err(KernelError::Parameter);
    }
    let mut plan = Plan {
        axes: [Axis::default(); MAX_RANK],
        active: 0,
        inner: 1,
    };
    let crop = p.coordinates == CoordinateMode::TfCropAndResize;
    let mut changing = [false; MAX_RANK];
    for i in 0..rank {
        let scale = p.scales.get(i).copied().unwrap_or(0.0);
        if !(scale >= 0.0 && scale.is_finite()) || (from[i] == 0) != (to[i] == 0) {
            return Err(KernelError::Parameter);
        }
        let (start, end) = match (p.roi.get(i), p.roi.get(rank + i)) {
            (Some(s), Some(e)) => (*s, *e),
            _ => (0.0, 1.0),
        };
        changing[i] = from[i] != to[i]
            || (scale != 0.0 && scale != 1.0)
            || (crop && (start, end) != (0.0, 1.0));
        plan.axes[i] = Axis::new(p, from[i], to[i], scale, start, end);
    }
    // Neighbouring axes that stay as they are count as one loop; those at the end are the contiguous run.
    let last = (0..rank).rev().find(|&i| changing[i]).map_or(0, |i| i + 1);
    plan.inner = product(&from[last..])?;
    let mut stride = plan.inner;
    for i in (0..last).rev() {
        plan.axes[i].stride = stride;
        stride = stride.checked_mul(from[i]).ok_or(KernelError::Overflow)?;
    }
    for i in 0..last {
        plan.axes[i].identity = !changing[i];
    }
    plan.active = last;
    Ok(plan)
}

impl Plan {
    /// Calls `f(output run, axes)` for every run of `inner` output elements, with the axes at its coordinates.
    fn for_each(&mut self, runs: usize, mut f: impl FnMut(usize, &[Axis])) {
        let axes = &mut self.axes[..self.active];
        axes.iter_mut().for_each(|a| a.move_to(0));
        for run in 0..runs {
            f(run, axes);
            for a in axes.iter_mut().rev() {
                let next = a.at + 1;
                if next < a.to {
                    a.move_to(next);
                    break;
                }
                a.move_to(0);
            }
        }
    }
}

/// Nearest neighbours on bytes, `size` an element; `outside` is the extrapolation value as an element.
///
/// # Errors
/// [`KernelError`] when lengths or parameters do not fit.
pub fn resize_nearest(
    p: &Resize<'_>,
    x: &[u8],
    from: &[usize],
    y: &mut [u8],
    to: &[usize],
    outside: &[u8],
) -> Result<(), KernelError> {
    let size = outside.len();
    exactly(x.len(), product(&[product(from)?, size])?)?;
    exactly(y.len(), product(&[product(to)?, size])?)?;
    let mut plan = plan(p, from, to)?;
    if y.is_empty() {
        return Ok(());
    }
    let run = plan.inner * size;
    plan.for_each(y.len() / run, |i, axes| {
        let y = &mut y[i * run..(i + 1) * run];
        if axes.iter().any(|a| a.outside) {
            y.chunks_exact_mut(size)
                .for_each(|y| y.copy_from_slice(outside));
        } else {
            let at: usize = axes.iter().map(|a| a.taps[0].0 * a.stride).sum::<usize>() * size;
            y.copy_from_slice(&x[at..at + run]);
        }
    });
    Ok(())
}

/// Linear and cubic interpolation; sums in `A`. Integers round half to even and saturate.
///
/// # Errors
/// [`KernelError`] when lengths or parameters do not fit.
pub fn resize_smooth<T: Element, A: Element>(
    p: &Resize<'_>,
    x: &[T],
    from: &[usize],
    y: &mut [T],
    to: &[usize],
) -> Result<(), KernelError> {
    exactly(x.len(), product(from)?)?;
    exactly(y.len(), product(to)?)?;
    if p.mode == ResizeMode::Nearest {
        return Err(KernelError::Parameter);
    }
    let mut plan = plan(p, from, to)?;
    if y.is_empty() {
        return Ok(());
    }
    let run = plan.inner;
    plan.for_each(y.len() / run, |i, axes| {
        let y = &mut y[i * run..(i + 1) * run];
        if axes.iter().any(|a| a.outside) {
            y.fill(T::from_f64(f64::from(p.extrapolation)));
            return;
        }
        // The taps of all axes multiplied out, when they are few.
        let mut list = [(0usize, A::ZERO); 16];
        let count: usize = axes.iter().map(|a| a.count).fold(1, usize::saturating_mul);
        if count <= list.len() {
            let mut n = 0;
            walk(axes, 0, 1.0, &mut |at, w| {
                list[n] = (at, A::from_f64(w));
                n += 1;
            });
        }
        if count == 4 {
            let [(a, wa), (b, wb), (c, wc), (d, wd), ..] = list;
            let rows = x[a..a + run]
                .iter()
                .zip(&x[b..b + run])
                .zip(x[c..c + run].iter().zip(&x[d..d + run]));
            for (y, ((a, b), (c, d))) in y.iter_mut().zip(rows) {
                let top = wide::<T, A>(*a).mul(wa).add(wide::<T, A>(*b).mul(wb));
                *y = finish(top.add(wide::<T, A>(*c).mul(wc).add(wide::<T, A>(*d).mul(wd))));
            }
            return;
        }
        const PART: usize = 64;
        for start in (0..run).step_by(PART) {
            let n = PART.min(run - start);
            let mut acc = [A::ZERO; PART];
            let mut tap = |at: usize, w: A| {
                for (a, v) in acc[..n].iter_mut().zip(&x[at + start..at + start + n]) {
                    *a = a.add(wide::<T, A>(*v).mul(w));
                }
            };
            if count <= list.len() {
                list[..count].iter().for_each(|&(at, w)| tap(at, w));
            } else {
                walk(axes, 0, 1.0, &mut |at, w| tap(at, A::from_f64(w)));
            }
            for (y, a) in y[start..start + n].iter_mut().zip(acc) {
                *y = finish(a);
            }
        }
    });
    Ok(())
}

#[inline(always)]
fn wide<T: Element, A: Element>(v: T) -> A {
    A::from_f64(v.to_f64())
}

#[inline(always)]
fn finish<T: Element, A: Element>(v: A) -> T {
    if T::INTEGER {
        T::from_f64(libm::rint(v.to_f64()))
    } else {
        T::from_f64(v.to_f64())
    }
}

/// Calls `f(offset, weight)` for every combination of taps.
fn walk(axes: &[Axis], offset: usize, weight: f64, f: &mut dyn FnMut(usize, f64)) {
    let Some((first, rest)) = axes.split_first() else {
        return f(offset, weight);
    };
    if first.count <= CACHED {
        for &(i, w) in &first.taps[..first.count] {
            walk(rest, offset + i * first.stride, weight * w, f);
        }
    } else {
        first.each_tap(&mut |i, w| walk(rest, offset + i * first.stride, weight * w, f));
    }
}

#[cfg(test)]
mod tests;
