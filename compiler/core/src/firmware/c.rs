//! The C side of a package: a header, a crate that becomes a static library, and what build systems ask for.

use super::Source;
use super::package::{Names, accessors, shape};
use cygnet_kernels::KernelError;
use std::collections::BTreeMap;
use std::fmt::Write;

/// A processor that a static library is built for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cpu {
    /// What users call it.
    pub name: &'static str,
    /// Rust's target.
    pub target: &'static str,
    /// The compiler's name for it.
    pub tuning: &'static str,
    /// Folder of the library below `src`, as Arduino looks for it.
    pub folder: &'static str,
}

/// Processors with a name.
pub const CPUS: &[Cpu] = &[
    cpu("cortex-m0", "thumbv6m-none-eabi", "cortex-m0", "cortex-m0"),
    cpu(
        "cortex-m0plus",
        "thumbv6m-none-eabi",
        "cortex-m0plus",
        "cortex-m0plus",
    ),
    cpu("cortex-m3", "thumbv7m-none-eabi", "cortex-m3", "cortex-m3"),
    cpu("cortex-m4", "thumbv7em-none-eabi", "cortex-m4", "cortex-m4"),
    cpu(
        "cortex-m4f",
        "thumbv7em-none-eabihf",
        "cortex-m4",
        "cortex-m4/fpv4-sp-d16-hard",
    ),
    cpu(
        "cortex-m7",
        "thumbv7em-none-eabihf",
        "cortex-m7",
        "cortex-m7/fpv5-sp-d16-hard",
    ),
    cpu(
        "cortex-m33",
        "thumbv8m.main-none-eabihf",
        "cortex-m33",
        "cortex-m33/fpv5-sp-d16-hard",
    ),
    cpu(
        "cortex-m55",
        "thumbv8m.main-none-eabihf",
        "cortex-m55",
        "cortex-m55/fpv5-sp-d16-hard",
    ),
    cpu(
        "riscv32imc",
        "riscv32imc-unknown-none-elf",
        "generic-rv32",
        "riscv32imc",
    ),
    cpu("host", "", "", "host"),
];

const fn cpu(
    name: &'static str,
    target: &'static str,
    tuning: &'static str,
    folder: &'static str,
) -> Cpu {
    Cpu {
        name,
        target,
        tuning,
        folder,
    }
}

/// Files by their path, those of the Rust crate in `rust` not counted, nor the header: cbindgen makes it of
/// `rust/c/src/lib.rs` with [`c_header`].
pub fn c_files(source: &Source, names: &Names<'_>, cpus: &[Cpu]) -> BTreeMap<String, Vec<u8>> {
    let name = names.package;
    let mut files = BTreeMap::new();
    let mut add = |path: &str, text: String| {
        files.insert(path.to_owned(), text.into_bytes());
    };
    add("rust/c/.gitignore", "target/\n".into());
    for (path, text) in static_library(source, names, "..") {
        add(&format!("rust/c/{path}"), text);
    }
    add("CMakeLists.txt", cmake(name, cpus));
    add(
        "zephyr/module.yml",
        format!(
            "# Written by {}.\nname: {name}\nbuild:\n  cmake: zephyr\n",
            names.compiler
        ),
    );
    add("zephyr/CMakeLists.txt", zephyr(name, cpus));
    add("library.properties", arduino(name, names));
    add(
        "idf_component.yml",
        format!(
            "# Written by {}.\nversion: \"0.0.0\"\ndescription: A neural network as a library\n",
            names.compiler
        ),
    );
    add(
        &format!("examples/{name}_once/{name}_once.ino"),
        sketch(source, name),
    );
    files
}

/// The crate that becomes a static library, beside one of [`super::crate_files`] at `path`.
pub fn static_library(
    source: &Source,
    names: &Names<'_>,
    path: &str,
) -> BTreeMap<&'static str, String> {
    BTreeMap::from([
        ("Cargo.toml", manifest(names, path)),
        ("src/lib.rs", library(source, names)),
    ])
}

/// The functions of a static library that an application calls to run the model, the run itself first.
pub fn entry_points(source: &Source, name: &str) -> Vec<String> {
    let mut functions = vec![format!("{name}_run")];
    let accessors = accessor_names(source).concat();
    functions.extend(accessors.iter().map(|a| format!("{name}_{a}")));
    if source.state_bytes > 0 {
        functions.push(format!("{name}_reset"));
    }
    functions
}

fn accessor_names(source: &Source) -> [Vec<String>; 2] {
    [
        accessors("input", &source.inputs),
        accessors("output", &source.outputs),
    ]
}

/// What the library's header has besides the declarations.
pub struct CHeader {
    /// The comment that begins it.
    pub comment: String,
    /// The macro that guards against a second inclusion.
    pub guard: String,
    /// Macros that are no constants of the library.
    pub macros: String,
}

/// What the header of a static library has besides the declarations of its source.
pub fn c_header(names: &Names<'_>) -> CHeader {
    let upper = names.package.to_uppercase();
    let mut macros = String::new();
    if !names.labels.is_empty() {
        // Writing to a string cannot fail.
        let _ = write!(
            macros,
            "/* Names of the classes. */\n#define {upper}_LABELS \\\n    {{ \\\n"
        );
        for label in names.labels {
            let _ = writeln!(macros, "        {}, \\", c_string(label));
        }
        macros.push_str("    }");
    }
    CHeader {
        comment: format!(
            "/* `{}`: a neural network as a library.\n *\n * Written by {} from {}, whose program has the SHA-256\n * {}.\n *\n * The library has one arena: one thread at a time may call its functions, and no interrupt may while another call runs.\n * Nothing allocates. */",
            names.package, names.compiler, names.bundle, names.program_sha256
        ),
        guard: format!("{upper}_H"),
        macros,
    }
}

/// The library's constants, which the header has as macros.
fn constants(source: &Source, name: &str) -> String {
    let upper = name.to_uppercase();
    let mut out = format!(
        "\n/// Bytes of working memory inside of the library, without the stack.\npub const {upper}_ARENA_BYTES: usize = {};\n\n/// Bytes of weights in read-only memory.\npub const {upper}_WEIGHT_BYTES: usize = {};\n",
        source.arena_bytes,
        source.weights.len()
    );
    let [inputs, outputs] = accessor_names(source);
    let ports = inputs.iter().zip(&source.inputs);
    for (accessor, port) in ports.chain(outputs.iter().zip(&source.outputs)) {
        let _ = write!(
            out,
            "\n/// Elements of `{}`, {}.\npub const {upper}_{}_LEN: usize = {};\n",
            port.name,
            shape(port.dtype, &port.shape),
            accessor.to_uppercase(),
            port.len()
        );
    }
    out
}

fn c_string(text: &str) -> String {
    let mut out = "\"".to_owned();
    for byte in text.bytes() {
        match byte {
            b'"' | b'\\' => {
                out.push('\\');
                out.push(byte as char);
            }
            0x20..0x7f => out.push(byte as char),
            // Three digits end an octal escape, whatever follows.
            _ => out.push_str(&format!("\\{byte:03o}")),
        }
    }
    out.push('"');
    out
}

fn manifest(names: &Names<'_>, path: &str) -> String {
    format!(
        r#"# Written by {compiler}: the static library of `{name}`.
[package]
name = "{name}_c"
version = "0.0.0"
edition = "2024"
publish = false

[lib]
name = "{name}_c"
crate-type = ["staticlib"]

[dependencies]
{name} = {{ path = "{path}", features = ["self-test"] }}

[profile.release]
opt-level = "s"
lto = "fat"
codegen-units = 1
panic = "abort"

# The arithmetic is for speed, everything else for size.
[profile.release.package.cygnet-kernels]
opt-level = 3

[workspace]
"#,
        compiler = names.compiler,
        name = names.package,
    )
}

fn library(source: &Source, names: &Names<'_>) -> String {
    let name = names.package;
    let [inputs, outputs] = accessor_names(source);
    let mut body = constants(source, name);
    for (accessor, port) in inputs.iter().zip(&source.inputs) {
        let _ = write!(
            body,
            "\n/// Input `{}`, {}, to fill before each run: a run may overwrite it.\n#[unsafe(no_mangle)]\npub extern \"C\" fn {name}_{accessor}() -> *mut {} {{\n    model().{accessor}_mut().as_mut_ptr()\n}}\n",
            port.name,
            shape(port.dtype, &port.shape),
            port.element
        );
    }
    for (accessor, port) in outputs.iter().zip(&source.outputs) {
        let _ = write!(
            body,
            "\n/// Output `{}`, {}, after a run.\n#[unsafe(no_mangle)]\npub extern \"C\" fn {name}_{accessor}() -> *const {} {{\n    model().{accessor}().as_ptr()\n}}\n",
            port.name,
            shape(port.dtype, &port.shape),
            port.element
        );
    }
    let (model, reset) = if source.state_bytes > 0 {
        (
            "Model::resume",
            format!(
                "\n/// Sets every state to its first value: before the first run, and between streams.\n#[unsafe(no_mangle)]\npub extern \"C\" fn {name}_reset() {{\n    model().reset();\n}}\n"
            ),
        )
    } else {
        ("Model::new", String::new())
    };
    let test = if names.golden.is_empty() {
        "-2".to_owned()
    } else {
        "match model().self_test() {\n        Ok(true) => 0,\n        Ok(false) => -1,\n        Err(error) => error.code(),\n    }".to_owned()
    };
    let mut texts = String::new();
    for error in KernelError::ALL {
        let _ = writeln!(texts, "        {} => c{:?},", error.code(), error.text());
    }
    format!(
        r#"//! The C interface of `{name}`, of which cbindgen made `src/{name}.h`.
#![no_std]

use core::ffi::{{CStr, c_char}};
use {name}::{{Arena, Model}};

static mut ARENA: Arena = Arena::new();

/// The model in the library's arena.
fn model() -> Model<'static> {{
    // SAFETY: one thread at a time calls the library, as its header says, and no call keeps the model.
    {model}(unsafe {{ &mut *(&raw mut ARENA) }})
}}
{body}
/// Runs the model on its inputs. 0, or a code for {name}_status_text().
#[unsafe(no_mangle)]
pub extern "C" fn {name}_run() -> i32 {{
    match model().run() {{
        Ok(()) => 0,
        Err(error) => error.code(),
    }}
}}
{reset}
/// Runs the golden examples: 0 when this processor gives the compiler's answers, -1 when it does not, -2 when there are no
/// examples, or the code of a failed run. Its data are linked only when it is called.
#[unsafe(no_mangle)]
pub extern "C" fn {name}_self_test() -> i32 {{
    {test}
}}

/// What a code means; never NULL.
#[unsafe(no_mangle)]
pub extern "C" fn {name}_status_text(status: i32) -> *const c_char {{
    let text: &CStr = match status {{
        -2 => c"the library has no golden examples",
        -1 => c"a golden example gave another answer",
        0 => c"no error",
{texts}        _ => c"an unknown status",
    }};
    text.as_ptr()
}}

/// The compiler that wrote the library, such as "cygnet 0.1.0".
#[unsafe(no_mangle)]
pub extern "C" fn {name}_version() -> *const c_char {{
    c"{compiler}".as_ptr()
}}

/// The compiler has ruled panics out; a processor that gets here has broken memory.
#[cfg(not(test))]
#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {{
    loop {{}}
}}
"#,
        compiler = names.compiler,
        texts = texts,
    )
}

/// The library's path for the processor that a CMake variable names.
fn cmake(name: &str, cpus: &[Cpu]) -> String {
    let known: Vec<&str> = cpus.iter().map(|c| c.name).collect();
    let mut choose = String::new();
    for (i, cpu) in cpus.iter().enumerate() {
        let word = if i == 0 { "if" } else { "elseif" };
        let _ = writeln!(
            choose,
            "{word}(CYGNET_CPU STREQUAL \"{}\")\n  set({name}_folder \"{}\")",
            cpu.name, cpu.folder
        );
    }
    format!(
        r#"# The library {name}, for CMake and as a component of ESP-IDF.
#   add_subdirectory({name})
#   target_link_libraries(app PRIVATE {name})
# CYGNET_CPU names the processor: {list}.
cmake_minimum_required(VERSION 3.13)

if(ESP_PLATFORM)
  idf_component_register(INCLUDE_DIRS "src")
  if(CONFIG_IDF_TARGET_ARCH_XTENSA OR NOT EXISTS "${{CMAKE_CURRENT_LIST_DIR}}/src/riscv32imc/lib{name}.a")
    message(FATAL_ERROR "{name} has no library for this processor; chips with RISC-V take one by --cpu riscv32imc")
  endif()
  add_prebuilt_library({name} "src/riscv32imc/lib{name}.a")
  target_link_libraries(${{COMPONENT_LIB}} INTERFACE {name})
  return()
endif()

if(NOT DEFINED CYGNET_CPU)
  set(CYGNET_CPU "{first}")
endif()
{choose}else()
  message(FATAL_ERROR "{name} has no library for CYGNET_CPU=${{CYGNET_CPU}}; it has: {list}. Package the model again with --cpu ${{CYGNET_CPU}}")
endif()
add_library({name} STATIC IMPORTED GLOBAL)
set_target_properties({name} PROPERTIES
  IMPORTED_LOCATION "${{CMAKE_CURRENT_LIST_DIR}}/src/${{{name}_folder}}/lib{name}.a"
  INTERFACE_INCLUDE_DIRECTORIES "${{CMAKE_CURRENT_LIST_DIR}}/src")
"#,
        list = known.join(", "),
        first = known.first().unwrap_or(&""),
    )
}

fn zephyr(name: &str, cpus: &[Cpu]) -> String {
    let mut choose = String::new();
    let mut word = "if";
    for cpu in cpus.iter().filter(|c| c.name != "host") {
        let condition = match cpu.name {
            "cortex-m0" => "CONFIG_CPU_CORTEX_M0",
            "cortex-m0plus" => "CONFIG_CPU_CORTEX_M0PLUS",
            "cortex-m3" => "CONFIG_CPU_CORTEX_M3",
            "cortex-m4" => "CONFIG_CPU_CORTEX_M4 AND NOT CONFIG_FP_HARDABI",
            "cortex-m4f" => "CONFIG_CPU_CORTEX_M4 AND CONFIG_FP_HARDABI",
            "cortex-m7" => "CONFIG_CPU_CORTEX_M7 AND CONFIG_FP_HARDABI",
            "cortex-m33" => "CONFIG_CPU_CORTEX_M33 AND CONFIG_FP_HARDABI",
            "cortex-m55" => "CONFIG_CPU_CORTEX_M55 AND CONFIG_FP_HARDABI",
            _ => "CONFIG_RISCV",
        };
        let _ = writeln!(
            choose,
            "{word}({condition})\n  set({name}_folder \"{}\")",
            cpu.folder
        );
        word = "elseif";
    }
    let end = if choose.is_empty() {
        format!(
            "message(FATAL_ERROR \"{name} has no library for a microcontroller; package the model with --cpu\")\n"
        )
    } else {
        format!(
            "else()\n  message(FATAL_ERROR \"{name} has no library for this processor; package the model again with --cpu\")\nendif()\n"
        )
    };
    format!(
        r#"# The library {name} as a module of Zephyr.
{choose}{end}zephyr_include_directories(${{CMAKE_CURRENT_LIST_DIR}}/../src)
zephyr_link_libraries(${{CMAKE_CURRENT_LIST_DIR}}/../src/${{{name}_folder}}/lib{name}.a)
"#
    )
}

fn arduino(name: &str, names: &Names<'_>) -> String {
    format!(
        "name={name}\nversion=0.0.0\nauthor=cygnet\nmaintainer=cygnet\nsentence=A neural network as a library.\nparagraph=Written by {} from {}.\ncategory=Data Processing\nurl=urn:sha256:{}\narchitectures=*\nincludes={name}.h\nprecompiled=true\nldflags=-l{name}\n",
        names.compiler, names.bundle, names.program_sha256
    )
}

fn sketch(source: &Source, name: &str) -> String {
    let [inputs, outputs] = accessor_names(source);
    let upper = name.to_uppercase();
    let (input, output) = (
        inputs.first().map_or("input", |s| s),
        outputs.first().map_or("output", |s| s),
    );
    let (input_len, output_len) = (input.to_uppercase(), output.to_uppercase());
    format!(
        r#"// Runs {name} once and prints its first output.
#include <{name}.h>

void setup() {{
  Serial.begin(115200);
  while (!Serial) {{
  }}
  Serial.println({name}_self_test() == 0 ? "self-test: ok" : "self-test: FAILED");
}}

void loop() {{
  for (int i = 0; i < {upper}_{input_len}_LEN; i++) {{
    {name}_{input}()[i] = 0;  // what the sensor says
  }}
  int32_t status = {name}_run();
  if (status != 0) {{
    Serial.println({name}_status_text(status));
  }}
  for (int i = 0; i < {upper}_{output_len}_LEN; i++) {{
    Serial.println((double){name}_{output}()[i]);
  }}
  delay(1000);
}}
"#
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_are_strings_of_c() {
        assert_eq!(c_string("a \"b\" \\"), "\"a \\\"b\\\" \\\\\"");
        assert_eq!(c_string("ü1"), "\"\\303\\2741\"");
    }

    #[test]
    fn every_processor_has_a_folder_of_its_own() {
        for (i, a) in CPUS.iter().enumerate() {
            for b in &CPUS[..i] {
                assert!(
                    a.folder != b.folder && a.name != b.name,
                    "{} and {}",
                    a.name,
                    b.name
                );
            }
        }
    }
}
