use std::process::Command;

use super::*;
use crate::limits::{LOG_FILE_BYTES_MIN, LOG_LINE_BYTES, LOG_RING_BYTES};
use crate::log::{Level, write_line};

/// Set in a process that runs one test: the ring and the level in force are of a process, and other tests
/// have others.
const ALONE: &str = "FRIENDLET_TEST_ALONE";

/// Runs the test of this name in a process of its own, and says whether this is the one.
fn is_alone(test: &str) -> bool {
    if std::env::var_os(ALONE).is_some() {
        return true;
    }
    let mut command = Command::new(std::env::current_exe().unwrap());
    let output =
        command.args(["--exact", &format!("sys::log_files::tests::{test}")]).env(ALONE, "1").output();
    let output = output.unwrap();
    let told = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && told.contains("1 passed"), "{told}");
    false
}

struct Folder(PathBuf);

impl Folder {
    fn new(test: &str) -> Self {
        log::keep();
        let path = std::env::temp_dir().join(format!("friendlet-log-{test}-{}", std::process::id()));
        let _ = fs::remove_dir_all(&path);
        fs::create_dir(&path).unwrap();
        Self(path)
    }

    /// Files that begin with what is logged from now on.
    fn files(&self, count: usize) -> LogFiles {
        let file = self.0.join("folder/log");
        let mut files =
            LogFiles::new(&Place { file: &file, bytes: LOG_FILE_BYTES_MIN, count, build: "0a1b" });
        // Where nothing is yet.
        files.position = log::newest(0);
        log::written(files.position);
        let _ = log::take_lost();
        files
    }

    fn text(&self, name: &str) -> Option<String> {
        fs::read_to_string(self.0.join("folder").join(name)).ok()
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn line(number: usize) {
    write_line(Level::Info, "test", format_args!("line {number} {}", "x".repeat(300)));
}

/// The numbers of the lines that are there.
fn numbers(text: &str) -> Vec<usize> {
    let number = |line: &str| line.split("test: line ").nth(1)?.split(' ').next()?.parse().ok();
    text.lines().filter_map(number).collect()
}

// In a device build these lines are frames; what files are made of is not.
#[cfg(not(feature = "defmt"))]
#[test]
fn files_turn_at_their_size_and_end_at_their_number() {
    if !is_alone("files_turn_at_their_size_and_end_at_their_number") {
        return;
    }
    let folder = Folder::new("turn");
    let mut files = folder.files(3);
    for number in 0..120 {
        line(number);
        if number % 10 == 9 {
            files.flush(Duration::from_secs(1));
        }
    }
    files.flush(Duration::from_secs(1));
    let mut found = Vec::new();
    for name in ["log.2", "log.1", "log"] {
        let text = folder.text(name).unwrap();
        assert!(text.len() <= LOG_FILE_BYTES_MIN, "{name}: {}", text.len());
        let head = format!("friendlet-log 1 form=text build=0a1b board={BOARD} wall_ms=");
        assert!(text.starts_with(&head), "{text}");
        found.extend(numbers(&text));
    }
    assert_eq!(folder.text("log.3"), None);
    // Nothing is missing between the oldest that is there and the newest.
    assert_eq!(found.last(), Some(&119));
    assert!(found.len() > 40 && found.windows(2).all(|pair| pair[0] + 1 == pair[1]), "{found:?}");
}

#[cfg(not(feature = "defmt"))]
#[test]
fn one_tick_writes_so_much_and_no_more_and_what_is_overwritten_is_counted() {
    if !is_alone("one_tick_writes_so_much_and_no_more_and_what_is_overwritten_is_counted") {
        return;
    }
    let folder = Folder::new("tick");
    let mut files = folder.files(16);
    let mut number = 0;
    // More than the ring holds.
    while number * 300 < LOG_RING_BYTES * 2 {
        line(number);
        number += 1;
    }
    files.flush(Duration::from_secs(1));
    let written: usize = (0..8)
        .filter_map(|number| {
            folder.text(&if number == 0 { "log".to_owned() } else { format!("log.{number}") })
        })
        .map(|text| text.len())
        .sum();
    assert!(written > LOG_WRITE_BYTES && written <= LOG_WRITES * LOG_WRITE_BYTES + 8 * 256, "{written}");
    files.flush(Duration::from_secs(2));
    files.flush(Duration::from_secs(3));
    let text = folder.text("log").unwrap();
    let lost = text.lines().find(|line| line.contains(" records were lost before they could be written"));
    let lost = lost.unwrap().split("log_files: ").nth(1).unwrap().split(' ').next().unwrap();
    let lost: usize = lost.parse().unwrap();
    assert!(lost >= number / 2 && lost < number, "{lost} of {number}");
}

#[cfg(not(feature = "defmt"))]
#[test]
fn file_that_cannot_be_made_is_tried_again_after_the_pause_and_not_before() {
    if !is_alone("file_that_cannot_be_made_is_tried_again_after_the_pause_and_not_before") {
        return;
    }
    let folder = Folder::new("retry");
    // A file where a folder should be.
    fs::write(folder.0.join("folder"), "").unwrap();
    let mut files = folder.files(2);
    line(1);
    let start = Duration::from_secs(100);
    files.flush(start);
    assert_eq!((files.failures, files.retry_at), (1, start + LOG_RETRY_PAUSE));
    fs::remove_file(folder.0.join("folder")).unwrap();
    files.flush(start + LOG_RETRY_PAUSE - Duration::from_millis(1));
    assert_eq!(folder.text("log"), None);
    files.flush(start + LOG_RETRY_PAUSE);
    assert_eq!(numbers(&folder.text("log").unwrap()), [1]);
    assert_eq!(files.failures, 0);
    // It says so with the next ones.
    files.flush(start + LOG_RETRY_PAUSE);
    let text = folder.text("log").unwrap();
    assert!(
        text.contains("the log waits in memory") && text.contains("written again, after 1 failures"),
        "{text}"
    );
}

#[test]
fn head_has_room_for_the_longest_words() {
    let stamp = log::Stamp { wall_ms: u64::MAX, mono_ms: u64::MAX };
    let build = "0".repeat(crate::limits::BUILD_ID_BYTES);
    let head = log::head(FORM, &build, &"b".repeat(64), stamp);
    assert!(head.trim_end_matches('\0').ends_with("slide=0\n"), "{head}");
    assert!(head.len() <= crate::limits::LOG_HEAD_BYTES && LOG_LINE_BYTES < LOG_WRITE_BYTES);
}

/// The file that a child of the next test logs to.
const CHILD: &str = "FRIENDLET_TEST_PANIC_LOG";

#[test]
fn panic_and_its_place_are_in_the_file_before_the_end() {
    if let Some(file) = std::env::var_os(CHILD) {
        log::keep();
        open(&Place { file: Path::new(&file), bytes: LOG_FILE_BYTES_MIN, count: 1, build: "" });
        log_panics();
        panic!("number {}", 7);
    }
    let folder = Folder::new("panic");
    let file = folder.0.join("folder/log");
    let own = std::env::current_exe().unwrap();
    let name = "sys::log_files::tests::panic_and_its_place_are_in_the_file_before_the_end";
    let mut command = Command::new(own);
    let output = command.args(["--exact", name]).env(CHILD, &file).output().unwrap();
    assert!(!output.status.success(), "{output:?}");
    let text = String::from_utf8_lossy(&fs::read(&file).unwrap()).into_owned();
    assert!(text.contains("log_files/tests.rs") && text.contains("number 7"), "{text}");
}
