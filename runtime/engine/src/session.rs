//! A program with an arena: bind shapes, fill inputs, run, read outputs.

use crate::cx::{Env, Values, address};
use crate::error::{RunError, RunErrorKind};
use crate::parallel::Parallel;
use crate::shape::Shape;
use crate::tensor::{Tensor, TensorMut};
use core::cell::{Cell, RefCell};
use core::fmt;
use core::marker::PhantomData;
use core::sync::atomic::AtomicBool;
use cygnet_format::expr::UNBOUND;
use cygnet_format::program::layout::ALIGN;
use cygnet_format::program::{SymbolKind, TensorId};
use cygnet_format::{BlockId, OpCode, Program};
use cygnet_kernels::{Features, Kernels};

/// Choices of a session.
#[derive(Clone, Copy)]
pub struct Config<'a> {
    /// Instruction sets that may be used; narrowed to what the machine offers.
    pub features: Features,
    /// Threads to split large steps over; none runs on the calling thread alone.
    pub parallel: Option<&'a dyn Parallel>,
    /// Most steps of one run, those of repeated bodies counted each time.
    pub step_limit: u64,
    /// Set by another thread or an interrupt to end a run before its next step, with [`RunErrorKind::Cancelled`].
    pub cancel: Option<&'a AtomicBool>,
}

impl Default for Config<'_> {
    fn default() -> Self {
        Config {
            features: Features::ALL,
            parallel: None,
            step_limit: u64::MAX,
            cancel: None,
        }
    }
}

impl fmt::Debug for Config<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let threads = self.parallel.map_or(1, |p| p.threads());
        f.debug_struct("Config")
            .field("features", &self.features)
            .field("threads", &threads)
            .finish_non_exhaustive()
    }
}

/// What an observer learns of a step that has run.
#[derive(Clone, Copy, Debug)]
pub struct StepReport<'a> {
    /// Index in the program's step table; steps of bodies have larger indices than those of the main block.
    pub index: u32,
    /// The operator.
    pub code: OpCode,
    /// Name of the source node; may be empty.
    pub name: &'a str,
    /// Time of the step in nanoseconds; 0 without the `std` feature.
    pub nanos: u64,
}

impl StepReport<'_> {
    /// Most outputs of one step that an observer is shown (present ones, in order).
    pub const MAX_OUTPUTS: usize = 16;
}

/// Learns of each step of an observed run.
pub(crate) trait Observe {
    fn observe(&self, report: &StepReport<'_>, outputs: &[Tensor<'_>]);
}

impl<F: FnMut(&StepReport<'_>, &[Tensor<'_>]) + ?Sized> Observe for RefCell<&mut F> {
    fn observe(&self, report: &StepReport<'_>, outputs: &[Tensor<'_>]) {
        if let Ok(mut f) = self.try_borrow_mut() {
            f(report, outputs);
        }
    }
}

/// A program with its arena.
pub struct Session<'a> {
    program: Program<'a>,
    base: *mut u8,
    kernels: Kernels,
    parallel: Option<&'a dyn Parallel>,
    step_limit: u64,
    cancel: Option<&'a AtomicBool>,
    arena: PhantomData<&'a mut [u8]>,
}

// SAFETY: the arena is borrowed exclusively, the program is immutable, and `Parallel` is `Sync`.
unsafe impl Send for Session<'_> {}

impl fmt::Debug for Session<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Session")
            .field("arena_bytes", &self.program.arena_bytes())
            .finish_non_exhaustive()
    }
}

impl<'a> Session<'a> {
    /// A session of `program` in `arena`: 64-byte aligned, at least [`Program::arena_bytes`] long. States are reset;
    /// symbols whose bounds leave one value have it.
    ///
    /// # Errors
    /// When the arena is too small or not aligned, the program's constants are not aligned to 16 bytes in memory, or this
    /// build leaves out an operator of the program ([`RunErrorKind::LeftOut`]).
    pub fn new(
        program: &Program<'a>,
        arena: &'a mut [u8],
        config: Config<'a>,
    ) -> Result<Self, RunError> {
        let program = *program;
        if (arena.len() as u64) < program.arena_bytes() {
            return Err(RunErrorKind::ArenaSize.into());
        }
        if arena.as_ptr().align_offset(ALIGN as usize) != 0 {
            return Err(RunErrorKind::ArenaAlignment.into());
        }
        if !program.constants().is_empty() && program.constants().as_ptr().align_offset(16) != 0 {
            return Err(RunErrorKind::ConstantAlignment.into());
        }
        crate::op::check_operators(&program)?;
        let mut session = Session {
            program,
            base: arena.as_mut_ptr(),
            kernels: Kernels::for_features(config.features),
            parallel: config.parallel,
            step_limit: config.step_limit,
            cancel: config.cancel,
            arena: PhantomData,
        };
        let values = session.values();
        for i in 0..program.symbols() as u32 {
            let s = program.symbol(i);
            let fixed = s.kind == SymbolKind::Input && s.lo == s.hi;
            values.set_symbol(i, if fixed { s.lo } else { UNBOUND });
        }
        values.refresh();
        session.reset_state();
        Ok(session)
    }

    fn values(&self) -> Values<'_> {
        // SAFETY: `new` checked the arena.
        unsafe { Values::new(self.program, self.base) }
    }

    /// The program.
    pub fn program(&self) -> &Program<'a> {
        &self.program
    }

    /// The instruction sets in use.
    pub fn features(&self) -> Features {
        self.kernels.features()
    }

    /// Name of the float instruction set in use, such as `avx2`.
    pub fn isa(&self) -> &'static str {
        self.kernels.name()
    }

    /// Gives input `i` its actual shape, which binds the symbols of its dimensions. A symbol is bound by the first
    /// axis, over the inputs in order, that is exactly that symbol; other axes must agree with it.
    ///
    /// # Errors
    /// When the rank differs, a dimension is out of its bounds, or it differs from what other inputs bound.
    pub fn set_input_shape(&mut self, i: usize, shape: &[usize]) -> Result<(), RunError> {
        let id = self.program.inputs().get(i).ok_or(RunErrorKind::Index)?;
        let dims = self.program.tensor(id).dims;
        if dims.len() != shape.len() {
            return Err(RunErrorKind::Rank.into());
        }
        let values = self.values();
        let bound = |axis: usize, dim: cygnet_format::Dim| {
            let s = dim.as_expr().and_then(|e| self.program.expr_symbol(e))?;
            let binds = self.program.symbol(s).kind == SymbolKind::Input
                && self.binder(s) == Some((i, axis));
            binds.then_some(s)
        };
        for (axis, (dim, &size)) in dims.iter().zip(shape).enumerate() {
            let Some(info) = bound(axis, dim).map(|s| self.program.symbol(s)) else {
                continue;
            };
            if !i64::try_from(size).is_ok_and(|size| (info.lo..=info.hi).contains(&size)) {
                return Err(RunErrorKind::Range.into());
            }
        }
        let mut changed = false;
        for (axis, (dim, &size)) in dims.iter().zip(shape).enumerate() {
            let Some(s) = bound(axis, dim) else { continue };
            changed |= values.symbol(s) != size as i64;
            values.set_symbol(s, size as i64);
        }
        if changed {
            values.refresh();
        }
        for (dim, &size) in dims.iter().zip(shape) {
            if values.dim(dim)? != size {
                return Err(RunErrorKind::Mismatch.into());
            }
        }
        Ok(())
    }

    /// The input axis that binds symbol `s`.
    fn binder(&self, s: u32) -> Option<(usize, usize)> {
        for (i, id) in self.program.inputs().iter().enumerate() {
            let dims = self.program.tensor(id?).dims;
            let is_symbol = |d: cygnet_format::Dim| {
                d.as_expr().and_then(|e| self.program.expr_symbol(e)) == Some(s)
            };
            if let Some(axis) = dims.iter().position(is_symbol) {
                return Some((i, axis));
            }
        }
        None
    }

    fn view(&self, id: TensorId) -> Result<Tensor<'_>, RunError> {
        let t = self.program.tensor(id);
        let (shape, bytes) = self.values().shape(&t)?;
        // SAFETY: in the arena or the constants by the checks of parsing; exclusive views borrow `self` mutably.
        let bytes =
            unsafe { core::slice::from_raw_parts(address(&self.program, self.base, &t), bytes) };
        Ok(Tensor {
            dtype: t.dtype,
            shape,
            bytes,
        })
    }

    fn view_mut(&mut self, id: TensorId) -> Result<TensorMut<'_>, RunError> {
        let t = self.program.tensor(id);
        if t.arena_offset().is_none() {
            return Err(RunErrorKind::Malformed.into());
        }
        let (shape, bytes) = self.values().shape(&t)?;
        // SAFETY: in the arena by the checks of parsing; `self` is borrowed mutably.
        let bytes = unsafe {
            core::slice::from_raw_parts_mut(address(&self.program, self.base, &t), bytes)
        };
        Ok(TensorMut {
            dtype: t.dtype,
            shape,
            bytes,
        })
    }

    /// Input `i` in its actual shape, to fill. A run may overwrite inputs: fill all of them before each run.
    ///
    /// # Errors
    /// When there is no such input, or its shape is not set yet.
    pub fn input_mut(&mut self, i: usize) -> Result<TensorMut<'_>, RunError> {
        let id = self.program.inputs().get(i).ok_or(RunErrorKind::Index)?;
        self.view_mut(id)
    }

    /// Input `i` as it stands.
    ///
    /// # Errors
    /// As [`Session::input_mut`].
    pub fn input(&self, i: usize) -> Result<Tensor<'_>, RunError> {
        self.view(self.program.inputs().get(i).ok_or(RunErrorKind::Index)?)
    }

    /// Output `i` after a run.
    ///
    /// # Errors
    /// When there is no such output, or its shape is unknown because nothing ran.
    pub fn output(&self, i: usize) -> Result<Tensor<'_>, RunError> {
        self.view(self.program.outputs().get(i).ok_or(RunErrorKind::Index)?)
    }

    /// State `i`.
    ///
    /// # Errors
    /// When there is no such state.
    pub fn state(&self, i: usize) -> Result<Tensor<'_>, RunError> {
        self.view(self.program.state(i).ok_or(RunErrorKind::Index)?.tensor)
    }

    /// State `i`, to restore a saved one.
    ///
    /// # Errors
    /// When there is no such state.
    pub fn state_mut(&mut self, i: usize) -> Result<TensorMut<'_>, RunError> {
        let id = self.program.state(i).ok_or(RunErrorKind::Index)?.tensor;
        self.view_mut(id)
    }

    /// Sets every state to its initial value.
    pub fn reset_state(&mut self) {
        // SAFETY: the state bytes are the start of the arena; `self` is borrowed mutably.
        let bytes = unsafe {
            core::slice::from_raw_parts_mut(self.base, self.program.state_bytes() as usize)
        };
        bytes.fill(0);
        for state in (0..self.program.states()).filter_map(|i| self.program.state(i)) {
            let Some(offset) = self.program.tensor(state.tensor).arena_offset() else {
                continue;
            };
            if let Some(place) = bytes
                .get_mut(offset as usize..)
                .and_then(|b| b.get_mut(..state.init.len()))
            {
                place.copy_from_slice(state.init);
            }
        }
    }

    /// Runs the program once on the inputs as they stand, then moves the states on.
    ///
    /// # Errors
    /// When shapes or values do not fit an operator. Outputs and states are undefined then: reset the states.
    pub fn run(&mut self) -> Result<(), RunError> {
        self.run_with(None)
    }

    /// As [`Session::run`], calling `observe` after each step with its outputs and time.
    ///
    /// # Errors
    /// As [`Session::run`].
    pub fn run_observed(
        &mut self,
        observe: &mut dyn FnMut(&StepReport<'_>, &[Tensor<'_>]),
    ) -> Result<(), RunError> {
        self.run_with(Some(&RefCell::new(observe)))
    }

    fn run_with(&mut self, observer: Option<&dyn Observe>) -> Result<(), RunError> {
        let env = Env {
            program: self.program,
            base: self.base,
            kernels: &self.kernels,
            parallel: self.parallel,
            steps_left: Cell::new(self.step_limit),
            cancel: self.cancel,
            observer,
        };
        env.values().clear_runtime();
        env.run_block(BlockId(0))?;
        self.advance_states()
    }

    fn advance_states(&mut self) -> Result<(), RunError> {
        for state in (0..self.program.states()).filter_map(|i| self.program.state(i)) {
            let (to, from) = (
                self.program.tensor(state.tensor),
                self.program.tensor(state.next),
            );
            if to.arena_offset() == from.arena_offset() {
                continue;
            }
            let values = self.values();
            let ((to_shape, len), (from_shape, _)) = (values.shape(&to)?, values.shape(&from)?);
            if to_shape != from_shape {
                return Err(RunError::shape(
                    "the next value of a state has another shape than the state",
                ));
            }
            // SAFETY: both have `len` bytes inside their memory; no views exist while `self` is borrowed mutably.
            unsafe {
                let (from, to) = (
                    address(&self.program, self.base, &from),
                    address(&self.program, self.base, &to),
                );
                core::ptr::copy(from, to, len);
            }
        }
        Ok(())
    }

    /// The actual shape of input `i`, once its symbols are bound.
    ///
    /// # Errors
    /// As [`Session::input_mut`].
    pub fn input_shape(&self, i: usize) -> Result<Shape, RunError> {
        let id = self.program.inputs().get(i).ok_or(RunErrorKind::Index)?;
        Ok(self.values().shape(&self.program.tensor(id))?.0)
    }
}
