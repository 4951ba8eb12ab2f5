//! Capabilities of a service (capabilities(7)).

/// Names of the capabilities, by their numbers.
pub const CAPABILITY_NAMES: [&str; 41] = [
    "chown",
    "dac_override",
    "dac_read_search",
    "fowner",
    "fsetid",
    "kill",
    "setgid",
    "setuid",
    "setpcap",
    "linux_immutable",
    "net_bind_service",
    "net_broadcast",
    "net_admin",
    "net_raw",
    "ipc_lock",
    "ipc_owner",
    "sys_module",
    "sys_rawio",
    "sys_chroot",
    "sys_ptrace",
    "sys_pacct",
    "sys_admin",
    "sys_boot",
    "sys_nice",
    "sys_resource",
    "sys_time",
    "sys_tty_config",
    "mknod",
    "lease",
    "audit_write",
    "audit_control",
    "setfcap",
    "mac_override",
    "mac_admin",
    "syslog",
    "wake_alarm",
    "block_suspend",
    "audit_read",
    "perfmon",
    "bpf",
    "checkpoint_restore",
];

/// Set of capabilities.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Capabilities(u64);

impl Capabilities {
    /// Set of the capability with this name: `net_bind_service`, or as systemd writes it
    /// `CAP_NET_BIND_SERVICE`.
    pub fn from_name(name: &str) -> Option<Self> {
        let prefix = name.get(..4).filter(|prefix| prefix.eq_ignore_ascii_case("cap_"));
        let short = prefix.map_or(name, |prefix| &name[prefix.len()..]);
        let number = CAPABILITY_NAMES.iter().position(|known| known.eq_ignore_ascii_case(short))?;
        Some(Self(1 << number))
    }

    /// The capabilities of both sets.
    #[must_use]
    pub fn union(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// Names of the capabilities.
    pub fn names(self) -> impl Iterator<Item = &'static str> {
        CAPABILITY_NAMES
            .into_iter()
            .enumerate()
            .filter(move |(bit, _)| self.0 & (1 << bit) != 0)
            .map(|(_, name)| name)
    }

    /// One bit for each capability.
    pub fn bits(self) -> u64 {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use rustix::thread::CapabilitySet;

    use super::*;

    #[test]
    fn names_are_those_of_the_system() {
        for (name, capability) in CapabilitySet::all().iter_names() {
            assert_eq!(
                Capabilities::from_name(name).map(Capabilities::bits),
                Some(capability.bits()),
                "{name}"
            );
        }
        assert_eq!(CapabilitySet::all().iter_names().count(), CAPABILITY_NAMES.len());
    }

    #[test]
    fn names_may_have_their_prefix() {
        let bind = Capabilities::from_name("net_bind_service").unwrap();
        assert_eq!(bind.bits(), 1 << 10);
        assert_eq!(Capabilities::from_name("CAP_NET_BIND_SERVICE"), Some(bind));
        for name in ["", "cap_", "net", "cap_cap_kill", "é"] {
            assert_eq!(Capabilities::from_name(name), None, "{name}");
        }
        assert_eq!(bind.union(Capabilities::from_name("chown").unwrap()).bits(), 1 << 10 | 1);
    }
}
