//! Addresses of this host, and their changes, for a process that may open no socket to the kernel later.

use heapless::Vec;

use super::message::{ADDRESS_GROUPS, HostAddress};
use super::rtnetlink::{KernelEvents, NetworkError, RtNetlink};
use crate::log::console::warning;
use crate::sys::HOST_ADDRESSES;

/// Addresses of this host, as of the last read.
#[derive(Debug)]
pub struct HostAddresses {
    rtnetlink: RtNetlink,
    table: Table,
    /// Error of the last read, which is not logged again.
    error: Option<NetworkError>,
}

/// Table with a place for each address, and the number of those without one.
#[derive(Debug, Default)]
struct Table {
    addresses: Vec<HostAddress, HOST_ADDRESSES>,
    left_out: usize,
}

impl Table {
    fn push(&mut self, address: HostAddress) {
        self.left_out += usize::from(self.addresses.push(address).is_err());
    }
}

impl HostAddresses {
    /// Opens the sockets and reads the addresses. `None`, with a record: the kernel has no such sockets. The events are
    /// those of a change, after which [`read`](Self::read) is due.
    pub fn open() -> Option<(Self, KernelEvents)> {
        // The events first, so that no change is between the two.
        let opened = KernelEvents::open(ADDRESS_GROUPS).and_then(|events| Ok((events, RtNetlink::open()?)));
        match opened {
            Ok((events, rtnetlink)) => {
                let mut addresses = Self { rtnetlink, table: Table::default(), error: None };
                addresses.read();
                Some((addresses, events))
            }
            Err(error) => {
                warning!("the addresses of this host are unknown: {}", error);
                None
            }
        }
    }

    /// The addresses, of IPv4 first and then by interface. None is one that another host may have.
    pub fn get(&self) -> &[HostAddress] {
        &self.table.addresses
    }

    /// Reads the addresses again. It neither blocks nor allocates. After an error, which is logged once, the table has what
    /// was read before it.
    pub fn read(&mut self) {
        let before = core::mem::take(&mut self.table);
        let table = &mut self.table;
        let error = self.rtnetlink.addresses(|address| table.push(address)).err();
        if table.left_out > before.left_out {
            warning!(
                "{} addresses of this host are not used: it has more than {}",
                table.left_out,
                HOST_ADDRESSES
            );
        }
        if let Some(error) = error.filter(|_| error != self.error) {
            warning!("{}", error);
        }
        self.error = error;
    }
}

#[cfg(test)]
mod tests {
    use std::net::{IpAddr, Ipv4Addr};

    use super::super::message::LOOPBACK;
    use super::*;

    #[test]
    fn addresses_of_the_loopback_are_found_each_time() {
        let (mut addresses, events) = HostAddresses::open().unwrap();
        for _ in 0..2 {
            let found = addresses.get().iter().find(|found| found.address == Ipv4Addr::LOCALHOST).unwrap();
            assert_eq!((found.prefix, found.interface, found.is_stable), (8, LOOPBACK, true));
            assert!(found.is_loopback() && !found.is_global());
            addresses.read();
        }
        let _ = events.drain();
    }

    #[test]
    fn addresses_up_to_their_limit_are_known() {
        let mut table = Table::default();
        for number in 0..HOST_ADDRESSES as u32 + 2 {
            let address = IpAddr::from(Ipv4Addr::from_bits(number));
            table.push(HostAddress { address, prefix: 24, interface: 2, scope: 0, is_stable: true });
        }
        assert_eq!((table.addresses.len(), table.left_out), (HOST_ADDRESSES, 2));
        let last = table.addresses.last().map(|last| last.address);
        assert_eq!(last, Some(Ipv4Addr::from_bits(HOST_ADDRESSES as u32 - 1).into()));
    }
}
