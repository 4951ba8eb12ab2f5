//! Names of slots.

/// A place for one connection, and which of its tenants is meant: closing a slot bumps its
/// generation, so what comes late for an earlier tenant finds nobody.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub struct SlotId {
    /// Place, from 0.
    pub index: u16,
    /// Which tenant of that place.
    pub generation: u32,
}
