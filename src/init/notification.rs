//! Notifications of the server: those of sd_notify(3), and some of friendlet's own.

use core::time::Duration;

use crate::sys::{assignments, microseconds};

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
pub(super) enum Notification<'a> {
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
    /// `X_FRIENDLET=good`: the system of this slot works.
    Good,
    /// `X_FRIENDLET_BAD=REASON`: it did not work in time.
    Bad(&'a str),
    /// `X_FRIENDLET=factory-reset`: an administrator requests it.
    FactoryReset,
}

/// Parses the known lines of a datagram. Others, such as `STATUS=..`, are skipped, as sd_notify(3)
/// requires.
pub(super) fn parse(datagram: &[u8]) -> impl Iterator<Item = Notification<'_>> {
    assignments(datagram).filter_map(|assignment| match assignment {
        ("READY", "1") => Some(Notification::Ready),
        ("WATCHDOG", "1") => Some(Notification::Heartbeat),
        ("STOPPING", "1") => Some(Notification::Stopping),
        ("X_FRIENDLET", "reboot") => Some(Notification::Power(PowerAction::Restart)),
        ("X_FRIENDLET", "poweroff") => Some(Notification::Power(PowerAction::PowerOff)),
        ("X_FRIENDLET", "good") => Some(Notification::Good),
        ("X_FRIENDLET_BAD", reason) => Some(Notification::Bad(reason)),
        ("X_FRIENDLET", "factory-reset") => Some(Notification::FactoryReset),
        ("EXTEND_TIMEOUT_USEC", time) => microseconds(time).map(Notification::ExtendTimeout),
        _ => None,
    })
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
            (b"X_FRIENDLET=good", &[Notification::Good]),
            (b"X_FRIENDLET_BAD=service a=b is not up", &[Notification::Bad("service a=b is not up")]),
            (b"X_FRIENDLET=factory-reset\n", &[Notification::FactoryReset]),
            (b"", &[]),
            (b"READY=0\nREADY=11\n READY=1\nX_FRIENDLET=\xff\nready=1", &[]),
        ] {
            assert_eq!(parse(datagram).collect::<Vec<_>>(), expected, "{datagram:?}");
        }
    }
}
