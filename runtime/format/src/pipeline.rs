//! What surrounds a program: how pictures, sounds and text become its inputs, and its outputs an answer. Entry
//! `pipeline.cygp` of a bundle.

use crate::program::layout::u32_at;

/// First bytes of a pipeline.
pub const PIPELINE_MAGIC: [u8; 4] = *b"CYGP";
const VERSION: u32 = 1;
const HEADER: usize = 16;
const RECORD: usize = 64;

macro_rules! codes {
    ($(#[$doc:meta])* $name:ident { $($(#[$vdoc:meta])* $variant:ident = $code:literal $text:literal,)* }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        #[repr(u8)]
        pub enum $name { $($(#[$vdoc])* $variant = $code,)* }

        impl $name {
            /// The choice of a code.
            pub const fn from_code(code: u8) -> Option<Self> {
                match code { $($code => Some($name::$variant),)* _ => None }
            }
            /// The code.
            pub const fn code(self) -> u8 {
                self as u8
            }
            /// The choice of a name.
            pub fn from_name(name: &str) -> Option<Self> {
                match name { $($text => Some($name::$variant),)* _ => None }
            }
            /// The name, as the manifest and the command line have it.
            pub const fn name(self) -> &'static str {
                match self { $($name::$variant => $text,)* }
            }
            /// Every name.
            pub const NAMES: &'static [&'static str] = &[$($text,)*];
        }
    };
}

codes! {
    /// How a picture of another size gets the model's size.
    Fit {
        /// Each axis on its own.
        Stretch = 0 "stretch",
        /// Keep the proportions, pad to the right and below.
        Letterbox = 1 "letterbox",
        /// Keep the proportions, cut the middle out.
        Crop = 2 "crop",
        /// Keep the proportions, pad on both sides.
        Centre = 3 "centre",
    }
}

codes! {
    /// Order of an input's colours.
    Colours {
        /// Red first.
        Rgb = 0 "rgb",
        /// Blue first.
        Bgr = 1 "bgr",
        /// Brightness alone.
        Gray = 2 "gray",
    }
}

codes! {
    /// What is done to scores before they are shown.
    Activation {
        /// Nothing: the model has probabilities, or logits are wanted.
        None = 0 "none",
        /// Softmax over all classes.
        Softmax = 1 "softmax",
        /// The logistic function of each.
        Sigmoid = 2 "sigmoid",
    }
}

codes! {
    /// How a detector's output holds its boxes.
    BoxForm {
        /// `[1, 4 + classes, boxes]`: centre, size and scores (YOLOv8 and later).
        Yolo8 = 0 "yolo8",
        /// `[1, boxes, 5 + classes]`: centre, size, objectness and scores (YOLOv5).
        Yolo5 = 1 "yolo5",
        /// Four outputs: corners as `[1, boxes, (top, left, bottom, right)]` in 0..=1, classes, scores, count
        /// (`TFLite_Detection_PostProcess`).
        Ssd = 2 "ssd",
    }
}

codes! {
    /// What an input of a text model takes.
    TextRole {
        /// Ids of tokens.
        Ids = 0 "ids",
        /// 1 where there is a token, 0 where there is padding.
        Mask = 1 "mask",
        /// Which of two texts a token belongs to: 0.
        Types = 2 "types",
    }
}

/// How a picture becomes an input: `(value * scale - mean) / std` of each channel, values being 0 to 255.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct PictureInput {
    /// Rule for the size.
    pub fit: Fit,
    /// Order of colours.
    pub colours: Colours,
    /// The channels are the last axis, not the one before rows.
    pub channels_last: bool,
    /// Value of padding, 0 to 255.
    pub fill: u8,
    /// Factor.
    pub scale: f32,
    /// Subtracted after scaling.
    pub mean: [f32; 3],
    /// Divisor after that.
    pub std: [f32; 3],
}

/// How a sound becomes an input.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct SoundInput {
    /// Samples a second.
    pub rate: u32,
}

/// How text becomes an input: tokens of WordPiece (Schuster and Nakajima 2012) from the bundle's vocabulary.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct TextInput {
    /// What of the tokens.
    pub role: TextRole,
    /// Lower case without accents.
    pub lowercase: bool,
    /// Id of what is in no vocabulary.
    pub unknown: u32,
    /// Id before the text.
    pub first: u32,
    /// Id after the text.
    pub last: u32,
    /// Id of padding.
    pub padding: u32,
}

/// How outputs become an answer.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub enum Decode {
    /// Classes with scores, best first.
    Classes {
        /// Of the scores.
        activation: Activation,
        /// Scores below are left out.
        threshold: f32,
        /// Most classes; 0 for all.
        top: u32,
    },
    /// Text, by connectionist temporal classification; class 0 is the blank.
    Ctc,
    /// Boxes around text from a probability map (Liao et al. 2020).
    TextBoxes,
    /// Boxes around things.
    Boxes {
        /// How they lie in the output.
        form: BoxForm,
        /// Scores below are left out.
        threshold: f32,
        /// Of two boxes of a class that overlap by more than this share of their union, the better one stays.
        overlap: f32,
    },
    /// The class of every pixel.
    Mask {
        /// The channels are the last axis.
        channels_last: bool,
    },
    /// A vector for comparisons.
    Embedding {
        /// Scaled to length 1.
        normalise: bool,
    },
}

impl Decode {
    /// What kind of answer it is, in a word.
    pub const fn name(&self) -> &'static str {
        match self {
            Decode::Classes { .. } => "classes",
            Decode::Ctc => "text",
            Decode::TextBoxes | Decode::Boxes { .. } => "boxes",
            Decode::Mask { .. } => "mask",
            Decode::Embedding { .. } => "embedding",
        }
    }
}

/// One record: what happens to an input or with an output.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub enum Record {
    /// A picture for input `input`.
    Picture(u32, PictureInput),
    /// A sound for an input.
    Sound(u32, SoundInput),
    /// Text for an input.
    Text(u32, TextInput),
    /// An answer from an output, and further outputs where the form has them.
    Answer(u32, Decode),
}

/// A validated pipeline over borrowed bytes.
#[derive(Clone, Copy, Debug)]
pub struct Pipeline<'a> {
    bytes: &'a [u8],
}

fn f32_at(bytes: &[u8], at: usize) -> Option<f32> {
    let v = f32::from_bits(u32_at(bytes, at));
    v.is_finite().then_some(v)
}

fn flag(byte: u8) -> Option<bool> {
    match byte {
        0 => Some(false),
        1 => Some(true),
        _ => None,
    }
}

impl<'a> Pipeline<'a> {
    /// Validates a pipeline; `None` when it is malformed or of a later version.
    pub fn parse(bytes: &'a [u8]) -> Option<Pipeline<'a>> {
        let ok = bytes.starts_with(&PIPELINE_MAGIC)
            && bytes.len() >= HEADER
            && u32_at(bytes, 4) == VERSION
            && u32_at(bytes, 12) == 0
            && (bytes.len() - HEADER).is_multiple_of(RECORD)
            && (bytes.len() - HEADER) / RECORD == u32_at(bytes, 8) as usize;
        let pipeline = Pipeline {
            bytes: bytes.get(HEADER..)?,
        };
        (ok && pipeline.chunks().all(|r| read(r).is_some())).then_some(pipeline)
    }

    fn chunks(&self) -> impl Iterator<Item = &'a [u8]> + use<'a> {
        self.bytes.chunks_exact(RECORD)
    }

    /// The records, in order.
    pub fn records(&self) -> impl Iterator<Item = Record> + use<'a> {
        self.chunks().filter_map(read)
    }
}

fn read(r: &[u8]) -> Option<Record> {
    let index = u32_at(r, 4);
    let byte = |i: usize| r.get(8 + i).copied();
    let three = |at: usize| Some([f32_at(r, at)?, f32_at(r, at + 4)?, f32_at(r, at + 8)?]);
    let (record, used) = match u32_at(r, 0) {
        1 => {
            let input = PictureInput {
                fit: Fit::from_code(byte(0)?)?,
                colours: Colours::from_code(byte(1)?)?,
                channels_last: flag(byte(2)?)?,
                fill: byte(3)?,
                scale: f32_at(r, 12)?,
                mean: three(16)?,
                std: three(28)?,
            };
            if input.std.contains(&0.0) {
                return None;
            }
            (Record::Picture(index, input), 40)
        }
        2 => {
            let rate = u32_at(r, 8);
            if rate == 0 {
                return None;
            }
            (Record::Sound(index, SoundInput { rate }), 12)
        }
        3 => {
            let input = TextInput {
                role: TextRole::from_code(byte(0)?)?,
                lowercase: flag(byte(1)?)?,
                unknown: u32_at(r, 12),
                first: u32_at(r, 16),
                last: u32_at(r, 20),
                padding: u32_at(r, 24),
            };
            if byte(2)? != 0 || byte(3)? != 0 {
                return None;
            }
            (Record::Text(index, input), 28)
        }
        16 => {
            let (a, b) = (byte(1)?, byte(2)?);
            if byte(3)? != 0 {
                return None;
            }
            let (decode, used) = match (byte(0)?, a, b) {
                (0, a, 0) => {
                    let decode = Decode::Classes {
                        activation: Activation::from_code(a)?,
                        threshold: f32_at(r, 12)?,
                        top: u32_at(r, 16),
                    };
                    (decode, 20)
                }
                (1, 0, 0) => (Decode::Ctc, 12),
                (2, 0, 0) => (Decode::TextBoxes, 12),
                (3, a, 0) => {
                    let decode = Decode::Boxes {
                        form: BoxForm::from_code(a)?,
                        threshold: f32_at(r, 12)?,
                        overlap: f32_at(r, 16)?,
                    };
                    (decode, 20)
                }
                (4, a, 0) => (
                    Decode::Mask {
                        channels_last: flag(a)?,
                    },
                    12,
                ),
                (5, a, 0) => (
                    Decode::Embedding {
                        normalise: flag(a)?,
                    },
                    12,
                ),
                _ => return None,
            };
            (Record::Answer(index, decode), used)
        }
        _ => return None,
    };
    let rest = r.get(used..)?;
    rest.iter().all(|&b| b == 0).then_some(record)
}

#[cfg(any(feature = "alloc", test))]
mod writer {
    use super::*;
    use alloc::vec::Vec;

    fn write(record: &Record) -> [u8; RECORD] {
        let mut r = [0u8; RECORD];
        let (kind, index, bytes, words): (u32, u32, [u8; 4], Vec<u32>) = match *record {
            Record::Picture(i, p) => {
                let floats = [p.scale].into_iter().chain(p.mean).chain(p.std);
                let bytes = [
                    p.fit.code(),
                    p.colours.code(),
                    p.channels_last.into(),
                    p.fill,
                ];
                (1, i, bytes, floats.map(f32::to_bits).collect())
            }
            Record::Sound(i, s) => (2, i, s.rate.to_le_bytes(), Vec::new()),
            Record::Text(i, t) => (
                3,
                i,
                [t.role.code(), t.lowercase.into(), 0, 0],
                [t.unknown, t.first, t.last, t.padding].to_vec(),
            ),
            Record::Answer(i, decode) => {
                let (bytes, words) = match decode {
                    Decode::Classes {
                        activation,
                        threshold,
                        top,
                    } => (
                        [0, activation.code(), 0, 0],
                        [threshold.to_bits(), top].to_vec(),
                    ),
                    Decode::Ctc => ([1, 0, 0, 0], Vec::new()),
                    Decode::TextBoxes => ([2, 0, 0, 0], Vec::new()),
                    Decode::Boxes {
                        form,
                        threshold,
                        overlap,
                    } => (
                        [3, form.code(), 0, 0],
                        [threshold.to_bits(), overlap.to_bits()].to_vec(),
                    ),
                    Decode::Mask { channels_last } => ([4, channels_last.into(), 0, 0], Vec::new()),
                    Decode::Embedding { normalise } => ([5, normalise.into(), 0, 0], Vec::new()),
                };
                (16, i, bytes, words)
            }
        };
        let head = [kind.to_le_bytes(), index.to_le_bytes(), bytes];
        let words = words.iter().map(|w| w.to_le_bytes());
        for (to, from) in r
            .as_chunks_mut::<4>()
            .0
            .iter_mut()
            .zip(head.into_iter().chain(words))
        {
            *to = from;
        }
        r
    }

    /// The bytes of a pipeline; `None` when a record holds values that no pipeline may hold (infinite numbers, a divisor or
    /// a rate of 0).
    pub fn pipeline(records: &[Record]) -> Option<Vec<u8>> {
        let mut bytes = PIPELINE_MAGIC.to_vec();
        for word in [VERSION, u32::try_from(records.len()).ok()?, 0] {
            bytes.extend_from_slice(&word.to_le_bytes());
        }
        for record in records {
            bytes.extend_from_slice(&write(record));
        }
        Pipeline::parse(&bytes)?;
        Some(bytes)
    }
}

#[cfg(any(feature = "alloc", test))]
pub use writer::pipeline as write_pipeline;

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec::Vec;

    fn every() -> Vec<Record> {
        let picture = PictureInput {
            fit: Fit::Centre,
            colours: Colours::Bgr,
            channels_last: true,
            fill: 114,
            scale: 1.0 / 255.0,
            mean: [0.485, 0.456, 0.406],
            std: [0.229, 0.224, 0.225],
        };
        let text = TextInput {
            role: TextRole::Mask,
            lowercase: true,
            unknown: 100,
            first: 101,
            last: 102,
            padding: 0,
        };
        let mut records = [
            Record::Picture(0, picture),
            Record::Sound(1, SoundInput { rate: 16_000 }),
            Record::Text(2, text),
        ]
        .to_vec();
        let decodes = [
            Decode::Classes {
                activation: Activation::Softmax,
                threshold: 0.25,
                top: 5,
            },
            Decode::Ctc,
            Decode::TextBoxes,
            Decode::Boxes {
                form: BoxForm::Yolo5,
                threshold: 0.3,
                overlap: 0.45,
            },
            Decode::Mask {
                channels_last: true,
            },
            Decode::Embedding { normalise: true },
        ];
        records.extend((0..).zip(decodes).map(|(i, d)| Record::Answer(i, d)));
        records
    }

    #[test]
    fn what_is_written_is_read() {
        let records = every();
        let bytes = write_pipeline(&records).unwrap();
        let read: Vec<Record> = Pipeline::parse(&bytes).unwrap().records().collect();
        assert_eq!(read, records);
        assert!(Pipeline::parse(&write_pipeline(&[]).unwrap()).is_some());
    }

    #[test]
    fn damaged_bytes_are_refused_or_mean_something() {
        let bytes = write_pipeline(&every()).unwrap();
        for n in 0..bytes.len() {
            assert!(Pipeline::parse(&bytes[..n]).is_none(), "cut at {n}");
            for bit in 0..8 {
                let mut other = bytes.clone();
                other[n] ^= 1 << bit;
                if let Some(pipeline) = Pipeline::parse(&other) {
                    // What is accepted is written back as it was.
                    let records: Vec<Record> = pipeline.records().collect();
                    assert_eq!(write_pipeline(&records).unwrap(), other);
                }
            }
        }
        let Record::Picture(0, mut picture) = every()[0] else {
            panic!("the first record is a picture")
        };
        picture.std[1] = 0.0;
        assert!(write_pipeline(&[Record::Picture(0, picture)]).is_none());
        picture.std[1] = f32::NAN;
        assert!(write_pipeline(&[Record::Picture(0, picture)]).is_none());
    }
}
