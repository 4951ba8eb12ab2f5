//! Paths that a service with `private_tmp` has in the common `/tmp`, and does not find in its own.

use super::Lacks;
use super::root::Root;
use crate::config::Config;
use crate::keeper::TMP;
use crate::service::{CheckKind, Endpoint, Program, ReadyCheck, ServiceId, Spec};

/// Adds them for a service. `env_file` is not one of them: it is read before.
pub(super) fn warn(config: &Config, service: ServiceId, spec: &Spec, root: Root<'_>, lacks: &mut Lacks<'_>) {
    if !spec.attributes.private_tmp {
        return;
    }
    let mut paths = vec![("cwd", &*spec.cwd)];
    paths
        .extend(Program::all().filter_map(|program| {
            Some((program.key(), config.services.program(service, program)?.first()?))
        }));
    // The server connects to them, and sees the common directory alone.
    if let ReadyCheck::Connect(Endpoint::Unix(path)) = &spec.ready {
        paths.push(("ready", path));
    }
    for (_, check) in config.services.checks().filter(|(_, check)| check.service == Some(service)) {
        if let CheckKind::Connect(Endpoint::Unix(path)) = &check.kind {
            paths.push(("check", path));
        }
    }
    for (key, path) in paths {
        if let Some(tmp) = TMP.iter().find(|tmp| root.is_below(path, tmp)) {
            let name = &spec.name;
            let message = format!(
                "{name}: {key}: {path}: it is in the common {tmp}, and the service has its own (private_tmp)"
            );
            lacks.found.push(lacks.places.warning(name, key, message, String::new()));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::config::{Places, Source};
    use crate::sys::tests::TestDirectory;

    #[test]
    fn paths_in_the_common_directories_are_named() {
        let root = TestDirectory::new("private-tmp");
        for name in ["tmp/web", "var/tmp", "srv"] {
            fs::create_dir_all(root.0.join(name)).unwrap();
        }
        let keys = "command = ['/tmp/web/run']\npre_start = ['/srv/prepare']\nstop_command = ['/var/tmp/stop']\n\
                    finish = ['/tmp/../tmp/clean']\ncwd = '/tmp/web'\nenv_file = '/tmp/web/env'\n\
                    ready = 'unix:/tmp/ready'\nhealth = { unix = '/tmp/alive' }\n";
        let service = |name, own| format!("[[service]]\nname = '{name}'\nprivate_tmp = {own}\n{keys}");
        let commands = "[service.commands]\nrun = ['/tmp/web/run']\ntest = ['sh']\n";
        let text = service("web", true) + commands + &service("other", false);
        let config = crate::config::parse(&text, "f", "/bin/sh").unwrap();
        let places = Places::new(&[Source::new("f", &text)]);
        let mut lacks = Lacks { places: &places, found: Vec::new() };
        for (service, spec) in config.services.iter() {
            warn(&config, service, spec, Root(Some(&root.0)), &mut lacks);
        }
        let own = "and the service has its own (private_tmp)";
        let in_tmp = |key: &str, path: &str| format!("web: {key}: {path}: it is in the common /tmp, {own}");
        let warnings: Vec<_> = lacks.found.into_iter().map(|warning| warning.message).collect();
        assert_eq!(
            warnings,
            [
                in_tmp("cwd", "/tmp/web"),
                in_tmp("commands", "/tmp/web/run"),
                in_tmp("command", "/tmp/web/run"),
                format!("web: stop_command: /var/tmp/stop: it is in the common /var/tmp, {own}"),
                in_tmp("finish", "/tmp/../tmp/clean"),
                in_tmp("ready", "/tmp/ready"),
                in_tmp("check", "/tmp/alive"),
            ]
        );
    }
}
