//! `friendlet check`: errors and warnings that `serve` would have with a configuration file, on this machine or in the
//! root of an image.

mod private_tmp;
mod report;
mod root;

use std::ffi::OsString;
use std::fmt::{self, Write as _};
use std::io;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use self::report::Report;
use self::root::Root;
use super::budget::Budget;
use super::load::{DEFAULT_PATH, Files};
use super::state_dir::{Environment, socket, state_dir};
use super::{exit, load, print, refuse};
use crate::config::{self, Config, Diagnostic, Places, References, Severity, Source};
use crate::limits::BOARD;
use crate::log::{self, Reason};
use crate::serve::{Finding, check_files, check_start, descriptor_warning, preview_sandbox, token_warnings};
use crate::service::{Program, Spec};
use crate::sys::{GROUP, PASSWD, PATH};

/// Correction without a similar name.
const CREATE: &str = "create it, or correct the name";

/// Options of `check`.
#[derive(Debug, Default, Eq, PartialEq)]
pub(super) struct Options {
    /// Configuration file.
    pub(super) file: Option<PathBuf>,
    /// Root directory of an image, in place of that of this machine.
    pub(super) root: Option<PathBuf>,
    /// Board whose limits must be those of this program.
    pub(super) board: Option<String>,
    /// Findings as JSON.
    pub(super) is_json: bool,
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
    let file = options.file.as_deref().unwrap_or(Path::new(DEFAULT_PATH));
    let files = match Files::read(options.file.as_deref().or(default.as_deref())) {
        Ok(files) => files,
        Err(error) if options.is_json => {
            let finding = error.finding();
            let name = finding.as_ref().map_or("", |finding| &finding.source);
            print(&Report::new(name, &[]).json(finding.as_slice(), 0));
            return error.exit_code();
        }
        Err(error) => return refuse(&error),
    };
    let sources = files.sources();
    let report = Report::new(&files.name, &sources);
    let checked = config::parse_with_warnings(&sources, References::Known, &load::program());
    let (config, mut all) = match checked {
        Ok(checked) => checked,
        Err(errors) => {
            if options.is_json {
                print(&report.json(errors.errors(), errors.omitted()));
            } else {
                log::print(format_args!("{}", report.text(errors.errors(), errors.omitted())));
            }
            return exit::CONFIG.into();
        }
    };
    let mut code = None;
    let mut errors = String::new();
    let empty = files.is_empty().then(|| {
        Finding::Warning(
            "the file is empty, so each key has its default; --fall-back and a reload refuse it".to_owned(),
        )
    });
    for finding in empty.into_iter().chain(findings(&config, file, root)) {
        let (severity, message) = match finding {
            Finding::Error(error) => {
                code = code.or(Some(error.code()));
                // Writing to it never fails.
                let _ = writeln!(errors, "friendlet: {error}");
                (Severity::Error, error.to_string())
            }
            Finding::Warning(warning) => (Severity::Warning, warning),
            Finding::Note(note) => (Severity::Note, note),
        };
        let (source, hint) = (files.name.clone(), String::new());
        all.push(Diagnostic { source, place: None, severity, message, hint });
    }
    let reported = all.len();
    for warning in lacks(&config, root, &report.places) {
        // A value that is wrong in itself is reported once.
        if !all.iter().take(reported).any(|other| other.is_in_line_of(&warning)) {
            all.push(warning);
        }
    }
    if options.is_json {
        let printed = print(&report.json(&all, 0));
        return code.map_or(printed, ExitCode::from);
    }
    log::print(format_args!("{errors}"));
    all.retain(|finding| finding.severity != Severity::Error);
    let mut text: String = provenance(&sources).iter().map(|line| format!("{line}\n")).collect();
    text.push_str(&report.text(&all, 0));
    if let Some(code) = code {
        print(&text);
        return code.into();
    }
    // Counted as 0 where the size of the program is unknown.
    let program = std::fs::metadata("/proc/self/exe").map_or(0, |file| file.len());
    let budget = Budget::new(&config, usize::try_from(program).unwrap_or(usize::MAX));
    let sandbox = if root.0.is_none() { preview_sandbox(&config) } else { String::new() };
    print(&format!("{}: ok\n{text}\n{budget}{sandbox}", files.name))
}

/// The file of each service, check and device rule, if there are drop-ins.
fn provenance(sources: &[Source<'_>]) -> Vec<String> {
    if sources.len() > 1 { config::provenance(sources) } else { Vec::new() }
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
        Vec::from_iter(check_files(config, &dir, &|path| root.path(path)))
    };
    findings.extend(token_warnings(config).into_iter().map(Finding::Warning));
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

/// Reasons why services would not start, or not end the board, each at its key.
struct Lacks<'p> {
    places: &'p Places<'p>,
    found: Vec<Diagnostic>,
}

impl Lacks<'_> {
    /// Adds one. `near` is the name that was probably meant.
    fn add(&mut self, spec: &Spec, key: &str, reason: fmt::Arguments<'_>, near: Option<String>) {
        let message = format!("{}: {key}: {reason}", spec.name);
        let hint = near.map_or_else(|| CREATE.to_owned(), |near| format!("did you mean '{near}'?"));
        self.found.push(self.places.warning(&spec.name, key, message, hint));
    }
}

fn lacks(config: &Config, root: Root<'_>, places: &Places<'_>) -> Vec<Diagnostic> {
    let mut lacks = Lacks { places, found: Vec::new() };
    for (name, end) in config.without_board_end().filter(|_| !root.has_init()) {
        let end = end.name();
        let message =
            format!("{name}: {end} after its end needs friendlet init, because [board] has no {end}");
        lacks.found.push(places.warning(name, "on_failure", message, String::new()));
    }
    // The built-in service runs this program, which an image has at a path of its own.
    let own = root.0.map(|_| load::program());
    for (service, spec) in config.services.iter() {
        let path = spec.env.iter().find_map(|entry| entry.strip_prefix("PATH=")).unwrap_or(PATH);
        for program in Program::all() {
            let name = config.services.program(service, program).and_then(|argv| argv.first());
            let Some(name) = name.filter(|name| own.as_deref() != Some(*name)) else { continue };
            // A name without a slash is looked up in the path.
            let at = if name.contains('/') { Path::new(&*spec.cwd).join(name) } else { PathBuf::from(name) };
            if let Err(error) = root.executable(&at, path) {
                let (reason, near) = (Reason::from(&error), root.nearest_file(&at));
                lacks.add(spec, program.key(), format_args!("{name}: {reason}"), near);
            }
        }
        add_surroundings(spec, root, &mut lacks);
        private_tmp::warn(config, service, spec, root, &mut lacks);
    }
    lacks.found
}

/// Adds the directory, file, user and groups that a service lacks.
fn add_surroundings(spec: &Spec, root: Root<'_>, lacks: &mut Lacks<'_>) {
    let env_file = &spec.attributes.env_file;
    let paths = [
        ("cwd", spec.cwd.as_str(), root.has_dir(&spec.cwd), "directory"),
        ("env_file", env_file.as_str(), root.has_file(env_file), "regular file"),
    ];
    for (key, path, is_there, kind) in paths {
        if !path.is_empty() && !is_there {
            let near = root.nearest_file(Path::new(path));
            lacks.add(spec, key, format_args!("no {kind} {path}"), near);
        }
    }
    if !spec.user.is_empty() && !root.has_user(&spec.user) {
        let near = root.nearest_entry(PASSWD, &spec.user);
        lacks.add(spec, "user", format_args!("no user '{}'", spec.user), near);
    }
    for group in &spec.attributes.groups {
        if !root.has_group(group) {
            let near = root.nearest_entry(GROUP, group);
            lacks.add(spec, "groups", format_args!("no group '{group}'"), near);
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
        let config = config::parse(text, "f", "/bin/sh").unwrap();
        assert_eq!(
            lacks(&config, Root(None), &Places::new(&[Source::new("f", text)]))
                .into_iter()
                .map(|lack| lack.message)
                .collect::<Vec<_>>(),
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
