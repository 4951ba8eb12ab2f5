use std::fs;
use std::io::Read as _;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::Instant;

use super::*;
use crate::limits::LOG_RING_BYTES;
use crate::log::{LOG_FILE_BYTES_MIN, LOG_LINE_BYTES, Level, write_line};
use crate::sys::tests::lock_children;
use crate::sys::{LOG_FLUSH_TIMEOUT, log_threads};

/// Variable of a process that runs one test, which needs a ring and a log level of its own.
const ALONE: &str = "FRIENDLET_TEST_ALONE";

/// Returns true in a process of one test; otherwise runs the test in such a process.
fn is_alone(test: &str) -> bool {
    if std::env::var_os(ALONE).is_some() {
        return true;
    }
    let _lock = lock_children();
    let mut command = Command::new(std::env::current_exe().unwrap());
    let output =
        command.args(["--exact", &format!("sys::log_files::tests::{test}")]).env(ALONE, "1").output();
    let output = output.unwrap();
    let report = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && report.contains("1 passed"), "{report}");
    false
}

struct TestDirectory(PathBuf);

impl TestDirectory {
    fn new(test: &str) -> Self {
        log::enable();
        let path = std::env::temp_dir().join(format!("friendlet-log-{test}-{}", std::process::id()));
        let _ = fs::remove_dir_all(&path);
        fs::create_dir(&path).unwrap();
        Self(path)
    }

    /// Writer that starts with the next record.
    fn writer(&self, count: usize) -> LogWriter {
        let file = self.0.join("logs/log");
        let mut writer =
            LogWriter::new(&LogTarget { file: &file, bytes: LOG_FILE_BYTES_MIN, count, build: "0a1b" });
        // The end of the ring.
        writer.position = log::tail(0);
        log::mark_persisted(writer.position);
        let _ = log::take_lost();
        writer
    }

    fn text(&self, name: &str) -> Option<String> {
        fs::read_to_string(self.0.join("logs").join(name)).ok()
    }
}

impl Drop for TestDirectory {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn line(number: usize) {
    write_line(Level::Info, "test", format_args!("line {number} {}", "x".repeat(300)));
}

/// Numbers of the lines in a text.
fn numbers(text: &str) -> Vec<usize> {
    let number = |line: &str| line.split("test: line ").nth(1)?.split(' ').next()?.parse().ok();
    text.lines().filter_map(number).collect()
}

// A device build logs frames, which this test cannot read.
#[cfg(not(feature = "defmt"))]
#[test]
fn files_are_rotated_at_their_limits() {
    if !is_alone("files_are_rotated_at_their_limits") {
        return;
    }
    let directory = TestDirectory::new("turn");
    let mut writer = directory.writer(3);
    for number in 0..120 {
        line(number);
        if number % 10 == 9 {
            writer.flush(Duration::from_secs(1));
        }
    }
    writer.flush(Duration::from_secs(1));
    let mut found = Vec::new();
    for name in ["log.2", "log.1", "log"] {
        let text = directory.text(name).unwrap();
        assert!(text.len() <= LOG_FILE_BYTES_MIN, "{name}: {}", text.len());
        let head = format!("friendlet-log 1 form=text build=0a1b board={BOARD} wall_ms=");
        assert!(text.starts_with(&head), "{text}");
        found.extend(numbers(&text));
    }
    assert_eq!(directory.text("log.3"), None);
    // No line is missing between the oldest and the newest.
    assert_eq!(found.last(), Some(&119));
    assert!(found.len() > 40 && found.windows(2).all(|pair| pair[0] + 1 == pair[1]), "{found:?}");
}

#[cfg(not(feature = "defmt"))]
#[test]
fn tick_writes_up_to_its_limit_and_lost_records_are_counted() {
    if !is_alone("tick_writes_up_to_its_limit_and_lost_records_are_counted") {
        return;
    }
    let directory = TestDirectory::new("tick");
    let mut writer = directory.writer(16);
    let mut number = 0;
    // More than the ring holds.
    while number * 300 < LOG_RING_BYTES * 2 {
        line(number);
        number += 1;
    }
    writer.flush(Duration::from_secs(1));
    let written: usize = (0..8)
        .filter_map(|number| {
            directory.text(&if number == 0 { "log".to_owned() } else { format!("log.{number}") })
        })
        .map(|text| text.len())
        .sum();
    assert!(written > LOG_WRITE_BYTES && written <= LOG_WRITES * LOG_WRITE_BYTES + 8 * 256, "{written}");
    writer.flush(Duration::from_secs(2));
    writer.flush(Duration::from_secs(3));
    let text = directory.text("log").unwrap();
    let lost = text.lines().find(|line| line.contains(" records were lost before they could be written"));
    let lost = lost.unwrap().split("log_files: ").nth(1).unwrap().split(' ').next().unwrap();
    let lost: usize = lost.parse().unwrap();
    assert!(lost >= number / 2 && lost < number, "{lost} of {number}");
}

#[cfg(not(feature = "defmt"))]
#[test]
fn failed_file_is_retried_after_the_pause() {
    if !is_alone("failed_file_is_retried_after_the_pause") {
        return;
    }
    let directory = TestDirectory::new("retry");
    // A file has the name of the directory.
    fs::write(directory.0.join("logs"), "").unwrap();
    let mut writer = directory.writer(2);
    line(1);
    let start = Duration::from_secs(100);
    writer.flush(start);
    assert_eq!((writer.failures, writer.retry_at), (1, start + LOG_RETRY_PAUSE));
    fs::remove_file(directory.0.join("logs")).unwrap();
    writer.flush(start + LOG_RETRY_PAUSE - Duration::from_millis(1));
    assert_eq!(directory.text("log"), None);
    writer.flush(start + LOG_RETRY_PAUSE);
    assert_eq!(numbers(&directory.text("log").unwrap()), [1]);
    assert_eq!(writer.failures, 0);
    // The next tick writes the record about it.
    writer.flush(start + LOG_RETRY_PAUSE);
    let text = directory.text("log").unwrap();
    assert!(
        text.contains("the log stays in memory") && text.contains("log written again after 1 failures"),
        "{text}"
    );
}

#[test]
fn longest_head_has_room() {
    let stamp = log::ClockSample { wall_ms: u64::MAX, mono_ms: u64::MAX };
    let build = "0".repeat(log::BUILD_ID_BYTES);
    let head = log::header(FORM, &build, &"b".repeat(64), stamp);
    assert!(head.trim_end_matches('\0').ends_with("slide=0\n"), "{head}");
    assert!(head.len() <= log::LOG_HEAD_BYTES && LOG_LINE_BYTES < LOG_WRITE_BYTES);
}

/// Variable with the log file of a child of the next test.
const CHILD: &str = "FRIENDLET_TEST_PANIC_LOG";

#[test]
fn panic_is_in_the_file_before_the_process_aborts() {
    if let Some(file) = std::env::var_os(CHILD) {
        log::enable();
        let target = LogTarget { file: Path::new(&file), bytes: LOG_FILE_BYTES_MIN, count: 1, build: "" };
        log_threads::start(Some(&target)).unwrap();
        log_threads::log_panics();
        panic!("number {}", 7);
    }
    let directory = TestDirectory::new("panic");
    let file = directory.0.join("logs/log");
    let _lock = lock_children();
    let own = std::env::current_exe().unwrap();
    let name = "sys::log_files::tests::panic_is_in_the_file_before_the_process_aborts";
    let mut command = Command::new(own);
    let output = command.args(["--exact", name]).env(CHILD, &file).output().unwrap();
    assert!(!output.status.success(), "{output:?}");
    let text = String::from_utf8_lossy(&fs::read(&file).unwrap()).into_owned();
    assert!(text.contains("log_files/tests.rs") && text.contains("number 7"), "{text}");
}

/// Variable of a child of the next test.
const BLOCKED: &str = "FRIENDLET_TEST_PANIC_BLOCKED";

#[test]
fn panic_ends_the_process_though_standard_error_blocks() {
    if std::env::var_os(BLOCKED).is_some() {
        log_threads::start(None).unwrap();
        log_threads::log_panics();
        panic!("number {}", 8);
    }
    // Before the pipe: a test with this lock may wait until no pipe is open.
    let _lock = lock_children();
    let (mut reader, mut writer) = io::pipe().unwrap();
    let size = rustix::pipe::fcntl_getpipe_size(&writer).unwrap();
    writer.write_all(&vec![b'x'; size]).unwrap();
    let mut command = Command::new(std::env::current_exe().unwrap());
    let name = "sys::log_files::tests::panic_ends_the_process_though_standard_error_blocks";
    command.args(["--exact", name]).env(BLOCKED, "1").stdout(Stdio::null()).stderr(writer);
    let start = Instant::now();
    let mut child = command.spawn().unwrap();
    drop(command);
    let status = loop {
        if let Some(status) = child.try_wait().unwrap() {
            break status;
        }
        if start.elapsed() > Duration::from_secs(60) {
            child.kill().unwrap();
            panic!("the process hangs");
        }
        std::thread::sleep(Duration::from_millis(10));
    };
    assert!(!status.success() && start.elapsed() >= LOG_FLUSH_TIMEOUT, "{status} {:?}", start.elapsed());
    let mut text = String::new();
    reader.read_to_string(&mut text).unwrap();
    assert_eq!(text, "x".repeat(size));
}
