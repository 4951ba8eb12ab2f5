//! The device file.
