//! Notifications of the server: those of sd_notify(3), and one of friendlet's own.

use core::time::Duration;

/// End of the board.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum PowerAction {
    /// Restart the machine.
    Restart,
    /// Power the machine off.
    PowerOff,
}

/// One line of a datagram.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Notification {
    /// `READY=1`: the server accepts connections.
    Ready,
    /// `WATCHDOG=1`: the server is alive.
    Heartbeat,
    /// `STOPPING=1`: the server shuts down.
    Stopping,
    /// `EXTEND_TIMEOUT_USEC=N`: the server needs this long to shut down.
    ExtendTimeout(Duration),
    /// `X_FRIENDLET=reboot` or `X_FRIENDLET=poweroff`: an administrator requests the end of the board.
    Power(PowerAction),
}

/// Parses the known lines of a datagram. Others, such as `STATUS=..`, are skipped, as sd_notify(3)
/// requires.
pub(super) fn parse(datagram: &[u8]) -> impl Iterator<Item = Notification> {
    datagram.split(|byte| *byte == b'\n').filter_map(|line| match line {
        b"READY=1" => Some(Notification::Ready),
        b"WATCHDOG=1" => Some(Notification::Heartbeat),
        b"STOPPING=1" => Some(Notification::Stopping),
        b"X_FRIENDLET=reboot" => Some(Notification::Power(PowerAction::Restart)),
        b"X_FRIENDLET=poweroff" => Some(Notification::Power(PowerAction::PowerOff)),
        _ => {
            line.strip_prefix(b"EXTEND_TIMEOUT_USEC=").and_then(microseconds).map(Notification::ExtendTimeout)
        }
    })
}

fn microseconds(digits: &[u8]) -> Option<Duration> {
    let is_number = !digits.is_empty() && digits.iter().all(u8::is_ascii_digit);
    let digits = core::str::from_utf8(digits).ok().filter(|_| is_number)?;
    digits.parse().ok().map(Duration::from_micros)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_lines_are_notifications() {
        for (datagram, expected) in [
            (&b"READY=1"[..], &[Notification::Ready][..]),
            (b"READY=1\nSTATUS=serving\nWATCHDOG=1\n", &[Notification::Ready, Notification::Heartbeat]),
            (b"STOPPING=1", &[Notification::Stopping]),
            (
                b"STOPPING=1\nEXTEND_TIMEOUT_USEC=124000000",
                &[Notification::Stopping, Notification::ExtendTimeout(Duration::from_secs(124))],
            ),
            (b"EXTEND_TIMEOUT_USEC=\nEXTEND_TIMEOUT_USEC=+1\nEXTEND_TIMEOUT_USEC=99999999999999999999", &[]),
            (b"X_FRIENDLET=reboot", &[Notification::Power(PowerAction::Restart)]),
            (b"X_FRIENDLET=poweroff\n", &[Notification::Power(PowerAction::PowerOff)]),
            (b"", &[]),
            (b"READY=0\nREADY=11\n READY=1\nX_FRIENDLET=\xff\nready=1", &[]),
        ] {
            assert_eq!(parse(datagram).collect::<Vec<_>>(), expected, "{datagram:?}");
        }
    }
}
