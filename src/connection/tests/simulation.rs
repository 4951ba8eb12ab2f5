//! Simulation: the server under random scripts. Whatever connections do, in whatever order, it keeps its
//! limits and deadlines, and serves on.
//!
//! The fuzz target `server` includes this file, so its imports of the crate are those of its parent.

use core::time::Duration;
use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::OnceLock;

use self::system::System;
use super::friendlet::api::{Api, Board};
use super::friendlet::call::{CommandOutput, Completion, PasswordVerdict};
use super::friendlet::config::{self, Config};
use super::friendlet::connection::{self, End, Finish, Server, ServerConfig, SlotId, State};
use super::friendlet::limits;
use super::friendlet::service::{Exit, ProcessEvent, SpawnError, SpawnStage, Supervisor};
use super::friendlet::session::{Lockout, PasswordHash, SessionTable};

#[path = "simulated_system.rs"]
mod system;

/// Tokens of `admin` and of `anna`; the file has their SHA-256.
const TOKENS: [&str; 2] =
    ["8ed922535bc7cb2de39dc9bdafef502e2e20b986", "0000000000000000000000000000000000000000"];
const FILE: &str = r#"
[limits]
slots = 5
[session]
idle_timeout_s = 60
[[user]]
name = "admin"
level = "admin"
password = "$pbkdf2-sha256$i=1$AAECAwQFBgcICQoLDA0ODw$AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8"
[[user]]
name = "anna"
level = "user"
services = ["hello"]
password = "$pbkdf2-sha256$i=1$AAECAwQFBgcICQoLDA0ODw$AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8"
[[token]]
user = "admin"
sha256 = "3c1254e442cb96265cd08c8e2f9815d224a2de6048292deca9fd6bdf5c0d7d3c"
[[token]]
user = "anna"
sha256 = "9692e67b8378a6f6753f97782d458aa757e947eab2fbdf6b5c187b74561eb78f"
[[service]]
name = "clock"
command = ["/bin/clock"]
restart = "always"
after = ["hello"]
[service.commands]
show = ["/bin/show", "time"]
wind = "USR1"
"#;

/// Longest life of a connection after its peer fell silent: unanswered pings, an unanswered closing frame,
/// an unread last answer.
const SILENCE: Duration = Duration::from_secs(
    crate::ws::PING_INTERVAL.as_secs() * (crate::ws::UNANSWERED_PINGS as u64 + 1)
        + connection::ANSWER_TIMEOUT.as_secs()
        + connection::SEND_TIMEOUT.as_secs()
        + 2 * crate::ws::CLOSE_TIMEOUT.as_secs(),
);

/// Output of a connection, parsed as by its peer.
#[derive(Debug, Default)]
struct Peer {
    /// It is a WebSocket: frames follow the response to the upgrade.
    is_socket: bool,
    unread: Vec<u8>,
    /// A closing frame was received; nothing may follow.
    is_closed: bool,
    /// The peer has sent bytes.
    has_begun: bool,
    /// The peer has ended its side.
    has_ended: bool,
}

impl Peer {
    fn read(&mut self, bytes: &[u8]) {
        self.unread.extend_from_slice(bytes);
        if !self.is_socket && self.unread.starts_with(b"HTTP/1.1 101 ") {
            let Some(at) = self.unread.windows(4).position(|window| window == b"\r\n\r\n") else { return };
            self.unread.drain(..at + 4);
            self.is_socket = true;
        }
        while self.is_socket {
            let Some(length) = frame_length(&self.unread) else { break };
            assert!(length <= limits::SEND_BYTES, "a frame larger than the buffer it was made in");
            if self.unread.len() < length {
                break;
            }
            assert!(!self.is_closed, "a frame follows the closing one");
            let frame: Vec<u8> = self.unread.drain(..length).collect();
            match frame[0] {
                0x81 => {
                    let header = [2, 4, 10][usize::from(frame[1] > 125) + usize::from(frame[1] > 126)];
                    core::str::from_utf8(&frame[header..]).expect("text");
                }
                0x88 => self.is_closed = true,
                0x89 | 0x8A => assert!(frame[1] <= 125),
                first => panic!("a frame that begins with {first:02x}"),
            }
        }
    }
}

fn frame_length(bytes: &[u8]) -> Option<usize> {
    Some(match *bytes.get(1)? {
        126 => 4 + usize::from(u16::from_be_bytes(*bytes.get(2..4)?.first_chunk()?)),
        127 => 10 + u64::from_be_bytes(*bytes.get(2..10)?.first_chunk()?) as usize,
        length @ 0..126 => 2 + usize::from(length),
        _ => panic!("the server masks a frame"),
    })
}

/// Bytes of a script, and zeros after its end.
struct Script<'a> {
    bytes: &'a [u8],
}

impl<'a> Script<'a> {
    fn byte(&mut self) -> u8 {
        let Some((first, rest)) = self.bytes.split_first() else { return 0 };
        self.bytes = rest;
        *first
    }

    fn pick<T: Copy>(&mut self, choices: &[T]) -> T {
        choices[usize::from(self.byte()) % choices.len()]
    }

    fn slice(&mut self) -> &'a [u8] {
        let length = usize::from(self.byte()).min(self.bytes.len());
        let (piece, rest) = self.bytes.split_at(length);
        self.bytes = rest;
        piece
    }
}

struct Fixture {
    server: Server,
    system: System,
    now: Duration,
    /// Connections by the index of their slot.
    peers: BTreeMap<u16, (SlotId, Peer)>,
    /// Ids of connections that are gone.
    gone: Vec<SlotId>,
    is_ending: bool,
}

fn config() -> &'static Config {
    static CONFIG: OnceLock<Config> = OnceLock::new();
    CONFIG.get_or_init(|| {
        config::parse(FILE, "chaos", "/bin/friendlet").unwrap_or_else(|errors| panic!("{errors}"))
    })
}

impl Fixture {
    fn new() -> Self {
        super::friendlet::log::set_level(super::friendlet::log::Level::Off);
        let config = config().clone();
        let mut server = Server::new(ServerConfig {
            slots: config.slots,
            tls: false,
            front: config.listen.front,
            owner: 0,
            api: Api::new(
                config.users,
                config.tokens,
                SessionTable::new(config.idle_timeout, config.lifetime),
                Lockout::new(config.lockout_attempts, config.lockout_time),
                Supervisor::new(config.services),
                Board { notice: "no data".try_into().ok(), ..Board::default() },
            ),
        });
        let mut system = System::default();
        let now = Duration::from_secs(1);
        server.start(now, &mut system);
        Self { server, system, now, peers: BTreeMap::new(), gone: Vec::new(), is_ending: false }
    }

    fn connect(&mut self, source: u8) {
        let peer = match source % 5 {
            // root and a user without a right, at the local socket.
            3 => connection::Peer::Local { uid: 0 },
            4 => connection::Peer::Local { uid: 7 },
            host => connection::Peer::Network(IpAddr::from([192, 0, 2, host])),
        };
        match self.server.claim(peer, self.now) {
            Some(id) => {
                assert!(!self.gone.contains(&id), "a name is used twice");
                let before = self.peers.insert(id.index, (id, Peer::default()));
                assert!(before.is_none(), "a slot with two connections");
            }
            None => assert!(self.is_ending || self.peers.len() == self.server.slots(), "a slot is lost"),
        }
    }

    fn pick(&self, which: u8) -> Option<SlotId> {
        let (id, _) = self.peers.values().nth(usize::from(which) % self.peers.len().max(1))?;
        Some(*id)
    }

    /// Sends bytes as far as the server accepts them. The rest is dropped, as if the script had not sent it.
    fn put(&mut self, id: SlotId, mut bytes: &[u8], piece: usize) {
        if let Some((_, peer)) = self.peers.get_mut(&id.index) {
            peer.has_begun |= !bytes.is_empty();
        }
        while !bytes.is_empty() && self.server.state(id).receives && !self.peers[&id.index].1.has_ended {
            let space = self.server.receive_space(id);
            assert!(!space.is_empty(), "it receives and has no room");
            let count = bytes.len().min(space.len()).min(piece);
            space[..count].copy_from_slice(&bytes[..count]);
            bytes = &bytes[count..];
            self.server.received(id, count, self.now, &mut self.system);
        }
    }

    /// Receives at most `count` bytes.
    fn take(&mut self, id: SlotId, count: usize) {
        if !self.server.state(id).sends {
            return;
        }
        let Some((_, peer)) = self.peers.get_mut(&id.index) else { return };
        let pending = self.server.pending(id);
        assert!(!pending.is_empty() && pending.len() <= limits::SEND_BYTES);
        let count = pending.len().min(count);
        peer.read(&pending[..count]);
        self.server.sent(id, count, self.now, &mut self.system);
    }

    fn pass(&mut self, time: Duration) {
        self.now += time;
        self.server.handle_timeout(self.now, &mut self.system);
        let next = self.server.poll_timeout();
        assert!(next.is_none_or(|next| next > self.now), "what is due stays due: {next:?} at {:?}", self.now);
    }

    fn hang_up(&mut self, id: SlotId, end: End) {
        if let Some((_, peer)) = self.peers.get_mut(&id.index) {
            peer.has_ended = true;
        }
        self.server.handle_end(id, end, self.now, &mut self.system);
    }

    fn release(&mut self, id: SlotId) {
        self.server.release(id);
        self.peers.remove(&id.index);
        self.gone.push(id);
    }

    fn exit(&mut self, which: u8, exit: Exit) {
        if self.system.running.is_empty() {
            return;
        }
        let service = self.system.running.swap_remove(usize::from(which) % self.system.running.len());
        let event = ProcessEvent::Exited { exit, is_gone: true };
        self.server.handle_event(service, event, self.now, &mut self.system);
    }

    /// Reports the result of the oldest write.
    fn written(&mut self) {
        if !self.system.writes.is_empty() {
            let id = self.system.writes.remove(0);
            let completion = Completion::Written(if self.system.refuses { Err(5) } else { Ok(()) });
            self.server.handle_completion(id, completion, self.now, &mut self.system);
        }
    }

    /// Reports the outcome of the oldest start.
    fn spawned(&mut self) {
        if self.system.spawned.is_empty() {
            return;
        }
        let service = self.system.spawned.remove(0);
        let spawned = if self.system.refuses || self.system.running.contains(&service) {
            Err(SpawnError::new(SpawnStage::Resources, 11))
        } else {
            self.system.next_pid += 1;
            self.system.running.push(service);
            Ok(self.system.next_pid)
        };
        self.server.handle_event(service, ProcessEvent::Spawned(spawned), self.now, &mut self.system);
    }

    /// Does the work of the network for connections that have to send or to close.
    fn serve(&mut self, id: SlotId) {
        loop {
            let state = self.server.state(id);
            match state.finish {
                Some(Finish::Abort | Finish::Evict) => return self.release(id),
                Some(Finish::Graceful) if !state.sends => return self.release(id),
                _ if !state.sends => return,
                _ => self.take(id, usize::MAX),
            }
        }
    }

    /// Checks the invariants after every step.
    fn check(&mut self) {
        while self.server.next_wake().is_some() {}
        let System { checks, commands, writes, .. } = &self.system;
        let works = !checks.is_empty() || !commands.is_empty() || !writes.is_empty();
        let waits = works || self.server.is_starting();
        for (id, peer) in self.peers.values() {
            let state = self.server.state(*id);
            let is_open = state.finish.is_none() && !state.sends && !waits && !peer.has_ended;
            assert!(!is_open || state.receives, "nobody will wake it: {peer:?}");
            assert!(state.finish.is_none() || !state.receives);
        }
        for id in self.gone.iter().rev().take(4).copied() {
            let state = self.server.state(id);
            assert!(!state.receives && !state.sends && state.finish == Some(Finish::Abort));
            assert!(self.server.receive_space(id).is_empty() && self.server.pending(id).is_empty());
            self.server.received(id, 1, self.now, &mut self.system);
            self.server.sent(id, 1, self.now, &mut self.system);
            self.server.handle_end(id, End::Eof, self.now, &mut self.system);
        }
    }
}

/// Returns a message in a masked frame.
pub(super) fn frame(first: u8, payload: &[u8], mask: u8) -> Vec<u8> {
    let mut bytes = vec![first];
    match payload.len() {
        length @ 0..=125 => bytes.push(0x80 | length as u8),
        length @ 126..=0xFFFF => {
            bytes.push(0x80 | 126);
            bytes.extend((length as u16).to_be_bytes());
        }
        length => {
            bytes.push(0x80 | 127);
            bytes.extend((length as u64).to_be_bytes());
        }
    }
    bytes.extend([mask; 4]);
    bytes.extend(payload.iter().map(|byte| byte ^ mask));
    bytes
}

fn session(script: &mut Script<'_>) -> String {
    match script.byte() % 8 {
        0..=2 => TOKENS[0].to_owned(),
        3 | 4 => TOKENS[1].to_owned(),
        5 => String::new(),
        // The session of a login of this script, if any.
        _ => format!("{:02x}", script.byte() % 8).repeat(crate::session::SESSION_ID_BYTES / 2),
    }
}

const PATHS: [&str; 23] = [
    "services/start",
    "services/stop",
    "services/restart",
    "services/pause",
    "services/install",
    "services/uninstall",
    "services/list",
    "services/status",
    "services/command",
    "services/getwebgui",
    "services/log",
    "login",
    "validate",
    "user/logout",
    "board/status",
    "board/log",
    "board/reboot",
    "user/updatepassword",
    "sessions/list",
    "sessions/end",
    "services/clock/a/b",
    "services/clock/command",
    "services/clock/command",
];

/// Returns a message, valid most of the time.
fn message(script: &mut Script<'_>) -> Vec<u8> {
    let session = session(script);
    let path = script.pick(&PATHS);
    let service = script.pick(&["hello", "clock", "none"]);
    let user = script.pick(&["admin", "anna", "nobody"]);
    let device = script.byte() % 8;
    let parameters = format!(
        r#""serviceName":"{service}","cmd":"{}","username":"{user}","password":"x-password","oldpassword":"y","deviceid":"{device}""#,
        script.pick(&["show", "show", "wind", "none"]),
    );
    let text = match script.byte() % 12 {
        0 => format!(r#"<!--"CON"--"0"--"{session}"-->"#),
        1 => format!(r#"{{"type":"con","data":{{"sessionId":"{session}"}}}}"#),
        2 => r#"{"type":"con","data":{"type":"ping","data":7}}"#.to_owned(),
        3 | 4 => format!(
            r#"<!--"MSG"--"1"--"system.library/{path}"-->{{{parameters},"sessionid":"{session}"}}<--!>"#
        ),
        5 => format!(
            r#"{{"type":"msg","data":{{"type":"event","path":"system.library/{path}","data":{{{parameters}}},"sessionid":"{session}"}}}}"#
        ),
        6 => {
            let total = script.byte() % 4;
            format!(
                r#"{{"type":"con","data":{{"type":"chunk","data":{{"id":"{}","part":{},"total":{total},"data":"e30="}}}}}}"#,
                script.byte() % 3,
                script.byte() % 4,
            )
        }
        7 => return script.slice().to_vec(),
        8 => "x".repeat(40 * usize::from(script.byte())),
        _ => format!(
            r#"{{"type":"msg","data":{{"type":"request","requestid":"r","path":"system.library/{path}","data":{{{parameters}}},"sessionid":"{session}"}}}}"#
        ),
    };
    text.into_bytes()
}

fn request(script: &mut Script<'_>) -> Vec<u8> {
    let session = session(script);
    let path = script.pick(&PATHS);
    let upgrade = "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
                   Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Protocol: FC-protocol\r\n\r\n";
    match script.byte() % 8 {
        0 | 1 => format!("GET / HTTP/1.1\r\nHost: h\r\n{upgrade}"),
        2 => format!("GET /fcws?sessionid={session} HTTP/1.1\r\nHost: h\r\n{upgrade}"),
        3 => "GET / HTTP/1.1\r\nHost: h\r\n\r\n".to_owned(),
        4 => format!("GET /system.library/{path}?serviceName=clock&cmd=show&sessionid={session} HTTP/1.1\r\nHost: h\r\n\r\n"),
        5 => return script.slice().to_vec(),
        _ => {
            let body = format!(
                "serviceName=clock&cmd=show&sessionid={session}&username={}&password=x-password&deviceid={}",
                script.pick(&["admin", "anna", "nobody"]),
                script.byte() % 8,
            );
            format!(
                "POST /system.library/{path} HTTP/1.1\r\nHost: h\r\nContent-Length: {}\r\n\r\n{body}",
                body.len()
            )
        }
    }
    .into_bytes()
}

fn step(fixture: &mut Fixture, script: &mut Script<'_>) {
    let what = script.byte();
    let id = fixture.pick(script.byte());
    match (what % 26, id) {
        (0 | 1 | 21, _) => fixture.connect(what / 24),
        (2..=6, Some(id)) => {
            let piece = script.pick(&[usize::MAX, usize::MAX, 1, 100]);
            let is_socket = fixture.peers[&id.index].1.is_socket;
            let bytes = if is_socket {
                let mut bytes = Vec::new();
                // Several at once fill the buffers.
                let messages = script.pick(&[1, 1, 1, 2, 40]);
                let text = message(script);
                for _ in 0..messages {
                    bytes.extend(frame(0x81, &text, what));
                }
                bytes
            } else {
                request(script)
            };
            fixture.put(id, &bytes, piece);
            if !is_socket && what < 200 {
                fixture.take(id, usize::MAX);
            }
        }
        (7, Some(id)) => {
            let first = script.pick(&[0x88, 0x89, 0x8A, 0x01, 0x00, 0x80, 0x82, 0x83, 0xC1]);
            let bytes = frame(first, script.slice(), what);
            fixture.put(id, &bytes, usize::MAX);
        }
        (8, Some(id)) => fixture.put(id, script.slice(), 3),
        (9 | 10, Some(id)) => fixture.serve(id),
        (11, Some(id)) => fixture.take(id, 1 + 64 * usize::from(script.byte())),
        (12 | 13, _) => {
            let seconds = script.pick(&[0, 1, 1, 3, 5, 10, 25, 30, 60]);
            fixture.pass(Duration::from_secs(seconds) + Duration::from_millis(250));
        }
        (14, Some(id)) => {
            let end = script.pick(&[End::Eof, End::Eof, End::Broken, End::Tls]);
            fixture.hang_up(id, end);
        }
        (15, Some(id)) if !fixture.peers[&id.index].1.has_begun => {
            fixture.server.handle_plain(id, fixture.now)
        }
        (16 | 17, _) if !fixture.system.checks.is_empty() => {
            let call_id = fixture.system.checks.remove(0);
            let verdict = match what / 24 {
                0..4 => PasswordVerdict::Wrong,
                4..7 => PasswordVerdict::Right,
                _ => PasswordVerdict::Made(PasswordHash::dummy(2)),
            };
            let completion = Completion::Password(verdict);
            fixture.server.handle_completion(call_id, completion, fixture.now, &mut fixture.system);
        }
        (18 | 19, _) if !fixture.system.commands.is_empty() => {
            let call_id = fixture.system.commands.remove(0);
            // One, three or six bytes of JSON each: what fits one message, and what goes in chunks.
            let length = script.pick(&[0, 100, 12_000, limits::COMMAND_OUTPUT_BYTES]);
            let output = vec![script.pick(&[b'x', 0xFF, 1]); length];
            let output = CommandOutput { exit: "0", output: &output, is_cut: false };
            let completion = Completion::Command(output);
            fixture.server.handle_completion(call_id, completion, fixture.now, &mut fixture.system);
        }
        (20, _) => fixture.exit(what, if what > 99 { Exit::Code(0) } else { Exit::signal(15) }),
        (24, _) => fixture.spawned(),
        (25, _) => fixture.written(),
        (22, _) => fixture.system.refuses = what >= 200,
        (23, Some(id)) if what > 180 => fixture.release(id),
        (23, _) if what < 40 => {
            fixture.server.shutdown(fixture.now, &mut fixture.system);
            fixture.is_ending = true;
        }
        _ => {}
    }
    fixture.check();
}

/// Runs a script, and then lets every peer fall silent: no slot may stay in use.
pub(super) fn run(bytes: &[u8]) {
    let mut fixture = Fixture::new();
    let mut script = Script { bytes };
    while !script.bytes.is_empty() {
        step(&mut fixture, &mut script);
    }
    let end = fixture.now + SILENCE;
    while fixture.now < end && !fixture.peers.is_empty() {
        fixture.pass(Duration::from_secs(1));
        let over = |id: &SlotId| match fixture.server.state(*id) {
            State { finish: Some(Finish::Abort | Finish::Evict), .. } => true,
            State { finish: Some(Finish::Graceful), sends, .. } => !sends,
            State { finish: None, .. } => false,
        };
        let over: Vec<SlotId> = fixture.peers.values().map(|(id, _)| *id).filter(over).collect();
        over.into_iter().for_each(|id| fixture.release(id));
        fixture.check();
    }
    assert!(fixture.peers.is_empty(), "a silent peer keeps its slot: {:?}", fixture.peers);
    // It still serves.
    if !fixture.is_ending {
        fixture.connect(0);
        let id = fixture.pick(0).expect("a slot");
        fixture.put(id, b"GET /healthz HTTP/1.1\r\nHost: h\r\n\r\n", usize::MAX);
        fixture.take(id, usize::MAX);
        assert!(fixture.peers[&id.index].1.unread.starts_with(b"HTTP/1.1 200 "));
        fixture.serve(id);
        fixture.server.shutdown(fixture.now, &mut fixture.system);
    }
    // It shuts down in time, with its processes.
    for _ in 0..crate::service::SHUTDOWN_GRACE.as_secs() {
        while !fixture.system.spawned.is_empty() {
            fixture.spawned();
        }
        while !fixture.system.running.is_empty() {
            fixture.exit(0, Exit::signal(15));
        }
        fixture.pass(Duration::from_secs(1));
        fixture.system.refuses = true;
    }
    assert!(fixture.server.is_down());
}

#[cfg(test)]
mod cases {
    use proptest::prelude::*;

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(400))]

        #[test]
        fn invariants_hold_for_any_script(bytes in proptest::collection::vec(any::<u8>(), 0..1500)) {
            super::run(&bytes);
        }
    }
}
