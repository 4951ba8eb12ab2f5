//! State of the slot of the running system.

use core::fmt;

/// State of the running slot.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum SlotState {
    /// The system is not one of two slots.
    #[default]
    None,
    /// In test: the boot loader goes back to the other one unless it is marked good.
    Testing,
    /// The boot loader starts it, although it is not marked good.
    Confirmed,
    /// Marked good.
    Good,
    /// It was not good in time, and the board restarts.
    Failed,
}

impl SlotState {
    /// Name on the wire, and in the environment of the server; empty without two slots.
    pub fn name(self) -> &'static str {
        match self {
            Self::None => "",
            Self::Testing => "testing",
            Self::Confirmed => "confirmed",
            Self::Good => "good",
            Self::Failed => "failed",
        }
    }

    /// State of this name.
    pub fn from_name(name: &str) -> Self {
        let all = [Self::Testing, Self::Confirmed, Self::Good];
        all.into_iter().find(|state| state.name() == name).unwrap_or_default()
    }
}

/// Condition that a slot has to meet to be marked good.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Missing<'a> {
    /// The configuration file is not in force, or a drop-in is not.
    Configuration,
    /// The data partition is not mounted.
    Data,
    /// The required service with this name is not up.
    Service(&'a str),
    /// Everything else has been so for the first time in seconds, and has to be for the second.
    Time(u64, u64),
    /// An administrator has to confirm it.
    Administrator,
    /// It was not good in time.
    Failed,
    /// The system has no slots.
    Slots,
}

impl fmt::Display for Missing<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Configuration => f.write_str("the configuration file is not in force"),
            Self::Data => f.write_str("the data partition is not mounted"),
            Self::Service(name) => write!(f, "service {name} is not up"),
            Self::Time(past, settle) => write!(f, "everything has been up for {past} of {settle} s"),
            Self::Administrator => f.write_str("no administrator has called board/markgood"),
            Self::Failed => f.write_str("it was not marked good in time"),
            Self::Slots => f.write_str("this system is not one of two slots"),
        }
    }
}
