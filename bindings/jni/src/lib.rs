//! The native half of `dev.cygnet.Native` (see `android/`): Kotlin and Java get at models and sessions by handles.
//!
//! A handle is a number that a registry knows, so a closed one is an exception and nothing worse. A session that another
//! thread uses is an exception too. Panics become exceptions, except where the library is built to end the process at once.
//! Structures cross in one block of bytes each.

mod failure;
mod memory;
mod packed;
mod picture;
mod registry;

use cygnet_sdk::{Element, Error, ErrorKind, Model, Options, Session, SharedSession};
use failure::{Failure, Throw, input};
use jni::objects::{
    JByteArray, JByteBuffer, JClass, JFloatArray, JIntArray, JLongArray, JObject, JPrimitiveArray,
    JString, TypeArray,
};
use jni::sys::{jfloat, jint, jlong};
use jni::{Env, EnvUnowned};
use packed::Packed;
use registry::Registry;
use std::sync::Arc;

static MODELS: Registry<Model> = Registry::new();
static SESSIONS: Registry<Arc<SharedSession>> = Registry::new();

fn handle<T: Clone>(registry: &Registry<T>, value: T) -> Result<jlong, Failure> {
    let handle = registry.insert(value);
    Ok(handle.ok_or_else(|| Error::new(ErrorKind::Memory, "there are too many objects"))?)
}

fn model(handle: jlong) -> Result<Model, Failure> {
    let model = MODELS.get(handle);
    Ok(model.ok_or_else(|| Error::new(ErrorKind::Closed, "the model is closed"))?)
}

fn shared(handle: jlong) -> Result<Arc<SharedSession>, Failure> {
    let session = SESSIONS.get(handle);
    Ok(session.ok_or_else(|| Error::new(ErrorKind::Closed, "the session is closed"))?)
}

fn with<R>(
    handle: jlong,
    f: impl FnOnce(&mut Session) -> Result<R, Failure>,
) -> Result<R, Failure> {
    shared(handle)?.with(|s| Ok(f(s)))?
}

fn index(i: jint) -> Result<usize, Failure> {
    usize::try_from(i).map_err(|_| input(format!("there is no position {i}")))
}

fn bytes<'local>(env: &mut Env<'local>, packed: &[u8]) -> Result<JByteArray<'local>, Failure> {
    Ok(env.byte_array_from_slice(packed)?)
}

/// Exports native methods: the name in Java, its arguments, what it returns.
macro_rules! native {
    ($($(#[$doc:meta])* fn $name:ident($env:ident $(, $arg:ident: $t:ty)*) $(-> $r:ty)? $body:block)*) => {$(
        $(#[$doc])*
        #[unsafe(no_mangle)]
        pub extern "system" fn $name<'local>(
            mut unowned: EnvUnowned<'local>,
            _class: JClass<'local>,
            $($arg: $t,)*
        ) $(-> $r)? {
            unowned
                .with_env(|$env| -> Result<_, Failure> { $body })
                .resolve::<Throw>()
        }
    )*};
}

/// Fills an input from an array: one copy, out of Java's heap into the session's memory.
fn set_array<T: Element + TypeArray>(
    env: &mut Env<'_>,
    session: jlong,
    i: jint,
    array: &JPrimitiveArray<'_, T>,
) -> Result<(), Failure> {
    let i = index(i)?;
    let length = array.len(env)?;
    with(session, |s| {
        Ok(array.get_region(env, 0, s.input_mut::<T>(i, length)?)?)
    })
}

native! {
    /// Opens a bundle by path.
    fn Java_dev_cygnet_Native_openPath(env, path: JString<'local>) -> jlong {
        let path = path.try_to_string(env)?;
        handle(&MODELS, Model::open(path)?)
    }

    /// Opens a bundle in an array.
    fn Java_dev_cygnet_Native_openBytes(env, array: JByteArray<'local>) -> jlong {
        let copy = env.convert_byte_array(&array)?;
        handle(&MODELS, Model::from_bytes(&copy)?)
    }

    /// Opens a bundle in a direct buffer, which is copied.
    fn Java_dev_cygnet_Native_openBuffer(env, buffer: JByteBuffer<'local>, first: jint, length: jint) -> jlong {
        // SAFETY: the buffer is an argument.
        let bytes = unsafe { memory::direct(env, &buffer, first, length)? };
        handle(&MODELS, Model::from_bytes(bytes)?)
    }

    /// What a model is.
    fn Java_dev_cygnet_Native_describe(env, of: jlong) -> JByteArray<'local> {
        bytes(env, &Packed::model(&model(of)?).0)
    }

    /// Runs a model's golden examples.
    fn Java_dev_cygnet_Native_selfTest(_env, of: jlong) -> jint {
        Ok(model(of)?.self_test()? as jint)
    }

    /// Frees a model once its sessions are closed; again it does nothing.
    fn Java_dev_cygnet_Native_closeModel(_env, of: jlong) {
        drop(MODELS.remove(of));
        Ok(())
    }

    /// Opens a session.
    fn Java_dev_cygnet_Native_openSession(_env, of: jlong, threads: jint) -> jlong {
        let threads = usize::try_from(threads)
            .map_err(|_| input(format!("{threads} threads are fewer than 0")))?;
        let session = model(of)?.session_with(Options::default().threads(threads))?;
        handle(&SESSIONS, Arc::new(SharedSession::new(session)))
    }

    /// Ends a run that is under way and frees the session; again it does nothing.
    fn Java_dev_cygnet_Native_closeSession(_env, session: jlong) {
        if let Some(session) = SESSIONS.remove(session) {
            session.cancel();
            session.close();
        }
        Ok(())
    }

    /// Ends a run that is under way.
    fn Java_dev_cygnet_Native_cancel(_env, session: jlong) {
        if let Some(session) = SESSIONS.get(session) {
            session.cancel();
        }
        Ok(())
    }

    /// Sets states to their initial values.
    fn Java_dev_cygnet_Native_reset(_env, session: jlong) {
        with(session, |s| {
            s.reset();
            Ok(())
        })
    }

    /// Runs once on zeros.
    fn Java_dev_cygnet_Native_warmUp(_env, session: jlong) {
        with(session, |s| Ok(s.warm_up()?))
    }

    /// Gives an input its shape.
    fn Java_dev_cygnet_Native_setShape(env, session: jlong, i: jint, shape: JIntArray<'local>) {
        let mut axes = vec![0; shape.len(env)?];
        shape.get_region(env, 0, &mut axes)?;
        let axes: Vec<usize> = axes.into_iter().map(index).collect::<Result<_, _>>()?;
        with(session, |s| Ok(s.set_shape(index(i)?, &axes)?))
    }

    /// Fills an input of 32-bit floats.
    fn Java_dev_cygnet_Native_setFloats(env, session: jlong, i: jint, array: JFloatArray<'local>) {
        set_array::<f32>(env, session, i, &array)
    }

    /// Fills an input of 32-bit integers.
    fn Java_dev_cygnet_Native_setInts(env, session: jlong, i: jint, array: JIntArray<'local>) {
        set_array::<i32>(env, session, i, &array)
    }

    /// Fills an input of 64-bit integers.
    fn Java_dev_cygnet_Native_setLongs(env, session: jlong, i: jint, array: JLongArray<'local>) {
        set_array::<i64>(env, session, i, &array)
    }

    /// Fills an input with the bytes of its elements.
    fn Java_dev_cygnet_Native_setBytes(env, session: jlong, i: jint, array: JByteArray<'local>, first: jint, length: jint) {
        let part = memory::range(first, length, array.len(env)?)?;
        with(session, |s| memory::copy(env, &array, first, s.bytes_mut(index(i)?, part.len())?))
    }

    /// Fills an input with the bytes of its elements, from a direct buffer.
    fn Java_dev_cygnet_Native_setBuffer(env, session: jlong, i: jint, buffer: JByteBuffer<'local>, first: jint, length: jint) {
        // SAFETY: the buffer is an argument.
        let bytes = unsafe { memory::direct(env, &buffer, first, length)? };
        with(session, |s| Ok(s.set_bytes(index(i)?, bytes)?))
    }

    /// Runs.
    fn Java_dev_cygnet_Native_run(_env, session: jlong) {
        with(session, |s| Ok(s.run()?))
    }

    /// Fills the first input from a direct buffer, runs, writes the first output to another.
    fn Java_dev_cygnet_Native_call(env, session: jlong, from: JByteBuffer<'local>, first: jint, length: jint, to: JByteBuffer<'local>, at: jint, room: jint) -> jint {
        // SAFETY: the buffer is an argument.
        let bytes = unsafe { memory::direct(env, &from, first, length)? };
        with(session, |s| {
            s.set_bytes(0, bytes)?;
            s.run()?;
            let output = s.output_bytes(0)?;
            memory::write(env, &to, at, room, output)?;
            Ok(output.len() as jint)
        })
    }

    /// Runs and tells the time of each step.
    fn Java_dev_cygnet_Native_profile(env, session: jlong) -> JByteArray<'local> {
        let times = with(session, |s| Ok(s.run_profiled()?))?;
        bytes(env, &Packed::times(&times).0)
    }

    /// An output of 32-bit floats.
    fn Java_dev_cygnet_Native_outputFloats(env, session: jlong, i: jint) -> JFloatArray<'local> {
        let i = index(i)?;
        with(session, |s| {
            let values: &[jfloat] = s.output(i)?;
            let array = JFloatArray::new(env, values.len())?;
            array.set_region(env, 0, values)?;
            Ok(array)
        })
    }

    /// The bytes of an output.
    fn Java_dev_cygnet_Native_outputBytes(env, session: jlong, i: jint) -> JByteArray<'local> {
        let i = index(i)?;
        with(session, |s| bytes(env, s.output_bytes(i)?))
    }

    /// Writes the bytes of an output to a direct buffer; returns how many.
    fn Java_dev_cygnet_Native_outputInto(env, session: jlong, i: jint, buffer: JByteBuffer<'local>, first: jint, room: jint) -> jint {
        let i = index(i)?;
        with(session, |s| {
            let output = s.output_bytes(i)?;
            memory::write(env, &buffer, first, room, output)?;
            Ok(output.len() as jint)
        })
    }

    /// The shape of an output after a run.
    fn Java_dev_cygnet_Native_outputShape(env, session: jlong, i: jint) -> JIntArray<'local> {
        let i = index(i)?;
        let shape = with(session, |s| Ok(s.output_shape(i)?))?;
        let shape: Vec<jint> = shape.into_iter().map(|n| n as jint).collect();
        let array = JIntArray::new(env, shape.len())?;
        array.set_region(env, 0, &shape)?;
        Ok(array)
    }

    /// Feeds a picture.
    fn Java_dev_cygnet_Native_setPicture(env, session: jlong, numbers: JIntArray<'local>, a: JObject<'local>, b: JObject<'local>, c: JObject<'local>) {
        let mut n = [0; picture::NUMBERS];
        numbers.get_region(env, 0, &mut n)?;
        picture::with(env, &n, [&a, &b, &c], |p| with(session, |s| Ok(s.set_picture(p)?)))
    }

    /// Feeds a picture, runs, answers.
    fn Java_dev_cygnet_Native_askPicture(env, session: jlong, numbers: JIntArray<'local>, a: JObject<'local>, b: JObject<'local>, c: JObject<'local>) -> JByteArray<'local> {
        let mut n = [0; picture::NUMBERS];
        numbers.get_region(env, 0, &mut n)?;
        let answer = picture::with(env, &n, [&a, &b, &c], |p| with(session, |s| Ok(s.ask_picture(p)?)))?;
        bytes(env, &Packed::answer(&answer).0)
    }

    /// Feeds a sound, runs, answers.
    fn Java_dev_cygnet_Native_askSound(env, session: jlong, samples: JFloatArray<'local>, rate: jint) -> JByteArray<'local> {
        let rate = u32::try_from(rate).map_err(|_| input(format!("{rate} samples a second are fewer than 0")))?;
        // Copied: changing the rate takes time in which Java could not collect garbage.
        let mut copy = vec![0.0; samples.len(env)?];
        samples.get_region(env, 0, &mut copy)?;
        let answer = with(session, |s| Ok(s.ask_sound(&copy, rate)?))?;
        bytes(env, &Packed::answer(&answer).0)
    }

    /// The answer in the outputs after a run.
    fn Java_dev_cygnet_Native_answer(env, session: jlong) -> JByteArray<'local> {
        let answer = with(session, |s| Ok(s.answer()?))?;
        bytes(env, &Packed::answer(&answer).0)
    }
}
