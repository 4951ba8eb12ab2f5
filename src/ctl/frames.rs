//! Frames of a device's log, as lines: what `cargo xtask log` does, by the format strings that lie in the device's
//! image.
//!
//! A record is a frame of defmt, encoded by rzCOBS: the index of its format string, the time, and for each `{}` the
//! index of a type and a value. Formats have no other placeholders ([`log::is_plain`](crate::log::is_plain)).

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::time::Duration;

use super::output::sanitize;
use crate::wall_clock::Utc;

/// Beginning of the text with the format strings.
const MARK: &str = "friendlet-texts 1 build=";
/// Beginning of a header.
const HEADER: &str = "friendlet-log 1 ";

/// Format string with its origin.
struct Text {
    level: String,
    module: String,
    format: String,
}

/// Format strings of one build.
pub(super) struct Texts {
    build: String,
    texts: BTreeMap<u16, Text>,
}

impl Texts {
    /// Reads them; `None` for a text of another form.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let mut lines = text.lines();
        let build = lines.next()?.strip_prefix(MARK)?.to_owned();
        let line = |line: &str| {
            let mut parts = line.splitn(4, ' ').map(str::to_owned);
            let index = u16::from_str_radix(&parts.next()?, 16).ok()?;
            Some((index, Text { level: parts.next()?, module: parts.next()?, format: parts.next()? }))
        };
        Some(Self { build, texts: lines.map(line).collect::<Option<_>>()? })
    }

    /// Build id of the program.
    pub(super) fn build(&self) -> &str {
        &self.build
    }

    /// Decodes a frame: its time in milliseconds, its level, and its module and text.
    fn decode(&self, frame: &[u8]) -> Option<(u64, &str, String)> {
        let bytes = decode_rzcobs(frame)?;
        let mut bytes = Bytes(&bytes);
        let text = self.texts.get(&bytes.number(2)?.try_into().ok()?)?;
        let mono_ms = bytes.number(8)?;
        let mut line = String::new();
        // The text of a console's line has its module.
        if text.module != "-" {
            line = format!("{}: ", text.module);
        }
        let mut rest = text.format.as_str();
        while let Some((before, after)) = rest.split_once('{') {
            let (kind, after) = after.split_once('}')?;
            line += before;
            rest = after;
            if kind.is_empty() {
                let kind = &self.texts.get(&bytes.number(2)?.try_into().ok()?)?.format;
                bytes.put_value(kind.strip_prefix('{')?.strip_suffix('}')?, &mut line)?;
            } else {
                bytes.put_value(kind, &mut line)?;
            }
        }
        line += rest;
        Some((mono_ms, &text.level, line))
    }
}

/// Rest of a frame.
struct Bytes<'b>(&'b [u8]);

impl<'b> Bytes<'b> {
    fn take(&mut self, count: usize) -> Option<&'b [u8]> {
        let (taken, rest) = self.0.split_at_checked(count)?;
        self.0 = rest;
        Some(taken)
    }

    /// Number of `count` bytes, the lowest first.
    fn number(&mut self, count: usize) -> Option<u64> {
        let bytes = self.take(count)?;
        Some(bytes.iter().rev().fold(0, |number, byte| number << 8 | u64::from(*byte)))
    }

    /// Adds a value of a type such as `=u32`.
    fn put_value(&mut self, kind: &str, line: &mut String) -> Option<()> {
        let (sign, bits) = match kind.strip_prefix('=')? {
            "str" => {
                let length = self.number(4)?.try_into().ok()?;
                *line += std::str::from_utf8(self.take(length)?).ok()?;
                return Some(());
            }
            "usize" => ('u', 32),
            "isize" => ('i', 32),
            number => (number.chars().next()?, number.get(1..)?.parse().ok()?),
        };
        if !matches!(bits, 8 | 16 | 32 | 64) {
            return None;
        }
        let number = self.number(bits / 8)?;
        let shift = 64 - bits;
        match sign {
            'u' => write!(line, "{number}").ok(),
            'i' => write!(line, "{}", ((number << shift) as i64) >> shift).ok(),
            _ => None,
        }
    }
}

/// Decodes rzCOBS, which is read from its end: a byte says which of the seven before it are zeros that are left out, or
/// how many bytes before it are none.
fn decode_rzcobs(frame: &[u8]) -> Option<Vec<u8>> {
    let mut bytes = Vec::new();
    let mut rest = frame.iter().rev().copied();
    while let Some(code) = rest.next() {
        let whole = match code {
            0 => return None,
            0x01..=0x7f => {
                for bit in (0..7).rev() {
                    bytes.push(if code & (1 << bit) == 0 { rest.next()? } else { 0 });
                }
                continue;
            }
            0x80..=0xfe => {
                bytes.push(0);
                usize::from(code & 0x7f) + 7
            }
            0xff => 134,
        };
        for _ in 0..whole {
            bytes.push(rest.next()?);
        }
    }
    bytes.reverse();
    Some(bytes)
}

/// Reader of a stream of frames and headers.
pub(super) struct FrameReader {
    texts: Texts,
    /// Unix time at the zero of the records' clock, in milliseconds.
    zero_ms: u64,
    /// The records are of the build of the texts.
    is_known: bool,
}

impl FrameReader {
    pub(super) fn new(texts: Texts) -> Self {
        Self { texts, zero_ms: 0, is_known: true }
    }

    /// Sets the clock of the records that follow: it showed `mono_ms` at the Unix time `wall_ms`.
    pub(super) fn set_clock(&mut self, wall_ms: u64, mono_ms: u64) {
        self.zero_ms = wall_ms.saturating_sub(mono_ms);
    }

    /// Lines of whole records, as a text log has them.
    pub(super) fn lines(&mut self, records: &[u8]) -> String {
        let mut lines = String::new();
        for frame in records.split(|byte| *byte == 0).filter(|frame| !frame.is_empty()) {
            let header = std::str::from_utf8(frame).ok().and_then(|text| text.strip_prefix(HEADER));
            if let Some(header) = header {
                self.begin(header, &mut lines);
            } else if let Some((mono_ms, level, text)) = self.texts.decode(frame).filter(|_| self.is_known) {
                let wall = Utc(Duration::from_millis(self.zero_ms.saturating_add(mono_ms)));
                let (seconds, ms) = (mono_ms / 1000, mono_ms % 1000);
                let _ = writeln!(lines, "{wall:.3} [{seconds:>5}.{ms:03}] {level:<5} {}", sanitize(&text));
            } else {
                let _ = writeln!(lines, "-- {} bytes that are not a record of this build --", frame.len());
            }
        }
        lines
    }

    fn begin(&mut self, header: &str, lines: &mut String) {
        let field = |name: &str| {
            let mut fields = header.split_whitespace().filter_map(|field| field.split_once('='));
            fields.find(|(known, _)| *known == name).map(|(_, value)| value)
        };
        let number = |name| field(name).and_then(|value| value.parse::<u64>().ok()).unwrap_or(0);
        self.set_clock(number("wall_ms"), number("mono_ms"));
        self.is_known = field("build") == Some(self.texts.build());
        let _ = writeln!(lines, "-- {} --", sanitize(header.trim_end()));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXTS: &str = "friendlet-texts 1 build=0a1b\n\
        1 - - {=u8}\n2 - - {=i32}\n3 - - {=str}\n4 - - {=usize}\n\
        10 info api::services service {}: {} starts, {}\n\
        11 warn - {=str}\n\
        12 error log plain\n";

    /// Encodes by rzCOBS, as defmt does.
    fn encode(frame: &[u8]) -> Vec<u8> {
        let (mut encoded, mut run, mut zeros) = (Vec::new(), 0_u8, 0_u8);
        for byte in frame {
            if *byte != 0 {
                encoded.push(*byte);
            } else if run < 7 {
                zeros |= 1 << run;
            }
            let code = match (run + 1, *byte) {
                (7, _) if zeros != 0 => zeros,
                (8.., 0) => (run - 7) | 0x80,
                (134, _) => 0xff,
                _ => {
                    run += 1;
                    continue;
                }
            };
            encoded.push(code);
            (run, zeros) = (0, 0);
        }
        match run {
            0 => {}
            1..=6 => encoded.push((zeros | 0xff << run) & 0x7f),
            _ => encoded.push((run - 7) | 0x80),
        }
        encoded.push(0);
        encoded
    }

    fn frame(index: u16, mono_ms: u64, rest: &[&[u8]]) -> Vec<u8> {
        encode(&[&index.to_le_bytes()[..], &mono_ms.to_le_bytes(), &rest.concat()].concat())
    }

    #[test]
    fn frames_are_lines() {
        let texts = Texts::parse(TEXTS).unwrap();
        let mut reader = FrameReader::new(texts);
        reader.set_clock(1_764_084_000_000, 0);
        let arguments: [&[u8]; 3] =
            [&[3, 0, 4, 0, 0, 0, b'd', b'o', b'o', b'r'], &[1, 0, 200], &[2, 0, 0xfe, 0xff, 0xff, 0xff]];
        let records = [
            frame(0x10, 12_345, &arguments),
            frame(0x11, 1, &[&[12, 0, 0, 0], b"serve: a\x1bb\nc"]),
            frame(0x12, 2, &[]),
        ];
        assert_eq!(
            reader.lines(&records.concat()),
            "2025-11-25T15:20:12.345Z [   12.345] info  api::services: service door: 200 starts, -2\n\
             2025-11-25T15:20:00.001Z [    0.001] warn  serve: a\u{FFFD}b\u{FFFD}c\n\
             2025-11-25T15:20:00.002Z [    0.002] error log: plain\n"
        );
    }

    #[test]
    fn header_sets_clock_and_build() {
        let texts = Texts::parse(TEXTS).unwrap();
        let mut reader = FrameReader::new(texts);
        let header = |build| {
            format!(
                "\0friendlet-log 1 form=defmt build={build} board=b wall_ms=1764084000000 mono_ms=1000 slide=0\n\0"
            )
        };
        let lines = reader.lines(&[header("0a1b").as_bytes(), &frame(0x12, 3000, &[])].concat());
        assert!(lines.ends_with("2025-11-25T15:20:02.000Z [    3.000] error log: plain\n"), "{lines}");
        assert!(lines.starts_with("-- form=defmt build=0a1b "), "{lines}");
        let lines = reader.lines(&[header("ffff").as_bytes(), &frame(0x12, 3000, &[])].concat());
        assert!(lines.ends_with(" bytes that are not a record of this build --\n"), "{lines}");
    }

    #[test]
    fn malformed_frames_and_texts() {
        let texts = Texts::parse(TEXTS).unwrap();
        let mut reader = FrameReader::new(texts);
        for bad in [&[1, 2, 3][..], &[0xff, 1], &[0x7f], &frame(0x99, 1, &[]), &frame(0x10, 1, &[&[9, 9]])] {
            let lines = reader.lines(bad);
            assert!(lines.contains(" bytes that are not a record of this build --\n"), "{bad:?}: {lines}");
        }
        for kind in ["=i0", "=u4", "=i12", "=u65", "u8"] {
            let texts = Texts::parse(&format!("friendlet-texts 1 build=0a\n10 info a {{{kind}}}\n")).unwrap();
            let lines = FrameReader::new(texts).lines(&frame(0x10, 1, &[&[9; 8]]));
            assert!(lines.contains(" bytes that are not a record of this build --\n"), "{kind}: {lines}");
        }
        assert!(Texts::parse("").is_none() && Texts::parse("friendlet-texts 2 build=0a\n").is_none());
        assert!(Texts::parse("friendlet-texts 1 build=0a\nzz info a b\n").is_none());
    }
}
