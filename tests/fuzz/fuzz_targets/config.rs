//! Configuration file: any text gives a configuration within the limits or its errors, never a panic.

#![no_main]

use friendlet::config::{parse, parse_user};
use friendlet::limits;
use libfuzzer_sys::fuzz_target;

/// Longest text: it has room for every table.
const TEXT_BYTES: usize = 4096;

fuzz_target!(|bytes: &[u8]| {
    let bytes = &bytes[..bytes.len().min(TEXT_BYTES)];
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    match parse(text, "fuzz", "/bin/friendlet") {
        Ok(config) => {
            assert!((2..=limits::SLOTS).contains(&config.slots));
            assert!((limits::IDLE_TIMEOUT_MIN..=limits::IDLE_TIMEOUT_MAX).contains(&config.idle_timeout));
            assert!((1..=limits::LOCKOUT_ATTEMPTS_MAX).contains(&config.lockout_attempts));
            assert!(config.lockout_time <= limits::LOCKOUT_TIME_MAX);
            assert!(config.services.start_order().is_ok());
        }
        Err(errors) => assert!(!errors.to_string().is_empty()),
    }
    if let Err(errors) = parse_user(text, "fuzz") {
        assert!(!errors.to_string().is_empty());
    }
});
