//! Random events, and what must hold after each.

use proptest::prelude::*;

use super::*;

#[derive(Clone, Copy, Debug)]
enum Input {
    Message(Message),
    /// The server's process ends, if it is there.
    Exit(Option<Exit>),
    End(End),
    NobodyLeft,
    /// Milliseconds pass.
    Pass(u32),
    /// Time passes until something is due.
    PassToDue,
}

fn input() -> impl Strategy<Value = Input> {
    let end = prop_oneof![Just(End::Restart), Just(End::PowerOff)];
    let message = prop_oneof![
        4 => Just(Message::Ready),
        8 => Just(Message::Alive),
        1 => Just(Message::Stopping),
        1 => end.clone().prop_map(Message::End),
    ];
    let exit = prop_oneof![Just(None), Just(Some(Exit::Code(0))), Just(Some(Exit::Signal(11)))];
    prop_oneof![
        8 => message.prop_map(Input::Message),
        4 => exit.prop_map(Input::Exit),
        1 => end.prop_map(Input::End),
        2 => Just(Input::NobodyLeft),
        6 => (0..30_000_u32).prop_map(Input::Pass),
        8 => Just(Input::PassToDue),
    ]
}

proptest! {
    #[test]
    fn loop_neither_spins_nor_sleeps_for_ever(
        on_trial: bool,
        has_watchdog: bool,
        inputs in prop::collection::vec(input(), 1..200),
    ) {
        crate::log::set_level(crate::log::Level::Off);
        let mut keeper = Keeper::new(on_trial, has_watchdog);
        let (mut now, mut is_up, mut marks, mut is_ending) = (Duration::ZERO, false, 0, false);
        for input in inputs {
            match input {
                Input::Message(message) if is_up => keeper.handle_message(message, now),
                Input::Exit(exit) if is_up => {
                    is_up = false;
                    keeper.handle_exit(exit, now);
                }
                Input::Message(_) | Input::Exit(_) => {}
                Input::End(wish) => keeper.handle_end(wish, now),
                Input::NobodyLeft if !is_up => keeper.handle_nobody_left(now),
                Input::NobodyLeft => {}
                Input::Pass(time) => now += Duration::from_millis(time.into()),
                Input::PassToDue => now = now.max(keeper.poll_timeout().unwrap()),
            }
            for turn in 0.. {
                prop_assert!(turn < 10, "it spins: {keeper:?}");
                let Some(action) = keeper.poll_action(now) else { break };
                match action {
                    Action::StartServer => {
                        prop_assert!(!is_up, "one server at a time");
                        is_up = true;
                    }
                    Action::KillServer => prop_assert!(is_up),
                    Action::MarkGood => {
                        prop_assert!(!is_ending, "{keeper:?}");
                        marks += 1;
                    }
                    Action::Feed => prop_assert!(has_watchdog),
                    Action::StopRest | Action::StopServer => is_ending = true,
                    // Nothing comes after it.
                    Action::Finish(_) => return Ok(()),
                    Action::KillRest => {}
                }
            }
            let due = keeper.poll_timeout().unwrap();
            prop_assert!(due > now, "due at {due:?}, at {now:?}: {keeper:?}");
            prop_assert!(due - now <= RESET_TIMEOUT, "{keeper:?}");
        }
        prop_assert!(marks <= u32::from(on_trial));
    }
}
