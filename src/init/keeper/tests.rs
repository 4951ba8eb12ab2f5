mod random;

use super::*;

const MOMENT: Duration = Duration::from_millis(1);

fn s(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// All that is to be done now, without what the watchdog gets.
fn actions(keeper: &mut Keeper, now: Duration) -> Vec<Action> {
    let all = std::iter::from_fn(|| keeper.poll_action(now)).take(100);
    all.filter(|action| *action != Action::Feed).collect()
}

/// Times at which the watchdog is fed, second by second, from `from` to before `to`.
fn fed(keeper: &mut Keeper, from: u64, to: u64) -> Vec<u64> {
    (from..to).filter(|now| keeper.poll_action(s(*now)) == Some(Action::Feed)).collect()
}

/// With a server that was started at zero.
fn started(on_trial: bool, has_watchdog: bool) -> Keeper {
    crate::log::set_level(crate::log::Level::Off);
    let mut keeper = Keeper::new(on_trial, has_watchdog);
    assert_eq!(actions(&mut keeper, s(0)), [Action::StartServer]);
    keeper
}

/// With a server that serves since second one.
fn ready(has_watchdog: bool) -> Keeper {
    let mut keeper = started(false, has_watchdog);
    keeper.handle_message(Message::Ready, s(1));
    assert_eq!(actions(&mut keeper, s(1)), []);
    keeper
}

#[test]
fn slot_on_trial_is_marked_good_once_it_serves() {
    let mut keeper = started(true, false);
    assert_eq!(actions(&mut keeper, s(5)), []);
    keeper.handle_message(Message::Alive, s(5));
    assert_eq!(actions(&mut keeper, s(5)), []);
    keeper.handle_message(Message::Ready, s(6));
    assert_eq!(keeper.poll_timeout(), Some(s(0)));
    assert_eq!(actions(&mut keeper, s(6)), [Action::MarkGood]);
    keeper.handle_message(Message::Ready, s(7));
    assert_eq!(actions(&mut keeper, s(7)), []);
    assert_eq!(actions(&mut ready(false), s(1)), []);
}

#[test]
fn server_that_ends_is_started_again_after_a_growing_pause() {
    let mut keeper = ready(false);
    let mut now = s(2);
    let mut pauses = Vec::new();
    for _ in 0..4 {
        keeper.handle_exit(Some(Exit::Signal(11)), now);
        // Before it starts again, and at once.
        assert_eq!(actions(&mut keeper, now), [Action::KillRest]);
        let start = keeper.poll_timeout().unwrap();
        assert_eq!(actions(&mut keeper, start - MOMENT), []);
        assert_eq!(actions(&mut keeper, start), [Action::StartServer]);
        pauses.push((start - now).as_millis());
        now = start + s(1);
    }
    assert_eq!(pauses, [500, 1000, 2000, 4000]);
    // One that cannot be started is one that ended.
    keeper.handle_exit(None, now);
    assert_eq!(keeper.poll_timeout(), Some(s(0)));
    assert_eq!(actions(&mut keeper, now), [Action::KillRest]);
    assert_eq!(keeper.poll_timeout(), Some(now + s(8)));
}

#[test]
fn silent_server_is_killed_where_there_is_no_watchdog() {
    let mut keeper = ready(false);
    keeper.handle_message(Message::Alive, s(4));
    assert_eq!(keeper.poll_timeout(), Some(s(4) + SILENCE_TIMEOUT));
    assert_eq!(actions(&mut keeper, s(4) + SILENCE_TIMEOUT - MOMENT), []);
    let now = s(4) + SILENCE_TIMEOUT;
    assert_eq!(actions(&mut keeper, now), [Action::KillServer]);
    // What it said before it was killed comes too late.
    keeper.handle_message(Message::Alive, now);
    assert_eq!(actions(&mut keeper, now + s(1)), []);
    keeper.handle_exit(Some(Exit::Signal(9)), now + s(1));
    assert_eq!(actions(&mut keeper, now + s(1)), [Action::KillRest]);
    assert_eq!(actions(&mut keeper, now + s(2)), [Action::StartServer]);
}

#[test]
fn watchdog_is_fed_while_the_server_speaks_and_not_longer() {
    let mut keeper = ready(true);
    assert_eq!(keeper.poll_timeout(), Some(s(1) + FEED_INTERVAL));
    keeper.handle_message(Message::Alive, s(4));
    let last = 4 + SILENCE_TIMEOUT.as_secs();
    assert_eq!(fed(&mut keeper, 2, last + 30), (2..last).collect::<Vec<_>>());
    // It wakes up before the hardware has lost its patience.
    keeper.handle_message(Message::Alive, s(50));
    assert_eq!(fed(&mut keeper, 50, 53), [50, 51, 52]);
}

#[test]
fn watchdog_is_not_fed_more_often_than_it_has_to_be() {
    let mut keeper = ready(true);
    assert_eq!(keeper.poll_action(s(2)), Some(Action::Feed));
    assert_eq!(keeper.poll_action(s(2) + FEED_INTERVAL - MOMENT), None);
    assert_eq!(keeper.poll_action(s(2) + FEED_INTERVAL), Some(Action::Feed));
}

#[test]
fn watchdog_that_does_not_reset_has_its_time() {
    let mut keeper = ready(true);
    let due = s(1) + RESET_TIMEOUT;
    assert!(fed(&mut keeper, 60, 62).is_empty());
    assert_eq!(keeper.poll_timeout(), Some(due));
    assert_eq!(actions(&mut keeper, due - MOMENT), []);
    assert_eq!(actions(&mut keeper, due), [Action::KillServer]);
    assert_eq!(keeper.poll_action(due + s(1)), Some(Action::Feed));
}

#[test]
fn watchdog_is_fed_while_the_server_starts_or_ends() {
    let mut keeper = started(false, true);
    assert_eq!(fed(&mut keeper, 1, 100).len(), 99);
    keeper.handle_message(Message::Ready, s(100));
    keeper.handle_message(Message::Stopping, s(101));
    assert_eq!(fed(&mut keeper, 101, 160).len(), 59);
    let mut keeper = ready(true);
    keeper.handle_end(End::Restart, s(2));
    assert_eq!(keeper.poll_action(s(2)), Some(Action::StopServer));
    assert_eq!(fed(&mut keeper, 2, 60).len(), 58);
}

#[test]
fn server_has_its_time_to_serve() {
    let mut keeper = started(false, false);
    assert_eq!(keeper.poll_timeout(), Some(READY_TIMEOUT));
    assert_eq!(actions(&mut keeper, READY_TIMEOUT - MOMENT), []);
    assert_eq!(actions(&mut keeper, READY_TIMEOUT), [Action::KillServer]);
    // That is no end of the board when there is no other root.
    keeper.handle_exit(Some(Exit::Signal(9)), READY_TIMEOUT);
    assert_eq!(actions(&mut keeper, READY_TIMEOUT), [Action::KillRest]);
    assert_eq!(actions(&mut keeper, READY_TIMEOUT + s(1)), [Action::StartServer]);
    assert_eq!(keeper.poll_timeout(), Some(2 * READY_TIMEOUT + s(1)));
}

#[test]
fn slot_on_trial_has_that_time_for_all_its_starts_and_is_given_up() {
    let mut keeper = started(true, false);
    keeper.handle_exit(Some(Exit::Code(1)), s(30));
    assert_eq!(actions(&mut keeper, s(30)), [Action::KillRest]);
    assert_eq!(actions(&mut keeper, s(31)), [Action::StartServer]);
    assert_eq!(keeper.poll_timeout(), Some(READY_TIMEOUT));
    assert_eq!(actions(&mut keeper, READY_TIMEOUT - MOMENT), []);
    assert_eq!(actions(&mut keeper, READY_TIMEOUT), [Action::StopServer]);
    keeper.handle_message(Message::Ready, READY_TIMEOUT);
    assert_eq!(actions(&mut keeper, READY_TIMEOUT), []);
    keeper.handle_exit(Some(Exit::Code(0)), s(121));
    assert_eq!(actions(&mut keeper, s(121)), [Action::StopRest]);
    keeper.handle_nobody_left(s(121));
    assert_eq!(actions(&mut keeper, s(121)), [Action::Finish(End::Restart)]);
}

#[test]
fn short_runs_end_the_trial_of_a_slot_and_nothing_else() {
    let short_runs = |on_trial, count: u8| {
        let mut keeper = started(on_trial, false);
        let mut now = s(1);
        let mut last = Vec::new();
        for _ in 0..count {
            keeper.handle_exit(Some(Exit::Code(78)), now);
            last = actions(&mut keeper, now);
            now = keeper.poll_timeout().unwrap();
            actions(&mut keeper, now);
        }
        last
    };
    assert_eq!(short_runs(true, SHORT_RUNS - 1), [Action::KillRest]);
    assert_eq!(short_runs(true, SHORT_RUNS), [Action::StopRest]);
    assert_eq!(short_runs(false, 3 * SHORT_RUNS), [Action::KillRest]);
}

#[test]
fn long_run_is_no_short_one() {
    let mut keeper = started(true, false);
    let mut now = s(0);
    for _ in 0..SHORT_RUNS {
        now += GOOD_RUN;
        keeper.handle_exit(Some(Exit::Code(1)), now);
        assert_eq!(actions(&mut keeper, now), [Action::KillRest]);
        now = keeper.poll_timeout().unwrap();
        assert_eq!(actions(&mut keeper, now), [Action::StartServer]);
    }
}

#[test]
fn board_ends_in_order() {
    let mut keeper = ready(false);
    keeper.handle_message(Message::End(End::PowerOff), s(5));
    // What comes later changes nothing.
    keeper.handle_end(End::Restart, s(5));
    assert_eq!(actions(&mut keeper, s(5)), [Action::StopServer]);
    keeper.handle_nobody_left(s(5));
    keeper.handle_message(Message::Stopping, s(5));
    assert_eq!(actions(&mut keeper, s(6)), []);
    keeper.handle_exit(Some(Exit::Code(0)), s(7));
    assert_eq!(actions(&mut keeper, s(7)), [Action::StopRest]);
    assert_eq!(keeper.poll_timeout(), Some(s(7) + LEFTOVER_TIMEOUT));
    assert_eq!(actions(&mut keeper, s(7) + LEFTOVER_TIMEOUT - MOMENT), []);
    let killed = s(7) + LEFTOVER_TIMEOUT;
    assert_eq!(actions(&mut keeper, killed), [Action::KillRest]);
    assert_eq!(actions(&mut keeper, killed + KILL_TIMEOUT - MOMENT), []);
    keeper.handle_nobody_left(killed + MOMENT);
    assert_eq!(actions(&mut keeper, killed + MOMENT), [Action::Finish(End::PowerOff)]);
}

#[test]
fn end_of_the_board_is_bounded() {
    let mut keeper = ready(false);
    keeper.handle_end(End::Restart, s(2));
    assert_eq!(actions(&mut keeper, s(2)), [Action::StopServer]);
    let mut now = s(2) + SHUTDOWN_GRACE;
    assert_eq!(actions(&mut keeper, now - MOMENT), []);
    assert_eq!(actions(&mut keeper, now), [Action::StopRest]);
    now += LEFTOVER_TIMEOUT;
    assert_eq!(actions(&mut keeper, now), [Action::KillRest]);
    now += KILL_TIMEOUT;
    assert_eq!(actions(&mut keeper, now - MOMENT), []);
    assert_eq!(keeper.poll_action(now), Some(Action::Finish(End::Restart)));
}

#[test]
fn server_that_says_it_ends_has_its_time_to() {
    let mut keeper = ready(false);
    keeper.handle_message(Message::Stopping, s(3));
    assert_eq!(actions(&mut keeper, s(3) + SHUTDOWN_GRACE - MOMENT), []);
    assert_eq!(actions(&mut keeper, s(3) + SHUTDOWN_GRACE), [Action::KillServer]);
}

#[test]
fn killed_server_that_does_not_vanish_ends_the_board() {
    let mut keeper = ready(false);
    let killed = s(1) + SILENCE_TIMEOUT;
    assert_eq!(actions(&mut keeper, killed), [Action::KillServer]);
    assert_eq!(actions(&mut keeper, killed + VANISH_TIMEOUT - MOMENT), []);
    assert_eq!(actions(&mut keeper, killed + VANISH_TIMEOUT), [Action::StopServer]);
    let over = killed + VANISH_TIMEOUT + SHUTDOWN_GRACE;
    assert_eq!(actions(&mut keeper, over), [Action::StopRest]);
}

#[test]
fn end_without_a_server_waits_for_none() {
    let mut keeper = ready(false);
    keeper.handle_exit(Some(Exit::Code(0)), s(20));
    assert_eq!(actions(&mut keeper, s(20)), [Action::KillRest]);
    keeper.handle_end(End::PowerOff, s(20));
    assert_eq!(actions(&mut keeper, s(20)), [Action::StopRest]);
    assert_eq!(actions(&mut keeper, s(30)), [Action::KillRest]);
}

#[test]
fn every_wait_has_an_end() {
    // Whatever happened before, poll_timeout names a moment at which something comes.
    for has_watchdog in [false, true] {
        for on_trial in [false, true] {
            crate::log::set_level(crate::log::Level::Off);
            let mut keeper = Keeper::new(on_trial, has_watchdog);
            let mut now = s(0);
            let mut steps = 0;
            while keeper.poll_action(now) != Some(Action::Finish(End::Restart)) && steps < 10_000 {
                let due = keeper.poll_timeout().unwrap();
                assert!(due <= now + READY_TIMEOUT.max(RESET_TIMEOUT), "{keeper:?}");
                now = now.max(due);
                steps += 1;
            }
            // Nobody ever answers: the server neither serves nor vanishes.
            assert!(steps < 10_000 && now < s(600), "{now:?} {keeper:?}");
        }
    }
}
