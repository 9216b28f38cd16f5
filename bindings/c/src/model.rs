//! Models: bundles or bare programs, in the caller's memory or in a file.

use crate::status::{CYGNET_NULL, CYGNET_PATH, Failure, Status, report};
use core::ffi::{CStr, c_char};
use cygnet_runtime::{Bundle, Program};

enum Source {
    Bytes {
        program: Program<'static>,
        bundle: Option<Bundle<'static>>,
    },
    File(cygnet_runtime::Model),
}

/// A validated model.
pub struct Model(Source);

impl Model {
    pub(crate) fn program(&self) -> Program<'_> {
        match &self.0 {
            Source::Bytes { program, .. } => *program,
            Source::File(model) => model.program(),
        }
    }

    pub(crate) fn bundle(&self) -> Option<Bundle<'_>> {
        match &self.0 {
            Source::Bytes { bundle, .. } => *bundle,
            Source::File(model) => model.bundle(),
        }
    }
}

/// Writes a new handle to `place`.
///
/// # Safety
/// `place` is NULL or valid for a write.
pub(crate) unsafe fn hand_out<T>(
    place: *mut *mut T,
    make: impl FnOnce() -> Result<T, Failure>,
) -> Status {
    if place.is_null() {
        return report(Err(Failure::Plain(CYGNET_NULL)));
    }
    let (handle, status) = match make() {
        Ok(value) => (Box::into_raw(Box::new(value)), report(Ok(()))),
        Err(failure) => (core::ptr::null_mut(), report(Err(failure))),
    };
    // SAFETY: not NULL, so valid by the contract.
    unsafe { place.write(handle) };
    status
}

/// Opens a bundle (`model.cygnet`) or a bare program (`program.cyg`) in memory and validates it; nothing is copied. The
/// bytes start at a multiple of `CYGNET_MODEL_ALIGNMENT`, otherwise no session opens. On failure `*model` is NULL.
///
/// # Safety
/// `bytes` is NULL or valid for reads of `length` bytes, which neither change nor go away before the model is closed.
/// `model` is NULL or valid for a write.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cygnet_model_open(
    bytes: *const u8,
    length: usize,
    model: *mut *mut Model,
) -> Status {
    let make = || {
        if bytes.is_null() {
            return Err(Failure::Plain(CYGNET_NULL));
        }
        if length > isize::MAX as usize {
            return Err(Failure::Plain(crate::CYGNET_MEMORY));
        }
        // SAFETY: valid, unchanging and alive for as long as the model, by the contract.
        let bytes: &'static [u8] = unsafe { core::slice::from_raw_parts(bytes, length) };
        let (program, bundle) = cygnet_runtime::open(bytes)?;
        Ok(Model(Source::Bytes { program, bundle }))
    };
    // SAFETY: the same contract.
    unsafe { hand_out(model, make) }
}

/// Opens a bundle or a bare program from a file, by memory map where the system has it. On failure `*model` is NULL.
///
/// # Safety
/// `path` is NULL or a string with a final NUL. `model` is NULL or valid for a write. The file does not change before
/// the model is closed.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cygnet_model_open_path(
    path: *const c_char,
    model: *mut *mut Model,
) -> Status {
    let make = || {
        if path.is_null() {
            return Err(Failure::Plain(CYGNET_NULL));
        }
        // SAFETY: not NULL, so a string by the contract.
        let path = unsafe { CStr::from_ptr(path) };
        let path = path.to_str().map_err(|_| Failure::Plain(CYGNET_PATH))?;
        Ok(Model(Source::File(cygnet_runtime::Model::open(path)?)))
    };
    // SAFETY: the same contract.
    unsafe { hand_out(model, make) }
}

/// Closes a model. NULL is fine.
///
/// # Safety
/// `model` is NULL or came from an open that succeeded and was not closed yet; no session of it is open.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cygnet_model_close(model: *mut Model) {
    if !model.is_null() {
        // SAFETY: made by `hand_out`, closed once, by the contract.
        drop(unsafe { Box::from_raw(model) });
    }
}

/// What `get` reads of a model; 0 for NULL.
///
/// # Safety
/// `model` is NULL or an open model.
unsafe fn read<T: Default>(model: *const Model, get: impl FnOnce(&Program<'_>) -> T) -> T {
    // SAFETY: NULL or an open model, by the contract.
    unsafe { model.as_ref() }.map_or_else(T::default, |m| get(&m.program()))
}

/// Bytes that an arena of this model needs; 0 for NULL, `SIZE_MAX` when that many cannot be addressed.
///
/// # Safety
/// `model` is NULL or an open model.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cygnet_model_arena_bytes(model: *const Model) -> usize {
    // SAFETY: the same contract.
    unsafe {
        read(model, |p| {
            usize::try_from(p.arena_bytes()).unwrap_or(usize::MAX)
        })
    }
}

/// Number of inputs; 0 for NULL.
///
/// # Safety
/// `model` is NULL or an open model.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cygnet_input_count(model: *const Model) -> usize {
    // SAFETY: the same contract.
    unsafe { read(model, |p| p.inputs().len()) }
}

/// Number of outputs; 0 for NULL.
///
/// # Safety
/// `model` is NULL or an open model.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cygnet_output_count(model: *const Model) -> usize {
    // SAFETY: the same contract.
    unsafe { read(model, |p| p.outputs().len()) }
}
