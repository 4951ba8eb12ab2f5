//! Health checks.

use super::{config, errors, service};
use crate::config::Config;
use crate::service::{
    CHECK_FAILURES, CHECK_FAILURES_MAX, CHECK_GRACE, CHECK_GRACE_MAX, CHECK_PERIOD, CHECK_PERIOD_MAX,
    CHECK_TIMEOUT, CHECK_TIMEOUT_MAX, Check, CheckKind, CheckLevel, Endpoint, UNIX_PATH_BYTES, Url,
};

const TCP: &str = "tcp = '127.0.0.1:80'";

fn checks(config: &Config) -> Vec<&Check> {
    config.services.checks().map(|(_, check)| check).collect()
}

fn check(extra: &str) -> String {
    format!("[[check]]\nname = 'c'\n{extra}\n")
}

#[test]
fn defaults_of_a_check_are_those_of_the_limits() {
    let config = config(&check(TCP));
    let kind = CheckKind::Connect(Endpoint::tcp("127.0.0.1:80").unwrap());
    let expected = Check {
        period: CHECK_PERIOD,
        timeout: CHECK_TIMEOUT,
        limit: CHECK_FAILURES,
        grace: CHECK_GRACE,
        ..Check::new("c", kind)
    };
    assert_eq!(checks(&config), [&expected]);
}

#[test]
fn each_kind_of_attempt_is_read() {
    let kind = |extra: &str| {
        let config = config(&(service("") + &check(&format!("{extra}\nservice = 'a'"))));
        checks(&config)[0].kind.clone()
    };
    assert_eq!(kind("unix = '/run/x'"), CheckKind::Connect(Endpoint::unix("/run/x").unwrap()));
    let url = "http://[::1]:80/a?b";
    assert_eq!(kind(&format!("http = '{url}'")), CheckKind::Http(Url::from_text(url).unwrap()));
    let CheckKind::Command(argv) = kind("command = ['/bin/true', 'x']") else { panic!("another kind") };
    assert!(argv.iter().eq(["/bin/true", "x"]));
}

#[test]
fn health_of_a_service_is_a_check_of_its_name_and_of_level_alive() {
    let own =
        "health = { http = 'http://127.0.0.1:80/', period_s = 1, timeout_s = 2, limit = 3, grace_s = 4 }";
    let config = config(&(service(own) + &check("level = 'ready'\nunix = '/x'\nservice = 'a'")));
    let [health, other] = checks(&config)[..] else { panic!("two checks") };
    let facts = |check: &Check| (check.name.to_string(), check.level, check.service);
    let of = config.services.find("a");
    assert_eq!(facts(health), ("a".to_owned(), CheckLevel::Alive, of));
    assert_eq!(facts(other), ("c".to_owned(), CheckLevel::Ready, of));
    let [period, timeout, grace] = [health.period, health.timeout, health.grace].map(|time| time.as_secs());
    assert_eq!((period, timeout, health.limit, grace), (1, 2, 3, 4));
}

#[test]
fn wrong_checks_are_reported_with_place_and_reason() {
    let tcp = "tcp: expected a numeric address with a port, such as '127.0.0.1:8080', found";
    let http = "http: expected a URL with a numeric address, such as 'http://127.0.0.1:8080/health', found";
    for (text, expected) in [
        (check("tcp = '127.0.0.1:0'"), format!("3:7: {tcp} '127.0.0.1:0'")),
        (check("tcp = 'localhost:80'"), format!("3:7: {tcp} 'localhost:80'")),
        (check("http = 'http://localhost/'"), format!("3:8: {http} 'http://localhost/'")),
        (check("unix = 'a.sock'"), "3:8: unix: expected an absolute path, found 'a.sock'".to_owned()),
        (
            check(&format!("unix = '/{}'", "x".repeat(UNIX_PATH_BYTES))),
            format!("3:8: unix: longer than {UNIX_PATH_BYTES} bytes"),
        ),
        (check(""), "1:1: a check needs one of tcp, unix, http and command".to_owned()),
        (check(&format!("{TCP}\nunix = '/x'")), "4:8: unix: the check has tcp already".to_owned()),
        (
            check("command = ['/bin/true']"),
            "3:11: command: needs a service, with whose user it runs".to_owned(),
        ),
        (
            check(&format!("{TCP}\nservice = 'hallo'")),
            "4:11: service: no service 'hallo'; did you mean 'hello'?".to_owned(),
        ),
        (check(TCP) + &check(TCP), "5:8: duplicate check 'c', first in line 2".to_owned()),
        (
            check(&format!("{TCP}\ntpc = 1")),
            "4:1: unknown key 'tpc' in [[check]]; did you mean 'tcp'?".to_owned(),
        ),
        (service("health = { tcp = ':1' }"), format!("4:18: {tcp} ':1'")),
        (
            service("health = { limi = 1, tcp = '127.0.0.1:80' }"),
            "4:12: unknown key 'limi' in health = { .. }; did you mean 'limit'?".to_owned(),
        ),
        (service("health = '/x'"), "4:10: expected health = { .. }, found a string".to_owned()),
        (
            service("type = 'oneshot'\nhealth = { tcp = '127.0.0.1:80' }"),
            "5:10: a service of type oneshot has no process to check".to_owned(),
        ),
        (
            service("health = { tcp = '127.0.0.1:80' }") + "[[check]]\nname = 'a'\ntcp = '127.0.0.1:80'",
            "6:8: duplicate check 'a', first in line 2".to_owned(),
        ),
    ] {
        assert_eq!(errors(&text), format!("{expected}\n"), "{text}");
    }
}

#[test]
fn numbers_of_a_check_stay_in_their_ranges() {
    for (key, least, most) in [
        ("period_s", 1, CHECK_PERIOD_MAX.as_secs()),
        ("timeout_s", 1, CHECK_TIMEOUT_MAX.as_secs()),
        ("limit", 1, CHECK_FAILURES_MAX.into()),
        ("grace_s", 0, CHECK_GRACE_MAX.as_secs()),
    ] {
        let text = |number: u64| check(&format!("{TCP}\n{key} = {number}"));
        for met in [least, most] {
            config(&text(met));
        }
        for passed in [least.checked_sub(1), Some(most + 1)].into_iter().flatten() {
            let errors = errors(&text(passed));
            assert!(errors.ends_with(&format!(": expected {least} to {most}, found {passed}\n")), "{errors}");
        }
    }
}
