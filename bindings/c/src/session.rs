//! Sessions over the caller's arena.

use crate::model::{Model, put};
use crate::status::{CYGNET_NO_EXAMPLES, CYGNET_NULL, Failure, Status, report, write_text};
use crate::tensor::Tensor;
use core::ffi::{c_char, c_void};
use cygnet_runtime::format::program::Operands;
use cygnet_runtime::{Config, Program, RunErrorKind, self_test};

/// A model with an arena to run in. One thread at a time may use it, and no interrupt while a call runs; sessions of one
/// model may run at the same time.
pub struct Session {
    session: cygnet_runtime::Session<'static>,
    model: &'static Model,
    last: Option<Failure>,
}

impl Session {
    /// A session of a model over the caller's arena.
    ///
    /// # Safety
    /// `model` is NULL or a model that outlives the session. `arena` is NULL or valid for reads and writes of `arena_bytes`
    /// bytes, which nothing else touches while the session lives.
    #[inline(never)]
    pub(crate) unsafe fn over(
        model: *const Model,
        arena: *mut u8,
        arena_bytes: usize,
    ) -> Result<Session, Failure> {
        // SAFETY: NULL or a model that outlives the session, by the contract.
        let model: Option<&'static Model> = unsafe { model.as_ref() };
        let (Some(model), false) = (model, arena.is_null()) else {
            return Err(Failure::Plain(CYGNET_NULL));
        };
        let program: Program<'static> = model.program();
        let used = usize::try_from(program.arena_bytes()).unwrap_or(usize::MAX);
        if arena_bytes < used || used > isize::MAX as usize {
            return Err(Failure::Run(RunErrorKind::ArenaSize.into()));
        }
        // The caller's memory may never have been written, which Rust does not read.
        // SAFETY: `used` bytes are valid for writes, by the contract.
        unsafe { arena.write_bytes(0, used) };
        // SAFETY: valid, exclusive and alive for as long as the session, by the contract; written above.
        let arena = unsafe { core::slice::from_raw_parts_mut(arena, used) };
        let session = cygnet_runtime::Session::new(&program, arena, Config::default())?;
        Ok(Session {
            session,
            model,
            last: None,
        })
    }
}

/// Bytes that hold a session on every machine, its arena not counted: for memory that is sized when the application is
/// compiled.
pub const CYGNET_SESSION_BYTES: usize = 512;

const _: () = assert!(
    size_of::<Session>() <= CYGNET_SESSION_BYTES
        && align_of::<Session>() <= crate::CYGNET_HANDLE_ALIGNMENT
);

/// Bytes of a session on this machine, at most `CYGNET_SESSION_BYTES`; its arena is not part of it.
#[unsafe(no_mangle)]
pub extern "C" fn cygnet_session_bytes() -> usize {
    size_of::<Session>()
}

/// Makes a session in the caller's `memory`, `cygnet_session_bytes` or more at a multiple of `CYGNET_HANDLE_ALIGNMENT`, over
/// the caller's arena: `cygnet_model_arena_bytes` bytes or more, at a multiple of `CYGNET_ARENA_ALIGNMENT`. Nothing is
/// allocated, and nothing is to be closed: the session ends with its memory. On failure `*session` is NULL.
///
/// # Safety
/// `memory` is NULL or valid for writes of `memory_bytes` bytes. `model` is NULL or a model that is used for as long as the
/// session. `arena` is NULL or valid for reads and writes of `arena_bytes` bytes. Nothing else touches the memory and the
/// arena while the session is used, except through its tensors. `session` is NULL or valid for a write.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cygnet_session_init(
    memory: *mut c_void,
    memory_bytes: usize,
    model: *const Model,
    arena: *mut u8,
    arena_bytes: usize,
    session: *mut *mut Session,
) -> Status {
    let make = || {
        // SAFETY: the same contract.
        unsafe { Session::over(model, arena, arena_bytes) }
    };
    // SAFETY: the same contract.
    unsafe { put(memory, memory_bytes, session, make) }
}

/// Tells all that is known of the session's last failure, such as the step or the operator; otherwise as
/// `cygnet_status_text`. Empty when nothing has failed, and for NULL.
///
/// # Safety
/// `session` is NULL or a session that no other thread uses meanwhile. `text` is NULL or valid for writes of `capacity` bytes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cygnet_session_error(
    session: *const Session,
    text: *mut c_char,
    capacity: usize,
) -> usize {
    // SAFETY: NULL or an open session, by the contract.
    let last = unsafe { session.as_ref() }.and_then(|s| s.last);
    // SAFETY: the same contract.
    unsafe {
        write_text(text, capacity, &mut |f| match last {
            Some(failure) => write!(f, "{failure}"),
            None => Ok(()),
        })
    }
}

/// Calls `f` with a session that is not NULL, and reports how it went.
///
/// # Safety
/// `session` is NULL or an open session that nothing else uses meanwhile.
unsafe fn with(
    session: *mut Session,
    f: impl FnOnce(&mut Session) -> Result<(), Failure>,
) -> Status {
    // SAFETY: NULL or an open session, used by one thread at a time, by the contract.
    report(match unsafe { session.as_mut() } {
        Some(session) => f(session).inspect_err(|failure| session.last = Some(*failure)),
        None => Err(Failure::Plain(CYGNET_NULL)),
    })
}

impl Session {
    /// Writes a view to `place`, with the name of operand `i` of `list`.
    ///
    /// # Safety
    /// `place` is NULL or valid for a write.
    unsafe fn view(
        &mut self,
        i: usize,
        list: fn(&Program<'static>) -> Operands<'static>,
        get: impl FnOnce(
            &mut Session,
            &mut dyn FnMut(*mut u8, usize, cygnet_runtime::DType, &cygnet_runtime::Shape),
        ) -> Result<(), Failure>,
        place: *mut Tensor,
    ) -> Result<(), Failure> {
        if place.is_null() {
            return Err(Failure::Plain(CYGNET_NULL));
        }
        let program = *self.session.program();
        let id = list(&program)
            .get(i)
            .ok_or(Failure::Run(RunErrorKind::Index.into()))?;
        let info = program.tensor(id);
        get(self, &mut |data, bytes, dtype, shape| {
            // SAFETY: not NULL, so valid by the contract.
            unsafe { place.write(Tensor::new(data, bytes, dtype, shape, &info)) };
        })
    }
}

/// Shows input `i` in its actual shape, to fill before each run: a run may overwrite its inputs.
///
/// # Safety
/// `session` is NULL or an open session. `tensor` is NULL or valid for a write.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cygnet_session_input(
    session: *mut Session,
    i: usize,
    tensor: *mut Tensor,
) -> Status {
    let f = |s: &mut Session| {
        let get = |s: &mut Session, put: &mut dyn FnMut(*mut u8, usize, _, &_)| {
            let t = s.session.input_mut(i)?;
            put(t.bytes.as_mut_ptr(), t.bytes.len(), t.dtype, &t.shape);
            Ok(())
        };
        // SAFETY: the same contract.
        unsafe { s.view(i, |p| p.inputs(), get, tensor) }
    };
    // SAFETY: the same contract.
    unsafe { with(session, f) }
}

/// Shows output `i` after a run. It stands until the next run or reset.
///
/// # Safety
/// As `cygnet_session_input`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cygnet_session_output(
    session: *mut Session,
    i: usize,
    tensor: *mut Tensor,
) -> Status {
    let f = |s: &mut Session| {
        let get = |s: &mut Session, put: &mut dyn FnMut(*mut u8, usize, _, &_)| {
            let t = s.session.output(i)?;
            put(
                t.bytes.as_ptr().cast_mut(),
                t.bytes.len(),
                t.dtype,
                &t.shape,
            );
            Ok(())
        };
        // SAFETY: the same contract.
        unsafe { s.view(i, |p| p.outputs(), get, tensor) }
    };
    // SAFETY: the same contract.
    unsafe { with(session, f) }
}

/// Gives input `i` its actual shape, where the model leaves dimensions open. Tensors shown before may have moved.
///
/// # Safety
/// `session` is NULL or an open session. `dims` is NULL (then `rank` must be 0) or valid for reads of `rank` elements.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cygnet_session_set_input_shape(
    session: *mut Session,
    i: usize,
    dims: *const usize,
    rank: usize,
) -> Status {
    let f = |s: &mut Session| {
        if rank > crate::CYGNET_MAX_RANK {
            return Err(Failure::Run(RunErrorKind::Rank.into()));
        }
        let dims = match (rank, dims.is_null()) {
            (0, _) => &[][..],
            (_, true) => return Err(Failure::Plain(CYGNET_NULL)),
            // SAFETY: not NULL and of a small rank, so valid by the contract.
            _ => unsafe { core::slice::from_raw_parts(dims, rank) },
        };
        Ok(s.session.set_input_shape(i, dims)?)
    };
    // SAFETY: the same contract.
    unsafe { with(session, f) }
}

/// Runs the model once on the inputs as they stand, then moves its states on. After a failure outputs and states are
/// undefined: reset.
///
/// # Safety
/// `session` is NULL or an open session.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cygnet_session_run(session: *mut Session) -> Status {
    // SAFETY: the same contract.
    unsafe { with(session, |s| Ok(s.session.run()?)) }
}

/// Sets every state to its initial value.
///
/// # Safety
/// `session` is NULL or an open session.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cygnet_session_reset(session: *mut Session) -> Status {
    let f = |s: &mut Session| {
        s.session.reset_state();
        Ok(())
    };
    // SAFETY: the same contract.
    unsafe { with(session, f) }
}

/// Runs the bundle's golden examples on this very machine and compares the outputs; writes how many ran to `examples`
/// when it is not NULL. States are as the last example left them: reset them before other use.
///
/// # Safety
/// `session` is NULL or an open session. `examples` is NULL or valid for a write.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cygnet_session_self_test(
    session: *mut Session,
    examples: *mut u32,
) -> Status {
    let f = |s: &mut Session| {
        let bundle = s.model.bundle().ok_or(Failure::Plain(CYGNET_NO_EXAMPLES))?;
        let count = self_test(&bundle, &mut s.session)?;
        if !examples.is_null() {
            // SAFETY: not NULL, so valid by the contract.
            unsafe { examples.write(count) };
        }
        Ok(())
    };
    // SAFETY: the same contract.
    unsafe { with(session, f) }
}
