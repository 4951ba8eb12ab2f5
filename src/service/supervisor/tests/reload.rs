//! Reload: a service in each state is changed, removed or left alone.

use super::*;

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
    supervisor.finish_reload(at(2), &mut |_| None);
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
        assert_eq!(reload(&mut supervisor, same).added, ["b"]);
        assert!(supervisor.reload_is_due());
        supervisor.finish_reload(at(2), &mut |_| None);
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
        assert_eq!(supervisor.finish_reload(at(2), &mut |_| None), 1);
        assert_eq!(supervisor.table.find("b"), Some(id(0)));
        assert_eq!(
            (supervisor.status(id(0), at(2)).state, supervisor.ends(id(0))),
            (Stopped, 0),
            "{state:?}"
        );
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
        supervisor.finish_reload(at(2), &mut |name| stored.filter(|_| name == "a"));
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
fn shutdown_comes_before_a_reload() {
    let mut supervisor = one_in(Started, RestartPolicy::OnFailure);
    reload(&mut supervisor, table(&[("a", "other")]));
    supervisor.shutdown(at(1));
    assert!(!supervisor.may_reload() && !supervisor.is_down());
    exit(&mut supervisor, Exit::signal(15), true, at(2));
    assert!(supervisor.is_down());
}
