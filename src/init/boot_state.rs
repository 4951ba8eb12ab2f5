//! Boot state: one sector with the active slot, its remaining tries, and what became of earlier tests.
//!
//! | bytes | content |
//! |---|---|
//! | 0..4 | `FLB1`; anything else: no boot state on this disk |
//! | 4 | active slot: `A` or `B` |
//! | 5 | tries left, 0 to 15; 255: confirmed |
//! | 6 | slots given up since the last confirmation: 1 is A, 2 is B, 3 both |
//! | 7 | slots marked good: the same |
//! | 8 | slot that failed last, `A` or `B`; 0: none |
//! | 9..137 | reason of that, UTF-8, filled up with zeros |
//! | 137..512 | zero |
//!
//! The boot loader counts the tries down and keeps the other bytes; init confirms a slot. Earlier versions have zeros
//! from byte 6 on, and keep them, too. A disk writes a sector atomically, so a power cut leaves the old state or the new
//! one.

use core::fmt;

use super::command_line::Slot;
use super::supervisor::SlotTest;
use crate::config::REASON_BYTES;
use crate::sys::machine::SECTOR_BYTES;

/// Sector number, in the gap before the first partition.
pub(super) const SECTOR: u64 = 64;
const MAGIC: &[u8] = b"FLB1";
const SLOT: usize = 4;
const TRIES: usize = 5;
const GIVEN_UP: usize = 6;
const GOOD: usize = 7;
const FAILED: usize = 8;
const REASON: usize = 9;
const MAX_TRIES: u8 = 15;
const BOTH: u8 = 3;
const CONFIRMED: u8 = 0xff;
/// Reason of a last try whose end init could not record.
const NO_END: &str = "its last try ended in a reset";

/// Sector of a disk.
pub(super) type Sector = [u8; SECTOR_BYTES];

/// State of the running slot.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum SlotState {
    /// Its server has been ready before.
    Confirmed,
    /// Not confirmed, with the number of tries left after this one.
    Testing(u8),
}

/// Reason for a sector without the state of the running slot.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum BootStateError {
    /// No boot state on this disk.
    NoMagic,
    /// Invalid slot or number of tries.
    Damaged,
    /// State of the other slot.
    OtherSlot,
}

impl fmt::Display for BootStateError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NoMagic => "no boot state on this disk",
            Self::Damaged => "invalid slot or number of tries",
            Self::OtherSlot => "the other slot is active; this one was started by hand",
        })
    }
}

/// State of `slot`, which runs.
pub(super) fn slot_state(sector: &Sector, slot: Slot) -> Result<SlotState, BootStateError> {
    if !sector.starts_with(MAGIC) {
        return Err(BootStateError::NoMagic);
    }
    let active = Slot::from_letter(sector[SLOT]).ok_or(BootStateError::Damaged)?;
    match sector[TRIES] {
        _ if active != slot => Err(BootStateError::OtherSlot),
        CONFIRMED => Ok(SlotState::Confirmed),
        tries if tries <= MAX_TRIES => Ok(SlotState::Testing(tries)),
        _ => Err(BootStateError::Damaged),
    }
}

/// Bit of a slot in bytes 6 and 7.
fn bit(slot: Slot) -> u8 {
    match slot {
        Slot::A => 1,
        Slot::B => 2,
    }
}

/// Begins a boot of `slot`, and returns its test.
///
/// A slot in test has to be marked good, unless a slot was given up since the last confirmation: then it is enough
/// that it serves, for no slot is known that does better. Once both were given up, the last try stays. A last try is
/// recorded as failed until it has ended otherwise.
pub(super) fn begin(sector: &mut Sector, slot: Slot) -> Result<SlotTest, BootStateError> {
    let tries = match slot_state(sector, slot)? {
        SlotState::Testing(tries) => tries,
        SlotState::Confirmed if is_good(sector, slot.other()) => return Ok(SlotTest::GoesBack),
        SlotState::Confirmed => return Ok(SlotTest::Over),
    };
    let test = match sector[GIVEN_UP] {
        0 => SlotTest::Good,
        BOTH if tries == 0 => SlotTest::Stays,
        _ => SlotTest::Serves,
    };
    // It was another system, which an update has replaced.
    sector[GOOD] &= if test == SlotTest::Good { !bit(slot) } else { u8::MAX };
    if tries == 0 {
        give_up(sector, slot, NO_END);
    }
    Ok(test)
}

/// Confirms `slot`, which runs. With `is_good` it is marked good, too. Returns false if nothing changes.
pub(super) fn confirm(sector: &mut Sector, slot: Slot, is_good: bool) -> Result<bool, BootStateError> {
    let is_new = slot_state(sector, slot)? != SlotState::Confirmed;
    if is_new {
        sector[TRIES] = CONFIRMED;
        sector[GIVEN_UP] = 0;
        if sector[FAILED] == slot.letter() {
            sector[FAILED..].fill(0);
        }
    }
    let good = sector[GOOD] | if is_good { bit(slot) } else { 0 };
    Ok(core::mem::replace(&mut sector[GOOD], good) != good || is_new)
}

/// Records that `slot` has failed. After its last try, or if it was confirmed, the boot loader starts the other one.
/// Returns false for a slot without a state, and the sector unchanged.
pub(super) fn give_up(sector: &mut Sector, slot: Slot, reason: &str) -> bool {
    match slot_state(sector, slot) {
        Err(_) => return false,
        Ok(SlotState::Testing(1..)) => {}
        Ok(SlotState::Testing(0) | SlotState::Confirmed) => {
            sector[TRIES] = 0;
            sector[GIVEN_UP] |= bit(slot);
            sector[GOOD] &= !bit(slot);
        }
    }
    sector[FAILED..].fill(0);
    sector[FAILED] = slot.letter();
    for (to, from) in sector[REASON..].iter_mut().zip(reason.bytes().take(REASON_BYTES)) {
        *to = from;
    }
    true
}

/// Returns true if the system of `slot` was marked good.
pub(super) fn is_good(sector: &Sector, slot: Slot) -> bool {
    sector[GOOD] & bit(slot) != 0
}

/// Reason of the failure of the other slot, if it is the last one that failed.
pub(super) fn failure_of_other(sector: &Sector, slot: Slot) -> Option<&str> {
    let other = slot.other();
    let reason = sector.get(REASON..REASON + REASON_BYTES).filter(|_| sector[FAILED] == other.letter())?;
    let reason = reason.split(|byte| *byte == 0).next()?;
    // A character may have been cut.
    let valid = reason.utf8_chunks().next().map_or("", |chunk| chunk.valid());
    sector.starts_with(MAGIC).then_some(valid)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sector(start: &[u8]) -> Sector {
        let mut sector = [0; SECTOR_BYTES];
        sector[..start.len()].copy_from_slice(start);
        sector
    }

    #[test]
    fn state_of_the_running_slot() {
        for (start, slot, expected) in [
            (&b"FLB1A\xff"[..], Slot::A, Ok(SlotState::Confirmed)),
            (b"FLB1B\xff", Slot::B, Ok(SlotState::Confirmed)),
            (b"FLB1B\x02", Slot::B, Ok(SlotState::Testing(2))),
            (b"FLB1A\x00", Slot::A, Ok(SlotState::Testing(0))),
            (b"FLB1A\x0f", Slot::A, Ok(SlotState::Testing(15))),
            (b"FLB1A\x10", Slot::A, Err(BootStateError::Damaged)),
            (b"FLB1C\x02", Slot::A, Err(BootStateError::Damaged)),
            (b"FLB1\x00\x00", Slot::A, Err(BootStateError::Damaged)),
            (b"FLB1B\x02", Slot::A, Err(BootStateError::OtherSlot)),
            (b"FLB2A\xff", Slot::A, Err(BootStateError::NoMagic)),
            (b"", Slot::A, Err(BootStateError::NoMagic)),
        ] {
            assert_eq!(slot_state(&sector(start), slot), expected, "{start:?}");
        }
    }

    #[test]
    fn test_of_a_slot_follows_from_its_state() {
        for (start, test, then) in [
            // The one of an earlier version, or of a new image.
            (&b"FLB1A\xff"[..], SlotTest::Over, &b"FLB1A\xff"[..]),
            (b"FLB1A\x02", SlotTest::Good, b"FLB1A\x02"),
            // An update of A: the old one was good.
            (b"FLB1A\x02\x00\x03", SlotTest::Good, b"FLB1A\x02\x00\x02"),
            (b"FLB1A\x00\x00\x03", SlotTest::Good, b"FLB1A\x00\x01\x02Aits last try ended in a reset"),
            // B was given up, or A was.
            (b"FLB1A\x02\x02\x01B", SlotTest::Serves, b"FLB1A\x02\x02\x01B"),
            (b"FLB1A\x02\x01\x00A", SlotTest::Serves, b"FLB1A\x02\x01\x00A"),
            // A is back, because B does not serve either.
            (b"FLB1A\x00\x03\x00B", SlotTest::Stays, b"FLB1A\x00\x03\x00Aits last try ended in a reset"),
            (b"FLB1A\xff\x00\x03", SlotTest::GoesBack, b"FLB1A\xff\x00\x03"),
            (b"FLB1A\xff\x00\x01", SlotTest::Over, b"FLB1A\xff\x00\x01"),
        ] {
            let mut state = sector(start);
            assert_eq!(begin(&mut state, Slot::A), Ok(test), "{start:?}");
            assert_eq!(state, sector(then), "{start:?}");
        }
        for start in [&b"FLB1B\x00"[..], b"FLB2A\x00", b""] {
            let mut state = sector(start);
            assert!(begin(&mut state, Slot::A).is_err());
            assert_eq!(state, sector(start));
        }
    }

    #[test]
    fn confirmation_is_written_once() {
        for (start, is_good, then) in [
            (&b"FLB1B\x02"[..], false, &b"FLB1B\xff"[..]),
            (b"FLB1B\x02", true, b"FLB1B\xff\x00\x02"),
            (b"FLB1B\x02\x02\x01Bwhy", true, b"FLB1B\xff\x00\x03"),
            // The other one's failure is still shown.
            (b"FLB1B\x02\x01\x00Awhy", false, b"FLB1B\xff\x00\x00Awhy"),
            (b"FLB1B\xff\x00\x01Awhy", true, b"FLB1B\xff\x00\x03Awhy"),
        ] {
            let mut state = sector(start);
            assert_eq!(confirm(&mut state, Slot::B, is_good), Ok(true), "{start:?}");
            assert_eq!(state, sector(then), "{start:?}");
            assert_eq!(confirm(&mut state, Slot::B, is_good), Ok(false));
            assert_eq!(confirm(&mut state, Slot::B, false), Ok(false));
            assert_eq!(state, sector(then), "{start:?}");
        }
        for start in [&b"FLB1B\x02"[..], b"FLB2A\x02", b""] {
            let mut state = sector(start);
            assert!(confirm(&mut state, Slot::A, true).is_err());
            assert_eq!(state, sector(start));
        }
    }

    #[test]
    fn slot_is_given_up_after_its_last_try_or_once_confirmed() {
        for (start, then) in [
            (&b"FLB1B\x01"[..], &b"FLB1B\x01\x00\x00Bwhy"[..]),
            (b"FLB1B\x00", b"FLB1B\x00\x02\x00Bwhy"),
            (b"FLB1B\x00\x01\x02Alonger", b"FLB1B\x00\x03\x00Bwhy"),
            (b"FLB1B\xff\x00\x03", b"FLB1B\x00\x02\x01Bwhy"),
        ] {
            let mut state = sector(start);
            assert!(give_up(&mut state, Slot::B, "why"));
            assert_eq!(state, sector(then), "{start:?}");
            assert_eq!(failure_of_other(&state, Slot::A), Some("why"));
            assert_eq!(failure_of_other(&state, Slot::B), None);
        }
        for start in [&b"FLB1A\xff"[..], b"FLB2B\xff", b""] {
            let mut state = sector(start);
            assert!(!give_up(&mut state, Slot::B, "why"));
            assert_eq!(state, sector(start));
            assert_eq!(failure_of_other(&state, Slot::A), None);
        }
    }

    #[test]
    fn reason_is_cut_at_its_limit() {
        let longest = "x".repeat(REASON_BYTES);
        let reason_of = |reason: &str| {
            let mut state = sector(b"FLB1B\x00");
            assert!(give_up(&mut state, Slot::B, reason));
            assert_eq!(state[REASON + REASON_BYTES..], [0; SECTOR_BYTES - REASON - REASON_BYTES]);
            failure_of_other(&state, Slot::A).unwrap().to_owned()
        };
        assert_eq!(reason_of(&longest), longest);
        assert_eq!(reason_of(&(longest.clone() + "y")), longest);
        // In a character.
        assert_eq!(reason_of(&(longest[1..].to_owned() + "\u{e4}")), longest[1..]);
    }
}
