//! Requests that are refused: what each answer has beside its status.

use core::time::Duration;

use super::fixture::{ADMIN, Fixture};
use crate::api::Board;
use crate::call::Completion;
use crate::limits::{BODY_BYTES, DEVICE_ID_BYTES, HEAD_BYTES, PASSWORD_CHECKS, PATH_BYTES};
use crate::session::LOCKOUT_ATTEMPTS;

const LISTEN: &str = "[listen]\norigins = ['https://panel.example']\n";
const PANEL: &str = "Origin: https://panel.example\r\n";

fn answer(fixture: &mut Fixture, request: &str) -> String {
    let id = fixture.connect();
    let response = fixture.http(id, request);
    fixture.server.release(id);
    response
}

/// A request for a resource with a JSON body.
fn post(resource: &str, body: &str) -> String {
    let length = body.len();
    format!(
        "POST /api/v1/{resource} HTTP/1.1\r\nHost: h\r\nContent-Type: application/json\r\n\
         Authorization: Bearer {ADMIN}\r\nContent-Length: {length}\r\n\r\n{body}"
    )
}

#[track_caller]
fn assert_has(response: &str, status: u16, part: &str) {
    assert!(response.starts_with(&format!("HTTP/1.1 {status} ")), "{response}");
    assert!(response.contains(part), "{part}: {response}");
}

#[test]
fn page_of_an_allowed_origin_reads_why_its_request_is_refused() {
    let mut fixture = Fixture::with_tables(4, Board::default(), LISTEN);
    let long = BODY_BYTES + 1;
    let path = "x".repeat(PATH_BYTES);
    let filler = format!("X-Filler: {}\r\n", "x".repeat(HEAD_BYTES));
    let mut refused = 0;
    for (line, fields, status) in [
        ("DELETE /api/v1/services HTTP/1.1", "Host: h\r\n", 405),
        ("POST /api/v1/services HTTP/1.1", "Host: h\r\n", 405),
        ("PUT /system.library/validate HTTP/1.1", "Host: h\r\n", 405),
        ("POST /api/v1/login HTTP/1.1", &format!("Host: h\r\nContent-Length: {long}\r\n"), 413),
        (&format!("GET /{path} HTTP/1.1"), "Host: h\r\n", 414),
        ("POST /api/v1/login HTTP/1.1", "Host: h\r\nExpect: x\r\n", 417),
        ("GET /api/v1/validate HTTP/1.1", &filler, 431),
        ("GET /api/v1/validate HTTP/2.0", "Host: h\r\n", 505),
        ("GET /api/v1/validate HTTP/1.1", "", 400),
        ("GET /api/v1/validate HTTP/1.1", "Host: h\r\nAuthorization: a\r\nAuthorization: b\r\n", 400),
        (
            "POST /api/v1/login HTTP/1.1",
            "Host: h\r\nContent-Length: 0\r\nTransfer-Encoding: chunked\r\n",
            400,
        ),
        ("POST /api/v1/login HTTP/1.1", "Host: h\r\nTransfer-Encoding: gzip\r\n", 501),
        ("GET /nosuch HTTP/1.1", "Host: h\r\n", 404),
        ("GET /api/v1/%zz HTTP/1.1", "Host: h\r\n", 400),
        ("POST /healthz HTTP/1.1", "Host: h\r\n", 405),
    ] {
        let readable = "\r\naccess-control-allow-origin: https://panel.example\r\nvary: origin\r\n";
        assert_has(&answer(&mut fixture, &format!("{line}\r\n{PANEL}{fields}\r\n")), status, readable);
        for other in ["", "Origin: https://evil.example\r\n"] {
            let response = answer(&mut fixture, &format!("{line}\r\n{other}{fields}\r\n"));
            assert!(!response.contains("access-control"), "{line}: {response}");
        }
        refused += 3;
    }
    assert_eq!(fixture.server.counters().bad_requests, refused);
}

#[test]
fn client_that_is_refused_for_a_time_reads_for_how_long() {
    let mut fixture = Fixture::new(PASSWORD_CHECKS + 4);
    let login = post("login", r#"{"username":"anna","password":"x"}"#);
    for _ in 0..LOCKOUT_ATTEMPTS {
        let id = fixture.connect();
        fixture.put(id, login.as_bytes());
        fixture.check_password(false);
        fixture.server.release(id);
    }
    let blocked = answer(&mut fixture, &login);
    let (_, after) = blocked.split_once("\r\nretry-after: ").unwrap_or_else(|| panic!("{blocked}"));
    let seconds: u64 = after.split("\r\n").next().unwrap().parse().unwrap();
    assert_has(&blocked, 429, r#""code":"blocked""#);
    assert!((1..=10).contains(&seconds), "{blocked}");
    fixture.pass(Duration::from_secs(seconds));
    let id = fixture.connect();
    assert_eq!(fixture.http(id, &login), "", "it is checked again");

    let other = post("login", r#"{"username":"admin","password":"x"}"#);
    let mut waiting = Vec::new();
    let full = loop {
        let id = fixture.connect();
        let response = fixture.http(id, &other);
        if !response.is_empty() {
            break response;
        }
        waiting.push(id);
        assert!(waiting.len() <= PASSWORD_CHECKS, "the queue has an end");
    };
    assert_has(&full, 503, "\r\nretry-after: 5\r\n");
    assert_has(&full, 503, r#""code":"full""#);
}

#[test]
fn user_who_wrote_too_often_reads_when_the_next_write_is() {
    let mut fixture = Fixture::new(4);
    let id = fixture.connect();
    fixture.deliver(id, post("services/hello/install", "").as_bytes());
    let call = fixture.system.writes.pop().unwrap();
    let refused = Completion::Written(Err(crate::log::errno::EDQUOT));
    fixture.server.handle_completion(call, refused, fixture.now, &mut fixture.system);
    let response = String::from_utf8(fixture.get(id)).unwrap();
    assert_has(&response, 429, "\r\nretry-after: 60\r\n");
}

#[test]
fn rejections_of_resources_have_a_code() {
    let mut fixture = Fixture::new(4);
    for (request, status, code) in [
        ("GET /api/v1/services/hello/start HTTP/1.1\r\nHost: h\r\n\r\n".to_owned(), 405, "wrong-method"),
        ("DELETE /api/v1/services HTTP/1.1\r\nHost: h\r\n\r\n".to_owned(), 405, "wrong-method"),
        ("GET /api/v1/services HTTP/1.1\r\n\r\n".to_owned(), 400, "bad-request"),
        (post("services/hello/start", "{"), 400, "bad-request"),
        (post("services%2fhello/start", ""), 404, "unknown-call"),
        (
            post("validate", "").replace("POST", "GET").replace("Host: h", "Host: h\r\nOrigin: null"),
            403,
            "not-allowed",
        ),
    ] {
        assert_has(&answer(&mut fixture, &request), status, &format!(r#""status":{status},"code":"{code}""#));
    }
    let mut fixture = Fixture::new(1);
    fixture.bound(ADMIN);
    let request = "GET /api/v1/validate HTTP/1.1\r\nHost: h\r\n\r\n";
    assert_has(&answer(&mut fixture, request), 503, r#""status":503,"code":"full""#);
}

#[test]
fn paths_that_are_only_read_allow_no_post() {
    let mut fixture = Fixture::with_tables(4, Board::default(), "[listen]\npublic_url = 'https://h/board'\n");
    let read = "\r\nallow: GET, HEAD, OPTIONS\r\n";
    for path in ["/metrics", "/healthz?level=ready", "/", "/console.js", "/board/metrics"] {
        for (method, status) in [("OPTIONS", 200), ("POST", 405), ("DELETE", 405)] {
            let request = format!("{method} {path} HTTP/1.1\r\nHost: h\r\n\r\n");
            assert_has(&answer(&mut fixture, &request), status, read);
        }
    }
}

#[test]
fn body_is_refused_for_what_is_wrong_with_it() {
    let mut fixture = Fixture::new(4);
    let start = "services/hello/start";
    let latin =
        |request: String, essence: &str| request.replace(essence, &format!("{essence}; charset=latin1"));
    let device = "d".repeat(DEVICE_ID_BYTES + 1);
    let login = |device: &str| {
        post("login", &format!(r#"{{"username":"admin","password":"x","deviceid":"{device}"}}"#))
    };
    let form = "POST /system.library/validate HTTP/1.1\r\nHost: h\r\n\
        Content-Type: application/x-www-form-urlencoded\r\nContent-Length: 3\r\n\r\na=1";
    for (request, status, words) in [
        (post(start, r#"{"a":"1","a":"2"}"#), 400, "one is there twice"),
        (post(start, "[]"), 400, "not one JSON object"),
        (latin(post(start, "{}"), "application/json"), 415, "in UTF-8"),
        (latin(form.to_owned(), "urlencoded"), 415, "in UTF-8"),
        (post(start, &" ".repeat(BODY_BYTES + 1)), 413, "a call is short"),
        (login(&device), 400, r#""code":"invalid","detail":"login: "#),
        (login("a\u{202E}b"), 400, r#""code":"invalid""#),
        (login("a\\u001bb"), 400, r#""code":"invalid""#),
    ] {
        assert_has(&answer(&mut fixture, &request), status, words);
    }
    assert!(fixture.system.checks.is_empty(), "no password was checked");
}
