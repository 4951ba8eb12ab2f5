//! The limit: an echo of WebSocket texts on bare epoll, one thread, no TLS.
//!
//! It does what no server can do without: wait, read, look at the frame's header, unmask, write. It
//! checks nothing that an honest client does right, and takes frames of up to 64 KiB.

use std::collections::HashMap;
use std::io::ErrorKind;
use std::net::TcpListener;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};

use data_encoding::BASE64;
use peers::{Arguments, Error, report_address};
use ring::digest;
use rustix::buffer::spare_capacity;
use rustix::event::epoll::{self, CreateFlags, EventData, EventFlags};
use rustix::net::{RecvFlags, SendFlags, SocketFlags, accept_with, recv, send, sockopt};

const GUID: &[u8] = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11";
/// Most connections at once.
const CONNECTIONS: usize = 2048;
/// Read at once; a connection keeps what is left of a frame, and seldom has anything.
const BUFFER_BYTES: usize = 128 * 1024;

struct Connection {
    socket: OwnedFd,
    is_open: bool,
    /// Received part of a frame or a head that is not complete yet.
    rest: Vec<u8>,
}

fn main() -> Result<(), Error> {
    let arguments = Arguments::read()?;
    if arguments.tls.is_some() {
        return Err("TLS is not supported".into());
    }
    let listener = TcpListener::bind(arguments.listen)?;
    let epoll = epoll::create(CreateFlags::CLOEXEC)?;
    let own = EventData::new_u64(u64::MAX);
    epoll::add(&epoll, &listener, own, EventFlags::IN)?;
    report_address(listener.local_addr()?)?;

    let mut connections: HashMap<u64, Connection> = HashMap::with_capacity(CONNECTIONS);
    let mut events = Vec::with_capacity(64);
    let mut buffer = vec![0; BUFFER_BYTES];
    let mut out = Vec::with_capacity(BUFFER_BYTES);
    loop {
        events.clear();
        epoll::wait(&epoll, spare_capacity(&mut events), None)?;
        for event in &events {
            let key = event.data.u64();
            if key == u64::MAX {
                let socket = accept_with(&listener, SocketFlags::NONBLOCK | SocketFlags::CLOEXEC)?;
                sockopt::set_tcp_nodelay(&socket, true)?;
                let key = socket.as_fd().as_raw_fd() as u64;
                epoll::add(&epoll, &socket, EventData::new_u64(key), EventFlags::IN)?;
                if connections.len() < CONNECTIONS {
                    connections.insert(key, Connection { socket, is_open: false, rest: Vec::new() });
                }
            } else if let Some(connection) = connections.get_mut(&key)
                && !serve(connection, &mut buffer, &mut out)
            {
                // Closing takes it out of the epoll set, too.
                connections.remove(&key);
            }
        }
    }
}

/// Reads once, answers everything that is whole with one write; false when the connection is over.
fn serve(connection: &mut Connection, buffer: &mut [u8], out: &mut Vec<u8>) -> bool {
    let kept = connection.rest.len();
    buffer[..kept].copy_from_slice(&connection.rest);
    let count = match recv(&connection.socket, &mut buffer[kept..], RecvFlags::empty()) {
        Ok((0, _)) => return false,
        Ok((count, _)) => count,
        Err(error) => return error.kind() == ErrorKind::WouldBlock,
    };
    out.clear();
    let input = &mut buffer[..kept + count];
    let used = if connection.is_open { frames(input, out) } else { connection.upgrade(input, out) };
    let Some(used) = used else { return false };
    if used < input.len() || kept > 0 {
        connection.rest.clear();
        connection.rest.extend_from_slice(&input[used..]);
        if connection.rest.len() > BUFFER_BYTES / 2 {
            return false;
        }
    }
    // What a client does not take at once is more than any of ours leaves unread.
    out.is_empty() || send(&connection.socket, out, SendFlags::NOSIGNAL) == Ok(out.len())
}

impl Connection {
    /// Answers the opening handshake; the bytes used of `input`.
    fn upgrade(&mut self, input: &[u8], out: &mut Vec<u8>) -> Option<usize> {
        let Some(end) = input.windows(4).position(|four| four == b"\r\n\r\n") else { return Some(0) };
        let head = std::str::from_utf8(&input[..end]).ok()?;
        let field = |line: &&str| line.to_ascii_lowercase().starts_with("sec-websocket-key:");
        let key = head.lines().find(field)?.split_once(':')?.1.trim();
        let mut hash = digest::Context::new(&digest::SHA1_FOR_LEGACY_USE_ONLY);
        hash.update(key.as_bytes());
        hash.update(GUID);
        out.extend_from_slice(
            b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: ",
        );
        out.extend_from_slice(BASE64.encode(hash.finish().as_ref()).as_bytes());
        out.extend_from_slice(b"\r\n\r\n");
        self.is_open = true;
        Some(end + 4)
    }
}

/// Answers each whole frame; the bytes used of `input`, or none after a frame that ends it.
fn frames(input: &mut [u8], out: &mut Vec<u8>) -> Option<usize> {
    let mut used = 0;
    loop {
        let frame = &mut input[used..];
        let (length, head) = match frame {
            [_, second, ..] if *second & 0x7f < 126 => (usize::from(*second & 0x7f), 2),
            [_, 0xfe, high, low, ..] => (usize::from(u16::from_be_bytes([*high, *low])), 4),
            [_, 0xff, ..] => return None,
            _ => return Some(used),
        };
        let end = head + 4 + length;
        if frame.len() < end {
            return Some(used);
        }
        let opcode = frame[0] & 0x0f;
        let (mask, payload) = frame[head..end].split_at_mut(4);
        unmask(payload, [mask[0], mask[1], mask[2], mask[3]]);
        if opcode == 8 {
            return None;
        }
        if opcode == 1 {
            out.push(0x81);
            if length < 126 {
                out.push(length as u8);
            } else {
                out.push(126);
                out.extend_from_slice(&(length as u16).to_be_bytes());
            }
            out.extend_from_slice(payload);
        }
        used += end;
    }
}

/// Eight bytes at a time: what is measured against should not be slow.
fn unmask(payload: &mut [u8], mask: [u8; 4]) {
    let [a, b, c, d] = mask;
    let wide = u64::from_ne_bytes([a, b, c, d, a, b, c, d]);
    let (eights, rest) = payload.as_chunks_mut::<8>();
    for eight in eights {
        *eight = (u64::from_ne_bytes(*eight) ^ wide).to_ne_bytes();
    }
    for (byte, mask) in rest.iter_mut().zip(mask.iter().cycle()) {
        *byte ^= mask;
    }
}
