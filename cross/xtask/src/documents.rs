//! Every `cargo xtask` command of the documents is one that this program accepts.

use fenced::{Block, blocks, spans};

use crate::run;

#[path = "../../../tests/it/support/fenced.rs"]
mod fenced;

/// Names that stand for one of the reader's, and one of each.
const NAMES: [(&str, &str); 3] = [("B", "host"), ("STEP", "fmt"), ("PEER", "fastwebsockets")];
const PROGRAM: &str = "cargo xtask ";

/// The arguments of a command, with real names.
fn arguments(command: &str) -> Vec<String> {
    let real =
        |word: &str| NAMES.iter().find(|(name, _)| *name == word).map_or(word.to_owned(), |row| row.1.into());
    command.split_whitespace().map(real).collect()
}

/// Boards that the command names and that there are not.
fn unknown_board(arguments: &[String]) -> Option<&str> {
    let name = arguments.iter().skip_while(|word| *word != "--board").nth(1)?;
    (!run::root().join("boards").join(name).join("board.toml").exists()).then_some(name)
}

#[test]
fn commands_of_the_documents_are_accepted() {
    let mut count = 0;
    let commands = blocks(&run::root()).iter().flat_map(Block::commands).collect::<Vec<_>>();
    for command in commands.iter().chain(&spans(&run::root())) {
        for stage in command.stages() {
            let Some(rest) = format!("{stage} ").strip_prefix(PROGRAM).map(arguments) else { continue };
            let parsed = crate::command(&rest);
            assert!(parsed.is_ok(), "{}: {stage}: {parsed:?}", command.place);
            assert_eq!(unknown_board(&rest), None, "{}: {stage}: no such board", command.place);
            count += 1;
        }
    }
    assert!(count > 0, "no document has a command");
}

#[test]
fn unknown_boards_are_found() {
    assert_eq!(unknown_board(&arguments("build --board B")), None);
    assert_eq!(unknown_board(&arguments("build --board nothing")), Some("nothing"));
}
