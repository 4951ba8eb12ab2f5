//! Worst-case memory of the server with a configuration.

use std::fmt;

use crate::api::LOG_ANSWER_BYTES;
use crate::call::Operations;
use crate::config::{Config, Tls};
use crate::connection::{CONNECTION_BYTES, OVERFLOW_SLOTS, RECEIVE_BYTES, Server};
use crate::friendcore::chunk;
use crate::http::SiteFile;
use crate::keeper::Processes;
use crate::limits;
use crate::log::{AUDIT_QUEUE_BYTES, AUDIT_RING_BYTES, STDERR_QUEUE_BYTES};
use crate::net::tls::{
    TLS_CLIENT_BYTES, TLS_CLIENT_CHAIN_BYTES, TLS_CLIENT_HEAP_BYTES, TLS_HEAP_BYTES, TLS_PARSE_BYTES,
    TLS_RECORD_BYTES, TLS_SEND_BYTES,
};
use crate::net::{ACCEPT_BACKLOG, SOCKET_BUFFER_BYTES};
use crate::serve::PEM_BYTES;
use crate::service::{Arguments, Check, CheckKind, Endpoint, ReadyCheck, Spec, Supervisor};
use crate::session::{Lockout, SessionMemo, SessionTable, Tokens, Users};
use crate::sys::audit_files::AUDIT_WRITER_BYTES;
use crate::sys::conditions::CONDITION_STACK_BYTES;
use crate::sys::log_files::LOG_WRITER_BYTES;
use crate::sys::log_reader::{LOG_READER_BYTES, LOG_READER_STACK_BYTES};
use crate::sys::log_threads::{LOG_FILES_STACK_BYTES, STDERR_BUFFER_BYTES, STDERR_STACK_BYTES};
use crate::sys::output_files::{OUTPUT_BUFFER_BYTES, OUTPUT_STACK_BYTES};
use crate::sys::password::{PasswordJob, PasswordResult, WORKER_STACK_BYTES};
use crate::sys::state_writer::{STATE_QUEUE_BYTES, STATE_STACK_BYTES};
use crate::sys::{EnabledFile, MULTICAST_BUFFER_BYTES, PasswordsFile};
use crate::{config, runtime, serve};

/// Reactor entry of a descriptor or timer, with its link in the free list.
const ENTRY_BYTES: usize = runtime::ENTRY_BYTES + 4;
/// Table of own pages, with a path each.
const SITE_BYTES: usize = limits::WEB_FILES * (2 * size_of::<SiteFile>() + limits::PATH_BYTES);
/// Capacity of a pipe on Linux.
const PIPE_BYTES: usize = 64 * 1024;

/// Line of the budget: items of equal size.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Item {
    /// Name of the item.
    pub name: &'static str,
    /// Largest number of items.
    pub count: usize,
    /// Size of one item in bytes.
    pub each: usize,
}

impl Item {
    /// Line for `count` items of `each` bytes.
    pub fn new(name: &'static str, count: usize, each: usize) -> Self {
        Self { name, count, each }
    }

    /// Size of all items in bytes.
    pub fn total(&self) -> usize {
        self.count.saturating_mul(self.each)
    }
}

/// Memory budget of the server; displayed as a table.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Budget {
    server: Vec<Item>,
    start: Vec<Item>,
    reload: Vec<Item>,
    kernel: Vec<Item>,
}

impl Budget {
    /// Budget of a server with this configuration and an executable of `program` bytes.
    pub fn new(config: &Config, program: usize) -> Self {
        let connections = config.slots + OVERFLOW_SLOTS;
        let (tls, client, pem_files) = match &config.listen.tls {
            Tls::Off => (0, 0, 0),
            Tls::On { client_ca: None, .. } => (connections, TLS_CLIENT_CHAIN_BYTES, 2),
            Tls::On { client_ca: Some(_), .. } => (connections, TLS_CLIENT_HEAP_BYTES, 3),
        };
        let services = config.services.len();
        let log = &config.log_files;
        let log_files = if log.file.is_empty() { 0 } else { log.count };
        let audit = &config.audit_files;
        let audit_files = if audit.file.is_empty() { 0 } else { audit.count };
        let output_files = usize::from(config.services.iter().any(|(_, spec)| spec.output.is_some()));
        let runs = limits::SERVICE_COMMAND_RUNS;
        let syslog = config.syslog.as_ref();
        let has_audit = syslog.is_some_and(|settings| settings.has_audit);
        let has_syslog_tls = syslog.is_some_and(|settings| settings.target.is_tls());
        let announced = usize::from(config.listen.is_announced);
        // These tables have a fixed size, whatever the file configures.
        let site = (usize::from(!config.web.root.is_empty()), SITE_BYTES + config.web.bytes);
        let tables = [
            Item::new("service states", 1, size_of::<Supervisor>()),
            Item::new("user table", 1, Users::BYTES),
            Item::new("token table", 1, Tokens::BYTES),
            Item::new("session table", 1, SessionTable::BYTES),
            Item::new("session for a later server", limits::SESSIONS, size_of::<SessionMemo>()),
            Item::new("lock-out table", 1, Lockout::BYTES),
            Item::new("operations", 1, size_of::<Operations>()),
        ];
        // The other tables are boxed: the server contains a pointer to each.
        let inside = size_of::<Supervisor>() + size_of::<Operations>();
        let rest = size_of::<Server>().saturating_sub(inside);
        let mut server = vec![
            Item::new("receive buffer of a connection", connections, RECEIVE_BYTES),
            Item::new("send buffer of a connection", connections, limits::SEND_BYTES),
            Item::new("state of a connection", connections, CONNECTION_BYTES),
            Item::new("task of a connection", connections, serve::task_bytes() + runtime::TASK_BYTES),
            Item::new("TLS buffers of a connection", tls, TLS_RECORD_BYTES + TLS_SEND_BYTES),
            Item::new("TLS keys or handshake", tls, TLS_HEAP_BYTES),
            Item::new("certificates of a client", tls, client),
            Item::new("TLS handshake in parsing", tls.min(1), TLS_PARSE_BYTES),
            Item::new("reply in composition", 1, limits::REPLY_BYTES),
            Item::new("page of a log answer", 1, LOG_ANSWER_BYTES),
            Item::new("text of the configuration", 1, limits::CONFIG_BYTES),
            Item::new("read of a log file", 1, LOG_READER_STACK_BYTES + LOG_READER_BYTES),
            Item::new("own pages", site.0, site.1),
            Item::new("chunked message", limits::CHUNK_SETS, chunk::SET_BYTES),
        ];
        server.extend(tables);
        server.extend([
            Item::new("server without its tables", 1, rest),
            Item::new("enabled override", 1, size_of::<EnabledFile>()),
            Item::new("changed passwords", 1, PasswordsFile::BYTES),
            Item::new("reboot or power-off command", 2, size_of::<Arguments>()),
            Item::new("service configuration", services, size_of::<Spec>()),
            Item::new("health check", config.services.checks().count(), size_of::<Check>()),
            Item::new("texts of services", 1, config.services.string_bytes()),
            Item::new("output of a service", services, Processes::service_bytes() + runtime::TASK_BYTES),
            Item::new("run of a command", runs, Processes::run_bytes() + runtime::TASK_BYTES),
            Item::new(
                "queued password check",
                limits::PASSWORD_CHECKS,
                size_of::<PasswordJob>() + size_of::<PasswordResult>(),
            ),
            Item::new("password thread", 1, WORKER_STACK_BYTES),
            Item::new("ring buffer of the log", 1, limits::LOG_RING_BYTES),
            Item::new("queue of standard error", 1, STDERR_QUEUE_BYTES + STDERR_BUFFER_BYTES),
            Item::new("thread of standard error", 1, STDERR_STACK_BYTES),
            Item::new("thread of the log files", (log_files + audit_files).min(1), LOG_FILES_STACK_BYTES),
            Item::new("buffer of the log files", log_files.min(1), LOG_WRITER_BYTES),
            Item::new("queue of the audit trail", audit_files.min(1), AUDIT_QUEUE_BYTES + AUDIT_WRITER_BYTES),
            Item::new("audit trail for a log server", usize::from(has_audit), AUDIT_RING_BYTES),
            Item::new("sender to a log server", usize::from(syslog.is_some()), serve::SYSLOG_BYTES),
            Item::new("TLS with a log server", usize::from(has_syslog_tls), TLS_CLIENT_BYTES),
            Item::new("thread of state files", 1, STATE_STACK_BYTES + STATE_QUEUE_BYTES),
            Item::new("thread of output files", output_files, OUTPUT_STACK_BYTES + OUTPUT_BUFFER_BYTES),
            Item::new("thread of a condition", config.services.conditions().len(), CONDITION_STACK_BYTES),
            Item::new("thread of a service socket", unix_sockets(config), serve::CONNECT_STACK_BYTES),
            Item::new("certificates and keys", pem_files, PEM_BYTES),
            Item::new("announcement on the network", announced, serve::ANNOUNCER_BYTES),
            Item::new("descriptor or timer", 2 * connections + services + 2 * runs + 16, ENTRY_BYTES),
            Item::new("stack and allocator", 1, serve::STACK_BYTES),
            Item::new("program", 1, program),
        ]);
        let start = vec![
            Item::new("configuration file", 1, config::READ_BYTES),
            // Of the file, of its drop-ins, of the last good copy, and of all files in force as one.
            Item::new("text in memory", 4, limits::CONFIG_BYTES),
            // Each with its copy, and once more as it is parsed.
            Item::new("certificates and keys", pem_files, 3 * PEM_BYTES),
            Item::new("thread of own pages", site.0, serve::SITE_STACK_BYTES),
        ];
        let reload = vec![
            // In the server, and then in the keeper.
            Item::new("configuration file", 1, config::READ_BYTES),
            // Of the files, of all of them as one, and the same for the keeper.
            // A change needs more of them: in parts, as sent, with its secrets, in force, and for the return.
            Item::new("text in memory", 8, limits::CONFIG_BYTES),
            // Those of a change, and those to return to.
            Item::new("later services", 2 * limits::SERVICES, size_of::<Spec>()),
            Item::new("certificates and keys", pem_files, 2 * PEM_BYTES),
            Item::new("own pages", site.0, site.1),
            Item::new("thread of a reload", 1, serve::RELOAD_STACK_BYTES),
        ];
        let kernel = vec![
            // Both directions, doubled for the overhead of the kernel.
            Item::new("socket buffers", connections, 4 * SOCKET_BUFFER_BYTES),
            // Nothing is sent before they are accepted.
            Item::new("receive buffer before accept", ACCEPT_BACKLOG, 2 * SOCKET_BUFFER_BYTES),
            Item::new("receive buffer of multicast", 2 * announced, 2 * MULTICAST_BUFFER_BYTES),
            Item::new("pipe of a service or command", services + runs, PIPE_BYTES),
            // In memory, unless the configuration file names a path on a disk.
            Item::new("file of the log", log_files, log.bytes),
            Item::new("file of the audit trail", audit_files, audit.bytes),
        ];
        Self { server, start, reload, kernel }
    }

    /// Lines of the running server.
    pub fn items(&self) -> &[Item] {
        &self.server
    }

    /// Size of all lines of the running server in bytes.
    pub fn total(&self) -> usize {
        total(&self.server)
    }
}

fn total(items: &[Item]) -> usize {
    items.iter().fold(0, |total, item| total.saturating_add(item.total()))
}

impl fmt::Display for Budget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{:<32} {:>6} {:>10} {:>12}", "ITEM", "COUNT", "EACH", "TOTAL")?;
        for (items, name) in [
            (&self.server, "all, bytes"),
            (&self.start, "start-up only, bytes"),
            (&self.reload, "reload only, bytes"),
            (&self.kernel, "kernel, bytes"),
        ] {
            for item in items {
                writeln!(f, "{:<32} {:>6} {:>10} {:>12}", item.name, item.count, item.each, item.total())?;
            }
            writeln!(f, "{:<32} {:>6} {:>10} {:>12}", name, "", "", total(items))?;
        }
        Ok(())
    }
}

/// Number of UNIX sockets to which the server connects: those of readiness and of checks.
fn unix_sockets(config: &Config) -> usize {
    let is_unix = |endpoint: &Endpoint| matches!(endpoint, Endpoint::Unix(_));
    let ready = |spec: &Spec| matches!(&spec.ready, ReadyCheck::Connect(endpoint) if is_unix(endpoint));
    let check = |check: &Check| matches!(&check.kind, CheckKind::Connect(endpoint) if is_unix(endpoint));
    config.services.iter().filter(|(_, spec)| ready(spec)).count()
        + config.services.checks().filter(|(_, one)| check(one)).count()
}

#[cfg(test)]
mod tests {
    use super::*;

    const TLS_BYTES: usize = TLS_RECORD_BYTES + TLS_SEND_BYTES + TLS_HEAP_BYTES + TLS_CLIENT_CHAIN_BYTES;

    fn budget(text: &str) -> Budget {
        Budget::new(&config::parse(text, "f", "/bin/friendlet").unwrap(), 1_000_000)
    }

    #[test]
    fn total_is_the_sum_of_the_items() {
        let budget = budget("");
        assert_eq!(budget.total(), budget.items().iter().map(Item::total).sum());
        let text = budget.to_string();
        assert!(text.starts_with("ITEM "), "{text}");
        let all = text.lines().find(|line| line.starts_with("all, bytes ")).unwrap();
        assert!(all.ends_with(&format!(" {}", budget.total())), "{text}");
        assert!(
            text.contains("\nprogram                               1    1000000      1000000\n"),
            "{text}"
        );
        assert!(text.lines().all(|line| line.len() == text.lines().next().unwrap().len()), "{text}");
    }

    #[test]
    fn fewer_slots_need_less() {
        let of_a_slot = RECEIVE_BYTES
            + limits::SEND_BYTES
            + TLS_BYTES
            + CONNECTION_BYTES
            + serve::task_bytes()
            + runtime::TASK_BYTES
            + 2 * ENTRY_BYTES;
        let saved = (limits::SLOTS - 2) * of_a_slot;
        assert_eq!(budget("").total() - budget("[limits]\nslots = 2").total(), saved);
    }

    #[test]
    fn plain_text_and_fewer_services_need_less() {
        let connections = limits::SLOTS + OVERFLOW_SLOTS;
        let saved = connections * TLS_BYTES + TLS_PARSE_BYTES + 2 * PEM_BYTES;
        assert_eq!(budget("").total() - budget("[listen]\ntls = 'off'").total(), saved);
        let shown = connections * (TLS_CLIENT_HEAP_BYTES - TLS_CLIENT_CHAIN_BYTES) + PEM_BYTES;
        assert_eq!(budget("[listen]\nclient_ca = 'ca.pem'").total() - budget("").total(), shown);
        let one_more = budget("[[service]]\nname = 'a'\ncommand = ['a']");
        let more = one_more.total() - budget("").total();
        let known = limits::SERVICE_OUTPUT_BYTES + size_of::<Spec>();
        assert!(more > known && more < known + 1024, "{more}");
        let long = budget(&format!("[[service]]\nname = 'a'\ncommand = ['a', '{}']", "x".repeat(2000)));
        assert_eq!(long.total() - one_more.total(), 2002);
    }

    #[test]
    fn own_pages_are_counted_in_the_server_and_in_a_reload() {
        let (without, with) = (budget(""), budget("[web]\nroot = '/srv'\nbytes = 8192"));
        assert_eq!(with.total() - without.total(), 8192 + SITE_BYTES);
        assert_eq!(total(&with.reload) - total(&without.reload), 8192 + SITE_BYTES);
    }

    #[test]
    fn task_size_is_plausible() {
        // A task contains the future of the connection, and no buffer.
        assert!((100..4096).contains(&serve::task_bytes()), "{}", serve::task_bytes());
        assert!(Processes::run_bytes() > limits::COMMAND_OUTPUT_BYTES);
        assert!(Processes::run_bytes() < limits::COMMAND_OUTPUT_BYTES + 1024);
    }
}
