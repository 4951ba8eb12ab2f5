//! Texts of `--help`: each file of this directory, compressed by `build.rs`.

use core::fmt::{self, Display, Formatter, Write as _};

/// Compressed text. Each byte from 128 on stands for a pair in `PAIRS`, which may have such bytes again.
#[derive(Debug, Eq, PartialEq)]
pub struct Text(&'static [u8]);

include!(concat!(env!("OUT_DIR"), "/help.rs"));

impl Display for Text {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        expand(self.0, f)
    }
}

fn expand(bytes: &[u8], f: &mut Formatter<'_>) -> fmt::Result {
    bytes.iter().try_for_each(|&byte| match PAIRS.get(usize::from(byte).wrapping_sub(128)) {
        Some(pair) => expand(pair, f),
        None => f.write_char(char::from(byte)),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_those_of_the_files() {
        assert_eq!(PASSWD.to_string(), include_str!("passwd.txt"));
        assert_eq!(CTL.to_string(), include_str!("ctl.txt"));
        assert!(PASSWD.0.len() * 4 < include_str!("passwd.txt").len() * 3);
    }
}
