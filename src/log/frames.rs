//! The sink of a device build: defmt's frames, into the ring.
//!
//! defmt gives a frame in pieces between `acquire` and `release`; they come together in a buffer of the
//! thread and go to the ring at once, encoded (rzCOBS: no zero but the one that ends a frame, and zeros
//! of the content nearly free). Nothing waits but for the ring's lock, under which a frame is copied.
//!
//! The interface of defmt is unsafe to implement, which is why this module may have `unsafe`: what it
//! asks for is that `acquire` may be called from any thread at any time, and that holds, because each
//! thread has a buffer of its own and a second `acquire` in it drops its frame.

#![allow(unsafe_code)]

use core::cell::RefCell;
use core::fmt;

use defmt::{Format, Formatter, Str};

use super::text::{Text, elapsed_ms};
use super::{Level, kept};
use crate::log::{LOG_ARGUMENTS, LOG_LINE_BYTES, LOG_WRITE_BYTES};

/// Most bytes of a frame before it is encoded: the number of its string and the time, then for each
/// argument the number of its kind, its length and itself.
const FRAME_BYTES: usize = 2 + 8 + LOG_ARGUMENTS * (2 + 4 + LOG_LINE_BYTES);
/// The same once it is encoded: one byte more for every seven, the last that is begun, and the zero.
const ENCODED_BYTES: usize = FRAME_BYTES + FRAME_BYTES / 7 + 2;

const _: () = assert!(ENCODED_BYTES <= LOG_WRITE_BYTES, "the longest record fits one write, and the ring");

defmt::timestamp!("{=u64:ms}", elapsed_ms());

struct Frame {
    bytes: [u8; FRAME_BYTES],
    len: usize,
    /// How often it was acquired and not released.
    depth: u8,
    /// Whether something did not fit. All zeros at first, so that no frame stands in the program.
    is_cut: bool,
}

thread_local! {
    static FRAME: RefCell<Frame> =
        const { RefCell::new(Frame { bytes: [0; FRAME_BYTES], len: 0, depth: 0, is_cut: false }) };
}

impl Frame {
    fn begin(&mut self) {
        self.depth = self.depth.saturating_add(1);
        if self.depth == 1 {
            self.len = 0;
            self.is_cut = false;
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
        if self.depth > 0 || self.is_cut {
            kept::count_lost();
            return;
        }
        let mut encoded = [0; ENCODED_BYTES];
        let len = encode(self.bytes.get(..self.len).unwrap_or_default(), &mut encoded);
        kept::push(encoded.get(..len).unwrap_or_default());
    }
}

fn encode(frame: &[u8], encoded: &mut [u8; ENCODED_BYTES]) -> usize {
    let mut len = 0;
    let mut put = |bytes: &[u8]| {
        if let Some(place) = encoded.get_mut(len..len + bytes.len()) {
            place.copy_from_slice(bytes);
            len += bytes.len();
        }
    };
    let mut encoder = defmt::Encoder::new();
    // The zero that it puts before the first frame stands in the file's header.
    encoder.start_frame(|_| {});
    encoder.write(frame, &mut put);
    encoder.end_frame(&mut put);
    len
}

#[defmt::global_logger]
struct Sink;

// SAFETY: see above; none of the methods relies on what its caller promises.
unsafe impl defmt::Logger for Sink {
    fn acquire() {
        FRAME.with_borrow_mut(Frame::begin);
    }

    unsafe fn flush() {}

    unsafe fn release() {
        FRAME.with_borrow_mut(Frame::end);
    }

    unsafe fn write(bytes: &[u8]) {
        FRAME.with_borrow_mut(|frame| frame.add(bytes));
    }
}

/// Keeps a line that was written as text: its place and its text in one. `cargo xtask log` shows it
/// without the place of this statement.
pub(super) fn keep_line(level: Level, line: &str) {
    match level {
        Level::Off => {}
        Level::Error => defmt::error!("{=str}", line),
        Level::Warn => defmt::warn!("{=str}", line),
        Level::Info => defmt::info!("{=str}", line),
        Level::Debug => defmt::debug!("{=str}", line),
    }
}

/// An argument of a record, by reference. Which of the two traits takes it is found by the compiler:
/// the one for numbers is nearer.
pub struct Held<'a, T>(pub &'a T);

/// Takes what defmt knows as a number.
pub trait TakeNumber {
    /// Its type.
    type Number;
    /// As defmt takes it.
    fn argument(&self) -> Self::Number;
}

/// Takes the text of everything else.
pub trait TakeText {
    /// As defmt takes it.
    fn argument(&self) -> Shown<'_>;
}

macro_rules! numbers {
    ($($number:ty),+) => { $(
        impl TakeNumber for Held<'_, $number> {
            type Number = $number;
            fn argument(&self) -> $number { *self.0 }
        }
    )+ };
}

numbers!(u8, u16, u32, u64, usize, i8, i16, i32, i64, isize);

impl<T: fmt::Display> TakeText for &Held<'_, T> {
    fn argument(&self) -> Shown<'_> {
        Shown(self.0)
    }
}

/// What goes into a frame as a string of at most [`LOG_LINE_BYTES`], without control characters.
pub struct Shown<'a>(&'a dyn fmt::Display);

impl Format for Shown<'_> {
    fn format(&self, fmt: Formatter<'_>) {
        defmt::write!(fmt, "{=str}", Text::of(self.0).as_str());
    }

    // Hidden, and of this one version of defmt: without them a text would be a sequence of one
    // string, six bytes longer.
    fn _format_tag() -> Str {
        <str as Format>::_format_tag()
    }

    fn _format_data(&self) {
        Text::of(self.0).as_str()._format_data();
    }
}
