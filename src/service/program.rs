//! Programs of a service.

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
}

/// Number of the first program that is not a named command.
const FIRST: u8 = u8::MAX - Program::FIXED.len() as u8 + 1;

const _: () = assert!(crate::limits::SERVICE_COMMANDS <= FIRST as usize, "a number for each program");

impl Program {
    /// Every program but the named commands.
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
        }
    }

    /// Number in a message.
    pub fn number(self) -> u8 {
        match self {
            Self::Command(index) => index,
            fixed => Self::FIXED.iter().position(|known| *known == fixed).map_or(0, |at| FIRST + at as u8),
        }
    }

    /// Returns the program with this number.
    pub fn from_number(number: u8) -> Self {
        let fixed = number.checked_sub(FIRST).and_then(|at| Self::FIXED.get(usize::from(at)));
        fixed.copied().unwrap_or(Self::Command(number))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn programs_have_numbers() {
        let commands = [Program::Command(0), Program::Command(FIRST - 1)];
        for program in Program::FIXED.into_iter().chain(commands) {
            assert_eq!(Program::from_number(program.number()), program);
            assert_eq!(Program::all().filter(|known| *known == program).count(), 1);
        }
    }
}
