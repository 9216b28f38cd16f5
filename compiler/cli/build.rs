//! Lists the runtime's sources, which `cygnet package` writes beside the code that it generates.

use std::fmt::Write;
use std::path::{Path, PathBuf};

/// Crates of the runtime that generated code needs.
const CRATES: [(&str, &str); 3] = [
    ("cygnet-format", "runtime/format"),
    ("cygnet-kernels", "runtime/kernels"),
    ("cygnet-runtime", "runtime/engine"),
];

fn main() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let out = PathBuf::from(std::env::var("OUT_DIR").expect("cargo sets it"));
    println!("cargo:rerun-if-changed=build.rs");
    let workspace = read(&root.join("Cargo.toml"));
    let mut list = "&[\n".to_owned();
    let mut add = |name: String, path: &Path| {
        writeln!(list, "    ({name:?}, include_str!({path:?})),").expect("a string takes all");
    };
    for (name, folder) in CRATES {
        let folder = root.join(folder);
        println!("cargo:rerun-if-changed={}", folder.display());
        let manifest = out.join(format!("{name}.toml"));
        let text = standalone(&read(&folder.join("Cargo.toml")), &workspace);
        std::fs::write(&manifest, text).expect("the output folder can be written");
        add(format!("{name}/Cargo.toml"), &manifest);
        let script = folder.join("build.rs");
        if script.exists() {
            add(format!("{name}/build.rs"), &script);
        }
        let mut files = Vec::new();
        sources(&folder.join("src"), &mut files);
        files.sort();
        for path in files {
            let inside = path.strip_prefix(&folder).expect("below the folder");
            add(format!("{name}/{}", inside.display()), &path);
        }
    }
    list.push(']');
    std::fs::write(out.join("runtime.rs"), list).expect("the output folder can be written");
}

fn read(path: &Path) -> String {
    std::fs::read_to_string(path).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}

/// The sources below a folder, without those of unit tests.
fn sources(folder: &Path, files: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).unwrap_or_else(|e| panic!("{}: {e}", folder.display())) {
        let path = entry.expect("a folder's entry").path();
        let test = path.file_stem().is_some_and(|stem| stem == "tests");
        if path.is_dir() && !test {
            sources(&path, files);
        } else if path.extension().is_some_and(|e| e == "rs") && !test {
            files.push(path);
        }
    }
}

/// A member's manifest without its workspace: what it inherits is written out, examples and lints are left out.
fn standalone(member: &str, workspace: &str) -> String {
    let inherited = |section: &str, key: &str| -> &str {
        let body = workspace
            .split_once(&format!("[{section}]\n"))
            .map_or("", |(_, rest)| rest.split("\n[").next().unwrap_or(rest));
        body.lines()
            .find_map(|line| line.strip_prefix(key)?.trim_start().strip_prefix('='))
            .unwrap_or_else(|| panic!("{key} is not in [{section}]"))
            .trim()
    };
    let mut out = String::new();
    let mut keep = true;
    for line in member.lines() {
        if line.starts_with('[') {
            let section = line.trim_matches(['[', ']']);
            keep = matches!(section, "package" | "features" | "dependencies")
                || section.starts_with("target.");
        }
        if !keep {
            continue;
        }
        let line = if let Some((key, _)) = line.split_once(".workspace = true") {
            format!("{key} = {}", inherited("workspace.package", key))
        } else if let Some((key, rest)) = line.split_once(" = { workspace = true") {
            let rest = rest.trim_end_matches('}').trim();
            if key.starts_with("cygnet-") {
                format!("{key} = {{ path = \"../{key}\"{rest} }}")
            } else {
                let value = inherited("workspace.dependencies", key);
                match value.strip_prefix('{') {
                    Some(table) => {
                        format!("{key} = {{ {}{rest} }}", table.trim_end_matches('}').trim())
                    }
                    None => format!("{key} = {{ version = {value}{rest} }}"),
                }
            }
        } else {
            line.to_owned()
        };
        out.push_str(&line);
        out.push('\n');
    }
    out
}
