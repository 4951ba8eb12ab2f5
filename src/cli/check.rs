//! `friendlet check`: what `serve` would say of a configuration file on this machine.

use std::fmt::Write as _;
use std::path::Path;
use std::process::ExitCode;

use rustix::fs::{Access, access};

use super::budget::Budget;
use super::state_dir::{Environment, state_dir};
use super::{load, print, refuse};
use crate::config::Config;
use crate::log::{self, Reason};
use crate::service::{Program, Spec};
use crate::sys::{PATH, lookup, lookup_group};

/// Reports all errors of a configuration file, or the memory that a server with it uses at most, and what its services
/// lack on this machine. With drop-ins, also the file of each service, check and device rule.
pub(super) fn run(file: Option<&Path>) -> ExitCode {
    let (source, config, provenance) = match load::check(file) {
        Ok(checked) => checked,
        Err(error) => return refuse(&error),
    };
    if let Err(error) =
        crate::serve::check_certificate(&config.listen, &state_dir(&config, &Environment::of_this_process()))
    {
        log::print(format_args!("friendlet: {error}\n"));
        return error.code().into();
    }
    // Counted as 0 where the size of the program is unknown.
    let program = std::fs::metadata("/proc/self/exe").map_or(0, |file| file.len());
    let budget = Budget::new(&config, usize::try_from(program).unwrap_or(usize::MAX));
    let mut text = format!("{source}: ok\n");
    for line in provenance {
        // Writing to it never fails.
        let _ = writeln!(text, "{line}");
    }
    for warning in warnings(&config) {
        let _ = writeln!(text, "{source}: warning: {warning}");
    }
    print(&format!("{text}\n{budget}"))
}

/// Reasons why a service would not start, or not end the board.
fn warnings(config: &Config) -> Vec<String> {
    let mut warnings = Vec::new();
    for (name, end) in config.without_board_end() {
        let end = end.name();
        warnings
            .push(format!("{name}: {end} after its end needs friendlet init, because [board] has no {end}"));
    }
    for (service, spec) in config.services.iter() {
        let path = spec.env.iter().find_map(|entry| entry.strip_prefix("PATH=")).unwrap_or(PATH);
        for program in Program::all() {
            let name = config.services.program(service, program).and_then(|argv| argv.first());
            let Some(name) = name else { continue };
            if let Err(error) = executable(name, path) {
                warnings.push(format!("{}: {}: {name}: {}", spec.name, program.key(), Reason::from(error)));
            }
        }
        warn_of_surroundings(spec, &mut warnings);
    }
    warnings
}

/// Checks that a program can be executed. One without a slash is searched in `path`.
fn executable(name: &str, path: &str) -> Result<(), rustix::io::Errno> {
    if name.contains('/') {
        return access(name, Access::EXEC_OK);
    }
    let mut found = path.split(':').map(|directory| access(Path::new(directory).join(name), Access::EXEC_OK));
    found.find(Result::is_ok).unwrap_or(Err(rustix::io::Errno::NOENT))
}

/// Adds the directory, file, user and groups that a service lacks.
fn warn_of_surroundings(spec: &Spec, warnings: &mut Vec<String>) {
    let env_file = &spec.attributes.env_file;
    let paths = [
        ("cwd", spec.cwd.as_str(), Path::new(spec.cwd.as_str()).is_dir()),
        ("env_file", env_file.as_str(), Path::new(env_file.as_str()).is_file()),
    ];
    for (key, path, is_there) in paths {
        if !path.is_empty() && !is_there {
            warnings.push(format!("{}: {key}: {path} is missing", spec.name));
        }
    }
    if !spec.user.is_empty() && matches!(lookup(&spec.user), Ok(None)) {
        warnings.push(format!("{}: user: no user '{}'", spec.name, spec.user));
    }
    for group in &spec.attributes.groups {
        if matches!(lookup_group(group), Ok(None)) {
            warnings.push(format!("{}: groups: no group '{group}'", spec.name));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn programs_are_searched_as_at_a_start() {
        assert_eq!(executable("/bin/sh", ""), Ok(()));
        assert_eq!(executable("sh", "/nonexistent:/bin"), Ok(()));
        assert_eq!(executable("sh", "/nonexistent"), Err(rustix::io::Errno::NOENT));
        assert_eq!(executable("/etc/passwd", ""), Err(rustix::io::Errno::ACCESS));
        assert_eq!(executable("/bin/sh/sh", ""), Err(rustix::io::Errno::NOTDIR));
    }

    #[test]
    fn lacks_of_a_service_are_named() {
        let text = "[[service]]\nname = 'web'\ncommand = ['/nonexistent/web']\npre_start = ['true']\nuser = 'no-one'\n\
                    groups = ['no-group', '7']\ncwd = '/nonexistent'\nenv_file = '/nonexistent/env'\n\
                    [service.commands]\nrun = ['no-program-of-this-name']\n";
        let config = crate::config::parse(text, "f", "/bin/sh").unwrap();
        assert_eq!(
            warnings(&config),
            [
                "web: commands: no-program-of-this-name: No such file or directory (errno 2)",
                "web: command: /nonexistent/web: No such file or directory (errno 2)",
                "web: cwd: /nonexistent is missing",
                "web: env_file: /nonexistent/env is missing",
                "web: user: no user 'no-one'",
                "web: groups: no group 'no-group'",
            ]
        );
    }
}
