//! Keys of a service that differ from their defaults, under their names in the configuration file.

use core::fmt::Display;

use super::services::put_list;
use crate::json::{Full, Writer};
use crate::service::{
    Attributes, CONTROLS, DirectoryKind, OutputFile, ReadyCheck, Resource, SERVICE_READY_TIMEOUT, Schedule,
    ServiceKind, Spec, TimeOfDay,
};

/// Object whose members are written one by one. Without any, nothing is written.
struct Keys<'w, 'b> {
    out: &'w mut Writer<'b>,
    separator: &'static str,
}

impl Keys<'_, '_> {
    fn name(&mut self, name: &str) -> Result<(), Full> {
        self.out.put(self.separator)?;
        self.separator = ", ";
        self.out.put_text(name)?;
        self.out.put(": ")
    }

    /// Writes a number, or `true`.
    fn value(&mut self, name: &str, value: impl Display) -> Result<(), Full> {
        self.name(name)?;
        self.out.put_display(format_args!("{value}"))
    }

    fn text(&mut self, name: &str, text: impl Display) -> Result<(), Full> {
        self.name(name)?;
        self.out.put_string(text)
    }

    fn texts<T: Display>(&mut self, name: &str, texts: impl Iterator<Item = T>) -> Result<(), Full> {
        self.name(name)?;
        put_list(self.out, texts)
    }
}

/// Writes the member `Keys`, if any key that has no member of its own differs from its default.
pub(super) fn put(out: &mut Writer<'_>, spec: &Spec) -> Result<(), Full> {
    let Spec {
        kind,
        schedule,
        requires,
        wait,
        needs,
        ready,
        ready_timeout,
        watchdog,
        attributes,
        output,
        ..
    } = spec;
    let mut keys = Keys { out, separator: r#", "Keys": {"# };
    if *kind != ServiceKind::Simple {
        keys.text("type", kind.name())?;
    }
    if !requires.is_empty() {
        keys.texts("requires", requires.iter())?;
    }
    for (name, conditions) in [("wait", wait), ("needs", needs)] {
        if !conditions.is_empty() {
            keys.texts(name, conditions.iter())?;
        }
    }
    if *ready != ReadyCheck::OfKind {
        keys.text("ready", ready)?;
    }
    if *ready_timeout != SERVICE_READY_TIMEOUT {
        keys.value("ready_timeout_s", ready_timeout.as_secs())?;
    }
    if let Some(watchdog) = watchdog {
        keys.value("watchdog_s", watchdog.as_secs())?;
    }
    put_schedule(&mut keys, schedule)?;
    put_attributes(&mut keys, attributes)?;
    if let Some(OutputFile { path, bytes, count, day_bytes }) = output {
        keys.text("output_file", path)?;
        keys.value("output_file_bytes", bytes)?;
        keys.value("output_files", count)?;
        keys.value("output_day_bytes", day_bytes)?;
    }
    if keys.separator == ", " { out.put("}") } else { Ok(()) }
}

fn put_schedule(keys: &mut Keys<'_, '_>, schedule: &Schedule) -> Result<(), Full> {
    let Schedule { every, at, jitter } = schedule;
    if let Some(every) = every {
        keys.value("every_s", every.as_secs())?;
    }
    if !at.is_empty() {
        keys.texts("at", at.iter().map(|minute| TimeOfDay(*minute)))?;
    }
    if !jitter.is_zero() {
        keys.value("jitter_s", jitter.as_secs())?;
    }
    Ok(())
}

fn put_attributes(keys: &mut Keys<'_, '_>, attributes: &Attributes) -> Result<(), Full> {
    // A new attribute does not compile without its line here.
    let Attributes {
        nice,
        umask,
        oom_score,
        io_class,
        limits,
        controls,
        groups,
        capabilities,
        no_new_privs,
        private_tmp,
        read_only,
        env_file,
        directories,
    } = attributes;
    let default = Attributes::default();
    if *nice != default.nice {
        keys.value("nice", nice)?;
    }
    if *umask != default.umask {
        keys.text("umask", format_args!("{umask:03o}"))?;
    }
    if *oom_score != default.oom_score {
        keys.value("oom_score", oom_score)?;
    }
    if let Some(class) = io_class {
        keys.text("io_class", class)?;
    }
    if limits.iter().any(Option::is_some) {
        keys.name("limits")?;
        let mut entries = Keys { out: &mut *keys.out, separator: "{" };
        for (resource, limit) in Resource::ALL.into_iter().zip(limits) {
            if let Some(limit) = limit {
                entries.value(resource.name(), limit)?;
            }
        }
        keys.out.put("}")?;
    }
    for ((control, value), default) in CONTROLS.iter().zip(controls).zip(default.controls) {
        if *value != default {
            keys.value(control.key, value)?;
        }
    }
    if !groups.is_empty() {
        keys.texts("groups", groups.iter())?;
    }
    if let Some(capabilities) = capabilities {
        keys.texts("capabilities", capabilities.names())?;
    }
    for (name, is_set) in
        [("no_new_privs", no_new_privs), ("private_tmp", private_tmp), ("read_only", read_only)]
    {
        if *is_set {
            keys.value(name, true)?;
        }
    }
    if !env_file.is_empty() {
        keys.text("env_file", env_file)?;
    }
    for (kind, name) in DirectoryKind::ALL.into_iter().zip(directories) {
        if let Some(name) = name {
            keys.text(kind.key(), name)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use core::time::Duration;

    use super::*;
    use crate::service::{Capabilities, Endpoint, IoClass};

    fn written(change: fn(&mut Spec)) -> String {
        let mut spec = Spec::new("a", &["x"]).unwrap();
        change(&mut spec);
        let mut buffer = [0; 2048];
        let mut out = Writer::new(&mut buffer);
        put(&mut out, &spec).unwrap();
        let text = core::str::from_utf8(out.finish().unwrap()).unwrap();
        text.strip_prefix(r#", "Keys": "#).unwrap_or(text).to_owned()
    }

    #[test]
    fn keys_of_order_and_schedule_that_differ_from_their_defaults_are_written() {
        assert_eq!(written(|_| ()), "");
        let requires: fn(&mut Spec) = |spec| {
            spec.requires.push("b".try_into().unwrap()).unwrap();
            spec.ready = ReadyCheck::Line("up \"now\"".try_into().unwrap());
        };
        assert_eq!(written(requires), r#"{"requires": ["b"], "ready": "line:up \"now\""}"#);
        let connects: fn(&mut Spec) =
            |spec| spec.ready = ReadyCheck::Connect(Endpoint::tcp("[::1]:80").unwrap());
        assert_eq!(written(connects), r#"{"ready": "tcp:[::1]:80"}"#);
        let notifies: fn(&mut Spec) = |spec| {
            spec.kind = ServiceKind::Notify;
            spec.ready_timeout = Duration::from_secs(60);
            spec.watchdog = Some(Duration::from_secs(5));
        };
        assert_eq!(written(notifies), r#"{"type": "notify", "ready_timeout_s": 60, "watchdog_s": 5}"#);
        let runs: fn(&mut Spec) = |spec| {
            spec.schedule.every = Some(Duration::from_secs(60));
            spec.schedule.at.extend([185, 1439]);
            spec.schedule.jitter = Duration::from_secs(7);
        };
        assert_eq!(written(runs), r#"{"every_s": 60, "at": ["03:05","23:59"], "jitter_s": 7}"#);
    }

    #[test]
    fn attributes_that_differ_from_their_defaults_are_written() {
        let priorities: fn(&mut Spec) = |spec| {
            let attributes = &mut spec.attributes;
            (attributes.nice, attributes.umask, attributes.oom_score) = (-3, 0o7, 5);
            attributes.io_class = Some(IoClass::BestEffort(6));
        };
        let expected = r#"{"nice": -3, "umask": "007", "oom_score": 5, "io_class": "best-effort:6"}"#;
        assert_eq!(written(priorities), expected);
        let limits: fn(&mut Spec) = |spec| {
            spec.attributes.limits[Resource::Core as usize] = Some(0);
            spec.attributes.limits[Resource::Nofile as usize] = Some(9);
            spec.attributes.controls = [9, 8, 7];
            spec.attributes.io_class = Some(IoClass::Idle);
        };
        let expected = r#"{"io_class": "idle", "limits": {"core": 0, "nofile": 9}, "memory_max": 9, "pids_max": 8, "cpu_weight": 7}"#;
        assert_eq!(written(limits), expected);
        let rights: fn(&mut Spec) = |spec| {
            let attributes = &mut spec.attributes;
            attributes.groups.push("gpio".try_into().unwrap()).unwrap();
            let capabilities = ["net_raw", "chown"].map(|name| Capabilities::from_name(name).unwrap());
            attributes.capabilities = Some(capabilities[0].union(capabilities[1]));
            attributes.no_new_privs = true;
        };
        let expected = r#"{"groups": ["gpio"], "capabilities": ["chown","net_raw"], "no_new_privs": true}"#;
        assert_eq!(written(rights), expected);
        assert_eq!(
            written(|spec| spec.attributes.capabilities = Some(Capabilities::default())),
            r#"{"capabilities": []}"#
        );
        let files: fn(&mut Spec) = |spec| {
            spec.attributes.env_file = "/e".try_into().unwrap();
            spec.attributes.directories[DirectoryKind::State as usize] = Some("s".try_into().unwrap());
            spec.attributes.directories[DirectoryKind::Log as usize] = Some("l".try_into().unwrap());
        };
        assert_eq!(written(files), r#"{"env_file": "/e", "state_directory": "s", "log_directory": "l"}"#);
    }
}
