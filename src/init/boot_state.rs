//! The boot state: one sector that says which slot is in force and how often it may still be tried.
//!
//! | bytes | what |
//! |---|---|
//! | 0..4 | `FLB1`; anything else: this disk has no boot state |
//! | 4 | slot in force: `A` or `B` |
//! | 5 | tries left, 0 to 15; 255: the slot is good |
//! | 6..512 | zero |
//!
//! The boot loader counts the tries down; whoever served marks the slot good. One sector is written
//! as a whole or not at all, so a power cut leaves the old state or the new one.

use core::fmt;

use super::command_line::Slot;
use crate::sys::machine::SECTOR_BYTES;

/// The sector's number: in the gap before the first partition.
pub(super) const SECTOR: u64 = 64;
const MAGIC: &[u8] = b"FLB1";
const SLOT: usize = 4;
const TRIES: usize = 5;
const MOST_TRIES: u8 = 15;
const GOOD: u8 = 0xff;

/// A sector of a disk.
pub(super) type Sector = [u8; SECTOR_BYTES];

/// How far the slot that runs is.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Standing {
    /// It has served before.
    Good,
    /// It has still to show that it serves; so many tries are left after this one.
    OnTrial(u8),
}

/// Why a sector says nothing of the slot that runs.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum BootStateError {
    /// There is no boot state on this disk.
    NoMagic,
    /// Its slot or its tries are none.
    Damaged,
    /// It speaks of the other slot.
    OtherSlot,
}

impl fmt::Display for BootStateError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NoMagic => "this disk has none",
            Self::Damaged => "it is damaged",
            Self::OtherSlot => "the other slot is in force, so somebody chose this one by hand",
        })
    }
}

/// How far `slot`, which runs, is.
pub(super) fn standing(sector: &Sector, slot: Slot) -> Result<Standing, BootStateError> {
    if !sector.starts_with(MAGIC) {
        return Err(BootStateError::NoMagic);
    }
    let in_force = Slot::from_letter(sector[SLOT]).ok_or(BootStateError::Damaged)?;
    match sector[TRIES] {
        _ if in_force != slot => Err(BootStateError::OtherSlot),
        GOOD => Ok(Standing::Good),
        tries if tries <= MOST_TRIES => Ok(Standing::OnTrial(tries)),
        _ => Err(BootStateError::Damaged),
    }
}

/// Marks `slot`, which runs, good. `false`: it is already, and nothing needs to be written.
pub(super) fn mark_good(sector: &mut Sector, slot: Slot) -> Result<bool, BootStateError> {
    let is_new = standing(sector, slot)? != Standing::Good;
    sector[TRIES] = GOOD;
    Ok(is_new)
}

/// Takes from `slot`, which cannot be entered, that it is good: it has no tries then. `false`: nothing
/// needs to be written, for it was not, or the boot state is not of it.
pub(super) fn give_up(sector: &mut Sector, slot: Slot) -> bool {
    let was_good = standing(sector, slot) == Ok(Standing::Good);
    if was_good {
        sector[TRIES] = 0;
    }
    was_good
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
    fn standing_of_the_slot_that_runs() {
        for (start, slot, expected) in [
            (&b"FLB1A\xff"[..], Slot::A, Ok(Standing::Good)),
            (b"FLB1B\xff", Slot::B, Ok(Standing::Good)),
            (b"FLB1B\x02", Slot::B, Ok(Standing::OnTrial(2))),
            (b"FLB1A\x00", Slot::A, Ok(Standing::OnTrial(0))),
            (b"FLB1A\x0f", Slot::A, Ok(Standing::OnTrial(15))),
            (b"FLB1A\x10", Slot::A, Err(BootStateError::Damaged)),
            (b"FLB1C\x02", Slot::A, Err(BootStateError::Damaged)),
            (b"FLB1\x00\x00", Slot::A, Err(BootStateError::Damaged)),
            (b"FLB1B\x02", Slot::A, Err(BootStateError::OtherSlot)),
            (b"FLB2A\xff", Slot::A, Err(BootStateError::NoMagic)),
            (b"", Slot::A, Err(BootStateError::NoMagic)),
        ] {
            assert_eq!(standing(&sector(start), slot), expected, "{start:?}");
        }
    }

    #[test]
    fn marking_changes_one_byte_and_only_when_it_has_to() {
        let mut state = sector(b"FLB1B\x02");
        assert_eq!(mark_good(&mut state, Slot::B), Ok(true));
        assert_eq!(state, sector(b"FLB1B\xff"));
        assert_eq!(mark_good(&mut state, Slot::B), Ok(false));
        assert_eq!(state, sector(b"FLB1B\xff"));
        for start in [&b"FLB1B\x02"[..], b"FLB2A\x02", b""] {
            let mut state = sector(start);
            assert!(mark_good(&mut state, Slot::A).is_err());
            assert_eq!(state, sector(start));
        }
    }

    #[test]
    fn a_good_slot_that_cannot_be_entered_has_no_tries_and_another_keeps_its_own() {
        let mut state = sector(b"FLB1B\xff");
        assert!(give_up(&mut state, Slot::B));
        assert_eq!(state, sector(b"FLB1B\x00"));
        for start in [&b"FLB1B\x02"[..], b"FLB1A\xff", b"FLB1B\x00", b"FLB2B\xff", b""] {
            let mut state = sector(start);
            assert!(!give_up(&mut state, Slot::B));
            assert_eq!(state, sector(start));
        }
    }
}
