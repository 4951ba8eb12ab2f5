//! friendlet's developer tool: `cargo xtask help` lists what it does.
//!
//! It needs a bare Rust machine and nothing else: what a step lacks, the step before it installs,
//! into `target/` where it can.

#![allow(clippy::disallowed_methods, reason = "the rules of clippy.toml are the server's")]

mod bench;
mod board;
mod book;
mod booted;
mod build;
mod cargo;
mod checks;
mod clock;
mod conformance;
mod console;
mod descriptions;
mod discovery;
#[cfg(test)]
mod documents;
mod elf;
mod emulation;
mod flash;
mod fuzz;
mod image;
mod left_out;
mod licences;
mod log;
mod logs;
mod machine;
mod notes;
mod package;
mod part;
mod qemu;
mod rest;
mod run;
mod setup;
mod side;
mod sizes;
mod steps;
mod toolchain;
mod tools;

use std::process::ExitCode;

use board::Board;
use part::Part;
use steps::{STEPS, Step};
use tools::Tool;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match command(&arguments) {
        Ok(Command::Help) => {
            print!("{}", help());
            ExitCode::SUCCESS
        }
        Ok(Command::Run(steps, part)) => steps::run(&steps, part, false),
        Ok(Command::Test(steps, part)) => steps::run(&steps, part, part == Part::Whole),
        Ok(Command::Board(command, options)) => ended(run_board(command, &options)),
        Ok(Command::Log(options)) => ended(log::show(&options)),
        Ok(Command::Package(options)) => ended(package::make(&options)),
        Ok(Command::Tool(board, tool)) => ended(tools::run(&board, &tool)),
        Ok(Command::Bench(options)) => ended(bench::run(&options)),
        Ok(Command::Cycles) => ended(bench::run_cycles()),
        Ok(Command::Floods(options)) => ended(bench::run_floods(&options)),
        Ok(Command::Soak(time)) => ended(fuzz::soak(time)),
        Ok(Command::KeepFigures) => ended(bench::keep()),
        Err(message) => {
            eprintln!("error: {message}\n\n{}", help());
            ExitCode::from(64)
        }
    }
}

fn ended(result: Result<(), String>) -> ExitCode {
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            eprintln!("error: {message}");
            ExitCode::FAILURE
        }
    }
}

/// Command of the command line.
#[derive(Debug)]
enum Command {
    Help,
    /// A step by its name.
    Run(Vec<&'static Step>, Part),
    /// Steps of `test`; the results of the whole part are kept in the documents.
    Test(Vec<&'static Step>, Part),
    Board(&'static BoardCommand, Options),
    Tool(String, Tool),
    Bench(bench::Options),
    Cycles,
    Floods(bench::FloodOptions),
    Soak(std::time::Duration),
    KeepFigures,
    Log(log::Options),
    Package(package::Options),
}

/// A command about boards.
#[derive(Debug)]
struct BoardCommand {
    name: &'static str,
    about: &'static str,
    /// Without `--board` it means every board.
    is_for_all: bool,
    run: fn(&Board, &Options) -> Result<(), String>,
}

/// Its options.
#[derive(Debug, Default)]
struct Options {
    board: Option<String>,
    check: bool,
    number: Option<u32>,
    /// True in the processes that the step `booted` starts: everything is built.
    is_prepared: bool,
}

/// Every command about boards; `setup` takes them all at once and `run` is not called for it.
const BOARD_COMMANDS: &[BoardCommand] = &[
    BoardCommand {
        name: "setup",
        about: "install what building, testing and booting need (--check: only look)",
        is_for_all: true,
        run: |_, _| Ok(()),
    },
    BoardCommand {
        name: "build",
        about: "one static binary: target/boards/B/friendlet",
        is_for_all: true,
        run: |board, _| build::build(board).map(drop),
    },
    BoardCommand {
        name: "sizes",
        about: "binary and worst-case memory against the board's budget",
        is_for_all: true,
        run: |board, _| sizes::show(board),
    },
    BoardCommand {
        name: "boot",
        about: "everything that the step 'booted' asks of a board of tier 1",
        is_for_all: false,
        run: |board, options| booted::check(board, options.is_prepared),
    },
    BoardCommand {
        name: "boots",
        about: "boots, one after the other, each until the server answers (--number N: so many, else 20)",
        is_for_all: false,
        run: |board, options| booted::boots(board, options.number.unwrap_or(20), options.is_prepared),
    },
    BoardCommand {
        name: "stack",
        about: "a board with a broker, a web server and Python as services",
        is_for_all: false,
        run: |board, _| booted::further(board, "stack", false),
    },
    BoardCommand {
        name: "crowd",
        about: "a board with services of hundreds of processes",
        is_for_all: false,
        run: |board, _| booted::further(board, "crowd", false),
    },
    BoardCommand {
        name: "hang",
        about: "a board whose disk hangs for a while",
        is_for_all: false,
        run: |board, _| booted::further(board, "hang", false),
    },
    BoardCommand {
        name: "hotplug",
        about: "a board with a USB controller and a serial adapter, which is plugged in and pulled out",
        is_for_all: false,
        run: |board, _| booted::further(board, "hotplug", false),
    },
    BoardCommand {
        name: "damage",
        about: "a board whose data partition is damaged in 24 ways, and a factory reset",
        is_for_all: false,
        run: |board, _| booted::further(board, "damage", false),
    },
    BoardCommand {
        name: "late",
        about: "a board after 2038 and after 2106",
        is_for_all: false,
        run: |board, _| booted::further(board, "late", false),
    },
    BoardCommand {
        name: "ntp",
        about: "a board whose clock chip is wrong, and an NTP server",
        is_for_all: false,
        run: |board, options| booted::further(board, "ntp", options.is_prepared),
    },
    BoardCommand {
        name: "spinning",
        about: "a board whose services use its whole processor",
        is_for_all: false,
        run: |board, _| booted::further(board, "spinning", false),
    },
    BoardCommand {
        name: "second",
        about: "a board that starts twice, with the clock chip at 2036 and then at 2030",
        is_for_all: false,
        run: |board, _| booted::further(board, "second", false),
    },
    BoardCommand {
        name: "trial",
        about: "a board whose slot in test serves and does not work: it goes back to the other one",
        is_for_all: false,
        run: |board, _| booted::further(board, "trial", false),
    },
    BoardCommand {
        name: "cuts",
        about: "power cuts while changes are acknowledged (--number N: so many, else 50)",
        is_for_all: false,
        run: |board, options| booted::cuts(board, &booted::CutOptions { cuts: options.number.unwrap_or(50) }),
    },
];

fn run_board(command: &BoardCommand, options: &Options) -> Result<(), String> {
    let boards = match &options.board {
        Some(name) => vec![Board::load(name)?],
        None if command.is_for_all => Board::all()?,
        None => return Err(format!("{}: which board? --board B; boards/README.md lists them", command.name)),
    };
    if command.name == "setup" {
        return setup::setup(&boards, options.check);
    }
    for board in &boards {
        println!("==> {}: {}", board.name, board.about);
        (command.run)(board, options).map_err(|error| format!("{}: {error}", board.name))?;
    }
    Ok(())
}

fn command(arguments: &[String]) -> Result<Command, String> {
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    if words.is_empty() || words.iter().any(|word| matches!(*word, "help" | "--help" | "-h")) {
        return Ok(Command::Help);
    }
    if let Some(result) = tools::parse(&words) {
        return result.map(|(board, tool)| Command::Tool(board, tool));
    }
    if let ["log", rest @ ..] = words.as_slice() {
        return log::parse(rest).map(Command::Log);
    }
    if let ["package", rest @ ..] = words.as_slice() {
        return package::parse(rest).map(Command::Package);
    }
    if let [name, rest @ ..] = words.as_slice() {
        if let Some(command) = BOARD_COMMANDS.iter().find(|command| command.name == *name) {
            return options(command, rest).map(|options| Command::Board(command, options));
        }
        if *name == "test" && rest.iter().any(|word| word.starts_with("--board")) {
            return options(&EMULATED_TEST, rest).map(|options| Command::Board(&EMULATED_TEST, options));
        }
    }
    match words.as_slice() {
        ["cycles"] => Ok(Command::Cycles),
        ["bench", rest @ ..] => bench::options(rest).map(Command::Bench),
        ["floods", rest @ ..] => bench::flood_options(rest).map(Command::Floods),
        ["soak", rest @ ..] => fuzz::soak_time(rest).map(Command::Soak),
        ["figures", "--keep"] => Ok(Command::KeepFigures),
        ["test" | "ci", options @ ..] => test_options(options),
        [name] => Ok(Command::Run(vec![step(name)?], Part::Whole)),
        [name, extra, ..] => Err(format!("{name}: '{extra}' is one argument too many")),
        [] => Ok(Command::Help),
    }
}

/// `test --board B`.
const EMULATED_TEST: BoardCommand = BoardCommand {
    name: "test",
    about: "the library's and the integration tests on the board's processor, played by QEMU",
    is_for_all: false,
    run: |board, _| emulation::test(std::slice::from_ref(board)),
};

/// `--board B`, and what some commands take beside it.
fn options(command: &BoardCommand, words: &[&str]) -> Result<Options, String> {
    let mut options = Options::default();
    let mut words = words.iter();
    while let Some(word) = words.next() {
        let (option, value) =
            word.split_once('=').map_or((*word, None), |(option, value)| (option, Some(value)));
        match option {
            "--board" if options.board.is_none() => {
                let name = value.or_else(|| words.next().copied());
                options.board = Some(name.ok_or("--board: the name of a board is missing")?.to_owned());
            }
            "--number" if matches!(command.name, "boots" | "cuts") => {
                let text = value.or_else(|| words.next().copied()).unwrap_or_default();
                let number = text.parse().ok().filter(|number| *number > 0);
                options.number = Some(number.ok_or("--number: expected a number above 0")?);
            }
            "--prepared" if matches!(command.name, "boot" | "boots" | "ntp") && value.is_none() => {
                options.is_prepared = true
            }
            "--check" if command.name == "setup" && value.is_none() => options.check = true,
            _ => return Err(format!("{}: unknown argument '{word}'", command.name)),
        }
    }
    Ok(options)
}

/// `--all`, and `--only STEP`, as often as wanted; the order of the steps stays that of the table.
fn test_options(words: &[&str]) -> Result<Command, String> {
    let mut part = Part::Fast;
    let mut only = Vec::new();
    let mut words = words.iter();
    while let Some(word) = words.next() {
        match word.split_once('=').map_or((*word, None), |(option, value)| (option, Some(value))) {
            ("--all", None) => part = Part::Whole,
            ("--only", value) => {
                let name = value.or_else(|| words.next().copied());
                only.push(step(name.ok_or("--only: the name of a step is missing")?)?.name);
            }
            _ => return Err(format!("test: unknown argument '{word}'")),
        }
    }
    let steps = if only.is_empty() {
        steps::of(part)
    } else {
        STEPS.iter().filter(|step| only.contains(&step.name)).collect()
    };
    Ok(Command::Test(steps, part))
}

fn step(name: &str) -> Result<&'static Step, String> {
    STEPS.iter().find(|step| step.name == name).ok_or_else(|| format!("unknown command '{name}'"))
}

fn help() -> String {
    let mut text = String::from(
        "cargo xtask COMMAND\n\n\
         \x20 test [--only STEP]..  the fast gate: the steps marked *, in this order; installs what they need\n\
         \x20 test --all            the whole gate: every step; writes docs/gate.md\n\
         \x20 ci                    the same as test, as .ci/run calls it\n\
         \x20 help                  this text\n\n\
         Steps, each a command of its own too, and then as the whole gate has it:\n",
    );
    for step in STEPS {
        let mark = if step.part == Part::Fast { '*' } else { ' ' };
        text += &format!("{mark} {:<20}  {}\n", step.name, step.about);
    }
    text += "\nBoards; without --board, every board where that makes sense:\n";
    for command in BOARD_COMMANDS.iter().chain([&EMULATED_TEST]) {
        let usage = format!("{} [--board B]", command.name);
        text += &format!("  {usage:<20}  {}\n", command.about);
    }
    for (usage, about) in tools::HELP.iter().chain([&log::HELP, &package::HELP]) {
        text += &format!("  {usage}\n      {about}\n");
    }
    text += "\nMeasuring (docs/benchmarks.md):\n\
             \x20 bench [--quick | --counts] [--only PEER]..\n\
             \x20     friendlet beside its peers; a full run writes docs/benchmarks.md and its plot, one\n\
             \x20     with --counts those parts that a busy machine measures as well\n\
             \x20 cycles\n\
             \x20     starts and stops of a service beside other supervisors; writes docs/benchmarks.md\n\
             \x20 soak [--hours N]\n\
             \x20     fuzz targets and the simulation of the server, for N hours together (1)\n\
             \x20 figures --keep\n\
             \x20     keep what the step 'figures' finds: cross/bench/figures.toml\n";
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
            Command::Run(steps, _) | Command::Test(steps, _) => {
                Ok(steps.iter().map(|step| step.name).collect())
            }
            Command::Board(command, _) => Ok(vec![command.name]),
            Command::Tool(..) => Ok(vec!["tool"]),
            Command::Bench(_) => Ok(vec!["bench"]),
            Command::Cycles => Ok(vec!["cycles"]),
            Command::Floods(_) => Ok(vec!["floods"]),
            Command::Soak(_) => Ok(vec!["soak"]),
            Command::KeepFigures => Ok(vec!["keep"]),
            Command::Log(_) => Ok(vec!["log"]),
            Command::Package(_) => Ok(vec!["package"]),
        }
    }

    #[test]
    fn test_runs_every_step_and_only_picks() {
        assert_eq!(names("test --all").unwrap().len(), STEPS.len());
        assert_eq!(names("test").unwrap().len(), steps::of(Part::Fast).len());
        assert_eq!(names("ci").unwrap(), names("test").unwrap());
        assert_eq!(names("test --only deny --only=fmt").unwrap(), ["fmt", "deny"]);
        let part = |line: &str| match command(&line.split(' ').map(str::to_owned).collect::<Vec<_>>()) {
            Ok(Command::Run(_, part) | Command::Test(_, part)) => part,
            other => panic!("{other:?}"),
        };
        assert_eq!(part("test --only booted"), Part::Fast);
        assert_eq!((part("test --only booted --all"), part("booted")), (Part::Whole, Part::Whole));
        assert_eq!(names("lint").unwrap(), ["lint"]);
        assert_eq!(names("").unwrap(), ["help"]);
        assert_eq!(names("test --board host").unwrap(), ["test"]);
        let Ok(Command::Board(command, options)) =
            command(&["setup", "--check", "--board=host"].map(str::to_owned))
        else {
            panic!("setup is a command about boards");
        };
        assert_eq!((command.name, options.check, options.board.as_deref()), ("setup", true, Some("host")));
        assert_eq!(names("test --help").unwrap(), ["help"]);
        assert_eq!(names("bench --quick --only fastwebsockets").unwrap(), ["bench"]);
        assert_eq!(names("figures").unwrap(), ["figures"]);
        assert_eq!(names("figures --keep").unwrap(), ["keep"]);
        assert_eq!(names("package --target armhf").unwrap(), ["package"]);
    }

    #[test]
    fn a_wrong_command_line_is_refused() {
        for line in [
            "frobnicate",
            "test --only",
            "test --only nothing",
            "test fmt",
            "test --all=yes",
            "fmt now",
            "figures --drop",
            "bench --only",
            "build --board",
            "build --check",
            "build host",
            "setup --check=yes",
            "test --board host --only fmt",
        ] {
            assert!(names(line).is_err(), "{line}");
        }
    }

    #[test]
    fn help_names_every_step() {
        let text = help();
        assert!(STEPS.iter().all(|step| text.contains(step.name) && text.contains(step.about)));
    }
}
