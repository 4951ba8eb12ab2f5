//! What the server says, in the words of sd_notify(3) and one of friendlet's own.

/// How the board ends.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum End {
    /// It starts again.
    Restart,
    /// It is switched off.
    PowerOff,
}

/// One line of a message.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Message {
    /// `READY=1`: it serves.
    Ready,
    /// `WATCHDOG=1`: it is alive.
    Alive,
    /// `STOPPING=1`: it ends.
    Stopping,
    /// `X_FRIENDLET=reboot` or `X_FRIENDLET=poweroff`: an administrator wants the board to end.
    End(End),
}

/// The lines of a datagram that are understood. Others, such as `STATUS=..`, are passed over, as
/// sd_notify(3) asks for.
pub(super) fn read(datagram: &[u8]) -> impl Iterator<Item = Message> {
    datagram.split(|byte| *byte == b'\n').filter_map(|line| match line {
        b"READY=1" => Some(Message::Ready),
        b"WATCHDOG=1" => Some(Message::Alive),
        b"STOPPING=1" => Some(Message::Stopping),
        b"X_FRIENDLET=reboot" => Some(Message::End(End::Restart)),
        b"X_FRIENDLET=poweroff" => Some(Message::End(End::PowerOff)),
        _ => None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_messages() {
        for (datagram, expected) in [
            (&b"READY=1"[..], &[Message::Ready][..]),
            (b"READY=1\nSTATUS=serving\nWATCHDOG=1\n", &[Message::Ready, Message::Alive]),
            (b"STOPPING=1", &[Message::Stopping]),
            (b"X_FRIENDLET=reboot", &[Message::End(End::Restart)]),
            (b"X_FRIENDLET=poweroff\n", &[Message::End(End::PowerOff)]),
            (b"", &[]),
            (b"READY=0\nREADY=11\n READY=1\nX_FRIENDLET=\xff\nready=1", &[]),
        ] {
            assert_eq!(read(datagram).collect::<Vec<_>>(), expected, "{datagram:?}");
        }
    }
}
