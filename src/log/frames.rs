//! Frame sink of a device build: defmt frames, stored in the ring buffer.
//!
//! defmt passes a frame in pieces between `acquire` and `release`. They are collected in a buffer of
//! the thread, encoded (rzCOBS: the only zero ends the frame, and zeros in the content are cheap) and
//! stored at once. Only the lock of the ring is waited for, under which a frame is copied.
//!
//! The trait of defmt is unsafe to implement, so this module may use `unsafe`. Its contract is that
//! `acquire` may be called from any thread at any time. It holds: each thread has its own buffer, and
//! a nested `acquire` drops its frame.

#![allow(unsafe_code)]

use core::cell::RefCell;
use core::fmt;

use defmt::{Format, Formatter, Str};

use super::clock::elapsed_ms;
use super::line::Line;
use super::{LOG_ARGUMENTS, LOG_LINE_BYTES, LOG_WRITE_BYTES, Level, buffer};

/// Longest frame before encoding: string index and time, then for each argument its type index,
/// length and value.
const FRAME_BYTES: usize = 2 + 8 + LOG_ARGUMENTS * (2 + 4 + LOG_LINE_BYTES);
/// Longest frame after encoding: one more byte for every seven or part of seven, and the zero.
const ENCODED_BYTES: usize = FRAME_BYTES + FRAME_BYTES / 7 + 2;

const _: () = assert!(ENCODED_BYTES <= LOG_WRITE_BYTES, "the longest record fits one write and the ring");

defmt::timestamp!("{=u64:ms}", elapsed_ms());

/// Frame that a thread is collecting.
struct FrameBuffer {
    bytes: [u8; FRAME_BYTES],
    len: usize,
    /// Number of `acquire` calls without `release`.
    depth: u8,
    /// An argument leaves the record out.
    is_left_out: bool,
    /// The frame did not fit. False first, so that the initial value is all zeros and in `.bss`.
    is_cut: bool,
}

thread_local! {
    static FRAME: RefCell<FrameBuffer> =
        const { RefCell::new(FrameBuffer { bytes: [0; FRAME_BYTES], len: 0, depth: 0, is_left_out: false, is_cut: false }) };
}

impl FrameBuffer {
    fn begin(&mut self) {
        self.depth = self.depth.saturating_add(1);
        if self.depth == 1 {
            self.len = 0;
            self.is_cut = false;
            self.is_left_out = false;
        }
    }

    fn add(&mut self, bytes: &[u8]) {
        if self.depth != 1 {
            return;
        }
        match self.bytes.get_mut(self.len..self.len + bytes.len()) {
            Some(place) => {
                place.copy_from_slice(bytes);
                self.len += bytes.len();
            }
            None => self.is_cut = true,
        }
    }

    fn end(&mut self) {
        self.depth = self.depth.saturating_sub(1);
        if self.depth == 0 && self.is_left_out {
            return;
        }
        if self.depth > 0 || self.is_cut {
            buffer::count_lost();
            return;
        }
        let mut encoded = [0; ENCODED_BYTES];
        match self.bytes.get(..self.len).and_then(|frame| encode(frame, &mut encoded)) {
            Some(record) => buffer::push(record),
            None => buffer::count_lost(),
        }
    }
}

/// Encodes a frame; `None` if it does not fit.
fn encode<'e>(frame: &[u8], encoded: &'e mut [u8; ENCODED_BYTES]) -> Option<&'e [u8]> {
    let mut len = 0;
    let mut put = |bytes: &[u8]| {
        if let Some(place) = encoded.get_mut(len..len + bytes.len()) {
            place.copy_from_slice(bytes);
        }
        len += bytes.len();
    };
    let mut encoder = defmt::Encoder::new();
    // The header of the file has the zero that precedes the first frame.
    encoder.start_frame(|_| {});
    encoder.write(frame, &mut put);
    encoder.end_frame(&mut put);
    encoded.get(..len)
}

#[defmt::global_logger]
struct Logger;

// SAFETY: see the module documentation. No method relies on a promise of its caller.
unsafe impl defmt::Logger for Logger {
    fn acquire() {
        FRAME.with_borrow_mut(FrameBuffer::begin);
    }

    unsafe fn flush() {}

    unsafe fn release() {
        FRAME.with_borrow_mut(FrameBuffer::end);
    }

    unsafe fn write(bytes: &[u8]) {
        FRAME.with_borrow_mut(|frame| frame.add(bytes));
    }
}

/// Stores a line of the text sink, module and text in one string. `cargo xtask log` omits the source
/// position of this statement.
pub(super) fn store_line(level: Level, line: &str) {
    match level {
        Level::Off => {}
        Level::Error => defmt::error!("{=str}", line),
        Level::Warn => defmt::warn!("{=str}", line),
        Level::Info => defmt::info!("{=str}", line),
        Level::Debug => defmt::debug!("{=str}", line),
    }
}

/// Argument of a record, by reference. Method resolution picks the trait: the one for numbers needs
/// one reference less.
pub struct Arg<'a, T>(pub &'a T);

/// Argument that defmt encodes as a number.
pub trait NumberArg {
    /// Type of the number.
    type Number;
    /// Value for defmt.
    fn argument(&self) -> Self::Number;
}

/// Argument that is stored as text.
pub trait TextArg {
    /// Value for defmt.
    fn argument(&self) -> DisplayArg<'_>;
}

macro_rules! numbers {
    ($($number:ty),+) => { $(
        impl NumberArg for Arg<'_, $number> {
            type Number = $number;
            fn argument(&self) -> $number { *self.0 }
        }
    )+ };
}

numbers!(u8, u16, u32, u64, usize, i8, i16, i32, i64, isize);

impl<T: fmt::Display> TextArg for &Arg<'_, T> {
    fn argument(&self) -> DisplayArg<'_> {
        DisplayArg(self.0)
    }
}

/// String of at most [`LOG_LINE_BYTES`] in a frame, without control characters.
pub struct DisplayArg<'a>(&'a dyn fmt::Display);

impl DisplayArg<'_> {
    /// Text of the value. One whose `Display` fails leaves the record out.
    fn line(&self) -> Line {
        Line::of(self.0).unwrap_or_else(|| {
            FRAME.with_borrow_mut(|frame| frame.is_left_out = true);
            Line::default()
        })
    }
}

impl Format for DisplayArg<'_> {
    fn format(&self, fmt: Formatter<'_>) {
        defmt::write!(fmt, "{=str}", self.line().as_str());
    }

    // Hidden methods of this one version of defmt. Without them a string would be a sequence of one
    // string, six bytes longer.
    fn _format_tag() -> Str {
        <str as Format>::_format_tag()
    }

    fn _format_data(&self) {
        self.line().as_str()._format_data();
    }
}
