//! DHCP messages: the ones that a client makes, and the ones that it takes.

use core::net::Ipv4Addr;

use heapless::Vec;

use crate::dhcp::{DHCP_BYTES, NAMESERVERS};

/// Length of an Ethernet address.
pub const HARDWARE_BYTES: usize = 6;

/// Shortest message sent: older servers and relays drop less than BOOTP's 300 bytes.
const LEAST_BYTES: usize = 300;
/// IPv4 and UDP headers, which count in option 57.
const HEADER_BYTES: u16 = 28;
/// Where options begin, behind the cookie.
const OPTIONS_AT: usize = 240;
const COOKIE_AT: usize = 236;
const SNAME: core::ops::Range<usize> = 44..108;
const FILE: core::ops::Range<usize> = 108..236;
/// First bytes of the options (RFC 2131, 3).
const COOKIE: [u8; 4] = [99, 130, 83, 99];
const BOOT_REQUEST: u8 = 1;
const BOOT_REPLY: u8 = 2;
const ETHERNET: u8 = 1;
/// The answer is to be broadcast: this host has no address yet.
const BROADCAST_FLAG: u16 = 0x8000;

/// The options of RFC 2132 that are spoken here.
mod option {
    pub(super) const PAD: u8 = 0;
    pub(super) const MASK: u8 = 1;
    pub(super) const ROUTER: u8 = 3;
    pub(super) const NAMESERVERS: u8 = 6;
    pub(super) const HOST_NAME: u8 = 12;
    pub(super) const REQUESTED: u8 = 50;
    pub(super) const LEASE: u8 = 51;
    pub(super) const OVERLOAD: u8 = 52;
    pub(super) const KIND: u8 = 53;
    pub(super) const SERVER: u8 = 54;
    pub(super) const WANTED: u8 = 55;
    pub(super) const LARGEST: u8 = 57;
    pub(super) const RENEWAL: u8 = 58;
    pub(super) const REBINDING: u8 = 59;
    pub(super) const END: u8 = 255;
}

/// What a message is for: option 53.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[repr(u8)]
pub enum Kind {
    /// Which servers are there?
    Discover = 1,
    /// This one, with an address.
    Offer = 2,
    /// May I have this address, or have it on?
    Request = 3,
    /// Yes.
    Ack = 5,
    /// No.
    Nak = 6,
}

/// A message of a client.
#[derive(Clone, Debug)]
pub struct Request<'a> {
    /// `Discover` or `Request`.
    pub kind: Kind,
    /// What its answers carry.
    pub transaction: u32,
    /// Seconds since the client began.
    pub seconds: u16,
    /// The client's Ethernet address.
    pub hardware: [u8; HARDWARE_BYTES],
    /// The address that the client uses; none: it has none yet, and the answer is to be broadcast.
    pub address: Option<Ipv4Addr>,
    /// The address that it wants.
    pub requested: Option<Ipv4Addr>,
    /// The server whose offer it takes.
    pub server: Option<Ipv4Addr>,
    /// Name of the host; empty: none.
    pub host_name: &'a str,
}

impl Request<'_> {
    /// Writes the message and returns its bytes.
    pub fn write<'b>(&self, buffer: &'b mut [u8; DHCP_BYTES]) -> &'b [u8] {
        let mut writer = Writer { buffer, len: 0 };
        let (flags, address) = match self.address {
            Some(address) => (0, address),
            None => (BROADCAST_FLAG, Ipv4Addr::UNSPECIFIED),
        };
        writer.put(&[BOOT_REQUEST, ETHERNET, HARDWARE_BYTES as u8, 0]);
        writer.put(&self.transaction.to_be_bytes());
        writer.put(&self.seconds.to_be_bytes());
        writer.put(&flags.to_be_bytes());
        writer.put(&address.octets());
        // yiaddr, siaddr and giaddr are the server's and the relay's.
        writer.put(&[0; 12]);
        writer.put(&self.hardware);
        // The rest of chaddr, sname and file.
        writer.put(&[0; 10 + 64 + 128]);
        writer.put(&COOKIE);
        writer.option(option::KIND, &[self.kind as u8]);
        if let Some(requested) = self.requested {
            writer.option(option::REQUESTED, &requested.octets());
        }
        if let Some(server) = self.server {
            writer.option(option::SERVER, &server.octets());
        }
        writer.option(option::LARGEST, &(DHCP_BYTES as u16 + HEADER_BYTES).to_be_bytes());
        if !self.host_name.is_empty() {
            writer.option(option::HOST_NAME, self.host_name.as_bytes());
        }
        let wanted = [
            option::MASK,
            option::ROUTER,
            option::NAMESERVERS,
            option::LEASE,
            option::RENEWAL,
            option::REBINDING,
        ];
        writer.option(option::WANTED, &wanted);
        writer.put(&[option::END]);
        while writer.len < LEAST_BYTES {
            writer.put(&[option::PAD]);
        }
        let len = writer.len;
        buffer.get(..len).unwrap_or_default()
    }
}

/// Appends to a buffer in which everything has room.
struct Writer<'b> {
    buffer: &'b mut [u8; DHCP_BYTES],
    len: usize,
}

impl Writer<'_> {
    fn put(&mut self, bytes: &[u8]) {
        let end = self.len + bytes.len();
        if let Some(room) = self.buffer.get_mut(self.len..end) {
            room.copy_from_slice(bytes);
        }
        self.len = end.min(DHCP_BYTES);
    }

    /// One option, its value cut at the 255 bytes that it can have.
    fn option(&mut self, code: u8, value: &[u8]) {
        let value = value.get(..value.len().min(255)).unwrap_or_default();
        self.put(&[code, value.len() as u8]);
        self.put(value);
    }
}

/// A message of a server.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Reply {
    /// `Offer`, `Ack` or `Nak`.
    pub kind: Kind,
    /// That of the message it answers.
    pub transaction: u32,
    /// Ethernet address of the client it is for.
    pub hardware: [u8; HARDWARE_BYTES],
    /// The client's address (yiaddr), 0.0.0.0 where there is none.
    pub address: Ipv4Addr,
    /// Who answers (option 54).
    pub server: Option<Ipv4Addr>,
    /// Bits of the address that are the network's (option 1), 1 to 32.
    pub prefix: Option<u8>,
    /// The first router (option 3).
    pub router: Option<Ipv4Addr>,
    /// The first nameservers (option 6).
    pub nameservers: Vec<Ipv4Addr, NAMESERVERS>,
    /// Seconds of the lease (option 51); `u32::MAX` has no end.
    pub lease: Option<u32>,
    /// Seconds until the lease should be renewed (option 58).
    pub renewal: Option<u32>,
    /// Seconds until any server should be asked (option 59).
    pub rebinding: Option<u32>,
}

/// Why bytes are no message of a server.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum ParseError {
    /// Shorter than a message is at least, or longer than one that is taken.
    Length,
    /// No answer to an Ethernet host.
    NoReply,
    /// BOOTP without DHCP.
    Cookie,
    /// This option has a length or a value that it cannot have.
    Option(u8),
    /// No kind of message that a server sends to a client.
    Kind,
}

impl Reply {
    /// Reads a message of at most [`DHCP_BYTES`] bytes.
    ///
    /// # Errors
    /// What it is not. An option that is not asked for may hold anything.
    pub fn parse(bytes: &[u8]) -> Result<Self, ParseError> {
        if !(OPTIONS_AT..=DHCP_BYTES).contains(&bytes.len()) {
            return Err(ParseError::Length);
        }
        if bytes.get(..3) != Some(&[BOOT_REPLY, ETHERNET, HARDWARE_BYTES as u8]) {
            return Err(ParseError::NoReply);
        }
        if array(bytes, COOKIE_AT) != Some(COOKIE) {
            return Err(ParseError::Cookie);
        }
        let mut reply = Self {
            // Until option 53 says what it is.
            kind: Kind::Discover,
            transaction: array(bytes, 4).map_or(0, u32::from_be_bytes),
            hardware: array(bytes, 28).unwrap_or_default(),
            address: array(bytes, 16).map_or(Ipv4Addr::UNSPECIFIED, |octets: [u8; 4]| octets.into()),
            server: None,
            prefix: None,
            router: None,
            nameservers: Vec::new(),
            lease: None,
            renewal: None,
            rebinding: None,
        };
        let mut overload = 0;
        reply.take(bytes.get(OPTIONS_AT..).unwrap_or_default(), &mut overload)?;
        // RFC 2131, 4.1: options go on in `file`, then in `sname`, which say no more of that.
        let (in_file, in_sname) = (overload & 1 != 0, overload & 2 != 0);
        for (is_used, field) in [(in_file, FILE), (in_sname, SNAME)] {
            if is_used {
                reply.take(bytes.get(field).unwrap_or_default(), &mut overload)?;
            }
        }
        if reply.kind == Kind::Discover { Err(ParseError::Kind) } else { Ok(reply) }
    }

    /// Takes the options of one field. Of an option that comes twice the first one counts, but for
    /// nameservers, of which there may be more.
    fn take(&mut self, mut field: &[u8], overload: &mut u8) -> Result<(), ParseError> {
        while let Some((code, rest)) = field.split_first() {
            match *code {
                option::END => return Ok(()),
                option::PAD => {
                    field = rest;
                    continue;
                }
                _ => {}
            }
            let error = ParseError::Option(*code);
            let (len, rest) = rest.split_first().ok_or(error)?;
            let (value, rest) = rest.split_at_checked(usize::from(*len)).ok_or(error)?;
            field = rest;
            match *code {
                option::KIND => {
                    let kind = match value {
                        [2] => Kind::Offer,
                        [5] => Kind::Ack,
                        [6] => Kind::Nak,
                        _ => return Err(ParseError::Kind),
                    };
                    if self.kind == Kind::Discover {
                        self.kind = kind;
                    }
                }
                option::OVERLOAD => match value {
                    [fields @ 1..=3] => *overload = *fields,
                    _ => return Err(error),
                },
                option::MASK => set(&mut self.prefix, whole(value).and_then(prefix_of).ok_or(error)?),
                option::ROUTER => set(&mut self.router, addresses(value, error)?.next().ok_or(error)?),
                option::NAMESERVERS => {
                    for server in addresses(value, error)? {
                        // Those beyond the limit are not asked.
                        let _ = self.nameservers.push(server);
                    }
                }
                option::SERVER => {
                    set(&mut self.server, whole(value).map(|octets: [u8; 4]| octets.into()).ok_or(error)?);
                }
                option::LEASE => set(&mut self.lease, whole(value).map(u32::from_be_bytes).ok_or(error)?),
                option::RENEWAL => set(&mut self.renewal, whole(value).map(u32::from_be_bytes).ok_or(error)?),
                option::REBINDING => {
                    set(&mut self.rebinding, whole(value).map(u32::from_be_bytes).ok_or(error)?);
                }
                _ => {}
            }
        }
        // An end that is missing is not missed.
        Ok(())
    }
}

fn set<T>(option: &mut Option<T>, value: T) {
    option.get_or_insert(value);
}

/// The bytes at this place, if there are so many.
fn array<const N: usize>(bytes: &[u8], at: usize) -> Option<[u8; N]> {
    bytes.get(at..)?.first_chunk().copied()
}

/// All bytes of a value of this length.
fn whole<const N: usize>(value: &[u8]) -> Option<[u8; N]> {
    value.try_into().ok()
}

/// A list of addresses, one at least.
fn addresses(value: &[u8], error: ParseError) -> Result<impl Iterator<Item = Ipv4Addr>, ParseError> {
    let (addresses, rest) = value.as_chunks::<4>();
    if addresses.is_empty() || !rest.is_empty() {
        return Err(error);
    }
    Ok(addresses.iter().map(|octets| (*octets).into()))
}

/// The bits of a network mask: ones, then zeros.
fn prefix_of(mask: [u8; 4]) -> Option<u8> {
    let mask = u32::from_be_bytes(mask);
    let ones = mask.leading_ones();
    if ones == 0 || ones + mask.trailing_zeros().min(32) < 32 {
        return None;
    }
    u8::try_from(ones).ok()
}

#[cfg(test)]
mod tests;
