//! Connection slots.
