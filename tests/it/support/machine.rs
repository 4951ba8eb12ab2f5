//! A new machine with the built-in configuration, as its administrator meets it: nothing in `/etc` and
//! `/var/lib`, `friendlet` in the path, and the default port free. For tests in a namespace
//! ([`run_alone`](super::namespaces::run_alone)).

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::process::Command;

use super::Server;
use super::directory::Directory;
use super::server::{Run, friendlet, run_command};
use super::wait::within;

/// The configuration file.
pub(crate) const FILE: &str = "/etc/friendlet/friendlet.toml";
/// Script in place of cargo: runs a package that is already built.
const CARGO: &str = "[ \"$1\" = run ] && shift || exit 64\n\
                     [ \"$1\" = -q ] && shift\n\
                     [ $# = 0 ] || { [ \"$1\" = -- ] && shift; } || exit 64\n\
                     exec friendlet \"$@\"";

#[derive(Debug)]
pub(crate) struct Machine {
    /// Programs, and the home of the administrator.
    directory: Directory,
}

impl Machine {
    /// Empties the directories of the system, in the namespace of the test.
    #[track_caller]
    pub(crate) fn new() -> Self {
        for directory in ["/etc", "/var/lib"] {
            let status = Command::new("/bin/mount").args(["-t", "tmpfs", "tmpfs", directory]).status();
            assert!(status.unwrap().success(), "mount {directory}");
        }
        fs::create_dir("/etc/friendlet").unwrap();
        let machine = Self { directory: Directory::new() };
        let binary = friendlet();
        let words: Vec<_> = [binary.get_program()].into_iter().chain(binary.get_args()).collect();
        let words: Vec<_> = words.iter().map(|word| format!("'{}'", word.to_str().unwrap())).collect();
        machine.program("friendlet", &format!("exec {} \"$@\"", words.join(" ")));
        machine.program("cargo", CARGO);
        machine
    }

    /// A program of the path.
    fn program(&self, name: &str, script: &str) {
        let file = self.directory.write(name, format!("#!/bin/sh\n{script}\n"));
        fs::set_permissions(file, fs::Permissions::from_mode(0o755)).unwrap();
    }

    /// A line of the administrator's shell.
    pub(crate) fn shell(&self, line: &str) -> Command {
        let mut command = Command::new("/bin/sh");
        command.args(["-c", line]).env("PATH", format!("{}:/usr/bin:/bin", self.directory.path().display()));
        command.current_dir(self.directory.path()).env("XDG_STATE_HOME", self.directory.file("state"));
        command.env_remove("FRIENDLET_SESSION").env_remove("STATE_DIRECTORY");
        command
    }

    /// Runs a line to its end.
    #[track_caller]
    pub(crate) fn run(&self, line: &str, input: &str) -> Run {
        run_command(&mut self.shell(line), input)
    }

    /// Starts the server with `line` and waits until it accepts.
    #[track_caller]
    pub(crate) fn serve(&self, line: &str) -> Server {
        Server::start_command(Directory::new(), self.shell(&format!("exec {line}")))
    }
}

/// The password of the first start of `server`, from the file that its log names.
#[track_caller]
pub(crate) fn first_password(server: &Server) -> String {
    let file = within(super::wait::SOON, "the file of the password is named", || {
        let log = server.log();
        let (_, rest) = log.split_once("with the password in ")?;
        rest.split_once('\n').map(|(file, _)| file.to_owned())
    });
    fs::read_to_string(file).unwrap().trim_end().to_owned()
}
