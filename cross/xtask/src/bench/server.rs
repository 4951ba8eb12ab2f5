//! A running server under test.

use std::fs::File;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use super::kit::Kit;
use super::peer::Peer;
use crate::run;

/// The program that a server is started under.
#[derive(Debug)]
pub(super) enum Under {
    /// Nothing: as the system places it.
    Nothing,
    /// The first processor, which the load leaves alone.
    OneCore,
    /// callgrind, which writes to the file with a process's pid appended at the end of that process.
    Callgrind(PathBuf),
    /// strace, with these options, which writes to the file.
    Strace(&'static [&'static str], PathBuf),
}

impl Under {
    pub(super) fn command(&self, program: &Path) -> Command {
        let mut command = match self {
            Self::Nothing => Command::new(program),
            Self::OneCore => {
                let mut command = Command::new("taskset");
                command.args(["--cpu-list", "0"]).arg(program);
                command
            }
            Self::Callgrind(out) => {
                let mut command = Command::new("valgrind");
                command.args(["--quiet", "--tool=callgrind"]);
                command.arg(format!("--callgrind-out-file={}.%p", out.display())).arg(program);
                command
            }
            Self::Strace(options, out) => {
                let mut command = Command::new("strace");
                // -D: what is started is the server, strace is its grandchild.
                command.args(["-D", "-f"]).args(*options).arg("-o").arg(out).arg(program);
                command
            }
        };
        command.stdin(Stdio::null()).stdout(Stdio::null());
        command
    }
}

/// Timeout of a server's start and end; those under valgrind take the longest.
const TIMEOUT: Duration = Duration::from_secs(60);

/// A running server. It is killed when this value goes.
#[derive(Debug)]
pub(super) struct Server {
    child: Child,
    /// Pid of the process that serves: friendlet's is a child of its keeper.
    pid: u32,
    address: SocketAddr,
    /// From the spawn to the first connection that was accepted.
    pub(super) first_accept: Duration,
    log: PathBuf,
}

impl Server {
    /// Starts a peer and waits until it takes connections.
    pub(super) fn start(
        kit: &Kit,
        peer: &Peer,
        tls: bool,
        under: &Under,
        with_bench_slots: bool,
    ) -> Result<Self, String> {
        let program = kit.program(peer, with_bench_slots);
        Self::start_command(kit, peer, tls, under.command(&program), |_| ())
    }

    /// Starts a peer by a command that ends with its program.
    pub(super) fn start_by(kit: &Kit, peer: &Peer, command: Command) -> Result<Self, String> {
        Self::start_command(kit, peer, false, command, |_| ())
    }

    /// Starts another build of a peer, with pipes; `with` is handed the process as soon as it is there.
    pub(super) fn start_piped(
        kit: &Kit,
        peer: &Peer,
        tls: bool,
        program: &Path,
        with: impl FnOnce(&mut Child),
    ) -> Result<Self, String> {
        let mut command = Command::new(program);
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        Self::start_command(kit, peer, tls, command, with)
    }

    fn start_command(
        kit: &Kit,
        peer: &Peer,
        tls: bool,
        mut command: Command,
        with: impl FnOnce(&mut Child),
    ) -> Result<Self, String> {
        let address = free_address()?;
        command.args(kit.arguments(peer, tls, address.port())?);
        Self::start_at(command, address, kit.file("server.log"), peer.name, with)
    }

    /// Starts a server by a command that has it listen at `address`.
    pub(super) fn start_at(
        mut command: Command,
        address: SocketAddr,
        log: PathBuf,
        name: &str,
        with: impl FnOnce(&mut Child),
    ) -> Result<Self, String> {
        let errors = File::create(&log).map_err(|error| format!("{}: {error}", log.display()))?;
        let begin = Instant::now();
        let child = command.stderr(errors).spawn();
        let mut child = child.map_err(|error| format!("{name}: did not start: {error}"))?;
        with(&mut child);
        let pid = child.id();
        let mut server = Self { child, pid, address, first_accept: Duration::ZERO, log };
        server.wait_accepting(begin).map_err(|error| format!("{name}: {error}"))?;
        server.pid = fork_of(pid).unwrap_or(pid);
        Ok(server)
    }

    /// No pause: how soon it accepts is measured.
    fn wait_accepting(&mut self, begin: Instant) -> Result<(), String> {
        loop {
            if TcpStream::connect(self.address).is_ok() {
                self.first_accept = begin.elapsed();
                return Ok(());
            }
            if let Ok(Some(status)) = self.child.try_wait() {
                return Err(format!("ended with {status}:\n{}", self.said()));
            }
            if begin.elapsed() > TIMEOUT {
                return Err(format!("does not accept within {} s:\n{}", TIMEOUT.as_secs(), self.said()));
            }
            thread::sleep(Duration::from_micros(20));
        }
    }

    pub(super) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Pid of the process that serves.
    pub(super) fn pid(&self) -> u32 {
        self.pid
    }

    /// Pids of the server and of its keeper, if it has one.
    pub(super) fn pids(&self) -> Vec<u32> {
        let mut pids = vec![self.child.id(), self.pid];
        pids.dedup();
        pids
    }

    fn said(&self) -> String {
        let text = std::fs::read_to_string(&self.log).unwrap_or_default();
        text.lines().rev().take(20).collect::<Vec<_>>().into_iter().rev().collect::<Vec<_>>().join("\n")
    }

    /// Ends it with SIGTERM and waits for it.
    pub(super) fn stop(mut self) -> Result<ExitStatus, String> {
        run::captured(run::at_root("sh").args(["-c", &format!("kill -TERM {}", self.child.id())]))?;
        let begin = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait().map_err(|error| error.to_string())? {
                return Ok(status);
            }
            if begin.elapsed() > TIMEOUT {
                return Err(format!("a server does not end by SIGTERM:\n{}", self.said()));
            }
            thread::sleep(Duration::from_millis(2));
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Child of a process that runs the same program with the same arguments.
fn fork_of(pid: u32) -> Option<u32> {
    let command_line = |pid: u32| std::fs::read(format!("/proc/{pid}/cmdline")).ok();
    let children = std::fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).ok()?;
    let mut pids = children.split_whitespace().filter_map(|pid| pid.parse().ok());
    pids.find(|child| command_line(*child) == command_line(pid))
}

/// Returns a loopback address with a free port.
pub(super) fn free_address() -> Result<SocketAddr, String> {
    let listener = TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr());
    listener.map_err(|error| format!("no free port: {error}"))
}
