//! The vectors of `tests/vectors`: each request of the protocol's description, with its exact answer.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::time::Instant;
use std::{env, fs};

use base64::prelude::{BASE64_STANDARD as BASE64, Engine as _};
use friendlet::api::CALLS;
use friendlet::api::calls::NAME;
use friendlet::limits;

use crate::support::device::{ADMIN, GUEST, SECOND, service, token, user};
use crate::support::guest::program;
use crate::support::http::exchange;
use crate::support::stream::ReadOutcome;
use crate::support::wait::SOON;
use crate::support::ws::Socket;
use crate::support::{Device, Server};

/// Size of a chunk in the desktop's script.
const PIECE_CHARACTERS: usize = 65023;
/// Smallest size of a message that the script sends in chunks.
const CHUNKED_BYTES: usize = 65535;

/// One entry of `index.toml`.
#[derive(Debug)]
struct Vector {
    name: String,
    on: String,
    before: Vec<String>,
    is_chunked: bool,
    input: String,
    /// None where nothing is answered.
    output: Option<String>,
}

fn directory() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/vectors")
}

fn vectors() -> Vec<Vector> {
    let index = fs::read_to_string(directory().join("index.toml")).unwrap();
    let index: toml::Table = index.parse().unwrap();
    let entries = index["vector"].as_array().unwrap();
    entries.iter().map(|entry| vector(entry.as_table().unwrap())).collect()
}

fn vector(entry: &toml::Table) -> Vector {
    for key in entry.keys() {
        assert!(["name", "about", "on", "before", "chunked"].contains(&key.as_str()), "index.toml: {key}");
    }
    let text = |key: &str| entry[key].as_str().unwrap().to_owned();
    let name = text("name");
    let before = entry.get("before").map(|names| names.as_array().unwrap().as_slice()).unwrap_or_default();
    Vector {
        on: text("on"),
        before: before.iter().map(|name| name.as_str().unwrap().to_owned()).collect(),
        is_chunked: entry.get("chunked").is_some_and(|chunked| chunked.as_bool().unwrap()),
        input: fs::read_to_string(directory().join(format!("{name}.in"))).unwrap(),
        output: fs::read_to_string(directory().join(format!("{name}.out"))).ok().map(|output| {
            output
                .replace("{BOARD}", limits::BOARD)
                .replace("{VERSION}", env!("CARGO_PKG_VERSION"))
                .replace("{PROGRAM}", program())
        }),
        name,
    }
}

fn device(tls: bool) -> Device {
    let tables = [
        user("fadmin", "admin", "secret", "full_name = \"Friend Administrator\""),
        user("guest", "user", "guest", ""),
        token("fadmin", ADMIN),
        token("fadmin", SECOND),
        token("guest", GUEST),
        service("hello", &[env!("CARGO_BIN_EXE_friendlet"), "hello"], ""),
    ];
    Device { tls, tables: tables.concat(), ..Device::new() }
}

/// Wildcards of a `NAME.out` for unknown digits, each with the numbers of digits that it may stand for.
const WILDCARDS: [(&str, &str, usize, usize); 8] = [
    // The server of a board writes defmt, the one beside these tests text.
    ("{FORM}", "defmtx", 4, 5),
    ("{SESSION}", "0123456789abcdef", 40, 40),
    ("{BUILD}", "0123456789abcdef", 0, 64),
    // What the kernel has of it.
    ("{SANDBOX}", "abcdefghijklmnopqrstuvwxyz, ", 0, 64),
    // Those of the machine.
    ("{NAMES}", "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789.:-_, ", 0, 512),
    ("{NUMBER}", "0123456789", 1, 20),
    // Checksum of the configuration file.
    ("{SUM}", "0123456789abcdef", 16, 16),
    ("{BASE64}", "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/=", 0, 8192),
];

/// Returns whether `seen` matches `wanted` with its wildcards.
fn is_match(seen: &str, wanted: &str) -> bool {
    let next = WILDCARDS.iter().filter_map(|wildcard| Some((wanted.find(wildcard.0)?, wildcard)));
    let Some((at, (name, digits, least, most))) = next.min_by_key(|(at, _)| *at) else {
        return seen == wanted;
    };
    let (Some(rest), wanted) = (seen.strip_prefix(&wanted[..at]), &wanted[at + name.len()..]) else {
        return false;
    };
    let length = rest.chars().take_while(|c| digits.contains(*c)).count().min(*most);
    length >= *least && is_match(&rest[length..], wanted)
}

/// Sends a message in chunks, as the desktop does.
fn send_chunked(socket: &mut Socket, message: &str) {
    let room = CHUNKED_BYTES - message.len();
    let text = BASE64.encode(message.replace("{FILLER}", &"x".repeat(room)).as_bytes());
    let pieces: Vec<&[u8]> = text.as_bytes().chunks(PIECE_CHARACTERS).collect();
    assert!(pieces.len() > 1, "the message is too short for chunks");
    for (part, piece) in pieces.iter().enumerate() {
        let (total, piece) = (pieces.len(), std::str::from_utf8(piece).unwrap());
        socket.send(&format!(
            r#"{{"type":"con","data":{{"type":"chunk","data":{{"id":"chunks-wqo4s196-bbef2yez-7c3yytmx-hk","part":{part},"total":{total},"data":"{piece}"}}}}}}"#
        ));
    }
}

fn exchange_message(socket: &mut Socket, vector: &Vector) -> Result<(), String> {
    if vector.is_chunked {
        send_chunked(socket, &vector.input);
    } else {
        socket.send(&vector.input);
    }
    match &vector.output {
        None => socket.expect_nothing(),
        Some(wanted) => {
            let seen = socket.reply();
            if !is_match(&seen, wanted) {
                return Err(format!("{}:\n  answered {seen:?}\n  wanted   {wanted:?}", vector.name));
            }
        }
    }
    Ok(())
}

/// Sends the bytes and reads to the end, or to the end of the head.
fn exchange_bytes(server: &Server, vector: &Vector) -> Result<(), String> {
    let scheme = if server.is_tls() { "https" } else { "http" };
    // The port is the server's own, and a browser names it in both headers.
    let request = vector
        .input
        .replace("{ORIGIN}", &format!("{scheme}://{}", server.address()))
        .replace("127.0.0.1:6500", &server.address().to_string());
    let mut stream = server.connect();
    let seen = if vector.on == "upgrade" {
        std::io::Write::write_all(&mut stream, request.as_bytes()).unwrap();
        let mut seen = Vec::new();
        let start = Instant::now();
        while !seen.ends_with(b"\r\n\r\n") && start.elapsed() < SOON {
            if stream.read_some(&mut seen, SOON).unwrap() == ReadOutcome::End {
                break;
            }
        }
        seen
    } else {
        if request.is_empty() {
            stream.end_writing();
        }
        exchange(stream, request.as_bytes())
    };
    let (seen, wanted) = (String::from_utf8(seen).unwrap(), vector.output.as_deref().unwrap());
    if is_match(&seen, wanted) {
        Ok(())
    } else {
        Err(format!("{}:\n  answered {seen:?}\n  wanted   {wanted:?}", vector.name))
    }
}

fn check_all(tls: bool) {
    let vectors = vectors();
    let mut wrong = Vec::new();
    for vector in &vectors {
        let server = Server::start(&device(tls));
        let outcome = match vector.on.as_str() {
            "http" | "upgrade" => exchange_bytes(&server, vector),
            "socket" => {
                let mut socket = server.socket();
                let named = |name: &String| vectors.iter().find(|vector| vector.name == *name).unwrap();
                let before: Result<(), String> =
                    vector.before.iter().try_for_each(|name| exchange_message(&mut socket, named(name)));
                before.and_then(|()| exchange_message(&mut socket, vector))
            }
            other => panic!("{}: on = {other}", vector.name),
        };
        wrong.extend(outcome.err());
    }
    assert!(wrong.is_empty(), "{} of {} differ:\n{}", wrong.len(), vectors.len(), wrong.join("\n"));
}

#[test]
fn over_plain_text() {
    check_all(false);
}

#[test]
fn over_tls() {
    check_all(true);
}

#[test]
fn the_index_names_every_file() {
    let named: BTreeSet<String> = vectors().into_iter().map(|vector| vector.name).collect();
    let mut files = BTreeSet::new();
    for entry in fs::read_dir(directory()).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|extension| extension == "in" || extension == "out") {
            files.insert(path.file_stem().unwrap().to_string_lossy().into_owned());
        }
    }
    assert_eq!(named, files);
}

#[test]
fn each_call_has_a_vector_in_each_form() {
    let vectors = vectors();
    let mut missing = Vec::new();
    for row in CALLS {
        let with_name = row.path.join("/").replace(NAME, "hello");
        let without_name =
            row.path.iter().filter(|segment| **segment != NAME).copied().collect::<Vec<_>>().join("/");
        for form in ["frame-", "envelope-", "http-"] {
            let calls = |vector: &&Vector| {
                [&with_name, &without_name].iter().any(|path| {
                    let path = format!("system.library/{path}");
                    let mut after =
                        vector.input.match_indices(&path).map(|(at, _)| &vector.input[at + path.len()..]);
                    after.any(|after| after.starts_with(['"', '?', ' ']))
                })
            };
            if !vectors.iter().filter(|vector| vector.name.starts_with(form)).any(|vector| calls(&vector)) {
                missing.push(format!("{form}: {with_name}"));
            }
        }
    }
    assert!(missing.is_empty(), "calls without a vector:\n{}", missing.join("\n"));
}

#[test]
fn a_wrong_answer_differs() {
    let session = "0123456789abcdef0123456789abcdef01234567";
    assert!(is_match("{ ok}", "{ ok}") && !is_match("{ ok} ", "{ ok}") && !is_match("{ok}", "{ ok}"));
    assert!(is_match(&format!("a{session}b"), "a{SESSION}b"));
    assert!(is_match(&format!("{session}{session}"), "{SESSION}{SESSION}"));
    assert!(!is_match(&format!("a{session}"), "a{SESSION}b"));
    assert!(!is_match("a0123b", "a{SESSION}b"));
    let wanted = "{NUMBER}z{BUILD}z";
    assert!(is_match("12z0fz", wanted) && is_match("1zz", wanted));
    assert!(!is_match("z0fz", wanted) && !is_match("1z0xz", wanted));
    assert!(!is_match(&format!("a{}b", "G".repeat(40)), "a{SESSION}b"));
}
