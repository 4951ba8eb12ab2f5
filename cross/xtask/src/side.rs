//! Side by side: jobs that mostly wait, each in a process of its own. What one says is kept in a file and
//! shown whole when it ends.

use std::collections::VecDeque;
use std::fs::{self, File};
use std::io;
use std::os::unix::process::CommandExt as _;
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use crate::notes::{self, Kind};
use crate::run;

/// Pause between two looks at a job.
const LOOK: Duration = Duration::from_millis(100);

/// One job.
#[derive(Debug)]
pub(crate) struct Job {
    /// Its name, for people.
    pub(crate) name: String,
    /// File of its output.
    pub(crate) log: PathBuf,
    /// Command to run.
    pub(crate) command: Command,
    /// Time without output after which it is stalled: then it is killed and started again, once.
    pub(crate) silence: Option<Duration>,
}

/// This very program, to be given other arguments; also when cargo has replaced it meanwhile.
pub(crate) fn again() -> Command {
    run::at_root(&format!("/proc/{}/exe", std::process::id()))
}

/// Runs the jobs, `at_once` of them at the same time, the first ones first. All run, whichever fails.
pub(crate) fn by_side(jobs: Vec<Job>, at_once: usize) -> Result<(), String> {
    let names: Vec<&str> = jobs.iter().map(|job| job.name.as_str()).collect();
    println!("    side by side: {}", names.join(", "));
    let queue = Mutex::new(VecDeque::from(jobs));
    let errors = Mutex::new(Vec::new());
    // Held while a log is shown.
    let terminal = Mutex::new(());
    thread::scope(|scope| {
        for _ in 0..at_once {
            scope.spawn(|| {
                loop {
                    let next = queue.lock().unwrap_or_else(PoisonError::into_inner).pop_front();
                    let Some(job) = next else { break };
                    let start = Instant::now();
                    let error = run_one(&job).err();
                    let _shown = terminal.lock().unwrap_or_else(PoisonError::into_inner);
                    let said = fs::read(&job.log).unwrap_or_default();
                    print!("{}", String::from_utf8_lossy(&said));
                    let seconds = start.elapsed().as_secs_f64();
                    let verdict = if error.is_none() { "passed" } else { "FAILED" };
                    println!("    {}: {verdict} in {seconds:.0} s", job.name);
                    if let Some(error) = error {
                        let error = format!("{}: {error}; log: {}", job.name, job.log.display());
                        println!("    {error}");
                        errors.lock().unwrap_or_else(PoisonError::into_inner).push(error);
                    }
                }
            });
        }
    });
    let errors = errors.into_inner().unwrap_or_else(PoisonError::into_inner);
    if errors.is_empty() { Ok(()) } else { Err(errors.join("\n")) }
}

fn run_one(job: &Job) -> Result<(), String> {
    if let Some(status) = attempt(job)? {
        return ended(status);
    }
    let note = format!("{}: silent for {} s", job.name, job.silence.unwrap_or_default().as_secs());
    println!("    begun anew: {note}");
    notes::add(Kind::Program, &note);
    attempt(job)?.map_or_else(|| Err("it stood still twice".to_owned()), ended)
}

fn ended(status: ExitStatus) -> Result<(), String> {
    if status.success() { Ok(()) } else { Err(format!("it ended with {status}")) }
}

/// Runs the job to its end; none when it was ended because it stood still.
fn attempt(job: &Job) -> Result<Option<ExitStatus>, String> {
    let failed = |error| format!("{}: {error}", job.log.display());
    if let Some(directory) = job.log.parent() {
        fs::create_dir_all(directory).map_err(failed)?;
    }
    let log = File::create(&job.log).map_err(failed)?;
    let outputs = [log.try_clone().map_err(failed)?, log.try_clone().map_err(failed)?];
    let mut child = start(job, outputs).map_err(|error| format!("it did not start: {error}"))?;
    let mut last = (0, Instant::now());
    loop {
        if let Some(status) = child.try_wait().map_err(|error| format!("it is not waited for: {error}"))? {
            return Ok(Some(status));
        }
        let bytes = log.metadata().map_err(failed)?.len();
        if bytes != last.0 {
            last = (bytes, Instant::now());
        }
        if job.silence.is_some_and(|silence| last.1.elapsed() >= silence) {
            // The group: the programs that it started are to end, too.
            run::works("sh", &["-c", "kill -s KILL -- -$0", &child.id().to_string()]);
            let _ = child.kill();
            let _ = child.wait();
            return Ok(None);
        }
        thread::sleep(LOOK);
    }
}

fn start(job: &Job, [output, errors]: [File; 2]) -> io::Result<Child> {
    // setpriv: it ends with the thread that waits for it, however that comes about.
    let mut command = run::at_root("setpriv");
    command.args(["--pdeathsig", "TERM"]).arg(job.command.get_program()).args(job.command.get_args());
    for (key, value) in job.command.get_envs() {
        match value {
            Some(value) => command.env(key, value),
            None => command.env_remove(key),
        };
    }
    if job.silence.is_some() {
        command.process_group(0);
    }
    command.stdin(Stdio::null()).stdout(output).stderr(errors).spawn()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn job(name: &str, script: &str) -> Job {
        let log = std::env::temp_dir().join(format!("friendlet-side-{name}-{}", std::process::id()));
        let mut command = run::at_root("sh");
        command.args(["-c", script]).env("WORD", "blue");
        Job { name: name.to_owned(), log, command, silence: None }
    }

    #[test]
    fn jobs_run_at_the_same_time_and_each_keeps_what_it_says() {
        let directory = std::env::temp_dir().join(format!("friendlet-side-by-side-{}", std::process::id()));
        fs::create_dir_all(&directory).unwrap();
        // Each waits for the other's sign, so neither ends unless both run.
        let meet = |own: &str, other: &str| {
            let directory = directory.display();
            format!(
                "echo $WORD {own} >&2; touch {directory}/{own}; tries=0
                 until test -e {directory}/{other}; do
                     tries=$((tries + 1)); test $tries -lt 600 || exit 9; sleep 0.05
                 done"
            )
        };
        let jobs = vec![job("one", &meet("one", "two")), job("two", &meet("two", "one"))];
        let logs: Vec<PathBuf> = jobs.iter().map(|job| job.log.clone()).collect();
        assert_eq!(by_side(jobs, 2), Ok(()));
        for (log, said) in logs.iter().zip(["blue one\n", "blue two\n"]) {
            assert_eq!(fs::read_to_string(log).unwrap(), said);
            fs::remove_file(log).unwrap();
        }
        fs::remove_dir_all(directory).unwrap();
    }

    #[test]
    fn one_that_fails_is_named_and_hides_no_other() {
        let jobs = vec![job("bad", "exit 3"), job("worse", "exit 4"), job("good", "true")];
        let logs: Vec<PathBuf> = jobs.iter().map(|job| job.log.clone()).collect();
        let error = by_side(jobs, 1).unwrap_err();
        assert!(
            error.contains("bad: it ended with exit status: 3") && error.contains("worse: it ended with")
        );
        assert!(!error.contains("good"), "{error}");
        for log in logs {
            fs::remove_file(log).unwrap();
        }
    }

    #[test]
    fn stalled_one_is_ended_with_its_children() {
        let silence = Some(Duration::from_millis(500));
        let job = Job { silence, ..job("still", "sleep 1000 & echo $!; wait") };
        assert_eq!(attempt(&job), Ok(None));
        let pid = fs::read_to_string(&job.log).unwrap();
        let gone = || {
            let stat = fs::read_to_string(format!("/proc/{}/stat", pid.trim())).unwrap_or_default();
            stat.is_empty() || stat.contains(") Z ")
        };
        let start = Instant::now();
        while !gone() {
            assert!(start.elapsed() < Duration::from_secs(60), "{pid}");
            thread::sleep(LOOK);
        }
        fs::remove_file(job.log).unwrap();
    }

    #[test]
    fn this_program_is_found_again() {
        let listed = run::captured(again().arg("--list")).unwrap();
        assert!(listed.contains("this_program_is_found_again"));
    }
}
