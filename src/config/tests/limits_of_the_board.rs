//! Values at the limits of the board, and beyond them.

use super::{config, errors, service};
use crate::config::SETTLE_TIME_MAX;
use crate::config::{DEVICE_NAME_BYTES, INTERFACE_NAME_BYTES};
use crate::dhcp::{HOST_NAME_BYTES, NAMESERVERS};
use crate::http::TRUSTED_PROXIES;
use crate::limits;
use crate::log::{
    AUDIT_FILE_BYTES, LOG_FILE_BYTES, LOG_FILE_BYTES_MAX, LOG_FILE_BYTES_MIN, LOG_FILES, LOG_FILES_MAX,
};
use crate::service::UNIX_PATH_BYTES;
use crate::service::{
    EVERY_MAX, MAX_RUNTIME_MAX, OUTPUT_DAY_BYTES_MAX, ReadyCheck, SCHEDULE_JITTER_MAX, SERVICE_READY_TIMEOUT,
    SERVICE_READY_TIMEOUT_MAX, START_LIMIT_MAX, STOP_TIMEOUT, STOP_TIMEOUT_MAX, SUCCESS_CODES, ServiceId,
    ServiceKind, WATCHDOG_MAX,
};
use crate::session::{
    IDLE_TIMEOUT, IDLE_TIMEOUT_MAX, IDLE_TIMEOUT_MIN, LIFETIME, LIFETIME_MAX, LOCKOUT_ATTEMPTS,
    LOCKOUT_ATTEMPTS_MAX, LOCKOUT_TIME, LOCKOUT_TIME_MAX,
};
use crate::sntp::NTP_SERVERS;
use crate::syslog::SYSLOG_NAME_BYTES;

/// A list of `count` strings made by `text`, as TOML.
fn list(count: usize, text: impl Fn(usize) -> String) -> String {
    let texts: Vec<_> = (0..count).map(|n| format!("'{}'", text(n))).collect();
    format!("[{}]", texts.join(", "))
}

/// Asserts that `limit` of something is accepted, and that one more is an error.
fn assert_limit(limit: usize, text: impl Fn(usize) -> String, message: &str) {
    config(&text(limit));
    let errors = errors(&text(limit + 1));
    assert!(errors.trim_end().ends_with(message), "{errors}");
    assert_eq!(errors.lines().count(), 1, "{errors}");
}

#[test]
fn each_limit_is_met_and_not_passed() {
    let origin = |n| format!("https://o{n}.example");
    assert_limit(
        limits::ORIGINS,
        |n| format!("[listen]\norigins = {}", list(n, origin)),
        &format!("origins: more than {}", limits::ORIGINS),
    );
    assert_limit(
        limits::ORIGIN_BYTES,
        |n| format!("[listen]\norigins = ['https://{}']", "a".repeat(n - 8)),
        &format!("origins: longer than {} bytes", limits::ORIGIN_BYTES),
    );
    assert_limit(
        limits::ORIGIN_BYTES,
        |n| format!("[listen]\npublic_url = 'https://{}'", "a".repeat(n - 8)),
        &format!("public_url: longer than {} bytes", limits::ORIGIN_BYTES),
    );
    assert_limit(
        TRUSTED_PROXIES,
        |n| format!("[listen]\ntrusted_proxies = {}", list(n, |n| format!("192.0.2.{n}"))),
        &format!("trusted_proxies: more than {}", TRUSTED_PROXIES),
    );
    assert_limit(
        UNIX_PATH_BYTES,
        |n| format!("[listen]\nsocket = '/{}'", "a".repeat(n - 1)),
        &format!("socket: longer than {} bytes", UNIX_PATH_BYTES),
    );
    assert_limit(
        limits::FILE_PATH_BYTES,
        |n| format!("[state]\ndir = '/{}'", "a".repeat(n - 1)),
        &format!("dir: longer than {} bytes", limits::FILE_PATH_BYTES),
    );
    assert_limit(
        limits::WEB_BYTES,
        |n| format!("[web]\nbytes = {n}"),
        &format!("(limit of board '{}'), found {}", limits::BOARD, limits::WEB_BYTES + 1),
    );
    assert_limit(
        INTERFACE_NAME_BYTES,
        |n| format!("[network]\ninterface = '{}'", "a".repeat(n)),
        &format!("interface: longer than {} bytes", INTERFACE_NAME_BYTES),
    );
    assert_limit(
        HOST_NAME_BYTES,
        |n| format!("[network]\nhostname = '{}'", "a".repeat(n)),
        &format!("hostname: longer than {} bytes", HOST_NAME_BYTES),
    );
    for key in ["hostname", "server_name"] {
        assert_limit(
            SYSLOG_NAME_BYTES,
            |n| format!("[syslog]\naddress = 'tls://[::1]'\nca = '/c'\n{key} = '{}'", "a".repeat(n)),
            &format!("{key}: longer than {SYSLOG_NAME_BYTES} bytes"),
        );
    }
    assert_limit(
        NAMESERVERS,
        |n| format!("[network]\nnameservers = {}", list(n, |n| format!("192.0.2.{n}"))),
        &format!("nameservers: more than {}", NAMESERVERS),
    );
    assert_limit(
        NTP_SERVERS,
        |n| format!("[network]\nntp = {}", list(n, |n| format!("192.0.2.{n}"))),
        &format!("ntp: more than {}", NTP_SERVERS),
    );
    assert_limit(
        DEVICE_NAME_BYTES,
        |n| format!("[[device]]\nmatch = '{}'", "a".repeat(n)),
        &format!("match: longer than {} bytes", DEVICE_NAME_BYTES),
    );
    let users = |n| (0..n).map(|n| format!("[[user]]\nname = 'u{n}'\n")).collect();
    assert_limit(limits::USERS, users, &format!("more than {} users", limits::USERS));
    assert_limit(
        limits::USER_NAME_BYTES,
        |n| format!("[[user]]\nname = '{}'", "a".repeat(n)),
        &format!("name: longer than {} bytes", limits::USER_NAME_BYTES),
    );
    assert_limit(
        limits::USER_FULL_NAME_BYTES,
        |n| format!("[[user]]\nname = 'a'\nfull_name = '{}'", "a".repeat(n)),
        &format!("full_name: longer than {} bytes", limits::USER_FULL_NAME_BYTES),
    );
    let token = |n: usize| format!("[[token]]\nuser = 'a'\nsha256 = '{n:064x}'\n");
    assert_limit(
        limits::TOKENS,
        |n| (0..n).map(token).fold("[[user]]\nname = 'a'\n".to_owned(), |text, token| text + &token),
        &format!("more than {} tokens", limits::TOKENS),
    );
    assert_limit(
        limits::SERVICES,
        |n| (0..n).map(|n| format!("[[service]]\nname = 's{n}'\ncommand = ['x']\n")).collect(),
        &format!("more than {} services", limits::SERVICES),
    );
    assert_limit(
        limits::SERVICE_NAME_BYTES,
        |n| format!("[[service]]\nname = '{}'\ncommand = ['x']", "a".repeat(n)),
        &format!("name: longer than {} bytes", limits::SERVICE_NAME_BYTES),
    );
    let argument = format!(
        "command: more than {} arguments or {} bytes",
        limits::SERVICE_ARGUMENTS,
        limits::SERVICE_ARGUMENT_BYTES
    );
    assert_limit(
        limits::SERVICE_ARGUMENTS,
        |n| format!("[[service]]\nname = 'a'\ncommand = {}", list(n, |_| "x".to_owned())),
        &argument,
    );
    assert_limit(
        limits::SERVICE_ARGUMENT_BYTES,
        |n| format!("[[service]]\nname = 'a'\ncommand = ['{}']", "x".repeat(n)),
        &argument,
    );
    let variable = format!(
        "env: more than {} variables or {} bytes",
        limits::SERVICE_VARIABLES,
        limits::SERVICE_VARIABLE_BYTES
    );
    assert_limit(
        limits::SERVICE_VARIABLES,
        |n| service(&(0..n).map(|n| format!("env.A{n} = ''\n")).collect::<String>()),
        &variable,
    );
    assert_limit(
        limits::SERVICE_VARIABLE_BYTES,
        |n| service(&format!("env.A = '{}'", "x".repeat(n - 2))),
        &variable,
    );
    assert_limit(
        limits::SERVICE_COMMANDS,
        |n| service(&(0..n).map(|n| format!("commands.c{n} = 'HUP'\n")).collect::<String>()),
        &format!("commands: more than {}", limits::SERVICE_COMMANDS),
    );
    assert_limit(
        limits::SERVICE_AFTER,
        |n| service(&format!("after = {}", list(n, |_| "hello".to_owned()))),
        &format!("after: more than {}", limits::SERVICE_AFTER),
    );
    assert_limit(
        limits::SERVICE_AFTER,
        |n| service(&format!("requires = {}", list(n, |_| "hello".to_owned()))),
        &format!("requires: more than {}", limits::SERVICE_AFTER),
    );
    assert_limit(
        limits::CHECKS,
        |n| (0..n).map(|n| format!("[[check]]\nname = 'c{n}'\nunix = '/x'\n")).collect(),
        &format!("more than {} checks", limits::CHECKS),
    );
    assert_limit(
        limits::WEBGUI_BYTES,
        |n| service(&format!("webgui = '{}'", "x".repeat(n))),
        &format!("webgui: longer than {} bytes", limits::WEBGUI_BYTES),
    );
    assert_limit(
        limits::DESCRIPTION_BYTES,
        |n| service(&format!("description = '{}'", "x".repeat(n))),
        &format!("description: longer than {} bytes", limits::DESCRIPTION_BYTES),
    );
    assert_limit(
        limits::CONFIG_BYTES,
        |n| format!("#{}", "x".repeat(n - 1)),
        &format!("the file is larger than {} bytes", limits::CONFIG_BYTES),
    );
}

#[test]
fn services_of_one_user_meet_their_limit_and_not_more() {
    let services: String = (0..limits::SERVICES.min(limits::USER_SERVICES + 1))
        .map(|n| format!("[[service]]\nname = 's{n}'\ncommand = ['x']\n"))
        .collect();
    let user = |n| format!("[[user]]\nname = 'a'\nservices = {}\n", list(n, |n| format!("s{n}")));
    if limits::USER_SERVICES < limits::SERVICES {
        assert_limit(
            limits::USER_SERVICES,
            |n| user(n) + &services,
            &format!("services: more than {}", limits::USER_SERVICES),
        );
    } else {
        config(&(user(limits::SERVICES) + &services));
    }
}

#[test]
fn full_table_has_no_built_in_service() {
    let services: String =
        (0..limits::SERVICES).map(|n| format!("[[service]]\nname = 's{n}'\ncommand = ['x']\n")).collect();
    let config = config(&services);
    assert_eq!(config.services.len(), limits::SERVICES);
    assert_eq!(config.services.find("hello"), None);
    assert!(ServiceId::from_index(limits::SERVICES - 1).is_some_and(|id| config.services.get(id).is_some()));
    assert!(
        errors(&(services + "[[user]]\nname = 'a'\nservices = ['hello']\n")).contains("no service 'hello'")
    );
}

#[test]
fn errors_are_reported_up_to_the_limit() {
    let text: String = (0..limits::CONFIG_ERRORS + 3).map(|n| format!("[x{n}]\n")).collect();
    let errors = errors(&text);
    assert_eq!(errors.lines().count(), limits::CONFIG_ERRORS + 1);
    assert!(errors.ends_with("and 3 more\n"), "{errors}");
}

#[test]
fn numbers_of_the_file_stay_in_their_ranges() {
    let session = |key: &'static str| move |n: u64| format!("[session]\n{key} = {n}\n");
    let log = |key: &'static str| move |n: u64| format!("[log]\n{key} = {n}\n");
    let seconds = |time: core::time::Duration| time.as_secs();
    let stop = |n| service(&format!("stop_timeout_s = {n}"));
    let ready = |n| service(&format!("ready_timeout_s = {n}"));
    let watchdog = |n| service(&format!("type = 'notify'\nwatchdog_s = {n}"));
    let runtime = |n| service(&format!("max_runtime_s = {n}"));
    let every = |n| service(&format!("type = 'oneshot'\nevery_s = {n}"));
    let jitter = |n| service(&format!("type = 'oneshot'\nat = ['00:00']\njitter_s = {n}"));
    let start = |n| service(&format!("start_limit = {n}"));
    let day = |n| service(&format!("output_file = '/a'\noutput_day_bytes = {n}"));
    let idle = (seconds(IDLE_TIMEOUT_MIN), seconds(IDLE_TIMEOUT_MAX));
    for (text, (least, most)) in [
        (&session("idle_timeout_s") as &dyn Fn(u64) -> String, idle),
        (&session("lifetime_s"), (0, seconds(LIFETIME_MAX))),
        (&session("lockout_attempts"), (1, LOCKOUT_ATTEMPTS_MAX.into())),
        (&session("lockout_s"), (1, seconds(LOCKOUT_TIME_MAX))),
        (&stop, (1, seconds(STOP_TIMEOUT_MAX))),
        (&ready, (1, seconds(SERVICE_READY_TIMEOUT_MAX))),
        (&watchdog, (0, seconds(WATCHDOG_MAX))),
        (&runtime, (0, seconds(MAX_RUNTIME_MAX))),
        (&every, (0, seconds(EVERY_MAX))),
        (&jitter, (0, seconds(SCHEDULE_JITTER_MAX))),
        (&start, (0, START_LIMIT_MAX.into())),
        (&day, (0, OUTPUT_DAY_BYTES_MAX)),
        (&log("file_bytes"), (LOG_FILE_BYTES_MIN as u64, LOG_FILE_BYTES_MAX as u64)),
        (&log("files"), (1, LOG_FILES_MAX as u64)),
        (&|n| format!("[update]\nsettle_s = {n}\n"), (0, seconds(SETTLE_TIME_MAX))),
        (&log("audit_bytes"), (LOG_FILE_BYTES_MIN as u64, LOG_FILE_BYTES_MAX as u64)),
        (&log("audit_files"), (1, LOG_FILES_MAX as u64)),
    ] {
        for met in [least, most] {
            config(&text(met));
        }
        for passed in [least.checked_sub(1), Some(most + 1)].into_iter().flatten() {
            let errors = errors(&text(passed));
            assert!(errors.ends_with(&format!(": expected {least} to {most}, found {passed}\n")), "{errors}");
        }
    }
}

#[test]
fn success_codes_of_the_file_up_to_their_limit() {
    let codes = |count: usize| service(&format!("success_codes = {:?}", vec![7; count]));
    assert_eq!(super::spec(&config(&codes(SUCCESS_CODES)), "a").success_codes.len(), SUCCESS_CODES);
    let errors = errors(&codes(SUCCESS_CODES + 1));
    assert!(errors.ends_with(": success_codes: more than 8\n"), "{errors}");
}

#[test]
fn defaults_are_those_of_the_limits() {
    let config = config(&service(""));
    assert_eq!((config.idle_timeout, config.lifetime), (IDLE_TIMEOUT, LIFETIME));
    assert_eq!((config.lockout_attempts, config.lockout_time), (LOCKOUT_ATTEMPTS, LOCKOUT_TIME));
    assert_eq!((config.log_files.bytes, config.log_files.count), (LOG_FILE_BYTES, LOG_FILES));
    assert_eq!((config.audit_files.bytes, config.audit_files.count), (AUDIT_FILE_BYTES, LOG_FILES));
    let spec = super::spec(&config, "a");
    assert_eq!((spec.stop_timeout, spec.start_limit), (STOP_TIMEOUT, 0));
    assert_eq!(spec.success_codes, [0]);
    assert_eq!((spec.kind, &spec.ready), (ServiceKind::Simple, &ReadyCheck::OfKind));
    assert_eq!((spec.ready_timeout, spec.watchdog), (SERVICE_READY_TIMEOUT, None));
    assert_eq!(spec.max_runtime, None);
}
