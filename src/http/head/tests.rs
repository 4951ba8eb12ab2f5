use proptest::prelude::*;

use super::*;

const GET: &str = "GET / HTTP/1.1\r\nHost: board\r\n\r\n";

fn parse(text: &str) -> Result<Option<(Head<'_>, usize)>, Rejection> {
    parse_head(text.as_bytes())
}

fn head(text: &str) -> Head<'_> {
    let (head, length) = parse(text).unwrap().unwrap();
    assert_eq!(length, text.len());
    head
}

fn status(text: &str) -> u16 {
    parse(text).expect_err(text).status
}

/// Status of a GET with these header lines.
fn with(lines: &str) -> u16 {
    status(&format!("GET / HTTP/1.1\r\nHost: board\r\n{lines}\r\n\r\n"))
}

#[test]
fn plain_get() {
    let head = head(GET);
    assert_eq!((head.method, head.path, head.query), (Method::Get, "/", None));
    assert_eq!((head.host, head.origin, head.content_type), (Some("board"), None, None));
    assert_eq!((head.content_length, head.upgrade, head.http_1_0), (0, None, false));
}

#[test]
fn compressed_answers_are_accepted_by_name_and_weight() {
    let accepts = |value: &str| {
        head(&format!("GET / HTTP/1.1\r\nHost: h\r\nAccept-Encoding: {value}\r\n\r\n")).accepts_gzip
    };
    for value in ["gzip", "br, gzip", "gzip;q=0.5", "deflate, gzip ; q=1", "*", "x-gzip", "gzip;q=0.001"] {
        assert!(accepts(value), "{value}");
    }
    for value in ["", "br", "gzip;q=0", "gzip; q=0.000", "identity", "gzipped"] {
        assert!(!accepts(value), "{value}");
    }
    assert!(!head(GET).accepts_gzip);
    let known = head("GET / HTTP/1.1\r\nHost: h\r\nIf-None-Match: \"a\", W/\"b\"\r\n\r\n").known_tags;
    assert_eq!(known, Some("\"a\", W/\"b\""));
}

#[test]
fn form_post_of_friend_core() {
    let text = "POST /system.library/services/hello/start HTTP/1.1\r\nHost: h\r\nContent-Type: application/x-www-form-urlencoded\r\nContent-Length: 50\r\n\r\nsessionid=8ed922535bc7cb2de39dc9bdafef502e2e20b986";
    let (head, length) = parse(text).unwrap().unwrap();
    assert_eq!(head.method, Method::Post);
    assert_eq!(head.path, "/system.library/services/hello/start");
    assert_eq!(head.content_length, text.len() - length);
    assert_eq!(head.content_type, Some("application/x-www-form-urlencoded"));
}

#[test]
fn positions_of_path_and_query() {
    for start in ["", "\r\n", "\n"] {
        let text = format!("{start}GET /system.library/validate?sessionid=S?&a HTTP/1.1\nhost: h\n\n");
        let head = head(&text);
        assert_eq!(head.query, Some("sessionid=S?&a"));
        assert_eq!(text.get(head.path_at.clone()), Some("/system.library/validate"));
        assert_eq!(text.get(head.query_at.clone()), head.query);
    }
    let head = head("GET /a HTTP/1.1\r\nhost: h\r\n\r\n");
    assert!(head.query_at.is_empty());
    assert_eq!(parse("GET /a? HTTP/1.1\r\nhost: h\r\n\r\n").unwrap().unwrap().0.query, Some(""));
}

#[test]
fn upgrade_of_a_browser() {
    let head = head(
        "GET /fcws HTTP/1.1\r\nHost: board:6500\r\nConnection: keep-alive, Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Protocol: chat, FC-protocol\r\nSec-WebSocket-Extensions: permessage-deflate\r\nOrigin: https://board:6500\r\n\r\n",
    );
    assert_eq!(
        head.upgrade,
        Some(UpgradeFields {
            connection: true,
            websocket: true,
            key: Some("dGhlIHNhbXBsZSBub25jZQ=="),
            version: Some("13"),
            offers_protocols: true,
            offers_ours: true,
        })
    );
    assert_eq!(head.origin, Some("https://board:6500"));
}

#[test]
fn lists_may_be_spread_over_lines() {
    let head = head(
        "GET / HTTP/1.1\r\nHost: h\r\nconnection: close\r\nconnection:upgrade\r\nupgrade: h2c, WebSocket\r\nsec-websocket-protocol: a\r\nsec-websocket-protocol: FC-protocol\r\n\r\n",
    );
    let upgrade = head.upgrade.unwrap();
    assert!(upgrade.connection && upgrade.websocket && upgrade.offers_ours);
}

#[test]
fn other_upgrades_are_ignored() {
    let text = "GET / HTTP/1.1\r\nHost: h\r\nconnection: upgrade\r\nupgrade: h2c\r\n\r\n";
    assert_eq!(head(text).upgrade, None);
    let text = "GET / HTTP/1.0\r\nHost: h\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n";
    assert_eq!(head(text).upgrade, None);
}

#[test]
fn every_prefix_is_incomplete() {
    let text = "POST /a?b HTTP/1.1\r\nHost: board\r\nContent-Length: 3\r\n\r\n";
    for cut in 0..text.len() {
        assert_eq!(parse(&text[..cut]), Ok(None), "{cut}");
    }
}

#[test]
fn bytes_that_are_not_http_are_rejected_at_once() {
    for text in [
        "\0",
        "\x16\x03\x01",
        " GET",
        "\r\n\r\n",
        "\n\n",
        "\rG",
        "GET  /",
        "{",
        "EHLO x\r\n",
        "SSH-2.0-x\r\n",
    ] {
        assert_eq!(status(text), 400, "{text:?}");
    }
    assert_eq!(parse(&"A".repeat(METHOD_BYTES)), Ok(None));
    assert_eq!(status(&"A".repeat(METHOD_BYTES + 1)), 400);
    assert_eq!(status("GET / FTP"), 400);
}

#[test]
fn versions() {
    assert_eq!(status("PRI * HTTP/2.0\r\n"), 505);
    assert_eq!(status("GET / HTTP/1.2\r\n"), 505);
    assert_eq!(status("GET / HTTP/3"), 505);
    for method in ["GET", "POST", "HEAD", "OPTIONS"] {
        assert!(head(&format!("{method} / HTTP/1.0\r\n\r\n")).http_1_0);
    }
}

#[test]
fn head_request_is_found_before_it_is_whole() {
    for text in ["HEAD ", "HEAD / HTTP/9", "\r\nHEAD x", "\nHEAD / HTTP/1.1\r\n\r\n"] {
        assert!(is_head(text.as_bytes()), "{text:?}");
    }
    for text in ["", "HEAD", "HEADS /", "head /", "GET /HEAD ", "\r\n\r\nHEAD /"] {
        assert!(!is_head(text.as_bytes()), "{text:?}");
    }
}

#[test]
fn methods() {
    for (name, method) in [("GET", Method::Get), ("HEAD", Method::Head), ("POST", Method::Post)] {
        assert_eq!(head(&format!("{name} / HTTP/1.1\r\nHost: h\r\n\r\n")).method, method);
    }
    assert_eq!(head("OPTIONS * HTTP/1.1\r\nHost: h\r\n\r\n").path, "*");
    for name in ["PUT", "DELETE", "CONNECT", "TRACE", "PROPFIND", "get"] {
        assert_eq!(status(&format!("{name} / HTTP/1.1\r\nHost: h\r\n\r\n")), 405, "{name}");
    }
}

#[test]
fn targets() {
    for (target, expected) in [
        ("http://other/", 403),
        ("https://board/fcws", 403),
        ("*", 400),
        ("board:80", 400),
        ("fcws", 400),
        ("/a#b", 400),
        ("/\u{e9}", 400),
    ] {
        assert_eq!(status(&format!("GET {target} HTTP/1.1\r\nHost: h\r\n\r\n")), expected, "{target}");
    }
}

#[test]
fn host_occurs_once_and_is_well_formed() {
    assert_eq!(status("GET / HTTP/1.1\r\n\r\n"), 400);
    assert_eq!(with("host: other"), 400);
    assert_eq!(status("GET / HTTP/1.0\r\nHost: a\r\nHost: a\r\n\r\n"), 400);
    for host in ["board", "board:", "10.0.0.2:6500", "[::1]", "[fe80::1]:65535", "a_b.example"] {
        let text = format!("GET / HTTP/1.1\r\nHOST: {host}\r\n\r\n");
        assert_eq!(head(&text).host, Some(host));
    }
    for host in [
        "", "a b", "a,b", "a:b", "a:1:2", "a:65536", "::1", "[::1", "[]", "[::1]x", "[g::1]", "a/b", "u@h",
        ":80", "h\u{e9}",
    ] {
        assert_eq!(status(&format!("GET / HTTP/1.1\r\nhost: {host}\r\n\r\n")), 400, "{host}");
    }
}

#[test]
fn expectations() {
    let expects = |version, value| {
        head(&format!("POST / HTTP/{version}\r\nHost: h\r\nExpect: {value}\r\n\r\n")).expects_continue
    };
    assert!(expects("1.1", "100-continue") && expects("1.1", "100-Continue"));
    assert!(!expects("1.0", "100-continue") && !expects("1.0", "other") && !head(GET).expects_continue);
    for lines in ["Expect: other", "Expect:", "Expect: 100-continue, 100-continue"] {
        assert_eq!(with(lines), 417, "{lines}");
    }
    assert_eq!(with("Expect: 100-continue\r\nExpect: 100-continue"), 400);
}

#[test]
fn transfer_encodings() {
    let text = "POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: Chunked\r\n\r\n";
    assert!(head(text).is_chunked && head(text).content_length == 0 && !head(GET).is_chunked);
    assert_eq!(status(&text.replace("HTTP/1.1", "HTTP/1.0")), 400);
    for encoding in ["gzip", "gzip, chunked", "identity", "chunked, chunked", "\"chunked\"", ""] {
        assert_eq!(with(&format!("Transfer-Encoding: {encoding}")), 501, "{encoding}");
    }
    for lines in [
        "content-length: 3\r\ntransfer-encoding: chunked",
        "transfer-encoding: identity\r\ncontent-length: 3",
        "transfer-encoding: chunked\r\ntransfer-encoding: chunked",
        "transfer-encoding: chunked\r\ntransfer-encoding: identity",
    ] {
        assert_eq!(with(lines), 400, "{lines}");
    }
}

#[test]
fn pages_of_other_origins_are_found() {
    for (site, expected) in
        [("cross-site", true), ("same-site", true), ("same-origin", false), ("none", false), ("x", false)]
    {
        let text = format!("GET / HTTP/1.1\r\nHost: h\r\nSec-Fetch-Site: {site}\r\n\r\n");
        assert_eq!(head(&text).is_cross_origin, expected, "{site}");
    }
}

#[test]
fn content_lengths() {
    for value in ["", "-1", "+1", "1.0", "0x1", "3, 3", "3 3", "a"] {
        assert_eq!(with(&format!("content-length: {value}")), 400, "{value}");
    }
    assert_eq!(with("content-length: 3\r\nContent-Length: 3"), 400);
    assert_eq!(with("content-length: 3\r\nContent-Length: 4"), 400);
    assert_eq!(with("content-length: 99999999999999999999999999"), 413);
}

#[test]
fn body_up_to_its_limit() {
    let text = |length: usize| format!("POST / HTTP/1.1\r\nHost: h\r\ncontent-length: {length}\r\n\r\n");
    assert_eq!(head(&text(limits::BODY_BYTES)).content_length, limits::BODY_BYTES);
    assert_eq!(status(&text(limits::BODY_BYTES + 1)), 413);
}

#[test]
fn single_fields_occur_once() {
    for name in ["origin", "content-type", "sec-websocket-key", "sec-websocket-version"] {
        assert_eq!(with(&format!("{name}: a\r\n{name}: a")), 400, "{name}");
    }
}

#[test]
fn malformed_lines() {
    for lines in
        ["a: b\r\n c", " a: b", "a : b", "a", ": b", "a: b\rc", "a: \0", "a: b\x7f", "origin: \u{e9}"]
    {
        assert_eq!(with(lines), 400, "{lines:?}");
    }
    // A field that is not read may have any value.
    assert!(parse("GET / HTTP/1.1\r\nHost: h\r\nx: \u{e9}\r\n\r\n").unwrap().is_some());
}

#[test]
fn fields_up_to_their_limit() {
    let text = |fields: usize| format!("GET / HTTP/1.1\r\nHost: h\r\n{}\r\n", "a: b\r\n".repeat(fields - 1));
    head(&text(limits::HEAD_FIELDS));
    assert_eq!(status(&text(limits::HEAD_FIELDS + 1)), 431);
}

#[test]
fn head_up_to_its_limit() {
    let text = |length: usize| {
        let start = "GET / HTTP/1.1\r\nHost: h\r\nx: ";
        format!("{start}{}\r\n\r\n", "a".repeat(length - start.len() - 4))
    };
    head(&text(limits::HEAD_BYTES));
    assert_eq!(status(&text(limits::HEAD_BYTES + 1)), 431);
    assert_eq!(parse(&text(limits::HEAD_BYTES + 1)[..limits::HEAD_BYTES - 1]), Ok(None));
    assert_eq!(status(&text(limits::HEAD_BYTES + 1)[..limits::HEAD_BYTES]), 431);
    // The body after a head is not part of it.
    let text = text(limits::HEAD_BYTES) + &"b".repeat(limits::BODY_BYTES);
    assert_eq!(parse(&text).unwrap().unwrap().1, limits::HEAD_BYTES);
}

#[test]
fn path_up_to_its_limit() {
    let path = |length: usize| format!("/{}", "a".repeat(length - 1));
    let text = format!("GET {}?q HTTP/1.1\r\nHost: h\r\n\r\n", path(limits::PATH_BYTES));
    assert_eq!(head(&text).path.len(), limits::PATH_BYTES);
    assert_eq!(status(&format!("GET {}", path(limits::PATH_BYTES + 1))), 414);
}

#[test]
fn request_line_limit() {
    let text = format!("GET /?{}", "q".repeat(limits::HEAD_BYTES));
    assert_eq!(parse(&text[..limits::HEAD_BYTES - 1]), Ok(None));
    assert_eq!(status(&text[..limits::HEAD_BYTES]), 414);
}

#[test]
fn reasons_are_one_line() {
    for text in ["\0", "GET / HTTP/2.0\r\n", "PUT / HTTP/1.1\r\n\r\n", "GET x://y HTTP/1.1\r\n\r\n"] {
        let reason = parse(text).unwrap_err().reason;
        assert!(!reason.is_empty() && !reason.contains('\n'), "{reason}");
    }
}

proptest! {
    #[test]
    fn any_bytes_do_not_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        if let Ok(Some((head, length))) = parse_head(&bytes) {
            prop_assert!(length <= bytes.len());
            prop_assert_eq!(bytes.get(head.path_at.clone()), Some(head.path.as_bytes()));
        }
    }

    #[test]
    fn near_heads_do_not_panic(
        text in "(GET|POST|X) ?/?[a-z?#%]{0,9} ?HTTP/1[.][01]\r?\n((Host|Origin|Content-Length|Upgrade|x):[ -~\t]{0,20}\r?\n){0,4}\r?\n?.{0,9}"
    ) {
        if let Ok(Some((head, length))) = parse(&text) {
            prop_assert!(length <= text.len());
            prop_assert_eq!(text.get(head.path_at.clone()), Some(head.path));
            prop_assert_eq!(text.get(head.query_at.clone()), Some(head.query.unwrap_or("")));
        }
    }

    #[test]
    fn rejected_prefix_stays_rejected(text in "[A-Z]{1,4} ?/[a-z]{0,4} ?HTTP/1[.]1\r?\n(Host: ?[a-z:]{0,4}\r?\n){0,2}\r?\n") {
        // More bytes never turn a rejection into a request.
        let whole = parse(&text);
        for cut in 0..text.len() {
            if parse_head(&text.as_bytes()[..cut]).is_err() {
                prop_assert!(whole.is_err(), "{:?}", &text[..cut]);
            }
        }
    }
}
