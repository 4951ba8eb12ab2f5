//! The service table and its supervisor.
//!
//! A *service* is a child process in its own process group, described by a [`Spec`] in the fixed
//! [`ServiceTable`]. The [`Supervisor`] holds the actual and the desired state of each. It is
//! sans-IO: commands, exits and the time go in, [`Action`]s and [`StateChange`]s come out.
//!
//! After each other call the caller drains [`Supervisor::poll_action`] and carries out the actions in
//! order. It reports their outcomes, and the ends of processes, whenever they come. A start is settled
//! when its process has run for `START_SETTLE`, or has failed before:
//!
//! ```
//! use core::time::Duration;
//! use friendlet::service::{Action, Program, ServiceTable, Spec, State, Supervisor, Verb};
//!
//! let mut table = ServiceTable::new();
//! let hello = table.push(Spec::new("hello", &["/usr/bin/friendlet", "hello"]).unwrap()).unwrap();
//! let mut supervisor = Supervisor::new(table);
//! let now = Duration::ZERO;
//!
//! supervisor.handle_command(hello, Verb::Start, now).unwrap();
//! let spawn = Action::Spawn { service: hello, program: Program::Main };
//! assert_eq!(supervisor.poll_action(), Some(spawn));
//! assert_eq!(supervisor.status(hello, now).state, State::Starting);
//! supervisor.handle_spawned(hello, Ok(1234), now);
//! assert_eq!(supervisor.status(hello, now).state, State::Started);
//! assert!(!supervisor.is_settled(hello));
//!
//! let now = supervisor.poll_timeout().unwrap();
//! supervisor.handle_timeout(now);
//! assert_eq!(supervisor.poll_settled(), Some((hello, Ok(()))));
//! ```

mod action;
mod attributes;
mod board_end;
mod capabilities;
mod check;
mod command;
mod condition;
mod endpoint;
mod event;
mod exit;
mod id;
mod inherited;
mod kind;
mod notice;
mod output_file;
mod program;
mod record;
mod restart;
mod schedule;
mod signal;
mod spawn_error;
mod spec;
mod state;
mod string_array;
mod supervisor;
mod table;
mod transition;

use core::time::Duration;

/// Niceness of services: control comes before the controlled.
pub const SERVICE_NICE: i8 = 10;

pub use action::{Action, EventReport, ProcessEvent, StateChange};
pub use attributes::{
    AccountName, Attributes, CONTROLS, CPU_WEIGHT, Control, DirectoryKind, IoClass, Resource,
    permissions_from_text,
};
pub use board_end::BoardEnd;
pub use capabilities::{CAPABILITY_NAMES, Capabilities};
pub use check::{
    Attempt, CHECK_FAILURES, CHECK_FAILURES_MAX, CHECK_GRACE, CHECK_GRACE_MAX, CHECK_PATH_BYTES,
    CHECK_PERIOD, CHECK_PERIOD_MAX, CHECK_RESPONSE_BYTES, CHECK_TIMEOUT, CHECK_TIMEOUT_MAX, Check,
    CheckError, CheckKind, CheckLevel, CheckState, CheckStatus, LIMITS as CHECK_LIMITS, Url,
};
pub use command::{CommandAction, CommandError, NamedCommand, Verb};
pub use condition::{AllConditions, CONDITION_BYTES, Condition, Conditions};
pub use endpoint::Endpoint;
pub use event::{Event, Events, Refused as EventRefused, parse as parse_event};
pub use exit::{EndReason, Exit, LastExit, PastRun, PreStartFailure};
pub use id::{CheckId, ServiceId};
pub use inherited::{Ended, Inherited, InheritedProcess, Memo, Requirement};
pub use kind::{READY_DESCRIPTORS, ReadyCheck, ServiceKind};
pub use notice::{Notice, StatusText};
pub use output_file::{OutputFile, Sent};
pub use program::Program;
pub use restart::{BackOff, RestartPolicy};
pub use schedule::{NextRun, Schedule, TimeOfDay, minute_of_day};
pub use signal::{Scope, Signal};
pub use spawn_error::{SpawnError, SpawnStage};
pub use spec::{Spec, is_service_name};
pub use state::{Memory, State, Status, Usage};
pub use string_array::{Arguments, CapacityError, Name, StringArray, Variables};
pub use supervisor::{Difference, Problem, Supervisor};
pub use table::{OrderError, ServiceTable, TableError};

crate::limits::limits! {
    /// Run time of a named command of a service.
    COMMAND_TIMEOUT: Duration = Duration::from_secs(20), exceeded "the command is killed",
        tests ["endless_command_is_killed_and_blocks_no_other_call"];
    /// Output in the answer of a start that failed at once.
    START_OUTPUT_BYTES: usize = 512, exceeded "earlier output is left out",
        tests ["answer_of_a_start_that_fails_has_its_last_lines"];
    /// Time for a service to stop unless configured.
    STOP_TIMEOUT: Duration = Duration::from_secs(10), exceeded "all its processes are killed",
        tests ["group_is_killed_when_the_stop_times_out", "defaults_are_those_of_the_limits"];
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
    /// Largest difference of a restart delay from the documented one, in percent.
    RESTART_JITTER_PERCENT: u32 = 10, exceeded "the generator does not exceed it",
        tests ["jitter_stays_within_its_limit_and_repeats_with_its_seed"];
    /// Time for a requested process to start: the program may be on a hung disk.
    SPAWN_TIMEOUT: Duration = Duration::from_secs(30), exceeded "killed; counts as a failed start",
        tests ["spawn_without_an_answer_is_killed_and_counts_as_a_failed_start"];
    /// Run time after which a commanded start counts as successful.
    START_SETTLE: Duration = Duration::from_millis(250), exceeded "a later exit is not reported to the caller",
        tests ["start_settles_after_its_time_and_not_before"];
    /// Time for a service to become ready unless configured.
    SERVICE_READY_TIMEOUT: Duration = Duration::from_secs(30), exceeded "those after it start without it",
        tests ["late_service_holds_others_up_to_its_timeout", "defaults_are_those_of_the_limits"];
    /// Longest `ready_timeout_s`, and longest time to become ready with `EXTEND_TIMEOUT_USEC`.
    SERVICE_READY_TIMEOUT_MAX: Duration = Duration::from_secs(3600), exceeded "configuration error; not extended",
        tests ["numbers_of_the_file_stay_in_their_ranges", "more_time_is_granted_up_to_its_limit"];
    /// Pause between two attempts to connect to a service that is not ready.
    PROBE_PERIOD: Duration = Duration::from_millis(250), exceeded "the next attempt",
        tests ["service_is_ready_once_it_accepts_a_connection"];
    /// Longest `watchdog_s`.
    WATCHDOG_MAX: Duration = Duration::from_secs(3600), exceeded "configuration error",
        tests ["numbers_of_the_file_stay_in_their_ranges"];
    /// Longest `max_runtime_s`: 30 days.
    MAX_RUNTIME_MAX: Duration = Duration::from_secs(30 * 24 * 3600), exceeded "configuration error",
        tests ["numbers_of_the_file_stay_in_their_ranges"];
    /// Longest `every_s`: 31 days.
    EVERY_MAX: Duration = Duration::from_secs(31 * 24 * 3600), exceeded "configuration error",
        tests ["numbers_of_the_file_stay_in_their_ranges"];
    /// Longest `jitter_s`.
    SCHEDULE_JITTER_MAX: Duration = Duration::from_secs(3600), exceeded "configuration error",
        tests ["numbers_of_the_file_stay_in_their_ranges"];
    /// Times of day in `at`.
    SCHEDULE_TIMES: usize = 8, exceeded "configuration error",
        tests ["times_of_day_up_to_their_limit"];
    /// Time between two looks at the time of day, which may be set at any time, for services with `at`.
    CLOCK_CHECK: Duration = Duration::from_secs(60), exceeded "the next look",
        tests ["clock_is_checked_again_and_again"];
    /// Line in which a service describes its state.
    STATUS_TEXT_BYTES: usize = 80, exceeded "the rest is cut",
        tests ["status_text_is_cut_at_its_limit_between_characters"];
    /// Events of all services.
    EVENTS: usize = 32, exceeded "a new key is refused, counted and logged",
        tests ["new_keys_over_the_limits_are_refused_and_known_ones_still_change"];
    /// Events of one service.
    SERVICE_EVENTS: usize = 8, exceeded "a new key is refused, counted and logged",
        tests ["new_keys_over_the_limits_are_refused_and_known_ones_still_change", "refused_events_are_counted"];
    /// Key of an event.
    EVENT_KEY_BYTES: usize = 16, exceeded "the event is refused, counted and logged",
        tests ["key_and_value_up_to_their_limits", "words_become_a_datagram"];
    /// Value of an event.
    EVENT_VALUE_BYTES: usize = 32, exceeded "the event is refused, counted and logged",
        tests ["key_and_value_up_to_their_limits", "words_become_a_datagram"];
    /// Longest time after which an event is forgotten: 31 days.
    EVENT_LIFE_MAX: Duration = Duration::from_secs(31 * 24 * 3600), exceeded "the event is refused, counted and logged",
        tests ["events_are_parsed", "words_become_a_datagram"];
    /// Pause between two pushes of changed events.
    EVENT_PERIOD: Duration = Duration::from_millis(250), exceeded "the next push has all changes in between",
        tests ["events_are_pushed_at_most_once_in_their_period"];
    /// Text of a line with which a service is ready.
    READY_LINE_BYTES: usize = 64, exceeded "configuration error",
        tests ["ready_line_up_to_its_limit"];
    /// Path of a UNIX socket: `sun_path` of unix(7) without its NUL.
    UNIX_PATH_BYTES: usize = 107, exceeded "configuration error",
        tests ["path_of_a_unix_socket_up_to_its_limit", "each_limit_is_met_and_not_passed"];
    /// Most bytes of one file of output unless configured.
    OUTPUT_FILE_BYTES: usize = 64 * 1024, exceeded "the files are rotated",
        tests ["files_are_rotated_and_limited", "output_keys_are_read"];
    /// Most files of the output of one service unless configured.
    OUTPUT_FILES: usize = 2, exceeded "the oldest is removed",
        tests ["files_are_rotated_and_limited", "output_keys_are_read"];
    /// Most bytes of output that are written in 24 h unless configured.
    OUTPUT_DAY_BYTES: u64 = 4 * 1024 * 1024, exceeded "the rest is left out, and counted",
        tests ["bytes_of_a_day_are_limited", "output_keys_are_read"];
    /// Largest `output_day_bytes`.
    OUTPUT_DAY_BYTES_MAX: u64 = 1024 * 1024 * 1024, exceeded "configuration error",
        tests ["numbers_of_the_file_stay_in_their_ranges"];
    /// Instances of one `[[service]]`.
    INSTANCES: usize = 16, exceeded "configuration error",
        tests ["instances_of_a_service_up_to_their_limit"];
    /// Conditions in `wait` of one service, and in `needs`.
    SERVICE_CONDITIONS: usize = 4, exceeded "configuration error",
        tests ["conditions_of_a_service_up_to_their_limit"];
    /// Different conditions of all services together.
    CONDITIONS: usize = 8, exceeded "configuration error",
        tests ["conditions_of_all_services_up_to_their_limit"];
    /// Time between two looks at a condition.
    CONDITION_PERIOD: Duration = Duration::from_secs(1), exceeded "the next look",
        tests ["change_of_a_condition_is_reported"];
    /// Time for killed processes to end.
    KILL_TIMEOUT: Duration = Duration::from_secs(2), exceeded "the server goes on without it",
        tests ["unkillable_service_is_given_up"];
    /// Ends of each service that are kept.
    SERVICE_HISTORY: usize = 8, exceeded "the oldest is dropped",
        tests ["history_up_to_its_limit_drops_the_oldest"];
    /// Largest `start_limit`.
    START_LIMIT_MAX: u32 = 1000, exceeded "configuration error",
        tests ["numbers_of_the_file_stay_in_their_ranges"];
    /// Run time of the server before which a failed service does not restart the board, so that one that
    /// fails again at each start leaves time to repair it.
    REBOOT_UPTIME: Duration = Duration::from_secs(300), exceeded "the board restarts",
        tests ["board_of_a_failed_service_restarts_after_some_time"];
    /// Exit codes in `success_codes`.
    SUCCESS_CODES: usize = 8, exceeded "configuration error",
        tests ["success_codes_up_to_their_limit", "success_codes_of_the_file_up_to_their_limit"];
    /// Further groups of a service.
    SERVICE_GROUPS: usize = 8, exceeded "configuration error",
        tests ["groups_of_the_file_up_to_their_limit"];
    /// Shortest time for the whole server to stop, services and connections; more if the services need
    /// it.
    SHUTDOWN_GRACE: Duration = Duration::from_secs(70), exceeded "the server is killed",
        tests ["stopping_server_is_killed_after_its_grace"];
}
