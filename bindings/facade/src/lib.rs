//! Cygnet for applications: from a bundle and a picture, a sound or a tensor to a typed answer.
//!
//! ```no_run
//! # fn main() -> Result<(), cygnet_sdk::Error> {
//! use cygnet_sdk::{Answer, Model, Order, Picture};
//! # let pixels = [0u8; 640 * 480 * 4];
//! let model = Model::open("model.cygnet")?;
//! let mut session = model.session()?;
//! let picture = Picture::packed(640, 480, &pixels, Order::Rgba)?;
//! if let Answer::Classes(classes) = session.ask_picture(&picture)? {
//!     println!("{} {:.3}", classes[0].label, classes[0].score);
//! }
//! # Ok(()) }
//! ```
//!
//! A [`Model`] is immutable, cheap to clone and shared by threads; a [`Session`] has the memory of one run, one for each
//! thread. How pictures, sounds and outputs are read is in the bundle (`cygnet compile --pipeline`).

mod answer;
pub mod decode;
mod error;
mod model;
mod picture;
mod session;
mod shared;
mod sound;

pub use answer::{Answer, Class, Detection, Mask, Text};
pub use cygnet_kernels::picture::{Matrix, Order, Pixels, Plane, Region, Turn};
pub use cygnet_runtime::format::pipeline;
pub use cygnet_runtime::{Cancellation, DType, Element};
pub use error::{Error, ErrorKind};
pub use model::{Axis, Model, Options, Port};
pub use picture::{Picture, Placement, target_size, to_tensor};
pub use session::{Session, StepTime};
pub use shared::SharedSession;
pub use sound::resample;
