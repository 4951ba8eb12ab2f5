//! Capabilities of this process (capabilities(7)).

use rustix::io::Errno;
use rustix::thread::{self, CapabilitySet, CapabilitySets};

/// Reduces the capabilities that this process, or a program that it executes, can ever get to this set.
///
/// # Errors
/// `EPERM` without the capability for that.
pub fn bound(set: CapabilitySet) -> Result<(), Errno> {
    for number in 0..u64::BITS {
        let capability = CapabilitySet::from_bits_retain(1 << number);
        if set.contains(capability) {
            continue;
        }
        match thread::capability_is_in_bounding_set(capability) {
            Ok(true) => thread::remove_capability_from_bounding_set(capability)?,
            Ok(false) => {}
            // The kernel has no more of them.
            Err(_) => break,
        }
    }
    Ok(())
}

/// Drops all capabilities but those of this set, for good: a program that this process executes has none.
///
/// # Errors
/// Error of the system.
pub fn reduce(set: CapabilitySet) -> Result<(), Errno> {
    let bound = bound(set);
    let set = set & thread::capabilities(None)?.permitted;
    let inheritable = CapabilitySet::empty();
    thread::set_capabilities(None, CapabilitySets { effective: set, permitted: set, inheritable })?;
    // A process that may not change its bound has no capabilities beyond it to give.
    bound.or_else(|errno| if errno == Errno::PERM { Ok(()) } else { Err(errno) })
}
