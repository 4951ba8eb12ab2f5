//! A mounted file system on which writes hang: FUSE without a library.

use std::ffi::CString;
use std::fs::{File, OpenOptions};
use std::io::{Read as _, Write as _};
use std::os::fd::AsRawFd as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread::{self, JoinHandle};

use rustix::fs::OFlags;
use rustix::io::Errno;
use rustix::mount::{MountFlags, UnmountFlags, mount, unmount};

/// Requests of linux/fuse.h that are answered otherwise than by ENOSYS.
mod opcode {
    pub(super) const LOOKUP: u32 = 1;
    pub(super) const FORGET: u32 = 2;
    pub(super) const GETATTR: u32 = 3;
    pub(super) const SETATTR: u32 = 4;
    pub(super) const OPEN: u32 = 14;
    pub(super) const READ: u32 = 15;
    pub(super) const WRITE: u32 = 16;
    pub(super) const RELEASE: u32 = 18;
    pub(super) const FLUSH: u32 = 25;
    pub(super) const INIT: u32 = 26;
    pub(super) const INTERRUPT: u32 = 36;
    pub(super) const BATCH_FORGET: u32 = 42;
}

/// The header of a request, and of a reply.
const REQUEST_HEAD: usize = 40;
const REPLY_HEAD: usize = 16;

/// FUSE_PARALLEL_DIROPS: a look-up that hangs does not lock its directory.
const PARALLEL: u32 = 1 << 18;

const ROOT: u64 = 1;
const FILE: u64 = 2;
const MEMORY_FILE: u64 = 3;
/// The name of the file for writes.
pub(crate) const NAME: &str = "log";
/// The name of the file for mmap(2): a page. One that is opened with O_NONBLOCK is not cached.
pub(crate) const MEMORY: &str = "memory";
/// Beginning of names whose look-up hangs, beside the dot of a temporary file. The kernel asks for each once.
pub(crate) const HANGS: &str = "hangs";

/// A mount with two files, every write to which hangs until this value goes; then they fail.
#[derive(Debug)]
pub(crate) struct HangingMount {
    directory: PathBuf,
    writes: Arc<AtomicUsize>,
    lookups: Arc<AtomicUsize>,
    thread: Option<JoinHandle<()>>,
}

impl HangingMount {
    /// Mounts it on an existing directory, which only root may.
    #[track_caller]
    pub(crate) fn new(directory: &Path) -> Self {
        let fuse = OpenOptions::new().read(true).write(true).open("/dev/fuse").unwrap();
        let options = format!("fd={},rootmode=40000,user_id=0,group_id=0", fuse.as_raw_fd());
        let options = CString::new(options).unwrap();
        mount("fuse", directory, "fuse", MountFlags::empty(), options.as_c_str()).unwrap();
        let writes = Arc::new(AtomicUsize::new(0));
        let lookups = Arc::new(AtomicUsize::new(0));
        let (hanging, hanging_lookups) = (Arc::clone(&writes), Arc::clone(&lookups));
        let thread = Some(thread::spawn(move || answer(fuse, &hanging, &hanging_lookups)));
        Self { directory: directory.to_owned(), writes, lookups, thread }
    }

    /// Writes that hang.
    pub(crate) fn writes(&self) -> usize {
        self.writes.load(Ordering::Relaxed)
    }
}

impl HangingMount {
    /// Look-ups that hang.
    pub(crate) fn hanging(&self) -> usize {
        self.lookups.load(Ordering::Relaxed)
    }
}

impl Drop for HangingMount {
    fn drop(&mut self) {
        // By force: what hangs ends with an error, or its process could not even be killed.
        let unmounted = unmount(&self.directory, UnmountFlags::FORCE | UnmountFlags::DETACH);
        let joined = self.thread.take().map(JoinHandle::join);
        if !thread::panicking() {
            unmounted.unwrap();
            joined.unwrap().unwrap();
        }
    }
}

/// Answers requests until the mount has gone.
fn answer(mut fuse: File, hanging: &AtomicUsize, lookups: &AtomicUsize) {
    let mut request = vec![0; 128 * 1024];
    loop {
        let len = match fuse.read(&mut request) {
            Ok(len) => len,
            Err(error) if error.raw_os_error() == Some(Errno::NODEV.raw_os_error()) => break,
            // The request was interrupted before it was read.
            Err(error) if error.raw_os_error() == Some(Errno::NOENT.raw_os_error()) => continue,
            Err(error) => panic!("{error}"),
        };
        let (head, body) = request[..len].split_at(REQUEST_HEAD);
        let opcode = u32::from_ne_bytes(head[4..8].try_into().unwrap());
        let unique = &head[8..16];
        let node = u64::from_ne_bytes(head[16..24].try_into().unwrap());
        let reply = match opcode {
            opcode::FORGET | opcode::BATCH_FORGET | opcode::INTERRUPT => continue,
            opcode::WRITE => {
                hanging.fetch_add(1, Ordering::Relaxed);
                continue;
            }
            opcode::INIT => Ok(init()),
            opcode::LOOKUP if body.starts_with(HANGS.as_bytes()) || body.starts_with(b".") => {
                lookups.fetch_add(1, Ordering::Relaxed);
                continue;
            }
            opcode::LOOKUP if body.strip_suffix(&[0]) == Some(NAME.as_bytes()) => Ok(entry(FILE)),
            opcode::LOOKUP if body.strip_suffix(&[0]) == Some(MEMORY.as_bytes()) => Ok(entry(MEMORY_FILE)),
            opcode::LOOKUP => Err(Errno::NOENT),
            opcode::GETATTR | opcode::SETATTR => Ok([vec![0; 16], attributes(node)].concat()),
            // FOPEN_DIRECT_IO: no cache stands before the writes.
            opcode::OPEN => {
                let flags = u32::from_ne_bytes(body[..4].try_into().unwrap());
                let is_direct = node == FILE || flags & OFlags::NONBLOCK.bits() != 0;
                Ok([0_u64.to_ne_bytes(), u64::from(is_direct).to_le_bytes()].concat())
            }
            opcode::READ => Ok(vec![0; u32::from_ne_bytes(body[16..20].try_into().unwrap()) as usize]),
            opcode::RELEASE | opcode::FLUSH => Ok(Vec::new()),
            _ => Err(Errno::NOSYS),
        };
        let error = reply.as_ref().map_or_else(|errno| -errno.raw_os_error(), |_| 0);
        let data = reply.unwrap_or_default();
        let mut bytes = ((REPLY_HEAD + data.len()) as u32).to_ne_bytes().to_vec();
        bytes.extend(error.to_ne_bytes());
        bytes.extend(unique);
        bytes.extend(data);
        // A request that was interrupted has no place for its reply.
        let _ = fuse.write_all(&bytes);
    }
}

/// `fuse_init_out` of version 7.31.
fn init() -> Vec<u8> {
    // version, read-ahead, flags, requests in the background, longest write, granularity of time
    let words: [u32; 7] = [7, 31, 0, PARALLEL, 0, 4096, 1];
    let mut bytes: Vec<u8> = words.iter().flat_map(|word| word.to_ne_bytes()).collect();
    bytes.resize(64, 0);
    bytes
}

/// `fuse_entry_out` of a file.
fn entry(node: u64) -> Vec<u8> {
    [node.to_ne_bytes().to_vec(), vec![0; 32], attributes(node)].concat()
}

/// `fuse_attr`.
fn attributes(node: u64) -> Vec<u8> {
    let mode: u32 = if node == ROOT { 0o040_755 } else { 0o100_600 };
    let mut bytes = vec![0; 88];
    let size: u64 = if node == MEMORY_FILE { 4096 } else { 0 };
    bytes[..8].copy_from_slice(&node.to_ne_bytes());
    bytes[8..16].copy_from_slice(&size.to_ne_bytes());
    bytes[60..64].copy_from_slice(&mode.to_ne_bytes());
    bytes[64..68].copy_from_slice(&1_u32.to_ne_bytes());
    bytes
}
