//! Build id of this binary, set by the linker: the same for the same bytes.
//!
//! It is in a note of the ELF file (System V ABI, "Note Section"), owner `GNU`, type 3.

use std::path::Path;

use crate::sys::file;

/// Length of the part that is searched; linkers place the note near the front.
const HEAD_BYTES: usize = 64 * 1024;
const PROGRAM_HEADER_NOTE: u64 = 4;
const NOTE_BUILD_ID: u64 = 3;

/// Build id of the running binary in hexadecimal, if the linker set one.
pub(super) fn of_this_program() -> Option<String> {
    let head = file::read_start(Path::new("/proc/self/exe"), HEAD_BYTES).ok()?;
    let id = build_id(&head)?;
    Some(id.iter().map(|byte| format!("{byte:02x}")).collect())
}

/// Finds the build id in the first bytes of a little-endian ELF file.
fn build_id(elf: &[u8]) -> Option<&[u8]> {
    let is_64 = match elf.get(..6)? {
        [0x7f, b'E', b'L', b'F', 1, 1] => false,
        [0x7f, b'E', b'L', b'F', 2, 1] => true,
        _ => return None,
    };
    // Offsets in the file header and in a program header (ELF specification 1.2, and ELF-64).
    let word = if is_64 { 8 } else { 4 };
    let (table_at, entry_len_at, entries_at) = if is_64 { (32, 54, 56) } else { (28, 42, 44) };
    let (offset_at, len_at) = if is_64 { (8, 32) } else { (4, 16) };
    let table = number(elf, table_at, word)?;
    let entry_len = number(elf, entry_len_at, 2)?;
    for entry in 0..number(elf, entries_at, 2)? {
        let header = elf.get(usize::try_from(table.checked_add(entry * entry_len)?).ok()?..)?;
        if number(header, 0, 4)? != PROGRAM_HEADER_NOTE {
            continue;
        }
        let start = usize::try_from(number(header, offset_at, word)?).ok()?;
        let len = usize::try_from(number(header, len_at, word)?).ok()?;
        let notes = start.checked_add(len).and_then(|end| elf.get(start..end));
        if let Some(id) = notes.and_then(id_note) {
            return Some(id);
        }
    }
    None
}

/// Finds the build id among notes.
fn id_note(mut notes: &[u8]) -> Option<&[u8]> {
    loop {
        let name_len = usize::try_from(number(notes, 0, 4)?).ok()?;
        let id_len = usize::try_from(number(notes, 4, 4)?).ok()?;
        let kind = number(notes, 8, 4)?;
        let rest = notes.get(12..)?;
        let id_at = name_len.checked_next_multiple_of(4)?;
        let id = rest.get(id_at..id_at.checked_add(id_len)?)?;
        if kind == NOTE_BUILD_ID && rest.get(..name_len)? == b"GNU\0" && !id.is_empty() {
            return Some(id);
        }
        notes = rest.get(id_at.checked_add(id_len.checked_next_multiple_of(4)?)?..)?;
    }
}

/// Reads a little-endian number of `len` bytes.
fn number(bytes: &[u8], at: usize, len: usize) -> Option<u64> {
    let bytes = bytes.get(at..at.checked_add(len)?)?;
    Some(bytes.iter().rev().fold(0, |number, byte| number << 8 | u64::from(*byte)))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const NOTES: &[u8] = b"\x04\0\0\0\x01\0\0\0\x01\0\0\0GNU\0x\0\0\0\
                           \x04\0\0\0\x03\0\0\0\x03\0\0\0GNU\0\xab\xcd\xef\0";

    /// 32-bit ELF file with one program header, for `notes`.
    fn elf(notes: &[u8]) -> Vec<u8> {
        let mut elf = vec![0; 84];
        elf[..6].copy_from_slice(b"\x7fELF\x01\x01");
        elf[28] = 52;
        elf[42] = 32;
        elf[44] = 1;
        elf[52] = 4;
        elf[56] = 84;
        elf[68] = u8::try_from(notes.len()).unwrap();
        elf.extend_from_slice(notes);
        elf
    }

    #[test]
    fn id_is_found_after_other_notes() {
        assert_eq!(build_id(&elf(NOTES)), Some(&b"\xab\xcd\xef"[..]));
    }

    #[test]
    fn files_without_an_id() {
        assert_eq!(build_id(&elf(&NOTES[..20])), None);
        assert_eq!(build_id(&elf(b"")), None);
        assert_eq!(build_id(b"#!/bin/sh\n"), None);
        assert_eq!(build_id(b""), None);
    }

    #[test]
    fn id_of_this_program() {
        // Its existence depends on the linker; its form does not.
        if let Some(id) = of_this_program() {
            assert!(!id.is_empty() && id.bytes().all(|byte| byte.is_ascii_hexdigit()), "{id}");
        }
    }

    proptest! {
        #[test]
        fn damaged_files_do_not_panic(
            damage in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..8), len in 0..140_usize
        ) {
            let mut elf = elf(NOTES);
            for (at, byte) in damage {
                let at = at.index(elf.len());
                elf[at] = byte;
            }
            elf.truncate(len);
            let _ = build_id(&elf);
        }
    }
}
