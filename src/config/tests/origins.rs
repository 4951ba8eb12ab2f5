//! Origins whose pages may call.

use super::{config, errors};
use crate::http::ClientFrom;

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
    assert_eq!(config("").listen.front.public_url, "");
    for url in ["https://a", "http://a.example:8080/", "https://[::1]/b/c-d_e.f~g/", "https://a/b"] {
        assert_eq!(config(&format!("[listen]\npublic_url = '{url}'")).listen.front.public_url, url);
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

#[test]
fn trusted_proxies_are_addresses_or_networks() {
    let front = config("[listen]\ntrusted_proxies = ['127.0.0.1', '10.0.0.0/8', 'fd00::/16']").listen.front;
    for (address, is_trusted) in
        [("127.0.0.1", true), ("127.0.0.2", false), ("10.9.8.7", true), ("fd00::1", true), ("::1", false)]
    {
        assert_eq!(front.trusts(address.parse().unwrap()), is_trusted, "{address}");
    }
    assert_eq!(front.client_from, ClientFrom::XForwardedFor);
    assert!(!config("").listen.front.trusts("127.0.0.1".parse().unwrap()));
    for wrong in ["localhost", "10.0.0.1/8", "::/129", ""] {
        let errors = errors(&format!("[listen]\ntrusted_proxies = ['{wrong}']"));
        assert!(errors.starts_with("2:20: trusted_proxies: expected an address, or a network"), "{errors}");
    }
    let errors = errors("[listen]\nclient_from = 'x-real-ip'");
    assert!(errors.starts_with("2:15: client_from: expected 'x-forwarded-for'"), "{errors}");
}
