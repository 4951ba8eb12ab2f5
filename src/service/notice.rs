//! Reports of a service about itself, by sd_notify(3).

use core::fmt;
use core::time::Duration;

use super::STATUS_TEXT_BYTES;
use crate::log::is_harmful;

/// Reports of a service since the last ones.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Notice {
    /// `READY=1`.
    pub is_ready: bool,
    /// `STOPPING=1`.
    pub is_stopping: bool,
    /// `WATCHDOG=1`.
    pub is_alive: bool,
    /// `EXTEND_TIMEOUT_USEC`: more time to become ready, from now on.
    pub extend: Option<Duration>,
    /// `STATUS`.
    pub text: Option<StatusText>,
}

impl Notice {
    /// `READY=1` alone.
    pub const READY: Self =
        Self { is_ready: true, is_stopping: false, is_alive: false, extend: None, text: None };
}

/// Line in which a service describes its state, cut at `STATUS_TEXT_BYTES`.
#[derive(Clone, Copy, Eq, PartialEq)]
pub struct StatusText {
    bytes: [u8; STATUS_TEXT_BYTES],
    length: u8,
}

impl StatusText {
    /// Empty line.
    pub const EMPTY: Self = Self { bytes: [0; STATUS_TEXT_BYTES], length: 0 };

    /// Copies as many characters of a text as fit. [Harmful](is_harmful) ones become spaces.
    pub fn new(text: &str) -> Self {
        let mut line = Self::EMPTY;
        let mut length = 0;
        for c in text.chars().map(|c| if is_harmful(c) { ' ' } else { c }) {
            let Some(place) = line.bytes.get_mut(length..length + c.len_utf8()) else { break };
            length += c.encode_utf8(place).len();
        }
        line.length = length as u8;
        line
    }

    /// The line.
    pub fn as_str(&self) -> &str {
        let bytes = self.bytes.get(..usize::from(self.length)).unwrap_or_default();
        core::str::from_utf8(bytes).unwrap_or_default()
    }
}

impl fmt::Debug for StatusText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.as_str().fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn status_text_is_cut_at_its_limit_between_characters() {
        assert_eq!(StatusText::new("ready\tnow\u{202E}!").as_str(), "ready now !");
        let most = "x".repeat(STATUS_TEXT_BYTES);
        assert_eq!(StatusText::new(&most).as_str(), most);
        assert_eq!(StatusText::new(&(most.clone() + "y")).as_str(), most);
        let umlaut = "x".repeat(STATUS_TEXT_BYTES - 1) + "ä";
        assert_eq!(StatusText::new(&umlaut).as_str(), &most[1..]);
        assert_eq!(StatusText::new("").as_str(), "");
    }
}
