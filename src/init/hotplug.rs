//! Kernel modules of devices that appear: a module is loaded when one of its aliases matches that of a device without a
//! driver.
//!
//! The tables are those of depmod(8), `modules.alias` and `modules.dep` in `/lib/modules/RELEASE`. A thread reads them:
//! loading a module waits for the disk, and often for the device.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};

use heapless::String;

use super::{ALIASES_BYTES, MODULE_DEPENDENCIES, MODULE_LINE_BYTES, MODULES_DIRECTORY};
use crate::config::matches_pattern;
use crate::log::Reason;
use crate::log::console::{info, warning};
use crate::sys::machine as system;
use crate::sys::{file, thread};

/// Stack of the thread.
const STACK_BYTES: usize = 64 * 1024;
const SYS: &str = "/sys";
const ALIASES: &str = "modules.alias";
const DEPENDENCIES: &str = "modules.dep";

/// No thread searches.
const IDLE: u8 = 0;
/// The thread searches.
const SEARCHING: u8 = 1;
/// A device has appeared since the thread began its search, or the thread has not begun.
const DUE: u8 = 2;

/// Modules of a kernel that are loaded for its devices.
#[derive(Debug)]
pub(super) struct Hotplug {
    directory: PathBuf,
    state: Arc<AtomicU8>,
}

impl Hotplug {
    /// Returns `None` for a root without the tables of its kernel.
    pub(super) fn new() -> Option<Self> {
        let directory = Path::new(MODULES_DIRECTORY).join(system::kernel_release());
        directory.join(ALIASES).exists().then(|| Self { directory, state: Arc::new(AtomicU8::new(IDLE)) })
    }

    /// Searches for devices without a driver, and loads their modules.
    pub(super) fn search(&self) {
        // In one step: the thread may end at any time.
        if self.state.swap(DUE, Ordering::AcqRel) != IDLE {
            return;
        }
        let (directory, state) = (self.directory.clone(), Arc::clone(&self.state));
        let work = move || {
            loop {
                state.store(SEARCHING, Ordering::Release);
                visit_modules(&directory, Path::new(SYS), &mut |path| load(path));
                if state.compare_exchange(SEARCHING, IDLE, Ordering::AcqRel, Ordering::Acquire).is_ok() {
                    return;
                }
            }
        };
        if let Err(error) = thread::start("modules", STACK_BYTES, Box::new(work)) {
            self.state.store(IDLE, Ordering::Release);
            warning!("cannot load modules of devices: {}", Reason::from(&error));
        }
    }
}

fn load(path: &Path) {
    match system::load_module(path, "") {
        Ok(()) => info!("module {} loaded for a device", path.display()),
        Err(error) => warning!("cannot load module {}: {}", path.display(), Reason::from(&error)),
    }
}

/// Calls `visit` with the file of each module that a device without a driver needs, in the order of loading.
fn visit_modules(directory: &Path, sys: &Path, visit: &mut dyn FnMut(&Path)) {
    let mut aliases = Aliases::new();
    system::visit_aliases(sys, &mut |alias| {
        if !add(&mut aliases, alias) {
            visit_matches(directory, sys, &aliases, visit);
            aliases.clear();
            // One alias alone has room.
            let _ = add(&mut aliases, alias);
        }
    });
    visit_matches(directory, sys, &aliases, visit);
}

/// Aliases of devices, a line each.
type Aliases = String<ALIASES_BYTES>;

/// Returns false without room.
fn add(aliases: &mut Aliases, alias: &str) -> bool {
    let has_room = aliases.len() + alias.len() < ALIASES_BYTES;
    has_room && aliases.push_str(alias).is_ok() && aliases.push('\n').is_ok()
}

fn visit_matches(directory: &Path, sys: &Path, aliases: &Aliases, visit: &mut dyn FnMut(&Path)) {
    if aliases.is_empty() {
        return;
    }
    visit_lines(&directory.join(ALIASES), &mut |line| {
        let mut words = line.split_ascii_whitespace();
        if let (Some("alias"), Some(pattern), Some(module)) = (words.next(), words.next(), words.next())
            && aliases.lines().any(|alias| matches_pattern(pattern, alias))
        {
            visit_with_dependencies(directory, sys, module, visit);
        }
    });
}

/// Calls `visit` with the files of a module and of what it needs, but those that are loaded.
fn visit_with_dependencies(directory: &Path, sys: &Path, module: &str, visit: &mut dyn FnMut(&Path)) {
    let is_loaded = |name: &str| sys.join("module").join(canonical(name)).exists();
    if is_loaded(module) {
        return;
    }
    visit_lines(&directory.join(DEPENDENCIES), &mut |line| {
        let Some((file, dependencies)) = line.split_once(':') else { return };
        if module_name(file).is_none_or(|name| canonical(name) != canonical(module)) {
            return;
        }
        // The last one is needed by those before it.
        let files = dependencies.split_ascii_whitespace().rev().take(MODULE_DEPENDENCIES).chain([file]);
        for file in files.filter(|file| module_name(file).is_some_and(|name| !is_loaded(name))) {
            visit(&directory.join(file));
        }
    });
}

/// Name of the module in a file, which is not compressed.
fn module_name(file: &str) -> Option<&str> {
    file.rsplit('/').next()?.strip_suffix(".ko")
}

/// `usb-storage` and `usb_storage` are the same module.
fn canonical(name: &str) -> std::string::String {
    name.replace('-', "_")
}

/// Calls `visit` with each line of a file, but those over their limit.
fn visit_lines(path: &Path, visit: &mut dyn FnMut(&str)) {
    if let Err(error) = file::visit_lines(path, MODULE_LINE_BYTES, visit) {
        warning!("cannot read the table of modules: {}", error);
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    /// A directory with tables and a tree of devices.
    struct Tree(PathBuf);

    impl Tree {
        fn new(name: &str) -> Self {
            let path = std::env::temp_dir().join(format!("friendlet-hotplug-{name}-{}", std::process::id()));
            let _ = fs::remove_dir_all(&path);
            let tree = Self(path);
            tree.write(
                "lib/modules.alias",
                "# Aliases extracted from modules themselves.\n\
                 alias usb:v0403p6001d*dc*dsc*dp*ic*isc*ip*in* ftdi_sio\n\
                 alias usb:v090Cp2000d010[0-9]dc* usb-storage\n\
                 alias virtio:d00000004v* virtio_rng\n",
            );
            tree.write(
                "lib/modules.dep",
                "kernel/drivers/usb/serial/ftdi_sio.ko: kernel/drivers/usb/serial/usbserial.ko kernel/usb/usbcore.ko\n\
                 kernel/drivers/usb/storage/usb-storage.ko: kernel/usb/usbcore.ko\n\
                 virtio_rng.ko:\n",
            );
            tree
        }

        fn write(&self, file: &str, text: &str) {
            let path = self.0.join(file);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }

        fn device(&self, name: &str, alias: &str) {
            self.write(&format!("sys/bus/b/devices/{name}/modalias"), &format!("{alias}\n"));
        }

        fn modules(&self) -> Vec<std::string::String> {
            let mut found = Vec::new();
            let directory = self.0.join("lib");
            visit_modules(&directory, &self.0.join("sys"), &mut |path| {
                found.push(path.strip_prefix(&directory).unwrap().display().to_string());
            });
            found
        }
    }

    impl Drop for Tree {
        fn drop(&mut self) {
            fs::remove_dir_all(&self.0).unwrap();
        }
    }

    const FTDI: &str = "usb:v0403p6001d0400dc00dsc00dp00icFFiscFFipFFin00";

    #[test]
    fn module_of_a_device_comes_after_what_it_needs() {
        let tree = Tree::new("order");
        assert!(tree.modules().is_empty());
        tree.device("1-1:1.0", FTDI);
        tree.device("other", "usb:v1234p0001d0100");
        let all = [
            "kernel/usb/usbcore.ko",
            "kernel/drivers/usb/serial/usbserial.ko",
            "kernel/drivers/usb/serial/ftdi_sio.ko",
        ];
        assert_eq!(tree.modules(), all);
        tree.write("sys/module/usbcore/refcnt", "1");
        assert_eq!(tree.modules(), all[1..]);
        tree.write("sys/module/ftdi_sio/refcnt", "1");
        assert!(tree.modules().is_empty(), "it is loaded");
    }

    #[test]
    fn device_with_a_driver_needs_no_module() {
        let tree = Tree::new("driver");
        tree.device("virtio0", "virtio:d00000004v554D4551");
        assert_eq!(tree.modules(), ["virtio_rng.ko"]);
        tree.write("sys/bus/b/devices/virtio0/driver/bind", "");
        assert!(tree.modules().is_empty());
    }

    #[test]
    fn name_with_a_hyphen_is_that_with_an_underscore() {
        let tree = Tree::new("hyphen");
        tree.device("1-2:1.0", "usb:v090Cp2000d0105dc00");
        assert_eq!(tree.modules(), ["kernel/usb/usbcore.ko", "kernel/drivers/usb/storage/usb-storage.ko"]);
        tree.write("sys/module/usb_storage/refcnt", "1");
        assert!(tree.modules().is_empty());
    }

    #[test]
    fn aliases_over_their_buffer_take_another_pass() {
        let tree = Tree::new("many");
        let long = "x".repeat(1000);
        for index in 0..ALIASES_BYTES / 1000 + 2 {
            tree.device(&format!("a{index:02}"), &format!("{long}{index}"));
        }
        tree.device("a00-first", "virtio:d00000004v1");
        tree.device("z-last", FTDI);
        let mut found = tree.modules();
        found.sort();
        found.dedup();
        assert_eq!(found.len(), 4, "{found:?}");
        let mut aliases = Aliases::new();
        assert!(!add(&mut aliases, &"x".repeat(ALIASES_BYTES)) && aliases.is_empty());
        assert!(add(&mut aliases, &"x".repeat(ALIASES_BYTES - 1)) && !add(&mut aliases, ""));
    }

    #[test]
    fn dependencies_and_lines_over_their_limits_are_left_out() {
        let tree = Tree::new("limits");
        tree.device("virtio0", "virtio:d00000004v1");
        let dependencies =
            |count: usize| (0..count).map(|index| format!(" d{index}.ko")).collect::<std::string::String>();
        tree.write("lib/modules.dep", &format!("virtio_rng.ko:{}\n", dependencies(MODULE_DEPENDENCIES)));
        assert_eq!(tree.modules().len(), MODULE_DEPENDENCIES + 1);
        tree.write("lib/modules.dep", &format!("virtio_rng.ko:{}\n", dependencies(MODULE_DEPENDENCIES + 1)));
        assert_eq!(tree.modules().len(), MODULE_DEPENDENCIES + 1);
        let line = "virtio_rng.ko: a.ko";
        let padded = |length: usize| format!("{line}{}\nother.ko:\n", " ".repeat(length - line.len()));
        tree.write("lib/modules.dep", &padded(MODULE_LINE_BYTES));
        assert_eq!(tree.modules(), ["a.ko", "virtio_rng.ko"]);
        tree.write("lib/modules.dep", &padded(MODULE_LINE_BYTES + 1));
        assert!(tree.modules().is_empty());
    }

    #[test]
    fn root_without_tables_has_no_search() {
        let tree = Tree::new("none");
        tree.device("virtio0", "virtio:d00000004v1");
        fs::remove_file(tree.0.join("lib/modules.dep")).unwrap();
        assert!(tree.modules().is_empty());
        assert!(Hotplug::new().is_none_or(|hotplug| hotplug.directory.join(ALIASES).exists()));
    }
}
