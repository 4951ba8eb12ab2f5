mod boots;
mod random;

use super::*;

const MOMENT: Duration = Duration::from_millis(1);
const TESTS: [SlotTest; 5] =
    [SlotTest::Over, SlotTest::Good, SlotTest::Serves, SlotTest::Stays, SlotTest::GoesBack];

fn s(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// All actions that are due, without those of the watchdog. A failure of the slot is recorded.
fn actions(supervisor: &mut InitSupervisor, now: Duration) -> Vec<InitAction> {
    let poll = || {
        let action = supervisor.poll_action(now);
        if action == Some(InitAction::GiveUp) {
            supervisor.handle_given_up(true, now);
        }
        action
    };
    let all = std::iter::from_fn(poll).take(100);
    all.filter(|action| *action != InitAction::FeedWatchdog).collect()
}

/// Seconds in `from..to` at which the watchdog is fed.
fn fed(supervisor: &mut InitSupervisor, from: u64, to: u64) -> Vec<u64> {
    (from..to).filter(|now| supervisor.poll_action(s(*now)) == Some(InitAction::FeedWatchdog)).collect()
}

/// Supervisor with a server started at zero.
fn started(test: SlotTest, has_watchdog: bool) -> InitSupervisor {
    crate::log::set_level(crate::log::Level::Off);
    let mut supervisor = InitSupervisor::new(test, has_watchdog);
    assert_eq!(actions(&mut supervisor, s(0)), [InitAction::StartServer]);
    supervisor
}

/// Supervisor with a server ready since second one.
fn ready(has_watchdog: bool) -> InitSupervisor {
    let mut supervisor = started(SlotTest::Over, has_watchdog);
    supervisor.handle_notification(Notification::Ready, s(1));
    assert_eq!(actions(&mut supervisor, s(1)), []);
    supervisor
}

#[test]
fn slot_without_a_better_one_is_confirmed_once_the_server_is_ready() {
    for test in [SlotTest::Serves, SlotTest::Stays] {
        let mut supervisor = started(test, false);
        assert_eq!(actions(&mut supervisor, s(5)), []);
        supervisor.handle_notification(Notification::Heartbeat, s(5));
        assert_eq!(actions(&mut supervisor, s(5)), []);
        supervisor.handle_notification(Notification::Ready, s(6));
        assert_eq!(supervisor.poll_timeout(), Some(s(0)));
        assert_eq!(actions(&mut supervisor, s(6)), [InitAction::ConfirmSlot { is_good: false }]);
        supervisor.handle_notification(Notification::Ready, s(7));
        supervisor.handle_notification(Notification::Bad("late"), s(7));
        assert_eq!(actions(&mut supervisor, s(7)), []);
        // It may become good later.
        supervisor.handle_notification(Notification::Good, s(9));
        assert_eq!(actions(&mut supervisor, s(9)), [InitAction::ConfirmSlot { is_good: true }]);
    }
    assert_eq!(actions(&mut ready(false), s(1)), []);
}

#[test]
fn tested_slot_is_confirmed_once_it_is_marked_good() {
    let mut supervisor = started(SlotTest::Good, false);
    supervisor.handle_notification(Notification::Ready, s(6));
    assert_eq!(actions(&mut supervisor, s(6)), []);
    supervisor.handle_notification(Notification::Good, s(9));
    assert_eq!(actions(&mut supervisor, s(9)), [InitAction::ConfirmSlot { is_good: true }]);
    supervisor.handle_notification(Notification::Bad("late"), s(9));
    assert_eq!(actions(&mut supervisor, s(9)), []);
}

#[test]
fn tested_slot_that_serves_has_to_be_marked_good() {
    let mut supervisor = started(SlotTest::Good, true);
    supervisor.handle_notification(Notification::Ready, s(6));
    let end = s(6) + GOOD_TIMEOUT;
    // Another server has no time of its own.
    supervisor.handle_exit(Some(Exit::signal(11)), s(100));
    assert_eq!(actions(&mut supervisor, s(100)), [InitAction::KillOthers]);
    assert_eq!(actions(&mut supervisor, s(101)), [InitAction::StartServer]);
    supervisor.handle_notification(Notification::Ready, s(102));
    supervisor.handle_notification(Notification::Heartbeat, end - MOMENT);
    assert_eq!(actions(&mut supervisor, end - MOMENT), []);
    assert_eq!(actions(&mut supervisor, end), [InitAction::GiveUp, InitAction::TerminateServer]);
    assert_eq!(supervisor.reason(), "it was not marked good in 5400 s");
    // Too late.
    supervisor.handle_notification(Notification::Good, end);
    assert_eq!(actions(&mut supervisor, end), []);
}

#[test]
fn tested_slot_that_is_not_good_is_given_up_with_its_reason() {
    for test in [SlotTest::Over, SlotTest::Serves, SlotTest::Stays, SlotTest::GoesBack] {
        let mut supervisor = started(test, false);
        supervisor.handle_notification(Notification::Bad("service web is not up"), s(2));
        assert_eq!(actions(&mut supervisor, s(2)), [], "{test:?}");
    }
    let mut supervisor = started(SlotTest::Good, false);
    supervisor.handle_notification(Notification::Ready, s(1));
    supervisor.handle_notification(Notification::Bad("service web is not up"), s(2));
    assert_eq!(actions(&mut supervisor, s(2)), [InitAction::GiveUp, InitAction::TerminateServer]);
    assert_eq!(supervisor.reason(), "service web is not up");
    let mut supervisor = started(SlotTest::Good, false);
    let long = "x".repeat(NOTICE_BYTES + 1);
    supervisor.handle_notification(Notification::Bad(&long), s(2));
    assert_eq!(supervisor.reason(), &long[1..]);
}

#[test]
fn server_is_started_again_after_a_growing_pause() {
    let mut supervisor = ready(false);
    let mut now = s(2);
    let mut pauses = Vec::new();
    for _ in 0..4 {
        supervisor.handle_exit(Some(Exit::signal(11)), now);
        // Immediately, and before the next start.
        assert_eq!(actions(&mut supervisor, now), [InitAction::KillOthers]);
        let start = supervisor.poll_timeout().unwrap();
        assert_eq!(actions(&mut supervisor, start - MOMENT), []);
        assert_eq!(actions(&mut supervisor, start), [InitAction::StartServer]);
        pauses.push((start - now).as_millis());
        now = start + s(1);
    }
    assert_eq!(pauses, [500, 1000, 2000, 4000]);
    // A failed start counts as an exit.
    supervisor.handle_exit(None, now);
    assert_eq!(supervisor.poll_timeout(), Some(s(0)));
    assert_eq!(actions(&mut supervisor, now), [InitAction::KillOthers]);
    assert_eq!(supervisor.poll_timeout(), Some(now + s(8)));
}

#[test]
fn silent_server_is_killed_without_a_watchdog() {
    let mut supervisor = ready(false);
    supervisor.handle_notification(Notification::Heartbeat, s(4));
    assert_eq!(supervisor.poll_timeout(), Some(s(4) + HEARTBEAT_TIMEOUT));
    assert_eq!(actions(&mut supervisor, s(4) + HEARTBEAT_TIMEOUT - MOMENT), []);
    let now = s(4) + HEARTBEAT_TIMEOUT;
    assert_eq!(actions(&mut supervisor, now), [InitAction::KillServer]);
    // A heartbeat from before the kill has no effect.
    supervisor.handle_notification(Notification::Heartbeat, now);
    assert_eq!(actions(&mut supervisor, now + s(1)), []);
    supervisor.handle_exit(Some(Exit::signal(9)), now + s(1));
    assert_eq!(actions(&mut supervisor, now + s(1)), [InitAction::KillOthers]);
    assert_eq!(actions(&mut supervisor, now + s(2)), [InitAction::StartServer]);
}

#[test]
fn watchdog_is_fed_while_the_server_has_a_heartbeat() {
    let mut supervisor = ready(true);
    assert_eq!(supervisor.poll_timeout(), Some(s(1) + FEED_INTERVAL));
    supervisor.handle_notification(Notification::Heartbeat, s(4));
    let last = 4 + HEARTBEAT_TIMEOUT.as_secs();
    assert_eq!(fed(&mut supervisor, 2, last + 30), (2..last).collect::<Vec<_>>());
    // A heartbeat before the reset resumes the feeding.
    supervisor.handle_notification(Notification::Heartbeat, s(50));
    assert_eq!(fed(&mut supervisor, 50, 53), [50, 51, 52]);
}

#[test]
fn watchdog_is_fed_once_an_interval() {
    let mut supervisor = ready(true);
    assert_eq!(supervisor.poll_action(s(2)), Some(InitAction::FeedWatchdog));
    assert_eq!(supervisor.poll_action(s(2) + FEED_INTERVAL - MOMENT), None);
    assert_eq!(supervisor.poll_action(s(2) + FEED_INTERVAL), Some(InitAction::FeedWatchdog));
}

#[test]
fn server_is_killed_when_the_watchdog_does_not_reset() {
    let mut supervisor = ready(true);
    let due = s(1) + WATCHDOG_TIMEOUT;
    assert!(fed(&mut supervisor, 60, 62).is_empty());
    assert_eq!(supervisor.poll_timeout(), Some(due));
    assert_eq!(actions(&mut supervisor, due - MOMENT), []);
    assert_eq!(actions(&mut supervisor, due), [InitAction::KillServer]);
    assert_eq!(supervisor.poll_action(due + s(1)), Some(InitAction::FeedWatchdog));
}

#[test]
fn watchdog_is_fed_while_the_server_starts_or_stops() {
    let mut supervisor = started(SlotTest::Over, true);
    assert_eq!(fed(&mut supervisor, 1, 100).len(), 99);
    supervisor.handle_notification(Notification::Ready, s(100));
    supervisor.handle_notification(Notification::Stopping, s(101));
    assert_eq!(fed(&mut supervisor, 101, 160).len(), 59);
    let mut supervisor = ready(true);
    supervisor.handle_power_request(PowerAction::Restart, s(2));
    assert_eq!(supervisor.poll_action(s(2)), Some(InitAction::TerminateServer));
    assert_eq!(fed(&mut supervisor, 2, 60).len(), 58);
}

#[test]
fn server_is_killed_when_it_is_not_ready_in_time() {
    let mut supervisor = started(SlotTest::Over, false);
    assert_eq!(supervisor.poll_timeout(), Some(READY_TIMEOUT));
    assert_eq!(actions(&mut supervisor, READY_TIMEOUT - MOMENT), []);
    assert_eq!(actions(&mut supervisor, READY_TIMEOUT), [InitAction::KillServer]);
    // Outside a test the board does not restart.
    supervisor.handle_exit(Some(Exit::signal(9)), READY_TIMEOUT);
    assert_eq!(actions(&mut supervisor, READY_TIMEOUT), [InitAction::KillOthers]);
    assert_eq!(actions(&mut supervisor, READY_TIMEOUT + s(1)), [InitAction::StartServer]);
    assert_eq!(supervisor.poll_timeout(), Some(2 * READY_TIMEOUT + s(1)));
}

#[test]
fn tested_slot_has_one_ready_timeout_for_all_starts() {
    let mut supervisor = started(SlotTest::Good, false);
    supervisor.handle_exit(Some(Exit::Code(1)), s(30));
    assert_eq!(actions(&mut supervisor, s(30)), [InitAction::KillOthers]);
    assert_eq!(actions(&mut supervisor, s(31)), [InitAction::StartServer]);
    assert_eq!(supervisor.poll_timeout(), Some(READY_TIMEOUT));
    assert_eq!(actions(&mut supervisor, READY_TIMEOUT - MOMENT), []);
    assert_eq!(actions(&mut supervisor, READY_TIMEOUT), [InitAction::GiveUp, InitAction::TerminateServer]);
    assert_eq!(supervisor.reason(), "its server was not ready after 120 s");
    supervisor.handle_notification(Notification::Ready, READY_TIMEOUT);
    assert_eq!(actions(&mut supervisor, READY_TIMEOUT), []);
    supervisor.handle_exit(Some(Exit::Code(0)), s(121));
    assert_eq!(actions(&mut supervisor, s(121)), [InitAction::TerminateOthers]);
    supervisor.handle_no_children(s(121));
    assert_eq!(actions(&mut supervisor, s(121)), [InitAction::Finish(PowerAction::Restart)]);
}

#[test]
fn short_runs_give_up_a_slot_that_has_another_one() {
    let short_runs = |test, count: u8| {
        let mut supervisor = started(test, false);
        let mut now = s(1);
        let mut last = Vec::new();
        for _ in 0..count {
            supervisor.handle_exit(Some(Exit::Code(78)), now);
            last = actions(&mut supervisor, now);
            now = supervisor.poll_timeout().unwrap();
            actions(&mut supervisor, now);
        }
        last
    };
    for test in [SlotTest::Good, SlotTest::Serves, SlotTest::GoesBack] {
        assert_eq!(short_runs(test, SHORT_RUNS - 1), [InitAction::KillOthers]);
        let end = [InitAction::GiveUp, InitAction::TerminateOthers];
        assert_eq!(short_runs(test, SHORT_RUNS), end, "{test:?}");
    }
    for test in [SlotTest::Over, SlotTest::Stays] {
        assert_eq!(short_runs(test, 3 * SHORT_RUNS), [InitAction::KillOthers], "{test:?}");
    }
}

#[test]
fn confirmed_slot_that_has_served_does_not_go_back() {
    let mut supervisor = started(SlotTest::GoesBack, false);
    supervisor.handle_notification(Notification::Ready, s(1));
    let mut now = s(2);
    for _ in 0..3 * SHORT_RUNS {
        supervisor.handle_exit(Some(Exit::signal(11)), now);
        assert_eq!(actions(&mut supervisor, now), [InitAction::KillOthers]);
        now = supervisor.poll_timeout().unwrap();
        assert_eq!(actions(&mut supervisor, now), [InitAction::StartServer]);
    }
}

#[test]
fn confirmed_slot_that_cannot_be_given_up_runs_on() {
    for (test, is_over) in [(SlotTest::GoesBack, false), (SlotTest::Good, true)] {
        let mut supervisor = started(test, false);
        let mut now = s(1);
        for _ in 1..SHORT_RUNS {
            supervisor.handle_exit(None, now);
            actions(&mut supervisor, now);
            now = supervisor.poll_timeout().unwrap();
            actions(&mut supervisor, now);
        }
        supervisor.handle_exit(None, now);
        assert_eq!(supervisor.poll_action(now), Some(InitAction::GiveUp));
        supervisor.handle_given_up(false, now);
        assert_eq!(actions(&mut supervisor, now + s(60)).contains(&InitAction::StartServer), !is_over);
    }
}

#[test]
fn long_run_is_not_a_short_one() {
    let mut supervisor = started(SlotTest::Good, false);
    let mut now = s(0);
    for _ in 0..SHORT_RUNS {
        now += GOOD_RUN;
        supervisor.handle_exit(Some(Exit::Code(1)), now);
        assert_eq!(actions(&mut supervisor, now), [InitAction::KillOthers]);
        now = supervisor.poll_timeout().unwrap();
        assert_eq!(actions(&mut supervisor, now), [InitAction::StartServer]);
    }
}

#[test]
fn shutdown_runs_in_order() {
    let mut supervisor = ready(false);
    supervisor.handle_notification(Notification::Power(PowerAction::PowerOff), s(5));
    // A later request has no effect.
    supervisor.handle_power_request(PowerAction::Restart, s(5));
    assert_eq!(actions(&mut supervisor, s(5)), [InitAction::TerminateServer]);
    supervisor.handle_no_children(s(5));
    supervisor.handle_notification(Notification::Stopping, s(5));
    assert_eq!(actions(&mut supervisor, s(6)), []);
    supervisor.handle_exit(Some(Exit::Code(0)), s(7));
    assert_eq!(actions(&mut supervisor, s(7)), [InitAction::TerminateOthers]);
    assert_eq!(supervisor.poll_timeout(), Some(s(7) + TERMINATE_TIMEOUT));
    assert_eq!(actions(&mut supervisor, s(7) + TERMINATE_TIMEOUT - MOMENT), []);
    let killed = s(7) + TERMINATE_TIMEOUT;
    assert_eq!(actions(&mut supervisor, killed), [InitAction::KillOthers]);
    assert_eq!(actions(&mut supervisor, killed + KILL_TIMEOUT - MOMENT), []);
    supervisor.handle_no_children(killed + MOMENT);
    assert_eq!(actions(&mut supervisor, killed + MOMENT), [InitAction::Finish(PowerAction::PowerOff)]);
}

#[test]
fn shutdown_of_the_board_is_bounded() {
    let mut supervisor = ready(false);
    supervisor.handle_power_request(PowerAction::Restart, s(2));
    assert_eq!(actions(&mut supervisor, s(2)), [InitAction::TerminateServer]);
    let mut now = s(2) + SHUTDOWN_GRACE;
    assert_eq!(actions(&mut supervisor, now - MOMENT), []);
    assert_eq!(actions(&mut supervisor, now), [InitAction::TerminateOthers]);
    now += TERMINATE_TIMEOUT;
    assert_eq!(actions(&mut supervisor, now), [InitAction::KillOthers]);
    now += KILL_TIMEOUT;
    assert_eq!(actions(&mut supervisor, now - MOMENT), []);
    assert_eq!(supervisor.poll_action(now), Some(InitAction::Finish(PowerAction::Restart)));
}

#[test]
fn stopping_server_is_killed_after_its_grace() {
    let mut supervisor = ready(false);
    supervisor.handle_notification(Notification::Stopping, s(3));
    assert_eq!(actions(&mut supervisor, s(3) + SHUTDOWN_GRACE - MOMENT), []);
    assert_eq!(actions(&mut supervisor, s(3) + SHUTDOWN_GRACE), [InitAction::KillServer]);
}

#[test]
fn stop_time_of_the_server_counts_up_to_its_limit() {
    for (asked, counts) in [(s(120), s(120)), (s(1), SHUTDOWN_GRACE), (2 * STOP_TIME_MAX, STOP_TIME_MAX)] {
        let mut supervisor = ready(false);
        supervisor.handle_notification(Notification::Stopping, s(3));
        supervisor.handle_notification(Notification::ExtendTimeout(asked), s(3));
        assert_eq!(actions(&mut supervisor, s(3) + counts - MOMENT), []);
        assert_eq!(actions(&mut supervisor, s(3) + counts), [InitAction::KillServer]);
        // The same when the board ends.
        let mut supervisor = ready(false);
        supervisor.handle_power_request(PowerAction::Restart, s(3));
        assert_eq!(actions(&mut supervisor, s(3)), [InitAction::TerminateServer]);
        supervisor.handle_notification(Notification::Stopping, s(4));
        supervisor.handle_notification(Notification::ExtendTimeout(asked), s(4));
        assert_eq!(actions(&mut supervisor, s(4) + counts - MOMENT), []);
        assert_eq!(actions(&mut supervisor, s(4) + counts), [InitAction::TerminateOthers]);
    }
}

#[test]
fn killed_server_that_is_not_reaped_restarts_the_board() {
    let mut supervisor = ready(false);
    let killed = s(1) + HEARTBEAT_TIMEOUT;
    assert_eq!(actions(&mut supervisor, killed), [InitAction::KillServer]);
    assert_eq!(actions(&mut supervisor, killed + REAP_TIMEOUT - MOMENT), []);
    assert_eq!(actions(&mut supervisor, killed + REAP_TIMEOUT), [InitAction::TerminateServer]);
    let over = killed + REAP_TIMEOUT + SHUTDOWN_GRACE;
    assert_eq!(actions(&mut supervisor, over), [InitAction::TerminateOthers]);
}

#[test]
fn shutdown_without_a_server_does_not_wait_for_one() {
    let mut supervisor = ready(false);
    supervisor.handle_exit(Some(Exit::Code(0)), s(20));
    assert_eq!(actions(&mut supervisor, s(20)), [InitAction::KillOthers]);
    supervisor.handle_power_request(PowerAction::PowerOff, s(20));
    assert_eq!(actions(&mut supervisor, s(20)), [InitAction::TerminateOthers]);
    assert_eq!(actions(&mut supervisor, s(30)), [InitAction::KillOthers]);
}

#[test]
fn every_wait_has_a_deadline() {
    // In every state poll_timeout returns a deadline.
    for has_watchdog in [false, true] {
        for test in TESTS {
            crate::log::set_level(crate::log::Level::Off);
            let mut supervisor = InitSupervisor::new(test, has_watchdog);
            let mut now = s(0);
            let mut steps = 0;
            while steps < 10_000 {
                match supervisor.poll_action(now) {
                    Some(InitAction::Finish(_)) => break,
                    Some(InitAction::GiveUp) => supervisor.handle_given_up(true, now),
                    _ => {}
                }
                let due = supervisor.poll_timeout().unwrap();
                assert!(due <= now + READY_TIMEOUT.max(WATCHDOG_TIMEOUT), "{supervisor:?}");
                now = now.max(due);
                steps += 1;
            }
            // The server is neither ready nor reaped.
            assert!(steps < 10_000 && now < s(600), "{now:?} {supervisor:?}");
        }
    }
}
