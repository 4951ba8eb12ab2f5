//! A descriptor that a task waits for.

use core::task::{Context, Poll};
use std::io;
use std::os::fd::AsFd;
use std::rc::Rc;

use super::reactor::Reactor;

/// A descriptor in non-blocking mode, and what is known of it.
///
/// What is known is a belief: `is_readable` says that a read may find something. Who finds that it did
/// not, or that it found less than it asked for, says so ([`note_read`](Self::note_read)), and is woken
/// by the next change. One task waits at a time, for either direction or both.
#[derive(Debug)]
pub struct Source<T: AsFd> {
    io: T,
    reactor: Rc<Reactor>,
    entry: usize,
}

impl<T: AsFd> Source<T> {
    /// Watches `io`, which has to be in non-blocking mode.
    ///
    /// # Errors
    /// Those of epoll_ctl(2): no memory, too many watches.
    pub fn new(io: T) -> io::Result<Self> {
        let reactor = Reactor::of_this_thread()?;
        let entry = reactor.register(&io)?;
        Ok(Self { io, reactor, entry })
    }

    /// The descriptor itself.
    pub fn get_ref(&self) -> &T {
        &self.io
    }

    /// Whether there may be something to read, an end or an error among it.
    pub fn is_readable(&self) -> bool {
        self.reactor.with(self.entry, |entry| entry.readable).unwrap_or_default()
    }

    /// Whether there may be room to write.
    pub fn is_writable(&self) -> bool {
        self.reactor.with(self.entry, |entry| entry.writable).unwrap_or_default()
    }

    /// A read of a stream found `count` bytes where there was room for `room`: with room left over,
    /// there is nothing more, unless the other side has hung up, which is still to be read.
    pub fn note_read(&self, count: usize, room: usize) {
        if count < room {
            self.reactor.with(self.entry, |entry| entry.readable = entry.ended);
        }
    }

    /// A read found nothing at all.
    pub fn note_empty(&self) {
        self.reactor.with(self.entry, |entry| entry.readable = false);
    }

    /// A write found no room.
    pub fn note_full(&self) {
        self.reactor.with(self.entry, |entry| entry.writable = false);
    }

    /// There may be room again for a reason that the kernel does not tell of.
    pub fn note_room(&self) {
        self.reactor.with(self.entry, |entry| entry.writable = true);
    }

    /// Wakes this task when anything changes, until another one listens.
    pub fn listen(&self, context: &Context<'_>) {
        self.reactor.with(self.entry, |entry| match &mut entry.waker {
            Some(waker) => waker.clone_from(context.waker()),
            none => *none = Some(context.waker().clone()),
        });
    }

    /// Ready when there may be something to read; else this task is woken when there is.
    pub fn poll_readable(&self, context: &Context<'_>) -> Poll<()> {
        if self.is_readable() {
            return Poll::Ready(());
        }
        self.listen(context);
        Poll::Pending
    }
}

impl<T: AsFd> Drop for Source<T> {
    fn drop(&mut self) {
        self.reactor.forget(self.entry);
    }
}

#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "another thread is what wakes")]
mod tests {
    use std::future::poll_fn;
    use std::io::{Read as _, Write as _};
    use std::os::unix::net::UnixStream;
    use std::time::Duration;

    use super::*;
    use crate::runtime::{Tasks, block_on};

    fn pair() -> (UnixStream, Source<UnixStream>) {
        let (near, far) = UnixStream::pair().unwrap();
        far.set_nonblocking(true).unwrap();
        (near, Source::new(far).unwrap())
    }

    #[test]
    fn reader_is_woken_by_bytes_and_by_the_end() {
        let (mut near, source) = pair();
        let writer = std::thread::spawn(move || {
            for byte in [b'a', b'b'] {
                std::thread::sleep(Duration::from_millis(20));
                near.write_all(&[byte]).unwrap();
            }
        });
        let mut got = Vec::new();
        block_on(&mut Tasks::new(0), async {
            loop {
                poll_fn(|context| source.poll_readable(context)).await;
                let mut bytes = [0; 16];
                match source.get_ref().read(&mut bytes) {
                    Ok(0) => break,
                    Ok(count) => {
                        got.extend_from_slice(&bytes[..count]);
                        source.note_read(count, bytes.len());
                    }
                    Err(_) => source.note_empty(),
                }
            }
        })
        .unwrap();
        writer.join().unwrap();
        assert_eq!(got, b"ab");
    }

    #[test]
    fn an_end_behind_the_last_bytes_is_not_missed() {
        let (mut near, source) = pair();
        near.write_all(b"last").unwrap();
        drop(near);
        block_on(&mut Tasks::new(0), poll_fn(|context| source.poll_readable(context))).unwrap();
        let mut bytes = [0; 16];
        assert_eq!(source.get_ref().read(&mut bytes).unwrap(), 4);
        source.note_read(4, bytes.len());
        assert!(source.is_readable());
        assert_eq!(source.get_ref().read(&mut bytes).unwrap(), 0);
    }

    #[test]
    fn writer_is_woken_by_room() {
        let (mut near, source) = pair();
        assert!(source.is_writable());
        let mut sent = 0;
        while let Ok(count) = source.get_ref().write(&[0; 4096]) {
            sent += count;
        }
        source.note_full();
        let reader = std::thread::spawn(move || {
            std::thread::sleep(Duration::from_millis(20));
            near.read_exact(&mut vec![0; sent]).unwrap();
            near
        });
        let wait = poll_fn(|context| {
            source.listen(context);
            if source.is_writable() { Poll::Ready(()) } else { Poll::Pending }
        });
        block_on(&mut Tasks::new(0), wait).unwrap();
        reader.join().unwrap();
    }

    #[test]
    fn place_of_one_that_is_gone_is_another_ones() {
        let (_near, source) = pair();
        let entry = source.entry;
        drop(source);
        let (_near, source) = pair();
        assert_eq!(source.entry, entry);
        assert!(!source.is_readable());
    }
}
