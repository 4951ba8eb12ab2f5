//! Slots in test whose system serves and does not work: the board goes back to the other one.

use std::time::Duration;

use super::{BOOT, GOOD, lab, remove, suite, tables};
use crate::board::Board;
use crate::machine::Partition;
use crate::qemu::{Guest, GuestOptions, Storage, copy};
use crate::{build, image, run};

/// Key of the configuration file of the tests that the other version does not know.
const KEY: &str = "settle_s";
/// Name of that key in the other version.
const OTHER_KEY: &str = "zettle_s";
/// From the start of the server to the failure of its slot, by the built-in default: `good_time` and `settle_time`.
const TEST: Duration = Duration::from_secs(360);
/// Drop-in with a required service that does not run.
const BROKEN: &str =
    "[[service]]\nname = \"broken\"\ncommand = [\"/nonexistent\"]\nautostart = true\nrequired = true\n";

/// One board whose slot B fails.
struct Case {
    name: &'static str,
    /// Changes the disk.
    prepare: fn(&Board, &std::path::Path, &[Partition]) -> Result<(), String>,
    /// Looks at slot B while it is in test.
    look: fn(&Guest) -> Result<(), String>,
}

const CASES: [Case; 2] = [
    Case {
        name: "version",
        prepare: |board, disk, partitions| {
            image::write_root(disk, partitions[2], &image::Files::of(&board.of_another_version()).root)
        },
        // Its built-in default has no lab.
        look: |_| Ok(()),
    },
    Case {
        name: "service",
        prepare: |board, disk, partitions| {
            let file = board.directory().join("broken.toml");
            run::write(&file, BROKEN)?;
            let data = format!("{}?offset={}", disk.display(), partitions[3].offset());
            let write = format!("write {} /friendlet.d/broken.toml", file.display());
            for request in ["mkdir /friendlet.d", &write] {
                run::captured(run::at_root("debugfs").args(["-w", "-R", request, &data]))?;
            }
            Ok(())
        },
        look: |guest| {
            let script = "/sbin/friendlet ctl board 2>&1; /sbin/friendlet ctl mark-good 2>&1";
            let output = lab::run(guest.port(lab::PORT), script)?;
            let lines = ["B, testing: service broken is not up", "reason"];
            if output.contains(lines[0]) && output.matches("service broken is not up").count() == 2 {
                return Ok(());
            }
            Err(format!("slot B is not in test: {output}"))
        },
    },
];

/// Makes the root of a version that does not know a key of the configuration file.
pub(super) fn make_image(board: &Board) -> Result<(), String> {
    let other = board.of_another_version();
    let mut binary = run::bytes_of(&build::binary(board)?)?;
    let places: Vec<usize> =
        (0..binary.len()).filter(|at| binary[*at..].starts_with(KEY.as_bytes())).collect();
    for at in &places {
        binary[*at..*at + KEY.len()].copy_from_slice(OTHER_KEY.as_bytes());
    }
    if places.is_empty() {
        return Err(format!("the program of {} has no '{KEY}'", board.name));
    }
    let path = other.directory().join("friendlet");
    run::create_directory(&other.directory())?;
    run::write(&path, binary)?;
    image::make(&other, &image::Options { binary: Some(path), ..image::Options::default() }).map(drop)
}

/// Boots both boards side by side, for they wait most of the time.
pub(super) fn run(board: &Board) -> Result<(), String> {
    std::thread::scope(|scope| {
        let runs = CASES.each_ref().map(|case| scope.spawn(|| run_case(board, case)));
        let results = runs.map(|run| run.join().unwrap_or_else(|_| Err("a panic".to_owned())));
        results.into_iter().collect()
    })
}

fn run_case(board: &Board, case: &Case) -> Result<(), String> {
    println!("==> {}: a slot in test that does not work: {}", board.name, case.name);
    let name = format!("trial-{}", case.name);
    let (_, layout) = tables(board)?;
    let disk = copy(board, &name)?;
    (case.prepare)(board, &disk, &layout.partitions())?;
    let options = || {
        image::write_state(&disk, b'B', 1)?;
        let storage = Storage::File(disk.clone());
        Ok(GuestOptions { storage, restarts: true, ..suite::options(&name) })
    };
    let (mut guest, _) = Guest::boot(board, BOOT, options)?;
    guest.wait_serial("slot B is testing", BOOT)?;
    (case.look)(&guest)?;
    guest.wait_serial("slot B failed: ", TEST + BOOT)?;
    guest.wait_serial("slot A confirmed", 2 * BOOT)?;
    suite::ask(&suite::program(board), &guest, &[&format!("system::booted::trial::{}_", case.name)])?;
    let resets = guest.verdict().resets;
    drop(guest);
    let state = image::read_state(&disk)?;
    if (resets, state) != (1, Some((b'A', GOOD))) {
        return Err(format!("{}: {resets} resets, and the boot state is {state:?}", case.name));
    }
    remove(&disk);
    Ok(())
}
