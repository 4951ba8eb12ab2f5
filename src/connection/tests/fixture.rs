//! Fixture: a server with a simulated system and a clock that the test sets.

use core::time::Duration;
use std::net::IpAddr;

use base64::prelude::{BASE64_STANDARD as BASE64, Engine as _};

use crate::api::{Api, Board, Platform, Refused};
use crate::call::{CommandOutput, Completion, ConfigurationWork, LogSource, PasswordVerdict};
use crate::config;
use crate::connection::{End, Peer, Server, ServerConfig, SlotId};
use crate::service::{BoardEnd, Memory};
use crate::service::{
    Exit, Memo, ProcessEvent, Program, START_SETTLE, Scope, ServiceId, Signal, SpawnError, SpawnStage,
    Supervisor, Usage,
};
use crate::session::{
    CANONICAL_PASSWORD_BYTES, ChangedPassword, Lockout, PairedKey, Pairing, PasswordHash, SessionMemo,
    SessionTable, UserId, Users,
};

/// Token of `admin`; the session id of the reference exchange.
pub(super) const ADMIN: &str = "8ed922535bc7cb2de39dc9bdafef502e2e20b986";
/// Token of `anna`, who may control `hello` only.
pub(super) const ANNA: &str = "0000000000000000000000000000000000000000";
/// User ID of the server.
pub(super) const OWNER: u32 = 1000;
const FILE: &str = r#"
[[user]]
name = "admin"
level = "admin"
[[user]]
name = "anna"
level = "user"
services = ["hello"]
[[token]]
user = "admin"
sha256 =
[[token]]
user = "anna"
sha256 =
[[service]]
name = "clock"
command = ["/bin/clock"]
[service.commands]
show = ["/bin/show", "time"]
wind = "USR1"
"#;

#[derive(Default)]
pub(super) struct System {
    pub(super) next_pid: u32,
    pub(super) refuses: Option<i32>,
    /// Outcomes of starts that the server does not know yet.
    pub(super) spawned: Vec<(ServiceId, Result<u32, SpawnError>)>,
    /// Every process so far.
    pub(super) processes: Vec<(ServiceId, u32)>,
    pub(super) signals: Vec<(u32, Signal)>,
    pub(super) checks: Vec<u64>,
    /// Rounds of each check.
    pub(super) rounds: Vec<u32>,
    pub(super) commands: Vec<u64>,
    pub(super) is_full: bool,
    /// Output of every service.
    pub(super) output: String,
    /// Requested changes of passwords: the old one, if it is checked, and the new one.
    pub(super) changes: Vec<(Option<[u8; CANONICAL_PASSWORD_BYTES]>, [u8; CANONICAL_PASSWORD_BYTES])>,
    /// Users with a stored password, and the first byte of each salt.
    pub(super) stored: Vec<(String, u8)>,
    /// Paired keys that were written last.
    pub(super) paired: Vec<PairedKey>,
    /// No write is queued.
    pub(super) refuses_writes: bool,
    /// The system can shut the board down.
    pub(super) ends_board: bool,
    /// Requested shutdowns.
    pub(super) ends: Vec<BoardEnd>,
    /// Number of requested factory resets.
    pub(super) resets: usize,
    pub(super) persisted: Vec<(String, bool)>,
    /// Writes to the disk that have not ended; they fail if `is_full`.
    pub(super) writes: Vec<u64>,
    /// Requested reloads.
    pub(super) reloads: Vec<u64>,
    pub(super) time_of_day: Option<u64>,
    /// Requested work on the configuration file.
    pub(super) configurations: Vec<(u64, ConfigurationWork)>,
}

impl Platform for System {
    fn store_memo(&mut self, _: ServiceId, _: Memo) {}

    fn store_session(&mut self, _: usize, _: &SessionMemo) -> Result<(), Refused> {
        Ok(())
    }

    fn spawn(&mut self, service: ServiceId, _: Program) {
        let spawned = match self.refuses {
            Some(errno) => Err(SpawnError::new(SpawnStage::Program, errno)),
            None => {
                self.next_pid += 1;
                self.processes.push((service, 1233 + self.next_pid));
                Ok(1233 + self.next_pid)
            }
        };
        self.spawned.push((service, spawned));
    }

    fn signal(&mut self, service: ServiceId, signal: Signal, _: Scope) {
        let process = self.processes.iter().rev().find(|(of, _)| *of == service);
        self.signals.push((process.map_or(0, |(_, pid)| *pid), signal));
    }

    fn persist(&mut self, enabled: &mut dyn Iterator<Item = (&str, bool)>, id: u64) -> Result<(), Refused> {
        self.persisted = enabled.map(|(name, enabled)| (name.to_owned(), enabled)).collect();
        self.writes.push(id);
        Ok(())
    }

    fn output_start(&self, _: ServiceId) -> u64 {
        0
    }

    fn copy_output(&self, _: ServiceId, since: Option<u64>, room: &mut [u8]) -> (u64, usize) {
        let from = since.unwrap_or(self.output.len().saturating_sub(room.len()) as u64);
        let output = self.output.as_bytes().get(from as usize..).unwrap_or_default();
        let length = output.len().min(room.len());
        room[..length].copy_from_slice(&output[..length]);
        (from, length)
    }

    fn usage(&self, _: &str, _: u32) -> Usage {
        Usage { cpu: Duration::from_millis(1250), memory: 4096 }
    }

    fn memory(&self) -> Memory {
        Memory { server: 1 << 20, available: 2 << 20, total: 4 << 20 }
    }

    fn run_command(
        &mut self,
        _: ServiceId,
        _: usize,
        call_id: u64,
        _: Option<UserId>,
    ) -> Result<(), Refused> {
        self.commands.push(call_id);
        if self.is_full { Err(Refused) } else { Ok(()) }
    }

    fn read_log(&mut self, call_id: u64, _: LogSource, _: usize, _: u64) -> Result<(), Refused> {
        self.reloads.push(call_id);
        Ok(())
    }

    fn reload(&mut self, call_id: u64, _: bool) -> Result<(), Refused> {
        self.reloads.push(call_id);
        Ok(())
    }

    fn configuration(&mut self, call_id: u64, work: ConfigurationWork) -> Result<(), Refused> {
        self.configurations.push((call_id, work));
        Ok(())
    }

    fn upgrade(&mut self, call_id: u64) -> Result<(), Refused> {
        self.reloads.push(call_id);
        Ok(())
    }

    fn check_password(
        &mut self,
        _: [u8; CANONICAL_PASSWORD_BYTES],
        hash: PasswordHash,
        call_id: u64,
    ) -> Result<(), Refused> {
        self.checks.push(call_id);
        self.rounds.push(hash.rounds());
        if self.is_full { Err(Refused) } else { Ok(()) }
    }

    fn change_password(
        &mut self,
        old: Option<([u8; CANONICAL_PASSWORD_BYTES], PasswordHash)>,
        new: [u8; CANONICAL_PASSWORD_BYTES],
        call_id: u64,
    ) -> Result<(), Refused> {
        self.checks.push(call_id);
        self.changes.push((old.map(|(canonical, _)| canonical), new));
        if self.is_full { Err(Refused) } else { Ok(()) }
    }

    fn store_passwords(&mut self, users: &Users, id: u64) -> Result<(), Refused> {
        let changed = |id| match users.changed_password(id)? {
            ChangedPassword::To(hash) => Some(hash.salt()[0]),
            ChangedPassword::Lost => None,
        };
        self.stored =
            users.iter().filter_map(|(id, user)| Some((user.name.to_string(), changed(id)?))).collect();
        self.writes.push(id);
        Ok(())
    }

    fn store_pairing(&mut self, pairing: &Pairing, id: u64) -> Result<(), Refused> {
        self.paired = pairing.iter().map(|(_, key)| key.clone()).collect();
        self.writes.push(id);
        if self.refuses_writes { Err(Refused) } else { Ok(()) }
    }

    fn end_board(&mut self, end: BoardEnd) -> Result<(), i32> {
        self.ends.push(end);
        if self.ends_board { Ok(()) } else { Err(38) }
    }

    fn factory_reset(&mut self) -> Result<(), i32> {
        self.resets += 1;
        if self.ends_board { Ok(()) } else { Err(38) }
    }

    fn random(&mut self) -> Result<[u8; 20], Refused> {
        self.next_pid += 1;
        Ok([self.next_pid as u8; 20])
    }

    fn time_of_day(&self) -> Option<u64> {
        self.time_of_day
    }

    fn unix_s(&self) -> u64 {
        1_000_000
    }
}

pub(super) struct Fixture {
    pub(super) server: Server,
    pub(super) system: System,
    pub(super) now: Duration,
}

impl Fixture {
    pub(super) fn new(slots: usize) -> Self {
        Self::with_board(slots, Board::default())
    }

    pub(super) fn with_board(slots: usize, board: Board) -> Self {
        Self::with_file(slots, board, FILE)
    }

    /// Server with further tables in its configuration file.
    pub(super) fn with_tables(slots: usize, board: Board, tables: &str) -> Self {
        Self::with_file(slots, board, &(FILE.to_owned() + tables))
    }

    /// Fixture whose first service has these keys.
    pub(super) fn with_service(keys: &str) -> Self {
        Self::with_file(
            4,
            Board::default(),
            &FILE.replacen("[[service]]\n", &format!("[[service]]\n{keys}\n"), 1),
        )
    }

    fn with_file(slots: usize, board: Board, file: &str) -> Self {
        crate::log::set_level(crate::log::Level::Off);
        let file = with_tokens(file);
        let config = config::parse(&file, "fixture", "/bin/friendlet").unwrap_or_else(|e| panic!("{e}"));
        let mut users = Users::new();
        for (_, user) in config.users.iter() {
            let password = Some(PasswordHash::dummy(1));
            users.push(crate::session::User { password, ..user.clone() }).unwrap();
        }
        let mut server = Server::new(ServerConfig {
            slots,
            tls: false,
            front: config.listen.front,
            owner: OWNER,
            api: Api::new(
                users,
                config.tokens,
                SessionTable::new(Duration::from_secs(10_800), crate::session::LIFETIME),
                Lockout::new(3, crate::session::LOCKOUT_TIME),
                Supervisor::new(config.services),
                board,
            ),
        });
        server.set_update(config.update);
        Self { server, system: System::default(), now: Duration::from_secs(1) }
    }

    pub(super) fn try_connect(&mut self) -> Option<SlotId> {
        self.server.claim(Peer::Network(IpAddr::from([192, 0, 2, 1])), self.now)
    }

    /// Connects from another host.
    pub(super) fn connect_from(&mut self, host: u8) -> Option<SlotId> {
        self.server.claim(Peer::Network(IpAddr::from([192, 0, 2, host])), self.now)
    }

    /// Connects to the local socket as this user.
    pub(super) fn connect_locally(&mut self, uid: u32) -> SlotId {
        self.server.claim(Peer::Local { uid }, self.now).expect("a slot")
    }

    pub(super) fn connect(&mut self) -> SlotId {
        self.try_connect().expect("a slot")
    }

    /// Connects a WebSocket.
    pub(super) fn socket(&mut self) -> SlotId {
        let id = self.connect();
        let response = self.http(id, &upgrade("/fcws"));
        assert!(response.starts_with("HTTP/1.1 101 "), "{response}");
        id
    }

    /// Connects a WebSocket and binds it to a session.
    pub(super) fn bound(&mut self, session: &str) -> SlotId {
        let id = self.socket();
        self.say(id, &format!(r#"<!--"CON"--"0"--"{session}"-->"#));
        id
    }

    pub(super) fn put(&mut self, id: SlotId, bytes: &[u8]) {
        self.deliver(id, bytes);
        self.settle();
    }

    /// Delivers bytes. What they request of the system has no outcome before [`settle`](Self::settle).
    pub(super) fn deliver(&mut self, id: SlotId, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            let space = self.server.receive_space(id);
            let count = bytes.len().min(space.len());
            assert!(count > 0, "no room");
            space[..count].copy_from_slice(&bytes[..count]);
            bytes = &bytes[count..];
            self.server.received(id, count, self.now, &mut self.system);
        }
    }

    /// Reports the outcomes of starts, and lets the time pass in which a start settles.
    pub(super) fn settle(&mut self) {
        while let Some(id) = self.system.writes.pop() {
            let completion = Completion::Written(if self.system.is_full { Err(28) } else { Ok(()) });
            self.server.handle_completion(id, completion, self.now, &mut self.system);
        }
        while let Some((service, spawned)) = self.system.spawned.pop() {
            let event = ProcessEvent::Spawned(spawned);
            self.server.handle_event(service, event, self.now, &mut self.system);
            self.now += START_SETTLE;
            self.server.handle_timeout(self.now, &mut self.system);
        }
    }

    /// Takes all unsent bytes of the server.
    pub(super) fn get(&mut self, id: SlotId) -> Vec<u8> {
        let mut all = Vec::new();
        while self.server.state(id).sends || self.server.refill(id) {
            let pending = self.server.pending(id);
            all.extend_from_slice(pending);
            let count = pending.len();
            self.server.sent(id, count, self.now, &mut self.system);
        }
        all
    }

    pub(super) fn http(&mut self, id: SlotId, request: &str) -> String {
        self.put(id, request.as_bytes());
        String::from_utf8(self.get(id)).unwrap()
    }

    /// Sends a text message and returns all messages of the server.
    pub(super) fn say(&mut self, id: SlotId, text: &str) -> Vec<String> {
        self.put(id, &frame(text));
        self.receive(id)
    }

    pub(super) fn receive(&mut self, id: SlotId) -> Vec<String> {
        messages(&self.get(id))
    }

    pub(super) fn pass(&mut self, time: Duration) {
        self.now += time;
        self.server.handle_timeout(self.now, &mut self.system);
    }

    pub(super) fn check_password(&mut self, is_right: bool) {
        let verdict = if is_right { PasswordVerdict::Right } else { PasswordVerdict::Wrong };
        self.finish_check(verdict);
    }

    /// Logs in over HTTP and returns the session.
    pub(super) fn login(&mut self, user: &str, device: &str) -> String {
        let id = self.connect();
        let body = format!("username={user}&password=x&deviceid={device}");
        let head = format!(
            "POST /system.library/login HTTP/1.1\r\nHost: h\r\nContent-Length: {}\r\n\r\n",
            body.len()
        );
        self.put(id, (head + &body).as_bytes());
        self.check_password(true);
        let response = String::from_utf8(self.get(id)).unwrap();
        self.server.release(id);
        response.split(r#""sessionid":""#).nth(1).unwrap().split('"').next().unwrap().to_owned()
    }

    /// Completes the newest password check.
    pub(super) fn finish_check(&mut self, verdict: PasswordVerdict) {
        let call_id = self.system.checks.pop().expect("a password to check");
        self.server.handle_completion(call_id, Completion::Password(verdict), self.now, &mut self.system);
        self.settle();
    }

    pub(super) fn end_command(&mut self, exit: &str, output: &[u8]) {
        let call_id = self.system.commands.pop().expect("a command that runs");
        let output = CommandOutput { exit, output, is_cut: false };
        self.server.handle_completion(call_id, Completion::Command(output), self.now, &mut self.system);
    }

    pub(super) fn exit(&mut self, pid: u32, exit: Exit) {
        let (service, _) = *self.system.processes.iter().find(|(_, of)| *of == pid).expect("a process");
        let event = ProcessEvent::Exited { exit, is_gone: true };
        self.server.handle_event(service, event, self.now, &mut self.system);
        self.settle();
    }

    /// The service `hello`.
    pub(super) fn hello(&self) -> ServiceId {
        self.service("hello")
    }

    pub(super) fn service(&self, name: &str) -> ServiceId {
        let config = config::parse(&with_tokens(FILE), "fixture", "/bin/friendlet").unwrap();
        config.services.find(name).unwrap()
    }

    pub(super) fn hang_up(&mut self, id: SlotId) {
        self.server.handle_end(id, End::Eof, self.now, &mut self.system);
    }
}

/// Fills in the hashes of the tokens.
fn with_tokens(file: &str) -> String {
    let mut tokens = [ADMIN, ANNA].into_iter();
    let lines = file.lines().map(|line| match line.strip_prefix("sha256") {
        Some(_) => {
            let token = tokens.next().unwrap();
            let hash = ring::digest::digest(&ring::digest::SHA256, token.as_bytes());
            format!("sha256 = \"{}\"\n", base16ct::lower::encode_string(hash.as_ref()))
        }
        None => format!("{line}\n"),
    });
    lines.collect()
}

pub(super) fn upgrade(target: &str) -> String {
    format!(
        "GET {target} HTTP/1.1\r\nHost: h\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
         Sec-WebSocket-Protocol: FC-protocol\r\n\r\n"
    )
}

pub(super) fn frame(text: &str) -> Vec<u8> {
    super::simulation::frame(0x81, text.as_bytes(), 0)
}

/// Parses frames of the server: texts as they are, the others by name.
pub(super) fn messages(mut bytes: &[u8]) -> Vec<String> {
    let mut messages = Vec::new();
    while !bytes.is_empty() {
        let (header, length) = match bytes[1] {
            126 => (4, usize::from(u16::from_be_bytes([bytes[2], bytes[3]]))),
            127 => (10, u64::from_be_bytes(bytes[2..10].try_into().unwrap()) as usize),
            length => (2, usize::from(length)),
        };
        let payload = &bytes[header..header + length];
        messages.push(match bytes[0] {
            0x81 => String::from_utf8(payload.to_vec()).unwrap(),
            0x88 => format!("close {}", u16::from_be_bytes([payload[0], payload[1]])),
            0x89 => "ping".to_owned(),
            0x8A => "pong".to_owned(),
            first => panic!("frame {first:02x}"),
        });
        bytes = &bytes[header + length..];
    }
    messages
}

/// Assembles a message that was sent whole or in chunks.
pub(super) fn whole(messages: &[String]) -> String {
    match messages {
        [one] if !one.starts_with(r#"{"type":"con","data":{"type":"chunk""#) => one.clone(),
        chunks => {
            let pieces = chunks.iter().map(|chunk| chunk.rsplit_once(r#""data":""#).unwrap().1);
            let base64: String = pieces.map(|piece| piece.trim_end_matches(['"', '}'])).collect();
            String::from_utf8(BASE64.decode(&base64).unwrap()).unwrap()
        }
    }
}
