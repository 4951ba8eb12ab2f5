//! Readiness, one-shots and watchdogs.

use super::*;
use crate::service::{
    EndReason, Notice, ReadyCheck, SERVICE_READY_TIMEOUT, SERVICE_READY_TIMEOUT_MAX, START_SETTLE,
    STOP_TIMEOUT, STOP_TIMEOUT_MAX, ServiceKind, StatusText,
};

const ALIVE: Notice = Notice { is_ready: false, is_alive: true, ..Notice::READY };

fn notify(spec: &mut Spec) {
    spec.kind = ServiceKind::Notify;
    spec.watchdog = Some(at(5));
    spec.restart = RestartPolicy::OnFailure;
}

fn oneshot(spec: &mut Spec) {
    spec.kind = ServiceKind::Oneshot;
}

/// Supervisor of one service that runs since second 0, and is not ready.
fn unready(change: impl Fn(&mut Spec)) -> Supervisor {
    let mut supervisor = one_of(change);
    let entry = &mut supervisor.entries[0];
    entry.readiness = Readiness::Pending { since: at(0), until: SERVICE_READY_TIMEOUT };
    supervisor
}

fn is_ready(supervisor: &Supervisor) -> bool {
    supervisor.status(id(0), at(0)).is_ready
}

#[test]
fn simple_service_is_ready_after_a_short_run() {
    let mut supervisor = one_in(Stopped, RestartPolicy::Always);
    command(&mut supervisor, Verb::Start, at(0));
    run(&mut supervisor, 1, at(1));
    supervisor.handle_timeout(at(1) + START_SETTLE - millis(1));
    assert!(!is_ready(&supervisor));
    supervisor.handle_timeout(at(1) + START_SETTLE);
    assert!(is_ready(&supervisor));
    exit(&mut supervisor, Exit::Code(0), true, at(2));
    assert!(!is_ready(&supervisor), "it restarts");
}

#[test]
fn up_ready_and_wanted_are_three_facts() {
    let facts = |supervisor: &Supervisor| {
        let status = supervisor.status(id(0), at(0));
        (status.is_up(), status.is_ready, status.is_wanted)
    };
    for (state, expected) in [
        (Stopped, (false, false, false)),
        (Starting, (false, false, true)),
        (Started, (true, true, true)),
        (Stopping, (false, false, false)),
        (Failed, (false, false, false)),
    ] {
        assert_eq!(facts(&one_in(state, RestartPolicy::Always)), expected, "{state:?}");
    }
    assert_eq!(facts(&unready(notify)), (true, false, true));
    let mut restarting = one_in(Stopping, RestartPolicy::Never);
    command(&mut restarting, Verb::Start, at(0));
    assert_eq!(facts(&restarting), (false, false, true));
}

#[test]
fn notification_and_found_signs_make_a_service_ready() {
    let mut supervisor = unready(notify);
    supervisor.handle_timeout(at(1));
    assert!(!is_ready(&supervisor), "a long run is not enough");
    supervisor.handle_notice(id(0), Notice::READY, at(1));
    assert!(is_ready(&supervisor));

    let line = ReadyCheck::Line("listening".try_into().unwrap());
    let mut supervisor = unready(|spec| spec.ready = line.clone());
    assert!(supervisor.unready().eq([(id(0), &line)]));
    supervisor.handle_ready(id(0), at(1));
    assert!(is_ready(&supervisor) && supervisor.unready().next().is_none());

    for from in [Stopped, Starting, Stopping, Failed] {
        let mut supervisor = one_in(from, RestartPolicy::Always);
        supervisor.handle_notice(id(0), Notice::READY, at(1));
        assert!(!is_ready(&supervisor), "{from:?}: the report of an earlier process");
    }
}

#[test]
fn more_time_is_granted_up_to_its_limit() {
    let extend = |seconds| Notice { extend: Some(at(seconds)), ..Notice::default() };
    let mut supervisor = unready(notify);
    supervisor.handle_notice(id(0), extend(1), at(1));
    assert_eq!(supervisor.poll_timeout(), Some(SERVICE_READY_TIMEOUT), "not shortened");
    supervisor.handle_notice(id(0), extend(60), at(1));
    assert_eq!(supervisor.poll_timeout(), Some(at(61)));
    supervisor.handle_notice(id(0), Notice { extend: Some(Duration::MAX), ..Notice::default() }, at(1));
    assert_eq!(supervisor.poll_timeout(), Some(SERVICE_READY_TIMEOUT_MAX));
    supervisor.handle_timeout(SERVICE_READY_TIMEOUT_MAX);
    assert_eq!((is_ready(&supervisor), supervisor.poll_timeout()), (false, None));
    let is_late = |supervisor: &Supervisor| supervisor.status(id(0), SERVICE_READY_TIMEOUT_MAX).is_late;
    assert!(is_late(&supervisor));
    supervisor.handle_notice(id(0), Notice::READY, SERVICE_READY_TIMEOUT_MAX);
    assert!(is_ready(&supervisor) && !is_late(&supervisor), "late, but ready");
}

#[test]
fn more_time_to_stop_is_granted_up_to_its_limit() {
    let extend = |time| Notice { extend: Some(time), ..Notice::default() };
    let mut supervisor = unready(notify);
    supervisor.handle_notice(id(0), Notice::READY, at(1));
    supervisor.handle_command(id(0), Verb::Stop, at(2)).unwrap();
    assert_eq!(supervisor.poll_timeout(), Some(at(2) + STOP_TIMEOUT));
    supervisor.handle_notice(id(0), extend(at(1)), at(3));
    assert_eq!(supervisor.poll_timeout(), Some(at(2) + STOP_TIMEOUT), "not shortened");
    supervisor.handle_notice(id(0), extend(at(60)), at(3));
    assert_eq!(supervisor.poll_timeout(), Some(at(63)));
    supervisor.handle_notice(id(0), extend(Duration::MAX), at(3));
    assert_eq!(supervisor.poll_timeout(), Some(at(2) + STOP_TIMEOUT_MAX));
}

#[test]
fn one_shot_that_ended_well_is_up() {
    let ended = |code, change: fn(&mut Spec)| {
        let mut supervisor = one_of(|spec| {
            oneshot(spec);
            change(spec);
        });
        exit(&mut supervisor, Exit::Code(code), true, at(1));
        supervisor
    };
    let mut supervisor = ended(0, |_| {});
    assert_eq!(changes(&mut supervisor), [(Finished, 0)]);
    let status = supervisor.status(id(0), at(1));
    assert!(status.is_up() && status.is_ready && status.is_wanted);
    assert_eq!(supervisor.poll_timeout(), None);
    command(&mut supervisor, Verb::Start, at(2));
    assert_eq!((actions(&mut supervisor), supervisor.is_settled(id(0))), (vec![], true));
    command(&mut supervisor, Verb::Restart, at(2));
    assert_eq!(actions(&mut supervisor), [spawn(0)]);
    run(&mut supervisor, 2, at(2));
    exit(&mut supervisor, Exit::Code(0), true, at(3));
    command(&mut supervisor, Verb::Stop, at(4));
    assert_eq!(state(&supervisor), Stopped);

    assert_eq!(state(&ended(0, |spec| spec.restart = RestartPolicy::OnFailure)), Finished);
    assert_eq!(state(&ended(1, |_| {})), Failed);
    assert_eq!(state(&ended(1, |spec| spec.restart = RestartPolicy::OnFailure)), Starting);
}

#[test]
fn stopped_one_shot_has_not_ended_well() {
    let mut supervisor = one_of(oneshot);
    command(&mut supervisor, Verb::Stop, at(1));
    exit(&mut supervisor, Exit::Code(0), true, at(2));
    assert_eq!(state(&supervisor), Stopped);
}

#[test]
fn silence_kills_a_service_with_a_watchdog() {
    for (policy, after) in [(RestartPolicy::OnFailure, Starting), (RestartPolicy::Never, Failed)] {
        let mut supervisor = unready(|spec| {
            notify(spec);
            spec.restart = policy;
        });
        supervisor.handle_timeout(at(6));
        assert_eq!(actions(&mut supervisor), [], "before it is ready");
        supervisor.handle_notice(id(0), Notice::READY, at(6));
        supervisor.handle_notice(id(0), ALIVE, at(10));
        supervisor.handle_timeout(at(15) - millis(1));
        assert_eq!(actions(&mut supervisor), []);
        supervisor.handle_timeout(at(15));
        supervisor.handle_timeout(at(16));
        assert_eq!(actions(&mut supervisor), kill(), "once");
        assert_eq!(state(&supervisor), Stopping);
        exit(&mut supervisor, Exit::signal(9), true, at(16));
        assert_eq!(state(&supervisor), after);
        let reasons: List<EndReason> = supervisor.history(id(0)).map(|run| run.reason).collect();
        assert_eq!((reasons, EndReason::Watchdog.word()), (vec![EndReason::Watchdog], "watchdog"));
    }
}

#[test]
fn watchdog_is_reset_by_no_other_report_and_begins_with_readiness() {
    let mut supervisor = unready(notify);
    supervisor.handle_notice(id(0), ALIVE, at(1));
    supervisor.handle_timeout(at(20));
    assert_eq!(actions(&mut supervisor), [], "before it is ready");
    supervisor.handle_notice(id(0), Notice::READY, at(20));
    let text = Notice { text: Some(StatusText::new("busy")), ..Notice::default() };
    for notice in [Notice::READY, text] {
        supervisor.handle_notice(id(0), notice, at(24));
    }
    supervisor.handle_timeout(at(25));
    assert_eq!(actions(&mut supervisor), kill());
}

#[test]
fn process_that_stops_is_neither_ready_nor_has_another_text() {
    let mut supervisor = unready(notify);
    command(&mut supervisor, Verb::Stop, at(1));
    let text = Notice { text: Some(StatusText::new("late")), ..Notice::READY };
    supervisor.handle_notice(id(0), text, at(2));
    supervisor.handle_ready(id(0), at(2));
    assert_eq!((is_ready(&supervisor), supervisor.status_text(id(0))), (false, ""));
}

#[test]
fn watchdog_gets_the_time_in_which_no_report_could_be_read() {
    let mut supervisor = unready(notify);
    supervisor.handle_notice(id(0), Notice::READY, at(6));
    supervisor.extend_watchdogs(at(20));
    supervisor.handle_timeout(at(31) - millis(1));
    assert_eq!(actions(&mut supervisor), []);
    supervisor.handle_timeout(at(31));
    assert_eq!(actions(&mut supervisor), kill());
}

#[test]
fn paused_service_has_no_watchdog() {
    let mut supervisor = unready(notify);
    supervisor.handle_notice(id(0), Notice::READY, at(1));
    command(&mut supervisor, Verb::Pause, at(2));
    actions(&mut supervisor);
    supervisor.handle_timeout(at(100));
    assert_eq!(actions(&mut supervisor), []);
    command(&mut supervisor, Verb::Start, at(100));
    actions(&mut supervisor);
    assert_eq!(supervisor.poll_timeout(), Some(at(105)));
}

#[test]
fn service_that_stops_is_not_ready_and_has_no_watchdog() {
    let mut supervisor = unready(notify);
    supervisor.handle_notice(id(0), Notice::READY, at(1));
    let stopping = Notice { is_stopping: true, ..Notice::default() };
    supervisor.handle_notice(id(0), stopping, at(2));
    assert_eq!((is_ready(&supervisor), state(&supervisor)), (false, Started));
    supervisor.handle_timeout(at(10));
    assert_eq!(actions(&mut supervisor), []);
}

#[test]
fn status_text_is_that_of_the_current_process() {
    let mut supervisor = unready(notify);
    assert_eq!(supervisor.status_text(id(0)), "");
    let text = Notice { text: Some(StatusText::new("loading maps")), ..Notice::default() };
    supervisor.handle_notice(id(0), text, at(1));
    assert_eq!(supervisor.status_text(id(0)), "loading maps");
    command(&mut supervisor, Verb::Restart, at(2));
    exit(&mut supervisor, Exit::Code(0), true, at(3));
    run(&mut supervisor, 2, at(3));
    assert_eq!(supervisor.status_text(id(0)), "");
}
