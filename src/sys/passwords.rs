//! Passwords that were changed over the wire, kept in the state directory.
//!
//! One line, `name new of-the-file`, for each: the user, the password in force, and the one that it
//! stands for, as the device file had it then (`-`: it had none). Who writes another password into the
//! device file means that one, so a line counts only while the device file has what it stands for. The
//! file is replaced as a whole or not at all.

use std::path::{Path, PathBuf};
use std::str::FromStr;

use super::file::{self, FileError};
use crate::limits::{USER_NAME_BYTES, USERS};
use crate::session::{PasswordHash, Users};
use crate::warning;

const FILE: &str = "passwords";
/// Stands for no password.
const NONE: &str = "-";
/// Lines kept: those of the device file in force, and as many of others that may come back.
const RECORDS: usize = 2 * USERS;
/// Longest text of a stored password.
const HASH_TEXT_BYTES: usize = 92;
/// Longest line, its end too.
const RECORD_BYTES: usize = USER_NAME_BYTES + 2 * HASH_TEXT_BYTES + " \n".len() + 1;
/// Twice what can be written, so that the file of a board with longer lists is still read.
const MOST_BYTES: usize = 2 * RECORDS * RECORD_BYTES;

/// The file of one state directory.
#[derive(Clone, Debug)]
pub struct PasswordsFile {
    path: PathBuf,
}

/// One line.
#[derive(Clone, Debug, PartialEq)]
struct Record {
    name: String,
    new: PasswordHash,
    /// What the device file had.
    instead_of: Option<PasswordHash>,
}

impl PasswordsFile {
    /// The file in this directory, which need not be there.
    pub fn new(directory: &Path) -> Self {
        Self { path: directory.join(FILE) }
    }

    /// Changes the passwords of `users` to what is written down. Without a file there is nothing;
    /// lines that cannot be read are passed over and logged.
    ///
    /// # Errors
    /// Those of reading, and a file that is far too long.
    pub fn load(&self, users: &mut Users) -> Result<(), FileError> {
        for record in self.read()? {
            let Some(user) = users.find(&record.name) else { continue };
            let written = users.get(user).and_then(|user| user.password.as_ref());
            if written == record.instead_of.as_ref() {
                users.set_password(user, Some(record.new));
            }
        }
        Ok(())
    }

    /// Writes down which passwords of `users` were changed. Of what is there already, all is kept that
    /// is of another device file: that file may be in force again with the next start. When it returns,
    /// the passwords outlive a power cut.
    ///
    /// # Errors
    /// Those of reading and writing; what was there remains.
    pub fn store(&self, users: &Users) -> Result<(), FileError> {
        let mut text = String::new();
        let mut count = 0;
        for (id, user) in users.iter() {
            if let Some(new) = users.changed_password(id) {
                write(&mut text, &user.name, new, user.password.as_ref());
                count += 1;
            }
        }
        let is_of_these = |record: &Record| {
            let user = users.find(&record.name).and_then(|id| users.get(id));
            user.is_some_and(|user| user.password == record.instead_of)
        };
        // The newest come first.
        for record in self.read()?.iter().filter(|record| !is_of_these(record)).take(RECORDS - count) {
            write(&mut text, &record.name, &record.new, record.instead_of.as_ref());
        }
        file::write_atomic(&self.path, text.as_bytes(), 0o600)
    }

    fn read(&self) -> Result<Vec<Record>, FileError> {
        let bytes = match file::read(&self.path, MOST_BYTES) {
            Ok(bytes) => bytes,
            Err(error) if error.is_missing() => return Ok(Vec::new()),
            Err(error) => return Err(error),
        };
        let mut records = Vec::new();
        for (number, line) in bytes.split(|byte| *byte == b'\n').enumerate() {
            match parse(line) {
                Some(record) => records.push(record),
                None if line.is_empty() => {}
                None => warning!("{}: line {} is not understood", FILE, number + 1),
            }
        }
        Ok(records)
    }
}

fn write(text: &mut String, name: &str, new: &PasswordHash, instead_of: Option<&PasswordHash>) {
    let instead_of = instead_of.map_or_else(|| NONE.to_owned(), PasswordHash::to_string);
    *text += &format!("{name} {new} {instead_of}\n");
}

fn parse(line: &[u8]) -> Option<Record> {
    let mut fields = core::str::from_utf8(line).ok()?.split(' ');
    let (name, new, instead_of) = (fields.next()?, fields.next()?, fields.next()?);
    let instead_of = match instead_of {
        NONE => None,
        text => Some(PasswordHash::from_str(text).ok()?),
    };
    if name.is_empty() || fields.next().is_some() {
        return None;
    }
    Some(Record { name: name.to_owned(), new: new.parse().ok()?, instead_of })
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt as _;

    use proptest::prelude::*;

    use super::super::file::FileReason;
    use super::*;
    use crate::limits::PASSWORD_ROUNDS_MAX;
    use crate::session::{Grants, User, UserLevel};

    /// A folder of this test's own, removed afterwards.
    struct Folder(PathBuf);

    impl Folder {
        fn new(test: &str) -> Self {
            let path =
                std::env::temp_dir().join(format!("friendlet-passwords-{test}-{}", std::process::id()));
            fs::create_dir_all(&path).unwrap();
            Self(path)
        }

        fn text(&self) -> String {
            fs::read_to_string(self.0.join(FILE)).unwrap()
        }
    }

    impl Drop for Folder {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.0);
        }
    }

    fn hash(salt: u8) -> PasswordHash {
        PasswordHash::new(1000, [salt; 16], [salt; 32]).unwrap()
    }

    /// Users with the passwords that a device file gives them.
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
    fn changed_password_is_there_at_the_next_start() {
        let folder = Folder::new("next");
        let file = PasswordsFile::new(&folder.0);
        let mut first = users(FILE_1);
        file.load(&mut first).unwrap();
        assert_eq!(first, users(FILE_1));
        change(&mut first, "anna", 11);
        change(&mut first, "token", 13);
        file.store(&first).unwrap();
        let mut second = users(FILE_1);
        file.load(&mut second).unwrap();
        assert_eq!(second, first);
        assert_eq!(password(&second, "anna"), Some(hash(11)));
        assert_eq!(password(&second, "ben"), Some(hash(2)));
        assert_eq!(password(&second, "token"), Some(hash(13)));
        let mode = fs::metadata(folder.0.join(FILE)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        // Changed again, it is there once.
        change(&mut second, "anna", 21);
        file.store(&second).unwrap();
        assert_eq!(folder.text().matches("anna").count(), 1);
        let mut third = users(FILE_1);
        file.load(&mut third).unwrap();
        assert_eq!(password(&third, "anna"), Some(hash(21)));
    }

    #[test]
    fn password_that_the_device_file_gets_later_counts_more() {
        let folder = Folder::new("later");
        let file = PasswordsFile::new(&folder.0);
        let mut first = users(FILE_1);
        change(&mut first, "anna", 11);
        file.store(&first).unwrap();
        let mut second = users(&[("anna", Some(5))]);
        file.load(&mut second).unwrap();
        assert_eq!(password(&second, "anna"), Some(hash(5)));
    }

    #[test]
    fn what_is_of_another_device_file_is_kept_for_it() {
        let folder = Folder::new("other");
        let file = PasswordsFile::new(&folder.0);
        let mut first = users(FILE_1);
        change(&mut first, "anna", 11);
        file.store(&first).unwrap();
        // The board's own file, in which anna is somebody else.
        let built_in: &[(&str, Option<u8>)] = &[("admin", Some(9)), ("anna", Some(8))];
        let mut fallen_back = users(built_in);
        file.load(&mut fallen_back).unwrap();
        assert_eq!(fallen_back, users(built_in));
        change(&mut fallen_back, "admin", 19);
        change(&mut fallen_back, "anna", 18);
        file.store(&fallen_back).unwrap();
        for (of, name, salt) in [(FILE_1, "anna", 11), (built_in, "admin", 19), (built_in, "anna", 18)] {
            let mut again = users(of);
            file.load(&mut again).unwrap();
            assert_eq!(password(&again, name), Some(hash(salt)), "{name}");
        }
    }

    #[test]
    fn lines_of_other_files_have_their_number() {
        let folder = Folder::new("many");
        let file = PasswordsFile::new(&folder.0);
        let of: Vec<String> = (0..USERS).map(|n| format!("u{n}")).collect();
        for salt in 0..4 {
            let of: Vec<_> = of.iter().map(|name| (name.as_str(), Some(salt))).collect();
            let mut users = users(&of);
            of.iter().for_each(|(name, _)| change(&mut users, name, 100 + salt));
            file.store(&users).unwrap();
        }
        assert_eq!(folder.text().lines().count(), RECORDS);
        let mut newest = users(&[("u0", Some(3))]);
        file.load(&mut newest).unwrap();
        assert_eq!(password(&newest, "u0"), Some(hash(103)));
        let mut oldest = users(&[("u0", Some(0))]);
        file.load(&mut oldest).unwrap();
        assert_eq!(password(&oldest, "u0"), Some(hash(0)));
    }

    #[test]
    fn longest_line_has_its_room() {
        let longest = PasswordHash::new(PASSWORD_ROUNDS_MAX, [255; 16], [255; 32]).unwrap();
        assert_eq!(longest.to_string().len(), HASH_TEXT_BYTES);
        let mut line = String::new();
        write(&mut line, &"n".repeat(USER_NAME_BYTES), &longest, Some(&longest));
        assert_eq!(line.len(), RECORD_BYTES);
    }

    #[test]
    fn length_meets_its_limit_and_not_more() {
        let folder = Folder::new("long");
        let file = PasswordsFile::new(&folder.0);
        fs::write(folder.0.join(FILE), vec![b'\n'; MOST_BYTES]).unwrap();
        file.load(&mut users(FILE_1)).unwrap();
        fs::write(folder.0.join(FILE), vec![b'\n'; MOST_BYTES + 1]).unwrap();
        let error = file.load(&mut users(FILE_1)).unwrap_err();
        assert!(matches!(error.reason, FileReason::TooLarge(MOST_BYTES)));
        // What cannot be read is not replaced.
        assert!(file.store(&users(FILE_1)).is_err());
    }

    #[test]
    fn bad_lines_are_passed_over() {
        crate::log::set_level(crate::log::Level::Off);
        let folder = Folder::new("bad");
        let good = format!("anna {} {}", hash(11), hash(1));
        let bad = ["", "anna", "anna x -", " x -", "anna - -", "\u{0}"];
        let text = bad.iter().map(|line| format!("{line}\n")).collect::<String>()
            + &format!("ben {} {} more\nben {} x\n{good}", hash(3), hash(2), hash(3));
        fs::write(folder.0.join(FILE), text).unwrap();
        let mut users = users(FILE_1);
        PasswordsFile::new(&folder.0).load(&mut users).unwrap();
        assert_eq!(password(&users, "anna"), Some(hash(11)));
        assert_eq!(password(&users, "ben"), Some(hash(2)));
    }

    proptest! {
        #[test]
        fn any_line_is_read_or_passed_over(line in any::<Vec<u8>>()) {
            let _ = parse(&line);
        }

        #[test]
        fn what_is_written_is_read_back(
            name in "[a-zA-Z0-9._@-]{1,32}", new in any::<[u8; 16]>(), old in any::<Option<[u8; 32]>>()
        ) {
            let new = PasswordHash::new(1, new, [0; 32]).unwrap();
            let instead_of = old.map(|old| PasswordHash::new(2, [0; 16], old).unwrap());
            let mut line = String::new();
            write(&mut line, &name, &new, instead_of.as_ref());
            let line = line.strip_suffix('\n').unwrap();
            prop_assert_eq!(parse(line.as_bytes()), Some(Record { name, new, instead_of }));
        }
    }
}
