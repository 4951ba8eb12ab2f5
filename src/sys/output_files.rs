//! Output of services in files, on a thread of its own: a disk that hangs delays the files alone.
//!
//! The event loop copies new output into batches of a fixed number. While none is free, output stays in the
//! buffer of its service; what is overwritten there meanwhile is counted in the file.

use std::fmt::{self, Write as _};
use std::fs::File;
use std::io::{self, Write as _};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::sleep;
use std::time::{Duration, Instant};

use super::rotated_files::RotatedFiles;
use super::{BUILT_UNIX_S, LOG_FLUSH_TIMEOUT, OUTPUT_BATCH_BYTES, OUTPUT_BATCHES, thread};
use crate::limits::SERVICES;
use crate::log::Reason;
use crate::runtime::{Receiver, Sender, queue};
use crate::service::{OutputFile, ServiceId, ServiceTable};
use crate::wall_clock::{self, Utc};
use crate::warning;

/// Stack size of the thread, which also logs its failures.
pub const OUTPUT_STACK_BYTES: usize = 48 * 1024;
/// Bytes of the batches and of the text in composition.
pub const OUTPUT_BUFFER_BYTES: usize = OUTPUT_BATCHES * size_of::<Batch>() + size_of::<Text>();

/// Longest time before a line, with its space: `2026-11-29T10:15:00.123Z `.
const STAMP_BYTES: usize = 32;
/// Text of one write: the longest piece of a line with its time.
const TEXT_BYTES: usize = 2 * OUTPUT_BATCH_BYTES;
const DAY: Duration = Duration::from_secs(24 * 3600);
/// Number of no service: the batch that ends the files.
const END: usize = usize::MAX;
/// The same: the batch after which those of a reload are in force.
const RENEW: usize = usize::MAX - 1;
/// Pause between two looks at the queue at the end of the server.
const FLUSH_STEP: Duration = Duration::from_millis(5);

const _: () = assert!(TEXT_BYTES >= OUTPUT_BATCH_BYTES + STAMP_BYTES);

type Text = heapless::Vec<u8, TEXT_BYTES>;

/// Output of one service.
#[derive(Debug, Default)]
struct Batch {
    service: usize,
    /// Bytes that were lost before these.
    lost: u64,
    time: Stamp,
    bytes: heapless::Vec<u8, OUTPUT_BATCH_BYTES>,
}

/// Event loop's side of the files.
#[derive(Debug)]
pub struct OutputFiles {
    batches: Sender<Box<Batch>, OUTPUT_BATCHES>,
    /// Batches that are free.
    spare: Receiver<Box<Batch>, OUTPUT_BATCHES>,
    give_back: Sender<Box<Batch>, OUTPUT_BATCHES>,
    /// Position of the first byte of each service that is not copied; `None` without files.
    positions: [Option<u64>; SERVICES],
    start: Instant,
    /// Files of the latest reload, for the thread. `None`: it has them.
    later: Arc<Mutex<Option<Vec<Option<OutputFile>>>>>,
    /// The thread has not got them yet.
    is_renewed: bool,
}

impl OutputFiles {
    /// Starts the thread; `None` if no service has files.
    ///
    /// # Errors
    /// Error of the system: no thread can be started.
    pub fn start(services: &ServiceTable) -> io::Result<Option<Self>> {
        let mut positions = [None; SERVICES];
        let mut files: Vec<Option<Writer>> = Vec::new();
        for (place, file) in positions.iter_mut().zip(files_of(services)) {
            *place = file.as_ref().map(|_| 0);
            files.push(file.map(Writer::new));
        }
        if positions.iter().all(Option::is_none) {
            return Ok(None);
        }
        let (queue, waiting) = Self::new(positions);
        let (give_back, later) = (queue.give_back.clone(), Arc::clone(&queue.later));
        let mut text = Box::<Text>::default();
        let run = move || {
            let start = Instant::now();
            while let Some(batch) = waiting.recv_blocking() {
                match files.get_mut(batch.service) {
                    Some(Some(writer)) => writer.write(&batch, &mut text, start.elapsed()),
                    Some(None) => {}
                    None if batch.service == RENEW => {
                        // A second reload may have come before the thread got the first one's.
                        if let Some(later) = later.lock().unwrap_or_else(PoisonError::into_inner).take() {
                            files = renewed(files, later, batch.time, &mut text);
                        }
                    }
                    None => files.iter_mut().flatten().for_each(|writer| writer.end(batch.time, &mut text)),
                }
                // There is room for every batch.
                let _ = give_back.try_send(batch);
            }
        };
        thread::start("output", OUTPUT_STACK_BYTES, Box::new(run))?;
        Ok(Some(queue))
    }

    /// Queue without its thread, with the thread's end of it.
    fn new(positions: [Option<u64>; SERVICES]) -> (Self, Receiver<Box<Batch>, OUTPUT_BATCHES>) {
        let (batches, waiting) = queue();
        let (give_back, spare) = queue();
        for _ in 0..OUTPUT_BATCHES {
            // There is room for every batch.
            let _ = give_back.try_send(Box::default());
        }
        let (later, start) = (Arc::default(), Instant::now());
        (Self { batches, spare, give_back, positions, start, later, is_renewed: false }, waiting)
    }

    /// Copies new output of a service. `copy` fills a buffer with the output from a position on, and returns
    /// the position of its first byte and their number. Returns false if there may be more, which has no room.
    pub fn copy(&mut self, service: ServiceId, mut copy: impl FnMut(u64, &mut [u8]) -> (u64, usize)) -> bool {
        if self.is_renewed && !self.send(RENEW) {
            return false;
        }
        self.is_renewed = false;
        let Some(Some(position)) = self.positions.get_mut(service.index()) else { return true };
        loop {
            let Some(mut batch) = self.spare.try_recv() else { return false };
            batch.bytes.clear();
            // At most the capacity.
            let _ = batch.bytes.resize_default(OUTPUT_BATCH_BYTES);
            let (from, count) = copy(*position, &mut batch.bytes);
            if count == 0 {
                // There is room for every batch.
                let _ = self.give_back.try_send(batch);
                return true;
            }
            batch.bytes.truncate(count);
            batch.service = service.index();
            batch.lost = from.saturating_sub(*position);
            batch.time = Stamp::now(self.start);
            *position = from + count as u64;
            // There is room for every batch.
            let _ = self.batches.try_send(batch);
        }
    }

    /// Takes the files of a later table. `replaced` is the mask of the services whose output begins anew.
    pub fn renew(&mut self, services: &ServiceTable, replaced: u64) {
        let files: Vec<_> = files_of(services).collect();
        for (index, (position, file)) in self.positions.iter_mut().zip(&files).enumerate() {
            let kept = position.filter(|_| replaced & (1 << index) == 0);
            *position = file.as_ref().map(|_| kept.unwrap_or(0));
        }
        *self.later.lock().unwrap_or_else(PoisonError::into_inner) = Some(files);
        self.is_renewed = true;
    }

    /// Sends a batch without output. Returns false if there is none.
    fn send(&self, what: usize) -> bool {
        let Some(mut batch) = self.spare.try_recv() else { return false };
        batch.service = what;
        batch.time = Stamp::now(self.start);
        // There is room for every batch.
        let _ = self.batches.try_send(batch);
        true
    }

    /// Ends the files: waits until everything that was copied is written, and what was left out is counted, up
    /// to [`LOG_FLUSH_TIMEOUT`].
    pub fn flush(&self) {
        let start = Instant::now();
        self.send(END);
        while self.spare.count() < OUTPUT_BATCHES && start.elapsed() < LOG_FLUSH_TIMEOUT {
            sleep(FLUSH_STEP);
        }
    }
}

/// Files of each service, by its index.
fn files_of(services: &ServiceTable) -> impl Iterator<Item = Option<OutputFile>> {
    let ids = (0..SERVICES).map(ServiceId::from_index);
    ids.map(|service| service.and_then(|service| services.get(service)).and_then(|spec| spec.output.clone()))
}

/// Files after a reload: those of before that stay, and new ones. The others are ended.
fn renewed(
    mut files: Vec<Option<Writer>>,
    later: Vec<Option<OutputFile>>,
    time: Stamp,
    text: &mut Text,
) -> Vec<Option<Writer>> {
    let mut take = |file: OutputFile| {
        let is_same = |writer: &Option<Writer>| writer.as_ref().is_some_and(|writer| writer.file == file);
        let known = files.iter_mut().find(|writer| is_same(writer)).and_then(Option::take);
        known.unwrap_or_else(|| Writer::new(file))
    };
    let later = later.into_iter().map(|file| file.map(&mut take)).collect();
    files.iter_mut().flatten().for_each(|writer| writer.end(time, text));
    later
}

/// Files of one service.
#[derive(Debug)]
struct Writer {
    file: OutputFile,
    files: RotatedFiles,
    limit: usize,
    day_limit: u64,
    open: Option<File>,
    /// Length of the open file.
    written: usize,
    /// Start of the current 24 h, and bytes written in them.
    day: (Duration, u64),
    /// Bytes of output that are not in the files since the last line about that.
    left_out: u64,
    /// Bytes of output in the text in composition, and those that a line in it counts as left out.
    composed: (u64, u64),
    /// The next byte begins a line.
    is_line_start: bool,
    has_failed: bool,
}

impl Writer {
    fn new(file: OutputFile) -> Self {
        Self {
            files: RotatedFiles::new(Path::new(file.path.as_str()), file.count),
            limit: file.bytes,
            day_limit: if file.day_bytes == 0 { u64::MAX } else { file.day_bytes },
            file,
            open: None,
            written: 0,
            day: (Duration::ZERO, 0),
            left_out: 0,
            composed: (0, 0),
            is_line_start: true,
            has_failed: false,
        }
    }

    /// Writes a batch. What cannot be written is left out, and counted.
    fn write(&mut self, batch: &Batch, text: &mut Text, now: Duration) {
        text.clear();
        self.left_out += batch.lost;
        if now.saturating_sub(self.day.0) >= DAY {
            self.day = (now, 0);
        }
        if batch.lost > 0 && !self.is_line_start {
            self.add(b"\n", text);
            self.is_line_start = true;
        }
        for line in batch.bytes.split_inclusive(|byte| *byte == b'\n') {
            let stamp = if self.is_line_start { STAMP_BYTES } else { 0 };
            let pending = (text.len() + stamp + line.len()) as u64;
            if self.day.1.saturating_add(pending) > self.day_limit {
                // Until the next day nothing follows, short lines neither.
                self.flush(text);
                self.day.1 = self.day_limit;
                self.left_out += line.len() as u64;
                self.is_line_start = true;
                continue;
            }
            if self.is_line_start {
                self.add_stamp(batch.time, text);
            }
            self.add(line, text);
            self.composed.0 += line.len() as u64;
            self.is_line_start = line.ends_with(b"\n");
        }
        self.flush(text);
    }

    /// Adds the time of a line, and before it a line about what was left out.
    fn add_stamp(&mut self, time: Stamp, text: &mut Text) {
        self.add_left_out(time, text);
        self.add_text(format_args!("{time} "), text);
    }

    /// Adds a line about what was left out since the last one, if anything was.
    fn add_left_out(&mut self, time: Stamp, text: &mut Text) {
        let left_out = std::mem::take(&mut self.left_out);
        if left_out > 0 {
            self.add_text(format_args!("{time} [{left_out} bytes left out]\n"), text);
            self.composed.1 += left_out;
        }
    }

    fn add_text(&mut self, content: fmt::Arguments<'_>, text: &mut Text) {
        let mut line = heapless::String::<{ STAMP_BYTES + 48 }>::new();
        let written = line.write_fmt(content);
        debug_assert!(written.is_ok(), "the longest time and number fit");
        self.add(line.as_bytes(), text);
    }

    fn add(&mut self, bytes: &[u8], text: &mut Text) {
        if text.len() + bytes.len() > TEXT_BYTES {
            self.flush(text);
        }
        // It has room for one piece of a line.
        let _ = text.extend_from_slice(bytes);
    }

    /// Writes the text in composition to the file.
    fn flush(&mut self, text: &mut Text) {
        if text.is_empty() {
            return;
        }
        match self.try_write(text) {
            Ok(()) => {
                self.day.1 += text.len() as u64;
                self.has_failed = false;
            }
            Err(error) => {
                self.left_out += self.composed.0 + self.composed.1;
                if !std::mem::replace(&mut self.has_failed, true)
                    && let Some(path) = self.files.newest()
                {
                    warning!("cannot write {}: {}; output is left out", path.display(), Reason::from(&error));
                }
            }
        }
        self.composed = (0, 0);
        text.clear();
    }

    /// Counts what was left out since the last line.
    fn end(&mut self, time: Stamp, text: &mut Text) {
        if self.left_out > 0 {
            let begin: &[u8] = if self.is_line_start { b"" } else { b"\n" };
            self.add(begin, text);
            self.add_left_out(time, text);
            self.flush(text);
            self.is_line_start = true;
        }
    }

    fn try_write(&mut self, text: &[u8]) -> io::Result<()> {
        // Another program may have moved it away.
        self.open = self.open.take().filter(|open| self.files.is_newest(open));
        if self.open.is_none() {
            let open = self.files.append()?;
            self.written = usize::try_from(open.metadata()?.len()).unwrap_or(usize::MAX);
            self.open = Some(open);
        }
        if self.written > 0 && self.written.saturating_add(text.len()) > self.limit {
            self.open = Some(self.files.start(usize::MAX)?);
            self.files.handle_started();
            self.written = 0;
        }
        let Some(open) = &mut self.open else { return Ok(()) };
        if let Err(error) = open.write_all(text) {
            // Removes the partial line.
            let _ = open.set_len(self.written as u64);
            return Err(error);
        }
        self.written += text.len();
        Ok(())
    }
}

/// Time of a line: UTC, or the time since the start of the server while the clock is not plausible.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
struct Stamp {
    unix_ms: Option<u64>,
    uptime: Duration,
}

impl Stamp {
    fn now(start: Instant) -> Self {
        let unix = wall_clock::now();
        let is_plausible = unix.as_secs() >= BUILT_UNIX_S;
        let unix_ms = is_plausible.then(|| u64::try_from(unix.as_millis()).unwrap_or(u64::MAX));
        Self { unix_ms, uptime: start.elapsed() }
    }
}

impl fmt::Display for Stamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some(unix_ms) = self.unix_ms else {
            return write!(f, "+{}.{:03}", self.uptime.as_secs(), self.uptime.subsec_millis());
        };
        write!(f, "{:.3}", Utc(Duration::from_millis(unix_ms)))
    }
}

#[cfg(test)]
mod tests;
