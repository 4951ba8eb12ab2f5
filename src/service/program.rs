//! Programs of a service.

use crate::limits::{CHECKS, SERVICE_COMMANDS};

/// Program of a service. All of them run with its user and environment, and their processes are those of the
/// service.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Program {
    /// The service.
    Main,
    /// `pre_start`: runs before each start.
    PreStart,
    /// `stop_command`: runs beside the service, instead of the stop signal.
    Stop,
    /// `finish`: runs after each end.
    Finish,
    /// Named command with this index.
    Command(u8),
    /// Health check with this index; [`ServiceTable`](super::ServiceTable) has its program.
    Check(u8),
}

/// Number of the first program of [`Program::FIXED`].
const FIXED: u8 = u8::MAX - Program::FIXED.len() as u8 + 1;
/// Number of the first health check. Those before it are named commands.
const CHECK: u8 = FIXED - CHECKS as u8;

const _: () = assert!(SERVICE_COMMANDS <= CHECK as usize, "a number for each program");

impl Program {
    /// Every program but the named commands and the health checks.
    const FIXED: [Self; 4] = [Self::Main, Self::PreStart, Self::Stop, Self::Finish];
    /// Programs that help a service to start and to end.
    pub const HELPERS: [Self; 3] = [Self::PreStart, Self::Stop, Self::Finish];

    /// Every program that a service can have.
    pub fn all() -> impl Iterator<Item = Self> {
        (0..=u8::MAX).map(Self::from_number)
    }

    /// Key of the configuration file.
    pub fn key(self) -> &'static str {
        match self {
            Self::Main => "command",
            Self::PreStart => "pre_start",
            Self::Stop => "stop_command",
            Self::Finish => "finish",
            Self::Command(_) => "commands",
            Self::Check(_) => "check",
        }
    }

    /// Number in a message.
    pub fn number(self) -> u8 {
        match self {
            Self::Command(index) => index,
            Self::Check(index) => CHECK + index,
            fixed => Self::FIXED.iter().position(|known| *known == fixed).map_or(0, |at| FIXED + at as u8),
        }
    }

    /// Returns the program with this number.
    pub fn from_number(number: u8) -> Self {
        match number {
            FIXED.. => Self::FIXED[usize::from(number - FIXED)],
            CHECK.. => Self::Check(number - CHECK),
            _ => Self::Command(number),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn programs_have_numbers() {
        let commands = [0, SERVICE_COMMANDS as u8 - 1, CHECK - 1].map(Program::Command);
        let checks = [0, CHECKS as u8 - 1].map(Program::Check);
        for program in Program::FIXED.into_iter().chain(commands).chain(checks) {
            assert_eq!(Program::from_number(program.number()), program);
            assert_eq!(Program::all().filter(|known| *known == program).count(), 1);
        }
    }
}
