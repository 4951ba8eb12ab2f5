//! Priorities and resource limits of a service.

use std::fs;
use std::io;

use rustix::io::Errno;
use rustix::process::{Rlimit, getpriority_process, setpriority_process, setrlimit};

use super::{at, io_at};
use crate::service::{Attributes, IoClass, Resource, SERVICE_NICE, SpawnError, SpawnStage};
use crate::sys::fork::set_io_priority;

/// Preference of the out-of-memory killer for this process.
const OOM_SCORE: &str = "/proc/self/oom_score_adj";
/// Class of ioprio_set(2) with a level.
const BEST_EFFORT: u16 = 2;
/// Class of ioprio_set(2) after all others.
const IDLE: u16 = 3;

/// Sets the priorities of this process.
///
/// # Errors
/// A value that this process may not set. With the default values, a process that may not lower its own
/// niceness or score keeps them.
pub(super) fn set(attributes: &Attributes) -> Result<(), SpawnError> {
    let is_forbidden = |errno| matches!(errno, Errno::ACCESS | Errno::PERM);
    let nice = i32::from(attributes.nice);
    if getpriority_process(None) != Ok(nice) {
        match setpriority_process(None, nice) {
            Err(errno) if attributes.nice == SERVICE_NICE && is_forbidden(errno) => {}
            result => result.map_err(at(SpawnStage::Nice))?,
        }
    }
    // `friendlet init` and systemd may protect the keeper.
    let score = attributes.oom_score.to_string();
    if !fs::read_to_string(OOM_SCORE).is_ok_and(|own| own.trim() == score) {
        match fs::write(OOM_SCORE, &score) {
            Err(error) if attributes.oom_score == 0 && is_optional(&error) => {}
            result => result.map_err(io_at(SpawnStage::OomScore))?,
        }
    }
    match attributes.io_class {
        None => Ok(()),
        Some(IoClass::Idle) => set_io_priority(IDLE, 0),
        Some(IoClass::BestEffort(level)) => set_io_priority(BEST_EFFORT, level.into()),
    }
    .map_err(io_at(SpawnStage::IoClass))
}

/// Returns true for an error of a process without privileges, or of a system without `/proc`.
fn is_optional(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::PermissionDenied | io::ErrorKind::NotFound)
}

/// Sets the resource limits of this process, soft and hard.
///
/// # Errors
/// A limit above the hard limit of a process without privileges.
pub(super) fn set_limits(attributes: &Attributes) -> Result<(), SpawnError> {
    for (index, (resource, limit)) in Resource::ALL.into_iter().zip(attributes.limits).enumerate() {
        if limit.is_some() {
            setrlimit(raw(resource), Rlimit { current: limit, maximum: limit })
                .map_err(|errno| at(SpawnStage::Limits)(errno).with_item(index))?;
        }
    }
    Ok(())
}

fn raw(resource: Resource) -> rustix::process::Resource {
    use rustix::process::Resource as Raw;
    match resource {
        Resource::As => Raw::As,
        Resource::Core => Raw::Core,
        Resource::Cpu => Raw::Cpu,
        Resource::Fsize => Raw::Fsize,
        Resource::Memlock => Raw::Memlock,
        Resource::Nofile => Raw::Nofile,
        Resource::Nproc => Raw::Nproc,
        Resource::Stack => Raw::Stack,
    }
}
