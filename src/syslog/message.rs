//! One message: header, structured data and text (RFC 5424, 6), as a datagram or as a frame of a stream; or the fields of
//! an entry of systemd's journal, in its native protocol (systemd.io/JOURNAL_NATIVE_PROTOCOL).

use core::fmt::Write as _;
use core::time::Duration;

use heapless::Vec;

use super::{SYSLOG_LINE_BYTES, SYSLOG_MESSAGE_BYTES, SYSLOG_NAME_BYTES};
use crate::limits::SERVICE_NAME_BYTES;
use crate::log::{Level, is_harmful};
use crate::wall_clock::Utc;

/// Space before a message for its length in a stream: `1180 `.
const LENGTH_BYTES: usize = 5;
/// Longest parts of a header that are not names, and the byte order mark.
const FIXED_BYTES: usize = 128;
/// Kind of the lines of the audit trail.
pub(super) const AUDIT: &str = "audit";
/// Byte order mark in UTF-8.
const BOM: &[u8] = "\u{feff}".as_bytes();

const _: () = assert!(
    FIXED_BYTES + SYSLOG_NAME_BYTES + SERVICE_NAME_BYTES + SYSLOG_LINE_BYTES <= SYSLOG_MESSAGE_BYTES
        && SYSLOG_MESSAGE_BYTES < 10_000
        // RFC 5424, 6.2.4 and 6.2.5.
        && SYSLOG_NAME_BYTES <= 255
        && SERVICE_NAME_BYTES <= 48
);

/// Severity of a message (RFC 5424, 6.2.1): its number.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Severity(u8);

impl Severity {
    pub(super) const WARNING: Self = Self(4);
    pub(super) const NOTICE: Self = Self(5);
    pub(super) const INFO: Self = Self(6);

    /// Severity of a record of the log, by the name of its level.
    pub(super) fn of_level(level: &[u8]) -> Self {
        let level = core::str::from_utf8(level).ok().and_then(Level::from_name);
        Self(level.unwrap_or(Level::Info).severity())
    }

    /// Severity of a line of output: that of its prefix `<N>` (sd-daemon(3)), which is removed.
    pub(super) fn of_line(line: &[u8]) -> (Self, &[u8]) {
        match line {
            [b'<', digit @ b'0'..=b'7', b'>', rest @ ..] => (Self(digit - b'0'), rest),
            line => (Self::INFO, line),
        }
    }
}

/// Form of messages.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Form {
    /// RFC 5424.
    Syslog,
    /// Fields of the journal.
    Journal,
}

/// Fields of a header.
#[derive(Clone, Copy, Debug)]
pub struct Header<'h> {
    /// Number of the facility.
    pub facility: u8,
    /// Severity.
    pub severity: Severity,
    /// Time since 1970; `None` while the clock is certainly wrong.
    pub time: Option<Duration>,
    /// The clock is synchronised with that of others.
    pub is_synchronised: bool,
    /// Name of the host, or empty.
    pub host: &'h str,
    /// Name of the service.
    pub name: &'h str,
    /// Process, or 0.
    pub process: u32,
    /// Kind of the message.
    pub id: &'static str,
}

/// Message in composition.
#[derive(Debug)]
pub struct Message {
    /// The message, after space for its length.
    bytes: Vec<u8, { LENGTH_BYTES + SYSLOG_MESSAGE_BYTES }>,
}

impl Default for Message {
    fn default() -> Self {
        Self { bytes: Vec::from_array([b' '; LENGTH_BYTES]) }
    }
}

impl Message {
    /// Composes a message. What cannot be displayed, or controls a terminal, is a `?` in it.
    pub fn compose(&mut self, form: Form, header: &Header<'_>, text: &[u8]) {
        self.bytes.truncate(LENGTH_BYTES);
        // The longest header has room.
        let written = match form {
            Form::Syslog => self.put_header(header),
            Form::Journal => self.put_fields(header),
        };
        debug_assert!(written.is_ok(), "the longest header has room");
        // As the standard demands of UTF-8.
        if form == Form::Syslog && text.utf8_chunks().any(|chunk| !chunk.valid().is_ascii()) {
            self.put(BOM);
        }
        let start = self.bytes.len();
        self.put_text(text);
        if form == Form::Journal {
            self.put(b"\n");
            if header.id == AUDIT {
                self.put_words(start);
            }
        }
    }

    fn put_text(&mut self, text: &[u8]) {
        for chunk in text.utf8_chunks() {
            for character in chunk.valid().chars() {
                let character = match character {
                    '\t' => ' ',
                    character if is_harmful(character) => '?',
                    character => character,
                };
                self.put(character.encode_utf8(&mut [0; 4]).as_bytes());
            }
            if !chunk.invalid().is_empty() {
                self.put(b"?");
            }
        }
    }

    fn put_header(&mut self, header: &Header<'_>) -> core::fmt::Result {
        let Header { facility, severity, time, is_synchronised, host, name, process, id } = *header;
        write!(self.bytes, "<{}>1 ", facility * 8 + severity.0)?;
        match time {
            Some(time) => write!(self.bytes, "{:.3}", Utc(time))?,
            None => self.bytes.write_str("-")?,
        }
        write!(self.bytes, " {} {} ", or_none(host), or_none(name))?;
        match process {
            0 => self.bytes.write_str("-")?,
            process => write!(self.bytes, "{process}")?,
        }
        let quality = if is_synchronised { 1 } else { 0 };
        write!(self.bytes, " {id} [timeQuality tzKnown=\"1\" isSynced=\"{quality}\"] ")
    }

    /// Fields of an entry, and the name of the one with the text.
    fn put_fields(&mut self, header: &Header<'_>) -> core::fmt::Result {
        let Header { facility, severity, time, name, process, id, .. } = *header;
        write!(self.bytes, "PRIORITY={}\nSYSLOG_FACILITY={facility}\n", severity.0)?;
        if let Some(time) = time {
            writeln!(self.bytes, "SYSLOG_TIMESTAMP={:.3}", Utc(time))?;
        }
        if process != 0 {
            writeln!(self.bytes, "SYSLOG_PID={process}")?;
        }
        write!(self.bytes, "SYSLOG_IDENTIFIER={name}\nFRIENDLET_KIND={id}\nMESSAGE=")
    }

    /// Words of a text of the audit trail as fields, such as `FRIENDLET_USER` of `user=anna`, as far as there is room.
    fn put_words(&mut self, start: usize) {
        let text = self.bytes.clone();
        let text = text.get(start..).unwrap_or_default().trim_ascii_end();
        for word in text.split(|byte| *byte == b' ') {
            let key = word.iter().position(|byte| *byte == b'=').unwrap_or_default();
            let end = self.bytes.len();
            let mut parts = [b"FRIENDLET_", word, b"\n"].into_iter();
            if key == 0 || parts.try_for_each(|part| self.bytes.extend_from_slice(part)).is_err() {
                self.bytes.truncate(end);
            }
            let name = self.bytes.get_mut(end..).unwrap_or_default();
            let name = name.split_mut(|byte| *byte == b'=').next().unwrap_or_default();
            name.make_ascii_uppercase();
        }
    }

    fn put(&mut self, bytes: &[u8]) {
        let is_added = self.bytes.extend_from_slice(bytes).is_ok();
        debug_assert!(is_added, "a text is at most as long as a part of a line");
    }

    /// The message as a datagram (RFC 5426).
    pub fn datagram(&self) -> &[u8] {
        self.bytes.get(LENGTH_BYTES..).unwrap_or_default()
    }

    /// The message behind its length, as in a stream (RFC 5425, 4.3).
    pub fn frame(&mut self) -> &[u8] {
        let (mut length, mut start) = (self.datagram().len(), LENGTH_BYTES - 1);
        while length > 0 && start > 0 {
            start -= 1;
            if let Some(place) = self.bytes.get_mut(start) {
                *place = b'0' + (length % 10) as u8;
            }
            length /= 10;
        }
        self.bytes.get(start..).unwrap_or_default()
    }
}

/// A field of the header: one without a value has a name, too.
fn or_none(field: &str) -> &str {
    if field.is_empty() { "-" } else { field }
}

#[cfg(test)]
pub(super) mod tests {
    use proptest::prelude::*;

    use super::*;

    const HEADER: Header<'_> = Header {
        facility: 3,
        severity: Severity::INFO,
        time: Some(Duration::from_millis(1_735_689_599_007)),
        is_synchronised: true,
        host: "board",
        name: "web",
        process: 412,
        id: "output",
    };

    fn text(header: &Header<'_>, text: &[u8]) -> String {
        let mut message = Message::default();
        message.compose(Form::Syslog, header, text);
        String::from_utf8(message.datagram().to_vec()).unwrap()
    }

    #[test]
    fn message_has_the_fields_of_the_standard() {
        assert_eq!(
            text(&HEADER, b"it listens"),
            "<30>1 2024-12-31T23:59:59.007Z board web 412 output [timeQuality tzKnown=\"1\" isSynced=\"1\"] it listens"
        );
        let unknown = Header {
            facility: 23,
            severity: Severity(7),
            time: None,
            is_synchronised: false,
            host: "",
            process: 0,
            ..HEADER
        };
        assert_eq!(
            text(&unknown, b""),
            "<191>1 - - web - output [timeQuality tzKnown=\"1\" isSynced=\"0\"] "
        );
    }

    #[test]
    fn text_beyond_ascii_has_a_byte_order_mark_and_nothing_controls_a_terminal() {
        let after = |line: &[u8]| text(&HEADER, line).split_once("] ").unwrap().1.to_owned();
        assert_eq!(after("schön".as_bytes()), "\u{feff}schön");
        assert_eq!(after(b"a\tb\x1b[31m\r\0\xff\xfeend"), "a b?[31m?????end".replace("?????", "????"));
        assert_eq!(after("\u{202e}gpj".as_bytes()), "\u{feff}?gpj");
    }

    #[test]
    fn frame_begins_with_the_length() {
        let mut message = Message::default();
        for count in [0, 9, 20, SYSLOG_LINE_BYTES] {
            message.compose(Form::Syslog, &HEADER, &vec![b'x'; count]);
            let datagram = message.datagram().to_vec();
            let frame = String::from_utf8(message.frame().to_vec()).unwrap();
            assert_eq!(frame, format!("{} {}", datagram.len(), String::from_utf8(datagram).unwrap()));
        }
    }

    #[test]
    fn message_with_the_longest_fields_has_room() {
        let (host, name) = ("h".repeat(SYSLOG_NAME_BYTES), "n".repeat(SERVICE_NAME_BYTES));
        let header = Header {
            facility: 23,
            time: Some(Duration::MAX),
            host: &host,
            name: &name,
            process: u32::MAX,
            id: "dropped",
            ..HEADER
        };
        let line = "ä".repeat(SYSLOG_LINE_BYTES / 2);
        assert!(text(&header, line.as_bytes()).ends_with("ää"));
        assert!(entry(&header, line.as_bytes()).ends_with("ää\n"));
    }

    fn entry(header: &Header<'_>, text: &[u8]) -> String {
        let mut message = Message::default();
        message.compose(Form::Journal, header, text);
        String::from_utf8(message.datagram().to_vec()).unwrap()
    }

    #[test]
    fn entry_has_the_fields_of_the_journal() {
        assert_eq!(
            entry(&HEADER, "schön\x1b[31m\nMESSAGE=forged\tend\u{202e}".as_bytes()),
            "PRIORITY=6\nSYSLOG_FACILITY=3\nSYSLOG_TIMESTAMP=2024-12-31T23:59:59.007Z\nSYSLOG_PID=412\n\
             SYSLOG_IDENTIFIER=web\nFRIENDLET_KIND=output\nMESSAGE=schön?[31m?MESSAGE=forged end?\n"
        );
        let unknown = Header { time: None, process: 0, id: "dropped", ..HEADER };
        assert_eq!(
            entry(&unknown, b""),
            "PRIORITY=6\nSYSLOG_FACILITY=3\nSYSLOG_IDENTIFIER=web\nFRIENDLET_KIND=dropped\nMESSAGE=\n"
        );
    }

    #[test]
    fn words_of_the_audit_trail_are_fields_as_far_as_there_is_room() {
        let header = Header { time: None, process: 0, id: AUDIT, ..HEADER };
        let found = entry(&header, b"user=a from=local call=services/start on= =x word outcome=ok");
        assert!(found.ends_with(
            "outcome=ok\nFRIENDLET_USER=a\nFRIENDLET_FROM=local\nFRIENDLET_CALL=services/start\nFRIENDLET_ON=\n\
             FRIENDLET_OUTCOME=ok\n"
        ));
        let word = "w".repeat(SYSLOG_LINE_BYTES - 10);
        let found = entry(&header, format!("a={word} b=c").as_bytes());
        assert!(found.ends_with(&format!("MESSAGE=a={word} b=c\nFRIENDLET_B=c\n")), "{found}");
    }

    #[test]
    fn severity_is_that_of_the_prefix_or_of_the_level() {
        assert_eq!(Severity::of_line(b"<3>down"), (Severity(3), &b"down"[..]));
        for line in [&b"<8>x"[..], b"<31>x", b"3>x", b"<3", b""] {
            assert_eq!(Severity::of_line(line), (Severity::INFO, line));
        }
        assert_eq!(Severity::of_level(b"warn"), Severity::WARNING);
        assert_eq!(Severity::of_level(b"error"), Severity(3));
    }

    /// Reads a message by the grammar of RFC 5424, 6: its header, with single fields, and its text.
    pub(in crate::syslog) fn parse(message: &[u8]) -> Option<(Vec<String, 8>, String)> {
        let message = core::str::from_utf8(message).ok()?;
        let mut fields = Vec::new();
        let (header, text) = message.split_once(" [timeQuality ")?;
        for field in header.split(' ') {
            let is_field = !field.is_empty() && field.bytes().all(|byte| (33..127).contains(&byte));
            fields.push(Some(field.to_owned()).filter(|_| is_field)?).ok()?;
        }
        let priority = fields.first()?.strip_prefix('<')?.strip_suffix(">1")?;
        let is_priority = priority.parse::<u8>().is_ok_and(|priority| priority <= 191);
        let (quality, text) = text.split_once("] ")?;
        let is_quality = quality.starts_with("tzKnown=\"1\" isSynced=\"");
        let is_text = text.strip_prefix('\u{feff}').unwrap_or(text).chars().all(|c| !c.is_control());
        let is_whole = fields.len() == 6 && is_priority && is_quality && is_text;
        is_whole.then(|| (fields, text.to_owned()))
    }

    proptest! {
        #[test]
        fn every_line_is_a_message_of_the_standard(
            line in prop::collection::vec(any::<u8>(), 0..SYSLOG_LINE_BYTES),
            process in any::<u32>(),
        ) {
            let mut message = Message::default();
            message.compose(Form::Syslog, &Header { process, ..HEADER }, &line);
            let (fields, text) = parse(message.datagram()).unwrap();
            prop_assert_eq!(&fields[3], "web");
            let is_ascii = text.is_ascii();
            prop_assert_eq!(!is_ascii, text.starts_with('\u{feff}'));
        }
    }
}
