//! Configuration file and drop-ins: any texts give a configuration within the limits or their errors, never a panic. What is
//! shown without secrets, written back, is the same text.

#![no_main]

use friendlet::config::{
    Config, ConfigOrigin, References, hide_secrets, join, parse_files, parse_user, provenance, restore_secrets,
    settle, split,
};
use friendlet::limits;
use friendlet::session::{IDLE_TIMEOUT_MAX, IDLE_TIMEOUT_MIN, LOCKOUT_ATTEMPTS_MAX, LOCKOUT_TIME_MAX};
use libfuzzer_sys::fuzz_target;

/// Longest text: it has room for every table.
const TEXT_BYTES: usize = 4096;

fn assert_within_limits(config: &Config) {
    assert!((2..=limits::SLOTS).contains(&config.slots));
    assert!((IDLE_TIMEOUT_MIN..=IDLE_TIMEOUT_MAX).contains(&config.idle_timeout));
    assert!((1..=LOCKOUT_ATTEMPTS_MAX).contains(&config.lockout_attempts));
    assert!(config.lockout_time <= LOCKOUT_TIME_MAX);
    assert!(config.services.start_order().is_ok());
}

fuzz_target!(|bytes: &[u8]| {
    let bytes = &bytes[..bytes.len().min(TEXT_BYTES)];
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    // The text of a file, and of drop-ins after a separator each.
    let files = split(text, "fuzz");
    match parse_files(&files, References::Known, "/bin/friendlet") {
        Ok(config) => {
            assert_within_limits(&config);
            // The name of a file has no slash.
            if files.iter().all(|file| file.name == file.file_name()) {
                assert_eq!(split(&join(&files, ConfigOrigin::Given), "fuzz"), files);
            }
            assert!(provenance(&files).len() <= TEXT_BYTES);
        }
        Err(errors) => assert!(!errors.to_string().is_empty()),
    }
    if let [file, drop_ins @ ..] = &files[..]
        && let Ok(settled) = settle(*file, drop_ins, drop_ins, References::Known, "/bin/friendlet")
    {
        assert_within_limits(&settled.config);
        assert!(settled.files.len() + settled.failures.len() >= files.len());
    }
    if let Some(shown) = hide_secrets(text) {
        assert_eq!(restore_secrets(&shown, text, "fuzz").as_deref(), Ok(text));
    }
    if let Err(errors) = parse_user(text, "fuzz") {
        assert!(!errors.to_string().is_empty());
    }
});
