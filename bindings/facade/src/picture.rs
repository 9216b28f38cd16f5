//! Pictures become inputs.

use crate::error::Error;
use crate::model::{Axis, Port};
use cygnet_kernels::picture::{Region, resample, scratch};
use cygnet_runtime::format::pipeline::{Colours, Fit, PictureInput};
use cygnet_runtime::{DType, Element, TensorMut};

pub use cygnet_kernels::picture::Picture;

/// Where a picture lies in a model's input.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Placement {
    /// The part of the picture that is shown.
    pub region: Region,
    /// The place in the input that shows it.
    pub place: Region,
    /// Height and width of the input.
    pub size: (usize, usize),
}

impl Placement {
    /// Of a picture of this width and height in an input of `size` (height, width), all above 0.
    pub fn new(fit: Fit, (width, height): (usize, usize), size: (usize, usize)) -> Placement {
        let whole = |width, height| Region {
            x: 0,
            y: 0,
            width,
            height,
        };
        let (mut region, mut place) = (whole(width, height), whole(size.1, size.0));
        let across = size.1 as f64 / width as f64;
        let down = size.0 as f64 / height as f64;
        let near = |v: f64, most: usize| (v.round() as usize).clamp(1, most);
        match fit {
            Fit::Stretch => {}
            Fit::Letterbox | Fit::Centre => {
                let ratio = across.min(down);
                place.width = near(width as f64 * ratio, size.1);
                place.height = near(height as f64 * ratio, size.0);
                if fit == Fit::Centre {
                    place.x = (size.1 - place.width) / 2;
                    place.y = (size.0 - place.height) / 2;
                }
            }
            Fit::Crop => {
                let ratio = across.max(down);
                region.width = near(size.1 as f64 / ratio, width);
                region.height = near(size.0 as f64 / ratio, height);
                region.x = (width - region.width) / 2;
                region.y = (height - region.height) / 2;
            }
        }
        Placement {
            region,
            place,
            size,
        }
    }

    /// Edges (left, upper, right, lower) in a map of this height and width, which shows what the input shows, in the picture.
    pub fn edges_in_picture(&self, edges: [f32; 4], map: (usize, usize)) -> [f32; 4] {
        let at = |x: f32, y: f32| {
            self.in_picture(
                x * self.size.1 as f32 / map.1 as f32,
                y * self.size.0 as f32 / map.0 as f32,
            )
        };
        let ((x0, y0), (x1, y1)) = (at(edges[0], edges[1]), at(edges[2], edges[3]));
        [x0, y0, x1, y1]
    }

    /// A point of the input, in the picture.
    fn in_picture(&self, x: f32, y: f32) -> (f32, f32) {
        let axis = |v: f32, place: usize, size: usize, from: usize, of: usize| {
            let part = (v - place as f32) / size as f32;
            (from as f32 + part * of as f32).clamp(from as f32, (from + of) as f32)
        };
        let (p, r) = (&self.place, &self.region);
        (
            axis(x, p.x, p.width, r.x, r.width),
            axis(y, p.y, p.height, r.y, r.height),
        )
    }
}

/// The axes of a picture in an input.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Axes {
    height: usize,
    width: usize,
    pub channels: usize,
}

impl Axes {
    /// Rows and columns of this shape.
    pub fn size(&self, shape: &[usize]) -> (usize, usize) {
        (shape[self.height], shape[self.width])
    }
}

/// Finds rows, columns and channels among an input's axes (`[height, width]`, with channels, with an axis of 1 before).
pub(crate) fn axes(port: &Port, input: &PictureInput) -> Result<Axes, Error> {
    let n = port.axes.len();
    let wanted = if input.colours == Colours::Gray { 1 } else { 3 };
    let one = |axis: usize| port.axes[axis].fixed() == Some(1);
    let leading = |n: usize| (0..n).all(one);
    let has = |axis: usize| port.axes[axis].fixed() == Some(wanted);
    let found = match (n, input.channels_last) {
        (2, _) if wanted == 1 => Some((0, 1)),
        (3 | 4, true) if has(n - 1) && leading(n - 3) => Some((n - 3, n - 2)),
        (3 | 4, false) if has(n - 3) && leading(n - 3) => Some((n - 2, n - 1)),
        _ => None,
    };
    let (height, width) = found.ok_or_else(|| {
        Error::input(format!(
            "input `{}` is no picture with {wanted} channels",
            port.name
        ))
    })?;
    Ok(Axes {
        height,
        width,
        channels: wanted,
    })
}

/// The height and width that free axes get for a picture of this height and width. With one free axis the proportions are kept;
/// with two the picture's own size, as far as the bounds allow, rounded to `multiple`.
pub fn target_size(
    height: Axis,
    width: Axis,
    picture: (usize, usize),
    multiple: usize,
) -> (usize, usize) {
    let (ph, pw) = (picture.0.max(1) as f64, picture.1.max(1) as f64);
    let round = |v: f64, axis: Axis, multiple: usize| {
        let m = multiple.max(1);
        let v = ((v / m as f64).round() as usize).max(1) * m;
        let (lowest, highest) = (axis.least.div_ceil(m) * m, axis.most / m * m);
        if lowest <= highest {
            v.clamp(lowest, highest)
        } else {
            v.clamp(axis.least, axis.most)
        }
    };
    match (height.fixed(), width.fixed()) {
        (Some(h), Some(w)) => (h, w),
        (Some(h), None) => (h, round(h as f64 * pw / ph, width, 1)),
        (None, Some(w)) => (round(w as f64 * ph / pw, height, 1), w),
        (None, None) => {
            let shrink = (height.most as f64 / ph)
                .min(width.most as f64 / pw)
                .min(1.0);
            (
                round(ph * shrink, height, multiple),
                round(pw * shrink, width, multiple),
            )
        }
    }
}

/// Detectors with free sizes halve them five times.
const MULTIPLE: usize = 32;

/// The shape that a picture of this width and height gives an input.
pub(crate) fn shape(port: &Port, axes: Axes, (width, height): (usize, usize)) -> Vec<usize> {
    let mut shape: Vec<usize> = port.axes.iter().map(|a| a.most).collect();
    let free = (port.axes[axes.height], port.axes[axes.width]);
    let size = target_size(free.0, free.1, (height, width), MULTIPLE);
    (shape[axes.height], shape[axes.width]) = size;
    shape
}

/// Memory for resampling, kept from picture to picture.
#[derive(Default)]
pub(crate) struct Scratch {
    floats: Vec<f32>,
    line: Vec<u8>,
}

trait Value: Element {
    fn of(v: f32) -> Self;
}

impl Value for f32 {
    fn of(v: f32) -> Self {
        v
    }
}

macro_rules! integers {
    ($($t:ty),*) => {$(
        impl Value for $t {
            /// The nearest, saturating.
            fn of(v: f32) -> Self {
                v.round_ties_even() as $t
            }
        }
    )*};
}
integers!(u8, i8, i16, i32);

fn write<T: Value>(
    picture: &Picture<'_>,
    placement: &Placement,
    input: &PictureInput,
    (height, width, channels): (usize, usize, usize),
    scratch_memory: &mut Scratch,
    out: &mut [T],
) -> Result<(), Error> {
    // Of each channel in the order of the input, the value of every byte.
    let mut table = [[T::of(0.0); 256]; 3];
    for (channel, values) in table.iter_mut().enumerate() {
        let (mean, std) = (input.mean[channel], input.std[channel]);
        for (byte, value) in (0u8..=255).zip(values) {
            *value = T::of((f32::from(byte) * input.scale - mean) / std);
        }
    }
    let place = placement.place;
    let whole = place.width == width && place.height == height;
    let plane = height * width;
    let (pixel, component) = match input.channels_last {
        true => (channels, 1),
        false => (1, plane),
    };
    if !whole {
        for channel in 0..channels {
            let fill = table[channel][usize::from(input.fill)];
            for p in 0..plane {
                out[p * pixel + channel * component] = fill;
            }
        }
    }
    let size = (place.height, place.width);
    let needed = scratch(placement.region, size, channels);
    scratch_memory.floats.resize(needed.0, 0.0);
    scratch_memory.line.resize(needed.1, 0);
    let blue_first = input.colours == Colours::Bgr;
    let mut put = |y: usize, row: &[u8]| {
        let first = (place.y + y) * width + place.x;
        for channel in 0..channels {
            let from = if blue_first { 2 - channel } else { channel };
            let values = &table[channel];
            let out = out[first * pixel + channel * component..].iter_mut();
            let bytes = row[from..].iter().step_by(channels);
            for (out, &byte) in out.step_by(pixel).zip(bytes) {
                *out = values[usize::from(byte)];
            }
        }
    };
    resample(
        picture,
        placement.region,
        size,
        channels,
        &mut scratch_memory.floats,
        &mut scratch_memory.line,
        &mut put,
    )?;
    Ok(())
}

/// Where a picture lies in an input of `size` (height, width).
fn place(
    picture: &Picture<'_>,
    input: &PictureInput,
    size: (usize, usize),
) -> Result<Placement, Error> {
    match size.0 == 0 || size.1 == 0 {
        true => Err(Error::input("the input has no pixels to fill")),
        false => Ok(Placement::new(input.fit, picture.size(), size)),
    }
}

/// Writes a picture into the tensor of an input.
pub(crate) fn feed(
    picture: &Picture<'_>,
    input: &PictureInput,
    axes: Axes,
    scratch: &mut Scratch,
    mut tensor: TensorMut<'_>,
) -> Result<Placement, Error> {
    let (height, width) = axes.size(&tensor.shape);
    let placement = place(picture, input, (height, width))?;
    let size = (height, width, axes.channels);
    macro_rules! as_type {
        ($($dtype:ident $t:ty),*) => {
            match tensor.dtype {
                $(DType::$dtype => write::<$t>(picture, &placement, input, size, scratch, tensor.as_mut_slice()?),)*
                other => Err(Error::input(format!("pictures do not become elements of type {}", other.name()))),
            }
        };
    }
    as_type!(F32 f32, U8 u8, I8 i8, I16 i16, I32 i32)?;
    Ok(placement)
}

/// The floats of a picture in `size` (height, width), as an input of rank 3 has them, and where the picture lies in it.
///
/// # Errors
/// When a side of `size` is 0.
pub fn to_tensor(
    picture: &Picture<'_>,
    input: &PictureInput,
    size: (usize, usize),
) -> Result<(Vec<f32>, Placement), Error> {
    let channels = if input.colours == Colours::Gray { 1 } else { 3 };
    let placement = place(picture, input, size)?;
    let mut out = vec![0.0; size.0 * size.1 * channels];
    write::<f32>(
        picture,
        &placement,
        input,
        (size.0, size.1, channels),
        &mut Scratch::default(),
        &mut out,
    )?;
    Ok((out, placement))
}

#[cfg(test)]
mod tests {
    use super::*;
    use cygnet_kernels::picture::Order;

    fn input(fit: Fit) -> PictureInput {
        PictureInput {
            fit,
            colours: Colours::Rgb,
            channels_last: false,
            fill: 114,
            scale: 1.0 / 255.0,
            mean: [0.5, 0.0, 0.0],
            std: [0.5, 1.0, 1.0],
        }
    }

    #[test]
    fn pictures_keep_their_proportions_where_asked() {
        let at = |x, y, width, height| Region {
            x,
            y,
            width,
            height,
        };
        let of = |fit| {
            let p = Placement::new(fit, (640, 480), (224, 224));
            (p.region, p.place)
        };
        let all = at(0, 0, 640, 480);
        assert_eq!(of(Fit::Stretch), (all, at(0, 0, 224, 224)));
        assert_eq!(of(Fit::Letterbox), (all, at(0, 0, 224, 168)));
        assert_eq!(of(Fit::Centre), (all, at(0, 28, 224, 168)));
        assert_eq!(of(Fit::Crop), (at(80, 0, 480, 480), at(0, 0, 224, 224)));
        let p = Placement::new(Fit::Centre, (640, 480), (224, 224));
        assert_eq!(p.in_picture(112.0, 112.0), (320.0, 240.0));
        assert_eq!(p.in_picture(0.0, 0.0), (0.0, 0.0));
        let p = Placement::new(Fit::Crop, (640, 480), (224, 224));
        assert_eq!(p.in_picture(0.0, 224.0), (80.0, 480.0));
        // A map of half the input's size.
        let edges = p.edges_in_picture([0.0, 0.0, 56.0, 112.0], (112, 112));
        assert_eq!(edges, [80.0, 0.0, 320.0, 480.0]);
        // The longest and the thinnest of pictures.
        let p = Placement::new(Fit::Letterbox, (60_000, 1), (8, 8));
        assert_eq!((p.place.width, p.place.height), (8, 1));
        let p = Placement::new(Fit::Crop, (60_000, 1), (8, 8));
        assert_eq!((p.region.width, p.region.height), (1, 1));
    }

    #[test]
    fn padding_and_channels_are_where_they_belong() {
        let bytes = [255, 0, 51, 255, 0, 51];
        let picture = Picture::packed(2, 1, &bytes, Order::Rgb).unwrap();
        let (values, placement) = to_tensor(&picture, &input(Fit::Centre), (3, 2)).unwrap();
        assert_eq!(placement.place.y, 1);
        let fill = 114.0 / 255.0;
        let red = (fill - 0.5) / 0.5;
        let planes = [
            [red, red, 1.0, 1.0, red, red],
            [fill, fill, 0.0, 0.0, fill, fill],
            [fill, fill, 0.2, 0.2, fill, fill],
        ];
        for (got, want) in values.iter().zip(planes.as_flattened()) {
            assert!((got - want).abs() < 1e-6, "{got} {want}");
        }
        let last = PictureInput {
            channels_last: true,
            colours: Colours::Bgr,
            mean: [0.0; 3],
            std: [1.0; 3],
            ..input(Fit::Stretch)
        };
        let (values, _) = to_tensor(&picture, &last, (1, 2)).unwrap();
        for (got, want) in values.iter().zip([0.2, 0.0, 1.0, 0.2, 0.0, 1.0]) {
            assert!((got - want).abs() < 1e-6, "{got} {want}");
        }
    }

    #[test]
    fn sizes_keep_proportions_and_multiples() {
        let fixed = |n| Axis { least: n, most: n };
        let range = |least, most| Axis { least, most };
        assert_eq!(
            target_size(fixed(48), range(32, 1280), (24, 100), 32),
            (48, 200)
        );
        assert_eq!(
            target_size(fixed(48), range(32, 1280), (2, 1000), 32),
            (48, 1280)
        );
        assert_eq!(
            target_size(range(32, 960), range(32, 960), (500, 700), 32),
            (512, 704)
        );
        assert_eq!(
            target_size(range(32, 960), range(32, 960), (1000, 2000), 32),
            (480, 960)
        );
        // Bounds that no multiple keeps, and that a multiple would leave.
        assert_eq!(
            target_size(range(5, 9), range(33, 70), (8, 50), 32),
            (9, 64)
        );
    }

    #[test]
    fn inputs_without_pixels_are_refused() {
        let picture = Picture::packed(1, 1, &[0; 3], Order::Rgb).unwrap();
        for fit in [Fit::Stretch, Fit::Letterbox, Fit::Centre, Fit::Crop] {
            let refused = to_tensor(&picture, &input(fit), (0, 2)).unwrap_err();
            assert!(refused.to_string().contains("no pixels"), "{refused}");
        }
    }

    #[test]
    fn free_axes_follow_the_picture() {
        let port = |h: (usize, usize), w: (usize, usize)| Port {
            name: "x".into(),
            dtype: DType::F32,
            axes: [(1, 1), (3, 3), h, w]
                .map(|(least, most)| Axis { least, most })
                .to_vec(),
        };
        let of = |h, w, picture| {
            let port = port(h, w);
            let axes = axes(&port, &input(Fit::Stretch)).unwrap();
            shape(&port, axes, picture)
        };
        assert_eq!(of((48, 48), (32, 1280), (100, 24)), [1, 3, 48, 200]);
        assert_eq!(of((48, 48), (32, 1280), (1000, 2)), [1, 3, 48, 1280]);
        assert_eq!(of((32, 960), (32, 960), (700, 500)), [1, 3, 512, 704]);
        assert_eq!(of((32, 960), (32, 960), (2000, 1000)), [1, 3, 480, 960]);
        let gray = PictureInput {
            colours: Colours::Gray,
            ..input(Fit::Stretch)
        };
        assert!(axes(&port((8, 8), (8, 8)), &gray).is_err());
    }
}
