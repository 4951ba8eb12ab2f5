//! Kernel modules for an initramfs: those that a board names, and before each what it needs.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use object::{File, Object as _, ObjectSection as _};

use crate::run;

/// The modules of one kernel.
#[derive(Debug)]
pub(crate) struct Modules {
    files: BTreeMap<String, PathBuf>,
    built_in: BTreeSet<String>,
}

/// One module to be loaded.
#[derive(Debug, Eq, PartialEq)]
pub(crate) struct Module {
    /// Name, with `_` for every `-`.
    pub(crate) name: String,
    /// Parameters, as after the name on a command line.
    pub(crate) parameters: String,
    /// The file, not compressed.
    pub(crate) bytes: Vec<u8>,
}

impl Module {
    /// Patterns of the devices that it drives.
    pub(crate) fn aliases(&self) -> Vec<String> {
        modinfo(&self.bytes, "alias").unwrap_or_default()
    }

    /// Names of the modules that it needs itself.
    fn depends(&self) -> Option<Vec<String>> {
        // The section is the source of depmod's modules.dep.
        let lists = modinfo(&self.bytes, "depends")?;
        let names = lists.first()?.split(',').filter(|name| !name.is_empty());
        Some(names.map(canonical).collect())
    }
}

/// The tables that depmod(8) makes of modules, in an order in which they can be loaded: `modules.alias` and
/// `modules.dep`.
pub(crate) fn tables(modules: &[Module]) -> [(&'static str, String); 2] {
    let [mut aliases, mut dependencies] = [String::new(), String::new()];
    for (index, module) in modules.iter().enumerate() {
        for alias in module.aliases() {
            aliases += &format!("alias {alias} {}\n", module.name);
        }
        let mut needed = BTreeSet::from_iter(module.depends().unwrap_or_default());
        dependencies += &format!("{}.ko:", module.name);
        for other in modules[..index].iter().rev() {
            if needed.contains(&other.name) {
                needed.extend(other.depends().unwrap_or_default());
                dependencies += &format!(" {}.ko", other.name);
            }
        }
        dependencies.push('\n');
    }
    [("modules.alias", aliases), ("modules.dep", dependencies)]
}

/// `virtio-blk` and `virtio_blk` are the same module.
fn canonical(name: &str) -> String {
    name.replace('-', "_")
}

/// Returns the name of the module in the file `path`, or `None` if it is not a module.
fn module_name(path: &Path) -> Option<String> {
    let name = path.file_name()?.to_str()?;
    let (name, end) = name.split_once(".ko")?;
    ["", ".xz", ".zst", ".gz"].contains(&end).then(|| canonical(name))
}

impl Modules {
    /// Reads what is in `directory`, the `lib/modules/VERSION` of a kernel.
    pub(crate) fn read(directory: &Path) -> Result<Self, String> {
        let mut files = BTreeMap::new();
        for (path, _) in super::work::tree(&directory.join("kernel"))? {
            if let Some(name) = module_name(&path) {
                files.insert(name, path);
            }
        }
        let list = directory.join("modules.builtin");
        let list = run::read(&list)?;
        let built_in = list.lines().filter_map(|line| module_name(Path::new(line))).collect();
        Ok(Self { files, built_in })
    }

    /// The modules of `wanted` (`NAME PARAMETERS..`) in an order in which they can be loaded.
    pub(crate) fn resolve(&self, wanted: &[String]) -> Result<Vec<Module>, String> {
        let mut order = Vec::new();
        let mut met = BTreeSet::new();
        for line in wanted {
            let (name, parameters) = line.split_once(' ').unwrap_or((line, ""));
            let name = canonical(name);
            if self.built_in.contains(&name) && !parameters.is_empty() {
                return Err(format!(
                    "{name} is built into the kernel: its parameters belong on the command line"
                ));
            }
            self.visit(&name, &mut met, &mut order)?;
            if let Some(module) = order.iter_mut().find(|module| module.name == name) {
                module.parameters = parameters.trim().to_owned();
            }
        }
        Ok(order)
    }

    fn visit(&self, name: &str, met: &mut BTreeSet<String>, order: &mut Vec<Module>) -> Result<(), String> {
        if self.built_in.contains(name) || !met.insert(name.to_owned()) {
            return Ok(());
        }
        let path = self.files.get(name).ok_or_else(|| format!("the kernel has no module '{name}'"))?;
        let module = Module { name: name.to_owned(), parameters: String::new(), bytes: content(path)? };
        let depends = module.depends().ok_or_else(|| format!("{} is not a kernel module", path.display()))?;
        for other in depends {
            self.visit(&other, met, order).map_err(|error| format!("{error}, which {name} needs"))?;
        }
        order.push(module);
        Ok(())
    }
}

/// The module in the file `path`, as the kernel takes it: not compressed.
fn content(path: &Path) -> Result<Vec<u8>, String> {
    let program = match path.extension().and_then(|extension| extension.to_str()) {
        Some("xz") => "xz",
        Some("zst") => "zstd",
        Some("gz") => "gzip",
        _ => return run::bytes_of(path),
    };
    run::bytes(run::at_root(program).arg("-dc").arg(path))
}

/// Values of a field in the section `.modinfo`. `None` for a file that is not a module.
fn modinfo(elf: &[u8], field: &str) -> Option<Vec<String>> {
    let text = File::parse(elf).ok()?.section_by_name(".modinfo")?.data().ok()?;
    let lines = text.split(|b| *b == 0).filter_map(|line| std::str::from_utf8(line).ok());
    Some(lines.filter_map(|line| line.strip_prefix(field)?.strip_prefix('=')).map(str::to_owned).collect())
}

#[cfg(test)]
pub(crate) mod tests {
    use std::fs;

    use super::*;

    /// The least ELF file that has a `.modinfo` saying `depends`.
    pub(crate) fn module(depends: &str, wide: bool) -> Vec<u8> {
        let info = format!("license=GPL\0alias=usb:v1*\0alias=of:N*\0depends={depends}\0name=x\0");
        let names = "\0.modinfo\0.shstrtab\0";
        let (head, entry, word) = if wide { (0x40, 0x40, 8) } else { (0x34, 0x28, 4) };
        let table = head + info.len() + names.len();
        let mut elf = vec![0; table + 3 * entry];
        let mut put = |at: usize, value: usize, bytes: usize| {
            elf[at..at + bytes].copy_from_slice(&value.to_le_bytes()[..bytes]);
        };
        put(if wide { 0x28 } else { 0x20 }, table, word);
        let at = if wide { 0x3a } else { 0x2e };
        put(at, entry, 2);
        put(at + 2, 3, 2);
        put(at + 4, 2, 2);
        let (offset, length) = if wide { (0x18, 0x20) } else { (0x10, 0x14) };
        for (index, (name, start, size)) in
            [(1, head, info.len()), (10, head + info.len(), names.len())].into_iter().enumerate()
        {
            let header = table + (index + 1) * entry;
            put(header, name, 4);
            // SHT_PROGBITS, SHT_STRTAB.
            put(header + 4, if index == 0 { 1 } else { 3 }, 4);
            put(header + offset, start, word);
            put(header + length, size, word);
        }
        elf[..7].copy_from_slice(&[0x7f, b'E', b'L', b'F', if wide { 2 } else { 1 }, 1, 1]);
        elf[head..head + info.len()].copy_from_slice(info.as_bytes());
        elf[head + info.len()..table].copy_from_slice(names.as_bytes());
        elf
    }

    fn kernel(test: &str) -> PathBuf {
        let directory = std::env::temp_dir().join(format!("friendlet-{test}-{}", std::process::id()));
        fs::create_dir_all(directory.join("kernel/fs")).unwrap();
        for (name, depends) in [
            ("virtio-blk", ""),
            ("jbd2", ""),
            ("ext4", "mbcache,jbd2,crc16"),
            ("mbcache", ""),
            ("bad", "gone"),
        ] {
            fs::write(directory.join(format!("kernel/fs/{name}.ko")), module(depends, name == "jbd2"))
                .unwrap();
        }
        fs::write(directory.join("kernel/fs/text.ko"), "text").unwrap();
        fs::write(directory.join("modules.builtin"), "kernel/lib/crc16.ko\n").unwrap();
        directory
    }

    #[test]
    fn what_a_module_needs_comes_before_it_and_once() {
        let directory = kernel("order");
        let modules = Modules::read(&directory).unwrap();
        let wanted = ["ext4", "virtio_blk a=1 b=2", "jbd2", "crc16"].map(str::to_owned);
        let order = modules.resolve(&wanted).unwrap();
        fs::remove_dir_all(&directory).unwrap();
        let names: Vec<_> = order.iter().map(|module| module.name.as_str()).collect();
        assert_eq!(names, ["mbcache", "jbd2", "ext4", "virtio_blk"]);
        assert_eq!(order[3].parameters, "a=1 b=2");
        assert_eq!(order[3].bytes, module("", false));
    }

    #[test]
    fn tables_are_those_of_depmod() {
        let directory = kernel("tables");
        let order = Modules::read(&directory).unwrap().resolve(&["ext4".to_owned()]).unwrap();
        fs::remove_dir_all(&directory).unwrap();
        let [(_, aliases), (_, dependencies)] = tables(&order);
        assert!(
            aliases.starts_with("alias usb:v1* mbcache\nalias of:N* mbcache\nalias usb:v1* jbd2\n"),
            "{aliases}"
        );
        // What comes later is needed by what comes before it.
        assert_eq!(dependencies, "mbcache.ko:\njbd2.ko:\next4.ko: jbd2.ko mbcache.ko\n");
    }

    #[test]
    fn what_is_not_there_is_an_error_that_names_it() {
        let directory = kernel("errors");
        let modules = Modules::read(&directory).unwrap();
        let error = |name: &str| modules.resolve(&[name.to_owned()]).unwrap_err();
        let errors = [error("nothing"), error("bad"), error("text"), error("crc16 x=1")];
        fs::remove_dir_all(&directory).unwrap();
        for (error, words) in errors.iter().zip([
            ["'nothing'", "no module"],
            ["'gone'", "which bad needs"],
            ["text.ko", "not a kernel module"],
            ["crc16", "command line"],
        ]) {
            assert!(words.iter().all(|word| error.contains(word)), "{error}");
        }
        assert!(Modules::read(&directory).unwrap_err().contains("kernel"));
    }

    #[test]
    fn a_broken_elf_file_is_not_a_module() {
        let good = module("a,b-c", true);
        let depends = |bytes: &[u8]| {
            Module { name: String::new(), parameters: String::new(), bytes: bytes.to_vec() }.depends()
        };
        assert_eq!(depends(&good).unwrap(), ["a", "b_c"]);
        for length in 0..good.len() {
            // Cut short, the table of sections at the end is missing, in part or whole. What is read
            // then is the right thing or nothing.
            let read = depends(&good[..length]);
            assert!(read.is_none() || length > good.len() - 0x40, "{length}: {read:?}");
        }
    }
}
