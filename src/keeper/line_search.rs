//! Search for a text in the output of a process, as it comes.

use std::collections::VecDeque;

/// Search for a text without a newline, so that it is found in one line only.
#[derive(Debug)]
pub(super) struct LineSearch {
    text: Box<[u8]>,
    /// The newest bytes, as many as the text has.
    newest: VecDeque<u8>,
    is_found: bool,
}

impl LineSearch {
    pub(super) fn new(text: &str) -> Self {
        let newest = VecDeque::with_capacity(text.len() + 1);
        Self { text: text.as_bytes().into(), newest, is_found: false }
    }

    /// The text.
    pub(super) fn text(&self) -> &str {
        str::from_utf8(&self.text).unwrap_or_default()
    }

    /// Begins anew with another process.
    pub(super) fn reset(&mut self) {
        self.newest.clear();
        self.is_found = false;
    }

    /// Reads output; true at the first end of the text.
    pub(super) fn read(&mut self, bytes: &[u8]) -> bool {
        let was_found = self.is_found;
        for byte in bytes {
            if self.is_found {
                break;
            }
            self.newest.push_back(*byte);
            if self.newest.len() > self.text.len() {
                self.newest.pop_front();
            }
            self.is_found = self.newest.iter().eq(self.text.iter());
        }
        self.is_found && !was_found
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_found_once_in_whatever_pieces() {
        let all = b"starting\nlis\nlistening on 80\nlistening\n";
        for size in 1..all.len() {
            let mut search = LineSearch::new("listening");
            let found = all.chunks(size).filter(|piece| search.read(piece)).count();
            assert_eq!(found, 1, "{size}");
            search.reset();
            assert!(!search.read(b"listen\ning") && search.read(b"listening"));
        }
    }
}
