//! `friendlet import`: programs of supervisord and units of systemd as tables of a configuration file.
//!
//! `ini` reads both formats, `supervisord` and `systemd` have a table of their keys each, `service` writes what came of
//! them. What has no twin stays as a comment with its line.

mod ini;
mod service;
mod supervisord;
mod systemd;
mod words;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use super::load::LoadError;
use super::{exit, print, refuse};
use crate::config;
use crate::limits::CONFIG_BYTES;
use crate::log;
use crate::sys::file;

use service::Service;

/// File of another supervisor.
#[derive(Debug)]
pub struct File<'a> {
    /// Its path, which names a unit of systemd.
    pub path: &'a Path,
    /// Its content.
    pub text: &'a str,
}

/// Translates these files to standard output.
pub(super) fn run(paths: &[PathBuf]) -> ExitCode {
    let mut texts = Vec::new();
    for path in paths {
        match file::read_text(path, CONFIG_BYTES) {
            Ok(text) => texts.push(text),
            Err(error) => return refuse(&LoadError::File(error)),
        }
    }
    let files: Vec<_> = paths.iter().zip(&texts).map(|(path, text)| File { path, text }).collect();
    let Translation { text, services, notes, refused } = translated(&files);
    for message in &refused {
        log::print(format_args!("friendlet: import: {message}\n"));
    }
    if services == 0 {
        return exit::DATA.into();
    }
    if print(&text) != ExitCode::SUCCESS {
        return exit::IO.into();
    }
    log::print(format_args!(
        "friendlet: import: {services} services; {notes} settings need a look: see the comments\n"
    ));
    match config::parse(&text, "result", "friendlet") {
        Ok(_) if refused.is_empty() => ExitCode::SUCCESS,
        Ok(_) => exit::DATA.into(),
        Err(errors) => {
            log::print(format_args!("{errors}\n"));
            exit::DATA.into()
        }
    }
}

/// Services of all files.
#[derive(Debug)]
pub struct Translation {
    /// Their tables.
    pub text: String,
    /// Number of services.
    pub services: usize,
    /// Number of settings without a twin.
    pub notes: usize,
    /// A message for each file without a service, which keeps no other file from being translated.
    pub refused: Vec<String>,
}

/// Translates files.
pub fn translated(files: &[File<'_>]) -> Translation {
    let (mut services, mut refused) = (Vec::new(), Vec::new());
    for file in files {
        match services_of(file) {
            Ok(found) => services.extend(found),
            Err(message) => refused.push(format!("{}{message}", file.path.display())),
        }
    }
    let names: Vec<String> = services.iter().map(|service: &Service| service.name.clone()).collect();
    services.iter_mut().for_each(|service| service.keep_known(&names));
    let notes = services.iter().map(|service| service.notes.len()).sum();
    Translation {
        text: services.iter().map(Service::text).collect(),
        services: services.len(),
        notes,
        refused,
    }
}

/// Services of a file, in their order.
fn services_of(file: &File<'_>) -> Result<Vec<Service>, String> {
    let entries = ini::read(file).map_err(|line| format!(":{line}: '[' without ']'"))?;
    if entries.iter().any(|entry| entry.section == ini::SERVICE) {
        return Ok(vec![systemd::service(file.path, &entries)]);
    }
    let found = supervisord::services(file.path, &entries);
    if found.is_empty() {
        return Err(": neither [program:NAME] of supervisord nor [Service] of a unit of systemd; \
             docs/moving.md has timers and other supervisors"
            .to_owned());
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Translation of one file.
    pub(super) fn text_of(path: &str, text: &str) -> String {
        let Translation { text, refused, .. } = translated(&[File { path: Path::new(path), text }]);
        assert_eq!(refused, [""; 0]);
        text
    }

    /// The same, without the empty lines around it; every result is a configuration.
    #[track_caller]
    pub(super) fn assert_translated(path: &str, text: &str, expected: &str) {
        let found = text_of(path, text);
        assert_eq!(found.trim(), expected.trim());
        config::parse(&found, "result", "friendlet").unwrap();
    }

    #[test]
    fn file_of_another_kind_is_named() {
        for text in
            ["", "command = 1\n", "[Unit]\nDescription=x\n", "[supervisord]\n", "\u{0}=\n", "#!/bin/sh\n"]
        {
            let Translation { refused, services, .. } = translated(&[File { path: Path::new("f"), text }]);
            assert!(refused[0].starts_with("f: neither [program:NAME]") && services == 0, "{refused:?}");
        }
    }

    #[test]
    fn file_without_a_service_keeps_no_other_from_being_translated() {
        let files =
            [("a.timer", "[Timer]\nOnCalendar=daily\n"), ("b.service", "\u{feff}[Service]\nExecStart=/b\n")];
        let files = files.map(|(path, text)| File { path: Path::new(path), text });
        let Translation { text, refused, .. } = translated(&files);
        assert!(
            text.contains("name = \"b\"") && refused.len() == 1 && refused[0].starts_with("a.timer: neither")
        );
    }

    #[test]
    fn section_without_its_end_is_refused() {
        let text = "[program:a]\ncommand=/a\n[program:b\ncommand=/b\n";
        let Translation { refused, services, .. } = translated(&[File { path: Path::new("f"), text }]);
        assert_eq!((refused, services), (vec!["f:3: '[' without ']'".to_owned()], 0));
    }

    #[test]
    fn services_of_several_files_know_each_other() {
        let files = [
            File {
                path: Path::new("/etc/a.service"),
                text: "[Unit]\nAfter=b.service c.service\n[Service]\nExecStart=/a\n",
            },
            File { path: Path::new("b.service"), text: "[Service]\nExecStart=/b\n" },
        ];
        let Translation { text, services, notes, .. } = translated(&files);
        assert_eq!((services, notes), (2, 1));
        assert!(text.contains("after = [\"b\"]\n"), "{text}");
        assert!(text.contains("# a.service:2: After=c.service: not imported with it\n"), "{text}");
    }

    proptest! {
        /// Lines of both formats, mixed and broken.
        #[test]
        fn any_text_becomes_toml_or_is_refused(
            name in "[a-z@%\"]{0,3}",
            lines in prop::collection::vec(
                (
                    prop::sample::select(&[
                        "[program:x]", "[Service]", "[Unit]", "", " ", "command=", "ExecStart=", "Environment=",
                        "environment=", "numprocs=", "After=", "LimitNOFILE=", "TimeoutSec=", "stdout_logfile=",
                        "stdout_logfile_backups=", "ExecReload=", "CapabilityBoundingSet=", "startretries=",
                    ][..]),
                    "[a-z0-9%()$'\"\\\\=,:;# /-]{0,12}|\\PC{0,4}|[0-9]{1,21}[a-zA-Z]{0,2}",
                    prop::sample::select(&["\n", "\\\n", "\n  ", "\u{0}"][..]),
                ),
                0..12,
            ),
        ) {
            let text: String = lines.into_iter().map(|(start, rest, end)| format!("{start}{rest}{end}")).collect();
            let path = format!("/d/{name}.service");
            let Translation { text, .. } = translated(&[File { path: Path::new(&path), text: &text }]);
            prop_assert!(text.parse::<toml::Table>().is_ok(), "{}", text);
        }
    }
}
