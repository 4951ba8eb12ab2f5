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
    let (text, services, notes) = match translated(&files) {
        Ok(translated) => translated,
        Err(message) => {
            log::print(format_args!("friendlet: import: {message}\n"));
            return exit::DATA.into();
        }
    };
    if print(&text) != ExitCode::SUCCESS {
        return exit::IO.into();
    }
    log::print(format_args!(
        "friendlet: import: {services} services; {notes} settings need a look: see the comments\n"
    ));
    match config::parse(&text, "result", "friendlet") {
        Ok(_) => ExitCode::SUCCESS,
        Err(errors) => {
            log::print(format_args!("{errors}\n"));
            exit::DATA.into()
        }
    }
}

/// Tables of all files, with the numbers of services and of notes.
///
/// # Errors
/// The file without a service.
pub fn translated(files: &[File<'_>]) -> Result<(String, usize, usize), String> {
    let services = services(files)?;
    let notes = services.iter().map(|service| service.notes.len()).sum();
    Ok((services.iter().map(Service::text).collect(), services.len(), notes))
}

/// Services of all files, in their order.
fn services(files: &[File<'_>]) -> Result<Vec<Service>, String> {
    let mut services = Vec::new();
    for file in files {
        let entries = ini::read(file);
        let found = if entries.iter().any(|entry| entry.section == ini::SERVICE) {
            vec![systemd::service(file.path, &entries)]
        } else {
            supervisord::services(file.path, &entries)
        };
        if found.is_empty() {
            return Err(format!(
                "{}: neither [program:NAME] of supervisord nor [Service] of a unit of systemd; \
                 docs/moving.md has other supervisors",
                file.path.display()
            ));
        }
        services.extend(found);
    }
    let names: Vec<String> = services.iter().map(|service| service.name.clone()).collect();
    services.iter_mut().for_each(|service| service.keep_known(&names));
    Ok(services)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Translation of one file.
    pub(super) fn text_of(path: &str, text: &str) -> String {
        translated(&[File { path: Path::new(path), text }]).unwrap().0
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
            ["", "command = 1\n", "[Unit]\nDescription=x\n", "[supervisord]\n", "\u{0}=\n[", "#!/bin/sh\n"]
        {
            let message = translated(&[File { path: Path::new("f"), text }]).err().unwrap();
            assert!(message.starts_with("f: neither [program:NAME]"), "{message}");
        }
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
        let (text, services, notes) = translated(&files).unwrap();
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
            if let Ok((text, ..)) = translated(&[File { path: Path::new(&path), text: &text }]) {
                prop_assert!(text.parse::<toml::Table>().is_ok(), "{}", text);
            }
        }
    }
}
