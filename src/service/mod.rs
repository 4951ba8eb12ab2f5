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

use core::time::Duration;

pub use action::{Action, StateChange};
pub use command::{CommandAction, CommandError, NamedCommand, Verb};
pub use restart::{BackOff, RestartPolicy};
pub use signal::Signal;
pub use spec::{Spec, is_service_name};
pub use state::{Exit, LastExit, State, Status};
pub use string_array::{Arguments, CapacityError, Name, StringArray, Variables};
pub use supervisor::Supervisor;
pub use table::{OrderError, ServiceId, ServiceTable, TableError};
crate::limits::limits! {
    /// Run time of a named command of a service.
    COMMAND_TIMEOUT: Duration = Duration::from_secs(20), exceeded "the command is killed",
        tests ["command_deadline_is_that_of_the_limit", "endless_command_is_killed_and_blocks_no_other_call"];
    /// Time for a service to stop unless configured.
    STOP_TIMEOUT: Duration = Duration::from_secs(10), exceeded "its process group is killed",
        tests ["killed_once_when_the_stop_times_out", "defaults_are_those_of_the_limits"];
    /// Longest `stop_timeout_s`.
    STOP_TIMEOUT_MAX: Duration = Duration::from_secs(300), exceeded "configuration error",
        tests ["numbers_of_the_file_stay_in_their_ranges"];
    /// First delay before a failed service is started again; it doubles with every short run.
    RESTART_DELAY_MIN: Duration = Duration::from_millis(500), exceeded "the service is started",
        tests ["delay_doubles_up_to_its_limit", "good_run_resets_the_delay"];
    /// Longest delay before a failed service is started again.
    RESTART_DELAY_MAX: Duration = Duration::from_secs(60), exceeded "the delay grows no more",
        tests ["delay_doubles_up_to_its_limit"];
    /// Shortest run that resets the restart delay.
    GOOD_RUN: Duration = Duration::from_secs(10), exceeded "the next delay is the shortest",
        tests ["good_run_resets_the_delay", "back_off_grows_and_a_good_run_resets_it"];
    /// Time for a killed process group to end.
    KILL_TIMEOUT: Duration = Duration::from_secs(2), exceeded "the server goes on without it",
        tests ["shutdown_is_bounded"];
    /// Time for all services to stop when the server stops.
    SHUTDOWN_TIMEOUT: Duration = Duration::from_secs(60), exceeded "their process groups are killed",
        tests ["shutdown_is_bounded"];
    /// Time for the whole server to stop: services and connections.
    SHUTDOWN_GRACE: Duration = Duration::from_secs(70),
        fixed "longer than `shutdown_timeout` and `kill_timeout` together, as an assertion says: they end first";
}

const _: () = assert!(
    SHUTDOWN_GRACE.as_secs() > SHUTDOWN_TIMEOUT.as_secs() + KILL_TIMEOUT.as_secs(),
    "the server outlives the stop of its services"
);
