//! System calls that have no safe form, neither in std nor in rustix: clock_adjtime(2), and the ioctls RNDADDENTROPY of
//! random(4) and SIOCOUTQ of unix(7).

#![allow(unsafe_code, reason = "the kernel reads and writes the arguments of these calls")]

use std::fs::OpenOptions;
use std::io::{self, Write as _};
use std::os::fd::AsRawFd as _;
use std::os::unix::net::UnixDatagram;
use std::time::Duration;

/// Bytes of a seed: all that the generator of the kernel can use.
pub const SEED_BYTES: usize = 32;
/// Device of the kernel's random numbers.
const URANDOM: &str = "/dev/urandom";
/// `_IOW('R', 0x03, int [2])`, the same on every processor of the boards.
const RNDADDENTROPY: u32 = 0x4008_5203;

/// `struct rand_pool_info` of Linux.
#[repr(C)]
struct PoolInfo {
    entropy_bits: i32,
    size: i32,
    bytes: [u8; SEED_BYTES],
}

/// `struct __kernel_timex` of Linux, which is the same on every processor.
#[repr(C)]
#[derive(Default)]
struct Timex {
    modes: u32,
    reserved_1: u32,
    offset: i64,
    frequency: i64,
    max_error: i64,
    estimated_error: i64,
    status: i32,
    reserved_2: i32,
    constant: i64,
    precision: i64,
    tolerance: i64,
    time: [i64; 2],
    tick: i64,
    rest: [i64; 14],
}

/// Number of the system call with that structure. On processors of 32 bits it exists since Linux 5.1.
#[cfg(target_pointer_width = "64")]
const CLOCK_ADJTIME: libc::c_long = libc::SYS_clock_adjtime;
#[cfg(target_pointer_width = "32")]
const CLOCK_ADJTIME: libc::c_long = 405;

/// State of a clock that nothing has synchronised (adjtimex(2), TIME_ERROR).
const UNSYNCHRONISED: libc::c_long = 5;
/// Time constants of the kernel's loop.
const CONSTANT_MAX: u32 = 10;

/// Returns the bytes that a socket has sent, and its peer has not read (SIOCOUTQ of unix(7)).
///
/// # Errors
/// Error of the system: it is not a socket.
pub fn unread_bytes(socket: &UnixDatagram) -> io::Result<libc::c_int> {
    let mut bytes: libc::c_int = 0;
    // SAFETY: the call writes one number to the reference, which outlives it.
    match unsafe { libc::ioctl(socket.as_raw_fd(), libc::TIOCOUTQ as _, &raw mut bytes) } {
        0 => Ok(bytes),
        _ => Err(io::Error::last_os_error()),
    }
}

/// Adjusts the clock gradually by less than half a second, and marks it as synchronised: the kernel then writes it to the
/// clock chip, if there is one, every eleven minutes. `interval` is the time until the next adjustment.
///
/// # Errors
/// `EPERM` without the capability, `ENOSYS` before Linux 5.1 on a processor of 32 bits.
pub fn adjust_clock(nanoseconds: i32, interval: Duration) -> io::Result<()> {
    let mut timex = Timex {
        modes: libc::ADJ_OFFSET
            | libc::ADJ_NANO
            | libc::ADJ_STATUS
            | libc::ADJ_TIMECONST
            | libc::ADJ_MAXERROR
            | libc::ADJ_ESTERROR,
        offset: nanoseconds.into(),
        // Without STA_UNSYNC.
        status: libc::STA_PLL,
        constant: interval.as_secs().checked_ilog2().unwrap_or(0).saturating_sub(4).min(CONSTANT_MAX).into(),
        ..Timex::default()
    };
    clock_adjtime(&mut timex).map(drop)
}

/// Returns true if the clock was synchronised within the last hours: by [`adjust_clock`], or by another NTP client.
pub fn is_clock_synchronised() -> bool {
    clock_adjtime(&mut Timex::default()).is_ok_and(|state| state != UNSYNCHRONISED)
}

/// Adds a seed to the random numbers of the kernel and credits all of its bits, with which they are ready.
///
/// # Errors
/// `EPERM` without the capability.
pub fn credit_seed(seed: &[u8; SEED_BYTES]) -> io::Result<()> {
    let device = OpenOptions::new().write(true).open(URANDOM)?;
    let info = PoolInfo { entropy_bits: 8 * SEED_BYTES as i32, size: SEED_BYTES as i32, bytes: *seed };
    // SAFETY: the kernel reads the two numbers and then `size` bytes, which the structure has.
    match unsafe { libc::ioctl(device.as_raw_fd(), RNDADDENTROPY as _, core::ptr::from_ref(&info)) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

/// Mixes bytes into the random numbers of the kernel, without credit: they may be known to others.
///
/// # Errors
/// Error of the device.
pub fn mix_in(bytes: &[u8]) -> io::Result<()> {
    OpenOptions::new().write(true).open(URANDOM)?.write_all(bytes)
}

fn clock_adjtime(timex: &mut Timex) -> io::Result<libc::c_long> {
    // SAFETY: the structure is initialised and has the size and layout that the kernel reads and writes.
    match unsafe { libc::syscall(CLOCK_ADJTIME, libc::CLOCK_REALTIME, core::ptr::from_mut(timex)) } {
        state if state >= 0 => Ok(state),
        _ => Err(io::Error::last_os_error()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seed_is_accepted_from_root() {
        // These bytes may be credited.
        let seed = crate::sys::random::bytes().unwrap();
        let credited = credit_seed(&seed);
        let is_refused =
            credited.as_ref().is_err_and(|error| error.kind() == io::ErrorKind::PermissionDenied);
        assert!(credited.is_ok() || is_refused, "{credited:?}");
        mix_in(b"nothing new").unwrap();
    }

    #[test]
    fn structure_is_that_of_the_kernel() {
        assert_eq!(size_of::<Timex>(), 208);
        // Without modes, any user reads it.
        let mut timex = Timex::default();
        let state = clock_adjtime(&mut timex).unwrap();
        assert!((0..=UNSYNCHRONISED).contains(&state), "{state}");
        // Microseconds of a tick of 1/100 s, which the kernel adjusts by a tenth at most.
        assert!((9_000..=11_000).contains(&timex.tick), "{}", timex.tick);
        let now = i64::try_from(crate::wall_clock::now().as_secs()).unwrap();
        assert!((now - 60..=now).contains(&timex.time[0]), "{:?}", timex.time);
    }
}
