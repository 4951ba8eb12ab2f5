//! Files that replace others.

use std::fs;

use super::*;

const MISSING: &str = "/nonexistent/friendlet.toml";
const GOOD_TEXT: &str = "[log]\nlevel = 'debug'\n";
const BROKEN: &str = "[log]\nlevel = 'loud'\nlever = 1\n[limits]\nslots = 1\n";

/// Directory of one test, removed afterwards.
struct Directory(PathBuf);

impl Directory {
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

impl Drop for Directory {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

#[test]
fn built_in_default_is_used_where_the_default_path_has_no_file() {
    let Loaded { config, source, config_origin, .. } = load_from(None, Path::new(MISSING)).unwrap();
    assert!(source.ends_with("(built in)"), "{source}");
    assert_eq!(config_origin, ConfigOrigin::BuiltIn);
    let hello = config.services.find("hello").and_then(|id| config.services.get(id)).unwrap();
    assert!(hello.argv.first().is_some_and(|program| program.starts_with('/')));
}

#[test]
fn named_file_must_exist() {
    let error = load_from(Some(Path::new(MISSING)), Path::new(MISSING)).unwrap_err();
    assert!(matches!(&error, LoadError::File(error) if error.is_missing()));
    assert!(error.to_string().starts_with(MISSING), "{error}");
}

#[test]
fn directory_at_the_default_path_is_an_error() {
    assert!(matches!(load_from(None, Path::new("/")), Err(LoadError::File(_))));
}

#[test]
fn correct_file_is_in_force_and_becomes_the_good_copy() {
    let directory = Directory::new("right");
    let file = directory.write(GOOD_TEXT, None);
    let loaded = load_with_fallback(&file);
    assert_eq!((loaded.config_origin, loaded.config_error.as_deref()), (ConfigOrigin::Given, None));
    let (config, good_copy, _) = loaded.into_parts();
    assert_eq!(config.log_level, crate::log::Level::Debug);
    assert_eq!(good_copy, Some((directory.0.join("friendlet.toml.good"), GOOD_TEXT.to_owned())));
}

#[test]
fn good_copy_replaces_a_broken_file_and_the_error_is_reported() {
    let directory = Directory::new("good");
    let file = directory.write(BROKEN, Some(GOOD_TEXT));
    let loaded = load_with_fallback(&file);
    assert_eq!(loaded.config_origin, ConfigOrigin::LastGood);
    assert_eq!(loaded.config.log_level, crate::log::Level::Debug);
    assert!(loaded.source.ends_with("friendlet.toml.good"), "{}", loaded.source);
    let message = loaded.config_error.as_deref().unwrap();
    let beginning = format!("last good copy in force: {}:2:9: level: ", file.display());
    assert!(message.starts_with(&beginning) && message.ends_with("; and 2 more"), "{message}");
    assert_eq!(loaded.into_parts().1, None);
}

#[test]
fn built_in_default_is_in_force_without_a_usable_good_copy() {
    let directory = Directory::new("built-in");
    for good in [None, Some(BROKEN)] {
        let file = directory.write("\0", good);
        let loaded = load_with_fallback(&file);
        assert_eq!((loaded.config_origin, loaded.source), (ConfigOrigin::BuiltIn, config::built_in_source()));
        let message = loaded.config_error.unwrap();
        let beginning = format!("built-in default in force: {}:1:2: ", file.display());
        assert!(message.starts_with(&beginning), "{message}");
    }
}

#[test]
fn missing_file_is_not_an_error_and_an_empty_one_is() {
    let directory = Directory::new("empty");
    let loaded = load_with_fallback(&directory.file());
    assert_eq!((loaded.config_origin, loaded.config_error.as_deref()), (ConfigOrigin::BuiltIn, None));
    for empty in ["", " \n\n"] {
        let loaded = load_with_fallback(&directory.write(empty, Some(GOOD_TEXT)));
        assert_eq!(loaded.config_origin, ConfigOrigin::LastGood);
        assert!(loaded.config_error.unwrap().ends_with("friendlet.toml: the file is empty"));
    }
    // A directory cannot be read.
    let loaded = load_with_fallback(&directory.0);
    assert_eq!(loaded.config_origin, ConfigOrigin::BuiltIn);
    assert!(loaded.config_error.is_some());
}

#[test]
fn file_that_is_lost_or_a_link_to_nothing_is_replaced_by_its_good_copy() {
    let directory = Directory::new("lost");
    let file = directory.write("", Some(GOOD_TEXT));
    let link = || std::os::unix::fs::symlink("medium/friendlet.toml", &file).unwrap();
    fs::remove_file(&file).unwrap();
    for is_link in [false, true] {
        if is_link {
            link();
        }
        let loaded = load_with_fallback(&file);
        assert_eq!(loaded.config_origin, ConfigOrigin::LastGood, "{is_link}");
        assert_eq!(loaded.config.log_level, crate::log::Level::Debug);
        assert!(!loaded.reload_files(true).may_be_missing);
        let error = loaded.config_error.unwrap();
        assert!(error.starts_with("last good copy in force: "), "{error}");
        assert!(error.contains("friendlet.toml: No such file") && error.ends_with(".good, too"), "{error}");
    }
    // Without the copy, or with a damaged one, the built-in default is in force, with the error.
    fs::remove_file(directory.0.join("friendlet.toml.good")).unwrap();
    let loaded = load_with_fallback(&file);
    assert!(loaded.config_origin == ConfigOrigin::BuiltIn && loaded.config_error.is_some());
    assert!(matches!(load_from(None, &file), Err(LoadError::File(error)) if error.is_missing()));
    fs::remove_file(&file).unwrap();
    fs::write(directory.0.join("friendlet.toml.good"), "").unwrap();
    let loaded = load_with_fallback(&file);
    assert!(loaded.config_origin == ConfigOrigin::BuiltIn && loaded.config_error.is_some());
    // So it is where the medium of the whole directory is not there.
    std::os::unix::fs::symlink("nothing", directory.0.join("etc")).unwrap();
    let loaded = load_with_fallback(&directory.0.join("etc/friendlet.toml"));
    assert!(loaded.config_origin == ConfigOrigin::BuiltIn && loaded.config_error.is_some());
    assert!(load_from(None, &directory.0.join("etc/friendlet.toml")).is_err());
}

#[test]
fn each_file_is_tried_once_when_the_server_does_not_start() {
    let directory = Directory::new("after");
    let file = directory.write(GOOD_TEXT, Some("[log]\nlevel = 'warn'\n"));
    let after = |loaded: Loaded, why: &str| loaded.into_parts().2.after(why);
    let good = after(load_with_fallback(&file), "no such address").unwrap();
    assert_eq!(
        (good.config_origin, good.config.log_level),
        (ConfigOrigin::LastGood, crate::log::Level::Warn)
    );
    assert_eq!(good.config_error.as_deref(), Some("last good copy in force: no such address"));
    let built_in = after(good, "another reason").unwrap();
    assert_eq!(built_in.config_origin, ConfigOrigin::BuiltIn);
    assert_eq!(built_in.config_error.as_deref(), Some("built-in default in force: no such address"));
    assert!(after(built_in, "a third").is_none());
    // A copy of what did not start would not start either.
    let file = directory.write(GOOD_TEXT, Some(GOOD_TEXT));
    assert_eq!(after(load_with_fallback(&file), "x").unwrap().config_origin, ConfigOrigin::BuiltIn);
}

#[test]
fn message_is_cut_at_its_limit_and_keeps_its_end() {
    let message =
        |first: usize, more| LoadFailure { first: "é".repeat(first), more }.message(ConfigOrigin::BuiltIn);
    assert!(message(10, 2).ends_with("éé; and 2 more"));
    let cut = message(COMPLAINT_BYTES, 31);
    assert!(cut.ends_with("é; and 31 more"), "{cut}");
    assert!((COMPLAINT_BYTES - 1..=COMPLAINT_BYTES).contains(&cut.len()), "{}", cut.len());
    let whole = (COMPLAINT_BYTES - message(0, 0).len()) / 2;
    assert_eq!(message(whole, 0).chars().filter(|c| *c == 'é').count(), whole);
    assert_eq!(message(whole + 1, 0).chars().filter(|c| *c == 'é').count(), whole);
}

#[test]
fn drop_ins_are_kept_with_the_file_or_without_it() {
    let directory = Directory::new("drop-ins");
    let drop_in = "[[service]]\nname = 'web'\ncommand = ['web']\n";
    let file = directory.write(GOOD_TEXT, None);
    fs::create_dir(directory.0.join("friendlet.d")).unwrap();
    fs::write(directory.0.join("friendlet.d/1.toml"), drop_in).unwrap();
    let kept = |loaded: Loaded| loaded.into_parts().1.map(|(_, document)| document);
    let of_the_drop_in = format!("\x1c1.toml\n{drop_in}");
    assert_eq!(kept(load_with_fallback(&file)), Some(format!("{GOOD_TEXT}{of_the_drop_in}")));
    // Of the file that is in force.
    let file = directory.write(BROKEN, Some("[log]\nlevel = 'warn'\n"));
    let loaded = load_with_fallback(&file);
    assert_eq!((loaded.config_origin, loaded.errors.len()), (ConfigOrigin::LastGood, 1));
    assert_eq!(kept(loaded), Some(format!("[log]\nlevel = 'warn'\n{of_the_drop_in}")));
    // The built-in default is not a file: with a good copy of drop-ins alone, none is missing.
    fs::remove_file(&file).unwrap();
    fs::write(directory.0.join("friendlet.toml.good"), &of_the_drop_in).unwrap();
    let loaded = load_with_fallback(&file);
    assert!(loaded.config.services.find("web").is_some());
    assert_eq!((loaded.config_origin, loaded.errors.len()), (ConfigOrigin::BuiltIn, 0));
    assert!(loaded.reload_files(true).may_be_missing);
    assert_eq!(kept(loaded), Some(of_the_drop_in));
}

#[test]
fn last_good_file_outlasts_the_service_of_a_drop_in() {
    let directory = Directory::new("gone");
    let text = "[[user]]\nname = 'u'\nservices = ['web']\n";
    let file = directory.write(text, Some(text));
    let loaded = load_with_fallback(&file);
    assert_eq!(loaded.config_origin, ConfigOrigin::LastGood);
    let error = loaded.config_error.unwrap();
    assert!(error.ends_with("friendlet.toml:3:13: services: no service 'web'"), "{error}");
}

#[test]
fn configuration_of_a_predecessor_stays_in_force_whatever_the_file_says() {
    let directory = Directory::new("predecessor");
    let file = directory.write(BROKEN, None);
    let error = "last good copy in force: f:1:1: unknown key";
    for (origin, text) in [
        (ConfigOrigin::Given, ""),
        (ConfigOrigin::Given, GOOD_TEXT),
        (ConfigOrigin::LastGood, GOOD_TEXT),
        (ConfigOrigin::BuiltIn, ""),
        (ConfigOrigin::BuiltIn, "\x1ca.toml\n[[service]]\nname = 'a'\ncommand = ['/bin/true']\n"),
    ] {
        let error = if origin == ConfigOrigin::LastGood { error } else { "" };
        let loaded = of_predecessor(&file, &to_successor(origin, error, Some(text))).unwrap();
        assert_eq!(
            (loaded.config_origin, loaded.config_error.as_deref().unwrap_or_default()),
            (origin, error)
        );
        assert_eq!(loaded.config.services.find("a").is_some(), text.contains("a.toml"));
        let document =
            Some(text.to_owned()).filter(|text| origin != ConfigOrigin::BuiltIn || !text.is_empty());
        assert_eq!(loaded.text(), document);
    }
    assert!(of_predecessor(&file, &to_successor(ConfigOrigin::Given, "", Some(BROKEN))).is_err());
}
