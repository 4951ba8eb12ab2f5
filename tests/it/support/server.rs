//! The real program, running.

use std::io::{BufRead, BufReader, ErrorKind, Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use std::{env, thread};

use rustix::process::{Pid, Signal, kill_process};

use super::device::{ADMIN, socket_beside};
use super::directory::Directory;
use super::guest::{Remote, guest};
use super::stream::Stream;
use super::wait;
use super::ws::Socket;
use super::{Device, process};

/// Start of the line that reports a listening server.
const LISTENING: &str = "listening on ";

/// A command that runs the program under test: the one just built, or `FRIENDLET_BINARY`, which may
/// need a `FRIENDLET_RUNNER` such as an emulator.
pub(crate) fn friendlet() -> Command {
    let binary = env::var("FRIENDLET_BINARY").unwrap_or_else(|_| env!("CARGO_BIN_EXE_friendlet").to_owned());
    match env::var("FRIENDLET_RUNNER") {
        Ok(runner) => {
            let mut command = Command::new(runner);
            command.arg(binary);
            command
        }
        Err(_) => Command::new(binary),
    }
}

/// The program under test behind commands of a shell, such as `umask`.
pub(crate) fn behind(commands: &str) -> Command {
    let program = friendlet();
    let mut command = Command::new("/bin/sh");
    command.args(["-c", &format!("{commands}; exec \"$@\""), "sh"]).arg(program.get_program());
    command.args(program.get_args());
    command
}

/// Place where the server runs.
#[derive(Debug)]
enum Running {
    Here { child: Child, log: Arc<Mutex<String>> },
    OnBoard(Remote),
}

/// Allocations of a counting server (`tests/system/counting.rs`).
#[derive(Clone, Copy, Debug)]
pub(crate) struct Allocations {
    /// Held now, in bytes of the allocator's blocks.
    pub(crate) bytes: usize,
    /// Held now.
    pub(crate) blocks: usize,
    /// Blocks ever taken.
    pub(crate) total: usize,
    /// Most bytes held at a time since this was asked last.
    pub(crate) most: usize,
}

/// A running server with a state directory of its own. It is killed with all its services when this
/// value goes.
#[derive(Debug)]
pub(crate) struct Server {
    running: Running,
    directory: Option<Directory>,
    tls: bool,
    address: SocketAddr,
    pid: u32,
}

impl Server {
    /// Starts the server on `device` and waits until it accepts.
    #[track_caller]
    pub(crate) fn start(device: &Device) -> Self {
        match guest() {
            None => Self::start_in(Directory::new(), device),
            Some(guest) => Self::listening(Running::OnBoard(Remote::start(guest, device)), None),
        }
    }

    /// The same in a directory that an earlier server left.
    #[track_caller]
    pub(crate) fn start_in(directory: Directory, device: &Device) -> Self {
        let file = directory.write("friendlet.toml", device.text(&directory.file("state")));
        let mut command = friendlet();
        command.args(["serve", "--config", &file]).env_remove("STATE_DIRECTORY");
        Self::start_command(directory, command)
    }

    /// The same of a program of an earlier version, which is one process.
    #[track_caller]
    pub(crate) fn start_without_keeper(directory: Directory, mut command: Command) -> Self {
        command.stdin(Stdio::null()).stdout(Stdio::null());
        let mut server = Self::accepting(Self::spawn(command), Some(directory));
        server.pid = server.keeper();
        server
    }

    /// Starts `command`, which serves, and waits until it accepts.
    #[track_caller]
    pub(crate) fn start_command(directory: Directory, mut command: Command) -> Self {
        command.stdin(Stdio::null()).stdout(Stdio::null());
        Self::start_piped(directory, command)
    }

    /// Starts the server with a standard error that this value does not read, and waits until it accepts.
    #[track_caller]
    pub(crate) fn start_with_stderr(device: &Device, stderr: impl Into<Stdio>) -> Self {
        // Nothing reports which port the server has chosen, so it is given one that is free. At an address of this process
        // alone, no server of another case takes it before.
        let [.., high, low] = std::process::id().to_be_bytes();
        let address =
            TcpListener::bind((Ipv4Addr::new(127, 77, high, low), 0)).unwrap().local_addr().unwrap();
        let directory = Directory::new();
        let device = Device { address: address.to_string(), ..device.clone() };
        let file = directory.write("friendlet.toml", device.text(&directory.file("state")));
        let mut command = friendlet();
        command.args(["serve", "--config", &file]).env_remove("STATE_DIRECTORY");
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(stderr);
        let running = Running::Here { child: command.spawn().unwrap(), log: Arc::default() };
        let mut server = Self { running, directory: Some(directory), tls: device.tls, address, pid: 0 };
        wait::until("the server listens", || {
            assert!(server.is_running(), "the server ended");
            TcpStream::connect(address).is_ok()
        });
        server.pid = server.find_pid();
        server
    }

    /// Starts the same program over an allocator that counts (`tests/system/counting.rs`).
    #[track_caller]
    pub(crate) fn start_counting(device: &Device) -> Self {
        let directory = Directory::new();
        let file = directory.write("friendlet.toml", device.text(&directory.file("state")));
        let binary = Path::new(env!("CARGO_BIN_EXE_friendlet")).with_file_name("examples").join("counting");
        assert!(
            binary.exists(),
            "{} is missing: run `cargo build --example counting` first",
            binary.display()
        );
        let mut command = Command::new(binary);
        command.args(["serve", "--config", &file]).stdin(Stdio::piped()).stdout(Stdio::piped());
        Self::start_piped(directory, command)
    }

    /// Returns the current and the total allocations of a counting server.
    pub(crate) fn allocations(&mut self) -> Allocations {
        let Running::Here { child, .. } = &mut self.running else { panic!("nobody counts on a board") };
        child.stdin.as_mut().unwrap().write_all(b"\n").unwrap();
        let output = child.stdout.as_mut().unwrap();
        let mut line = String::new();
        let mut byte = [0];
        while output.read(&mut byte).unwrap() == 1 && byte != *b"\n" {
            line.push(byte[0].into());
        }
        let mut numbers = line.split(' ').skip(1).map(|number| number.parse().unwrap());
        let [bytes, blocks, total, most] = std::array::from_fn(|_| numbers.next().unwrap());
        Allocations { bytes, blocks, total, most }
    }

    #[track_caller]
    fn start_piped(directory: Directory, command: Command) -> Self {
        Self::listening(Self::spawn(command), Some(directory))
    }

    /// Starts `command` and keeps what it writes to standard error.
    fn spawn(mut command: Command) -> Running {
        command.stderr(Stdio::piped());
        // A program that this process has just written is busy while the child of another test has its descriptor.
        let mut child = wait::within(wait::SOON, "the program is free", || match command.spawn() {
            Err(error) if error.kind() == ErrorKind::ExecutableFileBusy => None,
            spawned => Some(spawned.unwrap()),
        });
        let log = Arc::new(Mutex::new(String::new()));
        let stderr = child.stderr.take().unwrap();
        let received = Arc::clone(&log);
        thread::spawn(move || {
            for line in BufReader::new(stderr).lines().map_while(Result::ok) {
                let mut log = received.lock().unwrap();
                log.push_str(&line);
                log.push('\n');
            }
        });
        Running::Here { child, log }
    }

    /// Waits until it accepts, and finds the server.
    #[track_caller]
    fn listening(running: Running, directory: Option<Directory>) -> Self {
        let mut server = Self::accepting(running, directory);
        server.pid = server.find_pid();
        server
    }

    /// Waits until it accepts.
    #[track_caller]
    fn accepting(running: Running, directory: Option<Directory>) -> Self {
        let address = SocketAddr::from(([127, 0, 0, 1], 0));
        let mut server = Self { running, directory, tls: false, address, pid: 0 };
        let url = wait::within(wait::SOON, "the server listens", || {
            if let Some(status) = server.try_wait() {
                panic!("the server ended with {status}:\n{}", server.log());
            }
            let log = server.log();
            // A line that is still being written has no end yet.
            let lines = log.split_inclusive('\n').filter_map(|line| line.strip_suffix('\n'));
            let line = lines.filter_map(|line| line.split_once(LISTENING)).map(|(_, url)| url.trim()).next();
            line.map(str::to_owned)
        });
        let (scheme, address) = url.split_once("://").unwrap();
        server.tls = match scheme {
            "https" => true,
            "http" => false,
            other => panic!("listening on {other}"),
        };
        server.address = match &server.running {
            Running::Here { .. } => address.parse().unwrap(),
            Running::OnBoard(remote) => remote.address(),
        };
        server
    }

    /// Kills the server, as a crash does, and waits for the one that follows it.
    #[track_caller]
    pub(crate) fn crash(&mut self) {
        let pid = Pid::from_raw(self.pid.try_into().unwrap()).unwrap();
        self.replace(|| kill_process(pid, Signal::KILL).unwrap());
    }

    /// Stops the server without an end, as a board that hangs.
    pub(crate) fn pause(&self) {
        kill_process(Pid::from_raw(self.pid.try_into().unwrap()).unwrap(), Signal::STOP).unwrap();
    }

    /// Lets it go on.
    pub(crate) fn resume(&self) {
        kill_process(Pid::from_raw(self.pid.try_into().unwrap()).unwrap(), Signal::CONT).unwrap();
    }

    /// Upgrades the server, and waits for the one that follows it.
    #[track_caller]
    pub(crate) fn upgrade(&mut self) {
        let keeper = Pid::from_raw(self.keeper().try_into().unwrap()).unwrap();
        self.replace(|| kill_process(keeper, Signal::USR2).unwrap());
    }

    /// The same by a call.
    #[track_caller]
    pub(crate) fn replace_by_call(&mut self) {
        let before = self.listening_lines();
        self.call("board/upgrade");
        self.wait_replaced(before);
    }

    /// Waits for the server that follows this one after `end`.
    #[track_caller]
    pub(crate) fn replace(&mut self, end: impl FnOnce()) {
        let before = self.listening_lines();
        end();
        self.wait_replaced(before);
    }

    #[track_caller]
    fn wait_replaced(&mut self, before: usize) {
        wait::until("another server listens", || {
            assert!(self.is_running(), "the keeper ended:\n{}", self.log());
            self.listening_lines() > before
        });
        let log = self.log();
        let (_, url) = log.rsplit_once("listening on http").unwrap();
        let (_, address) = url.lines().next().unwrap().split_once("://").unwrap();
        self.address = address.trim().parse().unwrap();
        self.pid = self.find_pid();
    }

    /// Path of its configuration file.
    pub(crate) fn config_file(&self) -> String {
        self.directory.as_ref().expect("it runs here").file("friendlet.toml")
    }

    fn listening_lines(&self) -> usize {
        self.log()
            .split_inclusive('\n')
            .filter(|line| line.contains("listening on http") && line.ends_with('\n'))
            .count()
    }

    /// Finds the server among the children of the keeper.
    fn find_pid(&self) -> u32 {
        let keeper = process::command_line(self.keeper());
        let children = process::children(self.keeper());
        let pid = children.into_iter().find(|pid| process::command_line(*pid) == keeper);
        pid.expect("the keeper has a server")
    }

    /// Pid of the keeper, the parent of the server and of its services.
    pub(crate) fn keeper(&self) -> u32 {
        match &self.running {
            Running::Here { child, .. } => child.id(),
            Running::OnBoard(remote) => remote.pid(),
        }
    }

    /// Keeps keeper, server and all that is started later to one processor, as a board has it.
    pub(crate) fn pin_to_one_processor(&self) {
        if let Running::Here { .. } = &self.running {
            for pid in [self.keeper(), self.pid] {
                let status = Command::new("taskset").args(["-ap", "1", &pid.to_string()]).output().unwrap();
                assert!(status.status.success(), "{status:?}");
            }
        }
    }

    /// Pid of the server.
    pub(crate) fn pid(&self) -> u32 {
        self.pid
    }

    /// Pids of the running services and of orphans.
    pub(crate) fn services(&self) -> Vec<u32> {
        let mut children = process::children(self.keeper());
        children.retain(|pid| *pid != self.pid);
        children
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    pub(crate) fn is_tls(&self) -> bool {
        self.tls
    }

    /// The directory of configuration file and state.
    pub(crate) fn directory(&self) -> &Directory {
        self.directory.as_ref().unwrap()
    }

    /// Path of the local socket.
    pub(crate) fn local_socket(&self) -> String {
        socket_beside(&self.directory().file("state"))
    }

    /// Returns its output on standard error.
    pub(crate) fn log(&self) -> String {
        match &self.running {
            Running::Here { log, .. } => log.lock().unwrap().clone(),
            Running::OnBoard(remote) => remote.log(),
        }
    }

    /// A connection, with TLS where the server has it.
    #[track_caller]
    pub(crate) fn connect(&self) -> Stream {
        if self.tls { Stream::tls(self.address) } else { Stream::plain(self.address) }
    }

    /// A WebSocket.
    #[track_caller]
    pub(crate) fn socket(&self) -> Socket {
        Socket::open(self.connect())
    }

    /// A WebSocket that has been bound to `session`.
    #[track_caller]
    pub(crate) fn bound(&self, session: &str) -> Socket {
        let mut socket = self.socket();
        socket.bind(session);
        socket
    }

    /// Opens a bound WebSocket of an administrator, whose upgrade request has the session id: a server at
    /// capacity accepts it for that.
    pub(crate) fn administrator(&self) -> Result<Socket, String> {
        let mut socket = Socket::try_open(self.connect(), &format!("/fcws?sessionid={ADMIN}"))?;
        socket.bind(ADMIN);
        Ok(socket)
    }

    pub(crate) fn signal(&self, signal: Signal) {
        if let Running::OnBoard(remote) = &self.running {
            return remote.signal(signal.as_raw());
        }
        let pid = Pid::from_raw(self.keeper().try_into().unwrap()).unwrap();
        kill_process(pid, signal).unwrap();
    }

    /// Returns whether it still runs.
    pub(crate) fn is_running(&mut self) -> bool {
        self.try_wait().is_none()
    }

    fn try_wait(&mut self) -> Option<ExitStatus> {
        match &mut self.running {
            Running::Here { child, .. } => child.try_wait().unwrap(),
            Running::OnBoard(remote) => remote.try_wait(),
        }
    }

    /// Waits for its end.
    #[track_caller]
    pub(crate) fn wait(&mut self, timeout: Duration) -> ExitStatus {
        wait::within(timeout, "the server ends", || self.try_wait())
    }

    /// The directory of a server that has ended, for one after it.
    #[track_caller]
    pub(crate) fn take_directory(mut self) -> Directory {
        self.directory.take().unwrap()
    }

    /// Ends it with SIGTERM and gives its directory back, for a server after it.
    #[track_caller]
    pub(crate) fn stop(mut self) -> Directory {
        self.signal(Signal::TERM);
        let status = self.wait(wait::SOON);
        assert!(status.success(), "{status}:\n{}", self.log());
        self.directory.take().unwrap()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if thread::panicking() {
            eprintln!("log of the server:\n{}", self.log());
        }
        // One on a board sees to its end itself.
        let Running::Here { child, .. } = &mut self.running else { return };
        if !matches!(child.try_wait(), Ok(None)) {
            // Another process may have its number by now.
            return;
        }
        // Suspended first: a process that is killed later could start another one, which nobody would find.
        let send = |pid: u32, signal| {
            if let Some(pid) = Pid::from_raw(pid.cast_signed()) {
                let _ = kill_process(pid, signal);
            }
        };
        send(child.id(), Signal::STOP);
        let mut found = Vec::new();
        loop {
            let now = process::descendants(child.id());
            if now == found {
                break;
            }
            now.iter().for_each(|pid| send(*pid, Signal::STOP));
            found = now;
        }
        let _ = child.kill();
        let _ = child.wait();
        found.into_iter().for_each(|pid| send(pid, Signal::KILL));
    }
}

/// Result of a run of the program to its end.
#[derive(Debug)]
pub(crate) struct Run {
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

/// Runs the program with `arguments` to its end.
#[track_caller]
pub(crate) fn run(arguments: &[&str], input: &str) -> Run {
    run_command(friendlet().args(arguments), input)
}

/// Runs `command` to its end.
#[track_caller]
pub(crate) fn run_command(command: &mut Command, input: &str) -> Run {
    use std::io::Write;
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    // It may end without having read: then nobody is there to write to.
    let _ = child.stdin.take().unwrap().write_all(input.as_bytes());
    let output = child.wait_with_output().unwrap();
    Run {
        code: output.status.code(),
        stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
        stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
    }
}

/// Runs the program on a configuration file of this text, whose path stands for the argument `FILE`.
#[track_caller]
pub(crate) fn run_on(text: &str, arguments: &[&str]) -> Run {
    let directory = Directory::new();
    let file = directory.write("friendlet.toml", text);
    let arguments: Vec<&str> =
        arguments.iter().map(|argument| if *argument == "FILE" { file.as_str() } else { argument }).collect();
    run(&arguments, "")
}
