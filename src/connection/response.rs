//! The one response of a connection.

use core::time::Duration;

use super::machine::{Connection, Finish, HttpConfig};
use super::request::Request;
use crate::api::{Api, Counters};
use crate::http::{self, Recipient, Rejection, SEND_RESERVE_BYTES};
use crate::internal_error;
use crate::limits::SEND_BYTES;
use crate::ws::SendBufferFull;

/// Value of `retry-after` unless the outcome of a call has another one, in seconds: of a client that was rejected at
/// capacity, say.
const RETRY_AFTER_S: u32 = 5;

/// Longest body of the response to a call.
pub(super) const BODY_BYTES: usize = SEND_BYTES - SEND_RESERVE_BYTES - http::CALL_HEAD_BYTES;

/// Rejects a request because all slots are in use.
pub(super) fn reject_at_capacity(
    connection: &mut Connection,
    api: &mut Api,
    config: &HttpConfig,
    now: Duration,
) {
    Counters::add(&mut api.counters.rejected_at_capacity);
    reject(connection, &Rejection::AT_CAPACITY, config, now);
}

/// Reports a broken invariant in the log, and to the client.
pub(super) fn fail(connection: &mut Connection, state: &'static str, config: &HttpConfig, now: Duration) {
    internal_error!("{}", state);
    reject(connection, &Rejection::INTERNAL, config, now);
}

/// Rejects the request of this connection.
pub(super) fn reject(connection: &mut Connection, rejection: &Rejection, config: &HttpConfig, now: Duration) {
    respond(connection, config, now, &mut |room, to| http::write_rejection(room, rejection, to).ok());
}

/// Sends the one response of this connection, and ends it.
pub(super) fn respond(
    connection: &mut Connection,
    config: &HttpConfig,
    now: Duration,
    write: &mut dyn FnMut(&mut [u8], Recipient<'_>) -> Option<usize>,
) {
    let finish = if put(connection, config, write).is_ok() { Finish::Graceful } else { Finish::Abort };
    connection.closing.begin(finish, now);
}

/// Writes the one response of this connection, or its head.
pub(super) fn put(
    connection: &mut Connection,
    config: &HttpConfig,
    write: &mut dyn FnMut(&mut [u8], Recipient<'_>) -> Option<usize>,
) -> Result<(), SendBufferFull> {
    let Request { head_only, origin, is_rest, methods, .. } = connection.request;
    // A request is refused before the page that it is from is checked, if its head is malformed.
    let origin = origin
        .map(usize::from)
        .or_else(|| http::find_origin(connection.receive.filled(), config.allowed()))
        .and_then(|position| config.allowed().nth(position));
    connection.receive.clear();
    let origin = origin.map(http::without_default_port);
    let (reads_problems, retry_after_s) = (is_rest, RETRY_AFTER_S);
    let to = Recipient { head_only, origin, reads_problems, methods, retry_after_s };
    connection.send.raw(|room| write(room, to))
}
