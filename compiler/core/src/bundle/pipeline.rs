//! The manifest's words about pictures, sounds and answers, settled for devices.

use super::manifest::{Manifest, Postprocess, Preprocess};
use cygnet_format::DType;
use cygnet_format::pipeline::{
    Activation, BoxForm, Colours, Decode, Fit, PictureInput, Record, SoundInput,
};

/// Settles what flags and manifest leave open of a picture from the input's largest shape: one picture, of rank 2 to 4.
/// Values are scaled by 1/255 where nothing is said, and taken as they are by inputs of integers.
///
/// # Errors
/// In words, when the input is no picture or the wish does not fit it.
pub fn picture_input(
    wish: &Preprocess,
    max_shape: &[usize],
    integers: bool,
) -> Result<PictureInput, String> {
    let image = match max_shape {
        [1, rest @ ..] if rest.len() == 3 => rest,
        rest if rest.len() == 3 => rest,
        [h, w] | [1, h, w] => &[1, *h, *w],
        other => {
            return Err(format!(
                "a picture cannot feed an input of shape {other:?}: give an .npy file"
            ));
        }
    };
    let channels_last = match wish.layout.as_deref() {
        Some("nhwc") => true,
        Some("nchw") => false,
        Some(other) => return Err(format!("layout `{other}` is neither nchw nor nhwc")),
        None => !matches!(image[0], 1 | 3) && matches!(image[2], 1 | 3),
    };
    let channels = if channels_last { image[2] } else { image[0] };
    if !matches!(channels, 1 | 3) {
        return Err(format!(
            "the input has {channels} channels (shape {max_shape:?}), a picture has 1 or 3: set --layout, or give an .npy file"
        ));
    }
    let order = wish.channel_order.as_deref().unwrap_or("rgb");
    let colours = match Colours::from_name(order) {
        _ if channels == 1 => Colours::Gray,
        Some(Colours::Gray) | None => {
            return Err(format!(
                "channel order `{order}` does not fit an input of {channels} channels"
            ));
        }
        Some(colours) => colours,
    };
    let fit = wish.fit.as_deref().unwrap_or("stretch");
    let fit = Fit::from_name(fit)
        .ok_or_else(|| format!("fit `{fit}` is none of {}", Fit::NAMES.join(", ")))?;
    let three = |values: &[f32], default: f32, what: &str| match *values {
        [] => Ok([default; 3]),
        [one] => Ok([one; 3]),
        [a, b, c] if channels == 3 => Ok([a, b, c]),
        _ => Err(format!(
            "{what} has {} values, the input has {channels} channel{}",
            values.len(),
            if channels == 1 { "" } else { "s" }
        )),
    };
    let std = three(&wish.std, 1.0, "--std")?;
    if std.contains(&0.0) {
        return Err("--std must not be zero".to_owned());
    }
    Ok(PictureInput {
        fit,
        colours,
        channels_last,
        fill: wish.fill.unwrap_or(0),
        scale: wish
            .scale
            .unwrap_or(if integers { 1.0 } else { 1.0 / 255.0 }),
        mean: three(&wish.mean, 0.0, "--mean")?,
        std,
    })
}

impl Preprocess {
    /// Whether it says anything of pictures.
    fn of_pictures(&self) -> bool {
        let other = Preprocess {
            sample_rate: self.sample_rate,
            ..Default::default()
        };
        *self != other
    }
}

fn decode(post: &Postprocess) -> Result<Option<Decode>, String> {
    let activation = match post.activation.as_deref() {
        None => Activation::None,
        Some(name) => Activation::from_name(name).ok_or_else(|| {
            format!(
                "activation `{name}` is none of {}",
                Activation::NAMES.join(", ")
            )
        })?,
    };
    Ok(Some(match post.decode.as_str() {
        "none" => return Ok(None),
        "top" => Decode::Classes {
            activation,
            threshold: post.threshold.unwrap_or(f32::MIN),
            top: post.top.unwrap_or(0),
        },
        "ctc" => Decode::Ctc,
        "db" => Decode::TextBoxes,
        "mask" => Decode::Mask {
            channels_last: post.channels_last,
        },
        "embedding" => Decode::Embedding { normalise: true },
        name => Decode::Boxes {
            form: BoxForm::from_name(name)
                .ok_or_else(|| format!("decode `{name}` is not known to this version"))?,
            threshold: post.threshold.unwrap_or(0.25),
            overlap: post.overlap.unwrap_or(0.45),
        },
    }))
}

/// The records of a bundle's `pipeline.cygp`: what the manifest says of the first input and of the first output.
///
/// # Errors
/// In words, when what it says does not fit the input.
pub fn pipeline(manifest: &Manifest) -> Result<Vec<Record>, String> {
    let mut records = Vec::new();
    if let (Some(wish), Some(input)) = (&manifest.preprocess, manifest.inputs.first()) {
        if let Some(rate) = wish.sample_rate {
            records.push(Record::Sound(0, SoundInput { rate }));
        }
        if wish.of_pictures() {
            let shape: Vec<usize> = input.max_shape.iter().map(|&d| d as usize).collect();
            let integers = DType::from_name(&input.dtype).is_some_and(DType::is_integer);
            records.push(Record::Picture(0, picture_input(wish, &shape, integers)?));
        }
    }
    if let Some(decode) = manifest.postprocess.as_ref().map(decode).transpose()? {
        records.extend(decode.map(|d| Record::Answer(0, d)));
    }
    Ok(records)
}
