//! `friendlet limits`.

use crate::limits::{Limit, Value};
use crate::net::tls;
use crate::{
    api, backup, call, config, connection, ctl, dhcp, friendcore, http, init, keeper, limits, log, mdns, net,
    runtime, serve, service, session, sntp, sys, syslog, ws,
};

/// The tables of limits by title, in the order of `docs/limits.md`.
pub const MODULES: &[(&str, &[Limit])] = &[
    ("Capacities of the board", limits::LIMITS),
    ("Connections", connection::LIMITS),
    ("Sockets", net::LIMITS),
    ("TLS", tls::LIMITS),
    ("HTTP", http::LIMITS),
    ("WebSocket", ws::LIMITS),
    ("Friend Core messages", friendcore::LIMITS),
    ("Calls", api::LIMITS),
    ("Operations", call::LIMITS),
    ("Users and sessions", session::LIMITS),
    ("Services", service::LIMITS),
    ("Health checks", service::CHECK_LIMITS),
    ("Keeper", keeper::LIMITS),
    ("Configuration file", config::LIMITS),
    ("Log", log::LIMITS),
    ("Server", serve::LIMITS),
    ("Event loop", runtime::LIMITS),
    ("Operating system", sys::LIMITS),
    ("DHCP", dhcp::LIMITS),
    ("SNTP", sntp::LIMITS),
    ("Log server", syslog::LIMITS),
    ("Multicast DNS", mdns::LIMITS),
    ("Backup of a board", backup::LIMITS),
    ("Init", init::LIMITS),
    ("Client", ctl::LIMITS),
];

/// Every limit of this build as TOML: `[limits]` as in the board's file, sizes and counts of the modules,
/// times in seconds.
pub(super) fn text() -> &'static str {
    // Names and values in a table, and what writes them, are 6 kB more on ARMv7 than the text.
    static TEXT: Text<{ Text::<0>::of_limits().length }> = Text::of_limits();
    str::from_utf8(&TEXT.bytes).unwrap_or_default()
}

/// Text that the compiler writes. One without room only counts its bytes.
struct Text<const ROOM: usize> {
    bytes: [u8; ROOM],
    length: usize,
}

impl<const ROOM: usize> Text<ROOM> {
    const fn of_limits() -> Self {
        let mut text = Self { bytes: [0; ROOM], length: 0 };
        let (board, modules) = MODULES.split_at(1);
        text.push("# board ");
        text.push(limits::BOARD);
        text.push(", ");
        text.push(limits::TARGET);
        text.push("\n[limits]\n");
        text.push_limits(board, false);
        text.push("\n[sizes]\n");
        text.push_limits(modules, false);
        text.push("\n[times]\n");
        text.push_limits(modules, true);
        text
    }

    /// The times of these modules, or their sizes and counts.
    const fn push_limits(&mut self, modules: &[(&str, &[Limit])], times: bool) {
        let mut module = 0;
        while module < modules.len() {
            let (limits, mut limit) = (modules[module].1, 0);
            while limit < limits.len() {
                if matches!(limits[limit].value, Value::Time(_)) == times {
                    self.push_limit(&limits[limit]);
                }
                limit += 1;
            }
            module += 1;
        }
    }

    const fn push_limit(&mut self, limit: &Limit) {
        let mut at = 0;
        while at < limit.name.len() {
            self.push_byte(limit.name.as_bytes()[at].to_ascii_lowercase());
            at += 1;
        }
        self.push(" = ");
        match limit.value {
            Value::Number(number) => self.push_number(number),
            Value::Time(time) => {
                self.push_number(time.as_secs());
                let milliseconds = time.subsec_millis() as u64;
                if milliseconds > 0 {
                    self.push(".");
                    self.push_number(milliseconds / 100);
                    self.push_number(milliseconds / 10 % 10);
                    self.push_number(milliseconds % 10);
                }
            }
        }
        self.push("\n");
    }

    const fn push_number(&mut self, number: u64) {
        if number > 9 {
            self.push_number(number / 10);
        }
        self.push_byte(b'0' + (number % 10) as u8);
    }

    const fn push(&mut self, text: &str) {
        let mut at = 0;
        while at < text.len() {
            self.push_byte(text.as_bytes()[at]);
            at += 1;
        }
    }

    const fn push_byte(&mut self, byte: u8) {
        if self.length < ROOM {
            self.bytes[self.length] = byte;
        }
        self.length += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_are_toml() {
        let file: toml::Table = text().parse().unwrap();
        let table = |name: &str| file[name].as_table().unwrap();
        assert_eq!(table("limits").len(), limits::TABLE.len());
        assert_eq!(table("limits")["slots"].as_integer(), Some(limits::SLOTS as i64));
        assert_eq!(table("sizes")["control_bytes"].as_integer(), Some(125));
        assert_eq!(table("times")["upkeep_delay"].as_float(), Some(0.25));
        assert_eq!(table("times")["head_timeout"].as_integer(), Some(10));
        let count = file.values().map(|table| table.as_table().unwrap().len()).sum::<usize>();
        assert_eq!(count, MODULES.iter().map(|(_, limits)| limits.len()).sum::<usize>());
    }
}
