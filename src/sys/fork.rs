//! fork(2), and what a new process has to put in order before exec: signals and descriptors.
//!
//! These calls have no safe form. A child of a process with several threads could find a lock that no thread of its own
//! holds: it allocates nothing, and the others are children of the keeper, which has one thread.

#![allow(unsafe_code, reason = "fork, signal dispositions and raw descriptors are what this module is for")]

use core::ffi::{c_char, c_int};
use core::mem::MaybeUninit;
use core::sync::atomic::{AtomicI32, AtomicU32, Ordering};
use std::ffi::CString;
use std::io::{self, Read as _};
use std::os::fd::{AsFd, AsRawFd as _, BorrowedFd, FromRawFd as _, IntoRawFd as _, OwnedFd};

use rustix::io::Errno;
use rustix::process::Pid;

use crate::service::READY_DESCRIPTORS;

/// Highest number of a signal of Linux.
const SIGNALS: c_int = 64;
/// Real-time signals, with those that the C library has for itself.
pub const REAL_TIME: [c_int; 33] = {
    let mut all = [32; 33];
    let mut index = 0;
    while index < all.len() {
        all[index] += index as c_int;
        index += 1;
    }
    all
};
/// Descriptors that are closed one by one on kernels without close_range(2) (before 5.9).
const DESCRIPTORS: c_int = 4096;
/// Size of `struct signalfd_siginfo`, which begins with the number of the signal.
const SIGNAL_INFO_BYTES: usize = 128;

/// Side of a fork.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Forked {
    /// The new process.
    Child,
    /// The old process, with the pid of the new one.
    Parent(Pid),
}

/// Copies this process, which must have one thread, or whose child calls nothing that may take a lock.
///
/// # Errors
/// `EAGAIN` or `ENOMEM`: no process or no memory is left.
pub fn fork() -> io::Result<Forked> {
    // SAFETY: the child of a process with one thread may call everything; callers with several promise the rest.
    match unsafe { libc::fork() } {
        0 => Ok(Forked::Child),
        pid => {
            Pid::from_raw(pid).filter(|_| pid > 0).map(Forked::Parent).ok_or_else(io::Error::last_os_error)
        }
    }
}

/// Gives this process, which must have one thread, mounts of its own: a copy of those it has.
///
/// # Errors
/// `EPERM` for a user who is not root, `EINVAL` of a kernel without namespaces.
pub fn leave_mounts() -> Result<(), Errno> {
    // SAFETY: this flag does not unshare the table of descriptors.
    unsafe { rustix::thread::unshare_unsafe(rustix::thread::UnshareFlags::NEWNS) }
}

/// Returns a descriptor that an earlier program has left open for this one. It is closed by the next exec. Each number
/// is taken once.
pub fn adopt(number: c_int) -> Option<OwnedFd> {
    if number <= libc::STDERR_FILENO {
        return None;
    }
    // SAFETY: fcntl(2) takes any number. An open descriptor that nothing of this program has opened belongs to the
    // earlier one, and the caller takes it over.
    unsafe {
        let is_open = libc::fcntl(number, libc::F_SETFD, libc::FD_CLOEXEC) == 0;
        is_open.then(|| OwnedFd::from_raw_fd(number))
    }
}

/// Lets the next exec leave these descriptors open, or close them.
pub fn set_kept(numbers: &[c_int], is_kept: bool) {
    for number in numbers {
        // SAFETY: fcntl(2) takes any number.
        unsafe { libc::fcntl(*number, libc::F_SETFD, if is_kept { 0 } else { libc::FD_CLOEXEC }) };
    }
}

/// Strings of a program in the form of execve(2).
#[derive(Debug)]
pub struct Image {
    programs: Vec<CString>,
    arguments: Texts,
    variables: Texts,
}

/// Strings, and an array of pointers to them.
#[derive(Debug)]
struct Texts(Vec<*const c_char>, #[expect(dead_code, reason = "what the pointers point to")] Vec<CString>);

impl Texts {
    fn new(texts: Vec<CString>) -> Self {
        let pointers = texts.iter().map(|text| text.as_ptr()).chain([core::ptr::null()]);
        Self(pointers.collect(), texts)
    }
}

impl Image {
    /// Takes the paths to try, the arguments and the variables.
    pub fn new(programs: Vec<CString>, arguments: Vec<CString>, variables: Vec<CString>) -> Self {
        Self { programs, arguments: Texts::new(arguments), variables: Texts::new(variables) }
    }

    /// Executes the first program that there is, in place of this one and with the signals that are blocked and ignored
    /// here. Returns the error. Allocates nothing.
    pub fn execute(&self) -> Errno {
        let mut failure = Errno::NOENT;
        for program in &self.programs {
            let (Texts(argv, _), Texts(envp, _)) = (&self.arguments, &self.variables);
            // SAFETY: both arrays end with a null pointer, and their strings are those of this value.
            unsafe { libc::execve(program.as_ptr(), argv.as_ptr(), envp.as_ptr()) };
            match io::Error::last_os_error().raw_os_error().map_or(Errno::NOENT, Errno::from_raw_os_error) {
                Errno::NOENT | Errno::NOTDIR => {}
                Errno::ACCESS => failure = Errno::ACCESS,
                other => return other,
            }
        }
        failure
    }
}

/// Ends a forked process at once: no destructor and no buffer of the parent runs twice.
pub fn exit_now(code: c_int) -> ! {
    // SAFETY: _exit(2) has no preconditions.
    unsafe { libc::_exit(code) }
}

/// Gives the pipe of a descriptor to a user. Without the capability for it, the pipe works as it is.
pub fn own_pipe(number: u8, uid: u32, gid: u32) {
    // SAFETY: fchown(2) takes any numbers.
    let _ = unsafe { libc::fchown(c_int::from(number), uid, gid) };
}

/// Signals that arrive as reads of a descriptor.
#[derive(Debug)]
pub struct SignalFd(std::fs::File);

impl SignalFd {
    /// Blocks the signals and opens the descriptor, which is non-blocking.
    ///
    /// # Errors
    /// Error of the system: no descriptors left.
    pub fn new(signals: &[c_int]) -> io::Result<Self> {
        let set = set_of(signals);
        // SAFETY: `set` is initialised, and the old mask is not asked for.
        let fd = unsafe {
            libc::sigprocmask(libc::SIG_BLOCK, &raw const set, core::ptr::null_mut());
            libc::signalfd(-1, &raw const set, libc::SFD_CLOEXEC | libc::SFD_NONBLOCK)
        };
        if fd < 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: the descriptor is open, and nothing else owns it.
        Ok(Self(unsafe { std::fs::File::from_raw_fd(fd) }))
    }

    /// Returns the number of the next pending signal.
    pub fn next(&self) -> Option<c_int> {
        let mut info = [0; SIGNAL_INFO_BYTES];
        (&self.0).read_exact(&mut info).ok()?;
        info.first_chunk().map(|number| c_int::from_ne_bytes(*number))
    }
}

impl AsFd for SignalFd {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

/// Signals that have arrived and are not taken yet, a bit each.
static ARRIVED: AtomicU32 = AtomicU32::new(0);
/// Descriptor to which the handler writes a byte.
static WAKE: AtomicI32 = AtomicI32::new(-1);

/// Notes these signals as they arrive, for the rest of the process. `wake` gets a byte for each, and must not block. A
/// [`SignalFd`] needs the signals blocked in every thread, and this process has some before.
pub fn handle_signals(signals: &[c_int], wake: OwnedFd) {
    // An earlier descriptor stays open, because a handler may be using it.
    WAKE.store(wake.into_raw_fd(), Ordering::SeqCst);
    for signal in signals {
        // SAFETY: all bits zero are an action without flags and with an empty mask.
        let mut action: libc::sigaction = unsafe { core::mem::zeroed() };
        action.sa_sigaction = note_signal as extern "C" fn(c_int) as libc::sighandler_t;
        action.sa_flags = libc::SA_RESTART;
        // SAFETY: the handler uses atomics and write(2) alone, and keeps the error number.
        unsafe { libc::sigaction(*signal, &raw const action, core::ptr::null_mut()) };
    }
}

extern "C" fn note_signal(signal: c_int) {
    // In this order, so that the woken thread finds the bit.
    ARRIVED.fetch_or(signal_bit(signal), Ordering::SeqCst);
    // SAFETY: a descriptor that is never closed, and the error number of this thread.
    unsafe {
        let errno = *libc::__errno_location();
        libc::write(WAKE.load(Ordering::SeqCst), [0_u8].as_ptr().cast(), 1);
        *libc::__errno_location() = errno;
    }
}

/// Returns true if a signal has arrived since the last call.
pub fn take_signal(signal: c_int) -> bool {
    ARRIVED.fetch_and(!signal_bit(signal), Ordering::SeqCst) & signal_bit(signal) != 0
}

fn signal_bit(signal: c_int) -> u32 {
    1_u32.checked_shl(signal.unsigned_abs()).unwrap_or(0)
}

/// Sets the default action of every signal and unblocks all of them, whatever the parent ignores or blocks.
pub fn reset_signals() {
    for signal in 1..=SIGNALS {
        set_action(signal, libc::SIG_DFL);
    }
    unblock_signals();
}

/// Unblocks all signals: those that are pending take effect.
pub fn unblock_signals() {
    let none = set_of(&[]);
    // SAFETY: `none` is initialised, and the old mask is not asked for.
    unsafe { libc::sigprocmask(libc::SIG_SETMASK, &raw const none, core::ptr::null_mut()) };
}

/// Ignores these signals.
pub fn ignore_signals(signals: &[c_int]) {
    for signal in signals {
        set_action(*signal, libc::SIG_IGN);
    }
}

/// Sets the disposition of a signal. It fails for KILL and STOP, which have none. The C library would refuse the signals
/// that it has for itself.
fn set_action(signal: c_int, action: libc::sighandler_t) {
    // `struct sigaction` of the kernel: action, flags, restorer, mask.
    let action: [libc::sighandler_t; 6] = [action, 0, 0, 0, 0, 0];
    let old = core::ptr::null_mut::<libc::sighandler_t>();
    // SAFETY: the action is one of two constants, so that no handler of ours can be called. The structure is not larger
    // than this.
    unsafe { libc::syscall(libc::SYS_rt_sigaction, signal, action.as_ptr(), old, SIGNALS as usize / 8) };
}

fn set_of(signals: &[c_int]) -> libc::sigset_t {
    let mut set = MaybeUninit::uninit();
    // SAFETY: sigemptyset initialises the set before it is read.
    unsafe {
        libc::sigemptyset(set.as_mut_ptr());
        for signal in signals {
            libc::sigaddset(set.as_mut_ptr(), *signal);
        }
        set.assume_init()
    }
}

/// Sets class and level of the priority of reads and writes of this process (ioprio_set(2)).
///
/// # Errors
/// Error of the system, such as `ENOSYS` of a kernel without block devices.
pub fn set_io_priority(class: u16, level: u16) -> io::Result<()> {
    /// Kind of the number of a process.
    const WHO_PROCESS: c_int = 1;
    /// Bits of the level.
    const CLASS_SHIFT: u32 = 13;
    let priority = c_int::from(class) << CLASS_SHIFT | c_int::from(level);
    // SAFETY: the arguments are numbers; 0 is this process.
    match unsafe { libc::syscall(libc::SYS_ioprio_set, WHO_PROCESS, 0, priority) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

/// Returns the priority of reads and writes of a process, as class and level.
#[cfg(test)]
pub(crate) fn io_priority(pid: u32) -> io::Result<libc::c_long> {
    // SAFETY: the arguments are numbers; 1 is the kind of the number of a process.
    match unsafe { libc::syscall(libc::SYS_ioprio_get, 1, pid) } {
        priority if priority >= 0 => Ok(priority),
        _ => Err(io::Error::last_os_error()),
    }
}

/// Makes `input` and `output` the standard descriptors of this process, gives it `ready` by its number, moves
/// `kept` to a descriptor that is closed by exec, and closes all others. Returns `kept`. The owner of a closed
/// descriptor must not use it any more.
///
/// # Errors
/// Error of dup(2).
pub fn keep_descriptors(
    input: OwnedFd,
    output: BorrowedFd<'_>,
    ready: Option<(BorrowedFd<'_>, u8)>,
    kept: BorrowedFd<'_>,
) -> io::Result<OwnedFd> {
    const KEPT: c_int = *READY_DESCRIPTORS.end() as c_int + 1;
    const FIRST: c_int = 3;
    let check = |result: c_int| if result < 0 { Err(io::Error::last_os_error()) } else { Ok(result) };
    let close = |from: c_int, to: c_int| {
        // SAFETY: the caller goes on with descriptors that are in none of the ranges.
        unsafe {
            if from <= to && libc::syscall(libc::SYS_close_range, from, to, 0) < 0 {
                for fd in from..=to.min(DESCRIPTORS) {
                    libc::close(fd);
                }
            }
        }
    };
    // SAFETY: the descriptors are open. Out of the way first: one may have the number of another's place.
    unsafe {
        let away = |fd: BorrowedFd<'_>| check(libc::fcntl(fd.as_raw_fd(), libc::F_DUPFD_CLOEXEC, KEPT + 1));
        let kept = away(kept)?;
        let ready =
            ready.map(|(fd, number)| Ok::<_, io::Error>((away(fd)?, c_int::from(number)))).transpose()?;
        check(libc::dup2(input.as_raw_fd(), 0))?;
        check(libc::dup2(output.as_raw_fd(), 1))?;
        check(libc::dup2(output.as_raw_fd(), 2))?;
        // It is closed below.
        core::mem::forget(input);
        check(libc::dup3(kept, KEPT, libc::O_CLOEXEC))?;
        if let Some((fd, number)) = ready {
            check(libc::dup2(fd, number))?;
        }
        let own = ready.map_or(KEPT, |(_, number)| number);
        close(FIRST, own - 1);
        close(own + 1, KEPT - 1);
        close(KEPT + 1, c_int::MAX);
        Ok(OwnedFd::from_raw_fd(KEPT))
    }
}
