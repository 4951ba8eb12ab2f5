//! The operating system: the only place that calls it.

mod accounts;
pub mod board;
mod clock;
mod enabled;
pub mod file;
mod flags;
pub mod log_files;
pub mod machine;
mod network;
mod notify;
pub mod password;
mod passwords;
mod process;
pub mod random;
mod signal;
pub mod terminal;

pub use accounts::{Account, lookup};
pub use clock::Clock;
pub use enabled::EnabledFile;
pub use network::NetworkManager;
pub use notify::{NotifyEnvironment, NotifyState, SdNotify};
pub use passwords::PasswordsFile;
pub use process::{CommandDone, Processes, RunError};
pub use signal::{Received, Signals};
