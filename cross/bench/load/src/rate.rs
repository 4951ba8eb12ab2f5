//! Messages and their answers: how fast, with what latency, for how much of the server's time.

use std::io::{self, ErrorKind};
use std::time::{Duration, Instant};

use rustix::buffer::spare_capacity;
use rustix::event::Timespec;
use rustix::event::epoll::{self, CreateFlags, EventData, EventFlags};

use crate::link::Link;
use crate::{Error, Options};

/// A push that comes beside the answers.
pub(crate) const PUSH: &[u8] = br#"{"type":"msg","data":{"type":"service-change""#;
/// Longest time without any answer.
const TIMEOUT: Timespec = Timespec { tv_sec: 10, tv_nsec: 0 };

struct Member {
    link: Link,
    sent: Instant,
    outstanding: usize,
}

struct Run<'a> {
    options: &'a Options,
    members: Vec<Member>,
    epoll: rustix::fd::OwnedFd,
    batch: Vec<u8>,
    /// ns from the write to each answer.
    latencies: Vec<u64>,
}

pub(crate) fn run(options: &Options) -> Result<(), Error> {
    let epoll = epoll::create(CreateFlags::CLOEXEC)?;
    let mut members = Vec::with_capacity(options.connections);
    for index in 0..options.connections {
        let link = Link::open(&options.target)?.into_nonblocking()?;
        epoll::add(&epoll, &link.stream, EventData::new_u64(index as u64), EventFlags::IN)?;
        members.push(Member { link, sent: Instant::now(), outstanding: 0 });
    }
    let mut batch = Vec::new();
    for _ in 0..options.in_flight {
        options.append_message(&mut batch);
    }
    let latencies = Vec::with_capacity(options.messages + options.connections * options.in_flight);
    let mut run = Run { options, members, epoll, batch, latencies };
    if options.warm_up > 0 {
        run.exchange(options.warm_up)?;
        run.latencies.clear();
    }
    let cpu_ns = || options.process.map_or(Ok(0), |process| process.cpu_ns());
    let (cpu, begin) = (cpu_ns()?, Instant::now());
    run.exchange(options.messages)?;
    let (wall, cpu) = (begin.elapsed(), cpu_ns()?.saturating_sub(cpu));

    let latencies = &mut run.latencies;
    latencies.sort_unstable();
    let messages = latencies.len();
    println!("messages {messages}\nwall_ns {}\ncpu_ns {cpu}", wall.as_nanos());
    for (name, part) in [("p50_ns", 500), ("p99_ns", 990), ("p999_ns", 999)] {
        println!("{name} {}", latencies[(messages * part / 1000).min(messages - 1)]);
    }
    Ok(())
}

impl Run<'_> {
    /// Sends `messages` messages on all connections together, or as many as the time allows, and waits
    /// for the answer to each.
    fn exchange(&mut self, messages: usize) -> Result<(), Error> {
        let deadline = Instant::now() + Duration::from_secs(self.options.seconds);
        let mut unsent = messages;
        for index in 0..self.members.len() {
            self.send(index, &mut unsent, deadline)?;
        }
        let mut events = Vec::with_capacity(64);
        while self.members.iter().any(|member| member.outstanding > 0) {
            events.clear();
            epoll::wait(&self.epoll, spare_capacity(&mut events), Some(&TIMEOUT))?;
            if events.is_empty() {
                return Err("no answer within 10 s".into());
            }
            for event in &events {
                let index = event.data.u64() as usize;
                self.receive(index)?;
                if self.members[index].outstanding == 0 {
                    self.send(index, &mut unsent, deadline)?;
                }
            }
        }
        Ok(())
    }

    fn send(&mut self, index: usize, unsent: &mut usize, deadline: Instant) -> Result<(), Error> {
        if *unsent == 0 || Instant::now() > deadline {
            return Ok(());
        }
        if self.options.settle
            && let Some(process) = self.options.process
        {
            process.wait_idle()?;
        }
        let member = &mut self.members[index];
        *unsent = unsent.saturating_sub(self.options.in_flight);
        member.outstanding = self.options.in_flight;
        member.sent = Instant::now();
        member.link.write(&self.batch)
    }

    fn receive(&mut self, index: usize) -> Result<(), Error> {
        let Member { link, sent, outstanding } = &mut self.members[index];
        loop {
            match link.read() {
                Ok(()) => {}
                Err(error) => match error.downcast::<io::Error>() {
                    Ok(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
                    Ok(error) => return Err(error.into()),
                    Err(error) => return Err(error),
                },
            }
            let latency = u64::try_from(sent.elapsed().as_nanos()).unwrap_or(u64::MAX);
            let mut wrong = None;
            link.texts(|text| {
                if text.starts_with(PUSH) {
                    return;
                }
                if *outstanding == 0 || !self.options.is_expected(text) {
                    wrong = Some(String::from_utf8_lossy(text).into_owned());
                }
                *outstanding = outstanding.saturating_sub(1);
                self.latencies.push(latency);
            })?;
            if let Some(text) = wrong {
                return Err(format!("an answer that was not expected: {text}").into());
            }
            if !link.has_more() {
                return Ok(());
            }
        }
    }
}
