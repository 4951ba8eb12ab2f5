//! Reasons of failed system calls, in words and number.

use core::fmt;
use std::io;

/// Reason of a failure, for log lines and errors: `No such file or directory (errno 2)`.
///
/// An error without a number of the system keeps its own words.
#[derive(Clone, Copy, Debug)]
pub enum Reason<'a> {
    /// Error number of the system, errno(3).
    Errno(i32),
    /// Error of a library.
    Other(&'a io::Error),
}

impl From<i32> for Reason<'_> {
    fn from(errno: i32) -> Self {
        Self::Errno(errno)
    }
}

impl From<rustix::io::Errno> for Reason<'_> {
    fn from(errno: rustix::io::Errno) -> Self {
        Self::Errno(errno.raw_os_error())
    }
}

impl<'a> From<&'a io::Error> for Reason<'a> {
    fn from(error: &'a io::Error) -> Self {
        error.raw_os_error().map_or(Self::Other(error), Self::Errno)
    }
}

/// Texts of the numbers from 1 on, a line each, in glibc's words; empty for those that no call of this program gives. The
/// standard library allocates a string for each.
const TEXTS: &str = "\
Operation not permitted
No such file or directory
No such process
Interrupted system call
Input/output error
No such device or address
Argument list too long
Exec format error
Bad file descriptor
No child processes
Resource temporarily unavailable
Cannot allocate memory
Permission denied
Bad address
Block device required
Device or resource busy
File exists
Invalid cross-device link
No such device
Not a directory
Is a directory
Invalid argument
Too many open files in system
Too many open files
Inappropriate ioctl for device
Text file busy
File too large
No space left on device
Illegal seek
Read-only file system
Too many links
Broken pipe
Numerical argument out of domain
Numerical result out of range
Resource deadlock avoided
File name too long
No locks available
Function not implemented
Directory not empty
Too many levels of symbolic links




















No data available
Timer expired




Link has been severed



Protocol error


Bad message
Value too large for defined data type

File descriptor in bad state

Can not access a needed shared library
Accessing a corrupted shared library


Cannot exec a shared library directly
Invalid or incomplete multibyte or wide character


Too many users
Socket operation on non-socket
Destination address required
Message too long
Protocol wrong type for socket
Protocol not available
Protocol not supported
Socket type not supported
Operation not supported
Protocol family not supported
Address family not supported by protocol
Address already in use
Cannot assign requested address
Network is down
Network is unreachable
Network dropped connection on reset
Software caused connection abort
Connection reset by peer
No buffer space available
Transport endpoint is already connected
Transport endpoint is not connected
Cannot send after transport endpoint shutdown
Too many references: cannot splice
Connection timed out
Connection refused
Host is down
No route to host
Operation already in progress
Operation now in progress
Stale file handle
Structure needs cleaning



Remote I/O error
Disk quota exceeded
No medium found
Wrong medium type
Operation canceled
Required key not available
Key has expired
Key has been revoked
Key was rejected by service
Owner died
State not recoverable
Operation not possible due to RF-kill
Memory page has hardware error";

/// Text of a number.
fn text(errno: i32) -> &'static str {
    let line = usize::try_from(errno).ok().and_then(|number| number.checked_sub(1));
    let text = line.and_then(|line| TEXTS.split('\n').nth(line));
    text.filter(|text| !text.is_empty()).unwrap_or("error")
}

impl fmt::Display for Reason<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Errno(errno) => write!(f, "{} (errno {errno})", text(*errno)),
            Self::Other(error) => error.fmt(f),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_those_of_the_system() {
        for (index, text) in TEXTS.split('\n').enumerate().filter(|(_, text)| !text.is_empty()) {
            let number = index as i32 + 1;
            let system = io::Error::from_raw_os_error(number).to_string();
            assert_eq!(system, format!("{text} (os error {number})"));
        }
    }

    #[test]
    fn errors_of_a_start_have_words() {
        use libc::*;
        for (call, numbers) in [
            (
                "execve",
                &[
                    E2BIG,
                    EACCES,
                    EAGAIN,
                    EFAULT,
                    EINVAL,
                    EIO,
                    EISDIR,
                    ELIBACC,
                    ELIBBAD,
                    ELIBEXEC,
                    ELOOP,
                    EMFILE,
                    ENAMETOOLONG,
                    ENFILE,
                    ENOENT,
                    ENOEXEC,
                    ENOMEM,
                    ENOTDIR,
                    EPERM,
                    ETXTBSY,
                ][..],
            ),
            ("fork, setpgid, setuid, setrlimit", &[EAGAIN, ENOMEM, ENOSYS, EPERM, ESRCH, EUSERS]),
            (
                "mount, unshare",
                &[EBUSY, EINVAL, ELOOP, EMFILE, ENODEV, ENOSPC, ENOTBLK, ENXIO, EPERM, EROFS, EUSERS],
            ),
            ("files of a control group", &[EBUSY, EDOM, EEXIST, ENODEV, ENOTEMPTY, EOPNOTSUPP, ERANGE]),
            (
                "reading a file of any file system",
                &[
                    EBADF,
                    EBADMSG,
                    EDEADLK,
                    EHWPOISON,
                    EILSEQ,
                    EKEYEXPIRED,
                    EKEYREJECTED,
                    EKEYREVOKED,
                    EMEDIUMTYPE,
                    ENODATA,
                    ENOKEY,
                    ENOLCK,
                    ENOMEDIUM,
                    ENOTRECOVERABLE,
                    EOVERFLOW,
                    EPROTO,
                    EREMOTEIO,
                    ESTALE,
                    ETIME,
                    EUCLEAN,
                    EXDEV,
                ],
            ),
            ("creating a directory", &[EDQUOT, EEXIST, EFBIG, EMLINK, ENOSPC, EROFS]),
            (
                "connect, for ready and checks",
                &[
                    EADDRINUSE,
                    EADDRNOTAVAIL,
                    EAFNOSUPPORT,
                    EALREADY,
                    ECONNABORTED,
                    ECONNREFUSED,
                    ECONNRESET,
                    EDESTADDRREQ,
                    EHOSTDOWN,
                    EHOSTUNREACH,
                    EINPROGRESS,
                    EISCONN,
                    ENETDOWN,
                    ENETRESET,
                    ENETUNREACH,
                    ENOBUFS,
                    ENOPROTOOPT,
                    ENOTCONN,
                    ENOTSOCK,
                    EPIPE,
                    EPROTONOSUPPORT,
                    EPROTOTYPE,
                    ESHUTDOWN,
                    ESOCKTNOSUPPORT,
                    ETIMEDOUT,
                ],
            ),
            ("those of this program", &[ECANCELED, EMSGSIZE]),
        ] {
            for number in numbers {
                assert_ne!(text(*number), "error", "{call}: {number}");
            }
        }
        for number in [i32::MIN, -1, 0, 41, 134, i32::MAX] {
            assert_eq!(text(number), "error", "{number}");
        }
    }

    #[test]
    fn system_error_is_shown_in_words_and_number() {
        let expected = "No such file or directory (errno 2)";
        assert_eq!(Reason::from(2).to_string(), expected);
        assert_eq!(Reason::from(rustix::io::Errno::NOENT).to_string(), expected);
        assert_eq!(Reason::from(&io::Error::from_raw_os_error(2)).to_string(), expected);
        let unknown = Reason::from(i32::MIN).to_string();
        assert!(unknown.ends_with(" (errno -2147483648)"), "{unknown}");
    }

    #[test]
    fn other_error_keeps_its_words() {
        let error = io::Error::other("expected a path");
        assert_eq!(Reason::from(&error).to_string(), "expected a path");
    }
}
