//! The commands about one board that take options of their own: `image`, `qemu`, `flash`.

use std::path::PathBuf;

use crate::board::Board;
use crate::{flash, image, qemu};

/// How each is used and what it does, for the help.
pub(crate) const HELP: [(&str, &str); 3] = [
    (
        "image --board B [--data FOLDER] [--boot FOLDER] [--binary FILE]",
        "disk image, and the root as an archive, in target/boards/B;\n\
         \x20     what is in FOLDER lies on the data or the boot partition",
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
    Image(image::Options),
    Qemu(qemu::Options),
    Flash(flash::Options),
}

/// Reads the command line of one of these commands; none if `words` begins with another's name.
pub(crate) fn parse(words: &[&str]) -> Option<Result<(String, Tool), String>> {
    let (name, rest) = words.split_first()?;
    let tool = match *name {
        "image" => Tool::Image(image::Options::default()),
        "qemu" => Tool::Qemu(qemu::Options::default()),
        "flash" => Tool::Flash(flash::Options::default()),
        _ => return None,
    };
    Some(options(tool, rest).map_err(|error| format!("{name}: {error}")))
}

fn options(mut tool: Tool, words: &[&str]) -> Result<(String, Tool), String> {
    let mut board = None;
    let mut words = words.iter();
    while let Some(word) = words.next() {
        let (option, inline) = word.split_once('=').map_or((*word, None), |(o, value)| (o, Some(value)));
        let mut value = || {
            let value = inline.or_else(|| words.next().copied());
            value.filter(|value| !value.is_empty()).ok_or_else(|| format!("{option}: its value is missing"))
        };
        match (option, &mut tool) {
            ("--board", _) if board.is_none() => board = Some(value()?.to_owned()),
            ("--data", Tool::Image(options)) => options.data = Some(PathBuf::from(value()?)),
            ("--boot", Tool::Image(options)) => options.boot = Some(PathBuf::from(value()?)),
            ("--binary", Tool::Image(options)) => options.binary = Some(PathBuf::from(value()?)),
            ("--port", Tool::Qemu(options)) => {
                let text = value()?;
                options.port = text.parse().map_err(|_| format!("--port: '{text}' is no port"))?;
            }
            ("--snapshot", Tool::Qemu(options)) if inline.is_none() => options.snapshot = true,
            ("--kernel", Tool::Qemu(options)) if inline.is_none() => options.kernel = true,
            ("--yes", Tool::Flash(options)) if inline.is_none() => options.yes = true,
            ("--file", Tool::Flash(options)) if inline.is_none() => options.file = true,
            (_, Tool::Flash(options)) if !word.starts_with('-') && options.device.as_os_str().is_empty() => {
                options.device = PathBuf::from(word);
            }
            _ => return Err(format!("unknown argument '{word}'")),
        }
    }
    if matches!(&tool, Tool::Flash(options) if options.device.as_os_str().is_empty()) {
        return Err("which device? flash DEVICE --board B".to_owned());
    }
    let board = board.ok_or("which board? --board B; boards/README.md lists them")?;
    Ok((board, tool))
}

/// Carries the command out.
pub(crate) fn run(board: &str, tool: &Tool) -> Result<(), String> {
    let board = Board::load(board)?;
    match tool {
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
        let (board, tool) = parsed("image --board b --data d --boot=f --binary x").unwrap().unwrap();
        let Tool::Image(options) = tool else { panic!("{tool:?}") };
        assert_eq!(board, "b");
        assert_eq!(
            [options.data, options.boot, options.binary].map(Option::unwrap),
            ["d", "f", "x"].map(PathBuf::from)
        );
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
