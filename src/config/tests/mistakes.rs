//! Mistakes of people who write a configuration file: each is one finding, at its line, with a correction.

use super::super::{References, Source, parse_with_warnings};

/// Configuration of a gateway.
const GATEWAY: &str = r#"# Gateway
[listen]
address = "0.0.0.0:6500"
origins = ["https://panel.example"]

[session]
lockout_attempts = 5

[[user]]
name = "admin"
level = "admin"
password = "$pbkdf2-sha256$i=200000$ZmdoaWprbG1ub3BxcnN0dQ$AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8"

[[user]]
name = "panel"
services = ["mqtt", "app"]

[[service]]
name = "setup"
command = ["/usr/local/bin/setup.sh"]
autostart = true

[[service]]
name = "mqtt"
command = ["/usr/sbin/mosquitto", "-c", "/etc/mosquitto.conf"]
user = "mosquitto"
restart = "always"
after = ["setup"]
[service.commands]
reload = "HUP"

[[service]]
name = "modem"
command = ["/usr/sbin/ModemManager"]
restart = "always"

[[service]]
name = "ppp"
command = ["/usr/sbin/pppd", "call", "lte"]
restart = "always"
after = ["modem"]

[[service]]
name = "app"
command = ["/opt/app/bin/python", "-m", "gateway"]
cwd = "/opt/app"
env = { PYTHONPATH = "/opt/app", LOG_LEVEL = "info" }
user = "app"
restart = "on-failure"
after = ["mqtt", "ppp"]
stop_signal = "QUIT"
stop_timeout_s = 20
"#;

/// Mistake, text that it replaces, the mistake in its place, and the finding.
const MISTAKES: [(&str, &str, &str, &str); 77] = [
    (
        "misspelt key",
        "autostart = true",
        "autostrat = true",
        "21:1: unknown key 'autostrat' in [[service]]; did you mean 'autostart'?",
    ),
    (
        "misspelt table",
        "[[service]]\nname = \"setup\"",
        "[[services]]\nname = \"setup\"",
        "18:3: unknown key 'services'; did you mean 'service'?",
    ),
    (
        "all tables of services with single brackets",
        "[[service]]",
        "[service]",
        "18:1: expected [[service]], found a single table; there can be several: its brackets are double",
    ),
    (
        "one table of a service with single brackets",
        "[[service]]\nname = \"ppp\"",
        "[service]\nname = \"ppp\"",
        "37:1: expected [[service]], found a single table; there can be several: its brackets are double",
    ),
    (
        "command as one string",
        "[\"/usr/sbin/ModemManager\"]",
        "\"/usr/sbin/ModemManager --debug\"",
        "34:11: command: expected a list of strings in brackets, found a string; write [\"/usr/sbin/ModemManager\", \"--debug\"]",
    ),
    (
        "name of another service",
        "name = \"modem\"",
        "name = \"mqtt\"",
        "33:8: duplicate service 'mqtt', first in line 24",
    ),
    (
        "number with a unit in quotes",
        "stop_timeout_s = 20",
        "stop_timeout_s = \"20s\"",
        "52:18: stop_timeout_s: expected a whole number, found a string; a number has no quotes and no unit",
    ),
    (
        "number with a unit",
        "stop_timeout_s = 20",
        "stop_timeout_s = 20s",
        "52:18: string values must be quoted, expected literal string; a number has no unit",
    ),
    (
        "misspelt service",
        "after = [\"mqtt\", \"ppp\"]",
        "after = [\"mqqt\", \"ppp\"]",
        "50:10: after: no service 'mqqt'; did you mean 'mqtt'?",
    ),
    (
        "typographic quotes",
        "name = \"modem\"",
        "name = “modem”",
        "33:8: string values must be quoted, expected literal string; write straight quotes",
    ),
    (
        "boolean in place of a word",
        "[session]",
        "tls = false\n\n[session]",
        "6:7: tls: expected 'on' or 'off', found true or false; write one of them, with the quotes",
    ),
    (
        "star without brackets",
        "[\"mqtt\", \"app\"]",
        "\"*\"",
        "16:12: services: expected a list of strings in brackets, found a string; write [\"*\"]",
    ),
    (
        "variables as a list",
        "{ PYTHONPATH = \"/opt/app\", LOG_LEVEL = \"info\" }",
        "[\"PYTHONPATH=/opt/app\"]",
        "47:7: env: expected { NAME = \"value\" }, found a list",
    ),
    (
        "key twice",
        "after = [\"modem\"]",
        "after = [\"modem\"]\nrestart = \"never\"",
        "42:1: duplicate key 'restart'; its table has it already: keep one of them",
    ),
    (
        "operators of a shell in the program",
        "[\"/usr/sbin/ModemManager\"]",
        "[\"/usr/sbin/ModemManager > /dev/null &\"]",
        "34:12: warning: command: no shell reads '/usr/sbin/ModemManager > /dev/null &'; write [\"/bin/sh\", \"-c\", \"exec ..\"]",
    ),
    (
        "operator of a shell as an argument",
        "[\"/usr/sbin/ModemManager\"]",
        "[\"/usr/sbin/ModemManager\", \">\", \"/dev/null\"]",
        "34:38: warning: command: no shell reads '>'; write [\"/bin/sh\", \"-c\", \"exec ..\"]",
    ),
    (
        "program and arguments in one string",
        "[\"/usr/sbin/ModemManager\"]",
        "[\"/usr/sbin/ModemManager --debug\"]",
        "34:12: warning: command: no shell reads '/usr/sbin/ModemManager --debug'; write [\"/usr/sbin/ModemManager\", \"--debug\"]",
    ),
    (
        "variable of a shell in an argument",
        "[\"/usr/sbin/ModemManager\"]",
        "[\"/usr/sbin/ModemManager\", \"$OPTIONS\"]",
        "34:38: warning: command: no shell reads '$OPTIONS'; write [\"/bin/sh\", \"-c\", \"exec ..\"]",
    ),
    (
        "home directory",
        "[\"/usr/sbin/ModemManager\"]",
        "[\"~/bin/ModemManager\"]",
        "34:12: warning: command: no shell reads '~/bin/ModemManager'; write [\"/bin/sh\", \"-c\", \"exec ..\"]",
    ),
    (
        "variable in a variable",
        "PYTHONPATH = \"/opt/app\"",
        "PATH = \"$PATH:/opt/app/bin\"",
        "47:16: warning: env: PATH: a variable such as $PATH is not replaced; write its value",
    ),
    (
        "key after a table of commands",
        "after = [\"setup\"]\n[service.commands]\nreload = \"HUP\"",
        "[service.commands]\nreload = \"HUP\"\nafter = [\"setup\"]",
        "30:1: warning: commands: 'after' is a key of [[service]]; move it above [service.commands]",
    ),
    (
        "key after a table of commands that cannot be one",
        "reload = \"HUP\"",
        "reload = \"HUP\"\nautostart = true",
        "31:1: commands: 'autostart' is a key of [[service]]; move it above [service.commands]",
    ),
    (
        "token of the documentation",
        "[session]",
        "[[token]]\nuser = \"admin\"\nsha256 = \"3c1254e442cb96265cd08c8e2f9815d224a2de6048292deca9fd6bdf5c0d7d3c\"\n\n[session]",
        "8:10: warning: sha256: this is the published example, which everybody knows; write one of your own",
    ),
    (
        "published hash",
        "ZmdoaWprbG1ub3BxcnN0dQ",
        "AAECAwQFBgcICQoLDA0ODw",
        "12:12: warning: password: this is the published example, which everybody knows; write one of your own",
    ),
    (
        "no administrator",
        "level = \"admin\"\n",
        "",
        "9:1: warning: no [[user]] has level = \"admin\"; without one, only the local socket has an administrator",
    ),
    (
        "key before every table",
        "# Gateway\n",
        "slots = 2\n",
        "1:1: unknown key 'slots'; it is a key of [limits]",
    ),
    (
        "header left out",
        "[listen]\n",
        "",
        "2:1: unknown key 'address'; it is a key of [listen], [syslog], [network]",
    ),
    (
        "header of a service left out after a service",
        "[[service]]\nname = \"app\"",
        "name = \"app\"",
        "43:1: duplicate key 'name'; its table has it already: write a header such as [[service]] before it",
    ),
    (
        "header of a service left out after a table of commands",
        "[[service]]\nname = \"modem\"",
        "name = \"modem\"",
        "32:1: commands: 'name' is a key of [[service]]; write [[service]] before it",
    ),
    (
        "table twice",
        "[session]\n",
        "[listen]\naddress = \"127.0.0.1:6500\"\n[session]\n",
        "6:2: duplicate key 'listen'; that table is there already: write its keys under one header",
    ),
    (
        "key of another table",
        "[session]\n",
        "[session]\ntls = \"off\"\n",
        "7:1: unknown key 'tls' in [session]; it is a key of [listen]",
    ),
    (
        "key of a service in a user",
        "services = [\"mqtt\", \"app\"]",
        "autostart = true",
        "16:1: unknown key 'autostart' in [[user]]; it is a key of [[service]]",
    ),
    (
        "word without quotes",
        "autostart = true",
        "autostart = yes",
        "21:13: string values must be quoted, expected literal string; write true or false, or the word in quotes",
    ),
    (
        "boolean in quotes",
        "autostart = true",
        "autostart = \"true\"",
        "21:13: autostart: expected true or false, found a string; write true",
    ),
    (
        "boolean in capital letters",
        "autostart = true",
        "autostart = True",
        "21:13: invalid boolean, expected `true`; write true or false, and nothing after it",
    ),
    (
        "path without quotes",
        "cwd = \"/opt/app\"",
        "cwd = /opt/app",
        "46:7: string values must be quoted, expected literal string; write it in quotes",
    ),
    (
        "value left out",
        "autostart = true",
        "autostart =",
        "21:12: string values must be quoted, expected literal string; the value is missing",
    ),
    (
        "equals sign left out",
        "autostart = true",
        "autostart true",
        "21:11: key with no value, expected `=`; a line is KEY = VALUE, a header in brackets, or a # comment",
    ),
    (
        "two equals signs",
        "autostart = true",
        "autostart == true",
        "21:12: extra `=`, expected nothing; a line is KEY = VALUE, a header in brackets, or a # comment",
    ),
    (
        "colon",
        "autostart = true",
        "autostart: true",
        "21:12: key with no value, expected `=`; a line is KEY = VALUE, a header in brackets, or a # comment",
    ),
    (
        "semicolon at the end",
        "autostart = true",
        "autostart = true;",
        "21:13: invalid boolean, expected `true`; write true or false, and nothing after it",
    ),
    (
        "two keys in a line",
        "autostart = true",
        "autostart = true, restart = \"always\"",
        "21:17: unexpected key or value, expected newline, `#`; a line is KEY = VALUE, a header in brackets, or a # comment",
    ),
    (
        "other comment",
        "# Gateway",
        "// Gateway",
        "1:4: key with no value, expected `=`; a line is KEY = VALUE, a header in brackets, or a # comment",
    ),
    (
        "bracket of a list left open",
        "\"call\", \"lte\"]",
        "\"call\", \"lte\"",
        "39:43: missing comma between array elements, expected `,`; or the bracket is not closed",
    ),
    (
        "bracket of a table left open",
        "\"info\" }",
        "\"info\"",
        "47:52: missing comma between key-value pairs, expected `,`; or the bracket is not closed",
    ),
    (
        "bracket of a header left open",
        "[[service]]\nname = \"ppp\"",
        "[[service]\nname = \"ppp\"",
        "37:11: unclosed array table, expected `]`; close the bracket",
    ),
    (
        "comma left out",
        "\"call\", \"lte\"",
        "\"call\" \"lte\"",
        "39:36: missing comma between array elements, expected `,`; or the bracket is not closed",
    ),
    (
        "quotes left open",
        "user = \"app\"",
        "user = \"app",
        "48:12: invalid basic string, expected `\"`; close the quotes",
    ),
    (
        "quotes left open in a list",
        "\"/usr/sbin/ModemManager\"",
        "\"/usr/sbin/ModemManager",
        "34:36: missing comma between array elements, expected `,`; or the bracket is not closed",
    ),
    (
        "three quotes left open",
        "name = \"modem\"",
        "name = \"\"\"modem\"",
        "33:8: invalid multi-line basic string, expected `\"`; close the three quotes",
    ),
    (
        "backslash",
        "user = \"app\"",
        "description = \"a\\d\"",
        "48:18: missing escaped value, expected `b`, `e`, `f`, `n`, `r`, `\\`, `\"`, `x`, `u`, `U`; in \"..\" a backslash is \\\\, in '..' it is a character",
    ),
    (
        "underscore for a hyphen",
        "\"on-failure\"",
        "\"on_failure\"",
        "49:11: restart: expected 'never', 'on-failure' or 'always', found 'on_failure'; did you mean 'on-failure'?",
    ),
    (
        "address without a port",
        "\"0.0.0.0:6500\"",
        "\"0.0.0.0\"",
        "3:11: address: expected an IP address and a port, such as '0.0.0.0:6500' or '[::]:6500', found '0.0.0.0'",
    ),
    (
        "number in place of an address",
        "\"0.0.0.0:6500\"",
        "6500",
        "3:11: address: expected a string in quotes, found a whole number; write it in quotes",
    ),
    (
        "relative working directory",
        "cwd = \"/opt/app\"",
        "cwd = \"app\"",
        "46:7: cwd: expected an absolute path, found 'app'",
    ),
    (
        "one name without brackets",
        "after = [\"modem\"]",
        "after = \"modem\"",
        "41:9: after: expected a list of strings in brackets, found a string; write [\"modem\"]",
    ),
    (
        "service after itself",
        "after = [\"modem\"]",
        "after = [\"ppp\"]",
        "41:10: after: a service cannot wait for itself",
    ),
    (
        "services after each other",
        "after = [\"setup\"]",
        "after = [\"app\"]",
        "28:10: after: these services wait for each other: mqtt, app, mqtt",
    ),
    (
        "password itself",
        "$pbkdf2-sha256$i=200000$ZmdoaWprbG1ub3BxcnN0dQ$AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8",
        "secret",
        "12:12: password: expected \"$pbkdf2-sha256$i=ROUNDS$SALT$HASH\"; 'friendlet passwd USER' prints a correct one",
    ),
    (
        "level of another program",
        "level = \"admin\"",
        "level = \"root\"",
        "11:9: level: expected 'admin', 'user' or 'viewer', found 'root'",
    ),
    (
        "plain text for a network",
        "[session]",
        "tls = \"off\"\n[session]",
        "6:7: tls = \"off\" on 0.0.0.0:6500: passwords would cross the network in plain text; use \"on\", or set insecure = true",
    ),
    (
        "wrong name of a service",
        "name = \"modem\"",
        "name = \"my modem\"",
        "33:8: name: expected letters, digits and '-', '_', '.', '@', a letter or digit first, found 'my modem'",
    ),
    ("service without a name", "name = \"modem\"\n", "", "32:1: [[service]] has no name"),
    (
        "service without a command",
        "command = [\"/usr/sbin/ModemManager\"]\n",
        "",
        "32:1: [[service]] has no command",
    ),
    (
        "empty command",
        "[\"/usr/sbin/ModemManager\"]",
        "[]",
        "34:11: command: expected a program and its arguments",
    ),
    (
        "exit code without brackets",
        "autostart = true",
        "success_codes = 143",
        "21:17: success_codes: expected a list of whole numbers in brackets, found a whole number",
    ),
    (
        "size with a unit",
        "autostart = true",
        "memory_max = \"64M\"",
        "21:14: memory_max: expected a whole number, found a string; a number has no quotes and no unit",
    ),
    (
        "list of tables of commands",
        "[service.commands]",
        "[[service.commands]]",
        "29:1: commands: expected [service.commands], found a list",
    ),
    (
        "signal that is none",
        "\"QUIT\"",
        "\"QIUT\"",
        "51:15: stop_signal: expected 'HUP', 'INT', 'QUIT', 'KILL', 'USR1', 'USR2', 'ALRM', 'TERM' or 'WINCH', found 'QIUT'; did you mean 'QUIT'?",
    ),
    (
        "header with one bracket too few",
        "[[service]]\nname = \"modem\"",
        "[[service]\nname = \"modem\"",
        "32:11: unclosed array table, expected `]`; close the bracket",
    ),
    (
        "true for a word",
        "autostart = true",
        "restart = true",
        "21:11: restart: expected 'never', 'on-failure' or 'always', found true or false; write one of them, with the quotes",
    ),
    (
        "number with a leading zero",
        "autostart = true",
        "umask = 022",
        "21:9: unexpected leading zero, expected nothing; write it without that zero, or in quotes",
    ),
    (
        "number of a signal",
        "\"QUIT\"",
        "3",
        "51:15: stop_signal: expected 'HUP', 'INT', 'QUIT', 'KILL', 'USR1', 'USR2', 'ALRM', 'TERM' or 'WINCH', found a whole number; write one of them, with the quotes",
    ),
    (
        "key of systemd",
        "autostart = true",
        "ExecStart = \"/bin/true\"",
        "21:1: unknown key 'ExecStart' in [[service]]; it is called 'command' here",
    ),
    (
        "table written twice",
        "[session]",
        "[listen]\ntls = \"on\"\n\n[session]",
        "6:2: duplicate key 'listen'; that table is there already: write its keys under one header",
    ),
    (
        "control character",
        "name = \"modem\"",
        "name = \"mo\u{0}dem\"",
        "33:11: invalid basic string, expected non-double-quote visible characters, `\\`; remove the control character",
    ),
    (
        "carriage return alone",
        "name = \"modem\"\n",
        "name = \"modem\"\r",
        "33:16: carriage return must be followed by newline, expected newline; save the file with a line feed at the end of each line",
    ),
];

/// Findings in a text, a line each.
fn findings(text: &str) -> Vec<String> {
    match parse_with_warnings(&[Source::new("f", text)], References::Known, "/bin/friendlet") {
        Ok((_, warnings)) => warnings.iter().map(ToString::to_string).collect(),
        Err(errors) => errors.to_string().lines().map(str::to_owned).collect(),
    }
}

#[test]
fn right_file_has_no_findings() {
    assert_eq!(findings(GATEWAY), [""; 0]);
}

#[test]
fn each_mistake_is_one_finding_at_its_line_with_a_correction() {
    for (mistake, right, wrong, finding) in MISTAKES {
        assert!(GATEWAY.contains(right), "{mistake}");
        let text = GATEWAY.replacen(right, wrong, if mistake.starts_with("all ") { usize::MAX } else { 1 });
        assert_eq!(findings(&text), [format!("f:{finding}")], "{mistake}");
    }
}
