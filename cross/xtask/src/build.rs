//! Building friendlet for a board: one static binary.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use cargo_metadata::MetadataCommand;

use crate::board::{Board, Log};
use crate::elf::Elf;
use crate::run;
use crate::toolchain::Way;

/// The parts of std that are built for a device. A panic there ends the process with a message that names the
/// place; a backtrace of a stripped binary would show nothing, and its code weighs more than 100 kB.
const STD: [&str; 2] = ["-Zbuild-std=std,panic_abort", "-Zbuild-std-features=optimize_for_size"];

/// Sections of a device's program that are not shipped: places of format strings, and the compiler's name.
const NOT_SHIPPED: [&str; 2] = [".defmt", ".comment"];

/// Builds the board's binary, checks that it is a static one and puts it in the board's directory.
pub(crate) fn build(board: &Board) -> Result<PathBuf, String> {
    let start = Instant::now();
    let binary = binary_path(board);
    if let Some(built) = BUILT.lock().unwrap_or_else(PoisonError::into_inner).get(&board.name) {
        if *built != binary {
            put(built, &binary)?;
            println!("    {}: as built before, {}", board.name, built.display());
        }
        return Ok(binary);
    }
    let elf = build_as(board, board.log, &binary)?;
    report(board, &elf, start);
    BUILT.lock().unwrap_or_else(PoisonError::into_inner).insert(board.name.clone(), binary.clone());
    Ok(binary)
}

/// Boards whose binary this run has built, and where it is. Cargo keeps one binary a target, so two
/// boards of the same one are built anew in turn.
static BUILT: Mutex<BTreeMap<String, PathBuf>> = Mutex::new(BTreeMap::new());

/// Puts a copy of a program at `to`, whose directory is made where it is missing.
pub(crate) fn put(from: &Path, to: &Path) -> Result<(), String> {
    make_way(to)?;
    fs::copy(from, to).map(drop).map_err(|error| format!("{} to {}: {error}", from.display(), to.display()))
}

/// Makes the directory of `to`, and takes away what is there: a program is replaced and not written over, for
/// the old one may run.
fn make_way(to: &Path) -> Result<(), String> {
    let directory = to.parent().unwrap_or(Path::new("."));
    run::create_directory(directory)?;
    let _ = fs::remove_file(to);
    Ok(())
}

/// The same in another target directory and with an environment of its own, such as limits; the binary
/// stays where cargo puts it, with its symbols if its log needs them.
pub(crate) fn build_in(
    board: &Board,
    directory: &Path,
    environment: &[(&str, &str)],
) -> Result<PathBuf, String> {
    let start = Instant::now();
    let (built, elf) = compile(board, board.log, directory, environment)?;
    report(board, &elf, start);
    Ok(built)
}

/// Builds for boards of different targets, whose logs are text, at once; [`build_in`] then has little to do.
pub(crate) fn build_all_in(
    boards: &[Board],
    directory: &Path,
    environment: &[(&str, &str)],
) -> Result<(), String> {
    cargo_build(&boards.iter().collect::<Vec<_>>(), Log::Text, directory, environment)
}

fn report(board: &Board, elf: &Elf, start: Instant) {
    let (name, bytes, target) = (&board.name, elf.file_bytes, &board.target);
    // Nothing is built in less: cargo had it already.
    match start.elapsed().as_secs() {
        0 => println!("    {name}: {bytes} bytes, static, {target}"),
        seconds => println!("    {name}: {bytes} bytes, static, {target}, in {seconds} s"),
    }
}

/// Builds for all these boards at once, no two of which have the same target: optimising a whole program
/// keeps one core busy, and two programs two.
fn cargo_build(
    boards: &[&Board],
    log: Log,
    directory: &Path,
    environment: &[(&str, &str)],
) -> Result<(), String> {
    let way = Way::find()?;
    let paths = short_paths(way)?;
    let mut command = way.cargo();
    command.args(["build", "--release", "--locked", "--quiet"]);
    command.args(["--package", "friendlet", "--bin", "friendlet"]);
    command.args(STD).arg("--target-dir").arg(directory).envs(environment.iter().copied());
    command.env(MUSL_TIME.0, MUSL_TIME.1);
    for board in boards {
        for_board(&mut command, board);
        // A panic ends the process: nothing unwinds, and the tables for it weigh 26 kB on ARMv7. Only here,
        // because tests do unwind.
        // On a board with frames, nothing that a person reads is made by `Debug`: its code weighs 37 kB on ARMv7.
        let debug = if board.log == Log::Defmt { ", \"-Zfmt-debug=none\"" } else { "" };
        let unwinder = without_unwinder(board);
        let flags = format!(
            "target.{}.rustflags=[\"-Cforce-unwind-tables=no\"{debug}{paths}{unwinder}]",
            board.target
        );
        command.args(["--config", &flags]);
        shrink(&mut command, board);
    }
    for_log(&mut command, log);
    run::shown(&mut command)
}

/// Flags that leave gcc's unwinder out of a program for 32-bit ARM. Without tables it finds nothing, and weighs 4 kB. std
/// asks for its first two functions to print a backtrace, and gets the empty one that the C library ends with; tables of the
/// C library name the others.
fn without_unwinder(board: &Board) -> String {
    const FUNCTIONS: [&str; 4] =
        ["_Unwind_Backtrace", "_Unwind_VRS_Get", "__aeabi_unwind_cpp_pr0", "__aeabi_unwind_cpp_pr1"];
    let functions = FUNCTIONS.iter().filter(|_| board.target.starts_with("arm"));
    functions.map(|name| format!(", \"-Clink-arg=-Wl,--defsym={name}=_fini\"")).collect()
}

/// Flags that shorten the paths in messages of panics to those from the directory of the crates or of std. A program
/// is then the same whatever the directories of the build, and 16 kB smaller on ARMv7.
fn short_paths(way: Way) -> Result<String, String> {
    let mut command = MetadataCommand::new();
    command.current_dir(run::root()).other_options(["--locked".to_owned()]);
    let metadata = command.exec().map_err(|error| format!("cargo metadata: {error}"))?;
    let of_others = metadata.packages.iter().filter(|package| package.source.is_some());
    let mut directories: BTreeSet<PathBuf> = of_others
        .filter_map(|package| package.manifest_path.ancestors().nth(2))
        .map(|directory| directory.as_std_path().to_owned())
        .collect();
    directories.extend(way.source());
    let flag = |directory: &PathBuf| format!(", \"--remap-path-prefix={}/=\"", directory.display());
    Ok(directories.iter().map(flag).collect())
}

/// Options of LLVM for Thumb-2 (docs/decisions/0013). Instructions that occur several times become a function, which it
/// has on by default for Cortex-M, whose code is the same. No load is copied to all ways to where its value is used,
/// and nothing is moved or copied for speed alone. The same instructions stay in the same order everywhere, which makes
/// more of them a function, and blocks are laid out for few branches.
const SMALLER: &str = "-enable-machine-outliner=always -enable-load-pre=false -disable-machine-licm -disable-lsr \
    -disable-tail-duplicate -disable-early-taildup -tail-merge-size=2 -post-RA-scheduler=false -split-spill-mode=size \
    -apply-ext-tsp-for-size";

/// Sets LLVM's options of a board with Thumb-2.
pub(crate) fn shrink(command: &mut Command, board: &Board) {
    if board.target.starts_with("armv7") {
        let flags = format!("target.{}.rustflags=[\"-Cllvm-args={SMALLER}\"]", board.target);
        command.args(["--config", &flags]);
    }
}

/// Builds these boards as [`build`] does one, as many at once as have different targets and the same
/// kind of log. Errors are ignored: [`build`] reports them with their board.
pub(crate) fn build_together(boards: &[Board]) {
    let mut rest: Vec<&Board> = boards.iter().collect();
    while let Some(first) = rest.first() {
        let log = first.log;
        let (mut round, mut later) = (Vec::<&Board>::new(), Vec::new());
        for board in rest {
            let fits = board.log == log && round.iter().all(|other| other.target != board.target);
            if fits { round.push(board) } else { later.push(board) }
        }
        rest = later;
        if round.len() > 1 && cargo_build(&round, log, &run::root().join("target"), &[]).is_err() {
            continue;
        }
        // Cargo has nothing left to do, and the next round replaces these.
        for board in round {
            let _ = build(board);
        }
    }
}

fn compile(
    board: &Board,
    log: Log,
    directory: &Path,
    environment: &[(&str, &str)],
) -> Result<(PathBuf, Elf), String> {
    cargo_build(&[board], log, directory, environment)?;
    let built = directory.join(&board.target).join("release/friendlet");
    let elf = Elf::read(&built)?;
    if !elf.is_static {
        return Err(format!("{}: is linked to shared libraries", built.display()));
    }
    Ok((built, elf))
}

/// Builds the board's binary with one kind of log, as `binary`. Of a device's program the whole one is
/// kept in `target/symbols`, by its build id, for `cargo xtask log`.
pub(crate) fn build_as(board: &Board, log: Log, binary: &Path) -> Result<Elf, String> {
    let (built, elf) = compile(board, log, &run::root().join("target"), &[])?;
    match log {
        Log::Text => put(&built, binary)?,
        Log::Defmt => {
            make_way(binary)?;
            let whole = keep_symbols(&built, &elf)?;
            strip(board, &whole, binary)?;
            keep_texts(&whole)?;
        }
    }
    Elf::read(binary)
}

/// The format strings of a device's program, which lie in its image.
pub(crate) fn texts_of(elf: &Elf) -> Option<PathBuf> {
    let id = elf.build_id.as_ref()?;
    Some(symbols().join(format!("{TEXTS}{id}"))).filter(|path| path.is_file())
}

/// Name of a file with format strings, before the build id.
pub(crate) const TEXTS: &str = "log-texts-";

/// Keeps the format strings of a whole program beside it.
fn keep_texts(whole: &Path) -> Result<(), String> {
    let mut command = Command::new(crate::log::reader()?);
    let texts = run::captured(command.arg("--texts").arg(whole))?;
    let id = whole.file_name().unwrap_or_default().to_string_lossy();
    run::write(&symbols().join(format!("{TEXTS}{id}")), texts.as_bytes())
}

/// The directory of devices' programs by their build ids.
pub(crate) fn symbols() -> PathBuf {
    run::root().join("target/symbols")
}

/// Keeps the whole program; gives where.
fn keep_symbols(built: &Path, elf: &Elf) -> Result<PathBuf, String> {
    let id = elf.build_id.as_ref().ok_or_else(|| format!("{}: has no build id", built.display()))?;
    // The number of a format string is an address, and the head of a log says that nothing moved it.
    if !elf.is_fixed {
        return Err(format!("{}: is position-independent: its log could not be read", built.display()));
    }
    let path = symbols().join(id);
    let failed = |error| format!("{}: {error}", path.display());
    fs::create_dir_all(symbols()).map_err(failed)?;
    fs::copy(built, &path).map_err(failed)?;
    Ok(path)
}

/// Writes what is shipped of the program `whole`: neither symbols nor format strings.
fn strip(board: &Board, whole: &Path, binary: &Path) -> Result<(), String> {
    let compiler = format!("cross/toolchain/{}-gcc", board.target);
    let program = run::captured(run::at_root(&compiler).arg("-print-prog-name=strip"))?;
    let mut command = run::at_root(program.trim());
    command.arg("--strip-all");
    command.args(NOT_SHIPPED.map(|section| format!("--remove-section={section}")));
    run::captured(command.arg("-o").arg(binary).arg(whole))?;
    let bytes = run::bytes_of(binary)?;
    let mark = br#""package":"friendlet""#;
    if bytes.windows(mark.len()).any(|window| window == mark) {
        return Err(format!("{}: holds format strings of the log", binary.display()));
    }
    Ok(())
}

/// Limits that no board may have, and what the build has to say of them: a name that is none, a value
/// that is none, and two limits that do not fit each other.
const REFUSED: [(&str, &str, &str); 3] = [
    ("FRIENDLET_LIMIT_SLOTZ", "8", "FRIENDLET_LIMIT_SLOTZ: 'slotz' is not a limit"),
    ("FRIENDLET_LIMIT_SLOTS", "-8", "FRIENDLET_LIMIT_SLOTS: slots: expected a positive integer"),
    ("FRIENDLET_LIMIT_SLOTS", "1", "slots: one is kept for an administrator, so two are needed"),
];

/// Holds the build to its refusals.
pub(crate) fn check_refusals() -> Result<(), String> {
    for (variable, value, wanted) in REFUSED {
        // Another limit changes with it: cargo asks build.rs again when one that there is has changed,
        // and knows of no other.
        let mut command = crate::cargo::cargo(&["check", "--quiet", "--workspace", "--locked", "--lib"]);
        let output = command
            .env("FRIENDLET_LIMIT_USERS", "15")
            .env(variable, value)
            .output()
            .map_err(|error| format!("cargo check: {error}"))?;
        let said = String::from_utf8_lossy(&output.stderr);
        if output.status.success() || !said.contains(wanted) {
            return Err(format!(
                "{variable}={value}: the build should stop with \"{wanted}\", and said:\n{said}"
            ));
        }
    }
    println!("    {} wrong limits stop the build", REFUSED.len());
    Ok(())
}

/// The board's binary, built if it is not there yet.
pub(crate) fn binary(board: &Board) -> Result<PathBuf, String> {
    let path = binary_path(board);
    if path.is_file() { Ok(path) } else { build(board) }
}

fn binary_path(board: &Board) -> PathBuf {
    board.directory().join("friendlet")
}

/// Variable of the libc crate, of that of std too, for musl 1.2.3 and newer: times with 64 bits on 32-bit processors.
const MUSL_TIME: (&str, &str) = ("RUST_LIBC_UNSTABLE_MUSL_V1_2_3", "1");

/// Sets the board's target, limits and features for a cargo command.
fn for_board(command: &mut Command, board: &Board) {
    // What is done once on a PC is not a part of a board's program.
    if board.name != "host" {
        command.arg("--no-default-features");
    }
    for_target(command, board, &board.name);
}

/// Sets the board's target for a cargo command, which may have other targets already, and the board whose
/// limits the build has.
pub(crate) fn for_target(command: &mut Command, board: &Board, limits_of: &str) {
    let variable = format!("FRIENDLET_BOARD_{}", board.target.replace('-', "_"));
    command.args(["--target", &board.target]).env(variable, limits_of);
    // What the caller's own builds use must not leak into a board's.
    command.env_remove("RUSTFLAGS").env_remove("CARGO_BUILD_TARGET");
}

/// Sets the form of the log for a cargo command. Frames are read with the whole program, which is
/// therefore left unstripped, and with what the compiler knows of places in the source.
pub(crate) fn for_log(command: &mut Command, log: Log) {
    if log == Log::Defmt {
        command.args(["--features", "defmt", "--config", "profile.release.strip=\"none\""]);
        command.args(["--config", "profile.release.package.friendlet.debug=2"]);
    }
}
