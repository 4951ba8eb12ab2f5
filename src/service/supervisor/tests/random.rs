//! Random events, and the invariants after each.

use proptest::prelude::*;

use super::*;
use crate::service::STOP_TIMEOUT;

const SERVICES: usize = 3;

#[derive(Clone, Debug)]
enum Input {
    Verb(usize, usize),
    Signal(usize, Scope),
    /// The keeper answers a pending spawn; `true`: with a process.
    Answer(usize, bool),
    /// The leader exits; `true`: with success, `true`: without leaving others.
    Exit(usize, bool, bool),
    Gone(usize),
    Suspended(usize),
    Resumed(usize),
    Tick(u16),
    Persisted(bool),
    Shutdown,
}

fn input() -> impl Strategy<Value = Input> {
    let service = 0..SERVICES;
    prop_oneof![
        6 => (service.clone(), 0..Verb::ALL.len()).prop_map(|(service, verb)| Input::Verb(service, verb)),
        1 => (service.clone(), 0..2_usize).prop_map(|(service, of)| Input::Signal(service, Scope::ALL[of])),
        6 => (service.clone(), any::<bool>()).prop_map(|(service, ok)| Input::Answer(service, ok)),
        4 => (service.clone(), any::<bool>(), any::<bool>()).prop_map(|(s, ok, gone)| Input::Exit(s, ok, gone)),
        3 => service.clone().prop_map(Input::Gone),
        1 => service.clone().prop_map(Input::Suspended),
        1 => service.prop_map(Input::Resumed),
        3 => (0..20_000_u16).prop_map(Input::Tick),
        1 => any::<bool>().prop_map(Input::Persisted),
        1 => Just(Input::Shutdown),
    ]
}

/// Processes of one service.
#[derive(Clone, Copy, Debug, Default)]
struct Processes {
    /// The spawn is not answered.
    is_pending: bool,
    /// `KILL` came before the answer.
    is_aborted: bool,
    leader: u32,
    has_others: bool,
    stopped: Option<Duration>,
    killed: Option<Duration>,
}

impl Processes {
    fn exist(&self) -> bool {
        self.leader != 0 || self.has_others
    }

    /// The supervisor may go on without their end.
    fn are_given_up(&self, now: Duration) -> bool {
        self.killed.is_some_and(|killed| now >= killed + KILL_TIMEOUT)
    }
}

/// Keeper of the processes, which reports late or never.
struct System {
    supervisor: Supervisor,
    services: [Processes; SERVICES],
    /// Services with an accepted start that is not settled.
    starts: [bool; SERVICES],
    /// Newest reported state of each service.
    reported: [State; SERVICES],
    born: u32,
    now: Duration,
}

impl System {
    fn apply(&mut self, input: Input) {
        let now = self.now;
        match input {
            Input::Verb(service, verb) => {
                let verb = Verb::ALL[verb];
                let accepted = self.supervisor.handle_command(id(service), verb, now).is_ok();
                self.starts[service] |= accepted && matches!(verb, Verb::Start | Verb::Restart);
            }
            Input::Signal(service, scope) => {
                let _ = self.supervisor.handle_signal(id(service), Signal::Hup, scope, now);
            }
            Input::Answer(service, ok) if self.services[service].is_pending => {
                let processes = &mut self.services[service];
                processes.is_pending = false;
                self.born += 1;
                processes.leader = if ok { self.born } else { 0 };
                let result = if ok { Ok(self.born) } else { Err(MISSING) };
                self.supervisor.handle_spawned(id(service), result, now);
            }
            Input::Exit(service, ok, is_gone) if self.services[service].leader != 0 => {
                self.services[service].leader = 0;
                self.services[service].has_others = !is_gone;
                let exit = if ok { Exit::Code(0) } else { Exit::signal(9) };
                self.supervisor.handle_exit(id(service), exit, is_gone, now);
            }
            Input::Gone(service)
                if self.services[service].leader == 0 && self.services[service].has_others =>
            {
                self.services[service].has_others = false;
                self.supervisor.handle_gone(id(service), now);
            }
            Input::Suspended(service) => self.supervisor.handle_suspended(id(service), now),
            Input::Resumed(service) => self.supervisor.handle_resumed(id(service), now),
            Input::Tick(millis) => {
                self.now += Duration::from_millis(u64::from(millis));
                self.supervisor.handle_timeout(self.now);
            }
            Input::Persisted(written) => self.supervisor.handle_persisted(written),
            Input::Shutdown => self.supervisor.shutdown(now),
            Input::Answer(..) | Input::Exit(..) | Input::Gone(_) => {}
        }
        self.run_actions();
        self.check();
    }

    fn run_actions(&mut self) {
        let now = self.now;
        while let Some(action) = self.supervisor.poll_action() {
            match action {
                Action::Spawn { service } => {
                    let processes = &mut self.services[service.index()];
                    assert!(!processes.is_pending, "a second spawn before the answer");
                    assert!(!processes.exist() || processes.are_given_up(now), "two processes");
                    *processes = Processes { is_pending: true, ..Processes::default() };
                }
                Action::Signal { service, signal: Signal::Term, scope } => {
                    assert_eq!(scope, Scope::Group);
                    let processes = &mut self.services[service.index()];
                    assert_eq!(processes.stopped, None, "one stop signal for each stop");
                    processes.stopped = Some(now);
                }
                Action::Signal { service, signal: Signal::Kill, scope } => {
                    assert_eq!(scope, Scope::Group);
                    let processes = &mut self.services[service.index()];
                    processes.is_aborted |= processes.is_pending;
                    let is_late = processes.stopped.is_some_and(|stopped| now >= stopped + STOP_TIMEOUT);
                    assert!(is_late || processes.is_aborted, "killed before the deadline");
                    processes.killed.get_or_insert(now);
                }
                Action::Signal { .. } => {}
                Action::Persist => self.supervisor.handle_persisted(true),
            }
        }
    }

    fn check(&mut self) {
        while let Some((service, _)) = self.supervisor.poll_settled() {
            assert!(self.starts[service.index()], "settled without a start");
            self.starts[service.index()] = false;
        }
        while let Some(change) = self.supervisor.poll_change() {
            self.reported[change.service.index()] = change.state;
        }
        for (index, processes) in self.services.iter().enumerate() {
            let status = self.supervisor.status(id(index), self.now);
            assert_eq!(self.supervisor.is_settled(id(index)), !self.starts[index]);
            // That a start was requested is not reported.
            assert!(self.reported[index] == status.state || status.state == Starting);
            let waits = processes.exist() || processes.is_pending;
            match status.state {
                Started | Paused => assert_eq!(status.pid, processes.leader),
                Stopping => assert!(waits, "{processes:?}"),
                Stopped | Failed => assert!(!waits || processes.are_given_up(self.now), "{processes:?}"),
                Starting => {
                    let is_over = !processes.exist() || processes.are_given_up(self.now);
                    assert!(processes.is_pending || is_over, "{processes:?}");
                }
            }
            assert!(self.supervisor.history(id(index)).count() <= crate::service::SERVICE_HISTORY);
        }
    }

    /// Lets the time pass to the next deadline; false without one.
    fn pass(&mut self) -> bool {
        let Some(due) = self.supervisor.poll_timeout() else { return false };
        self.now = self.now.max(due);
        self.supervisor.handle_timeout(self.now);
        self.run_actions();
        self.check();
        true
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(600))]

    #[test]
    fn every_sequence_keeps_the_invariants(
        inputs in proptest::collection::vec(input(), 0..160),
        seed in any::<u64>(),
        run_all in any::<bool>(),
    ) {
        crate::log::set_level(crate::log::Level::Off);
        let mut supervisor = supervisor(&[
            ("a", RestartPolicy::Never, &[]),
            ("b", RestartPolicy::OnFailure, &["a"]),
            ("c", RestartPolicy::Always, &["a", "b"]),
        ]);
        supervisor.set_seed(seed);
        let mut system = System {
            supervisor,
            services: [Processes::default(); SERVICES],
            starts: [false; SERVICES],
            reported: [Stopped; SERVICES],
            born: 0,
            now: Duration::ZERO,
        };
        for input in inputs {
            system.apply(input);
        }
        // Every start settles, and a shutdown ends in time, without a word of the keeper.
        let start = system.now;
        while system.starts != [false; SERVICES] {
            prop_assert!(system.pass());
        }
        prop_assert!(system.now <= start + STOP_TIMEOUT + SPAWN_TIMEOUT + 3 * KILL_TIMEOUT);
        if run_all {
            for service in 0..SERVICES {
                system.apply(Input::Verb(service, 0));
                system.apply(Input::Answer(service, true));
            }
        }
        system.supervisor.shutdown(system.now);
        system.run_actions();
        let start = system.now;
        while !system.supervisor.is_down() {
            prop_assert!(system.pass());
        }
        prop_assert!(system.now <= start + system.supervisor.shutdown_time());
    }
}
