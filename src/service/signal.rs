//! Signals that may be sent to a service, and their receivers.

/// Signal that the configuration file may name, as a stop signal or in a named command.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
#[repr(u8)]
pub enum Signal {
    /// Hang-up; by convention: reload the configuration.
    Hup = 1,
    /// Interrupt from the keyboard.
    Int = 2,
    /// Quit from the keyboard.
    Quit = 3,
    /// Terminate at once; cannot be caught.
    Kill = 9,
    /// First user-defined signal.
    Usr1 = 10,
    /// Second user-defined signal.
    Usr2 = 12,
    /// Alarm clock.
    Alrm = 14,
    /// Request termination.
    Term = 15,
    /// Continue after a stop.
    Cont = 18,
    /// Stop the process; cannot be caught.
    Stop = 19,
    /// Window size changed; by convention: shut down gracefully.
    Winch = 28,
}

impl Signal {
    /// Every signal, by number.
    pub const ALL: [Self; 11] = [
        Self::Hup,
        Self::Int,
        Self::Quit,
        Self::Kill,
        Self::Usr1,
        Self::Usr2,
        Self::Alrm,
        Self::Term,
        Self::Cont,
        Self::Stop,
        Self::Winch,
    ];

    /// Returns the signal with this name, `TERM` or `SIGTERM`.
    pub fn from_name(name: &str) -> Option<Self> {
        let name = name.strip_prefix("SIG").unwrap_or(name);
        Self::ALL.into_iter().find(|signal| signal.name() == name)
    }

    /// Name without `SIG`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Hup => "HUP",
            Self::Int => "INT",
            Self::Quit => "QUIT",
            Self::Kill => "KILL",
            Self::Usr1 => "USR1",
            Self::Usr2 => "USR2",
            Self::Alrm => "ALRM",
            Self::Term => "TERM",
            Self::Cont => "CONT",
            Self::Stop => "STOP",
            Self::Winch => "WINCH",
        }
    }

    /// Number on Linux for ARM and x86.
    pub fn number(self) -> i32 {
        i32::from(self as u8)
    }

    /// Returns true if the signal can be a stop signal: `STOP` and `CONT` terminate nothing.
    pub fn can_end(self) -> bool {
        !matches!(self, Self::Stop | Self::Cont)
    }
}

/// Receivers of a signal.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum Scope {
    /// Leader of the process group alone.
    #[default]
    Leader,
    /// All processes of the service.
    Group,
}

impl Scope {
    /// Every scope.
    pub const ALL: [Self; 2] = [Self::Leader, Self::Group];

    /// Returns the scope with this name in the configuration file.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|scope| scope.name() == name)
    }

    /// Name in the configuration file.
    pub fn name(self) -> &'static str {
        match self {
            Self::Leader => "leader",
            Self::Group => "group",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scopes_by_name() {
        for scope in Scope::ALL {
            assert_eq!(Scope::from_name(scope.name()), Some(scope));
        }
        assert_eq!(Scope::from_name("all"), None);
        assert_eq!(Scope::default(), Scope::Leader);
    }

    #[test]
    fn names_with_and_without_prefix() {
        assert_eq!(Signal::from_name("TERM"), Some(Signal::Term));
        assert_eq!(Signal::from_name("SIGTERM"), Some(Signal::Term));
        for name in ["", "SIG", "term", "SIGSIGTERM", "SEGV", "15"] {
            assert_eq!(Signal::from_name(name), None, "{name}");
        }
        for signal in Signal::ALL {
            assert_eq!(Signal::from_name(signal.name()), Some(signal));
        }
    }

    #[test]
    fn numbers_are_linux() {
        let numbers = Signal::ALL.map(Signal::number);
        assert_eq!(numbers, [1, 2, 3, 9, 10, 12, 14, 15, 18, 19, 28]);
    }

    #[test]
    fn stop_and_continue_are_not_stop_signals() {
        assert!(Signal::Term.can_end() && Signal::Kill.can_end());
        assert!(!Signal::Stop.can_end() && !Signal::Cont.can_end());
    }
}
