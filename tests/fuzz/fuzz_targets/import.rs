//! Files of other supervisors: any text is translated or refused, and the result is TOML.

#![no_main]

use std::path::Path;

use friendlet::cli::import::{File, translated};
use friendlet::config;
use libfuzzer_sys::fuzz_target;

/// Longest text.
const TEXT_BYTES: usize = 2048;

fuzz_target!(|bytes: &[u8]| {
    let Ok(text) = std::str::from_utf8(&bytes[..bytes.len().min(TEXT_BYTES)]) else { return };
    // The first line is the name of the file.
    let (name, text) = text.split_once('\n').unwrap_or(("x.service", text));
    if let Ok((result, services, _)) = translated(&[File { path: Path::new(name), text }]) {
        assert!(services > 0);
        if let Err(errors) = config::parse(&result, "fuzz", "/bin/friendlet") {
            assert!(!errors.to_string().is_empty());
        }
    }
});
