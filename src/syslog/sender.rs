//! Sender of the lines that wait in the buffers of the server: the next message, its repetition after a failure, and
//! the number of lines that were overwritten.

use core::fmt::Write as _;
use core::time::Duration;

use heapless::Vec;

use super::message::{self, Form, Header, Message, Severity};
use super::settings::{Facility, HostName};
use super::{SYSLOG_LINE_BYTES, SYSLOG_REPEAT, SYSLOG_RETRY, SYSLOG_RETRY_MAX, SYSLOG_TIMES};
use crate::limits::SERVICES;

/// Source of the audit trail. Those before it are the services, by their index.
pub const AUDIT: usize = SERVICES;
/// Source of the server's log.
pub const LOG: usize = SERVICES + 1;
/// Number of sources.
pub const SOURCES: usize = SERVICES + 2;

/// Name of the server in a message.
const SERVER: &str = "friendlet";

/// Buffers of lines. A position is a number of bytes since the start of the server.
pub trait Sources {
    /// Copies lines from position `since` on, or the oldest ones that there are. Returns the position of the first one, the
    /// number of lines before it if that is another position, and the number of bytes.
    fn copy(&self, source: usize, since: u64, room: &mut [u8]) -> (u64, u64, usize);

    /// Position after the newest line of a service.
    fn end(&self, service: usize) -> u64;

    /// Name of a service, and the process that wrote its line at a position, or 0.
    fn origin(&self, service: usize, position: u64) -> (&str, u32);
}

/// One moment on the clocks of the server.
#[derive(Clone, Copy, Debug)]
pub struct Moment {
    /// Time since the start of the server.
    pub now: Duration,
    /// The same on the clock of the log.
    pub of_log: Duration,
    /// Time since 1970; `None` while the clock is certainly wrong.
    pub wall: Option<Duration>,
    /// The clock is synchronised.
    pub is_synchronised: bool,
}

/// Place in one source.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
struct Cursor {
    position: u64,
    /// Lines before it.
    lines: u64,
    /// Those of them that were overwritten before they were sent.
    dropped: u64,
}

/// Lines of one source.
#[derive(Debug, Default)]
struct Queue {
    is_sent: bool,
    /// There may be a line behind the cursor.
    is_pending: bool,
    next: Cursor,
    /// Places of which the second is as old as the last look at failures, and the first as the look before that.
    delivered: [Cursor; 2],
    /// Ends of the output of a service, and the times at which it had come, in milliseconds.
    times: Vec<(u64, u64), SYSLOG_TIMES>,
}

impl Queue {
    fn new(is_sent: bool) -> Self {
        Self { is_sent, is_pending: is_sent, ..Self::default() }
    }

    /// Notes that the output up to `end` had come at `now`. Without room, the time that is closest to its neighbours makes
    /// some.
    fn note(&mut self, end: u64, now: Duration) {
        let sent = self.delivered[0].position;
        self.times.retain(|(end, _)| *end > sent);
        if self.times.is_full() {
            let gap = |three: &[(u64, u64)]| match three {
                [first, _, last] => last.1.saturating_sub(first.1),
                _ => u64::MAX,
            };
            let least = self.times.windows(3).enumerate().min_by_key(|(_, three)| gap(three));
            if let Some((before, _)) = least {
                self.times.remove(before + 1);
            }
        }
        // There is room.
        let _ = self.times.push((end, now.as_millis() as u64));
    }

    fn time_of(&self, position: u64) -> Option<Duration> {
        let time = self.times.iter().find(|(end, _)| *end > position)?;
        Some(Duration::from_millis(time.1))
    }
}

/// Sender to one log server.
#[derive(Debug)]
pub struct Sender {
    form: Form,
    facility: Facility,
    host: HostName,
    queues: [Queue; SOURCES],
    /// Source whose turn it is.
    turn: usize,
    message: Message,
    /// Source of the message, and the place after it.
    composed: Option<(usize, Cursor)>,
    /// Messages sent, repeated ones included.
    sent: u64,
    /// Time of the next look whether what was sent was delivered.
    look: Option<Duration>,
    /// Pause after a failure, and its end.
    pause: Option<(Duration, Duration)>,
}

impl Sender {
    /// Sender of the sources for which `is_sent` returns true.
    pub fn new(form: Form, facility: Facility, host: HostName, is_sent: &dyn Fn(usize) -> bool) -> Self {
        Self {
            form,
            facility,
            host,
            queues: core::array::from_fn(|source| Queue::new(is_sent(source))),
            turn: 0,
            message: Message::default(),
            composed: None,
            sent: 0,
            look: None,
            pause: None,
        }
    }

    /// Takes the sources for which `is_sent` returns true, without a pause. Those for which `is_other` does begin anew:
    /// another service has their place.
    pub fn renew(&mut self, is_sent: &dyn Fn(usize) -> bool, is_other: &dyn Fn(usize) -> bool) {
        (self.composed, self.pause) = (None, None);
        for (source, queue) in self.queues.iter_mut().enumerate() {
            let is_sent = is_sent(source);
            if is_other(source) || is_sent != queue.is_sent {
                *queue = Queue::new(is_sent);
            }
        }
    }

    /// Sets form, facility and host of what follows.
    pub fn set(&mut self, form: Form, facility: Facility, host: HostName) {
        (self.form, self.facility, self.host) = (form, facility, host);
    }

    /// Notes that a source may have new lines. Returns true if they are to be sent.
    pub fn note(&mut self, source: usize, sources: &dyn Sources, now: Duration) -> bool {
        let Some(queue) = self.queues.get_mut(source).filter(|queue| queue.is_sent) else { return false };
        queue.is_pending = true;
        if source < SERVICES {
            queue.note(sources.end(source), now);
        }
        true
    }

    /// Returns true while there may be something to send.
    pub fn is_pending(&self) -> bool {
        self.queues.iter().any(|queue| queue.is_pending)
    }

    /// Messages sent, and lines that were overwritten before they were sent.
    pub fn counts(&self) -> (u64, u64) {
        (self.sent, self.queues.iter().map(|queue| queue.next.dropped).sum())
    }

    /// Returns true after so many failures in a row that administrators have to know.
    pub fn is_failing(&self) -> bool {
        self.pause.is_some_and(|(pause, _)| pause >= SYSLOG_RETRY_MAX)
    }

    /// Time of the next attempt after a failure, or of the next look at what was sent.
    pub fn poll_timeout(&self, now: Duration) -> Option<Duration> {
        self.pause.map(|(_, end)| end).filter(|end| now < *end).or(self.look)
    }

    /// Looks at what was sent, if it is time. Returns true if it was: nothing has failed since the look
    /// before.
    pub fn handle_timeout(&mut self, now: Duration) -> bool {
        if self.look.is_none_or(|look| now < look) {
            return false;
        }
        let mut is_unsure = false;
        for queue in &mut self.queues {
            queue.delivered = [queue.delivered[1], queue.next];
            is_unsure |= queue.delivered[0] != queue.delivered[1];
        }
        self.look = is_unsure.then(|| now + SYSLOG_REPEAT);
        self.pause = None;
        true
    }

    /// Composes the next message; `false` without one, and in the pause after a failure. The same follows until
    /// [`handle_sent`](Self::handle_sent).
    pub fn poll_message(&mut self, sources: &dyn Sources, moment: &Moment) -> bool {
        if self.composed.is_some() {
            return true;
        }
        for _ in 0..SOURCES {
            let source = self.turn;
            self.turn = (source + 1) % SOURCES;
            if self.compose(source, sources, moment) {
                return true;
            }
        }
        false
    }

    /// The composed message.
    pub fn message(&mut self) -> &mut Message {
        &mut self.message
    }

    /// Handles that the composed message was sent.
    pub fn handle_sent(&mut self, now: Duration) {
        if let Some((source, next)) = self.composed.take()
            && let Some(queue) = self.queues.get_mut(source)
        {
            queue.next = next;
            self.sent += 1;
            self.look.get_or_insert(now + SYSLOG_REPEAT);
        }
    }

    /// Handles a failure: what was sent shortly before is sent again, after a pause.
    pub fn handle_failure(&mut self, now: Duration) {
        (self.composed, self.look) = (None, None);
        for queue in self.queues.iter_mut().filter(|queue| queue.is_sent) {
            queue.next = queue.delivered[0];
            queue.delivered[1] = queue.delivered[0];
            queue.is_pending = true;
        }
        let pause = self.pause.map_or(SYSLOG_RETRY, |(pause, _)| (pause * 2).min(SYSLOG_RETRY_MAX));
        self.pause = Some((pause, now + pause));
    }

    /// Returns true in the pause after a failure.
    pub fn is_pausing(&self, now: Duration) -> bool {
        self.pause.is_some_and(|(_, end)| now < end)
    }

    /// Composes the next line of a source, or the number of those that were overwritten.
    fn compose(&mut self, source: usize, sources: &dyn Sources, moment: &Moment) -> bool {
        let Some(queue) = self.queues.get_mut(source).filter(|queue| queue.is_pending) else { return false };
        let mut next = queue.next;
        let mut room = [0; SYSLOG_LINE_BYTES];
        let (from, before, count) = sources.copy(source, next.position, &mut room);
        let (name, process) = match source {
            AUDIT | LOG => (SERVER, 0),
            service => sources.origin(service, next.position),
        };
        let mut header = Header {
            facility: if source == AUDIT { Facility::AUDIT.0 } else { self.facility.0 },
            severity: Severity::WARNING,
            time: moment.wall,
            is_synchronised: moment.is_synchronised,
            host: &self.host,
            name,
            process,
            id: "dropped",
        };
        if from != next.position {
            // The text of the longest number has room.
            let mut text = heapless::String::<64>::new();
            let dropped = before.saturating_sub(next.lines).max(1);
            let _ = write!(text, "{dropped} lines of {} were dropped", kind(source));
            (next.position, next.lines, next.dropped) = (from, before, next.dropped + dropped);
            header.process = 0;
            self.message.compose(self.form, &header, text.as_bytes());
        } else {
            let Some((line, length)) = room.get(..count).and_then(first_line) else {
                queue.is_pending = false;
                return false;
            };
            next.position += length as u64;
            next.lines += u64::from(length > line.len());
            let (now, line_time, text);
            (header.severity, now, line_time, text) = match source {
                AUDIT | LOG => {
                    let (time, rest) = split_time(line);
                    let (severity, text) =
                        if source == LOG { split_level(rest) } else { (Severity::NOTICE, rest) };
                    (severity, moment.of_log, time, text)
                }
                _ => {
                    let (severity, text) = Severity::of_line(line);
                    (severity, moment.now, queue.time_of(queue.next.position), text)
                }
            };
            header.id = kind(source);
            // By the present clock, as if it had been right then, too.
            let age = line_time.map_or(Duration::ZERO, |time| now.saturating_sub(time));
            header.time = moment.wall.map(|wall| wall.saturating_sub(age));
            self.message.compose(self.form, &header, text);
        }
        self.composed = Some((source, next));
        true
    }
}

/// Kind of the lines of a source.
fn kind(source: usize) -> &'static str {
    match source {
        AUDIT => message::AUDIT,
        LOG => "log",
        _ => "output",
    }
}

/// First line of some bytes, and its length with its line feed. A line that is longer than the bytes, which are as many as a
/// message has room for, is cut between two characters; `None` if more of it may come.
fn first_line(bytes: &[u8]) -> Option<(&[u8], usize)> {
    if let Some(end) = bytes.iter().position(|byte| *byte == b'\n') {
        let line = bytes.get(..end)?;
        return Some((line.strip_suffix(b"\r").unwrap_or(line), end + 1));
    }
    if bytes.len() < SYSLOG_LINE_BYTES {
        return None;
    }
    // The last character may go on.
    let last = bytes.iter().rposition(|byte| byte & 0xc0 != 0x80).unwrap_or_default();
    let is_open = bytes.get(last).is_some_and(|byte| *byte >= 0xc0) && last + 4 > bytes.len();
    let end = if is_open { last } else { bytes.len() };
    bytes.get(..end).map(|line| (line, end))
}

/// Splits the time on the clock of the log off a line: `[   12.345] ..`. A time of day before it is left out.
fn split_time(line: &[u8]) -> (Option<Duration>, &[u8]) {
    let split = || {
        let start = line.iter().position(|byte| *byte == b'[')?;
        let end = line.iter().position(|byte| *byte == b']')?;
        let digits = line.get(start..end)?.iter().filter(|byte| byte.is_ascii_digit());
        let millis = digits
            .fold(0_u64, |number, digit| number.saturating_mul(10).saturating_add(u64::from(digit - b'0')));
        Some((Some(Duration::from_millis(millis)), line.get(end + 2..)?))
    };
    split().unwrap_or((None, line))
}

/// Splits the level off the rest of a line of the log: `info  api::services: ..`.
fn split_level(line: &[u8]) -> (Severity, &[u8]) {
    let end = line.iter().position(|byte| *byte == b' ').unwrap_or_default();
    let (level, rest) = line.split_at(end);
    (Severity::of_level(level), rest.trim_ascii_start())
}

#[cfg(test)]
mod tests;
