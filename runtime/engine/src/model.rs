//! Bundles from files, and sessions that own their arena.

use crate::bundle::Bundle;
use crate::error::RunError;
use crate::golden::{SelfTestError, self_test};
use crate::open::{OpenError, open};
use crate::pool::Pool;
use crate::session::{Config, Session, StepReport};
use crate::shape::Shape;
use crate::tensor::{Tensor, TensorMut};
use alloc::sync::Arc;
use core::fmt;
use core::ptr::NonNull;
use core::sync::atomic::{AtomicBool, Ordering};
use cygnet_format::Program;
use cygnet_format::program::layout::ALIGN;
use cygnet_kernels::Features;
use std::alloc::{Layout, alloc_zeroed, dealloc};
use std::fs::File;
use std::path::Path;

/// Zeroed bytes at a 64-byte boundary, inside an allocation without alignment of its own: only such a one comes as
/// fresh pages from the system, which are zero without being written.
struct Aligned {
    block: NonNull<u8>,
    layout: Layout,
    start: NonNull<u8>,
    len: usize,
}

// SAFETY: plain bytes, owned.
unsafe impl Send for Aligned {}
// SAFETY: plain bytes, changed through exclusive borrows only.
unsafe impl Sync for Aligned {}

impl Aligned {
    /// `None` when the system has not that much memory.
    fn zeroed(len: u64) -> Option<Aligned> {
        let len = usize::try_from(len).ok()?;
        let align = ALIGN as usize;
        let layout = Layout::from_size_align(len.checked_add(align)?, 1).ok()?;
        // SAFETY: the layout's size is not zero.
        let block = NonNull::new(unsafe { alloc_zeroed(layout) })?;
        let skip = block.as_ptr().addr().wrapping_neg() % align;
        // SAFETY: `skip` is below the alignment, by which the block is longer than `len`.
        let start = unsafe { block.add(skip) };
        Some(Aligned {
            block,
            layout,
            start,
            len,
        })
    }

    fn bytes(&self) -> &[u8] {
        // SAFETY: owned, initialised to zero, this long.
        unsafe { core::slice::from_raw_parts(self.start.as_ptr(), self.len) }
    }

    fn bytes_mut(&mut self) -> &mut [u8] {
        // SAFETY: as above, borrowed exclusively.
        unsafe { core::slice::from_raw_parts_mut(self.start.as_ptr(), self.len) }
    }
}

impl Drop for Aligned {
    fn drop(&mut self) {
        // SAFETY: allocated with this layout.
        unsafe { dealloc(self.block.as_ptr(), self.layout) }
    }
}

enum Source {
    #[cfg(any(unix, windows))]
    Map(memmap2::Mmap),
    Memory(Aligned),
}

impl Source {
    #[cfg(any(unix, windows))]
    fn open(file: &File) -> Result<Source, OpenError> {
        // SAFETY: the map is private and read-only; that nobody shortens or rewrites the file meanwhile is the
        // documented condition of `Model::open`.
        let map = unsafe { memmap2::Mmap::map(file) }.map_err(OpenError::Io)?;
        Ok(Source::Map(map))
    }

    /// WebAssembly has no maps.
    #[cfg(not(any(unix, windows)))]
    fn open(mut file: &File) -> Result<Source, OpenError> {
        let len = file.metadata().map_err(OpenError::Io)?.len();
        let mut bytes = Aligned::zeroed(len).ok_or(OpenError::Memory)?;
        std::io::Read::read_exact(&mut file, bytes.bytes_mut()).map_err(OpenError::Io)?;
        Ok(Source::Memory(bytes))
    }

    fn bytes(&self) -> &[u8] {
        match self {
            #[cfg(any(unix, windows))]
            Source::Map(m) => m,
            Source::Memory(a) => a.bytes(),
        }
    }
}

/// A validated bundle or bare program that owns its bytes. Immutable: share it between sessions by `Arc`.
pub struct Model {
    // Borrow from `source`, which neither moves its bytes nor changes them; declared first, dropped first.
    program: Program<'static>,
    bundle: Option<Bundle<'static>>,
    source: Source,
}

impl fmt::Debug for Model {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Model")
            .field("bytes", &self.source.bytes().len())
            .finish_non_exhaustive()
    }
}

impl Model {
    /// Opens `model.cygnet` or a bare `program.cyg` by memory map, or reads it where the system has no maps. The
    /// file must not change while the model lives.
    ///
    /// # Errors
    /// When the file cannot be read or is not valid.
    pub fn open(path: impl AsRef<Path>) -> Result<Model, OpenError> {
        let file = File::open(path).map_err(OpenError::Io)?;
        Self::new(Source::open(&file)?)
    }

    /// A model from bytes in memory, which are copied to an aligned place.
    ///
    /// # Errors
    /// When the bytes are not valid.
    pub fn from_bytes(bytes: &[u8]) -> Result<Model, OpenError> {
        let mut copy = Aligned::zeroed(bytes.len() as u64).ok_or(OpenError::Memory)?;
        copy.bytes_mut().copy_from_slice(bytes);
        Self::new(Source::Memory(copy))
    }

    fn new(source: Source) -> Result<Model, OpenError> {
        // SAFETY: the bytes live on the heap or in a map and stay in place until `source` is dropped, after the borrows;
        // no borrow leaves this type with the extended lifetime.
        let bytes: &'static [u8] = unsafe { &*core::ptr::from_ref(source.bytes()) };
        let (program, bundle) = open(bytes)?;
        Ok(Model {
            program,
            bundle,
            source,
        })
    }

    /// The program.
    pub fn program(&self) -> Program<'_> {
        self.program
    }

    /// The bundle; `None` for a bare program.
    pub fn bundle(&self) -> Option<Bundle<'_>> {
        self.bundle
    }

    /// Size of the file in bytes.
    pub fn file_bytes(&self) -> usize {
        self.source.bytes().len()
    }

    /// Runs the bundle's golden examples in a session of its own; returns how many ran.
    ///
    /// # Errors
    /// At the first example that fails; [`SelfTestError::NoExamples`] for a bare program.
    pub fn self_test(self: &Arc<Self>, options: Options) -> Result<u32, SelfTestError> {
        let bundle = self.bundle().ok_or(SelfTestError::NoExamples)?;
        let run = |error| SelfTestError::Run { example: 0, error };
        let mut session = OwnedSession::new(self.clone(), options).map_err(run)?;
        self_test(&bundle, &mut session.session)
    }
}

/// Choices of an [`OwnedSession`].
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct Options {
    /// Instruction sets that may be used.
    pub features: Features,
    /// Threads; 1 runs on the calling thread alone, 0 takes as many as the machine has.
    pub threads: usize,
    /// Most steps of one run.
    pub step_limit: u64,
}

impl Default for Options {
    fn default() -> Self {
        Options {
            features: Features::ALL,
            threads: 1,
            step_limit: u64::MAX,
        }
    }
}

impl Options {
    /// The same with this many threads.
    pub fn threads(self, threads: usize) -> Self {
        Options { threads, ..self }
    }
    /// The same with these instruction sets.
    pub fn features(self, features: Features) -> Self {
        Options { features, ..self }
    }
    /// The same with this step limit.
    pub fn step_limit(self, step_limit: u64) -> Self {
        Options { step_limit, ..self }
    }
}

/// Ends the run of a session that is under way, before its next step. When none is, nothing happens.
#[derive(Clone, Debug)]
pub struct Cancellation(Arc<AtomicBool>);

impl Cancellation {
    /// Ends the run, which fails with [`RunErrorKind::Cancelled`](crate::RunErrorKind::Cancelled).
    pub fn cancel(&self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// A session with its own arena, allocated once.
pub struct OwnedSession {
    // Borrows from the fields below, which do not move their contents; declared first, dropped first.
    session: Session<'static>,
    _arena: Aligned,
    cancel: Arc<AtomicBool>,
    pool: Option<Arc<Pool>>,
    model: Arc<Model>,
}

impl fmt::Debug for OwnedSession {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.session.fmt(f)
    }
}

impl OwnedSession {
    /// A session of `model`, with worker threads of its own where asked for.
    ///
    /// # Errors
    /// When there is not enough memory for the arena.
    pub fn new(model: Arc<Model>, options: Options) -> Result<Self, RunError> {
        let threads = match options.threads {
            0 => std::thread::available_parallelism().map_or(1, |n| n.get()),
            n => n,
        };
        let pool = (threads > 1).then(|| Arc::new(Pool::new(threads)));
        Self::with_pool(model, options, pool)
    }

    /// A session that shares worker threads with others; `options.threads` is ignored.
    ///
    /// # Errors
    /// As [`OwnedSession::new`].
    pub fn with_pool(
        model: Arc<Model>,
        options: Options,
        pool: Option<Arc<Pool>>,
    ) -> Result<Self, RunError> {
        let memory = || {
            RunError::new(
                crate::RunErrorKind::ArenaSize,
                "there is not enough memory for the arena",
            )
        };
        let mut arena = Aligned::zeroed(model.program.arena_bytes()).ok_or_else(memory)?;
        let cancel = Arc::new(AtomicBool::new(false));
        type Parts = (
            &'static mut [u8],
            Option<&'static dyn crate::Parallel>,
            &'static AtomicBool,
        );
        // SAFETY: the arena, the program, the flag and the pool live on the heap (or in a map) and outlive `session`, which
        // is dropped first; nothing else touches the arena. The extended lifetimes do not leave this type.
        let (bytes, parallel, flag): Parts = unsafe {
            let bytes = &mut *core::ptr::from_mut(arena.bytes_mut());
            (
                bytes,
                pool.as_deref()
                    .map(|p| &*core::ptr::from_ref::<Pool>(p) as _),
                &*Arc::as_ptr(&cancel),
            )
        };
        let config = Config {
            features: options.features,
            parallel,
            step_limit: options.step_limit,
            cancel: Some(flag),
        };
        let session = Session::new(&model.program, bytes, config)?;
        Ok(OwnedSession {
            session,
            _arena: arena,
            cancel,
            pool,
            model,
        })
    }

    /// The model.
    pub fn model(&self) -> &Arc<Model> {
        &self.model
    }

    /// The program.
    pub fn program(&self) -> Program<'_> {
        self.model.program
    }

    /// Threads in use.
    pub fn threads(&self) -> usize {
        self.pool.as_deref().map_or(1, crate::Parallel::threads)
    }

    /// Name of the float instruction set in use.
    pub fn isa(&self) -> &'static str {
        self.session.isa()
    }

    /// See [`Session::set_input_shape`].
    ///
    /// # Errors
    /// As there.
    pub fn set_input_shape(&mut self, i: usize, shape: &[usize]) -> Result<(), RunError> {
        self.session.set_input_shape(i, shape)
    }

    /// See [`Session::input_shape`].
    ///
    /// # Errors
    /// As there.
    pub fn input_shape(&self, i: usize) -> Result<Shape, RunError> {
        self.session.input_shape(i)
    }

    /// See [`Session::input_mut`].
    ///
    /// # Errors
    /// As there.
    pub fn input_mut(&mut self, i: usize) -> Result<TensorMut<'_>, RunError> {
        self.session.input_mut(i)
    }

    /// See [`Session::input`].
    ///
    /// # Errors
    /// As there.
    pub fn input(&self, i: usize) -> Result<Tensor<'_>, RunError> {
        self.session.input(i)
    }

    /// See [`Session::output`].
    ///
    /// # Errors
    /// As there.
    pub fn output(&self, i: usize) -> Result<Tensor<'_>, RunError> {
        self.session.output(i)
    }

    /// See [`Session::state`].
    ///
    /// # Errors
    /// As there.
    pub fn state(&self, i: usize) -> Result<Tensor<'_>, RunError> {
        self.session.state(i)
    }

    /// See [`Session::state_mut`].
    ///
    /// # Errors
    /// As there.
    pub fn state_mut(&mut self, i: usize) -> Result<TensorMut<'_>, RunError> {
        self.session.state_mut(i)
    }

    /// See [`Session::reset_state`].
    pub fn reset_state(&mut self) {
        self.session.reset_state();
    }

    /// What another thread ends a run of this session with.
    pub fn cancellation(&self) -> Cancellation {
        Cancellation(self.cancel.clone())
    }

    /// See [`Session::run`].
    ///
    /// # Errors
    /// As there.
    pub fn run(&mut self) -> Result<(), RunError> {
        self.cancel.store(false, Ordering::Relaxed);
        self.session.run()
    }

    /// See [`Session::run_observed`].
    ///
    /// # Errors
    /// As there.
    pub fn run_observed(
        &mut self,
        observe: &mut dyn FnMut(&StepReport<'_>, &[Tensor<'_>]),
    ) -> Result<(), RunError> {
        self.cancel.store(false, Ordering::Relaxed);
        self.session.run_observed(observe)
    }
}
