//! FlatBuffers, read only: tables, vectors and text of untrusted bytes.
//!
//! Every access checks its bounds, so nothing has to be verified beforehand and a file's unused parts are never
//! visited. The reader is written out because the crates for it are `unsafe` to call. Format:
//! <https://flatbuffers.dev/internals/>.

use std::fmt;

/// Bytes that are not what their offsets say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Broken(pub String);

impl fmt::Display for Broken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

type Read<T> = Result<T, Broken>;

fn outside(at: usize, len: usize) -> Broken {
    Broken(format!(
        "an offset leads to {len} bytes at {at}, beyond the end of the file"
    ))
}

fn bytes(buffer: &[u8], at: usize, len: usize) -> Read<&[u8]> {
    at.checked_add(len)
        .and_then(|end| buffer.get(at..end))
        .ok_or_else(|| outside(at, len))
}

/// A number stored in little-endian order.
pub(super) trait Scalar: Sized {
    /// Bytes of one.
    const SIZE: usize;
    /// The number; `bytes` has [`Scalar::SIZE`] of them.
    fn read(bytes: &[u8]) -> Option<Self>;
}

macro_rules! scalars {
    ($($t:ty)*) => { $(impl Scalar for $t {
        const SIZE: usize = size_of::<$t>();
        fn read(bytes: &[u8]) -> Option<Self> {
            bytes.try_into().ok().map(<$t>::from_le_bytes)
        }
    })* };
}

scalars! { u8 i8 u16 u32 i32 u64 i64 f32 }

fn scalar<T: Scalar>(buffer: &[u8], at: usize) -> Read<T> {
    T::read(bytes(buffer, at, T::SIZE)?).ok_or_else(|| outside(at, T::SIZE))
}

/// The position that the unsigned offset at `at` leads to.
fn follow(buffer: &[u8], at: usize) -> Read<usize> {
    let offset = scalar::<u32>(buffer, at)? as usize;
    at.checked_add(offset)
        .ok_or_else(|| outside(at, usize::MAX))
}

/// A table: fields by number, absent ones have defaults.
#[derive(Clone, Copy)]
pub(super) struct Table<'a> {
    buffer: &'a [u8],
    at: usize,
    /// The offsets of the fields, two bytes each.
    fields: &'a [u8],
}

impl<'a> Table<'a> {
    /// The root of a buffer.
    pub fn root(buffer: &'a [u8]) -> Read<Table<'a>> {
        Table::at(buffer, follow(buffer, 0)?)
    }

    fn at(buffer: &'a [u8], at: usize) -> Read<Table<'a>> {
        let back = i64::from(scalar::<i32>(buffer, at)?);
        let vtable = usize::try_from(at as i64 - back).map_err(|_| outside(at, 4))?;
        let size = usize::from(scalar::<u16>(buffer, vtable)?);
        let fields = bytes(buffer, vtable, size.max(4))?.get(4..).unwrap_or(&[]);
        Ok(Table { buffer, at, fields })
    }

    /// Where field `id` lies.
    fn field(&self, id: usize) -> Option<usize> {
        let entry = self.fields.get(2 * id..2 * id + 2)?;
        match u16::read(entry)? {
            0 => None,
            offset => Some(self.at + usize::from(offset)),
        }
    }

    /// A number.
    pub fn get<T: Scalar>(&self, id: usize, default: T) -> Read<T> {
        self.field(id)
            .map_or(Ok(default), |at| scalar(self.buffer, at))
    }

    /// A truth value, false by default.
    pub fn flag(&self, id: usize) -> Read<bool> {
        Ok(self.get::<u8>(id, 0)? != 0)
    }

    /// A table inside this one.
    pub fn table(&self, id: usize) -> Read<Option<Table<'a>>> {
        self.field(id)
            .map(|at| Table::at(self.buffer, follow(self.buffer, at)?))
            .transpose()
    }

    /// Bytes of a vector of elements of `size` bytes.
    fn vector(&self, id: usize, size: usize) -> Read<Option<(usize, &'a [u8])>> {
        let Some(at) = self.field(id) else {
            return Ok(None);
        };
        let at = follow(self.buffer, at)?;
        let count = scalar::<u32>(self.buffer, at)? as usize;
        let len = count
            .checked_mul(size)
            .ok_or_else(|| outside(at, usize::MAX))?;
        Ok(Some((at + 4, bytes(self.buffer, at + 4, len)?)))
    }

    /// A vector of bytes; empty when absent.
    pub fn bytes(&self, id: usize) -> Read<&'a [u8]> {
        Ok(self.vector(id, 1)?.map_or(&[], |(_, bytes)| bytes))
    }

    /// The length of a vector of numbers; zero when absent.
    pub fn len<T: Scalar>(&self, id: usize) -> Read<usize> {
        Ok(self.vector(id, T::SIZE)?.map_or(0, |v| v.1.len() / T::SIZE))
    }

    /// A vector of numbers; empty when absent.
    pub fn list<T: Scalar>(&self, id: usize) -> Read<Vec<T>> {
        let bytes = self
            .vector(id, T::SIZE)?
            .map_or(&[][..], |(_, bytes)| bytes);
        Ok(bytes.chunks_exact(T::SIZE).filter_map(T::read).collect())
    }

    /// A vector of tables; empty when absent.
    pub fn tables(&self, id: usize) -> Read<Tables<'a>> {
        let (at, bytes) = self.vector(id, 4)?.unwrap_or((0, &[]));
        Ok(Tables {
            buffer: self.buffer,
            at,
            len: bytes.len() / 4,
        })
    }

    /// Text of at most `limit` bytes, damaged characters replaced; `None` when absent, empty or longer.
    pub fn text(&self, id: usize, limit: usize) -> Read<Option<String>> {
        let bytes = self.bytes(id)?;
        Ok((1..=limit)
            .contains(&bytes.len())
            .then(|| String::from_utf8_lossy(bytes).into_owned()))
    }
}

/// A vector of tables.
#[derive(Clone, Copy)]
pub(super) struct Tables<'a> {
    buffer: &'a [u8],
    at: usize,
    len: usize,
}

impl<'a> Tables<'a> {
    /// The number of tables.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Table `i`; `None` beyond the last.
    pub fn get(&self, i: usize) -> Read<Option<Table<'a>>> {
        if i >= self.len {
            return Ok(None);
        }
        let at = follow(self.buffer, self.at + 4 * i)?;
        Table::at(self.buffer, at).map(Some)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A root table with field 0 = 7 (i32), field 2 = [1, 2] (u16), field 1 absent.
    fn sample() -> Vec<u8> {
        let mut b = vec![0u8; 32];
        b[0..4].copy_from_slice(&16u32.to_le_bytes());
        // The field offsets at 6: ten bytes long, twelve bytes of table.
        for (i, v) in [10u16, 12, 4, 0, 8].iter().enumerate() {
            b[6 + 2 * i..8 + 2 * i].copy_from_slice(&v.to_le_bytes());
        }
        b[16..20].copy_from_slice(&10i32.to_le_bytes());
        b[20..24].copy_from_slice(&7i32.to_le_bytes());
        b[24..28].copy_from_slice(&4u32.to_le_bytes());
        b[28..32].copy_from_slice(&2u32.to_le_bytes());
        b.extend([1, 0, 2, 0]);
        b
    }

    #[test]
    fn fields_and_defaults() {
        let b = sample();
        let t = Table::root(&b).unwrap();
        assert_eq!(t.get::<i32>(0, 3), Ok(7));
        assert_eq!(t.get::<i32>(1, 3), Ok(3));
        assert_eq!(t.list::<u16>(2), Ok(vec![1, 2]));
        assert_eq!(t.len::<u16>(2), Ok(2));
        assert_eq!(t.list::<u16>(9), Ok(vec![]));
        assert!(t.table(5).is_ok_and(|t| t.is_none()));
    }

    #[test]
    fn offsets_beyond_the_end_are_errors() {
        let mut b = sample();
        b[28..32].copy_from_slice(&u32::MAX.to_le_bytes());
        let t = Table::root(&b).unwrap();
        assert!(t.list::<u16>(2).is_err() && t.bytes(2).is_err());
        assert!(t.tables(2).is_err());
        for cut in 0..b.len() {
            let _ = Table::root(&b[..cut]).map(|t| (t.list::<u16>(2), t.text(2, 9), t.table(0)));
        }
        assert!(Table::root(&[255; 8]).is_err() && Table::root(&[]).is_err());
    }
}
