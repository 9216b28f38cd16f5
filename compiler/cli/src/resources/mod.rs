//! What a packaged model takes of a chip, read from its static library before anything is linked.
//!
//! A static library holds one function a section, with relocations for every call and every address. Following them from
//! the functions that an application calls gives what a linker that drops unused sections keeps: code by function, weights,
//! tables. The same calls with the frames of the functions give the deepest stack.

mod elf;
mod frames;
mod names;

use elf::{EXECUTE, FUNCTION, NOBITS, Object, PROGBITS, WRITE};
use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet};

/// What is linked of a library, and the stack it takes.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Resources {
    /// Flash: everything below.
    pub flash_bytes: u64,
    /// Instructions.
    pub code_bytes: u64,
    /// The model's weights.
    pub weight_bytes: u64,
    /// Constants besides the weights: parameters of steps, tables of functions.
    pub table_bytes: u64,
    /// RAM: static memory and the stack.
    pub ram_bytes: u64,
    /// Static memory: the arena.
    pub static_bytes: u64,
    /// Bound of the stack of one inference, interrupts not counted.
    pub stack_bytes: u64,
    /// The calls that take it, outermost first.
    pub stack_path: Vec<Frame>,
    /// Functions, largest first.
    pub functions: Vec<Function>,
}

/// A function that is linked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Function {
    /// Its path.
    pub name: String,
    /// Bytes of its instructions and literals.
    pub bytes: u64,
}

/// A call on the deepest path.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Frame {
    /// The function's path.
    pub name: String,
    /// Bytes of its frame.
    pub bytes: u64,
}

/// A section: number of the object, number in it.
type Node = (usize, usize);

/// How one section refers to another.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Reference {
    Call,
    /// The frame is gone when the other begins.
    Jump,
    /// A function whose address is taken, or data.
    Address,
}

struct Library<'a> {
    objects: Vec<Object<'a>>,
    defined: BTreeMap<&'a str, Node>,
    /// The name of the function in a section.
    functions: BTreeMap<Node, &'a str>,
    /// Where instructions end and literals begin (or the other way), by section.
    marks: BTreeMap<Node, Vec<(u32, bool)>>,
}

impl<'a> Library<'a> {
    fn read(archive: &'a [u8]) -> Option<Self> {
        let mut library = Library {
            objects: Vec::new(),
            defined: BTreeMap::new(),
            functions: BTreeMap::new(),
            marks: BTreeMap::new(),
        };
        for member in elf::members(archive)? {
            library.objects.push(elf::object(member)?);
        }
        for (o, object) in library.objects.iter().enumerate() {
            for symbol in object.symbols.iter().filter(|s| s.section != 0) {
                let node = (o, usize::from(symbol.section));
                if symbol.global {
                    library.defined.entry(symbol.name).or_insert(node);
                }
                if symbol.kind == FUNCTION {
                    library.functions.entry(node).or_insert(symbol.name);
                }
                // Mapping symbols: ELF for the Arm Architecture, 5.5.5.
                let mark = symbol.name.split('.').next();
                if matches!(mark, Some("$d" | "$t")) {
                    let marks = library.marks.entry(node).or_default();
                    marks.push((symbol.value, mark == Some("$d")));
                }
            }
        }
        library.marks.values_mut().for_each(|m| m.sort_unstable());
        Some(library)
    }

    fn section(&self, node: Node) -> Option<&elf::Section<'a>> {
        self.objects.get(node.0)?.sections.get(node.1)
    }

    /// What a section refers to.
    fn references(&self, node: Node) -> Vec<(Reference, Node)> {
        let (object, Some(section)) = (&self.objects[node.0], self.section(node)) else {
            return Vec::new();
        };
        let mut found = Vec::new();
        for r in &section.relocations {
            let Some(symbol) = object.symbols.get(r.symbol as usize) else {
                continue;
            };
            let to = match symbol.section {
                0 => self.defined.get(symbol.name).copied(),
                s => Some((node.0, usize::from(s))),
            };
            // Absolute symbols have numbers beyond all sections.
            let Some(to) = to.filter(|&to| self.section(to).is_some()) else {
                continue;
            };
            let reference = match (object.machine, r.kind) {
                // R_ARM_THM_CALL; R_ARM_THM_JUMP24, R_ARM_THM_JUMP19, R_ARM_THM_JUMP11
                (elf::ARM, 10) => Reference::Call,
                (elf::ARM, 30 | 51 | 102) => Reference::Jump,
                // R_RISCV_CALL, R_RISCV_CALL_PLT: a jump when the return address goes to x0; R_RISCV_JAL likewise
                (elf::RISCV, 18 | 19) => link(section.data, r.offset as usize + 4),
                (elf::RISCV, 17) => link(section.data, r.offset as usize),
                _ => Reference::Address,
            };
            found.push((reference, to));
        }
        found
    }

    /// Everything that is linked with the functions of these names.
    fn reached(&self, roots: &[&str]) -> BTreeSet<Node> {
        let mut reached = BTreeSet::new();
        let mut open: Vec<Node> = roots
            .iter()
            .filter_map(|r| self.defined.get(r).copied())
            .collect();
        while let Some(node) = open.pop() {
            if reached.insert(node) {
                open.extend(self.references(node).into_iter().map(|(_, to)| to));
            }
        }
        reached
    }

    fn name(&self, node: Node) -> String {
        let section = self.section(node).map_or("", |s| s.name);
        let symbol = self.functions.get(&node).copied().unwrap_or(section);
        names::readable(symbol)
    }

    fn frame(&self, node: Node) -> Option<u64> {
        let section = self.section(node)?;
        if section.flags & EXECUTE == 0 {
            return Some(0);
        }
        let marks = self.marks.get(&node).map_or(&[][..], Vec::as_slice);
        let is_data = |at: usize| {
            let before = marks.partition_point(|m| m.0 as usize <= at);
            before > 0 && marks[before - 1].1
        };
        frames::frame(self.objects[node.0].machine, section.data, &is_data)
    }

    /// The deepest stack below a section, and the first call on the way there; `None` when it calls itself.
    fn depth(&self, node: Node, known: &mut BTreeMap<Node, Option<Depth>>) -> Option<Depth> {
        if let Some(depth) = known.get(&node) {
            return *depth;
        }
        // What is met again before it is known calls itself.
        known.insert(node, None);
        let frame = self.frame(node)?;
        let is_data = self.section(node)?.flags & EXECUTE == 0;
        let mut deepest = Depth {
            bytes: frame,
            next: None,
        };
        for (reference, to) in self.references(node) {
            let named = self.functions.contains_key(&to);
            let executed = self.section(to)?.flags & EXECUTE != 0;
            // Tables of jumps refer to places inside of functions, not to functions.
            let own = to == node && reference != Reference::Call;
            let within = executed && (own || is_data && !self.starts_function(node, to));
            // A panic ends the program.
            if within || named && is_panic(&self.name(to)) {
                continue;
            }
            let below = self.depth(to, known)?.bytes;
            let bytes = match reference {
                Reference::Jump => below,
                Reference::Call | Reference::Address => frame + below,
            };
            if bytes > deepest.bytes {
                deepest = Depth {
                    bytes,
                    next: Some(to),
                };
            }
        }
        known.insert(node, Some(deepest));
        Some(deepest)
    }

    /// Whether a relocation of `from` names a function of section `to`.
    fn starts_function(&self, from: Node, to: Node) -> bool {
        let object = &self.objects[from.0];
        self.section(from).is_some_and(|section| {
            section
                .relocations
                .iter()
                .filter_map(|r| object.symbols.get(r.symbol as usize))
                .any(|s| {
                    s.kind == FUNCTION && (s.section == 0 || (from.0, usize::from(s.section)) == to)
                })
        })
    }
}

#[derive(Clone, Copy)]
struct Depth {
    bytes: u64,
    next: Option<Node>,
}

/// Whether the RISC-V instruction keeps its return address.
fn link(code: &[u8], at: usize) -> Reference {
    let word = code.get(at..).and_then(|c| c.first_chunk::<4>());
    match word.map_or(1, |w| u32::from_le_bytes(*w) >> 7 & 31) {
        0 => Reference::Jump,
        _ => Reference::Call,
    }
}

fn is_panic(name: &str) -> bool {
    name.starts_with("core::panicking::") || name.ends_with("_fail") && name.starts_with("core::")
}

/// Reads a static library of a 32-bit processor: what is linked when an application calls the functions `roots`, and the
/// stack of `run`, one of them. `None` when the library is none, lacks `run`, or `run` calls itself.
pub fn measure(archive: &[u8], roots: &[&str], run: &str) -> Option<Resources> {
    let library = Library::read(archive)?;
    let first = *library.defined.get(run)?;
    let mut of = Resources::default();
    for node in library.reached(roots) {
        let section = library.section(node)?;
        match (section.kind, section.flags) {
            (NOBITS, _) => of.static_bytes += section.size,
            (PROGBITS, flags) if flags & EXECUTE != 0 => {
                of.code_bytes += section.size;
                of.functions.push(Function {
                    name: library.name(node),
                    bytes: section.size,
                });
            }
            (PROGBITS, flags) => {
                // Initialised data is in flash, and copied to RAM.
                if flags & WRITE != 0 {
                    of.static_bytes += section.size;
                }
                if names::readable(section.name.trim_start_matches(".rodata."))
                    .ends_with("::WEIGHTS")
                {
                    of.weight_bytes += section.size;
                } else {
                    of.table_bytes += section.size;
                }
            }
            _ => {}
        }
    }
    of.functions
        .sort_by(|a, b| b.bytes.cmp(&a.bytes).then(a.name.cmp(&b.name)));
    let mut known = BTreeMap::new();
    of.stack_bytes = library.depth(first, &mut known)?.bytes;
    let mut at = Some(first);
    while let Some(node) = at {
        if library.functions.contains_key(&node) {
            of.stack_path.push(Frame {
                name: library.name(node),
                bytes: library.frame(node)?,
            });
        }
        at = known.get(&node).copied().flatten().and_then(|d| d.next);
    }
    of.flash_bytes = of.code_bytes + of.weight_bytes + of.table_bytes;
    of.ram_bytes = of.static_bytes + of.stack_bytes;
    Some(of)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `fixture.s`, assembled.
    const FIXTURE: &[u8] = include_bytes!("fixture.a");

    #[test]
    fn what_is_linked_is_measured() {
        let of = measure(FIXTURE, &["model_run"], "model_run").unwrap();
        let functions: Vec<(&str, u64)> = of
            .functions
            .iter()
            .map(|f| (f.name.as_str(), f.bytes))
            .collect();
        assert_eq!(
            functions,
            [
                ("demo::inner::middle", 32),
                ("model_run", 18),
                ("leaf", 14),
                ("tail", 10),
            ]
        );
        assert_eq!(
            (of.code_bytes, of.weight_bytes, of.table_bytes),
            (74, 64, 16)
        );
        assert_eq!(of.flash_bytes, 74 + 64 + 16);
        assert_eq!(of.static_bytes, 128);
        // model_run 32, middle 20 + 1024, leaf 8; a tail call begins when the frame of 32 is gone.
        assert_eq!(of.stack_bytes, 32 + 1044 + 8);
        assert_eq!(of.ram_bytes, 128 + 1084);
        let path: Vec<u64> = of.stack_path.iter().map(|f| f.bytes).collect();
        assert_eq!(path, [32, 1044, 8]);
        let all = measure(FIXTURE, &["model_run", "unused"], "model_run").unwrap();
        assert_eq!(all.functions.len(), of.functions.len() + 1);
        assert_eq!(all.stack_bytes, of.stack_bytes);
    }

    #[test]
    fn what_cannot_be_told_is_none() {
        assert_eq!(measure(FIXTURE, &["absent"], "absent"), None);
        // It calls itself: no bound.
        assert_eq!(measure(FIXTURE, &["unused"], "unused"), None);
        assert_eq!(measure(b"no archive", &["model_run"], "model_run"), None);
    }

    #[test]
    fn damaged_libraries_do_no_harm() {
        for end in 0..FIXTURE.len() {
            _ = measure(&FIXTURE[..end], &["model_run"], "model_run");
        }
        let mut bytes = FIXTURE.to_vec();
        for at in 0..bytes.len() {
            for value in [0, 1, 0x7f, 0xff] {
                let old = std::mem::replace(&mut bytes[at], value);
                _ = measure(&bytes, &["model_run"], "model_run");
                bytes[at] = old;
            }
        }
    }
}
