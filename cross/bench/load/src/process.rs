//! The server under test as /proc shows it.

use std::fs;
use std::thread;
use std::time::{Duration, Instant};

use crate::Error;

/// Longest wait for a server's threads to sleep.
const TIMEOUT: Duration = Duration::from_secs(10);

/// A running process.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Process(pub(crate) u32);

impl Process {
    /// One file of every thread.
    fn of_threads(self, file: &str) -> Result<Vec<String>, Error> {
        let tasks = fs::read_dir(format!("/proc/{}/task", self.0))?;
        let texts = tasks.filter_map(|task| fs::read_to_string(task.ok()?.path().join(file)).ok());
        Ok(texts.collect())
    }

    /// Processor time of all threads so far, in ns (schedstat's first number).
    pub(crate) fn cpu_ns(self) -> Result<u64, Error> {
        let texts = self.of_threads("schedstat")?;
        let times = texts.iter().filter_map(|text| text.split_whitespace().next()?.parse::<u64>().ok());
        Ok(times.sum())
    }

    /// Waits until every thread sleeps, so that what is sent next meets a server that waits for it.
    pub(crate) fn wait_idle(self) -> Result<(), Error> {
        let begin = Instant::now();
        let mut seen = 0;
        while seen < 2 {
            // The name in brackets may hold anything; the state is the first letter after it.
            let is_idle = self
                .of_threads("stat")?
                .iter()
                .all(|text| text.rsplit_once(") ").is_some_and(|(_, rest)| rest.starts_with('S')));
            seen = if is_idle { seen + 1 } else { 0 };
            if begin.elapsed() > TIMEOUT {
                return Err("the server does not come to rest".into());
            }
            thread::sleep(Duration::from_micros(20));
        }
        Ok(())
    }
}
