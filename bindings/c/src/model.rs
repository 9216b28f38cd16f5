//! Models: bundles or bare programs, in the caller's memory or in a file.

use crate::status::{CYGNET_MEMORY, CYGNET_NULL, Failure, Status, report};
use core::ffi::c_void;
use cygnet_runtime::{Bundle, Program, open};

pub(crate) enum Source {
    Bytes {
        program: Program<'static>,
        bundle: Option<Bundle<'static>>,
    },
    #[cfg(feature = "std")]
    File(cygnet_runtime::Model),
}

/// A validated model. It does not change: any number of threads may use it at the same time.
pub struct Model(pub(crate) Source);

impl Model {
    /// A model over the caller's bytes.
    ///
    /// # Safety
    /// `bytes` is NULL or valid for reads of `length` bytes, which neither change nor go away before the model does.
    #[inline(never)]
    pub(crate) unsafe fn over(bytes: *const u8, length: usize) -> Result<Model, Failure> {
        if bytes.is_null() {
            return Err(Failure::Plain(CYGNET_NULL));
        }
        if length > isize::MAX as usize {
            return Err(Failure::Plain(CYGNET_MEMORY));
        }
        // SAFETY: valid, unchanging and alive for as long as the model, by the contract.
        let bytes: &'static [u8] = unsafe { core::slice::from_raw_parts(bytes, length) };
        let (program, bundle) = open(bytes)?;
        Ok(Model(Source::Bytes { program, bundle }))
    }

    pub(crate) fn program(&self) -> Program<'_> {
        match &self.0 {
            Source::Bytes { program, .. } => *program,
            #[cfg(feature = "std")]
            Source::File(model) => model.program(),
        }
    }

    pub(crate) fn bundle(&self) -> Option<Bundle<'_>> {
        match &self.0 {
            Source::Bytes { bundle, .. } => *bundle,
            #[cfg(feature = "std")]
            Source::File(model) => model.bundle(),
        }
    }
}

/// Bytes that hold a model on every machine: for memory that is sized when the application is compiled.
pub const CYGNET_MODEL_BYTES: usize = 512;

const _: () = assert!(
    size_of::<Model>() <= CYGNET_MODEL_BYTES
        && align_of::<Model>() <= crate::CYGNET_HANDLE_ALIGNMENT
);

/// Writes the address of a new handle to `place`, or NULL where there is none.
///
/// # Safety
/// `place` is NULL or valid for a write.
pub(crate) unsafe fn hand_out<T>(
    place: *mut *mut T,
    make: impl FnOnce() -> Result<*mut T, Failure>,
) -> Status {
    if place.is_null() {
        return report(Err(Failure::Plain(CYGNET_NULL)));
    }
    let (handle, result) = match make() {
        Ok(handle) => (handle, Ok(())),
        Err(failure) => (core::ptr::null_mut(), Err(failure)),
    };
    // SAFETY: not NULL, so valid by the contract.
    unsafe { place.write(handle) };
    report(result)
}

/// Puts a new handle into the caller's memory and its address to `place`.
///
/// # Safety
/// `memory` is NULL or valid for writes of `memory_bytes` bytes. `place` is NULL or valid for a write.
pub(crate) unsafe fn put<T>(
    memory: *mut c_void,
    memory_bytes: usize,
    place: *mut *mut T,
    make: impl FnOnce() -> Result<T, Failure>,
) -> Status {
    let put = || {
        if memory.is_null() {
            return Err(Failure::Plain(CYGNET_NULL));
        }
        let aligned = memory.addr().is_multiple_of(crate::CYGNET_HANDLE_ALIGNMENT);
        if memory_bytes < size_of::<T>() || !aligned {
            return Err(Failure::Plain(CYGNET_MEMORY));
        }
        let handle = memory.cast::<T>();
        // SAFETY: large enough, aligned, and valid by the contract.
        unsafe { handle.write(make()?) };
        Ok(handle)
    };
    // SAFETY: the same contract.
    unsafe { hand_out(place, put) }
}

/// Bytes of a model on this machine, at most `CYGNET_MODEL_BYTES`.
#[unsafe(no_mangle)]
pub extern "C" fn cygnet_model_bytes() -> usize {
    size_of::<Model>()
}

/// Makes a model in the caller's `memory`, `cygnet_model_bytes` or more at a multiple of `CYGNET_HANDLE_ALIGNMENT`, of a
/// bundle or a bare program, which is validated and not copied: it may lie in flash, at a multiple of
/// `CYGNET_MODEL_ALIGNMENT`. Nothing is allocated, and nothing is to be closed: the model ends with its memory. On failure
/// `*model` is NULL.
///
/// # Safety
/// `memory` is NULL or valid for writes of `memory_bytes` bytes, which nothing else touches while the model is used.
/// `bytes` is NULL or valid for reads of `length` bytes, which neither change nor go away while the model is used.
/// `model` is NULL or valid for a write.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cygnet_model_init(
    memory: *mut c_void,
    memory_bytes: usize,
    bytes: *const u8,
    length: usize,
    model: *mut *mut Model,
) -> Status {
    // SAFETY: the same contract.
    unsafe { put(memory, memory_bytes, model, || Model::over(bytes, length)) }
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
