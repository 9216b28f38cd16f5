//! What an operator sees of the program, the arena and the machine while its step runs.

use crate::element::Element;
use crate::error::{RunError, RunErrorKind};
use crate::parallel::{Parallel, SharedMut};
use crate::session::{Observe, StepReport};
use crate::shape::Shape;
use crate::tensor::{Tensor, TensorMut};
use core::cell::Cell;
use core::mem::size_of;
use core::sync::atomic::{AtomicBool, Ordering};
use cygnet_format::expr::UNBOUND;
use cygnet_format::program::{StepInfo, TensorInfo};
use cygnet_format::{
    BlockId, Dim, Op, Program, program::Place, program::SymbolKind, program::TensorId,
};
use cygnet_kernels::Kernels;

/// Everything that stays the same during a run. `base` is the arena: exclusive for `'a`, 64-byte aligned, at least
/// [`Program::arena_bytes`] long; the table of symbol and expression values lies behind the planned bytes.
pub(crate) struct Env<'a> {
    pub program: Program<'a>,
    pub base: *mut u8,
    pub kernels: &'a Kernels,
    pub parallel: Option<&'a dyn Parallel>,
    pub steps_left: Cell<u64>,
    pub cancel: Option<&'a AtomicBool>,
    pub observer: Option<&'a dyn Observe>,
}

/// The table of symbol and expression values in the arena.
#[derive(Clone, Copy)]
pub(crate) struct Values<'a> {
    program: Program<'a>,
    first: *mut i64,
}

impl<'a> Values<'a> {
    /// # Safety
    /// `base` is an arena of `program` as [`Env`] describes, and stays so while the value is used.
    pub unsafe fn new(program: Program<'a>, base: *mut u8) -> Self {
        // SAFETY: the planned bytes are a multiple of 64 and inside the arena.
        let first = unsafe { base.add(program.planned_bytes() as usize) }.cast();
        Values { program, first }
    }

    fn slot(&self, i: usize) -> Option<*mut i64> {
        // SAFETY: the table has this many entries.
        (i < self.program.symbols() + self.program.exprs()).then(|| unsafe { self.first.add(i) })
    }

    pub fn symbol(&self, i: u32) -> i64 {
        // SAFETY: inside the table; no references to it exist.
        self.slot(i as usize)
            .filter(|_| (i as usize) < self.program.symbols())
            .map_or(UNBOUND, |p| unsafe { p.read() })
    }

    pub fn set_symbol(&self, i: u32, value: i64) {
        if let Some(p) = self
            .slot(i as usize)
            .filter(|_| (i as usize) < self.program.symbols())
        {
            // SAFETY: inside the table; no references to it exist.
            unsafe { p.write(value) }
        }
    }

    pub fn expr(&self, i: u32) -> i64 {
        let at = self.program.symbols().checked_add(i as usize);
        // SAFETY: inside the table; no references to it exist.
        at.and_then(|at| self.slot(at))
            .map_or(UNBOUND, |p| unsafe { p.read() })
    }

    /// Evaluates every expression anew; those over unbound symbols become unbound.
    pub fn refresh(&self) {
        for e in 0..self.program.exprs() {
            let value = self
                .program
                .evaluate(e as u32, |s| self.symbol(s))
                .unwrap_or(UNBOUND);
            if let Some(p) = self.slot(self.program.symbols() + e) {
                // SAFETY: inside the table; no references to it exist.
                unsafe { p.write(value) }
            }
        }
    }

    /// Unbinds the symbols that steps set.
    pub fn clear_runtime(&self) {
        let mut any = false;
        for s in 0..self.program.symbols() as u32 {
            if self.program.symbol(s).kind == SymbolKind::Runtime {
                self.set_symbol(s, UNBOUND);
                any = true;
            }
        }
        if any {
            self.refresh();
        }
    }

    pub fn dim_i64(&self, d: Dim) -> Result<i64, RunError> {
        match d.as_expr() {
            None => Ok(d.0 as i64),
            Some(e) => match self.expr(e) {
                UNBOUND => Err(RunErrorKind::Unbound.into()),
                v => Ok(v),
            },
        }
    }

    pub fn dim(&self, d: Dim) -> Result<usize, RunError> {
        let v = self.dim_i64(d)?;
        if (0..=i32::MAX as i64).contains(&v) {
            Ok(v as usize)
        } else {
            Err(RunErrorKind::Range.into())
        }
    }

    /// The actual shape and byte length of a tensor; never more bytes than planned for it.
    pub fn shape(&self, t: &TensorInfo<'_>) -> Result<(Shape, usize), RunError> {
        let mut shape = Shape::default();
        for d in t.dims.iter() {
            shape.push(self.dim(d)?)?;
        }
        let shape = shape.checked()?;
        let bytes = shape
            .count()
            .checked_mul(t.dtype.size())
            .ok_or(RunError::overflow())?;
        if bytes as u64 > t.bytes_bound {
            Err(RunErrorKind::Bound.into())
        } else {
            Ok((shape, bytes))
        }
    }
}

/// Where the bytes of `t` begin.
///
/// # Safety
/// `base` is an arena of `program`, as [`Env`] describes.
pub(crate) unsafe fn address(program: &Program<'_>, base: *mut u8, t: &TensorInfo<'_>) -> *mut u8 {
    match t.place {
        Place::Const(o) => program
            .constants()
            .as_ptr()
            .wrapping_add(o as usize)
            .cast_mut(),
        // SAFETY: parsing checked that the place is inside the arena.
        Place::Arena(o) | Place::State(o) => unsafe { base.add(o as usize) },
    }
}

impl<'a> Env<'a> {
    pub fn values(&self) -> Values<'a> {
        // SAFETY: `base` is the arena of the program.
        unsafe { Values::new(self.program, self.base) }
    }

    /// # Safety
    /// No exclusive view of overlapping bytes lives during `'v`.
    unsafe fn view<'v>(&self, id: TensorId) -> Result<Tensor<'v>, RunError> {
        let t = self.program.tensor(id);
        let (shape, bytes) = self.values().shape(&t)?;
        // SAFETY: inside the arena or the constants by the checks of parsing, as `bytes` is within the bound; the caller
        // vouches for aliasing.
        let bytes =
            unsafe { core::slice::from_raw_parts(address(&self.program, self.base, &t), bytes) };
        Ok(Tensor {
            dtype: t.dtype,
            shape,
            bytes,
        })
    }

    /// # Safety
    /// No other view of overlapping bytes lives during `'v`.
    unsafe fn view_mut<'v>(&self, id: TensorId) -> Result<TensorMut<'v>, RunError> {
        let t = self.program.tensor(id);
        if t.arena_offset().is_none() {
            return Err(RunErrorKind::Malformed.into());
        }
        let (shape, bytes) = self.values().shape(&t)?;
        // SAFETY: inside the arena by the checks of parsing; the caller vouches for aliasing.
        let bytes = unsafe {
            core::slice::from_raw_parts_mut(address(&self.program, self.base, &t), bytes)
        };
        Ok(TensorMut {
            dtype: t.dtype,
            shape,
            bytes,
        })
    }

    /// Gives dimension `axis` of a tensor its value when it is a run-time symbol; otherwise the value must agree.
    fn bind(&self, id: TensorId, axis: usize, value: usize) -> Result<(), RunError> {
        let program = &self.program;
        let values = self.values();
        let dim = program
            .tensor(id)
            .dims
            .get(axis)
            .ok_or(RunErrorKind::Rank)?;
        let symbol = dim.as_expr().and_then(|e| program.expr_symbol(e));
        let Some((symbol, info)) = symbol
            .map(|s| (s, program.symbol(s)))
            .filter(|(_, s)| s.kind == SymbolKind::Runtime)
        else {
            return if values.dim(dim)? == value {
                Ok(())
            } else {
                Err(RunErrorKind::Mismatch.into())
            };
        };
        let value = i64::try_from(value).map_err(|_| RunErrorKind::Range)?;
        if !(info.lo..=info.hi).contains(&value) {
            return Err(RunErrorKind::Range.into());
        }
        if values.symbol(symbol) != value {
            values.set_symbol(symbol, value);
            values.refresh();
        }
        Ok(())
    }

    pub fn run_block(&self, id: BlockId) -> Result<(), RunError> {
        self.count_step()?;
        let block = self.program.block(id);
        for s in block.first_step..block.first_step.saturating_add(block.steps) {
            self.run_step(s).map_err(|e| e.at(s))?;
        }
        Ok(())
    }

    /// Counts steps and runs of bodies, which may have no steps, against the limit, and ends a cancelled run.
    fn count_step(&self) -> Result<(), RunError> {
        let left = self
            .steps_left
            .get()
            .checked_sub(1)
            .ok_or(RunErrorKind::StepLimit)?;
        self.steps_left.set(left);
        match self.cancel {
            Some(cancel) if cancel.load(Ordering::Relaxed) => Err(RunErrorKind::Cancelled.into()),
            _ => Ok(()),
        }
    }

    fn run_step(&self, index: u32) -> Result<(), RunError> {
        self.count_step()?;
        let step = self.program.step(index).ok_or(RunErrorKind::Malformed)?;
        let op: Op = step.op().ok_or(RunErrorKind::Malformed)?;
        let mut cx = Cx {
            env: self,
            step,
            taken: 0,
            viewed: Cell::new(false),
        };
        match &self.observer {
            None => crate::op::dispatch(&op, &mut cx),
            Some(observer) => self.run_observed(index, &op, cx, *observer),
        }
    }

    #[inline(never)]
    fn run_observed(
        &self,
        index: u32,
        op: &Op,
        mut cx: Cx<'_>,
        observer: &dyn Observe,
    ) -> Result<(), RunError> {
        #[cfg(feature = "std")]
        let start = std::time::Instant::now();
        crate::op::dispatch(op, &mut cx)?;
        #[cfg(feature = "std")]
        let nanos = start.elapsed().as_nanos() as u64;
        #[cfg(not(feature = "std"))]
        let nanos = 0;
        let empty = Tensor {
            dtype: cygnet_format::DType::U8,
            shape: Shape::default(),
            bytes: &[],
        };
        let mut outputs = [empty; StepReport::MAX_OUTPUTS];
        let mut count = 0;
        for id in cx.step.outputs.iter().flatten().take(outputs.len()) {
            // SAFETY: the operator has returned; its views are gone.
            outputs[count] = unsafe { self.view(id)? };
            count += 1;
        }
        let report = StepReport {
            index,
            code: cx.step.code,
            name: cx.step.name,
            nanos,
        };
        observer.observe(&report, &outputs[..count]);
        Ok(())
    }
}

/// What runs on each part of a slice: its index and its elements.
type ChunkFn<'f, T> = dyn Fn(usize, &mut [T]) -> Result<(), RunError> + Sync + 'f;

/// As [`ChunkFn`], with a part of a second slice.
type PairFn<'f, T, U> = dyn Fn(usize, &mut [T], &mut [U]) -> Result<(), RunError> + Sync + 'f;

/// The context of one step.
pub(crate) struct Cx<'a> {
    env: &'a Env<'a>,
    step: StepInfo<'a>,
    /// Outputs handed out, a bit each.
    taken: u64,
    /// True once any operand was handed out; bodies may not run after that.
    viewed: Cell<bool>,
}

// An operator file uses what it needs.
#[allow(dead_code)]
impl<'a> Cx<'a> {
    /// Number of input operands, absent ones counted.
    pub fn inputs(&self) -> usize {
        self.step.inputs.len()
    }
    /// True when input `i` is present.
    pub fn has_input(&self, i: usize) -> bool {
        self.step.inputs.get(i).is_some()
    }
    /// Number of output operands, absent ones counted.
    pub fn outputs(&self) -> usize {
        self.step.outputs.len()
    }
    /// True when output `i` is present.
    pub fn has_output(&self, i: usize) -> bool {
        self.step.outputs.get(i).is_some()
    }

    /// Input `i`. An error when it is absent, or when an output lies on it (see [`Cx::in_place`]).
    pub fn input(&self, i: usize) -> Result<Tensor<'a>, RunError> {
        let id = self.step.inputs.get(i).ok_or(RunErrorKind::Index)?;
        for out in 0..self.outputs() {
            if self.in_place(out, i) {
                return Err(RunErrorKind::Alias.into());
            }
        }
        self.viewed.set(true);
        // SAFETY: outputs that overlap an input lie on it exactly (checked by parsing), and such an input is refused above.
        unsafe { self.env.view(id) }
    }

    /// Input `i` when present.
    pub fn opt_input(&self, i: usize) -> Result<Option<Tensor<'a>>, RunError> {
        if self.has_input(i) {
            self.input(i).map(Some)
        } else {
            Ok(None)
        }
    }

    /// Element type and actual shape of input `i`, whether or not an output lies on it.
    pub fn input_type(&self, i: usize) -> Result<(cygnet_format::DType, Shape), RunError> {
        let t = self
            .env
            .program
            .tensor(self.step.inputs.get(i).ok_or(RunErrorKind::Index)?);
        Ok((t.dtype, self.env.values().shape(&t)?.0))
    }

    /// Element type and actual shape of output `i`.
    pub fn output_type(&self, i: usize) -> Result<(cygnet_format::DType, Shape), RunError> {
        let t = self
            .env
            .program
            .tensor(self.step.outputs.get(i).ok_or(RunErrorKind::Index)?);
        Ok((t.dtype, self.env.values().shape(&t)?.0))
    }

    /// Output `i`; each can be taken once. An error when it is absent.
    pub fn output(&mut self, i: usize) -> Result<TensorMut<'a>, RunError> {
        let id = self.step.outputs.get(i).ok_or(RunErrorKind::Index)?;
        let bit = 1u64.checked_shl(i as u32).ok_or(RunErrorKind::Index)?;
        if self.taken & bit != 0 {
            return Err(RunErrorKind::Alias.into());
        }
        self.taken |= bit;
        self.viewed.set(true);
        // SAFETY: outputs are disjoint from each other and from the inputs that `input` hands out (checked by parsing);
        // this one is taken for the first time.
        unsafe { self.env.view_mut(id) }
    }

    /// Output `i` when present.
    pub fn opt_output(&mut self, i: usize) -> Result<Option<TensorMut<'a>>, RunError> {
        if self.has_output(i) {
            self.output(i).map(Some)
        } else {
            Ok(None)
        }
    }

    /// True when output `out` lies on input `input`: then only [`Cx::output`] may be used, and it holds the input's
    /// bytes. The operator checks that the shapes agree.
    pub fn in_place(&self, out: usize, input: usize) -> bool {
        let (Some(y), Some(x)) = (self.step.outputs.get(out), self.step.inputs.get(input)) else {
            return false;
        };
        let (y, x) = (self.env.program.tensor(y), self.env.program.tensor(x));
        // Empty tensors lie on nothing, wherever they are placed.
        y.arena_offset() == x.arena_offset()
            && y.arena_offset().is_some()
            && y.bytes_bound > 0
            && x.bytes_bound > 0
    }

    /// The first input on which output `out` lies.
    pub fn in_place_input(&self, out: usize) -> Option<usize> {
        (0..self.inputs()).find(|&i| self.in_place(out, i))
    }

    /// Gives a data-dependent dimension its value, before the output is taken. A dimension whose value is known must
    /// agree.
    pub fn set_dim(&mut self, out: usize, axis: usize, value: usize) -> Result<(), RunError> {
        let id = self.step.outputs.get(out).ok_or(RunErrorKind::Index)?;
        self.env.bind(id, axis, value)
    }

    /// The most that dimension `axis` of output `out` may become by [`Cx::set_dim`].
    pub fn dim_bound(&self, out: usize, axis: usize) -> Result<usize, RunError> {
        let id = self.step.outputs.get(out).ok_or(RunErrorKind::Index)?;
        let program = &self.env.program;
        let dim = program
            .tensor(id)
            .dims
            .get(axis)
            .ok_or(RunErrorKind::Rank)?;
        match dim.as_expr().and_then(|e| program.expr_symbol(e)) {
            Some(s) if program.symbol(s).kind == SymbolKind::Runtime => {
                usize::try_from(program.symbol(s).hi).map_err(|_| RunErrorKind::Range.into())
            }
            _ => self.dim(dim),
        }
    }

    /// Actual value of a dimension in attributes; an error when it is unbound or negative.
    pub fn dim(&self, d: Dim) -> Result<usize, RunError> {
        self.env.values().dim(d)
    }

    /// Actual value of a dimension expression, which may be negative.
    pub fn dim_i64(&self, d: Dim) -> Result<i64, RunError> {
        self.env.values().dim_i64(d)
    }

    /// The kernels of this session.
    pub fn kernels(&self) -> &'a Kernels {
        self.env.kernels
    }

    /// Threads that [`Cx::parallel`] uses.
    pub fn threads(&self) -> usize {
        self.env.parallel.map_or(1, |p| p.threads().max(1))
    }

    /// Calls `f(0)`, …, `f(tasks - 1)`, on several threads where the session has them.
    pub fn parallel(&self, tasks: usize, f: &(dyn Fn(usize) + Sync)) {
        match self.env.parallel {
            Some(pool) if tasks > 1 && pool.threads() > 1 => pool.run(tasks, f),
            _ => (0..tasks).for_each(f),
        }
    }

    /// Splits `data` into parts of `chunk` elements (the last may be shorter) and calls `f(index, part)` for each, on
    /// several threads where the session has them. The first error is returned.
    pub fn parallel_chunks<T: Send>(
        &self,
        data: &mut [T],
        chunk: usize,
        f: &ChunkFn<'_, T>,
    ) -> Result<(), RunError> {
        let (len, chunk) = (data.len(), chunk.max(1));
        let tasks = len.div_ceil(chunk);
        if tasks <= 1 || self.threads() == 1 {
            return data
                .chunks_mut(chunk)
                .enumerate()
                .try_for_each(|(i, part)| f(i, part));
        }
        let base = SharedMut(data.as_mut_ptr());
        let failed = FirstError::default();
        self.parallel(tasks, &|i| {
            let first = i * chunk;
            if first >= len {
                return;
            }
            // SAFETY: parts of different indices are disjoint and inside `data`, which is borrowed exclusively; each
            // index is run once.
            let part = unsafe {
                core::slice::from_raw_parts_mut(base.get().add(first), chunk.min(len - first))
            };
            if let Err(e) = f(i, part) {
                failed.set(e);
            }
        });
        failed.take()
    }

    /// As [`Cx::parallel_chunks`] over two slices at a time: part `i` of `a` with part `i` of `b`, which must have as many.
    pub fn parallel_pairs<T: Send, U: Send>(
        &self,
        (a, a_chunk): (&mut [T], usize),
        (b, b_chunk): (&mut [U], usize),
        f: &PairFn<'_, T, U>,
    ) -> Result<(), RunError> {
        let (len, b_chunk) = (b.len(), b_chunk.max(1));
        let base = SharedMut(b.as_mut_ptr());
        self.parallel_chunks(a, a_chunk, &|i, part| {
            let first = i.saturating_mul(b_chunk);
            if first >= len && len > 0 {
                return Err(RunErrorKind::Shape.into());
            }
            let count = b_chunk.min(len - first.min(len));
            // SAFETY: parts of different indices are disjoint and inside `b`, which is borrowed exclusively; each index
            // is run once.
            let other =
                unsafe { core::slice::from_raw_parts_mut(base.get().add(first.min(len)), count) };
            f(i, part, other)
        })
    }

    /// Control over bodies; an error once an operand was taken.
    pub fn control(&mut self) -> Result<Control<'_, 'a>, RunError> {
        if self.viewed.get() {
            Err(RunErrorKind::Alias.into())
        } else {
            Ok(Control { cx: self })
        }
    }
}

/// An error that tasks on several threads may report; any one of them is kept.
#[derive(Default)]
struct FirstError(core::sync::atomic::AtomicU32);

impl FirstError {
    fn set(&self, e: RunError) {
        let _ = self.0.compare_exchange(
            0,
            e.kind.code() as u32,
            core::sync::atomic::Ordering::Relaxed,
            core::sync::atomic::Ordering::Relaxed,
        );
    }
    fn take(self) -> Result<(), RunError> {
        match self.0.into_inner() {
            0 => Ok(()),
            code if code == RunErrorKind::Shape.code() as u32 => Err(RunErrorKind::Shape.into()),
            code if code == RunErrorKind::Value.code() as u32 => Err(RunErrorKind::Value.into()),
            _ => Err(RunErrorKind::Kernel.into()),
        }
    }
}

/// What control-flow operators use instead of operand views: tensors by id, copies between them, and bodies.
pub(crate) struct Control<'c, 'a> {
    cx: &'c mut Cx<'a>,
}

impl<'a> Control<'_, 'a> {
    /// The step.
    pub fn step(&self) -> StepInfo<'a> {
        self.cx.step
    }
    /// The program.
    pub fn program(&self) -> Program<'a> {
        self.cx.env.program
    }
    /// Gives a data-dependent dimension its value.
    pub fn set_dim(&mut self, out: usize, axis: usize, value: usize) -> Result<(), RunError> {
        self.cx.set_dim(out, axis, value)
    }
    /// Runs the steps of a body.
    pub fn run_block(&mut self, id: BlockId) -> Result<(), RunError> {
        self.cx.env.run_block(id)
    }
    /// The tensor, to read.
    pub fn view(&self, id: TensorId) -> Result<Tensor<'_>, RunError> {
        // SAFETY: no operand view exists (`Cx::control`), and views of this type borrow `self`.
        unsafe { self.cx.env.view(id) }
    }
    /// The tensor, to write.
    pub fn view_mut(&mut self, id: TensorId) -> Result<TensorMut<'_>, RunError> {
        // SAFETY: as above, exclusively.
        unsafe { self.cx.env.view_mut(id) }
    }
    /// Actual shape of a tensor.
    pub fn shape(&self, id: TensorId) -> Result<Shape, RunError> {
        Ok(self.cx.env.values().shape(&self.program().tensor(id))?.0)
    }

    /// Actual value of dimension `axis` of a tensor.
    pub fn dim_of(&self, id: TensorId, axis: usize) -> Result<usize, RunError> {
        let dim = self
            .program()
            .tensor(id)
            .dims
            .get(axis)
            .ok_or(RunErrorKind::Rank)?;
        self.cx.env.values().dim(dim)
    }
    /// Gives a dimension of a tensor its value when it is a run-time symbol; otherwise the value must agree.
    pub fn bind(&mut self, id: TensorId, axis: usize, value: usize) -> Result<(), RunError> {
        self.cx.env.bind(id, axis, value)
    }
    /// The boolean in a tensor with one element.
    pub fn flag(&self, id: Option<TensorId>) -> Result<bool, RunError> {
        Ok(self.view(id.ok_or(RunErrorKind::Index)?)?.scalar::<u8>()? != 0)
    }
    /// The integer in a tensor with one element.
    pub fn integer(&self, id: TensorId) -> Result<i64, RunError> {
        self.view(id)?.scalar::<i64>()
    }
    /// Writes the one element of a tensor.
    pub fn put<T: Element>(&mut self, id: TensorId, value: T) -> Result<(), RunError> {
        let mut view = self.view_mut(id)?;
        view.as_mut_slice::<T>()?.fill(value);
        Ok(())
    }

    /// Copies a whole tensor, giving the target's run-time dimensions their values.
    pub fn assign(&mut self, from: TensorId, to: TensorId) -> Result<(), RunError> {
        let shape = self.shape(from)?;
        if self.program().tensor(to).dims.len() != shape.rank() {
            return Err(RunErrorKind::Rank.into());
        }
        for (axis, &d) in shape.iter().enumerate() {
            self.bind(to, axis, d)?;
        }
        self.copy(from, to)
    }

    /// Copies the bytes of `from` to byte `at` of the memory of `to`, whose shape may not be known yet.
    pub fn copy_within_bound(
        &mut self,
        from: TensorId,
        to: TensorId,
        at: usize,
    ) -> Result<(), RunError> {
        let len = self.view(from)?.bytes.len();
        let (source, info) = (self.program().tensor(from), self.program().tensor(to));
        if source.dtype != info.dtype
            || at
                .checked_add(len)
                .is_none_or(|end| end as u64 > info.bytes_bound)
        {
            return Err(RunErrorKind::Bound.into());
        }
        let target = self.target(to)?;
        // SAFETY: inside the memory reserved for `to`; `copy` allows overlap; no views exist.
        unsafe { core::ptr::copy(self.address(from), target.add(at), len) };
        Ok(())
    }

    /// Copies a whole tensor; types and shapes must agree.
    pub fn copy(&mut self, from: TensorId, to: TensorId) -> Result<(), RunError> {
        let (src, dst) = (self.view(from)?, self.shape(to)?);
        if src.shape != dst || src.dtype != self.program().tensor(to).dtype {
            return Err(RunError::shape(
                "a value does not have the type of the tensor it is copied to",
            ));
        }
        let len = src.bytes.len();
        let target = self.target(to)?;
        // SAFETY: both are inside their memory with `len` bytes; `copy` allows overlap; no views exist.
        unsafe { core::ptr::copy(self.address(from), target, len) };
        Ok(())
    }

    /// Copies `len` bytes between places inside two tensors.
    pub fn copy_part(
        &mut self,
        from: TensorId,
        from_at: usize,
        to: TensorId,
        to_at: usize,
        len: usize,
    ) -> Result<(), RunError> {
        let fits = |at: usize, whole: usize| at.checked_add(len).is_some_and(|end| end <= whole);
        if !fits(from_at, self.view(from)?.bytes.len()) || !fits(to_at, self.view(to)?.bytes.len())
        {
            return Err(RunError::shape("a part lies outside its tensor"));
        }
        let target = self.target(to)?;
        // SAFETY: checked above; `copy` allows overlap; no views exist.
        unsafe { core::ptr::copy(self.address(from).add(from_at), target.add(to_at), len) };
        Ok(())
    }

    fn address(&self, id: TensorId) -> *mut u8 {
        // SAFETY: `base` is the arena of the program.
        unsafe {
            address(
                &self.cx.env.program,
                self.cx.env.base,
                &self.cx.env.program.tensor(id),
            )
        }
    }

    fn target(&self, id: TensorId) -> Result<*mut u8, RunError> {
        if self.program().tensor(id).arena_offset().is_none() {
            return Err(RunErrorKind::Malformed.into());
        }
        Ok(self.address(id))
    }
}

const _: () = assert!(size_of::<usize>() >= 4, "16-bit targets are not supported");
