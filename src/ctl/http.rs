//! A call by POST, and the upgrade to a WebSocket.

use std::io::{Read, Write};

use base64::prelude::{BASE64_STANDARD as BASE64, Engine as _};
use ring::rand::{SecureRandom, SystemRandom};

use super::connection::{Stream, explain};
use super::failure::{FAILED, Failure, NO_RIGHT, UNAVAILABLE};
use super::output::sanitize;
use super::reply::parse_reply;
use super::socket::ClientSocket;
use super::url::Url;
use super::values::LIBRARY;
use crate::http::{SUBPROTOCOL, accept_key};

/// Longest response that is accepted, head and body together.
const RESPONSE_BYTES: usize = 256 * 1024;
/// Largest number of header fields that is accepted.
const RESPONSE_FIELDS: usize = 64;

struct Response {
    status: u16,
    /// Names in lower case.
    fields: Vec<(String, String)>,
    /// Bytes received after the head.
    body: Vec<u8>,
}

impl Response {
    fn field(&self, name: &str) -> Option<&str> {
        self.fields.iter().find(|(field, _)| field == name).map(|(_, value)| value.as_str())
    }
}

/// Makes a call with its parameters as a form, and returns the content of its reply.
pub(super) fn post(
    stream: &mut Stream,
    url: &Url,
    path: &str,
    parameters: &[(&str, &str)],
) -> Result<String, Failure> {
    let pairs: Vec<String> =
        parameters.iter().map(|(name, value)| format!("{}={}", encode(name), encode(value))).collect();
    let body = pairs.join("&");
    let request = format!(
        "POST {}/{LIBRARY}{path} HTTP/1.1\r\nhost: {}\r\nconnection: close\r\ncontent-type: application/x-www-form-urlencoded\r\ncontent-length: {}\r\n\r\n{body}",
        url.prefix(),
        url.authority(),
        body.len()
    );
    // The check of a password takes time, and others may be queued before it.
    stream.set_idle_timeout().map_err(|error| lost(&error))?;
    send(stream, &request)?;
    let mut response = read_head(stream)?;
    read_body(stream, &mut response)?;
    if response.status != 200 {
        return Err(refused(&response));
    }
    parse_reply(&String::from_utf8_lossy(&response.body)).map(str::to_owned)
}

/// Upgrades to a WebSocket. The session is sent too: a server at capacity reserves a slot for
/// administrators.
pub(super) fn upgrade(mut stream: Stream, url: &Url, session: &str) -> Result<ClientSocket, Failure> {
    let mut nonce = [0; 16];
    SystemRandom::new()
        .fill(&mut nonce)
        .map_err(|_| Failure::new(FAILED, "the system has no random bytes"))?;
    let mut key = [0; 24];
    BASE64
        .encode_slice(nonce, &mut key)
        .map_err(|_| Failure::new(FAILED, "a key of 16 bytes has 24 characters"))?;
    let sent_key = str::from_utf8(&key).unwrap_or_default();
    let request = format!(
        "GET {}/fcws?sessionid={} HTTP/1.1\r\nhost: {}\r\nconnection: Upgrade\r\nupgrade: websocket\r\nsec-websocket-version: 13\r\nsec-websocket-key: {sent_key}\r\nsec-websocket-protocol: {SUBPROTOCOL}\r\n\r\n",
        url.prefix(),
        encode(session),
        url.authority()
    );
    send(&mut stream, &request)?;
    let mut response = read_head(&mut stream)?;
    if response.status != 101 {
        // The body is the reason; without it the failure reports the status alone.
        let _ = read_body(&mut stream, &mut response);
        return Err(refused(&response));
    }
    let is = |name, value: &str| response.field(name).is_some_and(|field| field.eq_ignore_ascii_case(value));
    let is_granted = is("upgrade", "websocket")
        && is("connection", "upgrade")
        && response.field("sec-websocket-accept") == Some(accept_key(&key, &mut [0; 28]))
        && response.field("sec-websocket-protocol") == Some(SUBPROTOCOL)
        && response.field("sec-websocket-extensions").is_none();
    if !is_granted {
        return Err(Failure::new(
            FAILED,
            "cannot open a WebSocket: the server's reply to the upgrade is malformed; check that --url is friendlet",
        ));
    }
    ClientSocket::new(stream, &response.body).map_err(|error| lost(&error))
}

/// Percent-encodes a text.
pub(super) fn encode(text: &str) -> String {
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
    Failure::new(UNAVAILABLE, format!("connection lost: {}", explain(error)))
}

fn send(stream: &mut Stream, request: &str) -> Result<(), Failure> {
    stream.write_all(request.as_bytes()).and_then(|()| stream.flush()).map_err(|error| lost(&error))
}

/// Appends received bytes and returns their number, 0 at the end.
fn read_more(stream: &mut Stream, bytes: &mut Vec<u8>) -> Result<usize, Failure> {
    let mut chunk = [0; 4096];
    let read = stream.read(&mut chunk).map_err(|error| lost(&error))?;
    bytes.extend_from_slice(&chunk[..read]);
    if bytes.len() > RESPONSE_BYTES {
        return Err(Failure::new(
            FAILED,
            format!("the server's response is longer than {RESPONSE_BYTES} bytes"),
        ));
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
                    // A complete head has one.
                    status: head.code.unwrap_or(0),
                    fields: head.headers.iter_mut().map(own).collect(),
                    body: bytes.split_off(length),
                });
            }
            Ok(httparse::Status::Partial) if more == 0 => {
                return Err(Failure::new(UNAVAILABLE, "the server closed the connection without a response"));
            }
            Ok(httparse::Status::Partial) => {}
            Err(error) => {
                return Err(Failure::new(
                    FAILED,
                    format!("cannot read the server's response: it is not HTTP: {error}"),
                ));
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

/// Failure of a response; its body is the reason in one line.
fn refused(response: &Response) -> Failure {
    let reason = sanitize(String::from_utf8_lossy(&response.body).trim());
    // A call that failed has content; a request that was rejected has a line of text.
    if let Err(failure) = parse_reply(&reason) {
        return failure;
    }
    match response.status {
        503 => {
            let seconds = response.field("retry-after").unwrap_or("some");
            let text = format!("the server is at capacity: {reason} (retry in {} s)", sanitize(seconds));
            Failure::new(UNAVAILABLE, text)
        }
        403 => Failure::new(NO_RIGHT, format!("permission denied: {reason}")),
        status => Failure::new(FAILED, format!("the server responded with status {status}: {reason}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn silence_of_the_server_has_words() {
        let text = |kind: std::io::ErrorKind| lost(&kind.into()).text.clone();
        let expected = "connection lost: the server did not answer in time";
        assert_eq!(text(std::io::ErrorKind::WouldBlock), expected);
        assert_eq!(text(std::io::ErrorKind::TimedOut), expected);
        assert_eq!(text(std::io::ErrorKind::ConnectionReset), "connection lost: connection reset");
    }

    #[test]
    fn form_is_percent_encoded() {
        assert_eq!(encode("aZ0-._~"), "aZ0-._~");
        assert_eq!(encode("a b&c=d/é"), "a%20b%26c%3Dd%2F%C3%A9");
    }
}
