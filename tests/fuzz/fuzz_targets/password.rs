//! Stored passwords and paired keys: what is read is written back; what is received has its canonical form.

#![no_main]

use friendlet::session::{PASSWORD_ROUNDS_MAX, PairedKey, PasswordHash, canonical_password, is_user_name};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let canonical = canonical_password(bytes);
    assert!(canonical.starts_with(b"HASHED"));
    assert_eq!(canonical_password(&canonical), canonical);

    for line in [bytes.to_vec(), ["5A".repeat(32).as_bytes(), b" anna ", bytes].concat()] {
        if let Some(key) = PairedKey::parse(&line) {
            let text = key.to_string();
            assert!(!text.contains('\n') && text.as_bytes().eq_ignore_ascii_case(&line));
            assert_eq!(PairedKey::parse(text.as_bytes()), Some(key));
        }
    }

    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let _ = is_user_name(text);
    for text in [text.to_owned(), format!("$pbkdf2-sha256$i={text}")] {
        if let Ok(hash) = text.parse::<PasswordHash>() {
            assert!((1..=PASSWORD_ROUNDS_MAX).contains(&hash.rounds()));
            assert_eq!(hash.to_string(), text);
        }
    }
});
