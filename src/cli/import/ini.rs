//! Lines of both formats: sections, keys and values.

use super::File;

/// Section of a service in a unit of systemd.
pub(super) const SERVICE: &str = "Service";

/// Key with its value.
pub(super) struct Entry<'a> {
    /// Number of its line.
    pub(super) line: usize,
    /// Section, without its brackets.
    pub(super) section: &'a str,
    /// Key, empty for a line without one. That of supervisord has letters of either case.
    pub(super) key: &'a str,
    pub(super) value: String,
}

impl Entry<'_> {
    /// The same with another value.
    pub(super) fn with(&self, value: &str) -> Self {
        Self { value: value.to_owned(), ..*self }
    }
}

/// Entries of a file, in their order.
///
/// # Errors
/// Number of a line that begins a section and does not end its name.
pub(super) fn read<'a>(file: &File<'a>) -> Result<Vec<Entry<'a>>, usize> {
    let lines = file.text.trim_start_matches('\u{feff}').lines();
    let is_unit = lines.clone().filter_map(section_of).any(|section| section == SERVICE);
    let mut entries: Vec<Entry<'_>> = Vec::new();
    let mut section = "";
    // Whether the next line belongs to the last entry.
    let mut goes_on = false;
    for (index, line) in lines.enumerate() {
        let text = line.trim();
        if text.is_empty() || text.starts_with(['#', ';']) {
            goes_on &= !text.is_empty();
            continue;
        }
        let (text, ends_open) = match text.strip_suffix('\\') {
            Some(text) if is_unit => (text.trim_end(), true),
            _ if is_unit => (text, false),
            _ => (without_comment(text), true),
        };
        if goes_on
            && (is_unit || line.starts_with([' ', '\t']))
            && let Some(entry) = entries.last_mut()
        {
            entry.value.push(' ');
            entry.value.push_str(text);
            goes_on = ends_open;
            continue;
        }
        goes_on = ends_open;
        if let Some(name) = section_of(text) {
            section = name;
            goes_on = false;
            continue;
        }
        if text.starts_with('[') {
            return Err(index + 1);
        }
        let delimiters: &[char] = if is_unit { &['='] } else { &['=', ':'] };
        let (key, value) = text.split_once(delimiters).unwrap_or(("", text));
        entries.push(Entry { line: index + 1, section, key: key.trim(), value: value.trim().to_owned() });
    }
    Ok(entries)
}

/// Section that a line begins.
fn section_of(line: &str) -> Option<&str> {
    line.trim().strip_prefix('[')?.strip_suffix(']')
}

/// A line of supervisord without the comment that `;` or `#` after a space begins.
fn without_comment(line: &str) -> &str {
    let is_start = |(at, sign): &(usize, char)| {
        matches!(sign, ';' | '#') && line[..*at].ends_with(|before: char| before.is_whitespace())
    };
    let end = line.char_indices().find(is_start).map_or(line.len(), |(at, _)| at);
    line[..end].trim_end()
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    #[track_caller]
    fn assert_entries(text: &str, expected: &[(usize, &str, &str)]) {
        let entries = read(&File { path: Path::new("/etc/f.conf"), text }).unwrap();
        let found: Vec<_> = entries
            .iter()
            .map(|entry| (entry.line, [entry.section, entry.key].join("."), entry.value.as_str()))
            .collect();
        let expected: Vec<_> =
            expected.iter().map(|&(line, key, value)| (line, key.to_owned(), value)).collect();
        assert_eq!(found, expected);
    }

    #[test]
    fn lines_of_supervisord() {
        assert_entries(
            "a=0\n[x]\n; c\nKey = one ; two\n  three\n\n four = 4\nfive: 5#5\n[y] ; c\nnothing\n",
            &[
                (1, ".a", "0"),
                (4, "x.Key", "one three"),
                (7, "x.four", "4"),
                (8, "x.five", "5#5"),
                (10, "y.", "nothing"),
            ],
        );
    }

    #[test]
    fn lines_of_systemd() {
        assert_entries(
            "[Service]\nExecStart=/a ; b \\\n# c\n  --x=y\\\n--z\nEmpty=\nNo more\n",
            &[
                (2, "Service.ExecStart", "/a ; b --x=y --z"),
                (6, "Service.Empty", ""),
                (7, "Service.", "No more"),
            ],
        );
    }
}
