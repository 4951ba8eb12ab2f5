//! Programs that this process starts, or becomes.

use std::ffi::{CString, OsStr};
use std::fs::File;
use std::io::{self, Read as _};
use std::os::unix::ffi::OsStrExt as _;

use rustix::io::Errno;
use rustix::process::{Pid, WaitOptions, WaitStatus, setpgid, waitpid};

use super::fork::{self, Forked, Image};
use crate::service::Exit;

/// Program with its arguments and its whole environment.
#[derive(Debug)]
pub struct Command {
    program: Vec<u8>,
    arguments: Vec<Vec<u8>>,
    variables: Vec<Vec<u8>>,
}

/// Surroundings of a started program.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Surroundings {
    /// Terminal, directory and process group of this process.
    Inherited,
    /// An empty input, the root directory and a process group of its own.
    Own,
}

impl Command {
    /// Program by its path, or by a name that is looked up in `PATH` of its environment. Arguments, of which the first is
    /// the program's name, and environment are empty.
    pub fn new(program: impl AsRef<OsStr>) -> Self {
        let program = program.as_ref().as_bytes().to_vec();
        Self { program, arguments: Vec::new(), variables: Vec::new() }
    }

    /// Adds an argument.
    pub fn argument(&mut self, argument: impl AsRef<OsStr>) -> &mut Self {
        self.arguments.push(argument.as_ref().as_bytes().to_vec());
        self
    }

    /// Sets a variable of the environment, instead of an earlier one of this name.
    pub fn variable(&mut self, name: impl AsRef<OsStr>, value: impl AsRef<OsStr>) -> &mut Self {
        self.set_variable(name.as_ref().as_bytes(), value.as_ref().as_bytes());
        self
    }

    /// Adds arguments.
    pub fn arguments(&mut self, arguments: impl Iterator<Item = impl AsRef<OsStr>>) -> &mut Self {
        arguments.for_each(|argument| _ = self.argument(argument));
        self
    }

    /// Sets variables.
    pub fn variables(
        &mut self,
        variables: impl Iterator<Item = (impl AsRef<OsStr>, impl AsRef<OsStr>)>,
    ) -> &mut Self {
        variables.for_each(|(name, value)| _ = self.variable(name, value));
        self
    }

    /// Sets the variables of this process.
    pub fn inherit_variables(&mut self) -> &mut Self {
        self.variables(std::env::vars_os())
    }

    fn set_variable(&mut self, name: &[u8], value: &[u8]) {
        let start = [name, b"="].concat();
        self.variables.retain(|variable| !variable.starts_with(&start));
        self.variables.push([&start, value].concat());
    }

    /// Replaces this program, and keeps the signals that are blocked and ignored here. Returns the error.
    pub fn execute(&self) -> io::Error {
        self.image().map_or_else(|error| error, |image| image.execute().into())
    }

    /// Starts a child, with the signals of a new process. The caller reaps it.
    ///
    /// # Errors
    /// Error of pipe(2), fork(2) or execve(2).
    pub fn start(&self, surroundings: Surroundings) -> io::Result<Pid> {
        // The child of a process with threads allocates nothing.
        let image = self.image()?;
        let input = File::open("/dev/null")?;
        let (mut failure, writer) = io::pipe()?;
        let pid = match fork::fork()? {
            Forked::Child => {
                fork::reset_signals();
                let errno = match surroundings {
                    Surroundings::Inherited => Ok(()),
                    Surroundings::Own => setpgid(None, None)
                        .and_then(|()| rustix::stdio::dup2_stdin(&input))
                        .and_then(|()| rustix::process::chdir(c"/")),
                };
                let errno = errno.err().unwrap_or_else(|| image.execute());
                // If this fails, the exit is what the parent sees.
                let _ = rustix::io::write(&writer, &errno.raw_os_error().to_ne_bytes());
                fork::exit_now(127)
            }
            Forked::Parent(pid) => pid,
        };
        drop(writer);
        let mut errno = [0; 4];
        if failure.read_exact(&mut errno).is_ok() {
            let _ = wait(pid);
            return Err(io::Error::from_raw_os_error(i32::from_ne_bytes(errno)));
        }
        Ok(pid)
    }

    /// The same in the form of execve(2).
    fn image(&self) -> io::Result<Image> {
        let texts = |texts: &[Vec<u8>]| -> io::Result<Vec<CString>> {
            // Its error is one of invalid input.
            texts.iter().map(|text| Ok(CString::new(text.as_slice())?)).collect()
        };
        let path = self.variables.iter().find_map(|variable| variable.strip_prefix(b"PATH="));
        let programs = if self.program.contains(&b'/') {
            vec![self.program.clone()]
        } else {
            let directories = path.unwrap_or_default().split(|byte| *byte == b':');
            directories.map(|directory| [directory, b"/", &self.program].concat()).collect()
        };
        Ok(Image::new(texts(&programs)?, texts(&self.arguments)?, texts(&self.variables)?))
    }
}

/// Exit of a process that has ended.
pub fn exit_of(status: WaitStatus) -> Option<Exit> {
    let signal = |signal| Exit::Signal { signal, core: status.as_raw() & 0x80 != 0, oom: false };
    status.exit_status().map(Exit::Code).or_else(|| status.terminating_signal().map(signal))
}

/// Waits for the exit of a child, and reaps it.
///
/// # Errors
/// `ECHILD`: it is not a child of this process.
pub fn wait(child: Pid) -> io::Result<Option<Exit>> {
    loop {
        match waitpid(Some(child), WaitOptions::empty()) {
            Err(Errno::INTR) => {}
            result => return Ok(result?.and_then(|(_, status)| exit_of(status))),
        }
    }
}

/// Returns the exit of a child, and reaps it; `None` while it runs.
///
/// # Errors
/// `ECHILD`: it is not a child of this process.
pub fn try_wait(child: Pid) -> io::Result<Option<Exit>> {
    Ok(waitpid(Some(child), WaitOptions::NOHANG)?.and_then(|(_, status)| exit_of(status)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::tests::lock_children;

    fn shell(script: &str) -> Command {
        let mut command = Command::new("sh");
        command.argument("sh").argument("-c").argument(script).variable("PATH", "/nonexistent:/bin:/usr/bin");
        command
    }

    #[test]
    fn program_is_found_and_gets_arguments_variables_and_surroundings_of_its_own() {
        let _lock = lock_children();
        let script = r#"test "$a" = 2 && test "$(pwd)" = / && ! read -r line && kill -9 $$"#;
        let mut command = shell(script);
        command.variable("a", "1").variable("a", "2").variable("aa", "3");
        assert_eq!(wait(command.start(Surroundings::Own).unwrap()).unwrap(), Some(Exit::signal(9)));
        let inherited = shell(r#"test "$(pwd)" != / && exit 3"#).start(Surroundings::Inherited).unwrap();
        assert_eq!(wait(inherited).unwrap(), Some(Exit::Code(3)));
    }

    #[test]
    fn failure_of_a_start_is_returned() {
        let _lock = lock_children();
        for (program, expected) in [
            ("/nonexistent", io::ErrorKind::NotFound),
            ("nonexistent", io::ErrorKind::NotFound),
            ("/proc/version", io::ErrorKind::PermissionDenied),
            ("a\0b", io::ErrorKind::InvalidInput),
        ] {
            let mut command = Command::new(program);
            let error = command.variable("PATH", "/bin").start(Surroundings::Own).unwrap_err();
            assert_eq!(error.kind(), expected, "{program}");
        }
    }
}
