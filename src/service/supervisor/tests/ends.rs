//! Reports of ends: history, changes of state, and the last exit.

use super::*;
use crate::service::{EndReason, PastRun, STOP_TIMEOUT};

fn history(supervisor: &Supervisor) -> List<PastRun> {
    supervisor.history(id(0)).collect()
}

fn past(ended: u64, ran: u64, exit: LastExit, reason: EndReason) -> PastRun {
    PastRun { ended: at(ended), ran: at(ran), exit, reason }
}

#[test]
fn history_has_each_end_with_its_reason() {
    let mut supervisor = one_in(Started, RestartPolicy::Always);
    exit(&mut supervisor, Exit::Code(1), true, at(20));
    supervisor.handle_timeout(at(21));
    supervisor.handle_spawned(id(0), Err(MISSING), at(21));
    supervisor.handle_timeout(at(30));
    run(&mut supervisor, 2, at(30));
    command(&mut supervisor, Verb::Restart, at(40));
    exit(&mut supervisor, Exit::signal(15), false, at(41));
    supervisor.handle_gone(id(0), at(45));
    run(&mut supervisor, 3, at(50));
    command(&mut supervisor, Verb::Stop, at(60));
    supervisor.handle_timeout(at(60) + STOP_TIMEOUT);
    exit(&mut supervisor, Exit::signal(9), true, at(70));
    assert_eq!(
        history(&supervisor),
        [
            past(20, 20, LastExit::Code(1), EndReason::Exited),
            past(21, 0, LastExit::Spawn(MISSING), EndReason::SpawnFailed),
            past(41, 11, LastExit::signal(15), EndReason::Stopped),
            past(70, 20, LastExit::signal(9), EndReason::Killed),
        ]
    );
    assert_eq!(supervisor.history(id(1)).count(), 0);
}

#[test]
fn leftovers_that_are_killed_do_not_change_the_reason() {
    let mut supervisor = one_in(Started, RestartPolicy::Never);
    exit(&mut supervisor, Exit::Code(1), false, at(20));
    supervisor.handle_timeout(at(20) + STOP_TIMEOUT);
    supervisor.handle_gone(id(0), at(31));
    assert_eq!(history(&supervisor), [past(20, 20, LastExit::Code(1), EndReason::Exited)]);
}

#[test]
fn spawn_without_an_answer_is_in_the_history_once() {
    let mut supervisor = one_in(Stopped, RestartPolicy::Never);
    command(&mut supervisor, Verb::Start, at(0));
    supervisor.handle_timeout(SPAWN_TIMEOUT);
    run(&mut supervisor, 1, at(31));
    exit(&mut supervisor, Exit::signal(9), true, at(31));
    let error = LastExit::Spawn(SpawnError::TIMEOUT);
    assert_eq!(history(&supervisor), [past(30, 0, error, EndReason::SpawnFailed)]);
    let status = supervisor.status(id(0), at(31));
    assert_eq!((status.state, status.last_exit), (Failed, error));
}

#[test]
fn change_after_a_death_has_the_exit() {
    let change = |state, pid, reason| StateChange { service: id(0), state, pid, reason };
    let polled = |supervisor: &mut Supervisor| core::iter::from_fn(|| supervisor.poll_change()).collect();
    let dumped = Exit::Signal { signal: 11, core: true, oom: false };
    let mut supervisor = one_in(Started, RestartPolicy::Always);
    exit(&mut supervisor, dumped, true, at(20));
    let changes: List<StateChange> = polled(&mut supervisor);
    assert_eq!(changes, [change(Starting, 0, Some(dumped.into()))]);
    supervisor.handle_timeout(at(21));
    run(&mut supervisor, 2, at(21));
    let changes: List<StateChange> = polled(&mut supervisor);
    assert_eq!(changes, [change(Started, 2, None)]);
    command(&mut supervisor, Verb::Stop, at(22));
    exit(&mut supervisor, Exit::Code(0), true, at(23));
    let changes: List<StateChange> = polled(&mut supervisor);
    let stopped = change(Stopped, 0, Some(LastExit::Code(0)));
    assert_eq!(changes, [change(Stopping, 2, None), stopped]);
    // Every failed attempt is reported, though the state stays the same.
    command(&mut supervisor, Verb::Start, at(30));
    supervisor.handle_spawned(id(0), Err(MISSING), at(30));
    supervisor.handle_timeout(at(31));
    supervisor.handle_spawned(id(0), Err(MISSING), at(31));
    let changes: List<StateChange> = polled(&mut supervisor);
    let failed = change(Starting, 0, Some(LastExit::Spawn(MISSING)));
    assert_eq!(changes, [failed, failed]);
}

#[test]
fn start_that_a_command_cancels_has_no_reason() {
    let mut supervisor = one_in(Started, RestartPolicy::Always);
    exit(&mut supervisor, Exit::Code(1), true, at(20));
    supervisor.handle_timeout(at(21));
    drain(&mut supervisor);
    command(&mut supervisor, Verb::Stop, at(22));
    supervisor.handle_spawned(id(0), Err(MISSING), at(22));
    let changes =
        core::iter::from_fn(|| supervisor.poll_change()).map(|change| (change.state, change.reason));
    assert_eq!(changes.collect::<List<_>>(), [(Stopping, None), (Stopped, None)]);
}

#[test]
fn finished_service_differs_from_one_that_never_ran() {
    let mut supervisor = one_in(Stopped, RestartPolicy::Never);
    let status = supervisor.status(id(0), at(0));
    assert_eq!((status.started_once, status.last_exit), (false, LastExit::None));
    command(&mut supervisor, Verb::Start, at(0));
    assert!(!supervisor.status(id(0), at(0)).started_once);
    run(&mut supervisor, 1, at(0));
    exit(&mut supervisor, Exit::Code(0), true, at(1));
    let status = supervisor.status(id(0), at(1));
    assert_eq!((status.state, status.started_once), (Stopped, true));
    assert_eq!(status.last_exit, LastExit::Code(0));
}

#[test]
fn newest_change_of_each_service_remains_in_a_full_queue() {
    let mut supervisor = supervisor(&[("a", RestartPolicy::Never, &[]), ("b", RestartPolicy::Never, &[])]);
    for index in [1, 0] {
        supervisor.handle_command(id(index), Verb::Start, at(0)).unwrap();
        supervisor.handle_spawned(id(index), Ok(1), at(0));
    }
    let mut verbs = [Verb::Pause, Verb::Start].into_iter().cycle();
    while supervisor.changes.len() < CHANGES {
        command(&mut supervisor, verbs.next().unwrap(), at(0));
        actions(&mut supervisor);
    }
    command(&mut supervisor, Verb::Pause, at(0));
    let kept = core::iter::from_fn(|| supervisor.poll_change());
    let kept: List<_> = kept.map(|change| (change.service, change.state)).collect();
    assert_eq!(kept, [(id(1), Started), (id(0), Started), (id(0), Paused)]);
}
