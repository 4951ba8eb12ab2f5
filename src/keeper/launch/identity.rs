//! User, groups and capabilities of a service.

use std::fs;

use rustix::io::Errno;
use rustix::process::{Gid, Uid, geteuid, getgroups};
use rustix::thread::{self, CapabilitySet, set_thread_gid, set_thread_groups, set_thread_uid};

use super::{at, io_at};
use crate::service::{Attributes, SpawnError, SpawnStage, Spec};
use crate::sys::{Account, capabilities, fork, lookup, lookup_group, supplementary_groups};

/// User and groups that a service runs with.
pub(super) struct Identity {
    /// `None`: the keeper's own.
    pub(super) account: Option<Account>,
    /// `None`: the keeper's own.
    groups: Option<Vec<Gid>>,
}

impl Identity {
    /// Looks up the user of a service with all groups.
    ///
    /// # Errors
    /// A user or a group that does not exist, or another user than its own for a keeper that is not root.
    pub(super) fn look_up(spec: &Spec) -> Result<Self, SpawnError> {
        let mut identity = Self { account: None, groups: None };
        let own = geteuid();
        if !spec.user.is_empty() {
            let account = lookup(&spec.user).map_err(io_at(SpawnStage::User))?;
            let account = account.ok_or(SpawnError::UNKNOWN_USER)?;
            if own.is_root() {
                let groups = supplementary_groups(&account.name, account.gid);
                let groups = groups.map_err(io_at(SpawnStage::Groups))?;
                identity.groups = Some(groups.into_iter().map(Gid::from_raw).collect());
            } else if own.as_raw() != account.uid {
                return Err(at(SpawnStage::User)(Errno::PERM));
            }
            identity.account = Some(account);
        }
        if !spec.attributes.groups.is_empty() {
            let mut groups = match identity.groups.take() {
                Some(groups) => groups,
                None => getgroups().map_err(at(SpawnStage::Groups))?,
            };
            for (index, name) in spec.attributes.groups.iter().enumerate() {
                let gid = lookup_group(name).map_err(io_at(SpawnStage::Groups));
                let gid = gid.and_then(|gid| gid.ok_or(at(SpawnStage::Groups)(Errno::NOENT)));
                let gid = Gid::from_raw(gid.map_err(|error| error.with_item(index))?);
                if !groups.contains(&gid) {
                    groups.push(gid);
                }
            }
            identity.groups = Some(groups);
        }
        Ok(identity)
    }

    /// Gives the pipes of the output and of the readiness to the user, who could otherwise not open `/dev/stderr`.
    pub(super) fn own_pipes(&self, ready: Option<u8>) {
        if let Some(account) = self.account.as_ref().filter(|_| geteuid().is_root()) {
            for number in core::iter::once(1).chain(ready) {
                fork::own_pipe(number, account.uid, account.gid);
            }
        }
    }

    /// Takes this identity, with the capabilities of a service.
    ///
    /// # Errors
    /// Error of the system: no privileges, or too many groups.
    pub(super) fn take(&self, attributes: &Attributes) -> Result<(), SpawnError> {
        let capabilities = attributes.capabilities.map(|set| CapabilitySet::from_bits_retain(set.bits()));
        if let Some(set) = capabilities {
            let kept = capabilities::bound(set).and_then(|()| thread::set_keep_capabilities(true));
            kept.map_err(at(SpawnStage::Capabilities))?;
        }
        if let Some(groups) = &self.groups {
            set_thread_groups(groups).map_err(at(SpawnStage::Groups))?;
        }
        if let Some(account) = self.account.as_ref().filter(|_| geteuid().is_root()) {
            set_thread_gid(Gid::from_raw(account.gid)).map_err(at(SpawnStage::User))?;
            set_thread_uid(Uid::from_raw(account.uid)).map_err(at(SpawnStage::User))?;
        }
        if let Some(set) = capabilities {
            set_capabilities(set).map_err(at(SpawnStage::Capabilities))?;
        }
        if attributes.no_new_privs {
            thread::set_no_new_privs(true).map_err(at(SpawnStage::NoNewPrivs))?;
        }
        Ok(())
    }
}

/// Home of a user, or the root directory where an image lacks it.
pub(super) fn home(account: &Account) -> &str {
    let exists = fs::metadata(&*account.home).is_ok_and(|home| home.is_dir());
    if exists { &account.home } else { "/" }
}

/// Takes these capabilities and no other. A user that is not root keeps them in exec.
fn set_capabilities(set: CapabilitySet) -> Result<(), Errno> {
    thread::set_capabilities(
        None,
        thread::CapabilitySets { effective: set, permitted: set, inheritable: set },
    )?;
    if !geteuid().is_root() {
        for capability in set.iter() {
            thread::configure_capability_in_ambient_set(capability, true)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn home_that_does_not_exist_is_the_root() {
        for (home, expected) in [("/usr", "/usr"), ("/no/such/home", "/"), ("/proc/version", "/")] {
            let home_text = home.try_into().unwrap();
            let account = Account { name: "web".try_into().unwrap(), uid: 1, gid: 1, home: home_text };
            assert_eq!(super::home(&account), expected, "{home}");
        }
    }
}
