//! Programs and times around the life of a service.

use core::time::Duration;

use super::diagnostics::Diagnostics;
use super::section::Section;
use super::value::arguments;
use crate::service::{
    Arguments, BoardEnd, Conditions, INSTANCES, OutputFile, RestartPolicy, Schedule, ServiceKind,
    minute_of_day,
};

/// A program and its arguments; empty if it is missing or wrong.
pub(super) fn program(section: &Section<'_, '_>, name: &str, diagnostics: &mut Diagnostics<'_>) -> Arguments {
    let (key, value) = section.value(name, diagnostics);
    value.and_then(|value| arguments(key.name, value, diagnostics)).unwrap_or_default()
}

/// A time in seconds; `None` for 0.
pub(super) fn seconds_if_set(
    section: &Section<'_, '_>,
    name: &str,
    diagnostics: &mut Diagnostics<'_>,
) -> Option<Duration> {
    let seconds = section.integer(name, diagnostics);
    (seconds != 0).then_some(Duration::from_secs(seconds))
}

/// Checks the names of the instances, for which the document was [expanded](super::instances).
pub(super) fn check_instances(section: &Section<'_, '_>, diagnostics: &mut Diagnostics<'_>) {
    let names = section.strings("instances", diagnostics);
    let _: heapless::Vec<(), INSTANCES> = section.list("instances", &names, |_| Some(()), diagnostics);
}

/// Conditions of the machine.
pub(super) fn conditions(
    section: &Section<'_, '_>,
    name: &str,
    diagnostics: &mut Diagnostics<'_>,
) -> Conditions {
    let mut conditions = Conditions::new();
    for text in section.strings(name, diagnostics) {
        if conditions.push(text.0).is_err() {
            section.report_full(name, &text.1, diagnostics);
        }
    }
    conditions
}

/// Times at which a one-shot runs.
pub(super) fn schedule(
    section: &Section<'_, '_>,
    kind: ServiceKind,
    diagnostics: &mut Diagnostics<'_>,
) -> Schedule {
    let texts = section.strings("at", diagnostics);
    let schedule = Schedule {
        every: seconds_if_set(section, "every_s", diagnostics),
        at: section.list("at", &texts, minute_of_day, diagnostics),
        jitter: seconds_if_set(section, "jitter_s", diagnostics).unwrap_or_default(),
    };
    let mut report = |name: &str, error: &str| {
        if let (_, Some(value)) = section.value(name, diagnostics) {
            diagnostics.error(&value.span(), format_args!("{name}: {error}"));
        }
    };
    if kind != ServiceKind::Oneshot && !schedule.is_empty() {
        let name = if schedule.every.is_some() { "every_s" } else { "at" };
        report(name, "only a service of type oneshot runs at times");
    }
    if schedule.every.is_some_and(|period| period <= schedule.jitter) {
        report("jitter_s", "expected less than every_s");
    }
    if schedule.is_empty() && !schedule.jitter.is_zero() {
        report("jitter_s", "needs every_s or at");
    }
    schedule
}

/// Files of the output.
pub(super) fn output(section: &Section<'_, '_>, diagnostics: &mut Diagnostics<'_>) -> Option<OutputFile> {
    let path = section.bounded_if_set("output_file", diagnostics);
    let bytes = section.integer("output_file_bytes", diagnostics);
    let count = section.integer("output_files", diagnostics);
    let day_bytes = section.integer("output_day_bytes", diagnostics);
    if path.is_none() {
        for name in ["output_file_bytes", "output_files", "output_day_bytes"] {
            if let (_, Some(value)) = section.value(name, diagnostics) {
                diagnostics.error(&value.span(), format_args!("{name}: needs output_file"));
            }
        }
    }
    path.map(|path| OutputFile { path, bytes, count, day_bytes })
}

/// End of the board when the service has ended well.
pub(super) fn on_success(
    section: &Section<'_, '_>,
    restart: RestartPolicy,
    diagnostics: &mut Diagnostics<'_>,
) -> Option<BoardEnd> {
    let end = section.parsed("on_success", BoardEnd::from_name, diagnostics);
    if end.is_some()
        && restart == RestartPolicy::Always
        && let Some((_, span)) = section.written("on_success")
    {
        diagnostics.error(&span, "on_success: with restart = \"always\" it is started again");
    }
    end
}

/// End of the board when the service has failed.
pub(super) fn on_failure(
    section: &Section<'_, '_>,
    restart: RestartPolicy,
    start_limit: u32,
    diagnostics: &mut Diagnostics<'_>,
) -> Option<BoardEnd> {
    let end = section.parsed("on_failure", BoardEnd::from_name, diagnostics);
    if end.is_some()
        && restart != RestartPolicy::Never
        && start_limit == 0
        && let Some((_, span)) = section.written("on_failure")
    {
        let restart = restart.name();
        let message =
            format_args!("on_failure: with restart = \"{restart}\" it never fails without a start_limit");
        diagnostics.error(&span, message);
    }
    end
}
