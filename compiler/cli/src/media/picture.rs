//! Pictures become tensors: decode, fit, normalise, lay out.

use anyhow::{Context, Result, bail};
use cygnet_compiler::bundle::{Array, Preprocess};
use image::{DynamicImage, GenericImageView, ImageReader, Limits, imageops::FilterType};
use std::path::Path;

/// How a picture of another size gets the model's size.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fit {
    /// Each axis on its own.
    Stretch,
    /// Keep the proportions, pad with black to the right and below.
    Letterbox,
    /// Keep the proportions, cut the middle out.
    Crop,
}

/// What the model wants to see.
#[derive(Clone, Debug)]
pub struct Recipe {
    /// Size rule.
    pub fit: Fit,
    /// Channels last instead of first.
    pub channels_last: bool,
    /// 1 or 3.
    pub channels: usize,
    /// Blue first.
    pub bgr: bool,
    /// Factor on 0..=255 values.
    pub scale: f32,
    /// Subtracted after scaling, per channel.
    pub mean: Vec<f32>,
    /// Divisor after that, per channel.
    pub std: Vec<f32>,
}

/// The extent of an image axis of the model's input.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Extent {
    /// Exactly this many pixels.
    Fixed(usize),
    /// Between these bounds, inclusive.
    Range(usize, usize),
}

impl Recipe {
    /// Settles what flags and manifest leave open from the input's shape (rank 3 or 4, one picture).
    pub fn settle(wish: &Preprocess, max_shape: &[usize]) -> Result<Recipe> {
        let image = match max_shape {
            [1, rest @ ..] if rest.len() == 3 => rest,
            rest if rest.len() == 3 => rest,
            [h, w] | [1, h, w] => &[1, *h, *w],
            other => bail!("a picture cannot feed an input of shape {other:?}: give an .npy file"),
        };
        let channels_last = match wish.layout.as_deref() {
            Some("nhwc") => true,
            Some("nchw") => false,
            Some(other) => bail!("layout `{other}` is neither nchw nor nhwc"),
            None => !matches!(image[0], 1 | 3) && matches!(image[2], 1 | 3),
        };
        let channels = if channels_last { image[2] } else { image[0] };
        if !matches!(channels, 1 | 3) {
            bail!(
                "the input has {channels} channels (shape {max_shape:?}), a picture has 1 or 3: set --layout, or give an .npy file"
            );
        }
        let order = wish.channel_order.as_deref().unwrap_or("rgb");
        let fit = match wish.fit.as_deref().unwrap_or("stretch") {
            "stretch" => Fit::Stretch,
            "letterbox" => Fit::Letterbox,
            "crop" => Fit::Crop,
            other => bail!("fit `{other}` is none of stretch, letterbox, crop"),
        };
        let per_channel = |values: &[f32], default: f32, what: &str| -> Result<Vec<f32>> {
            match values {
                [] => Ok(vec![default; channels]),
                [one] => Ok(vec![*one; channels]),
                many if many.len() == channels => Ok(many.to_vec()),
                many => bail!("{what} has {} values for {channels} channels", many.len()),
            }
        };
        let std = per_channel(&wish.std, 1.0, "--std")?;
        if std.contains(&0.0) {
            bail!("--std must not be zero");
        }
        Ok(Recipe {
            fit,
            channels_last,
            channels,
            bgr: order == "bgr",
            scale: wish.scale.unwrap_or(1.0 / 255.0),
            mean: per_channel(&wish.mean, 0.0, "--mean")?,
            std,
        })
    }
}

/// Decodes a PNG, JPEG, WebP or BMP file. Sizes are bounded: pictures are untrusted.
pub fn read(path: &Path) -> Result<DynamicImage> {
    let mut reader = ImageReader::open(path)
        .with_context(|| format!("cannot read {}", path.display()))?
        .with_guessed_format()
        .with_context(|| format!("cannot read {}", path.display()))?;
    let mut limits = Limits::default();
    limits.max_image_width = Some(32768);
    limits.max_image_height = Some(32768);
    limits.max_alloc = Some(1 << 30);
    reader.limits(limits);
    reader
        .decode()
        .with_context(|| format!("{} is not a readable picture", path.display()))
}

/// The height and width to give a picture of this size. With one free axis the proportions are kept; with two the
/// picture's own size, rounded to `multiple`.
pub fn target_size(
    height: Extent,
    width: Extent,
    picture: (usize, usize),
    multiple: usize,
) -> (usize, usize) {
    let (ph, pw) = (picture.0.max(1) as f64, picture.1.max(1) as f64);
    let round = |v: f64, lo: usize, hi: usize, multiple: usize| {
        let m = multiple.max(1);
        let v = ((v / m as f64).round() as usize).max(1) * m;
        let (lowest, highest) = (lo.div_ceil(m) * m, hi / m * m);
        if lowest <= highest {
            v.clamp(lowest, highest)
        } else {
            v.clamp(lo, hi)
        }
    };
    match (height, width) {
        (Extent::Fixed(h), Extent::Fixed(w)) => (h, w),
        (Extent::Fixed(h), Extent::Range(lo, hi)) => (h, round(h as f64 * pw / ph, lo, hi, 1)),
        (Extent::Range(lo, hi), Extent::Fixed(w)) => (round(w as f64 * ph / pw, lo, hi, 1), w),
        (Extent::Range(hl, hh), Extent::Range(wl, wh)) => {
            let shrink = (hh as f64 / ph).min(wh as f64 / pw).min(1.0);
            (
                round(ph * shrink, hl, hh, multiple),
                round(pw * shrink, wl, wh, multiple),
            )
        }
    }
}

/// The tensor of a picture: channels-first or -last without the batch axis, `(v * scale - mean) / std`.
pub fn to_tensor(picture: &DynamicImage, height: usize, width: usize, recipe: &Recipe) -> Array {
    let (h, w) = (height as u32, width as u32);
    let (pw, ph) = picture.dimensions();
    let fitted = if (pw, ph) == (w, h) {
        picture.clone()
    } else {
        match recipe.fit {
            Fit::Stretch => picture.resize_exact(w, h, FilterType::Triangle),
            Fit::Crop => picture.resize_to_fill(w, h, FilterType::Triangle),
            Fit::Letterbox => {
                let small = picture.resize(w, h, FilterType::Triangle);
                let mut canvas = DynamicImage::new_rgb8(w, h);
                let small = DynamicImage::ImageRgb8(small.to_rgb8());
                image::imageops::overlay(&mut canvas, &small, 0, 0);
                canvas
            }
        }
    };
    let (c, plane) = (recipe.channels, height * width);
    let pixels = if c == 1 {
        fitted.to_luma8().into_raw()
    } else {
        fitted.to_rgb8().into_raw()
    };
    let mut values = vec![0f32; c * plane];
    for p in 0..plane {
        for ch in 0..c {
            let from = if recipe.bgr { c - 1 - ch } else { ch };
            let v = (pixels[p * c + from] as f32 * recipe.scale - recipe.mean[ch]) / recipe.std[ch];
            let to = if recipe.channels_last {
                p * c + ch
            } else {
                ch * plane + p
            };
            values[to] = v;
        }
    }
    let shape = if recipe.channels_last {
        [height, width, c]
    } else {
        [c, height, width]
    };
    Array::from_f32(&shape, &values)
}

/// Pixels `[height, width, channels]` as a PNG file; `None` unless they are grey or of three colours.
pub fn png(pixels: &[u8], [height, width, channels]: [usize; 3]) -> Result<Option<Vec<u8>>> {
    let kind = match channels {
        1 => image::ExtendedColorType::L8,
        3 => image::ExtendedColorType::Rgb8,
        _ => return Ok(None),
    };
    let mut out = std::io::Cursor::new(Vec::new());
    let format = image::ImageFormat::Png;
    image::write_buffer_with_format(&mut out, pixels, width as u32, height as u32, kind, format)?;
    Ok(Some(out.into_inner()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn layouts_orders_and_normalisation() {
        let mut rgb = image::RgbImage::new(2, 1);
        rgb.put_pixel(0, 0, image::Rgb([255, 0, 51]));
        let picture = DynamicImage::ImageRgb8(rgb);
        let mut wish = Preprocess {
            mean: vec![0.5],
            std: vec![0.5],
            ..Default::default()
        };
        let recipe = Recipe::settle(&wish, &[1, 3, 1, 2]).unwrap();
        let first = to_tensor(&picture, 1, 2, &recipe);
        assert_eq!(first.shape, [3, 1, 2]);
        let close = |a: &[f32], b: &[f32]| a.iter().zip(b).all(|(x, y)| (x - y).abs() < 1e-6);
        assert!(close(&first.to_f32(), &[1.0, -1.0, -1.0, -1.0, -0.6, -1.0]));
        wish.channel_order = Some("bgr".into());
        wish.layout = Some("nhwc".into());
        let recipe = Recipe::settle(&wish, &[1, 1, 2, 3]).unwrap();
        let last = to_tensor(&picture, 1, 2, &recipe);
        assert!(close(&last.to_f32(), &[-0.6, -1.0, 1.0, -1.0, -1.0, -1.0]));
    }

    #[test]
    fn free_axes_follow_the_picture() {
        use Extent::*;
        assert_eq!(
            target_size(Fixed(48), Range(32, 1280), (24, 100), 32),
            (48, 200)
        );
        assert_eq!(
            target_size(Fixed(48), Range(32, 1280), (2, 1000), 32),
            (48, 1280)
        );
        assert_eq!(
            target_size(Range(32, 960), Range(32, 960), (500, 700), 32),
            (512, 704)
        );
        assert_eq!(
            target_size(Range(32, 960), Range(32, 960), (1000, 2000), 32),
            (480, 960)
        );
    }
}
