//! Every bound of the program, by name.
//!
//! The capacities come from `[limits]` of the board built for (`boards/<board>/board.toml`, through
//! `build.rs`); the device file may lower `slots` and raise nothing. The times and the few sizes
//! that a protocol fixes are written here. The assertions at the end say how the limits relate:
//! a board that breaks one does not build.

use core::time::Duration;

include!(concat!(env!("OUT_DIR"), "/limits.rs"));

/// Name of the board built for.
pub const BOARD: &str = env!("FRIENDLET_BOARD");
/// Target triple built for.
pub const TARGET: &str = env!("FRIENDLET_TARGET");
/// The board's own device file, used when the default path has none.
pub const BOARD_FILE: &str = include_str!(concat!(env!("OUT_DIR"), "/friendlet.toml"));

/// Length of a session id: 20 random bytes in hexadecimal.
pub const SESSION_ID_BYTES: usize = 40;
/// Longest session id that is looked at; Friend Core keeps ids in 256 bytes.
pub const PRESENTED_SESSION_BYTES: usize = 255;
/// Payload of a WebSocket control frame (RFC 6455, 5.5).
pub const CONTROL_BYTES: usize = 125;
/// Longest WebSocket frame header (RFC 6455, 5.2).
pub const FRAME_HEADER_BYTES: usize = 14;
/// Longest JSON text sent whole; Friend Core cuts longer ones into chunks of this many bytes.
pub const CHUNK_PIECE_BYTES: usize = 63487;
/// What a chunk's envelope takes around its piece, at most.
pub const CHUNK_ENVELOPE_BYTES: usize = 128 + 6 * CHUNK_ID_BYTES;
/// Room kept in a send buffer for control frames and a closing frame.
pub const SEND_RESERVE_BYTES: usize = 512;
/// Receive buffer of one connection: a message and the frame headers and control frames around it.
pub const RECEIVE_BYTES: usize = MESSAGE_BYTES + 1024;
/// Slots beyond `slots` that turn connections away while the server is full.
pub const OVERFLOW_SLOTS: usize = 1;
/// Incoming buffer of one TLS connection: the largest record there is (RFC 8446, 5.2).
pub const TLS_RECORD_BYTES: usize = 5 + 16 * 1024 + 256;
/// Outgoing buffer of one TLS connection: four pages, which four times filled hold the longest frame.
pub const TLS_SEND_BYTES: usize = 16 * 1024;
/// Certificates of the server and names of the clients' authorities that a handshake shows. What else
/// it says takes less than the rest of the outgoing buffer.
pub const TLS_CHAIN_BYTES: usize = TLS_SEND_BYTES - 2048;
/// Longest message of a client during the handshake, with the headers of its records; those of browsers
/// are of 2 KiB. What rustls takes to read one is many times that.
pub const TLS_HANDSHAKE_BYTES: usize = 8 * 1024;
/// Heap of one TLS connection at worst: what rustls holds of a handshake, or the keys after it.
pub const TLS_HEAP_BYTES: usize = 5 * 1024;
/// What rustls holds more where clients show certificates: the messages of both sides, in a vector that
/// doubles, and the certificates.
pub const TLS_CLIENT_HEAP_BYTES: usize = 2 * (2 * TLS_HANDSHAKE_BYTES + TLS_SEND_BYTES) + TLS_HANDSHAKE_BYTES;
/// What rustls takes while it reads a message of a handshake and answers it, of one connection at a time.
/// Worst are names of one letter: two bytes sent, a vector of three words and a block of four held.
pub const TLS_PARSE_BYTES: usize = TLS_HANDSHAKE_BYTES / 2 * 7 * size_of::<usize>();
/// TLS records in a row without data: empty ones, new keys, warnings.
pub const TLS_IDLE_RECORDS: u8 = 32;
/// Kernel buffer of one connection, each way (the kernel doubles it for its own needs).
pub const SOCKET_BUFFER_BYTES: usize = 32 * 1024;
/// Bytes read and dropped from a connection that is being closed.
pub const LINGER_BYTES: usize = 256 * 1024;
/// Turns of reading and writing that one connection takes before the others have theirs.
pub const TURNS: usize = 16;
/// Bytes waiting on a connection from which pushes wait too, to be sent as the newest state.
pub const PUSH_BACKLOG_BYTES: usize = 1024;
/// Largest PEM file of a certificate chain, a key or an authority.
pub const PEM_BYTES: usize = 64 * 1024;
/// Largest file of the administrator that the first start makes.
pub const FIRST_USER_FILE_BYTES: usize = 4096;
/// Longest text of one log line, and of one argument of a record.
pub const LOG_LINE_BYTES: usize = 512;
/// Most arguments of one record.
pub const LOG_ARGUMENTS: usize = 4;
/// Bytes of one file of the log unless the device file says otherwise.
pub const LOG_FILE_BYTES: usize = 64 * 1024;
/// Fewest bytes of one: its head and the longest record, with room to spare.
pub const LOG_FILE_BYTES_MIN: usize = 8 * 1024;
/// Most bytes of one.
pub const LOG_FILE_BYTES_MAX: usize = 16 * 1024 * 1024;
/// Files of the log unless the device file says otherwise.
pub const LOG_FILES: usize = 4;
/// Most of them.
pub const LOG_FILES_MAX: usize = 16;
/// Most that is written to a file at once, and records of one answer of `board/log`.
pub const LOG_WRITE_BYTES: usize = 4096;
/// Writes to the files of the log in one tick.
pub const LOG_WRITES: usize = 4;
/// Head of a file of the log.
pub const LOG_HEAD_BYTES: usize = 256;
/// Log lines of one kind within `LOG_WINDOW`; the rest are counted.
pub const LOG_BURST: u32 = 5;
/// Longest name of a network interface: the kernel's IFNAMSIZ without its NUL.
pub const INTERFACE_NAME_BYTES: usize = 15;
/// Longest name of a host: the kernel takes 64 bytes.
pub const HOST_NAME_BYTES: usize = 63;
/// Nameservers of a host; the usual resolvers ask no more (resolv.conf(5), MAXNS).
pub const NAMESERVERS: usize = 3;
/// Longest DHCP message taken and made: what one Ethernet frame of 1500 bytes holds behind the
/// headers of IP and UDP.
pub const DHCP_BYTES: usize = 1472;
/// Times that DHCP asks for one address before it looks for another (RFC 2131, 3.1.5).
pub const DHCP_TRIES: u8 = 4;
/// Longest answer of the kernel about its network: it fills no more than 8 KiB at once.
pub const NETLINK_BYTES: usize = 8192;
/// Messages of one socket that the network manager takes in one turn; answers of the kernel to one
/// question.
pub const NETWORK_TURNS: usize = 32;
/// Most of `/etc/passwd` that is read.
pub const ACCOUNTS_BYTES: usize = 256 * 1024;
/// Longest complaint about a device file that is not in force.
pub const COMPLAINT_BYTES: usize = 512;
/// Longest notice of what went wrong before the server was started.
pub const NOTICE_BYTES: usize = 256;
/// Longest build id that is told, in hexadecimal digits: those of a SHA-256.
pub const BUILD_ID_BYTES: usize = 64;
/// Most PBKDF2 rounds accepted in a stored password.
pub const PASSWORD_ROUNDS_MAX: u32 = 10_000_000;
/// Longest kernel command line that init reads.
pub const COMMAND_LINE_BYTES: usize = 4096;
/// Largest list of kernel modules.
pub const MODULES_BYTES: usize = 16 * 1024;
/// Longest message of the server to init.
pub const NOTIFY_BYTES: usize = 256;
/// Files of one folder whose time of change counts for the clock.
pub const CLOCK_FILES: usize = 64;
/// How deep the folders of an initramfs are emptied.
pub const INITRAMFS_DEPTH: usize = 16;
/// Memory that files in `/run` may take.
pub const RUN_BYTES: usize = 1024 * 1024;
/// Memory that files in `/tmp` may take.
pub const TMP_BYTES: usize = 8 * 1024 * 1024;
/// Memory that files in `/data` may take when there is no data partition.
pub const SPARE_DATA_BYTES: usize = 4 * 1024 * 1024;
/// Times that init tries to unmount the data before it makes them read-only.
pub const UNMOUNT_TRIES: usize = 20;
/// Short runs of the server in a row that end the trial of a slot.
pub const SHORT_RUNS: u8 = 5;

/// TLS handshake, request head and upgrade together.
pub const HEAD_TIMEOUT: Duration = Duration::from_secs(10);
/// How long a socket may stay open without a valid session.
pub const SESSION_TIMEOUT: Duration = Duration::from_secs(30);
/// The same for a socket in the administrators' slot, which nobody else may keep from them.
pub const ADMINISTRATOR_TIMEOUT: Duration = Duration::from_secs(5);
/// Time between WebSocket pings: below the 60 s at which proxies cut idle sockets.
pub const PING_INTERVAL: Duration = Duration::from_secs(25);
/// Pings in a row without any answer that close a socket.
pub const UNANSWERED_PINGS: u8 = 2;
/// How long a peer may leave what is owed to it unread.
pub const SEND_TIMEOUT: Duration = Duration::from_secs(20);
/// How long a closing frame may stay unanswered.
pub const CLOSE_TIMEOUT: Duration = Duration::from_secs(3);
/// How long a closed connection is read on, so that the last answer is not lost to a reset.
pub const LINGER_TIMEOUT: Duration = Duration::from_secs(1);
/// Age from which a nameless connection in the administrator's slot gives way to a newcomer.
pub const EVICT_AFTER: Duration = Duration::from_secs(1);
/// Time the first chunk of a message may wait for the last.
pub const CHUNK_AGE: Duration = Duration::from_secs(60);
/// How long a named command of a service may run.
pub const COMMAND_TIMEOUT: Duration = Duration::from_secs(20);
/// How long a call may wait for its password's check or its command's end: both have bounds of
/// their own, and this one is for what those forget.
pub const ANSWER_TIMEOUT: Duration = Duration::from_secs(30);
/// How long a blocked (user, source) pair stays blocked; Friend Core's `Security:blocktimeout`.
pub const LOCKOUT_TIME: Duration = Duration::from_secs(3600);
/// Longest `lockout_s`: a week.
pub const LOCKOUT_TIME_MAX: Duration = Duration::from_secs(7 * 86_400);
/// Wrong passwords in a row that block a (user, source) pair; Friend Core's `Security:blockattempts`.
pub const LOCKOUT_ATTEMPTS: u8 = 3;
/// Most `lockout_attempts`.
pub const LOCKOUT_ATTEMPTS_MAX: u8 = 100;
/// How long a session may be idle unless the device file says otherwise; Friend Core's own time.
pub const IDLE_TIMEOUT: Duration = Duration::from_secs(10_800);
/// Shortest `idle_timeout_s` of a session; Friend Core's own minimum.
pub const IDLE_TIMEOUT_MIN: Duration = Duration::from_secs(30);
/// Longest `idle_timeout_s`: a week.
pub const IDLE_TIMEOUT_MAX: Duration = Duration::from_secs(7 * 86_400);
/// How long a service may take to stop unless the device file says otherwise.
pub const STOP_TIMEOUT: Duration = Duration::from_secs(10);
/// Longest `stop_timeout_s` of a service.
pub const STOP_TIMEOUT_MAX: Duration = Duration::from_secs(300);
/// First pause before a failed service is started again; it doubles with every short run.
pub const RESTART_DELAY_MIN: Duration = Duration::from_millis(500);
/// Longest pause before a failed service is started again.
pub const RESTART_DELAY_MAX: Duration = Duration::from_secs(60);
/// A run that lasted this long was a good one: the pause is short again after it.
pub const GOOD_RUN: Duration = Duration::from_secs(10);
/// How long a killed process group may take to vanish before the server goes on without it.
pub const KILL_TIMEOUT: Duration = Duration::from_secs(2);
/// Bound on stopping all services when the server stops.
pub const SHUTDOWN_TIMEOUT: Duration = Duration::from_secs(60);
/// Bound on the end of the server as a whole: its services', and the sockets' goodbyes.
pub const SHUTDOWN_GRACE: Duration = Duration::from_secs(70);
/// How long the program that ends the board (`[board] reboot`, `poweroff`) may run.
pub const BOARD_COMMAND_TIMEOUT: Duration = Duration::from_secs(30);
/// Step of the server's clock: no deadline is met more exactly.
pub const TICK: Duration = Duration::from_millis(250);
/// Time between two looks for a network interface that is not there yet or has no carrier, and
/// between two tries of what the kernel refused.
pub const NETWORK_POLL: Duration = Duration::from_secs(1);
/// First pause of DHCP between two messages without an answer (RFC 2131, 4.1); it doubles.
pub const DHCP_RETRY_MIN: Duration = Duration::from_secs(4);
/// Longest such pause.
pub const DHCP_RETRY_MAX: Duration = Duration::from_secs(64);
/// Shortest pause between two tries to renew a lease (RFC 2131, 4.4.5).
pub const DHCP_RENEW_MIN: Duration = Duration::from_secs(60);
/// Shortest lease that is taken.
pub const DHCP_LEASE_MIN: Duration = Duration::from_secs(10);
/// Time over which `LOG_BURST` counts.
pub const LOG_WINDOW: Duration = Duration::from_secs(10);
/// Pause of `ctl logs` and `ctl server-log` with `--follow` between two requests.
pub const LOG_FOLLOW_STEP: Duration = Duration::from_millis(500);
/// Pause before a file of the log that could not be written is tried again.
pub const LOG_RETRY_PAUSE: Duration = Duration::from_secs(10);
/// How long init waits for a disk to appear.
pub const DEVICE_TIMEOUT: Duration = Duration::from_secs(20);
/// Step at which init looks for it.
pub const DEVICE_STEP: Duration = Duration::from_millis(50);
/// How long a message of init stays on the console before it restarts a board without a root.
pub const ROOT_FAILURE_PAUSE: Duration = Duration::from_secs(5);
/// Pause between two tries to mount the data.
pub const DATA_RETRY_PAUSE: Duration = Duration::from_secs(1);
/// Pause between two tries to unmount the data.
pub const UNMOUNT_PAUSE: Duration = Duration::from_millis(100);
/// How long the server may take until it serves; of a slot on trial, all its starts together.
pub const READY_TIMEOUT: Duration = Duration::from_secs(120);
/// How long the server may leave init without a sign of life.
pub const SILENCE_TIMEOUT: Duration = Duration::from_secs(10);
/// How long the hardware watchdog may take to reset a board with a silent server, before init kills
/// the server instead.
pub const RESET_TIMEOUT: Duration = Duration::from_secs(180);
/// How long a killed server may take to vanish before init restarts the board.
pub const VANISH_TIMEOUT: Duration = Duration::from_secs(60);
/// How long what the server left behind may take to end when the board does.
pub const LEFTOVER_TIMEOUT: Duration = Duration::from_secs(2);
/// Time between two writes to the hardware watchdog.
pub const FEED_INTERVAL: Duration = Duration::from_secs(1);

const _: () = {
    assert!(LOG_RING_BYTES >= 4096, "log_ring_bytes: must hold the longest record, and a few more");
    assert!(
        LOG_WRITE_BYTES / 3 * 4 + BUILD_ID_BYTES + 512 <= REPLY_BYTES,
        "reply_bytes: must hold the records of one answer"
    );
    assert!(
        LOG_HEAD_BYTES + LOG_WRITE_BYTES <= LOG_FILE_BYTES_MIN,
        "a file of the log holds its head and one write"
    );
    assert!(SLOTS >= 2, "slots: one is kept for an administrator, so two are needed");
    assert!(SLOTS <= 4096, "slots: at most 4096");
    assert!(MESSAGE_BYTES >= 1024, "message_bytes: an upgrade and a login need 1024");
    assert!(
        HEAD_BYTES + BODY_BYTES <= RECEIVE_BYTES,
        "head_bytes + body_bytes: must fit message_bytes + 1024"
    );
    assert!(PATH_BYTES < HEAD_BYTES, "path_bytes: must be less than head_bytes");
    assert!(
        2 * (COMPLAINT_BYTES + NOTICE_BYTES) + REQUEST_ID_BYTES * 6 + 512 <= REPLY_BYTES,
        "reply_bytes: must hold what is wrong with a board"
    );
    assert!(REQUEST_ID_BYTES * 6 + 256 < REPLY_BYTES, "reply_bytes: must hold an escaped requestid");
    assert!(
        SEND_BYTES >= SEND_RESERVE_BYTES + 1024,
        "send_bytes: must hold a reply of 512 bytes beside the reserve"
    );
    assert!(
        REPLY_BYTES + FRAME_HEADER_BYTES + SEND_RESERVE_BYTES <= SEND_BYTES
            || CHUNK_PIECE_BYTES + CHUNK_ENVELOPE_BYTES + FRAME_HEADER_BYTES + SEND_RESERVE_BYTES
                <= SEND_BYTES,
        "send_bytes: must hold a whole reply, or one chunk of it"
    );
    assert!(
        REPLY_BYTES / 3 * 4 + 4 <= CHUNK_BYTES || REPLY_BYTES <= CHUNK_PIECE_BYTES,
        "chunk_bytes: must hold a whole reply in base64"
    );
    assert!(
        REQUEST_ID_BYTES >= 36 && CHUNK_ID_BYTES >= 36,
        "request_id_bytes, chunk_id_bytes: Friend Core's web client makes ids of 36"
    );
    assert!(
        SHUTDOWN_GRACE.as_secs() > SHUTDOWN_TIMEOUT.as_secs() + KILL_TIMEOUT.as_secs()
            && ANSWER_TIMEOUT.as_secs() > COMMAND_TIMEOUT.as_secs()
            && RESET_TIMEOUT.as_secs() > SILENCE_TIMEOUT.as_secs(),
        "a time that is for what others forget has to be longer than they are"
    );
    assert!(
        TLS_HANDSHAKE_BYTES < TLS_RECORD_BYTES && TLS_CHAIN_BYTES + 2048 <= TLS_SEND_BYTES,
        "a handshake has to fit the buffers of TLS, either way"
    );
    assert!(SERVICES <= 64, "services: at most 64, one bit each of what a peer is owed");
    assert!(USERS <= 255 && TOKENS <= 255, "users, tokens: at most 255");
    assert!(SESSIONS <= 65_535, "sessions: at most 65535");
    assert!(CHUNK_PARTS <= 255 && CHUNK_SETS <= 255, "chunk_parts, chunk_sets: at most 255");
    assert!(PASSWORD_ROUNDS as u64 <= PASSWORD_ROUNDS_MAX as u64, "password_rounds: at most 10000000");
};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn table_names_every_limit() {
        assert!(TABLE.contains(&("slots", SLOTS)));
        assert!(TABLE.contains(&("config_bytes", CONFIG_BYTES)));
        assert!(TABLE.iter().all(|(_, value)| *value > 0));
    }
}
