//! Process groups: the time to stop belongs to all processes of a service.

use super::*;
use crate::service::STOP_TIMEOUT;

/// Supervisor of one service whose leader has exited while others are left.
fn without_leader(restart: RestartPolicy) -> Supervisor {
    let mut supervisor = one_in(Started, restart);
    exit(&mut supervisor, Exit::Code(1), false, at(20));
    supervisor
}

#[test]
fn group_has_the_whole_time_after_its_leader_has_exited() {
    let mut supervisor = without_leader(RestartPolicy::Never);
    assert_eq!(actions(&mut supervisor), stop());
    assert_eq!(changes(&mut supervisor), [(Stopping, 0)]);
    assert_eq!(supervisor.poll_timeout(), Some(at(20) + STOP_TIMEOUT));
    supervisor.handle_timeout(at(20) + STOP_TIMEOUT - millis(1));
    assert_eq!(actions(&mut supervisor), []);
    supervisor.handle_timeout(at(20) + STOP_TIMEOUT);
    assert_eq!(actions(&mut supervisor), kill());
    assert_eq!(state(&supervisor), Stopping);
    supervisor.handle_gone(id(0), at(31));
    assert_eq!(changes(&mut supervisor), [(Failed, 0)]);
    assert_eq!(supervisor.poll_timeout(), None);
}

#[test]
fn group_has_the_rest_of_the_time_when_its_leader_exits_during_a_stop() {
    let mut supervisor = one_in(Stopping, RestartPolicy::Always);
    exit(&mut supervisor, Exit::Code(0), false, at(4));
    assert_eq!(actions(&mut supervisor), [], "it has the stop signal already");
    assert_eq!((state(&supervisor), supervisor.poll_timeout()), (Stopping, Some(STOP_TIMEOUT)));
    supervisor.handle_timeout(STOP_TIMEOUT);
    assert_eq!(actions(&mut supervisor), kill());
    supervisor.handle_gone(id(0), STOP_TIMEOUT);
    assert_eq!(state(&supervisor), Stopped);
}

#[test]
fn restart_waits_for_the_end_of_the_group() {
    let mut supervisor = one_in(Started, RestartPolicy::Never);
    command(&mut supervisor, Verb::Restart, at(1));
    exit(&mut supervisor, Exit::Code(0), false, at(2));
    assert_eq!(actions(&mut supervisor), stop());
    supervisor.handle_gone(id(0), at(3));
    assert_eq!(actions(&mut supervisor), [spawn(0)]);
}

#[test]
fn policy_decides_after_the_end_of_the_group() {
    let mut supervisor = without_leader(RestartPolicy::OnFailure);
    actions(&mut supervisor);
    supervisor.handle_gone(id(0), at(25));
    assert_eq!(state(&supervisor), Starting);
    assert_eq!(supervisor.poll_timeout(), Some(at(25) + crate::service::RESTART_DELAY_MIN));
}

#[test]
fn commands_decide_instead_of_the_policy_while_the_group_ends() {
    let mut supervisor = without_leader(RestartPolicy::Always);
    command(&mut supervisor, Verb::Stop, at(21));
    supervisor.handle_gone(id(0), at(22));
    assert_eq!(state(&supervisor), Stopped);

    let mut supervisor = without_leader(RestartPolicy::Never);
    command(&mut supervisor, Verb::Start, at(21));
    actions(&mut supervisor);
    supervisor.handle_gone(id(0), at(22));
    assert_eq!(actions(&mut supervisor), [spawn(0)]);
}

#[test]
fn group_is_killed_when_the_stop_times_out() {
    let mut supervisor = one_in(Stopping, RestartPolicy::Never);
    supervisor.handle_timeout(STOP_TIMEOUT - millis(1));
    assert_eq!(actions(&mut supervisor), []);
    supervisor.handle_timeout(STOP_TIMEOUT);
    supervisor.handle_timeout(STOP_TIMEOUT + millis(1));
    assert_eq!(actions(&mut supervisor), kill(), "once");
}

#[test]
fn unkillable_service_is_given_up() {
    for has_leader in [true, false] {
        let mut supervisor = one_in(Started, RestartPolicy::Never);
        command(&mut supervisor, Verb::Restart, at(0));
        if !has_leader {
            exit(&mut supervisor, Exit::Code(3), false, at(1));
        }
        supervisor.handle_timeout(STOP_TIMEOUT);
        actions(&mut supervisor);
        supervisor.handle_timeout(STOP_TIMEOUT + KILL_TIMEOUT - millis(1));
        assert_eq!((state(&supervisor), actions(&mut supervisor)), (Stopping, vec![]));
        supervisor.handle_timeout(STOP_TIMEOUT + KILL_TIMEOUT);
        assert_eq!(actions(&mut supervisor), [spawn(0)]);
        let last_exit = if has_leader { LastExit::signal(9) } else { LastExit::Code(3) };
        assert_eq!(supervisor.status(id(0), at(0)).last_exit, last_exit);
        // The late end of the old group is not that of the new process.
        run(&mut supervisor, 2, at(20));
        supervisor.handle_gone(id(0), at(21));
        assert_eq!(state(&supervisor), Started);
    }
}

#[test]
fn signals_of_named_commands_need_a_leader() {
    let mut supervisor = without_leader(RestartPolicy::Never);
    let answer = supervisor.handle_signal(id(0), Signal::Hup, Scope::Group, at(20));
    assert_eq!(answer, Err(CommandError::NotRunning));
}

#[test]
fn kill_as_the_stop_signal_needs_no_companion() {
    let mut supervisor = one_of(|spec| spec.stop_signal = Signal::Kill);
    command(&mut supervisor, Verb::Stop, at(1));
    assert_eq!(actions(&mut supervisor), kill());
}
