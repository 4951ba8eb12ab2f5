//! The two parts of the gate.

/// The two parts of the gate.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Part {
    /// `cargo xtask test`: what every change must pass.
    Fast,
    /// `cargo xtask test --all`: the fast part, and what needs long.
    Whole,
}
