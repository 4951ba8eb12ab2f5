//! Reload: a service in each state is changed, removed or left alone.

use super::*;
use crate::service::{Check, CheckKind, Endpoint, NextRun, Schedule, minute_of_day};

const ALL: [State; 7] = [Stopped, Starting, Started, Paused, Stopping, Failed, Finished];

fn table(services: &[(&str, &str)]) -> ServiceTable {
    let mut table = ServiceTable::new();
    for (name, program) in services {
        let mut spec = Spec::new(name, &[program]).unwrap();
        spec.restart = RestartPolicy::OnFailure;
        table.push(spec).unwrap();
    }
    table
}

fn reload(supervisor: &mut Supervisor, later: ServiceTable) -> Difference {
    let later = supervisor.table.succeed(later);
    let difference = supervisor.difference(&later);
    supervisor.begin_reload(later, at(1));
    difference
}

/// Ends the process that stops for the reload, and the reload.
#[track_caller]
fn finish(supervisor: &mut Supervisor) {
    if !supervisor.reload_is_due() {
        exit(supervisor, Exit::signal(15), true, at(2));
    }
    assert!(supervisor.reload_is_due());
    supervisor.finish_reload(at(2), None, &mut |_| None);
    assert!(!supervisor.reload_is_due() && supervisor.may_reload());
}

#[test]
fn changed_service_runs_again_if_it_was_wanted() {
    for state in ALL {
        let mut supervisor = one_in(state, RestartPolicy::OnFailure);
        let is_wanted = supervisor.status(id(0), at(0)).is_wanted;
        let difference = reload(&mut supervisor, table(&[("a", "other")]));
        assert_eq!((difference.changed.len(), difference.added.len(), difference.removed.len()), (1, 0, 0));
        assert_eq!(
            supervisor.handle_command(id(0), Verb::Start, at(1)),
            Err(CommandError::Busy),
            "{state:?}"
        );
        finish(&mut supervisor);
        drop_signals(&mut supervisor);
        let expected = if is_wanted { Starting } else { Stopped };
        assert_eq!(supervisor.status(id(0), at(2)).state, expected, "{state:?}");
        assert_eq!(actions(&mut supervisor), if is_wanted { vec![spawn(0)] } else { vec![] }, "{state:?}");
    }
}

/// Drops what was requested for the end of the old process.
fn drop_signals(supervisor: &mut Supervisor) {
    let rest: List<Action> =
        actions(supervisor).into_iter().filter(|action| matches!(action, Action::Spawn { .. })).collect();
    for action in rest {
        supervisor.actions.push_back(action).unwrap();
    }
}

#[test]
fn service_that_is_the_same_notices_nothing() {
    for state in ALL {
        let mut supervisor = one_in(state, RestartPolicy::OnFailure);
        let mut same = ServiceTable::new();
        same.push(supervisor.table.get(id(0)).unwrap().clone()).unwrap();
        same.push(Spec::new("b", &["program"]).unwrap()).unwrap();
        let before = supervisor.status(id(0), at(2));
        let only_added = Difference { added: vec!["b".try_into().unwrap()], ..Difference::default() };
        assert_eq!(reload(&mut supervisor, same), only_added);
        assert!(supervisor.reload_is_due());
        supervisor.finish_reload(at(2), None, &mut |_| None);
        assert_eq!(supervisor.status(id(0), at(2)), before);
        assert_eq!(actions(&mut supervisor), [], "{state:?}");
    }
}

#[test]
fn removed_service_leaves_its_place_to_another_one() {
    for state in ALL {
        let mut supervisor = one_in(state, RestartPolicy::OnFailure);
        let difference = reload(&mut supervisor, table(&[("b", "program")]));
        assert_eq!(
            (difference.removed.as_slice(), difference.added.as_slice()),
            (&["a".try_into().unwrap()][..], &["b".try_into().unwrap()][..])
        );
        if !supervisor.reload_is_due() {
            exit(&mut supervisor, Exit::signal(15), true, at(2));
        }
        assert_eq!(supervisor.finish_reload(at(2), None, &mut |_| None), 1);
        assert_eq!(supervisor.table.find("b"), Some(id(0)));
        assert_eq!(
            (supervisor.status(id(0), at(2)).state, supervisor.ends(id(0))),
            (Stopped, 0),
            "{state:?}"
        );
    }
}

/// A later server that returns to the table before starts it again.
#[test]
fn service_that_is_removed_is_wanted_until_the_later_table_is_in_force() {
    for state in ALL {
        let mut supervisor = one_in(state, RestartPolicy::OnFailure);
        let is_wanted = supervisor.status(id(0), at(0)).is_wanted;
        reload(&mut supervisor, table(&[]));
        let memo = core::iter::from_fn(|| supervisor.poll_memo()).last();
        assert_eq!(memo.is_some_and(|(_, memo)| memo.is_wanted), is_wanted, "{state:?}");
    }
}

#[test]
fn setting_by_an_earlier_call_counts_for_a_service_that_comes_back() {
    for (autostart, stored, starts) in
        [(true, None, true), (true, Some(false), false), (false, Some(true), true), (false, None, false)]
    {
        let mut supervisor = supervisor(&[]);
        let mut later = ServiceTable::new();
        let mut spec = Spec::new("a", &["program"]).unwrap();
        spec.autostart = autostart;
        later.push(spec).unwrap();
        reload(&mut supervisor, later);
        supervisor.finish_reload(at(2), None, &mut |name| stored.filter(|_| name == "a"));
        assert_eq!(supervisor.status(id(0), at(2)).enabled, starts);
        assert_eq!(actions(&mut supervisor).contains(&spawn(0)), starts, "{autostart} {stored:?}");
    }
}

#[test]
fn reload_waits_for_room_to_store_a_setting() {
    let mut supervisor = one_in(Stopped, RestartPolicy::OnFailure);
    supervisor.set_enabled(id(0), !supervisor.status(id(0), at(0)).enabled);
    reload(&mut supervisor, table(&[("a", "other")]));
    while supervisor.actions.push_back(spawn(0)).is_ok() {}
    assert!(!supervisor.reload_is_due());
    supervisor.poll_action();
    finish(&mut supervisor);
    assert!(actions(&mut supervisor).contains(&Action::Persist));
}

#[test]
fn there_is_one_reload_at_a_time_and_none_while_the_server_ends() {
    let mut supervisor = one_in(Started, RestartPolicy::OnFailure);
    assert!(supervisor.may_reload());
    reload(&mut supervisor, table(&[]));
    assert!(!supervisor.may_reload());
    let mut supervisor = one_in(Started, RestartPolicy::OnFailure);
    supervisor.shutdown(at(1));
    assert!(!supervisor.may_reload());
}

#[test]
fn removed_service_is_stopped_and_not_restarted() {
    let mut supervisor = one_in(Started, RestartPolicy::OnFailure);
    reload(&mut supervisor, table(&[]));
    exit(&mut supervisor, Exit::Code(0), true, at(2));
    assert_eq!(changes(&mut supervisor), [(Stopping, 1), (Stopped, 0)]);
}

#[test]
fn shutdown_comes_before_a_reload() {
    let mut supervisor = one_in(Started, RestartPolicy::OnFailure);
    reload(&mut supervisor, table(&[("a", "other")]));
    supervisor.shutdown(at(1));
    assert!(!supervisor.may_reload() && !supervisor.is_down());
    exit(&mut supervisor, Exit::signal(15), true, at(2));
    assert!(supervisor.is_down());
}

/// `base`, `web` that requires it, and `log`.
fn family(base: &str, program: &str) -> ServiceTable {
    let mut table = table(&[("base", base), ("log", program)]);
    let mut web = Spec::new("web", &[program]).unwrap();
    web.requires.push("base".try_into().unwrap()).unwrap();
    table.push(web).unwrap();
    table
}

const BASE: usize = 0;
const LOG: usize = 1;
const WEB: usize = 2;

/// Supervisor of this family, which runs since second 0.
fn running_family() -> Supervisor {
    let mut supervisor = Supervisor::new(family("program", "program"));
    for index in [BASE, LOG, WEB] {
        supervisor.handle_command(id(index), Verb::Start, at(0)).unwrap();
        supervisor.handle_spawned(id(index), Ok(1), at(0));
        drain(&mut supervisor);
    }
    supervisor
}

fn terminated(supervisor: &mut Supervisor) -> List<usize> {
    let term = |action| match action {
        Action::Signal { service, signal: Signal::Term, .. } => Some(service.index()),
        _ => None,
    };
    actions(supervisor).into_iter().filter_map(term).collect()
}

#[test]
fn changed_service_stops_after_those_that_wait_for_it() {
    let mut supervisor = running_family();
    reload(&mut supervisor, family("other", "other"));
    assert_eq!(terminated(&mut supervisor), [WEB, LOG]);
    supervisor.handle_exit(id(LOG), Exit::Code(0), true, at(1));
    assert_eq!(terminated(&mut supervisor), []);
    supervisor.handle_exit(id(WEB), Exit::Code(0), true, at(1));
    assert_eq!((terminated(&mut supervisor), supervisor.reload_is_due()), (vec![BASE], false));
    supervisor.handle_exit(id(BASE), Exit::Code(0), true, at(1));
    finish(&mut supervisor);
    assert_eq!(actions(&mut supervisor), [spawn(BASE), spawn(LOG)], "what requires one waits for it");
}

#[test]
fn changed_service_does_not_wait_for_those_that_run_on() {
    let mut supervisor = running_family();
    reload(&mut supervisor, family("other", "program"));
    assert_eq!(terminated(&mut supervisor), [BASE]);
    assert_eq!(supervisor.handle_command(id(BASE), Verb::Start, at(1)), Err(CommandError::Busy));
    assert_eq!(supervisor.handle_command(id(LOG), Verb::Start, at(1)), Ok(()));
    supervisor.handle_exit(id(BASE), Exit::Code(0), true, at(1));
    finish(&mut supervisor);
    assert_eq!(actions(&mut supervisor), [spawn(BASE)]);
    assert_eq!([LOG, WEB].map(|index| supervisor.status(id(index), at(2)).state), [Started; 2]);
}

#[test]
fn service_that_is_being_started_is_changed_once_it_runs_and_removed_at_once() {
    let starting = || {
        let mut supervisor = one_in(Stopped, RestartPolicy::OnFailure);
        command(&mut supervisor, Verb::Start, at(0));
        actions(&mut supervisor);
        supervisor
    };
    let mut supervisor = starting();
    reload(&mut supervisor, table(&[("a", "other")]));
    assert_eq!((actions(&mut supervisor), supervisor.reload_is_due()), (vec![], false));
    run(&mut supervisor, 1, at(1));
    assert_eq!(actions(&mut supervisor), stop());
    let mut supervisor = starting();
    reload(&mut supervisor, table(&[]));
    assert_eq!((actions(&mut supervisor), supervisor.reload_is_due()), (kill().to_vec(), false));
}

#[test]
fn stop_during_a_reload_is_also_that_of_what_requires_the_service() {
    let wanted = |supervisor: &mut Supervisor| {
        let memos = core::iter::from_fn(|| supervisor.poll_memo());
        memos.map(|(service, memo)| (service.index(), memo.is_wanted)).collect::<List<_>>()
    };
    for kept in [&["base", "web"][..], &["base"]] {
        let mut supervisor = running_family();
        let mut later = ServiceTable::new();
        for (_, spec) in
            family("other", "other").iter().filter(|(_, spec)| kept.contains(&spec.name.as_str()))
        {
            later.push(spec.clone()).unwrap();
        }
        reload(&mut supervisor, later);
        assert_eq!(wanted(&mut supervisor), [(BASE, true), (LOG, true), (WEB, true)]);
        supervisor.handle_command(id(BASE), Verb::Stop, at(1)).unwrap();
        assert_eq!(wanted(&mut supervisor), [(BASE, false), (WEB, false)], "{kept:?}");
        for index in [BASE, LOG, WEB] {
            supervisor.handle_exit(id(index), Exit::Code(0), true, at(1));
        }
        assert_eq!(wanted(&mut supervisor), [(BASE, false), (LOG, true), (WEB, false)], "{kept:?}");
        actions(&mut supervisor);
        finish(&mut supervisor);
        assert_eq!(actions(&mut supervisor), [], "{kept:?}");
    }
}

#[test]
fn setting_by_a_call_is_kept_and_stored_and_one_of_the_file_follows_it() {
    let of = |name, program, autostart| {
        let mut table = ServiceTable::new();
        table.push(Spec { autostart, ..Spec::new(name, &[program]).unwrap() }).unwrap();
        table
    };
    let changed = |autostart| of("a", "other", autostart);
    for (before, set, later, enabled, expected) in [
        (false, false, changed(false), false, vec![]),
        (false, true, changed(false), true, vec![Action::Persist]),
        (true, false, changed(true), false, vec![Action::Persist]),
        (false, false, changed(true), true, vec![spawn(0)]),
        (true, true, changed(true), true, vec![]),
        (true, true, changed(false), false, vec![]),
        (false, false, of("b", "program", false), false, vec![]),
        (false, true, of("b", "program", false), false, vec![Action::Persist]),
        (false, true, ServiceTable::new(), false, vec![Action::Persist]),
        (false, false, of("b", "program", true), true, vec![spawn(0)]),
    ] {
        let mut supervisor = Supervisor::new(of("a", "program", before));
        supervisor.set_enabled(id(0), set);
        reload(&mut supervisor, later.clone());
        finish(&mut supervisor);
        let case = format!("{before} {set} {later:?}");
        assert_eq!(
            (supervisor.status(id(0), at(2)).enabled, actions(&mut supervisor)),
            (enabled, expected),
            "{case}"
        );
    }
}

#[test]
fn changed_service_keeps_its_history() {
    let mut supervisor = one_in(Failed, RestartPolicy::Never);
    while supervisor.poll_memo().is_some() {}
    let before = supervisor.status(id(0), at(2));
    assert_eq!((before.started_once, supervisor.ends(id(0))), (true, 1));
    reload(&mut supervisor, table(&[("a", "other")]));
    finish(&mut supervisor);
    let after = supervisor.status(id(0), at(2));
    assert_eq!((after.state, after.since, after.started_once), (Stopped, at(0), true));
    assert_eq!((after.last_exit, supervisor.ends(id(0))), (before.last_exit, 1));
    let memo = core::iter::from_fn(|| supervisor.poll_memo()).last();
    assert!(memo.is_some_and(|(_, memo)| memo.state == Stopped), "a later server knows it");
}

/// The time of day of the latest deadline may be hours ago.
#[test]
fn schedules_of_a_later_file_begin_at_its_time_of_day() {
    let midnight = 1_790_640_000;
    let daily = |time| {
        let at = [minute_of_day(time).unwrap()].into_iter().collect();
        Schedule { at, ..Schedule::default() }
    };
    let each = Schedule { every: Some(at(60)), ..Schedule::default() };
    let of = |schedules: &[(&str, Schedule)]| {
        let mut table = ServiceTable::new();
        for (name, schedule) in schedules {
            let schedule = schedule.clone();
            let spec =
                Spec { schedule, kind: ServiceKind::Oneshot, ..Spec::new(name, &["program"]).unwrap() };
            table.push(spec).unwrap();
        }
        table
    };
    let mut supervisor = Supervisor::new(of(&[("old", daily("05:00"))]));
    supervisor.set_time_of_day(Some(midnight));
    supervisor.start_enabled(at(0));
    reload(&mut supervisor, of(&[("old", daily("05:00")), ("new", daily("03:30")), ("each", each)]));
    supervisor.finish_reload(at(4 * 3600), Some(midnight + 4 * 3600), &mut |_| None);
    let next = [0, 1, 2].map(|index| supervisor.next_run(id(index), at(4 * 3600)));
    assert_eq!(next, [3600, 47 * 1800, 60].map(|seconds| NextRun::In(at(seconds))));
    supervisor.set_time_of_day(Some(midnight + 4 * 3600 + 30));
    supervisor.handle_timeout(at(4 * 3600 + 30));
    assert_eq!(actions(&mut supervisor), []);
}

#[test]
fn conditions_of_a_later_file_are_met_as_they_were() {
    let of = |conditions: &[&str]| {
        let mut table = ServiceTable::new();
        let mut spec = Spec::new("a", &["program"]).unwrap();
        conditions.iter().for_each(|condition| spec.wait.push(condition).unwrap());
        table.push(spec).unwrap();
        table
    };
    let mut supervisor = Supervisor::new(of(&["clock", "ntp", "network"]));
    for condition in [1, 2] {
        supervisor.handle_condition(condition, true, at(0));
    }
    reload(&mut supervisor, of(&["network", "path:/x", "clock", "ntp"]));
    finish(&mut supervisor);
    assert_eq!(supervisor.met(), 0b1001);
}

#[test]
fn checks_that_are_new_begin_and_others_go_on() {
    let check = |name: &str, service| {
        let kind = CheckKind::Connect(Endpoint::tcp("127.0.0.1:80").unwrap());
        Check { service, grace: at(0), ..Check::new(name, kind) }
    };
    let of = |checks: &[Check]| {
        let mut table = table(&[("a", "program")]);
        checks.iter().for_each(|check| assert!(table.push_check(check.clone()).is_ok()));
        table
    };
    let [disk, net, web] = [check("disk", None), check("net", None), check("web", Some(id(0)))];
    let slower = Check { period: at(100), ..net.clone() };
    // The later checks, whether their service runs, those that changed, and those due at once and after 8 seconds.
    for (later, is_running, changed, now, soon) in [
        (vec![disk.clone(), web.clone(), slower.clone()], true, 0b010, vec![1], vec![1, 0, 2]),
        (vec![disk.clone(), web.clone(), slower], false, 0b010, vec![1], vec![1, 0]),
        // `web` has the number of `net` now.
        (vec![disk.clone(), web.clone()], true, 0b110, vec![1], vec![1, 0]),
        (vec![disk.clone(), web.clone()], false, 0b110, vec![], vec![0]),
    ] {
        let mut supervisor = Supervisor::new(of(&[disk.clone(), net.clone(), web.clone()]));
        supervisor.start_enabled(at(0));
        if is_running {
            command(&mut supervisor, Verb::Start, at(0));
            run(&mut supervisor, 1, at(0));
        }
        for check in supervisor.due_checks(at(0)) {
            let attempt = supervisor.begin_check(check, at(0));
            supervisor.handle_checked(attempt, Ok(()), at(0));
        }
        supervisor.take_changed_checks();
        reload(&mut supervisor, of(&later));
        finish(&mut supervisor);
        let due = [2, 10].map(|second| {
            let due = supervisor.due_checks(at(second));
            due.iter().map(|check| check.index()).collect::<List<_>>()
        });
        assert_eq!((supervisor.take_changed_checks(), due), (changed, [now, soon]), "{later:?} {is_running}");
    }
}
