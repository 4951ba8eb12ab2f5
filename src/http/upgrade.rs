//! Opening handshake of a WebSocket (RFC 6455, section 4.2).

use base64::prelude::{BASE64_STANDARD as BASE64, Engine as _};
use ring::digest;

use super::response::ResponseWriter;
use super::{Head, Method, Rejection, ResponseTooLarge};

#[cfg(test)]
mod tests;

/// Friend Core's subprotocol, the name of both generations of its messages.
pub const SUBPROTOCOL: &str = "FC-protocol";

/// Suffix of a key before it is hashed (RFC 6455, 1.3).
const GUID: &[u8] = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11";
const KEY_BYTES: usize = 24;
/// SHA-1 in base64.
const ACCEPT_BYTES: usize = 28;

/// Accepted handshake.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Upgrade {
    /// `Sec-WebSocket-Key`: 16 bytes in base64.
    pub key: [u8; KEY_BYTES],
    /// The client offered `FC-protocol`; the response selects it.
    pub protocol: bool,
}

/// Validates an opening handshake. Any path is accepted, as in Friend Core.
///
/// A client may offer no subprotocols; if it offers some, `FC-protocol` must be among them. Extensions
/// are never accepted. [`check_origin`](super::check_origin) validates the page that the handshake is from.
///
/// # Errors
///
/// 426 without a WebSocket upgrade or for another version than 13, 400 otherwise.
pub fn check_upgrade(head: &Head<'_>) -> Result<Upgrade, Rejection> {
    let Some(fields) = &head.upgrade else {
        return Err(Rejection::new(426, "this address is a WebSocket; connect with ws:// or wss://"));
    };
    if head.method != Method::Get {
        return Err(Rejection::new(400, "a WebSocket handshake is a GET request"));
    }
    if head.content_length > 0 || head.is_chunked {
        return Err(Rejection::new(400, "a WebSocket handshake has no body"));
    }
    if !fields.websocket {
        return Err(Rejection::new(400, "the handshake lacks `upgrade: websocket`"));
    }
    if !fields.connection {
        return Err(Rejection::new(
            400,
            "the handshake lacks `connection: upgrade`; a proxy must forward it",
        ));
    }
    if fields.version != Some("13") {
        return Err(Rejection::new(426, "this version of WebSocket is not supported; use version 13"));
    }
    let key = fields
        .key
        .and_then(read_key)
        .ok_or(Rejection::new(400, "sec-websocket-key must be 16 bytes in base64"))?;
    if fields.offers_protocols && !fields.offers_ours {
        return Err(Rejection::new(400, "none of the subprotocols is supported; offer FC-protocol"));
    }
    Ok(Upgrade { key, protocol: fields.offers_ours })
}

/// Writes the response that accepts a handshake.
///
/// # Errors
///
/// [`ResponseTooLarge`] when `out` is too short.
pub fn write_switching(out: &mut [u8], upgrade: &Upgrade) -> Result<usize, ResponseTooLarge> {
    let mut accept = [0; ACCEPT_BYTES];
    let accept = accept_key(&upgrade.key, &mut accept);

    // Capitals as in the RFC: some small clients compare the names case-sensitively.
    let mut writer = ResponseWriter::new(out);
    writer.status(101)?;
    writer.field("Upgrade", "websocket")?;
    writer.field("Connection", "Upgrade")?;
    writer.field("Sec-WebSocket-Accept", accept)?;
    if upgrade.protocol {
        writer.field("Sec-WebSocket-Protocol", SUBPROTOCOL)?;
    }
    writer.finish(b"", true)
}

/// Writes the `Sec-WebSocket-Accept` of this `Sec-WebSocket-Key` into `out`.
pub fn accept_key<'o>(key: &[u8; KEY_BYTES], out: &'o mut [u8; ACCEPT_BYTES]) -> &'o str {
    let mut hash = digest::Context::new(&digest::SHA1_FOR_LEGACY_USE_ONLY);
    hash.update(key);
    hash.update(GUID);
    // The length is that of a SHA-1 in base64.
    let _ = BASE64.encode_slice(hash.finish().as_ref(), out);
    core::str::from_utf8(out).unwrap_or_default()
}

/// Checks a key for 16 bytes in base64: 22 characters and two of padding.
fn read_key(key: &str) -> Option<[u8; KEY_BYTES]> {
    let characters = key.strip_suffix("==")?;
    if characters.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'+' | b'/')) {
        key.as_bytes().try_into().ok()
    } else {
        None
    }
}
