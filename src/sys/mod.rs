//! Operating system of the server and of process 1: processes, signals, clock, files, passwords,
//! notifications, and the network of a board.
//!
//! Most system calls of the program are here. The others are beside their resource: the event loop in
//! `runtime`, sockets in `net`, mapped buffers in `mmap_buffer`, standard error in `log`, the exec of
//! another init in `init`, names and modes of the server's identity in `serve`, and the files and the
//! terminal of a person in `ctl` and `cli`.

mod accounts;
pub mod board;
mod clock;
mod enabled;
pub mod file;
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
pub use notify::{Notify, NotifyEnvironment, NotifyState};
pub use passwords::PasswordsFile;
pub use process::{CommandDone, Processes, RunError};
pub use signal::{Received, Signals};
