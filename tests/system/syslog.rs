//! Log server: what it receives from the real server, and when.

use std::collections::BTreeMap;
use std::net::{SocketAddr, UdpSocket};
use std::os::unix::net::UnixDatagram;
use std::time::{Duration, Instant};

use friendlet::syslog::SYSLOG_TIMEOUT;
use rustix::process::Signal;

use super::reload::reload;
use super::services::{OK, start, status, until_state};
use crate::support::device::shell;
use crate::support::directory::Directory;
use crate::support::log_server::{LogServer, Pki};
use crate::support::namespaces::run_alone;
use crate::support::wait::{SOON, until, within};
use crate::support::{Device, Server, process};

const ANY: SocketAddr = SocketAddr::V4(std::net::SocketAddrV4::new(std::net::Ipv4Addr::LOCALHOST, 0));

/// A server with a log server and these tables.
fn device(address: &str, keys: &str, tables: &str) -> Device {
    Device::plain().with(&format!("[syslog]\naddress = \"{address}\"\n{keys}\n{tables}"))
}

/// A service that prints lines by numbers at once, and runs on.
fn counter(lines: usize) -> String {
    let script = format!("i=0; while [ $i -lt {lines} ]; do i=$((i+1)); echo line $i; done; exec sleep 1000");
    shell("counter", &script, "")
}

/// The text about the log server in the status of the board.
fn report(server: &Server) -> String {
    let text = server.call("board/status");
    let (_, rest) = text.split_once("\"LogServer\": \"").unwrap_or_default();
    rest.split('"').next().unwrap().to_owned()
}

#[track_caller]
fn until_report(server: &Server, part: &str) -> String {
    within(SOON, part, || Some(report(server)).filter(|text| text.contains(part)))
}

fn lines(numbers: std::ops::RangeInclusive<usize>) -> Vec<String> {
    numbers.map(|number| format!("line {number}")).collect()
}

#[test]
fn output_audit_trail_and_log_are_messages_of_the_standard() {
    let logs = LogServer::udp(ANY);
    let script = "printf '<3>it fails\\nsch\\303\\266n \\033[31m\\377\\ta\\n'; exec sleep 1000";
    let keys = "hostname = \"board-7\"\nfacility = \"local0\"\nserver_log = true";
    let tables = shell("web", script, "") + &shell("quiet", "echo hush; exec sleep 1000", "syslog = false");
    let server = Server::start(&device(&format!("udp://{}", logs.address), keys, &tables));
    start(&server, "quiet");
    let pid = start(&server, "web").pid.to_string();
    until("the output is there", || logs.texts("web").len() == 2);
    let messages = logs.messages();
    let of = |name: &str| messages.iter().filter(|message| message.name == name).collect::<Vec<_>>();
    let web = of("web");
    assert_eq!((web[0].priority, web[1].priority), (16 * 8 + 3, 16 * 8 + 6));
    assert_eq!((web[0].text.as_str(), web[1].text.as_str()), ("it fails", "schön ?[31m? a"));
    assert!(web.iter().all(|message| message.host == "board-7" && message.id == "output"));
    assert!(web.iter().all(|message| message.process == pid && message.time.starts_with("20")));
    assert!(web[0].data.starts_with("[timeQuality tzKnown=\"1\" isSynced="));
    assert!(of("quiet").is_empty());
    let is_audit = |message: &crate::support::log_server::Message| message.id == "audit";
    until("the audit trail is there", || {
        logs.messages().iter().any(|message| {
            let text = "user=fadmin from=127.0.0.1 call=services/start on=web outcome=ok";
            is_audit(message) && message.priority == 10 * 8 + 5 && message.text == text
        })
    });
    until("the log is there", || {
        let is_log = |text: &String| text.starts_with("api::services: service web: start by fadmin");
        logs.texts("friendlet").iter().any(is_log)
    });
    assert!(report(&server).starts_with(&format!("udp://{}: connected; ", logs.address)));
    for thread in process::threads(server.pid()) {
        assert_eq!(process::field(&thread, "Seccomp"), "2", "the sandbox allows all of that");
    }
}

/// Fields of an entry of systemd's journal.
fn fields(entry: &[u8]) -> BTreeMap<String, String> {
    let text = std::str::from_utf8(entry).unwrap();
    let pairs = text.strip_suffix('\n').unwrap().split('\n').map(|line| line.split_once('=').unwrap());
    pairs.map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
}

#[test]
fn journal_has_output_and_audit_trail_in_fields() {
    run_alone(|| {
        let script = "printf '<3>it fails\\nMESSAGE=x\\n'; exec sleep 1000";
        let server = Server::start(&device("journal", "facility = \"local0\"", &shell("web", script, "")));
        let pid = start(&server, "web").pid.to_string();
        until_report(&server, "journal: not reached: No such file or directory (errno 2)");
        std::fs::create_dir_all("/run/systemd/journal").unwrap();
        let journal = UnixDatagram::bind("/run/systemd/journal/socket").unwrap();
        journal.set_read_timeout(Some(SOON)).unwrap();
        let mut entries = Vec::new();
        let is_done = |entries: &[BTreeMap<String, String>]| {
            let has = |kind: &str| entries.iter().filter(|entry| entry["FRIENDLET_KIND"] == kind).count();
            has("output") >= 2 && has("audit") >= 1
        };
        while !is_done(&entries) {
            let mut bytes = [0; 2048];
            let count = journal.recv(&mut bytes).expect("an entry");
            entries.push(fields(&bytes[..count]));
        }
        let output: Vec<_> = entries.iter().filter(|entry| entry["FRIENDLET_KIND"] == "output").collect();
        let field = |entry: &BTreeMap<String, String>, name: &str| entry[name].clone();
        for (entry, priority, text) in [(output[0], "3", "it fails"), (output[1], "6", "MESSAGE=x")] {
            assert_eq!(
                (field(entry, "PRIORITY").as_str(), field(entry, "MESSAGE").as_str()),
                (priority, text)
            );
            let origin =
                ["SYSLOG_IDENTIFIER", "SYSLOG_PID", "SYSLOG_FACILITY"].map(|name| field(entry, name));
            assert_eq!(origin, ["web", pid.as_str(), "16"]);
            assert!(field(entry, "SYSLOG_TIMESTAMP").starts_with("20"));
        }
        let is_start = |entry: &&BTreeMap<String, String>| {
            entry.get("FRIENDLET_CALL").is_some_and(|call| call == "services/start")
        };
        let audit = entries.iter().find(is_start).expect("the start is in the audit trail");
        let words = ["USER", "ON", "OUTCOME"].map(|name| field(audit, &format!("FRIENDLET_{name}")));
        assert_eq!(words, ["fadmin", "web", "begun"]);
        assert_eq!(
            (audit["SYSLOG_IDENTIFIER"].as_str(), audit["SYSLOG_FACILITY"].as_str()),
            ("friendlet", "10")
        );
        until_report(&server, "journal: connected; ");
    });
}

#[test]
fn what_was_written_before_the_log_server_is_there_is_delivered() {
    // A port where nothing listens.
    let address = UdpSocket::bind(ANY).unwrap().local_addr().unwrap();
    let server = Server::start(&device(&format!("udp://{address}"), "", &counter(50)));
    start(&server, "counter");
    until_report(&server, "not reached: Connection refused (errno 111)");
    until("it is logged", || server.log().contains("Connection refused (errno 111); lines wait for it"));
    let logs = LogServer::udp(address);
    until("all lines are there", || logs.texts("counter").len() >= 50);
    let mut found = logs.texts("counter");
    found.dedup();
    assert_eq!(found, lines(1..=50));
    until("it is logged", || server.log().contains("reached again; 0 lines were dropped so far"));
    assert_eq!(server.log().matches("lines wait for it").count(), 1, "{}", server.log());
}

#[test]
fn ten_thousand_lines_at_once_are_delivered_or_counted() {
    let logs = LogServer::udp(ANY);
    let server =
        Server::start(&device(&format!("udp://{}", logs.address), "audit = false", &counter(10_000)));
    start(&server, "counter");
    until("the last line is there", || logs.texts("counter").last().is_some_and(|last| last == "line 10000"));
    let (mut next, mut dropped) = (1, 0);
    for message in logs.messages().iter().filter(|message| message.name == "counter") {
        if message.id == "dropped" {
            let count: usize = message.text.split(' ').next().unwrap().parse().unwrap();
            assert_eq!(message.text, format!("{count} lines of output were dropped"));
            (next, dropped) = (next + count, dropped + count);
        } else {
            assert_eq!(message.text, format!("line {next}"));
            next += 1;
        }
    }
    assert_eq!(next, 10_001);
    assert!(dropped > 0, "8 KiB are less than all lines");
    until_report(&server, &format!(", {dropped} lines dropped"));
    assert_eq!(server.call("services/hello/start"), OK);
}

#[test]
fn log_server_with_tls_proves_itself_by_its_authority_or_its_key() {
    let directory = Directory::new();
    let named = Pki::new(&["logs.example"]);
    let addressed = Pki::new(&["127.0.0.1"]);
    for (number, (pki, keys)) in [
        (
            &named,
            format!(
                "ca = \"{}\"\nserver_name = \"logs.example\"",
                directory.write("a.pem", &named.authority)
            ),
        ),
        (&addressed, format!("ca = \"{}\"", directory.write("b.pem", &addressed.authority))),
        (&named, format!("fingerprint = \"{}\"", named.fingerprint())),
    ]
    .into_iter()
    .enumerate()
    {
        let logs = LogServer::tls(ANY, pki);
        let server = Server::start(&device(&format!("tls://{}", logs.address), &keys, &counter(100)));
        start(&server, "counter");
        until("all lines are there", || logs.texts("counter").len() == 100);
        assert_eq!(logs.texts("counter"), lines(1..=100), "{number}");
        assert_eq!(logs.connections(), 1);
        assert!(report(&server).contains(": connected; "), "{}", report(&server));
    }
}

#[test]
fn log_server_without_its_proof_receives_nothing() {
    let directory = Directory::new();
    let (pki, other) = (Pki::new(&["logs.example"]), Pki::new(&["logs.example"]));
    let [own, others] =
        [("a.pem", &pki), ("b.pem", &other)].map(|(name, pki)| directory.write(name, &pki.authority));
    let logs = LogServer::tls(ANY, &pki);
    for (keys, reason) in [
        (
            format!("fingerprint = \"{}\"", other.fingerprint()),
            "it has another public key than that of fingerprint",
        ),
        (
            format!("ca = \"{others}\"\nserver_name = \"logs.example\""),
            "its certificate is not of an authority in ca",
        ),
        (format!("ca = \"{own}\""), "its certificate has neither server_name nor"),
        (
            format!("ca = \"{own}\"\nserver_name = \"other.example\""),
            "its certificate has neither server_name nor",
        ),
    ] {
        let server = Server::start(&device(&format!("tls://{}", logs.address), &keys, &counter(3)));
        start(&server, "counter");
        let text = until_report(&server, ": not reached: ");
        assert!(text.contains(reason), "{reason}: {text}");
        assert_eq!(server.call("services/hello/start"), OK);
    }
    assert!(logs.messages().is_empty() && logs.connections() == 0);
}

#[test]
fn log_server_with_the_certificate_of_its_authority_is_refused_in_words() {
    let (directory, pki) = (Directory::new(), Pki::of_its_own(&["127.0.0.1"]));
    let logs = LogServer::tls(ANY, &pki);
    let authority = format!("ca = \"{}\"", directory.write("a.pem", &pki.authority));
    let server = Server::start(&device(&format!("tls://{}", logs.address), &authority, &counter(3)));
    start(&server, "counter");
    until_report(
        &server,
        "not reached: its certificate is that of an authority itself; set fingerprint in place of ca",
    );
    let key = format!("fingerprint = \"{}\"", pki.fingerprint());
    reload(&server, &device(&format!("tls://{}", logs.address), &key, &counter(3)));
    until("all lines are there", || logs.texts("counter").len() == 3);
}

#[test]
fn log_server_that_dies_is_connected_to_again() {
    let pki = Pki::new(&["127.0.0.1"]);
    let keys = format!("fingerprint = \"{}\"", pki.fingerprint());
    let logs = LogServer::tls(ANY, &pki);
    let address = logs.address;
    let script = "i=0; while :; do i=$((i+1)); echo line $i; sleep 0.05; done";
    let server = Server::start(&device(&format!("tls://{address}"), &keys, &shell("ticker", script, "")));
    start(&server, "ticker");
    until("some lines are there", || logs.texts("ticker").len() > 10);
    let before = logs.texts("ticker");
    assert_eq!(before, lines(1..=before.len()));
    drop(logs);
    until_report(&server, "not reached: ");
    let logs = LogServer::tls(address, &pki);
    until("later lines are there", || logs.texts("ticker").len() > 10);
    // What was sent shortly before the end is sent again, and nothing is left out.
    let after = logs.texts("ticker");
    let first: usize = after[0].trim_start_matches("line ").parse().unwrap();
    assert!(first <= before.len() + 1, "{first} after {}", before.len());
    assert_eq!(after, lines(first..=first + after.len() - 1));
    until_report(&server, ": connected; ");
}

#[test]
fn log_server_that_reads_nothing_is_given_up() {
    let pki = Pki::new(&["127.0.0.1"]);
    let logs = LogServer::silent(&pki);
    let keys = format!("fingerprint = \"{}\"", pki.fingerprint());
    let script = format!("while :; do echo {}; sleep 0.001; done", "x".repeat(800));
    let server =
        Server::start(&device(&format!("tls://{}", logs.address), &keys, &shell("chatty", &script, "")));
    start(&server, "chatty");
    until("it is connected", || logs.connections() == 1);
    let begun = Instant::now();
    while !report(&server).contains("not reached: ") {
        assert!(begun.elapsed() < SOON, "{}", report(&server));
        // Nothing else waits for it.
        let call = Instant::now();
        assert_eq!(server.call("services/hello/start"), OK);
        assert!(call.elapsed() < Duration::from_secs(10));
    }
    assert!(begun.elapsed() >= SYSLOG_TIMEOUT / 2);
    let text = report(&server);
    assert!(text.contains("it does not answer") || text.contains("Connection timed out"), "{text}");
}

#[test]
fn reload_begins_changes_and_ends_it_while_the_services_run() {
    let [first, second] = [LogServer::udp(ANY), LogServer::udp(ANY)];
    let ticker =
        |keys: &str| shell("ticker", "i=0; while :; do i=$((i+1)); echo line $i; sleep 0.05; done", keys);
    let server = Server::start(&Device::plain().with(&ticker("")));
    let pid = start(&server, "ticker").pid;
    assert!(!server.call("board/status").contains("LogServer"));
    let to = |logs: &LogServer, keys: &str| device(&format!("udp://{}", logs.address), "", &ticker(keys));
    let nothing = r#""Added": [], "Changed": [], "Removed": [], "NeedsRestart": []"#;
    let answer = reload(&server, &to(&first, ""));
    assert!(answer.contains(nothing), "{answer}");
    // Those from before are in memory.
    until("lines come", || first.texts("ticker").len() > 5);
    assert_eq!(first.texts("ticker")[0], "line 1");
    reload(&server, &to(&second, ""));
    until("lines come to the other one", || second.texts("ticker").len() > 5);
    let count = first.texts("ticker").len();
    let next: usize = second.texts("ticker")[0].trim_start_matches("line ").parse().unwrap();
    assert!(next <= count + 1, "{next} after {count}");
    let answer = reload(&server, &to(&second, "syslog = false"));
    assert!(answer.contains(nothing), "{answer}");
    let count = second.texts("ticker").len();
    until("the audit trail comes", || {
        second.messages().iter().filter(|message| message.id == "audit").count() > 1
    });
    assert!(second.texts("ticker").len() <= count + 2);
    reload(&server, &Device::plain().with(&ticker("")));
    until("it ends", || !server.call("board/status").contains("LogServer"));
    assert_eq!(status(&server, "ticker").pid, pid);
    until_state(&server, "ticker", "started");
}

#[test]
fn lines_of_the_end_are_sent() {
    let pki = Pki::new(&["127.0.0.1"]);
    let keys = format!("fingerprint = \"{}\"", pki.fingerprint());
    let logs = [LogServer::udp(ANY), LogServer::tls(ANY, &pki)];
    for (logs, scheme, keys) in [(&logs[0], "udp", ""), (&logs[1], "tls", keys.as_str())] {
        let script = "trap 'echo the last one; exit 0' TERM; echo up; sleep 1000 & wait";
        let mut server =
            Server::start(&device(&format!("{scheme}://{}", logs.address), keys, &shell("web", script, "")));
        start(&server, "web");
        until("it is up", || logs.texts("web") == ["up"]);
        server.signal(Signal::TERM);
        assert_eq!(server.wait(SOON).code(), Some(0), "{}", server.log());
        until("the last line is there", || logs.texts("web") == ["up", "the last one"]);
    }
}

#[test]
fn later_servers_go_on() {
    let logs = LogServer::udp(ANY);
    let script = "i=0; while :; do i=$((i+1)); echo line $i; sleep 0.02; done";
    let mut server =
        Server::start(&device(&format!("udp://{}", logs.address), "", &shell("ticker", script, "")));
    start(&server, "ticker");
    let until_more = |what: &str| {
        let count = logs.texts("ticker").len();
        until(what, || logs.texts("ticker").len() > count + 5);
    };
    until_more("lines come");
    server.upgrade();
    until_more("lines come after an upgrade");
    server.crash();
    until_more("lines come after a crash");
    let mut found = logs.texts("ticker");
    found.retain(|text| text.starts_with("line "));
    let unique: std::collections::BTreeSet<_> = found.iter().collect();
    assert_eq!(unique.len(), found.len(), "none comes twice");
    until_report(&server, ": connected; ");
}
