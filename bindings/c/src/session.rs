//! Sessions over the caller's arena.

use crate::model::{Model, hand_out};
use crate::status::{CYGNET_NO_EXAMPLES, CYGNET_NULL, Failure, Status, report};
use crate::tensor::Tensor;
use cygnet_runtime::format::program::Operands;
use cygnet_runtime::{Config, Program, RunErrorKind, self_test};

/// A model with an arena to run in. One thread at a time may use it.
pub struct Session {
    session: cygnet_runtime::Session<'static>,
    model: &'static Model,
}

/// Opens a session of a model in the caller's arena: `cygnet_model_arena_bytes` bytes or more, at a multiple of
/// `CYGNET_ARENA_ALIGNMENT`. Nothing else is allocated but the small handle. On failure `*session` is NULL.
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
    let make = || {
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
        Ok(Session { session, model })
    };
    // SAFETY: the same contract.
    unsafe { hand_out(session, make) }
}

/// Closes a session; the arena is the caller's again. NULL is fine.
///
/// # Safety
/// `session` is NULL or came from an open that succeeded and was not closed yet.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cygnet_session_close(session: *mut Session) {
    if !session.is_null() {
        // SAFETY: made by `hand_out`, closed once, by the contract.
        drop(unsafe { Box::from_raw(session) });
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
        Some(session) => f(session),
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
