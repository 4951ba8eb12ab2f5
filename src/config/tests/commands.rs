//! `[service.commands]` and `success_codes`, correct and wrong.

use super::{config, errors, service, spec};
use crate::service::{CommandAction, Scope, Signal};

#[test]
fn commands_of_a_service_are_signals_or_programs() {
    assert_eq!(
        errors(&service("commands = { a = 'hup', 'b c' = 'HUP', c = 1, d = [], e = [''] }")),
        "4:18: a: expected 'HUP', 'INT', 'QUIT', 'KILL', 'USR1', 'USR2', 'ALRM', 'TERM', 'CONT', 'STOP' or 'WINCH', found 'hup'\n\
         4:25: commands: 'b c' is not a name; expected letters, digits, '-', '_', '.' and '@'\n\
         4:44: c: expected a signal's name, { signal = \"..\", scope = \"..\" }, or a list of a program and its arguments, found a whole number\n\
         4:51: d: expected a program and its arguments\n\
         4:59: e: expected a program and its arguments\n"
    );
    assert_eq!(
        errors(&service("commands = 1")),
        "4:12: commands: expected [service.commands], found a whole number\n"
    );
}

#[test]
fn signal_of_a_command_has_its_receivers() {
    let text =
        "commands = { a = 'HUP', b = { signal = 'SIGUSR1' }, c = { signal = 'INT', scope = 'group' } }";
    let config = config(&service(text));
    for (name, signal, scope) in [
        ("a", Signal::Hup, Scope::Leader),
        ("b", Signal::Usr1, Scope::Leader),
        ("c", Signal::Int, Scope::Group),
    ] {
        let action = &spec(&config, "a").command(name).unwrap().action;
        assert_eq!(*action, CommandAction::Signal { signal, scope });
    }
}

#[test]
fn wrong_receivers_of_a_signal_are_reported() {
    let command = |value: &str| errors(&service(&format!("commands = {{ a = {value} }}")));
    for (value, error) in [
        ("{ scope = 'group' }", "4:18: a: has no signal\n"),
        ("{ signal = 'HUP', scope = 'all' }", "4:44: a: expected 'leader' or 'group', found 'all'\n"),
        (
            "{ signal = 1 }",
            "4:29: a: expected a string in quotes, found a whole number; write it in quotes\n",
        ),
        ("{ signal = 'HUP', scop = 'group' }", "4:36: unknown key 'scop' in a; did you mean 'scope'?\n"),
    ] {
        assert_eq!(command(value), error, "{value}");
    }
}

#[test]
fn success_codes_are_exit_codes() {
    let codes =
        |value: &str| spec(&config(&service(&format!("success_codes = {value}"))), "a").success_codes.clone();
    assert_eq!(codes("[0, 255, 0x10]"), [0, 255, 16]);
    assert!(codes("[]").is_empty());
    assert_eq!(
        errors(&service("success_codes = [256, -1, 'a']")),
        "4:18: success_codes: expected 0 to 255, found 256\n\
         4:23: success_codes: expected 0 to 255, found -1\n\
         4:27: success_codes: expected a whole number, found a string; a number has no quotes and no unit\n"
    );
    assert_eq!(
        errors(&service("success_codes = 0")),
        "4:17: success_codes: expected a list of whole numbers in brackets, found a whole number\n"
    );
}
