//! What needs an operating system: handles on the heap, models from files, the last error of a thread.

use crate::model::{Model, Source, hand_out};
use crate::session::Session;
use crate::status::{CYGNET_NULL, CYGNET_PATH, Failure, Status, write_text};
use core::cell::Cell;
use core::ffi::{CStr, c_char};

thread_local! {
    static LAST: Cell<Option<Failure>> = const { Cell::new(None) };
}

/// Keeps a failure for [`cygnet_last_error`].
pub(crate) fn remember(failure: Failure) {
    LAST.set(Some(failure));
}

/// A handle on the heap.
fn boxed<T>(value: T) -> *mut T {
    Box::into_raw(Box::new(value))
}

/// Opens a bundle (`model.cygnet`) or a bare program (`program.cyg`) in memory and validates it; nothing is copied. The
/// bytes start at a multiple of `CYGNET_MODEL_ALIGNMENT`, otherwise no session opens. On failure `*model` is NULL. Not on
/// microcontrollers, which have `cygnet_model_init`.
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
    // SAFETY: the same contract.
    unsafe { hand_out(model, || Model::over(bytes, length).map(boxed)) }
}

/// Opens a bundle or a bare program from a file, by memory map where the system has it. On failure `*model` is NULL. Not on
/// microcontrollers.
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
        let file = cygnet_runtime::Model::open(path)?;
        Ok(boxed(Model(Source::File(file))))
    };
    // SAFETY: the same contract.
    unsafe { hand_out(model, make) }
}

/// Closes a model that was opened; one of `cygnet_model_init` needs no closing. NULL is fine. Not on microcontrollers.
///
/// # Safety
/// `model` is NULL or came from an open that succeeded and was not closed yet; no session of it is open.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cygnet_model_close(model: *mut Model) {
    if !model.is_null() {
        // SAFETY: made by `boxed`, closed once, by the contract.
        drop(unsafe { Box::from_raw(model) });
    }
}

/// Opens a session of a model in the caller's arena: `cygnet_model_arena_bytes` bytes or more, at a multiple of
/// `CYGNET_ARENA_ALIGNMENT`. Nothing else is allocated but the small handle. On failure `*session` is NULL. Not on
/// microcontrollers, which have `cygnet_session_init`.
///
/// # Safety
/// `model` is NULL or an open model that stays open until the session is closed. `arena` is NULL or valid for reads and
/// writes of `arena_bytes` bytes, which nothing else touches before the session is closed, except through its tensors.
/// `session` is NULL or valid for a write.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cygnet_session_open(
    model: *const Model,
    arena: *mut u8,
    arena_bytes: usize,
    session: *mut *mut Session,
) -> Status {
    // SAFETY: the same contract.
    unsafe {
        hand_out(session, || {
            Session::over(model, arena, arena_bytes).map(boxed)
        })
    }
}

/// Closes a session that was opened; the arena is the caller's again. One of `cygnet_session_init` needs no closing. NULL is
/// fine. Not on microcontrollers.
///
/// # Safety
/// `session` is NULL or came from an open that succeeded and was not closed yet.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cygnet_session_close(session: *mut Session) {
    if !session.is_null() {
        // SAFETY: made by `boxed`, closed once, by the contract.
        drop(unsafe { Box::from_raw(session) });
    }
}

/// Tells all that is known of this thread's last failure, such as the step or the operator; otherwise as
/// `cygnet_status_text`. Empty when nothing has failed. Not on microcontrollers, which have `cygnet_session_error`.
///
/// # Safety
/// `text` is NULL or valid for writes of `capacity` bytes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cygnet_last_error(text: *mut c_char, capacity: usize) -> usize {
    let last = LAST.get();
    // SAFETY: the same contract.
    unsafe {
        write_text(text, capacity, &mut |f| match last {
            Some(failure) => write!(f, "{failure}"),
            None => Ok(()),
        })
    }
}
