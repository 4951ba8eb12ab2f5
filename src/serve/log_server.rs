//! Task of the log server.

use std::cell::RefCell;
use std::future::poll_fn;
use std::rc::Rc;
use std::task::Poll;

use super::core::Core;
use super::syslog::Lines;
use crate::net::Endpoint as _;

/// Sends to the log server.
pub(super) async fn send(core: Rc<RefCell<Core>>) {
    poll_fn(|context| {
        let core = &mut *core.borrow_mut();
        let now = core.now();
        let lines = Lines { processes: core.system.processes(), services: core.server.services(), now };
        if core.syslog.poll(context, &lines, &core.clock) {
            // The upkeep reports it.
            core.finish_step(now);
        }
        Poll::<()>::Pending
    })
    .await
}
