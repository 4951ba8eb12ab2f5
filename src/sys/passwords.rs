//! Passwords changed by clients, stored in the state directory.
//!
//! The file has one line for each, `name new configured`: the user, the hash of the new password, and
//! the hash in the configuration file at that time (`-`: none). A line has an effect only while the
//! configuration file has that hash, so a later change of the configuration file wins. The file is
//! replaced atomically.

use std::fmt::{self, Write};
use std::path::{Path, PathBuf};
use std::str::FromStr;

use super::file::{self, FileError, RenderError};
use crate::limits::{USER_NAME_BYTES, USERS};
use crate::session::{PasswordHash, Users};
use crate::warning;

/// Name of the file.
pub(super) const FILE: &str = "passwords";
/// Field of a user without a password.
const NONE: &str = "-";
/// Limit of lines: the users of the configuration file, and as many of other configuration files.
const RECORDS: usize = 2 * USERS;
/// Length of the longest hash.
const HASH_TEXT_BYTES: usize = 92;
/// Length of the longest line.
const RECORD_BYTES: usize = USER_NAME_BYTES + 2 * HASH_TEXT_BYTES + " \n".len() + 1;
/// Largest file written.
pub(super) const TEXT_BYTES: usize = RECORDS * RECORD_BYTES;
/// Twice that, so that the file of a board with larger limits is still read.
const MAX_BYTES: usize = 2 * TEXT_BYTES;

/// File `passwords` of a state directory.
#[derive(Clone, Debug)]
pub struct PasswordsFile {
    path: PathBuf,
    /// Lines of the file when it was loaded; `None` if it could not be read.
    loaded: Option<Vec<Record>>,
}

/// Line of the file.
#[derive(Clone, Debug, PartialEq)]
struct Record {
    name: String,
    new: PasswordHash,
    /// Hash in the configuration file at the time of the change.
    configured: Option<PasswordHash>,
}

impl PasswordsFile {
    /// Bytes of the loaded lines.
    pub const BYTES: usize = RECORDS * (size_of::<Record>() + USER_NAME_BYTES);

    /// File of this directory, which need not exist.
    pub fn new(directory: &Path) -> Self {
        Self { path: directory.join(FILE), loaded: Some(Vec::new()) }
    }

    /// Sets the stored passwords of `users`. Invalid lines are logged and skipped. A missing file is
    /// empty.
    ///
    /// # Errors
    /// Error of reading, or a file of more than `MAX_BYTES`.
    pub fn load(&mut self, users: &mut Users) -> Result<(), FileError> {
        self.loaded = None;
        let mut records = self.read()?;
        for record in &records {
            let Some(user) = users.find(&record.name) else { continue };
            let configured = users.get(user).and_then(|user| user.password.as_ref());
            if configured == record.configured.as_ref() {
                users.set_password(user, Some(record.new.clone()));
            }
        }
        // Those that a render has room for.
        records.retain(|record| record.name.len() <= USER_NAME_BYTES);
        records.truncate(RECORDS);
        records.shrink_to_fit();
        self.loaded = Some(records);
        Ok(())
    }

    /// Adds the content of the file to `text`: the changed passwords of `users`, and the loaded lines of other
    /// configuration files, because the next start may use one of them.
    ///
    /// # Errors
    /// `text` has no room for it, or the file could not be read when it was loaded.
    pub fn render(&self, users: &Users, text: &mut impl Write) -> Result<(), RenderError> {
        let loaded = self.loaded.as_deref().ok_or(RenderError::NotRead)?;
        Ok(write_all(text, users, loaded)?)
    }

    fn read(&self) -> Result<Vec<Record>, FileError> {
        let bytes = match file::read(&self.path, MAX_BYTES) {
            Ok(bytes) => bytes,
            Err(error) if error.is_missing() => return Ok(Vec::new()),
            Err(error) => return Err(error),
        };
        let mut records = Vec::new();
        for (number, line) in bytes.split(|byte| *byte == b'\n').enumerate() {
            match parse(line) {
                Some(record) => records.push(record),
                None if line.is_empty() => {}
                None => warning!("{}: invalid line {}", FILE, number + 1),
            }
        }
        Ok(records)
    }
}

/// Writes the changed passwords of `users`, and the lines of `old` that are of other configuration files.
fn write_all(text: &mut impl Write, users: &Users, old: &[Record]) -> fmt::Result {
    let mut count = 0;
    for (id, user) in users.iter() {
        if let Some(new) = users.changed_password(id) {
            write(text, &user.name, new, user.password.as_ref())?;
            count += 1;
        }
    }
    let is_of_these = |record: &Record| {
        let user = users.find(&record.name).and_then(|id| users.get(id));
        user.is_some_and(|user| user.password == record.configured)
    };
    // The newest are first.
    for record in old.iter().filter(|record| !is_of_these(record)).take(RECORDS - count) {
        write(text, &record.name, &record.new, record.configured.as_ref())?;
    }
    Ok(())
}

fn write(
    text: &mut impl Write,
    name: &str,
    new: &PasswordHash,
    configured: Option<&PasswordHash>,
) -> fmt::Result {
    match configured {
        Some(configured) => writeln!(text, "{name} {new} {configured}"),
        None => writeln!(text, "{name} {new} {NONE}"),
    }
}

fn parse(line: &[u8]) -> Option<Record> {
    let mut fields = core::str::from_utf8(line).ok()?.split(' ');
    let (name, new, configured) = (fields.next()?, fields.next()?, fields.next()?);
    let configured = match configured {
        NONE => None,
        text => Some(PasswordHash::from_str(text).ok()?),
    };
    if name.is_empty() || fields.next().is_some() {
        return None;
    }
    Some(Record { name: name.to_owned(), new: new.parse().ok()?, configured })
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt as _;

    use proptest::prelude::*;

    use super::super::file::FileReason;
    use super::*;
    use crate::session::{Grants, PASSWORD_ROUNDS_MAX, User, UserLevel};
    use crate::sys::tests::TestDirectory;

    /// Directory of one test, removed when dropped.
    fn content(directory: &TestDirectory) -> String {
        fs::read_to_string(directory.0.join(FILE)).unwrap()
    }

    /// Writes the file as a server does that has read it at its start.
    fn store(file: &mut PasswordsFile, users: &Users) -> Result<(), FileError> {
        file.load(&mut users.clone())?;
        let mut text = String::new();
        file.render(users, &mut text).unwrap();
        file::write_atomic(&file.path, text.as_bytes(), 0o600)
    }

    fn hash(salt: u8) -> PasswordHash {
        PasswordHash::new(1000, [salt; 16], [salt; 32]).unwrap()
    }

    /// Users with these passwords in the configuration file.
    fn users(of: &[(&str, Option<u8>)]) -> Users {
        let mut users = Users::new();
        for (name, password) in of {
            let user = User {
                name: (*name).try_into().unwrap(),
                full_name: heapless::String::new(),
                level: UserLevel::User,
                password: password.map(hash),
                services: Grants::default(),
            };
            users.push(user).unwrap();
        }
        users
    }

    fn change(users: &mut Users, name: &str, salt: u8) {
        let user = users.find(name).unwrap();
        users.set_password(user, Some(hash(salt)));
    }

    fn password(users: &Users, name: &str) -> Option<PasswordHash> {
        users.password(users.find(name).unwrap()).cloned()
    }

    const FILE_1: &[(&str, Option<u8>)] = &[("anna", Some(1)), ("ben", Some(2)), ("token", None)];

    #[test]
    fn changed_password_is_loaded_at_the_next_start() {
        let directory = TestDirectory::new("next");
        let mut file = PasswordsFile::new(&directory.0);
        let mut first = users(FILE_1);
        file.load(&mut first).unwrap();
        assert_eq!(first, users(FILE_1));
        change(&mut first, "anna", 11);
        change(&mut first, "token", 13);
        store(&mut file, &first).unwrap();
        let mut second = users(FILE_1);
        file.load(&mut second).unwrap();
        assert_eq!(second, first);
        assert_eq!(password(&second, "anna"), Some(hash(11)));
        assert_eq!(password(&second, "ben"), Some(hash(2)));
        assert_eq!(password(&second, "token"), Some(hash(13)));
        let mode = fs::metadata(directory.0.join(FILE)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        // A second change replaces the line.
        change(&mut second, "anna", 21);
        store(&mut file, &second).unwrap();
        assert_eq!(content(&directory).matches("anna").count(), 1);
        let mut third = users(FILE_1);
        file.load(&mut third).unwrap();
        assert_eq!(password(&third, "anna"), Some(hash(21)));
    }

    #[test]
    fn later_password_of_the_configuration_file_wins() {
        let directory = TestDirectory::new("later");
        let mut file = PasswordsFile::new(&directory.0);
        let mut first = users(FILE_1);
        change(&mut first, "anna", 11);
        store(&mut file, &first).unwrap();
        let mut second = users(&[("anna", Some(5))]);
        file.load(&mut second).unwrap();
        assert_eq!(password(&second, "anna"), Some(hash(5)));
    }

    #[test]
    fn lines_of_another_configuration_file_stay() {
        let directory = TestDirectory::new("other");
        let mut file = PasswordsFile::new(&directory.0);
        let mut first = users(FILE_1);
        change(&mut first, "anna", 11);
        store(&mut file, &first).unwrap();
        // The built-in default, in which anna is another user.
        let built_in: &[(&str, Option<u8>)] = &[("admin", Some(9)), ("anna", Some(8))];
        let mut fallen_back = users(built_in);
        file.load(&mut fallen_back).unwrap();
        assert_eq!(fallen_back, users(built_in));
        change(&mut fallen_back, "admin", 19);
        change(&mut fallen_back, "anna", 18);
        store(&mut file, &fallen_back).unwrap();
        for (of, name, salt) in [(FILE_1, "anna", 11), (built_in, "admin", 19), (built_in, "anna", 18)] {
            let mut again = users(of);
            file.load(&mut again).unwrap();
            assert_eq!(password(&again, name), Some(hash(salt)), "{name}");
        }
    }

    #[test]
    fn lines_of_other_configuration_files_are_limited() {
        let directory = TestDirectory::new("many");
        let mut file = PasswordsFile::new(&directory.0);
        let of: Vec<String> = (0..USERS).map(|n| format!("u{n}")).collect();
        for salt in 0..4 {
            let of: Vec<_> = of.iter().map(|name| (name.as_str(), Some(salt))).collect();
            let mut users = users(&of);
            of.iter().for_each(|(name, _)| change(&mut users, name, 100 + salt));
            store(&mut file, &users).unwrap();
        }
        assert_eq!(content(&directory).lines().count(), RECORDS);
        let mut newest = users(&[("u0", Some(3))]);
        file.load(&mut newest).unwrap();
        assert_eq!(password(&newest, "u0"), Some(hash(103)));
        let mut oldest = users(&[("u0", Some(0))]);
        file.load(&mut oldest).unwrap();
        assert_eq!(password(&oldest, "u0"), Some(hash(0)));
    }

    #[test]
    fn rendered_content_is_that_of_the_stored_file() {
        let directory = TestDirectory::new("render");
        let mut file = PasswordsFile::new(&directory.0);
        let mut first = users(&[("anna", Some(1)), ("carl", Some(3))]);
        change(&mut first, "anna", 11);
        change(&mut first, "carl", 13);
        store(&mut file, &first).unwrap();
        let mut second = users(FILE_1);
        file.load(&mut second).unwrap();
        for salt in [12, 22] {
            change(&mut second, "anna", salt);
            change(&mut second, "token", salt);
            let mut text = heapless::String::<TEXT_BYTES>::new();
            file.render(&second, &mut text).unwrap();
            store(&mut file, &second).unwrap();
            assert_eq!(content(&directory), text.as_str());
            assert!(text.lines().count() == 3 && text.contains("carl "), "{text}");
        }
        assert_eq!(file.render(&second, &mut heapless::String::<64>::new()), Err(RenderError::TooLong));
    }

    #[test]
    fn longest_line_has_the_length_of_the_limit() {
        let longest = PasswordHash::new(PASSWORD_ROUNDS_MAX, [255; 16], [255; 32]).unwrap();
        assert_eq!(longest.to_string().len(), HASH_TEXT_BYTES);
        let mut line = String::new();
        write(&mut line, &"n".repeat(USER_NAME_BYTES), &longest, Some(&longest)).unwrap();
        assert_eq!(line.len(), RECORD_BYTES);
    }

    #[test]
    fn file_over_its_limit_is_rejected() {
        let directory = TestDirectory::new("long");
        let mut file = PasswordsFile::new(&directory.0);
        fs::write(directory.0.join(FILE), vec![b'\n'; MAX_BYTES]).unwrap();
        file.load(&mut users(FILE_1)).unwrap();
        fs::write(directory.0.join(FILE), vec![b'\n'; MAX_BYTES + 1]).unwrap();
        let error = file.load(&mut users(FILE_1)).unwrap_err();
        assert!(matches!(error.reason, FileReason::TooLarge(MAX_BYTES)));
        // An unreadable file is not replaced.
        assert!(store(&mut file, &users(FILE_1)).is_err());
        let rendered = file.render(&users(FILE_1), &mut String::new());
        assert_eq!(rendered, Err(RenderError::NotRead));
    }

    #[test]
    fn invalid_lines_are_skipped() {
        crate::log::set_level(crate::log::Level::Off);
        let directory = TestDirectory::new("bad");
        let good = format!("anna {} {}", hash(11), hash(1));
        let bad = ["", "anna", "anna x -", " x -", "anna - -", "\u{0}"];
        let text = bad.iter().map(|line| format!("{line}\n")).collect::<String>()
            + &format!("ben {} {} more\nben {} x\n{good}", hash(3), hash(2), hash(3));
        fs::write(directory.0.join(FILE), text).unwrap();
        let mut users = users(FILE_1);
        PasswordsFile::new(&directory.0).load(&mut users).unwrap();
        assert_eq!(password(&users, "anna"), Some(hash(11)));
        assert_eq!(password(&users, "ben"), Some(hash(2)));
    }

    proptest! {
        #[test]
        fn parser_never_panics(line in any::<Vec<u8>>()) {
            let _ = parse(&line);
        }

        #[test]
        fn written_line_is_parsed(
            name in "[a-zA-Z0-9._@-]{1,32}", new in any::<[u8; 16]>(), old in any::<Option<[u8; 32]>>()
        ) {
            let new = PasswordHash::new(1, new, [0; 32]).unwrap();
            let configured = old.map(|old| PasswordHash::new(2, [0; 16], old).unwrap());
            let mut line = String::new();
            write(&mut line, &name, &new, configured.as_ref()).unwrap();
            let line = line.strip_suffix('\n').unwrap();
            prop_assert_eq!(parse(line.as_bytes()), Some(Record { name, new, configured }));
        }
    }
}
