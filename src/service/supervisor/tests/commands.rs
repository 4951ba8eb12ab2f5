//! Commands beside start and stop: signals, `enabled`, limits.

use super::*;

#[test]
fn install_succeeds_only_when_written() {
    let mut supervisor = one_in(Stopped, RestartPolicy::Never);
    assert_eq!(supervisor.handle_command(id(0), Verb::Uninstall, at(0)), Ok(()));
    assert_eq!(actions(&mut supervisor), [], "already disabled");

    command(&mut supervisor, Verb::Install, at(0));
    assert!(supervisor.is_persisting(id(0)) && !supervisor.is_persisting(id(1)));
    assert_eq!(supervisor.handle_command(id(0), Verb::Uninstall, at(0)), Err(CommandError::Busy));
    assert_eq!(actions(&mut supervisor), [Action::Persist]);
    assert!(supervisor.overrides().eq([("a", true)]));
    supervisor.handle_persisted(Err(5));
    assert!(!supervisor.is_persisting(id(0)));
    assert_eq!(supervisor.take_result(id(0)), Err(CommandError::Persist(5)));
    assert!(!supervisor.status(id(0), at(0)).enabled);
    assert_eq!(supervisor.overrides().count(), 0);

    command(&mut supervisor, Verb::Install, at(0));
    supervisor.handle_persisted(Ok(()));
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
    assert_eq!(actions(&mut supervisor), [spawn(2)]);
    supervisor.handle_spawned(id(2), Err(MISSING), at(0));
    assert_eq!(actions(&mut supervisor), [spawn(0)], "what has failed is not waited for");
    assert_eq!(supervisor.take_result(id(2)), Ok(()), "no command was pending");
    assert_eq!(supervisor.poll_settled(), None);
}

#[test]
fn signals_of_named_commands() {
    for from in [Stopped, Failed, Starting] {
        let mut supervisor = one_in(from, RestartPolicy::Always);
        let answer = supervisor.handle_signal(id(0), Signal::Usr1, Scope::Leader, at(0));
        assert_eq!(answer, Err(CommandError::NotRunning));
    }
    let mut supervisor = one_in(Started, RestartPolicy::Never);
    let mut sent = List::new();
    for (signal, scope, after) in [
        (Signal::Usr1, Scope::Leader, Started),
        (Signal::Hup, Scope::Group, Started),
        (Signal::Stop, Scope::Leader, Paused),
        (Signal::Cont, Scope::Leader, Started),
        (Signal::Stop, Scope::Group, Paused),
    ] {
        supervisor.handle_signal(id(0), signal, scope, at(0)).unwrap();
        sent.push(Action::Signal { service: id(0), signal, scope });
        assert_eq!(state(&supervisor), after);
    }
    assert_eq!(actions(&mut supervisor), sent);
}

#[test]
fn process_that_is_ending_or_is_not_to_start_gets_no_signal() {
    // Its leader has ended, and others are left.
    let mut left = one_in(Started, RestartPolicy::Never);
    exit(&mut left, Exit::Code(0), false, at(1));
    // It was started after its stop.
    let mut late = one_in(Stopped, RestartPolicy::Never);
    command(&mut late, Verb::Start, at(0));
    command(&mut late, Verb::Stop, at(0));
    run(&mut late, 1, at(1));
    for mut supervisor in [left, late] {
        drain(&mut supervisor);
        let answer = supervisor.handle_signal(id(0), Signal::Usr1, Scope::Leader, at(1));
        assert_eq!((answer, actions(&mut supervisor)), (Err(CommandError::NotRunning), vec![]));
    }
}

#[test]
fn no_command_but_a_stop_is_accepted_while_the_server_ends() {
    let mut supervisor = one_in(Started, RestartPolicy::Never);
    supervisor.set_enabled(id(0), true);
    supervisor.shutdown(at(0));
    for verb in [Verb::Start, Verb::Restart, Verb::Pause, Verb::Install, Verb::Uninstall] {
        assert_eq!(
            supervisor.handle_command(id(0), verb, at(1)),
            Err(CommandError::ShuttingDown),
            "{verb:?}"
        );
    }
    assert_eq!(supervisor.handle_command(id(0), Verb::Stop, at(1)), Ok(()));
    exit(&mut supervisor, Exit::Code(0), true, at(1));
    drain(&mut supervisor);
    supervisor.start_enabled(at(2));
    assert_eq!((state(&supervisor), actions(&mut supervisor)), (Stopped, vec![]));
}

#[test]
fn unknown_service_is_refused() {
    let mut supervisor = one_in(Started, RestartPolicy::Never);
    assert_eq!(supervisor.handle_command(id(1), Verb::Start, at(0)), Err(CommandError::Unknown));
    let signal = supervisor.handle_signal(id(1), Signal::Hup, Scope::Leader, at(0));
    assert_eq!(signal, Err(CommandError::Unknown));
    supervisor.handle_spawned(id(1), Ok(5), at(0));
    assert_eq!(supervisor.status(id(1), at(0)).pid, 0);
}

#[test]
fn actions_up_to_their_limit() {
    let mut supervisor = one_in(Started, RestartPolicy::Never);
    let mut accepted = 0;
    while supervisor.handle_signal(id(0), Signal::Hup, Scope::Leader, at(0)).is_ok() {
        accepted += 1;
        assert!(accepted <= ACTIONS);
    }
    assert_eq!(accepted, ACTIONS - ACTIONS_OF_ONE + 1);
    assert_eq!(supervisor.handle_command(id(0), Verb::Stop, at(0)), Err(CommandError::Busy));
    assert_eq!(state(&supervisor), Started, "nothing changed");
    assert_eq!(actions(&mut supervisor).len(), accepted);
    assert_eq!(supervisor.handle_command(id(0), Verb::Stop, at(0)), Ok(()));
}
