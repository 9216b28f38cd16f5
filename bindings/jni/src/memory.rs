//! Java's memory.

use crate::failure::{Failure, input};
use jni::Env;
use jni::objects::{JByteArray, JByteBuffer};

/// The part of `all` bytes that is asked for.
pub fn range(first: i32, length: i32, all: usize) -> Result<std::ops::Range<usize>, Failure> {
    let part = usize::try_from(first)
        .ok()
        .zip(usize::try_from(length).ok())
        .map(|(first, length)| first..first.saturating_add(length))
        .filter(|part| part.end <= all);
    part.ok_or_else(|| {
        input(format!(
            "{length} bytes from byte {first} are not in the {all} bytes that were given"
        ))
    })
}

fn place(
    env: &Env<'_>,
    buffer: &JByteBuffer<'_>,
    first: i32,
    length: i32,
) -> Result<(*mut u8, usize), Failure> {
    let address = env.get_direct_buffer_address(buffer);
    let capacity = env.get_direct_buffer_capacity(buffer);
    let (Ok(address), Ok(capacity)) = (address, capacity) else {
        return Err(input(
            "the buffer is not direct: make it by ByteBuffer.allocateDirect",
        ));
    };
    let part = range(first, length, capacity)?;
    Ok((address.wrapping_add(part.start), part.len()))
}

/// Bytes of a direct buffer.
///
/// # Safety
/// The buffer must be reachable for `'a`: an argument of a native method is until it returns. Java may write to it from
/// another thread meanwhile, which makes the bytes read undefined numbers; nothing here relies on a second read being equal.
pub unsafe fn direct<'a>(
    env: &Env<'_>,
    buffer: &JByteBuffer<'_>,
    first: i32,
    length: i32,
) -> Result<&'a [u8], Failure> {
    let (at, length) = place(env, buffer, first, length)?;
    // SAFETY: the part lies within the buffer's memory, which lives for `'a`.
    Ok(unsafe { std::slice::from_raw_parts(at, length) })
}

/// Writes to a direct buffer from byte `first` on; at most `length` bytes.
pub fn write(
    env: &Env<'_>,
    buffer: &JByteBuffer<'_>,
    first: i32,
    length: i32,
    from: &[u8],
) -> Result<(), Failure> {
    let (at, length) = place(env, buffer, first, length)?;
    if from.len() > length {
        return Err(input(format!(
            "the buffer has room for {length} bytes, needed are {}",
            from.len()
        )));
    }
    // SAFETY: `from` is no longer than the part of the buffer at `at`. The arena that `from` lies in is not Java's.
    unsafe { std::ptr::copy_nonoverlapping(from.as_ptr(), at, from.len()) };
    Ok(())
}

/// Copies bytes of an array, from byte `first` on.
pub fn copy(
    env: &Env<'_>,
    array: &JByteArray<'_>,
    first: i32,
    to: &mut [u8],
) -> Result<(), Failure> {
    // SAFETY: both are single bytes of which every value is valid.
    let to = unsafe { std::slice::from_raw_parts_mut(to.as_mut_ptr().cast::<i8>(), to.len()) };
    Ok(array.get_region(env, first, to)?)
}

/// A copy of bytes of an array.
pub fn copied(
    env: &Env<'_>,
    array: &JByteArray<'_>,
    first: i32,
    length: i32,
) -> Result<Vec<u8>, Failure> {
    let part = range(first, length, array.len(env)?)?;
    let mut bytes = vec![0; part.len()];
    copy(env, array, first, &mut bytes)?;
    Ok(bytes)
}
