//! Restarts by command and by policy, and their delays.

use super::*;
use crate::service::{GOOD_RUN, RESTART_DELAY_MIN, STOP_TIMEOUT};

#[test]
fn start_while_stopping_starts_after_the_exit() {
    let mut supervisor = one_in(Stopping, RestartPolicy::Never);
    command(&mut supervisor, Verb::Start, at(0));
    exit(&mut supervisor, Exit::Code(0), true, at(1));
    assert_eq!(actions(&mut supervisor), [spawn(0)]);
    run(&mut supervisor, 2, at(1));
    assert_eq!(changes(&mut supervisor), [(Starting, 0), (Started, 2)]);
    assert_eq!(supervisor.status(id(0), at(1)).restarts, 1);
}

#[test]
fn stop_cancels_a_start_while_stopping() {
    let mut supervisor = one_in(Stopping, RestartPolicy::Always);
    command(&mut supervisor, Verb::Start, at(0));
    command(&mut supervisor, Verb::Stop, at(0));
    exit(&mut supervisor, Exit::Code(1), true, at(1));
    assert_eq!(actions(&mut supervisor), []);
    assert_eq!(state(&supervisor), Stopped);
}

#[test]
fn restart_ends_and_starts_and_counts() {
    let mut supervisor = one_in(Started, RestartPolicy::Never);
    command(&mut supervisor, Verb::Restart, at(0));
    assert_eq!(actions(&mut supervisor), stop());
    supervisor.handle_timeout(STOP_TIMEOUT);
    assert_eq!(actions(&mut supervisor), kill());
    exit(&mut supervisor, Exit::signal(9), true, at(11));
    assert_eq!(actions(&mut supervisor), [spawn(0)]);
    run(&mut supervisor, 2, at(11));
    assert_eq!(supervisor.status(id(0), at(11)).restarts, 1);
    // A start from stopped resets the counter.
    command(&mut supervisor, Verb::Stop, at(11));
    exit(&mut supervisor, Exit::Code(0), true, at(11));
    command(&mut supervisor, Verb::Start, at(11));
    assert_eq!(supervisor.status(id(0), at(11)).restarts, 0);
}

/// Ends runs of these lengths with exit code 0, and returns the delays after them in milliseconds.
fn delays(supervisor: &mut Supervisor, runs: &[Duration]) -> List<u128> {
    let mut now = at(0);
    let mut delays = List::new();
    for (run, pid) in runs.iter().zip(2..) {
        now += *run;
        exit(supervisor, Exit::Code(0), true, now);
        let due = supervisor.poll_timeout().unwrap();
        delays.push((due - now).as_millis());
        now = due;
        supervisor.handle_timeout(now);
        assert_eq!(actions(supervisor), [spawn(0)]);
        supervisor.handle_spawned(id(0), Ok(pid), now);
        assert_eq!(supervisor.status(id(0), now).restarts, pid - 1);
    }
    delays
}

#[test]
fn back_off_grows_and_a_good_run_resets_it() {
    let mut supervisor = one_in(Started, RestartPolicy::Always);
    let runs = [at(0), at(0), at(0), GOOD_RUN, at(0)];
    assert_eq!(delays(&mut supervisor, &runs), [500, 1000, 2000, 500, 1000]);
}

#[test]
fn delays_with_a_seed_have_jitter_that_repeats() {
    let seeded = |seed| {
        let mut supervisor = one_in(Started, RestartPolicy::Always);
        supervisor.set_seed(seed);
        delays(&mut supervisor, &[at(0); 5])
    };
    let documented = [500, 1000, 2000, 4000, 8000];
    for (delay, exact) in seeded(1).into_iter().zip(documented) {
        assert!((exact * 9 / 10..=exact * 11 / 10).contains(&delay), "{delay} for {exact}");
    }
    assert_eq!(seeded(1), seeded(1));
    assert_ne!(seeded(1), seeded(2));
    assert_ne!(seeded(1), documented);
}

#[test]
fn start_during_the_back_off_resets_it() {
    let mut supervisor = one_in(Starting, RestartPolicy::Always);
    command(&mut supervisor, Verb::Start, at(0));
    run(&mut supervisor, 2, at(0));
    exit(&mut supervisor, Exit::Code(1), true, at(0));
    assert_eq!(supervisor.poll_timeout(), Some(RESTART_DELAY_MIN));
}

/// Supervisor of one service that is restarted at most twice in a row.
fn limited() -> Supervisor {
    one_of(|spec| {
        spec.restart = RestartPolicy::Always;
        spec.start_limit = 3;
    })
}

/// Ends a run of this length and starts the next.
fn fail(supervisor: &mut Supervisor, run: Duration, now: &mut Duration) {
    *now += run;
    exit(supervisor, Exit::Code(1), true, *now);
    while supervisor.entries[0].phase == Phase::Waiting {
        *now = supervisor.poll_timeout().unwrap();
        supervisor.handle_timeout(*now);
    }
    self::run(supervisor, 7, *now);
    assert_eq!(state(supervisor), Started);
}

#[test]
fn start_limit_ends_a_crash_loop() {
    let mut supervisor = limited();
    let mut now = at(0);
    fail(&mut supervisor, at(1), &mut now);
    fail(&mut supervisor, at(1), &mut now);
    exit(&mut supervisor, Exit::Code(1), true, now);
    assert_eq!((state(&supervisor), supervisor.poll_timeout()), (Failed, None));
    // By hand it has all attempts again.
    command(&mut supervisor, Verb::Start, now);
    run(&mut supervisor, 8, now);
    fail(&mut supervisor, at(1), &mut now);
    fail(&mut supervisor, at(1), &mut now);
}

#[test]
fn good_run_and_failed_starts_count_for_the_start_limit() {
    let mut supervisor = limited();
    let mut now = at(0);
    fail(&mut supervisor, at(1), &mut now);
    fail(&mut supervisor, GOOD_RUN, &mut now);
    fail(&mut supervisor, GOOD_RUN - millis(1), &mut now);
    exit(&mut supervisor, Exit::Code(1), true, now);
    assert_eq!(state(&supervisor), Starting, "the good run began the row anew");
    now = supervisor.poll_timeout().unwrap();
    supervisor.handle_timeout(now);
    supervisor.handle_spawned(id(0), Err(MISSING), now);
    assert_eq!(state(&supervisor), Failed);
}

#[test]
fn without_a_start_limit_restarts_never_end() {
    let mut supervisor = one_in(Started, RestartPolicy::Always);
    let mut now = at(0);
    for _ in 0..100 {
        fail(&mut supervisor, at(0), &mut now);
    }
}

#[test]
fn success_codes_decide_for_the_policy_and_the_state() {
    let after = |restart, code| {
        let mut supervisor = one_of(|spec| {
            spec.restart = restart;
            spec.success_codes = [3, 143].into_iter().collect();
        });
        exit(&mut supervisor, Exit::Code(code), true, at(20));
        state(&supervisor)
    };
    assert_eq!(after(RestartPolicy::Never, 143), Stopped);
    assert_eq!(after(RestartPolicy::Never, 0), Failed);
    assert_eq!(after(RestartPolicy::OnFailure, 3), Stopped);
    assert_eq!(after(RestartPolicy::OnFailure, 0), Starting);
}
