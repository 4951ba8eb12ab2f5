//! Programs of others as services: a board whose root has Debian's broker, web server and Python, on the services
//! of `tests/system/stack`.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use super::{data, suite};
use crate::board::Board;
use crate::{build, image, run};

/// The three programs, and the libraries that they are linked to.
const PACKAGES: [&str; 29] = [
    "libc6",
    "libcap2",
    "libcom-err2",
    "libdlt2",
    "libexpat1",
    "libgcc-s1",
    "libgcrypt20",
    "libgpg-error0",
    "libgssapi-krb5-2",
    "libk5crypto3",
    "libkeyutils1",
    "libkrb5-3",
    "libkrb5support0",
    "liblz4-1",
    "liblzma5",
    "libnettle8",
    "libnsl2",
    "libpcre2-8-0",
    "libpython3.11-minimal",
    "libssl3",
    "libsystemd0",
    "libtirpc3",
    "libwrap0",
    "libxxhash0",
    "libzstd1",
    "lighttpd",
    "mosquitto",
    "python3.11-minimal",
    "zlib1g",
];
const PASSWD: &str = "root:x:0:0:root:/:/bin/false\n\
                      www-data:x:33:33:www-data:/:/bin/false\n\
                      mosquitto:x:104:104:mosquitto:/:/bin/false\n\
                      nobody:x:65534:65534:nobody:/:/bin/false\n";
const GROUP: &str = "root:x:0:\nwww-data:x:33:\nmosquitto:x:104:\nnobody:x:65534:\n";
/// Directory of the services' files on the board.
const DIRECTORY: &str = "/data/stack/";
/// Values of the words in capitals in the files.
const WORDS: [(&str, &str); 5] = [
    ("DIRECTORY/", DIRECTORY),
    ("BROKER_PORT", "1883"),
    ("WEB_PORT", "8080"),
    ("START_LIMIT", "2"),
    ("NAME", "stack"),
];
/// Beginning of the last part of the usual configuration file.
const SERIAL: &str = "# Of a serial adapter that is plugged in.";
/// Files of the services in `tests/system/stack`.
const FILES: [&str; 3] = ["broker.conf", "mqtt.py", "web.conf"];
const PAGES: [(&str, &str); 2] = [("first.html", "the first page"), ("second.html", "the second page")];

/// Makes the image: the programs in its root, the services in its configuration file.
pub(super) fn make_image(board: &Board) -> Result<(), String> {
    let board = &board.with_stack();
    let directory = data::make(board)?;
    let tests = run::root().join("tests/system/stack");
    let text = |name: &str| -> Result<String, String> {
        let text = run::read(&tests.join(name))?;
        Ok(WORDS.iter().fold(text, |text, (word, value)| text.replace(word, value)))
    };
    let file = directory.join("friendlet.toml");
    // With its service, there would be more services than a board has room for.
    let usual = run::read(&file)?;
    let (usual, _) = usual.split_once(SERIAL).ok_or_else(|| format!("{}: no '{SERIAL}'", file.display()))?;
    run::write(&file, format!("{usual}\n{}", text("services.toml")?))?;
    let own = directory.join("stack");
    run::create_directory(&own)?;
    for name in FILES {
        run::write(&own.join(name), text(name)?)?;
    }
    for (name, page) in PAGES {
        run::write(&own.join(name), page)?;
    }
    let options =
        image::Options { data: Some(directory), root: Some(root(board)?), ..image::Options::default() };
    build::build(board)?;
    image::make(board, &options).map(drop)
}

/// Makes the directory of the root: the packages, one over the other.
fn root(board: &Board) -> Result<PathBuf, String> {
    let root = board.directory().join("programs");
    if root.exists() {
        fs::remove_dir_all(&root).map_err(|error| format!("{}: {error}", root.display()))?;
    }
    run::create_directory(&root)?;
    for package in PACKAGES {
        copy(&data::package_files(board, package)?, &root)?;
    }
    for name in ["usr/share", "var"] {
        fs::remove_dir_all(root.join(name)).map_err(|error| format!("/{name}: {error}"))?;
    }
    let python = root.join("usr/bin/python3");
    symlink("python3.11", &python).map_err(|error| format!("{}: {error}", python.display()))?;
    let shell = root.join("bin/sh");
    run::create_directory(&root.join("bin"))?;
    fs::copy(data::busybox(board)?, &shell).map_err(|error| format!("{}: {error}", shell.display()))?;
    run::write(&root.join("etc/passwd"), PASSWD)?;
    run::write(&root.join("etc/group"), GROUP)?;
    Ok(root)
}

fn copy(from: &Path, to: &Path) -> Result<(), String> {
    run::captured(run::at_root("cp").arg("-a").arg(from.join(".")).arg(to)).map(drop)
}

/// Boots the board and asks its services everything that they promise.
pub(super) fn run(board: &Board) -> Result<(), String> {
    println!("==> {}: programs of others as services", board.name);
    suite::run_cases(&board.with_stack(), &suite::options("stack"), &["system::booted::stack::"])
}
