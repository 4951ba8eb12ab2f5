//! Own pages: the response with a file, which is sent in pieces.

use core::num::NonZeroU16;
use core::time::Duration;

use super::machine::{Connection, HttpConfig};
use super::response::respond;
use super::server::{Server, find, wake};
use super::{SITE_PIECE_BYTES, SlotId};
use crate::http::{self, Site, SiteUse};
use crate::limits::WEB_FILES;

const _: () = assert!(WEB_FILES < u16::MAX as usize, "web_files: at most 65534");

/// Sends the head of the response with a file. [`Server::refill`] sends the content.
pub(super) fn respond_page(connection: &mut Connection, page: SiteUse, config: &HttpConfig, now: Duration) {
    let has_body = page.has_body(connection.request.head_only);
    connection.request.page = NonZeroU16::new(page.file as u16 + 1).filter(|_| has_body);
    connection.request.decoded = 0;
    let mut write =
        |room: &mut [u8], to: http::Recipient<'_>| http::write_site_head(room, &config.site, page, to).ok();
    respond(connection, config, now, &mut write);
}

impl Server {
    /// Adds what follows to the bytes that a connection has to send: the next piece of a file. Returns false if nothing
    /// follows.
    pub fn refill(&mut self, id: SlotId) -> bool {
        let Some(slot) = find(&mut self.slots, id) else { return false };
        let Some(page) = slot.request.page else { return false };
        let content = self.shared.http.site.content(usize::from(page.get()) - 1, slot.request.decoded);
        let piece = content.get(..SITE_PIECE_BYTES).unwrap_or(content);
        let put = slot.send.raw(|room| {
            room.get_mut(..piece.len())?.copy_from_slice(piece);
            Some(piece.len())
        });
        slot.request.decoded += piece.len();
        slot.request.page.take_if(|_| put.is_err() || piece.len() == content.len());
        !slot.send.is_empty()
    }

    /// Puts later files in the place of those in force. A response with another version is cut.
    pub fn set_site(&mut self, site: Site) {
        if site.is_same(&self.shared.http.site) {
            return;
        }
        for slot in self.slots.iter_mut().filter(|slot| slot.request.page.is_some()) {
            slot.request.page = None;
            slot.closing.abort();
            wake(&mut self.wakes, slot.place.id);
        }
        self.shared.http.site = site;
    }
}
