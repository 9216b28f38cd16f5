//! The Cygnet runtime: runs compiled programs in one arena that the caller hands over. No heap; with the `std` feature,
//! [`Model`] opens bundles by memory map and [`OwnedSession`] keeps its own arena.
//!
//! ```no_run
//! # #[cfg(feature = "std")] fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let model = std::sync::Arc::new(cygnet_runtime::Model::open("model.cygnet")?);
//! let mut session = cygnet_runtime::OwnedSession::new(model, Default::default())?;
//! session.input_mut(0)?.as_mut_slice::<f32>()?.fill(0.5);
//! session.run()?;
//! println!("{:?}", session.output(0)?.as_slice::<f32>()?);
//! # Ok(()) }
//! # #[cfg(not(feature = "std"))] fn main() {}
//! ```
#![no_std]

#[cfg(any(feature = "alloc", test))]
extern crate alloc;
#[cfg(any(feature = "std", test))]
extern crate std;

mod activation;
mod broadcast;
mod bundle;
mod compressed;
mod cx;
mod element;
mod error;
mod golden;
mod linear;
mod op;
mod open;
mod parallel;
mod session;
mod shape;
mod spatial;
mod tensor;

#[cfg(feature = "std")]
mod model;
#[cfg(feature = "std")]
mod pool;

pub use bundle::{Bundle, BundleError, Entry};
pub use cygnet_format as format;
pub use cygnet_format::DType;
pub use cygnet_format::program::{
    ParseError, ParseErrorKind, Place, Program, SymbolKind, TensorId,
};
pub use cygnet_kernels::Features;
pub use element::Element;
pub use error::{RunError, RunErrorKind};
pub use golden::{SelfTestError, self_test};
pub use op::{check_operators, operators, prepare};
pub use open::{OpenError, open};
pub use parallel::Parallel;
pub use session::{Config, Session, StepReport};
pub use shape::Shape;
pub use tensor::{Tensor, TensorMut, TensorType};

#[cfg(feature = "std")]
pub use model::{Cancellation, Model, Options, OwnedSession};
#[cfg(feature = "std")]
pub use pool::Pool;

pub(crate) use cx::Cx;
