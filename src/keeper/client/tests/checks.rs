//! Programs of health checks.

use super::*;
use crate::service::{Check, CheckId, CheckKind};

const CHECK: CheckId = CheckId::from_index(0).unwrap();

/// A service with a named command, and a check with this program.
fn checked(argv: &[&str]) -> Fixture {
    let mut table = ServiceTable::new();
    let service = table.push(with_command(&["sleep", "1000"])).ok();
    table.push_check(Check { service, ..Check::new("c", CheckKind::Command(arguments(argv))) }).unwrap();
    Fixture::of(table)
}

impl Fixture {
    fn run_check(&mut self, timeout: Duration) -> RunOwner {
        let attempt = self.supervisor.begin_check(CHECK, Duration::ZERO);
        self.processes.run_check(id(0), attempt, timeout);
        RunOwner::Check(attempt)
    }
}

#[test]
fn program_of_a_check_runs_as_its_service() {
    let mut fixture = checked(&["sh", "-c", "echo $FRIENDLET_SERVICE; exit 3"]);
    let owner = fixture.run_check(TIMEOUT);
    let expected = (owner, RunEnd::Exited(Exit::Code(3)), false, false, b"test\n".to_vec());
    assert_eq!(fixture.end_of_run(), expected);
}

#[test]
fn program_of_a_check_is_killed_at_its_timeout() {
    let mut fixture = checked(&["sleep", "1000"]);
    let begun = Instant::now();
    let owner = fixture.run_check(Duration::from_millis(200));
    let (of, end, timed_out, ..) = fixture.end_of_run();
    assert_eq!((of, end, timed_out), (owner, RunEnd::Exited(Exit::signal(9)), true));
    assert!(begun.elapsed() >= Duration::from_millis(200));
}

#[test]
fn program_of_an_abandoned_attempt_is_killed() {
    let mut fixture = checked(&["sleep", "1000"]);
    let (kept, abandoned) = (fixture.run_check(TIMEOUT), fixture.run_check(TIMEOUT));
    assert_ne!(kept, abandoned);
    fixture.processes.kill_checks(|attempt| RunOwner::Check(attempt) == abandoned);
    assert_eq!(fixture.end_of_run().0, abandoned);
    fixture.processes.kill_commands();
    assert_eq!(fixture.end_of_run().0, kept);
}

#[test]
fn checks_leave_runs_for_named_commands() {
    let mut fixture = checked(&["sleep", "1000"]);
    let share = SHARED_RUNS.div_ceil(2);
    for _ in 0..share {
        assert!(fixture.processes.has_room_for_check());
        fixture.run_check(TIMEOUT);
    }
    assert!(!fixture.processes.has_room_for_check());
    for ticket in share..SERVICE_COMMAND_RUNS {
        fixture.run_command(ticket as u64).unwrap();
    }
    fixture.processes.kill_commands();
    for _ in 0..SERVICE_COMMAND_RUNS {
        fixture.end_of_run();
    }
    fixture.until("the runs are free", |fixture| fixture.processes.has_room_for_check());
}
