//! Reading `model.cygnet`: a ZIP whose entries are stored, not compressed. Nothing is copied, no heap is used.

use core::fmt;

macro_rules! errors {
    ($($code:literal $name:ident $text:literal,)*) => {
        /// Why bytes are not a bundle. Codes are stable.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        #[repr(u16)]
        #[non_exhaustive]
        #[allow(missing_docs)]
        pub enum BundleError { $($name = $code,)* }

        impl BundleError {
            /// The stable numeric code.
            pub const fn code(self) -> u16 { self as u16 }
            /// What is wrong, in words.
            pub const fn text(self) -> &'static str { match self { $(BundleError::$name => $text,)* } }
            /// The error of a stable numeric code.
            pub const fn from_code(code: u16) -> Option<Self> { match code { $($code => Some(BundleError::$name),)* _ => None } }
        }

        impl fmt::Display for BundleError {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(self.text())
            }
        }
    };
}

errors! {
    1 NotZip "this is not a bundle: the end of a ZIP directory was not found",
    2 Directory "the bundle's directory is malformed",
    3 Compressed "an entry of the bundle is compressed or encrypted; bundles store their entries",
    4 Entry "an entry of the bundle lies outside the file or is malformed",
    5 Missing "the bundle has no such entry",
}

impl core::error::Error for BundleError {}

const END: [u8; 4] = *b"PK\x05\x06";
const CENTRAL: [u8; 4] = *b"PK\x01\x02";
const LOCAL: [u8; 4] = *b"PK\x03\x04";
const END_BYTES: usize = 22;
const CENTRAL_BYTES: usize = 46;
const LOCAL_BYTES: usize = 30;

/// A bundle over borrowed bytes.
#[derive(Clone, Copy, Debug)]
pub struct Bundle<'a> {
    bytes: &'a [u8],
    directory: &'a [u8],
}

/// An entry of a bundle.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entry<'a> {
    /// Path inside the bundle, such as `golden/0.cygt`.
    pub name: &'a str,
    /// The stored bytes.
    pub data: &'a [u8],
}

fn half(b: &[u8], at: usize) -> usize {
    b.get(at..)
        .and_then(|b| b.first_chunk())
        .map_or(0, |b| u16::from_le_bytes(*b) as usize)
}

fn word(b: &[u8], at: usize) -> usize {
    b.get(at..)
        .and_then(|b| b.first_chunk())
        .map_or(0, |b| u32::from_le_bytes(*b) as usize)
}

impl<'a> Bundle<'a> {
    /// Validates the directory and every entry's place; data is not read.
    ///
    /// # Errors
    /// When the bytes are not a ZIP of stored entries.
    pub fn parse(bytes: &'a [u8]) -> Result<Bundle<'a>, BundleError> {
        // A comment of at most 65,535 bytes may follow the end record.
        let last = bytes
            .len()
            .checked_sub(END_BYTES)
            .ok_or(BundleError::NotZip)?;
        let first = last.saturating_sub(u16::MAX as usize);
        let is_end = |&at: &usize| {
            bytes[at..].starts_with(&END) && at + END_BYTES + half(bytes, at + 20) == bytes.len()
        };
        let end = (first..=last)
            .rev()
            .find(is_end)
            .ok_or(BundleError::NotZip)?;
        let count = half(bytes, end + 10);
        let (size, offset) = (word(bytes, end + 12), word(bytes, end + 16));
        if half(bytes, end + 4) != 0 || half(bytes, end + 8) != count {
            return Err(BundleError::Directory);
        }
        let stop = offset
            .checked_add(size)
            .filter(|&stop| stop <= end)
            .ok_or(BundleError::Directory)?;
        let bundle = Bundle {
            bytes,
            directory: &bytes[offset..stop],
        };
        let mut rest = bundle.directory;
        for _ in 0..count {
            (_, rest) = bundle.next(rest)?;
        }
        if rest.is_empty() {
            Ok(bundle)
        } else {
            Err(BundleError::Directory)
        }
    }

    /// The first entry of a part of the directory, and what follows.
    fn next(&self, directory: &'a [u8]) -> Result<(Entry<'a>, &'a [u8]), BundleError> {
        let header = directory
            .get(..CENTRAL_BYTES)
            .ok_or(BundleError::Directory)?;
        if !header.starts_with(&CENTRAL) {
            return Err(BundleError::Directory);
        }
        let (flags, method) = (half(header, 8), half(header, 10));
        let (packed, size, local) = (word(header, 20), word(header, 24), word(header, 42));
        let name_len = half(header, 28);
        let record = CENTRAL_BYTES + name_len + half(header, 30) + half(header, 32);
        let name = directory
            .get(CENTRAL_BYTES..CENTRAL_BYTES + name_len)
            .ok_or(BundleError::Directory)?;
        let name = core::str::from_utf8(name).map_err(|_| BundleError::Directory)?;
        let rest = directory.get(record..).ok_or(BundleError::Directory)?;
        if method != 0 || flags & 1 != 0 || packed != size {
            return Err(BundleError::Compressed);
        }
        let head_end = local.checked_add(LOCAL_BYTES).ok_or(BundleError::Entry)?;
        let head = self.bytes.get(local..head_end).ok_or(BundleError::Entry)?;
        if !head.starts_with(&LOCAL) {
            return Err(BundleError::Entry);
        }
        let first = head_end
            .checked_add(half(head, 26) + half(head, 28))
            .ok_or(BundleError::Entry)?;
        let stop = first.checked_add(size).ok_or(BundleError::Entry)?;
        let data = self.bytes.get(first..stop).ok_or(BundleError::Entry)?;
        Ok((Entry { name, data }, rest))
    }

    /// Every entry, in directory order.
    pub fn entries(&self) -> impl Iterator<Item = Entry<'a>> + 'a {
        let bundle = *self;
        let mut rest = self.directory;
        core::iter::from_fn(move || {
            let (entry, tail) = bundle.next(rest).ok()?;
            rest = tail;
            Some(entry)
        })
    }

    /// The bytes of entry `name`.
    pub fn entry(&self, name: &str) -> Option<&'a [u8]> {
        self.entries().find(|e| e.name == name).map(|e| e.data)
    }

    /// The program's bytes.
    ///
    /// # Errors
    /// [`BundleError::Missing`].
    pub fn program(&self) -> Result<&'a [u8], BundleError> {
        self.entry("program.cyg").ok_or(BundleError::Missing)
    }

    /// The bytes of golden example `n`.
    pub fn golden(&self, n: u32) -> Option<&'a [u8]> {
        self.entries()
            .find(|e| golden_number(e.name) == Some(n))
            .map(|e| e.data)
    }
}

fn golden_number(name: &str) -> Option<u32> {
    name.strip_prefix("golden/")?
        .strip_suffix(".cygt")?
        .parse()
        .ok()
}
