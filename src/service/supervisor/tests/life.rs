//! Programs and times around the life of a service.

use super::*;
use crate::service::{
    Arguments, KILL_TIMEOUT, PreStartFailure, ProcessEvent, REBOOT_UPTIME, STOP_TIMEOUT, ServiceKind,
};

fn bounded(spec: &mut Spec) {
    spec.max_runtime = Some(at(60));
    spec.restart = RestartPolicy::OnFailure;
}

#[test]
fn run_that_is_too_long_is_stopped_in_order_and_counts_as_a_failure() {
    let mut supervisor = one_of(bounded);
    assert_eq!(supervisor.poll_timeout(), Some(at(60)));
    supervisor.handle_timeout(at(60) - millis(1));
    assert_eq!(actions(&mut supervisor), []);
    supervisor.handle_timeout(at(60));
    assert_eq!(actions(&mut supervisor), stop());
    supervisor.handle_timeout(at(60) + STOP_TIMEOUT);
    assert_eq!(actions(&mut supervisor), kill());
    // A success that comes too late is none.
    exit(&mut supervisor, Exit::Code(0), true, at(71));
    let status = supervisor.status(id(0), at(71));
    assert_eq!((status.state, status.last_exit), (Starting, LastExit::Overran(60)));
    assert_eq!(status.last_exit.to_string(), "ran longer than 60 s");
    let run = supervisor.history(id(0)).next_back().unwrap();
    assert_eq!((run.exit, run.reason), (LastExit::Overran(60), EndReason::MaxRuntime));
    // The next run has the whole time again.
    supervisor.handle_timeout(at(72));
    supervisor.handle_spawned(id(0), Ok(2), at(72));
    drain(&mut supervisor);
    assert_eq!(supervisor.poll_timeout(), Some(at(132)));
    exit(&mut supervisor, Exit::Code(0), true, at(100));
    assert_eq!((state(&supervisor), supervisor.poll_timeout()), (Stopped, None));
}

#[test]
fn run_that_is_too_long_fails_without_a_restart() {
    let mut supervisor = one_of(|spec| spec.max_runtime = Some(at(60)));
    supervisor.handle_timeout(at(60));
    supervisor.handle_timeout(at(60) + STOP_TIMEOUT);
    supervisor.handle_timeout(at(60) + STOP_TIMEOUT + KILL_TIMEOUT);
    assert_eq!(state(&supervisor), Failed, "given up");
    assert_eq!(supervisor.status(id(0), at(80)).last_exit, LastExit::Overran(60));
}

#[test]
fn pause_does_not_extend_the_time_of_a_run() {
    let mut supervisor = one_of(bounded);
    command(&mut supervisor, Verb::Pause, at(10));
    drain(&mut supervisor);
    assert_eq!(supervisor.poll_timeout(), Some(at(60)));
    command(&mut supervisor, Verb::Start, at(20));
    drain(&mut supervisor);
    assert_eq!(supervisor.poll_timeout(), Some(at(60)));
}

pub(super) fn program(name: &str) -> Arguments {
    let mut arguments = Arguments::new();
    arguments.push(name).unwrap();
    arguments
}

fn with_pre_start(spec: &mut Spec) {
    spec.pre_start = program("/bin/prepare");
}

fn with_stop_command(spec: &mut Spec) {
    spec.stop_command = program("/bin/ask");
}

fn with_finish(spec: &mut Spec) {
    spec.finish = program("/bin/clean");
}

/// Supervisor of one service that never ran.
fn stopped(change: impl Fn(&mut Spec)) -> Supervisor {
    let mut spec = Spec::new("a", &["program"]).unwrap();
    change(&mut spec);
    let mut table = ServiceTable::new();
    table.push(spec).unwrap();
    Supervisor::new(table)
}

/// Supervisor of one service whose `pre_start` runs since second 0.
fn preparing(change: impl Fn(&mut Spec)) -> Supervisor {
    let mut supervisor = stopped(|spec| {
        with_pre_start(spec);
        change(spec);
    });
    command(&mut supervisor, Verb::Start, at(0));
    assert_eq!(actions(&mut supervisor), [run_program(0, Program::PreStart)]);
    run(&mut supervisor, 1, at(0));
    supervisor
}

fn command_ended(supervisor: &mut Supervisor, result: Result<Exit, SpawnError>, now: Duration) {
    supervisor.handle_event(id(0), ProcessEvent::StopCommand(result), now);
}

#[test]
fn pre_start_runs_before_each_start() {
    let mut supervisor = preparing(|spec| spec.restart = RestartPolicy::Always);
    assert_eq!(state(&supervisor), Starting);
    assert!(!supervisor.status(id(0), at(0)).started_once);
    exit(&mut supervisor, Exit::Code(0), true, at(1));
    assert_eq!(actions(&mut supervisor), [spawn(0)]);
    run(&mut supervisor, 2, at(1));
    assert_eq!((state(&supervisor), changes(&mut supervisor)), (Started, vec![(Started, 2)]));
    supervisor.handle_timeout(at(2));
    assert_eq!(supervisor.poll_settled(), Some((id(0), Ok(()))));
    exit(&mut supervisor, Exit::Code(0), true, at(3));
    supervisor.handle_timeout(at(4));
    assert_eq!(actions(&mut supervisor), [run_program(0, Program::PreStart)]);
    assert_eq!(supervisor.history(id(0)).count(), 1, "that of pre_start is none");
}

#[test]
fn failed_pre_start_fails_the_start_and_the_policy_decides() {
    for (restart, expected) in [(RestartPolicy::Never, Failed), (RestartPolicy::OnFailure, Starting)] {
        let mut supervisor = preparing(|spec| spec.restart = restart);
        exit(&mut supervisor, Exit::Code(1), true, at(1));
        let end = LastExit::PreStart(PreStartFailure::Exit(Exit::Code(1)));
        assert_eq!(end.to_string(), "pre_start: exit 1");
        assert_eq!(supervisor.poll_settled(), Some((id(0), Err(CommandError::Exited(end)))));
        let status = supervisor.status(id(0), at(1));
        assert_eq!((status.state, status.last_exit, status.started_once), (expected, end, false));
        let run = supervisor.history(id(0)).next_back().unwrap();
        assert_eq!((run.exit, run.reason), (end, EndReason::SpawnFailed));
        assert_eq!(actions(&mut supervisor), []);
    }
}

#[test]
fn pre_start_that_cannot_be_started_is_named() {
    let mut supervisor = stopped(with_pre_start);
    command(&mut supervisor, Verb::Start, at(0));
    supervisor.handle_spawned(id(0), Err(MISSING), at(0));
    let status = supervisor.status(id(0), at(0));
    let text = status.last_exit.text(supervisor.spec(id(0)).unwrap()).to_string();
    assert_eq!(text, "pre_start: cannot start /bin/prepare: No such file or directory (errno 2)");
    assert_eq!(status.state, Failed);
}

#[test]
fn pre_start_has_the_time_to_become_ready() {
    let mut supervisor = preparing(|spec| spec.ready_timeout = at(5));
    supervisor.handle_timeout(at(5));
    assert_eq!(actions(&mut supervisor), stop());
    // Even if it succeeds now.
    exit(&mut supervisor, Exit::Code(0), true, at(6));
    let status = supervisor.status(id(0), at(6));
    assert_eq!(status.last_exit.to_string(), "pre_start: ran longer than 5 s");
    assert_eq!((status.state, actions(&mut supervisor)), (Failed, vec![]));
}

#[test]
fn processes_that_pre_start_leaves_end_before_the_start() {
    let mut supervisor = preparing(|_| {});
    exit(&mut supervisor, Exit::Code(0), false, at(1));
    assert_eq!(actions(&mut supervisor), stop());
    supervisor.handle_timeout(at(1) + STOP_TIMEOUT);
    assert_eq!(actions(&mut supervisor), kill());
    supervisor.handle_gone(id(0), at(12));
    assert_eq!(actions(&mut supervisor), [spawn(0)]);
}

#[test]
fn processes_that_pre_start_leaves_are_followed_by_no_start_while_the_server_ends() {
    let mut supervisor = preparing(|_| {});
    exit(&mut supervisor, Exit::Code(0), false, at(1));
    supervisor.shutdown(at(2));
    drain(&mut supervisor);
    supervisor.handle_gone(id(0), at(3));
    assert_eq!((actions(&mut supervisor), state(&supervisor)), (vec![], Stopped));
    assert!(supervisor.is_down());
}

#[test]
fn stop_and_shutdown_end_pre_start() {
    for is_shutdown in [false, true] {
        let mut supervisor = preparing(with_finish);
        match is_shutdown {
            false => command(&mut supervisor, Verb::Stop, at(1)),
            true => supervisor.shutdown(at(1)),
        }
        assert_eq!(actions(&mut supervisor), stop());
        assert!(supervisor.handle_signal(id(0), Signal::Hup, Scope::Leader, at(1)).is_err());
        exit(&mut supervisor, Exit::Code(0), true, at(2));
        assert_eq!(actions(&mut supervisor), [run_program(0, Program::Finish)]);
        run(&mut supervisor, 2, at(2));
        exit(&mut supervisor, Exit::Code(0), true, at(2));
        assert_eq!((state(&supervisor), actions(&mut supervisor)), (Stopped, vec![]));
        assert_eq!(supervisor.is_down(), is_shutdown);
        assert_eq!(supervisor.history(id(0)).count(), 0);
    }
}

#[test]
fn restart_ends_pre_start_and_begins_anew() {
    let mut supervisor = preparing(|_| ());
    command(&mut supervisor, Verb::Restart, at(1));
    assert_eq!(actions(&mut supervisor), stop());
    exit(&mut supervisor, Exit::signal(15), true, at(2));
    assert_eq!(actions(&mut supervisor), [run_program(0, Program::PreStart)]);
}

#[test]
fn reload_ends_pre_start_and_runs_the_later_program() {
    let mut supervisor = preparing(|_| ());
    let mut later = ServiceTable::new();
    later.push(Spec::new("a", &["other"]).unwrap()).unwrap();
    let later = supervisor.table.succeed(later);
    supervisor.begin_reload(later, at(1));
    assert_eq!(actions(&mut supervisor), stop());
    supervisor.handle_timeout(at(1));
    assert!(actions(&mut supervisor).is_empty() && !supervisor.reload_is_due());
    exit(&mut supervisor, Exit::signal(15), true, at(2));
    assert!(supervisor.reload_is_due() && actions(&mut supervisor).is_empty());
    supervisor.finish_reload(at(2), None, &mut |_| None);
    assert_eq!(actions(&mut supervisor), [spawn(0)]);
}

#[test]
fn stop_command_runs_instead_of_the_stop_signal() {
    let mut supervisor = one_of(with_stop_command);
    command(&mut supervisor, Verb::Stop, at(0));
    let asked = [signal(Signal::Cont), run_program(0, Program::Stop)];
    assert_eq!((state(&supervisor), actions(&mut supervisor)), (Stopping, asked.to_vec()));
    exit(&mut supervisor, Exit::Code(0), false, at(1));
    command_ended(&mut supervisor, Ok(Exit::Code(0)), at(1));
    // Its group may have other processes.
    assert_eq!(actions(&mut supervisor), stop());
    supervisor.handle_gone(id(0), at(1));
    assert_eq!(state(&supervisor), Stopped);
    let run = supervisor.history(id(0)).next_back().unwrap();
    assert_eq!((run.exit, run.reason), (LastExit::Code(0), EndReason::Stopped));
}

#[test]
fn stop_signal_follows_a_stop_command_that_was_not_enough() {
    for result in [Ok(Exit::Code(0)), Ok(Exit::Code(1)), Err(MISSING)] {
        let mut supervisor = one_of(with_stop_command);
        command(&mut supervisor, Verb::Stop, at(0));
        drain(&mut supervisor);
        command_ended(&mut supervisor, result, at(4));
        assert_eq!(actions(&mut supervisor), stop(), "{result:?}");
        // The time is that of both.
        assert_eq!(supervisor.poll_timeout(), Some(STOP_TIMEOUT));
        supervisor.handle_timeout(STOP_TIMEOUT);
        assert_eq!(actions(&mut supervisor), kill());
    }
}

#[test]
fn stop_command_without_an_end_leaves_half_of_the_time_to_the_stop_signal() {
    let mut supervisor = one_of(with_stop_command);
    command(&mut supervisor, Verb::Restart, at(0));
    drain(&mut supervisor);
    assert_eq!(supervisor.poll_timeout(), Some(STOP_TIMEOUT / 2));
    supervisor.handle_timeout(STOP_TIMEOUT / 2);
    assert_eq!(actions(&mut supervisor), stop());
    assert_eq!(supervisor.poll_timeout(), Some(STOP_TIMEOUT));
    supervisor.handle_timeout(STOP_TIMEOUT);
    assert_eq!(actions(&mut supervisor), kill());
    command_ended(&mut supervisor, Ok(Exit::signal(9)), at(10));
    assert_eq!(actions(&mut supervisor), []);
    exit(&mut supervisor, Exit::signal(9), true, at(10));
    assert_eq!(actions(&mut supervisor), [spawn(0)]);
}

#[test]
fn processes_that_the_leader_left_get_the_signal_alone() {
    let mut supervisor = one_of(with_stop_command);
    exit(&mut supervisor, Exit::Code(1), false, at(1));
    assert_eq!(actions(&mut supervisor), stop());
}

#[test]
fn finish_runs_after_each_end_and_before_the_restart() {
    let mut supervisor = one_of(|spec| {
        with_finish(spec);
        spec.restart = RestartPolicy::OnFailure;
    });
    exit(&mut supervisor, Exit::Code(1), false, at(20));
    assert_eq!(actions(&mut supervisor), stop());
    supervisor.handle_gone(id(0), at(21));
    assert_eq!(actions(&mut supervisor), [run_program(0, Program::Finish)]);
    let status = supervisor.status(id(0), at(21));
    assert_eq!((status.state, status.last_exit, status.is_ready), (Stopping, LastExit::Code(1), false));
    run(&mut supervisor, 2, at(21));
    // Its own end changes nothing.
    exit(&mut supervisor, Exit::Code(3), true, at(25));
    let status = supervisor.status(id(0), at(25));
    assert_eq!((status.state, status.last_exit), (Starting, LastExit::Code(1)));
    assert_eq!(supervisor.poll_timeout(), Some(at(25) + crate::service::RESTART_DELAY_MIN));
    let runs: List<_> = supervisor.history(id(0)).map(|run| (run.ended, run.ran)).collect();
    assert_eq!(runs, [(at(20), at(20))]);
}

#[test]
fn success_of_a_oneshot_counts_after_finish() {
    let mut supervisor = one_of(|spec| {
        with_finish(spec);
        spec.kind = ServiceKind::Oneshot;
    });
    exit(&mut supervisor, Exit::Code(0), true, at(1));
    drain(&mut supervisor);
    assert_eq!(state(&supervisor), Stopping);
    supervisor.handle_spawned(id(0), Err(MISSING), at(1));
    assert_eq!(state(&supervisor), Finished);
}

#[test]
fn finish_is_killed_after_its_time_or_with_what_it_leaves() {
    let cleaning = || {
        let mut supervisor = one_of(with_finish);
        command(&mut supervisor, Verb::Stop, at(0));
        exit(&mut supervisor, Exit::Code(0), true, at(0));
        drain(&mut supervisor);
        supervisor
    };
    let mut late = cleaning();
    run(&mut late, 2, at(0));
    late.handle_timeout(STOP_TIMEOUT);
    assert_eq!(actions(&mut late), kill());
    exit(&mut late, Exit::signal(9), true, at(11));
    assert_eq!(state(&late), Stopped);
    assert_eq!(late.status(id(0), at(11)).last_exit, LastExit::Code(0));

    let mut leaving = cleaning();
    run(&mut leaving, 2, at(0));
    exit(&mut leaving, Exit::Code(0), false, at(1));
    assert_eq!(actions(&mut leaving), kill());
    leaving.handle_gone(id(0), at(1));
    assert_eq!(state(&leaving), Stopped);

    // Without an answer to its spawn, the service is lost until there is one.
    let mut hanging = cleaning();
    hanging.handle_timeout(STOP_TIMEOUT);
    assert_eq!(actions(&mut hanging), kill());
    hanging.handle_timeout(STOP_TIMEOUT + KILL_TIMEOUT);
    assert_eq!(hanging.handle_command(id(0), Verb::Start, at(13)), Err(CommandError::Busy));
    hanging.handle_spawned(id(0), Err(MISSING), at(14));
    assert_eq!(state(&hanging), Stopped);
}

#[test]
fn finish_follows_a_start_that_failed_after_pre_start() {
    let mut supervisor = preparing(with_finish);
    exit(&mut supervisor, Exit::Code(0), true, at(1));
    drain(&mut supervisor);
    supervisor.handle_spawned(id(0), Err(MISSING), at(1));
    assert_eq!(actions(&mut supervisor), [run_program(0, Program::Finish)]);
    // One that failed before it does not need it.
    let mut supervisor = stopped(with_finish);
    command(&mut supervisor, Verb::Start, at(0));
    drain(&mut supervisor);
    supervisor.handle_spawned(id(0), Err(MISSING), at(0));
    assert_eq!((state(&supervisor), actions(&mut supervisor)), (Failed, vec![]));
}

#[test]
fn finish_follows_a_pre_start_that_was_killed_before_its_start_was_known() {
    for (error, runs) in [(SpawnError::TIMEOUT, true), (MISSING, false)] {
        let mut supervisor = stopped(|spec| {
            with_pre_start(spec);
            with_finish(spec);
        });
        command(&mut supervisor, Verb::Start, at(0));
        drain(&mut supervisor);
        command(&mut supervisor, Verb::Stop, at(1));
        assert_eq!(actions(&mut supervisor), kill());
        supervisor.handle_spawned(id(0), Err(error), at(1));
        let finish = [run_program(0, Program::Finish)];
        assert_eq!(actions(&mut supervisor), if runs { &finish[..] } else { &[] }, "{error:?}");
        assert_eq!(state(&supervisor), if runs { Stopping } else { Stopped });
    }
}

#[test]
fn commands_during_finish_decide_what_follows() {
    let cleaning = |verb| {
        let mut supervisor = one_of(|spec| {
            with_finish(spec);
            spec.restart = RestartPolicy::Always;
        });
        exit(&mut supervisor, Exit::Code(0), true, at(1));
        drain(&mut supervisor);
        run(&mut supervisor, 2, at(1));
        command(&mut supervisor, verb, at(1));
        exit(&mut supervisor, Exit::Code(0), true, at(2));
        (state(&supervisor), actions(&mut supervisor))
    };
    assert_eq!(cleaning(Verb::Stop), (Stopped, vec![]));
    assert_eq!(cleaning(Verb::Start), (Starting, vec![spawn(0)]));
}

#[test]
fn shutdown_waits_for_finish() {
    let mut supervisor = one_of(with_finish);
    assert_eq!(supervisor.shutdown_time(), (STOP_TIMEOUT + KILL_TIMEOUT) * 2);
    supervisor.shutdown(at(0));
    exit(&mut supervisor, Exit::Code(0), true, at(1));
    assert!(!supervisor.is_down());
    run(&mut supervisor, 2, at(1));
    exit(&mut supervisor, Exit::Code(0), true, at(1));
    assert!(supervisor.is_down());
}

/// Supervisor of one service that has failed at this second, and whose failure restarts the board.
fn failed_at(second: u64) -> Supervisor {
    let mut supervisor = one_of(|spec| {
        spec.on_failure = Some(BoardEnd::Reboot);
        spec.restart = RestartPolicy::Always;
        spec.start_limit = 1;
    });
    exit(&mut supervisor, Exit::Code(1), true, at(5));
    assert_eq!((state(&supervisor), supervisor.poll_timeout()), (Failed, Some(REBOOT_UPTIME)));
    command(&mut supervisor, Verb::Start, at(second));
    run(&mut supervisor, 2, at(second));
    drain(&mut supervisor);
    assert_eq!(supervisor.poll_timeout(), None, "a start calls it off");
    exit(&mut supervisor, Exit::Code(1), true, at(second));
    assert_eq!(state(&supervisor), Failed);
    supervisor
}

#[test]
fn board_of_a_failed_service_restarts_after_some_time() {
    let reboot = Action::EndBoard { service: id(0), end: BoardEnd::Reboot };
    let mut supervisor = failed_at(6);
    supervisor.handle_timeout(REBOOT_UPTIME - millis(1));
    assert_eq!(actions(&mut supervisor), []);
    supervisor.handle_timeout(REBOOT_UPTIME);
    assert_eq!(actions(&mut supervisor), [reboot]);
    supervisor.handle_timeout(REBOOT_UPTIME * 2);
    assert_eq!(actions(&mut supervisor), [], "once");
    // Later than that, it restarts at once.
    let mut supervisor = failed_at(1000);
    supervisor.handle_timeout(at(1000));
    assert_eq!(actions(&mut supervisor), [reboot]);
}

#[test]
fn stop_or_shutdown_calls_the_restart_of_the_board_off() {
    for is_shutdown in [false, true] {
        let mut supervisor = failed_at(6);
        match is_shutdown {
            false => command(&mut supervisor, Verb::Stop, at(7)),
            true => supervisor.shutdown(at(7)),
        }
        supervisor.handle_timeout(REBOOT_UPTIME);
        assert_eq!(actions(&mut supervisor), []);
    }
}

#[test]
fn success_and_restarts_do_not_restart_the_board() {
    for (restart, code, expected) in
        [(RestartPolicy::Never, 0, Stopped), (RestartPolicy::OnFailure, 1, Starting)]
    {
        let mut supervisor = one_of(|spec| {
            spec.on_failure = Some(BoardEnd::Reboot);
            spec.restart = restart;
        });
        exit(&mut supervisor, Exit::Code(code), true, at(400));
        assert_eq!(state(&supervisor), expected);
        supervisor.handle_timeout(at(500));
        assert!(!actions(&mut supervisor).iter().any(|action| matches!(action, Action::EndBoard { .. })));
    }
}

#[test]
fn board_is_switched_off_after_a_success() {
    for (kind, expected) in [(ServiceKind::Oneshot, Finished), (ServiceKind::Simple, Stopped)] {
        let mut supervisor = one_of(|spec| {
            spec.kind = kind;
            spec.on_success = Some(BoardEnd::PowerOff);
            spec.on_failure = Some(BoardEnd::Reboot);
        });
        exit(&mut supervisor, Exit::Code(0), true, at(5));
        assert_eq!((state(&supervisor), supervisor.poll_timeout()), (expected, Some(at(5))));
        supervisor.handle_timeout(at(5));
        assert_eq!(actions(&mut supervisor), [Action::EndBoard { service: id(0), end: BoardEnd::PowerOff }]);
        // A stop is not a success.
        command(&mut supervisor, Verb::Restart, at(6));
        run(&mut supervisor, 2, at(6));
        command(&mut supervisor, Verb::Stop, at(7));
        exit(&mut supervisor, Exit::Code(0), true, at(8));
        drain(&mut supervisor);
        supervisor.handle_timeout(at(500));
        assert_eq!(actions(&mut supervisor), []);
    }
}
