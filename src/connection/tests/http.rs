//! Requests over HTTP: pages of other origins, bodies in pieces, methods and versions.

use super::fixture::{ADMIN, Fixture, upgrade};
use crate::api::Board;
use crate::connection::SlotId;
use crate::limits::{BODY_BYTES, PATH_BYTES};
use crate::session::LOCKOUT_ATTEMPTS;

const LISTEN: &str =
    "[listen]\norigins = ['https://panel.example']\npublic_url = 'https://public.example/board/'\n";
const CONTINUE: &str = "HTTP/1.1 100 Continue\r\n\r\n";

fn fixture() -> Fixture {
    Fixture::with_tables(4, Board::default(), LISTEN)
}

/// A login with these header lines.
fn login(lines: &str) -> String {
    let form = "username=anna&password=x&deviceid=d";
    let length = form.len();
    format!("POST /system.library/login HTTP/1.1\r\nHost: h\r\nContent-Length: {length}\r\n{lines}\r\n{form}")
}

/// A call that needs a session, with the form of its body in chunks of these sizes.
fn chunked(sizes: &[usize]) -> String {
    let form = format!("sessionid={ADMIN}");
    let (mut body, mut rest) = (String::new(), form.as_str());
    for size in sizes.iter().chain([&form.len()]) {
        let (chunk, after) = rest.split_at((*size).min(rest.len()));
        body += &format!("{:X}\r\n{chunk}\r\n", chunk.len());
        rest = after;
    }
    format!(
        "POST /system.library/services/hello/start HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n\
         {body}0\r\nTrailer: x\r\n\r\n"
    )
}

#[track_caller]
fn assert_status(response: &str, status: u16) {
    assert!(response.starts_with(&format!("HTTP/1.1 {status} ")), "{response}");
}

fn answer(fixture: &mut Fixture, request: &str) -> String {
    let id = fixture.connect();
    let response = fixture.http(id, request);
    fixture.server.release(id);
    response
}

/// Sends a login, and returns the response after its password was found wrong.
fn wrong_login(fixture: &mut Fixture, lines: &str) -> String {
    let id: SlotId = fixture.connect();
    fixture.put(id, login(lines).as_bytes());
    fixture.check_password(false);
    let response = String::from_utf8(fixture.get(id)).unwrap();
    fixture.server.release(id);
    response
}

#[test]
fn pages_of_other_origins_neither_log_in_nor_lock_out() {
    let mut fixture = fixture();
    for lines in [
        "Origin: https://evil.example\r\n",
        "Origin: null\r\n",
        "Origin: http://h\r\n",
        "Sec-Fetch-Site: cross-site\r\n",
        "Sec-Fetch-Site: same-site\r\nOrigin: http://h:81\r\n",
    ] {
        for _ in 0..LOCKOUT_ATTEMPTS {
            let response = answer(&mut fixture, &login(lines));
            assert_status(&response, 403);
            assert!(!response.contains("access-control"), "{response}");
        }
    }
    assert!(fixture.system.checks.is_empty(), "no password was checked");
    assert_eq!(fixture.server.counters().bad_requests, 5 * u32::from(LOCKOUT_ATTEMPTS));
    assert!(wrong_login(&mut fixture, "").contains("Account blocked until: 0"), "nobody is locked out");
}

#[test]
fn pages_of_allowed_origins_log_in_and_read_the_answer() {
    let mut fixture = fixture();
    for origin in ["https://panel.example", "https://public.example"] {
        let lines = format!("Origin: {origin}\r\nSec-Fetch-Site: cross-site\r\n");
        let response = wrong_login(&mut fixture, &lines);
        assert_status(&response, 200);
        let readable = format!("\r\naccess-control-allow-origin: {origin}\r\nvary: origin\r\n");
        assert!(response.contains(&readable), "{response}");
        let preflight = format!("OPTIONS /system.library/login HTTP/1.1\r\nHost: h\r\n{lines}\r\n");
        assert!(answer(&mut fixture, &preflight).contains(&readable));
    }
    let foreign = "OPTIONS /system.library/login HTTP/1.1\r\nHost: h\r\nOrigin: https://evil.example\r\n\r\n";
    assert_status(&answer(&mut fixture, foreign), 403);
    assert!(!wrong_login(&mut fixture, "").contains("access-control"), "for a program");
}

#[test]
fn origin_of_one_request_is_not_that_of_the_next() {
    let mut fixture = fixture();
    let lines = "Origin: https://panel.example\r\n";
    assert!(wrong_login(&mut fixture, lines).contains("access-control"));
    let call = format!("GET /system.library/validate?sessionid={ADMIN} HTTP/1.1\r\nHost: h\r\n\r\n");
    for _ in 0..fixture.server.slots() {
        assert!(!answer(&mut fixture, &call).contains("access-control"));
    }
}

#[test]
fn socket_opens_for_pages_of_the_public_url() {
    let mut fixture = fixture();
    let open =
        |origin: &str| upgrade("/board/fcws").replacen("\r\n", &format!("\r\nOrigin: {origin}\r\n"), 1);
    assert_status(&answer(&mut fixture, &open("https://public.example")), 101);
    assert_status(&answer(&mut fixture, &open("http://public.example")), 403);
}

#[test]
fn path_of_the_public_url_may_precede_a_path() {
    let mut fixture = fixture();
    for prefix in ["", "/board"] {
        let call = format!(
            "GET {prefix}/system.library/services%2Fhello/status?sessionid={ADMIN} HTTP/1.1\r\nHost: h\r\n\r\n"
        );
        assert!(answer(&mut fixture, &call).contains("\"Status\": \"ok\""), "{call}");
        let health = format!("GET {prefix}/healthz HTTP/1.1\r\nHost: h\r\n\r\n");
        assert_status(&answer(&mut fixture, &health), 200);
    }
    for path in ["/board", "/board/"] {
        assert_status(&answer(&mut fixture, &format!("GET {path} HTTP/1.1\r\nHost: h\r\n\r\n")), 200);
    }
    for path in ["/boards/healthz", "/other/healthz", "/board/board/healthz"] {
        assert_status(&answer(&mut fixture, &format!("GET {path} HTTP/1.1\r\nHost: h\r\n\r\n")), 404);
    }
}

#[test]
fn chunked_body_is_decoded_whatever_the_pieces() {
    for sizes in [&[][..], &[1, 1, 1, 20], &[10, 3]] {
        let request = chunked(sizes);
        for size in [1, 2, 7, request.len()] {
            let mut fixture = fixture();
            let id = fixture.connect();
            for piece in request.as_bytes().chunks(size) {
                assert!(fixture.server.state(id).finish.is_none(), "answered before its end");
                fixture.put(id, piece);
            }
            let response = String::from_utf8(fixture.get(id)).unwrap();
            assert!(response.ends_with(r#"{ "Status": "ok"}"#), "{sizes:?} {size}: {response}");
        }
    }
}

#[test]
fn chunked_body_has_the_limits_of_another() {
    let mut fixture = fixture();
    let head = "POST /system.library/login HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n";
    let body = |body: &str| format!("{head}\r\n{body}");
    let long = "x".repeat(BODY_BYTES + 1);
    let ones = "1\r\nx\r\n".repeat(BODY_BYTES + 1);
    for (request, status) in [
        (body(&format!("{:x}\r\n{long}\r\n0\r\n\r\n", long.len())), 413),
        (body(&ones), 413),
        (body("3\r\nabcd\r\n"), 400),
        (body("nonsense"), 400),
        (format!("{head}Content-Type: application/json\r\n\r\n"), 415),
        (format!("{head}Content-Length: 3\r\n\r\nabc"), 400),
    ] {
        let start = request.chars().take(200).collect::<String>();
        let id = fixture.connect();
        for piece in request.as_bytes().chunks(1000) {
            if fixture.server.state(id).finish.is_none() {
                fixture.put(id, piece);
            }
        }
        let response = String::from_utf8(fixture.get(id)).unwrap();
        assert!(response.starts_with(&format!("HTTP/1.1 {status} ")), "{start:?}: {response}");
        fixture.server.release(id);
    }
}

#[test]
fn client_that_waits_for_it_is_asked_to_continue() {
    let mut fixture = fixture();
    let id = fixture.connect();
    let request = chunked(&[10]).replacen("\r\n", "\r\nExpect: 100-continue\r\n", 1);
    let (head, body) = request.split_once("\r\n\r\n").unwrap();
    assert_eq!(fixture.http(id, &format!("{head}\r\n\r\n")), CONTINUE);
    let (first, rest) = body.split_at(20);
    assert_eq!(fixture.http(id, first), "", "once");
    assert_status(&fixture.http(id, rest), 200);

    // A request that is refused, or whole, has no use for it.
    let refused = login("Expect: 100-continue\r\nOrigin: https://evil.example\r\n");
    let (head, _) = refused.split_once("\r\n\r\n").unwrap();
    assert_status(&answer(&mut fixture, &format!("{head}\r\n\r\n")), 403);
    assert_status(&answer(&mut fixture, &request), 200);
}

#[test]
fn head_has_no_body_whatever_the_answer() {
    let mut fixture = fixture();
    let status = format!("/system.library/services/hello/status?sessionid={ADMIN}");
    let unknown = format!("/system.library/nothing?sessionid={ADMIN}");
    let long = format!("/{}", "x".repeat(PATH_BYTES));
    for (path, status) in [
        ("/", 200),
        ("/healthz", 200),
        ("/nothing", 404),
        (status.as_str(), 200),
        (unknown.as_str(), 404),
        ("/system.library/services/hello/status?sessionid=none", 403),
        ("relative", 400),
        (long.as_str(), 414),
    ] {
        let request = |method: &str| format!("{method} {path} HTTP/1.1\r\nHost: h\r\n\r\n");
        let [head, get] = ["HEAD", "GET"].map(|method| answer(&mut fixture, &request(method)));
        assert_status(&head, status);
        let (fields, body) = get.split_once("\r\n\r\n").unwrap();
        assert!(!body.is_empty(), "{path}: {get}");
        assert_eq!(head, format!("{fields}\r\n\r\n"), "{path}");
    }
    // Nothing is changed by it.
    let start =
        format!("HEAD /system.library/services/hello/start?sessionid={ADMIN} HTTP/1.1\r\nHost: h\r\n\r\n");
    assert_status(&answer(&mut fixture, &start), 200);
    assert_eq!(fixture.system.next_pid, 0);
}

#[test]
fn proxy_that_speaks_http_1_0_is_served() {
    let mut fixture = fixture();
    let form = format!("sessionid={ADMIN}");
    let call = format!(
        "POST /system.library/services/hello/start HTTP/1.0\r\nContent-Length: {}\r\nExpect: 100-continue\r\n\r\n",
        form.len()
    );
    let id = fixture.connect();
    assert_eq!(fixture.http(id, &call), "", "HTTP/1.0 has no expectations");
    assert!(fixture.http(id, &form).ends_with(r#"{ "Status": "ok"}"#));
    fixture.server.release(id);
    for request in ["OPTIONS /nothing HTTP/1.0\r\n\r\n", "OPTIONS * HTTP/1.1\r\nHost: h\r\n\r\n"] {
        let response = answer(&mut fixture, request);
        assert_status(&response, 200);
        assert!(response.contains("\r\nallow: GET, HEAD, POST, OPTIONS\r\n"), "{response}");
    }
}

#[test]
fn content_has_its_own_type() {
    let mut fixture = fixture();
    for (path, media_type) in [
        ("services/hello/status", "application/json"),
        ("services/list", "application/json"),
        ("validate", "text/plain; charset=utf-8"),
        ("nothing", "text/plain; charset=utf-8"),
        ("services/hello/getwebgui", "text/html; charset=utf-8"),
    ] {
        let request = format!("GET /system.library/{path}?sessionid={ADMIN} HTTP/1.1\r\nHost: h\r\n\r\n");
        let response = answer(&mut fixture, &request);
        assert!(response.contains(&format!("\r\ncontent-type: {media_type}\r\n")), "{path}: {response}");
        let is_sandboxed = response.contains("\r\ncontent-security-policy: sandbox\r\n");
        assert_eq!(is_sandboxed, media_type.starts_with("text/html"), "{response}");
    }
}

#[test]
fn password_in_the_address_does_not_log_in() {
    let mut fixture = Fixture::new(4);
    for (method, path, body) in [
        ("GET", "login?username=admin&password=x", ""),
        ("POST", "login?username=admin&password=x", ""),
        ("POST", "login?password=x", "username=admin&password=x"),
        ("POST", "user/updatepassword?password=longer+one", "username=anna"),
        ("POST", "user/updatepassword?oldpassword=x", "password=longer+one"),
    ] {
        let id = fixture.connect();
        let body = format!("{body}&sessionid={ADMIN}");
        let length = body.len();
        let head = format!(
            "{method} /system.library/{path} HTTP/1.1\r\nHost: h\r\nContent-Length: {length}\r\n\r\n"
        );
        let refused = fixture.http(id, &(head + &body));
        assert!(refused.contains(r#"using POST method", "code":"5""#), "{path}: {refused}");
        assert!(fixture.system.checks.is_empty(), "{path}");
        fixture.server.release(id);
    }
}
