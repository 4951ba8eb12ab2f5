//! Log: in files of bounded size, readable by administrators, and the same in frames and lines.

use std::fs;
use std::io::{Read as _, Write as _};
use std::path::PathBuf;
use std::process::Command;

use base64::prelude::{BASE64_STANDARD as BASE64, Engine as _};
use rustix::process::Signal;

use super::services::OK;
use crate::support::device::{ADMIN, GUEST, shell};
use crate::support::directory::Directory;
use crate::support::http::{login_form, session_of};
use crate::support::stream::Stream;
use crate::support::wait::{SOON, until};
use crate::support::ws::{frame, request};
use crate::support::{Device, Server};

const PATH: &str = "/system.library/board/log";

/// The value of a member of a reply that has it once.
fn member<'r>(reply: &'r str, name: &str) -> &'r str {
    let rest = reply.split(&format!(r#""{name}": "#)).nth(1).unwrap_or_else(|| panic!("{name}: {reply}"));
    rest.trim_start_matches('"').split(['"', ',', '}']).next().unwrap()
}

/// Returns the lines of a reply.
fn lines(reply: &str) -> String {
    String::from_utf8(BASE64.decode(member(reply, "Records")).unwrap()).unwrap()
}

/// A configuration file with a log in files.
fn device(directory: &Directory, keys: &str) -> Device {
    let mut device = Device::plain();
    device.tables =
        format!("[log]\nlevel = \"debug\"\nfile = \"{}\"\n{keys}\n{}", directory.file("log"), device.tables);
    device
}

/// Starts a server whose configuration file has a `[log]` of its own.
fn start(directory: Directory, device: &Device, binary: Option<PathBuf>) -> Server {
    let text = device.text(&directory.file("state")).replacen("[log]\nlevel = \"debug\"\n", "", 1);
    let file = directory.write("friendlet.toml", text);
    let mut command = binary.map_or_else(crate::support::server::friendlet, Command::new);
    command.args(["serve", "--config", &file]).env_remove("STATE_DIRECTORY");
    Server::start_command(directory, command)
}

#[test]
fn administrators_read_the_log_and_set_its_level() {
    let server = Server::start(&Device::plain());
    let ask = |rest: &str| server.post(PATH, &format!("sessionid={ADMIN}{rest}")).body;
    server.login("fadmin", "secret");
    let first = ask("");
    assert!(first.starts_with(r#"{ "Status": "ok", "Board": "#), "{first}");
    assert_eq!((member(&first, "Form"), member(&first, "Level")), ("text", "debug"));
    assert!(lines(&first).contains("api::login: user fadmin: logged in from 127.0.0.1\n"), "{first}");
    // What follows, and nothing twice.
    let next = member(&first, "Next").to_owned();
    let none = ask(&format!("&since={next}"));
    assert_eq!((member(&none, "From"), member(&none, "Next"), lines(&none).as_str()), (&*next, &*next, ""));
    let set = ask(&format!("&since={next}&level=error"));
    assert_eq!(
        (member(&set, "Level"), lines(&set).matches("log: level error by fadmin from 127.0.0.1").count()),
        ("error", 1)
    );
    server.login("fadmin", "secret");
    assert_eq!(lines(&ask(&format!("&since={}", member(&set, "Next")))), "");
    // A place of another run is the oldest record there is.
    assert!(lines(&ask("&since=9999999999999")).contains("logged in"));

    for wrong in ["&since=now", "&since=-1", "&level=loud"] {
        assert!(ask(wrong).contains("Function log returned: 22"), "{wrong}: {}", ask(wrong));
    }
    assert!(server.post(PATH, &format!("sessionid={GUEST}")).body.contains(r#""code":"4""#));
    assert!(server.post(PATH, "").body.contains(r#""code":"3""#));
    // A link in a page may look, and change nothing.
    assert!(server.get(&format!("{PATH}?sessionid={ADMIN}")).body.contains(r#""Level": "error""#));
    assert!(server.get(&format!("{PATH}?sessionid={ADMIN}&level=debug")).body.contains(r#""code":"5""#));
    let mut socket = server.bound(ADMIN);
    let answer = socket.call(&frame("board/log", &format!(r#"{{"sessionid":"{ADMIN}","level":"debug"}}"#)));
    assert!(answer.contains(r#""Level": "debug""#), "{answer}");
}

#[test]
fn one_answer_is_bounded_and_the_rest_follows() {
    let server = Server::start(&Device::plain());
    let mut socket = server.bound(ADMIN);
    // Lines that no rate limit holds back.
    for _ in 0..100 {
        socket.call(&request("r", "services/hello/start", "{}", ADMIN));
    }
    let mut since = "0".to_owned();
    let mut text = String::new();
    loop {
        let reply = server.post(PATH, &format!("sessionid={ADMIN}&since={since}")).body;
        let records = BASE64.decode(member(&reply, "Records")).unwrap();
        assert!(records.len() <= friendlet::api::LOG_ANSWER_BYTES);
        if records.is_empty() {
            break;
        }
        text += &lines(&reply);
        since = member(&reply, "Next").to_owned();
    }
    assert!(text.matches("service hello: start by fadmin from 127.0.0.1\n").count() == 100, "{text}");
    assert!(text.lines().all(|line| line.starts_with('[')), "{text}");
}

#[test]
fn files_are_of_bounded_size_and_number() {
    let directory = Directory::new();
    let path = PathBuf::from(directory.file("log"));
    let smallest = friendlet::log::LOG_FILE_BYTES_MIN;
    let device = device(&directory, &format!("file_bytes = {smallest}\nfiles = 3"));
    let mut server = start(directory, &device, None);
    let mut socket = server.bound(ADMIN);
    let old = |number: u32| path.with_extension(number.to_string());
    until("files are turned", || {
        for _ in 0..50 {
            socket.call(&request("r", "services/hello/start", "{}", ADMIN));
        }
        old(2).exists()
    });
    server.signal(Signal::TERM);
    assert!(server.wait(SOON).success(), "{}", server.log());
    let _directory = server.take_directory();
    assert!(fs::read_to_string(&path).unwrap().contains("serve::core: served "));
    assert!(!old(3).exists());
    for file in [path.clone(), old(1), old(2)] {
        let text = fs::read_to_string(&file).unwrap();
        assert!(text.len() <= smallest, "{}: {}", file.display(), text.len());
        assert!(text.starts_with("friendlet-log 1 form=text build=") && text.ends_with('\n'), "{text}");
    }
}

#[test]
fn log_that_cannot_be_written_is_reported_once() {
    let directory = Directory::new();
    let file = "/proc/friendlet/log";
    let mut device = device(&directory, "");
    device.tables = device.tables.replacen(&directory.file("log"), file, 1);
    let server = start(directory, &device, None);
    until("it is reported", || server.log().contains("the log stays in memory"));
    assert_eq!(server.log().matches("the log stays in memory").count(), 1);
    let reply = server.post(PATH, &format!("sessionid={ADMIN}")).body;
    assert!(lines(&reply).contains(file), "{reply}");
}

/// Causes every log line of the server that a client can cause. Returns the directory of the run, with
/// its log.
fn exchange(binary: PathBuf) -> Directory {
    let directory = Directory::new();
    let tables = [
        shell("nobody", "exec sleep 1", "user = \"nobody-of-this-name\""),
        shell("gone", "exit 3", "restart = \"never\""),
        shell("tool", "exec sleep 1000", "stop_timeout_s = 1\ncommands = { none = [\"/nowhere/at-all\"] }"),
        shell("deaf", "trap '' TERM; while :; do sleep 1; done", "stop_timeout_s = 1"),
    ]
    .concat();
    let mut device = device(&directory, "").with(&tables);
    device.tls = true;
    let mut server = start(directory, &device, Some(binary));
    let post = |path: &str, form: &str| server.post(&format!("/system.library/{path}"), form).body;
    let call = |path: &str| post(path, &format!("sessionid={ADMIN}"));

    server.login("fadmin", "secret");
    for _ in 0..4 {
        post("login", &login_form("guest", "wrong"));
    }
    for path in ["nobody/start", "gone/start", "tool/start", "deaf/start", "deaf/stop"] {
        call(&format!("services/{path}"));
        // What comes of it is logged in its order.
        until("its state is final", || {
            let status = call(&format!("services/{}/status", path.split('/').next().unwrap()));
            ["stopped", "failed", "started", "errno"].iter().any(|word| status.contains(&format!("\"{word}")))
        });
    }
    post("services/tool/command", &format!("sessionid={ADMIN}&cmd=none"));
    post("services/tool/install", &format!("sessionid={ADMIN}"));
    post("user/updatepassword", &format!("sessionid={ADMIN}&username=guest&password=better"));
    let mut socket = server.bound(ADMIN);
    for text in ["nonsense", "<!--broken", "{\"type\":7}"] {
        socket.send(text);
    }
    // Some are answered and some are not; this is.
    socket.send(&request("r", "board/status", "{}", ADMIN));
    while !socket.text().contains("DeviceFile") {}
    drop(socket);
    // No TLS, and so a complaint of it.
    let mut stream = Stream::plain(server.address());
    stream.write_all(b"\x16\x03\x01\0\x05\x01\0\0\x01\0").unwrap();
    let _ = stream.read_to_end(&mut Vec::new());
    post("board/log", &format!("sessionid={ADMIN}&level=info"));
    post("board/log", &format!("sessionid={ADMIN}&level=debug"));
    until("a line of the tick", || {
        let log = fs::read(server.directory().file("log")).unwrap();
        log.len() > 1000
    });
    server.signal(Signal::TERM);
    assert!(server.wait(SOON * 2).success(), "{}", server.log());
    server.take_directory()
}

/// Returns the lines of a run for a comparison, without time, process id, path and key. Periodic lines
/// are left out.
fn comparable(text: &str, directory: &Directory) -> Vec<String> {
    let path = directory.path().display().to_string();
    let line = |line: &str| {
        let line = line.split_once("] ")?.1.replace(&path, "DIRECTORY");
        let words = line.split(' ').map(|word| {
            let digits = word.trim_end_matches([',', ':']);
            let is_hash = digits.len() == 64 && digits.bytes().all(|byte| byte.is_ascii_hexdigit());
            if is_hash { "HASH" } else { word }
        });
        let mut line = words.collect::<Vec<_>>().join(" ");
        if let Some(at) = line.find("started, pid ") {
            line.truncate(at + "started, pid ".len());
        }
        if line.contains("serve::core: served ") {
            // How often a status was asked for is a matter of time, too.
            line.retain(|c| !c.is_ascii_digit());
        }
        (!line.contains("serve::core: so far ")).then_some(line)
    };
    text.lines().filter_map(line).collect()
}

#[test]
#[ignore = "needs two builds: cargo xtask logs"]
fn frames_are_the_lines_of_a_text_log() {
    let program =
        |name: &str| PathBuf::from(std::env::var_os(name).unwrap_or_else(|| panic!("{name} is not set")));
    let lines = exchange(program("FRIENDLET_TEXT"));
    let frames = exchange(program("FRIENDLET_DEFMT"));
    let text = fs::read_to_string(lines.file("log")).unwrap();
    let read = |rest: &[&str]| {
        let mut command = Command::new(program("FRIENDLET_FRAMES"));
        let output = command
            .args(["--lines", "--symbols"])
            .arg(program("FRIENDLET_SYMBOLS"))
            .args(rest)
            .output()
            .unwrap();
        assert!(output.status.success(), "{output:?}");
        String::from_utf8(output.stdout).unwrap()
    };
    let decoded = read(&[&frames.file("log")]);
    let (wanted, found) = (comparable(&text, &lines), comparable(&decoded, &frames));
    assert_eq!(found, wanted, "\n{decoded}\n{text}");
    assert!(wanted.len() >= 25, "{text}");
    // Every level, and every layer that logs.
    for part in
        ["error ", "warn  ", "info  ", "debug ", "api::", "service::", "serve::", "connection::", "net::"]
    {
        assert!(wanted.iter().any(|line| line.contains(part)), "{part}: {text}");
    }
    let bytes = fs::metadata(frames.file("log")).unwrap().len();
    println!(
        "{} records: {bytes} bytes in frames, {} in lines; {} and {} a record",
        wanted.len(),
        text.len(),
        bytes as usize / wanted.len(),
        text.len() / wanted.len()
    );

    // Joined anywhere, it is read from the next record on.
    let whole = fs::read(frames.file("log")).unwrap();
    let part = frames.write("part", &whole[whole.len() / 2..]);
    let id =
        String::from_utf8_lossy(&whole).split("build=").nth(1).unwrap().split(' ').next().unwrap().to_owned();
    let elf = program("FRIENDLET_SYMBOLS").join(&id).display().to_string();
    let joined = read(&["--elf", &elf, &part]);
    let joined = comparable(&joined, &frames);
    assert!(!joined.is_empty() && wanted.ends_with(&joined), "{joined:?}");

    // Another program is refused, and so is none.
    let mut command = Command::new(program("FRIENDLET_FRAMES"));
    let output =
        command.args(["--elf"]).arg(program("FRIENDLET_TEXT")).arg(frames.file("log")).output().unwrap();
    assert!(
        !output.status.success()
            && String::from_utf8_lossy(&output.stderr).contains("its lines would be wrong"),
        "{output:?}"
    );
}

#[test]
fn refusals_and_changes_have_their_user_and_address() {
    let server = Server::start(&Device::plain());
    let login = |form: &str| server.post("/system.library/login", form).body;
    assert!(login("username=guest&password=wrong&deviceid=x").contains("fail"));
    let session = session_of(&login("username=guest&password=guest&deviceid=x")).unwrap();
    let call =
        |path: &str| server.post(&format!("/system.library/{path}"), &format!("sessionid={session}")).body;
    assert!(call("board/status").contains("Admin rights"));
    assert!(call("services/hello/start").contains("Admin rights"));
    assert_eq!(call("services/allowed/start"), OK);
    call("user/logout");
    for line in [
        "user guest: login from 127.0.0.1 refused (0 similar lines suppressed)",
        "user guest: logged in from 127.0.0.1",
        "user guest: system.library/board/status from 127.0.0.1 refused (0 similar lines suppressed)",
        "user guest: system.library/services/hello/start from 127.0.0.1 refused (0 similar lines suppressed)",
        "service allowed: start by guest from 127.0.0.1",
        "user guest: logged out by guest from 127.0.0.1",
    ] {
        until(line, || server.log().lines().any(|logged| logged.ends_with(line)));
    }
    // One that guesses does not fill the log.
    for number in 0..30 {
        login(&format!("username=nobody{number}&password=wrong&deviceid=x"));
    }
    let log = server.log();
    assert!(log.matches(": login from 127.0.0.1 refused").count() < 15, "{log}");
    server.stop();
}
