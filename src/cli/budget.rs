//! What memory the server takes at worst with a configuration.

use std::fmt;

use crate::config::{Config, Tls};
use crate::connection::{CONNECTION_BYTES, OVERFLOW_SLOTS, RECEIVE_BYTES, Server};
use crate::friendcore::chunk;
use crate::limits;
use crate::net::SOCKET_BUFFER_BYTES;
use crate::net::tls::{
    TLS_CLIENT_HEAP_BYTES, TLS_HEAP_BYTES, TLS_PARSE_BYTES, TLS_RECORD_BYTES, TLS_SEND_BYTES,
};
use crate::serve::PEM_BYTES;
use crate::service::{Arguments, Spec, Supervisor};
use crate::session::{Lockout, SessionTable, Tokens, Users};
use crate::sys::password::{PasswordJob, PasswordResult, WORKER_STACK_BYTES};
use crate::sys::{EnabledFile, Processes};
use crate::{config, runtime, serve};

/// What smol's executor adds to a task.
const SELDOM_TASK_BYTES: usize = 192;
/// smol's executor itself: its queue, of which a block is taken for every 31 wake-ups and given back,
/// and its list of tasks. Measured on x86-64.
const EXECUTOR_BYTES: usize = 16 * 1024;
/// What is kept of a descriptor or a timer, its place in the list of free ones among it.
const ENTRY_BYTES: usize = runtime::ENTRY_BYTES + 4;
/// Connections that the kernel takes in advance, which have buffers and no slot yet.
const BACKLOG: usize = 128;
/// What Linux keeps of a pipe's bytes.
const PIPE_BYTES: usize = 64 * 1024;

/// Some number of equal things that are held.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Item {
    /// What it is.
    pub name: &'static str,
    /// How many there are at most.
    pub count: usize,
    /// Bytes of one.
    pub each: usize,
}

impl Item {
    /// `count` things of `each` bytes.
    pub fn new(name: &'static str, count: usize, each: usize) -> Self {
        Self { name, count, each }
    }

    /// Bytes of all.
    pub fn total(&self) -> usize {
        self.count.saturating_mul(self.each)
    }
}

/// All that the server holds; shown as a table.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Budget {
    server: Vec<Item>,
    start: Vec<Item>,
    kernel: Vec<Item>,
}

impl Budget {
    /// What a server with this configuration can hold at most, its program of `program` bytes among
    /// it.
    pub fn new(config: &Config, program: usize) -> Self {
        let connections = config.slots + OVERFLOW_SLOTS;
        let (tls, clients, pem_files) = match &config.listen.tls {
            Tls::Off => (0, 0, 0),
            Tls::On { client_ca: None, .. } => (connections, 0, 2),
            Tls::On { client_ca: Some(_), .. } => (connections, connections, 3),
        };
        let services = config.services.len();
        let log = &config.log_files;
        let log_files = if log.file.is_empty() { 0 } else { log.count };
        let runs = limits::SERVICE_COMMAND_RUNS;
        // Everything that lives in one value is there once, whatever the file names.
        let tables = [
            Item::new("states of the services", 1, size_of::<Supervisor>()),
            Item::new("user table", 1, Users::BYTES),
            Item::new("token table", 1, size_of::<Tokens>()),
            Item::new("session table", 1, SessionTable::BYTES),
            Item::new("lock-out table", 1, Lockout::BYTES),
        ];
        // The other tables are boxed, and are in the server with a pointer alone.
        let inside = size_of::<Supervisor>() + size_of::<Tokens>();
        let rest = size_of::<Server>().saturating_sub(inside);
        let mut server = vec![
            Item::new("receive buffer of a connection", connections, RECEIVE_BYTES),
            Item::new("send buffer of a connection", connections, limits::SEND_BYTES),
            Item::new("state of a connection", connections, CONNECTION_BYTES),
            Item::new("task of a connection", connections, serve::task_bytes() + runtime::TASK_BYTES),
            Item::new("TLS buffers of a connection", tls, TLS_RECORD_BYTES + TLS_SEND_BYTES),
            Item::new("TLS keys or handshake", tls, TLS_HEAP_BYTES),
            Item::new("certificates of a client", clients, TLS_CLIENT_HEAP_BYTES),
            Item::new("TLS handshake being read", tls.min(1), TLS_PARSE_BYTES),
            Item::new("reply being made", 2, limits::REPLY_BYTES),
            Item::new("chunked message", limits::CHUNK_SETS, chunk::SET_BYTES),
        ];
        server.extend(tables);
        server.extend([
            Item::new("server beside its tables", 1, rest),
            Item::new("service of another configuration", 1, size_of::<EnabledFile>()),
            Item::new("program that ends the board", 2, size_of::<Arguments>()),
            Item::new("service of the configuration", services, size_of::<Spec>()),
            Item::new("output of a service", services, Processes::service_bytes() + SELDOM_TASK_BYTES),
            Item::new("run of a command", runs, Processes::run_bytes() + SELDOM_TASK_BYTES),
            Item::new(
                "password waiting",
                limits::PASSWORD_CHECKS,
                size_of::<PasswordJob>() + size_of::<PasswordResult>(),
            ),
            Item::new("password thread", 1, WORKER_STACK_BYTES),
            Item::new("newest records of the log", 1, limits::LOG_RING_BYTES),
            Item::new("certificates and keys", pem_files, PEM_BYTES),
            Item::new("descriptor or timer waited for", connections + services + 2 * runs + 8, ENTRY_BYTES),
            Item::new("executor of the rest", 1, EXECUTOR_BYTES),
            Item::new("stack and allocator", 1, serve::STACK_BYTES),
            Item::new("program", 1, program),
        ]);
        let start = vec![
            Item::new("configuration file", 1, config::READ_BYTES),
            Item::new("certificates and keys", pem_files, 2 * PEM_BYTES),
        ];
        let kernel = vec![
            // Both ways, and doubled for what the kernel needs itself.
            Item::new("socket buffers", connections + BACKLOG, 4 * SOCKET_BUFFER_BYTES),
            Item::new("pipe of a service or command", services + runs, PIPE_BYTES),
            // In memory, unless the device file names a place on a disk.
            Item::new("file of the log", log_files, log.bytes),
        ];
        Self { server, start, kernel }
    }

    /// What the server holds while it runs.
    pub fn items(&self) -> &[Item] {
        &self.server
    }

    /// Bytes of everything that the server holds while it runs.
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
            (&self.start, "at the start, given back, bytes"),
            (&self.kernel, "in the kernel, bytes"),
        ] {
            for item in items {
                writeln!(f, "{:<32} {:>6} {:>10} {:>12}", item.name, item.count, item.each, item.total())?;
            }
            writeln!(f, "{:<32} {:>6} {:>10} {:>12}", name, "", "", total(items))?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TLS_BYTES: usize = TLS_RECORD_BYTES + TLS_SEND_BYTES + TLS_HEAP_BYTES;

    fn budget(text: &str) -> Budget {
        Budget::new(&config::parse(text, "f", "/bin/friendlet").unwrap(), 1_000_000)
    }

    #[test]
    fn total_is_that_of_the_items() {
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
    fn fewer_slots_take_less() {
        let of_a_slot = RECEIVE_BYTES
            + limits::SEND_BYTES
            + TLS_BYTES
            + CONNECTION_BYTES
            + serve::task_bytes()
            + runtime::TASK_BYTES
            + ENTRY_BYTES;
        let saved = (limits::SLOTS - 2) * of_a_slot;
        assert_eq!(budget("").total() - budget("[limits]\nslots = 2").total(), saved);
    }

    #[test]
    fn plain_text_and_fewer_services_take_less() {
        let connections = limits::SLOTS + OVERFLOW_SLOTS;
        let saved = connections * TLS_BYTES + TLS_PARSE_BYTES + 2 * PEM_BYTES;
        assert_eq!(budget("").total() - budget("[listen]\ntls = 'off'").total(), saved);
        let shown = connections * TLS_CLIENT_HEAP_BYTES + PEM_BYTES;
        assert_eq!(budget("[listen]\nclient_ca = 'ca.pem'").total() - budget("").total(), shown);
        let one_more = budget("[[service]]\nname = 'a'\ncommand = ['a']");
        let more = one_more.total() - budget("").total();
        let known = limits::SERVICE_OUTPUT_BYTES + size_of::<Spec>();
        assert!(more > known && more < known + 1024, "{more}");
    }

    #[test]
    fn what_a_task_holds_is_known() {
        // The future of the connection is in it, and nothing as large as a buffer.
        assert!((100..4096).contains(&serve::task_bytes()), "{}", serve::task_bytes());
        assert!(Processes::run_bytes() > limits::COMMAND_OUTPUT_BYTES);
        assert!(Processes::run_bytes() < limits::COMMAND_OUTPUT_BYTES + 1024);
    }
}
