//! Settlement of commanded starts.

use super::*;
use crate::service::{START_SETTLE, STOP_TIMEOUT};

type Settled = List<Result<(), CommandError>>;

fn settled(supervisor: &mut Supervisor) -> Settled {
    core::iter::from_fn(|| supervisor.poll_settled()).map(|(_, result)| result).collect()
}

/// Supervisor of one service that was started by a command at second 0.
fn started(restart: RestartPolicy) -> Supervisor {
    let mut supervisor = one_in(Stopped, restart);
    command(&mut supervisor, Verb::Start, at(0));
    assert!(!supervisor.is_settled(id(0)));
    run(&mut supervisor, 1, at(0));
    actions(&mut supervisor);
    assert!(!supervisor.is_settled(id(0)));
    supervisor
}

#[test]
fn start_settles_after_its_time_and_not_before() {
    let mut supervisor = started(RestartPolicy::Never);
    assert_eq!(supervisor.poll_timeout(), Some(START_SETTLE));
    supervisor.handle_timeout(START_SETTLE - millis(1));
    assert_eq!((settled(&mut supervisor), supervisor.is_settled(id(0))), (vec![], false));
    supervisor.handle_timeout(START_SETTLE);
    assert_eq!((settled(&mut supervisor), supervisor.is_settled(id(0))), (vec![Ok(())], true));
    assert_eq!(supervisor.poll_timeout(), None);
    exit(&mut supervisor, Exit::Code(1), true, START_SETTLE);
    assert_eq!((settled(&mut supervisor), supervisor.take_result(id(0))), (vec![], Ok(())));
}

#[test]
fn early_exit_fails_the_start_whatever_the_policy() {
    for restart in [RestartPolicy::Never, RestartPolicy::Always] {
        for is_gone in [true, false] {
            let mut supervisor = started(restart);
            exit(&mut supervisor, Exit::Code(1), is_gone, millis(249));
            let error = Err(CommandError::Exited(LastExit::Code(1)));
            assert_eq!(settled(&mut supervisor), [error]);
            assert_eq!(supervisor.take_result(id(0)), error);
        }
    }
}

#[test]
fn early_exit_with_success_settles_as_success() {
    let mut supervisor = started(RestartPolicy::Never);
    exit(&mut supervisor, Exit::Code(0), true, millis(1));
    assert_eq!((settled(&mut supervisor), supervisor.take_result(id(0))), (vec![Ok(())], Ok(())));
}

#[test]
fn failed_spawn_settles_the_start() {
    let mut supervisor = one_in(Stopped, RestartPolicy::Always);
    command(&mut supervisor, Verb::Start, at(0));
    supervisor.handle_spawned(id(0), Err(MISSING), at(9));
    assert_eq!(settled(&mut supervisor), [Err(CommandError::Spawn(MISSING))]);
    assert!(supervisor.is_settled(id(0)), "the retry belongs to no command");
}

#[test]
fn restart_settles_with_the_new_process() {
    let mut supervisor = one_in(Started, RestartPolicy::Never);
    command(&mut supervisor, Verb::Restart, at(1));
    exit(&mut supervisor, Exit::Code(1), true, at(2));
    assert_eq!(settled(&mut supervisor), [], "the exit is that of the old process");
    run(&mut supervisor, 2, at(3));
    supervisor.handle_timeout(at(3) + START_SETTLE);
    assert_eq!(settled(&mut supervisor), [Ok(())]);
}

#[test]
fn start_of_a_running_service_settles_at_once() {
    let mut supervisor = one_in(Started, RestartPolicy::Never);
    command(&mut supervisor, Verb::Start, at(1));
    assert!(supervisor.is_settled(id(0)));
    assert_eq!(settled(&mut supervisor), [Ok(())]);

    let mut supervisor = one_in(Paused, RestartPolicy::Never);
    command(&mut supervisor, Verb::Start, at(1));
    assert_eq!(settled(&mut supervisor), [Ok(())]);

    // A second caller waits as long as the first.
    let mut supervisor = started(RestartPolicy::Never);
    command(&mut supervisor, Verb::Start, millis(100));
    assert!(!supervisor.is_settled(id(0)));
    supervisor.handle_timeout(START_SETTLE);
    assert_eq!(settled(&mut supervisor), [Ok(())], "one for both");
}

#[test]
fn stop_settles_the_start_and_does_not_fail_itself() {
    let mut supervisor = one_in(Stopped, RestartPolicy::Never);
    command(&mut supervisor, Verb::Start, at(0));
    command(&mut supervisor, Verb::Stop, at(1));
    assert_eq!(settled(&mut supervisor), [Err(CommandError::NotRunning)]);
    assert_eq!(supervisor.take_result(id(0)), Ok(()));

    let mut supervisor = started(RestartPolicy::Never);
    command(&mut supervisor, Verb::Stop, millis(1));
    assert_eq!(settled(&mut supervisor), [Ok(())], "it has started");

    let mut supervisor = one_in(Stopping, RestartPolicy::Never);
    command(&mut supervisor, Verb::Start, at(0));
    command(&mut supervisor, Verb::Stop, at(1));
    assert_eq!(settled(&mut supervisor), [Err(CommandError::NotRunning)]);
}

#[test]
fn shutdown_settles_every_start() {
    let mut supervisor = one_in(Stopping, RestartPolicy::Never);
    command(&mut supervisor, Verb::Start, at(0));
    supervisor.shutdown(at(1));
    assert_eq!(settled(&mut supervisor), [Err(CommandError::ShuttingDown)]);

    let mut supervisor = one_in(Stopped, RestartPolicy::Never);
    command(&mut supervisor, Verb::Start, at(0));
    supervisor.shutdown(at(1));
    assert_eq!(settled(&mut supervisor), [Err(CommandError::ShuttingDown)]);
}

#[test]
fn restart_of_an_unkillable_service_settles_with_its_new_process() {
    let mut supervisor = one_in(Started, RestartPolicy::Never);
    command(&mut supervisor, Verb::Restart, at(0));
    supervisor.handle_timeout(STOP_TIMEOUT);
    supervisor.handle_timeout(STOP_TIMEOUT + KILL_TIMEOUT);
    assert_eq!(settled(&mut supervisor), []);
    run(&mut supervisor, 2, at(12));
    supervisor.handle_timeout(at(13));
    assert_eq!(settled(&mut supervisor), [Ok(())]);
}
