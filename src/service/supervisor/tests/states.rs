//! Every event in every state.

use super::*;

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
    assert_eq!(effects(Finished, Verb::Start), nothing);
    assert_eq!(effects(Failed, Verb::Start), (Ok(()), vec![spawn(0)], vec![]));
    assert_eq!(effects(Starting, Verb::Start), (Ok(()), vec![spawn(0)], vec![]));
    assert_eq!(effects(Started, Verb::Start), nothing);
    assert_eq!(effects(Stopping, Verb::Start), nothing);
    assert_eq!(effects(Paused, Verb::Start), (Ok(()), vec![signal(Signal::Cont)], vec![Started]));
}

#[test]
fn stop_from_every_state() {
    let nothing: Effects = (Ok(()), vec![], vec![]);
    assert_eq!(effects(Stopped, Verb::Stop), nothing);
    assert_eq!(effects(Finished, Verb::Stop), (Ok(()), vec![], vec![Stopped]));
    assert_eq!(effects(Failed, Verb::Stop), (Ok(()), vec![], vec![Stopped]));
    assert_eq!(effects(Starting, Verb::Stop), (Ok(()), vec![], vec![Stopped]));
    assert_eq!(effects(Started, Verb::Stop), (Ok(()), stop().to_vec(), vec![Stopping]));
    assert_eq!(effects(Stopping, Verb::Stop), nothing);
    assert_eq!(effects(Paused, Verb::Stop), (Ok(()), stop().to_vec(), vec![Stopping]));
}

#[test]
fn restart_from_every_state() {
    assert_eq!(effects(Stopped, Verb::Restart), (Ok(()), vec![spawn(0)], vec![]));
    assert_eq!(effects(Finished, Verb::Restart), (Ok(()), vec![spawn(0)], vec![]));
    assert_eq!(effects(Failed, Verb::Restart), (Ok(()), vec![spawn(0)], vec![]));
    assert_eq!(effects(Starting, Verb::Restart), (Ok(()), vec![spawn(0)], vec![]));
    assert_eq!(effects(Started, Verb::Restart), (Ok(()), stop().to_vec(), vec![Stopping]));
    assert_eq!(effects(Stopping, Verb::Restart), (Ok(()), vec![], vec![]));
    assert_eq!(effects(Paused, Verb::Restart), (Ok(()), stop().to_vec(), vec![Stopping]));
}

#[test]
fn pause_from_every_state() {
    for from in [Stopped, Finished, Failed, Starting, Stopping, Paused] {
        assert_eq!(effects(from, Verb::Pause), (Err(CommandError::NotRunning), vec![], vec![]), "{from:?}");
    }
    assert_eq!(effects(Started, Verb::Pause), (Ok(()), vec![signal(Signal::Stop)], vec![Paused]));
}

#[test]
fn exits_from_every_state() {
    let after = |from, restart, end: Exit| {
        let mut supervisor = one_in(from, restart);
        exit(&mut supervisor, end, true, at(0));
        assert_eq!(supervisor.status(id(0), at(0)).pid, 0);
        assert_eq!(supervisor.status(id(0), at(0)).last_exit, end.into());
        (state(&supervisor), actions(&mut supervisor))
    };
    let (done, bad, killed) = (Exit::Code(0), Exit::Code(3), Exit::signal(9));
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
}

#[test]
fn unexpected_reports_change_nothing() {
    for from in [Stopped, Finished, Failed, Starting] {
        let mut supervisor = one_in(from, RestartPolicy::Always);
        let before = supervisor.status(id(0), at(0));
        exit(&mut supervisor, Exit::Code(0), true, at(0));
        exit(&mut supervisor, Exit::Code(0), false, at(0));
        assert_eq!(supervisor.status(id(0), at(0)), before);
    }
    for from in [Stopped, Finished, Failed, Starting, Started, Stopping, Paused] {
        let mut supervisor = one_in(from, RestartPolicy::Always);
        let before = supervisor.status(id(0), at(0));
        run(&mut supervisor, 9, at(0));
        supervisor.handle_spawned(id(0), Err(MISSING), at(0));
        supervisor.handle_gone(id(0), at(0));
        assert_eq!(supervisor.status(id(0), at(0)), before);
        assert_eq!((actions(&mut supervisor), changes(&mut supervisor)), (vec![], vec![]));
    }
}

#[test]
fn deadline_of_every_state() {
    let later = |from| {
        let mut supervisor = one_in(from, RestartPolicy::Always);
        supervisor.handle_timeout(at(3600));
        actions(&mut supervisor)
    };
    for from in [Stopped, Finished, Failed, Started, Paused] {
        assert_eq!(one_in(from, RestartPolicy::Always).poll_timeout(), None);
        assert_eq!(later(from), [], "{from:?}");
    }
    assert_eq!(later(Starting), [spawn(0)]);
    assert_eq!(later(Stopping), kill());
}

#[test]
fn service_that_is_suspended_from_outside_is_paused() {
    let mut supervisor = one_in(Started, RestartPolicy::Always);
    supervisor.handle_suspended(id(0), at(1));
    assert_eq!(changes(&mut supervisor), [(Paused, 1)]);
    supervisor.handle_resumed(id(0), at(2));
    assert_eq!(changes(&mut supervisor), [(Started, 1)]);
    assert_eq!(actions(&mut supervisor), []);

    supervisor.handle_suspended(id(0), at(3));
    command(&mut supervisor, Verb::Start, at(4));
    assert_eq!(actions(&mut supervisor), [signal(Signal::Cont)]);
    assert_eq!(state(&supervisor), Started);
    for from in [Stopped, Failed, Starting, Stopping, Paused] {
        let mut supervisor = one_in(from, RestartPolicy::Always);
        supervisor.handle_suspended(id(0), at(1));
        assert_eq!(changes(&mut supervisor), [], "{from:?}");
    }
}

#[test]
fn reference_exchange() {
    let mut supervisor = one_in(Stopped, RestartPolicy::Never);
    assert!(!supervisor.status(id(0), at(1)).started_once);
    command(&mut supervisor, Verb::Start, at(1));
    assert_eq!(actions(&mut supervisor), [spawn(0)]);
    run(&mut supervisor, 1234, at(1));
    assert_eq!(supervisor.take_result(id(0)), Ok(()));
    assert_eq!(changes(&mut supervisor), [(Started, 1234)]);
    let status = supervisor.status(id(0), at(13));
    assert_eq!((status.state, status.pid, status.since, status.restarts), (Started, 1234, at(12), 0));

    supervisor.handle_timeout(at(20));
    command(&mut supervisor, Verb::Stop, at(20));
    assert_eq!(actions(&mut supervisor), stop());
    assert_eq!(supervisor.poll_timeout(), Some(at(20) + crate::service::STOP_TIMEOUT));
    exit(&mut supervisor, Exit::signal(15), true, at(21));
    assert_eq!(changes(&mut supervisor), [(Stopping, 1234), (Stopped, 0)]);
    let status = supervisor.status(id(0), at(21));
    assert_eq!((status.state, status.pid, status.last_exit), (Stopped, 0, LastExit::signal(15)));
    assert!(status.started_once, "it has run, and is not one that never did");
    assert_eq!(supervisor.poll_timeout(), None);
}
