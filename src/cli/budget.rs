//! What memory the server takes at worst with a configuration.

use std::fmt;

use crate::config::{Config, Tls};
use crate::limits;
use crate::service::Spec;
use crate::session::{Lockout, SessionTable, Tokens, Users};
use crate::sys::password::{PasswordJob, PasswordResult, WORKER_STACK_BYTES};

/// Some number of equal things that the server holds.
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
    items: Vec<Item>,
}

impl Budget {
    /// What a server with this configuration can hold at most. The program itself, its stack and the
    /// system's socket buffers are not in it.
    pub fn new(config: &Config) -> Self {
        let connections = config.slots + limits::DOOR_SLOTS;
        let tls = match config.listen.tls {
            Tls::Off => 0,
            Tls::On { .. } => connections,
        };
        let services = config.services.len();
        let items = vec![
            Item::new("receive buffer of a connection", connections, limits::RECEIVE_BYTES),
            Item::new("send buffer of a connection", connections, limits::SEND_BYTES),
            Item::new("TLS of a connection", tls, limits::TLS_BYTES),
            Item::new("reply being made", 1, limits::REPLY_BYTES),
            Item::new("chunked message", limits::CHUNK_SETS, limits::CHUNK_BYTES),
            // The table has room for all that the board allows, whatever the file names.
            Item::new("service table", limits::SERVICES, size_of::<Spec>()),
            Item::new("output of a service", services, limits::SERVICE_OUTPUT_BYTES),
            Item::new("output of a command", limits::SERVICE_COMMAND_RUNS, limits::COMMAND_OUTPUT_BYTES),
            Item::new("user table", 1, size_of::<Users>() + size_of::<Tokens>()),
            Item::new("session table", 1, size_of::<SessionTable>()),
            Item::new("lock-out table", 1, size_of::<Lockout>()),
            Item::new(
                "password waiting",
                limits::PASSWORD_CHECKS,
                size_of::<PasswordJob>() + size_of::<PasswordResult>(),
            ),
            Item::new("password thread", 1, WORKER_STACK_BYTES),
        ];
        Self { items }
    }

    /// The items.
    pub fn items(&self) -> &[Item] {
        &self.items
    }

    /// Bytes of everything.
    pub fn total(&self) -> usize {
        self.items.iter().fold(0, |total, item| total.saturating_add(item.total()))
    }
}

impl fmt::Display for Budget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{:<32} {:>6} {:>10} {:>12}", "ITEM", "COUNT", "EACH", "TOTAL")?;
        for item in &self.items {
            writeln!(f, "{:<32} {:>6} {:>10} {:>12}", item.name, item.count, item.each, item.total())?;
        }
        writeln!(f, "{:<32} {:>6} {:>10} {:>12}", "all, bytes", "", "", self.total())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn budget(text: &str) -> Budget {
        Budget::new(&crate::config::parse(text, "f", "/bin/friendlet").unwrap())
    }

    #[test]
    fn total_is_that_of_the_items() {
        let budget = budget("");
        assert_eq!(budget.total(), budget.items().iter().map(Item::total).sum());
        let text = budget.to_string();
        assert!(text.starts_with("ITEM "), "{text}");
        assert!(text.ends_with(&format!(" {}\n", budget.total())), "{text}");
        assert_eq!(text.lines().count(), budget.items().len() + 2);
        assert!(text.lines().all(|line| line.len() == text.lines().next().unwrap().len()), "{text}");
    }

    #[test]
    fn fewer_slots_take_less() {
        let of_a_slot = limits::RECEIVE_BYTES + limits::SEND_BYTES + limits::TLS_BYTES;
        let saved = (limits::SLOTS - 2) * of_a_slot;
        assert_eq!(budget("").total() - budget("[limits]\nslots = 2").total(), saved);
    }

    #[test]
    fn plain_text_and_fewer_services_take_less() {
        let saved = (limits::SLOTS + limits::DOOR_SLOTS) * limits::TLS_BYTES;
        assert_eq!(budget("").total() - budget("[listen]\ntls = 'off'").total(), saved);
        let one_more = budget("[[service]]\nname = 'a'\ncommand = ['a']");
        assert_eq!(one_more.total() - budget("").total(), limits::SERVICE_OUTPUT_BYTES);
    }
}
