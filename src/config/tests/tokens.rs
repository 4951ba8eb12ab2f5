//! Tokens.

use super::super::parse;

#[test]
fn tokens_have_an_end_and_a_scope() {
    let file = |keys: &str| {
        format!("[[user]]\nname = 'a'\n[[token]]\nuser = 'a'\nsha256 = '{}'\n{keys}\n", "0".repeat(64))
    };
    let token = |keys: &str| {
        let config = parse(&file(keys), "f", "/bin/friendlet").unwrap_or_else(|error| panic!("{error}"));
        config.tokens.iter().next().unwrap().clone()
    };
    let plain = token("");
    assert_eq!((plain.expires, plain.reads_only, plain.services.is_all()), (None, false, true));
    for (keys, expires) in [
        ("expires = 1970-01-02", 86_400),
        ("expires = 1970-01-02T01:02:03.9Z", 86_400 + 3723),
        ("expires = 1970-01-02 01:02:03", 86_400 + 3723),
        ("expires = 1970-01-02T01:02:03+01:00", 86_400 + 123),
        ("expires = 1970-01-02T01:02:03-00:30", 86_400 + 3723 + 1800),
        ("expires = 2031-12-31", 1_956_441_600),
    ] {
        assert_eq!(token(keys).expires, Some(expires), "{keys}");
    }
    assert!(token("scope = 'read'").reads_only && !token("scope = 'all'").reads_only);
    let some = token("services = ['hello']").services;
    assert!(!some.is_all() && some.permits("hello") && !some.permits("other"));
    assert!(!token("services = []").services.permits("hello"));
    for (keys, error) in [
        (
            "expires = 12:00:00",
            "6:11: expires: expected a date such as 2027-01-31, without quotes, found a date or time",
        ),
        (
            "expires = '2027-01-31'",
            "6:11: expires: expected a date such as 2027-01-31, without quotes, found a string",
        ),
        ("scope = 'write'", "6:9: scope: expected 'all' or 'read', found 'write'"),
        ("services = ['helo']", "6:13: services: no service 'helo'; did you mean 'hello'?"),
    ] {
        let found = parse(&file(keys), "f", "/bin/friendlet").unwrap_err().to_string();
        assert!(found.contains(error), "{found}");
    }
}
