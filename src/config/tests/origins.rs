//! Origins whose pages may call.

use super::{config, errors};

#[test]
fn origins_are_what_browsers_send() {
    for origin in
        ["https://a.example/", "a.example", "*", "null", "https://", "HTTPS://a", "https://A", "https://a b"]
    {
        let errors = errors(&format!("[listen]\norigins = ['{origin}']"));
        assert!(errors.starts_with("2:12: origins: expected an origin, such as"), "{errors}");
    }
}

#[test]
fn public_url_is_an_origin_with_a_path() {
    assert_eq!(config("").listen.public_url, "");
    for url in ["https://a", "http://a.example:8080/", "https://[::1]/b/c-d_e.f~g/", "https://a/b"] {
        assert_eq!(config(&format!("[listen]\npublic_url = '{url}'")).listen.public_url, url);
    }
    for url in [
        "a",
        "/b",
        "//a",
        "ws://a",
        "https://",
        "https:///b",
        "https://A",
        "https://a/b?c",
        "https://a//b",
        "https://a/%20",
    ] {
        let errors = errors(&format!("[listen]\npublic_url = '{url}'"));
        assert!(errors.starts_with("2:14: public_url: expected a URL, such as"), "{url}: {errors}");
    }
}
