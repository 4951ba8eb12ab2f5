//! Errors of a start, found without a start and without a change to the machine: the answers of `friendlet check`.
//!
//! They are in the order in which a start meets them, so that the first one has its exit code.

use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use super::expiry::Dates;
use super::{
    StartError, certificate, first_user, no_socket, no_socket_directory, own_files, site, state, syslog,
};
use crate::config::Config;
use crate::net::Listener;
use crate::sys::{Clock, file, state_lock};

/// Difference between a configuration and the machine.
#[derive(Debug)]
pub enum Finding {
    /// The server exits with this error.
    Error(StartError),
    /// The server may run, but not as configured.
    Warning(String),
    /// The machine is in order, but not idle.
    Note(String),
}

/// Tokens that have expired, or will soon.
pub fn token_warnings(config: &Config) -> Vec<String> {
    let now = Clock::new().time_of_day();
    let dates = Dates::of_tokens(&config.users, &config.tokens);
    dates.iter().filter_map(|dates| Some(dates.problem(now)?.to_string())).collect()
}

/// Checks a start on this machine with the configuration file at `file`: names of logs, address, state directory, local
/// socket, certificate.
pub fn check_start(config: &Config, file: &Path, state_dir: &Path, socket: Option<&Path>) -> Vec<Finding> {
    let server = state_lock::holder_of(state_dir);
    let findings = [
        own_files::check(config, file, state_dir).err().map(Finding::Error),
        check_address(config.listen.address, server),
        check_state(config, state_dir, server),
        socket.and_then(check_socket).map(Finding::Error),
    ];
    let files = check_files(config, state_dir, &certificate::here);
    findings.into_iter().flatten().chain(files).collect()
}

/// Checks the certificate, the key and the authorities of the clients and of the log server that a configuration file names.
/// `locate` returns the path on this machine of such a file.
pub fn check_files(
    config: &Config,
    state_dir: &Path,
    locate: &dyn Fn(&Path) -> io::Result<PathBuf>,
) -> Vec<Finding> {
    let mut findings: Vec<Finding> = match certificate::check(&config.listen, state_dir, locate) {
        Ok((problems, names)) => {
            problems.into_iter().map(Finding::Warning).chain(names.map(Finding::Note)).collect()
        }
        Err(error) => vec![Finding::Error(error)],
    };
    findings.extend(syslog::tls(config.syslog.as_ref(), locate).err().map(Finding::Error));
    let root = Path::new(config.web.root.as_str());
    if !config.web.root.is_empty() {
        let (owner, mut left_out) = (rustix::process::geteuid().as_raw(), Vec::new());
        let root = locate(root).unwrap_or_else(|_| root.to_owned());
        site::read(&root, config.web.bytes, owner, &mut left_out);
        for line in left_out {
            findings.push(Finding::Warning(line));
        }
    }
    findings
}

/// Checks that the server can listen. `server` is the process of one that runs with the same state.
fn check_address(address: SocketAddr, server: Option<u32>) -> Option<Finding> {
    let error = Listener::check(address).err()?;
    Some(match server {
        Some(server) if error.is_in_use() => Finding::Note(format!(
            "{address} is in use, probably by the server that runs as process {server}"
        )),
        None if error.is_in_use() => Finding::Warning(format!(
            "{address} is in use: a server exits with code {} while another program listens there; \
             [listen] address names the port",
            StartError::UNAVAILABLE
        )),
        _ if error.is_address_missing() => Finding::Error(StartError::new(
            StartError::UNAVAILABLE,
            format_args!("{error}; with --fall-back the server waits for it"),
        )),
        _ => Finding::Error(StartError::new(StartError::UNAVAILABLE, error)),
    })
}

/// Checks that the server can write its state.
fn check_state(config: &Config, dir: &Path, server: Option<u32>) -> Option<Finding> {
    if let Some(server) = server {
        return Some(Finding::Note(format!(
            "the state directory {} is in use by the server that runs as process {server}",
            dir.display()
        )));
    }
    let Err(error) = file::check_dir(dir) else { return state::open_to_all(dir).map(Finding::Warning) };
    let has_users = !config.users.is_empty() || first_user::stored(dir).is_ok();
    Some(if !dir.is_dir() {
        Finding::Error(state::uncreated(&error))
    } else if has_users && !certificate::is_to_be_made(&config.listen, dir) {
        Finding::Warning(format!(
            "cannot write to the state directory: {error}; changed passwords and installed services are lost"
        ))
    } else {
        Finding::Error(StartError::new(
            StartError::CANNOT_CREATE,
            format_args!(
                "cannot write to the state directory: {error}; the first start makes certificate and administrator \
                 there; [state] dir names another one"
            ),
        ))
    })
}

/// Checks that the server can create the local socket.
fn check_socket(path: &Path) -> Option<StartError> {
    let directory = path.parent().map_or(Ok(()), file::check_dir);
    match directory {
        Err(error) => Some(no_socket_directory(&error)),
        Ok(()) => Listener::check_local(path).err().map(|error| no_socket(&error)),
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::net::TcpListener;

    use super::super::state::tests::StateDirectory;
    use super::*;

    /// Findings about a configuration, each with the exit code of an error.
    fn found(text: &str, dir: &Path, socket: Option<&Path>) -> Vec<(Option<u8>, String)> {
        let config = crate::config::parse(text, "f", "/bin/friendlet").unwrap();
        let findings = check_start(&config, Path::new("f"), dir, socket).into_iter();
        findings
            .map(|finding| match finding {
                Finding::Error(error) => (Some(error.code()), error.to_string()),
                Finding::Warning(text) => (None, format!("warning: {text}")),
                Finding::Note(text) => (None, format!("note: {text}")),
            })
            .collect()
    }

    #[test]
    fn machine_in_order_has_no_findings_and_stays_as_it_is() {
        let directory = StateDirectory::new("preview");
        let (state, socket) = (directory.path("a/state"), directory.path("b/ctl"));
        assert_eq!(found("[listen]\naddress = '127.0.0.1:0'", &state, Some(&socket)), []);
        assert!(!directory.path("a").exists() && !directory.path("b").exists());
    }

    #[test]
    fn errors_are_in_the_order_of_a_start() {
        let directory = StateDirectory::new("preview-errors");
        fs::write(directory.path("file"), "").unwrap();
        let file = directory.path("file").display().to_string();
        let text = "[listen]\naddress = '192.0.2.1:6500'\ncertificate = 'c.pem'\nkey = 'k.pem'\n";
        let errors = found(text, &directory.path("file/state"), Some(&directory.path("file/run/ctl")));
        assert_eq!(
            errors.iter().map(|(code, _)| *code).collect::<Vec<_>>(),
            [Some(69), Some(73), Some(73), Some(78)]
        );
        for ((_, text), start) in errors.iter().zip([
            "cannot listen on 192.0.2.1:6500: ".to_owned(),
            format!("cannot create the state directory: {file}/state: Not a directory (errno 20); "),
            format!(
                "cannot create the directory of the local socket: {file}/run: Not a directory (errno 20); "
            ),
            format!("{file}/state/c.pem: Not a directory (errno 20)"),
        ]) {
            assert!(text.starts_with(&start), "{text}");
        }
        assert!(errors[0].1.ends_with("; with --fall-back the server waits for it"), "{errors:?}");
        let errors = found("[listen]\naddress = '127.0.0.1:0'", &directory.path("a"), Some(Path::new(&file)));
        assert_eq!(errors[0].0, Some(73));
        assert!(errors[0].1.starts_with(&format!("cannot listen on {file}: File exists")), "{errors:?}");
    }

    #[test]
    fn address_in_use_is_a_warning_and_a_note_beside_a_server() {
        let directory = StateDirectory::new("preview-in-use");
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let text = format!("[listen]\naddress = '{address}'");
        let state = directory.path("");
        let warning = format!(
            "warning: {address} is in use: a server exits with code 69 while another program listens there; \
             [listen] address names the port"
        );
        assert_eq!(found(&text, &state, None), [(None, warning)]);
        let _server = directory.open(false).unwrap();
        let process = format!("server that runs as process {}", std::process::id());
        let notes = [
            (None, format!("note: {address} is in use, probably by the {process}")),
            (None, format!("note: the state directory {} is in use by the {process}", state.display())),
        ];
        assert_eq!(found(&text, &state, None), notes);
    }
}
