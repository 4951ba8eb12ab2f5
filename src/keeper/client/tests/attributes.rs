//! Attributes of the processes of a service, as they see them.

use super::*;
use crate::service::{AccountName, Attributes, IoClass, Resource};

fn with(script: &str, change: impl FnOnce(&mut Attributes)) -> Spec {
    let mut spec = super::script(script);
    change(&mut spec.attributes);
    spec
}

/// Output of a service that ends on its own.
fn output(script: &str, change: impl FnOnce(&mut Attributes)) -> String {
    Fixture::run(vec![with(script, change)]).output()
}

/// Error of a service that cannot be started.
fn start_error(spec: &Spec) -> SpawnError {
    let mut fixture = Fixture::new(vec![spec.clone()]);
    match fixture.command(Verb::Start) {
        Err(CommandError::Spawn(error)) => error,
        other => panic!("{other:?}"),
    }
}

fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

#[test]
fn defaults_of_a_service() {
    let script = "nice; umask; cat /proc/$$/oom_score_adj";
    assert_eq!(output(script, |_| ()), "7\n0022\n0\n");
}

#[test]
fn niceness_mask_and_score_of_a_service() {
    let text = output("nice; umask; cat /proc/$$/oom_score_adj", |attributes| {
        attributes.nice = 12;
        attributes.umask = 0o27;
        attributes.oom_score = 300;
    });
    assert_eq!(text, "12\n0027\n300\n");
    if is_root() {
        assert_eq!(output("nice", |attributes| attributes.nice = -3), "-3\n");
    } else {
        let error = start_error(&with("nice", |attributes| attributes.nice = -3));
        assert_eq!(error.stage, SpawnStage::Nice);
    }
}

#[test]
fn priority_of_reads_and_writes() {
    for (class, priority) in [(IoClass::Idle, 3 << 13), (IoClass::BestEffort(6), 2 << 13 | 6)] {
        let mut spec = service(&["sleep", "1000"]);
        spec.attributes.io_class = Some(class);
        let mut fixture = Fixture::new(vec![spec]);
        fixture.command(Verb::Start).unwrap();
        let own = crate::sys::fork::io_priority(fixture.status().pid).unwrap();
        assert_eq!(own, priority, "{class:?}");
    }
}

#[test]
fn resource_limits_are_soft_and_hard() {
    let limits = |attributes: &mut Attributes| {
        for (resource, limit) in [(Resource::Nofile, 64), (Resource::Core, 0), (Resource::Fsize, 8192)] {
            attributes.limits[resource as usize] = Some(limit);
        }
    };
    let text = output(
        "ulimit -Sn; ulimit -Hn; ulimit -Sc; ulimit -Hc; grep 'Max file size' /proc/$$/limits",
        limits,
    );
    let words: Vec<&str> = text.split_whitespace().collect();
    assert_eq!(words, ["64", "64", "0", "0", "Max", "file", "size", "8192", "8192", "bytes"]);
}

#[test]
fn every_resource_has_its_limit() {
    // Enough for the shell, below what a process without privileges has, and different.
    let limits = [
        ("Max address space", Resource::As, 1 << 30),
        ("Max core file size", Resource::Core, 4096),
        ("Max cpu time", Resource::Cpu, 4711),
        ("Max file size", Resource::Fsize, 1 << 20),
        ("Max locked memory", Resource::Memlock, 8192),
        ("Max open files", Resource::Nofile, 77),
        ("Max processes", Resource::Nproc, 555),
        ("Max stack size", Resource::Stack, 1 << 21),
    ];
    let text = output("cat /proc/$$/limits", |attributes| {
        for (_, resource, limit) in limits {
            attributes.limits[resource as usize] = Some(limit);
        }
    });
    for (name, _, limit) in limits {
        let line = text.lines().find(|line| line.starts_with(name)).unwrap();
        assert_eq!(line.matches(&format!(" {limit} ")).count(), 2, "{line}");
    }
}

#[test]
fn limit_that_cannot_be_set_is_named() {
    let spec = with("true", |attributes| attributes.limits[Resource::Nofile as usize] = Some(1 << 40));
    let error = start_error(&spec);
    assert_eq!((error.stage, error.errno), (SpawnStage::Limits, 1));
    let text = "cannot set limits nofile of sh: Operation not permitted (errno 1)";
    assert_eq!(error.text(&spec).to_string(), text);
}

#[test]
fn groups_of_a_service() {
    let group = |name: &str| AccountName::try_from(name).unwrap();
    let mut spec = with("id -G", |attributes| {
        attributes.groups = [group("4711"), group("root")].into_iter().collect();
    });
    if is_root() {
        spec.user = "4242:4343".try_into().unwrap();
        let output = Fixture::run(vec![spec.clone()]).output();
        let mut groups: Vec<&str> = output.split_whitespace().collect();
        groups.sort_unstable();
        assert_eq!(groups, ["0", "4343", "4711"]);
        // A service of the server's user has its groups, too.
        spec.user.clear();
        let output = Fixture::run(vec![spec.clone()]).output();
        assert!(output.split_whitespace().any(|gid| gid == "4711"), "{output}");
    } else {
        assert_eq!(start_error(&spec), SpawnError::new(SpawnStage::Groups, 1));
    }
    spec.attributes.groups[1] = group("no-such-group");
    let error = start_error(&spec);
    assert_eq!(error, SpawnError::new(SpawnStage::Groups, 2).with_item(1));
    assert_eq!(error.text(&spec).to_string(), "group 'no-such-group' does not exist");
}
