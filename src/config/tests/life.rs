//! Programs and times around the life of a service.

use core::time::Duration;

use super::{config, errors, service, spec};
use crate::service::{BoardEnd, Program, SCHEDULE_TIMES};

#[test]
fn programs_of_a_service_are_read() {
    let config = config(&service("pre_start = ['a', 'b']\nstop_command = ['c']\nfinish = ['d']"));
    let spec = spec(&config, "a");
    let first = Program::HELPERS.map(|helper| spec.program(helper).and_then(|argv| argv.first()));
    assert_eq!(first, [Some("a"), Some("c"), Some("d")]);
    for helper in Program::HELPERS {
        let key = helper.key();
        let errors = errors(&service(&format!("{key} = []")));
        assert!(errors.ends_with(&format!("{key}: expected a program and its arguments\n")), "{errors}");
    }
}

#[test]
fn failure_that_restarts_the_board_can_come() {
    let ends = |text: &str| {
        let config = config(&service(text));
        let spec = spec(&config, "a");
        (spec.on_failure, spec.on_success)
    };
    let (reboot, power_off) = (Some(BoardEnd::Reboot), Some(BoardEnd::PowerOff));
    assert_eq!(ends(""), (None, None));
    assert_eq!(ends("on_failure = 'none'\nrestart = 'always'"), (None, None));
    assert_eq!(ends("on_failure = 'reboot'\non_success = 'poweroff'"), (reboot, power_off));
    assert_eq!(ends("on_failure = 'reboot'\nrestart = 'always'\nstart_limit = 3"), (reboot, None));
    assert_eq!(
        errors(&service("on_success = 'reboot'\nrestart = 'always'")),
        "4:14: on_success: with restart = \"always\" it is started again\n"
    );
    assert_eq!(
        errors(&service("on_failure = 'reboot'\nrestart = 'always'")),
        "4:14: on_failure: with restart = \"always\" it never fails without a start_limit\n"
    );
    assert_eq!(
        errors(&service("on_failure = 'halt'")),
        "4:14: on_failure: expected 'none', 'reboot' or 'poweroff', found 'halt'\n"
    );
}

#[test]
fn services_that_only_init_can_restart_the_board_for_are_known() {
    let text = service("on_failure = 'reboot'");
    assert!(config(&text).without_board_end().eq([("a", BoardEnd::Reboot)]));
    let power_off = service("on_success = 'poweroff'") + "[board]\nreboot = ['/sbin/reboot']\n";
    assert!(config(&power_off).without_board_end().eq([("a", BoardEnd::PowerOff)]));
    assert_eq!(
        config(&format!("{text}[board]\nreboot = ['/sbin/reboot']\n")).without_board_end().next(),
        None
    );
}

#[test]
fn schedule_of_a_oneshot_is_read() {
    let schedule = |text: &str| spec(&config(&service(text)), "a").schedule.clone();
    assert!(schedule("").is_empty());
    let both = schedule("type = 'oneshot'\nevery_s = 3600\nat = ['03:30', '15:00']\njitter_s = 60");
    let [hour, minute] = [3600, 60].map(Duration::from_secs);
    assert_eq!((both.every, both.jitter), (Some(hour), minute));
    assert_eq!(both.at, [210, 900]);
}

#[test]
fn wrong_schedules_are_reported() {
    for (text, expected) in [
        ("every_s = 60", "4:11: every_s: only a service of type oneshot runs at times\n"),
        ("type = 'notify'\nat = ['03:30']", "5:6: at: only a service of type oneshot runs at times\n"),
        ("type = 'oneshot'\nat = ['3:30']", "5:7: at: expected a time of day as 'HH:MM', found '3:30'\n"),
        ("type = 'oneshot'\nevery_s = 60\njitter_s = 60", "6:12: jitter_s: expected less than every_s\n"),
        ("jitter_s = 5", "4:12: jitter_s: needs every_s or at\n"),
    ] {
        assert_eq!(errors(&service(text)), expected, "{text}");
    }
}

#[test]
fn times_of_day_up_to_their_limit() {
    let times = |count: usize| service(&format!("type = 'oneshot'\nat = {:?}", vec!["03:30"; count]));
    assert_eq!(spec(&config(&times(SCHEDULE_TIMES)), "a").schedule.at.len(), SCHEDULE_TIMES);
    let errors = errors(&times(SCHEDULE_TIMES + 1));
    assert!(errors.ends_with(": at: more than 8\n"), "{errors}");
}
