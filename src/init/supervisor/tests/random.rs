//! Random events, with invariants checked after each.

use proptest::prelude::*;

use super::*;

#[derive(Clone, Copy, Debug)]
enum Input {
    Notification(Notification<'static>),
    /// Exit of the server, if it runs.
    Exit(Option<Exit>),
    Power(PowerAction),
    NoChildren,
    /// Advance by milliseconds.
    Advance(u32),
    /// Advance to the next deadline.
    AdvanceToDeadline,
}

fn input() -> impl Strategy<Value = Input> {
    let power = prop_oneof![Just(PowerAction::Restart), Just(PowerAction::PowerOff)];
    let notification = prop_oneof![
        4 => Just(Notification::Ready),
        8 => Just(Notification::Heartbeat),
        1 => Just(Notification::Stopping),
        1 => Just(Notification::Good),
        1 => Just(Notification::Bad("why")),
        1 => power.clone().prop_map(Notification::Power),
    ];
    let exit = prop_oneof![Just(None), Just(Some(Exit::Code(0))), Just(Some(Exit::signal(11)))];
    prop_oneof![
        8 => notification.prop_map(Input::Notification),
        4 => exit.prop_map(Input::Exit),
        1 => power.prop_map(Input::Power),
        2 => Just(Input::NoChildren),
        6 => (0..30_000_u32).prop_map(Input::Advance),
        8 => Just(Input::AdvanceToDeadline),
    ]
}

proptest! {
    #[test]
    fn loop_neither_spins_nor_sleeps_forever(
        test in prop::sample::select(TESTS.to_vec()),
        has_watchdog: bool,
        inputs in prop::collection::vec(input(), 1..200),
    ) {
        crate::log::set_level(crate::log::Level::Off);
        let mut supervisor = InitSupervisor::new(test, has_watchdog);
        let (mut now, mut is_up, mut confirmations, mut is_shutdown) = (Duration::ZERO, false, 0, false);
        for input in inputs {
            match input {
                Input::Notification(notification) if is_up => supervisor.handle_notification(notification, now),
                Input::Exit(exit) if is_up => {
                    is_up = false;
                    supervisor.handle_exit(exit, now);
                }
                Input::Notification(_) | Input::Exit(_) => {}
                Input::Power(action) => supervisor.handle_power_request(action, now),
                Input::NoChildren if !is_up => supervisor.handle_no_children(now),
                Input::NoChildren => {}
                Input::Advance(time) => now += Duration::from_millis(time.into()),
                Input::AdvanceToDeadline => now = now.max(supervisor.poll_timeout().unwrap()),
            }
            for step in 0.. {
                prop_assert!(step < 10, "busy loop: {supervisor:?}");
                let Some(action) = supervisor.poll_action(now) else { break };
                match action {
                    InitAction::StartServer => {
                        prop_assert!(!is_up, "one server at a time");
                        is_up = true;
                    }
                    InitAction::KillServer => prop_assert!(is_up),
                    InitAction::ConfirmSlot { is_good } => {
                        prop_assert!(!is_shutdown, "{supervisor:?}");
                        confirmations += u32::from(!is_good);
                    }
                    InitAction::GiveUp => {
                        prop_assert!(!is_shutdown && test != SlotTest::Stays && test != SlotTest::Over);
                        supervisor.handle_given_up(true, now);
                    }
                    InitAction::FeedWatchdog => prop_assert!(has_watchdog),
                    InitAction::TerminateOthers | InitAction::TerminateServer => is_shutdown = true,
                    // The last action.
                    InitAction::Finish(_) => return Ok(()),
                    InitAction::KillOthers => {}
                }
            }
            let due = supervisor.poll_timeout().unwrap();
            prop_assert!(due > now, "due at {due:?}, at {now:?}: {supervisor:?}");
            prop_assert!(due - now <= WATCHDOG_TIMEOUT, "{supervisor:?}");
        }
        prop_assert!(confirmations <= u32::from(matches!(test, SlotTest::Serves | SlotTest::Stays)));
    }
}
