//! Order and readiness of services.

use core::time::Duration;

use super::super::{References, Source, parse_with_warnings};
use super::{config, errors, service, spec};
use crate::limits;
use crate::service::{Endpoint, ReadyCheck, ServiceKind};

#[test]
fn required_services_exist_and_do_not_wait_for_each_other() {
    let with = |name: &str, key: &str, other: &str| {
        format!("[[service]]\nname = '{name}'\ncommand = ['x']\n{key} = ['{other}']\n")
    };
    let config = config(&(with("a", "requires", "b") + &with("b", "after", "hello")));
    assert_eq!(spec(&config, "a").requires, ["b"]);
    let ring = with("a", "requires", "b") + &with("b", "after", "a");
    assert_eq!(errors(&ring), "4:13: requires: these services wait for each other: a, b, a\n");
    let unknown = errors(&with("a", "requires", "helo"));
    assert!(unknown.starts_with("4:13: requires: no service 'helo'"), "{unknown}");
}

#[test]
fn one_mistake_in_the_services_is_one_error() {
    let service = |name: &str| format!("[[service]]\nname = '{name}'\ncommand = ['x']\n");
    let many: String = (0..limits::SERVICES + 38).map(|n| service(&format!("s{n}"))).collect();
    let at = 3 * limits::SERVICES + 1;
    assert_eq!(errors(&many), format!("{at}:1: more than {} services\n", limits::SERVICES));
    let long = "n".repeat(limits::SERVICE_NAME_BYTES + 1);
    let check = "[[check]]\nname = 'c'\nservice = 'web'\ntcp = '127.0.0.1:1'\n";
    let found = errors(&(service(&long) + check));
    assert!(found.starts_with("2:8: name: ") && found.lines().count() == 1, "{found}");
}

/// `friendlet ctl stop all` stopped every service, and that one could not be stopped alone.
#[test]
fn service_called_all_is_a_warning() {
    let text = "[[service]]\nname = 'all'\ncommand = ['x']\n";
    let (_, warnings) = parse_with_warnings(&[Source::new("f", text)], References::Known, "x").unwrap();
    let warnings: Vec<String> = warnings.iter().map(ToString::to_string).collect();
    let expected =
        "f:2:8: warning: name: 'all' stands for every service in `friendlet ctl`; choose another name";
    assert_eq!(warnings, [expected]);
}

#[test]
fn readiness_is_read() {
    let ready = |text: &str| spec(&config(&service(text)), "a").ready.clone();
    assert_eq!(
        ready("ready = 'tcp:127.0.0.1:80'"),
        ReadyCheck::Connect(Endpoint::tcp("127.0.0.1:80").unwrap())
    );
    assert_eq!(ready("ready = 'line:listening on'"), ReadyCheck::Line("listening on".try_into().unwrap()));
    let config = config(&service("type = 'notify'\nwatchdog_s = 5\nready_timeout_s = 60"));
    let spec = spec(&config, "a");
    assert_eq!((spec.kind, spec.watchdog), (ServiceKind::Notify, Some(Duration::from_secs(5))));
    assert_eq!(spec.ready_timeout, Duration::from_secs(60));
}

#[test]
fn sign_of_readiness_fits_the_type() {
    for (text, expected) in [
        ("ready = 'tcp:localhost:1883'", "4:9: ready: expected 'line:TEXT' with up to 64 bytes, 'tcp:"),
        ("type = 'oneshot'\nready = 'line:a'", "5:9: ready: type oneshot has its own sign"),
        ("type = 'notify'\nready = 'tcp:[::1]:1'", "5:9: ready: type notify has its own sign"),
        ("watchdog_s = 3", "4:14: watchdog_s: only a service of type notify"),
        ("type = 'oneshot'\nrestart = 'always'", "5:11: restart: a service of type oneshot"),
        ("type = 'forking'", "4:8: type: "),
    ] {
        let errors = errors(&service(text));
        assert!(errors.starts_with(expected), "{text}: {errors}");
    }
}
