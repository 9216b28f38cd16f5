//! The sliding window of convolutions and pools: attributes, padding and output sizes.

use super::super::{NodeCx, Refusal};
use super::lower::{fixed, small};
use crate::ir::{Type, ValueId};
use cygnet_format::op::{Pad, PadMode};
use cygnet_format::{Axes, Dim, Dims};

/// A window over one to three spatial axes.
pub(in crate::import) struct Window {
    /// Extent in taps, an axis each.
    pub kernel: Vec<i32>,
    /// Steps between windows.
    pub strides: Vec<i32>,
    /// Steps between taps.
    pub dilations: Vec<i32>,
}

/// Padding and output size that follow from a window and an input.
pub(in crate::import) struct Extent {
    /// Begins, then ends.
    pub pads: Vec<i32>,
    /// Output length of every spatial axis.
    pub out: Vec<Dim>,
    /// Padding with symbolic widths, to be applied as an operator of its own: begins and ends.
    pub explicit: Option<(Vec<Dim>, Vec<Dim>)>,
}

/// What is put around the input.
pub(in crate::import) enum Padding {
    /// As much as makes `ceil(input / stride)` windows; an odd element goes to the end, or (`lower`) to the beginning.
    Same { lower: bool },
    /// Begins, then ends.
    Given(Vec<i32>),
}

/// Attribute `name` as `count` integers; `default` when it is missing.
pub(in crate::import) fn ints_or(
    cx: &NodeCx<'_>,
    name: &str,
    count: usize,
    default: i64,
) -> Result<Vec<i32>, Refusal> {
    let values = match cx.ints(name)? {
        Some(v) if !v.is_empty() => v,
        _ => vec![default; count],
    };
    if values.len() != count {
        return Err(Refusal::invalid(format!(
            "attribute {name} has {} elements where {count} are needed",
            values.len()
        )));
    }
    small(&values, name)
}

/// Axes of attribute words.
pub(in crate::import) fn axes(values: &[i32]) -> Axes {
    values.iter().copied().collect()
}

/// Refuses shapes that are not `[N, C, S..]` with one to three spatial axes.
pub(in crate::import) fn spatial_rank(cx: &NodeCx<'_>, x: ValueId) -> Result<usize, Refusal> {
    match cx.rank(x) {
        rank @ 3..=5 => Ok(rank - 2),
        rank => Err(Refusal::unsupported(format!("the input has {rank} axes; spatial operators need 3 to 5 (batch, channels, one to three spatial)")).remedy("reshape the input around the operator")),
    }
}

impl Window {
    /// Reads `strides` and `dilations` for this kernel.
    pub(in crate::import) fn read(cx: &NodeCx<'_>, kernel: Vec<i32>) -> Result<Window, Refusal> {
        let n = kernel.len();
        let strides = ints_or(cx, "strides", n, 1)?;
        let dilations = ints_or(cx, "dilations", n, 1)?;
        Window::new(kernel, strides, dilations)
    }

    /// A window whose numbers are sane.
    pub(in crate::import) fn new(
        kernel: Vec<i32>,
        strides: Vec<i32>,
        dilations: Vec<i32>,
    ) -> Result<Window, Refusal> {
        let window = Window {
            kernel,
            strides,
            dilations,
        };
        for (name, values) in [
            ("kernel_shape", &window.kernel),
            ("strides", &window.strides),
            ("dilations", &window.dilations),
        ] {
            if let Some(v) = values.iter().find(|v| !(1..=1 << 20).contains(*v)) {
                return Err(Refusal::invalid(format!("{name} holds {v}")));
            }
        }
        Ok(window)
    }

    /// The span of the window on spatial axis `i`, gaps of the dilation included.
    pub(in crate::import) fn span(&self, i: usize) -> i64 {
        (self.kernel[i] as i64 - 1) * self.dilations[i] as i64 + 1
    }

    /// Taps of one window.
    pub(in crate::import) fn taps(&self) -> usize {
        self.kernel.iter().map(|&k| k as usize).product()
    }

    /// Padding and output of `auto_pad`, `pads` and `ceil_mode` over spatial dimensions `input`.
    pub(in crate::import) fn extent(
        &self,
        cx: &mut NodeCx<'_>,
        input: &[Dim],
        ceil: bool,
    ) -> Result<Extent, Refusal> {
        let n = self.kernel.len();
        let padding = match cx.str_or("auto_pad", "NOTSET")?.as_str() {
            "SAME_UPPER" => Padding::Same { lower: false },
            "SAME_LOWER" => Padding::Same { lower: true },
            "NOTSET" | "" => Padding::Given(ints_or(cx, "pads", 2 * n, 0)?),
            "VALID" => Padding::Given(vec![0; 2 * n]),
            other => return Err(Refusal::invalid(format!("auto_pad {other:?} is unknown"))),
        };
        self.place(cx, input, ceil, padding)
    }

    /// Padding and output over spatial dimensions `input`; with `ceil`, a last window may reach beyond the padding.
    pub(in crate::import) fn place(
        &self,
        cx: &mut NodeCx<'_>,
        input: &[Dim],
        ceil: bool,
        padding: Padding,
    ) -> Result<Extent, Refusal> {
        let n = self.kernel.len();
        let mut extent = Extent {
            pads: vec![0; 2 * n],
            out: Vec::new(),
            explicit: None,
        };
        match padding {
            Padding::Same { lower } => {
                for i in 0..n {
                    let stride = cx.graph().dim_const(self.strides[i] as i64);
                    extent.out.push(cx.graph().dim_ceil_div(input[i], stride));
                }
                self.same(cx, input, lower, &mut extent);
                return Ok(extent);
            }
            Padding::Given(pads) => extent.pads = pads,
        }
        for i in 0..n {
            let (begin, end) = (extent.pads[i] as i64, extent.pads[n + i] as i64);
            let (lo, _) = cx.graph().dim_bounds(input[i]);
            if lo + begin + end < self.span(i) {
                let least = self.span(i) - begin - end;
                let reason = format!(
                    "the window needs {least} elements on spatial axis {i}, the input may have {lo}"
                );
                return Err(if input[i].as_const().is_some() {
                    Refusal::invalid(reason)
                } else {
                    Refusal::unsupported(reason).remedy(
                        "raise the lower bound of the input's dimension with --dim NAME=LO..HI",
                    )
                });
            }
            let g = cx.graph();
            let stride = g.dim_const(self.strides[i] as i64);
            let shift = g.dim_const(begin + end - self.span(i));
            let room = g.dim_add(input[i], shift);
            let out = if ceil {
                // The last window starts inside the input or its leading padding.
                let steps = g.dim_ceil_div(room, stride);
                let all = g.dim_add(steps, Dim::ONE);
                let begin = g.dim_const(begin);
                let inside = g.dim_add(input[i], begin);
                let starts = g.dim_ceil_div(inside, stride);
                g.dim_min(all, starts)
            } else {
                let steps = g.dim_floor_div(room, stride);
                g.dim_add(steps, Dim::ONE)
            };
            extent.out.push(out);
        }
        Ok(extent)
    }

    /// Padding of `SAME_*`; it depends on the input length unless the stride is one.
    fn same(&self, cx: &mut NodeCx<'_>, input: &[Dim], lower: bool, extent: &mut Extent) {
        let n = self.kernel.len();
        let g = cx.graph();
        let mut begins = Vec::new();
        let mut ends = Vec::new();
        for i in 0..n {
            let stride = g.dim_const(self.strides[i] as i64);
            let last = g.dim_sub(extent.out[i], Dim::ONE);
            let reach = g.dim_mul(last, stride);
            let span = g.dim_const(self.span(i));
            let reach = g.dim_add(reach, span);
            let missing = g.dim_sub(reach, input[i]);
            let total = g.dim_max(missing, Dim(0));
            let half = if lower {
                g.dim_ceil_div(total, Dim(2))
            } else {
                g.dim_floor_div(total, Dim(2))
            };
            ends.push(g.dim_sub(total, half));
            begins.push(half);
        }
        let constant: Option<Vec<i32>> = begins
            .iter()
            .chain(&ends)
            .map(|d| d.as_const().map(|c| c as i32))
            .collect();
        match constant {
            Some(pads) => extent.pads = pads,
            None => extent.explicit = Some((begins, ends)),
        }
    }
}

impl Extent {
    /// Applies symbolic padding to the channels-last `x`; nothing to do when the padding is constant.
    pub(in crate::import) fn pad(&self, cx: &mut NodeCx<'_>, x: ValueId, value: f32) -> ValueId {
        let Some((begins, ends)) = &self.explicit else {
            return x;
        };
        let mut shape = cx.shape(x);
        let mut before = vec![Dim(0); shape.len()];
        for (i, (&b, &e)) in begins.iter().zip(ends).enumerate() {
            let g = cx.graph();
            let both = g.dim_add(b, e);
            shape[i + 1] = g.dim_add(shape[i + 1], both);
            before[i + 1] = b;
        }
        let dtype = cx.dtype(x);
        let value = cx.scalar(value, dtype);
        let before: Dims = before.into_iter().collect();
        cx.emit(
            Pad {
                before,
                mode: PadMode::Constant,
            },
            &[x, value],
            Type::new(dtype, &shape),
        )
    }
}

/// `[N, S.., C]` from its parts.
pub(in crate::import) fn channels_last(n: Dim, spatial: &[Dim], c: Dim) -> Vec<Dim> {
    let mut shape = vec![n];
    shape.extend_from_slice(spatial);
    shape.push(c);
    shape
}

/// The constant spatial sizes of a kernel tensor from axis `from` on; checked against `kernel_shape`.
pub(in crate::import) fn kernel_of(
    cx: &mut NodeCx<'_>,
    w: ValueId,
    from: usize,
) -> Result<Vec<i32>, Refusal> {
    let shape = cx.shape(w);
    let mut kernel = Vec::new();
    for &d in &shape[from..] {
        kernel.push(fixed(d, "the kernel size")? as i64);
    }
    if let Some(given) = cx.ints("kernel_shape")?
        && !given.is_empty()
        && given != kernel
    {
        return Err(Refusal::invalid(format!(
            "kernel_shape {given:?} differs from the weights {kernel:?}"
        )));
    }
    small(&kernel, "kernel_shape")
}
