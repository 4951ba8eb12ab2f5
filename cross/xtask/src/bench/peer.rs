//! The servers that are measured.

use super::message::{Message, PARSED_PING, PING};

/// Origin of a server's program.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Build {
    /// The static binary of the host board.
    Friendlet,
    /// A binary of `cross/bench/peers`, built with this profile.
    Rust(&'static str),
    /// The C program beside Debian's libwebsockets.
    C,
}

/// The profile with friendlet's own flags, and that for speed.
const SAME_FLAGS: Build = Build::Rust("release");
const LEVEL_3: Build = Build::Rust("level3");

/// A server with its flags and its message: a row of the tables.
#[derive(Debug)]
pub(super) struct Peer {
    /// Name in the tables.
    pub(super) name: &'static str,
    /// Name of the program, as `--only` takes it.
    pub(super) program: &'static str,
    pub(super) build: Build,
    pub(super) has_tls: bool,
    /// Message that it is measured with.
    pub(super) ping: &'static Message,
}

impl Peer {
    const fn new(name: &'static str, program: &'static str, build: Build) -> Self {
        Self { name, program, build, has_tls: true, ping: &PING }
    }
}

pub(super) const FRIENDLET: Peer = Peer::new("friendlet", "friendlet", Build::Friendlet);
/// The base of all ratios.
pub(super) const LIMIT: Peer = Peer { has_tls: false, ..Peer::new("epoll-echo", "epoll-echo", SAME_FLAGS) };

/// Every row, the limit first.
pub(super) const PEERS: [Peer; 10] = [
    LIMIT,
    FRIENDLET,
    Peer { ping: &PARSED_PING, ..Peer::new("friendlet, ping parsed", "friendlet", Build::Friendlet) },
    Peer::new("smol-tungstenite", "smol-tungstenite", SAME_FLAGS),
    Peer::new("smol-tungstenite, level 3", "smol-tungstenite", LEVEL_3),
    Peer::new("tokio-tungstenite", "tokio-tungstenite", SAME_FLAGS),
    Peer::new("tokio-tungstenite, level 3", "tokio-tungstenite", LEVEL_3),
    Peer::new("fastwebsockets", "fastwebsockets", SAME_FLAGS),
    Peer::new("fastwebsockets, level 3", "fastwebsockets", LEVEL_3),
    Peer::new("libwebsockets", "libwebsockets", Build::C),
];

impl Peer {
    pub(super) fn is_friendlet(&self) -> bool {
        self.build == Build::Friendlet
    }

    /// Plain, and TLS where it has that.
    pub(super) fn transports(&self) -> &'static [bool] {
        if self.has_tls { &[false, true] } else { &[false] }
    }
}

/// The rows of these programs; all rows where none is named. The limit and friendlet are always there:
/// all others are compared with them.
pub(super) fn chosen(programs: &[String]) -> Result<Vec<&'static Peer>, String> {
    if let Some(program) = programs.iter().find(|program| PEERS.iter().all(|peer| peer.program != **program))
    {
        let known: Vec<&str> = PEERS.iter().map(|peer| peer.program).collect();
        return Err(format!("unknown peer '{program}'; peers: {}", known.join(", ")));
    }
    let is_chosen = |peer: &&Peer| {
        programs.is_empty()
            || peer.is_friendlet()
            || peer.name == LIMIT.name
            || programs.iter().any(|program| program == peer.program)
    };
    Ok(PEERS.iter().filter(is_chosen).collect())
}
