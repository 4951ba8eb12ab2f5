//! Every command of the documents runs on a new machine, is checked, or is in the table of exceptions.

use std::env;
use std::process::{Command as Process, Stdio};

use crate::layers::root;
use crate::support::directory::Directory;
use crate::support::fenced::{Block, Command, blocks, spans};
use crate::support::machine::{FILE, Machine, first_password};
use crate::support::namespaces::run_alone;
use crate::support::server;
use crate::support::wait::until;

/// Programs that run here.
const PROGRAMS: [&str; 5] = ["cargo run", "friendlet", "mkdir", "printf", "sha256sum"];
/// Beginnings of commands that do not run here, and why.
#[rustfmt::skip]
const EXCEPTIONS: [(&str, &str); 9] = [
    ("curl ", "needs a board and a session; `system::rest` runs it with those of a server"),
    ("python3 client.py ", "needs a board; `system::clients` runs it with a server"),
    ("node client.mjs ", "needs a board; `system::clients` runs it with a server"),
    ("apt install ", "needs root; the step 'packages' of the gate installs the package in a root of Debian"),
    ("cargo xtask ", "takes minutes, a board or root; a test of cross/xtask parses it"),
    ("cargo mutants ", "needs cargo-mutants and minutes"),
    ("ssh board ", "needs a board"),
    ("valgrind ", "needs a release build with symbols, which takes minutes"),
    ("callgrind_annotate ", "reads what valgrind wrote"),
];
/// Arguments of cargo that a document may use.
const CARGO_TEST: [&str; 5] = ["cargo", "test", "--lib", "--test", "it"];
#[rustfmt::skip]
const CARGO_BUILD: [&str; 10] = [
    "cargo", "build", "--release", "--bin", "friendlet", "--target", "x86_64-unknown-linux-musl",
    "--target-dir", "-Zbuild-std=std,panic_abort", "-Zbuild-std-features=optimize_for_size",
];
/// Lets the server shut a board down.
const BOARD: &str = "[board]\npoweroff = [\"/bin/true\"]\n";

/// Check of a command.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Check {
    Run,
    CargoTest,
    CargoBuild,
    Exception,
}

/// The check of one command of a pipeline.
fn check_of(stage: &str) -> Option<Check> {
    let is = |program: &str| stage == program || stage.starts_with(&format!("{program} "));
    if PROGRAMS.iter().any(|program| is(program)) {
        Some(Check::Run)
    } else if EXCEPTIONS.iter().any(|(start, _)| stage.starts_with(start)) {
        Some(Check::Exception)
    } else if is("cargo test") {
        Some(Check::CargoTest)
    } else {
        is("cargo build").then_some(Check::CargoBuild)
    }
}

/// The stage without variables before the program.
fn without_variables(stage: &str) -> &str {
    let mut rest = stage;
    while let Some((_, after)) = rest.split_once(' ').filter(|(word, _)| word.contains('=')) {
        rest = after.trim_start();
    }
    rest
}

#[test]
fn every_command_is_checked_or_an_exception() {
    let commands: Vec<Command> = blocks(&root()).iter().flat_map(Block::commands).collect();
    for command in &commands {
        for stage in command.stages().map(without_variables) {
            let check = check_of(stage);
            assert!(check.is_some(), "{}: '{stage}' is neither run nor an exception", command.place);
        }
    }
    for (start, _) in EXCEPTIONS {
        let mut stages = commands.iter().flat_map(Command::stages).map(without_variables);
        assert!(stages.any(|stage| stage.starts_with(start)), "no command begins with '{start}'");
    }
}

#[test]
fn arguments_of_cargo_are_known() {
    let list = Process::new(env::current_exe().unwrap()).arg("--list").output().unwrap();
    let list = String::from_utf8(list.stdout).unwrap();
    // Names in capitals stand for a name of the reader's.
    let is_known = |word: &str, known: &[&str]| {
        known.contains(&word) || word.bytes().all(|byte| byte.is_ascii_uppercase())
    };
    for command in blocks(&root()).iter().flat_map(Block::commands) {
        for stage in command.stages().map(without_variables) {
            let mut words = stage.split_whitespace();
            let unknown = match check_of(stage) {
                Some(Check::CargoTest) => words.find(|word| {
                    !is_known(word, &CARGO_TEST) && (word.starts_with('-') || !list.contains(word))
                }),
                Some(Check::CargoBuild) => {
                    words.find(|word| !is_known(word, &CARGO_BUILD) && !word.starts_with("target/"))
                }
                _ => None,
            };
            assert_eq!(unknown, None, "{}: {stage}", command.place);
        }
    }
}

#[test]
fn commands_in_the_text_are_in_the_help() {
    let mut count = 0;
    for span in spans(&root()) {
        let words: Vec<&str> = span.text.split(' ').collect();
        let unknown = match words.as_slice() {
            ["friendlet", "ctl", rest @ ..] | ["ctl", rest @ ..] => unknown_word(&help(&["ctl"]), rest),
            ["friendlet", rest @ ..] => {
                let command = rest.iter().copied().find(|word| !word.starts_with('-'));
                let of_command = command.map(|command| help(&[command])).unwrap_or_default();
                unknown_word(&(help(&[]) + &of_command), rest)
            }
            _ => continue,
        };
        assert_eq!(unknown, None, "{}: {}", span.place, span.text);
        count += 1;
    }
    assert!(count > 0);
}

/// The help of the program or of a command; an unknown command has none.
fn help(command: &[&str]) -> String {
    let run = server::run(&[command, &["--help"]].concat(), "");
    if run.code == Some(0) { run.stdout } else { String::new() }
}

/// The first option of `words`, or the command that they begin with, that `help` lacks.
fn unknown_word<'w>(help: &str, words: &[&'w str]) -> Option<&'w str> {
    let names: Vec<&str> = help.split(|c: char| !(c.is_ascii_alphanumeric() || c == '-')).collect();
    let is_name = |(at, word): &(usize, &&str)| *at == 0 || word.starts_with('-');
    let mut names_of_words = words.iter().enumerate().filter(is_name).map(|(_, word)| *word);
    names_of_words.find(|word| !names.contains(word))
}

#[test]
fn commands_run() {
    run_alone(|| {
        let count: usize = blocks(&root()).iter().map(run).sum();
        assert!(count > 0, "no command has run");
    });
}

/// Runs the commands of a block, one after the other on one machine; returns their number.
fn run(block: &Block) -> usize {
    let mut commands = block.commands();
    commands.retain(|command| command.stages().all(|stage| check_of(stage) == Some(Check::Run)));
    if commands.is_empty() {
        return 0;
    }
    let machine = Machine::new();
    if commands.iter().any(|command| command.text.contains("poweroff")) {
        std::fs::write(FILE, BOARD).unwrap();
    }
    let server = commands.iter().any(is_client).then(|| machine.serve("friendlet serve"));
    let input = server.as_ref().map_or("secret\n".to_owned(), |server| first_password(server) + "\n");
    if server.is_some() {
        // Not every block begins with the login.
        machine.run("friendlet ctl login admin", &input);
    }
    for command in &commands {
        match command.text.as_str() {
            "cargo run" | "friendlet serve" => drop(machine.serve(&command.text).stop()),
            text if text.ends_with(" watch") => watch(&machine, text),
            text => {
                let run = machine.run(text, &input);
                assert_eq!(run.code, Some(0), "{}: {text}: {run:?}", command.place);
                let sum = run.stdout.split(' ').next().filter(|_| text.ends_with("sha256sum"));
                let is_there = |sum: &str| block.lines.iter().any(|line| line.contains(sum));
                assert!(sum.is_none_or(is_there), "{}: the block lacks {sum:?}", command.place);
            }
        }
    }
    commands.len()
}

fn is_client(command: &Command) -> bool {
    command.text.split(' ').any(|word| word == "ctl")
}

/// Runs a command that prints changes until it has printed one.
fn watch(machine: &Machine, line: &str) {
    let directory = Directory::new();
    let output = std::fs::File::create(directory.file("output")).unwrap();
    let mut command = machine.shell(&format!("exec {line}"));
    let mut child = command.stdout(output).stdin(Stdio::null()).spawn().unwrap();
    until("a change is printed", || {
        let status = child.try_wait().unwrap();
        assert!(status.is_none(), "{line}: {status:?}");
        assert_eq!(machine.run("friendlet ctl restart hello", "").code, Some(0));
        std::fs::read_to_string(directory.file("output")).unwrap().contains("hello")
    });
    child.kill().unwrap();
    child.wait().unwrap();
}
