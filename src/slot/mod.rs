//! Connection slots.

mod pool;

pub use pool::SlotId;
