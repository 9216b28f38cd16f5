//! The C interface of the Cygnet runtime: `include/cygnet.h` is written from here.
//!
//! A model borrows the caller's bytes or maps a file; a session lies over the caller's arena. The handles themselves are
//! small heap objects, or lie in memory of the caller; running allocates nothing.
//!
//! Without the feature `std` the library is for microcontrollers: no heap, no files, no threads.
#![cfg_attr(not(feature = "std"), no_std)]

#[cfg(feature = "std")]
mod heap;
mod model;
mod session;
mod status;
mod tensor;

#[cfg(feature = "std")]
pub use heap::{
    cygnet_last_error, cygnet_model_close, cygnet_model_open, cygnet_model_open_path,
    cygnet_session_close, cygnet_session_open,
};
pub use model::{
    CYGNET_MODEL_BYTES, Model, cygnet_input_count, cygnet_model_arena_bytes, cygnet_model_bytes,
    cygnet_model_init, cygnet_output_count,
};
pub use session::{
    CYGNET_SESSION_BYTES, Session, cygnet_session_bytes, cygnet_session_error, cygnet_session_init,
    cygnet_session_input, cygnet_session_output, cygnet_session_reset, cygnet_session_run,
    cygnet_session_self_test, cygnet_session_set_input_shape,
};
pub use status::{
    CYGNET_DAMAGED_EXAMPLE, CYGNET_DIFFERS, CYGNET_IO, CYGNET_MEMORY, CYGNET_NO_EXAMPLES,
    CYGNET_NULL, CYGNET_OK, CYGNET_PATH, Status, cygnet_status_text, cygnet_version,
};
pub use tensor::{
    CYGNET_BF16, CYGNET_BOOL, CYGNET_F16, CYGNET_F32, CYGNET_F64, CYGNET_I8, CYGNET_I16,
    CYGNET_I32, CYGNET_I64, CYGNET_U8, CYGNET_U16, CYGNET_U32, CYGNET_U64, Tensor,
};

/// Most dimensions of a tensor.
pub const CYGNET_MAX_RANK: usize = 8;
/// An arena starts at a multiple of so many bytes.
pub const CYGNET_ARENA_ALIGNMENT: usize = 64;
/// A model in memory starts at a multiple of so many bytes.
pub const CYGNET_MODEL_ALIGNMENT: usize = 16;
/// Models and sessions in memory of the caller start at a multiple of so many bytes.
pub const CYGNET_HANDLE_ALIGNMENT: usize = 16;

/// Nothing in the library panics on purpose; where it does, memory is broken and there is nothing to tell it to.
#[cfg(all(not(feature = "std"), target_os = "none"))]
#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    loop {}
}
