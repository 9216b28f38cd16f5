//! The other way: the interpreter over a program in flash, for models that are updated in the field.

use super::package::{Names, shape};
use super::{in_comment, kind};
use cygnet_format::Program;
use cygnet_format::program::Operands;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;

/// Files by their path in the crate's folder, without the runtime's but for what narrows it to the program's operators.
/// `bundle` is for the crate's own test.
pub fn interpreted_files(
    program: &Program<'_>,
    bytes: &[u8],
    bundle: &[u8],
    names: &Names<'_>,
) -> BTreeMap<String, Vec<u8>> {
    let mut files = BTreeMap::new();
    let operators: BTreeSet<&str> = (0..program.steps() as u32)
        .filter_map(|i| Some(program.step(i)?.code.name()))
        .collect();
    let operators = operators.into_iter().collect::<Vec<_>>().join(" ");
    files.insert("Cargo.toml".into(), manifest(names).into_bytes());
    files.insert("src/lib.rs".into(), library(program, names).into_bytes());
    files.insert("src/program.cyg".into(), bytes.to_vec());
    files.insert("tests/model.cygnet".into(), bundle.to_vec());
    files.insert("tests/self_test.rs".into(), test(names).into_bytes());
    files.insert(
        "cygnet-runtime/build.rs".into(),
        format!(
            "//! The operators that are linked; remove this file to have all of them.\n\nfn main() {{\n    println!(\"cargo:rerun-if-changed=build.rs\");\n    println!(\"cargo:rustc-env=CYGNET_OPERATORS={operators}\");\n}}\n"
        )
        .into_bytes(),
    );
    files
}

fn manifest(names: &Names<'_>) -> String {
    format!(
        r#"# Written by {} from {}.
[package]
name = "{}"
version = "0.0.0"
edition = "2024"
description = "A neural network and the interpreter that runs it, without heap"
publish = false

[dependencies]
cygnet-runtime = {{ path = "cygnet-runtime", default-features = false, features = ["baseline"] }}
"#,
        names.compiler, names.bundle, names.package,
    )
}

fn library(program: &Program<'_>, names: &Names<'_>) -> String {
    let mut ports = String::new();
    let mut describe = |role: &str, list: Operands<'_>| {
        for (i, id) in list.iter().flatten().enumerate() {
            let t = program.tensor(id);
            let text = match kind(program, id) {
                Some(kind) => shape(kind.dtype, &kind.shape),
                None => format!("{}, of a free shape", t.dtype.name()),
            };
            // Writing to a string cannot fail.
            let _ = writeln!(ports, "//! - {role} {i}: {text} `{}`", in_comment(t.name));
        }
    };
    describe("input", program.inputs());
    describe("output", program.outputs());
    format!(
        r#"//! `{name}`: a neural network, run by the interpreter from where it lies in flash.
//!
{ports}//!
//! ```
//! let mut arena = {name}::Arena::new();
//! let program = {name}::Program::parse({name}::program())?;
//! let mut session = {name}::session(&program, &mut arena).expect("the arena is the program's");
//! let shape = session.input_shape(0);
//! # let _ = shape;
//! # Ok::<(), {name}::ParseError>(())
//! ```
//!
//! A newer program, from an update, is parsed in place of [`program`] when its operators are linked
//! ([`operators`]) and its arena is no larger than [`ARENA_BYTES`].
//!
//! Written by {compiler} from {bundle}, whose program has the SHA-256
//! `{sha}`.
#![no_std]
#![forbid(unsafe_code)]

use cygnet_runtime::Config;
pub use cygnet_runtime::{{ParseError, Program, RunError, Session, Tensor, TensorMut, operators}};

/// Bytes of working memory of the packaged program.
pub const ARENA_BYTES: usize = {arena};

#[repr(align(64))]
struct Aligned<T: ?Sized>(T);

static PROGRAM: &Aligned<[u8]> = &Aligned(*include_bytes!("program.cyg"));

/// The packaged program.
pub fn program() -> &'static [u8] {{
    &PROGRAM.0
}}

/// Working memory. Zeros, so that a static one costs no flash.
pub struct Arena(Aligned<[u8; ARENA_BYTES]>);

impl Arena {{
    /// Memory of a model that has not run.
    #[allow(clippy::new_without_default)]
    pub const fn new() -> Self {{
        Arena(Aligned([0; ARENA_BYTES]))
    }}
}}

/// The program in `arena`, its states reset.
///
/// # Errors
/// When the program needs a larger arena, or an operator that is not linked.
pub fn session<'a>(program: &Program<'a>, arena: &'a mut Arena) -> Result<Session<'a>, RunError> {{
    Session::new(program, &mut arena.0.0, Config::default())
}}
"#,
        name = names.package,
        compiler = names.compiler,
        bundle = names.bundle,
        sha = names.program_sha256,
        arena = program.arena_bytes(),
    )
}

fn test(names: &Names<'_>) -> String {
    format!(
        r#"//! The golden examples on the machine that builds.

use cygnet_runtime::{{Bundle, self_test}};

#[repr(align(64))]
struct Aligned<T: ?Sized>(T);

static BUNDLE: &Aligned<[u8]> = &Aligned(*include_bytes!("model.cygnet"));

#[test]
fn golden_examples_agree() {{
    let bundle = Bundle::parse(&BUNDLE.0).expect("a bundle");
    let mut arena = {name}::Arena::new();
    let program = {name}::Program::parse({name}::program()).expect("a program");
    let mut session = {name}::session(&program, &mut arena).expect("a session");
    let examples = self_test(&bundle, &mut session).expect("the examples agree");
    assert!(examples > 0);
}}
"#,
        name = names.package
    )
}
