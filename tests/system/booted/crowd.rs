//! A booted board whose services have hundreds of processes that ignore TERM.

use std::time::{Duration, Instant};

use friendlet::service::KILL_TIMEOUT;

use super::*;

/// `stop_timeout_s` of the services.
const STOP_TIMEOUT: Duration = Duration::from_secs(1);
/// Opening it waits for ever, in the shell itself.
const FIFO: &str = "/data/never";
/// Two hundred in the group of the service, and two hundred that have left it.
const CROWD: &str = "trap '' TERM\n\
                     [ \"$1\" ] && while :; do read line < /data/never; done\n\
                     for number in $(seq 200); do sh $0 one & (setsid sh $0 one &) done\n\
                     wait\n";
/// Three hundred that start two more each, again when those are killed; every second one leaves the group.
const BOMB: &str = "trap '' TERM\n\
                    again() { while :; do $2 sh $0 $1; done; }\n\
                    [ $1 -gt 75 ] || { again $(($1 * 2)) & again $(($1 * 2 + 1)) setsid & }\n\
                    while :; do read line < /data/never; done\n";

/// Starts a service, and stops it when it has at least `processes` of its script.
#[track_caller]
fn ends_in_time(name: &str, script: &str, processes: usize) {
    let file = format!("/data/{name}.sh");
    board()
        .run(&format!("[ -p {FIFO} ] || mkfifo {FIFO}; cat > {file} <<'END OF FILE'\n{script}END OF FILE"));
    let mut asked = socket();
    assert_eq!(asked.service("start", name), OK);
    within(wait::SOON * 3, "most run", || (process::with(&file).len() >= processes).then_some(()));
    let begun = Instant::now();
    assert_eq!(asked.service("stop", name), OK);
    until("it is stopped", || state(name) == "stopped");
    let elapsed = begun.elapsed();
    let left = process::with(&file);
    println!("{name}: stopped after {elapsed:?}");
    assert!(left.is_empty(), "{left:?} after {elapsed:?}");
    assert!(elapsed < STOP_TIMEOUT + KILL_TIMEOUT, "{elapsed:?}");
}

#[test]
#[ignore = "needs a booted board"]
fn four_hundred_processes_that_ignore_term_are_ended_in_time() {
    ends_in_time("crowd", CROWD, 400);
}

#[test]
#[ignore = "needs a booted board"]
fn fork_bomb_is_ended_in_time() {
    ends_in_time("bomb", BOMB, 200);
}
