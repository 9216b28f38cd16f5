//! Static libraries: the members of an archive, and what 32-bit little-endian ELF objects say of sections, symbols and
//! relocations (System V ABI, with the supplements for Arm and RISC-V).

/// `e_machine` of Arm.
pub const ARM: u16 = 40;
/// `e_machine` of RISC-V.
pub const RISCV: u16 = 243;
/// Bytes of the file that a program has in memory.
pub const PROGBITS: u32 = 1;
/// Memory that starts as zeros.
pub const NOBITS: u32 = 8;
/// Section flag: written at run time.
pub const WRITE: u32 = 1;
/// Section flag: executed.
pub const EXECUTE: u32 = 4;
/// Symbol type of functions.
pub const FUNCTION: u8 = 2;

const SYMBOLS: u32 = 2;
const RELA: u32 = 4;
const REL: u32 = 9;
const LOCAL: u8 = 0;

/// An object file.
pub struct Object<'a> {
    /// What processor it is for: [`ARM`] or [`RISCV`].
    pub machine: u16,
    /// Sections by their number.
    pub sections: Vec<Section<'a>>,
    /// Symbols by their number.
    pub symbols: Vec<Symbol<'a>>,
}

/// A section.
pub struct Section<'a> {
    /// Its name.
    pub name: &'a str,
    /// [`PROGBITS`], [`NOBITS`] or another.
    pub kind: u32,
    /// [`WRITE`], [`EXECUTE`] and others.
    pub flags: u32,
    /// Bytes in memory.
    pub size: u64,
    /// Bytes in the file; none of [`NOBITS`].
    pub data: &'a [u8],
    /// What the linker fills in.
    pub relocations: Vec<Relocation>,
}

/// A place that the linker fills in.
pub struct Relocation {
    /// Offset in the section.
    pub offset: u32,
    /// The processor's number for the kind.
    pub kind: u8,
    /// Number of the symbol.
    pub symbol: u32,
}

/// A symbol.
pub struct Symbol<'a> {
    /// Its name.
    pub name: &'a str,
    /// Its section; 0 when another object defines it.
    pub section: u16,
    /// Its place in the section.
    pub value: u32,
    /// Whether other objects may use it.
    pub global: bool,
    /// [`FUNCTION`] or another.
    pub kind: u8,
}

fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_le_bytes(*bytes.get(at..)?.first_chunk()?))
}

fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_le_bytes(*bytes.get(at..)?.first_chunk()?))
}

fn text_at(bytes: &[u8], at: usize) -> Option<&str> {
    let rest = bytes.get(at..)?;
    let end = rest.iter().position(|&b| b == 0)?;
    std::str::from_utf8(&rest[..end]).ok()
}

/// The members of an archive that are no tables of its own; `None` when it is damaged.
pub fn members(archive: &[u8]) -> Option<Vec<&[u8]>> {
    const HEADER: usize = 60;
    let mut rest = archive.strip_prefix(b"!<arch>\n")?;
    let mut members = Vec::new();
    while rest.len() >= HEADER {
        let (header, after) = rest.split_at(HEADER);
        let size: usize = std::str::from_utf8(&header[48..58])
            .ok()?
            .trim()
            .parse()
            .ok()?;
        let data = after.get(..size)?;
        if data.starts_with(b"\x7fELF") {
            members.push(data);
        }
        rest = after.get(size.next_multiple_of(2)..).unwrap_or_default();
    }
    Some(members)
}

/// Reads an object; `None` when it is damaged, or not one of 32 bits.
pub fn object(file: &[u8]) -> Option<Object<'_>> {
    // Class 1 is 32 bits, data 1 is little-endian.
    if file.get(..6)? != b"\x7fELF\x01\x01" {
        return None;
    }
    let (table, count) = (u32_at(file, 32)? as usize, u16_at(file, 48)? as usize);
    let header = |i: usize| file.get(table + i * 40..)?.get(..40);
    let data = |h: &[u8]| {
        let (at, size) = (u32_at(h, 16)? as usize, u32_at(h, 20)? as usize);
        match u32_at(h, 4)? {
            NOBITS => Some(&[][..]),
            _ => file.get(at..)?.get(..size),
        }
    };
    let names = data(header(u16_at(file, 50)? as usize)?)?;
    let (mut sections, mut symbols) = (Vec::new(), Vec::new());
    for i in 0..count {
        let h = header(i)?;
        sections.push(Section {
            name: text_at(names, u32_at(h, 0)? as usize)?,
            kind: u32_at(h, 4)?,
            flags: u32_at(h, 8)?,
            size: u64::from(u32_at(h, 20)?),
            data: data(h)?,
            relocations: Vec::new(),
        });
    }
    for i in 0..count {
        let h = header(i)?;
        let (kind, link, info) = (u32_at(h, 4)?, u32_at(h, 24)? as usize, u32_at(h, 28)?);
        let content = data(h)?;
        match kind {
            SYMBOLS => {
                let texts = data(header(link)?)?;
                for s in content.chunks_exact(16) {
                    symbols.push(Symbol {
                        name: text_at(texts, u32_at(s, 0)? as usize)?,
                        section: u16_at(s, 14)?,
                        value: u32_at(s, 4)?,
                        global: s[12] >> 4 != LOCAL,
                        kind: s[12] & 15,
                    });
                }
            }
            REL | RELA => {
                let entry = if kind == REL { 8 } else { 12 };
                let section = sections.get_mut(info as usize)?;
                for r in content.chunks_exact(entry) {
                    let info = u32_at(r, 4)?;
                    section.relocations.push(Relocation {
                        offset: u32_at(r, 0)?,
                        kind: info as u8,
                        symbol: info >> 8,
                    });
                }
            }
            _ => {}
        }
    }
    Some(Object {
        machine: u16_at(file, 18)?,
        sections,
        symbols,
    })
}
