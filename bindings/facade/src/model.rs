//! Models: what they take, what they answer, and what belongs to them.

use crate::error::{Error, ErrorKind};
use crate::session::Session;
use cygnet_runtime::format::pipeline::{Pipeline, Record};
use cygnet_runtime::format::program::Operands;
use cygnet_runtime::{DType, Program};
use std::path::Path;
use std::sync::Arc;

/// The length of an axis.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Axis {
    /// Smallest length.
    pub least: usize,
    /// Largest length.
    pub most: usize,
}

impl Axis {
    /// The length, when there is one alone.
    pub fn fixed(&self) -> Option<usize> {
        (self.least == self.most).then_some(self.most)
    }
}

/// An input or an output.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Port {
    /// Name.
    pub name: String,
    /// Element type.
    pub dtype: DType,
    /// Axes.
    pub axes: Vec<Axis>,
}

/// Choices of a session.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct Options {
    /// Threads; 1 runs on the calling thread alone, 0 takes as many as the machine has.
    pub threads: usize,
}

impl Default for Options {
    fn default() -> Self {
        Options { threads: 1 }
    }
}

impl Options {
    /// The same with this many threads.
    pub fn threads(self, threads: usize) -> Self {
        Options { threads }
    }
}

pub(crate) struct Inner {
    pub model: Arc<cygnet_runtime::Model>,
    pub inputs: Vec<Port>,
    pub outputs: Vec<Port>,
    pub records: Vec<Record>,
    pub labels: Vec<String>,
    pub vocabulary: Vec<String>,
}

/// A validated bundle. Immutable: clones are the same model, and any number of threads may use it.
#[derive(Clone)]
pub struct Model(pub(crate) Arc<Inner>);

impl std::fmt::Debug for Model {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Model")
            .field("inputs", &self.0.inputs)
            .field("outputs", &self.0.outputs)
            .finish_non_exhaustive()
    }
}

/// Most lines of labels and of vocabularies.
const MOST_LINES: usize = 1 << 20;

fn lines(bytes: Option<&[u8]>, what: &str) -> Result<Vec<String>, Error> {
    let bytes = bytes.unwrap_or_default();
    let text = std::str::from_utf8(bytes).map_err(|_| {
        Error::new(
            ErrorKind::Model,
            format!("the bundle's {what} is not UTF-8"),
        )
    })?;
    Ok(text.lines().take(MOST_LINES).map(str::to_owned).collect())
}

fn ports(program: &Program<'_>, list: Operands<'_>) -> Vec<Port> {
    let axis = |dim: cygnet_runtime::format::Dim| {
        let (least, most) = match (dim.as_const(), dim.as_expr()) {
            (Some(v), _) => (v as i64, v as i64),
            (None, Some(e)) => {
                let with = |pick: fn(i64, i64) -> i64| {
                    let value = |s: u32| {
                        let s = program.symbol(s);
                        pick(s.lo, s.hi)
                    };
                    program.evaluate(e, value).unwrap_or(0)
                };
                let (a, b) = (with(|lo, _| lo), with(|_, hi| hi));
                (a.min(b), a.max(b))
            }
            (None, None) => (0, 0),
        };
        let length = |v: i64| usize::try_from(v).unwrap_or(0);
        Axis {
            least: length(least),
            most: length(most),
        }
    };
    list.iter()
        .flatten()
        .map(|id| {
            let info = program.tensor(id);
            Port {
                name: info.name.to_owned(),
                dtype: info.dtype,
                axes: info.dims.iter().map(axis).collect(),
            }
        })
        .collect()
}

impl Model {
    /// Opens a bundle (`model.cygnet`) or a bare program (`program.cyg`) by memory map. The file must not change while the
    /// model lives.
    ///
    /// # Errors
    /// [`ErrorKind::Model`] when the file cannot be read or is not valid.
    pub fn open(path: impl AsRef<Path>) -> Result<Model, Error> {
        let path = path.as_ref();
        let open = cygnet_runtime::Model::open(path);
        Self::new(open.map_err(|e| {
            let e = Error::from(e);
            Error::new(e.kind(), format!("{}: {e}", path.display()))
        })?)
    }

    /// A model from bytes, which are copied.
    ///
    /// # Errors
    /// As [`Model::open`].
    pub fn from_bytes(bytes: &[u8]) -> Result<Model, Error> {
        Self::new(cygnet_runtime::Model::from_bytes(bytes)?)
    }

    fn new(model: cygnet_runtime::Model) -> Result<Model, Error> {
        let program = model.program();
        let bundle = model.bundle();
        let entry = |name: &str| bundle.and_then(|b| b.entry(name));
        let records = match entry("pipeline.cygp") {
            None => Vec::new(),
            Some(bytes) => Pipeline::parse(bytes)
                .ok_or_else(|| {
                    Error::new(
                        ErrorKind::Model,
                        "the bundle's pipeline is damaged, or of a later version of Cygnet",
                    )
                })?
                .records()
                .collect(),
        };
        let inner = Inner {
            inputs: ports(&program, program.inputs()),
            outputs: ports(&program, program.outputs()),
            records,
            labels: lines(entry("labels.txt"), "labels.txt")?,
            vocabulary: lines(entry("vocab.txt"), "vocab.txt")?,
            model: Arc::new(model),
        };
        Ok(Model(Arc::new(inner)))
    }

    /// What the model takes.
    pub fn inputs(&self) -> &[Port] {
        &self.0.inputs
    }

    /// What the model gives.
    pub fn outputs(&self) -> &[Port] {
        &self.0.outputs
    }

    /// Names of classes; empty when the bundle has none.
    pub fn labels(&self) -> &[String] {
        &self.0.labels
    }

    /// How inputs and outputs are read.
    pub fn pipeline(&self) -> &[Record] {
        &self.0.records
    }

    /// Bytes of memory that a session takes besides the model.
    pub fn arena_bytes(&self) -> u64 {
        self.0.model.program().arena_bytes()
    }

    /// A session on the calling thread alone.
    ///
    /// # Errors
    /// [`ErrorKind::Memory`].
    pub fn session(&self) -> Result<Session, Error> {
        self.session_with(Options::default())
    }

    /// A session.
    ///
    /// # Errors
    /// [`ErrorKind::Memory`].
    pub fn session_with(&self, options: Options) -> Result<Session, Error> {
        Session::new(self.clone(), options)
    }

    /// Runs the bundle's golden examples on this very machine; returns how many.
    ///
    /// # Errors
    /// [`ErrorKind::SelfTest`] when an output differs, [`ErrorKind::Pipeline`] when the bundle has no examples.
    pub fn self_test(&self) -> Result<u32, Error> {
        Ok(self.0.model.self_test(cygnet_runtime::Options::default())?)
    }
}
