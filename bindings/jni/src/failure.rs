//! Errors and panics become exceptions.

use cygnet_sdk::{Error, ErrorKind};
use jni::Env;
use jni::errors::ErrorPolicy;
use jni::strings::{JNIStr, JNIString};
use std::any::Any;

/// Why a call failed.
#[derive(Debug)]
pub enum Failure {
    /// The SDK says so.
    Sdk(Error),
    /// Java says so; usually an exception is on its way.
    Java(jni::errors::Error),
}

impl From<Error> for Failure {
    fn from(e: Error) -> Self {
        Failure::Sdk(e)
    }
}

impl From<jni::errors::Error> for Failure {
    fn from(e: jni::errors::Error) -> Self {
        Failure::Java(e)
    }
}

/// What was given does not fit.
pub fn input(text: impl Into<String>) -> Failure {
    Failure::Sdk(Error::new(ErrorKind::Input, text))
}

fn class(kind: ErrorKind) -> &'static JNIStr {
    match kind {
        ErrorKind::Model => jni::jni_str!("dev/cygnet/ModelException"),
        ErrorKind::Input => jni::jni_str!("dev/cygnet/InputException"),
        ErrorKind::Pipeline => jni::jni_str!("dev/cygnet/PipelineException"),
        ErrorKind::Cancelled => jni::jni_str!("dev/cygnet/RunCancelledException"),
        ErrorKind::SelfTest => jni::jni_str!("dev/cygnet/SelfTestException"),
        ErrorKind::Busy => jni::jni_str!("dev/cygnet/SessionBusyException"),
        ErrorKind::Closed => jni::jni_str!("dev/cygnet/ClosedException"),
        ErrorKind::Memory => jni::jni_str!("dev/cygnet/OutOfMemoryException"),
        _ => jni::jni_str!("dev/cygnet/RunException"),
    }
}

fn throw(env: &mut Env<'_>, class: &JNIStr, text: &str) {
    if !env.exception_check() {
        // Throwing is reported as an error too: the exception is on its way.
        let _ = env.throw_new(class, JNIString::from(text));
    }
}

/// Throws the exception of a failure, or of a panic, and returns 0 or null, which Java never sees.
pub struct Throw;

impl<T: Default> ErrorPolicy<T, Failure> for Throw {
    type Captures<'local: 'method, 'method> = ();

    fn on_error<'local: 'method, 'method>(
        env: &mut Env<'local>,
        _: &mut (),
        failure: Failure,
    ) -> jni::errors::Result<T> {
        match failure {
            Failure::Sdk(e) => throw(env, class(e.kind()), &e.to_string()),
            Failure::Java(e) => throw(env, class(ErrorKind::Run), &e.to_string()),
        }
        Ok(T::default())
    }

    fn on_panic<'local: 'method, 'method>(
        env: &mut Env<'local>,
        _: &mut (),
        payload: Box<dyn Any + Send>,
    ) -> jni::errors::Result<T> {
        let text = payload
            .downcast_ref::<&str>()
            .map(|s| (*s).to_owned())
            .or_else(|| payload.downcast_ref::<String>().cloned());
        let text = text.unwrap_or_else(|| "no reason is known".into());
        let text = format!("a defect in Cygnet, please report it: {text}");
        throw(env, class(ErrorKind::Run), &text);
        Ok(T::default())
    }
}
