//! Descriptors that a configuration can need, and the limit of this machine.

use core::fmt;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use super::StartError;
use crate::config::Config;
use crate::connection::OVERFLOW_SLOTS;
use crate::limits::SERVICE_COMMAND_RUNS;
use crate::service::ReadyCheck;

/// Descriptors that each of the two processes can have open besides those that the configuration adds: standard input,
/// output and error, event loop, listening sockets, the sockets between the two, the lock of the state, control groups,
/// the files that are read and written, and the pipes of one start.
const FIXED: usize = 32;

/// Returns a warning if the server or its keeper can need more descriptors than they may have open.
pub fn descriptor_warning(config: &Config) -> Option<String> {
    let limit = getrlimit(Resource::Nofile);
    // The server raises its own.
    let is_enough = |limit: Option<u64>, needed| limit.is_none_or(|limit| limit >= needed as u64);
    if is_enough(limit.maximum, server(config)) && is_enough(limit.current, keeper(config)) {
        return None;
    }
    let needed = server(config).max(keeper(config));
    Some(format!(
        "descriptors: the limit here is {} (ulimit -n), and a server with this file can need {needed}: with fewer it has \
         fewer connections, or does not start; {}",
        limit.current.unwrap_or_default(),
        Advice(needed)
    ))
}

/// Connections of a server, so many that descriptors are left for everything else, and a notice if these are fewer than
/// configured. Raises the limit of this process as far as it may; services have that of the keeper.
///
/// # Errors
/// The limit is too low for one connection, unless the server `falls_back`.
pub(super) fn reserve(config: &Config, falls_back: bool) -> Result<(usize, Option<String>), StartError> {
    let limit = getrlimit(Resource::Nofile);
    // One that cannot be raised is the limit.
    let _ = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, ..limit });
    let limit = getrlimit(Resource::Nofile).current.and_then(|limit| usize::try_from(limit).ok());
    let needed = server(config);
    let Some(limit) = limit.filter(|limit| *limit < needed) else { return Ok((config.slots, None)) };
    let advice = Advice(needed);
    match config.slots.saturating_sub(needed - limit) {
        0 => {
            let least = needed - config.slots + 1;
            let error = format!(
                "descriptors: the limit is {limit} (ulimit -n), and a server with this file needs {least} at least; {advice}"
            );
            if falls_back { Ok((1, Some(error))) } else { Err(StartError::new(StartError::SYSTEM, error)) }
        }
        slots => {
            let notice = format!(
                "descriptors: the limit is {limit} (ulimit -n): room for {slots} of {} connections; {advice}",
                config.slots
            );
            Ok((slots, Some(notice)))
        }
    }
}

/// Advice about a limit that is too low.
struct Advice(usize);

impl fmt::Display for Advice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(needed) = self;
        write!(f, "ulimit -n {needed} raises it for a shell, LimitNOFILE={needed} for a unit of systemd")
    }
}

/// Returns the largest number of descriptors that the server has open at once.
fn server(config: &Config) -> usize {
    let files = [&config.log_files, &config.audit_files];
    let log = files.iter().filter(|files| !files.file.is_empty()).count();
    // A connection is accepted on each of two sockets before it has a slot.
    let log = log + usize::from(config.syslog.is_some());
    let mut server = FIXED + config.slots + OVERFLOW_SLOTS + 2 + SERVICE_COMMAND_RUNS + log;
    // A socket of multicast for each IP version.
    server += 2 * usize::from(config.listen.is_announced);
    server += config.services.conditions().len() + config.services.checks().count();
    for (_, spec) in config.services.iter() {
        // Output; the file of it; the attempt to connect to a service that is not ready.
        let connects = matches!(spec.ready, ReadyCheck::Connect(_));
        server += 1 + usize::from(spec.output.is_some()) + usize::from(connects);
    }
    server
}

/// Returns the same of its keeper.
fn keeper(config: &Config) -> usize {
    let mut keeper = FIXED + 2 * SERVICE_COMMAND_RUNS;
    for (_, spec) in config.services.iter() {
        // Output and the error of a start; the output for the stop command; the pipe on which a service reports.
        let reports = matches!(spec.ready, ReadyCheck::Descriptor(_));
        keeper += 2 + usize::from(!spec.stop_command.is_empty()) + usize::from(reports);
    }
    keeper
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limits::SLOTS;

    fn of(text: &str) -> usize {
        let config = crate::config::parse(text, "f", "/bin/friendlet").unwrap();
        server(&config).max(keeper(&config))
    }

    #[test]
    fn each_part_of_a_configuration_adds_its_descriptors() {
        let service = "[[service]]\nname = 'a'\ncommand = ['a']\n";
        let one = of(service);
        // With the built-in service there are two.
        assert_eq!(one, FIXED + SLOTS + OVERFLOW_SLOTS + 2 + SERVICE_COMMAND_RUNS + 2);
        assert_eq!(of(&format!("[limits]\nslots = {}\n{service}", SLOTS - 1)), one - 1);
        for text in [
            "ready = 'tcp:127.0.0.1:1'",
            "output_file = '/tmp/a'",
            "wait = ['clock']",
            "[[check]]\nname = 'c'\ntcp = '127.0.0.1:1'",
            "[log]\nfile = '/tmp/log'",
            "[[service]]\nname = 'b'\ncommand = ['b']",
        ] {
            assert_eq!(of(&format!("{service}{text}\n")), one + 1, "{text}");
        }
    }

    #[test]
    fn keeper_counts_where_it_needs_more() {
        let services = |keys: &str| {
            let table = |number| format!("[[service]]\nname = 'a{number}'\ncommand = ['a']\n{keys}\n");
            of(&("[limits]\nslots = 2\n".to_owned() + &(0..8).map(table).collect::<String>()))
        };
        let plain = FIXED + 2 * SERVICE_COMMAND_RUNS + 2 * (8 + 1);
        assert_eq!(services(""), plain);
        assert_eq!(services("stop_command = ['a']\nready = 'fd:3'"), plain + 2 * 8);
    }
}
