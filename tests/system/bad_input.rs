//! Malformed input of a socket.

use base64::prelude::{BASE64_STANDARD as BASE64, Engine as _};
use friendlet::limits::{JSON_DEPTH, MESSAGE_BYTES, PARAMETERS, PATH_BYTES, REQUEST_ID_BYTES};

use crate::support::device::ADMIN;
use crate::support::wait::SOON;
use crate::support::ws::{
    BINARY, CLOSE, CONTINUATION, Event, Frame, NOT_A_FRAME, PING, PONG, Socket, TEXT, request,
};
use crate::support::{Device, Server};

/// The answer to a broken envelope.
fn error(id: &str) -> String {
    format!(r#"{{"type":"msg","data":{{"type":"error","data":{{"requestid":"{id}"}}}}}}"#)
}

#[track_caller]
fn still_served(socket: &mut Socket) {
    let answer = socket.call(&request("still", "services/list", "{}", ADMIN));
    assert!(answer.contains(r#""requestid":"still","data":{ "Services": "#), "{answer}");
}

#[test]
fn broken_frames_are_answered_and_the_socket_stays_open() {
    let server = Server::start(&Device::new());
    let mut socket = server.bound(ADMIN);
    let start = |kind: &str, length: &str| {
        format!(
            r#"<!--"{kind}"--"{length}"--"system.library/services/hello/start"-->{{"sessionid":"{ADMIN}"}}<--!>"#
        )
    };
    let broken = [
        start("MSG", "0"),
        start("MSG", "-1"),
        start("MSG", "many"),
        start("MSG", ""),
        start("MSG", "0x10"),
        start("STR", "81"),
        start("msg", "81"),
        start("", "81"),
        r#"<!--"MSG"--"81"--"system.library/services/hello/start"--"#.to_owned(),
        r#"<!--"MSG"--"81"-->{}<--!> and more than 16 bytes"#.to_owned(),
        r#"x"MSG"y"99"z"system.library/services/hello/start">{}"#.to_owned(),
        r#"<!--"MSG"--"20"--"system.library/services/hello/start"-->{"a":}<--!>"#.to_owned(),
        r#"<!--"MSG"--"20"--"system.library/services/hello/start"-->{"a":"b"<--!>"#.to_owned(),
        r#"<!--"CON"--"0"--"unended"#.to_owned(),
        "<".repeat(1000),
        "sixteen bytes ..".to_owned(),
    ];
    for message in &broken {
        assert_eq!(socket.call(message), NOT_A_FRAME, "{message}");
    }
    still_served(&mut socket);
    let list = server.call("services/list");
    assert!(list.contains(r#"{ "Name": "hello" , "Status": "stopped" ,"#), "nothing was started: {list}");
}

#[test]
fn broken_envelopes_are_answered_and_the_socket_stays_open() {
    let server = Server::start(&Device::new());
    let mut socket = server.bound(ADMIN);
    let call = |data: &str| {
        format!(
            r#"{{"type":"msg","data":{{"type":"request","requestid":"r1","path":"system.library/services/hello/start",{data}}}}}"#
        )
    };
    let deep = format!(
        r#""data":{}{}"#,
        "{\"a\":".repeat(JSON_DEPTH + 1),
        "1".to_owned() + &"}".repeat(JSON_DEPTH + 1)
    );
    let deep_list = format!(r#""data":{}{}"#, "[".repeat(20_000), "]".repeat(20_000));
    let many: Vec<String> = (0..=PARAMETERS).map(|number| format!(r#""p{number}":1"#)).collect();
    let broken = [
        (r#"{"type":"msg",,"requestid":"r1""#.to_owned(), "r1"),
        (call(r#""data":{"a":1,"a":2}"#), "r1"),
        (call(r#""type":"request""#), "r1"),
        (call(&deep), "r1"),
        (call(&deep_list), "r1"),
        (call(&format!(r#""data":{{{}}}"#, many.join(","))), "r1"),
        (call(r#""data":{"a":"\ud800"}"#), "r1"),
        (call(r#""data":{"a":01}"#), "r1"),
        (call(r#""data":{"a":"#), "r1"),
        (call("\"data\":{\"a\":\"\u{1}\"}"), "r1"),
        (r#"{"type":"msg","data":{"type":"request","requestid":"r1"}}"#.to_owned(), "r1"),
        (r#"{"type":"msg","data":{"type":"request","requestid":"r1","path":7}}"#.to_owned(), "r1"),
        (r#"{"type":"msg","data":{"type":"shout","requestid":"r1"}}"#.to_owned(), "r1"),
        (r#"{"type":"other","data":{"requestid":"r1"}}"#.to_owned(), "r1"),
        (r#"{"type":7,"data":{}}"#.to_owned(), "(null)"),
        (r#"{"type":"msg"}"#.to_owned(), "(null)"),
        (r#"{"type":"msg","data":[]}"#.to_owned(), "(null)"),
        (r#"{"type":"con","data":{"sessionId":[]}}"#.to_owned(), "(null)"),
        ("{".to_owned(), "(null)"),
        ("{}".to_owned(), "(null)"),
        ("{\"a\":".repeat(5000), "(null)"),
    ];
    for (message, id) in &broken {
        assert_eq!(socket.call(message), error(id), "{}", message.get(..200).unwrap_or(message));
    }
    still_served(&mut socket);
    let list = server.call("services/list");
    assert!(list.contains(r#"{ "Name": "hello" , "Status": "stopped" ,"#), "nothing was started: {list}");
}

#[test]
fn messages_up_to_their_limits_are_accepted_and_over_them_refused() {
    let server = Server::start(&Device::plain());
    let mut socket = server.bound(ADMIN);
    let met = "i".repeat(REQUEST_ID_BYTES);
    assert!(socket.call(&request(&met, "services/list", "{}", ADMIN)).contains(&met));
    let over = "i".repeat(REQUEST_ID_BYTES + 1);
    assert!(socket.call(&request(&over, "services/list", "{}", ADMIN)).contains(r#""type":"error""#));

    let prefix = "system.library/".len();
    let met = request("r", &"p".repeat(PATH_BYTES - prefix), "{}", ADMIN);
    assert!(socket.call(&met).contains(r#"\"code\":\"1\""#));
    let over = request("r", &"p".repeat(PATH_BYTES - prefix + 1), "{}", ADMIN);
    assert_eq!(socket.call(&over), error("r"));

    let whole = |length: usize| {
        let empty = request("r", "services/list", r#"{"f":""}"#, ADMIN);
        empty.replace(r#""f":"""#, &format!(r#""f":"{}""#, "x".repeat(length - empty.len())))
    };
    let met = whole(MESSAGE_BYTES);
    assert_eq!(met.len(), MESSAGE_BYTES);
    assert!(socket.call(&met).contains("Services"));
    socket.send(&whole(MESSAGE_BYTES + 1));
    socket.expect_close(1009, SOON);
}

#[test]
fn violations_of_rfc_6455_close_the_socket() {
    let server = Server::start(&Device::new());
    let text = |payload: &[u8]| Frame::new(TEXT, payload);
    let unmasked = Frame { masked: false, ..text(b"hello") };
    let reserved = |bits: u8| Frame { reserved: bits, ..text(b"hello") };
    let unfinished = |opcode: u8, payload: &[u8]| Frame { fin: false, ..Frame::new(opcode, payload) };
    let cases: Vec<(&str, Vec<Frame>, u16)> = vec![
        ("unmasked", vec![unmasked], 1002),
        ("reserved bit 1", vec![reserved(0x40)], 1002),
        ("reserved bit 2", vec![reserved(0x20)], 1002),
        ("reserved bit 3", vec![reserved(0x10)], 1002),
        ("opcode 3", vec![Frame::new(3, "x")], 1002),
        ("opcode 11", vec![Frame::new(11, "x")], 1002),
        ("a long ping", vec![Frame::new(PING, [0; 126])], 1002),
        ("a ping in pieces", vec![unfinished(PING, b"x")], 1002),
        ("a continuation of nothing", vec![Frame::new(CONTINUATION, "x")], 1002),
        ("a text within a text", vec![unfinished(TEXT, b"a"), text(b"b")], 1002),
        ("a close of one byte", vec![Frame::new(CLOSE, [3])], 1002),
        ("close code 999", vec![Frame::new(CLOSE, 999u16.to_be_bytes())], 1002),
        ("close code 1005", vec![Frame::new(CLOSE, 1005u16.to_be_bytes())], 1002),
        ("a close reason that is not text", vec![Frame::new(CLOSE, [3, 0xe8, 0xff])], 1007),
        ("binary", vec![Frame::new(BINARY, "x")], 1003),
        ("bad UTF-8", vec![text(b"\xff\xfe and some")], 1007),
        ("UTF-8 cut at the end", vec![text(b"sixteen bytes ..\xc3")], 1007),
        (
            "bad UTF-8 over two frames",
            vec![unfinished(TEXT, b"a\xc3"), Frame::new(CONTINUATION, b"\xc3")],
            1007,
        ),
        ("a surrogate", vec![text(b"\xed\xa0\x80")], 1007),
    ];
    for (what, frames, code) in cases {
        let mut socket = server.bound(ADMIN);
        for frame in &frames {
            socket.send_frame(frame);
        }
        let closed =
            std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| socket.expect_close(code, SOON)));
        assert!(closed.is_ok(), "{what}");
    }
}

#[test]
fn length_over_the_limit_is_refused_before_the_payload() {
    let server = Server::start(&Device::plain());
    for length in [MESSAGE_BYTES as u64 + 1, 1 << 40, u64::MAX >> 1] {
        let mut socket = server.bound(ADMIN);
        let mut header = vec![0x81, 0xff];
        header.extend(length.to_be_bytes());
        header.extend([0; 4]);
        socket.send_raw(&header);
        socket.expect_close(1009, SOON);
    }
    // The top bit must be clear.
    let mut socket = server.bound(ADMIN);
    socket.send_raw(&[0x81, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0]);
    match socket.receive(SOON) {
        Some(Event::Close(code)) => assert!([1002, 1009].contains(&code), "{code}"),
        other => panic!("{other:?}"),
    }
}

#[test]
fn longer_form_of_a_length_is_accepted() {
    let server = Server::start(&Device::plain());
    let mut socket = server.bound(ADMIN);
    // 126 and 127 forms of short lengths are against the RFC's "minimal", which many receivers let
    // pass: what counts is that nothing breaks.
    socket.send_raw(&[0x89, 0xfe, 0, 1, 0, 0, 0, 0, b'x']);
    assert!(matches!(socket.receive(SOON), Some(Event::Pong(_) | Event::Close(1002))));
}

#[test]
fn fragments_and_control_frames_between_them_are_one_message() {
    let server = Server::start(&Device::new());
    let mut socket = server.bound(ADMIN);
    let message = request("r\u{e9}", "services/list", "{}", ADMIN);
    let pieces: Vec<&[u8]> = message.as_bytes().chunks(3).collect();
    for (number, piece) in pieces.iter().enumerate() {
        let opcode = if number == 0 { TEXT } else { CONTINUATION };
        socket.send_frame(&Frame { fin: number + 1 == pieces.len(), ..Frame::new(opcode, *piece) });
        if number % 10 == 5 {
            socket.send_frame(&Frame::new(PING, format!("ping {number}")));
            let pong = format!("ping {number}").into_bytes();
            assert_eq!(socket.receive(SOON), Some(Event::Pong(pong)));
        }
    }
    assert!(socket.reply().contains(r#""requestid":"ré""#));
    socket.send_frame(&Frame::new(PONG, "unasked"));
    still_served(&mut socket);
}

#[test]
fn a_close_is_answered_with_its_code() {
    let server = Server::start(&Device::new());
    for (payload, code) in
        [(&b""[..], 1005), (&[3, 0xe8], 1000), (&[3, 0xe9, b'b', b'y', b'e'], 1001), (&[0x0f, 0xa0], 4000)]
    {
        let mut socket = server.bound(ADMIN);
        socket.send_frame(&Frame::new(CLOSE, payload));
        match socket.receive(SOON) {
            Some(Event::Close(seen)) => assert!(seen == code || seen == 1000, "{code}: {seen}"),
            other => panic!("{other:?}"),
        }
        assert_eq!(socket.receive(SOON), Some(Event::End));
    }
}

#[test]
fn chunks_that_do_not_fit_together_are_refused() {
    let server = Server::start(&Device::plain());
    let mut socket = server.bound(ADMIN);
    let chunk = |id: &str, part: &str, total: &str, data: &str| {
        format!(
            r#"{{"type":"con","data":{{"type":"chunk","data":{{"id":"{id}","part":{part},"total":{total},"data":"{data}"}}}}}}"#
        )
    };
    let piece = "A".repeat(40_000);
    for messages in [
        vec![chunk("a", "2", "2", "AAAA")],
        vec![chunk("b", "0", "0", "AAAA")],
        vec![chunk("c", "0", "1000000", "AAAA")],
        vec![chunk("d", "0", "2", "AAAA"), chunk("d", "0", "2", "AAAA")],
        vec![chunk("e", "0", "2", "AAAA"), chunk("e", "1", "3", "AAAA")],
        vec![chunk("", "0", "2", "AAAA")],
        vec![chunk(&"i".repeat(400), "0", "2", "AAAA")],
        vec![chunk("f", "-1", "2", "AAAA")],
        vec![chunk("g", "0", "1", "not base64!")],
        (0..8).map(|part| chunk("h", &part.to_string(), "8", &piece)).collect(),
    ] {
        for message in &messages {
            socket.send(message);
        }
        let answer = socket.reply();
        assert!(answer.contains(r#""type":"error""#), "{answer}");
        // Parts of a set that is gone may begin another one; nothing of it may stay.
        let mut other = server.bound(ADMIN);
        still_served(&mut other);
        socket = server.bound(ADMIN);
    }
}

#[test]
fn unfinished_chunk_sets_do_not_block_other_clients() {
    let server = Server::start(&Device::plain());
    // Every set of the server, and more, is begun by sockets that then go.
    for number in 0..friendlet::limits::CHUNK_SETS * 3 {
        let mut socket = server.bound(ADMIN);
        socket.send(&format!(
            r#"{{"type":"con","data":{{"type":"chunk","data":{{"id":"set{number}","part":0,"total":2,"data":"AAAA"}}}}}}"#
        ));
        still_served(&mut socket);
    }
    let message = request("r", "services/list", "{}", ADMIN);
    let text = BASE64.encode(message.as_bytes());
    let (first, second) = text.split_at(text.len() / 2 / 4 * 4);
    let mut socket = server.bound(ADMIN);
    for (part, piece) in [first, second].iter().enumerate() {
        socket.send(&format!(
            r#"{{"type":"con","data":{{"type":"chunk","data":{{"id":"good","part":{part},"total":2,"data":"{piece}"}}}}}}"#
        ));
    }
    assert!(socket.reply().contains("Services"));
}
