//! The Cygnet command line.
fn main() {}
