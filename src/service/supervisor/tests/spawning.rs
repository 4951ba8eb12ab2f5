//! Spawns that take their time, fail, or get no answer.

use super::*;

const TIMEOUT: SpawnError = SpawnError::TIMEOUT;

/// Supervisor of one service whose spawn is pending since second 0.
fn spawning(restart: RestartPolicy) -> Supervisor {
    let mut supervisor = one_in(Stopped, restart);
    command(&mut supervisor, Verb::Start, at(0));
    assert_eq!(actions(&mut supervisor), [spawn(0)]);
    supervisor
}

#[test]
fn service_is_starting_until_its_spawn_is_answered() {
    let mut supervisor = spawning(RestartPolicy::Never);
    assert_eq!(changes(&mut supervisor), [], "its outcome is the change");
    command(&mut supervisor, Verb::Start, at(1));
    command(&mut supervisor, Verb::Restart, at(2));
    let pause = supervisor.handle_command(id(0), Verb::Pause, at(3));
    assert_eq!(pause, Err(CommandError::NotRunning));
    let signal = supervisor.handle_signal(id(0), Signal::Hup, Scope::Leader, at(3));
    assert_eq!(signal, Err(CommandError::NotRunning));
    assert_eq!((actions(&mut supervisor), state(&supervisor)), (vec![], Starting));
    run(&mut supervisor, 1, at(29));
    assert_eq!(changes(&mut supervisor), [(Started, 1)]);
}

#[test]
fn stop_kills_a_pending_spawn() {
    let mut supervisor = spawning(RestartPolicy::Always);
    command(&mut supervisor, Verb::Stop, at(1));
    assert_eq!((actions(&mut supervisor), state(&supervisor)), (kill().to_vec(), Stopping));
    supervisor.handle_spawned(id(0), Err(MISSING), at(2));
    let status = supervisor.status(id(0), at(2));
    assert_eq!((status.state, status.last_exit), (Stopped, LastExit::None), "it was not to start");
    assert_eq!(supervisor.poll_timeout(), None);
}

#[test]
fn process_that_starts_after_its_stop_is_killed() {
    let mut supervisor = spawning(RestartPolicy::Always);
    command(&mut supervisor, Verb::Stop, at(1));
    actions(&mut supervisor);
    run(&mut supervisor, 1, at(2));
    assert_eq!((actions(&mut supervisor), state(&supervisor)), (kill().to_vec(), Stopping));
    exit(&mut supervisor, Exit::signal(9), false, at(2));
    assert_eq!(state(&supervisor), Stopping);
    supervisor.handle_gone(id(0), at(3));
    assert_eq!((actions(&mut supervisor), state(&supervisor)), (vec![], Stopped));
}

#[test]
fn start_after_the_stop_of_a_spawn_waits_for_the_answer() {
    let mut supervisor = spawning(RestartPolicy::Never);
    command(&mut supervisor, Verb::Stop, at(1));
    command(&mut supervisor, Verb::Start, at(1));
    assert_eq!(actions(&mut supervisor), kill());
    supervisor.handle_spawned(id(0), Err(MISSING), at(2));
    assert_eq!(actions(&mut supervisor), [spawn(0)]);
    run(&mut supervisor, 2, at(2));
    assert_eq!(state(&supervisor), Started);
}

#[test]
fn spawn_without_an_answer_is_killed_and_counts_as_a_failed_start() {
    for (restart, after) in [(RestartPolicy::Never, Failed), (RestartPolicy::Always, Starting)] {
        let mut supervisor = spawning(restart);
        supervisor.handle_timeout(SPAWN_TIMEOUT - millis(1));
        assert_eq!(actions(&mut supervisor), []);
        supervisor.handle_timeout(SPAWN_TIMEOUT);
        assert_eq!((actions(&mut supervisor), state(&supervisor)), (kill().to_vec(), Stopping));
        assert_eq!(supervisor.take_result(id(0)), Err(CommandError::Spawn(TIMEOUT)));
        assert_eq!(supervisor.status(id(0), at(30)).last_exit, LastExit::Spawn(TIMEOUT));
        assert_eq!((TIMEOUT.stage, TIMEOUT.errno), (SpawnStage::Timeout, 110));
        supervisor.handle_spawned(id(0), Err(MISSING), at(31));
        assert_eq!(state(&supervisor), after);
        assert_eq!(supervisor.status(id(0), at(31)).last_exit, LastExit::Spawn(TIMEOUT));
    }
}

#[test]
fn unanswered_spawn_is_never_followed_by_a_second_one() {
    let mut supervisor = spawning(RestartPolicy::Always);
    supervisor.handle_timeout(SPAWN_TIMEOUT);
    command(&mut supervisor, Verb::Start, SPAWN_TIMEOUT);
    supervisor.handle_timeout(SPAWN_TIMEOUT + KILL_TIMEOUT);
    assert_eq!(supervisor.poll_settled(), Some((id(0), Err(CommandError::Busy))));
    for verb in [Verb::Start, Verb::Restart] {
        assert_eq!(supervisor.handle_command(id(0), verb, at(60)), Err(CommandError::Busy));
    }
    supervisor.handle_timeout(at(3600));
    assert_eq!((actions(&mut supervisor), state(&supervisor)), (kill().to_vec(), Stopping));
    // The answer comes at last, and the policy decides.
    run(&mut supervisor, 1, at(3600));
    assert_eq!(actions(&mut supervisor), kill());
    exit(&mut supervisor, Exit::signal(9), true, at(3601));
    assert_eq!(state(&supervisor), Starting);
    supervisor.handle_timeout(at(3700));
    assert_eq!(actions(&mut supervisor), [spawn(0)]);
}

#[test]
fn missing_program_fails_the_start_command() {
    let mut supervisor = spawning(RestartPolicy::Never);
    changes(&mut supervisor);
    supervisor.handle_spawned(id(0), Err(MISSING), at(0));
    assert_eq!(supervisor.take_result(id(0)), Err(CommandError::Spawn(MISSING)));
    assert_eq!(supervisor.take_result(id(0)), Ok(()), "once");
    assert_eq!(changes(&mut supervisor), [(Failed, 0)]);
    assert_eq!(supervisor.status(id(0), at(0)).last_exit, LastExit::Spawn(MISSING));
}

#[test]
fn policy_decides_after_any_spawn_error() {
    use SpawnStage::*;
    for stage in [Resources, User, Groups, Directory, Limits, Program, Interpreter, Timeout] {
        for errno in [1, 2, 11, 12, 13] {
            let error = SpawnError::new(stage, errno);
            for (restart, after) in [
                (RestartPolicy::Never, Failed),
                (RestartPolicy::OnFailure, Starting),
                (RestartPolicy::Always, Starting),
            ] {
                // By hand, by the policy, and with the server.
                let mut supervisor = spawning(restart);
                supervisor.handle_spawned(id(0), Err(error), at(0));
                assert_eq!(state(&supervisor), after, "{error:?}");
                assert_eq!(supervisor.take_result(id(0)), Err(CommandError::Spawn(error)));
                if after == Starting {
                    supervisor.handle_timeout(at(1));
                    assert_eq!(actions(&mut supervisor), [spawn(0)]);
                    supervisor.handle_spawned(id(0), Err(error), at(1));
                    assert_eq!(state(&supervisor), Starting);
                    assert_eq!(supervisor.take_result(id(0)), Ok(()), "no command was pending");
                }
                let mut supervisor = one_in(Stopped, restart);
                supervisor.set_enabled(id(0), true);
                supervisor.start_enabled(at(0));
                supervisor.handle_spawned(id(0), Err(error), at(0));
                assert_eq!((state(&supervisor), supervisor.take_result(id(0))), (after, Ok(())));
            }
        }
    }
}

#[test]
fn start_by_hand_during_the_back_off_keeps_the_policy() {
    for verb in [Verb::Start, Verb::Restart] {
        let mut supervisor = one_in(Starting, RestartPolicy::OnFailure);
        command(&mut supervisor, verb, at(0));
        assert_eq!(actions(&mut supervisor), [spawn(0)]);
        supervisor.handle_spawned(id(0), Err(MISSING), at(0));
        assert_eq!(supervisor.take_result(id(0)), Err(CommandError::Spawn(MISSING)));
        assert_eq!(state(&supervisor), Starting);
        supervisor.handle_timeout(at(1));
        assert_eq!(actions(&mut supervisor), [spawn(0)]);
    }
}
