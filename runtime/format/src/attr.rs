//! Operator attributes: a fixed-size value that encodes to 32-bit words and to text, and back.

use crate::dim::{BlockId, Dim};
use core::fmt;
use core::ops::Deref;

/// Reads the encoded words of one step's attributes.
#[derive(Clone, Debug)]
pub struct Words<'a> {
    bytes: &'a [u8],
}

impl<'a> Words<'a> {
    /// Words over little-endian bytes.
    pub const fn new(bytes: &'a [u8]) -> Self {
        Words { bytes }
    }

    /// The next word, or `None` at the end.
    pub fn next_word(&mut self) -> Option<u32> {
        let (head, rest) = self.bytes.split_first_chunk::<4>()?;
        self.bytes = rest;
        Some(u32::from_le_bytes(*head))
    }

    /// True when every word was read.
    pub fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }
}

/// A value that can stand as an attribute.
pub trait Attr: Sized {
    /// Emits the words of this value.
    fn encode(&self, emit: &mut dyn FnMut(u32));
    /// Reads the value; `None` when the words are not a valid value.
    fn decode(words: &mut Words<'_>) -> Option<Self>;
    /// Writes the value as text without spaces.
    fn write_text(&self, f: &mut dyn fmt::Write) -> fmt::Result;
    /// Reads what [`Attr::write_text`] wrote.
    fn parse_text(text: &str) -> Option<Self>;
}

macro_rules! word_attr {
    ($($t:ty),*) => {$(
        impl Attr for $t {
            fn encode(&self, emit: &mut dyn FnMut(u32)) { emit(*self as u32) }
            fn decode(words: &mut Words<'_>) -> Option<Self> { words.next_word().map(|w| w as $t) }
            fn write_text(&self, f: &mut dyn fmt::Write) -> fmt::Result { write!(f, "{self}") }
            fn parse_text(text: &str) -> Option<Self> { text.parse().ok() }
        }
    )*};
}
word_attr!(i32, u32);

impl Attr for bool {
    fn encode(&self, emit: &mut dyn FnMut(u32)) {
        emit(*self as u32)
    }
    fn decode(words: &mut Words<'_>) -> Option<Self> {
        match words.next_word()? {
            0 => Some(false),
            1 => Some(true),
            _ => None,
        }
    }
    fn write_text(&self, f: &mut dyn fmt::Write) -> fmt::Result {
        write!(f, "{self}")
    }
    fn parse_text(text: &str) -> Option<Self> {
        text.parse().ok()
    }
}

impl Attr for f32 {
    fn encode(&self, emit: &mut dyn FnMut(u32)) {
        emit(self.to_bits())
    }
    fn decode(words: &mut Words<'_>) -> Option<Self> {
        words.next_word().map(f32::from_bits)
    }
    fn write_text(&self, f: &mut dyn fmt::Write) -> fmt::Result {
        write!(f, "{self:?}")
    }
    fn parse_text(text: &str) -> Option<Self> {
        text.parse().ok()
    }
}

impl Attr for Dim {
    fn encode(&self, emit: &mut dyn FnMut(u32)) {
        emit(self.0 as u32)
    }
    fn decode(words: &mut Words<'_>) -> Option<Self> {
        words.next_word().map(|w| Dim(w as i32))
    }
    fn write_text(&self, f: &mut dyn fmt::Write) -> fmt::Result {
        match self.as_expr() {
            None => write!(f, "{}", self.0),
            Some(e) => write!(f, "e{e}"),
        }
    }
    fn parse_text(text: &str) -> Option<Self> {
        match text.strip_prefix('e') {
            Some(e) => e
                .parse::<u32>()
                .ok()
                .filter(|&e| e < i32::MAX as u32)
                .map(Dim::expr),
            None => text.parse::<i32>().ok().filter(|&c| c >= 0).map(Dim),
        }
    }
}

impl Attr for BlockId {
    fn encode(&self, emit: &mut dyn FnMut(u32)) {
        emit(self.0)
    }
    fn decode(words: &mut Words<'_>) -> Option<Self> {
        words.next_word().map(BlockId)
    }
    fn write_text(&self, f: &mut dyn fmt::Write) -> fmt::Result {
        write!(f, "b{}", self.0)
    }
    fn parse_text(text: &str) -> Option<Self> {
        text.strip_prefix('b')?.parse().ok().map(BlockId)
    }
}

/// A list of at most `N` values, without a heap.
#[derive(Clone, Copy)]
pub struct List<T, const N: usize> {
    len: u8,
    items: [T; N],
}

impl<T: Copy + Default, const N: usize> List<T, N> {
    /// The list of these values; `None` when there are more than `N`.
    pub fn new(values: &[T]) -> Option<Self> {
        let mut list = Self::default();
        for &v in values {
            list.push(v)?;
        }
        Some(list)
    }

    /// Appends a value; `None` when the list is full.
    #[must_use]
    pub fn push(&mut self, value: T) -> Option<()> {
        *self.items.get_mut(self.len as usize)? = value;
        self.len += 1;
        Some(())
    }
}

impl<T: Copy + Default, const N: usize> Default for List<T, N> {
    fn default() -> Self {
        List {
            len: 0,
            items: [T::default(); N],
        }
    }
}

impl<T, const N: usize> Deref for List<T, N> {
    type Target = [T];
    fn deref(&self) -> &[T] {
        &self.items[..self.len as usize]
    }
}

impl<T: PartialEq, const N: usize> PartialEq for List<T, N> {
    fn eq(&self, other: &Self) -> bool {
        **self == **other
    }
}

impl<T: fmt::Debug, const N: usize> fmt::Debug for List<T, N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (**self).fmt(f)
    }
}

impl<T: Copy + Default, const N: usize> FromIterator<T> for List<T, N> {
    /// Collects values.
    ///
    /// # Panics
    /// When there are more than `N` values.
    fn from_iter<I: IntoIterator<Item = T>>(values: I) -> Self {
        let mut list = Self::default();
        for v in values {
            list.push(v).expect("more values than the list holds");
        }
        list
    }
}

impl<T: Attr + Copy + Default, const N: usize> Attr for List<T, N> {
    fn encode(&self, emit: &mut dyn FnMut(u32)) {
        emit(self.len as u32);
        for v in self.iter() {
            v.encode(emit);
        }
    }
    fn decode(words: &mut Words<'_>) -> Option<Self> {
        let len = words.next_word()?;
        let mut list = Self::default();
        for _ in 0..len {
            list.push(T::decode(words)?)?;
        }
        Some(list)
    }
    fn write_text(&self, f: &mut dyn fmt::Write) -> fmt::Result {
        f.write_char('[')?;
        for (i, v) in self.iter().enumerate() {
            if i > 0 {
                f.write_char(',')?;
            }
            v.write_text(f)?;
        }
        f.write_char(']')
    }
    fn parse_text(text: &str) -> Option<Self> {
        let inner = text.strip_prefix('[')?.strip_suffix(']')?;
        let mut list = Self::default();
        if !inner.is_empty() {
            for part in inner.split(',') {
                list.push(T::parse_text(part)?)?;
            }
        }
        Some(list)
    }
}

/// Declares enumerations whose codes are stored.
macro_rules! attr_enum {
    ($($(#[$m:meta])* $name:ident { $($(#[$vm:meta])* $variant:ident = $code:literal $text:literal,)* })*) => {$(
        $(#[$m])*
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
        #[repr(u32)]
        #[allow(missing_docs)]
        pub enum $name { #[default] $($(#[$vm])* $variant = $code,)* }

        impl $name {
            /// Every value, in code order.
            pub const ALL: &'static [$name] = &[$($name::$variant,)*];
            /// The name used in dumps.
            pub const fn name(self) -> &'static str { match self { $($name::$variant => $text,)* } }
        }

        impl Attr for $name {
            fn encode(&self, emit: &mut dyn FnMut(u32)) { emit(*self as u32) }
            fn decode(words: &mut Words<'_>) -> Option<Self> {
                match words.next_word()? { $($code => Some($name::$variant),)* _ => None }
            }
            fn write_text(&self, f: &mut dyn fmt::Write) -> fmt::Result { f.write_str(self.name()) }
            fn parse_text(text: &str) -> Option<Self> {
                match text { $($text => Some($name::$variant),)* _ => None }
            }
        }
    )*};
}
pub(crate) use attr_enum;
