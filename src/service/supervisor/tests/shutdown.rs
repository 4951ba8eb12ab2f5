//! Shutdown of all services.

use super::*;
use crate::service::STOP_TIMEOUT;

fn to(index: usize, signal: Signal) -> Action {
    Action::Signal { service: id(index), signal, scope: Scope::Group }
}

/// Supervisor of started services with these names, times to stop in seconds, and dependencies.
fn running(services: &[(&str, u64, &[&str])]) -> Supervisor {
    let mut table = ServiceTable::new();
    for (name, seconds, after) in services {
        let mut spec = Spec::new(name, &["program"]).unwrap();
        spec.restart = RestartPolicy::Always;
        spec.stop_timeout = at(*seconds);
        for name in *after {
            spec.after.push((*name).try_into().unwrap()).unwrap();
        }
        table.push(spec).unwrap();
    }
    let mut supervisor = Supervisor::new(table);
    for index in 0..services.len() {
        supervisor.handle_command(id(index), Verb::Start, at(0)).unwrap();
        supervisor.handle_spawned(id(index), Ok(index as u32 + 10), at(0));
        drain(&mut supervisor);
    }
    supervisor
}

#[test]
fn shutdown_stops_in_reverse_order() {
    let mut supervisor = running(&[("base", 10, &[]), ("web", 10, &["base"]), ("log", 10, &[])]);
    assert!(!supervisor.is_down());
    supervisor.shutdown(at(1));
    let term = |index| [to(index, Signal::Term), to(index, Signal::Cont)];
    assert_eq!(actions(&mut supervisor), [term(2), term(1)].concat());
    assert_eq!(supervisor.handle_command(id(0), Verb::Start, at(1)), Err(CommandError::ShuttingDown));
    supervisor.handle_exit(id(2), Exit::Code(0), true, at(2));
    assert_eq!(actions(&mut supervisor), []);
    // The processes that the leader left are waited for as well.
    supervisor.handle_exit(id(1), Exit::Code(1), false, at(2));
    assert_eq!(actions(&mut supervisor), []);
    supervisor.handle_gone(id(1), at(3));
    assert_eq!(actions(&mut supervisor), term(0));
    assert!(!supervisor.is_down());
    supervisor.handle_exit(id(0), Exit::Code(0), true, at(4));
    assert!(supervisor.is_down());
    assert_eq!(supervisor.poll_timeout(), None);
    assert_eq!(actions(&mut supervisor), []);
}

#[test]
fn configured_stop_timeout_holds_at_shutdown() {
    let mut supervisor = running(&[("slow", 300, &[])]);
    supervisor.shutdown(at(0));
    actions(&mut supervisor);
    assert_eq!(supervisor.poll_timeout(), Some(at(300)));
    supervisor.handle_timeout(at(299));
    assert_eq!(actions(&mut supervisor), []);
    supervisor.handle_timeout(at(300));
    assert_eq!(actions(&mut supervisor), kill());
    supervisor.handle_timeout(at(300) + KILL_TIMEOUT - millis(1));
    assert!(!supervisor.is_down());
    supervisor.handle_timeout(at(300) + KILL_TIMEOUT);
    assert!(supervisor.is_down(), "gives up on an unkillable process");
    assert_eq!(supervisor.shutdown_time(), at(300) + KILL_TIMEOUT);
    assert_eq!(supervisor.shutdown_grace(), at(300) + 2 * KILL_TIMEOUT);
    assert_eq!(running(&[]).shutdown_grace(), crate::service::SHUTDOWN_GRACE);
}

#[test]
fn shutdown_has_the_time_of_the_longest_chain() {
    let time = |services: &[(&str, u64, &[&str])]| running(services).shutdown_time();
    assert_eq!(time(&[]), at(0));
    assert_eq!(time(&[("a", 10, &[]), ("b", 30, &[])]), at(30) + KILL_TIMEOUT);
    assert_eq!(time(&[("a", 10, &["b"]), ("b", 30, &[]), ("c", 35, &[])]), at(40) + 2 * KILL_TIMEOUT);
    let diamond: &[(&str, u64, &[&str])] =
        &[("top", 1, &["left", "right"]), ("left", 20, &["base"]), ("right", 5, &["base"]), ("base", 3, &[])];
    assert_eq!(time(diamond), at(24) + 3 * KILL_TIMEOUT);
}

#[test]
fn shutdown_where_nothing_ends_takes_its_time_and_no_longer() {
    let mut supervisor = running(&[("a", 10, &[]), ("b", 20, &["a"]), ("c", 5, &["a", "b"])]);
    supervisor.shutdown(at(0));
    while let Some(due) = supervisor.poll_timeout() {
        assert!(!supervisor.is_down() && due <= supervisor.shutdown_time());
        supervisor.handle_timeout(due);
        actions(&mut supervisor);
    }
    assert!(supervisor.is_down());
    assert_eq!(supervisor.shutdown_time(), at(35) + 3 * KILL_TIMEOUT);
}

#[test]
fn group_without_its_leader_is_waited_for_at_shutdown() {
    let mut supervisor = one_in(Started, RestartPolicy::Always);
    exit(&mut supervisor, Exit::Code(1), false, at(1));
    actions(&mut supervisor);
    supervisor.shutdown(at(2));
    assert!(!supervisor.is_down());
    assert_eq!(supervisor.poll_timeout(), Some(at(1) + STOP_TIMEOUT));
    supervisor.handle_gone(id(0), at(3));
    assert!(supervisor.is_down());
    assert_eq!(state(&supervisor), Failed, "no restart");
}

#[test]
fn shutdown_stops_a_waiting_service() {
    let mut supervisor = one_in(Starting, RestartPolicy::Always);
    supervisor.shutdown(at(0));
    assert!(supervisor.is_down());
    assert_eq!(state(&supervisor), Stopped);
}

#[test]
fn shutdown_kills_a_pending_spawn_and_waits_for_the_answer() {
    let spawning = || {
        let mut supervisor = one_in(Stopped, RestartPolicy::Always);
        command(&mut supervisor, Verb::Start, at(0));
        supervisor.shutdown(at(0));
        assert!(!supervisor.is_down());
        assert_eq!(actions(&mut supervisor), [spawn(0), signal(Signal::Kill)]);
        supervisor
    };
    let mut supervisor = spawning();
    run(&mut supervisor, 1, at(1));
    assert!(!supervisor.is_down());
    exit(&mut supervisor, Exit::signal(9), true, at(1));
    assert!(supervisor.is_down());

    let mut supervisor = spawning();
    supervisor.handle_spawned(id(0), Err(MISSING), at(1));
    assert!(supervisor.is_down());

    // Without an answer it is given up, and a late process is killed.
    let mut supervisor = spawning();
    supervisor.handle_timeout(KILL_TIMEOUT);
    assert!(supervisor.is_down());
    run(&mut supervisor, 1, at(60));
    assert!(supervisor.is_down());
    assert_eq!(actions(&mut supervisor), kill());
}

#[test]
fn shutdown_cancels_a_restart() {
    let mut supervisor = one_in(Started, RestartPolicy::Always);
    command(&mut supervisor, Verb::Restart, at(0));
    supervisor.shutdown(at(0));
    exit(&mut supervisor, Exit::Code(0), true, at(1));
    assert!(supervisor.is_down());
    assert_eq!(state(&supervisor), Stopped);
}
