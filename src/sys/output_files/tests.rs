use std::fs;

use super::*;
use crate::service::{OUTPUT_DAY_BYTES, OUTPUT_FILE_BYTES, OUTPUT_FILES, Spec};
use crate::sys::tests::TestDirectory;

/// 2026-11-29T10:15:00.123Z.
const NOW: Stamp = Stamp { unix_ms: Some(1_795_947_300_123), uptime: Duration::from_secs(5) };
const STAMP: &str = "2026-11-29T10:15:00.123Z ";

fn file(directory: &TestDirectory, bytes: usize, count: usize, day_bytes: u64) -> OutputFile {
    let path = directory.0.join("logs/web");
    OutputFile { path: path.to_str().unwrap().try_into().unwrap(), bytes, count, day_bytes }
}

fn batch(text: &str, lost: u64) -> Batch {
    let bytes = heapless::Vec::from_slice(text.as_bytes()).unwrap();
    Batch { service: 0, lost, time: NOW, bytes }
}

/// Writes texts as batches at these times.
fn write(writer: &mut Writer, batches: &[(&str, u64, u64)]) {
    let mut text = Text::new();
    for (bytes, lost, second) in batches {
        writer.write(&batch(bytes, *lost), &mut text, Duration::from_secs(*second));
    }
}

fn content(directory: &TestDirectory, name: &str) -> String {
    fs::read_to_string(directory.0.join("logs").join(name)).unwrap_or_default().replace(STAMP, "T ")
}

#[test]
fn each_line_has_its_time() {
    let directory = TestDirectory::new("output-lines");
    let mut writer = Writer::new(file(&directory, OUTPUT_FILE_BYTES, OUTPUT_FILES, OUTPUT_DAY_BYTES));
    write(&mut writer, &[("one\ntw", 0, 0), ("o\n", 0, 0), ("\n", 0, 0), ("three", 0, 0), ("!\n", 7, 0)]);
    let text = "T one\nT two\nT \nT three\nT [7 bytes left out]\nT !\n";
    assert_eq!(content(&directory, "web"), text);
    // A further start of the server appends.
    let mut writer = Writer::new(file(&directory, OUTPUT_FILE_BYTES, OUTPUT_FILES, OUTPUT_DAY_BYTES));
    write(&mut writer, &[("four\n", 0, 0)]);
    assert_eq!(content(&directory, "web"), format!("{text}T four\n"));
}

#[test]
fn files_are_rotated_and_limited() {
    let directory = TestDirectory::new("output-rotation");
    let mut writer = Writer::new(file(&directory, OUTPUT_FILE_BYTES, OUTPUT_FILES, 0));
    let line = "x".repeat(999) + "\n";
    let lines = 3 * OUTPUT_FILE_BYTES / line.len();
    for _ in 0..lines {
        write(&mut writer, &[(&line, 0, 0)]);
    }
    let length = |name: &str| fs::metadata(directory.0.join("logs").join(name)).map_or(0, |file| file.len());
    assert!(length("web") > 0 && length("web") <= OUTPUT_FILE_BYTES as u64);
    assert!(length("web.1") > OUTPUT_FILE_BYTES as u64 - 1100 && length("web.1") <= OUTPUT_FILE_BYTES as u64);
    assert_eq!(fs::read_dir(directory.0.join("logs")).unwrap().count(), OUTPUT_FILES);
    assert!(content(&directory, "web.1").starts_with("T x"), "whole lines");
}

#[test]
fn bytes_of_a_day_are_limited() {
    const { assert!(OUTPUT_DAY_BYTES > 1000) };
    let directory = TestDirectory::new("output-day");
    let mut writer = Writer::new(file(&directory, OUTPUT_FILE_BYTES, 1, 100));
    let line = "x".repeat(40) + "\n";
    write(&mut writer, &[(&line, 0, 0), (&line, 0, 1), (&line, 0, 2), ("a\n", 0, DAY.as_secs() - 1)]);
    assert_eq!(content(&directory, "web").lines().count(), 1, "{}", content(&directory, "web"));
    write(&mut writer, &[("b\n", 0, DAY.as_secs())]);
    assert_eq!(content(&directory, "web"), format!("T {line}T [84 bytes left out]\nT b\n"));
}

#[test]
fn output_that_cannot_be_written_is_counted() {
    let directory = TestDirectory::new("output-failure");
    fs::write(directory.0.join("logs"), "").unwrap();
    let mut writer = Writer::new(file(&directory, OUTPUT_FILE_BYTES, 1, OUTPUT_DAY_BYTES));
    write(&mut writer, &[("lost\n", 0, 0), ("lost too\n", 0, 0)]);
    fs::remove_file(directory.0.join("logs")).unwrap();
    write(&mut writer, &[("kept\n", 0, 0)]);
    assert_eq!(content(&directory, "web"), "T [14 bytes left out]\nT kept\n");
}

#[test]
fn output_of_several_batches_is_whole() {
    let directory = TestDirectory::new("output-batches");
    let mut table = ServiceTable::new();
    let output = Some(file(&directory, OUTPUT_FILE_BYTES, 1, OUTPUT_DAY_BYTES));
    table.push(Spec { output, ..Spec::new("web", &["x"]).unwrap() }).unwrap();
    table.push(Spec::new("other", &["x"]).unwrap()).unwrap();
    let mut files = OutputFiles::start(&table).unwrap().unwrap();
    let all = "a line of the output\n".repeat(3 * OUTPUT_BATCH_BYTES / 20);
    let copy = |since: u64, room: &mut [u8]| {
        let rest = all.as_bytes().get(since as usize..).unwrap_or_default();
        let count = rest.len().min(room.len());
        room[..count].copy_from_slice(&rest[..count]);
        (since, count)
    };
    let id = |index| ServiceId::from_index(index).unwrap();
    assert!(files.copy(id(0), copy));
    assert!(files.copy(id(1), |_, _| panic!("it has no files")));
    files.flush();
    let text = content(&directory, "web");
    let lines = text.lines().map(|line| line.split_once(' ').unwrap().1.to_owned() + "\n");
    assert_eq!(lines.collect::<String>(), all);
}

#[test]
fn without_files_no_thread_is_started() {
    assert!(OutputFiles::start(&ServiceTable::new()).unwrap().is_none());
}

#[test]
fn times_are_in_utc() {
    for (unix_ms, text) in [
        (0, "1970-01-01T00:00:00.000Z"),
        (951_782_399_999, "2000-02-28T23:59:59.999Z"),
        (951_782_400_000, "2000-02-29T00:00:00.000Z"),
        (951_868_800_000, "2000-03-01T00:00:00.000Z"),
        (1_795_947_300_123, "2026-11-29T10:15:00.123Z"),
        (4_107_542_400_000, "2100-03-01T00:00:00.000Z"),
    ] {
        assert_eq!(Stamp { unix_ms: Some(unix_ms), uptime: Duration::ZERO }.to_string(), text);
    }
    let without = Stamp { unix_ms: None, uptime: Duration::from_millis(61_005) };
    assert_eq!(without.to_string(), "+61.005");
}

#[test]
fn output_that_the_disk_does_not_take_is_counted() {
    let directory = TestDirectory::new("output-blocked");
    let mut positions = [None; SERVICES];
    positions[0] = Some(0);
    // Nobody takes the batches.
    let (mut files, waiting) = OutputFiles::new(positions);
    let id = ServiceId::from_index(0).unwrap();
    let endless = |since: u64, room: &mut [u8]| {
        room.fill(b'x');
        (since, room.len())
    };
    assert!(!files.copy(id, endless));
    assert_eq!(files.positions[0], Some((OUTPUT_BATCHES * OUTPUT_BATCH_BYTES) as u64));
    assert!(!files.copy(id, |_, _| panic!("no batch is free")));
    let mut writer = Writer::new(file(&directory, 2 * OUTPUT_BATCHES * OUTPUT_BATCH_BYTES, 1, 0));
    let mut text = Text::new();
    let mut work = |files: &OutputFiles| {
        while let Some(batch) = waiting.try_recv() {
            writer.write(&batch, &mut text, Duration::ZERO);
            files.give_back.try_send(batch).unwrap();
        }
    };
    work(&files);
    // Meanwhile 1000 bytes were overwritten.
    let mut rest = Some(1000);
    assert!(files.copy(id, |since, room| {
        let Some(lost) = rest.take() else { return (since, 0) };
        room[..2].copy_from_slice(b"y\n");
        (since + lost, 2)
    }));
    work(&files);
    let text = content(&directory, "web");
    assert_eq!(text.matches('x').count(), OUTPUT_BATCHES * OUTPUT_BATCH_BYTES);
    assert!(text.contains("[1000 bytes left out]\n") && text.ends_with(" y\n"));
}

#[test]
fn what_is_left_out_until_the_end_is_counted_there() {
    let directory = TestDirectory::new("output-end");
    let mut writer = Writer::new(file(&directory, OUTPUT_FILE_BYTES, 1, 100));
    let line = "x".repeat(40) + "\n";
    write(&mut writer, &[(&line, 0, 0), (&line, 0, 1), (&line, 0, 2)]);
    writer.end(NOW, &mut Text::new());
    writer.end(NOW, &mut Text::new());
    assert_eq!(content(&directory, "web"), format!("T {line}T [82 bytes left out]\n"));
}

#[test]
fn file_that_was_moved_away_is_made_anew() {
    let directory = TestDirectory::new("output-moved");
    let mut writer = Writer::new(file(&directory, OUTPUT_FILE_BYTES, 2, 0));
    write(&mut writer, &[("one\n", 0, 0)]);
    fs::rename(directory.0.join("logs/web"), directory.0.join("logs/web.old")).unwrap();
    write(&mut writer, &[("two\n", 0, 0)]);
    assert_eq!(
        (content(&directory, "web.old"), content(&directory, "web")),
        ("T one\n".into(), "T two\n".into())
    );
}

#[test]
fn reload_that_comes_before_the_thread_has_the_last_one_loses_no_output() {
    let directory = TestDirectory::new("output-reloads");
    let mut services = ServiceTable::new();
    let mut spec = Spec::new("web", &["/bin/true"]).unwrap();
    spec.output = Some(file(&directory, OUTPUT_FILE_BYTES, OUTPUT_FILES, 0));
    let service = services.push(spec).unwrap();
    let mut files = OutputFiles::start(&services).unwrap().unwrap();
    let later = Arc::clone(&files.later);
    let mut held = later.lock().unwrap();
    // The thread waits for the files of the first one, and gets those of the second.
    files.is_renewed = true;
    files.copy(service, |since, _| (since, 0));
    *held = Some(files_of(&services).collect());
    files.is_renewed = true;
    drop(held);
    let mut copy = |since: u64, room: &mut [u8]| {
        let rest = &b"one\ntwo\n"[usize::try_from(since).unwrap()..];
        room[..rest.len()].copy_from_slice(rest);
        (since, rest.len())
    };
    assert!(files.copy(service, &mut copy));
    files.flush();
    assert_eq!(content(&directory, "web").lines().count(), 2);
}
