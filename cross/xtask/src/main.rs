//! friendlet's developer tool.
fn main() {}
