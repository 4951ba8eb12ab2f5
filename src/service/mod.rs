//! The service table and its supervisor.
//!
//! A *service* is a child process in its own process group, described by a [`Spec`] of the fixed
//! [`ServiceTable`]. The [`Supervisor`] knows what state each is in and what is wanted of it. It is
//! sans-IO: commands, exits and the time go in, [`Action`]s and [`Change`]s come out.
//!
//! The caller carries each action out at once, that is, it calls [`Supervisor::poll_action`] until
//! nothing comes after every other call, and feeds the outcome of each back:
//!
//! ```
//! use core::time::Duration;
//! use friendlet::service::{Action, ServiceTable, Spec, State, Supervisor, Verb};
//!
//! let mut table = ServiceTable::new();
//! let hello = table.push(Spec::new("hello", &["/usr/bin/friendlet", "hello"]).unwrap()).unwrap();
//! let mut supervisor = Supervisor::new(table);
//! let now = Duration::ZERO;
//!
//! supervisor.handle_command(hello, Verb::Start, now).unwrap();
//! assert_eq!(supervisor.poll_action(), Some(Action::Spawn { service: hello }));
//! supervisor.handle_spawned(hello, Ok(1234), now);
//! assert_eq!(supervisor.take_result(hello), Ok(()));
//! assert_eq!(supervisor.status(hello, now).state, State::Started);
//! ```

mod action;
mod command;
mod restart;
mod signal;
mod spec;
mod state;
mod supervisor;
mod table;
mod text_list;

pub use action::{Action, Change};
pub use command::{CommandError, NamedCommand, Verb, What};
pub use restart::{BackOff, RestartPolicy};
pub use signal::Signal;
pub use spec::{Arguments, Name, Spec, Variables, is_service_name};
pub use state::{Exit, LastExit, State, Status};
pub use supervisor::Supervisor;
pub use table::{OrderError, ServiceId, ServiceTable, TableError};
pub use text_list::{Full, TextList};
