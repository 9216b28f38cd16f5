//! The bundle `model.cygnet`: a manifest, the program, golden examples, labels and vocabularies in one file.
//!
//! The container is a ZIP whose entries are stored, not compressed, with their data on 64-byte boundaries: a runtime
//! maps the file and uses the program where it lies. The same input gives the same bytes.

mod array;
mod manifest;
mod zip_file;

pub use array::Array;
pub use manifest::{
    Entry, Golden, Length, MANIFEST_VERSION, Manifest, Memory, Postprocess, Preprocess, Provenance,
    Symbol, Tensor, dim_text,
};
pub use zip_file::{ALIGNMENT, BundleError, BundleReader, sha256_hex, to_bytes, write_atomically};
