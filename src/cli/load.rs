//! Finding and reading the device file, and what counts when it cannot be used.

use std::ffi::OsString;
use std::fmt;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use super::exit;
use crate::config::{self, Complaint, Config, Diagnostics, InForce};
use crate::limits::{BOARD, BOARD_FILE, COMPLAINT_BYTES, CONFIG_BYTES};
use crate::sys::file::{self, FileError, FileReason};

/// Where the device file is, unless the command line names another.
pub const DEFAULT_PATH: &str = "/etc/friendlet/friendlet.toml";
/// What is appended to the path of a device file for the path of its last good copy.
const GOOD: &str = ".good";

/// Why there is no configuration.
#[derive(Debug)]
pub(super) enum LoadError {
    Config(Diagnostics),
    File(FileError),
}

impl LoadError {
    pub(super) fn exit_code(&self) -> ExitCode {
        match self {
            Self::Config(_) => exit::CONFIG.into(),
            Self::File(error) if error.is_missing() => exit::NO_INPUT.into(),
            Self::File(error) if error.is_permission() => exit::NO_PERMISSION.into(),
            Self::File(error) => match error.reason {
                FileReason::Io(_) => exit::IO.into(),
                FileReason::NotUtf8(_) | FileReason::TooLarge(_) => exit::CONFIG.into(),
            },
        }
    }
}

impl fmt::Display for LoadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Config(errors) => errors.fmt(f),
            Self::File(error) => error.fmt(f),
        }
    }
}

/// A configuration, and which device file it is out of.
#[derive(Debug)]
pub struct Loaded {
    /// What the file says.
    pub config: Config,
    /// What the file is called.
    pub origin: String,
    /// Which of the files it is.
    pub in_force: InForce,
    /// Why it is not the one that was given.
    pub complaint: Option<Complaint>,
    /// The file that was given.
    path: PathBuf,
    /// The text of the file in force, unless it is built in.
    text: Option<String>,
    /// What is wrong with the file that was given.
    why: Option<Why>,
}

/// What is wrong with a device file: the first of it, and how much more there is.
#[derive(Clone, Debug)]
struct Why {
    first: String,
    more: usize,
}

impl Why {
    fn new(first: impl fmt::Display) -> Self {
        Self { first: first.to_string(), more: 0 }
    }

    fn of(error: &LoadError) -> Self {
        match error {
            LoadError::Config(errors) => {
                Self { first: errors.first().to_string(), more: errors.after_first() }
            }
            LoadError::File(error) => Self::new(error),
        }
    }

    /// `last good copy in force: FILE:3:1: unknown key 'x'; and 2 more`. What has no room is cut out of
    /// the middle.
    fn complaint(&self, in_force: InForce) -> Complaint {
        let beginning = format!("{} in force: {}", title(in_force), self.first);
        let end = if self.more > 0 { format!("; and {} more", self.more) } else { String::new() };
        let mut room = COMPLAINT_BYTES.saturating_sub(end.len()).min(beginning.len());
        while !beginning.is_char_boundary(room) {
            room -= 1;
        }
        config::one_line(format_args!("{}{end}", beginning.get(..room).unwrap_or_default()))
    }
}

fn title(in_force: InForce) -> &'static str {
    match in_force {
        InForce::Given => "device file",
        InForce::LastGood => "last good copy",
        InForce::BuiltIn => "built-in device file",
    }
}

impl Loaded {
    /// Takes it apart: what the server is started with; the copy to keep once it serves, which is of the
    /// file that was given and of no other, as its place and its text; and what counts next.
    pub(super) fn into_parts(self) -> (Config, Option<(PathBuf, String)>, Next) {
        let given = match self.in_force {
            InForce::Given => self.text,
            InForce::LastGood | InForce::BuiltIn => None,
        };
        let next = Next {
            in_force: self.in_force,
            given: given.as_deref().map(digest),
            path: self.path,
            why: self.why,
        };
        let good_copy = given.map(|text| (good_path(&next.path), text));
        (self.config, good_copy, next)
    }
}

/// What counts when the server cannot start with the file in force.
#[derive(Debug)]
pub(super) struct Next {
    path: PathBuf,
    in_force: InForce,
    /// SHA-256 of the file that was given and read.
    given: Option<Digest>,
    why: Option<Why>,
}

impl Next {
    /// The next file, when the server cannot start with the one in force for the reason `error`. `None`:
    /// there is nothing after the built-in one.
    pub(super) fn after(self, error: impl fmt::Display) -> Option<Loaded> {
        // What was wrong first is what people look for.
        let why = self.why.unwrap_or_else(|| Why::new(error));
        match self.in_force {
            InForce::Given => Some(fall_back(&self.path, self.given, why)),
            InForce::LastGood => Some(built_in(&self.path, Some(why))),
            InForce::BuiltIn => None,
        }
    }
}

type Digest = [u8; 32];

fn digest(text: &str) -> Digest {
    let mut digest = Digest::default();
    digest.copy_from_slice(ring::digest::digest(&ring::digest::SHA256, text.as_bytes()).as_ref());
    digest
}

/// Reads the device file named, or the one in its usual place, or the board's own. With it comes
/// what it is called.
pub(super) fn load(named: Option<&Path>) -> Result<(Config, String), LoadError> {
    load_from(named, Path::new(DEFAULT_PATH))
}

fn load_from(named: Option<&Path>, default: &Path) -> Result<(Config, String), LoadError> {
    let path = named.unwrap_or(default);
    match read(path) {
        Ok((config, _)) => Ok((config, path.display().to_string())),
        Err(LoadError::File(error)) if named.is_none() && error.is_missing() => {
            let origin = built_in_origin();
            config::parse(BOARD_FILE, &origin, &program())
                .map(|config| (config, origin))
                .map_err(LoadError::Config)
        }
        Err(error) => Err(error),
    }
}

/// Reads the device file at `path`; where it cannot be used, the last good copy beside it
/// (`PATH.good`), and where that cannot either, the board's own. A file that is not there is no
/// mistake: then the board's own counts, and nobody complains.
pub fn load_falling_back(path: &Path) -> Loaded {
    let why = match read(path) {
        // What a power cut leaves of a file that was written in place. Taken for a device file that
        // leaves all to its defaults, it would be kept as the last good one.
        Ok((_, text)) if text.trim().is_empty() => {
            Why::new(format_args!("{}: there is nothing in it", path.display()))
        }
        Ok((config, text)) => {
            return Loaded {
                config,
                origin: path.display().to_string(),
                in_force: InForce::Given,
                complaint: None,
                path: path.to_owned(),
                text: Some(text),
                why: None,
            };
        }
        Err(LoadError::File(error)) if error.is_missing() => return built_in(path, None),
        Err(error) => Why::of(&error),
    };
    fall_back(path, None, why)
}

/// What counts instead of the file at `path`, whose text has the digest `given` where it was read.
fn fall_back(path: &Path, given: Option<Digest>, why: Why) -> Loaded {
    let good = good_path(path);
    match read(&good) {
        Ok((config, text)) if given != Some(digest(&text)) => Loaded {
            config,
            origin: good.display().to_string(),
            in_force: InForce::LastGood,
            complaint: Some(why.complaint(InForce::LastGood)),
            path: path.to_owned(),
            text: Some(text),
            why: Some(why),
        },
        _ => built_in(path, Some(why)),
    }
}

fn built_in(path: &Path, why: Option<Why>) -> Loaded {
    Loaded {
        config: config::of_the_board(&program()),
        origin: built_in_origin(),
        in_force: InForce::BuiltIn,
        complaint: why.as_ref().map(|why| why.complaint(InForce::BuiltIn)),
        path: path.to_owned(),
        text: None,
        why,
    }
}

fn read(path: &Path) -> Result<(Config, String), LoadError> {
    let text = file::read_text(path, CONFIG_BYTES).map_err(LoadError::File)?;
    let config = config::parse(&text, &path.display().to_string(), &program()).map_err(LoadError::Config)?;
    Ok((config, text))
}

fn built_in_origin() -> String {
    format!("boards/{BOARD}/friendlet.toml (built in)")
}

/// Where the last good copy of a device file is.
fn good_path(path: &Path) -> PathBuf {
    let mut name = OsString::from(path);
    name.push(GOOD);
    PathBuf::from(name)
}

/// The path of this binary, for the service that is built in.
fn program() -> String {
    std::env::current_exe()
        .ok()
        .and_then(|path| path.into_os_string().into_string().ok())
        .unwrap_or_else(|| "/proc/self/exe".to_owned())
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    const MISSING: &str = "/nonexistent/friendlet.toml";
    const GOOD_TEXT: &str = "[log]\nlevel = 'debug'\n";
    const BROKEN: &str = "[log]\nlevel = 'loud'\nlever = 1\n[limits]\nslots = 1\n";

    /// A folder of this test's own, removed afterwards.
    struct Folder(PathBuf);

    impl Folder {
        fn new(test: &str) -> Self {
            let path = std::env::temp_dir().join(format!("friendlet-load-{test}-{}", std::process::id()));
            fs::create_dir_all(&path).unwrap();
            Self(path)
        }

        fn file(&self) -> PathBuf {
            self.0.join("friendlet.toml")
        }

        fn write(&self, given: &str, good: Option<&str>) -> PathBuf {
            fs::write(self.file(), given).unwrap();
            let copy = self.0.join("friendlet.toml.good");
            match good {
                Some(good) => fs::write(copy, good).unwrap(),
                None => drop(fs::remove_file(copy)),
            }
            self.file()
        }
    }

    impl Drop for Folder {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.0);
        }
    }

    #[test]
    fn boards_file_is_taken_where_there_is_none_in_the_usual_place() {
        let (config, origin) = load_from(None, Path::new(MISSING)).unwrap();
        assert!(origin.ends_with("(built in)"), "{origin}");
        let hello = config.services.find("hello").and_then(|id| config.services.get(id)).unwrap();
        assert!(hello.argv.first().is_some_and(|program| program.starts_with('/')));
    }

    #[test]
    fn named_file_must_be_there() {
        let error = load_from(Some(Path::new(MISSING)), Path::new(MISSING)).unwrap_err();
        assert!(matches!(&error, LoadError::File(error) if error.is_missing()));
        assert!(error.to_string().starts_with(MISSING), "{error}");
    }

    #[test]
    fn folder_in_the_usual_place_is_an_error() {
        assert!(matches!(load_from(None, Path::new("/")), Err(LoadError::File(_))));
    }

    #[test]
    fn right_file_is_in_force_and_becomes_the_good_copy() {
        let folder = Folder::new("right");
        let file = folder.write(GOOD_TEXT, None);
        let loaded = load_falling_back(&file);
        assert_eq!((loaded.in_force, loaded.complaint.as_deref()), (InForce::Given, None));
        let (config, good_copy, _) = loaded.into_parts();
        assert_eq!(config.log_level, crate::log::Level::Debug);
        assert_eq!(good_copy, Some((folder.0.join("friendlet.toml.good"), GOOD_TEXT.to_owned())));
    }

    #[test]
    fn broken_file_gives_way_to_its_good_copy_and_is_complained_about() {
        let folder = Folder::new("good");
        let file = folder.write(BROKEN, Some(GOOD_TEXT));
        let loaded = load_falling_back(&file);
        assert_eq!(loaded.in_force, InForce::LastGood);
        assert_eq!(loaded.config.log_level, crate::log::Level::Debug);
        assert!(loaded.origin.ends_with("friendlet.toml.good"), "{}", loaded.origin);
        let complaint = loaded.complaint.as_deref().unwrap();
        let beginning = format!("last good copy in force: {}:2:9: level: ", file.display());
        assert!(complaint.starts_with(&beginning) && complaint.ends_with("; and 2 more"), "{complaint}");
        assert_eq!(loaded.into_parts().1, None);
    }

    #[test]
    fn without_a_good_copy_that_can_be_used_the_built_in_file_is_in_force() {
        let folder = Folder::new("built-in");
        for good in [None, Some(BROKEN)] {
            let file = folder.write("\0", good);
            let loaded = load_falling_back(&file);
            assert_eq!((loaded.in_force, loaded.origin), (InForce::BuiltIn, built_in_origin()));
            let complaint = loaded.complaint.unwrap();
            let beginning = format!("built-in device file in force: {}:1:1: ", file.display());
            assert!(complaint.starts_with(&beginning) && complaint.ends_with("; and 1 more"), "{complaint}");
        }
    }

    #[test]
    fn file_that_is_not_there_is_no_mistake_and_one_that_is_empty_is() {
        let folder = Folder::new("empty");
        let loaded = load_falling_back(&folder.file());
        assert_eq!((loaded.in_force, loaded.complaint.as_deref()), (InForce::BuiltIn, None));
        for empty in ["", " \n\n"] {
            let loaded = load_falling_back(&folder.write(empty, Some(GOOD_TEXT)));
            assert_eq!(loaded.in_force, InForce::LastGood);
            assert!(loaded.complaint.unwrap().ends_with("friendlet.toml: there is nothing in it"));
        }
        // A folder cannot be read.
        let loaded = load_falling_back(&folder.0);
        assert_eq!(loaded.in_force, InForce::BuiltIn);
        assert!(loaded.complaint.is_some());
    }

    #[test]
    fn each_file_is_tried_once_when_the_server_does_not_start() {
        let folder = Folder::new("after");
        let file = folder.write(GOOD_TEXT, Some("[log]\nlevel = 'warn'\n"));
        let after = |loaded: Loaded, why: &str| loaded.into_parts().2.after(why);
        let good = after(load_falling_back(&file), "no such address").unwrap();
        assert_eq!((good.in_force, good.config.log_level), (InForce::LastGood, crate::log::Level::Warn));
        assert_eq!(good.complaint.as_deref(), Some("last good copy in force: no such address"));
        let built_in = after(good, "another reason").unwrap();
        assert_eq!(built_in.in_force, InForce::BuiltIn);
        assert_eq!(built_in.complaint.as_deref(), Some("built-in device file in force: no such address"));
        assert!(after(built_in, "a third").is_none());
        // A copy of what did not start would not start either.
        let file = folder.write(GOOD_TEXT, Some(GOOD_TEXT));
        assert_eq!(after(load_falling_back(&file), "x").unwrap().in_force, InForce::BuiltIn);
    }

    #[test]
    fn complaint_has_its_limit_and_keeps_its_end() {
        let complaint = |first: usize, more| {
            Why { first: "é".repeat(first), more }.complaint(InForce::BuiltIn).as_str().to_owned()
        };
        assert!(complaint(10, 2).ends_with("éé; and 2 more"));
        let cut = complaint(COMPLAINT_BYTES, 31);
        assert!(cut.ends_with("é; and 31 more"), "{cut}");
        assert!((COMPLAINT_BYTES - 1..=COMPLAINT_BYTES).contains(&cut.len()), "{}", cut.len());
        let whole = (COMPLAINT_BYTES - complaint(0, 0).len()) / 2;
        assert_eq!(complaint(whole, 0).chars().filter(|c| *c == 'é').count(), whole);
        assert_eq!(complaint(whole + 1, 0).chars().filter(|c| *c == 'é').count(), whole);
    }
}
