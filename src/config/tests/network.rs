//! `[network]`, correct and wrong.

use core::net::Ipv4Addr;

use super::super::{Address, Network};
use super::{config, errors};

fn network(keys: &str) -> Network {
    config(&format!("[network]\n{keys}")).network.unwrap()
}

fn refused(keys: &str) -> String {
    errors(&format!("[network]\n{keys}\n"))
}

#[test]
fn empty_table_is_dhcp_on_the_first_interface() {
    let network = network("");
    assert_eq!(network, Network::default());
    assert_eq!((network.interface.as_deref(), network.address), (None, Address::Dhcp));
    assert_eq!((network.host_name.as_str(), network.nameservers.len()), ("friendlet", 0));
}

#[test]
fn every_key_is_read() {
    let network = network(
        "interface = 'end0'\naddress = '192.168.1.20/24'\ngateway = '192.168.1.1'\n\
         nameservers = ['9.9.9.9', '192.168.1.1']\nntp = ['192.168.1.1']\nhostname = 'gateway-1.example'\n",
    );
    assert_eq!(network.interface.as_deref(), Some("end0"));
    let (address, gateway) = (Ipv4Addr::new(192, 168, 1, 20), Ipv4Addr::new(192, 168, 1, 1));
    assert_eq!(network.address, Address::Static { address, prefix: 24, gateway: Some(gateway) });
    assert_eq!(network.nameservers, [Ipv4Addr::new(9, 9, 9, 9), gateway]);
    assert_eq!(network.ntp, [gateway]);
    assert_eq!(network.host_name, "gateway-1.example");
}

#[test]
fn every_error_is_reported_with_its_place() {
    assert_eq!(
        refused(
            "interface = 'eth 0'\nadress = 'dhcp'\naddress = '192.168.1.20'\ngateway = 'router'\n\
             hostname = 'a_b'\nnameservers = ['::1', 1, '1.1.1.1']"
        ),
        "2:13: interface: expected the name of an interface, such as 'eth0', and not 'lo', found 'eth 0'\n\
         3:1: unknown key 'adress' in [network]; did you mean 'address'?\n\
         4:11: address: expected 'dhcp', or an IPv4 address of a host with its prefix, such as '192.168.1.20/24', found '192.168.1.20'\n\
         5:11: gateway: expected an IPv4 address, such as '192.168.1.1', found 'router'\n\
         6:12: hostname: expected letters, digits, '-' and '.' (RFC 1123), such as 'gateway-1', found 'a_b'\n\
         7:16: nameservers: expected an IPv4 address, found '::1'\n\
         7:23: nameservers: expected a string in quotes, found a whole number; write it in quotes\n"
    );
    assert_eq!(errors("network = 1\n"), "1:11: expected [network], found a whole number\n");
}

#[test]
fn interfaces_have_names() {
    for name in ["eth0", "usb0", "enp3s0", "wlx00c0ca", "br-lan", "eth0.5"] {
        assert_eq!(network(&format!("interface = '{name}'")).interface.as_deref(), Some(name));
    }
    for name in ["", ".", "..", "lo", "a/b", "eth0:1", "é", "a b"] {
        assert_eq!(
            refused(&format!("interface = '{name}'")),
            format!(
                "2:13: interface: expected the name of an interface, such as 'eth0', and not 'lo', found '{name}'\n"
            )
        );
    }
}

#[test]
fn addresses_are_those_of_hosts() {
    for address in
        ["10.0.0.1/8", "192.0.2.1/32", "192.0.2.0/31", "192.0.2.1/31", "1.0.0.0/1", "10.0.0.255/16"]
    {
        let (text, prefix) = address.split_once('/').unwrap();
        let expected = Address::Static {
            address: text.parse().unwrap(),
            prefix: prefix.parse().unwrap(),
            gateway: None,
        };
        assert_eq!(network(&format!("address = '{address}'")).address, expected);
    }
    for text in [
        "",
        "DHCP",
        "10.0.0.1/0",
        "10.0.0.1/33",
        "10.0.0.1/+8",
        "10.0.0.1/",
        "10.0.0/8",
        "fe80::1/64",
        "10.0.0.0/8",
        "10.255.255.255/8",
        "127.0.0.1/8",
        "224.0.0.1/24",
        "0.0.0.1/24",
        "255.255.255.255/32",
    ] {
        let refused = refused(&format!("address = '{text}'"));
        assert!(refused.starts_with("2:11: address: expected 'dhcp', or an IPv4"), "{refused}");
    }
}

#[test]
fn gateway_is_a_neighbour() {
    let with = |gateway: &str| refused(&format!("address = '192.168.1.20/24'\ngateway = '{gateway}'"));
    assert_eq!(
        with("192.168.2.1"),
        "3:11: gateway 192.168.2.1: is not in the network 192.168.1.0/24 of the address\n"
    );
    assert_eq!(with("192.168.1.20"), "3:11: gateway 192.168.1.20: is the address of the board\n");
    assert_eq!(with("192.168.1.255"), "3:11: gateway 192.168.1.255: is not an address of a host\n");
    let alone = "gateway: needs an address such as '192.168.1.20/24'; DHCP sends its own\n";
    assert_eq!(refused("gateway = '10.0.0.1'"), format!("2:11: {alone}"));
    assert_eq!(refused("gateway = '10.0.0.1'\naddress = 'dhcp'"), format!("2:11: {alone}"));
    // A wrong address is reported without its consequences.
    assert_eq!(
        refused("gateway = '10.0.0.1'\naddress = 1"),
        "3:11: address: expected a string in quotes, found a whole number; write it in quotes\n"
    );
    assert!(refused("gateway = '10.0.0.1'\naddress = '10'").lines().eq([
        "3:11: address: expected 'dhcp', or an IPv4 address of a host with its prefix, such as '192.168.1.20/24', found '10'"
    ]));
}

#[test]
fn host_names_are_those_of_rfc_1123() {
    let label = "a".repeat(60);
    for name in ["a", "0", "board-7", "3com", "a.b", "A1.example", label.as_str()] {
        assert_eq!(network(&format!("hostname = '{name}'")).host_name, name);
    }
    for name in ["", "-a", "a-", "a..b", ".a", "a.", "a b", "ä", "a_b"] {
        assert!(refused(&format!("hostname = '{name}'")).starts_with("2:12: hostname: expected"), "{name}");
    }
}
