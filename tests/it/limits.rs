//! Every limit is held by a test that meets it and one that passes it: this table says which, and a
//! limit without a row, or a row without its tests, is an error.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::PathBuf;

use crate::support::source::{Token, tokens};

/// How a limit is held.
#[derive(Clone, Copy)]
enum Held {
    /// A test that meets it, with what is to work working, and one that passes it, with what is to
    /// happen happening: `FILE TEST`, the file from the root of the repository.
    By(&'static str, &'static str),
    /// One test that does both.
    Both(&'static str),
    /// There is nothing that could pass it, and why.
    Fixed(&'static str),
}

use Held::{Both, By, Fixed};

const BOARD_LIMITS: &str = "src/config/tests/limits_of_the_board.rs each_limit_is_met_and_not_passed";
const RANGES: &str = "src/config/tests/limits_of_the_board.rs numbers_of_the_file_stay_in_their_ranges";
const DEFAULTS: &str = "src/config/tests/limits_of_the_board.rs defaults_are_those_of_the_limits";
const SOCKET: &str = "tests/system/bad_input.rs what_is_over_its_limit_is_refused_and_what_meets_it_is_not";
const LOGIN: &str = "src/connection/tests/limits.rs parts_of_a_login_are_as_long_as_they_may_be_and_no_longer";
const SENDING: &str = "src/connection/tests/limits.rs peer_that_reads_nothing_is_heard_until_its_buffer_is_full";
const CLOSING: &str = "src/connection/tests/limits.rs largest_answer_leaves_room_for_the_closing_frame";
const OF_RUSTLS: &str = "what rustls takes: tests/system/handshakes.rs measures it";
const LINGER: &str = "src/net/linger.rs closed_connection_is_read_on_to_its_limits_and_no_further";
const DHCP_PAUSES: &str = "src/dhcp/client/tests.rs unanswered_message_is_sent_again_and_less_and_less";
const DHCP_RENEWAL: &str = "src/dhcp/client/tests.rs tries_to_renew_keep_their_distance";
const BACK_OFF: &str = "src/service/restart.rs pause_doubles_up_to_its_limit";
const LOG_TICK: &str =
    "src/sys/log_files/tests.rs one_tick_writes_so_much_and_no_more_and_what_is_overwritten_is_counted";
const TMPFS: &str = "the kernel is told so when memory is mounted, and refuses what passes it: ENOSPC";

/// In the order of `boards/base.toml`, then of `src/limits.rs`.
const HELD: &[(&str, Held)] = &[
    (
        "SLOTS",
        By(
            "src/connection/tests/limits.rs every_slot_of_the_board_and_the_door_are_taken_and_no_more",
            "src/config/tests.rs limits_are_lowered_and_never_raised",
        ),
    ),
    (
        "MESSAGE_BYTES",
        By(
            "src/connection/tests/limits.rs message_of_the_limit_is_taken_in_fragments_and_one_more_byte_closes",
            SOCKET,
        ),
    ),
    (
        "REPLY_BYTES",
        By(
            "src/connection/tests/limits.rs reply_is_made_up_to_its_limit_and_cut_beyond",
            "src/connection/tests/calls.rs output_that_fits_no_answer_is_cut",
        ),
    ),
    ("SEND_BYTES", By(CLOSING, SENDING)),
    (
        "HEAD_BYTES",
        By("src/http/head/tests.rs head_limit_met_and_passed", "src/http/head/tests.rs request_line_limit"),
    ),
    ("HEAD_FIELDS", Both("src/http/head/tests.rs field_limit_met_and_passed")),
    ("BODY_BYTES", Both("src/http/head/tests.rs body_limit_met_and_passed")),
    ("PATH_BYTES", By("src/http/head/tests.rs path_limit_met_and_passed", SOCKET)),
    ("REQUEST_ID_BYTES", By("src/friendcore/tests/envelopes.rs limits_of_path_ids_and_session", SOCKET)),
    (
        "PARAMETERS",
        By(
            "src/friendcore/tests/bodies.rs parameters_limit",
            "src/connection/tests/limits.rs form_has_its_parameters_and_no_more",
        ),
    ),
    (
        "JSON_DEPTH",
        By(
            "src/friendcore/tests/bodies.rs depth_limit",
            "tests/system/bad_input.rs envelopes_that_cannot_be_read_are_answered_and_forgiven",
        ),
    ),
    (
        "CHUNK_SETS",
        By(
            "src/friendcore/chunk/tests.rs sets_limit",
            "src/connection/tests/limits.rs long_reply_that_finds_no_free_set_is_an_error",
        ),
    ),
    ("CHUNK_BYTES", By("src/friendcore/chunk/tests.rs bytes_limit", "src/friendcore/chunk/tests.rs down_bytes_limit")),
    ("CHUNK_PARTS", Both("src/friendcore/chunk/tests.rs total_limit")),
    (
        "CHUNK_ID_BYTES",
        By("src/friendcore/chunk/tests.rs id_limit", "src/friendcore/tests/envelopes.rs chunk_broken_or_id_too_long"),
    ),
    ("SERVICES", By("src/service/table.rs holds_as_many_as_its_limit_says", BOARD_LIMITS)),
    ("SERVICE_NAME_BYTES", By("src/service/spec.rs name_meets_its_limit_and_not_more", BOARD_LIMITS)),
    ("SERVICE_ARGUMENTS", By("src/service/spec.rs arguments_meet_their_limits_and_not_more", BOARD_LIMITS)),
    (
        "SERVICE_ARGUMENT_BYTES",
        By("src/service/spec.rs arguments_meet_their_limits_and_not_more", BOARD_LIMITS),
    ),
    ("SERVICE_VARIABLES", By("src/service/spec.rs variables_meet_their_limits_and_not_more", BOARD_LIMITS)),
    (
        "SERVICE_VARIABLE_BYTES",
        By("src/service/spec.rs variables_meet_their_limits_and_not_more", BOARD_LIMITS),
    ),
    ("SERVICE_AFTER", Both(BOARD_LIMITS)),
    ("SERVICE_COMMANDS", By("src/service/spec.rs commands_meet_their_limit_and_are_found", BOARD_LIMITS)),
    ("SERVICE_COMMAND_RUNS", Both("src/sys/process/tests.rs commands_meet_their_number")),
    (
        "SERVICE_OUTPUT_BYTES",
        By(
            "src/sys/process/tests.rs output_up_to_its_limit_is_whole",
            "src/sys/process/tests.rs newest_output_is_kept",
        ),
    ),
    (
        "COMMAND_OUTPUT_BYTES",
        By(
            "src/sys/process/tests.rs command_output_meets_its_limit_and_is_cut_there",
            "tests/system/commands.rs a_program_that_writes_too_much_is_cut",
        ),
    ),
    ("WEBGUI_BYTES", Both(BOARD_LIMITS)),
    (
        "LOG_RING_BYTES",
        By("src/log/ring.rs record_as_large_as_the_ring_is_kept_and_a_larger_one_is_lost", LOG_TICK),
    ),
    ("USERS", By("src/session/users.rs table_takes_its_limit_and_no_more", BOARD_LIMITS)),
    ("USER_NAME_BYTES", By("src/session/users.rs names_of_users", LOGIN)),
    ("USER_FULL_NAME_BYTES", Both(BOARD_LIMITS)),
    (
        "USER_SERVICES",
        By(
            "src/session/users.rs grants_take_their_limit_and_no_more",
            "src/config/tests/limits_of_the_board.rs services_of_one_user_meet_their_limit_and_not_more",
        ),
    ),
    ("TOKENS", By("src/session/token.rs table_takes_its_limit_and_no_more", BOARD_LIMITS)),
    (
        "SESSIONS",
        By(
            "src/session/table.rs full_table_takes_nobody_elses_login",
            "src/session/table.rs in_a_full_table_the_users_longest_idle_session_gives_way",
        ),
    ),
    ("DEVICE_ID_BYTES", By("src/session/table.rs device_id_may_be_as_long_as_its_limit", LOGIN)),
    ("PASSWORD_BYTES", By("src/cli/passwd.rs password_may_be_as_long_as_its_limit", LOGIN)),
    ("PASSWORD_CHECKS", Both("src/sys/password.rs queue_takes_its_limit_and_no_more")),
    (
        "PASSWORD_ROUNDS",
        Fixed("what a new password gets and nothing is compared with; PASSWORD_ROUNDS_MAX bounds it"),
    ),
    (
        "LOCKOUTS",
        By(
            "src/session/lockout.rs full_table_forgets_the_oldest_that_is_not_blocked",
            "src/session/lockout.rs table_full_of_blocked_pairs_forgets_the_oldest",
        ),
    ),
    ("CONFIG_BYTES", Both(BOARD_LIMITS)),
    (
        "CONFIG_ERRORS",
        By(
            "src/config/diagnostics.rs as_many_errors_are_told_as_the_limit_says",
            "src/config/tests/limits_of_the_board.rs as_many_errors_are_told_as_the_limit_says",
        ),
    ),
    ("ORIGINS", Both(BOARD_LIMITS)),
    ("ORIGIN_BYTES", Both(BOARD_LIMITS)),
    (
        "FILE_PATH_BYTES",
        By(BOARD_LIMITS, "src/sys/accounts.rs name_and_home_over_their_limits_are_no_account"),
    ),
    // src/limits.rs
    ("TABLE", Fixed("the limits by name")),
    ("BOARD", Fixed("a name")),
    ("TARGET", Fixed("a name")),
    ("BOARD_FILE", Fixed("a text that is in the program")),
    (
        "SESSION_ID_BYTES",
        Fixed("the server makes them, of 20 bytes; what others show is PRESENTED_SESSION_BYTES"),
    ),
    (
        "PRESENTED_SESSION_BYTES",
        By(
            "src/session/token.rs token_may_be_as_long_as_a_session_id_that_is_looked_at",
            "src/friendcore/tests/frames.rs limits_of_path_and_session",
        ),
    ),
    (
        "CONTROL_BYTES",
        By(
            "src/ws/assembler/tests.rs control_frame_at_the_limit",
            "src/ws/send.rs ping_over_125_bytes_is_refused",
        ),
    ),
    ("FRAME_HEADER_BYTES", Fixed("RFC 6455 has no longer header")),
    (
        "CHUNK_PIECE_BYTES",
        By(
            "src/connection/tests/limits.rs message_goes_out_in_one_piece_up_to_its_limit",
            "src/friendcore/chunk/tests.rs down_in_parts",
        ),
    ),
    (
        "CHUNK_ENVELOPE_BYTES",
        By(
            "src/friendcore/chunk/tests.rs down_in_parts",
            "src/friendcore/chunk/tests.rs envelope_of_a_part_is_within_its_room",
        ),
    ),
    ("SEND_RESERVE_BYTES", By(CLOSING, SENDING)),
    (
        "RECEIVE_BYTES",
        By(
            "src/connection/tests/limits.rs message_of_the_limit_is_taken_in_fragments_and_one_more_byte_closes",
            "src/ws/buffer.rs filled_to_the_limit_and_no_further",
        ),
    ),
    (
        "OVERFLOW_SLOTS",
        By(
            "src/connection/tests/limits.rs every_slot_of_the_board_and_the_door_are_taken_and_no_more",
            "src/connection/tests/capacity.rs full_house_says_503_and_lets_an_administrator_in",
        ),
    ),
    (
        "TLS_RECORD_BYTES",
        Both("src/net/tls/tests/hostile.rs record_meets_the_limit_of_the_buffer_and_not_more"),
    ),
    (
        "TLS_SEND_BYTES",
        Both("src/net/tls/tests/session.rs output_is_full_at_its_limit_and_takes_more_when_it_is_empty"),
    ),
    ("TLS_CHAIN_BYTES", Both("src/net/tls/tests/handshake.rs chain_meets_its_limit_and_not_more")),
    (
        "TLS_HANDSHAKE_BYTES",
        Both("src/net/tls/tests/handshake.rs handshake_message_meets_its_limit_and_not_more"),
    ),
    ("TLS_HEAP_BYTES", Fixed(OF_RUSTLS)),
    ("TLS_CLIENT_HEAP_BYTES", Fixed(OF_RUSTLS)),
    ("TLS_PARSE_BYTES", Fixed(OF_RUSTLS)),
    (
        "TLS_IDLE_RECORDS",
        Both("src/net/tls/tests/hostile.rs records_without_data_meet_their_limit_and_not_more"),
    ),
    (
        "SOCKET_BUFFER_BYTES",
        Both("src/net/listener.rs accepted_connection_keeps_a_bounded_number_of_bytes_that_nobody_reads"),
    ),
    ("LINGER_BYTES", Both(LINGER)),
    ("STEP_BUDGET", Both("src/net/driver/tests.rs connection_has_its_budget_of_steps_and_then_yields")),
    (
        "PUSH_BACKLOG_BYTES",
        By(
            "src/connection/tests/limits.rs pushes_wait_behind_their_backlog_and_not_before",
            "src/connection/tests/pushes.rs peer_that_does_not_read_is_owed_the_newest_state_only",
        ),
    ),
    ("PEM_BYTES", Both("src/serve/identity.rs pem_files_may_be_as_large_as_their_limit")),
    (
        "FIRST_USER_FILE_BYTES",
        Both("src/serve/identity.rs file_of_the_first_user_may_be_as_large_as_its_limit"),
    ),
    (
        "LOG_LINE_BYTES",
        By("src/log/text.rs line_up_to_the_limit_is_whole", "src/log/text.rs long_line_is_cut"),
    ),
    ("LOG_ARGUMENTS", Both("src/log/mod.rs formats_that_both_forms_take")),
    ("LOG_FILE_BYTES", Both(DEFAULTS)),
    ("LOG_FILE_BYTES_MIN", Both(RANGES)),
    ("LOG_FILE_BYTES_MAX", Both(RANGES)),
    ("LOG_FILES", Both(DEFAULTS)),
    ("LOG_FILES_MAX", Both(RANGES)),
    ("LOG_WRITE_BYTES", By(LOG_TICK, "tests/system/logs.rs one_answer_is_bounded_and_the_rest_follows")),
    ("LOG_WRITES", Both(LOG_TICK)),
    ("LOG_HEAD_BYTES", Both("src/sys/log_files/tests.rs head_has_room_for_the_longest_words")),
    ("LOG_BURST", Both("src/log/rate.rs burst_passes_and_the_rest_is_counted")),
    ("INTERFACE_NAME_BYTES", Both(BOARD_LIMITS)),
    ("HOST_NAME_BYTES", Both(BOARD_LIMITS)),
    (
        "NAMESERVERS",
        By(BOARD_LIMITS, "src/dhcp/packet/tests.rs nameservers_meet_their_limit_and_the_rest_is_left"),
    ),
    (
        "DHCP_BYTES",
        By(
            "src/dhcp/packet/tests.rs messages_up_to_the_limit_are_read",
            "src/dhcp/packet/tests.rs longest_message_has_room",
        ),
    ),
    ("NETLINK_BYTES", Both("src/sys/network/kernel.rs datagram_may_be_as_long_as_the_limit")),
    ("NETWORK_TURNS", Both("src/sys/network/kernel.rs answer_has_its_number_of_datagrams")),
    ("DHCP_TRIES", Both("src/dhcp/client/tests.rs offer_that_is_not_kept_is_given_up")),
    ("ACCOUNTS_BYTES", Both("src/sys/accounts.rs file_is_read_to_its_limit_and_in_whole_lines")),
    (
        "COMPLAINT_BYTES",
        By(
            "src/config/in_force.rs text_is_one_line_up_to_its_limit",
            "src/cli/load.rs complaint_has_its_limit_and_keeps_its_end",
        ),
    ),
    (
        "NOTICE_BYTES",
        By(
            "src/cli/serve.rs notice_is_as_long_as_its_limit_and_no_longer",
            "src/init/board.rs notice_takes_its_limit_and_is_cut_beyond",
        ),
    ),
    ("BUILD_ID_BYTES", Both("src/cli/serve.rs build_id_is_as_long_as_its_limit_and_no_longer")),
    ("COMMAND_LINE_BYTES", Both("src/init/command_line.rs line_is_read_to_its_limit_and_no_further")),
    ("MODULES_BYTES", Both("src/init/modules.rs list_is_read_to_its_limit_and_no_further")),
    (
        "NOTIFY_BYTES",
        Both("src/sys/machine/notify.rs message_comes_with_its_sender_up_to_its_limit_and_empty_beyond"),
    ),
    ("CLOCK_FILES", Both("src/sys/machine/clock.rs as_many_files_are_looked_at_as_the_limit_says")),
    ("INITRAMFS_DEPTH", Both("src/sys/machine/mounts.rs emptied_as_deep_as_the_limit_and_no_deeper")),
    ("RUN_BYTES", Fixed(TMPFS)),
    ("TMP_BYTES", Fixed(TMPFS)),
    ("SPARE_DATA_BYTES", Fixed(TMPFS)),
    ("UNMOUNT_TRIES", Both("src/sys/machine/mounts.rs busy_data_are_tried_again_as_often_as_the_limit_says")),
    ("SHORT_RUNS", Both("src/init/keeper/tests.rs short_runs_end_the_trial_of_a_slot_and_nothing_else")),
    ("PASSWORD_ROUNDS_MAX", Both("src/session/password.rs rounds_up_to_the_limit_are_taken")),
    // Times: met is the last moment at which nothing happens, passed the first at which it does.
    (
        "HEAD_TIMEOUT",
        By(
            "src/connection/tests/capacity.rs half_a_request_is_answered_at_its_end_or_its_deadline",
            "tests/system/deadlines.rs half_a_request_ends_after_the_head_timeout",
        ),
    ),
    (
        "SESSION_TIMEOUT",
        By(
            "src/connection/tests/limits.rs socket_has_its_time_to_show_a_session_and_no_more",
            "tests/system/deadlines.rs a_socket_without_a_session_is_closed",
        ),
    ),
    (
        "ADMINISTRATOR_TIMEOUT",
        By(
            "src/connection/tests/limits.rs socket_has_its_time_to_show_a_session_and_no_more",
            "src/connection/tests/capacity.rs socket_in_the_administrators_slot_has_to_be_one_s",
        ),
    ),
    (
        "PING_INTERVAL",
        By(
            "src/ws/socket.rs two_unanswered_pings_close",
            "tests/system/deadlines.rs unanswered_pings_end_a_socket_and_answered_ones_keep_it",
        ),
    ),
    (
        "UNANSWERED_PINGS",
        By(
            "src/ws/socket.rs two_unanswered_pings_close",
            "src/connection/tests/capacity.rs peer_that_answers_no_ping_is_gone",
        ),
    ),
    (
        "SEND_TIMEOUT",
        By(
            "src/connection/tests/limits.rs peer_may_leave_unread_what_it_is_owed_for_a_time",
            "tests/system/reader.rs it_is_closed_past_its_deadline_and_costs_no_memory",
        ),
    ),
    (
        "CLOSE_TIMEOUT",
        By(
            "src/ws/socket.rs close_unanswered_ends_at_its_deadline",
            "src/connection/tests/capacity.rs socket_without_a_session_is_closed",
        ),
    ),
    ("LINGER_TIMEOUT", Both(LINGER)),
    (
        "EVICT_AFTER",
        By(
            "src/connection/tests/limits.rs newcomer_to_a_full_house_has_a_moment_to_speak",
            "src/connection/tests/capacity.rs silent_newcomer_to_a_full_house_gives_way",
        ),
    ),
    (
        "CHUNK_AGE",
        By("src/friendcore/chunk/tests.rs age_limit", "src/friendcore/chunk/tests.rs sets_of_age_make_room_at_once"),
    ),
    (
        "COMMAND_TIMEOUT",
        By(
            "src/sys/process/tests.rs command_has_its_time",
            "tests/system/commands.rs a_program_that_does_not_end_is_killed_and_holds_nobody_up",
        ),
    ),
    (
        "ANSWER_TIMEOUT",
        By(
            "src/connection/tests/limits.rs answer_is_waited_for_and_no_longer",
            "src/connection/tests/calls.rs call_whose_answer_never_comes_is_given_up",
        ),
    ),
    ("LOCKOUT_TIME", By("src/connection/tests/limits.rs block_lasts_its_time_and_no_longer", DEFAULTS)),
    ("LOCKOUT_TIME_MAX", Both(RANGES)),
    ("LOCKOUT_ATTEMPTS", By("src/connection/tests/limits.rs block_lasts_its_time_and_no_longer", DEFAULTS)),
    ("LOCKOUT_ATTEMPTS_MAX", Both(RANGES)),
    (
        "IDLE_TIMEOUT",
        By("src/session/table.rs session_lives_as_long_as_it_may_be_idle_unless_said_otherwise", DEFAULTS),
    ),
    ("IDLE_TIMEOUT_MIN", Both(RANGES)),
    ("IDLE_TIMEOUT_MAX", Both(RANGES)),
    ("STOP_TIMEOUT", By("src/service/supervisor/tests.rs killed_once_when_it_does_not_end", DEFAULTS)),
    ("STOP_TIMEOUT_MAX", Both(RANGES)),
    ("RESTART_DELAY_MIN", By(BACK_OFF, "src/service/restart.rs good_run_makes_it_short_again")),
    ("RESTART_DELAY_MAX", Both(BACK_OFF)),
    (
        "GOOD_RUN",
        By(
            "src/service/restart.rs good_run_makes_it_short_again",
            "src/service/supervisor/tests.rs pause_between_restarts_grows_and_a_good_run_shortens_it",
        ),
    ),
    ("KILL_TIMEOUT", Both("src/service/supervisor/tests.rs shutdown_is_bounded")),
    ("SHUTDOWN_TIMEOUT", Both("src/service/supervisor/tests.rs shutdown_is_bounded")),
    (
        "SHUTDOWN_GRACE",
        Fixed(
            "longer than SHUTDOWN_TIMEOUT and KILL_TIMEOUT together, as src/limits.rs asserts: they end first",
        ),
    ),
    ("BOARD_COMMAND_TIMEOUT", Both("src/sys/board.rs program_has_its_time_and_no_more")),
    ("UPKEEP_DELAY", Fixed("a pause, and no bound: every deadline is longer, as src/limits.rs asserts")),
    ("NETWORK_POLL", Both("src/sys/network/mod.rs missing_interface_is_looked_for_once_in_a_while")),
    ("DHCP_RETRY_MIN", Both(DHCP_PAUSES)),
    ("DHCP_RETRY_MAX", Both(DHCP_PAUSES)),
    ("DHCP_RENEW_MIN", By(DHCP_RENEWAL, "src/dhcp/client/tests.rs lease_is_rebound_and_ends")),
    ("DHCP_LEASE_MIN", Both("src/dhcp/client/tests.rs answers_that_are_none_are_left_alone")),
    ("LOG_FOLLOW_STEP", Fixed("a pause of the client, and no bound: one question follows")),
    (
        "LOG_RETRY_PAUSE",
        Both(
            "src/sys/log_files/tests.rs file_that_cannot_be_made_is_tried_again_after_the_pause_and_not_before",
        ),
    ),
    ("LOG_WINDOW", Both("src/log/rate.rs burst_passes_and_the_rest_is_counted")),
    (
        "DEVICE_TIMEOUT",
        Fixed("the time that init gives to wait_for, which src/sys/machine/mod.rs holds to any"),
    ),
    ("DEVICE_STEP", Both("src/sys/machine/mod.rs waits_for_what_comes_and_not_longer_than_it_may")),
    ("ROOT_FAILURE_PAUSE", Fixed("a pause, and no bound: a restart follows")),
    ("DATA_RETRY_PAUSE", Fixed("a pause, and no bound: one try follows")),
    ("UNMOUNT_PAUSE", Both("src/sys/machine/mounts.rs busy_data_are_tried_again_as_often_as_the_limit_says")),
    (
        "READY_TIMEOUT",
        By(
            "src/init/keeper/tests.rs server_has_its_time_to_serve",
            "src/init/keeper/tests.rs slot_on_trial_has_that_time_for_all_its_starts_and_is_given_up",
        ),
    ),
    (
        "SILENCE_TIMEOUT",
        By(
            "src/init/keeper/tests.rs watchdog_is_fed_while_the_server_speaks_and_not_longer",
            "src/init/keeper/tests.rs silent_server_is_killed_where_there_is_no_watchdog",
        ),
    ),
    ("RESET_TIMEOUT", Both("src/init/keeper/tests.rs watchdog_that_does_not_reset_has_its_time")),
    ("VANISH_TIMEOUT", Both("src/init/keeper/tests.rs killed_server_that_does_not_vanish_ends_the_board")),
    (
        "LEFTOVER_TIMEOUT",
        By(
            "src/init/keeper/tests.rs board_ends_in_order",
            "src/init/keeper/tests.rs end_of_the_board_is_bounded",
        ),
    ),
    ("FEED_INTERVAL", Both("src/init/keeper/tests.rs watchdog_is_not_fed_more_often_than_it_has_to_be")),
];

fn read(file: &str) -> Option<String> {
    fs::read_to_string(PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(file)).ok()
}

/// The test functions of a source and the words in each.
fn tests(source: &str) -> BTreeMap<String, Vec<String>> {
    let tokens: Vec<Token> = tokens(source).into_iter().map(|at| at.token).collect();
    let word = |text: &str| Token::Word(text.to_owned());
    let attribute = [Token::Other('#'), Token::Other('['), word("test"), Token::Other(']')];
    let mut found = BTreeMap::new();
    for start in 0..tokens.len() {
        let Some(rest) = tokens[start..].strip_prefix(&attribute) else { continue };
        let Some(function) = rest.iter().position(|token| *token == word("fn")) else { continue };
        let Some(Token::Word(name)) = rest.get(function + 1) else { continue };
        let mut open = 0;
        let body = rest[function..].iter().take_while(|token| match token {
            Token::Other('{') => {
                open += 1;
                true
            }
            Token::Other('}') => {
                open -= 1;
                open > 0
            }
            _ => true,
        });
        let words = body.filter_map(|token| match token {
            Token::Word(word) => Some(word.clone()),
            _ => None,
        });
        found.insert(name.clone(), words.collect());
    }
    found
}

/// What is wrong with the rows of one limit.
fn faults(limit: &str, rows: &[(&str, Held)]) -> Vec<String> {
    let rows: Vec<Held> = rows.iter().filter(|(name, _)| *name == limit).map(|(_, held)| *held).collect();
    let [row] = rows[..] else { return vec![format!("{limit} has {} rows", rows.len())] };
    let (met, passed) = match row {
        By(met, passed) => (met, passed),
        Both(test) => (test, test),
        Fixed(why) if why.len() > 5 => return Vec::new(),
        Fixed(_) => return vec![format!("{limit}: why can nothing pass it?")],
    };
    let mut faults = Vec::new();
    let mut is_named = false;
    let tests_of_it = if met == passed { vec![met] } else { vec![met, passed] };
    for place in tests_of_it {
        let words = place.split_once(' ').and_then(|(file, test)| tests(&read(file)?).remove(test));
        match words {
            Some(words) => is_named |= words.iter().any(|word| word == limit),
            None => faults.push(format!("{limit}: there is no test {place}")),
        }
    }
    if faults.is_empty() && !is_named {
        faults.push(format!("{limit}: neither of its tests speaks of it"));
    }
    faults
}

/// The limits of the boards and the constants of `src/limits.rs`.
fn limits() -> Vec<String> {
    let source = read("src/limits.rs").unwrap();
    let constants = source.lines().filter_map(|line| line.strip_prefix("pub const ")?.split(':').next());
    let board = friendlet::limits::TABLE.iter().map(|(name, _)| name.to_ascii_uppercase());
    board.chain(["TABLE".to_owned()]).chain(constants.map(str::to_owned)).collect()
}

#[test]
fn every_limit_is_met_and_passed() {
    let limits = limits();
    assert!(limits.len() > 80, "{}", limits.len());
    let faults: Vec<String> = limits.iter().flat_map(|limit| faults(limit, HELD)).collect();
    assert!(faults.is_empty(), "{}", faults.join("\n"));
    let gone: Vec<_> = HELD.iter().filter(|(name, _)| !limits.iter().any(|limit| limit == name)).collect();
    assert!(gone.is_empty(), "no such limit: {:?}", gone.iter().map(|(name, _)| name).collect::<Vec<_>>());
}

#[test]
fn every_constant_is_used_by_the_program() {
    let mut used = BTreeSet::new();
    let mut folders = vec![PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("src")];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            let is_apart = ["src/limits.rs", "cli/limits.rs", "tests", "tests.rs"];
            if is_apart.iter().any(|apart| path.ends_with(apart)) {
                continue;
            } else if path.is_dir() {
                folders.push(path);
            } else {
                let source = fs::read_to_string(&path).unwrap();
                let program = source.split("#[cfg(test)]\nmod tests {").next().unwrap_or_default();
                used.extend(tokens(program).into_iter().filter_map(|at| match at.token {
                    Token::Word(word) => Some(word),
                    _ => None,
                }));
            }
        }
    }
    let unused: Vec<_> = limits().into_iter().filter(|limit| !used.contains(limit)).collect();
    assert!(unused.is_empty(), "nothing is held to {unused:?}");
}

#[test]
fn planted_faults_are_found() {
    let good = "src/log/rate.rs burst_passes_and_the_rest_is_counted";
    let of = |held: Held| faults("LOG_BURST", &[("LOG_BURST", held)]).len();
    assert_eq!(of(Both(good)), 0);
    assert_eq!(of(By(good, "src/log/rate.rs pass")), 1, "a function that is no test");
    assert_eq!(of(By(good, "src/log/gone.rs burst_passes_and_the_rest_is_counted")), 1);
    assert_eq!(of(Both(LINGER)), 1, "a test of something else");
    assert_eq!(of(Fixed("")), 1);
    assert_eq!(faults("LOG_BURST", &[]).len(), 1);
    assert_eq!(faults("LOG_BURST", &[("LOG_BURST", Both(good)); 2]).len(), 1);
}
