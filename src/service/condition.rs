//! Conditions of the machine that a service waits for or needs.

use core::fmt;

use super::{CONDITIONS, SERVICE_CONDITIONS, StringArray};
use crate::limits::FILE_PATH_BYTES;

/// Length of the longest text of a condition: the path of a device.
pub const CONDITION_BYTES: usize = FILE_PATH_BYTES + "device:".len();

/// Texts of the conditions of one service, each of which [`Condition::from_text`] accepts.
pub type Conditions = StringArray<{ SERVICE_CONDITIONS * CONDITION_BYTES }, SERVICE_CONDITIONS>;

/// Different conditions of all services.
pub type AllConditions = StringArray<{ CONDITIONS * CONDITION_BYTES }, CONDITIONS>;

/// Condition of the machine.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Condition<'t> {
    /// The time of day is plausible.
    Clock,
    /// NTP has synchronised the time of day.
    Ntp,
    /// An interface other than loopback has a carrier and an address.
    Network,
    /// This path is a device.
    Device(&'t str),
    /// Something exists at this path.
    Path(&'t str),
}

impl<'t> Condition<'t> {
    /// Parses `clock`, `ntp`, `network`, `device:PATH` or `path:PATH`. The path is absolute.
    pub fn from_text(text: &'t str) -> Option<Self> {
        match text {
            "clock" => Some(Self::Clock),
            "ntp" => Some(Self::Ntp),
            "network" => Some(Self::Network),
            _ => {
                let (kind, path) = text.split_once(':')?;
                let is_path = path.starts_with('/')
                    && path.len() <= FILE_PATH_BYTES
                    && !path.contains(char::is_control);
                match kind {
                    "device" if is_path => Some(Self::Device(path)),
                    "path" if is_path => Some(Self::Path(path)),
                    _ => None,
                }
            }
        }
    }
}

impl fmt::Display for Condition<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Clock => f.write_str("clock"),
            Self::Ntp => f.write_str("ntp"),
            Self::Network => f.write_str("network"),
            Self::Device(path) => write!(f, "device:{path}"),
            Self::Path(path) => write!(f, "path:{path}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn conditions_by_their_texts() {
        for (text, condition) in [
            ("clock", Condition::Clock),
            ("ntp", Condition::Ntp),
            ("network", Condition::Network),
            ("device:/dev/ttyUSB0", Condition::Device("/dev/ttyUSB0")),
            ("path:/data/a:b", Condition::Path("/data/a:b")),
        ] {
            assert_eq!(Condition::from_text(text), Some(condition));
            assert_eq!(condition.to_string(), text);
        }
        for text in [
            "",
            "Clock",
            "clock:",
            "network:/a",
            "device:",
            "device:ttyUSB0",
            "path:a",
            "file:/a",
            "path:/a\n",
        ] {
            assert_eq!(Condition::from_text(text), None, "{text:?}");
        }
    }

    #[test]
    fn path_of_a_condition_up_to_its_limit() {
        let path = format!("device:/{}", "a".repeat(FILE_PATH_BYTES - 1));
        assert!(Condition::from_text(&path).is_some() && path.len() == CONDITION_BYTES);
        assert_eq!(Condition::from_text(&(path + "a")), None);
    }

    #[test]
    fn arrays_have_room_for_the_longest_conditions() {
        let longest = "x".repeat(CONDITION_BYTES);
        let (mut conditions, mut all) = (Conditions::new(), AllConditions::new());
        (0..SERVICE_CONDITIONS).for_each(|_| conditions.push(&longest).unwrap());
        (0..CONDITIONS).for_each(|_| all.push(&longest).unwrap());
    }
}
