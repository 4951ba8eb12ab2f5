//! Frames: whatever the bytes, `decode` gives a message or a refusal within its limits. The body of a
//! frame is also fuzzed behind a header that is always right.

#![no_main]

use friendlet::friendcore::{Form, Message, Scratch, decode};
use friendlet::limits;
use friendlet::session::PRESENTED_SESSION_BYTES;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    check(bytes.to_vec());
    let mut framed = b"<!--\"MSG\"--\"1\"--\"system.library/services/start\"-->".to_vec();
    framed.extend_from_slice(bytes);
    check(framed);
});

fn check(mut message: Vec<u8>) {
    let starts_like_json = message.iter().find(|byte| !b" \t\r\n".contains(byte)) == Some(&b'{');
    match decode(&mut message, &mut Scratch::default()) {
        Ok(Message::Call(request)) if !starts_like_json => {
            assert_eq!(request.form, Form::Frame);
            assert!(!request.call.path.is_empty() && request.call.path.len() <= limits::PATH_BYTES);
            assert!(request.call.parameters.len() <= limits::PARAMETERS);
            assert_eq!(request.request_id, None);
            assert!(request.call.session.is_none_or(|id| id.len() <= PRESENTED_SESSION_BYTES));
        }
        Ok(Message::Bind { form: Form::Frame, session }) => {
            assert!(session.len() <= PRESENTED_SESSION_BYTES);
        }
        Ok(_) => {}
        Err(refusal) => assert_eq!(refusal.form == Form::Envelope, starts_like_json),
    }
}
