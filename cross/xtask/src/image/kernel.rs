//! The kernel of a Debian package, in the form in which U-Boot takes it.

use std::fs;
use std::path::{Path, PathBuf};

use super::work::Work;
use crate::machine::{Image, KernelFormat};
use crate::run;

/// First bytes of an xz stream with CRC-32, the only check that kernels support. The
/// first six bytes alone are in the unpacking program too.
const XZ: &[u8] = b"\xfd7zXZ\0\0\x01\x69\x22\xde\x36";
/// Word 9 of a zImage.
const ZIMAGE: (usize, [u8; 4]) = (0x24, [0x18, 0x28, 0x6f, 0x01]);
/// Word 14 of a 64-bit Image.
const IMAGE: (usize, [u8; 4]) = (0x38, *b"ARM\x64");

/// Paths of a kernel's parts in the files of its package.
#[derive(Debug)]
pub(crate) struct Kernel {
    /// `6.1.0-50-armmp`.
    pub(crate) version: String,
    pub(crate) image: PathBuf,
    /// `lib/modules/VERSION`.
    pub(crate) modules: PathBuf,
    device_trees: PathBuf,
}

impl Kernel {
    /// Looks into `files`, the unpacked package.
    pub(crate) fn find(files: &Path) -> Result<Self, String> {
        let modules = files.join("lib/modules");
        let entries = fs::read_dir(&modules).map_err(|error| format!("{}: {error}", modules.display()))?;
        let names: Vec<_> = entries.flatten().map(|e| e.file_name().to_string_lossy().into_owned()).collect();
        let [version] = names.as_slice() else {
            return Err(format!("{}: one kernel is expected, there are {}", modules.display(), names.len()));
        };
        Ok(Self {
            image: files.join(format!("boot/vmlinuz-{version}")),
            modules: modules.join(version),
            device_trees: files.join(format!("usr/lib/linux-image-{version}")),
            version: version.clone(),
        })
    }

    /// The device tree `name`, which may lie in a directory of its maker.
    pub(crate) fn device_tree(&self, name: &str) -> Result<PathBuf, String> {
        let path = self.device_trees.join(name);
        if path.is_file() { Ok(path) } else { Err(format!("the kernel has no device tree {name}")) }
    }

    /// Writes the kernel to `to`, in the board's form.
    pub(crate) fn write(&self, image: &Image, work: &Work, to: &Path) -> Result<(), String> {
        let name = self.image.display();
        let bytes = fs::read(&self.image).map_err(|error| format!("{name}: {error}"))?;
        let (at, magic) = if image.kernel_format == KernelFormat::Image { IMAGE } else { ZIMAGE };
        if bytes.get(at..at + 4) != Some(&magic[..]) {
            return Err(format!("{name} is not a kernel for kernel_format {:?}", image.kernel_format));
        }
        let KernelFormat::UImage = image.kernel_format else { return run::write(to, &bytes) };
        let raw = work.directory.join("kernel.raw");
        let packed = work.directory.join("kernel.xz");
        let start = bytes.windows(XZ.len()).position(|window| window == XZ).ok_or_else(|| {
            format!("{name} is not packed with xz; kernel_format = \"zImage\" takes it as it is")
        })?;
        run::write(&packed, &bytes[start..])?;
        // After the stream comes the rest of the unpacking program.
        let unpacked = run::bytes(run::at_root("xz").args(["-dc", "--single-stream"]).arg(&packed))?;
        run::write(&raw, &unpacked)?;
        let load = format!("{:x}", image.kernel_load.unwrap_or_default());
        let mut command = work.tool("mkimage");
        command.args(["-A", "arm", "-O", "linux", "-T", "kernel", "-C", "none", "-n", &self.version]);
        command.args(["-a", &load, "-e", &load, "-d"]).arg(&raw).arg(to);
        run::captured(&mut command)?;
        for path in [raw, packed] {
            fs::remove_file(&path).map_err(|error| format!("{}: {error}", path.display()))?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_package_without_a_kernel_is_reported() {
        let directory = std::env::temp_dir().join(format!("friendlet-kernel-{}", std::process::id()));
        fs::create_dir_all(directory.join("lib/modules")).unwrap();
        let none = Kernel::find(&directory).unwrap_err();
        fs::create_dir_all(directory.join("lib/modules/6.1.0-50-armmp")).unwrap();
        let kernel = Kernel::find(&directory).unwrap();
        let tree = kernel.device_tree("board.dtb").unwrap_err();
        fs::create_dir_all(directory.join("lib/modules/6.1.0-51-armmp")).unwrap();
        let two = Kernel::find(&directory).unwrap_err();
        fs::remove_dir_all(&directory).unwrap();
        assert!(none.contains("there are 0") && two.contains("there are 2"), "{none} {two}");
        assert_eq!(kernel.version, "6.1.0-50-armmp");
        assert!(tree.contains("board.dtb"), "{tree}");
    }
}
