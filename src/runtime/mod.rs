//! The loop under the tasks: one epoll instance, the tasks of the connections, timers.
//!
//! smol's executor runs what happens seldom (children, passwords, signals) inside the future that
//! [`block_on()`] is given. The connections, which are what a server of this kind does all day, are tasks
//! of a table of their own: [`Tasks`]. Waking one of them sets a bit, and a message costs three system
//! calls: to wait, to read, to write. Nothing here allocates once it is made, and there is no second
//! thread; a waker may be used from one all the same.
//!
//! Each thread has a reactor of its own, made when it is first asked for. A [`Source`] and a [`Timer`]
//! belong to that of the thread that made them.

mod block_on;
mod doorbell;
mod reactor;
mod source;
mod tasks;
mod timer;

use core::time::Duration;

pub use block_on::block_on;
pub use reactor::{ENTRY_BYTES, now};
pub use source::Source;
pub use tasks::{TASK_BYTES, Tasks};
pub use timer::Timer;

crate::limits::limits! {
    /// Step of the server's clock.
    TICK: Duration = Duration::from_millis(250), fixed "a step: how late every other time may be";
}
