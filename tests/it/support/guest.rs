//! A booted board under test, reached through the ports that its emulator forwards.
//!
//! `FRIENDLET_GUEST` is the address here of a shell there: a connection to it is fed a script, and
//! gives back what the script wrote. The [`PORTS`] ports after it lead to the same ones after the
//! shell's own there; each server under test listens on one.

use std::io::{Read as _, Write as _};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::os::unix::process::ExitStatusExt as _;
use std::process::ExitStatus;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;
use std::{env, thread};

use super::{Device, wait};

/// Ports for servers, and so the most of them at once.
const PORTS: u16 = 16;
/// The shell's port on the board.
const SHELL_PORT: u16 = 7000;
/// A script that takes longer has failed; an emulated board is slow.
const PATIENCE: Duration = Duration::from_secs(60);

static TAKEN: Mutex<u16> = Mutex::new(0);
static NUMBER: AtomicU32 = AtomicU32::new(0);

/// The board under test.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Guest {
    shell: SocketAddr,
}

/// The board that `FRIENDLET_GUEST` leads to, if any.
pub(crate) fn guest() -> Option<Guest> {
    let address = env::var("FRIENDLET_GUEST").ok()?;
    Some(Guest { shell: address.parse().expect("FRIENDLET_GUEST is an address") })
}

impl Guest {
    /// What `script` writes.
    #[track_caller]
    pub(crate) fn run(self, script: &str) -> String {
        // The emulator accepts before the board does, and hangs up when that one does not.
        wait::within(PATIENCE, "the board's shell answers", || {
            let output = self.try_run(script);
            if output.is_none() {
                thread::sleep(Duration::from_millis(100));
            }
            output
        })
    }

    fn try_run(self, script: &str) -> Option<String> {
        const END: &str = "end of the script";
        let mut stream = TcpStream::connect(self.shell).ok()?;
        stream.set_read_timeout(Some(PATIENCE)).ok()?;
        stream.write_all(format!("{script}\necho {END}\n").as_bytes()).ok()?;
        stream.shutdown(Shutdown::Write).ok()?;
        let mut output = Vec::new();
        stream.read_to_end(&mut output).ok()?;
        let output = String::from_utf8_lossy(&output).into_owned();
        output.strip_suffix(&format!("{END}\n")).map(str::to_owned)
    }
}

/// A port of the board that leads to it from here.
#[derive(Debug)]
struct Port(u16);

impl Port {
    fn claim() -> Self {
        wait::within(PATIENCE, "a port of the board is free", || {
            let mut taken = TAKEN.lock().unwrap();
            let free = (0..PORTS).find(|port| *taken & (1 << port) == 0)?;
            *taken |= 1 << free;
            Some(Self(free))
        })
    }
}

impl Drop for Port {
    fn drop(&mut self) {
        if let Ok(mut taken) = TAKEN.lock() {
            *taken &= !(1 << self.0);
        }
    }
}

/// A server under test on the board; it ends with this value, and its services with it.
#[derive(Debug)]
pub(crate) struct Remote {
    guest: Guest,
    folder: String,
    port: Port,
    pid: u32,
}

impl Remote {
    /// Starts the board's own binary on `device`.
    #[track_caller]
    pub(crate) fn start(guest: Guest, device: &Device) -> Self {
        let port = Port::claim();
        let folder = format!("/tmp/it-{}-{}", std::process::id(), NUMBER.fetch_add(1, Ordering::Relaxed));
        let mut device = device.clone();
        // What is forwarded comes in by the board's network, not by its loopback.
        device.address = format!("0.0.0.0:{}", SHELL_PORT + 1 + port.0);
        if !device.tls {
            device.listen += "insecure = true\n";
        }
        let text = device.text(&format!("{folder}/state"));
        let text = text
            .replace(env!("CARGO_BIN_EXE_friendlet"), "/sbin/friendlet")
            .replace("/bin/sh", "/data/bin/sh");
        // A key is made once, and not for each of a hundred servers.
        guest.run(&format!(
            "mkdir -p {folder}/state; cp -a /data/state/tls {folder}/state/\n\
             cat > {folder}/friendlet.toml <<'END OF FILE'\n{text}\nEND OF FILE\n\
             (sh -c 'echo $$ > {folder}/pid; exec /sbin/friendlet serve --config {folder}/friendlet.toml'\n\
              echo $? > {folder}/code) < /dev/null > /dev/null 2> {folder}/log &\n"
        ));
        let mut remote = Self { guest, folder, port, pid: 0 };
        remote.pid = wait::within(PATIENCE, "the server on the board starts", || {
            remote.cat("pid").trim().parse().ok()
        });
        remote
    }

    fn cat(&self, file: &str) -> String {
        self.guest.run(&format!("cat {}/{file} 2> /dev/null", self.folder))
    }

    /// Where it is reached from here.
    pub(crate) fn address(&self) -> SocketAddr {
        let mut address = self.guest.shell;
        address.set_port(address.port() + 1 + self.port.0);
        address
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

    /// How it ended, once it has.
    pub(crate) fn try_wait(&self) -> Option<ExitStatus> {
        let code: i32 = self.cat("code").trim().parse().ok()?;
        Some(if code > 128 { ExitStatus::from_raw(code - 128) } else { ExitStatus::from_raw(code << 8) })
    }
}

impl Drop for Remote {
    fn drop(&mut self) {
        let Self { guest, folder, pid, .. } = self;
        // The groups of its services first: they would outlive it.
        let script = format!(
            "for stat in /proc/[0-9]*/stat; do read -r id name state parent group rest < $stat 2> /dev/null\n\
             [ \"$parent\" = {pid} ] && kill -9 -- -$id $id; done 2> /dev/null\n\
             kill -9 {pid} 2> /dev/null; rm -rf {folder}"
        );
        guest.try_run(&script);
    }
}
