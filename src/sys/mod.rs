//! Operating system of the server and of process 1: processes, signals, clock, files, passwords,
//! notifications, and the network of a board.
//!
//! Most system calls of the program are here. The others are beside their resource: the event loop in
//! `runtime`, sockets in `net`, mapped buffers in `mmap_buffer`, standard error in `log`, the exec of
//! another init in `init`, names and modes of the server's identity in `serve`, and the files and the
//! terminal of a person in `ctl` and `cli`.

mod accounts;
pub mod audit_files;
pub mod board;
pub mod capabilities;
mod clock;
pub mod conditions;
pub mod drop_ins;
mod enabled;
pub mod file;
pub mod fork;
pub mod log_files;
pub mod log_reader;
pub mod log_threads;
pub mod machine;
pub mod memory_file;
pub mod multicast;
mod network;
mod notify;
mod ntp;
pub mod output_files;
mod paired;
pub mod password;
mod passwords;
pub mod program;
pub mod random;
pub mod raw;
mod rotated_files;
pub mod sandbox;
mod signal;
pub mod state_file;
pub mod state_lock;
pub mod state_writer;
pub mod terminal;
pub mod thread;
#[cfg(target_env = "musl")]
mod thread_name;

use core::time::Duration;

/// Default `PATH` of programs.
pub const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

pub use accounts::{
    Account, GROUP, PASSWD, lookup, lookup_group, lookup_group_in, lookup_in, supplementary_groups,
};
pub use clock::{BUILT_UNIX_S, Clock};
pub use enabled::{EnabledFile, FILE as ENABLED_FILE};
pub use network::{HostAddress, HostAddresses, KernelEvents, NetworkManager};
pub(crate) use notify::SLOT_GOOD;
pub use notify::{
    EVENT, EVENT_LIFE, ManagerSocket, NotifyEnvironment, NotifyState, SdNotify, assignments, microseconds,
    send_and_wait,
};
pub use ntp::NtpManager;
pub use paired::{FILE as PAIRED_FILE, PairedFile};
pub use passwords::{FILE as PASSWORDS_FILE, PasswordsFile};
pub use signal::{Received, Signals};

crate::limits::limits! {
    /// Run time of the program that ends the board (`[board] reboot`, `poweroff`).
    BOARD_COMMAND_TIMEOUT: Duration = Duration::from_secs(30), exceeded "the program is killed",
        tests ["program_is_killed_after_the_timeout"];
    /// Datagram of the kernel about its network, which has at most 8 KiB.
    NETLINK_BYTES: usize = 8192, exceeded "the answer is an error",
        tests ["datagram_may_be_as_long_as_the_limit"];
    /// Messages of one socket that the network manager reads before other tasks run, and datagrams of one
    /// response of the kernel.
    NETWORK_STEPS: usize = 32, exceeded "the rest waits; the request fails",
        tests ["response_has_at_most_the_limit_of_datagrams"];
    /// Addresses of this host that are known.
    HOST_ADDRESSES: usize = 32, exceeded "the rest is not used, and that is logged",
        tests ["addresses_up_to_their_limit_are_known"];
    /// Kernel buffer of a socket of multicast DNS (the kernel doubles it for its own needs).
    MULTICAST_BUFFER_BYTES: usize = 32 * 1024, exceeded "the kernel drops further datagrams",
        tests ["unread_bytes_of_the_network_are_bounded"];
    /// Pause before the next look for a network interface that is missing or has no carrier, and before the
    /// next attempt of a request that the kernel refused.
    NETWORK_POLL: Duration = Duration::from_secs(1), exceeded "the next attempt",
        tests ["missing_interface_is_polled"];
    /// Bytes of `/etc/passwd`, and of `/etc/group`, that are read.
    ACCOUNTS_BYTES: usize = 256 * 1024, exceeded "the rest is not read",
        tests ["whole_lines_up_to_the_limit_are_read"];
    /// Groups of a user beside its primary group.
    GROUPS: usize = 32, exceeded "the service is not started: too many groups",
        tests ["groups_over_the_limit_are_an_error"];
    /// Message of the server to init.
    NOTIFY_BYTES: usize = 256, exceeded "the message is ignored",
        tests ["datagram_over_its_limit_is_empty"];
    /// Time for the keeper to read what `friendlet notify` sends.
    NOTIFY_TIMEOUT: Duration = Duration::from_secs(5), exceeded "exit code 69",
        tests ["datagram_is_sent_and_its_reader_awaited"];
    /// Files of one directory whose time of change counts for the clock.
    CLOCK_FILES: usize = 64, exceeded "the rest does not count",
        tests ["files_up_to_the_limit_count"];
    /// Output of a service that is copied for its files at once.
    OUTPUT_BATCH_BYTES: usize = 4096, exceeded "the rest follows in another batch",
        tests ["output_of_several_batches_is_whole"];
    /// Batches of output that wait for the disk.
    OUTPUT_BATCHES: usize = 32, exceeded "output waits in the buffer of its service; what is lost there is counted",
        tests ["output_that_the_disk_does_not_take_is_counted"];
    /// Depth of the directories under `/dev` in which devices are found.
    DEVICE_DEPTH: usize = 3, exceeded "deeper ones keep their group and mode",
        tests ["devices_down_to_the_depth_limit_are_visited"];
    /// Alias of a device, which the kernel writes into at most one page.
    ALIAS_BYTES: usize = 4096, exceeded "the device has no module",
        tests ["alias_up_to_its_limit_is_visited"];
    /// Depth to which the directories of an initramfs are emptied.
    INITRAMFS_DEPTH: usize = 16, exceeded "deeper ones are left",
        tests ["directories_up_to_the_depth_limit_are_emptied"];
    /// Depth to which a factory reset empties the directories of the data.
    DATA_DEPTH: usize = 64, exceeded "deeper ones are left, and that is logged",
        tests ["directories_up_to_the_depth_limit_are_emptied"];
    /// Attempts to unmount the data before they are made read-only.
    UNMOUNT_TRIES: usize = 20, exceeded "the data are made read-only",
        tests ["busy_data_are_retried_up_to_the_limit"];
    /// Pause between two attempts to unmount the data.
    UNMOUNT_PAUSE: Duration = Duration::from_millis(100), exceeded "the next attempt",
        tests ["busy_data_are_retried_up_to_the_limit"];
    /// Writes to the log files in one tick.
    LOG_WRITES: usize = 4, exceeded "the rest follows at the next tick",
        tests ["tick_writes_up_to_its_limit_and_lost_records_are_counted"];
    /// Pause before a log file that could not be written is tried again.
    LOG_RETRY_PAUSE: Duration = Duration::from_secs(10), exceeded "the next attempt",
        tests ["failed_file_is_retried_after_the_pause"];
    /// Time at the end of the server for the lines and records that are not written yet.
    LOG_FLUSH_TIMEOUT: Duration = Duration::from_millis(500), exceeded "they are lost",
        tests ["unread_pipe_delays_the_end_by_the_timeout_of_the_flush"];
    /// Writes of state files that wait for the disk.
    STATE_WRITES: usize = 4, exceeded "rejected; the client may try again",
        tests ["queue_rejects_writes_over_its_limit"];
    /// Content of a state file that is written: changed passwords, enabled services, or paired keys.
    STATE_TEXT_BYTES: usize = max(enabled::TEXT_BYTES, max(passwords::TEXT_BYTES, paired::TEXT_BYTES)), exceeded "rejected",
        tests ["text_over_its_limit_is_rejected_and_its_buffer_used_again"];
    /// Lines of a state file that this version does not know.
    UNKNOWN_LINES_BYTES: usize = 1024, exceeded "the rest is left out",
        tests ["unknown_lines_stay_up_to_their_limit"];
    /// Wait of the server for the kernel's random numbers.
    RANDOM_TIMEOUT: Duration = Duration::from_secs(90), exceeded "the server does not start",
        tests ["generator_is_waited_for_until_the_timeout"];
    /// Time at the start to find and open the directories that the server writes in.
    SANDBOX_TIME: Duration = Duration::from_secs(3), exceeded "writes in the others fail, with a notice",
        tests ["directories_that_do_not_answer_are_left_out"];
    /// Pause between two looks for a disk.
    DEVICE_STEP: Duration = Duration::from_millis(50), exceeded "the next look",
        tests ["file_is_waited_for_until_the_timeout"];
}

const fn max(a: usize, b: usize) -> usize {
    if a > b { a } else { b }
}

#[cfg(test)]
pub(crate) mod tests {
    use std::path::PathBuf;
    use std::sync::atomic::{AtomicU32, Ordering};
    use std::sync::{Mutex, MutexGuard, PoisonError};

    /// Directory of one test, removed at its end.
    pub(crate) struct TestDirectory(pub(crate) PathBuf);

    impl TestDirectory {
        pub(crate) fn new(test: &str) -> Self {
            static NUMBER: AtomicU32 = AtomicU32::new(0);
            let number = NUMBER.fetch_add(1, Ordering::Relaxed);
            let path = std::env::temp_dir().join(format!("friendlet-{test}-{}-{number}", std::process::id()));
            super::file::create_dir(&path).unwrap();
            Self(path)
        }
    }

    impl Drop for TestDirectory {
        fn drop(&mut self) {
            // A leftover in the temporary directory fails no test.
            let _ = std::fs::remove_dir_all(&self.0);
        }
    }

    /// Locks out every other test that has children: none reaps those of another,
    /// and until it executes none keeps a descriptor open that another closes.
    pub(crate) fn lock_children() -> MutexGuard<'static, ()> {
        static CHILDREN: Mutex<()> = Mutex::new(());
        CHILDREN.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
