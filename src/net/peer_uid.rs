//! User of the process at the other end of a UNIX socket, by SO_PEERCRED (unix(7)).
//!
//! The function of rustix has the process, too, and fails for one of another PID namespace, whose number is 0: that of the
//! administrator of the machine, where the server runs in a container.

#![allow(unsafe_code, reason = "the kernel writes the structure of this call")]

use std::io;
use std::os::fd::{AsFd, AsRawFd as _};

/// Returns the user.
///
/// # Errors
/// Error of the system.
pub(super) fn peer_uid(socket: impl AsFd) -> io::Result<u32> {
    let mut peer = libc::ucred { pid: 0, uid: u32::MAX, gid: u32::MAX };
    let mut len = size_of_val(&peer) as libc::socklen_t;
    // SAFETY: the kernel writes at most `len` bytes to `peer`, whose fields may have any value.
    let result = unsafe {
        libc::getsockopt(
            socket.as_fd().as_raw_fd(),
            libc::SOL_SOCKET,
            libc::SO_PEERCRED,
            (&raw mut peer).cast(),
            &raw mut len,
        )
    };
    if result == 0 { Ok(peer.uid) } else { Err(io::Error::last_os_error()) }
}

#[cfg(test)]
mod tests {
    use std::net::UdpSocket;
    use std::os::unix::net::UnixStream;

    use super::*;

    #[test]
    fn user_is_that_of_the_peer() {
        let (one, _other) = UnixStream::pair().unwrap();
        assert_eq!(peer_uid(&one).unwrap(), rustix::process::geteuid().as_raw());
        // A socket without such a peer has no user of this machine.
        let none = UdpSocket::bind("127.0.0.1:0").unwrap();
        assert!(peer_uid(&none).map_or(true, |uid| uid == u32::MAX));
    }
}
