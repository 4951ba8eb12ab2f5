//! Units of systemd: the section `[Service]` of a `NAME.service`, with `[Unit]` and `[Install]`.

use std::path::Path;

use super::ini::{self, Entry};
use super::service::Form::{Member, Size, Span, Words};
use super::service::{Row, Service, list, quoted, row, same};
use super::words;

/// Ends of a board, where a unit ends the system.
const ENDS: &[(&str, &str)] = &[
    ("none", "\"none\""),
    ("reboot", "\"reboot\""),
    ("reboot-force", "\"reboot\""),
    ("reboot-immediate", "\"reboot\""),
    ("poweroff", "\"poweroff\""),
    ("poweroff-force", "\"poweroff\""),
    ("poweroff-immediate", "\"poweroff\""),
];

/// Keys whose values are translated one by one; those of [`special`] are not among them.
const ROWS: &[Row] = &[
    same("Description", "description"),
    same("WorkingDirectory", "cwd"),
    same("User", "user"),
    same("SupplementaryGroups", "groups"),
    same("UMask", "umask"),
    same("Nice", "nice"),
    same("OOMScoreAdjust", "oom_score"),
    row(
        "Restart",
        "restart",
        Words(&[("no", "\"never\""), ("on-failure", "\"on-failure\""), ("always", "\"always\"")]),
    ),
    same("StartLimitBurst", "start_limit"),
    same("SuccessExitStatus", "success_codes"),
    row("FailureAction", "on_failure", Words(ENDS)),
    row("SuccessAction", "on_success", Words(ENDS)),
    row("TimeoutStartSec", "ready_timeout_s", Span),
    row("TimeoutStopSec", "stop_timeout_s", Span),
    row("RuntimeMaxSec", "max_runtime_s", Span),
    row("WatchdogSec", "watchdog_s", Span),
    same("KillSignal", "stop_signal"),
    row("KillMode", "", Words(&[("control-group", "")])),
    row("LimitNOFILE", "limits", Member("nofile")),
    row("LimitNPROC", "limits", Member("nproc")),
    row("LimitCORE", "limits", Member("core")),
    row("LimitAS", "limits", Member("as")),
    row("LimitFSIZE", "limits", Member("fsize")),
    row("LimitMEMLOCK", "limits", Member("memlock")),
    row("LimitSTACK", "limits", Member("stack")),
    row("MemoryMax", "memory_max", Size),
    same("TasksMax", "pids_max"),
    same("CPUWeight", "cpu_weight"),
    same("NoNewPrivileges", "no_new_privs"),
    same("PrivateTmp", "private_tmp"),
    row("ProtectSystem", "read_only", Words(&[("strict", "true")])),
    same("StateDirectory", "state_directory"),
    same("RuntimeDirectory", "runtime_directory"),
    same("LogsDirectory", "log_directory"),
    row("RemainAfterExit", "", Words(&[("yes", ""), ("true", "")])),
    same("Documentation", ""),
    same("StandardOutput", ""),
    same("StandardError", ""),
    same("SyslogIdentifier", ""),
    same("Alias", ""),
];

/// Name of a unit in its parts.
struct Unit<'a> {
    /// `NAME` of `NAME.service` and `NAME@INSTANCE.service`.
    prefix: &'a str,
    /// `INSTANCE`, empty for the template itself.
    instance: Option<&'a str>,
}

impl<'a> Unit<'a> {
    fn new(file: &'a str) -> Self {
        let name = file.strip_suffix(".service").unwrap_or(file);
        match name.split_once('@') {
            Some((prefix, instance)) => Self { prefix, instance: Some(instance) },
            None => Self { prefix: name, instance: None },
        }
    }

    /// Name of the service here.
    fn service(&self) -> String {
        match self.instance {
            Some(instance) if !instance.is_empty() => format!("{}@{instance}", self.prefix),
            _ => self.prefix.to_owned(),
        }
    }

    /// Replaces the specifiers of a text, and returns one that is not known.
    fn replace(&self, text: &str) -> (String, Option<char>) {
        let mut replaced = String::new();
        let mut unknown = None;
        let mut signs = text.chars();
        while let Some(sign) = signs.next() {
            if sign != '%' {
                replaced.push(sign);
                continue;
            }
            match (signs.next(), self.instance) {
                (Some('%') | None, _) => replaced.push('%'),
                (Some('n'), _) => replaced = replaced + &self.service() + ".service",
                (Some('N'), _) => replaced += &self.service(),
                (Some('p' | 'P'), _) => replaced += self.prefix,
                (Some('i' | 'I'), Some("")) => replaced += "%i",
                (Some('i' | 'I'), instance) => replaced += instance.unwrap_or_default(),
                (Some(other), _) => {
                    replaced.extend(['%', other]);
                    unknown = Some(other);
                }
            }
        }
        (replaced, unknown)
    }
}

/// The service of a unit.
pub(super) fn service(path: &Path, entries: &[Entry<'_>]) -> Service {
    let file = path.file_name().unwrap_or_default().to_string_lossy();
    let unit = Unit::new(&file);
    let mut service = Service::new(&unit.service(), path);
    service.set("stop_timeout_s", "90");
    let type_of = |entry: &&Entry<'_>| entry.section == ini::SERVICE && entry.key == "Type";
    if entries.iter().rfind(type_of).is_some_and(|entry| entry.value.starts_with("notify")) {
        service.set("ready_timeout_s", "90");
    }
    for entry in entries {
        let (value, unknown) = unit.replace(&entry.value);
        let entry = entry.with(&value);
        if let Some(specifier) = unknown {
            service.note(&entry, &format!("%{specifier} is not replaced here"));
        }
        if special(&mut service, &entry) {
            continue;
        }
        match ROWS.iter().find(|row| row.theirs == entry.key) {
            Some(row) => service.translate(&entry, row),
            None => service.note(&entry, "not translated"),
        }
    }
    if unit.instance == Some("") {
        service.notes.push(format!("{file}: a template: name its 'instances'"));
    }
    if path.with_file_name(format!("{file}.d")).is_dir() {
        service.notes.push(format!("{file}.d: not read"));
    }
    service
}

/// Translates a key that has no row, and returns whether it was one.
fn special(service: &mut Service, entry: &Entry<'_>) -> bool {
    let value = entry.value.as_str();
    match entry.key {
        "Type" => match value {
            "simple" | "exec" => service.unset("type"),
            "notify" | "oneshot" => service.set("type", &quoted(value)),
            "notify-reload" => service.set("type", &quoted("notify")),
            "forking" => service.note(entry, "run the program in the foreground"),
            _ => service.note(entry, "not translated"),
        },
        "ExecStart" => command(service, "command", entry),
        "ExecStartPre" => command(service, "pre_start", entry),
        "ExecStop" => command(service, "stop_command", entry),
        "ExecStopPost" => command(service, "finish", entry),
        "ExecReload" => {
            let signal = |words: &[String]| match words {
                [kill, signal, pid]
                    if kill.ends_with("kill") && matches!(&**pid, "$MAINPID" | "${MAINPID}") =>
                {
                    Some(signal.trim_start_matches('-').trim_start_matches("SIG").to_owned())
                }
                _ => None,
            };
            match words::split(value) {
                Ok(words) if words.is_empty() => service.unset("commands"),
                Ok(words) => {
                    if service.has("commands") {
                        service.note(entry, "in place of an earlier one");
                    }
                    let toml = signal(&words).map_or_else(|| list(&words), |signal| quoted(&signal));
                    service.insert("commands", "reload", toml);
                }
                Err(reason) => service.note(entry, &reason),
            }
        }
        "Environment" if value.is_empty() => service.unset("env"),
        "Environment" => match words::split(value) {
            Ok(words) => {
                for word in &words {
                    match word.split_once('=') {
                        Some((name, value)) => service.insert("env", name, quoted(value)),
                        None => service.note(entry, "expected NAME=VALUE"),
                    }
                }
            }
            Err(reason) => service.note(entry, &reason),
        },
        "EnvironmentFile" => {
            if service.has("env_file") && !value.is_empty() {
                service.note(entry, "a second one");
                return true;
            }
            if value.starts_with('-') {
                service.note(entry, "it has to be there");
            }
            let file = entry.with(value.trim_start_matches('-'));
            service.translate(&file, &same("", "env_file"));
        }
        "Group" => service.note(entry, "not translated; 'user' may be uid:gid in numbers"),
        "IOSchedulingClass" => match value {
            "idle" | "best-effort" => service.set("io_class", &quoted(value)),
            _ => service.note(entry, "not translated"),
        },
        "IOSchedulingPriority" => service.set("io_class", &quoted(&format!("best-effort:{value}"))),
        "TimeoutSec" => {
            for ours in ["ready_timeout_s", "stop_timeout_s"] {
                service.translate(entry, &row("", ours, Span));
            }
        }
        "CapabilityBoundingSet" | "AmbientCapabilities" if value.starts_with('~') => {
            service.note(entry, "not translated");
        }
        // With a user, the bounding set alone gives none.
        "CapabilityBoundingSet" if service.has("user") => {
            service.note(entry, "'capabilities' are those of AmbientCapabilities")
        }
        "CapabilityBoundingSet" | "AmbientCapabilities" => {
            let names = entry.with(&value.to_ascii_lowercase().replace("cap_", ""));
            service.unset("capabilities");
            service.translate(&names, &same("", "capabilities"));
        }
        "After" => dependencies(service, "after", entry),
        "Requires" | "BindsTo" => dependencies(service, "requires", entry),
        "Wants" => {
            for name in value.split_whitespace().filter(|name| wait(name).is_none()) {
                service.note(&entry.with(name), "not translated");
            }
        }
        "ConditionPathExists" if value.starts_with('/') => {
            service.translate(&entry.with(&format!("path:{value}")), &same("", "wait"));
        }
        "WantedBy" | "RequiredBy" => {
            service.set("autostart", if value.is_empty() { "false" } else { "true" })
        }
        _ => return false,
    }
    true
}

/// Translates a command line: the signs before it, and what only systemd replaces.
fn command(service: &mut Service, key: &'static str, entry: &Entry<'_>) {
    let text = entry.value.trim_start_matches(['-', '@', ':', '+', '!', '|']);
    let signs = &entry.value[..entry.value.len() - text.len()];
    if text.is_empty() {
        return service.unset(key);
    }
    if service.has(key) {
        return service.note(entry, "a second one");
    }
    let words = match words::split(text) {
        Ok(words) => words,
        Err(reason) => return service.note(entry, &reason),
    };
    if !signs.is_empty() {
        service.note(entry, &format!("'{signs}' is left out"));
    }
    if words.iter().any(|word| word == ";") {
        service.note(entry, "several programs: use a script");
    }
    let is_variable = |word: &String| word.replace("$$", "").contains('$');
    if !signs.contains(':') && words.iter().any(is_variable) {
        service.note(entry, "no $NAME is replaced here, but by [\"/bin/sh\", \"-c\", \"exec ..\"]");
    }
    let words: Vec<String> = words.iter().map(|word| word.replace("$$", "$")).collect();
    service.set(key, &list(&words));
}

/// Condition for the target of a unit.
fn wait(unit: &str) -> Option<&'static str> {
    match unit {
        "network-online.target" => Some("network"),
        "time-sync.target" => Some("ntp"),
        _ => None,
    }
}

/// Translates the names of other units. Targets that a server always comes after have no effect.
fn dependencies(service: &mut Service, key: &'static str, entry: &Entry<'_>) {
    if entry.value.is_empty() {
        service.unset(key);
    }
    for unit in entry.value.split_whitespace() {
        match (wait(unit), unit.strip_suffix(".service")) {
            (Some(condition), _) => service.push("wait", condition),
            (None, Some(name)) => service.refer(key, entry, name),
            (None, None) if unit.ends_with(".target") => {}
            _ => service.note(&entry.with(unit), "not translated"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{assert_translated, text_of};

    #[test]
    fn unit_with_its_defaults() {
        assert_translated(
            "/lib/systemd/system/cat.service",
            "[Unit]\nDescription=A cat\n[Service]\nExecStart=/bin/cat\n[Install]\nWantedBy=multi-user.target\n",
            "[[service]]
name = \"cat\"
nice = 0
stop_timeout_s = 90
description = \"A cat\"
command = [\"/bin/cat\"]
autostart = true",
        );
    }

    #[test]
    fn unit_with_many_keys() {
        assert_translated(
            "gateway.service",
            "[Unit]
Description=Reads the meter
After=network-online.target time-sync.target basic.target
Wants=network-online.target
ConditionPathExists=/etc/gateway.conf
StartLimitBurst=5
FailureAction=reboot-force
[Service]
Type=notify
ExecStartPre=/usr/bin/gateway --migrate
ExecStart=/usr/bin/gateway \\
    --name 'a b' \\
    --unit %n 100%%
ExecStart=
ExecStart=/usr/bin/gateway --cost $$5
ExecReload=/bin/kill -HUP $MAINPID
ExecStop=/usr/bin/gateway --stop
ExecStopPost=/usr/bin/gateway --clean
Environment=\"A=1 2\" B=3
Environment=B=4
EnvironmentFile=/etc/default/gateway
User=www-data
SupplementaryGroups=dialout plugdev
AmbientCapabilities=CAP_NET_BIND_SERVICE CAP_NET_RAW
WorkingDirectory=/var/lib/gateway
UMask=0077
Nice=-5
OOMScoreAdjust=-100
IOSchedulingClass=best-effort
IOSchedulingPriority=2
Restart=on-failure
SuccessExitStatus=3 4
TimeoutStartSec=2min
TimeoutStopSec=1min 30s
RuntimeMaxSec=1d
WatchdogSec=30
KillSignal=SIGINT
KillMode=control-group
LimitNOFILE=1024:4096
LimitCORE=0
MemoryMax=64M
TasksMax=20
CPUWeight=200
NoNewPrivileges=yes
PrivateTmp=true
ProtectSystem=strict
StateDirectory=gateway
",
            "# gateway.service:39: LimitNOFILE=1024:4096: one limit here, the first
[[service]]
name = \"gateway\"
description = \"Reads the meter\"
wait = [\"network\", \"ntp\", \"path:/etc/gateway.conf\"]
start_limit = 5
on_failure = \"reboot\"
type = \"notify\"
pre_start = [\"/usr/bin/gateway\", \"--migrate\"]
command = [\"/usr/bin/gateway\", \"--cost\", \"$5\"]
commands = { reload = \"HUP\" }
stop_command = [\"/usr/bin/gateway\", \"--stop\"]
finish = [\"/usr/bin/gateway\", \"--clean\"]
env = { A = \"1 2\", B = \"4\" }
env_file = \"/etc/default/gateway\"
user = \"www-data\"
groups = [\"dialout\", \"plugdev\"]
capabilities = [\"net_bind_service\", \"net_raw\"]
cwd = \"/var/lib/gateway\"
umask = \"0077\"
nice = -5
oom_score = -100
io_class = \"best-effort:2\"
restart = \"on-failure\"
success_codes = [3, 4]
ready_timeout_s = 120
stop_timeout_s = 90
max_runtime_s = 86400
watchdog_s = 30
stop_signal = \"INT\"
limits = { nofile = 1024, core = 0 }
memory_max = 67108864
pids_max = 20
cpu_weight = 200
no_new_privs = true
private_tmp = true
read_only = true
state_directory = \"gateway\"",
        );
    }

    #[test]
    fn template_and_instance() {
        let text = text_of("getty@.service", "[Service]\nExecStart=/sbin/getty %I %p\n");
        assert!(text.contains("# getty@.service: a template: name its 'instances'\n"), "{text}");
        assert!(text.contains("name = \"getty\"\n"), "{text}");
        assert!(text.contains("[\"/sbin/getty\", \"%i\", \"getty\"]"), "{text}");
        let text = text_of("getty@tty1.service", "[Service]\nExecStart=/sbin/getty %I %n\n");
        assert!(text.contains("name = \"getty@tty1\"\n"), "{text}");
        assert!(text.contains("[\"/sbin/getty\", \"tty1\", \"getty@tty1.service\"]"), "{text}");
    }

    #[test]
    fn setting_without_a_twin_is_a_comment_with_its_line() {
        let text = text_of(
            "f.service",
            "[Unit]\nWants=x.service\nAfter=y.service z.socket\n[Service]\nType=forking\nExecStart=-/x $A ; /y %h\n\
             ExecStart=/z\nExecStop=+/x\nGroup=www\nRestart=on-abort\nKillMode=process\nUser=a\n\
             CapabilityBoundingSet=CAP_KILL\nTimeoutStopSec=infinity\nMemoryMax=50%\nLimitNOFILE=infinity\n\
             ProtectSystem=full\nEnvironmentFile=-/etc/x\nRestartSec=5\nTasksMax=infinity\nNice=a\n",
        );
        for note in [
            "f.service:2: Wants=x.service: not translated",
            "f.service:3: After=y.service: not imported with it",
            "f.service:3: After=z.socket: not translated",
            "f.service:5: Type=forking: run the program in the foreground",
            "f.service:6: ExecStart=-/x $A ; /y %h: %h is not replaced here",
            "f.service:6: ExecStart=-/x $A ; /y %h: '-' is left out",
            "f.service:6: ExecStart=-/x $A ; /y %h: several programs: use a script",
            "f.service:6: ExecStart=-/x $A ; /y %h: no $NAME is replaced here, but by [\"/bin/sh\", \"-c\", \"exec ..\"]",
            "f.service:7: ExecStart=/z: a second one",
            "f.service:8: ExecStop=+/x: '+' is left out",
            "f.service:9: Group=www: not translated; 'user' may be uid:gid in numbers",
            "f.service:10: Restart=on-abort: not translated",
            "f.service:11: KillMode=process: not translated",
            "f.service:13: CapabilityBoundingSet=CAP_KILL: 'capabilities' are those of AmbientCapabilities",
            "f.service:14: TimeoutStopSec=infinity: 300 is the most",
            "f.service:15: MemoryMax=50%: not translated",
            "f.service:16: LimitNOFILE=infinity: not translated",
            "f.service:17: ProtectSystem=full: not translated",
            "f.service:18: EnvironmentFile=-/etc/x: it has to be there",
            "f.service:19: RestartSec=5: not translated",
            "f.service:21: Nice=a: not translated",
        ] {
            assert!(text.contains(&format!("# {note}\n")), "{note}{text}");
        }
        assert!(
            text.contains("stop_timeout_s = 300\n") && text.contains("env_file = \"/etc/x\"\n"),
            "{text}"
        );
        assert!(text.contains("pids_max = 0\n"), "{text}");
    }
}
