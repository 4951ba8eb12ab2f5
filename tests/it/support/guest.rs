//! A booted board under test, reached through the ports that its emulator forwards.
//!
//! `FRIENDLET_GUEST` names ports of this machine, with commas between them. The first leads to the
//! board's server. The second leads to a shell there: a connection to it is fed a script, and
//! gives back what the script wrote. The others lead to the ports after the shell's; each server
//! under test listens on one of these.

use std::io::{Read as _, Write as _};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::os::unix::process::ExitStatusExt as _;
use std::process::ExitStatus;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, OnceLock};
use std::time::Duration;
use std::{env, thread};

use super::{Device, wait};

/// The shell's port on the board; those of servers under test follow it.
const SHELL_PORT: u16 = 7000;
/// A script that takes longer has failed; an emulated board is slow.
const TIMEOUT: Duration = Duration::from_secs(180);

/// Places in the list of ports that servers under test have.
static TAKEN: Mutex<Vec<usize>> = Mutex::new(Vec::new());
static NUMBER: AtomicU32 = AtomicU32::new(0);
static PORTS: OnceLock<Option<Vec<u16>>> = OnceLock::new();

/// The board under test.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Guest {
    ports: &'static [u16],
}

/// Program of the board.
const PROGRAM: &str = "/sbin/friendlet";

/// Program of services that are friendlet itself: on the board, or on this machine.
pub(crate) fn program() -> &'static str {
    if guest().is_some() { PROGRAM } else { env!("CARGO_BIN_EXE_friendlet") }
}

/// The board that `FRIENDLET_GUEST` leads to, if any.
pub(crate) fn guest() -> Option<Guest> {
    let ports = PORTS.get_or_init(|| {
        let text = env::var("FRIENDLET_GUEST").ok()?;
        let ports: Option<Vec<u16>> = text.split(',').map(|port| port.parse().ok()).collect();
        Some(ports.filter(|ports| ports.len() > 2).expect("FRIENDLET_GUEST is a list of three ports or more"))
    });
    ports.as_deref().map(|ports| Guest { ports })
}

impl Guest {
    /// Address of the board's server.
    pub(crate) fn server(self) -> SocketAddr {
        self.address(0)
    }

    fn address(self, place: usize) -> SocketAddr {
        SocketAddr::from(([127, 0, 0, 1], self.ports[place]))
    }

    /// Runs `script`. Returns its output.
    #[track_caller]
    pub(crate) fn run(self, script: &str) -> String {
        // The emulator accepts before the board does, and hangs up when that one does not.
        wait::within(TIMEOUT, "the board's shell answers", || {
            let output = self.try_run(script);
            if output.is_none() {
                thread::sleep(Duration::from_millis(100));
            }
            output
        })
    }

    fn try_run(self, script: &str) -> Option<String> {
        const END: &str = "end of the script";
        let mut stream = TcpStream::connect(self.address(1)).ok()?;
        stream.set_read_timeout(Some(TIMEOUT)).ok()?;
        stream.write_all(format!("{script}\necho {END}\n").as_bytes()).ok()?;
        stream.shutdown(Shutdown::Write).ok()?;
        let mut output = Vec::new();
        stream.read_to_end(&mut output).ok()?;
        let output = String::from_utf8_lossy(&output).into_owned();
        output.strip_suffix(&format!("{END}\n")).map(str::to_owned)
    }
}

/// A port of the board that leads to it from here: its place in the list.
#[derive(Debug)]
struct Port(usize);

impl Port {
    fn claim(guest: Guest) -> Self {
        wait::within(TIMEOUT, "a port of the board is free", || {
            let mut taken = TAKEN.lock().unwrap();
            let free = (2..guest.ports.len()).find(|place| !taken.contains(place))?;
            taken.push(free);
            Some(Self(free))
        })
    }
}

impl Drop for Port {
    fn drop(&mut self) {
        if let Ok(mut taken) = TAKEN.lock() {
            taken.retain(|place| *place != self.0);
        }
    }
}

/// A server under test on the board; it ends with this value, and its services with it.
#[derive(Debug)]
pub(crate) struct Remote {
    guest: Guest,
    directory: String,
    port: Port,
    pid: u32,
}

impl Remote {
    /// Starts the board's binary on `device`.
    #[track_caller]
    pub(crate) fn start(guest: Guest, device: &Device) -> Self {
        let port = Port::claim(guest);
        let directory = format!("/tmp/it-{}-{}", std::process::id(), NUMBER.fetch_add(1, Ordering::Relaxed));
        let mut device = device.clone();
        // What is forwarded comes in by the board's network, not by its loopback.
        device.address = format!("0.0.0.0:{}", usize::from(SHELL_PORT) + port.0 - 1);
        if !device.tls {
            device.listen += "insecure = true\n";
        }
        let text = device.text(&format!("{directory}/state"));
        let text = text.replace(env!("CARGO_BIN_EXE_friendlet"), PROGRAM).replace("/bin/sh", "/data/bin/sh");
        // A key is made once, and not for each of a hundred servers.
        guest.run(&format!(
            "mkdir -p {directory}/state; cp -a /data/state/tls {directory}/state/\n\
             cat > {directory}/friendlet.toml <<'END OF FILE'\n{text}\nEND OF FILE\n\
             (sh -c 'echo $$ > {directory}/pid; exec {PROGRAM} serve --config {directory}/friendlet.toml'\n\
              echo $? > {directory}/code) < /dev/null > /dev/null 2> {directory}/log &\n"
        ));
        let mut remote = Self { guest, directory, port, pid: 0 };
        remote.pid =
            wait::within(TIMEOUT, "the server on the board starts", || remote.cat("pid").trim().parse().ok());
        remote
    }

    fn cat(&self, file: &str) -> String {
        self.guest.run(&format!("cat {}/{file} 2> /dev/null", self.directory))
    }

    /// Address of the server, as seen from this machine.
    pub(crate) fn address(&self) -> SocketAddr {
        self.guest.address(self.port.0)
    }

    pub(crate) fn pid(&self) -> u32 {
        self.pid
    }

    pub(crate) fn log(&self) -> String {
        self.cat("log")
    }

    pub(crate) fn signal(&self, signal: i32) {
        self.guest.run(&format!("kill -{signal} {}", self.pid));
    }

    /// Exit status, once it has ended.
    pub(crate) fn try_wait(&self) -> Option<ExitStatus> {
        let code: i32 = self.cat("code").trim().parse().ok()?;
        Some(if code > 128 { ExitStatus::from_raw(code - 128) } else { ExitStatus::from_raw(code << 8) })
    }
}

impl Drop for Remote {
    fn drop(&mut self) {
        let Self { guest, directory, pid, .. } = self;
        // The groups of its services first: they would outlive it.
        let script = format!(
            "for stat in /proc/[0-9]*/stat; do read -r id name state parent group rest < $stat 2> /dev/null\n\
             [ \"$parent\" = {pid} ] && kill -9 -- -$id $id; done 2> /dev/null\n\
             kill -9 {pid} 2> /dev/null\n\
             # The port is given to the next server, and is free only once this one is gone.\n\
             for try in $(seq 100); do kill -0 {pid} 2> /dev/null || break; sleep 0.1; done; rm -rf {directory}"
        );
        guest.try_run(&script);
    }
}
