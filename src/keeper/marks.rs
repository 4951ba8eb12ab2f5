//! Names of services in the environments of processes.
//!
//! The kernel reads an environment under a lock of the memory of its process. While that process waits for a disk in
//! mmap(2), the reader waits, too, and not even KILL may end it. So a child of the keeper reads, for one process after the
//! other, and is given up if it hangs. What the keeper itself reads of `/proc` (`stat`, `status`, `cgroup`, `comm`, lists of
//! children) takes no such lock.

use std::fs::File;
use std::io::{self, PipeReader, Read as _, Write as _};
use std::os::fd::{AsFd as _, BorrowedFd};
use std::time::{Duration, Instant};

use heapless::Vec;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, Signal, kill_process};

use super::procfs::{self, ProcessKey};
use super::{MARK_READERS, MARK_TIME, ORPHANS};
use crate::limits::SERVICES;
use crate::log::Reason;
use crate::log::console::warning;
use crate::service::{ServiceId, ServiceTable};
use crate::sys::fork::{self, Forked};

/// Longest time in which the keeper does nothing but wait for a reader that it has just started.
const WAIT: Duration = Duration::from_millis(50);
/// Answer for a process without the name of a service.
const NO_SERVICE: u8 = u8::MAX;

const _: () = assert!(SERVICES < NO_SERVICE as usize, "an answer is a byte");

/// Pause and attempts while a process has no environment yet: it is executing a program.
const EXEC_PAUSE: Duration = Duration::from_millis(10);
const EXEC_TRIES: usize = 20;

/// Processes whose environments are asked for.
pub(super) type Asked = Vec<ProcessKey, ORPHANS>;

/// Children that read environments.
#[derive(Debug, Default)]
pub(super) struct Marks {
    reading: Option<Reading>,
    /// Readers that are not reaped.
    readers: Vec<Pid, MARK_READERS>,
}

/// Service of a process, by its environment.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Answer {
    /// The service with this index.
    Service(u8),
    /// The environment has no name of a service.
    NoService,
    /// The reader hangs, or has ended.
    Unreadable,
}

/// Answers of a reader: one byte for each process, in order.
#[derive(Debug)]
struct Reading {
    reader: Pid,
    answers: PipeReader,
    asked: Asked,
    /// Answers that have come.
    count: usize,
    /// Latest time of the next answer.
    deadline: Instant,
    /// End of the time in which the keeper does nothing but wait for answers.
    wait_until: Instant,
}

impl Marks {
    /// Starts a reader, unless one is at work or too many hang.
    pub(super) fn ask(&mut self, asked: Asked, services: &ServiceTable) {
        if asked.is_empty() || self.reading.is_some() || self.readers.is_full() {
            return;
        }
        match start(&asked, services) {
            Ok((reader, answers)) => {
                let _ = self.readers.push(reader);
                let now = Instant::now();
                let (deadline, wait_until) = (now + MARK_TIME, now + WAIT);
                self.reading = Some(Reading { reader, answers, asked, count: 0, deadline, wait_until });
                self.wait();
            }
            // It is tried again with the next look.
            Err(error) => warning!("cannot read the environment of processes: {}", Reason::from(&error)),
        }
    }

    /// Waits for the next answer, for a short time with all answers of one reader.
    fn wait(&self) {
        let Some(reading) = &self.reading else { return };
        let left = reading.wait_until.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return;
        }
        let time = Timespec { tv_sec: 0, tv_nsec: left.subsec_nanos() as _ };
        let _ = poll(&mut [PollFd::from_borrowed_fd(reading.answers.as_fd(), PollFlags::IN)], Some(&time));
    }

    /// Returns the next process with its answer.
    pub(super) fn poll(&mut self) -> Option<(ProcessKey, Answer)> {
        let reading = self.reading.as_mut()?;
        let key = *reading.asked.get(reading.count)?;
        let mut answer = [0];
        Some(match reading.answers.read(&mut answer) {
            Ok(1) => {
                reading.count += 1;
                reading.deadline = Instant::now() + MARK_TIME;
                match reading.count == reading.asked.len() {
                    true => self.reading = None,
                    // Those of one look come together.
                    false => self.wait(),
                }
                let service = Some(answer[0]).filter(|index| *index != NO_SERVICE);
                (key, service.map_or(Answer::NoService, Answer::Service))
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock && Instant::now() < reading.deadline => {
                return None;
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => return None,
            _ => {
                // A kernel may let it wait nevertheless. One that is reaped has given its number back.
                if self.readers.contains(&reading.reader) {
                    let _ = kill_process(reading.reader, Signal::KILL);
                }
                self.reading = None;
                (key, Answer::Unreadable)
            }
        })
    }

    /// Pipe of the answers.
    pub(super) fn pipe(&self) -> Option<BorrowedFd<'_>> {
        self.reading.as_ref().map(|reading| reading.answers.as_fd())
    }

    /// Time until a reader is given up.
    pub(super) fn pause(&self) -> Option<Duration> {
        self.reading.as_ref().map(|reading| reading.deadline.saturating_duration_since(Instant::now()))
    }

    /// Returns true if a further answer can be expected.
    pub(super) fn is_reading(&self) -> bool {
        self.reading.is_some() || !self.readers.is_full()
    }

    /// Returns true for a reader.
    pub(super) fn is_reader(&self, pid: Pid) -> bool {
        self.readers.contains(&pid)
    }

    /// Notes that a child is reaped.
    pub(super) fn forget(&mut self, pid: Pid) {
        self.readers.retain(|reader| *reader != pid);
    }
}

/// Forks a child that reads the environments.
fn start(asked: &Asked, services: &ServiceTable) -> io::Result<(Pid, PipeReader)> {
    let (answers, writer) = io::pipe()?;
    rustix::io::ioctl_fionbio(&answers, true)?;
    match fork::fork()? {
        Forked::Parent(reader) => Ok((reader, answers)),
        Forked::Child => {
            // If it hangs, it must not hold what the keeper has open: locks, pipes, the socket to the server.
            let kept = File::open("/dev/null")
                .and_then(|input| fork::keep_descriptors(input.into(), writer.as_fd(), None, writer.as_fd()));
            let Ok(kept) = kept else { fork::exit_now(1) };
            let mut answers = File::from(kept);
            for key in asked {
                let answer = service_of(*key, services).map_or(NO_SERVICE, |service| service.index() as u8);
                if answers.write_all(&[answer]).is_err() {
                    break;
                }
            }
            fork::exit_now(0)
        }
    }
}

/// Service of a process, in the child.
fn service_of(key: ProcessKey, services: &ServiceTable) -> Option<ServiceId> {
    for _ in 0..EXEC_TRIES {
        let service = |name: &[u8]| services.find(str::from_utf8(name).ok()?);
        let found = procfs::with_service(key.pid, service).flatten();
        if found.is_some() || procfs::has_environment(key.pid) {
            return found.filter(|_| key.exists());
        }
        std::thread::sleep(EXEC_PAUSE);
    }
    None
}

#[cfg(test)]
mod tests {
    use std::os::unix::process::CommandExt as _;
    use std::process::{Child, Command};

    use rustix::process::{WaitOptions, waitpid};

    use super::*;
    use crate::service::Spec;
    use crate::sys::tests::lock_children;

    fn services() -> ServiceTable {
        let mut services = ServiceTable::new();
        for name in ["a", "web"] {
            services.push(Spec::new(name, &["/bin/true"]).unwrap()).unwrap();
        }
        services
    }

    fn marked(service: &str) -> Child {
        Command::new("sleep").arg("1000").env(procfs::MARKER, service).process_group(0).spawn().unwrap()
    }

    fn key(child: &Child) -> ProcessKey {
        ProcessKey::of(Pid::from_child(child)).unwrap()
    }

    fn end(mut children: std::vec::Vec<Child>) {
        for child in &mut children {
            child.kill().unwrap();
            child.wait().unwrap();
        }
    }

    fn answers(marks: &mut Marks) -> std::vec::Vec<Answer> {
        let mut answers = std::vec::Vec::new();
        while marks.reading.is_some() {
            answers.extend(marks.poll().map(|(_, answer)| answer));
        }
        answers
    }

    #[test]
    fn another_process_reads_the_environments() {
        let _lock = lock_children();
        let children = std::vec![marked("web"), marked("none"), marked("a"), marked("web")];
        let mut asked: Asked = children.iter().map(key).collect();
        asked[3] = asked[3].earlier();
        let mut marks = Marks::default();
        marks.ask(asked, &services());
        let expected = [Answer::Service(1), Answer::NoService, Answer::Service(0), Answer::NoService];
        assert_eq!(answers(&mut marks), expected, "the last one has the number of another");
        let reader = marks.readers[0];
        assert!(marks.is_reader(reader));
        waitpid(Some(reader), WaitOptions::empty()).unwrap();
        marks.forget(reader);
        assert!(!marks.is_reader(reader));
        end(children);
    }

    /// A reader that hangs is another process here.
    #[test]
    fn readers_that_hang_are_given_up_and_no_more_than_the_limit() {
        let _lock = lock_children();
        let children = std::vec![marked("web")];
        let mut marks = Marks::default();
        for hanging in 1..=MARK_READERS {
            assert!(marks.is_reading());
            let (answers, writer) = io::pipe().unwrap();
            rustix::io::ioctl_fionbio(&answers, true).unwrap();
            let mut child = marked("reader");
            let reader = Pid::from_child(&child);
            marks.readers.push(reader).unwrap();
            let asked = children.iter().map(key).collect();
            let deadline = Instant::now() + MARK_TIME;
            let wait_until = Instant::now();
            marks.reading = Some(Reading { reader, answers, asked, count: 0, deadline, wait_until });
            assert_eq!(marks.poll(), None, "it has its time");
            marks.reading.as_mut().unwrap().deadline = Instant::now();
            assert_eq!(marks.poll(), Some((key(&children[0]), Answer::Unreadable)), "given up");
            assert_eq!(marks.readers.len(), hanging);
            assert!(!child.wait().unwrap().success(), "killed");
            drop(writer);
        }
        assert!(!marks.is_reading(), "none of them is reaped by the keeper");
        marks.ask(children.iter().map(key).collect(), &services());
        assert!(marks.reading.is_none());
        end(children);
    }
}
