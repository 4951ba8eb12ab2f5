//! Boot state: one sector with the active slot and its remaining tries.
//!
//! | bytes | content |
//! |---|---|
//! | 0..4 | `FLB1`; anything else: no boot state on this disk |
//! | 4 | active slot: `A` or `B` |
//! | 5 | tries left, 0 to 15; 255: confirmed |
//! | 6..512 | zero |
//!
//! The boot loader counts the tries down; init confirms a slot whose server is ready. A disk writes
//! a sector atomically, so a power cut leaves the old state or the new one.

use core::fmt;

use super::command_line::Slot;
use crate::sys::machine::SECTOR_BYTES;

/// Sector number, in the gap before the first partition.
pub(super) const SECTOR: u64 = 64;
const MAGIC: &[u8] = b"FLB1";
const SLOT: usize = 4;
const TRIES: usize = 5;
const MAX_TRIES: u8 = 15;
const CONFIRMED: u8 = 0xff;

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

/// Confirms `slot`, which runs. Returns false if it is confirmed already, and the sector unchanged.
pub(super) fn confirm(sector: &mut Sector, slot: Slot) -> Result<bool, BootStateError> {
    let is_new = slot_state(sector, slot)? != SlotState::Confirmed;
    sector[TRIES] = CONFIRMED;
    Ok(is_new)
}

/// Sets the tries of `slot` to 0, because its root cannot be entered. Returns false if it is not
/// confirmed, and the sector unchanged.
pub(super) fn revoke(sector: &mut Sector, slot: Slot) -> bool {
    let was_confirmed = slot_state(sector, slot) == Ok(SlotState::Confirmed);
    if was_confirmed {
        sector[TRIES] = 0;
    }
    was_confirmed
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
    fn confirmation_changes_one_byte_at_most() {
        let mut state = sector(b"FLB1B\x02");
        assert_eq!(confirm(&mut state, Slot::B), Ok(true));
        assert_eq!(state, sector(b"FLB1B\xff"));
        assert_eq!(confirm(&mut state, Slot::B), Ok(false));
        assert_eq!(state, sector(b"FLB1B\xff"));
        for start in [&b"FLB1B\x02"[..], b"FLB2A\x02", b""] {
            let mut state = sector(start);
            assert!(confirm(&mut state, Slot::A).is_err());
            assert_eq!(state, sector(start));
        }
    }

    #[test]
    fn revocation_changes_the_tries_of_a_confirmed_slot_only() {
        let mut state = sector(b"FLB1B\xff");
        assert!(revoke(&mut state, Slot::B));
        assert_eq!(state, sector(b"FLB1B\x00"));
        for start in [&b"FLB1B\x02"[..], b"FLB1A\xff", b"FLB1B\x00", b"FLB2B\xff", b""] {
            let mut state = sector(start);
            assert!(!revoke(&mut state, Slot::B));
            assert_eq!(state, sector(start));
        }
    }
}
