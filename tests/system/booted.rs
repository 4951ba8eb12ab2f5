//! The server of a booted board, as its init started it. `cargo xtask booted` runs these, on an image
//! whose data partition holds `tests/system/booted/friendlet.toml`; without a board there is nothing
//! to run them on.

use std::fs::{self, OpenOptions};
use std::io::Write as _;
use std::path::PathBuf;
use std::process::Command;

use friendlet::connection::OVERFLOW_SLOTS;

use crate::support::device::ADMIN;
use crate::support::directory::Directory;
use crate::support::guest::{Guest, guest};
use crate::support::http::session_of;
use crate::support::memory::reported;
use crate::support::server::{Run, friendlet, run_command};
use crate::support::stream::Stream;
use crate::support::wait::{until, within};
use crate::support::ws::{Event, Socket, frame, request};
use crate::support::{process, wait};

mod crowd;
mod damage;
mod hang;
mod hotplug;
mod late;
mod stack;
mod trial;

const OK: &str = r#"{ "Status": "ok"}"#;
/// Memory of the server that `friendlet check` does not count: pages of the allocator's own.
const SLACK_KB: u64 = 512;

fn board() -> Guest {
    guest().expect("FRIENDLET_GUEST leads to a booted board")
}

fn socket() -> Socket {
    Socket::open(Stream::tls(board().server()))
}

/// Process of the board's server.
fn server() -> u32 {
    let output = board().run("for p in /proc/[0-9]*; do read -r x < $p/cmdline; case \"$(tr '\\0' ' ' < $p/cmdline)\" in *' serve --config /data/friendlet.toml'*) echo ${p#/proc/};; esac; done 2> /dev/null");
    let pids: Vec<u32> = output.lines().map(|line| line.parse().unwrap()).collect();
    assert_eq!(pids.len(), 2, "{output}");
    pids[1].max(pids[0])
}

/// Its parent.
fn keeper() -> u32 {
    let children = |pid: &u32| process::children(*pid).contains(&server());
    process::parent(server()).filter(children).expect("a parent")
}

/// A server of the board other than `before`, which has ended or will.
#[track_caller]
fn next_server(before: u32) -> u32 {
    within(wait::SOON * 3, "another server runs", || {
        // The lab is a service too, and comes back with it.
        let pid = std::panic::catch_unwind(server).ok()?;
        (pid != before).then_some(pid)
    })
}

fn call(path: &str) -> String {
    socket().call(&request("r", path, "{}", ADMIN))
}

/// A member of an answer, without its quotes.
fn member(answer: &str, key: &str) -> String {
    let (_, rest) = answer.split_once(&format!("\"{key}\": ")).unwrap_or_else(|| panic!("{key}: {answer}"));
    rest.split([',', '}']).next().unwrap().trim_matches('"').to_owned()
}

/// State of a service.
fn state(name: &str) -> String {
    member(&call(&format!("services/{name}/status")), "State")
}

/// `friendlet ctl` here, with a home of its own.
struct Person(Directory);

impl Person {
    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = friendlet();
        command.args(["ctl", "--url", &format!("wss://{}", board().server())]).args(arguments);
        command.env("XDG_STATE_HOME", self.0.path()).env_remove("FRIENDLET_SESSION");
        command
    }

    fn run(&self, arguments: &[&str], input: &str) -> Run {
        run_command(&mut self.command(arguments), input)
    }

    #[track_caller]
    fn done(&self, arguments: &[&str], input: &str) -> String {
        let run = self.run(arguments, input);
        assert_eq!(run.code, Some(0), "{arguments:?}: {run:?}");
        run.stdout
    }
}

#[test]
#[ignore = "needs a booted board"]
fn board_switches_itself_off() {
    assert!(socket().call(&request("r", "board/poweroff", "{}", ADMIN)).contains(OK));
}

/// Changed state: services that are enabled or not, a password, and the configuration file.
#[derive(Clone, Copy, Debug)]
enum Key {
    Service(&'static str),
    Password,
    Configuration,
}

const KEYS: [Key; 5] =
    [Key::Service("one"), Key::Service("two"), Key::Service("three"), Key::Password, Key::Configuration];

impl Key {
    fn name(self) -> &'static str {
        match self {
            Self::Service(name) => name,
            Self::Password => "password",
            Self::Configuration => "configuration",
        }
    }

    /// Returns the initial value, on a board without changes.
    fn first(self) -> String {
        match self {
            Self::Service(_) => "uninstall".to_owned(),
            Self::Password => "guest".to_owned(),
            Self::Configuration => "none".to_owned(),
        }
    }

    /// Returns its values in the journal: the last acknowledged one, and the one tried since.
    fn reported(self, journal: &str) -> (String, Option<String>) {
        let mut reported = (self.first(), None);
        for line in journal.lines() {
            let words: Vec<&str> = line.split(' ').collect();
            match words[..] {
                ["try", name, value] if name == self.name() => reported.1 = Some(value.to_owned()),
                ["ack", name, value] if name == self.name() => reported = (value.to_owned(), None),
                ["try" | "ack", _, _] => {}
                _ => panic!("no line of the journal: {line}"),
            }
        }
        reported
    }
}

fn journal() -> PathBuf {
    PathBuf::from(std::env::var_os("FRIENDLET_JOURNAL").expect("FRIENDLET_JOURNAL names the journal"))
}

/// A call to the board. They follow each other in a circle. A password takes the board long: now and then one.
#[derive(Clone, Copy, Debug)]
enum Step {
    Switch(&'static str, &'static str),
    Password,
    /// Another configuration in force, which is not written yet.
    Change,
    Confirm,
    /// Ends a change that is not confirmed.
    Reload,
}

#[rustfmt::skip]
const STEPS: [Step; 20] = [
    Step::Change, Step::Switch("one", "install"), Step::Switch("two", "install"), Step::Confirm,
    Step::Switch("three", "install"), Step::Password, Step::Reload, Step::Switch("one", "uninstall"),
    Step::Change, Step::Switch("two", "uninstall"), Step::Reload, Step::Switch("three", "uninstall"),
    Step::Change, Step::Confirm, Step::Switch("one", "install"), Step::Reload,
    Step::Change, Step::Password, Step::Confirm, Step::Switch("one", "uninstall"),
];

/// The configuration file of the board, with a description of a service.
fn configuration(number: &str) -> String {
    let text = include_str!("booted/friendlet.toml");
    let (before, after) = text.split_once("name = \"far\"\n").unwrap();
    format!("{before}name = \"far\"\ndescription = \"{number}\"\n{after}")
}

impl Step {
    /// The key with its new value that may be there as soon as the call is sent, the call, and its answer.
    fn call(self, number: &str) -> (Option<(Key, String)>, String, &'static str) {
        let (key, path, parameters, answer) = match self {
            Self::Switch(name, verb) => {
                let key = (Key::Service(name), verb.to_owned());
                (Some(key), format!("services/{name}/{verb}"), "{}".to_owned(), OK)
            }
            Self::Password => {
                let password = number.to_owned();
                let parameters = format!(r#"{{"username":"guest","password":"{password}"}}"#);
                let key = (Key::Password, password);
                (Some(key), "user/updatepassword".to_owned(), parameters, "success!")
            }
            Self::Change => {
                let text =
                    configuration(number).replace('\\', r"\\").replace('"', "\\\"").replace('\n', r"\n");
                (None, "board/configuration".to_owned(), format!(r#"{{"text":"{text}"}}"#), r#""Change": "#)
            }
            Self::Confirm => {
                let key = (Key::Configuration, number.to_owned());
                (Some(key), "board/confirm".to_owned(), "{}".to_owned(), OK)
            }
            Self::Reload => (None, "board/reload".to_owned(), "{}".to_owned(), r#""Status": "ok""#),
        };
        (key, request("r", &path, &parameters, ADMIN), answer)
    }
}

#[test]
#[ignore = "needs a booted board"]
fn changes_are_made_until_the_power_is_cut() {
    let mut journal = OpenOptions::new().append(true).open(journal()).unwrap();
    let Ok(mut socket) = std::panic::catch_unwind(socket) else { return };
    let mut changed = String::new();
    for (number, step) in STEPS.iter().cycle().enumerate() {
        let mut number = format!("secret-{}-{number}", std::process::id());
        match step {
            Step::Change => changed.clone_from(&number),
            Step::Confirm => {
                number.clone_from(&changed);
                // Over a new connection: that is what the change has to allow.
                let Ok(new) = std::panic::catch_unwind(self::socket) else { return };
                socket = new;
            }
            _ => {}
        }
        let (key, call, wanted) = step.call(&number);
        if let Some((key, value)) = &key {
            writeln!(journal, "try {} {value}", key.name()).unwrap();
        }
        // Without power there is nobody to send to, and nobody who answers.
        let sent = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| socket.send(&call)));
        let answer = sent.ok().and_then(|()| socket.receive(wait::SOON));
        let Some(Event::Text(answer)) = answer else { return };
        assert!(answer.contains(wanted), "{call}: {answer}");
        if let Some((key, value)) = &key {
            writeln!(journal, "ack {} {value}", key.name()).unwrap();
        }
    }
}

#[test]
#[ignore = "needs a booted board"]
fn acknowledged_changes_are_there() {
    let text = fs::read_to_string(journal()).unwrap();
    let enabled = board().run("cat /data/state/enabled 2> /dev/null");
    // At the start the copy becomes the same.
    assert_eq!(board().run("cat /data/state/enabled.copy 2> /dev/null"), enabled);
    for line in enabled.lines().filter(|line| !line.starts_with("#friendlet ")) {
        let words: Vec<&str> = line.split(' ').collect();
        assert!(matches!(words[..], [_, "enabled" | "disabled"]), "half there: {enabled:?}");
    }
    let is_right =
        board().run("/sbin/friendlet check --config /data/friendlet.toml > /dev/null 2>&1 && echo yes");
    assert_eq!(is_right.trim(), "yes", "{}", board().run("cat /data/friendlet.toml"));
    assert_eq!(member(&call("board/status"), "DeviceFile"), "given");
    let mut found = String::new();
    for key in KEYS {
        let (acknowledged, tried) = key.reported(&text);
        let can_be = |value: &str| match key {
            Key::Service(name) => {
                let is_enabled = enabled.lines().any(|line| line == format!("{name} enabled"));
                is_enabled == (value == "install")
            }
            Key::Password => {
                let login = format!(r#"{{ "username":"guest", "password":"{value}" }}"#);
                session_of(&socket().call(&frame("login", &login))).is_some()
            }
            Key::Configuration => {
                let declared = call("services/far/show");
                match value {
                    "none" => !declared.contains("Description"),
                    number => declared.contains(number),
                }
            }
        };
        let both = [Some(acknowledged.clone()), tried.clone()];
        let value = both.into_iter().flatten().find(|value| can_be(value)).unwrap_or_else(|| {
            panic!("{}: {acknowledged} was acknowledged, {tried:?} tried since, neither is there", key.name())
        });
        found += &format!("ack {} {value}\n", key.name());
    }
    // The next changes start from here.
    fs::write(journal(), found).unwrap();
}

/// The lines of a file of frames.
fn read_frames(file: &str) -> String {
    let program = |name: &str| std::env::var_os(name).unwrap_or_else(|| panic!("{name} is not set"));
    let mut command = Command::new(program("FRIENDLET_FRAMES"));
    command.args(["--lines", "--symbols"]).arg(program("FRIENDLET_SYMBOLS")).arg(file);
    let output = command.output().unwrap();
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).unwrap()
}

/// The lines of a log file of the board; its frames are copied to `file`.
fn log_file(name: &str, file: &str) -> String {
    let hex = board().run(&format!("od -An -v -tx1 /run/friendlet/{name}"));
    let digits: String = hex.split_whitespace().collect();
    fs::write(file, base16ct::lower::decode_vec(digits).unwrap()).unwrap();
    read_frames(file)
}

/// Requests to the board while it runs.
mod asked {
    use super::*;

    #[test]
    #[ignore = "needs a booted board"]
    fn server_that_init_has_started_is_confined() {
        crate::system::sandbox::assert_threads_confined(server(), u64::MAX);
        let status = call("board/status");
        assert!(status.contains(r#""Sandbox": "capabilities, system calls, files""#), "{status}");
    }

    #[test]
    #[ignore = "needs a booted board"]
    fn root_of_the_board_needs_no_login() {
        let list = board().run("/sbin/friendlet ctl list 2>&1");
        assert!(list.lines().any(|line| line.starts_with("hello")), "{list}");
    }

    #[test]
    #[ignore = "needs a booted board"]
    fn devices_have_the_group_and_mode_of_their_rule() {
        let is_set = || board().run("stat -c '%u %g %a' /dev/full").trim() == "0 4711 640";
        assert!(is_set());
        // A device that appears: the kernel announces it again.
        board().run("chown 0:0 /dev/full; chmod 600 /dev/full; echo add > /sys/class/mem/full/uevent");
        until("the new device has them, too", is_set);
    }

    #[test]
    #[ignore = "needs a booted board"]
    fn service_that_needs_clock_network_and_a_device_runs() {
        let show = || socket().call(&request("r", "services/online/show", "{}", ADMIN));
        let runs = || show().contains(r#""State": "started""#) && !show().contains("WaitsFor");
        until("it runs", runs);
        board().run("mv /dev/full /dev/away");
        until("it waits", || show().contains(r#""WaitsFor": ["device:/dev/full"]"#));
        board().run("mv /dev/away /dev/full");
        until("it is back", runs);
    }

    #[test]
    #[ignore = "needs a booted board"]
    fn reference_exchange_is_the_same_to_the_byte() {
        let mut caller = socket();
        let login = r#"{ "username":"fadmin", "password":"secret" }"#;
        assert!(session_of(&caller.call(&frame("login", login))).is_some());
        let mut reported = socket();
        reported.send(&format!(r#"<!--"CON"--"0"--"{ADMIN}"-->"#));
        reported.expect_nothing();

        let start = format!(
            r#"<!--"MSG"--"760"--"system.library/services/start"-->{{ "serviceName":"hello", "sessionid":"{ADMIN}" }}<--!>"#
        );
        assert_eq!(caller.call(&start), OK);
        let push = reported.push(r#""service":"hello","state":"started""#);
        let pid = process::children(keeper());
        let hello = pid.into_iter().find(|pid| process::command_line(*pid).ends_with(" hello")).unwrap();
        assert!(push.contains(&format!(r#""pid":{hello}}}"#)), "{push}");

        let stop = frame("services/stop", &format!(r#"{{ "serviceName":"hello", "sessionid":"{ADMIN}" }}"#));
        assert_eq!(caller.call(&stop), OK);
        reported.push(r#"{"service":"hello","state":"stopped","pid":0,"reason":"signal 15""#);
        until("hello is gone", || !process::is_alive(hello));
    }

    #[test]
    #[ignore = "needs a booted board"]
    fn ctl_controls_the_board_from_this_machine() {
        let person = Person(Directory::new());
        person.done(&["login", "fadmin"], "secret\n");
        assert!(person.done(&["list"], "").contains("family"));
        person.done(&["start", "family"], "");
        assert!(person.done(&["status", "family"], "").contains("started"));
        person.done(&["stop", "family"], "");
        // What the wire carries is what it carries on a workstation.
        assert_eq!(person.done(&["--json", "--session", ADMIN, "start", "family"], "").trim_end(), OK);
        person.done(&["stop", "family"], "");
        assert_eq!(person.run(&["status", "family"], "").code, Some(3), "LSB: it does not run");
    }

    #[test]
    #[ignore = "needs a booted board"]
    fn board_reports_its_name() {
        let answer = socket().call(&request("r", "board/status", "{}", ADMIN));
        let name = board().run("/sbin/friendlet --version");
        let name = name.split("(board ").nth(1).and_then(|rest| rest.split(',').next()).unwrap().to_owned();
        assert!(answer.contains(&format!(r#""Board": "{name}""#)), "{answer}");
        assert!(answer.contains(r#""DeviceFile": "given""#), "{answer}");
        assert!(answer.contains(r#""Complaint": """#) && answer.contains(r#""Notice": """#), "{answer}");
    }

    #[test]
    #[ignore = "needs a booted board"]
    fn log_is_read_over_the_wire_and_from_its_files() {
        let person = Person(Directory::new());
        let session = ["--session", ADMIN];
        let ask = |arguments: &[&str]| person.done(&[&session, arguments].concat(), "");
        ask(&["start", "family"]);
        ask(&["stop", "family"]);
        let wanted = [
            "api::services: service family: start by fadmin",
            ": family: started, pid ",
            ": family: exited, ",
        ];
        let holds = |text: &str| wanted.iter().all(|line| text.contains(line));

        let wire = person.0.file("wire");
        // The answer of a stop comes before the end of the service.
        until("the end of the service is logged", || {
            ask(&["server-log", "--raw", &wire]);
            holds(&read_frames(&wire))
        });
        let text = read_frames(&wire);
        assert!(holds(&text) && !text.contains("-- "), "{text}");
        assert!(
            !holds(&String::from_utf8_lossy(&fs::read(&wire).unwrap())),
            "its texts are not on the board"
        );
        // The same from its files, which are in memory.
        let file = person.0.file("file");
        until("the upkeep has written it", || holds(&log_file("log", &file)));
        let frames = fs::metadata(&file).unwrap().len();
        println!("{} bytes of frames are {} of lines", frames, read_frames(&file).len());
    }

    #[test]
    #[ignore = "needs a booted board"]
    fn memory_with_every_slot_in_use_is_within_the_bound_of_check() {
        let server = server();
        let resident = |pid| process::status(pid, "VmRSS");
        let idle = resident(server);
        // A page that two of them share counts as a half for each.
        let share = |pid: u32| {
            let text = board().run(&format!("cat /proc/{pid}/smaps_rollup"));
            let line = text.lines().find_map(|line| line.strip_prefix("Pss:"));
            line.unwrap().trim().strip_suffix(" kB").unwrap().parse::<u64>().unwrap()
        };
        let together = share(keeper()) + share(server);
        let table = board().run("/sbin/friendlet check /data/friendlet.toml");
        let slots = reported(&table, "receive buffer of a connection") / {
            let line = table.lines().find(|line| line.starts_with("receive buffer")).unwrap();
            line.split_whitespace().rev().nth(1).unwrap().parse::<u64>().unwrap()
        };
        // The overflow slots have no socket with a session.
        let slots = slots - OVERFLOW_SLOTS as u64;
        let mut sockets = Vec::new();
        for number in 0..slots {
            let stream = Stream::tls(board().server());
            let path = format!("/fcws?sessionid={ADMIN}");
            sockets.push(
                Socket::try_open(stream, &path).unwrap_or_else(|error| panic!("slot {number}: {error}")),
            );
        }
        for socket in &mut sockets {
            socket.bind(ADMIN);
            assert!(socket.call(&request("r", "services/list", "{}", ADMIN)).contains("family"));
        }
        let full = resident(server);
        let init = resident(1);
        let free = board().run("grep -E '^Mem(Total|Available)' /proc/meminfo");
        println!(
            "resident: keeper and server {together} kB idle; server {idle} kB idle, {full} kB with {} slots in use over TLS, init {init} kB; {}",
            slots,
            free.trim().replace('\n', ", ")
        );
        // The promise is one of boards with 64 MB; those with more have 64 bits here, and larger programs.
        let memory: u64 = free.split_whitespace().nth(1).unwrap().parse().unwrap();
        let most = if memory < 64 * 1024 { 2048 } else { 2304 };
        assert!(together < most, "{together} kB idle");
        let bound = reported(&table, "all, bytes") / 1024;
        assert!(full <= bound + SLACK_KB, "{full} kB resident, {bound} kB reported");
    }

    #[test]
    #[ignore = "needs a booted board"]
    fn services_outlive_a_server_that_is_killed_but_not_their_keeper() {
        let mut first = socket();
        assert_eq!(first.service("start", "family"), OK);
        let status = first.call(&request("r", "services/family/status", "{}", ADMIN));
        let leader = status.split(r#""Pid": "#).nth(1).unwrap().split(',').next().unwrap().parse().unwrap();
        let family = process::group(leader);
        assert_eq!(family.len(), 2, "{status}");
        let before = server();
        board().run(&format!("kill -9 {before}"));
        next_server(before);
        let status = call("services/family/status");
        assert_eq!(
            (member(&status, "Pid"), member(&status, "Restarts")),
            (leader.to_string(), "0".to_owned())
        );
        assert!(family.iter().all(|pid| process::is_alive(*pid)));
        restart_after("true");
        let after = server();
        assert!(process::is_alive(after));
        assert!(family.into_iter().all(|pid| !process::is_alive(pid)));
        assert_eq!(socket().service("stop", "hello"), OK);
    }

    #[test]
    #[ignore = "needs a booted board"]
    fn upgrade_keeps_services_and_sessions() {
        let mut first = socket();
        let login = r#"{ "username":"fadmin", "password":"secret" }"#;
        let session = session_of(&first.call(&frame("login", login))).unwrap();
        assert_eq!(first.service("start", "family"), OK);
        let running = || {
            let status = call("services/family/status");
            (member(&status, "State"), member(&status, "Pid"), member(&status, "Restarts"))
        };
        let (before, parent, server_before) = (running(), keeper(), server());
        assert!(first.call(&request("r", "board/upgrade", "{}", ADMIN)).contains(OK));
        first.expect_close(1012, wait::SOON);
        next_server(server_before);
        assert_eq!((running(), keeper()), (before, parent));
        let validated = socket().call(&request("r", "validate", "{}", &session));
        assert!(validated.contains("true"), "{validated}");
        assert_eq!(socket().service("stop", "family"), OK);
    }

    #[test]
    #[ignore = "needs a booted board"]
    fn broken_configuration_file_is_replaced_by_the_last_good_copy() {
        let file = "/data/friendlet.toml";
        restart_after(&format!("cp {file} /tmp/whole && echo 'level = 7' >> {file}"));
        let mut administrator = socket();
        administrator.bind(ADMIN);
        let notice = administrator.push("server-notice");
        assert!(notice.contains("last good copy in force") && notice.contains(file), "{notice}");
        let answer = administrator.call(&request("r", "board/status", "{}", ADMIN));
        assert!(answer.contains(r#""DeviceFile": "last good""#), "{answer}");

        restart_after(&format!("cp /tmp/whole {file}.new && sync && mv {file}.new {file}"));
        let answer = socket().call(&request("r", "board/status", "{}", ADMIN));
        assert!(answer.contains(r#""DeviceFile": "given""#), "{answer}");
    }

    /// Runs a script in the lab, kills the keeper, and waits for the server of the next one.
    #[track_caller]
    fn restart_after(script: &str) {
        let (before, keeper) = (server(), keeper());
        board().run(&format!("{script} && sync"));
        // It takes the lab with it, whose answer may get lost, and the script is run once more then.
        board().run(&format!("kill -9 {keeper}"));
        next_server(before);
    }
}
