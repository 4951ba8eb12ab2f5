//! Configuration files, correct and wrong.

mod attributes;
mod commands;
mod health;
mod life;
mod limits_of_the_board;
mod mistakes;
mod network;
mod order;
mod origins;
mod surroundings;
mod syslog;
mod tokens;

use core::time::Duration;

use proptest::prelude::*;

use super::{Config, Tls, built_in, parse, parse_user, user_text};
use crate::log::Level;
use crate::service::{CheckLevel, CommandAction, RestartPolicy, Scope, Signal, Spec};
use crate::{limits, session};

const HASH: &str =
    "$pbkdf2-sha256$i=200000$AAECAwQFBgcICQoLDA0ODw$AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8";

fn config(text: &str) -> Config {
    parse(text, "f", "/usr/bin/friendlet").unwrap_or_else(|errors| panic!("{errors}"))
}

/// The errors without the file's name, a line each.
fn errors(text: &str) -> String {
    let errors = parse(text, "f", "/usr/bin/friendlet").map(|_| ()).unwrap_err();
    errors.to_string().lines().map(|line| format!("{}\n", line.strip_prefix("f:").unwrap())).collect()
}

/// The report of these errors, in which those beyond the limit are a number.
fn reported(errors: &str) -> String {
    let most: String = errors.split_inclusive('\n').take(limits::CONFIG_ERRORS).collect();
    match errors.lines().count().saturating_sub(limits::CONFIG_ERRORS) {
        0 => most,
        more => format!("{most} and {more} more\n"),
    }
}

fn spec<'c>(config: &'c Config, name: &str) -> &'c Spec {
    config.services.get(config.services.find(name).unwrap()).unwrap()
}

fn service(extra: &str) -> String {
    format!("[[service]]\nname = 'a'\ncommand = ['/bin/a']\n{extra}\n")
}

#[test]
fn empty_file_is_all_defaults() {
    let config = config("");
    assert_eq!(config.listen.address, "127.0.0.1:6500".parse().unwrap());
    assert_eq!(
        config.listen.tls,
        Tls::On {
            certificate: "tls/certificate.pem".try_into().unwrap(),
            key: "tls/key.pem".try_into().unwrap(),
            own: false,
            client_ca: None
        }
    );
    assert!(config.listen.front.origins.is_empty());
    assert_eq!(config.listen.socket, super::LocalSocket::Default);
    assert_eq!(config.state_dir, "");
    assert_eq!(config.slots, limits::SLOTS);
    assert_eq!(config.log_level, Level::Info);
    assert_eq!(config.log_files.file, if cfg!(feature = "defmt") { "/run/friendlet/log" } else { "" });
    let audit = if cfg!(feature = "defmt") { "/run/friendlet/audit" } else { "" };
    assert_eq!(config.audit_files.file, audit);
    assert_eq!(config.network, None);
    assert_eq!(config.idle_timeout, Duration::from_secs(10_800));
    assert_eq!((config.lockout_attempts, config.lockout_time), (3, Duration::from_secs(3600)));
    assert!(config.users.is_empty() && config.tokens.is_empty());
    assert_eq!(config.services.len(), 1);
    let hello = spec(&config, "hello");
    assert!(hello.argv.iter().eq(["/usr/bin/friendlet", "hello"]));
    assert!(!hello.autostart);
    assert_eq!(hello.restart, RestartPolicy::Never);
}

#[test]
fn every_key_is_read() {
    let config = config(&format!(
        r#"
[listen]
address = "[::]:0"
tls = "on"
certificate = "/etc/friendlet/certificate.pem"
key = "/etc/friendlet/key.pem"
client_ca = "ca.pem"
origins = ["https://a.example", "http://[::1]:8080"]
[state]
dir = "/data/friendlet"
[limits]
slots = 2
[log]
level = "debug"
[session]
idle_timeout_s = 30
lockout_attempts = 5
lockout_s = 60
[[user]]
name = "admin"
level = "admin"
password = "{HASH}"
[[user]]
name = "ben"
full_name = "Ben B."
services = ["web", "hello"]
[[token]]
user = "ben"
sha256 = "15C8E1E06F71EE6FB88CC9EC1E3AE8A9BC7AE8DC2BBD7ABD5DBD9ED01D77C6C7"
[[service]]
name = "web"
description = "Pages of the panel"
command = ["/usr/bin/web", "--port", "80"]
env = {{ LANG = "C" }}
cwd = "/srv"
user = "nobody"
autostart = true
restart = "on-failure"
after = ["net"]
start_limit = 5
success_codes = [0, 143]
stop_signal = "INT"
stop_timeout_s = 3
webgui = "<b>web</b>"
[service.commands]
reload = "HUP"
flush = {{ signal = "USR1", scope = "group" }}
wake = {{ signal = "ALRM" }}
version = ["/usr/bin/web", "-V"]
[[service]]
name = "net"
command = ["net"]
restart = "always"
"#
    ));
    assert_eq!(config.listen.address, "[::]:0".parse().unwrap());
    let Tls::On { certificate, key, own, client_ca } = &config.listen.tls else { panic!() };
    assert_eq!(
        (certificate.as_str(), key.as_str()),
        ("/etc/friendlet/certificate.pem", "/etc/friendlet/key.pem")
    );
    assert_eq!((*own, client_ca.as_deref()), (true, Some("ca.pem")));
    assert_eq!(config.listen.front.origins, ["https://a.example", "http://[::1]:8080"]);
    assert_eq!((config.state_dir.as_str(), config.slots), ("/data/friendlet", 2));
    assert_eq!(config.log_level, Level::Debug);
    assert_eq!(config.idle_timeout, Duration::from_secs(30));
    assert_eq!((config.lockout_attempts, config.lockout_time), (5, Duration::from_secs(60)));

    let admin = config.users.find("admin").unwrap();
    let ben = config.users.find("ben").unwrap();
    let (a, b) = (config.users.get(admin).unwrap(), config.users.get(ben).unwrap());
    assert_eq!((a.level, a.full_name.as_str()), (session::UserLevel::Admin, "admin"));
    assert_eq!(a.password.as_ref().unwrap().to_string(), HASH);
    assert_eq!((b.level, b.full_name.as_str(), &b.password), (session::UserLevel::User, "Ben B.", &None));
    assert!(b.services.permits("web") && b.services.permits("hello") && !b.services.permits("net"));
    assert_eq!(config.tokens.len(), 1);

    let web = spec(&config, "web");
    assert_eq!(web.description.as_deref(), Some("Pages of the panel"));
    assert!(web.argv.iter().eq(["/usr/bin/web", "--port", "80"]));
    assert!(web.env.iter().eq(["LANG=C"]));
    assert_eq!((web.cwd.as_str(), web.user.as_str()), ("/srv", "nobody"));
    assert!(web.autostart);
    assert_eq!((web.restart, web.stop_signal), (RestartPolicy::OnFailure, Signal::Int));
    assert_eq!(web.stop_timeout, Duration::from_secs(3));
    assert_eq!(web.after, ["net"]);
    assert_eq!(web.webgui.as_deref(), Some("<b>web</b>"));
    assert_eq!((web.start_limit, web.success_codes.as_slice()), (5, &[0, 143][..]));
    for (name, signal, scope) in [
        ("reload", Signal::Hup, Scope::Leader),
        ("flush", Signal::Usr1, Scope::Group),
        ("wake", Signal::Alrm, Scope::Leader),
    ] {
        assert_eq!(web.command(name).unwrap().action, CommandAction::Signal { signal, scope });
    }
    let CommandAction::Argv(version) = &web.command("version").unwrap().action else { panic!() };
    assert!(version.iter().eq(["/usr/bin/web", "-V"]));
    assert_eq!(spec(&config, "net").description, None);
    assert_eq!(spec(&config, "net").restart, RestartPolicy::Always);
    let order = config.services.start_order().unwrap();
    assert_eq!(order.iter().map(|id| id.index()).collect::<Vec<_>>(), [1, 0, 2]);
}

#[test]
fn token_of_the_file_is_found() {
    let text = "[[user]]\nname = 'a'\n[[token]]\nuser = 'a'\n\
                sha256 = '2bb80d537b1da3e38bd30361aa855686bde0eacd7162fef6a25fe97bf527a25b'\n";
    let mut config = config(text);
    let token = config.tokens.find("secret").and_then(|id| config.tokens.get(id)).unwrap();
    assert_eq!(Some(token.user), config.users.find("a"));
}

#[test]
fn hello_of_the_file_replaces_the_built_in() {
    let config = config("[[service]]\nname = 'hello'\ncommand = ['/bin/hi']\n");
    assert_eq!(config.services.len(), 1);
    assert!(spec(&config, "hello").argv.iter().eq(["/bin/hi"]));
}

#[test]
fn every_error_is_reported_with_its_place() {
    let text = r#"
[listen]
adress = "0.0.0.0:1"
insecure = 1
[lisen]
[state]
dir = "var"
[session]
idle_timeout_s = 5
lockout_attempts = "many"
[[user]]
name = "a b"
level = "root"
password = "secret"
[[user]]
level = "user"
[[service]]
name = "web"
command = "/bin/web"
restart = "sometimes"
stop_signal = "STOP"
stop_timeout_s = 301
after = ["nett", 1]
[[service]]
name = "net"
"#;
    assert_eq!(
        errors(text),
        reported(
            "3:1: unknown key 'adress' in [listen]; did you mean 'address'?\n\
         4:12: insecure: expected true or false, found a whole number\n\
         5:2: unknown key 'lisen'; did you mean 'listen'?\n\
         7:7: dir: expected an absolute path, found 'var'\n\
         9:18: idle_timeout_s: expected 30 to 604800, found 5\n\
         10:20: lockout_attempts: expected a whole number, found a string; a number has no quotes and no unit\n\
         12:8: name: expected letters, digits and '.', '_', '-', '@', found 'a b'\n\
         13:9: level: expected 'admin', 'user' or 'viewer', found 'root'\n\
         14:12: password: expected \"$pbkdf2-sha256$i=ROUNDS$SALT$HASH\"; 'friendlet passwd USER' prints a correct one\n\
         15:1: [[user]] has no name\n\
         19:11: command: expected a list of strings in brackets, found a string; write [\"/bin/web\"]\n\
         20:11: restart: expected 'never', 'on-failure' or 'always', found 'sometimes'\n\
         21:15: stop_signal: expected 'HUP', 'INT', 'QUIT', 'KILL', 'USR1', 'USR2', 'ALRM', 'TERM' or 'WINCH', found 'STOP'\n\
         22:18: stop_timeout_s: expected 1 to 300, found 301\n\
         23:10: after: no service 'nett'; did you mean 'net'?\n\
         23:18: after: expected a string in quotes, found a whole number; write it in quotes\n\
         24:1: [[service]] has no command\n"
        )
    );
}

#[test]
fn syntax_errors_are_reported_with_the_others() {
    let text = "[listen]\naddress = \n[log]\nlevl = 'info'\nlevel = 'info\n[session]\nidle_timeout_s = 1\n";
    let errors = errors(text);
    let places: Vec<_> = errors.lines().map(|line| line.split(": ").next().unwrap()).collect();
    assert_eq!(places, ["2:11", "4:1", "5:14", "7:18"], "{errors}");
}

#[test]
fn tables_of_the_wrong_type_are_reported() {
    assert_eq!(
        errors("listen = 1\nsession = []\n[user]\nname = 'a'\n[service]\n"),
        "1:10: expected [listen], found a whole number\n\
         2:11: expected [session], found a list\n\
         3:1: expected [[user]], found a single table; there can be several: its brackets are double\n\
         5:1: expected [[service]], found a single table; there can be several: its brackets are double\n"
    );
    assert_eq!(errors("user = [1]\n"), "1:9: expected [[user]], found a whole number\n");
}

#[test]
fn addresses_are_numbers() {
    for text in ["localhost:6500", "127.0.0.1", "6500", "::1:6500", "127.0.0.1:70000", ""] {
        assert_eq!(
            errors(&format!("[listen]\naddress = '{text}'\n")),
            format!(
                "2:11: address: expected an IP address and a port, such as '0.0.0.0:6500' or '[::]:6500', found '{text}'\n"
            )
        );
    }
}

#[test]
fn plain_text_on_a_network_needs_its_key() {
    let with = |address: &str, rest: &str| format!("[listen]\naddress = '{address}'\ntls = 'off'\n{rest}");
    for address in ["127.0.0.1:1", "127.9.9.9:1", "[::1]:1", "[::ffff:127.0.0.1]:1"] {
        assert_eq!(config(&with(address, "")).listen.tls, Tls::Off);
    }
    for address in ["0.0.0.0:1", "192.0.2.1:1", "[::]:1", "[::ffff:192.0.2.1]:1"] {
        let errors = errors(&with(address, "insecure = false"));
        assert!(errors.starts_with("3:7: tls = \"off\" on "), "{errors}");
        assert_eq!(config(&with(address, "insecure = true")).listen.tls, Tls::Off);
    }
    assert_eq!(config("[listen]\ntls = 'off'").listen.tls, Tls::Off);
}

#[test]
fn certificate_and_key_go_together() {
    assert_eq!(errors("[listen]\nkey = 'k'"), "2:7: key: set certificate as well\n");
    assert_eq!(errors("[listen]\ncertificate = 'c'"), "2:15: certificate: set key as well\n");
    let named = config("[listen]\ncertificate = 'tls/certificate.pem'\nkey = 'tls/key.pem'\nclient_ca = ''");
    assert_eq!(named.listen.tls, config("").listen.tls);
    assert_eq!(errors("[listen]\ntls = 'off'\nclient_ca = 'x'"), "3:13: client_ca: needs tls = \"on\"\n");
    assert_eq!(
        errors("[listen]\ncertificate = ''\nkey = ''\ntls = 'yes'"),
        "2:15: certificate: expected the path of a file, found ''\n3:7: key: expected the path of a file, found ''\n\
         4:7: tls: expected 'on' or 'off', found 'yes'\n"
    );
}

#[test]
fn limits_are_lowered_and_never_raised() {
    assert_eq!(config(&format!("[limits]\nslots = {}", limits::SLOTS)).slots, limits::SLOTS);
    assert_eq!(config("[limits]\nslots = 2").slots, 2);
    let range = format!("expected 2 to {} (limit of board '{}')", limits::SLOTS, limits::BOARD);
    for wrong in ["1", "-1", &(limits::SLOTS + 1).to_string(), &u64::MAX.to_string()] {
        assert_eq!(
            errors(&format!("[limits]\nslots = {wrong}")),
            format!("2:9: slots: {range}, found {wrong}\n")
        );
    }
    assert_eq!(
        errors("[limits]\nusers = 1\nslot = 4"),
        format!(
            "2:1: users is fixed at build time: {} on board '{}'\n\
             3:1: unknown key 'slot' in [limits]; did you mean 'slots'?\n",
            limits::USERS,
            limits::BOARD
        )
    );
}

#[test]
fn names_are_unique() {
    assert_eq!(
        errors("[[user]]\nname = 'a'\n[[user]]\nname = 'a'\n"),
        "4:8: duplicate user 'a', first in line 2\n"
    );
    assert_eq!(errors(&(service("") + &service(""))), "6:8: duplicate service 'a', first in line 2\n");
    let token = format!("[[token]]\nuser = 'a'\nsha256 = '{}'\n", "0".repeat(64));
    assert_eq!(
        errors(&format!("[[user]]\nname = 'a'\n{token}{token}")),
        "8:10: this token is there already\n"
    );
}

#[test]
fn names_refer_to_what_exists() {
    assert_eq!(
        errors("[[user]]\nname = 'anna'\nservices = ['helo', '*']\n[[token]]\nuser = 'ana'\nsha256 = '00'\n"),
        "3:13: services: no service 'helo'; did you mean 'hello'?\n\
         5:8: user: no user 'ana'; did you mean 'anna'?\n\
         6:10: sha256: expected the SHA-256 of the token, 64 hexadecimal digits (printf %s TOKEN | sha256sum)\n"
    );
    assert_eq!(config(&service("after = ['hello']")).services.len(), 2);
    assert_eq!(errors("[[token]]\n"), "1:1: [[token]] has no user\n1:1: [[token]] has no sha256\n");
}

#[test]
fn services_do_not_wait_for_each_other() {
    let with = |name: &str, after: &str| {
        format!("[[service]]\nname = '{name}'\ncommand = ['x']\nafter = [{after}]\n")
    };
    assert_eq!(errors(&with("a", "'a'")), "4:10: after: a service cannot wait for itself\n");
    // "z" waits for nothing, and "w" only waits for the others.
    let ring = with("b", "'c'") + &with("c", "'a'");
    let text = with("a", "'z', 'b'") + &ring + &with("z", "");
    assert_eq!(errors(&text), "4:15: after: these services wait for each other: a, b, c, a\n");
    let text = with("w", "'a'") + &with("a", "'b'") + &ring;
    assert_eq!(errors(&text), "8:10: after: these services wait for each other: a, b, c, a\n");
    let two = with("a", "'b'") + &with("b", "'a'") + &with("c", "'d'") + &with("d", "'c'");
    assert_eq!(
        errors(&two),
        "4:10: after: these services wait for each other: a, b, a\n\
         12:10: after: these services wait for each other: c, d, c\n"
    );
}

#[test]
fn description_is_one_line() {
    assert_eq!(
        errors(&service(r#"description = "a\nb""#)),
        "4:15: description: expected one line without control characters and marks that reverse text, found 'a?b'\n"
    );
}

#[test]
fn variables_are_names_and_strings() {
    assert_eq!(
        errors(&service(r#"env = { A = 1, "B=C" = "", "" = "", D = "\u0000" }"#)),
        "4:13: A: expected a string in quotes, found a whole number; write it in quotes\n\
         4:16: env: a name cannot be empty or contain '=', and neither it nor its value can contain NUL\n\
         4:28: env: a name cannot be empty or contain '=', and neither it nor its value can contain NUL\n\
         4:37: env: a name cannot be empty or contain '=', and neither it nor its value can contain NUL\n"
    );
    assert_eq!(errors(&service("env = 'A=1'")), "4:7: env: expected { NAME = \"value\" }, found a string\n");
}

#[test]
fn directories_are_absolute() {
    assert_eq!(errors(&service("cwd = 'srv'")), "4:7: cwd: expected an absolute path, found 'srv'\n");
    assert_eq!(errors("[state]\ndir = \"/a\\u0000\""), "2:7: dir: expected an absolute path, found '/a?'\n");
}

#[test]
fn user_text_is_parsed_back() {
    let hash: session::PasswordHash = HASH.parse().unwrap();
    let text = user_text("admin", session::UserLevel::Admin, &hash);
    assert_eq!(text, format!("[[user]]\nname = \"admin\"\nlevel = \"admin\"\npassword = \"{HASH}\"\n"));
    let user = parse_user(&text, "admin.toml").unwrap();
    assert_eq!((user.name.as_str(), user.level), ("admin", session::UserLevel::Admin));
    assert_eq!(user.password, Some(hash.clone()));
    // It is also part of a configuration file.
    assert_eq!(config(&text).users.len(), 1);
    let text = user_text("ben", session::UserLevel::User, &hash);
    assert!(text.contains("services = []"));
    assert_eq!(parse_user(&text, "f").unwrap().level, session::UserLevel::User);
}

#[test]
fn user_file_contains_one_user_and_nothing_else() {
    let error_of = |text: &str| parse_user(text, "f").unwrap_err().to_string();
    assert_eq!(error_of(""), "f:1:1: expected one [[user]], found 0");
    assert_eq!(
        error_of("[[user]]\nname = 'a'\n[[user]]\nname = 'b'\n"),
        "f:1:1: expected one [[user]], found 2"
    );
    assert_eq!(
        error_of("[[user]]\nname = ''\n"),
        "f:2:8: name: expected letters, digits and '.', '_', '-', '@', found ''"
    );
    assert_eq!(error_of("[[user]]\nname = 'a'\n[log]\n"), "f:3:2: unknown key 'log'");
    assert!(error_of("[[user]\n").starts_with("f:1:"));
}

#[test]
fn built_in_default_is_correct() {
    parse(limits::BOARD_FILE, "built in", "/usr/bin/friendlet").unwrap();
}

/// The example file with every key set, but one of the attempts of a check.
fn full_example() -> String {
    let example = include_str!("../../examples/friendlet.toml");
    let (before, check) = example.split_once("#[[check]]").unwrap();
    let is_other = |line: &&str| ["#unix ", "#http ", "#command "].iter().any(|key| line.starts_with(key));
    let check = check.lines().filter(|line| !is_other(line));
    // A key or a header is behind a "#" without a blank.
    let uncommented =
        |line: &'static str| line.strip_prefix('#').filter(|key| key.starts_with(|c: char| c != ' '));
    let lines = before.lines().chain(["#[[check]]"]).chain(check);
    lines.map(|line| format!("{}\n", uncommented(line).unwrap_or(line))).collect()
}

#[test]
fn example_is_correct_with_its_defaults_and_with_every_key_set() {
    let plain = config(include_str!("../../examples/friendlet.toml"));
    assert_eq!((plain.users.len(), plain.services.len()), (0, 1));
    let full = config(&full_example());
    assert_eq!((full.users.len(), full.tokens.len(), full.services.len()), (1, 1, 2));
    assert_eq!(full.services.checks().count(), 2);
}

#[test]
fn every_choice_is_accepted_and_every_variant_is_a_choice() {
    use super::key::Kind;
    use super::schema::{CHECK, LOG, SERVICE, TABLES, USER};
    const TOKEN: &str =
        "user = 'a'\nsha256 = '0000000000000000000000000000000000000000000000000000000000000000'\n";
    let mut choices = 0;
    for table in TABLES {
        let required = match table.name {
            "user" => "name = 'a'\n",
            "service" => "name = 'a'\ncommand = ['x']\n",
            "token" => TOKEN,
            "syslog" => "address = 'udp://192.0.2.1'\n",
            "check" => "name = 'a'\ntcp = '127.0.0.1:1'\n",
            _ => "",
        };
        for key in table.keys {
            let Kind::Choice(words) = &key.kind else { continue };
            for word in *words {
                choices += 1;
                let user = if table.name == "token" { "[[user]]\nname = 'a'\n" } else { "" };
                config(&format!("{user}{}\n{required}{} = '{word}'\n", table.header, key.name));
            }
        }
    }
    assert!(choices > 15, "{choices}");
    let words = |table: &super::key::Table, key: &str| match table.key(key).unwrap().kind {
        Kind::Choice(words) => words,
        _ => panic!("{key}"),
    };
    assert_eq!(words(&LOG, "level"), Level::ALL.map(Level::name));
    assert_eq!(
        words(&USER, "level"),
        [session::UserLevel::Admin, session::UserLevel::User, session::UserLevel::Viewer]
            .map(session::UserLevel::name)
    );
    assert_eq!(words(&CHECK, "level"), [CheckLevel::Alive, CheckLevel::Ready].map(CheckLevel::name));
    assert_eq!(
        words(&SERVICE, "restart"),
        [RestartPolicy::Never, RestartPolicy::OnFailure, RestartPolicy::Always].map(RestartPolicy::name)
    );
    let signals: Vec<_> =
        Signal::ALL.into_iter().filter(|signal| signal.can_end()).map(Signal::name).collect();
    assert_eq!(words(&SERVICE, "stop_signal"), signals);
}

#[test]
fn secrets_are_not_quoted() {
    let token = "[[token]]\nuser = 'a'\nsha256 = 'hush'\n";
    let errors = errors(&format!("[[user]]\nname = 'a'\npassword = 'hush'\n{token}"));
    assert!(errors.lines().count() == 2 && !errors.contains("hush"), "{errors}");
}

#[test]
fn toml_of_the_documentation_is_correct() {
    let document = include_str!("../../docs/configuration.md");
    let blocks = document.split("```toml\n").skip(1).filter_map(|rest| rest.split("```").next());
    let counts =
        blocks.map(|block| config(block).services).map(|table| (table.len(), table.checks().count()));
    assert!(counts.eq([(2, 0), (1, 0), (3, 0), (2, 2)]));
}

proptest! {
    #[test]
    fn any_text_is_parsed_or_rejected(text in "\\PC*") {
        let _ = parse(&text, "f", "/usr/bin/friendlet");
    }

    #[test]
    fn any_mutation_of_a_file_is_parsed_or_rejected(
        at in any::<prop::sample::Index>(), cut in 0..20_usize, put in "[\\[\\]\"'=,.{}#a0\\n -]{0,6}"
    ) {
        let mut text: Vec<char> = full_example().chars().collect();
        let start = at.index(text.len());
        let end = (start + cut).min(text.len());
        text.splice(start..end, put.chars());
        let text: String = text.into_iter().collect();
        if let Err(errors) = parse(&text, "f", "/usr/bin/friendlet") {
            prop_assert!(!errors.errors().is_empty());
            prop_assert!(errors.errors().iter().all(|error| error.place.is_some_and(|(line, column)| line >= 1 && column >= 1)));
        }
    }
}

#[test]
fn built_in_default_of_every_board_is_correct() {
    let boards = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("boards");
    let mut files = 0;
    for entry in std::fs::read_dir(boards).unwrap() {
        let file = entry.unwrap().path().join("friendlet.toml");
        if let Ok(text) = std::fs::read_to_string(&file) {
            files += 1;
            let config = parse(&text, &file.display().to_string(), "/sbin/friendlet");
            assert!(config.is_ok(), "{}", config.unwrap_err());
        }
    }
    assert!(files > 0);
    let built_in = built_in("/sbin/friendlet");
    let read = parse(limits::BOARD_FILE, "f", "/sbin/friendlet").unwrap();
    assert_eq!((built_in.listen, built_in.services.len()), (read.listen, read.services.len()));
}

#[test]
fn board_is_ended_by_absolute_paths() {
    let board = config("[board]\nreboot = [\"/sbin/reboot\", \"-f\"]").board;
    assert!(board.reboot.iter().eq(["/sbin/reboot", "-f"]) && board.poweroff.is_empty());
    let errors = parse("[board]\nreboot = [\"reboot\"]\npoweroff = []\nhalt = 1", "f", "p").unwrap_err();
    assert_eq!(
        errors.to_string(),
        "f:2:10: reboot: expected the absolute path of a program\n\
         f:3:12: poweroff: expected a program and its arguments\n\
         f:4:1: unknown key 'halt' in [board]"
    );
}

#[test]
fn document_without_a_file_has_the_built_in_default() {
    let drop_in = "\x1ca.toml\n[[service]]\nname = 'a'\ncommand = ['a']\n";
    let (config, origin) = super::parse_document(drop_in, "f", "/bin/friendlet").unwrap();
    assert!(config.services.find("a").is_some());
    assert_eq!(origin, super::ConfigOrigin::BuiltIn);
    let (config, origin) = super::parse_document("[log]\nlevel = 'warn'\n", "f", "/bin/friendlet").unwrap();
    assert_eq!((config.log_level, origin), (Level::Warn, super::ConfigOrigin::Given));
}
