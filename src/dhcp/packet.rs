//! DHCP messages: encoder of the client's messages, parser of the server's.

use core::net::Ipv4Addr;

use heapless::Vec;

use super::{DHCP_BYTES, NAMESERVERS};
use crate::sntp::NTP_SERVERS;

/// Length of an Ethernet address.
pub const HARDWARE_BYTES: usize = 6;

/// Length of the shortest message sent: older servers and relays drop less than BOOTP's 300 bytes.
const LEAST_BYTES: usize = 300;
/// Length of the IPv4 and UDP headers, which option 57 includes.
const HEADER_BYTES: u16 = 28;
/// Offset of the options, behind the cookie.
const OPTIONS_AT: usize = 240;
const COOKIE_AT: usize = 236;
const SNAME: core::ops::Range<usize> = 44..108;
const FILE: core::ops::Range<usize> = 108..236;
/// First bytes of the options (RFC 2131, 3).
const COOKIE: [u8; 4] = [99, 130, 83, 99];
const BOOT_REQUEST: u8 = 1;
const BOOT_REPLY: u8 = 2;
const ETHERNET: u8 = 1;
/// BROADCAST flag (RFC 2131, 2): the server broadcasts its reply, because this host has no address.
const BROADCAST_FLAG: u16 = 0x8000;

/// Option codes of RFC 2132.
mod option {
    pub(super) const PAD: u8 = 0;
    pub(super) const MASK: u8 = 1;
    pub(super) const ROUTER: u8 = 3;
    pub(super) const NAMESERVERS: u8 = 6;
    pub(super) const HOST_NAME: u8 = 12;
    pub(super) const NTP_SERVERS: u8 = 42;
    pub(super) const REQUESTED: u8 = 50;
    pub(super) const LEASE: u8 = 51;
    pub(super) const OVERLOAD: u8 = 52;
    pub(super) const MESSAGE_TYPE: u8 = 53;
    pub(super) const SERVER: u8 = 54;
    pub(super) const PARAMETER_LIST: u8 = 55;
    pub(super) const MAX_MESSAGE: u8 = 57;
    pub(super) const RENEWAL: u8 = 58;
    pub(super) const REBINDING: u8 = 59;
    pub(super) const END: u8 = 255;
}

/// DHCP message type: option 53.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[repr(u8)]
pub enum MessageType {
    /// DHCPDISCOVER.
    Discover = 1,
    /// DHCPOFFER.
    Offer = 2,
    /// DHCPREQUEST.
    Request = 3,
    /// DHCPACK.
    Ack = 5,
    /// DHCPNAK.
    Nak = 6,
}

/// Message from a client to servers.
#[derive(Clone, Debug)]
pub struct ClientMessage<'a> {
    /// `Discover` or `Request`.
    pub kind: MessageType,
    /// Transaction number (xid), repeated in every reply.
    pub transaction: u32,
    /// Seconds since the exchange started (secs).
    pub seconds: u16,
    /// Ethernet address of the client (chaddr).
    pub hardware: [u8; HARDWARE_BYTES],
    /// Address in use (ciaddr); without one, the server broadcasts its reply.
    pub address: Option<Ipv4Addr>,
    /// Requested address (option 50).
    pub requested: Option<Ipv4Addr>,
    /// Server whose offer the client accepts (option 54).
    pub server: Option<Ipv4Addr>,
    /// Host name (option 12), left out when empty.
    pub host_name: &'a str,
}

impl ClientMessage<'_> {
    /// Encodes the message into `buffer` and returns its bytes.
    pub fn write<'b>(&self, buffer: &'b mut [u8; DHCP_BYTES]) -> &'b [u8] {
        let mut writer = MessageWriter { buffer, len: 0 };
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
        writer.option(option::MESSAGE_TYPE, &[self.kind as u8]);
        if let Some(requested) = self.requested {
            writer.option(option::REQUESTED, &requested.octets());
        }
        if let Some(server) = self.server {
            writer.option(option::SERVER, &server.octets());
        }
        writer.option(option::MAX_MESSAGE, &(DHCP_BYTES as u16 + HEADER_BYTES).to_be_bytes());
        if !self.host_name.is_empty() {
            writer.option(option::HOST_NAME, self.host_name.as_bytes());
        }
        let parameters = [
            option::MASK,
            option::ROUTER,
            option::NAMESERVERS,
            option::NTP_SERVERS,
            option::LEASE,
            option::RENEWAL,
            option::REBINDING,
        ];
        writer.option(option::PARAMETER_LIST, &parameters);
        writer.put(&[option::END]);
        while writer.len < LEAST_BYTES {
            writer.put(&[option::PAD]);
        }
        let MessageWriter { buffer, len } = writer;
        &buffer[..len]
    }
}

/// Appends to a buffer in which the longest message has room.
struct MessageWriter<'b> {
    buffer: &'b mut [u8; DHCP_BYTES],
    len: usize,
}

impl MessageWriter<'_> {
    fn put(&mut self, bytes: &[u8]) {
        let end = self.len + bytes.len();
        let Some(room) = self.buffer.get_mut(self.len..end) else {
            crate::internal_error!("DHCP message of {} bytes or more", end);
            return;
        };
        room.copy_from_slice(bytes);
        self.len = end;
    }

    /// Appends one option. Its value is cut at 255 bytes, the most an option holds.
    fn option(&mut self, code: u8, value: &[u8]) {
        let value = &value[..value.len().min(255)];
        self.put(&[code, value.len() as u8]);
        self.put(value);
    }
}

/// Message from a server to a client.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct ServerMessage {
    /// `Offer`, `Ack` or `Nak`.
    pub kind: MessageType,
    /// Transaction number (xid) of the message that it replies to.
    pub transaction: u32,
    /// Ethernet address of the client (chaddr).
    pub hardware: [u8; HARDWARE_BYTES],
    /// Address for the client (yiaddr), or 0.0.0.0.
    pub address: Ipv4Addr,
    /// Server that sent the message (option 54).
    pub server: Option<Ipv4Addr>,
    /// Length of the subnet prefix (option 1), 1 to 32.
    pub prefix: Option<u8>,
    /// First router (option 3).
    pub router: Option<Ipv4Addr>,
    /// First nameservers (option 6).
    pub nameservers: Vec<Ipv4Addr, NAMESERVERS>,
    /// First NTP servers (option 42).
    pub ntp: Vec<Ipv4Addr, NTP_SERVERS>,
    /// Seconds of the lease (option 51); `u32::MAX` is infinite.
    pub lease: Option<u32>,
    /// Seconds until renewal, T1 (option 58).
    pub renewal: Option<u32>,
    /// Seconds until rebinding, T2 (option 59).
    pub rebinding: Option<u32>,
}

/// Defect of bytes that are not a message from a server.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum ParseError {
    /// Shorter than any message, or longer than [`DHCP_BYTES`].
    Length,
    /// Not a reply to an Ethernet host.
    NotReply,
    /// BOOTP without DHCP.
    Cookie,
    /// Invalid length or value of this option.
    Option(u8),
    /// Missing message type, or one that servers do not send to clients.
    MessageType,
}

impl ServerMessage {
    /// Parses a message of at most [`DHCP_BYTES`] bytes.
    ///
    /// # Errors
    /// The first defect. Options that the client does not request may hold anything.
    pub fn parse(bytes: &[u8]) -> Result<Self, ParseError> {
        if !(OPTIONS_AT..=DHCP_BYTES).contains(&bytes.len()) {
            return Err(ParseError::Length);
        }
        if bytes.get(..3) != Some(&[BOOT_REPLY, ETHERNET, HARDWARE_BYTES as u8]) {
            return Err(ParseError::NotReply);
        }
        if array_at(bytes, COOKIE_AT)? != COOKIE {
            return Err(ParseError::Cookie);
        }
        let mut message = Self {
            // Replaced by option 53; no server sends this type.
            kind: MessageType::Discover,
            transaction: u32::from_be_bytes(array_at(bytes, 4)?),
            hardware: array_at(bytes, 28)?,
            address: array_at::<4>(bytes, 16)?.into(),
            server: None,
            prefix: None,
            router: None,
            nameservers: Vec::new(),
            ntp: Vec::new(),
            lease: None,
            renewal: None,
            rebinding: None,
        };
        let mut overload = 0;
        message.parse_options(&bytes[OPTIONS_AT..], &mut overload)?;
        // RFC 2131, 4.1: options continue in `file`, then in `sname`, where option 52 has no effect.
        let (in_file, in_sname) = (overload & 1 != 0, overload & 2 != 0);
        for (is_used, field) in [(in_file, FILE), (in_sname, SNAME)] {
            if is_used {
                message.parse_options(&bytes[field], &mut overload)?;
            }
        }
        if message.kind == MessageType::Discover { Err(ParseError::MessageType) } else { Ok(message) }
    }

    /// Parses the options of one field. The first of two equal options counts; lists of servers
    /// are joined.
    fn parse_options(&mut self, mut field: &[u8], overload: &mut u8) -> Result<(), ParseError> {
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
                option::MESSAGE_TYPE => {
                    let kind = match value {
                        [2] => MessageType::Offer,
                        [5] => MessageType::Ack,
                        [6] => MessageType::Nak,
                        _ => return Err(ParseError::MessageType),
                    };
                    if self.kind == MessageType::Discover {
                        self.kind = kind;
                    }
                }
                option::OVERLOAD => match value {
                    [fields @ 1..=3] => *overload = *fields,
                    _ => return Err(error),
                },
                option::MASK => {
                    set_first(&mut self.prefix, exact(value).and_then(prefix_of_mask).ok_or(error)?);
                }
                option::ROUTER => set_first(&mut self.router, addresses(value, error)?.next().ok_or(error)?),
                option::NAMESERVERS => {
                    for server in addresses(value, error)? {
                        // Those beyond the limit are not used.
                        let _ = self.nameservers.push(server);
                    }
                }
                // A board without the time is better than one without a network.
                option::NTP_SERVERS => {
                    for server in addresses(value, error).into_iter().flatten() {
                        let _ = self.ntp.push(server);
                    }
                }
                option::SERVER => {
                    set_first(&mut self.server, exact::<4>(value).map(Ipv4Addr::from).ok_or(error)?);
                }
                option::LEASE => set_first(&mut self.lease, number(value).ok_or(error)?),
                option::RENEWAL => set_first(&mut self.renewal, number(value).ok_or(error)?),
                option::REBINDING => set_first(&mut self.rebinding, number(value).ok_or(error)?),
                _ => {}
            }
        }
        // The end option may be missing.
        Ok(())
    }
}

fn set_first<T>(option: &mut Option<T>, value: T) {
    option.get_or_insert(value);
}

/// `N` bytes from offset `at`.
fn array_at<const N: usize>(bytes: &[u8], at: usize) -> Result<[u8; N], ParseError> {
    bytes.get(at..).and_then(|rest| rest.first_chunk().copied()).ok_or(ParseError::Length)
}

/// All bytes of a value of exactly `N`.
fn exact<const N: usize>(value: &[u8]) -> Option<[u8; N]> {
    value.try_into().ok()
}

/// Value of four bytes as a number.
fn number(value: &[u8]) -> Option<u32> {
    exact(value).map(u32::from_be_bytes)
}

/// List of at least one address.
fn addresses(value: &[u8], error: ParseError) -> Result<impl Iterator<Item = Ipv4Addr>, ParseError> {
    let (addresses, rest) = value.as_chunks::<4>();
    if addresses.is_empty() || !rest.is_empty() {
        return Err(error);
    }
    Ok(addresses.iter().map(|octets| (*octets).into()))
}

/// Prefix length of a subnet mask: ones, then zeros.
fn prefix_of_mask(mask: [u8; 4]) -> Option<u8> {
    let mask = u32::from_be_bytes(mask);
    let ones = mask.leading_ones();
    if ones == 0 || ones + mask.trailing_zeros().min(32) < 32 {
        return None;
    }
    u8::try_from(ones).ok()
}

#[cfg(test)]
mod tests;
