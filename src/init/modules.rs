//! List of kernel modules: one a line, `PATH [PARAMETERS]`, with comments after `#`.

/// Module to load.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Module<'a> {
    /// File, relative to `/lib/modules`.
    pub(super) file: &'a str,
    /// Parameters, as on the command line of insmod.
    pub(super) parameters: &'a str,
}

/// Parses a list. The modules are in the order in which init loads them.
pub(super) fn parse(text: &str) -> impl Iterator<Item = Module<'_>> {
    text.lines().filter_map(|line| {
        let line = line.split_once('#').map_or(line, |(line, _)| line).trim();
        let (file, parameters) = line.split_once(char::is_whitespace).unwrap_or((line, ""));
        // An absolute path would leave the directory of the modules.
        let file = file.trim_start_matches('/');
        (!file.is_empty()).then_some(Module { file, parameters: parameters.trim_start() })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_a_line_with_its_parameters() {
        let text = "\
# modules of the disk
kernel/drivers/virtio/virtio.ko
  virtio_blk.ko   # the disk

\tsoftdog.ko\tsoft_margin=4  nowayout=1
/absolute.ko a=\"b c\"
#
";
        let modules: Vec<_> = parse(text).map(|module| (module.file, module.parameters)).collect();
        assert_eq!(
            modules,
            [
                ("kernel/drivers/virtio/virtio.ko", ""),
                ("virtio_blk.ko", ""),
                ("softdog.ko", "soft_margin=4  nowayout=1"),
                ("absolute.ko", "a=\"b c\""),
            ]
        );
        assert_eq!(parse("").count() + parse("\n \n/\n").count(), 0);
    }

    #[test]
    fn list_over_its_limit_is_rejected() {
        use crate::init::MODULES_BYTES;
        use crate::sys::file::{FileReason, read_text};
        let path = std::env::temp_dir().join(format!("friendlet-modules-{}", std::process::id()));
        let longest = "a.ko\n".repeat(MODULES_BYTES)[..MODULES_BYTES].to_owned();
        std::fs::write(&path, &longest).unwrap();
        assert_eq!(parse(&read_text(&path, MODULES_BYTES).unwrap()).count(), MODULES_BYTES.div_ceil(5));
        std::fs::write(&path, longest + "\n").unwrap();
        let reason = read_text(&path, MODULES_BYTES).unwrap_err().reason;
        assert!(matches!(reason, FileReason::TooLarge(MODULES_BYTES)));
        std::fs::remove_file(path).unwrap();
    }
}
