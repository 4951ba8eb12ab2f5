//! Origin of the configuration, where another file may replace the given one.

use std::fmt::{self, Write as _};

use heapless::String;

use super::COMPLAINT_BYTES;
use crate::log::is_harmful;

/// Reason for not using the given configuration file, on one line.
pub type ConfigError = String<COMPLAINT_BYTES>;

/// Origin of the configuration in force.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum ConfigOrigin {
    /// The file of the command line, or the one at the default path.
    #[default]
    Given,
    /// Copy of the last file that the server started with.
    LastGood,
    /// The built-in default.
    BuiltIn,
}

impl ConfigOrigin {
    /// Name on the wire and for people.
    pub fn name(self) -> &'static str {
        match self {
            Self::Given => "given",
            Self::LastGood => "last good",
            Self::BuiltIn => "built in",
        }
    }
}

/// One line of any text: [harmful](is_harmful) characters become `?`, and the end that has no room is cut off.
pub fn one_line<const N: usize>(text: impl fmt::Display) -> String<N> {
    let mut line = OneLine(String::new());
    // An error means that the rest was cut off.
    let _ = write!(line, "{text}");
    line.0
}

struct OneLine<const N: usize>(String<N>);

impl<const N: usize> fmt::Write for OneLine<N> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for c in text.chars() {
            if self.0.push(if is_harmful(c) { '?' } else { c }).is_err() {
                // Ends the text here: a shorter character must not follow an omitted one.
                return Err(fmt::Error);
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_one_line_up_to_its_limit() {
        assert_eq!(one_line::<8>("a\nb\x1b[é").as_str(), "a?b?[é");
        assert_eq!(one_line::<4>(format_args!("{}{}", "abcé", "x")).as_str(), "abc");
        let longest = "c".repeat(COMPLAINT_BYTES);
        assert_eq!(one_line::<COMPLAINT_BYTES>(&longest).as_str(), longest);
        assert_eq!(one_line::<COMPLAINT_BYTES>(longest.clone() + "d").as_str(), longest);
    }

    proptest::proptest! {
        #[test]
        fn any_text_is_shown_on_a_line_that_is_a_beginning_of_it(text: std::string::String) {
            let line = one_line::<16>(&text);
            let shown: std::string::String =
                text.chars().map(|c| if is_harmful(c) { '?' } else { c }).collect();
            proptest::prop_assert!(shown.starts_with(line.as_str()));
            proptest::prop_assert!(line.len() == shown.len() || line.len() > 16 - 4);
        }
    }
}
