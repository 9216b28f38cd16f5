//! The one error of every kernel.

/// Why a kernel refused its arguments. Nothing was written when a kernel returns it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum KernelError {
    /// A slice holds fewer (or, where exact, other than) the elements its shape asks for.
    Length = 1,
    /// A parameter is out of its range (zero stride, rank above the limit, groups that do not divide …).
    Parameter = 2,
    /// A size computation does not fit `usize`.
    Overflow = 3,
    /// An index lies outside its axis.
    Index = 4,
    /// An integer was divided by zero.
    DivisionByZero = 5,
}

impl KernelError {
    /// Every error, by its code.
    pub const ALL: [Self; 5] = [
        Self::Length,
        Self::Parameter,
        Self::Overflow,
        Self::Index,
        Self::DivisionByZero,
    ];

    /// The stable number, from 1 on.
    pub const fn code(self) -> i32 {
        self as i32
    }

    /// The error in words.
    pub const fn text(self) -> &'static str {
        match self {
            Self::Length => "a buffer does not have the length its shape asks for",
            Self::Parameter => "a kernel parameter is out of range",
            Self::Overflow => "a buffer size does not fit the address space",
            Self::Index => "an index lies outside its axis",
            Self::DivisionByZero => "an integer was divided by zero",
        }
    }
}

impl core::fmt::Display for KernelError {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str(self.text())
    }
}

impl core::error::Error for KernelError {}

/// `?` for constant functions.
macro_rules! need {
    ($result:expr) => {
        match $result {
            Ok(value) => value,
            Err(error) => return Err(error),
        }
    };
}
pub(crate) use need;

/// A sum or product, or [`KernelError::Overflow`].
pub(crate) const fn fits(n: Option<usize>) -> Result<usize, KernelError> {
    match n {
        Some(n) => Ok(n),
        None => Err(KernelError::Overflow),
    }
}

/// Product of `sizes`, or [`KernelError::Overflow`].
pub(crate) const fn product(sizes: &[usize]) -> Result<usize, KernelError> {
    let mut n = 1usize;
    let mut zero = false;
    let mut i = 0;
    while i < sizes.len() {
        let size = sizes[i];
        zero |= size == 0;
        if size != 0 {
            n = need!(fits(n.checked_mul(size)));
        }
        i += 1;
    }
    Ok(if zero { 0 } else { n })
}

/// `Ok` when `have >= need`.
pub(crate) const fn at_least(have: usize, need: usize) -> Result<(), KernelError> {
    if have >= need {
        Ok(())
    } else {
        Err(KernelError::Length)
    }
}

/// `Ok` when `have == need`.
pub(crate) const fn exactly(have: usize, need: usize) -> Result<(), KernelError> {
    if have == need {
        Ok(())
    } else {
        Err(KernelError::Length)
    }
}
