//! `friendlet limits`.

use std::fmt::Write as _;
use std::time::Duration;

use crate::limits;

/// The times by name.
const TIMES: &[(&str, Duration)] = &[
    ("administrator_timeout", limits::ADMINISTRATOR_TIMEOUT),
    ("answer_timeout", limits::ANSWER_TIMEOUT),
    ("board_command_timeout", limits::BOARD_COMMAND_TIMEOUT),
    ("chunk_age", limits::CHUNK_AGE),
    ("close_timeout", limits::CLOSE_TIMEOUT),
    ("command_timeout", limits::COMMAND_TIMEOUT),
    ("data_retry_pause", limits::DATA_RETRY_PAUSE),
    ("device_step", limits::DEVICE_STEP),
    ("device_timeout", limits::DEVICE_TIMEOUT),
    ("feed_interval", limits::FEED_INTERVAL),
    ("dhcp_lease_min", limits::DHCP_LEASE_MIN),
    ("dhcp_renew_min", limits::DHCP_RENEW_MIN),
    ("dhcp_retry_max", limits::DHCP_RETRY_MAX),
    ("dhcp_retry_min", limits::DHCP_RETRY_MIN),
    ("good_run", limits::GOOD_RUN),
    ("head_timeout", limits::HEAD_TIMEOUT),
    ("idle_timeout", limits::IDLE_TIMEOUT),
    ("idle_timeout_max", limits::IDLE_TIMEOUT_MAX),
    ("idle_timeout_min", limits::IDLE_TIMEOUT_MIN),
    ("kill_timeout", limits::KILL_TIMEOUT),
    ("leftover_timeout", limits::LEFTOVER_TIMEOUT),
    ("linger_timeout", limits::LINGER_TIMEOUT),
    ("lockout_time", limits::LOCKOUT_TIME),
    ("lockout_time_max", limits::LOCKOUT_TIME_MAX),
    ("log_follow_step", limits::LOG_FOLLOW_STEP),
    ("log_retry_pause", limits::LOG_RETRY_PAUSE),
    ("log_window", limits::LOG_WINDOW),
    ("network_poll", limits::NETWORK_POLL),
    ("ping_interval", limits::PING_INTERVAL),
    ("ready_timeout", limits::READY_TIMEOUT),
    ("reset_timeout", limits::RESET_TIMEOUT),
    ("restart_delay_max", limits::RESTART_DELAY_MAX),
    ("restart_delay_min", limits::RESTART_DELAY_MIN),
    ("root_failure_pause", limits::ROOT_FAILURE_PAUSE),
    ("send_timeout", limits::SEND_TIMEOUT),
    ("session_timeout", limits::SESSION_TIMEOUT),
    ("shutdown_grace", limits::SHUTDOWN_GRACE),
    ("shutdown_timeout", limits::SHUTDOWN_TIMEOUT),
    ("silence_timeout", limits::SILENCE_TIMEOUT),
    ("stop_timeout", limits::STOP_TIMEOUT),
    ("stop_timeout_max", limits::STOP_TIMEOUT_MAX),
    ("unmount_pause", limits::UNMOUNT_PAUSE),
    ("upkeep_delay", limits::UPKEEP_DELAY),
    ("vanish_timeout", limits::VANISH_TIMEOUT),
    ("evict_after", limits::EVICT_AFTER),
];

/// Every limit and time of this build, as TOML: the limits as a board's file has them, the times in
/// seconds.
pub(super) fn text() -> String {
    let mut text = format!("# board {}, {}\n[limits]\n", limits::BOARD, limits::TARGET);
    for (name, value) in limits::TABLE {
        // Writing to a String does not fail.
        let _ = writeln!(text, "{name} = {value}");
    }
    text.push_str("\n[times]\n");
    for (name, time) in TIMES {
        let _ = writeln!(text, "{name} = {}", time.as_secs_f64());
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_and_times_are_toml() {
        let text = text();
        let file: toml::Table = text.parse().unwrap();
        let limits = file["limits"].as_table().unwrap();
        assert_eq!(limits.len(), limits::TABLE.len());
        assert_eq!(limits["slots"].as_integer(), Some(limits::SLOTS as i64));
        let times = file["times"].as_table().unwrap();
        assert_eq!(times.len(), TIMES.len());
        assert_eq!(times["upkeep_delay"].as_float(), Some(0.25));
        assert_eq!(times["head_timeout"].as_integer(), Some(10));
    }

    #[test]
    fn every_limit_and_time_is_documented() {
        let document = include_str!("../../docs/limits.md");
        let names = limits::TABLE.iter().map(|(name, _)| name).chain(TIMES.iter().map(|(name, _)| name));
        for name in names {
            assert!(document.contains(&format!("`{name}`")), "{name}");
        }
    }

    #[test]
    fn every_time_of_the_limits_is_told() {
        // Whoever adds a time adds it here.
        let source = include_str!("../limits.rs");
        for line in source.lines() {
            if let Some(rest) = line.strip_prefix("pub const ")
                && let Some((name, _)) = rest.split_once(": Duration")
            {
                let name = name.to_ascii_lowercase();
                assert!(TIMES.iter().any(|(known, _)| *known == name), "{name}");
            }
        }
    }
}
