//! A queue of actions that is almost full: what needs more room is not done by halves, and is done once there is room.

use super::*;
use crate::service::{Check, CheckError, CheckId, CheckKind, Endpoint, Notice};

/// Leaves room for this many actions.
fn fill(supervisor: &mut Supervisor, room: usize) {
    while ACTIONS - supervisor.actions.len() > room {
        supervisor.actions.push_back(Action::Persist).unwrap();
    }
}

/// Supervisor of a service and one that requires it; both run since second 0.
fn pair(change: impl Fn(&mut Spec)) -> Supervisor {
    let mut table = ServiceTable::new();
    table.push(Spec::new("base", &["program"]).unwrap()).unwrap();
    let mut spec = Spec::new("web", &["program"]).unwrap();
    spec.requires.push("base".try_into().unwrap()).unwrap();
    change(&mut spec);
    table.push(spec).unwrap();
    let mut supervisor = Supervisor::new(table);
    supervisor.handle_condition(0, true, at(0));
    for index in [0, 1] {
        supervisor.handle_command(id(index), Verb::Start, at(0)).unwrap();
        supervisor.handle_spawned(id(index), Ok(1), at(0));
        drain(&mut supervisor);
    }
    supervisor
}

/// An event that has the second service of a pair stopped, which waits while the queue is full.
#[track_caller]
fn stops(change: impl Fn(&mut Spec), event: impl Fn(&mut Supervisor)) {
    for room in [ACTIONS_OF_ONE, ACTIONS_OF_ONE - 1] {
        let mut supervisor = pair(&change);
        fill(&mut supervisor, room);
        event(&mut supervisor);
        let state = |supervisor: &Supervisor| supervisor.status(id(1), at(0)).state;
        let is_stopped = room == ACTIONS_OF_ONE;
        assert_eq!(state(&supervisor), if is_stopped { Stopping } else { Started }, "{room}");
        let signals = actions(&mut supervisor).iter().filter(|action| **action != Action::Persist).count();
        assert_eq!(signals, if is_stopped { ACTIONS_OF_ONE } else { 0 }, "{room}");
        event(&mut supervisor);
        assert_eq!(state(&supervisor), Stopping, "{room}");
        assert_eq!(actions(&mut supervisor).len(), ACTIONS_OF_ONE - signals, "{room}");
    }
}

#[test]
fn deadline_that_has_passed_waits_for_room() {
    stops(|spec| spec.max_runtime = Some(at(60)), |supervisor| supervisor.handle_timeout(at(60)));
}

#[test]
fn stop_with_a_required_service_waits_for_room() {
    stops(
        |_| {},
        |supervisor| {
            supervisor.handle_exit(id(0), Exit::Code(1), true, at(1));
            supervisor.handle_timeout(at(1));
        },
    );
}

#[test]
fn stop_without_what_it_needs_waits_for_room() {
    stops(
        |spec| spec.needs.push("network").unwrap(),
        |supervisor| supervisor.handle_condition(0, false, at(1)),
    );
}

#[test]
fn stop_for_a_reload_waits_for_room() {
    stops(
        |_| {},
        |supervisor| {
            if supervisor.may_reload() {
                let mut later = ServiceTable::new();
                later.push(Spec::new("base", &["program"]).unwrap()).unwrap();
                supervisor.begin_reload(supervisor.table.succeed(later), at(1));
            }
            supervisor.handle_timeout(at(1));
        },
    );
}

#[test]
fn stop_for_the_shutdown_waits_for_room() {
    stops(
        |_| {},
        |supervisor| {
            supervisor.shutdown(at(1));
            supervisor.handle_timeout(at(1));
        },
    );
}

#[test]
fn reload_that_waits_for_room_does_not_go_on_while_the_server_ends() {
    let mut supervisor = pair(|_| {});
    let web = supervisor.table.get(id(1)).unwrap().clone();
    let mut later = ServiceTable::new();
    later.push(Spec::new("base", &["other"]).unwrap()).unwrap();
    later.push(web).unwrap();
    fill(&mut supervisor, 0);
    supervisor.begin_reload(supervisor.table.succeed(later), at(1));
    supervisor.shutdown(at(1));
    drain(&mut supervisor);
    let states = |supervisor: &Supervisor| [0, 1].map(|index| supervisor.status(id(index), at(0)).state);
    supervisor.handle_timeout(at(2));
    assert_eq!(states(&supervisor), [Started, Stopping], "one after the other, as without a reload");
    for index in [1, 0] {
        supervisor.handle_exit(id(index), Exit::Code(0), true, at(3));
    }
    assert!(supervisor.is_down());
}

#[test]
fn stop_by_a_check_waits_for_room() {
    stops(
        |_| {},
        |supervisor| {
            let check = CheckId::from_index(0).unwrap();
            if supervisor.table.check(check).is_none() {
                let kind = CheckKind::Connect(Endpoint::tcp("127.0.0.1:80").unwrap());
                let check = Check { service: Some(id(1)), limit: 1, grace: at(0), ..Check::new("up", kind) };
                supervisor.table.push_check(check).unwrap();
                supervisor.follow_checks(id(1), Phase::Started, at(0));
            }
            let attempt = supervisor.begin_check(check, at(1));
            supervisor.handle_checked(attempt, Err(CheckError::Connect(111)), at(1));
        },
    );
}

#[test]
fn watchdog_that_expires_waits_for_room() {
    let mut supervisor = one_of(|spec| (spec.kind, spec.watchdog) = (ServiceKind::Notify, Some(at(50))));
    supervisor.entries[0].readiness = Readiness::None;
    supervisor.handle_notice(id(0), Notice::READY, at(0));
    fill(&mut supervisor, 0);
    supervisor.handle_timeout(at(50));
    assert_eq!(state(&supervisor), Started);
    drain(&mut supervisor);
    supervisor.handle_timeout(at(50));
    assert_eq!(actions(&mut supervisor), kill());
}
