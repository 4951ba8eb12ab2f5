//! The built-in configuration, on a machine without a configuration file.

use crate::support::machine::{FILE, Machine, first_password};
use crate::support::namespaces::run_alone;

/// The line of `ctl board` on the configuration, after a login.
#[track_caller]
fn configuration(machine: &Machine) -> String {
    let server = machine.serve("friendlet serve");
    let login = machine.run("friendlet ctl login admin", &format!("{}\n", first_password(&server)));
    assert_eq!(login.code, Some(0), "{login:?}");
    let board = machine.run("friendlet ctl board", "");
    assert_eq!(board.code, Some(0), "{board:?}");
    board.stdout.lines().find(|line| line.starts_with("configuration")).unwrap().to_owned()
}

#[test]
fn built_in_file_is_reported_as_such() {
    run_alone(|| {
        assert_eq!(configuration(&Machine::new()), "configuration  built in");
        let machine = Machine::new();
        std::fs::write(FILE, "").unwrap();
        assert_eq!(configuration(&machine), "configuration  given");
    });
}
