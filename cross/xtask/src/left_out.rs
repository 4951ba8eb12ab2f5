//! Tests that are left out, and why: the one table of them. A test itself never skips.

use std::fs;
use std::net::{Ipv6Addr, TcpListener};
use std::path::Path;

use Condition::{Booted, Emulated, NoCgroups, NoIpv6, NoNamespaces, OtherStep, PlainUser};

use crate::cargo::cargo;
use crate::notes::{self, Kind};
use crate::{run, setup};

/// Condition under which a test cannot run.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Condition {
    /// In user-mode QEMU.
    Emulated,
    /// Against a booted board, from this machine.
    Booted,
    /// As a user who is not root.
    PlainUser,
    /// On a machine without cgroup v2, or as a user who cannot create control groups.
    NoCgroups,
    /// On a machine without IPv6.
    NoIpv6,
    /// On a machine whose kernel gives a user no namespaces.
    NoNamespaces,
    /// Without what a later step prepares: the test is `#[ignore]`d, and that step runs it.
    OtherStep,
}

/// Condition, part of the names of the tests, and reason.
#[rustfmt::skip]
const TABLE: &[(Condition, &str, &str)] = &[
    (Emulated, "hours::first_five_hundred", "nothing of it depends on the processor, and ten of the hours are run"),
    (Emulated, "hours::next_five_hundred", "nothing of it depends on the processor, and ten of the hours are run"),
    (Emulated, "system::memory::", "memory of the process is the emulator's; booted boards measure their own"),
    (Emulated, "system::admission::administrator_gets_in", "the emulator is slower than the flood, which runs on this machine"),
    (Emulated, "system::floods::connections_that_hang_up_without_a_byte", "memory of the process is the emulator's"),
    (Emulated, "system::floods::half_heads", "memory of the process is the emulator's"),
    (Emulated, "system::floods::client_hellos_cut_short", "memory of the process is the emulator's"),
    (Emulated, "system::reader::peer_that_does_not_read_is_closed_and_uses_no_memory", "memory of the process is the emulator's"),
    (Emulated, "system::life::threads_and_descriptors_do_not_grow", "threads of the process are the emulator's"),
    (Emulated, "system::endurance::", "memory of the process and the time of a start are the emulator's"),
    (Emulated, "system::deaths::", "the time of a start and of an end is the emulator's"),
    (Emulated, "system::inheritance::", "some of them upgrade: see system::upgrade"),
    (Emulated, "system::upgrade::", "the program executes itself, and the processor is the emulator's; a booted board does it"),
    (Emulated, "system::trial::upgrade_in_a_trial", "the program executes itself, and the processor is the emulator's"),
    (Emulated, "system::damage::start_with_too_few_descriptors", "the descriptors of the process are the emulator's"),
    (Emulated, "system::stack::", "its programs are the host's, and nothing of it depends on the processor"),
    (Emulated, "system::proxies::", "its programs are the host's, and nothing of it depends on the processor"),
    (Emulated, "system::clients::", "its programs are the host's, and nothing of it depends on the processor"),
    (Emulated, "system::terminal::", "its terminal is the host's, and nothing of it depends on the processor"),
    (Emulated, "system::allocations::", "runs an example that is built for the host alone"),
    (Emulated, "system::handshakes::", "runs an example that is built for the host alone"),
    (Emulated, "system::network::", "runs an example that is built for the host alone"),
    (Emulated, "documents::commands::commands_run", "enters namespaces, and nothing of it depends on the processor"),
    (Emulated, "system::built_in::", "enters namespaces, and nothing of it depends on the processor"),
    (Emulated, "system::login::password_check_does_not_block_other_calls", "the emulator decides how long a password takes"),
    (Emulated, "system::supervision::daemon", "QEMU 7.2 does not pass on PR_SET_CHILD_SUBREAPER"),
    (Emulated, "system::supervision::nothing_is_left_when_the_server_is_killed_at_its_end", "QEMU 7.2 does not pass on PR_SET_CHILD_SUBREAPER"),
    (Emulated, "system::supervision::stranger_with_the_number", "QEMU 7.2 does not pass on PR_SET_CHILD_SUBREAPER"),
    (Emulated, "system::notify::report_of_", "QEMU 7.2 does not pass on PR_SET_CHILD_SUBREAPER, and is itself a process of the service"),
    (Emulated, "system::blocked::daemon_whose_memory_is_locked", "QEMU 7.2 does not pass on PR_SET_CHILD_SUBREAPER"),
    (Emulated, "system::supervision::signals_that_would_end_the_server", "QEMU 7.2 keeps real-time signals for itself, and ends by them"),
    (Emulated, "system::supervision::processes_that_end_while_they_are_looked_for", "QEMU 7.2 does not pass on PR_SET_CHILD_SUBREAPER"),
    (Emulated, "system::cgroups::", "QEMU 7.2 does not pass on PR_SET_CHILD_SUBREAPER, and is itself a process of the service"),
    (Emulated, "system::names::", "enters namespaces, and nothing of it depends on the processor"),
    (Emulated, "system::local_socket::client_of_root_finds_it", "enters namespaces, and nothing of it depends on the processor"),
    (Emulated, "system::service_life::nothing_that_the_programs_start_is_left", "QEMU 7.2 does not pass on PR_SET_CHILD_SUBREAPER"),
    (Emulated, "system::ordering::", "runs an example that is built for the host alone"),
    (Emulated, "keeper::client::tests::attributes::every_resource_has_its_limit", "QEMU 7.2 keeps limits of memory to itself"),
    (Emulated, "keeper::procfs::tests::fields_are_read_after_the_name", "QEMU 7.2 shows a process a status of its own, without its parent"),
    (Emulated, "sys::log_files::tests::panic_is_in_the_file", "half a second is short for an emulated processor beside other tests"),
    (Emulated, "sys::sandbox::tests::kernel_", "QEMU 7.2 passes on neither seccomp(2) nor landlock(7)"),
    (Emulated, "system::sandbox::server_", "QEMU 7.2 passes on neither seccomp(2) nor landlock(7)"),
    (Emulated, "system::sandbox::reload_names_output", "QEMU 7.2 does not pass on landlock(7)"),
    (Emulated, "system::discovery::", "enters namespaces, and nothing of it depends on the processor"),
    (Emulated, "log::reason::tests::texts_are_those_of_the_system", "musl has other texts than glibc"),
    (Booted, "system::import::", "reads a file that a service wrote"),
    (Booted, "system::admission::administrator_gets_in", "on the board, all its clients have one address"),
    (Booted, "system::clients::", "reads the certificate of the server beside it"),
    (Booted, "system::commands::a_signal_reaches_the_service", "reads a file that a service wrote"),
    (Booted, "system::commands::user_whose_commands_do_not_end", "reads a file that a service wrote"),
    (Booted, "system::ctl::another_certificate_of_the_same_key", "removes files of the state directory"),
    (Booted, "system::descriptors::", "limits the server by a shell of this machine"),
    (Booted, "system::http::refused_page_is_logged", "reads the log, which has frames on a board"),
    (Booted, "system::local_socket::", "opens a socket on the machine of the server; `booted::` has its own case"),
    (Booted, "system::proxies::", "its programs are the host's, before a server at the loopback"),
    (Booted, "system::sandbox::reload_names_output", "reads and changes files beside the server"),
    (Booted, "system::sandbox::server_has_a_user_of_its_own", "starts the server again in its directory"),
    (Booted, "system::sandbox::server_that_follows", "kills a process of this machine"),
    (Booted, "system::sandbox::server_of_a_plain_user", "copies the program into a directory of another user"),
    (Booted, "system::services::service_runs_in_its_directory", "reads a file that a service wrote"),
    (Booted, "system::services::a_service_runs_as_the_user_of_the_file", "reads a file that a service wrote"),
    (Booted, "system::services::service_with_much_output_is_never_blocked", "reads a file that a service wrote"),
    (Booted, "system::services::install_and_uninstall_outlast_the_server", "starts the server again in its directory"),
    (Booted, "system::stopping::services_start_and_stop_in_order", "reads a file that a service wrote"),
    (Booted, "system::stopping::signals_to_keeper_and_server_leave_the_time_to_flush", "reads a file that a service wrote"),
    (Booted, "system::names::", "changes the addresses of the machine of the server"),
    (Booted, "system::own_pages::", "its pages are files of the test's machine"),
    (Booted, "system::pairing::", "opens the local socket and reads files on the machine of the server"),
    (Booted, "system::syslog::", "the log servers are the test's, at the loopback of its machine"),
    (Booted, "system::tls::certificate_that_nears_its_end", "writes certificates beside the configuration file"),
    (Booted, "system::tls::client_ca_accepts_certificates_of_its_authority", "writes certificates beside the configuration file"),
    (Booted, "system::tls::first_start_creates_a_private_key_file", "reads the directory of the server"),
    (Booted, "system::tls::named_certificate_is_used", "writes certificates beside the configuration file"),
    (Booted, "system::health::", "the checked sockets and files are those of the test's machine"),
    (PlainUser, "system::services::a_service_runs_as_the_user_of_the_file", "only root may become another user"),
    (PlainUser, "system::local_socket::other_users_are_refused", "only root may become another user"),
    (PlainUser, "system::sandbox::declared_capabilities", "only root may become another user"),
    (PlainUser, "system::sandbox::server_has_a_user_of_its_own", "only root may become another user"),
    (PlainUser, "system::sandbox::server_of_a_plain_user", "only root may become another user"),
    (PlainUser, "system::stack::", "only root may become another user"),
    (PlainUser, "sys::rotated_files::tests::directory_of_another_user", "only root may give a file away"),
    (PlainUser, "system::passwords::directory_without_rights", "only root may become another user"),
    (PlainUser, "keeper::process_table::tests::table_of_another_user", "only root may give a file away"),
    (PlainUser, "system::supervision::stranger_with_the_number", "only root may choose the number of a process"),
    (PlainUser, "system::notify::report_of_a_service_of_another_user", "only root may become another user"),
    (PlainUser, "system::attributes::environment_file_that_hangs", "only root may mount a file system"),
    (PlainUser, "system::attributes::plain_user_opens_the_pipes", "only root may become another user"),
    (PlainUser, "system::attributes::env_file_in_the_common_tmp", "only root may mount a file system"),
    (PlainUser, "system::attributes::check_warns_of_programs_that_a_private_tmp_hides", "only root may mount a file system"),
    (PlainUser, "system::attributes::private_tmp_is_empty", "only root may mount a file system"),
    (PlainUser, "system::attributes::read_only_service_writes", "only root may mount a file system"),
    (PlainUser, "system::conditions::condition_on_a_hanging_mount", "only root may mount a file system"),
    (PlainUser, "system::output_files::file_on_a_hanging_mount", "only root may mount a file system"),
    (PlainUser, "system::output_files::directory_that_does_not_answer", "only root may mount a file system"),
    (PlainUser, "system::blocked::log_file_on_a_hanging_mount_delays_no_call", "only root may mount a file system"),
    (PlainUser, "system::blocked::program_and_directory_on_a_hanging_mount_delay_their_service_alone", "only root may mount a file system"),
    (PlainUser, "system::blocked::state_file_on_a_hanging_mount_delays_its_own_answer_alone", "only root may mount a file system"),
    (PlainUser, "system::blocked::daemon_whose_memory_is_locked", "only root may mount a file system"),
    (PlainUser, "system::blocked::socket_of_a_service_on_a_hanging_mount", "only root may mount a file system"),
    (PlainUser, "system::blocked::server_with_a_thread_that_hangs", "only root may mount a file system"),
    (PlainUser, "init::backup::files::tests::file_that_a_disk_has_made_immutable", "only root may make a file immutable"),
    (PlainUser, "system::blocked::table_of_", "only root may mount a file system"),
    (NoCgroups, "system::cgroups::daemon_without_any_mark_ends_with_its_service", "this user cannot create control groups"),
    (NoCgroups, "system::cgroups::processes_that_a_killed_keeper_has_left", "this user cannot create control groups"),
    (NoCgroups, "system::cgroups::nothing_of_a_service_is_left", "this user cannot create control groups"),
    (NoCgroups, "system::cgroups::daemon_in_a_nested_group_or_in_another_one", "this user cannot create control groups"),
    (NoCgroups, "system::cgroups::service_that_froze_its_group_starts_again", "this user cannot create control groups"),
    (NoIpv6, "system::life::ipv6_is_supported", "this machine has no IPv6"),
    (NoNamespaces, "documents::commands::commands_run", "`unshare -Urnm` fails on this machine"),
    (NoNamespaces, "system::built_in::", "`unshare -Urnm` fails on this machine"),
    (NoNamespaces, "system::local_socket::client_of_root_finds_it", "`unshare -Urnm` fails on this machine"),
    (NoNamespaces, "system::names::", "`unshare -Urnm` fails on this machine"),
    (NoNamespaces, "system::discovery::", "`unshare -Urnm` fails on this machine"),
    (NoNamespaces, "system::network::", "`unshare -Urnm` fails on this machine"),
    (OtherStep, "system::booted::", "the step 'booted' runs it, the cases of power cuts in the whole gate alone"),
    (OtherStep, "system::rest::tool_", "the step 'rest' of the whole gate installs the tools and runs them"),
    (OtherStep, "system::discovery::tool_", "the step 'discovery' of the whole gate installs the tool and runs it"),
    (OtherStep, "system::clients::client_of_node", "the step 'book' of the whole gate installs Node and runs it"),
    (OtherStep, "system::console::", "the step 'console' of the whole gate installs a browser and runs it"),
    (OtherStep, "system::spinning::", "the step 'booted' runs it, with a processor of its own"),
    (OtherStep, "system::endurance::ten_thousand_starts_and_stops", "takes minutes: the step 'unit' of the whole gate runs it"),
    (OtherStep, "system::earlier::", "builds an earlier version: the step 'unit' of the whole gate runs it"),
    (OtherStep, "system::deaths::", "takes minutes: the step 'unit' of the whole gate runs it"),
    (OtherStep, "system::logs::frames_are_the_lines_of_a_text_log", "the step 'logs' of the whole gate runs it"),
];

/// Arguments for test programs that leave out what cannot run under `condition` or on this machine; each
/// row that is used is noted for the report.
pub(crate) fn arguments(condition: Option<Condition>) -> Vec<&'static str> {
    let conditions: Vec<Condition> = condition.into_iter().chain(of_this_machine()).collect();
    rows(&conditions)
        .flat_map(|(condition, test, reason)| {
            note(*condition, test, reason);
            ["--skip", test]
        })
        .collect()
}

fn rows(conditions: &[Condition]) -> impl Iterator<Item = &'static (Condition, &'static str, &'static str)> {
    TABLE.iter().filter(|(condition, ..)| conditions.contains(condition))
}

fn note(condition: Condition, test: &str, reason: &str) {
    let place = match condition {
        Emulated => "in user-mode QEMU: ",
        Booted => "on a booted board: ",
        PlainUser | NoCgroups | NoIpv6 | NoNamespaces | OtherStep => "",
    };
    notes::add(Kind::LeftOut, &format!("{place}{test}: {reason}"));
}

fn of_this_machine() -> impl Iterator<Item = Condition> {
    let has_namespaces = run::works("unshare", &["--user", "--map-root-user", "--net", "--mount", "true"]);
    let has_ipv6 = TcpListener::bind((Ipv6Addr::LOCALHOST, 0)).is_ok();
    [
        (PlainUser, !setup::is_root()),
        (NoCgroups, !has_cgroups()),
        (NoIpv6, !has_ipv6),
        (NoNamespaces, !has_namespaces),
    ]
    .into_iter()
    .filter_map(|(condition, holds)| holds.then_some(condition))
}

/// Returns true if a server of this user can have control groups: in the root of cgroup v2.
fn has_cgroups() -> bool {
    let own = fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
    own.lines().any(|line| line == "0::/")
        && ["/sys/fs/cgroup", "/sys/fs/cgroup/unified"].into_iter().any(|mount| {
            let group = format!("{mount}/friendlet-gate");
            // The first version is mounted in a tmpfs.
            let is_group = || Path::new(&group).join("cgroup.kill").exists();
            fs::create_dir(&group).is_ok() && is_group() & fs::remove_dir(&group).is_ok()
        })
}

/// Checks the table against the tests that there are: every `#[ignore]`d one has a row, and every row a
/// test.
pub(crate) fn check() -> Result<(), String> {
    let list = |option: &[&str]| {
        let mut command = cargo(&["test", "--workspace", "--locked", "--quiet", "--", "--list"]);
        run::captured(command.args(option)).map(|text| names(&text))
    };
    let ignored = list(&["--ignored"])?;
    for (condition, test, reason) in TABLE {
        if *condition == OtherStep && ignored.iter().any(|name| name.contains(test)) {
            note(*condition, test, reason);
        }
    }
    compare(TABLE, &list(&[])?, &ignored)
}

fn names(list: &str) -> Vec<String> {
    list.lines().filter_map(|line| line.strip_suffix(": test")).map(str::to_owned).collect()
}

fn compare(table: &[(Condition, &str, &str)], tests: &[String], ignored: &[String]) -> Result<(), String> {
    let has_row = |name: &&String| table.iter().any(|row| row.0 == OtherStep && name.contains(row.1));
    let unknown = ignored.iter().filter(|name| !has_row(name));
    let unknown = unknown.map(|name| format!("{name} is ignored and not in the table of left_out.rs"));
    let empty = table.iter().filter(|row| !tests.iter().any(|name| name.contains(row.1)));
    let empty = empty.map(|row| format!("left_out.rs names the unknown test '{}'", row.1));
    let errors: Vec<String> = unknown.chain(empty).collect();
    if errors.is_empty() { Ok(()) } else { Err(errors.join("\n")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_ignored_test_needs_a_row_and_a_row_a_test() {
        let table = [(OtherStep, "system::booted::", "later"), (Emulated, "memory::", "the emulator's")];
        let [booted, memory, slow] = ["system::booted::it", "system::memory::a", "slow"].map(str::to_owned);
        let tests = [booted.clone(), memory.clone(), slow.clone()];
        assert_eq!(compare(&table, &tests, std::slice::from_ref(&booted)), Ok(()));
        let error = compare(&table, &tests, &[booted, slow]).unwrap_err();
        assert_eq!(error, "slow is ignored and not in the table of left_out.rs");
        let error = compare(&table, &[memory], &[]).unwrap_err();
        assert!(error.contains("unknown test 'system::booted::'"), "{error}");
        assert_eq!(names("a::b: test\n\n1 test, 0 benchmarks\n"), ["a::b"]);
    }

    #[test]
    fn a_row_is_for_its_condition_alone() {
        let tests = |conditions: &[Condition]| rows(conditions).map(|row| row.1).collect::<Vec<_>>();
        assert!(tests(&[Emulated]).contains(&"system::memory::"));
        assert!(!tests(&[Emulated, Booted]).contains(&"system::booted::"));
        assert!(tests(&[]).is_empty());
    }
}
