//! Random events, and the invariants after each.

use proptest::prelude::*;

use super::*;

#[derive(Clone, Debug)]
enum Input {
    Verb(usize, usize),
    Exit(usize, bool),
    Tick(u16),
    /// Carry out this number of actions; every third spawn fails.
    RunActions(u8),
    Persisted(bool),
    Shutdown,
}

fn input() -> impl Strategy<Value = Input> {
    prop_oneof![
        6 => (0..3_usize, 0..Verb::ALL.len()).prop_map(|(service, verb)| Input::Verb(service, verb)),
        4 => (0..3_usize, any::<bool>()).prop_map(|(service, ok)| Input::Exit(service, ok)),
        3 => (0..20_000_u16).prop_map(Input::Tick),
        6 => (0..6_u8).prop_map(Input::RunActions),
        1 => any::<bool>().prop_map(Input::Persisted),
        1 => Just(Input::Shutdown),
    ]
}

/// Simulated system: the live process of each service.
#[derive(Default)]
struct System {
    alive: [u32; 3],
    born: u32,
}

impl System {
    fn run_actions(&mut self, supervisor: &mut Supervisor, most: usize, now: Duration) {
        for _ in 0..most {
            match supervisor.poll_action() {
                Some(Action::Spawn { service }) => {
                    assert_eq!(self.alive[service.index()], 0, "one process at a time");
                    self.born += 1;
                    let result = if self.born.is_multiple_of(3) { Err(11) } else { Ok(self.born) };
                    self.alive[service.index()] = result.unwrap_or(0);
                    supervisor.handle_spawned(service, result, now);
                }
                Some(Action::Signal { pid, service, signal }) => {
                    assert_ne!(pid, 0);
                    // The process may have exited since, but it never belongs to another service.
                    let alive = self.alive[service.index()];
                    assert!(alive == 0 || pid <= alive);
                    if signal == Signal::Kill && pid == alive {
                        self.end(supervisor, service.index(), Exit::Signal(9), now);
                    }
                }
                Some(Action::Persist) => supervisor.handle_persisted(true),
                None => return,
            }
        }
    }

    fn end(&mut self, supervisor: &mut Supervisor, index: usize, exit: Exit, now: Duration) {
        let pid = core::mem::take(&mut self.alive[index]);
        assert_eq!(supervisor.handle_exit(pid, exit, now), pid != 0);
    }

    fn check(&self, supervisor: &Supervisor, now: Duration) {
        for (index, alive) in self.alive.iter().enumerate() {
            let status = supervisor.status(id(index), now);
            assert_eq!(status.pid, *alive);
            let runs = matches!(status.state, Started | Stopping | Paused);
            assert_eq!(runs, *alive != 0, "{status:?}");
        }
        if supervisor.is_down() && supervisor.shutdown != Shutdown::GaveUp {
            assert_eq!(self.alive, [0; 3]);
        }
    }
}

proptest! {
    #[test]
    fn every_sequence_keeps_the_invariants(inputs in proptest::collection::vec(input(), 0..120)) {
        let mut supervisor = supervisor(&[
            ("a", RestartPolicy::Never, &[]),
            ("b", RestartPolicy::OnFailure, &["a"]),
            ("c", RestartPolicy::Always, &["a", "b"]),
        ]);
        let mut system = System::default();
        let mut now = Duration::ZERO;
        for input in inputs {
            match input {
                Input::Verb(service, verb) => {
                    let _ = supervisor.handle_command(id(service), Verb::ALL[verb], now);
                }
                Input::Exit(index, ok) => {
                    system.end(&mut supervisor, index, Exit::Code(i32::from(!ok)), now);
                }
                Input::Tick(millis) => {
                    now += Duration::from_millis(u64::from(millis));
                    supervisor.handle_timeout(now);
                }
                Input::RunActions(most) => system.run_actions(&mut supervisor, usize::from(most), now),
                Input::Persisted(written) => supervisor.handle_persisted(written),
                Input::Shutdown => supervisor.shutdown(now),
            }
            system.check(&supervisor, now);
        }
        // A shutdown ends in bounded time from every state.
        supervisor.shutdown(now);
        for _ in 0..64 {
            system.run_actions(&mut supervisor, usize::MAX, now);
            system.check(&supervisor, now);
            match supervisor.poll_timeout() {
                Some(due) if !supervisor.is_down() => {
                    now = now.max(due);
                    supervisor.handle_timeout(now);
                }
                _ => break,
            }
        }
        prop_assert!(supervisor.is_down());
        prop_assert_eq!(system.alive, [0; 3]);
    }
}
