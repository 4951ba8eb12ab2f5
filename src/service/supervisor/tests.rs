mod commands;
mod conditions;
mod ends;
mod events;
mod group;
mod health;
mod inherit;
mod life;
mod order;
mod random;
mod readiness;
mod reload;
mod restarts;
mod room;
mod scheduled;
mod settling;
mod shutdown;
mod spawning;
mod states;
mod succession;

use std::vec::Vec as List;

use super::super::{RestartPolicy, SpawnError, SpawnStage, State, State::*, Verb};
use super::*;
use crate::service::{BoardEnd, Exit, SPAWN_TIMEOUT, ServiceKind};

/// Failure of a start: the program does not exist.
const MISSING: SpawnError = SpawnError::new(SpawnStage::Program, 2);

fn at(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

fn millis(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

fn id(index: usize) -> ServiceId {
    ServiceId::from_index(index).unwrap()
}

fn supervisor(services: &[(&str, RestartPolicy, &[&str])]) -> Supervisor {
    let mut table = ServiceTable::new();
    for (name, restart, after) in services {
        let mut spec = Spec::new(name, &["program"]).unwrap();
        spec.restart = *restart;
        for name in *after {
            spec.after.push((*name).try_into().unwrap()).unwrap();
        }
        table.push(spec).unwrap();
    }
    Supervisor::new(table)
}

/// Supervisor of one service with this specification, which runs as process 1 since second 0.
fn one_of(change: impl Fn(&mut Spec)) -> Supervisor {
    let mut spec = Spec::new("a", &["program"]).unwrap();
    change(&mut spec);
    let mut table = ServiceTable::new();
    table.push(spec).unwrap();
    let mut supervisor = Supervisor::new(table);
    command(&mut supervisor, Verb::Start, at(0));
    run(&mut supervisor, 1, at(0));
    drain(&mut supervisor);
    supervisor
}

/// Supervisor of one service in `state` since second 0; process 1 if it has one.
fn one_in(state: State, restart: RestartPolicy) -> Supervisor {
    let mut supervisor = supervisor(&[("a", restart, &[])]);
    let now = at(0);
    if state != Stopped {
        command(&mut supervisor, Verb::Start, now);
        assert_eq!(supervisor.poll_action(), Some(spawn(0)));
        supervisor.handle_spawned(id(0), Ok(1), now);
    }
    match state {
        Starting => {
            assert_ne!(restart, RestartPolicy::Never, "only a restarted service waits");
            supervisor.handle_exit(id(0), Exit::Code(1), true, now);
        }
        Stopping => command(&mut supervisor, Verb::Stop, now),
        Paused => command(&mut supervisor, Verb::Pause, now),
        Failed => {
            supervisor.table = one_of(|spec| spec.restart = RestartPolicy::Never).table;
            supervisor.handle_exit(id(0), Exit::Code(1), true, now);
            supervisor.table = self::supervisor(&[("a", restart, &[])]).table;
        }
        Finished => {
            supervisor.table = one_of(|spec| spec.kind = ServiceKind::Oneshot).table;
            supervisor.handle_exit(id(0), Exit::Code(0), true, now);
            supervisor.table = self::supervisor(&[("a", restart, &[])]).table;
        }
        Stopped | Started => {}
    }
    drain(&mut supervisor);
    assert_eq!(supervisor.status(id(0), now).state, state);
    supervisor
}

/// Gives an accepted command to the first service.
fn command(supervisor: &mut Supervisor, verb: Verb, now: Duration) {
    supervisor.handle_command(id(0), verb, now).unwrap();
}

/// Reports the start of the first service's process.
fn run(supervisor: &mut Supervisor, pid: u32, now: Duration) {
    supervisor.handle_spawned(id(0), Ok(pid), now);
}

/// Reports the exit of the first service's leader.
fn exit(supervisor: &mut Supervisor, exit: Exit, is_gone: bool, now: Duration) {
    supervisor.handle_exit(id(0), exit, is_gone, now);
}

/// Drops all output, and what is pending of commands. What runs is ready.
fn drain(supervisor: &mut Supervisor) {
    while supervisor.poll_action().is_some() {}
    while supervisor.poll_change().is_some() {}
    for entry in &mut supervisor.entries {
        entry.settle = super::super::record::Settle::Idle;
        if matches!(entry.phase, Phase::Started | Phase::Paused) {
            (entry.readiness, entry.ready_at) = (Readiness::Ready, None);
        }
    }
    while supervisor.poll_settled().is_some() {}
    let _ = supervisor.take_result(id(0));
}

fn actions(supervisor: &mut Supervisor) -> List<Action> {
    core::iter::from_fn(|| supervisor.poll_action()).collect()
}

fn changes(supervisor: &mut Supervisor) -> List<(State, u32)> {
    core::iter::from_fn(|| supervisor.poll_change()).map(|change| (change.state, change.pid)).collect()
}

fn spawn(index: usize) -> Action {
    run_program(index, Program::Main)
}

fn run_program(index: usize, program: Program) -> Action {
    Action::Spawn { service: id(index), program }
}

/// Signal to all processes of the first service.
fn signal(signal: Signal) -> Action {
    Action::Signal { service: id(0), signal, scope: Scope::Group }
}

/// Stop signal of the first service, and its companion.
fn stop() -> [Action; 2] {
    [signal(Signal::Term), signal(Signal::Cont)]
}

fn kill() -> [Action; 1] {
    [signal(Signal::Kill)]
}

fn state(supervisor: &Supervisor) -> State {
    supervisor.status(id(0), at(0)).state
}
