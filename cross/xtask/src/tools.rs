//! The commands about one board that take options of their own: `check`, `image`, `qemu`, `flash`.

use std::path::PathBuf;

use lexopt::Arg::{Long, Value};
use lexopt::ValueExt as _;

use crate::board::Board;
use crate::{flash, image, qemu};

/// Usage and summary of each for the help.
pub(crate) const HELP: [(&str, &str); 4] = [
    (
        "check FILE --board B [--data DIRECTORY] [--root DIRECTORY] [--binary FILE]",
        "check a configuration file with the limits of the board, in the root that `image` makes of the\n\
         \x20     same options",
    ),
    (
        "image --board B [--data DIRECTORY] [--boot DIRECTORY] [--root DIRECTORY] [--binary FILE]",
        "disk image, and the root as an archive, in target/boards/B; copies the content of DIRECTORY\n\
         \x20     to the data partition, the boot partition or the root; checks the friendlet.toml of the data",
    ),
    (
        "qemu --board B [--port N] [--snapshot] [--kernel]",
        "boot the image in QEMU: serial on the terminal, the guest's port 6500 on N (6500);\n\
         \x20     --snapshot: the image keeps nothing; --kernel: without the boot loader",
    ),
    (
        "flash DEVICE --board B [--yes] [--file]",
        "write the image to an SD card or disk and read it back; asks first, but for --yes;\n\
         \x20     --file: DEVICE is a regular file",
    ),
];

/// One of the commands, with its options.
#[derive(Debug)]
pub(crate) enum Tool {
    Check(PathBuf, image::Options),
    Image(image::Options),
    Qemu(qemu::Options),
    Flash(flash::Options),
}

/// Reads the command line of one of these commands; none if `words` begins with another's name.
pub(crate) fn parse(words: &[&str]) -> Option<Result<(String, Tool), String>> {
    let (name, rest) = words.split_first()?;
    let tool = match *name {
        "check" => Tool::Check(PathBuf::new(), image::Options::default()),
        "image" => Tool::Image(image::Options::default()),
        "qemu" => Tool::Qemu(qemu::Options::default()),
        "flash" => Tool::Flash(flash::Options::default()),
        _ => return None,
    };
    Some(options(tool, rest).map_err(|error| format!("{name}: {error}")))
}

fn options(mut tool: Tool, words: &[&str]) -> Result<(String, Tool), lexopt::Error> {
    let mut board = None;
    let mut parser = lexopt::Parser::from_args(words);
    while let Some(argument) = parser.next()? {
        match (argument, &mut tool) {
            (Long("board"), _) if board.is_none() => board = Some(parser.value()?.string()?),
            (Long("data"), Tool::Image(options) | Tool::Check(_, options)) => {
                options.data = Some(parser.value()?.into())
            }
            (Long("boot"), Tool::Image(options)) => options.boot = Some(parser.value()?.into()),
            (Long("root"), Tool::Image(options) | Tool::Check(_, options)) => {
                options.root = Some(parser.value()?.into())
            }
            (Long("binary"), Tool::Image(options) | Tool::Check(_, options)) => {
                options.binary = Some(parser.value()?.into());
            }
            (Value(path), Tool::Check(file, _)) if file.as_os_str().is_empty() => *file = path.into(),
            (Long("port"), Tool::Qemu(options)) => options.port = parser.value()?.parse()?,
            (Long("snapshot"), Tool::Qemu(options)) => options.snapshot = true,
            (Long("kernel"), Tool::Qemu(options)) => options.kernel = true,
            (Long("yes"), Tool::Flash(options)) => options.yes = true,
            (Long("file"), Tool::Flash(options)) => options.file = true,
            (Value(device), Tool::Flash(options)) if options.device.as_os_str().is_empty() => {
                options.device = device.into();
            }
            (other, _) => return Err(other.unexpected()),
        }
    }
    if matches!(&tool, Tool::Flash(options) if options.device.as_os_str().is_empty()) {
        return Err("which device? flash DEVICE --board B".into());
    }
    if matches!(&tool, Tool::Check(file, _) if file.as_os_str().is_empty()) {
        return Err("which file? check FILE --board B".into());
    }
    let board = board.ok_or("which board? --board B; boards/README.md lists them")?;
    Ok((board, tool))
}

/// Carries the command out.
pub(crate) fn run(board: &str, tool: &Tool) -> Result<(), String> {
    let board = Board::load(board)?;
    match tool {
        Tool::Check(file, options) => image::check(&board, file, options),
        Tool::Image(options) => image::make(&board, options).map(drop),
        Tool::Qemu(options) => qemu::interactive(&board, options),
        Tool::Flash(options) => flash::flash(&board, options),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(line: &str) -> Option<Result<(String, Tool), String>> {
        parse(&line.split_whitespace().collect::<Vec<_>>())
    }

    #[test]
    fn every_option_is_read() {
        let (board, tool) = parsed("image --board b --data d --boot=f --root r --binary x").unwrap().unwrap();
        let Tool::Image(options) = tool else { panic!("{tool:?}") };
        assert_eq!(board, "b");
        assert_eq!(
            [options.data, options.boot, options.root, options.binary].map(Option::unwrap),
            ["d", "f", "r", "x"].map(PathBuf::from)
        );
        let (_, tool) = parsed("check f --board b --data d --root r").unwrap().unwrap();
        let Tool::Check(file, options) = tool else { panic!("{tool:?}") };
        assert_eq!([file, options.data.unwrap(), options.root.unwrap()], ["f", "d", "r"].map(PathBuf::from));
        let (_, tool) = parsed("qemu --port 99 --snapshot --kernel --board=b").unwrap().unwrap();
        let Tool::Qemu(options) = tool else { panic!("{tool:?}") };
        assert_eq!((options.port, options.snapshot, options.kernel), (99, true, true));
        let (_, tool) = parsed("flash --yes /dev/sdx --board b --file").unwrap().unwrap();
        let Tool::Flash(options) = tool else { panic!("{tool:?}") };
        assert_eq!((options.device, options.yes, options.file), (PathBuf::from("/dev/sdx"), true, true));
    }

    #[test]
    fn a_wrong_command_line_is_refused() {
        for line in [
            "image",
            "image b",
            "image --board",
            "image --board b --board c",
            "image --board b --port 1",
            "image --board b --data",
            "check --board b",
            "check f g --board b",
            "check f --board b --boot d",
            "qemu --board b --port 65536",
            "qemu --board b --snapshot=1",
            "flash --board b",
            "flash /dev/sdx",
            "flash /dev/sdx /dev/sdy --board b",
        ] {
            let error = parsed(line).unwrap().unwrap_err();
            assert!(error.starts_with(line.split(' ').next().unwrap()), "{error}");
        }
        assert!(parsed("build --board b").is_none() && parsed("").is_none());
    }
}
