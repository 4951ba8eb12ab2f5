//! Log: in files of bounded size, readable by administrators, and the same in frames and lines.

use std::fs;
use std::io::{Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::process::Command;

use base64::prelude::{BASE64_STANDARD as BASE64, Engine as _};
use rustix::process::Signal;

use super::services::OK;
use super::supervision::send;
use crate::support::device::{ADMIN, GUEST, shell, token, user};
use crate::support::directory::Directory;
use crate::support::http::{login_form, session_of};
use crate::support::record::is_record;
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
pub(super) fn device(directory: &Directory, keys: &str) -> Device {
    let mut device = Device::plain();
    device.tables =
        format!("[log]\nlevel = \"debug\"\nfile = \"{}\"\n{keys}\n{}", directory.file("log"), device.tables);
    device
}

/// Starts a server whose configuration file has a `[log]` of its own.
pub(super) fn start(directory: Directory, device: &Device, binary: Option<PathBuf>) -> Server {
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
        socket.call(&request("r", "board/log", r#"{"level":"debug"}"#, ADMIN));
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
    assert!(text.matches("log: level debug by fadmin from 127.0.0.1\n").count() == 100, "{text}");
    assert!(text.lines().all(is_record), "{text}");
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
            socket.call(&request("r", "board/log", r#"{"level":"debug"}"#, ADMIN));
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
fn next_server_goes_on_in_the_newest_file() {
    let directory = Directory::new();
    let path = PathBuf::from(directory.file("log"));
    let device = device(&directory, "");
    let mut directory = Some(directory);
    for run in 1..=3 {
        let server = start(directory.take().unwrap(), &device, None);
        let written = || fs::read_to_string(&path).unwrap_or_default();
        until("the run is in the file", || written().matches("friendlet-log 1 form=text").count() == run);
        // The last one is killed, and the keeper starts the next one.
        if run == 3 {
            send(server.pid(), Signal::KILL);
            until("the next one is", || written().matches("friendlet-log 1 form=text").count() == 4);
        }
        directory = Some(server.stop());
    }
    let text = fs::read_to_string(&path).unwrap();
    assert_eq!(text.matches("serve::core: served ").count(), 3, "{text}");
    assert_eq!(text.matches("\n\nfriendlet-log 1").count(), 3, "{text}");
    assert!(!path.with_extension("1").exists());
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
    post("user/updatepassword", &format!("sessionid={ADMIN}&username=guest&password=better-1"));
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

/// Prints the log of a server of frames, whose image has these format strings.
fn print_by_texts(binary: PathBuf, texts: &Path) {
    let directory = Directory::new();
    let [image, cache] = ["image", "cache"].map(|name| directory.path().join(name));
    fs::create_dir_all(image.join("friendlet")).unwrap();
    fs::copy(texts, image.join("friendlet").join(texts.file_name().unwrap())).unwrap();
    let device = device(&directory, "");
    let text = device.text(&directory.file("state")).replacen("[log]\nlevel = \"debug\"\n", "", 1);
    let file = directory.write("friendlet.toml", text);
    let mut command = Command::new("unshare");
    command.args(["--user", "--map-root-user", "--mount", "--propagation", "private", "sh", "-c"]);
    command.arg("mount --bind \"$0\" /usr/share && exec \"$@\"").arg(&image).arg(binary);
    command.args(["serve", "--config", &file]).env_remove("STATE_DIRECTORY");
    let server = Server::start_command(directory, command);
    server.login("fadmin", "secret");
    let line = "info  api::login: user fadmin: logged in from 127.0.0.1\n";
    let print = |arguments: &[&str]| {
        let mut command = crate::support::server::friendlet();
        command.args(["ctl", "--url", &format!("unix:{}", server.local_socket()), "server-log"]);
        let output = command.args(arguments).env("XDG_CACHE_HOME", &cache).output().unwrap();
        assert!(output.status.success(), "{output:?}");
        String::from_utf8(output.stdout).unwrap()
    };
    let printed = print(&[]);
    assert!(printed.contains(line) && printed.lines().all(is_record), "{printed}");
    // The next one has them from the cache.
    fs::remove_dir_all(&image).unwrap();
    assert!(cache.join("friendlet").join(texts.file_name().unwrap()).is_file());
    until("the record is in the file", || print(&["--earlier"]).contains(line));
    let printed = print(&["--earlier"]);
    assert!(printed.starts_with("-- form=defmt build="), "{printed}");
    fs::remove_dir_all(&cache).unwrap();
    let mut command = crate::support::server::friendlet();
    command.args(["ctl", "--url", &format!("unix:{}", server.local_socket()), "server-log"]);
    let output = command.env("XDG_CACHE_HOME", &cache).output().unwrap();
    let error = String::from_utf8(output.stderr).unwrap();
    assert!(!output.status.success() && error.contains("the image of the board has none"), "{error}");
    server.stop();
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

    // `ctl` prints them with the format strings that lie in an image.
    print_by_texts(program("FRIENDLET_DEFMT"), &program("FRIENDLET_SYMBOLS").join(format!("log-texts-{id}")));

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
fn audit_trail_has_every_login_change_and_refusal() {
    let directory = Directory::new();
    let path = directory.file("audit");
    let mut device = device(&directory, &format!("audit = \"{path}\""));
    device = device.with(&shell("short", "exit 3", "restart = \"never\""));
    device =
        device.with(&(user("eve", "viewer", "eve", "services = [\"*\"]") + &token("eve", "eve's token")));
    device = device.with(&(token("eve", "old token") + "expires = 2026-01-01\n"));
    let server = start(directory, &device, None);
    let login = |form: &str| server.post("/system.library/login", form).body;
    login("username=guest&password=wrong&deviceid=x");
    login("username=x%20user%3Droot&password=wrong&deviceid=x");
    let session = session_of(&login("username=guest&password=guest&deviceid=x")).unwrap();
    let call = |path: &str, rest: &str, session: &str| {
        server.post(&format!("/system.library/{path}"), &format!("sessionid={session}{rest}")).body
    };
    call("board/status", "", &session);
    call("services/hello/start", "", &session);
    call("services/allowed/start", "", &session);
    call("services/short/start", "", "eve's token");
    call("services/short/status", "", "eve's token");
    call("services/short/status", "", "old token");
    call("services/short/start", "", ADMIN);
    call("services/hello/stop", "&username=guest", ADMIN);
    call("services/hello/status", "", ADMIN);
    call("board/log", "&level=debug", ADMIN);
    call("board/configuration", "&text=x", ADMIN);
    call("user/logout", "&username=fadmin", &session);
    call("user/updatepassword", "&username=guest&password=better-1", ADMIN);
    // A flood of refusals leaves the rest as it is.
    for number in 0..200 {
        login(&format!("username=nobody{number}&password=wrong&deviceid=x"));
    }
    login("username=guest&password=better-1&deviceid=x");
    let text = || fs::read_to_string(&path).unwrap_or_default();
    let last = "user=guest from=127.0.0.1 call=login outcome=ok\n";
    until("the last line is written", || text().matches(last).count() == 2);
    let text = text();
    assert!(text.lines().all(is_record), "{text}");
    let words: Vec<_> = text.lines().map(|line| line.split_once("] ").unwrap().1).collect();
    let is_guess = |line: &&&str| line.starts_with("user=nobody");
    let guesses = words.iter().filter(is_guess).count();
    assert!((1..=60).contains(&guesses), "{text}");
    let words: Vec<_> = words.iter().filter(|line| !is_guess(line)).copied().collect();
    let [mine, admin] = ["user=guest from=127.0.0.1", "user=fadmin from=127.0.0.1"];
    let expected = [
        format!("{mine} call=login outcome=refused"),
        "user=x_user?root from=127.0.0.1 call=login outcome=refused".to_owned(),
        format!("{mine} call=login outcome=ok"),
        format!("{mine} call=board/status outcome=refused"),
        format!("{mine} call=services/start on=hello outcome=refused"),
        format!("{mine} call=services/start on=allowed outcome=begun"),
        format!("{mine} call=services/start on=allowed outcome=ok"),
        "user=eve from=127.0.0.1 call=services/start on=short outcome=refused".to_owned(),
        "user=eve from=127.0.0.1 call=services/status reason=token_expired outcome=refused".to_owned(),
        format!("{admin} call=services/start on=short outcome=begun"),
        format!("{admin} call=services/start on=short outcome=failed"),
        format!("{admin} call=services/stop on=hello outcome=ok"),
        format!("{admin} call=board/log on=debug outcome=ok"),
        format!("{admin} call=board/configuration outcome=begun"),
        format!("{admin} call=board/configuration outcome=failed"),
        format!("{mine} call=user/logout outcome=ok"),
        format!("{admin} call=user/updatepassword on=guest outcome=begun"),
        format!("{admin} call=user/updatepassword on=guest outcome=ok"),
        format!("{mine} call=login outcome=ok"),
    ];
    assert_eq!(words, expected, "{text}");
    let mode = std::os::unix::fs::PermissionsExt::mode(&fs::metadata(&path).unwrap().permissions());
    assert_eq!(mode & 0o777, 0o600);
    server.stop();
}

/// Output of `ctl server-log` with these arguments at the local socket.
fn server_log(server: &Server, arguments: &[&str]) -> (bool, String, String) {
    let mut command = crate::support::server::friendlet();
    command.args(["ctl", "--url", &format!("unix:{}", server.local_socket()), "server-log"]).args(arguments);
    let output = command.output().unwrap();
    let [out, error] = [output.stdout, output.stderr].map(|bytes| String::from_utf8(bytes).unwrap());
    (output.status.success(), out, error)
}

#[test]
fn administrators_read_the_files_of_earlier_runs_and_the_audit_trail() {
    let directory = Directory::new();
    let path = PathBuf::from(directory.file("log"));
    let smallest = friendlet::log::LOG_FILE_BYTES_MIN;
    let audit = directory.file("audit");
    let device = device(&directory, &format!("file_bytes = {smallest}\naudit = \"{audit}\""));
    let first = start(directory, &device, None);
    first.login("fadmin", "secret");
    let old = path.with_extension("1");
    let mut socket = first.bound(ADMIN);
    until("files are turned", || {
        for _ in 0..50 {
            socket.call(&request("r", "board/log", r#"{"level":"debug"}"#, ADMIN));
        }
        old.exists()
    });
    let server = start(first.stop(), &device, None);
    let files = ["3", "2", "1"].map(|end| fs::read_to_string(path.with_extension(end)).unwrap_or_default());
    let newest = fs::read_to_string(&path).unwrap();
    let (is_ok, out, error) = server_log(&server, &["--earlier"]);
    assert!(is_ok && error.is_empty(), "{error}");
    assert!(out.starts_with(&(files.concat() + &newest)), "{out}");
    assert_eq!(out.matches("serve::core: served ").count(), 1, "{out}");
    let (is_ok, out, error) = server_log(&server, &["--audit"]);
    assert!(is_ok && error.is_empty(), "{error}");
    assert!(out.contains(" user=fadmin from=127.0.0.1 call=login outcome=ok\n"), "{out}");
    assert_eq!(out, fs::read_to_string(&audit).unwrap());
    let copy = server.directory().file("copy");
    assert!(server_log(&server, &["--audit", "--raw", &copy]).0);
    assert_eq!(fs::read_to_string(copy).unwrap(), out);

    let ask = |rest: &str| server.post(PATH, &format!("sessionid={ADMIN}{rest}")).body;
    let page = ask("&source=files&file=1");
    assert_eq!((member(&page, "Form"), member(&page, "From")), ("text", "0"));
    assert!(files[2].starts_with(&lines(&page)) && lines(&page).len() > 1000, "{page}");
    let page = ask("&source=files&file=9");
    assert_eq!((member(&page, "File"), member(&page, "Next"), lines(&page).as_str()), ("0", "0", ""));
    for wrong in ["&source=nothing", "&source=files&file=x", "&source=files&since=18446744073709551615"] {
        assert!(ask(wrong).contains("Function log returned: 22"), "{wrong}: {}", ask(wrong));
    }
    let refused = server.post(PATH, &format!("sessionid={GUEST}&source=audit")).body;
    assert!(refused.contains(r#""code":"4""#), "{refused}");
    server.stop();
}

#[test]
fn server_without_files_says_which_key_has_them() {
    let server = Server::start(&Device::plain());
    for (option, key) in [("--earlier", "[log] file"), ("--audit", "[log] audit")] {
        let (is_ok, _, error) = server_log(&server, &[option]);
        assert!(!is_ok && error.contains("writes no such files") && error.contains(key), "{error}");
    }
}

#[test]
fn starts_of_one_service_do_not_wipe_the_rest() {
    let server = Server::start(&Device::plain().with(&shell("flapping", "exec sleep 1000", "")));
    server.login("fadmin", "secret");
    for _ in 0..120 {
        server.call("services/flapping/start");
        server.call("services/flapping/stop");
    }
    server.call("services/hello/start");
    let mut since = "0".to_owned();
    let mut text = String::new();
    loop {
        let page = server.post(PATH, &format!("sessionid={ADMIN}&since={since}")).body;
        if lines(&page).is_empty() {
            break;
        }
        text += &lines(&page);
        since = member(&page, "Next").to_owned();
    }
    assert!(text.contains("user fadmin: logged in from 127.0.0.1\n"), "{text}");
    assert!(text.contains("service hello: start by fadmin from 127.0.0.1\n"), "{text}");
    let last = "flapping (what follows is left out for some minutes): ";
    let records = text.lines().filter(|line| line.contains("flapping")).count();
    assert_eq!((records, text.matches(last).count()), (40, 1), "{text}");
    // Standard error has the same.
    assert_eq!(server.log().lines().filter(|line| line.contains("flapping")).count(), 40);
    server.stop();
}

#[test]
fn line_has_the_time_of_day_unless_the_journal_has_it() {
    let server = Server::start(&Device::plain());
    let log = server.log();
    let records: Vec<_> = log.lines().filter(|line| is_record(line)).collect();
    assert!(!records.is_empty() && records.iter().all(|line| line.starts_with("20")), "{log}");
    server.stop();
    // The socket of a journal is another file than a pipe with its number in the environment.
    let start = |stream: &str| {
        let directory = Directory::new();
        let file = directory.write("friendlet.toml", Device::plain().text(&directory.file("state")));
        let error = fs::File::create(directory.file("journal")).unwrap();
        let found = std::os::linux::fs::MetadataExt::st_ino(&error.metadata().unwrap());
        let device = std::os::linux::fs::MetadataExt::st_dev(&error.metadata().unwrap());
        let stream = stream.replace("DEVICE", &device.to_string()).replace("INODE", &found.to_string());
        let mut command = crate::support::server::friendlet();
        command.args(["serve", "--config", &file]).env_remove("STATE_DIRECTORY");
        let mut child = command.env("JOURNAL_STREAM", stream).stderr(error).spawn().unwrap();
        let log = || fs::read_to_string(directory.file("journal")).unwrap();
        until("it serves", || log().contains("listening on "));
        send(child.id(), Signal::TERM);
        assert!(child.wait().unwrap().success());
        log()
    };
    let log = start("DEVICE:INODE");
    assert!(log.starts_with("<6>[    0.") && log.lines().all(|line| !line.starts_with("20")), "{log}");
    assert!(log.contains("\n<4>["), "the journal has the level of a warning: {log}");
    let log = start("DEVICE:7");
    assert!(log.starts_with("20"), "{log}");
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
        "user guest: login from 127.0.0.1 refused",
        "user guest: logged in from 127.0.0.1",
        "user guest: system.library/board/status from 127.0.0.1 refused",
        "user guest: system.library/services/hello/start from 127.0.0.1 refused",
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
