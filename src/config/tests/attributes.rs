//! Keys about the attributes of the processes of a service.

use super::{config, errors, service, spec};
use crate::service::{Attributes, CAPABILITY_NAMES, Capabilities, IoClass, Resource, SERVICE_GROUPS};

fn attributes(extra: &str) -> Attributes {
    spec(&config(&service(extra)), "a").attributes.clone()
}

#[test]
fn attributes_are_read() {
    assert_eq!(attributes(""), Attributes::default());
    let read = attributes(
        r#"
nice = -20
umask = "0077"
oom_score = 1000
io_class = "best-effort:6"
limits = { nofile = 1024, core = 0, cpu = 0x10 }
groups = ["dialout", "997"]
capabilities = ["net_bind_service", "CAP_CHOWN"]
no_new_privs = true
env_file = "/data/a.env"
state_directory = "a"
log_directory = "a.log"
"#,
    );
    assert_eq!((read.nice, read.umask, read.oom_score), (-20, 0o77, 1000));
    assert_eq!(read.io_class, Some(IoClass::BestEffort(6)));
    let limit = |resource: Resource| read.limits[resource as usize];
    assert_eq!([Resource::Nofile, Resource::Core, Resource::Cpu].map(limit), [Some(1024), Some(0), Some(16)]);
    assert_eq!(read.limits.iter().flatten().count(), 3);
    assert_eq!(read.groups, ["dialout", "997"]);
    assert_eq!(read.capabilities.map(Capabilities::bits), Some(1 << 10 | 1));
    assert!(read.no_new_privs);
    assert_eq!(read.env_file, "/data/a.env");
    assert_eq!(
        read.directories.map(|name| name.map(|name| name.to_string())),
        [Some("a".into()), None, Some("a.log".into())]
    );
    assert_eq!(attributes("capabilities = []").capabilities, Some(Capabilities::default()));
}

#[test]
fn wrong_attributes_are_errors() {
    for (text, error) in [
        ("nice = 20", "4:8: nice: expected -20 to 19, found 20"),
        (
            "user = '1:'",
            "4:8: user: expected the name of a user, a number, or 'uid:gid' in numbers, found '1:'",
        ),
        (
            "user = '4294967295'",
            "4:8: user: expected the name of a user, a number, or 'uid:gid' in numbers, found '4294967295'",
        ),
        (
            "user = 'web:www'",
            "4:8: user: expected the name of a user, a number, or 'uid:gid' in numbers, found 'web:www'",
        ),
        ("nice = -21", "4:8: nice: expected -20 to 19, found -21"),
        (
            "nice = 'low'",
            "4:8: nice: expected a whole number, found a string; a number has no quotes and no unit",
        ),
        ("oom_score = -1001", "4:13: oom_score: expected -1000 to 1000, found -1001"),
        ("umask = '8'", "4:9: umask: expected octal digits up to 777, such as '022', found '8'"),
        ("umask = 22", "4:9: umask: expected a string in quotes, found a whole number; write it in quotes"),
        (
            "io_class = 'realtime'",
            "4:12: io_class: expected 'idle', 'best-effort', or 'best-effort:LEVEL' with a level of 0 to 7, \
             found 'realtime'",
        ),
        ("limits = { nofiles = 1 }", "4:12: unknown key 'nofiles' in limits; did you mean 'nofile'?"),
        ("limits = { core = -1 }", "4:19: core: expected a whole number from 0, found -1"),
        ("limits = { core = '0' }", "4:19: core: expected a whole number from 0, found a string"),
        ("limits = 3", "4:10: limits: expected { NAME = NUMBER }, found a whole number"),
        (
            "capabilities = ['net_bind_servce']",
            "4:17: capabilities: unknown name 'net_bind_servce'; did you mean 'net_bind_service'?",
        ),
        (
            "capabilities = 'kill'",
            "4:16: capabilities: expected a list of strings in brackets, found a string; write [\"kill\"]",
        ),
        ("env_file = 'a.env'", "4:12: env_file: expected an absolute path, found 'a.env'"),
        (
            "state_directory = '../a'",
            "4:19: state_directory: expected letters, digits and '-', '_', '.', '@', a letter or digit first, \
             found '../a'",
        ),
        ("groups = ['a:b']", "4:11: groups: expected the name or number of a group, found 'a:b'"),
        ("groups = ['']", "4:11: groups: expected the name or number of a group, found ''"),
    ] {
        assert_eq!(errors(&service(text)), format!("{error}\n"), "{text}");
    }
}

#[test]
fn groups_of_the_file_up_to_their_limit() {
    let groups = |count: usize| service(&format!("groups = {:?}", vec!["1"; count]));
    assert_eq!(spec(&config(&groups(SERVICE_GROUPS)), "a").attributes.groups.len(), SERVICE_GROUPS);
    let errors = errors(&groups(SERVICE_GROUPS + 1));
    assert!(errors.ends_with(&format!(": groups: more than {SERVICE_GROUPS}\n")), "{errors}");
}

#[test]
fn names_of_the_schema_are_those_of_the_resources() {
    let key = crate::config::schema::SERVICE.key("limits").unwrap();
    let crate::config::key::Kind::Numbers(names) = key.kind else { panic!() };
    assert!(Resource::ALL.map(Resource::name).iter().eq(names));
}

#[test]
fn capabilities_of_the_file_up_to_their_number() {
    config(&service(&format!("capabilities = {CAPABILITY_NAMES:?}")));
    let more = [&CAPABILITY_NAMES[..], &["kill"]].concat();
    let errors = errors(&service(&format!("capabilities = {more:?}")));
    assert!(errors.ends_with(": capabilities: more than 41\n"), "{errors}");
}
