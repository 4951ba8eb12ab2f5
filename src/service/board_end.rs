//! Ends of the board.

/// Method of shutting the board down.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum BoardEnd {
    /// Restarts it.
    Reboot,
    /// Switches it off.
    PowerOff,
}

impl BoardEnd {
    /// Every method.
    pub const ALL: [Self; 2] = [Self::Reboot, Self::PowerOff];

    /// Name of the call, and in the configuration file.
    pub fn name(self) -> &'static str {
        match self {
            Self::Reboot => "reboot",
            Self::PowerOff => "poweroff",
        }
    }

    /// Returns the method with this name; `None` within for `none`.
    pub fn from_name(name: &str) -> Option<Option<Self>> {
        match name {
            "none" => Some(None),
            _ => Self::ALL.into_iter().find(|end| end.name() == name).map(Some),
        }
    }
}
