//! The bundle `model.cygnet`: a manifest, the program, golden examples, labels and vocabularies in one file.
//!
//! The container is a ZIP whose entries are stored, not compressed, with their data on 64-byte boundaries: a runtime
//! maps the file and uses the program where it lies. The same input gives the same bytes.

mod array;
mod budget;
mod build;
mod manifest;
mod memory;
mod pipeline;
mod text;
mod zip_file;

pub use array::Array;
pub use budget::{Remedy, remedies_for_flash, remedies_for_ram};
pub(crate) use build::golden_inputs;
pub use build::{BuildError, BuiltBundle, BundleInput, QuantizedInput, build};
pub use manifest::{
    Entry, Golden, Length, MANIFEST_VERSION, Manifest, Memory, Postprocess, Preprocess, Provenance,
    Symbol, Tensor, Trace, dim_text,
};
pub use memory::{LiveTensor, MemoryMap, StepMemory, memory_map};
pub use pipeline::{picture_input, pipeline};
pub use text::{program_text, tensor_type};
pub use zip_file::{ALIGNMENT, BundleError, BundleReader, sha256_hex, to_bytes, write_atomically};
