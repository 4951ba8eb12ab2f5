//! Standard error and log files that block, are full or are closed: the server goes on.

use std::fs::{self, OpenOptions};
use std::io::{PipeReader, Read as _};
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use friendlet::sys::LOG_FLUSH_TIMEOUT;
use rustix::fs::{CWD, FileType, Mode, mknodat};
use rustix::process::Signal;

use super::services::{OK, start, status, until_state};
use crate::support::device::{ADMIN, service, shell};
use crate::support::directory::Directory;
use crate::support::hanging_mount::{self, HangingMount};
use crate::support::server::friendlet;
use crate::support::wait::{SOON, until};
use crate::support::ws::{Frame, TEXT, request};
use crate::support::{Device, Server, process};

/// Calls that log more than a pipe and the queue before it hold.
const CALLS: usize = 3000;
const BATCH: usize = 50;
/// Most time of a request that nothing delays, on a slow machine.
const QUICK: Duration = Duration::from_secs(5);
/// Beginning of each status.
const OK_STATUS: &str = r#"{ "Status": "ok""#;
/// The line of one call.
const LINE: &str = "log: level debug by fadmin from 127.0.0.1\n";

/// Makes calls of which each is logged.
#[track_caller]
fn call(server: &Server, calls: usize) {
    let mut socket = server.bound(ADMIN);
    // An answer without records: those from the end on.
    let answer = socket.call(&request("s", "board/log", "{}", ADMIN));
    let next = answer.split("\"Next\": ").nth(1).unwrap().split(',').next().unwrap();
    let parameters = format!(r#"{{"level":"debug","since":"{next}"}}"#);
    let frame = Frame::new(TEXT, request("r", "board/log", &parameters, ADMIN)).bytes();
    for _ in 0..calls / BATCH {
        socket.send_raw(&frame.repeat(BATCH));
        (0..BATCH).for_each(|_| assert!(socket.reply().contains("\"r\"")));
    }
    let start = Instant::now();
    assert_eq!(server.get("/healthz").status, 200);
    assert!(start.elapsed() < QUICK, "{:?}", start.elapsed());
}

/// Reads a pipe to its end.
fn read(mut pipe: PipeReader) -> String {
    let mut text = String::new();
    pipe.read_to_string(&mut text).unwrap();
    text
}

/// Sum of the lines that the notices report as lost.
fn lost(text: &str) -> usize {
    let notices =
        text.lines().filter(|line| line.ends_with(" lines were lost: standard error did not accept them"));
    notices
        .map(|line| line.split(" log: ").nth(1).unwrap().split(' ').next().unwrap().parse::<usize>().unwrap())
        .sum()
}

/// Returns whether the line of each call has come. On a busy machine some may be lost, and are counted.
fn has_lines(text: &str) -> bool {
    text.matches(LINE).count() + lost(text) >= CALLS
}

#[track_caller]
fn ends_well(server: &mut Server) -> Duration {
    server.signal(Signal::TERM);
    let start = Instant::now();
    let status = server.wait(SOON);
    assert_eq!(status.code(), Some(0), "{status}");
    start.elapsed()
}

#[test]
fn unread_pipe_of_standard_error_stops_nothing() {
    let (reader, writer) = std::io::pipe().unwrap();
    let mut server = Server::start_with_stderr(&Device::plain(), writer);
    call(&server, CALLS);
    // Once it is read, lines come again, the first with the number of those that are lost.
    let text = thread::spawn(move || read(reader));
    thread::sleep(Duration::from_millis(500));
    call(&server, BATCH);
    ends_well(&mut server);
    let text = text.join().unwrap();
    let (lines, lost) = (text.matches(LINE).count(), lost(&text));
    assert!(lost > 0 && lines + lost >= CALLS + BATCH, "{lines} lines, {lost} lost");
    assert!(text.contains("\nlistening on ") && text.contains("serve::core: served "), "{text}");
    // Whole lines before and after a loss.
    let is_line = |line: &str| crate::support::record::is_record(line) || line.starts_with("listening on ");
    assert!(text.lines().all(is_line) && text.ends_with('\n'), "{text}");
}

/// The keeper has lines of its own: here about a process that it cannot attribute.
#[test]
fn unread_pipe_of_standard_error_does_not_stop_the_keeper() {
    let (reader, writer) = std::io::pipe().unwrap();
    let daemon = "(setsid env -i PATH=\"$PATH\" sleep 1000 &); exec sleep 1000";
    let table = shell("web", daemon, "") + "[board]\ncgroups = false\n";
    let mut server = Server::start_with_stderr(&Device::plain().with(&table), writer);
    call(&server, CALLS);
    for _ in 0..3 {
        start(&server, "web");
        assert_eq!(server.call("services/web/stop"), OK);
        until_state(&server, "web", "stopped");
    }
    ends_well(&mut server);
    drop(reader);
}

#[test]
fn unread_pipe_delays_the_end_by_the_timeout_of_the_flush() {
    let (reader, writer) = std::io::pipe().unwrap();
    let mut server = Server::start_with_stderr(&Device::plain(), writer);
    call(&server, CALLS);
    let elapsed = ends_well(&mut server);
    assert!((LOG_FLUSH_TIMEOUT..LOG_FLUSH_TIMEOUT + QUICK).contains(&elapsed), "{elapsed:?}");
    assert!(!read(reader).contains("serve::core: served "));
}

#[test]
fn last_lines_reach_a_reader_that_is_slow() {
    let (reader, writer) = std::io::pipe().unwrap();
    let mut server = Server::start_with_stderr(&Device::plain(), writer);
    // As much as the queue holds beside the pipe.
    call(&server, 1100);
    let text = thread::spawn(move || {
        thread::sleep(LOG_FLUSH_TIMEOUT / 4);
        read(reader)
    });
    ends_well(&mut server);
    let text = text.join().unwrap();
    assert!(text.contains("serve::core: served ") && text.ends_with('\n'), "{text}");
    assert_eq!((text.matches(LINE).count(), lost(&text)), (1100, 0), "{text}");
}

#[test]
fn full_standard_error_ends_nothing() {
    let full = OpenOptions::new().write(true).open("/dev/full").unwrap();
    let mut server = Server::start_with_stderr(&Device::plain(), full);
    call(&server, CALLS);
    assert!(ends_well(&mut server) < LOG_FLUSH_TIMEOUT + QUICK);
}

#[test]
fn reader_of_standard_error_that_has_gone_ends_nothing() {
    let (reader, writer) = std::io::pipe().unwrap();
    let mut server = Server::start_with_stderr(&Device::plain(), writer);
    call(&server, BATCH);
    drop(reader);
    call(&server, CALLS);
    ends_well(&mut server);
    // And from the first line on.
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let mut server = Server::start_with_stderr(&Device::plain(), writer);
    call(&server, BATCH);
    ends_well(&mut server);
}

#[test]
fn errors_that_standard_error_does_not_accept_have_their_exit_code() {
    let directory = Directory::new();
    let broken = directory.write("broken.toml", "[listen]\naddress = 7\n");
    let in_use = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let device = Device { address: in_use.local_addr().unwrap().to_string(), ..Device::plain() };
    let second = directory.write("second.toml", device.text(&directory.file("state")));
    for arguments in [
        vec!["serve", "--config", &broken],
        vec!["serve", "--config", &second],
        vec!["check", &broken],
        vec!["init"],
        vec!["nonsense"],
        vec!["passwd", "anna"],
        vec!["ctl", "--url", "ws://127.0.0.1:1", "list"],
    ] {
        let code = |stderr: Stdio| {
            let mut command = friendlet();
            command.args(&arguments).stdin(Stdio::null()).stdout(Stdio::null()).stderr(stderr);
            command.env_remove("STATE_DIRECTORY").status().unwrap().code()
        };
        let expected = code(Stdio::null());
        assert!(expected.is_some_and(|code| code != 0), "{arguments:?}: {expected:?}");
        let full = OpenOptions::new().write(true).open("/dev/full").unwrap();
        assert_eq!(code(full.into()), expected, "{arguments:?}");
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        assert_eq!(code(writer.into()), expected, "{arguments:?}");
    }
}

/// A server with its log in this one file.
#[track_caller]
fn start_with_log(directory: Directory, file: &str) -> Server {
    let text = Device::plain().text(&directory.file("state"));
    let log = format!("[log]\nfile = \"{file}\"\nfiles = 1\n");
    let config = directory.write("friendlet.toml", text.replacen("[log]\n", &log, 1));
    let mut command = friendlet();
    command.args(["serve", "--config", &config]).env_remove("STATE_DIRECTORY");
    Server::start_command(directory, command)
}

#[test]
fn log_file_that_is_a_pipe_is_refused_and_delays_no_call() {
    let directory = Directory::new();
    let file = directory.file("log");
    // Opening it in the usual way would wait for a reader.
    mknodat(CWD, &file, FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).unwrap();
    let mut server = start_with_log(directory, &file);
    call(&server, CALLS);
    // Standard error has its own thread.
    until("the lines are there", || has_lines(&server.log()));
    let elapsed = ends_well(&mut server);
    assert!(elapsed < QUICK, "{elapsed:?}");
    until("the last line is there", || server.log().contains("serve::core: served "));
    assert!(server.log().contains("; the log stays in memory"), "{}", server.log());
}

#[test]
fn log_file_on_a_hanging_mount_delays_no_call() {
    let directory = Directory::new();
    let point = directory.path().join("mount");
    fs::create_dir(&point).unwrap();
    // Dropped in the other order: a server whose write hangs cannot be killed.
    let mut server;
    let mount = HangingMount::new(&point);
    server = start_with_log(directory, point.join(hanging_mount::NAME).to_str().unwrap());
    until("a write hangs", || mount.writes() > 0);
    call(&server, CALLS);
    assert_eq!(mount.writes(), 1);
    until("the lines are there", || has_lines(&server.log()));
    assert!(!server.log().contains("the log stays in memory"));
    drop(mount);
    until("the failure is reported", || server.log().contains("the log stays in memory"));
    ends_well(&mut server);
}

#[test]
fn log_file_that_hangs_delays_its_answer_alone() {
    let directory = Directory::new();
    let point = directory.path().join("mount");
    fs::create_dir(&point).unwrap();
    let mount = HangingMount::new(&point);
    let file = format!("{}/{}-log", point.display(), hanging_mount::HANGS);
    let server = start_with_log(directory, &file);
    until("the thread of the files hangs", || mount.hanging() > 0);
    let mut socket = server.bound(ADMIN);
    socket.send(&request("f", "board/log", r#"{"source":"files"}"#, ADMIN));
    start_and_stop_another(&server);
    assert_eq!(server.get("/healthz").status, 200);
    // One is read at a time.
    let second = server.post("/system.library/board/log", &format!("sessionid={ADMIN}&source=files")).body;
    assert!(second.contains("Function log returned: 16"), "{second}");
    // The records in memory are there.
    let memory = server.post("/system.library/board/log", &format!("sessionid={ADMIN}")).body;
    assert!(memory.contains("\"Records\": \""), "{memory}");
    drop(mount);
    while !socket.text().contains(r#""requestid":"f""#) {}
    server.stop();
}

#[test]
fn program_and_directory_on_a_hanging_mount_delay_their_service_alone() {
    let directory = Directory::new();
    let point = directory.path().join("mount");
    fs::create_dir(&point).unwrap();
    let mount = HangingMount::new(&point);
    let path = |name: &str| format!("{}/{}-{name}", point.display(), hanging_mount::HANGS);
    let tables = [
        service("program", &[&path("program")], "autostart = true"),
        service("directory", &["/bin/true"], &format!("cwd = \"{}\"", path("directory"))),
        service("tool", &["/bin/true"], &format!("[service.commands]\nrun = [\"{}\"]", path("tool"))),
    ];
    let server = Server::start(&Device::plain().with(&tables.concat()));
    until("the first waits for the mount", || mount.hanging() > 0);
    let mut sockets = [server.bound(ADMIN), server.bound(ADMIN)];
    sockets[0].send(&request("d", "services/directory/start", "{}", ADMIN));
    sockets[1].send(&request("c", "services/tool/command", r#"{"cmd":"run"}"#, ADMIN));
    until("all wait for the mount", || mount.hanging() >= 3);
    start_and_stop_another(&server);
    // All of that happened meanwhile.
    assert!(mount.hanging() >= 3);
    assert_eq!(status(&server, "program").state, "starting");
    // What hangs cannot even be killed; it is not started a second time.
    assert_eq!(server.call("services/program/stop"), OK);
    until("it is given up", || server.log().contains("program: cannot be killed"));
    assert_eq!(status(&server, "program").state, "stopping");
    drop(mount);
    until_state(&server, "program", "stopped");
    until("the other has its error", || status(&server, "directory").last_exit.starts_with("cannot enter"));
    assert!(server.call("services/hello/start").contains(OK));
}

/// Starts and stops a service that needs nothing that hangs.
#[track_caller]
fn start_and_stop_another(server: &Server) {
    for _ in 0..20 {
        let asked = Instant::now();
        assert_eq!(server.call("services/hello/start"), OK);
        assert_eq!(server.call("services/hello/stop"), OK);
        until_state(server, "hello", "stopped");
        assert!(asked.elapsed() < QUICK, "{:?}", asked.elapsed());
    }
}

/// A server whose `/etc` is `etc`.
#[track_caller]
fn start_with_etc(etc: &Path, device: &Device) -> Server {
    let directory = Directory::new();
    let config = directory.write("friendlet.toml", device.text(&directory.file("state")));
    let program = friendlet();
    let mut command = Command::new("unshare");
    command.args(["--mount", "--propagation", "private", "sh", "-c"]);
    command.arg("mount --bind \"$0\" /etc && exec \"$@\"").arg(etc).arg(program.get_program());
    command.args(program.get_args()).args(["serve", "--config", &config]).env_remove("STATE_DIRECTORY");
    Server::start_command(directory, command)
}

/// Has the look-ups in this file of `/etc` hang while services and a command need them.
#[track_caller]
fn hang_in_etc(hanging: &str) {
    let directory = Directory::new();
    let [point, etc] = ["mount", "etc"].map(|name| directory.path().join(name));
    [&point, &etc].into_iter().for_each(|path| fs::create_dir(path).unwrap());
    for name in ["passwd", "group"] {
        fs::copy(Path::new("/etc").join(name), etc.join(name)).unwrap();
    }
    let tables = [
        service("named", &["/bin/true"], "user = \"daemon\""),
        service("member", &["/bin/true"], "user = \"1\"\ngroups = [\"daemon\"]"),
        service("tool", &["/bin/true"], "user = \"daemon\"\n[service.commands]\nrun = [\"/bin/true\"]"),
    ];
    let mount = HangingMount::new(&point);
    let server = start_with_etc(&etc, &Device::plain().with(&tables.concat()));
    // While the server runs, as when the card of a board dies.
    fs::remove_file(etc.join(hanging)).unwrap();
    symlink(point.join(format!("{}-{hanging}", hanging_mount::HANGS)), etc.join(hanging)).unwrap();
    let mut waiting = ["named/start", "member/start", "tool/command"].map(|call| {
        let mut socket = server.bound(ADMIN);
        socket.send(&request("w", &format!("services/{call}"), r#"{"cmd":"run"}"#, ADMIN));
        socket
    });
    until("a look-up waits for the mount", || mount.hanging() > 0);
    start_and_stop_another(&server);
    assert_eq!(status(&server, "named").state, "starting");
    assert_eq!(status(&server, "member").state, "starting");
    drop(mount);
    until_state(&server, "named", "failed");
    // Among the pushes of the changes.
    waiting.iter_mut().for_each(|socket| while !socket.text().contains(r#""requestid":"w""#) {});
    server.stop();
}

#[test]
fn table_of_users_on_a_hanging_mount_delays_services_of_named_users_alone() {
    hang_in_etc("passwd");
}

#[test]
fn table_of_groups_on_a_hanging_mount_delays_services_of_named_groups_alone() {
    hang_in_etc("group");
}

#[test]
fn state_file_on_a_hanging_mount_delays_its_own_answer_alone() {
    let server = Server::start(&Device::plain());
    let state = server.directory().path().join("state");
    // Over the directory that the server has read.
    let mount = HangingMount::new(&state);
    let mut socket = server.bound(ADMIN);
    socket.send(&request("i", "services/hello/install", "{}", ADMIN));
    until("the write hangs", || mount.hanging() > 0);
    let asked = Instant::now();
    for _ in 0..20 {
        assert!(server.call("services/hello/status").contains(OK_STATUS));
    }
    // Another write waits for the first one, and is refused as busy.
    let busy = server.call("services/hello/uninstall");
    assert!(busy.contains("Function uninstall returned: 11"), "{busy}");
    assert!(asked.elapsed() < QUICK, "{:?}", asked.elapsed());
    drop(mount);
    let answer = socket.text();
    assert!(
        answer.contains(r#""requestid":"i""#) && answer.contains("Function install returned: 103"),
        "{answer}"
    );
    assert!(server.call("services/hello/install").contains(OK));
}

/// Program whose memory is locked while the mount hangs: mmap(2) of a file waits for a write to it.
const LOCKED: &str = "import mmap, os, sys
cached, direct = [os.open(sys.argv[1], os.O_RDWR | flag) for flag in (0, os.O_NONBLOCK)]
shared = mmap.mmap(cached, 4096)
shared[0] = 1
mmap.mmap(direct, 4096, mmap.MAP_PRIVATE, mmap.PROT_READ)
";

/// The kernel reads the environment of a process under a lock of its memory.
#[test]
fn daemon_whose_memory_is_locked_by_a_hanging_mount_delays_its_service_alone() {
    let directory = Directory::new();
    let point = directory.path().join("mount");
    fs::create_dir(&point).unwrap();
    let mount = HangingMount::new(&point);
    let program = directory.write("locked.py", LOCKED);
    let script = format!(
        "(setsid python3 {program} {}/{} &); exec sleep 1000",
        point.display(),
        hanging_mount::MEMORY
    );
    let table = shell("locked", &script, "stop_timeout_s = 1") + "[board]\ncgroups = false\n";
    let server = Server::start(&Device::plain().with(&table));
    start(&server, "locked");
    until("it hangs", || mount.writes() > 0);
    assert_eq!(server.call("services/locked/stop"), OK);
    start_and_stop_another(&server);
    until_state(&server, "locked", "stopped");
    until("it is named", || server.log().contains("its environment cannot be read; it ends with the server"));
    start(&server, "locked");
    drop(mount);
    server.stop();
}

#[test]
fn server_with_a_thread_that_hangs_ends_in_time() {
    let directory = Directory::new();
    let point = directory.path().join("mount");
    fs::create_dir(&point).unwrap();
    let mount = HangingMount::new(&point);
    let hangs = format!("{}/{}-ready", point.display(), hanging_mount::HANGS);
    let waits = shell("waits", "exec sleep 1000", &format!("autostart = true\nwait = [\"path:{hangs}\"]"));
    let mut server = Server::start(&Device::plain().with(&waits));
    until("the look hangs", || mount.hanging() > 0);
    let pid = start(&server, "hello").pid;
    assert!(ends_well(&mut server) < 2 * QUICK);
    assert!(!process::is_alive(pid));
    until("it is logged", || server.log().contains("server: cannot end: a thread of it hangs"));
    drop(mount);
}

#[test]
fn socket_of_a_service_on_a_hanging_mount_delays_its_service_alone() {
    let directory = Directory::new();
    let point = directory.path().join("mount");
    fs::create_dir(&point).unwrap();
    let mount = HangingMount::new(&point);
    let socket = |name: &str| format!("{}/{}-{name}", point.display(), hanging_mount::HANGS);
    let health = format!("health = {{ unix = \"{}\", period_s = 1, timeout_s = 1 }}", socket("health"));
    let tables = [
        shell(
            "unready",
            "exec sleep 1000",
            &format!("autostart = true\nready = \"unix:{}\"", socket("ready")),
        ),
        shell("unhealthy", "exec sleep 1000", &format!("autostart = true\nrestart = \"always\"\n{health}")),
        shell("other", "exec sleep 1000", ""),
    ];
    let server = Server::start(&Device::plain().with(&tables.concat()));
    until("both connections hang", || mount.hanging() >= 2);
    let begun = Instant::now();
    start(&server, "other");
    assert_eq!(server.get("/healthz?level=alive").status, 200);
    assert!(begun.elapsed() < QUICK, "{:?}", begun.elapsed());
    // It is restarted by its check, and no attempt adds a thread.
    until("the check fails", || status(&server, "unhealthy").restarts >= 1);
    let tasks = fs::read_dir(format!("/proc/{}/task", server.pid())).unwrap();
    let names = tasks.filter_map(|task| fs::read_to_string(task.unwrap().path().join("comm")).ok());
    assert_eq!(names.filter(|name| name.trim() == "connect").count(), 2);
    assert_eq!(server.call("services/unready/stop"), OK);
    until_state(&server, "unready", "stopped");
    drop(mount);
}
