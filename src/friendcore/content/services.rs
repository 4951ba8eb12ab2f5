//! Content about services: `list`, `status` and `show`.

use core::fmt::Display;
use core::time::Duration;

use super::super::SHOWN_PROGRAM_BYTES;
use super::Form;
use crate::call::{ServiceDetails, ServiceList, ServiceStatus};
use crate::json::{Full, Writer};
use crate::service::{
    Arguments, CommandAction, EndReason, LastExit, NamedCommand, NextRun, PastRun, Program, ServiceId, Spec,
    Status, Supervisor, Usage,
};

/// Writes the services of a list. Members that Friend Core does not have follow its own.
pub(super) fn list(out: &mut Writer<'_>, form: Form, list: ServiceList<'_>) -> Result<(), Full> {
    out.put(r#"{ "Services": [ "#)?;
    let mut separator = "";
    for entry in list.entries() {
        out.put(separator)?;
        separator = ",";
        match form {
            Form::Frame => {
                out.put(r#"{ "Service": "#)?;
                out.put_text(&entry.spec.name)?;
                out.put(r#" , "Status": ""#)?;
                out.put_number(entry.state.api_number())?;
                out.put(r#"" ,  "Hosts" : """#)?;
            }
            Form::Envelope | Form::Http => {
                out.put(r#"{ "Name": "#)?;
                out.put_text(&entry.spec.name)?;
                out.put(r#" , "Status": "#)?;
                out.put_text(entry.state.api_word())?;
                out.put(r#" ,  "Hosts" : "My computer""#)?;
            }
        }
        put_description(out, entry.spec)?;
        out.put(r#", "state":"#)?;
        out.put_text(entry.state.word())?;
        // Without the names of a failed start, so that the list of the largest table fits.
        if let Some(awaited) = entry.waits_for {
            out.put(r#", "reason":"#)?;
            out.put_string(format_args!("waits for {awaited}"))?;
        } else if let Some(reason) = entry.reason {
            out.put(r#", "reason":"#)?;
            out.put_string(reason)?;
        }
        out.put(" }")?;
    }
    out.put("] }")
}

/// Writes the status of a service. It begins like [`Outcome::Done`](crate::call::Outcome::Done), which some
/// clients look for.
pub(super) fn status(out: &mut Writer<'_>, service: &ServiceStatus<'_>) -> Result<(), Full> {
    let ServiceStatus { spec, status, ends, .. } = service;
    out.put(r#"{ "Status": "ok", "#)?;
    put_status(out, status)?;
    put_description(out, spec)?;
    put_reason(out, status, spec)?;
    // Few long pieces: this is the call that clients repeat.
    out.put(match status.enabled {
        true => r#", "Enabled": true, "Restart": ""#,
        false => r#", "Enabled": false, "Restart": ""#,
    })?;
    out.put(spec.restart.name())?;
    out.put(match status.started_once {
        true => r#"", "StartedOnce": true, "Ends": "#,
        false => r#"", "StartedOnce": false, "Ends": "#,
    })?;
    out.put_number(*ends)?;
    put_readiness(out, service)?;
    if status.enabled != spec.autostart {
        put_flag(out, "Overridden", true)?;
    }
    put_events(out, service.services, service.service, service.now)?;
    out.put("}")
}

/// Writes whether a service is ready, if its type or configuration has a sign of that, and the time in which it should
/// have been.
fn put_ready(out: &mut Writer<'_>, spec: &Spec, status: &Status) -> Result<(), Full> {
    if spec.is_ready_after_run() {
        return Ok(());
    }
    put_flag(out, "Ready", status.is_ready)?;
    if status.is_late { put_seconds(out, "Late", Some(spec.ready_timeout)) } else { Ok(()) }
}

/// Writes the same, and the service's own words.
fn put_readiness(out: &mut Writer<'_>, service: &ServiceStatus<'_>) -> Result<(), Full> {
    put_ready(out, service.spec, &service.status)?;
    if !service.text.is_empty() {
        out.put(r#", "Text": "#)?;
        out.put_text(service.text)?;
    }
    Ok(())
}

/// Writes the events of a service, if there are any.
fn put_events(
    out: &mut Writer<'_>,
    services: &Supervisor,
    service: ServiceId,
    now: Duration,
) -> Result<(), Full> {
    let mut separator = r#", "Events": ["#;
    for event in services.events(service) {
        out.put(separator)?;
        separator = ",";
        out.put(r#"{"Key": "#)?;
        out.put_text(event.key())?;
        out.put(r#", "Value": "#)?;
        out.put_text(event.value())?;
        put_seconds(out, "Ago", Some(now.saturating_sub(event.at)))?;
        out.put(r#", "Changes": "#)?;
        out.put_number(event.changes)?;
        put_seconds(out, "Expires", event.until.map(|until| until.saturating_sub(now)))?;
        out.put("}")?;
    }
    if separator == "," { out.put("]") } else { Ok(()) }
}

/// Writes everything about a service: its declaration, its state and its past ends.
pub(super) fn details(out: &mut Writer<'_>, details: &ServiceDetails<'_>) -> Result<(), Full> {
    out.put(r#"{ "Status": "ok", "#)?;
    put_members(out, details)
}

/// Writes the same as one object of a list.
pub(crate) fn put_details(out: &mut Writer<'_>, details: &ServiceDetails<'_>) -> Result<(), Full> {
    out.put("{")?;
    put_members(out, details)
}

fn put_members(out: &mut Writer<'_>, details: &ServiceDetails<'_>) -> Result<(), Full> {
    let ServiceDetails { spec, status, now, .. } = details;
    put_status(out, status)?;
    put_description(out, spec)?;
    put_reason(out, status, spec)?;
    put_ready(out, spec, status)?;
    put_flag(out, "StartedOnce", status.started_once)?;
    out.put(r#", "Name": "#)?;
    out.put_text(&spec.name)?;
    put_declaration(out, spec)?;
    put_flag(out, "Enabled", status.enabled)?;
    if let Some(Usage { cpu, memory }) = details.usage {
        let (seconds, millis) = (cpu.as_secs(), cpu.subsec_millis());
        out.put_display(format_args!(r#", "Cpu": {seconds}.{millis:03}, "Memory": {memory}"#))?;
    }
    let mut awaited = details.services.awaited(details.service).peekable();
    if awaited.peek().is_some() {
        put_array(out, "WaitsFor", awaited)?;
    }
    out.put(r#", "History": ["#)?;
    let mut separator = "";
    for end in details.ends() {
        out.put(separator)?;
        separator = ",";
        let PastRun { ended, ran, exit, reason } = end;
        let (ago, ran) = (now.saturating_sub(ended).as_secs(), ran.as_millis() as u64);
        out.put_display(format_args!(
            r#"{{"Ago": {ago}, "Ran": {}.{:03}, "Exit": "#,
            ran / 1000,
            ran % 1000
        ))?;
        out.put_string(exit)?;
        out.put(r#", "Reason": "#)?;
        put_end(out, reason, details)?;
        out.put("}")?;
    }
    out.put("]")?;
    super::checks::put(out, details.checks())?;
    put_events(out, details.services, details.service, *now)?;
    out.put("}")
}

/// Writes the reason of an end, with the name of the check that was failing.
fn put_end(out: &mut Writer<'_>, reason: EndReason, details: &ServiceDetails<'_>) -> Result<(), Full> {
    match reason {
        EndReason::Unhealthy(check) => {
            let name = details.services.table().check(check).map_or("?", |check| &check.name);
            out.put_string(format_args!("{} (check {name})", reason.word()))
        }
        _ => out.put_text(reason.word()),
    }
}

/// Writes the keys of the configuration file that `status` does not have. The values of the variables may be
/// secret, so only their names are written.
fn put_declaration(out: &mut Writer<'_>, spec: &Spec) -> Result<(), Full> {
    put_program(out, "Command", &spec.argv)?;
    let variables = spec.env.iter().map(|entry| entry.split_once('=').map_or(entry, |(name, _)| name));
    put_array(out, "Env", variables)?;
    out.put(r#", "Cwd": "#)?;
    out.put_text(if spec.cwd.is_empty() { "/" } else { &spec.cwd })?;
    out.put(r#", "User": "#)?;
    out.put_text(&spec.user)?;
    put_flag(out, "Autostart", spec.autostart)?;
    if spec.is_required {
        put_flag(out, "Required", true)?;
    }
    out.put(r#", "Restart": "#)?;
    out.put_text(spec.restart.name())?;
    out.put_display(format_args!(r#", "StartLimit": {}"#, spec.start_limit))?;
    for (name, end) in [("OnFailure", spec.on_failure), ("OnSuccess", spec.on_success)] {
        if let Some(end) = end {
            out.put_display(format_args!(r#", "{name}": "{}""#, end.name()))?;
        }
    }
    out.put(r#", "SuccessCodes": ["#)?;
    let mut separator = "";
    for code in &spec.success_codes {
        out.put(separator)?;
        separator = ",";
        out.put_number(*code)?;
    }
    out.put("]")?;
    put_array(out, "After", spec.after.iter().map(|name| name.as_str()))?;
    out.put(r#", "StopSignal": "#)?;
    out.put_text(spec.stop_signal.name())?;
    put_seconds(out, "StopTimeout", Some(spec.stop_timeout))?;
    put_seconds(out, "MaxRuntime", spec.max_runtime)?;
    out.put(r#", "Commands": ["#)?;
    let mut separator = "";
    for command in &spec.commands {
        out.put(separator)?;
        separator = ",";
        put_command(out, command)?;
    }
    out.put("]")?;
    put_helpers(out, spec)?;
    super::keys::put(out, spec)
}

/// Writes the programs that help a service to start and to end, if it has any.
fn put_helpers(out: &mut Writer<'_>, spec: &Spec) -> Result<(), Full> {
    let mut separator = r#", "Programs": ["#;
    let helpers = Program::HELPERS.into_iter().filter_map(|helper| Some((helper, spec.program(helper)?)));
    for (helper, program) in helpers {
        out.put(separator)?;
        separator = ",";
        out.put(r#"{"Name": "#)?;
        out.put_text(helper.key())?;
        put_program(out, "Program", program)?;
        out.put("}")?;
    }
    if separator == "," { out.put("]") } else { Ok(()) }
}

fn put_command(out: &mut Writer<'_>, command: &NamedCommand) -> Result<(), Full> {
    out.put(r#"{"Name": "#)?;
    out.put_text(&command.name)?;
    match &command.action {
        CommandAction::Signal { signal, scope } => {
            out.put(r#", "Signal": "#)?;
            out.put_text(signal.name())?;
            out.put(r#", "Scope": "#)?;
            out.put_text(scope.name())?;
        }
        CommandAction::Argv(program) => put_program(out, "Program", program)?,
    }
    out.put("}")
}

/// Writes a program and its arguments, up to [`SHOWN_PROGRAM_BYTES`], and whether more of them follow.
fn put_program(out: &mut Writer<'_>, name: &str, arguments: &Arguments) -> Result<(), Full> {
    let mut room = SHOWN_PROGRAM_BYTES;
    let fits = |argument: &&str| {
        let left = room.checked_sub(argument.len());
        room = left.unwrap_or(0);
        left.is_some()
    };
    let shown = arguments.iter().take_while(fits).count();
    put_array(out, name, arguments.iter().take(shown))?;
    if shown < arguments.iter().count() { put_flag(out, "Cut", true) } else { Ok(()) }
}

/// Writes state, process, last exit and next start.
fn put_status(out: &mut Writer<'_>, status: &Status) -> Result<(), Full> {
    out.put(r#""State": "#)?;
    out.put_text(status.state.word())?;
    out.put(r#", "Pid": "#)?;
    out.put_number(status.pid)?;
    out.put(r#", "Since": "#)?;
    out.put_number(status.since.as_secs())?;
    out.put(r#", "Restarts": "#)?;
    out.put_number(status.restarts)?;
    out.put(r#", "LastExit": "#)?;
    match status.last_exit {
        LastExit::None => out.put(r#""""#)?,
        exit => out.put_string(exit)?,
    }
    match status.next_run {
        NextRun::None => Ok(()),
        NextRun::In(time) => put_seconds(out, "Next", Some(time)),
        NextRun::AwaitsClock => out.put(r#", "Next": null"#),
    }
}

/// Writes the last exit with the names of a failed start.
fn put_reason(out: &mut Writer<'_>, status: &Status, spec: &Spec) -> Result<(), Full> {
    match status.last_exit {
        LastExit::None => out.put(r#", "Reason": """#),
        exit => {
            out.put(r#", "Reason": "#)?;
            out.put_string(exit.text(spec))
        }
    }
}

/// Writes the description of a service, if it has one.
fn put_description(out: &mut Writer<'_>, spec: &Spec) -> Result<(), Full> {
    if let Some(description) = &spec.description {
        out.put(r#", "Description": "#)?;
        out.put_text(description)?;
    }
    Ok(())
}

/// Writes a member of `true` or `false`.
fn put_flag(out: &mut Writer<'_>, name: &str, value: bool) -> Result<(), Full> {
    out.put(r#", ""#)?;
    out.put(name)?;
    out.put(if value { r#"": true"# } else { r#"": false"# })
}

/// Writes a member of whole seconds, if there is a time.
fn put_seconds(out: &mut Writer<'_>, name: &str, time: Option<Duration>) -> Result<(), Full> {
    match time {
        Some(time) => out.put_display(format_args!(r#", "{name}": {}"#, time.as_secs())),
        None => Ok(()),
    }
}

/// Writes a member that is an array of strings.
fn put_array<'t>(out: &mut Writer<'_>, name: &str, texts: impl Iterator<Item = &'t str>) -> Result<(), Full> {
    out.put(r#", ""#)?;
    out.put(name)?;
    out.put(r#"": "#)?;
    put_list(out, texts)
}

/// Writes an array of strings.
pub(super) fn put_list<T: Display>(out: &mut Writer<'_>, texts: impl Iterator<Item = T>) -> Result<(), Full> {
    out.put("[")?;
    let mut separator = "";
    for text in texts {
        out.put(separator)?;
        separator = ",";
        out.put_string(text)?;
    }
    out.put("]")
}
