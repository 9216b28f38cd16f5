//! What can be wrong with a model.

use std::fmt;

/// One reason why a model cannot be imported.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// The node's name (or its first output, or the input's name).
    pub node: String,
    /// The operator with its domain when that is not the standard one; empty when no operator is concerned.
    pub operator: String,
    /// What is wrong.
    pub reason: String,
    /// What to do about it.
    pub remedy: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.node.is_empty(), self.operator.is_empty()) {
            (false, false) => write!(f, "{} ({}): ", self.node, self.operator)?,
            (false, true) => write!(f, "{}: ", self.node)?,
            (true, false) => write!(f, "{}: ", self.operator)?,
            (true, true) => {}
        }
        f.write_str(&self.reason)?;
        if !self.remedy.is_empty() {
            write!(f, "; {}", self.remedy)?;
        }
        Ok(())
    }
}

/// Why an import failed.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ImportError {
    /// The bytes are not a model.
    #[error("not a readable {format} model: {reason}")]
    Malformed {
        /// What they were taken for: `ONNX` or `TFLite`.
        format: &'static str,
        /// What is wrong with the bytes.
        reason: String,
    },
    /// The model was read; these are all the problems found in it.
    #[error("{}", list(.0))]
    Problems(Vec<Problem>),
}

fn list(problems: &[Problem]) -> String {
    let mut text = match problems.len() {
        1 => String::from("the model has a problem:"),
        n => format!("the model has {n} problems:"),
    };
    for problem in problems {
        text.push_str(&format!("\n  {problem}"));
    }
    text
}

/// The remedy of [`Refusal::invalid`].
pub(super) const INVALID: &str =
    "the model is not valid ONNX here: check it with onnx.checker and export it again";

/// Why a node cannot be translated.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// What is wrong.
    pub reason: String,
    /// What to do about it.
    pub remedy: String,
    /// True when the cause lies in another node, which is reported itself.
    pub(super) consequence: bool,
}

impl Refusal {
    /// The operator or this use of it is outside of what Cygnet runs.
    pub fn unsupported(reason: impl Into<String>) -> Refusal {
        Refusal {
            reason: reason.into(),
            remedy: "rewrite this part of the model, or leave it to the application".into(),
            consequence: false,
        }
    }

    /// The operator needs input `input` to be known at compile time.
    pub fn needs_constant(input: impl fmt::Display) -> Refusal {
        Refusal {
            reason: format!("its input '{input}' must be known at compile time"),
            remedy: format!(
                "make '{input}' an initialiser, or freeze the model input that it depends on to a constant"
            ),
            consequence: false,
        }
    }

    /// The model breaks the rules of its format.
    pub fn invalid(reason: impl Into<String>) -> Refusal {
        Refusal {
            reason: reason.into(),
            remedy: INVALID.into(),
            consequence: false,
        }
    }

    /// The node depends on one that was refused.
    pub(super) fn consequence() -> Refusal {
        Refusal {
            reason: "it depends on a refused node".into(),
            remedy: String::new(),
            consequence: true,
        }
    }

    /// The same with another remedy.
    #[must_use]
    pub fn remedy(mut self, remedy: impl Into<String>) -> Refusal {
        self.remedy = remedy.into();
        self
    }
}
