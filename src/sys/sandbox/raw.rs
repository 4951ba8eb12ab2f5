//! System calls of the sandbox that have no safe form, neither in std nor in rustix: seccomp(2), landlock(7), and the
//! handler of SIGSYS.

#![allow(unsafe_code, reason = "the kernel reads structures, and calls a handler")]

use core::ffi::{c_int, c_long, c_void};
use core::ptr;
use core::sync::atomic::{AtomicI32, Ordering};
use std::io;
use std::os::fd::{AsRawFd as _, BorrowedFd, FromRawFd as _, OwnedFd};

use super::filter::Instruction;

/// Operation and flag of seccomp(2).
const SET_MODE_FILTER: c_int = 1;
const FLAG_ALL_THREADS: c_int = 1;

/// Calls of landlock(7): the same numbers on every processor.
const CREATE_RULESET: c_long = 444;
const ADD_RULE: c_long = 445;
const RESTRICT_SELF: c_long = 446;
/// Flag of the first: return the version.
const VERSION: c_int = 1;
/// Type of a rule about a directory.
const PATH_BENEATH: c_int = 1;

/// `struct landlock_path_beneath_attr`.
#[repr(C, packed)]
struct PathBeneath {
    allowed: u64,
    directory: c_int,
}

/// Number of the message about a forbidden call, which the handler makes itself: this byte, and the number of the call.
pub const FORBIDDEN: u8 = 9;

/// Socket to the keeper, for the handler.
static KEEPER: AtomicI32 = AtomicI32::new(-1);

/// Message to the keeper about a forbidden call.
pub fn report(call: u32) -> [u8; 5] {
    let [a, b, c, d] = call.to_ne_bytes();
    [FORBIDDEN, a, b, c, d]
}

/// Returns the version of Landlock.
///
/// # Errors
/// `ENOSYS` or `EOPNOTSUPP` of a kernel without it.
pub(super) fn landlock_version() -> io::Result<c_int> {
    let none = ptr::null::<c_void>();
    // SAFETY: with this flag, the call reads nothing.
    check(unsafe { libc::syscall(CREATE_RULESET, none, 0_usize, VERSION) })
}

/// Creates a set of rules: what of this access none of them allows is forbidden.
pub(super) fn ruleset(handled: u64) -> io::Result<OwnedFd> {
    // SAFETY: the kernel reads the eight bytes of the oldest version of its structure.
    let set = check(unsafe { libc::syscall(CREATE_RULESET, &raw const handled, size_of::<u64>(), 0) })?;
    // SAFETY: the descriptor is open, and nothing else owns it.
    Ok(unsafe { OwnedFd::from_raw_fd(set) })
}

/// Allows this access to a directory and all below it.
pub(super) fn allow(set: &OwnedFd, directory: &OwnedFd, allowed: u64) -> io::Result<()> {
    let rule = PathBeneath { allowed, directory: directory.as_raw_fd() };
    // SAFETY: the structure has the layout that the kernel reads.
    check(unsafe { libc::syscall(ADD_RULE, set.as_raw_fd(), PATH_BENEATH, &raw const rule, 0) }).map(drop)
}

/// Puts a set of rules in force for this thread and those that it starts.
pub(super) fn restrict(set: &OwnedFd) -> io::Result<()> {
    // SAFETY: the arguments are numbers.
    check(unsafe { libc::syscall(RESTRICT_SELF, set.as_raw_fd(), 0) }).map(drop)
}

/// Returns an error on a kernel without filters.
pub(super) fn check_filters() -> io::Result<()> {
    let none = ptr::null::<libc::sock_fprog>();
    // SAFETY: the kernel reads nothing at this address: a filter that is nowhere is an error.
    match check(unsafe { libc::syscall(libc::SYS_seccomp, SET_MODE_FILTER, 0, none) }) {
        Err(error) if error.raw_os_error() != Some(libc::EFAULT) => Err(error),
        _ => Ok(()),
    }
}

/// Puts a filter of system calls in force for all threads of this process. A forbidden call is reported to the keeper, and
/// ends the process by SIGSYS.
pub(super) fn filter(program: &[Instruction], keeper: BorrowedFd<'_>) -> io::Result<()> {
    KEEPER.store(keeper.as_raw_fd(), Ordering::Relaxed);
    // SAFETY: all zeros are an action without flags and mask.
    let mut action: libc::sigaction = unsafe { core::mem::zeroed() };
    action.sa_sigaction = handle as *const () as libc::sighandler_t;
    action.sa_flags = libc::SA_SIGINFO;
    let program = libc::sock_fprog { len: program.len() as u16, filter: program.as_ptr() as *mut _ };
    // SAFETY: the handler has the form of the flag, and the instructions have the layout of `struct sock_filter`. The
    // kernel reads both.
    unsafe {
        check(libc::sigaction(libc::SIGSYS, &raw const action, ptr::null_mut()).into())?;
        let flags = FLAG_ALL_THREADS;
        check(libc::syscall(libc::SYS_seccomp, SET_MODE_FILTER, flags, &raw const program)).map(drop)
    }
}

/// Handler of SIGSYS: reports the call, and ends the process.
extern "C" fn handle(signal: c_int, info: *mut libc::siginfo_t, _: *mut c_void) {
    // The number of the call is behind three numbers and a pointer, which begins at a multiple of its size.
    const CALL: usize = 8 + 2 * size_of::<usize>();
    // SAFETY: the kernel passes the structure of this signal, and these functions may be called by a handler.
    unsafe {
        let call = info.cast::<u8>().add(CALL).cast::<u32>().read();
        let message = report(call);
        let flags = libc::MSG_DONTWAIT | libc::MSG_NOSIGNAL;
        libc::send(KEEPER.load(Ordering::Relaxed), message.as_ptr().cast(), message.len(), flags);
        libc::signal(signal, libc::SIG_DFL);
        libc::raise(signal);
        // It is blocked while the handler runs, and ends the process when that returns.
    }
}

fn check(result: c_long) -> io::Result<c_int> {
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(result as c_int) }
}
