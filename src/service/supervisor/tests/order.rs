//! Order of starts, and services that require others.

use super::*;
use crate::service::{
    Inherited, InheritedProcess, Memo, Notice, SERVICE_READY_TIMEOUT, START_SETTLE, ServiceKind,
};

/// Service with `after`, `requires`, and a kind; letters are its name and those of others.
fn spec(name: &str, kind: ServiceKind, after: &[&str], requires: &[&str]) -> Spec {
    let list = |names: &[&str]| names.iter().map(|name| (*name).try_into().unwrap()).collect();
    let (after, requires) = (list(after), list(requires));
    Spec { kind, after, requires, autostart: true, ..Spec::new(name, &["program"]).unwrap() }
}

fn of(specs: impl IntoIterator<Item = Spec>) -> Supervisor {
    let mut table = ServiceTable::new();
    for spec in specs {
        table.push(spec).unwrap();
    }
    Supervisor::new(table)
}

fn states(supervisor: &Supervisor) -> List<State> {
    supervisor.table.iter().map(|(service, _)| supervisor.status(service, at(0)).state).collect()
}

/// Indexes of the services that are spawned.
fn spawned(supervisor: &mut Supervisor) -> List<usize> {
    let spawned = |action| match action {
        Action::Spawn { service, .. } => Some(service.index()),
        _ => None,
    };
    actions(supervisor).into_iter().filter_map(spawned).collect()
}

fn start(supervisor: &mut Supervisor, index: usize, now: Duration) {
    supervisor.handle_spawned(id(index), Ok(index as u32 + 1), now);
}

const SIMPLE: ServiceKind = ServiceKind::Simple;
const NOTIFY: ServiceKind = ServiceKind::Notify;
const ONESHOT: ServiceKind = ServiceKind::Oneshot;

#[test]
fn service_starts_when_those_before_it_are_ready() {
    let mut supervisor = of([
        spec("mount", ONESHOT, &[], &[]),
        spec("broker", NOTIFY, &["mount"], &[]),
        spec("panel", SIMPLE, &["broker"], &[]),
        spec("clock", SIMPLE, &[], &[]),
        spec("last", SIMPLE, &["panel", "clock"], &[]),
    ]);
    supervisor.start_enabled(at(0));
    assert_eq!(spawned(&mut supervisor), [0, 3], "independent ones at once");
    assert_eq!(states(&supervisor), [Starting; 5]);
    start(&mut supervisor, 0, at(1));
    start(&mut supervisor, 3, at(1));
    supervisor.handle_timeout(at(2));
    assert_eq!(spawned(&mut supervisor), [], "a one-shot has to end");
    supervisor.handle_exit(id(0), Exit::Code(0), true, at(3));
    assert_eq!(spawned(&mut supervisor), [1]);
    start(&mut supervisor, 1, at(3));
    supervisor.handle_timeout(at(9));
    assert_eq!(spawned(&mut supervisor), []);
    supervisor.handle_notice(id(1), Notice::READY, at(10));
    assert_eq!(spawned(&mut supervisor), [2]);
    start(&mut supervisor, 2, at(10));
    supervisor.handle_timeout(at(10) + START_SETTLE - millis(1));
    assert_eq!(spawned(&mut supervisor), []);
    supervisor.handle_timeout(at(10) + START_SETTLE);
    assert_eq!((spawned(&mut supervisor), supervisor.gate(id(4))), (vec![4], Gate::Open));
}

#[test]
fn late_service_holds_others_up_to_its_timeout() {
    let mut supervisor = of([spec("a", NOTIFY, &[], &[]), spec("b", SIMPLE, &["a"], &[])]);
    supervisor.start_enabled(at(0));
    start(&mut supervisor, 0, at(1));
    assert_eq!(spawned(&mut supervisor), [0]);
    supervisor.handle_timeout(SERVICE_READY_TIMEOUT - millis(1));
    assert_eq!(spawned(&mut supervisor), []);
    assert_eq!(supervisor.poll_timeout(), Some(SERVICE_READY_TIMEOUT));
    supervisor.handle_timeout(SERVICE_READY_TIMEOUT);
    assert_eq!((spawned(&mut supervisor), supervisor.gate(id(1))), (vec![1], Gate::Late(id(0))));
}

#[test]
fn service_that_restarts_holds_others_no_longer_than_its_timeout() {
    let mut first = spec("a", SIMPLE, &[], &[]);
    first.restart = RestartPolicy::Always;
    let mut supervisor = of([first, spec("b", SIMPLE, &["a"], &[])]);
    supervisor.start_enabled(at(0));
    let mut now = at(0);
    let mut started = List::new();
    while now <= SERVICE_READY_TIMEOUT {
        let spawned = spawned(&mut supervisor);
        if spawned.contains(&0) {
            start(&mut supervisor, 0, now);
            supervisor.handle_exit(id(0), Exit::Code(1), true, now);
        }
        if spawned.contains(&1) {
            started.push(now);
            break;
        }
        now = supervisor.poll_timeout().unwrap();
        supervisor.handle_timeout(now);
    }
    assert_eq!(started, [SERVICE_READY_TIMEOUT]);
}

#[test]
fn what_is_not_started_is_not_waited_for() {
    let mut off = spec("off", NOTIFY, &[], &[]);
    off.autostart = false;
    let mut supervisor = of([off, spec("a", SIMPLE, &[], &[]), spec("b", SIMPLE, &["off", "a"], &[])]);
    supervisor.set_enabled(id(1), false);
    supervisor.start_enabled(at(0));
    assert_eq!(spawned(&mut supervisor), [2]);
    assert_eq!(states(&supervisor), [Stopped, Stopped, Starting]);
}

#[test]
fn service_that_stops_or_fails_is_not_waited_for_any_more() {
    for stops in [true, false] {
        let mut supervisor = of([spec("a", NOTIFY, &[], &[]), spec("b", SIMPLE, &["a"], &[])]);
        supervisor.start_enabled(at(0));
        start(&mut supervisor, 0, at(1));
        spawned(&mut supervisor);
        match stops {
            true => supervisor.handle_command(id(0), Verb::Stop, at(2)).unwrap(),
            false => supervisor.handle_exit(id(0), Exit::Code(1), true, at(2)),
        }
        assert_eq!(spawned(&mut supervisor), [1]);
    }
}

#[test]
fn restarted_service_is_waited_for() {
    let mut supervisor = of([spec("a", SIMPLE, &[], &[]), spec("b", SIMPLE, &["a"], &[])]);
    supervisor.handle_command(id(0), Verb::Start, at(0)).unwrap();
    start(&mut supervisor, 0, at(0));
    supervisor.handle_timeout(at(1));
    supervisor.handle_command(id(0), Verb::Restart, at(1)).unwrap();
    supervisor.handle_command(id(1), Verb::Start, at(1)).unwrap();
    assert_eq!(spawned(&mut supervisor), [0]);
    supervisor.handle_exit(id(0), Exit::signal(15), true, at(2));
    assert_eq!(spawned(&mut supervisor), [0]);
    start(&mut supervisor, 0, at(2));
    supervisor.handle_timeout(at(3));
    assert_eq!(spawned(&mut supervisor), [1]);
}

/// Supervisor of `disk`, `base`, which requires it, and `web`, which requires that.
fn chain(restart: RestartPolicy) -> Supervisor {
    let mut supervisor = of([
        spec("disk", NOTIFY, &[], &[]),
        Spec { restart, ..spec("base", SIMPLE, &[], &["disk"]) },
        Spec { restart, ..spec("web", SIMPLE, &[], &["base"]) },
    ]);
    supervisor.handle_command(id(2), Verb::Start, at(0)).unwrap();
    supervisor
}

/// The same, where all run.
fn running_chain(restart: RestartPolicy) -> Supervisor {
    let mut supervisor = chain(restart);
    start(&mut supervisor, 0, at(0));
    supervisor.handle_notice(id(0), Notice::READY, at(0));
    start(&mut supervisor, 1, at(0));
    supervisor.handle_timeout(at(1));
    start(&mut supervisor, 2, at(1));
    supervisor.handle_timeout(at(2));
    drain(&mut supervisor);
    assert_eq!(states(&supervisor), [Started; 3]);
    supervisor
}

fn last_exit(supervisor: &Supervisor, index: usize) -> String {
    let end = supervisor.status(id(index), at(0)).last_exit;
    end.text(supervisor.table.get(id(index)).unwrap()).to_string()
}

#[test]
fn start_pulls_in_what_it_requires() {
    let mut supervisor = chain(RestartPolicy::Never);
    assert_eq!(spawned(&mut supervisor), [0]);
    assert_eq!(states(&supervisor), [Starting; 3]);
    assert!(!supervisor.is_settled(id(2)) && supervisor.is_settled(id(1)));
    start(&mut supervisor, 0, at(1));
    supervisor.handle_notice(id(0), Notice::READY, at(2));
    assert_eq!(spawned(&mut supervisor), [1]);
    start(&mut supervisor, 1, at(2));
    supervisor.handle_timeout(at(3));
    assert_eq!(spawned(&mut supervisor), [2]);
    start(&mut supervisor, 2, at(3));
    supervisor.handle_timeout(at(4));
    assert_eq!(supervisor.poll_settled(), Some((id(2), Ok(()))));
}

#[test]
fn start_pulls_in_nothing_that_only_others_require() {
    let mut supervisor = of([
        spec("disk", SIMPLE, &[], &[]),
        spec("net", SIMPLE, &[], &[]),
        spec("web", SIMPLE, &[], &["disk"]),
        spec("mail", SIMPLE, &[], &["net"]),
    ]);
    supervisor.handle_command(id(2), Verb::Start, at(0)).unwrap();
    assert_eq!(states(&supervisor), [Starting, Stopped, Starting, Stopped]);
}

#[test]
fn start_ends_the_back_off_of_what_it_requires_and_no_pause() {
    let mut supervisor = of([
        Spec { restart: RestartPolicy::Always, ..spec("disk", SIMPLE, &[], &[]) },
        spec("web", SIMPLE, &[], &["disk"]),
    ]);
    supervisor.handle_command(id(0), Verb::Start, at(0)).unwrap();
    start(&mut supervisor, 0, at(0));
    supervisor.handle_exit(id(0), Exit::Code(1), true, at(0));
    drain(&mut supervisor);
    supervisor.handle_command(id(1), Verb::Start, at(0)).unwrap();
    assert_eq!(spawned(&mut supervisor), [0]);
    start(&mut supervisor, 0, at(0));
    supervisor.handle_command(id(1), Verb::Stop, at(0)).unwrap();
    supervisor.handle_command(id(0), Verb::Pause, at(0)).unwrap();
    supervisor.handle_command(id(1), Verb::Start, at(0)).unwrap();
    assert_eq!(states(&supervisor)[0], Paused);
}

#[test]
fn enabled_service_pulls_in_what_it_requires() {
    let mut disk = spec("disk", NOTIFY, &[], &[]);
    disk.autostart = false;
    let mut supervisor = of([disk, spec("web", SIMPLE, &[], &["disk"])]);
    supervisor.start_enabled(at(0));
    assert_eq!(spawned(&mut supervisor), [0]);
    assert_eq!(states(&supervisor), [Starting; 2]);
}

#[test]
fn failure_of_a_required_service_fails_those_that_wait() {
    for restart in [RestartPolicy::Never, RestartPolicy::Always] {
        let mut supervisor = chain(restart);
        supervisor.handle_spawned(id(0), Err(MISSING), at(1));
        assert_eq!(states(&supervisor), [Failed; 3]);
        assert_eq!(last_exit(&supervisor, 1), "requires disk, which does not run");
        assert_eq!(last_exit(&supervisor, 2), "requires base, which does not run");
        let failed = Err(CommandError::Exited(LastExit::Required { index: 0, is_down: true }));
        assert_eq!(supervisor.poll_settled(), Some((id(2), failed)));
        assert_eq!(supervisor.poll_timeout(), None);
    }
}

#[test]
fn failure_names_the_required_service_that_has_failed() {
    let mut supervisor = of([
        spec("disk", SIMPLE, &[], &[]),
        spec("net", SIMPLE, &[], &[]),
        spec("web", SIMPLE, &[], &["disk", "net"]),
    ]);
    supervisor.handle_command(id(2), Verb::Start, at(0)).unwrap();
    start(&mut supervisor, 0, at(0));
    supervisor.handle_spawned(id(1), Err(MISSING), at(0));
    assert_eq!(last_exit(&supervisor, 2), "requires net, which does not run");
}

#[test]
fn failure_of_a_required_service_stops_and_fails_those_that_run() {
    let mut supervisor = running_chain(RestartPolicy::Always);
    supervisor.handle_exit(id(0), Exit::Code(1), true, at(3));
    assert_eq!(states(&supervisor), [Failed, Stopping, Stopping]);
    supervisor.handle_exit(id(1), Exit::Code(0), true, at(4));
    supervisor.handle_exit(id(2), Exit::Code(0), true, at(4));
    assert_eq!(states(&supervisor), [Failed; 3]);
    assert_eq!(last_exit(&supervisor, 1), "requires disk, which does not run");
    assert_eq!(last_exit(&supervisor, 2), "requires base, which does not run");
}

#[test]
fn stop_of_a_required_service_stops_those_that_require_it() {
    let mut supervisor = running_chain(RestartPolicy::Always);
    supervisor.handle_command(id(0), Verb::Stop, at(3)).unwrap();
    assert_eq!(states(&supervisor), [Stopping; 3]);
    for index in [0, 1, 2] {
        supervisor.handle_exit(id(index), Exit::signal(15), true, at(4));
    }
    assert_eq!(states(&supervisor), [Stopped; 3]);
    assert_eq!(supervisor.poll_timeout(), None);
}

#[test]
fn stop_of_a_required_service_stops_those_that_wait_for_it() {
    let mut supervisor = chain(RestartPolicy::Always);
    start(&mut supervisor, 0, at(0));
    assert_eq!(states(&supervisor), [Started, Starting, Starting]);
    supervisor.handle_command(id(0), Verb::Stop, at(1)).unwrap();
    supervisor.handle_exit(id(0), Exit::signal(15), true, at(1));
    assert_eq!(states(&supervisor), [Stopped; 3]);
    assert_eq!(last_exit(&supervisor, 1), "requires disk, which does not run");
    assert_eq!(supervisor.poll_timeout(), None);
}

#[test]
fn restart_of_a_required_service_leaves_those_that_run() {
    let mut supervisor = running_chain(RestartPolicy::Always);
    supervisor.handle_command(id(1), Verb::Restart, at(3)).unwrap();
    assert_eq!(states(&supervisor), [Started, Stopping, Started]);
    supervisor.handle_exit(id(1), Exit::Code(0), true, at(4));
    assert_eq!(states(&supervisor), [Started, Starting, Started]);
    start(&mut supervisor, 1, at(4));
    supervisor.handle_exit(id(1), Exit::Code(1), true, at(4));
    assert_eq!(states(&supervisor), [Started, Starting, Started], "its policy restarts it");
}

#[test]
fn policy_tries_again_while_a_required_service_is_late() {
    let mut supervisor = chain(RestartPolicy::OnFailure);
    start(&mut supervisor, 0, at(0));
    supervisor.handle_timeout(SERVICE_READY_TIMEOUT);
    assert_eq!(states(&supervisor), [Started, Starting, Starting]);
    assert_eq!(last_exit(&supervisor, 1), "requires disk, which is not ready");
    assert_eq!(spawned(&mut supervisor), [0]);
    supervisor.handle_notice(id(0), Notice::READY, SERVICE_READY_TIMEOUT + millis(1));
    supervisor.handle_timeout(at(31));
    assert_eq!(spawned(&mut supervisor), [1]);

    let mut supervisor = chain(RestartPolicy::Never);
    start(&mut supervisor, 0, at(0));
    supervisor.handle_timeout(SERVICE_READY_TIMEOUT);
    assert_eq!(states(&supervisor), [Started, Failed, Failed]);
    let reasons = ["requires disk, which is not ready", "requires base, which does not run"];
    assert_eq!([1, 2].map(|index| last_exit(&supervisor, index)), reasons);
    // The next server knows them, too.
    let memos: List<_> = core::iter::from_fn(|| supervisor.poll_memo()).collect();
    let inherited = memos.into_iter().map(|(service, memo)| {
        let memo = Memo::decode(memo.encode()).unwrap();
        let process = match service.index() {
            0 => InheritedProcess::Running { pid: 1, started: at(0) },
            _ => InheritedProcess::None,
        };
        (service, Inherited { memo, process, program: Program::Main, ended: None })
    });
    let mut next = Supervisor::new(supervisor.table.clone());
    next.inherit(&inherited.collect::<List<_>>(), at(60));
    assert_eq!(states(&next), [Started, Failed, Failed]);
    assert_eq!([1, 2].map(|index| last_exit(&next, index)), reasons);
}

#[test]
fn stop_and_shutdown_end_the_wait() {
    let mut supervisor = chain(RestartPolicy::Always);
    supervisor.handle_command(id(2), Verb::Stop, at(1)).unwrap();
    assert_eq!(states(&supervisor), [Starting, Starting, Stopped]);
    assert_eq!(supervisor.poll_settled(), Some((id(2), Err(CommandError::NotRunning))));

    let mut supervisor = chain(RestartPolicy::Always);
    supervisor.shutdown(at(1));
    supervisor.handle_spawned(id(0), Err(MISSING), at(1));
    assert!(supervisor.is_down());
    assert_eq!(states(&supervisor), [Stopped; 3]);
}
