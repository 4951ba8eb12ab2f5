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

use core::time::Duration;

pub use accounts::{Account, lookup};
pub use clock::Clock;
pub use enabled::EnabledFile;
pub use network::NetworkManager;
pub use notify::{News, Notify, NotifyEnvironment};
pub use passwords::PasswordsFile;
pub use process::{CommandDone, Processes, RunError};
pub use signal::{Received, Signals};

crate::limits::limits! {
    /// Run time of the program that ends the board (`[board] reboot`, `poweroff`).
    BOARD_COMMAND_TIMEOUT: Duration = Duration::from_secs(30), exceeded "the program is killed",
        tests ["program_has_its_time_and_no_more"];
    /// Answer of the kernel about its network: it fills at most 8 KiB at once.
    NETLINK_BYTES: usize = 8192, exceeded "the answer is an error",
        tests ["datagram_may_be_as_long_as_the_limit"];
    /// Messages of one socket that the network manager reads in one turn, and answers of the kernel to one
    /// request.
    NETWORK_TURNS: usize = 32, exceeded "the rest waits; the request fails",
        tests ["answer_has_its_number_of_datagrams"];
    /// Pause before a network interface that is missing or has no carrier is looked for again, and before
    /// what the kernel refused is tried again.
    NETWORK_POLL: Duration = Duration::from_secs(1), exceeded "the next attempt",
        tests ["missing_interface_is_looked_for_once_in_a_while"];
    /// Bytes of `/etc/passwd` that are read.
    ACCOUNTS_BYTES: usize = 256 * 1024, exceeded "the rest is not read",
        tests ["file_is_read_to_its_limit_and_in_whole_lines"];
    /// Message of the server to init.
    NOTIFY_BYTES: usize = 256, exceeded "the message is ignored",
        tests ["message_comes_with_its_sender_up_to_its_limit_and_empty_beyond"];
    /// Files of one directory whose time of change counts for the clock.
    CLOCK_FILES: usize = 64, exceeded "the rest does not count",
        tests ["as_many_files_are_looked_at_as_the_limit_says"];
    /// Depth to which the directories of an initramfs are emptied.
    INITRAMFS_DEPTH: usize = 16, exceeded "deeper ones are left",
        tests ["emptied_as_deep_as_the_limit_and_no_deeper"];
    /// Attempts to unmount the data before they are made read-only.
    UNMOUNT_TRIES: usize = 20, exceeded "the data are made read-only",
        tests ["busy_data_are_tried_again_as_often_as_the_limit_says"];
    /// Pause between two attempts to unmount the data.
    UNMOUNT_PAUSE: Duration = Duration::from_millis(100), exceeded "the next attempt",
        tests ["busy_data_are_tried_again_as_often_as_the_limit_says"];
    /// Writes to the log files in one tick.
    LOG_WRITES: usize = 4, exceeded "the rest follows at the next tick",
        tests ["one_tick_writes_so_much_and_no_more_and_what_is_overwritten_is_counted"];
    /// Pause before a log file that could not be written is tried again.
    LOG_RETRY_PAUSE: Duration = Duration::from_secs(10), exceeded "the next attempt",
        tests ["file_that_cannot_be_made_is_tried_again_after_the_pause_and_not_before"];
    /// Pause between two looks for a disk.
    DEVICE_STEP: Duration = Duration::from_millis(50), exceeded "the next look",
        tests ["waits_for_what_comes_and_not_longer_than_it_may"];
}
