//! The files of the crate.

use super::{Port, Source};
use cygnet_format::DType;
use cygnet_format::golden::{Golden, Role};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;

/// What a crate is called and made from.
pub struct Names<'a> {
    /// The package's name: letters, digits, `-` and `_`.
    pub package: &'a str,
    /// The compiler, such as `cygnet 0.1.0`.
    pub compiler: &'a str,
    /// The bundle's file name.
    pub bundle: &'a str,
    /// SHA-256 of the program.
    pub program_sha256: &'a str,
    /// Names of classes, where the bundle has them.
    pub labels: &'a [String],
    /// Golden examples.
    pub golden: &'a [Vec<u8>],
}

/// Files by their path in the crate's folder, without the runtime's.
pub fn crate_files(source: &Source, names: &Names<'_>) -> BTreeMap<String, Vec<u8>> {
    let mut files = BTreeMap::new();
    files.insert("Cargo.toml".into(), manifest(source, names).into_bytes());
    files.insert("src/lib.rs".into(), library(source, names).into_bytes());
    files.insert("src/weights.bin".into(), source.weights.clone());
    if let Some(text) = self_test(source, names, &mut files) {
        files.insert("src/self_test.rs".into(), text.into_bytes());
        files.insert("tests/self_test.rs".into(), test(names).into_bytes());
    }
    files
}

fn manifest(source: &Source, names: &Names<'_>) -> String {
    format!(
        r#"# Written by {compiler} from {bundle}.
[package]
name = "{package}"
version = "0.0.0"
edition = "2024"
description = "A neural network as code, without heap, interpreter and parser"
publish = false

[features]
# Brings the golden examples and `Model::self_test`.
self-test = []

[dependencies]
cygnet-kernels = {{ path = "cygnet-kernels", default-features = false, features = ["baseline", "narrow"{signed}] }}
"#,
        compiler = names.compiler,
        bundle = names.bundle,
        package = names.package,
        signed = if source.signed { ", \"signed\"" } else { "" },
    )
}

/// A name as an identifier of lower-case letters, digits and underscores.
pub fn identifier(name: &str) -> String {
    let mut out = String::new();
    for c in name.chars() {
        if c.is_ascii_alphanumeric() {
            out.push(c.to_ascii_lowercase());
        } else if !out.ends_with('_') && !out.is_empty() {
            out.push('_');
        }
    }
    let out = out.trim_end_matches('_').to_owned();
    match out.chars().next() {
        None => "tensor".into(),
        Some(c) if c.is_ascii_digit() => format!("t{out}"),
        Some(_) => out,
    }
}

/// Names of the accessors of inputs or outputs: `input` where there is one, else with the tensor's name, or its number
/// where names are missing or equal.
pub fn accessors(role: &str, ports: &[Port]) -> Vec<String> {
    if ports.len() == 1 {
        return vec![role.into()];
    }
    let names: Vec<String> = ports.iter().map(|p| identifier(&p.name)).collect();
    let distinct: BTreeSet<&String> = names.iter().collect();
    let named = distinct.len() == names.len() && ports.iter().all(|p| !p.name.is_empty());
    (0..ports.len())
        .map(|i| match named {
            true => format!("{role}_{}", names[i]),
            false => format!("{role}_{i}"),
        })
        .collect()
}

/// `i8 [1, 12]`.
pub(super) fn shape(dtype: DType, dims: &[usize]) -> String {
    format!("{} {dims:?}", dtype.name())
}

/// The lines of `use` for names of `cygnet_kernels`, each once.
fn uses(source: &Source) -> String {
    let mut root: BTreeSet<String> = ["Aligned".to_owned()].into();
    if source.steps.iter().any(|s| s.body.contains("KERNELS.")) {
        root.insert("Kernels".into());
    }

    let mut modules: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for name in source.steps.iter().flat_map(|s| &s.uses) {
        match name.split_once("::") {
            None => _ = root.insert((*name).into()),
            Some((module, names)) => modules
                .entry(module.into())
                .or_default()
                .extend(names.trim_matches(['{', '}']).split(", ").map(String::from)),
        }
    }
    let mut items: Vec<String> = Vec::new();
    for (module, names) in modules {
        let names: Vec<String> = names.into_iter().collect();
        items.push(match &names[..] {
            [one] => format!("{module}::{one}"),
            _ => format!("{module}::{{{}}}", names.join(", ")),
        });
    }
    items.extend(root);
    format!(
        "use cygnet_kernels::{{\n    {},\n}};\n",
        items.join(",\n    ")
    )
}

fn library(source: &Source, names: &Names<'_>) -> String {
    let mut out = String::new();
    // Writing to a string cannot fail.
    let _ = write_library(&mut out, source, names);
    out
}

fn write_library(out: &mut String, source: &Source, names: &Names<'_>) -> std::fmt::Result {
    let crate_name = names.package.replace('-', "_");
    let (inputs, outputs) = (
        accessors("input", &source.inputs),
        accessors("output", &source.outputs),
    );
    writeln!(out, "//! `{}`: a neural network as code.", names.package)?;
    writeln!(out, "//!")?;
    writeln!(out, "//! | | |\n//! |---|---|")?;
    for (name, port) in inputs.iter().zip(&source.inputs) {
        writeln!(
            out,
            "//! | `{name}` | {} `{}` |",
            shape(port.dtype, &port.shape),
            port.name
        )?;
    }
    for (name, port) in outputs.iter().zip(&source.outputs) {
        writeln!(
            out,
            "//! | `{name}` | {} `{}` |",
            shape(port.dtype, &port.shape),
            port.name
        )?;
    }
    writeln!(out, "//! | RAM: arena | {} bytes |", source.arena_bytes)?;
    writeln!(
        out,
        "//! | flash: weights | {} bytes |",
        source.weights.len()
    )?;
    writeln!(
        out,
        "//!\n//! ```\n//! let mut arena = {crate_name}::Arena::new();\n//! let mut model = {crate_name}::Model::new(&mut arena);"
    )?;
    for name in &inputs {
        writeln!(out, "//! model.{name}_mut().fill(Default::default());")?;
    }
    writeln!(
        out,
        "//! model.run()?;\n//! let answer = model.{}();",
        outputs.first().map_or("output", |n| n)
    )?;
    writeln!(
        out,
        "//! # let _ = answer;\n//! # Ok::<(), {crate_name}::KernelError>(())\n//! ```\n//!"
    )?;
    writeln!(
        out,
        "//! Written by {} from {}, whose program has the SHA-256\n//! `{}`.",
        names.compiler, names.bundle, names.program_sha256
    )?;
    writeln!(out, "#![no_std]\n#![forbid(unsafe_code)]\n")?;
    if !names.golden.is_empty() {
        writeln!(out, "#[cfg(feature = \"self-test\")]\nmod self_test;\n")?;
    }
    writeln!(out, "pub use cygnet_kernels::KernelError;")?;
    let lines = uses(source);
    writeln!(out, "{lines}")?;
    writeln!(
        out,
        "/// Bytes of working memory: inputs, outputs, states and everything between."
    )?;
    writeln!(
        out,
        "pub const ARENA_BYTES: usize = {};\n",
        source.arena_bytes
    )?;
    writeln!(out, "/// Bytes of weights in read-only memory.")?;
    writeln!(
        out,
        "pub const WEIGHT_BYTES: usize = {};\n",
        source.weights.len()
    )?;
    if !names.labels.is_empty() {
        writeln!(out, "/// Names of the classes.")?;
        writeln!(out, "pub const LABELS: [&str; {}] = [", names.labels.len())?;
        for label in names.labels {
            writeln!(out, "    {label:?},")?;
        }
        writeln!(out, "];\n")?;
    }
    writeln!(
        out,
        "static WEIGHTS: Aligned<WEIGHT_BYTES> = Aligned::new(*include_bytes!(\"weights.bin\"));\n"
    )?;
    if source.steps.iter().any(|s| s.body.contains("KERNELS.")) {
        writeln!(out, "const KERNELS: Kernels = Kernels::COMPILED;\n")?;
    }
    out.push_str(
        "/// Working memory. Zeros, so that a static one costs no flash.\npub struct Arena(Aligned<ARENA_BYTES>);\n\nimpl Arena {\n    /// Memory of a model that has not run.\n    #[allow(clippy::new_without_default)]\n    pub const fn new() -> Self {\n        Arena(Aligned::ZERO)\n    }\n}\n\n/// The model with its working memory.\npub struct Model<'a> {\n    arena: &'a mut Arena,\n}\n\nimpl<'a> Model<'a> {\n",
    );
    out.push_str("    /// The model in `arena`");
    out.push_str(if source.state_bytes > 0 {
        ", its states reset.\n    pub fn new(arena: &'a mut Arena) -> Self {\n        let mut model = Model { arena };\n        model.reset();\n        model\n    }\n\n    /// The model in `arena` where another left it.\n    pub fn resume(arena: &'a mut Arena) -> Self {\n        Model { arena }\n    }\n"
    } else {
        ".\n    pub fn new(arena: &'a mut Arena) -> Self {\n        Model { arena }\n    }\n"
    });
    if source.state_bytes > 0 {
        writeln!(
            out,
            "\n    /// Sets every state to its first value.\n    pub fn reset(&mut self) {{"
        )?;
        writeln!(
            out,
            "        self.arena.0.view_mut::<u8, 0, {}>().fill(0);",
            source.state_bytes
        )?;
        for (at, init) in &source.state_init {
            writeln!(
                out,
                "        self.arena.0.view_mut::<u8, {at}, {}>().copy_from_slice(&{init:?});",
                init.len()
            )?;
        }
        writeln!(out, "    }}")?;
    }
    for (name, port) in inputs.iter().zip(&source.inputs) {
        writeln!(
            out,
            "\n    /// Input `{}`, {}, to fill before each run: a run may overwrite it.",
            port.name,
            shape(port.dtype, &port.shape)
        )?;
        let (t, at, len) = (port.element, port.offset, port.len());
        writeln!(
            out,
            "    pub fn {name}_mut(&mut self) -> &mut [{t}; {len}] {{"
        )?;
        writeln!(
            out,
            "        self.arena.0.view_mut::<{t}, {at}, {len}>()\n    }}"
        )?;
    }
    for (name, port) in outputs.iter().zip(&source.outputs) {
        writeln!(
            out,
            "\n    /// Output `{}`, {}, after a run.",
            port.name,
            shape(port.dtype, &port.shape)
        )?;
        let (t, at, len) = (port.element, port.offset, port.len());
        writeln!(out, "    pub fn {name}(&self) -> &[{t}; {len}] {{")?;
        writeln!(
            out,
            "        self.arena.0.view::<{t}, {at}, {len}>()\n    }}"
        )?;
    }
    writeln!(
        out,
        "\n    /// Runs the model on its inputs.\n    ///\n    /// # Errors\n    /// When a kernel refuses its operands, which the compiler has ruled out."
    )?;
    writeln!(
        out,
        "    pub fn run(&mut self) -> Result<(), KernelError> {{"
    )?;
    for step in &source.steps {
        let end = if step.fallible { "?" } else { "" };
        writeln!(out, "        self.{}(){end};", method(step))?;
    }
    for (from, to, bytes) in &source.state_moves {
        writeln!(
            out,
            "        let (state, next) = self.arena.0.step::<u8, {to}, {bytes}, {}>();",
            to + bytes
        )?;
        writeln!(
            out,
            "        state.copy_from_slice(next.view::<u8, {from}, {bytes}>());"
        )?;
    }
    writeln!(out, "        Ok(())\n    }}")?;
    for step in &source.steps {
        let node = match step.node.as_str() {
            "" => String::new(),
            node => format!("`{node}`: "),
        };
        writeln!(out, "\n    /// {node}{}, {}.", step.operator, step.shapes)?;
        let result = if step.fallible {
            " -> Result<(), KernelError>"
        } else {
            ""
        };
        writeln!(out, "    fn {}(&mut self){result} {{", method(step))?;
        out.push_str(&step.body);
        writeln!(out, "    }}")?;
    }
    writeln!(out, "}}")?;
    for (i, layer) in source.shared.iter().enumerate() {
        writeln!(
            out,
            "\n/// Parameters that several steps share.\nstruct Shared{i};\n\nimpl Layer for Shared{i} {{\n{layer}}}"
        )?;
    }
    Ok(())
}

fn method(step: &super::Step) -> String {
    format!("step_{}_{}", step.index, step.operator)
}

/// The golden examples as a test of this machine.
fn test(names: &Names<'_>) -> String {
    let name = names.package;
    format!(
        r#"//! The golden examples on the machine that builds: `cargo test --features self-test`.
#![cfg(feature = "self-test")]

#[test]
fn golden_examples_agree() {{
    let mut arena = {name}::Arena::new();
    assert_eq!({name}::Model::new(&mut arena).self_test(), Ok(true));
}}
"#
    )
}

/// `Model::self_test` and the bytes of its examples; `None` without examples that fit.
fn self_test(
    source: &Source,
    names: &Names<'_>,
    files: &mut BTreeMap<String, Vec<u8>>,
) -> Option<String> {
    let (inputs, outputs) = (
        accessors("input", &source.inputs),
        accessors("output", &source.outputs),
    );
    let mut body = String::new();
    for (example, bytes) in names.golden.iter().enumerate() {
        let golden = Golden::parse(bytes)?;
        if golden.reset && source.state_bytes > 0 {
            body.push_str("        self.reset();\n");
        }
        let tensors: Vec<_> = (0..golden.len()).filter_map(|i| golden.tensor(i)).collect();
        let mut file = |role: &str, index: u32, bytes: &[u8]| {
            let name = format!("golden_{example}_{role}_{index}.bin");
            files.insert(format!("src/{name}"), bytes.to_vec());
            name
        };
        for t in tensors.iter().filter(|t| t.role == Role::Input) {
            let port = source.inputs.get(t.index as usize)?;
            let name = file("input", t.index, t.bytes);
            let (accessor, e) = (&inputs[t.index as usize], port.element);
            let _ = writeln!(
                body,
                "        load(self.{accessor}_mut(), include_bytes!(\"{name}\"), {e}::from_le_bytes);"
            );
        }
        body.push_str("        self.run()?;\n");
        for t in tensors.iter().filter(|t| t.role == Role::Output) {
            let port = source.outputs.get(t.index as usize)?;
            let name = file("output", t.index, t.bytes);
            let (accessor, e) = (&outputs[t.index as usize], port.element);
            let close = match port.dtype {
                DType::F32 | DType::F64 => {
                    let (rtol, atol) = (golden.rtol, golden.atol);
                    format!("|a, b| a == b || (a - b).abs() <= {atol:?} + {rtol:?} * b.abs()")
                }
                _ => "|a, b| a == b".into(),
            };
            let _ = writeln!(
                body,
                "        good &= agrees(self.{accessor}(), include_bytes!(\"{name}\"), {e}::from_le_bytes, {close});"
            );
        }
    }
    if body.is_empty() {
        return None;
    }
    Some(format!(
        r#"//! The bundle's golden examples on this very device.

use crate::{{KernelError, Model}};

/// Fills an input with the little-endian elements of `bytes`.
fn load<T, const N: usize>(x: &mut [T], bytes: &[u8], from: fn([u8; N]) -> T) {{
    for (x, bytes) in x.iter_mut().zip(bytes.as_chunks::<N>().0) {{
        *x = from(*bytes);
    }}
}}

/// Whether every element is as expected.
fn agrees<T: Copy, const N: usize>(
    y: &[T],
    bytes: &[u8],
    from: fn([u8; N]) -> T,
    close: fn(T, T) -> bool,
) -> bool {{
    y.iter()
        .zip(bytes.as_chunks::<N>().0)
        .all(|(&y, bytes)| close(y, from(*bytes)))
}}

impl Model<'_> {{
    /// Runs the golden examples; `false` when a result is not as the compiler's.
    ///
    /// # Errors
    /// As [`Model::run`].
    pub fn self_test(&mut self) -> Result<bool, KernelError> {{
        let mut good = true;
{body}        Ok(good)
    }}
}}
"#
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn port(name: &str) -> Port {
        Port {
            name: name.into(),
            dtype: DType::F32,
            element: "f32",
            shape: vec![1],
            offset: 0,
        }
    }

    #[test]
    fn names_become_identifiers() {
        assert_eq!(identifier("serving_default_x:0"), "serving_default_x_0");
        assert_eq!(identifier("3d"), "t3d");
        assert_eq!(identifier("//"), "tensor");
        assert_eq!(accessors("input", &[port("a")]), ["input"]);
        assert_eq!(
            accessors("input", &[port("a/b"), port("c")]),
            ["input_a_b", "input_c"]
        );
        assert_eq!(
            accessors("output", &[port("a/b"), port("a.b")]),
            ["output_0", "output_1"]
        );
    }
}
