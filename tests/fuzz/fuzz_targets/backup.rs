//! Backup of a board: any bytes are files of a backup, written again to the byte, or damage.

#![no_main]

use friendlet::backup::{Archive, HEADER_BYTES, Header, files, is_kept};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    if let Some(sector) = bytes.first_chunk::<HEADER_BYTES>()
        && let Some(header) = Header::parse(sector)
    {
        assert_eq!(Header::parse(&header.sector()).as_ref(), Some(&header));
        assert!(header.content_length().is_some() || !header.is_of(&bytes[HEADER_BYTES..]));
    }
    if let Some(parsed) = files(bytes) {
        let mut archive = Archive::default();
        for file in &parsed {
            assert!(is_kept(file.name));
            archive.push(file).expect("what was parsed has room");
        }
        assert_eq!(archive.bytes(), bytes);
    }
});
