//! Responder of a server: probes for its names, announces them, answers questions, resolves conflicts.

use core::net::SocketAddr;
use core::time::Duration;

use heapless::Vec;

use super::interface::{Address, Due, Interface, Millis, NEVER, PAUSE, PROBE_PAUSE, Phase, millis, octets};
use super::names::{A, AAAA, NSEC, Names, Node, SHARED, Service, Set, WITHDRAWN, records, records_of};
use super::packet::{Entry, INTERNET, Message, NONE, Octets, RESPONSE, Section, TOP_BIT, kind};
use super::writer::Writer;
use super::{MDNS_INTERFACES, MDNS_RECEIVED_BYTES, MDNS_UNICASTS, PORT};

/// Pause after the probe of another host that has precedence (RFC 6762, 8.2).
const DEFER: Millis = 1000;
/// Names that are tried without, and then with this pause before the probes (8.1).
const QUICK_NAMES: u16 = 10;
const SLOW_PAUSE: Millis = 5000;
/// Largest validity in an answer to a client of plain DNS (6.7).
const PLAIN_TTL: u32 = 10;
/// Bytes of the text record.
const TEXT_BYTES: usize = 64;

/// Message to be multicast.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Transmit {
    /// Interface.
    pub index: u32,
    /// Over IPv4, and over IPv6.
    pub over: [bool; 2],
    /// Length of the message.
    pub len: usize,
}

/// Reply to one client, or to all.
#[derive(Clone, Copy, Debug)]
enum Form {
    /// Number and question of a client of plain DNS.
    Plain(u16, Node, u16),
    Multicast,
    Withdrawal,
}

/// Responder of a server.
#[derive(Debug)]
pub struct Responder {
    names: Names,
    port: u16,
    text: Vec<u8, TEXT_BYTES>,
    interfaces: Vec<Interface, MDNS_INTERFACES>,
    random: u64,
    /// Replies to single clients since this time.
    unicasts: (u8, Millis),
    /// Number of the name that was announced last; 0: none.
    announced: u16,
    /// The same of the one that was reported last.
    reported: u16,
}

impl Responder {
    /// Responder without interfaces. `seed` is a random number.
    pub fn new(host: &str, service: Service, version: &str, seed: u64) -> Self {
        let mut text = Vec::new();
        let tls = if service.has_tls { "1" } else { "0" };
        for (key, value) in [("version=", version), ("path=", "/"), ("tls=", tls)] {
            let _ = text.push((key.len() + value.len()) as u8);
            let _ = text.extend_from_slice(key.as_bytes());
            let _ = text.extend_from_slice(value.as_bytes());
        }
        Self {
            names: Names::new(host, service.has_tls),
            port: service.port,
            text,
            interfaces: Vec::new(),
            random: seed | 1,
            unicasts: (0, 0),
            announced: 0,
            reported: 0,
        }
    }

    /// Interfaces on which the server is announced.
    pub fn interfaces(&self) -> &[Interface] {
        &self.interfaces
    }

    /// Handles the addresses that the host has now, each with the index of its interface, and the port of the server. An
    /// interface is probed when it is new, and its records are announced again when they have changed.
    pub fn handle_addresses(
        &mut self,
        found: &mut dyn Iterator<Item = (u32, Address)>,
        port: u16,
        now: Duration,
    ) {
        let now = millis(now);
        let is_other_port = core::mem::replace(&mut self.port, port) != port;
        let before = core::mem::take(&mut self.interfaces);
        for (index, address) in found {
            let is_it = |interface: &&mut Interface| interface.index == index;
            if self.interfaces.iter_mut().find(is_it).is_none() {
                // One without room is left out.
                let _ = self.interfaces.push(Interface::new(index));
            }
            if let Some(interface) = self.interfaces.iter_mut().find(is_it) {
                interface.add(address);
            }
        }
        self.interfaces.retain(|interface| interface.least() != NONE);
        let pause = self.delay(PROBE_PAUSE);
        for interface in &mut self.interfaces {
            let Some(before) = before.iter().find(|before| before.index == interface.index) else {
                interface.link.begin(Phase::Probing, now + pause);
                continue;
            };
            interface.link = before.link.clone();
            let has_changed = is_other_port || before.addresses != interface.addresses;
            if has_changed && interface.link.phase != Phase::Probing {
                interface.link.begin(Phase::Announcing, now);
            }
        }
    }

    /// Handles a datagram. Returns the length of the reply to its sender, if there is one.
    pub fn handle_packet(
        &mut self,
        bytes: &[u8],
        source: SocketAddr,
        now: Duration,
        reply: &mut [u8],
    ) -> Option<usize> {
        if bytes.len() > MDNS_RECEIVED_BYTES {
            return None;
        }
        let message = Message::parse(bytes)?;
        let octets = octets(source.ip());
        let at = self.interfaces.iter().position(|interface| interface.is_on_link(&source, &octets))?;
        // Such as that of another responder of this host.
        let is_own = self.is_own(&octets);
        let is_of_responder = source.port() == PORT;
        if !message.is_response() {
            return self.handle_query(at, message, is_of_responder, is_own, millis(now), reply);
        }
        if is_of_responder && !is_own && message.entries().any(|entry| self.is_conflict(&entry)) {
            self.handle_conflict(at, millis(now));
        }
        None
    }

    fn handle_query(
        &mut self,
        at: usize,
        message: Message<'_>,
        is_multicast: bool,
        is_own: bool,
        now: Millis,
        reply: &mut [u8],
    ) -> Option<usize> {
        let jitter = self.delay(100);
        let interface = self.interfaces.get(at)?;
        let available = interface.available();
        let (mut asked, mut known, mut rival) = (0, 0, NONE);
        let mut question = None;
        for entry in message.entries() {
            let Some(node) = self.names.find(entry.name) else { continue };
            let mut set = records_of(node, entry.kind) & available;
            match entry.section {
                Section::Question => {
                    // The host has none of this type.
                    if set == 0 && node == Node::Host {
                        set = 1 << NSEC;
                    }
                    if set != 0 {
                        asked |= set;
                        question.get_or_insert((node, entry.kind));
                    }
                }
                Section::Answer => known |= self.known(interface, set, &entry),
                Section::Authority if node == Node::Host && !is_own => {
                    rival = rival.min(entry.octets());
                }
                _ => {}
            }
        }
        let has_precedence = rival != NONE && rival > interface.least();
        let link = &mut self.interfaces.get_mut(at)?.link;
        if link.phase == Phase::Probing {
            if has_precedence {
                link.begin(Phase::Probing, now + DEFER);
            }
            return None;
        }
        if !message.has(Section::Question) {
            // More known answers of an earlier message.
            link.answers &= !known;
        }
        asked &= !known;
        let (node, kind) = question.filter(|_| asked != 0)?;
        if !is_multicast {
            let may_reply = may_unicast(&mut self.unicasts, now);
            let form = Form::Plain(message.id(), node, kind);
            let len = if may_reply { self.write(self.interfaces.get(at)?, asked, form, reply) } else { 0 };
            return (len > 0).then_some(len);
        }
        // A probe waits less than a second for the answer.
        let pause = if message.has(Section::Authority) { PROBE_PAUSE } else { PAUSE };
        let delay = match () {
            () if message.is_truncated() => 400 + jitter,
            () if asked & SHARED != 0 => 20 + jitter,
            () => 0,
        };
        link.answer(asked, now + delay, pause);
        None
    }

    /// Handles a record of another host with a name of this one.
    fn handle_conflict(&mut self, at: usize, now: Millis) {
        let mut pause = self.delay(PROBE_PAUSE);
        let Some(Interface { link, .. }) = self.interfaces.get(at) else { return };
        if link.phase == Phase::Probing {
            if link.sent == 0 {
                // Of a name that was not asked for.
                return;
            }
            if self.names.rename() > QUICK_NAMES {
                pause = SLOW_PAUSE;
            }
        }
        for Interface { link, .. } in &mut self.interfaces {
            link.begin(Phase::Probing, now + pause);
        }
    }

    fn is_conflict(&self, entry: &Entry<'_>) -> bool {
        let is_record =
            entry.section != Section::Question && entry.ttl > 0 && entry.class & !TOP_BIT == INTERNET;
        let set = self.names.find(entry.name).map_or(0, |node| records_of(node, entry.kind));
        is_record && set & !SHARED & !(1 << NSEC) != 0 && !self.is_own_data(entry)
    }

    /// Returns true if this is an address of this host, on any interface: a router may pass messages on.
    fn is_own(&self, octets: &Octets) -> bool {
        let has = |interface: &Interface| interface.addresses.iter().any(|own| own.octets == *octets);
        self.interfaces.iter().any(has)
    }

    /// Returns true if the data of a record is that of this host.
    fn is_own_data(&self, entry: &Entry<'_>) -> bool {
        match entry.kind {
            kind::SRV => {
                let [high, low] = self.port.to_be_bytes();
                entry.data.starts_with(&[0, 0, 0, 0, high, low]) && self.names.is(entry.target(6), Node::Host)
            }
            kind::TXT => entry.data == &*self.text,
            _ => self.is_own(&entry.octets()),
        }
    }

    /// Records of a set that the sender of a question knows.
    fn known(&self, interface: &Interface, set: Set, entry: &Entry<'_>) -> Set {
        let mut known = 0;
        for (index, record) in records(set) {
            let is_known = match record.kind {
                kind::PTR => self.names.is(entry.target(0), record.target),
                // One of several addresses is not all of them.
                kind::A | kind::AAAA => interface.served(index == A).all(|own| own.data() == entry.data),
                _ => self.is_own_data(entry),
            };
            known |= Set::from(is_known && entry.ttl >= record.ttl() / 2) << index;
        }
        known
    }

    /// Writes the next message that is due.
    pub fn poll_transmit(&mut self, now: Duration, out: &mut [u8]) -> Option<Transmit> {
        let now = millis(now);
        (0..self.interfaces.len()).find_map(|at| {
            let due = self.interfaces.get_mut(at)?.link.take_due(now)?;
            let interface = self.interfaces.get(at)?;
            let len = match due {
                Due::Probe => self.write_probe(interface, out),
                Due::Response(set) => {
                    self.write(interface, set & interface.available(), Form::Multicast, out)
                }
            };
            let transmit = transmit(interface, len);
            if interface.link.phase != Phase::Probing {
                self.announced = self.names.number();
            }
            (len > 0).then_some(transmit)
        })
    }

    /// Writes the withdrawal of the server on the interface at this position.
    pub fn withdraw(&self, at: usize, out: &mut [u8]) -> Option<Transmit> {
        let interface = self.interfaces.get(at).filter(|interface| interface.link.phase != Phase::Probing)?;
        Some(transmit(interface, self.write(interface, WITHDRAWN, Form::Withdrawal, out)))
    }

    /// Time of the next [`poll_transmit`](Self::poll_transmit).
    pub fn poll_timeout(&self) -> Option<Duration> {
        let next = self.interfaces.iter().map(|interface| interface.link.next()).fold(NEVER, Millis::min);
        (next != NEVER).then(|| Duration::from_millis(next))
    }

    /// Label of the host, when it is announced for the first time, and whether another host has the one before.
    pub fn poll_name(&mut self) -> Option<(&str, bool)> {
        let before = core::mem::replace(&mut self.reported, self.announced);
        (before != self.announced).then(|| (self.names.own(), self.announced > 1))
    }

    fn write_probe(&self, interface: &Interface, out: &mut [u8]) -> usize {
        let mut writer = Writer::new(&self.names, out, 0, 0);
        for node in [Node::Host, Node::FriendletInstance, Node::WebInstance] {
            writer.question(node, kind::ANY, INTERNET | TOP_BIT);
        }
        let set = interface.available() & !SHARED & !(1 << NSEC);
        // The bit "cache flush" is for answers.
        self.write_records(&mut writer, Section::Authority, interface, set, Form::Multicast, 0);
        writer.finish()
    }

    /// Writes a response with these records, and those that are sent with them.
    fn write(&self, interface: &Interface, answers: Set, form: Form, out: &mut [u8]) -> usize {
        if answers == 0 {
            return 0;
        }
        let (mut id, mut flush) = (0, TOP_BIT);
        if let Form::Plain(plain, ..) = form {
            (id, flush) = (plain, 0);
        }
        let mut writer = Writer::new(&self.names, out, id, RESPONSE);
        if let Form::Plain(_, node, kind) = form {
            writer.question(node, kind, INTERNET);
        }
        self.write_records(&mut writer, Section::Answer, interface, answers, form, flush);
        if !matches!(form, Form::Withdrawal) {
            let others = records(answers).fold(0, |others, (_, record)| others | record.with);
            let others = others & !answers & interface.available();
            self.write_records(&mut writer, Section::Additional, interface, others, form, flush);
        }
        writer.finish()
    }

    fn write_records(
        &self,
        writer: &mut Writer<'_>,
        section: Section,
        interface: &Interface,
        set: Set,
        form: Form,
        flush: u16,
    ) {
        for (index, record) in records(set) {
            let ttl = match form {
                Form::Plain(..) => record.ttl().min(PLAIN_TTL),
                Form::Multicast => record.ttl(),
                Form::Withdrawal => 0,
            };
            let class = if SHARED & 1 << index != 0 { INTERNET } else { INTERNET | flush };
            let begin =
                |writer: &mut Writer<'_>| writer.begin(section, record.owner, record.kind, class, ttl);
            if matches!(index, A | AAAA) {
                // Each address has a record.
                for address in interface.served(index == A) {
                    let at = begin(writer);
                    writer.put(address.data());
                    writer.end(at);
                }
                continue;
            }
            let at = begin(writer);
            match record.kind {
                kind::SRV => {
                    writer.put(&[0; 4]);
                    writer.put(&self.port.to_be_bytes());
                    writer.name(record.target);
                }
                kind::TXT => writer.put(&self.text),
                _ => writer.name(record.target),
            }
            if index == NSEC {
                // Window 0, and a bit for each type.
                let a = if interface.serves(true) { 0x40 } else { 0 };
                let [len, rest] = if interface.serves(false) { [4, 6] } else { [1, 3] };
                writer.put([0, len, a, 0, 0, 0x08].get(..rest.into()).unwrap_or_default());
            }
            writer.end(at);
        }
    }

    /// Random time below this one.
    fn delay(&mut self, most: Millis) -> Millis {
        // xorshift64.
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        ((self.random >> 56) * most) >> 8
    }
}

/// Counts a reply to one client. Returns true if it may be sent.
fn may_unicast((count, since): &mut (u8, Millis), now: Millis) -> bool {
    if now.saturating_sub(*since) >= PAUSE {
        (*count, *since) = (0, now);
    }
    *count = count.saturating_add(1);
    *count <= MDNS_UNICASTS
}

fn transmit(interface: &Interface, len: usize) -> Transmit {
    Transmit { index: interface.index, over: [interface.serves(true), interface.serves(false)], len }
}

#[cfg(test)]
mod tests;
