use std::fs;
use std::io::Read as _;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::Instant;

use super::*;
use crate::limits::LOG_RING_BYTES;
use crate::log::test_process;
use crate::log::{LOG_FILE_BYTES_MIN, LOG_LINE_BYTES, Level, write_line};
use crate::sys::tests::lock_children;
use crate::sys::{LOG_FLUSH_TIMEOUT, log_threads};

/// Returns true in a process of one test, which needs a ring and a log level of its own.
fn is_alone(test: &str) -> bool {
    let _lock = lock_children();
    test_process::is_alone(&format!("sys::log_files::tests::{test}"))
}

/// Runs a test in a process of its own.
fn alone(test: &str, run: impl FnOnce()) {
    if is_alone(test) {
        run();
    }
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

/// Runs of a server that ends after one line: `texts` of the first, then `line ..` of so many others.
#[cfg(not(feature = "defmt"))]
fn crash_loop(directory: &TestDirectory, count: usize, first: &str, starts: usize) {
    let run = |text: std::fmt::Arguments<'_>| {
        let mut writer = directory.writer(count);
        writer.open(Duration::ZERO);
        write_line(Level::Error, "test", text);
        writer.flush(Duration::from_secs(1));
    };
    run(format_args!("{first}"));
    for number in 0..starts {
        run(format_args!("line {number}"));
    }
}

#[cfg(not(feature = "defmt"))]
#[test]
fn start_goes_on_in_the_newest_file() {
    alone("start_goes_on_in_the_newest_file", || {
        let directory = TestDirectory::new("go-on");
        crash_loop(&directory, 4, "first", 1);
        let newest = directory.0.join("logs/log");
        // A power cut has left a part of a line.
        fs::write(&newest, directory.text("log").unwrap() + "[ 1.2").unwrap();
        crash_loop(&directory, 4, "second", 0);
        let text = directory.text("log").unwrap();
        let lines: Vec<_> = text.lines().map(|line| line.split("test: ").last().unwrap()).collect();
        let is_header =
            |line: &str| line.starts_with("friendlet-log 1 form=text") && line.ends_with("slide=0");
        assert!([0, 3, 6].iter().all(|at| is_header(lines[*at])), "{text}");
        // A line begins with the time of day.
        assert!(text.lines().nth(1).unwrap()[..25].ends_with("Z ") && text.contains("Z ["), "{text}");
        assert_eq!([1, 2, 4, 5, 7].map(|at| lines[at]), ["first", "", "line 0", "[ 1.2", "second"], "{text}");
        assert_eq!((lines.len(), directory.text("log.1")), (8, None));
    });
}

#[cfg(not(feature = "defmt"))]
#[test]
fn crash_loop_keeps_its_first_cause() {
    alone("crash_loop_keeps_its_first_cause", || {
        for count in [2, 3, 4] {
            let directory = TestDirectory::new("crash-loop");
            crash_loop(&directory, count, "the first cause", 1000);
            let names = ["log", "log.1", "log.2", "log.3"];
            let texts: Vec<_> = names.iter().filter_map(|name| directory.text(name)).collect();
            let oldest = texts.last().unwrap();
            assert!(
                oldest.contains("test: the first cause\n") && numbers(oldest)[0] == 0,
                "{count}: {oldest}"
            );
            assert_eq!(numbers(&texts[0]).last(), Some(&999), "{count}");
            assert!(texts.len() == count.min(3) && texts.iter().all(|text| text.len() <= LOG_FILE_BYTES_MIN));
            assert!(texts[0].lines().next().unwrap().ends_with(YOUNG), "{}", texts[0]);
        }
    });
}

#[cfg(not(feature = "defmt"))]
#[test]
fn run_that_grows_older_begins_a_file() {
    alone("run_that_grows_older_begins_a_file", || {
        let directory = TestDirectory::new("older");
        crash_loop(&directory, 4, "the first cause", 100);
        let mut writer = directory.writer(4);
        writer.open(Duration::ZERO);
        for (number, now) in [(1, LOG_YOUNG_RUN - Duration::from_secs(1)), (2, LOG_YOUNG_RUN)] {
            line(number);
            writer.flush(now);
        }
        let [newest, before] = ["log", "log.1"].map(|name| directory.text(name).unwrap());
        assert_eq!((numbers(&newest), numbers(&before).last()), (vec![2], Some(&1)));
        assert!(newest.lines().next().unwrap().ends_with("slide=0"), "{newest}");
        // And rotates all files from then on.
        let oldest = directory.text("log.2").unwrap();
        assert!(oldest.contains("the first cause"), "{oldest}");
        (0..30).for_each(line);
        for _ in 0..9 {
            writer.flush(LOG_YOUNG_RUN);
        }
        assert!(directory.text("log.3").unwrap().contains("the first cause"));
    });
}

#[cfg(not(feature = "defmt"))]
#[test]
fn step_of_the_clock_has_its_header() {
    alone("step_of_the_clock_has_its_header", || {
        let directory = TestDirectory::new("step");
        let mut writer = directory.writer(2);
        writer.open(Duration::ZERO);
        line(1);
        writer.flush(Duration::ZERO);
        // As if the file had been begun in 1970.
        writer.clock = StepWatch::new(log::ClockSample { wall_ms: 5, mono_ms: 0 });
        line(2);
        writer.flush(Duration::ZERO);
        line(3);
        writer.flush(Duration::ZERO);
        let text = directory.text("log").unwrap();
        let [_, first, second] = text.split("friendlet-log 1 ").collect::<Vec<_>>()[..] else {
            panic!("{text}")
        };
        assert_eq!((numbers(first), numbers(second)), (vec![1], vec![2, 3]), "{text}");
    });
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
    let head = log::header(FORM, &build, &"b".repeat(64), stamp, YOUNG);
    assert!(head.trim_end_matches('\0').ends_with("slide=0 young=1\n"), "{head}");
    assert!(head.len() <= LOG_HEAD_BYTES && LOG_LINE_BYTES < LOG_WRITE_BYTES);
}

/// Variable with the log file of a child of the next test.
const CHILD: &str = "FRIENDLET_TEST_PANIC_LOG";

#[test]
fn panic_is_in_the_file_before_the_process_aborts() {
    if let Some(file) = std::env::var_os(CHILD) {
        log::enable();
        let target = LogTarget { file: Path::new(&file), bytes: LOG_FILE_BYTES_MIN, count: 1, build: "" };
        log_threads::start(Some(&target), None).unwrap();
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
        log_threads::start(None, None).unwrap();
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
