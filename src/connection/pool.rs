//! Ids of slots, and admission to them.

use core::net::IpAddr;

use super::OVERFLOW_SLOTS;

/// Peer of a new connection.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Peer {
    /// Client of the TCP port.
    Network(IpAddr),
    /// Process at the local socket, by the user that it ran as when it connected.
    Local {
        /// User ID.
        uid: u32,
    },
}

/// Id of one connection: its slot, and the generation of the slot. Each release of a slot increments its
/// generation, so a late result of an earlier connection finds none.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub struct SlotId {
    /// Index of the slot, from 0.
    pub index: u16,
    /// Number of connections that the slot had before.
    pub generation: u32,
}

/// Use that a connection may make of its slot, by the number of free slots when it was accepted.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Admission {
    /// Any use: there is room.
    Open,
    /// A socket or a call of an administrator, in the last slot. Other clients are rejected: the server is
    /// full.
    Administrators,
    /// A single call of an administrator, in the overflow slot. Other clients get a 503.
    Overflow,
}

impl Admission {
    /// Admission of the next connection while `used` of `slots` are in use; `None` if not even the overflow
    /// slot is free.
    pub fn of(used: usize, slots: usize) -> Option<Self> {
        if used + 1 < slots {
            Some(Self::Open)
        } else if used < slots {
            Some(Self::Administrators)
        } else if used < slots + OVERFLOW_SLOTS {
            Some(Self::Overflow)
        } else {
            None
        }
    }

    /// The same for an administrator at the local socket, to whom every slot is open.
    pub fn of_local(used: usize, slots: usize) -> Option<Self> {
        (used < slots + OVERFLOW_SLOTS).then_some(Self::Open)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn last_slot_is_for_an_administrator_and_then_there_is_the_overflow_slot() {
        assert_eq!(Admission::of(0, 3), Some(Admission::Open));
        assert_eq!(Admission::of(1, 3), Some(Admission::Open));
        assert_eq!(Admission::of(2, 3), Some(Admission::Administrators));
        assert_eq!(Admission::of(3, 3), Some(Admission::Overflow));
        assert_eq!(Admission::of(4, 3), None);
        assert_eq!(
            [2, 3, 4].map(|used| Admission::of_local(used, 3)),
            [Some(Admission::Open), Some(Admission::Open), None]
        );
    }
}
