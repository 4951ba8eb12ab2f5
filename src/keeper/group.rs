//! Process group whose leader is not a child of the keeper.
//!
//! The kernel gives the number of a group to another process as soon as no process is in it. From then on, a signal to
//! that number would reach processes that have nothing to do with the service.

use rustix::io::Errno;
use rustix::process::{Pid, test_kill_process, test_kill_process_group};

use super::procfs;

/// Process group, by its number.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Group {
    pid: Pid,
    /// Start of a leader that another process reaps; `None`: it is reaped.
    leader: Option<u64>,
}

impl Group {
    /// Group whose leader is reaped.
    pub(super) fn reaped(pid: Pid) -> Self {
        Self { pid, leader: None }
    }

    /// Group of an earlier keeper.
    pub(super) fn left(pid: Pid) -> Self {
        Self { pid, leader: procfs::start(pid) }
    }

    /// Its number.
    pub(super) fn pid(self) -> Pid {
        self.pid
    }

    /// Returns true if no process is in it, not even a zombie, or if another process has its number: no process gets
    /// the number of a group that is not empty.
    pub(super) fn is_empty(&self) -> bool {
        let is_other = |leader| procfs::start(self.pid).is_some_and(|start| start != leader);
        let exists = test_kill_process(self.pid) != Err(Errno::SRCH);
        (exists && self.leader.is_none_or(is_other)) || test_kill_process_group(self.pid) == Err(Errno::SRCH)
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::process::CommandExt as _;
    use std::process::Command;

    use super::*;
    use crate::keeper::slot::{Slot, State};
    use crate::service::{Scope, Signal};
    use crate::sys::tests::lock_children;

    fn sleep() -> std::process::Child {
        Command::new("sleep").arg("1000").process_group(0).spawn().unwrap()
    }

    fn signal(group: Group) -> State {
        let mut slot = Slot { state: State::Ended { group: Some(group) }, ..Slot::FREE };
        slot.signal(Signal::Kill, Scope::Group);
        slot.state
    }

    /// The leader was reaped, so a process with its number is another one, and so is its group.
    #[test]
    fn group_with_the_number_of_a_dead_leader_gets_no_signal() {
        let _lock = lock_children();
        let mut other = sleep();
        let pid = Pid::from_child(&other);
        let later = Group { leader: Some(procfs::start(pid).unwrap() - 1), ..Group::left(pid) };
        for group in [Group::reaped(pid), later] {
            assert!(group.is_empty());
            assert!(matches!(signal(group), State::Ended { group: None }));
        }
        assert!(other.try_wait().unwrap().is_none(), "it lives");
        // The group of an earlier keeper is the same one.
        assert!(matches!(signal(Group::left(pid)), State::Ended { group: Some(_) }));
        assert!(!other.wait().unwrap().success());
    }

    #[test]
    fn number_of_an_empty_group_is_forgotten() {
        let _lock = lock_children();
        let mut leader = sleep();
        let pid = Pid::from_child(&leader);
        let mut member =
            Command::new("sleep").arg("1000").process_group(pid.as_raw_nonzero().get()).spawn().unwrap();
        leader.kill().unwrap();
        leader.wait().unwrap();
        let mut slot = Slot { state: State::Ended { group: Some(Group::reaped(pid)) }, ..Slot::FREE };
        assert!(!slot.is_group_gone() && slot.pid() == Some(pid));
        slot.signal(Signal::Kill, Scope::Group);
        assert!(!member.wait().unwrap().success());
        assert!(slot.is_group_gone() && slot.pid().is_none());
        assert!(!slot.is_free(), "processes outside of the group may be left");
    }
}
