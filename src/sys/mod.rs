//! The operating system.

mod accounts;
mod clock;
mod enabled;
mod process;
mod signal;

pub use accounts::{Account, lookup};
pub use clock::Clock;
pub use enabled::EnabledFile;
pub use process::{CommandDone, Processes, RunError};
pub use signal::{Received, Signals};
