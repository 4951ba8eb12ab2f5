//! `friendlet check`: errors and warnings that `serve` would have with a configuration file, on this machine or in the
//! root of an image.

mod private_tmp;
mod root;

use std::ffi::OsString;
use std::fmt::Write as _;
use std::io;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use self::root::Root;
use super::budget::Budget;
use super::load::DEFAULT_PATH;
use super::state_dir::{Environment, socket, state_dir};
use super::{exit, load, print, refuse};
use crate::config::Config;
use crate::limits::BOARD;
use crate::log::{self, Reason};
use crate::serve::{Finding, check_files, check_start, descriptor_warning, preview_sandbox, token_warnings};
use crate::service::{Program, Spec};
use crate::sys::PATH;

/// Options of `check`.
#[derive(Debug, Default, Eq, PartialEq)]
pub(super) struct Options {
    /// Configuration file.
    pub(super) file: Option<PathBuf>,
    /// Root directory of an image, in place of that of this machine.
    pub(super) root: Option<PathBuf>,
    /// Board whose limits must be those of this program.
    pub(super) board: Option<String>,
}

/// Reports all errors of a configuration file, or the memory that a server with it uses at most, and what its services
/// lack on this machine or in the root of an image, and the sandbox that this kernel has for it. With drop-ins, also the file of each service, check and device rule.
pub(super) fn run(options: &Options) -> ExitCode {
    if let Some(board) = options.board.as_deref().filter(|board| *board != BOARD) {
        log::print(format_args!(
            "friendlet: --board {board}: this program has the limits of the board {BOARD}, and no others; run the \
             friendlet of {board}, or `cargo xtask check FILE --board {board}` in the sources\n"
        ));
        return exit::USAGE.into();
    }
    let root = Root(options.root.as_deref());
    // A file of an image is not replaced by one of this machine or this program, and named for that.
    let default = match root.0.map(|dir| default_file(dir).map_err(|error| (dir, error))).transpose() {
        Ok(default) => default,
        Err((dir, error)) => {
            log::print(format_args!("friendlet: --root {}: {}\n", dir.display(), Reason::from(&error)));
            return exit::NO_INPUT.into();
        }
    };
    let (source, config, provenance) = match load::check(options.file.as_deref().or(default.as_deref())) {
        Ok(checked) => checked,
        Err(error) => return refuse(&error),
    };
    let (mut code, mut text) = (None, String::new());
    for line in provenance {
        // Writing to it never fails.
        let _ = writeln!(text, "{line}");
    }
    let file = options.file.as_deref().unwrap_or(Path::new(DEFAULT_PATH));
    for finding in findings(&config, file, root) {
        let _ = match finding {
            Finding::Error(error) => {
                log::print(format_args!("friendlet: {error}\n"));
                code = code.or(Some(error.code()));
                Ok(())
            }
            Finding::Warning(warning) => writeln!(text, "{source}: warning: {warning}"),
            Finding::Note(note) => writeln!(text, "{source}: note: {note}"),
        };
    }
    if let Some(code) = code {
        print(&text);
        return code.into();
    }
    // Counted as 0 where the size of the program is unknown.
    let program = std::fs::metadata("/proc/self/exe").map_or(0, |file| file.len());
    let budget = Budget::new(&config, usize::try_from(program).unwrap_or(usize::MAX));
    let sandbox = if root.0.is_none() { preview_sandbox(&config) } else { String::new() };
    print(&format!("{source}: ok\n{text}\n{budget}{sandbox}"))
}

/// Path of the configuration file of an image.
///
/// # Errors
/// The root cannot be read, or its links are a loop.
fn default_file(root: &Path) -> io::Result<PathBuf> {
    std::fs::read_dir(root)?;
    Root(Some(root)).path(Path::new(DEFAULT_PATH))
}

/// Compares a configuration with this machine, or with the root of an image: an address, a state directory and a limit
/// of descriptors are those of the machine that will run it.
fn findings(config: &Config, file: &Path, root: Root<'_>) -> Vec<Finding> {
    let mut environment = Environment::of_this_process();
    let mut findings = if root.0.is_none() {
        environment.state_directory = environment.state_directory.or_else(board_directory);
        let (dir, socket) = (state_dir(config, &environment), socket(config, &environment));
        let mut findings = check_start(config, file, &dir, socket.as_deref());
        findings.extend(descriptor_warning(config).map(Finding::Warning));
        findings
    } else {
        let dir = state_dir(config, &Environment { is_root: true, ..environment });
        Vec::from_iter(check_files(&config.listen, &dir, &|path| root.path(path)))
    };
    findings.extend(token_warnings(config).map(Finding::Warning));
    findings.extend(warnings(config, root).into_iter().map(Finding::Warning));
    findings
}

/// State directory on a board whose process 1 is this program: it passes it to the server, and not to the shell of a
/// service.
fn board_directory() -> Option<OsString> {
    let program = |process: &str| std::fs::read_link(format!("/proc/{process}/exe")).ok();
    let own = program("self")?;
    // A server may be process 1, too, in a container.
    let line = std::fs::read("/proc/1/cmdline").ok()?;
    let is_init =
        line.split(|byte| *byte == 0).take(2).any(|word| word == b"init" || word.ends_with(b"/init"));
    (is_init && program("1")? == own).then(|| crate::init::STATE_DIRECTORY.into())
}

/// Reasons why a service would not start, or not end the board.
fn warnings(config: &Config, root: Root<'_>) -> Vec<String> {
    let mut warnings = Vec::new();
    for (name, end) in config.without_board_end().filter(|_| !root.has_init()) {
        let end = end.name();
        warnings
            .push(format!("{name}: {end} after its end needs friendlet init, because [board] has no {end}"));
    }
    // The built-in service runs this program, which an image has at a path of its own.
    let own = root.0.map(|_| load::program());
    for (service, spec) in config.services.iter() {
        let path = spec.env.iter().find_map(|entry| entry.strip_prefix("PATH=")).unwrap_or(PATH);
        for program in Program::all() {
            let name = config.services.program(service, program).and_then(|argv| argv.first());
            let Some(name) = name.filter(|name| own.as_deref() != Some(*name)) else { continue };
            if let Err(error) = root.executable(name, path) {
                warnings.push(format!("{}: {}: {name}: {}", spec.name, program.key(), Reason::from(&error)));
            }
        }
        warn_of_surroundings(spec, root, &mut warnings);
        private_tmp::warn(config, service, spec, root, &mut warnings);
    }
    warnings
}

/// Adds the directory, file, user and groups that a service lacks.
fn warn_of_surroundings(spec: &Spec, root: Root<'_>, warnings: &mut Vec<String>) {
    let env_file = &spec.attributes.env_file;
    let paths = [
        ("cwd", spec.cwd.as_str(), root.has_dir(&spec.cwd), "directory"),
        ("env_file", env_file.as_str(), root.has_file(env_file), "regular file"),
    ];
    for (key, path, is_there, kind) in paths {
        if !path.is_empty() && !is_there {
            warnings.push(format!("{}: {key}: no {kind} {path}", spec.name));
        }
    }
    if !spec.user.is_empty() && !root.has_user(&spec.user) {
        warnings.push(format!("{}: user: no user '{}'", spec.name, spec.user));
    }
    for group in &spec.attributes.groups {
        if !root.has_group(group) {
            warnings.push(format!("{}: groups: no group '{group}'", spec.name));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lacks_of_a_service_are_named() {
        let text = "[[service]]\nname = 'web'\ncommand = ['/nonexistent/web']\npre_start = ['true']\nuser = 'no-one'\n\
                    groups = ['no-group', '7']\ncwd = '/nonexistent'\nenv_file = '/nonexistent/env'\n\
                    [service.commands]\nrun = ['no-program-of-this-name']\n";
        let config = crate::config::parse(text, "f", "/bin/sh").unwrap();
        assert_eq!(
            warnings(&config, Root(None)),
            [
                "web: commands: no-program-of-this-name: No such file or directory (errno 2)",
                "web: command: /nonexistent/web: No such file or directory (errno 2)",
                "web: cwd: no directory /nonexistent",
                "web: env_file: no regular file /nonexistent/env",
                "web: user: no user 'no-one'",
                "web: groups: no group 'no-group'",
            ]
        );
    }
}
