//! Names of slots, and who is let into them.

/// A place for one connection, and which of its tenants is meant: closing a slot bumps its
/// generation, so what comes late for an earlier tenant finds nobody.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub struct SlotId {
    /// Place, from 0.
    pub index: u16,
    /// Which tenant of that place.
    pub generation: u32,
}

/// What a connection may become, by how full the house was when it came.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Admission {
    /// There is room: anything.
    Open,
    /// Only the administrators' place is left: an administrator's socket or call; everybody else is
    /// told that the server is full.
    Administrators,
    /// That one is in_use too: an administrator's single call, and the 503 for everybody else.
    Overflow,
}

impl Admission {
    /// The admission of a newcomer when `used` of `slots` places are in_use. `None`: not even the door
    /// is free.
    pub fn of(used: usize, slots: usize) -> Option<Self> {
        if used + 1 < slots {
            Some(Self::Open)
        } else if used < slots {
            Some(Self::Administrators)
        } else if used < slots + crate::connection::OVERFLOW_SLOTS {
            Some(Self::Overflow)
        } else {
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn last_slot_is_for_an_administrator_and_then_there_is_the_door() {
        assert_eq!(Admission::of(0, 3), Some(Admission::Open));
        assert_eq!(Admission::of(1, 3), Some(Admission::Open));
        assert_eq!(Admission::of(2, 3), Some(Admission::Administrators));
        assert_eq!(Admission::of(3, 3), Some(Admission::Overflow));
        assert_eq!(Admission::of(4, 3), None);
    }
}
