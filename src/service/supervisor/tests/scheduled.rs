//! Starts by a schedule.

use super::*;
use crate::service::{NextRun, RESTART_DELAY_MIN, Schedule, minute_of_day};

/// Midnight of a day in 2026.
const MIDNIGHT: u64 = 1_790_640_000;

/// Supervisor of one one-shot with this schedule, since second 0.
fn scheduled(schedule: Schedule, change: impl Fn(&mut Spec)) -> Supervisor {
    let mut spec = Spec::new("a", &["program"]).unwrap();
    spec.kind = ServiceKind::Oneshot;
    spec.schedule = schedule;
    change(&mut spec);
    let mut table = ServiceTable::new();
    table.push(spec).unwrap();
    let mut supervisor = Supervisor::new(table);
    supervisor.start_enabled(at(0));
    supervisor
}

fn every(seconds: u64) -> Schedule {
    Schedule { every: Some(at(seconds)), ..Schedule::default() }
}

fn due(supervisor: &mut Supervisor, seconds: u64) -> bool {
    supervisor.handle_timeout(at(seconds));
    !actions(supervisor).is_empty()
}

#[test]
fn period_starts_a_oneshot_after_success_and_failure() {
    let mut supervisor = scheduled(every(60), |_| {});
    assert_eq!(supervisor.status(id(0), at(10)).next_run, NextRun::In(at(50)));
    assert_eq!((state(&supervisor), supervisor.poll_timeout()), (Stopped, Some(at(60))));
    for (second, code, expected) in [(60, 0, Finished), (120, 1, Failed), (180, 0, Finished)] {
        assert!(due(&mut supervisor, second));
        run(&mut supervisor, 1, at(second));
        exit(&mut supervisor, Exit::Code(code), true, at(second + 1));
        assert_eq!(state(&supervisor), expected);
    }
    assert_eq!(supervisor.status(id(0), at(181)).next_run, NextRun::In(at(59)));
    // A stop ends a run, and not the schedule.
    command(&mut supervisor, Verb::Stop, at(182));
    assert_eq!(state(&supervisor), Stopped);
    assert!(due(&mut supervisor, 240));
}

#[test]
fn run_that_is_still_going_is_not_started_twice() {
    let mut supervisor = scheduled(every(60), |spec| spec.restart = RestartPolicy::OnFailure);
    assert!(due(&mut supervisor, 60));
    run(&mut supervisor, 1, at(60));
    assert!(!due(&mut supervisor, 120) && !due(&mut supervisor, 180));
    assert_eq!(supervisor.status(id(0), at(180)).pid, 1);
    exit(&mut supervisor, Exit::Code(1), true, at(239));
    let delay = RESTART_DELAY_MIN;
    assert!(!due(&mut supervisor, 239), "its policy waits");
    supervisor.handle_timeout(at(239) + delay);
    assert_eq!(actions(&mut supervisor), [spawn(0)]);
    assert!(!due(&mut supervisor, 240));
}

#[test]
fn time_of_day_waits_for_the_clock() {
    let times = [minute_of_day("03:30").unwrap()].into_iter().collect();
    let mut supervisor = scheduled(Schedule { at: times, ..Schedule::default() }, |_| {});
    assert_eq!(supervisor.status(id(0), at(1)).next_run, NextRun::AwaitsClock);
    assert!(!due(&mut supervisor, 60));
    supervisor.set_time_of_day(Some(MIDNIGHT + 3 * 3600));
    assert!(!due(&mut supervisor, 120));
    assert_eq!(supervisor.status(id(0), at(120)).next_run, NextRun::In(at(1800)));
    supervisor.set_time_of_day(Some(MIDNIGHT + 3 * 3600 + 1800));
    assert!(due(&mut supervisor, 1920));
}

#[test]
fn schedule_ends_with_the_server() {
    let mut supervisor = scheduled(every(60), |_| {});
    supervisor.shutdown(at(1));
    assert!(!due(&mut supervisor, 60));
    assert_eq!(supervisor.poll_timeout(), None);
}

#[test]
fn schedule_is_independent_of_the_start_with_the_server() {
    let mut supervisor = scheduled(every(60), |spec| spec.autostart = true);
    assert_eq!(actions(&mut supervisor), [spawn(0)]);
    run(&mut supervisor, 1, at(0));
    exit(&mut supervisor, Exit::Code(0), true, at(1));
    assert!(due(&mut supervisor, 60));
}
