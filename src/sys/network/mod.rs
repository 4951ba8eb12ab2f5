//! The network of a board: its interface, its address, its gateway and nameservers.
//!
//! [`NetworkManager`] is driven like the machines of the lower layers, but calls the system itself:
//! the kernel over its routing socket, and DHCP servers over UDP. It never waits, and allocates
//! nothing.

mod kernel;
mod message;

use std::fmt::{self, Write as _};
use std::fs;
use std::io::{self, Write as _};
use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::time::Duration;

use heapless::{String, Vec};
use rustix::event::epoll;
use rustix::fd::{AsFd as _, BorrowedFd, OwnedFd};
use rustix::io::Errno;

use self::kernel::{Events, Kernel, NetworkError, Tried};
use self::message::{LOOPBACK, Link, Question};
use super::random;
use crate::config::{Address, Network};
use crate::dhcp::{
    Action, CLIENT_PORT, Client, DHCP_BYTES, Destination, Lease, Lost, NAMESERVERS, SERVER_PORT,
};
use crate::sys::{NETWORK_POLL, NETWORK_TURNS};

/// Where nameservers are written for the services; a board's `/etc/resolv.conf` is a link to it.
const RESOLV_CONF: &str = "/run/resolv.conf";
const NEW_RESOLV_CONF: &str = "/run/.resolv.conf.new";
/// `nameserver 255.255.255.255` and the line's end, for each.
const RESOLV_CONF_BYTES: usize = 28 * NAMESERVERS;

/// What an interface is given.
#[derive(Clone, Debug, PartialEq)]
struct Setting {
    address: Ipv4Addr,
    prefix: u8,
    gateway: Option<Ipv4Addr>,
    nameservers: Vec<Ipv4Addr, NAMESERVERS>,
}

impl fmt::Display for Setting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.address, self.prefix)?;
        match self.gateway {
            Some(gateway) => write!(f, ", gateway {gateway}"),
            None => Ok(()),
        }
    }
}

/// The ways to the kernel.
#[derive(Debug)]
struct Sockets {
    kernel: Kernel,
    events: Events,
    /// Readable when one of the others is.
    any: OwnedFd,
}

impl Sockets {
    fn open() -> Result<Self, NetworkError> {
        let (kernel, events) = (Kernel::open()?, Events::open()?);
        let failed = |errno| NetworkError { tried: Tried::Open, errno };
        let any = epoll::create(epoll::CreateFlags::CLOEXEC).map_err(failed)?;
        epoll::add(&any, &events, epoll::EventData::new_u64(0), epoll::EventFlags::IN).map_err(failed)?;
        Ok(Self { kernel, events, any })
    }

    /// A socket for DHCP on all interfaces: which one a message came by does not matter, for it has to
    /// carry the number of a question that went out by ours.
    fn listen(&self) -> Result<UdpSocket, NetworkError> {
        let open = || -> io::Result<UdpSocket> {
            let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, CLIENT_PORT))?;
            socket.set_nonblocking(true)?;
            socket.set_broadcast(true)?;
            epoll::add(&self.any, &socket, epoll::EventData::new_u64(0), epoll::EventFlags::IN)?;
            Ok(socket)
        };
        open().map_err(|error| NetworkError { tried: Tried::Listen, errno: errno_of(&error) })
    }
}

/// Sets up the network that the device file asks for, and keeps it up.
///
/// Call [`handle_ready`](Self::handle_ready) when [`fd`](Self::fd) is readable, and no later than
/// [`poll_timeout`](Self::poll_timeout).
#[derive(Debug)]
pub struct NetworkManager {
    network: Network,
    sockets: Option<Sockets>,
    /// For DHCP.
    socket: Option<UdpSocket>,
    client: Option<Client>,
    /// The interface in use, as it was when last looked at.
    link: Option<Link>,
    wanted: Option<Setting>,
    /// For how long DHCP gave it; none: for ever.
    lease_time: Option<Duration>,
    /// What the kernel was told of `wanted`.
    current: Option<Setting>,
    /// When to look at the interfaces next, without an event.
    look_at: Option<Duration>,
    /// What was told last, so that a try a second is no line a second.
    told: Option<Told>,
}

/// What keeps the network from being there.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Told {
    Error(NetworkError),
    NoInterface,
    NoEthernet,
    NoCarrier,
}

impl NetworkManager {
    /// Names the host and brings the loopback up. Without a `[network]` the board uses DHCP on its
    /// first interface.
    pub fn new(network: Option<&Network>) -> Self {
        let mut manager = Self::closed(network.cloned().unwrap_or_default());
        let named = rustix::system::sethostname(manager.network.host_name.as_bytes());
        if let Err(errno) = named {
            crate::log::console::warning!("{}", NetworkError { tried: Tried::HostName, errno });
        }
        manager.open();
        manager
    }

    /// A manager that has done nothing yet.
    fn closed(network: Network) -> Self {
        Self {
            network,
            sockets: None,
            socket: None,
            client: None,
            link: None,
            wanted: None,
            lease_time: None,
            current: None,
            look_at: Some(Duration::ZERO),
            told: None,
        }
    }

    /// Opens the sockets and brings the loopback up.
    fn open(&mut self) {
        let opened = Sockets::open().and_then(|mut sockets| {
            sockets.kernel.run(Tried::Up, Question::up(LOOPBACK))?;
            Ok(sockets)
        });
        match opened {
            Ok(sockets) => self.sockets = Some(sockets),
            Err(error) => self.tell(Told::Error(error)),
        }
    }

    /// Readable when there is something to handle. It stays the same once it is there.
    pub fn fd(&self) -> Option<BorrowedFd<'_>> {
        self.sockets.as_ref().map(|sockets| sockets.any.as_fd())
    }

    /// The time since start at which to call [`handle_ready`](Self::handle_ready) at the latest.
    pub fn poll_timeout(&self) -> Option<Duration> {
        let dhcp = self.client.as_ref().and_then(Client::poll_timeout);
        self.look_at.into_iter().chain(dhcp).min()
    }

    /// The board's address and the bits of it that are its net's.
    pub fn address(&self) -> Option<(Ipv4Addr, u8)> {
        self.current.as_ref().map(|setting| (setting.address, setting.prefix))
    }

    /// Does what there is to do at `now`, the time since start. Never waits.
    pub fn handle_ready(&mut self, now: Duration) {
        if self.sockets.is_none() {
            self.open();
        }
        if self.sockets.as_ref().is_some_and(|sockets| sockets.events.take()) {
            self.look_at = Some(now);
        }
        if self.look_at.is_some_and(|at| at <= now) {
            self.look_at = None;
            if let Err(error) = self.look(now).and_then(|()| self.settle()) {
                self.fail(error, now);
            }
        }
        if let Err(error) = self.converse(now) {
            self.fail(error, now);
        }
    }

    /// Says what went wrong, and tries again in a while.
    fn fail(&mut self, error: NetworkError, now: Duration) {
        self.tell(Told::Error(error));
        self.look_at = Some(now + NETWORK_POLL);
    }

    fn tell(&mut self, told: Told) {
        if self.told.replace(told) == Some(told) {
            return;
        }
        let wanted = self.network.interface.as_deref();
        let name = self.link.as_ref().map(|link| link.name.as_str()).or(wanted).unwrap_or("no interface yet");
        match told {
            Told::Error(error) => crate::log::console::error!("{}: {}; trying again", name, error),
            Told::NoInterface => {
                crate::log::console::info!("waiting for {}", wanted.unwrap_or("an Ethernet interface"))
            }
            Told::NoEthernet => {
                crate::log::console::error!("{}: is no Ethernet interface, so there is no DHCP on it", name)
            }
            Told::NoCarrier => crate::log::console::info!("{}: waiting for a carrier", name),
        }
    }

    /// Looks at the interfaces, and switches the one to use on.
    fn look(&mut self, now: Duration) -> Result<(), NetworkError> {
        let Some(sockets) = &mut self.sockets else {
            self.look_at = Some(now + NETWORK_POLL);
            return Ok(());
        };
        let mut chosen: Option<Link> = None;
        let (name, used) = (self.network.interface.as_ref(), self.link.as_ref());
        sockets.kernel.links(|link| {
            let is_wanted = match name {
                Some(name) => link.name == *name,
                None => !link.is_loopback && link.hardware.is_some(),
            };
            // The one in use stays in use.
            let rank = |link: &Link| (used.is_none_or(|used| used.index != link.index), link.index);
            if is_wanted && chosen.as_ref().is_none_or(|chosen| rank(&link) < rank(chosen)) {
                chosen = Some(link);
            }
        })?;
        let Some(link) = chosen else {
            if let Some(gone) = self.forget() {
                crate::log::console::warning!("{}: is gone", gone.name);
            }
            self.tell(Told::NoInterface);
            self.look_at = Some(now + NETWORK_POLL);
            return Ok(());
        };
        let is_used = |used: &Link| used.index == link.index && used.hardware == link.hardware;
        if !self.link.as_ref().is_some_and(is_used) {
            if self.link.as_ref().is_none_or(|used| used.index != link.index) {
                self.forget();
            }
            self.take(&link, now);
        }
        let was_running = self.link.replace(link.clone()).is_some_and(|link| link.is_running);
        if !link.is_up {
            // Switching an interface off took its routes, but not its address.
            if let Some(current) = &mut self.current {
                current.gateway = None;
            }
            // The kernel says when it is up; this is for when it does not.
            self.look_at = Some(now + NETWORK_POLL);
            let Some(sockets) = &mut self.sockets else { return Ok(()) };
            sockets.kernel.run(Tried::Up, Question::up(link.index))?;
        }
        match (&mut self.client, link.is_running) {
            (Some(client), true) => client.handle_link_up(now),
            (Some(client), false) => client.handle_link_down(),
            (None, _) => {}
        }
        if link.is_running {
            if !was_running {
                crate::log::console::info!("{}: has a carrier", link.name);
                self.told = None;
            }
        } else if link.is_up {
            self.tell(Told::NoCarrier);
            self.look_at = Some(now + NETWORK_POLL);
        }
        Ok(())
    }

    /// Begins with an interface, or anew with one that has got another hardware address.
    fn take(&mut self, link: &Link, now: Duration) {
        self.told = None;
        self.client = None;
        self.wanted = None;
        self.link = Some(Link { is_running: false, ..link.clone() });
        match (self.network.address, link.hardware) {
            (Address::Static { address, prefix, gateway }, _) => {
                let nameservers = self.network.nameservers.clone();
                self.wanted = Some(Setting { address, prefix, gateway, nameservers });
            }
            (Address::Dhcp, Some(hardware)) => {
                let [a, b, c, d, e, f] = hardware;
                let clock = u64::from(now.subsec_nanos()) << 16;
                let seed = random::seed() ^ u64::from_be_bytes([a, b, c, d, e, f, 0, 0]) ^ clock;
                self.client = Some(Client::new(hardware, &self.network.host_name, seed));
            }
            (Address::Dhcp, None) => self.tell(Told::NoEthernet),
        }
    }

    /// Ends with the interface in use, which has gone and taken its address along.
    fn forget(&mut self) -> Option<Link> {
        // Else what comes for it would wait for ever, and wake the board again and again.
        self.socket = None;
        self.client = None;
        self.wanted = None;
        self.current = None;
        self.link.take()
    }

    /// Takes what came for DHCP, and does what follows.
    fn converse(&mut self, now: Duration) -> Result<(), NetworkError> {
        let (Some(sockets), Some(client), Some(link)) = (&mut self.sockets, &mut self.client, &self.link)
        else {
            return Ok(());
        };
        let socket = match &mut self.socket {
            Some(socket) => socket,
            none => none.insert(sockets.listen()?),
        };
        // A byte more tells a message that is too long from one that just fits.
        let mut buffer = [0; DHCP_BYTES + 1];
        for _ in 0..NETWORK_TURNS {
            match socket.recv_from(&mut buffer) {
                Ok((len, from)) if from.port() == SERVER_PORT => {
                    if let Err(ignored) = client.handle_packet(buffer.get(..len).unwrap_or_default(), now) {
                        crate::log::console::debug!("{}: {:?} of {}", link.name, ignored, from);
                    }
                }
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(error) => {
                    crate::log::console::debug!("{}: {}", link.name, error);
                    break;
                }
            }
        }
        client.handle_timeout(now);
        let action = client.poll_action();
        if let Some(action) = action {
            self.act(action);
        }
        // An address that is given up must be gone before another is asked for.
        self.settle()?;
        self.send()
    }

    /// What is said about the address, and what is wanted from now on.
    fn act(&mut self, action: Action) {
        let name = self.link.as_ref().map(|link| link.name.as_str()).unwrap_or_default();
        match action {
            Action::Configure(lease) => {
                let setting = setting_of(&lease, &self.network);
                self.lease_time = lease.time;
                if self.current.as_ref() == Some(&setting) {
                    crate::log::console::debug!(
                        "{}: keeps {}, by DHCP {}",
                        name,
                        setting,
                        Seconds(lease.time)
                    );
                }
                self.wanted = Some(setting);
            }
            Action::Deconfigure(why) => {
                if let Some(setting) = self.wanted.take() {
                    let why = match why {
                        Lost::Expired => "its lease ended, and nobody renewed it",
                        Lost::Refused => "a DHCP server refused it",
                    };
                    crate::log::console::warning!(
                        "{} gives up {}/{}: {}",
                        name,
                        setting.address,
                        setting.prefix,
                        why
                    );
                }
            }
        }
    }

    /// Makes what is wanted so.
    fn settle(&mut self) -> Result<(), NetworkError> {
        let (Some(sockets), Some(link)) = (&mut self.sockets, &self.link) else { return Ok(()) };
        if self.wanted == self.current || !link.is_up {
            return Ok(());
        }
        let kernel = &mut sockets.kernel;
        let wanted = self.wanted.as_ref();
        if let Some(old) = &self.current {
            let is_kept = wanted.is_some_and(|new| (new.address, new.prefix) == (old.address, old.prefix));
            if !is_kept {
                let tried = Tried::DeleteAddress(old.address, old.prefix);
                let gone = kernel.run(tried, Question::delete_address(link.index, old.address, old.prefix));
                unless(&[Errno::ADDRNOTAVAIL, Errno::NODEV], gone)?;
            } else if let Some(gateway) = old.gateway
                && wanted.is_some_and(|new| new.gateway.is_none())
            {
                let gone =
                    kernel.run(Tried::DeleteGateway(gateway), Question::delete_gateway(link.index, gateway));
                unless(&[Errno::SRCH, Errno::NODEV], gone)?;
            }
        }
        self.current = None;
        let Some(new) = wanted else { return Ok(()) };
        let tried = Tried::AddAddress(new.address, new.prefix);
        kernel.run(tried, Question::add_address(link.index, new.address, new.prefix))?;
        // Whatever comes of the rest, this is to be taken away again.
        self.current = Some(Setting { gateway: None, nameservers: Vec::new(), ..new.clone() });
        if let Some(gateway) = new.gateway {
            let hosts = u32::MAX.checked_shr(new.prefix.into()).unwrap_or(0);
            let is_on_link = (gateway.to_bits() ^ new.address.to_bits()) & !hosts != 0;
            let question = Question::add_gateway(link.index, gateway, is_on_link);
            kernel.run(Tried::AddGateway(gateway), question)?;
        }
        match self.network.address {
            Address::Dhcp => {
                crate::log::console::info!("{} has {}, by DHCP {}", link.name, new, Seconds(self.lease_time))
            }
            Address::Static { .. } => crate::log::console::info!("{} has {}", link.name, new),
        }
        // The rest of the network does without.
        if let Err(error) = write_nameservers(&new.nameservers) {
            let errno = errno_of(&error);
            crate::log::console::error!("{}", NetworkError { tried: Tried::Nameservers, errno });
        }
        self.current = self.wanted.clone();
        self.told = self.told.filter(|told| !matches!(told, Told::Error(_)));
        Ok(())
    }

    /// Sends what the client has to say.
    fn send(&mut self) -> Result<(), NetworkError> {
        let (Some(sockets), Some(client), Some(link), Some(socket)) =
            (&mut self.sockets, &mut self.client, &self.link, &self.socket)
        else {
            return Ok(());
        };
        let mut buffer = [0; DHCP_BYTES];
        let Some((bytes, destination)) = client.poll_output(&mut buffer) else { return Ok(()) };
        let to = match destination {
            Destination::Broadcast => {
                // Each time, for it goes with the interface's last address.
                sockets.kernel.run(Tried::AddBroadcast, Question::add_broadcast(link.index))?;
                Ipv4Addr::BROADCAST
            }
            Destination::Server(server) => server,
        };
        match socket.send_to(bytes, SocketAddr::from((to, SERVER_PORT))) {
            Ok(_) => Ok(()),
            // It is sent again when nobody answers; looking again would not help.
            Err(error) => {
                self.tell(Told::Error(NetworkError { tried: Tried::Send, errno: errno_of(&error) }));
                Ok(())
            }
        }
    }
}

/// The setting of a lease, by the device file's leave.
fn setting_of(lease: &Lease, network: &Network) -> Setting {
    let nameservers = if network.nameservers.is_empty() { &lease.nameservers } else { &network.nameservers };
    Setting {
        address: lease.address,
        prefix: lease.prefix,
        gateway: lease.gateway,
        nameservers: nameservers.clone(),
    }
}

/// The time of a lease, for people.
struct Seconds(Option<Duration>);

impl fmt::Display for Seconds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(time) => write!(f, "for {} s", time.as_secs()),
            None => f.write_str("for ever"),
        }
    }
}

/// These errors say that what was to be done is done.
fn unless(done: &[Errno], result: Result<(), NetworkError>) -> Result<(), NetworkError> {
    match result {
        Err(error) if done.contains(&error.errno) => Ok(()),
        result => result,
    }
}

fn errno_of(error: &io::Error) -> Errno {
    Errno::from_io_error(error).unwrap_or(Errno::IO)
}

/// Replaces the file of the nameservers as a whole. It is in memory, and gone with it.
fn write_nameservers(servers: &[Ipv4Addr]) -> io::Result<()> {
    let mut text: String<RESOLV_CONF_BYTES> = String::new();
    for server in servers {
        // As many have room as there can be.
        let _ = writeln!(text, "nameserver {server}");
    }
    fs::File::create(NEW_RESOLV_CONF)?.write_all(text.as_bytes())?;
    fs::rename(NEW_RESOLV_CONF, RESOLV_CONF)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn missing_interface_is_looked_for_once_in_a_while() {
        let network = Network { interface: Some("no-such".try_into().unwrap()), ..Network::default() };
        let mut manager = NetworkManager::closed(network);
        let mut now = Duration::from_secs(5);
        assert!(manager.poll_timeout() <= Some(now), "at once");
        for _ in 0..3 {
            manager.handle_ready(now);
            assert_eq!(manager.poll_timeout(), Some(now + NETWORK_POLL));
            // Too early nothing is done.
            manager.handle_ready(now + NETWORK_POLL - Duration::from_millis(1));
            assert_eq!(manager.poll_timeout(), Some(now + NETWORK_POLL));
            now += NETWORK_POLL;
        }
        assert_eq!(manager.address(), None);
    }

    #[test]
    fn nameservers_of_the_file_count_for_more() {
        let lease = Lease {
            address: Ipv4Addr::new(10, 0, 2, 15),
            prefix: 24,
            gateway: Some(Ipv4Addr::new(10, 0, 2, 2)),
            nameservers: Vec::from_slice(&[Ipv4Addr::new(10, 0, 2, 3)]).unwrap(),
            server: Ipv4Addr::new(10, 0, 2, 2),
            time: Some(Duration::from_secs(86_400)),
        };
        let setting = setting_of(&lease, &Network::default());
        assert_eq!(setting.nameservers, lease.nameservers);
        let told = format!("eth0 has {setting}, by DHCP {}", Seconds(lease.time));
        assert_eq!(told, "eth0 has 10.0.2.15/24, gateway 10.0.2.2, by DHCP for 86400 s");
        let own = Vec::from_slice(&[Ipv4Addr::new(9, 9, 9, 9)]).unwrap();
        let network = Network { nameservers: own.clone(), ..Network::default() };
        assert_eq!(setting_of(&lease, &network).nameservers, own);
    }
}
