//! Admission of new connections: slots, and eviction of unproven ones.

use core::time::Duration;

use super::machine::Connection;
use super::pool::{Room, Stage, choose};
use super::server::{Server, find, wake};
use super::{Peer, SlotId};
use crate::api::Counters;
use crate::session::UserId;

impl Server {
    /// Claims a slot for a connection from `peer`. Returns `None` if none is free: an unproven connection, if there is
    /// one, was evicted, and frees its slot soon.
    pub fn claim(&mut self, peer: Peer, now: Duration) -> Option<SlotId> {
        if self.is_shutting_down {
            return None;
        }
        let local = self.local_administrator(peer);
        let Some(slot) = self.slots.iter_mut().find(|slot| !slot.place.in_use) else {
            self.evict_for(peer, now);
            return None;
        };
        if let (Peer::Local { uid }, None) = (peer, local)
            && let Some(suppressed) = self.shared.refusals.try_acquire(now)
        {
            crate::warning!("local socket: refused to user {}{}", uid, suppressed);
        }
        let is_proxied = peer.address().is_some_and(|address| self.shared.http.front.trusts(address));
        slot.open(peer, local, is_proxied, now);
        self.api.connections.used += 1;
        Counters::add(&mut self.api.counters.accepted);
        Some(slot.place.id)
    }

    /// Root or the server's own user at the local socket.
    fn local_administrator(&self, peer: Peer) -> Option<UserId> {
        match peer {
            Peer::Local { uid: 0 } => Some(UserId::LOCAL_ROOT),
            Peer::Local { uid } if uid == self.owner => Some(UserId::LOCAL_OWNER),
            Peer::Local { .. } | Peer::Network(_) | Peer::Beside(_) => None,
        }
    }

    /// Evicts an unproven connection in favour of a new connection, unless a slot is about to be free.
    fn evict_for(&mut self, peer: Peer, now: Duration) {
        if self.slots.iter().any(Connection::is_leaving) {
            return;
        }
        let unproven = self.slots.iter().filter_map(Connection::unproven);
        let Some(index) = choose(unproven, peer.source()) else { return };
        if let Some(slot) = self.slots.get_mut(usize::from(index)) {
            Counters::add(&mut self.api.counters.unauthenticated);
            if let Some(suppressed) = self.shared.refusals.try_acquire(now) {
                crate::warning!(
                    "all slots are in use: evicted a connection without an identity from {}{}",
                    slot.place.source,
                    suppressed
                );
            }
            slot.evict(now);
            wake(&mut self.wakes, slot.place.id);
        }
    }

    /// Notes the progress of a connection's transport.
    pub fn handle_stage(&mut self, id: SlotId, stage: Stage, now: Duration) {
        if let Some(slot) = find(&mut self.slots, id) {
            slot.set_stage(stage, now);
        }
    }

    /// Computes the room of unproven connections.
    fn update_room(&mut self) {
        self.shared.room = Room::beside(self.limit, self.slots.iter().filter_map(Connection::proof));
    }

    /// The same, if this connection is unproven.
    pub(super) fn update_room_of(&mut self, id: SlotId) {
        if self.slots.get(usize::from(id.index)).is_some_and(|slot| slot.proof().is_none()) {
            self.update_room();
        }
    }

    /// The same, if a connection is one of those that `is_one` returns true for.
    pub(super) fn update_room_if(&mut self, is_one: impl Fn(&Connection) -> bool) {
        if self.slots.iter().any(is_one) {
            self.update_room();
        }
    }
}
