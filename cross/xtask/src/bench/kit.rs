//! The programs that are measured and the load, built, with a certificate and configuration files.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

use super::peer::{Build, FRIENDLET, Peer};
use crate::board::Board;
use crate::{build, run, setup};

/// Debian's packages that the measurements need.
const TOOLS: [&str; 3] = ["openssl", "strace", "valgrind"];
const LIBRARIES: [&str; 2] = ["libssl-dev", "libwebsockets-dev"];

/// Target directory of the peers' workspace.
const TARGET: &str = "cross/bench/target";

/// Slots of the build of friendlet whose idle connections are counted.
pub(super) const BENCH_SLOTS: u32 = 1024;

/// Configuration file without its first lines. The user's password was 20 random bytes, and is lost.
///
/// Without the sandbox, because valgrind is in the measured process, and makes calls of its own.
const DEVICE: &str = r#"
[board]
sandbox = false
[log]
level = "info"
[[user]]
name = "bench"
level = "admin"
password = "$pbkdf2-sha256$i=200000$o5ljARSNVcpYN4WpfNFEIg$7SwD7/TrWQrCj6G0rw7N5L0R5Y6blpUL9Cz3OMpC9sI"
[[token]]
user = "bench"
sha256 = "3c1254e442cb96265cd08c8e2f9815d224a2de6048292deca9fd6bdf5c0d7d3c"
[[service]]
name = "hello"
command = ["/bin/sleep", "1000000"]
"#;

/// Paths of the programs.
#[derive(Debug)]
pub(crate) struct Kit {
    /// Directory of everything that a run writes.
    pub(super) directory: PathBuf,
    /// friendlet as the host board has it.
    pub(super) friendlet: PathBuf,
    /// The same with more slots.
    bench_board: PathBuf,
    /// Target directory of the peers.
    peers: PathBuf,
    load: PathBuf,
    libwebsockets: PathBuf,
}

impl Kit {
    /// Builds friendlet, its bench board, the load and these peers; installs what that needs.
    pub(crate) fn build(peers: &[&Peer]) -> Result<Self, String> {
        let begin = Instant::now();
        let has_c = peers.iter().any(|peer| peer.build == Build::C);
        let mut packages = TOOLS.to_vec();
        if has_c {
            packages.extend(LIBRARIES);
        }
        setup::ensure(&packages)?;

        let root = run::root();
        let directory = root.join("target/bench");
        let targets = root.join(TARGET);
        let kit = Self {
            friendlet: build::build(&Board::load("host")?)?,
            bench_board: build_bench_board(&directory.join("board"))?,
            load: build_load()?,
            libwebsockets: directory.join("libwebsockets"),
            peers: targets,
            directory,
        };
        let profiles: BTreeSet<&str> = peers
            .iter()
            .filter_map(|peer| if let Build::Rust(profile) = peer.build { Some(profile) } else { None })
            .collect();
        for profile in profiles {
            build_in_bench(&["--profile", profile, "--package", "peers"])?;
        }
        if has_c {
            kit.build_libwebsockets()?;
        }
        for directory in ["state", "runs"] {
            let directory = kit.directory.join(directory);
            run::create_directory(&directory)?;
        }
        kit.make_certificate()?;
        println!("    everything built in {:.0} s", begin.elapsed().as_secs_f64());
        Ok(kit)
    }

    fn build_libwebsockets(&self) -> Result<(), String> {
        let mut command = run::at_root("cc");
        command.args(["-Os", "-s", "-Wall", "-Wextra", "-o"]).arg(&self.libwebsockets);
        command.args(["cross/bench/libwebsockets/echo.c", "-lwebsockets", "-lssl", "-lcrypto"]);
        run::shown(&mut command)
    }

    /// A self-signed P-256 certificate, the kind that friendlet makes; one for all.
    fn make_certificate(&self) -> Result<(), String> {
        if self.certificate().is_file() && self.key().is_file() {
            return Ok(());
        }
        let mut command = run::at_root("openssl");
        command.args(["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1"]);
        command.args(["-nodes", "-days", "3650", "-subj", "/CN=friendlet"]);
        command.args(["-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1", "-keyout"]);
        command.arg(self.key()).arg("-out").arg(self.certificate());
        run::captured(&mut command).map(drop)
    }

    fn certificate(&self) -> PathBuf {
        self.directory.join("certificate.pem")
    }

    fn key(&self) -> PathBuf {
        self.directory.join("key.pem")
    }

    /// A file of this run.
    pub(super) fn file(&self, name: &str) -> PathBuf {
        self.directory.join("runs").join(name)
    }

    /// The load, to be given its mode.
    pub(super) fn load(&self) -> Command {
        Command::new(&self.load)
    }

    /// The program of a peer.
    pub(super) fn program(&self, peer: &Peer, with_bench_slots: bool) -> PathBuf {
        match peer.build {
            Build::Friendlet if with_bench_slots => self.bench_board.clone(),
            Build::Friendlet => self.friendlet.clone(),
            Build::Rust(profile) => self.peers.join(profile).join(peer.program),
            Build::C => self.libwebsockets.clone(),
        }
    }

    /// Its arguments, to listen on a port of the loopback.
    pub(super) fn arguments(&self, peer: &Peer, tls: bool, port: u16) -> Result<Vec<String>, String> {
        let listen = format!("127.0.0.1:{port}");
        if peer.is_friendlet() {
            let file = self.configuration_file(tls, &listen)?;
            return Ok(vec!["serve".to_owned(), "--config".to_owned(), text(&file)]);
        }
        let mut arguments = vec!["--listen".to_owned(), listen];
        if tls {
            arguments.extend(["--tls".to_owned(), text(&self.certificate()), text(&self.key())]);
        }
        Ok(arguments)
    }

    fn configuration_file(&self, tls: bool, listen: &str) -> Result<PathBuf, String> {
        let (name, switch) = if tls { ("tls.toml", "on") } else { ("plain.toml", "off") };
        let path = self.file(name);
        let (certificate, key) = (self.certificate(), self.key());
        let content = format!(
            "[listen]\naddress = {listen:?}\nsocket = \"off\"\ntls = {switch:?}\ncertificate = {certificate:?}\nkey = {key:?}\n\
             [state]\ndir = {:?}\n{DEVICE}",
            self.directory.join("state")
        );
        run::write(&path, content)?;
        Ok(path)
    }
}

/// The kit of the step `figures`: friendlet alone.
pub(crate) fn for_figures() -> Result<Kit, String> {
    Kit::build(&[&FRIENDLET])
}

fn text(path: &Path) -> String {
    path.to_string_lossy().into_owned()
}

/// In the same target directory, for its libraries are those of the host's program.
fn build_bench_board(directory: &Path) -> Result<PathBuf, String> {
    let slots = BENCH_SLOTS.to_string();
    let environment = [("FRIENDLET_LIMIT_SLOTS", slots.as_str())];
    let built = build::build_in(&Board::load("host")?, &run::root().join("target"), &environment)?;
    let binary = directory.join("friendlet");
    build::put(&built, &binary)?;
    Ok(binary)
}

/// Builds the load; returns its program.
pub(super) fn build_load() -> Result<PathBuf, String> {
    build_in_bench(&["--profile", "load", "--package", "load"])?;
    Ok(run::root().join(TARGET).join("load/load"))
}

/// Builds in the peers' workspace, with friendlet's own release profile.
fn build_in_bench(arguments: &[&str]) -> Result<(), String> {
    let mut command = crate::cargo::cargo(&["build", "--locked", "--quiet"]);
    command.args(arguments).args(crate::cargo::BENCH);
    for (key, value) in release_profile()? {
        command.args(["--config", &format!("profile.release.{key}={value}")]);
    }
    run::shown(&mut command)
}

/// `[profile.release]` of friendlet's Cargo.toml: what all are built with.
pub(super) fn release_profile() -> Result<Vec<(String, String)>, String> {
    let path = run::root().join("Cargo.toml");
    let text = run::read(&path)?;
    let table: toml::Table = text.parse().map_err(|error| format!("{}: {error}", path.display()))?;
    let profile = table.get("profile").and_then(|profile| profile.get("release")?.as_table());
    let profile = profile.ok_or("Cargo.toml: [profile.release] is missing")?;
    // Libraries are the same to the peers as to friendlet.
    let settings = |name| profile.get("package").and_then(|packages| packages.get(name)?.as_table());
    let libraries = ["*", "ring"].into_iter().flat_map(|name| {
        let settings = settings(name).into_iter().flatten();
        settings.map(move |(key, value)| (format!("package.\"{name}\".{key}"), value))
    });
    let keys = profile.iter().filter(|(_, value)| !value.is_table());
    let keys = keys.map(|(key, value)| (key.clone(), value)).chain(libraries);
    keys.map(|(key, value)| {
        let value = match value {
            toml::Value::String(text) => format!("{text:?}"),
            toml::Value::Integer(number) => number.to_string(),
            toml::Value::Boolean(choice) => choice.to_string(),
            _ => return Err(format!("Cargo.toml: [profile.release] {key}: a value of an unknown kind")),
        };
        Ok((key, value))
    })
    .collect()
}
