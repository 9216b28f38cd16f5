//! Splitting work over threads that somebody else owns.

/// Runs tasks on several threads. The `std` feature has an implementation, [`crate::Pool`]; firmware may bring its own.
pub trait Parallel: Sync {
    /// Number of threads, the calling one counted.
    fn threads(&self) -> usize;
    /// Calls `f(0)`, …, `f(tasks - 1)`, each once, on any thread, and returns when all have returned.
    fn run(&self, tasks: usize, f: &(dyn Fn(usize) + Sync));
}

/// A pointer that tasks share; each task derives an own part from it.
pub(crate) struct SharedMut<T>(pub *mut T);

// SAFETY: whoever derives slices from the pointer keeps them disjoint.
unsafe impl<T: Send> Sync for SharedMut<T> {}

impl<T> SharedMut<T> {
    /// The pointer. A method, so that closures capture the wrapper and not its field.
    pub fn get(&self) -> *mut T {
        self.0
    }
}
