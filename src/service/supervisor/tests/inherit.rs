//! A server that ends in the middle of a stop: the next one finishes it as the first one would have.

use super::*;
use crate::service::{
    Check, CheckId, CheckKind, Ended, Endpoint, Inherited, InheritedProcess, Memo, REBOOT_UPTIME,
    STOP_TIMEOUT,
};

/// Memo that the first server has stored of its one service.
fn memo(first: &mut Supervisor) -> Memo {
    let memos = core::iter::from_fn(|| first.poll_memo());
    memos.last().expect("a memo").1
}

/// Supervisor of the next server, which inherits the service.
fn next(first: &mut Supervisor, process: InheritedProcess, ended: Option<Exit>) -> Supervisor {
    next_after(first, process, Program::Main, ended)
}

fn next_after(
    first: &mut Supervisor,
    process: InheritedProcess,
    program: Program,
    ended: Option<Exit>,
) -> Supervisor {
    let memo = memo(first);
    assert_eq!(Memo::decode(memo.encode()), Some(memo));
    let ended = ended.map(|exit| Ended { program: Program::Main, result: Ok(exit), ran: at(1) });
    let mut next = Supervisor::new(first.table.clone());
    next.inherit(&[(id(0), Inherited { memo, process, program, ended })], at(10));
    next
}

fn running() -> InheritedProcess {
    InheritedProcess::Running { pid: 1, started: at(0) }
}

fn end(supervisor: &Supervisor) -> (State, List<(EndReason, String)>) {
    let history = supervisor.history(id(0)).map(|run| (run.reason, run.exit.to_string()));
    (state(supervisor), history.collect())
}

#[test]
fn failed_leader_whose_workers_end_is_not_started_again() {
    for is_known in [true, false] {
        let mut first = one_of(|spec| spec.restart = RestartPolicy::Never);
        if is_known {
            exit(&mut first, Exit::Code(3), false, at(1));
        }
        let process = InheritedProcess::Ending { is_signalled: is_known };
        let mut next = next(&mut first, process, Some(Exit::Code(3)));
        drain(&mut next);
        next.handle_gone(id(0), at(12));
        assert_eq!(actions(&mut next), [], "known: {is_known}");
        assert_eq!(end(&next), (Failed, vec![(EndReason::Exited, "exit 3".to_owned())]), "known: {is_known}");
    }
}

#[test]
fn one_shot_that_ran_too_long_does_not_run_again() {
    let mut first = one_of(|spec| {
        spec.kind = ServiceKind::Oneshot;
        spec.max_runtime = Some(at(2));
    });
    first.handle_timeout(at(2));
    assert_eq!(state(&first), Stopping);
    let mut next = next(&mut first, running(), None);
    assert_eq!(actions(&mut next), stop());
    exit(&mut next, Exit::Code(0), true, at(12));
    assert_eq!((state(&next), actions(&mut next)), (Failed, vec![]));
}

#[test]
fn restart_that_was_under_way_starts_again_and_a_stop_does_not() {
    for (verb, expected) in [(Verb::Restart, vec![spawn(0)]), (Verb::Stop, vec![])] {
        for process in [running(), InheritedProcess::Ending { is_signalled: true }] {
            let mut first = one_of(|spec| spec.restart = RestartPolicy::Never);
            command(&mut first, verb, at(1));
            let mut next = next(&mut first, process, Some(Exit::Code(0)));
            drain(&mut next);
            match process {
                InheritedProcess::Running { .. } => exit(&mut next, Exit::Code(0), true, at(12)),
                _ => next.handle_gone(id(0), at(12)),
            }
            assert_eq!(actions(&mut next), expected, "{verb:?} {process:?}");
        }
    }
}

#[test]
fn start_that_was_under_way_begins_again() {
    for (process, program) in [
        (InheritedProcess::Killed { pid: 1 }, Program::PreStart),
        (InheritedProcess::Aborted, Program::PreStart),
        (InheritedProcess::Aborted, Program::Main),
    ] {
        let mut first = supervisor(&[("a", RestartPolicy::Never, &[])]);
        command(&mut first, Verb::Start, at(0));
        let mut next = next_after(&mut first, process, program, None);
        match process {
            InheritedProcess::Aborted => next.handle_spawned(id(0), Err(MISSING), at(11)),
            _ => exit(&mut next, Exit::signal(9), true, at(11)),
        }
        assert_eq!(actions(&mut next), [spawn(0)], "{process:?}");
        assert_eq!(next.status(id(0), at(11)).restarts, 0, "{process:?}: nothing has run");
    }
}

#[test]
fn finish_that_was_being_started_runs_and_the_exit_before_it_decides() {
    let mut first = one_of(|spec| {
        spec.restart = RestartPolicy::Never;
        spec.finish = life::program("/bin/clean");
    });
    exit(&mut first, Exit::Code(7), true, at(1));
    assert_eq!(actions(&mut first), [run_program(0, Program::Finish)]);
    let exit_before = Some(Exit::Code(7));
    let mut next = next_after(&mut first, InheritedProcess::Aborted, Program::Finish, exit_before);
    next.handle_spawned(id(0), Err(MISSING), at(10));
    assert_eq!(actions(&mut next), [run_program(0, Program::Finish)]);
    next.handle_spawned(id(0), Ok(2), at(10));
    exit(&mut next, Exit::Code(0), true, at(11));
    assert_eq!((state(&next), actions(&mut next)), (Failed, vec![]));
    assert_eq!(next.status(id(0), at(11)).last_exit.to_string(), "exit 7");
}

#[test]
fn end_of_the_board_that_was_due_is_due_after_another_server() {
    for (end, code) in [(Failed, 1), (Finished, 0)] {
        let mut first = one_of(|spec| {
            spec.kind = ServiceKind::Oneshot;
            (spec.on_failure, spec.on_success) = (Some(BoardEnd::Reboot), Some(BoardEnd::Reboot));
        });
        exit(&mut first, Exit::Code(code), true, at(1));
        assert_eq!(state(&first), end);
        let mut next = next(&mut first, InheritedProcess::None, Some(Exit::Code(code)));
        assert_eq!((state(&next), next.poll_timeout()), (end, Some(REBOOT_UPTIME)));
        next.handle_timeout(REBOOT_UPTIME);
        let expected = Action::EndBoard { service: id(0), end: BoardEnd::Reboot };
        assert_eq!(actions(&mut next), [expected], "{end:?}");
    }
}

/// A call had enabled it, and the next server took it for one of its first start.
#[test]
fn service_that_was_only_enabled_is_not_started_by_the_next_server() {
    let mut first = supervisor(&[("a", RestartPolicy::Never, &[])]);
    first.start_enabled(at(0));
    command(&mut first, Verb::Install, at(1));
    let mut next = next(&mut first, InheritedProcess::None, None);
    next.entries[0].enabled = true;
    drain(&mut next);
    next.start_enabled(at(10));
    assert_eq!((state(&next), actions(&mut next)), (Stopped, vec![]));
}

#[test]
fn what_an_earlier_keeper_left_is_stopped_before_an_enabled_service_starts() {
    for is_enabled in [true, false] {
        let mut next = supervisor(&[("a", RestartPolicy::Never, &[])]);
        next.set_enabled(id(0), is_enabled);
        let process = InheritedProcess::Left;
        let inherited = Inherited { memo: Memo::UNKNOWN, process, program: Program::Main, ended: None };
        next.inherit(&[(id(0), inherited)], at(10));
        next.start_enabled(at(10));
        assert_eq!((actions(&mut next), state(&next)), (stop().to_vec(), Stopping));
        assert_eq!(next.poll_timeout(), Some(at(10) + STOP_TIMEOUT));
        next.handle_gone(id(0), at(12));
        assert_eq!(actions(&mut next), if is_enabled { vec![spawn(0)] } else { vec![] });
        assert_eq!(
            (next.ends(id(0)), next.status(id(0), at(12)).restarts),
            (0, 0),
            "it has not run in this server"
        );
    }
}

#[test]
fn start_that_its_server_has_killed_timed_out_and_one_that_failed_before_has_its_own_reason() {
    for (program, process, error) in [
        (Program::Main, InheritedProcess::None, SpawnError::TIMEOUT),
        (Program::Finish, InheritedProcess::Running { pid: 2, started: at(1) }, MISSING),
    ] {
        let mut next = supervisor(&[("a", RestartPolicy::Never, &[])]);
        let memo = Memo { state: Stopping, ..Memo::UNKNOWN };
        let ended = Some(Ended { program: Program::Main, result: Err(MISSING), ran: at(0) });
        next.inherit(&[(id(0), Inherited { memo, process, program, ended })], at(10));
        if program == Program::Finish {
            exit(&mut next, Exit::Code(0), true, at(11));
        }
        let status = next.status(id(0), at(11));
        assert_eq!((status.state, status.last_exit), (Failed, LastExit::Spawn(error)), "{program:?}");
    }
}

/// The check of this number is that of another service in the file that the next server has read.
#[test]
fn check_that_is_not_of_the_service_is_not_the_reason_of_its_end() {
    let check = CheckId::from_index(0).unwrap();
    for (service, reason) in [(Some(id(0)), EndReason::Unhealthy(check)), (None, EndReason::Stopped)] {
        let mut next = supervisor(&[("a", RestartPolicy::Never, &[])]);
        let kind = CheckKind::Connect(Endpoint::tcp("127.0.0.1:80").unwrap());
        next.table.push_check(Check { service, ..Check::new("web", kind) }).unwrap();
        let memo = Memo { state: Stopping, fault: Some(EndReason::Unhealthy(check)), ..Memo::UNKNOWN };
        let inherited = Inherited { memo, process: running(), program: Program::Main, ended: None };
        next.inherit(&[(id(0), inherited)], at(10));
        exit(&mut next, Exit::Code(0), true, at(11));
        assert_eq!(end(&next), (Failed, vec![(reason, "exit 0".to_owned())]));
    }
}

#[test]
fn start_goes_on_after_the_end_of_its_preparation_and_begins_with_the_next_server() {
    let mut first = one_of(|spec| spec.pre_start = life::program("/bin/prepare"));
    let memo = memo(&mut first);
    let ended = Some(Ended { program: Program::PreStart, result: Ok(Exit::Code(0)), ran: at(1) });
    let mut next = Supervisor::new(first.table.clone());
    let process = InheritedProcess::None;
    next.inherit(&[(id(0), Inherited { memo, process, program: Program::PreStart, ended })], at(10));
    assert_eq!(actions(&mut next), [spawn(0)]);
    let status = next.status(id(0), at(12));
    assert_eq!((status.state, status.since), (Starting, at(2)));
}

#[test]
fn service_that_has_ended_had_what_it_needs() {
    let mut next = one_of(|spec| spec.needs.push("path:/x").unwrap());
    next = Supervisor::new(next.table.clone());
    let memo = Memo { state: Started, ..Memo::UNKNOWN };
    let ended = Some(Ended { program: Program::Main, result: Ok(Exit::Code(1)), ran: at(1) });
    let process = InheritedProcess::None;
    next.inherit(&[(id(0), Inherited { memo, process, program: Program::Main, ended })], at(10));
    next.handle_timeout(next.poll_timeout().unwrap());
    assert_eq!(end(&next), (Failed, vec![(EndReason::Exited, "exit 1".to_owned())]));
}

#[test]
fn services_that_run_have_what_they_need_until_it_is_reported() {
    let mut table = ServiceTable::new();
    for name in ["a", "b"] {
        let mut spec = Spec::new(name, &["program"]).unwrap();
        spec.needs.push("path:/x").unwrap();
        table.push(spec).unwrap();
    }
    let mut next = Supervisor::new(table);
    let inherited =
        Inherited { memo: Memo::UNKNOWN, process: running(), program: Program::Main, ended: None };
    next.inherit(&[0, 1].map(|index| (id(index), inherited)), at(10));
    next.start_enabled(at(10));
    assert_eq!((actions(&mut next), state(&next)), (vec![], Started));
    next.handle_condition(0, false, at(11));
    assert_eq!((actions(&mut next).len(), state(&next)), (4, Stopping));
}

#[test]
fn killed_start_of_a_service_that_was_not_wanted_is_not_repeated() {
    let mut next = supervisor(&[("a", RestartPolicy::Always, &[])]);
    let memo = Memo { state: Stopped, is_wanted: false, ..Memo::UNKNOWN };
    let process = InheritedProcess::Aborted;
    next.inherit(&[(id(0), Inherited { memo, process, program: Program::Main, ended: None })], at(10));
    next.start_enabled(at(10));
    next.handle_spawned(id(0), Err(MISSING), at(11));
    assert_eq!((state(&next), actions(&mut next)), (Stopped, vec![]));
}
