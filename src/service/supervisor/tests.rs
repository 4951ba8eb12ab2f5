mod random;

use std::vec::Vec as List;

use super::super::{RestartPolicy, State, State::*};
use super::*;
use crate::service::{GOOD_RUN, RESTART_DELAY_MIN, STOP_TIMEOUT};

fn at(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

fn id(index: usize) -> ServiceId {
    ServiceId::from_index(index).unwrap()
}

fn supervisor(services: &[(&str, RestartPolicy, &[&str])]) -> Supervisor {
    let mut table = ServiceTable::new();
    for (name, restart, after) in services {
        let mut spec = Spec::new(name, &["program"]).unwrap();
        spec.restart = *restart;
        for name in *after {
            spec.after.push((*name).try_into().unwrap()).unwrap();
        }
        table.push(spec).unwrap();
    }
    Supervisor::new(table)
}

/// Supervisor of one service in `state` since second 0; process 1 if it has one.
fn one_in(state: State, restart: RestartPolicy) -> Supervisor {
    let mut supervisor = supervisor(&[("a", restart, &[])]);
    let now = at(0);
    let verb = |supervisor: &mut Supervisor, verb| supervisor.handle_command(id(0), verb, now).unwrap();
    if state != Stopped {
        verb(&mut supervisor, Verb::Start);
        assert_eq!(supervisor.poll_action(), Some(Action::Spawn { service: id(0) }));
        let result = if state == Failed { Err(2) } else { Ok(1) };
        supervisor.handle_spawned(id(0), result, now);
    }
    match state {
        Starting => {
            let policy = supervisor.table.get(id(0)).unwrap().restart;
            assert_ne!(policy, RestartPolicy::Never, "only a restarted service waits");
            assert!(supervisor.handle_exit(1, Exit::Code(1), now));
        }
        Stopping => verb(&mut supervisor, Verb::Stop),
        Paused => verb(&mut supervisor, Verb::Pause),
        Stopped | Started | Failed => {}
    }
    while supervisor.poll_action().is_some() {}
    while supervisor.poll_change().is_some() {}
    let _ = supervisor.take_result(id(0));
    assert_eq!(supervisor.status(id(0), now).state, state);
    supervisor
}

fn actions(supervisor: &mut Supervisor) -> List<Action> {
    core::iter::from_fn(|| supervisor.poll_action()).collect()
}

fn changes(supervisor: &mut Supervisor) -> List<(State, u32)> {
    core::iter::from_fn(|| supervisor.poll_change()).map(|change| (change.state, change.pid)).collect()
}

fn spawn(index: usize) -> Action {
    Action::Spawn { service: id(index) }
}

fn signal(pid: u32, signal: Signal) -> Action {
    Action::Signal { service: id(0), pid, signal }
}

fn state(supervisor: &Supervisor) -> State {
    supervisor.status(id(0), at(0)).state
}

/// Effects of a verb: result, actions, reported states.
type Effects = (Result<(), CommandError>, List<Action>, List<State>);

fn effects(from: State, verb: Verb) -> Effects {
    let mut supervisor = one_in(from, RestartPolicy::Always);
    let answer = supervisor.handle_command(id(0), verb, at(0));
    let actions = actions(&mut supervisor);
    (answer, actions, changes(&mut supervisor).into_iter().map(|(state, _)| state).collect())
}

#[test]
fn start_from_every_state() {
    let nothing: Effects = (Ok(()), vec![], vec![]);
    assert_eq!(effects(Stopped, Verb::Start), (Ok(()), vec![spawn(0)], vec![]));
    assert_eq!(effects(Failed, Verb::Start), (Ok(()), vec![spawn(0)], vec![]));
    assert_eq!(effects(Starting, Verb::Start), (Ok(()), vec![spawn(0)], vec![]));
    assert_eq!(effects(Started, Verb::Start), nothing);
    assert_eq!(effects(Stopping, Verb::Start), nothing);
    assert_eq!(effects(Paused, Verb::Start), (Ok(()), vec![signal(1, Signal::Cont)], vec![Started]));
}

#[test]
fn stop_from_every_state() {
    let nothing: Effects = (Ok(()), vec![], vec![]);
    assert_eq!(effects(Stopped, Verb::Stop), nothing);
    assert_eq!(effects(Failed, Verb::Stop), (Ok(()), vec![], vec![Stopped]));
    assert_eq!(effects(Starting, Verb::Stop), (Ok(()), vec![], vec![Stopped]));
    assert_eq!(effects(Started, Verb::Stop), (Ok(()), vec![signal(1, Signal::Term)], vec![Stopping]));
    assert_eq!(effects(Stopping, Verb::Stop), nothing);
    let both = vec![signal(1, Signal::Term), signal(1, Signal::Cont)];
    assert_eq!(effects(Paused, Verb::Stop), (Ok(()), both, vec![Stopping]));
}

#[test]
fn restart_from_every_state() {
    assert_eq!(effects(Stopped, Verb::Restart), (Ok(()), vec![spawn(0)], vec![]));
    assert_eq!(effects(Failed, Verb::Restart), (Ok(()), vec![spawn(0)], vec![]));
    assert_eq!(effects(Starting, Verb::Restart), (Ok(()), vec![spawn(0)], vec![]));
    assert_eq!(effects(Started, Verb::Restart), (Ok(()), vec![signal(1, Signal::Term)], vec![Stopping]));
    assert_eq!(effects(Stopping, Verb::Restart), (Ok(()), vec![], vec![]));
    let both = vec![signal(1, Signal::Term), signal(1, Signal::Cont)];
    assert_eq!(effects(Paused, Verb::Restart), (Ok(()), both, vec![Stopping]));
}

#[test]
fn pause_from_every_state() {
    for from in [Stopped, Failed, Starting, Stopping, Paused] {
        assert_eq!(effects(from, Verb::Pause), (Err(CommandError::NotRunning), vec![], vec![]), "{from:?}");
    }
    assert_eq!(effects(Started, Verb::Pause), (Ok(()), vec![signal(1, Signal::Stop)], vec![Paused]));
}

#[test]
fn exits_from_every_state() {
    let after = |from, restart, exit| {
        let mut supervisor = one_in(from, restart);
        assert!(supervisor.handle_exit(1, exit, at(0)));
        assert_eq!(supervisor.status(id(0), at(0)).pid, 0);
        assert_eq!(supervisor.status(id(0), at(0)).last_exit, exit.into());
        (state(&supervisor), actions(&mut supervisor))
    };
    let (done, bad, killed) = (Exit::Code(0), Exit::Code(3), Exit::Signal(9));
    for from in [Started, Paused] {
        assert_eq!(after(from, RestartPolicy::Never, done), (Stopped, vec![]));
        assert_eq!(after(from, RestartPolicy::Never, bad), (Failed, vec![]));
        assert_eq!(after(from, RestartPolicy::Never, killed), (Failed, vec![]));
        assert_eq!(after(from, RestartPolicy::OnFailure, done), (Stopped, vec![]));
        assert_eq!(after(from, RestartPolicy::OnFailure, bad), (Starting, vec![]));
        assert_eq!(after(from, RestartPolicy::OnFailure, killed), (Starting, vec![]));
        assert_eq!(after(from, RestartPolicy::Always, done), (Starting, vec![]));
    }
    for policy in [RestartPolicy::Never, RestartPolicy::OnFailure, RestartPolicy::Always] {
        for exit in [done, bad, killed] {
            assert_eq!(after(Stopping, policy, exit), (Stopped, vec![]));
        }
    }
    for from in [Stopped, Failed, Starting] {
        let mut supervisor = one_in(from, RestartPolicy::Always);
        assert!(!supervisor.handle_exit(1, done, at(0)), "{from:?}");
        assert!(!supervisor.handle_exit(0, done, at(0)), "{from:?}");
        assert_eq!(state(&supervisor), from);
    }
}

#[test]
fn deadline_of_every_state() {
    let later = |from| {
        let mut supervisor = one_in(from, RestartPolicy::Always);
        supervisor.handle_timeout(at(3600));
        actions(&mut supervisor)
    };
    for from in [Stopped, Failed, Started, Paused] {
        assert_eq!(one_in(from, RestartPolicy::Always).poll_timeout(), None);
        assert_eq!(later(from), [], "{from:?}");
    }
    assert_eq!(later(Starting), [spawn(0)]);
    assert_eq!(later(Stopping), [signal(1, Signal::Kill)]);
}

#[test]
fn unrequested_spawn_result_changes_nothing() {
    for from in [Stopped, Failed, Starting, Started, Stopping, Paused] {
        let mut supervisor = one_in(from, RestartPolicy::Always);
        let before = supervisor.status(id(0), at(0));
        supervisor.handle_spawned(id(0), Ok(9), at(0));
        assert_eq!(supervisor.status(id(0), at(0)), before);
        assert_eq!(actions(&mut supervisor), []);
    }
}

#[test]
fn commands_during_a_pending_spawn() {
    let asked = || {
        let mut supervisor = one_in(Stopped, RestartPolicy::Never);
        supervisor.handle_command(id(0), Verb::Start, at(0)).unwrap();
        supervisor
    };
    let mut supervisor = asked();
    supervisor.handle_command(id(0), Verb::Start, at(0)).unwrap();
    supervisor.handle_command(id(0), Verb::Restart, at(0)).unwrap();
    let pause = supervisor.handle_command(id(0), Verb::Pause, at(0));
    assert_eq!(pause, Err(CommandError::NotRunning));
    assert_eq!(actions(&mut supervisor), [spawn(0)]);

    let mut supervisor = asked();
    supervisor.handle_command(id(0), Verb::Stop, at(0)).unwrap();
    assert_eq!(supervisor.poll_action(), Some(spawn(0)));
    supervisor.handle_spawned(id(0), Ok(1), at(0));
    assert_eq!(actions(&mut supervisor), [signal(1, Signal::Term)]);
    assert_eq!(changes(&mut supervisor), [(Started, 1), (Stopping, 1)]);

    let mut supervisor = asked();
    supervisor.handle_command(id(0), Verb::Stop, at(0)).unwrap();
    supervisor.handle_spawned(id(0), Err(2), at(0));
    assert_eq!(state(&supervisor), Stopped);
}

#[test]
fn reference_exchange() {
    let mut supervisor = one_in(Stopped, RestartPolicy::Never);
    supervisor.handle_command(id(0), Verb::Start, at(1)).unwrap();
    assert_eq!(actions(&mut supervisor), [spawn(0)]);
    supervisor.handle_spawned(id(0), Ok(1234), at(1));
    assert_eq!(supervisor.take_result(id(0)), Ok(()));
    assert_eq!(changes(&mut supervisor), [(Started, 1234)]);
    let status = supervisor.status(id(0), at(13));
    assert_eq!((status.state, status.pid, status.since, status.restarts), (Started, 1234, at(12), 0));

    supervisor.handle_command(id(0), Verb::Stop, at(20)).unwrap();
    assert_eq!(actions(&mut supervisor), [signal(1234, Signal::Term)]);
    assert_eq!(supervisor.poll_timeout(), Some(at(20) + STOP_TIMEOUT));
    assert!(supervisor.handle_exit(1234, Exit::Signal(15), at(21)));
    assert_eq!(changes(&mut supervisor), [(Stopping, 1234), (Stopped, 0)]);
    let status = supervisor.status(id(0), at(21));
    assert_eq!((status.state, status.pid, status.last_exit), (Stopped, 0, LastExit::Signal(15)));
    assert_eq!(supervisor.poll_timeout(), None);
}

#[test]
fn missing_program_fails_the_start_command() {
    for policy in [RestartPolicy::Never, RestartPolicy::Always] {
        let mut supervisor = one_in(Stopped, policy);
        supervisor.handle_command(id(0), Verb::Start, at(0)).unwrap();
        assert_eq!(actions(&mut supervisor), [spawn(0)]);
        supervisor.handle_spawned(id(0), Err(2), at(0));
        assert_eq!(supervisor.take_result(id(0)), Err(CommandError::Spawn { errno: 2 }));
        assert_eq!(supervisor.take_result(id(0)), Ok(()));
        assert_eq!(changes(&mut supervisor), [(Failed, 0)]);
        assert_eq!(supervisor.status(id(0), at(0)).last_exit, LastExit::Spawn(2));
    }
}

#[test]
fn failed_restart_is_repeated_only_for_transient_errors() {
    for (errno, expected) in [(11, Starting), (12, Starting), (2, Failed), (13, Failed)] {
        let mut supervisor = one_in(Starting, RestartPolicy::OnFailure);
        supervisor.handle_timeout(at(1));
        assert_eq!(actions(&mut supervisor), [spawn(0)]);
        supervisor.handle_spawned(id(0), Err(errno), at(1));
        assert_eq!(state(&supervisor), expected, "{errno}");
        assert_eq!(supervisor.take_result(id(0)), Ok(()), "no command was pending");
    }
}

#[test]
fn start_while_stopping_starts_after_the_exit() {
    let mut supervisor = one_in(Stopping, RestartPolicy::Never);
    supervisor.handle_command(id(0), Verb::Start, at(0)).unwrap();
    assert!(supervisor.handle_exit(1, Exit::Code(0), at(1)));
    assert_eq!(actions(&mut supervisor), [spawn(0)]);
    supervisor.handle_spawned(id(0), Ok(2), at(1));
    assert_eq!(changes(&mut supervisor), [(Started, 2)]);
    assert_eq!(supervisor.status(id(0), at(1)).restarts, 1);
}

#[test]
fn stop_cancels_a_start_while_stopping() {
    let mut supervisor = one_in(Stopping, RestartPolicy::Always);
    supervisor.handle_command(id(0), Verb::Start, at(0)).unwrap();
    supervisor.handle_command(id(0), Verb::Stop, at(0)).unwrap();
    assert!(supervisor.handle_exit(1, Exit::Code(1), at(1)));
    assert_eq!(actions(&mut supervisor), []);
    assert_eq!(state(&supervisor), Stopped);
}

#[test]
fn restart_ends_and_starts_and_counts() {
    let mut supervisor = one_in(Started, RestartPolicy::Never);
    supervisor.handle_command(id(0), Verb::Restart, at(0)).unwrap();
    assert_eq!(actions(&mut supervisor), [signal(1, Signal::Term)]);
    supervisor.handle_timeout(at(0) + STOP_TIMEOUT);
    assert_eq!(actions(&mut supervisor), [signal(1, Signal::Kill)]);
    assert!(supervisor.handle_exit(1, Exit::Signal(9), at(11)));
    assert_eq!(actions(&mut supervisor), [spawn(0)]);
    supervisor.handle_spawned(id(0), Ok(2), at(11));
    assert_eq!(supervisor.status(id(0), at(11)).restarts, 1);
    // A start from stopped resets the counter.
    supervisor.handle_command(id(0), Verb::Stop, at(11)).unwrap();
    supervisor.handle_exit(2, Exit::Code(0), at(11));
    supervisor.handle_command(id(0), Verb::Start, at(11)).unwrap();
    assert_eq!(supervisor.status(id(0), at(11)).restarts, 0);
}

#[test]
fn killed_once_when_the_stop_times_out() {
    let mut supervisor = one_in(Stopping, RestartPolicy::Never);
    supervisor.handle_timeout(STOP_TIMEOUT - Duration::from_millis(1));
    assert_eq!(actions(&mut supervisor), []);
    supervisor.handle_timeout(STOP_TIMEOUT);
    supervisor.handle_timeout(STOP_TIMEOUT * 2);
    assert_eq!(actions(&mut supervisor), [signal(1, Signal::Kill)]);
    assert_eq!(supervisor.poll_timeout(), None);
}

#[test]
fn back_off_grows_and_a_good_run_resets_it() {
    let mut supervisor = one_in(Started, RestartPolicy::Always);
    let mut now = at(0);
    let mut delays = List::new();
    for pid in 1..6 {
        // The fourth run is a good one.
        now += if pid == 4 { GOOD_RUN } else { Duration::ZERO };
        assert!(supervisor.handle_exit(pid, Exit::Code(0), now));
        let due = supervisor.poll_timeout().unwrap();
        delays.push((due - now).as_millis());
        now = due;
        supervisor.handle_timeout(now);
        assert_eq!(actions(&mut supervisor), [spawn(0)]);
        supervisor.handle_spawned(id(0), Ok(pid + 1), now);
        assert_eq!(supervisor.status(id(0), now).restarts, pid);
    }
    assert_eq!(delays, [500, 1000, 2000, 500, 1000]);
}

#[test]
fn start_during_the_back_off_resets_it() {
    let mut supervisor = one_in(Starting, RestartPolicy::Always);
    supervisor.handle_command(id(0), Verb::Start, at(0)).unwrap();
    supervisor.handle_spawned(id(0), Ok(2), at(0));
    assert!(supervisor.handle_exit(2, Exit::Code(1), at(0)));
    assert_eq!(supervisor.poll_timeout(), Some(RESTART_DELAY_MIN));
}

#[test]
fn install_succeeds_only_when_written() {
    let mut supervisor = one_in(Stopped, RestartPolicy::Never);
    assert_eq!(supervisor.handle_command(id(0), Verb::Uninstall, at(0)), Ok(()));
    assert_eq!(actions(&mut supervisor), [], "already disabled");

    supervisor.handle_command(id(0), Verb::Install, at(0)).unwrap();
    assert_eq!(supervisor.handle_command(id(0), Verb::Uninstall, at(0)), Err(CommandError::Busy));
    assert_eq!(actions(&mut supervisor), [Action::Persist]);
    assert!(supervisor.overrides().eq([("a", true)]));
    supervisor.handle_persisted(false);
    assert_eq!(supervisor.take_result(id(0)), Err(CommandError::Persist));
    assert!(!supervisor.status(id(0), at(0)).enabled);
    assert_eq!(supervisor.overrides().count(), 0);

    supervisor.handle_command(id(0), Verb::Install, at(0)).unwrap();
    supervisor.handle_persisted(true);
    assert_eq!(supervisor.take_result(id(0)), Ok(()));
    assert!(supervisor.status(id(0), at(0)).enabled);
    assert_eq!(state(&supervisor), Stopped, "install does not start the service");
}

#[test]
fn enabled_services_start_in_order() {
    let never = RestartPolicy::Never;
    let mut supervisor = supervisor(&[("a", never, &["c"]), ("b", never, &[]), ("c", never, &[])]);
    supervisor.set_enabled(id(0), true);
    supervisor.set_enabled(id(2), true);
    supervisor.start_enabled(at(0));
    assert_eq!(actions(&mut supervisor), [spawn(2), spawn(0)]);
    supervisor.handle_spawned(id(2), Err(2), at(0));
    assert_eq!(supervisor.take_result(id(2)), Ok(()), "no command was pending");
}

#[test]
fn signals_of_named_commands() {
    for from in [Stopped, Failed, Starting] {
        let mut supervisor = one_in(from, RestartPolicy::Always);
        let answer = supervisor.handle_signal(id(0), Signal::Usr1, at(0));
        assert_eq!(answer, Err(CommandError::NotRunning));
    }
    let mut supervisor = one_in(Started, RestartPolicy::Never);
    supervisor.handle_signal(id(0), Signal::Usr1, at(0)).unwrap();
    supervisor.handle_signal(id(0), Signal::Stop, at(0)).unwrap();
    assert_eq!(state(&supervisor), Paused);
    supervisor.handle_signal(id(0), Signal::Cont, at(0)).unwrap();
    assert_eq!(state(&supervisor), Started);
    let sent = [Signal::Usr1, Signal::Stop, Signal::Cont].map(|what| signal(1, what));
    assert_eq!(actions(&mut supervisor), sent);
}

#[test]
fn unknown_service_is_refused() {
    let mut supervisor = one_in(Started, RestartPolicy::Never);
    assert_eq!(supervisor.handle_command(id(1), Verb::Start, at(0)), Err(CommandError::Unknown));
    assert_eq!(supervisor.handle_signal(id(1), Signal::Hup, at(0)), Err(CommandError::Unknown));
    supervisor.handle_spawned(id(1), Ok(5), at(0));
    assert_eq!(supervisor.status(id(1), at(0)).pid, 0);
}

#[test]
fn shutdown_stops_in_reverse_order() {
    let always = RestartPolicy::Always;
    let mut supervisor =
        supervisor(&[("base", always, &[]), ("web", always, &["base"]), ("log", always, &[])]);
    for index in 0..3 {
        supervisor.handle_command(id(index), Verb::Start, at(0)).unwrap();
        supervisor.handle_spawned(id(index), Ok(index as u32 + 10), at(0));
    }
    actions(&mut supervisor);
    assert!(!supervisor.is_down());
    supervisor.shutdown(at(1));
    let term =
        |index: usize| Action::Signal { service: id(index), pid: index as u32 + 10, signal: Signal::Term };
    assert_eq!(actions(&mut supervisor), [term(2), term(1)]);
    assert_eq!(supervisor.handle_command(id(0), Verb::Start, at(1)), Err(CommandError::ShuttingDown));
    assert!(supervisor.handle_exit(12, Exit::Code(0), at(2)));
    assert_eq!(actions(&mut supervisor), []);
    assert!(supervisor.handle_exit(11, Exit::Code(1), at(2)));
    assert_eq!(actions(&mut supervisor), [term(0)]);
    assert!(!supervisor.is_down());
    assert!(supervisor.handle_exit(10, Exit::Code(0), at(3)));
    assert!(supervisor.is_down());
    assert_eq!(supervisor.poll_timeout(), None);
    assert_eq!(actions(&mut supervisor), []);
}

#[test]
fn shutdown_is_bounded() {
    let mut supervisor = one_in(Started, RestartPolicy::Always);
    supervisor.table = {
        let mut table = ServiceTable::new();
        let mut spec = Spec::new("a", &["program"]).unwrap();
        spec.stop_timeout = SHUTDOWN_TIMEOUT * 2;
        table.push(spec).unwrap();
        table
    };
    supervisor.shutdown(at(0));
    supervisor.shutdown(at(5));
    assert_eq!(actions(&mut supervisor), [signal(1, Signal::Term)]);
    assert_eq!(supervisor.poll_timeout(), Some(SHUTDOWN_TIMEOUT));
    supervisor.handle_timeout(SHUTDOWN_TIMEOUT - Duration::from_millis(1));
    assert_eq!(actions(&mut supervisor), []);
    supervisor.handle_timeout(SHUTDOWN_TIMEOUT);
    assert_eq!(actions(&mut supervisor), [signal(1, Signal::Kill)]);
    supervisor.handle_timeout(SHUTDOWN_TIMEOUT + KILL_TIMEOUT - Duration::from_millis(1));
    assert!(!supervisor.is_down());
    supervisor.handle_timeout(SHUTDOWN_TIMEOUT + KILL_TIMEOUT);
    assert!(supervisor.is_down(), "gives up on an unkillable process");
}

#[test]
fn process_spawned_after_the_deadline_of_the_shutdown_is_killed() {
    let mut supervisor = supervisor(&[("a", RestartPolicy::Never, &[])]);
    supervisor.handle_command(id(0), Verb::Start, at(0)).unwrap();
    supervisor.shutdown(at(0));
    supervisor.handle_timeout(SHUTDOWN_TIMEOUT);
    assert_eq!(actions(&mut supervisor), [Action::Spawn { service: id(0) }]);
    supervisor.handle_spawned(id(0), Ok(1), SHUTDOWN_TIMEOUT);
    assert!(actions(&mut supervisor).contains(&signal(1, Signal::Kill)));
}

#[test]
fn stop_and_shutdown_that_expire_together_leave_nothing_due() {
    let mut supervisor = one_in(Started, RestartPolicy::Never);
    supervisor.shutdown(at(0));
    assert_eq!(actions(&mut supervisor), [signal(1, Signal::Term)]);
    // Both have expired at the next call.
    supervisor.handle_timeout(SHUTDOWN_TIMEOUT);
    assert!(actions(&mut supervisor).contains(&signal(1, Signal::Kill)));
    assert_eq!(supervisor.poll_timeout(), Some(SHUTDOWN_TIMEOUT + KILL_TIMEOUT));
}

#[test]
fn shutdown_stops_waiting_and_spawning_services() {
    let mut supervisor = one_in(Starting, RestartPolicy::Always);
    supervisor.shutdown(at(0));
    assert!(supervisor.is_down());
    assert_eq!(state(&supervisor), Stopped);

    let mut supervisor = one_in(Stopped, RestartPolicy::Always);
    supervisor.handle_command(id(0), Verb::Start, at(0)).unwrap();
    supervisor.shutdown(at(0));
    assert!(!supervisor.is_down());
    supervisor.handle_spawned(id(0), Ok(1), at(0));
    assert_eq!(actions(&mut supervisor), [spawn(0), signal(1, Signal::Term)]);
    assert!(supervisor.handle_exit(1, Exit::Signal(15), at(0)));
    assert!(supervisor.is_down());
}

#[test]
fn actions_up_to_their_limit() {
    let mut supervisor = one_in(Started, RestartPolicy::Never);
    let mut accepted = 0;
    while supervisor.handle_signal(id(0), Signal::Hup, at(0)).is_ok() {
        accepted += 1;
        assert!(accepted <= ACTIONS);
    }
    assert_eq!(accepted, ACTIONS - ACTIONS_OF_ONE + 1);
    assert_eq!(supervisor.handle_command(id(0), Verb::Stop, at(0)), Err(CommandError::Busy));
    assert_eq!(state(&supervisor), Started, "nothing changed");
    assert_eq!(actions(&mut supervisor).len(), accepted);
    assert_eq!(supervisor.handle_command(id(0), Verb::Stop, at(0)), Ok(()));
}

#[test]
fn newest_changes_remain_in_a_full_queue() {
    let mut supervisor = one_in(Started, RestartPolicy::Never);
    for _ in 0..CHANGES {
        supervisor.handle_command(id(0), Verb::Pause, at(0)).unwrap();
        supervisor.handle_command(id(0), Verb::Start, at(0)).unwrap();
        actions(&mut supervisor);
    }
    let kept = changes(&mut supervisor);
    assert!(kept.len() <= CHANGES);
    assert_eq!(kept.last(), Some(&(Started, 1)));
}
