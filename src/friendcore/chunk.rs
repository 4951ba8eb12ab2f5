//! Chunked messages: assembled when received, split when sent.
//!
//! The text of a long message is encoded as base64 as a whole, and then split into parts. The parts of one
//! message share one of `limits::CHUNK_SETS` buffers, which are allocated at the start. Friend Core
//! allocates by the numbers that the client sends, and writes where they point. Here parts may have any
//! size and arrive in any order. A part is inserted between the parts before and after it, so only the sum
//! of their sizes is limited.

use core::time::Duration;

use base64::prelude::{BASE64_STANDARD as BASE64, Engine as _};
use heapless::String;

use super::{CHUNK_AGE, CHUNK_PIECE_BYTES, ChunkError, Part, SHARED_CHUNK_SETS};
use crate::json::{Full, Writer};
use crate::session::UserId;
use crate::{internal_error, limits};

/// Base64 characters decoded at once, in groups of four.
const BLOCK_BYTES: usize = 1024;

/// State of a message after one of its parts.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Progress {
    /// More parts are needed.
    Waiting,
    /// All parts arrived. The set holds the text until [`Assembler::release`].
    Complete(SetId),
}

/// Id of one set of parts. It becomes invalid when the set is freed, even if its buffer is reused.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct SetId {
    index: usize,
    generation: u32,
}

/// Owner of a set.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Owner {
    /// The caller's number for the connection. Ids of different connections never meet.
    pub connection: u32,
    /// Its user; `None` before a valid session.
    pub user: Option<UserId>,
    /// An administrator, who has any free set. Others have a share.
    pub is_admin: bool,
}

/// All chunked messages in progress, in both directions.
#[derive(Debug)]
pub struct Assembler {
    sets: Box<[Set]>,
}

#[derive(Debug)]
struct Set {
    buffer: Box<[u8]>,
    generation: u32,
    owner: Owner,
    state: State,
    /// Received parts.
    parts: Parts,
}

/// Bytes of one set with its buffer.
pub const SET_BYTES: usize = size_of::<Set>() + limits::CHUNK_BYTES;

#[derive(Clone, Copy, Debug)]
enum State {
    Free,
    /// Parts are received.
    Up,
    /// The text is complete; its length.
    Complete(usize),
    /// Base64 is sent; its length.
    Down(usize),
}

#[derive(Debug, Default)]
struct Parts {
    id: String<{ limits::CHUNK_ID_BYTES }>,
    total: usize,
    /// Length of each received part. The buffer holds them in order and without gaps.
    lengths: [Option<usize>; limits::CHUNK_PARTS],
    /// Time of the first part.
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

/// Text of a complete message, taken out of its set.
#[derive(Debug)]
pub struct Taken {
    buffer: Box<[u8]>,
    length: usize,
}

impl Taken {
    /// Returns the text for decoding in place.
    pub fn text(&mut self) -> &mut [u8] {
        // `Assembler::take` made the length of this buffer.
        self.buffer.get_mut(..self.length).unwrap_or_default()
    }
}

impl Assembler {
    /// Allocates all buffers: `limits::CHUNK_SETS` times `limits::CHUNK_BYTES`.
    pub fn new() -> Self {
        let set = || Set {
            buffer: vec![0; limits::CHUNK_BYTES].into_boxed_slice(),
            generation: 0,
            owner: Owner::default(),
            state: State::Free,
            parts: Parts::default(),
        };
        Self { sets: (0..limits::CHUNK_SETS).map(|_| set()).collect() }
    }

    /// Adds one received part.
    ///
    /// # Errors
    /// Any [`ChunkError`]. It drops all parts of the message.
    pub fn handle_part(
        &mut self,
        owner: Owner,
        part: Part<'_>,
        now: Duration,
    ) -> Result<Progress, ChunkError> {
        self.handle_timeout(now);
        let known = self.sets.iter().position(|set| set.collects(owner.connection, part.id));
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

    /// Text of a complete message, to be decoded in place. Empty when the set is gone or not complete.
    pub fn message(&mut self, id: SetId) -> &mut [u8] {
        let set = self.sets.get_mut(id.index).filter(|set| set.generation == id.generation);
        match set {
            Some(Set { state: State::Complete(length), buffer, .. }) => {
                buffer.get_mut(..*length).unwrap_or_else(|| {
                    internal_error!("a chunked message is longer than its buffer");
                    &mut []
                })
            }
            _ => &mut [],
        }
    }

    /// Takes the text of a complete message out of its set, so that other sets can be used while it is
    /// decoded. [`put_back`](Self::put_back) returns the buffer.
    pub fn take(&mut self, id: SetId) -> Taken {
        let length = self.message(id).len();
        let set = self.sets.get_mut(id.index).filter(|_| length > 0);
        Taken { buffer: set.map(|set| core::mem::take(&mut set.buffer)).unwrap_or_default(), length }
    }

    /// Puts the buffer of [`take`](Self::take) back into its set.
    pub fn put_back(&mut self, id: SetId, taken: Taken) {
        if let Some(set) = self.sets.get_mut(id.index).filter(|set| set.buffer.is_empty()) {
            set.buffer = taken.buffer;
        }
    }

    /// Stores `text` as base64 in a free set, to be sent in parts. [`release`](Self::release) frees the set.
    ///
    /// # Errors
    /// [`ChunkError::TooLong`] if the base64 is longer than `limits::CHUNK_BYTES`, and
    /// [`ChunkError::Busy`] if no set is free for the owner.
    pub fn lease_down(&mut self, owner: Owner, text: &[u8], now: Duration) -> Result<SetId, ChunkError> {
        self.handle_timeout(now);
        // Guards the arithmetic of the encoder too.
        if text.len() > limits::CHUNK_BYTES {
            return Err(ChunkError::TooLong);
        }
        let length = base64::encoded_len(text.len(), true).ok_or(ChunkError::TooLong)?;
        let index = self.free_for(owner).ok_or(ChunkError::Busy)?;
        let set = self.sets.get_mut(index).ok_or(ChunkError::Busy)?;
        let place = set.buffer.get_mut(..length).ok_or(ChunkError::TooLong)?;
        BASE64.encode_slice(text, place).map_err(|_| ChunkError::TooLong)?;
        set.owner = owner;
        set.state = State::Down(length);
        Ok(SetId { index, generation: set.generation })
    }

    /// Number of parts of a text from [`lease_down`](Self::lease_down); 0 when the set is gone.
    ///
    /// Friend Core counts one more when the last part is full, and sends it empty. Its client joins the parts
    /// by number, so the empty part is left out here.
    pub fn parts(&self, id: SetId) -> usize {
        self.down(id).map_or(0, |text| text.len().div_ceil(CHUNK_PIECE_BYTES))
    }

    /// Writes the message with part `part`, from zero, of [`parts`](Self::parts). Beyond the last part it
    /// writes nothing.
    ///
    /// # Errors
    /// [`Full`] if the message does not fit. `CHUNK_PIECE_BYTES` and `CHUNK_ENVELOPE_BYTES` are enough
    /// together.
    pub fn write_part(&self, id: SetId, part: usize, out: &mut Writer<'_>) -> Result<(), Full> {
        let mut pieces = self.down(id).unwrap_or_default().chunks(CHUNK_PIECE_BYTES);
        let total = pieces.len();
        let Some(piece) = pieces.nth(part).and_then(|piece| core::str::from_utf8(piece).ok()) else {
            return Ok(());
        };
        // The id only has to differ between the replies of one connection. Friend Core prints an address.
        out.put_display(format_args!(
            r#"{{"type":"con","data":{{"type":"chunk","data":{{"id":"0x{:x}{:02x}","total":"{}","part":"{}","data":""#,
            id.generation, id.index, total, part
        ))?;
        // Base64 holds nothing that JSON would have escaped.
        out.put(piece)?;
        out.put(r#""}}}"#)
    }

    /// Frees a set after its text was used or sent. Does nothing if it is free already.
    pub fn release(&mut self, id: SetId) {
        let set = self.sets.get_mut(id.index).filter(|set| set.generation == id.generation);
        if let Some(set) = set {
            set.free();
        }
    }

    /// Frees all sets of a connection that is gone.
    pub fn drop_owner(&mut self, connection: u32) {
        for set in self.sets.iter_mut().filter(|set| set.owner.connection == connection) {
            set.free();
        }
    }

    /// Earliest deadline, for [`handle_timeout`](Self::handle_timeout).
    pub fn poll_timeout(&self) -> Option<Duration> {
        self.sets.iter().filter_map(Set::deadline).min()
    }

    /// Frees the sets that were not complete within `CHUNK_AGE` of their first part.
    pub fn handle_timeout(&mut self, now: Duration) {
        for set in &mut self.sets {
            if set.deadline().is_some_and(|deadline| deadline <= now) {
                set.free();
            }
        }
    }

    /// Starts a set with a valid first part.
    fn start(&mut self, owner: Owner, part: Part<'_>, now: Duration) -> Result<usize, ChunkError> {
        let total = usize::try_from(part.total).map_err(|_| ChunkError::Total)?;
        if total == 0 || total > limits::CHUNK_PARTS {
            return Err(ChunkError::Total);
        }
        let id = String::try_from(part.id).map_err(|_| ChunkError::Id)?;
        if id.is_empty() {
            return Err(ChunkError::Id);
        }
        let index = self.free_for(owner).ok_or(ChunkError::Busy)?;
        let set = self.sets.get_mut(index).ok_or(ChunkError::Busy)?;
        set.owner = owner;
        set.state = State::Up;
        set.parts = Parts { id, total, lengths: [None; limits::CHUNK_PARTS], since: now };
        Ok(index)
    }

    /// Index of a free set. A user who is not an administrator has at most as many of [`SHARED_CHUNK_SETS`] as are free. A
    /// set that is being read is not counted: the answer may need one.
    fn free_for(&self, owner: Owner) -> Option<usize> {
        let used = self.sets.iter().filter(|set| matches!(set.state, State::Up | State::Down(_)));
        let sum: usize = used.map(|set| 1 + usize::from(set.owner.user == owner.user)).sum();
        if sum >= SHARED_CHUNK_SETS && !owner.is_admin {
            return None;
        }
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
    fn collects(&self, connection: u32, id: &str) -> bool {
        self.owner.connection == connection && matches!(self.state, State::Up) && self.parts.id == id
    }

    fn deadline(&self) -> Option<Duration> {
        matches!(self.state, State::Up).then_some(self.parts.since + CHUNK_AGE)
    }

    fn free(&mut self) {
        self.generation = self.generation.wrapping_add(1);
        self.state = State::Free;
    }

    /// Inserts a part. Returns true if the message is complete.
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

/// Decodes base64 in place and returns the length of the result. The decoder is strict: it rejects white
/// space, other alphabets, missing or early padding, and bits beyond the last byte.
fn decode_base64(text: &mut [u8]) -> Option<usize> {
    let (mut read, mut written) = (0, 0);
    let mut block = [0; BLOCK_BYTES];
    while read < text.len() {
        let length = (text.len() - read).min(BLOCK_BYTES);
        let block = block.get_mut(..length)?;
        block.copy_from_slice(text.get(read..read + length)?);
        // A padded block is the last one.
        if written < read / 4 * 3 {
            return None;
        }
        // At most three bytes for each four read, so the writing never overtakes the reading.
        written += BASE64.decode_slice(block, text.get_mut(written..read + length)?).ok()?;
        read += length;
    }
    Some(written)
}

#[cfg(test)]
mod tests;
