//! Start and stop of a service: processor time of friendlet, of other supervisors, and of posix_spawn alone.

use std::fs::{self, OpenOptions};
use std::io::{Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use super::kit::Kit;
use super::load;
use super::message::RESTART;
use super::peer::FRIENDLET;
use super::report::{self, Part};
use super::server::Server;
use crate::{run, setup};

/// Starts and stops of one measurement.
const CYCLES: u32 = 300;
/// Measurements of each, in turn; the least counts.
const ROUNDS: usize = 3;
/// Time between a start and a stop.
const PAUSE: Duration = Duration::from_millis(20);
/// Timeout of a supervisor's start.
const TIMEOUT: Duration = Duration::from_secs(10);
/// Program of the service.
const PROGRAM: &str = "/bin/sleep 1000000";
/// Names of the rows; the first is the measure.
const NAMES: [&str; 4] = ["posix_spawn alone", "friendlet", "s6-supervise", "supervisord"];

/// Measures all, prints the table and writes it to `docs/benchmarks.md`.
pub(crate) fn run() -> Result<(), String> {
    setup::ensure(&["s6", "supervisor"])?;
    let kit = Kit::build(&[&FRIENDLET])?;
    let mut least = [f64::INFINITY; NAMES.len()];
    for _ in 0..ROUNDS {
        let measured = [spawns(&kit)?, friendlet(&kit)?, s6(&kit)?, supervisord(&kit)?];
        for (least, measured) in least.iter_mut().zip(measured) {
            *least = least.min(measured);
        }
    }
    let rows: Vec<(&str, f64)> = NAMES.into_iter().zip(least).collect();
    let table = report::cycles(&rows, CYCLES)?;
    println!("\n{table}");
    report::write(Part::Cycles, &table)
}

/// Control group whose processor time is measured, with everything that its processes start.
struct Group(PathBuf);

impl Group {
    fn new() -> Result<Self, String> {
        let roots = ["/sys/fs/cgroup", "/sys/fs/cgroup/unified"].map(Path::new);
        let root = roots
            .into_iter()
            .find(|root| root.join("cgroup.procs").is_file() && root.join("cpu.stat").is_file());
        let group =
            root.ok_or("cycles need cgroup v2")?.join(format!("friendlet-bench-{}", std::process::id()));
        run::create_directory(&group)?;
        Ok(Self(group))
    }

    /// A command whose process is in the group.
    fn command(&self, program: &Path) -> Command {
        let mut command = Command::new("sh");
        command.args(["-c", "echo $$ > \"$0\" && exec \"$@\""]).arg(self.0.join("cgroup.procs")).arg(program);
        command.stdin(Stdio::null()).stdout(Stdio::null());
        command
    }

    /// Processor time so far, in microseconds.
    fn usage(&self) -> Result<f64, String> {
        let text = run::read(&self.0.join("cpu.stat"))?;
        let usage = text.lines().find_map(|line| line.strip_prefix("usage_usec ")?.parse().ok());
        usage.ok_or_else(|| "cpu.stat: no usage_usec".to_owned())
    }

    /// Processor time of one of the cycles that `cycles` makes.
    fn per_cycle(&self, cycles: impl FnOnce() -> Result<(), String>) -> Result<f64, String> {
        let before = self.usage()?;
        cycles()?;
        Ok((self.usage()? - before) / f64::from(CYCLES))
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        // Groups that friendlet has made below, and processes that a failed measurement has left.
        for _ in 0..100 {
            let _ = fs::write(self.0.join("cgroup.kill"), "1");
            let below = fs::read_dir(&self.0).into_iter().flatten().flatten().map(|entry| entry.path());
            below.filter(|path| path.is_dir()).for_each(|path| drop(fs::remove_dir(path)));
            if fs::remove_dir(&self.0).is_ok() {
                return;
            }
            thread::sleep(Duration::from_millis(20));
        }
    }
}

/// A supervisor, which is killed when this value goes.
struct Daemon(Child);

impl Drop for Daemon {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn spawned(command: &mut Command) -> Result<Daemon, String> {
    command.spawn().map(Daemon).map_err(|error| format!("{command:?}: {error}"))
}

fn until(what: &str, mut is_done: impl FnMut() -> bool) -> Result<(), String> {
    let begin = Instant::now();
    while !is_done() {
        if begin.elapsed() > TIMEOUT {
            return Err(format!("{what}: not within {} s", TIMEOUT.as_secs()));
        }
        thread::sleep(Duration::from_millis(5));
    }
    Ok(())
}

/// Processes that are started and ended by a loop.
fn spawns(kit: &Kit) -> Result<f64, String> {
    let group = Group::new()?;
    let load = kit.load();
    let mut command = group.command(Path::new(load.get_program()));
    command.args(load::spawns(PROGRAM, CYCLES, PAUSE));
    group.per_cycle(|| run::captured(&mut command).map(drop))
}

/// Restarts by the WebSocket, with the pushes of both changes.
fn friendlet(kit: &Kit) -> Result<f64, String> {
    let group = Group::new()?;
    let server = Server::start_by(kit, &FRIENDLET, group.command(&kit.friendlet))?;
    // The first one starts the service.
    load::restarts(kit, &server, &RESTART, 1, PAUSE)?;
    let used = group.per_cycle(|| load::restarts(kit, &server, &RESTART, CYCLES, PAUSE))?;
    server.stop()?;
    Ok(used)
}

/// Commands in the FIFO of s6-supervise, as s6-svc writes them.
fn s6(kit: &Kit) -> Result<f64, String> {
    let group = Group::new()?;
    let directory = kit.file("s6");
    let _ = fs::remove_dir_all(&directory);
    run::create_directory(&directory)?;
    let program = directory.join("run");
    run::write(&program, format!("#!/bin/sh\nexec {PROGRAM}\n"))?;
    run::captured(Command::new("chmod").arg("755").arg(&program))?;
    let _daemon = spawned(group.command(Path::new("s6-supervise")).arg(&directory))?;
    let control = directory.join("supervise/control");
    let mut fifo = None;
    until("s6-supervise", || {
        fifo = OpenOptions::new()
            .write(true)
            .open(&control)
            .ok()
            .filter(|_| directory.join("supervise/status").exists());
        fifo.is_some()
    })?;
    let mut fifo = fifo.ok_or("s6-supervise has no control FIFO")?;
    thread::sleep(Duration::from_millis(500));
    group.per_cycle(|| {
        for _ in 0..CYCLES {
            for command in [b"d", b"u"] {
                fifo.write_all(command).map_err(|error| format!("{}: {error}", control.display()))?;
                thread::sleep(PAUSE);
            }
        }
        Ok(())
    })
}

/// Calls of XML-RPC over the UNIX socket of supervisord.
fn supervisord(kit: &Kit) -> Result<f64, String> {
    let group = Group::new()?;
    let directory = kit.file("supervisord");
    let _ = fs::remove_dir_all(&directory);
    run::create_directory(&directory)?;
    let (socket, file) = (directory.join("socket"), directory.join("supervisord.conf"));
    let text = format!(
        "[supervisord]\nnodaemon=true\nuser=root\nlogfile=/dev/null\nlogfile_maxbytes=0\npidfile={0}/pid\n\
         [unix_http_server]\nfile={0}/socket\n\
         [rpcinterface:supervisor]\nsupervisor.rpcinterface_factory=supervisor.rpcinterface:make_main_rpcinterface\n\
         [program:hello]\ncommand={PROGRAM}\nstartsecs=0\nautorestart=false\n",
        directory.display()
    );
    run::write(&file, text)?;
    let _daemon =
        spawned(group.command(Path::new("supervisord")).arg("-c").arg(&file).stderr(Stdio::null()))?;
    until("supervisord", || UnixStream::connect(&socket).is_ok())?;
    thread::sleep(Duration::from_secs(1));
    group.per_cycle(|| {
        for _ in 0..CYCLES {
            for method in ["stopProcess", "startProcess"] {
                call(&socket, method)?;
                thread::sleep(PAUSE);
            }
        }
        Ok(())
    })
}

fn call(socket: &Path, method: &str) -> Result<(), String> {
    // A start before the end of the last process has no effect.
    let waits = u8::from(method == "stopProcess");
    let body = format!(
        "<?xml version='1.0'?><methodCall><methodName>supervisor.{method}</methodName><params>\
         <param><value><string>hello</string></value></param>\
         <param><value><boolean>{waits}</boolean></value></param></params></methodCall>"
    );
    let failed = |error| format!("supervisord: {method}: {error}");
    let mut stream = UnixStream::connect(socket).map_err(failed)?;
    let length = body.len();
    write!(
        stream,
        "POST /RPC2 HTTP/1.0\r\nHost: localhost\r\nContent-Type: text/xml\r\nContent-Length: {length}\r\n\r\n{body}"
    )
    .map_err(failed)?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).map_err(failed)?;
    if answer.contains("<boolean>1</boolean>") {
        Ok(())
    } else {
        Err(format!("supervisord: {method}: {answer}"))
    }
}
