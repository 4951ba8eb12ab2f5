//! Readiness of one descriptor.

use core::task::{Context, Poll};
use std::io;
use std::os::fd::AsFd;
use std::rc::Rc;

use super::notify::register;
use super::reactor::{Entry, Reactor};

/// Descriptor in non-blocking mode, with its readiness.
///
/// Readiness is cached and may be stale: after `is_readable` a read may still find nothing. A reader
/// reports what it found ([`note_read`](Self::note_read), [`note_empty`](Self::note_empty)), and is woken
/// by the next change. One task waits at a time, for either direction or both.
#[derive(Debug)]
pub struct AsyncFd<T: AsFd> {
    io: T,
    reactor: Rc<Reactor>,
    entry: usize,
}

impl<T: AsFd> AsyncFd<T> {
    /// Registers `io`, which has to be in non-blocking mode.
    ///
    /// # Errors
    /// Errors of epoll_ctl(2): out of memory, or too many watches.
    pub fn new(io: T) -> io::Result<Self> {
        let reactor = Reactor::of_this_thread()?;
        let entry = reactor.register(&io)?;
        Ok(Self { io, reactor, entry })
    }

    /// The descriptor itself.
    pub fn get_ref(&self) -> &T {
        &self.io
    }

    /// Returns true if there may be bytes, an end or an error to read.
    pub fn is_readable(&self) -> bool {
        self.entry(|entry| entry.readable)
    }

    /// Returns true if there may be room to write.
    pub fn is_writable(&self) -> bool {
        self.entry(|entry| entry.writable)
    }

    /// Reports that a read of a stream with room for `room` bytes returned `count`. A short read has emptied
    /// the stream, unless the peer has hung up: then its end is still to be read.
    pub fn note_read(&self, count: usize, room: usize) {
        if count < room {
            self.entry(|entry| entry.readable = entry.ended);
        }
    }

    /// Reports that a read found nothing (`EAGAIN`).
    pub fn note_empty(&self) {
        self.entry(|entry| entry.readable = false);
    }

    /// Reports that a write found no room (`EAGAIN`).
    pub fn note_full(&self) {
        self.entry(|entry| entry.writable = false);
    }

    /// Reports that there may be room again, for a reason that the kernel does not report.
    pub fn note_room(&self) {
        self.entry(|entry| entry.writable = true);
    }

    /// Registers this task for every change, in place of the one before.
    pub fn listen(&self, context: &Context<'_>) {
        self.entry(|entry| register(&mut entry.waker, context));
    }

    /// Ready when there may be something to read; else this task is woken when there may be.
    pub fn poll_readable(&self, context: &Context<'_>) -> Poll<()> {
        if self.is_readable() {
            return Poll::Ready(());
        }
        self.listen(context);
        Poll::Pending
    }

    /// Reads or changes the entry, which exists as long as `self`.
    fn entry<R: Default>(&self, change: impl FnOnce(&mut Entry) -> R) -> R {
        let changed = self.reactor.with(self.entry, change);
        debug_assert!(changed.is_some(), "entry {} is not registered", self.entry);
        changed.unwrap_or_default()
    }
}

impl<T: AsFd> Drop for AsyncFd<T> {
    fn drop(&mut self) {
        self.reactor.deregister(self.entry);
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

    fn pair() -> (UnixStream, AsyncFd<UnixStream>) {
        let (near, far) = UnixStream::pair().unwrap();
        far.set_nonblocking(true).unwrap();
        (near, AsyncFd::new(far).unwrap())
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
    fn end_behind_the_last_bytes_is_not_missed() {
        let (mut near, source) = pair();
        near.write_all(b"last").unwrap();
        // A child of another test may still hold a copy of it.
        near.shutdown(std::net::Shutdown::Write).unwrap();
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
    fn entry_of_a_closed_descriptor_is_used_again() {
        let (_near, source) = pair();
        let entry = source.entry;
        drop(source);
        let (_near, source) = pair();
        assert_eq!(source.entry, entry);
        assert!(!source.is_readable());
    }
}
