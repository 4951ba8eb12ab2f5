//! Writer of messages of DNS (RFC 1035, 4), whose names are those of a server.

use super::names::{Names, Node};
use super::packet::{SECTIONS, Section};

/// Writes a message into a buffer in which the longest one has room.
#[derive(Debug)]
pub(super) struct Writer<'w> {
    names: &'w Names,
    buffer: &'w mut [u8],
    len: usize,
    /// Positions of the names that were written, or 0.
    offsets: [u16; Node::COUNT],
    counts: [u16; SECTIONS.len()],
}

impl<'w> Writer<'w> {
    pub(super) fn new(names: &'w Names, buffer: &'w mut [u8], id: u16, flags: u16) -> Self {
        let mut writer = Self { names, buffer, len: 0, offsets: [0; Node::COUNT], counts: [0; 4] };
        writer.put(&id.to_be_bytes());
        writer.put(&flags.to_be_bytes());
        writer.put(&[0; 8]);
        writer
    }

    pub(super) fn question(&mut self, name: Node, kind: u16, class: u16) {
        self.entry(Section::Question, name, kind, class);
    }

    /// Begins a record, whose data follows. Returns its position for [`end`](Self::end).
    pub(super) fn begin(&mut self, section: Section, name: Node, kind: u16, class: u16, ttl: u32) -> usize {
        self.entry(section, name, kind, class);
        self.put(&ttl.to_be_bytes());
        self.put(&[0; 2]);
        self.len
    }

    /// Ends a record.
    pub(super) fn end(&mut self, at: usize) {
        let len = self.len.saturating_sub(at) as u16;
        self.set(at.saturating_sub(2), len);
    }

    fn entry(&mut self, section: Section, name: Node, kind: u16, class: u16) {
        if let Some(count) = self.counts.get_mut(section as usize) {
            *count += 1;
        }
        self.name(name);
        self.put(&kind.to_be_bytes());
        self.put(&class.to_be_bytes());
    }

    /// Writes a name, its end as a pointer if that was written before.
    pub(super) fn name(&mut self, name: Node) {
        let mut next = Some(name);
        while let Some(node) = next {
            let Some(offset) = self.offsets.get_mut(node as usize) else { return };
            if *offset > 0 {
                let pointer = 0xc000 | *offset;
                return self.put(&pointer.to_be_bytes());
            }
            *offset = self.len as u16;
            // The names outlive the writer.
            let names = self.names;
            let label = names.label(node);
            self.put(&[label.len() as u8]);
            self.put(label);
            next = node.parent();
        }
        self.put(&[0]);
    }

    pub(super) fn put(&mut self, bytes: &[u8]) {
        let end = self.len + bytes.len();
        match self.buffer.get_mut(self.len..end) {
            Some(room) => room.copy_from_slice(bytes),
            None => crate::internal_error!("message of multicast DNS of {} bytes or more", end),
        }
        self.len = end;
    }

    fn set(&mut self, at: usize, value: u16) {
        if let Some(room) = self.buffer.get_mut(at..at + 2) {
            room.copy_from_slice(&value.to_be_bytes());
        }
    }

    /// Completes the header and returns the length of the message, or 0 if it has no room.
    pub(super) fn finish(mut self) -> usize {
        for (index, count) in self.counts.into_iter().enumerate() {
            self.set(4 + 2 * index, count);
        }
        if self.len <= self.buffer.len() { self.len } else { 0 }
    }
}
