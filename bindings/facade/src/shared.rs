//! Sessions for languages in which nothing prevents two threads from using one, or anybody from using a closed one.

use crate::error::{Error, ErrorKind};
use crate::session::Session;
use cygnet_runtime::Cancellation;
use std::sync::{Mutex, PoisonError, TryLockError};

/// A session that answers misuse with an error: [`ErrorKind::Busy`] while another thread uses it, [`ErrorKind::Closed`] once
/// it is closed.
#[derive(Debug)]
pub struct SharedSession {
    session: Mutex<Option<Session>>,
    cancellation: Cancellation,
}

impl SharedSession {
    /// Shares a session.
    pub fn new(session: Session) -> Self {
        SharedSession {
            cancellation: session.cancellation(),
            session: Mutex::new(Some(session)),
        }
    }

    /// Uses the session.
    ///
    /// # Errors
    /// [`ErrorKind::Busy`], [`ErrorKind::Closed`], and what `f` fails with.
    pub fn with<R>(&self, f: impl FnOnce(&mut Session) -> Result<R, Error>) -> Result<R, Error> {
        let mut guard = match self.session.try_lock() {
            Ok(guard) => guard,
            Err(TryLockError::Poisoned(guard)) => guard.into_inner(),
            Err(TryLockError::WouldBlock) => {
                return Err(Error::new(
                    ErrorKind::Busy,
                    "another thread uses this session: give each thread its own",
                ));
            }
        };
        match guard.as_mut() {
            Some(session) => f(session),
            None => Err(Error::new(ErrorKind::Closed, "the session is closed")),
        }
    }

    /// Ends the run that is under way, if there is one.
    pub fn cancel(&self) {
        self.cancellation.cancel();
    }

    /// Frees the session's memory, once the run that is under way has ended; again it does nothing.
    pub fn close(&self) {
        self.session
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
    }
}
