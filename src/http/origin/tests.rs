use super::super::parse_head;
use super::*;

/// Status of a call with these header lines, or 0 if it is accepted.
fn status(host: &str, lines: &str, origins: &[&str], tls: bool) -> u16 {
    let text = format!("POST /system.library/login HTTP/1.1\r\nHost: {host}\r\n{lines}\r\n\r\n");
    let head = parse_head(text.as_bytes()).unwrap().unwrap().0;
    check_origin(&head, origins.iter().copied(), tls).err().map_or(0, |rejection| rejection.status)
}

fn origin(host: &str, origin: &str, origins: &[&str], tls: bool) -> u16 {
    status(host, &format!("Origin: {origin}"), origins, tls)
}

#[test]
fn program_without_an_origin_is_accepted() {
    for lines in ["x: y", "Sec-Fetch-Site: none", "Sec-Fetch-Site: same-origin", "Sec-Fetch-Site: other"] {
        assert_eq!(status("board", lines, &[], true), 0, "{lines}");
    }
}

#[test]
fn page_that_hides_its_origin_is_refused() {
    for site in ["cross-site", "same-site"] {
        assert_eq!(status("board", &format!("Sec-Fetch-Site: {site}"), &[], true), 403, "{site}");
        let listed = format!("Sec-Fetch-Site: {site}\r\nOrigin: https://panel.example");
        assert_eq!(status("board", &listed, &["https://panel.example"], true), 0, "{site}");
        assert_eq!(status("board", &listed, &[], true), 403, "{site}");
    }
}

#[test]
fn own_origin() {
    assert_eq!(origin("board:6500", "https://board:6500", &[], true), 0);
    assert_eq!(origin("Board", "HTTPS://bOARD:443", &[], true), 0);
    assert_eq!(origin("board:443", "https://board", &[], true), 0);
    assert_eq!(origin("[::1]:80", "http://[::1]", &[], false), 0);
    for (host, foreign, tls) in [
        ("board:6500", "http://board:6500", true),
        ("10.0.0.2:6500", "https://10.0.0.2:6500", false),
        ("board:6500", "https://board", true),
        ("board:6500", "https://board.evil:6500", true),
        ("board:6500", "https://evil", true),
        ("board:6500", "null", true),
        ("board:6500", "", true),
        ("board:6500", "https://board:6500/", true),
        ("board:6500", "https://board:6500 https://evil", true),
        ("board:6500", "board:6500", true),
        ("null", "null", true),
    ] {
        assert_eq!(origin(host, foreign, &[], tls), 403, "{foreign}");
    }
}

/// A name of a stranger's that leads to the address of the server makes a page the server's own, but for its name.
#[test]
fn name_over_plain_text_is_own_only_if_it_is_listed() {
    for host in ["10.0.0.2:6500", "[fe80::1]:6500", "localhost", "localhost:6500", "a.LOCALHOST"] {
        assert_eq!(origin(host, &format!("http://{host}"), &[], false), 0, "{host}");
    }
    for host in
        ["evil.example:6500", "board.local", "board", "localhost.example", "10.0.0.2.example", "10.0.2"]
    {
        let own = format!("http://{host}");
        assert_eq!(origin(host, &own, &[], false), 403, "{host}");
        assert_eq!(origin(host, &own, &[&own], false), 0, "{host}");
        assert_eq!(origin(host, &format!("https://{host}"), &[], true), 0, "{host}");
    }
}

#[test]
fn listed_origins() {
    let list = ["https://panel.example", "http://10.0.0.9:8080", "null", "app://local"];
    for allowed in
        ["https://Panel.example", "https://panel.example:443", "http://10.0.0.9:8080", "app://local"]
    {
        assert_eq!(origin("board", allowed, &list, true), 0, "{allowed}");
    }
    for foreign in
        ["http://panel.example", "https://panel.example:8443", "http://10.0.0.9", "null", "app://other"]
    {
        assert_eq!(origin("board", foreign, &list, true), 403, "{foreign}");
    }
}

#[test]
fn request_of_http_1_0_without_a_host_has_no_own_origin() {
    let head = parse_head(b"GET / HTTP/1.0\r\nOrigin: http://10.0.0.2\r\n\r\n").unwrap().unwrap().0;
    assert_eq!(check_origin(&head, [], false).map_err(|r| r.status), Err(403));
    assert_eq!(check_origin(&head, ["http://10.0.0.1", "http://10.0.0.2"], false), Ok(Some(1)));
}

#[test]
fn default_ports_are_not_sent() {
    for (origin, sent) in [
        ("https://a:443", "https://a"),
        ("http://[::1]:80", "http://[::1]"),
        ("http://a:443", "http://a:443"),
        ("https://a:80", "https://a:80"),
        ("https://a", "https://a"),
    ] {
        assert_eq!(without_default_port(origin), sent);
    }
}

#[test]
fn urls() {
    for (url, parts) in [
        ("", ("", "")),
        ("https://a", ("https://a", "")),
        ("https://a/", ("https://a", "")),
        ("https://a:1/b/c", ("https://a:1", "/b/c")),
        ("http://[::1]/b/", ("http://[::1]", "/b")),
    ] {
        assert_eq!(split_url(url), parts);
    }
}

#[test]
fn hosts_of_urls() {
    for (url, host) in [
        ("https://panel.example", Some("panel.example")),
        ("http://panel.example:8443/a/b", Some("panel.example")),
        ("https://[fd00::1]:6500/", Some("fd00::1")),
        ("https://192.0.2.7/", Some("192.0.2.7")),
        ("", None),
        ("panel.example", None),
    ] {
        assert_eq!(host_of_url(url), host, "{url}");
    }
}

#[test]
fn origin_of_a_head_that_is_malformed_is_found() {
    let listed = ["https://other.example", "https://panel.example:443"];
    let find = |text: &str| find_origin(text.as_bytes(), listed);
    for head in [
        "GET / HTTP/9.9\r\nOrigin: https://panel.example\r\n",
        "\r\nPUT /\r\nno field\r\nORIGIN:HTTPS://Panel.example \r\n\r\n",
        "GET /\nx: \u{fffd}\norigin: https://panel.example\norigin: https://evil.example\n",
    ] {
        assert_eq!(find(head), Some(1), "{head}");
    }
    for head in [
        "",
        "origin: https://panel.example\r",
        // The rest of the line may follow.
        "GET / HTTP/1.1\r\nOrigin: https://panel.example",
        "GET / HTTP/1.1\r\nOrigin: https://panel.example\r",
        "GET / HTTP/1.1\r\nOrigin: https://evil.example\r\nOrigin: https://panel.example\r\n",
        "POST / HTTP/1.1\r\nHost: h\r\n\r\nOrigin: https://panel.example\r\n",
        "POST / HTTP/1.1\r\nX-Origin: https://panel.example\r\n",
    ] {
        assert_eq!(find(head), None, "{head}");
    }
}
