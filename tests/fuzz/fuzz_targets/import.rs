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
    let result = translated(&[File { path: Path::new(name), text }]);
    assert_eq!(result.services > 0, result.refused.is_empty());
    if let Err(errors) = config::parse(&result.text, "fuzz", "/bin/friendlet") {
        assert!(!errors.to_string().is_empty());
    }
});
