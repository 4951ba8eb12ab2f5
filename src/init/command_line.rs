//! What the kernel's command line says to init.

use core::fmt;

use crate::log::console::warning;

/// One of the two roots between which the boot loader chooses.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Slot {
    A,
    B,
}

impl Slot {
    /// The slot of this letter, on the command line and in the boot state.
    pub(super) fn from_letter(letter: u8) -> Option<Self> {
        match letter {
            b'A' => Some(Self::A),
            b'B' => Some(Self::B),
            _ => None,
        }
    }

    /// Its letter as a text.
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

/// The keys of init. Of one that comes twice the last counts, as everywhere on this line.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(super) struct CommandLine<'a> {
    /// `friendlet.root`: device of the root's squashfs; without it, the initramfs is the root.
    pub(super) root: Option<&'a str>,
    /// `friendlet.slot`: which of two roots that is.
    pub(super) slot: Option<Slot>,
    /// `friendlet.data`: device of the data's ext4.
    pub(super) data: Option<&'a str>,
    /// `friendlet.state`: disk with the boot state.
    pub(super) state: Option<&'a str>,
    /// `friendlet.watchdog`: seconds that the watchdog's driver was given.
    pub(super) watchdog_s: Option<u32>,
}

impl<'a> CommandLine<'a> {
    /// Reads the line. What it says to init and cannot be understood is told and passed over.
    pub(super) fn read(text: &'a str) -> Self {
        let mut line = Self::default();
        for word in text.split_ascii_whitespace() {
            let Some(word) = word.strip_prefix("friendlet.") else { continue };
            let (key, value) = word.split_once('=').unwrap_or((word, ""));
            let understood = match key {
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
            if !understood {
                warning!("command line: 'friendlet.{}' is not understood", word);
            }
        }
        line
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_of_init_among_those_of_the_kernel() {
        let text = "console=ttyAMA0 root=/dev/sda friendlet.root=/dev/vda2 friendlet.slot=B quiet \
                    friendlet.data=/dev/vda4 friendlet.state=/dev/vda panic=5 friendlet.watchdog=15\n";
        let line = CommandLine {
            root: Some("/dev/vda2"),
            slot: Some(Slot::B),
            data: Some("/dev/vda4"),
            state: Some("/dev/vda"),
            watchdog_s: Some(15),
        };
        assert_eq!(CommandLine::read(text), line);
        assert_eq!(CommandLine::read("console=ttyAMA0 xfriendlet.root=/dev/sda"), CommandLine::default());
    }

    #[test]
    fn last_of_two_counts_and_what_is_not_understood_does_not() {
        let read = CommandLine::read;
        assert_eq!(read("friendlet.slot=A friendlet.slot=B").slot, Some(Slot::B));
        assert_eq!(read("friendlet.root=/dev/a friendlet.root=/dev/b").root, Some("/dev/b"));
        assert_eq!(read("friendlet.slot=A friendlet.slot=C friendlet.slot=AB").slot, Some(Slot::A));
        for nonsense in [
            "friendlet.root",
            "friendlet.root=",
            "friendlet.slot=a",
            "friendlet.watchdog=soon",
            "friendlet.watchdog=-1",
            "friendlet.=x",
            "friendlet.rot=/dev/a",
        ] {
            assert_eq!(read(nonsense), CommandLine::default(), "{nonsense}");
        }
    }

    #[test]
    fn line_is_read_to_its_limit_and_no_further() {
        use crate::init::COMMAND_LINE_BYTES;
        use crate::sys::file::{FileReason, read_text};
        let path = std::env::temp_dir().join(format!("friendlet-cmdline-{}", std::process::id()));
        let mut longest = "x".repeat(COMMAND_LINE_BYTES);
        longest.replace_range(COMMAND_LINE_BYTES - 17.., " friendlet.slot=B");
        std::fs::write(&path, &longest).unwrap();
        let text = read_text(&path, COMMAND_LINE_BYTES).unwrap();
        assert_eq!(CommandLine::read(&text).slot, Some(Slot::B));
        std::fs::write(&path, longest + "\n").unwrap();
        let reason = read_text(&path, COMMAND_LINE_BYTES).unwrap_err().reason;
        assert!(matches!(reason, FileReason::TooLarge(COMMAND_LINE_BYTES)));
        std::fs::remove_file(path).unwrap();
    }
}
