//! Administrator of the first start, where the configuration file has no users.

use std::io::{self, IsTerminal as _};
use std::path::{Path, PathBuf};

use super::state::{State, unread};
use super::{FIRST_USER_FILE_BYTES, StartError};
use crate::config;
use crate::limits::USER_NAME_BYTES;
use crate::log::print;
use crate::session::{User, UserLevel, Users, canonical_password};
use crate::sys::file::{self, FileError, set_aside};
use crate::sys::state_file::{self, Loaded, StateFile};
use crate::sys::{lookup, password, random};

/// File of the administrator.
pub(super) const FILE: &str = "admin.toml";
/// Name of the administrator.
const NAME: &str = "admin";
/// File of the password, where no terminal shows it.
pub(super) const PASSWORD_FILE: &str = "first-password";

/// Name of a user of the system, or its number without one.
pub(super) fn user_name(uid: u32) -> heapless::String<USER_NAME_BYTES> {
    let number = uid.to_string();
    let account = lookup(&number).ok().flatten();
    // Every number fits.
    account.map_or_else(|| number.as_str().try_into().unwrap_or_default(), |account| account.name)
}

/// Returns the users of the configuration file or, without any, the administrator of the first start. `run_dir`
/// is a directory in memory, for a password that has no other place.
pub(super) fn users(
    mut users: Users,
    run_dir: Option<&Path>,
    state: &mut State<'_>,
) -> Result<Users, StartError> {
    if !users.is_empty() {
        return Ok(users);
    }
    let file = admin_file(state.dir);
    let user = match file.load(&check, &mut state.notices).map_err(|error| unread(&error))? {
        Loaded::Whole(text) => parse(&text).map_err(|error| StartError::new(StartError::CONFIG, error))?,
        Loaded::Missing => create(&file, false, run_dir, state)?,
        Loaded::Lost => {
            state.notices.push(format!("{FILE}: made a new administrator '{NAME}' with a new password"));
            create(&file, true, run_dir, state)?
        }
    };
    users
        .push(user)
        .map_err(|error| StartError::system("cannot keep the first user", format_args!("{error:?}")))?;
    Ok(users)
}

/// The administrator of the first start, for a later configuration file without users. Changes no file: a trial must
/// not, and the next start repairs them.
pub(super) fn stored(state_dir: &Path) -> Result<Users, String> {
    let (content, _) = admin_file(state_dir)
        .read(&check)
        .map_err(|error| format!("no [[user]], and no administrator of a first start: {error}"))?;
    let mut users = Users::new();
    users.push(parse(&content)?).map_err(|error| error.to_string())?;
    Ok(users)
}

fn admin_file(state_dir: &Path) -> StateFile {
    StateFile::new(&state_dir.join(FILE), 0o600, FIRST_USER_FILE_BYTES)
}

/// Returns the content of a file with an administrator.
fn check(bytes: Vec<u8>) -> Result<Vec<u8>, String> {
    // A first line of digits is a remark of TOML. A file of friendlet 0.1 has none.
    let content = state_file::check(&bytes, &|_| true)?;
    parse(&content).map(|_| content)
}

fn parse(bytes: &[u8]) -> Result<User, String> {
    let text = std::str::from_utf8(bytes).map_err(|error| error.to_string())?;
    config::parse_user(text, FILE).map_err(|errors| errors.to_string())
}

/// Makes the administrator. The password is shown before the file is written: one that was never shown could not be
/// used.
fn create(
    file: &StateFile,
    is_damaged: bool,
    run_dir: Option<&Path>,
    state: &mut State<'_>,
) -> Result<User, StartError> {
    let failed = |error: random::RandomError| StartError::system("cannot make a password", error);
    let plain = random::password().map_err(failed)?;
    let salt = random::bytes().map_err(failed)?;
    let hash = password::hash(&canonical_password(plain.as_bytes()), password::rounds(), salt)
        .map_err(|error| StartError::system("cannot make a password", error))?;
    let text = config::user_text(NAME, UserLevel::Admin, &hash);
    // Read as every later start will read it.
    let user = config::parse_user(&text, FILE)
        .map_err(|errors| StartError::system("cannot make the first user", errors))?;
    let shown = show(&plain, state.dir, run_dir.filter(|_| state.falls_back));
    let Shown { path, unkept } = shown.map_err(|error| StartError::new(StartError::CANNOT_CREATE, error))?;
    let content = state_file::with_header(text.as_bytes());
    // An administrator outlasts the start only if the password does.
    if let Err(error) = unkept.map_or_else(|| file.replace(&content, is_damaged), Err) {
        state.handle_unwritten(&error).inspect_err(|_| {
            // The password goes last: it is of use as long as there is an administrator.
            if file.withdraw(&content) {
                let _ = path.as_ref().map(std::fs::remove_file);
            }
        })?;
    }
    Ok(user)
}

/// Place of a password that was shown.
#[derive(Debug)]
struct Shown {
    /// Its file; `None`: the terminal.
    path: Option<PathBuf>,
    /// Reason why that file is in memory.
    unkept: Option<FileError>,
}

/// Shows the password where its reader is the only one: on the terminal, else in a file of the state directory
/// or, if that cannot be written, of `run_dir`. A log would have more readers.
fn show(plain: &str, state_dir: &Path, run_dir: Option<&Path>) -> Result<Shown, FileError> {
    if io::stderr().is_terminal() {
        announce(plain, "it is shown this once");
        return Ok(Shown { path: None, unkept: None });
    }
    let write = |directory: &Path| {
        let path = directory.join(PASSWORD_FILE);
        if path.is_dir() {
            set_aside(&path);
        }
        file::write_atomic(&path, format!("{plain}\n").as_bytes(), 0o600).map(|()| path)
    };
    let (path, unkept) = match (write(state_dir), run_dir) {
        (Ok(path), _) => (path, None),
        (Err(error), Some(run_dir)) => (write(run_dir)?, Some(error)),
        (Err(error), None) => return Err(error),
    };
    announce(&format!("in {}", path.display()), "delete this file once you have it");
    Ok(Shown { path: Some(path), unkept })
}

/// Prints the password or its place, at the end of a line of its own, because people copy it.
fn announce(password: &str, advice: &str) {
    print(format_args!(
        "no user is configured: made the administrator '{NAME}' with the password {password}\n\
         {advice}; 'friendlet passwd {NAME}' makes the [[user]] table of another\n"
    ));
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::super::state::tests::StateDirectory;
    use super::*;

    /// Password of the administrator, and the notices.
    fn first(dir: &StateDirectory) -> (Option<String>, Vec<String>) {
        let mut state = dir.open(false).unwrap();
        let users = users(Users::new(), Some(&std::env::temp_dir()), &mut state).unwrap();
        (hash(&users), state.notices)
    }

    fn hash(users: &Users) -> Option<String> {
        users.find(NAME).and_then(|id| users.password(id)).map(ToString::to_string)
    }

    #[test]
    fn file_of_the_first_user_may_be_as_large_as_its_limit() {
        let dir = StateDirectory::new("first-user");
        let hash = password::hash(&canonical_password(b"x"), 1, [0; 16]).unwrap();
        let text = config::user_text(NAME, UserLevel::Admin, &hash);
        let read = |bytes: usize| {
            fs::write(dir.path(FILE), "#".repeat(bytes - 1 - text.len()) + "\n" + &text).unwrap();
            first(&dir)
        };
        // With the first line that it gets.
        assert_eq!(read(FIRST_USER_FILE_BYTES - 50), (Some(hash.to_string()), vec![]));
        let (kept, notices) = read(FIRST_USER_FILE_BYTES + 1);
        assert_eq!(kept, Some(hash.to_string()));
        assert!(notices[0].ends_with("larger than 4096 bytes; its copy is used"), "{notices:?}");
    }

    #[test]
    fn administrator_stays_unless_file_and_copy_are_damaged() {
        let dir = StateDirectory::new("first-damaged");
        let (made, notices) = first(&dir);
        assert!(made.is_some() && notices.is_empty(), "{notices:?}");
        fs::write(dir.path(FILE), "").unwrap();
        assert_eq!(stored(&dir.path("")).map(|users| hash(&users)), Ok(made.clone()));
        assert_eq!(fs::read(dir.path(FILE)).unwrap(), b"", "a reload repairs nothing");
        assert_eq!(first(&dir).0, made);
        fs::write(dir.path(FILE), "\0").unwrap();
        fs::write(dir.path("admin.toml.copy"), "").unwrap();
        assert!(stored(&dir.path("")).is_err());
        let (new, notices) = first(&dir);
        assert!(new.is_some() && new != made);
        assert!(notices[1].contains("made a new administrator"), "{notices:?}");
        assert_eq!(first(&dir), (new, vec![]));
    }

    /// Makes each write of a file fail, for root too: neither it nor its places aside can be replaced.
    fn block(dir: &StateDirectory, name: &str) {
        for suffix in ["", ".broken", ".broken.1"] {
            fs::create_dir_all(dir.path(&format!("{name}{suffix}/x"))).unwrap();
        }
    }

    #[test]
    fn failed_first_start_leaves_no_administrator_without_a_password() {
        for blocked in [FILE, "admin.toml.copy", PASSWORD_FILE] {
            let dir = StateDirectory::new("first-failed");
            block(&dir, blocked);
            let mut state = dir.open(false).unwrap();
            let failed = users(Users::new(), Some(&std::env::temp_dir()), &mut state).unwrap_err();
            assert_eq!(failed.code(), StartError::CANNOT_CREATE, "{blocked}");
            for name in [FILE, "admin.toml.copy", PASSWORD_FILE] {
                assert!(!dir.path(name).is_file(), "{blocked}: {name}");
            }
        }
    }

    #[test]
    fn administrator_whose_password_is_in_memory_is_in_memory() {
        let dir = StateDirectory::new("first-in-memory");
        block(&dir, PASSWORD_FILE);
        let run = dir.path("run");
        fs::create_dir(&run).unwrap();
        let mut made = Vec::new();
        for _ in 0..2 {
            let mut state = dir.open(true).unwrap();
            let users = users(Users::new(), Some(&run), &mut state).unwrap();
            assert!(state.notices[0].starts_with("kept in memory alone: "), "{:?}", state.notices);
            assert!(run.join(PASSWORD_FILE).exists() && !dir.path(FILE).exists());
            made.push(hash(&users));
        }
        assert!(made[0].is_some() && made[0] != made[1]);
    }

    #[test]
    fn password_is_in_a_file_for_its_owner_alone() {
        use std::os::unix::fs::PermissionsExt as _;
        let dir = StateDirectory::new("first-password");
        let run = dir.path("run");
        fs::create_dir(&run).unwrap();
        for (state, file) in [(dir.path(""), dir.path("")), (dir.path("none"), run.clone())] {
            let (state, file) = (&state, &file);
            let Shown { path, unkept } = show("secret", state, Some(&run)).unwrap();
            let path = path.unwrap();
            assert_eq!(unkept.is_some(), *file == run);
            assert_eq!(path, file.join(PASSWORD_FILE));
            assert_eq!(fs::read_to_string(&path).unwrap(), "secret\n");
            assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        }
        assert!(show("secret", &dir.path("none"), None).is_err());
    }
}
