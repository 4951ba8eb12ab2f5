use super::*;
use crate::sys::tests::TestDirectory;

/// Directory of one test, removed when dropped.
fn names(directory: &TestDirectory) -> Vec<String> {
    let names = fs::read_dir(&directory.0).unwrap();
    names.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o7777
}

#[test]
fn file_is_replaced_atomically() {
    let directory = TestDirectory::new("replace");
    let path = directory.0.join("key.pem");
    write_atomic(&path, b"old and long", 0o644).unwrap();
    assert_eq!((read_text(&path, 100).unwrap().as_str(), mode(&path)), ("old and long", 0o644));
    write_atomic(&path, b"new", 0o600).unwrap();
    assert_eq!((read_text(&path, 100).unwrap().as_str(), mode(&path)), ("new", 0o600));
    assert_eq!(names(&directory), ["key.pem"]);
}

#[test]
fn directory_can_be_created_below_one_that_exists() {
    let directory = TestDirectory::new("check-dir");
    let file = directory.0.join("file");
    fs::write(&file, "").unwrap();
    std::os::unix::fs::symlink("nowhere", directory.0.join("link")).unwrap();
    for (path, errno) in [
        (directory.0.clone(), None),
        (directory.0.join("a/b"), None),
        (file.clone(), Some(Errno::NOTDIR)),
        (file.join("a"), Some(Errno::NOTDIR)),
        (directory.0.join("link"), Some(Errno::NOENT)),
        (directory.0.join("link/a"), Some(Errno::NOENT)),
    ] {
        let found = check_dir(&path).err().map(|error| (error.path.clone(), error.to_string()));
        let text = |errno: Errno| format!("{}: {}", path.display(), Reason::from(errno));
        assert_eq!(found, errno.map(|errno| (path.clone(), text(errno))), "{}", path.display());
    }
    assert!(!directory.0.join("a").exists());
}

#[test]
fn only_what_is_missing_among_directories_is_absent() {
    let directory = TestDirectory::new("absent");
    let path = |name: &str| directory.0.join(name);
    fs::write(path("file"), "").unwrap();
    for (target, link) in [("nowhere", "link"), ("loop", "loop"), (".", "here")] {
        std::os::unix::fs::symlink(target, path(link)).unwrap();
    }
    for (name, expected) in [
        ("a", true),
        ("a/b/c", true),
        ("here/a", true),
        ("file", false),
        ("file/a", false),
        ("link", false),
        ("link/a", false),
        ("loop", false),
        ("loop/a", false),
        (&"n".repeat(256), false),
    ] {
        assert_eq!(is_absent(&path(name)), expected, "{name}");
    }
    assert!(is_absent(Path::new("no-file-of-this-name")));
}

#[test]
fn error_of_this_moment_says_nothing_of_the_file() {
    let error = |errno: Errno| FileError::io(Path::new("f"), errno.into());
    for errno in [Errno::MFILE, Errno::NFILE, Errno::NOMEM] {
        assert!(error(errno).is_passing(), "{errno}");
    }
    for errno in [Errno::IO, Errno::BADMSG, Errno::UCLEAN, Errno::NOENT, Errno::ACCESS, Errno::LOOP] {
        assert!(!error(errno).is_passing(), "{errno}");
    }
}

#[test]
fn write_that_is_taken_back_leaves_the_old_file_or_none() {
    let directory = TestDirectory::new("undo");
    let path = directory.0.join("f");
    let file = AtomicFile::new(&path, 0o600).unwrap();
    let old = file.begin(&[b"first"]).unwrap();
    file.undo(old);
    assert_eq!(names(&directory), Vec::<String>::new());
    file.write(&[b"old"]).unwrap();
    let old = file.begin(&[b"new"]).unwrap();
    assert_eq!(fs::read(&path).unwrap(), b"new");
    file.undo(old);
    assert_eq!((fs::read(&path).unwrap(), names(&directory)), (b"old".to_vec(), vec!["f".to_owned()]));
}

#[test]
fn lines_over_their_limit_are_left_out() {
    let directory = TestDirectory::new("lines");
    let path = directory.0.join("table");
    let lines = |text: &[u8]| {
        fs::write(&path, text).unwrap();
        let mut found = Vec::new();
        visit_lines(&path, 4, &mut |line| found.push(line.to_owned())).unwrap();
        found
    };
    assert_eq!(lines(b"a\n\n1234\n12345\nb\n1234567890123\n\xff\nlast"), ["a", "", "1234", "b", "last"]);
    assert_eq!(lines(b"1234\nlast5"), ["1234"]);
    assert!(lines(b"").is_empty());
    assert!(visit_lines(&directory.0, 4, &mut |_| ()).is_err());
}

#[test]
fn temporary_file_of_a_crash_is_replaced() {
    let directory = TestDirectory::new("left");
    fs::write(directory.0.join(".key.pem.new"), "half").unwrap();
    write_atomic(&directory.0.join("key.pem"), b"whole", 0o600).unwrap();
    assert_eq!(names(&directory), ["key.pem"]);
}

#[test]
fn link_with_the_temporary_name_is_not_followed() {
    let directory = TestDirectory::new("link");
    let other = directory.0.join("other");
    fs::write(&other, "untouched").unwrap();
    std::os::unix::fs::symlink(&other, directory.0.join(".key.pem.new")).unwrap();
    write_atomic(&directory.0.join("key.pem"), b"secret", 0o600).unwrap();
    assert_eq!(read_text(&other, 100).unwrap(), "untouched");
}

#[test]
fn failed_write_reports_the_path_and_leaves_no_file() {
    let directory = TestDirectory::new("fail");
    let path = directory.0.join("occupied");
    create_dir(&path.join("inside")).unwrap();
    let error = write_atomic(&path, b"x", 0o600).unwrap_err();
    assert_eq!(error.path, path);
    assert_eq!(names(&directory), ["occupied"]);
    assert!(write_atomic(&directory.0.join("none/file"), b"x", 0o600).unwrap_err().is_missing());
    assert!(write_atomic(Path::new("/"), b"x", 0o600).is_err());
}

#[test]
fn file_over_its_limit_is_rejected() {
    let directory = TestDirectory::new("limit");
    let path = directory.0.join("file");
    fs::write(&path, "12345").unwrap();
    assert_eq!(read_text(&path, 5).unwrap(), "12345");
    assert_eq!(read_start(&path, 4).unwrap(), b"1234");
    assert_eq!(read_start(&path, 6).unwrap(), b"12345");
    let error = read_text(&path, 4).unwrap_err();
    assert!(matches!(error.reason, FileReason::TooLarge(4)));
    assert_eq!(error.to_string(), format!("{}: larger than 4 bytes", path.display()));
}

/// `friendlet check` waited for ever, also where a link leads to the pipe.
#[test]
fn pipe_with_a_name_is_refused_and_that_of_a_shell_is_read() {
    let directory = TestDirectory::new("pipe");
    let [pipe, link] = ["pipe", "link"].map(|name| directory.0.join(name));
    rustix::fs::mkfifoat(CWD, &pipe, rustix::fs::Mode::RWXU).unwrap();
    std::os::unix::fs::symlink(&pipe, &link).unwrap();
    for path in [pipe, link] {
        assert!(matches!(read_text(&path, 9).unwrap_err().reason, FileReason::NotRegular));
    }
    use std::os::fd::AsRawFd as _;
    let (reader, mut writer) = io::pipe().unwrap();
    writer.write_all(b"text").unwrap();
    drop(writer);
    let path = format!("/proc/self/fd/{}", reader.as_raw_fd());
    assert_eq!(read_text(Path::new(&path), 9).unwrap(), "text");
}

#[test]
fn text_is_utf8() {
    let directory = TestDirectory::new("utf8");
    let path = directory.0.join("file");
    fs::write(&path, b"abc\xff").unwrap();
    assert!(matches!(
        read_text(&path, 9).unwrap_err().reason,
        FileReason::NotUtf8 { line: 1, column: 4, .. }
    ));
    assert_eq!(read(&path, 9).unwrap(), b"abc\xff");
}

#[test]
fn missing_file_is_reported() {
    let error = read_text(Path::new("/nonexistent/friendlet.toml"), 9).unwrap_err();
    assert!(error.is_missing() && !error.is_permission());
    let expected = "/nonexistent/friendlet.toml: No such file or directory (errno 2)";
    assert_eq!(error.to_string(), expected);
}

#[test]
fn directory_is_private_to_its_owner() {
    let directory = TestDirectory::new("directory");
    let path = directory.0.join("a/b");
    create_dir(&path).unwrap();
    assert_eq!((mode(&path), mode(&directory.0.join("a"))), (0o700, 0o700));
    fs::set_permissions(&path, fs::Permissions::from_mode(0o750)).unwrap();
    create_dir(&path).unwrap();
    assert_eq!(mode(&path), 0o750);
    fs::write(path.join("file"), "").unwrap();
    let error = create_dir(&path.join("file")).unwrap_err().to_string();
    assert!(error.ends_with("Not a directory (errno 20)"), "{error}");
}
