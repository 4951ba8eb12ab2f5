//! Programs of supervisord: sections `[program:NAME]`.

use std::path::Path;

use super::ini::Entry;
use super::service::Form::{Size, Words};
use super::service::{Row, Service, quoted, row, same};

/// Keys whose values are translated one by one. [`translate`] has the others.
const ROWS: &[Row] = &[
    same("command", "command"),
    same("directory", "cwd"),
    same("umask", "umask"),
    same("user", "user"),
    same("autostart", "autostart"),
    row(
        "autorestart",
        "restart",
        Words(&[("false", "\"never\""), ("unexpected", "\"on-failure\""), ("true", "\"always\"")]),
    ),
    same("exitcodes", "success_codes"),
    same("stdout_logfile", "output_file"),
    same("stopsignal", "stop_signal"),
    same("stopwaitsecs", "stop_timeout_s"),
    row("stdout_logfile_maxbytes", "output_file_bytes", Size),
    same("numprocs_start", ""),
    same("stopasgroup", ""),
    same("killasgroup", ""),
    same("redirect_stderr", ""),
    same("stdout_capture_maxbytes", ""),
    same("stderr_capture_maxbytes", ""),
];

/// Files of the output that are none.
const MEMORY: &[&str] =
    &["", "none", "off", "auto", "/dev/stdout", "/dev/stderr", "/dev/fd/1", "/dev/fd/2", "/dev/null"];

/// Values of keys that a program has not.
const DEFAULTS: &[(&str, &str)] =
    &[("autostart", "true"), ("autorestart", "unexpected"), ("startretries", "3")];

/// Services of a file.
pub(super) fn services(path: &Path, entries: &[Entry<'_>]) -> Vec<Service> {
    let mut services: Vec<Service> = Vec::new();
    let mut others: Vec<&Entry<'_>> = Vec::new();
    for entry in entries {
        match entry.section.strip_prefix("program:").map(str::trim) {
            Some(name) if services.iter().any(|service| service.name == name) => {}
            Some(name) => {
                let own: Vec<_> = entries.iter().filter(|other| other.section == entry.section).collect();
                services.push(service(path, name, &own));
            }
            None => others.push(entry),
        }
    }
    // Those of supervisord itself, once each, before the first service.
    if let Some(first) = services.first_mut() {
        others.dedup_by_key(|entry| entry.section);
        for entry in others.iter().rev() {
            let note = format!("{}:{}: [{}]: not translated", first.file, entry.line, entry.section);
            first.notes.insert(0, note);
        }
    }
    services
}

/// The service of the entries of one program.
fn service(path: &Path, name: &str, entries: &[&Entry<'_>]) -> Service {
    let mut service = Service::new(name, path);
    let value_of = |key: &str| {
        entries
            .iter()
            .rev()
            .find(|entry| entry.key.eq_ignore_ascii_case(key))
            .map(|entry| entry.value.as_str())
    };
    for (key, value) in DEFAULTS.iter().filter(|(key, _)| value_of(key).is_none()) {
        translate(&mut service, &Entry { line: 0, section: "", key, value: (*value).to_owned() });
    }
    let number = |key: &str| value_of(key).and_then(|value| value.parse::<u32>().ok());
    let first = number("numprocs_start").unwrap_or(0);
    let count = number("numprocs").unwrap_or(1);
    let mut texts = Texts { path, name, first, has_instances: count > 1, width: None, differs: false };
    for entry in entries.iter().filter(|entry| !is_name(entry)) {
        let (value, unknown) = texts.replace(&entry.value);
        let entry = entry.with(&value);
        if core::mem::take(&mut texts.differs) {
            service.note(&entry, "another form of %(process_num) than before");
        }
        if let Some(name) = unknown {
            service.note(&entry, &format!("%({name}) is not replaced here"));
        }
        translate(&mut service, &entry);
    }
    // The names of processes have none of their own here.
    if let (None, Some(entry)) = (texts.width, entries.iter().rfind(|entry| is_name(entry))) {
        texts.replace(&entry.value);
    }
    if count > 1 {
        for number in first..first.saturating_add(count.min(1000)) {
            let width = texts.width.unwrap_or(0);
            service.push("instances", &format!("{number:0width$}"));
        }
    }
    service
}

fn is_name(entry: &Entry<'_>) -> bool {
    entry.key.eq_ignore_ascii_case("process_name")
}

fn translate(service: &mut Service, entry: &Entry<'_>) {
    let value = entry.value.as_str();
    let key = entry.key.to_ascii_lowercase();
    match key.as_str() {
        "environment" => {
            for pair in pairs(value) {
                match pair {
                    Ok((name, value)) => service.insert("env", name, quoted(value)),
                    Err(rest) => service.note(entry, &format!("expected NAME=\"value\" at '{rest}'")),
                }
            }
        }
        "numprocs" if value.parse::<u32>().is_ok_and(|count| count > 0) => {}
        // So many failed starts, or old files, besides the first one.
        "startretries" | "stdout_logfile_backups" => {
            let ours = if key == "startretries" { "start_limit" } else { "output_files" };
            let more = value.parse::<u64>().map(|count| count.saturating_add(1).to_string());
            service.translate(&entry.with(more.as_deref().unwrap_or(value)), &same("", ours));
        }
        // The newest output is in memory in any case.
        "stdout_logfile" if !value.starts_with('/') || value.starts_with("/dev/") => {
            let is_file = !MEMORY.iter().any(|word| value.eq_ignore_ascii_case(word));
            service.unset("output_file");
            if is_file {
                service.note(entry, "expected an absolute path of a file");
            }
        }
        key => match ROWS.iter().find(|row| row.theirs == key) {
            Some(row) => service.translate(entry, row),
            None => service.note(entry, "not translated"),
        },
    }
}

/// Texts that `%(NAME)s` stands for.
struct Texts<'a> {
    path: &'a Path,
    name: &'a str,
    first: u32,
    has_instances: bool,
    /// Digits of the number of a process.
    width: Option<usize>,
    /// Another number had other digits.
    differs: bool,
}

impl Texts<'_> {
    /// Replaces what is known, and returns a name that is not.
    fn replace(&mut self, text: &str) -> (String, Option<String>) {
        let mut replaced = String::new();
        let mut unknown = None;
        let mut rest = text;
        while let Some((before, after)) = rest.split_once('%') {
            replaced += before;
            if let Some(after) = after.strip_prefix('%') {
                replaced.push('%');
                rest = after;
                continue;
            }
            let parts = after.strip_prefix('(').and_then(|after| after.split_once(')'));
            let Some((name, after)) = parts else {
                replaced.push('%');
                rest = after;
                continue;
            };
            // The conversion: `s`, `d` or `02d`.
            let end = after.find(|sign: char| sign.is_ascii_alphabetic()).map_or(after.len(), |at| at + 1);
            let (conversion, after) = after.split_at(end);
            rest = after;
            match name {
                "program_name" | "group_name" => replaced += self.name,
                "process_num" => {
                    let digits = conversion.trim_matches(|sign: char| !sign.is_ascii_digit());
                    let width = digits.parse().unwrap_or(0).min(9);
                    self.differs |= self.has_instances
                        && self.width.replace(width).is_some_and(|earlier| earlier != width);
                    match self.has_instances {
                        true => replaced += "%i",
                        false => replaced += &format!("{:0width$}", self.first),
                    }
                }
                "here" => {
                    let path = std::path::absolute(self.path).unwrap_or_else(|_| self.path.to_owned());
                    replaced += &path.parent().unwrap_or(Path::new("/")).to_string_lossy();
                }
                _ => {
                    replaced = replaced + "%(" + name + ")" + conversion;
                    unknown = Some(name.to_owned());
                }
            }
        }
        (replaced + rest, unknown)
    }
}

/// Names and values of `NAME="value",NAME=value`, or what is neither.
fn pairs(text: &str) -> impl Iterator<Item = Result<(&str, &str), &str>> {
    let mut rest = text.trim();
    std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        let whole = std::mem::take(&mut rest);
        let Some((name, after)) = whole.split_once('=') else { return Some(Err(whole)) };
        let after = after.trim_start();
        let (value, after) = match after.chars().next().filter(|first| matches!(first, '"' | '\'')) {
            Some(quote) => match after[1..].split_once(quote) {
                Some(parts) => parts,
                None => return Some(Err(whole)),
            },
            None => {
                let end = after.find(|sign: char| sign == ',' || sign.is_whitespace()).unwrap_or(after.len());
                after.split_at(end)
            }
        };
        rest = after.trim_start_matches(|sign: char| sign == ',' || sign.is_whitespace());
        Some(Ok((name.trim(), value)))
    })
}

#[cfg(test)]
mod tests {
    use super::super::tests::{assert_translated, text_of};

    #[test]
    fn program_with_its_defaults() {
        assert_translated(
            "/etc/supervisord.conf",
            "[unix_http_server]\nfile=/run/s.sock\n[supervisord]\nnodaemon=true\nloglevel=info\n[program:cat]\ncommand=/bin/cat\n",
            "# supervisord.conf:2: [unix_http_server]: not translated
# supervisord.conf:4: [supervisord]: not translated
[[service]]
name = \"cat\"
nice = 0
autostart = true
restart = \"on-failure\"
start_limit = 4
command = [\"/bin/cat\"]",
        );
    }

    #[test]
    fn program_with_many_keys() {
        assert_translated(
            "/etc/supervisor/conf.d/worker.conf",
            "[program:worker]
command=/opt/app/worker --queue %(process_num)02d \"a b\" 100%% ; comment
process_name=%(program_name)s_%(process_num)02d
numprocs=2
numprocs_start=1
directory=%(here)s
umask=027
user=www-data
environment=LANG=\"C.UTF-8\",A='x,y',B=1
autostart=no
autorestart=true
startsecs=5
startretries=0
exitcodes=0,2
stopsignal=INT
stopwaitsecs=600
stopasgroup=true
redirect_stderr=true
stdout_logfile=/var/log/%(program_name)s-%(process_num)02d.log
stdout_logfile_maxbytes=1MB
stdout_logfile_backups=3
",
            "# worker.conf:12: startsecs=5: not translated
# worker.conf:16: stopwaitsecs=600: 300 is the most
[[service]]
name = \"worker\"
nice = 0
command = [\"/opt/app/worker\", \"--queue\", \"%i\", \"a b\", \"100%\"]
cwd = \"/etc/supervisor/conf.d\"
umask = \"027\"
user = \"www-data\"
env = { LANG = \"C.UTF-8\", A = \"x,y\", B = \"1\" }
autostart = false
restart = \"always\"
start_limit = 1
success_codes = [0, 2]
stop_signal = \"INT\"
stop_timeout_s = 300
output_file = \"/var/log/worker-%i.log\"
output_file_bytes = 1048576
output_files = 4
instances = [\"01\", \"02\"]",
        );
    }

    #[test]
    fn setting_without_a_twin_is_a_comment_with_its_line() {
        let text = text_of(
            "f.conf",
            "[program:x]\ncommand=%(ENV_HOME)s/x 'a\nautorestart=sometimes\nenvironment=A\nstdout_logfile=x.log\n\
             stdout_logfile_maxbytes=0\nstdout_syslog=true\nnumprocs=many\n[eventlistener:y]\ncommand=y\n",
        );
        for note in [
            "# f.conf:2: command=%(ENV_HOME)s/x 'a: %(ENV_HOME) is not replaced here\n",
            "# f.conf:2: command=%(ENV_HOME)s/x 'a: the quote ' is not closed\n",
            "# f.conf:3: autorestart=sometimes: not translated\n",
            "# f.conf:4: environment=A: expected NAME=\"value\" at 'A'\n",
            "# f.conf:5: stdout_logfile=x.log: expected an absolute path of a file\n",
            "# f.conf:6: stdout_logfile_maxbytes=0: 16777216 is the most\n",
            "# f.conf:7: stdout_syslog=true: not translated\n",
            "# f.conf:8: numprocs=many: not translated\n",
            "# f.conf:10: [eventlistener:y]: not translated\n",
        ] {
            assert!(text.contains(note), "{note}{text}");
        }
    }

    #[test]
    fn numbers_of_processes_have_the_form_of_the_command() {
        let text = text_of(
            "f",
            "[program:x]\nprocess_name=%(program_name)s_%(process_num)02d\ncommand=/x 800%(process_num)d\nnumprocs=2\n\
             stdout_logfile=/x-%(process_num)02d.log\nstdout_logfile=/dev/stdout\n",
        );
        assert!(text.contains("command = [\"/x\", \"800%i\"]\n"), "{text}");
        assert!(
            text.contains("# f:5: stdout_logfile=/x-%i.log: another form of %(process_num) than before\n"),
            "{text}"
        );
        assert!(!text.contains("output_file"), "the last one counts: {text}");
        let text = text_of("f", "[program:x]\nprocess_name=x_%(process_num)02d\ncommand=/x\nnumprocs=2\n");
        assert!(text.contains("instances = [\"00\", \"01\"]\n"), "{text}");
    }

    #[test]
    fn here_is_an_absolute_directory() {
        let text = text_of("f", "[program:x]\ncommand=%(here)s/x\n");
        let here = std::env::current_dir().unwrap();
        assert!(text.contains(&format!("command = [\"{}/x\"]\n", here.display())), "{text}");
    }

    #[test]
    fn number_of_one_process_is_its_first() {
        let text =
            text_of("f", "[program:x]\ncommand=/x %(process_num)02d %( 5% %(process_num\nnumprocs_start=7\n");
        assert!(text.contains("command = [\"/x\", \"07\", \"%(\", \"5%\", \"%(process_num\"]\n"), "{text}");
    }
}
