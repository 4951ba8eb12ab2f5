//! Messages in pieces: put together on their way up, cut on their way down.
//!
//! The text of a long message is base64 as a whole, and that is cut into parts. A set of parts lives in
//! one of `limits::CHUNK_SETS` buffers that are made at start and never again. Friend Core reserves what
//! the client's own numbers ask for and writes where they point; here parts may be of any size and come
//! in any order, and are kept in theirs: a part is moved in between those before and those behind it, so
//! that what counts is only whether all of them fit the buffer.

use core::time::Duration;

use data_encoding::BASE64;
use heapless::String;

use super::{ChunkError, Part};
use crate::friendcore::{CHUNK_AGE, CHUNK_PIECE_BYTES};
use crate::json::{Full, Writer};
use crate::limits;

/// Base64 characters undone at once.
const BLOCK_BYTES: usize = 1024;

/// Where a part led to.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Progress {
    /// More parts are needed.
    Waiting,
    /// That was the last one: the text is there, until [`Assembler::release`].
    Complete(SetId),
}

/// Names one set of parts. When the set is gone, the name names nothing, also when its buffer holds
/// another.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct SetId {
    index: usize,
    generation: u32,
}

/// All chunked messages under way, up and down.
///
/// `owner` is the caller's number for a connection; ids of different owners never meet.
#[derive(Debug)]
pub struct Assembler {
    sets: Box<[Set]>,
}

#[derive(Debug)]
struct Set {
    buffer: Box<[u8]>,
    generation: u32,
    owner: u32,
    state: State,
    /// What is known of the parts, while they come up.
    parts: Parts,
}

/// Bytes of one set with its buffer.
pub const SET_BYTES: usize = size_of::<Set>() + limits::CHUNK_BYTES;

#[derive(Clone, Copy, Debug)]
enum State {
    Free,
    /// Parts come up.
    Up,
    /// A text came up whole: its length.
    Complete(usize),
    /// Base64 goes down: its length.
    Down(usize),
}

#[derive(Debug, Default)]
struct Parts {
    id: String<{ limits::CHUNK_ID_BYTES }>,
    total: usize,
    /// Length of each part that is there. In the buffer they stand in order and without gaps.
    lengths: [Option<usize>; limits::CHUNK_PARTS],
    /// When the first part came.
    since: Duration,
}

impl Parts {
    fn bytes(&self) -> usize {
        self.lengths.iter().flatten().sum()
    }

    fn is_complete(&self) -> bool {
        self.lengths.iter().flatten().count() == self.total
    }
}

impl Default for Assembler {
    fn default() -> Self {
        Self::new()
    }
}

/// The text of a whole chunked message, out of its set.
#[derive(Debug)]
pub struct Taken {
    buffer: Box<[u8]>,
    length: usize,
}

impl Taken {
    /// The text, to be read in place.
    pub fn text(&mut self) -> &mut [u8] {
        self.buffer.get_mut(..self.length).unwrap_or_default()
    }
}

impl Assembler {
    /// Makes all buffers: `limits::CHUNK_SETS` times `limits::CHUNK_BYTES`.
    pub fn new() -> Self {
        let set = || Set {
            buffer: vec![0; limits::CHUNK_BYTES].into_boxed_slice(),
            generation: 0,
            owner: 0,
            state: State::Free,
            parts: Parts::default(),
        };
        Self { sets: (0..limits::CHUNK_SETS).map(|_| set()).collect() }
    }

    /// Takes one part of a message that comes up.
    ///
    /// # Errors
    /// Any [`ChunkError`]; the parts that were there of the same message are gone then.
    pub fn handle_part(&mut self, owner: u32, part: Part<'_>, now: Duration) -> Result<Progress, ChunkError> {
        self.handle_timeout(now);
        let known = self.sets.iter().position(|set| set.collects(owner, part.id));
        let index = match known {
            Some(index) => index,
            None => self.start(owner, part, now)?,
        };
        let set = self.sets.get_mut(index).ok_or(ChunkError::Busy)?;
        match set.add(part) {
            Ok(false) => Ok(Progress::Waiting),
            Ok(true) => Ok(Progress::Complete(SetId { index, generation: set.generation })),
            Err(error) => {
                set.free();
                Err(error)
            }
        }
    }

    /// The text that parts made, to be read in place. Empty when the set is gone or not complete.
    pub fn message(&mut self, id: SetId) -> &mut [u8] {
        let set = self.sets.get_mut(id.index).filter(|set| set.generation == id.generation);
        match set {
            Some(Set { state: State::Complete(length), buffer, .. }) => {
                buffer.get_mut(..*length).unwrap_or_default()
            }
            _ => &mut [],
        }
    }

    /// Takes the text that parts made out of its set, so that it can be read while others are used;
    /// [`give_back`](Self::give_back) returns it.
    pub fn take(&mut self, id: SetId) -> Taken {
        let length = self.message(id).len();
        let set = self.sets.get_mut(id.index).filter(|_| length > 0);
        Taken { buffer: set.map(|set| core::mem::take(&mut set.buffer)).unwrap_or_default(), length }
    }

    /// Puts back what [`take`](Self::take) took from this set.
    pub fn give_back(&mut self, id: SetId, taken: Taken) {
        if let Some(set) = self.sets.get_mut(id.index).filter(|set| set.buffer.is_empty()) {
            set.buffer = taken.buffer;
        }
    }

    /// Keeps `text` as base64, to be sent down in parts until [`release`](Self::release).
    ///
    /// # Errors
    /// [`ChunkError::TooLong`] when its base64 is longer than `limits::CHUNK_BYTES`, and
    /// [`ChunkError::Busy`] when all sets are in use.
    pub fn lease_down(&mut self, owner: u32, text: &[u8], now: Duration) -> Result<SetId, ChunkError> {
        self.handle_timeout(now);
        // Guards the arithmetic of the encoder too.
        if text.len() > limits::CHUNK_BYTES {
            return Err(ChunkError::TooLong);
        }
        let length = BASE64.encode_len(text.len());
        let index = self.take_free().ok_or(ChunkError::Busy)?;
        let set = self.sets.get_mut(index).ok_or(ChunkError::Busy)?;
        let place = set.buffer.get_mut(..length).ok_or(ChunkError::TooLong)?;
        BASE64.encode_mut(text, place);
        set.owner = owner;
        set.state = State::Down(length);
        Ok(SetId { index, generation: set.generation })
    }

    /// How many parts the text of [`lease_down`](Self::lease_down) makes; none when the set is gone.
    ///
    /// Friend Core counts one more when the last part is full, and sends it empty. Its client joins by
    /// number and so cannot tell; here no empty part is sent.
    pub fn parts(&self, id: SetId) -> usize {
        self.down(id).map_or(0, |text| text.len().div_ceil(CHUNK_PIECE_BYTES))
    }

    /// Writes the message that carries part `part`, from zero, of [`parts`](Self::parts). A part that
    /// there is not writes nothing.
    ///
    /// # Errors
    /// [`Full`] when it does not fit; `CHUNK_PIECE_BYTES` and `CHUNK_ENVELOPE_BYTES`
    /// together always do.
    pub fn write_part(&self, id: SetId, part: usize, out: &mut Writer<'_>) -> Result<(), Full> {
        let mut pieces = self.down(id).unwrap_or_default().chunks(CHUNK_PIECE_BYTES);
        let total = pieces.len();
        let Some(piece) = pieces.nth(part).and_then(|piece| core::str::from_utf8(piece).ok()) else {
            return Ok(());
        };
        // Any id will do that no two replies on one connection share; Friend Core prints an address.
        out.put_display(format_args!(
            r#"{{"type":"con","data":{{"type":"chunk","data":{{"id":"0x{:x}{:02x}","total":"{}","part":"{}","data":""#,
            id.generation, id.index, total, part
        ))?;
        // Base64 holds nothing that JSON would have escaped.
        out.put(piece)?;
        out.put(r#""}}}"#)
    }

    /// Frees a set that was read, or sent. A set that is gone already stays so.
    pub fn release(&mut self, id: SetId) {
        let set = self.sets.get_mut(id.index).filter(|set| set.generation == id.generation);
        if let Some(set) = set {
            set.free();
        }
    }

    /// Frees all that belongs to a connection that is gone.
    pub fn drop_owner(&mut self, owner: u32) {
        for set in self.sets.iter_mut().filter(|set| set.owner == owner) {
            set.free();
        }
    }

    /// When [`handle_timeout`](Self::handle_timeout) has something to do.
    pub fn poll_timeout(&self) -> Option<Duration> {
        self.sets.iter().filter_map(Set::deadline).min()
    }

    /// Frees the sets whose first part has waited for the last as long as `CHUNK_AGE`.
    pub fn handle_timeout(&mut self, now: Duration) {
        for set in &mut self.sets {
            if set.deadline().is_some_and(|deadline| deadline <= now) {
                set.free();
            }
        }
    }

    /// Begins a set for a first part that has nothing wrong with itself.
    fn start(&mut self, owner: u32, part: Part<'_>, now: Duration) -> Result<usize, ChunkError> {
        let total = usize::try_from(part.total).map_err(|_| ChunkError::Total)?;
        if total == 0 || total > limits::CHUNK_PARTS {
            return Err(ChunkError::Total);
        }
        let id = String::try_from(part.id).map_err(|_| ChunkError::Id)?;
        if id.is_empty() {
            return Err(ChunkError::Id);
        }
        let index = self.take_free().ok_or(ChunkError::Busy)?;
        let set = self.sets.get_mut(index).ok_or(ChunkError::Busy)?;
        set.owner = owner;
        set.state = State::Up;
        set.parts = Parts { id, total, lengths: [None; limits::CHUNK_PARTS], since: now };
        Ok(index)
    }

    fn take_free(&self) -> Option<usize> {
        self.sets.iter().position(|set| matches!(set.state, State::Free))
    }

    fn down(&self, id: SetId) -> Option<&[u8]> {
        let set = self.sets.get(id.index).filter(|set| set.generation == id.generation)?;
        match set.state {
            State::Down(length) => set.buffer.get(..length),
            _ => None,
        }
    }
}

impl Set {
    fn collects(&self, owner: u32, id: &str) -> bool {
        self.owner == owner && matches!(self.state, State::Up) && self.parts.id == id
    }

    fn deadline(&self) -> Option<Duration> {
        matches!(self.state, State::Up).then_some(self.parts.since + CHUNK_AGE)
    }

    fn free(&mut self) {
        self.generation = self.generation.wrapping_add(1);
        self.state = State::Free;
    }

    /// Puts a part in its place, and says whether the text is whole now.
    fn add(&mut self, part: Part<'_>) -> Result<bool, ChunkError> {
        let parts = &mut self.parts;
        if usize::try_from(part.total) != Ok(parts.total) {
            return Err(ChunkError::Inconsistent);
        }
        let number = usize::try_from(part.part).map_err(|_| ChunkError::Part)?;
        if number >= parts.total {
            return Err(ChunkError::Part);
        }
        let used = parts.bytes();
        let place: usize = parts.lengths.iter().take(number).flatten().sum();
        let length = parts.lengths.get_mut(number).ok_or(ChunkError::Part)?;
        if length.is_some() {
            return Err(ChunkError::Duplicate);
        }
        let data = part.data.as_bytes();
        let end = used.checked_add(data.len()).ok_or(ChunkError::TooLong)?;
        let text = self.buffer.get_mut(..end).ok_or(ChunkError::TooLong)?;
        text.copy_within(place..used, place + data.len());
        text.get_mut(place..place + data.len()).ok_or(ChunkError::TooLong)?.copy_from_slice(data);
        *length = Some(data.len());

        if !parts.is_complete() {
            return Ok(false);
        }
        let length = decode_base64(text).ok_or(ChunkError::Base64)?;
        self.state = State::Complete(length);
        Ok(true)
    }
}

/// Undoes base64 in its own place and gives the length of what it stood for. Forgives nothing: no white
/// space, no other alphabet, no missing or early padding.
fn decode_base64(text: &mut [u8]) -> Option<usize> {
    // The decoder takes several padded texts in a row for one; a message is one.
    let body = text.get(..text.len().saturating_sub(2))?;
    if body.contains(&b'=') || !text.len().is_multiple_of(4) {
        return None;
    }
    let mut written = 0;
    let mut read = 0;
    let mut block = [0; BLOCK_BYTES];
    while read < text.len() {
        let length = (text.len() - read).min(BLOCK_BYTES);
        let block = block.get_mut(..length)?;
        block.copy_from_slice(text.get(read..read + length)?);
        // At most three bytes for each four read, so the writing never overtakes the reading.
        let room = BASE64.decode_len(length).ok()?;
        written += BASE64.decode_mut(block, text.get_mut(written..written + room)?).ok()?;
        read += length;
    }
    Some(written)
}

#[cfg(test)]
mod tests;
