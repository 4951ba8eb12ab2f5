//! Attributes of the processes of a service, as they see them.

use super::*;
use crate::service::{AccountName, Attributes, Capabilities, DirectoryKind, IoClass, Resource};

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
    assert_eq!(output(script, |_| ()), "10\n0022\n0\n");
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

/// Values of the lines of `/proc/PID/status` with these names.
fn status(output: &str, names: &[&str]) -> Vec<u64> {
    let value = |name: &&str| {
        let line = output.lines().find(|line| line.split(':').next() == Some(name)).unwrap();
        u64::from_str_radix(line.split_whitespace().nth(1).unwrap(), 16).unwrap()
    };
    names.iter().map(value).collect()
}

#[test]
fn capabilities_of_a_service() {
    const NAMES: [&str; 5] = ["CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"];
    let set = |names: &[&str]| {
        names
            .iter()
            .filter_map(|name| Capabilities::from_name(name))
            .fold(Capabilities::default(), Capabilities::union)
    };
    let bits = 1 << 10 | 1 << 5;
    let mut spec = with("exec cat /proc/self/status", |attributes| {
        attributes.capabilities = Some(set(&["net_bind_service", "kill"]));
    });
    if is_root() {
        // A service of root has them because it is root.
        assert_eq!(status(&Fixture::run(vec![spec.clone()]).output(), &NAMES), [bits, bits, bits, bits, 0]);
        spec.user = "4242".try_into().unwrap();
        assert_eq!(status(&Fixture::run(vec![spec.clone()]).output(), &NAMES), [bits; 5]);
        spec.attributes.capabilities = Some(set(&[]));
        assert_eq!(status(&Fixture::run(vec![spec.clone()]).output(), &NAMES), [0; 5]);
        // Without the key, a user has none, and nothing reduces what exec can give.
        spec.attributes.capabilities = None;
        let values = status(&Fixture::run(vec![spec]).output(), &NAMES);
        assert_eq!((values[1], values[2], values[4]), (0, 0, 0));
        assert!(values[3] > bits);
    } else {
        assert_eq!(start_error(&spec), SpawnError::new(SpawnStage::Capabilities, 1));
    }
}

#[test]
fn new_privileges_are_refused() {
    for is_set in [false, true] {
        let output = output("exec cat /proc/self/status", |attributes| attributes.no_new_privs = is_set);
        assert_eq!(status(&output, &["NoNewPrivs"]), [u64::from(is_set)]);
    }
}

#[test]
fn variables_of_a_file_and_of_the_service() {
    let file = std::env::temp_dir().join(format!("friendlet-env-{}", std::process::id()));
    fs::write(&file, "# of the board\nA=1\nB='two words'\nPATH=/bin\nFRIENDLET_SERVICE=x\n").unwrap();
    let mut spec = with("echo $A,$B,$PATH,$FRIENDLET_SERVICE", |attributes| {
        attributes.env_file = file.to_str().unwrap().try_into().unwrap();
    });
    spec.env.push("A=env").unwrap();
    // The service has its name, whatever the file holds.
    assert_eq!(Fixture::run(vec![spec.clone()]).output(), "env,two words,/bin,test\n");
    fs::write(&file, "A=1\nB\n").unwrap();
    let error = start_error(&spec);
    assert_eq!(error, SpawnError::new(SpawnStage::EnvFile, 22).with_item(1));
    fs::remove_file(&file).unwrap();
    let error = start_error(&spec);
    let text =
        format!("cannot read environment file {}: No such file or directory (errno 2)", file.display());
    assert_eq!(error.text(&spec).to_string(), text);
}

#[test]
fn directories_of_a_service() {
    let name = format!("friendlet-test-{}", std::process::id());
    let script =
        "for d in $STATE_DIRECTORY $RUNTIME_DIRECTORY $LOGS_DIRECTORY; do stat -c '%n %a %u %g' $d; done";
    let spec = with(script, |attributes| {
        attributes.directories = [(); 3].map(|()| Some(name.as_str().try_into().unwrap()));
        attributes.umask = 0o77;
    });
    if is_root() {
        directories_of_root(spec, DirectoryKind::ALL.map(|kind| format!("{}/{name}", kind.base(false))));
    } else {
        assert_eq!(start_error(&spec), SpawnError::new(SpawnStage::Directories, 13).with_item(0));
    }
}

fn directories_of_root(mut spec: Spec, paths: [String; 3]) {
    spec.user = "4242:4343".try_into().unwrap();
    let expected: String = paths.iter().map(|path| format!("{path} 755 4242 4343\n")).collect();
    assert_eq!(Fixture::run(vec![spec.clone()]).output(), expected);
    // Those that exist keep their mode and content, and are the user's.
    let kept = Path::new(&paths[0]).join("kept");
    fs::write(&kept, "").unwrap();
    rustix::fs::chmod(paths[0].as_str(), rustix::fs::Mode::from_raw_mode(0o700)).unwrap();
    spec.user = "4343".try_into().unwrap();
    let output = Fixture::run(vec![spec.clone()]).output();
    assert!(output.starts_with(&format!("{} 700 4343 4343\n", paths[0])), "{output}");
    assert!(kept.exists());
    // A link in its place would give away another directory.
    fs::remove_dir(&paths[1]).unwrap();
    std::os::unix::fs::symlink("/run", &paths[1]).unwrap();
    let error = start_error(&spec);
    assert_eq!((error.stage, error.item, error.errno), (SpawnStage::Directories, 2, 20));
    fs::remove_file(&paths[1]).unwrap();
    for path in [&paths[0], &paths[2]] {
        fs::remove_dir_all(path).unwrap();
    }
}

#[test]
fn command_line_of_a_pipeline_reaches_the_program() {
    let words: Vec<String> = (0..60).map(|n| format!("{n:060}")).collect();
    let mut argv = vec!["sh", "-c", "echo $#; printf %s \"$*\" | wc -c", "sh"];
    argv.extend(words.iter().map(String::as_str));
    let output = Fixture::run(vec![service(&argv)]).output();
    assert_eq!(output.split_whitespace().collect::<Vec<_>>(), ["60", "3659"]);
}
