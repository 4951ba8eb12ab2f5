//! What an ELF file says of itself: sections, segments, whether it needs a dynamic linker.

use std::path::Path;

/// Type of a segment that names the dynamic linker.
const PT_INTERP: u32 = 3;
/// Type of a segment of notes.
const PT_NOTE: u32 = 4;
/// Type of a file that runs where it is linked to, and nowhere else.
const ET_EXEC: u16 = 2;
/// Type of the note that is the linker's id of a file.
const NT_GNU_BUILD_ID: u32 = 3;
/// Type of a segment that is loaded.
const PT_LOAD: u32 = 1;
/// Section that takes no room in the file.
const SHT_NOBITS: u32 = 8;
/// Flag of a section that is loaded.
const SHF_ALLOC: u64 = 2;

/// A section of the file.
#[derive(Debug, PartialEq)]
pub(crate) struct Section {
    /// Such as `.text`.
    pub(crate) name: String,
    /// Bytes in memory.
    pub(crate) bytes: u64,
    /// Whether it is loaded.
    pub(crate) is_loaded: bool,
    /// Whether it takes room in the file.
    pub(crate) is_in_file: bool,
}

/// A little-endian ELF file of 32 or 64 bits.
#[derive(Debug)]
pub(crate) struct Elf {
    file_bytes: u64,
    memory_bytes: u64,
    has_interpreter: bool,
    is_fixed: bool,
    build_id: Option<String>,
    sections: Vec<Section>,
}

impl Elf {
    /// Reads the headers of a file.
    pub(crate) fn read(path: &Path) -> Result<Self, String> {
        let bytes = std::fs::read(path).map_err(|error| format!("{}: {error}", path.display()))?;
        Self::parse(&bytes).ok_or_else(|| format!("{}: is no little-endian ELF file", path.display()))
    }

    fn parse(bytes: &[u8]) -> Option<Self> {
        if bytes.get(..4)? != b"\x7fELF" || *bytes.get(5)? != 1 {
            return None;
        }
        let wide = match bytes.get(4)? {
            1 => false,
            2 => true,
            _ => return None,
        };
        // Offsets of the fields in the ELF header, 32 and 64 bits.
        let place = |narrow, wide_place| if wide { wide_place } else { narrow };
        let segments = address(bytes, place(28, 32), wide)?;
        let section_table = address(bytes, place(32, 40), wide)?;
        let [segment_size, segment_count] = [place(42, 54), place(44, 56)].map(|at| half(bytes, at));
        let [section_size, section_count, names] =
            [place(46, 58), place(48, 60), place(50, 62)].map(|at| half(bytes, at));

        let mut memory_bytes = 0;
        let mut has_interpreter = false;
        let mut build_id = None;
        for index in 0..usize::from(segment_count?) {
            let header = segments + index * usize::from(segment_size?);
            match word(bytes, header)? {
                PT_INTERP => has_interpreter = true,
                PT_NOTE => {
                    let start = address(bytes, header + place(4, 8), wide)?;
                    let length = address(bytes, header + place(16, 32), wide)?;
                    build_id = build_id.or_else(|| id(bytes.get(start..start.checked_add(length)?)?));
                }
                PT_LOAD => memory_bytes += address(bytes, header + place(20, 40), wide)? as u64,
                _ => {}
            }
        }

        let header = |index: u16| section_table + usize::from(index) * usize::from(section_size.unwrap_or(0));
        let names = address(bytes, header(names?) + place(16, 24), wide)?;
        let mut sections = Vec::new();
        for index in 1..section_count? {
            let at = header(index);
            let name = bytes.get(names + word(bytes, at)? as usize..)?;
            let name = name.split(|byte| *byte == 0).next()?;
            sections.push(Section {
                name: String::from_utf8_lossy(name).into_owned(),
                bytes: address(bytes, at + place(20, 32), wide)? as u64,
                is_loaded: address(bytes, at + 8, wide)? as u64 & SHF_ALLOC != 0,
                is_in_file: word(bytes, at + 4)? != SHT_NOBITS,
            });
        }
        Some(Self {
            file_bytes: bytes.len() as u64,
            memory_bytes,
            has_interpreter,
            is_fixed: half(bytes, 16)? == ET_EXEC,
            build_id,
            sections,
        })
    }

    /// Bytes of the file.
    pub(crate) fn file_bytes(&self) -> u64 {
        self.file_bytes
    }

    /// Bytes of memory that the loaded segments take.
    pub(crate) fn memory_bytes(&self) -> u64 {
        self.memory_bytes
    }

    /// Whether it runs without a dynamic linker.
    pub(crate) fn is_static(&self) -> bool {
        !self.has_interpreter
    }

    /// Whether it runs where it is linked to: it is not position-independent.
    pub(crate) fn is_fixed(&self) -> bool {
        self.is_fixed
    }

    /// The linker's id of it in hexadecimal, if it gave one.
    pub(crate) fn build_id(&self) -> Option<&str> {
        self.build_id.as_deref()
    }

    /// The sections, in their order.
    pub(crate) fn sections(&self) -> &[Section] {
        &self.sections
    }
}

/// The build id among notes.
fn id(mut notes: &[u8]) -> Option<String> {
    loop {
        let [name, length] = [word(notes, 0)?, word(notes, 4)?].map(|length| length as usize);
        let at = 12 + name.next_multiple_of(4);
        if word(notes, 8)? == NT_GNU_BUILD_ID && notes.get(12..12 + name)? == b"GNU\0" {
            let id = notes.get(at..at.checked_add(length)?)?;
            return Some(id.iter().map(|byte| format!("{byte:02x}")).collect());
        }
        notes = notes.get(at.checked_add(length.next_multiple_of(4))?..)?;
    }
}

fn half(bytes: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_le_bytes(bytes.get(at..at.checked_add(2)?)?.try_into().ok()?))
}

fn word(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_le_bytes(bytes.get(at..at.checked_add(4)?)?.try_into().ok()?))
}

/// A number as wide as an address.
fn address(bytes: &[u8], at: usize, wide: bool) -> Option<usize> {
    if wide {
        let bytes = bytes.get(at..at.checked_add(8)?)?.try_into().ok()?;
        usize::try_from(u64::from_le_bytes(bytes)).ok()
    } else {
        word(bytes, at).map(|word| word as usize)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_the_program_that_runs_this() {
        let elf = Elf::read(&std::env::current_exe().unwrap()).unwrap();
        let text = elf.sections().iter().find(|section| section.name == ".text").unwrap();
        assert!(text.is_loaded && text.is_in_file && text.bytes > 10_000);
        assert!(elf.sections().iter().any(|section| section.name == ".bss" && !section.is_in_file));
        assert!(elf.memory_bytes() > text.bytes && elf.file_bytes() > text.bytes);
    }

    #[test]
    fn what_is_no_elf_file_is_refused() {
        assert!(Elf::parse(b"").is_none());
        assert!(Elf::parse(b"#!/bin/sh\n").is_none());
        // Cut off anywhere, it is an error and no panic.
        let whole = std::fs::read("/proc/self/exe").unwrap();
        for length in [4, 5, 6, 20, 40, 63, 64, 100] {
            assert!(Elf::parse(&whole[..length]).is_none(), "{length}");
        }
    }
}
