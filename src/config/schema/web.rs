//! `[web]`: one row a key.

use crate::config::checks::is_absolute_path_or_empty;
use crate::config::key::Default::{Integer, String};
use crate::config::key::{Key, Kind, Table, board_limit, documentation, fixed};
use crate::limits::WEB_BYTES;

/// Default of `bytes`.
const BYTES: u32 = 1024 * 1024;

const _: () = assert!(WEB_BYTES as u64 >= BYTES as u64, "web_bytes: must hold the default of [web] bytes");

/// `[web]`.
pub static WEB: Table = Table {
    name: "web",
    header: "[web]",
    doc: documentation("Own pages, such as those of a kiosk, beside the console: docs/own-pages.md."),
    fixed: &[],
    keys: &[
        Key::new(
            "root",
            Kind::string(board_limit!(FILE_PATH_BYTES), "an absolute path", is_absolute_path_or_empty),
            String(""),
            "Directory of the pages, which are read into memory at the start and at each reload. Empty: none.",
        )
        .example("\"/srv/www\""),
        Key::new(
            "bytes",
            Kind::Integer { least: fixed(4096), most: board_limit!(WEB_BYTES) },
            Integer(BYTES),
            "Most bytes of all files together. A directory with more is not served.",
        ),
    ],
};
