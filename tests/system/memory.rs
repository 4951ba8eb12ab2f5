//! Memory with every slot in use, compared with the bound of `friendlet check`.

use std::io::Write;
use std::time::Duration;

use friendlet::connection::RECEIVE_BYTES;
use friendlet::limits::{CHUNK_SETS, MESSAGE_BYTES, SESSIONS, SLOTS};
use friendlet::net::tls::TLS_HANDSHAKE_BYTES;

use crate::support::device::{ADMIN, shell};
use crate::support::http::session_of;
use crate::support::memory::{assert_bound_holds, bound, taken};
use crate::support::stream::Stream;
use crate::support::wait::until;
use crate::support::ws::{CONTINUATION, Frame, Socket, TEXT, request};
use crate::support::{Device, Server, process};

const OK: &str = r#"{ "Status": "ok"}"#;

/// Has a reply sent that is cut into chunks, so that the whole send buffer and a set are in use.
fn receive_a_long_reply(socket: &mut Socket) {
    socket.send(&request("r", "services/tool/command", r#"{"cmd":"say"}"#, ADMIN));
    loop {
        let text = socket.reply();
        if !text.contains(r#""total":"2","part":"0""#) {
            return assert!(text.len() > 1000, "{text}");
        }
    }
}

/// Sends two parts of three.
fn begin_a_chunked_message(socket: &mut Socket) {
    for part in 0..2 {
        let data = "A".repeat(60_000);
        socket.send(&format!(
            r#"{{"type":"con","data":{{"type":"chunk","data":{{"id":"c","part":{part},"total":3,"data":"{data}"}}}}}}"#
        ));
    }
}

/// Sends a message up to its limit and leaves its end out.
fn begin_a_long_message(socket: &mut Socket) {
    let pieces = ["[".repeat(MESSAGE_BYTES / 2), "[".repeat(MESSAGE_BYTES / 2 - 16)];
    for (piece, opcode) in pieces.into_iter().zip([TEXT, CONTINUATION]) {
        socket.send_frame(&Frame { fin: false, ..Frame::new(opcode, piece) });
    }
}

/// Ends that message, and calls without reading until no more is taken.
fn stuff(socket: &mut Socket) {
    let tcp = socket.stream().socket();
    tcp.set_write_timeout(Some(Duration::from_millis(50))).unwrap();
    socket.send_frame(&Frame::new(CONTINUATION, "["));
    socket.send_raw(&Frame::new(TEXT, request("r", "services/list", "{}", ADMIN)).bytes().repeat(2000));
}

fn holds_its_bound(device: Device) {
    let quotes = r#"say = ["/bin/sh", "-c", "head -c 32768 /dev/zero | tr '\\0' '\"'"]"#;
    let tool = shell("tool", "exec sleep 1000", &format!("[service.commands]\n{quotes}"));
    let talker = shell("talker", "head -c 100000 /dev/zero; exec sleep 1000", "autostart = true");
    let server = Server::start(&device.with(&(tool + &talker)));
    let bound = bound(&server);
    let taken = || taken(&server);
    let idle = taken();

    for number in 0..SESSIONS {
        let form = format!("username=fadmin&password=secret&deviceid=device-{number}");
        assert!(session_of(&server.post("/system.library/login", &form).body).is_some());
    }
    let slots = (0..SLOTS).map(|_| server.administrator());
    let mut sockets: Vec<Socket> = slots.collect::<Result<_, _>>().unwrap();
    sockets.iter_mut().for_each(begin_a_long_message);
    // Each has its receive buffer full; that of what is sent may have gone back to the system.
    let buffers = (SLOTS * RECEIVE_BYTES) as u64;
    until("every message is there", || taken() > buffers / 10 * 9);
    // An overflow slot still answers.
    assert_eq!(server.call("services/tool/start"), OK);
    let full = taken();
    // Then both buffers of each, one after the other: the first to be filled do not rest before the last.
    for (number, socket) in sockets.iter_mut().enumerate() {
        socket.send_frame(&Frame::new(CONTINUATION, "["));
        socket.reply();
        receive_a_long_reply(socket);
        // A long reply takes a set, so these are the last to be full.
        if number >= SLOTS - CHUNK_SETS {
            begin_a_chunked_message(socket);
        }
        begin_a_long_message(socket);
        stuff(socket);
    }
    let stuffed = taken();
    let stack = process::status(server.pid(), "VmStk");
    println!(
        "tls {}: {idle} bytes idle, {full} full, {stuffed} stuffed; bound {bound}; stack {stack} kB",
        server.is_tls()
    );
    assert!(stuffed <= bound, "{stuffed} bytes are taken where {bound} were reported");
    // A bound far above what can be taken would say nothing.
    assert!(bound <= stuffed / 10 * 13, "{bound} bytes were reported where {stuffed} are taken");
}

#[test]
fn server_at_capacity_is_within_the_bound_of_check() {
    holds_its_bound(Device::plain());
}

#[test]
fn server_at_capacity_with_tls_is_within_the_bound_of_check() {
    holds_its_bound(Device::new());
}

/// The start of a handshake message, as much of it as is taken.
fn long_hello() -> Vec<u8> {
    let length = TLS_HANDSHAKE_BYTES - 5;
    let mut record = vec![0x16, 3, 1, (length >> 8) as u8, length as u8, 1, 0, 0x1f, 0xff];
    record.resize(TLS_HANDSHAKE_BYTES - 1, 0);
    record
}

#[test]
fn endless_handshakes_are_within_the_bound_of_check() {
    let server = Server::start(&Device::new());
    let idle = taken(&server);
    let hello = long_hello();
    let clients: Vec<Stream> = (0..SLOTS)
        .map(|_| {
            let mut stream = Stream::plain(server.address());
            stream.write_all(&hello).unwrap();
            stream
        })
        .collect();
    until("every handshake is there", || taken(&server) > idle + (SLOTS * TLS_HANDSHAKE_BYTES) as u64);
    drop(clients);
    assert_bound_holds(&server, "handshakes that do not end");
}
