//! Check of a configuration file by the program of a board, in the root of its image.
//!
//! The program has the limits of its board and no others, so it runs here, in user-mode QEMU where its processor is
//! another one. It also counts the memory as on the board, whose pointers may be shorter than those of this machine.

use std::path::{Path, absolute};

use super::work::{Work, clean};
use crate::board::Board;
use crate::{emulation, run};

/// Configuration file on the data partition, which `friendlet init` uses.
const CONFIG_FILE: &str = "friendlet.toml";
/// State directory that `friendlet init` gives to the server.
const STATE_DIRECTORY: &str = "/data/state";

/// Checks the configuration file of a data partition, if it has one.
pub(super) fn check_data(
    board: &Board,
    work: &Work,
    binary: &Path,
    tree: &Path,
    data: &Path,
) -> Result<(), String> {
    let file = data.join(CONFIG_FILE);
    if file.exists() { check_file(board, work, binary, tree, Some(data), &file) } else { Ok(()) }
}

/// Checks a configuration file in the root `tree`, with the content of `data` on its data partition. Prints the
/// warnings; the program prints the errors.
pub(super) fn check_file(
    board: &Board,
    work: &Work,
    binary: &Path,
    tree: &Path,
    data: Option<&Path>,
    file: &Path,
) -> Result<(), String> {
    let here = |path: &Path| absolute(path).map_err(|error| format!("{}: {error}", path.display()));
    let root = work.directory.join("checked-root");
    clean(&root)?;
    // Hard links, for a root may be large.
    run::captured(work.tool("cp").arg("-al").arg(tree.join(".")).arg(&root))?;
    if let Some(data) = data {
        // The data partition covers what the root has there.
        let partition = root.join("data");
        clean(&partition)?;
        run::captured(work.tool("cp").arg("-a").arg(here(data)?.join(".")).arg(&partition))?;
    }
    let mut command = emulation::command(board, &here(binary)?)?;
    command.args(["check", "--board", &board.name, "--root"]).arg(&root).arg(here(file)?);
    let checked = run::captured(command.env("STATE_DIRECTORY", STATE_DIRECTORY));
    clean(&root)?;
    for line in findings(&checked?) {
        println!("    {line}");
    }
    Ok(())
}

/// Lines before the table of memory.
fn findings(text: &str) -> impl Iterator<Item = &str> {
    text.lines().take_while(|line| !line.is_empty())
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::PathBuf;

    use super::*;

    #[test]
    fn warnings_are_before_the_table() {
        let text = "f: ok\nf: warning: w\n\nITEM COUNT\nprogram 1\n";
        assert_eq!(findings(text).collect::<Vec<_>>(), ["f: ok", "f: warning: w"]);
    }

    #[test]
    fn paths_are_those_of_init() {
        let init = run::read(&run::root().join("src/init/mod.rs")).unwrap();
        for path in [format!("/data/{CONFIG_FILE}"), STATE_DIRECTORY.to_owned()] {
            assert!(init.contains(&format!("&str = \"{path}\";")), "{path}");
        }
    }

    /// Directory of one test with a program that prints its arguments and files of its root.
    fn directory(name: &str, script: &str) -> (PathBuf, Board, Work) {
        let board = Board::load("host").unwrap();
        let directory = std::env::temp_dir().join(format!("friendlet-{name}-{}", std::process::id()));
        clean(&directory).unwrap();
        for part in ["tree/data", "data"] {
            fs::create_dir_all(directory.join(part)).unwrap();
        }
        fs::write(directory.join("tree/data/covered"), "").unwrap();
        fs::write(directory.join("data/friendlet.toml"), "").unwrap();
        let program = directory.join("friendlet");
        fs::write(&program, format!("#!/bin/sh\n{script}\n")).unwrap();
        run::captured(run::at_root("chmod").arg("+x").arg(&program)).unwrap();
        let work = Work { directory: directory.clone(), time: 0, number: 0 };
        (directory, board, work)
    }

    #[test]
    fn data_cover_those_of_the_root_and_an_error_ends_it() {
        let script = "[ \"$1 $2 $3 $4\" = 'check --board host --root' ] || exit 1\n\
                      [ -f \"$6\" ] && [ \"$(ls \"$5/data\")\" = friendlet.toml ] || exit 2\n\
                      [ $STATE_DIRECTORY = /data/state ] || exit 3";
        let (path, board, work) = directory("covered", script);
        let check =
            || check_data(&board, &work, &path.join("friendlet"), &path.join("tree"), &path.join("data"));
        assert_eq!(check(), Ok(()));
        assert!(path.join("tree/data/covered").exists(), "the root stays");
        fs::write(path.join("friendlet"), "#!/bin/sh\nexit 78\n").unwrap();
        assert!(check().unwrap_err().ends_with("78"));
        fs::remove_file(path.join("data/friendlet.toml")).unwrap();
        assert_eq!(check(), Ok(()), "without a file the built-in default is in force");
        fs::remove_dir_all(path).unwrap();
    }
}
