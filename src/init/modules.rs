//! The list of kernel modules: one a line, `PATH [PARAMETERS]`, `#` begins a comment.

/// A module to be loaded.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Module<'a> {
    /// Its file, relative to `/lib/modules`.
    pub(super) file: &'a str,
    /// What it is told, as on insmod's command line.
    pub(super) parameters: &'a str,
}

/// The modules of a list, in the order in which they are to be loaded.
pub(super) fn read(text: &str) -> impl Iterator<Item = Module<'_>> {
    text.lines().filter_map(|line| {
        let line = line.split('#').next().unwrap_or_default().trim();
        let (file, parameters) = line.split_once(char::is_whitespace).unwrap_or((line, ""));
        // A path from the root would leave the modules' folder.
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
# what the disk needs
kernel/drivers/virtio/virtio.ko
  virtio_blk.ko   # the disk

\tsoftdog.ko\tsoft_margin=4  nowayout=1
/absolute.ko a=\"b c\"
#
";
        let modules: Vec<_> = read(text).map(|module| (module.file, module.parameters)).collect();
        assert_eq!(
            modules,
            [
                ("kernel/drivers/virtio/virtio.ko", ""),
                ("virtio_blk.ko", ""),
                ("softdog.ko", "soft_margin=4  nowayout=1"),
                ("absolute.ko", "a=\"b c\""),
            ]
        );
        assert_eq!(read("").count() + read("\n \n/\n").count(), 0);
    }

    #[test]
    fn list_is_read_to_its_limit_and_no_further() {
        use crate::init::MODULES_BYTES;
        use crate::sys::file::{FileReason, read_text};
        let path = std::env::temp_dir().join(format!("friendlet-modules-{}", std::process::id()));
        let longest = "a.ko\n".repeat(MODULES_BYTES)[..MODULES_BYTES].to_owned();
        std::fs::write(&path, &longest).unwrap();
        assert_eq!(read(&read_text(&path, MODULES_BYTES).unwrap()).count(), MODULES_BYTES.div_ceil(5));
        std::fs::write(&path, longest + "\n").unwrap();
        let reason = read_text(&path, MODULES_BYTES).unwrap_err().reason;
        assert!(matches!(reason, FileReason::TooLarge(MODULES_BYTES)));
        std::fs::remove_file(path).unwrap();
    }
}
