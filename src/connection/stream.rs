//! Server-sent events: the pushes of a bound socket as the response to one request.

use super::machine::{Connection, Context, Finish};
use super::response::{put, reject_at_capacity};
use crate::http::write_stream_head;
use crate::ws::{SendBufferFull, Socket};

/// Begins the stream for this valid session, with the state of every service and check that its user may see. A client
/// that connects again thus misses nothing, and events need no numbers.
pub(super) fn begin(connection: &mut Connection, session: Option<&str>, cx: &mut Context<'_>) {
    let identity = connection.place.identify(session.unwrap_or_default(), cx);
    let Some(identity) = identity.filter(|identity| connection.is_admitted(*identity, cx)) else {
        return reject_at_capacity(connection, cx.api, cx.http, cx.now);
    };
    match put(connection, cx.http, &mut |room, to| write_stream_head(room, to).ok()) {
        Ok(()) if !connection.request.head_only => {}
        Ok(()) => return connection.closing.begin(Finish::Graceful, cx.now),
        Err(SendBufferFull) => return connection.closing.begin(Finish::Abort, cx.now),
    }
    if let Some(key) = identity.session() {
        cx.api.accounts.sessions.bind(key, cx.now);
    }
    connection.auth.bound = Some(identity);
    connection.auth.authenticate(identity, &cx.api.accounts);
    connection.socket = Some(Socket::stream(cx.now));
    connection.pushes.add_all(&cx.api.services);
}
