//! Configuration file: any text gives a configuration within the limits or its errors, never a panic.

#![no_main]

use friendlet::config::{parse, parse_user};
use friendlet::limits;
use friendlet::session::{IDLE_TIMEOUT_MAX, IDLE_TIMEOUT_MIN, LOCKOUT_ATTEMPTS_MAX, LOCKOUT_TIME_MAX};
use libfuzzer_sys::fuzz_target;

/// Longest text: it has room for every table.
const TEXT_BYTES: usize = 4096;

fuzz_target!(|bytes: &[u8]| {
    let bytes = &bytes[..bytes.len().min(TEXT_BYTES)];
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    match parse(text, "fuzz", "/bin/friendlet") {
        Ok(config) => {
            assert!((2..=limits::SLOTS).contains(&config.slots));
            assert!((IDLE_TIMEOUT_MIN..=IDLE_TIMEOUT_MAX).contains(&config.idle_timeout));
            assert!((1..=LOCKOUT_ATTEMPTS_MAX).contains(&config.lockout_attempts));
            assert!(config.lockout_time <= LOCKOUT_TIME_MAX);
            assert!(config.services.start_order().is_ok());
        }
        Err(errors) => assert!(!errors.to_string().is_empty()),
    }
    if let Err(errors) = parse_user(text, "fuzz") {
        assert!(!errors.to_string().is_empty());
    }
});
