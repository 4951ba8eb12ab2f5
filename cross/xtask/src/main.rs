//! friendlet's developer tool: `cargo xtask help` lists what it does.
//!
//! It needs a bare Rust machine and nothing else: what a step lacks, the step before it installs,
//! into `target/` where it can.

#![allow(clippy::disallowed_methods, reason = "the rules of clippy.toml are the server's")]

mod cargo;
mod conformance;
mod json;
mod licences;
mod run;
mod steps;

use std::process::ExitCode;

use steps::{STEPS, Step};

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match command(&arguments) {
        Ok(Command::Help) => {
            print!("{}", help());
            ExitCode::SUCCESS
        }
        Ok(Command::Run(steps)) => steps::run(&steps),
        Err(message) => {
            eprintln!("error: {message}\n\n{}", help());
            ExitCode::from(64)
        }
    }
}

/// What the command line asks for.
#[derive(Debug)]
enum Command {
    Help,
    Run(Vec<&'static Step>),
}

fn command(arguments: &[String]) -> Result<Command, String> {
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    if words.is_empty() || words.iter().any(|word| matches!(*word, "help" | "--help" | "-h")) {
        return Ok(Command::Help);
    }
    match words.as_slice() {
        ["test" | "ci"] => Ok(Command::Run(STEPS.iter().collect())),
        ["test" | "ci", only @ ..] => only_steps(only).map(Command::Run),
        [name] => Ok(Command::Run(vec![step(name)?])),
        [name, extra, ..] => Err(format!("{name}: '{extra}' is one argument too many")),
        [] => Ok(Command::Help),
    }
}

/// `--only NAME`, as often as wanted; the order of the steps stays that of the table.
fn only_steps(words: &[&str]) -> Result<Vec<&'static Step>, String> {
    let mut wanted = Vec::new();
    let mut rest = words;
    while let [word, tail @ ..] = rest {
        let (name, tail) = match (word.strip_prefix("--only"), tail) {
            (Some(""), [name, tail @ ..]) => (*name, tail),
            (Some(""), []) => return Err("--only: the name of a step is missing".to_owned()),
            (Some(name), tail) if name.starts_with('=') => (&name[1..], tail),
            _ => return Err(format!("unknown argument '{word}'")),
        };
        wanted.push(step(name)?.name);
        rest = tail;
    }
    Ok(STEPS.iter().filter(|step| wanted.contains(&step.name)).collect())
}

fn step(name: &str) -> Result<&'static Step, String> {
    STEPS.iter().find(|step| step.name == name).ok_or_else(|| format!("unknown command '{name}'"))
}

fn help() -> String {
    let mut text = String::from(
        "cargo xtask COMMAND\n\n\
         \x20 test [--only STEP]..  every step below, in this order; what a step needs is installed\n\
         \x20 ci                    the same, as .ci/run calls it\n\
         \x20 help                  this text\n\n\
         Steps, each a command of its own too:\n",
    );
    for step in STEPS {
        text += &format!("  {:<20}  {}\n", step.name, step.about);
    }
    text += "\nExit code: 0 all steps passed, 1 a step failed, 64 the command line is wrong.\n";
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(line: &str) -> Result<Vec<&'static str>, String> {
        let arguments: Vec<String> = line.split_whitespace().map(str::to_owned).collect();
        match command(&arguments)? {
            Command::Help => Ok(vec!["help"]),
            Command::Run(steps) => Ok(steps.iter().map(|step| step.name).collect()),
        }
    }

    #[test]
    fn test_runs_every_step_and_only_picks() {
        assert_eq!(names("test").unwrap().len(), STEPS.len());
        assert_eq!(names("ci").unwrap(), names("test").unwrap());
        assert_eq!(names("test --only deny --only=fmt").unwrap(), ["fmt", "deny"]);
        assert_eq!(names("lint").unwrap(), ["lint"]);
        assert_eq!(names("").unwrap(), ["help"]);
        assert_eq!(names("test --help").unwrap(), ["help"]);
    }

    #[test]
    fn a_wrong_command_line_is_refused() {
        for line in ["frobnicate", "test --only", "test --only nothing", "test fmt", "fmt now"] {
            assert!(names(line).is_err(), "{line}");
        }
    }

    #[test]
    fn help_names_every_step() {
        let text = help();
        assert!(STEPS.iter().all(|step| text.contains(step.name) && text.contains(step.about)));
    }
}
