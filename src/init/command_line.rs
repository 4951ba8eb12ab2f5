//! Parameters of init on the kernel command line.

use core::fmt;

use crate::log::console::warning;

/// One of the two root file systems between which the boot loader chooses.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Slot {
    A,
    B,
}

impl Slot {
    /// Slot of a letter, as on the command line and in the boot state.
    pub(super) fn from_letter(letter: u8) -> Option<Self> {
        match letter {
            b'A' => Some(Self::A),
            b'B' => Some(Self::B),
            _ => None,
        }
    }

    /// Letter, as in the boot state.
    pub(super) fn letter(self) -> u8 {
        match self {
            Self::A => b'A',
            Self::B => b'B',
        }
    }

    /// The other one.
    pub(super) fn other(self) -> Self {
        match self {
            Self::A => Self::B,
            Self::B => Self::A,
        }
    }

    /// Letter as a string.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::A => "A",
            Self::B => "B",
        }
    }
}

impl fmt::Display for Slot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Parameters of init. The last of two equal keys counts, as with the kernel's own.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(super) struct CommandLine<'a> {
    /// `friendlet.root`: device of the root, a squashfs; without it, the initramfs is the root.
    pub(super) root: Option<&'a str>,
    /// `friendlet.slot`: slot of that root.
    pub(super) slot: Option<Slot>,
    /// `friendlet.data`: device of the data, an ext4.
    pub(super) data: Option<&'a str>,
    /// `friendlet.state`: disk with the boot state.
    pub(super) state: Option<&'a str>,
    /// `friendlet.watchdog`: timeout of the watchdog driver in seconds.
    pub(super) watchdog_s: Option<u32>,
}

impl<'a> CommandLine<'a> {
    /// Parses the line. Invalid parameters of init are logged and skipped.
    pub(super) fn parse(text: &'a str) -> Self {
        let mut line = Self::default();
        for word in text.split_ascii_whitespace() {
            let Some(word) = word.strip_prefix("friendlet.") else { continue };
            let (key, value) = word.split_once('=').unwrap_or((word, ""));
            let is_valid = match key {
                _ if value.is_empty() => false,
                "root" => {
                    line.root = Some(value);
                    true
                }
                "data" => {
                    line.data = Some(value);
                    true
                }
                "state" => {
                    line.state = Some(value);
                    true
                }
                "slot" => {
                    let slot = match value.as_bytes() {
                        [letter] => Slot::from_letter(*letter),
                        _ => None,
                    };
                    line.slot = slot.or(line.slot);
                    slot.is_some()
                }
                "watchdog" => {
                    let seconds = value.parse().ok();
                    line.watchdog_s = seconds.or(line.watchdog_s);
                    seconds.is_some()
                }
                _ => false,
            };
            if !is_valid {
                warning!("kernel command line: invalid parameter 'friendlet.{}'", word);
            }
        }
        line
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_of_init_among_those_of_the_kernel() {
        let text = "console=ttyAMA0 root=/dev/sda friendlet.root=/dev/vda2 friendlet.slot=B quiet \
                    friendlet.data=/dev/vda4 friendlet.state=/dev/vda panic=5 friendlet.watchdog=15\n";
        let line = CommandLine {
            root: Some("/dev/vda2"),
            slot: Some(Slot::B),
            data: Some("/dev/vda4"),
            state: Some("/dev/vda"),
            watchdog_s: Some(15),
        };
        assert_eq!(CommandLine::parse(text), line);
        assert_eq!(CommandLine::parse("console=ttyAMA0 xfriendlet.root=/dev/sda"), CommandLine::default());
    }

    #[test]
    fn last_of_two_counts_and_invalid_parameters_do_not() {
        let parse = CommandLine::parse;
        assert_eq!(parse("friendlet.slot=A friendlet.slot=B").slot, Some(Slot::B));
        assert_eq!(parse("friendlet.root=/dev/a friendlet.root=/dev/b").root, Some("/dev/b"));
        assert_eq!(parse("friendlet.slot=A friendlet.slot=C friendlet.slot=AB").slot, Some(Slot::A));
        for invalid in [
            "friendlet.root",
            "friendlet.root=",
            "friendlet.slot=a",
            "friendlet.watchdog=soon",
            "friendlet.watchdog=-1",
            "friendlet.=x",
            "friendlet.rot=/dev/a",
        ] {
            assert_eq!(parse(invalid), CommandLine::default(), "{invalid}");
        }
    }

    #[test]
    fn line_over_its_limit_is_rejected() {
        use crate::init::COMMAND_LINE_BYTES;
        use crate::sys::file::{FileReason, read_text};
        let path = std::env::temp_dir().join(format!("friendlet-cmdline-{}", std::process::id()));
        let mut longest = "x".repeat(COMMAND_LINE_BYTES);
        longest.replace_range(COMMAND_LINE_BYTES - 17.., " friendlet.slot=B");
        std::fs::write(&path, &longest).unwrap();
        let text = read_text(&path, COMMAND_LINE_BYTES).unwrap();
        assert_eq!(CommandLine::parse(&text).slot, Some(Slot::B));
        std::fs::write(&path, longest + "\n").unwrap();
        let reason = read_text(&path, COMMAND_LINE_BYTES).unwrap_err().reason;
        assert!(matches!(reason, FileReason::TooLarge(COMMAND_LINE_BYTES)));
        std::fs::remove_file(path).unwrap();
    }
}
