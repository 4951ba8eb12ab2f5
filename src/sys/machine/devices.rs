//! Device nodes: events of the kernel about new ones, groups and modes.

use std::fs::{self, Permissions};
use std::io;
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::os::unix::fs::{FileTypeExt as _, PermissionsExt as _, lchown};
use std::path::{Path, PathBuf};

use rustix::io::Errno;
use rustix::net::netlink::{KOBJECT_UEVENT, SocketAddrNetlink};
use rustix::net::{AddressFamily, RecvFlags, SocketFlags, SocketType, bind, recvfrom, socket_with};

use crate::sys::{ALIAS_BYTES, DEVICE_DEPTH, file};

/// Directory of the devices.
const DEV: &str = "/dev";
/// Multicast group of the events that the kernel itself sends.
const KERNEL_EVENTS: u32 = 1;

/// Socket with the events of the kernel about devices (NETLINK_KOBJECT_UEVENT of netlink(7)).
#[derive(Debug)]
pub struct DeviceEvents(OwnedFd);

/// Result of one receive.
#[derive(Debug)]
pub enum Received<'b> {
    /// An event.
    Event(&'b [u8]),
    /// Events were lost.
    Lost,
    /// No event waits.
    Nothing,
}

impl DeviceEvents {
    /// Opens the socket.
    ///
    /// # Errors
    /// Error of the kernel.
    pub fn open() -> io::Result<Self> {
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        let socket = socket_with(AddressFamily::NETLINK, SocketType::DGRAM, flags, Some(KOBJECT_UEVENT))?;
        bind(&socket, &SocketAddrNetlink::new(0, KERNEL_EVENTS))?;
        Ok(Self(socket))
    }

    /// Descriptor to wait for.
    pub fn fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }

    /// Receives the next event. One of another process is empty.
    pub fn receive<'b>(&self, buffer: &'b mut [u8]) -> Received<'b> {
        match recvfrom(&self.0, &mut *buffer, RecvFlags::empty()) {
            Ok((length, _, sender)) => {
                let sender = sender.and_then(|sender| SocketAddrNetlink::try_from(sender).ok());
                let is_kernel = sender.is_some_and(|sender| sender.pid() == 0);
                Received::Event(buffer.get(..length).filter(|_| is_kernel).unwrap_or_default())
            }
            Err(Errno::NOBUFS) => Received::Lost,
            Err(_) => Received::Nothing,
        }
    }
}

/// Calls `visit` with the name under `/dev` of each device.
pub fn visit_devices(visit: &mut dyn FnMut(&str)) {
    visit_below(Path::new(DEV), DEVICE_DEPTH, visit);
}

fn visit_below(directory: &Path, depth: usize, visit: &mut dyn FnMut(&str)) {
    let Ok(entries) = fs::read_dir(directory) else { return };
    for entry in entries.flatten() {
        let Ok(kind) = entry.file_type() else { continue };
        let path = entry.path();
        if kind.is_dir() && depth > 0 {
            visit_below(&path, depth - 1, visit);
        } else if (kind.is_char_device() || kind.is_block_device())
            && let Ok(name) = path.strip_prefix(DEV)
            && let Some(name) = name.to_str()
        {
            visit(name);
        }
    }
}

/// Calls `visit` with the alias of each device without a driver, in a tree of devices such as `/sys`.
pub fn visit_aliases(sys: &Path, visit: &mut dyn FnMut(&str)) {
    let entries =
        |path: PathBuf| fs::read_dir(path).into_iter().flatten().flatten().map(|entry| entry.path());
    for bus in entries(sys.join("bus")) {
        for device in entries(bus.join("devices")) {
            if device.join("driver").exists() {
                continue;
            }
            if let Ok(alias) = file::read_text(&device.join("modalias"), ALIAS_BYTES) {
                visit(alias.trim_end());
            }
        }
    }
}

/// Sets the group and the mode of a device under `/dev`, and its owner to root.
///
/// # Errors
/// Error of the kernel; the name is not that of a device.
pub fn set_device(name: &str, group: u32, mode: u16) -> io::Result<()> {
    let path = Path::new(DEV).join(name);
    let kind = fs::symlink_metadata(&path)?.file_type();
    if !kind.is_char_device() && !kind.is_block_device() {
        return Err(Errno::NODEV.into());
    }
    // The group first: with the mode of the kernel it has no rights yet.
    lchown(&path, Some(0), Some(group))?;
    fs::set_permissions(&path, Permissions::from_mode(mode.into()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn devices_are_visited_with_their_names() {
        let mut names = Vec::new();
        visit_devices(&mut |name| names.push(name.to_owned()));
        assert!(names.iter().any(|name| name == "null"));
        assert!(names.iter().all(|name| !name.starts_with('/') && Path::new(DEV).join(name).exists()));
        assert!(!names.iter().any(|name| name == "stdin"), "a link is not a device");
    }

    #[test]
    fn other_files_are_left_alone() {
        for name in ["stdin", "missing", "fd"] {
            assert!(set_device(name, 0, 0o600).is_err(), "{name}");
        }
    }

    #[test]
    fn devices_down_to_the_depth_limit_are_visited() {
        const { assert!(DEVICE_DEPTH >= 3, "bus/usb/001/002") };
        let mut deepest = 0;
        visit_devices(&mut |name| deepest = deepest.max(name.split('/').count()));
        assert!(deepest <= DEVICE_DEPTH + 1);
    }

    #[test]
    fn without_an_event_nothing_is_received() {
        let events = DeviceEvents::open().unwrap();
        // Another test may have made the kernel send one.
        while let Received::Event(_) = events.receive(&mut [0; 4096]) {}
        assert!(matches!(events.receive(&mut [0; 16]), Received::Nothing | Received::Event(_)));
    }

    #[test]
    fn alias_up_to_its_limit_is_visited() {
        let sys = std::env::temp_dir().join(format!("friendlet-aliases-{}", std::process::id()));
        for (name, length) in [("whole", ALIAS_BYTES - 1), ("over", ALIAS_BYTES)] {
            let device = sys.join("bus/usb/devices").join(name);
            fs::create_dir_all(&device).unwrap();
            fs::write(device.join("modalias"), "x".repeat(length) + "\n").unwrap();
        }
        let mut found = Vec::new();
        visit_aliases(&sys, &mut |alias| found.push(alias.len()));
        fs::remove_dir_all(&sys).unwrap();
        assert_eq!(found, [ALIAS_BYTES - 1]);
        visit_aliases(&sys, &mut |_| panic!("no device is left"));
    }
}
