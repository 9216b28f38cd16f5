//! Persistent worker threads for large steps.
//!
//! A step is a short fork and join, thousands a second, that must not allocate: workers wait on one generation
//! counter, spin briefly for the next step, then sleep. Work-stealing pools queue jobs on the heap when entered from
//! outside, which `run` may not do.

use crate::parallel::Parallel;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{Builder, JoinHandle};

type Task = &'static (dyn Fn(usize) + Sync);

/// Spins before a worker sleeps: about as long as the gap between two steps.
const SPINS: u32 = 2000;

#[derive(Default)]
struct State {
    job: Option<(Task, usize)>,
    inside: usize,
    stop: bool,
}

#[derive(Default)]
struct Shared {
    state: Mutex<State>,
    /// Counts jobs; workers watch it.
    generation: AtomicU64,
    next: AtomicUsize,
    work: Condvar,
    done: Condvar,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn drain(&self, task: Task, tasks: usize) {
        loop {
            let i = self.next.fetch_add(1, Ordering::Relaxed);
            if i >= tasks {
                return;
            }
            task(i);
        }
    }

    fn work(&self) {
        let mut seen = 0;
        loop {
            for _ in 0..SPINS {
                if self.generation.load(Ordering::Acquire) != seen {
                    break;
                }
                core::hint::spin_loop();
            }
            let mut state = self.lock();
            while !state.stop && self.generation.load(Ordering::Acquire) == seen {
                state = self
                    .work
                    .wait(state)
                    .unwrap_or_else(PoisonError::into_inner);
            }
            if state.stop {
                return;
            }
            seen = self.generation.load(Ordering::Acquire);
            // A worker that comes late finds no job.
            let Some((task, tasks)) = state.job else {
                continue;
            };
            state.inside += 1;
            drop(state);
            let _leave = Leave(self);
            self.drain(task, tasks);
        }
    }
}

/// Leaves the job even when a task panics.
struct Leave<'a>(&'a Shared);

impl Drop for Leave<'_> {
    fn drop(&mut self) {
        let mut state = self.0.lock();
        state.inside -= 1;
        if state.inside == 0 {
            self.0.done.notify_all();
        }
    }
}

/// Ends the job and waits for every worker to leave it, even when a task panics on the calling thread.
struct Finish<'a>(&'a Shared);

impl Drop for Finish<'_> {
    fn drop(&mut self) {
        let mut state = self.0.lock();
        state.job = None;
        while state.inside > 0 {
            state = self
                .0
                .done
                .wait(state)
                .unwrap_or_else(PoisonError::into_inner);
        }
    }
}

/// Worker threads. Sessions may share a pool: while one uses it, others run on their own thread.
pub struct Pool {
    shared: Arc<Shared>,
    busy: Mutex<()>,
    workers: Vec<JoinHandle<()>>,
}

impl core::fmt::Debug for Pool {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Pool")
            .field("threads", &(self.workers.len() + 1))
            .finish_non_exhaustive()
    }
}

impl Pool {
    /// A pool of `threads` threads, the calling one counted. Fewer when the system refuses to start them; WebAssembly
    /// without the atomics extension has the calling one alone.
    pub fn new(threads: usize) -> Pool {
        // A call to start a thread there traps, or fails to link, with some versions of the C library.
        let single = cfg!(all(target_family = "wasm", not(target_feature = "atomics")));
        let threads = if single { 1 } else { threads };
        let shared = Arc::new(Shared::default());
        let start = |i: usize| {
            let shared = shared.clone();
            Builder::new()
                .name(std::format!("cygnet-{i}"))
                .spawn(move || shared.work())
                .ok()
        };
        let workers = (1..threads.clamp(1, 256)).map_while(start).collect();
        Pool {
            shared,
            busy: Mutex::new(()),
            workers,
        }
    }
}

impl Parallel for Pool {
    fn threads(&self) -> usize {
        self.workers.len() + 1
    }

    fn run(&self, tasks: usize, f: &(dyn Fn(usize) + Sync)) {
        let busy = if tasks > 1 && !self.workers.is_empty() {
            self.busy.try_lock().ok()
        } else {
            None
        };
        if busy.is_none() {
            return (0..tasks).for_each(f);
        }
        // SAFETY: `Finish` takes the job back and waits for every worker to leave it before `f` goes out of scope.
        let task: Task = unsafe { core::mem::transmute::<&(dyn Fn(usize) + Sync), Task>(f) };
        {
            let mut state = self.shared.lock();
            self.shared.next.store(0, Ordering::Relaxed);
            state.job = Some((task, tasks));
            self.shared.generation.fetch_add(1, Ordering::Release);
        }
        let _finish = Finish(&self.shared);
        self.shared.work.notify_all();
        self.shared.drain(task, tasks);
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        self.shared.lock().stop = true;
        self.shared.work.notify_all();
        for w in self.workers.drain(..) {
            let _ = w.join();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_task_runs_once() {
        let pool = Pool::new(4);
        let counts: Vec<AtomicUsize> = (0..1000).map(|_| AtomicUsize::new(0)).collect();
        for round in 1..200 {
            let n = round * 5;
            pool.run(n, &|i| {
                counts[i].fetch_add(1, Ordering::Relaxed);
            });
        }
        for (i, c) in counts.iter().enumerate() {
            assert_eq!(c.load(Ordering::Relaxed), 199 - i / 5, "{i}");
        }
    }

    #[test]
    #[cfg_attr(target_family = "wasm", ignore = "no threads to start")]
    fn nested_and_concurrent_runs_finish() {
        let pool = Pool::new(3);
        let total = AtomicUsize::new(0);
        std::thread::scope(|s| {
            for _ in 0..3 {
                s.spawn(|| {
                    for _ in 0..50 {
                        pool.run(8, &|_| {
                            pool.run(2, &|_| {
                                total.fetch_add(1, Ordering::Relaxed);
                            })
                        });
                    }
                });
            }
        });
        assert_eq!(total.into_inner(), 3 * 50 * 16);
    }
}
