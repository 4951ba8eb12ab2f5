//! The administrator: logs in from another address, calls with a token and with a paired certificate from that of the
//! flood, looks at the health, and has a socket that is bound.

use std::io::{Read as _, Write as _};
use std::net::Ipv4Addr;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use rustls::pki_types::ServerName;
use rustls::{ClientConnection, StreamOwned};

use super::kind::{STATUS, command, post};
use super::{SAME, socket};
use crate::frame::{self, TEXT};
use crate::link::{Link, Target, tls_config};
use crate::{Error, Options};

/// Time of the administrator for what he wants, with further attempts.
const LIMIT: Duration = Duration::from_secs(2);
/// Time between two attempts.
const PAUSE: Duration = Duration::from_millis(10);

const HEALTH: &[u8] = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n";
/// [`STATUS`] in two chunks.
const CHUNKED_STATUS: &str = r#"{"type":"con","data":{"type":"chunk","data":{"id":"s","part":0,"total":2,"data":"eyJ0eXBlIjoibXNnIiwiZGF0YSI6eyJ0eXBlIjoicmVxdWVzdCIsInJlcXVlc3RpZCI6InIiLCJw"}}}
{"type":"con","data":{"type":"chunk","data":{"id":"s","part":1,"total":2,"data":"YXRoIjoic3lzdGVtLmxpYnJhcnkvc2VydmljZXMvaGVsbG8vc3RhdHVzIiwiZGF0YSI6e319fQ=="}}}"#;
/// A part of its answer.
const STATE: &str = r#""State":"#;

/// His attempts: their connections, those done within [`LIMIT`], and their times.
#[derive(Debug, Default)]
struct Tries {
    connections: u32,
    done: u32,
    times: Vec<Duration>,
}

impl Tries {
    /// Notes the end of a try that began then.
    fn note(&mut self, begin: Instant, is_done: bool) {
        let elapsed = begin.elapsed();
        self.times.push(elapsed);
        self.done += u32::from(is_done && elapsed <= LIMIT);
    }

    fn report(&self, name: &str) {
        let mut times = self.times.clone();
        times.sort_unstable();
        let at = |index: usize| times.get(index).map_or(0, Duration::as_micros);
        println!("{name}_done {}\n{name}_connections {}", self.done, self.connections);
        let (median, slowest) = (at(times.len() / 2), at(times.len().wrapping_sub(1)));
        println!("{name}_median_us {median}\n{name}_slowest_us {slowest}");
    }
}

pub(super) struct Administrator {
    target: Target,
    /// The same with a certificate that is paired.
    paired: Target,
    login: Vec<u8>,
    call: Vec<u8>,
    /// A call without a session.
    without_session: Vec<u8>,
    bound: Link,
    /// Calls on the bound socket, and what their answers contain.
    texts: Vec<(String, &'static str)>,
    is_bound: bool,
    is_refused: bool,
    logins: Tries,
    calls: Tries,
    paired_calls: Tries,
    healths: Tries,
    messages: Tries,
}

impl Administrator {
    /// With a socket that is bound. It has the address of the flood.
    pub(super) fn new(options: &Options) -> Result<Self, Error> {
        let token = format!("sessionid={}", options.session);
        // What a user can use up is what the administrator uses.
        let texts = if options.flood == "user" {
            vec![(command("now"), r#""Exit": "exit 0""#), (CHUNKED_STATUS.to_owned(), STATE)]
        } else {
            vec![(STATUS.to_owned(), STATE)]
        };
        // The server accepts connections before it has made its certificate, which is read below.
        let bound = Link::open(&options.target)?;
        Ok(Self {
            target: options.target.clone(),
            paired: pair(options, &token)?,
            login: post("login", &options.login, options.login.len()),
            call: post("validate", &token, token.len()),
            without_session: post("services/hello/status", "", 0),
            bound,
            texts,
            is_bound: true,
            is_refused: false,
            logins: Tries::default(),
            calls: Tries::default(),
            paired_calls: Tries::default(),
            healths: Tries::default(),
            messages: Tries::default(),
        })
    }

    /// Does each of his things once.
    pub(super) fn come(&mut self, other: Ipv4Addr, same: Ipv4Addr) -> Result<(), Error> {
        let Self {
            target, paired, login, call, without_session, logins, calls, paired_calls, healths, ..
        } = self;
        attempt(target, logins, other, login, "\"sessionid\"")?;
        attempt(target, calls, same, call, "\"response\":\"true\"")?;
        attempt(paired, paired_calls, same, without_session, STATE)?;
        attempt(target, healths, other, HEALTH, "200 OK")?;
        self.look();
        Ok(())
    }

    /// Calls on the socket that is bound.
    pub(super) fn look(&mut self) {
        self.messages.connections += u32::from(self.messages.times.is_empty());
        let begin = Instant::now();
        for (text, expected) in self.texts.clone() {
            match self.exchange(&text, expected) {
                Ok(true) => {}
                Ok(false) => self.is_refused = true,
                Err(error) => {
                    eprintln!("the socket that is bound: {error}");
                    self.is_bound = false;
                    return;
                }
            }
        }
        self.messages.note(begin, !self.is_refused);
    }

    /// Sends a message of one frame a line. Returns false if the answer is another one.
    fn exchange(&mut self, text: &str, expected: &str) -> Result<bool, Error> {
        let mut bytes = Vec::new();
        for line in text.lines() {
            frame::append(&mut bytes, TEXT, line.as_bytes());
        }
        self.bound.write(&bytes)?;
        let mut answer = None;
        while answer.is_none() {
            self.bound.read()?;
            // Pushes come on this socket, too.
            self.bound.texts(|text| {
                let text = String::from_utf8_lossy(text);
                if text.contains("\"response\"") || text.contains("\"error\"") {
                    answer = Some(text.contains(expected));
                    if !text.contains(expected) {
                        eprintln!("{text}");
                    }
                }
            })?;
        }
        Ok(answer == Some(true))
    }

    pub(super) fn report(&self) {
        for (name, tries) in [
            ("logins", &self.logins),
            ("calls", &self.calls),
            ("paired", &self.paired_calls),
            ("healths", &self.healths),
            ("messages", &self.messages),
        ] {
            tries.report(name);
        }
        println!("bound {}", u8::from(self.is_bound));
    }
}

/// Has the certificate accepted as that of the administrator.
fn pair(options: &Options, token: &str) -> Result<Target, Error> {
    let own = Some([options.certificate.as_path(), &options.key]);
    let paired = Target { tls: Some(tls_config(own)?), ..options.target.clone() };
    let window = format!("{token}&username=admin");
    for (target, call, form) in
        [(&options.target, "board/pair", window.as_str()), (&paired, "user/pair", "deviceid=flood")]
    {
        let answer = exchange(target, SAME, &post(call, form, form.len()), LIMIT)?;
        if !answer.contains("\"ok\"") {
            return Err(format!("{call}: {answer}").into());
        }
    }
    Ok(paired)
}

/// Sends a request until the answer has `expected`, or [`LIMIT`] has passed.
fn attempt(
    target: &Target,
    tries: &mut Tries,
    source: Ipv4Addr,
    request: &[u8],
    expected: &str,
) -> Result<(), Error> {
    let begin = Instant::now();
    let mut is_done = false;
    while let Some(left) = LIMIT.checked_sub(begin.elapsed()).filter(|left| !is_done && *left > PAUSE) {
        tries.connections += 1;
        match exchange(target, source, request, left) {
            Ok(answer) if answer.contains(expected) => is_done = true,
            Ok(answer) => eprintln!("{}", answer.lines().last().unwrap_or("no answer")),
            Err(error) => eprintln!("{error}"),
        }
        if !is_done {
            thread::sleep(PAUSE);
        }
    }
    tries.note(begin, is_done);
    Ok(())
}

fn exchange(target: &Target, source: Ipv4Addr, request: &[u8], timeout: Duration) -> Result<String, Error> {
    let config = target.tls.as_ref().ok_or("--tls is missing")?;
    let socket = socket::connected(source, target.address, timeout)?;
    let connection = ClientConnection::new(Arc::clone(config), ServerName::from(target.address.ip()))?;
    let mut stream = StreamOwned::new(connection, socket);
    stream.write_all(request)?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer)?;
    Ok(String::from_utf8_lossy(&answer).into_owned())
}
