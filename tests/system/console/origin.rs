//! A page of another origin, which tries every call in a real browser.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::TcpListener;
use std::thread;

use friendlet::api::CALLS;
use friendlet::api::calls::NAME;
use serde_json::json;

use super::WIDE;
use crate::support::browser::Browser;
use crate::support::device::ADMIN;
use crate::support::{Device, Server};

/// Requests of a page that knows a session: each call by each method, read and unread, as Friend Core's and as a
/// resource, and both sockets. `window.read` has what it could read, `window.left` the number of those without an end.
const ATTACK: &str = "
    const [base, calls, form] = arguments;
    window.read = [];
    window.left = 1;
    const begin = (name, promise) => {
        window.left += 1;
        promise.then(text => text === '' || window.read.push(name + ': ' + text), () => {})
            .finally(() => window.left -= 1);
    };
    for (const call of calls) {
        for (const door of ['/system.library/', '/api/v1/']) {
            for (const mode of ['cors', 'no-cors']) {
                const options = { mode, credentials: 'include' };
                const post = { ...options, method: 'POST', body: new URLSearchParams(form) };
                const text = answer => answer.text();
                begin('POST ' + door + call, fetch(base + door + call, post).then(text));
                begin('GET ' + door + call, fetch(base + door + call + '?' + form, options).then(text));
            }
        }
    }
    begin('socket', new Promise((opened, failed) => {
        const socket = new WebSocket(base.replace('https', 'wss') + '/fcws', 'FC-protocol');
        socket.onopen = () => opened('open');
        socket.onerror = failed;
    }));
    begin('stream', new Promise((opened, failed) => {
        const stream = new EventSource(base + '/api/v1/events', { withCredentials: true });
        stream.onopen = () => opened('open');
        stream.onerror = () => { stream.close(); failed(); };
    }));
    window.left -= 1;
";

/// Serves an empty page until the test ends. Returns its URL.
fn empty_page() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap());
    thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let mut lines = BufReader::new(&stream).lines().map_while(Result::ok);
            if lines.any(|line| line.is_empty()) {
                let _ = stream
                    .write_all(b"HTTP/1.0 200 OK\r\nContent-Type: text/html\r\n\r\n<title>other</title>");
            }
        }
    });
    url
}

#[test]
#[ignore = "the step 'console' runs it"]
fn page_of_another_origin_can_call_nothing_and_locks_nobody_out() {
    let server = Server::start(&Device::new());
    let browser = Browser::start(WIDE);
    browser.go(&empty_page());
    let path = |path: &[&str]| {
        path.iter().map(|part| if *part == NAME { "allowed" } else { part }).collect::<Vec<_>>().join("/")
    };
    let calls: Vec<String> = CALLS.iter().map(|row| path(row.path)).collect();
    let form = format!("sessionid={ADMIN}&username=fadmin&password=wrong&serviceName=allowed");
    let base = format!("https://{}", server.address());
    browser.run(ATTACK, &[json!(base), json!(calls), json!(form)]);
    browser.until("window.left === 0");
    browser.until("window.read.length === 0");
    assert!(server.services().is_empty(), "a service was started");
    assert!(
        server.log().contains("request refused: pages of this origin may not connect"),
        "{}",
        server.log()
    );
    assert_eq!(server.login("fadmin", "secret").len(), ADMIN.len(), "the administrator is blocked");
}
