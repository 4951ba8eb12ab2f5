//! Conditions of the machine that services wait for and need.

use super::*;
use crate::service::{CONDITIONS, SERVICE_READY_TIMEOUT, START_SETTLE, TableError};

/// A service by `name`, `wait`, `needs` and `after`.
type Row<'a> = (&'a str, &'a [&'a str], &'a [&'a str], &'a [&'a str]);

/// Services, all enabled.
fn of(services: &[Row<'_>]) -> Supervisor {
    let mut table = ServiceTable::new();
    for (name, wait, needs, after) in services {
        let mut spec = Spec { autostart: true, ..Spec::new(name, &["program"]).unwrap() };
        wait.iter().for_each(|text| spec.wait.push(text).unwrap());
        needs.iter().for_each(|text| spec.needs.push(text).unwrap());
        after.iter().for_each(|name| spec.after.push((*name).try_into().unwrap()).unwrap());
        table.push(spec).unwrap();
    }
    let mut supervisor = Supervisor::new(table);
    supervisor.start_enabled(at(0));
    supervisor
}

fn state(supervisor: &Supervisor, index: usize) -> State {
    supervisor.status(id(index), at(0)).state
}

fn awaited(supervisor: &Supervisor, index: usize) -> List<&str> {
    supervisor.awaited(id(index)).collect()
}

#[test]
fn start_waits_for_every_condition() {
    let mut supervisor = of(&[("a", &["clock", "path:/x"], &["network"], &[])]);
    assert_eq!((state(&supervisor, 0), actions(&mut supervisor)), (Starting, List::new()));
    assert_eq!(awaited(&supervisor, 0), ["clock", "path:/x", "network"]);
    supervisor.handle_condition(1, true, at(1));
    supervisor.handle_condition(0, true, at(2));
    assert_eq!(awaited(&supervisor, 0), ["network"]);
    assert_eq!(actions(&mut supervisor), []);
    supervisor.handle_condition(2, true, at(3));
    assert_eq!(actions(&mut supervisor), [spawn(0)]);
    run(&mut supervisor, 1, at(3));
    assert!(awaited(&supervisor, 0).is_empty());
    // What it waited for may go, once it runs.
    supervisor.handle_condition(0, false, at(4));
    assert_eq!((state(&supervisor, 0), actions(&mut supervisor)), (Started, List::new()));
}

#[test]
fn condition_that_is_reported_again_is_as_it_was() {
    let mut supervisor = of(&[("a", &["clock", "path:/x"], &[], &[])]);
    let reports = [(0, true), (0, true), (1, true), (1, false), (1, false), (8, true)];
    let met = reports.map(|(condition, is_met)| {
        supervisor.handle_condition(condition, is_met, at(1));
        supervisor.met()
    });
    assert_eq!(met, [1, 1, 3, 1, 1, 1]);
}

#[test]
fn condition_before_a_start_may_be_needed_too() {
    let mut supervisor = of(&[("a", &["clock"], &["clock"], &[])]);
    assert_eq!((supervisor.condition(0), supervisor.condition(1)), ("clock", "?"));
    supervisor.handle_timeout(SERVICE_READY_TIMEOUT);
    let is_late = |supervisor: &Supervisor| supervisor.status(id(0), SERVICE_READY_TIMEOUT).is_late;
    assert_eq!((awaited(&supervisor, 0), is_late(&supervisor)), (vec!["clock"], true));
    supervisor.handle_condition(0, true, SERVICE_READY_TIMEOUT);
    assert_eq!((actions(&mut supervisor), is_late(&supervisor)), (vec![spawn(0)], false));
}

#[test]
fn late_service_that_is_not_required_is_not_awaited() {
    let mut supervisor = of(&[("a", &["clock"], &[], &[]), ("b", &["network"], &[], &["a"])]);
    assert_eq!(awaited(&supervisor, 1), ["a", "network"]);
    supervisor.handle_timeout(SERVICE_READY_TIMEOUT);
    assert_eq!((awaited(&supervisor, 0), awaited(&supervisor, 1)), (vec!["clock"], vec!["network"]));
}

#[test]
fn service_stops_without_what_it_needs_and_comes_back_with_it() {
    let mut supervisor = of(&[("a", &[], &["device:/dev/x"], &[])]);
    supervisor.handle_condition(0, true, at(1));
    run(&mut supervisor, 1, at(1));
    drain(&mut supervisor);
    for round in 0..3 {
        supervisor.handle_condition(0, false, at(10));
        assert_eq!(actions(&mut supervisor), stop(), "{round}");
        supervisor.handle_condition(0, false, at(10));
        assert_eq!(actions(&mut supervisor), [], "once");
        exit(&mut supervisor, Exit::signal(15), true, at(11));
        assert_eq!((state(&supervisor, 0), actions(&mut supervisor)), (Starting, List::new()));
        supervisor.handle_condition(0, true, at(12));
        assert_eq!(actions(&mut supervisor), [spawn(0)]);
        run(&mut supervisor, 2, at(12));
        drain(&mut supervisor);
    }
    // One that goes and comes while it stops.
    supervisor.handle_condition(0, false, at(20));
    supervisor.handle_condition(0, true, at(20));
    drain(&mut supervisor);
    exit(&mut supervisor, Exit::signal(15), true, at(21));
    assert_eq!(actions(&mut supervisor), [spawn(0)]);
}

#[test]
fn stop_ends_the_wait_for_a_condition() {
    let mut supervisor = of(&[("a", &["clock"], &[], &[])]);
    command(&mut supervisor, Verb::Stop, at(1));
    assert_eq!(state(&supervisor, 0), Stopped);
    supervisor.handle_condition(0, true, at(2));
    assert_eq!((state(&supervisor, 0), actions(&mut supervisor)), (Stopped, List::new()));
    command(&mut supervisor, Verb::Start, at(3));
    assert_eq!(actions(&mut supervisor), [spawn(0)]);
}

#[test]
fn start_that_waits_for_a_condition_is_answered_at_once() {
    let mut supervisor = of(&[("a", &["clock"], &[], &[])]);
    command(&mut supervisor, Verb::Start, at(1));
    assert_eq!(supervisor.poll_settled(), Some((id(0), Ok(()))));
    assert_eq!(supervisor.poll_settled(), None);
}

#[test]
fn others_wait_for_a_blocked_service_up_to_its_timeout() {
    let mut supervisor = of(&[("a", &["clock"], &[], &[]), ("b", &[], &[], &["a"])]);
    assert_eq!(awaited(&supervisor, 1), ["a"]);
    assert_eq!(supervisor.poll_timeout(), Some(SERVICE_READY_TIMEOUT));
    supervisor.handle_timeout(SERVICE_READY_TIMEOUT);
    assert_eq!(actions(&mut supervisor), [spawn(1)]);
    // The time to become ready begins anew with the start.
    supervisor.handle_condition(0, true, at(100));
    assert_eq!(actions(&mut supervisor), [spawn(0)]);
    run(&mut supervisor, 1, at(100));
    supervisor.handle_timeout(at(101));
    assert!(supervisor.status(id(0), at(101)).is_ready);
}

#[test]
fn back_off_goes_on_to_wait_for_a_condition() {
    let mut supervisor = of(&[("a", &[], &["clock"], &[])]);
    supervisor.table = {
        let mut table = ServiceTable::new();
        let mut spec = Spec { restart: RestartPolicy::Always, ..Spec::new("a", &["program"]).unwrap() };
        spec.needs.push("clock").unwrap();
        table.push(spec).unwrap();
        table
    };
    supervisor.handle_condition(0, true, at(1));
    run(&mut supervisor, 1, at(1));
    drain(&mut supervisor);
    exit(&mut supervisor, Exit::Code(1), true, at(2));
    supervisor.handle_condition(0, false, at(2));
    drain(&mut supervisor);
    supervisor.handle_timeout(at(5));
    assert_eq!(awaited(&supervisor, 0), ["clock"]);
    assert_eq!(actions(&mut supervisor), []);
    supervisor.handle_condition(0, true, at(6));
    assert_eq!(actions(&mut supervisor), [spawn(0)]);
}

#[test]
fn conditions_of_all_services_up_to_their_limit() {
    let mut table = ServiceTable::new();
    let mut spec = |name: &str, paths: &[usize]| {
        let mut spec = Spec::new(name, &["x"]).unwrap();
        paths.iter().for_each(|path| spec.wait.push(&format!("path:/{path}")).unwrap());
        table.push(spec)
    };
    for index in 0..CONDITIONS {
        spec(&format!("a{index}"), &[index]).unwrap();
    }
    spec("b", &[0, 1]).unwrap();
    assert_eq!(spec("c", &[CONDITIONS]), Err(TableError::Conditions));
}

/// Supervisor of one service that needs a condition, runs as process 1, and has just ended with this code.
fn ended_with(code: i32, change: impl Fn(&mut Spec)) -> Supervisor {
    let mut supervisor = one_of(|spec| {
        spec.needs.push("path:/x").unwrap();
        change(spec);
    });
    // `one_of` starts it before the condition is reported.
    supervisor.handle_condition(0, true, at(0));
    drain(&mut supervisor);
    run(&mut supervisor, 1, at(0));
    drain(&mut supervisor);
    exit(&mut supervisor, Exit::Code(code), true, at(20));
    supervisor
}

#[test]
fn end_because_of_a_lost_condition_is_not_a_failure() {
    for restart in [RestartPolicy::Never, RestartPolicy::OnFailure, RestartPolicy::Always] {
        for code in [0, 1] {
            let mut supervisor = ended_with(code, |spec| {
                spec.restart = restart;
                spec.start_limit = 1;
                spec.on_failure = Some(BoardEnd::PowerOff);
            });
            assert_eq!((state(&supervisor, 0), actions(&mut supervisor)), (Starting, List::new()));
            supervisor.handle_condition(0, false, at(21));
            assert_eq!(awaited(&supervisor, 0), ["path:/x"], "{restart:?} {code}");
            supervisor.handle_timeout(at(500));
            assert_eq!(actions(&mut supervisor), []);
            supervisor.handle_condition(0, true, at(501));
            assert_eq!(actions(&mut supervisor), [spawn(0)]);
        }
    }
}

#[test]
fn policy_decides_a_period_later_about_a_service_that_has_what_it_needs() {
    let mut supervisor = ended_with(1, |_| ());
    let due = supervisor.poll_timeout().unwrap();
    assert!(due > at(21) && due < at(22), "{due:?}");
    supervisor.handle_timeout(due);
    assert_eq!(state(&supervisor, 0), Failed);
    let mut supervisor = ended_with(1, |spec| spec.restart = RestartPolicy::Always);
    supervisor.handle_timeout(due);
    assert_eq!(state(&supervisor, 0), Starting);
    supervisor.handle_timeout(supervisor.poll_timeout().unwrap());
    assert_eq!(actions(&mut supervisor), [spawn(0)]);
    // A command does not wait for the decision.
    for (verb, expected) in [(Verb::Stop, Stopped), (Verb::Start, Starting)] {
        let mut supervisor = ended_with(1, |_| ());
        command(&mut supervisor, verb, at(20));
        assert_eq!(state(&supervisor, 0), expected);
        supervisor.handle_timeout(at(22));
        assert_eq!(state(&supervisor, 0), expected);
    }
}

#[test]
fn one_shot_that_ended_well_and_a_shutdown_wait_for_no_decision() {
    let supervisor = ended_with(0, |spec| spec.kind = ServiceKind::Oneshot);
    assert_eq!((state(&supervisor, 0), supervisor.poll_timeout()), (Finished, None));
    let mut supervisor = one_of(|spec| spec.needs.push("path:/x").unwrap());
    supervisor.handle_condition(0, true, at(1));
    run(&mut supervisor, 1, at(1));
    exit(&mut supervisor, Exit::Code(1), false, at(2));
    supervisor.shutdown(at(3));
    supervisor.handle_gone(id(0), at(4));
    assert_eq!((state(&supervisor, 0), supervisor.poll_timeout()), (Failed, None));
}

#[test]
fn service_stops_and_waits_with_a_required_one() {
    let mut table = ServiceTable::new();
    let mut first = Spec { autostart: true, ..Spec::new("a", &["program"]).unwrap() };
    first.needs.push("path:/x").unwrap();
    table.push(first).unwrap();
    let mut second = Spec { autostart: true, ..Spec::new("b", &["program"]).unwrap() };
    second.requires.push("a".try_into().unwrap()).unwrap();
    table.push(second).unwrap();
    let mut supervisor = Supervisor::new(table);
    supervisor.start_enabled(at(0));
    // Neither caller waits for the condition.
    supervisor.handle_command(id(1), Verb::Start, at(0)).unwrap();
    assert!(supervisor.is_settled(id(1)));
    supervisor.handle_condition(0, true, at(1));
    run(&mut supervisor, 1, at(1));
    supervisor.handle_timeout(at(2));
    supervisor.handle_spawned(id(1), Ok(2), at(2));
    drain(&mut supervisor);
    supervisor.handle_condition(0, false, at(10));
    exit(&mut supervisor, Exit::signal(15), true, at(11));
    assert_eq!((state(&supervisor, 0), state(&supervisor, 1)), (Starting, Stopping));
    supervisor.handle_exit(id(1), Exit::signal(15), true, at(12));
    assert_eq!(state(&supervisor, 1), Starting);
    drain(&mut supervisor);
    supervisor.handle_condition(0, true, at(13));
    assert_eq!(actions(&mut supervisor), [spawn(0)]);
    run(&mut supervisor, 3, at(13));
    supervisor.handle_timeout(at(14));
    assert_eq!(actions(&mut supervisor), [spawn(1)]);
}

#[test]
fn program_is_not_started_without_what_it_needs_after_its_preparation() {
    let mut supervisor = one_of(|spec| {
        spec.needs.push("path:/x").unwrap();
        spec.pre_start.push("prepare").unwrap();
    });
    supervisor.handle_condition(0, true, at(1));
    assert_eq!(actions(&mut supervisor), [run_program(0, Program::PreStart)]);
    run(&mut supervisor, 1, at(1));
    supervisor.handle_condition(0, false, at(2));
    exit(&mut supervisor, Exit::Code(0), true, at(3));
    assert_eq!((awaited(&supervisor, 0), state(&supervisor, 0)), (vec!["path:/x"], Starting));
    assert_eq!(actions(&mut supervisor), []);
    supervisor.handle_condition(0, true, at(4));
    assert_eq!(actions(&mut supervisor), [run_program(0, Program::PreStart)]);
}

#[test]
fn services_that_require_one_wait_with_it_for_as_long_as_it_does() {
    let mut table = ServiceTable::new();
    let spec = |name| Spec { autostart: true, ..Spec::new(name, &["program"]).unwrap() };
    let mut net = spec("net");
    net.needs.push("path:/x").unwrap();
    table.push(net).unwrap();
    for (name, required) in [("web", "net"), ("page", "web")] {
        let mut spec = spec(name);
        spec.requires.push(required.try_into().unwrap()).unwrap();
        table.push(spec).unwrap();
    }
    let mut supervisor = Supervisor::new(table);
    supervisor.start_enabled(at(0));
    let late = at(1) + 2 * SERVICE_READY_TIMEOUT;
    supervisor.handle_timeout(SERVICE_READY_TIMEOUT);
    supervisor.handle_timeout(late);
    assert_eq!([0, 1, 2].map(|index| state(&supervisor, index)), [Starting; 3]);
    assert_eq!([1, 2].map(|index| awaited(&supervisor, index)), [["net"], ["web"]]);
    supervisor.handle_condition(0, true, late);
    assert_eq!(actions(&mut supervisor), [spawn(0)]);
    supervisor.handle_spawned(id(0), Ok(1), late);
    supervisor.handle_timeout(late + START_SETTLE);
    assert_eq!(actions(&mut supervisor), [spawn(1)]);
}
