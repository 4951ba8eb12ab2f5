//! Types of the schema: tables, keys, kinds of values, bounds, defaults.

/// A text of the documents that are made from the tables. A release build, which prints none of it, has nothing in its place.
#[derive(Clone, Copy, Debug)]
pub struct Documentation {
    #[cfg(debug_assertions)]
    text: &'static str,
}

impl Documentation {
    /// The text; empty in a release build.
    pub fn text(self) -> &'static str {
        #[cfg(debug_assertions)]
        return self.text;
        #[cfg(not(debug_assertions))]
        return "";
    }
}

/// Makes a text of the documents.
pub const fn documentation(_text: &'static str) -> Documentation {
    Documentation {
        #[cfg(debug_assertions)]
        text: _text,
    }
}

/// One table of the configuration file.
#[derive(Debug)]
pub struct Table {
    /// Name in the file: `listen`.
    pub name: &'static str,
    /// Header in the file: `[listen]`, or `[[service]]` where there may be several.
    pub header: &'static str,
    /// One line.
    pub doc: Documentation,
    /// Its keys.
    pub keys: &'static [Key],
    /// Names with a value that is fixed at build time; setting one is an error.
    pub fixed: &'static [(&'static str, usize)],
}

impl Table {
    /// The row of `name`.
    pub fn key(&self, name: &str) -> Option<&'static Key> {
        self.keys.iter().find(|key| key.name == name)
    }

    /// Returns whether the file may contain several of it.
    pub fn is_repeated(&self) -> bool {
        self.header.starts_with("[[")
    }
}

/// One key of a table.
#[derive(Debug)]
pub struct Key {
    /// Name in the file.
    pub name: &'static str,
    /// Type and range of the value.
    pub kind: Kind,
    /// Value where the file has none.
    pub default: Default,
    /// One line.
    pub doc: Documentation,
    /// Value in the example file as TOML, where it is not the default. In a release build that of secrets alone.
    pub example: Option<&'static str>,
    /// Secrecy of the value: error messages do not quote a secret.
    pub is_secret: bool,
    /// Earliest time at which a changed value can take effect.
    pub change: Change,
}

/// Earliest time at which a changed value can take effect.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Change {
    /// With a restart: sockets, buffers or files are made from it.
    Restart,
    /// While the server runs.
    Reload,
}

/// Value of a key that the file does not set.
#[derive(Clone, Copy, Debug)]
pub enum Default {
    /// None: the key must be set.
    Required,
    /// None; the text describes the effect.
    Unset(Documentation),
    /// `true` or `false`.
    Boolean(bool),
    /// A whole number.
    Integer(u32),
    /// A whole number that may be negative.
    Signed(i32),
    /// A list of whole numbers.
    Integers(&'static [u64]),
    /// A string.
    String(&'static str),
    /// An empty list or table.
    Empty,
    /// A value that depends on the build, described by the text.
    Build(&'static Self, Documentation),
}

impl Default {
    /// The value itself, without the text of [`Build`](Self::Build).
    pub fn value(&self) -> &Self {
        match self {
            Self::Build(value, _) => value,
            value => value,
        }
    }
}

/// Type and range of a value.
#[derive(Debug)]
pub enum Kind {
    /// `true` or `false`.
    Boolean,
    /// A whole number.
    Integer {
        /// Smallest value.
        least: Bound,
        /// Largest value.
        most: Bound,
    },
    /// A number of bytes up to [`MEMORY_BYTES_MAX`], which 32 bits do not hold.
    Memory,
    /// A whole number that may be negative.
    Signed {
        /// Smallest value.
        least: i32,
        /// Largest value.
        most: i32,
    },
    /// A list of whole numbers.
    Integers {
        /// Most entries.
        entries: u32,
        /// Smallest entry.
        least: u32,
        /// Largest entry.
        most: u32,
    },
    /// A date, or a date and time.
    Date,
    /// One of these words.
    Choice(&'static [&'static str]),
    /// A string.
    String(Form),
    /// A list of strings.
    List {
        /// Most entries.
        most: Bound,
        /// Form of one entry.
        entry: &'static Form,
    },
    /// A program and its arguments.
    Command,
    /// Environment variables by name.
    Variables,
    /// Signals and programs by name.
    Commands,
    /// Whole numbers by these names.
    Numbers(&'static [&'static str]),
    /// A table with the keys of this one.
    Table(&'static Table),
}

/// Form of a string.
#[derive(Debug)]
pub struct Form {
    /// Most bytes.
    pub bytes: Bound,
    /// Description of a correct value, for messages and documentation.
    pub expected: &'static str,
    /// Returns whether a string has this form.
    pub is_met: fn(&str) -> bool,
}

/// Minimum or maximum.
#[derive(Clone, Copy, Debug)]
pub struct Bound {
    /// The number.
    pub value: u32,
    /// Name of the limit it is, in `friendlet limits`.
    pub limit: Option<&'static str>,
}

/// Bound above the size of the file, so no string reaches it.
pub(super) const UNBOUNDED: Bound = Bound { value: u32::MAX, limit: None };

/// Largest value of [`Kind::Memory`].
pub const MEMORY_BYTES_MAX: i64 = 1 << 40;

impl Bound {
    /// Returns whether only the size of the file bounds the value.
    pub fn is_unbounded(self) -> bool {
        self.value == UNBOUNDED.value
    }
}

/// Fixed bound, equal on every board.
pub(super) const fn fixed(value: u64) -> Bound {
    Bound { value: word(value), limit: None }
}

/// The same number in 32 bits: the tables hold hundreds.
pub(super) const fn word(number: u64) -> u32 {
    assert!(number < u32::MAX as u64);
    number as u32
}

/// Bound from a limit of the board, by its name.
macro_rules! board_limit {
    ($name:ident) => {
        $crate::config::key::Bound {
            value: $crate::config::key::word($crate::limits::$name as u64),
            limit: Some(stringify!($name)),
        }
    };
}
pub(super) use board_limit;

impl Kind {
    /// A whole number from `least` to `most`.
    pub(super) const fn integer(least: u64, most: u64) -> Self {
        Self::Integer { least: fixed(least), most: fixed(most) }
    }

    /// A list of up to `entries` whole numbers from `least` to `most`.
    pub(super) const fn integers(entries: u64, least: u64, most: u64) -> Self {
        Self::Integers { entries: word(entries), least: word(least), most: word(most) }
    }

    /// A string of up to `bytes` bytes that satisfies `is_met`.
    pub(super) const fn string(bytes: Bound, expected: &'static str, is_met: fn(&str) -> bool) -> Self {
        Self::String(Form { bytes, expected, is_met })
    }

    /// String in the form of a type that is parsed from it.
    pub(super) const fn parsed(expected: &'static str) -> Self {
        Self::String(Form { bytes: UNBOUNDED, expected, is_met: any })
    }

    /// Smallest and largest value of a whole number or of an entry of a list of them, and the limit that the largest is.
    pub fn range(&self) -> Option<(i64, i64, Option<&'static str>)> {
        match *self {
            Self::Integer { least, most } => Some((least.value.into(), most.value.into(), most.limit)),
            Self::Integers { least, most, .. } => Some((least.into(), most.into(), None)),
            Self::Memory => Some((0, MEMORY_BYTES_MAX, None)),
            Self::Signed { least, most } => Some((least.into(), most.into(), None)),
            _ => None,
        }
    }

    /// The form of a string or of an entry of a list.
    pub fn form(&self) -> Option<&Form> {
        match self {
            Self::String(form) => Some(form),
            Self::List { entry, .. } => Some(entry),
            _ => None,
        }
    }
}

/// Form of what [`is_line`] accepts.
pub(super) const LINE: &str = "one line without control characters and marks that reverse text";

/// Accepts a string without [harmful](crate::log::is_harmful) characters.
pub(super) fn is_line(text: &str) -> bool {
    !text.contains(crate::log::is_harmful)
}

/// Accepts every string.
pub(super) fn any(_: &str) -> bool {
    true
}

impl Key {
    /// Key that takes effect after a restart.
    pub(super) const fn new(name: &'static str, kind: Kind, default: Default, doc: &'static str) -> Self {
        let doc = documentation(doc);
        Self { name, kind, default, doc, example: None, is_secret: false, change: Change::Restart }
    }

    /// The key with this value in the example file. A secret one is marked before.
    pub(super) const fn example(self, example: &'static str) -> Self {
        let is_kept = cfg!(debug_assertions) || self.is_secret;
        Self { example: if is_kept { Some(example) } else { None }, ..self }
    }

    /// The key with a secret value.
    pub(super) const fn secret(self) -> Self {
        Self { is_secret: true, ..self }
    }

    /// The key with a value that may change while the server runs.
    pub(super) const fn reload(self) -> Self {
        Self { change: Change::Reload, ..self }
    }
}
