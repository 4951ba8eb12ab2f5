//! Server-sent events of a real server.

use std::io::{BufRead as _, BufReader, Read, Write as _};

use rustix::process::Signal;
use serde_json::Value;

use crate::events::EVENTS;
use crate::openapi::check_type;
use crate::support::device::{ADMIN, service, shell};
use crate::support::wait::SOON;
use crate::support::{Device, Server};

/// Events of a stream.
pub(super) struct Events<R>(pub(super) BufReader<R>);

impl<R: Read> Events<R> {
    /// The next event: its name, and its data, which are those of its type; `None` at the end.
    #[track_caller]
    fn next(&mut self) -> Option<(String, Value)> {
        let mut name = String::new();
        // TLS may end without a close_notify: an end all the same.
        for line in self.0.by_ref().lines().map_while(Result::ok) {
            if let Some(text) = line.strip_prefix("event: ") {
                text.clone_into(&mut name);
            } else if let Some(data) = line.strip_prefix("data: ") {
                let data = serde_json::from_str(data).unwrap();
                let known = EVENTS.iter().find(|(known, _)| *known == name);
                check_type(known.unwrap_or_else(|| panic!("{name}")).1, &data, &name);
                return Some((name, data));
            }
        }
        None
    }

    /// Reads up to the change of a service to this state.
    #[track_caller]
    pub(super) fn until(&mut self, service: &str, state: &str) -> Value {
        while let Some((name, data)) = self.next() {
            if name == "service-change" && data["service"] == service && data["state"] == state {
                return data;
            }
        }
        panic!("the stream ended, or was silent, before {service} was {state}");
    }
}

#[test]
fn stream_follows_services_and_ends_with_the_server() {
    let services = [service("sleeper", &["/bin/sleep", "1000"], ""), shell("brief", "echo why; exit 3", "")];
    let mut server = Server::start(&Device::new().with(&services.concat()));
    let mut stream = server.connect();
    stream.socket().set_read_timeout(Some(SOON)).unwrap();
    write!(stream, "GET /api/v1/events HTTP/1.1\r\nHost: h\r\nAuthorization: Bearer {ADMIN}\r\n\r\n")
        .unwrap();
    stream.flush().unwrap();
    let mut events = Events(BufReader::new(stream));
    events.until("sleeper", "stopped");
    server.call("services/sleeper/start");
    events.until("sleeper", "started");
    server.call("services/brief/start");
    let failed = events.until("brief", "failed");
    assert_eq!((&failed["reason"], &failed["output"][0]), (&"exit 3".into(), &"why".into()));
    server.signal(Signal::TERM);
    while events.next().is_some() {}
    assert!(server.wait(SOON).success());
}
