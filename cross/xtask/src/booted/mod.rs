//! The boards of tier 1, booted from their images in QEMU, and held to what a board must do: answer
//! the black-box cases, come back from a wedged server and from a broken root, and keep every
//! acknowledged change through power cuts.

mod crowd;
mod cuts;
mod damage;
mod data;
mod hang;
mod hotplug;
mod lab;
mod late;
mod ntp;
mod second;
mod stack;
mod suite;
mod trial;

use std::path::Path;
use std::time::Duration;

use crate::board::Board;
use crate::machine::{Boot, Image, Qemu};
use crate::part::Part;
use crate::qemu::{Guest, GuestOptions, Storage, copy};
use crate::{image, side};

pub(crate) use cuts::Options as CutOptions;

/// From the start to the first answer, on a busy machine.
const BOOT: Duration = Duration::from_secs(180);
/// From an answered poweroff to the end of QEMU.
const END: Duration = Duration::from_secs(60);
/// From a wedged server to the reset by the watchdog.
const BITE: Duration = Duration::from_secs(90);
/// The tries of a slot that has served, in the boot state.
const GOOD: u8 = 0xff;
/// Power cuts of every run of the tests.
const CUTS: u32 = 8;
/// Boards that are booted at once: QEMU takes one core for each, and the tests wait for the board.
const SIDE_BY_SIDE: usize = 2;

/// The board that the fast gate boots.
pub(crate) const FAST_BOARD: &str = "qemu-armv7";

/// Name of a boot, the making of an image of its own, and what is asked of the board then.
type FurtherBoot = (&'static str, fn(&Board) -> Result<(), String>, fn(&Board) -> Result<(), String>);

/// For boots of the image that every boot has.
const NO_IMAGE: fn(&Board) -> Result<(), String> = |_| Ok(());

/// Boots with a measure that others at the same time would spoil.
const ALONE: [FurtherBoot; 2] =
    [("crowd", NO_IMAGE, crowd::run), ("spinning", NO_IMAGE, suite::run_spinning)];

/// Further boots of that board in the whole gate.
const FURTHER: [FurtherBoot; 8] = [
    ("damage", NO_IMAGE, damage::run),
    ("hang", NO_IMAGE, hang::run),
    ("hotplug", NO_IMAGE, hotplug::run),
    ("late", NO_IMAGE, late::run),
    ("ntp", NO_IMAGE, ntp::run),
    ("second", NO_IMAGE, second::run),
    ("stack", stack::make_image, stack::run),
    ("trial", trial::make_image, trial::run),
];

/// The step `booted`: in the fast gate one board and the black-box cases, in the whole gate everything.
pub(crate) fn check_part(part: Part) -> Result<(), String> {
    match part {
        Part::Fast => {
            let board = Board::load(FAST_BOARD)?.under_test();
            prepare(&board, part)?;
            suite::run(&board, part)
        }
        Part::Whole => check_all(),
    }
}

/// Boots every emulated board of tier 1: first everything is built, one after the other, for cargo
/// builds in one place; then they are booted side by side, each by a process of its own.
fn check_all() -> Result<(), String> {
    let mut boards = Board::all()?;
    boards.retain(|board| board.tier == 1 && board.table.contains_key("qemu"));
    if boards.is_empty() {
        return Err("no board of tier 1 has a [qemu]".to_owned());
    }
    let mut errors = Vec::new();
    boards.retain(|board| match prepare(&board.under_test(), Part::Whole) {
        Ok(()) => true,
        Err(error) => {
            println!("    {}: FAILED: {error}", board.name);
            errors.push(format!("{}: {error}", board.name));
            false
        }
    });
    let jobs = boards
        .iter()
        .map(|board| {
            let mut command = side::again();
            command.args(["boot", "--prepared", "--board", &board.name]);
            side::Job {
                name: board.name.clone(),
                log: board.under_test().directory().join("booted.log"),
                command,
                silence: None,
            }
        })
        .collect();
    errors.extend(side::by_side(jobs, SIDE_BY_SIDE).err());
    if let Some(board) = boards.iter().find(|board| board.name == FAST_BOARD) {
        errors.extend(ALONE.iter().filter_map(|alone| alone.2(&board.under_test()).err()));
    }
    if errors.is_empty() { Ok(()) } else { Err(errors.join("\n")) }
}

/// Everything that is asked of one board; `is_prepared` says that [`prepare`] has been called.
pub(crate) fn check(board: &Board, is_prepared: bool) -> Result<(), String> {
    let board = &board.under_test();
    if !is_prepared {
        prepare(board, Part::Whole)?;
    }
    let (qemu, image) = tables(board)?;
    suite::run(board, Part::Whole)?;
    if board.name == FAST_BOARD {
        FURTHER.iter().try_for_each(|further| further.2(board))?;
        if !is_prepared {
            ALONE.iter().try_for_each(|alone| alone.2(board))?;
        }
    }
    if image.watchdog_s.is_some() && !qemu.arguments.contains("friendlet.watchdog=0") {
        wedge(board)?;
    }
    if qemu.boot == Boot::UBoot {
        fall_back(board, &image)?;
    }
    if board.architecture() == "aarch64" {
        // The quickest to boot; what it tries is the same on every board.
        cuts::run(board, &CutOptions { cuts: CUTS })?;
    }
    Ok(())
}

/// One of the further boots alone, by its name; `is_prepared` says that everything is built.
pub(crate) fn further(board: &Board, name: &str, is_prepared: bool) -> Result<(), String> {
    let board = &board.under_test();
    if !is_prepared {
        prepare(board, Part::Fast)?;
    }
    let further = FURTHER.iter().chain(&ALONE).filter(|(further, ..)| *further == name);
    for (_, make_image, run) in further {
        if !is_prepared {
            make_image(board)?;
        }
        run(board)?;
    }
    Ok(())
}

/// `cargo xtask boots`: boots alone, `number` of them.
pub(crate) fn boots(board: &Board, number: u32, is_prepared: bool) -> Result<(), String> {
    let board = &board.under_test();
    if !is_prepared {
        make_image(board)?;
    }
    for boot in 1..=number {
        let options = || Ok(GuestOptions { name: "boots".to_owned(), ..GuestOptions::default() });
        let booted = Guest::boot(board, BOOT, options);
        let (guest, took) = booted.map_err(|error| format!("boot {boot} of {number}: {error}"))?;
        guest.kill().expect(None)?;
        println!("    boot {boot} of {number}: serves after {:.1} s", took.as_secs_f64());
    }
    Ok(())
}

/// `cargo xtask cuts`: power cuts alone.
pub(crate) fn cuts(board: &Board, options: &CutOptions) -> Result<(), String> {
    let board = &board.under_test();
    prepare(board, Part::Fast)?;
    cuts::run(board, options)
}

/// Builds everything that is needed of a board under test: its image, and the tests that know its limits.
fn prepare(board: &Board, part: Part) -> Result<(), String> {
    println!("==> {}: {}", board.name, board.about);
    make_image(board)?;
    if board.name == FAST_BOARD && part == Part::Whole {
        FURTHER.iter().try_for_each(|further| further.1(board))?;
    }
    suite::build(board)
}

/// The board's image, with the configuration file of the tests on its data partition.
fn make_image(board: &Board) -> Result<(), String> {
    let data = data::make(board)?;
    crate::build::build(board)?;
    image::make(board, &image::Options { data: Some(data), ..image::Options::default() }).map(drop)
}

fn tables(board: &Board) -> Result<(Qemu, Image), String> {
    let image =
        Image::of(board)?.ok_or_else(|| format!("boards/{}/board.toml has no [image]", board.name))?;
    Ok((Qemu::of(board)?, image))
}

/// Stops the server: the watchdog resets the board, and it serves again.
fn wedge(board: &Board) -> Result<(), String> {
    println!("==> {}: a wedged server", board.name);
    let options = GuestOptions {
        name: "wedge".to_owned(),
        ports: vec![lab::PORT],
        restarts: true,
        ..GuestOptions::default()
    };
    let (mut guest, _) = Guest::boot(board, BOOT, || Ok(options.clone()))?;
    // SIGSTOP, to the server and not to init.
    lab::run(
        guest.port(lab::PORT),
        "kill -STOP $(ps | grep '[s]erve --config /data' | while read -r pid rest; do echo $pid; done)",
    )?;
    let stopped = std::time::Instant::now();
    guest.wait_event("RESET", 1, BITE)?;
    let bitten = stopped.elapsed();
    guest.wait_serving(BOOT)?;
    println!(
        "    reset {:.0} s after the server was stopped, serves again {:.0} s after that",
        bitten.as_secs_f64(),
        (stopped.elapsed() - bitten).as_secs_f64()
    );
    let verdict = guest.kill();
    match verdict.complaints.first() {
        None => Ok(()),
        Some(line) => Err(format!("the serial log has a problem: {line}")),
    }
}

/// Slot B is in force and empty: the board returns to A, after B's tries when B was on
/// trial, and at once when B had been good.
fn fall_back(board: &Board, layout: &Image) -> Result<(), String> {
    for (tries, starts_of_b) in [(2, 2), (GOOD, 1)] {
        println!(
            "==> {}: an empty slot B, {}",
            board.name,
            if tries == GOOD { "confirmed" } else { "in test" }
        );
        let disk = copy(board, "fall-back")?;
        image::blank(&disk, layout.partitions()[2])?;
        let options = || {
            image::write_state(&disk, b'B', tries)?;
            Ok(GuestOptions {
                name: "fall-back".to_owned(),
                storage: Storage::File(disk.clone()),
                ports: vec![lab::PORT],
                restarts: true,
                ..GuestOptions::default()
            })
        };
        let (mut guest, took) = Guest::boot(board, 3 * BOOT, options)?;
        let line = lab::run(guest.port(lab::PORT), "cat /proc/cmdline")?;
        guest.wait_serial("slot A confirmed", BOOT)?;
        let resets = guest.verdict().resets;
        drop(guest);
        let state = image::read_state(&disk)?;
        if !line.contains("friendlet.slot=A") || state != Some((b'A', GOOD)) || resets != starts_of_b {
            return Err(format!(
                "after {resets} resets it runs with {}, and the boot state is {state:?}",
                line.trim()
            ));
        }
        println!(
            "    {starts_of_b} starts of B failed, then A serves, {:.0} s after the first",
            took.as_secs_f64()
        );
        remove(&disk);
    }
    Ok(())
}

/// Removes a disk that has done its duty; one of a test that failed stays, to be looked at.
fn remove(disk: &Path) {
    let _ = std::fs::remove_file(disk);
}
