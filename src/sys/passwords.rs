//! Passwords changed by clients, stored in the state directory.
//!
//! The file has one line for each, `name new configured`: the user, the hash of the new password, and
//! the hash in the configuration file at that time (`-`: none). A line has an effect only while the
//! configuration file has that hash, so a later change of the configuration file wins. A new password `-` is
//! one that was lost with a damaged file: the password of the configuration file may be an older one, and is
//! refused. Lines that this version does not know stay. [`state_file`] has the first line and the copy.

use std::fmt::{self, Write};
use std::path::Path;
use std::str::FromStr;

use super::UNKNOWN_LINES_BYTES;
use super::file::{FileError, RenderError};
use super::state_file::{self, HEADER_BYTES, Loaded, Notices, StateFile, UnknownLines};
use crate::limits::{USER_NAME_BYTES, USERS};
use crate::session::{ChangedPassword, PasswordHash, Users};

/// Name of the file.
pub const FILE: &str = "passwords";
/// Field of a user without a password.
const NONE: &str = "-";
/// Limit of lines: the users of the configuration file, and as many of other configuration files.
const RECORDS: usize = 2 * USERS;
/// Length of the longest hash.
const HASH_TEXT_BYTES: usize = 92;
/// Length of the longest line.
const RECORD_BYTES: usize = USER_NAME_BYTES + 2 * HASH_TEXT_BYTES + " \n".len() + 1;
/// Largest content written.
pub(super) const TEXT_BYTES: usize = RECORDS * RECORD_BYTES + UNKNOWN_LINES_BYTES;
/// Twice that, so that the file of a board with larger limits is still read.
pub(super) const MAX_BYTES: usize = HEADER_BYTES + 2 * TEXT_BYTES;

/// File `passwords` of a state directory.
#[derive(Clone, Debug)]
pub struct PasswordsFile {
    file: StateFile,
    /// Lines of the file when it was loaded.
    loaded: Vec<Record>,
    unknown: UnknownLines,
}

/// Line of the file.
#[derive(Clone, Debug, PartialEq)]
struct Record {
    name: String,
    new: ChangedPassword,
    /// Hash in the configuration file at the time of the change.
    configured: Option<PasswordHash>,
}

impl PasswordsFile {
    /// Bytes of the loaded lines.
    pub const BYTES: usize = RECORDS * (size_of::<Record>() + USER_NAME_BYTES);

    /// File of this directory, which need not exist.
    pub fn new(directory: &Path) -> Self {
        let file = StateFile::new(&directory.join(FILE), 0o600, MAX_BYTES);
        Self { file, loaded: Vec::new(), unknown: UnknownLines::default() }
    }

    /// Sets the stored passwords of `users`. Where file and copy are damaged, the password of every user that
    /// no line has is lost.
    ///
    /// # Errors
    /// An error that says nothing of the file.
    pub fn load(&mut self, users: &mut Users, notices: &mut Notices) -> Result<(), FileError> {
        let is_record = |line: &[u8]| line.is_empty() || parse(line).is_some();
        let parsed = self.file.load(&|bytes| state_file::check(&bytes, &is_record), notices)?;
        match parsed {
            Loaded::Missing => {}
            Loaded::Whole(text) => self.apply(&text, true, users),
            Loaded::Lost => {
                let text = self.file.versions()?.into_iter().find_map(Result::ok).unwrap_or_default();
                self.apply(&text, false, users);
                mark_lost(users);
                let mut text = String::new();
                // Writing to it never fails.
                let _ = self.render(users, &mut text);
                self.file.repair(&state_file::with_header(text.as_bytes()), true, notices);
            }
        }
        for (id, user) in users.iter() {
            if users.changed_password(id) == Some(&ChangedPassword::Lost) {
                notices.push(format!(
                    "the password of {} is lost, and that of the configuration file no longer logs in, \
                     for it may be an older one: set a new one there, or at the local socket",
                    user.name
                ));
            }
        }
        // Those that a render has room for.
        self.loaded.retain(|record| record.name.len() <= USER_NAME_BYTES);
        self.loaded.truncate(RECORDS);
        self.loaded.shrink_to_fit();
        Ok(())
    }

    /// Takes the changed passwords of `before` over to the users of a later configuration file. Those that it does not
    /// have stay in the file, for a still later one.
    pub fn carry(&mut self, before: &Users, later: &mut Users) {
        for (id, user) in before.iter() {
            let Some(new) = before.changed_password(id) else { continue };
            let (name, configured) = (user.name.as_str().to_owned(), user.password.clone());
            self.loaded.retain(|record| record.name != name || record.configured != configured);
            self.loaded.insert(0, Record { name, new: new.clone(), configured });
        }
        self.loaded.truncate(RECORDS);
        self.set_passwords(later);
    }

    /// Parses the lines, and sets the passwords of those users whose password of the configuration file they
    /// have.
    fn apply(&mut self, text: &[u8], is_whole: bool, users: &mut Users) {
        let unknown = is_whole.then_some(&mut self.unknown);
        state_file::visit_lines(text, FILE, unknown, &mut |line| {
            let record = parse(line);
            let is_record = record.is_some();
            self.loaded.extend(record);
            is_record
        });
        self.set_passwords(users);
    }

    fn set_passwords(&self, users: &mut Users) {
        for record in &self.loaded {
            let Some(user) = users.find(&record.name) else { continue };
            let configured = users.get(user).and_then(|user| user.password.as_ref());
            if configured == record.configured.as_ref() {
                users.set_password(user, Some(record.new.clone()));
            }
        }
    }

    /// Adds the content of the file to `text`: the changed passwords of `users`, and the loaded lines of other
    /// configuration files, because the next start may use one of them.
    ///
    /// # Errors
    /// `text` has no room for it.
    pub fn render(&self, users: &Users, text: &mut dyn Write) -> Result<(), RenderError> {
        write_all(text, users, &self.loaded)?;
        Ok(text.write_str(self.unknown.as_str())?)
    }
}

/// Marks the password of each user as lost that has one and no changed one.
fn mark_lost(users: &mut Users) {
    let ids: Vec<_> = users.iter().map(|(id, _)| id).collect();
    for id in ids {
        if users.changed_password(id).is_none() && users.password(id).is_some() {
            users.set_password(id, Some(ChangedPassword::Lost));
        }
    }
}

/// Writes the changed passwords of `users`, and the lines of `old` that are of other configuration files.
fn write_all(text: &mut dyn Write, users: &Users, old: &[Record]) -> fmt::Result {
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
    text: &mut dyn Write,
    name: &str,
    new: &ChangedPassword,
    configured: Option<&PasswordHash>,
) -> fmt::Result {
    let new = match new {
        ChangedPassword::To(hash) => Some(hash),
        ChangedPassword::Lost => None,
    };
    write!(text, "{name} ")?;
    for (hash, end) in [(new, " "), (configured, "\n")] {
        match hash {
            Some(hash) => write!(text, "{hash}{end}")?,
            None => write!(text, "{NONE}{end}")?,
        }
    }
    Ok(())
}

fn parse(line: &[u8]) -> Option<Record> {
    let mut fields = core::str::from_utf8(line).ok()?.split(' ');
    let (name, new, configured) = (fields.next()?, fields.next()?, fields.next()?);
    let hash = |text| match text {
        NONE => Some(None),
        text => PasswordHash::from_str(text).ok().map(Some),
    };
    let new = hash(new)?.map_or(ChangedPassword::Lost, ChangedPassword::To);
    let configured = hash(configured)?;
    if name.is_empty() || fields.next().is_some() {
        return None;
    }
    Some(Record { name: name.to_owned(), new, configured })
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt as _;

    use proptest::prelude::*;

    use super::*;
    use crate::session::{Grants, PASSWORD_ROUNDS_MAX, User, UserLevel};
    use crate::sys::tests::TestDirectory;

    /// Lines of the file without the first one.
    fn content(directory: &TestDirectory) -> String {
        let text = fs::read_to_string(directory.0.join(FILE)).unwrap();
        text.split_once('\n').unwrap().1.to_owned()
    }

    /// Loads a whole file.
    #[track_caller]
    fn load(file: &mut PasswordsFile, users: &mut Users) {
        let mut notices = Notices::new();
        *file = PasswordsFile { loaded: Vec::new(), unknown: UnknownLines::default(), ..file.clone() };
        file.load(users, &mut notices).unwrap();
        assert_eq!(notices, Vec::<String>::new());
    }

    /// Writes the file as a server does that has read it at its start.
    #[track_caller]
    fn store(file: &mut PasswordsFile, users: &Users) {
        load(file, &mut users.clone());
        let mut text = String::new();
        file.render(users, &mut text).unwrap();
        file.file.replace(&state_file::with_header(text.as_bytes()), false).unwrap();
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
        users.set_password(user, Some(ChangedPassword::To(hash(salt))));
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
        load(&mut file, &mut first);
        assert_eq!(first, users(FILE_1));
        change(&mut first, "anna", 11);
        change(&mut first, "token", 13);
        store(&mut file, &first);
        let mut second = users(FILE_1);
        load(&mut file, &mut second);
        assert_eq!(second, first);
        assert_eq!(password(&second, "anna"), Some(hash(11)));
        assert_eq!(password(&second, "ben"), Some(hash(2)));
        assert_eq!(password(&second, "token"), Some(hash(13)));
        let mode = fs::metadata(directory.0.join(FILE)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        // A second change replaces the line.
        change(&mut second, "anna", 21);
        store(&mut file, &second);
        assert_eq!(content(&directory).matches("anna").count(), 1);
        let mut third = users(FILE_1);
        load(&mut file, &mut third);
        assert_eq!(password(&third, "anna"), Some(hash(21)));
    }

    #[test]
    fn later_password_of_the_configuration_file_wins() {
        let directory = TestDirectory::new("later");
        let mut file = PasswordsFile::new(&directory.0);
        let mut first = users(FILE_1);
        change(&mut first, "anna", 11);
        store(&mut file, &first);
        let mut second = users(&[("anna", Some(5))]);
        load(&mut file, &mut second);
        assert_eq!(password(&second, "anna"), Some(hash(5)));
    }

    #[test]
    fn lines_of_another_configuration_file_stay() {
        let directory = TestDirectory::new("other");
        let mut file = PasswordsFile::new(&directory.0);
        let mut first = users(FILE_1);
        change(&mut first, "anna", 11);
        store(&mut file, &first);
        // The built-in default, in which anna is another user.
        let built_in: &[(&str, Option<u8>)] = &[("admin", Some(9)), ("anna", Some(8))];
        let mut fallen_back = users(built_in);
        load(&mut file, &mut fallen_back);
        assert_eq!(fallen_back, users(built_in));
        change(&mut fallen_back, "admin", 19);
        change(&mut fallen_back, "anna", 18);
        store(&mut file, &fallen_back);
        for (of, name, salt) in [(FILE_1, "anna", 11), (built_in, "admin", 19), (built_in, "anna", 18)] {
            let mut again = users(of);
            load(&mut file, &mut again);
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
            store(&mut file, &users);
        }
        assert_eq!(content(&directory).lines().count(), RECORDS);
        let mut newest = users(&[("u0", Some(3))]);
        load(&mut file, &mut newest);
        assert_eq!(password(&newest, "u0"), Some(hash(103)));
        let mut oldest = users(&[("u0", Some(0))]);
        load(&mut file, &mut oldest);
        assert_eq!(password(&oldest, "u0"), Some(hash(0)));
    }

    #[test]
    fn rendered_content_is_that_of_the_stored_file() {
        let directory = TestDirectory::new("render");
        let mut file = PasswordsFile::new(&directory.0);
        let mut first = users(&[("anna", Some(1)), ("carl", Some(3))]);
        change(&mut first, "anna", 11);
        change(&mut first, "carl", 13);
        store(&mut file, &first);
        let mut second = users(FILE_1);
        load(&mut file, &mut second);
        for salt in [12, 22] {
            change(&mut second, "anna", salt);
            change(&mut second, "token", salt);
            let mut text = heapless::String::<TEXT_BYTES>::new();
            file.render(&second, &mut text).unwrap();
            store(&mut file, &second);
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
        write(&mut line, &"n".repeat(USER_NAME_BYTES), &ChangedPassword::To(longest.clone()), Some(&longest))
            .unwrap();
        assert_eq!(line.len(), RECORD_BYTES);
    }

    #[test]
    fn file_over_its_limit_is_damaged() {
        let directory = TestDirectory::new("long");
        let mut file = PasswordsFile::new(&directory.0);
        let line = format!("carl {} {}\n", hash(1), hash(2));
        fs::write(directory.0.join(FILE), line.repeat((MAX_BYTES - HEADER_BYTES) / line.len())).unwrap();
        load(&mut file, &mut users(FILE_1));
        fs::write(directory.0.join(FILE), vec![b'\n'; MAX_BYTES + 1]).unwrap();
        let mut notices = Notices::new();
        file.load(&mut users(FILE_1), &mut notices).unwrap();
        assert!(notices[0].contains(&format!("larger than {MAX_BYTES} bytes; its copy")), "{notices:?}");
    }

    #[test]
    fn changed_password_outlasts_damage_of_the_file() {
        let directory = TestDirectory::new("copy");
        let mut file = PasswordsFile::new(&directory.0);
        let mut first = users(FILE_1);
        change(&mut first, "anna", 11);
        store(&mut file, &first);
        let text = fs::read(directory.0.join(FILE)).unwrap();
        for end in 0..text.len() {
            fs::write(directory.0.join(FILE), &text[..end]).unwrap();
            let (mut again, mut notices) = (users(FILE_1), Notices::new());
            PasswordsFile::new(&directory.0).load(&mut again, &mut notices).unwrap();
            assert_eq!((&again, notices.len()), (&first, 1), "{end}: {notices:?}");
            assert_eq!(fs::read(directory.0.join(FILE)).unwrap(), text);
        }
    }

    #[test]
    fn password_that_is_lost_is_never_an_older_one() {
        let directory = TestDirectory::new("lost");
        let anna = format!("anna {} {}", hash(11), hash(1));
        let damaged = [String::new(), "\0".repeat(99), format!("{anna}\nben {} 12", hash(3)), anna];
        for (text, known) in damaged.iter().zip([false, false, true, true]) {
            fs::remove_dir_all(&directory.0).unwrap();
            fs::create_dir(&directory.0).unwrap();
            fs::write(directory.0.join(FILE), text).unwrap();
            let (mut lost, mut notices) = (users(FILE_1), Notices::new());
            PasswordsFile::new(&directory.0).load(&mut lost, &mut notices).unwrap();
            let expected = known.then(|| hash(11));
            assert!(
                notices.iter().any(|notice| notice.contains("the password of ben is lost")),
                "{notices:?}"
            );
            // At this start and at later ones.
            for _ in 0..2 {
                assert_eq!((password(&lost, "anna"), password(&lost, "ben")), (expected.clone(), None));
                let (mut again, mut notices) = (users(FILE_1), Notices::new());
                PasswordsFile::new(&directory.0).load(&mut again, &mut notices).unwrap();
                assert_eq!(again, lost);
                assert_eq!(notices.len(), if known { 1 } else { 2 }, "{notices:?}");
            }
            // A new one of the configuration file logs in.
            let mut new = users(&[("anna", Some(1)), ("ben", Some(9))]);
            PasswordsFile::new(&directory.0).load(&mut new, &mut Notices::new()).unwrap();
            assert_eq!((password(&new, "anna"), password(&new, "ben")), (expected, Some(hash(9))));
        }
    }

    #[test]
    fn directory_that_cannot_be_looked_at_lets_no_older_password_in() {
        let directory = TestDirectory::new("unseen");
        fs::write(directory.0.join("file"), "").unwrap();
        std::os::unix::fs::symlink("medium", directory.0.join("link")).unwrap();
        for parent in ["file", "link", "link/state"] {
            let (mut lost, mut notices) = (users(FILE_1), Notices::new());
            PasswordsFile::new(&directory.0.join(parent)).load(&mut lost, &mut notices).unwrap();
            assert_eq!((password(&lost, "anna"), password(&lost, "ben")), (None, None), "{parent}");
            assert!(
                notices.iter().any(|notice| notice.contains("the password of ben is lost")),
                "{notices:?}"
            );
        }
    }

    #[test]
    fn file_of_the_first_version_is_taken_over_and_lines_of_a_later_one_stay() {
        let directory = TestDirectory::new("versions");
        let line = format!("anna {} {}\n", hash(11), hash(1));
        fs::write(directory.0.join(FILE), &line).unwrap();
        let mut file = PasswordsFile::new(&directory.0);
        let mut first = users(FILE_1);
        load(&mut file, &mut first);
        assert_eq!(password(&first, "anna"), Some(hash(11)));
        assert_eq!(content(&directory), line);
        let later = line + "anna argon2 x y z\n";
        fs::write(directory.0.join(FILE), state_file::with_header(later.as_bytes())).unwrap();
        change(&mut first, "ben", 12);
        store(&mut file, &first);
        assert!(content(&directory).ends_with("\nanna argon2 x y z\n"), "{}", content(&directory));
    }

    proptest! {
        #[test]
        fn parser_never_panics(line in any::<Vec<u8>>()) {
            let _ = parse(&line);
        }

        #[test]
        fn written_line_is_parsed(
            name in "[a-zA-Z0-9._@-]{1,32}", new in any::<Option<[u8; 16]>>(), old in any::<Option<[u8; 32]>>()
        ) {
            let new = new.map_or(ChangedPassword::Lost, |salt| {
                ChangedPassword::To(PasswordHash::new(1, salt, [0; 32]).unwrap())
            });
            let configured = old.map(|old| PasswordHash::new(2, [0; 16], old).unwrap());
            let mut line = String::new();
            write(&mut line, &name, &new, configured.as_ref()).unwrap();
            let line = line.strip_suffix('\n').unwrap();
            prop_assert_eq!(parse(line.as_bytes()), Some(Record { name, new, configured }));
        }
    }
}
