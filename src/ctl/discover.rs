//! `discover`: asks the networks of this machine for servers, by multicast DNS.

use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::os::fd::AsFd as _;
use std::time::Instant;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::retry_on_intr;

use super::env::Env;
use super::failure::{Failure, UNAVAILABLE};
use super::output::{Row, sanitize, table};
use super::url::Url;
use super::values::{member, quoted};
use super::{DISCOVER_REPEAT, DISCOVER_TIME, DISCOVERED};
use crate::mdns::MDNS_RECEIVED_BYTES;
use crate::mdns::browse::{Found, QUESTION, visit_servers};
use crate::sys::multicast::{IpVersion, MulticastSocket};
use crate::sys::{HostAddress, HostAddresses};

const HEAD: [&str; 4] = ["NAME", "ADDRESS", "URL", "VERSION"];
/// The same in an object.
const KEYS: [&str; 4] = ["name", "address", "url", "version"];

/// Asks for [`DISCOVER_TIME`], and prints the servers. Exit code 69 if there is none.
pub(super) fn run(env: &mut Env<'_>, is_json: bool) -> Result<u8, Failure> {
    let failed = |why: &str| Failure::new(UNAVAILABLE, format!("cannot ask the network for servers: {why}"));
    let (addresses, _) =
        HostAddresses::open().ok_or_else(|| failed("this machine does not list its addresses"))?;
    let addresses: Vec<_> = addresses.get().iter().filter(|address| !address.is_loopback()).collect();
    if addresses.is_empty() {
        return Err(failed("this machine has no address of a network"));
    }
    let mut sockets = Vec::new();
    for version in [IpVersion::V4, IpVersion::V6] {
        sockets.extend(MulticastSocket::open_client(version));
    }
    let mut servers = Vec::new();
    let mut now = Instant::now();
    let (mut question, end) = (now, now + DISCOVER_TIME);
    while now < end {
        if now >= question {
            question += DISCOVER_REPEAT;
            sockets.iter().for_each(|socket| ask(socket, &addresses));
        }
        let wait = question.min(end).saturating_duration_since(now);
        let mut ready: Vec<_> =
            sockets.iter().map(|socket| PollFd::from_borrowed_fd(socket.as_fd(), PollFlags::IN)).collect();
        let wait = Timespec::try_from(wait).map_err(|error| failed(&error.to_string()))?;
        retry_on_intr(|| poll(&mut ready, Some(&wait))).map_err(|error| failed(&error.to_string()))?;
        sockets.iter().for_each(|socket| receive(socket, &mut servers));
        now = Instant::now();
    }
    if servers.is_empty() {
        let text = format!(
            "no server has replied within {} s: [listen] announce = true announces one to its own network; \
             a firewall may keep back replies from UDP port 5353",
            DISCOVER_TIME.as_secs()
        );
        return Err(Failure::new(UNAVAILABLE, text));
    }
    let text = if is_json { objects(&servers)? } else { table(&HEAD, servers, env.terminal) };
    env.print(&text)?;
    Ok(0)
}

/// Sends the question on each interface, as far as its network is up.
fn ask(socket: &MulticastSocket, addresses: &[&HostAddress]) {
    let is_v4 = socket.version() == IpVersion::V4;
    let found = addresses.iter().filter(|address| address.address.is_ipv4() == is_v4);
    let mut interfaces: Vec<_> = found.map(|address| address.interface).collect();
    interfaces.dedup();
    for interface in interfaces {
        let _ = socket.send(QUESTION, interface);
    }
}

/// Adds the servers of the responses that are there, each once.
fn receive(socket: &MulticastSocket, servers: &mut Vec<Row>) {
    let mut bytes = [0; MDNS_RECEIVED_BYTES];
    for _ in 0..DISCOVERED {
        let Ok((len, source)) = socket.receive(&mut bytes) else { return };
        visit_servers(bytes.get(..len).unwrap_or_default(), &mut |found| add(servers, &found, &source));
    }
}

fn add(servers: &mut Vec<Row>, found: &Found, source: &SocketAddr) {
    let Some(address) = found.addresses.iter().min_by_key(|address| rank(**address)) else { return };
    let mut host = address.to_string();
    if let (2, SocketAddr::V6(source)) = (rank(*address), source) {
        host = format!("{host}%{}", source.scope_id());
    }
    let url =
        Url::Network { tls: found.has_tls, host: host.clone(), port: found.port, prefix: String::new() };
    let [name, version] = [found.name.as_str(), found.version.as_str()].map(sanitize);
    let server = vec![name, host, url.to_string(), version];
    // It replies over both IP versions, and to each question, with the same addresses.
    if servers.len() < DISCOVERED && !servers.contains(&server) {
        let at = servers.partition_point(|other| *other < server);
        servers.insert(at, server);
    }
}

/// Preference of an address: an address of the link is of use on its interface alone.
fn rank(address: IpAddr) -> u8 {
    const LINK: Ipv6Addr = Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 0);
    match address {
        IpAddr::V4(_) => 0,
        IpAddr::V6(address) if address.to_bits() >> 118 == LINK.to_bits() >> 118 => 2,
        IpAddr::V6(_) => 1,
    }
}

/// A line with an object for each server.
fn objects(servers: &[Row]) -> Result<String, Failure> {
    let mut text = String::new();
    for server in servers {
        let mut begin = "{";
        for (key, cell) in KEYS.iter().zip(server) {
            text += begin;
            text += &member(key, &quoted(cell)?)?;
            begin = ",";
        }
        text += "}\n";
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(name: &str, addresses: &[&str], has_tls: bool) -> Found {
        Found {
            name: name.try_into().unwrap(),
            port: 6500,
            has_tls,
            version: "0.1.0".try_into().unwrap(),
            addresses: addresses.iter().map(|address| address.parse().unwrap()).collect(),
        }
    }

    const SOURCE: &str = "192.0.2.9:5353";

    #[test]
    fn servers_up_to_the_limit_are_found_each_once() {
        let mut servers = Vec::new();
        for _ in 0..2 {
            for number in 0..DISCOVERED + 1 {
                let address = format!("192.0.2.{number}");
                add(&mut servers, &found("board", &[&address], true), &SOURCE.parse().unwrap());
            }
        }
        assert_eq!(servers.len(), DISCOVERED);
    }

    #[test]
    fn url_has_the_address_that_is_of_most_use() {
        let source = SocketAddr::from(std::net::SocketAddrV6::new("fe80::9".parse().unwrap(), 5353, 0, 3));
        for (addresses, has_tls, url) in [
            (&["fe80::1", "2001:db8::1", "192.0.2.1"][..], true, "wss://192.0.2.1:6500"),
            (&["fe80::1", "2001:db8::1"], true, "wss://[2001:db8::1]:6500"),
            (&["fe80::1"], true, "wss://[fe80::1%3]:6500"),
            (&["192.0.2.1"], false, "ws://192.0.2.1:6500"),
        ] {
            let mut servers = Vec::new();
            add(&mut servers, &found("a\x1b", addresses, has_tls), &source);
            assert_eq!((servers[0][2].as_str(), servers[0][0].as_str()), (url, "a\u{fffd}"));
            assert!(Url::parse(url).is_ok(), "{url}");
        }
    }

    #[test]
    fn object_is_a_line() {
        let mut servers = Vec::new();
        add(&mut servers, &found("a\"b", &["192.0.2.1"], true), &SOURCE.parse().unwrap());
        let expected =
            r#"{"name":"a\"b","address":"192.0.2.1","url":"wss://192.0.2.1:6500","version":"0.1.0"}"#;
        assert_eq!(objects(&servers).unwrap(), format!("{expected}\n"));
    }
}
