//! Pictures become tensors: decode, fit, normalise, lay out.

use anyhow::{Context, Result};
use cygnet_compiler::bundle::Array;
use cygnet_format::pipeline::PictureInput;
use cygnet_sdk::{Order, Picture};
use image::{DynamicImage, ImageReader, Limits};
use std::path::Path;

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

/// The tensor of a picture: channels-first or -last without the batch axis, as devices make it.
///
/// # Errors
/// When the picture or the tensor has no pixels.
pub fn to_tensor(
    picture: &DynamicImage,
    height: usize,
    width: usize,
    input: &PictureInput,
) -> Result<Array> {
    let (w, h) = (picture.width() as usize, picture.height() as usize);
    let rgb;
    let (bytes, order) = match picture {
        DynamicImage::ImageLuma8(gray) => (gray.as_raw(), Order::Gray),
        DynamicImage::ImageRgba8(rgba) => (rgba.as_raw(), Order::Rgba),
        other => {
            rgb = other.to_rgb8();
            (rgb.as_raw(), Order::Rgb)
        }
    };
    let picture = Picture::packed(w, h, bytes, order)?;
    let (values, _) = cygnet_sdk::to_tensor(&picture, input, (height, width))?;
    let c = values.len() / (height * width);
    let shape = match input.channels_last {
        true => [height, width, c],
        false => [c, height, width],
    };
    Ok(Array::from_f32(&shape, &values))
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
    use cygnet_compiler::bundle::{Preprocess, picture_input};
    use image::imageops::FilterType;

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
        let recipe = picture_input(&wish, &[1, 3, 1, 2], false).unwrap();
        let first = to_tensor(&picture, 1, 2, &recipe).unwrap();
        assert_eq!(first.shape, [3, 1, 2]);
        let close = |a: &[f32], b: &[f32]| a.iter().zip(b).all(|(x, y)| (x - y).abs() < 1e-6);
        assert!(close(&first.to_f32(), &[1.0, -1.0, -1.0, -1.0, -0.6, -1.0]));
        wish.channel_order = Some("bgr".into());
        wish.layout = Some("nhwc".into());
        let recipe = picture_input(&wish, &[1, 1, 2, 3], false).unwrap();
        let last = to_tensor(&picture, 1, 2, &recipe).unwrap();
        assert!(close(&last.to_f32(), &[-0.6, -1.0, 1.0, -1.0, -1.0, -1.0]));
    }

    /// Pictures are decoded for training by the same filter: what a network learnt from is what it sees.
    #[test]
    fn resizing_agrees_with_what_networks_are_trained_on() {
        let mut rgb = image::RgbImage::new(61, 47);
        for (x, y, pixel) in rgb.enumerate_pixels_mut() {
            let wave = |f: u32| ((x * f + y * 7 * f / 3) % 256) as u8;
            *pixel = image::Rgb([wave(5), wave(11), wave(3)]);
        }
        for (w, h) in [(32, 32), (61, 20), (96, 70), (7, 90)] {
            for gray in [false, true] {
                let picture = match gray {
                    true => DynamicImage::ImageLuma8(image::imageops::grayscale(&rgb)),
                    false => DynamicImage::ImageRgb8(rgb.clone()),
                };
                let want = picture.resize_exact(w, h, FilterType::Triangle);
                let channels = if gray { 1 } else { 3 };
                let shape = [h as usize, w as usize, channels];
                let wish = Preprocess {
                    scale: Some(1.0),
                    ..Default::default()
                };
                let input = picture_input(&wish, &shape, false).unwrap();
                let got = to_tensor(&picture, h as usize, w as usize, &input).unwrap();
                for (got, want) in got.to_f32().iter().zip(want.as_bytes()) {
                    assert!(
                        (got - f32::from(*want)).abs() <= 1.0,
                        "{w} x {h}: {got} {want}"
                    );
                }
            }
        }
    }
}
