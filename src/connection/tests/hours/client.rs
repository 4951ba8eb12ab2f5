//! Clients of the simulated hours: users, an administrator who logs in now and then, strangers and guessers.

use core::time::Duration;
use std::collections::BTreeMap;

use super::super::fixture::{frame, messages, upgrade};
use super::keeper::PASSWORD;
use super::{HOUR, LOGIN_TIME, SERVICES, World};
use crate::call::USER_OPERATIONS;
use crate::connection::{ANSWER_TIMEOUT, SlotId};

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Kind {
    /// Administrator with a socket that stays, and faults of the network.
    Admin,
    Anna,
    AnnasPhone,
    Vera,
    /// Administrator who logs in from nothing, without faults of the network.
    Returning,
    /// Guesses passwords, and logs in as `mallory` in between.
    Guesser,
    /// Proves nothing; with the last part of the address.
    Stranger(u8),
}

impl Kind {
    pub(super) const ALL: [Self; 20] = [
        Self::Admin,
        Self::Anna,
        Self::AnnasPhone,
        Self::Vera,
        Self::Returning,
        Self::Guesser,
        Self::Guesser,
        Self::Guesser,
        Self::Stranger(7),
        Self::Stranger(7),
        Self::Stranger(7),
        Self::Stranger(7),
        Self::Stranger(7),
        Self::Stranger(7),
        Self::Stranger(7),
        Self::Stranger(7),
        Self::Stranger(7),
        Self::Stranger(7),
        Self::Stranger(7),
        Self::Stranger(8),
    ];

    pub(super) fn host(self) -> u8 {
        match self {
            Self::Admin => 1,
            Self::Anna | Self::AnnasPhone => 2,
            Self::Vera => 3,
            Self::Returning => 4,
            Self::Guesser => 5,
            Self::Stranger(host) => host,
        }
    }

    fn user(self) -> &'static str {
        match self {
            Self::Admin | Self::Returning => "admin",
            Self::Anna | Self::AnnasPhone => "anna",
            Self::Vera => "vera",
            Self::Guesser | Self::Stranger(_) => "mallory",
        }
    }

    fn is_admin(self) -> bool {
        self.user() == "admin"
    }

    fn sees(self, service: usize) -> bool {
        match self {
            Self::Anna | Self::AnnasPhone => service == 0,
            Self::Vera => service == 1,
            kind => kind.is_admin(),
        }
    }
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Verb {
    Start,
    Stop,
    Restart,
    Install,
    Uninstall,
    Run,
    Status,
    List,
    Board,
}

impl Verb {
    const ALL: [Self; 11] = [
        Self::Start,
        Self::Start,
        Self::Stop,
        Self::Restart,
        Self::Install,
        Self::Uninstall,
        Self::Run,
        Self::Run,
        Self::Status,
        Self::List,
        Self::Board,
    ];

    fn path(self, service: usize) -> String {
        let verb = match self {
            Self::List => return "services/list".to_owned(),
            Self::Board => return "board/status".to_owned(),
            Self::Start => "start",
            Self::Stop => "stop",
            Self::Restart => "restart",
            Self::Install => "install",
            Self::Uninstall => "uninstall",
            Self::Run => "command",
            Self::Status => "status",
        };
        format!("services/{}/{verb}", SERVICES[service])
    }

    fn is_allowed(self, kind: Kind, service: usize) -> bool {
        match self {
            Self::List => true,
            Self::Board => kind.is_admin(),
            Self::Status => kind.sees(service),
            _ => kind.sees(service) && kind != Kind::Vera,
        }
    }

    fn changes(self) -> bool {
        !matches!(self, Self::Status | Self::List | Self::Board)
    }
}

#[derive(Clone, Copy, Debug)]
struct Call {
    verb: Verb,
    service: usize,
    /// Id of the operation; another number in each call.
    operation: u64,
    /// It was sent before, over a connection that is lost.
    is_repeated: bool,
    sent: Duration,
}

#[derive(Debug)]
pub(super) struct Client {
    pub(super) kind: Kind,
    pub(super) slot: Option<SlotId>,
    pub(super) wake: Duration,
    is_socket: bool,
    is_bound: bool,
    session: Option<String>,
    /// Session that has ended by a logout.
    ended: Option<String>,
    is_logging_out: bool,
    call: Option<Call>,
    /// Call whose connection was lost.
    lost: Option<Call>,
    /// It does not read at the moment.
    is_deaf: bool,
    /// Begin of a login that is under way.
    begun: Option<Duration>,
    response: Vec<u8>,
    /// Runs of named commands by operation.
    runs: BTreeMap<u64, Vec<u32>>,
}

impl Client {
    pub(super) fn new(kind: Kind) -> Self {
        Self {
            kind,
            slot: None,
            wake: Duration::from_secs(2),
            is_socket: false,
            is_bound: false,
            session: None,
            ended: None,
            is_logging_out: false,
            call: None,
            lost: None,
            is_deaf: false,
            begun: None,
            response: Vec::new(),
            runs: BTreeMap::new(),
        }
    }

    pub(super) fn connected(&mut self, slot: Option<SlotId>) {
        self.slot = slot;
        (self.is_socket, self.is_bound, self.is_deaf) = (false, false, false);
        self.response.clear();
    }
}

/// Lets a client do what it has to.
pub(super) fn act(world: &mut World, index: usize) {
    let kind = world.clients[index].kind;
    let pause = match kind {
        Kind::Returning => return returning(world, index),
        Kind::Stranger(_) if world.now < world.flood_until => {
            if world.clients[index].slot.is_none() {
                world.connect(index);
            }
            500
        }
        Kind::Stranger(_) => {
            stranger(world, index);
            240_000
        }
        Kind::Guesser => {
            guess(world, index);
            150_000
        }
        _ => user(world, index),
    };
    let pause = Duration::from_millis(1 + world.below(pause));
    world.clients[index].wake = world.now + pause;
}

/// An administrator logs in, binds a socket and sees the services, within [`LOGIN_TIME`].
fn returning(world: &mut World, index: usize) {
    if let Some(begun) = world.clients[index].begun {
        panic!("administrator not in since {begun:?}: {:?}", world.clients[index]);
    }
    if world.keeper.random.is_one_of(3) {
        // All strangers at once, who dial again when they are evicted.
        world.flood_until = world.now + LOGIN_TIME;
        for stranger in 0..world.clients.len() {
            if matches!(world.clients[stranger].kind, Kind::Stranger(_)) {
                world.cut(stranger);
                world.connect(stranger);
                world.clients[stranger].wake = world.now + Duration::from_millis(world.below(500));
            }
        }
    }
    world.clients[index].begun = Some(world.now);
    world.clients[index].wake = world.now + LOGIN_TIME;
    log_in(world, index, "admin", PASSWORD);
}

fn log_in(world: &mut World, index: usize, user: &str, password: &str) {
    post(world, index, "login", &format!("username={user}&password={password}").replace(' ', "+"));
}

fn post(world: &mut World, index: usize, path: &str, body: &str) {
    world.cut(index);
    world.connect(index);
    let head =
        format!("POST /system.library/{path} HTTP/1.1\r\nHost: h\r\nContent-Length: {}\r\n\r\n", body.len());
    world.send(index, (head + body).as_bytes());
}

fn open_socket(world: &mut World, index: usize) {
    world.cut(index);
    world.connect(index);
    world.send(index, upgrade("/fcws").as_bytes());
}

/// One step of a user. Returns the longest pause until the next one, in milliseconds.
fn user(world: &mut World, index: usize) -> u64 {
    let client = &mut world.clients[index];
    if core::mem::take(&mut client.is_deaf) {
        read(world, index);
        return 1_000;
    }
    if let Some(call) = client.call.filter(|_| client.slot.is_some()) {
        assert!(world.now <= call.sent + ANSWER_TIMEOUT + HOUR / 60, "never answered: {:?}", client);
        if world.keeper.random.is_one_of(4) {
            lose(world, index);
        }
        return 2_000;
    }
    if client.session.is_none() {
        if let Some(ended) = client.ended.take() {
            // Nothing comes of it: `check_secrets`.
            post(world, index, "services/list", &format!("sessionid={ended}"));
            return 10_000;
        }
        let password = if world.keeper.random.is_one_of(12) { "a mistake" } else { PASSWORD };
        let user = world.clients[index].kind.user();
        log_in(world, index, user, password);
        return 10_000;
    }
    if client.slot.is_none() || !client.is_bound {
        open_socket(world, index);
        let client = &mut world.clients[index];
        if client.slot.is_some() && !client.is_bound {
            // An unknown session has no answer: it has ended meanwhile.
            client.session = None;
        }
        return 1_000;
    }
    match world.below(40) {
        0 => log_out(world, index),
        1 => lose(world, index),
        2 => world.clients[index].is_deaf = true,
        3 => {
            // For a night.
            lose(world, index);
            return 2 * 3_600_000;
        }
        _ => {
            begin_call(world, index);
            if world.clients[index].call.is_some() {
                return 2_000;
            }
        }
    }
    60_000
}

fn lose(world: &mut World, index: usize) {
    world.cut(index);
    let client = &mut world.clients[index];
    if let Some(call) = client.call.take() {
        client.lost = Some(call);
    }
    client.is_logging_out = false;
}

fn begin_call(world: &mut World, index: usize) {
    let client = &mut world.clients[index];
    let lost = client.lost.take();
    let (user, now) = (client.kind.user(), world.now);
    let call = match lost {
        // Unless so many others came since that the server may have forgotten it.
        Some(call) if call.verb.changes() && world.is_kept(user, call.operation) => {
            Call { is_repeated: true, sent: now, ..call }
        }
        _ => {
            let verb = world.keeper.random.pick(&Verb::ALL);
            let service = world.below(SERVICES.len() as u64) as usize;
            let operation = world.next_operation(user);
            Call { verb, service, operation, is_repeated: false, sent: now }
        }
    };
    send_call(world, index, call);
}

fn send_call(world: &mut World, index: usize, call: Call) {
    let client = &mut world.clients[index];
    let session = client.session.clone().unwrap_or_default();
    let Call { verb, service, operation, .. } = call;
    let data = match verb {
        Verb::Run => format!(r#"{{"cmd":"run","operation":"{operation}"}}"#),
        verb if verb.changes() => format!(r#"{{"operation":"{operation}"}}"#),
        _ => "{}".to_owned(),
    };
    client.call = Some(call);
    let (is_allowed, effects, runs) =
        (verb.is_allowed(client.kind, service), world.keeper.effects, world.keeper.runs);
    say(world, index, &format!("{operation}"), &verb.path(service), &data, &session);
    assert!(is_allowed || world.keeper.effects == effects, "{call:?} had an effect without the right to it");
    let of_call = world.clients[index].runs.entry(operation).or_default();
    of_call.extend(runs + 1..=world.keeper.runs);
    assert!(of_call.len() <= 1, "executed {} times: {call:?}", of_call.len());
}

fn say(world: &mut World, index: usize, request: &str, path: &str, data: &str, session: &str) {
    let text = format!(
        r#"{{"type":"msg","data":{{"type":"request","requestid":"{request}","path":"system.library/{path}","data":{data},"sessionid":"{session}"}}}}"#
    );
    world.send(index, &frame(&text));
}

fn log_out(world: &mut World, index: usize) {
    world.clients[index].is_logging_out = true;
    let session = world.clients[index].session.clone().unwrap_or_default();
    // It has no answer in this form, but the notice of the end of the session.
    say(world, index, "out", "user/logout", "{}", &session);
}

/// One step of a client that proves nothing.
fn stranger(world: &mut World, index: usize) {
    let effects = world.keeper.effects;
    match (world.clients[index].slot, world.below(8)) {
        (None, _) => {
            world.connect(index);
        }
        (Some(_), 0 | 1) => world.cut(index),
        (Some(_), 2) => world.send(index, upgrade("/").as_bytes()),
        (Some(_), 3) => world.send(index, b"GET /healthz HTTP/1.1\r\nHost: h\r\n\r\n"),
        (Some(_), 4) => say(world, index, "1", "services/alpha/start", "{}", &"0".repeat(40)),
        (Some(_), 5) => world.send(
            index,
            b"POST /system.library/services/list HTTP/1.1\r\nHost: h\r\nContent-Length: 9\r\n\r\n",
        ),
        (Some(_), 6) => {
            let bytes: Vec<u8> =
                (0..world.below(200)).map(|_| world.keeper.random.below(256) as u8).collect();
            world.send(index, &bytes);
        }
        (Some(_), _) => {
            world.send(index, &frame(r#"<!--"CON"--"0"--"0000000000000000000000000000000000000000"-->"#))
        }
    }
    assert_eq!(world.keeper.effects, effects, "a stranger had an effect");
}

/// A guess, or a login of one's own in between.
fn guess(world: &mut World, index: usize) {
    world.keeper.guesses.clear();
    if world.keeper.random.is_one_of(5) {
        log_in(world, index, "mallory", PASSWORD);
        return;
    }
    let name = world.below(40);
    let name = ["admin", "anna", "vera", "mallory"]
        .get(name as usize)
        .map_or(format!("name{name}"), |name| (*name).to_owned());
    log_in(world, index, &name, "a guess");
    // Who has logged in from there has a block of the own, and knows the password.
    if name != "mallory" {
        let made = core::mem::take(&mut world.keeper.guesses);
        world.guesses.pending.extend(made.into_iter().map(|call_id| (call_id, name.clone())));
    }
}

/// Reads everything that the server sends to a client.
pub(super) fn read(world: &mut World, index: usize) {
    let Some(id) = world.clients[index].slot else { return };
    let mut bytes = Vec::new();
    while !world.clients[index].is_deaf && world.server.state(id).sends {
        let pending = world.server.pending(id);
        assert!(!pending.is_empty(), "it sends nothing");
        bytes.extend_from_slice(pending);
        let count = pending.len();
        world.server.sent(id, count, world.now, &mut world.keeper);
    }
    let client = &mut world.clients[index];
    let is_socket = client.is_socket;
    if !is_socket {
        client.response.append(&mut bytes);
        if client.response.starts_with(b"HTTP/1.1 101 ") {
            client.is_socket = true;
            let end =
                client.response.windows(4).position(|bytes| bytes == b"\r\n\r\n").expect("a whole head");
            bytes = client.response.split_off(end + 4);
            if let Some(session) = client.session.clone() {
                let bind = format!(r#"{{"type":"con","data":{{"sessionId":"{session}"}}}}"#);
                world.send(index, &frame(&bind));
            }
        }
    }
    for text in messages(&bytes) {
        receive(world, index, &text);
    }
    let is_over = world.release_if_over(index);
    let client = &mut world.clients[index];
    if is_over && !is_socket && !client.is_socket {
        let response = String::from_utf8_lossy(&core::mem::take(&mut client.response)).into_owned();
        handle_response(world, index, &response);
    } else if is_over && client.call.is_some() {
        lose(world, index);
    }
    if is_over && world.clients[index].kind == Kind::Returning {
        retry_login(world, index);
    }
}

/// A connection of the administrator was evicted, or its request is answered: the next one.
fn retry_login(world: &mut World, index: usize) {
    let client = &world.clients[index];
    if client.slot.is_some() || client.begun.is_none() {
        return;
    }
    if client.session.is_some() { open_socket(world, index) } else { log_in(world, index, "admin", PASSWORD) }
}

fn handle_response(world: &mut World, index: usize, response: &str) {
    check_secrets(&world.clients[index], response);
    let Some((_, rest)) = response.split_once(r#""sessionid": ""#) else { return };
    let session = rest.split('"').next().unwrap_or_default();
    let client = &mut world.clients[index];
    if session.len() == 40 && response.starts_with("HTTP/1.1 200 ") && client.kind != Kind::Guesser {
        client.session = Some(session.to_owned());
    }
}

/// Asserts that a text has nothing of services and problems that its reader may not see.
fn check_secrets(client: &Client, text: &str) {
    for (service, name) in SERVICES.iter().enumerate() {
        let may_see = client.session.is_some() && client.kind.sees(service) || text.contains("requestid");
        let has_asked = client.call.is_some_and(|call| call.service == service);
        assert!(may_see || has_asked || !text.contains(name), "{:?} reads {text}", client.kind);
    }
    assert!(client.kind.is_admin() || !text.contains("c.pem"), "{:?} reads {text}", client.kind);
}

/// Handles a message of the server.
fn receive(world: &mut World, index: usize, text: &str) {
    let now = world.now;
    let client = &mut world.clients[index];
    check_secrets(client, text);
    if text.starts_with(r#"{"type":"con","data":{"type":"pong""#) {
        client.is_bound = true;
        if client.kind == Kind::Returning {
            let call = Call { verb: Verb::List, service: 0, operation: 0, is_repeated: false, sent: now };
            send_call(world, index, call);
        }
        return;
    }
    if text.contains("session killed") || text.contains("session timeout") {
        client.is_bound = false;
        let session = client.session.take();
        if core::mem::take(&mut client.is_logging_out) {
            client.ended = session;
        }
        if client.kind == Kind::Returning {
            world.logins += 1;
            client.begun = None;
            client.wake = now + Duration::from_millis(world.keeper.random.below(7_200_000));
            world.cut(index);
        }
        return;
    }
    if text == "ping" {
        return world.send(index, &super::super::simulation::frame(0x8A, b"", 0));
    }
    let Some((_, rest)) = text.split_once(r#""requestid":""#) else { return };
    let (request, content) = rest.split_once('"').unwrap_or_default();
    let Some(call) = client.call.take() else { return };
    assert_eq!(request, call.operation.to_string(), "the answer to another call: {text}");
    answered(world, index, call, content);
}

/// Checks the answer to a call.
fn answered(world: &mut World, index: usize, call: Call, content: &str) {
    let Call { verb, service, operation, is_repeated, .. } = call;
    let kind = world.clients[index].kind;
    if content.contains("user not found") {
        let client = &mut world.clients[index];
        (client.session, client.is_bound) = (None, false);
        return;
    }
    let is_ok = content.contains(r#""Status": "ok""#) || verb == Verb::List && content.contains("Services");
    if !verb.is_allowed(kind, service) {
        assert!(!is_ok, "{kind:?} is allowed {call:?}: {content}");
        world.refused += 1;
        return;
    }
    world.answered += 1;
    for (other, name) in SERVICES.iter().enumerate() {
        assert!(kind.sees(other) || !content.contains(name), "{kind:?} reads of {name}: {content}");
    }
    if is_ok && verb == Verb::Start && !is_repeated && !world.clients[index].is_deaf {
        // One that ends well, or is stopped, before it has run for its time is not a failure of the start.
        let runs = world.keeper.processes[service].is_some_and(|process| process.pid != 0);
        let (ended, is_failure) = world.keeper.ended[service];
        assert!(runs || ended >= call.sent && !is_failure, "{call:?} is done, and no process has run well");
    }
    if is_ok && verb == Verb::Run {
        let run = content.split("run ").nth(1).and_then(|rest| rest.split('.').next()?.parse().ok());
        let made = &world.clients[index].runs[&operation];
        assert_eq!(made[..], [run.expect("its number")], "{call:?}: the result of another run");
    }
    if kind == Kind::Returning {
        assert!(is_ok, "{content}");
        log_out(world, index);
    }
}

impl World {
    /// Number of the next operation of a user.
    fn next_operation(&mut self, user: &'static str) -> u64 {
        let next = self.operations.entry(user).or_default();
        *next += 1;
        *next
    }

    /// The server still knows this operation, whatever other clients of the user have called.
    fn is_kept(&self, user: &str, operation: u64) -> bool {
        self.operations.get(user).is_some_and(|newest| newest - operation + 2 < USER_OPERATIONS as u64)
    }
}
