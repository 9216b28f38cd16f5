//! Sessions: feed, run, read.

use crate::answer::{Answer, Class, Detection, Mask};
use crate::decode;
use crate::error::{Error, ErrorKind};
use crate::model::{Model, Options, Port};
use crate::picture::{self, Picture, Placement, Scratch};
use crate::sound::resample;
use cygnet_runtime::format::pipeline::{BoxForm, Decode, PictureInput, Record, SoundInput};
use cygnet_runtime::{Cancellation, DType, Element, OwnedSession};
use std::time::Duration;

/// The memory of one run. One thread at a time uses it; sessions of a model run side by side.
pub struct Session {
    model: Model,
    session: OwnedSession,
    scratch: Scratch,
    /// Where the picture that was fed last lies in its input.
    shown: Option<Placement>,
}

/// The time of one step of a profiled run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StepTime {
    /// Name of the model's node; may be empty.
    pub name: String,
    /// Operator.
    pub operator: &'static str,
    /// Time.
    pub time: Duration,
}

impl std::fmt::Debug for Session {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Session")
            .field("model", &self.model)
            .finish_non_exhaustive()
    }
}

fn shape_text(shape: &[usize]) -> String {
    let dims: Vec<String> = shape.iter().map(usize::to_string).collect();
    format!("[{}]", dims.join(", "))
}

fn port(inputs: &[Port], i: usize) -> Result<&Port, Error> {
    inputs.get(i).ok_or_else(|| {
        Error::input(format!(
            "the model has {} inputs, none at position {i}",
            inputs.len()
        ))
    })
}

impl Session {
    pub(crate) fn new(model: Model, options: Options) -> Result<Session, Error> {
        let chosen = cygnet_runtime::Options::default().threads(options.threads);
        let session = OwnedSession::new(model.0.model.clone(), chosen)?;
        Ok(Session {
            model,
            session,
            scratch: Scratch::default(),
            shown: None,
        })
    }

    /// The model.
    pub fn model(&self) -> &Model {
        &self.model
    }

    /// The position of the input of this name.
    ///
    /// # Errors
    /// [`ErrorKind::Input`] with the names that there are.
    pub fn input_named(&self, name: &str) -> Result<usize, Error> {
        named(
            self.model.inputs().iter().map(|p| p.name.as_str()),
            name,
            "input",
        )
    }

    /// The position of the output of this name.
    ///
    /// # Errors
    /// [`ErrorKind::Input`] with the names that there are.
    pub fn output_named(&self, name: &str) -> Result<usize, Error> {
        named(
            self.model.outputs().iter().map(|p| p.name.as_str()),
            name,
            "output",
        )
    }

    /// Gives input `i` this shape; models without free axes need none.
    ///
    /// # Errors
    /// [`ErrorKind::Input`] when the shape is out of the input's bounds.
    pub fn set_shape(&mut self, i: usize, shape: &[usize]) -> Result<(), Error> {
        self.session.set_input_shape(i, shape).map_err(|e| {
            let wanted = self.model.inputs().get(i).map_or(String::new(), |p| {
                let axes: Vec<String> = p
                    .axes
                    .iter()
                    .map(|a| match a.fixed() {
                        Some(n) => n.to_string(),
                        None => format!("{}..{}", a.least, a.most),
                    })
                    .collect();
                format!(": input `{}` wants [{}]", p.name, axes.join(", "))
            });
            Error::input(format!(
                "the shape {} does not fit ({}){wanted}",
                shape_text(shape),
                e.kind.text()
            ))
        })
    }

    /// Fills input `i` with elements in row-major order.
    ///
    /// # Errors
    /// [`ErrorKind::Input`] when there is no such input, its elements are of another type, or their number differs.
    pub fn set_input<T: Element>(&mut self, i: usize, values: &[T]) -> Result<(), Error> {
        self.input_mut(i, values.len())?.copy_from_slice(values);
        Ok(())
    }

    /// Where the `len` elements of input `i` lie, in row-major order, for those who write them in place.
    ///
    /// # Errors
    /// As [`Session::set_input`].
    pub fn input_mut<T: Element>(&mut self, i: usize, len: usize) -> Result<&mut [T], Error> {
        let inputs = self.model.inputs();
        let name = &port(inputs, i)?.name;
        let tensor = self.session.input_mut(i)?;
        let (dtype, shape) = (tensor.dtype, tensor.shape);
        let elements = tensor.into_mut_slice::<T>().map_err(|_| {
            Error::input(format!(
                "input `{name}` has elements of type {}, given were {}",
                dtype.name(),
                T::DTYPE.name()
            ))
        })?;
        if elements.len() != len {
            return Err(Error::input(format!(
                "input `{name}` has {} elements ({}), given were {len}",
                elements.len(),
                shape_text(&shape),
            )));
        }
        Ok(elements)
    }

    /// Fills input `i` with the bytes of its elements, little-endian.
    ///
    /// # Errors
    /// [`ErrorKind::Input`] when there is no such input, or the number of bytes differs.
    pub fn set_bytes(&mut self, i: usize, bytes: &[u8]) -> Result<(), Error> {
        self.bytes_mut(i, bytes.len())?.copy_from_slice(bytes);
        Ok(())
    }

    /// Where the `len` bytes of input `i` lie, little-endian, for those who write them in place.
    ///
    /// # Errors
    /// As [`Session::set_bytes`].
    pub fn bytes_mut(&mut self, i: usize, len: usize) -> Result<&mut [u8], Error> {
        let inputs = self.model.inputs();
        let name = &port(inputs, i)?.name;
        let tensor = self.session.input_mut(i)?;
        if tensor.bytes.len() != len {
            return Err(Error::input(format!(
                "input `{name}` has {} bytes ({}{}), given were {len}",
                tensor.bytes.len(),
                tensor.dtype.name(),
                shape_text(&tensor.shape),
            )));
        }
        Ok(tensor.bytes)
    }

    /// What `pick` finds among the bundle's records: what it says of `what`, if `how` it was compiled.
    fn recorded<T>(
        &self,
        pick: impl Fn(&Record) -> Option<(u32, T)>,
        what: &str,
        how: &str,
    ) -> Result<(usize, T), Error> {
        match self.model.pipeline().iter().find_map(pick) {
            Some((i, found)) => Ok((i as usize, found)),
            None => Err(Error::new(
                ErrorKind::Pipeline,
                format!("the bundle does not say {what}: compile it with {how}"),
            )),
        }
    }

    fn picture_input(&self) -> Result<(usize, PictureInput), Error> {
        let pick = |r: &Record| match r {
            Record::Picture(i, p) => Some((*i, *p)),
            _ => None,
        };
        let what = "how a picture becomes its input";
        self.recorded(pick, what, "--pipeline, or fill the input with numbers")
    }

    fn sound_input(&self) -> Result<(usize, SoundInput), Error> {
        let pick = |r: &Record| match r {
            Record::Sound(i, s) => Some((*i, *s)),
            _ => None,
        };
        let what = "how a sound becomes its input";
        self.recorded(pick, what, "--sample-rate, or fill the input with numbers")
    }

    /// Feeds a picture: turned upright, fitted to the input's size, converted and normalised as the bundle says, from where it
    /// lies straight into the input.
    ///
    /// # Errors
    /// [`ErrorKind::Pipeline`] when the bundle takes no pictures.
    pub fn set_picture(&mut self, picture: &Picture<'_>) -> Result<(), Error> {
        let (i, input) = self.picture_input()?;
        let port = port(self.model.inputs(), i)?;
        let axes = picture::axes(port, &input)?;
        if port.axes.iter().any(|a| a.fixed().is_none()) {
            let shape = picture::shape(port, axes, picture.size());
            self.set_shape(i, &shape)?;
        }
        let tensor = self.session.input_mut(i)?;
        let placement = picture::feed(picture, &input, axes, &mut self.scratch, tensor)?;
        self.shown = Some(placement);
        Ok(())
    }

    /// Feeds mono samples in -1..=1, `rate` a second: resampled to the model's rate. Shorter sounds than a fixed input are
    /// followed by silence.
    ///
    /// # Errors
    /// [`ErrorKind::Pipeline`] when the bundle takes no sounds; [`ErrorKind::Input`] when the sound is longer than the input.
    pub fn set_sound(&mut self, samples: &[f32], rate: u32) -> Result<(), Error> {
        let (i, sound) = self.sound_input()?;
        let model = self.model.clone();
        let port = port(model.inputs(), i)?;
        if rate == 0 {
            return Err(Error::input("a sound has a rate above 0"));
        }
        let made;
        let samples = if rate == sound.rate {
            samples
        } else {
            made = resample(samples, rate, sound.rate);
            &made
        };
        let axes = &port.axes;
        if let Some(free) = axes.iter().position(|a| a.fixed().is_none()) {
            let mut shape: Vec<usize> = axes.iter().map(|a| a.most).collect();
            shape[free] = samples.len();
            self.set_shape(i, &shape)?;
        }
        let mut tensor = self.session.input_mut(i)?;
        let to = tensor.as_mut_slice::<f32>()?;
        if samples.len() > to.len() {
            return Err(Error::input(format!(
                "input `{}` takes {} samples at {} a second, given were {}: feed it piece by piece",
                port.name,
                to.len(),
                sound.rate,
                samples.len()
            )));
        }
        let (sounding, silent) = to.split_at_mut(samples.len());
        sounding.copy_from_slice(samples);
        silent.fill(0.0);
        Ok(())
    }

    /// Runs the model on its inputs as they stand: fill all of them before each run.
    ///
    /// # Errors
    /// [`ErrorKind::Run`], [`ErrorKind::Cancelled`], [`ErrorKind::Input`] when a free axis has no length yet.
    pub fn run(&mut self) -> Result<(), Error> {
        Ok(self.session.run()?)
    }

    /// As [`Session::run`], with the time of every step.
    ///
    /// # Errors
    /// As [`Session::run`].
    pub fn run_profiled(&mut self) -> Result<Vec<StepTime>, Error> {
        let mut times = Vec::new();
        self.session.run_observed(&mut |step, _| {
            times.push(StepTime {
                name: step.name.to_owned(),
                operator: step.code.name(),
                time: Duration::from_nanos(step.nanos),
            });
        })?;
        Ok(times)
    }

    /// Runs once on zeros, so that the first answer does not wait for pages of the file and of memory. Free axes get their
    /// smallest length. States are reset.
    ///
    /// # Errors
    /// As [`Session::run`].
    pub fn warm_up(&mut self) -> Result<(), Error> {
        for i in 0..self.model.inputs().len() {
            let axes = &self.model.inputs()[i].axes;
            if axes.iter().any(|a| a.fixed().is_none()) {
                let shape: Vec<usize> = axes.iter().map(|a| a.least).collect();
                self.set_shape(i, &shape)?;
            }
            self.session.input_mut(i)?.bytes.fill(0);
        }
        let ran = self.run();
        self.reset();
        ran
    }

    /// What another thread ends a run of this session with.
    pub fn cancellation(&self) -> Cancellation {
        self.session.cancellation()
    }

    /// Sets what a streaming model remembers to its initial value.
    pub fn reset(&mut self) {
        self.session.reset_state();
    }

    /// Output `i` after a run.
    ///
    /// # Errors
    /// [`ErrorKind::Input`] when there is no such output, or its elements are of another type.
    pub fn output<T: Element>(&self, i: usize) -> Result<&[T], Error> {
        let tensor = self.tensor(i)?;
        tensor.as_slice::<T>().map_err(|_| {
            Error::input(format!(
                "output {i} has elements of type {}, asked for were {}",
                tensor.dtype.name(),
                T::DTYPE.name()
            ))
        })
    }

    /// The bytes of output `i` after a run, little-endian.
    ///
    /// # Errors
    /// [`ErrorKind::Input`] when there is no such output.
    pub fn output_bytes(&self, i: usize) -> Result<&[u8], Error> {
        Ok(self.tensor(i)?.bytes)
    }

    /// The actual shape of output `i` after a run.
    ///
    /// # Errors
    /// [`ErrorKind::Input`] when there is no such output.
    pub fn output_shape(&self, i: usize) -> Result<Vec<usize>, Error> {
        Ok(self.tensor(i)?.shape.to_vec())
    }

    fn tensor(&self, i: usize) -> Result<cygnet_runtime::Tensor<'_>, Error> {
        let outputs = self.model.outputs().len();
        if i >= outputs {
            return Err(Error::input(format!(
                "the model has {outputs} outputs, none at position {i}"
            )));
        }
        Ok(self.session.output(i)?)
    }

    /// Output `i` as floats, whatever number its elements are.
    fn floats(&self, i: usize) -> Result<Vec<f32>, Error> {
        let tensor = self.tensor(i)?;
        macro_rules! from {
            ($($dtype:ident $t:ty),*) => {
                match tensor.dtype {
                    DType::F32 => tensor.as_slice::<f32>()?.to_vec(),
                    $(DType::$dtype => tensor.as_slice::<$t>()?.iter().map(|&v| v as f32).collect(),)*
                    other => return Err(Error::new(ErrorKind::Pipeline, format!("answers are not read from elements of type {}", other.name()))),
                }
            };
        }
        Ok(from!(U8 u8, I8 i8, I16 i16, U16 u16, I32 i32, I64 i64, F64 f64))
    }

    fn class(&self, index: usize, score: f32) -> Class {
        let label = self.model.labels().get(index);
        Class {
            index,
            label: label.cloned().unwrap_or_else(|| index.to_string()),
            score,
        }
    }

    /// The answer in the outputs after a run, as the bundle says.
    ///
    /// # Errors
    /// [`ErrorKind::Pipeline`] when the bundle does not say what its outputs mean, or they do not fit what it says.
    pub fn answer(&self) -> Result<Answer, Error> {
        let pick = |r: &Record| match r {
            Record::Answer(i, d) => Some((*i, *d)),
            _ => None,
        };
        let what = "what its outputs mean";
        let (i, decode) = self.recorded(pick, what, "--pipeline, or read the outputs")?;
        let mut values = self.floats(i)?;
        let shape = self.output_shape(i)?;
        let misfit = |what: &str| {
            Error::new(
                ErrorKind::Pipeline,
                format!("output {i} of shape {} holds no {what}", shape_text(&shape)),
            )
        };
        match decode {
            Decode::Classes {
                activation,
                threshold,
                top,
            } => {
                decode::activate(&mut values, activation);
                let most = if top == 0 { values.len() } else { top as usize };
                let best = decode::top(&values, most).into_iter();
                let kept = best.filter(|&i| values[i] >= threshold);
                Ok(Answer::Classes(
                    kept.map(|i| self.class(i, values[i])).collect(),
                ))
            }
            Decode::Ctc => {
                let classes = shape.last().copied().unwrap_or(0);
                let vocabulary = &self.model.0.vocabulary;
                Ok(Answer::Text(decode::ctc(&values, classes, vocabulary)?))
            }
            Decode::TextBoxes => {
                let [.., height, width] = shape[..] else {
                    return Err(misfit("map"));
                };
                if values.len() != height * width {
                    return Err(misfit("single map"));
                }
                let size = (width as f32, height as f32);
                let boxes = decode::db(&values, height, width, (1.0, 1.0), size);
                let found = boxes.iter().map(|b| decode::Found {
                    class: 0,
                    score: b.score,
                    edges: [b.x0, b.y0, b.x1, b.y1],
                });
                Ok(Answer::Boxes(
                    self.detections(found.collect(), (height, width)),
                ))
            }
            Decode::Boxes {
                form,
                threshold,
                overlap,
            } => {
                let input = self.shown.map_or((1, 1), |s| s.size);
                let found = if form == BoxForm::Ssd {
                    let count = self.floats(i + 3)?.first().copied().unwrap_or(0.0);
                    let (classes, scores) = (self.floats(i + 1)?, self.floats(i + 2)?);
                    let size = (input.1 as f32, input.0 as f32);
                    decode::ssd(&values, &classes, &scores, count, size, threshold)
                } else {
                    let [.., rows, columns] = shape[..] else {
                        return Err(misfit("rows of boxes"));
                    };
                    decode::boxes(form, &values, (rows, columns), threshold, overlap)
                        .ok_or_else(|| misfit("boxes of this form"))?
                };
                Ok(Answer::Boxes(self.detections(found, input)))
            }
            Decode::Mask { channels_last } => {
                let (classes, height, width) = match shape[..] {
                    [.., h, w, c] if channels_last => (c, h, w),
                    [.., c, h, w] => (c, h, w),
                    _ => return Err(misfit("map of classes")),
                };
                if values.len() != classes * height * width {
                    return Err(misfit("single map of classes"));
                }
                let classes = decode::mask(&values, classes, channels_last);
                Ok(Answer::Mask(Mask {
                    width,
                    height,
                    classes,
                }))
            }
            Decode::Embedding { normalise } => {
                if normalise {
                    let length = values.iter().map(|v| v * v).sum::<f32>().sqrt();
                    values
                        .iter_mut()
                        .for_each(|v| *v /= length.max(f32::MIN_POSITIVE));
                }
                Ok(Answer::Embedding(values))
            }
            _ => Err(Error::new(
                ErrorKind::Pipeline,
                "the bundle's answer is of a later version of Cygnet",
            )),
        }
    }

    /// Boxes in a map of this size (height, width), as boxes in the picture that was fed.
    fn detections(&self, found: Vec<decode::Found>, map: (usize, usize)) -> Vec<Detection> {
        found
            .into_iter()
            .map(|f| {
                let [x0, y0, x1, y1] = match &self.shown {
                    Some(shown) => shown.edges_in_picture(f.edges, map),
                    None => f.edges,
                };
                Detection {
                    class: self.class(f.class, f.score),
                    x0,
                    y0,
                    x1,
                    y1,
                }
            })
            .collect()
    }

    /// Feeds a picture, runs and answers.
    ///
    /// # Errors
    /// As [`Session::set_picture`], [`Session::run`] and [`Session::answer`].
    pub fn ask_picture(&mut self, picture: &Picture<'_>) -> Result<Answer, Error> {
        self.set_picture(picture)?;
        self.run()?;
        self.answer()
    }

    /// Feeds a sound, runs and answers. A streaming model goes on where the sound before ended.
    ///
    /// # Errors
    /// As [`Session::set_sound`], [`Session::run`] and [`Session::answer`].
    pub fn ask_sound(&mut self, samples: &[f32], rate: u32) -> Result<Answer, Error> {
        self.set_sound(samples, rate)?;
        self.run()?;
        self.answer()
    }
}

fn named<'a>(
    names: impl Iterator<Item = &'a str> + Clone,
    name: &str,
    what: &str,
) -> Result<usize, Error> {
    names.clone().position(|n| n == name).ok_or_else(|| {
        let names: Vec<&str> = names.collect();
        Error::input(format!(
            "the model has no {what} `{name}`: there are {}",
            names.join(", ")
        ))
    })
}
