//! Server-sent events: the pushes of a bound socket as the response to one request.

use super::machine::{Connection, Context};
use crate::call::Identity;
use crate::ws::Socket;

/// Begins the stream of an identity after the head of the response, with the state of every service and check that it
/// may see. A client that connects again thus misses nothing, and events need no numbers.
pub(super) fn begin(connection: &mut Connection, identity: Identity, cx: &mut Context<'_>) {
    if let Some(key) = identity.session() {
        cx.api.accounts.sessions.bind(key, cx.now);
    }
    connection.auth.bound = Some(identity);
    connection.auth.authenticate(identity, &cx.api.accounts);
    connection.socket = Some(Socket::stream(cx.now));
    let services = cx.api.services.table().iter().map(|(service, _)| service.index());
    connection.pushes.services = services.fold(0, |services, index| services | 1 << index);
    let checks = cx.api.services.checks().map(|(check, ..)| check.index());
    connection.pushes.checks = checks.fold(0, |checks, index| checks | 1 << index);
}
