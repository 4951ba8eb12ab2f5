//! Network of a board: interface, address, gateway and nameservers.
//!
//! [`NetworkManager`] has the interface of a sans-IO machine, but does its own system calls: to the
//! kernel over its routing socket, and to DHCP servers over UDP. It never blocks, and allocates
//! nothing.

mod addresses;
mod message;
mod rtnetlink;

use std::fmt::{self, Write as _};
use std::fs;
use std::io::{self, Write as _};
use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::time::Duration;

use heapless::{String, Vec};
use rustix::event::epoll;
use rustix::fd::{AsFd as _, BorrowedFd, OwnedFd};
use rustix::io::Errno;

pub use self::addresses::HostAddresses;
pub use self::message::HostAddress;
use self::message::{LINK_GROUP, LOOPBACK, Link, Request};
pub use self::rtnetlink::KernelEvents;
use self::rtnetlink::{NetworkError, Op, RtNetlink};
use super::random;
use crate::config::{Address, Network};
use crate::dhcp::{
    AddressChange, CLIENT_PORT, Client, DHCP_BYTES, Destination, Lease, LeaseEnd, NAMESERVERS, SERVER_PORT,
};
use crate::log::Reason;
use crate::log::console::{debug, error, info, warning};
use crate::sntp::NTP_SERVERS;
use crate::sys::{NETWORK_POLL, NETWORK_STEPS};

/// File of the nameservers, for the services. `/etc/resolv.conf` of a board is a link to it.
const RESOLV_CONF: &str = "/run/resolv.conf";
const NEW_RESOLV_CONF: &str = "/run/.resolv.conf.new";
/// One line `nameserver 255.255.255.255` for each.
const RESOLV_CONF_BYTES: usize = 28 * NAMESERVERS;

/// Configuration of an interface.
#[derive(Clone, Debug, PartialEq)]
struct AddressConfig {
    address: Ipv4Addr,
    prefix: u8,
    gateway: Option<Ipv4Addr>,
    nameservers: Vec<Ipv4Addr, NAMESERVERS>,
    ntp: Vec<Ipv4Addr, NTP_SERVERS>,
}

impl fmt::Display for AddressConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.address, self.prefix)?;
        match self.gateway {
            Some(gateway) => write!(f, ", gateway {gateway}"),
            None => Ok(()),
        }
    }
}

/// Sockets to the kernel.
#[derive(Debug)]
struct Sockets {
    rtnetlink: RtNetlink,
    events: KernelEvents,
    /// Readable when the events or the DHCP socket are.
    epoll: OwnedFd,
}

impl Sockets {
    fn open() -> Result<Self, NetworkError> {
        let (rtnetlink, events) = (RtNetlink::open()?, KernelEvents::open(LINK_GROUP)?);
        let failed = |errno| NetworkError { op: Op::Open, errno };
        let epoll = epoll::create(epoll::CreateFlags::CLOEXEC).map_err(failed)?;
        epoll::add(&epoll, &events, epoll::EventData::new_u64(0), epoll::EventFlags::IN).map_err(failed)?;
        Ok(Self { rtnetlink, events, epoll })
    }

    /// Opens the DHCP socket, on all interfaces: a reply is accepted by its transaction number,
    /// which only the interface in use has sent.
    fn listen(&self) -> Result<UdpSocket, NetworkError> {
        let open = || -> io::Result<UdpSocket> {
            let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, CLIENT_PORT))?;
            socket.set_nonblocking(true)?;
            socket.set_broadcast(true)?;
            epoll::add(&self.epoll, &socket, epoll::EventData::new_u64(0), epoll::EventFlags::IN)?;
            Ok(socket)
        };
        open().map_err(|error| NetworkError { op: Op::Listen, errno: errno_of(&error) })
    }
}

/// Configures the network as `[network]` of the configuration file says, and keeps it up.
///
/// Call [`handle_ready`](Self::handle_ready) when [`fd`](Self::fd) is readable, and no later than
/// [`poll_timeout`](Self::poll_timeout).
#[derive(Debug)]
pub struct NetworkManager {
    network: Network,
    sockets: Option<Sockets>,
    dhcp_socket: Option<UdpSocket>,
    client: Option<Client>,
    /// Interface in use, as of the last scan.
    link: Option<Link>,
    /// Configuration to apply.
    desired: Option<AddressConfig>,
    /// Configuration that the kernel has.
    applied: Option<AddressConfig>,
    /// Duration of the DHCP lease; `None` is infinite.
    lease_time: Option<Duration>,
    /// Time of the next scan without an event.
    scan_at: Option<Duration>,
    /// Last logged problem, which is not logged again at each try.
    last_logged: Option<Problem>,
}

/// Obstacle to a working network.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Problem {
    Error(NetworkError),
    NoInterface,
    NoEthernet,
    NoCarrier,
}

impl NetworkManager {
    /// Sets the host name and brings the loopback up. Without `[network]` the board uses DHCP on its
    /// first interface.
    pub fn new(network: Option<&Network>) -> Self {
        let mut manager = Self::closed(network.cloned().unwrap_or_default());
        let named = rustix::system::sethostname(manager.network.host_name.as_bytes());
        if let Err(errno) = named {
            warning!("{}", NetworkError { op: Op::HostName, errno });
        }
        manager.open();
        manager
    }

    /// Manager without sockets.
    fn closed(network: Network) -> Self {
        Self {
            network,
            sockets: None,
            dhcp_socket: None,
            client: None,
            link: None,
            desired: None,
            applied: None,
            lease_time: None,
            scan_at: Some(Duration::ZERO),
            last_logged: None,
        }
    }

    /// Opens the sockets and brings the loopback up.
    fn open(&mut self) {
        let opened = Sockets::open().and_then(|mut sockets| {
            sockets.rtnetlink.run(Op::Up, Request::up(LOOPBACK))?;
            Ok(sockets)
        });
        match opened {
            Ok(sockets) => self.sockets = Some(sockets),
            Err(error) => self.log_problem(Problem::Error(error)),
        }
    }

    /// Descriptor that is readable when there is an event. It never changes once it is open.
    pub fn fd(&self) -> Option<BorrowedFd<'_>> {
        self.sockets.as_ref().map(|sockets| sockets.epoll.as_fd())
    }

    /// Time since start of the next [`handle_ready`](Self::handle_ready).
    pub fn poll_timeout(&self) -> Option<Duration> {
        let dhcp = self.client.as_ref().and_then(Client::poll_timeout);
        self.scan_at.into_iter().chain(dhcp).min()
    }

    /// Address of the board, and length of its prefix.
    pub fn address(&self) -> Option<(Ipv4Addr, u8)> {
        self.applied.as_ref().map(|config| (config.address, config.prefix))
    }

    /// NTP servers that can be reached: none without an address or a carrier.
    pub fn ntp_servers(&self) -> &[Ipv4Addr] {
        let is_running = self.link.as_ref().is_some_and(|link| link.is_running);
        self.applied.as_ref().filter(|_| is_running).map_or(&[], |config| &config.ntp)
    }

    /// Handles events and deadlines at `now`, the time since start. It never blocks.
    pub fn handle_ready(&mut self, now: Duration) {
        if self.sockets.is_none() {
            self.open();
        }
        if self.sockets.as_ref().is_some_and(|sockets| sockets.events.drain()) {
            self.scan_at = Some(now);
        }
        if self.scan_at.is_some_and(|at| at <= now) {
            self.scan_at = None;
            if let Err(error) = self.scan_links(now).and_then(|()| self.reconcile()) {
                self.fail(error, now);
            }
        }
        if let Err(error) = self.poll_dhcp(now) {
            self.fail(error, now);
        }
    }

    /// Logs an error, and schedules another try.
    fn fail(&mut self, error: NetworkError, now: Duration) {
        self.log_problem(Problem::Error(error));
        self.scan_at = Some(now + NETWORK_POLL);
    }

    fn log_problem(&mut self, problem: Problem) {
        if self.last_logged.replace(problem) == Some(problem) {
            return;
        }
        let configured = self.network.interface.as_deref();
        let name = self.link.as_ref().map(|link| link.name.as_str()).or(configured).unwrap_or("no interface");
        match problem {
            Problem::Error(error) => error!("{}: {}; trying again", name, error),
            Problem::NoInterface => info!("waiting for {}", configured.unwrap_or("an Ethernet interface")),
            Problem::NoEthernet => error!("{}: cannot use DHCP: not an Ethernet interface", name),
            Problem::NoCarrier => info!("{}: waiting for a carrier", name),
        }
    }

    /// Lists the interfaces, selects the one to use, and brings it up.
    fn scan_links(&mut self, now: Duration) -> Result<(), NetworkError> {
        let Some(sockets) = &mut self.sockets else {
            self.scan_at = Some(now + NETWORK_POLL);
            return Ok(());
        };
        let mut selected: Option<Link> = None;
        let (name, used) = (self.network.interface.as_ref(), self.link.as_ref());
        sockets.rtnetlink.links(|link| {
            let is_candidate = match name {
                Some(name) => link.name == *name,
                None => !link.is_loopback && link.hardware.is_some(),
            };
            // The one in use stays in use.
            let rank = |link: &Link| (used.is_none_or(|used| used.index != link.index), link.index);
            if is_candidate && selected.as_ref().is_none_or(|selected| rank(&link) < rank(selected)) {
                selected = Some(link);
            }
        })?;
        let Some(link) = selected else {
            if let Some(removed) = self.detach() {
                warning!("{}: removed", removed.name);
            }
            self.log_problem(Problem::NoInterface);
            self.scan_at = Some(now + NETWORK_POLL);
            return Ok(());
        };
        let is_used = |used: &Link| used.index == link.index && used.hardware == link.hardware;
        if !self.link.as_ref().is_some_and(is_used) {
            if self.link.as_ref().is_none_or(|used| used.index != link.index) {
                self.detach();
            }
            self.attach(&link, now);
        }
        let was_running = self.link.replace(link.clone()).is_some_and(|link| link.is_running);
        if !link.is_up {
            // An interface that goes down loses its routes, but not its address.
            if let Some(applied) = &mut self.applied {
                applied.gateway = None;
            }
            // Usually an event comes earlier.
            self.scan_at = Some(now + NETWORK_POLL);
            let Some(sockets) = &mut self.sockets else { return Ok(()) };
            sockets.rtnetlink.run(Op::Up, Request::up(link.index))?;
        }
        match (&mut self.client, link.is_running) {
            (Some(client), true) => client.handle_link_up(now),
            (Some(client), false) => client.handle_link_down(),
            (None, _) => {}
        }
        if link.is_running {
            if !was_running {
                info!("{}: has a carrier", link.name);
                self.last_logged = None;
            }
        } else if link.is_up {
            self.log_problem(Problem::NoCarrier);
            self.scan_at = Some(now + NETWORK_POLL);
        }
        Ok(())
    }

    /// Starts to use an interface, or one whose hardware address has changed.
    fn attach(&mut self, link: &Link, now: Duration) {
        self.last_logged = None;
        self.client = None;
        self.desired = None;
        self.link = Some(Link { is_running: false, ..link.clone() });
        match (self.network.address, link.hardware) {
            (Address::Static { address, prefix, gateway }, _) => {
                let Network { nameservers, ntp, .. } = self.network.clone();
                self.desired = Some(AddressConfig { address, prefix, gateway, nameservers, ntp });
            }
            (Address::Dhcp, Some(hardware)) => {
                let [a, b, c, d, e, f] = hardware;
                let clock = u64::from(now.subsec_nanos()) << 16;
                let seed = random::seed() ^ u64::from_be_bytes([a, b, c, d, e, f, 0, 0]) ^ clock;
                self.client = Some(Client::new(hardware, self.network.host_name.clone(), seed));
            }
            (Address::Dhcp, None) => self.log_problem(Problem::NoEthernet),
        }
    }

    /// Stops using the interface, which the kernel has removed together with its address.
    fn detach(&mut self) -> Option<Link> {
        // Without a client nothing would read the socket, which would stay readable.
        self.dhcp_socket = None;
        self.client = None;
        self.desired = None;
        self.applied = None;
        self.link.take()
    }

    /// Passes datagrams and time to the DHCP client, applies its changes, and sends its message.
    fn poll_dhcp(&mut self, now: Duration) -> Result<(), NetworkError> {
        let (Some(sockets), Some(client), Some(link)) = (&mut self.sockets, &mut self.client, &self.link)
        else {
            return Ok(());
        };
        let socket = match &mut self.dhcp_socket {
            Some(socket) => socket,
            none => none.insert(sockets.listen()?),
        };
        // One byte more than the limit shows that a message exceeds it.
        let mut buffer = [0; DHCP_BYTES + 1];
        for _ in 0..NETWORK_STEPS {
            match socket.recv_from(&mut buffer) {
                Ok((len, from)) if from.port() == SERVER_PORT => {
                    if let Err(reason) = client.handle_packet(&buffer[..len], now) {
                        debug!("{}: dropped a DHCP message from {}: {}", link.name, from, reason);
                    }
                }
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(error) => {
                    debug!("{}: cannot receive on UDP port 68: {}", link.name, Reason::from(&error));
                    break;
                }
            }
        }
        client.handle_timeout(now);
        if let Some(change) = client.poll_change() {
            self.apply_lease(change);
        }
        // The kernel drops the old address before the client requests another.
        self.reconcile()?;
        self.send_dhcp()
    }

    /// Makes the change of the DHCP client the desired configuration.
    fn apply_lease(&mut self, change: AddressChange) {
        let Some(link) = &self.link else { return };
        match change {
            AddressChange::Configure(lease) => {
                let config = config_of(&lease, &self.network);
                self.lease_time = lease.time;
                if self.applied.as_ref() == Some(&config) {
                    debug!("{}: keeps {}, by DHCP {}", link.name, config, LeaseTime(lease.time));
                }
                self.desired = Some(config);
            }
            AddressChange::Deconfigure(reason) => {
                if let Some(AddressConfig { address, prefix, .. }) = self.desired.take() {
                    let reason = match reason {
                        LeaseEnd::Expired => "lease expired",
                        LeaseEnd::Refused => "refused by a DHCP server",
                    };
                    warning!("{}: drops {}/{}: {}", link.name, address, prefix, reason);
                }
            }
        }
    }

    /// Applies the desired configuration to the interface.
    fn reconcile(&mut self) -> Result<(), NetworkError> {
        let (Some(sockets), Some(link)) = (&mut self.sockets, &self.link) else { return Ok(()) };
        if self.desired == self.applied || !link.is_up {
            return Ok(());
        }
        let rtnetlink = &mut sockets.rtnetlink;
        let desired = self.desired.as_ref();
        if let Some(old) = &self.applied {
            let is_kept = desired.is_some_and(|new| (new.address, new.prefix) == (old.address, old.prefix));
            if !is_kept {
                let op = Op::DeleteAddress(old.address, old.prefix);
                let deleted = rtnetlink.run(op, Request::delete_address(link.index, old.address, old.prefix));
                allow(&[Errno::ADDRNOTAVAIL, Errno::NODEV], deleted)?;
            } else if let Some(gateway) = old.gateway
                && desired.is_some_and(|new| new.gateway.is_none())
            {
                let op = Op::DeleteGateway(gateway);
                let deleted = rtnetlink.run(op, Request::delete_gateway(link.index, gateway));
                allow(&[Errno::SRCH, Errno::NODEV], deleted)?;
            }
        }
        self.applied = None;
        let Some(new) = desired else { return Ok(()) };
        let op = Op::AddAddress(new.address, new.prefix);
        rtnetlink.run(op, Request::add_address(link.index, new.address, new.prefix))?;
        // If the rest fails, the next call deletes this address.
        self.applied =
            Some(AddressConfig { gateway: None, nameservers: Vec::new(), ntp: Vec::new(), ..new.clone() });
        if let Some(gateway) = new.gateway {
            let hosts = u32::MAX.checked_shr(new.prefix.into()).unwrap_or(0);
            let is_on_link = (gateway.to_bits() ^ new.address.to_bits()) & !hosts != 0;
            let request = Request::add_gateway(link.index, gateway, is_on_link);
            rtnetlink.run(Op::AddGateway(gateway), request)?;
        }
        match self.network.address {
            Address::Dhcp => info!("{}: has {}, by DHCP {}", link.name, new, LeaseTime(self.lease_time)),
            Address::Static { .. } => info!("{}: has {}", link.name, new),
        }
        // The network works without nameservers, so this is not tried again.
        if let Err(error) = write_nameservers(&new.nameservers) {
            error!("{}", NetworkError { op: Op::Nameservers, errno: errno_of(&error) });
        }
        self.applied = self.desired.clone();
        self.last_logged = self.last_logged.filter(|problem| !matches!(problem, Problem::Error(_)));
        Ok(())
    }

    /// Sends the message of the DHCP client, if any.
    fn send_dhcp(&mut self) -> Result<(), NetworkError> {
        let (Some(sockets), Some(client), Some(link), Some(socket)) =
            (&mut self.sockets, &mut self.client, &self.link, &self.dhcp_socket)
        else {
            return Ok(());
        };
        let mut buffer = [0; DHCP_BYTES];
        let Some((bytes, destination)) = client.poll_output(&mut buffer) else { return Ok(()) };
        let to = match destination {
            Destination::Broadcast => {
                // Each time, because the kernel deletes this route with the last address.
                sockets.rtnetlink.run(Op::AddBroadcast, Request::add_broadcast(link.index))?;
                Ipv4Addr::BROADCAST
            }
            Destination::Server(server) => server,
        };
        match socket.send_to(bytes, SocketAddr::from((to, SERVER_PORT))) {
            Ok(_) => Ok(()),
            // The client repeats the message; another scan would not help.
            Err(error) => {
                self.log_problem(Problem::Error(NetworkError { op: Op::Send, errno: errno_of(&error) }));
                Ok(())
            }
        }
    }
}

/// Configuration of a lease. Servers of the configuration file replace those of the lease.
fn config_of(lease: &Lease, network: &Network) -> AddressConfig {
    let nameservers = if network.nameservers.is_empty() { &lease.nameservers } else { &network.nameservers };
    let ntp = if network.ntp.is_empty() { &lease.ntp } else { &network.ntp };
    AddressConfig {
        address: lease.address,
        prefix: lease.prefix,
        gateway: lease.gateway,
        nameservers: nameservers.clone(),
        ntp: ntp.clone(),
    }
}

/// Duration of a lease, for log lines.
struct LeaseTime(Option<Duration>);

impl fmt::Display for LeaseTime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(time) => write!(f, "for {} s", time.as_secs()),
            None => f.write_str("for ever"),
        }
    }
}

/// Ignores the given errors of a deletion: they mean that there is nothing to delete.
fn allow(errors: &[Errno], result: Result<(), NetworkError>) -> Result<(), NetworkError> {
    match result {
        Err(error) if errors.contains(&error.errno) => Ok(()),
        result => result,
    }
}

/// Error number of a socket or file operation, which all have one.
fn errno_of(error: &io::Error) -> Errno {
    Errno::from_io_error(error).unwrap_or(Errno::IO)
}

/// Replaces the file of the nameservers atomically. It is in memory, so it is not synced.
fn write_nameservers(servers: &[Ipv4Addr]) -> io::Result<()> {
    let mut text: String<RESOLV_CONF_BYTES> = String::new();
    for server in servers {
        if writeln!(text, "nameserver {server}").is_err() {
            crate::internal_error!("{} nameservers have no room", servers.len());
        }
    }
    fs::File::create(NEW_RESOLV_CONF)?.write_all(text.as_bytes())?;
    fs::rename(NEW_RESOLV_CONF, RESOLV_CONF)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn missing_interface_is_polled() {
        let network = Network { interface: Some("no-such".try_into().unwrap()), ..Network::default() };
        let mut manager = NetworkManager::closed(network);
        let mut now = Duration::from_secs(5);
        assert!(manager.poll_timeout() <= Some(now), "at once");
        for _ in 0..3 {
            manager.handle_ready(now);
            assert_eq!(manager.poll_timeout(), Some(now + NETWORK_POLL));
            // Nothing is due earlier.
            manager.handle_ready(now + NETWORK_POLL - Duration::from_millis(1));
            assert_eq!(manager.poll_timeout(), Some(now + NETWORK_POLL));
            now += NETWORK_POLL;
        }
        assert_eq!(manager.address(), None);
    }

    #[test]
    fn servers_of_the_file_replace_those_of_the_lease() {
        let lease = Lease {
            address: Ipv4Addr::new(10, 0, 2, 15),
            prefix: 24,
            gateway: Some(Ipv4Addr::new(10, 0, 2, 2)),
            nameservers: Vec::from_slice(&[Ipv4Addr::new(10, 0, 2, 3)]).unwrap(),
            ntp: Vec::from_slice(&[Ipv4Addr::new(10, 0, 2, 4)]).unwrap(),
            server: Ipv4Addr::new(10, 0, 2, 2),
            time: Some(Duration::from_secs(86_400)),
        };
        let config = config_of(&lease, &Network::default());
        assert_eq!((&config.nameservers, &config.ntp), (&lease.nameservers, &lease.ntp));
        let text = format!("{config}, by DHCP {}", LeaseTime(lease.time));
        assert_eq!(text, "10.0.2.15/24, gateway 10.0.2.2, by DHCP for 86400 s");
        let own = Vec::from_slice(&[Ipv4Addr::new(9, 9, 9, 9)]).unwrap();
        let network = Network { nameservers: own.clone(), ..Network::default() };
        let config = config_of(&lease, &network);
        assert_eq!((&config.nameservers, &config.ntp), (&own, &lease.ntp));
        let network = Network { ntp: Vec::from_slice(&own).unwrap(), ..Network::default() };
        let config = config_of(&lease, &network);
        assert_eq!((config.nameservers, &config.ntp[..]), (lease.nameservers, &own[..]));
    }
}
