//! Files of a configuration, and all of them as one document.
//!
//! A document is the text of the configuration file and then that of each drop-in, after a line with its name. The line
//! begins with a character that TOML allows nowhere, so no text that was parsed contains it. The keeper and the last
//! good copy get all files in this form. Without drop-ins the document is the text of the file.

use std::borrow::Cow;
use std::fmt::Write as _;
use std::path::Path;

use super::ConfigOrigin;
use crate::limits::CONFIG_BYTES;

/// ASCII's file separator, before the name of a drop-in.
const SEPARATOR: char = '\x1c';

/// File of a configuration, as it was read. The first of several is the configuration file, the others are drop-ins.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Source<'t> {
    /// Name for people: a path, or the name alone.
    pub name: &'t str,
    /// Text, or the reason why there is none.
    pub text: Result<&'t str, &'t str>,
}

impl<'t> Source<'t> {
    /// File with this text.
    pub fn new(name: &'t str, text: &'t str) -> Self {
        Self { name, text: Ok(text) }
    }

    /// Name without its directory.
    pub fn file_name(&self) -> &'t str {
        Path::new(self.name).file_name().and_then(|name| name.to_str()).unwrap_or(self.name)
    }

    /// Bytes of a drop-in in a document.
    pub(super) fn document_bytes(&self) -> usize {
        self.file_name().len() + self.text.map_or(0, str::len) + 2
    }
}

/// Error of a file with which the document is longer than [`CONFIG_BYTES`].
pub fn size_error() -> String {
    format!("with this file, the configuration is larger than {CONFIG_BYTES} bytes")
}

/// Document of these files. The file itself is blank where `origin` is the built-in default.
pub fn join(files: &[Source<'_>], origin: ConfigOrigin) -> String {
    let mut document = String::new();
    for (index, file) in files.iter().enumerate() {
        if index > 0 {
            // Writing to it never fails.
            let _ = writeln!(document, "{SEPARATOR}{}", file.file_name());
        }
        if index > 0 || origin != ConfigOrigin::BuiltIn {
            document.push_str(file.text.unwrap_or_default());
        }
    }
    document
}

/// Files of a document. `name` is that of the configuration file.
pub fn split<'t>(document: &'t str, name: &'t str) -> Vec<Source<'t>> {
    let mut parts = document.split(SEPARATOR);
    let file = Source::new(name, parts.next().unwrap_or_default());
    let drop_ins = parts.map(|part| {
        let (name, text) = part.split_once('\n').unwrap_or((part, ""));
        Source::new(name, text)
    });
    std::iter::once(file).chain(drop_ins).collect()
}

/// Document with the configuration file of another one, where it has none itself: what was last good stays so while the
/// built-in default is in force.
pub fn with_file_of<'t>(document: &'t str, other: &'t str) -> Cow<'t, str> {
    let drop_ins = document.find(SEPARATOR).unwrap_or(document.len());
    if !document.get(..drop_ins).unwrap_or_default().trim().is_empty() {
        return document.into();
    }
    let file = other.split(SEPARATOR).next().unwrap_or_default();
    format!("{file}{}", document.get(drop_ins..).unwrap_or_default()).into()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::config::parse;

    #[test]
    fn document_of_one_file_is_its_text() {
        let file = Source::new("/etc/friendlet.toml", "[log]\n");
        assert_eq!(join(&[file], ConfigOrigin::Given), "[log]\n");
        assert_eq!(split("[log]\n", "f"), [Source::new("f", "[log]\n")]);
        assert_eq!(join(&[file], ConfigOrigin::BuiltIn), "");
    }

    #[test]
    fn document_of_several_files_is_split_into_them() {
        let files = [Source::new("f.toml", "[log]"), Source::new("/x/f.d/a.toml", "a\n")];
        let document = join(&files, ConfigOrigin::LastGood);
        assert_eq!(document, "[log]\x1ca.toml\na\n");
        assert_eq!(split(&document, "f.toml"), [files[0], Source::new("a.toml", "a\n")]);
        assert_eq!(document.len(), files[0].text.unwrap().len() + files[1].document_bytes());
        // Damaged.
        assert_eq!(split("\x1c", "f"), [Source::new("f", ""), Source::new("", "")]);
    }

    #[test]
    fn file_that_was_last_good_stays_while_there_is_another_one() {
        assert_eq!(with_file_of("new\x1ca\nb", "old\x1cc\nd"), "new\x1ca\nb");
        assert_eq!(with_file_of("\x1ca\nb", "old\x1cc\nd"), "old\x1ca\nb");
        assert_eq!(with_file_of("\x1ca\nb", ""), "\x1ca\nb");
        assert_eq!(with_file_of("", "old"), "old");
    }

    #[test]
    fn separator_is_in_no_correct_text() {
        for text in ["# \x1c", "'\x1c'=1", "[log]\x1c", "x = '''\x1c'''", "x = \"\x1c\"", "\x1c"] {
            let errors = parse(text, "f", "p").unwrap_err().to_string();
            assert!(errors.starts_with("f:1:"), "{errors}");
        }
    }

    proptest! {
        #[test]
        fn any_document_is_that_of_its_files(document in "([ab\n]|\x1c)*") {
            let files = split(&document, "f");
            let whole = join(&files, ConfigOrigin::Given);
            // A name without a line end gets one.
            prop_assert_eq!(split(&whole, "f"), files);
        }
    }
}
