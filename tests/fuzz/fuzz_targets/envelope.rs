//! Envelopes: what `decode` takes keeps within the limits, and every answer to it is an envelope that
//! `decode` can read in turn.

#![no_main]

use friendlet::call::{Failure, Outcome};
use friendlet::friendcore::{Form, Message, Scratch, decode, reply};
use friendlet::json::Writer;
use friendlet::limits;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let mut message = vec![b'{'];
    message.extend_from_slice(bytes);
    let mut buffer = vec![0; 8192];
    let mut out = Writer::new(&mut buffer);
    match decode(&mut message, &mut Scratch::default()) {
        Ok(Message::Call(request)) => {
            assert!(!request.call.path.is_empty() && request.call.path.len() <= limits::PATH_BYTES);
            assert!(request.call.parameters.len() <= limits::PARAMETERS);
            let id = request.request_id.expect("a request has an id");
            assert!(id.len() <= limits::REQUEST_ID_BYTES);
            let outcome = Outcome::Failed(Failure::UnknownLibrary);
            reply::outcome(&mut out, Form::Envelope, Some(id), &outcome, false).expect("room");
            assert_eq!(echoed(&out_bytes(out), "\"requestid\":"), echoed(&quoted(id), ""));
        }
        Ok(Message::Ping { echo }) => {
            reply::pong(&mut out, echo).expect("room");
            assert_eq!(decode(&mut out_bytes(out), &mut Scratch::default()), Ok(Message::Pong));
        }
        Ok(Message::LegacyPing { id }) => {
            reply::legacy_pong(&mut out, id).expect("room");
            let answer = String::from_utf8(out_bytes(out)).expect("text");
            let mut ping = answer.replace("resp", "req").replace("pong", "ping").into_bytes();
            assert!(matches!(decode(&mut ping, &mut Scratch::default()), Ok(Message::LegacyPing { .. })));
        }
        Ok(Message::Chunk(part)) => assert!(part.id.len() <= limits::CHUNK_ID_BYTES),
        Ok(_) => {}
        Err(refusal) => {
            assert!(refusal.request_id.is_none_or(|id| id.len() <= limits::REQUEST_ID_BYTES));
            reply::refused(&mut out, &refusal).expect("room");
            // An error is a message that no client sends, so it is refused, but for its type alone.
            let mut answer = out_bytes(out);
            let mut scratch = Scratch::default();
            let refusal = decode(&mut answer, &mut scratch).expect_err("an error");
            assert_eq!(refusal.kind, friendlet::friendcore::RefusalKind::Type);
        }
    }
});

fn out_bytes(out: Writer<'_>) -> Vec<u8> {
    out.finish().expect("room").to_vec()
}

fn quoted(text: &str) -> Vec<u8> {
    let mut buffer = vec![0; 6 * text.len() + 2];
    let mut out = Writer::new(&mut buffer);
    out.put_string(text).expect("room");
    out_bytes(out)
}

/// The JSON string behind the first `key` of `text`.
fn echoed(text: &[u8], key: &str) -> String {
    let text = std::str::from_utf8(text).expect("text");
    let (_, rest) = text.split_once(key).expect("the key");
    let mut escaped = false;
    let end = rest.char_indices().skip(1).find(|(_, character)| {
        let end = *character == '"' && !escaped;
        escaped = *character == '\\' && !escaped;
        end
    });
    rest[..=end.expect("the closing quote").0].to_owned()
}
