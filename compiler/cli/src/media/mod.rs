//! Files become tensors, tensors become files.

pub mod npy;
pub mod picture;
pub mod sound;
