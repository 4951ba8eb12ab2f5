//! The service table and its supervisor.
//!
//! A *service* is a child process in its own process group, described by a [`Spec`] in the fixed
//! [`ServiceTable`]. The [`Supervisor`] holds the actual and the desired state of each. It is
//! sans-IO: commands, exits and the time go in, [`Action`]s and [`StateChange`]s come out.
//!
//! The caller carries out every action at once: after each other call it drains
//! [`Supervisor::poll_action`] and reports the outcome of each action:
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
mod record;
mod restart;
mod signal;
mod spec;
mod state;
mod string_array;
mod supervisor;
mod table;

pub use action::{Action, StateChange};
pub use command::{CommandAction, CommandError, NamedCommand, Verb};
pub use restart::{BackOff, RestartPolicy};
pub use signal::Signal;
pub use spec::{Arguments, Name, Spec, Variables, is_service_name};
pub use state::{Exit, LastExit, State, Status};
pub use string_array::{CapacityError, StringArray};
pub use supervisor::Supervisor;
pub use table::{OrderError, ServiceId, ServiceTable, TableError};
