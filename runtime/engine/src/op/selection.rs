//! Which operators this build holds: all of them, or those that `CYGNET_OPERATORS` lists when it is compiled.
//!
//! The list is read by the compiler itself, so that what a build leaves out is unreachable code: neither its operator nor
//! the kernels that only it calls reach the library.

use crate::error::{RunError, RunErrorKind};
use cygnet_format::{OpCode, Program};

/// Names separated by spaces or commas; unset or empty, every operator is there.
const LIST: &[u8] = match option_env!("CYGNET_OPERATORS") {
    Some(list) => list.as_bytes(),
    None => b"",
};

const fn separates(byte: u8) -> bool {
    byte == b',' || byte.is_ascii_whitespace()
}

/// The first name at or after `at`, as `(start, end)`; both are the list's length when there is none.
const fn word(list: &[u8], at: usize) -> (usize, usize) {
    let mut start = at;
    while start < list.len() && separates(list[start]) {
        start += 1;
    }
    let mut end = start;
    while end < list.len() && !separates(list[end]) {
        end += 1;
    }
    (start, end)
}

const fn equal(list: &[u8], (start, end): (usize, usize), name: &[u8]) -> bool {
    if end - start != name.len() {
        return false;
    }
    let mut i = 0;
    while i < name.len() {
        if list[start + i] != name[i] {
            return false;
        }
        i += 1;
    }
    true
}

const fn lists(list: &[u8], name: &str) -> bool {
    let mut at = word(list, 0);
    if at.0 == list.len() {
        return true;
    }
    while at.0 < list.len() {
        if equal(list, at, name.as_bytes()) {
            return true;
        }
        at = word(list, at.1);
    }
    false
}

/// True when every name of the list is an operator's.
const fn known(list: &[u8]) -> bool {
    let mut at = word(list, 0);
    while at.0 < list.len() {
        let mut found = false;
        let mut i = 0;
        while i < OpCode::ALL.len() {
            found |= equal(list, at, OpCode::ALL[i].name().as_bytes());
            i += 1;
        }
        if !found {
            return false;
        }
        at = word(list, at.1);
    }
    true
}

const _: () = assert!(
    known(LIST),
    "CYGNET_OPERATORS names an operator that does not exist; `cygnet inspect BUNDLE --operators` writes the list"
);

/// Whether this build holds the operator of a name.
pub(crate) const fn includes(name: &str) -> bool {
    lists(LIST, name)
}

/// The operators of this build: all, unless `CYGNET_OPERATORS` listed some when it was compiled.
pub fn operators() -> impl Iterator<Item = OpCode> {
    OpCode::ALL
        .iter()
        .copied()
        .filter(|code| includes(code.name()))
}

/// Refuses a program that needs an operator which this build leaves out.
///
/// # Errors
/// [`RunErrorKind::LeftOut`] with the operator's name and its first step.
pub fn check_operators(program: &Program<'_>) -> Result<(), RunError> {
    if word(LIST, 0).0 == LIST.len() {
        return Ok(());
    }
    for i in 0..program.steps() as u32 {
        if let Some(step) = program.step(i)
            && !includes(step.code.name())
        {
            return Err(RunError::new(RunErrorKind::LeftOut, step.code.name()).at(i));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_name_operators() {
        assert!(lists(b"", "conv") && lists(b" ,\n", "conv"));
        assert!(lists(b"conv", "conv") && lists(b"reshape, conv\n", "conv"));
        assert!(!lists(b"conv_transpose", "conv") && !lists(b"conv", "conv_transpose"));
        assert!(known(b"") && known(b"conv,mat_mul softmax\n"));
        assert!(!known(b"conv convolve") && !known(b"conv;softmax"));
    }

    #[test]
    fn a_build_without_a_list_has_everything() {
        assert_eq!(operators().count() == OpCode::ALL.len(), LIST.is_empty());
    }
}
