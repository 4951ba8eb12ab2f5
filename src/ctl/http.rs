//! One call by POST, and the upgrade.

use std::io::{Read, Write};

use data_encoding::BASE64;
use ring::digest;
use ring::rand::{SecureRandom, SystemRandom};
use tungstenite::WebSocket;
use tungstenite::protocol::{Role, WebSocketConfig};

use super::connection::Stream;
use super::output::clean;
use super::reply::judge;
use super::{FAILED, Failure, NO_RIGHT, UNAVAILABLE};

/// Longest response taken, head and body together.
const RESPONSE_BYTES: usize = 256 * 1024;
/// Header lines taken.
const RESPONSE_FIELDS: usize = 64;
/// Longest WebSocket message taken; the server cuts longer ones into chunks well below it.
const MESSAGE_BYTES: usize = 256 * 1024;
/// Appended to a key before it is hashed (RFC 6455, 1.3).
const GUID: &str = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";

struct Response {
    status: u16,
    /// Names in lower case.
    fields: Vec<(String, String)>,
    /// What came behind the head so far.
    body: Vec<u8>,
}

impl Response {
    fn field(&self, name: &str) -> Option<&str> {
        self.fields.iter().find(|(field, _)| field == name).map(|(_, value)| value.as_str())
    }
}

/// Makes a call: its parameters as a form, its content back.
pub(super) fn post(
    stream: &mut Stream,
    authority: &str,
    path: &str,
    parameters: &[(&str, &str)],
) -> Result<String, Failure> {
    let pairs: Vec<String> =
        parameters.iter().map(|(name, value)| format!("{}={}", encode(name), encode(value))).collect();
    let body = pairs.join("&");
    let request = format!(
        "POST /{path} HTTP/1.1\r\nhost: {authority}\r\nconnection: close\r\ncontent-type: application/x-www-form-urlencoded\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    );
    // A password's check may take a while, and its turn may come late.
    stream.settle().map_err(|error| lost(&error))?;
    send(stream, &request)?;
    let mut response = read_head(stream)?;
    read_body(stream, &mut response)?;
    let text = String::from_utf8_lossy(&response.body).into_owned();
    if response.status == 200 { Ok(text) } else { Err(refused(&response)) }
}

/// Asks for a WebSocket. The session goes along: a full server keeps a place for administrators.
pub(super) fn upgrade(
    mut stream: Stream,
    authority: &str,
    session: &str,
) -> Result<WebSocket<Stream>, Failure> {
    let mut nonce = [0; 16];
    SystemRandom::new()
        .fill(&mut nonce)
        .map_err(|_| Failure::new(FAILED, "the system has no random bytes"))?;
    let key = BASE64.encode_display(&nonce).to_string();
    let request = format!(
        "GET /fcws?sessionid={} HTTP/1.1\r\nhost: {authority}\r\nconnection: Upgrade\r\nupgrade: websocket\r\nsec-websocket-version: 13\r\nsec-websocket-key: {key}\r\nsec-websocket-protocol: FC-protocol\r\n\r\n",
        encode(session)
    );
    send(&mut stream, &request)?;
    let mut response = read_head(&mut stream)?;
    if response.status != 101 {
        // The reason is worth waiting for, and the refusal stands without it.
        let _ = read_body(&mut stream, &mut response);
        return Err(refused(&response));
    }
    let is = |name, value: &str| response.field(name).is_some_and(|field| field.eq_ignore_ascii_case(value));
    let accept = response.field("sec-websocket-accept") == Some(accept_of(&key).as_str());
    let protocol = response.field("sec-websocket-protocol") == Some("FC-protocol");
    let plain = response.field("sec-websocket-extensions").is_none();
    if !(is("upgrade", "websocket") && is("connection", "upgrade") && accept && protocol && plain) {
        return Err(Failure::new(FAILED, "the server answers the upgrade wrongly; is it friendlet?"));
    }
    let config = WebSocketConfig::default()
        .read_buffer_size(16 * 1024)
        .write_buffer_size(0)
        .max_write_buffer_size(MESSAGE_BYTES)
        .max_message_size(Some(MESSAGE_BYTES))
        .max_frame_size(Some(MESSAGE_BYTES));
    Ok(WebSocket::from_partially_read(stream, response.body, Role::Client, Some(config)))
}

pub(super) fn accept_of(key: &str) -> String {
    let hash = digest::digest(&digest::SHA1_FOR_LEGACY_USE_ONLY, format!("{key}{GUID}").as_bytes());
    BASE64.encode_display(hash.as_ref()).to_string()
}

fn encode(text: &str) -> String {
    let mut encoded = String::new();
    for b in text.bytes() {
        if b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.' | b'_' | b'~') {
            encoded.push(b.into());
        } else {
            encoded += &format!("%{b:02X}");
        }
    }
    encoded
}

fn lost(error: &std::io::Error) -> Failure {
    Failure::new(UNAVAILABLE, format!("the connection was lost: {}", clean(&error.to_string())))
}

fn send(stream: &mut Stream, request: &str) -> Result<(), Failure> {
    stream.write_all(request.as_bytes()).and_then(|()| stream.flush()).map_err(|error| lost(&error))
}

/// Reads on; the number of bytes that came, 0 at the end.
fn read_more(stream: &mut Stream, bytes: &mut Vec<u8>) -> Result<usize, Failure> {
    let mut chunk = [0; 4096];
    let read = stream.read(&mut chunk).map_err(|error| lost(&error))?;
    bytes.extend_from_slice(chunk.get(..read).unwrap_or_default());
    if bytes.len() > RESPONSE_BYTES {
        return Err(Failure::new(FAILED, "the server's response is too long"));
    }
    Ok(read)
}

fn own(field: &mut httparse::Header<'_>) -> (String, String) {
    (field.name.to_ascii_lowercase(), String::from_utf8_lossy(field.value).into_owned())
}

fn read_head(stream: &mut Stream) -> Result<Response, Failure> {
    let mut bytes = Vec::new();
    loop {
        let more = read_more(stream, &mut bytes)?;
        let mut fields = [httparse::EMPTY_HEADER; RESPONSE_FIELDS];
        let mut head = httparse::Response::new(&mut fields);
        match head.parse(&bytes) {
            Ok(httparse::Status::Complete(length)) => {
                return Ok(Response {
                    status: head.code.unwrap_or_default(),
                    fields: head.headers.iter_mut().map(own).collect(),
                    body: bytes.split_off(length),
                });
            }
            Ok(httparse::Status::Partial) if more == 0 => {
                return Err(Failure::new(UNAVAILABLE, "the server closed the connection without an answer"));
            }
            Ok(httparse::Status::Partial) => {}
            Err(error) => {
                return Err(Failure::new(FAILED, format!("the server does not speak HTTP: {error}")));
            }
        }
    }
}

fn read_body(stream: &mut Stream, response: &mut Response) -> Result<(), Failure> {
    let length = response.field("content-length").and_then(|length| length.parse::<usize>().ok());
    while length.is_none_or(|length| response.body.len() < length) {
        let mut body = std::mem::take(&mut response.body);
        let more = read_more(stream, &mut body);
        response.body = body;
        if more? == 0 {
            break;
        }
    }
    response.body.truncate(length.unwrap_or(usize::MAX));
    Ok(())
}

/// The failure that a status tells of; the body is the server's one-line reason.
fn refused(response: &Response) -> Failure {
    let reason = clean(String::from_utf8_lossy(&response.body).trim());
    // A call that is refused has the content of one; a request that is, a line of text.
    if let Err(failure) = judge(&reason) {
        return failure;
    }
    match response.status {
        503 => {
            let later = response.field("retry-after").unwrap_or("a few");
            let text = format!("the server takes nobody now: {reason} (again in {} s)", clean(later));
            Failure::new(UNAVAILABLE, text)
        }
        403 => Failure::new(NO_RIGHT, format!("the server refuses: {reason}")),
        status => Failure::new(FAILED, format!("the server answers {status}: {reason}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn key_of_the_rfc() {
        assert_eq!(accept_of("dGhlIHNhbXBsZSBub25jZQ=="), "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
    }

    #[test]
    fn encoded() {
        assert_eq!(encode("aZ0-._~"), "aZ0-._~");
        assert_eq!(encode("a b&c=d/é"), "a%20b%26c%3Dd%2F%C3%A9");
    }
}
