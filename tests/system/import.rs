//! `friendlet import`: services of other supervisors run as they did.

use std::fs;

use crate::support::directory::Directory;
use crate::support::server::run;
use crate::support::wait::until;
use crate::support::{Device, Server};

/// Result of an import, whose comments are `notes` lines.
#[track_caller]
fn imported(files: &[&str], notes: usize) -> String {
    let run = run(&[&["import"], files].concat(), "");
    assert_eq!(run.code, Some(0), "{run:?}");
    assert_eq!(run.stdout.lines().filter(|line| line.starts_with('#')).count(), notes, "{run:?}");
    assert!(run.stderr.ends_with(&format!("{notes} settings need a look: see the comments\n")), "{run:?}");
    run.stdout
}

/// Waits until a service has written this line.
#[track_caller]
fn assert_written(file: &str, line: &str) {
    until(file, || fs::read_to_string(file).is_ok_and(|text| text == line));
}

#[test]
fn programs_of_supervisord_run_with_their_numbers_and_variables() {
    let directory = Directory::new();
    let (conf, one, two) = (directory.file("s.conf"), directory.file("out-01"), directory.file("out-02"));
    let text = "[supervisord]\nnodaemon=true\n[program:worker]\nprocess_name=%(program_name)s_%(process_num)02d\n\
        command=/bin/sh -c 'echo \"$A %(process_num)02d %(program_name)s\" >\"$0\"/out-%(process_num)02d; exec sleep 1000' %(here)s\n\
        numprocs=2\nnumprocs_start=1\nenvironment=A=\"b, c\",D=e\nautorestart=unexpected\n";
    directory.write("s.conf", text);
    let server = Server::start(&Device::plain().with(&imported(&[&conf], 1)));
    assert_written(&one, "b, c 01 worker\n");
    assert_written(&two, "b, c 02 worker\n");
    server.stop();
}

#[test]
fn units_of_systemd_run_in_their_order() {
    let directory = Directory::new();
    let out = directory.file("out");
    let unit = |name: &str, text: &str| directory.write(name, text.replace("OUT", &out));
    let first = unit(
        "first@x.service",
        "[Service]\nType=oneshot\nEnvironment='A=b c'\nExecStart=/bin/sh -c 'echo \"$$A\" %i >OUT'\n",
    );
    let second = unit(
        "second.service",
        "[Unit]\nRequires=first@x.service\nAfter=network.target\n[Service]\n\
         ExecStart=/bin/sh -c 'echo %n >>OUT; \\\n  exec sleep 1000'\n[Install]\nWantedBy=multi-user.target\n",
    );
    let server = Server::start(&Device::plain().with(&imported(&[&second, &first], 0)));
    assert_written(&out, "b c x\nsecond.service\n");
    server.stop();
}

#[test]
fn file_that_cannot_be_imported_is_named() {
    let directory = Directory::new();
    let text = directory.write("friendlet.toml", "[[service]]\nname = \"x\"\n");
    let missing = directory.file("missing");
    for (file, code, message) in
        [(&text, 65, "neither [program:NAME] of supervisord"), (&missing, 66, "No such file")]
    {
        let run = run(&["import", file], "");
        assert_eq!((run.code, run.stdout.as_str()), (Some(code), ""), "{run:?}");
        assert!(run.stderr.contains(file.as_str()) && run.stderr.contains(message), "{run:?}");
    }
    let unit = directory.write("a b.service", "[Service]\nExecStart=/bin/true\n");
    let run = run(&["import", &unit], "");
    assert_eq!(run.code, Some(65), "{run:?}");
    assert!(run.stdout.contains("name = \"a b\"\n") && run.stderr.contains("result:3:8: name: "), "{run:?}");
}
