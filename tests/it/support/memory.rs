//! Memory of the server: its bound, and its use.

use super::server::run;
use super::{Server, process};

/// The last number of a line of `friendlet check`.
#[track_caller]
pub(crate) fn reported(table: &str, item: &str) -> u64 {
    let item = format!("{item}  ");
    let line =
        table.lines().find(|line| line.starts_with(&item)).unwrap_or_else(|| panic!("{item}: {table}"));
    line.split_whitespace().last().unwrap().parse().unwrap()
}

/// Returns the server's own bound of its memory. The pages of the program are its file's, and counted
/// neither here nor in [`taken`].
pub(crate) fn bound(server: &Server) -> u64 {
    let check = run(&["check", &server.directory().file("friendlet.toml")], "");
    reported(&check.stdout, "all, bytes") - reported(&check.stdout, "program")
}

/// Returns the server's peak memory so far.
pub(crate) fn taken(server: &Server) -> u64 {
    let pages = process::status(server.pid(), "VmHWM") - process::status(server.pid(), "RssFile");
    pages * 1024 - process::written_file_pages(server.pid())
}

/// Checks the server's peak memory so far against its bound, and prints both.
#[track_caller]
pub(crate) fn assert_bound_holds(server: &Server, after: &str) {
    let (bound, taken) = (bound(server), taken(server));
    println!("{after}, tls {}: {taken} bytes; bound {bound}", server.is_tls());
    assert!(taken <= bound, "{taken} bytes are taken where {bound} were reported");
}
