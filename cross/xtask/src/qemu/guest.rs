//! A board played by QEMU, for tests. Every wait has an end, and QEMU ends with the value.

use std::fs;
use std::io::{BufRead, BufReader, ErrorKind, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::arguments::{DISK, Machine};
use super::qmp::{self, Event, Message};
use super::{PORT, Verdict, tables};
use crate::board::Board;
use crate::image::Files;
use crate::machine::Boot;
use crate::notes::{self, Kind};
use crate::{clock, run};

/// QEMU answers a command in this time, even on a busy machine.
const ANSWER: Duration = Duration::from_secs(30);
/// Pause between two looks at the guest.
const LOOK: Duration = Duration::from_millis(200);
/// A guest that listens answers a request in this time.
const PROBE: Duration = Duration::from_secs(3);
/// Lines of the serial log that an error shows.
const SHOWN_LINES: usize = 15;
/// A boot is stalled when the serial line has been silent for so long, in QEMU's processor time, which
/// a busy machine does not stretch, or for four times that by the clock.
const SILENCE: Duration = Duration::from_secs(20);
/// Ports are chosen anew when another program was quicker.
const START_TRIES: usize = 3;

/// Storage of the guest's disk.
#[derive(Clone, Debug, Default)]
pub(crate) enum Storage {
    /// The board's image, of which nothing is changed: what the guest writes is gone when it ends,
    /// but not when it only starts again.
    #[default]
    Snapshot,
    /// This file, which the guest changes; [`copy`] makes one.
    File(PathBuf),
}

/// Options of a guest.
#[derive(Clone, Debug, Default)]
pub(crate) struct GuestOptions {
    /// Names the logs, `serial-NAME.log` in the board's directory.
    pub(crate) name: String,
    /// Boot method; the one of the board's file if missing.
    pub(crate) boot: Option<Boot>,
    /// Its disk.
    pub(crate) storage: Storage,
    /// Its memory; unless said, what the board's file says.
    pub(crate) memory_mib: Option<u32>,
    /// Ports of the guest that are wanted beside 6500.
    pub(crate) ports: Vec<u16>,
    /// True if a reset starts it again; else a reset ends QEMU, with the reason `guest-reset`.
    pub(crate) restarts: bool,
    /// Further arguments of a kernel that QEMU itself starts.
    pub(crate) kernel_arguments: String,
    /// Devices besides those of the board's file.
    pub(crate) devices: Vec<String>,
    /// Date at which its clock chip starts; the date of this machine if missing.
    pub(crate) rtc: Option<&'static str>,
}

/// A running guest.
pub(crate) struct Guest {
    child: Child,
    control: ChildStdin,
    said: Receiver<Result<Message, String>>,
    events: Vec<Event>,
    started: Instant,
    serial: PathBuf,
    ports: Vec<(u16, u16)>,
}

impl Guest {
    /// Starts QEMU with the board's image, which must have been made.
    pub(crate) fn start(board: &Board, options: &GuestOptions) -> Result<Self, String> {
        let (qemu, image) = tables(board)?;
        let files = Files::of(board);
        if !files.disk.is_file() {
            return Err(format!(
                "{} is missing: cargo xtask image --board {}",
                files.disk.display(),
                board.name
            ));
        }
        let log = |kind: &str| board.directory().join(format!("{kind}-{}.log", options.name));
        let serial = log("serial");
        let mut result = Err("not tried".to_owned());
        for _ in 0..START_TRIES {
            let mut ports = Vec::new();
            for guest in [PORT].iter().chain(&options.ports) {
                ports.push((free_port()?, *guest));
            }
            let machine = Machine {
                board,
                qemu: &qemu,
                image: &image,
                files: &files,
                boot: options.boot.unwrap_or(qemu.boot),
                disk: if let Storage::File(path) = &options.storage { path } else { &files.disk },
                snapshot: matches!(options.storage, Storage::Snapshot),
                ports: &ports,
                memory_mib: options.memory_mib,
                kernel_arguments: &options.kernel_arguments,
                devices: &options.devices,
            };
            let mut command = machine.command()?;
            if !options.restarts {
                command.arg("-no-reboot");
            }
            if let Some(date) = options.rtc {
                command.args(["-rtc", &format!("base={date}")]);
            }
            result = Self::spawn(&command, &serial, &log("qemu"), ports);
            // The port may have been taken since it was found free.
            if !matches!(&result, Err(error) if error.contains("Could not set up host forwarding")) {
                break;
            }
        }
        result
    }

    fn spawn(command: &Command, serial: &Path, log: &Path, ports: Vec<(u16, u16)>) -> Result<Self, String> {
        let file_error = |path: &Path, error| format!("{}: {error}", path.display());
        fs::write(serial, "").map_err(|error| file_error(serial, error))?;
        let errors = fs::File::create(log).map_err(|error| file_error(log, error))?;
        // setpriv: QEMU ends when the thread that started it does, however that comes about.
        let mut wrapped = run::at_root("setpriv");
        wrapped.args(["--pdeathsig", "KILL"]).arg(command.get_program()).args(command.get_args());
        let escaped = serial.display().to_string().replace(',', ",,");
        wrapped
            .arg("-chardev")
            .arg(format!("file,id=serial,path={escaped}"))
            .args(["-serial", "chardev:serial"]);
        // -S: nothing happens before we listen.
        wrapped.args(["-S", "-chardev", "stdio,id=qmp,signal=off", "-mon", "chardev=qmp,mode=control"]);
        wrapped.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(errors);
        let (child_sender, child) = channel();
        let (sender, said) = channel();
        thread::spawn(move || listen(wrapped, &child_sender, &sender));
        let mut child: Child = child
            .recv()
            .map_err(|_| "the thread of QEMU ended".to_owned())?
            .map_err(|error| format!("QEMU did not start: {error}"))?;
        let control = child.stdin.take().ok_or("QEMU has no control")?;
        let serial = serial.to_owned();
        let mut guest =
            Self { child, control, said, events: Vec::new(), started: Instant::now(), serial, ports };
        let ready = guest.greeted().and_then(|()| guest.command("qmp_capabilities", &json!({})));
        let ready = ready.and_then(|()| guest.command("cont", &json!({})));
        guest.started = Instant::now();
        ready.map_err(|error| {
            let text = fs::read_to_string(log).unwrap_or_default();
            format!("{error}\n{}", text.trim_end())
        })?;
        Ok(guest)
    }

    fn greeted(&mut self) -> Result<(), String> {
        match self.said.recv_timeout(ANSWER) {
            Ok(Ok(Message::Greeting)) => Ok(()),
            Ok(other) => Err(format!("QEMU did not greet: {other:?}")),
            Err(_) => Err("QEMU did not greet".to_owned()),
        }
    }

    /// Limits the guest's disk to `bytes` per second; 0: without a limit.
    pub(crate) fn throttle_disk(&mut self, bytes: u64) -> Result<(), String> {
        let zero = ["bps_rd", "bps_wr", "iops", "iops_rd", "iops_wr"].map(|key| (key.to_owned(), 0.into()));
        let mut arguments = serde_json::Map::from_iter(zero);
        arguments.insert("device".to_owned(), DISK.into());
        arguments.insert("bps".to_owned(), bytes.into());
        self.command("block_set_io_throttle", &arguments.into())
    }

    /// Plugs a serial adapter into the USB controller, without anything behind it.
    pub(crate) fn plug_serial_adapter(&mut self) -> Result<(), String> {
        let backend = json!({ "type": "null", "data": {} });
        self.command("chardev-add", &json!({ "id": "adapter", "backend": backend }))?;
        // Without `always-plugged` it is plugged in only while something is behind it.
        let device = json!({ "driver": "usb-serial", "id": "usb-adapter", "chardev": "adapter", "always-plugged": true });
        self.command("device_add", &device)
    }

    /// Pulls it out again.
    pub(crate) fn pull_serial_adapter(&mut self) -> Result<(), String> {
        self.command("device_del", &json!({ "id": "usb-adapter" }))
    }

    /// Gives QEMU a command.
    fn command(&mut self, name: &str, arguments: &Value) -> Result<(), String> {
        self.control
            .write_all(qmp::command(name, arguments).as_bytes())
            .and_then(|()| self.control.flush())
            .map_err(|error| format!("QEMU takes no command: {error}"))?;
        let deadline = Instant::now() + ANSWER;
        loop {
            match self.said.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
                Ok(Ok(Message::Done)) => return Ok(()),
                Ok(Ok(Message::Refused(reason))) => return Err(format!("QEMU refused {name}: {reason}")),
                Ok(message) => self.take(message)?,
                Err(RecvTimeoutError::Timeout) => return Err(format!("QEMU did not answer {name}")),
                Err(RecvTimeoutError::Disconnected) => return Err(format!("QEMU ended at {name}")),
            }
        }
    }

    fn take(&mut self, message: Result<Message, String>) -> Result<(), String> {
        if let Message::Event(name, reason) = message? {
            self.events.push(Event { name, reason, at: self.started.elapsed() });
        }
        Ok(())
    }

    /// Waits at most `time` for something to happen; false when QEMU has ended.
    fn listen(&mut self, time: Duration) -> Result<bool, String> {
        match self.said.recv_timeout(time) {
            Ok(message) => self.take(message).map(|()| true),
            Err(RecvTimeoutError::Timeout) => Ok(true),
            Err(RecvTimeoutError::Disconnected) => Ok(false),
        }
    }

    /// Returns the events so far.
    pub(crate) fn events(&mut self) -> Result<&[Event], String> {
        while let Ok(message) = self.said.try_recv() {
            self.take(message)?;
        }
        Ok(&self.events)
    }

    /// The port of this machine that leads to the guest's `port`; 0 if that was not asked for.
    pub(crate) fn port(&self, port: u16) -> u16 {
        self.ports.iter().find(|(_, guest)| *guest == port).map_or(0, |(host, _)| *host)
    }

    /// Everything that came over the serial line since QEMU's start.
    pub(crate) fn serial(&self) -> String {
        let bytes = fs::read(&self.serial).unwrap_or_default();
        String::from_utf8_lossy(&bytes).into_owned()
    }

    /// The file with the serial log.
    pub(crate) fn serial_log(&self) -> &Path {
        &self.serial
    }

    /// Starts QEMU and waits until friendlet answers; returns how long after the start that was. A boot that
    /// stalls is started again, once: about one in forty of a Raspberry Pi's does so in QEMU 7.2, while
    /// its USB controller is set up. `options` is called for each start.
    pub(crate) fn boot(
        board: &Board,
        timeout: Duration,
        options: impl Fn() -> Result<GuestOptions, String>,
    ) -> Result<(Self, Duration), String> {
        let options_of_first = options()?;
        let mut guest = Self::start(board, &options_of_first)?;
        if let Some(elapsed) = guest.serving(timeout, SILENCE)? {
            return Ok((guest, elapsed));
        }
        let serial = guest.serial();
        let last = serial.lines().next_back().unwrap_or_default();
        let kept = guest.serial.with_extension("still.log");
        let _ = fs::copy(&guest.serial, &kept);
        let name = &options_of_first.name;
        let note = format!("{}, {name}: silent after '{last}'; {}", board.name, kept.display());
        println!("    begun anew: {note}");
        notes::add(Kind::Boot, &note);
        drop(guest);
        let mut guest = Self::start(board, &options()?)?;
        let elapsed = guest.wait_serving(timeout)?;
        Ok((guest, elapsed))
    }

    /// Waits until friendlet answers, and returns how long after the start that was.
    pub(crate) fn wait_serving(&mut self, timeout: Duration) -> Result<Duration, String> {
        self.serving(timeout, SILENCE)?.ok_or_else(|| self.failure("the guest is stalled"))
    }

    /// Waits until friendlet answers. Returns `None` if the boot is stalled. An open port is not enough: QEMU
    /// accepts connections for a guest that does not listen yet.
    fn serving(&mut self, timeout: Duration, silence: Duration) -> Result<Option<Duration>, String> {
        let port = self.port(PORT);
        let mut last = Sound::of(self);
        let mut is_stalled = false;
        let elapsed = self.wait("serve", true, timeout, |guest| {
            if answers(port) {
                return Ok(true);
            }
            let now = Sound::of(guest);
            if now.bytes != last.bytes {
                last = now;
            } else {
                is_stalled = now.used.saturating_sub(last.used) >= silence
                    || now.at.duration_since(last.at) >= 4 * silence;
            }
            Ok(is_stalled)
        })?;
        Ok((!is_stalled).then_some(elapsed))
    }

    /// Waits until `text` is on the serial line.
    pub(crate) fn wait_serial(&mut self, text: &str, timeout: Duration) -> Result<Duration, String> {
        self.wait(&format!("say '{text}'"), true, timeout, |guest| Ok(guest.serial().contains(text)))
    }

    /// Waits until the event `name` has happened `count` times. A kernel that panics does not end
    /// this, for it may be what is waited for.
    pub(crate) fn wait_event(
        &mut self,
        name: &str,
        count: usize,
        timeout: Duration,
    ) -> Result<Duration, String> {
        self.wait(&format!("come to {name}"), false, timeout, |guest| {
            Ok(guest.events()?.iter().filter(|event| event.name == name).count() >= count)
        })
    }

    fn wait(
        &mut self,
        what: &str,
        panic_ends_it: bool,
        timeout: Duration,
        mut is_done: impl FnMut(&mut Self) -> Result<bool, String>,
    ) -> Result<Duration, String> {
        let deadline = Instant::now() + timeout;
        loop {
            let runs = self.listen(LOOK)?;
            if is_done(self)? {
                return Ok(self.started.elapsed());
            }
            let verdict = self.verdict();
            let panicked = verdict.complaints.iter().any(|line| line.contains("Kernel panic"));
            if !runs || verdict.end.is_some() || panicked && panic_ends_it {
                return Err(self.failure(&format!("the guest did not {what}: {verdict:?}")));
            }
            if Instant::now() >= deadline {
                return Err(self.failure(&format!("the guest did not {what} within {} s", timeout.as_secs())));
            }
        }
    }

    /// Waits until QEMU ends: the guest powered off, or was reset and does not restart.
    pub(crate) fn wait_end(&mut self, timeout: Duration) -> Result<Verdict, String> {
        let deadline = Instant::now() + timeout;
        while self.listen(LOOK)? {
            if Instant::now() >= deadline {
                return Err(self.failure(&format!("the guest did not end within {} s", timeout.as_secs())));
            }
        }
        let _ = self.child.wait();
        Ok(self.verdict())
    }

    /// Returns the state of the guest, or its result.
    pub(crate) fn verdict(&mut self) -> Verdict {
        while let Ok(message) = self.said.try_recv() {
            let _ = self.take(message);
        }
        Verdict::of(&self.events, &self.serial())
    }

    /// A power cut: QEMU is killed at once, whatever the guest does.
    pub(crate) fn kill(mut self) -> Verdict {
        self.end();
        self.verdict()
    }

    fn end(&mut self) {
        // Both fail only if it has ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    fn failure(&self, message: &str) -> String {
        let serial = self.serial();
        let lines: Vec<_> = serial.lines().collect();
        let shown = &lines[lines.len().saturating_sub(SHOWN_LINES)..];
        format!("{message}\n    serial log, {}:\n{}", self.serial.display(), shown.join("\n"))
    }
}

/// Output of the serial line, with its time.
struct Sound {
    bytes: u64,
    /// Processor time of QEMU.
    used: Duration,
    at: Instant,
}

impl Sound {
    fn of(guest: &Guest) -> Self {
        let bytes = fs::metadata(&guest.serial).map_or(0, |file| file.len());
        Self { bytes, used: clock::used_by(guest.child.id()), at: Instant::now() }
    }
}

impl Drop for Guest {
    fn drop(&mut self) {
        self.end();
    }
}

/// Starts QEMU and passes on what it says, until it ends. It lives in this thread: setpriv's signal
/// comes when the thread that started it ends.
fn listen(
    mut command: Command,
    started: &Sender<Result<Child, std::io::Error>>,
    sender: &Sender<Result<Message, String>>,
) {
    let mut child = match command.spawn() {
        Ok(child) => child,
        Err(error) => {
            let _ = started.send(Err(error));
            return;
        }
    };
    let output = child.stdout.take();
    if started.send(Ok(child)).is_err() {
        return;
    }
    let Some(output) = output else { return };
    for line in BufReader::new(output).lines() {
        let message = match line {
            Ok(line) => qmp::message(line.trim()),
            Err(error) => Err(format!("QEMU's control: {error}")),
        };
        // With nobody left to listen, QEMU is being ended.
        let _ = sender.send(message);
    }
}

/// Returns whether an HTTP server answers on `port`: friendlet does, even if it requires TLS.
fn answers(port: u16) -> bool {
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    let ask = || -> std::io::Result<bool> {
        let mut stream = TcpStream::connect_timeout(&address, PROBE)?;
        stream.set_read_timeout(Some(PROBE))?;
        stream.set_write_timeout(Some(PROBE))?;
        stream.write_all(b"GET /healthz HTTP/1.1\r\nHost: board\r\nConnection: close\r\n\r\n")?;
        let mut answer = [0; 5];
        match stream.read_exact(&mut answer) {
            Err(error) if error.kind() == ErrorKind::UnexpectedEof => Ok(false),
            other => other.map(|()| answer == *b"HTTP/"),
        }
    };
    ask().unwrap_or(false)
}

/// A port of this machine that is free now.
fn free_port() -> Result<u16, String> {
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0))
        .and_then(|listener| listener.local_addr())
        .map(|address| address.port())
        .map_err(|error| format!("no free port: {error}"))
}

/// A copy of the board's disk image for one test, in the board's directory; holes stay holes.
pub(crate) fn copy(board: &Board, name: &str) -> Result<PathBuf, String> {
    let to = board.directory().join(format!("disk-{name}.img"));
    let mut command = run::at_root("cp");
    command.args(["--sparse=always", "--reflink=auto"]).arg(Files::of(board).disk).arg(&to);
    run::captured(&mut command)?;
    Ok(to)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A QEMU with a machine that has no program to run.
    fn idle(name: &str, extra: &[&str]) -> Result<Guest, String> {
        let mut command = run::at_root("qemu-system-arm");
        command.args(["-nodefaults", "-display", "none", "-machine", "virt", "-m", "16"]).args(extra);
        let log =
            |kind: &str| std::env::temp_dir().join(format!("friendlet-{kind}-{name}-{}", std::process::id()));
        let result = Guest::spawn(&command, &log("serial"), &log("qemu"), vec![(1, PORT)]);
        let _ = fs::remove_file(log("qemu"));
        result
    }

    #[test]
    fn a_guest_obeys_and_its_end_is_reported() {
        let mut guest = idle("quit", &["-no-reboot"]).unwrap();
        assert_eq!((guest.port(PORT), guest.port(22)), (1, 0));
        assert!(guest.command("frobnicate", &json!({})).unwrap_err().contains("refused frobnicate"));
        guest.wait_event("RESUME", 1, ANSWER).unwrap();
        let error = guest.wait_serial("hello", Duration::from_millis(300)).unwrap_err();
        assert!(error.contains("did not say 'hello' within"), "{error}");
        fs::write(guest.serial_log(), "Kernel panic - not syncing\n").unwrap();
        assert!(guest.wait_serial("hello", ANSWER).unwrap_err().contains("complaints"));
        guest.command("quit", &json!({})).unwrap();
        let verdict = guest.wait_end(ANSWER).unwrap();
        assert_eq!(verdict.end.as_deref(), Some("host-qmp-quit"));
        assert!(guest.command("cont", &json!({})).is_err());
        fs::remove_file(guest.serial_log()).unwrap();
    }

    #[test]
    fn a_stalled_boot_is_known() {
        // Nothing listens on port 1, and a processor without a program writes nothing.
        let mut guest = idle("still", &[]).unwrap();
        assert_eq!(guest.serving(ANSWER, Duration::from_millis(100)), Ok(None));
        assert!(guest.started.elapsed() < ANSWER);
        fs::remove_file(guest.serial_log()).unwrap();
    }

    #[test]
    fn a_guest_that_is_dropped_or_killed_is_gone() {
        let guest = idle("drop", &[]).unwrap();
        let process = PathBuf::from(format!("/proc/{}", guest.child.id()));
        let serial = guest.serial_log().to_owned();
        assert!(process.exists());
        drop(guest);
        assert!(!process.exists());
        assert_eq!(idle("drop", &[]).unwrap().kill().end, None);
        fs::remove_file(serial).unwrap();
        let error = idle("wrong", &["-device", "nonsense"]).map(|guest| guest.kill()).unwrap_err();
        assert!(error.contains("nonsense"), "{error}");
        fs::remove_file(std::env::temp_dir().join(format!("friendlet-serial-wrong-{}", std::process::id())))
            .unwrap();
    }

    #[test]
    fn an_open_port_is_not_an_answer() {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let port = listener.local_addr().unwrap().port();
        let server = thread::spawn(move || {
            for answer in [&b""[..], b"HTTP/1.1 400 Bad Request\r\n\r\n"] {
                let (mut stream, _) = listener.accept().unwrap();
                let mut head = [0; 64];
                let _ = stream.read(&mut head).unwrap();
                stream.write_all(answer).unwrap();
            }
        });
        assert!(!answers(port));
        assert!(answers(port));
        server.join().unwrap();
        assert!(!answers(port));
    }
}
