//! `cargo xtask image`: the disk image of a board, and its root as a plain archive. Everything is
//! made in files: no root rights, no mounts. The same input gives the same bytes.

mod check;
mod cpio;
mod disk;
mod kernel;
mod modules;
mod packages;
mod root;
mod script;
mod work;

use std::fs;
use std::path::{Path, PathBuf};

use crate::board::Board;
use crate::machine::Image;
use crate::{build, run};

pub(crate) use disk::{blank, read_state, write_root, write_state};
use kernel::Kernel;
use modules::Module;
pub(crate) use packages::files as package_files;
use root::{GROUP, MOUNT_POINTS, PASSWD};
pub(crate) use work::{TIME_FILE, clean, time as source_time};
use work::{Work, tree};

/// The options of `cargo xtask image`.
#[derive(Debug, Default)]
pub(crate) struct Options {
    /// A directory whose content lies on the data partition.
    pub(crate) data: Option<PathBuf>,
    /// A directory whose content lies on the boot partition too, such as the maker's firmware.
    pub(crate) boot: Option<PathBuf>,
    /// A directory whose content lies in the root too, such as programs of services and their libraries.
    pub(crate) root: Option<PathBuf>,
    /// Binary to use instead of the board's.
    pub(crate) binary: Option<PathBuf>,
}

/// The files in the directory of an image.
#[derive(Clone, Debug)]
pub(crate) struct Files {
    /// The whole disk.
    pub(crate) disk: PathBuf,
    /// The kernel, as U-Boot takes it.
    pub(crate) kernel: PathBuf,
    /// The initramfs.
    pub(crate) initrd: PathBuf,
    /// The root as a file system.
    pub(crate) root: PathBuf,
    /// The root as a plain archive.
    pub(crate) archive: PathBuf,
}

impl Files {
    /// Their paths for this board, made or not.
    pub(crate) fn of(board: &Board) -> Self {
        let directory = board.directory();
        Self {
            disk: directory.join("disk.img"),
            kernel: directory.join("kernel"),
            initrd: directory.join("initrd.img"),
            root: directory.join("root.squashfs"),
            archive: directory.join("root.tar.gz"),
        }
    }
}

/// Makes everything for `board`.
pub(crate) fn make(board: &Board, options: &Options) -> Result<Files, String> {
    let image = Image::of(board)?;
    let work = Work::new(board)?;
    let files = Files::of(board);
    let binary = binary(board, options)?;
    let bytes = run::bytes_of(&binary)?;
    // Checked before it is packed: no image has a configuration file with errors.
    let pack_root = |tree: PathBuf| {
        root::put_texts(&tree, &binary)?;
        if let Some(data) = &options.data {
            check::check_data(board, &work, &binary, &tree, data)?;
        }
        root::pack(&work, &tree, &files)
    };
    let Some(image) = image else {
        println!("==> {}: root", board.name);
        pack_root(root::make(&work, &bytes, options.root.as_deref(), None)?)?;
        println!("    {}", files.archive.display());
        println!("    boards/{}/board.toml has no [image], so this board has no disk image", board.name);
        return Ok(files);
    };
    println!("==> {}: kernel and initramfs", board.name);
    let kernel = Kernel::find(&packages::kernel(&image.kernel, &image.kernel_abi)?)?;
    kernel.write(&image, &work, &files.kernel)?;
    let all = modules::Modules::read(&kernel.modules)?;
    let modules = |key: &str, wanted: &[String]| {
        let resolved = all.resolve(wanted);
        resolved.map_err(|error| format!("boards/{}/board.toml: [image] {key}: {error}", board.name))
    };
    let (at_start, on_demand) = (modules("modules", &image.modules)?, modules("hotplug", &image.hotplug)?);
    println!("    kernel {}, {} modules, {} of devices", kernel.version, at_start.len(), on_demand.len());
    initramfs(&work, &bytes, &at_start, &files.initrd)?;
    println!("==> {}: root", board.name);
    let hotplug = root::Hotplug { release: &kernel.version, modules: &on_demand };
    let hotplug = Some(&hotplug).filter(|hotplug| !hotplug.modules.is_empty());
    let tree = root::make(&work, &bytes, options.root.as_deref(), hotplug)?;
    root::put_checker(&tree, image.architecture())?;
    pack_root(tree)?;
    println!("==> {}: disk", board.name);
    assemble(board, &image, &work, &kernel, &files, options)?;
    for path in [&files.disk, &files.kernel, &files.initrd, &files.root, &files.archive] {
        let size = fs::metadata(path).map_err(|error| format!("{}: {error}", path.display()))?.len();
        println!("    {:>9} KiB  {}", size.div_ceil(1024), path.display());
    }
    Ok(files)
}

/// Checks a configuration file with the limits of a board, in the root of the image that these options make.
pub(crate) fn check(board: &Board, file: &Path, options: &Options) -> Result<(), String> {
    let work = Work::new(board)?;
    let binary = binary(board, options)?;
    let tree = root::make(&work, &run::bytes_of(&binary)?, options.root.as_deref(), None)?;
    check::check_file(board, &work, &binary, &tree, options.data.as_deref(), file)
}

/// Path of the program: that of the options, or that of the board.
fn binary(board: &Board, options: &Options) -> Result<PathBuf, String> {
    match &options.binary {
        Some(path) => Ok(path.clone()),
        None => build::binary(board),
    }
}

/// The initramfs: friendlet as `/init`, the kernel's modules, and the order in which they are loaded.
fn initramfs(work: &Work, binary: &[u8], modules: &[Module], to: &Path) -> Result<(), String> {
    let mut archive = cpio::Archive::default();
    for (name, mode) in MOUNT_POINTS {
        archive.directory(name, mode);
    }
    for name in ["root", "etc", "etc/friendlet", "lib", "lib/modules"] {
        archive.directory(name, 0o755);
    }
    // The kernel opens it for init, before anything is mounted.
    archive.device("dev/console", 0o600, 5, 1);
    archive.file("init", 0o755, binary);
    archive.file("etc/passwd", 0o644, PASSWD.as_bytes());
    archive.file("etc/group", 0o644, GROUP.as_bytes());
    archive.file("etc/friendlet/modules", 0o644, list(modules).as_bytes());
    for module in modules {
        archive.file(&format!("lib/modules/{}.ko", module.name), 0o644, &module.bytes);
    }
    let plain = work.directory.join("initrd");
    run::write(&plain, archive.finish())?;
    let packed = run::bytes(work.tool("gzip").args(["-n", "-9", "-c"]).arg(&plain))?;
    fs::remove_file(&plain).map_err(|error| format!("{}: {error}", plain.display()))?;
    run::write(to, &packed)
}

/// `/etc/friendlet/modules`.
fn list(modules: &[Module]) -> String {
    let mut text = String::from("# Kernel modules in the order of loading, parameters after the file.\n");
    for module in modules {
        text += &format!("{}.ko {}", module.name, module.parameters);
        text.truncate(text.trim_end().len());
        text.push('\n');
    }
    text
}

fn assemble(
    board: &Board,
    image: &Image,
    work: &Work,
    kernel: &Kernel,
    files: &Files,
    options: &Options,
) -> Result<(), String> {
    let partitions = image.partitions();
    let common = run::root().join("cross/image/boot.cmd");
    let common = run::read(&common)?;
    let plain = work.directory.join("boot.cmd");
    let packed = work.directory.join("boot.scr");
    let key = |error| format!("boards/{}/board.toml: [image]: {error}", board.name);
    run::write(&plain, script::script(image, &common).map_err(key)?.as_bytes())?;
    let mut command = work.tool("mkimage");
    command
        .args(["-A", "arm", "-T", "script", "-C", "none", "-n", "friendlet", "-d"])
        .arg(&plain)
        .arg(&packed);
    run::captured(&mut command)?;

    let mut boot: Vec<(PathBuf, String)> = vec![
        (files.kernel.clone(), "kernel".to_owned()),
        (files.initrd.clone(), "initrd.img".to_owned()),
        (packed, "boot.scr".to_owned()),
    ];
    for name in &image.device_trees {
        let file = name.rsplit('/').next().unwrap_or(name).to_owned();
        boot.push((kernel.device_tree(name).map_err(key)?, file));
    }
    for file in &image.file {
        boot.push((in_package(&file.package, &file.path)?, file.to.clone()));
    }
    let own = run::root().join("boards").join(&board.name).join("boot");
    if own.is_dir() {
        boot.extend(tree(&own)?);
    }
    if let Some(directory) = &options.boot {
        boot.extend(tree(directory)?);
    }
    let raw = image
        .raw
        .iter()
        .map(|raw| Ok((run::bytes_of(&in_package(&raw.package, &raw.path)?)?, raw.sector)))
        .collect::<Result<Vec<_>, String>>()?;

    let boot_file = work.directory.join("boot.img");
    let data_file = work.directory.join("data.img");
    disk::boot(work, partitions[0], &boot, &boot_file)?;
    let empty = work.directory.join("data");
    if options.data.is_none() {
        clean(&empty)?;
    }
    let data = options.data.as_deref().unwrap_or(&empty);
    disk::data(work, partitions[3], data, &data_file)?;
    let parts = [boot_file.as_path(), &files.root, &files.root, &data_file];
    disk::assemble(work, image, &raw, &parts, &files.disk)?;
    for path in [boot_file, data_file] {
        fs::remove_file(&path).map_err(|error| format!("{}: {error}", path.display()))?;
    }
    Ok(())
}

/// The file `path` of a Debian package.
fn in_package(package: &str, path: &str) -> Result<PathBuf, String> {
    let file = packages::files(package)?.join(path);
    if file.is_file() { Ok(file) } else { Err(format!("{package} has no file {path}")) }
}

/// Path of the kernel of an image as Debian has it.
pub(crate) fn kernel(image: &Image) -> Result<PathBuf, String> {
    Ok(Kernel::find(&packages::kernel(&image.kernel, &image.kernel_abi)?)?.image)
}

/// Path of the device tree that QEMU passes to the kernel.
pub(crate) fn device_tree(image: &Image, name: &str) -> Result<PathBuf, String> {
    Kernel::find(&packages::kernel(&image.kernel, &image.kernel_abi)?)?.device_tree(name)
}
