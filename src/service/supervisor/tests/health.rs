//! Health checks of services and of the board.

use super::life::program;
use super::*;
use crate::service::{
    Check, CheckError, CheckId, CheckKind, CheckLevel, CheckState, Endpoint, Problem, ProcessEvent,
};

const REFUSED: Result<(), CheckError> = Err(CheckError::Connect(111));
const CHECK: CheckId = CheckId::from_index(0).unwrap();

/// Check each 10 s without grace, with 3 s for an attempt and 2 failures.
fn check(name: &str, service: Option<ServiceId>) -> Check {
    let kind = CheckKind::Connect(Endpoint::tcp("127.0.0.1:80").unwrap());
    Check { service, limit: 2, grace: at(0), ..Check::new(name, kind) }
}

/// Supervisor of one service with a check, which runs as process 1 since second 0.
fn checked(restart: RestartPolicy) -> Supervisor {
    let mut supervisor = one_of(|spec| spec.restart = restart);
    supervisor.table.push_check(check("web", Some(id(0)))).unwrap();
    supervisor.follow_checks(id(0), Phase::Started, at(0));
    supervisor
}

/// Makes the attempt that is due.
fn attempt(supervisor: &mut Supervisor, result: Result<(), CheckError>, now: Duration) {
    assert_eq!(supervisor.due_checks(now), [CHECK], "{now:?}");
    let attempt = supervisor.begin_check(CHECK, now);
    assert_eq!(supervisor.due_checks(now + at(100)), [], "one attempt at a time");
    supervisor.handle_checked(attempt, result, now);
}

fn check_state(supervisor: &Supervisor) -> CheckState {
    supervisor.checks().next().unwrap().2.state
}

#[test]
fn failing_check_stops_its_service_and_the_policy_decides() {
    for (policy, after) in [(RestartPolicy::OnFailure, Starting), (RestartPolicy::Never, Failed)] {
        let mut supervisor = checked(policy);
        attempt(&mut supervisor, REFUSED, at(0));
        assert_eq!((actions(&mut supervisor), supervisor.poll_timeout()), (vec![], Some(at(10))));
        attempt(&mut supervisor, REFUSED, at(10));
        assert_eq!(actions(&mut supervisor), stop(), "in order");
        assert_eq!((state(&supervisor), supervisor.due_checks(at(1000)).len()), (Stopping, 0));
        // The program ends well, and was unhealthy nevertheless.
        exit(&mut supervisor, Exit::Code(0), true, at(11));
        assert_eq!(state(&supervisor), after);
        assert!(supervisor.history(id(0)).map(|run| run.reason).eq([EndReason::Unhealthy(CHECK)]));
        assert_eq!(check_state(&supervisor), CheckState::Failing, "until it succeeds");
    }
}

#[test]
fn service_is_checked_while_it_is_started_and_not_while_it_prepares_stops_or_cleans_up() {
    let mut supervisor = one_of(|spec| {
        spec.restart = RestartPolicy::Always;
        spec.pre_start = program("/bin/prepare");
        spec.stop_command = program("/bin/ask");
        spec.finish = program("/bin/clean");
    });
    supervisor.table.push_check(check("web", Some(id(0)))).unwrap();
    let unchecked = |supervisor: &Supervisor, phase| {
        assert_eq!((supervisor.entries[0].phase, supervisor.due_checks(at(1000)).len()), (phase, 0));
    };
    unchecked(&supervisor, Phase::Preparing);
    exit(&mut supervisor, Exit::Code(0), true, at(1));
    run(&mut supervisor, 2, at(1));
    drain(&mut supervisor);
    attempt(&mut supervisor, REFUSED, at(1));
    attempt(&mut supervisor, REFUSED, at(11));
    assert_eq!(actions(&mut supervisor), [signal(Signal::Cont), run_program(0, Program::Stop)], "in order");
    unchecked(&supervisor, Phase::StopCommand);
    supervisor.handle_event(id(0), ProcessEvent::StopCommand(Ok(Exit::Code(0))), at(12));
    assert_eq!(actions(&mut supervisor), stop());
    unchecked(&supervisor, Phase::Stopping);
    exit(&mut supervisor, Exit::Code(0), true, at(13));
    run(&mut supervisor, 3, at(13));
    unchecked(&supervisor, Phase::CleaningUp);
    exit(&mut supervisor, Exit::Code(0), true, at(14));
    unchecked(&supervisor, Phase::Waiting);
    assert!(supervisor.history(id(0)).map(|run| run.reason).eq([EndReason::Unhealthy(CHECK)]));
    supervisor.handle_timeout(at(15));
    run(&mut supervisor, 4, at(15));
    unchecked(&supervisor, Phase::Preparing);
    exit(&mut supervisor, Exit::Code(0), true, at(16));
    run(&mut supervisor, 5, at(16));
    attempt(&mut supervisor, Ok(()), at(16));
    assert_eq!((check_state(&supervisor), state(&supervisor)), (CheckState::Healthy, Started));
}

#[test]
fn changes_of_a_check_are_reported_once() {
    let mut supervisor = checked(RestartPolicy::Always);
    let mut changed = |result, now| {
        attempt(&mut supervisor, result, at(now));
        supervisor.take_changed_checks()
    };
    let masks = [(Ok(()), 0), (REFUSED, 10), (REFUSED, 20)].map(|(result, now)| changed(result, now));
    assert_eq!(masks, [1, 0, 1], "healthy, and failing");
    exit(&mut supervisor, Exit::Code(0), true, at(21));
    assert_eq!(supervisor.take_changed_checks(), 0, "still failing");
    command(&mut supervisor, Verb::Stop, at(21));
    assert_eq!((supervisor.take_changed_checks(), supervisor.take_changed_checks()), (1, 0), "unchecked");
}

#[test]
fn unhealthy_service_that_does_not_stop_is_killed() {
    let mut supervisor = checked(RestartPolicy::Always);
    attempt(&mut supervisor, REFUSED, at(0));
    attempt(&mut supervisor, REFUSED, at(10));
    actions(&mut supervisor);
    supervisor.handle_timeout(at(20));
    assert_eq!(actions(&mut supervisor), kill());
    exit(&mut supervisor, Exit::signal(9), true, at(20));
    assert!(supervisor.history(id(0)).map(|run| run.reason).eq([EndReason::Unhealthy(CHECK)]));
}

#[test]
fn check_recovers_with_the_next_process() {
    let mut supervisor = checked(RestartPolicy::Always);
    attempt(&mut supervisor, REFUSED, at(0));
    attempt(&mut supervisor, REFUSED, at(10));
    exit(&mut supervisor, Exit::Code(0), true, at(11));
    supervisor.handle_timeout(at(13));
    run(&mut supervisor, 2, at(13));
    actions(&mut supervisor);
    attempt(&mut supervisor, REFUSED, at(13));
    assert_eq!(actions(&mut supervisor), [], "the failures are counted anew");
    assert_eq!(check_state(&supervisor), CheckState::Failing);
    attempt(&mut supervisor, Ok(()), at(23));
    assert_eq!((check_state(&supervisor), state(&supervisor)), (CheckState::Healthy, Started));
}

#[test]
fn attempt_that_hangs_is_a_failure_and_its_result_is_dropped() {
    let mut supervisor = checked(RestartPolicy::Always);
    let hanging = supervisor.begin_check(CHECK, at(0));
    assert_eq!(supervisor.poll_timeout(), Some(at(3)));
    supervisor.handle_timeout(at(3) - millis(1));
    assert!(supervisor.is_under_way(hanging));
    supervisor.handle_timeout(at(3));
    assert!(!supervisor.is_under_way(hanging));
    supervisor.handle_checked(hanging, Ok(()), at(4));
    let status = supervisor.checks().next().unwrap().2;
    assert_eq!((status.failures, status.error), (1, Some(CheckError::TimedOut)));
}

#[test]
fn service_that_is_paused_or_stopped_is_not_checked() {
    let mut supervisor = checked(RestartPolicy::Always);
    attempt(&mut supervisor, Ok(()), at(0));
    let abandoned = supervisor.begin_check(CHECK, at(10));
    command(&mut supervisor, Verb::Pause, at(11));
    assert_eq!((check_state(&supervisor), supervisor.poll_timeout()), (CheckState::Unchecked, None));
    supervisor.handle_checked(abandoned, REFUSED, at(12));
    assert_eq!(supervisor.checks().next().unwrap().2.failures, 0);
    command(&mut supervisor, Verb::Start, at(20));
    attempt(&mut supervisor, REFUSED, at(20));
    attempt(&mut supervisor, REFUSED, at(30));
    assert_eq!(check_state(&supervisor), CheckState::Failing);
    command(&mut supervisor, Verb::Stop, at(31));
    exit(&mut supervisor, Exit::Code(0), true, at(31));
    assert_eq!((state(&supervisor), check_state(&supervisor)), (Stopped, CheckState::Unchecked));
    assert_eq!(supervisor.due_checks(at(1000)), []);
}

#[test]
fn check_without_a_service_begins_with_the_server_and_stops_nothing() {
    let mut supervisor = one_in(Started, RestartPolicy::Always);
    supervisor.table.push_check(Check { grace: at(5), ..check("disk", None) }).unwrap();
    supervisor.start_enabled(at(1));
    assert_eq!(supervisor.poll_timeout(), Some(at(6)));
    for second in [6, 16, 26] {
        attempt(&mut supervisor, REFUSED, at(second));
    }
    assert_eq!((actions(&mut supervisor), check_state(&supervisor)), (vec![], CheckState::Failing));
    supervisor.shutdown(at(27));
    assert_eq!(supervisor.due_checks(at(100)), []);
}

#[test]
fn longest_due_check_comes_first() {
    let mut supervisor = one_in(Stopped, RestartPolicy::Always);
    for (name, grace) in [("late", 3), ("early", 1), ("middle", 2)] {
        supervisor.table.push_check(Check { grace: at(grace), ..check(name, None) }).unwrap();
    }
    supervisor.start_enabled(at(0));
    let due = |now| supervisor.due_checks(at(now)).iter().map(|id| id.index()).collect::<List<_>>();
    assert_eq!((due(0), due(2), due(3)), (vec![], vec![1, 2], vec![1, 2, 0]));
}

#[test]
fn levels_report_the_first_problem() {
    let mut supervisor = one_in(Started, RestartPolicy::Always);
    supervisor.table.push_check(Check { level: CheckLevel::Ready, ..check("net", None) }).unwrap();
    supervisor.table.push_check(check("disk", None)).unwrap();
    supervisor.start_enabled(at(0));
    let problems = |supervisor: &Supervisor| {
        let text = |level| supervisor.problem(level).map(|problem| problem.to_string()).unwrap_or_default();
        [text(CheckLevel::Alive), text(CheckLevel::Ready)]
    };
    assert_eq!(problems(&supervisor), ["", ""], "without a result");
    supervisor.set_enabled(id(0), true);
    assert_eq!(supervisor.problem(CheckLevel::Ready), None, "it is ready");
    command(&mut supervisor, Verb::Restart, at(0));
    exit(&mut supervisor, Exit::Code(0), true, at(0));
    assert_eq!(problems(&supervisor), ["", "service a is not ready"]);
    let fail = |supervisor: &mut Supervisor, index| {
        let check = CheckId::from_index(index).unwrap();
        for second in [0, 10] {
            let attempt = supervisor.begin_check(check, at(second));
            supervisor.handle_checked(attempt, REFUSED, at(second));
        }
    };
    fail(&mut supervisor, 0);
    assert_eq!(problems(&supervisor), ["", "check net is failing"]);
    fail(&mut supervisor, 1);
    assert_eq!(problems(&supervisor), ["check disk is failing", "check net is failing"]);
    assert_eq!(supervisor.problem(CheckLevel::Alive), Some(Problem::Check("disk")));
}

#[test]
fn required_service_is_missing_until_it_is_up_ready_and_healthy() {
    let mut supervisor = one_of(|spec| (spec.is_required, spec.restart) = (true, RestartPolicy::OnFailure));
    let [board, web] = [0, 1].map(|index| CheckId::from_index(index).unwrap());
    for (name, service) in [("disk", None), ("web", Some(id(0)))] {
        supervisor.table.push_check(check(name, service)).unwrap();
    }
    let make = |supervisor: &mut Supervisor, check, result, now| {
        let attempt = supervisor.begin_check(check, now);
        supervisor.handle_checked(attempt, result, now);
    };
    make(&mut supervisor, board, REFUSED, at(1));
    make(&mut supervisor, board, REFUSED, at(2));
    assert_eq!(
        (supervisor.take_changed_checks(), supervisor.missing()),
        (0b01, None),
        "a check of the board"
    );
    make(&mut supervisor, web, REFUSED, at(3));
    assert_eq!((supervisor.take_changed_checks(), supervisor.missing()), (0, None));
    make(&mut supervisor, web, REFUSED, at(4));
    assert_eq!((supervisor.take_changed_checks(), supervisor.missing()), (0b10, Some("a")));
    exit(&mut supervisor, Exit::Code(0), true, at(5));
    supervisor.handle_timeout(at(6));
    run(&mut supervisor, 2, at(6));
    drain(&mut supervisor);
    assert_eq!(supervisor.missing(), Some("a"), "it is up and ready, and its check is failing");
    make(&mut supervisor, web, Ok(()), at(7));
    assert_eq!((supervisor.take_changed_checks(), supervisor.missing()), (0b10, None));
    supervisor.entries[0].readiness = Readiness::Late;
    assert_eq!(supervisor.missing(), Some("a"), "it is not ready");
    drain(&mut supervisor);
    command(&mut supervisor, Verb::Pause, at(8));
    assert_eq!((supervisor.take_changed_checks(), supervisor.missing()), (0b10, Some("a")), "it is not up");
}
