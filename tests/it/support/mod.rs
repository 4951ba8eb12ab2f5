//! Shared code of the tests: a configuration file, the running server, clients that can misbehave.

pub(crate) mod browser;
#[path = "../../../src/net/tls/tests/by_hand.rs"]
pub(crate) mod by_hand;
pub(crate) mod device;
pub(crate) mod dhcp;
pub(crate) mod directory;
pub(crate) mod fenced;
pub(crate) mod generated;
pub(crate) mod guest;
pub(crate) mod hanging_mount;
pub(crate) mod http;
pub(crate) mod log_server;
pub(crate) mod machine;
pub(crate) mod memory;
pub(crate) mod namespaces;
pub(crate) mod notify;
pub(crate) mod ntp;
pub(crate) mod process;
pub(crate) mod record;
pub(crate) mod server;
pub(crate) mod source;
pub(crate) mod stream;
pub(crate) mod tls;
pub(crate) mod wait;
pub(crate) mod ws;

pub(crate) use device::Device;
pub(crate) use server::Server;
