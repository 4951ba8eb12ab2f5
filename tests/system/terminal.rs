//! The program at a terminal.

use std::process::Command;

use super::ctl::{Person, without_settings};
use crate::support::device::ADMIN;
use crate::support::directory::Directory;
use crate::support::server::{Run, friendlet, run_command};
use crate::support::{Device, Server};

/// Runs a program at a terminal of its own, by steps: to wait for a text, to type one, and to compare whether typed
/// characters are echoed.
const AT_TERMINAL: &str = r"
import fcntl, os, select, signal, sys, termios, time
steps, output, until = eval(sys.argv[1]), b'', time.monotonic() + 60
master, terminal = os.openpty()
pid = os.fork()
if pid == 0:
    os.setsid()
    fcntl.ioctl(terminal, termios.TIOCSCTTY, 0)
    for standard in range(3):
        os.dup2(terminal, standard)
    # A shell in the background ignores them.
    for number in (signal.SIGINT, signal.SIGQUIT):
        signal.signal(number, signal.SIG_DFL)
    os.execvp(sys.argv[2], sys.argv[2:])
def is_done(step, value):
    global output
    if step == 'wait':
        if select.select([master], [], [], 0.02)[0]:
            output += os.read(master, 4096)
        found = output.find(value)
        output = output[found + len(value):] if found >= 0 else output
        return found >= 0
    if step == 'type':
        return os.write(master, value)
    if step == 'echo':
        return bool(termios.tcgetattr(terminal)[3] & termios.ECHO) == value
    ended, status = os.waitpid(pid, os.WNOHANG)
    if ended and os.waitstatus_to_exitcode(status) != value:
        sys.exit(f'ended with {status}; then {output}')
    return ended
for step in steps:
    while not is_done(*step):
        if time.monotonic() > until:
            sys.exit(f'not done: {step}; then {output}')
        time.sleep(0.01)
";

fn at_terminal(steps: &str, command: &Command) -> Run {
    let mut python = Command::new("python3");
    python.args(["-c", AT_TERMINAL, steps]).arg(command.get_program()).args(command.get_args());
    without_settings(&mut python);
    python.envs(command.get_envs().filter_map(|(name, value)| Some((name, value?))));
    run_command(&mut python, "")
}

#[test]
fn interrupt_at_a_password_leaves_the_echo() {
    let server = Server::start(&Device::plain());
    let url = format!("ws://{}", server.address());
    for (arguments, prompt) in [
        (&["passwd", "anna"][..], "Password: "),
        (&["ctl", "--url", &url, "login", "anna"], "password of anna at "),
        (&["ctl", "--url", &url, "--session", "S", "passwd"], "old password: "),
        (&["ctl", "--url", &url, "--session", "S", "passwd", "anna"], "new password of anna: "),
    ] {
        for (key, signal) in [("\\x03", 2), ("\\x1c", 3)] {
            let steps = format!(
                "[('wait', b'{prompt}'), ('echo', False), ('type', b'half{key}'), \
                 ('end', -{signal}), ('echo', True)]"
            );
            let run = at_terminal(&steps, friendlet().args(arguments));
            assert_eq!(run.code, Some(0), "{arguments:?}: {run:?}");
        }
    }
}

#[test]
fn stop_at_a_password_leaves_the_echo_until_it_goes_on() {
    let program = friendlet();
    let mut shell = Command::new("/bin/sh");
    shell
        .args(["-mc", "\"$@\"; stty -a | grep -q -- ' -echo ' || echo stopped; fg", "sh"])
        .arg(program.get_program());
    shell.args(program.get_args()).args(["passwd", "anna"]);
    let steps = "[('wait', b'Password: '), ('echo', False), ('type', b'half\\x1a'), ('wait', b'stopped'), \
                 ('echo', False), ('type', b'a secret\\na secret\\n'), ('wait', b'name = \"anna\"'), \
                 ('end', 0), ('echo', True)]";
    let run = at_terminal(steps, &shell);
    assert_eq!(run.code, Some(0), "{run:?}");
}

/// The completion of a shell does this: it hung.
#[test]
fn question_that_nobody_sees_is_not_asked() {
    let server = Server::start(&Device::new());
    let program = friendlet();
    let home = Directory::new();
    let url = format!("wss://{}", server.address());
    let mut shell = Command::new("/bin/sh");
    shell.args(["-c", "\"$@\" 2>/dev/null", "sh"]).arg(program.get_program()).args(program.get_args());
    shell.args(["ctl", "--url", &url, "--session", ADMIN, "list"]).env("XDG_STATE_HOME", home.path());
    let run = at_terminal("[('end', 76)]", &shell);
    assert_eq!(run.code, Some(0), "{run:?}");
    assert!(!home.path().join("friendlet/known_servers").exists());
}

#[test]
fn interrupt_in_the_editor_is_for_the_editor() {
    let server = Server::start(&Device::plain());
    let person = Person::new(&server);
    let directory = Directory::new();
    let script = "trap 'echo caught' INT QUIT; echo ready; until read line; do :; done; sed -i '$a x = 1' $1";
    let script = directory.write("editor", script);
    let mut edit = person.command();
    edit.args(["--session", ADMIN, "edit"]).env("EDITOR", format!("sh {script}"));
    for key in ["\\x03", "\\x1c"] {
        let steps = format!(
            "[('wait', b'ready'), ('type', b'{key}'), ('wait', b'caught'), ('type', b'\\n'), \
             ('wait', b\"unknown key 'x'\"), ('wait', b'.toml'), ('end', 1)]"
        );
        let run = at_terminal(&steps, &edit);
        assert_eq!(run.code, Some(0), "{run:?}");
        edit.env("EDITOR", "false");
        let given_up =
            "[('wait', b'Edit it on?'), ('type', b'no\\n'), ('wait', b'nothing was changed'), ('end', 1)]";
        assert_eq!(at_terminal(given_up, &edit).code, Some(0));
        edit.env("EDITOR", format!("sh {script}"));
    }
}
