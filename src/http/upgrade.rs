//! Opening handshake of a WebSocket (RFC 6455, section 4.2).

use base64::prelude::{BASE64_STANDARD as BASE64, Engine as _};
use ring::digest;

use super::head::split_host;
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
/// are never accepted. `tls` selects the scheme of the server's own origin. `origins` are further
/// allowed ones, as `scheme://host` or `scheme://host:port`. A request without `Origin` is from a
/// program and is accepted. A page of another origin, or of none (`null`), is not.
///
/// # Errors
///
/// 426 without a WebSocket upgrade or for another version than 13, 403 for a foreign origin, 400
/// otherwise.
pub fn check_upgrade<'a>(
    head: &Head<'_>,
    origins: impl IntoIterator<Item = &'a str>,
    tls: bool,
) -> Result<Upgrade, Rejection> {
    let Some(fields) = &head.upgrade else {
        return Err(Rejection::new(426, "this address is a WebSocket; connect with ws:// or wss://"));
    };
    if head.method != Method::Get {
        return Err(Rejection::new(400, "a WebSocket handshake is a GET request"));
    }
    if head.content_length > 0 {
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
    if let Some(origin) = head.origin {
        check_origin(origin, head.host, origins, tls)?;
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

fn check_origin<'a>(
    origin: &str,
    host: Option<&str>,
    origins: impl IntoIterator<Item = &'a str>,
    tls: bool,
) -> Result<(), Rejection> {
    let refused = Rejection::new(
        403,
        "pages of this origin may not connect; add it to `origins` in the configuration file",
    );
    let parsed = split_origin(origin).ok_or(refused)?;
    let own = host.and_then(split_host).map(|(host, port)| {
        let scheme = if tls { "https" } else { "http" };
        (scheme, host, port.or(default_port(scheme)))
    });
    let allowed = own.is_some_and(|own| same(own, parsed))
        || origins.into_iter().filter_map(split_origin).any(|listed| same(listed, parsed));
    if allowed { Ok(()) } else { Err(refused) }
}

type Origin<'a> = (&'a str, &'a str, Option<u16>);

/// Splits an origin into scheme, host and port (RFC 6454, 6.2); `None` for `null`.
fn split_origin(origin: &str) -> Option<Origin<'_>> {
    let (scheme, rest) = origin.split_once("://")?;
    let (host, port) = split_host(rest)?;
    Some((scheme, host, port.or(default_port(scheme))))
}

fn same(one: Origin<'_>, other: Origin<'_>) -> bool {
    one.0.eq_ignore_ascii_case(other.0) && one.1.eq_ignore_ascii_case(other.1) && one.2 == other.2
}

fn default_port(scheme: &str) -> Option<u16> {
    if scheme.eq_ignore_ascii_case("https") {
        Some(443)
    } else if scheme.eq_ignore_ascii_case("http") {
        Some(80)
    } else {
        None
    }
}
