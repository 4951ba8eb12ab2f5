//! Devices that are there at the start of the board, and each that appears later: their groups and modes, by the rules
//! of the configuration file, and their kernel modules.

use std::os::fd::BorrowedFd;

use super::hotplug::Hotplug;
use super::{UEVENT_BYTES, UEVENTS_AT_ONCE};
use crate::config::{DeviceRule, DeviceRules, is_device_name};
use crate::log::Reason;
use crate::log::console::{info, warning};
use crate::sys::lookup_group;
use crate::sys::machine::{DeviceEvents, Received, set_device, visit_devices};

/// Devices of the board.
pub(super) struct Devices {
    /// Rules, each with the number of its group.
    rules: Vec<(DeviceRule, u32)>,
    /// `None` without a table of modules.
    hotplug: Option<Hotplug>,
    /// `None` if there is nothing to watch for, or if the kernel refuses the socket.
    events: Option<DeviceEvents>,
}

impl Devices {
    /// Applies the rules to the devices that are there, and searches for their modules.
    pub(super) fn new(rules: DeviceRules, hotplug: Option<Hotplug>) -> Self {
        let with_group = |rule: DeviceRule| group(&rule).map(|group| (rule, group));
        let rules = rules.into_iter().filter_map(with_group).collect();
        let mut devices = Self { rules, hotplug, events: None };
        if !devices.rules.is_empty() || devices.hotplug.is_some() {
            // Before the search, so that none is missed.
            match DeviceEvents::open() {
                Ok(events) => devices.events = Some(events),
                Err(error) => warning!("cannot watch for new devices: {}", Reason::from(&error)),
            }
            devices.apply_to_all();
        }
        devices
    }

    /// Readable when there is something for [`handle_ready`](Self::handle_ready).
    pub(super) fn fd(&self) -> Option<BorrowedFd<'_>> {
        self.events.as_ref().map(DeviceEvents::fd)
    }

    /// Does the same for devices that have appeared.
    pub(super) fn handle_ready(&mut self) {
        let Some(events) = &self.events else { return };
        let mut buffer = [0; UEVENT_BYTES];
        let mut is_search_due = false;
        // The next iteration of the main loop receives the rest.
        for _ in 0..UEVENTS_AT_ONCE {
            match events.receive(&mut buffer) {
                Received::Nothing => break,
                Received::Event(event) => {
                    let event = Event::parse(event);
                    if let Some(name) = event.device {
                        self.apply(name);
                    }
                    is_search_due |= event.has_alias;
                }
                Received::Lost => self.apply_to_all(),
            }
        }
        if is_search_due {
            self.search();
        }
    }

    fn apply_to_all(&self) {
        visit_devices(&mut |name| self.apply(name));
        self.search();
    }

    fn search(&self) {
        self.hotplug.iter().for_each(Hotplug::search);
    }

    fn apply(&self, name: &str) {
        let Some((rule, group)) = self.rules.iter().find(|(rule, _)| rule.matches(name)) else { return };
        match set_device(name, *group, rule.mode) {
            Ok(()) => info!("device {}: group {}, mode {:o}", name, *group, rule.mode),
            Err(error) => warning!("device {}: cannot set its group: {}", name, Reason::from(&error)),
        }
    }
}

/// Number of the group of a rule. A rule with a group that does not exist has no effect: the device of another
/// group than intended might be open to the wrong services.
fn group(rule: &DeviceRule) -> Option<u32> {
    if rule.group.is_empty() {
        return Some(0);
    }
    match lookup_group(&rule.group) {
        Ok(Some(group)) => return Some(group),
        Ok(None) => warning!("devices {}: no group '{}' in /etc/group", rule.pattern, rule.group),
        Err(error) => warning!("devices {}: cannot read /etc/group: {}", rule.pattern, Reason::from(&error)),
    }
    None
}

/// Event of the kernel about a device that appears: fields that each end with a NUL, after a head
/// (`add@/devices/...`).
#[derive(Debug, Default, Eq, PartialEq)]
struct Event<'e> {
    /// Name under `/dev`.
    device: Option<&'e str>,
    /// A module may have a driver for it.
    has_alias: bool,
}

impl<'e> Event<'e> {
    /// Returns the default for other events.
    fn parse(event: &'e [u8]) -> Self {
        let fields = || event.split(|byte| *byte == 0).filter_map(|field| core::str::from_utf8(field).ok());
        let field = |name: &str| fields().find_map(|field| field.strip_prefix(name)?.strip_prefix('='));
        if field("ACTION") != Some("add") {
            return Self::default();
        }
        Self {
            device: field("DEVNAME").filter(|name| is_device_name(name)),
            has_alias: field("MODALIAS").is_some(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn event_of_a_new_device_has_its_name() {
        let add = b"add@/devices/x/ttyUSB0\0ACTION=add\0DEVPATH=/devices/x\0SUBSYSTEM=tty\0MAJOR=188\0DEVNAME=ttyUSB0\0SEQNUM=1\0";
        assert_eq!(Event::parse(add).device, Some("ttyUSB0"));
        assert_eq!(
            Event::parse(b"add@/x\0ACTION=add\0DEVNAME=bus/usb/001/002").device,
            Some("bus/usb/001/002")
        );
        let interface = b"add@/x\0ACTION=add\0SUBSYSTEM=usb\0MODALIAS=usb:v0403p6001\0";
        assert_eq!(Event::parse(interface), Event { device: None, has_alias: true });
        for other in [
            &b""[..],
            b"remove@/x\0ACTION=remove\0DEVNAME=ttyUSB0\0MODALIAS=usb:v0403\0",
            b"add@/x\0ACTION=add\0SUBSYSTEM=net\0",
            b"add@/x\0ACTION=add\0DEVNAME=\0",
            b"add@/x\0ACTION=add\0DEVNAME=/etc/shadow\0",
            b"add@/x\0ACTION=add\0DEVNAME=../etc/shadow\0",
            b"add@/x\0ACTION=add\0DEVNAME=a/../../etc/shadow\0",
            b"add@/x\0ACTION=add\0DEVNAME=\xff\0",
        ] {
            assert_eq!(Event::parse(other), Event::default(), "{:?}", String::from_utf8_lossy(other));
        }
    }

    #[test]
    fn rule_without_its_group_has_no_effect() {
        let rule = |group: &str| DeviceRule {
            pattern: "ttyUSB*".try_into().unwrap(),
            group: group.try_into().unwrap(),
            mode: 0o660,
        };
        let rules = [rule("no-such-group"), rule("4711"), rule("")];
        assert!(rules.iter().map(group).eq([None, Some(4711), Some(0)]));
        assert!(Devices::new(DeviceRules::new(), None).fd().is_none(), "nothing to watch for");
    }

    proptest::proptest! {
        #[test]
        fn never_panics(event: Vec<u8>) {
            let _ = Event::parse(&event);
        }
    }
}
