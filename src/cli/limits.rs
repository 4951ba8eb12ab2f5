//! `friendlet limits`.

use std::fmt::Write as _;

use crate::limits::{Limit, Value};
use crate::net::tls;
use crate::{
    api, backup, call, config, connection, ctl, dhcp, friendcore, http, init, keeper, limits, log, net,
    runtime, serve, service, session, sntp, sys, ws,
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
    ("Backup of a board", backup::LIMITS),
    ("Init", init::LIMITS),
    ("Client", ctl::LIMITS),
];

/// Number of limits in the modules. The board's come first.
const COUNT: usize = {
    let (mut count, mut module) = (0, 0);
    while module < MODULES.len() {
        count += MODULES[module].1.len();
        module += 1;
    }
    count
};

/// Name and value of each limit. The rest of a [`Limit`] is for the page and the tests, and is not in the
/// program.
static LINES: [(&str, Value); COUNT] = {
    let mut lines = [("", Value::Number(0)); COUNT];
    let (mut line, mut module) = (0, 0);
    while module < MODULES.len() {
        let (limits, mut limit) = (MODULES[module].1, 0);
        while limit < limits.len() {
            lines[line] = (limits[limit].name, limits[limit].value);
            line += 1;
            limit += 1;
        }
        module += 1;
    }
    lines
};

/// Every limit of this build as TOML: `[limits]` as in the board's file, sizes and counts of the modules,
/// times in seconds.
pub(super) fn text() -> String {
    let (board, modules) = LINES.split_at(limits::LIMITS.len());
    let mut text = format!("# board {}, {}\n[limits]\n", limits::BOARD, limits::TARGET);
    let (mut sizes, mut times) = ("\n[sizes]\n".to_owned(), "\n[times]\n".to_owned());
    for (lines, numbers) in [(board, &mut text), (modules, &mut sizes)] {
        for (name, value) in lines {
            let name = name.to_ascii_lowercase();
            // Writing to a String does not fail.
            let _ = match value {
                Value::Number(number) => writeln!(numbers, "{name} = {number}"),
                // A float would bring the formatting of floats into the program, 8 kB on ARMv7.
                Value::Time(time) if time.subsec_millis() == 0 => {
                    writeln!(times, "{name} = {}", time.as_secs())
                }
                Value::Time(time) => {
                    writeln!(times, "{name} = {}.{:03}", time.as_secs(), time.subsec_millis())
                }
            };
        }
    }
    text + &sizes + &times
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
        assert_eq!(file.values().map(|table| table.as_table().unwrap().len()).sum::<usize>(), COUNT);
    }
}
