//! Severity of a record, and the level in force.

use core::sync::atomic::{AtomicU8, Ordering};

static LEVEL: AtomicU8 = AtomicU8::new(Level::Info as u8);

/// Severity of a record. `[log] level` of the configuration file sets the lowest one that is written.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
#[repr(u8)]
pub enum Level {
    /// Write nothing.
    Off = 0,
    /// Failure of something that should work.
    Error = 1,
    /// Condition that an administrator may want to check.
    Warn = 2,
    /// Normal operation: starts, stops, logins.
    Info = 3,
    /// Events of single connections.
    Debug = 4,
}

impl Level {
    /// Every level, the least verbose first.
    pub const ALL: [Self; 5] = [Self::Off, Self::Error, Self::Warn, Self::Info, Self::Debug];

    /// Returns the level with this name in the configuration file.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|level| level.name() == name)
    }

    /// Name in the configuration file and in a log line.
    pub fn name(self) -> &'static str {
        match self {
            Self::Off => "off",
            Self::Error => "error",
            Self::Warn => "warn",
            Self::Info => "info",
            Self::Debug => "debug",
        }
    }

    /// Number of the severity in syslog (RFC 5424, 6.2.1).
    pub fn severity(self) -> u8 {
        match self {
            Self::Off | Self::Error => 3,
            Self::Warn => 4,
            Self::Info => 6,
            Self::Debug => 7,
        }
    }
}

/// Sets the level in force, and starts the clock of the log.
pub fn set_level(level: Level) {
    super::clock::start_clock();
    LEVEL.store(level as u8, Ordering::Relaxed);
}

/// Level in force.
pub fn level() -> Level {
    match LEVEL.load(Ordering::Relaxed) {
        0 => Level::Off,
        1 => Level::Error,
        2 => Level::Warn,
        3 => Level::Info,
        _ => Level::Debug,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn levels_by_name() {
        for level in Level::ALL {
            assert_eq!(Level::from_name(level.name()), Some(level));
        }
        assert_eq!(Level::from_name("loud"), None);
        assert!(Level::Error < Level::Debug);
    }
}
