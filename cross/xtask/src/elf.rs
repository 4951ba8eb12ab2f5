//! ELF files: sections, size in memory, build id, and whether a dynamic linker is needed.

use std::path::Path;

use object::elf::{ET_EXEC, FileHeader32, FileHeader64, PT_INTERP};
use object::read::elf::{ElfFile, FileHeader, ProgramHeader as _};
use object::{FileKind, LittleEndian, Object as _, ObjectSection as _, ObjectSegment as _};

use crate::run;

/// A little-endian ELF file of 32 or 64 bits.
#[derive(Debug)]
pub(crate) struct Elf {
    /// Bytes of the file.
    pub(crate) file_bytes: u64,
    /// Bytes of memory of all loaded segments.
    pub(crate) memory_bytes: u64,
    /// It runs without a dynamic linker.
    pub(crate) is_static: bool,
    /// It runs at its link address only: it is not position-independent.
    pub(crate) is_fixed: bool,
    /// The linker's id of the file in hexadecimal, if it has one.
    pub(crate) build_id: Option<String>,
    /// Name and bytes in memory of each section, in file order.
    pub(crate) sections: Vec<(String, u64)>,
}

impl Elf {
    /// Reads the headers of a file.
    pub(crate) fn read(path: &Path) -> Result<Self, String> {
        let bytes = run::bytes_of(path)?;
        Self::parse(&bytes)
            .map_err(|error| format!("{}: not a little-endian ELF file: {error}", path.display()))
    }

    fn parse(bytes: &[u8]) -> object::Result<Self> {
        match FileKind::parse(bytes)? {
            FileKind::Elf64 => Self::from_file(&ElfFile::<FileHeader64<LittleEndian>>::parse(bytes)?),
            _ => Self::from_file(&ElfFile::<FileHeader32<LittleEndian>>::parse(bytes)?),
        }
    }

    fn from_file<H: FileHeader<Endian = LittleEndian>>(file: &ElfFile<'_, H>) -> object::Result<Self> {
        let segments = file.elf_program_headers();
        let id = file.build_id()?;
        Ok(Self {
            file_bytes: file.data().len() as u64,
            memory_bytes: file.segments().map(|segment| segment.size()).sum(),
            is_static: !segments.iter().any(|segment| segment.p_type(LittleEndian) == PT_INTERP),
            is_fixed: file.elf_header().e_type(LittleEndian) == ET_EXEC,
            build_id: id.map(|id| id.iter().map(|byte| format!("{byte:02x}")).collect()),
            sections: file
                .sections()
                .map(|section| Ok((section.name()?.to_owned(), section.size())))
                .collect::<object::Result<_>>()?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_running_test_program_is_read() {
        let elf = Elf::read(&std::env::current_exe().unwrap()).unwrap();
        let (_, text_bytes) = *elf.sections.iter().find(|(name, _)| name == ".text").unwrap();
        assert!(text_bytes > 10_000 && elf.memory_bytes > text_bytes && elf.file_bytes > text_bytes);
        assert!(!elf.is_static && !elf.is_fixed);
        assert!(elf.build_id.is_none_or(|id| id.len() >= 16));
    }

    #[test]
    fn other_files_and_truncated_ones_are_refused() {
        let whole = std::fs::read("/proc/self/exe").unwrap();
        for bytes in [&b""[..], b"#!/bin/sh\n", &whole[..20], &whole[..64], &whole[..1000]] {
            assert!(Elf::parse(bytes).is_err(), "{} bytes", bytes.len());
        }
        let mut big_endian = whole;
        big_endian[5] = 2;
        assert!(Elf::parse(&big_endian).is_err());
    }
}
