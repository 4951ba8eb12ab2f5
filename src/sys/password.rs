//! Checking and hashing of passwords, slow on purpose, on a thread of its own.

use std::io;
use std::num::NonZeroU32;
use std::time::Duration;

use ring::pbkdf2;
use rustix::time::{ClockId, clock_gettime};

use super::thread;
use crate::limits::{PASSWORD_CHECKS, PASSWORD_ROUNDS};
use crate::runtime::{Receiver, Sender, queue};
use crate::session::{
    CANONICAL_PASSWORD_BYTES, HASH_BYTES, PASSWORD_ROUNDS_MIN, PASSWORD_TIME, PasswordHash,
    PasswordHashError, SALT_BYTES,
};

/// Stack size of the worker; PBKDF2 needs little.
pub const WORKER_STACK_BYTES: usize = 128 * 1024;

/// Nice value of the worker, which may share a core with the server, and comes before the services.
const WORKER_NICE: i32 = 1;

const _: () = assert!(WORKER_NICE < crate::service::SERVICE_NICE as i32);

/// Rounds of one measurement.
const SAMPLE_ROUNDS: NonZeroU32 = NonZeroU32::new(2000).expect("not 0");
/// Measurements, of which the shortest counts.
const SAMPLES: usize = 3;

/// Rounds of a new password: those that take [`PASSWORD_TIME`] of a core of this machine, at least
/// [`PASSWORD_ROUNDS_MIN`] and at most `password_rounds`. More would be slow on the board that a file is
/// for.
pub fn rounds() -> u32 {
    // Processor time, so that other processes do not count.
    let time = || Duration::try_from(clock_gettime(ClockId::ThreadCPUTime)).unwrap_or_default();
    let measured = (0..SAMPLES).map(|_| {
        let start = time();
        let mut hash = [0; HASH_BYTES];
        pbkdf2::derive(pbkdf2::PBKDF2_HMAC_SHA256, SAMPLE_ROUNDS, &[0; SALT_BYTES], &[0; 32], &mut hash);
        time().saturating_sub(start)
    });
    rounds_in_time(measured.min().unwrap_or_default())
}

/// The same for a machine on which [`SAMPLE_ROUNDS`] take this time.
fn rounds_in_time(sample: Duration) -> u32 {
    let most = PASSWORD_ROUNDS as u32;
    let rounds =
        PASSWORD_TIME.as_nanos() as u64 * u64::from(SAMPLE_ROUNDS.get()) / (sample.as_nanos() as u64).max(1);
    u32::try_from(rounds).unwrap_or(most).clamp(PASSWORD_ROUNDS_MIN.min(most), most)
}

/// Hashes a password in its canonical form with PBKDF2-HMAC-SHA256.
///
/// # Errors
/// `rounds` is 0 or too large.
pub fn hash(
    canonical: &[u8; CANONICAL_PASSWORD_BYTES],
    rounds: u32,
    salt: [u8; SALT_BYTES],
) -> Result<PasswordHash, PasswordHashError> {
    let mut hash = [0; HASH_BYTES];
    // Validates the rounds first.
    PasswordHash::new(rounds, salt, hash)?;
    let iterations = NonZeroU32::new(rounds).ok_or(PasswordHashError::Rounds)?;
    pbkdf2::derive(pbkdf2::PBKDF2_HMAC_SHA256, iterations, &salt, canonical, &mut hash);
    PasswordHash::new(rounds, salt, hash)
}

/// Returns true if the password has this hash, compared in constant time.
pub fn verify(canonical: &[u8; CANONICAL_PASSWORD_BYTES], hash: &PasswordHash) -> bool {
    NonZeroU32::new(hash.rounds()).is_some_and(|iterations| {
        pbkdf2::verify(pbkdf2::PBKDF2_HMAC_SHA256, iterations, hash.salt(), canonical, hash.hash()).is_ok()
    })
}

/// Password in its canonical form; see [`canonical_password`](crate::session::canonical_password).
pub type Canonical = [u8; CANONICAL_PASSWORD_BYTES];

/// Password to check, password to hash, or both.
#[derive(Clone)]
pub struct PasswordJob {
    /// Number that is returned with the result.
    pub ticket: u64,
    /// Received password and stored hash of the user, or [`PasswordHash::dummy`] of an unknown user.
    pub check: Option<(Canonical, PasswordHash)>,
    /// New password and its salt, hashed with the board's rounds if the check succeeds.
    pub make: Option<(Canonical, [u8; SALT_BYTES])>,
}

/// Shows neither password nor hash.
impl std::fmt::Debug for PasswordJob {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("PasswordJob").field("ticket", &self.ticket).finish_non_exhaustive()
    }
}

/// Result of a [`PasswordJob`].
#[derive(Clone, Debug, PartialEq)]
pub struct PasswordResult {
    /// Number of the job.
    pub ticket: u64,
    /// True if the password is right, or none was to be checked.
    pub ok: bool,
    /// Hash of the new password, if the check succeeded.
    pub made: Option<PasswordHash>,
}

impl PasswordJob {
    fn run(&self) -> PasswordResult {
        let ok = self.check.as_ref().is_none_or(|(canonical, stored)| verify(canonical, stored));
        let make = self.make.filter(|_| ok);
        let made = make.and_then(|(canonical, salt)| {
            let rounds = rounds();
            // `password_rounds` of a board is at most PASSWORD_ROUNDS_MAX.
            let hashed = hash(&canonical, rounds, salt);
            hashed.inspect_err(|_| crate::internal_error!("{} password rounds", rounds)).ok()
        });
        PasswordResult { ticket: self.ticket, ok, made }
    }
}

/// Full queue: [`PASSWORD_CHECKS`] jobs wait.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct QueueFull;

/// Thread that runs jobs in order, with a queue of [`PASSWORD_CHECKS`]. It exits when this is dropped.
#[derive(Debug)]
pub struct PasswordWorker {
    jobs: Sender<PasswordJob, PASSWORD_CHECKS>,
    results: Receiver<PasswordResult, PASSWORD_CHECKS>,
}

impl PasswordWorker {
    /// Starts the thread.
    pub fn start() -> io::Result<Self> {
        let (jobs, waiting) = queue::<PasswordJob, _>();
        let (done, results) = queue();
        // A check would block the connections of the server for too long.
        let run = move || {
            // On Linux this applies to the calling thread. On failure the checks delay the server.
            let _ = rustix::process::setpriority_process(None, WORKER_NICE);
            while let Some(job) = waiting.recv_blocking() {
                if done.send_blocking(job.run()).is_err() {
                    return;
                }
            }
        };
        thread::start("password", WORKER_STACK_BYTES, Box::new(run))?;
        Ok(Self { jobs, results })
    }

    /// Queues a job.
    ///
    /// # Errors
    /// The queue is full.
    pub fn submit(&self, job: PasswordJob) -> Result<(), QueueFull> {
        self.jobs.try_send(job).map_err(|_| QueueFull)
    }

    /// Waits for the next result. `None` means that the thread has exited.
    pub async fn result(&self) -> Option<PasswordResult> {
        self.results.recv().await
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::session::canonical_password;

    const ROUNDS: u32 = 1000;

    fn job(ticket: u64, password: &str, hash: &PasswordHash) -> PasswordJob {
        let check = Some((canonical_password(password.as_bytes()), hash.clone()));
        PasswordJob { ticket, check, make: None }
    }

    #[test]
    fn derived_key_equals_that_of_other_programs() {
        // From Python's hashlib.pbkdf2_hmac, with a salt of zeros.
        let hash = hash(&canonical_password(b"secret"), ROUNDS, [0; 16]).unwrap();
        assert_eq!(
            hash.to_string(),
            "$pbkdf2-sha256$i=1000$AAAAAAAAAAAAAAAAAAAAAA$2acwk9tT7RVhSCCp0n8WFFChBVuokDihgOPnUfYeIPo"
        );
    }

    #[test]
    fn plain_and_hashed_password_are_accepted_but_not_the_stored_hash() {
        let stored = hash(&canonical_password(b"securefassword"), ROUNDS, [7; 16]).unwrap();
        let is_right = |received: &str| verify(&canonical_password(received.as_bytes()), &stored);
        assert!(is_right("securefassword"));
        assert!(is_right("HASHED672ad6ceecc20d08893b4b98956a809c86f47a1a33543bef4bb17dd8e5ec4667"));
        assert!(!is_right("Securefassword"));
        assert!(!is_right(""));
        assert!(!is_right(&stored.to_string()));
        let hex = base16ct::lower::encode_string(stored.hash());
        assert!(!is_right(&hex));
        assert!(!is_right(&format!("HASHED{hex}")));
    }

    #[test]
    fn rounds_take_their_time_on_a_slow_core_and_never_fall_below_the_floor() {
        let most = PASSWORD_ROUNDS as u32;
        // 2000 rounds in 2.5 ms are 200000 in 250 ms.
        for (sample_us, expected) in [
            (0, most),
            (100, most),
            (2500, 200_000),
            (5000, 100_000),
            (10_000, 50_000),
            (1_000_000, PASSWORD_ROUNDS_MIN),
        ] {
            assert_eq!(rounds_in_time(Duration::from_micros(sample_us)), expected.min(most), "{sample_us}");
        }
        assert_eq!(PASSWORD_TIME, Duration::from_millis(250));
        assert!((PASSWORD_ROUNDS_MIN..=most).contains(&rounds()));
    }

    #[test]
    fn rounds_out_of_range_are_rejected() {
        let canonical = canonical_password(b"x");
        assert_eq!(hash(&canonical, 0, [0; 16]), Err(PasswordHashError::Rounds));
        assert_eq!(hash(&canonical, u32::MAX, [0; 16]), Err(PasswordHashError::Rounds));
    }

    #[test]
    fn dummy_hash_accepts_no_password() {
        let dummy = PasswordHash::dummy(ROUNDS);
        assert!(!verify(&canonical_password(b""), &dummy));
        assert!(!verify(&canonical_password(&[0; 32]), &dummy));
    }

    #[test]
    fn worker_runs_jobs_in_order() {
        let worker = PasswordWorker::start().unwrap();
        let stored = hash(&canonical_password(b"secret"), ROUNDS, [1; 16]).unwrap();
        let dummy = PasswordHash::dummy(ROUNDS);
        let mut results = Vec::new();
        for (ticket, password, hash) in [(1, "secret", &stored), (2, "wrong", &stored), (3, "secret", &dummy)]
        {
            // The queue may be shorter than this list.
            while worker.submit(job(ticket, password, hash)) == Err(QueueFull) {
                results.push(smol::future::block_on(worker.result()));
            }
        }
        results.resize_with(3, || smol::future::block_on(worker.result()));
        let result = |ticket, ok| Some(PasswordResult { ticket, ok, made: None });
        assert_eq!(results, [result(1, true), result(2, false), result(3, false)]);
    }

    #[test]
    fn new_password_is_hashed_if_the_old_one_is_right() {
        let stored = hash(&canonical_password(b"secret"), ROUNDS, [1; 16]).unwrap();
        let make = Some((canonical_password(b"new"), [2; 16]));
        let made = |old: Option<&str>| {
            let check = old.map(|old| (canonical_password(old.as_bytes()), stored.clone()));
            let result = PasswordJob { ticket: 1, check, make }.run();
            assert_eq!(result.ok, result.made.is_some());
            result.made
        };
        assert_eq!(made(Some("wrong")), None);
        for hash in [made(Some("secret")), made(None)].map(Option::unwrap) {
            assert!(
                verify(&canonical_password(b"new"), &hash) && !verify(&canonical_password(b"secret"), &hash)
            );
            assert!((PASSWORD_ROUNDS_MIN..=PASSWORD_ROUNDS as u32).contains(&hash.rounds()));
            assert_eq!(hash.salt(), &[2; 16]);
        }
    }

    #[test]
    fn queue_rejects_jobs_over_its_limit() {
        // Without its thread, nothing leaves the queue.
        let (jobs, waiting) = queue::<PasswordJob, _>();
        let (_done, results) = queue();
        let worker = PasswordWorker { jobs, results };
        let dummy = PasswordHash::dummy(1);
        for ticket in 0..PASSWORD_CHECKS as u64 {
            worker.submit(job(ticket, "", &dummy)).unwrap();
        }
        assert_eq!(worker.submit(job(99, "", &dummy)), Err(QueueFull));
        drop(waiting);
        assert_eq!(worker.submit(job(100, "", &dummy)), Err(QueueFull));
    }

    #[test]
    fn debug_hides_the_password() {
        let job = job(1, "secret", &PasswordHash::dummy(1));
        assert_eq!(format!("{job:?}"), "PasswordJob { ticket: 1, .. }");
    }
}
