//! Indexes of services and health checks in their table.

use crate::limits::{CHECKS, SERVICES};

/// Index of a service in its table.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct ServiceId(pub(super) u8);

impl ServiceId {
    /// Returns the id with this index; `None` from `limits::SERVICES` on.
    pub fn from_index(index: usize) -> Option<Self> {
        u8::try_from(index).ok().filter(|_| index < SERVICES).map(Self)
    }

    /// Index, less than `limits::SERVICES`.
    pub fn index(self) -> usize {
        usize::from(self.0)
    }
}

/// Index of a health check in its table.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub struct CheckId(u8);

impl CheckId {
    /// Returns the id with this index; `None` from `limits::CHECKS` on.
    pub const fn from_index(index: usize) -> Option<Self> {
        if index < CHECKS { Some(Self(index as u8)) } else { None }
    }

    /// Index, less than `limits::CHECKS`.
    pub fn index(self) -> usize {
        usize::from(self.0)
    }
}
