//! Own pages: their paths beside those of the server, and the pieces in which they are sent.

use core::time::Duration;

use super::fixture::Fixture;
use crate::api::Board;
use crate::connection::{Finish, SEND_TIMEOUT, SITE_PIECE_BYTES};
use crate::http::Site;
use crate::ws::CLOSE_TIMEOUT;

fn site(files: &[(&str, &str)]) -> Site {
    let mut site = Site::default();
    for (path, content) in files {
        let read = |room: &mut [u8]| {
            room.copy_from_slice(content.as_bytes());
            Ok::<(), ()>(())
        };
        site.add(path, content.len(), read).unwrap();
    }
    site
}

/// A server with these own pages.
fn served(files: &[(&str, &str)]) -> Fixture {
    let tables = "[listen]\npublic_url = 'https://public.example/board/'\n";
    let mut fixture = Fixture::with_tables(4, Board::default(), tables);
    fixture.server.set_site(site(files));
    fixture
}

fn answer(fixture: &mut Fixture, request: &str) -> String {
    let id = fixture.connect();
    let response = fixture.http(id, request);
    fixture.server.release(id);
    response
}

fn get(path: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nHost: h\r\n\r\n")
}

#[test]
fn own_index_takes_the_place_of_the_console_at_the_root_alone() {
    let mut fixture = served(&[("/index.html", "<p>own"), ("/a.js", "1")]);
    for (path, body) in [("/", "<p>own"), ("/board/", "<p>own"), ("/a.js?v=2", "1"), ("/healthz", "ok\n")] {
        let response = answer(&mut fixture, &get(path));
        assert!(
            response.starts_with("HTTP/1.1 200 ") && response.ends_with(&format!("\r\n\r\n{body}")),
            "{path}"
        );
    }
    for path in ["/console", "/board/console"] {
        assert!(answer(&mut fixture, &get(path)).contains("Service control"), "{path}");
    }
    for (request, status) in [
        (get("/nothing"), 404),
        (get("/fcws"), 404),
        ("POST /a.js HTTP/1.1\r\nHost: h\r\nContent-Length: 0\r\n\r\n".to_owned(), 405),
    ] {
        let response = answer(&mut fixture, &request);
        assert!(response.starts_with(&format!("HTTP/1.1 {status} ")), "{response}");
        assert!(status != 405 || response.contains("\r\nallow: GET, HEAD, OPTIONS\r\n"), "{response}");
    }
    let mut without = served(&[("/a.js", "1")]);
    for path in ["/", "/console"] {
        assert!(answer(&mut without, &get(path)).contains("Service control"), "{path}");
    }
}

#[test]
fn page_is_sent_in_pieces() {
    let content = "0123456789abcdef".repeat(3 * SITE_PIECE_BYTES / 16) + "end";
    let mut fixture = served(&[("/big", &content), ("/exact", &content[..SITE_PIECE_BYTES]), ("/empty", "")]);
    let id = fixture.connect();
    fixture.put(id, get("/big").as_bytes());
    let mut pieces = 0;
    while fixture.server.state(id).sends || fixture.server.refill(id) {
        let count = fixture.server.pending(id).len();
        assert!(count <= SITE_PIECE_BYTES, "{count}");
        fixture.server.sent(id, count, fixture.now, &mut fixture.system);
        pieces += 1;
    }
    // The head, then the content.
    assert_eq!(pieces, 1 + 4);
    fixture.server.release(id);
    for (path, length) in [("/big", content.len()), ("/exact", SITE_PIECE_BYTES), ("/empty", 0)] {
        let response = answer(&mut fixture, &get(path));
        let (head, body) = response.split_once("\r\n\r\n").unwrap();
        assert!(head.contains(&format!("\r\ncontent-length: {length}\r\n")), "{head}");
        assert_eq!(body, &content[..length]);
        let only = answer(&mut fixture, &get(path).replace("GET", "HEAD"));
        assert_eq!(only, format!("{head}\r\n\r\n"));
    }
}

#[test]
fn response_of_an_earlier_version_is_cut() {
    let content = "x".repeat(2 * SITE_PIECE_BYTES);
    let mut fixture = served(&[("/a", &content)]);
    let id = fixture.connect();
    fixture.put(id, get("/a").as_bytes());
    assert_eq!(fixture.server.state(id).finish, Some(Finish::Graceful));
    fixture.server.set_site(site(&[("/a", &content)]));
    assert_eq!(fixture.server.state(id).finish, Some(Finish::Graceful));
    fixture.server.set_site(Site::default());
    assert_eq!(fixture.server.state(id).finish, Some(Finish::Abort));
    assert_eq!(fixture.server.next_wake(), Some(id.index));
}

#[test]
fn slow_reader_gets_the_whole_page_and_one_that_stops_is_cut() {
    let content = "x".repeat(3 * SITE_PIECE_BYTES);
    let mut fixture = served(&[("/a", &content)]);
    for stops in [false, true] {
        let id = fixture.connect();
        fixture.put(id, get("/a").as_bytes());
        let mut received = 0;
        while fixture.server.state(id).sends || fixture.server.refill(id) {
            let pause = if received == 0 { CLOSE_TIMEOUT } else { SEND_TIMEOUT };
            if stops && received > SITE_PIECE_BYTES {
                fixture.pass(pause);
                break;
            }
            fixture.pass(pause - Duration::from_secs(1));
            let count = fixture.server.pending(id).len().min(8192);
            received += count;
            fixture.server.sent(id, count, fixture.now, &mut fixture.system);
        }
        assert_eq!(received > content.len(), !stops);
        let finish = if stops { Finish::Abort } else { Finish::Graceful };
        assert_eq!(fixture.server.state(id).finish, Some(finish));
        fixture.server.release(id);
    }
}
