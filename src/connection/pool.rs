//! Ids of slots, and admission: who may use them, and who is evicted for a new connection.
//!
//! A connection is *proven* once it has an identity: a bound or authenticated socket, a pending call of a valid
//! session, an administrator at the local socket. Proven connections are never evicted, and [`Room`] limits their
//! number, so that [`OVERFLOW_SLOTS`](super::OVERFLOW_SLOTS) slots at least are left for the others. Of the others, a
//! new connection evicts [one](choose) if no slot is free.

use core::cmp::Reverse;
use core::net::{IpAddr, Ipv6Addr};
use core::time::Duration;

use super::{USER_SHARE, USER_SLOTS_MIN};
use crate::call::Identity;
use crate::limits::USERS;
use crate::session::{ClientAddr, UserId};

/// Peer of a new connection.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Peer {
    /// Client of the TCP port.
    Network(IpAddr),
    /// Client of an address that an unconfirmed change has opened.
    Beside(IpAddr),
    /// Process at the local socket, by the user that it ran as when it connected.
    Local {
        /// User ID.
        uid: u32,
    },
}

impl Peer {
    /// Source that its connections count for.
    pub(super) fn source(self) -> ClientAddr {
        // That of a process at the local socket is of no client of the network.
        self.address().unwrap_or(Ipv6Addr::UNSPECIFIED.into()).into()
    }

    /// Address of a client of the network.
    pub(super) fn address(self) -> Option<IpAddr> {
        match self {
            Self::Network(address) | Self::Beside(address) => Some(address),
            Self::Local { .. } => None,
        }
    }
}

/// Id of one connection: its slot, and the generation of the slot. Each release of a slot increments its
/// generation, so a late result of an earlier connection finds none.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub struct SlotId {
    /// Index of the slot, from 0.
    pub index: u16,
    /// Number of connections that the slot had before.
    pub generation: u32,
}

/// Progress of a connection without an identity.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub enum Stage {
    /// Nothing was received.
    Silent,
    /// Bytes were received, but neither a whole ClientHello nor a whole request.
    Begun,
    /// The ClientHello was answered.
    Greeted,
    /// The TLS handshake is done, and the request is not whole.
    Secured,
    /// WebSocket without a session.
    Socket,
    /// A password is checked.
    Checking,
    /// Its answer is on the way, or was sent.
    Answered,
}

/// Kinds of stages: each step of a kind costs a flood about as much.
const KINDS: usize = 5;

impl Stage {
    /// Index of its kind.
    fn kind(self) -> usize {
        match self {
            Self::Silent => 0,
            Self::Begun => 1,
            // A handshake costs the peer as much as the server.
            Self::Greeted | Self::Secured | Self::Socket => 2,
            Self::Checking => 3,
            Self::Answered => 4,
        }
    }
}

/// Connection without an identity.
#[derive(Clone, Copy, Debug)]
pub(super) struct Unproven {
    pub(super) index: u16,
    pub(super) source: ClientAddr,
    pub(super) stage: Stage,
    /// Time at which it reached the stage.
    pub(super) since: Duration,
}

/// Chooses the connection that is evicted for a new connection: of the source with most unproven connections, the new
/// one counted, and there of the kind of stages with most, the one that has been in its stage for the longest
/// time. A pending password check is the last choice. Sources with equally many count as one.
///
/// So a flood evicts its own connections: of its source, and of its kind. To evict another client of the same source
/// between two of its steps, a flood has to replace all connections of that kind in that time.
pub(super) fn choose(unproven: impl Iterator<Item = Unproven> + Clone, new: ClientAddr) -> Option<u16> {
    // Neighbours often have the same source.
    let mut last = None;
    let mut count = |source: ClientAddr| match last {
        Some((known, count)) if known == source => count,
        _ => {
            let others = unproven.clone().filter(|one| one.source == source).count();
            let count = others + usize::from(source == new);
            last = Some((source, count));
            count
        }
    };
    let fullest = unproven.clone().map(|one| count(one.source)).max()?;
    let mut kinds: [(usize, Option<Unproven>); KINDS] = [(0, None); KINDS];
    for one in unproven.clone().filter(|one| count(one.source) == fullest) {
        let Some((number, oldest)) = kinds.get_mut(one.stage.kind()) else { continue };
        *number += 1;
        if oldest.is_none_or(|oldest| one.since < oldest.since) {
            *oldest = Some(one);
        }
    }
    let candidates = kinds.iter().filter_map(|(number, oldest)| oldest.map(|oldest| (*number, oldest)));
    let key = |(number, one): &(usize, Unproven)| {
        (one.stage != Stage::Checking, *number, Reverse(one.stage.kind()))
    };
    candidates.max_by_key(key).map(|(_, one)| one.index)
}

/// Proven connections, and so what an unproven one may become.
#[derive(Debug)]
pub(super) struct Room {
    /// Slots for proven connections.
    slots: usize,
    proven: usize,
    of_user: [u16; USERS],
}

impl Room {
    /// Room beside the connections with these identities.
    pub(super) fn beside(slots: usize, proven: impl Iterator<Item = Identity>) -> Self {
        let mut room = Self { slots, proven: 0, of_user: [0; USERS] };
        for identity in proven {
            room.proven += 1;
            if let Some(count) = room.of_user.get_mut(identity.user().index()) {
                *count += 1;
            }
        }
        room
    }

    /// Returns true while administrators alone are admitted: the last slot is theirs.
    pub(super) fn is_for_administrators(&self) -> bool {
        self.proven + 1 >= self.slots
    }

    /// Returns true while not even an administrator may have a socket. Calls of administrators are answered.
    pub(super) fn is_full(&self) -> bool {
        self.proven >= self.slots
    }

    /// Returns true if some user has a whole share.
    pub(super) fn is_scarce(&self) -> bool {
        self.of_user.iter().any(|count| usize::from(*count) >= self.share())
    }

    /// Returns true if a user who is not an administrator has a whole share.
    pub(super) fn has_share(&self, user: UserId) -> bool {
        self.of_user.get(user.index()).is_some_and(|count| usize::from(*count) >= self.share())
    }

    /// Returns true if a further socket of this user is admitted.
    pub(super) fn admits_socket(&self, user: UserId, is_admin: bool) -> bool {
        if is_admin { !self.is_full() } else { !self.is_for_administrators() && !self.has_share(user) }
    }

    /// Connections of one user who is not an administrator.
    fn share(&self) -> usize {
        (self.slots / USER_SHARE).max(USER_SLOTS_MIN)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Connections as (host, stage, time of the stage in ms); their indexes are those of the array.
    fn chosen(connections: &[(u8, Stage, u64)], new: u8) -> Option<u16> {
        let source = |host: u8| ClientAddr::from(IpAddr::from([192, 0, 2, host]));
        let unproven = connections.iter().zip(0..).map(|((host, stage, since), index)| Unproven {
            index,
            source: source(*host),
            stage: *stage,
            since: Duration::from_millis(*since),
        });
        choose(unproven, source(new))
    }

    #[test]
    fn fullest_source_with_the_new_connection_counted() {
        use Stage::Silent;
        assert_eq!(chosen(&[], 1), None);
        assert_eq!(chosen(&[(1, Silent, 0), (2, Silent, 1), (2, Silent, 2)], 3), Some(1));
        // With the new connection, both sources have two.
        assert_eq!(chosen(&[(2, Silent, 1), (2, Silent, 2), (1, Silent, 0)], 1), Some(2));
        assert_eq!(chosen(&[(1, Silent, 0), (2, Silent, 1)], 2), Some(1));
        // Of equally full sources, the oldest.
        assert_eq!(chosen(&[(1, Silent, 3), (2, Silent, 2), (3, Silent, 4)], 4), Some(1));
    }

    #[test]
    fn fullest_kind_of_the_source_and_its_oldest() {
        use Stage::{Begun, Checking, Greeted, Secured, Silent, Socket};
        assert_eq!(chosen(&[(1, Greeted, 0), (1, Silent, 2), (1, Silent, 1)], 1), Some(2));
        assert_eq!(chosen(&[(1, Silent, 0), (1, Begun, 2), (1, Begun, 1)], 1), Some(2));
        // Handshakes and sockets without a session are of one kind.
        assert_eq!(
            chosen(&[(1, Socket, 3), (1, Secured, 1), (1, Greeted, 2), (1, Silent, 0), (1, Silent, 0)], 1),
            Some(1)
        );
        assert_eq!(chosen(&[(1, Silent, 5), (1, Begun, 1)], 1), Some(0));
        // A password check ends before, unless there is nothing else.
        assert_eq!(chosen(&[(1, Checking, 0), (1, Checking, 1), (1, Silent, 2)], 1), Some(2));
        assert_eq!(chosen(&[(1, Checking, 1), (1, Checking, 0)], 1), Some(1));
    }

    #[test]
    fn ipv6_counts_by_network() {
        let at = |text: &str| ClientAddr::from(text.parse::<IpAddr>().unwrap());
        let sources = ["192.0.2.1", "2001:db8::1", "2001:db8::2"];
        let unproven = sources.iter().zip(0..).map(|(source, index)| Unproven {
            index,
            source: at(source),
            stage: Stage::Silent,
            since: Duration::from_millis(index.into()),
        });
        assert_eq!(choose(unproven, at("192.0.2.2")), Some(1));
    }

    #[test]
    fn room_is_for_users_then_for_administrators_then_for_none() {
        let user = UserId::LOCAL_ROOT;
        for (proven, admits_user, admits_admin) in
            [(0, true, true), (1, true, true), (2, false, true), (3, false, false)]
        {
            let room = Room::beside(3, core::iter::repeat_n(Identity::Local(user), proven));
            assert_eq!(room.admits_socket(user, false), admits_user, "{proven}");
            assert_eq!(room.admits_socket(user, true), admits_admin, "{proven}");
            assert_eq!((room.is_for_administrators(), room.is_full()), (!admits_user, !admits_admin));
            assert!(!room.is_scarce());
        }
    }
}
